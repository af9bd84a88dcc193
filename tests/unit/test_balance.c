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
	const struct balance_load busy[N] = {{1, 0, 9}, {20, 0, 0}, {2, 0, 4}},
				  even[N] = {{4, 0, 1}, {4, 0, 1}, {4, 0, 1}};

	assert_int_equal(balance_for_syn(busy, N, 0, false), 1);
	assert_int_equal(balance_for_syn(even, N, 2, false), 2);
	assert_int_equal(balance_for_syn(busy, 1, 0, false), 0);
}

static void a_stream_is_moved_only_for_a_reason(void **state)
{
	const struct balance_load near[N] = {{9, 0, 0}, {8, 0, 0}, {9, 0, 0}},
				  far[N] = {{12, 0, 0}, {8, 0, 0}, {12, 0, 0}};
	const struct balance_load one[N] = {{1, 0, 0}, {0, 0, 0}, {0, 0, 0}};

	assert_int_equal(balance_for_open(near, N, 0, false), 0);
	assert_int_equal(balance_for_open(far, N, 0, false), 1);
	assert_int_equal(balance_for_open(far, N, 1, false), 1);
	assert_int_equal(balance_for_open(one, N, 0, false), 1);
}

static void brief_flows_go_together_while_there_is_time(void **state)
{
	struct balance_load load[N] = {{23, 0, 6}};

	assert_int_equal(balance_for_syn(load, N, 2, true), 0);
	assert_int_equal(balance_for_open(load, N, 2, true), 0);
	load[0].busy_tenths = 7;
	assert_int_equal(balance_for_syn(load, N, 2, true), 1);
	assert_int_equal(balance_for_open(load, N, 2, true), 1);
}

static void of_many_at_a_time_others_have_their_share(void **state)
{
	struct balance_load load[N] = {{0, 0, 0}};
	unsigned i;

	for (i = 0; i < 24 * N; i++)
		load[balance_for_syn(load, N, 0, true)].flows++;
	for (i = 0; i < N; i++)
		assert_int_equal(load[i].flows, 24);
}

static void flows_that_stay_do_not_gather_on_one_thread(void **state)
{
	struct balance_load load[N] = {{0, 0, 0}};
	unsigned i, to;

	for (i = 0; i < 300; i++) {
		to = balance_for_syn(load, N, 0, true);
		load[to].flows = ++load[to].stay < 10 ? load[to].stay : 10; /* among brief ones */
	}
	for (i = 0; i < N; i++)
		assert_in_range(load[i].stay, 98, 102);
}

static void when_nobody_has_time_brief_flows_go_to_who_has_least_to_do(void **state)
{
	const struct balance_load load[N] = {{9, 0, 10}, {9, 0, 9}, {8, 0, 8}};

	assert_int_equal(balance_for_syn(load, N, 0, true), 2);
	assert_int_equal(balance_for_open(load, N, 0, true), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_next_flow_goes_to_who_has_least_to_do),
		cmocka_unit_test(a_stream_is_moved_only_for_a_reason),
		cmocka_unit_test(brief_flows_go_together_while_there_is_time),
		cmocka_unit_test(of_many_at_a_time_others_have_their_share),
		cmocka_unit_test(flows_that_stay_do_not_gather_on_one_thread),
		cmocka_unit_test(when_nobody_has_time_brief_flows_go_to_who_has_least_to_do),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
