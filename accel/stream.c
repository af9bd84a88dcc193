// SPDX-License-Identifier: GPL-3.0-or-later
/* stream.c - TLS connections to peers: records in and out */
/*
 * Theory of operation
 *
 *	handed over ── HELLO ──▶ IDLE ── OPEN ──▶ BUSY ── both DONE ──▶ IDLE …
 *	                            │               └─ RESET ─▶ CLOSING ──▶ closed
 *	                            └─ older than STREAM_AGE_NS ──▶ CLOSING
 *
 * The tunnel makes the connections, with its own identity and pins, and hands
 * them over ready. Both sides say HELLO first; in it, who made the stream says
 * which side opens flows on it, so two OPENs never cross on one. A stream carries one flow at a
 * time. It ends early (CLOSING) after a RESET: what was said is written, then
 * the sending side is shut down, and it is closed when the peer has done the
 * same, so that nothing said is lost by closing.
 *
 * A stream that breaks in the middle of a flow is how a dead peer is known:
 * its kernel closes what the process had open. Silence is looked for in
 * stream_tick(); it is the configured outage.
 *
 * Sockets are watched for edges: reading goes on until there is nothing, or
 * the turn is over and the stream is put on the list of pending ones.
 */
#include "accel/internal.h"

#include "accel/inbox.h"
#include "accel/outbox.h"
#include "lib/log.h"
#include "lib/sock.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define STREAM_BUFFER CREDIT_MAX /* more than credit allows is never on the way */
#define ENDS	      (EPOLLRDHUP | EPOLLHUP | EPOLLERR)
#define RTT_FRESH_NS  (40 * NS_PER_MS)

/* TCP itself gives up after so many outages: where the sealed transport passes and TCP does not. */
#define KERNEL_PATIENCE 3

/* Missing from Debian 12's headers. */
#ifndef TCP_RTO_MAX_MS
#define TCP_RTO_MAX_MS 44
#endif
#define RTO_MAX_MS 3000

struct handover {
	struct shard *shard;
	unsigned peer;
	int fd;
	SSL *ssl;
	bool we_called, we_open;
	bool asked_for; /* by that shard */
};

/*
 * Sets up a stream's socket before it is connected or listens: the window
 * scale is chosen then, and needs to know the largest buffer.
 */
void accel_prepare_stream(const struct accel *a, int fd)
{
	const char *congestion = a && a->conf.congestion ? a->conf.congestion : "bbr";

	setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion, (socklen_t)strlen(congestion));
	if (sock_set(fd, SOL_SOCKET, SO_RCVBUFFORCE, STREAM_BUFFER))
		sock_set(fd, SOL_SOCKET, SO_RCVBUF, STREAM_BUFFER);
	if (sock_set(fd, SOL_SOCKET, SO_SNDBUFFORCE, STREAM_BUFFER))
		sock_set(fd, SOL_SOCKET, SO_SNDBUF, STREAM_BUFFER);
	sock_set(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, CREDIT_UNSENT_MIN);
	sock_set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	/* Segments are made to fit. Should the path become narrower where ICMP is filtered, routers
	 * may cut them up until there are new streams; they would be lost for good. */
	sock_set(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
}

static void watch_silence(const struct accel *a, int fd)
{
	int outage_ms = (int)(a->conf.outage_ns / NS_PER_MS), idle = outage_ms / 4000;

	idle = idle > 0 ? idle : 1;
	sock_keepalive(fd, idle, idle);
	sock_set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, KERNEL_PATIENCE * outage_ms);
	/* Else the path may be back for long before TCP tries again. Linux 6.15 and later. */
	sock_set(fd, IPPROTO_TCP, TCP_RTO_MAX_MS, RTO_MAX_MS);
}

/* Has the kernel ask the peer's at once whether it still knows of a stream: one that has been
 * started anew since answers by RST. */
void stream_ask(const struct stream *s)
{
	sock_keepalive(s->io.fd, 1, 1);
}

/*
 * Whether nothing has come from the peer for the outage: neither on the stream
 * nor by the sealed transport. The stream alone does not tell, since TCP tries
 * at ever longer intervals, and may not have tried since the path came back.
 */
