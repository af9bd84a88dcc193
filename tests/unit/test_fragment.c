// SPDX-License-Identifier: GPL-3.0-or-later
/* test_fragment.c - frames from pieces: any order, no contradiction, bounded; time is the test's
 * own */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tunnel/fragment.h"

#include <stdlib.h>
#include <string.h>

#define FRAME 1514

static struct reassembly *r;
static struct reassembled whole;
static struct reassembly_losses lost;
static uint8_t bytes[FRAGMENTED_MAX + FRAGMENT_PAD_MAX + 1];

static int setup(void **state)
{
	size_t i;

	for (i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 31 + (i >> 8));
	r = reassembly_new();
	lost = (struct reassembly_losses){0};
	return r ? 0 : -1;
}

static int teardown(void **state)
{
	reassembly_free(r);
	return 0;
}

/* A fragment of frame @id, from memory of exactly its length. */
static struct fragment_arrival piece(uint32_t id, uint32_t total, uint32_t offset, uint32_t len)
{
	return (struct fragment_arrival){.session = 7,
					 .tag = 1,
					 .at = {id, (uint16_t)offset, (uint16_t)total},
					 .data = bytes + offset,
					 .len = len};
}

static enum fragment_verdict add_at(struct fragment_arrival a, uint64_t now)
{
	uint8_t *exact = malloc(a.len ? a.len : 1);
	enum fragment_verdict v;

	assert_non_null(exact);
	memcpy(exact, a.data, a.len);
	a.data = exact;
	v = reassembly_add(r, &a, now, &whole, &lost);
	free(exact);
	return v;
}

static enum fragment_verdict add(uint32_t id, uint32_t total, uint32_t offset, uint32_t len)
{
	return add_at(piece(id, total, offset, len), 0);
}

static void expect_whole(uint32_t len)
{
	assert_int_equal(whole.len, len);
	assert_memory_equal(whole.data, bytes, len);
	assert_int_equal(reassembly_frames(r), 0);
	assert_int_equal(reassembly_bytes(r), 0);
	reassembly_release(r);
}

static void two_halves_are_a_frame_in_either_order(void **state)
{
	assert_int_equal(add(1, FRAME, 0, 757), FRAGMENT_HELD);
	assert_int_equal(add(1, FRAME, 757, 757), FRAGMENT_COMPLETE);
	expect_whole(FRAME);
	assert_int_equal(add(2, FRAME, 757, 757), FRAGMENT_HELD);
	assert_int_equal(reassembly_frames(r), 1);
	assert_int_equal(reassembly_bytes(r), FRAME);
	assert_int_equal(add(2, FRAME, 0, 757), FRAGMENT_COMPLETE);
	expect_whole(FRAME);
}

static void one_fragment_may_hold_all(void **state)
{
	assert_int_equal(add(1, ETH_HDR_LEN, 0, ETH_HDR_LEN), FRAGMENT_COMPLETE);
	expect_whole(ETH_HDR_LEN);
}

static void the_longest_frame_arrives_from_its_many_pieces(void **state)
{
	uint32_t at, size = 501; /* 131 equal ones */

	for (at = 0; at + size < FRAGMENTED_MAX; at += size)
		assert_int_equal(add(1, FRAGMENTED_MAX, at, size), FRAGMENT_HELD);
	assert_int_equal(add(1, FRAGMENTED_MAX, at, size), FRAGMENT_COMPLETE);
	expect_whole(FRAGMENTED_MAX);
}

static void padding_behind_the_end_is_cut_off_and_bounded(void **state)
{
	assert_int_equal(add(1, 1001, 0, 501), FRAGMENT_HELD);
	assert_int_equal(add(1, 1001, 501, 501), FRAGMENT_COMPLETE);
	expect_whole(1001);
	assert_int_equal(add(2, 1000, 0, 1000 + FRAGMENT_PAD_MAX), FRAGMENT_COMPLETE);
	expect_whole(1000);
	assert_int_equal(add(3, 1000, 0, 1000 + FRAGMENT_PAD_MAX + 1), FRAGMENT_MALFORMED);
	assert_int_equal(reassembly_frames(r), 0);
}

static void impossible_sizes_are_malformed_and_take_no_room(void **state)
{
	assert_int_equal(add(1, 0, 0, 100), FRAGMENT_MALFORMED);
	assert_int_equal(add(1, ETH_HDR_LEN - 1, 0, ETH_HDR_LEN - 1), FRAGMENT_MALFORMED);
	assert_int_equal(add(1, FRAME, FRAME, 1), FRAGMENT_MALFORMED);
	assert_int_equal(add(1, FRAME, 65535, 1), FRAGMENT_MALFORMED);
	assert_int_equal(add(1, FRAME, 0, 0), FRAGMENT_MALFORMED);
	assert_int_equal(add(1, 100, 90, 1000), FRAGMENT_MALFORMED);
	assert_int_equal(reassembly_frames(r), 0);
	assert_int_equal(add(1, 65535, 65534, 1), FRAGMENT_HELD);
}

