// SPDX-License-Identifier: GPL-3.0-or-later
/* inorder.c - bytes of a flow that come on several streams, put in order. Pure */
/*
 * Theory of operation
 *
 * Bytes are kept by their offset in the flow: chunk number offset ÷ CHUNK_ROOM
 * holds the byte at offset modulo CHUNK_ROOM, and is there only while some of
 * its bytes are. What has come is a list of ranges. So memory is bounded by
 * where bytes may be and not by how they come: the window and two chunks, and
 * 16 bytes for each of STRIPE_RANGES_MAX ranges, even if a peer sends every
 * other byte.
 *
 * What comes next in order need not come by here: inorder_direct() says how
 * much of a piece it is, and the caller passes it on and says so
 * (inorder_advance()).
 */
#include "accel/inorder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* @next: offset of the first byte that is awaited */
void inorder_init(struct inorder *r, struct chunks *from, uint64_t next)
{
	*r = (struct inorder){.from = from, .next = next};
}

static struct chunk **slot_of(struct inorder *r, uint64_t offset)
{
	return &r->slots[offset / CHUNK_ROOM % INORDER_CHUNKS];
}

static void drop(struct inorder *r, struct chunk **slot)
{
	chunk_give(r->from, *slot);
	*slot = NULL;
}

/* Frees what it holds. */
void inorder_release(struct inorder *r)
{
	unsigned i;

	for (i = 0; r->from && i < INORDER_CHUNKS; i++)
		drop(r, &r->slots[i]);
	free(r->ranges);
	r->ranges = NULL;
	r->n_ranges = r->room_ranges = 0;
}

/* Notes that a range has come; it may overlap others. */
static int note(struct inorder *r, uint64_t begin, uint64_t end)
{
	unsigned first = r->n_ranges, last;

	/* From the end: what comes is mostly the newest of its stream. */
	while (first && r->ranges[first - 1].end >= begin)
		first--;
	for (last = first; last < r->n_ranges && r->ranges[last].begin <= end; last++) {
		if (r->ranges[last].begin < begin)
			begin = r->ranges[last].begin;
		if (r->ranges[last].end > end)
			end = r->ranges[last].end;
	}
	if (first == last && r->n_ranges == STRIPE_RANGES_MAX)
		return -EPROTO;
	if (first == last && r->n_ranges == r->room_ranges) {
		unsigned room = r->room_ranges ? 2 * r->room_ranges : 16;
		void *more = realloc(r->ranges, room * sizeof(*r->ranges));

		if (!more)
			return -ENOMEM;
		r->ranges = more;
		r->room_ranges = room;
	}
	memmove(r->ranges + first + 1, r->ranges + last, (r->n_ranges - last) * sizeof(*r->ranges));
	r->n_ranges += first + 1 - last;
	r->ranges[first] = (struct inorder_range){begin, end};
	return 0;
}

/*
 * Keeps bytes that came; those that had come already are dropped.
 * @offset: of the first one in the flow
 * Returns 0; -EPROTO: they are farther ahead than any window, or in more pieces
 * than a peer may make of them; -ENOMEM.
 */
int inorder_put(struct inorder *r, uint64_t offset, const uint8_t *bytes, size_t len)
{
	size_t at = 0;

	if (offset > UINT64_MAX - len || offset + len > r->next + CREDIT_MAX)
		return -EPROTO;
	if (offset + len <= r->next)
		return 0;
	if (offset < r->next) {
		at = (size_t)(r->next - offset);
		offset = r->next;
	}
	bytes += at;
	len -= at;
	for (at = 0; at < len;) {
		struct chunk **slot = slot_of(r, offset + at);
		uint32_t pos = (uint32_t)((offset + at) % CHUNK_ROOM);
		size_t n = len - at < CHUNK_ROOM - pos ? len - at : CHUNK_ROOM - pos;

		if (!*slot)
			*slot = chunk_take(r->from);
		if (!*slot)
			return -ENOMEM;
		memcpy((*slot)->bytes + pos, bytes + at, n);
		at += n;
	}
	return note(r, offset, offset + len);
}

/*
 * How many bytes of a piece come next in order and have not come before.
 * @old: set to how many in front of them are to be passed over
 */
size_t inorder_direct(const struct inorder *r, uint64_t offset, size_t len, size_t *old)
{
	size_t n;

	*old = 0;
	if (offset > r->next || offset > UINT64_MAX - len)
		return 0;
	*old = r->next - offset < len ? (size_t)(r->next - offset) : len;
	n = len - *old;
	if (r->n_ranges && r->ranges[0].begin - r->next < n)
		n = (size_t)(r->ranges[0].begin - r->next);
	return n;
}

/* What comes next in order and is kept here. Returns how many bytes are in one piece; 0: none. */
size_t inorder_get(const struct inorder *r, const uint8_t **bytes)
{
	uint32_t pos = (uint32_t)(r->next % CHUNK_ROOM);
	uint64_t n;

	if (!r->n_ranges || r->ranges[0].begin != r->next)
		return 0;
	n = r->ranges[0].end - r->next;
	*bytes = r->slots[r->next / CHUNK_ROOM % INORDER_CHUNKS]->bytes + pos;
	return n < CHUNK_ROOM - pos ? (size_t)n : CHUNK_ROOM - pos;
}

/* The next bytes in order were passed on. @n: no more than one of the two above has said */
void inorder_advance(struct inorder *r, size_t n)
{
	uint64_t last = r->next / CHUNK_ROOM;

	r->next += n;
	if (r->n_ranges && r->ranges[0].begin < r->next) {
		r->ranges[0].begin = r->next;
		if (r->ranges[0].end <= r->next)
			memmove(r->ranges, r->ranges + 1, --r->n_ranges * sizeof(*r->ranges));
	}
	for (; last < r->next / CHUNK_ROOM; last++)
		drop(r, &r->slots[last % INORDER_CHUNKS]);
	if (!r->n_ranges || r->ranges[0].begin / CHUNK_ROOM > last)
		drop(r, slot_of(r, r->next));
}
