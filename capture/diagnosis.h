/* SPDX-License-Identifier: GPL-3.0-or-later */
/* diagnosis.h - packets in, what limits each TCP flow out; no I/O */
#ifndef CAPTURE_DIAGNOSIS_H
#define CAPTURE_DIAGNOSIS_H

#include "capture/cause.h"
#include "capture/flow.h"
#include "lib/err.h"

#define DIAGNOSIS_FLOWS_MAX 4000000

struct diagnosis;

/* What a diagnosis has seen altogether. */
struct diagnosis_totals {
	uint64_t packets;
	uint64_t kinds[DECAP_KINDS]; /* by enum decap */
	uint64_t flows;		     /* found */
	uint64_t evicted;	     /* for want of room, least recently used first */
	uint64_t unrecorded;	     /* segments of flows for which memory could not be had */
	uint64_t time_jumps;	     /* times the clock went back by more than a second */
	uint64_t first_ns, last_ns;
};

/* Told of each segment and of each flow that has to go; either may be NULL. */
struct diagnosis_hooks {
	void (*segment)(void *ctx, const struct flow *f, const struct segment *s);
	void (*evicted)(void *ctx, const struct flow *f);
	void *ctx;
};

struct diagnosis *diagnosis_new(size_t max_flows, uint64_t seed,
				const struct diagnosis_hooks *hooks, struct err *e);
void diagnosis_packets(struct diagnosis *d, const struct cap_packet *p, size_t n,
		       struct cap_ahead ahead);
void diagnosis_packet(struct diagnosis *d, const struct cap_packet *p);
void diagnosis_end(struct diagnosis *d);
const struct flow **diagnosis_flows(const struct diagnosis *d, size_t *n);
struct progress *diagnosis_progress(struct diagnosis *d, size_t *n);
const struct diagnosis_totals *diagnosis_totals(const struct diagnosis *d);
void diagnosis_free(struct diagnosis *d);

#endif
