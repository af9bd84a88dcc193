// SPDX-License-Identifier: GPL-3.0-or-later
/* diagnosis.c - the table of flows: found by their ends, bounded, the longest unused goes first */
/*
 * Theory of operation
 *
 * Flows stand in a hash table, and in one of two lists by last use: busy, or
 * quiet, those that were silent for QUIET_NS, or longest where BUSY_MAX are busy. A quiet flow
 * keeps struct flow alone. Where there is no room for one more flow, the longest unused goes;
 * whoever made the diagnosis is told, so that nothing is lost without a word.
 *
 * A SYN with another sequence number on a flow that has been used begins a
 * new connection on the same ports: the old record is closed and stays until
 * it is evicted or reported, but is found no more.
 *
 * Time goes on by the capture's clock. Small steps back (interfaces that are
 * read in turns) are each flow's to smooth; one of more than a second is the
 * clock being set, and the time is shifted so that it goes on.
 */
#include "capture/diagnosis.h"

#include "lib/clock.h"

#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#define BUCKETS_FIRST 1024u
#define QUIET_NS      (30 * NS_PER_S)
#define BUSY_MAX \
	16384	    /* flows that may have tracks, 25 KB each: a million must not take all memory */
#define BATCH	 64 /* packets whose flows are fetched into the cache side by side */
#define TOUCH_NS NS_PER_S /* how exact the order by last use is */
#define JUMP_NS	 NS_PER_S
#define UNUSED	 (UINT64_MAX / 2) /* further than TOUCH_NS from any time */

/* Packets on their way to their flows. */
struct ready {
	struct segment s[BATCH];
	uint32_t hash[BATCH];
	uint8_t what[BATCH]; /* enum decap */
};

#define GUESSES 64  /* a power of 2 */
#define SHORT	256 /* bytes: what follows such a one is near */

/*
 * What lies ahead. Where each packet begins only the one before it tells, and memory is slow: a
 * step is made for each packet that is worked on, and the next batch's headers are in the cache by
 * then. Three packets further on it is guessed: as long as what followed the last time on two of
 * such lengths. Nothing but time depends on it.
 */
struct lookahead {
	struct cap_ahead on;
	uint8_t pair;  /* of the last two lengths */
	uint32_t last; /* of these */
	uint32_t guess[GUESSES];
};

/* Flows by last use. */
struct flows {
	struct flow *oldest, *newest;
};

struct diagnosis {
	struct diagnosis_hooks hooks;
	struct diagnosis_totals totals;
	uint64_t seed;
	uint64_t shift_ns; /* added to the capture's time */
	struct flow *last; /* that the last segment was of; NULL if it is gone */
	uint64_t quiet_ns; /* from then on, or if it is before now, some flow is to be made quiet */
	struct flow **buckets;
	uint32_t n_buckets;
	size_t n_flows, max_flows, n_busy;
	struct flows busy, quiet;
	struct ready ready;
	struct lookahead look;
};

/*
 * Begins a diagnosis.
 * @max_flows: that are kept at a time; 1 KB each
 * @seed:      makes the table's order unknown to whoever sends the packets
 *
 * Returns NULL with a text.
 */
struct diagnosis *diagnosis_new(size_t max_flows, uint64_t seed,
				const struct diagnosis_hooks *hooks, struct err *e)
{
	struct diagnosis *d = calloc(1, sizeof(*d));

	if (d)
		d->buckets = calloc(BUCKETS_FIRST, sizeof(struct flow *));
	if (!d || !d->buckets) {
		free(d);
		err_set(e, ENOMEM, "out of memory");
		return NULL;
	}
	if (hooks)
		d->hooks = *hooks;
	d->n_buckets = BUCKETS_FIRST;
	d->max_flows = max_flows ? max_flows : 1;
	d->quiet_ns = UINT64_MAX;
	d->seed = seed;
	return d;
}

static void list_remove(struct flows *l, struct flow *f)
{
	*(f->older ? &f->older->newer : &l->oldest) = f->newer;
	*(f->newer ? &f->newer->older : &l->newest) = f->older;
	f->older = f->newer = NULL;
}

static void list_append(struct flows *l, struct flow *f)
{
	f->older = l->newest;
	f->newer = NULL;
	*(l->newest ? &l->newest->newer : &l->oldest) = f;
	l->newest = f;
}

