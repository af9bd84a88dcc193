/* SPDX-License-Identifier: GPL-3.0-or-later */
/* capring.h - frames handed to another process through shared memory, or dropped and counted */
#ifndef LIB_CAPRING_H
#define LIB_CAPRING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define CAPRING_HEADER 4096 /* bytes before a ring's data: a page */

/* What both sides see. Positions only grow; the place of one is its remainder by the size. */
struct capring_shared {
	_Alignas(64) _Atomic uint64_t written; /* the writer's */
	_Atomic uint64_t dropped;	       /* frames there was no room for */
	_Alignas(64) _Atomic uint64_t read;    /* the reader's */
};

/* A frame in the ring, followed by its first bytes and padding to a multiple of 8. */
struct capring_record {
	uint64_t time_ns; /* since 1970 */
	uint32_t captured, length;
	uint32_t point; /* where it was seen: a number both sides know */
	uint8_t way;	/* 1 in, 2 out */
	uint8_t zero[3];
};

struct capring_writer {
	struct capring_shared *shared;
	uint8_t *data;
	uint64_t size, written;
};

struct capring_reader {
	struct capring_shared *shared;
	const uint8_t *data;
	uint64_t size, read;
};

void capring_writer_init(struct capring_writer *w, void *memory, uint64_t size);
void capring_reader_init(struct capring_reader *r, void *memory, uint64_t size);
bool capring_put(struct capring_writer *w, const struct capring_record *record,
		 const struct iovec *iov, size_t iovcnt);
int capring_peek(struct capring_reader *r, struct capring_record *record, const uint8_t **data);
void capring_done(struct capring_reader *r, const struct capring_record *record);

#endif
