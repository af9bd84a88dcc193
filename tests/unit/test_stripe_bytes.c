// SPDX-License-Identifier: GPL-3.0-or-later
/* test_stripe_bytes.c - bytes over several stripes: kept by who sends, put in order by who receives
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "accel/inorder.h"
#include "accel/retain.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct chunks chunks;

/* The byte at an offset of every flow here. */
static uint8_t byte_at(uint64_t offset)
{
	return (uint8_t)((offset * 2654435761u) >> 13 ^ offset);
}

static void fill(uint8_t *bytes, uint64_t offset, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		bytes[i] = byte_at(offset + i);
}

static void check(const uint8_t *bytes, uint64_t offset, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (bytes[i] != byte_at(offset + i))
			fail_msg("byte %llu is wrong", (unsigned long long)(offset + i));
}

static int put(struct inorder *r, uint64_t offset, size_t len)
{
	uint8_t *bytes = malloc(len);
	int ret;

	fill(bytes, offset, len);
	ret = inorder_put(r, offset, bytes, len);
	free(bytes);
	return ret;
}

/* Takes all that is in order. Returns how much that is. */
static uint64_t take(struct inorder *r)
{
	uint64_t begin = r->next;
	const uint8_t *bytes;
	size_t n;

	while ((n = inorder_get(r, &bytes))) {
		check(bytes, r->next, n);
		inorder_advance(r, n);
	}
	return r->next - begin;
}

static unsigned chunks_held(const struct inorder *r)
{
	unsigned i, n = 0;

	for (i = 0; i < INORDER_CHUNKS; i++)
		n += r->slots[i] != NULL;
	return n;
}

static void what_comes_out_of_order_is_put_in_order(void **state)
{
	struct inorder *r = malloc(sizeof(*r));

	inorder_init(r, &chunks, 1000);
	assert_int_equal(put(r, 1200, 100), 0);
	assert_int_equal(put(r, 1100, 50), 0);
	assert_int_equal(take(r), 0);
	assert_int_equal(put(r, 1000, 100), 0);
	assert_int_equal(take(r), 150);
	assert_int_equal(put(r, 1150, 50), 0);
	assert_int_equal(take(r), 150);
	assert_int_equal(r->n_ranges, 0);
	assert_int_equal(chunks_held(r), 0);
	inorder_release(r);
	free(r);
}

static void what_has_come_before_is_dropped(void **state)
{
	struct inorder *r = malloc(sizeof(*r));

	inorder_init(r, &chunks, 0);
	put(r, 10, 10);
	put(r, 10, 10);
	put(r, 12, 3);
	put(r, 5, 30);
	assert_int_equal(r->n_ranges, 1);
	put(r, 0, 20);
	assert_int_equal(take(r), 35);
	assert_int_equal(put(r, 0, 35), 0); /* all of it is old */
	assert_int_equal(r->n_ranges, 0);
	assert_int_equal(put(r, 30, 10), 0); /* half of it is */
	assert_int_equal(take(r), 5);
	inorder_release(r);
	free(r);
}

static void what_is_next_is_told_without_being_kept(void **state)
{
	struct inorder *r = malloc(sizeof(*r));
	size_t old;

	inorder_init(r, &chunks, 100);
	assert_int_equal(inorder_direct(r, 100, 50, &old), 50);
	assert_int_equal(old, 0);
	assert_int_equal(inorder_direct(r, 90, 50, &old), 40);
	assert_int_equal(old, 10);
	assert_int_equal(inorder_direct(r, 10, 50, &old), 0);
	assert_int_equal(old, 50);
	assert_int_equal(inorder_direct(r, 101, 50, &old), 0);
	assert_int_equal(old, 0);
	put(r, 120, 10);
	assert_int_equal(inorder_direct(r, 100, 50, &old), 20);
	inorder_advance(r, 20);
	assert_int_equal(take(r), 10);
	inorder_release(r);
	free(r);
}

static void no_offset_is_believed_that_no_window_can_have(void **state)
{
	struct inorder *r = malloc(sizeof(*r));
	size_t old;

	inorder_init(r, &chunks, 5000);
	assert_int_equal(put(r, 5000 + CREDIT_MAX - 9, 10), -EPROTO);
	assert_int_equal(put(r, UINT64_MAX - 3, 10), -EPROTO); /* past the end of numbers */
	assert_int_equal(inorder_direct(r, UINT64_MAX - 3, 10, &old), 0);
	assert_int_equal(old, 0);
	assert_int_equal(r->n_ranges, 0);
	assert_int_equal(put(r, 5000 + CREDIT_MAX - 10, 10), 0);
	assert_int_equal(chunks_held(r), 1);
	inorder_release(r);
	free(r);
}

