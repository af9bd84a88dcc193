// SPDX-License-Identifier: GPL-3.0-or-later
/* accel.c - split TCP: an instance and its threads, from start to end */
/*
 * Theory of operation
 *
 * The relay threads live in the private network namespace. Each owns some
 * flows, with their sockets to hosts, their streams and their entries in the
 * flow table (struct shard; shard.c says which flow is whose). Workers divert
 * frames to and from the TAPs by that table (divert.c) and hand over what is
 * rare (news.c); the tunnel's main thread makes the streams' connections and
 * hands them over (stream.c).
 *
 * What all of them share is in struct accel: set once, atomic, or under a lock
 * that is taken once a connection. What all of them must do, a MAC that moved
 * or a peer that restarted, is an errand (accel_everywhere()).
 *
 * The first thread starts before privileges are dropped, because a namespace
 * and a BPF program need them; it drops them itself, and then starts the
 * others, which so begin in that namespace and without them.
 */
#include "accel/internal.h"

#include "accel/inbox.h"
#include "accel/outbox.h"
#include "lib/log.h"

#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Forgets entries whose time has come. */
struct sweep {
	struct shard *shard;
	uint32_t now_ms;
};

static bool is_over(void *ctx, struct flow *f)
{
	const struct sweep *s = ctx;
	uint32_t now = s->now_ms, until = atomic_load(&f->until_ms);
	/* Workers see it meanwhile: it may be later than now. */
	int32_t silent = (int32_t)(now - atomic_load(&f->seen_ms));

	if (f->relay)
		return false;
	if (f->way == FLOW_BRIDGE)
		return until ? silent > LINGER_MS && (int32_t)(now - until) > 0
			     : silent > BRIDGED_IDLE_MS;
	if (!until || (int32_t)(now - until) <= 0)
		return false;
	if (f->way == FLOW_QUERY) { /* no peer has confirmed it */
		if (flow_settle(f, FLOW_RESET))
			atomic_store(&f->until_ms, (now + LINGER_MS) | 1);
		return false;
	}
	memory_remove(s->shard->a, f);
	return true;
}

/* Keeps streams ready to every peer that accelerates something with us. */
static void refill_all(struct shard *sh, const struct errand *e)
{
	struct accel *a = sh->a;
	unsigned peer, tag;

	for (peer = 0; peer < a->conf.n_peers; peer++)
		for (tag = 0; tag < a->conf.n_tags; tag++)
			if (a->conf.tags[tag].on && a->host.agreed(a->host.ctx, tag, peer)) {
				stream_refill(sh, peer);
				break;
			}
}

/* What each relay thread does at each tick: looks at a part of its entries, at all in a second. */
void accel_sweep(struct shard *sh, uint64_t now)
{
	struct sweep sweep = {sh, now_ms_of(now)};

	flow_list_sweep(&sh->a->flows, &sh->flows, sh->flows.n / TICKS_A_SECOND + 1, is_over,
			&sweep);
}

/* What streams had, some 24 KB each, lies in the allocator's free lists, between what stays;
 * without being asked it gives back only what is at the end. */
static void give_back(void)
{
	uint64_t begun = clock_ns();

	malloc_trim(0);
	log_debug("accel: a crowd has gone; its memory was given back in %llu us",
		  (unsigned long long)((clock_ns() - begun) / NS_PER_US));
}

/* …and once a second. */
void accel_second(struct shard *sh, uint64_t now)
{
	if (!sh->index && limits_crowd_gone(&sh->a->tide, atomic_load(&sh->a->n_streams)))
		give_back();
	memory_tick(sh->a, now);
	refill_all(sh, NULL);
}

/* ---- what all threads do ---- */

struct errands {
	struct accel *a;
	struct errand e;
	_Atomic unsigned left;
	struct errand_of {
		struct errands *all;
		struct shard *shard;
	} each[];
};

static void end_errand(struct errands *all)
{
	if (atomic_fetch_sub(&all->left, 1) > 1)
		return;
	if (all->e.done)
		all->e.done(all->a, &all->e);
	free(all);
}

static void run_errand(void *arg)
{
	struct errand_of *one = arg;

	one->all->e.run(one->shard, &one->all->e);
	end_errand(one->all);
}

