// SPDX-License-Identifier: GPL-3.0-or-later
/* test_bucket.c - a token bucket gives out exactly its rate and depth, on a clock of the test's */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/bucket.h"

#define SECOND 1000000000ull
#define MOST   1000000000ull /* of rate and depth */

static struct bucket b;

/* Takes single tokens until there are none; gives up at @enough. */
static uint64_t drain(uint64_t now_ns, uint64_t enough)
{
	uint64_t n = 0;

	while (n < enough && bucket_take(&b, 1, now_ns))
		n++;
	return n;
}

static void a_new_bucket_is_full_and_gives_its_depth_at_once(void **state)
{
	bucket_init(&b, 10, 7, 5 * SECOND);
	assert_int_equal(drain(5 * SECOND, 100), 7);
}

static void it_refills_at_its_rate_and_no_faster(void **state)
{
	bucket_init(&b, 10, 7, 0);
	assert_true(bucket_take(&b, 7, 0));
	assert_false(bucket_take(&b, 1, SECOND / 10 - 1));
	assert_true(bucket_take(&b, 1, SECOND / 10));
	assert_false(bucket_take(&b, 1, SECOND / 10));
	assert_int_equal(drain(SECOND / 2, 100), 4);
}

static void it_never_holds_more_than_its_depth(void **state)
{
	bucket_init(&b, 10, 7, 0);
	assert_int_equal(drain(1000 * SECOND, 100), 7);
}

static void all_tokens_are_taken_or_none(void **state)
{
	bucket_init(&b, 1, 10, 0);
	assert_false(bucket_take(&b, 11, 0));
	assert_true(bucket_take(&b, 6, 0));
	assert_false(bucket_take(&b, 5, 0));
	assert_true(bucket_take(&b, 4, 0));
	assert_false(bucket_take(&b, 1, 0));
}

/* Asking often must give exactly what asking seldom gives: no remainder is lost between. */
static void a_long_time_in_small_odd_steps_gives_the_exact_count(void **state)
{
	uint64_t now, taken = 0;

	bucket_init(&b, 333, 50, 0);
	for (now = 0; now <= 1000 * SECOND; now += 777777)
		taken += drain(now, 1000);
	taken += drain(1000 * SECOND, 1000);
	assert_int_equal(taken, 50 + 333 * 1000);
}

static void the_highest_rate_and_depth_count_exactly(void **state)
{
	bucket_init(&b, MOST, MOST, 0);
	assert_true(bucket_take(&b, MOST, 0));
	assert_false(bucket_take(&b, 1, 0));
	assert_int_equal(drain(5, 100), 5);
	assert_true(bucket_take(&b, 999999994, 999999999));
	assert_false(bucket_take(&b, 1, 999999999));
}

static void the_longest_time_fills_it_to_the_brim(void **state)
{
	static const uint64_t rates[] = {1, 3, 7, 1000, 999999999, MOST};
	size_t i;

	for (i = 0; i < sizeof(rates) / sizeof(*rates); i++) {
		bucket_init(&b, rates[i], MOST, 0);
		assert_true(bucket_take(&b, MOST, 0));
		assert_true(bucket_take(&b, MOST, UINT64_MAX));
		assert_false(bucket_take(&b, 1, UINT64_MAX));
	}
}

static void it_is_full_at_the_nanosecond_it_is_due_and_not_before(void **state)
{
	/* 10 tokens at 3 a second: 3.33… s, so the last comes with nanosecond 3333333334. */
	bucket_init(&b, 3, 10, 0);
	assert_true(bucket_take(&b, 10, 0));
	assert_false(bucket_take(&b, 10, 3333333333));
	assert_true(bucket_take(&b, 10, 3333333334));
}

static void more_tokens_than_can_be_counted_are_never_given(void **state)
{
	bucket_init(&b, MOST, MOST, 0);
	assert_false(bucket_take(&b, UINT64_MAX, 0));
	/* As many billionths as wrap round to nearly nothing. */
	assert_false(bucket_take(&b, UINT64_MAX / SECOND + 1, 0));
	assert_true(bucket_take(&b, MOST, 0));
}

static void a_rate_of_zero_refills_nothing_ever(void **state)
{
	bucket_init(&b, 0, 3, 0);
	assert_int_equal(drain(0, 100), 3);
	assert_false(bucket_take(&b, 1, UINT64_MAX));
	bucket_init(&b, 0, 0, 0);
	assert_false(bucket_take(&b, 1, UINT64_MAX));
}

static void no_tokens_can_always_be_taken(void **state)
{
	bucket_init(&b, 1, 1, 0);
	assert_true(bucket_take(&b, 1, 0));
	assert_true(bucket_take(&b, 0, 0));
}

static void a_clock_read_earlier_by_another_thread_refills_nothing(void **state)
{
	bucket_init(&b, 1000, 1000, 10 * SECOND);
	assert_true(bucket_take(&b, 1000, 10 * SECOND));
	assert_false(bucket_take(&b, 1, 10 * SECOND - 1));
	assert_false(bucket_take(&b, 1, 0));
	assert_false(bucket_take(&b, 1, 10 * SECOND));
	assert_int_equal(drain(10 * SECOND + SECOND / 100, 100), 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_bucket_is_full_and_gives_its_depth_at_once),
		cmocka_unit_test(it_refills_at_its_rate_and_no_faster),
		cmocka_unit_test(it_never_holds_more_than_its_depth),
		cmocka_unit_test(all_tokens_are_taken_or_none),
		cmocka_unit_test(a_long_time_in_small_odd_steps_gives_the_exact_count),
		cmocka_unit_test(the_highest_rate_and_depth_count_exactly),
		cmocka_unit_test(the_longest_time_fills_it_to_the_brim),
		cmocka_unit_test(it_is_full_at_the_nanosecond_it_is_due_and_not_before),
		cmocka_unit_test(more_tokens_than_can_be_counted_are_never_given),
		cmocka_unit_test(a_rate_of_zero_refills_nothing_ever),
		cmocka_unit_test(no_tokens_can_always_be_taken),
		cmocka_unit_test(a_clock_read_earlier_by_another_thread_refills_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
