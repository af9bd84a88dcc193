// SPDX-License-Identifier: GPL-3.0-or-later
/* memory.c - what is known of connections from before: our journal, and what peers remember */
/*
 * Theory of operation
 *
 * After a crash the stack has forgotten its connections, and their hosts have
 * not. If their segments were bridged they would meet the other host with
 * other sequence numbers. So
 *
 * - connections are written into a journal (journal.c) before the stack can
 *   have spoken to the host. After a restart each of them answers its next
 *   segment with a reset;
 * - a peer that has been lost is told, when it is back, which connections were
 *   accelerated with it (TUPLES), whatever has become of its journal;
 * - without a journal, a segment of an unknown connection is not believed for
 *   QUARANTINE_NS: it is dropped (FLOW_QUERY) until all peers have told theirs.
 *   If one of them does not know of all (TUPLES_END says so), because it is
 *   new itself, the connection is reset; otherwise it was bridged, and is.
 *
 * That a peer has restarted shows by the number it has chosen for itself, in
 * its HELLO: what is left of streams to the old one is dead then, even if no
 * packet has told so.
 */
#include "accel/internal.h"

#include "lib/log.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define QUERY_MS 10000
#define LOST_MAX 65536 /* connections remembered of a lost peer */

static bool in_quarantine(const struct accel *a)
{
	return atomic_load(&a->quarantine_until_ns) != 0;
}

/* ---- the journal ---- */

static int tag_index(const struct accel *a, uint32_t number)
{
	unsigned i;

	for (i = 0; i < a->conf.n_tags; i++)
		if (a->conf.tags[i].number == number && a->conf.tags[i].on)
			return (int)i;
	return -1;
}

/* Has a connection answer its next segment with a reset. */
static struct flow *bury(struct accel *a, const struct tuple *t, bool client_here)
{
	int tag = tag_index(a, t->tag);
	struct flow_key key;
	struct flow *f;

	if (tag < 0 || atomic_load(&a->flows.count) >= ENTRIES_MAX)
		return NULL;
	flow_key_from_tuple(&key, t, client_here, (unsigned)tag);
	f = flow_find(&a->flows, &key);
	if (f && f->way != FLOW_QUERY)
		return NULL;
	if (!f)
		f = flow_add(&a->flows, &key, t->ip_version, FLOW_RESET, now_ms());
	if (!f)
		return NULL;
	atomic_store(&f->until_ms, (now_ms() + TOMB_MS) | 1);
	atomic_store(&f->way, FLOW_RESET);
	return f;
}

static bool bury_entry(void *ctx, int slot, const struct journal_entry *e)
{
	struct flow *f = bury(ctx, &e->tuple, e->client_here);

	if (f)
		f->slot = slot + 1;
	return f != NULL;
}

/* Opens the journal and takes over what is in it. */
void memory_open(struct accel *a)
{
	bool was_there = false;
	struct err e;
	size_t n = 0;

	if (getrandom(&a->instance, sizeof(a->instance), 0) != sizeof(a->instance))
		a->instance = (uint32_t)clock_ns();
	a->instance |= 1; /* not 0 */
	a->journal = journal_open(a->conf.state, a->conf.name, &was_there, &e);
	if (!a->journal)
		log_warning("accel: %s; after a crash, connections that were accelerated cannot be "
			    "reset",
			    e.text);
	rcu_read_lock();
	if (a->journal)
		n = journal_each(a->journal, bury_entry, a);
	rcu_read_unlock();
	if (n)
		log_info("accel: %zu connections of before are reset when their hosts speak", n);
	atomic_store(&a->quarantine_until_ns, was_there ? 0 : clock_ns() + QUARANTINE_NS);
}

/* Writes a flow down, before the stack speaks to its host. */
bool memory_add(struct accel *a, struct flow *f, bool client_here)
{
	struct journal_entry e = {.client_here = client_here};
	int slot;

	if (!a->journal || f->slot)
		return true;
	flow_key_tuple(&f->key, f->ip_version, client_here, a->conf.tags[f->key.tag].number,
		       &e.tuple);
	slot = journal_add(a->journal, &e);
	if (slot >= 0)
		f->slot = slot + 1;
	return slot >= 0;
}

