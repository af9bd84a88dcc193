// SPDX-License-Identifier: GPL-3.0-or-later
/* gso_tunnel.c - the outer headers of an encapsulated super-frame */

/*
 * Theory of operation
 *
 * A host that sends TCP through VXLAN, GENEVE, GRE or IP in IP has the whole
 * stack cut at once: its super-frame is that of the inner connection, csum_start
 * points at the inner transport header, and the headers around it are those of
 * one outer packet:
 *
 *	Ethernet | IP | UDP, GRE or nothing | what the tunnel adds | IP | TCP | payload
 *	           outer                       any even length       inner
 *
 * What the tunnel adds (VXLAN's header and an inner Ethernet header, say) is
 * the same on every segment and is not read. The virtio_net_hdr has no word for
 * any of this, so the inner IP header must be proved: it stands directly in
 * front of csum_start and ends where the frame ends.
 *
 * Linux leaves in a UDP or GRE checksum field 0 if the tunnel has no checksums
 * and otherwise a partial checksum (UDP: the pseudo-header's sum, with the
 * super-frame's length), though csum_start speaks of the inner one. Each segment
 * is given a complete one. Its value does not take another pass over the payload:
 * a transport packet with its checksum sums to the complement of its
 * pseudo-header, an IPv4 header with its checksum to nothing (local checksum
 * offload, Documentation/networking/checksum-offloads.rst).
 */
#include "lib/gso_wire.h"

#include <string.h>

/* RFC 2784, RFC 2890: flags in the first octet, the version in the second. */
#define GRE_CHECKSUM 0x80
#define GRE_KEY	     0x20
#define GRE_VERSION  0x07
#define GRE_WORD     4 /* octets of the header, and of each field behind it */
#define GRE_CHECK    4

#define IPV4_MF_OR_OFFSET 0x3fff
#define IPV4_NO_OPTIONS	  0x45 /* version and header length */

static bool may_be(const struct virtio_net_hdr *v, unsigned version)
{
	switch (v->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_TCPV4: return version == 4;
	case VIRTIO_NET_HDR_GSO_TCPV6: return version == 6;
	default:
		/* UDP: the header has to tell. Congestion is no business of it. */
		return !(v->gso_type & VIRTIO_NET_HDR_GSO_ECN);
	}
}

/* An IPv4 packet of @len bytes, without options, not a fragment. */
static bool is_ipv4(const uint8_t *ip, uint32_t len, uint8_t proto)
{
	return ip[0] == IPV4_NO_OPTIONS && load_be16(ip + IPV4_TOTAL_LEN) == len &&
	       !(load_be16(ip + IPV4_FRAG) & IPV4_MF_OR_OFFSET) && ip[IPV4_PROTO] == proto;
}

static bool is_ipv6(const uint8_t *ip, uint32_t len, uint8_t proto)
{
	return ip[0] >> 4 == 6 && load_be16(ip + IPV6_PAYLOAD_LEN) == len - IPV6_HDR &&
	       ip[IPV6_NEXT] == proto;
}

/* The inner IP header: which one, if any, precedes @inner's transport header? */
static bool find_ip(const struct frame *f, const struct packet *outer, struct packet *inner)
{
	uint32_t room = inner->l4 - outer->l4, len = inner->l3_end - inner->l4;
	const uint8_t *l4 = f->data + inner->l4;

	if (may_be(&f->vnet, 4) && room >= IPV4_HDR &&
	    is_ipv4(l4 - IPV4_HDR, IPV4_HDR + len, inner->proto)) {
		inner->ip_version = 4;
		inner->l3 = (uint16_t)(inner->l4 - IPV4_HDR);
	} else if (may_be(&f->vnet, 6) && room >= IPV6_HDR &&
		   is_ipv6(l4 - IPV6_HDR, IPV6_HDR + len, inner->proto)) {
		inner->ip_version = 6;
		inner->l3 = (uint16_t)(inner->l4 - IPV6_HDR);
	}
	return inner->ip_version;
}

