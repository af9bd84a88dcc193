/* SPDX-License-Identifier: GPL-3.0-or-later */
/* packets.h - build test packets layer by layer, with a checksum that shares no code with lib/ */
#ifndef TESTS_PACKETS_H
#define TESTS_PACKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * A frame being built. Push from the outside in, then pkt_finish():
 *
 *	struct pkt k;
 *
 *	pkt_begin(&k);
 *	pkt_vlan(&k, 0x8100, 7);
 *	pkt_ipv4(&k, NULL, 0);
 *	pkt_tcp(&k, PKT_SYN, mss, sizeof(mss));
 *	pkt_pattern(&k, 100);
 *	pkt_finish(&k);
 */
struct pkt {
	uint8_t data[65536 + 256];
	uint32_t len;
	uint32_t type_at; /* of the ethertype */
	uint32_t next_at; /* of the IP protocol or next header octet */
	uint32_t l3, l4;  /* 0: none yet */
	uint8_t version;  /* 4, 6 or 0 */
	uint8_t proto;	  /* at l4 */
};

enum { PKT_FIN = 1, PKT_SYN = 2, PKT_RST = 4, PKT_PSH = 8, PKT_ACK = 16, PKT_URG = 32 };
enum { PKT_ECE = 64, PKT_CWR = 128 };
enum { PKT_PROTO_TCP = 6, PKT_PROTO_UDP = 17 };

static inline void pkt_put16(uint8_t *at, unsigned v)
{
	at[0] = (uint8_t)(v / 256);
	at[1] = (uint8_t)(v % 256);
}

static inline unsigned pkt_get16(const uint8_t *at)
{
	return at[0] * 256u + at[1];
}

/* RFC 1071 said naively: words one by one, each carry brought round at once. */
static inline unsigned pkt_sum(unsigned sum, const uint8_t *at, size_t len)
{
	for (size_t i = 0; i < len; i += 2) {
		sum += at[i] * 256u + (i + 1 < len ? at[i + 1] : 0u);
		if (sum > 0xffff)
			sum -= 0xffff;
	}
	return sum;
}

static inline void *pkt_push(struct pkt *k, const void *bytes, size_t len)
{
	uint8_t *at = k->data + k->len;

	if (k->len + len > sizeof(k->data))
		abort();
	if (bytes)
		memcpy(at, bytes, len);
	else
		memset(at, 0, len);
	k->len += (uint32_t)len;
	return at;
}

/* From hexadecimal digits; anything else between them is skipped. */
static inline size_t pkt_hex(uint8_t *to, size_t room, const char *hex)
{
	size_t n = 0;

	while (*hex) {
		unsigned byte;

		if (!strchr("0123456789abcdefABCDEF", *hex)) {
			hex++;
			continue;
		}
		if (n == room || sscanf(hex, "%2x", &byte) != 1)
			abort();
		to[n++] = (uint8_t)byte;
		hex += 2;
	}
	return n;
}

/* An Ethernet header without an ethertype: the next layer fills it in. */
static inline void pkt_begin(struct pkt *k)
{
	static const uint8_t macs[] = {2, 0, 0, 0, 0, 0xb, 2, 0, 0, 0, 0, 0xa};

	k->len = k->l3 = k->l4 = 0;
	k->version = k->proto = 0;
	pkt_push(k, macs, sizeof(macs));
	k->type_at = k->len;
	pkt_push(k, NULL, 2);
}

static inline void pkt_vlan(struct pkt *k, unsigned tpid, unsigned tci)
{
	pkt_put16(k->data + k->type_at, tpid);
	pkt_put16(pkt_push(k, NULL, 4), tci);
	k->type_at = k->len - 2;
}

/* 10.0.0.1 -> 10.0.0.2, DF, TTL 64; the length of options is a multiple of 4. */
static inline void pkt_ipv4(struct pkt *k, const void *options, size_t len)
{
	static const uint8_t ip[] = {0x45, 0, 0,  0, 0x12, 0x34, 0x40, 0, 64, 0,
				     0,	   0, 10, 0, 0,	   1,	 10,   0, 0,  2};

	pkt_put16(k->data + k->type_at, 0x0800);
	k->version = 4;
	k->l3 = k->len;
	pkt_push(k, ip, sizeof(ip));
	pkt_push(k, options, len);
	k->data[k->l3] = (uint8_t)(0x40 + (sizeof(ip) + len) / 4);
	k->next_at = k->l3 + 9;
}

/* fd00::1 -> fd00::2, hop limit 64 */
static inline void pkt_ipv6(struct pkt *k)
{
	static const uint8_t ip[40] = {0x60, [7] = 64, [8] = 0xfd, [23] = 1, [24] = 0xfd, [39] = 2};

	pkt_put16(k->data + k->type_at, 0x86dd);
	k->version = 6;
	k->l3 = k->len;
	pkt_push(k, ip, sizeof(ip));
	k->data[k->l3 + 6] = 59;
	k->next_at = k->l3 + 6;
}

