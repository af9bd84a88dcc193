/* SPDX-License-Identifier: GPL-3.0-or-later */
/* worker_own.h - what a worker is made of; for worker.c and worker_thread.c alone */
#ifndef TUNNEL_WORKER_OWN_H
#define TUNNEL_WORKER_OWN_H

#include "lib/bucket.h"
#include "lib/loop.h"
#include "tunnel/hint.h"
#include "tunnel/mirror.h"
#include "tunnel/tunnel.h"
#include "tunnel/worker.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* ICMP errors that a worker sends into one port: a second, and at once. */
#define HINTS_A_SECOND 100
#define HINTS_AT_ONCE  16

/* A port's end, and what its callback needs to know. */
struct port_end {
	struct worker *worker;
	struct port_queue queue;
	struct bucket hints;
};

/* An ICMP error that waits to be written. */
struct waiting_hint {
	uint8_t bytes[HINT_MAX];
	struct frame frame;
	struct gso_merged single;
	struct iovec iov;
};

/* One of the outer transport's sockets, and what its callback needs to know. */
struct outer_end {
	struct worker *worker;
	unsigned socket;
	struct loop_io io;
};

/* A queue of one of accel's TAPs, and what its callback needs to know. */
struct tap_end {
	struct worker *worker;
	unsigned tap;
	struct loop_io io;
	struct tap_end *next;
};

struct worker {
	struct tunnel *tunnel;
	unsigned index;
	struct loop *loop;
	pthread_t thread;
	bool running;
	struct port_end *ports; /* as many as the tunnel has */
	struct outer *outer;
	struct outer_end outer_ends[OUTER_SOCKETS];
	struct tap_end *taps;
	struct batch *port_batch, *outer_batch; /* each is laid out for its own kind of socket */
	struct gso_merge *merge;
	struct hint *hint;
	struct waiting_hint hints[HINTS_AT_ONCE];
	unsigned n_hints; /* of this batch */
	struct counters counters;
	struct mirrors mirrors; /* captures that are shown what passes */
	struct loop_timer overruns_timer, outer_timer;
	_Atomic bool alive; /* answered the last worker_pulse() */
	uint64_t now_ns;    /* of the batch */
	uint32_t now_ms;
};

void worker_port_ready(void *ctx, uint32_t events);
void worker_outer_ready(void *ctx, uint32_t events);
void worker_tap_ready(void *ctx, uint32_t events);
unsigned worker_from_tap(struct tap_end *end);

#endif
