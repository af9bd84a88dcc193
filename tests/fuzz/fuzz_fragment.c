// SPDX-License-Identifier: GPL-3.0-or-later
/* fuzz_fragment.c - whatever a peer sends in fragments: bounded, and whole frames are what was sent
 */

/*
 * The input is steps. Each begins with an octet:
 *
 *	0-0xef  a fragment follows: frame (1 octet: id 0 to 15, bit 4 session,
 *	        bit 5 worker, bit 6 tag, bit 7 flag), offset, total and length
 *	        (2 octets each, big-endian). Bits 0 and 1 are its ECN codepoint.
 *	0xf0-   time passes: (octet - 0xf0) × 300 ms
 *	0xff    frames that were handed out are released
 *
 * The bytes of a frame are a function of its id, session and worker and of
 * where they stand, so that a whole one can be checked.
 */
#include "tests/fuzz/must.h"
#include "tunnel/fragment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEP 8 /* octets of a fragment's step */

/* Never what ASan fills fresh memory with. */
static uint8_t byte_at(uint8_t frame, uint32_t at)
{
	uint8_t b = (uint8_t)((frame & 0x3f) * 37 + at * 11 + (at >> 8));

	return b == 0xbe ? 0xbf : b;
}

static void check_whole(const struct reassembled *whole, uint8_t frame, uint32_t total)
{
	uint32_t i;

	must(whole->len == total && total >= ETH_HDR_LEN);
	for (i = 0; i < total; i++)
		must(whole->data[i] == byte_at(frame, i));
}

static void take(struct reassembly *r, const uint8_t *step, uint64_t now)
{
	struct fragment_arrival a = {
		.session = 7 + (step[1] >> 4 & 1),
		.worker = step[1] >> 5 & 1,
		.tag = step[1] >> 6 & 1,
		.flags = step[1] >> 7,
		.ecn = step[0] & 3,
		.at = {step[1] & 15u, load_be16(step + 2), load_be16(step + 4)},
		.len = load_be16(step + 6),
	};
	size_t before = reassembly_frames(r);
	struct reassembly_losses lost = {0};
	struct reassembled whole;
	enum fragment_verdict v;
	uint8_t *bytes = malloc(a.len ? a.len : 1); /* so that a read beyond is seen */
	uint32_t i;

	must(bytes);
	for (i = 0; i < a.len; i++)
		bytes[i] = byte_at(step[1], a.at.offset + i);
	a.data = bytes;
	v = reassembly_add(r, &a, now, &whole, &lost);
	free(bytes);
	must(reassembly_frames(r) <= REASSEMBLY_FRAMES && reassembly_bytes(r) <= REASSEMBLY_BYTES);
	must(lost.expired + lost.evicted <= before);
	before -= lost.expired + lost.evicted;
	switch (v) {
	case FRAGMENT_COMPLETE:
		check_whole(&whole, step[1], a.at.total);
		must(reassembly_frames(r) == before || reassembly_frames(r) == before - 1);
		break;
	case FRAGMENT_HELD:
		must(reassembly_frames(r) == before || reassembly_frames(r) == before + 1);
		break;
	case FRAGMENT_MALFORMED:
	case FRAGMENT_DUPLICATE: must(reassembly_frames(r) == before); break;
	case FRAGMENT_OVERLAP:
	case FRAGMENT_INCONSISTENT:
	case FRAGMENT_NO_ROOM: must(reassembly_frames(r) == before - 1); break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reassembly *r = reassembly_new();
	uint64_t now = 1000;
	uint32_t gone;

	must(r);
	while (size) {
		if (data[0] < 0xf0) {
			if (size < STEP)
				break;
			take(r, data, now);
			data += STEP;
			size -= STEP;
			continue;
		}
		if (data[0] == 0xff) {
			reassembly_release(r);
		} else {
			size_t before = reassembly_frames(r);

			now += (data[0] - 0xf0u) * 300000000ull;
			gone = reassembly_expire(r, now);
			must(reassembly_frames(r) == before - gone);
		}
		data++;
		size--;
	}
	must(reassembly_expire(r, now + 2 * REASSEMBLY_TIMEOUT_NS) <= REASSEMBLY_FRAMES);
	must(!reassembly_frames(r) && !reassembly_bytes(r));
	reassembly_free(r);
	return 0;
}
