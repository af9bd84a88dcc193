/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cause.h - what can limit a transfer: one rule a file, all in one table */
#ifndef CAPTURE_CAUSE_H
#define CAPTURE_CAUSE_H

#include "capture/flow.h"

/* What a rule may look at: one round trip of a sender, and what was before it. */
struct evidence {
	const struct flow *f;
	unsigned from; /* the sender's end */
	const struct direction *d;
	const struct track *t;
	const struct epoch *e;
	uint64_t rtt_ns;   /* least, end to end */
	uint64_t queue_ns; /* that every packet of the epoch waited more than the luckiest ever */
	uint64_t wait_ns;  /* that they waited in the mean */
	uint32_t mss;
};

struct cause {
	const char *name;
	const char *rule;   /* one sentence, with the thresholds */
	const char *source; /* where it is from */
	/* Whether the time with data in flight in this epoch is this one's. NULL: it is told by the
	 * clock, not by a rule. */
	bool (*limits)(const struct evidence *v);
	/* Whether what happened before still limits, if no rule finds anything else. NULL: never.
	 */
	bool (*lingers)(const struct evidence *v);
	/* Whether an epoch just before the one that it limits was its own, too, though it had to be
	 * judged otherwise: it takes some of them to be sure. NULL: never. */
	bool (*includes)(const struct evidence *v, const struct epoch *before);
	/* Highest rate it allows, bits a second; 0: unknown. NULL: it has none. */
	double (*ceiling)(const struct flow *f, unsigned from);
	/* What to do about it: whole sentences. */
	void (*remedy)(const struct flow *f, unsigned from, char *text, size_t len);
};

extern const struct cause cause_receive_window, cause_send_buffer, cause_application,
	cause_congestion, cause_path, cause_start, cause_nagle_delayed_ack, cause_zero_window,
	cause_pmtu_black_hole, cause_unknown;

const struct cause *cause_of(unsigned id);
unsigned cause_judge(const struct evidence *v);

/* The epoch @back before this one; NULL if it is not kept, or belongs to an earlier busy time. */
const struct epoch *cause_past(const struct evidence *v, unsigned back);
bool cause_goes_on(const struct evidence *v, unsigned judged);
bool cause_stands_still(const struct evidence *v);
bool cause_alike(uint32_t one, uint32_t other, uint32_t slack);
bool cause_own_clock(const struct evidence *v);
bool cause_by_own_clock(const struct evidence *v, const struct epoch *e);
uint64_t cause_duration(const struct epoch *e);
double cause_mean_rtt_s(const struct flow *f);
double cause_rate(const struct direction *d);
char *cause_rate_text(char *buf, size_t len, double bps);
char *cause_bytes_text(char *buf, size_t len, uint64_t bytes);

#endif
