// SPDX-License-Identifier: GPL-3.0-or-later
/* growth.c - how many stripes a flow should have, from what they bring. Pure */
/*
 * Theory of operation
 *
 *	measure with n ── limited by its stripes ──▶ try 2n: settle, measure ── a quarter more ──▶ n
 *= 2n ▲                                                │ └──────── wait, twice as long each time
 *◀────────┘ no
 *
 * A stripe costs memory, and other flows their share of a path. So stripes are
 * added only while the flow is limited by those that it has, and kept only if
 * goodput has risen. A loss-based congestion control on a lossy path gains by
 * each; BBR, and whatever fills the path, by none: such flows stay with one,
 * but for a try now and then.
 */
#include "accel/growth.h"

static void settle(struct growth *g, const struct growth_look *l)
{
	uint64_t trips = GROWTH_SETTLE_TRIPS * l->rtt_ns;

	g->since_ns = 0;
	g->looks = g->limited = 0;
	g->settled_ns = l->now_ns + (trips > GROWTH_SETTLE_NS ? trips : GROWTH_SETTLE_NS);
}

/* A measurement with n has ended. */
static void judge(struct growth *g, const struct growth_look *l, uint64_t goodput)
{
	bool full = l->rate && goodput >= l->rate / 100 * GROWTH_FULL_PERCENT;

	g->base = goodput;
	if (2 * g->limited < g->looks || full || g->n >= l->max || l->short_memory ||
	    l->now_ns < g->next_ns)
		return;
	g->tried = 2 * g->n < l->max ? 2 * g->n : l->max;
}

/* A measurement with more than n has ended. */
static void conclude(struct growth *g, const struct growth_look *l, uint64_t goodput)
{
	if (goodput >= g->base / 100 * (100 + GROWTH_GAIN_PERCENT)) {
		g->n = g->tried;
		g->wait_ns = 0;
	} else {
		g->wait_ns = g->wait_ns ? 2 * g->wait_ns : GROWTH_WAIT_NS;
		if (g->wait_ns > GROWTH_WAIT_MAX_NS)
			g->wait_ns = GROWTH_WAIT_MAX_NS;
		g->next_ns = l->now_ns + g->wait_ns;
	}
	g->tried = 0;
	judge(g, l, goodput);
}

/* Takes note of a look. Returns how many stripes the flow should have now. */
unsigned growth_next(struct growth *g, const struct growth_look *l)
{
	uint64_t trips = GROWTH_MEASURE_TRIPS * l->rtt_ns, elapsed;

	if (!g->settled_ns)
		settle(g, l);
	if (l->now_ns < g->settled_ns)
		return g->tried ? g->tried : g->n;
	if (!g->since_ns) {
		g->since_ns = l->now_ns;
		g->bytes = l->sent;
	}
	g->looks++;
	g->limited += l->limited;
	elapsed = l->now_ns - g->since_ns;
	if (elapsed >= GROWTH_MEASURE_NS && elapsed >= trips) {
		double goodput = (double)(l->sent - g->bytes) * 1e9 / (double)elapsed;

		(g->tried ? conclude : judge)(g, l, (uint64_t)goodput);
		settle(g, l);
	}
	if (g->n > l->max)
		g->n = l->max;
	return g->tried ? g->tried : g->n;
}
