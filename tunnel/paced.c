// SPDX-License-Identifier: GPL-3.0-or-later
/* paced.c - frames that wait until their peer's rate allows them */
/*
 * Theory of operation
 *
 *	any worker     paced_hold ── copies the frame ──▶ queue of the peer
 *	                                                     │ by turns
 *	one worker     ready (woken, or by timer) ◀──────────┘
 *	                 as much as the rate allows: seal, send
 *
 * One queue a peer, whoever read the frame: otherwise flows would take turns
 * only with those of their own worker. One worker sends all of a peer's frames,
 * so that they keep their order; peers are dealt out among workers. When it
 * reads a frame itself, nothing waits and the rate allows it, it sends at once,
 * without a copy.
 *
 * Frames wait as plain text and are sealed as they leave, so that their
 * counters leave in order, under the keys of that moment. At rates where a
 * super-frame would hold up others for long it is cut first.
 */
#include "tunnel/paced.h"

#include "lib/clock.h"
#include "lib/gso.h"
#include "tunnel/proto.h"
#include "tunnel/tunnel.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define _LGPL_SOURCE
#include <urcu.h>

/* How long what waits may take at the peer's rate; at low rates longer. */
#define WAIT_NS	 (100 * NS_PER_MS)
#define WAIT_MIN (128 * 1024)

/* Below this rate a super-frame takes more than a millisecond. */
#define CUT_BELOW_BPS 500000000ull

/* A turn is a full frame's, or what a fast path carries in 100 µs. */
#define QUANTUM_MIN 1600
#define QUANTUM_NS  (100 * NS_PER_US)

#define SENT_AT_ONCE 64 /* frames between two flushes */

struct waiting {
	struct fairq_item item;
	unsigned tag;
	struct frame frame;
	uint8_t bytes[];
};

/*
 * Makes a peer's queue; it gets its worker by paced_owned_by().
 * @bps: what the path may carry
 *
 * Returns NULL if there is no memory.
 */
struct paced *paced_new(struct tunnel *t, unsigned peer, uint64_t bps)
{
	struct paced *p = calloc(1, sizeof(*p));
	uint64_t limit = clock_bytes_in(bps, WAIT_NS), quantum = clock_bytes_in(bps, QUANTUM_NS);

	if (!p)
		return NULL;
	p->tunnel = t;
	p->peer = peer;
	p->around = t->outer_ops->overhead + ETH_HDR_LEN;
	pthread_mutex_init(&p->lock, NULL);
	pace_init(&p->pace, bps);
	fairq_init(&p->queue, limit > WAIT_MIN ? limit : WAIT_MIN,
		   quantum > QUANTUM_MIN ? (uint32_t)quantum : QUANTUM_MIN);
	return p;
}

