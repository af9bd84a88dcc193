// SPDX-License-Identifier: GPL-3.0-or-later
/* accel.c - split TCP: an instance and its thread, from start to end */
/*
 * Theory of operation
 *
 * One thread, the relay's, lives in the private network namespace. It owns the
 * sockets to hosts, the streams and the flow table's changes. Workers divert
 * frames to and from the TAPs by that table (divert.c) and hand over what is
 * rare (news.c); the tunnel's main thread makes the streams' connections and
 * hands them over (stream.c).
 *
 * The thread starts before privileges are dropped, because a namespace and a
 * BPF program need them; it drops them itself.
 */
#include "accel/internal.h"

#include "accel/outbox.h"
#include "lib/log.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Forgets entries whose time has come. */
struct sweep {
	struct accel *a;
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
		atomic_store(&f->until_ms, (now + LINGER_MS) | 1);
		atomic_store(&f->way, FLOW_RESET);
		return false;
	}
	memory_remove(s->a, f);
	return true;
}

/* Keeps streams ready to every peer that accelerates something with us. */
static void refill_all(void *arg)
{
	struct shard *sh = arg;
	struct accel *a = sh->a;
	unsigned peer, tag;

	for (peer = 0; peer < a->conf.n_peers; peer++)
		for (tag = 0; tag < a->conf.n_tags; tag++)
			if (a->conf.tags[tag].on && a->host.agreed(a->host.ctx, tag, peer)) {
				stream_refill(sh, peer);
				break;
			}
}

/* What is done once a second for all. */
void accel_second(struct accel *a, uint64_t now)
{
	struct sweep sweep = {a, now_ms_of(now)};

	flow_sweep(&a->flows, is_over, &sweep);
	memory_tick(a, now);
	refill_all(a->shards);
}

/* What is agreed with a peer has changed. Any thread. */
void accel_peer_changed(struct accel *a)
{
	loop_post(a->shards->loop, refill_all, a->shards);
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

static void *run(void *arg)
{
	struct shard *sh = arg;
	struct accel *a = sh->a;
	sigset_t all;

	/* The main thread has not yet said which signals it waits for: none is this one's. */
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	a->ready_ret = set_up(a, &a->ready_err);
	sem_post(&a->ready);
	while (sem_wait(&a->go) && errno == EINTR)
		;
	if (a->ready_ret)
		return NULL;
	rcu_register_thread();
	memory_open(a);
	share_start(a);
	loop_run(sh->loop);
	rcu_unregister_thread();
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

	if (!a) {
		err_set(e, ENOMEM, "out of memory");
		return NULL;
	}
	a->conf = *conf;
	a->limits = limits_get(conf->n_peers);
	a->budget.limit = conf->memory ? conf->memory : limits_memory();
	a->host = *host;
	sem_init(&a->ready, 0, 0);
	a->stack = (struct stack){.n_workers = conf->n_workers,
				  .without = conf->without,
				  .acceptable = relay_acceptable,
				  .added = tap_added,
				  .keepalive = keepalive_of(conf->outage_ns),
				  .congestion = "cubic"};
	a->shards = calloc(1, sizeof(*a->shards));
	a->n_shards = a->shards ? 1 : 0;
	a->outbox = outbox_method();
	sem_init(&a->go, 0, 0);
	if (!a->shards || !a->outbox) {
		err_set(e, ENOMEM, "out of memory");
		goto fail;
	}
	if (shard_init(a->shards, a, e))
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

static void end_flows(void *arg)
{
	struct shard *sh = arg;
	struct accel *a = sh->a;
	struct relay *r;
	struct stream *s;

	rcu_read_lock();
	a->stopping = true;
	for (r = sh->relays; r; r = r->next)
		relay_event(r, LIFE_EV_kill);
	for (s = sh->streams; s; s = s->next)
		if (!s->dead)
			stream_flush(s);
	rcu_read_unlock();
	sem_post(&a->ready);
}

/* Resets every flow; workers are still there to carry the resets. */
void accel_stop(struct accel *a)
{
	if (!a || !a->started)
		return;
	if (!loop_post(a->shards->loop, end_flows, a->shards))
		while (sem_wait(&a->ready) && errno == EINTR)
			;
}

/* Ends the thread and frees everything. Workers have ended. NULL is allowed. */
void accel_free(struct accel *a)
{
	unsigned i;

	if (!a)
		return;
	sem_post(&a->go);
	for (i = 0; i < a->n_shards; i++)
		shard_stop(&a->shards[i]);
	for (i = 0; i < a->n_shards; i++)
		shard_end_all(&a->shards[i]);
	if (a->stack.loop)
		stack_close(&a->stack);
	memory_close(a, a->stopping);
	flow_table_release(&a->flows);
	sem_destroy(&a->ready);
	sem_destroy(&a->go);
	for (i = 0; i < a->n_shards; i++)
		shard_release(&a->shards[i]);
	free(a->shards);
	BIO_meth_free(a->outbox);
	free(a);
}
