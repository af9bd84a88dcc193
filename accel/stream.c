// SPDX-License-Identifier: GPL-3.0-or-later
/* stream.c - TLS connections to peers: records in and out, a pool of idle ones */
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

#define STREAM_BUFFER  CREDIT_MAX /* more than credit allows is never on the way */
#define OUT_SMALL      4096	  /* bytes that wait for what is said after them in the same turn */
#define REFILL_WAIT_NS (5 * NS_PER_S)
#define REFILL_MAX     512 /* asked for at a time */
#define RTT_FRESH_NS   (40 * NS_PER_MS)

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

	sock_set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	sock_set(fd, IPPROTO_TCP, TCP_KEEPIDLE, idle > 0 ? idle : 1);
	sock_set(fd, IPPROTO_TCP, TCP_KEEPINTVL, idle > 0 ? idle : 1);
	sock_set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, KERNEL_PATIENCE * outage_ms);
	/* Else the path may be back for long before TCP tries again. Linux 6.15 and later. */
	sock_set(fd, IPPROTO_TCP, TCP_RTO_MAX_MS, RTO_MAX_MS);
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

/* ---- idle ones ---- */

/* A stream that we open flows on waits for the next. @warm: it has carried something */
static void to_idle(struct stream *s, bool warm)
{
	struct pool *p = &s->shard->pools[s->peer];

	s->state = STREAM_IDLE;
	s->warmer = warm ? NULL : p->coldest;
	s->colder = warm ? p->warmest : NULL;
	*(s->warmer ? &s->warmer->colder : &p->warmest) = s;
	*(s->colder ? &s->colder->warmer : &p->coldest) = s;
	p->idle++;
}

/* …and does so no more. */
static void from_idle(struct stream *s)
{
	struct pool *p = &s->shard->pools[s->peer];

	*(s->warmer ? &s->warmer->colder : &p->warmest) = s->colder;
	*(s->colder ? &s->colder->warmer : &p->coldest) = s->warmer;
	p->idle--;
}

/* Has an idle stream serve the next flow. */
void stream_prefer(struct stream *s)
{
	from_idle(s);
	to_idle(s, true);
}

/* No flow will be opened on a stream any more. */
static void leave_pool(struct stream *s)
{
	if (!s->heard || !s->we_open || s->state == STREAM_CLOSING)
		return;
	if (s->state == STREAM_IDLE)
		from_idle(s);
	s->shard->pools[s->peer].streams--;
}

/* ---- ending ---- */

static void to_dead(struct stream *s)
{
	if (s->dead)
		return;
	leave_pool(s);
	s->dead = true;
	s->next_dead = s->shard->dead_streams;
	s->shard->dead_streams = s;
}

