// SPDX-License-Identifier: GPL-3.0-or-later
/* ramp.c - the window that split TCP's streams begin with */
/*
 * Theory of operation
 *
 * A stream is made before it is needed, so its congestion window is still the
 * initial one when a flow comes. The kernel's, ten segments, needs ten round
 * trips to fill 1 Gbit/s over 120 ms: 1.2 s of a transfer of five. Streams
 * are few, ours and paced (by BBR, or at the peer's rate), so they may begin
 * with more than RFC 6928 allows anybody:
 *
 *	window = rate × round trip,   RAMP_SEGMENTS_MIN … RAMP_SEGMENTS_MAX
 *
 * The rate is the peer's, which says what the path may carry; without one it is
 * RAMP_RATE_UNKNOWN: then 1 MB comes over 120 ms in half of the time, and what
 * is sent at once is no more than a quarter of a megabyte, less than a router's
 * queue of 100 ms holds at that rate; on a short path, where ten
 * segments grow soon, it is hardly more than ten.
 *
 * Routes carry it (lib/route.c): one for each peer, in a table of its own that
 * is numbered by the instance's name and the peer, for TCP between the peer's
 * address and the port of the side that was called. Control connections between
 * them are led there as well, which say too little to notice. It is put in
 * when the peer's hello has come, before it may be told that we are ready, so
 * before there can be streams; renewed when routes change and when the window
 * would be another by a quarter; removed at the end. What a process that was
 * killed has left is removed at the start.
 *
 * Where it cannot be done it is logged and done without.
 */
#include "tunnel/ramp.h"

#include "lib/clock.h"
#include "lib/log.h"
#include "tunnel/control.h"
#include "tunnel/tunnel.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#define TABLE_BIT      0x80000000u
#define TABLES_A_NAME  PEERS_MAX
#define SEGMENT_USUAL  1448 /* bytes, as long as the path's MTU is not known */
#define AROUND_SEGMENT 52   /* bytes: IPv4, TCP, time stamps */
#define FNV_OFFSET     2166136261u
#define FNV_PRIME      16777619u
#define LOOK_NS	       NS_PER_S
#define SLOWLY	       64 /* looks */

/*
 * The window to begin with, in segments.
 * @rate_bps: of the peer; 0: not known
 * @rtt_ns:   0: not known
 * @segment:  bytes of payload
 */
uint32_t ramp_segments(uint64_t rate_bps, uint64_t rtt_ns, uint32_t segment)
{
	double bytes = (double)(rate_bps ? rate_bps : RAMP_RATE_UNKNOWN) / 8 * (double)rtt_ns /
		       (double)NS_PER_S;
	double n = bytes / segment;

	if (n < RAMP_SEGMENTS_MIN)
		return RAMP_SEGMENTS_MIN;
	return n > RAMP_SEGMENTS_MAX ? RAMP_SEGMENTS_MAX : (uint32_t)n;
}

/* The first of an instance's tables: FNV-1a of its name (draft-eastlake-fnv). */
static uint32_t first_table(const char *name)
{
	uint32_t hash = FNV_OFFSET;

	for (; *name; name++)
		hash = (hash ^ (uint8_t)*name) * FNV_PRIME;
	return TABLE_BIT | (hash & ~TABLE_BIT) / TABLES_A_NAME * TABLES_A_NAME;
}

static bool is_on(const struct control *k)
{
	const struct tunnel *t = k->tunnel;

	return t->accelerate.tags && !(t->conf->without & WITHOUT_INITIAL_WINDOW);
}

/* The round trip as probes see it now, by the fastest of their ways; 0: they do not yet. */
static uint64_t probed_rtt(const struct link *l)
{
	uint64_t least = UINT64_MAX, rtt;
	unsigned i;

	for (i = 0; i < l->control->tunnel->n_workers; i++) {
		rtt = atomic_load_explicit(&l->peer->paths[i].rtt_ns, memory_order_relaxed);
		if (rtt && rtt < least)
			least = rtt;
	}
	return least < UINT64_MAX ? least : 0;
}

/* …as the TCP of a connection does. */
static uint64_t tcp_rtt(const struct conn *c)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	return getsockopt(c->io.fd, IPPROTO_TCP, TCP_INFO, &info, &len)
		       ? 0
		       : info.tcpi_min_rtt * NS_PER_US;
}

static uint32_t window_of(const struct link *l)
{
	uint32_t path = peer_path_mtu(l->peer, l->control->tunnel->n_workers);

	return ramp_segments(l->peer->conf->rate_bps, l->ramp.rtt_ns,
			     path > 2 * AROUND_SEGMENT ? path - AROUND_SEGMENT : SEGMENT_USUAL);
}

