/* SPDX-License-Identifier: GPL-3.0-or-later */
/* rate.h - how long a frame takes onto the wire: pure, its clock is the caller's */
#ifndef SHAPER_RATE_H
#define SHAPER_RATE_H

#include "lib/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RATE_MIN 1ull		  /* bit/s */
#define RATE_MAX 1000000000000ull /* bit/s: what a nanosecond can still tell apart */

/* Bytes that one line of a Mahimahi trace lets pass: an IP packet of 1500 and mahimahi's TUN header
 * (PACKET_SIZE in its link_queue.hh). */
#define RATE_TRACE_MTU 1504u

enum rate_kind {
	RATE_NONE,  /* no time at all */
	RATE_FIXED, /* so many bits a second */
	RATE_TRACE, /* when a Mahimahi trace says */
};

/* What a frame costs on the wire beside the bytes that are captured. */
enum overhead {
	OVERHEAD_NONE,	   /* nothing */
	OVERHEAD_ETHERNET, /* padding, preamble, FCS, gap: IEEE 802.3 */
	OVERHEAD_ATM,	   /* AAL5 in cells: ITU-T I.363.5 */
};

struct rate_trace;

/* What was asked for. All zeros is no limit. */
struct rate_conf {
	int kind;		  /* enum rate_kind */
	uint64_t bps;		  /* RATE_FIXED: bits a second */
	int overhead;		  /* enum overhead */
	struct rate_trace *trace; /* RATE_TRACE: owned, immutable */
};

/* A line. Its trace is the configuration's, which must live until the line is given another. */
struct rate {
	struct rate_conf conf;
	uint64_t free_ns;   /* when the last frame is out */
	uint64_t remainder; /* RATE_FIXED: bps-ths of a nanosecond by which it is out later */
	uint64_t base_ns;   /* RATE_TRACE: when the trace began */
	uint64_t round;	    /* how often it has been repeated */
	size_t next;	    /* the opportunity that is used now */
	uint32_t left;	    /* bytes that it still takes */
};

extern const char *const rate_overheads[];

int rate_parse(const char *spec, struct rate_conf *c, struct err *e);
void rate_copy(struct rate_conf *to, const struct rate_conf *from);
void rate_release(struct rate_conf *c);

uint64_t rate_wire_len(const struct rate_conf *c, uint32_t len);
uint64_t rate_average(const struct rate_conf *c);

void rate_init(struct rate *r, const struct rate_conf *c, uint64_t now_ns);
void rate_update(struct rate *r, const struct rate_conf *c, uint64_t now_ns);
uint64_t rate_send(struct rate *r, uint32_t len, uint64_t start_ns);
uint64_t rate_free(const struct rate *r);

#endif