/* Frees a stream that is dead, or all of them at the end. */
void stream_destroy(struct stream *s)
{
	if (s->prev)
		s->prev->next = s->next;
	else
		s->shard->streams = s->next;
	if (s->next)
		s->next->prev = s->prev;
	loop_remove(s->shard->loop, &s->io);
	SSL_free(s->ssl);
	close(s->io.fd);
	chunk_give(&s->shard->chunks, s->out);
	s->shard->pools[s->peer].open--;
	atomic_fetch_sub(&s->a->n_streams, 1);
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
	if (r) {
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
	leave_pool(s);
	s->state = STREAM_CLOSING;
	s->relay = NULL;
	s->closing_ns = clock_ns();
	stream_flush(s);
}

/* ---- writing ---- */

/* Whether all that was said has gone to the kernel. */
bool stream_is_flushed(const struct stream *s)
{
	return !s->out && !BIO_wpending(SSL_get_wbio(s->ssl));
}

/* Seals what waits. Returns 1: done; 0: not all of it now; -1: the stream must break. */
static int seal(struct stream *s)
{
	struct chunk *c = s->out;
	int n, error;

	while (c && c->pos < c->len) {
		ERR_clear_error();
		n = SSL_write(s->ssl, c->bytes + c->pos, (int)(c->len - c->pos));
		if (n > 0) {
			c->pos += (uint32_t)n;
			s->wrote += (uint32_t)n;
			continue;
		}
		error = SSL_get_error(s->ssl, n);
		return error == SSL_ERROR_WANT_WRITE || error == SSL_ERROR_WANT_READ ? 0 : -1;
	}
	s->out = NULL;
	chunk_give(&s->shard->chunks, c);
	return 1;
}

/* Writes what waits. Returns false if the stream is lost. */
bool stream_flush(struct stream *s)
{
	BIO *box = SSL_get_wbio(s->ssl);
	int ret;

	if (s->dead)
		return false;
	ret = seal(s);
	if (ret > 0 && BIO_flush(box) <= 0)
		ret = BIO_should_retry(box) ? 0 : -1;
	if (ret < 0)
		stream_break(s, "writing failed");
	if (ret <= 0)
		return !ret;
	if (s->state == STREAM_CLOSING && !s->sent_last) {
		s->sent_last = true;
		SSL_shutdown(s->ssl);
		shutdown(s->io.fd, SHUT_WR);
	}
	return true;
}

/*
 * Room in a stream's buffer for the longest record. NULL: the stream is lost.
 * What is put there is said by stream_said().
 */
uint8_t *stream_room(struct stream *s)
{
	if (!s->out)
		s->out = chunk_take(&s->shard->chunks);
	if (s->out)
		return s->out->bytes + s->out->len;
	stream_break(s, "memory is short");
	return NULL;
}

/* So many bytes more are in a stream's buffer, or none after all. They are written at the end of
 * the turn, so that what is said in a turn leaves together, or by stream_flush(). */
void stream_said(struct stream *s, uint32_t len)
{
	s->out->len += len;
	if (!s->out->len) {
		chunk_give(&s->shard->chunks, s->out);
		s->out = NULL;
	} else if (!s->said) {
		s->said = true;
		s->next_said = s->shard->said;
		s->shard->said = s;
	}
}

/*
 * Whether a stream's buffer has room for the longest record. What is in it is
 * written first, unless that is so little that it had better go with the record.
 */
bool stream_takes_more(struct stream *s)
{
	bool little = !s->out || (s->out->len <= OUT_SMALL && !s->out->pos);

	if (little && !BIO_wpending(SSL_get_wbio(s->ssl)))
		return !s->dead;
	return stream_flush(s) && stream_is_flushed(s);
}

/* Says something on a stream; it is written at the end of the turn, or by stream_flush(). */
void stream_send(struct stream *s, enum record_type type, const void *payload, uint32_t len)
{
	bool of_flow = type != RECORD_HELLO && type != RECORD_TUPLES && type != RECORD_TUPLES_END &&
		       type != RECORD_PAD;
	struct record r = {.type = (uint8_t)type,
			   .len = len,
			   .flow = of_flow ? s->flow : 0,
			   .generation = of_flow ? s->generation : 0};

	if (s->dead || s->state == STREAM_CLOSING)
		return;
	if (!s->out)
		s->out = chunk_take(&s->shard->chunks);
	if (!s->out || s->out->len + RECORD_HDR_LEN + len > CHUNK_ROOM) {
		stream_break(s, s->out ? "the peer does not read what we say" : "memory is short");
		return;
	}
	record_store(s->out->bytes + s->out->len, &r);
	if (len)
		memcpy(s->out->bytes + s->out->len + RECORD_HDR_LEN, payload, len);
	stream_said(s, RECORD_HDR_LEN + len);
}

/* ---- reading ---- */

static void hello_come(struct stream *s, const uint8_t *payload)
{
	struct pool *p = &s->shard->pools[s->peer];

	if (s->instance || load_be16(payload) != STREAM_VERSION || payload[2] > 1 || payload[3] ||
	    !load_be32(payload + 4)) {
		protocol_error(s);
		return;
	}
	memory_met(s, load_be32(payload + 4));
	if (s->we_called)
		return; /* who opens flows was ours to say */
	s->heard = true;
	s->we_open = payload[2];
	if (!s->we_open)
		return;
	p->streams++;
	to_idle(s, false);
	if (p->asked)
		p->asked--;
	stream_refill(s->shard, s->peer);
}

static void open_come(struct stream *s, const struct record *rec, const uint8_t *payload)
{
	struct open_record o;

	if (s->a->stopping) {
		stream_break(s, "we are ending");
		return;
	}
	if (s->we_open || s->state != STREAM_IDLE || s->relay || !s->heard || !s->instance ||
	    rec->generation != s->generation + 1 || !open_parse(payload, &o)) {
		protocol_error(s);
		return;
	}
	s->flow = rec->flow;
	s->generation = rec->generation;
	s->state = STREAM_BUSY;
	s->padding = false;
	s->flows++;
	relay_opened_by_peer(s, &o);
}

/* Takes a record that is whole. */
static void record_come(struct stream *s, const struct record *rec, const uint8_t *payload)
{
	bool current = rec->flow == s->flow && rec->generation == s->generation;

	if (rec->type == RECORD_HELLO)
		hello_come(s, payload);
	else if (rec->type == RECORD_OPEN)
		open_come(s, rec, payload);
	else if (!s->instance)
		protocol_error(s);
	else if (rec->type == RECORD_TUPLES)
		memory_tuples(s, payload, rec->len);
	else if (rec->type == RECORD_TUPLES_END)
		memory_told(s, payload[0]);
	else if (!s->heard || !current)
		protocol_error(s);
	else if (s->relay)
		relay_record(s->relay, rec, payload);
	/* else it crossed the end of its flow */
}

static void data_come(struct stream *s, const struct record_reader *r)
{
	if (r->now.flow != s->flow || r->now.generation != s->generation)
		protocol_error(s);
	else if (s->relay && !pump_in(s->relay, r->piece, r->piece_len))
		protocol_error(s);
}

/* Part of a record that may be long. */
static void piece_come(struct stream *s, const struct record_reader *r)
{
	if (r->now.type == RECORD_DATA)
		data_come(s, r);
	else if (!s->instance)
		protocol_error(s);
	else
		warm_padded(s);
}

static void take_records(struct stream *s, const uint8_t *at, size_t len)
{
	enum record_event ev;

	while (!s->dead && s->state != STREAM_CLOSING &&
	       (ev = record_next(&s->reader, &at, &len)) != RECORD_MORE) {
		if (ev == RECORD_PIECE)
			piece_come(s, &s->reader);
		else if (ev == RECORD_WHOLE)
			record_come(s, &s->reader.now, s->reader.payload);
		else
			protocol_error(s);
	}
}

/* Fills the thread's buffer. Returns how much came; *ret as SSL_read() has it if there is no more.
 */
static size_t fill(struct stream *s, int *ret)
{
	size_t len = 0;

	for (*ret = 1; len < SCRATCH; len += (size_t)*ret) {
		ERR_clear_error();
		*ret = SSL_read(s->ssl, s->shard->scratch + len, (int)(SCRATCH - len));
		if (*ret <= 0)
			break;
	}
	return len;
}

/* Reads what has come. */
void stream_read(struct stream *s)
{
	unsigned turn;
	size_t len;
	int ret, error;

	if (s->pending)
		return; /* its turn is over */
	for (turn = 0; !s->dead; turn++) {
		if (turn == STREAM_TURNS_MAX) {
			s->pending = true;
			s->next_pending = s->shard->pending_streams;
			s->shard->pending_streams = s;
			return;
		}
		len = fill(s, &ret);
		error = ret <= 0 ? SSL_get_error(s->ssl, ret) : SSL_ERROR_NONE;
		take_records(s, s->shard->scratch, len);
		if (error == SSL_ERROR_NONE)
			continue;
		if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
			stream_break(s, "it was closed");
		return;
	}
}

static void ready(void *ctx, uint32_t events)
{
	struct stream *s = ctx;

	if (s->dead)
		return;
	shard_gather(s->shard);
	rcu_read_lock();
	if (events & EPOLLOUT && !stream_is_flushed(s) && stream_flush(s) && s->relay &&
	    stream_is_flushed(s))
		pump_out(s->relay);
	else if (events & EPOLLOUT && s->padding)
		warm_go(s);
	stream_read(s);
	rcu_read_unlock();
}

/* ---- the pool ---- */

/* How many idle streams to have besides those that flows wait for: more when flows become more, but
 * no more than there may be. */
static unsigned spare(struct shard *sh, struct pool *p, uint64_t now)
{
	unsigned most = sh->a->limits.streams, open = atomic_load(&sh->a->n_streams);
	unsigned ahead = demand_ahead(&p->demand, now, p->streams - p->idle + p->waiting);
	unsigned room = open < most ? (most - open) / 4 : 0;

	ahead = ahead < STREAMS_AHEAD ? ahead : STREAMS_AHEAD;
	return STREAMS_SPARE + (ahead < room ? ahead : room);
}

/* Has the tunnel make as many streams as the next flows may need, and closes what they hardly will.
 */
void stream_refill(struct shard *sh, unsigned peer)
{
	struct accel *a = sh->a;
	struct pool *p = &sh->pools[peer];
	uint64_t now = clock_ns();
	unsigned kept = spare(sh, p, now), want = kept + p->waiting;

	/* What was asked for and has not come by now never will. */
	if (p->asked && now - p->asked_ns > REFILL_WAIT_NS)
		p->asked = 0;
	if (a->stopping)
		return;
	while (p->idle > STREAMS_IDLE + 2 * (kept - STREAMS_SPARE))
		stream_close_soon(p->coldest);
	if (p->idle + p->asked >= want || atomic_load(&a->n_streams) >= a->limits.streams)
		return;
	want -= p->idle + p->asked;
	if (want > REFILL_MAX)
		want = REFILL_MAX;
	p->asked += want;
	p->asked_ns = now;
	a->host.open_streams(a->host.ctx, peer, want);
}

/* Takes an idle stream for a new flow, the one that was used last; NULL: there is none. */
struct stream *stream_take(struct shard *sh, unsigned peer)
{
	struct pool *p = &sh->pools[peer];
	struct stream *s = p->warmest;

	if (s) {
		from_idle(s);
		s->state = STREAM_BUSY;
		s->padding = false;
		s->generation++;
		s->flow = ++p->next_flow;
		s->flows++;
	}
	stream_refill(sh, peer);
	return s;
}

/* A stream's flow is over, and both sides know: the next one may have it. */
void stream_free_for_next(struct stream *s)
{
	s->relay = NULL;
	s->meter = (struct credit_meter){0};
	if (s->dead)
		return;
	if (!s->we_open) {
		s->state = STREAM_IDLE;
		return;
	}
	to_idle(s, true);
	if (s->retired || clock_ns() - s->born_ns > STREAM_AGE_NS)
		stream_close_soon(s);
	stream_refill(s->shard, s->peer);
}

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
	}
	return s ? s->rtt_ns : 0;
}

