// SPDX-License-Identifier: GPL-3.0-or-later
/* relay.c - flows from their SYN to their end: does what life.c says */
/*
 * Theory of operation
 *
 * A relay is what its relay thread keeps of a flow while it is live. life.c
 * decides, this file acts: records to the stream, segments to the stack or to
 * the host, sockets, the way of the flow's entry. When it has ended, the entry
 * stays in the table for a while (flow.until_ms), without a relay.
 *
 * A relay that has ended, and a stream that is dead, are freed at the end of
 * the thread's turn: whoever found out may still hold them.
 */
#include "accel/internal.h"

#include "lib/log.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void entry_until(struct flow *f, uint32_t after_ms)
{
	atomic_store(&f->until_ms, (now_ms() + after_ms) | 1);
}

/* ---- the held SYN ---- */

/* Keeps the newest SYN of a connection that is held. */
void relay_keep_syn(struct relay *r, const struct frame *f)
{
	uint64_t now = clock_ns();

	if (f->len > SYN_MAX)
		return;
	if (r->syn_len)
		r->syn_interval_ns = now - r->syn_ns;
	r->syn_ns = now;
	memcpy(r->syn + BATCH_HEADROOM, f->data, f->len);
	r->syn_len = f->len;
	r->syn_vnet = f->vnet;
}

/* The SYN that is held, as it came. */
static bool held(struct relay *r, struct frame *f, struct packet *p)
{
	*f = (struct frame){
		.data = r->syn + BATCH_HEADROOM, .len = r->syn_len, .vnet = r->syn_vnet};
	return r->syn_len && packet_parse(f->data, f->len, p) == PACKET_OK && p->payload;
}

static void inject_syn(struct relay *r)
{
	struct accel *a = r->a;
	struct segment s;
	struct packet p;
	struct frame f;

	if (!held(r, &f, &p) || !segment_read(&f, &p, &s))
		return;
	if (a->stack.steer->prepare)
		r->prepared = !a->stack.steer->prepare(&a->stack, r->flow);
	atomic_store(&r->flow->first, s.seq + 1);
	atomic_store(&r->flow->has_first, true);
	atomic_store(&r->flow->way, FLOW_DIVERT);
	segment_untag(&f, &p);
	if (!stack_write(r->flow->tap, 0, &f))
		atomic_fetch_add(&a->counts.tap_lost, 1);
	r->syn_len = 0; /* from now on the stack has it */
}

static void refuse_client(struct relay *r)
{
	uint8_t bytes[SEGMENT_ERROR_MAX];
	struct packet p;
	struct frame f;

	if (!held(r, &f, &p))
		return;
	if (r->refuse == REFUSE_icmp && r->error.ip_version == p.ip_version) {
		f = (struct frame){.data = bytes,
				   .len = (uint32_t)segment_make_error(bytes, &f, &p, &r->error)};
		r->a->host.send(r->a->host.ctx, r->flow->key.tag, &f);
	} else if (segment_answer_reset(&f, &p)) {
		r->a->host.send(r->a->host.ctx, r->flow->key.tag, &f);
	}
}

static void bridge_syn(struct relay *r)
{
	struct packet p;
	struct frame f;

	relay_bridge(r->a, r->flow, r->reason);
	if (held(r, &f, &p))
		r->a->host.send(r->a->host.ctx, r->flow->key.tag, &f);
}

/* A connection passes through from now on. */
void relay_bridge(struct accel *a, struct flow *f, enum accel_reason reason)
{
	accel_count_bypass(a, reason);
	f->reason = (uint8_t)reason;
	atomic_store(&f->until_ms, 0);
	atomic_store(&f->way, FLOW_BRIDGE);
}

static void release_fin(struct relay *r)
{
	uint8_t bytes[FLOW_HEADERS_MAX];
	struct frame f = {.data = bytes};

	if (flow_fin_release(r->flow, bytes, &f.len) && !stack_write(r->flow->tap, 0, &f))
		atomic_fetch_add(&r->a->counts.tap_lost, 1);
}

/* ---- acting ---- */

static void say_opened(struct relay *r)
{
	struct opened_record o = {.mss = r->flow->host_mss ? r->flow->host_mss : 536,
				  .stripes = r->wish.max,
				  .credit = r->window};
	uint8_t payload[OPENED_LEN];

	opened_store(payload, &o);
	stream_send(r->stream, RECORD_OPENED, payload, sizeof(payload));
}