/* Where the payload of @inner's TCP or UDP begins; 0 if its header is impossible. */
static uint32_t find_payload(const struct frame *f, const struct packet *inner)
{
	const uint8_t *l4 = f->data + inner->l4;
	uint32_t room = inner->l3_end - inner->l4, len = UDP_HDR;

	if (inner->proto == IPPROTO_TCP) {
		if (room < TCP_HDR_MIN)
			return 0;
		len = (l4[TCP_OFFSET] >> 4) * 4u;
		return len < TCP_HDR_MIN || len > room ? 0 : inner->l4 + len;
	}
	return room < len || load_be16(l4 + UDP_LENGTH) != room ? 0 : inner->l4 + len;
}

/* The inner packet of @outer, by csum_start. Believes nothing that the bytes do not confirm. */
static bool find_inner(const struct frame *f, const struct packet *outer, struct packet *inner)
{
	bool udp = (f->vnet.gso_type & ~VIRTIO_NET_HDR_GSO_ECN) == VIRTIO_NET_HDR_GSO_UDP_L4;
	uint32_t payload;

	*inner = (struct packet){
		.l4 = f->vnet.csum_start,
		.l3_end = outer->l3_end,
		.proto = udp ? IPPROTO_UDP : IPPROTO_TCP,
	};
	/* Every tunnel's headers are of an even length; checksums count on it. */
	if (inner->l4 >= inner->l3_end || (inner->l4 - outer->l4) % 2 != 0 ||
	    f->vnet.csum_offset != gso_check_offset(inner) || !find_ip(f, outer, inner))
		return false;
	payload = find_payload(f, inner);
	if (payload == 0 || payload > GSO_HDR_MAX)
		return false;
	inner->payload = (uint16_t)payload;
	return true;
}

static enum gso_error check_udp(struct gso_tunnel *t, const struct frame *f, uint32_t room)
{
	const struct packet *p = &t->p;
	const uint8_t *udp = f->data + p->l4;

	if (room < UDP_HDR || load_be16(udp + UDP_LENGTH) != p->l3_end - p->l4)
		return GSO_MALFORMED;
	if (load_be16(udp + UDP_CHECK) == 0)
		return GSO_OK;
	/* A routing header would hold the destination to sum (RFC 8200 section 8.1). */
	if (p->ip_version == 6 && p->ip_options)
		return GSO_UNSUPPORTED;
	t->check = p->l4 + UDP_CHECK;
	return GSO_OK;
}

/* Keys are the same on every segment; sequence numbers and routes are not for us to write. */
static enum gso_error check_gre(struct gso_tunnel *t, const struct frame *f, uint32_t room)
{
	const uint8_t *gre = f->data + t->p.l4;
	uint32_t len = GRE_WORD;

	if (room < GRE_WORD)
		return GSO_MALFORMED;
	if ((gre[0] & ~(GRE_CHECKSUM | GRE_KEY)) || (gre[1] & GRE_VERSION))
		return GSO_UNSUPPORTED;
	if (gre[0] & GRE_CHECKSUM)
		len += GRE_WORD;
	if (gre[0] & GRE_KEY)
		len += GRE_WORD;
	if (room < len)
		return GSO_MALFORMED;
	if (gre[0] & GRE_CHECKSUM)
		t->check = t->p.l4 + GRE_CHECK;
	return GSO_OK;
}

/* Do the outer headers allow what stands @room bytes behind outer IP? */
static enum gso_error check_outer(struct gso_tunnel *t, const struct frame *f,
				  const struct packet *inner)
{
	uint32_t room = (uint32_t)inner->l3 - t->p.l4;

	t->check = 0;
	if (t->p.fragment)
		return GSO_MALFORMED;
	if (t->p.authenticated)
		return GSO_UNSUPPORTED;
	switch (t->p.proto) {
	case IPPROTO_UDP: return check_udp(t, f, room);
	case IPPROTO_GRE: return check_gre(t, f, room);
	case IPPROTO_IPIP: return room == 0 && inner->ip_version == 4 ? GSO_OK : GSO_MALFORMED;
	default: return room == 0 && inner->ip_version == 6 ? GSO_OK : GSO_MALFORMED;
	}
}

/*
 * gso_is_tunnelled - does the offload header of a super-frame speak of an inner packet?
 * @v: of a known gso_type
 * @p: what packet_parse() found: the outer packet, if it is one
 */
