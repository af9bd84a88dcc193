// SPDX-License-Identifier: GPL-3.0-or-later
/* test_pmtu.c - the path's MTU is found and followed on simulated paths; no clock, no packets */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tunnel/pmtu.h"

#include <stdlib.h>
#include <string.h>

#define MS   1000000ull
#define S    (1000 * MS)
#define TICK (50 * MS)

/* A path that says nothing of what it drops. */
struct path {
	uint32_t mtu;
	uint64_t rtt;
	unsigned loss_percent;
	bool dead;
	uint64_t large_a_tick; /* packets of data */
};

static struct pmtu p;
static struct pmtu_view v;
static struct path path;
static uint64_t mark, probes, longest, smallest_gap, last_probe;
static struct {
	uint64_t mark, at;
} answers[1024];
static unsigned n_answers;

static int setup(void **state)
{
	path = (struct path){.mtu = 1500, .rtt = 20 * MS};
	v = (struct pmtu_view){.now_ns = 100 * S, .rtt_ns = 20 * MS};
	mark = probes = longest = last_probe = 0;
	smallest_gap = UINT64_MAX;
	n_answers = 0;
	srand(7);
	pmtu_init(&p, PMTU_RAISE_NS);
	return 0;
}

static bool passes(uint32_t size)
{
	return !path.dead && size <= path.mtu && (unsigned)rand() % 100 >= path.loss_percent;
}

static void send_probe(uint32_t size)
{
	probes++;
	longest = size > longest ? size : longest;
	if (last_probe && v.now_ns - last_probe < smallest_gap)
		smallest_gap = v.now_ns - last_probe;
	last_probe = v.now_ns;
	pmtu_sent(&p, ++mark, v.now_ns);
	if (passes(size) && passes(88) && n_answers < 1024) {
		answers[n_answers].mark = mark;
		answers[n_answers++].at = v.now_ns + path.rtt;
	}
}

static void take_answers(void)
{
	unsigned i, n = 0;

	for (i = 0; i < n_answers; i++) {
		if (answers[i].at <= v.now_ns)
			pmtu_acked(&p, answers[i].mark, v.now_ns);
		else
			answers[n++] = answers[i];
	}
	n_answers = n;
}

/* Lets time go by; small probes are answered as long as the path lives. */
static void run(uint64_t duration)
{
	uint64_t end = v.now_ns + duration;
	uint32_t size;

	for (; v.now_ns < end; v.now_ns += TICK) {
		take_answers();
		if (passes(88))
			v.heard_ns = v.now_ns;
		if (p.usable > p.base)
			v.large += path.large_a_tick;
		size = pmtu_poll(&p, &v);
		if (size)
			send_probe(size);
	}
}

static void expect(enum pmtu_state state, uint32_t mtu, uint32_t usable)
{
	if (p.state != state || p.mtu != mtu || p.usable != usable)
		fail_msg("%s, %u, usable %u; not %s, %u, usable %u", pmtu_state_names[p.state],
			 p.mtu, p.usable, pmtu_state_names[state], mtu, usable);
}

static void a_path_that_carries_what_the_interface_does_takes_two_probes(void **state)
{
	pmtu_start(&p, false, 1500);
	expect(PMTU_BASE, 1200, 1200);
	run(300 * MS);
	expect(PMTU_COMPLETE, 1500, 1500);
	assert_int_equal(probes, 2);
}

static void the_exact_mtu_of_common_links_is_found(void **state)
{
	static const uint32_t mtus[] = {1280, 1400, 1420, 1480, 1492, 1500, 9000};
	size_t i;
	int ipv6;

	for (i = 0; i < sizeof(mtus) / sizeof(*mtus); i++)
		for (ipv6 = 0; ipv6 < 2; ipv6++) {
			setup(NULL);
			path.mtu = mtus[i];
			pmtu_start(&p, ipv6, 9216);
			run(60 * S);
			expect(PMTU_COMPLETE, mtus[i], mtus[i]);
			assert_true(longest <= 9216);
		}
}

static void any_mtu_is_found_to_within_a_step_and_never_exceeded(void **state)
{
	uint32_t mtu;

	for (mtu = 1280; mtu <= 9216; mtu += 7) {
		setup(NULL);
		path.mtu = mtu;
		pmtu_start(&p, true, 9216);
		run(60 * S);
		assert_int_equal(p.state, PMTU_COMPLETE);
		assert_true(p.mtu <= mtu && p.mtu + PMTU_STEP >= mtu);
	}
}

static void probes_are_a_round_trip_apart(void **state)
{
	path.rtt = 400 * MS;
	v.rtt_ns = 400 * MS;
	path.mtu = 1443;
	pmtu_start(&p, false, 9000);
	run(60 * S);
	assert_true(p.state == PMTU_COMPLETE && p.mtu >= 1443 - PMTU_STEP);
	assert_true(smallest_gap >= 400 * MS);
}

