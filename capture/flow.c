// SPDX-License-Identifier: GPL-3.0-or-later
/* flow.c - one connection: handshake, where it is looked at, and what goes to which analysis */
/*
 * Theory of operation
 *
 * A flow has two directions; each is analysed on its own by the same code.
 * A segment is looked at twice: as data of its direction, and as an ACK of
 * the other one.
 *
 *	flow_segment()
 *	  place       each direction is looked at in one place; a packet that is seen
 *	              again at another interface or in another wrapping is counted only
 *	  duplicate   the very same packet again, at the same place: counted only
 *	  handshake   options, round trip
 *	  track.c     sequence numbers: fresh, again, reordered; round trips, losses
 *	  limit.c     what the sender saw, and what held it
 *
 * What is kept of an idle flow is struct flow alone. Everything that only a
 * moving transfer needs is in struct track and goes when the flow is quiet.
 */
#include "capture/flow_impl.h"

#include "lib/tcpopt.h"

#include <stdlib.h>
#include <string.h>

#define MSS_UNKNOWN 536 /* RFC 9293 section 3.7.1 */
#define MSS_LAN	    1460

/* Sets direction_mss() anew: to be called after each change of what it is made of. */
static __attribute__((cold)) void settle_mss(struct flow *f, unsigned end)
{
	struct direction *d = &f->dir[end], *o = &f->dir[!end];
	uint32_t mss = o->mss_option;

	if (d->mss_option && (!mss || d->mss_option < mss))
		mss = d->mss_option; /* paths are the same both ways more often than not */
	if (!mss)
		d->mss = d->largest > MSS_LAN	    ? MSS_LAN
			 : d->largest > MSS_UNKNOWN ? d->largest
						    : MSS_UNKNOWN;
	else
		d->mss = mss - (d->has_ts && mss > 12 ? 12 : 0);
}

/* Begins a flow, of which all is 0 but its key and place. */
void flow_begin(struct flow *f)
{
	unsigned i;

	for (i = 0; i < 2; i++) {
		f->dir[i].wscale = -1;
		f->dir[i].mss = MSS_UNKNOWN;
	}
}

static bool same_spot(const struct sighting *a, const struct sighting *b)
{
	return a->interface == b->interface && a->device == b->device && a->wrap == b->wrap &&
	       a->tag == b->tag;
}

static bool same_place(const struct sighting *a, const struct sighting *b)
{
	return same_spot(a, b) &&
	       (a->way == b->way || a->way == CAP_WAY_UNKNOWN || b->way == CAP_WAY_UNKNOWN);
}

/*
 * Whether a direction is looked at where this packet was seen. A router's or a
 * bridge's capture sees each packet on its way in and on its way out; to look
 * at both would make everything a duplicate. Both directions are looked at in
 * the same spot if they can be.
 */
static inline bool in_place(struct direction *d, const struct direction *o, const struct segment *s)
{
	/* What most are. */
	if (d->seen && !memcmp(&d->at, &s->at, sizeof(d->at)))
		return true;
	if (!d->seen) {
		d->seen = true;
		d->at = s->at;
		return true;
	}
	if (same_place(&d->at, &s->at))
		return true;
	if (d->packets == 1 && o->seen && same_spot(&o->at, &s->at) && !same_spot(&d->at, &o->at))
		d->at = s->at;
	d->elsewhere++;
	return false;
}

/* Whether each end's scale follows from the part of the handshake that was seen (RFC 7323 2.2). */
static void settle_scales(struct flow *f)
{
	struct direction *c = &f->dir[f->client], *s = &f->dir[!f->client];
	bool off = (c->syn && c->wscale < 0) || (s->syn && s->wscale < 0);
	unsigned i;

	if (!f->client_known)
		return;
	for (i = 0; i < 2; i++) {
		struct direction *d = &f->dir[i];

		/* A SYN's offer counts only with the answer; the answer alone proves the offer. */
		if (off || (d->syn && (d == s || s->syn)))
			d->scale_known = true;
		if (off)
			d->wscale = d->syn ? d->wscale : -1;
		if (d->scale_known)
			d->shift = d->wscale > 0 ? (uint8_t)d->wscale : 0;
	}
}

