// SPDX-License-Identifier: GPL-3.0-or-later
/* test_stream.c - streams to peers: which one serves, how long, and how one ends */
#include "streams.h"

static void an_idle_stream_retires_after_an_hour(void **state)
{
	struct fixture *f = *state;
	struct stream *s = new_streams(f, 1);

	assert_int_equal(told(f->peer[0]), RECORD_HELLO);
	assert_int_equal(f->shards[0].pools[0].idle, 1);
	stream_tick(s, s->born_ns + STREAM_AGE_NS);
	assert_int_equal(s->state, STREAM_IDLE);
	stream_tick(s, s->born_ns + STREAM_AGE_NS + 1);
	assert_int_equal(s->state, STREAM_CLOSING);
	assert_int_equal(f->shards[0].pools[0].idle, 0);
	assert_null(stream_take(f->shards, 0, 0));
	assert_int_equal(told(f->peer[0]), 0);
	/* The peer closes, too: it is gone, and another one was asked for. */
	SSL_shutdown(f->peer[0]);
	shutdown(SSL_get_fd(f->peer[0]), SHUT_WR);
	hear(s);
	assert_true(s->dead);
	assert_int_equal(f->shards[0].pools[0].streams, 0);
	assert_true(f->asked > 0);
}

static void a_peer_that_does_not_close_is_not_waited_for(void **state)
{
	struct fixture *f = *state;
	struct stream *s = new_streams(f, 1);

	stream_tick(s, s->born_ns + STREAM_AGE_NS + 1);
	stream_tick(s, s->closing_ns + STREAM_CLOSE_NS);
	assert_false(s->dead);
	stream_tick(s, s->closing_ns + STREAM_CLOSE_NS + 1);
	assert_true(s->dead);
}

static void a_stream_retires_only_behind_its_flow(void **state)
{
	struct fixture *f = *state;
	struct stream *s = new_streams(f, 1);

	assert_ptr_equal(stream_take(f->shards, 0, 0), s);
	stream_tick(s, s->born_ns + 10 * STREAM_AGE_NS);
	assert_int_equal(s->state, STREAM_BUSY);
	s->born_ns = clock_ns() - STREAM_AGE_NS - 1;
	stream_free_for_next(s);
	assert_int_equal(s->state, STREAM_CLOSING);
	assert_int_equal(f->shards[0].pools[0].idle, 0);
}

static void the_stream_that_has_served_most_serves_next(void **state)
{
	struct fixture *f = *state;
	struct stream *one = new_streams(f, 2), *other = one->next,
		      *s = stream_take(f->shards, 0, 0);
	uint32_t flow = s->flow;

	assert_true(s == one || s == other);
	assert_int_equal(s->generation, 1);
	stream_free_for_next(s);
	assert_ptr_equal(stream_take(f->shards, 0, 0), s);
	assert_int_equal(s->generation, 2);
	assert_int_equal(s->flow, flow + 1);
	assert_ptr_equal(stream_take(f->shards, 0, 0), s == one ? other : one);
	assert_null(stream_take(f->shards, 0, 0));
}

static void last_words_arrive_before_the_end(void **state)
{
	static const uint8_t zeros[RESET_LEN];
	struct fixture *f = *state;
	struct stream *s = new_streams(f, 1);

	assert_int_equal(told(f->peer[0]), RECORD_HELLO);
	stream_take(f->shards, 0, 0);
	stream_send(s, RECORD_RESET, zeros, sizeof(zeros));
	stream_close_soon(s);
	stream_send(s, RECORD_FIN, NULL, 0); /* too late: it is not said */
	assert_int_equal(told(f->peer[0]), RECORD_RESET);
	assert_int_equal(told(f->peer[0]), 0);
	assert_null(stream_take(f->shards, 0, 0));
}

static void a_record_before_hello_breaks_the_stream(void **state)
{
	static const struct record fin = {.type = RECORD_FIN, .flow = 1, .generation = 1};
	struct fixture *f = *state;
	uint8_t hdr[RECORD_HDR_LEN];
	struct stream *s = new_streams(f, 1);

	record_store(hdr, &fin);
	assert_int_equal(SSL_write(f->peer[0], hdr, sizeof(hdr)), sizeof(hdr));
	hear(s);
	assert_true(s->dead);
	assert_int_equal(atomic_load(&f->a.counts.protocol), 1);
}

