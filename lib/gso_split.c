// SPDX-License-Identifier: GPL-3.0-or-later
/* gso_split.c - one super-frame into the wire frames it stands for */

/*
 * Theory of operation
 *
 * A super-frame is one Ethernet/IP/TCP (or UDP) header stack and up to 64 KB
 * of payload; its virtio_net_hdr tells how the sender wants it cut. A split
 * has two steps. gso_split_begin() believes nothing of that header which the
 * bytes do not confirm, and saves the header stack. gso_split_next() gives
 * away one segment a call, in order, until all are given:
 *
 *	begin -> GSO_OK -> next: true x count -> next: false
 *	      -> an error; nothing else may be called
 *
 * A segment is a copy of the headers with its own lengths, identification,
 * sequence number and checksums, and a pointer to its share of the payload,
 * which stays where it is: the super-frame is never written to, so several
 * splits of it may be under way at once. It must outlive them.
 *
 * What is encapsulated is cut like anything else: p is then the inner packet,
 * and gso_tunnel.c sees to the headers around it.
 *
 * Frames that are no super-frames come out as the one segment they are, with
 * their partial checksum, if any, completed in a copy of their headers.
 */
#include "lib/gso.h"

#include "lib/cksum.h"
#include "lib/gso_wire.h"

#include <string.h>

/* What the offload header may ask for: does it agree with the headers that were parsed? */
static bool type_matches(const struct virtio_net_hdr *v, const struct packet *p)
{
	switch (v->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_TCPV4: return p->ip_version == 4 && p->proto == IPPROTO_TCP;
	case VIRTIO_NET_HDR_GSO_TCPV6: return p->ip_version == 6 && p->proto == IPPROTO_TCP;
	default:
		/* Congestion is no business of UDP's. */
		return p->proto == IPPROTO_UDP && !(v->gso_type & VIRTIO_NET_HDR_GSO_ECN);
	}
}

static bool type_known(uint8_t gso_type)
{
	switch (gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
	case VIRTIO_NET_HDR_GSO_TCPV6:
	case VIRTIO_NET_HDR_GSO_UDP_L4: return true;
	default: return false;
	}
}

/* Is the partial checksum the TCP's or UDP's that packet_parse() finds, so that others find it too?
 */
static bool partial_is_transport(const struct virtio_net_hdr *v, const struct packet *p)
{
	return p->payload && !p->fragment && v->csum_start == p->l4 &&
	       v->csum_offset == gso_check_offset(p);
}

/* Everything that must hold of a super-frame before it is cut. Fills s->p, and s->tunnel. */
static enum gso_error validate(struct gso_split *s, const struct frame *f)
{
	const struct virtio_net_hdr *v = &f->vnet;
	struct packet *p = &s->p;

	if (!type_known(v->gso_type))
		return GSO_UNSUPPORTED;
	if (packet_parse(f->data, f->len, p) || v->gso_size == 0)
		return GSO_MALFORMED;
	if (gso_is_tunnelled(v, p))
		return gso_tunnel_find(s, f);
	if (!p->payload || p->fragment || p->payload > GSO_HDR_MAX || !type_matches(v, p))
		return GSO_MALFORMED;
	/* Every segment would need an integrity value of its own (RFC 4302). */
	if (p->authenticated)
		return GSO_UNSUPPORTED;
	if ((v->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) && !partial_is_transport(v, p))
		return GSO_MALFORMED;
	if (p->proto == IPPROTO_UDP && load_be16(f->data + p->l4 + UDP_LENGTH) != p->l3_end - p->l4)
		return GSO_MALFORMED;
	return GSO_OK;
}

/*
 * The pseudo-header's sum without its length. Behind IPv6 extension headers
 * the destination to sum is not always the one in the IP header (RFC 8200
 * section 8.1: routing headers); a partial checksum has been given the right one.
 */
