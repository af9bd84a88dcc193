// SPDX-License-Identifier: GPL-3.0-or-later
/* sealed_probe.c - probes: is the peer there, how far away, and how long may a packet be */
/*
 * Theory of operation
 *
 * Each worker sends each peer small probes from its own 5-tuple: liveness,
 * round trip and loss are from them. Besides, it looks for the path's MTU
 * (pmtu.c) by probes that are padded to the size in question. Both are
 * answered by the same small reply; the mark tells whose it is.
 */
#include "tunnel/sealed.h"

#include "lib/clock.h"
#include "tunnel/tunnel.h"

#include <string.h>

/* Fewer large packets than these, all lost, may be chance. */
#define LARGE_LOST 8

static uint8_t padding[PMTU_MAX]; /* zeros */

/*
 * Queues a probe or reply: a train of its own, to where it must go.
 * @len: of the sealed payload, PROBE_LEN or more: padded with zeros
 */
void sealed_send_probe(struct sealed *s, struct peer *p, struct tx_session *tx, uint8_t type,
		       const struct probe *probe, uint32_t len, unsigned socket,
		       const struct endpoint *to)
{
	struct sealed_header h = {.type = type};
	uint8_t payload[PROBE_LEN];
	struct iovec iov[2] = {{payload, sizeof(payload)}, {padding, len - PROBE_LEN}};
	struct train *tr;

	if (!sealed_take_counter(s, p, tx, &h.counter))
		return;
	probe_store(payload, probe);
	tr = sealed_new_train(s, p->index);
	tr->size = len + SEALED_OVERHEAD;
	tr->socket = (uint8_t)socket;
	tr->probe = true;
	if (!endpoint_name(to, s->family, &tr->to) ||
	    !sealed_append(s, tr, tx, &h, iov, 1 + (len > PROBE_LEN), tr->size))
		s->n_trains--;
	else
		tr->closed = true;
}

/* A probe's mark is ours alone to read: when it left, to 64 ns, and which worker sent it. */
static uint64_t probe_mark(uint64_t now_ns, unsigned worker)
{
	return (now_ns & ~(uint64_t)(WORKERS_MAX - 1)) | worker;
}

/* Looks after the MTU of this worker's path to a peer: sends the probe that is due. In a read-side
 * section. */
static void probe_mtu(struct sealed *s, struct peer *p, uint64_t now)
{
	struct path *path = &p->paths[s->outer.worker];
	struct tunnel *t = s->outer.tunnel;
	struct tx_session *tx = rcu_dereference(p->tx);
	/* Another one than a small probe's of the same moment. */
	uint64_t mark = probe_mark(now + WORKERS_MAX, s->outer.worker);
	uint32_t mtu = t->interface_mtu, usable, size, around;
	struct endpoint to;
	unsigned socket;

	if (!tx || !peer_place(p, s->outer.worker, &to, &socket)) {
		peer_path_ends(path);
		return;
	}
	peer_path_begins(path, &to, t->conf->mtu_raise_ns, mtu);
	usable = path->usable;
	size = peer_path_poll(path, mtu, mark, now);
	if (path->usable < usable)
		peer_suspect_paths(p, t->n_workers);
	around = path->headers + SEALED_OVERHEAD;
	if (size >= around + PROBE_LEN)
		sealed_send_probe(s, p, tx, SEALED_PROBE, &(struct probe){.mark = mark},
				  size - around, socket, &to);
}

/* Whether all large packets between the last two small probes are missing: then their size is to
 * be doubted before its turn. */
static void look_for_loss(struct path *path)
{
	uint64_t highest = atomic_load(&path->highest), received = atomic_load(&path->received);
	uint64_t missed = highest > received ? highest - received : 0;
	uint64_t large = counter_get(&path->large), sent = large - path->large_before;

	if (sent >= LARGE_LOST && missed >= path->missed + sent) {
		pthread_mutex_lock(&path->lock);
		pmtu_suspect(&path->pmtu);
		pthread_mutex_unlock(&path->lock);
	}
	path->large_before = large;
	path->missed = missed;
}

/* Sends each peer a small probe from this worker's own 5-tuple. In a read-side section. */
static void probe_peers(struct sealed *s, uint64_t now)
{
	struct tunnel *t = s->outer.tunnel;
	unsigned i, socket, worker = s->outer.worker;
	struct endpoint to;

	for (i = 0; i < t->n_peers; i++) {
		struct peer *p = &t->peers[i];
		struct tx_session *tx = rcu_dereference(p->tx);

		if (!tx || !peer_place(p, worker, &to, &socket))
			continue;
		sealed_send_probe(s, p, tx, SEALED_PROBE,
				  &(struct probe){.mark = probe_mark(now, worker)}, PROBE_LEN,
				  socket, &to);
		atomic_fetch_add(&p->paths[worker].sent, 1);
		look_for_loss(&p->paths[worker]);
	}
}

void sealed_tick(struct outer *o)
{
	struct sealed *s = sealed_of(o);
	struct tunnel *t = o->tunnel;
	uint64_t now = clock_ns(), period = t->conf->dead_after_ns / 6;
	unsigned i;

	if (period > NS_PER_S)
		period = NS_PER_S;
	rcu_read_lock();
	if (now - s->probe_ns + NS_PER_MS >= period) {
		s->probe_ns = now;
		probe_peers(s, now);
	}
	for (i = 0; i < t->n_peers; i++) {
		probe_mtu(s, &t->peers[i], now);
		if (s->reassembly[i])
			sealed_drop(o, DROP_fragment_timeout,
				    reassembly_expire(s->reassembly[i], now));
	}
	sealed_flush(o);
	rcu_read_unlock();
}

/* Takes the answer to a probe of any of our workers. In a read-side section. */
void sealed_take_reply(struct sealed *s, struct peer *p, const struct probe *reply)
{
	unsigned worker = reply->mark % WORKERS_MAX;
	uint64_t now = clock_ns();

	/* Authenticated, but a peer may be wrong: what would make a negative round trip is not
	 * believed. */
	if (reply->mark > now || worker >= s->outer.tunnel->n_workers)
		return;
	if (!peer_path_acked(&p->paths[worker], reply->mark, now))
		peer_probe_echoed(p, worker, reply, now);
	else if (worker == s->outer.worker)
		probe_mtu(s, p, now); /* the search goes on at once */
}
