// SPDX-License-Identifier: GPL-3.0-or-later
/* worker.c - the way of a frame, both directions, top to bottom */
/*
 * Theory of operation
 *
 *	port_ready                        outer_ready
 *	  read a batch                      read a batch, check sender and tag
 *	  per frame: admit                  frob each frame (SYNs)
 *	             learn source           merge consecutive segments
 *	             find destinations      per super-frame: learn, find destinations
 *	             to ports and peers     to ports
 *	             (or wait: paced.c)
 *	  flush                             flush
 *
 * TCP of accelerated tags leaves that way after learning, for accel's TAPs,
 * and comes back out of them: tap_ready.
 *
 * A worker owns its end of every port and of the outer transport, and its
 * counters; the MAC table is shared. Everything a frame points at lives in
 * the worker's batch and stays until the flush at the batch's end, so nothing
 * on the way is copied but headers.
 *
 * Other threads change a worker only by calls posted to its loop.
 */
#include "tunnel/worker_own.h"

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/tcphdr.h"
#include "tunnel/mtu.h"
#include "tunnel/paced.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define _LGPL_SOURCE
#include <urcu.h>

#define SAME_LAN_NS                                                                  \
	(60 * NS_PER_S) /* two ports count as on one LAN this long after it was seen \
			 */

#define IPV6_MTU_MIN 1280

#define ETHERTYPE_MAC_CONTROL 0x8808 /* pause frames, IEEE 802.3 annex 31 */

/* Where a frame goes: sets of port and peer indices. */
struct destinations {
	uint64_t ports, peers;
};

static void drop(struct worker *w, enum drop reason, uint32_t frames)
{
	counter_add(&w->counters.drops[reason], frames);
}

/* Wire frames inside a frame; an estimate for offload headers that are wrong, which are dropped
 * later. */
static uint32_t wire_frames(const struct frame *f, const struct packet *p)
{
	uint32_t hdr_len = gso_header_len(f, p);

	if (f->vnet.gso_type == VIRTIO_NET_HDR_GSO_NONE || !f->vnet.gso_size || hdr_len >= f->len)
		return 1;
	return (f->len - hdr_len + f->vnet.gso_size - 1) / f->vnet.gso_size;
}

static struct fdb_key key_of(const struct tag *tag, const uint8_t *mac, const struct packet *p)
{
	struct fdb_key key = {.vid = p->vid, .tag = tag->tag};

	memcpy(key.mac, mac, sizeof(key.mac));
	return key;
}

static struct log_limit same_lan_limit = LOG_LIMIT(60);

/*
 * What was written to one port came in by another: both stand on one LAN, as
 * in 2008, when everything arrived twice. Within a tag they are one port from
 * then on (see one_of_a_lan()); between tags only a person can tell which to
 * remove.
 */
static void note_same_lan(struct worker *w, struct port *a, struct port *b)
{
	uint64_t suppressed;

	atomic_fetch_or(&a->same_lan, 1ull << b->index);
	atomic_fetch_or(&b->same_lan, 1ull << a->index);
	atomic_store(&a->same_lan_ns, w->now_ns);
	atomic_store(&b->same_lan_ns, w->now_ns);
	atomic_store(&w->tunnel->any_same_lan, true);
	if (log_allowed(&same_lan_limit, &suppressed))
		log_warning(
			"ports %s and %s stand on one LAN: what is written to one comes in by the other, and "
			"frames may arrive twice at the far side; bridge it by one of them",
			b->conf->name, a->conf->name);
}

/* Ports on the same LAN as @port, as far as it has been seen lately. */
static uint64_t same_lan(const struct worker *w, const struct port *port)
{
	uint64_t age = w->now_ns - atomic_load_explicit(&port->same_lan_ns, memory_order_relaxed);

	return age < SAME_LAN_NS ? atomic_load_explicit(&port->same_lan, memory_order_relaxed) : 0;
}

/* Of a set of ports, leaves out what is on the LAN the frame came from, and all but the first of
 * each LAN. */