/* Says why a connection, or a stripe of it, is not made. @e: the ICMP error, or NULL */
void relay_say_refused(struct stream *s, enum refuse why, const struct segment_error *e)
{
	struct refused_record o = {.reason = (uint8_t)why};
	uint8_t payload[REFUSED_LEN];

	if (e) {
		o.icmp_type = e->type;
		o.icmp_code = e->code;
		o.icmp_rest = e->rest;
		memcpy(o.source, e->source, 16);
	}
	refused_store(payload, &o);
	stream_send(s, RECORD_REFUSED, payload, sizeof(payload));
}

static void speak(struct relay *r, unsigned actions)
{
	static const uint8_t nothing[RESET_LEN];
	struct stream *s = r->stream;
	uint8_t end[FIN_LEN];

	if (!s)
		return;
	if (actions & LIFE_SEND_OPENED)
		say_opened(r);
	if (actions & LIFE_SEND_REFUSED)
		relay_say_refused(s, r->refuse, &r->error);
	if (actions & LIFE_SEND_CANCEL)
		stream_send(s, RECORD_CANCEL, NULL, 0);
	if (actions & LIFE_SEND_CANCELLED)
		stream_send(s, RECORD_CANCELLED, NULL, 0);
	store_be64(end, r->sent);
	if (actions & LIFE_SEND_FIN)
		stripes_say(r, RECORD_FIN, end, sizeof(end));
	if (actions & LIFE_SEND_DELIVERED)
		stripes_say(r, RECORD_DELIVERED, NULL, 0);
	/* It frees what the far side has, which nobody waits for. */
	if (actions & LIFE_SEND_DONE && r->life.role == LIFE_NEAR && !r->striped)
		stream_send_lazily(s, RECORD_DONE);
	else if (actions & LIFE_SEND_DONE)
		stripes_say(r, RECORD_DONE, NULL, 0);
	if (actions & LIFE_SEND_RESET)
		stripes_say(r, RECORD_RESET, nothing, sizeof(nothing));
}

static void leave_stream(struct relay *r, unsigned actions)
{
	struct stream *s = r->stream;

	if (r->striped) {
		if (r->ended)
			stripes_let_go(r, actions & LIFE_FREE_STREAM);
		return;
	}
	if (!s)
		return;
	if (actions & (LIFE_FREE_STREAM | LIFE_CLOSE_STREAM)) {
		r->stream = NULL;
		s->relay = NULL;
	}
	if (actions & LIFE_CLOSE_STREAM)
		stream_close_soon(s);
	else if (actions & LIFE_FREE_STREAM)
		stream_free_for_next(s);
}

/* The stack need not expect the flow's SYN any more. */
static void unprepare(struct relay *r)
{
	if (r->prepared && r->a->stack.steer->done)
		r->a->stack.steer->done(&r->a->stack, r->flow);
	r->prepared = false;
}

static void wait_no_more(struct relay *r)
{
	if (r->waiting)
		r->shard->pools[r->flow->peer].waiting--;
	r->waiting = false;
}

/* What becomes of the flow's entry and socket. */
static void conclude(struct relay *r, unsigned actions)
{
	struct accel *a = r->a;
	struct flow *f = r->flow;

	if (actions & LIFE_CLOSE) {
		pump_release(r, false);
		memory_remove(a, f);
		atomic_store(&f->way, FLOW_CLOSED);
		entry_until(f, LINGER_MS);
		atomic_fetch_add(&a->counts.closed, 1);
	} else if (actions & LIFE_ABORT) {
		pump_release(r, true);
		atomic_store(&f->way, FLOW_RESET);
		entry_until(f, LINGER_MS);
		atomic_fetch_add(&a->counts.reset, 1);
	} else if (actions & LIFE_BRIDGE_SYN) {
		memory_remove(a, f);
		bridge_syn(r);
	} else {
		pump_release(r, true);
	}
	unprepare(r);
	wait_no_more(r);
	f->relay = NULL;
	if (actions & LIFE_FORGET && !(actions & (LIFE_ABORT | LIFE_BRIDGE_SYN)))
		memory_forget(a, f);
	relay_end(r);
}

