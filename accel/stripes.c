// SPDX-License-Identifier: GPL-3.0-or-later
/* stripes.c - one flow over several streams */
/*
 * Theory of operation
 *
 *	near                                     far
 *	another idle stream: JOIN ─────────────▶ it becomes a stripe
 *	it becomes a stripe ◀──────────── JOINED
 *	╞═ DATA with its offset, either way, on whichever stripe takes it ═╡
 *	LEAVE ─────────────────────────────────▶ nothing more is said on it
 *	it is free ◀─────────────────────── LEAVE
 *
 * A flow begins on one stream. Who has opened it adds stripes from its own
 * pool when it or the peer (STRIPES) could use them, never more than OPEN and
 * OPENED have agreed on. Until then there is no struct stripes.
 *
 * Every DATA record bears its offset, so it does not matter which stripe it
 * comes on, or whether it comes twice. What comes early waits in a
 * reassembly, within the window. Copies of what was sent are kept until the
 * other side's host has taken them; they are within the peer's window, and
 * counted as memory like a window. A flow that will have stripes (stripes = N)
 * keeps them from its first byte, so the first stripe may be lost as soon as
 * there is a second one. With `auto`, where most never have one, they are kept
 * from when a second one is asked for; if the first is lost before all earlier
 * bytes have been taken, so is the flow, as it would be with one stream.
 *
 * All else that is said of a flow is said on every stripe. It is idempotent:
 * CREDIT and FIN bear offsets, DELIVERED, DONE and RESET are heard once. When
 * a stripe is lost it is said once more on those that are left, and what the
 * lost one carried is sent again. Only the last one's loss is the flow's.
 *
 * A stripe that stands still while the path to its peer does not is broken by
 * ourselves (STALLED_LOOKS): whoever reads waits for what is on it.
 *
 * A stream serves the next flow when each side has said its last word of this
 * one on it: LEAVE, or DONE. If the flow is over before the peer's has come,
 * the stream belongs to none, and what else comes is dropped
 * (stripes_orphan()). If the flow goes on, the far side, which has answered a
 * LEAVE, does not know yet whether what it has sent on that stripe arrives: it
 * lets go of it when the peer has taken all that, or uses the stream again.
 */
#include "accel/internal.h"

#include "lib/log.h"
#include "lib/sock.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* A flow that has moved less has no use of a second stripe: it is over before. */
#define STRIPES_AFTER (256u << 10)

/* Copies are at least this, or the peer's window: it says what it has taken before that is full. */
#define COPIES_MIN (2 * STRIPES_CREDIT)

/* A try that was refused is not repeated sooner, nor one for which there was no stream. */
#define RETRY_NS (10 * NS_PER_S)
#define SPARE_NS (1 * NS_PER_S)

/* A stripe is lost when, for so many looks a second apart, it has waited longer than the time for
 * an acknowledgement while the peer is heard. */
#define STALLED_LOOKS	 4
#define STALLED_MS	 1000
#define STALLED_HEARD_NS (2 * NS_PER_S)

/* May things be said on it? */
static bool usable(const struct stream *s)
{
	return s && !s->dead && !s->joining && !s->said_last;
}

static unsigned count(const struct relay *r, bool joining_too)
{
	unsigned i, n = 0;

	if (!r->striped)
		return r->stream != NULL;
	for (i = 0; i < STRIPES_MAX; i++)
		n += usable(r->striped->streams[i]) ||
		     (joining_too && r->striped->streams[i] && r->striped->streams[i]->joining);
	return n;
}

/* ---- copies ---- */

static bool is_auto(const struct relay *r)
{
	return r->a->conf.tags[r->flow->key.tag].stripes_auto;
}

static uint64_t peer_window(const struct relay *r)
{
	return r->limit - r->peer_taken;
}

