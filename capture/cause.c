// SPDX-License-Identifier: GPL-3.0-or-later
/* cause.c - the table of causes, and the order in which their rules are asked */
#include "capture/cause.h"

#include <stdio.h>

#define ALIKE_PART  8
#define OWN_LEAST   5  /* bursts of EPOCHS_KEPT + 1 round trips that no ACK has let go… */
#define OWN_PART    2  /* …and of all of these: a sender that waits for ACKs is late for 3 of 8 */
#define EARLY_LEAST 4  /* that begin a little before an ACK… */
#define EARLY_PART  6  /* …of those of a sender that waits for one, 1 of 8 are so by chance */
#define RESTS_LEAST 18 /* long pauses, 2 a round trip… */
#define OWN_ROUNDS  32 /* for which what they have shown holds */
#define PROMPT_PART 10 /* of those after an ACK: who waits for it is prompt in 1 of 4 at least */
#define STILL_PART  64 /* of the flight: growth below that, or a segment or two, is none */

static const struct cause *const causes[CAUSES] = {
	[CAUSE_RECEIVE_WINDOW] = &cause_receive_window,
	[CAUSE_SEND_BUFFER] = &cause_send_buffer,
	[CAUSE_APPLICATION] = &cause_application,
	[CAUSE_CONGESTION] = &cause_congestion,
	[CAUSE_PATH] = &cause_path,
	[CAUSE_START] = &cause_start,
	[CAUSE_NAGLE_DELAYED_ACK] = &cause_nagle_delayed_ack,
	[CAUSE_ZERO_WINDOW] = &cause_zero_window,
	[CAUSE_PMTU_BLACK_HOLE] = &cause_pmtu_black_hole,
	[CAUSE_UNKNOWN] = &cause_unknown,
};

/* Rules that see a limit at work, those that need the most evidence first. */
static const uint8_t order[] = {CAUSE_PMTU_BLACK_HOLE, CAUSE_NAGLE_DELAYED_ACK, CAUSE_PATH,
				CAUSE_RECEIVE_WINDOW,  CAUSE_APPLICATION,	CAUSE_SEND_BUFFER};
/* Then those that tell what is still felt. */
static const uint8_t after[] = {CAUSE_PATH, CAUSE_CONGESTION, CAUSE_SEND_BUFFER, CAUSE_START};

/* A cause by its number. */
const struct cause *cause_of(unsigned id)
{
	return causes[id < CAUSES ? id : CAUSE_UNKNOWN];
}

/* Judges what limited an epoch while data were in flight. */
unsigned cause_judge(const struct evidence *v)
{
	size_t i;

	for (i = 0; i < sizeof(order); i++)
		if (causes[order[i]]->limits(v))
			return order[i];
	for (i = 0; i < sizeof(after); i++)
		if (causes[after[i]]->lingers(v))
			return after[i];
	return CAUSE_UNKNOWN;
}

/* The epoch @back before this one; NULL if it is not kept, or belongs to an earlier busy time. */
const struct epoch *cause_past(const struct evidence *v, unsigned back)
{
	if (!back || back > v->t->n_past || back > EPOCHS_KEPT)
		return NULL;
	return &v->t->past[(v->t->n_past - back) % EPOCHS_KEPT];
}

/* Whether the epoch before was judged so, and as much is in flight as in that one, within 1/8. */
bool cause_goes_on(const struct evidence *v, unsigned judged)
{
	const struct epoch *last = cause_past(v, 1);
	uint32_t slack = v->e->peak / ALIKE_PART;

	return last && last->judged == judged && last->peak + slack >= v->e->peak &&
	       last->peak <= v->e->peak + slack;
}

/* Takes a number into the two largest of some. */
static void keep_largest(uint32_t two[2], uint32_t n)
{
	if (n > two[0]) {
		two[1] = two[0];
		two[0] = n;
	} else if (n > two[1]) {
		two[1] = n;
	}
}

/*
 * Whether what is in flight at most has not grown over EPOCHS_KEPT round trips in which nothing was
 * lost, though the window has room for it; but for one of them, since hosts are late at times. No
 * congestion window that is used up stands still so long: it doubles in a round trip, or grows by a
 * segment (RFC 5681 3.1), or, BBR's, probes.
 */
