// SPDX-License-Identifier: GPL-3.0-or-later
/* limit.c - what the sender saw, and what held it, round trip by round trip */
/*
 * Theory of operation
 *
 * Limits are the sender's: what it has in flight is what it has sent and not
 * yet seen acknowledged. Where the capture stands elsewhere, an ACK reaches
 * the sender, and the sender's answer the capture, only after the round trip
 * between the two. So ACKs wait in a queue for the least of these round trips
 * before they count. At the sender that is next to nothing; at the receiver it
 * is the whole path (Zhang, Breslau, Paxson, Shenker: "On the Characteristics
 * and Origins of Internet Flow Rates", 2002, has to guess where this one
 * measures: by time stamps, or the handshake).
 *
 * Time is accounted for between events, by what holds the sender, as Linux's
 * own tcp_info does: nothing to send (everything acknowledged), the receive
 * window (the next full segment does not fit), a zero window, or something
 * that cannot be seen at once (congestion window, send buffer, pacing,
 * application): HOLD_FLIGHT.
 *
 * About each round trip is an epoch. When one ends, the rules of cause.c judge
 * what its HOLD_FLIGHT was, from what happened in it and in those before it.
 * An epoch ends when data are sent, never in between; so a silence is never
 * cut up, and costs no more than one that is short.
 *
 *	hold     after data        after an ACK
 *	IDLE     -                 nothing in flight, window open
 *	ZERO     no room, window too small for MSS
 *	WINDOW   no room for MSS   stays until half of the window is free
 *	FLIGHT   room              the rest
 *
 * What is sent after a silence tells what the silence was: an RTO makes it
 * HOLD_TIMEOUT. If all was acknowledged and nothing followed for a while, the
 * sender had nothing to send ever since its last data: HOLD_DRAIN.
 */
#include "capture/cause.h"
#include "capture/flow_impl.h"

#include <stdlib.h>

#define EPOCH_MIN_NS (10 * NS_PER_MS) /* shorter round trips are taken several at a time */
#define EPOCH_MAX_NS (2 * NS_PER_S)
#define RESTART_NS \
	(200 * NS_PER_MS) /* an idle sender may begin anew (RFC 9293 3.8.1, RFC 5681 4.1) */
#define BACK_EPOCHS   4	  /* in which a round trip to the sender still tells */
#define REACTION_NS   (500 * NS_PER_US) /* within which a host answers what it was waiting for */
#define ANSWER_NS     NS_PER_MS /* …at the latest, however long the path is: 9 of 10 in 0.3 ms */
#define JITTER_MAX_NS NS_PER_MS /* that an answer may be late by and still be one */
#define REST_NS	      (4 * NS_PER_MS) /* that a pacer rests for only after two segments: else 1 ms */
#define LATE_NS	      (5 * NS_PER_MS)	/* that a program is woken late by on a busy host */
#define PROMPT_NS     (250 * NS_PER_US) /* …and most of them: nobody is late each time */
#define JITTER_PART   16
#define PATH_PART     256
#define DELAYED_ACK_NS                                                             \
	(30 * NS_PER_MS) /* Linux waits 40 ms, others up to 500 (RFC 1122 4.2.3.2) \
			  */
#define NEVER (UINT64_MAX / 2)

static uint64_t pause_ns(const struct flow *f)
{
	uint64_t part = flow_rtt_ns(f) / 16;

	return part > REACTION_NS ? part : REACTION_NS;
}

static uint64_t epoch_length(const struct flow *f)
{
	uint64_t rtt = ((uint64_t)f->dir[0].rtt.last_us + f->dir[1].rtt.last_us) * NS_PER_US;

	return rtt < EPOCH_MIN_NS ? EPOCH_MIN_NS : rtt > EPOCH_MAX_NS ? EPOCH_MAX_NS : rtt;
}

static void epoch_begin(struct track *t, uint64_t now)
{
	t->now = (struct epoch){
		.start_ns = now, .rtt_min = UINT64_MAX, .back_min = UINT64_MAX, .room = UINT32_MAX};
}