/* When the busy flow that is unused the longest, if there is one, becomes quiet. */
static void settle_quiet(struct diagnosis *d)
{
	const struct flow *f = d->busy.oldest;

	d->quiet_ns = !f ? UINT64_MAX : d->n_busy > BUSY_MAX ? 0 : f->used_ns + QUIET_NS + 1;
}

/* Puts a flow into one of the lists. @used_ns: UNUSED, or when it was last used */
static void enlist(struct diagnosis *d, struct flow *f, bool quiet, uint64_t used_ns)
{
	f->quiet = quiet;
	f->used_ns = used_ns;
	d->n_busy += !quiet;
	list_append(quiet ? &d->quiet : &d->busy, f);
	settle_quiet(d);
}

static void delist(struct diagnosis *d, struct flow *f)
{
	d->n_busy -= !f->quiet;
	list_remove(f->quiet ? &d->quiet : &d->busy, f);
	settle_quiet(d);
}

static struct flow **bucket_of(struct diagnosis *d, uint32_t hash)
{
	return &d->buckets[hash & (d->n_buckets - 1)];
}

static void unlink_flow(struct diagnosis *d, const struct flow *f)
{
	struct flow **at;

	for (at = bucket_of(d, f->hash); *at; at = &(*at)->next) {
		if (*at == f) {
			*at = f->next;
			return;
		}
	}
}

static void evict(struct diagnosis *d)
{
	struct flow *f = d->quiet.oldest ? d->quiet.oldest : d->busy.oldest;

	delist(d, f);
	unlink_flow(d, f);
	if (d->last == f)
		d->last = NULL;
	flow_end(f);
	if (d->hooks.evicted)
		d->hooks.evicted(d->hooks.ctx, f);
	flow_free(f);
	d->n_flows--;
	d->totals.evicted++;
}

/* Twice as many buckets; where there is no memory for them, chains grow longer. */
static void grow(struct diagnosis *d)
{
	uint32_t i, old = d->n_buckets;
	struct flow **more = calloc((size_t)old * 2, sizeof(struct flow *)), **was = d->buckets;

	if (!more)
		return;
	d->buckets = more;
	d->n_buckets = old * 2;
	for (i = 0; i < old; i++) {
		while (was[i]) {
			struct flow *f = was[i], **to = bucket_of(d, f->hash);

			was[i] = f->next;
			f->next = *to;
			*to = f;
		}
	}
	free(was);
}

static struct flow *find(struct diagnosis *d, const struct flow_key *key, uint32_t hash)
{
	struct flow *f;

	for (f = *bucket_of(d, hash); f; f = f->next)
		if (f->hash == hash && flow_key_equal(&f->key, key))
			return f;
	return NULL;
}

static struct flow *make(struct diagnosis *d, const struct flow_key *key, uint32_t hash)
{
	struct flow *f, **at;

	if (d->n_flows >= d->max_flows)
		evict(d);
	if (d->n_flows >= d->n_buckets)
		grow(d);
	f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	at = bucket_of(d, hash);
	f->key = *key;
	f->hash = hash;
	f->number = (uint32_t)++d->totals.flows;
	flow_begin(f);
	f->next = *at;
	*at = f;
	enlist(d, f, false, UNUSED);
	d->n_flows++;
	return f;
}

/* Whether a segment opens a new connection on the ports of one that is known. */
static bool is_reuse(const struct flow *f, const struct segment *s)
{
	const struct direction *a = &f->dir[s->from];

	if ((s->flags & (TCP_SYN | TCP_ACK | TCP_RST)) != TCP_SYN || !a->packets)
		return false;
	return a->syn ? a->isn != s->seq : a->packets > 0;
}

/* To be called only where it is more than TOUCH_NS since it was. */
static __attribute__((cold)) void touch(struct diagnosis *d, struct flow *f, uint64_t now)
{
	delist(d, f);
	enlist(d, f, false, now);
}

static __attribute__((cold)) void quiet_some(struct diagnosis *d, uint64_t now)
{
	/* Two at a time keep up with any traffic: each packet makes one flow busy at most. */
	for (int i = 0; i < 2 && d->busy.oldest && now >= d->quiet_ns; i++) {
		struct flow *f = d->busy.oldest;

		delist(d, f);
		flow_quiet(f);
		enlist(d, f, true, UNUSED);
	}
}