static void a_duplicate_is_refused_and_harms_nothing(void **state)
{
	assert_int_equal(add(1, FRAME, 0, 757), FRAGMENT_HELD);
	assert_int_equal(add(1, FRAME, 0, 757), FRAGMENT_DUPLICATE);
	assert_int_equal(add(1, FRAME, 100, 50), FRAGMENT_DUPLICATE);
	assert_int_equal(add(1, FRAME, 757, 757), FRAGMENT_COMPLETE);
	expect_whole(FRAME);
}

static void an_overlap_gives_the_frame_up(void **state)
{
	static const struct {
		uint32_t from, len;
	} wrong[] = {{0, 501}, {400, 200}, {999, 2}, {1400, 114}, {0, FRAME}, {200, 1000}};
	size_t i;

	for (i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		assert_int_equal(add(1, FRAME, 500, 500), FRAGMENT_HELD);
		assert_int_equal(add(1, FRAME, 1200, 300), FRAGMENT_HELD);
		assert_int_equal(add(1, FRAME, wrong[i].from, wrong[i].len), FRAGMENT_OVERLAP);
		assert_int_equal(reassembly_frames(r), 0);
	}
}

static void another_total_tag_or_flag_gives_the_frame_up(void **state)
{
	struct fragment_arrival a;

	assert_int_equal(add(1, FRAME, 0, 757), FRAGMENT_HELD);
	assert_int_equal(add(1, FRAME + 1, 757, 757), FRAGMENT_INCONSISTENT);
	assert_int_equal(add(1, FRAME, 0, 757), FRAGMENT_HELD);
	a = piece(1, FRAME, 757, 757);
	a.tag = 2;
	assert_int_equal(add_at(a, 0), FRAGMENT_INCONSISTENT);
	assert_int_equal(add(1, FRAME, 0, 757), FRAGMENT_HELD);
	a = piece(1, FRAME, 757, 757);
	a.flags = SEALED_PARTIAL;
	assert_int_equal(add_at(a, 0), FRAGMENT_INCONSISTENT);
	assert_int_equal(reassembly_frames(r), 0);
}

static void frames_are_told_apart_by_id_worker_and_session(void **state)
{
	struct fragment_arrival a = piece(1, FRAME, 757, 757);

	assert_int_equal(add(1, FRAME, 0, 757), FRAGMENT_HELD);
	assert_int_equal(add(2, FRAME, 757, 757), FRAGMENT_HELD);
	a.worker = 1;
	assert_int_equal(add_at(a, 0), FRAGMENT_HELD);
	a.worker = 0;
	a.session = 8;
	assert_int_equal(add_at(a, 0), FRAGMENT_HELD);
	/* …also those that share a bucket */
	assert_int_equal(add(1 + 64, FRAME, 757, 757), FRAGMENT_HELD);
	assert_int_equal(reassembly_frames(r), 5);
	assert_int_equal(add(1, FRAME, 757, 757), FRAGMENT_COMPLETE);
	assert_memory_equal(whole.data, bytes, FRAME);
	assert_int_equal(reassembly_frames(r), 4);
}

static void congestion_of_any_fragment_is_the_frames(void **state)
{
	struct fragment_arrival a = piece(1, FRAME, 0, 757), b = piece(1, FRAME, 757, 757);

	a.ecn = 2;
	b.ecn = 3;
	assert_int_equal(add_at(a, 0), FRAGMENT_HELD);
	assert_int_equal(add_at(b, 0), FRAGMENT_COMPLETE);
	assert_int_equal(whole.ecn, 3);
	assert_int_equal(add_at(b, 0), FRAGMENT_HELD);
	assert_int_equal(add_at(a, 0), FRAGMENT_COMPLETE);
	assert_int_equal(whole.ecn, 3);
	b.ecn = 2;
	assert_int_equal(add_at(a, 0), FRAGMENT_HELD);
	assert_int_equal(add_at(b, 0), FRAGMENT_COMPLETE);
	assert_int_equal(whole.ecn, 2);
}

static void what_is_not_completed_in_time_is_given_up(void **state)
{
	assert_int_equal(add_at(piece(1, FRAME, 0, 757), 1000), FRAGMENT_HELD);
	assert_int_equal(add_at(piece(2, FRAME, 0, 757), 2000), FRAGMENT_HELD);
	assert_int_equal(reassembly_expire(r, 500), 0); /* a clock read before */
	assert_int_equal(reassembly_expire(r, 1000 + REASSEMBLY_TIMEOUT_NS), 0);
	assert_int_equal(reassembly_expire(r, 1001 + REASSEMBLY_TIMEOUT_NS), 1);
	assert_int_equal(add_at(piece(1, FRAME, 757, 757), 2001 + REASSEMBLY_TIMEOUT_NS),
			 FRAGMENT_HELD);
	assert_int_equal(lost.expired, 1);
	assert_int_equal(reassembly_frames(r), 1);
}