/* Strikes a flow out: its hosts know that it has ended. */
void memory_remove(struct accel *a, struct flow *f)
{
	if (f->slot && a->journal)
		journal_remove(a->journal, f->slot - 1);
	f->slot = 0;
}

/* Takes an entry out of the table, and out of the journal. */
void memory_forget(struct accel *a, struct flow *f)
{
	memory_remove(a, f);
	flow_remove(&a->flows, f);
}

/* ---- what peers remember ---- */

/* Remembers a connection that was lost with a peer, to tell it when it is back. */
void memory_lost(struct accel *a, struct flow *f, bool client_here)
{
	struct peer_memory *p = &a->memories[f->peer];
	struct tuple *t;

	if (p->n_lost == p->room_lost) {
		unsigned room = p->room_lost ? 2 * p->room_lost : 64;

		t = room > LOST_MAX ? NULL : realloc(p->lost, room * sizeof(*t));
		if (!t) {
			p->lost_some = true;
			return;
		}
		p->lost = t;
		p->room_lost = room;
	}
	flow_key_tuple(&f->key, f->ip_version, client_here, a->conf.tags[f->key.tag].number,
		       &p->lost[p->n_lost++]);
}

/* Tells a peer that has come back what was accelerated with it. */
static void tell(struct stream *s)
{
	struct peer_memory *p = &s->a->memories[s->peer];
	uint8_t payload[RECORD_CTL_MAX], end[TUPLES_END_LEN] = {0};
	unsigned i, n = 0;

	for (i = 0; i < p->n_lost; i++) {
		tuple_store(payload + (size_t)n++ * TUPLE_LEN, &p->lost[i]);
		if (n < RECORD_TUPLES_MAX && i + 1 < p->n_lost)
			continue;
		stream_send(s, RECORD_TUPLES, payload, n * TUPLE_LEN);
		stream_flush(s);
		if (s->dead || (s->out && s->out->len > CHUNK_ROOM / 2)) {
			/* It does not take it all at once: it must not believe that this is all. */
			p->lost_some = true;
			break;
		}
		n = 0;
	}
	end[0] = !in_quarantine(s->a) && !p->lost_some;
	stream_send(s, RECORD_TUPLES_END, end, sizeof(end));
	stream_flush(s);
	p->n_lost = 0;
	p->lost_some = false;
}

/* A peer's HELLO says who it is now. */
void memory_met(struct stream *s, uint32_t instance)
{
	struct peer_memory *p = &s->a->memories[s->peer];
	struct stream *other;

	s->instance = instance;
	if (p->instance == instance)
		return;
	if (p->instance)
		log_info("accel: peer %s has restarted",
			 s->a->host.peer_name(s->a->host.ctx, s->peer));
	for (other = s->shard->streams; other; other = other->next)
		if (other->peer == s->peer && other->instance && other->instance != instance)
			stream_break(other, "its process has ended");
	p->instance = instance;
	tell(s);
}

/* A peer tells of connections that we may have forgotten. */
void memory_tuples(struct stream *s, const uint8_t *payload, uint32_t len)
{
	struct tuple t;
	uint32_t at;
	int tag;

	for (at = 0; at < len; at += TUPLE_LEN) {
		if (!tuple_parse(payload + at, &t)) {
			atomic_fetch_add(&s->a->counts.protocol, 1);
			stream_break(s, "it told of a connection that cannot be");
			return;
		}
		/* It has no say in what is not bridged with it. */
		tag = tag_index(s->a, t.tag);
		if (tag < 0 || !s->a->host.agreed(s->a->host.ctx, (unsigned)tag, s->peer))
			continue;
		/* Whichever of its hosts is here: only one of the two keys will ever be met. */
		bury(s->a, &t, true);
		bury(s->a, &t, false);
	}
}

