// SPDX-License-Identifier: GPL-3.0-or-later
/* news.c - what workers hand to a relay thread: rare frames, copied */
#include "accel/internal.h"

#include <stdlib.h>
#include <string.h>

struct news {
	struct shard *to;
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

	/* Another thread's is another connection than the one that this was about. */
	if (!f || f->shard != n->to || !f->relay)
		return;
	if (n->kind == NEWS_RST)
		relay_give_up(f->relay);
	else
		pump_out(f->relay);
}

static void take(void *arg)
{
	struct news *n = arg;
	struct accel *a = n->to->a;
	struct frame f = {.data = n->bytes + BATCH_HEADROOM, .len = n->len, .vnet = n->vnet};
	struct packet p;

	atomic_fetch_sub(&n->to->news, 1);
	rcu_read_lock();
	if (a->stopping)
		;
	else if (n->kind == NEWS_RST || n->kind == NEWS_FIN)
		of_flow(a, n);
	else if (n->kind == NEWS_MOVED)
		relay_moved(a, &n->key);
	else if (n->kind == NEWS_BRIDGED)
		memory_bridged(n->to, &n->key);
	else if (packet_parse(f.data, f.len, &p) != PACKET_OK)
		;
	else if (n->kind == NEWS_SYN)
		relay_syn(n->to, n->tag, &f, &p);
	else
		memory_unknown(n->to, n->tag, &f, &p);
	rcu_read_unlock();
	free(n);
}

static bool post(struct news *n)
{
	struct shard *to = n ? n->to : NULL;

	if (!n)
		return false;
	if (atomic_fetch_add(&to->news, 1) >= shard_part(to->a, NEWS_MAX) ||
	    loop_post(to->loop, take, n)) {
		atomic_fetch_sub(&to->news, 1);
		atomic_fetch_add(&to->a->counts.overrun, 1);
		free(n);
		return false;
	}
	return true;
}

/* Hands a frame over to a relay thread. Returns false if it could not be: too many wait. Any
 * thread. */
bool news_frame(struct shard *to, enum news_kind kind, unsigned tag, const struct frame *f)
{
	struct news *n = f->len > SYN_MAX ? NULL : malloc(sizeof(*n) + BATCH_HEADROOM + f->len);

	if (n) {
		*n = (struct news){
			.to = to, .kind = kind, .tag = tag, .vnet = f->vnet, .len = f->len};
		memcpy(n->bytes + BATCH_HEADROOM, f->data, f->len);
	}
	return post(n);
}

/* Says that something happened to a connection. Any thread. */
bool news_key(struct shard *to, enum news_kind kind, const struct flow_key *key)
{
	struct news *n = malloc(sizeof(*n));

	if (n)
		*n = (struct news){.to = to, .kind = kind, .tag = key->tag, .key = *key};
	return post(n);
}
