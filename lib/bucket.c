// SPDX-License-Identifier: GPL-3.0-or-later
/* bucket.c - a token bucket: pure, its clock is the caller's */
#include "lib/bucket.h"

#define NANO 1000000000ull

/*
 * Sets up a full bucket.
 * @rate:   tokens a second, at most 10⁹
 * @depth:  most tokens saved up: the burst that passes at once, at most 10⁹
 * @now_ns: time on the clock that bucket_take() will be given
 */
void bucket_init(struct bucket *b, uint64_t rate, uint64_t depth, uint64_t now_ns)
{
	*b = (struct bucket){rate, depth, depth * NANO, now_ns};
}

/*
 * Takes tokens if there are enough, all or none. Threads that share a bucket
 * have read the clock at different moments: a time before the last one refills
 * nothing.
 * Returns whether they were taken.
 */
bool bucket_take(struct bucket *b, uint64_t tokens, uint64_t now_ns)
{
	uint64_t room = b->depth * NANO - b->nano;

	if (b->rate && now_ns > b->refill_ns) {
		uint64_t elapsed = now_ns - b->refill_ns;

		/* Division first: rate × elapsed may not fit into 64 bits. */
		b->nano += elapsed <= room / b->rate ? b->rate * elapsed : room;
		b->refill_ns = now_ns;
	}
	if (tokens > b->depth || b->nano < tokens * NANO)
		return false;
	b->nano -= tokens * NANO;
	return true;
}