static void memory_is_bounded_however_bytes_come(void **state)
{
	struct inorder *r = malloc(sizeof(*r));
	uint64_t at;
	int ret = 0;

	inorder_init(r, &chunks, 7);
	for (at = 9; !ret; at += 2) /* every other byte */
		ret = put(r, at, 1);
	assert_int_equal(ret, -EPROTO);
	assert_int_equal(r->n_ranges, STRIPE_RANGES_MAX);
	assert_true(r->room_ranges <= STRIPE_RANGES_MAX);
	assert_true(chunks_held(r) <= 2 * STRIPE_RANGES_MAX / CHUNK_ROOM + 2);
	inorder_release(r);
	free(r);
}

static void every_window_has_room_wherever_it_begins(void **state)
{
	struct inorder *r = malloc(sizeof(*r));

	inorder_init(r, &chunks, CHUNK_ROOM - 1);
	assert_int_equal(put(r, CHUNK_ROOM, CREDIT_MAX - 1), 0);
	assert_int_equal(put(r, CHUNK_ROOM - 1, 1), 0);
	assert_int_equal(take(r), CREDIT_MAX);
	assert_int_equal(chunks_held(r), 0);
	inorder_release(r);
	free(r);
}

static int add(struct retain *r, uint8_t stripe, size_t len)
{
	uint8_t *bytes = malloc(len);
	int ret;

	fill(bytes, r->end, len);
	ret = retain_add(r, stripe, bytes, len);
	free(bytes);
	return ret;
}

/* Sends again what must be, up to a number of bytes. Returns how many, and where they begin. */
static size_t again(struct retain *r, uint8_t stripe, size_t max, uint64_t *offset)
{
	size_t n = retain_next(r, max, offset);
	uint8_t *bytes = malloc(n ? n : 1);

	if (n) {
		assert_int_equal(retain_send_again(r, stripe, bytes, n), 0);
		check(bytes, *offset, n);
	}
	free(bytes);
	return n;
}

static void what_a_lost_stripe_carried_is_sent_again_and_nothing_else(void **state)
{
	uint64_t at = 0;
	struct retain r;

	retain_init(&r, &chunks, 100);
	add(&r, 0, 10); /* 100 */
	add(&r, 1, 20); /* 110 */
	add(&r, 1, 20); /* 130 */
	add(&r, 2, 10); /* 150 */
	add(&r, 1, 5);	/* 160 */
	assert_int_equal(r.n_spans, 4);
	assert_int_equal(again(&r, 0, 1000, &at), 0);
	retain_lost(&r, 1);
	assert_int_equal(r.again, 45);
	assert_int_equal(again(&r, 0, 15, &at), 15);
	assert_int_equal(at, 110);
	assert_int_equal(again(&r, 2, 1000, &at), 25);
	assert_int_equal(at, 125);
	assert_int_equal(again(&r, 0, 1000, &at), 5);
	assert_int_equal(at, 160);
	assert_int_equal(again(&r, 0, 1000, &at), 0);
	/* The one that it was sent again on is lost, too. */
	retain_lost(&r, 0);
	assert_int_equal(r.again, 10 + 15 + 5);
	assert_int_equal(again(&r, 2, 1000, &at), 25);
	assert_int_equal(at, 100);
	retain_release(&r);
}

static void what_the_other_host_has_is_kept_no_longer(void **state)
{
	uint64_t at = 0;
	struct retain r;

	retain_init(&r, &chunks, 0);
	add(&r, 0, CHUNK_ROOM);
	add(&r, 1, CHUNK_ROOM);
	retain_lost(&r, 0);
	retain_taken(&r, 1000);
	assert_int_equal(r.again, CHUNK_ROOM - 1000);
	assert_int_equal(again(&r, 1, 10, &at), 10);
	assert_int_equal(at, 1000);
	retain_taken(&r, CHUNK_ROOM + 10);
	assert_int_equal(r.again, 0);
	assert_int_equal(r.begin, CHUNK_ROOM + 10);
	assert_ptr_equal(r.first, r.last);
	retain_taken(&r, 5); /* old news */
	assert_int_equal(r.begin, CHUNK_ROOM + 10);
	retain_taken(&r, UINT64_MAX); /* nobody can have more than was sent */
	assert_int_equal(r.begin, 2 * CHUNK_ROOM);
	assert_null(r.first);
	assert_int_equal(r.n_spans, 0);
	retain_release(&r);
}

