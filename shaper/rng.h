/* SPDX-License-Identifier: GPL-3.0-or-later */
/* rng.h - seeded random numbers: xoshiro256++, one stream for each model */
#ifndef SHAPER_RNG_H
#define SHAPER_RNG_H

#include <stdint.h>

struct rng {
	uint64_t s[4]; /* never all zero */
};

/* The farthest from its mean that rng_normal() gets, on both sides, rounded up. */
#define RNG_NORMAL_MAX 8.3

void rng_seed(struct rng *r, uint64_t seed, uint32_t stream);
uint64_t rng_u64(struct rng *r);
uint64_t rng_below(struct rng *r, uint64_t n);
double rng_unit(struct rng *r);
double rng_open_unit(struct rng *r);
double rng_normal(struct rng *r);
double rng_normal_cdf(double z);
double rng_normal_quantile(double p);

#endif
