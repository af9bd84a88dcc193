// SPDX-License-Identifier: GPL-3.0-or-later
/* shard.c - a relay thread: its loop, what it does each turn and each tick, and which one is chosen
 */
/*
 * Theory of operation
 *
 * Every flow, its socket and its streams are one relay thread's, so nothing
 * that is done for a segment or a record needs a lock. Which one is decided
 * once, by who has least to do (balance.c):
 *
 * - at the client's side for the SYN, by the worker that saw it;
 * - at the server's side for the OPEN: an idle stream may go to another thread
 *   (stream_move()), with what was read of it, before its flow begins.
 *
 * Where nobody has less to do than others, the hash of the connection decides,
 * and a stream stays. A connection that the table knows goes to the thread of
 * its entry, whoever has less to do.
 */
#include "accel/balance.h"
#include "accel/internal.h"

#include "lib/log.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* So many connections a second more than there are make what begins next a brief one. */
#define BRIEF_MIN 200

_Static_assert(BALANCE_MAX >= STACK_WORKERS_MAX,
	       "there are as many relay threads as workers at most");

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

/* Turns that were cut short go on, what was said is written, and what has ended is freed. Returns
 * whether there is more to do. */
static bool end_turn(void *ctx)
{
	struct shard *sh = ctx;

	if (sh->pending_relays || sh->pending_streams || sh->said) {
		rcu_read_lock();
		pump_pending(sh);
		read_pending(sh);
		stream_flush_said(sh);
		rcu_read_unlock();
	}
	stream_send_off(sh);
	stream_free_dead(sh);
	relay_free_ended(sh);
	return sh->pending_relays || sh->pending_streams || sh->leaving;
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

/* ---- which one ---- */

/* What each of them has to do. */
static void loads(const struct accel *a, struct balance_load *load)
{
	unsigned i;

	for (i = 0; i < a->n_shards; i++)
		load[i] = (struct balance_load){
			.flows = atomic_load_explicit(&a->shards[i].n_relays,
						      memory_order_relaxed) +
				 atomic_load_explicit(&a->shards[i].news, memory_order_relaxed),
			.stay = atomic_load_explicit(&a->shards[i].n_stay, memory_order_relaxed),
			.busy_tenths = atomic_load_explicit(&a->shards[i].busy_tenths,
							    memory_order_relaxed)};
}

/* The shard that hears first of a connection without an entry: always the same. */
struct shard *shard_of_key(struct accel *a, const struct flow_key *key)
{
	return &a->shards[flow_hash(&a->flows, key) % a->n_shards];
}

/* The shard that a new connection's SYN is for. Any thread. */
struct shard *shard_for_syn(struct accel *a, const struct flow_key *key)
{
	struct balance_load load[BALANCE_MAX];
	unsigned own = shard_of_key(a, key)->index;

	loads(a, load);
	return &a->shards[balance_for_syn(load, a->n_shards, own, atomic_load(&a->brief))];
}

/* The shard that is to serve a flow which the peer opens on a stream of @own. */
struct shard *shard_for_open(struct shard *own)
{
	struct accel *a = own->a;
	struct balance_load load[BALANCE_MAX];

	loads(a, load);
	return &a->shards[balance_for_open(load, a->n_shards, own->index, atomic_load(&a->brief))];
}

/* ---- time ---- */

static void measure_load(struct shard *sh, uint64_t now)
{
	uint64_t used = clock_thread_ns(), elapsed = now - sh->tick_ns;

	if (sh->tick_ns && elapsed)
		atomic_store(&sh->busy_tenths,
			     (unsigned)((used - sh->processor_ns) * 10 / elapsed));
	sh->tick_ns = now;
	sh->processor_ns = used;
	sh->busy = sh->moved - sh->ticked >= BUSY_BYTES;
	sh->ticked = sh->moved;
}

/* Whether many more connections have ended in this second than there are: then each has lasted less
 * than that (Little's law). Where they are few it matters little, and what begins next may stay. */
static void measure_brevity(struct accel *a)
{
	uint64_t ended = atomic_load(&a->counts.closed) + atomic_load(&a->counts.reset);

	atomic_store(&a->brief, ended - a->ended > atomic_load(&a->n_relays) + BRIEF_MIN);
	a->ended = ended;
}

static void tick(void *ctx)
{
	struct shard *sh = ctx;
	uint64_t now = clock_ns();
	unsigned stay = 0;
	struct relay *r;
	struct stream *s;

	measure_load(sh, now);
	rcu_read_lock();
	for (r = sh->relays; r; r = r->next) {
		stay += now - r->begun_ns > NS_PER_S;
		relay_tick(r, now);
	}
	atomic_store(&sh->n_stay, stay);
	for (s = sh->streams; s; s = s->next)
		stream_tick(s, now);
	warm_tick(sh, now);
	rcu_read_unlock();
	accel_sweep(sh, now);
	if (now - sh->second_ns > NS_PER_S) {
		sh->second_ns = now;
		if (!sh->index)
			measure_brevity(sh->a);
		accel_second(sh, now);
	}
}

/* Makes what a relay thread needs. Returns 0 or -errno with a text; shard_release() either way. */
int shard_init(struct shard *sh, struct accel *a, struct err *e)
{
	sh->a = a;
	sh->index = (unsigned)(sh - a->shards);
	sh->flows.shard = sh;
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

/*
 * Where processors are short, a relay thread does not interrupt others when it
 * has something to do: a worker then finishes its batch and a host its work, and
 * the thread finds more in each turn. Where one is idle, it begins at once all
 * the same (sched(7), SCHED_BATCH). Another policy is what the user wants.
 */
static void yield_to_others(void)
{
	struct sched_param none = {0};
	int ret;

	if (sched_getscheduler(0) != SCHED_OTHER)
		return;
	ret = pthread_setschedparam(pthread_self(), SCHED_BATCH, &none);
	if (ret)
		log_debug("accel: SCHED_BATCH: %s", strerror(ret));
}

/* What its thread does until shard_stop(). */
void shard_run(struct shard *sh)
{
	yield_to_others();
	rcu_register_thread();
	share_start(sh);
	loop_run(sh->loop);
	rcu_unregister_thread();
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

/* Makes what was posted to threads that had ended. Streams on their way are somebody's again. */
void shard_drain(struct accel *a)
{
	unsigned i;
	bool any;

	do {
		any = false;
		for (i = 0; a->shards && i < a->conf.n_relay_threads; i++)
			if (a->shards[i].loop)
				any |= loop_drain(a->shards[i].loop);
	} while (any);
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
