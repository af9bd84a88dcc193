/* SPDX-License-Identifier: GPL-3.0-or-later */
/* delay.h - how long frames take: a base delay and jitter around it, pure */
#ifndef SHAPER_DELAY_H
#define SHAPER_DELAY_H

#include "lib/err.h"
#include "shaper/rng.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DELAY_BASE_MAX_NS   60000000000ull  /* what can be asked for, of base and jitter each */
#define DELAY_MAX_NS	    120000000000ull /* what a frame can get: tails are cut off here */
#define DELAY_TABLE_ENTRIES 16384	    /* netem's NETEM_DIST_MAX */
#define DELAY_TABLE_SCALE   8192 /* netem's NETEM_DIST_SCALE: an entry that is one jitter */

struct delay_distribution;

/* How long frames are to take. Immutable once in use; zeroed: not at all. */
struct delay_conf {
	uint64_t base_ns;
	uint64_t jitter_ns;
	double correlation; /* of the normal numbers behind the jitter, 0 to below 1 */
	const struct delay_distribution *distribution; /* NULL: uniform */
	int16_t *table; /* ascending, in 1/8192 of the jitter; owned */
	size_t n_table;
};

struct delay {
	const struct delay_conf *conf;
	struct rng rng;
	bool begun; /* normal is the last number, not nothing */
	double normal;
	double innovation; /* share of each new number: √(1 - correlation²) */
};

int delay_parse_jitter(const char *text, struct delay_conf *c, struct err *e);
int delay_parse_distribution(const char *text, struct delay_conf *c, struct err *e);
void delay_conf_release(struct delay_conf *c);
uint64_t delay_floor(const struct delay_conf *c);

void delay_init(struct delay *d, const struct delay_conf *c, uint64_t seed, uint32_t stream);
void delay_change(struct delay *d, const struct delay_conf *c);
uint64_t delay_next(struct delay *d);

#endif
