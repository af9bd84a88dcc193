// SPDX-License-Identifier: GPL-3.0-or-later
/* test_credit.c - windows from round trip and rate: worked figures, bounds, and how they grow */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "accel/credit.h"
#include "accel/stream_proto.h"
#include "lib/clock.h"

static void a_window_is_twice_the_round_trip_and_the_slack_at_the_rate(void **state)
{
	/* 2 × (120 + 10) ms × 125 MB/s */
	assert_int_equal(credit_window(120 * NS_PER_MS, CREDIT_FIRST_RATE), 32500000);
	assert_int_equal(credit_window(0, CREDIT_FIRST_RATE), 2500000);
	assert_int_equal(credit_window(20 * NS_PER_MS, 12500000), 750000);
}

static void a_window_stays_within_what_the_protocol_allows(void **state)
{
	assert_int_equal(credit_window(0, 0), CREDIT_USUAL);
	assert_int_equal(credit_window(NS_PER_S, 1), CREDIT_USUAL);
	assert_int_equal(credit_window(NS_PER_S, CREDIT_FIRST_RATE), CREDIT_MAX);
	assert_int_equal(credit_window(UINT64_MAX / 2, UINT64_MAX), CREDIT_MAX);
}

static void what_waits_unsent_is_the_slack_at_the_rate(void **state)
{
	assert_int_equal(credit_unsent(0, CREDIT_UNSENT_MIN), CREDIT_UNSENT_MIN);
	assert_int_equal(credit_unsent(0, CREDIT_UNSENT_STRIPE), CREDIT_UNSENT_STRIPE);
	assert_int_equal(credit_unsent(CREDIT_FIRST_RATE, CREDIT_UNSENT_MIN), 1250000);
	assert_int_equal(credit_unsent(UINT64_MAX, CREDIT_UNSENT_MIN), CREDIT_UNSENT_MAX);
}

static void nothing_is_measured_before_a_round_trip_is_over(void **state)
{
	struct credit_meter m = {0};
	uint64_t rtt = 120 * NS_PER_MS, t = 7 * NS_PER_S;

	assert_int_equal(credit_measure(&m, t, 5000000, rtt), 0); /* begins */
	assert_int_equal(credit_measure(&m, t + rtt - 1, 9000000, rtt), 0);
	assert_int_equal(credit_measure(&m, t + rtt, 5000000 + 12000000, rtt), 100000000);
	/* …and anew from there */
	assert_int_equal(credit_measure(&m, t + rtt + 1, 99000000, rtt), 0);
	assert_int_equal(credit_measure(&m, t + 2 * rtt, 17000000, rtt), 0);
}

static void a_short_round_trip_is_measured_over_a_stated_time(void **state)
{
	struct credit_meter m = {0};
	uint64_t t = NS_PER_S;

	credit_measure(&m, t, 0, 1000);
	assert_int_equal(credit_measure(&m, t + CREDIT_MEASURE_NS - 1, 1000, 1000), 0);
	assert_int_equal(credit_measure(&m, t + CREDIT_MEASURE_NS, 1000, 1000), 20000);
}

/* A path that carries four times what was first thought. */
static void a_window_that_is_the_limit_grows_until_it_is_not(void **state)
{
	uint64_t rtt = 50 * NS_PER_MS, line = 4ull * CREDIT_FIRST_RATE, rate;
	uint32_t window = credit_window(rtt, CREDIT_FIRST_RATE), next;
	unsigned turns;

	for (turns = 0; turns < 8; turns++) {
		rate = (uint64_t)window * NS_PER_S / rtt;
		next = credit_window(rtt, rate < line ? rate : line);
		if (next <= window)
			break;
		window = next;
	}
	assert_in_range(turns, 1, 3);
	assert_true((uint64_t)window * NS_PER_S / rtt >= line);
	assert_int_equal(window, 2 * line / NS_PER_S * (rtt + CREDIT_SLACK_NS));
}

