// SPDX-License-Identifier: GPL-3.0-or-later
/* stream_move.c - streams without a flow, from one relay thread to another */
/*
 * Theory of operation
 *
 * A stream belongs to one relay thread, and so do its flow and that flow's
 * socket. While it has none, another thread may get it:
 *
 * - with an OPEN that has come on it, which another thread is to serve
 *   (relay_place()): the record is taken there, and what was read behind it;
 * - because that thread has asked the tunnel for it, which is only known when
 *   its HELLO has come (stream_asker());
 * - because that thread has none left for its next flow (stream_borrow()).
 *
 * stream_move() only says where it goes. At the end of the turn, when nobody
 * holds it any more, it leaves its thread (stream_send_off()) and is posted to
 * the other. What all threads are told meanwhile passes it by, so come() looks
 * at what such words have left behind. A process that is ending moves nothing;
 * what is on its way when its threads end is freed by shard_drain().
 */
#include "accel/internal.h"

#include "accel/outbox.h"

#include <stdlib.h>
#include <string.h>

/* The shard that waits for streams from the tunnel most, and now for one less; NULL: none does. Any
 * thread. */
struct shard *stream_asker(struct accel *a, unsigned peer)
{
	struct shard *best = NULL;
	unsigned i, most = 0;

	for (i = 0; i < a->n_shards; i++) {
		struct pool *p = &a->shards[i].pools[peer];
		unsigned asked = p->asked, coming = p->coming;

		if (asked > coming && asked - coming > most) {
			most = asked - coming;
			best = &a->shards[i];
		}
	}
	if (best)
		best->pools[peer].coming++;
	return best;
}

/* The shard with fewest streams to a peer. Any thread. */
struct shard *stream_fewest(struct accel *a, unsigned peer)
{
	struct shard *best = a->shards;
	unsigned i;

	for (i = 1; i < a->n_shards; i++)
		if (a->shards[i].pools[peer].all < best->pools[peer].all)
			best = &a->shards[i];
	return best;
}

/* Keeps what was read for the thread that the stream goes to. */
void stream_keep(struct stream *s, const uint8_t *at, size_t len)
{
	uint8_t *more = realloc(s->rest, s->rest_len + len);

	if (!more) {
		stream_break(s, "memory is short");
		return;
	}
	memcpy(more + s->rest_len, at, len);
	s->rest = more;
	s->rest_len += len;
}

struct loan {
	struct shard *from, *to;
	unsigned peer;
};

static void lend(void *arg)
{
	struct loan *l = arg;
	struct stream *s;

	rcu_read_lock();
	s = l->from->pools[l->peer].warmest;
	if (s)
		stream_move(s, l->to);
	rcu_read_unlock();
	free(l);
}

/* Asks the shard that has most idle streams for one. It comes sooner than a new one. */
void stream_borrow(struct shard *sh, unsigned peer)
{
	struct accel *a = sh->a;
	struct shard *from = NULL;
	unsigned i, idle, most = 0;
	struct loan *l;

	for (i = 0; i < a->n_shards; i++) {
		idle = a->shards[i].pools[peer].idle;
		if (&a->shards[i] != sh && idle > most) {
			most = idle;
			from = &a->shards[i];
		}
	}
	l = from ? malloc(sizeof(*l)) : NULL;
	if (!l)
		return;
	*l = (struct loan){from, sh, peer};
	if (loop_post(from->loop, lend, l))
		free(l);
}

/*
 * Has a stream served by another relay thread from now on, with what was read
 * of it and not taken. Only one without a flow: what a flow has is its thread's
 * own. It goes at the end of the turn, whoever calls may still hold it.
 */
void stream_move(struct stream *s, struct shard *to)
{
	if (s->a->stopping || s->dead || s->relay || to == s->shard)
		return;
	s->to = to;
	s->next_leaving = s->shard->leaving;
	s->shard->leaving = s;
	stream_leave_pool(s);
}

static void come(void *arg)
{
	struct stream *s = arg;
	struct shard *sh = s->shard;
	uint8_t *rest = s->rest;
	size_t len = s->rest_len;
	bool again = s->again;

	s->rest = NULL;
	s->rest_len = 0;
	s->again = false;
	/* Before anything can be written: the other thread's chunks are not this one's. */
	outbox_move(SSL_get_wbio(s->ssl), &sh->chunks);
	rcu_read_lock();
	s->placed = again;
	stream_enter(s);
	stream_retire(s);
	/* What every thread was told to do while it was nobody's. */
	if (memory_is_earlier(s))
		stream_break(s, "its process has ended");
	else if (stream_resume(s, again, rest, len))
		stream_break(s, "it cannot be watched");
	free(rest);
	relay_serve_waiting(sh, s->peer);
	rcu_read_unlock();
}

static void depart(struct stream *s)
{
	struct shard *from = s->shard, *to = s->to;

	/* A last word that nobody waited for: what this thread opens next comes behind it. */
	if (s->lazy && !stream_flush(s))
		return;
	stream_leave(s);
	stream_count(from, s->peer, -1);
	stream_count(to, s->peer, 1);
	s->shard = to;
	s->to = NULL;
	if (!loop_post(to->loop, come, s))
		return;
	stream_count(to, s->peer, -1);
	stream_count(from, s->peer, 1);
	if (s->asked_for)
		to->pools[s->peer].coming--;
	s->asked_for = false;
	s->shard = from;
	stream_enter(s);
	stream_break(s, "memory is short");
}

/* Sends off the streams that were told to move. At the end of a turn. */
void stream_send_off(struct shard *sh)
{
	struct stream *s = sh->leaving, *next;

	sh->leaving = NULL;
	for (; s; s = next) {
		next = s->next_leaving;
		if (s->dead)
			continue;
		if (s->pending) { /* it is on a list */
			s->next_leaving = sh->leaving;
			sh->leaving = s;
		} else {
			depart(s);
		}
	}
}