/* Begins to keep copies. Returns false if memory is short. */
static bool begin_keeping(struct relay *r)
{
	struct copies *c = &r->copies;
	struct accel *a = r->a;
	uint64_t window = peer_window(r), least = window < COPIES_MIN ? window : COPIES_MIN;
	uint32_t room;

	if (c->keeping)
		return true;
	room = credit_grant(&a->budget, 0, (uint32_t)window, a->n_relays);
	if (room < least) {
		atomic_fetch_sub(&a->budget.granted, room);
		return false;
	}
	c->room = room;
	retain_init(&c->out, &r->shard->chunks, r->sent);
	c->unkept = r->sent;
	c->unkept_with = r->stream->stripe;
	c->keeping = true;
	return true;
}

static bool memory_is_short(const struct accel *a)
{
	return a->budget.granted > a->budget.limit / 2;
}

/* The first bytes of a flow are about to be sent: one that will have stripes keeps copies from the
 * beginning, so that no byte is without. */
void stripes_begin(struct relay *r)
{
	if (r->wish.max > 1 && !is_auto(r) && !memory_is_short(r->a))
		begin_keeping(r);
}

static void end_keeping(struct relay *r)
{
	struct copies *c = &r->copies;

	if (!c->keeping)
		return;
	retain_release(&c->out);
	atomic_fetch_sub(&r->a->budget.granted, c->room);
	c->room = 0;
	c->keeping = false;
}

/* How many new bytes may be sent for want of room for copies. With one stream a flow does without
 * them sooner than wait: what was taken it is told seldom then (STRIPES_CREDIT). */
size_t stripes_room(struct relay *r)
{
	const struct copies *c = &r->copies;
	uint64_t kept = c->out.end - c->out.begin;

	if (c->keeping && kept >= c->room && !c->out.again && count(r, true) < 2)
		end_keeping(r);
	if (!c->keeping)
		return RECORD_DATA_MAX;
	return kept < c->room ? (size_t)(c->room - kept) : 0;
}

/* Keeps a copy of new bytes that are sent on a stripe. Returns false if memory is short. */
bool stripes_keep(struct relay *r, struct stream *s, const uint8_t *bytes, size_t len)
{
	return !r->copies.keeping || !retain_add(&r->copies.out, s->stripe, bytes, len);
}

/* The peer has told what its host has taken, and how much more it may be sent. */
void stripes_taken(struct relay *r)
{
	struct copies *c = &r->copies;

	if (!c->keeping)
		return;
	retain_taken(&c->out, r->peer_taken);
	if (peer_window(r) > c->room)
		c->room += credit_grant(&r->a->budget, (uint32_t)c->room, (uint32_t)peer_window(r),
					r->a->n_relays);
}

/* Fetches bytes that are to be sent again, on this stripe. Returns how many; 0: memory is short. */
size_t stripes_send_again(struct relay *r, struct stream *s, uint8_t *bytes, size_t max,
			  uint64_t *offset)
{
	struct retain *out = &r->copies.out;
	size_t n = retain_next(out, max, offset);

	return n && !retain_send_again(out, s->stripe, bytes, n) ? n : 0;
}

/* ---- saying ---- */

/* Says something of a flow, wherever it must be heard. */
void stripes_say(struct relay *r, enum record_type type, const void *payload, uint32_t len)
{
	struct stripes *st = r->striped;
	unsigned i;

	if (!st) {
		if (r->stream)
			stream_send(r->stream, type, payload, len);
		return;
	}
	for (i = 0; i < STRIPES_MAX; i++) {
		struct stream *s = st->streams[i];

		if (!usable(s))
			continue;
		stream_send(s, type, payload, len);
		s->said_last = type == RECORD_DONE;
	}
}

/* The stripe that new bytes, or those to be sent again, go on. NULL: none takes any now. */
struct stream *stripes_writable(struct relay *r)
{
	struct stripes *st = r->striped;
	unsigned i;

	if (!st)
		return stream_takes_more(r->stream) ? r->stream : NULL;
	for (i = 0; i < STRIPES_MAX && !r->ended; i++) {
		unsigned number = (st->last + i) % STRIPES_MAX;
		struct stream *s = st->streams[number];

		if (!usable(s) || !stream_takes_more(s) || !usable(s))
			continue;
		if (r->copies.keeping && !r->copies.out.again &&
		    !retain_may_add(&r->copies.out, (uint8_t)number))
			continue;
		st->last = number;
		return s;
	}
	return NULL;
}

