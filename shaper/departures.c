// SPDX-License-Identifier: GPL-3.0-or-later
/* departures.c - frames that wait for the moment they are due */
/*
 * Theory of operation
 *
 * Most lines keep order: each frame is due no earlier than the one before, and
 * a list does. A frame that is due before the last of the list goes to a
 * binary heap (Williams 1964). The next to leave is the first of one of them.
 */
#include "shaper/departures.h"

#include <stdlib.h>

/* Makes an empty set. */
void departures_init(struct departures *d)
{
	*d = (struct departures){.end = &d->first};
}

/* Frees what is the set's own; the frames are not. */
void departures_release(struct departures *d)
{
	free(d->heap);
	departures_init(d);
}

static bool before(const struct held *a, const struct held *b)
{
	return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->order < b->order;
}

static bool heap_add(struct departures *d, struct held *h)
{
	size_t i = d->n_heap, up;

	if (i == d->heap_size) {
		size_t size = d->heap_size ? 2 * d->heap_size : 1024;
		struct held **heap = realloc(d->heap, size * sizeof(*heap));

		if (!heap)
			return false;
		d->heap = heap;
		d->heap_size = size;
	}
	for (d->n_heap++; i; i = up) {
		up = (i - 1) / 2;
		if (!before(h, d->heap[up]))
			break;
		d->heap[i] = d->heap[up];
	}
	d->heap[i] = h;
	return true;
}

static struct held *heap_pop(struct departures *d)
{
	struct held *top = d->heap[0], *h = d->heap[--d->n_heap];
	size_t i = 0, down;

	for (; (down = 2 * i + 1) < d->n_heap; i = down) {
		if (down + 1 < d->n_heap && before(d->heap[down + 1], d->heap[down]))
			down++;
		if (!before(d->heap[down], h))
			break;
		d->heap[i] = d->heap[down];
	}
	d->heap[i] = h;
	return top;
}

/* Adds a frame, its due_ns set. Returns false, and it is not added, when memory is short. */
bool departures_add(struct departures *d, struct held *h)
{
	h->order = d->order++;
	if (d->last && h->due_ns < d->last->due_ns)
		return heap_add(d, h);
	h->queue.next = NULL;
	*d->end = &h->queue;
	d->end = &h->queue.next;
	d->last = h;
	return true;
}

/* When the next one is due, UINT64_MAX if there is none. */
uint64_t departures_next(const struct departures *d)
{
	const struct held *first = store_held(d->first);
	uint64_t next = first ? first->due_ns : UINT64_MAX;

	return d->n_heap && d->heap[0]->due_ns < next ? d->heap[0]->due_ns : next;
}

/* Takes the next one that is due at @now_ns or before; NULL: none is. */
struct held *departures_pop(struct departures *d, uint64_t now_ns)
{
	struct held *h = store_held(d->first);

	if (d->n_heap && (!h || before(d->heap[0], h)))
		return d->heap[0]->due_ns > now_ns ? NULL : heap_pop(d);
	if (!h || h->due_ns > now_ns)
		return NULL;
	d->first = h->queue.next;
	if (!d->first) {
		d->end = &d->first;
		d->last = NULL;
	}
	return h;
}
