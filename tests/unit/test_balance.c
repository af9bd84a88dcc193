// SPDX-License-Identifier: GPL-3.0-or-later
/* test_balance.c - which relay thread serves the next flow */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "accel/balance.h"

#define N 3

static void the_next_flow_goes_to_who_has_least_to_do(void **state)
{
	const struct balance_load busy[N] = {{1, 9}, {20, 0}, {2, 4}},
				  even[N] = {{4, 1}, {4, 1}, {4, 1}};

	assert_int_equal(balance_for_syn(busy, N, 0, false), 1);
	assert_int_equal(balance_for_syn(even, N, 2, false), 2);
	assert_int_equal(balance_for_syn(busy, 1, 0, false), 0);
}

static void a_stream_is_moved_only_for_a_reason(void **state)
{
	const struct balance_load near[N] = {{9, 0}, {8, 0}, {9, 0}},
				  far[N] = {{12, 0}, {8, 0}, {12, 0}};
	const struct balance_load one[N] = {{1, 0}, {0, 0}, {0, 0}};

	assert_int_equal(balance_for_open(near, N, 0, false), 0);
	assert_int_equal(balance_for_open(far, N, 0, false), 1);
	assert_int_equal(balance_for_open(far, N, 1, false), 1);
	assert_int_equal(balance_for_open(one, N, 0, false), 1);
}

static void brief_flows_go_together_while_there_is_time(void **state)
{
	struct balance_load load[N] = {{30, 6}, {0, 0}, {0, 0}};

	assert_int_equal(balance_for_syn(load, N, 2, true), 0);
	assert_int_equal(balance_for_open(load, N, 2, true), 0);
	load[0].busy_tenths = 7;
	assert_int_equal(balance_for_syn(load, N, 2, true), 1);
	assert_int_equal(balance_for_open(load, N, 2, true), 1);
}

static void when_nobody_has_time_brief_flows_go_to_who_has_least_to_do(void **state)
{
	const struct balance_load load[N] = {{9, 10}, {9, 9}, {8, 8}};

	assert_int_equal(balance_for_syn(load, N, 0, true), 2);
	assert_int_equal(balance_for_open(load, N, 0, true), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_next_flow_goes_to_who_has_least_to_do),
		cmocka_unit_test(a_stream_is_moved_only_for_a_reason),
		cmocka_unit_test(brief_flows_go_together_while_there_is_time),
		cmocka_unit_test(when_nobody_has_time_brief_flows_go_to_who_has_least_to_do),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
