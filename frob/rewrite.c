// SPDX-License-Identifier: GPL-3.0-or-later
/* rewrite.c - rewrite the MSS and window scale of a TCP handshake in place */
#include "frob/frob.h"
#include "lib/cksum.h"
#include "lib/tcphdr.h"
#include "lib/tcpopt.h"

#include <netinet/in.h>

#define MSS_LEN	   4 /* RFC 9293 section 3.7.1 */
#define WSCALE_LEN 3 /* RFC 7323 section 2.2 */

/*
 * What MTU and MSS differ by: the fixed IP and TCP headers. Options of either
 * are the sender's to subtract (RFC 6691 section 2).
 */
#define HDRS_IPV4 40
#define HDRS_IPV6 60

/*
 * Write one byte of a TCP header and keep the checksum as right or wrong as it
 * was. An option can begin anywhere, so its value may lie across two of the
 * 16-bit words that are summed: byte by byte, each is in one word for certain.
 */
static void put_u8(uint8_t *tcp, size_t at, uint8_t value, bool partial)
{
	uint8_t *word = tcp + (at & ~(size_t)1);
	uint16_t old = load_be16(word);

	tcp[at] = value;
	/* A partial checksum is of the pseudo-header alone, which does not change. */
	if (!partial)
		store_be16(tcp + TCP_CHECK,
			   cksum_replace16(load_be16(tcp + TCP_CHECK), old, load_be16(word)));
}

static unsigned lower_mss(uint8_t *tcp, const struct tcpopt *opt, uint16_t most, bool partial)
{
	size_t at = opt->offset + 2u;

	if (opt->len != MSS_LEN)
		return FROB_MALFORMED;
	if (most == 0 || load_be16(opt->data) <= most)
		return 0;
	put_u8(tcp, at, (uint8_t)(most >> 8), partial);
	put_u8(tcp, at + 1, (uint8_t)most, partial);
	return FROB_MSS;
}

static unsigned set_wscale(uint8_t *tcp, const struct tcpopt *opt, int shift, bool partial)
{
	if (opt->len != WSCALE_LEN)
		return FROB_MALFORMED;
	if (shift < 0 || shift > TCP_WSCALE_MAX || opt->data[0] == shift)
		return 0;
	put_u8(tcp, opt->offset + 2u, (uint8_t)shift, partial);
	return FROB_WSCALE;
}

/* The largest MSS that fits rules->mtu; 0: leave it. */
static uint16_t mss_limit(const struct frob_rules *rules, const struct packet *p)
{
	uint16_t headers = (p->ip_version == 4 ? HDRS_IPV4 : HDRS_IPV6) +
			   p->vlans * rules->vlan_cost;

	return rules->mtu > headers ? rules->mtu - headers : 0;
}

/* TCP-AO covers the options (RFC 5925 section 5.1); TCP-MD5 does not (RFC 2385 section 2.0). */
static bool has_tcp_ao(struct tcpopt_iter it)
{
	struct tcpopt opt;

	while (tcpopt_next(&it, &opt))
		if (opt.kind == TCPOPT_KIND_AO)
			return true;
	return false;
}

/**
 * frob_rewrite - rewrite what a TCP SYN or SYN/ACK says of its sender
 * @data: a frame from its destination MAC; rewritten in place, never resized
 * @len: its length in bytes
 * @partial: its TCP checksum field holds the pseudo-header sum only (virtio's
 *	NEEDS_CSUM) and stays as it is
 * @rules: what to rewrite
 *
 * MSS (RFC 9293 section 3.7.1) is lowered to mtu - 40 (IPv4) or mtu - 60
 * (IPv6), never raised and never inserted; an MTU that holds no more than those
 * headers changes nothing. The shift count of an existing window scale option
 * (RFC 7323 section 2) is replaced, never inserted: a host that did not offer
 * to scale would not understand. The checksum follows by RFC 1624, so a segment
 * that was damaged before is still refused by its receiver afterwards.
 *
 * THE HAZARD of a window scale: the shift count is not negotiated, it announces
 * how the sender of this segment will shift the windows that it advertises.
 * Writing another makes the two ends disagree. The host goes on using its own
 * while its peer multiplies by ours: too large, and the peer believes in a
 * window that is not there, overruns the host's buffer and is dropped and
 * resent; too small, and the flow is slower than it would have been. It helps
 * only hosts whose real buffer is much larger than the window they can say,
 * so it is off unless asked for, and never guessed.
 *
 * Left as they are: everything but a SYN without RST; IP fragments, the first
 * too, since its options may go on in the next and its checksum covers bytes
 * that are not here; segments under TCP-AO or an IPv6 AH, whose receiver would
 * discard them.
 *
 * Return: FROB_* bits. 0 for what is not a whole TCP SYN. FROB_MALFORMED alone
 * if the TCP header cannot be read; together with others if an option cannot
 * be (what stood before it was rewritten) or has another length than its kind
 * demands (it was left, the others were rewritten).
 */
unsigned frob_rewrite(uint8_t *data, size_t len, bool partial, const struct frob_rules *rules)
{
	enum packet_error err;
	struct tcpopt_iter it;
	struct tcpopt opt;
	struct packet p;
	unsigned done = FROB_SYN;
	uint8_t *tcp;

	err = packet_parse(data, len, &p);
	if (p.proto != IPPROTO_TCP || p.fragment)
		return 0;
	if (err == PACKET_L4_CUT)
		return FROB_MALFORMED;
	if (err)
		return 0;
	tcp = data + p.l4;
	if ((tcp[TCP_FLAGS] & (TCP_SYN | TCP_RST)) != TCP_SYN)
		return 0;

	if (!tcpopt_begin(&it, tcp, p.l3_end - p.l4))
		return FROB_MALFORMED;
	if (p.authenticated || has_tcp_ao(it))
		return FROB_SYN;

	while (tcpopt_next(&it, &opt)) {
		if (opt.kind == TCPOPT_KIND_MSS)
			done |= lower_mss(tcp, &opt, mss_limit(rules, &p), partial);
		else if (opt.kind == TCPOPT_KIND_WSCALE)
			done |= set_wscale(tcp, &opt, rules->wscale, partial);
	}
	if (it.malformed)
		done |= FROB_MALFORMED;
	return done;
}
