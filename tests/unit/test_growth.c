// SPDX-License-Identifier: GPL-3.0-or-later
/* test_growth.c - how many stripes a flow is given, on simulated paths */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "accel/growth.h"
#include "lib/clock.h"

#define LOOK_NS (100 * NS_PER_MS)

/* A path on which n stripes carry n × each, but no more than most, unevenly: by up to a fifth. */
struct path {
	struct growth g;
	struct growth_look look;
	uint64_t each, most;
	unsigned tries; /* times that more were wanted */
	uint32_t dice;
};

static struct path a_path(uint64_t each, uint64_t most)
{
	return (struct path){
		.g = {.n = 1},
		.look = {.now_ns = NS_PER_S, .rtt_ns = 120 * NS_PER_MS, .max = 8, .limited = true},
		.each = each,
		.most = most,
		.dice = 1};
}

/* Lets time pass. Returns how many stripes there are afterwards. */
static unsigned pass(struct path *p, unsigned seconds)
{
	unsigned n = p->g.tried ? p->g.tried : p->g.n, next, i;

	for (i = 0; i < 10 * seconds; i++) {
		uint64_t rate = n * p->each < p->most ? n * p->each : p->most;

		p->dice = p->dice * 1664525 + 1013904223;
		rate = rate / 100 * (80 + (p->dice >> 16) % 41);
		p->look.now_ns += LOOK_NS;
		p->look.sent += rate / 10;
		next = growth_next(&p->g, &p->look);
		p->tries += next > n;
		n = next;
	}
	return n;
}

static void stripes_are_added_while_each_brings_as_much_as_the_first(void **state)
{
	struct path p = a_path(150000, UINT64_MAX);

	assert_int_equal(pass(&p, 3), 1);
	assert_int_equal(pass(&p, 27), 8);
	assert_int_equal(p.tries, 3);
	assert_int_equal(pass(&p, 600), 8);
	assert_int_equal(p.tries, 3);
}

static void a_path_that_is_full_keeps_one(void **state)
{
	struct path p = a_path(12000000, 12000000);

	assert_int_equal(pass(&p, 600), 1);
	assert_in_range(p.tries, 1, 5); /* after 30, 60, 120, 240 s */
}

static void at_the_rate_that_is_known_nothing_is_tried(void **state)
{
	struct path p = a_path(11500000, 11500000);

	p.look.rate = 12500000;
	assert_int_equal(pass(&p, 600), 1);
	assert_int_equal(p.tries, 0);
}

static void growth_ends_where_it_brings_nothing(void **state)
{
	struct path p = a_path(3000000, 12000000);

	assert_int_equal(pass(&p, 25), 4);
	p.tries = 0;
	pass(&p, 100);
	assert_in_range(p.tries, 0, 2);
	assert_int_equal(p.g.n, 4);
}

static void a_flow_that_its_hosts_limit_is_left_alone(void **state)
{
	struct path p = a_path(100000, UINT64_MAX);

	p.look.limited = false;
	assert_int_equal(pass(&p, 300), 1);
	assert_int_equal(p.tries, 0);
}

static void where_memory_is_short_nothing_is_tried(void **state)
{
	struct path p = a_path(100000, UINT64_MAX);

	p.look.short_memory = true;
	assert_int_equal(pass(&p, 300), 1);
	assert_int_equal(p.tries, 0);
	p.look.short_memory = false;
	assert_int_equal(pass(&p, 30), 8);
}

static void never_more_than_both_sides_allow(void **state)
{
	struct path p = a_path(100000, UINT64_MAX);

	p.look.max = 3;
	assert_int_equal(pass(&p, 60), 3);
	p.look.max = 2;
	assert_int_equal(pass(&p, 60), 2);
}

static void a_try_in_vain_waits_longer_each_time(void **state)
{
	struct path p = a_path(12000000, 12000000);

	pass(&p, 3600);
	assert_in_range(p.tries, 7, 10);
	assert_int_equal(p.g.wait_ns, GROWTH_WAIT_MAX_NS);
	/* The path begins to lose: stripes are worth it at the next try. */
	p.most = UINT64_MAX;
	p.each = 100000;
	pass(&p, 900);
	assert_int_equal(p.g.n, 8);
	assert_int_equal(p.g.wait_ns, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stripes_are_added_while_each_brings_as_much_as_the_first),
		cmocka_unit_test(a_path_that_is_full_keeps_one),
		cmocka_unit_test(at_the_rate_that_is_known_nothing_is_tried),
		cmocka_unit_test(growth_ends_where_it_brings_nothing),
		cmocka_unit_test(a_flow_that_its_hosts_limit_is_left_alone),
		cmocka_unit_test(where_memory_is_short_nothing_is_tried),
		cmocka_unit_test(never_more_than_both_sides_allow),
		cmocka_unit_test(a_try_in_vain_waits_longer_each_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
