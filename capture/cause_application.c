// SPDX-License-Identifier: GPL-3.0-or-later
/* cause_application.c - the sending application has nothing to send */
#include "capture/cause.h"

#include <stdio.h>

#define ALIKE_PART 8 /* flights are alike within 1/8 */

/* Whether as much was in flight in the mean, within 1/8. */
static bool alike(const struct epoch *one, const struct epoch *other)
{
	return cause_alike(one->flight, other->flight, other->flight / ALIKE_PART);
}

/*
 * Whether no more comes in flight in many round trips, while bursts begin by themselves: it is not
 * ACKs that let them go. Bursts may end with a full segment, as Nagle's algorithm holds the rest of
 * a write back; then few must follow ACKs, and the mean of what is in flight must be the same in
 * most round trips, which a pacer's is not when its host is late.
 */
static bool is_steady(const struct evidence *v)
{
	unsigned all = v->e->bursts, on_ack = v->e->bursts_on_ack, ended = v->e->bursts_ended;
	unsigned same = 0, i;

	if (!cause_stands_still(v))
		return false;
	for (i = 1; i <= EPOCHS_KEPT; i++) {
		const struct epoch *p = cause_past(v, i);

		all += p->bursts;
		on_ack += p->bursts_on_ack;
		ended += p->bursts_ended;
		same += alike(p, v->e);
	}
	if (all < EPOCHS_KEPT)
		return false;
	if (ended * 2 >= all)
		return on_ack * 5 < all * 3;
	return on_ack * 5 < all * 2 && all >= 3 * EPOCHS_KEPT && same * 4 >= EPOCHS_KEPT * 3;
}

/*
 * Whether less than a segment is in flight, round trip after round trip. Any congestion window and
 * any buffer lets that one go. Nagle's algorithm may let it wait for an ACK, but only because there
 * is no more to send; that matters where the ACK is late, too, which another rule looks for.
 */
static bool is_tiny(const struct evidence *v)
{
	unsigned i;

	if (v->e->peak >= v->mss || !cause_stands_still(v))
		return false;
	for (i = 1; i <= EPOCHS_KEPT; i++)
		if (cause_past(v, i)->late_acks)
			return false;
	return true;
}

/* Most bursts follow all that there was to send. */
static bool ended(const struct epoch *e)
{
	return e->bursts && e->bursts_ended * 5 >= e->bursts * 4;
}

/*
 * Silence with everything acknowledged is the clock's to tell. This rule is
 * for data in flight: what an application writes now and then goes out at
 * once, whenever it is written, and ends with PSH; what waits for a window
 * goes out when an ACK comes.
 */
static bool limits(const struct evidence *v)
{
	const struct epoch *e = v->e;
	uint64_t busy = e->held[HOLD_FLIGHT] + e->held[HOLD_WINDOW];

	if (e->retrans || e->room < 2 * v->mss || !busy)
		return false;
	if (is_tiny(v))
		return true;
	if (cause_by_own_clock(v, e)) {
		if (ended(e) || cause_stands_still(v))
			return true;
	} else if (!v->t->lost && cause_goes_on(v, CAUSE_SEND_BUFFER)) {
		/* What is known to be all of its buffer, it does not send by itself. */
		return false;
	}
	/* In the first round trips a pacer spreads the initial window, whatever is behind it. */
	if (!cause_past(v, 2))
		return false;
	if (is_steady(v))
		return true;
	if (e->bursts < 2 || !ended(e))
		return false;
	/* Where ACKs come as regularly as writes, small segments tell: nobody waits with those. */
	return e->bursts_on_ack * 2 < e->bursts ||
	       (e->bursts >= 4 && e->small * 4 >= e->bursts * 3 && e->full <= 8u * e->small);
}

/* Before its clock had shown, what it sent by that was taken for something else. */
static bool includes(const struct evidence *v, const struct epoch *before)
{
	bool tiny = before->peak < v->mss && is_tiny(v);

	if (before->judged == CAUSE_SEND_BUFFER)
		return tiny || cause_by_own_clock(v, before);
	if (before->judged != CAUSE_START)
		return false;
	if (tiny)
		return true;
	return is_steady(v) || (cause_own_clock(v) && (ended(before) || alike(before, v->e)));
}

static void remedy(const struct flow *f, unsigned from, char *text, size_t len)
{
	const struct direction *d = &f->dir[from];
	uint64_t all = 0;
	unsigned i;

	for (i = 0; i < CAUSES; i++)
		all += d->held[i];

	snprintf(
		text, len,
		"The sender has nothing to send %.0f %% of the time: look at its disk, its processor, or "
		"the protocol above TCP, which may wait for answers. No tuning of TCP or of the path helps "
		"while it waits; fewer, larger or parallel requests do.",
		all ? 100.0 * (double)d->held[CAUSE_APPLICATION] / (double)all : 0.0);
}

const struct cause cause_application = {
	.name = "application",
	.rule = "everything is acknowledged and nothing follows for an eighth of a round trip (at least 1 ms); "
		"or, after two round trips, at least 4/5 of the bursts follow a small segment with PSH and less than half begin after an ACK, or 3/4 end with a small segment; or what is in flight has not grown in 9 round trips, less than 3/5 of the bursts begin after an ACK and half end with a small segment, or less than 2/5 begin after one, there are 3 a round trip and in 3/4 of these the mean in flight is alike (within 1/8); or bursts follow a small segment with PSH, or what is in flight has not grown in 9 round trips, and no more is in flight (but for 1/8) than when, in the last 32 round trips, a clock of its own has shown: over 9 round trips half of the bursts, 5 at least, began when no ACK had come for 5 ms, or after 2/3 of the pauses of 4 ms, 18 of them at least, more than 2 segments were sent with no ACK before, or 1/6 of the bursts, 4 at least, began less than 1/4 ms before an ACK came, and 1 ms after any other, or less than 1/10 of those after an ACK within 1/4 ms (and the path's jitter) of it; or what is in flight is less than a segment, and has not grown in 9 round trips in which no ACK was delayed",
	.source =
		"Siekkinen et al., \"Root cause analysis for long-lived TCP connections\", 2005; Zhang et "
		"al., T-RAT, 2002",
	.limits = limits,
	.includes = includes,
	.remedy = remedy,
};
