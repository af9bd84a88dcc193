/* SPDX-License-Identifier: GPL-3.0-or-later */
/* ports.h - local ports of many connections to one place */
#ifndef LIB_PORTS_H
#define LIB_PORTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define PORTS_WINDOW 32 /* ports that the kernel chooses from at a time */

/* Where the search for a local port is. Zeroed: at its beginning. One thread's. */
struct ports {
	uint16_t low, high; /* what the system gives out, both included; 0: not asked yet */
	uint32_t next;	    /* of them, where the next window begins */
	bool kernels; /* the kernel searches by itself: it cannot be told where, or shall not */
};

/* A stretch of ports, both included. */
struct ports_window {
	uint16_t low, high;
};

struct ports_window ports_next(struct ports *p, uint32_t step);
int ports_connect(struct ports *p, int fd, const struct sockaddr *to, socklen_t len);

#endif
