// SPDX-License-Identifier: GPL-3.0-or-later
/* many.c - thousands of TCP connections at a time, every byte of which is compared */
/*
 *	many serve ADDRESS PORT
 *	many open ADDRESS PORT COUNT RATE WAITING
 *
 * The server sends back each byte inverted, and ends a connection when its
 * client has. The client makes COUNT connections, RATE a second and WAITING not
 * yet made at most at a time, says so on standard output, and then does what it
 * is told on standard input, a line each, answered by a line of JSON each:
 *
 *	round BYTES STEP	every STEP-th connection sends so many, and gets them back
 *	close			every connection is ended, and waits for the server's end
 *
 * It ends with its input. Each connection's bytes are another stretch of a
 * table without repetition, so one connection's cannot pass for another's.
 */
#include "lib/clock.h"
#include "tests/tools/conn.h"

#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <unistd.h>

#define TABLE	    65536
#define PIECE	    16384
#define EVENTS	    256
#define PATIENCE_MS 120000 /* without anything happening */
#define EDGES	    (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)

/* Each connection takes a descriptor. */
static void want_descriptors(void)
{
	struct rlimit l;

	if (!getrlimit(RLIMIT_NOFILE, &l)) {
		l.rlim_cur = l.rlim_max;
		setrlimit(RLIMIT_NOFILE, &l);
	}
}

/* ---- the server ---- */

struct guest {
	int fd;
	unsigned at, len; /* of what is to be sent back */
	uint8_t held[PIECE];
};

/* Returns false when the connection is over. */
static bool send_back(struct guest *g)
{
	ssize_t n;
	unsigned i;

	for (;;) {
		while (g->at < g->len) {
			n = send(g->fd, g->held + g->at, g->len - g->at, MSG_NOSIGNAL);
			if (n < 0)
				return errno == EAGAIN;
			g->at += (unsigned)n;
		}
		n = recv(g->fd, g->held, PIECE, 0);
		if (n <= 0)
			return n < 0 && errno == EAGAIN;
		for (i = 0; i < (unsigned)n; i++)
			g->held[i] = (uint8_t)~g->held[i];
		g->at = 0;
		g->len = (unsigned)n;
	}
}

static void take_guests(int epoll, int listener)
{
	struct guest *g;
	int fd;

	while ((fd = conn_accept(listener)) >= 0) {
		g = calloc(1, sizeof(*g));
		if (!g)
			conn_fail("memory");
		g->fd = fd;
		conn_watch(epoll, EPOLL_CTL_ADD, fd, EDGES, g);
	}
}

static _Noreturn void serve(char **argv)
{
	struct sockaddr_in sin = conn_place(argv);
	struct epoll_event events[EVENTS];
	int epoll = epoll_create1(EPOLL_CLOEXEC), n, i;
	int listener = conn_listen(&sin);

	conn_watch(epoll, EPOLL_CTL_ADD, listener, EDGES, NULL);
	for (;;) {
		n = epoll_wait(epoll, events, EVENTS, -1);
		for (i = 0; i < n; i++) {
			struct guest *g = events[i].data.ptr;

			if (!g) {
				take_guests(epoll, listener);
			} else if (!send_back(g)) {
				close(g->fd);
				free(g);
			}
		}
	}
}

/* ---- the client ---- */

struct flow {
	int fd; /* -1: none, or it is over */
	unsigned number;
	bool connected, busy, ending, lost, wrong;
	uint64_t sent, got, target; /* bytes, of all rounds */
	uint64_t began_ns, took_ns;
};

struct client {
	struct flow *flows;
	unsigned n, waiting; /* flows for which something is awaited */
	int epoll;
	uint8_t plain[2 * TABLE], inverted[2 * TABLE];
};