static void what_went_on_a_stripe_that_was_left_has_arrived(void **state)
{
	struct retain r;

	retain_init(&r, &chunks, 0);
	add(&r, 3, 10);
	add(&r, 4, 10);
	retain_arrived(&r, 3);
	retain_lost(&r, 3); /* a later stripe of that number */
	assert_int_equal(r.again, 0);
	retain_release(&r);
}

static void pieces_are_no_more_than_the_other_side_must_remember(void **state)
{
	struct retain r;
	unsigned i;

	retain_init(&r, &chunks, 0);
	for (i = 0; i < STRIPE_SPANS_MAX; i++) {
		assert_true(retain_may_add(&r, i % 2));
		add(&r, i % 2, 1);
	}
	assert_false(retain_may_add(&r, i % 2));
	assert_true(retain_may_add(&r, 1 - i % 2));
	retain_taken(&r, 1);
	assert_true(retain_may_add(&r, i % 2));
	retain_release(&r);
}

/* A record on its way on a stripe. */
struct piece {
	uint64_t offset;
	size_t len;
};

#define QUEUE 64

/* Both ends of a flow, and stripes that are first in, first out, each by itself. */
static void send_over_stripes_that_are_lost(unsigned seed)
{
	struct piece queue[STRIPES_MAX][QUEUE];
	unsigned len[STRIPES_MAX] = {0}, live = STRIPES_MAX, i;
	bool lost[STRIPES_MAX] = {0};
	struct inorder *in = malloc(sizeof(*in));
	const uint64_t begin = seed * 1000003ull, end = begin + 3000000;
	uint64_t window = 200000 + seed % 7 * 100000, taken = begin, told = begin, at;
	struct retain out;

	srand(seed);
	retain_init(&out, &chunks, begin);
	inorder_init(in, &chunks, begin);
	while (in->next < end) {
		unsigned s = (unsigned)rand() % STRIPES_MAX;
		size_t n = 1 + (size_t)rand() % 20000;

		if (lost[s])
			continue;
		if (rand() % 2 && len[s] < QUEUE) {
			size_t more = again(&out, (uint8_t)s, n, &at);

			if (!more && retain_may_add(&out, (uint8_t)s)) {
				at = out.end;
				more = n < end - at ? n : (size_t)(end - at);
				if (more > told + window - at)
					more = (size_t)(told + window - at);
				add(&out, (uint8_t)s, more);
			}
			if (more)
				queue[s][len[s]++] = (struct piece){at, more};
		} else if (len[s]) {
			assert_int_equal(put(in, queue[s][0].offset, queue[s][0].len), 0);
			memmove(queue[s], queue[s] + 1, --len[s] * sizeof(**queue));
			take(in);
			if (in->next - taken > window / 16)
				taken = in->next;
		}
		if (!(rand() % 8)) {
			told = taken;
			retain_taken(&out, told);
		}
		if (live > 1 && !(rand() % 400)) {
			lost[s] = true;
			live--;
			len[s] = 0;
			retain_lost(&out, (uint8_t)s);
		}
	}
	assert_int_equal(in->next, end);
	for (i = 0; i < STRIPES_MAX; i++) /* copies that come late */
		while (!lost[i] && len[i]--)
			assert_int_equal(put(in, queue[i][len[i]].offset, queue[i][len[i]].len), 0);
	assert_int_equal(in->n_ranges, 0);
	retain_release(&out);
	inorder_release(in);
	free(in);
}

static void a_flow_survives_all_stripes_but_one(void **state)
{
	unsigned seed;

	for (seed = 1; seed <= 30; seed++)
		send_over_stripes_that_are_lost(seed);
}

static int tear_down(void **state)
{
	chunks_free(&chunks);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_comes_out_of_order_is_put_in_order),
		cmocka_unit_test(what_has_come_before_is_dropped),
		cmocka_unit_test(what_is_next_is_told_without_being_kept),
		cmocka_unit_test(no_offset_is_believed_that_no_window_can_have),
		cmocka_unit_test(memory_is_bounded_however_bytes_come),
		cmocka_unit_test(every_window_has_room_wherever_it_begins),
		cmocka_unit_test(what_a_lost_stripe_carried_is_sent_again_and_nothing_else),
		cmocka_unit_test(what_the_other_host_has_is_kept_no_longer),
		cmocka_unit_test(what_went_on_a_stripe_that_was_left_has_arrived),
		cmocka_unit_test(pieces_are_no_more_than_the_other_side_must_remember),
		cmocka_unit_test(a_flow_survives_all_stripes_but_one),
	};

	return cmocka_run_group_tests(tests, NULL, tear_down);
}