/* A connection of the same tuple has been waiting for the end of this one. The peer must hear of
 * that first, best on the same stream. */
static void begin_next(struct relay *r, unsigned actions)
{
	struct frame syn;
	struct packet p;

	if (actions & (LIFE_CLOSE | LIFE_ABORT) && !r->a->stopping && held(r, &syn, &p))
		relay_syn(r->shard, r->flow->key.tag, &syn, &p);
}

/* What of a client's connection counts against what its host may open at a time. */
static enum crowd_phase crowd_phase_of(const struct relay *r)
{
	if (r->life.role != LIFE_NEAR)
		return CROWD_NONE;
	switch (r->life.phase) {
	case LIFE_HELD:
	case LIFE_CANCELLING: return CROWD_IS_OPENING;
	case LIFE_ACCEPTING: return CROWD_IS_ACCEPTING;
	default: return CROWD_NONE;
	}
}

static void count_crowd(struct relay *r, enum crowd_phase before)
{
	crowd_move(&r->a->crowd, r->flow->local_mac, r->flow->key.local, before, crowd_phase_of(r));
}

/* Something has happened to a flow: does what must be done. The relay may have ended afterwards. */
void relay_event(struct relay *r, enum life_event ev)
{
	enum crowd_phase crowd = crowd_phase_of(r);
	unsigned actions;

	if (r->ended || r->life.phase == LIFE_ENDED)
		return;
	actions = life_next(&r->life, ev);
	count_crowd(r, crowd);
	if (actions & LIFE_BAD) {
		if (r->stream)
			stream_break(r->stream, "it said what has no sense now");
		return;
	}
	r->phase_ns = clock_ns();
	if (ev == LIFE_EV_stream_lost && actions & LIFE_ABORT)
		memory_lost(r->a, r->flow, r->life.role == LIFE_NEAR);
	speak(r, actions);
	if (r->ended)
		return; /* its stream broke when that was to be said */
	if (actions & LIFE_RELEASE_FIN)
		release_fin(r);
	if (actions & LIFE_INJECT_SYN)
		inject_syn(r);
	if (actions & LIFE_REFUSE_CLIENT)
		refuse_client(r);
	if (r->life.phase == LIFE_ENDED)
		conclude(r, actions);
	leave_stream(r, actions);
	if (r->ended) {
		begin_next(r, actions);
		return;
	}
	if (actions & LIFE_ATTACH) {
		pump_flush(r);
		pump_check_acked(r);
		if (!r->ended)
			pump_out(r);
	} else if (actions & LIFE_SHUTDOWN) {
		pump_flush(r);
	}
}

/* A relay is not needed any more; it is freed at the end of the turn. */
void relay_end(struct relay *r)
{
	r->ended = true;
	r->next_ended = r->shard->ended_relays;
	r->shard->ended_relays = r;
}

/* Frees what has ended and nobody holds. */
void relay_free_ended(struct shard *sh)
{
	struct relay *r = sh->ended_relays, *next;

	sh->ended_relays = NULL;
	for (; r; r = next) {
		next = r->next_ended;
		if (r->pending) {
			r->next_ended = sh->ended_relays;
			sh->ended_relays = r;
			continue;
		}
		if (r->prev)
			r->prev->next = r->next;
		else
			sh->relays = r->next;
		if (r->next)
			r->next->prev = r->prev;
		atomic_fetch_sub(&sh->a->n_relays, 1);
		atomic_fetch_sub(&sh->n_relays, 1);
		atomic_fetch_sub(&sh->a->budget.granted, r->window);
		atomic_fetch_sub(&sh->a->buffers.granted, r->buffers);
		stripes_release(r);
		free(r);
	}
}

/* ---- beginning ---- */

/* Makes a relay for an entry that has none. NULL: memory is short, or granted to others. */
struct relay *relay_new(struct shard *sh, struct flow *f, enum life_role role)
{
	struct accel *a = sh->a;
	uint32_t window = credit_grant(&a->budget, 0, CREDIT_USUAL, a->n_relays + 1);
	uint32_t buffers = credit_grant(&a->buffers, 0, LAN_MAX, a->n_relays + 1);
	struct relay *r = window && buffers ? calloc(1, sizeof(*r)) : NULL;

