/* SPDX-License-Identifier: GPL-3.0-or-later */
/* gso_wire.h - header fields that splitting and merging share; for lib/gso_*.c alone */
#ifndef LIB_GSO_WIRE_H
#define LIB_GSO_WIRE_H

#include "lib/cksum.h"
#include "lib/gso.h"
#include "lib/packet.h"
#include "lib/tcphdr.h"

#include <netinet/in.h>

/* Offsets of fields in their headers: RFC 791, RFC 8200, RFC 768. */
enum {
	IPV4_TOTAL_LEN = 2,
	IPV4_ID = 4,
	IPV4_FRAG = 6, /* flags and fragment offset, then TTL */
	IPV4_PROTO = 9,
	IPV4_CHECK = 10,
	IPV4_ADDRS = 12,
	IPV4_HDR = 20,

	IPV6_PAYLOAD_LEN = 4,
	IPV6_NEXT = 6, /* next header, then hop limit and addresses */
	IPV6_ADDRS = 8,
	IPV6_HDR = 40,

	UDP_LENGTH = 4,
	UDP_CHECK = 6,
	UDP_HDR = 8,
};

/* Where in the TCP or UDP header that @p speaks of its checksum stands. */
static inline uint16_t gso_check_offset(const struct packet *p)
{
	return p->proto == IPPROTO_TCP ? TCP_CHECK : UDP_CHECK;
}

/* 0 would say "no checksum" in UDP (RFC 768); 0xffff is the same number, to TCP as well. */
static inline void gso_store_check(uint8_t *field, uint16_t check)
{
	store_be16(field, check ? check : 0xffff);
}

/* What stands in a partial checksum's field: @sum, of the pseudo-header, in 16 bits. */
static inline uint16_t gso_partial_check(uint32_t sum)
{
	return cksum_fold(sum) ^ 0xffff;
}

/* Write the length field of an IP header whose packet, the header included, is @len bytes long. */
static inline void gso_store_ip_len(uint8_t *ip, const struct packet *p, uint32_t len)
{
	if (p->ip_version == 4)
		store_be16(ip + IPV4_TOTAL_LEN, (uint16_t)len);
	else
		store_be16(ip + IPV6_PAYLOAD_LEN, (uint16_t)(len - IPV6_HDR));
}

/* Compute the header checksum of an IPv4 header, its options included. */
static inline void gso_store_ip_check(uint8_t *ip)
{
	store_be16(ip + IPV4_CHECK, 0);
	store_be16(ip + IPV4_CHECK, cksum_fold(cksum_add(0, ip, (ip[0] & 0x0f) * 4u)));
}

/*
 * Take what differs from segment to segment out of the IP header at @hdr, and
 * sum the rest once: a segment's checksum is then this sum and two words.
 */
static inline void gso_ip_begin(struct gso_ip *ip, uint8_t *hdr, const struct packet *p)
{
	if (p->ip_version == 6) {
		store_be16(hdr + IPV6_PAYLOAD_LEN, 0);
		return;
	}
	ip->id = load_be16(hdr + IPV4_ID);
	store_be16(hdr + IPV4_TOTAL_LEN, 0);
	store_be16(hdr + IPV4_ID, 0);
	store_be16(hdr + IPV4_CHECK, 0);
	ip->sum = cksum_add(0, hdr, (hdr[0] & 0x0f) * 4u);
}

/* The IP header of the segment at @index, whose IP packet is @len bytes long. */
static inline void gso_ip_write(const struct gso_ip *ip, uint8_t *hdr, const struct packet *p,
				uint32_t index, uint32_t len)
{
	uint16_t id = (uint16_t)(ip->id + index);

	gso_store_ip_len(hdr, p, len);
	if (p->ip_version != 4)
		return;
	store_be16(hdr + IPV4_ID, id);
	store_be16(hdr + IPV4_CHECK, cksum_fold(ip->sum + len + id));
}

/* gso_tunnel.c, for gso_split.c alone */
bool gso_is_tunnelled(const struct virtio_net_hdr *v, const struct packet *p);
enum gso_error gso_tunnel_find(struct gso_split *s, const struct frame *f);
void gso_tunnel_begin(struct gso_split *s);
void gso_tunnel_write(const struct gso_split *s, uint8_t *hdr, uint32_t index, uint32_t len);

#endif