/* Whether all peers that accelerate with us have told what they remember; @know: all of it. */
static bool all_told(struct accel *a, bool *know)
{
	unsigned peer, tag;
	bool told = true;

	*know = true;
	for (peer = 0; peer < a->conf.n_peers; peer++) {
		for (tag = 0; tag < a->conf.n_tags; tag++)
			if (a->conf.tags[tag].on && a->host.agreed(a->host.ctx, tag, peer))
				break;
		/* It accelerates nothing with us, so it has nothing to tell. */
		if (tag == a->conf.n_tags && !a->memories[peer].told &&
		    a->host.connected(a->host.ctx, peer))
			continue;
		told &= a->memories[peer].told;
		*know &= a->memories[peer].knows;
	}
	return told;
}

static void bridge_confirmed(struct accel *a, struct flow *f)
{
	relay_bridge(a, f, ACCEL_REASON_confirmed);
}

static bool settle(void *ctx, struct flow *f)
{
	struct accel *a = ctx;
	bool know;

	if (f->way != FLOW_QUERY || !all_told(a, &know))
		return false;
	if (know) {
		bridge_confirmed(a, f);
	} else {
		atomic_store(&f->until_ms, (now_ms() + LINGER_MS) | 1);
		atomic_store(&f->way, FLOW_RESET);
	}
	return false;
}

/* A peer has told all that it remembers. */
void memory_told(struct stream *s, bool knows)
{
	struct accel *a = s->a;
	bool know;

	a->memories[s->peer].told = true;
	a->memories[s->peer].knows = knows;
	if (!in_quarantine(a) || !all_told(a, &know))
		return;
	flow_sweep(&a->flows, settle, a);
	if (know)
		atomic_store(&a->quarantine_until_ns, 0);
}

/* ---- quarantine ---- */

/* A segment of a connection that nothing is known about. */
void memory_unknown(struct accel *a, unsigned tag, struct frame *f, struct packet *p)
{
	struct flow_key key;
	struct flow *fl;
	bool know;

	flow_key_of(&key, tag, f, p, true);
	if (!p->payload)
		return;
	fl = flow_find(&a->flows, &key);
	if (fl) {
		if (fl->way == FLOW_BRIDGE)
			a->host.send(a->host.ctx, tag, f);
		return;
	}
	if (atomic_load(&a->flows.count) >= ENTRIES_MAX)
		return;
	fl = flow_add(&a->flows, &key, p->ip_version, FLOW_QUERY, now_ms());
	if (!fl)
		return;
	atomic_store(&fl->until_ms, (now_ms() + QUERY_MS) | 1);
	settle(a, fl);
	if (fl->way == FLOW_BRIDGE)
		a->host.send(a->host.ctx, tag, f);
	else if (fl->way == FLOW_RESET && all_told(a, &know) && segment_answer_reset(f, p))
		a->host.send(a->host.ctx, tag, f);
}

/* The peer bridges a connection that nothing is known about here. */
void memory_bridged(struct accel *a, const struct flow_key *key)
{
	struct flow *f = flow_find(&a->flows, key);

	if (!f && atomic_load(&a->flows.count) < ENTRIES_MAX)
		f = flow_add(&a->flows, key, key->local[10] == 0xff ? 4 : 6, FLOW_BRIDGE, now_ms());
	else if (f && f->way != FLOW_QUERY)
		return;
	if (f)
		bridge_confirmed(a, f);
}

/* Ends the quarantine when its time has come. */
void memory_tick(struct accel *a, uint64_t now)
{
	uint64_t until = atomic_load(&a->quarantine_until_ns);

	if (until && now > until)
		atomic_store(&a->quarantine_until_ns, 0);
}

/* Closes the journal. @clean: every connection was reset, there is nothing to remember */
void memory_close(struct accel *a, bool clean)
{
	unsigned i;

	journal_close(a->journal, clean);
	a->journal = NULL;
	for (i = 0; i < ACCEL_PEERS_MAX; i++)
		free(a->memories[i].lost);
}
