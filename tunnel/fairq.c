// SPDX-License-Identifier: GPL-3.0-or-later
/* fairq.c - frames that wait for one bottleneck: flows take turns, sparse ones first; pure */
/*
 * Theory of operation
 *
 * Deficit round robin (Shreedhar and Varghese, 1995) with the two rounds of
 * FQ-CoDel (RFC 8290 section 4): a flow that has had nothing waiting joins the
 * fresh round, which is served before the old one, for one quantum. So ARP, a
 * ping, an ACK or a key pressed goes out next, however much of the bulk flows
 * waits, and two bulk flows share evenly. Within a flow the order stays.
 *
 * There is no CoDel: a bulk flow's own queue is bounded by the limit, and
 * nobody else waits in it. When all of it is in use, the flow with the most
 * bytes loses its oldest frame, whose loss its sender hears of first.
 */
#include "tunnel/fairq.h"

#include <stddef.h>

/*
 * Makes an empty queue.
 * @limit:   bytes that may wait; one item of any size always may
 * @quantum: bytes that a flow sends in its turn, at least a full frame's
 */
void fairq_init(struct fairq *q, uint64_t limit, uint32_t quantum)
{
	*q = (struct fairq){.limit = limit, .quantum = quantum};
}

static void append(struct fairq_round *r, struct fairq_flow *f)
{
	f->next = NULL;
	if (r->head)
		r->last->next = f;
	else
		r->head = f;
	r->last = f;
}

static struct fairq_flow *shift(struct fairq_round *r)
{
	struct fairq_flow *f = r->head;

	r->head = f->next;
	return f;
}

static struct fairq_item *take_first(struct fairq *q, struct fairq_flow *f)
{
	struct fairq_item *item = f->head;

	f->head = item->next;
	f->bytes -= item->cost;
	q->bytes -= item->cost;
	q->items--;
	item->next = NULL;
	return item;
}

static struct fairq_flow *fattest(struct fairq *q)
{
	struct fairq_flow *f, *most = q->flows;

	for (f = q->flows; f < q->flows + FAIRQ_FLOWS; f++)
		if (f->bytes > most->bytes)
			most = f;
	return most;
}

/*
 * Adds an item behind those of its flow.
 * @flow: hash of what tells it from other flows
 *
 * Returns what must be given up for it, linked by next; NULL: nothing.
 */
struct fairq_item *fairq_put(struct fairq *q, struct fairq_item *item, uint64_t flow)
{
	struct fairq_flow *f = &q->flows[flow % FAIRQ_FLOWS];
	struct fairq_item *lost = NULL, *oldest;

	item->next = NULL;
	if (f->head)
		*f->tail = item;
	else
		f->head = item;
	f->tail = &item->next;
	f->bytes += item->cost;
	q->bytes += item->cost;
	q->items++;
	if (!f->listed) {
		f->listed = true;
		f->credit = q->quantum;
		append(&q->fresh, f);
	}
	while (q->bytes > q->limit && q->items > 1) {
		oldest = take_first(q, fattest(q));
		oldest->next = lost;
		lost = oldest;
	}
	return lost;
}

/* Takes the item whose turn it is. Returns NULL when nothing waits. */
struct fairq_item *fairq_take(struct fairq *q)
{
	struct fairq_round *round;
	struct fairq_flow *f;
	struct fairq_item *item;

	for (;;) {
		round = q->fresh.head ? &q->fresh : &q->old;
		f = round->head;
		if (!f)
			return NULL;
		if (f->credit <= 0) {
			f->credit += q->quantum;
			append(&q->old, shift(round));
			continue;
		}
		if (f->head)
			break;
		shift(round);
		/* One that has been served goes through the old round once more, or it could come
		 * back as fresh at once and always be first. */
		if (round == &q->fresh && q->old.head)
			append(&q->old, f);
		else
			f->listed = false;
	}
	item = take_first(q, f);
	f->credit -= item->cost;
	return item;
}
