// SPDX-License-Identifier: GPL-3.0-or-later
/* test_capture_limits.c - limits that only many round trips together show; what is told meanwhile
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "capture/report.h"
#include "tests/unit/tcp_sim.h"

#define RTT   (40 * SIM_MS)
#define FIRST (SIM_ISS + 1)

static struct sim s;

static struct direction *client(void)
{
	return &s.f->dir[SIM_CLIENT];
}

static double share(unsigned cause)
{
	flow_end(s.f);
	return verdict_of(s.f).share[cause];
}

static void begin(void)
{
	sim_begin(&s, RTT, 65535);
	sim_handshake(&s, -1);
}

/*
 * Sends evenly, as a pacer does, with @flight segments in flight, for so many round trips; in the
 * one of number @late two more are.
 */
static void paced(unsigned flight, unsigned rounds, unsigned late)
{
	uint64_t start = s.now;
	unsigned round, i;

	for (round = 0; round < rounds; round++) {
		for (i = 0; i < flight; i++) {
			unsigned extra = i ? 0 : 2;

			s.now = start + round * RTT + i * RTT / flight;
			if (round)
				sim_ack(&s, s.una + (1 + (round == late + 1 ? extra : 0)) * s.mss);
			sim_data(&s, s.mss, i % 3 ? 0 : TCP_PSH);
			for (; round == late && extra; extra--)
				sim_data(&s, s.mss, 0);
		}
	}
	s.now = start + rounds * RTT;
	sim_ack(&s, s.next);
}

static void a_paced_sender_that_never_has_more_in_flight_is_held_by_its_buffer(void **state)
{
	begin();
	paced(20, 40, UINT32_MAX - 1);
	assert_int_equal(verdict_of(s.f).limit, CAUSE_SEND_BUFFER);
	/* The round trips that it took to be sure are its own, too. */
	assert_true(share(CAUSE_SEND_BUFFER) > 0.9);
	sim_end(&s);
}

static void one_that_has_a_segment_more_in_each_round_trip_is_not(void **state)
{
	unsigned i;

	begin();
	for (i = 10; i < 40; i++)
		sim_round(&s, i, 0, 0);
	assert_true(share(CAUSE_SEND_BUFFER) < 0.01);
	assert_int_equal(verdict_of(s.f).limit, CAUSE_START);
	sim_end(&s);
}

static void one_late_round_trip_does_not_end_it(void **state)
{
	begin();
	paced(20, 60, 5);
	assert_int_equal(verdict_of(s.f).limit, CAUSE_SEND_BUFFER);
	assert_true(share(CAUSE_SEND_BUFFER) > 0.85);
	sim_end(&s);
}

static void a_program_that_writes_by_itself_is_the_application(void **state)
{
	uint64_t start;
	unsigned i;

	/* 2000 bytes each 17 ms: ACKs come 6 ms after every write but one's. */
	begin();
	start = s.now;
	for (i = 0; i < 200; i++) {
		s.now = start + i * 17 * SIM_MS;
		sim_data(&s, s.mss, 0);
		sim_data(&s, 540, TCP_PSH);
		if (i >= 2) {
			s.now = start + (i - 2) * 17 * SIM_MS + RTT;
			sim_ack(&s, FIRST + (i - 1) * 2000);
		}
	}
	assert_true(share(CAUSE_APPLICATION) > 0.9);
	sim_end(&s);
}

static void a_write_soon_after_each_ack_of_a_long_path_is_still_the_application_s(void **state)
{
	unsigned i;

	/* An answer would come within a millisecond, however long the path is. */
	sim_begin(&s, 126 * SIM_MS, 65535);
	sim_handshake(&s, -1);
	for (i = 0; i < 40; i++) {
		sim_data(&s, 5 * s.mss, 0);
		sim_data(&s, 1000, TCP_PSH);
		s.now += 126 * SIM_MS;
		sim_ack(&s, s.next);
		s.now += 6 * SIM_MS;
	}
	assert_true(share(CAUSE_APPLICATION) > 0.8);
	sim_end(&s);
}

/*
 * Writes of 2000 bytes, each 600 us apart in three pieces, as a pacer lets them go, so that never
 * all is acknowledged; the next one begins @after the first ACK.
 */
