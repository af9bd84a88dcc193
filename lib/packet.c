// SPDX-License-Identifier: GPL-3.0-or-later
/* packet.c - find the layers of a frame, reading nothing beyond its end */
#include "lib/packet.h"

#include "lib/tcphdr.h"

#include <assert.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <string.h>

#define ETHERTYPE_QINQ_OLD 0x9100 /* outer tag of switches older than 802.1ad */
#define VLAN_VID_MASK	   0x0fff
#define VLANS_MAX	   2

#define IPV4_HDR_MIN  20
#define IPV4_FRAG_OFF 0x1fff
#define IPV4_FRAG_MF  0x2000

#define IPV6_HDR_LEN  40
#define IPV6_FRAG_OFF 0xfff8
#define IPV6_FRAG_MF  0x0001

/*
 * RFC 8200 section 4.1 recommends an order in which six headers can stand in
 * front of the transport. Two more are tolerated; the bound keeps a hostile
 * chain from costing time.
 */
#define IPV6_EXT_HDRS 8
#define IPV6_EXT_MAX  2048 /* length octet 255: (255 + 1) * 8 */

#define UDP_HDR_LEN 8

static_assert(ETH_HDR_LEN + VLANS_MAX * VLAN_TAG_LEN + IPV6_HDR_LEN + IPV6_EXT_HDRS * IPV6_EXT_MAX +
			      60 <=
		      UINT16_MAX,
	      "offsets of struct packet hold the longest headers that are read");
static_assert(ETH_HDR_LEN + VLANS_MAX * VLAN_TAG_LEN + 65535 == FRAME_MAX, "FRAME_MAX");

/**
 * cursor_of - start reading at the first of some bytes
 * @base: the bytes; they must outlive the cursor
 * @len: how many
 *
 * Return: a cursor at position 0.
 */
struct cursor cursor_of(const void *base, size_t len)
{
	return (struct cursor){.base = base, .len = len, .pos = 0};
}

/**
 * cursor_take - step over bytes and get at them
 * @c: the cursor; it stays where it is if they are not all there
 * @n: bytes
 *
 * Return: the first of the @n bytes, or NULL if fewer are left.
 */
const uint8_t *cursor_take(struct cursor *c, size_t n)
{
	const uint8_t *at;

	if (n > c->len - c->pos)
		return NULL;
	at = c->base + c->pos;
	c->pos += n;
	return at;
}

/**
 * cursor_skip - step over bytes
 * @c: the cursor; it stays where it is if they are not all there
 * @n: bytes
 *
 * Return: false if fewer than @n bytes are left.
 */
bool cursor_skip(struct cursor *c, size_t n)
{
	return cursor_take(c, n) != NULL;
}

/**
 * cursor_u8 - read one byte
 * @c: the cursor
 * @v: where it goes; untouched on failure
 *
 * Return: false at the end.
 */
bool cursor_u8(struct cursor *c, uint8_t *v)
{
	const uint8_t *at = cursor_take(c, 1);

	if (!at)
		return false;
	*v = at[0];
	return true;
}

/**
 * cursor_be16 - read a big-endian 16-bit number
 * @c: the cursor; it stays where it is if fewer than two bytes are left
 * @v: where it goes, in host order; untouched on failure
 *
 * Return: false if fewer than two bytes are left.
 */
bool cursor_be16(struct cursor *c, uint16_t *v)
{
	const uint8_t *at = cursor_take(c, 2);

	if (!at)
		return false;
	*v = load_be16(at);
	return true;
}

/**
 * cursor_be32 - read a big-endian 32-bit number
 * @c: the cursor; it stays where it is if fewer than four bytes are left
 * @v: where it goes, in host order; untouched on failure
 *
 * Return: false if fewer than four bytes are left.
 */
bool cursor_be32(struct cursor *c, uint32_t *v)
{
	const uint8_t *at = cursor_take(c, 4);

	if (!at)
		return false;
	*v = load_be32(at);
	return true;
}

static bool is_vlan(uint16_t ethertype)
{
	return ethertype == ETH_P_8021Q || ethertype == ETH_P_8021AD ||
	       ethertype == ETHERTYPE_QINQ_OLD;
}

/* VLAN tags (802.1Q 9.6), up to the payload's first byte. */
static enum packet_error parse_tags(struct cursor *c, struct packet *p)
{
	while (is_vlan(p->ethertype) && p->vlans < VLANS_MAX) {
		uint16_t tci;

		if (!cursor_be16(c, &tci) || !cursor_be16(c, &p->ethertype))
			return PACKET_SHORT;
		if (p->vlans++ == 0)
			p->vid = tci & VLAN_VID_MASK;
	}
	p->l3 = (uint16_t)c->pos;
	return PACKET_OK;
}

/* Ethernet II (IEEE 802.3 3.1.1) and its tags. */
static enum packet_error parse_link(struct cursor *c, struct packet *p)
{
	if (!cursor_skip(c, 2 * ETH_ALEN) || !cursor_be16(c, &p->ethertype))
		return PACKET_SHORT;
	return parse_tags(c, p);
}

