// SPDX-License-Identifier: GPL-3.0-or-later
/* retain.c - copies of what was sent on one of several streams, until the other side has it. Pure
 */
/*
 * Theory of operation
 *
 * The bytes are a queue: new ones are added at its end when they are sent, and
 * leave at its beginning when the other side says that its host has taken them.
 * Spans say, side by side, which stripe each byte was sent on last. When a
 * stripe is lost, its spans are to be sent again; what is, becomes another
 * stripe's. When a stripe was left in order, its bytes have arrived.
 *
 * Neighbours of the same stripe are one span. New bytes make STRIPE_SPANS_MAX
 * of them at most: then they go on with the last stripe (retain_may_add()), so
 * the other side never sees more pieces than it must remember.
 */
#include "accel/retain.h"

#include "accel/stream_proto.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* @begin: offset of the first byte that will be added */
void retain_init(struct retain *r, struct chunks *from, uint64_t begin)
{
	*r = (struct retain){.from = from, .begin = begin, .end = begin};
}

/* Frees what it holds. */
void retain_release(struct retain *r)
{
	struct chunk *c;

	while ((c = r->first)) {
		r->first = c->next;
		chunk_give(r->from, c);
	}
	free(r->spans);
	retain_init(r, r->from, r->end);
}

/* Whether new bytes may be sent on a stripe. */
bool retain_may_add(const struct retain *r, uint8_t stripe)
{
	return r->n_spans < STRIPE_SPANS_MAX || r->spans[r->n_spans - 1].stripe == stripe;
}

/* Makes room for one more span, before number @at. */
static int insert(struct retain *r, unsigned at, struct retain_span span)
{
	if (r->n_spans == r->room_spans) {
		unsigned room = r->room_spans ? 2 * r->room_spans : 16;
		void *more = realloc(r->spans, room * sizeof(*r->spans));

		if (!more)
			return -ENOMEM;
		r->spans = more;
		r->room_spans = room;
	}
	memmove(r->spans + at + 1, r->spans + at, (r->n_spans - at) * sizeof(*r->spans));
	r->spans[at] = span;
	r->n_spans++;
	return 0;
}

/* Makes one of neighbours of the same stripe. */
static void merge(struct retain *r)
{
	unsigned i, n = 0;

	for (i = 0; i < r->n_spans; i++) {
		if (n && r->spans[n - 1].stripe == r->spans[i].stripe)
			r->spans[n - 1].end = r->spans[i].end;
		else
			r->spans[n++] = r->spans[i];
	}
	r->n_spans = n;
}

/* Keeps a copy of bytes that follow the last ones and are sent on a stripe. Returns 0 or -ENOMEM:
 * then some of them may have been kept, and the flow cannot go on. */
int retain_add(struct retain *r, uint8_t stripe, const uint8_t *bytes, size_t len)
{
	size_t n;

	if (!len)
		return 0;
	if (r->n_spans && r->spans[r->n_spans - 1].stripe == stripe)
		r->spans[r->n_spans - 1].end += len;
	else if (insert(r, r->n_spans, (struct retain_span){r->end + len, stripe}))
		return -ENOMEM;
	for (; len; len -= n, bytes += n, r->end += n) {
		struct chunk *c = r->last;

		if (!r->first || c->len == CHUNK_ROOM) {
			c = chunk_take(r->from);
			if (!c)
				return -ENOMEM;
			*(r->first ? &r->last->next : &r->first) = c;
			r->last = c;
		}
		n = len < CHUNK_ROOM - c->len ? len : CHUNK_ROOM - c->len;
		memcpy(c->bytes + c->len, bytes, n);
		c->len += (uint32_t)n;
	}
	return 0;
}

/* The other side has all bytes before an offset. */
void retain_taken(struct retain *r, uint64_t offset)
{
	uint64_t n, from;
	unsigned i;

	if (offset > r->end)
		offset = r->end;
	if (offset <= r->begin)
		return;
	for (i = 0, from = r->begin; i < r->n_spans && from < offset; i++) {
		uint64_t end = r->spans[i].end < offset ? r->spans[i].end : offset;

		if (r->spans[i].stripe == RETAIN_AGAIN)
			r->again -= end - from;
		from = end;
		if (r->spans[i].end > offset)
			break;
	}
	memmove(r->spans, r->spans + i, (r->n_spans - i) * sizeof(*r->spans));
	r->n_spans -= i;
	for (; r->begin < offset; r->begin += n) {
		struct chunk *c = r->first;

		n = offset - r->begin < c->len - c->pos ? offset - r->begin : c->len - c->pos;
		c->pos += (uint32_t)n;
		if (c->pos == c->len) {
			r->first = c->next;
			chunk_give(r->from, c);
		}
	}
}

static void rename_spans(struct retain *r, uint8_t stripe, uint8_t to)
{
	uint64_t from = r->begin;
	unsigned i;

	for (i = 0; i < r->n_spans; from = r->spans[i++].end) {
		if (r->spans[i].stripe != stripe)
			continue;
		r->spans[i].stripe = to;
		if (to == RETAIN_AGAIN)
			r->again += r->spans[i].end - from;
	}
	merge(r);
}

/* A stripe was left: the other side has what was sent on it. */
void retain_arrived(struct retain *r, uint8_t stripe)
{
	rename_spans(r, stripe, RETAIN_ARRIVED);
}

/* A stripe is lost: what was sent on it must be sent again. */
void retain_lost(struct retain *r, uint8_t stripe)
{
	rename_spans(r, stripe, RETAIN_AGAIN);
}

/* Whether the other side may still lack something that was sent on a stripe. */
bool retain_has(const struct retain *r, uint8_t stripe)
{
	unsigned i;

	for (i = 0; i < r->n_spans; i++)
		if (r->spans[i].stripe == stripe)
			return true;
	return false;
}

static unsigned first_again(const struct retain *r, uint64_t *from)
{
	unsigned i;

	*from = r->begin;
	for (i = 0; i < r->n_spans && r->spans[i].stripe != RETAIN_AGAIN; i++)
		*from = r->spans[i].end;
	return i;
}

/* How many bytes, up to a number, are to be sent again next, and from where in the flow. */
size_t retain_next(const struct retain *r, size_t max, uint64_t *offset)
{
	unsigned i;

	if (!r->again)
		return 0;
	i = first_again(r, offset);
	return r->spans[i].end - *offset < max ? (size_t)(r->spans[i].end - *offset) : max;
}

/* Fetches so many of the bytes that retain_next() has told, which are sent on a stripe now. Returns
 * 0 or -ENOMEM. */
int retain_send_again(struct retain *r, uint8_t stripe, uint8_t *bytes, size_t len)
{
	const struct chunk *c = r->first;
	uint64_t from, skip;
	unsigned i = first_again(r, &from);
	size_t n;

	if (from + len == r->spans[i].end)
		r->spans[i].stripe = stripe;
	else if (insert(r, i, (struct retain_span){from + len, stripe}))
		return -ENOMEM;
	r->again -= len;
	merge(r);
	for (skip = from - r->begin; skip >= c->len - c->pos; c = c->next)
		skip -= c->len - c->pos;
	for (; len; len -= n, bytes += n, c = c->next, skip = 0) {
		n = c->len - c->pos - skip < len ? c->len - c->pos - (size_t)skip : len;
		memcpy(bytes, c->bytes + c->pos + skip, n);
	}
	return 0;
}