/* Puts an epoch among those that the rules look back on. */
static void epoch_keep(struct track *t, const struct epoch *e)
{
	static const struct epoch none;
	struct epoch *slot = &t->past[t->n_past % EPOCHS_KEPT];
	const struct epoch *old = t->n_past++ < EPOCHS_KEPT ? &none : slot;
	struct rhythm *r = &t->rhythm;

	r->bursts += (uint32_t)e->bursts - old->bursts;
	r->on_ack += (uint32_t)e->bursts_on_ack - old->bursts_on_ack;
	r->prompt += (uint32_t)e->bursts_prompt - old->bursts_prompt;
	r->own += (uint32_t)e->bursts_own - old->bursts_own;
	r->early += (uint32_t)e->bursts_early - old->bursts_early;
	r->rests += (uint32_t)e->rests - old->rests;
	r->rests_own += (uint32_t)e->rests_own - old->rests_own;
	*slot = *e;
}

/* Forgets the epochs before. */
static void epochs_forget(struct track *t)
{
	t->n_past = 0;
	t->rhythm = (struct rhythm){0};
}

/* Begins to look at a direction, or again after it was quiet. */
void limit_begin(struct flow *f, unsigned from, uint64_t now)
{
	struct direction *d = &f->dir[from];
	struct track *t = d->track;

	uint64_t last = d->last_ack_ns > d->last_data_ns ? d->last_ack_ns : d->last_data_ns;

	/* After a quiet time this one counts as idle, if data follow. */
	now = last && last < now ? last : now;
	t->view_ns = t->event_ns = t->data_ns = t->ack_ns = t->last_sent_ns = now;
	t->view_una = d->una;
	t->view_edge = d->edge;
	t->hold = HOLD_IDLE;
	t->ack_waits_ns = NEVER;
	epoch_begin(t, now);
}

/* The part of an epoch's time that losses hold, if it was judged so. */
static unsigned loss_cause(const struct track *t, unsigned judged)
{
	return judged == CAUSE_PMTU_BLACK_HOLE ? judged
	       : t->lost && t->lost_queue      ? CAUSE_PATH
					       : CAUSE_CONGESTION;
}

/* Gives the epochs that led to a judgement, and had to be taken for something else, to it, too. */
static void reconsider(struct direction *d, const struct evidence *v, unsigned judged)
{
	const struct cause *c = cause_of(judged);
	struct track *t = d->track;
	unsigned i;

	for (i = 1; c->includes && i <= EPOCHS_KEPT && i <= t->n_past; i++) {
		struct epoch *p = &t->past[(t->n_past - i) % EPOCHS_KEPT];
		unsigned was = p->judged;
		uint64_t ns = p->held[HOLD_FLIGHT];

		if (was == judged)
			continue;
		if (!c->includes(v, p))
			return;
		if (judged == CAUSE_PMTU_BLACK_HOLE)
			ns += p->held[HOLD_TIMEOUT];
		ns = ns < d->held[was] ? ns : d->held[was];
		d->held[was] -= ns;
		d->held[judged] += ns;
		if (judged == CAUSE_SEND_BUFFER)
			d->flight_area += ns * (uint64_t)p->peak;
		p->judged = (uint8_t)judged;
		if (p->cause == was) {
			p->cause = (uint8_t)judged;
			interval_recause(d, p->start_ns, was, judged);
		}
	}
}