static void writes_after_acks(unsigned count, uint64_t after, uint64_t differ)
{
	uint64_t start;
	unsigned i, part;

	begin();
	for (i = 0; i < count; i++) {
		uint32_t first = s.next;

		start = s.now;
		for (part = 0; part < 3; part++) {
			s.now = start + part * 600 * SIM_US;
			if (i)
				sim_ack(&s, first - 6000 + (part + 1) * 2000);
			s.now += after + (i % 4) * differ;
			sim_data(&s, s.mss, 0);
			sim_data(&s, 540, TCP_PSH);
		}
		s.now = start + RTT + after;
	}
}

static void writes_as_long_apart_as_a_round_trip_are_not_answers(void **state)
{
	/* Each comes 0.5 ms after an ACK, for 4 s: nobody who waits for it is late each time. */
	writes_after_acks(100, 500 * SIM_US, 0);
	assert_int_equal(verdict_of(s.f).limit, CAUSE_APPLICATION);
	assert_true(share(CAUSE_APPLICATION) > 0.9);
	sim_end(&s);
}

static void who_waits_for_an_ack_is_prompt_now_and_then(void **state)
{
	/* After 20, 220, 420 and 620 us. */
	writes_after_acks(100, 20 * SIM_US, 200 * SIM_US);
	assert_int_equal(verdict_of(s.f).limit, CAUSE_SEND_BUFFER);
	assert_true(share(CAUSE_APPLICATION) < 0.1);
	sim_end(&s);
}

/*
 * 2000 bytes twice in a round trip: 0.1 ms after an ACK, or, if @early, 0.1 ms before, so that the
 * last one came half a round trip ago.
 */
static void two_a_round_trip(unsigned count, bool early)
{
	uint64_t begun = s.now;
	unsigned i;

	for (i = 0; i < count; i++) {
		uint64_t at = begun + i * RTT / 2;

		s.now = at - 100 * SIM_US;
		if (early) {
			sim_data(&s, s.mss, 0);
			sim_data(&s, 540, TCP_PSH);
			s.now = at;
			sim_ack(&s, s.next - 4000);
		} else {
			sim_ack(&s, s.next - 2000);
			s.now = at;
			sim_data(&s, s.mss, 0);
			sim_data(&s, 540, TCP_PSH);
		}
	}
	s.now += RTT / 2;
}

static void a_clock_of_its_own_is_remembered_while_writes_follow_acks(void **state)
{
	begin();
	sim_data(&s, 2000, TCP_PSH);
	s.now += RTT / 2;
	sim_data(&s, 2000, TCP_PSH);
	s.now += RTT / 2;
	two_a_round_trip(60, true);
	two_a_round_trip(60, false);
	assert_int_equal(verdict_of(s.f).limit, CAUSE_APPLICATION);
	assert_true(share(CAUSE_APPLICATION) > 0.8);
	sim_end(&s);
}

static void it_is_not_remembered_for_ever(void **state)
{
	begin();
	sim_data(&s, 2000, TCP_PSH);
	s.now += RTT / 2;
	sim_data(&s, 2000, TCP_PSH);
	s.now += RTT / 2;
	two_a_round_trip(60, true);
	two_a_round_trip(400, false);
	assert_int_equal(verdict_of(s.f).limit, CAUSE_SEND_BUFFER);
	sim_end(&s);
}

static void a_buffer_that_holds_now_more_and_now_less_still_limits(void **state)
{
	enum { MOST = 26, SENT = 1400 };
	static struct {
		uint64_t at;
		uint32_t end;
	} sent[SENT];
	unsigned i, n = 0;

	/* Each segment is acknowledged a round trip after it; 20 fit, and in one round trip of
	 * three, once 300 have gone, 26. */
	begin();
	for (i = 0; n < SENT; i++) {
		unsigned fit = i > 300 && i / MOST % 3 == 0 ? MOST : 20;

		if (n >= 20) {
			s.now = sent[i - 20].at + RTT;
			sim_ack(&s, sent[i - 20].end);
		}
		while (n < SENT && (n < 20 ? n == i : s.next - s.una < fit * s.mss)) {
			s.now += n < 20 ? SIM_MS : 5 * SIM_US;
			sim_data(&s, s.mss, 0);
			sent[n].at = s.now;
			sent[n++].end = s.next;
		}
	}
	assert_true(share(CAUSE_SEND_BUFFER) > 0.85);
	sim_end(&s);
}