static bool is_silent(const struct stream *s, uint64_t now)
{
	uint64_t outage_ns = s->a->conf.outage_ns;
	uint64_t heard_ns = s->a->host.heard_ns(s->a->host.ctx, s->peer);
	struct tcp_info info;
	socklen_t len = sizeof(info);

	if (now <= heard_ns + outage_ns)
		return false;
	return !getsockopt(s->io.fd, IPPROTO_TCP, TCP_INFO, &info, &len) &&
	       info.tcpi_last_ack_recv * NS_PER_MS > outage_ns;
}

/* ---- ending ---- */

static void to_dead(struct stream *s)
{
	if (s->dead)
		return;
	stream_leave_pool(s);
	memory_left(s);
	s->dead = true;
	s->next_dead = s->shard->dead_streams;
	s->shard->dead_streams = s;
}

/* A stream is its shard's from now on. */
void stream_enter(struct stream *s)
{
	struct shard *sh = s->shard;

	s->prev = NULL;
	s->next = sh->streams;
	if (s->next)
		s->next->prev = s;
	sh->streams = s;
	stream_join_pool(s);
}

static void unlink_from(struct stream *s)
{
	struct stream **at;

	for (at = &s->shard->lazy; s->lazy && *at; at = &(*at)->next_lazy)
		if (*at == s) {
			*at = s->next_lazy;
			break;
		}
	s->lazy = false;
	if (s->prev)
		s->prev->next = s->next;
	else
		s->shard->streams = s->next;
	if (s->next)
		s->next->prev = s->prev;
}

/* …and no more: nothing is watched, nothing is counted. */
void stream_leave(struct stream *s)
{
	stream_leave_pool(s);
	unlink_from(s);
	loop_remove(s->shard->loop, &s->io);
}

/* Counts a stream of a shard, from when it is on its way there. */
void stream_count(struct shard *sh, unsigned peer, int n)
{
	atomic_fetch_add(&sh->pools[peer].all, (unsigned)n);
	atomic_fetch_add(&sh->n_streams, (unsigned)n);
	atomic_fetch_add(&sh->a->n_streams, (unsigned)n);
}

/* Frees a stream that is dead, or all of them at the end. */
void stream_destroy(struct stream *s)
{
	unlink_from(s);
	stream_count(s->shard, s->peer, -1);
	if (s->asked_for) /* it never came */
		(s->to ? s->to : s->shard)->pools[s->peer].coming--;
	loop_remove(s->shard->loop, &s->io);
	free(s->rest);
	SSL_free(s->ssl);
	close(s->io.fd);
	chunk_give(&s->shard->chunks, s->out);
	free(s);
}

/* Frees those that are dead and that nobody holds. */
void stream_free_dead(struct shard *sh)
{
	struct stream *s = sh->dead_streams, *next;

	sh->dead_streams = NULL;
	for (; s; s = next) {
		next = s->next_dead;
		if (s->pending) {
			s->next_dead = sh->dead_streams;
			sh->dead_streams = s;
		} else {
			stream_destroy(s);
		}
	}
}

/* A stream cannot go on: its flow is told, and it is closed at once. */
void stream_break(struct stream *s, const char *why)
{
	struct relay *r = s->relay;

	if (s->dead)
		return;
	if (r || s->state == STREAM_IDLE)
		log_debug("accel: stream to %s: %s", s->a->host.peer_name(s->a->host.ctx, s->peer),
			  why);
	to_dead(s);
	s->relay = NULL;
	if (r && !(r->striped && stripes_lost(r, s))) {
		r->stream = NULL;
		relay_event(r, LIFE_EV_stream_lost);
	}
	if (s->we_open && !s->a->stopping)
		stream_refill(s->shard, s->peer);
}

static void protocol_error(struct stream *s)
{
	atomic_fetch_add(&s->a->counts.protocol, 1);
	stream_break(s, "it sent what it must not");
}

/* Ends a stream once the peer has all that was said. Its flow is over. */
void stream_close_soon(struct stream *s)
{
	if (s->dead || s->state == STREAM_CLOSING)
		return;
	stream_leave_pool(s);
	s->state = STREAM_CLOSING;
	s->relay = NULL;
	s->closing_ns = clock_ns();
	stream_flush(s);
}

/* ---- reading ---- */

