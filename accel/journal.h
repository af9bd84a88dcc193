/* SPDX-License-Identifier: GPL-3.0-or-later */
/* journal.h - accelerated connections, remembered across a crash */
#ifndef ACCEL_JOURNAL_H
#define ACCEL_JOURNAL_H

#include "accel/record.h"
#include "lib/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JOURNAL_MAGIC	 "LHFLOWS\n"
#define JOURNAL_VERSION	 1
#define JOURNAL_SLOTS	 65536
#define JOURNAL_HDR_LEN	 64
#define JOURNAL_SLOT_LEN 64

/* One connection: as the sites name it, and which of its hosts is here. */
struct journal_entry {
	struct tuple tuple;
	bool client_here;
};

void journal_header_store(uint8_t p[JOURNAL_HDR_LEN]);
bool journal_header_valid(const uint8_t p[JOURNAL_HDR_LEN], size_t file_len);
void journal_slot_store(uint8_t p[JOURNAL_SLOT_LEN], const struct journal_entry *e);
bool journal_slot_parse(const uint8_t p[JOURNAL_SLOT_LEN], struct journal_entry *e);

struct journal;

struct journal *journal_open(const char *dir, const char *name, bool *was_there, struct err *e);
size_t journal_each(struct journal *j,
		    bool (*keep)(void *ctx, int slot, const struct journal_entry *e), void *ctx);
int journal_add(struct journal *j, const struct journal_entry *e);
void journal_remove(struct journal *j, int slot);
void journal_close(struct journal *j, bool unlink_it);

#endif
