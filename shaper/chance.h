/* SPDX-License-Identifier: GPL-3.0-or-later */
/* chance.h - an event of a given probability and correlation, pure */
#ifndef SHAPER_CHANCE_H
#define SHAPER_CHANCE_H

#include "lib/err.h"
#include "shaper/rng.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zeroed: never. */
struct chance_conf {
	double p;	    /* how often in the long run, 0…1 */
	double correlation; /* of one outcome with the next, 0 to below 1 */
};

struct chance {
	struct rng rng;
	double p_next;	   /* of the next outcome */
	double p_after[2]; /* of the one after none, after an event */
};

int chance_parse(const char *text, struct chance_conf *c, struct err *e);
bool chance_conf_equal(const struct chance_conf *a, const struct chance_conf *b);

void chance_init(struct chance *ch, const struct chance_conf *c, uint64_t seed, uint32_t stream);
void chance_change(struct chance *ch, const struct chance_conf *c);
bool chance_next(struct chance *ch);

#endif
