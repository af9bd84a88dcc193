// SPDX-License-Identifier: GPL-3.0-or-later
/* relay_record.c - what a peer says of a flow, but for its bytes */
#include "accel/internal.h"

#include <string.h>

static void opened_come(struct relay *r, const uint8_t *payload)
{
	struct opened_record o;

	if (r->life.role != LIFE_NEAR || !opened_parse(payload, &o)) {
		stream_break(r->stream, "it said what has no sense now");
		return;
	}
	r->limit = o.credit;
	if (o.stripes < r->wish.max)
		r->wish.max = o.stripes;
	atomic_store(&r->flow->offer_mss, o.mss);
	relay_event(r, LIFE_EV_opened);
}

static void refused_come(struct relay *r, const uint8_t *payload)
{
	struct refused_record o;

	if (r->life.role != LIFE_NEAR || !refused_parse(payload, &o)) {
		stream_break(r->stream, "it said what has no sense now");
		return;
	}
	r->refuse = o.reason;
	r->error = (struct segment_error){.ip_version = r->flow->ip_version,
					  .type = o.icmp_type,
					  .code = o.icmp_code,
					  .rest = o.icmp_rest};
	memcpy(r->error.source, o.source, 16);
	switch (o.reason) {
	case REFUSE_rst:
	case REFUSE_icmp: relay_event(r, LIFE_EV_refused); return;
	case REFUSE_timeout: relay_event(r, LIFE_EV_silent); return;
	case REFUSE_crossing: r->reason = ACCEL_REASON_crossing; break;
	case REFUSE_local: r->reason = ACCEL_REASON_stack; break;
	default: r->reason = ACCEL_REASON_far_side; break;
	}
	relay_event(r, LIFE_EV_unaccelerable);
}

static void credit_come(struct relay *r, struct stream *s, const uint8_t *payload)
{
	struct credit_record c;

	if (!credit_parse(payload, &c) || c.taken > r->sent) {
		stream_break(s, "it gives credit that cannot be");
		return;
	}
	/* On another stripe there was newer. */
	if (c.taken < r->peer_taken || c.taken + c.window < r->limit)
		return;
	r->peer_taken = c.taken;
	r->limit = c.taken + c.window;
	stripes_taken(r);
	pump_out(r);
}

static void fin_come(struct relay *r, struct stream *s, uint64_t end)
{
	if (!r->striped && end == r->received)
		relay_event(r, LIFE_EV_peer_fin);
	else if (!r->striped || !stripes_fin(r, end))
		stream_break(s, "it ends where it cannot");
}

/* How many stripes the far side could use. */
static void stripes_come(struct relay *r, struct stream *s, const uint8_t *payload)
{
	if (r->life.role != LIFE_NEAR || !payload[0] || payload[0] > r->wish.max || payload[1] ||
	    payload[2] || payload[3])
		stream_break(s, "it wants stripes that cannot be");
	else
		r->wish.there = payload[0];
}

/* Finds a flow that a peer has opened. */
static struct relay *opened_by(const struct shard *sh, unsigned peer, uint32_t number)
{
	struct relay *r;

	for (r = sh->relays; r; r = r->next)
		if (!r->ended && r->number == number && r->life.role == LIFE_FAR &&
		    r->flow->peer == peer)
			return r;
	return NULL;
}

/*
 * The shard that must serve a stream that joins a flow: the one that has the
 * flow. Only that one knows its flows, so the stream goes round.
 */
struct shard *relay_place_joining(struct stream *s, uint32_t number)
{
	struct accel *a = s->a;

	if (s->hops + 1u >= a->n_shards || opened_by(s->shard, s->peer, number))
		return s->shard;
	s->hops++;
	return &a->shards[(s->shard->index + 1) % a->n_shards];
}

/* A peer has a stream join a flow that it has opened. */
void relay_joined_by_peer(struct stream *s)
{
	struct relay *r = opened_by(s->shard, s->peer, s->flow);

	if (r && stripes_join(s, r)) {
		atomic_fetch_add(&s->a->counts.stripes_joined, 1);
		return;
	}
	relay_say_refused(s, r ? REFUSE_stripes : REFUSE_no_flow, NULL);
	stream_free_for_next(s);
}

/* Takes a record that is not DATA. */
void relay_record(struct relay *r, struct stream *s, const struct record *rec,
		  const uint8_t *payload)
{
	static const uint8_t events[RECORD_TYPES] = {
		[RECORD_CANCEL] = LIFE_EV_peer_cancel,	     [RECORD_CANCELLED] = LIFE_EV_cancelled,
		[RECORD_DELIVERED] = LIFE_EV_peer_delivered, [RECORD_DONE] = LIFE_EV_peer_done,
		[RECORD_RESET] = LIFE_EV_peer_reset,
	};

	if (r->striped && stripes_record(r, s, rec))
		return;
	switch (rec->type) {
	case RECORD_OPENED: opened_come(r, payload); return;
	case RECORD_REFUSED: refused_come(r, payload); return;
	case RECORD_CREDIT: credit_come(r, s, payload); return;
	case RECORD_FIN: fin_come(r, s, load_be64(payload)); return;
	case RECORD_STRIPES: stripes_come(r, s, payload); return;
	case RECORD_JOINED:
	case RECORD_LEAVE: stream_break(s, "it said what has no sense now"); return;
	default: relay_event(r, events[rec->type]); return;
	}
}