/* Gives time to causes: what the clock told at once, the rest as judged. */
static void give_time(struct direction *d, struct epoch *e, unsigned judged)
{
	unsigned loss = loss_cause(d->track, judged);
	unsigned window = judged == CAUSE_PATH || judged == CAUSE_NAGLE_DELAYED_ACK
				  ? judged
				  : CAUSE_RECEIVE_WINDOW;
	uint64_t given[CAUSES] = {0}, largest;
	unsigned i, most = judged;

	given[CAUSE_APPLICATION] += e->held[HOLD_IDLE] + e->held[HOLD_DRAIN];
	given[CAUSE_ZERO_WINDOW] += e->held[HOLD_ZERO];
	given[loss] += e->held[HOLD_TIMEOUT];
	given[window] += e->held[HOLD_WINDOW];
	given[judged] += e->held[HOLD_FLIGHT];
	largest = given[judged];
	for (i = 0; i < CAUSES; i++) {
		/* No branch: it could not be foreseen. */
		most = given[i] > largest ? i : most;
		largest = given[i] > largest ? given[i] : largest;
		d->held[i] += given[i];
	}
	d->window_area += given[CAUSE_RECEIVE_WINDOW] * (uint64_t)e->window;
	d->flight_area += given[CAUSE_SEND_BUFFER] * (uint64_t)e->peak;
	e->judged = (uint8_t)judged;
	e->cause = (uint8_t)most;
	interval_add(d, e->start_ns, e->end_ns, most);
}

static uint64_t excess(uint64_t value, uint64_t least)
{
	return value != UINT64_MAX && value > least ? value - least : 0;
}

/*
 * Whether what follows long pauses is sent when no ACK has come. What the ACKs before took to be
 * answered is the time of a program that is late, not of a queue.
 */
static bool unasked(const struct epoch *e)
{
	return e->rests >= 2 && e->rests_own * 2 >= e->rests;
}

/*
 * What every packet to the sender and back waited. Far from it, these round trips are seldom
 * measured (one time stamp at a time): if none was, the last one of the epochs before holds.
 */
static uint64_t waited_back(const struct flow *f, unsigned from, const struct epoch *e)
{
	const struct rtt *back = &f->dir[from].rtt;
	const struct track *t = f->dir[from].track;
	unsigned i;

	if (unasked(e))
		return 0;
	if (e->back_n || back->min <= f->dir[!from].rtt.min)
		return excess(e->back_min, back->min);
	for (i = 1; i <= BACK_EPOCHS && i <= t->n_past; i++)
		if (t->past[(t->n_past - i) % EPOCHS_KEPT].back_n)
			return excess((uint64_t)back->last_us * NS_PER_US, back->min);
	return 0;
}

/* Up to which flight a clock of the sender's own has shown: none, once more is in flight without.
 */
static void note_clock(const struct evidence *v, struct track *t)
{
	bool still = cause_by_own_clock(v, v->e);

	if (cause_own_clock(v)) {
		t->own_flight = still && t->own_flight > v->e->peak ? t->own_flight : v->e->peak;
		t->own_round = v->d->rounds;
	} else if (!still) {
		t->own_flight = 0;
	}
}

static void epoch_close(struct flow *f, unsigned from, uint64_t now)
{
	struct direction *d = flow_direction(f, from), *r = flow_direction(f, !from);
	struct track *t = d->track;
	struct epoch *e = &t->now;
	struct evidence v = {.f = f,
			     .from = from,
			     .d = d,
			     .t = t,
			     .e = e,
			     .rtt_ns = flow_rtt_ns(f),
			     .queue_ns = excess(e->rtt_min, r->rtt.min) + waited_back(f, from, e),
			     .mss = direction_mss(f, from)};
	unsigned judged;
	uint64_t rate, busy;

	e->end_ns = now;
	busy = e->held[HOLD_WINDOW] + e->held[HOLD_FLIGHT] + e->held[HOLD_TIMEOUT];
	e->queue_ns = v.queue_ns;
	busy += e->held[HOLD_DRAIN];
	e->flight = busy ? (uint32_t)(e->area / busy) : 0;
	if (e->rtt_n)
		v.wait_ns += excess(e->rtt_sum / e->rtt_n, r->rtt.min);
	if (e->back_n && !unasked(e))
		v.wait_ns += excess(e->back_sum / e->back_n, d->rtt.min);
	if (v.wait_ns < v.queue_ns)
		v.wait_ns = v.queue_ns;
	/* A DSACK has told that none of it was lost (RFC 2883). */
	if (t->lost && d->lost <= t->lost_base)
		t->lost = false;
	note_clock(&v, t);
	judged = cause_judge(&v);
	reconsider(d, &v, judged);
	give_time(d, e, judged);
	/* Whatever was lost before is made up for where something else limits now. */
	if (!e->retrans && (judged == CAUSE_RECEIVE_WINDOW || judged == CAUSE_SEND_BUFFER ||
			    judged == CAUSE_APPLICATION))
		t->lost = false;
	if (now > e->start_ns) {
		rate = (uint64_t)((double)e->acked * 1e9 / (double)(now - e->start_ns));
		d->best_rate = rate > d->best_rate ? rate : d->best_rate;
	}
	d->rounds++;
	epoch_keep(t, e);
	epoch_begin(t, now);
}

