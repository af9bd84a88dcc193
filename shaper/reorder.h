/* SPDX-License-Identifier: GPL-3.0-or-later */
/* reorder.h - which frames skip their delay and so overtake others, pure */
#ifndef SHAPER_REORDER_H
#define SHAPER_REORDER_H

#include "shaper/chance.h"

#include <stdbool.h>
#include <stdint.h>

#define REORDER_GAP_MAX 1000000u

struct reorder {
	struct chance chance;
	uint64_t gap;	  /* one of so many frames, at most */
	uint64_t delayed; /* frames since the last that went at once */
};

void reorder_init(struct reorder *r, const struct chance_conf *c, uint64_t gap, uint64_t seed,
		  uint32_t stream);
void reorder_change(struct reorder *r, const struct chance_conf *c, uint64_t gap);
bool reorder_next(struct reorder *r);

#endif
