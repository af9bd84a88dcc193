// SPDX-License-Identifier: GPL-3.0-or-later
/* interval.c - when what limited a direction */
#include "capture/flow_impl.h"

#include <stdlib.h>
#include <string.h>

static void interval_merge_shortest(struct direction *d)
{
	struct interval *v = d->intervals;
	uint16_t i, at = 1;

	for (i = 1; i + 1 < d->n_intervals; i++)
		if (v[i].end_ns - v[i].start_ns < v[at].end_ns - v[at].start_ns)
			at = i;
	v[at - 1].end_ns = v[at].end_ns;
	memmove(&v[at], &v[at + 1], (size_t)(d->n_intervals - at - 1) * sizeof(*v));
	d->n_intervals--;
	d->merged++;
}

/* Adds a stretch of time; one that goes on with the same cause makes the last one longer. */
void interval_add(struct direction *d, uint64_t start, uint64_t end, unsigned cause)
{
	struct interval *last = d->n_intervals ? &d->intervals[d->n_intervals - 1] : NULL;

	if (end <= start)
		return;
	if (last && last->cause == cause) {
		last->end_ns = end;
		return;
	}
	if (d->n_intervals == INTERVALS_MAX) {
		interval_merge_shortest(d);
	} else if (d->n_intervals == d->room_intervals) {
		uint16_t room = d->room_intervals ? (uint16_t)(d->room_intervals * 2) : 4;
		struct interval *more = realloc(d->intervals, room * sizeof(*more));

		if (!more)
			return;
		d->intervals = more;
		d->room_intervals = room;
	}
	d->intervals[d->n_intervals++] =
		(struct interval){.start_ns = start, .end_ns = end, .cause = (uint8_t)cause};
}

/* From a time on, what was told as the one is the other, as far as it is the last interval. */
void interval_recause(struct direction *d, uint64_t since, unsigned was, unsigned is)
{
	struct interval *last = d->n_intervals ? &d->intervals[d->n_intervals - 1] : NULL;
	uint64_t end;

	if (!last || last->cause != was || last->end_ns <= since)
		return;
	end = last->end_ns;
	if (last->start_ns < since) {
		last->end_ns = since;
	} else {
		since = last->start_ns;
		d->n_intervals--;
	}
	interval_add(d, since, end, is);
}
