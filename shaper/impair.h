/* SPDX-License-Identifier: GPL-3.0-or-later */
/* impair.h - all that a direction does to its frames, decided in order of arrival, pure */
#ifndef SHAPER_IMPAIR_H
#define SHAPER_IMPAIR_H

#include "shaper/chance.h"
#include "shaper/corrupt.h"
#include "shaper/delay.h"
#include "shaper/loss.h"
#include "shaper/reorder.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Which of a seed's streams of random numbers each model draws from. Published logs and
 * tests depend on these numbers: new ones go to the end.
 */
enum impair_stream {
	IMPAIR_STREAM_LOSS = 1,
	IMPAIR_STREAM_DUPLICATE,
	IMPAIR_STREAM_CORRUPT,
	IMPAIR_STREAM_REORDER,
	IMPAIR_STREAM_DELAY,
	IMPAIR_STREAM_DUPLICATE_DELAY,
	IMPAIR_STREAMS
};

/* Immutable once in use; zeroed: frames pass as they are, at once. */
struct impair_conf {
	struct delay_conf delay;
	struct loss_conf loss;
	struct chance_conf duplicate;
	struct corrupt_conf corrupt;
	struct chance_conf reorder;
	uint64_t reorder_gap; /* see reorder.c; 0: 1 */
};

/* What becomes of one frame. Each is drawn whatever the others say: a frame may be lost twice. */
struct impair_verdict {
	bool lost;
	bool duplicate; /* one more copy, with a delay of its own */
	bool reordered; /* its delay is 0, for it skips it */
	uint8_t n_flips;
	uint32_t flips[CORRUPT_BITS_MAX]; /* bits; 0 is the most significant of the first byte */
	uint64_t delay_ns;
	uint64_t duplicate_delay_ns; /* 0 unless there is a copy */
};

struct impair {
	bool constant; /* nothing is drawn */
	bool corrupting;
	bool reordering;
	uint64_t seed;
	struct loss loss;
	struct chance duplicate;
	struct corrupt corrupt;
	struct reorder reorder;
	struct delay delay;
	struct delay duplicate_delay;
};

int impair_conf_copy(struct impair_conf *to, const struct impair_conf *from, struct err *e);
void impair_conf_release(struct impair_conf *c);
bool impair_is_constant(const struct impair_conf *c);

void impair_init(struct impair *im, const struct impair_conf *c, uint64_t seed);
void impair_update(struct impair *im, const struct impair_conf *old, const struct impair_conf *now,
		   uint64_t seed);
void impair_next(struct impair *im, uint64_t number, uint32_t len, struct impair_verdict *v);

#endif
