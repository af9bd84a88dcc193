/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tos.h - class and congestion between inner and outer packets (RFC 6040, RFC 2983) */
#ifndef TUNNEL_TOS_H
#define TUNNEL_TOS_H

#include "lib/packet.h"

#include <stdbool.h>
#include <stdint.h>

#define ECN_MASK 3 /* of the TOS or traffic class octet */

/* Codepoints of RFC 3168 section 5. */
enum ecn { ECN_NOT_ECT = 0, ECN_ECT1 = 1, ECN_ECT0 = 2, ECN_CE = 3 };

uint8_t tos_of(const uint8_t *data, const struct packet *p);
bool tos_decapsulate(uint8_t *data, uint32_t len, unsigned outer);

#endif
