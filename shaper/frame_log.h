/* SPDX-License-Identifier: GPL-3.0-or-later */
/* frame_log.h - what happened to every frame: the file format, and how records get there */
#ifndef SHAPER_FRAME_LOG_H
#define SHAPER_FRAME_LOG_H

#include "lib/counter.h"
#include "lib/err.h"

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The file: one header, then records in the order in which fates were sealed,
 * all numbers little-endian. doc/frame-log.md describes it for readers.
 */
#define FRAME_LOG_MAGIC	  "LHFRAMES"
#define FRAME_LOG_VERSION 1

/* What became of a frame. The numbers are the file's. */
enum frame_verdict {
	FRAME_SENT = 0,
	FRAME_LOST = 1,	      /* by the loss model */
	FRAME_QUEUE_FULL = 2, /* by the bottleneck queue's limit */
	FRAME_QUEUE_AQM = 3,  /* by CoDel */
	FRAME_CHECK = 4,      /* corrupted, and dropped as by a NIC's frame check */
	FRAME_LINK_DOWN = 5,  /* the interface it was to leave by was gone or down */
	FRAME_REFUSED = 6,    /* the interface it was to leave by did not take it */
	FRAME_NO_MEMORY = 7,  /* too many frames were in flight */
	FRAME_OUT_FULL = 8,   /* the queue of the interface it was to leave by was full */
	FRAME_UNFINISHED = 9, /* the line ended before the frame was through */
	FRAME_VERDICTS
};

#define FRAME_CORRUPTED 1 /* flags: bits of it were flipped */
#define FRAME_DUPLICATE 2 /* it is the copy; the original has the same number */
#define FRAME_REORDERED 4 /* it did not wait for the delay */

struct frame_log_header {
	char magic[8];
	uint32_t version;
	uint32_t record_bytes;
	uint64_t seed;
	uint64_t start_mono_ns; /* CLOCK_MONOTONIC, as all times of the records… */
	uint64_t start_real_ns; /* …and CLOCK_REALTIME at the same moment */
	uint8_t zero[24];
};

struct frame_record {
	uint64_t number; /* of the frame in its direction, from 1, in order of arrival */
	uint64_t arrival_ns;
	uint64_t due_ns; /* when the models wanted it to leave; 0: dropped before that was known */
	uint64_t departure_ns; /* when it left; 0: it did not */
	uint64_t hash;	       /* XXH3_64bits of the invariant bytes; 0 with FRAME_NO_MEMORY */
	uint32_t len;	       /* bytes from the destination MAC, without FCS */
	uint32_t backlog;      /* bytes that waited in the bottleneck queue when it came */
	uint8_t direction;     /* 0: ab, 1: ba */
	uint8_t verdict;       /* enum frame_verdict */
	uint8_t flags;
	uint8_t zero[13];
};

static_assert(sizeof(struct frame_log_header) == 64, "the file's header");
static_assert(sizeof(struct frame_record) == 64, "the file's records");

/* Records on their way from a direction's thread to the one that writes the file. */
struct frame_log_ring;

struct frame_log_ring *frame_log_ring_new(struct err *e);
void frame_log_ring_free(struct frame_log_ring *r);
void frame_log_put(struct frame_log_ring *r, const struct frame_record *record);
uint64_t frame_log_missed(const struct frame_log_ring *r);

struct frame_log;

struct frame_log *frame_log_open(const char *path, uint64_t seed, struct err *e);
int frame_log_drain(struct frame_log *l, struct frame_log_ring *r);
int frame_log_close(struct frame_log *l, struct err *e);

uint64_t frame_log_hash(const uint8_t *data, uint32_t len);

#endif
