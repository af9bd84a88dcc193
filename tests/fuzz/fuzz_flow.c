// SPDX-License-Identifier: GPL-3.0-or-later
/* fuzz_flow.c - whatever segments come, times and shares stay what they must be */
#include "capture/report.h"
#include "tests/fuzz/must.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECORD 16 /* bytes of input that make a segment */

/*
 * Fields are chosen near each other, so that what is made resembles a
 * connection: positions and ACKs within some segments, times that mostly grow.
 */
static void make_packet(const uint8_t *in, uint64_t *now, uint8_t *frame, struct cap_packet *p)
{
	static const uint8_t head[54] = {2, 0, 0,    0, 0, 1, 2, 0, 0,	  0, 0,	 2,
					 8, 0, 0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 6};
	unsigned header = in[1] & 0x80 ? 12 : 0, from = in[0] & 1;
	uint32_t seq = (uint32_t)(in[3] << 8 | in[4]) * ((in[0] & 2) ? 1448 : 1) +
		       (in[0] & 4 ? 0xfffff000u : 0);
	uint32_t ack = (uint32_t)(in[5] << 8 | in[6]) * ((in[0] & 2) ? 1448 : 1) +
		       (in[0] & 4 ? 0xfffff000u : 0);
	uint32_t len = in[7] & 0x80 ? 0 : (uint32_t)(in[7] * 97), total;

	memset(frame, 0, 54 + 40);
	memcpy(frame, head, sizeof(head));
	frame[18] = in[8];
	frame[19] = in[9];
	frame[29] = (uint8_t)(1 + from);
	frame[33] = (uint8_t)(2 - from);
	frame[34 + 1 + (from ? 2 : 0)] = (uint8_t)(1 + (in[0] >> 6));
	frame[38 + 0] = (uint8_t)(seq >> 24);
	frame[39] = (uint8_t)(seq >> 16);
	frame[40] = (uint8_t)(seq >> 8);
	frame[41] = (uint8_t)seq;
	frame[42] = (uint8_t)(ack >> 24);
	frame[43] = (uint8_t)(ack >> 16);
	frame[44] = (uint8_t)(ack >> 8);
	frame[45] = (uint8_t)ack;
	frame[46] = (uint8_t)((5 + header / 4) << 4);
	frame[47] = in[1] & 0x3f;
	frame[48] = in[2];
	frame[49] = in[10];
	if (header) {
		frame[54] = in[11] & 1 ? 5 : 8; /* SACK or time stamps */
		frame[55] = 10;
		memcpy(frame + 56, in + 11, 5);
	}
	total = 40 + header + len;
	frame[16] = (uint8_t)(total >> 8);
	frame[17] = (uint8_t)total;
	*now += in[12] & 0x80 ? (uint64_t)in[13] << (in[12] & 31) : (uint64_t)in[13] * 1000;
	if (in[12] == 0x7f)
		*now = *now > 5000000000ull ? *now - 5000000000ull : 1;
	*p = (struct cap_packet){.time_ns = *now,
				 .data = frame,
				 .captured = 54 + header,
				 .length = 14 + total,
				 .interface = in[14] & 1,
				 .link = LINK_ETHERNET};
}

static void nothing(void *ctx, const char *kind, const char *text)
{
	must(*kind && *text);
}

static void check_flow(const struct flow *f)
{
	struct verdict v = verdict_of(f);
	char text[1024];
	double sum = 0;
	json_t *o;
	unsigned i, end;

	for (i = 0; i < CAUSES; i++) {
		must(v.share[i] >= 0 && v.share[i] <= 1.0000001);
		sum += v.share[i];
	}
	must(!v.total_ns || (sum > 0.999999 && sum < 1.000001));
	for (end = 0; end < 2; end++) {
		const struct direction *d = &f->dir[end];

		must(d->n_intervals <= INTERVALS_MAX);
		for (i = 0; i < d->n_intervals; i++)
			must(d->intervals[i].start_ns < d->intervals[i].end_ns &&
			     d->intervals[i].cause < CAUSES);
		must(d->fresh <= d->payload);
	}
	findings_of(f, nothing, NULL);
	if (f->dir[v.from].fresh)
		cause_of(v.limit)->remedy(f, v.from, text, sizeof(text));
	o = report_json_flow(f);
	must(o);
	json_decref(o);
}

/* What is told while it goes on. */
static void check_progress(struct diagnosis *d)
{
	size_t i, n;
	struct progress *all = diagnosis_progress(d, &n);

	must(n <= 3);
	for (i = 0; i < n; i++) {
		must(all[i].from <= 1 && all[i].limit < CAUSES);
		must(all[i].share >= 0 && all[i].share <= 1.0000001);
		must(all[i].bytes <= all[i].f->dir[all[i].from].fresh);
	}
	free(all);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t frame[54 + 40];
	const struct flow **all;
	struct diagnosis *d;
	struct cap_packet p;
	struct err e;
	uint64_t now = 1000000000000ull;
	size_t i, n;

	d = diagnosis_new(3, 7, NULL, &e);
	must(d);
	for (i = 0; i + RECORD <= size; i += RECORD) {
		make_packet(data + i, &now, frame, &p);
		diagnosis_packet(d, &p);
		if (i / RECORD % 8 == 7)
			check_progress(d);
	}
	diagnosis_end(d);
	all = diagnosis_flows(d, &n);
	must(n <= 3);
	for (i = 0; i < n; i++)
		check_flow(all[i]);
	free(all);
	diagnosis_free(d);
	return 0;
}