bool cause_stands_still(const struct evidence *v)
{
	uint32_t late[2] = {v->e->peak, 0}, early[2] = {0}, slack;
	unsigned i;

	if (v->t->lost || v->e->retrans || v->e->room < 2 * v->mss)
		return false;
	for (i = 1; i <= EPOCHS_KEPT; i++) {
		const struct epoch *p = cause_past(v, i);

		if (!p || p->retrans)
			return false;
		keep_largest(i < EPOCHS_KEPT / 2 ? late : early, p->peak);
	}
	slack = early[1] / STILL_PART;
	slack = slack < v->mss ? v->mss : slack > 2 * v->mss ? 2 * v->mss : slack;
	return late[1] <= early[1] + slack;
}

/* Whether two numbers of bytes differ by no more than @slack. */
bool cause_alike(uint32_t one, uint32_t other, uint32_t slack)
{
	return one <= other + slack && other <= one + slack;
}

/*
 * Whether bursts begin by a clock of the sender's own and not when ACKs come. Either most begin
 * when none has come for long; or no ACK ends the pauses after more than a pacer lets go at once,
 * which is 2 segments, or as many as fit a millisecond (Linux, net.ipv4.tcp_min_tso_segs,
 * sk_pacing_shift). Or ACKs come a little before, by chance, as writes and round trips take equal
 * times; then hardly any burst follows as promptly as most of somebody's who has waited, or now and
 * then one is a little early.
 */
bool cause_own_clock(const struct evidence *v)
{
	const struct epoch *e = v->e;
	const struct rhythm *past = &v->t->rhythm;
	uint32_t all = past->bursts + e->bursts, on_ack = past->on_ack + e->bursts_on_ack;
	uint32_t own = past->own + e->bursts_own, early = past->early + e->bursts_early;
	uint32_t rests = past->rests + e->rests, rests_own = past->rests_own + e->rests_own;

	if (own >= OWN_LEAST && own * OWN_PART >= all)
		return true;
	if (early >= EARLY_LEAST && early * EARLY_PART >= all)
		return true;
	if (rests_own >= RESTS_LEAST && rests_own * 3 >= rests * 2)
		return true;
	return on_ack > EPOCHS_KEPT && (past->prompt + e->bursts_prompt) * PROMPT_PART < on_ack;
}

/*
 * Whether no more is in flight, but for 1/8, than when it has shown a clock of its own, which is
 * less than OWN_ROUNDS ago. A buffer would have held that much, too: it is not what limits.
 */
bool cause_by_own_clock(const struct evidence *v, const struct epoch *e)
{
	uint32_t own = v->t->own_flight;

	return own && e->peak <= own + own / ALIKE_PART &&
	       v->d->rounds - v->t->own_round < OWN_ROUNDS;
}

/* How long an epoch was, in nanoseconds. */
uint64_t cause_duration(const struct epoch *e)
{
	return e->end_ns > e->start_ns ? e->end_ns - e->start_ns : 0;
}

/* The mean round trip from end to end in seconds; 0 if unknown. */
double cause_mean_rtt_s(const struct flow *f)
{
	double s = 0;
	unsigned i;

	for (i = 0; i < 2; i++)
		if (f->dir[i].rtt.n)
			s += (double)f->dir[i].rtt.sum / f->dir[i].rtt.n / 1e9;
	return s;
}

/* What a direction gets, bits a second, from its first data to the last ACK. */
double cause_rate(const struct direction *d)
{
	uint64_t end = d->last_ack_ns > d->last_data_ns ? d->last_ack_ns : d->last_data_ns;

	return end > d->first_data_ns ? (double)d->fresh * 8e9 / (double)(end - d->first_data_ns)
				      : 0;
}

/* A number with three digits and the prefix that fits. */
static char *scaled(char *buf, size_t len, double value, const char *unit)
{
	static const char prefix[] = " kMGT";
	unsigned i = 0;

	for (; value >= 999.5 && prefix[i + 1]; i++)
		value /= 1000;
	snprintf(buf, len, "%.3g %.*s%s", value, i > 0, &prefix[i], unit);
	return buf;
}

/* Writes a rate for people: "2.22 Mbit/s". */
char *cause_rate_text(char *buf, size_t len, double bps)
{
	return scaled(buf, len, bps, "bit/s");
}

/* Writes a number of bytes for people, decimal as rates are: "52.4 MB". */
char *cause_bytes_text(char *buf, size_t len, uint64_t bytes)
{
	return scaled(buf, len, (double)bytes, "B");
}
