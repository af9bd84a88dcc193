// SPDX-License-Identifier: GPL-3.0-or-later
/* pump.c - bytes between a host's socket and a stream, both directions */
/*
 * Theory of operation
 *
 *	host ─▶ stack ─▶ socket ─ recv ─▶ stream's buffer ─ TLS ─▶ peer
 *	host ◀─ stack ◀─ socket ◀─ send ── (queue) ◀── TLS ──────── peer
 *
 * Outwards, the socket is read only when the stream's buffer has room and the
 * peer has given credit, so what a slow path or a slow host does not take
 * stays with the sender's host, by TCP's own window. Of a flow with several
 * streams (stripes.c) the next piece goes to one whose buffer is empty.
 *
 * Inwards, what the socket does not take is queued. The queue never holds more
 * than the window that we have granted (struct relay.window); bytes are
 * credited back as the socket takes them. So a stream can always be read to
 * its end: a RESET is never stuck behind the data of a host that has stopped
 * reading, and a stalled host costs its own window and nothing of others.
 *
 * The host's FIN does not end reading, the stack has not got it: its place in
 * sequence space is known (struct flow.fin_seq), and when all bytes before it
 * were read, the direction has ended. The other way, the socket is shut down
 * when FIN has come and the queue is empty; nothing is left of what the stack
 * has to send when the host has acknowledged all.
 *
 * Sockets are watched for edges, so nothing is told to epoll while data flow.
 * One that gave less than was asked for is empty: more makes an edge. A bulk
 * flow's has got more meanwhile, and is read on. At urgent data reading stops,
 * whatever is behind it, so then it is read until it says that it is empty.
 */
#include "accel/inbox.h"
#include "accel/internal.h"

#include "lib/log.h"
#include "lib/sock.h"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static bool attached(const struct relay *r)
{
	return r->life.phase == LIFE_OPEN && r->io.fd >= 0;
}

/* Has a relay's sending go on at the end of this turn. */
void pump_later(struct relay *r)
{
	if (r->pending)
		return;
	r->pending = true;
	r->next_pending = r->shard->pending_relays;
	r->shard->pending_relays = r;
}

/* Limits what a socket to a host holds to what was granted. A host that does not read, or whose
 * peer does not, fills it; the kernel knows when that becomes too much only for all of TCP
 * together, and then streams suffer, too. */
static void limit_buffers(const struct relay *r, int fd)
{
	if (r->buffers >= LAN_MAX)
		return;
	/* The kernel doubles what it is given. */
	sock_set(fd, SOL_SOCKET, SO_RCVBUFFORCE, (int)(r->buffers / 4));
	sock_set(fd, SOL_SOCKET, SO_SNDBUFFORCE, (int)(r->buffers / 4));
}

