// SPDX-License-Identifier: GPL-3.0-or-later
/* brief.c - short TCP connections, one after the other and several at a time */
/*
 *	brief serve ADDRESS PORT
 *	brief open ADDRESS PORT SECONDS AT_A_TIME
 *
 * The client connects, sends a byte, and waits for another one and the end,
 * which the server has come first: so it is the server that keeps what is left
 * of the connection, and the client's ports are free again. Neither waits for
 * one connection while another could go on, and both do as little as can be:
 * what is between them is measured. The client begins none after SECONDS, waits
 * for those under way, and says in JSON what became of them.
 */
#include "lib/clock.h"
#include "lib/hist.h"
#include "tests/tools/conn.h"

#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

#define EVENTS	    256
#define AT_A_TIME   4096
#define PATIENCE_MS 10000 /* without anything happening */
#define REQUEST	    '?'
#define ANSWER	    '!'

/* ---- the server ---- */

/* Answers and ends a connection, if its request has come. Returns whether it has. */
static bool answer(int fd)
{
	const char byte = ANSWER;
	char request;
	ssize_t n = recv(fd, &request, sizeof(request), 0);

	if (n < 0 && errno == EAGAIN)
		return false;
	if (n == 1 && request == REQUEST)
		send(fd, &byte, sizeof(byte), MSG_NOSIGNAL);
	close(fd);
	return true;
}

static _Noreturn void serve(char **argv)
{
	struct sockaddr_in at = conn_place(argv);
	struct epoll_event events[EVENTS];
	int epoll = epoll_create1(EPOLL_CLOEXEC), listener = conn_listen(&at), fd, n, i;

	conn_watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN, (void *)(intptr_t)listener);
	for (;;) {
		n = epoll_wait(epoll, events, EVENTS, -1);
		for (i = 0; i < n; i++) {
			fd = (int)(intptr_t)events[i].data.ptr;
			if (fd != listener) {
				answer(fd);
				continue;
			}
			while ((fd = conn_accept(listener)) >= 0)
				if (!answer(fd))
					conn_watch(epoll, EPOLL_CTL_ADD, fd, EPOLLIN,
						   (void *)(intptr_t)fd);
		}
	}
}

/* ---- the client ---- */

struct one {
	int fd;
	bool asked;
	int answered; /* bytes; 2: a wrong one, too */
	uint64_t began_ns;
};

struct client {
	int epoll;
	struct sockaddr_in to;
	struct ports ports;
	struct one ones[AT_A_TIME];
	unsigned open;
	uint64_t done, lost;
	struct hist took_ns;
};

static void begin(struct client *c, struct one *o)
{
	*o = (struct one){.fd = conn_open(&c->ports, &c->to), .began_ns = clock_ns()};
	conn_watch(c->epoll, EPOLL_CTL_ADD, o->fd, EPOLLOUT, o);
	c->open++;
}

static void end(struct client *c, struct one *o, bool whole)
{
	close(o->fd);
	c->open--;
	c->done += whole;
	c->lost += !whole;
	if (whole)
		hist_add(&c->took_ns, clock_ns() - o->began_ns);
}

/* Returns whether the connection is over. */
static bool happened(struct client *c, struct one *o)
{
	const char request = REQUEST;
	char byte[2];
	ssize_t n;

	if (!o->asked) {
		o->asked = true;
		if (send(o->fd, &request, sizeof(request), MSG_NOSIGNAL) == 1) {
			conn_watch(c->epoll, EPOLL_CTL_MOD, o->fd, EPOLLIN, o);
			return false;
		}
		end(c, o, false);
		return true;
	}
	while ((n = recv(o->fd, byte, sizeof(byte), 0)) > 0)
		o->answered += n == 1 && byte[0] == ANSWER ? 1 : 2;
	if (n < 0 && errno == EAGAIN)
		return false;
	end(c, o, n == 0 && o->answered == 1);
	return true;
}

static int open_brief(char **argv)
{
	static struct client client;
	struct client *c = &client;
	struct epoll_event events[EVENTS];
	int seconds = atoi(argv[2]), at_a_time = atoi(argv[3]), n = 1, i;
	uint64_t began, until;

	if (seconds < 1 || at_a_time < 1 || at_a_time > AT_A_TIME) {
		fprintf(stderr, "brief: SECONDS must be at least 1, AT_A_TIME 1 to %d\n",
			AT_A_TIME);
		return 2;
	}
	c->to = conn_place(argv);
	c->epoll = epoll_create1(EPOLL_CLOEXEC);
	began = clock_ns();
	until = began + (uint64_t)seconds * NS_PER_S;
	for (i = 0; i < at_a_time; i++)
		begin(c, &c->ones[i]);
	while (c->open && (n = epoll_wait(c->epoll, events, EVENTS, PATIENCE_MS)) > 0)
		for (i = 0; i < n; i++)
			if (happened(c, events[i].data.ptr) && clock_ns() < until)
				begin(c, events[i].data.ptr);
	printf("{\"done\": %llu, \"lost\": %llu, \"stuck\": %u, \"seconds\": %.3f, "
	       "\"took_ms\": [%.3f, %.3f, %.3f]}\n",
	       (unsigned long long)c->done, (unsigned long long)c->lost, c->open,
	       (double)(clock_ns() - began) / 1e9, (double)hist_quantile(&c->took_ns, 0.5) / 1e6,
	       (double)hist_quantile(&c->took_ns, 0.99) / 1e6, (double)hist_max(&c->took_ns) / 1e6);
	return c->lost || c->open ? 1 : 0;
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "serve"))
		serve(argv + 2);
	if (argc == 6 && !strcmp(argv[1], "open"))
		return open_brief(argv + 2);
	fprintf(stderr, "usage: brief serve ADDRESS PORT\n"
			"       brief open ADDRESS PORT SECONDS AT_A_TIME\n");
	return 2;
}