/* ---- which streams ---- */

/* Makes a flow one that may have several. Returns false if memory is short. */
static bool begin_striped(struct relay *r)
{
	if (r->striped)
		return true;
	r->striped = calloc(1, sizeof(*r->striped));
	if (!r->striped)
		return false;
	r->striped->end = r->life.peer_fin ? r->received : UINT64_MAX;
	inorder_init(&r->striped->in, &r->shard->chunks, r->received);
	r->striped->streams[0] = r->stream;
	r->stream->stripe = 0;
	return true;
}

static bool place(struct relay *r, struct stream *s)
{
	unsigned i;

	for (i = 0; i < STRIPES_MAX && r->striped->streams[i]; i++)
		;
	if (i == STRIPES_MAX)
		return false;
	r->striped->streams[i] = s;
	s->stripe = (uint8_t)i;
	s->relay = r;
	return true;
}

/* Has the flow's round trip and state be those of a stripe that lives. */
static void lead(struct relay *r)
{
	struct stripes *st = r->striped;
	unsigned i;

	r->stream = NULL;
	for (i = 0; i < STRIPES_MAX; i++)
		if (st->streams[i] && !st->streams[i]->joining &&
		    (!r->stream || (usable(st->streams[i]) && !usable(r->stream))))
			r->stream = st->streams[i];
}

/* A stream is not this flow's any more. */
static void remove_stripe(struct relay *r, struct stream *s)
{
	struct stripes *st = r->striped;

	st->streams[s->stripe] = NULL;
	s->relay = NULL;
	if (r->stream == s)
		lead(r);
}

/* Says on a stream that nothing more of the flow comes on it. */
static void say_leave(struct stream *s)
{
	if (s->said_last)
		return;
	stream_send(s, RECORD_LEAVE, NULL, 0);
	s->said_last = true;
}

/* Says how many stripes we, who cannot add any, would like. */
static void say_wish(struct relay *r)
{
	uint8_t payload[STRIPES_LEN] = {r->wish.here};

	stripes_say(r, RECORD_STRIPES, payload, STRIPES_LEN);
}

/* Says what must not be missed once more, on what is left. */
static void say_all_again(struct relay *r)
{
	uint8_t payload[CREDIT_LEN];

	credit_store(payload, &(struct credit_record){r->told, r->window});
	stripes_say(r, RECORD_CREDIT, payload, CREDIT_LEN);
	if (r->life.host_fin) {
		store_be64(payload, r->sent);
		stripes_say(r, RECORD_FIN, payload, FIN_LEN);
	}
	if (r->life.host_acked)
		stripes_say(r, RECORD_DELIVERED, NULL, 0);
	if (r->life.role == LIFE_FAR)
		say_wish(r);
}

/*
 * A stream of a flow was lost.
 * Returns false if the flow is lost with it; the stream is not its any more in
 * either case.
 */
bool stripes_lost(struct relay *r, struct stream *s)
{
	struct copies *c = &r->copies;
	unsigned number = s->stripe;
	bool was_joining = s->joining;

	remove_stripe(r, s);
	if (was_joining)
		return true;
	if (!r->stream)
		return false;
	if (r->life.done_sent)
		return true;
	if (c->keeping)
		retain_lost(&c->out, (uint8_t)number);
	if (!count(r, false))
		return false;
	if (!c->keeping || (number == c->unkept_with && r->peer_taken < c->unkept)) {
		relay_event(r, LIFE_EV_kill); /* the other side is told on what is left */
		return true;
	}
	atomic_fetch_add(&r->a->counts.stripes_lost, 1);
	say_all_again(r);
	pump_later(r);
	return true;
}

/* Both sides have said their last words on a stripe, and what was sent on it has arrived. */
static void let_go(struct relay *r, struct stream *s)
{
	if (r->copies.keeping)
		retain_arrived(&r->copies.out, s->stripe);
	remove_stripe(r, s);
	stream_free_for_next(s);
	if (!r->stream)
		relay_event(r, LIFE_EV_stream_lost);
}

