// SPDX-License-Identifier: GPL-3.0-or-later
/* fuzz_decap.c - whatever is wrapped in whatever, nothing beyond the captured bytes is read */
#include "capture/segment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define must(x)                                                                           \
	do {                                                                              \
		if (!(x)) {                                                               \
			fprintf(stderr, "%s:%d: violated: %s\n", __FILE__, __LINE__, #x); \
			abort();                                                          \
		}                                                                         \
	} while (0)

static void check_segment(const struct cap_packet *p, const struct segment *s)
{
	must(s->from <= 1 && (s->key.version == 4 || s->key.version == 6));
	must(memcmp(s->key.addr[0], s->key.addr[1], 16) <= 0);
	must(s->len <= p->length && s->sacks <= 4 && s->wscale <= 14);
	must(!s->macs || (s->macs >= p->data && s->macs + 12 <= p->data + p->captured));
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
	if (decap(&p, &s, &big) == DECAP_TCP)
		check_segment(&p, &s);
	if (decap_inner(&p, &inner)) {
		must(inner.data >= exact && inner.captured <= inner.length);
		must(inner.data + inner.captured <= exact + p.captured);
	}
	free(exact);
	return 0;
}
