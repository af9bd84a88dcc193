// SPDX-License-Identifier: GPL-3.0-or-later
/* cause_send_buffer.c - the sender keeps no more in flight than its own buffer holds */
#include "capture/cause.h"

#include <stdio.h>

#define LOOK_BACK  3 /* round trips over which the flight must stand still */
#define LONG_LOOK  7 /* …if PSH alone tells what made it stop */
#define FULL_SLACK 8 /* peaks are alike within 1/8 */

/* What the bursts of some round trips were like. */
struct bursts {
	unsigned all, on_ack, pushed, small;
};

static void add(struct bursts *b, const struct epoch *e)
{
	b->all += e->bursts;
	b->on_ack += e->bursts_on_ack;
	b->pushed += e->bursts_pushed;
	b->small += e->small;
}

/*
 * Whether the bytes in flight are the same in the mean, within 1/16 or a segment, as in each of the
 * @back round trips before, none of which had a loss. Adds up their bursts.
 */
static bool plateau(const struct evidence *v, unsigned back, struct bursts *b)
{
	uint32_t slack = v->e->flight / 16 > v->mss ? v->e->flight / 16 : v->mss;
	unsigned i;

	*b = (struct bursts){0};
	add(b, v->e);
	for (i = 1; i <= back; i++) {
		const struct epoch *p = cause_past(v, i);

		if (!p || p->retrans || !cause_alike(p->flight, v->e->flight, slack))
			return false;
		add(b, p);
	}
	return true;
}

/*
 * Whether the buffer is all in flight in each of many round trips, but for one: no more, and hardly
 * less. That is how a paced sender shows it (BBR), which makes no bursts that could end with PSH.
 * Once that is known, it is so for as long as what is in flight stays the same.
 */
static bool is_full(const struct evidence *v)
{
	uint32_t low = v->e->peak - v->e->peak / FULL_SLACK,
		 high = v->e->peak + v->e->peak / FULL_SLACK;
	unsigned i, others = 0;

	if (v->t->lost)
		return false;
	if (cause_goes_on(v, CAUSE_SEND_BUFFER))
		return true;
	if (!cause_stands_still(v))
		return false;
	for (i = 1; i <= EPOCHS_KEPT; i++) {
		const struct epoch *p = cause_past(v, i);

		others += p->peak < low || p->peak > high;
	}
	return others <= 1;
}

/*
 * A sender whose buffer is what limits has all of it in flight: when it stops,
 * it has nothing more to send, so its last segment has PSH, and is likely a
 * small one; and it goes on as soon as an ACK has made room. One that the
 * congestion window holds stops anywhere in the middle of its data, though
 * writes that are as long as the window may make that the same place for a
 * while.
 */
static bool limits(const struct evidence *v)
{
	const struct epoch *e = v->e;
	uint64_t busy = e->held[HOLD_FLIGHT] + e->held[HOLD_WINDOW];
	struct bursts b;

	if (e->retrans || e->held[HOLD_FLIGHT] * 2 < busy || e->room < 2 * v->mss)
		return false;
	if (cause_by_own_clock(v, e))
		return false;
	if (is_full(v))
		return true;
	if (!plateau(v, LOOK_BACK, &b) || b.on_ack * 5 < b.all * 3)
		return false;
	if (b.pushed * 4 >= b.all * 3 && b.small * 2 >= b.all && b.small)
		return true;
	return !v->t->lost && plateau(v, LONG_LOOK, &b) && b.all && b.pushed * 10 >= b.all * 9;
}

/*
 * As much was in flight already, in the mean or at most, and no limit had shown. Or as much in the
 * mean looked like an application's, but it was ACKs that let it go: a host was late for once.
 */
static bool includes(const struct evidence *v, const struct epoch *before)
{
	uint32_t slack = v->e->flight / 16 > v->mss ? v->e->flight / 16 : v->mss;
	bool same = cause_alike(before->flight, v->e->flight, slack);

	if (before->judged == CAUSE_APPLICATION)
		return same && before->bursts_on_ack * 2 >= before->bursts &&
		       !before->held[HOLD_IDLE] && !before->held[HOLD_DRAIN];
	return before->judged == CAUSE_START &&
	       (same || cause_alike(before->peak, v->e->peak, slack));
}

/*
 * It has limited in one of the last round trips, nothing was lost since, and no more is in flight
 * than then; or, if it is ACKs that let bursts go, than in any of them. It is no congestion window
 * that has begun to grow, nor a pacer's that tries now and then whether more comes through.
 */
static bool lingers(const struct evidence *v)
{
	const struct epoch *e = v->e;
	uint32_t most = 0, last = 0;
	unsigned i;

	if (v->t->lost || e->retrans || cause_by_own_clock(v, e))
		return false;
	for (i = 1; i <= EPOCHS_KEPT; i++) {
		const struct epoch *p = cause_past(v, i);

		if (!p)
			break;
		most = p->peak > most ? p->peak : most;
		if (p->judged == CAUSE_SEND_BUFFER && !last)
			last = p->peak;
	}
	if (!last)
		return false;
	if (e->bursts && e->bursts_on_ack * 5 >= e->bursts * 3)
		last = most;
	return e->peak <= last + last / FULL_SLACK;
}

/* Bytes in flight while the buffer limited. */
static double mean_flight(const struct direction *d)
{
	return (double)d->flight_area / (double)d->held[CAUSE_SEND_BUFFER];
}

/* What is in flight at most, in a mean round trip. */
static double ceiling(const struct flow *f, unsigned from)
{
	const struct direction *d = &f->dir[from];
	double rtt = cause_mean_rtt_s(f);

	if (!d->held[CAUSE_SEND_BUFFER] || rtt <= 0)
		return 0;
	return mean_flight(d) * 8 / rtt;
}

static void remedy(const struct flow *f, unsigned from, char *text, size_t len)
{
	const struct direction *d = &f->dir[from];
	char allowed[32], got[32];

	cause_rate_text(allowed, sizeof(allowed), ceiling(f, from));
	cause_rate_text(got, sizeof(got), cause_rate(d));
	snprintf(
		text, len,
		"Never more than %.0f B are in flight though the window would allow %u: the sender's buffer "
		"holds no more. %.0f B / %.4g ms of round trip = %s, and the transfer gets %s. `accel = yes` "
		"on this tag, so that the buffer only has to cover the LAN; or larger send buffers at the "
		"sender. Larger windows change nothing.",
		mean_flight(d), f->dir[!from].window_max, mean_flight(d), cause_mean_rtt_s(f) * 1e3,
		allowed, got);
}

const struct cause cause_send_buffer = {
	.name = "send_buffer",
	.rule = "the mean of bytes in flight is the same (within 1/16, or MSS) in 4 round trips without loss, the window has room, at least 3/5 of the bursts begin right after an ACK, and 3/4 of them follow a segment with PSH, half of them a small one; or 9/10 follow PSH in 8 round trips, and nothing was lost before; or most in flight is the same (within 1/8) and has not grown (by more than 1/64, or MSS) in 9 round trips, nothing was lost before, and it is no application's; and then until more is in flight (by more than 1/8; if at least 3/5 of the bursts begin after ACKs, than in any of the 8 round trips before), or something is lost; and not where as little in flight has shown a clock of the sender's own",
	.source =
		"Timmer, de Boer, Pras, \"How to identify the speed limiting factor of a TCP flow\", 2006; "
		"PSH: RFC 9293 3.9.1.2",
	.limits = limits,
	.lingers = lingers,
	.ceiling = ceiling,
	.includes = includes,
	.remedy = remedy,
};
