// SPDX-License-Identifier: GPL-3.0-or-later
/* test_capture_flow.c - what is told of one connection from its segments */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "capture/report.h"
#include "tests/unit/tcp_sim.h"

static struct sim s;

static const struct direction *client(void)
{
	return &s.f->dir[SIM_CLIENT];
}

static const struct direction *server(void)
{
	return &s.f->dir[SIM_SERVER];
}

static bool found_it;
static char found_text[512];

static void remember(void *ctx, const char *kind, const char *text)
{
	if (!strcmp(kind, ctx)) {
		found_it = true;
		snprintf(found_text, sizeof(found_text), "%s", text);
	}
}

static bool found(const char *kind)
{
	found_it = false;
	findings_of(s.f, remember, (void *)kind);
	return found_it;
}

/* ----------------------------------------------------------- handshake */

static void a_handshake_tells_options_and_both_round_trips(void **state)
{
	sim_begin(&s, 120 * SIM_MS, 5000);
	sim_handshake(&s, 7);
	assert_true(s.f->client_known);
	assert_int_equal(s.f->client, SIM_CLIENT);
	assert_int_equal(server()->handshake_us, 120000);
	assert_int_equal(client()->handshake_us, 10);
	assert_int_equal(flow_rtt_ns(s.f), 120 * SIM_MS + 10 * SIM_US);
	assert_true(server()->scale_known && client()->scale_known);
	assert_int_equal(direction_mss(s.f, SIM_CLIENT), 1460);
	sim_data(&s, 1460, 0);
	s.now += s.rtt;
	sim_ack(&s, s.next);
	assert_int_equal(server()->window_max, 5000u << 7);
	sim_end(&s);
}

static void one_side_without_scaling_means_none_for_both(void **state)
{
	struct segment g;

	sim_begin(&s, 10 * SIM_MS, 33304);
	g = sim_segment(&s, SIM_CLIENT, TCP_SYN, SIM_ISS, 0, 0);
	g.wscale = 7;
	sim_feed(&s, &g);
	g = sim_segment(&s, SIM_SERVER, TCP_SYN | TCP_ACK, SIM_IRS, SIM_ISS + 1, 0);
	sim_feed(&s, &g);
	sim_data(&s, 100, 0);
	sim_ack(&s, s.next);
	assert_true(server()->scale_known);
	assert_int_equal(server()->window_max, 33304);
	assert_true(found("no_window_scaling"));
	assert_non_null(strstr(found_text, "server"));
	sim_end(&s);
}

static void a_syn_ack_alone_tells_only_the_server_s_scale(void **state)
{
	struct segment g;

	sim_begin(&s, 10 * SIM_MS, 500);
	g = sim_segment(&s, SIM_SERVER, TCP_SYN | TCP_ACK, SIM_IRS, SIM_ISS + 1, 0);
	g.wscale = 3;
	sim_feed(&s, &g);
	assert_int_equal(s.f->client, SIM_CLIENT);
	assert_true(server()->scale_known);
	assert_false(client()->scale_known);
	sim_end(&s);
}

/* The 7504 of 2008: 60,032 bytes in flight show that the field is scaled by 2^3 at least. */
static void without_a_handshake_the_scale_is_bounded_by_what_was_in_flight(void **state)
{
	unsigned i;

	sim_begin(&s, 50 * SIM_MS, 7504);
	sim_ack(&s, s.una);
	for (i = 0; i < 30; i++)
		sim_round(&s, 41, 0, 60032 - 40 * 1460);
	assert_false(server()->scale_known);
	assert_int_equal(server()->scale_least, 3);
	assert_true(found("scale_unknown"));
	assert_non_null(strstr(found_text, "2^3 at least"));
	assert_non_null(strstr(found_text, "60032 B or more"));
	assert_true(found("mid_capture"));
	flow_end(s.f);
	assert_int_equal(verdict_of(s.f).limit, CAUSE_RECEIVE_WINDOW);
	sim_end(&s);
}

