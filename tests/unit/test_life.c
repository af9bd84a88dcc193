// SPDX-License-Identifier: GPL-3.0-or-later
/* test_life.c - the life of an accelerated flow: every end, and what a peer must not do */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "accel/life.h"

#include <stdlib.h>

static struct life near(void)
{
	return (struct life){.role = LIFE_NEAR, .phase = LIFE_HELD};
}

static struct life far(void)
{
	return (struct life){.role = LIFE_FAR, .phase = LIFE_CONNECTING};
}

static struct life opened(void)
{
	struct life l = near();

	life_next(&l, LIFE_EV_opened);
	life_next(&l, LIFE_EV_accepted);
	assert_int_equal(l.phase, LIFE_OPEN);
	return l;
}

static void a_syn_is_given_to_the_stack_only_when_the_far_side_has_connected(void **state)
{
	struct life l = near();

	assert_int_equal(life_next(&l, LIFE_EV_opened), LIFE_INJECT_SYN);
	assert_int_equal(l.phase, LIFE_ACCEPTING);
	assert_int_equal(life_next(&l, LIFE_EV_accepted), LIFE_ATTACH);
	assert_int_equal(l.phase, LIFE_OPEN);
}

static void a_refusal_is_passed_on_and_the_stream_serves_the_next(void **state)
{
	struct life l = near(), f = far();

	assert_int_equal(life_next(&l, LIFE_EV_refused),
			 LIFE_REFUSE_CLIENT | LIFE_FORGET | LIFE_FREE_STREAM);
	assert_int_equal(life_next(&f, LIFE_EV_connect_failed),
			 LIFE_SEND_REFUSED | LIFE_FORGET | LIFE_FREE_STREAM);
	assert_int_equal(l.phase, LIFE_ENDED);
	assert_int_equal(f.phase, LIFE_ENDED);
}

static void silence_is_never_answered(void **state)
{
	struct life l = near();

	assert_int_equal(life_next(&l, LIFE_EV_silent), LIFE_FORGET | LIFE_FREE_STREAM);
}

static void an_unanswered_syn_is_bridged_only_when_nothing_is_left_at_the_far_side(void **state)
{
	struct life l = near(), f = far();

	assert_int_equal(life_next(&l, LIFE_EV_syn_again), LIFE_SEND_CANCEL);
	assert_int_equal(life_next(&f, LIFE_EV_peer_cancel),
			 LIFE_SEND_CANCELLED | LIFE_FORGET | LIFE_FREE_STREAM);
	assert_int_equal(life_next(&l, LIFE_EV_cancelled), LIFE_BRIDGE_SYN | LIFE_FREE_STREAM);
}

static void a_cancel_that_crosses_opened_is_void(void **state)
{
	struct life l = near(), f = far();

	life_next(&f, LIFE_EV_connected);
	life_next(&l, LIFE_EV_syn_again);
	assert_int_equal(life_next(&f, LIFE_EV_peer_cancel), 0);
	assert_int_equal(f.phase, LIFE_OPEN);
	assert_int_equal(life_next(&l, LIFE_EV_opened), LIFE_INJECT_SYN);
	assert_int_equal(life_next(&l, LIFE_EV_accepted), LIFE_ATTACH);
}

static void a_client_that_gave_up_while_the_server_answered_costs_it_a_reset(void **state)
{
	struct life l = near();

	life_next(&l, LIFE_EV_syn_again);
	life_next(&l, LIFE_EV_give_up);
	assert_int_equal(life_next(&l, LIFE_EV_opened),
			 LIFE_FORGET | LIFE_SEND_RESET | LIFE_CLOSE_STREAM);
	assert_int_equal(l.phase, LIFE_ENDED);
}

static void a_client_that_never_answers_costs_the_server_a_reset(void **state)
{
	struct life l = near();

	life_next(&l, LIFE_EV_opened);
	assert_int_equal(life_next(&l, LIFE_EV_accept_timeout),
			 LIFE_SEND_RESET | LIFE_ABORT | LIFE_CLOSE_STREAM);
}

