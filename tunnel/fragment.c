// SPDX-License-Identifier: GPL-3.0-or-later
/* fragment.c - frames that came in pieces, put together again: pure, its clock is the caller's */
/*
 * Theory of operation
 *
 * A fragment names its frame by session, sender's worker and id, and says
 * where in the frame its bytes belong and how long the frame is. The first
 * that comes, whichever it is, makes an incomplete frame of that length; the
 * others fill it in any order. It ends in one of these ways:
 *
 *	whole         handed out; its memory stays until reassembly_release()
 *	given up      by a fragment that contradicts those before it
 *	expired       REASSEMBLY_TIMEOUT_NS after its first fragment
 *	evicted       the peer has more incomplete ones than it may: the oldest
 *	              goes, since honest fragments come close together
 *
 * Fragments were authenticated, so a contradiction is the peer's own fault or
 * malice; a forger's never came so far. What a peer can take is bounded by
 * REASSEMBLY_FRAMES and REASSEMBLY_BYTES, whatever it sends. Which bytes are
 * there is kept as stretches in order; neighbours become one.
 */
#include "tunnel/fragment.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS 64 /* a power of two */

#define ECN_CE 3

/* Bytes of a frame that are there: [from, to). */
struct stretch {
	uint32_t from, to;
};

/* A frame, incomplete or handed out. */
struct partial {
	struct partial *next;	       /* in its bucket; or of those handed out */
	struct partial *older, *newer; /* by age */
	uint64_t born_ns;
	uint32_t session, id, tag;
	uint8_t worker, flags, ecn;
	uint32_t total;
	unsigned n_stretches;
	struct stretch stretches[REASSEMBLY_PIECES];
	uint8_t data[];
};

struct reassembly {
	struct partial *buckets[BUCKETS];
	struct partial *oldest, *newest;
	struct partial *done; /* handed out */
	size_t frames, bytes;
};

/* Makes a peer's; NULL when memory is short. */
struct reassembly *reassembly_new(void)
{
	return calloc(1, sizeof(struct reassembly));
}

/* How many frames are incomplete. */
size_t reassembly_frames(const struct reassembly *r)
{
	return r->frames;
}

/* What they take, in bytes of their total lengths. */
size_t reassembly_bytes(const struct reassembly *r)
{
	return r->bytes;
}

static struct partial **bucket_of(struct reassembly *r, uint32_t session, uint8_t worker,
				  uint32_t id)
{
	return &r->buckets[(id ^ session ^ (uint32_t)worker << 3) % BUCKETS];
}

static struct partial *find(struct reassembly *r, const struct fragment_arrival *a)
{
	struct partial *p = *bucket_of(r, a->session, a->worker, a->at.id);

	while (p && (p->id != a->at.id || p->session != a->session || p->worker != a->worker))
		p = p->next;
	return p;
}

/* Takes a frame out of all that finds it; it is the caller's then. */
static void detach(struct reassembly *r, struct partial *p)
{
	struct partial **at = bucket_of(r, p->session, p->worker, p->id);

	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	*(p->older ? &p->older->newer : &r->oldest) = p->newer;
	*(p->newer ? &p->newer->older : &r->newest) = p->older;
	r->frames--;
	r->bytes -= p->total;
}

static void give_up(struct reassembly *r, struct partial *p)
{
	detach(r, p);
	free(p);
}

/* Makes room for a frame of @total bytes. Returns how many others had to go. */
static uint32_t make_room(struct reassembly *r, uint32_t total)
{
	uint32_t evicted = 0;

	while (r->oldest &&
	       (r->frames == REASSEMBLY_FRAMES || r->bytes + total > REASSEMBLY_BYTES)) {
		give_up(r, r->oldest);
		evicted++;
	}
	return evicted;
}

static struct partial *begin(struct reassembly *r, const struct fragment_arrival *a, uint64_t now)
{
	struct partial *p = malloc(sizeof(*p) + a->at.total);
	struct partial **bucket = bucket_of(r, a->session, a->worker, a->at.id);

	if (!p)
		return NULL;
	*p = (struct partial){
		.next = *bucket,
		.older = r->newest,
		.born_ns = now,
		.session = a->session,
		.id = a->at.id,
		.tag = a->tag,
		.worker = a->worker,
		.flags = a->flags,
		.ecn = a->ecn,
		.total = a->at.total,
	};
	*bucket = p;
	*(r->newest ? &r->newest->newer : &r->oldest) = p;
	r->newest = p;
	r->frames++;
	r->bytes += p->total;
	return p;
}

