/* SPDX-License-Identifier: GPL-3.0-or-later */
/* inorder.h - bytes of a flow that come on several streams, put in order */
#ifndef ACCEL_INORDER_H
#define ACCEL_INORDER_H

#include "accel/chunk.h"
#include "accel/stream_proto.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* So many chunks hold a window that begins anywhere in one. */
#define INORDER_CHUNKS (CREDIT_MAX / CHUNK_ROOM + 2)

/* Bytes begin…end-1 have come, and others before them have not. */
struct inorder_range {
	uint64_t begin, end;
};

struct inorder {
	struct chunks *from;
	uint64_t next; /* all bytes before this offset have come and were passed on */
	struct inorder_range *ranges; /* by offset, apart from each other */
	unsigned n_ranges, room_ranges;
	struct chunk *slots[INORDER_CHUNKS]; /* by offset ÷ CHUNK_ROOM, modulo; NULL: nothing */
};

void inorder_init(struct inorder *r, struct chunks *from, uint64_t next);
void inorder_release(struct inorder *r);
int inorder_put(struct inorder *r, uint64_t offset, const uint8_t *bytes, size_t len);
size_t inorder_direct(const struct inorder *r, uint64_t offset, size_t len, size_t *old);
size_t inorder_get(const struct inorder *r, const uint8_t **bytes);
void inorder_advance(struct inorder *r, size_t n);

#endif
