// SPDX-License-Identifier: GPL-3.0-or-later
/* record.c - records of a stream, read and written: pure */
#include "accel/record.h"

#include "lib/packet.h"

#include <string.h>

#define X(name, text) #name,
const char *const refuse_names[REFUSE_COUNT] = {REFUSE_REASONS(X)};
#undef X
#define X(name, text) text,
const char *const refuse_texts[REFUSE_COUNT] = {REFUSE_REASONS(X)};
#undef X

/* The one place that pairs a type with its length and says whether it belongs to a flow. */
enum { OF_STREAM = 1, OF_FLOW };

static const struct {
	uint32_t min, max;
	uint8_t of; /* 0: there is no such type */
} types[RECORD_TYPES] = {
	[RECORD_HELLO] = {HELLO_LEN, HELLO_LEN, OF_STREAM},
	[RECORD_OPEN] = {OPEN_LEN, OPEN_LEN, OF_FLOW},
	[RECORD_OPENED] = {OPENED_LEN, OPENED_LEN, OF_FLOW},
	[RECORD_REFUSED] = {REFUSED_LEN, REFUSED_LEN, OF_FLOW},
	[RECORD_CANCEL] = {0, 0, OF_FLOW},
	[RECORD_CANCELLED] = {0, 0, OF_FLOW},
	[RECORD_DATA] = {RECORD_DATA_HDR + 1, RECORD_DATA_HDR + RECORD_DATA_MAX, OF_FLOW},
	[RECORD_FIN] = {FIN_LEN, FIN_LEN, OF_FLOW},
	[RECORD_DELIVERED] = {0, 0, OF_FLOW},
	[RECORD_RESET] = {RESET_LEN, RESET_LEN, OF_FLOW},
	[RECORD_CREDIT] = {CREDIT_LEN, CREDIT_LEN, OF_FLOW},
	[RECORD_DONE] = {0, 0, OF_FLOW},
	[RECORD_TUPLES] = {TUPLE_LEN, RECORD_CTL_MAX, OF_STREAM},
	[RECORD_TUPLES_END] = {TUPLES_END_LEN, TUPLES_END_LEN, OF_STREAM},
	[RECORD_JOIN] = {0, 0, OF_FLOW},
	[RECORD_JOINED] = {0, 0, OF_FLOW},
	[RECORD_LEAVE] = {0, 0, OF_FLOW},
	[RECORD_STRIPES] = {STRIPES_LEN, STRIPES_LEN, OF_FLOW},
	[RECORD_PAD] = {1, RECORD_DATA_MAX, OF_STREAM},
};

/* Writes a record's header. */
void record_store(uint8_t hdr[RECORD_HDR_LEN], const struct record *r)
{
	memset(hdr, 0, RECORD_HDR_LEN);
	hdr[0] = r->type;
	store_be32(hdr + 4, r->len);
	store_be32(hdr + 8, r->flow);
	store_be32(hdr + 12, r->generation);
}

/* Reads a record's header. Returns whether it can be one: known type, a length it may have, zeros
 * where they must be. */
bool record_parse(const uint8_t hdr[RECORD_HDR_LEN], struct record *r)
{
	*r = (struct record){hdr[0], load_be32(hdr + 4), load_be32(hdr + 8), load_be32(hdr + 12)};
	if (r->type >= RECORD_TYPES || !types[r->type].of)
		return false;
	if (hdr[1] || hdr[2] || hdr[3] || r->len < types[r->type].min ||
	    r->len > types[r->type].max)
		return false;
	if (r->type == RECORD_TUPLES && r->len % TUPLE_LEN)
		return false;
	return types[r->type].of == OF_FLOW ? r->generation > 0 : !r->flow && !r->generation;
}

/* Writes the headers of a DATA record.
 * @r: len is that of the flow's bytes behind them
 * @offset: of the first of them in the flow */