/* …while data are in flight. */
static inline void account_flight(const struct direction *d, struct track *t, uint64_t dt)
{
	struct epoch *e = &t->now;
	uint64_t flight = d->next > t->view_una ? d->next - t->view_una : 0;

	e->area += flight * dt;
	t->tail_ns += dt;
}

/* Accounts for the time up to @now by what holds the sender. */
static inline void account(struct direction *d, uint64_t now)
{
	struct track *t = d->track;
	uint64_t dt = now - t->view_ns;

	if (unlikely(now <= t->view_ns))
		return;
	t->view_ns = now;
	/* Before its first data and after its last ones a direction is not limited by anything. */
	if (unlikely(!d->first_data_ns))
		return;
	t->now.held[t->hold] += dt;
	account_flight(d, t, ((t->hold != HOLD_IDLE) & (t->hold != HOLD_ZERO)) ? dt : 0);
}

/* Moves time of this epoch from what it was taken for to what it turned out to be. */
static uint64_t reassign(struct epoch *e, unsigned is, unsigned was, uint64_t ns)
{
	if (ns > e->held[was])
		ns = e->held[was];
	e->held[was] -= ns;
	e->held[is] += ns;
	return ns;
}

/*
 * Whether a window is as good as closed. Nobody sends less than a full segment into so small a one
 * (RFC 9293 3.8.6.2.1), but for a probe.
 */
static inline bool closed(const struct direction *d, const struct direction *r, uint64_t window)
{
	return !window || (window < d->mss && window * 2 < r->window_max);
}

/* An ACK reaches the sender. */
static inline void view_ack(struct direction *d, const struct direction *r, const struct acked *a,
			    uint64_t when)
{
	struct track *t = d->track;
	struct epoch *e = &t->now;
	uint64_t edge = a->ack + a->window, window, room;
	uint32_t mss = d->mss;

	account(d, when > t->event_ns ? when : t->event_ns);
	if (unlikely(t->unasked_ns)) {
		e->bursts_early += when - t->unasked_ns < PROMPT_NS;
		t->unasked_ns = 0;
	}
	if (a->ack > t->view_una) {
		uint64_t since = t->ack_ns > e->start_ns ? t->ack_ns : e->start_ns;
		uint64_t silence = when > since ? when - since : 0;

		e->silence_ns = silence > e->silence_ns ? silence : e->silence_ns;
		e->acked += (uint32_t)(a->ack - t->view_una);
		if (!d->fin || a->ack < d->next || t->view_una + 1 < a->ack)
			t->done_ns = when;
		t->view_una = a->ack;
		t->ack_ns = when;
	} else if (edge > t->view_edge) {
		t->ack_ns = when; /* a window update is an answer, too */
	}
	if (edge > t->view_edge)
		t->view_edge = edge;
	window = t->view_edge > t->view_una ? t->view_edge - t->view_una : 0;
	room = t->view_edge > d->next ? t->view_edge - d->next : 0;
	if (d->next <= t->view_una) {
		if (t->hold != HOLD_IDLE && t->hold != HOLD_ZERO)
			t->tail_hold = t->hold;
		t->hold = closed(d, r, window) ? HOLD_ZERO : HOLD_IDLE;
	} else if (closed(d, r, window)) {
		t->hold = HOLD_ZERO;
	} else if (t->hold == HOLD_ZERO || (t->hold == HOLD_WINDOW && room > window / 2)) {
		t->hold = room < mss ? HOLD_WINDOW : HOLD_FLIGHT;
	}
}

