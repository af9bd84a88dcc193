/* SPDX-License-Identifier: GPL-3.0-or-later */
/* gso_frames.h - super-frames and the wire frames they stand for, built without lib/gso_*.c */
#ifndef TESTS_GSO_FRAMES_H
#define TESTS_GSO_FRAMES_H

#include "lib/gso.h"
#include "packets.h"

/* What a frame is made of. A wire frame has size 0. */
struct spec {
	unsigned version;  /* 4 or 6 */
	unsigned proto;	   /* PKT_PROTO_TCP or PKT_PROTO_UDP */
	unsigned vlans;	   /* 0 to 2 tags */
	unsigned tci;	   /* of the innermost */
	unsigned ip_extra; /* bytes of IPv4 options (/4) or of an IPv6 destination options header
			      (/8) */
	unsigned options;  /* bytes of TCP options */
	unsigned salt;	   /* makes option bytes and payload of one flow differ from another's */
	unsigned flags;	   /* of TCP */
	unsigned reserved; /* low half of TCP's octet 12 */
	unsigned frag; /* IPv4 flags and fragment offset; all but DF as a fragment header in IPv6 */
	unsigned tos, ttl, id, window, urgent, sport, dport, label;
	unsigned macs, addresses; /* bit 0 set: another destination; bit 1: another source */
	uint32_t seq, ack, key;
	size_t at, len; /* which part of the stream is the payload */
	unsigned size;	/* gso_size */
	bool ecn;	/* with the ECN bit in gso_type */
	bool partial;	/* checksum partial */
};

static inline struct spec spec_tcp(unsigned version)
{
	return (struct spec){
		.version = version,
		.proto = PKT_PROTO_TCP,
		.tci = 7,
		.options = 12,
		.flags = PKT_ACK,
		.ttl = 64,
		.frag = 0x4000,
		.id = 0x1234,
		.window = 33304,
		.sport = 49152,
		.dport = 902,
		.seq = 0x01020304,
		.ack = 0x05060708,
		.len = 1448,
	};
}

static inline struct spec spec_udp(unsigned version)
{
	struct spec s = spec_tcp(version);

	s.proto = PKT_PROTO_UDP;
	s.options = 0;
	return s;
}

/* The super-frame of @len bytes to be cut at @size. */
static inline struct spec super_of(struct spec s, size_t len, unsigned size)
{
	s.len = len;
	s.size = size;
	return s;
}

/* xorshift64*: the same cases everywhere. */
static inline uint64_t rng(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64_C(2685821657736338717);
}

/* From low to high, both included. */
static inline unsigned pick(uint64_t *state, unsigned low, unsigned high)
{
	return low + (unsigned)((rng(state) >> 16) % (high - low + 1));
}

static inline void push_ip(struct pkt *k, const struct spec *s)
{
	uint8_t extra[64], *ip;

	memset(extra, 1, sizeof(extra)); /* IPv4: no operation */
	if (s->version == 4) {
		pkt_ipv4(k, extra, s->ip_extra);
		ip = k->data + k->l3;
		ip[16] ^= s->addresses & 1;
		ip[15] ^= s->addresses & 2;
		ip[1] = (uint8_t)s->tos;
		pkt_put16(ip + 4, s->id);
		pkt_put16(ip + 6, s->frag);
		ip[8] = (uint8_t)s->ttl;
		return;
	}
	pkt_ipv6(k);
	ip = k->data + k->l3;
	ip[24] ^= s->addresses & 1;
	ip[23] ^= s->addresses & 2;
	pkt_put16(ip, 0x6000 | s->tos << 4 | s->label >> 16);
	pkt_put16(ip + 2, s->label & 0xffff);
	ip[7] = (uint8_t)s->ttl;
	if (s->ip_extra)
		pkt_ext(k, 60, s->ip_extra);
	if (s->frag & 0x3fff)
		pkt_put16(pkt_ext(k, 44, 8) + 2,
			  (s->frag & 0x1fff) << 3 | (s->frag & 0x2000) >> 13);
}

static inline void push_transport(struct pkt *k, const struct spec *s)
{
	uint8_t options[40], *l4;

	for (unsigned i = 0; i < sizeof(options); i++)
		options[i] = (uint8_t)(s->salt + i);
	if (s->proto == PKT_PROTO_UDP) {
		l4 = pkt_udp(k);
	} else {
		l4 = pkt_tcp(k, s->flags, options, s->options);
		pkt_put16(l4 + 4, s->seq >> 16);
		pkt_put16(l4 + 6, s->seq & 0xffff);
		pkt_put16(l4 + 8, s->ack >> 16);
		pkt_put16(l4 + 10, s->ack & 0xffff);
		l4[12] |= (uint8_t)s->reserved;
		pkt_put16(l4 + 14, s->window);
		pkt_put16(l4 + 18, s->urgent);
	}
	pkt_put16(l4, s->sport);
	pkt_put16(l4 + 2, s->dport);
}

