// SPDX-License-Identifier: GPL-3.0-or-later
/* cause_path.c - the bottleneck's rate is reached */
#include "capture/cause.h"

#include <stdio.h>

#define QUEUE_PART   8	     /* of the round trip: a queue that stands, not jitter */
#define QUEUE_LEAST  1500000 /* ns */
#define RATE_SLACK   8	     /* rates are alike within 1/8… */
#define FLIGHT_SLACK 8	     /* …while flights differ by more than 1/8 */
#define LOOK_BACK    5
#define STANDING_PART \
	32 /* of the round trip: a queue that is small, but stands for LOOK_BACK of them */

/* ACKs come all the time: what is in flight fills the pipe, not a piece of it. */
static bool pipe_full(const struct evidence *v)
{
	uint64_t span = cause_duration(v->e);
	uint64_t trip = v->rtt_ns > v->queue_ns ? v->rtt_ns : v->queue_ns;

	return v->e->acked && v->e->silence_ns * 3 < (span < trip ? span : trip) + 4 * QUEUE_LEAST;
}

static double rate_of(const struct epoch *e)
{
	uint64_t ns = cause_duration(e);

	return ns ? (double)e->acked / (double)ns : 0;
}

/* Whether bursts begin when no ACK has come, after all that there was: an application's. */
static bool by_itself(const struct epoch *e)
{
	/* Writes may be as regular as ACKs; then it shows that most bursts are small. */
	bool writes = e->small * 4 >= e->bursts * 3 && e->full <= 8u * e->small;

	return e->bursts >= 2 && e->bursts_ended * 5 >= e->bursts * 4 &&
	       (writes || e->bursts_on_ack * 4 <= e->bursts);
}

/*
 * The rate stands still over some round trips, and either more in flight has not made it faster, or
 * packets had to wait all the while: more than that would wait somewhere, too.
 */
static bool saturated(const struct evidence *v)
{
	double rate = rate_of(v->e), least = rate, most = rate;
	uint64_t low = v->e->flight, high = low, queue = v->queue_ns;
	unsigned i;

	for (i = 1; i <= LOOK_BACK; i++) {
		const struct epoch *p = cause_past(v, i);

		if (!p)
			return false;
		rate = rate_of(p);
		least = rate < least ? rate : least;
		most = rate > most ? rate : most;
		if (most - least > most / RATE_SLACK)
			return false;
		low = p->flight < low ? p->flight : low;
		high = p->flight > high ? p->flight : high;
		queue += p->queue_ns;
	}
	queue /= LOOK_BACK + 1;
	return (high - low > high / FLIGHT_SLACK && v->wait_ns > QUEUE_LEAST) ||
	       (queue > QUEUE_LEAST && queue > v->rtt_ns / STANDING_PART);
}

static bool limits(const struct evidence *v)
{
	uint64_t queue = v->rtt_ns / QUEUE_PART;

	/* Of small writes, ACKs are delayed: that is no queue. */
	if (!pipe_full(v) || by_itself(v->e))
		return false;
	if (v->queue_ns > QUEUE_LEAST && v->queue_ns > queue)
		return true;
	return saturated(v);
}

static bool lingers(const struct evidence *v)
{
	return v->t->lost && v->t->lost_queue;
}

/* The best that any round trip got. */
static double ceiling(const struct flow *f, unsigned from)
{
	return (double)f->dir[from].best_rate * 8;
}

static void remedy(const struct flow *f, unsigned from, char *text, size_t len)
{
	const struct direction *d = &f->dir[from], *r = &f->dir[!from];
	char got[32];

	cause_rate_text(got, sizeof(got), cause_rate(d));
	snprintf(
		text, len,
		"The path carries no more: %s, and what is sent beyond that waits (up to %.3g ms) or is dropped "
		"by its queue. A faster path, or less to send: compression, or nothing else on it meanwhile. "
		"Windows and buffers are large enough.",
		got, (double)(r->rtt.max - r->rtt.min + d->rtt.max - d->rtt.min) / 1e6);
}

const struct cause cause_path = {
	.name = "path",
	.rule = "ACKs come evenly (no silence of a third of the round trip, or of what is waited if that is longer), bursts are not an application's, and every packet of the round trip "
		"waits (at least 1/8 of the round trip and 1.5 ms; on the sender's side of the capture not where most of what follows a pause of 4 ms is sent when no ACK has come), or over 6 round trips rates are alike "
		"within 1/8 while flights differ by more, or while 1/32 of the round trip was "
		"waited for; or a loss came when packets waited as long as ever",
	.source = "Zhang et al., T-RAT, 2002; Siekkinen et al., 2005; Cardwell et al., BBR, 2016",
	.limits = limits,
	.lingers = lingers,
	.ceiling = ceiling,
	.remedy = remedy,
};
