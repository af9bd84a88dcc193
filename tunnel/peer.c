// SPDX-License-Identifier: GPL-3.0-or-later
/* peer.c - a far end: where it is, what we share with it, how the path to it does */
/*
 * Theory of operation
 *
 * A peer with a configured address is sent to at its listening port, from each
 * worker's own port, so that every worker is a flow of its own to RSS and
 * ECMP. A peer without one has called us, perhaps through a NAT: it is sent to
 * where each of its workers was last heard, from the port it called. The same
 * serves one that has moved: authenticated packets from another host than the
 * configured one are answered where they came from.
 *
 * Only packets that were opened, and are the newest of their worker, teach an
 * address; a captured packet that is sent again from elsewhere is a replay.
 */
#include "tunnel/peer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Prepares a peer. Returns 0 or -ENOMEM. */
int peer_init(struct peer *p, const struct conf_peer *conf, unsigned index)
{
	memset(p, 0, sizeof(*p));
	p->index = index;
	p->conf = conf;
	pthread_mutex_init(&p->places_lock, NULL);
	p->places = calloc(1, sizeof(*p->places));
	return p->places ? 0 : -ENOMEM;
}

static void free_places(struct rcu_head *head)
{
	free(caa_container_of(head, struct peer_places, rcu));
}

/* Frees what a peer holds. No worker runs any more. */
void peer_release(struct peer *p)
{
	tx_session_free(p->tx);
	free(p->places);
	pthread_mutex_destroy(&p->places_lock);
	p->tx = NULL;
	p->places = NULL;
}

/* Publishes places with one thing changed; out of memory, they stay as they were. */
static void replace_places(struct peer *p,
			   void (*edit)(struct peer_places *, unsigned, const struct endpoint *),
			   unsigned worker, const struct endpoint *e)
{
	struct peer_places *new_ = malloc(sizeof(*new_)), *old;

	if (!new_)
		return;
	pthread_mutex_lock(&p->places_lock);
	old = p->places;
	*new_ = *old;
	edit(new_, worker, e);
	rcu_assign_pointer(p->places, new_);
	pthread_mutex_unlock(&p->places_lock);
	call_rcu(&old->rcu, free_places);
}

static void edit_direct(struct peer_places *l, unsigned worker, const struct endpoint *e)
{
	l->has_direct = true;
	l->direct = *e;
}

static void edit_learnt(struct peer_places *l, unsigned worker, const struct endpoint *e)
{
	l->has_learnt |= 1ull << worker;
	l->learnt[worker] = *e;
}

/* Sets where the peer listens. */
void peer_set_direct(struct peer *p, const struct endpoint *e)
{
	const struct peer_places *l;
	bool same;

	rcu_read_lock(); /* a worker that learns a place replaces them all */
	l = rcu_dereference(p->places);
	same = l->has_direct && endpoint_equal(&l->direct, e);
	rcu_read_unlock();
	if (!same)
		replace_places(p, edit_direct, 0, e);
}

/*
 * Takes note of where one of the peer's workers is. The packet that tells was
 * authenticated and the newest of that worker. In a read-side section.
 */
void peer_learn(struct peer *p, unsigned worker, const struct endpoint *from)
{
	const struct peer_places *l = rcu_dereference(p->places);

	if (!(l->has_learnt & 1ull << worker) || !endpoint_equal(&l->learnt[worker], from))
		replace_places(p, edit_learnt, worker, from);
}

static void edit_trim(struct peer_places *l, unsigned n_workers, const struct endpoint *unused)
{
	l->has_learnt &= n_workers < 64 ? (1ull << n_workers) - 1 : ~0ull;
}

/* Forgets where workers were that the peer does not have any more. */
void peer_trim_places(struct peer *p, unsigned n_workers)
{
	replace_places(p, edit_trim, n_workers, NULL);
}

