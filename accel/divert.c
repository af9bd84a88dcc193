// SPDX-License-Identifier: GPL-3.0-or-later
/* divert.c - frames of accelerated tags on their way through a worker */
/*
 * Theory of operation
 *
 * A worker asks here about every frame of an accelerated tag that comes from a
 * border port, from a peer, or out of a TAP. The flow table says what was
 * decided about its connection; only SYNs of connections that nothing was
 * decided about, and what is rare, go to a relay thread, as copies: to that of the connection's
 *entry, or to the one that is chosen for it (shard.c).
 *
 *	way      from the host                      from the peer
 *	HELD     SYN: the newest is kept; RST        as bridged
 *	DIVERT   to the stack, FIN withheld; SYN     dropped: it cannot be
 *	         by the relay thread
 *	BRIDGE   bridged                             bridged
 *	RESET    answered by RST; SYN begins anew    the same, but SYN: bridged from
 *	CLOSED   answered by ACK; SYN begins anew    now on
 *	QUERY    dropped                             bridged from now on
 *	none     SYN: decided; else bridged          bridged
 */
#include "accel/internal.h"

#include "lib/tap.h"

#include <netinet/in.h>
#include <string.h>

static void count(_Atomic uint64_t *c)
{
	atomic_fetch_add_explicit(c, 1, memory_order_relaxed);
}

/* Counts a connection that passes through unaccelerated. */
void accel_count_bypass(struct accel *a, enum accel_reason reason)
{
	count(&a->counts.bypassed[reason]);
}