static void each_direction_ends_by_itself(void **state)
{
	struct life l = opened();

	assert_int_equal(life_next(&l, LIFE_EV_host_eof), LIFE_SEND_FIN);
	assert_int_equal(life_next(&l, LIFE_EV_peer_delivered), LIFE_RELEASE_FIN);
	assert_int_equal(l.phase, LIFE_OPEN);
	assert_int_equal(life_next(&l, LIFE_EV_peer_fin), LIFE_SHUTDOWN);
	assert_int_equal(life_next(&l, LIFE_EV_host_acked), LIFE_SEND_DELIVERED | LIFE_SEND_DONE);
	assert_int_equal(life_next(&l, LIFE_EV_peer_done), LIFE_CLOSE | LIFE_FREE_STREAM);
	assert_int_equal(l.phase, LIFE_ENDED);
}

/* The events of both directions in any order that TCP allows end in peace, with each thing done
 * once. */
static void any_order_of_both_ends_is_a_close(void **state)
{
	static const enum life_event all[] = {LIFE_EV_host_eof, LIFE_EV_peer_delivered,
					      LIFE_EV_peer_fin, LIFE_EV_host_acked,
					      LIFE_EV_peer_done};
	unsigned round, i, j;

	srand(1);
	for (round = 0; round < 2000; round++) {
		struct life l = opened();
		unsigned done = 0, pending = 31, ended = 0;

		while (pending) {
			i = (unsigned)rand() % 5;
			/* each but the first of a direction follows what it answers */
			if (!(pending & 1u << i) || (i == 1 && pending & 1) ||
			    (i == 3 && pending & 4) || (i == 4 && pending & 5))
				continue;
			j = life_next(&l, all[i]);
			assert_int_equal(j & LIFE_BAD, 0);
			assert_int_equal(done & j, 0);
			done |= j;
			pending &= ~(1u << i);
			ended += l.phase == LIFE_ENDED;
		}
		assert_int_equal(l.phase, LIFE_ENDED);
		assert_int_equal(ended, 1);
		assert_int_equal(done, LIFE_SEND_FIN | LIFE_RELEASE_FIN | LIFE_SHUTDOWN |
					       LIFE_SEND_DELIVERED | LIFE_SEND_DONE | LIFE_CLOSE |
					       LIFE_FREE_STREAM);
	}
}

static void what_has_ended_at_both_hosts_is_never_reset(void **state)
{
	struct life l = opened(), m;

	life_next(&l, LIFE_EV_host_eof);
	life_next(&l, LIFE_EV_peer_fin);
	life_next(&l, LIFE_EV_host_acked);
	assert_int_equal(life_next(&l, LIFE_EV_peer_delivered), LIFE_RELEASE_FIN | LIFE_SEND_DONE);
	m = l;
	assert_int_equal(life_next(&m, LIFE_EV_kill),
			 LIFE_CLOSE | LIFE_SEND_RESET | LIFE_CLOSE_STREAM);
	m = l;
	assert_int_equal(life_next(&m, LIFE_EV_stream_lost), LIFE_CLOSE);
	assert_int_equal(life_next(&l, LIFE_EV_peer_reset), LIFE_CLOSE | LIFE_CLOSE_STREAM);
}

static void a_lost_stream_is_a_reset_never_a_close(void **state)
{
	struct life l = opened();

	life_next(&l, LIFE_EV_host_eof);
	life_next(&l, LIFE_EV_peer_fin);
	assert_int_equal(life_next(&l, LIFE_EV_stream_lost), LIFE_ABORT);
}

static void a_stream_lost_after_everything_was_delivered_is_a_close(void **state)
{
	struct life l = opened();

	life_next(&l, LIFE_EV_host_eof);
	life_next(&l, LIFE_EV_peer_delivered);
	life_next(&l, LIFE_EV_peer_fin);
	life_next(&l, LIFE_EV_host_acked);
	assert_int_equal(life_next(&l, LIFE_EV_stream_lost), LIFE_CLOSE);
}

