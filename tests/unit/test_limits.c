// SPDX-License-Identifier: GPL-3.0-or-later
/* test_limits.c - what of a machine's descriptors and memory split TCP takes; streams ahead of need
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "accel/demand.h"
#include "accel/limits.h"
#include "lib/clock.h"

#include <stdio.h>
#include <unistd.h>

static void every_flow_has_two_descriptors_and_the_spare_streams_theirs(void **state)
{
	unsigned peers;

	for (peers = 1; peers <= 64; peers++) {
		struct limits l = limits_by_descriptors(20000, peers);

		assert_true(l.relays + l.streams + 128 <= 20000);
		assert_int_equal(l.streams - l.relays, 64 * peers);
	}
	assert_int_equal(limits_by_descriptors(20192, 1).relays, 10000);
}

static void more_descriptors_than_can_be_used_are_left_alone(void **state)
{
	assert_int_equal(limits_by_descriptors(1 << 20, 1).relays, LIMITS_RELAYS);
	assert_int_equal(limits_by_descriptors(UINT64_MAX, 64).relays, LIMITS_RELAYS);
}

static void too_few_descriptors_allow_no_flow(void **state)
{
	assert_int_equal(limits_by_descriptors(0, 1).relays, 0);
	assert_int_equal(limits_by_descriptors(191, 1).relays, 0);
	assert_int_equal(limits_by_descriptors(194, 1).relays, 1);
}

static void memory_is_half_of_what_tcp_has_before_it_economises(void **state)
{
	assert_int_equal(limits_memory_by("287832\t383779\t575664\n", 4096, 1ull << 40),
			 383779ull * 4096 / 2);
}

static void what_tcp_has_is_guessed_low_where_it_cannot_be_read(void **state)
{
	/* A machine of 24682416 KiB, whose kernel has chosen the above. */
	assert_true(limits_memory_by(NULL, 4096, 24682416ull << 10) < 383779ull * 4096 / 2);
	assert_int_equal(limits_memory_by("", 4096, 40 << 20), 1 << 20);
	assert_int_equal(limits_memory_by("0 0 0", 4096, 40 << 20), 1 << 20);
	assert_int_equal(limits_memory_by("many", 4096, 40 << 20), 1 << 20);
}

static void this_machines_memory_is_at_most_half_of_what_its_tcp_has(void **state)
{
	FILE *f = fopen("/proc/sys/net/ipv4/tcp_mem", "re");
	unsigned long long low, pressure, high;
	int n = f ? fscanf(f, "%llu %llu %llu", &low, &pressure, &high) : 0;

	if (f)
		fclose(f);
	assert_true(limits_memory() > 0);
	if (n != 3) /* in a network namespace */
		skip();
	assert_true(limits_memory() <= pressure * (uint64_t)sysconf(_SC_PAGESIZE) / 2);
	assert_true(limits_memory_by(NULL, 4096,
				     (uint64_t)sysconf(_SC_PHYS_PAGES) *
					     (uint64_t)sysconf(_SC_PAGESIZE)) <=
		    pressure * (uint64_t)sysconf(_SC_PAGESIZE) / 2);
}

static void flows_that_become_more_have_as_many_streams_ahead(void **state)
{
	struct demand d = {0};
	uint64_t t = 100 * NS_PER_S;
	unsigned ms, in_use = 0, ahead = 0;

	for (ms = 0; ms < 3000; ms += 5)
		ahead = demand_ahead(&d, t + ms * NS_PER_MS, in_use++);
	assert_in_range(ahead, 199, 200);
	/* They stay as many: after two seconds nothing is needed ahead. */
	demand_ahead(&d, t + 4000 * NS_PER_MS, in_use);
	assert_int_equal(demand_ahead(&d, t + 5000 * NS_PER_MS, in_use), 0);
}

static void flows_that_come_and_go_need_no_streams_ahead(void **state)
{
	struct demand d = {0};
	uint64_t t = 100 * NS_PER_S;
	unsigned i, ahead = 0;

	for (i = 0; i < 5000; i++)
		ahead = demand_ahead(&d, t + i * NS_PER_MS, i % 2);
	assert_int_equal(ahead, 1);
}

static void a_burst_is_seen_at_once_and_forgotten_after_silence(void **state)
{
	struct demand d = {0};
	uint64_t t = 100 * NS_PER_S;

	assert_int_equal(demand_ahead(&d, t, 0), 0);
	assert_int_equal(demand_ahead(&d, t + 1, 30), 30);
	assert_int_equal(demand_ahead(&d, t + 2, 10), 30);
	assert_int_equal(demand_ahead(&d, t + 10 * NS_PER_S, 10), 0);
}

static void a_flow_waits_for_a_stream_as_long_as_one_may_take(void **state)
{
	assert_int_equal(demand_patience(0), NS_PER_S);
	assert_int_equal(demand_patience(120 * NS_PER_MS), NS_PER_S);
	assert_int_equal(demand_patience(300 * NS_PER_MS), 1800 * NS_PER_MS);
	assert_int_equal(demand_patience(600 * NS_PER_MS), 3 * NS_PER_S);
	assert_int_equal(demand_patience(3600 * NS_PER_S), 3 * NS_PER_S);
}

static void a_crowd_has_gone_once_when_few_are_left_and_no_more_go(void **state)
{
	static const struct {
		unsigned streams;
		bool gone;
	} seconds[] = {{500, false}, {20, false},  {20, false},	 {5000, false}, {9000, false},
		       {900, false}, {900, true},  {900, false}, {100, false},	{100, true},
		       {100, false}, {400, false}, {40, false},	 {40, false},	{800, false},
		       {700, false}, {101, false}, {90, false},	 {95, true},	{95, false}};
	struct limits_tide tide = {0};
	unsigned i;

	for (i = 0; i < sizeof(seconds) / sizeof(*seconds); i++)
		assert_int_equal(limits_crowd_gone(&tide, seconds[i].streams), seconds[i].gone);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_flow_has_two_descriptors_and_the_spare_streams_theirs),
		cmocka_unit_test(more_descriptors_than_can_be_used_are_left_alone),
		cmocka_unit_test(too_few_descriptors_allow_no_flow),
		cmocka_unit_test(memory_is_half_of_what_tcp_has_before_it_economises),
		cmocka_unit_test(what_tcp_has_is_guessed_low_where_it_cannot_be_read),
		cmocka_unit_test(this_machines_memory_is_at_most_half_of_what_its_tcp_has),
		cmocka_unit_test(flows_that_become_more_have_as_many_streams_ahead),
		cmocka_unit_test(flows_that_come_and_go_need_no_streams_ahead),
		cmocka_unit_test(a_burst_is_seen_at_once_and_forgotten_after_silence),
		cmocka_unit_test(a_flow_waits_for_a_stream_as_long_as_one_may_take),
		cmocka_unit_test(a_crowd_has_gone_once_when_few_are_left_and_no_more_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
