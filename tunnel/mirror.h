/* SPDX-License-Identifier: GPL-3.0-or-later */
/* mirror.h - frames shown to `longhaul capture` as they pass through the tunnel */
#ifndef TUNNEL_MIRROR_H
#define TUNNEL_MIRROR_H

#include "lib/capring.h"
#include "tunnel/proto.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define MIRRORS_MAX 4 /* captures of one tunnel at a time */

struct tunnel;

/* Ways of a frame, as in pcapng. */
enum { MIRROR_IN = 1, MIRROR_OUT = 2 };

/* When a frame from a peer is shown. */
enum mirror_stage { MIRROR_BEFORE_FROB, MIRROR_AFTER_FROB };

/* One capture. Made and freed by the main thread; each worker writes into a ring of its own. */
struct mirror {
	uint32_t id;
	int fd; /* of the rings' memory */
	uint8_t *memory;
	size_t size;
	uint64_t ports, peers; /* sets of indices */
	uint32_t snaplen;
	enum mirror_stage stage;
	struct capring_writer rings[WORKERS_MAX];
	uint64_t read_ns; /* when the reader was last seen to read, or had nothing to */
	uint64_t read_sum;
	bool stopping;
	_Atomic unsigned users; /* workers that may write */
};

/* A worker's: what it shows frames to. */
struct mirrors {
	struct mirror *at[MIRRORS_MAX];
	unsigned n;
	unsigned worker;
	uint64_t now_ns; /* since 1970, of the batch; 0: not asked for yet */
};

void mirror_port(struct mirrors *m, unsigned port, unsigned way, const struct iovec *iov,
		 size_t iovcnt, uint32_t len);
void mirror_peer(struct mirrors *m, unsigned peer, unsigned way, enum mirror_stage stage,
		 const struct iovec *iov, size_t iovcnt, uint32_t len);
void mirror_add(struct mirrors *m, struct mirror *what);
void mirror_remove(struct mirrors *m, struct mirror *what);

json_t *mirror_request(struct tunnel *t, const json_t *request);
void mirror_tick(struct tunnel *t);
void mirror_free_all(struct tunnel *t);

#endif
