// SPDX-License-Identifier: GPL-3.0-or-later
/* flow.c - TCP connections of accelerated tags that something was decided about */
/*
 * Theory of operation
 *
 * The table is liburcu's hash table, keyed as this site sees a connection.
 * An entry belongs to one relay thread (struct shard), which alone removes it
 * and changes its way; any of them adds the first for a key. Workers look
 * entries up for every TCP segment of an accelerated tag, without locks. Only
 * what is not decided yet, FLOW_QUERY, is settled by whoever knows more. An entry outlives its
 *connection: until_ms says until when its stragglers are answered, or bridged.
 *
 * The host's FIN is withheld from the stack until the other host has
 * acknowledged everything, so that the stack cannot acknowledge it before:
 *
 *	FLOW_FIN_NONE ── a segment with FIN ──▶ WITHHELD ── released ──▶ RELEASED
 *
 * While it is withheld, segments that begin behind the FIN are moved in front
 * of it: pure ACKs, which the stack would not take behind a window of zero,
 * and resets, which it would only challenge. The headers of the newest one are
 * kept to make the FIN of when it is released.
 */
#include "accel/flow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define BUCKETS_MIN 64

/* Makes an empty table. Returns 0 or -ENOMEM. */
int flow_table_init(struct flow_table *t)
{
	if (getrandom(&t->seed, sizeof(t->seed), 0) != sizeof(t->seed))
		t->seed = (uintptr_t)t;
	t->table = cds_lfht_new(BUCKETS_MIN, BUCKETS_MIN, 0,
				CDS_LFHT_AUTO_RESIZE | CDS_LFHT_ACCOUNTING, NULL);
	return t->table ? 0 : -ENOMEM;
}

static struct flow *flow_at(struct cds_lfht_iter *it)
{
	struct cds_lfht_node *node = cds_lfht_iter_get_node(it);
	struct flow *f = node ? caa_container_of(node, struct flow, node) : NULL;

	/* Who has read an entry's way sees all that was written before: flow_add() writes it last.
	 */
	if (f)
		(void)atomic_load_explicit(&f->way, memory_order_acquire);
	return f;
}

static void flow_free(struct rcu_head *head)
{
	struct flow *f = caa_container_of(head, struct flow, rcu);

	pthread_mutex_destroy(&f->lock);
	free(f);
}

static void list_add(struct flow_list *l, struct flow *f)
{
	f->list = l;
	f->next = l->first;
	if (f->next)
		f->next->prev = f;
	l->first = f;
	l->n++;
}

static void list_remove(struct flow *f)
{
	struct flow_list *l = f->list;

	if (l->at == f)
		l->at = f->next;
	if (f->next)
		f->next->prev = f->prev;
	*(f->prev ? &f->prev->next : &l->first) = f->next;
	l->n--;
}

/* Takes an entry out of the table; it is freed when no reader has it any more. Its relay thread
 * only. */
void flow_remove(struct flow_table *t, struct flow *f)
{
	if (cds_lfht_del(t->table, &f->node))
		return;
	list_remove(f);
	atomic_fetch_sub(&t->count, 1);
	call_rcu(&f->rcu, flow_free);
}

/* Calls @each for every entry, and removes those for which it returns true: none, or where no other
 * thread runs. */
void flow_sweep(struct flow_table *t, bool (*each)(void *ctx, struct flow *f), void *ctx)
{
	struct cds_lfht_iter it;
	struct flow *f;

	rcu_read_lock();
	for (cds_lfht_first(t->table, &it); (f = flow_at(&it)); cds_lfht_next(t->table, &it))
		if (each(ctx, f))
			flow_remove(t, f);
	rcu_read_unlock();
}

/*
 * Calls @each for the next @n entries of a relay thread, from the first one on again behind the
 * last, and removes those for which it returns true. That thread only.
 */
void flow_list_sweep(struct flow_table *t, struct flow_list *l, unsigned n,
		     bool (*each)(void *ctx, struct flow *f), void *ctx)
{
	struct flow *f;

	rcu_read_lock();
	for (; n-- && l->first;) {
		f = l->at ? l->at : l->first;
		l->at = f->next;
		if (each(ctx, f))
			flow_remove(t, f);
	}
	rcu_read_unlock();
}

static bool any(void *ctx, struct flow *f)
{
	return true;
}

/* Frees the table and what is in it. Nobody reads it any more. */
void flow_table_release(struct flow_table *t)
{
	if (!t->table)
		return;
	flow_sweep(t, any, NULL);
	cds_lfht_destroy(t->table, NULL);
	t->table = NULL;
}