void record_store_data(uint8_t hdr[RECORD_HDR_LEN + RECORD_DATA_HDR], struct record r,
		       uint64_t offset)
{
	r.type = RECORD_DATA;
	r.len += RECORD_DATA_HDR;
	record_store(hdr, &r);
	store_be64(hdr + RECORD_HDR_LEN, offset);
}

/* How much of a payload is kept: of what may be long, no more than its own header. */
static uint32_t head_len(const struct record *r)
{
	switch (r->type) {
	case RECORD_DATA: return RECORD_DATA_HDR;
	case RECORD_PAD: return 0;
	default: return r->len;
	}
}

/*
 * Takes the next thing from bytes that came on a stream. To be called again
 * until it says RECORD_MORE; after RECORD_BAD not at all.
 * @at, @len: the bytes; moved on over what was taken
 */
enum record_event record_next(struct record_reader *r, const uint8_t **at, size_t *len)
{
	uint32_t head;
	size_t n;

	if (r->have == RECORD_HDR_LEN && r->got == r->now.len)
		r->have = 0;
	if (r->have < RECORD_HDR_LEN) {
		n = RECORD_HDR_LEN - r->have < *len ? RECORD_HDR_LEN - r->have : *len;
		memcpy(r->hdr + r->have, *at, n);
		r->have += (unsigned)n;
		*at += n;
		*len -= n;
		if (r->have < RECORD_HDR_LEN)
			return RECORD_MORE;
		r->got = 0;
		if (!record_parse(r->hdr, &r->now))
			return RECORD_BAD;
		if (!r->now.len)
			return RECORD_WHOLE;
	}
	head = head_len(&r->now);
	if (r->got < head) {
		n = head - r->got < *len ? head - r->got : *len;
		memcpy(r->payload + r->got, *at, n);
		r->got += (uint32_t)n;
		*at += n;
		*len -= n;
		if (head == r->now.len)
			return r->got == head ? RECORD_WHOLE : RECORD_MORE;
		r->offset = load_be64(r->payload);
		r->piece_len = 0;
	}
	n = r->now.len - r->got < *len ? r->now.len - r->got : *len;
	if (!n)
		return RECORD_MORE;
	r->offset += r->piece_len;
	r->piece = *at;
	r->piece_len = n;
	r->got += (uint32_t)n;
	*at += n;
	*len -= n;
	return RECORD_PIECE;
}

static void address_pair_store(uint8_t *p, const struct tuple *t)
{
	memcpy(p, t->client, 16);
	memcpy(p + 16, t->server, 16);
	store_be16(p + 32, t->client_port);
	store_be16(p + 34, t->server_port);
}

static void address_pair_load(const uint8_t *p, struct tuple *t)
{
	memcpy(t->client, p, 16);
	memcpy(t->server, p + 16, 16);
	t->client_port = load_be16(p + 32);
	t->server_port = load_be16(p + 34);
}

static bool is_mapped(const uint8_t a[16])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	return !memcmp(a, mapped, sizeof(mapped));
}

/* Whether a tuple can be a TCP connection between two hosts. */
static bool tuple_valid(const struct tuple *t)
{
	static const uint8_t none[16];
	bool mapped = is_mapped(t->client);
	const uint8_t *c = t->client, *s = t->server;

	if ((t->ip_version != 4 && t->ip_version != 6) || t->vid > 4094 || mapped != is_mapped(s) ||
	    mapped != (t->ip_version == 4) || !t->client_port || !t->server_port)
		return false;
	if (mapped) /* neither 0/8, 127/8 nor multicast and reserved ones */
		return c[12] && s[12] && c[12] != 127 && s[12] != 127 && c[12] < 224 && s[12] < 224;
	return memcmp(c, none, 15) != 0 && memcmp(s, none, 15) != 0 && c[0] != 0xff && s[0] != 0xff;
}

void tuple_store(uint8_t p[TUPLE_LEN], const struct tuple *t)
{
	store_be32(p, t->tag);
	store_be16(p + 4, t->vid);
	p[6] = t->ip_version;
	p[7] = 0;
	address_pair_store(p + 8, t);
}

