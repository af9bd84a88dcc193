// SPDX-License-Identifier: GPL-3.0-or-later
/* guard.c - what keeps a bridge from harming its LANs: reflections, announcements, storms */
#include "tunnel/guard.h"

#include <netinet/in.h>
#include <stdatomic.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define ETHERTYPE_ARP  0x0806
#define ETHERTYPE_RARP 0x8035

#define TIME_BITS 20
#define TIME_MASK ((1u << TIME_BITS) - 1)
#define PORT_BITS 6
#define PORT_MASK ((1 << PORT_BITS) - 1)
#define HASH_MASK (~(uint64_t)0 << (TIME_BITS + PORT_BITS))

#define HEAD_MAX 128 /* bytes of a frame that are looked at */

#define ARP_LEN 28 /* of an ARP packet for Ethernet and IPv4 (RFC 826) */

/*
 * How many bytes of a frame tell it from others and are the same in its
 * reflection: not its padding, and of TCP no more than ports and sequence
 * number, since flags and checksum change when a super-frame is cut up.
 */
static uint32_t telling_bytes(const struct packet *p, uint32_t len)
{
	uint32_t n = p->ip_version ? p->l3_end : len;

	if (p->proto == IPPROTO_TCP && p->l4)
		n = p->l4 + 8u;
	else if (p->ethertype == ETHERTYPE_ARP || p->ethertype == ETHERTYPE_RARP)
		n = p->l3 + ARP_LEN;
	n = n < len ? n : len;
	return n < HEAD_MAX ? n : HEAD_MAX;
}

/*
 * Hash of what a frame's reflection has in common with it. Lengths and
 * checksums, which change when a super-frame is cut up on its way, are left
 * out: the first wire frame of one still is like it.
 */
static uint64_t fingerprint(const uint8_t *data, uint32_t len, const struct packet *p)
{
	uint8_t head[HEAD_MAX] = {0};

	memcpy(head, data, telling_bytes(p, len));
	if (p->ip_version == 4 && p->l3 + 12u <= sizeof(head)) {
		memset(head + p->l3 + 2, 0, 2);	 /* total length */
		memset(head + p->l3 + 10, 0, 2); /* header checksum */
	} else if (p->ip_version == 6 && p->l3 + 6u <= sizeof(head)) {
		memset(head + p->l3 + 4, 0, 2); /* payload length */
	}
	if (p->proto == IPPROTO_UDP && p->l4 && p->l4 + 8u <= sizeof(head))
		memset(head + p->l4 + 4, 0, 4); /* length, checksum */
	return XXH3_64bits(head, sizeof(head));
}

/* Remembers a frame that is being written to a port, 0…63. */
void reflect_note(struct reflect *r, unsigned port, const uint8_t *data, uint32_t len,
		  const struct packet *p, uint32_t now_ms)
{
	uint64_t h = fingerprint(data, len, p);

	atomic_store_explicit(&r->slots[h % REFLECT_SLOTS],
			      (h & HASH_MASK) | (uint64_t)port << TIME_BITS | (now_ms & TIME_MASK),
			      memory_order_relaxed);
}

/*
 * Whether a frame that came in is one that was written to a port within
 * REFLECT_WINDOW_MS. Workers read the clock at different moments: the frame
 * may have been written a little later than now.
 *
 * Returns the port it was written to, or -1.
 */
int reflect_seen(struct reflect *r, const uint8_t *data, uint32_t len, const struct packet *p,
		 uint32_t now_ms)
{
	uint64_t h = fingerprint(data, len, p);
	uint64_t slot = atomic_load_explicit(&r->slots[h % REFLECT_SLOTS], memory_order_relaxed);

	if (!slot || (slot ^ h) & HASH_MASK ||
	    ((now_ms - (uint32_t)slot + REFLECT_WINDOW_MS) & TIME_MASK) > 2 * REFLECT_WINDOW_MS)
		return -1;
	return (int)(slot >> TIME_BITS) & PORT_MASK;
}

/* ARP whose sender speaks of itself (RFC 5227 section 3: probes do not count, announcements do). */
static bool gratuitous_arp(const uint8_t *arp, uint32_t len)
{
	static const uint8_t zero[4];

	if (len < ARP_LEN || load_be16(arp + 2) != 0x0800 || arp[5] != 4 || arp[4] != 6)
		return false;
	return !memcmp(arp + 14, arp + 24, 4) && memcmp(arp + 14, zero, 4);
}

/* Neighbour advertisement that nobody asked for (RFC 4861 section 7.2.6). */
static bool unsolicited_na(const uint8_t *data, const struct packet *p)
{
	const uint8_t *icmp = data + p->l4;

	return p->ip_version == 6 && p->proto == IPPROTO_ICMPV6 && p->l4 &&
	       p->l4 + 24u <= p->l3_end && icmp[0] == 136 && !(icmp[4] & 0x40);
}

/*
 * Whether a frame announces that its source is here now: what a hypervisor or
 * a guest sends when a VM has moved (RARP; gratuitous ARP; unsolicited NA).
 */
bool guard_announces(const uint8_t *data, uint32_t len, const struct packet *p)
{
	if (p->ethertype == ETHERTYPE_RARP)
		return true;
	if (p->ethertype == ETHERTYPE_ARP)
		return gratuitous_arp(data + p->l3, len - p->l3);
	return unsolicited_na(data, p);
}

/* Sets up a storm limit of @rate frames a second; one second's worth may come at once. */
void storm_init(struct storm *s, uint64_t rate, uint64_t now_ns)
{
	pthread_mutex_init(&s->lock, NULL);
	bucket_init(&s->bucket, rate, rate, now_ns);
}

/* Whether @frames more may be flooded now; they count if so. */
bool storm_allows(struct storm *s, uint32_t frames, uint64_t now_ns)
{
	bool ok;

	pthread_mutex_lock(&s->lock);
	/* A super-frame larger than the whole bucket would otherwise never pass. */
	ok = bucket_take(&s->bucket, frames < s->bucket.depth ? frames : s->bucket.depth, now_ns) &&
	     s->bucket.rate;
	pthread_mutex_unlock(&s->lock);
	return ok;
}