static uint64_t one_of_a_lan(const struct worker *w, uint64_t ports, fdb_place from)
{
	uint64_t left, keep = 0,
		       covered = fdb_is_peer(from) ? 0 : same_lan(w, &w->tunnel->ports[from]);

	for (left = ports; left; left &= left - 1) {
		unsigned i = (unsigned)__builtin_ctzll(left);

		if (covered & 1ull << i)
			continue;
		keep |= 1ull << i;
		covered |= same_lan(w, &w->tunnel->ports[i]);
	}
	return keep;
}

/* Whether a frame that came in a port is one we wrote to it or to another. */
static bool is_reflected(struct worker *w, struct port *port, const struct frame *f,
			 const struct packet *p)
{
	int written = reflect_seen(w->tunnel->reflect, f->data, f->len, p, w->now_ms);

	if (written >= 0 && (unsigned)written != port->index)
		note_same_lan(w, port, &w->tunnel->ports[written]);
	return written >= 0;
}

/* Whether a frame may enter the bridge at all, wherever it comes from. */
static bool admit(struct worker *w, const struct frame *f, const struct packet *p, uint32_t frames)
{
	static const uint8_t zero[6];
	const uint8_t *source = f->data + 6;

	if (source[0] & 1 || !memcmp(source, zero, 6))
		drop(w, DROP_bad_source, frames);
	else if (p->ethertype == ETHERTYPE_MAC_CONTROL)
		drop(w, DROP_mac_control, frames);
	else
		return true;
	return false;
}

/* Whether a frame read from a port is a LAN's, and not something of ours that comes back. */
static bool is_foreign(struct worker *w, struct port *port, const struct frame *f,
		       const struct packet *p, uint32_t frames)
{
	if (w->tunnel->outer_ops->is_own(w->tunnel, f, p))
		drop(w, DROP_own_outer, frames);
	else if (is_reflected(w, port, f, p))
		drop(w, DROP_reflected, frames);
	else
		return true;
	return false;
}

/* Learns a frame's source. Returns false if the frame must be dropped. */
static bool learn(struct worker *w, const struct tag *tag, fdb_place place, const struct frame *f,
		  const struct packet *p)
{
	struct fdb_key key = key_of(tag, f->data + 6, p);
	bool announced = guard_announces(f->data, f->len, p);

	switch (fdb_learn(w->tunnel->fdb, &key, place, announced, tag->conf->max_macs, w->now_ms)) {
	case FDB_CONFLICT: drop(w, DROP_mac_conflict, wire_frames(f, p)); return false;
	case FDB_FULL: counter_add(&w->counters.unlearnt, 1); return true;
	case FDB_MOVED:
		if (accelerate_is_on(&w->tunnel->accelerate, (unsigned)(tag - w->tunnel->tags)))
			accel_moved(w->tunnel->accelerate.accel, (unsigned)(tag - w->tunnel->tags),
				    key.vid, key.mac);
		log_debug("tag %u: %02x:%02x:%02x:%02x:%02x:%02x moved to %s %s", tag->tag,
			  key.mac[0], key.mac[1], key.mac[2], key.mac[3], key.mac[4], key.mac[5],
			  fdb_is_peer(place) ? "peer" : "port",
			  fdb_is_peer(place) ? w->tunnel->peers[fdb_index(place)].conf->name
					     : w->tunnel->ports[fdb_index(place)].conf->name);
		return true;
	default: return true;
	}
}

