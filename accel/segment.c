// SPDX-License-Identifier: GPL-3.0-or-later
/* segment.c - TCP segments of accelerated flows: read, rewritten in place, answered. Pure */
/*
 * Everything here is given a frame whose TCP header packet_parse() has read
 * whole (p->payload is set) and that is no fragment. A checksum that is
 * partial is the pseudo-header's alone and does not change with the header;
 * a complete one is kept right incrementally, so that what was damaged before
 * stays so.
 */
#include "accel/segment.h"

#include "lib/cksum.h"
#include "lib/tcpopt.h"

#include <netinet/in.h>
#include <string.h>

#define IPV4_HDR 20
#define IPV6_HDR 40

/* What a host takes that says nothing: RFC 9293 3.7.1. */
#define MSS_IPV4 536
#define MSS_IPV6 1220

/* Reads what a TCP segment is steered by; false if it is none, or a fragment. */
bool segment_read(const struct frame *f, const struct packet *p, struct segment *s)
{
	const uint8_t *tcp = f->data + p->l4;

	if (p->proto != IPPROTO_TCP || !p->payload || p->fragment)
		return false;
	*s = (struct segment){.seq = load_be32(tcp + TCP_SEQ),
			      .ack = load_be32(tcp + TCP_ACK_SEQ),
			      .len = p->l3_end - p->payload,
			      .window = load_be16(tcp + TCP_WINDOW),
			      .flags = tcp[TCP_FLAGS]};
	return true;
}

/* Whether a segment's checksums are right, as far as they are not somebody else's business: partial
 * ones, and those that the interface has checked. */
bool segment_is_intact(const struct frame *f, const struct packet *p)
{
	uint32_t l4_len = p->l3_end - p->l4;

	if (p->ip_version == 4 && cksum_fold(cksum_add(0, f->data + p->l3, p->l4 - p->l3)))
		return false;
	if (f->vnet.flags & (VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID))
		return true;
	return !cksum_fold(cksum_add(cksum_pseudo(f->data, p, l4_len), f->data + p->l4, l4_len));
}

static void map(uint8_t to[16], const uint8_t *ip)
{
	memset(to, 0, 10);
	to[10] = to[11] = 0xff;
	memcpy(to + 12, ip, 4);
}

/* The IP addresses of a packet, IPv4 ones mapped into IPv6. */
void segment_addresses(const uint8_t *data, const struct packet *p, uint8_t src[16],
		       uint8_t dst[16])
{
	const uint8_t *ip = data + p->l3;

	if (p->ip_version == 4) {
		map(src, ip + 12);
		map(dst, ip + 16);
	} else {
		memcpy(src, ip + 8, 16);
		memcpy(dst, ip + 24, 16);
	}
}

/* Whether a segment is signed with a secret that we do not have (RFC 2385, RFC 5925), or its
 * options cannot be read. */
bool segment_has_secret(const struct frame *f, const struct packet *p)
{
	struct tcpopt_iter it;
	struct tcpopt o;

	if (!tcpopt_begin(&it, f->data + p->l4, p->payload - p->l4))
		return true;
	while (tcpopt_next(&it, &o))
		if (o.kind == TCPOPT_KIND_MD5 || o.kind == TCPOPT_KIND_AO)
			return true;
	return it.malformed;
}

static bool find_mss(const struct frame *f, const struct packet *p, uint16_t *offset)
{
	struct tcpopt_iter it;
	struct tcpopt o;

	if (!tcpopt_begin(&it, f->data + p->l4, p->payload - p->l4))
		return false;
	while (tcpopt_next(&it, &o)) {
		if (o.kind != TCPOPT_KIND_MSS || o.len != 4)
			continue;
		*offset = (uint16_t)(o.offset + 2);
		return true;
	}
	return false;
}

/* The MSS that a SYN offers, in bytes; the default if it does not say. */
uint16_t segment_mss(const struct frame *f, const struct packet *p)
{
	uint16_t at;

	if (find_mss(f, p, &at) && load_be16(f->data + p->l4 + at))
		return load_be16(f->data + p->l4 + at);
	return p->ip_version == 4 ? MSS_IPV4 : MSS_IPV6;
}

