// SPDX-License-Identifier: GPL-3.0-or-later
/* control_stream.c - connections for split TCP's streams: made, and handed over */
/*
 * A stream is a connection like a control connection, on the same port, with
 * the same certificates and pins; its ALPN tells them apart. When the pin
 * check is passed it is accel's.
 *
 * Whoever made the control connection makes the streams too, of both sides:
 * that way is known to be open. The other side asks for what it needs with a
 * message {"type": "streams", "n": …}.
 *
 * A stream's segments fill the path as the sealed probes have found it
 * (pmtu.c), for ICMP may be filtered on it. So streams wait for the search to
 * end, for a while.
 */
#include "tunnel/control.h"

#include "lib/clock.h"
#include "lib/log.h"
#include "tunnel/tunnel.h"

#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <string.h>
#include <unistd.h>

#define DIALING_MAX 128	 /* at once: what a second's flows may need within some round trips */
#define WANTED_MAX  1024 /* and not begun */

/* For the search for the path's MTU, from a peer's first session on. Where nothing is filtered it
 * takes two round trips. */
#define SEARCH_PATIENCE_NS (2 * NS_PER_S)

/* The MSS of a stream to a peer at an address, bytes: what the path is known to carry in one
 * packet. */
uint32_t control_stream_segment(struct link *l, const struct endpoint *to)
{
	uint32_t path = peer_path_mtu(l->peer, l->control->tunnel->n_workers);
	uint32_t around = sizeof(struct tcphdr) +
			  (endpoint_is_ipv4(to) ? sizeof(struct iphdr) : sizeof(struct ip6_hdr));

	if (!l->streams_mtu || path < l->streams_mtu)
		l->streams_mtu = path;
	return (path > PMTU_FLOOR_IPV4 ? path : PMTU_FLOOR_IPV4) - around;
}

static bool search_goes_on(const struct link *l)
{
	return peer_path_state(l->peer, l->control->tunnel->n_workers) < PMTU_COMPLETE &&
	       clock_ns() - l->session_ns < SEARCH_PATIENCE_NS && !l->rekeys;
}

static void dial_streams(struct link *l)
{
	struct conn *c;
	bool ours;

	if (search_goes_on(l))
		return;
	while (l->streams_dialing < DIALING_MAX && (l->streams_ours || l->streams_theirs)) {
		/* In turns, so that neither side waits for all of the other's. */
		ours = l->streams_ours && (!l->streams_theirs || l->streams_turn++ % 2);
		*(ours ? &l->streams_ours : &l->streams_theirs) -= 1;
		if (!l->current || l->control->stopping)
			continue;
		c = control_call(l, &l->current->remote, true);
		if (!c)
			continue;
		c->we_open = ours;
		l->streams_dialing++;
	}
}

/*
 * Makes streams to a peer, or asks it to.
 * @ours: flows will be opened on them by us
 */
void control_want_streams(struct link *l, unsigned n, bool ours)
{
	unsigned *wanted = ours ? &l->streams_ours : &l->streams_theirs;

	if (!l->current || l->control->stopping)
		return;
	if (ours && !l->called_by_us) {
		control_send(l->current, json_pack("{s:s, s:i}", "type", "streams", "n", (int)n));
		return;
	}
	if (!l->called_by_us || *wanted + n > WANTED_MAX)
		return;
	*wanted += n;
	dial_streams(l);
}

/* Has streams replaced that were made for a path which carries less now, or turned out to carry
 * more. */
void control_stream_watch(struct link *l, uint32_t path, enum pmtu_state state)
{
	struct tunnel *t = l->control->tunnel;

	/* Who is called does not make streams, but sees as well what the path carries. */
	if (!l->streams_mtu && !l->called_by_us)
		l->streams_mtu = path;
	if (!t->accelerate.accel || !path || !l->streams_mtu || path == l->streams_mtu ||
	    (path > l->streams_mtu && state != PMTU_COMPLETE))
		return;
	l->streams_mtu = 0;
	accel_path_changed(t->accelerate.accel, l->peer->index);
}

/* Goes on with what had to wait. */
void control_stream_tick(struct link *l)
{
	if (l->streams_ours || l->streams_theirs)
		dial_streams(l);
}

/* A stream's connection has ended before it was handed over, or was handed over. */
void control_stream_gone(struct conn *c)
{
	if (!c->caller || !c->link)
		return;
	c->link->streams_dialing--;
	dial_streams(c->link);
}

/* Whether a connection that has passed its handshake is a stream. */
bool control_is_stream(const struct conn *c)
{
	const unsigned char *name;
	unsigned len;

	SSL_get0_alpn_selected(c->ssl, &name, &len);
	return len == sizeof(STREAM_ALPN) - 1 && !memcmp(name, STREAM_ALPN, len);
}

/* Gives a stream to accel. The connection is freed by the caller; it has nothing left. */
void control_hand_over(struct conn *c)
{
	struct tunnel *t = c->control->tunnel;
	SSL *ssl = c->ssl;
	int fd = c->io.fd;

	if (!t->accelerate.accel)
		return;
	loop_remove(c->control->loop, &c->io);
	c->io.fd = -1;
	c->ssl = NULL;
	SSL_set_app_data(ssl, NULL);
	accel_add_stream(t->accelerate.accel, c->link->peer->index, fd, ssl, c->caller, c->we_open);
}