/* Has something done by every relay thread. Any thread. Where memory is short, some do without. */
void accel_everywhere(struct accel *a, const struct errand *e)
{
	struct errands *all = malloc(sizeof(*all) + a->n_shards * sizeof(all->each[0]));
	unsigned i, n = a->n_shards;

	if (!all) {
		if (e->done)
			e->done(a, e);
		return;
	}
	all->a = a;
	all->e = *e;
	atomic_init(&all->left, n);
	for (i = 0; i < n; i++) {
		all->each[i] = (struct errand_of){all, &a->shards[i]};
		if (loop_post(a->shards[i].loop, run_errand, &all->each[i]))
			end_errand(all);
	}
}

/* What is agreed with a peer has changed. Any thread. */
void accel_peer_changed(struct accel *a)
{
	accel_everywhere(a, &(struct errand){.run = refill_all});
}

/* ---- the thread ---- */

static void tap_added(struct tap *t)
{
	struct accel *a = caa_container_of(t->stack, struct accel, stack);
	unsigned i;

	for (i = 0; i < a->conf.n_workers; i++)
		a->host.add_queue(a->host.ctx, i, t->index, t->fds[i]);
}

static int set_up(struct accel *a, struct err *e)
{
	unsigned i;
	int ret = stack_open(&a->stack, e);

	for (i = 0; !ret && i < a->conf.n_tags; i++)
		if (a->conf.tags[i].on && !stack_tap(&a->stack, i, 0, e))
			return -EIO;
	return ret ? ret : a->host.drop_privileges(a->host.ctx, e);
}

/* The first one's thread makes the namespace; the others begin in it, and with what privileges are
 * left. */
static void *run_other(void *arg)
{
	struct shard *sh = arg;

	while (sem_wait(&sh->a->others_go) && errno == EINTR)
		;
	shard_run(sh);
	return NULL;
}

static int start_others(struct accel *a, struct err *e)
{
	unsigned i;
	int ret = 0;

	/* Then what is on its way to a listener is not only the first one's to know. */
	if (a->stack.steer->prepare)
		a->n_shards = 1;
	for (i = 1; !ret && i < a->n_shards; i++)
		ret = shard_start(&a->shards[i], run_other, e);
	return ret;
}

static void *run(void *arg)
{
	struct shard *sh = arg;
	struct accel *a = sh->a;
	sigset_t all;
	unsigned i;

	/* The main thread has not yet said which signals it waits for: none is this one's. */
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	a->ready_ret = set_up(a, &a->ready_err);
	if (!a->ready_ret)
		a->ready_ret = start_others(a, &a->ready_err);
	sem_post(&a->ready);
	while (sem_wait(&a->go) && errno == EINTR)
		;
	if (a->started) {
		rcu_register_thread();
		memory_open(a);
		rcu_unregister_thread();
	}
	for (i = 1; i < a->n_shards; i++)
		sem_post(&a->others_go);
	if (a->started)
		shard_run(sh);
	return NULL;
}

/* A silent host is given up after twice the outage. */
static struct keepalive keepalive_of(uint64_t outage_ns)
{
	int idle_s = (int)(outage_ns / NS_PER_S);

	return (struct keepalive){.idle_s = idle_s ? idle_s : 1,
				  .interval_s = idle_s >= 3 ? idle_s / 3 : 1,
				  .probes = 3};
}

/*
 * Makes an instance and its thread, which takes what it needs of the
 * privileges that the caller still has, drops the rest and waits for
 * accel_start(). Returns NULL with a text.
 */
struct accel *accel_new(const struct accel_conf *conf, const struct accel_host *host, struct err *e)
{
	struct accel *a = calloc(1, sizeof(*a));
	unsigned i, n = conf->n_relay_threads;

