// SPDX-License-Identifier: GPL-3.0-or-later
/* news.c - what workers hand to the relay thread: rare frames, copied */
#include "accel/internal.h"

#include <stdlib.h>
#include <string.h>

struct news {
	struct accel *a;
	enum news_kind kind;
	unsigned tag;
	struct flow_key key; /* of FIN and the like, which have no frame */
	struct virtio_net_hdr vnet;
	uint32_t len;
	uint8_t bytes[]; /* behind room for a VLAN tag */
};

static void of_flow(struct accel *a, const struct news *n)
{
	struct flow *f = flow_find(&a->flows, &n->key);

	if (!f || !f->relay)
		return;
	if (n->kind == NEWS_RST)
		relay_give_up(f->relay);
	else
		pump_out(f->relay);
}

static void take(void *arg)
{
	struct news *n = arg;
	struct accel *a = n->a;
	struct frame f = {.data = n->bytes + BATCH_HEADROOM, .len = n->len, .vnet = n->vnet};
	struct packet p;

	atomic_fetch_sub(&a->news, 1);
	rcu_read_lock();
	if (a->stopping)
		;
	else if (n->kind == NEWS_RST || n->kind == NEWS_FIN)
		of_flow(a, n);
	else if (n->kind == NEWS_MOVED)
		relay_moved(a->shards, n->tag, n->key.vid, n->key.local);
	else if (n->kind == NEWS_BRIDGED)
		memory_bridged(a, &n->key);
	else if (packet_parse(f.data, f.len, &p) != PACKET_OK)
		;
	else if (n->kind == NEWS_SYN)
		relay_syn(a->shards, n->tag, &f, &p);
	else
		memory_unknown(a, n->tag, &f, &p);
	rcu_read_unlock();
	free(n);
}

static bool post(struct accel *a, struct news *n)
{
	if (!n)
		return false;
	if (atomic_fetch_add(&a->news, 1) >= NEWS_MAX || loop_post(a->shards->loop, take, n)) {
		atomic_fetch_sub(&a->news, 1);
		atomic_fetch_add(&a->counts.overrun, 1);
		free(n);
		return false;
	}
	return true;
}

/* Hands a frame over. Returns false if it could not be: too many wait. Any thread. */
bool news_frame(struct accel *a, enum news_kind kind, unsigned tag, const struct frame *f)
{
	struct news *n = f->len > SYN_MAX ? NULL : malloc(sizeof(*n) + BATCH_HEADROOM + f->len);

	if (n) {
		*n = (struct news){
			.a = a, .kind = kind, .tag = tag, .vnet = f->vnet, .len = f->len};
		memcpy(n->bytes + BATCH_HEADROOM, f->data, f->len);
	}
	return post(a, n);
}

/* Says that something happened to a connection. Any thread. */
bool news_key(struct accel *a, enum news_kind kind, const struct flow_key *key)
{
	struct news *n = malloc(sizeof(*n));

	if (n)
		*n = (struct news){.a = a, .kind = kind, .tag = key->tag, .key = *key};
	return post(a, n);
}