static void without_evidence_no_scale_is_claimed(void **state)
{
	sim_begin(&s, 50 * SIM_MS, 7504);
	sim_ack(&s, s.una);
	sim_round(&s, 4, TCP_PSH, 0);
	sim_round(&s, 4, TCP_PSH, 0);
	assert_int_equal(server()->scale_least, 0);
	assert_true(found("scale_unknown"));
	assert_non_null(strstr(found_text, "nothing in flight shows"));
	sim_end(&s);
}

/* ----------------------------------------------------- round trips */

static void a_round_trip_is_never_taken_of_what_was_sent_twice(void **state)
{
	sim_begin(&s, 20 * SIM_MS, 65535);
	sim_handshake(&s, -1);
	s.now += SIM_MS;
	sim_data(&s, 1460, 0);
	s.now += 300 * SIM_MS;
	sim_data_at(&s, s.next - 1460, 1460, 0);
	s.now += 1 * SIM_MS; /* an ACK of the first, or of the second? */
	sim_ack(&s, s.next);
	assert_int_equal(server()->rtt.n, 1);
	assert_int_equal(server()->rtt.min, 20 * SIM_MS);
	sim_end(&s);
}

static void time_stamps_tell_the_round_trip_to_the_sender(void **state)
{
	unsigned i;

	/* Looked at beside the server: what the client answers comes 80 ms after the ACK. */
	sim_begin(&s, 80 * SIM_MS, 65535);
	s.ts = true;
	sim_data(&s, 1000, 0);
	for (i = 0; i < 5; i++) {
		s.now += 50 * SIM_US;
		s.tsval[SIM_SERVER] = 1000 + i;
		sim_ack(&s, s.next);
		s.now += 80 * SIM_MS;
		sim_data(&s, 1000, 0);
	}
	assert_int_equal(client()->rtt.min, 80 * SIM_MS);
	assert_int_equal(server()->rtt.min, 50 * SIM_US);
	sim_end(&s);
}

/* ------------------------------------------------- again, and why */

static void data_in_order_are_never_called_retransmissions(void **state)
{
	unsigned i;

	sim_begin(&s, 20 * SIM_MS, 65535);
	sim_handshake(&s, -1);
	for (i = 0; i < 50; i++)
		sim_round(&s, 20, 0, 0);
	assert_int_equal(client()->fresh, 50 * 20 * 1460); /* and its numbers have wrapped */
	assert_int_equal(client()->lost + client()->reordered + client()->gaps, 0);
	sim_end(&s);
}

/* Ten segments, the third lost beyond the capture; what follows is SACKed. */
static uint32_t lose_one(void)
{
	uint32_t lost, i;

	sim_begin(&s, 20 * SIM_MS, 65535);
	sim_handshake(&s, -1);
	for (i = 0; i < 10; i++)
		sim_data(&s, 1460, 0);
	lost = SIM_ISS + 1 + 2 * 1460;
	s.now += s.rtt;
	sim_ack(&s, lost);
	return lost;
}

static void what_duplicate_acks_ask_for_is_a_fast_retransmission(void **state)
{
	uint32_t lost = lose_one(), i;

	for (i = 0; i < 3; i++)
		sim_ack(&s, lost);
	sim_data_at(&s, lost, 1460, 0);
	assert_int_equal(client()->retrans[RETRANS_FAST], 1);
	assert_int_equal(client()->lost, 1);
	assert_int_equal(client()->dupacks, 3);
	sim_end(&s);
}

static void what_a_sack_asks_for_is_a_fast_retransmission(void **state)
{
	uint32_t lost = lose_one();

	sim_sack(&s, lost, lost + 1460, s.next);
	sim_data_at(&s, lost, 1460, 0);
	assert_int_equal(client()->retrans[RETRANS_FAST], 1);
	sim_end(&s);
}

static void what_nobody_asks_for_is_a_time_out(void **state)
{
	uint32_t lost = lose_one();

	s.now += 300 * SIM_MS;
	sim_data_at(&s, lost, 1460, 0);
	s.now += 20 * SIM_MS;
	sim_data_at(&s, lost + 1460, 1460, 0); /* go back N */
	assert_int_equal(client()->retrans[RETRANS_RTO], 2);
	sim_end(&s);
}

