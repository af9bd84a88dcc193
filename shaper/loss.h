/* SPDX-License-Identifier: GPL-3.0-or-later */
/* loss.h - which frames are lost: models of loss, pure */
#ifndef SHAPER_LOSS_H
#define SHAPER_LOSS_H

#include "lib/err.h"
#include "shaper/chance.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOSS_RANGES_MAX (1u << 20) /* ranges of one list: 16 MiB */

struct loss_model;

/* Frames @first to @last, both included. */
struct loss_range {
	uint64_t first;
	uint64_t last;
};

/* What is to be lost. Immutable once in use; zeroed: nothing. */
struct loss_conf {
	const struct loss_model *model; /* NULL: none */
	struct chance_conf bernoulli;
	struct {
		double p;    /* from good to bad */
		double r;    /* from bad to good */
		double bad;  /* loss while bad, 1-h */
		double good; /* loss while good, 1-k */
	} gilbert;
	struct {
		double p13, p31, p32, p23, p14; /* from state to state */
	} markov;
	struct loss_range *ranges; /* ascending, apart from each other; owned */
	size_t n_ranges;
};

struct loss {
	const struct loss_conf *conf;
	struct chance chance; /* its random numbers are the other models' too */
	unsigned state;	      /* of the Markov models */
	size_t at;	      /* first range that is not over */
};

int loss_parse(const char *spec, struct loss_conf *c, struct err *e);
void loss_conf_release(struct loss_conf *c);
bool loss_conf_equal(const struct loss_conf *a, const struct loss_conf *b);

void loss_init(struct loss *l, const struct loss_conf *c, uint64_t seed, uint32_t stream);
void loss_rebind(struct loss *l, const struct loss_conf *c);
void loss_change(struct loss *l, const struct loss_conf *c);
bool loss_next(struct loss *l, uint64_t number);

#endif