/*
 * The ACK that most are: of a direction that has sent nothing new, and whose window has room. The
 * same comes of view_ack(). Returns whether it was one.
 */
static inline bool view_idle_ack(struct direction *d, const struct acked *a, uint64_t when)
{
	struct track *t = d->track;
	uint64_t edge = a->ack + a->window;

	edge = edge > t->view_edge ? edge : t->view_edge;
	if (t->hold != HOLD_IDLE || a->ack > t->view_una || d->next > t->view_una ||
	    edge < t->view_una + d->mss)
		return false;
	account(d, when > t->event_ns ? when : t->event_ns);
	if (edge > t->view_edge) {
		t->view_edge = edge;
		t->ack_ns = when; /* a window update is an answer, too */
	}
	return true;
}

/* Lets the ACKs that have reached the sender by @now count. */
static __attribute__((noinline)) void acks_arrive(struct flow *f, struct direction *d, uint64_t now)
{
	const struct direction *r = &f->dir[!direction_end(f, d)];
	struct track *t = d->track;
	uint64_t lag = d->rtt.min;

	while (t->acks_n) {
		struct acked *a = &t->acks[t->acks_head % ACKS_KEPT];

		if (a->time_ns + lag > now)
			break;
		t->acks_head++;
		t->acks_n--;
		if (!view_idle_ack(d, a, a->time_ns + lag))
			view_ack(d, r, a, a->time_ns + lag);
	}
	t->ack_waits_ns = t->acks_n ? t->acks[t->acks_head % ACKS_KEPT].time_ns : NEVER;
}

static inline void advance(struct flow *f, struct direction *d, uint64_t now)
{
	if (d->track->ack_waits_ns + d->rtt.min <= now)
		acks_arrive(f, d, now);
}

/* Lets the ACKs that have reached the sender by @now count, and accounts for the time. */
void limit_advance(struct flow *f, struct direction *d, uint64_t now)
{
	advance(f, d, now);
	account(d, now);
	d->track->event_ns = now;
}

/* Accounts for the time up to the last event, before something changes that comes after it. */
void limit_settle(struct direction *d)
{
	account(d, d->track->event_ns);
}

/* An ACK passes the capture on its way to the sender. */
void limit_queue_ack(struct flow *f, struct direction *d, const struct acked *a)
{
	struct track *t = d->track;
	struct acked *at;
	uint64_t now = a->time_ns;
	/* In a queue that is full, ACKs that are closer together than this become one. */
	uint64_t close = d->rtt.min / (ACKS_KEPT / 2);

	/* Time is not accounted for: an ACK that is on its way changes nothing yet. */
	advance(f, d, now);
	t->event_ns = now;
	if (t->acks_n) {
		at = &t->acks[(t->acks_head + t->acks_n - 1) % ACKS_KEPT];
		if (now - at->time_ns < close || t->acks_n == ACKS_KEPT) {
			uint64_t edge = at->ack + at->window, more = a->ack + a->window;

			at->ack = a->ack > at->ack ? a->ack : at->ack;
			at->window = (uint32_t)((more > edge ? more : edge) - at->ack);
			return;
		}
	}
	at = &t->acks[(t->acks_head + t->acks_n) % ACKS_KEPT];
	t->ack_waits_ns = t->acks_n++ ? t->ack_waits_ns : now;
	*at = *a;
	if (!d->rtt.min)
		acks_arrive(f, d, now);
}

/*
 * How much round trips to the sender differ from one to the next (RFC 3550 6.4.1). Who answers late
 * by the same each time has no jitter.
 */
static void note_jitter(struct track *t, uint64_t back_ns)
{
	uint64_t last = t->back_ns ? t->back_ns : back_ns;
	/* No branch: it could not be foreseen. */
	uint64_t differ = (uint64_t)llabs((int64_t)(back_ns - last));

	t->jitter_ns += differ / JITTER_PART - t->jitter_ns / JITTER_PART;
	t->back_ns = back_ns;
}

