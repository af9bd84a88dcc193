// SPDX-License-Identifier: GPL-3.0-or-later
/* share.c - streams to one peer share what frames leave of its rate */
/*
 * The kernel paces each stream. Those that have sent something since the last
 * look divide the share evenly; one that begins between two looks may send as
 * much as it would get among them.
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

static void share_of_peer(struct accel *a, unsigned peer, uint64_t elapsed_ns)
{
	uint64_t sent = 0, share;
	struct stream *s;
	unsigned active = 0;

	for (s = a->shards->streams; s; s = s->next) {
		if (s->peer != peer || s->dead)
			continue;
		s->active = s->wrote != s->wrote_before;
		active += s->active;
		sent += s->wrote - s->wrote_before;
		s->wrote_before = s->wrote;
	}
	sent = clock_rate_bps(sent, elapsed_ns) / SEGMENT_PAYLOAD * SEGMENT_WIRE;
	share = clock_bytes_in(a->host.share(a->host.ctx, peer, sent), NS_PER_S) / SEGMENT_WIRE *
		SEGMENT_PAYLOAD;
	for (s = a->shards->streams; s; s = s->next)
		if (s->peer == peer && !s->dead)
			pace(s, share / (active + !s->active));
}

static void tick(void *ctx)
{
	struct accel *a = ctx;
	uint64_t now = clock_ns(), elapsed = now - a->shared_ns;
	unsigned i;

	a->shared_ns = now;
	for (i = 0; i < a->conf.n_peers; i++)
		if (a->conf.rate_bps[i])
			share_of_peer(a, i, elapsed ? elapsed : 1);
}

/* Begins to divide the rates of the peers that have one. */
void share_start(struct accel *a)
{
	bool any = false;
	unsigned i;

	for (i = 0; i < a->conf.n_peers; i++)
		any |= a->conf.rate_bps[i] != 0;
	a->share_timer = (struct loop_timer){.expired = tick, .ctx = a};
	a->shared_ns = clock_ns();
	if (any)
		loop_timer_start(a->shards->loop, &a->share_timer, SHARE_NS, SHARE_NS);
}
