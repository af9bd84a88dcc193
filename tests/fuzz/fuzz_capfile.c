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

static bool same_packet(const struct cap_packet *a, const struct cap_packet *b)
{
	return a->time_ns == b->time_ns && a->captured == b->captured && a->length == b->length &&
	       a->interface == b->interface && a->link == b->link && a->way == b->way &&
	       !memcmp(a->data, b->data, a->captured);
}

/* Packets in batches are those that come one by one, and all of a batch are there at once. */
static void check_batches(const uint8_t *data, size_t size)
{
	struct input in[2] = {{data, size, 0, size % 97}, {data, size, 0, size % 89}};
	struct capfile *f[2];
	struct cap_packet p, many[8];
	struct err e;
	size_t n, i;

	f[0] = capfile_open(more, &in[0], &e);
	f[1] = capfile_open(more, &in[1], &e);
	must(f[0] && f[1]);
	while ((n = capfile_batch(f[1], many, 1 + size % 8))) {
		must(n <= 1 + size % 8);
		for (i = 0; i < n; i++)
			must(capfile_next(f[0], &p) == 1 && same_packet(&p, &many[i]));
	}
	must(capfile_next(f[0], &p) == 0);
	must(!memcmp(capfile_skipped(f[0]), capfile_skipped(f[1]), sizeof(struct cap_skipped)));
	for (i = 0; i < capfile_interfaces(f[0]); i++)
		must(capfile_interface(f[0], (uint32_t)i)->packets ==
		     capfile_interface(f[1], (uint32_t)i)->packets);
	capfile_close(f[0]);
	capfile_close(f[1]);
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
	check_batches(data, size);
	return 0;
}