	if (!r) {
		atomic_fetch_sub(&a->budget.granted, window);
		atomic_fetch_sub(&a->buffers.granted, buffers);
		return NULL;
	}
	r->a = a;
	r->shard = sh;
	r->window = window;
	r->buffers = buffers;
	r->flow = f;
	r->life = (struct life){.role = (uint8_t)role,
				.phase = role == LIFE_NEAR ? LIFE_HELD : LIFE_CONNECTING};
	r->io.fd = -1;
	r->wish = (struct stripes_wish){
		.max = a->conf.tags[f->key.tag].stripes, .here = 1, .growth.n = 1};
	r->begun_ns = r->phase_ns = clock_ns();
	r->next = sh->relays;
	if (r->next)
		r->next->prev = r;
	sh->relays = r;
	atomic_fetch_add(&a->n_relays, 1);
	atomic_fetch_add(&sh->n_relays, 1);
	f->relay = r;
	count_crowd(r, CROWD_NONE);
	return r;
}

/* Streams to a peer have become free: flows that wait have them. */
void relay_serve_waiting(struct shard *sh, unsigned peer)
{
	struct pool *p = &sh->pools[peer];
	struct stream *s;
	struct relay *r;

	if (!p->waiting || !p->idle)
		return;
	for (r = sh->relays; r && p->waiting && p->idle; r = r->next) {
		if (!r->waiting || r->ended || r->flow->peer != peer)
			continue;
		s = stream_take(sh, peer, 0);
		if (!s)
			return;
		relay_open(r, s);
	}
}

/* Asks the far side to connect. */
void relay_open(struct relay *r, struct stream *s)
{
	struct open_record o = {0};
	uint8_t payload[OPEN_LEN];
	struct flow *f = r->flow;

	wait_no_more(r);
	r->stream = s;
	r->number = s->flow;
	s->relay = r;
	pump_open_window(r);
	r->phase_ns = clock_ns();
	flow_key_tuple(&f->key, f->ip_version, true, r->a->conf.tags[f->key.tag].number, &o.tuple);
	o.tos = r->tos;
	memcpy(o.client_mac, f->local_mac, 6);
	memcpy(o.server_mac, f->remote_mac, 6);
	o.mss = f->host_mss;
	o.stripes = r->wish.max;
	o.credit = r->window;
	open_store(payload, &o);
	stream_send(s, RECORD_OPEN, payload, sizeof(payload));
	atomic_fetch_add(&r->a->counts.opened, 1);
}

/* A SYN of a connection that is not held yet: decides by what is known now. Returns false, with
 * the reason, if it must be bridged. */
static bool begin(struct shard *sh, struct flow *f, const struct frame *syn, const struct packet *p,
		  int peer, enum accel_reason *reason)
{
	struct accel *a = sh->a;
	struct stream *s;
	struct relay *r;
	struct err e;

	if (!decide_syn(&a->conf.tags[f->key.tag], syn, p, reason))
		return false;
	*reason = ACCEL_REASON_no_peer;
	if (peer < 0)
		return false;
	*reason = ACCEL_REASON_not_agreed;
	if (!a->host.agreed(a->host.ctx, f->key.tag, (unsigned)peer))
		return false;
	*reason = ACCEL_REASON_crowd;
	if (!crowd_has_room(&a->crowd, f->local_mac, f->key.local))
		return false;
	*reason = ACCEL_REASON_limit;
	if (a->n_relays >= a->limits.relays)
		return false;
	*reason = ACCEL_REASON_stack;
	f->peer = (unsigned)peer;
	f->tap = stack_tap(&a->stack, f->key.tag, f->key.vid, &e);
	if (!f->tap) {
		log_warning("accel: %s", e.text);
		return false;
	}
	if (!memory_add(a, f, true))
		return false;
	*reason = ACCEL_REASON_memory;
	r = relay_new(sh, f, LIFE_NEAR);
	if (!r)
		return false;
	r->reason = ACCEL_REASON_far_side;
	r->tos = p->ip_version == 4 ? syn->data[p->l3 + 1]
				    : (uint8_t)(load_be16(syn->data + p->l3) >> 4);
	relay_keep_syn(r, syn);
	s = stream_take(sh, (unsigned)peer, 0);
	if (s) {
		relay_open(r, s);
	} else {
		r->waiting = true;
		sh->pools[peer].waiting++;
		stream_refill(sh, (unsigned)peer);
	}
	return true;
}