/* Gives a relay its socket to the host. */
void pump_attach(struct relay *r, int fd)
{
	r->io = (struct loop_io){fd, pump_socket_ready, r};
	/* A client has often said something by now. */
	r->readable = r->life.role == LIFE_NEAR;
	limit_buffers(r, fd);
	loop_add(r->shard->loop, &r->io, EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

/* Takes the socket away from a relay. @abort: with RST to the host */
void pump_release(struct relay *r, bool abort)
{
	struct linger now = {1, 0};
	struct chunk *c;

	while ((c = r->queue)) {
		r->queue = c->next;
		chunk_give(&r->shard->chunks, c);
	}
	r->queued = 0;
	if (r->io.fd < 0)
		return;
	if (abort)
		setsockopt(r->io.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	loop_close(r->shard->loop, &r->io);
}

static bool at_fin(const struct relay *r)
{
	struct flow *f = r->flow;

	return atomic_load(&f->fin) != FLOW_FIN_NONE && f->fin_seq - f->first == r->got;
}

#define DATA_AT (RECORD_HDR_LEN + RECORD_DATA_HDR)

/* A DATA record is whole whose bytes are in a stream's buffer already. @at: of its header */
static void say_data(struct stream *s, uint8_t *at, uint64_t offset, size_t len)
{
	struct record rec = {.len = (uint32_t)len, .flow = s->flow, .generation = s->generation};

	record_store_data(at, rec, offset);
	s->sent += len;
	stream_said(s, DATA_AT + (uint32_t)len);
}

/* How much of a flow goes on a stream at a time: so much that a slow stripe does not keep what
 * others could carry sooner. */
static size_t piece(const struct relay *r, const struct stream *s)
{
	uint64_t bytes = s->rate / 50;

	if (!r->striped || bytes > RECORD_DATA_MAX)
		return RECORD_DATA_MAX;
	return bytes < STRIPE_PIECE_MIN ? STRIPE_PIECE_MIN : (size_t)bytes;
}

/* Reads once from the host for a stream, which has little to write. */
static void pump_once(struct relay *r, struct stream *s, size_t want)
{
	uint8_t *at = stream_room(s);
	uint64_t offset = r->sent;
	ssize_t n;

	if (!at)
		return;
	if (!r->sent)
		stripes_begin(r);
	if (want > piece(r, s))
		want = piece(r, s);
	n = recv(r->io.fd, at + DATA_AT, want, MSG_DONTWAIT);
	r->readable = n == (ssize_t)want || n >= MANY_BYTES || (n > 0 && r->urgent);
	if (n <= 0) {
		stream_said(s, 0);
		/* 0: the stack has got the FIN that we released. */
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			relay_event(r, LIFE_EV_host_reset);
		return;
	}
	r->shard->moved += (uint64_t)n;
	r->got += (uint32_t)n;
	r->sent += (uint64_t)n;
	counter_add(&r->shard->bytes_out, (uint64_t)n);
	if (!stripes_keep(r, s, at + DATA_AT, (size_t)n)) {
		stream_said(s, 0);
		relay_event(r, LIFE_EV_kill);
		return;
	}
	say_data(s, at, offset, (size_t)n);
}

/* Sends once more what a lost stripe carried. */
static void pump_again(struct relay *r, struct stream *s)
{
	uint8_t *at = stream_room(s);
	uint64_t offset;
	size_t n;

	if (!at)
		return;
	n = stripes_send_again(r, s, at + DATA_AT, piece(r, s), &offset);
	if (n) {
		say_data(s, at, offset, n);
		return;
	}
	stream_said(s, 0);
	relay_event(r, LIFE_EV_kill);
}

/* How many new bytes may be sent. */
static size_t may_send(struct relay *r)
{
	size_t room = stripes_room(r);

	return r->limit - r->sent < room ? (size_t)(r->limit - r->sent) : room;
}

/* Moves what the host has sent to the stream, as far as that takes it. */
void pump_out(struct relay *r)
{
	struct stream *s;
	unsigned turn;
	bool again;

	for (turn = 0; attached(r) && r->stream; turn++) {
		again = r->copies.out.again;
		if (!again && !r->life.host_fin && at_fin(r)) {
			relay_event(r, LIFE_EV_host_eof);
			return;
		}
		if (!again && (r->life.host_fin || !r->readable || !may_send(r)))
			return;
		/* If what was said before cannot go first, the stream tells when. */
		s = stripes_writable(r);
		if (!s)
			return;
		if (turn == TURNS_MAX) {
			pump_later(r);
			return;
		}
		if (again)
			pump_again(r, s);
		else
			pump_once(r, s, may_send(r));
	}
}

/* Grants the peer what it may send beyond what the host has taken, to begin with. */
void pump_open_window(struct relay *r)
{
	uint64_t known = r->a->conf.rate_bps[r->stream->peer] / 8;
	uint32_t wanted = credit_window(stream_rtt_ns(r->stream),
					known ? known : CREDIT_FIRST_RATE);

	r->window += credit_grant(&r->a->budget, r->window, wanted, r->a->n_relays);
}

/* How many more bytes the peer may have under way than until now, as fast as they come. */
static uint32_t widen(struct relay *r)
{
	uint64_t now = clock_ns(), known = r->a->conf.rate_bps[r->stream->peer] / 8, rtt, rate;
	uint32_t wanted;

	if (now - r->meter.since_ns < CREDIT_MEASURE_NS)
		return 0; /* without asking the kernel */
	rtt = stream_rtt_ns(r->stream);
	rate = credit_measure(&r->meter, now, r->received, rtt);
	if (known && rate > known)
		rate = known;
	wanted = rate ? credit_window(rtt, rate) : 0;
	return credit_grant(&r->a->budget, r->window, wanted, r->a->n_relays);
}

/* Grants again what the host has taken. */
static void credit_back(struct relay *r)
{
	uint64_t least = r->window / 16;
	uint8_t payload[CREDIT_LEN];

	if (r->striped && least > STRIPES_CREDIT)
		least = STRIPES_CREDIT;
	if (!r->stream || r->life.done_sent || r->taken - r->told < least)
		return;
	r->window += widen(r);
	r->told = r->taken;
	credit_store(payload, &(struct credit_record){r->told, r->window});
	stripes_say(r, RECORD_CREDIT, payload, sizeof(payload));
}

static bool enqueue(struct relay *r, const uint8_t *bytes, size_t len)
{
	struct chunk *c;

	/* The last one has room for what follows. */
	if (r->queue) {
		c = caa_container_of(r->queue_end, struct chunk, next);
		if (CHUNK_ROOM >= c->len + len) {
			memcpy(c->bytes + c->len, bytes, len);
			c->len += (uint32_t)len;
			r->queued += len;
			return true;
		}
	}
	c = chunk_take(&r->shard->chunks);
	if (!c)
		return false;
	c->len = (uint32_t)len;
	memcpy(c->bytes, bytes, len);
	if (!r->queue)
		r->queue_end = &r->queue;
	*r->queue_end = c;
	r->queue_end = &c->next;
	r->queued += len;
	return true;
}

/* Writes to the host. @last: FIN follows at once, and may go with it. Returns how much it took, -1:
 * the connection is lost. */
static ssize_t write_host(struct relay *r, const uint8_t *bytes, size_t len, bool last)
{
	ssize_t n = send(r->io.fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL | (last ? MSG_MORE : 0));

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	r->taken += (uint64_t)n;
	return n;
}

/* Writes what is queued, and FIN behind it. */
void pump_flush(struct relay *r)
{
	struct chunk *c;
	ssize_t n;

	while (attached(r) && (c = r->queue)) {
		n = write_host(r, c->bytes + c->pos, c->len - c->pos, r->life.peer_fin && !c->next);
		if (n < 0) {
			relay_event(r, LIFE_EV_host_reset);
			return;
		}
		c->pos += (uint32_t)n;
		r->queued -= (uint64_t)n;
		if (c->pos < c->len)
			break;
		r->queue = c->next;
		chunk_give(&r->shard->chunks, c);
	}
	if (!attached(r))
		return;
	credit_back(r);
	if (!r->queue && r->life.peer_fin && !r->shut) {
		r->shut = true;
		shutdown(r->io.fd, SHUT_WR); /* that it is acknowledged is an event */
	}
}

/*
 * Takes bytes from the peer.
 * @offset: of the first one in the flow
 * @last: they have come together with the peer's FIN, which is told of next
 * Returns false if the peer has sent what it may not, or memory is short.
 */
bool pump_in(struct relay *r, uint64_t offset, const uint8_t *bytes, size_t len, bool last)
{
	uint64_t limit = r->told + r->window;

	if (offset > limit || len > limit - offset ||
	    (r->life.phase != LIFE_OPEN && r->life.phase != LIFE_ACCEPTING))
		return false;
	if (r->striped)
		return stripes_in(r, offset, bytes, len);
	return !r->life.peer_fin && offset == r->received && pump_pass(r, bytes, len, last);
}

/* Passes bytes, which are the next in order, on to the host. @last: FIN follows at once. Returns
 * false if memory is short. */
bool pump_pass(struct relay *r, const uint8_t *bytes, size_t len, bool last)
{
	ssize_t n = 0;

	r->received += len;
	r->shard->moved += len;
	counter_add(&r->shard->bytes_in, len);
	if (!r->queue && attached(r)) {
		n = write_host(r, bytes, len, last);
		if (n < 0) {
			relay_event(r, LIFE_EV_host_reset);
			return true;
		}
		credit_back(r);
	}
	return (size_t)n == len || enqueue(r, bytes + n, len - (size_t)n);
}

/* Whether the host has acknowledged our FIN: then nothing is left of what the stack has to send,
 * where it counts as a byte. */
void pump_check_acked(struct relay *r)
{
	int left;

	if (r->shut && !r->life.host_acked && attached(r) && !ioctl(r->io.fd, SIOCOUTQ, &left) &&
	    !left)
		relay_event(r, LIFE_EV_host_acked);
}

/*
 * Finds a host that has died with data under way to it: keepalive is for idle
 * connections, and TCP alone would go on for a quarter of an hour. As long as
 * keepalive takes (pump_attach()). A host whose window is closed answers
 * probes, and has nothing under way. TCP_USER_TIMEOUT would end it all the same.
 */
void pump_check_alive(struct relay *r, uint64_t now)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	if (now - r->looked_ns < NS_PER_S || r->ended || !attached(r))
		return;
	r->looked_ns = now;
	if (!getsockopt(r->io.fd, IPPROTO_TCP, TCP_INFO, &info, &len) && info.tcpi_unacked &&
	    info.tcpi_retransmits > 1 &&
	    info.tcpi_last_ack_recv * NS_PER_MS > 2 * r->a->conf.outage_ns)
		relay_event(r, LIFE_EV_host_reset);
}

static void connect_answered(struct relay *r, int error)
{
	struct flow *f = r->flow;

	if (!error) {
		relay_event(r, LIFE_EV_connected);
		return;
	}
	r->refuse = error == ECONNREFUSED ? REFUSE_rst
		    : error == ETIMEDOUT  ? REFUSE_timeout
					  : REFUSE_local;
	if (atomic_load(&f->has_error)) {
		pthread_mutex_lock(&f->lock);
		r->error = f->error;
		pthread_mutex_unlock(&f->lock);
		r->refuse = REFUSE_icmp;
	}
	relay_event(r, LIFE_EV_connect_failed);
}

/* Something has happened to a socket. */
void pump_socket_ready(void *ctx, uint32_t events)
{
	struct relay *r = ctx;
	int error = 0;
	socklen_t len = sizeof(error);

	shard_gather(r->shard);
	rcu_read_lock();
	if (events & EPOLLERR)
		getsockopt(r->io.fd, SOL_SOCKET, SO_ERROR, &error, &len);
	/* A server may have spoken by the time that it is connected, and it is said once. */
	r->readable |= events & (EPOLLIN | EPOLLRDHUP | EPOLLPRI);
	r->urgent |= events & EPOLLPRI;
	if (r->life.phase == LIFE_CONNECTING) {
		if (error || events & EPOLLOUT)
			connect_answered(r, error);
	} else if (error) {
		relay_event(r, LIFE_EV_host_reset);
	} else {
		pump_flush(r);
		pump_check_acked(r);
		pump_out(r);
	}
	rcu_read_unlock();
}