static void a_window_too_small_for_a_segment_is_closed_though_a_probe_is_in_flight(void **state)
{
	unsigned i;

	sim_begin(&s, RTT, 14600);
	sim_handshake(&s, -1);
	sim_ack(&s, s.una);
	sim_data(&s, 10 * s.mss, 0);
	s.now += RTT;
	for (i = 0; i < 30; i++) {
		s.window = 112;
		sim_ack(&s, s.next);
		s.now += 5 * SIM_MS;
		sim_data(&s, 112, TCP_PSH);
		s.now += RTT;
	}
	assert_true(share(CAUSE_ZERO_WINDOW) > 0.9);
	assert_true(share(CAUSE_RECEIVE_WINDOW) < 0.05);
	sim_end(&s);
}

static void a_late_program_is_no_queue_on_its_side_of_the_capture(void **state)
{
	uint64_t start;
	unsigned i;

	/* 6 segments each 23 ms; ACKs of those 4 writes ago come 19 ms before. The time stamps
	 * that they bear come back so much later, as if they had stood in a queue. */
	sim_begin(&s, 73 * SIM_MS, 65535);
	sim_handshake(&s, -1);
	s.ts = true;
	start = s.now;
	for (i = 0; i < 200; i++) {
		s.tsval[SIM_CLIENT] = s.tsval[SIM_SERVER] = 100 + i;
		s.now = start + i * 23 * SIM_MS;
		if (i >= 4) {
			s.now -= 19 * SIM_MS;
			sim_ack(&s, s.una + 6 * s.mss);
			s.now += 19 * SIM_MS;
		}
		sim_data(&s, 6 * s.mss, TCP_PSH);
	}
	assert_true(share(CAUSE_PATH) < 0.05);
	sim_end(&s);
}

static void a_tail_that_is_probed_far_away_is_no_time_out(void **state)
{
	unsigned i;

	/* Looked at beside the receiver: it has acknowledged what the sender, after 2 round trips
	 * without an ACK, sends again. */
	begin();
	for (i = 0; i < 10; i++) {
		sim_round(&s, 10, 0, 0);
		s.now += 2 * RTT;
		sim_data_at(&s, s.next - s.mss, s.mss, 0);
		sim_ack(&s, s.next);
	}
	assert_int_equal(client()->retrans[RETRANS_RTO], 0);
	assert_int_equal(client()->retrans[RETRANS_PROBE], 10);
	sim_end(&s);
}

/* 4 full segments, @count times, each right @after the ACK of those of 12 before. */
static void full_writes(unsigned count, uint64_t after)
{
	uint64_t every = (s.rtt + after) / 12;
	unsigned i;

	for (i = 0; i < count; i++) {
		if (s.next - s.una >= 12 * 4 * s.mss)
			sim_ack(&s, s.una + 4 * s.mss);
		s.now += after;
		sim_data(&s, 4 * s.mss, TCP_PSH);
		s.now += every - after;
	}
}

static void what_is_sent_after_pauses_without_an_ack_is_a_program_s(void **state)
{
	/* At first it looks like a full buffer. */
	sim_begin(&s, 61 * SIM_MS, 65535);
	sim_handshake(&s, 7);
	s.window = 4000;
	full_writes(150, 20 * SIM_US);
	full_writes(1000, 2500 * SIM_US);
	assert_int_equal(verdict_of(s.f).limit, CAUSE_APPLICATION);
	assert_true(share(CAUSE_APPLICATION) > 0.8);
	sim_end(&s);
}

static void a_long_path_may_make_a_prompt_answer_late(void **state)
{
	unsigned i;

	/* Looked at beside the server; what answers an ACK comes 0.5 ms later than the handshake's
	 * did, which is a 500th of the path. */
	sim_begin(&s, 250 * SIM_MS, 65535);
	sim_handshake_seen(&s, -1, 10 * SIM_US, s.rtt);
	for (i = 0; i < 80; i++) {
		sim_data(&s, 19 * s.mss, 0);
		sim_data(&s, 700, TCP_PSH);
		s.now += 10 * SIM_US;
		sim_ack(&s, s.next);
		s.now += s.rtt + 500 * SIM_US;
	}
	assert_int_equal(verdict_of(s.f).limit, CAUSE_SEND_BUFFER);
	assert_true(share(CAUSE_APPLICATION) < 0.05);
	sim_end(&s);
}

static void an_answer_faster_than_any_that_was_measured_is_one(void **state)
{
	unsigned i;

	/* The handshake's took 10 us; these take 5. Not an ACK of 40 ms ago is what they follow. */
	begin();
	for (i = 0; i < 60; i++) {
		sim_data(&s, 12 * s.mss, 0);
		sim_data(&s, 700, TCP_PSH);
		s.now += RTT;
		sim_ack(&s, s.next - 700);
		s.now += 5 * SIM_US;
	}
	assert_true(share(CAUSE_SEND_BUFFER) > 0.8);
	assert_true(share(CAUSE_APPLICATION) < 0.05);
	sim_end(&s);
}

