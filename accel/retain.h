/* SPDX-License-Identifier: GPL-3.0-or-later */
/* retain.h - copies of what was sent on one of several streams, until the other side has it */
#ifndef ACCEL_RETAIN_H
#define ACCEL_RETAIN_H

#include "accel/chunk.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes that belong to no stripe: they must be sent again, or have arrived. */
enum { RETAIN_AGAIN = 0xfe, RETAIN_ARRIVED = 0xff };

/* Bytes that were sent on one stripe, up to an offset in the flow. */
struct retain_span {
	uint64_t end;
	uint8_t stripe; /* number of the caller's, or one of the above */
};

struct retain {
	struct chunks *from;
	struct chunk *first, *last; /* the bytes, begin…end-1 */
	uint64_t begin, end;	    /* offsets in the flow */
	uint64_t again;		    /* bytes to be sent again */
	struct retain_span *spans;  /* side by side; the first begins at begin */
	unsigned n_spans, room_spans;
};

void retain_init(struct retain *r, struct chunks *from, uint64_t begin);
void retain_release(struct retain *r);
bool retain_may_add(const struct retain *r, uint8_t stripe);
int retain_add(struct retain *r, uint8_t stripe, const uint8_t *bytes, size_t len);
void retain_taken(struct retain *r, uint64_t offset);
void retain_arrived(struct retain *r, uint8_t stripe);
void retain_lost(struct retain *r, uint8_t stripe);
bool retain_has(const struct retain *r, uint8_t stripe);
size_t retain_next(const struct retain *r, size_t max, uint64_t *offset);
int retain_send_again(struct retain *r, uint8_t stripe, uint8_t *bytes, size_t len);

#endif
