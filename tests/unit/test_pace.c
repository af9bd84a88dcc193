// SPDX-License-Identifier: GPL-3.0-or-later
/* test_pace.c - a rate is held exactly, after a short burst, and divided without rest */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tunnel/pace.h"

#define MS	1000000ull
#define SECOND	1000000000ull
#define MEGABIT 1000000ull

static void the_rate_is_held_over_a_second_and_no_burst_is_saved_up(void **state)
{
	uint64_t now, sent = 0;
	struct pace p;

	pace_init(&p, 80 * MEGABIT); /* 10,000 bytes a millisecond */
	for (now = 100 * SECOND; now < 101 * SECOND; now += MS / 10)
		for (; !pace_wait_ns(&p, now); sent += 1000)
			pace_sent(&p, 1000, now);
	assert_in_range(sent, 10000000 + 30000 - 1000, 10000000 + 30000 + 2000);
	assert_int_equal(p.sent, sent);
}

static void what_it_says_to_wait_is_enough_and_no_more(void **state)
{
	uint64_t now = 5 * SECOND, wait;
	struct pace p;

	pace_init(&p, 8 * MEGABIT); /* 1 byte a microsecond */
	assert_int_equal(pace_wait_ns(&p, now), 0);
	pace_sent(&p, 50000, now); /* 50 ms */
	wait = pace_wait_ns(&p, now);
	assert_in_range(wait, 46 * MS, 48 * MS);
	assert_int_not_equal(pace_wait_ns(&p, now + wait - 1), 0);
	assert_int_equal(pace_wait_ns(&p, now + wait), 0);
}

static void a_share_that_changes_acts_on_what_is_sent_next(void **state)
{
	struct pace p;

	pace_init(&p, 8 * MEGABIT);
	atomic_store(&p.bps, 4 * MEGABIT);
	pace_sent(&p, 10000, 0);
	assert_in_range(pace_wait_ns(&p, 0), 16 * MS, 18 * MS);
}

static void each_gets_what_the_other_leaves_and_half_if_both_want_it(void **state)
{
	struct pace_shares s = pace_share(100, 0, 0);

	assert_int_equal(s.streams_bps, 100);
	assert_int_equal(s.frames_bps, 100);
	s = pace_share(100, 10, 90);
	assert_int_equal(s.streams_bps, 90);
	assert_int_equal(s.frames_bps, 50);
	s = pace_share(100, 50, 90);
	assert_int_equal(s.streams_bps, 50);
	assert_int_equal(s.frames_bps, 50);
	s = pace_share(100, 95, 5);
	assert_int_equal(s.streams_bps, 50);
	assert_int_equal(s.frames_bps, 95);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rate_is_held_over_a_second_and_no_burst_is_saved_up),
		cmocka_unit_test(what_it_says_to_wait_is_enough_and_no_more),
		cmocka_unit_test(a_share_that_changes_acts_on_what_is_sent_next),
		cmocka_unit_test(each_gets_what_the_other_leaves_and_half_if_both_want_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
