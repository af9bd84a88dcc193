/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hist.h - a histogram of 64-bit values that answers for percentiles */
#ifndef LIB_HIST_H
#define LIB_HIST_H

#include "lib/counter.h"

#include <stdint.h>

/*
 * Each power of two is cut into 2048 buckets: no value is off by more than 1/2048 of itself,
 * which is 30 us of a delay of 60 ms.
 */
#define HIST_SUB_BITS 11
#define HIST_SUBS     (1u << HIST_SUB_BITS)
#define HIST_BUCKETS  ((64 - HIST_SUB_BITS + 1) * HIST_SUBS)

/* One thread adds, others may read meanwhile. All zeros is an empty one. 850 KB. */
struct hist {
	counter max;		       /* largest value added */
	counter buckets[HIST_BUCKETS]; /* how many values fell into each */
};

void hist_add(struct hist *h, uint64_t value);
uint64_t hist_count(const struct hist *h);
uint64_t hist_max(const struct hist *h);
uint64_t hist_quantile(const struct hist *h, double q);
double hist_mean(const struct hist *h);

#endif