static uint32_t pseudo_sum(const struct frame *f, const struct packet *p)
{
	uint16_t field = load_be16(f->data + p->l4 + gso_check_offset(p));

	if (p->ip_version == 6 && p->ip_options && (f->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		return (uint32_t)field + (uint16_t) ~(p->l3_end - p->l4);
	return cksum_pseudo(f->data, p, 0);
}

static void clear16(uint8_t *field)
{
	store_be16(field, 0);
}

/*
 * Take what differs from segment to segment out of the saved headers, and sum
 * the rest once: a segment's checksums are then these sums and a few words.
 */
static void begin_headers(struct gso_split *s)
{
	uint8_t *l4 = s->hdr + s->p.l4;

	gso_ip_begin(&s->ip, s->hdr + s->p.l3, &s->p);
	if (s->p.proto == IPPROTO_TCP) {
		s->seq = load_be32(l4 + TCP_SEQ);
		s->flags = l4[TCP_FLAGS];
		clear16(l4 + TCP_SEQ);
		clear16(l4 + TCP_SEQ + 2);
		l4[TCP_FLAGS] = 0;
	} else {
		clear16(l4 + UDP_LENGTH);
	}
	clear16(l4 + gso_check_offset(&s->p));
	if (!s->partial)
		s->l4_sum = cksum_add(s->l4_sum, l4, s->hdr_len - s->p.l4);
	if (s->tunnelled)
		gso_tunnel_begin(s);
}

static enum gso_error begin_super(struct gso_split *s, const struct frame *f, unsigned flags)
{
	enum gso_error err = validate(s, f);
	uint32_t payload_len, longest;

	if (err)
		return err;
	s->hdr_len = s->p.payload;
	s->len = s->p.l3_end;
	s->gso_size = f->vnet.gso_size;
	payload_len = s->len - s->hdr_len;
	longest = payload_len < s->gso_size ? payload_len : s->gso_size;
	s->wire_len = s->hdr_len + longest;
	if (payload_len > s->gso_size)
		s->count = (payload_len + s->gso_size - 1) / s->gso_size;
	/* The far side would look for it in the outer packet. */
	s->partial = (flags & GSO_KEEP_PARTIAL) && !s->tunnelled;
	s->l4_sum = pseudo_sum(f, &s->p);
	memcpy(s->hdr, s->data, s->hdr_len);
	begin_headers(s);
	return GSO_OK;
}

/*
 * One wire frame already; what it may lack is the end of its checksum. It is
 * completed here even under GSO_KEEP_PARTIAL where the field is not where the
 * far side would look for it: an inner packet's, inside VXLAN for instance.
 */
static enum gso_error begin_single(struct gso_split *s, const struct frame *f, unsigned flags)
{
	const struct virtio_net_hdr *v = &f->vnet;
	uint32_t field = (uint32_t)v->csum_start + v->csum_offset;
	struct packet p;
	bool parsed;

	if (!(v->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		return GSO_OK;
	parsed = packet_parse(f->data, f->len, &p) == PACKET_OK;
	if (field + 2 > f->len)
		return GSO_MALFORMED;
	s->partial = (flags & GSO_KEEP_PARTIAL) && parsed && partial_is_transport(v, &p);
	if (s->partial)
		return GSO_OK;
	/* Its checksum is a CRC32c (RFC 9260 section 6.8), which the same flag asks for. */
	if (parsed && p.proto == IPPROTO_SCTP && v->csum_start == p.l4)
		return GSO_UNSUPPORTED;
	if (field + 2 > GSO_HDR_MAX)
		return GSO_MALFORMED;

	s->hdr_len = field + 2;
	memcpy(s->hdr, f->data, s->hdr_len);
	gso_store_check(s->hdr + field,
			cksum_fold(cksum_add(0, f->data + v->csum_start, f->len - v->csum_start)));
	return GSO_OK;
}

/**
 * gso_split_begin - make ready to cut a super-frame into wire frames
 * @s: the split; overwritten
 * @f: the frame with its offload header. Its bytes must stay in place until the
 *	last gso_split_next(); they are never written to.
 * @flags: GSO_KEEP_PARTIAL, or 0 for segments with complete checksums
 *
 * A frame with gso_type NONE is one segment: whole and without copied headers,
 * unless its checksum is to be completed. Padding behind the IP packet of a
 * super-frame is dropped. vnet.hdr_len is ignored (drivers set it to anything).
 *
 * On success s->count segments of at most s->wire_len bytes follow. s->partial
 * says whether their TCP or UDP checksum is partial, the sum of the
 * pseudo-header for the segment's own length, at the place where packet_parse()
 * finds that header: whoever sends them on sends that bit with them. It is set
 * only with GSO_KEEP_PARTIAL, and then for every super-frame that is not
 * encapsulated.
 *
 * Return: GSO_OK; GSO_UNSUPPORTED for an offload type that is not known here
 * (UFO), SCTP with a partial checksum, super-frames under AH, and in tunnels
 * that number or route their packets (GRE);
 * GSO_MALFORMED if the offload header contradicts the bytes or the headers to
 * be copied are longer than GSO_HDR_MAX.
 */
enum gso_error gso_split_begin(struct gso_split *s, const struct frame *f, unsigned flags)
{
	s->count = 1;
	s->wire_len = f->len;
	s->partial = false;
	s->data = f->data;
	s->len = f->len;
	s->next = 0;
	s->hdr_len = 0;
	s->gso_size = 0;
	s->tunnelled = false;
	if (f->vnet.gso_type == VIRTIO_NET_HDR_GSO_NONE)
		return begin_single(s, f, flags);
	return begin_super(s, f, flags);
}

/*
 * What TCP segmentation does to the header (RFC 9293 section 3.1): the sequence
 * number advances by the payload before it; FIN and PSH speak of the end of the
 * data; CWR is said once (RFC 3168 section 6.1.2), whatever the ECN bit of
 * gso_type claims. Returns the sum of what it wrote.
 */
static uint32_t write_tcp(const struct gso_split *s, uint8_t *tcp, uint32_t index)
{
	uint32_t seq = s->seq + index * s->gso_size;
	uint8_t flags = s->flags;

	if (index > 0)
		flags &= (uint8_t)~TCP_CWR;
	if (index + 1 < s->count)
		flags &= (uint8_t) ~(TCP_FIN | TCP_PSH);
	store_be32(tcp + TCP_SEQ, seq);
	tcp[TCP_FLAGS] = flags;
	return (seq >> 16) + (seq & 0xffff) + flags;
}

/* The transport header of the segment at @index, its checksum over all of it last. */
static void write_transport(const struct gso_split *s, uint8_t *l4, uint32_t index,
			    const struct gso_segment *seg)
{
	uint32_t l4_len = s->hdr_len - s->p.l4 + seg->payload_len;
	uint32_t written = l4_len, sum = s->l4_sum + l4_len;
	uint8_t *check = l4 + gso_check_offset(&s->p);

	if (s->p.proto == IPPROTO_TCP)
		written = write_tcp(s, l4, index);
	else
		store_be16(l4 + UDP_LENGTH, (uint16_t)l4_len);

	if (s->partial)
		store_be16(check, gso_partial_check(sum));
	else
		gso_store_check(check, cksum_fold(cksum_add(sum + written, seg->payload,
							    seg->payload_len)));
}

/**
 * gso_split_next - the next wire frame of a split
 * @s: a split that gso_split_begin() said GSO_OK to
 * @hdr: where its headers are written; room for GSO_HDR_MAX bytes
 * @seg: hdr_len bytes at @hdr, then payload_len bytes of the super-frame
 *
 * Every segment has the lengths, the checksums and (IPv4) the identification,
 * counted up by one a segment, that the sender would have given it.
 *
 * Return: false, and nothing written, if all have been given.
 */
bool gso_split_next(struct gso_split *s, uint8_t *hdr, struct gso_segment *seg)
{
	uint32_t index = s->next, at = s->hdr_len + index * s->gso_size, len;

	if (index == s->count)
		return false;
	s->next++;
	memcpy(hdr, s->hdr, s->hdr_len);
	seg->hdr_len = s->hdr_len;
	seg->payload = s->data + at;
	seg->payload_len = s->len - at;
	if (s->gso_size == 0)
		return true;

	if (seg->payload_len > s->gso_size)
		seg->payload_len = s->gso_size;
	len = s->hdr_len + seg->payload_len;
	gso_ip_write(&s->ip, hdr + s->p.l3, &s->p, index, len - s->p.l3);
	write_transport(s, hdr + s->p.l4, index, seg);
	if (s->tunnelled)
		gso_tunnel_write(s, hdr, index, len);
	return true;
}
