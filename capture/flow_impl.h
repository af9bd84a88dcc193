/* SPDX-License-Identifier: GPL-3.0-or-later */
/* flow_impl.h - what the parts of flow analysis call of each other */
#ifndef CAPTURE_FLOW_IMPL_H
#define CAPTURE_FLOW_IMPL_H

#include "capture/flow.h"

#include "lib/clock.h"

/* Positions in a stream are 64-bit and begin above 2^32, so that what is before the first one seen
 * is positive too. */
#define FIRST_POSITION (1ull << 32)

/* What a data segment turned out to be. */
struct sent_kind {
	uint64_t start, end; /* unwrapped */
	uint32_t fresh;	     /* bytes of it not seen before */
	bool again;	     /* it, or a part of it, was sent before */
	bool timeout;	     /* …because the retransmission timer ran out */
	bool probe;	     /* it asks whether the far end, or its window, is there */
	bool reordered;
	bool full;	   /* the last of its segments has the largest size */
	uint32_t segments; /* it was on the wire; more than one if it is a super-segment */
};

/* Which end of the key a direction begins at. */
static inline unsigned direction_end(const struct flow *f, const struct direction *d)
{
	return d != &f->dir[0];
}

static inline uint64_t unwrap32(uint64_t near, uint32_t seq)
{
	return near + (uint64_t)(int64_t)(int32_t)(seq - (uint32_t)near);
}

/* Takes a round trip, in nanoseconds. */
static inline void rtt_add(struct rtt *r, uint64_t ns)
{
	if (!r->n || ns < r->min)
		r->min = ns;
	if (ns > r->max)
		r->max = ns;
	r->sum += ns;
	r->n++;
	r->last_us = (uint32_t)(ns / NS_PER_US);
}

/* How many segments of the wire a captured one was; more than one if it is a super-segment. */
static inline uint32_t flow_segments(const struct flow *f, unsigned end, uint32_t len)
{
	uint32_t mss = direction_mss(f, end);

	return len <= mss ? 1 : (len + mss - 1) / mss;
}

struct track *track_new(void);
/*
 * What most packets go through takes both directions, @d the one that data are sent in and @r the
 * one back, so that neither is looked for again.
 */
void track_data(struct flow *f, struct direction *d, struct direction *r, const struct segment *s,
		uint64_t now, struct sent_kind *k);
void track_ack(struct flow *f, struct direction *d, struct direction *r, const struct segment *s,
	       uint64_t now);
bool track_duplicate(struct direction *d, const struct segment *s, uint64_t now, uint64_t rtt_ns);
void track_remember(struct direction *d, const struct segment *s, uint64_t now);

void limit_begin(struct flow *f, unsigned from, uint64_t now);
void limit_advance(struct flow *f, struct direction *d, uint64_t now);
void limit_data(struct flow *f, struct direction *d, struct direction *r, const struct segment *s,
		const struct sent_kind *k, uint64_t now);
void limit_queue_ack(struct flow *f, struct direction *d, const struct acked *a);
void limit_settle(struct direction *d);
void limit_round_trip(struct direction *d, const struct direction *r, uint64_t forth_ns,
		      uint64_t back_ns);
void limit_end(struct flow *f, unsigned from);

void interval_add(struct direction *d, uint64_t start, uint64_t end, unsigned cause);
void interval_recause(struct direction *d, uint64_t since, unsigned was, unsigned is);

#endif
