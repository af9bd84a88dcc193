// SPDX-License-Identifier: GPL-3.0-or-later
/* hint.c - "fragmentation needed" and "packet too big", to hosts of a border port's LAN */
/*
 * What a router would say where a bridge has no voice: the source is the
 * address that the packet was going to, which the host believes as it would a
 * router, and the frame comes back the way the packet came, in the same VLAN.
 * libnet makes the IP and ICMP headers and their checksums, in memory; the
 * caller sends the frame.
 */
#include "tunnel/hint.h"

#include "lib/gso.h"

#include <libnet.h>
#include <netinet/icmp6.h>
#include <stdlib.h>

#define HINT_TTL	     64
#define IPV4_INTERNETCONTROL 0xc0 /* precedence of ICMP errors, RFC 1812 4.3.2.5 */

#define IPV4_DF	     0x4000
#define IPV4_HDR_LEN 20
#define IPV6_HDR_LEN 40
#define ICMP_HDR_LEN 8

struct hint {
	libnet_t *net;
};

/* Makes a builder. Returns NULL with a text. */
struct hint *hint_new(struct err *e)
{
	struct hint *h = calloc(1, sizeof(*h));
	char why[LIBNET_ERRBUF_SIZE];

	if (!h) {
		err_set(e, ENOMEM, "out of memory");
		return NULL;
	}
	h->net = libnet_init(LIBNET_NONE, NULL, why);
	if (!h->net) {
		err_set(e, ENOMEM, "libnet: %s", why);
		free(h);
		return NULL;
	}
	/* Its packets are taken out by libnet_adv_cull_packet(), which asks for this mode; only
	 * libnet_init() would open a socket for it. */
	h->net->injection_type = LIBNET_LINK_ADV;
	return h;
}

/* Frees it; NULL is allowed. */
void hint_free(struct hint *h)
{
	if (!h)
		return;
	libnet_destroy(h->net);
	free(h);
}

static bool is_icmp4_error(uint8_t type)
{
	return type == ICMP_UNREACH || type == ICMP_SOURCEQUENCH || type == ICMP_REDIRECT ||
	       type == ICMP_TIMXCEED || type == ICMP_PARAMPROB;
}

/* Whether an IPv4 address may be that of one host. */
static bool is_host4(const uint8_t *a)
{
	return a[0] != 0 && a[0] != 127 && a[0] < 224;
}

static bool allowed4(const uint8_t *ip, const uint8_t *l4, const struct packet *p)
{
	if (!(load_be16(ip + 6) & IPV4_DF) || !is_host4(ip + 12) || !is_host4(ip + 16))
		return false;
	return p->proto != IPPROTO_ICMP || (l4 && !is_icmp4_error(*l4));
}

/* Multicast, or unspecified. */
static bool is_no_host6(const uint8_t *a)
{
	static const uint8_t unspecified[16];

	return a[0] == 0xff || !memcmp(a, unspecified, sizeof(unspecified));
}

static bool allowed6(const uint8_t *ip, const uint8_t *l4, const struct packet *p)
{
	if (is_no_host6(ip + 8) || is_no_host6(ip + 24))
		return false;
	/* Errors have types below 128; a redirect is as bad. */
	return p->proto != IPPROTO_ICMPV6 || (l4 && *l4 >= 128 && *l4 != ND_REDIRECT);
}

/*
 * Whether the sender of a frame may be told that it is too long, and expects
 * to be: RFC 1812 4.3.2.7 and RFC 4443 2.4 (e). An IPv4 sender that allows
 * routers to fragment expects nothing.
 * @p: the frame's layers, as packet_parse() left them
 */
bool hint_allowed(const struct frame *f, const struct packet *p)
{
	const uint8_t *ip = f->data + p->l3, *l4 = NULL;

	if (!p->l3_end || f->data[0] & 1 || (p->fragment && !p->first_fragment))
		return false;
	if (p->l4 && p->l4 < p->l3_end)
		l4 = f->data + p->l4;
	return p->ip_version == 4 ? allowed4(ip, l4, p) : allowed6(ip, l4, p);
}

/*
 * Copies the beginning of the first wire frame of @f, at most @max bytes of
 * its IP packet: what its sender would have recognised on the wire.
 * Returns how many bytes of the IP packet that are; 0 if it cannot be cut.
 */
