/* SPDX-License-Identifier: GPL-3.0-or-later */
/* departures.h - frames that wait for the moment they are due */
#ifndef SHAPER_DEPARTURES_H
#define SHAPER_DEPARTURES_H

#include "shaper/store.h"

#include <stddef.h>

/* Ordered by due time, then by when they were added. */
struct departures {
	struct queue_item *first, **end; /* those in order */
	struct held *last;		 /* of them; NULL: none */
	struct held **heap;		 /* those that overtake */
	size_t n_heap, heap_size;
	uint64_t order; /* of the next one added */
};

void departures_init(struct departures *d);
void departures_release(struct departures *d);
bool departures_add(struct departures *d, struct held *h);
uint64_t departures_next(const struct departures *d);
struct held *departures_pop(struct departures *d, uint64_t now_ns);

#endif