/* Notes that [from, to) is there. Returns FRAGMENT_HELD, or what is wrong with it. */
static enum fragment_verdict note(struct partial *p, uint32_t from, uint32_t to)
{
	struct stretch *s = p->stretches;
	unsigned i = 0;
	bool left, right;

	while (i < p->n_stretches && s[i].to < from)
		i++;
	/* s[i] is the first that ends at @from or behind it. */
	if (i < p->n_stretches && s[i].from <= from && s[i].to >= to)
		return FRAGMENT_DUPLICATE;
	left = i < p->n_stretches && s[i].to == from;
	if (i + left < p->n_stretches && s[i + left].from < to)
		return FRAGMENT_OVERLAP;
	right = i + left < p->n_stretches && s[i + left].from == to;
	if (left && right) {
		s[i].to = s[i + 1].to;
		p->n_stretches--;
		memmove(s + i + 1, s + i + 2, (p->n_stretches - i - 1) * sizeof(*s));
	} else if (left) {
		s[i].to = to;
	} else if (right) {
		s[i].from = from;
	} else if (p->n_stretches == REASSEMBLY_PIECES) {
		return FRAGMENT_NO_ROOM;
	} else {
		memmove(s + i + 1, s + i, (p->n_stretches - i) * sizeof(*s));
		s[i] = (struct stretch){from, to};
		p->n_stretches++;
	}
	return FRAGMENT_HELD;
}

/* Whether a fragment makes sense by itself. Cuts off its padding. */
static bool sane(const struct fragment_arrival *a, uint32_t *len)
{
	uint32_t left;

	if (a->at.total < ETH_HDR_LEN || a->at.offset >= a->at.total || !a->len)
		return false;
	left = (uint32_t)a->at.total - a->at.offset;
	*len = a->len < left ? a->len : left;
	return a->len - *len <= FRAGMENT_PAD_MAX;
}

/*
 * Takes a fragment.
 * @a:     what was opened; its bytes are copied
 * @whole: set when FRAGMENT_COMPLETE is returned
 * @lost:  incomplete frames that went meanwhile are added
 */
enum fragment_verdict reassembly_add(struct reassembly *r, const struct fragment_arrival *a,
				     uint64_t now_ns, struct reassembled *whole,
				     struct reassembly_losses *lost)
{
	enum fragment_verdict verdict;
	struct partial *p;
	uint32_t len;

	lost->expired += reassembly_expire(r, now_ns);
	if (!sane(a, &len))
		return FRAGMENT_MALFORMED;
	p = find(r, a);
	if (!p) {
		lost->evicted += make_room(r, a->at.total);
		p = begin(r, a, now_ns);
		if (!p)
			return FRAGMENT_NO_ROOM;
	} else if (p->total != a->at.total || p->tag != a->tag || p->flags != a->flags) {
		give_up(r, p);
		return FRAGMENT_INCONSISTENT;
	}
	verdict = note(p, a->at.offset, a->at.offset + len);
	if (verdict == FRAGMENT_OVERLAP || verdict == FRAGMENT_NO_ROOM)
		give_up(r, p);
	if (verdict != FRAGMENT_HELD)
		return verdict;
	memcpy(p->data + a->at.offset, a->data, len);
	if (a->ecn == ECN_CE)
		p->ecn = ECN_CE;
	if (p->stretches[0].to - p->stretches[0].from != p->total)
		return FRAGMENT_HELD;
	detach(r, p);
	p->next = r->done;
	r->done = p;
	*whole = (struct reassembled){p->data, p->total, p->ecn};
	return FRAGMENT_COMPLETE;
}

/* Gives up what has waited too long. Returns how many frames that were. */
uint32_t reassembly_expire(struct reassembly *r, uint64_t now_ns)
{
	uint32_t n = 0;

	/* Threads' clocks are read at different moments: a frame may be born after @now_ns. */
	while (r->oldest && now_ns > r->oldest->born_ns &&
	       now_ns - r->oldest->born_ns > REASSEMBLY_TIMEOUT_NS) {
		give_up(r, r->oldest);
		n++;
	}
	return n;
}

/* Takes back the frames that were handed out: nobody reads them any more. */
void reassembly_release(struct reassembly *r)
{
	struct partial *p;

	while ((p = r->done)) {
		r->done = p->next;
		free(p);
	}
}

/* Frees all; NULL is allowed. */
void reassembly_free(struct reassembly *r)
{
	if (!r)
		return;
	while (r->oldest)
		give_up(r, r->oldest);
	reassembly_release(r);
	free(r);
}
