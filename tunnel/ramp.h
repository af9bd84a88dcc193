/* SPDX-License-Identifier: GPL-3.0-or-later */
/* ramp.h - the window that split TCP's streams begin with */
#ifndef TUNNEL_RAMP_H
#define TUNNEL_RAMP_H

#include "lib/route.h"

#include <stdbool.h>
#include <stdint.h>

/* Segments. Least: what the kernel begins with (RFC 6928). Most: 23 MB of 1448 bytes, which fill
 * 1.5 Gbit/s for 120 ms, and a stream's buffer to a third. */
#define RAMP_SEGMENTS_MIN 10
#define RAMP_SEGMENTS_MAX 16384

/* Of a path whose rate is not configured, bits a second. */
#define RAMP_RATE_UNKNOWN 20000000ull

struct conn;
struct control;
struct link;

/* Of a link: the route of its streams. */
struct ramp {
	struct route_own own; /* .initial_segments 0: there is none */
	uint64_t rtt_ns;      /* of the path without a queue, as far as seen */
	uint64_t looked_ns;   /* at it */
	bool failed;	      /* to put it in; that was logged */
};

uint32_t ramp_segments(uint64_t rate_bps, uint64_t rtt_ns, uint32_t segment);

void ramp_start(struct control *k);
void ramp_stop(struct control *k);
void ramp_connected(struct conn *c);
void ramp_tick(struct link *l);

#endif
