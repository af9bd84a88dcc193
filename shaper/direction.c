// SPDX-License-Identifier: GPL-3.0-or-later
/* direction.c - one way through the line: from a frame's arrival to its fate, pure */
/*
 * Theory of operation
 *
 *	arrive ─ split ─ draw ─▶ queue ─▶ serialise ─▶ (lost?) ─▶ delay ─▶ pop ─▶ done
 *	                          │ full, CoDel          │ counted, logged, gone
 *
 * Impairments act on wire frames, so a super-frame is split first, unless no
 * model can tell its frames apart. Everything random is drawn when a frame
 * arrives, in order of arrival, whatever becomes of it later: the same seed
 * and the same frames give the same decisions, however busy the machine is.
 * The queue comes before the delay, as the router before the long line: what
 * the loss model takes has used the line's rate, and what is dropped at the
 * queue has not.
 *
 * There is no clock here. A frame's times follow from when it came (the
 * kernel's stamp) and from the models alone; how late the caller looks again
 * changes nothing but when the frame is really sent. direction_advance() takes
 * from the queue whatever began to be serialised until now, at the exact time
 * at which the line became free.
 */
#include "shaper/direction.h"

#include "lib/cksum.h"

#include <string.h>

/* How late the queue is looked at when nothing is due: what it lost and how full it is, is known.
 */
#define LOOK_NS 20000000ull

/* Name of a direction on the command line and in documents. */
const char *direction_name(unsigned index)
{
	return index == AB ? "ab" : "ba";
}

static const struct {
	const char *name, *text;
} verdicts[FRAME_VERDICTS] = {
	[FRAME_SENT] = {"sent", "left by the other interface"},
	[FRAME_LOST] = {"loss", "taken by the loss model"},
	[FRAME_QUEUE_FULL] = {"queue_full", "the bottleneck queue was full"},
	[FRAME_QUEUE_AQM] = {"queue_codel", "dropped by CoDel"},
	[FRAME_CHECK] = {"frame_check", "corrupted, dropped as by a NIC"},
	[FRAME_LINK_DOWN] = {"link_down", "the interface to leave by was down or gone"},
	[FRAME_REFUSED] = {"refused", "the interface to leave by did not take it (MTU?)"},
	[FRAME_OUT_FULL] = {"out_full", "the queue of the interface to leave by was full"},
	[FRAME_UNFINISHED] = {"unfinished", "still on its way when the line ended"},
	[FRAME_NO_MEMORY] = {"no_memory", "more frames in flight than memory allows"},
};

/* What a verdict is called in documents. */
const char *frame_verdict_name(enum frame_verdict v)
{
	return verdicts[v].name;
}

/* What it means to a reader. */
const char *frame_verdict_text(enum frame_verdict v)
{
	return verdicts[v].text;
}

static void adopt(struct direction *d, const struct direction_conf *conf)
{
	d->conf = conf;
	d->whole = impair_is_constant(&conf->impair) && conf->rate.kind == RATE_NONE && !d->log;
}

/*
 * The least delay that a frame of these settings can get, as far as it lets
 * us look at the queue seldom; one that is reordered skips its delay.
 */
static uint64_t floor_of(const struct direction_conf *conf)
{
	uint64_t floor = conf->impair.reorder.p > 0 ? 0 : delay_floor(&conf->impair.delay);

	return floor < LOOK_NS ? floor : LOOK_NS;
}

/*
 * Makes a direction.
 * @conf:   stays as long as the direction uses it
 * @index:  AB or BA
 * @buffer: bytes of frames in flight that there is memory for from the start
 * @limit:  …and at most
 * @log:    where records of all frames go; NULL: nowhere
 *
 * Returns 0 or -ENOMEM with a text.
 */
int direction_init(struct direction *d, const struct direction_conf *conf, uint64_t seed,
		   unsigned index, uint64_t buffer, uint64_t limit, struct direction_counters *c,
		   struct frame_log_ring *log, uint64_t now_ns, struct err *e)
{
	/* Both directions have the same seed, and must not have the same fate. */
	*d = (struct direction){
		.seed = seed * DIRECTIONS + index, .index = index, .counters = c, .log = log};
	impair_init(&d->impair, &conf->impair, d->seed);
	rate_init(&d->rate, &conf->rate, now_ns);
	queue_init(&d->queue, &conf->queue, rate_average(&conf->rate));
	departures_init(&d->departures);
	adopt(d, conf);
	d->floor_ns = floor_of(conf);
	return store_init(&d->store, buffer, limit, e);
}

/*
 * Changes the settings. Frames that are in flight keep the delay they were
 * given, those in the queue are served at the new rate, and models whose
 * settings stay the same go on as if nothing had happened.
 */