	if (!a) {
		err_set(e, ENOMEM, "out of memory");
		return NULL;
	}
	a->conf = *conf;
	a->limits = limits_get(conf->n_peers);
	a->budget = (struct credit_budget){.limit = conf->memory ? conf->memory : limits_memory(),
					   .least = CREDIT_MIN,
					   .most = a->limits.relays};
	a->buffers = (struct credit_budget){
		.limit = a->budget.limit, .least = LAN_MIN, .most = a->limits.relays};
	a->host = *host;
	sem_init(&a->ready, 0, 0);
	a->stack = (struct stack){.lock = PTHREAD_MUTEX_INITIALIZER,
				  .map = -1,
				  .program = -1,
				  .link = -1,
				  .n_workers = conf->n_workers,
				  .without = conf->without,
				  .acceptable = relay_acceptable,
				  .added = tap_added,
				  .keepalive = keepalive_of(conf->outage_ns),
				  .congestion = "cubic"};
	a->shards = calloc(n, sizeof(*a->shards));
	a->n_shards = a->shards ? n : 0;
	pthread_mutex_init(&a->memory_lock, NULL);
	a->inbox = inbox_method();
	a->outbox = outbox_method();
	sem_init(&a->go, 0, 0);
	sem_init(&a->others_go, 0, 0);
	if (!a->shards || !a->inbox || !a->outbox) {
		err_set(e, ENOMEM, "out of memory");
		goto fail;
	}
	for (i = 0; i < n; i++)
		if (shard_init(&a->shards[i], a, e))
			goto fail;
	a->stack.loop = a->shards->loop;
	if (shard_start(a->shards, run, e))
		goto fail;
	while (sem_wait(&a->ready) && errno == EINTR)
		;
	if (!a->ready_ret)
		return a;
	*e = a->ready_err;
fail:
	accel_free(a);
	return NULL;
}

/*
 * Lets it run. To be called when the caller has dropped its privileges: the
 * flow table brings a thread of liburcu's, which inherits what there is.
 * Returns 0 or -errno with a text.
 */
int accel_start(struct accel *a, struct err *e)
{
	if (flow_table_init(&a->flows))
		return err_set(e, ENOMEM, "out of memory");
	/* Until the journal has been read, nothing unknown is believed. */
	atomic_store(&a->quarantine_until_ns, UINT64_MAX);
	log_info("accel: connections are steered to the stack by %s", a->stack.steer->name);
	a->started = true;
	sem_post(&a->go);
	return 0;
}

static void end_flows(struct shard *sh, const struct errand *e)
{
	struct relay *r;
	struct stream *s;

	rcu_read_lock();
	for (r = sh->relays; r; r = r->next)
		relay_event(r, LIFE_EV_kill);
	for (s = sh->streams; s; s = s->next)
		if (!s->dead)
			stream_flush(s);
	rcu_read_unlock();
}

static void flows_ended(struct accel *a, const struct errand *e)
{
	sem_post(e->sem);
}

/* Resets every flow; workers are still there to carry the resets. */
void accel_stop(struct accel *a)
{
	if (!a || !a->started)
		return;
	atomic_store(&a->stopping, true);
	accel_everywhere(a,
			 &(struct errand){.run = end_flows, .done = flows_ended, .sem = &a->ready});
	while (sem_wait(&a->ready) && errno == EINTR)
		;
}

/* Ends the thread and frees everything. Workers have ended. NULL is allowed. */
void accel_free(struct accel *a)
{
	unsigned i, n;
	bool clean;

	if (!a)
		return;
	clean = atomic_exchange(&a->stopping, true);
	n = a->shards ? a->conf.n_relay_threads : 0;
	if (!a->started) /* it must not begin to run */
		for (i = 0; i < n; i++)
			if (a->shards[i].loop)
				loop_stop(a->shards[i].loop);
	sem_post(&a->go);
	for (i = 0; i < a->n_shards; i++)
		shard_stop(&a->shards[i]);
	shard_drain(a);
	for (i = 0; i < a->n_shards; i++)
		shard_end_all(&a->shards[i]);
	if (a->stack.loop)
		stack_close(&a->stack);
	memory_close(a, clean);
	flow_table_release(&a->flows);
	sem_destroy(&a->ready);
	sem_destroy(&a->go);
	sem_destroy(&a->others_go);
	pthread_mutex_destroy(&a->memory_lock);
	pthread_mutex_destroy(&a->stack.lock);
	for (i = 0; i < n; i++)
		shard_release(&a->shards[i]);
	free(a->shards);
	BIO_meth_free(a->inbox);
	BIO_meth_free(a->outbox);
	free(a);
}