static void the_tail_sent_again_soon_is_a_probe(void **state)
{
	lose_one();
	s.now += 45 * SIM_MS;
	sim_data_at(&s, s.next - 1460, 1460, 0);
	assert_int_equal(client()->retrans[RETRANS_PROBE], 1);
	sim_end(&s);
}

static void a_dsack_shows_that_a_retransmission_was_needless(void **state)
{
	uint32_t lost = lose_one();

	s.now += 300 * SIM_MS;
	sim_data_at(&s, lost, 1460, 0);
	s.now += s.rtt;
	sim_sack(&s, s.next, lost, lost + 1460);
	assert_int_equal(client()->retrans[RETRANS_SPURIOUS], 1);
	assert_int_equal(client()->lost, 0);
	sim_end(&s);
}

static void a_keep_alive_is_a_probe_and_no_loss(void **state)
{
	sim_begin(&s, 20 * SIM_MS, 65535);
	sim_handshake(&s, -1);
	sim_round(&s, 2, TCP_PSH, 0);
	s.now += 60000 * SIM_MS;
	sim_data_at(&s, s.next - 1, 1, 0);
	assert_int_equal(client()->retrans[RETRANS_PROBE], 1);
	assert_int_equal(client()->lost, 0);
	sim_end(&s);
}

static void a_super_segment_sent_again_counts_as_the_segments_it_is(void **state)
{
	sim_begin(&s, 20 * SIM_MS, 65535);
	sim_handshake(&s, -1);
	sim_data(&s, 10 * 1460, 0);
	assert_int_equal(client()->supers, 1);
	s.now += 400 * SIM_MS;
	sim_data_at(&s, s.next - 14600, 14600, 0);
	assert_int_equal(client()->retrans[RETRANS_RTO], 10);
	assert_true(found("super_segments"));
	sim_end(&s);
}

/* ------------------------------------------------ order, copies, gaps */

static void a_segment_overtaken_within_a_round_trip_is_no_loss(void **state)
{
	sim_begin(&s, 20 * SIM_MS, 65535);
	sim_handshake(&s, -1);
	s.now += SIM_MS;
	sim_data(&s, 1460, 0);
	s.id[SIM_CLIENT] = 100;
	sim_data_at(&s, s.next + 1460, 1460, 0); /* id 101 */
	s.now += SIM_MS;
	s.id[SIM_CLIENT] = 99;
	sim_data_at(&s, s.next, 1460, 0); /* id 100 */
	assert_int_equal(client()->reordered, 1);
	assert_int_equal(client()->lost, 0);
	assert_int_equal(client()->fresh, 3 * 1460);
	assert_true(found("reordering"));
	sim_end(&s);
}

static void a_hole_filled_by_a_later_packet_was_lost_before_the_capture(void **state)
{
	sim_begin(&s, 20 * SIM_MS, 65535);
	sim_handshake(&s, -1);
	sim_data(&s, 1460, 0);
	sim_data_at(&s, s.next + 1460, 1460, 0);
	s.now += 2 * SIM_MS; /* sooner than a round trip, but the identification tells */
	sim_data_at(&s, s.next, 1460, 0);
	assert_int_equal(client()->reordered, 0);
	assert_int_equal(client()->lost, 1);
	sim_end(&s);
}

static void the_same_frame_again_is_a_duplicate_and_nothing_else(void **state)
{
	static const uint8_t first[MACS_THERE] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2};
	static const uint8_t copy[MACS_THERE] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 3};
	struct segment g;
	unsigned i;

	sim_begin(&s, 20 * SIM_MS, 65535);
	sim_handshake(&s, -1);
	for (i = 0; i < 10; i++) {
		g = sim_segment(&s, SIM_CLIENT, TCP_ACK, s.next, SIM_IRS + 1, 1460);
		g.macs = first;
		sim_feed(&s, &g);
		s.next += 1460;
		s.now += 300 * SIM_US;
		g.time_ns = s.now;
		g.macs = copy;
		sim_feed(&s, &g);
		s.now += 100 * SIM_US;
	}
	assert_non_null(client()->dup);
	assert_int_equal(client()->dup->packets, 10);
	assert_int_equal(client()->dup->timed, 10);
	assert_int_equal(client()->dup->offset_min_ns, 300 * SIM_US);
	assert_memory_equal(client()->dup->macs[1], copy, 12);
	assert_int_equal(client()->fresh, 14600);
	assert_true(found("duplicates"));
	assert_non_null(strstr(found_text, "02:00:00:00:00:03"));
	sim_end(&s);
}