static void take_address(uint8_t to[16], const struct endpoint *e)
{
	const uint8_t *from = e->in6.sin6_addr.s6_addr;

	if (endpoint_is_ipv4(e))
		memcpy(to, from + 12, 4);
	else
		memcpy(to, from, 16);
}

/* Fills in which connections a link's streams are. Returns false if that cannot be told. */
static bool describe(const struct conn *c, struct route_own *own)
{
	const struct control *k = c->control;
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct endpoint local;

	if (getsockname(c->io.fd, (struct sockaddr *)&ss, &len))
		return false;
	endpoint_from(&local, (struct sockaddr *)&ss);
	*own = (struct route_own){
		.family = endpoint_is_ipv4(&c->remote) ? AF_INET : AF_INET6,
		.ifindex = (unsigned)k->tunnel->interface.ifindex,
		.table = first_table(k->tunnel->conf->name) + c->link->peer->index,
	};
	take_address(own->local, &local);
	take_address(own->remote, &c->remote);
	if (c->caller)
		own->remote_port = ntohs(c->remote.in6.sin6_port);
	else
		own->local_port = ntohs(local.in6.sin6_port);
	return true;
}

static void put_in(struct link *l, const struct route_own *own)
{
	struct ramp *r = &l->ramp;
	struct err e;

	if (!route_own_install(own, &e)) {
		r->own = *own;
		r->failed = false;
		return;
	}
	if (!r->failed)
		log_warning("peer %s: its streams begin with the kernel's initial window: %s",
			    l->peer->conf->name, e.text);
	r->failed = true;
}

/* A window that differs by less than a quarter makes no difference. */
static bool differs(uint32_t a, uint32_t b)
{
	return a > b + b / 4 || a < b - b / 4;
}

static bool same_connections(const struct route_own *a, const struct route_own *b)
{
	return a->family == b->family && a->ifindex == b->ifindex &&
	       !memcmp(a->local, b->local, sizeof(a->local)) &&
	       !memcmp(a->remote, b->remote, sizeof(a->remote)) && a->local_port == b->local_port &&
	       a->remote_port == b->remote_port;
}

/* A peer has said hello, or has become one's with a connection: there may be streams soon. */
void ramp_connected(struct conn *c)
{
	struct link *l = c->link;
	struct ramp *r = &l->ramp;
	struct route_own own;

	if (!is_on(c->control) || !(c->tags & c->accelerated) || !describe(c, &own))
		return;
	if (r->own.initial_segments && !same_connections(&own, &r->own)) {
		route_own_remove(&r->own);
		r->own.initial_segments = 0;
	}
	if (r->own.initial_segments)
		return;
	r->rtt_ns = probed_rtt(l);
	if (!r->rtt_ns)
		r->rtt_ns = tcp_rtt(c);
	own.initial_segments = window_of(l);
	put_in(l, &own);
}

/*
 * Follows the path's round trip: at once when it is shorter, slowly when it is
 * longer, because a queue may be why.
 */
void ramp_tick(struct link *l)
{
	struct ramp *r = &l->ramp;
	struct route_own own = r->own;
	uint64_t now = clock_ns(), rtt;

	if (!own.initial_segments || now - r->looked_ns < LOOK_NS)
		return;
	r->looked_ns = now;
	rtt = probed_rtt(l);
	if (rtt)
		r->rtt_ns = rtt < r->rtt_ns ? rtt : r->rtt_ns + (rtt - r->rtt_ns) / SLOWLY;
	own.initial_segments = window_of(l);
	if (differs(own.initial_segments, r->own.initial_segments))
		put_in(l, &own);
}

static void routes_changed(void *ctx)
{
	struct control *k = ctx;
	unsigned i;

	for (i = 0; i < k->n_links; i++)
		if (k->links[i].ramp.own.initial_segments)
			put_in(&k->links[i], &k->links[i].ramp.own);
}

static void sweep(struct control *k)
{
	uint32_t first = first_table(k->tunnel->conf->name);

	route_sweep(first, first + TABLES_A_NAME - 1);
}

/* Prepares it; what a former process has left is removed even where nothing is accelerated now. */
void ramp_start(struct control *k)
{
	struct err e;

	sweep(k);
	if (!is_on(k))
		return;
	k->routes = route_watch_new(k->loop, routes_changed, k, &e);
	if (!k->routes)
		log_warning("no news of routes (%s): streams may lose their way when one changes",
			    e.text);
}

/* Removes what it has put into the kernel. */
void ramp_stop(struct control *k)
{
	route_watch_free(k->routes);
	k->routes = NULL;
	if (is_on(k))
		sweep(k);
}
