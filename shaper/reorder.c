// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * reorder.c - which frames skip their delay and so overtake others, pure
 *
 * As tc-netem(8) describes "reorder P [CORRELATION] gap N": N - 1 frames are delayed;
 * each one after them goes at once with probability P, and when one has, it begins
 * again. With P of 100 % it is every Nth frame; with N of 1, the default, a share P of
 * all frames.
 */
#include "shaper/reorder.h"

/*
 * Begins a sequence.
 * @c:      probability and correlation, of candidates only
 * @gap:    1…REORDER_GAP_MAX; 0 means 1
 * @seed:   see rng_seed(), as for
 * @stream: which nothing else must use
 */
void reorder_init(struct reorder *r, const struct chance_conf *c, uint64_t gap, uint64_t seed,
		  uint32_t stream)
{
	chance_init(&r->chance, c, seed, stream);
	reorder_change(r, c, gap);
}

/* Goes on with the same random numbers and other settings. */
void reorder_change(struct reorder *r, const struct chance_conf *c, uint64_t gap)
{
	chance_change(&r->chance, c);
	r->gap = gap;
	r->delayed = 0;
}

/* Returns whether a frame goes at once. */
bool reorder_next(struct reorder *r)
{
	if (r->delayed + 1 < r->gap || !chance_next(&r->chance)) {
		r->delayed++;
		return false;
	}
	r->delayed = 0;
	return true;
}
