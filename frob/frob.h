/* SPDX-License-Identifier: GPL-3.0-or-later */
/* frob.h - rewrite what TCP hosts say of themselves in the handshake */
#ifndef FROB_FROB_H
#define FROB_FROB_H

#include "lib/packet.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FROB_WSCALE_OFF (-1)

/* What to rewrite. Immutable while in use. */
struct frob_rules {
	uint16_t mtu; /* clamp MSS to mtu - 40 (IPv4) or mtu - 60 (IPv6); 0: off */
	/* Bytes taken off mtu for each VLAN tag: 4 where it is what a path carries, 0 where a
	 * person said it. */
	uint8_t vlan_cost;
	int8_t wscale; /* shift count to write, 0…14; FROB_WSCALE_OFF: off */
};

/* What became of one frame; bits of the value frob_rewrite() returns. */
enum {
	FROB_SYN = 1 << 0,    /* a whole TCP SYN or SYN/ACK was read */
	FROB_MSS = 1 << 1,    /* its MSS was lowered */
	FROB_WSCALE = 1 << 2, /* its window scale was changed */
	FROB_MALFORMED =
		1 << 3, /* its headers or options cannot be; what stood before them was rewritten */
};

unsigned frob_rewrite(uint8_t *data, size_t len, bool partial, const struct frob_rules *rules);

#endif
