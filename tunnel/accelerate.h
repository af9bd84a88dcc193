/* SPDX-License-Identifier: GPL-3.0-or-later */
/* accelerate.h - split TCP within a tunnel: what accel/ asks of it */
#ifndef TUNNEL_ACCELERATE_H
#define TUNNEL_ACCELERATE_H

#include "accel/accel.h"
#include "lib/err.h"

#include <stdbool.h>
#include <stdint.h>

#define ACCELERATE_TAPS_MAX 256

struct tunnel;

/* What a peer had been sent when its rate was last divided. */
struct accelerate_share {
	uint64_t at_ns, sent;
};

/* A tunnel's split TCP. */
struct accelerate {
	struct accel *accel;			 /* NULL: nothing is accelerated */
	uint64_t tags;				 /* set of indices that are to be, here */
	_Atomic uint64_t agreed[ACCEL_TAGS_MAX]; /* by peer: those that it accelerates too */
	_Atomic uint64_t connected;		 /* set of peers of which that is known */
	char error[256];			 /* why it does not work here; "": it does */
	struct {
		int fds[64];	     /* by worker */
	} taps[ACCELERATE_TAPS_MAX]; /* those there were before the workers */
	unsigned n_taps;
	struct accelerate_share shares[ACCEL_PEERS_MAX]; /* accel's thread's */
};

void accelerate_init(struct tunnel *t);
void accelerate_start(struct tunnel *t);
void accelerate_stop(struct tunnel *t);
void accelerate_agree(struct tunnel *t, unsigned peer, uint64_t tags, bool known);

static inline bool accelerate_is_on(const struct accelerate *a, unsigned tag)
{
	return a->accel && a->tags >> tag & 1;
}

#endif
