// SPDX-License-Identifier: GPL-3.0-or-later
/* test_capture_clock.c - programs that write as often as ACKs come, told from who waits for these
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "capture/report.h"
#include "tests/unit/tcp_sim.h"

#define RTT   (40 * SIM_MS)
#define WRITE (2 * 1460 + 540)

static struct sim s;

static unsigned limit(void)
{
	return verdict_of(s.f).limit;
}

static double share(unsigned cause)
{
	return verdict_of(s.f).share[cause];
}

/* Looked at beside the receiver, with time stamps. */
static void begin_far(void)
{
	sim_begin(&s, RTT, 65535);
	sim_handshake_seen(&s, -1, 10 * SIM_US, RTT);
	s.ts = true;
}

/*
 * Writes, 0.1 ms less than a round trip apart, each acknowledged when it comes. They echo the time
 * stamp of the ACK before if @answers, else of the one before that.
 */
static void writes_far_away(unsigned count, bool answers)
{
	uint64_t start = s.now;
	unsigned i;

	for (i = 0; i < count; i++) {
		s.now = start + i * (RTT - 100 * SIM_US);
		s.tsval[SIM_SERVER] = 100 + 40 * (i + answers);
		sim_data(&s, WRITE, TCP_PSH);
		s.now += 10 * SIM_US;
		s.tsval[SIM_SERVER] = 100 + 40 * (i + 2);
		sim_ack(&s, s.next);
	}
}

static void who_echoes_an_older_time_stamp_has_not_waited_for_the_ack_that_is_due(void **state)
{
	begin_far();
	writes_far_away(100, false);
	assert_int_equal(limit(), CAUSE_APPLICATION);
	assert_true(share(CAUSE_APPLICATION) > 0.9);
	sim_end(&s);
}

static void who_echoes_its_time_stamp_may_have(void **state)
{
	begin_far();
	writes_far_away(100, true);
	assert_int_equal(limit(), CAUSE_SEND_BUFFER);
	assert_true(share(CAUSE_APPLICATION) < 0.05);
	sim_end(&s);
}

static void without_time_stamps_nothing_shows_it(void **state)
{
	begin_far();
	s.ts = false;
	writes_far_away(100, false);
	assert_int_equal(limit(), CAUSE_SEND_BUFFER);
	sim_end(&s);
}

static void what_has_stood_in_a_queue_echoes_old_time_stamps_of_many_acks(void **state)
{
	const struct track *t;
	unsigned i, own = 0, bursts = 0;
	uint64_t start;

	/* ACKs each 0.5 ms; a burst each 5 ms that answers the one of 60 ms ago, though the least
	 * round trip is 40. */
	begin_far();
	start = s.now;
	for (i = 0; i < 3000; i++) {
		s.now = start + i * 500 * SIM_US;
		if (i % 10 == 0) {
			s.tsval[SIM_SERVER] = 1000 + (i < 120 ? 0 : i - 120);
			sim_data(&s, 5 * s.mss - 100, TCP_PSH);
		}
		s.now += 10 * SIM_US;
		s.tsval[SIM_SERVER] = 1001 + i;
		sim_ack(&s, i % 10 < 4 ? s.next - (4 - i % 10) * s.mss : s.next);
	}
	t = s.f->dir[SIM_CLIENT].track;
	for (i = 0; i < EPOCHS_KEPT; i++) {
		bursts += t->past[i].bursts;
		own += t->past[i].bursts_own + t->past[i].bursts_early;
	}
	assert_true(bursts > 8 * EPOCHS_KEPT);
	assert_int_equal(t->rhythm.bursts, bursts);
	assert_int_equal(own, 0);
	assert_true(share(CAUSE_APPLICATION) < 0.1);
	sim_end(&s);
}

/*
 * @each writes a round trip, a little more apart, so that each comes 80 us after the ACK of the one
 * @each before; but of @nth one is 0.2 ms early, and so comes before it.
 */
static void writes_now_and_then_early(unsigned count, unsigned each, unsigned nth)
{
	uint64_t start, at[400] = {0};
	unsigned i;

	assert_true(count <= 400);
	sim_begin(&s, RTT, 65535);
	sim_handshake(&s, -1);
	start = s.now;
	for (i = 0; i < count; i++) {
		uint64_t came = i < each ? 0 : at[i - each] + RTT;
		uint32_t before = s.next - (each - 1) * WRITE;

		at[i] = start + i * (RTT + 80 * SIM_US) / each -
			(i % nth == nth - 1 ? 200 * SIM_US : 0);
		if (came && came < at[i]) {
			s.now = came;
			sim_ack(&s, before);
		}
		s.now = at[i];
		sim_data(&s, WRITE, TCP_PSH);
		if (came >= at[i]) {
			s.now = came;
			sim_ack(&s, before);
		}
	}
	s.now = at[count - 1] + RTT;
	sim_ack(&s, s.next);
}

static void who_now_and_then_comes_a_little_before_the_ack_does_not_wait_for_it(void **state)
{
	writes_now_and_then_early(100, 1, 3);
	assert_int_equal(limit(), CAUSE_APPLICATION);
	assert_true(share(CAUSE_APPLICATION) > 0.9);
	sim_end(&s);
}

static void once_in_seven_times_it_may_be_by_chance(void **state)
{
	writes_now_and_then_early(300, 3, 7);
	assert_int_equal(limit(), CAUSE_SEND_BUFFER);
	assert_true(share(CAUSE_APPLICATION) < 0.05);
	sim_end(&s);
}

/* So many bytes right after the ACK of those before. */
static void one_by_one(unsigned count, uint32_t len)
{
	unsigned i;

	sim_begin(&s, RTT, 65535);
	sim_handshake(&s, -1);
	for (i = 0; i < count; i++) {
		sim_data(&s, len, TCP_PSH);
		s.now += RTT;
		sim_ack(&s, s.next);
		s.now += 20 * SIM_US;
	}
}

static void no_buffer_is_smaller_than_a_segment(void **state)
{
	one_by_one(60, 800);
	assert_int_equal(limit(), CAUSE_APPLICATION);
	assert_true(share(CAUSE_APPLICATION) > 0.9);
	sim_end(&s);
}

static void one_of_a_segment_and_a_little_more_may_be(void **state)
{
	one_by_one(60, 1460 + 800);
	assert_int_equal(limit(), CAUSE_SEND_BUFFER);
	assert_true(share(CAUSE_APPLICATION) < 0.05);
	sim_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			who_echoes_an_older_time_stamp_has_not_waited_for_the_ack_that_is_due),
		cmocka_unit_test(who_echoes_its_time_stamp_may_have),
		cmocka_unit_test(without_time_stamps_nothing_shows_it),
		cmocka_unit_test(what_has_stood_in_a_queue_echoes_old_time_stamps_of_many_acks),
		cmocka_unit_test(
			who_now_and_then_comes_a_little_before_the_ack_does_not_wait_for_it),
		cmocka_unit_test(once_in_seven_times_it_may_be_by_chance),
		cmocka_unit_test(no_buffer_is_smaller_than_a_segment),
		cmocka_unit_test(one_of_a_segment_and_a_little_more_may_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
