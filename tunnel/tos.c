// SPDX-License-Identifier: GPL-3.0-or-later
/* tos.c - class and congestion between inner and outer packets: pure, in place */
/*
 * On encapsulation the whole octet is copied, DSCP and ECN (RFC 6040 section
 * 4.1, normal mode), so that the path treats the outer packet as it would the
 * inner one. On decapsulation only congestion comes back. The DSCP stays what
 * the host wrote (the pipe model of RFC 2983 section 3.1): networks rewrite
 * the outer one for their own use, and a bridge must not be seen.
 */
#include "tunnel/tos.h"

#include "lib/cksum.h"

#define IPV4_CHECK 10

#define LOST 0xff /* the sender would not understand the mark: only a loss tells it */

/* RFC 6040 section 4.2, figure 4: what leaves the tunnel, by what came in, inner and outer. */
static const uint8_t leaving[4][4] = {
	/*                outer: Not-ECT       ECT(1)       ECT(0)       CE */
	[ECN_NOT_ECT] = {ECN_NOT_ECT, ECN_NOT_ECT, ECN_NOT_ECT, LOST},
	[ECN_ECT1] = {ECN_ECT1, ECN_ECT1, ECN_ECT1, ECN_CE},
	[ECN_ECT0] = {ECN_ECT0, ECN_ECT1, ECN_ECT0, ECN_CE},
	[ECN_CE] = {ECN_CE, ECN_CE, ECN_CE, ECN_CE},
};

static uint8_t octet_of(const uint8_t *ip, const struct packet *p)
{
	return p->ip_version == 4 ? ip[1] : (uint8_t)(ip[0] << 4 | ip[1] >> 4);
}

/* The TOS or traffic class octet of a frame's IP packet; 0 of anything else. */
uint8_t tos_of(const uint8_t *data, const struct packet *p)
{
	return p->ip_version ? octet_of(data + p->l3, p) : 0;
}

static void set_octet(uint8_t *ip, const struct packet *p, uint8_t octet)
{
	uint16_t old = load_be16(ip);

	if (p->ip_version == 4) {
		ip[1] = octet;
		store_be16(ip + IPV4_CHECK,
			   cksum_replace16(load_be16(ip + IPV4_CHECK), old, load_be16(ip)));
	} else {
		ip[0] = (uint8_t)((ip[0] & 0xf0) | octet >> 4);
		ip[1] = (uint8_t)((ip[1] & 0x0f) | octet << 4);
	}
}

/*
 * Brings the outer packet's congestion mark into a frame's IP packet, in place.
 * @outer: ECN codepoint that the outer packet arrived with
 *
 * What is not IP has nothing to mark and stays. Returns false if the frame
 * must be dropped: congestion was experienced, and its sender is not one that
 * can be told by a mark.
 */
bool tos_decapsulate(uint8_t *data, uint32_t len, unsigned outer)
{
	struct packet p;
	uint8_t octet, ecn;

	if ((outer & ECN_MASK) == ECN_NOT_ECT)
		return true;
	packet_parse(data, len, &p);
	if (!p.ip_version)
		return true;
	octet = octet_of(data + p.l3, &p);
	ecn = leaving[octet & ECN_MASK][outer & ECN_MASK];
	if (ecn == LOST)
		return false;
	if (ecn != (octet & ECN_MASK))
		set_octet(data + p.l3, &p, (uint8_t)((octet & ~ECN_MASK) | ecn));
	return true;
}