static void a_flood_of_incomplete_frames_evicts_the_oldest_and_stays_bounded(void **state)
{
	uint32_t i;

	for (i = 0; i < 10 * REASSEMBLY_FRAMES; i++) {
		assert_int_equal(add(i, 100, 0, 50), FRAGMENT_HELD);
		assert_true(reassembly_frames(r) <= REASSEMBLY_FRAMES);
	}
	assert_int_equal(lost.evicted, 9 * REASSEMBLY_FRAMES);
	assert_int_equal(add(i - 1, 100, 50, 50), FRAGMENT_COMPLETE);
	for (i = 0; i < 100; i++) {
		assert_int_equal(add(100000 + i, 65535, 65534, 1), FRAGMENT_HELD);
		assert_true(reassembly_bytes(r) <= REASSEMBLY_BYTES);
	}
	assert_int_equal(reassembly_frames(r), REASSEMBLY_BYTES / 65535);
}

static void an_honest_frame_gets_through_a_flood(void **state)
{
	uint32_t i;

	for (i = 0; i < 1000; i++) {
		assert_int_equal(add(1000 + i, 65535, 0, 1), FRAGMENT_HELD);
		assert_int_equal(add(i, FRAME, 0, 757), FRAGMENT_HELD);
		assert_int_equal(add(5000 + i, 65535, 0, 1), FRAGMENT_HELD);
		assert_int_equal(add(i, FRAME, 757, 757), FRAGMENT_COMPLETE);
		reassembly_release(r);
	}
}

static void more_holes_than_are_kept_give_the_frame_up(void **state)
{
	uint32_t i;

	for (i = 0; i < REASSEMBLY_PIECES; i++)
		assert_int_equal(add(1, FRAME, 2 * i, 1), FRAGMENT_HELD);
	assert_int_equal(add(1, FRAME, 2 * i, 1), FRAGMENT_NO_ROOM);
	assert_int_equal(reassembly_frames(r), 0);
}

/* Cuts a frame at random, shuffles, doubles some: what comes out is what went in. */
static void any_cut_in_any_order_with_duplicates_is_the_frame(void **state)
{
	uint32_t cuts[REASSEMBLY_PIECES + 1], order[REASSEMBLY_PIECES], n, i, j, tmp, total, done;
	int round;

	srand(5);
	for (round = 0; round < 3000; round++) {
		total = ETH_HDR_LEN + (uint32_t)rand() % 9000;
		n = 1 + (uint32_t)rand() % (total < REASSEMBLY_PIECES ? total : REASSEMBLY_PIECES);
		for (i = 0; i <= n; i++)
			cuts[i] = total * i / n;
		for (i = 1; i < n; i++)
			cuts[i] -= (uint32_t)rand() % (cuts[i] - cuts[i - 1]);
		for (i = 0; i < n; i++)
			order[i] = i;
		for (i = n - 1; i; i--) {
			j = (uint32_t)rand() % (i + 1);
			tmp = order[i];
			order[i] = order[j];
			order[j] = tmp;
		}
		for (i = done = 0; i < n; i++) {
			uint32_t from = cuts[order[i]], len = cuts[order[i] + 1] - from;
			enum fragment_verdict v = add((uint32_t)round, total, from, len);

			assert_int_equal(v, i + 1 < n ? FRAGMENT_HELD : FRAGMENT_COMPLETE);
			if (v == FRAGMENT_HELD && rand() % 4 == 0)
				assert_int_equal(add((uint32_t)round, total, from, len),
						 FRAGMENT_DUPLICATE);
			done += len;
		}
		assert_int_equal(done, total);
		expect_whole(total);
	}
}

#define with(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with(two_halves_are_a_frame_in_either_order),
		with(one_fragment_may_hold_all),
		with(the_longest_frame_arrives_from_its_many_pieces),
		with(padding_behind_the_end_is_cut_off_and_bounded),
		with(impossible_sizes_are_malformed_and_take_no_room),
		with(a_duplicate_is_refused_and_harms_nothing),
		with(an_overlap_gives_the_frame_up),
		with(another_total_tag_or_flag_gives_the_frame_up),
		with(frames_are_told_apart_by_id_worker_and_session),
		with(congestion_of_any_fragment_is_the_frames),
		with(what_is_not_completed_in_time_is_given_up),
		with(a_flood_of_incomplete_frames_evicts_the_oldest_and_stays_bounded),
		with(an_honest_frame_gets_through_a_flood),
		with(more_holes_than_are_kept_give_the_frame_up),
		with(any_cut_in_any_order_with_duplicates_is_the_frame),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