static void hello_come(struct stream *s, const uint8_t *payload)
{
	struct shard *to;

	if (s->instance || load_be16(payload) != STREAM_VERSION || payload[2] > 1 || payload[3] ||
	    !load_be32(payload + 4)) {
		protocol_error(s);
		return;
	}
	memory_met(s, load_be32(payload + 4));
	if (s->dead || s->we_called)
		return; /* who opens flows was ours to say */
	s->heard = true;
	s->we_open = payload[2];
	if (!s->we_open)
		return;
	to = stream_asker(s->a, s->peer);
	s->asked_for = to != NULL;
	if (to && to != s->shard) {
		stream_move(s, to);
		return;
	}
	stream_join_pool(s);
	relay_serve_waiting(s->shard, s->peer);
	stream_refill(s->shard, s->peer);
}

/* OPEN or JOIN: the peer uses an idle stream. */
static void begin_come(struct stream *s, const struct record *rec, const uint8_t *payload)
{
	struct open_record o;
	struct shard *to;

	if (s->a->stopping) {
		stream_break(s, "we are ending");
		return;
	}
	stripes_reused(s);
	if (s->we_open || s->state != STREAM_IDLE || s->relay || !s->heard || !s->instance ||
	    rec->generation != s->generation + 1 ||
	    (rec->type == RECORD_OPEN && !open_parse(payload, &o))) {
		protocol_error(s);
		return;
	}
	to = rec->type == RECORD_OPEN ? relay_place(s, &o) : relay_place_joining(s, rec->flow);
	if (to != s->shard) {
		s->again = true;
		stream_move(s, to);
		return;
	}
	s->placed = false;
	s->hops = 0;
	s->flow = rec->flow;
	s->generation = rec->generation;
	s->state = STREAM_BUSY;
	s->padding = false;
	s->flows++;
	if (rec->type == RECORD_OPEN)
		relay_opened_by_peer(s, &o);
	else
		relay_joined_by_peer(s);
}

/* Takes a record that is whole. */
static void record_come(struct stream *s, const struct record *rec, const uint8_t *payload)
{
	bool current = rec->flow == s->flow && rec->generation == s->generation;

	if (rec->type == RECORD_HELLO)
		hello_come(s, payload);
	else if (rec->type == RECORD_OPEN || rec->type == RECORD_JOIN)
		begin_come(s, rec, payload);
	else if (!s->instance)
		protocol_error(s);
	else if (rec->type == RECORD_TUPLES)
		memory_tuples(s, payload, rec->len);
	else if (rec->type == RECORD_TUPLES_END)
		memory_told(s, payload[0]);
	else if (!s->heard || !current)
		protocol_error(s);
	else if (s->relay)
		relay_record(s->relay, s, rec, payload);
	else /* it crossed the end of its flow */
		stripes_orphan(s, rec);
}

/* @rest, @len: what has come behind them */
static void data_come(struct stream *s, const struct record_reader *r, const uint8_t *rest,
		      size_t len)
{
	bool last = r->got == r->now.len && len >= RECORD_HDR_LEN && rest[0] == RECORD_FIN;

	if (r->now.flow != s->flow || r->now.generation != s->generation)
		protocol_error(s);
	else if (s->relay && (s->joining || s->heard_last ||
			      !pump_in(s->relay, r->offset, r->piece, r->piece_len, last)))
		protocol_error(s);
	s->received += r->piece_len;
}

/* Part of a record that may be long. */
static void piece_come(struct stream *s, const struct record_reader *r, const uint8_t *rest,
		       size_t len)
{
	if (r->now.type == RECORD_DATA)
		data_come(s, r, rest, len);
	else if (!s->instance)
		protocol_error(s);
	else
		warm_padded(s);
}

static void take_records(struct stream *s, const uint8_t *at, size_t len)
{
	enum record_event ev;

	while (!s->dead && !s->to && s->state != STREAM_CLOSING &&
	       (ev = record_next(&s->reader, &at, &len)) != RECORD_MORE) {
		if (ev == RECORD_PIECE)
			piece_come(s, &s->reader, at, len);
		else if (ev == RECORD_WHOLE)
			record_come(s, &s->reader.now, s->reader.payload);
		else
			protocol_error(s);
	}
	if (s->to && len)
		stream_keep(s, at, len);
}

/* Whether a read would find nothing. OpenSSL needs long to find that out. */
static bool is_drained(const struct stream *s)
{
	return inbox_is_empty(SSL_get_rbio(s->ssl)) && !SSL_has_pending(s->ssl);
}

