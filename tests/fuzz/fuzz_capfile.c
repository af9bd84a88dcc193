// SPDX-License-Identifier: GPL-3.0-or-later
/* fuzz_capfile.c - whatever a capture file holds, packets lie within it and the reading ends */
#include "capture/capfile.h"
#include "capture/segment.h"
#include "tests/fuzz/must.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The input, given out in pieces of changing length. */
struct input {
	const uint8_t *data;
	size_t len, at, step;
};

static ssize_t more(void *ctx, void *buf, size_t len)
{
	struct input *in = ctx;
	size_t n = in->len - in->at;

	in->step = in->step * 3 % 8191 + 1;
	n = n < len ? n : len;
	n = n < in->step ? n : in->step;
	memcpy(buf, in->data + in->at, n);
	in->at += n;
	return (ssize_t)n;
}

static void check_packet(const struct capfile *f, const struct cap_packet *p)
{
	struct segment s;
	struct too_big big;
	unsigned sum = 0;
	uint32_t i;

	must(p->length >= p->captured && p->captured <= CAP_BLOCK_MAX);
	must(capfile_interface(f, p->interface) && p->way <= CAP_WAY_OUT);
	for (i = 0; i < p->captured; i++)
		sum += p->data[i];
	must(sum <= 255u * p->captured);
	must(decap(p, &s, &big) < DECAP_KINDS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size, 0, size % 97};
	struct cap_packet p;
	struct capfile *f;
	struct err e = {""};
	size_t n = 0;

	f = capfile_open(more, &in, &e);
	if (!f) {
		must(*e.text);
		return 0;
	}
	while (capfile_next(f, &p) > 0) {
		must(++n <= size); /* each takes more than a byte */
		check_packet(f, &p);
	}
	must(capfile_next(f, &p) == 0);
	must(capfile_interfaces(f) <= CAP_INTERFACES_MAX);
	must(strlen(capfile_skipped(f)->why) < sizeof(capfile_skipped(f)->why));
	capfile_close(f);
	return 0;
}