static void a_path_below_the_base_is_an_error_that_ends_when_the_path_is_better(void **state)
{
	path.mtu = 1000;
	pmtu_start(&p, false, 1500);
	run(10 * S);
	expect(PMTU_ERROR, 576, 576);
	path.mtu = 1500;
	run(10 * S);
	expect(PMTU_COMPLETE, 1500, 1500);
}

static void an_interface_below_the_base_bounds_everything(void **state)
{
	path.mtu = 1000;
	pmtu_start(&p, false, 1000);
	run(10 * S);
	expect(PMTU_COMPLETE, 1000, 1000);
	path.mtu = 1500;
	pmtu_set_max(&p, 1500);
	run(10 * S);
	expect(PMTU_COMPLETE, 1500, 1500);
	pmtu_set_max(&p, 500);
	assert_true(p.usable <= 500);
	run(10 * S);
	expect(PMTU_COMPLETE, 500, 500);
	assert_int_equal(p.floor, 500);
}

static void a_black_hole_is_left_within_a_confirmation_while_data_flows(void **state)
{
	path.large_a_tick = 10;
	pmtu_start(&p, false, 1500);
	run(10 * S);
	path.mtu = 1400;
	run(PMTU_CONFIRM_NS + PMTU_DOUBT_NS + 2 * TICK);
	assert_int_equal(p.usable, 1200); /* data goes on at once, before the verdict */
	run(20 * S);
	expect(PMTU_COMPLETE, 1400, 1400);
	assert_int_equal(p.holes, 1);
}

static void a_black_hole_of_an_idle_path_is_found_too(void **state)
{
	pmtu_start(&p, false, 9000);
	path.mtu = 9000;
	run(10 * S);
	expect(PMTU_COMPLETE, 9000, 9000);
	path.mtu = 1280;
	run(30 * S);
	expect(PMTU_COMPLETE, 1280, 1280);
}

static void lost_data_has_the_size_confirmed_at_once(void **state)
{
	pmtu_start(&p, false, 1500);
	run(1 * S);
	path.mtu = 1400;
	pmtu_suspect(&p);
	run(PMTU_DOUBT_NS + 2 * TICK);
	assert_int_equal(p.usable, 1200);
}

static void a_black_hole_during_the_search_is_found(void **state)
{
	path.large_a_tick = 10;
	path.mtu = 8000;
	pmtu_start(&p, false, 9216);
	while (p.mtu < 1500)
		run(TICK);
	path.mtu = 1280;
	run(40 * S);
	expect(PMTU_COMPLETE, 1280, 1280);
}

static void a_larger_path_is_found_by_the_raise_timer(void **state)
{
	path.mtu = 1400;
	pmtu_start(&p, false, 9000);
	run(60 * S);
	expect(PMTU_COMPLETE, 1400, 1400);
	path.mtu = 9000;
	run(500 * S);
	expect(PMTU_COMPLETE, 1400, 1400);
	run(110 * S);
	expect(PMTU_COMPLETE, 9000, 9000);
}

static void the_raise_timer_can_be_shorter_and_is_after_a_black_hole(void **state)
{
	pmtu_start(&p, false, 1500);
	run(1 * S);
	path.mtu = 1400;
	run(40 * S);
	expect(PMTU_COMPLETE, 1400, 1400);
	path.mtu = 1500;
	run(PMTU_RAISE_LOWERED_NS);
	expect(PMTU_COMPLETE, 1500, 1500);
	setup(NULL);
	pmtu_init(&p, 2 * S);
	path.mtu = 1400;
	pmtu_start(&p, false, 1500);
	run(60 * S);
	path.mtu = 1500;
	run(10 * S);
	expect(PMTU_COMPLETE, 1500, 1500);
}

static void a_silent_peer_says_nothing_about_sizes(void **state)
{
	path.large_a_tick = 10;
	pmtu_start(&p, false, 1500);
	run(10 * S);
	path.dead = true;
	run(60 * S);
	assert_true(p.state == PMTU_COMPLETE && p.mtu == 1500 && p.holes == 0);
	path.dead = false;
	run(5 * S);
	expect(PMTU_COMPLETE, 1500, 1500);
}

static void random_loss_makes_no_black_hole_of_a_good_path(void **state)
{
	path.loss_percent = 2;
	path.large_a_tick = 10;
	pmtu_start(&p, false, 1500);
	run(600 * S);
	assert_int_equal(p.mtu, 1500);
	assert_int_equal(p.holes, 0);
	setup(NULL);
	path.loss_percent = 10;
	path.mtu = 9000;
	pmtu_start(&p, false, 9000);
	run(60 * S);
	assert_true(p.mtu >= 8000);
}

