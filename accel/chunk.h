/* SPDX-License-Identifier: GPL-3.0-or-later */
/* chunk.h - memory for bytes under way, kept for the next that need it */
#ifndef ACCEL_CHUNK_H
#define ACCEL_CHUNK_H

#include <stdint.h>

/* Room for the longest DATA record, sealed, and for the short ones that come meanwhile. */
#define CHUNK_ROOM (80u << 10)

/* This many that nobody needs are kept. */
#define CHUNKS_SPARE 64

struct chunk {
	struct chunk *next;
	uint32_t len, pos; /* bytes there are, bytes of them that are done with */
	uint8_t bytes[CHUNK_ROOM];
};

/* One thread's. */
struct chunks {
	struct chunk *spare;
	unsigned n;
};

struct chunk *chunk_take(struct chunks *c);
void chunk_give(struct chunks *c, struct chunk *one);
void chunks_free(struct chunks *c);

#endif