/* Has TCP hold no less than it needs to be busy, and no more, of what it has not sent yet. */
static void limit_unsent(struct stream *s, uint64_t now)
{
	uint64_t rate = credit_measure(&s->meter, now, s->relay->sent, 0);
	uint32_t limit = credit_unsent(rate);

	if (!rate || limit == s->unsent_limit)
		return;
	sock_set(s->io.fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, (int)limit);
	s->unsent_limit = limit;
}

/* Ends what takes too long to end, and what is too old. */
void stream_tick(struct stream *s, uint64_t now)
{
	if (s->dead)
		return;
	if (s->relay)
		limit_unsent(s, now);
	if (is_silent(s, now)) {
		stream_break(s, "the peer has been silent for the outage");
		return;
	}
	if (s->state == STREAM_CLOSING && now - s->closing_ns > STREAM_CLOSE_NS)
		to_dead(s);
	else if (s->state == STREAM_IDLE && s->we_open && now - s->born_ns > STREAM_AGE_NS)
		stream_close_soon(s);
}

struct other_path {
	struct shard *shard;
	unsigned peer;
};

static void retire(void *arg)
{
	struct other_path *n = arg;
	struct stream *s;

	rcu_read_lock();
	for (s = n->shard->streams; s; s = s->next) {
		if (s->peer != n->peer || !s->we_open || s->dead)
			continue;
		s->retired = true;
		if (s->state == STREAM_IDLE)
			stream_close_soon(s);
	}
	if (!n->shard->a->stopping)
		stream_refill(n->shard, n->peer);
	rcu_read_unlock();
	free(n);
}

