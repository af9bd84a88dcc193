// SPDX-License-Identifier: GPL-3.0-or-later
/* journal.c - accelerated connections, remembered across a crash */
/*
 * Theory of operation
 *
 * A file in the state directory, mapped into memory: a header, then slots of
 * one connection each. What was written there is in the page cache and
 * outlives the process however it ends; only a crash of the machine loses it,
 * and with it /run.
 *
 *	header: magic (8), version (4), length of a slot (4), slots (4), zeros
 *	slot:   in use (1), client is here (1), zeros (6), check (8), a tuple as
 *	        in stream records (44), zeros (4)
 *
 * The check is XXH3 of the tuple and of the byte before, so that a slot which
 * was being written when the process died is not believed. A slot is taken by
 * its contents first and its mark last. All but the mark and the check is
 * validated as if it came from the network: other programs run on this
 * machine, too.
 *
 * The file is locked while it is in use, and removed at a clean end.
 */
#include "accel/journal.h"

#include "lib/packet.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define FILE_LEN (JOURNAL_HDR_LEN + (size_t)JOURNAL_SLOTS * JOURNAL_SLOT_LEN)
#define TUPLE_AT 16
#define CHECK_AT 8

struct journal {
	char path[256];
	int fd;
	uint8_t *map;
	int free_slots[JOURNAL_SLOTS];
	unsigned n_free;
};

/* Writes the header of a journal. */
void journal_header_store(uint8_t p[JOURNAL_HDR_LEN])
{
	memset(p, 0, JOURNAL_HDR_LEN);
	memcpy(p, JOURNAL_MAGIC, 8);
	store_be32(p + 8, JOURNAL_VERSION);
	store_be32(p + 12, JOURNAL_SLOT_LEN);
	store_be32(p + 16, JOURNAL_SLOTS);
}

/* Whether a file of this length that begins so is a journal of ours. */
bool journal_header_valid(const uint8_t p[JOURNAL_HDR_LEN], size_t file_len)
{
	uint8_t want[JOURNAL_HDR_LEN];

	journal_header_store(want);
	return file_len == FILE_LEN && !memcmp(p, want, sizeof(want));
}

static uint64_t check_of(const uint8_t p[JOURNAL_SLOT_LEN])
{
	return XXH3_64bits_withSeed(p + TUPLE_AT, TUPLE_LEN, p[1]);
}

/* Writes a slot, all but its mark: that is the first byte, and for the caller to write last. */
void journal_slot_store(uint8_t p[JOURNAL_SLOT_LEN], const struct journal_entry *e)
{
	memset(p, 0, JOURNAL_SLOT_LEN);
	p[1] = e->client_here;
	tuple_store(p + TUPLE_AT, &e->tuple);
	store_be64(p + CHECK_AT, check_of(p));
}

/* Reads a slot. Returns whether it holds a connection that can be. */
bool journal_slot_parse(const uint8_t p[JOURNAL_SLOT_LEN], struct journal_entry *e)
{
	static const uint8_t zeros[6];

	if (p[0] != 1 || p[1] > 1 || memcmp(p + 2, zeros, 6) ||
	    memcmp(p + TUPLE_AT + TUPLE_LEN, zeros, 4) || load_be64(p + CHECK_AT) != check_of(p))
		return false;
	e->client_here = p[1];
	return tuple_parse(p + TUPLE_AT, &e->tuple);
}

static uint8_t *slot_at(const struct journal *j, int slot)
{
	return j->map + JOURNAL_HDR_LEN + (size_t)slot * JOURNAL_SLOT_LEN;
}

/*
 * Opens an instance's journal, or begins one.
 * @was_there: set if there was one that can be believed; else nothing is known
 *             of what was accelerated before
 *
 * Returns NULL with a text.
 */
struct journal *journal_open(const char *dir, const char *name, bool *was_there, struct err *e)
{
	struct journal *j = calloc(1, sizeof(*j));
	uint8_t hdr[JOURNAL_HDR_LEN] = {0};
	struct stat st;

	if (!j) {
		err_set(e, ENOMEM, "out of memory");
		return NULL;
	}
	*was_there = false;
	snprintf(j->path, sizeof(j->path), "%s/%s.flows", dir, name);
	mkdir(dir, 0755); /* if it cannot be made, opening tells */
	j->fd = open(j->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (j->fd < 0) {
		err_set(e, errno, "%s: %s", j->path, strerror(errno));
		goto fail;
	}
	if (flock(j->fd, LOCK_EX | LOCK_NB)) {
		err_set(e, errno,
			"%s: another instance uses it; give this one a --state of its own",
			j->path);
		goto fail;
	}
	if (fstat(j->fd, &st) || !S_ISREG(st.st_mode) || st.st_uid != geteuid()) {
		err_set(e, EINVAL, "%s: not a file of ours", j->path);
		goto fail;
	}
	*was_there = pread(j->fd, hdr, sizeof(hdr), 0) == sizeof(hdr) &&
		     journal_header_valid(hdr, (size_t)st.st_size);
	if (!*was_there && (ftruncate(j->fd, 0) || ftruncate(j->fd, (off_t)FILE_LEN))) {
		err_set(e, errno, "%s: %s", j->path, strerror(errno));
		goto fail;
	}
	j->map = mmap(NULL, FILE_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, j->fd, 0);
	if (j->map == MAP_FAILED) {
		err_set(e, errno, "%s: %s", j->path, strerror(errno));
		j->map = NULL;
		goto fail;
	}
	if (!*was_there)
		journal_header_store(j->map);
	return j;
fail:
	journal_close(j, false);
	return NULL;
}

/*
 * Goes through what is in a journal that was just opened; to be called once.
 * @keep: returns whether an entry is to stay, in its slot
 * Returns how many stayed.
 */
size_t journal_each(struct journal *j,
		    bool (*keep)(void *ctx, int slot, const struct journal_entry *e), void *ctx)
{
	struct journal_entry e;
	size_t n = 0;
	int slot;

	for (slot = JOURNAL_SLOTS - 1; slot >= 0; slot--) {
		uint8_t *p = slot_at(j, slot);

		/* A page that was never written stays a hole. */
		if (p[0] && journal_slot_parse(p, &e) && keep(ctx, slot, &e)) {
			n++;
			continue;
		}
		if (p[0])
			p[0] = 0;
		j->free_slots[j->n_free++] = slot;
	}
	return n;
}

/* Writes a connection down. Returns its slot, or -ENOSPC. */
int journal_add(struct journal *j, const struct journal_entry *e)
{
	uint8_t *p;
	int slot;

	if (!j->n_free)
		return -ENOSPC;
	slot = j->free_slots[--j->n_free];
	p = slot_at(j, slot);
	journal_slot_store(p, e);
	/* The mark is written last: the compiler must not move it. */
	atomic_signal_fence(memory_order_release);
	*(volatile uint8_t *)p = 1;
	return slot;
}

/* Strikes a connection out. */
void journal_remove(struct journal *j, int slot)
{
	*(volatile uint8_t *)slot_at(j, slot) = 0;
	j->free_slots[j->n_free++] = slot;
}

/* Closes a journal; NULL is allowed. @unlink_it: nothing that is in it is needed any more */
void journal_close(struct journal *j, bool unlink_it)
{
	if (!j)
		return;
	if (j->map)
		munmap(j->map, FILE_LEN);
	if (unlink_it)
		unlink(j->path);
	if (j->fd >= 0)
		close(j->fd);
	free(j);
}
