// SPDX-License-Identifier: GPL-3.0-or-later
/* fuzz_decap.c - whatever is wrapped in whatever, nothing beyond the captured bytes is read */
#include "capture/segment.h"
#include "tests/fuzz/must.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check_segment(const struct cap_packet *p, const struct segment *s)
{
	must(s->from <= 1 && (s->key.version == 4 || s->key.version == 6));
	must(memcmp(s->key.addr[0], s->key.addr[1], 16) <= 0);
	must(s->len <= p->length && s->sacks <= 4 && s->wscale <= 14);
	must(!s->macs || (s->macs >= p->data && s->macs + MACS_THERE <= p->data + p->captured));
}

/* The shortest way through the parser, for the plainest of packets, comes to what the general way
 * does. */
static void check_tagged(const struct cap_packet *p, const struct segment *s)
{
	struct cap_packet tagged = *p;
	struct segment t;
	struct too_big big;
	uint8_t *copy;

	if (p->link != LINK_ETHERNET || s->at.wrap || s->at.vid || p->captured < 14 ||
	    p->length > 65000)
		return;
	copy = malloc(p->captured + 4);
	must(copy);
	memcpy(copy, p->data, 12);
	memcpy(copy + 12, "\x81\0\0\x05", 4);
	memcpy(copy + 16, p->data + 12, p->captured - 12);
	tagged.data = copy;
	tagged.captured += 4;
	tagged.length += 4;
	/* Behind two tags of its own there is no room for a third. */
	if (decap(&tagged, &t, &big) == DECAP_TCP && !t.at.wrap) {
		must(!memcmp(&t.key, &s->key, sizeof(t.key)) && t.from == s->from && t.at.vid == 5);
		must(t.seq == s->seq && t.ack == s->ack && t.len == s->len && t.flags == s->flags);
		must(t.window == s->window && t.check == s->check && t.ip_id == s->ip_id &&
		     t.ttl == s->ttl && t.ce == s->ce);
		must(t.mss == s->mss && t.wscale == s->wscale && t.has_ts == s->has_ts &&
		     t.tsval == s->tsval && t.tsecr == s->tsecr && t.sacks == s->sacks);
	} else {
		must(p->data[12] == 0x81 || p->data[12] == 0x88 || p->data[12] == 0x91);
	}
	free(copy);
}

/* Twice in a batch it is the same both times, and the second time of the flow of the first. */
static void check_together(const struct cap_packet *p, enum decap is, const struct segment *s)
{
	struct cap_packet two[2] = {*p, *p};
	struct segment many[2];
	uint8_t what[2];
	uint16_t keyed[2];
	size_t n_keyed;

	must(decap_batch(two, 2, many, what, keyed, &n_keyed) == (is == DECAP_TCP ? 2 : 0));
	must(what[0] == is && what[1] == is);
	if (is != DECAP_TCP)
		return;
	must(n_keyed == 1 && !keyed[0] && !many[0].as_last && many[1].as_last);
	must(flow_key_equal(&many[0].key, &s->key));
	for (int i = 0; i < 2; i++) {
		must(many[i].from == s->from && many[i].macs == s->macs);
		must(!memcmp(&many[i].ack, &s->ack,
			     offsetof(struct segment, at) - offsetof(struct segment, ack)));
	}
}

/* Two bytes choose the link layer and how much longer the packet was; the rest is the packet. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint16_t links[] = {LINK_ETHERNET, LINK_SLL,  LINK_SLL2, LINK_NULL,
					 LINK_RAW,	LINK_IPV6, 147};
	struct cap_packet p = {0};
	struct inner_frame inner;
	struct segment s;
	struct too_big big;
	enum decap what;
	uint8_t *exact;

	if (size < 2)
		return 0;
	exact = malloc(size - 2 ? size - 2 : 1);
	must(exact);
	memcpy(exact, data + 2, size - 2);
	p.data = exact;
	p.captured = (uint32_t)size - 2;
	p.length = p.captured + data[1] * 16u;
	p.link = links[data[0] % 7];
	what = decap(&p, &s, &big);
	if (what == DECAP_TCP) {
		check_segment(&p, &s);
		check_tagged(&p, &s);
	}
	check_together(&p, what, &s);
	if (decap_inner(&p, &inner)) {
		must(inner.data >= exact && inner.captured <= inner.length);
		must(inner.data + inner.captured <= exact + p.captured);
	}
	free(exact);
	return 0;
}