/* The peer says hello, and something besides. Returns whether the stream stands that. */
static bool stands(struct fixture *f, struct stream *s, const struct record *r)
{
	static const struct record hello = {.type = RECORD_HELLO, .len = HELLO_LEN};
	uint8_t said[2 * RECORD_HDR_LEN + HELLO_LEN + 100] = {0}, *more;

	f->a.memories[0].instance = 7; /* it was met before */
	record_store(said, &hello);
	store_be16(said + RECORD_HDR_LEN, STREAM_VERSION);
	store_be32(said + RECORD_HDR_LEN + 4, 7);
	more = said + RECORD_HDR_LEN + HELLO_LEN;
	record_store(more, r);
	memset(more + RECORD_HDR_LEN, 0xff, 100);
	assert_int_equal(SSL_write(f->peer[0], said, sizeof(said)), sizeof(said));
	hear(s);
	return !s->dead;
}

static void the_hello_of_an_earlier_process_that_comes_late_breaks_its_own_stream_alone(
	void **state)
{
	struct fixture *f = *state;
	struct stream *second = new_streams(f, 3), *first = second->next, *old = first->next;

	say_hello(f, first, 1, 1000);
	say_hello(f, old, 0, 999);
	assert_true(old->dead);
	assert_false(first->dead);
	assert_int_equal(f->a.memories[0].instance, 1000);
	say_hello(f, second, 2, 1000);
	assert_false(second->dead || first->dead);
	assert_int_equal(f->a.memories[0].streams, 2);
}

static void a_process_that_has_started_anew_ends_streams_to_the_one_before(void **state)
{
	struct fixture *f = *state;
	struct stream *new = new_streams(f, 2), *old = new->next;

	say_hello(f, old, 0, UINT32_MAX - 5); /* and times wrap */
	say_hello(f, new, 1, 3);
	assert_true(old->dead);
	assert_false(new->dead);
	assert_int_equal(f->a.memories[0].instance, 3);
	assert_int_equal(f->a.memories[0].streams, 1);
}

static void a_process_whose_clock_was_set_back_is_met_when_nothing_leads_to_the_one_before(
	void **state)
{
	struct fixture *f = *state;
	struct stream *third = new_streams(f, 3), *second = third->next, *first = second->next;

	say_hello(f, first, 0, 1000);
	say_hello(f, second, 1, 10);
	assert_true(second->dead);
	stream_break(first, "it is a test");
	assert_int_equal(f->a.memories[0].streams, 0);
	say_hello(f, third, 2, 10);
	assert_false(third->dead);
	assert_int_equal(f->a.memories[0].instance, 10);
}

static void padding_means_nothing(void **state)
{
	static const struct record pad = {.type = RECORD_PAD, .len = 100};
	struct fixture *f = *state;
	struct stream *s = new_streams(f, 1);

	assert_true(stands(f, s, &pad));
	assert_int_equal(s->instance, 7);
	assert_int_equal(s->state, STREAM_IDLE);
	assert_int_equal(atomic_load(&f->a.counts.protocol), 0);
	assert_ptr_equal(stream_take(f->shards, 0, 0), s);
}

static void padding_within_a_flow_is_none_of_its_bytes(void **state)
{
	static const struct record pad = {.type = RECORD_PAD, .len = 100};
	struct fixture *f = *state;
	struct stream *s = new_streams(f, 1);

	stream_take(f->shards, 0, 0);
	assert_true(stands(f, s, &pad));
	assert_int_equal(s->state, STREAM_BUSY);
}

static void data_of_no_flow_is_not_padding(void **state)
{
	static const struct record data = {.type = RECORD_DATA, .len = 100, .generation = 1};
	struct fixture *f = *state;
	struct stream *s = new_streams(f, 1);

	assert_false(stands(f, s, &data));
	assert_int_equal(atomic_load(&f->a.counts.protocol), 1);
}

static void a_stream_that_is_preferred_serves_next(void **state)
{
	struct fixture *f = *state;
	struct stream *s = new_streams(f, 3);

	stream_prefer(f->shards[0].pools[0].coldest);
	stream_prefer(s);
	assert_ptr_equal(f->shards[0].pools[0].warmest, s);
	stream_prefer(s);
	assert_int_equal(f->shards[0].pools[0].idle, 3);
	s->padding = true;
	assert_ptr_equal(stream_take(f->shards, 0, 0), s);
	assert_false(s->padding);
	stream_take(f->shards, 0, 0);
	stream_take(f->shards, 0, 0);
	assert_null(stream_take(f->shards, 0, 0));
}

/* Whether more is to be had of the TLS record that was read last. */
static bool in_one_piece(SSL *peer)
{
	return SSL_pending(peer) > 0;
}