static void fill_table(struct client *c)
{
	uint64_t x = 88172645463325252ull; /* xorshift64 (Marsaglia 2003) */
	unsigned i;

	for (i = 0; i < TABLE; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		c->plain[i] = c->plain[i + TABLE] = (uint8_t)(x >> 24);
		c->inverted[i] = c->inverted[i + TABLE] = (uint8_t)~c->plain[i];
	}
}

/* Where a connection's bytes from a position on are in the table; TABLE of them lie there. */
static unsigned place(const struct flow *f, uint64_t at)
{
	return (unsigned)((f->number * 40503ull + at) % TABLE);
}

static void is_done(struct client *c, struct flow *f)
{
	f->took_ns = clock_ns() - f->began_ns;
	f->busy = false;
	c->waiting--;
}

static void is_over(struct client *c, struct flow *f, bool lost)
{
	f->lost |= lost;
	close(f->fd);
	f->fd = -1;
	if (f->busy)
		is_done(c, f);
}

/* Sends what is still to be sent. Returns false if the connection is lost. */
static bool say(const struct client *c, struct flow *f)
{
	ssize_t n;

	while (f->sent < f->target) {
		uint64_t left = f->target - f->sent;

		n = send(f->fd, c->plain + place(f, f->sent), left < TABLE ? left : TABLE,
			 MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN;
		f->sent += (uint64_t)n;
	}
	return true;
}

/* Reads and compares what has come. */
static void hear(struct client *c, struct flow *f)
{
	uint8_t bytes[PIECE];
	ssize_t n;

	while ((n = recv(f->fd, bytes, sizeof(bytes), 0)) > 0) {
		f->wrong |= memcmp(bytes, c->inverted + place(f, f->got), (size_t)n) != 0;
		f->got += (uint64_t)n;
		f->wrong |= f->got > f->target;
		if (f->busy && !f->ending && f->got == f->target)
			is_done(c, f);
	}
	if (n < 0 && errno == EAGAIN)
		return;
	/* The end: of a connection that we have ended, and that has all, it is right. */
	is_over(c, f, n < 0 || !f->ending || f->got != f->target);
}

static void happened(struct client *c, struct flow *f, uint32_t events)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (f->fd < 0)
		return;
	if (!f->connected) {
		if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
			return;
		getsockopt(f->fd, SOL_SOCKET, SO_ERROR, &error, &len);
		if (error) {
			is_over(c, f, true);
			return;
		}
		f->connected = true;
		is_done(c, f);
	}
	if (!say(c, f))
		is_over(c, f, true);
	else
		hear(c, f);
}

/* Does what happens, for a while. Returns how much did. */
static int turn(struct client *c, int ms)
{
	struct epoll_event events[EVENTS];
	int n = epoll_wait(c->epoll, events, EVENTS, ms), i;

	for (i = 0; i < n; i++)
		happened(c, events[i].data.ptr, events[i].events);
	return n;
}

static void wait_for_all(struct client *c)
{
	while (c->waiting && turn(c, PATIENCE_MS) > 0)
		;
}