void direction_update(struct direction *d, const struct direction_conf *conf, uint64_t now_ns)
{
	uint64_t floor = floor_of(conf);

	direction_advance(d, now_ns);
	impair_update(&d->impair, &d->conf->impair, &conf->impair, d->seed);
	rate_update(&d->rate, &conf->rate, now_ns);
	queue_update(&d->queue, &conf->queue, rate_average(&conf->rate));
	adopt(d, conf);
	/* Frames in the queue have the delays of before. */
	if (!queue_head(&d->queue) || floor < d->floor_ns)
		d->floor_ns = floor;
}

static void count_flight(struct direction *d)
{
	counter_set(&d->counters->flight_frames, d->store.held);
	counter_set(&d->counters->buffer_bytes, d->store.bytes);
}

static void count_queue(struct direction *d)
{
	struct direction_counters *c = d->counters;
	uint64_t bytes = queue_bytes(&d->queue);

	counter_set(&c->queue_bytes, bytes);
	counter_set(&c->queue_frames, queue_frames(&d->queue));
	if (bytes > counter_get(&c->queue_bytes_max))
		counter_set(&c->queue_bytes_max, bytes);
}

static void record(struct direction *d, const struct held *h, enum frame_verdict verdict,
		   uint64_t departure_ns)
{
	struct frame_record r = {
		.number = h->number,
		.arrival_ns = h->queue.arrival_ns,
		.due_ns = h->due_ns,
		.departure_ns = departure_ns,
		.hash = h->hash,
		.len = h->queue.len,
		.backlog = h->backlog,
		.direction = (uint8_t)d->index,
		.verdict = (uint8_t)verdict,
		.flags = (uint8_t)((h->corrupted ? FRAME_CORRUPTED : 0) |
				   (h->duplicate ? FRAME_DUPLICATE : 0) |
				   (h->reordered ? FRAME_REORDERED : 0)),
	};

	frame_log_put(d->log, &r);
}

/* Bytes of a frame's wire frames together. */
static uint64_t wire_bytes(const struct held *h)
{
	return h->queue.len + (uint64_t)(h->frames - 1) * h->header_len;
}

/*
 * Ends a frame: it is counted, logged, and its memory is free again.
 * @departure_ns: when it was sent; 0: it was not
 */
void direction_done(struct direction *d, struct held *h, enum frame_verdict verdict,
		    uint64_t departure_ns)
{
	struct direction_counters *c = d->counters;

	counter_add(&c->verdicts[verdict], h->frames);
	if (verdict == FRAME_SENT) {
		counter_add(&c->frames_out, h->frames);
		counter_add(&c->bytes_out, wire_bytes(h));
		hist_add(&c->delay_ns, departure_ns - h->queue.arrival_ns);
		hist_add(&c->late_ns, departure_ns > h->due_ns ? departure_ns - h->due_ns : 0);
	}
	if (d->log)
		record(d, h, verdict, departure_ns);
	if (h->twin)
		direction_done(d, h->twin, verdict, departure_ns);
	store_free(&d->store, h);
	count_flight(d);
}

/* Has a frame wait for its departure; @end_ns is when its last bit went out. */
static void schedule(struct direction *d, struct held *h, uint64_t end_ns)
{
	h->due_ns = end_ns + h->delay_ns;
	if (!d->conf->reorder_by_jitter && !h->reordered) {
		if (h->due_ns < d->last_due_ns)
			h->due_ns = d->last_due_ns;
		d->last_due_ns = h->due_ns;
	}
	if (!departures_add(&d->departures, h))
		direction_done(d, h, FRAME_NO_MEMORY, 0);
}

/* A frame has been serialised. */
static void leave_queue(struct direction *d, struct held *h, uint64_t end_ns)
{
	struct held *twin = h->twin;

	h->twin = NULL;
	if (h->fate == FATE_FORWARD) {
		schedule(d, h, end_ns);
		if (twin)
			schedule(d, twin, end_ns);
		return;
	}
	h->due_ns = end_ns + h->delay_ns;
	direction_done(d, h, h->fate == FATE_LOSS ? FRAME_LOST : FRAME_CHECK, 0);
}

static void drop_chain(struct direction *d, struct queue_item *item)
{
	struct queue_item *next;

	for (; item; item = next) {
		next = item->next;
		direction_done(
			d, store_held(item),
			item->dropped == QUEUE_DROP_CODEL ? FRAME_QUEUE_AQM : FRAME_QUEUE_FULL, 0);
	}
}

/* When a frame at the queue's head begins to be serialised: both it and the line must be there. */
static uint64_t begins_ns(const struct direction *d, const struct queue_item *head)
{
	uint64_t free = rate_free(&d->rate);

	return free < head->arrival_ns ? head->arrival_ns : free;
}