/* A receiving host that merges segments shows their copies cut in other ways. */
static void copies_of_merged_segments_are_told_by_their_identification(void **state)
{
	static const uint16_t begins[] = {1, 32760, 63802};
	unsigned i, j;

	for (i = 0; i < 3; i++) {
		sim_begin(&s, 20 * SIM_MS, 65535);
		sim_handshake(&s, -1);
		s.id[SIM_CLIENT] = begins[i];
		for (j = 0; j < 20; j++) {
			uint16_t id = s.id[SIM_CLIENT];

			sim_data(&s, 2 * 1460, 0);
			sim_ack(&s, s.next);
			s.id[SIM_CLIENT] = id;
			sim_data_at(&s, s.next - 2920, 1460, 0);
			sim_data_at(&s, s.next - 1460, 1460, 0);
			s.now += SIM_MS;
		}
		/* The first few show that the host counts. */
		assert_in_range(client()->dup->packets, 20, 30);
		assert_int_equal(client()->lost + client()->dup->packets, 40);
		assert_int_equal(client()->fresh, 20 * 2920);
		sim_end(&s);
	}
}

static void a_retransmission_is_no_duplicate_however_alike(void **state)
{
	struct segment g;

	sim_begin(&s, 20 * SIM_MS, 65535);
	sim_handshake(&s, -1);
	sim_data(&s, 10, 0);
	g = sim_segment(&s, SIM_CLIENT, TCP_ACK, s.next, SIM_IRS + 1, 1460);
	g.ip_id = 0; /* as in IPv6: nothing tells them apart but the time */
	sim_feed(&s, &g);
	g.time_ns = s.now += 250 * SIM_MS;
	sim_feed(&s, &g);
	assert_null(client()->dup);
	assert_int_equal(client()->lost, 1);
	sim_end(&s);
}

static void the_same_packet_at_another_interface_is_counted_and_no_more(void **state)
{
	struct segment g;

	sim_begin(&s, 20 * SIM_MS, 65535);
	sim_handshake(&s, -1);
	g = sim_segment(&s, SIM_CLIENT, TCP_ACK, s.next, SIM_IRS + 1, 1460);
	sim_feed(&s, &g);
	g.at.interface = 1;
	sim_feed(&s, &g);
	assert_int_equal(client()->elsewhere, 1);
	assert_int_equal(client()->lost, 0);
	assert_null(client()->dup);
	assert_true(found("several_places"));
	sim_end(&s);
}

static void an_ack_of_data_never_seen_shows_that_the_capture_has_gaps(void **state)
{
	sim_begin(&s, 20 * SIM_MS, 65535);
	sim_handshake(&s, -1);
	sim_data(&s, 1460, 0);
	s.next += 1460; /* the capture missed one */
	sim_ack(&s, s.next);
	assert_int_equal(client()->unseen, 1);
	assert_true(found("capture_gaps"));
	sim_end(&s);
}

static void a_syn_in_the_middle_of_the_data_does_not_move_the_stream(void **state)
{
	struct segment g;

	sim_begin(&s, 20 * SIM_MS, 65535);
	sim_data(&s, 1000, 0);
	s.next += 50000; /* never seen */
	sim_data(&s, 1000, 0);
	g = sim_segment(&s, SIM_CLIENT, TCP_SYN | TCP_ACK, SIM_ISS + 1, SIM_IRS + 1, 0);
	sim_feed(&s, &g);
	s.next += 1000;
	sim_data(&s, 1000, 0);
	sim_data_at(&s, SIM_ISS + 1 + 5000, 1000, 0);
	assert_int_equal(client()->fresh, 4000);
	assert_int_equal(client()->payload, 4000);
	sim_end(&s);
}