static int key_equal(struct cds_lfht_node *node, const void *key)
{
	return !memcmp(&caa_container_of(node, struct flow, node)->key, key,
		       sizeof(struct flow_key));
}

/* What a connection is hashed to, the same for as long as the table lives. */
uint64_t flow_hash(const struct flow_table *t, const struct flow_key *key)
{
	return XXH3_64bits_withSeed(key, sizeof(*key), t->seed);
}

/* The entry of a connection; NULL: nothing was decided about it. In a read-side critical section.
 */
struct flow *flow_find(const struct flow_table *t, const struct flow_key *key)
{
	struct cds_lfht_iter it;

	cds_lfht_lookup(t->table, flow_hash(t, key), key_equal, key, &it);
	return flow_at(&it);
}

/*
 * Adds a connection that has no entry, to those of a relay thread. That thread only.
 * Returns NULL when memory is short, or another thread has just added it.
 */
struct flow *flow_add(struct flow_table *t, const struct flow_key *key, uint8_t ip_version,
		      enum flow_way way, uint32_t now_ms, struct flow_list *to)
{
	struct flow *f = calloc(1, sizeof(*f));
	bool added;

	if (!f)
		return NULL;
	f->key = *key;
	f->shard = to->shard;
	f->ip_version = ip_version;
	f->seen_ms = now_ms;
	pthread_mutex_init(&f->lock, NULL);
	atomic_store_explicit(&f->way, way, memory_order_release);
	rcu_read_lock();
	added = cds_lfht_add_unique(t->table, flow_hash(t, key), key_equal, key, &f->node) ==
		&f->node;
	rcu_read_unlock();
	if (!added) {
		pthread_mutex_destroy(&f->lock);
		free(f);
		return NULL;
	}
	list_add(to, f);
	atomic_fetch_add(&t->count, 1);
	return f;
}

/* Decides what becomes of a connection that was asked about (FLOW_QUERY). Any thread. Returns false
 * if that was decided already. */
bool flow_settle(struct flow *f, enum flow_way way)
{
	uint8_t undecided = FLOW_QUERY;

	return atomic_compare_exchange_strong(&f->way, &undecided, (uint8_t)way);
}

/*
 * Makes the key of a TCP segment, or of a packet whose ports alone can be read.
 * @from_local: its source is the host behind a border port
 */
void flow_key_of(struct flow_key *key, unsigned tag, const struct frame *f, const struct packet *p,
		 bool from_local)
{
	uint16_t src = load_be16(f->data + p->l4), dst = load_be16(f->data + p->l4 + 2);

	if (from_local)
		segment_addresses(f->data, p, key->local, key->remote);
	else
		segment_addresses(f->data, p, key->remote, key->local);
	key->local_port = from_local ? src : dst;
	key->remote_port = from_local ? dst : src;
	key->vid = p->vid;
	key->tag = (uint16_t)tag;
}

/* What a connection is called between the sites. @tag: as on the wire */
void flow_key_tuple(const struct flow_key *key, uint8_t ip_version, bool local_is_client,
		    uint32_t tag, struct tuple *t)
{
	*t = (struct tuple){.tag = tag, .vid = key->vid, .ip_version = ip_version};
	memcpy(t->client, local_is_client ? key->local : key->remote, 16);
	memcpy(t->server, local_is_client ? key->remote : key->local, 16);
	t->client_port = local_is_client ? key->local_port : key->remote_port;
	t->server_port = local_is_client ? key->remote_port : key->local_port;
}

/* The other way round. @tag: index */
void flow_key_from_tuple(struct flow_key *key, const struct tuple *t, bool local_is_client,
			 unsigned tag)
{
	memcpy(key->local, local_is_client ? t->client : t->server, 16);
	memcpy(key->remote, local_is_client ? t->server : t->client, 16);
	key->local_port = local_is_client ? t->client_port : t->server_port;
	key->remote_port = local_is_client ? t->server_port : t->client_port;
	key->vid = t->vid;
	key->tag = (uint16_t)tag;
}

/* Keeps a segment's headers to make the FIN of. */
static void keep_headers(struct flow *fl, const struct frame *f, const struct packet *p)
{
	if (p->payload > FLOW_HEADERS_MAX)
		return;
	memcpy(fl->headers, f->data, p->payload);
	fl->headers_len = p->payload;
}