/* Takes round trips: to the receiver and to the sender; 0: none. */
void limit_round_trip(struct direction *d, const struct direction *r, uint64_t forth_ns,
		      uint64_t back_ns)
{
	struct track *t = d->track;
	struct epoch *e;

	if (unlikely(!t))
		return;
	e = &t->now;
	if (forth_ns) {
		e->rtt_sum += forth_ns;
		e->rtt_n++;
		e->rtt_min = forth_ns < e->rtt_min ? forth_ns : e->rtt_min;
		e->late_acks += !t->full & (forth_ns > r->rtt.min + DELAYED_ACK_NS);
	}
	if (back_ns) {
		note_jitter(t, back_ns);
		e->back_sum += back_ns;
		e->back_n++;
		e->back_min = back_ns < e->back_min ? back_ns : e->back_min;
	}
}

static bool any_idle(const struct epoch *e)
{
	return e->late || e->held[HOLD_IDLE] || e->held[HOLD_DRAIN];
}

/*
 * Whether a sender that stopped because all of its buffer was in flight is late for once. A program
 * that waits for its buffer has to be woken first; but who is late each time has nothing to send.
 */
static bool late_for_once(struct track *t, uint64_t idle)
{
	const struct epoch *last = &t->past[(t->n_past - 1) % EPOCHS_KEPT];

	if (!t->n_past || last->judged != CAUSE_SEND_BUFFER || any_idle(last) || t->now.late ||
	    t->now.held[HOLD_IDLE] > idle || t->now.held[HOLD_DRAIN])
		return false;
	return t->tail_hold == HOLD_FLIGHT && t->now.peak >= last->peak - last->peak / 8;
}

/* Ends a silence in which the sender had nothing to send. */
static void end_of_idle(struct flow *f, unsigned from, uint64_t now)
{
	struct direction *d = flow_direction(f, from);
	struct track *t = d->track;
	struct epoch *e = &t->now;
	uint64_t since = t->ack_ns > t->data_ns ? t->ack_ns : t->data_ns;
	uint64_t idle = now - since < e->held[HOLD_IDLE] ? now - since : e->held[HOLD_IDLE];
	bool prompt = idle < 2 * pause_ns(f), late = !prompt && late_for_once(t, idle);

	if (prompt || (late && idle < LATE_NS)) {
		/* It was waiting for that very ACK. */
		reassign(e, t->tail_hold, HOLD_IDLE, idle);
		e->late += late;
		return;
	}
	if (t->tail_hold == HOLD_FLIGHT && !late)
		reassign(e, HOLD_DRAIN, HOLD_FLIGHT, t->tail_ns);
	if (idle < epoch_length(f))
		return;
	e->held[HOLD_IDLE] -= idle;
	epoch_close(f, from, now - idle);
	t->now.start_ns = now;
	d->held[CAUSE_APPLICATION] += idle;
	interval_add(d, now - idle, now, CAUSE_APPLICATION);
	if (idle >= RESTART_NS) {
		epochs_forget(t);
		t->lost = false;
	}
}

/*
 * Whether a loss was made by the flow's own queue: packets before it had waited for about as long
 * as any ever did, and long enough to be a queue (Biaz, Vaidya: "Distinguishing congestion losses
 * from wireless transmission losses", 1998; T-RAT).
 */
static bool by_own_queue(const struct flow *f, unsigned from)
{
	const struct direction *d = &f->dir[from], *r = &f->dir[!from];
	const struct track *t = d->track;
	uint64_t wait = excess((uint64_t)r->rtt.last_us * NS_PER_US, r->rtt.min) +
			excess((uint64_t)d->rtt.last_us * NS_PER_US, d->rtt.min);
	uint64_t most = (r->rtt.max - r->rtt.min) + (d->rtt.max - d->rtt.min);
	uint64_t least = flow_rtt_ns(f) / 25, before = 0;

	/* It is mended a round trip or more after it happened. */
	if (t->n_past)
		before = t->past[(t->n_past - 1) % EPOCHS_KEPT].queue_ns;
	wait = wait > before ? wait : before;
	least = least < 2 * NS_PER_MS ? 2 * NS_PER_MS : least;
	return wait >= least && wait >= most / 2;
}