static void full_segments_that_time_out_behind_a_sacked_tail_are_a_black_hole(void **state)
{
	uint32_t first;
	unsigned i;

	begin();
	first = s.next;
	for (i = 0; i < 5; i++)
		sim_data(&s, 1460, 0);
	sim_data(&s, 300, TCP_PSH);
	s.now += RTT;
	sim_sack(&s, first, s.next - 300, s.next);
	for (i = 0; i < 5; i++)
		sim_data_at(&s, first + i * 1460, 1460, 0);
	for (i = 0; i < 4; i++) {
		s.now += (300ull << i) * SIM_MS;
		sim_data_at(&s, first, 1460, 0);
	}
	assert_int_equal(client()->retrans[RETRANS_RTO], 4);
	assert_true(client()->black_hole);
	assert_int_equal(verdict_of(s.f).limit, CAUSE_PMTU_BLACK_HOLE);
	/* The first time-outs looked like losses. */
	assert_true(share(CAUSE_PMTU_BLACK_HOLE) > 0.9);
	sim_end(&s);
}

static void time_outs_between_which_full_segments_arrive_are_no_black_hole(void **state)
{
	uint32_t first;
	unsigned i;

	begin();
	first = s.next;
	for (i = 0; i < 8; i++)
		sim_data(&s, 1460, 0);
	for (i = 0; i < 4; i++) {
		s.now += (300ull << i) * SIM_MS;
		sim_data_at(&s, first, 1460, 0);
		s.now += RTT;
		sim_sack(&s, first, first + 1460, first + (i + 2) * 1460);
	}
	assert_int_equal(client()->retrans[RETRANS_RTO], 4);
	assert_false(client()->black_hole);
	sim_end(&s);
}

/* A connection of 20 round trips whose last segment is sent again after a time-out, and
 * acknowledged. Returns where it begins. */
static uint32_t tail_sent_twice(void)
{
	uint32_t tail;
	unsigned i;

	begin();
	for (i = 0; i < 20; i++)
		sim_round(&s, 10 + i, 0, 0);
	tail = s.next;
	sim_data(&s, s.mss, 0);
	s.now += 260 * SIM_MS;
	sim_data_at(&s, tail, s.mss, 0);
	s.now += RTT;
	sim_ack(&s, s.next);
	return tail;
}

static void what_a_dsack_proves_needless_is_no_loss_that_limits(void **state)
{
	uint32_t tail = tail_sent_twice();
	unsigned i;

	sim_sack(&s, s.next, tail, tail + s.mss);
	assert_int_equal(client()->lost, 0);
	for (i = 0; i < 13; i++)
		sim_round(&s, 30 + i, 0, 0);
	assert_int_equal(verdict_of(s.f).limit, CAUSE_START);
	assert_true(share(CAUSE_CONGESTION) < 0.25);
	sim_end(&s);
}

static void without_a_dsack_it_is_one(void **state)
{
	unsigned i;

	tail_sent_twice();
	assert_int_equal(client()->lost, 1);
	for (i = 0; i < 13; i++)
		sim_round(&s, 30 + i, 0, 0);
	assert_true(share(CAUSE_CONGESTION) > 0.45);
	sim_end(&s);
}

static void a_buffer_sent_as_two_super_segments_is_no_small_write(void **state)
{
	unsigned i;

	sim_begin(&s, 2 * SIM_MS, 65535);
	sim_handshake(&s, 7);
	for (i = 0; i < 300; i++) {
		sim_data(&s, 44 * s.mss, 0);
		sim_data(&s, 24 * s.mss + 100, TCP_PSH);
		s.now += 2 * SIM_MS;
		sim_ack(&s, s.next);
		s.now += 100 * SIM_US;
	}
	assert_true(share(CAUSE_SEND_BUFFER) > 0.9);
	sim_end(&s);
}

static void a_fin_whose_ack_is_late_is_no_time_of_the_transfer_s(void **state)
{
	struct segment g;
	unsigned i;

	begin();
	for (i = 0; i < 20; i++)
		sim_round(&s, 44, 0, 0); /* 64240 B: the window */
	g = sim_segment(&s, SIM_CLIENT, TCP_ACK | TCP_FIN, s.next, SIM_IRS + 1, 0);
	sim_feed(&s, &g);
	s.now += 5000 * SIM_MS;
	sim_ack(&s, s.next + 1);
	assert_true(share(CAUSE_APPLICATION) < 0.01);
	assert_true(share(CAUSE_RECEIVE_WINDOW) > 0.9);
	sim_end(&s);
}

