// SPDX-License-Identifier: GPL-3.0-or-later
/* queue.c - the bottleneck's queue and what it drops: pure, its clock is the caller's */
#include "shaper/queue.h"

#include "lib/clock.h"

#include <math.h>

/*
 * Theory of operation
 *
 * A list of frames that belong to the caller, linked through their first
 * member, with the sum of their lengths. Frames go in at the tail and come out
 * at the head; either may drop some, which are handed back as a chain with the
 * reason in each. Nothing is ever allocated, and no frame is ever lost: each
 * one that was pushed is popped or handed back as dropped, once.
 *
 * A limit in time is one in bytes, at the line's rate. An empty queue takes a
 * frame of any size, or a slow line with a short queue would pass nothing. A
 * change of the limits drops nothing by itself: what waits beyond a smaller
 * limit leaves as the line takes it, or, with head drop, when the next frame
 * comes.
 *
 * CoDel (RFC 8289, 5) looks at how long the frame that comes out has waited.
 * States: below (first_above_ns = 0), above (it is when the interval will be
 * over), dropping, with drop_next_ns. It leaves the last MTU alone, since a
 * queue that short cannot be made shorter without leaving the line idle.
 */

struct discipline {
	/* Appends a frame or refuses it. Returns the chain of what is dropped. */
	struct queue_item *(*push)(struct queue *q, struct queue_item *item);
	/* Takes the next frame; what is dropped before it is appended to @dropped. */
	struct queue_item *(*pop)(struct queue *q, uint64_t now_ns, struct queue_item **dropped);
};

static void append(struct queue *q, struct queue_item *item)
{
	*q->tail = item;
	q->tail = &item->next;
	q->bytes += item->len;
	q->frames++;
}

static struct queue_item *take(struct queue *q)
{
	struct queue_item *item = q->head;

	if (!item)
		return NULL;
	q->head = item->next;
	if (!q->head)
		q->tail = &q->head;
	q->bytes -= item->len;
	q->frames--;
	item->next = NULL;
	return item;
}

/* Marks a frame as dropped and links it at *@end. Returns where the next one goes. */
static struct queue_item **drop(struct queue_item **end, struct queue_item *item,
				enum queue_drop why)
{
	item->dropped = why;
	*end = item;
	return &item->next;
}

/* Whether this many bytes and frames are more than may wait. */
static bool beyond(const struct queue *q, uint64_t bytes, uint64_t frames)
{
	return (q->most_bytes && bytes > q->most_bytes) ||
	       (q->conf.limit_frames && frames > q->conf.limit_frames);
}

static struct queue_item *push_or_refuse(struct queue *q, struct queue_item *item)
{
	if (q->frames && beyond(q, q->bytes + item->len, q->frames + 1)) {
		item->dropped = QUEUE_DROP_FULL;
		return item;
	}
	append(q, item);
	return NULL;
}

static struct queue_item *push_and_drop_heads(struct queue *q, struct queue_item *item)
{
	struct queue_item *dropped = NULL, **end = &dropped;

	append(q, item);
	while (q->frames > 1 && beyond(q, q->bytes, q->frames))
		end = drop(end, take(q), QUEUE_DROP_FULL);
	return dropped;
}

static struct queue_item *pop_first(struct queue *q, uint64_t now_ns, struct queue_item **dropped)
{
	return take(q);
}

static uint64_t codel_interval(const struct queue *q)
{
	return q->conf.codel_interval_ns ? q->conf.codel_interval_ns : QUEUE_CODEL_INTERVAL_NS;
}

static uint64_t codel_target(const struct queue *q)
{
	return q->conf.codel_target_ns ? q->conf.codel_target_ns : QUEUE_CODEL_TARGET_NS;
}

/* When the drop after @count of them is due (RFC 8289, 5.7): their gaps shrink with its root. */
static uint64_t control_law(const struct queue *q, uint64_t ns, uint32_t count)
{
	return ns + (uint64_t)((double)codel_interval(q) / sqrt(count));
}

/* Takes a frame and says whether it may be dropped (RFC 8289, 5.6: dodequeue). */
static struct queue_item *codel_take(struct queue *q, uint64_t now_ns, bool *may_drop)
{
	struct queue_item *item = take(q);
	struct codel *s = &q->codel;
	uint64_t waited;

	*may_drop = false;
	if (!item) {
		s->first_above_ns = 0;
		return NULL;
	}
	waited = now_ns > item->arrival_ns ? now_ns - item->arrival_ns : 0;
	if (waited < codel_target(q) || q->bytes <= s->mtu)
		s->first_above_ns = 0;
	else if (!s->first_above_ns)
		s->first_above_ns = now_ns + codel_interval(q);
	else
		*may_drop = now_ns >= s->first_above_ns;
	return item;
}

/*
 * Begins to drop (RFC 8289, 5.5): where dropping has ended a short time ago, at
 * the rate that was enough then, instead of slowly.
 */