/* Lets go of stripes whose bytes the peer has taken. */
static void settle(struct relay *r)
{
	struct stripes *st = r->striped;
	unsigned i;

	for (i = 0; i < STRIPES_MAX && !r->ended; i++) {
		struct stream *s = st->streams[i];

		if (s && s->said_last && s->heard_last && !r->life.done_sent &&
		    !(r->copies.keeping && retain_has(&r->copies.out, s->stripe)))
			let_go(r, s);
	}
}

/* If one stripe is left, and no other is to be had, no copies are needed. */
static void keep_no_more(struct relay *r, bool want_more)
{
	unsigned i, n = 0;

	if (!r->striped)
		return;
	for (i = 0; i < STRIPES_MAX; i++)
		n += r->striped->streams[i] != NULL;
	if (n > 1 || r->copies.out.again || !r->copies.keeping)
		return;
	if (!want_more || r->wish.refused)
		end_keeping(r);
	pump_later(r); /* there may have been no room for copies of more */
}

/* The peer has said LEAVE. */
static void left(struct relay *r, struct stream *s)
{
	s->heard_last = true;
	if (s->said_last) {
		let_go(r, s);
		return;
	}
	say_leave(s);
	lead(r);
}

/* The peer opens or joins a flow on a stream that had been left: it has heard our last word. */
void stripes_reused(struct stream *s)
{
	if (s->relay && s->relay->striped && s->said_last && s->heard_last)
		let_go(s->relay, s);
}

/*
 * The flow is over: its streams serve the next as soon as the peer has said
 * its last word on them, or are closed.
 */
void stripes_let_go(struct relay *r, bool free_them)
{
	struct stripes *st = r->striped;
	unsigned i;

	for (i = 0; i < STRIPES_MAX; i++) {
		struct stream *s = st->streams[i];

		if (!s)
			continue;
		st->streams[i] = NULL;
		s->relay = NULL;
		if (s->said_last && s->heard_last)
			stream_free_for_next(s);
		else if (s->said_last || s->joining || free_them) {
			say_leave(s);
			s->left_ns = clock_ns();
		} else {
			stream_close_soon(s);
		}
	}
	r->stream = NULL;
}

/* A record of a flow that is over, on a stream that waits for the peer's last word. */
void stripes_orphan(struct stream *s, const struct record *rec)
{
	bool last = rec->type == RECORD_LEAVE || rec->type == RECORD_DONE ||
		    (s->joining && rec->type == RECORD_REFUSED);

	if (rec->type == RECORD_JOINED)
		s->joining = false;
	if (last && s->state == STREAM_BUSY && s->said_last)
		stream_free_for_next(s);
}

/* Frees what a flow that has ended had for its stripes. */
void stripes_release(struct relay *r)
{
	end_keeping(r);
	if (!r->striped)
		return;
	inorder_release(&r->striped->in);
	free(r->striped);
	r->striped = NULL;
}

/* ---- more and fewer ---- */

static void ask(struct relay *r, unsigned n)
{
	struct stream *s;

	if (!r->striped && begin_striped(r))
		pump_flush(r); /* a CREDIT is due by less from now on */
	while (n-- && !r->ended && !r->life.done_sent) {
		s = begin_striped(r) && begin_keeping(r)
			    ? stream_take(r->shard, r->flow->peer, r->number)
			    : NULL;
		if (!s) {
			r->wish.retry_ns = clock_ns() + SPARE_NS;
			return;
		}
		s->joining = true;
		place(r, s);
		stream_send(s, RECORD_JOIN, NULL, 0);
	}
}

/* Leaves as many of those that came last. */
static void leave(struct relay *r, unsigned n)
{
	unsigned i;

	for (i = STRIPES_MAX; i-- && n;) {
		struct stream *s = r->striped->streams[i];

		if (!usable(s) || s == r->stream)
			continue;
		say_leave(s);
		n--;
	}
}

