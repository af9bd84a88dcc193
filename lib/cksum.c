// SPDX-License-Identifier: GPL-3.0-or-later
/* cksum.c - the Internet checksum, whole and incremental */
#include "lib/cksum.h"

#include <endian.h>
#include <netinet/in.h>
#include <string.h>

/*
 * Sums are taken in the machine's own byte order and swapped once at the end
 * (RFC 1071 section 2 B), 32-bit words at a time into 64-bit lanes, which
 * cannot overflow below 16 GiB. The vector type is the compiler's generic one:
 * SSE2, NEON or plain registers, whatever the target has.
 */
typedef uint64_t lanes __attribute__((vector_size(16)));

#define LOW32 UINT64_C(0xffffffff)

/* End-around carry: the same value modulo 65535 in 16 bits, 0 only for 0. */
static uint16_t fold64(uint64_t sum)
{
	sum = (sum & LOW32) + (sum >> 32);
	sum = (sum & LOW32) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

/* The bytes behind the last whole 32. */
static uint64_t add_tail(const uint8_t *at, size_t len)
{
	uint64_t sum = 0;
	uint32_t word;
	uint16_t half;

	for (; len >= sizeof(word); len -= sizeof(word), at += sizeof(word)) {
		memcpy(&word, at, sizeof(word));
		sum += word;
	}
	if (len & 2) {
		memcpy(&half, at, sizeof(half));
		sum += half;
		at += sizeof(half);
	}
	if (len & 1) {
		/* As if a zero octet followed the last of an odd number (RFC 1071 section 1). */
		half = 0;
		memcpy(&half, at, 1);
		sum += half;
	}
	return sum;
}

/**
 * cksum_add - add bytes to a ones-complement sum (RFC 1071)
 * @sum: the sum so far; 0 to begin with
 * @data: bytes, at any address
 * @len: how many
 *
 * The sum is of big-endian 16-bit words, congruent modulo 65535, 0 only if
 * every byte summed was 0. Chunks may be chained, but only the last may be of
 * odd length: the words of the next would begin in the wrong half.
 *
 * Return: the new sum, to be given to cksum_add() or cksum_fold().
 */
uint32_t cksum_add(uint32_t sum, const void *data, size_t len)
{
	const uint8_t *at = data;
	lanes low = {0}, high = {0}, low2 = {0}, high2 = {0}, w[2];
	uint64_t all;

	/* Two pairs of accumulators, so that no addition waits for the one before. */
	for (; len >= sizeof(w); len -= sizeof(w), at += sizeof(w)) {
		memcpy(w, at, sizeof(w));
		low += w[0] & LOW32;
		high += w[0] >> 32;
		low2 += w[1] & LOW32;
		high2 += w[1] >> 32;
	}
	low += high + low2 + high2;
	all = add_tail(at, len) + fold64(low[0]) + fold64(low[1]);
	return fold64((uint64_t)sum + be16toh(fold64(all)));
}

/**
 * cksum_fold - finish a sum
 * @sum: from cksum_add() or cksum_pseudo()
 *
 * Return: its ones complement in host order, ready for store_be16(). 0 over
 * data that contains its correct checksum.
 */
uint16_t cksum_fold(uint32_t sum)
{
	return (uint16_t)~fold64(sum);
}

/**
 * cksum_replace16 - the checksum after one 16-bit word changed
 * @check: the checksum before, from load_be16()
 * @old: the word before; aligned to the words that the checksum is over
 * @new_: the word after
 *
 * RFC 1624 equation 3, HC' = ~(~HC + ~m + m'). A wrong checksum stays wrong by
 * the same amount.
 *
 * Return: the checksum after, for store_be16().
 */
uint16_t cksum_replace16(uint16_t check, uint16_t old, uint16_t new_)
{
	return cksum_fold((uint32_t)(uint16_t)~check + (uint16_t)~old + new_);
}

/**
 * cksum_pseudo - the sum of a pseudo-header
 * @data: the frame that @p describes
 * @p: as packet_parse() left it, with ip_version 4 or 6
 * @l4_len: bytes of transport header and payload
 *
 * RFC 9293 section 3.1 (IPv4) and RFC 8200 section 8.1 (IPv6). The destination
 * is the one in the IP header, so the sum is not that of a packet under way
 * through an IPv6 routing header with segments left.
 *
 * Return: a sum for cksum_add(); 0 if @p is not IP.
 */
uint32_t cksum_pseudo(const uint8_t *data, const struct packet *p, uint32_t l4_len)
{
	uint32_t sum = (uint32_t)p->proto + (l4_len >> 16) + (l4_len & 0xffff);

	switch (p->ip_version) {
	case 4: return cksum_add(sum, data + p->l3 + 12, 2 * 4);
	case 6: return cksum_add(sum, data + p->l3 + 8, 2 * 16);
	default: return 0;
	}
}

/**
 * cksum_complete - finish a partial checksum in place
 * @f: a frame, not a super-frame
 *
 * With VIRTIO_NET_HDR_F_NEEDS_CSUM the field at csum_start + csum_offset holds
 * the sum of the pseudo-header, so the sum of everything from csum_start on,
 * the field included, is the whole (virtio 1.2 section 5.1.6.2). Zero padding
 * behind the IP packet adds nothing. A result of 0 is written as 0xffff, which
 * UDP needs (RFC 768: 0 is no checksum) and is the same number to others. On
 * success the flag and the two offsets are cleared; a frame without the flag
 * is left as it is.
 *
 * Return: false, and nothing changed, for a GSO frame (each segment needs a
 * checksum of its own) or if the field lies beyond the frame.
 */
bool cksum_complete(struct frame *f)
{
	size_t start = f->vnet.csum_start, field = start + f->vnet.csum_offset;
	uint16_t check;

	if (f->vnet.gso_type != VIRTIO_NET_HDR_GSO_NONE)
		return false;
	if (!(f->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		return true;
	if (field + sizeof(check) > f->len)
		return false;

	check = cksum_fold(cksum_add(0, f->data + start, f->len - start));
	store_be16(f->data + field, check ? check : 0xffff);
	f->vnet.flags &= (uint8_t)~VIRTIO_NET_HDR_F_NEEDS_CSUM;
	f->vnet.csum_start = 0;
	f->vnet.csum_offset = 0;
	return true;
}

/*
 * Describes the checksum of a frame that is known to be partial: where it is,
 * its own headers tell, not whoever sent it.
 * @f: its vnet is set
 *
 * Returns false, with nothing set, if the frame is not a whole TCP or UDP packet.
 */
bool cksum_mark_partial(struct frame *f)
{
	struct packet p;

	if (packet_parse(f->data, f->len, &p) || !p.payload || p.fragment)
		return false;
	f->vnet.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	f->vnet.csum_start = p.l4;
	f->vnet.csum_offset = p.proto == IPPROTO_TCP ? 16 : 6;
	return true;
}
