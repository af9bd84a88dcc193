// SPDX-License-Identifier: GPL-3.0-or-later
/* filter.c - pcap filter expressions, compiled once and matched in user space */
#include "lib/filter.h"

#include <pcap/pcap.h>
#include <stdlib.h>

#define SNAPLEN 262144 /* pcap's own largest: a filter may look anywhere */

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

/* Frees a filter; NULL is allowed. */
void filter_free(struct filter *f)
{
	if (!f)
		return;
	pcap_freecode(&f->program);
	free(f);
}