/*
 * A SYN of a connection that is relayed. The stack answers it if it still has
 * a socket: to a retransmission, or with a challenge to a client that has
 * started anew. If that has just ended, the SYN begins the next connection as
 * soon as the peer has ended this one, too.
 */
static void syn_of_live(struct relay *r, struct frame *f, struct packet *p)
{
	struct tcp_info info = {.tcpi_state = TCP_ESTABLISHED};
	socklen_t len = sizeof(info);

	if (r->io.fd >= 0)
		getsockopt(r->io.fd, IPPROTO_TCP, TCP_INFO, &info, &len);
	if (info.tcpi_state == TCP_CLOSE || info.tcpi_state == TCP_TIME_WAIT) {
		relay_keep_syn(r, f);
		return;
	}
	segment_untag(f, p);
	stack_write(r->flow->tap, 0, f);
}

/* A SYN came that nothing was decided about when a worker saw it. */
void relay_syn(struct shard *sh, unsigned tag, struct frame *f, struct packet *p)
{
	struct accel *a = sh->a;
	enum accel_reason reason;
	struct flow_key key;
	struct flow *fl;
	int peer;

	if (!p->payload)
		return;
	flow_key_of(&key, tag, f, p, true);
	fl = flow_find(&a->flows, &key);
	if (fl && fl->shard != sh) {
		news_frame(fl->shard, NEWS_SYN, tag, f);
		return;
	}
	if (fl && fl->relay && fl->way == FLOW_HELD) {
		struct relay *r = fl->relay;

		relay_keep_syn(r, f);
		/* The server is silent although it was asked: perhaps its answer takes another way.
		 */
		if (r->stream && r->life.phase == LIFE_HELD &&
		    clock_ns() - r->phase_ns > stream_rtt_ns(r->stream) + ANSWER_WAIT_NS) {
			r->reason = ACCEL_REASON_unanswered;
			relay_event(r, LIFE_EV_syn_again);
		}
		return;
	}
	if (fl && fl->relay) {
		syn_of_live(fl->relay, f, p);
		return;
	}
	if (fl && fl->way == FLOW_BRIDGE) {
		a->host.send(a->host.ctx, tag, f);
		return;
	}
	/* The same tuple again, on whatever stream: the far side must have ended the last one. */
	if (fl) {
		memory_forget(a, fl);
		stream_send_lazy(sh);
	}
	if (atomic_load(&a->flows.count) >= ENTRIES_MAX) {
		accel_count_bypass(a, ACCEL_REASON_limit);
		a->host.send(a->host.ctx, tag, f);
		return;
	}
	fl = flow_add(&a->flows, &key, p->ip_version, FLOW_HELD, now_ms(), &sh->flows);
	if (!fl) {
		fl = flow_find(&a->flows, &key);
		if (fl) /* another thread's, by now */
			news_frame(fl->shard, NEWS_SYN, tag, f);
		return;
	}
	memcpy(fl->local_mac, f->data + 6, 6);
	memcpy(fl->remote_mac, f->data, 6);
	fl->host_mss = segment_mss(f, p);
	peer = a->host.place(a->host.ctx, tag, p->vid, f->data);
	if (begin(sh, fl, f, p, peer, &reason))
		return;
	memory_remove(a, fl);
	relay_bridge(a, fl, reason);
	a->host.send(a->host.ctx, tag, f);
}

/* Whether a peer may have us connect. Returns REFUSE_COUNT if so. */
static enum refuse authorise(struct accel *a, const struct stream *s, const struct open_record *o,
			     unsigned *tag)
{
	unsigned i;

	for (i = 0; i < a->conf.n_tags; i++)
		if (a->conf.tags[i].on && a->conf.tags[i].number == o->tuple.tag)
			break;
	if (i == a->conf.n_tags || !a->host.agreed(a->host.ctx, i, s->peer))
		return REFUSE_not_granted;
	*tag = i;
	if (a->host.place(a->host.ctx, i, o->tuple.vid, o->client_mac) != (int)s->peer)
		return REFUSE_client_elsewhere;
	if (a->host.place(a->host.ctx, i, o->tuple.vid, o->server_mac) != ACCEL_LOCAL)
		return REFUSE_server_elsewhere;
	return REFUSE_COUNT;
}

