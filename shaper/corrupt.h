/* SPDX-License-Identifier: GPL-3.0-or-later */
/* corrupt.h - which bits of a frame flip, pure */
#ifndef SHAPER_CORRUPT_H
#define SHAPER_CORRUPT_H

#include "lib/err.h"
#include "shaper/rng.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CORRUPT_BITS_MAX 64   /* flips of one frame */
#define CORRUPT_BER_MAX	 1e-3 /* 12 flips in each frame of 1500 bytes; beyond, it is no link */

/* Zeroed: none. */
struct corrupt_conf {
	double p;      /* of a frame to be corrupted */
	unsigned bits; /* so many of its bits */
	double ber;    /* instead: of each bit to flip */
};

struct corrupt {
	const struct corrupt_conf *conf;
	struct rng rng;
	uint64_t gap;	/* with a bit error rate: sound bits before the next one that flips */
	double per_nat; /* 1 / log(1 - ber) */
};

int corrupt_parse(const char *spec, struct corrupt_conf *c, struct err *e);
bool corrupt_conf_equal(const struct corrupt_conf *a, const struct corrupt_conf *b);
bool corrupt_conf_is_none(const struct corrupt_conf *c);

void corrupt_init(struct corrupt *k, const struct corrupt_conf *c, uint64_t seed, uint32_t stream);
void corrupt_rebind(struct corrupt *k, const struct corrupt_conf *c);
void corrupt_change(struct corrupt *k, const struct corrupt_conf *c);
unsigned corrupt_next(struct corrupt *k, uint32_t len, uint32_t *bits, unsigned max);

#endif