static void time_that_goes_backwards_is_counted_and_does_no_harm(void **state)
{
	sim_begin(&s, 20 * SIM_MS, 65535);
	sim_handshake(&s, -1);
	sim_round(&s, 4, 0, 0);
	s.now -= 15 * SIM_MS;
	sim_round(&s, 4, 0, 0);
	flow_end(s.f);
	assert_true(s.f->backwards > 0);
	assert_int_equal(client()->fresh, 8 * 1460);
	sim_end(&s);
}

/* ---------------------------------------------------------------- limits */

static double share(unsigned cause)
{
	flow_end(s.f);
	return verdict_of(s.f).share[cause];
}

static void a_window_that_is_always_full_limits(void **state)
{
	unsigned i;

	sim_begin(&s, 120 * SIM_MS, 33304);
	sim_handshake(&s, -1);
	for (i = 0; i < 40; i++)
		sim_round(&s, 22, 0, 0); /* 32120 B: one more does not fit */
	assert_true(share(CAUSE_RECEIVE_WINDOW) > 0.95);
	assert_int_equal(verdict_of(s.f).limit, CAUSE_RECEIVE_WINDOW);
	/* 33304 * 8 / 0.12 */
	assert_in_range((uint64_t)cause_of(CAUSE_RECEIVE_WINDOW)->ceiling(s.f, SIM_CLIENT), 2150000,
			2250000);
	sim_end(&s);
}

static void a_flight_that_stands_still_below_the_window_and_ends_with_psh_is_the_send_buffer(
	void **state)
{
	unsigned i;

	sim_begin(&s, 120 * SIM_MS, 65535);
	sim_handshake(&s, -1);
	for (i = 0; i < 40; i++)
		sim_round(&s, 23, TCP_PSH, 1184); /* 33304 B */
	assert_int_equal(verdict_of(s.f).limit, CAUSE_SEND_BUFFER);
	assert_true(share(CAUSE_SEND_BUFFER) > 0.85);
	sim_end(&s);
}

static void a_flight_that_grows_is_the_start(void **state)
{
	unsigned i;

	sim_begin(&s, 100 * SIM_MS, 65535);
	sim_handshake(&s, 7);
	for (i = 0; i < 7; i++)
		sim_round(&s, 10u << i, 0, 0);
	assert_true(share(CAUSE_START) > 0.99);
	sim_end(&s);
}

static void silence_with_everything_acknowledged_is_the_application(void **state)
{
	unsigned i;

	sim_begin(&s, 10 * SIM_MS, 65535);
	sim_handshake(&s, 7);
	for (i = 0; i < 20; i++) {
		sim_round(&s, 10, TCP_PSH, 700);
		s.now += 190 * SIM_MS;
	}
	assert_true(share(CAUSE_APPLICATION) > 0.95);
	sim_end(&s);
}

static void a_closed_window_is_told_apart_from_a_small_one(void **state)
{
	unsigned i;

	sim_begin(&s, 10 * SIM_MS, 14600);
	sim_handshake(&s, -1);
	for (i = 0; i < 20; i++) {
		uint32_t next;

		s.window = 14600;
		sim_ack(&s, s.una);
		s.now += 10 * SIM_US;
		for (next = 0; next < 10; next++)
			sim_data(&s, 1460, 0);
		s.now += s.rtt;
		s.window = 0;
		sim_ack(&s, s.next);
		s.now += 90 * SIM_MS;
	}
	assert_true(share(CAUSE_ZERO_WINDOW) > 0.8);
	assert_in_range(server()->zero_windows, 20, 20);
	sim_end(&s);
}

