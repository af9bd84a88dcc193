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
 * That a peer has restarted shows by the number it bears, its instance, in
 * its HELLO: what is left of streams to the old one is dead then, even if no
 * packet has told so. Every relay thread breaks its own; when all have, and so
 * all that was lost is known, one of them tells the peer.
 *
 * A kernel goes on sending what a process has said that has ended, so the HELLO
 * of an old one may come behind that of the new one. Instances are times of
 * starts, so the older one is known, and that stream is broken. But a clock may
 * have been set back between two starts: an instance that seems older is
 * believed when no stream is left that leads to the one known, which the end of
 * a process sees to.
 *
 * The journal and what is known of peers are all relay threads': memory_lock.
 * It is never held while streams are broken or written to.
 */
#include "accel/internal.h"

#include "lib/log.h"

#include <stdlib.h>
#include <string.h>

#define QUERY_MS 10000
#define LOST_MAX 65536 /* connections remembered of a lost peer */

/* Instances wrap after four years: who starts anew within half of that is later than before
 * (RFC 1982). */
#define INSTANCES_A_SECOND 32

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

/* Has a connection answer its next segment with a reset. Its entry is @sh's if there was none. */
static struct flow *bury(struct shard *sh, const struct tuple *t, bool client_here)
{
	struct accel *a = sh->a;
	int tag = tag_index(a, t->tag);
	struct flow_key key;
	struct flow *f;
	bool added = false;

	if (tag < 0 || atomic_load(&a->flows.count) >= ENTRIES_MAX)
		return NULL;
	flow_key_from_tuple(&key, t, client_here, (unsigned)tag);
	f = flow_find(&a->flows, &key);
	if (!f) {
		f = flow_add(&a->flows, &key, t->ip_version, FLOW_RESET, now_ms(), &sh->flows);
		added = f != NULL;
	}
	if (!f || (!added && !flow_settle(f, FLOW_RESET)))
		return NULL;
	atomic_store(&f->until_ms, (now_ms() + TOMB_MS) | 1);
	return f;
}

static bool bury_entry(void *ctx, int slot, const struct journal_entry *e)
{
	struct flow *f = bury(ctx, &e->tuple, e->client_here);

	if (f)
		f->slot = slot + 1;
	return f != NULL;
}

/* What a process that is started now bears, not 0. */
static uint32_t instance_of_now(void)
{
	uint32_t n = (uint32_t)(clock_real_ns() / (NS_PER_S / INSTANCES_A_SECOND));

	return n ? n : 1;
}

/* Opens the journal and takes over what is in it. Before any other relay thread runs. */
void memory_open(struct accel *a)
{
	bool was_there = false;
	struct err e;
	size_t n = 0;

	a->instance = instance_of_now();
	a->journal = journal_open(a->conf.state, a->conf.name, &was_there, &e);
	if (!a->journal)
		log_warning("accel: %s; after a crash, connections that were accelerated cannot be "
			    "reset",
			    e.text);
	rcu_read_lock();
	if (a->journal)
		n = journal_each(a->journal, bury_entry, a->shards);
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
	pthread_mutex_lock(&a->memory_lock);
	slot = journal_add(a->journal, &e);
	pthread_mutex_unlock(&a->memory_lock);
	if (slot >= 0)
		f->slot = slot + 1;
	return slot >= 0;
}

/* Strikes a flow out: its hosts know that it has ended. */
void memory_remove(struct accel *a, struct flow *f)
{
	if (f->slot && a->journal) {
		pthread_mutex_lock(&a->memory_lock);
		journal_remove(a->journal, f->slot - 1);
		pthread_mutex_unlock(&a->memory_lock);
	}
	f->slot = 0;
}

/* Takes an entry out of the table, and out of the journal. */
void memory_forget(struct accel *a, struct flow *f)
{
	memory_remove(a, f);
	flow_remove(&a->flows, f);
}

/* ---- what peers remember ---- */

/* Room for one more; NULL: there is none. */
static struct tuple *new_lost(struct peer_memory *p)
{
	unsigned room = p->room_lost ? 2 * p->room_lost : 64;
	struct tuple *t;

	if (p->n_lost == p->room_lost) {
		t = room > LOST_MAX ? NULL : realloc(p->lost, room * sizeof(*t));
		if (!t)
			return NULL;
		p->lost = t;
		p->room_lost = room;
	}
	return &p->lost[p->n_lost++];
}

/* Remembers a connection that was lost with a peer, to tell it when it is back. */
void memory_lost(struct accel *a, struct flow *f, bool client_here)
{
	struct peer_memory *p = &a->memories[f->peer];
	struct tuple *t;

	pthread_mutex_lock(&a->memory_lock);
	t = new_lost(p);
	if (t)
		flow_key_tuple(&f->key, f->ip_version, client_here, a->conf.tags[f->key.tag].number,
			       t);
	else
		p->lost_some = true;
	pthread_mutex_unlock(&a->memory_lock);
}