/* Finds where a frame goes. What came from a peer never goes to a peer: every site has heard it. */
static struct destinations find_destinations(struct worker *w, struct tag *tag, fdb_place from,
					     const struct frame *f, const struct packet *p,
					     uint32_t frames)
{
	static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	struct destinations d = {
		tag->ports,
		fdb_is_peer(from) ? 0 : atomic_load_explicit(&tag->peers, memory_order_relaxed)};
	bool group = f->data[0] & 1;
	struct fdb_key key = key_of(tag, f->data, p);
	fdb_place at = group ? FDB_NOWHERE : fdb_lookup(w->tunnel->fdb, &key);

	if (at == from || (at != FDB_NOWHERE && fdb_is_peer(at) && fdb_is_peer(from))) {
		drop(w, at == from ? DROP_same_side : DROP_horizon, frames);
		return (struct destinations){0, 0};
	}
	if (at != FDB_NOWHERE) {
		d.ports &= fdb_is_peer(at) ? 0 : 1ull << fdb_index(at);
		d.peers &= fdb_is_peer(at) ? 1ull << fdb_index(at) : 0;
		return d;
	}
	/* Multicast that is not broadcast is somebody's traffic, not a storm. */
	if ((!group || !memcmp(f->data, broadcast, 6)) &&
	    !storm_allows(&tag->storms[from], frames, w->now_ns)) {
		drop(w, DROP_storm, frames);
		return (struct destinations){0, 0};
	}
	if (!fdb_is_peer(from))
		d.ports &= ~(1ull << from);
	if (atomic_load_explicit(&w->tunnel->any_same_lan, memory_order_relaxed))
		d.ports = one_of_a_lan(w, d.ports, from);
	counter_add(&w->counters.flooded, frames);
	return d;
}

static void to_ports(struct worker *w, uint64_t ports, const struct gso_merged *m,
		     const struct packet *p)
{
	struct port_queue *q;

	for (; ports; ports &= ports - 1) {
		q = &w->ports[__builtin_ctzll(ports)].queue;
		if (w->mirrors.n)
			mirror_port(&w->mirrors, q->port->index, MIRROR_OUT, m->iov, m->iovcnt,
				    m->len);
		reflect_note(w->tunnel->reflect, q->port->index, m->head->data, m->head->len, p,
			     w->now_ms);
		port_queue_send(q, m, p, &w->counters);
	}
}

/* A frame that goes from port to port as it is. @m and @iov live as long as the batch. */
static void make_single(struct gso_merged *m, struct iovec *iov, struct frame *f, uint32_t frames,
			const struct packet *p)
{
	uint32_t wire_len = frames > 1 ? gso_header_len(f, p) + f->vnet.gso_size : f->len;

	*iov = (struct iovec){f->data, f->len};
	*m = (struct gso_merged){.vnet = f->vnet,
				 .head = f,
				 .iov = iov,
				 .iovcnt = 1,
				 .len = f->len,
				 .frames = frames,
				 .wire_len = wire_len};
}

/* Lowers the MSS of a SYN that came in a port to what fits on the way back: what its sender says
 * there is how much it will be sent. A number that was asked for acts at the far end only, as in
 * 2008. */
static void clamp_out(struct worker *w, const struct port *port, uint64_t peers, struct frame *f,
		      const struct packet *p)
{
	struct frob_rules rules = {.vlan_cost = VLAN_TAG_LEN, .wscale = FROB_WSCALE_OFF};
	unsigned did;

	if (w->tunnel->tags[port->tag].conf->mtu != MTU_AUTO || p->proto != IPPROTO_TCP ||
	    !p->payload || !(f->data[p->l4 + TCP_FLAGS] & TCP_SYN))
		return;
	rules.mtu = (uint16_t)mtu_clamp_out(w->tunnel, peers);
	did = frob_rewrite(f->data, f->len, f->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM, &rules);
	counter_add(&w->counters.tags[port->tag].mss_clamped_out, !!(did & FROB_MSS));
}

/* Builds the answer to a frame that is too long and queues it for the port it came from. Returns
 * false if there has been enough of that. */