/* An IPv6 extension header of len bytes, zero behind its length octet (AH counts otherwise). */
static inline uint8_t *pkt_ext(struct pkt *k, uint8_t kind, size_t len)
{
	uint8_t *at = pkt_push(k, NULL, len);

	k->data[k->next_at] = kind;
	k->next_at = (uint32_t)(at - k->data);
	at[0] = 59;
	if (kind == 51)
		at[1] = (uint8_t)(len / 4 - 2);
	else if (kind != 44)
		at[1] = (uint8_t)(len / 8 - 1);
	return at;
}

/* Ports 49152 -> 902, sequence 0x01020304; options are padded with zeros to a multiple of 4. */
static inline uint8_t *pkt_tcp(struct pkt *k, unsigned flags, const void *options, size_t len)
{
	static const uint8_t head[] = {0xc0, 0, 3, 0x86, 1, 2, 3, 4, 5, 6,
				       7,    8, 0, 0,	 0, 0, 0, 0, 0, 0};
	size_t padded = (len + 3) / 4 * 4;
	uint8_t *tcp;

	k->data[k->next_at] = k->proto = PKT_PROTO_TCP;
	k->l4 = k->len;
	tcp = pkt_push(k, head, sizeof(head));
	pkt_push(k, options, len);
	pkt_push(k, NULL, padded - len);
	tcp[12] = (uint8_t)((sizeof(head) + padded) / 4 * 16);
	tcp[13] = (uint8_t)flags;
	pkt_put16(tcp + 14, 33304);
	return tcp;
}

/* Ports 5000 -> 6000 */
static inline uint8_t *pkt_udp(struct pkt *k)
{
	static const uint8_t head[] = {0x13, 0x88, 0x17, 0x70, 0, 0, 0, 0};

	k->data[k->next_at] = k->proto = PKT_PROTO_UDP;
	k->l4 = k->len;
	return pkt_push(k, head, sizeof(head));
}

/* Payload that is different everywhere in a segment. */
static inline uint8_t *pkt_pattern(struct pkt *k, size_t len)
{
	uint8_t *at = pkt_push(k, NULL, len);

	for (size_t i = 0; i < len; i++)
		at[i] = (uint8_t)(i * 7 + i / 251 + 1);
	return at;
}

static inline unsigned pkt_pseudo(const struct pkt *k)
{
	unsigned l4_len = k->len - k->l4;
	unsigned sum = (l4_len / 65536 + l4_len % 65536 + k->proto) % 65535;

	if (k->version == 4)
		return pkt_sum(sum, k->data + k->l3 + 12, 8);
	return pkt_sum(sum, k->data + k->l3 + 8, 32);
}

static inline uint8_t *pkt_check_field(struct pkt *k)
{
	return k->data + k->l4 + (k->proto == PKT_PROTO_TCP ? 16 : 6);
}

/* Fill in the lengths and the IPv4 header checksum only: for fragments and odd payloads. */
static inline void pkt_finish_ip(struct pkt *k)
{
	if (k->version == 6) {
		pkt_put16(k->data + k->l3 + 4, k->len - k->l3 - 40);
	} else if (k->version == 4) {
		uint8_t *ip = k->data + k->l3;

		pkt_put16(ip + 2, k->len - k->l3);
		pkt_put16(ip + 10, 0);
		pkt_put16(ip + 10, 0xffff - pkt_sum(0, ip, (ip[0] & 15) * 4u));
	}
	if (k->l4 && k->proto == PKT_PROTO_UDP)
		pkt_put16(k->data + k->l4 + 4, k->len - k->l4);
}

/* Fill in lengths and checksums. */
static inline void pkt_finish(struct pkt *k)
{
	unsigned check;

	pkt_finish_ip(k);
	if (!k->l4)
		return;
	pkt_put16(pkt_check_field(k), 0);
	check = 0xffff - pkt_sum(pkt_pseudo(k), k->data + k->l4, k->len - k->l4);
	if (k->proto == PKT_PROTO_UDP && check == 0)
		check = 0xffff;
	pkt_put16(pkt_check_field(k), check);
}

/* Fill in lengths, and the transport checksum as an offloading host leaves it. */
static inline void pkt_finish_partial(struct pkt *k)
{
	pkt_finish_ip(k);
	pkt_put16(pkt_check_field(k), pkt_pseudo(k));
}

/* Is the transport checksum right? */
static inline bool pkt_check_ok(const struct pkt *k)
{
	return pkt_sum(pkt_pseudo(k), k->data + k->l4, k->len - k->l4) == 0xffff;
}

#endif
