// SPDX-License-Identifier: GPL-3.0-or-later
/* share.c - streams to one peer share what frames leave of its rate */
/*
 * The kernel paces each stream. Those that have sent something since the last
 * look divide the share evenly; one that begins between two looks may send as
 * much as it would get among them.
 *
 * Each relay thread looks at its own streams, and paces them by what the first
 * one has found the share of all to be, at most one look ago.
 */
#include "accel/internal.h"

#include <sys/socket.h>

#define SHARE_NS (100 * NS_PER_MS)

/* The kernel paces payload: of a full segment over IPv4, with time stamps. */
#define SEGMENT_PAYLOAD 1448
#define SEGMENT_WIRE	1514

/* Below a tenth's change the kernel is not bothered. */
static bool differs(uint64_t a, uint64_t b)
{
	return a > b + b / 10 || a < b - b / 10;
}

static void pace(struct stream *s, uint64_t bytes_per_s)
{
	if (!differs(bytes_per_s, s->paced))
		return;
	s->paced = bytes_per_s;
	setsockopt(s->io.fd, SOL_SOCKET, SO_MAX_PACING_RATE, &bytes_per_s, sizeof(bytes_per_s));
}

static void look_at(struct shard *sh, unsigned peer, uint64_t elapsed_ns)
{
	uint64_t sent = 0;
	struct stream *s;
	unsigned active = 0;

	for (s = sh->streams; s; s = s->next) {
		if (s->peer != peer || s->dead)
			continue;
		s->active = s->wrote != s->wrote_before;
		active += s->active;
		sent += s->wrote - s->wrote_before;
		s->wrote_before = s->wrote;
	}
	atomic_store(&sh->sent_bps[peer], clock_rate_bps(sent, elapsed_ns));
	atomic_store(&sh->active[peer], active);
}

/* Asks what all streams to a peer may send. The first one's. */
static void divide(struct accel *a, unsigned peer)
{
	uint64_t sent = 0, share;
	unsigned i;

	for (i = 0; i < a->n_shards; i++)
		sent += atomic_load(&a->shards[i].sent_bps[peer]);
	share = a->host.share(a->host.ctx, peer, sent / SEGMENT_PAYLOAD * SEGMENT_WIRE);
	atomic_store(&a->share[peer],
		     clock_bytes_in(share, NS_PER_S) / SEGMENT_WIRE * SEGMENT_PAYLOAD);
}

static void pace_all(struct shard *sh, unsigned peer)
{
	uint64_t share = atomic_load(&sh->a->share[peer]);
	unsigned i, active = 0;
	struct stream *s;

	if (!share) /* not divided yet */
		return;
	for (i = 0; i < sh->a->n_shards; i++)
		active += atomic_load(&sh->a->shards[i].active[peer]);
	for (s = sh->streams; s; s = s->next)
		if (s->peer == peer && !s->dead)
			pace(s, share / (active + !s->active));
}

static void tick(void *ctx)
{
	struct shard *sh = ctx;
	struct accel *a = sh->a;
	uint64_t now = clock_ns(), elapsed = now - sh->shared_ns;
	unsigned i;

	sh->shared_ns = now;
	for (i = 0; i < a->conf.n_peers; i++) {
		if (!a->conf.rate_bps[i])
			continue;
		look_at(sh, i, elapsed ? elapsed : 1);
		if (sh == a->shards)
			divide(a, i);
		pace_all(sh, i);
	}
}

/* Begins to divide the rates of the peers that have one. */
void share_start(struct shard *sh)
{
	struct accel *a = sh->a;
	bool any = false;
	unsigned i;

	for (i = 0; i < a->conf.n_peers; i++)
		any |= a->conf.rate_bps[i] != 0;
	sh->share_timer = (struct loop_timer){.expired = tick, .ctx = sh};
	sh->shared_ns = clock_ns();
	if (any)
		loop_timer_start(sh->loop, &sh->share_timer, SHARE_NS, SHARE_NS);
}
