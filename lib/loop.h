/* SPDX-License-Identifier: GPL-3.0-or-later */
/* loop.h - one thread's event loop: descriptors, timers, signals, calls from other threads */
#ifndef LIB_LOOP_H
#define LIB_LOOP_H

#include "lib/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

struct loop;

/* A descriptor the loop watches. Lives in its owner's structure. */
struct loop_io {
	int fd;
	void (*ready)(void *ctx, uint32_t events); /* events: EPOLLIN, EPOLLOUT, EPOLLERR, … */
	void *ctx;
};

/* A timer. Lives in its owner's structure; zeroed before first use. */
struct loop_timer {
	void (*expired)(void *ctx);
	void *ctx;
	uint64_t at_ns;	    /* CLOCK_MONOTONIC */
	uint64_t period_ns; /* 0: once */
	struct loop_timer *next;
	bool armed;
};

struct loop *loop_new(struct err *e);
void loop_free(struct loop *l);
int loop_add(struct loop *l, struct loop_io *io, uint32_t events);
int loop_modify(struct loop *l, struct loop_io *io, uint32_t events);
void loop_remove(struct loop *l, struct loop_io *io);
void loop_close(struct loop *l, struct loop_io *io);
void loop_timer_start(struct loop *l, struct loop_timer *t, uint64_t after_ns, uint64_t period_ns);
void loop_timer_stop(struct loop *l, struct loop_timer *t);
void loop_on_turn_end(struct loop *l, bool (*fn)(void *ctx), void *ctx);
int loop_post(struct loop *l, void (*fn)(void *arg), void *arg);
bool loop_drain(struct loop *l);
int loop_on_signals(struct loop *l, const int *signals, void (*fn)(void *ctx, int signal),
		    void *ctx, struct err *e);
int loop_run(struct loop *l);
void loop_stop(struct loop *l);
bool loop_stopping(const struct loop *l);
uint64_t loop_now(const struct loop *l);

#endif