static void what_is_said_in_a_turn_leaves_in_one_piece(void **state)
{
	static const uint8_t nothing[FIN_LEN];
	struct fixture *f = *state;
	struct stream *s = new_streams(f, 1);

	assert_int_equal(told(f->peer[0]), RECORD_HELLO);
	stream_take(f->shards, 0, 0);
	stream_send(s, RECORD_DELIVERED, NULL, 0);
	stream_send(s, RECORD_FIN, nothing, sizeof(nothing));
	stream_flush_said(f->shards);
	assert_true(stream_is_flushed(s));
	assert_int_equal(told(f->peer[0]), RECORD_DELIVERED);
	assert_true(in_one_piece(f->peer[0]));
	assert_int_equal(told(f->peer[0]), RECORD_FIN);
}

static void what_nobody_waits_for_leaves_with_what_is_said_next(void **state)
{
	struct fixture *f = *state;
	struct stream *s = new_streams(f, 1);

	assert_int_equal(told(f->peer[0]), RECORD_HELLO);
	stream_take(f->shards, 0, 0);
	stream_send_lazily(s, RECORD_DONE);
	assert_null(f->shards[0].said);
	assert_true(f->shards[0].lazy_timer.armed);
	stream_free_for_next(s);
	assert_ptr_equal(stream_take(f->shards, 0, 0), s);
	stream_send(s, RECORD_CANCEL, NULL, 0);
	stream_flush_said(f->shards);
	assert_int_equal(told(f->peer[0]), RECORD_DONE);
	assert_true(in_one_piece(f->peer[0]));
	assert_int_equal(told(f->peer[0]), RECORD_CANCEL);
	/* Its time comes all the same, and it is not said twice. */
	f->shards[0].lazy_timer.expired(f->shards[0].lazy_timer.ctx);
	assert_null(f->shards[0].lazy);
	assert_false(s->lazy);
	assert_int_equal(SSL_read(f->peer[0], &(uint8_t){0}, 1), -1);
}

static void what_nobody_waits_for_is_said_when_its_time_has_come(void **state)
{
	struct fixture *f = *state;
	struct stream *s = new_streams(f, 2);

	stream_take(f->shards, 0, 0);
	stream_take(f->shards, 0, 0);
	stream_send_lazily(s, RECORD_DONE);
	stream_send_lazily(s->next, RECORD_DONE);
	f->shards[0].lazy_timer.expired(f->shards[0].lazy_timer.ctx);
	assert_true(stream_is_flushed(s) && stream_is_flushed(s->next));
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(told(f->peer[i]), RECORD_HELLO);
		assert_int_equal(told(f->peer[i]), RECORD_DONE);
	}
}

static void a_stream_that_is_gone_has_nothing_more_to_say(void **state)
{
	struct fixture *f = *state;
	struct stream *s = new_streams(f, 2), *other = s->next;

	stream_take(f->shards, 0, 0);
	stream_take(f->shards, 0, 0);
	stream_send_lazily(s, RECORD_DONE);
	stream_send_lazily(other, RECORD_DONE);
	stream_destroy(s);
	assert_ptr_equal(f->shards[0].lazy, other);
	assert_null(other->next_lazy);
	stream_send_lazy(f->shards);
	assert_true(stream_is_flushed(other));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(an_idle_stream_retires_after_an_hour),
		TEST(a_peer_that_does_not_close_is_not_waited_for),
		TEST(a_stream_retires_only_behind_its_flow),
		TEST(the_stream_that_has_served_most_serves_next),
		TEST(last_words_arrive_before_the_end),
		TEST(a_record_before_hello_breaks_the_stream),
		TEST(the_hello_of_an_earlier_process_that_comes_late_breaks_its_own_stream_alone),
		TEST(a_process_that_has_started_anew_ends_streams_to_the_one_before),
		TEST(a_process_whose_clock_was_set_back_is_met_when_nothing_leads_to_the_one_before),
		TEST(padding_means_nothing),
		TEST(padding_within_a_flow_is_none_of_its_bytes),
		TEST(data_of_no_flow_is_not_padding),
		TEST(a_stream_that_is_preferred_serves_next),
		TEST(what_is_said_in_a_turn_leaves_in_one_piece),
		TEST(what_nobody_waits_for_leaves_with_what_is_said_next),
		TEST(what_nobody_waits_for_is_said_when_its_time_has_come),
		TEST(a_stream_that_is_gone_has_nothing_more_to_say),
	};

	return cmocka_run_group_tests(tests, rcu_group_setup, rcu_group_teardown);
}