static void losses_without_a_queue_are_congestion_and_with_one_the_path(void **state)
{
	unsigned i, queued;

	for (queued = 0; queued < 2; queued++) {
		sim_begin(&s, 20 * SIM_MS, 65535);
		sim_handshake(&s, 7);
		for (i = 0; i < 60; i++) {
			uint32_t lost = s.next;

			if (i % 6) {
				/* The queue grows from loss to loss. */
				s.rtt = 20 * SIM_MS + queued * (i % 6) * 8 * SIM_MS;
				sim_round(&s, 20 + i % 6, 0, 0);
				continue;
			}
			sim_round(&s, 0, 0, 0);
			s.next += 1460;
			sim_data_at(&s, lost, 1460, 0);
			sim_data(&s, 14600, 0);
			s.now += s.rtt;
			sim_sack(&s, lost, lost + 1460, s.next);
			sim_data_at(&s, lost, 1460, 0);
			s.now += s.rtt;
			sim_ack(&s, s.next);
		}
		assert_int_equal(client()->lost, 10);
		assert_true(share(queued ? CAUSE_PATH : CAUSE_CONGESTION) > 0.6);
		sim_end(&s);
	}
}

static void small_segments_that_wait_for_a_late_ack_are_nagle_s(void **state)
{
	unsigned i;

	sim_begin(&s, 4 * SIM_MS, 65535);
	sim_handshake(&s, 7);
	for (i = 0; i < 50; i++) {
		sim_data(&s, 700, TCP_PSH);
		s.now += 44 * SIM_MS;
		sim_ack(&s, s.next);
		s.now += 50 * SIM_US;
		sim_data(&s, 300, TCP_PSH);
		s.now += 4 * SIM_MS;
		sim_ack(&s, s.next);
		s.now += 50 * SIM_US;
	}
	assert_int_equal(verdict_of(s.f).limit, CAUSE_NAGLE_DELAYED_ACK);
	assert_true(share(CAUSE_NAGLE_DELAYED_ACK) > 0.9);
	sim_end(&s);
}

static void full_segments_that_never_arrive_without_a_word_are_a_black_hole(void **state)
{
	uint32_t at;
	unsigned i;

	sim_begin(&s, 20 * SIM_MS, 65535);
	sim_handshake(&s, 7);
	sim_round(&s, 1, TCP_PSH, 200); /* small ones pass */
	at = s.next;
	sim_data(&s, 1460, 0);
	sim_data(&s, 1460, 0);
	for (i = 0; i < 6; i++) {
		s.now += (200ull << i) * SIM_MS;
		sim_data_at(&s, at, 1460, 0);
	}
	assert_true(client()->black_hole);
	assert_int_equal(verdict_of(s.f).limit, CAUSE_PMTU_BLACK_HOLE);
	assert_true(share(CAUSE_PMTU_BLACK_HOLE) > 0.5);
	sim_end(&s);
}

static void with_an_icmp_too_big_it_is_no_black_hole(void **state)
{
	struct too_big big = {.from = SIM_CLIENT, .mtu = 1400};
	unsigned i;

	sim_begin(&s, 20 * SIM_MS, 65535);
	sim_handshake(&s, 7);
	sim_data(&s, 1460, 0);
	flow_too_big(s.f, &big);
	for (i = 0; i < 4; i++) {
		s.now += (200ull << i) * SIM_MS;
		sim_data_at(&s, s.next - 1460, 1460, 0);
	}
	assert_false(client()->black_hole);
	assert_true(found("too_big"));
	sim_end(&s);
}

static void shares_add_up_and_intervals_cover_the_time_without_overlap(void **state)
{
	struct verdict v;
	double sum = 0;
	unsigned i;

	sim_begin(&s, 30 * SIM_MS, 33304);
	sim_handshake(&s, -1);
	for (i = 0; i < 300; i++) {
		sim_round(&s, i % 20 < 10 ? 22 : 5, TCP_PSH, 900);
		s.now += i % 7 ? 0 : 500 * SIM_MS;
	}
	flow_end(s.f);
	v = verdict_of(s.f);
	for (i = 0; i < CAUSES; i++)
		sum += v.share[i];
	assert_true(sum > 0.9999 && sum < 1.0001);
	assert_true(client()->n_intervals > 3);
	for (i = 1; i < client()->n_intervals; i++) {
		assert_true(client()->intervals[i].start_ns >= client()->intervals[i - 1].end_ns);
		assert_int_not_equal(client()->intervals[i].cause,
				     client()->intervals[i - 1].cause);
	}
	sim_end(&s);
}

