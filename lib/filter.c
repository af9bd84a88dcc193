// SPDX-License-Identifier: GPL-3.0-or-later
/* filter.c - pcap filter expressions, compiled once and matched in user space */
#include "lib/filter.h"

#include "lib/packet.h"

#include <pcap/pcap.h>
#include <stdlib.h>
#include <string.h>

#define SNAPLEN 262144 /* pcap's own largest: a filter may look anywhere */
#define IP_MAX	65575  /* bytes of a packet: IPv6's header and what its length can say */

struct filter {
	struct bpf_program program;
};

/* Compiles an expression of pcap-filter(7) for Ethernet frames. Returns NULL with a text. */
struct filter *filter_compile(const char *text, struct err *e)
{
	struct filter *f = calloc(1, sizeof(*f));
	pcap_t *p = pcap_open_dead(DLT_EN10MB, SNAPLEN);

	if (!f || !p) {
		err_set(e, ENOMEM, "out of memory");
		goto fail;
	}
	if (pcap_compile(p, &f->program, text, 1, PCAP_NETMASK_UNKNOWN)) {
		err_set(e, EINVAL, "'%s' is not a filter: %s; see pcap-filter(7)", text,
			pcap_geterr(p));
		goto fail;
	}
	pcap_close(p);
	return f;
fail:
	if (p)
		pcap_close(p);
	free(f);
	return NULL;
}

/* Whether a frame, from its destination MAC on, matches. Any thread. */
bool filter_match(const struct filter *f, const uint8_t *frame, size_t len)
{
	return bpf_filter(f->program.bf_insns, frame, (unsigned)len, (unsigned)len) != 0;
}

/* Whether a frame of @len bytes matches of which only the first @captured are there. Any thread. */
bool filter_match_captured(const struct filter *f, const uint8_t *frame, size_t captured,
			   size_t len)
{
	return bpf_filter(f->program.bf_insns, frame, (unsigned)len, (unsigned)captured) != 0;
}

/*
 * The same of what had no Ethernet header, as if it had one whose addresses are zero: a filter is
 * compiled for Ethernet. Of what is longer than any IP packet, only the beginning is looked at.
 */
bool filter_match_headless(const struct filter *f, uint16_t ethertype, const uint8_t *data,
			   size_t captured, size_t len)
{
	uint8_t frame[ETH_HDR_LEN + IP_MAX];

	if (captured > IP_MAX)
		captured = IP_MAX;
	memset(frame, 0, 12);
	store_be16(frame + 12, ethertype);
	memcpy(frame + ETH_HDR_LEN, data, captured);
	return filter_match_captured(f, frame, ETH_HDR_LEN + captured, ETH_HDR_LEN + len);
}

/* Frees a filter; NULL is allowed. */
void filter_free(struct filter *f)
{
	if (!f)
		return;
	pcap_freecode(&f->program);
	free(f);
}
