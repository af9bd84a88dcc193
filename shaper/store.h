/* SPDX-License-Identifier: GPL-3.0-or-later */
/* store.h - memory of the frames in flight */
#ifndef SHAPER_STORE_H
#define SHAPER_STORE_H

#include "lib/err.h"
#include "lib/packet.h"
#include "shaper/queue.h"

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is done with a frame once its serialisation has ended. */
enum fate {
	FATE_FORWARD,
	FATE_LOSS,  /* the loss model takes it */
	FATE_CHECK, /* it was corrupted, and the far NIC's frame check would drop it */
};

/* A frame in flight, from its arrival until it has left. */
struct held {
	struct queue_item queue; /* arrival and length; its next links whatever list it is in */
	uint64_t number;	 /* of its first wire frame in its direction, from 1 */
	uint64_t delay_ns;	 /* drawn for it, after serialisation */
	uint64_t due_ns;	 /* when it is to leave, once it is out of the queue */
	uint64_t order;		 /* among those due at one moment */
	uint64_t hash;		 /* of its invariant bytes; 0 where nobody asks */
	struct held *twin;	 /* its duplicate, which leaves the queue with it */
	uint32_t frames;     /* wire frames inside: more than 1 where nothing tells them apart */
	uint32_t header_len; /* …and each has so many bytes of headers */
	uint32_t key;	     /* of the super-frame it came in; 0: none */
	uint32_t backlog;    /* bytes that waited in the queue when it came */
	uint8_t fate;	     /* enum fate */
	bool corrupted, reordered, duplicate;
	struct virtio_net_hdr vnet;
	uint8_t data[]; /* queue.len bytes, none if it will not be forwarded */
};

static_assert(offsetof(struct held, queue) == 0, "an item is its frame");

struct chunk;

/* One direction's frames in flight. Its thread's own. */
struct store {
	struct chunk *current; /* that frames are put into */
	struct chunk *spare;   /* empty ones */
	uint64_t bytes;	       /* of all chunks */
	uint64_t limit;	       /* it does not grow beyond */
	uint64_t held;	       /* frames */
};

/* The frame that an item of a list is; NULL of NULL. */
static inline struct held *store_held(struct queue_item *item)
{
	return (struct held *)item;
}

int store_init(struct store *s, uint64_t bytes, uint64_t limit, struct err *e);
struct chunk *store_prepare(uint64_t bytes, uint64_t *got);
void store_give(struct store *s, struct chunk *chunks, uint64_t bytes);
void store_release(struct store *s);
struct held *store_add(struct store *s, uint32_t len);
void store_free(struct store *s, struct held *h);

#endif