/* Time that never goes back by more than JUMP_NS. */
static inline uint64_t steady(struct diagnosis *d, uint64_t time_ns)
{
	uint64_t now = time_ns + d->shift_ns;

	if (now >= d->totals.last_ns) {
		d->totals.last_ns = now;
		return now;
	}
	if (now + JUMP_NS < d->totals.last_ns) {
		d->totals.time_jumps++;
		d->shift_ns += d->totals.last_ns - now;
		now = d->totals.last_ns;
	}
	return now;
}

static uint32_t hash_of(const struct diagnosis *d, const struct flow_key *key)
{
	return (uint32_t)XXH3_64bits_withSeed(key, sizeof(*key), d->seed);
}

/* The flow of a segment, which it may begin. NULL: there is no memory for one. */
static struct flow *flow_of(struct diagnosis *d, const struct segment *s,
			    const struct flow_key *key, uint32_t hash)
{
	struct flow *f = s->as_last && d->last ? d->last : find(d, key, hash);

	if (f && s->flags & TCP_SYN && is_reuse(f, s)) {
		unlink_flow(d, f);
		flow_end(f);
		f = NULL;
	}
	return f ? f : make(d, key, hash);
}

/* @keyed: where the key and the hash of its flow stand in what is ready */
static inline void take_segment(struct diagnosis *d, const struct segment *s, size_t keyed)
{
	uint64_t now = s->time_ns;
	struct flow *f = s->as_last && !(s->flags & TCP_SYN) ? d->last : NULL;

	if (!f) {
		f = flow_of(d, s, &d->ready.s[keyed].key, d->ready.hash[keyed]);
		d->last = f;
		if (!f) {
			d->totals.unrecorded++;
			return;
		}
	}
	if (unlikely(now - f->used_ns >= TOUCH_NS))
		touch(d, f, now);
	if (unlikely(d->hooks.segment))
		d->hooks.segment(d->hooks.ctx, f, s);
	flow_segment(f, s);
	if (unlikely(now >= d->quiet_ns))
		quiet_some(d, now);
}

/*
 * Finds the segments in packets, and asks for the memory of their flows, which takes its time.
 * Returns how many are of TCP.
 */
static size_t make_ready(struct diagnosis *d, const struct cap_packet *p, size_t n)
{
	struct ready *r = &d->ready;
	uint16_t keyed[BATCH];
	size_t i, n_keyed, tcp = decap_batch(p, n, r->s, r->what, keyed, &n_keyed);

	for (i = 0; i < n_keyed; i++) {
		unsigned k = keyed[i];

		r->hash[k] = hash_of(d, &r->s[k].key);
		__builtin_prefetch(bucket_of(d, r->hash[k]));
	}
	for (i = 0; i < n_keyed; i++) {
		const struct flow *f = *bucket_of(d, r->hash[keyed[i]]);

		if (f)
			flow_prefetch(f, r->s[keyed[i]].from);
	}
	return tcp;
}

static __attribute__((cold)) void take_too_big(struct diagnosis *d, const struct cap_packet *p)
{
	struct segment s;
	struct too_big big;
	struct flow *f;

	decap(p, &s, &big);
	f = find(d, &big.key, hash_of(d, &big.key));
	if (f)
		flow_too_big(f, &big);
}

static inline uint8_t pair_of(uint32_t before, uint32_t len)
{
	return (before * 31 + len) % GUESSES;
}

static inline void look_ahead(struct lookahead *l)
{
	size_t left = (size_t)(l->on.end - l->on.at);
	uint32_t len, next, after;

	if (left < 16)
		return;
	memcpy(&len, l->on.at + l->on.len_at, sizeof(len));
	len = l->on.swapped ? __builtin_bswap32(len) : len;
	if (len >= left - l->on.extra) {
		l->on.at = l->on.end;
		return;
	}
	l->on.at += len + l->on.extra;
	__builtin_prefetch(l->on.at);
	__builtin_prefetch(l->on.at + 64);
	if (len < SHORT)
		return;
	l->guess[l->pair] = len;
	l->pair = pair_of(l->last, len);
	l->last = len;
	next = l->guess[l->pair];
	after = l->guess[pair_of(len, next)];
	__builtin_prefetch((const void *)((uintptr_t)l->on.at + next + after + 2u * l->on.extra));
}

