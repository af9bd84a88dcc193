/* SPDX-License-Identifier: GPL-3.0-or-later */
/* conn.h - TCP over IPv4 without waiting, for programs that make load; who cannot go on ends */
#ifndef TESTS_TOOLS_CONN_H
#define TESTS_TOOLS_CONN_H

#include "lib/ports.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define CONN_BACKLOG 4096

static inline _Noreturn void conn_fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

/* "192.0.2.1", "80": two words of the command line. */
static inline struct sockaddr_in conn_place(char **argv)
{
	struct sockaddr_in sin = {.sin_family = AF_INET,
				  .sin_port = htons((uint16_t)atoi(argv[1]))};

	if (inet_pton(AF_INET, argv[0], &sin.sin_addr) != 1 || !sin.sin_port) {
		fprintf(stderr, "%s %s: must be an IPv4 address and a port\n", argv[0], argv[1]);
		exit(2);
	}
	return sin;
}

static inline void conn_watch(int epoll, int op, int fd, uint32_t events, void *what)
{
	struct epoll_event ev = {.events = events, .data.ptr = what};

	if (epoll_ctl(epoll, op, fd, &ev))
		conn_fail("epoll_ctl");
}

static inline int conn_listen(const struct sockaddr_in *at)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (const struct sockaddr *)at, sizeof(*at)) || listen(fd, CONN_BACKLOG))
		conn_fail("listener");
	return fd;
}

/* Returns -1 when none waits. */
static inline int conn_accept(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0 && errno != EAGAIN && errno != ECONNABORTED)
		conn_fail("accept");
	return fd;
}

/* @ports: where the search for a local port is, or the kernel's own takes most of the time */
static inline int conn_open(struct ports *ports, const struct sockaddr_in *to)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		conn_fail("socket");
	errno = -ports_connect(ports, fd, (const struct sockaddr *)to, sizeof(*to));
	if (errno)
		conn_fail("connect");
	return fd;
}

#endif