/* Fills the thread's buffer. Returns how much came; *error: as SSL_get_error() has it. */
static size_t fill(struct stream *s, int *error)
{
	size_t len = 0;
	int n;

	for (*error = SSL_ERROR_NONE; len < SCRATCH; len += (size_t)n) {
		if (is_drained(s)) {
			*error = SSL_ERROR_WANT_READ;
			break;
		}
		ERR_clear_error();
		n = SSL_read(s->ssl, s->shard->scratch + len, (int)(SCRATCH - len));
		if (n <= 0) {
			*error = SSL_get_error(s->ssl, n);
			break;
		}
	}
	return len;
}

/* Reads what has come. */
void stream_read(struct stream *s)
{
	unsigned turn;
	size_t len;
	int error;

	if (s->pending)
		return; /* its turn is over */
	for (turn = 0; !s->dead && !s->to; turn++) {
		if (turn == STREAM_TURNS_MAX) {
			s->pending = true;
			s->next_pending = s->shard->pending_streams;
			s->shard->pending_streams = s;
			return;
		}
		len = fill(s, &error);
		take_records(s, s->shard->scratch, len);
		if (error == SSL_ERROR_NONE)
			continue;
		if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
			stream_break(s, "it was closed");
		return;
	}
}

/* Goes on with a stream that another thread has had. @again: with the record that it left; then
 * with what it had read. */
int stream_resume(struct stream *s, bool again, const uint8_t *read, size_t len)
{
	int ret = loop_add(s->shard->loop, &s->io, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);

	if (ret)
		return ret;
	if (again)
		record_come(s, &s->reader.now, s->reader.payload);
	if (len)
		take_records(s, read, len);
	stream_read(s);
	if (!s->dead)
		stream_flush(s);
	return 0;
}

static void ready(void *ctx, uint32_t events)
{
	struct stream *s = ctx;

	if (s->dead || s->to)
		return;
	shard_gather(s->shard);
	rcu_read_lock();
	if (events & EPOLLOUT && !stream_is_flushed(s))
		stream_flush(s);
	if (events & EPOLLOUT && s->padding)
		warm_go(s);
	inbox_fills(SSL_get_rbio(s->ssl), events & ENDS);
	stream_read(s);
	rcu_read_unlock();
}

/* ---- time ---- */

/* Smoothed round trip of a stream, nanoseconds, of now or a little ago. */
uint64_t stream_rtt_ns(struct stream *s)
{
	uint64_t now = clock_ns();
	struct tcp_info info;
	socklen_t len = sizeof(info);

	if (s && now - s->rtt_at_ns > RTT_FRESH_NS &&
	    !getsockopt(s->io.fd, IPPROTO_TCP, TCP_INFO, &info, &len)) {
		s->rtt_ns = (uint64_t)info.tcpi_rtt * NS_PER_US;
		s->rtt_at_ns = now;
		atomic_store_explicit(&s->a->rtt_ns[s->peer], s->rtt_ns, memory_order_relaxed);
	}
	return s ? s->rtt_ns : 0;
}

/* Has TCP hold no less than it needs to be busy, and no more, of what it has not sent yet. */
static void limit_unsent(struct stream *s, uint64_t now)
{
	uint64_t rate = credit_measure(&s->meter, now, s->sent, 0);
	uint32_t limit = credit_unsent(rate, s->relay->striped ? CREDIT_UNSENT_STRIPE
							       : CREDIT_UNSENT_MIN);

	if (!rate)
		return;
	s->rate = rate;
	if (limit == s->unsent_limit)
		return;
	sock_set(s->io.fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, (int)limit);
	s->unsent_limit = limit;
}

/* Ends what takes too long to end, and what is too old. */
void stream_tick(struct stream *s, uint64_t now)
{
	if (s->dead || s->to)
		return;
	if (s->relay)
		limit_unsent(s, now);
	if (is_silent(s, now)) {
		stream_break(s, "the peer has been silent for the outage");
		return;
	}
	if (s->state == STREAM_CLOSING && now - s->closing_ns > STREAM_CLOSE_NS)
		to_dead(s);
	else if (s->said_last && !s->relay && now - s->left_ns > s->a->conf.outage_ns)
		stream_break(s, "the peer does not let go of it");
	else if (s->state == STREAM_IDLE && s->we_open && now - s->born_ns > STREAM_AGE_NS)
		stream_close_soon(s);
}

/* Has a stream serve no other flow, if the path to its peer has become another since it was made.
 */
