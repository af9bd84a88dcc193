/* SPDX-License-Identifier: GPL-3.0-or-later */
/* packet.h - a frame with its offload metadata, and where its layers begin */
#ifndef LIB_PACKET_H
#define LIB_PACKET_H

#include <endian.h>
#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Missing from Debian 12's linux/virtio_net.h (kernel 6.2). */
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

#define ETH_HDR_LEN  14
#define VLAN_TAG_LEN 4
#define FRAME_MIN    60	   /* shortest Ethernet frame, without FCS (IEEE 802.3 3.2.8) */
#define FRAME_MAX    65557 /* a 65535-byte IP packet behind an Ethernet header with two VLAN tags */

/*
 * A frame as every part of Longhaul hands it on: bytes from the destination
 * MAC, VLAN tags in band, no FCS, and the offload header that tells whether
 * its checksum is still partial and whether it is a super-frame of several
 * wire frames. Nothing in the data path sees the one without the other.
 */
struct frame {
	uint8_t *data;
	uint32_t len;		    /* bytes at data */
	uint32_t key;		    /* frames of different keys are never merged */
	struct virtio_net_hdr vnet; /* host byte order, offsets from data */
};

/* A read-only window on bytes that never reads past its end. */
struct cursor {
	const uint8_t *base;
	size_t len; /* bytes at base */
	size_t pos; /* next byte to read; <= len always */
};

/* Where the layers of a frame are. Offsets count from the destination MAC. */
struct packet {
	uint16_t ethertype; /* of the payload, behind every VLAN tag; < 0x0600 is an LLC length */
	uint16_t vlans;	    /* VLAN tags in front of it: 0, 1 or 2 (QinQ) */
	uint16_t vid;	    /* VLAN identifier of the outermost tag; 0: untagged or priority tag */
	uint16_t l3;	    /* first byte behind ethertype */
	uint16_t l4;	    /* TCP, UDP, … header behind IP and its extension headers; 0: none */
	uint16_t payload;   /* behind the TCP or UDP header; 0 unless one was read whole */
	uint32_t l3_end;    /* end of the IP packet by its own length; padding follows; 0: not IP */
	uint8_t ip_version; /* 4, 6, or 0: not IP */
	uint8_t proto;	    /* IP protocol at l4; of a later fragment, what the fragment is of */
	bool fragment;	    /* the IP packet is one of several fragments */
	bool first_fragment; /* …the one with offset 0 */
	bool ip_options;     /* IPv4 options or IPv6 extension headers are present */
	bool authenticated;  /* …an IPv6 AH among them: a rewritten packet would be refused */
};

/* What packet_parse() has to say of a frame; PACKET_OK is 0. */
enum packet_error {
	PACKET_OK,
	PACKET_SHORT,	   /* shorter than an Ethernet header with its tags */
	PACKET_L3_CUT,	   /* IP header or length field beyond the frame */
	PACKET_L3_INVALID, /* impossible version, IHL or extension chain */
	PACKET_L4_CUT,	   /* TCP or UDP header beyond the IP packet, or impossible data offset */
};

struct cursor cursor_of(const void *base, size_t len);
bool cursor_skip(struct cursor *c, size_t n);
bool cursor_u8(struct cursor *c, uint8_t *v);
bool cursor_be16(struct cursor *c, uint16_t *v);
bool cursor_be32(struct cursor *c, uint32_t *v);
const uint8_t *cursor_take(struct cursor *c, size_t n);

enum packet_error packet_parse(const uint8_t *data, size_t len, struct packet *p);
enum packet_error packet_parse_captured(const uint8_t *data, size_t captured, size_t len, size_t at,
					uint16_t ethertype, struct packet *p);
const char *packet_error_name(enum packet_error e);

static inline uint16_t load_be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t load_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint64_t load_be64(const uint8_t *p)
{
	return (uint64_t)load_be32(p) << 32 | load_be32(p + 4);
}

static inline void store_be16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void store_be32(uint8_t *p, uint32_t v)
{
	store_be16(p, (uint16_t)(v >> 16));
	store_be16(p + 2, (uint16_t)v);
}

static inline void store_be64(uint8_t *p, uint64_t v)
{
	v = htobe64(v);
	memcpy(p, &v, sizeof(v));
}

/**
 * packet_plain_tcp - is a frame what almost every one is?
 * @data: the frame from its destination MAC
 * @captured: bytes at @data
 * @len: true length of the frame; at least @captured
 * @l3_end: end of the IP packet; set only where the answer is not 0
 *
 * Ethernet without tags, IPv4 without options or IPv6 without extension headers, no fragment, TCP,
 * and all of its headers there and as they must be. packet_parse() comes to the same for such a
 * frame.
 *
 * Return: where the TCP header begins, or 0: look closer.
 */
static inline unsigned packet_plain_tcp(const uint8_t *data, size_t captured, size_t len,
					uint32_t *l3_end)
{
	uint32_t kind, rest, doff;
	unsigned l4;

	if (captured < ETH_HDR_LEN + 20 + 20)
		return 0;
	/* Type, version and header's length, TOS; fragment, TTL, protocol. */
	memcpy(&kind, data + 12, sizeof(kind));
	memcpy(&rest, data + 20, sizeof(rest));
	if ((kind & htobe32(0xffffff00)) == htobe32(0x08004500) &&
	    (rest & htobe32(0x3fff00ff)) == htobe32(6)) {
		l4 = ETH_HDR_LEN + 20;
		*l3_end = ETH_HDR_LEN + (uint32_t)load_be16(data + 16);
	} else if ((kind & htobe32(0xfffff000)) == htobe32(0x86dd6000) && data[20] == 6 &&
		   captured >= ETH_HDR_LEN + 40 + 20) {
		l4 = ETH_HDR_LEN + 40;
		*l3_end = l4 + load_be16(data + 18);
	} else {
		return 0;
	}
	doff = (data[l4 + 12] >> 4) * 4u;
	return doff >= 20 && l4 + doff <= captured && l4 + doff <= *l3_end && *l3_end <= len ? l4
											     : 0;
}

#endif