static bool send_hint(struct worker *w, const struct port *port, const struct frame *f,
		      const struct packet *p, uint32_t mtu)
{
	struct tag_counters *c = &w->counters.tags[port->tag];
	struct waiting_hint *h = &w->hints[w->n_hints];
	struct packet layers;

	if (w->n_hints == HINTS_AT_ONCE ||
	    !bucket_take(&w->ports[port->index].hints, 1, w->now_ns)) {
		counter_add(&c->hints_limited, 1);
		return false;
	}
	h->frame = (struct frame){.data = h->bytes};
	h->frame.len = hint_build(w->hint, f, p, mtu, h->bytes);
	if (!h->frame.len)
		return false;
	w->n_hints++;
	counter_add(&c->hints, 1);
	packet_parse(h->bytes, h->frame.len, &layers);
	make_single(&h->single, &h->iov, &h->frame, 1, &layers);
	to_ports(w, 1ull << port->index, &h->single, &layers);
	return true;
}

/*
 * Looks whether a frame goes to these peers in one piece; if not, does what
 * the tag has for it. What cannot be told to its sender travels in fragments
 * whatever is configured, so that nothing is lost that nobody hears of.
 * Returns the peers it is still to be sent to.
 */
static uint64_t watch_size(struct worker *w, const struct port *port, uint64_t peers,
			   const struct frame *f, const struct packet *p, uint32_t frames)
{
	const struct conf_tag *conf = w->tunnel->tags[port->tag].conf;
	uint32_t len = frames > 1 ? gso_header_len(f, p) + f->vnet.gso_size : f->len, fits;
	uint32_t mtu = len - ETH_HDR_LEN, least = mtu;
	uint64_t left, narrow = 0;

	if (conf->oversize == CONF_OVERSIZE_FRAGMENT)
		return peers;
	for (left = peers; left; left &= left - 1) {
		unsigned i = (unsigned)__builtin_ctzll(left);

		fits = atomic_load_explicit(&w->tunnel->peers[i].inner_mtu, memory_order_relaxed);
		narrow |= fits < mtu ? 1ull << i : 0;
		least = fits < least ? fits : least;
	}
	mtu -= p->vlans * VLAN_TAG_LEN;
	least -= p->vlans * VLAN_TAG_LEN;
	/* IPv6 hosts need not go below that (RFC 8200 section 5). */
	if (p->ip_version == 6 && least < IPV6_MTU_MIN)
		least = IPV6_MTU_MIN;
	if (!narrow || mtu <= least || !hint_allowed(f, p) || !send_hint(w, port, f, p, least) ||
	    conf->oversize != CONF_OVERSIZE_DROP)
		return peers;
	drop(w, DROP_oversize, frames);
	return peers & ~narrow;
}

/* Whether a frame from a port is accel's, and not bridged. */
static bool is_accelerated(struct worker *w, struct port *port, struct frame *f,
			   const struct packet *p, struct gso_merged *single, struct iovec *iov)
{
	struct tunnel *t = w->tunnel;
	struct packet answer;

	if (!accelerate_is_on(&t->accelerate, port->tag))
		return false;
	switch (accel_from_port(t->accelerate.accel, w->index, port->tag, f, p, w->now_ms)) {
	case ACCEL_BRIDGE: return false;
	case ACCEL_TAKEN: return true;
	case ACCEL_ANSWER: break;
	}
	packet_parse(f->data, f->len, &answer);
	make_single(single, iov, f, 1, &answer);
	to_ports(w, 1ull << port->index, single, &answer);
	return true;
}

static void show_to_peers(struct worker *w, uint64_t peers, const struct frame *f)
{
	for (; w->mirrors.n && peers; peers &= peers - 1)
		mirror_peer(&w->mirrors, (unsigned)__builtin_ctzll(peers), MIRROR_OUT,
			    MIRROR_AFTER_FROB, &(struct iovec){f->data, f->len}, 1, f->len);
}

static void show_from_peer(struct worker *w, const struct frame *f, enum mirror_stage stage)
{
	if (w->mirrors.n)
		mirror_peer(&w->mirrors, outer_key_peer(f->key), MIRROR_IN, stage,
			    &(struct iovec){f->data, f->len}, 1, f->len);
}