/* Tells a peer that has come back what was accelerated with it. */
static void tell(struct stream *s, const struct tuple *lost, unsigned n_lost, bool lost_some)
{
	uint8_t payload[RECORD_CTL_MAX], end[TUPLES_END_LEN] = {0};
	unsigned i, n = 0;

	for (i = 0; i < n_lost; i++) {
		tuple_store(payload + (size_t)n++ * TUPLE_LEN, &lost[i]);
		if (n < RECORD_TUPLES_MAX && i + 1 < n_lost)
			continue;
		stream_send(s, RECORD_TUPLES, payload, n * TUPLE_LEN);
		stream_flush(s);
		if (s->dead || (s->out && s->out->len > CHUNK_ROOM / 2)) {
			/* It does not take it all at once: it must not believe that this is all. */
			lost_some = true;
			break;
		}
		n = 0;
	}
	end[0] = !in_quarantine(s->a) && !lost_some;
	stream_send(s, RECORD_TUPLES_END, end, sizeof(end));
	stream_flush(s);
}

/* Tells a peer on a stream what is owed to it, if all of it is known by now. */
static void tell_owed(struct stream *s)
{
	struct peer_memory *p = &s->a->memories[s->peer];
	struct tuple *lost = NULL;
	unsigned n = 0;
	bool some = false, now;

	pthread_mutex_lock(&s->a->memory_lock);
	now = p->owed && !p->ending && s->instance == p->instance;
	if (now) {
		lost = p->lost;
		n = p->n_lost;
		some = p->lost_some;
		p->lost = NULL;
		p->n_lost = p->room_lost = 0;
		p->owed = p->lost_some = false;
	}
	pthread_mutex_unlock(&s->a->memory_lock);
	if (now)
		tell(s, lost, n, some);
	free(lost);
}

/* Breaks what is left of a shard's streams to an earlier process of a peer. */
static void break_earlier(struct shard *sh, const struct errand *e)
{
	struct stream *s;

	rcu_read_lock();
	for (s = sh->streams; s; s = s->next)
		if (s->peer == e->peer && s->instance && s->instance != e->instance)
			stream_break(s, "its process has ended");
	rcu_read_unlock();
}

static void tell_on_any(struct shard *sh, const struct errand *e)
{
	struct stream *s;

	rcu_read_lock();
	for (s = sh->streams; s; s = s->next)
		if (s->peer == e->peer && s->instance == e->instance && !s->dead &&
		    s->state != STREAM_CLOSING) {
			tell_owed(s);
			break;
		}
	rcu_read_unlock();
}

static void all_broken(struct accel *a, const struct errand *e)
{
	bool last;

	pthread_mutex_lock(&a->memory_lock);
	last = !--a->memories[e->peer].ending;
	pthread_mutex_unlock(&a->memory_lock);
	if (last)
		accel_everywhere(a, &(struct errand){.run = tell_on_any,
						     .peer = e->peer,
						     .instance = e->instance});
}

static void ask_known(struct shard *sh, const struct errand *e)
{
	struct stream *s;

	rcu_read_lock();
	for (s = sh->streams; s; s = s->next)
		if (s->peer == e->peer && s->instance == e->instance && !s->dead)
			stream_ask(s);
	rcu_read_unlock();
}

static bool began_before(uint32_t one, uint32_t other)
{
	return (int32_t)(one - other) < 0;
}

/* A peer's HELLO says who it is now. The stream is broken if that was before, as long as another
 * one leads to who came later. Whether that lives is asked: after a power failure, with a clock
 * that was set back, it does not. */
void memory_met(struct stream *s, uint32_t instance)
{
	struct accel *a = s->a;
	struct peer_memory *p = &a->memories[s->peer];
	const struct errand breaking = {
		.run = break_earlier, .done = all_broken, .peer = s->peer, .instance = instance};
	uint32_t before;
	bool late;

	s->instance = instance;
	pthread_mutex_lock(&a->memory_lock);
	before = p->instance;
	late = before && p->streams && began_before(instance, before);
	if (!late && before != instance) {
		p->instance = instance;
		p->streams = 0;
		p->owed = true;
		p->ending++;
	}
	p->streams += !late;
	pthread_mutex_unlock(&a->memory_lock);
	if (late) {
		accel_everywhere(
			a, &(struct errand){.run = ask_known, .peer = s->peer, .instance = before});
		stream_break(s, "its process has ended");
		return;
	}
	if (before == instance) {
		tell_owed(s); /* if the stream that it should have been told on broke */
		return;
	}
	if (before)
		log_info("accel: peer %s has restarted", a->host.peer_name(a->host.ctx, s->peer));
	/* At once where it can be: what the peer says next may be about the same connections. */
	break_earlier(s->shard, &breaking);
	accel_everywhere(a, &breaking);
}