/* Whether the host has data and the peer takes them, but no stripe does. */
static bool is_limited(struct relay *r)
{
	unsigned i;

	if (r->life.host_fin || !r->readable || r->sent >= r->limit)
		return false;
	if (!r->striped)
		return !stream_is_flushed(r->stream);
	for (i = 0; i < STRIPES_MAX; i++)
		if (usable(r->striped->streams[i]) && stream_is_flushed(r->striped->streams[i]))
			return false;
	return true;
}

/* How many stripes we would like. */
static unsigned wanted(struct relay *r, uint64_t now)
{
	struct growth_look look = {.now_ns = now,
				   .sent = r->sent,
				   .rate = r->a->conf.rate_bps[r->flow->peer] / 8,
				   .max = r->wish.max,
				   .limited = is_limited(r),
				   .short_memory = memory_is_short(r->a)};

	if (r->sent + r->received < STRIPES_AFTER)
		return 1;
	if (!is_auto(r))
		return r->wish.max;
	look.rtt_ns = stream_rtt_ns(r->stream);
	return growth_next(&r->wish.growth, &look);
}

/* Breaks a stripe that stands still while the peer is heard. */
static void check_stalled(struct relay *r, uint64_t now)
{
	uint64_t heard_ns = r->a->host.heard_ns(r->a->host.ctx, r->flow->peer);
	struct tcp_info info;
	socklen_t len;
	unsigned i;

	for (i = 0; i < STRIPES_MAX && !r->ended; i++) {
		struct stream *s = r->striped->streams[i];

		if (!usable(s) || now - s->looked_ns < NS_PER_S)
			continue;
		s->looked_ns = now;
		len = sizeof(info);
		if (count(r, false) < 2 || heard_ns + STALLED_HEARD_NS < now ||
		    getsockopt(s->io.fd, IPPROTO_TCP, TCP_INFO, &info, &len) ||
		    !info.tcpi_unacked || info.tcpi_last_ack_recv < STALLED_MS)
			s->stalled = 0;
		else if (++s->stalled == STALLED_LOOKS)
			stream_break(s, "it stands still, but the path does not");
	}
}

/* Several times a second, while the flow is open: whether it should have more stripes, or fewer. */
void stripes_tick(struct relay *r, uint64_t now)
{
	unsigned n, want;

	if (r->wish.max < 2 || !r->stream || r->life.phase != LIFE_OPEN || r->life.done_sent)
		return;
	if (r->striped) {
		check_stalled(r, now);
		if (!r->ended)
			settle(r);
	}
	if (r->ended || !r->stream)
		return;
	want = wanted(r, now);
	if (r->life.role == LIFE_NEAR && want < r->wish.there)
		want = r->wish.there;
	keep_no_more(r, want > 1);
	if (r->life.role == LIFE_FAR) {
		if (want == r->wish.here)
			return;
		r->wish.here = (uint8_t)want;
		say_wish(r);
		return;
	}
	n = count(r, true);
	if (n < want && now >= r->wish.retry_ns && !(r->life.host_fin && r->life.peer_fin))
		ask(r, want - n);
	else if (n > want)
		leave(r, n - want);
}

/* ---- what comes ---- */

/* The peer wants a stream to be another stripe of a flow. Returns whether it is one now. */
bool stripes_join(struct stream *s, struct relay *r)
{
	if (r->wish.max < 2 || r->life.phase != LIFE_OPEN || count(r, false) >= r->wish.max ||
	    !begin_striped(r) || !begin_keeping(r) || !place(r, s))
		return false;
	stream_send(s, RECORD_JOINED, NULL, 0);
	/* The peer may have room for no more copies, and so wait for a CREDIT that is due by less
	 * from now on. */
	pump_flush(r);
	pump_later(r);
	return true;
}

static void joined(struct relay *r, struct stream *s)
{
	s->joining = false;
	r->wish.refused = false;
	atomic_fetch_add(&r->a->counts.stripes_joined, 1);
	if (r->life.done_sent)
		say_leave(s);
	else
		pump_out(r);
}