static void note_fragment(struct packet *p, bool more, bool displaced)
{
	p->fragment = more || displaced;
	p->first_fragment = more && !displaced;
}

/* Ends the cursor with the IP packet, or where the bytes end if they do so before it. */
static void end_with_packet(struct cursor *c, const struct packet *p)
{
	if (p->l3_end < c->len)
		c->len = p->l3_end;
}

/*
 * RFC 791 section 3.1. Leaves the cursor behind the options and ends it with the IP packet.
 * @len: of the whole frame, of which the cursor may have less; 0: the cursor has all of it
 */
static enum packet_error parse_ipv4(struct cursor *c, size_t len, struct packet *p)
{
	const uint8_t *ip = cursor_take(c, IPV4_HDR_MIN);
	size_t ihl, total;
	uint16_t frag;

	if (!ip)
		return PACKET_L3_CUT;
	ihl = (ip[0] & 0x0f) * 4;
	if (ip[0] >> 4 != 4 || ihl < IPV4_HDR_MIN)
		return PACKET_L3_INVALID;
	total = load_be16(ip + 2);
	/* A sender's capture may show a super-frame before anybody has written its length. */
	if (total == 0 && len)
		total = len - p->l3;
	if (total == 0 || total > (len ? len : c->len) - p->l3 || ihl > c->len - p->l3)
		return PACKET_L3_CUT;
	if (total < ihl)
		return PACKET_L3_INVALID;

	p->ip_version = 4;
	p->proto = ip[9];
	p->ip_options = ihl > IPV4_HDR_MIN;
	frag = load_be16(ip + 6);
	note_fragment(p, frag & IPV4_FRAG_MF, frag & IPV4_FRAG_OFF);

	p->l3_end = (uint32_t)(p->l3 + total);
	c->pos = p->l3 + ihl;
	end_with_packet(c, p);
	return PACKET_OK;
}

/*
 * Step over one extension header. RFC 8200 section 4 gives all of them the
 * next header in the first octet and (but for the fragment header, which has
 * none, and AH, RFC 4302 section 2.2, which counts in units of 4) a length in
 * units of 8 in the second, the first 8 octets not counted. AH's fixed part is
 * 12 octets long.
 */
static bool skip_extension(struct cursor *c, struct packet *p)
{
	const uint8_t *ext = cursor_take(c, 8);
	uint8_t kind = p->proto;
	uint16_t frag;

	if (!ext)
		return false;
	p->ip_options = true;
	p->proto = ext[0];
	switch (kind) {
	case IPPROTO_FRAGMENT:
		/* Offset 0 and no more to come is an atomic fragment: a whole packet (RFC 6946). */
		frag = load_be16(ext + 2);
		note_fragment(p, frag & IPV6_FRAG_MF, frag & IPV6_FRAG_OFF);
		return true;
	case IPPROTO_AH:
		p->authenticated = true;
		return ext[1] >= 1 && cursor_skip(c, (size_t)ext[1] * 4);
	default: return cursor_skip(c, (size_t)ext[1] * 8);
	}
}

static bool is_extension(uint8_t proto)
{
	return proto == IPPROTO_HOPOPTS || proto == IPPROTO_ROUTING || proto == IPPROTO_FRAGMENT ||
	       proto == IPPROTO_AH || proto == IPPROTO_DSTOPTS;
}

/*
 * RFC 8200 section 3. Leaves the cursor behind the extension headers and ends it with the packet.
 * @len: as of parse_ipv4()
 */
static enum packet_error parse_ipv6(struct cursor *c, size_t len, struct packet *p)
{
	const uint8_t *ip = cursor_take(c, IPV6_HDR_LEN);
	size_t payload;

	if (!ip)
		return PACKET_L3_CUT;
	if (ip[0] >> 4 != 6)
		return PACKET_L3_INVALID;
	payload = load_be16(ip + 4);
	/* A jumbogram (RFC 2675), or a super-frame before anybody has written its length. */
	if (payload == 0 && len)
		payload = len - c->pos;
	if (payload > (len ? len : c->len) - c->pos)
		return PACKET_L3_CUT;

	p->ip_version = 6;
	p->proto = ip[6];
	p->l3_end = (uint32_t)(c->pos + payload);
	end_with_packet(c, p);

	for (int i = 0; is_extension(p->proto); i++) {
		/* Behind the header of a later fragment stands the middle of something. */
		if (p->fragment && !p->first_fragment)
			break;
		if (i == IPV6_EXT_HDRS || (p->proto == IPPROTO_HOPOPTS && i > 0) ||
		    !skip_extension(c, p))
			return PACKET_L3_INVALID;
	}
	return PACKET_OK;
}

/* TCP (RFC 9293 section 3.1) or UDP (RFC 768), if it is one: where the payload begins. */
static enum packet_error parse_transport(struct cursor *c, struct packet *p)
{
	const uint8_t *tcp;
	size_t doff;

