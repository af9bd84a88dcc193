/* SPDX-License-Identifier: GPL-3.0-or-later */
/* outer.h - outer transports: how frames travel between sites */
#ifndef TUNNEL_OUTER_H
#define TUNNEL_OUTER_H

#include "lib/batch.h"
#include "lib/err.h"
#include "lib/gso.h"
#include "lib/loop.h"
#include "tunnel/counters.h"

#include <stdbool.h>
#include <stdint.h>

struct tunnel;

#define OUTER_SOCKETS 2

/* One worker's end of an outer transport. Each transport's own structure begins with it. */
struct outer {
	struct tunnel *tunnel;
	struct counters *counters;
	unsigned worker;	/* whose end it is */
	int fds[OUTER_SOCKETS]; /* -1: not used */
	uint64_t now_ns;	/* of the batch; set by the worker */
};

/* frame.key of what came from a peer: which tag, from whom. */
static inline uint32_t outer_key(unsigned tag, unsigned peer)
{
	return (uint32_t)tag << 8 | peer;
}

static inline unsigned outer_key_tag(uint32_t key)
{
	return key >> 8;
}

static inline unsigned outer_key_peer(uint32_t key)
{
	return key & 0xff;
}

/* A kind of outer transport. */
struct outer_ops {
	const char *name;
	bool plain_text; /* neither authenticated nor encrypted: worth a warning */
	/* Bytes of outer IPv4 packet around an inner frame. */
	unsigned overhead;
	/* How many workers can share the work. */
	unsigned workers_max;
	/* Opens a worker's end on the tunnel's interface. Returns NULL with a text. */
	struct outer *(*open)(struct tunnel *t, unsigned worker, struct counters *c, struct err *e);
	void (*close)(struct outer *o);
	/* Reads what is waiting into @b's frames, with keys; drops counted. Returns how many
	 * messages. */
	unsigned (*receive)(struct outer *o, unsigned socket, struct batch *b);
	/*
	 * Splits a frame and queues its wire frames for a set of peers. The
	 * frame must stay until flush().
	 */
	void (*send)(struct outer *o, unsigned tag, uint64_t peers, const struct frame *f,
		     const struct packet *p);
	void (*flush)(struct outer *o);
	/* Whether a frame seen on a border port is one of the tunnel's own packets. */
	bool (*is_own)(const struct tunnel *t, const struct frame *f, const struct packet *p);
	/* Called every TICK: probes. NULL: nothing to do. */
	void (*tick)(struct outer *o);
};

#define OUTER_TICK_NS (50 * 1000000ull)

extern const struct outer_ops outer_capsulator, outer_sealed;

const struct outer_ops *outer_find(int kind);
int outer_rebind(struct outer *o, struct err *e);
uint64_t outer_kernel_drops(const struct outer *o);
enum drop outer_drop_reason(int error);

#endif
