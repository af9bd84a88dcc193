/* SPDX-License-Identifier: GPL-3.0-or-later */
/* queue.h - the bottleneck's queue and what it drops: pure, its clock is the caller's */
#ifndef SHAPER_QUEUE_H
#define SHAPER_QUEUE_H

#include "lib/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QUEUE_DEFAULT_LIMIT	"250ms"
#define QUEUE_CODEL_TARGET_NS	5000000ull   /* RFC 8289, 4.3 */
#define QUEUE_CODEL_INTERVAL_NS 100000000ull /* RFC 8289, 4.3 */
#define QUEUE_MTU		1514u	     /* bytes of a frame that is waited for in any case */

/* Why a frame is dropped. */
enum queue_drop {
	QUEUE_DROP_FULL,  /* there was no room */
	QUEUE_DROP_CODEL, /* frames have waited too long for too long */
};

enum queue_discipline {
	QUEUE_TAIL,  /* full: the newcomer is dropped */
	QUEUE_HEAD,  /* full: those that have waited longest are dropped, for the newcomer */
	QUEUE_CODEL, /* RFC 8289; full: the newcomer is dropped */
};

/* A frame that waits: the first member of the caller's frame. */
struct queue_item {
	struct queue_item *next;
	uint64_t arrival_ns;	 /* when it was pushed; set by queue_push() */
	uint32_t len;		 /* bytes; set by the caller */
	enum queue_drop dropped; /* why it was handed back as dropped */
};

/* What was asked for. 0 is no limit of that kind; all zeros is an unlimited queue. */
struct queue_conf {
	uint64_t limit_bytes;	    /* bytes that may wait */
	uint64_t limit_frames;	    /* frames that may wait */
	uint64_t limit_ns;	    /* time that the bytes waiting may take at the line's rate */
	int discipline;		    /* enum queue_discipline */
	uint64_t codel_target_ns;   /* waiting that is all right; 0: 5 ms */
	uint64_t codel_interval_ns; /* how long waiting may be above target; 0: 100 ms */
};

struct queue {
	struct queue_conf conf;
	uint64_t most_bytes; /* limit_bytes and limit_ns together */
	struct queue_item *head;
	struct queue_item **tail; /* where the next one is linked */
	uint64_t bytes;
	uint64_t frames;
	struct codel {
		uint64_t first_above_ns; /* when waiting will have been too long for too long; 0:
					    it is not */
		uint64_t drop_next_ns;	 /* when the next one is dropped */
		uint32_t count;		 /* how many since dropping began */
		uint32_t last_count;	 /* count when it began */
		uint32_t mtu;		 /* longest frame there was */
		bool dropping;
	} codel;
};

extern const char *const queue_disciplines[];

int queue_parse_limit(const char *spec, struct queue_conf *c, struct err *e);

void queue_init(struct queue *q, const struct queue_conf *c, uint64_t bps);
void queue_update(struct queue *q, const struct queue_conf *c, uint64_t bps);
struct queue_item *queue_push(struct queue *q, struct queue_item *item, uint64_t now_ns);
struct queue_item *queue_pop(struct queue *q, uint64_t now_ns, struct queue_item **dropped);
struct queue_item *queue_head(const struct queue *q);
uint64_t queue_bytes(const struct queue *q);
uint64_t queue_frames(const struct queue *q);

#endif