	if ((p->fragment && !p->first_fragment) || p->proto == IPPROTO_NONE)
		return PACKET_OK;
	if (c->pos < c->len)
		p->l4 = (uint16_t)c->pos;

	switch (p->proto) {
	case IPPROTO_TCP:
		tcp = cursor_take(c, TCP_HDR_MIN);
		if (!tcp)
			return PACKET_L4_CUT;
		doff = (size_t)(tcp[TCP_OFFSET] >> 4) * 4;
		if (doff < TCP_HDR_MIN || !cursor_skip(c, doff - TCP_HDR_MIN))
			return PACKET_L4_CUT;
		break;
	case IPPROTO_UDP:
		if (!cursor_skip(c, UDP_HDR_LEN))
			return PACKET_L4_CUT;
		break;
	default: return PACKET_OK;
	}
	p->payload = (uint16_t)c->pos;
	return PACKET_OK;
}

/* What is behind the link layer; @len as of parse_ipv4(). */
static enum packet_error parse_network(struct cursor *c, size_t len, struct packet *p)
{
	enum packet_error err;

	switch (p->ethertype) {
	case ETH_P_IP: err = parse_ipv4(c, len, p); break;
	case ETH_P_IPV6: err = parse_ipv6(c, len, p); break;
	default: return PACKET_OK;
	}
	return err ? err : parse_transport(c, p);
}

/* What packet_plain_tcp() has found. */
static void note_plain(const uint8_t *data, unsigned l4, uint32_t end, struct packet *p)
{
	memset(p, 0, sizeof(*p));
	p->ethertype = load_be16(data + 2 * ETH_ALEN);
	p->l3 = ETH_HDR_LEN;
	p->l4 = (uint16_t)l4;
	p->payload = (uint16_t)(l4 + (data[l4 + TCP_OFFSET] >> 4) * 4u);
	p->l3_end = end;
	p->ip_version = data[ETH_HDR_LEN] >> 4;
	p->proto = IPPROTO_TCP;
}

/**
 * packet_parse - find the layers of a frame
 * @data: the frame from its destination MAC, without FCS; may be a super-frame
 * @len: its length in bytes
 * @p: what is found. On an error it holds what was read before the error;
 *	l4 and payload are 0 unless those headers were reached.
 *
 * Reads Ethernet II with up to two tags (a third is left as the ethertype, and
 * nothing behind it is read), IPv4 with options, IPv6 with extension headers,
 * TCP and UDP. Anything else - ARP, LLC, an unknown protocol - is PACKET_OK
 * with what is known of it. A frame may be longer than its IP packet
 * (padding); only l3_end tells. Checksums are not verified, and UDP's own
 * length field is not looked at.
 *
 * Return: PACKET_OK or what is wrong (enum packet_error).
 */
enum packet_error packet_parse(const uint8_t *data, size_t len, struct packet *p)
{
	struct cursor c;
	enum packet_error err;
	uint32_t end;
	unsigned l4 = packet_plain_tcp(data, len, len, &end);

	if (l4) {
		note_plain(data, l4, end, p);
		return PACKET_OK;
	}
	c = cursor_of(data, len);
	memset(p, 0, sizeof(*p));
	err = parse_link(&c, p);
	return err ? err : parse_network(&c, 0, p);
}

/**
 * packet_parse_captured - find the layers of a frame of which only the first bytes are there
 * @data: the frame from its first byte; not necessarily Ethernet
 * @captured: bytes at @data
 * @len: true length of the frame; at least @captured
 * @at: where its network layer begins, or VLAN tags in front of it
 * @ethertype: of what is at @at
 * @p: what is found; l3_end may lie behind the captured bytes
 *
 * As packet_parse(), but lengths are held against what the frame had on the
 * wire, and an IP length of 0 means "to the end of the frame", as captures of
 * segmentation offload show it. The headers themselves must be there.
 *
 * Return: PACKET_OK or what is wrong (enum packet_error).
 */
enum packet_error packet_parse_captured(const uint8_t *data, size_t captured, size_t len, size_t at,
					uint16_t ethertype, struct packet *p)
{
	struct cursor c = cursor_of(data, captured);
	enum packet_error err;

	memset(p, 0, sizeof(*p));
	p->ethertype = ethertype;
	if (at > UINT16_MAX / 2 || !cursor_skip(&c, at))
		return PACKET_SHORT;
	err = parse_tags(&c, p);
	return err ? err : parse_network(&c, len, p);
}

/**
 * packet_error_name - say what packet_parse() found wrong, for a message
 * @e: its return value
 *
 * Return: a few words in static memory, never NULL.
 */
const char *packet_error_name(enum packet_error e)
{
	switch (e) {
	case PACKET_OK: return "ok";
	case PACKET_SHORT: return "shorter than its Ethernet header";
	case PACKET_L3_CUT: return "IP packet cut short";
	case PACKET_L3_INVALID: return "impossible IP header";
	case PACKET_L4_CUT: return "TCP or UDP header cut short";
	}
	return "unknown error";
}
