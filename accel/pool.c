// SPDX-License-Identifier: GPL-3.0-or-later
/* pool.c - a relay thread's streams to a peer, for the next flows: as many as they may need */
#include "accel/internal.h"

#define REFILL_WAIT_NS (2500 * NS_PER_MS)
#define REFILL_MAX     512 /* asked for at a time */

/* A stream that we open flows on waits for the next. @warm: it has carried something */
static void to_idle(struct stream *s, bool warm)
{
	struct pool *p = &s->shard->pools[s->peer];

	s->state = STREAM_IDLE;
	s->warmer = warm ? NULL : p->coldest;
	s->colder = warm ? p->warmest : NULL;
	*(s->warmer ? &s->warmer->colder : &p->warmest) = s;
	*(s->colder ? &s->colder->warmer : &p->coldest) = s;
	p->idle++;
}

/* …and does so no more. */
static void from_idle(struct stream *s)
{
	struct pool *p = &s->shard->pools[s->peer];

	*(s->warmer ? &s->warmer->colder : &p->warmest) = s->colder;
	*(s->colder ? &s->colder->warmer : &p->coldest) = s->warmer;
	p->idle--;
}

/* Has an idle stream serve the next flow. */
void stream_prefer(struct stream *s)
{
	from_idle(s);
	to_idle(s, true);
}

/* Where a stream is one that we open flows on, it counts in its shard's pool. */
void stream_join_pool(struct stream *s)
{
	struct pool *p = &s->shard->pools[s->peer];

	if (!s->heard || !s->we_open || s->dead || s->state == STREAM_CLOSING)
		return;
	s->in_pool = true;
	p->streams++;
	if (s->state == STREAM_IDLE)
		to_idle(s, s->flows != 0);
	if (!s->asked_for)
		return;
	s->asked_for = false;
	p->coming--;
	if (p->asked)
		p->asked--;
	if (p->overdue)
		p->overdue--;
}

/* No flow of its shard's will be opened on a stream any more. */
void stream_leave_pool(struct stream *s)
{
	if (!s->in_pool)
		return;
	s->in_pool = s->padding = false;
	if (s->state == STREAM_IDLE)
		from_idle(s);
	s->shard->pools[s->peer].streams--;
}

/* How many idle streams to have besides those that flows wait for: more when flows become more, but
 * no more than there may be. */
static unsigned spare(struct shard *sh, struct pool *p, uint64_t now)
{
	unsigned most = sh->a->limits.streams, open = atomic_load(&sh->a->n_streams);
	unsigned ahead = demand_ahead(&p->demand, now, p->streams - p->idle + p->waiting);
	unsigned room = open < most ? (most - open) / 4 : 0;

	most = shard_part(sh->a, STREAMS_AHEAD < room ? STREAMS_AHEAD : room);
	return shard_part(sh->a, STREAMS_SPARE) + (ahead < most ? ahead : most);
}

/* Has the tunnel make as many streams as the next flows may need, and closes what they hardly will.
 */
void stream_refill(struct shard *sh, unsigned peer)
{
	struct accel *a = sh->a;
	struct pool *p = &sh->pools[peer];
	uint64_t now = clock_ns();
	unsigned kept = spare(sh, p, now), want = kept + p->waiting;

	/* What was asked for and has not come for so long never will. */
	if (now - p->asked_ns > REFILL_WAIT_NS) {
		p->asked -= p->overdue;
		p->overdue = p->asked;
		p->asked_ns = now;
	}
	if (a->stopping)
		return;
	while (p->idle > shard_part(a, STREAMS_IDLE) + 2 * (kept - shard_part(a, STREAMS_SPARE)))
		stream_close_soon(p->coldest);
	if (p->idle + p->asked >= want || atomic_load(&a->n_streams) >= a->limits.streams)
		return;
	want -= p->idle + p->asked;
	if (want > REFILL_MAX)
		want = REFILL_MAX;
	p->asked += want;
	a->host.open_streams(a->host.ctx, peer, want);
}

/* Takes an idle stream, the one that was used last; NULL: there is none.
 * @flow: number of the flow that it is for; 0: a new one */
struct stream *stream_take(struct shard *sh, unsigned peer, uint32_t flow)
{
	struct pool *p = &sh->pools[peer];
	struct stream *s = p->warmest;

	if (s) {
		from_idle(s);
		s->state = STREAM_BUSY;
		s->padding = false;
		s->generation++;
		while (!flow)
			flow = atomic_fetch_add(&sh->a->next_flow, 1) + 1;
		s->flow = flow;
		s->flows++;
	} else if (sh->a->n_shards > 1) {
		stream_borrow(sh, peer);
	}
	stream_refill(sh, peer);
	return s;
}

/* A stream's flow is over, and both sides know: the next one may have it. */
void stream_free_for_next(struct stream *s)
{
	s->relay = NULL;
	s->joining = s->said_last = s->heard_last = s->blocks = false;
	s->stripe = 0;
	s->stalled = 0;
	s->sent = s->received = s->rate = 0;
	s->meter = (struct credit_meter){0};
	if (s->dead)
		return;
	if (!s->we_open) {
		s->state = STREAM_IDLE;
		return;
	}
	to_idle(s, true);
	if (s->retired || clock_ns() - s->born_ns > STREAM_AGE_NS)
		stream_close_soon(s);
	relay_serve_waiting(s->shard, s->peer);
	stream_refill(s->shard, s->peer);
}
