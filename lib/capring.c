// SPDX-License-Identifier: GPL-3.0-or-later
/* capring.c - frames handed to another process through shared memory, or dropped and counted */
/*
 * Theory of operation
 *
 * One writer, one reader, no system calls and no waiting: where a frame does
 * not fit, the writer counts it and goes on. A record is never cut in two by
 * the ring's end; what is left there is skipped, with a record whose captured
 * length is SKIP if there is room for one.
 *
 * Neither side trusts the other. The writer keeps its own position and takes
 * from the shared memory only the reader's, which can at worst make the ring
 * look full, or be overwritten. The reader checks every length.
 */
#include "lib/capring.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#define SKIP UINT32_MAX

static_assert(sizeof(struct capring_record) == 24, "records are laid out alike on both sides");
static_assert(sizeof(struct capring_shared) <= CAPRING_HEADER, "the header is a page");

static uint64_t padded(uint64_t n)
{
	return (n + 7) & ~7ull;
}

/*
 * Makes the writer's end of a ring.
 * @memory: CAPRING_HEADER + @size bytes, zeroed; @size is a power of 2
 */
void capring_writer_init(struct capring_writer *w, void *memory, uint64_t size)
{
	*w = (struct capring_writer){
		.shared = memory, .data = (uint8_t *)memory + CAPRING_HEADER, .size = size};
}

/* Makes the reader's end of the same. */
void capring_reader_init(struct capring_reader *r, void *memory, uint64_t size)
{
	*r = (struct capring_reader){
		.shared = memory, .data = (const uint8_t *)memory + CAPRING_HEADER, .size = size};
}

static void gather(uint8_t *to, uint32_t len, const struct iovec *iov, size_t iovcnt)
{
	for (; len && iovcnt; iov++, iovcnt--) {
		uint32_t n = iov->iov_len < len ? (uint32_t)iov->iov_len : len;

		memcpy(to, iov->iov_base, n);
		to += n;
		len -= n;
	}
}

/*
 * Puts a frame into the ring.
 * @record: as it is to be read; captured bytes are taken from @iov, which has at least as many
 *
 * Returns false if there was no room; that is counted.
 */
bool capring_put(struct capring_writer *w, const struct capring_record *record,
		 const struct iovec *iov, size_t iovcnt)
{
	uint64_t read = atomic_load_explicit(&w->shared->read, memory_order_acquire);
	uint64_t used = w->written - read, at = w->written & (w->size - 1);
	uint64_t need = sizeof(*record) + padded(record->captured), skip = 0;

	if (at + need > w->size)
		skip = w->size - at;
	if (used > w->size || need + skip > w->size - used) {
		atomic_store_explicit(
			&w->shared->dropped,
			atomic_load_explicit(&w->shared->dropped, memory_order_relaxed) + 1,
			memory_order_relaxed);
		return false;
	}
	if (skip >= sizeof(*record)) {
		struct capring_record end = {.captured = SKIP};

		memcpy(w->data + at, &end, sizeof(end));
	}
	at = (w->written + skip) & (w->size - 1);
	memcpy(w->data + at, record, sizeof(*record));
	gather(w->data + at + sizeof(*record), record->captured, iov, iovcnt);
	w->written += skip + need;
	atomic_store_explicit(&w->shared->written, w->written, memory_order_release);
	return true;
}

/*
 * Looks at the next frame; it stays until capring_done().
 * Returns 1, 0 if there is none, -1 if what stands there cannot be one.
 */
int capring_peek(struct capring_reader *r, struct capring_record *record, const uint8_t **data)
{
	uint64_t written = atomic_load_explicit(&r->shared->written, memory_order_acquire);

	while (r->read != written) {
		uint64_t at = r->read & (r->size - 1), left = r->size - at;

		if (written - r->read > r->size)
			return -1;
		if (left >= sizeof(*record))
			memcpy(record, r->data + at, sizeof(*record));
		if (left < sizeof(*record) || record->captured == SKIP) {
			r->read += left;
			if (written - r->read > r->size)
				return -1;
			continue;
		}
		if (sizeof(*record) + padded(record->captured) > left ||
		    record->length < record->captured)
			return -1;
		*data = r->data + at + sizeof(*record);
		return 1;
	}
	return 0;
}

/* Gives the place of the frame that capring_peek() has shown back to the writer. */
void capring_done(struct capring_reader *r, const struct capring_record *record)
{
	r->read += sizeof(*record) + padded(record->captured);
	atomic_store_explicit(&r->shared->read, r->read, memory_order_release);
}
