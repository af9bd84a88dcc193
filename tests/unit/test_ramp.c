// SPDX-License-Identifier: GPL-3.0-or-later
/* test_ramp.c - streams begin with what the path holds, within bounds */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tunnel/ramp.h"

#define MS	1000000ull
#define MEGABIT 1000000ull

static void a_window_is_what_the_path_holds_in_a_round_trip(void **state)
{
	/* 100 Mbit/s × 120 ms = 1.5 MB */
	assert_int_equal(ramp_segments(100 * MEGABIT, 120 * MS, 1448), 1035);
	assert_int_equal(ramp_segments(900 * MEGABIT, 120 * MS, 1448), 9323);
	assert_int_equal(ramp_segments(5 * MEGABIT, 120 * MS, 1448), 51);
}

static void longer_segments_are_fewer(void **state)
{
	assert_int_equal(ramp_segments(100 * MEGABIT, 120 * MS, 8948), 167);
}

static void a_path_of_unknown_rate_gets_a_little(void **state)
{
	assert_int_equal(ramp_segments(0, 120 * MS, 1448), 207);
	assert_int_equal(ramp_segments(0, 10 * MS, 1448), 17);
	assert_int_equal(ramp_segments(0, 0, 1448), RAMP_SEGMENTS_MIN);
}

static void no_window_is_less_than_the_kernels_or_more_than_a_buffer(void **state)
{
	assert_int_equal(ramp_segments(64000, 1 * MS, 1448), RAMP_SEGMENTS_MIN);
	assert_int_equal(ramp_segments(1000000 * MEGABIT, 10000 * MS, 48), RAMP_SEGMENTS_MAX);
	assert_int_equal(ramp_segments(UINT64_MAX, UINT64_MAX, 1), RAMP_SEGMENTS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_window_is_what_the_path_holds_in_a_round_trip),
		cmocka_unit_test(longer_segments_are_fewer),
		cmocka_unit_test(a_path_of_unknown_rate_gets_a_little),
		cmocka_unit_test(no_window_is_less_than_the_kernels_or_more_than_a_buffer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
