// SPDX-License-Identifier: GPL-3.0-or-later
/* track.c - sequence numbers of one direction: what is sent again and why, round trips */
/*
 * Theory of operation
 *
 * Sent segments wait in a ring, in order of sequence numbers, until they are
 * acknowledged. An ACK gives a round trip for the newest segment it covers,
 * unless that was sent twice (Karn) or had been there before the ACK could
 * tell (a hole was filled).
 *
 * Data that begin behind what is expected leave a hole. What fills one was
 * either overtaken or lost before the capture: the IP identification, which
 * hosts count up, tells, or else the time, since a loss cannot be mended in
 * less than a round trip (Jaiswal et al., "Measurement and classification of
 * out-of-sequence packets in a tier-1 IP backbone", 2007).
 *
 * Data seen before are a retransmission: fast if duplicate ACKs or SACKs asked
 * for it (RFC 5681 3.2, RFC 6675), a probe if it is the tail and came early
 * (RFC 8985 7) or asks for a window, else a time-out (RFC 6298). What a DSACK
 * reports (RFC 2883) was sent again needlessly.
 */
#include "capture/flow_impl.h"

#include <stdlib.h>
#include <string.h>

#define DUP_ACKS	3 /* RFC 5681 section 3.2 */
#define SENT_FIRST	32
#define RTO_MIN_NS	(200 * NS_PER_MS) /* Linux's and Windows's; RFC 6298 would have 1 s */
#define POSITION_JUMP	(1ull << 30)	  /* further than any window: not of this stream */
#define DUPLICATE_US	1000000u	  /* a copy that comes later is something else */
#define ID_STEP		256 /* an identification may grow by so much from one data packet to the next */
#define ID_ORDERLY	8    /* so many in a row show that the host counts them up… */
#define ID_RECENT	1024 /* …and then one that is older by up to so many is a copy */
#define MSS_SMALL	1000 /* what may be shorter than a path allows */
#define BLACK_HOLE_FULL 3 /* time-outs of one full-size segment in a row, as RFC 4821 7.7 wants */

static struct sent *sent_at(struct track *t, uint32_t i)
{
	return &t->sent[(t->sent_head + i) & (t->sent_room - 1)];
}

static __attribute__((cold)) bool grow_sent(struct track *t)
{
	uint32_t room = t->sent_room ? t->sent_room * 2 : SENT_FIRST, i;
	struct sent *larger;

	if (room > SENT_MAX)
		return false;
	larger = malloc(room * sizeof(*larger));
	if (!larger)
		return false;
	for (i = 0; i < t->sent_n; i++)
		larger[i] = *sent_at(t, i);
	free(t->sent);
	t->sent = larger;
	t->sent_room = room;
	t->sent_head = 0;
	return true;
}

static inline void sent_push(struct track *t, uint64_t end, uint32_t len, uint64_t now)
{
	if (t->sent_n == t->sent_room && !grow_sent(t)) {
		if (!t->sent_n)
			return;
		t->sent_head++; /* the oldest is forgotten: no round trip of it */
		t->sent_n--;
	}
	*sent_at(t,
		 t->sent_n++) = (struct sent){.end = end, .time_ns = now, .len = len, .times = 1};
}