void stream_retire(struct stream *s)
{
	if (!s->we_open || s->dead || s->born_ns > atomic_load(&s->a->path_ns[s->peer]))
		return;
	s->retired = true;
	if (s->state == STREAM_IDLE)
		stream_close_soon(s);
}

static void retire(struct shard *sh, const struct errand *e)
{
	struct stream *s;

	rcu_read_lock();
	for (s = sh->streams; s; s = s->next)
		if (s->peer == e->peer)
			stream_retire(s);
	if (!sh->a->stopping)
		stream_refill(sh, e->peer);
	rcu_read_unlock();
}

/* The path to a peer carries packets of another size: no new flow gets a stream that was made
 * before. Any thread. */
void accel_path_changed(struct accel *a, unsigned peer)
{
	atomic_store(&a->path_ns[peer], clock_ns());
	accel_everywhere(a, &(struct errand){.run = retire, .peer = peer});
}

/* Whether there may be as many streams as there are. One peer leaves the others what they need to
 * have one at all. */
static bool may_have(const struct accel *a, unsigned peer)
{
	unsigned i, n = 0, others = STREAMS_IDLE * (a->conf.n_peers - 1);

	for (i = 0; i < a->n_shards; i++)
		n += a->shards[i].pools[peer].all;
	return a->n_streams <= a->limits.streams && n + others <= a->limits.streams;
}

static void take_over(void *arg)
{
	struct handover *h = arg;
	struct shard *sh = h->shard;
	struct accel *a = sh->a;
	struct stream *s = calloc(1, sizeof(*s));
	uint8_t hello[HELLO_LEN] = {0};
	BIO *in = inbox_new(a->inbox, h->fd), *out = outbox_new(a->outbox, h->fd, &sh->chunks);

	if (!s || !in || !out || a->stopping || !may_have(a, h->peer))
		goto fail;
	*s = (struct stream){.a = a,
			     .shard = sh,
			     .peer = h->peer,
			     .we_called = h->we_called,
			     .we_open = h->we_open,
			     .heard = h->we_called,
			     .ssl = h->ssl,
			     .io = {h->fd, ready, s},
			     .born_ns = clock_ns(),
			     .asked_for = h->asked_for};
	if (loop_add(sh->loop, &s->io, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET))
		goto fail;
	watch_silence(a, h->fd);
	stream_rtt_ns(s);
	SSL_set0_rbio(s->ssl, in);
	SSL_set0_wbio(s->ssl, out);
	SSL_set_read_ahead(s->ssl, 1);
	SSL_free_buffers(s->ssl); /* or they stay as short as the handshake needed them */
	SSL_set_default_read_buffer_len(s->ssl, STREAM_READ_AHEAD);
	stream_enter(s);
	store_be16(hello, STREAM_VERSION);
	hello[2] = h->we_called && !h->we_open;
	store_be32(hello + 4, a->instance);
	stream_send(s, RECORD_HELLO, hello, sizeof(hello));
	if (h->we_called && h->we_open) {
		relay_serve_waiting(sh, h->peer);
		stream_refill(sh, h->peer);
	}
	free(h);
	ready(s, EPOLLOUT); /* its HELLO, and what came with the handshake */
	return;
fail:
	if (h->asked_for)
		sh->pools[h->peer].coming--;
	stream_count(sh, h->peer, -1);
	free(s);
	BIO_free(in);
	BIO_free(out);
	SSL_free(h->ssl);
	close(h->fd);
	free(h);
}

/*
 * Hands over a connection whose handshake and pin check are done. Any thread;
 * nobody else may use it from then on.
 * @we_called: it was made by us
 * @we_open:   flows will be opened on it by us; if we were called, the peer says
 */
void accel_add_stream(struct accel *a, unsigned peer, int fd, SSL *ssl, bool we_called,
		      bool we_open)
{
	struct handover *h = malloc(sizeof(*h));
	struct shard *asked = h && we_called && we_open ? stream_asker(a, peer) : NULL;
	struct shard *to = asked ? asked : stream_fewest(a, peer);

	if (h)
		*h = (struct handover){to, peer, fd, ssl, we_called, we_open, asked != NULL};
	stream_count(to, peer, 1);
	if (h && !loop_post(to->loop, take_over, h))
		return;
	stream_count(to, peer, -1);
	if (asked)
		asked->pools[peer].coming--;
	free(h);
	SSL_free(ssl);
	close(fd);
}