/* Serialises whatever began to be until @now_ns. */
void direction_advance(struct direction *d, uint64_t now_ns)
{
	struct queue_item *head, *dropped;
	uint64_t start;

	if (!queue_head(&d->queue))
		return;
	while ((head = queue_head(&d->queue))) {
		start = begins_ns(d, head);
		if (start > now_ns)
			break;
		dropped = NULL;
		head = queue_pop(&d->queue, start, &dropped);
		drop_chain(d, dropped);
		if (!head)
			continue;
		hist_add(&d->counters->queue_ns, start - head->arrival_ns);
		leave_queue(d, store_held(head), rate_send(&d->rate, head->len, start));
	}
	if (!queue_head(&d->queue))
		d->floor_ns = floor_of(d->conf);
	count_queue(d);
}

/* When something is to be done next: not after this, direction_pop() may have something. */
uint64_t direction_next(const struct direction *d)
{
	const struct queue_item *head = queue_head(&d->queue);
	uint64_t next = departures_next(&d->departures), start;

	if (!head)
		return next;
	start = begins_ns(d, head) + d->floor_ns;
	return start < next ? start : next;
}

/*
 * Takes the next frame that is due. It is the caller's until direction_done().
 * Returns NULL when none is.
 */
struct held *direction_pop(struct direction *d, uint64_t now_ns)
{
	return departures_pop(&d->departures, now_ns);
}

/* Flips the bits that were drawn; what is partial of its checksums is completed before, or the
 * receiver would be told not to look. */
static void corrupt(struct held *h, const struct impair_verdict *v)
{
	struct frame f = {.data = h->data, .len = h->queue.len, .vnet = h->vnet};
	unsigned i;

	if (h->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM && cksum_complete(&f))
		h->vnet = f.vnet;
	h->vnet.flags = 0;
	for (i = 0; i < v->n_flips; i++)
		h->data[v->flips[i] / 8] ^= (uint8_t)(0x80 >> v->flips[i] % 8);
	h->corrupted = true;
}

/* A copy of a frame that leaves on its own. NULL: no memory, no copy. */
static struct held *copy_of(struct direction *d, const struct held *h, uint64_t delay_ns)
{
	struct held *t = store_add(&d->store, h->queue.len);

	if (!t)
		return NULL;
	memcpy(t, h, sizeof(*h) + h->queue.len);
	t->twin = NULL;
	t->duplicate = true;
	t->delay_ns = delay_ns;
	return t;
}

/* A frame that has just come: headers, then payload, and what is known of it. */
struct arrival {
	const uint8_t *head, *body;
	uint32_t head_len, body_len;
	struct virtio_net_hdr vnet;
	uint64_t at_ns;
	uint32_t frames, header_len, key; /* as of struct held */
};

/* What the models want to be done to a frame that goes on. */
static void impair(struct direction *d, struct held *h, const struct impair_verdict *v)
{
	struct direction_counters *c = d->counters;

	if (v->n_flips) {
		corrupt(h, v);
		counter_add(&c->corrupted, 1);
	}
	if (v->reordered) {
		h->reordered = true;
		h->delay_ns = 0;
		counter_add(&c->reordered, 1);
	}
	if (v->duplicate)
		h->twin = copy_of(d, h, v->duplicate_delay_ns);
	if (h->twin)
		counter_add(&c->duplicated, 1);
}

/* Puts a frame where it waits: before the line if that has a rate, else behind it. */
static void enqueue(struct direction *d, struct held *h)
{
	if (d->conf->rate.kind == RATE_NONE && !queue_head(&d->queue)) {
		leave_queue(d, h, h->queue.arrival_ns);
		return;
	}
	h->backlog = queue_bytes(&d->queue) < UINT32_MAX ? (uint32_t)queue_bytes(&d->queue)
							 : UINT32_MAX;
	drop_chain(d, queue_push(&d->queue, &h->queue, h->queue.arrival_ns));
	count_queue(d);
}

/* A frame that there is no room for is counted and logged, without its hash. */
static void no_memory(struct direction *d, const struct arrival *a, uint32_t len)
{
	const struct held h = {
		.queue = {.arrival_ns = a->at_ns, .len = len},
		.number = d->number,
	};

	counter_add(&d->counters->verdicts[FRAME_NO_MEMORY], a->frames);
	if (d->log)
		record(d, &h, FRAME_NO_MEMORY, 0);
}