static void handshake(struct flow *f, const struct segment *s, uint64_t now)
{
	struct direction *d = &f->dir[s->from], *o = &f->dir[!s->from];
	bool answer = s->flags & TCP_ACK;

	if (!f->client_known) {
		f->client = answer ? !s->from : s->from;
		f->client_known = true;
	}
	d->said = o->said = false;
	if (d->syn)
		return; /* again: Karn's rule for the round trip, and the options are the same */
	d->syn = true;
	d->isn = s->seq;
	d->mss_option = s->mss;
	d->wscale = s->wscale;
	d->sack_ok = s->sack_ok;
	d->has_ts = s->has_ts;
	settle_mss(f, 0);
	settle_mss(f, 1);
	if (!d->fresh) { /* else it comes too late to say where the stream is */
		d->next = d->una = FIRST_POSITION + s->seq + 1;
		if (d->track)
			d->track->n_holes = d->track->sent_n = 0;
	}
	d->edge = d->edge < d->una ? d->una : d->edge;
	if (answer && o->syn && o->packets == 1) {
		d->handshake_us = (uint32_t)((now - f->first_ns) / NS_PER_US);
		rtt_add(&d->rtt, now - f->first_ns);
	}
	f->malformed += s->malformed;
	settle_scales(f);
}

/* The third packet of a handshake: round trip to the client. */
static void handshake_ends(struct flow *f, const struct segment *s, uint64_t now)
{
	struct direction *d = &f->dir[s->from], *o = &f->dir[!s->from];

	if (d->handshake_us || s->from != f->client || !d->syn || !o->syn || d->packets != 2 ||
	    o->packets != 1)
		return;
	/* o's only packet so far is its SYN/ACK. */
	d->handshake_us = (uint32_t)((now - f->last_ns) / NS_PER_US);
	rtt_add(&d->rtt, now - f->last_ns);
}

static inline void note_size(struct flow *f, struct direction *d, const struct direction *o,
			     unsigned from, uint32_t len)
{
	if (unlikely(len > d->largest)) {
		d->largest = len;
		settle_mss(f, from);
	}
	/* Without a handshake: nothing on an Ethernet has more than 9000 bytes or so. No branch: it
	 * could not be foreseen. */
	d->supers += (len > d->mss) & ((len > 9216) | !!(d->mss_option | o->mss_option));
}

static __attribute__((cold)) bool make_tracks(struct flow *f, uint64_t now)
{
	unsigned i;

	for (i = 0; i < 2; i++) {
		struct direction *d = &f->dir[i];

		if (d->track)
			continue;
		d->track = track_new();
		if (!d->track)
			return false;
		if (!d->next)
			d->next = d->una = FIRST_POSITION;
		d->track->mark.fresh = d->fresh;
		memcpy(d->track->mark.held, d->held, sizeof(d->held));
		limit_begin(f, i, now);
	}
	return true;
}

/* Without a SYN, the first packet tells where its stream is. */
static void place_streams(struct flow *f, const struct segment *s)
{
	struct direction *d = &f->dir[s->from], *o = &f->dir[!s->from];

	if (!d->next)
		d->next = d->una = FIRST_POSITION + s->seq;
	if (s->flags & TCP_ACK && !o->next) {
		o->next = o->una = FIRST_POSITION + s->ack;
		o->edge = o->una;
	}
	if (!f->client_known && f->dir[0].packets + f->dir[1].packets == 1)
		f->client = f->key.port[0] < f->key.port[1] ? 1
							    : 0; /* servers have the lower port */
}

static __attribute__((cold)) void begins(struct flow *f, const struct segment *s, uint64_t now)
{
	if (s->flags & TCP_SYN)
		handshake(f, s, now);
	else
		handshake_ends(f, s, now);
	place_streams(f, s);
}

/* What only the first packets of a direction tell, the last ones, and those that say so. */
static __attribute__((cold)) void take_rare(struct flow *f, struct direction *d,
					    const struct direction *o, const struct segment *s,
					    uint64_t now)
{
	if (!f->first_ns)
		f->first_ns = f->last_ns = now;
	d->ce += s->ce;
	if (s->has_ts && !d->has_ts && !d->syn) {
		d->has_ts = true;
		settle_mss(f, s->from);
	}
	/* Later packets can only tell where the other stream is. */
	if (d->packets <= 2 || s->flags & TCP_SYN || !o->next)
		begins(f, s, now);
	d->fin |= !!(s->flags & TCP_FIN);
	d->rst |= !!(s->flags & TCP_RST);
	d->settled = d->packets > 2 && o->next && (d->has_ts || d->syn);
}

