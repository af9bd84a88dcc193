// SPDX-License-Identifier: GPL-3.0-or-later
/* accelerate.c - split TCP within a tunnel: what accel/ asks of it */
/*
 * accel/ knows nothing of ports, peers and MAC tables. Here its questions are
 * answered, mostly on its own thread: from the MAC table (liburcu), and by
 * calls posted to a worker's loop or the main thread's.
 *
 * Where it cannot work, for want of a privilege for instance, the tunnel
 * bridges all the same, and says so.
 */
#include "tunnel/accelerate.h"

#include "accel/stack.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/processors.h"
#include "tunnel/control.h"
#include "tunnel/paced.h"
#include "tunnel/privileges.h"
#include "tunnel/tunnel.h"
#include "tunnel/worker.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static int place(void *ctx, unsigned tag, uint16_t vid, const uint8_t mac[6])
{
	struct tunnel *t = ctx;
	struct fdb_key key = {.vid = vid, .tag = t->tags[tag].tag};
	fdb_place at;

	memcpy(key.mac, mac, 6);
	at = fdb_lookup_and_keep(t->fdb, &key);
	if (at == FDB_NOWHERE)
		return ACCEL_NOWHERE;
	return fdb_is_peer(at) ? (int)fdb_index(at) : ACCEL_LOCAL;
}

static bool agreed(void *ctx, unsigned tag, unsigned peer)
{
	struct tunnel *t = ctx;

	return atomic_load(&t->peers[peer].tags) & atomic_load(&t->accelerate.agreed[peer]) &
	       1ull << tag;
}

static bool connected(void *ctx, unsigned peer)
{
	struct tunnel *t = ctx;

	return atomic_load(&t->accelerate.connected) >> peer & 1;
}

static void send_frame(void *ctx, unsigned tag, const struct frame *f)
{
	struct tunnel *t = ctx;

	worker_send(t->workers[0], tag, f);
}

struct wanted {
	struct tunnel *tunnel;
	unsigned peer, n;
};

static void open_streams_now(void *arg)
{
	struct wanted *w = arg;

	control_want_streams(&w->tunnel->control->links[w->peer], w->n, true);
	free(w);
}

static void open_streams(void *ctx, unsigned peer, unsigned n)
{
	struct tunnel *t = ctx;
	struct wanted *w = malloc(sizeof(*w));

	if (!w)
		return;
	*w = (struct wanted){t, peer, n};
	if (loop_post(t->loop, open_streams_now, w))
		free(w);
}

static void add_queue(void *ctx, unsigned worker, unsigned tap, int fd)
{
	struct tunnel *t = ctx;

	if (t->workers[worker]) {
		worker_add_tap(t->workers[worker], tap, fd);
		return;
	}
	t->accelerate.taps[tap].fds[worker] = fd;
	if (tap >= t->accelerate.n_taps)
		t->accelerate.n_taps = tap + 1;
}

static int drop_privileges(void *ctx, struct err *e)
{
	return privileges_drop(false, e);
}

static const char *peer_name(void *ctx, unsigned peer)
{
	const struct tunnel *t = ctx;

	return t->peers[peer].conf->name;
}

/* Divides a peer's rate between frames and streams. */
static uint64_t share(void *ctx, unsigned peer, uint64_t streams_bps)
{
	struct tunnel *t = ctx;
	struct paced *q = t->peers[peer].paced;
	struct pace *p = &q->pace;
	struct accelerate_share *last = &t->accelerate.shares[peer];
	uint64_t now = clock_ns(), sent = counter_get(&p->sent);
	uint64_t wanted = sent - last->sent + paced_waiting(q), frames_bps = 0;
	struct pace_shares shares;

	if (last->at_ns && now > last->at_ns)
		frames_bps = clock_rate_bps(wanted, now - last->at_ns);
	*last = (struct accelerate_share){now, sent};
	shares = pace_share(p->full_bps, frames_bps, streams_bps);
	atomic_store(&p->bps, shares.frames_bps);
	return shares.streams_bps;
}