/* The path to a peer carries packets of another size: no new flow gets a stream that was made
 * before. Any thread. */
void accel_path_changed(struct accel *a, unsigned peer)
{
	struct other_path *n = malloc(sizeof(*n));

	if (n)
		*n = (struct other_path){a->shards, peer};
	if (n && loop_post(a->shards->loop, retire, n))
		free(n);
}

/* One peer leaves the others what they need to have one at all. */
static bool may_have_more(const struct shard *sh, unsigned peer)
{
	const struct accel *a = sh->a;
	unsigned others = STREAMS_IDLE * (a->conf.n_peers - 1);

	return atomic_load(&a->n_streams) < a->limits.streams &&
	       sh->pools[peer].open + others < a->limits.streams;
}

static void take_over(void *arg)
{
	struct handover *h = arg;
	struct shard *sh = h->shard;
	struct accel *a = sh->a;
	struct stream *s = calloc(1, sizeof(*s));
	uint8_t hello[HELLO_LEN] = {0};
	BIO *box = outbox_new(a->outbox, h->fd, &sh->chunks);

	if (!s || !box || a->stopping || !may_have_more(sh, h->peer))
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
			     .next = sh->streams};
	if (loop_add(sh->loop, &s->io, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET))
		goto fail;
	watch_silence(a, h->fd);
	SSL_set0_wbio(s->ssl, box);
	SSL_set_read_ahead(s->ssl, 1);
	SSL_free_buffers(s->ssl); /* or they stay as short as the handshake needed them */
	SSL_set_default_read_buffer_len(s->ssl, STREAM_READ_AHEAD);
	if (s->next)
		s->next->prev = s;
	sh->streams = s;
	sh->pools[h->peer].open++;
	atomic_fetch_add(&a->n_streams, 1);
	if (h->we_called && h->we_open) {
		sh->pools[h->peer].streams++;
		to_idle(s, false);
		if (sh->pools[h->peer].asked)
			sh->pools[h->peer].asked--;
		stream_refill(sh, h->peer);
	}
	store_be16(hello, STREAM_VERSION);
	hello[2] = h->we_called && !h->we_open;
	store_be32(hello + 4, a->instance);
	stream_send(s, RECORD_HELLO, hello, sizeof(hello));
	free(h);
	ready(s, EPOLLOUT); /* its HELLO, and what came with the handshake */
	return;
fail:
	free(s);
	BIO_free(box);
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

	if (h)
		*h = (struct handover){a->shards, peer, fd, ssl, we_called, we_open};
	if (h && !loop_post(a->shards->loop, take_over, h))
		return;
	free(h);
	SSL_free(ssl);
	close(fd);
}
