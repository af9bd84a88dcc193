/* SPDX-License-Identifier: GPL-3.0-or-later */
/* mtu.h - what fits on the way to each peer, and who is told */
#ifndef TUNNEL_MTU_H
#define TUNNEL_MTU_H

#include "tunnel/tunnel.h"

#include <stdint.h>

uint32_t mtu_inner(const struct tunnel *t, const struct peer *p);
void mtu_changed(struct tunnel *t);
uint32_t mtu_clamp_out(const struct tunnel *t, uint64_t peers);

#endif
