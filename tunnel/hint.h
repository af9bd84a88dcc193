/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hint.h - "fragmentation needed" and "packet too big", to hosts of a border port's LAN */
#ifndef TUNNEL_HINT_H
#define TUNNEL_HINT_H

#include "lib/err.h"
#include "lib/packet.h"

#include <stdbool.h>
#include <stdint.h>

#define HINT_IPV4_MAX 576  /* longest ICMP error, an IP packet: RFC 1812 4.3.2.3 */
#define HINT_IPV6_MAX 1280 /* likewise: RFC 4443 2.4 (c) */
#define HINT_MAX      (ETH_HDR_LEN + 2 * VLAN_TAG_LEN + HINT_IPV6_MAX)

/* A builder, for one thread at a time. */
struct hint;

struct hint *hint_new(struct err *e);
void hint_free(struct hint *h);
bool hint_allowed(const struct frame *f, const struct packet *p);
uint32_t hint_build(struct hint *h, const struct frame *f, const struct packet *p, uint32_t mtu,
		    uint8_t out[HINT_MAX]);

#endif