static void progress_is_what_came_since_it_was_last_asked_for(void **state)
{
	struct progress p;
	unsigned i;

	begin();
	for (i = 0; i < 10; i++)
		sim_round(&s, 44, 0, 0);
	assert_true(flow_progress(s.f, SIM_CLIENT, &p));
	assert_int_equal(p.bytes, 10 * 44 * 1460);
	assert_int_equal(p.limit, CAUSE_RECEIVE_WINDOW);
	assert_true(p.share > 0.5 && p.judged_ns <= 10 * (RTT + SIM_MS));
	assert_false(flow_progress(s.f, SIM_CLIENT, &p)); /* nothing moved, nothing in flight */
	sim_round(&s, 44, 0, 0);
	assert_true(flow_progress(s.f, SIM_CLIENT, &p));
	assert_int_equal(p.bytes, 44 * 1460);
	sim_end(&s);
}

static void a_time_stamp_that_comes_again_is_not_taken_for_new(void **state)
{
	unsigned i;

	/* Ten ACKs bear each time stamp; the answer to the first of them comes 3 ms later. The
	 * handshake's own answer is quick. */
	sim_begin(&s, RTT, 65535);
	sim_handshake(&s, -1);
	s.ts = true;
	s.tsval[0] = s.tsval[1] = 100;
	for (i = 0; i < 200; i++) {
		if (i % 10 == 0)
			s.tsval[SIM_SERVER]++;
		sim_ack(&s, s.una);
		s.now += 100 * SIM_US;
		if (i % 30 == 29) { /* echoes what came 3 ms ago */
			s.now += 2 * SIM_MS;
			sim_data(&s, 100, TCP_PSH);
			s.now += RTT;
			sim_ack(&s, s.next);
			s.now += 500 * SIM_US;
			sim_data(&s, 100, TCP_PSH); /* …and this what came more than RTT ago */
		}
	}
	assert_true(client()->rtt.n <= 1 || client()->rtt.max <= 10 * SIM_US);
	sim_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			a_paced_sender_that_never_has_more_in_flight_is_held_by_its_buffer),
		cmocka_unit_test(one_that_has_a_segment_more_in_each_round_trip_is_not),
		cmocka_unit_test(one_late_round_trip_does_not_end_it),
		cmocka_unit_test(a_program_that_writes_by_itself_is_the_application),
		cmocka_unit_test(
			a_write_soon_after_each_ack_of_a_long_path_is_still_the_application_s),
		cmocka_unit_test(writes_as_long_apart_as_a_round_trip_are_not_answers),
		cmocka_unit_test(who_waits_for_an_ack_is_prompt_now_and_then),
		cmocka_unit_test(a_clock_of_its_own_is_remembered_while_writes_follow_acks),
		cmocka_unit_test(it_is_not_remembered_for_ever),
		cmocka_unit_test(a_buffer_that_holds_now_more_and_now_less_still_limits),
		cmocka_unit_test(
			a_window_too_small_for_a_segment_is_closed_though_a_probe_is_in_flight),
		cmocka_unit_test(a_late_program_is_no_queue_on_its_side_of_the_capture),
		cmocka_unit_test(a_tail_that_is_probed_far_away_is_no_time_out),
		cmocka_unit_test(what_is_sent_after_pauses_without_an_ack_is_a_program_s),
		cmocka_unit_test(a_long_path_may_make_a_prompt_answer_late),
		cmocka_unit_test(an_answer_faster_than_any_that_was_measured_is_one),
		cmocka_unit_test(full_segments_that_time_out_behind_a_sacked_tail_are_a_black_hole),
		cmocka_unit_test(time_outs_between_which_full_segments_arrive_are_no_black_hole),
		cmocka_unit_test(what_a_dsack_proves_needless_is_no_loss_that_limits),
		cmocka_unit_test(without_a_dsack_it_is_one),
		cmocka_unit_test(a_buffer_sent_as_two_super_segments_is_no_small_write),
		cmocka_unit_test(a_fin_whose_ack_is_late_is_no_time_of_the_transfer_s),
		cmocka_unit_test(progress_is_what_came_since_it_was_last_asked_for),
		cmocka_unit_test(a_time_stamp_that_comes_again_is_not_taken_for_new),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