/* One wire frame, or several that nothing tells apart. */
static void arrive(struct direction *d, const struct arrival *a)
{
	uint32_t len = a->head_len + a->body_len;
	struct impair_verdict v;
	bool whole;
	struct held *h;
	enum fate fate;

	impair_next(&d->impair, d->number + 1, len, &v);
	fate = v.lost ? FATE_LOSS : v.n_flips && d->conf->frame_check ? FATE_CHECK : FATE_FORWARD;
	/* What will not be forwarded needs its bytes for the log's hash alone. */
	whole = fate == FATE_FORWARD || d->log;
	h = store_add(&d->store, whole ? len : 0);
	d->number += a->frames;
	if (!h) {
		no_memory(d, a, len);
		return;
	}
	h->queue.arrival_ns = a->at_ns;
	h->queue.len = len;
	h->number = d->number + 1 - a->frames;
	h->frames = a->frames;
	h->header_len = a->header_len;
	h->key = a->key;
	h->fate = (uint8_t)fate;
	h->delay_ns = v.delay_ns;
	h->vnet = a->vnet;
	if (whole) {
		memcpy(h->data, a->head, a->head_len);
		memcpy(h->data + a->head_len, a->body, a->body_len);
	}
	if (d->log)
		h->hash = frame_log_hash(h->data, len);
	if (fate == FATE_FORWARD)
		impair(d, h, &v);
	else if (fate == FATE_CHECK) {
		h->corrupted = true;
		counter_add(&d->counters->corrupted, 1);
	}
	enqueue(d, h);
}

/* A super-frame's wire frames, each on its own. */
static void arrive_split(struct direction *d, struct gso_split *s, uint64_t at_ns)
{
	uint8_t hdr[GSO_HDR_MAX];
	struct gso_segment seg;

	while (gso_split_next(s, hdr, &seg)) {
		struct frame f = {.data = hdr, .len = seg.hdr_len + seg.payload_len};
		struct arrival a = {
			.head = hdr,
			.head_len = seg.hdr_len,
			.body = seg.payload,
			.body_len = seg.payload_len,
			.at_ns = at_ns,
			.frames = 1,
			.key = d->super,
		};

		if (s->partial && cksum_mark_partial(&f))
			a.vnet = f.vnet;
		arrive(d, &a);
	}
}

/*
 * Takes a frame that has come.
 * @f: wire frame or super-frame; copied
 * @arrival_ns: when; frames come in order
 */
void direction_arrive(struct direction *d, const struct frame *f, uint64_t arrival_ns)
{
	struct direction_counters *c = d->counters;
	struct gso_split s;
	uint32_t header_len;

	/* Stamps of different processors may differ by a little. */
	if (arrival_ns < d->last_arrival_ns)
		arrival_ns = d->last_arrival_ns;
	d->last_arrival_ns = arrival_ns;
	direction_advance(d, arrival_ns);
	if (gso_split_begin(&s, f, GSO_KEEP_PARTIAL) != GSO_OK) {
		s.count = 1;
		counter_add(&c->undivided, 1);
	}
	header_len = s.count > 1 ? s.hdr_len : 0;
	counter_add(&c->frames_in, s.count);
	counter_add(&c->bytes_in, f->len + (uint64_t)(s.count - 1) * header_len);
	/* A virtio_net_hdr can say what a tunnelled super-frame is, and not be believed. */
	if (s.count > 1 && (!d->whole || s.tunnelled)) {
		if (!++d->super)
			d->super++; /* 0 says: no super-frame */
		arrive_split(d, &s, arrival_ns);
		count_flight(d);
		return;
	}
	arrive(d, &(struct arrival){
			  .head = f->data,
			  .head_len = f->len,
			  .body = f->data,
			  .vnet = f->vnet,
			  .at_ns = arrival_ns,
			  .frames = s.count,
			  .header_len = header_len,
		  });
	count_flight(d);
}

/* Ends every frame that is still on its way; it is counted and logged as that. */
void direction_abandon(struct direction *d)
{
	struct queue_item *dropped, *item, *next;
	struct held *h;

	while (queue_head(&d->queue)) {
		dropped = NULL;
		item = queue_pop(&d->queue, d->last_arrival_ns, &dropped);
		for (; dropped; dropped = next) {
			next = dropped->next;
			direction_done(d, store_held(dropped), FRAME_UNFINISHED, 0);
		}
		if (item)
			direction_done(d, store_held(item), FRAME_UNFINISHED, 0);
	}
	while ((h = departures_pop(&d->departures, UINT64_MAX)))
		direction_done(d, h, FRAME_UNFINISHED, 0);
	if (d->counters)
		count_queue(d);
}

/* Frees a direction, and what is still in flight. */
void direction_release(struct direction *d)
{
	direction_abandon(d);
	departures_release(&d->departures);
	store_release(&d->store);
}