/* Frees it with all that waits. No worker runs any more. NULL is allowed. */
void paced_free(struct paced *p)
{
	struct fairq_item *item;

	if (!p)
		return;
	while ((item = fairq_take(&p->queue)))
		free(item);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

static struct fairq_item *take(struct paced *p)
{
	struct fairq_item *item;

	pthread_mutex_lock(&p->lock);
	item = fairq_take(&p->queue);
	pthread_mutex_unlock(&p->lock);
	return item;
}

static void send_frame(struct paced *p, const struct waiting *w)
{
	struct packet layers;

	packet_parse(w->frame.data, w->frame.len, &layers);
	p->tunnel->outer_ops->send(p->outer, w->tag, 1ull << p->peer, &w->frame, &layers);
}

/* Sends what may be now, some frames at most. Returns whether there may be more. */
static bool send_some(struct paced *p)
{
	struct fairq_item *sent[SENT_AT_ONCE];
	uint64_t now = clock_ns();
	unsigned n;

	for (n = 0; n < SENT_AT_ONCE && !pace_wait_ns(&p->pace, now); n++) {
		sent[n] = take(p);
		if (!sent[n])
			break;
		pace_sent(&p->pace, sent[n]->cost, now);
		send_frame(p, (struct waiting *)sent[n]);
	}
	p->tunnel->outer_ops->flush(p->outer);
	for (unsigned i = 0; i < n; i++)
		free(sent[i]);
	return n == SENT_AT_ONCE;
}

/* Sends what may be now, and comes back when more may. */
static void ready(void *ctx)
{
	struct paced *p = ctx;

	p->outer->now_ns = clock_ns();
	rcu_read_lock();
	while (send_some(p))
		;
	rcu_read_unlock();
	if (paced_waiting(p))
		loop_timer_start(p->loop, &p->timer, pace_wait_ns(&p->pace, clock_ns()), 0);
}

/* Gives it the worker that will send, by its end of the transport, loop and counters. */
void paced_owned_by(struct paced *p, struct outer *o, struct loop *loop)
{
	p->outer = o;
	p->loop = loop;
	p->timer = (struct loop_timer){.expired = ready, .ctx = p};
}

/* Bytes that wait, with all headers. Any thread. */
uint64_t paced_waiting(struct paced *p)
{
	uint64_t bytes;

	pthread_mutex_lock(&p->lock);
	bytes = p->queue.bytes;
	pthread_mutex_unlock(&p->lock);
	return bytes;
}

/* What tells flows from one another: addresses and ports, or MACs. */
static uint64_t flow_of(const struct frame *f, const struct packet *p)
{
	uint64_t h = p->proto;

	if (!p->ip_version)
		return XXH3_64bits_withSeed(f->data, ETH_HDR_LEN, p->ethertype);
	if (p->ip_version == 4)
		h = XXH3_64bits_withSeed(f->data + p->l3 + 12, 8, h);
	else
		h = XXH3_64bits_withSeed(f->data + p->l3 + 8, 32, h);
	/* Later fragments have no ports; those of one packet stay together. */
	return p->payload && !p->fragment ? XXH3_64bits_withSeed(f->data + p->l4, 4, h) : h;
}

/* Bytes on the wire: with outer headers and those of its own Ethernet. */
static uint32_t cost_of(const struct paced *p, const struct frame *f, const struct packet *layers,
			uint32_t frames)
{
	uint32_t around = p->around, headers = frames > 1 ? gso_header_len(f, layers) : 0;

	if (peer_path_is_ipv6(&p->tunnel->peers[p->peer]))
		around += UDP_IPV6_HDR - UDP_IPV4_HDR;
	return f->len + (frames - 1) * headers + frames * around;
}

static void count_lost(struct counters *c, uint32_t frames)
{
	counter_add(&c->drops[DROP_pace_full], frames);
}

/* Puts a frame into the queue, and gives up what has no room there. Returns whether nothing waited
 * before. */
static bool put(struct paced *p, struct waiting *w, uint64_t flow, struct counters *c)
{
	struct fairq_item *lost, *next;
	bool first;

	pthread_mutex_lock(&p->lock);
	first = !p->queue.items;
	lost = fairq_put(&p->queue, &w->item, flow);
	pthread_mutex_unlock(&p->lock);
	for (; lost; lost = next) {
		next = lost->next;
		count_lost(c, lost->frames);
		free(lost);
	}
	return first;
}

/* Room for a frame that is to wait. Returns NULL, counted, if there is no memory. */
static struct waiting *new_waiting(unsigned tag, uint32_t len, uint32_t frames, struct counters *c)
{
	struct waiting *w = malloc(sizeof(*w) + len);

	if (!w) {
		count_lost(c, frames);
		return NULL;
	}
	*w = (struct waiting){.item.frames = frames, .tag = tag, .frame.len = len};
	w->frame.data = w->bytes;
	return w;
}

static bool put_whole(struct paced *p, unsigned tag, const struct frame *f,
		      const struct packet *layers, uint32_t frames, struct counters *c)
{
	struct waiting *w = new_waiting(tag, f->len, frames, c);

	if (!w)
		return false;
	memcpy(w->bytes, f->data, f->len);
	w->frame.vnet = f->vnet;
	w->item.cost = cost_of(p, f, layers, frames);
	return put(p, w, flow_of(f, layers), c);
}

/* Cuts a super-frame, so that others have their turn between its wire frames. */
static bool put_cut(struct paced *p, unsigned tag, struct gso_split *split, uint64_t flow,
		    struct counters *c)
{
	struct gso_segment seg;
	uint8_t hdr[GSO_HDR_MAX];
	struct waiting *w;
	bool first = false;

	while (gso_split_next(split, hdr, &seg)) {
		w = new_waiting(tag, seg.hdr_len + seg.payload_len, 1, c);
		if (!w)
			continue;
		memcpy(w->bytes, hdr, seg.hdr_len);
		memcpy(w->bytes + seg.hdr_len, seg.payload, seg.payload_len);
		w->item.cost = cost_of(p, &w->frame, NULL, 1);
		first |= put(p, w, flow, c);
	}
	return first;
}

/* Whether the worker that sends may send a frame at once; it is taken as sent then. */
static bool may_pass(struct paced *p, uint32_t cost)
{
	uint64_t now = clock_ns();

	if (paced_waiting(p) || pace_wait_ns(&p->pace, now))
		return false;
	pace_sent(&p->pace, cost, now);
	return true;
}

/* Has a frame wait for a peer, unless it may be sent at once. Returns whether it waits. */
static bool hold(struct paced *p, const struct outer *o, unsigned tag, const struct frame *f,
		 const struct packet *layers, uint32_t frames)
{
	bool cut = frames > 1 && p->pace.full_bps < CUT_BELOW_BPS, first;
	struct gso_split split;

	if (o == p->outer && !cut && may_pass(p, cost_of(p, f, layers, frames)))
		return false;
	if (cut && !gso_split_begin(&split, f, 0))
		first = put_cut(p, tag, &split, flow_of(f, layers), o->counters);
	else
		first = put_whole(p, tag, f, layers, frames, o->counters);
	if (first)
		loop_post(p->loop, ready, p);
	return true;
}

/*
 * Takes the peers out of a set for whom a frame must wait; a copy of it does.
 * @o:      the calling worker's
 * @layers: what packet_parse() found in the frame
 * @frames: wire frames inside
 *
 * Returns those to whom it may be sent at once.
 */
uint64_t paced_hold(const struct outer *o, unsigned tag, uint64_t peers, const struct frame *f,
		    const struct packet *layers, uint32_t frames)
{
	uint64_t left = peers & o->tunnel->paced;

	for (; left; left &= left - 1) {
		unsigned i = (unsigned)__builtin_ctzll(left);

		if (hold(o->tunnel->peers[i].paced, o, tag, f, layers, frames))
			peers &= ~(1ull << i);
	}
	return peers;
}