static int by_time(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Tells of all connections, and what the last thing took those that took part in it. */
static void tell(struct client *c, uint64_t began_ns)
{
	unsigned i, n = 0, connected = 0, wrong = 0, lost = 0, over = 0;
	uint64_t *took = calloc(c->n, sizeof(*took)), bytes = 0, ns = clock_ns() - began_ns;

	for (i = 0; i < c->n; i++) {
		const struct flow *f = &c->flows[i];

		connected += f->connected;
		wrong += f->wrong;
		lost += f->lost;
		over += f->fd < 0;
		bytes += f->got;
		if (took && f->took_ns && f->began_ns >= began_ns)
			took[n++] = f->took_ns;
	}
	if (n)
		qsort(took, n, sizeof(*took), by_time);
	printf("{\"connected\": %u, \"waiting\": %u, \"wrong\": %u, \"lost\": %u, \"over\": %u, "
	       "\"bytes\": %llu, \"seconds\": %.3f, \"took_ms\": [%.3f, %.3f, %.3f]}\n",
	       connected, c->waiting, wrong, lost, over, (unsigned long long)bytes,
	       (double)ns / 1e9, n ? (double)took[n / 2] / 1e6 : 0.0,
	       n ? (double)took[n * 99 / 100] / 1e6 : 0.0, n ? (double)took[n - 1] / 1e6 : 0.0);
	fflush(stdout);
	free(took);
}

static void begin(struct client *c, struct flow *f)
{
	f->busy = true;
	f->took_ns = 0;
	f->began_ns = clock_ns();
	c->waiting++;
}

static void connect_all(struct client *c, const struct sockaddr_in *to, unsigned rate,
			unsigned waiting)
{
	uint64_t began = clock_ns(), due, now;
	struct ports ports = {0};
	unsigned i, one = 1;

	for (i = 0; i < c->n; i++) {
		struct flow *f = &c->flows[i];

		f->number = i;
		begin(c, f);
		f->fd = conn_open(&ports, to);
		setsockopt(f->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		conn_watch(c->epoll, EPOLL_CTL_ADD, f->fd, EDGES, f);
		due = began + (i + 1) * NS_PER_S / rate;
		turn(c, 0); /* those that are made are seen in time, also if we are late */
		while (c->waiting >= waiting && turn(c, PATIENCE_MS) > 0)
			;
		while ((now = clock_ns()) < due)
			turn(c, (int)((due - now) / NS_PER_MS));
	}
	wait_for_all(c);
	tell(c, began);
}

static void go_round(struct client *c, uint64_t bytes, unsigned step)
{
	uint64_t began = clock_ns();
	unsigned i;

	for (i = 0; i < c->n; i += step) {
		struct flow *f = &c->flows[i];

		if (f->fd < 0)
			continue;
		f->target += bytes;
		begin(c, f);
		if (!say(c, f))
			is_over(c, f, true);
		turn(c, 0);
	}
	wait_for_all(c);
	tell(c, began);
}

static void end_all(struct client *c)
{
	uint64_t began = clock_ns();
	unsigned i;

	for (i = 0; i < c->n; i++) {
		struct flow *f = &c->flows[i];

		if (f->fd < 0)
			continue;
		f->ending = true;
		begin(c, f);
		shutdown(f->fd, SHUT_WR);
		turn(c, 0);
	}
	wait_for_all(c);
	tell(c, began);
}

static int open_many(char **argv)
{
	struct sockaddr_in to = conn_place(argv);
	static struct client client;
	struct client *c = &client;
	int n = atoi(argv[2]), rate = atoi(argv[3]), waiting = atoi(argv[4]);
	unsigned long long bytes;
	char line[80];
	unsigned step;

	if (n <= 0 || rate <= 0 || waiting <= 0) {
		fprintf(stderr, "many: COUNT, RATE and WAITING must be at least 1\n");
		return 2;
	}
	c->n = (unsigned)n;
	c->flows = calloc(c->n, sizeof(*c->flows));
	c->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!c->flows || c->epoll < 0)
		conn_fail("memory");
	fill_table(c);
	connect_all(c, &to, (unsigned)rate, (unsigned)waiting);
	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "round %llu %u", &bytes, &step) == 2 && step) {
			go_round(c, bytes, step);
		} else if (!strcmp(line, "close\n")) {
			end_all(c);
		} else {
			fprintf(stderr, "many: not `round BYTES STEP` or `close`: %s", line);
			return 2;
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	want_descriptors();
	if (argc == 4 && !strcmp(argv[1], "serve"))
		serve(argv + 2);
	if (argc == 7 && !strcmp(argv[1], "open"))
		return open_many(argv + 2);
	fprintf(stderr,
		"usage: many serve ADDRESS PORT\n       many open ADDRESS PORT COUNT RATE WAITING\n");
	return 2;
}