/* Bridges a frame that came from a port, to peers and other ports. */
static void bridge(struct worker *w, struct port *port, struct frame *f, const struct packet *p,
		   uint32_t frames, struct gso_merged *single, struct iovec *iov)
{
	struct tag *tag = &w->tunnel->tags[port->tag];
	struct destinations d = find_destinations(w, tag, fdb_port(port->index), f, p, frames);

	if (d.peers) {
		clamp_out(w, port, d.peers, f, p);
		d.peers = watch_size(w, port, d.peers, f, p, frames);
		show_to_peers(w, d.peers, f);
		d.peers = paced_hold(w->outer, port->tag, d.peers, f, p, frames);
		w->tunnel->outer_ops->send(w->outer, port->tag, d.peers, f, p);
	}
	if (d.ports) {
		make_single(single, iov, f, frames, p);
		to_ports(w, d.ports, single, p);
	}
}

/* Port to bridge: one frame, perhaps a super-frame. */
static void from_port(struct worker *w, struct port *port, struct frame *f,
		      struct gso_merged *single, struct iovec *iov)
{
	struct tag *tag = &w->tunnel->tags[port->tag];
	struct traffic *in = &w->counters.ports[port->index].in;
	struct packet p;
	uint32_t frames;

	packet_parse(f->data, f->len,
		     &p); /* what it cannot read is bridged by its MACs all the same */
	frames = wire_frames(f, &p);
	counter_add(&in->frames, frames);
	counter_add(&in->bytes, f->len + (frames - 1) * gso_header_len(f, &p));
	counter_add(&in->supers, frames > 1);
	if (w->mirrors.n)
		mirror_port(&w->mirrors, port->index, MIRROR_IN, &(struct iovec){f->data, f->len},
			    1, f->len);
	if (!admit(w, f, &p, frames) || !is_foreign(w, port, f, &p, frames) ||
	    !learn(w, tag, fdb_port(port->index), f, &p) ||
	    is_accelerated(w, port, f, &p, single, iov))
		return;
	bridge(w, port, f, &p, frames, single, iov);
}

static void flush_ports(struct worker *w)
{
	unsigned i;

	for (i = 0; i < w->tunnel->n_ports; i++)
		if (w->ports[i].queue.n_tx)
			w->ports[i].queue.port->ops->flush(&w->ports[i].queue, &w->counters);
}

static void batch_begins(struct worker *w)
{
	w->now_ns = clock_ns();
	w->now_ms = (uint32_t)(w->now_ns / NS_PER_MS);
	w->outer->now_ns = w->now_ns;
	w->mirrors.now_ns = 0;
	w->n_hints = 0;
}

/* A port can be read. @ctx: a struct port_end. */
void worker_port_ready(void *ctx, uint32_t events)
{
	struct port_end *end = ctx;
	struct worker *w = end->worker;
	struct gso_merged singles[BATCH_MESSAGES];
	struct iovec iovs[BATCH_MESSAGES];
	unsigned i, n;

	n = end->queue.port->ops->receive(&end->queue, w->port_batch, &w->counters);
	if (!n && events & (EPOLLERR | EPOLLHUP)) {
		int error;
		socklen_t len = sizeof(error);

		/* Reading the error clears it: an interface that went away or down says so once. */
		if (getsockopt(end->queue.io.fd, SOL_SOCKET, SO_ERROR, &error, &len)) {
			loop_remove(w->loop,
				    &end->queue.io); /* a TAP that is gone; it is made again */
			port_queue_close(&end->queue);
		}
		return;
	}
	batch_begins(w);
	rcu_read_lock(); /* sessions and addresses of peers stay while the batch is worked on */
	for (i = 0; i < w->port_batch->n; i++)
		from_port(w, end->queue.port, &w->port_batch->frames[i], &singles[i], &iovs[i]);
	w->tunnel->outer_ops->flush(w->outer);
	rcu_read_unlock();
	flush_ports(w);
}