/* A stream is dead. */
void memory_left(const struct stream *s)
{
	struct peer_memory *p = &s->a->memories[s->peer];

	if (!s->instance)
		return;
	pthread_mutex_lock(&s->a->memory_lock);
	if (s->instance == p->instance && p->streams)
		p->streams--;
	pthread_mutex_unlock(&s->a->memory_lock);
}

/* Whether a stream leads to an earlier process of its peer. */
bool memory_is_earlier(const struct stream *s)
{
	bool is;

	pthread_mutex_lock(&s->a->memory_lock);
	is = s->instance && s->instance != s->a->memories[s->peer].instance;
	pthread_mutex_unlock(&s->a->memory_lock);
	return is;
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
		bury(s->shard, &t, true);
		bury(s->shard, &t, false);
	}
}

/* Whether all peers that accelerate with us have told what they remember; @know: all of it. */
static bool all_told(struct accel *a, bool *know)
{
	unsigned peer, tag;
	bool told = true;

	*know = true;
	pthread_mutex_lock(&a->memory_lock);
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
	pthread_mutex_unlock(&a->memory_lock);
	return told;
}

/* The way of an entry has just become FLOW_BRIDGE. */
static void confirmed(struct accel *a, struct flow *f)
{
	atomic_store(&f->reason, ACCEL_REASON_confirmed);
	atomic_store(&f->until_ms, 0);
	accel_count_bypass(a, ACCEL_REASON_confirmed);
}

/* What is known when all peers have told. */
struct verdict {
	struct accel *a;
	bool know; /* all of it */
};

static bool settle(void *ctx, struct flow *f)
{
	const struct verdict *v = ctx;

	if (f->way != FLOW_QUERY)
		return false;
	if (v->know && flow_settle(f, FLOW_BRIDGE))
		confirmed(v->a, f);
	else if (!v->know && flow_settle(f, FLOW_RESET))
		atomic_store(&f->until_ms, (now_ms() + LINGER_MS) | 1);
	return false;
}

/* A peer has told all that it remembers. */
void memory_told(struct stream *s, bool knows)
{
	struct accel *a = s->a;
	struct verdict v = {.a = a};

	pthread_mutex_lock(&a->memory_lock);
	a->memories[s->peer].told = true;
	a->memories[s->peer].knows = knows;
	pthread_mutex_unlock(&a->memory_lock);
	if (!in_quarantine(a) || !all_told(a, &v.know))
		return;
	flow_sweep(&a->flows, settle, &v);
	if (v.know)
		atomic_store(&a->quarantine_until_ns, 0);
}

/* ---- quarantine ---- */

/* A segment of a connection that nothing is known about. */
void memory_unknown(struct shard *sh, unsigned tag, struct frame *f, struct packet *p)
{
	struct accel *a = sh->a;
	struct verdict v = {.a = a};
	struct flow_key key;
	struct flow *fl;
	bool told;

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
	fl = flow_add(&a->flows, &key, p->ip_version, FLOW_QUERY, now_ms(), &sh->flows);
	if (!fl)
		return;
	atomic_store(&fl->until_ms, (now_ms() + QUERY_MS) | 1);
	told = all_told(a, &v.know);
	if (told)
		settle(&v, fl);
	if (fl->way == FLOW_BRIDGE)
		a->host.send(a->host.ctx, tag, f);
	else if (fl->way == FLOW_RESET && told && segment_answer_reset(f, p))
		a->host.send(a->host.ctx, tag, f);
}

/* The peer bridges a connection that nothing is known about here. */
void memory_bridged(struct shard *sh, const struct flow_key *key)
{
	struct accel *a = sh->a;
	struct flow *f = flow_find(&a->flows, key);

	bool added = false;

	if (!f && atomic_load(&a->flows.count) < ENTRIES_MAX) {
		f = flow_add(&a->flows, key, key->local[10] == 0xff ? 4 : 6, FLOW_BRIDGE, now_ms(),
			     &sh->flows);
		added = f != NULL;
	}
	if (f && (added || flow_settle(f, FLOW_BRIDGE)))
		confirmed(a, f);
}

/* Ends the quarantine when its time has come. */
void memory_tick(struct accel *a, uint64_t now)
{
	uint64_t until = atomic_load(&a->quarantine_until_ns);

	if (until && now > until)
		atomic_compare_exchange_strong(&a->quarantine_until_ns, &until, 0);
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