bool gso_is_tunnelled(const struct virtio_net_hdr *v, const struct packet *p)
{
	if (!(v->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) || !p->l4 || v->csum_start <= p->l4)
		return false;
	return p->proto == IPPROTO_UDP || p->proto == IPPROTO_GRE || p->proto == IPPROTO_IPIP ||
	       p->proto == IPPROTO_IPV6;
}

/*
 * gso_tunnel_find - find the inner packet of an encapsulated super-frame
 * @s: its p is the outer packet; becomes the inner one, and tunnel the outer
 * @f: gso_is_tunnelled()
 *
 * Return: GSO_OK; GSO_UNSUPPORTED for outer headers that a segment could not be
 * given right; GSO_MALFORMED if there is no inner packet as described.
 */
enum gso_error gso_tunnel_find(struct gso_split *s, const struct frame *f)
{
	struct gso_tunnel *t = &s->tunnel;

	t->p = s->p;
	s->tunnelled = true;
	if (!find_inner(f, &t->p, &s->p))
		return GSO_MALFORMED;
	return check_outer(t, f, &s->p);
}

/* What the inner packet adds to a checksum around it, its length left out. */
static uint32_t inner_sum(const struct gso_split *s)
{
	uint16_t transport = cksum_fold(cksum_pseudo(s->hdr, &s->p, 0));

	if (s->p.ip_version == 4)
		return transport;
	return cksum_add(transport, s->hdr + s->p.l3, IPV6_HDR);
}

/*
 * gso_tunnel_begin - take what differs out of the saved outer headers, sum the rest
 * @s: gso_tunnel_find() said GSO_OK; in hdr what differs of the inner headers is 0 already
 */
void gso_tunnel_begin(struct gso_split *s)
{
	struct gso_tunnel *t = &s->tunnel;
	uint8_t *l4 = s->hdr + t->p.l4;

	gso_ip_begin(&t->ip, s->hdr + t->p.l3, &t->p);
	if (t->p.proto == IPPROTO_UDP)
		store_be16(l4 + UDP_LENGTH, 0);
	if (!t->check)
		return;
	store_be16(s->hdr + t->check, 0);
	t->sum = cksum_add(inner_sum(s), l4, (size_t)s->p.l3 - t->p.l4);
	if (t->p.proto == IPPROTO_UDP)
		t->sum += cksum_pseudo(s->hdr, &t->p, 0);
}

/*
 * gso_tunnel_write - the outer headers of a segment
 * @s: gso_tunnel_begin() was called
 * @hdr: a copy of its headers
 * @index: of the segment
 * @len: bytes of the whole wire frame; its inner checksums are or will be complete
 */
void gso_tunnel_write(const struct gso_split *s, uint8_t *hdr, uint32_t index, uint32_t len)
{
	const struct gso_tunnel *t = &s->tunnel;
	uint32_t l4_len = len - t->p.l4, inner_len = len - s->p.l4, sum = t->sum;

	gso_ip_write(&t->ip, hdr + t->p.l3, &t->p, index, len - t->p.l3);
	if (t->p.proto == IPPROTO_UDP) {
		store_be16(hdr + t->p.l4 + UDP_LENGTH, (uint16_t)l4_len);
		sum += 2 * l4_len; /* there, and in the pseudo-header */
	}
	if (!t->check)
		return;
	sum += (uint16_t)~inner_len;
	if (s->p.ip_version == 6)
		sum += inner_len;
	gso_store_check(hdr + t->check, cksum_fold(sum));
}

/**
 * gso_header_len - how much of a super-frame every one of its segments repeats
 * @f: any frame
 * @p: what packet_parse() found of it
 *
 * Return: bytes in front of the payload that is cut, the inner packet's if the
 * frame is an encapsulated super-frame; @p->payload of any other frame.
 */
uint32_t gso_header_len(const struct frame *f, const struct packet *p)
{
	struct packet inner;

	if (f->vnet.gso_type != VIRTIO_NET_HDR_GSO_NONE && gso_is_tunnelled(&f->vnet, p) &&
	    find_inner(f, p, &inner))
		return inner.payload;
	return p->payload;
}