/* Rewrites what a frame from a peer says in its handshake, and counts it. */
static void frob(struct worker *w, struct frame *f)
{
	unsigned tag = outer_key_tag(f->key);
	struct tag_counters *c = &w->counters.tags[tag];
	const struct tag *t = &w->tunnel->tags[tag];
	struct frob_rules rules = {.mtu = t->conf->mtu == MTU_OFF ? 0 : (uint16_t)t->conf->mtu,
				   .wscale = t->wscale};
	unsigned did;

	if (t->conf->mtu == MTU_AUTO) {
		rules.mtu = (uint16_t)atomic_load_explicit(
			&w->tunnel->peers[outer_key_peer(f->key)].inner_mtu, memory_order_relaxed);
		rules.vlan_cost = VLAN_TAG_LEN;
	}
	did = frob_rewrite(f->data, f->len, f->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM, &rules);
	if (!did)
		return;
	counter_add(&c->syns, !!(did & FROB_SYN));
	counter_add(&c->mss_clamped, !!(did & FROB_MSS));
	counter_add(&c->wscale_written, !!(did & FROB_WSCALE));
	counter_add(&c->malformed, !!(did & FROB_MALFORMED));
}

/* Whether a frame from a peer is accel's, and not bridged. */
static bool is_accelerated_by_peer(struct worker *w, unsigned tag, unsigned peer, struct frame *f,
				   const struct packet *p)
{
	struct tunnel *t = w->tunnel;
	struct packet answer;

	if (!accelerate_is_on(&t->accelerate, tag))
		return false;
	switch (accel_from_peer(t->accelerate.accel, tag, peer, f, p, w->now_ms)) {
	case ACCEL_BRIDGE: return false;
	case ACCEL_TAKEN: return true;
	case ACCEL_ANSWER: break;
	}
	packet_parse(f->data, f->len, &answer);
	t->outer_ops->send(w->outer, tag, 1ull << peer, f, &answer);
	return true;
}

/* Peer to bridge: one frame, or several that were merged. */
static void from_peer(struct worker *w, const struct gso_merged *m)
{
	unsigned peer = outer_key_peer(m->head->key);
	struct tag *tag = &w->tunnel->tags[outer_key_tag(m->head->key)];
	struct traffic *in = &w->counters.peers[peer].in;
	struct destinations d;
	struct packet p;

	packet_parse(m->head->data, m->head->len, &p);
	counter_add(&in->frames, m->frames);
	counter_add(&in->bytes, m->len + (m->frames - 1) * p.payload);
	counter_add(&in->supers, m->frames > 1);
	if (!admit(w, m->head, &p, m->frames) || !learn(w, tag, fdb_peer(peer), m->head, &p))
		return;
	if (is_accelerated_by_peer(w, outer_key_tag(m->head->key), peer, m->head, &p))
		return;
	d = find_destinations(w, tag, fdb_peer(peer), m->head, &p, m->frames);
	to_ports(w, d.ports, m, &p);
}

/* A socket of the transport can be read. @ctx: a struct outer_end. */
void worker_outer_ready(void *ctx, uint32_t events)
{
	struct outer_end *end = ctx;
	struct worker *w = end->worker;
	const struct gso_merged *merged;
	uint32_t i, n;

	batch_begins(w);
	rcu_read_lock();
	n = w->tunnel->outer_ops->receive(w->outer, end->socket, w->outer_batch);
	w->tunnel->outer_ops->flush(w->outer); /* answers to probes */
	rcu_read_unlock();
	if (!n)
		return;
	for (i = 0; i < w->outer_batch->n; i++) {
		struct frame *f = &w->outer_batch->frames[i];

		atomic_store_explicit(&w->tunnel->peers[outer_key_peer(f->key)].heard_ns, w->now_ns,
				      memory_order_relaxed);
		show_from_peer(w, f, MIRROR_BEFORE_FROB);
		frob(w, f);
		show_from_peer(w, f, MIRROR_AFTER_FROB);
	}
	merged = gso_merge_batch(w->merge, w->outer_batch->frames, w->outer_batch->n, &n);
	rcu_read_lock();
	for (i = 0; i < n; i++)
		from_peer(w, &merged[i]);
	w->tunnel->outer_ops->flush(w->outer); /* answers to segments of what has ended */
	rcu_read_unlock();
	flush_ports(w);
}