static void a_late_answer_counts(void **state)
{
	path.rtt = 3 * S; /* which nobody has measured yet */
	pmtu_start(&p, false, 1500);
	run(120 * S);
	assert_int_equal(p.mtu, 1500);
}

static void an_answer_to_nothing_is_not_believed(void **state)
{
	pmtu_start(&p, false, 9000);
	run(2 * S);
	assert_false(pmtu_acked(&p, mark + 1, v.now_ns));
	assert_false(pmtu_acked(&p, 0, v.now_ns));
	assert_false(pmtu_acked(&p, 1, v.now_ns)); /* again */
	assert_int_equal(p.mtu, 1500);
}

static void an_answer_from_before_a_black_hole_raises_nothing(void **state)
{
	uint64_t old;

	pmtu_start(&p, false, 1500);
	run(1 * S);
	path.mtu = 1400;
	pmtu_suspect(&p);
	run(TICK);
	old = mark;
	while (!p.holes)
		run(TICK);
	assert_false(pmtu_acked(&p, old, v.now_ns));
	assert_int_equal(p.mtu, 1200);
}

static void the_interfaces_mtu_is_followed_at_once(void **state)
{
	path.mtu = 9000;
	pmtu_start(&p, false, 9000);
	run(2 * S);
	pmtu_set_max(&p, 1500);
	expect(PMTU_COMPLETE, 1500, 1500);
	pmtu_set_max(&p, 1500);
	run(2 * S);
	expect(PMTU_COMPLETE, 1500, 1500);
	pmtu_set_max(&p, 9000);
	run(2 * S);
	expect(PMTU_COMPLETE, 9000, 9000);
}

static void without_connectivity_nothing_is_probed(void **state)
{
	run(10 * S);
	assert_int_equal(probes, 0);
	pmtu_start(&p, false, 1500);
	run(1 * S);
	pmtu_stop(&p);
	probes = 0;
	run(10 * S);
	assert_int_equal(probes, 0);
	assert_int_equal(p.state, PMTU_DISABLED);
}

static void an_idle_path_is_probed_seldom(void **state)
{
	pmtu_start(&p, false, 1500);
	run(1 * S);
	probes = 0;
	run(100 * S);
	assert_true(probes <= 20);
}

/* Whatever a path does, data is never sent in more than what was confirmed, nor below the floor. */
static void usable_stays_between_floor_and_what_is_known(void **state)
{
	int i;

	path.large_a_tick = 3;
	pmtu_start(&p, false, 9216);
	for (i = 0; i < 20000; i++) {
		if (rand() % 50 == 0)
			path.mtu = 400 + (uint32_t)rand() % 9000;
		if (rand() % 200 == 0)
			pmtu_set_max(&p, 400 + (uint32_t)rand() % 9000);
		if (rand() % 300 == 0)
			path.dead = !path.dead;
		if (rand() % 300 == 0)
			pmtu_suspect(&p);
		if (rand() % 1000 == 0)
			pmtu_start(&p, rand() % 2, 400 + (uint32_t)rand() % 9000);
		run((uint64_t)rand() % S);
		assert_true(p.usable <= p.mtu && p.mtu <= p.max);
		assert_true(p.floor <= p.usable || p.max <= p.usable);
		assert_true(p.outstanding <= p.max);
	}
}

#define with(test) cmocka_unit_test_setup(test, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with(a_path_that_carries_what_the_interface_does_takes_two_probes),
		with(the_exact_mtu_of_common_links_is_found),
		with(any_mtu_is_found_to_within_a_step_and_never_exceeded),
		with(probes_are_a_round_trip_apart),
		with(a_path_below_the_base_is_an_error_that_ends_when_the_path_is_better),
		with(an_interface_below_the_base_bounds_everything),
		with(a_black_hole_is_left_within_a_confirmation_while_data_flows),
		with(a_black_hole_of_an_idle_path_is_found_too),
		with(lost_data_has_the_size_confirmed_at_once),
		with(a_black_hole_during_the_search_is_found),
		with(a_larger_path_is_found_by_the_raise_timer),
		with(the_raise_timer_can_be_shorter_and_is_after_a_black_hole),
		with(a_silent_peer_says_nothing_about_sizes),
		with(random_loss_makes_no_black_hole_of_a_good_path),
		with(a_late_answer_counts),
		with(an_answer_to_nothing_is_not_believed),
		with(an_answer_from_before_a_black_hole_raises_nothing),
		with(the_interfaces_mtu_is_followed_at_once),
		with(without_connectivity_nothing_is_probed),
		with(an_idle_path_is_probed_seldom),
		with(usable_stays_between_floor_and_what_is_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