static void a_reset_goes_in_band_and_ends_the_stream(void **state)
{
	struct life l = opened(), m = opened();

	assert_int_equal(life_next(&l, LIFE_EV_host_reset),
			 LIFE_SEND_RESET | LIFE_ABORT | LIFE_CLOSE_STREAM);
	assert_int_equal(life_next(&m, LIFE_EV_peer_reset), LIFE_ABORT | LIFE_CLOSE_STREAM);
}

static void what_a_peer_must_not_do_is_told(void **state)
{
	struct life l = opened();

	assert_int_equal(life_next(&l, LIFE_EV_peer_done), LIFE_BAD);
	assert_int_equal(life_next(&l, LIFE_EV_peer_delivered), LIFE_BAD);
	assert_int_equal(life_next(&l, LIFE_EV_peer_cancel), LIFE_BAD);
	life_next(&l, LIFE_EV_peer_fin);
	assert_int_equal(life_next(&l, LIFE_EV_peer_fin), LIFE_BAD);
	l = near();
	assert_int_equal(life_next(&l, LIFE_EV_peer_fin), LIFE_BAD);
	l = far();
	assert_int_equal(life_next(&l, LIFE_EV_opened), LIFE_BAD);
}

/* Whatever happens in whatever order, a flow ends once and does nothing afterwards. */
static void nothing_happens_after_the_end(void **state)
{
	unsigned round, step;

	srand(2);
	for (round = 0; round < 20000; round++) {
		struct life l = round % 2 ? near() : far();
		unsigned seen = 0;

		for (step = 0; step < 40; step++) {
			bool was_over = l.phase == LIFE_ENDED;
			unsigned did = life_next(&l, (enum life_event)(rand() % LIFE_EVENT_COUNT));

			assert_true(l.phase < LIFE_PHASES);
			if (was_over)
				assert_int_equal(did, 0);
			/* a socket is closed, reset or neither, never both; a stream likewise */
			assert_false(did & LIFE_CLOSE && did & LIFE_ABORT);
			assert_false(did & LIFE_FREE_STREAM && did & LIFE_CLOSE_STREAM);
			if (did & (LIFE_CLOSE | LIFE_ABORT | LIFE_BRIDGE_SYN | LIFE_FORGET))
				assert_int_equal(l.phase, LIFE_ENDED);
			/* no close that the other host has not acknowledged */
			if (did & LIFE_CLOSE)
				assert_true(l.host_acked && l.peer_delivered);
			if (did & LIFE_RELEASE_FIN)
				assert_true(l.host_fin && !(seen & LIFE_RELEASE_FIN));
			seen |= did;
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_syn_is_given_to_the_stack_only_when_the_far_side_has_connected),
		cmocka_unit_test(a_refusal_is_passed_on_and_the_stream_serves_the_next),
		cmocka_unit_test(silence_is_never_answered),
		cmocka_unit_test(
			an_unanswered_syn_is_bridged_only_when_nothing_is_left_at_the_far_side),
		cmocka_unit_test(a_cancel_that_crosses_opened_is_void),
		cmocka_unit_test(a_client_that_gave_up_while_the_server_answered_costs_it_a_reset),
		cmocka_unit_test(a_client_that_never_answers_costs_the_server_a_reset),
		cmocka_unit_test(each_direction_ends_by_itself),
		cmocka_unit_test(any_order_of_both_ends_is_a_close),
		cmocka_unit_test(what_has_ended_at_both_hosts_is_never_reset),
		cmocka_unit_test(a_lost_stream_is_a_reset_never_a_close),
		cmocka_unit_test(a_stream_lost_after_everything_was_delivered_is_a_close),
		cmocka_unit_test(a_reset_goes_in_band_and_ends_the_stream),
		cmocka_unit_test(what_a_peer_must_not_do_is_told),
		cmocka_unit_test(nothing_happens_after_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
