// SPDX-License-Identifier: GPL-3.0-or-later
/* pace.c - how fast may be sent to a peer; pure */
/*
 * Theory of operation
 *
 * A virtual clock (the generic cell rate algorithm of ITU-T I.371): the time
 * at which the path will have carried what has been sent. As long as that is
 * no more than BURST ahead, more may be sent; time in which nothing was sent
 * is not saved up.
 *
 * Frames and streams share a peer's rate. Frames hold to theirs exactly, by
 * this clock; the kernel paces the streams (SO_MAX_PACING_RATE). Each gets
 * what the other leaves, and at least half if it can use that.
 */
#include "tunnel/pace.h"

#include "lib/clock.h"

/* As late as an event loop may come back without losing time; its timers are good to 1 ms. */
#define BURST_NS (3 * NS_PER_MS)

/* Sets up a rate, in bits a second, at least 1. */
void pace_init(struct pace *p, uint64_t bps)
{
	*p = (struct pace){.full_bps = bps, .bps = bps};
}

/* Returns how long to wait before something may be sent; 0: it may be now. */
uint64_t pace_wait_ns(const struct pace *p, uint64_t now_ns)
{
	return p->free_ns > now_ns + BURST_NS ? p->free_ns - now_ns - BURST_NS : 0;
}

/* Something of @bytes on the wire has been sent. */
void pace_sent(struct pace *p, uint64_t bytes, uint64_t now_ns)
{
	uint64_t bps = atomic_load_explicit(&p->bps, memory_order_relaxed);

	if (p->free_ns < now_ns)
		p->free_ns = now_ns;
	p->free_ns += bytes * 8 * NS_PER_S / bps;
	counter_add(&p->sent, bytes);
}

/*
 * Divides a peer's rate.
 * @frames_bps, @streams_bps: what each has sent lately
 */
struct pace_shares pace_share(uint64_t full_bps, uint64_t frames_bps, uint64_t streams_bps)
{
	uint64_t half = full_bps / 2;

	return (struct pace_shares){
		.streams_bps = frames_bps < half ? full_bps - frames_bps : half,
		.frames_bps = streams_bps < half ? full_bps - streams_bps : half,
	};
}
