/* SPDX-License-Identifier: GPL-3.0-or-later */
/* direction.h - one way through the line: from a frame's arrival to its fate, pure */
#ifndef SHAPER_DIRECTION_H
#define SHAPER_DIRECTION_H

#include "lib/counter.h"
#include "lib/gso.h"
#include "lib/hist.h"
#include "shaper/departures.h"
#include "shaper/frame_log.h"
#include "shaper/impair.h"
#include "shaper/queue.h"
#include "shaper/rate.h"
#include "shaper/store.h"

#include <stdbool.h>
#include <stdint.h>

enum { AB, BA, DIRECTIONS };

/* What a direction is to do to its frames. Immutable once in use. */
struct direction_conf {
	struct impair_conf impair; /* delay, loss, duplication, corruption, reordering */
	struct rate_conf rate;
	struct queue_conf queue;
	bool frame_check;	/* corrupted frames are dropped, as by a NIC */
	bool reorder_by_jitter; /* a frame may overtake one that was delayed longer */
};

/* What is counted; wire frames, except where it says otherwise. Other threads read it. */
struct direction_counters {
	counter frames_in, bytes_in;
	counter frames_out, bytes_out;
	counter verdicts[FRAME_VERDICTS]; /* FRAME_SENT counts copies too */
	counter duplicated, corrupted, reordered;
	counter undivided; /* super-frames of kinds that cannot be split: one fate for all of it */
	counter queue_bytes, queue_frames, queue_bytes_max; /* of the bottleneck queue, now */
	counter flight_frames, buffer_bytes;		    /* now */
	struct hist delay_ns;				    /* given: from arrival to departure */
	struct hist late_ns;  /* of it, what nobody asked for: from due to departure */
	struct hist queue_ns; /* of it, spent in the bottleneck queue */
};

struct direction {
	const struct direction_conf *conf;
	uint64_t seed;
	unsigned index; /* AB or BA */
	struct store store;
	struct impair impair;
	struct rate rate;
	struct queue queue;
	struct departures departures;
	struct direction_counters *counters;
	struct frame_log_ring *log; /* NULL: none */
	bool whole;		    /* super-frames need not be split */
	uint64_t number;	    /* of the last wire frame that came */
	uint64_t last_arrival_ns;
	uint64_t last_due_ns; /* of those that keep order */
	uint32_t super;	      /* key of the last super-frame that was split */
	uint64_t floor_ns;    /* no frame is due earlier than this after its serialisation began */
};

int direction_init(struct direction *d, const struct direction_conf *conf, uint64_t seed,
		   unsigned index, uint64_t buffer, uint64_t limit, struct direction_counters *c,
		   struct frame_log_ring *log, uint64_t now_ns, struct err *e);
void direction_abandon(struct direction *d);
void direction_release(struct direction *d);
void direction_update(struct direction *d, const struct direction_conf *conf, uint64_t now_ns);
void direction_arrive(struct direction *d, const struct frame *f, uint64_t arrival_ns);
void direction_advance(struct direction *d, uint64_t now_ns);
uint64_t direction_next(const struct direction *d);
struct held *direction_pop(struct direction *d, uint64_t now_ns);
void direction_done(struct direction *d, struct held *h, enum frame_verdict verdict,
		    uint64_t departure_ns);
const char *direction_name(unsigned index);
const char *frame_verdict_name(enum frame_verdict v);
const char *frame_verdict_text(enum frame_verdict v);

#endif
