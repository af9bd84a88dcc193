/* SPDX-License-Identifier: GPL-3.0-or-later */
/* growth.h - how many stripes a flow should have, from what they bring */
#ifndef ACCEL_GROWTH_H
#define ACCEL_GROWTH_H

#include <stdbool.h>
#include <stdint.h>

/* More stripes are kept if goodput has risen by so much of what it was, percent. */
#define GROWTH_GAIN_PERCENT 25

/* At so much of the path's rate nothing is left to gain, percent. */
#define GROWTH_FULL_PERCENT 85

/* A measurement is so many round trips, and that time at least; before it, what has changed
 * settles. Lossy streams are uneven: less would measure their luck. */
#define GROWTH_MEASURE_TRIPS 24
#define GROWTH_MEASURE_NS    (2 * 1000000000ull)
#define GROWTH_SETTLE_TRIPS  8
#define GROWTH_SETTLE_NS     (500 * 1000000ull)

/* After a try in vain the next one waits, twice as long each time. */
#define GROWTH_WAIT_NS	   (30 * 1000000000ull)
#define GROWTH_WAIT_MAX_NS (600 * 1000000000ull)

/* What is seen at a look, several a second. */
struct growth_look {
	uint64_t now_ns;
	uint64_t sent; /* bytes of the flow so far */
	uint64_t rtt_ns;
	uint64_t rate;	   /* bytes a second that the path may carry; 0: not known */
	unsigned max;	   /* stripes */
	bool limited;	   /* the host has data and the peer takes them, but no stripe does */
	bool short_memory; /* no try now */
};

/* Zeroed, but for n = 1, before first use. */
struct growth {
	unsigned n;	/* stripes that have proved worth it */
	unsigned tried; /* that are being tried; 0: none */
	uint64_t base;	/* bytes a second with n */
	uint64_t since_ns,
		bytes;	     /* when measuring began, bytes sent by then; 0: it settles first */
	uint64_t settled_ns; /* when that is over */
	unsigned looks, limited;
	uint64_t wait_ns, next_ns; /* after a try in vain */
};

unsigned growth_next(struct growth *g, const struct growth_look *l);

#endif