static void note_loss(struct flow *f, unsigned from, const struct sent_kind *k)
{
	struct track *t = f->dir[from].track;
	struct epoch *e = &t->now;

	e->retrans++;
	e->timeouts += k->timeout;
	/* What was sent before the first of some losses was mended, the same thing has lost. */
	if (!t->lost || k->start >= t->lost_until) {
		uint32_t n = flow_segments(f, from, (uint32_t)(k->end - k->start));

		if (!t->lost)
			t->lost_base = f->dir[from].lost > n ? f->dir[from].lost - n : 0;
		t->lost = true;
		t->lost_queue = by_own_queue(f, from);
		t->lost_until = f->dir[from].next;
	}
	e->lost_queue += t->lost_queue;
}

/*
 * How much later than at best answers come because of the path to the sender: as they have
 * differed, and, since that was measured only now and then, a small part of a path that is long.
 */
static uint64_t jitter(const struct direction *d)
{
	uint64_t most = d->rtt.min < JITTER_MAX_NS ? d->rtt.min : JITTER_MAX_NS;
	uint64_t part = d->rtt.min / PATH_PART, late = d->track->jitter_ns;

	late = late > part ? late : part;
	return late < most ? late : most;
}

/*
 * Whether data show that an ACK had not come when they were sent: they echo the time stamp of one
 * before it (RFC 7323 4.3).
 */
static inline bool had_not_come(const struct segment *s, const struct acked *a)
{
	return s->has_ts && a->tsval && (int32_t)(s->tsecr - a->tsval) < 0;
}

/*
 * How long ago the sender got the ACK that data at @now may answer. One that is due in a moment, by
 * the least round trip to the sender, may have come: that was measured only now and then. But where
 * data show that those that are due about now had not come, but the one before, it is that one
 * (@early: and these came a little after). Where they show so of many ACKs, it is a queue that
 * they, or the ACKs, have waited in.
 */
static uint64_t since_ack(const struct direction *d, const struct segment *s, uint64_t now,
			  bool *early)
{
	const struct track *t = d->track;
	const struct acked *acks = t->acks;
	uint64_t lag = d->rtt.min, soon = lag < PROMPT_NS ? lag : PROMPT_NS;
	uint64_t late = PROMPT_NS + jitter(d), since;
	uint32_t room = ACKS_KEPT - t->acks_n, come = t->acks_head, i;
	uint32_t first = t->acks_head - (t->acks_head < room ? t->acks_head : room);

	while (come - t->acks_head < t->acks_n &&
	       acks[come % ACKS_KEPT].time_ns + lag <= now + soon)
		come++;
	since = come != t->acks_head ? 0 : now - t->ack_ns;
	for (i = come; i != first && had_not_come(s, &acks[(i - 1) % ACKS_KEPT]); i--)
		if (acks[(i - 1) % ACKS_KEPT].time_ns + lag + late < now)
			return since;
	*early = i != come && i != first;
	if (!*early)
		return since;
	since = now - acks[(i - 1) % ACKS_KEPT].time_ns;
	return since > lag ? since - lag : 0;
}

/*
 * A burst that follows a pause. That the sender had sent all it had before the
 * pause shows by PSH on its last segment, or by a small one that comes first
 * now: Nagle's algorithm had held that back until an ACK came (RFC 896).
 */