/* What a peer opens anew it has ended before, but its last word came on another stream and is still
 * on its way. */
static void end_earlier(struct relay *r, const struct stream *s)
{
	if (r->life.role == LIFE_FAR && r->flow->peer == s->peer)
		relay_event(r, r->life.done_sent ? LIFE_EV_peer_done : LIFE_EV_peer_reset);
}

/* An entry for a connection that the peer opens. NULL: why not. */
static struct flow *far_entry(const struct stream *s, const struct open_record *o, unsigned tag,
			      enum refuse *why)
{
	struct shard *sh = s->shard;
	struct accel *a = sh->a;
	struct flow_key key;
	struct flow *f;
	struct err e;

	flow_key_from_tuple(&key, &o->tuple, false, tag);
	f = flow_find(&a->flows, &key);
	if (f && f->shard == sh && f->relay) {
		end_earlier(f->relay, s);
		f = flow_find(&a->flows, &key);
	}
	*why = f && f->way == FLOW_HELD ? REFUSE_crossing : REFUSE_busy;
	if (f && (f->shard != sh || f->relay || f->way == FLOW_BRIDGE))
		return NULL;
	if (f)
		memory_forget(a, f);
	*why = REFUSE_local;
	if (a->n_relays >= a->limits.relays || atomic_load(&a->flows.count) >= ENTRIES_MAX)
		return NULL;
	/* Workers must not see it as diverted before it is complete. */
	f = flow_add(&a->flows, &key, o->tuple.ip_version, FLOW_HELD, now_ms(), &sh->flows);
	if (!f)
		return NULL;
	memcpy(f->local_mac, o->server_mac, 6);
	memcpy(f->remote_mac, o->client_mac, 6);
	f->offer_mss = o->mss;
	f->tap = stack_tap(&a->stack, tag, key.vid, &e);
	if (!f->tap)
		log_warning("accel: %s", e.text);
	else if (memory_add(a, f, false))
		return f;
	flow_remove(&a->flows, f);
	return NULL;
}

/* The shard that must serve what a peer opens: that of the connection's entry, if there is one. */
struct shard *relay_place(struct stream *s, const struct open_record *o)
{
	struct accel *a = s->a;
	struct flow_key key;
	struct flow *f;
	unsigned tag;

	if (a->n_shards == 1 || authorise(a, s, o, &tag) != REFUSE_COUNT)
		return s->shard;
	flow_key_from_tuple(&key, &o->tuple, false, tag);
	f = flow_find(&a->flows, &key);
	return f ? f->shard : s->placed ? s->shard : shard_for_open(s->shard);
}

/* A peer has us connect to a server here. */
void relay_opened_by_peer(struct stream *s, const struct open_record *o)
{
	struct accel *a = s->a;
	struct flow *f = NULL;
	struct relay *r = NULL;
	unsigned tag = 0;
	enum refuse why = authorise(a, s, o, &tag);
	int fd = -1;

	if (why != REFUSE_COUNT)
		atomic_fetch_add(&a->counts.unauthorised, 1);
	else
		f = far_entry(s, o, tag, &why);
	if (f) {
		f->peer = s->peer;
		atomic_store(&f->way, FLOW_DIVERT);
		r = relay_new(s->shard, f, LIFE_FAR);
		fd = r ? stack_connect(&a->stack, f, o->tos) : -1;
		if (r && fd >= 0) {
			r->stream = s;
			s->relay = r;
			r->number = s->flow;
			r->limit = o->credit;
			if (o->stripes < r->wish.max)
				r->wish.max = o->stripes;
			pump_open_window(r);
			atomic_fetch_add(&a->counts.accepted, 1);
			pump_attach(r, fd);
			return;
		}
		if (r) {
			relay_end(r);
		}
		f->relay = NULL;
		memory_forget(a, f);
		why = REFUSE_local;
	}
	relay_say_refused(s, why, NULL);
	atomic_fetch_add(&a->counts.refused, 1);
	stream_free_for_next(s);
}