/* Picks the learnt place of one of the peer's workers for one of ours, always the same. */
static const struct endpoint *learnt_place(const struct peer_places *l, unsigned worker)
{
	unsigned n = (unsigned)__builtin_popcountll(l->has_learnt);
	uint64_t left = l->has_learnt;

	for (worker %= n; worker; worker--)
		left &= left - 1;
	return &l->learnt[__builtin_ctzll(left)];
}

/*
 * Where one of our workers sends to the peer, and from which of its sockets.
 * In a read-side section. Returns false if nothing is known yet.
 */
bool peer_place(const struct peer *p, unsigned worker, struct endpoint *to, unsigned *socket)
{
	const struct peer_places *l = rcu_dereference(p->places);
	const struct endpoint *learnt = l->has_learnt ? learnt_place(l, worker) : NULL;

	if (l->has_direct && (!learnt || endpoint_same_host(learnt, &l->direct))) {
		*to = l->direct;
		*socket = SOCKET_OUT;
		return true;
	}
	if (!learnt)
		return false;
	*to = *learnt;
	*socket = SOCKET_LISTEN;
	return true;
}

/* Whether a host is where the peer listens or was last heard. */
bool peer_is_at(const struct peer *p, const struct endpoint *host)
{
	const struct peer_places *l;
	bool at;

	rcu_read_lock();
	l = rcu_dereference(p->places);
	at = (l->has_direct && endpoint_same_host(&l->direct, host)) ||
	     (l->has_learnt && endpoint_same_host(learnt_place(l, 0), host));
	rcu_read_unlock();
	return at;
}

/* Whether the peer is to be sent to over IPv6, as configured. */
bool peer_is_ipv6(const struct peer *p)
{
	const struct peer_places *l;
	bool ipv6;

	rcu_read_lock();
	l = rcu_dereference(p->places);
	ipv6 = l->has_direct && !endpoint_is_ipv4(&l->direct);
	rcu_read_unlock();
	return ipv6;
}

/* Sends under @s from now on; NULL: sends nothing. What probes said of the old session is
 * forgotten. */
void peer_use_session(struct peer *p, struct tx_session *s)
{
	struct tx_session *old = p->tx;
	unsigned i;

	for (i = 0; i < WORKERS_MAX; i++) {
		atomic_store(&p->paths[i].highest, 0);
		atomic_store(&p->paths[i].received, 0);
		if (!s)
			atomic_store(&p->paths[i].echo_ns, 0);
	}
	rcu_assign_pointer(p->tx, s);
	tx_session_retire(old);
}

static uint64_t smooth(uint64_t old, uint64_t new_, unsigned shift)
{
	return old ? old - (old >> shift) + (new_ >> shift) : new_;
}

/* Takes a reply to a probe that our worker sent. Any worker may have received it. */
void peer_probe_echoed(struct peer *p, unsigned worker, const struct probe *reply, uint64_t now_ns)
{
	struct path *path = &p->paths[worker];
	uint64_t rtt = now_ns - reply->mark, last = atomic_load(&path->last_rtt_ns);

	atomic_fetch_add(&path->echoed, 1);
	atomic_store(&path->echo_ns, now_ns);
	atomic_store(&path->rtt_ns, smooth(atomic_load(&path->rtt_ns), rtt, 3));
	if (last)
		atomic_store(&path->jitter_ns, smooth(atomic_load(&path->jitter_ns),
						      rtt > last ? rtt - last : last - rtt, 4));
	atomic_store(&path->last_rtt_ns, rtt);
	atomic_store(&path->highest, reply->highest);
	atomic_store(&path->received, reply->received);
}

/* A peer is up when a probe came back lately on each of our workers' 5-tuples. */
bool peer_is_up(const struct peer *p, unsigned n_workers, uint64_t dead_after_ns, uint64_t now_ns)
{
	uint64_t echo;
	unsigned i;

	for (i = 0; i < n_workers; i++) {
		echo = atomic_load(&p->paths[i].echo_ns);
		if (!echo || (now_ns > echo && now_ns - echo > dead_after_ns))
			return false;
	}
	return true;
}
