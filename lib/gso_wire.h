/* SPDX-License-Identifier: GPL-3.0-or-later */
/* gso_wire.h - header fields that splitting and merging share; for lib/gso_*.c alone */
#ifndef LIB_GSO_WIRE_H
#define LIB_GSO_WIRE_H

#include "lib/cksum.h"
#include "lib/packet.h"

#include <netinet/in.h>

/* Offsets of fields in their headers: RFC 791, RFC 8200, RFC 9293, RFC 768. */
enum {
	IPV4_TOTAL_LEN = 2,
	IPV4_ID = 4,
	IPV4_FRAG = 6, /* flags and fragment offset, then TTL and protocol */
	IPV4_CHECK = 10,
	IPV4_ADDRS = 12,
	IPV4_HDR = 20,

	IPV6_PAYLOAD_LEN = 4,
	IPV6_NEXT = 6, /* next header, then hop limit and addresses */
	IPV6_ADDRS = 8,
	IPV6_HDR = 40,

	TCP_SEQ = 4,
	TCP_ACK_SEQ = 8, /* then the data offset */
	TCP_FLAGS = 13,
	TCP_WINDOW = 14,
	TCP_CHECK = 16,
	TCP_URGENT = 18, /* then the options */

	UDP_LENGTH = 4,
	UDP_CHECK = 6,
	UDP_HDR = 8,
};

enum {
	TCP_FIN = 0x01,
	TCP_PSH = 0x08,
	TCP_ACK = 0x10,
	TCP_CWR = 0x80,
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

#endif