/* The window scale that a SYN offers; 0 if it offers none. */
uint8_t segment_wscale(const struct frame *f, const struct packet *p)
{
	struct tcpopt_iter it;
	struct tcpopt o;

	if (tcpopt_begin(&it, f->data + p->l4, p->payload - p->l4))
		while (tcpopt_next(&it, &o))
			if (o.kind == TCPOPT_KIND_WSCALE && o.len == 3)
				return o.data[0] < TCP_WSCALE_MAX ? o.data[0] : TCP_WSCALE_MAX;
	return 0;
}

/* Writes two bytes of a TCP header and keeps a complete checksum right. @at: from the header on. */
static void put16(struct frame *f, const struct packet *p, unsigned at, uint16_t value)
{
	uint8_t *tcp = f->data + p->l4, *word = tcp + (at & ~1u), old[4] = {0};
	uint16_t check = load_be16(tcp + TCP_CHECK);

	memcpy(old, word, at & 1 ? 4 : 2); /* headers end on a multiple of 4 */
	store_be16(tcp + at, value);
	if (f->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		return;
	check = cksum_replace16(check, load_be16(old), load_be16(word));
	if (at & 1)
		check = cksum_replace16(check, load_be16(old + 2), load_be16(word + 2));
	store_be16(tcp + TCP_CHECK, check);
}

/* Has a SYN offer this MSS, in bytes, where it offers one. */
void segment_set_mss(struct frame *f, const struct packet *p, uint16_t mss)
{
	uint16_t at;

	if (find_mss(f, p, &at) && load_be16(f->data + p->l4 + at) != mss)
		put16(f, p, at, mss);
}

/* Moves a segment in sequence space. */
void segment_set_seq(struct frame *f, const struct packet *p, uint32_t seq)
{
	put16(f, p, TCP_SEQ, (uint16_t)(seq >> 16));
	put16(f, p, TCP_SEQ + 2, (uint16_t)seq);
}

/* Takes flags away from a segment. */
void segment_clear_flags(struct frame *f, const struct packet *p, uint8_t flags)
{
	uint16_t word = load_be16(f->data + p->l4 + TCP_OFFSET);

	put16(f, p, TCP_OFFSET, word & (uint16_t)~flags);
}

/* Takes a frame's one VLAN tag away; its MACs move to the right. */
void segment_untag(struct frame *f, struct packet *p)
{
	if (!p->vlans)
		return;
	memmove(f->data + VLAN_TAG_LEN, f->data, 12);
	f->data += VLAN_TAG_LEN;
	f->len -= VLAN_TAG_LEN;
	p->l3 -= VLAN_TAG_LEN;
	p->l4 -= VLAN_TAG_LEN;
	p->payload -= VLAN_TAG_LEN;
	p->l3_end -= VLAN_TAG_LEN;
	p->vlans = 0;
	if (f->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		f->vnet.csum_start -= VLAN_TAG_LEN;
	if (f->vnet.hdr_len > VLAN_TAG_LEN)
		f->vnet.hdr_len -= VLAN_TAG_LEN;
}

/* Puts a VLAN tag into an untagged frame; there must be room for it in front. */
void segment_tag(struct frame *f, uint16_t vid)
{
	f->data -= VLAN_TAG_LEN;
	f->len += VLAN_TAG_LEN;
	memmove(f->data, f->data + VLAN_TAG_LEN, 12);
	store_be16(f->data + 12, 0x8100);
	store_be16(f->data + 14, vid);
	if (f->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		f->vnet.csum_start += VLAN_TAG_LEN;
	if (f->vnet.hdr_len)
		f->vnet.hdr_len += VLAN_TAG_LEN;
}

static void swap(uint8_t *a, uint8_t *b, size_t len)
{
	uint8_t x[16];

	memcpy(x, a, len);
	memcpy(a, b, len);
	memcpy(b, x, len);
}

static void finish_ip(uint8_t *ip, const struct packet *p, uint32_t l4_len)
{
	if (p->ip_version == 4) {
		store_be16(ip + 2, (uint16_t)(IPV4_HDR + l4_len));
		store_be16(ip + 10, 0);
		store_be16(ip + 10, cksum_fold(cksum_add(0, ip, IPV4_HDR)));
	} else {
		store_be16(ip + 4, (uint16_t)l4_len);
	}
}

/* Ends a bare TCP header of 20 bytes at p->l4: lengths, checksums, the frame's end. */
static void finish_tcp(struct frame *f, const struct packet *p)
{
	uint8_t *tcp = f->data + p->l4;

	tcp[TCP_OFFSET] = TCP_HDR_MIN / 4 << 4;
	store_be16(tcp + TCP_CHECK, 0);
	store_be16(tcp + TCP_CHECK + 2, 0); /* urgent pointer */
	finish_ip(f->data + p->l3, p, TCP_HDR_MIN);
	store_be16(tcp + TCP_CHECK,
		   cksum_fold(cksum_add(cksum_pseudo(f->data, p, TCP_HDR_MIN), tcp, TCP_HDR_MIN)));
	f->len = p->l4 + TCP_HDR_MIN;
	f->vnet = (struct virtio_net_hdr){0};
}

/* Turns a frame round: what is sent back has no data, no options and nothing to be split. */
static bool turn_round(struct frame *f, const struct packet *p)
{
	uint8_t *ip = f->data + p->l3;

	if (p->ip_options)
		return false;
	swap(f->data, f->data + 6, 6);
	if (p->ip_version == 4) {
		swap(ip + 12, ip + 16, 4);
		store_be16(ip + 6, 0x4000);
		ip[8] = 64;
	} else {
		swap(ip + 8, ip + 24, 16);
		ip[7] = 64;
	}
	swap(f->data + p->l4, f->data + p->l4 + 2, 2);
	return true;
}

/* How much of sequence space a segment takes. */
static uint32_t spans(const struct segment *s)
{
	return s->len + !!(s->flags & TCP_SYN) + !!(s->flags & TCP_FIN);
}

/*
 * Turns a segment into the reset that answers it (RFC 9293 3.10.7.1): its SEQ
 * is SEG.ACK, so whoever sent the segment must believe it.
 * Returns false if nothing must be sent: it is a reset itself.
 */
bool segment_answer_reset(struct frame *f, const struct packet *p)
{
	uint8_t *tcp = f->data + p->l4;
	struct segment s;

	if (!segment_read(f, p, &s) || s.flags & TCP_RST || !turn_round(f, p))
		return false;
	store_be32(tcp + TCP_SEQ, s.flags & TCP_ACK ? s.ack : 0);
	store_be32(tcp + TCP_ACK_SEQ, s.flags & TCP_ACK ? 0 : s.seq + spans(&s));
	tcp[TCP_FLAGS] = s.flags & TCP_ACK ? TCP_RST : TCP_RST | TCP_ACK;
	store_be16(tcp + TCP_WINDOW, 0);
	finish_tcp(f, p);
	return true;
}

/*
 * Turns a segment of a connection that has ended into its acknowledgement.
 * Returns false if nothing must be sent: it takes no sequence space.
 */
bool segment_answer_ack(struct frame *f, const struct packet *p)
{
	uint8_t *tcp = f->data + p->l4;
	struct segment s;

	if (!segment_read(f, p, &s) || s.flags & (TCP_RST | TCP_SYN) || !spans(&s) ||
	    !(s.flags & TCP_ACK) || !turn_round(f, p))
		return false;
	store_be32(tcp + TCP_SEQ, s.ack);
	store_be32(tcp + TCP_ACK_SEQ, s.seq + spans(&s));
	tcp[TCP_FLAGS] = TCP_ACK;
	finish_tcp(f, p);
	return true;
}

/* Makes a segment, of any kind, the bare FIN at a place in its sender's sequence space. Its options
 * stay: they carry a time stamp that the stack will believe. */
void segment_make_fin(struct frame *f, const struct packet *p, uint32_t seq)
{
	uint8_t *tcp = f->data + p->l4;
	uint32_t l4_len = p->payload - p->l4;

	store_be32(tcp + TCP_SEQ, seq);
	tcp[TCP_FLAGS] = TCP_FIN | TCP_ACK;
	store_be16(tcp + TCP_CHECK, 0);
	store_be16(tcp + TCP_CHECK + 2, 0);
	f->len = p->payload;
	f->vnet = (struct virtio_net_hdr){0};
	finish_ip(f->data + p->l3, p, l4_len);
	store_be16(tcp + TCP_CHECK,
		   cksum_fold(cksum_add(cksum_pseudo(f->data, p, l4_len), tcp, l4_len)));
}

/* ICMP errors that may end or slow a connection, RFC 792 and RFC 4443. */
static bool is_error(const struct packet *p, uint8_t type)
{
	if (p->ip_version == 4)
		return p->proto == IPPROTO_ICMP && (type == 3 || type == 11 || type == 12);
	return p->proto == IPPROTO_ICMPV6 && type >= 1 && type <= 4;
}

/*
 * Reads an ICMP error about a TCP segment.
 * @e:         what it says
 * @quoted:    the IP packet it is about; the ports can be read at its l4
 * @quoted_at: where that packet stands in the frame
 *
 * Returns false if it is no such thing.
 */
bool segment_read_error(const struct frame *f, const struct packet *p, struct segment_error *e,
			struct packet *quoted, uint32_t *quoted_at)
{
	const uint8_t *icmp = f->data + p->l4, *ip;
	uint8_t unused[16];
	size_t hdr, left;

	if (!p->l4 || p->fragment || p->l4 + 8u > p->l3_end || !is_error(p, icmp[0]))
		return false;
	*e = (struct segment_error){.ip_version = p->ip_version,
				    .type = icmp[0],
				    .code = icmp[1],
				    .rest = load_be32(icmp + 4)};
	segment_addresses(f->data, p, e->source, unused);
	*quoted_at = p->l4 + 8;
	ip = f->data + *quoted_at;
	left = p->l3_end - *quoted_at;
	/* Eight bytes of TCP are all that is promised, so packet_parse() would not take it. */
	if (p->ip_version == 4) {
		if (left < IPV4_HDR + 8 || ip[0] >> 4 != 4 || ip[9] != IPPROTO_TCP ||
		    load_be16(ip + 6) & 0x1fff)
			return false;
		hdr = (ip[0] & 15) * 4u;
	} else {
		if (left < IPV6_HDR + 8 || ip[0] >> 4 != 6 || ip[6] != IPPROTO_TCP)
			return false;
		hdr = IPV6_HDR;
	}
	if (hdr < IPV4_HDR || hdr + 8 > left)
		return false;
	*quoted = (struct packet){.ip_version = p->ip_version,
				  .proto = IPPROTO_TCP,
				  .l3 = (uint16_t)*quoted_at,
				  .l4 = (uint16_t)(*quoted_at + hdr),
				  .vid = p->vid};
	return true;
}

/*
 * Makes an ICMP error about a SYN, as if whoever sent the first one had sent
 * it to this client: from its address, by the server's MAC.
 * @out: the frame
 * @syn: what is quoted
 * Returns its length in bytes.
 */
size_t segment_make_error(uint8_t out[SEGMENT_ERROR_MAX], const struct frame *syn,
			  const struct packet *p, const struct segment_error *e)
{
	const uint8_t *ip = syn->data + p->l3;
	size_t quote = p->l3_end - p->l3 < 128 ? p->l3_end - p->l3 : 128, len;
	struct packet o = {.ip_version = p->ip_version, .l3 = p->l3};
	uint8_t *to = out + p->l3, *icmp;

	memcpy(out, syn->data + 6, 6);
	memcpy(out + 6, syn->data, 6);
	memcpy(out + 12, syn->data + 12, p->l3 - 12u);
	if (p->ip_version == 4) {
		memset(to, 0, IPV4_HDR);
		to[0] = 0x45;
		to[8] = 64;
		to[9] = o.proto = IPPROTO_ICMP;
		memcpy(to + 12, e->source + 12, 4);
		memcpy(to + 16, ip + 12, 4);
		o.l4 = p->l3 + IPV4_HDR;
	} else {
		memset(to, 0, IPV6_HDR);
		to[0] = 0x60;
		to[6] = o.proto = IPPROTO_ICMPV6;
		to[7] = 64;
		memcpy(to + 8, e->source, 16);
		memcpy(to + 24, ip + 8, 16);
		o.l4 = p->l3 + IPV6_HDR;
	}
	icmp = out + o.l4;
	icmp[0] = e->type;
	icmp[1] = e->code;
	store_be16(icmp + 2, 0);
	store_be32(icmp + 4, e->rest);
	memcpy(icmp + 8, ip, quote);
	len = 8 + quote;
	finish_ip(to, &o, (uint32_t)len);
	store_be16(icmp + 2, cksum_fold(cksum_add(
				     p->ip_version == 6 ? cksum_pseudo(out, &o, (uint32_t)len) : 0,
				     icmp, len)));
	return o.l4 + len;
}