/* Takes note of what the stack says to the host, before it is said. Worker's. */
void flow_stack_says(struct flow *fl, const struct frame *f, const struct packet *p,
		     const struct segment *s)
{
	uint32_t edge, scale = 0;

	if (s->flags & TCP_SYN) {
		atomic_store(&fl->stack_scale, segment_wscale(f, p));
		atomic_store(&fl->stack_syn, s->seq);
	} else {
		scale = atomic_load_explicit(&fl->stack_scale, memory_order_relaxed);
	}
	if (!(s->flags & TCP_ACK))
		return;
	edge = s->ack + ((uint32_t)s->window << scale);
	atomic_store_explicit(&fl->stack_ack, s->ack, memory_order_relaxed);
	/* A window does not shrink (RFC 9293 3.8.6), but the scale may round it down. */
	if (s->flags & TCP_SYN ||
	    (int32_t)(edge - atomic_load_explicit(&fl->stack_edge, memory_order_relaxed)) > 0)
		atomic_store_explicit(&fl->stack_edge, edge, memory_order_relaxed);
}

/* Takes note of the SYN/ACK with which the host answers the stack, once. Worker's. */
void flow_host_answers(struct flow *fl, const struct frame *f, const struct packet *p,
		       const struct segment *s)
{
	if (atomic_load(&fl->has_first) || s->ack != atomic_load(&fl->stack_syn) + 1 ||
	    !segment_is_intact(f, p))
		return;
	atomic_store(&fl->first, s->seq + 1);
	atomic_store(&fl->host_mss, segment_mss(f, p));
	atomic_store(&fl->has_first, true);
}

/* Whether a host may end its direction there: the stack would take it, now or when what is missing
 * has come. */
static bool may_end_at(const struct flow *fl, uint32_t end)
{
	uint32_t ack = atomic_load(&fl->stack_ack);

	return end - ack <= atomic_load(&fl->stack_edge) - ack;
}

/*
 * Keeps the host's FIN from the stack. Worker's; the frame is untagged. What
 * the stack would not believe, because it is damaged or out of its window, is
 * not believed here; the stack finds out by itself.
 * Returns whether the FIN has come for the first time.
 */
bool flow_fin_filter(struct flow *fl, struct frame *f, const struct packet *p,
		     const struct segment *s)
{
	uint8_t state = atomic_load_explicit(&fl->fin, memory_order_acquire);
	bool has_fin = s->flags & TCP_FIN && !(s->flags & (TCP_RST | TCP_SYN));
	bool news = false;
	uint32_t at;

	if (state == FLOW_FIN_RELEASED || (state == FLOW_FIN_NONE && !has_fin))
		return false;
	pthread_mutex_lock(&fl->lock);
	if (fl->fin == FLOW_FIN_RELEASED || !segment_is_intact(f, p))
		goto out;
	if (fl->fin == FLOW_FIN_NONE && may_end_at(fl, s->seq + s->len)) {
		atomic_store(&fl->fin_seq, s->seq + s->len);
		atomic_store(&fl->fin, FLOW_FIN_WITHHELD);
		news = true;
	}
	if (fl->fin == FLOW_FIN_WITHHELD) {
		at = fl->fin_seq;
		keep_headers(fl, f, p);
		if (!s->len && s->seq == at + 1)
			segment_set_seq(f, p, at);
	}
out:
	/* A bare FIN becomes a pure ACK: it may carry news of the window. */
	if (has_fin && fl->fin != FLOW_FIN_RELEASED)
		segment_clear_flags(f, p, TCP_FIN);
	pthread_mutex_unlock(&fl->lock);
	return news;
}

/*
 * Lets the stack have the host's FIN: makes it.
 * @frame: room for FLOW_HEADERS_MAX bytes
 * Returns false if the host has not sent one, or it has been released already.
 */
bool flow_fin_release(struct flow *fl, uint8_t *frame, uint32_t *len)
{
	struct frame f = {.data = frame};
	struct packet p;
	bool made = false;

	pthread_mutex_lock(&fl->lock);
	if (fl->fin == FLOW_FIN_WITHHELD && fl->headers_len) {
		memcpy(frame, fl->headers, fl->headers_len);
		f.len = fl->headers_len;
		/* The lengths in the headers were those of a frame with data; what was found then
		 * still stands. */
		if (fl->ip_version == 4)
			store_be16(frame + ETH_HDR_LEN + 2, (uint16_t)(f.len - ETH_HDR_LEN));
		else
			store_be16(frame + ETH_HDR_LEN + 4, (uint16_t)(f.len - ETH_HDR_LEN - 40));
		if (packet_parse(f.data, f.len, &p) == PACKET_OK && p.payload) {
			segment_make_fin(&f, &p, fl->fin_seq);
			made = true;
		}
		*len = f.len;
	}
	atomic_store(&fl->fin, FLOW_FIN_RELEASED);
	pthread_mutex_unlock(&fl->lock);
	return made;
}
