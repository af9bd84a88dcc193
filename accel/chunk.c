// SPDX-License-Identifier: GPL-3.0-or-later
/* chunk.c - memory for bytes under way, kept for the next that need it */
/*
 * Streams are many and mostly idle: what each needs for bytes under way it has
 * only while there are some. The most recent one is used again first, its
 * pages are there and in the cache; the allocator would give such sizes back
 * to the kernel each time, to be filled with zeros anew.
 */
#include "accel/chunk.h"

#include <stdlib.h>

/* An empty chunk; NULL: memory is short. */
struct chunk *chunk_take(struct chunks *c)
{
	struct chunk *one = c->spare;

	if (one) {
		c->spare = one->next;
		c->n--;
	} else {
		one = malloc(sizeof(*one));
		if (!one)
			return NULL;
	}
	one->next = NULL;
	one->len = one->pos = 0;
	return one;
}

/* Takes back one that is not needed any more; NULL is allowed. */
void chunk_give(struct chunks *c, struct chunk *one)
{
	if (!one)
		return;
	if (c->n == CHUNKS_SPARE) {
		free(one);
		return;
	}
	one->next = c->spare;
	c->spare = one;
	c->n++;
}

/* Frees what is kept. */
void chunks_free(struct chunks *c)
{
	struct chunk *one;

	while ((one = c->spare)) {
		c->spare = one->next;
		free(one);
	}
	c->n = 0;
}
