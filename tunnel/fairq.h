/* SPDX-License-Identifier: GPL-3.0-or-later */
/* fairq.h - frames that wait for one bottleneck: flows take turns, sparse ones first; pure */
#ifndef TUNNEL_FAIRQ_H
#define TUNNEL_FAIRQ_H

#include <stdbool.h>
#include <stdint.h>

#define FAIRQ_FLOWS 256

/* What waits. Lives at the beginning of its owner's structure. */
struct fairq_item {
	struct fairq_item *next;
	uint32_t cost;	 /* bytes on the wire */
	uint32_t frames; /* wire frames inside */
};

/* The frames of one flow, in order. */
struct fairq_flow {
	struct fairq_item *head, **tail; /* tail is set while there is a head */
	struct fairq_flow *next;	 /* in its round */
	uint64_t bytes;
	int64_t credit; /* bytes it may still send in this round */
	bool listed;	/* it stands in one of the rounds */
};

/* Flows that take turns, first come first served. */
struct fairq_round {
	struct fairq_flow *head, *last;
};

struct fairq {
	uint64_t limit; /* bytes that may wait in all */
	uint64_t bytes; /* bytes that do */
	uint32_t items;
	uint32_t quantum; /* bytes a flow sends in its turn */
	struct fairq_round fresh, old;
	struct fairq_flow flows[FAIRQ_FLOWS];
};

void fairq_init(struct fairq *q, uint64_t limit, uint32_t quantum);
struct fairq_item *fairq_put(struct fairq *q, struct fairq_item *item, uint64_t flow);
struct fairq_item *fairq_take(struct fairq *q);

#endif
