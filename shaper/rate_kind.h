/* SPDX-License-Identifier: GPL-3.0-or-later */
/* rate_kind.h - what a kind of rate must do; for rate*.c alone */
#ifndef SHAPER_RATE_KIND_H
#define SHAPER_RATE_KIND_H

#include "shaper/rate.h"

struct rate_ops {
	const char *prefix; /* what its specification begins with; "" takes all that is left */
	/* Reads what follows the prefix into a configuration of zeros. 0 or -errno. */
	int (*parse)(const char *rest, struct rate_conf *c, struct err *e);
	bool (*equal)(const struct rate_conf *a, const struct rate_conf *b);
	uint64_t (*average)(const struct rate_conf *c); /* bit/s */
	/* Puts @bytes on the wire at @start_ns, which is not before free_ns, and sets that. */
	void (*send)(struct rate *r, uint64_t bytes, uint64_t start_ns);
};

extern const struct rate_ops rate_trace_ops;

int rate_refuse(const char *spec, struct err *e);

void rate_trace_hold(struct rate_trace *t);
void rate_trace_release(struct rate_trace *t);

#endif
