/* SPDX-License-Identifier: GPL-3.0-or-later */
/* route.h - routes of their own for chosen TCP connections, and news of all routes (libnl) */
#ifndef LIB_ROUTE_H
#define LIB_ROUTE_H

#include "lib/err.h"
#include "lib/loop.h"

#include <stdbool.h>
#include <stdint.h>

/* What our routes and rules bear as their protocol (`ip route`, `ip rule`: "proto 145"), so that
 * they are told from others'. Not among the numbers of linux/rtnetlink.h or iproute2. */
#define ROUTE_PROTOCOL 145

/* Ahead of VRFs (1000) and of what people set up, whose outcome the copy has. */
#define ROUTE_PRIORITY 724

/* A route for TCP between two hosts and a port. */
struct route_own {
	int family;		   /* AF_INET, AF_INET6 */
	uint8_t local[16];	   /* our address; 4 bytes of it, or 16 */
	uint8_t remote[16];	   /* the peer's */
	unsigned ifindex;	   /* that sockets are bound to; 0: none */
	uint16_t local_port;	   /* ours; 0: any */
	uint16_t remote_port;	   /* the peer's; 0: any */
	uint32_t table;		   /* its own, above 255 */
	uint32_t initial_segments; /* congestion window that connections begin with */
};

int route_own_install(const struct route_own *r, struct err *e);
void route_own_remove(const struct route_own *r);
void route_sweep(uint32_t first, uint32_t last);

struct route_watch;

/* Called some time after routes have changed, other than those of ROUTE_PROTOCOL. */
typedef void (*route_changed)(void *ctx);

struct route_watch *route_watch_new(struct loop *l, route_changed changed, void *ctx,
				    struct err *e);
void route_watch_free(struct route_watch *w);

#endif
