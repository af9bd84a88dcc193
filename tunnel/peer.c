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
	unsigned i;

	memset(p, 0, sizeof(*p));
	p->index = index;
	p->conf = conf;
	pthread_mutex_init(&p->places_lock, NULL);
	for (i = 0; i < WORKERS_MAX; i++) {
		pthread_mutex_init(&p->paths[i].lock, NULL);
		p->paths[i].usable = PMTU_BASE_IPV4;
		p->paths[i].headers = UDP_IPV6_HDR;
	}
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
	unsigned i;

	tx_session_free(p->tx);
	free(p->places);
	pthread_mutex_destroy(&p->places_lock);
	for (i = 0; i < WORKERS_MAX; i++)
		pthread_mutex_destroy(&p->paths[i].lock);
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

/* Copies out what others read of a path's MTU. Under its lock. */
static void publish(struct path *path)
{
	const struct pmtu *m = &path->pmtu;
	bool known = m->state != PMTU_DISABLED;
	/* To try for more now and then is nobody else's business. */
	enum pmtu_state state = m->settled && m->state == PMTU_SEARCHING ? PMTU_COMPLETE : m->state;

	atomic_store(&path->usable, known ? m->usable : PMTU_BASE_IPV4);
	atomic_store(&path->mtu, known ? m->mtu : 0);
	atomic_store(&path->holes, m->holes);
	atomic_store(&path->mtu_state, (uint8_t)state);
}

/* One of our workers has keys and knows a place to send to: its path's MTU is to be found out, anew
 * if it is another host. The path's worker. */
void peer_path_begins(struct path *path, const struct endpoint *to, uint64_t raise_ns,
		      uint32_t interface_mtu)
{
	bool ipv4 = endpoint_is_ipv4(to);

	pthread_mutex_lock(&path->lock);
	if (path->pmtu.state == PMTU_DISABLED || !endpoint_same_host(&path->place, to)) {
		path->place = *to;
		path->pmtu.raise_period_ns = raise_ns;
		atomic_store(&path->headers, ipv4 ? UDP_IPV4_HDR : UDP_IPV6_HDR);
		pmtu_start(&path->pmtu, !ipv4, interface_mtu);
		publish(path);
	}
	pthread_mutex_unlock(&path->lock);
}

/* …and when there are no keys any more, or no place. */
void peer_path_ends(struct path *path)
{
	pthread_mutex_lock(&path->lock);
	pmtu_stop(&path->pmtu);
	publish(path);
	pthread_mutex_unlock(&path->lock);
}

/*
 * Looks after a path's MTU. The path's worker.
 * @mark: what a probe will bear, if one is to be sent now
 * Returns the size of the packet to send, 0: none.
 */
uint32_t peer_path_poll(struct path *path, uint32_t interface_mtu, uint64_t mark, uint64_t now_ns)
{
	struct pmtu_view view = {
		.now_ns = now_ns,
		.rtt_ns = atomic_load(&path->rtt_ns),
		.jitter_ns = atomic_load(&path->jitter_ns),
		.heard_ns = atomic_load(&path->echo_ns),
		.large = counter_get(&path->large),
	};
	uint32_t size;

	pthread_mutex_lock(&path->lock);
	pmtu_set_max(&path->pmtu, interface_mtu);
	size = pmtu_poll(&path->pmtu, &view);
	if (size)
		pmtu_sent(&path->pmtu, mark, now_ns);
	publish(path);
	pthread_mutex_unlock(&path->lock);
	return size;
}

/* One of our workers' paths to the peer carries less than it did: the others may too. */
void peer_suspect_paths(struct peer *p, unsigned n_workers)
{
	unsigned i;

	for (i = 0; i < n_workers; i++) {
		pthread_mutex_lock(&p->paths[i].lock);
		pmtu_suspect(&p->paths[i].pmtu);
		pthread_mutex_unlock(&p->paths[i].lock);
	}
}

/* A reply bears @mark. Any worker. Returns whether it is of a probe of the path's MTU. */
bool peer_path_acked(struct path *path, uint64_t mark, uint64_t now_ns)
{
	bool known;

	pthread_mutex_lock(&path->lock);
	known = pmtu_acked(&path->pmtu, mark, now_ns);
	publish(path);
	pthread_mutex_unlock(&path->lock);
	return known;
}

/* Whether the peer is sent to over IPv6, once there is a path. */
bool peer_path_is_ipv6(const struct peer *p)
{
	return atomic_load(&p->paths[0].headers) == UDP_IPV6_HDR;
}

/* The least of our workers' path MTUs; 0 until each is known to carry anything. */
uint32_t peer_path_mtu(const struct peer *p, unsigned n_workers)
{
	uint32_t least = UINT32_MAX, mtu;
	unsigned i;

	for (i = 0; i < n_workers; i++) {
		mtu = atomic_load(&p->paths[i].mtu);
		least = mtu < least ? mtu : least;
	}
	return least;
}

/* What our workers are doing about it: the first of the states that any is in, but an error before
 * all. */
enum pmtu_state peer_path_state(const struct peer *p, unsigned n_workers)
{
	uint8_t first = PMTU_ERROR, state;
	unsigned i, settled = 0;

	for (i = 0; i < n_workers; i++) {
		state = atomic_load(&p->paths[i].mtu_state);
		first = state < first ? state : first;
		settled += state >= PMTU_COMPLETE;
	}
	for (i = 0; settled == n_workers && i < n_workers; i++)
		if (atomic_load(&p->paths[i].mtu_state) == PMTU_ERROR)
			return PMTU_ERROR;
	return (enum pmtu_state)first;
}

/* How often a path's MTU was found not to pass any more, the most of our workers. */
uint64_t peer_path_holes(const struct peer *p, unsigned n_workers)
{
	uint64_t most = 0, holes;
	unsigned i;

	for (i = 0; i < n_workers; i++) {
		holes = atomic_load(&p->paths[i].holes);
		most = holes > most ? holes : most;
	}
	return most;
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
