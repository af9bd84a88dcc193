// SPDX-License-Identifier: GPL-3.0-or-later
/* fuzz_stream.c - whatever comes on a stream, or stands in a journal, is taken apart within its
 * bounds */
#include "accel/journal.h"
#include "accel/life.h"
#include "accel/record.h"
#include "tests/fuzz/must.h"

#include <stdlib.h>
#include <string.h>

/* What a record says is read, and what was read is written and must be the same bytes. */
static void read_record(const struct record *r, const uint8_t *payload)
{
	uint8_t back[RECORD_CTL_MAX];
	struct open_record open;
	struct opened_record opened;
	struct refused_record refused;
	struct credit_record credit;
	struct tuple t;
	uint32_t at;

	must(r->len <= RECORD_CTL_MAX);
	switch (r->type) {
	case RECORD_OPEN:
		if (open_parse(payload, &open)) {
			open_store(back, &open);
			must(!memcmp(back, payload, OPEN_LEN));
		}
		break;
	case RECORD_OPENED:
		if (opened_parse(payload, &opened)) {
			opened_store(back, &opened);
			must(!memcmp(back, payload, OPENED_LEN));
		}
		break;
	case RECORD_CREDIT:
		if (credit_parse(payload, &credit)) {
			credit_store(back, &credit);
			must(!memcmp(back, payload, CREDIT_LEN));
		}
		break;
	case RECORD_REFUSED:
		if (refused_parse(payload, &refused)) {
			refused_store(back, &refused);
			must(!memcmp(back, payload, REFUSED_LEN));
		}
		break;
	case RECORD_TUPLES:
		must(r->len % TUPLE_LEN == 0);
		for (at = 0; at < r->len; at += TUPLE_LEN)
			if (tuple_parse(payload + at, &t)) {
				tuple_store(back, &t);
				must(!memcmp(back, payload + at, TUPLE_LEN));
			}
		break;
	}
}

/* Reads it all in pieces of @step. Returns a digest of what was found. */
static uint64_t take_apart(const uint8_t *data, size_t size, size_t step)
{
	struct record_reader *r = calloc(1, sizeof(*r));
	uint64_t digest = 1469598103934665603u;
	enum record_event ev = RECORD_MORE;
	size_t at, n, left, i;

	for (at = 0; at < size && ev != RECORD_BAD; at += n) {
		uint8_t *exact;
		const uint8_t *p;

		n = size - at < step ? size - at : step;
		exact = malloc(n);
		memcpy(exact, data + at, n);
		p = exact;
		left = n;
		while ((ev = record_next(r, &p, &left)) != RECORD_MORE && ev != RECORD_BAD) {
			if (ev == RECORD_PIECE)
				for (i = 0; i < r->piece_len; i++)
					digest = (digest ^ r->piece[i] ^ (r->offset + i)) *
						 1099511628211u;
			else
				read_record(&r->now, r->payload);
			if (ev == RECORD_WHOLE)
				digest = (digest ^ r->now.type ^ r->now.len) * 1099511628211u;
		}
		free(exact);
	}
	free(r);
	return digest ^ (ev == RECORD_BAD);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t slot[JOURNAL_SLOT_LEN], back[JOURNAL_SLOT_LEN];
	struct life near = {.role = LIFE_NEAR, .phase = LIFE_HELD};
	struct journal_entry e;
	size_t i;

	if (size > 1 << 17)
		return 0;
	must(take_apart(data, size, size ? size : 1) == take_apart(data, size, 7));
	for (i = 0; i < size; i++)
		life_next(&near, (enum life_event)(data[i] % LIFE_EVENT_COUNT));
	if (size < JOURNAL_SLOT_LEN)
		return 0;
	memcpy(slot, data, sizeof(slot));
	if (journal_slot_parse(slot, &e)) {
		journal_slot_store(back, &e);
		back[0] = 1;
		must(!memcmp(slot, back, sizeof(slot)));
	}
	if (size >= JOURNAL_HDR_LEN)
		journal_header_valid(data, size);
	return 0;
}