/* A frame of our own making goes to the port where its destination is, or to all of its tag. It
 * speaks as a host of another site, so it never goes to a peer. */
static void from_accel(struct worker *w, unsigned tag_index, struct frame *f,
		       struct gso_merged *single, struct iovec *iov)
{
	struct tag *tag = &w->tunnel->tags[tag_index];
	struct fdb_key key;
	struct packet p;
	fdb_place at;

	packet_parse(f->data, f->len, &p);
	key = key_of(tag, f->data, &p);
	at = fdb_lookup(w->tunnel->fdb, &key);
	/* It has moved there, and its site would take us for the host whose MAC this bears. */
	if (at != FDB_NOWHERE && fdb_is_peer(at)) {
		drop(w, DROP_horizon, wire_frames(f, &p));
		return;
	}
	make_single(single, iov, f, wire_frames(f, &p), &p);
	to_ports(w, at == FDB_NOWHERE ? tag->ports : tag->ports & 1ull << fdb_index(at), single,
		 &p);
}

/* Sends on what a TAP of accel's has. Returns how many messages it had, at most a batch. */
unsigned worker_from_tap(struct tap_end *end)
{
	struct worker *w = end->worker;
	struct accel *a = w->tunnel->accelerate.accel;
	struct gso_merged singles[BATCH_MESSAGES];
	struct iovec iovs[BATCH_MESSAGES];
	unsigned i, tag, n = accel_tap_receive(a, w->index, end->tap, w->port_batch);

	batch_begins(w);
	rcu_read_lock();
	for (i = 0; i < w->port_batch->n; i++)
		if (accel_from_tap(a, end->tap, &w->port_batch->frames[i], &tag))
			from_accel(w, tag, &w->port_batch->frames[i], &singles[i], &iovs[i]);
	w->tunnel->outer_ops->flush(w->outer);
	rcu_read_unlock();
	flush_ports(w);
	return n;
}

/* A TAP of accel's can be read. @ctx: a struct tap_end. */
void worker_tap_ready(void *ctx, uint32_t events)
{
	worker_from_tap(ctx);
}

/* A frame for a worker to send. */
struct parcel {
	struct worker *worker;
	unsigned tag;
	struct virtio_net_hdr vnet;
	uint32_t len;
	uint8_t bytes[];
};

/* A frame that accel had taken and gives back is bridged as if it came only now, clamped and
 * flooded like any; what accel has made goes to the host that it is for. */
static void send_parcel(void *arg)
{
	struct parcel *p = arg;
	struct tunnel *t = p->worker->tunnel;
	struct frame f = {.data = p->bytes, .len = p->len, .vnet = p->vnet};
	struct gso_merged single;
	struct packet packet;
	struct fdb_key key;
	struct iovec iov;
	fdb_place from;

	batch_begins(p->worker);
	rcu_read_lock();
	packet_parse(f.data, f.len, &packet);
	key = key_of(&t->tags[p->tag], f.data + 6, &packet);
	from = fdb_lookup(t->fdb, &key);
	if (from != FDB_NOWHERE && !fdb_is_peer(from))
		bridge(p->worker, &t->ports[fdb_index(from)], &f, &packet, wire_frames(&f, &packet),
		       &single, &iov);
	else
		from_accel(p->worker, p->tag, &f, &single, &iov);
	p->worker->tunnel->outer_ops->flush(p->worker->outer);
	rcu_read_unlock();
	flush_ports(p->worker);
	free(p);
}

/* Has the worker send a frame, which is copied, to where its destination is. Any thread. */
void worker_send(struct worker *w, unsigned tag, const struct frame *f)
{
	struct parcel *p = malloc(sizeof(*p) + f->len);

	if (!p)
		return;
	*p = (struct parcel){.worker = w, .tag = tag, .vnet = f->vnet, .len = f->len};
	memcpy(p->bytes, f->data, f->len);
	if (loop_post(w->loop, send_parcel, p))
		free(p);
}
