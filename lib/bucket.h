/* SPDX-License-Identifier: GPL-3.0-or-later */
/* bucket.h - a token bucket: pure, its clock is the caller's */
#ifndef LIB_BUCKET_H
#define LIB_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

/* Tokens are counted in billionths, so that refilling loses nothing to rounding. */
struct bucket {
	uint64_t rate;	    /* tokens a second; 0: nothing passes */
	uint64_t depth;	    /* most tokens that can be saved up */
	uint64_t nano;	    /* tokens × 10⁹ there are */
	uint64_t refill_ns; /* when that was true */
};

void bucket_init(struct bucket *b, uint64_t rate, uint64_t depth, uint64_t now_ns);
bool bucket_take(struct bucket *b, uint64_t tokens, uint64_t now_ns);

#endif