/* A hash, so that the sums over two stretches of a stream have nothing in common. */
static inline uint8_t stream_byte(unsigned salt, size_t at)
{
	uint32_t x = (uint32_t)at + salt * 65537u;

	x = (x ^ x >> 16) * 0x7feb352du;
	x = (x ^ x >> 15) * 0x846ca68bu;
	return (uint8_t)(x >> 24);
}

static inline struct virtio_net_hdr vnet_of(const struct pkt *k, const struct spec *s)
{
	struct virtio_net_hdr v = {0};

	if (s->partial) {
		v.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		v.csum_start = (uint16_t)k->l4;
		v.csum_offset = s->proto == PKT_PROTO_TCP ? 16 : 6;
	}
	if (!s->size)
		return v;
	v.gso_type = VIRTIO_NET_HDR_GSO_UDP_L4;
	if (s->proto == PKT_PROTO_TCP)
		v.gso_type = s->version == 4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6;
	if (s->ecn)
		v.gso_type |= VIRTIO_NET_HDR_GSO_ECN;
	v.gso_size = (uint16_t)s->size;
	v.hdr_len = (uint16_t)(k->len - s->len);
	return v;
}

/* In memory of exactly its size, so that ASan sees any read beyond. */
static inline struct frame frame_of_bytes(const void *data, size_t len)
{
	struct frame f = {.data = malloc(len ? len : 1), .len = (uint32_t)len};

	if (!f.data)
		abort();
	if (len)
		memcpy(f.data, data, len);
	return f;
}

static inline struct frame frame_copy(const struct frame *f)
{
	struct frame copy = frame_of_bytes(f->data, f->len);

	copy.key = f->key;
	copy.vnet = f->vnet;
	return copy;
}

/* The frame that a spec describes, in memory of its own: free its data. */
static inline struct frame build(const struct spec *s)
{
	static struct pkt k;
	struct frame f;
	uint8_t *payload;

	pkt_begin(&k);
	k.data[5] ^= s->macs & 1;
	k.data[6] ^= s->macs & 2;
	for (unsigned i = s->vlans; i > 0; i--)
		pkt_vlan(&k, i == 2 ? 0x88a8 : 0x8100, s->tci + (i - 1) * 100);
	push_ip(&k, s);
	push_transport(&k, s);
	payload = pkt_push(&k, NULL, s->len);
	for (size_t i = 0; i < s->len; i++)
		payload[i] = stream_byte(s->salt, s->at + i);
	if (s->partial)
		pkt_finish_partial(&k);
	else
		pkt_finish(&k);
	/* TCP has two zeros to choose from; ours is the one that UDP needs. */
	if (!pkt_get16(pkt_check_field(&k)))
		pkt_put16(pkt_check_field(&k), 0xffff);

	f = frame_of_bytes(k.data, k.len);
	f.key = s->key;
	f.vnet = vnet_of(&k, s);
	return f;
}

static inline uint32_t segments_of(const struct spec *super)
{
	return super->len <= super->size ? 1 : (uint32_t)((super->len - 1) / super->size + 1);
}

/* The wire frame that segment i of a super-frame must be. */
static inline struct spec segment_spec(const struct spec *super, uint32_t i)
{
	struct spec s = *super;
	size_t from = (size_t)i * super->size;

	s.size = 0;
	s.at += from;
	s.len = super->len - from < super->size ? super->len - from : super->size;
	s.seq += (uint32_t)from;
	s.id = (s.id + i) & 0xffff;
	if (i > 0)
		s.flags &= ~(unsigned)PKT_CWR;
	if (i + 1 < segments_of(super))
		s.flags &= ~(unsigned)(PKT_FIN | PKT_PSH);
	return s;
}

/* The bytes of a segment in one piece, as the far side gets them. */
static inline struct frame segment_frame(const uint8_t *hdr, const struct gso_segment *seg,
					 bool partial, unsigned proto)
{
	static uint8_t data[FRAME_MAX + GSO_HDR_MAX];
	struct frame f;
	struct packet p;

	memcpy(data, hdr, seg->hdr_len);
	memcpy(data + seg->hdr_len, seg->payload, seg->payload_len);
	f = frame_of_bytes(data, seg->hdr_len + seg->payload_len);
	if (partial && packet_parse(f.data, f.len, &p) == PACKET_OK) {
		f.vnet.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		f.vnet.csum_start = p.l4;
		f.vnet.csum_offset = proto == PKT_PROTO_TCP ? 16 : 6;
	}
	return f;
}

/* A group in one piece. */
static inline struct frame merged_frame(const struct gso_merged *g)
{
	struct frame f = {.data = malloc(g->len + 1), .key = g->head->key, .vnet = g->vnet};

	if (!f.data)
		abort();
	for (uint32_t i = 0; i < g->iovcnt; i++) {
		if (f.len + g->iov[i].iov_len > g->len)
			abort();
		memcpy(f.data + f.len, g->iov[i].iov_base, g->iov[i].iov_len);
		f.len += (uint32_t)g->iov[i].iov_len;
	}
	return f;
}

