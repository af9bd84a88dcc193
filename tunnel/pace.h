/* SPDX-License-Identifier: GPL-3.0-or-later */
/* pace.h - how fast may be sent to a peer; pure */
#ifndef TUNNEL_PACE_H
#define TUNNEL_PACE_H

#include "lib/counter.h"

#include <stdatomic.h>
#include <stdint.h>

/* The rate of frames to one peer. One thread sends; others read and change the share. */
struct pace {
	uint64_t full_bps;    /* what the path may carry */
	_Atomic uint64_t bps; /* the share of it that is the frames' now */
	uint64_t free_ns;     /* when all that has been sent will have left at that rate */
	counter sent;	      /* bytes on the wire, in all */
};

/* What is left for streams and for frames. */
struct pace_shares {
	uint64_t streams_bps, frames_bps;
};

void pace_init(struct pace *p, uint64_t bps);
uint64_t pace_wait_ns(const struct pace *p, uint64_t now_ns);
void pace_sent(struct pace *p, uint64_t bytes, uint64_t now_ns);
struct pace_shares pace_share(uint64_t full_bps, uint64_t frames_bps, uint64_t streams_bps);

#endif