static void codel_begin(struct queue *q, uint64_t now_ns)
{
	struct codel *s = &q->codel;
	uint32_t more = s->count - s->last_count;
	bool recently = now_ns < s->drop_next_ns + 16 * codel_interval(q);

	s->dropping = true;
	s->count = more > 1 && recently ? more : 1;
	s->drop_next_ns = control_law(q, now_ns, s->count);
	s->last_count = s->count;
}

static struct queue_item *pop_codel(struct queue *q, uint64_t now_ns, struct queue_item **dropped)
{
	struct codel *s = &q->codel;
	struct queue_item *item;
	bool may_drop;

	item = codel_take(q, now_ns, &may_drop);
	if (!s->dropping) {
		if (!may_drop)
			return item;
		drop(dropped, item, QUEUE_DROP_CODEL);
		item = codel_take(q, now_ns, &may_drop);
		codel_begin(q, now_ns);
		return item;
	}
	s->dropping = may_drop;
	while (s->dropping && now_ns >= s->drop_next_ns) {
		dropped = drop(dropped, item, QUEUE_DROP_CODEL);
		s->count++;
		item = codel_take(q, now_ns, &s->dropping);
		if (s->dropping)
			s->drop_next_ns = control_law(q, s->drop_next_ns, s->count);
	}
	return item;
}

static const struct discipline disciplines[] = {
	[QUEUE_TAIL] = {push_or_refuse, pop_first},
	[QUEUE_HEAD] = {push_and_drop_heads, pop_first},
	[QUEUE_CODEL] = {push_or_refuse, pop_codel},
};

/* Names of enum queue_discipline, in its order, NULL at the end. */
const char *const queue_disciplines[] = {
	[QUEUE_TAIL] = "tail",
	[QUEUE_HEAD] = "head",
	[QUEUE_CODEL] = "codel",
	NULL,
};

/* The limit in bytes that follows from those in bytes and in time; 0: none. */
static uint64_t most_bytes(const struct queue_conf *c, uint64_t bps)
{
	unsigned __int128 fit = (unsigned __int128)c->limit_ns * bps / (8 * NS_PER_S);

	if (!c->limit_ns || !bps)
		return c->limit_bytes;
	if (!fit)
		fit = 1; /* not even a byte, which is a limit all the same */
	if (c->limit_bytes && c->limit_bytes < fit)
		return c->limit_bytes;
	return fit < UINT64_MAX ? (uint64_t)fit : UINT64_MAX;
}

/*
 * Sets up an empty queue, which stays where it is in memory while it is in use.
 * @c:   copied
 * @bps: the line's rate, on average where it varies: makes bytes of limit_ns;
 *       0: none, so that no limit in time applies
 */
void queue_init(struct queue *q, const struct queue_conf *c, uint64_t bps)
{
	*q = (struct queue){.conf = *c, .codel = {.mtu = QUEUE_MTU}};
	q->tail = &q->head;
	q->most_bytes = most_bytes(c, bps);
}

/*
 * Changes a queue in use. What waits stays; a smaller limit refuses newcomers,
 * or with head drop lets the next one push out what is too much. CoDel starts
 * afresh where it was not the discipline before.
 * @c, @bps: as in queue_init()
 */
void queue_update(struct queue *q, const struct queue_conf *c, uint64_t bps)
{
	if (q->conf.discipline != c->discipline)
		q->codel = (struct codel){.mtu = q->codel.mtu};
	q->conf = *c;
	q->most_bytes = most_bytes(c, bps);
}

/*
 * Puts a frame into the queue.
 * @item: its len is set; the queue's until it is popped or handed back
 *
 * Returns the chain of those dropped for want of room, oldest first, with
 * QUEUE_DROP_FULL: none (NULL), @item itself, or with head drop others.
 */
struct queue_item *queue_push(struct queue *q, struct queue_item *item, uint64_t now_ns)
{
	item->next = NULL;
	item->arrival_ns = now_ns;
	if (item->len > q->codel.mtu)
		q->codel.mtu = item->len;
	return disciplines[q->conf.discipline].push(q, item);
}

/*
 * Takes the next frame for the line.
 * @dropped: set to the chain of those that CoDel has dropped before it, oldest
 *           first, with QUEUE_DROP_CODEL; NULL if none
 *
 * Returns NULL if none waits.
 */
struct queue_item *queue_pop(struct queue *q, uint64_t now_ns, struct queue_item **dropped)
{
	*dropped = NULL;
	return disciplines[q->conf.discipline].pop(q, now_ns, dropped);
}

/* Returns the frame that has waited longest, which stays; NULL if none waits. */
struct queue_item *queue_head(const struct queue *q)
{
	return q->head;
}

/* Returns the sum of the lengths of all that waits. */
uint64_t queue_bytes(const struct queue *q)
{
	return q->bytes;
}

/* Returns how many frames wait. */
uint64_t queue_frames(const struct queue *q)
{
	return q->frames;
}
