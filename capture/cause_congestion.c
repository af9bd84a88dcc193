// SPDX-License-Identifier: GPL-3.0-or-later
/* cause_congestion.c - losses that the flow's own queue has not made keep its congestion window
 * small */
#include "capture/cause.h"

#include <math.h>
#include <stdio.h>

#define MATHIS_C 1.22 /* sqrt(3/2): one ACK a segment, losses evenly spread */

static bool lingers(const struct evidence *v)
{
	return v->t->lost && !v->t->lost_queue;
}

/* Mathis, Semke, Mahdavi, Ott, "The Macroscopic Behavior of the TCP Congestion Avoidance
 * Algorithm", 1997: MSS / RTT * C / sqrt(p). Reno's; CUBIC gets more on long paths. */
static double ceiling(const struct flow *f, unsigned from)
{
	const struct direction *d = &f->dir[from];
	double rtt = cause_mean_rtt_s(f);

	if (!d->lost || rtt <= 0 || !d->segments)
		return 0;
	return direction_mss(f, from) * 8 / rtt * MATHIS_C /
	       sqrt((double)d->lost / (double)d->segments);
}

static void remedy(const struct flow *f, unsigned from, char *text, size_t len)
{
	const struct direction *d = &f->dir[from];

	snprintf(
		text, len,
		"%u of %llu segments (%.3g %%) were lost while nothing queued: the path loses them, or somebody "
		"else fills it. `accel = yes` carries this over the long path by BBR, which such losses do not "
		"slow down, and mends those of the LAN within its own round trip; `longhaul status` tells what "
		"the tunnel's own path loses.",
		d->lost, (unsigned long long)d->segments,
		d->segments ? 100.0 * d->lost / (double)d->segments : 0.0);
}

const struct cause cause_congestion = {
	.name = "congestion",
	.rule = "segments were lost when packets before them had waited less than half as long as ever (or "
		"less than 2 ms or 1/25 of the round trip), and nothing else has limited since",
	.source = "Biaz, Vaidya, 1998; Mathis et al., 1997; RFC 5681",
	.lingers = lingers,
	.ceiling = ceiling,
	.remedy = remedy,
};