/* Reads a tuple. Returns whether it can be one. */
bool tuple_parse(const uint8_t p[TUPLE_LEN], struct tuple *t)
{
	t->tag = load_be32(p);
	t->vid = load_be16(p + 4);
	t->ip_version = p[6];
	address_pair_load(p + 8, t);
	return !p[7] && tuple_valid(t);
}

void open_store(uint8_t p[OPEN_LEN], const struct open_record *o)
{
	store_be32(p, o->tuple.tag);
	store_be16(p + 4, o->tuple.vid);
	p[6] = o->tuple.ip_version;
	p[7] = o->tos;
	memcpy(p + 8, o->client_mac, 6);
	memcpy(p + 14, o->server_mac, 6);
	address_pair_store(p + 20, &o->tuple);
	store_be16(p + 56, o->mss);
	p[58] = o->stripes;
	p[59] = 0;
	store_be32(p + 60, o->credit);
}

static bool credit_valid(uint32_t credit)
{
	return credit >= CREDIT_MIN && credit <= CREDIT_MAX;
}

static bool stripes_valid(uint8_t n)
{
	return n >= 1 && n <= STRIPES_MAX;
}

/* Reads an OPEN. Returns whether all of it can be. */
bool open_parse(const uint8_t p[OPEN_LEN], struct open_record *o)
{
	static const uint8_t none[6];

	o->tuple.tag = load_be32(p);
	o->tuple.vid = load_be16(p + 4);
	o->tuple.ip_version = p[6];
	o->tos = p[7];
	memcpy(o->client_mac, p + 8, 6);
	memcpy(o->server_mac, p + 14, 6);
	address_pair_load(p + 20, &o->tuple);
	o->mss = load_be16(p + 56);
	o->stripes = p[58];
	o->credit = load_be32(p + 60);
	return tuple_valid(&o->tuple) && !(o->client_mac[0] & 1) && !(o->server_mac[0] & 1) &&
	       memcmp(o->client_mac, none, 6) && memcmp(o->server_mac, none, 6) &&
	       stripes_valid(o->stripes) && !p[59] && o->mss && credit_valid(o->credit);
}

void opened_store(uint8_t p[OPENED_LEN], const struct opened_record *o)
{
	store_be16(p, o->mss);
	p[2] = o->stripes;
	p[3] = 0;
	store_be32(p + 4, o->credit);
}

bool opened_parse(const uint8_t p[OPENED_LEN], struct opened_record *o)
{
	o->mss = load_be16(p);
	o->stripes = p[2];
	o->credit = load_be32(p + 4);
	return o->mss && stripes_valid(o->stripes) && !p[3] && credit_valid(o->credit);
}

void credit_store(uint8_t p[CREDIT_LEN], const struct credit_record *c)
{
	store_be64(p, c->taken);
	store_be32(p + 8, c->window);
}

/* Reads a CREDIT. Returns whether it can be one. */
bool credit_parse(const uint8_t p[CREDIT_LEN], struct credit_record *c)
{
	c->taken = load_be64(p);
	c->window = load_be32(p + 8);
	return credit_valid(c->window);
}

void refused_store(uint8_t p[REFUSED_LEN], const struct refused_record *o)
{
	p[0] = o->reason;
	p[1] = o->icmp_type;
	p[2] = o->icmp_code;
	p[3] = 0;
	store_be32(p + 4, o->icmp_rest);
	memcpy(p + 8, o->source, 16);
}

bool refused_parse(const uint8_t p[REFUSED_LEN], struct refused_record *o)
{
	o->reason = p[0];
	o->icmp_type = p[1];
	o->icmp_code = p[2];
	o->icmp_rest = load_be32(p + 4);
	memcpy(o->source, p + 8, 16);
	return o->reason < REFUSE_COUNT && !p[3];
}