static void a_quiet_flow_gives_up_its_memory_and_goes_on_as_if_nothing_had_been(void **state)
{
	sim_begin(&s, 20 * SIM_MS, 65535);
	sim_handshake(&s, -1);
	sim_round(&s, 10, TCP_PSH, 0);
	flow_quiet(s.f);
	assert_null(client()->track);
	s.now += 60000 * SIM_MS;
	sim_round(&s, 10, TCP_PSH, 0);
	assert_int_equal(client()->fresh, 29200);
	assert_int_equal(client()->lost + client()->gaps, 0);
	assert_true(share(CAUSE_APPLICATION) > 0.99);
	sim_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_handshake_tells_options_and_both_round_trips),
		cmocka_unit_test(one_side_without_scaling_means_none_for_both),
		cmocka_unit_test(a_syn_ack_alone_tells_only_the_server_s_scale),
		cmocka_unit_test(without_a_handshake_the_scale_is_bounded_by_what_was_in_flight),
		cmocka_unit_test(without_evidence_no_scale_is_claimed),
		cmocka_unit_test(a_round_trip_is_never_taken_of_what_was_sent_twice),
		cmocka_unit_test(time_stamps_tell_the_round_trip_to_the_sender),
		cmocka_unit_test(data_in_order_are_never_called_retransmissions),
		cmocka_unit_test(what_duplicate_acks_ask_for_is_a_fast_retransmission),
		cmocka_unit_test(what_a_sack_asks_for_is_a_fast_retransmission),
		cmocka_unit_test(what_nobody_asks_for_is_a_time_out),
		cmocka_unit_test(the_tail_sent_again_soon_is_a_probe),
		cmocka_unit_test(a_dsack_shows_that_a_retransmission_was_needless),
		cmocka_unit_test(a_keep_alive_is_a_probe_and_no_loss),
		cmocka_unit_test(a_super_segment_sent_again_counts_as_the_segments_it_is),
		cmocka_unit_test(a_segment_overtaken_within_a_round_trip_is_no_loss),
		cmocka_unit_test(a_hole_filled_by_a_later_packet_was_lost_before_the_capture),
		cmocka_unit_test(the_same_frame_again_is_a_duplicate_and_nothing_else),
		cmocka_unit_test(copies_of_merged_segments_are_told_by_their_identification),
		cmocka_unit_test(a_retransmission_is_no_duplicate_however_alike),
		cmocka_unit_test(the_same_packet_at_another_interface_is_counted_and_no_more),
		cmocka_unit_test(an_ack_of_data_never_seen_shows_that_the_capture_has_gaps),
		cmocka_unit_test(a_syn_in_the_middle_of_the_data_does_not_move_the_stream),
		cmocka_unit_test(time_that_goes_backwards_is_counted_and_does_no_harm),
		cmocka_unit_test(a_window_that_is_always_full_limits),
		cmocka_unit_test(
			a_flight_that_stands_still_below_the_window_and_ends_with_psh_is_the_send_buffer),
		cmocka_unit_test(a_flight_that_grows_is_the_start),
		cmocka_unit_test(silence_with_everything_acknowledged_is_the_application),
		cmocka_unit_test(a_closed_window_is_told_apart_from_a_small_one),
		cmocka_unit_test(losses_without_a_queue_are_congestion_and_with_one_the_path),
		cmocka_unit_test(small_segments_that_wait_for_a_late_ack_are_nagle_s),
		cmocka_unit_test(full_segments_that_never_arrive_without_a_word_are_a_black_hole),
		cmocka_unit_test(with_an_icmp_too_big_it_is_no_black_hole),
		cmocka_unit_test(shares_add_up_and_intervals_cover_the_time_without_overlap),
		cmocka_unit_test(
			a_quiet_flow_gives_up_its_memory_and_goes_on_as_if_nothing_had_been),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
