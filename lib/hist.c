// SPDX-License-Identifier: GPL-3.0-or-later
/* hist.c - a histogram of 64-bit values that answers for percentiles */
#include "lib/hist.h"

#include <float.h>
#include <math.h>

/*
 * Theory of operation
 *
 * Buckets are linear within a power of two and as many in each, as in Gil
 * Tene's HdrHistogram (http://hdrhistogram.org/): 2048 of them, so that a
 * bucket is never wider than 1/2048 of its smallest value. Below 4096 each
 * value has a bucket of its own and is exact. With e the number of the highest
 * bit that is set in a value, e ≥ 11, its bucket is
 *
 *     (e - 11) × 2048 + (value >> (e - 11))
 *
 * and a value below 2048 is its own bucket's number, which continues that.
 *
 * Adding touches two words and takes no lock. A reader sees each counter as it
 * is at that moment, so that what it works out is true of some mixture of
 * moments while it read: counts never go back, and a second pass over them
 * finds at least what the first one did. Nothing is kept that could disagree
 * with the buckets but the maximum, which a reader may see a moment too early
 * or too late.
 */

static unsigned bucket_of(uint64_t value)
{
	unsigned shift;

	if (value < HIST_SUBS)
		return (unsigned)value;
	shift = 63u - (unsigned)__builtin_clzll(value) - HIST_SUB_BITS;
	return shift * HIST_SUBS + (unsigned)(value >> shift);
}

/* Power of two that is the width of a bucket. */
static unsigned width_of(unsigned bucket)
{
	return bucket < 2 * HIST_SUBS ? 0 : bucket / HIST_SUBS - 1;
}

static uint64_t lowest_in(unsigned bucket)
{
	unsigned shift = width_of(bucket);

	return (uint64_t)(bucket - shift * HIST_SUBS) << shift;
}

static uint64_t highest_in(unsigned bucket)
{
	return lowest_in(bucket) + ((1ull << width_of(bucket)) - 1);
}

/* Adds a value. One thread only. */
void hist_add(struct hist *h, uint64_t value)
{
	if (value > counter_get(&h->max))
		atomic_store_explicit(&h->max, value, memory_order_relaxed);
	counter_add(&h->buckets[bucket_of(value)], 1);
}

/* Returns how many values were added. */
uint64_t hist_count(const struct hist *h)
{
	uint64_t n = 0;
	unsigned i;

	for (i = 0; i < HIST_BUCKETS; i++)
		n += counter_get(&h->buckets[i]);
	return n;
}

/* Returns the largest value added, exactly; 0 if there is none. */
uint64_t hist_max(const struct hist *h)
{
	return counter_get(&h->max);
}

/* Which of @n values in order, from 1, is the quantile @q: ceil(q × n), at least the first. */
static uint64_t rank_of(double q, uint64_t n)
{
	/* 0.07 × 100 is a little more than 7 in binary, and 7 is meant. */
	double rank = ceil(q * (double)n * (1 - 4 * DBL_EPSILON));

	if (!(rank > 1))
		return 1;
	return rank < (double)n ? (uint64_t)rank : n;
}

/*
 * Returns a quantile: the smallest value that at least the share @q of all
 * values does not exceed. It is the upper edge of that value's bucket, so at
 * most 1/2048 too high and never too low, and never above the largest value.
 * @q: 0 (the smallest) … 1 (the largest); 0.5 is the median
 *
 * 0 if no value was added.
 */
uint64_t hist_quantile(const struct hist *h, double q)
{
	uint64_t n = hist_count(h), rank, seen = 0, max;
	unsigned i;

	if (!n)
		return 0;
	rank = rank_of(q, n);
	for (i = 0; i < HIST_BUCKETS - 1; i++) {
		seen += counter_get(&h->buckets[i]);
		if (seen >= rank)
			break;
	}
	max = hist_max(h);
	/* A maximum below the bucket is one from before its value was added. */
	return max >= lowest_in(i) && max < highest_in(i) ? max : highest_in(i);
}

/* Returns the mean, each value taken as its bucket's middle: within 1/4096. 0 if there is none. */
double hist_mean(const struct hist *h)
{
	uint64_t n = 0, here;
	double sum = 0;
	unsigned i;

	for (i = 0; i < HIST_BUCKETS; i++) {
		here = counter_get(&h->buckets[i]);
		n += here;
		sum += (double)here * ((double)lowest_in(i) + (double)highest_in(i)) / 2;
	}
	return n ? sum / (double)n : 0;
}