static uint64_t heard_ns(void *ctx, unsigned peer)
{
	struct tunnel *t = ctx;

	return atomic_load_explicit(&t->peers[peer].heard_ns, memory_order_relaxed);
}

static unsigned relay_threads(const struct conf *c)
{
	unsigned n = c->relay_threads ? (unsigned)c->relay_threads : processors_allowed();

	return n < WORKERS_MAX ? n : WORKERS_MAX;
}

static unsigned without(const struct conf *c)
{
	return (c->without & WITHOUT_SK_LOOKUP ? STACK_WITHOUT_SK_LOOKUP : 0) |
	       (c->without & WITHOUT_TPROXY ? STACK_WITHOUT_TPROXY : 0) |
	       (c->without & WITHOUT_VNET_HDR ? STACK_WITHOUT_VNET : 0);
}

/*
 * Prepares split TCP if a tag asks for it. Before privileges are dropped and
 * workers are made. If it does not work, that is remembered and logged.
 */
void accelerate_init(struct tunnel *t)
{
	struct accelerate *a = &t->accelerate;
	struct accel_host host = {t,	      place,	    agreed,    connected,
				  send_frame, open_streams, add_queue, drop_privileges,
				  peer_name,  share,	    heard_ns};
	struct accel_conf conf = {.name = t->conf->name,
				  .state = t->conf->state,
				  .n_tags = t->n_tags,
				  .n_peers = t->n_peers,
				  .n_workers = t->n_workers,
				  .n_relay_threads = relay_threads(t->conf),
				  .without = without(t->conf),
				  .memory = t->conf->accel_memory,
				  .outage_ns = t->conf->outage_ns,
				  .congestion = t->conf->congestion};
	struct err e;
	unsigned i;

	for (i = 0; i < t->n_peers; i++) {
		conf.rate_bps[i] = t->peers[i].conf->rate_bps;
		conf.warm[i] = t->peers[i].conf->warm;
	}
	for (i = 0; i < t->n_tags; i++) {
		const struct conf_tag *c = t->tags[i].conf;

		conf.tags[i] = (struct accel_tag){.number = t->tags[i].tag,
						  .on = conf_accelerates(t->conf, t->tags[i].tag),
						  .accel = c->accel_filter,
						  .bypass = c->bypass_filter,
						  .stripes = (uint8_t)c->stripes,
						  .stripes_auto = c->stripes_auto};
		a->tags |= (uint64_t)conf.tags[i].on << i;
	}
	if (!a->tags || t->outer_ops->plain_text)
		return;
	a->accel = accel_new(&conf, &host, &e);
	if (a->accel)
		return;
	snprintf(a->error, sizeof(a->error), "%s", e.text);
	log_error("accel: %s; TCP is bridged as it is", e.text);
	a->tags = 0;
}

/* Takes note of what a peer accelerates of the tags that are bridged with it; @known false: it is
 * not connected any more. */
void accelerate_agree(struct tunnel *t, unsigned peer, uint64_t tags, bool known)
{
	atomic_store(&t->accelerate.agreed[peer], tags);
	if (known)
		atomic_fetch_or(&t->accelerate.connected, 1ull << peer);
	else
		atomic_fetch_and(&t->accelerate.connected, ~(1ull << peer));
}

/* Lets it run, when privileges are dropped and the MAC table is there. */
void accelerate_start(struct tunnel *t)
{
	struct err e;

	if (!t->accelerate.accel || !accel_start(t->accelerate.accel, &e))
		return;
	log_error("accel: %s; TCP is bridged as it is", e.text);
	t->accelerate.tags = 0;
}

/*
 * Resets what is accelerated, while workers still carry the resets: the stack
 * has put them into its TAPs when accel_stop() returns.
 */
void accelerate_stop(struct tunnel *t)
{
	unsigned i;

	if (!t->accelerate.accel)
		return;
	accel_stop(t->accelerate.accel);
	for (i = 0; i < t->n_workers; i++)
		worker_drain_taps(t->workers[i]);
}
