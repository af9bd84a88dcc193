// SPDX-License-Identifier: GPL-3.0-or-later
/* fuzz_frob.c - a rewrite changes MSS, shift count and checksum, and nothing else, once */
#include "frob/frob.h"
#include "tests/fuzz/must.h"
#include "tests/unit/packets.h"

#define RULES_LEN 4 /* in front of the frame: MTU, shift count, flags */

struct option_map {
	bool mss[60], wscale[60]; /* bytes of the TCP header that hold such a value */
};

/* Written apart from lib/tcpopt.c, by which it is not to be misled. */
static struct option_map map_options(const uint8_t *tcp)
{
	struct option_map m = {0};
	unsigned end = (tcp[12] >> 4) * 4u, at = 20;

	while (at < end && tcp[at] != 0) {
		if (tcp[at] == 1) {
			at++;
			continue;
		}
		if (at + 1 == end || tcp[at + 1] < 2 || at + tcp[at + 1] > end)
			break;
		if (tcp[at] == 2 && tcp[at + 1] == 4)
			m.mss[at + 2] = m.mss[at + 3] = true;
		if (tcp[at] == 3 && tcp[at + 1] == 3)
			m.wscale[at + 2] = true;
		at += tcp[at + 1];
	}
	return m;
}

/* The sum over the TCP segment and its pseudo-header, modulo 65535: 0 if right. */
static unsigned segment_sum(const uint8_t *data, const struct packet *p)
{
	unsigned l4_len = p->l3_end - p->l4, sum = p->proto + l4_len % 0xffff;

	sum = p->ip_version == 4 ? pkt_sum(sum, data + p->l3 + 12, 8)
				 : pkt_sum(sum, data + p->l3 + 8, 32);
	return pkt_sum(sum, data + p->l4, l4_len) % 0xffff;
}

static void check_changes(const uint8_t *was, const uint8_t *is, size_t size,
			  const struct packet *p, bool partial, unsigned done)
{
	struct option_map m = map_options(was + p->l4);
	bool mss = false, wscale = false;

	for (size_t i = 0; i < size; i++) {
		size_t at = i - p->l4;

		if (was[i] == is[i])
			continue;
		must(i >= p->l4 && i < p->payload);
		must(m.mss[at] || m.wscale[at] || (!partial && (at == 16 || at == 17)));
		mss |= m.mss[at];
		wscale |= m.wscale[at];
	}
	must(mss == !!(done & FROB_MSS));
	must(wscale == !!(done & FROB_WSCALE));
}

/* No MSS above the limit is left in a part of the options that could be read. */
static void check_limits(const uint8_t *is, const struct packet *p, const struct frob_rules *rules)
{
	const uint8_t *tcp = is + p->l4;
	struct option_map m = map_options(tcp);
	unsigned headers = (p->ip_version == 4 ? 40 : 60) + p->vlans * rules->vlan_cost;

	for (unsigned at = 20; at < 60; at++) {
		if (m.mss[at] && rules->mtu > headers) {
			must(pkt_get16(tcp + at) <= rules->mtu - headers);
			at++;
		} else if (m.wscale[at] && rules->wscale >= 0) {
			must(tcp[at] == rules->wscale);
		}
	}
}

static void check_syn(const uint8_t *was, const uint8_t *is, size_t size, bool partial,
		      const struct frob_rules *rules, unsigned done)
{
	struct packet p;

	must(packet_parse(was, size, &p) == PACKET_OK);
	must(p.proto == PKT_PROTO_TCP && !p.fragment && p.payload);
	must((was[p.l4 + 13] & (PKT_SYN | PKT_RST)) == PKT_SYN);
	check_changes(was, is, size, &p, partial, done);
	if (!partial)
		must(segment_sum(is, &p) == segment_sum(was, &p));
	/* A segment that was rewritten at all was rewritten in full. */
	if (done & (FROB_MSS | FROB_WSCALE))
		check_limits(is, &p, rules);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *was = data + RULES_LEN;
	struct frob_rules rules;
	unsigned done, again;
	uint8_t *is, *first;
	bool partial;

	if (size < RULES_LEN)
		return 0;
	size -= RULES_LEN;
	rules.mtu = (uint16_t)pkt_get16(data);
	rules.wscale = (int8_t)(data[2] % 16 - 1); /* off, or 0 to 14 */
	rules.vlan_cost = data[3] & 2 ? 4 : 0;
	partial = data[3] & 1;

	is = malloc(size + !size);
	first = malloc(size + !size);
	must(is && first);
	memcpy(is, was, size);

	done = frob_rewrite(is, size, partial, &rules);
	must(!(done & ~(unsigned)(FROB_SYN | FROB_MSS | FROB_WSCALE | FROB_MALFORMED)));
	if (done & FROB_SYN)
		check_syn(was, is, size, partial, &rules, done);
	else
		must((done == 0 || done == FROB_MALFORMED) && memcmp(is, was, size) == 0);

	memcpy(first, is, size);
	again = frob_rewrite(is, size, partial, &rules);
	must(again == (done & (FROB_SYN | FROB_MALFORMED)));
	must(memcmp(is, first, size) == 0);

	free(is);
	free(first);
	return 0;
}