/* Index of the first segment in flight that ends behind @position; sent_n if none. */
static uint32_t sent_find(struct track *t, uint64_t position)
{
	uint32_t low = 0, high = t->sent_n;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (sent_at(t, mid)->end > position)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

/* ---------------------------------------------------------------- duplicates */

static uint32_t signature(const struct segment *s)
{
	uint64_t h, numbers, header, times;

	memcpy(&numbers, &s->ack, sizeof(numbers));
	memcpy(&header, &s->flags, sizeof(header));
	memcpy(&times, &s->tsecr, sizeof(times));
	h = numbers ^ header * 0x9e3779b97f4a7c15ull;
	h += (times + s->len) * 0xc2b2ae3d27d4eb4full;
	h *= 0x9e3779b97f4a7c15ull;
	return (uint32_t)(h >> 32) | 1;
}

/* @first: the packet's MACs when it came first; NULL if that is not known, nor how long ago. */
static __attribute__((cold)) void note_duplicate(struct direction *d, const struct segment *s,
						 uint64_t offset_ns, const uint8_t *first,
						 uint8_t ttl)
{
	struct duplicates *dup = d->dup;

	if (!dup)
		dup = d->dup = calloc(1, sizeof(*dup));
	if (!dup)
		return;
	dup->packets++;
	dup->bytes += s->frame;
	if (!first)
		return;
	if (!dup->timed++) {
		dup->offset_min_ns = offset_ns;
		dup->ttl_less = (int16_t)(ttl - s->ttl);
		dup->has_macs = s->macs;
		if (s->macs) {
			memcpy(dup->macs[0], first, 12);
			memcpy(dup->macs[1], s->macs, 12);
		}
	}
	dup->offset_sum_ns += offset_ns;
	if (offset_ns < dup->offset_min_ns)
		dup->offset_min_ns = offset_ns;
	if (offset_ns > dup->offset_max_ns)
		dup->offset_max_ns = offset_ns;
}

/* Whether a packet is the one with the same signature, @age_us later. */
static __attribute__((cold)) bool is_copy(struct direction *d, const struct segment *s,
					  uint32_t slot, uint32_t age_us, uint64_t rtt_ns)
{
	const struct track *t = d->track;
	uint64_t age = (uint64_t)age_us * NS_PER_US;

	if (age_us >= DUPLICATE_US)
		return false;
	if (!s->ip_id && (!s->len || age >= (rtt_ns ? rtt_ns / 2 : NS_PER_MS)))
		return false;
	note_duplicate(d, s, age, t->macs[slot], t->ttls[slot]);
	return true;
}

/* Looks for a packet among those of a moment ago, and takes the place of what it meets there. */
static inline bool recall(struct direction *d, const struct segment *s, uint64_t now,
			  uint64_t rtt_ns)
{
	uint32_t sig = signature(s), us = (uint32_t)(now / NS_PER_US);
	uint32_t slot = sig >> 16 & (RECENT_PACKETS - 1);
	struct track *t = d->track;
	struct recent *before = &t->recent[slot];

	if (before->signature == sig && is_copy(d, s, slot, us - before->time_us, rtt_ns))
		return true;
	*before = (struct recent){.signature = sig, .time_us = us};
	t->ttls[slot] = s->ttl;
	/* All of these bytes are one word. */
	if (s->macs)
		memcpy(t->macs[slot], s->macs, sizeof(t->macs[slot]));
	else
		memset(t->macs[slot], 0, sizeof(t->macs[slot]));
	return false;
}

/* Makes a track that has seen nothing. Returns NULL without memory. */
struct track *track_new(void)
{
	const size_t unread = offsetof(struct track, recent);
	struct track *t = malloc(sizeof(*t));

	if (t)
		memset((char *)t + unread, 0, sizeof(*t) - unread);
	return t;
}

/*
 * Whether a packet is one that was seen a moment ago. The IP identification
 * tells: hosts count it up, also for what they send again. Where there is
 * none (IPv6, or 0), data count as a duplicate only if they came sooner than
 * half a round trip, in which no sender can know that anything was lost.
 */
bool track_duplicate(struct direction *d, const struct segment *s, uint64_t now, uint64_t rtt_ns)
{
	return recall(d, s, now, rtt_ns);
}

/* Notes the first packet, of which a copy may follow. */
void track_remember(struct direction *d, const struct segment *s, uint64_t now)
{
	recall(d, s, now, 0);
}

/* ---------------------------------------------------------------------- data */

static __attribute__((cold)) void add_hole(struct direction *d, uint64_t start, uint64_t end,
					   const struct segment *s, uint64_t now)
{
	struct track *t = d->track;

	d->gaps++;
	if (t->n_holes == HOLES_MAX)
		memmove(t->holes, t->holes + 1, --t->n_holes * sizeof(*t->holes));
	t->holes[t->n_holes++] =
		(struct hole){.start = start, .end = end, .time_ns = now, .ip_id = s->ip_id};
}

static void remove_hole(struct track *t, uint32_t i)
{
	t->n_holes--;
	memmove(&t->holes[i], &t->holes[i + 1], (t->n_holes - i) * sizeof(*t->holes));
}

/* Takes [start, end) out of a hole. Returns how many bytes of it were missing. */
static uint32_t fill_hole(struct track *t, uint32_t i, uint64_t start, uint64_t end)
{
	struct hole *h = &t->holes[i];
	uint64_t from = start > h->start ? start : h->start, to = end < h->end ? end : h->end;

	if (from == h->start && to == h->end) {
		remove_hole(t, i);
	} else if (from == h->start) {
		h->start = to;
	} else if (to == h->end) {
		h->end = from;
	} else {
		/* What is behind it stays missing; what is before it, too, if there is room. */
		if (t->n_holes < HOLES_MAX) {
			t->holes[t->n_holes] = *h;
			t->holes[t->n_holes++].end = from;
		}
		t->holes[i].start = to;
	}
	return (uint32_t)(to - from);
}

static bool was_overtaken(const struct hole *h, const struct segment *s, uint64_t now,
			  uint64_t rtt_ns)
{
	int16_t later = (int16_t)(s->ip_id - h->ip_id);

	if (s->ip_id && h->ip_id && later && later > -4096 && later < 4096)
		return later < 0;
	return now - h->time_ns < rtt_ns - rtt_ns / 4;
}

/* What a segment fills of what was missing. Returns the bytes; 0 if it is none of it. */
static uint32_t fill_holes(struct flow *f, unsigned from, const struct segment *s,
			   struct sent_kind *k, uint64_t now)
{
	struct direction *d = flow_direction(f, from);
	struct track *t = d->track;
	uint32_t filled = 0, i = 0;

	while (i < t->n_holes) {
		const struct hole *h = &t->holes[i];
		uint32_t n = t->n_holes;

		if (k->end <= h->start || k->start >= h->end) {
			i++;
			continue;
		}
		if (was_overtaken(h, s, now, flow_rtt_ns(f)))
			k->reordered = true;
		else if (now - h->time_ns >= RTO_MIN_NS && t->dupacks < DUP_ACKS &&
			 t->sack_high < k->end)
			k->timeout = true;
		filled += fill_hole(t, i, k->start, k->end);
		i += t->n_holes >= n;
	}
	return filled;
}

/* Why a segment that was in flight is sent again. */
static enum retrans why_again(struct direction *d, const struct sent_kind *k,
			      const struct sent *first, uint64_t now, uint64_t rtt_ns)
{
	struct track *t = d->track;
	uint64_t age = first ? now - first->time_ns : now - t->last_sent_ns;

	/* What is lost a second time is mended within about a round trip, or by the timer. */
	if (first && first->times > 1 && age >= RTO_MIN_NS && age >= 2 * rtt_ns)
		return RETRANS_RTO;
	if (t->in_timeout && k->start < t->recover && !t->in_fast)
		return t->sack_high > k->end && age < RTO_MIN_NS ? RETRANS_FAST : RETRANS_RTO;
	if (t->dupacks >= DUP_ACKS || t->sack_high > k->start ||
	    (t->in_fast && k->start < t->recover))
		return RETRANS_FAST;
	/* Far from the sender it may have been acknowledged here when the sender probes. */
	if (k->end == d->next && (first ? first->times == 1 : k->end <= d->una) &&
	    (k->start > d->una || age < RTO_MIN_NS) && age < 3 * rtt_ns + RTO_MIN_NS)
		return RETRANS_PROBE;
	return RETRANS_RTO;
}

/* A full-size segment that times out again and again, while smaller ones pass. */
static void note_timeout(struct flow *f, unsigned from, const struct segment *s)
{
	struct direction *d = &f->dir[from];
	struct track *t = d->track;
	uint32_t mss = direction_mss(f, from);

	if (s->len + 12 < mss || s->len < MSS_SMALL)
		t->big_timeouts = 0;
	else if (t->big_timeouts < UINT8_MAX)
		t->big_timeouts++;
	if (t->big_timeouts >= BLACK_HOLE_FULL && !d->too_big)
		d->black_hole = true;
}

static void count_again(struct flow *f, unsigned from, const struct segment *s, struct sent_kind *k,
			enum retrans why)
{
	struct direction *d = flow_direction(f, from);
	struct track *t = d->track;
	uint32_t len = (uint32_t)(k->end - k->start);
	uint32_t n = len == s->len ? k->segments : flow_segments(f, from, len);

	d->retrans[why] += n;
	d->lost += n;
	k->again = true;
	k->timeout = why == RETRANS_RTO;
	if (why == RETRANS_RTO) {
		if (!t->in_timeout)
			t->recover = d->next;
		t->in_timeout = true;
		t->in_fast = false;
		note_timeout(f, from, s);
	} else if (why == RETRANS_FAST && !t->in_fast) {
		t->recover = d->next;
		t->in_fast = true;
		t->in_timeout = false;
	}
}

/*
 * Follows the IP identification of data, which tells whether the sender counts it up. A
 * super-segment has its first segment's.
 * @segments: that it was on the wire
 */
static void note_id(struct track *t, const struct segment *s, uint32_t segments)
{
	int16_t step = (int16_t)(s->ip_id - t->last_id);

	if (step <= 0 || step > ID_STEP)
		t->id_orderly = 0; /* it begins, or it is no counter of the wire's segments */
	else if (t->id_orderly < UINT8_MAX)
		t->id_orderly++;
	t->last_id = (uint16_t)(s->ip_id + segments - 1);
}

/*
 * Whether data that were seen before have an identification from before, too: then nobody has sent
 * them again. A host that has merged segments (GRO) shows copies of them so, each cut differently.
 */
static bool is_old_copy(const struct track *t, const struct segment *s)
{
	int16_t step = (int16_t)(s->ip_id - t->last_id);

	return s->ip_id && t->id_orderly >= ID_ORDERLY && step <= 0 && step > -ID_RECENT;
}

/* Sent before, as far as its number says. */
static __attribute__((noinline)) void old_data(struct flow *f, unsigned from,
					       const struct segment *s, struct sent_kind *k,
					       uint64_t now)
{
	struct direction *d = flow_direction(f, from);
	struct track *t = d->track;
	struct sent *first = NULL;
	uint32_t i;

	k->fresh = fill_holes(f, from, s, k, now);
	if (k->fresh && k->reordered) {
		d->reordered += k->segments;
		return;
	}
	if (k->fresh) {
		count_again(f, from, s, k, k->timeout ? RETRANS_RTO : RETRANS_FAST);
		return;
	}
	if (is_old_copy(t, s)) {
		note_duplicate(d, s, 0, NULL, 0);
		k->reordered = true;
		return;
	}
	i = sent_find(t, k->start);
	if (i < t->sent_n)
		first = sent_at(t, i);
	if (s->len <= 1 && (k->end == d->next || k->end <= d->una)) {
		d->retrans[RETRANS_PROBE]++;
		k->probe = true;
		return;
	}
	count_again(f, from, s, k, why_again(d, k, first, now, flow_rtt_ns(f)));
	for (; i < t->sent_n && sent_at(t, i)->end - sent_at(t, i)->len < k->end; i++) {
		struct sent *at = sent_at(t, i);

		at->time_ns = now;
		at->times++;
	}
}

/* What its windows must be scaled by at least, if data were sent as they were. */
static inline void note_scale(struct direction *d, struct direction *r, uint64_t end, uint32_t len)
{
	uint64_t window;

	if (r->scale_known || len <= 1 || !r->raw_window_max || end <= d->edge || end <= d->una)
		return;
	window = end - d->una;
	while (r->scale_least < 14 && (uint64_t)r->raw_window_max << r->scale_least < window)
		r->shift = ++r->scale_least;
	d->edge = end;
	d->track->view_edge = end;
}

/* Of how many segments of the wire one is, and whether the last of them is full. */
static inline void note_segments(struct sent_kind *k, uint32_t len, uint32_t mss)
{
	/* No branch: it could not be foreseen. */
	uint32_t n = len / mss;

	k->full = n * mss == len;
	k->segments = n + !k->full + !len;
}

/*
 * Takes a data segment, or a FIN.
 * @k: what it is: fresh, again, or overtaken
 */
void track_data(struct flow *f, struct direction *d, struct direction *r, const struct segment *s,
		uint64_t now, struct sent_kind *k)
{
	struct track *t = d->track;
	uint64_t start = unwrap32(d->next, s->seq + !!(s->flags & TCP_SYN));

	*k = (struct sent_kind){.start = start, .end = start + s->len};
	note_segments(k, s->len, d->mss);
	if (unlikely(start - d->next + POSITION_JUMP > 2 * POSITION_JUMP))
		k->start = k->end = d->next; /* of another stream: counted as a packet, no more */
	d->payload += s->len;
	if (unlikely(k->end <= d->next)) {
		if (s->len && k->end > k->start)
			old_data(f, direction_end(f, d), s, k, now);
	} else {
		if (unlikely(k->start > d->next)) {
			add_hole(d, d->next, k->start, s, now);
		} else if (k->start < d->next) {
			/* The old part is a retransmission that was cut anew. */
			struct sent_kind old = {
				.start = k->start, .end = d->next, .segments = k->segments};

			old_data(f, direction_end(f, d), s, &old, now);
			k->again = old.again;
			k->timeout = old.timeout;
			k->start = d->next;
		}
		k->fresh += (uint32_t)(k->end - k->start);
		note_id(t, s, k->segments);
		sent_push(t, k->end, (uint32_t)(k->end - k->start), now);
		d->next = k->end;
		note_scale(d, r, k->end, s->len);
	}
	if (unlikely(s->flags & TCP_FIN && k->end == d->next && !d->rst))
		d->next = k->end + 1;
	d->fresh += k->fresh;
	if (s->len) {
		d->segments += k->segments;
		d->first_data_ns = d->first_data_ns ? d->first_data_ns : now;
		d->last_data_ns = now;
		t->last_sent_ns = now;
	}
}

/* ----------------------------------------------------------------------- ACK */

/* Forgets what is acknowledged. Returns the round trip of the newest of it; 0 if it has none. */
static uint64_t acknowledge(struct direction *d, uint64_t ack, uint64_t now)
{
	struct track *t = d->track;
	const struct sent *ring = t->sent, *at;
	uint32_t head = t->sent_head, n = t->sent_n, mask = t->sent_room - 1;
	uint64_t sample = 0, sack_high = t->sack_high;
	bool clean = !(t->in_fast | t->in_timeout) & !t->dupacks;

	for (; n && (at = &ring[head & mask])->end <= ack; head++, n--) {
		clean &= (at->times <= 1) & (at->end > sack_high);
		sample = now - at->time_ns;
	}
	t->sent_head = head;
	t->sent_n = n;
	return clean ? sample : 0;
}

/* RFC 2883 section 4: the first block lies below the ACK, or within the second one. */
static bool is_dsack(const struct segment *s, uint64_t ack)
{
	uint64_t left = unwrap32(ack, s->sack[0][0]), right = unwrap32(ack, s->sack[0][1]);

	if (right <= ack)
		return true;
	return s->sacks > 1 && left >= unwrap32(ack, s->sack[1][0]) &&
	       right <= unwrap32(ack, s->sack[1][1]);
}

static void read_sacks(struct flow *f, unsigned sender, const struct segment *s, uint64_t ack)
{
	struct direction *d = &f->dir[sender];
	struct track *t = d->track;
	unsigned i = 0;

	if (s->sacks && is_dsack(s, ack)) {
		uint32_t n = flow_segments(f, sender, s->sack[0][1] - s->sack[0][0]);

		/* The network may double packets too: only as many as were sent again. */
		n = n > d->lost ? d->lost : n;
		d->dsacks += n;
		d->lost -= n;
		d->retrans[RETRANS_SPURIOUS] += n;
		i = 1;
	}
	for (; i < s->sacks; i++) {
		uint64_t left = unwrap32(ack, s->sack[i][0]);
		uint64_t right = unwrap32(ack, s->sack[i][1]);

		if (right <= t->sack_high || right > d->next)
			continue;
		/* Full-size segments come through. */
		if (right - (left > t->sack_high ? left : t->sack_high) >= direction_mss(f, sender))
			t->big_timeouts = 0;
		t->sack_high = right;
	}
}

static inline uint32_t scaled_window(const struct direction *d, const struct segment *s)
{
	return unlikely(s->flags & TCP_SYN) ? s->window : (uint32_t)s->window << d->shift;
}

static inline void note_window(struct direction *d, const struct segment *s, uint32_t window)
{
	if (unlikely(s->flags & (TCP_SYN | TCP_RST)))
		return;
	if (unlikely(window < d->window_min || window > d->window_max)) {
		d->window_min = window < d->window_min || !d->window_max ? window : d->window_min;
		d->window_max = window > d->window_max ? window : d->window_max;
	}
	if (unlikely(s->window > d->raw_window_max))
		d->raw_window_max = s->window;
	if (unlikely(!s->window))
		d->zero_windows++;
}

/* Round trip between capture and sender: a time stamp that goes to it, and comes back with data. */
static inline void echo_sent(struct track *t, const struct segment *s, uint64_t now)
{
	bool probe;

	if (unlikely(!s->has_ts))
		return;
	/*
	 * Only the first packet with a time stamp tells when it was new. One branch, which is
	 * seldom taken: each by itself could not be foreseen.
	 */
	probe = t->any_tsval & !t->probing & (s->tsval != t->last_tsval);
	if (probe) {
		t->probing = true;
		t->probe_tsval = s->tsval;
		t->probe_ns = now;
	}
	if (unlikely(!t->any_tsval))
		t->any_tsval = true;
	t->last_tsval = s->tsval;
}

static inline void echo_got(struct direction *d, const struct direction *r, const struct segment *s,
			    uint64_t now)
{
	struct track *t = d->track;
	int32_t past;

	if (unlikely(!t || !s->has_ts))
		return;
	past = (int32_t)(s->tsecr - t->probe_tsval);
	if (!(t->probing & (past >= 0)))
		return;
	t->probing = false;
	if (past > 0)
		return;
	rtt_add(&d->rtt, now - t->probe_ns);
	limit_round_trip(d, r, 0, now - t->probe_ns);
}

/* New data are acknowledged. */
static inline void take_ack(struct direction *d, struct direction *r, uint64_t ack, uint64_t now)
{
	struct track *t = d->track;
	uint64_t sample = acknowledge(d, ack, now);

	if (sample) {
		rtt_add(&r->rtt, sample);
		limit_round_trip(d, r, sample, 0);
	}
	/* Written only where it changes: most ACKs find all of it as it is to be. */
	if (unlikely(t->dupacks))
		t->dupacks = 0;
	if (unlikely(t->big_timeouts))
		t->big_timeouts = 0;
	if (unlikely((t->in_fast | t->in_timeout) && ack >= t->recover))
		t->in_fast = t->in_timeout = false;
	d->last_ack_ns = now;
}

/* RFC 5681 section 2. */
static inline void note_dupack(struct direction *d, const struct segment *s, bool same)
{
	bool again = same & !s->len & !(s->flags & (TCP_SYN | TCP_FIN));

	if (again && d->track->sent_n) {
		d->track->dupacks++;
		d->dupacks++;
	}
}

/*
 * Whether a segment says nothing as an ACK: data, behind others with the same ACK and window, of
 * an end that gets none itself. All that track_ack() would do then is look at the time stamps.
 */
static inline bool says_nothing(const struct direction *d, const struct direction *r,
				const struct segment *s)
{
	return r->said && s->len && s->ack == r->said_ack && s->window == r->said_window &&
	       !s->sacks && !(s->flags & (TCP_SYN | TCP_RST)) && !d->first_data_ns;
}

/* Round trips by time stamps, as a segment of @r tells of both ends. */
static inline void echoes(struct direction *d, struct direction *r, const struct segment *s,
			  uint64_t now)
{
	echo_got(r, d, s, now);
	if (d->track)
		echo_sent(d->track, s, now);
}

/*
 * Takes a segment of one direction, @r, as an ACK of what is sent in the other, @d.
 */
void track_ack(struct flow *f, struct direction *d, struct direction *r, const struct segment *s,
	       uint64_t now)
{
	struct track *t = d->track;
	uint64_t una = d->una, ack = unwrap32(una, s->ack), edge;
	bool news;
	uint32_t window;

	if (says_nothing(d, r, s)) {
		echoes(d, r, s, now);
		return;
	}
	r->said = false;
	window = scaled_window(r, s);
	note_window(r, s, window);
	echo_got(r, d, s, now);
	if (unlikely(ack > d->next + POSITION_JUMP || ack + POSITION_JUMP < una ||
		     s->flags & TCP_RST))
		return;
	if (unlikely(ack > d->next)) {
		d->unseen++; /* somebody else's packet, or one that the capture has missed */
		if (t)
			limit_settle(d);
		d->next = ack;
	}
	edge = ack + window;
	news = (ack > una) | (edge > d->edge);
	if (t) {
		note_dupack(d, s, (ack == una) & (edge == d->edge));
		if (s->sacks)
			read_sacks(f, direction_end(f, d), s, ack);
		if (ack > una)
			take_ack(d, r, ack, now);
	}
	if (ack > una)
		d->una = ack;
	if (edge > d->edge)
		d->edge = edge;
	d->have_ack = true;
	r->said = s->window;
	r->said_ack = s->ack;
	r->said_window = s->window;
	if (t) {
		echo_sent(t, s, now);
		/* Before its first data a sender learns nothing from the same again. */
		if (d->first_data_ns || news)
			limit_queue_ack(f, d,
					&(struct acked){.time_ns = now,
							.ack = ack,
							.window = window,
							.tsval = s->tsval});
	}
}
