// SPDX-License-Identifier: GPL-3.0-or-later
/* worker_thread.c - a worker's thread, from its making to its end */
/*
 * Other threads change a worker only by calls posted to its loop. What it does
 * with frames is in worker.c.
 */
#include "tunnel/worker_own.h"

#include "lib/clock.h"
#include "lib/log.h"
#include "tunnel/paced.h"

#include <errno.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define _LGPL_SOURCE
#include <urcu.h>

static void copy_overruns(void *ctx)
{
	struct worker *w = ctx;
	unsigned i;

	for (i = 0; i < w->tunnel->n_ports; i++)
		atomic_store_explicit(&w->counters.port_overruns[i],
				      port_queue_kernel_drops(&w->ports[i].queue),
				      memory_order_relaxed);
	atomic_store_explicit(&w->counters.outer_overruns, outer_kernel_drops(w->outer),
			      memory_order_relaxed);
}

static void outer_tick(void *ctx)
{
	struct worker *w = ctx;

	w->tunnel->outer_ops->tick(w->outer);
}

/* Reads accel's TAPs that there are already. */
static void open_taps(struct worker *w)
{
	const struct accelerate *a = &w->tunnel->accelerate;
	unsigned i;

	for (i = 0; a->accel && i < a->n_taps; i++)
		worker_add_tap(w, i, a->taps[i].fds[w->index]);
}

/* Makes a worker with all its descriptors open, so that what is wrong is said before it runs. */
struct worker *worker_new(struct tunnel *t, unsigned index, struct err *e)
{
	struct worker *w = calloc(1, sizeof(*w));
	bool no_merge = t->conf->without & (WITHOUT_MERGE | WITHOUT_VNET_HDR);
	unsigned i;

	if (!w) {
		err_set(e, ENOMEM, "out of memory");
		return NULL;
	}
	w->tunnel = t;
	w->index = w->mirrors.worker = index;
	w->alive = true;
	w->ports = calloc(t->n_ports, sizeof(*w->ports));
	w->port_batch = batch_new();
	w->outer_batch = batch_new();
	w->merge = gso_merge_new(BATCH_FRAMES, no_merge ? GSO_MERGE_NOTHING : 0);
	w->hint = hint_new(e);
	w->loop = loop_new(e);
	if (!w->ports || !w->port_batch || !w->outer_batch || !w->merge || !w->hint || !w->loop) {
		err_set(e, ENOMEM, "out of memory");
		goto fail;
	}
	for (i = 0; i < t->n_ports; i++) {
		struct port_end *end = &w->ports[i];

		end->worker = w;
		bucket_init(&end->hints, HINTS_A_SECOND, HINTS_AT_ONCE, clock_ns());
		end->queue.port = &t->ports[i];
		end->queue.worker = index;
		end->queue.io = (struct loop_io){-1, worker_port_ready, end};
	}
	for (i = 0; i < t->n_ports; i++)
		if (port_queue_open(&w->ports[i].queue, e) ||
		    loop_add(w->loop, &w->ports[i].queue.io, EPOLLIN))
			goto fail;
	w->outer = t->outer_ops->open(t, index, &w->counters, e);
	if (!w->outer)
		goto fail;
	for (i = 0; i < OUTER_SOCKETS; i++) {
		struct outer_end *end = &w->outer_ends[i];

		*end = (struct outer_end){w, i, {w->outer->fds[i], worker_outer_ready, end}};
		if (end->io.fd >= 0)
			loop_add(w->loop, &end->io, EPOLLIN);
	}
	for (i = 0; i < t->n_peers; i++)
		if (t->peers[i].paced && i % t->n_workers == index)
			paced_owned_by(t->peers[i].paced, w->outer, w->loop);
	open_taps(w);
	w->outer_timer = (struct loop_timer){.expired = outer_tick, .ctx = w};
	if (t->outer_ops->tick)
		loop_timer_start(w->loop, &w->outer_timer, 0, OUTER_TICK_NS);
	w->overruns_timer = (struct loop_timer){.expired = copy_overruns, .ctx = w};
	loop_timer_start(w->loop, &w->overruns_timer, NS_PER_S, NS_PER_S);
	return w;
fail:
	worker_free(w);
	return NULL;
}

static void *run(void *arg)
{
	struct worker *w = arg;

	rcu_register_thread();
	loop_run(w->loop);
	rcu_unregister_thread();
	return NULL;
}

/* Starts the worker's thread. Returns 0 or -errno. */
int worker_start(struct worker *w, struct err *e)
{
	int ret = pthread_create(&w->thread, NULL, run, w);

	if (ret)
		return err_set(e, ret, "thread: %s", strerror(ret));
	w->running = true;
	return 0;
}