static bool is_open_syn(const struct segment *s)
{
	return (s->flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN;
}

/* Remembers when a connection was last heard; cheap when it was just now. */
static void heard(struct flow *fl, uint32_t now_ms)
{
	if (now_ms - atomic_load_explicit(&fl->seen_ms, memory_order_relaxed) > 100)
		atomic_store_explicit(&fl->seen_ms, now_ms, memory_order_relaxed);
}

/* A bridged connection: its end starts the time after which it is forgotten. */
static enum accel_verdict bridge(struct flow *fl, const struct segment *s, uint32_t now_ms)
{
	if (s->flags & (TCP_RST | TCP_FIN))
		atomic_store(&fl->until_ms, (now_ms + LINGER_MS) | 1);
	return ACCEL_BRIDGE;
}

/* Host to stack. */
static void to_stack(struct accel *a, unsigned worker, struct flow *fl, struct frame *f,
		     const struct packet *p, const struct segment *s)
{
	struct packet q = *p;
	bool news;

	segment_untag(f, &q);
	if ((s->flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK))
		flow_host_answers(fl, f, &q, s);
	news = flow_fin_filter(fl, f, &q, s);
	if (!stack_write(fl->tap, worker, f))
		count(&a->counts.tap_lost);
	if (news)
		news_key(fl->shard, NEWS_FIN, &fl->key);
}

/* A SYN that nothing was decided about, or a segment from the middle of a connection. */
static enum accel_verdict undecided(struct accel *a, unsigned tag, struct frame *f,
				    const struct packet *p, const struct segment *s,
				    const struct flow_key *key)
{
	enum accel_reason reason;
	bool quarantine;

	if (f->data[0] & 1)
		return ACCEL_BRIDGE;
	if (a->host.place(a->host.ctx, tag, p->vid, f->data) == ACCEL_LOCAL)
		return ACCEL_BRIDGE;
	quarantine = atomic_load_explicit(&a->quarantine_until_ns, memory_order_relaxed);
	if (!is_open_syn(s)) {
		if (!quarantine || s->flags & TCP_SYN || !segment_is_intact(f, p))
			return ACCEL_BRIDGE;
		news_frame(shard_of_key(a, key), NEWS_UNKNOWN, tag, f);
		return ACCEL_TAKEN;
	}
	/* The server would drop it; asked for by us, it would answer. */
	if (!segment_is_intact(f, p))
		return ACCEL_BRIDGE;
	/* In quarantine what is bridged must be known to be so, or its next segment is not
	 * believed. */
	if (!quarantine && !decide_syn(&a->conf.tags[tag], f, p, &reason)) {
		accel_count_bypass(a, reason);
		return ACCEL_BRIDGE;
	}
	news_frame(shard_for_syn(a, key), NEWS_SYN, tag, f);
	return ACCEL_TAKEN;
}

static enum accel_verdict ended(struct accel *a, struct flow *fl, unsigned tag, struct frame *f,
				const struct packet *p, const struct segment *s, bool reset,
				uint32_t now_ms)
{
	if (!segment_is_intact(f, p))
		return ACCEL_TAKEN;
	if (is_open_syn(s)) {
		news_frame(fl->shard, NEWS_SYN, tag, f);
		return ACCEL_TAKEN;
	}
	if (reset ? segment_answer_reset(f, p) : segment_answer_ack(f, p)) {
		if (reset) /* a tomb has done its duty */
			atomic_store(&fl->until_ms, (now_ms + LINGER_MS) | 1);
		count(reset ? &a->counts.resets_sent : &a->counts.acks_sent);
		return ACCEL_ANSWER;
	}
	return ACCEL_TAKEN;
}

/* An ICMP error about a segment that the stack sent as the remote host belongs to the stack. */
static enum accel_verdict icmp_error(struct accel *a, unsigned worker, unsigned tag,
				     struct frame *f, const struct packet *p)
{
	struct segment_error e;
	struct packet quoted, q = *p;
	struct flow_key key;
	struct flow *fl;
	uint32_t at;

	if (!segment_read_error(f, p, &e, &quoted, &at))
		return ACCEL_BRIDGE;
	flow_key_of(&key, tag, f, &quoted, false);
	fl = flow_find(&a->flows, &key);
	if (!fl || fl->way != FLOW_DIVERT)
		return ACCEL_BRIDGE;
	if (!atomic_load(&fl->has_error)) {
		pthread_mutex_lock(&fl->lock);
		fl->error = e;
		pthread_mutex_unlock(&fl->lock);
		atomic_store(&fl->has_error, true);
	}
	segment_untag(f, &q);
	if (!stack_write(fl->tap, worker, f))
		count(&a->counts.tap_lost);
	return ACCEL_TAKEN;
}

/* A fragment has no place in the stack's sequence space, and none in the remote host's. Without its
 * first one the others are nothing. */
static bool is_fragment_of_ours(struct accel *a, unsigned tag, const struct frame *f,
				const struct packet *p)
{
	struct flow_key key;
	struct flow *fl;

	if (p->proto != IPPROTO_TCP || !p->first_fragment || !p->payload)
		return false;
	flow_key_of(&key, tag, f, p, true);
	fl = flow_find(&a->flows, &key);
	if (!fl || atomic_load(&fl->way) != FLOW_DIVERT)
		return false;
	count(&a->counts.stray);
	return true;
}

/*
 * Looks at a frame of a tag that came from a border port.
 * @worker: who asks
 * @f: changed where it is taken or becomes an answer
 */
enum accel_verdict accel_from_port(struct accel *a, unsigned worker, unsigned tag, struct frame *f,
				   const struct packet *p, uint32_t now_ms)
{
	struct flow_key key;
	struct segment s;
	struct flow *fl;
	uint8_t way;

	if (p->proto == IPPROTO_ICMP || p->proto == IPPROTO_ICMPV6)
		return icmp_error(a, worker, tag, f, p);
	if (!segment_read(f, p, &s))
		return is_fragment_of_ours(a, tag, f, p) ? ACCEL_TAKEN : ACCEL_BRIDGE;
	flow_key_of(&key, tag, f, p, true);
	fl = flow_find(&a->flows, &key);
	if (!fl)
		return undecided(a, tag, f, p, &s, &key);
	/* What else is in an entry was written before its way. */
	way = atomic_load_explicit(&fl->way, memory_order_acquire);
	heard(fl, now_ms);
	switch (way) {
	case FLOW_BRIDGE: return bridge(fl, &s, now_ms);
	case FLOW_HELD:
		if (!segment_is_intact(f, p))
			;
		else if (is_open_syn(&s))
			news_frame(fl->shard, NEWS_SYN, tag, f);
		else if (s.flags & TCP_RST)
			news_key(fl->shard, NEWS_RST, &key);
		return ACCEL_TAKEN;
	case FLOW_DIVERT:
		/* By another way than to the remote host it is none of ours. */
		if (memcmp(f->data, fl->remote_mac, 6))
			return ACCEL_BRIDGE;
		/* The stack has no socket of a connection that is just ending: to its listener a
		 * new SYN would be a connection that does not exist. */
		if (!is_open_syn(&s))
			to_stack(a, worker, fl, f, p, &s);
		else if (segment_is_intact(f, p))
			news_frame(fl->shard, NEWS_SYN, tag, f);
		return ACCEL_TAKEN;
	case FLOW_RESET:
	case FLOW_CLOSED: return ended(a, fl, tag, f, p, &s, way == FLOW_RESET, now_ms);
	default: return ACCEL_TAKEN;
	}
}

/* Looks at a frame of a tag that came from a peer. */
enum accel_verdict accel_from_peer(struct accel *a, unsigned tag, unsigned peer, struct frame *f,
				   const struct packet *p, uint32_t now_ms)
{
	struct flow_key key;
	struct segment s;
	struct flow *fl;
	uint8_t way;

	if (!segment_read(f, p, &s))
		return ACCEL_BRIDGE;
	flow_key_of(&key, tag, f, p, false);
	fl = flow_find(&a->flows, &key);
	if (!fl) {
		if (atomic_load(&a->quarantine_until_ns))
			news_key(shard_of_key(a, &key), NEWS_BRIDGED, &key);
		return ACCEL_BRIDGE;
	}
	way = atomic_load_explicit(&fl->way, memory_order_acquire);
	heard(fl, now_ms);
	switch (way) {
	case FLOW_BRIDGE: return bridge(fl, &s, now_ms);
	case FLOW_HELD: return ACCEL_BRIDGE;
	case FLOW_RESET:
	case FLOW_CLOSED:
		/* Of a host that has moved to the peer's site, or whose site has forgotten all. */
		if (!is_open_syn(&s))
			return ended(a, fl, tag, f, p, &s, way == FLOW_RESET, now_ms);
		/* The peer has decided to bridge what begins here. */
		atomic_store(&fl->until_ms, 0);
		atomic_compare_exchange_strong(&fl->way, &way, FLOW_BRIDGE);
		return ACCEL_BRIDGE;
	case FLOW_QUERY:
		atomic_compare_exchange_strong(&fl->way, &way, FLOW_BRIDGE);
		return ACCEL_BRIDGE;
	default: break;
	}
	count(&a->counts.stray);
	return ACCEL_TAKEN;
}

/* Reads what the stack has sent on a TAP's queue. Returns how many messages came. */
unsigned accel_tap_receive(struct accel *a, unsigned worker, unsigned tap, struct batch *b)
{
	struct batch_drops drops = {0};

	return tap_receive(b, a->stack.taps[tap]->fds[worker], a->stack.vnet, &drops);
}

/*
 * Makes a frame that came out of a TAP one of the remote host's.
 * @tag: set to the index of the tag it belongs to
 * Returns false if it must not leave: all that is not TCP of a known flow.
 */
bool accel_from_tap(struct accel *a, unsigned tap, struct frame *f, unsigned *tag)
{
	struct tap *t = a->stack.taps[tap];
	struct flow_key key;
	struct segment s;
	struct packet p;
	struct flow *fl = NULL;
	uint8_t way = FLOW_BRIDGE;
	uint16_t mss;

	if (packet_parse(f->data, f->len, &p) == PACKET_OK && segment_read(f, &p, &s)) {
		p.vid = t->vid;
		flow_key_of(&key, t->tag, f, &p, false);
		fl = flow_find(&a->flows, &key);
	}
	/* An entry's way is switched on last. */
	if (fl)
		way = atomic_load_explicit(&fl->way, memory_order_acquire);
	if ((way != FLOW_DIVERT && way != FLOW_RESET && way != FLOW_CLOSED) || fl->tap != t) {
		count(&a->counts.tap_dropped);
		return false;
	}
	/* It has no socket any more, and keeps no TIME_WAIT: both ends have closed, and the host
	 * repeats its FIN before the peer has said that it is done. It will again. */
	if (way == FLOW_DIVERT && (s.flags & (TCP_RST | TCP_ACK)) == TCP_RST &&
	    atomic_load(&fl->fin) == FLOW_FIN_RELEASED) {
		count(&a->counts.tap_dropped);
		return false;
	}
	flow_stack_says(fl, f, &p, &s);
	*tag = t->tag;
	memcpy(f->data, fl->local_mac, 6);
	memcpy(f->data + 6, fl->remote_mac, 6);
	mss = atomic_load_explicit(&fl->offer_mss, memory_order_relaxed);
	if (s.flags & TCP_SYN && mss)
		segment_set_mss(f, &p, mss);
	if (t->vid)
		segment_tag(f, t->vid);
	return true;
}

/* Says that a MAC has moved between border port and peer, or between peers. */
void accel_moved(struct accel *a, unsigned tag, uint16_t vid, const uint8_t mac[6])
{
	struct flow_key key = {.tag = (uint16_t)tag, .vid = vid};

	memcpy(key.local, mac, 6);
	news_key(a->shards, NEWS_MOVED, &key);
}