static void a_lone_flow_gets_what_it_wants(void **state)
{
	struct credit_budget b = {.limit = 750 << 20, .least = CREDIT_MIN};

	assert_int_equal(credit_grant(&b, 0, CREDIT_USUAL, 1), CREDIT_USUAL);
	assert_int_equal(credit_grant(&b, CREDIT_USUAL, CREDIT_MAX, 1), CREDIT_MAX - CREDIT_USUAL);
	assert_int_equal(credit_grant(&b, CREDIT_MAX, CREDIT_MAX, 1), 0);
	assert_int_equal(b.granted, CREDIT_MAX);
}

static void ten_thousand_flows_get_something_and_never_more_than_there_is(void **state)
{
	struct credit_budget b = {.limit = 750 << 20, .least = CREDIT_MIN};
	unsigned n;
	uint32_t window;

	for (n = 1; n <= 10000; n++) {
		window = credit_grant(&b, 0, CREDIT_USUAL, n);
		assert_true(window >= CREDIT_MIN);
		window += credit_grant(&b, window, 2500000, n); /* 0 ms, 1 Gbit/s */
		assert_true(b.granted <= b.limit);
	}
}

static void the_ten_thousandth_flow_gets_something_however_much_the_first_want(void **state)
{
	struct credit_budget b = {.limit = 600 << 20, .least = CREDIT_MIN, .most = 10000};
	unsigned n;
	uint32_t window;

	for (n = 1; n <= 10000; n++) {
		window = credit_grant(&b, 0, CREDIT_USUAL, n);
		assert_true(window >= CREDIT_MIN);
		window += credit_grant(&b, window, CREDIT_MAX, n); /* 250 ms, 1 Gbit/s */
		assert_true(b.granted <= b.limit);
		if (n == 1)
			assert_int_equal(window, CREDIT_MAX);
	}
}

static void three_quarters_at_most_are_kept_for_flows_to_come(void **state)
{
	struct credit_budget b = {.limit = 16 << 20, .least = CREDIT_MIN, .most = 16384};
	unsigned n = 0;

	/* Fewer flows than might come want all they can get. */
	while (b.granted < b.limit / 4) {
		uint32_t window = credit_grant(&b, 0, CREDIT_USUAL, ++n);

		assert_true(window >= CREDIT_MIN);
	}
	while (credit_grant(&b, 0, CREDIT_USUAL, n + 1))
		n++;
	assert_true(n >= (12u << 20) / CREDIT_MIN);
	assert_in_range(b.granted, b.limit - CREDIT_MIN + 1, b.limit);
}

static void when_all_is_granted_a_new_flow_gets_nothing_and_an_old_one_no_more(void **state)
{
	struct credit_budget b = {.limit = 1 << 20, .least = CREDIT_MIN};
	unsigned n = 0;

	while (credit_grant(&b, 0, CREDIT_USUAL, n + 1))
		n++;
	assert_in_range(n, 20, 32);
	assert_in_range(b.granted, b.limit - CREDIT_MIN + 1, b.limit);
	b.granted = b.limit;
	assert_int_equal(credit_grant(&b, CREDIT_MIN, CREDIT_MAX, 1), 0);
	b.granted -= CREDIT_MIN;
	assert_int_equal(credit_grant(&b, 0, CREDIT_USUAL, 100), CREDIT_MIN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_window_is_twice_the_round_trip_and_the_slack_at_the_rate),
		cmocka_unit_test(a_window_stays_within_what_the_protocol_allows),
		cmocka_unit_test(what_waits_unsent_is_the_slack_at_the_rate),
		cmocka_unit_test(nothing_is_measured_before_a_round_trip_is_over),
		cmocka_unit_test(a_short_round_trip_is_measured_over_a_stated_time),
		cmocka_unit_test(a_window_that_is_the_limit_grows_until_it_is_not),
		cmocka_unit_test(a_lone_flow_gets_what_it_wants),
		cmocka_unit_test(ten_thousand_flows_get_something_and_never_more_than_there_is),
		cmocka_unit_test(
			the_ten_thousandth_flow_gets_something_however_much_the_first_want),
		cmocka_unit_test(three_quarters_at_most_are_kept_for_flows_to_come),
		cmocka_unit_test(
			when_all_is_granted_a_new_flow_gets_nothing_and_an_old_one_no_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