static uint32_t quote(const struct frame *f, const struct packet *p, uint32_t max, uint8_t *out)
{
	struct gso_split split;
	struct gso_segment seg;
	uint8_t hdr[GSO_HDR_MAX], bytes[GSO_HDR_MAX + HINT_IPV6_MAX];
	uint32_t len;

	if (gso_split_begin(&split, f, 0) || !gso_split_next(&split, hdr, &seg))
		return 0;
	len = seg.payload_len < HINT_IPV6_MAX ? seg.payload_len : HINT_IPV6_MAX;
	memcpy(bytes, hdr, seg.hdr_len);
	memcpy(bytes + seg.hdr_len, seg.payload, len);
	len += seg.hdr_len;
	len = len < p->l3_end ? len - p->l3 : p->l3_end - p->l3;
	len = len < max ? len : max;
	memcpy(out, bytes + p->l3, len);
	return len;
}

/* An echo request's header is that of the errors: where it has a sequence number, they have an MTU.
 * libnet's own builders of errors leave it 0. */
static bool build4(libnet_t *net, const uint8_t *ip, uint16_t mtu, uint8_t *text, uint32_t len)
{
	uint32_t src, dst;

	memcpy(&src, ip + 16, sizeof(src));
	memcpy(&dst, ip + 12, sizeof(dst));
	return libnet_build_icmpv4_echo(ICMP_UNREACH, ICMP_UNREACH_NEEDFRAG, 0, 0, mtu, text, len,
					net, 0) >= 0 &&
	       libnet_build_ipv4((uint16_t)(IPV4_HDR_LEN + ICMP_HDR_LEN + len),
				 IPV4_INTERNETCONTROL, 0, IPV4_DF, HINT_TTL, IPPROTO_ICMP, 0, src,
				 dst, NULL, 0, net, 0) >= 0;
}

static bool build6(libnet_t *net, const uint8_t *ip, uint32_t mtu, uint8_t *text, uint32_t len)
{
	struct libnet_in6_addr src, dst;

	memcpy(&src, ip + 24, sizeof(src));
	memcpy(&dst, ip + 8, sizeof(dst));
	return libnet_build_icmpv6_echo(ICMP6_PACKET_TOO_BIG, 0, 0, (uint16_t)(mtu >> 16),
					(uint16_t)mtu, text, len, net, 0) >= 0 &&
	       libnet_build_ipv6(0, 0, (uint16_t)(ICMP_HDR_LEN + len), IPPROTO_ICMPV6, HINT_TTL,
				 src, dst, NULL, 0, net, 0) >= 0;
}

/*
 * Builds the answer to a frame that is too long, as a frame for the port that
 * it came from.
 * @p:   its layers; hint_allowed() said yes
 * @mtu: largest IP packet that fits, in bytes; IPv6: 1280 or more
 * @out: where the answer is written
 *
 * Returns its length; 0 if it could not be built.
 */
uint32_t hint_build(struct hint *h, const struct frame *f, const struct packet *p, uint32_t mtu,
		    uint8_t out[HINT_MAX])
{
	const uint8_t *ip = f->data + p->l3;
	uint32_t max = p->ip_version == 4 ? HINT_IPV4_MAX - IPV4_HDR_LEN - ICMP_HDR_LEN
					  : HINT_IPV6_MAX - IPV6_HDR_LEN - ICMP_HDR_LEN;
	uint8_t text[HINT_IPV6_MAX], *bytes = NULL;
	uint32_t len = quote(f, p, max, text), n = 0;
	bool built;

	if (!len)
		return 0;
	built = p->ip_version == 4 ? build4(h->net, ip, (uint16_t)mtu, text, len)
				   : build6(h->net, ip, mtu, text, len);
	if (built && libnet_adv_cull_packet(h->net, &bytes, &n) == 1 && p->l3 + n <= HINT_MAX) {
		memcpy(out, f->data + 6, 6);
		memcpy(out + 6, f->data, 6);
		memcpy(out + 12, f->data + 12, p->l3 - 12u); /* VLAN tags, EtherType */
		memcpy(out + p->l3, bytes, n);
	} else {
		n = 0;
	}
	if (bytes)
		libnet_adv_free_packet(h->net, bytes);
	libnet_clear_packet(h->net);
	return n ? p->l3 + n : 0;
}