/* Data, or a FIN. Returns false if there is no memory to look at them. */
static inline bool take_data(struct flow *f, struct direction *d, struct direction *o,
			     const struct segment *s, unsigned from, uint64_t now)
{
	struct sent_kind k;

	if (unlikely(!d->track)) {
		if (!make_tracks(f, now))
			return false;
		track_remember(d, s, now);
	}
	note_size(f, d, o, from, s->len);
	limit_advance(f, d, now);
	track_data(f, d, o, s, now, &k);
	if (s->len)
		limit_data(f, d, o, s, &k, now);
	return true;
}

/*
 * Takes a segment of a flow.
 * @s: of this flow's key; its time may lie before the last one's: it is taken as the last one's
 */
void flow_segment(struct flow *f, const struct segment *s)
{
	/* Copies: the compiler has to think that whatever is written may change what it is read
	 * from. */
	unsigned from = s->from, flags = s->flags;
	struct direction *d = flow_direction(f, from), *o = flow_direction(f, !from);
	uint64_t now = s->time_ns;

	if (unlikely(!in_place(d, o, s)))
		return;
	if (unlikely(now < f->last_ns)) {
		f->backwards++;
		now = f->last_ns;
	}
	if (unlikely(d->track && track_duplicate(d, s, now, flow_rtt_ns(f))))
		return;
	d->packets++;
	d->bytes += s->frame;
	d->pushed += !!(flags & TCP_PSH);
	if (unlikely((!d->settled) | s->ce | (flags & (TCP_SYN | TCP_FIN | TCP_RST))))
		take_rare(f, d, o, s, now);
	if ((s->len || flags & TCP_FIN) && !(flags & TCP_RST) && !take_data(f, d, o, s, from, now))
		return;
	if (flags & TCP_ACK)
		track_ack(f, o, d, s, now);
	f->last_ns = now;
}

/* What holds a direction now, as far as that can be seen at once. */
static unsigned held_now(const struct track *t)
{
	return t->hold == HOLD_ZERO	? CAUSE_ZERO_WINDOW
	       : t->hold == HOLD_WINDOW ? CAUSE_RECEIVE_WINDOW
	       : t->hold == HOLD_IDLE	? CAUSE_APPLICATION
					: CAUSE_UNKNOWN;
}

/*
 * What came of a direction since this was last asked. What is not judged yet belongs to the next
 * time.
 *
 * Returns false if it is quiet, or has moved nothing and had nothing in flight.
 */
bool flow_progress(struct flow *f, unsigned from, struct progress *p)
{
	struct direction *d = &f->dir[from];
	struct track *t = d->track;
	uint64_t most = 0;
	unsigned i;

	if (!t || !d->first_data_ns)
		return false;
	*p = (struct progress){
		.f = f, .from = from, .bytes = d->fresh - t->mark.fresh, .limit = held_now(t)};
	for (i = 0; i < CAUSES; i++) {
		/* A judgement may also take back what an earlier one has given. */
		uint64_t ns = d->held[i] > t->mark.held[i] ? d->held[i] - t->mark.held[i] : 0;

		p->judged_ns += ns;
		if (ns > most) {
			most = ns;
			p->limit = i;
		}
		t->mark.held[i] = d->held[i];
	}
	p->share = p->judged_ns ? (double)most / (double)p->judged_ns : 0;
	t->mark.fresh = d->fresh;
	return p->bytes || d->next > d->una;
}

/* Takes an ICMP "too big" about a packet of this flow. */
void flow_too_big(struct flow *f, const struct too_big *big)
{
	f->dir[big->from].too_big = true;
}

static void free_track(struct direction *d)
{
	if (!d->track)
		return;
	free(d->track->sent);
	free(d->track);
	d->track = NULL;
}

/* Judges what is not judged yet and frees what an idle flow does not need. */
void flow_quiet(struct flow *f)
{
	unsigned i;

	for (i = 0; i < 2; i++) {
		if (f->dir[i].track)
			limit_end(f, i);
		free_track(&f->dir[i]);
	}
}

/* Judges what is not judged yet. More segments may follow. */
void flow_end(struct flow *f)
{
	unsigned i;

	for (i = 0; i < 2; i++)
		if (f->dir[i].track)
			limit_end(f, i);
}

/* Frees a flow with all that belongs to it; NULL is allowed. */
void flow_free(struct flow *f)
{
	unsigned i;

	if (!f)
		return;
	for (i = 0; i < 2; i++) {
		free_track(&f->dir[i]);
		free(f->dir[i].intervals);
		free(f->dir[i].dup);
	}
	free(f);
}