static void note_burst(struct flow *f, unsigned from, const struct segment *s,
		       const struct sent_kind *k, uint64_t now)
{
	const struct direction *d = &f->dir[from];
	struct track *t = d->track;
	struct epoch *e = &t->now;
	uint64_t pause = pause_ns(f), late = jitter(d), rest = now - t->data_ns, since;
	uint64_t soon = (pause < ANSWER_NS ? pause : ANSWER_NS) + late;
	bool held = !!(s->flags & TCP_PSH) & (s->len < direction_mss(f, from));
	bool ended = (t->pushed & !t->full) | held, early = false;

	if (rest < pause && rest < REST_NS)
		return;
	since = since_ack(d, s, now, &early);
	if (rest >= REST_NS && !k->again) {
		e->rests++;
		e->rests_own += since >= soon && k->start - t->rested > 2 * direction_mss(f, from);
		t->rested = k->start;
	}
	if (rest < pause)
		return;
	e->bursts++;
	e->bursts_pushed += t->pushed || held;
	e->bursts_ended += ended;
	e->bursts_on_ack += since < soon;
	e->bursts_prompt += since < PROMPT_NS + late;
	e->bursts_own += (since >= LATE_NS) & ended;
	e->bursts_early += early & ended & (since >= soon);
	t->unasked_ns = (!early & ended & (since >= soon)) ? now : 0;
}

static inline uint32_t larger(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

/* Data leave the sender; limit_advance() has been called for @now. */
void limit_data(struct flow *f, struct direction *d, struct direction *r, const struct segment *s,
		const struct sent_kind *k, uint64_t now)
{
	struct track *t = d->track;
	struct epoch *e = &t->now;
	uint64_t flight, room, window;
	uint32_t mss = d->mss;

	if (unlikely(d->first_data_ns == now && d->fresh == k->fresh)) {
		epoch_begin(t, now);
		t->data_ns = now;
	}
	if (t->hold == HOLD_IDLE)
		end_of_idle(f, direction_end(f, d), now);
	if (unlikely(k->timeout)) {
		uint64_t left = t->tail_ns;

		left -= reassign(e, HOLD_TIMEOUT, HOLD_FLIGHT, left);
		reassign(e, HOLD_TIMEOUT, HOLD_WINDOW, left);
	}
	if (now - e->start_ns >= EPOCH_MIN_NS && now - e->start_ns >= epoch_length(f))
		epoch_close(f, direction_end(f, d), now);
	if (unlikely(k->probe || k->reordered))
		return;
	if (unlikely(k->again))
		note_loss(f, direction_end(f, d), k);
	if (now - t->data_ns >= REACTION_NS) /* the shortest pause there is */
		note_burst(f, direction_end(f, d), s, k, now);
	t->tail_ns = 0;
	t->data_ns = now;
	t->pushed = s->flags & TCP_PSH;
	t->full = k->full;
	e->fresh += k->fresh;
	e->full += k->segments - !k->full;
	e->small += !k->full;
	flight = d->next > t->view_una ? d->next - t->view_una : 0;
	window = t->view_edge > t->view_una ? t->view_edge - t->view_una : 0;
	room = t->view_edge > d->next ? t->view_edge - d->next : 0;
	flight = flight > UINT32_MAX ? UINT32_MAX : flight;
	window = window > UINT32_MAX ? UINT32_MAX : window;
	e->peak = larger(e->peak, (uint32_t)flight);
	d->peak = larger(d->peak, (uint32_t)flight);
	e->room = room < e->room ? (uint32_t)room : e->room;
	e->window = (!e->window | (window < e->window)) ? (uint32_t)window : e->window;
	t->hold = !d->have_ack || room >= mss ? HOLD_FLIGHT
		  : closed(d, r, window)      ? HOLD_ZERO
					      : HOLD_WINDOW;
}

/* No more packets, or none for long: judges what is left. */
void limit_end(struct flow *f, unsigned from)
{
	struct direction *d = &f->dir[from];
	struct track *t = d->track;
	struct epoch *e = &t->now;
	uint64_t last;

	if (!d->first_data_ns)
		return;
	limit_advance(f, d, t->event_ns + d->rtt.min);
	last = t->data_ns > t->done_ns ? t->data_ns : t->done_ns;
	/* What follows the last ACK is nobody's time. */
	if (t->hold == HOLD_IDLE) {
		uint64_t idle = t->view_ns > last ? t->view_ns - last : 0;

		e->held[HOLD_IDLE] -= idle < e->held[HOLD_IDLE] ? idle : e->held[HOLD_IDLE];
	}
	t->tail_ns = 0;
	epoch_close(f, from, last);
}