static void free_taps(struct worker *w)
{
	struct tap_end *end;

	while ((end = w->taps)) {
		w->taps = end->next;
		free(end); /* the descriptor is accel's */
	}
}

/* Ends a worker's thread. NULL is allowed. */
void worker_stop(struct worker *w)
{
	if (!w || !w->running)
		return;
	loop_stop(w->loop);
	pthread_join(w->thread, NULL);
	w->running = false;
}

/* Closes what a worker has. It is stopped, and so are those that call upon it. NULL is allowed. */
void worker_free(struct worker *w)
{
	unsigned i;

	if (!w)
		return;
	for (i = 0; w->ports && i < w->tunnel->n_ports; i++)
		if (w->ports[i].worker)
			port_queue_close(&w->ports[i].queue);
	if (w->outer)
		w->tunnel->outer_ops->close(w->outer);
	free_taps(w);
	loop_free(w->loop);
	gso_merge_free(w->merge);
	hint_free(w->hint);
	batch_free(w->port_batch);
	batch_free(w->outer_batch);
	free(w->ports);
	free(w);
}

/* The worker's counters; any thread may read them. */
const struct counters *worker_counters(const struct worker *w)
{
	return &w->counters;
}

static void answer_pulse(void *arg)
{
	struct worker *w = arg;

	atomic_store(&w->alive, true);
}

/* Whether the worker has answered since the last time this was asked; asks it again. */
bool worker_pulse(struct worker *w)
{
	bool alive = atomic_exchange(&w->alive, false);

	if (alive)
		loop_post(w->loop, answer_pulse, w);
	return alive;
}

static void reopen_port(void *arg)
{
	struct port_end *end = arg;
	struct worker *w = end->worker;
	struct err e;

	if (end->queue.io.fd >= 0)
		loop_remove(w->loop, &end->queue.io);
	port_queue_close(&end->queue);
	if (port_queue_open(&end->queue, &e))
		log_warning("%s", e.text);
	else
		loop_add(w->loop, &end->queue.io, EPOLLIN);
}

/* Has the worker open a port anew: its interface went away and came back. */
void worker_reopen_port(struct worker *w, unsigned port)
{
	loop_post(w->loop, reopen_port, &w->ports[port]);
}

static void rebind_outer(void *arg)
{
	struct worker *w = arg;
	struct err e;

	if (outer_rebind(w->outer, &e))
		log_warning("%s", e.text);
}

/* Has the worker bind the outer socket anew: the tunnel interface came back. */
void worker_rebind_outer(struct worker *w)
{
	loop_post(w->loop, rebind_outer, w);
}

static void add_tap(void *arg)
{
	struct tap_end *end = arg;
	struct worker *w = end->worker;

	end->next = w->taps;
	w->taps = end;
	loop_add(w->loop, &end->io, EPOLLIN);
}

/* Has the worker read a queue of one of accel's TAPs, which stays accel's. */
void worker_add_tap(struct worker *w, unsigned tap, int fd)
{
	struct tap_end *end = calloc(1, sizeof(*end));

	if (!end)
		return;
	*end = (struct tap_end){w, tap, {fd, worker_tap_ready, end}, NULL};
	if (loop_post(w->loop, add_tap, end))
		free(end);
}

struct draining {
	struct worker *worker;
	sem_t done;
};

static void drain_taps(void *arg)
{
	struct draining *d = arg;
	struct tap_end *end;

	for (end = d->worker->taps; end; end = end->next)
		while (worker_from_tap(end))
			;
	sem_post(&d->done);
}

/* Has the worker send on all that waits in accel's TAPs; returns when it has. Not its own thread.
 */
void worker_drain_taps(struct worker *w)
{
	struct draining d = {.worker = w};

	if (!w || !w->running)
		return;
	sem_init(&d.done, 0, 0);
	if (!loop_post(w->loop, drain_taps, &d))
		while (sem_wait(&d.done) && errno == EINTR)
			;
	sem_destroy(&d.done);
}

/* What a worker is told of a capture. */
struct mirror_call {
	struct worker *worker;
	struct mirror *mirror;
	bool begin;
};

static void change_mirror(void *arg)
{
	struct mirror_call *c = arg;

	if (c->begin)
		mirror_add(&c->worker->mirrors, c->mirror);
	else
		mirror_remove(&c->worker->mirrors, c->mirror);
	free(c);
}

/* Has the worker begin, or end, to show frames to a capture. Returns 0 or -errno. */
int worker_mirror(struct worker *w, struct mirror *m, bool begin)
{
	struct mirror_call *c = malloc(sizeof(*c));
	int ret;

	if (!c)
		return -ENOMEM;
	*c = (struct mirror_call){w, m, begin};
	ret = loop_post(w->loop, change_mirror, c);
	if (ret)
		free(c);
	return ret;
}
