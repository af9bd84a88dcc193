/* SPDX-License-Identifier: GPL-3.0-or-later */
/* stack.h - the kernel's own TCP in a private network namespace, and the TAPs that lead there */
#ifndef ACCEL_STACK_H
#define ACCEL_STACK_H

#include "accel/flow.h"
#include "lib/err.h"
#include "lib/loop.h"

#include <net/if.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define STACK_TAPS_MAX	  256 /* (tag, VLAN) pairs */
#define STACK_WORKERS_MAX 64
#define STACK_MTU	  9216 /* of the TAPs; what is sent is bounded by the hosts' MSS */
#define STACK_TAP_PREFIX  "lht"

/* Kernel features that may be done without. */
enum {
	STACK_WITHOUT_SK_LOOKUP = 1 << 0,
	STACK_WITHOUT_TPROXY = 1 << 1,
	STACK_WITHOUT_VNET = 1 << 2
};

/* A listening socket of a TAP. */
struct tap_listener {
	struct loop_io io; /* fd -1: none; its context is this */
	struct tap *tap;
	struct tap_listener *next; /* of those made on demand */
	unsigned users;
	uint8_t ip_version, address[16];
	uint16_t port;
};

/* A TAP for each (tag, VLAN): two VLANs may use the same addresses. */
struct tap {
	struct stack *stack;
	unsigned index; /* in the stack's */
	unsigned tag;	/* index */
	uint16_t vid;
	char name[IFNAMSIZ];
	int ifindex;
	uint8_t mac[6];
	int fds[STACK_WORKERS_MAX];	  /* a queue for each worker, for both directions */
	struct tap_listener listeners[2]; /* IPv4, IPv6 */
	struct tap_listener *on_demand;	  /* of servers' addresses and ports */
};

struct steer_ops;

/* How a host that is silent is asked whether it is there. */
struct keepalive {
	int idle_s, interval_s, probes;
};

struct stack {
	pthread_mutex_t lock; /* of what makes a TAP */
	unsigned n_workers;
	unsigned without;
	bool vnet;
	const struct steer_ops *steer;
	int map, program, link; /* of sk_lookup; -1 */
	uint16_t port;		/* that TPROXY leads to */
	struct tap *_Atomic taps[STACK_TAPS_MAX];
	_Atomic unsigned n_taps;
	void (*acceptable)(void *listener, uint32_t events); /* a listener has a socket */
	void (*added)(struct tap *t); /* its queues may be read from now on */
	struct loop *loop;
	struct keepalive keepalive;
	bool keepalive_is_default; /* the namespace is set so */
	char congestion[16];	   /* of the sockets to hosts; "": the kernel's default */
};

/* How segments to any address and port come to a listener. */
struct steer_ops {
	const char *name;
	unsigned without; /* the STACK_WITHOUT_ that turns it off */
	/* Whether it works here. Returns 0 or -errno with a text. */
	int (*open)(struct stack *s, struct err *e);
	/* A TAP was added. */
	int (*add)(struct stack *s, struct tap *t, struct err *e);
	/* A SYN for this connection will be injected. NULL: nothing need be done. */
	int (*prepare)(struct stack *s, const struct flow *f);
	/* …was; it has its socket, or has ended. */
	void (*done)(struct stack *s, const struct flow *f);
};

extern const struct steer_ops steer_sk_lookup, steer_tproxy, steer_listen;

int stack_open(struct stack *s, struct err *e);
void stack_close(struct stack *s);
struct tap *stack_tap(struct stack *s, unsigned tag, uint16_t vid, struct err *e);
int stack_connect(struct stack *s, const struct flow *f, uint8_t tos);
int stack_listen(struct tap *t, struct tap_listener *l, const struct sockaddr *at, socklen_t len,
		 struct err *e);
void stack_unlisten(struct tap_listener *l);
bool stack_write(struct tap *t, unsigned worker, const struct frame *f);

#endif