static inline bool same_frame(const struct frame *a, const struct frame *b)
{
	return a->len == b->len && memcmp(a->data, b->data, a->len) == 0 &&
	       memcmp(&a->vnet, &b->vnet, sizeof(a->vnet)) == 0;
}

/*
 * What must hold of any split, whatever was decided: nothing outside the frame
 * and the header buffer is touched (ASan). Returns what is wrong, or NULL.
 */
static inline const char *walk_wrong(const struct frame *f, unsigned flags)
{
	struct gso_split s;
	struct gso_segment seg;
	uint8_t *hdr = malloc(GSO_HDR_MAX);
	const uint8_t *at = NULL;
	uint32_t n = 0, longest = 0;
	const char *wrong = NULL;

	if (!hdr)
		abort();
	if (gso_split_begin(&s, f, flags) != GSO_OK) {
		free(hdr);
		return NULL;
	}
	for (; gso_split_next(&s, hdr, &seg); n++) {
		if (seg.hdr_len > GSO_HDR_MAX || seg.payload < f->data ||
		    seg.payload + seg.payload_len > f->data + f->len)
			wrong = "a segment leaves the frame";
		if (at && seg.payload != at)
			wrong = "payload is left out or given twice";
		at = seg.payload + seg.payload_len;
		if (seg.hdr_len + seg.payload_len > longest)
			longest = seg.hdr_len + seg.payload_len;
	}
	if (n < 1 || n != s.count || longest != s.wire_len)
		wrong = "another number or size of segments than was said";
	free(hdr);
	return wrong;
}

static inline const char *split_wrong(const struct gso_merged *g, const struct frame *super,
				      const struct frame *was, const uint32_t *members)
{
	bool partial = was[members[0]].vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM;
	struct gso_split s;
	struct gso_segment seg;
	uint8_t hdr[GSO_HDR_MAX];

	if (super->len != g->len)
		return "len is not the sum of the iovecs";
	if (gso_split_begin(&s, super, partial ? GSO_KEEP_PARTIAL : 0) != GSO_OK)
		return "a group cannot be split";
	if (s.count != g->frames || s.wire_len != g->wire_len)
		return "a group splits into another number or size of frames";
	for (uint32_t i = 0; gso_split_next(&s, hdr, &seg); i++) {
		const struct frame *w = &was[members[i]];

		if (seg.hdr_len + seg.payload_len != w->len || memcmp(hdr, w->data, seg.hdr_len) ||
		    memcmp(seg.payload, w->data + seg.hdr_len, seg.payload_len))
			return "a group does not split into the frames that came in";
	}
	return NULL;
}

/* Does a merged group split into the very frames it was made of? */
static inline const char *group_wrong(const struct gso_merged *g, const struct frame *was,
				      const uint32_t *members)
{
	struct frame super = merged_frame(g);
	const char *wrong = split_wrong(g, &super, was, members);

	free(super.data);
	return wrong;
}

/*
 * What must hold of any batch: each frame comes out once; within a flow in
 * order; single ones untouched; merged ones so that a split gives them back.
 * was: copies of the frames before merging; flows: a number each. Returns what
 * is wrong, or NULL.
 */
static inline const char *batch_wrong(const struct frame *was, const struct frame *frames,
				      const uint32_t *flows, uint32_t n,
				      const struct gso_merged *groups, uint32_t count)
{
	uint32_t *order = calloc(n + 1, sizeof(*order)), given = 0;
	const char *wrong = NULL;

	if (!order)
		abort();
	for (uint32_t g = 0; !wrong && g < count; g++) {
		uint32_t first = given;

		for (uint32_t k = 0; k < groups[g].iovcnt; k++) {
			const uint8_t *base = groups[g].iov[k].iov_base;
			uint32_t i = 0;

			/* A frame may be empty, and then only its start is its own. */
			while (i < n && base != frames[i].data &&
			       (base < frames[i].data || base >= frames[i].data + frames[i].len))
				i++;
			if (i == n || given == n)
				wrong = "an iovec points nowhere, or a frame came out twice";
			else
				order[given++] = i;
		}
		if (wrong)
			break;
		if (groups[g].iovcnt > 1) {
			wrong = group_wrong(&groups[g], was, order + first);
		} else {
			struct frame out = merged_frame(&groups[g]);

			if (!same_frame(&out, &was[order[first]]))
				wrong = "a single frame was changed";
			free(out.data);
		}
	}
	if (!wrong && given != n)
		wrong = "not every frame came out";
	for (uint32_t i = 0; !wrong && i < n; i++)
		for (uint32_t j = i + 1; j < n; j++)
			if (flows[order[i]] == flows[order[j]] && order[i] > order[j])
				wrong = "a frame overtook another of its flow";
	free(order);
	return wrong;
}

#endif