static void refused(struct relay *r, struct stream *s)
{
	remove_stripe(r, s);
	stream_free_for_next(s);
	r->wish.retry_ns = clock_ns() + RETRY_NS;
	r->wish.refused = true;
}

/* Takes a record if it is about stripes, or has been heard on another one. Returns whether it was.
 */
bool stripes_record(struct relay *r, struct stream *s, const struct record *rec)
{
	if (s->joining && rec->type == RECORD_JOINED)
		joined(r, s);
	else if (s->joining && rec->type == RECORD_REFUSED)
		refused(r, s);
	else if (s->joining || s->heard_last)
		stream_break(s, "it said what has no sense now");
	else if (rec->type == RECORD_LEAVE && r->life.role == LIFE_FAR && count(r, false) < 2 &&
		 !r->life.done_sent)
		stream_break(s, "it left the last stripe");
	else if (rec->type == RECORD_LEAVE && (s->said_last || r->life.role == LIFE_FAR))
		left(r, s);
	else if (rec->type == RECORD_DELIVERED && r->life.peer_delivered)
		;
	else if (rec->type == RECORD_DONE) {
		s->heard_last = true;
		return r->life.done_got;
	} else
		return false;
	return true;
}

/* Takes bytes from the peer that come on whichever stripe. Returns false if it must not send them,
 * or memory is short. */
bool stripes_in(struct relay *r, uint64_t offset, const uint8_t *bytes, size_t len)
{
	struct stripes *st = r->striped;
	const uint8_t *more;
	size_t old, n;

	if (st->end != UINT64_MAX && offset + len > st->end)
		return false;
	n = inorder_direct(&st->in, offset, len, &old);
	if (n) {
		if (!pump_pass(r, bytes + old, n, false))
			return false;
		inorder_advance(&st->in, n);
	}
	old += n;
	if (old < len && inorder_put(&st->in, offset + old, bytes + old, len - old))
		return false;
	while (!r->ended && (n = inorder_get(&st->in, &more))) {
		if (!pump_pass(r, more, n, false))
			return false;
		inorder_advance(&st->in, n);
	}
	if (!r->ended && r->received == st->end && !r->life.peer_fin)
		relay_event(r, LIFE_EV_peer_fin);
	return true;
}

/* The peer has said where its host's direction ends. Returns false if it cannot be there. */
bool stripes_fin(struct relay *r, uint64_t end)
{
	struct stripes *st = r->striped;

	if ((st->end != UINT64_MAX && st->end != end) || end < r->received ||
	    (st->in.n_ranges && end < st->in.ranges[st->in.n_ranges - 1].end))
		return false;
	st->end = end;
	if (r->received == end && !r->life.peer_fin)
		relay_event(r, LIFE_EV_peer_fin);
	return true;
}

static int port(int fd, int (*name)(int fd, struct sockaddr *at, socklen_t *len))
{
	struct sockaddr_in6 at = {0}; /* IPv4's port is at the same place */
	socklen_t len = sizeof(at);

	return name(fd, (struct sockaddr *)&at, &len) ? 0 : ntohs(at.sin6_port);
}

/* What each stripe does; a new reference. */
json_t *stripes_status(const struct relay *r)
{
	static const char *const states[] = {"used", "joining", "leaving"};
	json_t *all = json_array();
	unsigned i;

	for (i = 0; r->striped && i < STRIPES_MAX; i++) {
		const struct stream *s = r->striped->streams[i];

		if (s)
			json_array_append_new(all,
					      json_pack("{s:i, s:s, s:i, s:i, s:I, s:I, s:o}",
							"stripe", (int)i, "state",
							states[s->joining     ? 1
							       : s->said_last ? 2
									      : 0],
							"local_port", port(s->io.fd, getsockname),
							"remote_port", port(s->io.fd, getpeername),
							"sent_bytes", (json_int_t)s->sent,
							"received_bytes", (json_int_t)s->received,
							"wan", status_leg(s->io.fd)));
	}
	return all;
}