/* Takes captured packets, in their order. @ahead: what lies behind them; zeroed: not known */
void diagnosis_packets(struct diagnosis *d, const struct cap_packet *p, size_t n,
		       struct cap_ahead ahead)
{
	d->look.on = ahead;
	for (; n; p += BATCH) {
		size_t i, some = n < BATCH ? n : BATCH, tcp = make_ready(d, p, some), keyed = 0;

		if (!d->totals.packets) {
			d->shift_ns = !p->time_ns; /* no time at all is 0 everywhere */
			d->totals.first_ns = p->time_ns + d->shift_ns;
		}
		d->totals.packets += some;
		d->totals.kinds[DECAP_TCP] += tcp;
		n -= some;
		for (i = 0; i < some; i++) {
			struct segment *s = &d->ready.s[i];
			unsigned what = d->ready.what[i];

			uint64_t now = steady(d, s->time_ns);

			look_ahead(&d->look);
			if (unlikely(now != s->time_ns))
				s->time_ns = now;
			if (what == DECAP_TCP) {
				keyed = s->as_last ? keyed : i;
				take_segment(d, s, keyed);
				continue;
			}
			d->totals.kinds[what]++;
			if (what == DECAP_TOO_BIG)
				take_too_big(d, &p[i]);
		}
	}
}

/* Takes a captured packet. */
void diagnosis_packet(struct diagnosis *d, const struct cap_packet *p)
{
	diagnosis_packets(d, p, 1, (struct cap_ahead){0});
}

/* Judges what is not judged yet. More packets may follow. */
void diagnosis_end(struct diagnosis *d)
{
	struct flow *f;

	for (f = d->busy.oldest; f; f = f->newer)
		flow_end(f);
}

static int by_bytes(const void *a, const void *b)
{
	const struct flow *x = *(const struct flow *const *)a, *y = *(const struct flow *const *)b;
	uint64_t m = x->dir[0].fresh + x->dir[1].fresh, n = y->dir[0].fresh + y->dir[1].fresh;

	if (m != n)
		return m < n ? 1 : -1;
	return x->number < y->number ? -1 : x->number > y->number;
}

/*
 * The flows that are kept, those with the most data first.
 * @n: how many
 *
 * Returns an array to free(), NULL for none or without memory.
 */
const struct flow **diagnosis_flows(const struct diagnosis *d, size_t *n)
{
	const struct flow **all = d->n_flows ? malloc(d->n_flows * sizeof(*all)) : NULL;
	const struct flow *f;

	*n = 0;
	if (!all)
		return NULL;
	for (f = d->quiet.oldest; f; f = f->newer)
		all[(*n)++] = f;
	for (f = d->busy.oldest; f; f = f->newer)
		all[(*n)++] = f;
	qsort(all, *n, sizeof(*all), by_bytes);
	return all;
}

static int by_progress(const void *a, const void *b)
{
	const struct progress *x = a, *y = b;

	if (x->bytes != y->bytes)
		return x->bytes < y->bytes ? 1 : -1;
	return x->f->number < y->f->number ? -1 : x->f->number > y->f->number;
}

/*
 * What the flows have done since this was last asked, those that moved most first; of each flow the
 * direction that moved more.
 * @n: how many
 *
 * Returns an array to free(), NULL for none or without memory.
 */
struct progress *diagnosis_progress(struct diagnosis *d, size_t *n)
{
	struct progress *all = NULL, *more, p[2];
	size_t room = 0;
	struct flow *f;

	*n = 0;
	for (f = d->busy.oldest; f; f = f->newer) {
		bool moves[2] = {flow_progress(f, 0, &p[0]), flow_progress(f, 1, &p[1])};

		if (!moves[0] && !moves[1])
			continue;
		if (*n == room) {
			room = room ? room * 2 : 64;
			more = realloc(all, room * sizeof(*all));
			if (!more)
				break;
			all = more;
		}
		all[(*n)++] = p[!moves[0] || (moves[1] && p[1].bytes > p[0].bytes)];
	}
	if (*n)
		qsort(all, *n, sizeof(*all), by_progress);
	return all;
}

/* What was seen so far. */
const struct diagnosis_totals *diagnosis_totals(const struct diagnosis *d)
{
	return &d->totals;
}

static void free_list(struct flows *l)
{
	while (l->oldest) {
		struct flow *f = l->oldest;

		l->oldest = f->newer;
		flow_free(f);
	}
}

/* Frees a diagnosis with all its flows; NULL is allowed. */
void diagnosis_free(struct diagnosis *d)
{
	if (!d)
		return;
	free_list(&d->busy);
	free_list(&d->quiet);
	free(d->buckets);
	free(d);
}
