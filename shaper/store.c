// SPDX-License-Identifier: GPL-3.0-or-later
/* store.c - memory of the frames in flight */
/*
 * Theory of operation
 *
 * Frames are put one behind the other into chunks. A chunk counts its frames;
 * when the last has left and nothing more is put in, it is empty and used
 * again, whatever the order in which its frames left. A straggler keeps its
 * chunk, not the frames that came after it.
 *
 * Chunks are made and their pages touched ahead of need: a page fault on the
 * way of a frame would be a delay nobody asked for. When the store turns out to
 * be too small it grows by one chunk at a time, up to its limit.
 */
#include "shaper/store.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Aligned to its size, so that a frame's address tells its chunk. */
#define CHUNK_BYTES ((uint64_t)1 << 20)
#define HELD_ALIGN  64 /* of a frame's structure: a cache line */

struct chunk {
	struct chunk *next;
	uint32_t live; /* frames in it */
	uint32_t used; /* bytes, this header included */
};

#define CHUNK_FIRST ((sizeof(struct chunk) + HELD_ALIGN - 1) / HELD_ALIGN * HELD_ALIGN)

static_assert(CHUNK_FIRST + sizeof(struct held) + FRAME_MAX + HELD_ALIGN < CHUNK_BYTES,
	      "a chunk holds the longest frame");

/* Makes chunks of at least @bytes in one mapping; their pages are there. NULL: no memory. */
static struct chunk *map_chunks(uint64_t bytes, uint64_t *got)
{
	uint64_t n = (bytes + CHUNK_BYTES - 1) / CHUNK_BYTES, size = (n + 1) * CHUNK_BYTES, head;
	struct chunk *list = NULL, *c;
	uint8_t *at, *map;

	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED)
		return NULL;
	at = (uint8_t *)(((uintptr_t)map + CHUNK_BYTES - 1) & ~(uintptr_t)(CHUNK_BYTES - 1));
	head = (uint64_t)(at - map);
	if (head)
		munmap(map, head);
	if (CHUNK_BYTES - head)
		munmap(at + n * CHUNK_BYTES, CHUNK_BYTES - head);
	madvise(at, n * CHUNK_BYTES, MADV_HUGEPAGE);
	/* Linux 5.14; where it is missing, writing does it. */
	if (madvise(at, n * CHUNK_BYTES, MADV_POPULATE_WRITE))
		memset(at, 0, n * CHUNK_BYTES);
	for (*got = n * CHUNK_BYTES; n; n--, at += CHUNK_BYTES) {
		c = (struct chunk *)at;
		*c = (struct chunk){.next = list, .used = CHUNK_FIRST};
		list = c;
	}
	return list;
}

/*
 * Makes chunks for a store, in any thread: touching many pages takes time.
 * @bytes: wanted
 * @got:   how many there are
 * Returns what store_give() takes; NULL: no memory, or nothing was wanted.
 */
struct chunk *store_prepare(uint64_t bytes, uint64_t *got)
{
	*got = 0;
	return bytes ? map_chunks(bytes, got) : NULL;
}

/* Gives a store chunks that store_prepare() has made. */
void store_give(struct store *s, struct chunk *chunks, uint64_t bytes)
{
	struct chunk *last = chunks;

	if (!chunks)
		return;
	while (last->next)
		last = last->next;
	last->next = s->spare;
	s->spare = chunks;
	s->bytes += bytes;
}

/*
 * Makes a store.
 * @bytes: ready from the start
 * @limit: it does not grow beyond
 * Returns 0 or -ENOMEM with a text.
 */
int store_init(struct store *s, uint64_t bytes, uint64_t limit, struct err *e)
{
	uint64_t got;
	struct chunk *c = store_prepare(bytes < CHUNK_BYTES ? CHUNK_BYTES : bytes, &got);

	*s = (struct store){.limit = limit};
	if (!c)
		return err_set(e, ENOMEM,
			       "no memory for %llu bytes of frames in flight; say less "
			       "by --buffer",
			       (unsigned long long)bytes);
	store_give(s, c, got);
	return 0;
}

static void unmap(struct chunk *c)
{
	struct chunk *next;

	for (; c; c = next) {
		next = c->next;
		munmap(c, CHUNK_BYTES);
	}
}

/* Gives all memory back. Frames that are still held must have been freed before. */
void store_release(struct store *s)
{
	unmap(s->current);
	unmap(s->spare);
	*s = (struct store){0};
}

static struct chunk *chunk_of(struct held *h)
{
	return (struct chunk *)((uintptr_t)h & ~(uintptr_t)(CHUNK_BYTES - 1));
}

/* Another chunk to put frames into; false: the limit is reached, or the machine's. */
static bool next_chunk(struct store *s)
{
	struct chunk *c = s->spare;
	uint64_t got;

	if (!c && s->bytes + CHUNK_BYTES <= s->limit) {
		store_give(s, store_prepare(CHUNK_BYTES, &got), CHUNK_BYTES);
		c = s->spare;
	}
	if (!c)
		return false;
	/* One that still holds frames goes to the spare ones with the last of them. */
	s->spare = c->next;
	c->next = NULL;
	s->current = c;
	return true;
}

/*
 * Room for a frame of @len bytes. Its data are the caller's to fill in, the
 * rest is zero. Returns NULL when the store is full.
 */
struct held *store_add(struct store *s, uint32_t len)
{
	uint32_t size =
		(uint32_t)((sizeof(struct held) + len + HELD_ALIGN - 1) / HELD_ALIGN * HELD_ALIGN);
	struct chunk *c = s->current;
	struct held *h;

	/* An empty one has room for every frame. */
	if (!c || c->used + size > CHUNK_BYTES) {
		if (!next_chunk(s))
			return NULL;
		c = s->current;
	}
	h = (struct held *)((uint8_t *)c + c->used);
	c->used += size;
	c->live++;
	s->held++;
	memset(h, 0, sizeof(*h));
	return h;
}

/* Gives a frame's memory back. */
void store_free(struct store *s, struct held *h)
{
	struct chunk *c = chunk_of(h);

	s->held--;
	if (--c->live)
		return;
	c->used = CHUNK_FIRST;
	if (c == s->current)
		return;
	c->next = s->spare;
	s->spare = c;
}
