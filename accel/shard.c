// SPDX-License-Identifier: GPL-3.0-or-later
/* shard.c - a relay thread: its loop, what it does each turn and each tick */
#include "accel/internal.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void pump_pending(struct shard *sh)
{
	struct relay *r = sh->pending_relays, *next;

	sh->pending_relays = NULL;
	for (; r; r = next) {
		next = r->next_pending;
		r->pending = false;
		if (!r->ended)
			pump_out(r);
	}
}

static void read_pending(struct shard *sh)
{
	struct stream *s = sh->pending_streams, *next;

	sh->pending_streams = NULL;
	for (; s; s = next) {
		next = s->next_pending;
		s->pending = false;
		if (!s->dead)
			stream_read(s);
	}
}

static void flush_said(struct shard *sh)
{
	struct stream *s;

	while ((s = sh->said)) {
		sh->said = s->next_said;
		s->said = false;
		if (!s->dead)
			stream_flush(s);
	}
}

/* Turns that were cut short go on, what was said is written, and what has ended is freed. Returns
 * whether there is more to do. */
static bool end_turn(void *ctx)
{
	struct shard *sh = ctx;

	if (sh->pending_relays || sh->pending_streams || sh->said) {
		rcu_read_lock();
		pump_pending(sh);
		read_pending(sh);
		flush_said(sh);
		rcu_read_unlock();
	}
	stream_free_dead(sh);
	relay_free_ended(sh);
	return sh->pending_relays || sh->pending_streams;
}

/*
 * To be called before sockets are read: lets bytes gather, once in a turn of
 * the loop, if there are many, but come in small pieces. Each piece of some KB would otherwise wake
 * the thread, which then finds half a TLS record, and a fast line brings twenty thousand a second.
 * Buffers on both sides hold many times what comes meanwhile, so this costs a bulk flow nothing and
 * others GATHER_US at most.
 */
void shard_gather(struct shard *sh)
{
	uint64_t last = sh->moved - sh->last_turn;

	if (sh->turn_ns == loop_now(sh->loop))
		return;
	sh->turn_ns = loop_now(sh->loop);
	sh->last_turn = sh->moved;
	if (sh->busy && last < TURN_BYTES)
		usleep(GATHER_US);
}

static void tick(void *ctx)
{
	struct shard *sh = ctx;
	uint64_t now = clock_ns();
	struct relay *r;
	struct stream *s;

	sh->busy = sh->moved - sh->ticked >= BUSY_BYTES;
	sh->ticked = sh->moved;
	rcu_read_lock();
	for (r = sh->relays; r; r = r->next)
		relay_tick(r, now);
	for (s = sh->streams; s; s = s->next)
		stream_tick(s, now);
	warm_tick(sh, now);
	rcu_read_unlock();
	if (now - sh->a->swept_ns > NS_PER_S) {
		sh->a->swept_ns = now;
		accel_second(sh->a, now);
	}
}

/* Makes what a relay thread needs. Returns 0 or -errno with a text; shard_release() either way. */
int shard_init(struct shard *sh, struct accel *a, struct err *e)
{
	sh->a = a;
	sh->loop = loop_new(e);
	if (!sh->loop)
		return -EIO;
	sh->scratch = malloc(SCRATCH);
	if (!sh->scratch)
		return err_set(e, ENOMEM, "out of memory");
	loop_on_turn_end(sh->loop, end_turn, sh);
	sh->tick = (struct loop_timer){.expired = tick, .ctx = sh};
	loop_timer_start(sh->loop, &sh->tick, TICK_NS, TICK_NS);
	return 0;
}

/* Starts its thread. Returns 0 or -errno with a text. */
int shard_start(struct shard *sh, void *(*run)(void *shard), struct err *e)
{
	int ret = pthread_create(&sh->thread, NULL, run, sh);

	if (ret)
		return err_set(e, ret, "thread: %s", strerror(ret));
	sh->running = true;
	return 0;
}

static void stop(void *arg)
{
	struct shard *sh = arg;

	loop_stop(sh->loop);
}

/* Ends its thread, if there is one. */
void shard_stop(struct shard *sh)
{
	if (!sh->running)
		return;
	/* Behind what was posted before, so that nothing of it is lost. */
	if (!sh->a->started || loop_post(sh->loop, stop, sh))
		loop_stop(sh->loop);
	pthread_join(sh->thread, NULL);
	sh->running = false;
}

/* Closes what it has open. Its thread has ended. */
void shard_end_all(struct shard *sh)
{
	struct relay *r;

	while (sh->streams)
		stream_destroy(sh->streams);
	for (r = sh->relays; r; r = r->next) {
		pump_release(r, true);
		r->pending = false;
		if (!r->ended)
			relay_end(r);
	}
	relay_free_ended(sh);
}

/* Frees what shard_init() has made. */
void shard_release(struct shard *sh)
{
	loop_free(sh->loop);
	free(sh->scratch);
	chunks_free(&sh->chunks);
}
