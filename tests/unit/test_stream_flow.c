// SPDX-License-Identifier: GPL-3.0-or-later
/* test_stream_flow.c - streams and their flows: threads that they go to, flows that end, stripes */
#include "streams.h"

/* Memory that is short for what one thread tells another. */
static bool posts_fail;

static int post(struct loop *l, void (*fn)(void *arg), void *arg)
{
	return posts_fail ? -ENOMEM : loop_post(l, fn, arg);
}

#define loop_post post
#include "accel/stream_move.c"
#undef loop_post

static void a_stream_that_moves_serves_the_other_threads_flows(void **state)
{
	struct fixture *f = *state;
	struct stream *s = new_streams(f, 2), *stays = s->next;

	f->a.n_shards = 2;
	assert_int_equal(told(f->peer[0]), RECORD_HELLO);
	assert_int_equal(told(f->peer[1]), RECORD_HELLO);
	stream_move(s, &f->shards[1]);
	assert_int_equal(f->shards[0].pools[0].idle, 1);
	assert_ptr_equal(f->shards[0].streams, s); /* until the end of the turn */
	stream_send_off(f->shards);
	assert_ptr_equal(f->shards[0].streams, stays);
	assert_int_equal(f->shards[1].pools[0].all, 1);
	assert_ptr_equal(run(&f->shards[1]), s);
	assert_int_equal(f->shards[1].pools[0].idle, 1);
	assert_int_equal(f->a.n_streams, 2);
	assert_ptr_equal(stream_take(f->shards, 0, 0), stays);
	assert_int_equal(f->shards[0].pools[0].idle, 0);
	assert_ptr_equal(stream_take(&f->shards[1], 0, 0), s);
	stream_send(s, RECORD_DELIVERED, NULL, 0);
	assert_true(stream_flush(s));
	assert_int_equal(told(f->peer[1]), RECORD_DELIVERED);
}

static void a_stream_goes_when_its_last_word_is_written(void **state)
{
	struct fixture *f = *state;
	struct stream *s = new_streams(f, 1);

	f->a.n_shards = 2;
	assert_int_equal(told(f->peer[0]), RECORD_HELLO);
	stream_take(f->shards, 0, 0);
	stream_send_lazily(s, RECORD_DONE);
	stream_free_for_next(s);
	stream_move(s, &f->shards[1]);
	stream_send_off(f->shards);
	assert_ptr_equal(s->shard, &f->shards[1]);
	assert_int_equal(told(f->peer[0]), RECORD_DONE); /* which has not got it yet */
	assert_ptr_equal(run(&f->shards[1]), s);
}

static void a_stream_that_cannot_go_is_not_waited_for(void **state)
{
	struct fixture *f = *state;
	struct stream *s = new_streams(f, 1);
	unsigned before = f->shards[0].pools[0].coming;

	f->a.n_shards = 2;
	f->shards[1].pools[0].asked = 1000; /* nobody waits for more */
	s->asked_for = stream_asker(&f->a, 0) == &f->shards[1];
	assert_true(s->asked_for);
	assert_int_equal(f->shards[1].pools[0].coming, 1);
	stream_move(s, &f->shards[1]);
	posts_fail = true;
	stream_send_off(f->shards);
	posts_fail = false;
	assert_true(s->dead);
	assert_int_equal(f->shards[1].pools[0].coming, 0);
	assert_int_equal(f->shards[0].pools[0].coming, before);
	assert_int_equal(f->shards[1].pools[0].all, 0);
	stream_free_dead(f->shards);
	assert_int_equal(f->a.n_streams, 0);
}

static void a_stream_on_its_way_to_a_thread_that_has_ended_is_closed(void **state)
{
	struct fixture *f = *state;
	struct stream *s = new_streams(f, 1);

	f->a.n_shards = 2;
	assert_int_equal(told(f->peer[0]), RECORD_HELLO);
	stream_move(s, &f->shards[1]);
	stream_send_off(f->shards);
	hand_over(f, true); /* and one that the tunnel has just made */
	atomic_store(&f->a.stopping, true);
	assert_int_equal(f->a.n_streams, 2);
	shard_drain(&f->a);
	shard_end_all(&f->shards[0]);
	shard_end_all(&f->shards[1]);
	assert_int_equal(f->a.n_streams, 0);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(recv(SSL_get_fd(f->peer[i]), &(char){0}, 1, 0), 0);
}

static void a_stream_with_a_flow_does_not_move(void **state)
{
	struct fixture *f = *state;
	struct stream *s = new_streams(f, 1);
	struct relay r = {0};

	f->a.n_shards = 2;
	assert_ptr_equal(stream_take(f->shards, 0, 0), s);
	s->relay = &r;
	stream_move(s, &f->shards[1]);
	stream_send_off(f->shards);
	assert_ptr_equal(s->shard, f->shards);
	s->relay = NULL;
}

static void a_stream_that_retires_on_its_way_takes_no_memory_of_the_thread_it_left(void **state)
{
	struct fixture *f = *state;
	struct stream *s = new_streams(f, 1);
	unsigned before = f->shards[0].chunks.n;

	f->a.n_shards = 2;
	assert_int_equal(told(f->peer[0]), RECORD_HELLO);
	stream_move(s, &f->shards[1]);
	stream_send_off(f->shards);
	atomic_store(&f->a.path_ns[0], clock_ns());
	assert_ptr_equal(run(&f->shards[1]), s);
	assert_int_equal(s->state, STREAM_CLOSING);
	assert_int_equal(told(f->peer[0]), 0);
	assert_int_equal(f->shards[1].chunks.n, 1); /* what its last word was in */
	assert_int_equal(f->shards[0].chunks.n, before);
}

static void a_stream_that_dies_before_it_goes_does_not_go(void **state)
{
	struct fixture *f = *state;
	struct stream *s = new_streams(f, 1);

	f->a.n_shards = 2;
	stream_move(s, &f->shards[1]);
	stream_break(s, "it is a test");
	stream_send_off(f->shards);
	stream_free_dead(f->shards);
	assert_null(f->shards[0].streams);
	assert_int_equal(f->a.n_streams, 0);
}

/* What a peer says that knows all, and opens a connection from 10.0.0.1 to 10.0.0.2. */
static size_t opening(uint8_t *at)
{
	static const uint8_t all_known[TUPLES_END_LEN] = {1};
	struct open_record o = {.tuple = {.tag = 5,
					  .ip_version = 4,
					  .client = {[10] = 0xff, 0xff, 10, 0, 0, 1},
					  .server = {[10] = 0xff, 0xff, 10, 0, 0, 2},
					  .client_port = 1000,
					  .server_port = 2000},
				.client_mac = {2, 0, 0, 0, 0, 1},
				.server_mac = {2, 0, 0, 0, 0, 2},
				.mss = 1460,
				.stripes = 1,
				.credit = CREDIT_MIN};
	uint8_t hello[HELLO_LEN] = {0}, open[OPEN_LEN];
	size_t len;

	store_be16(hello, STREAM_VERSION);
	store_be32(hello + 4, 7);
	open_store(open, &o);
	len = put(at, RECORD_HELLO, 0, hello, HELLO_LEN);
	len += put(at + len, RECORD_OPEN, 1, open, OPEN_LEN);
	return len + put(at + len, RECORD_TUPLES_END, 0, all_known, TUPLES_END_LEN);
}

static void what_is_opened_goes_to_the_thread_of_its_entry_with_all_that_was_said(void **state)
{
	const struct flow_key key = {.local = {[10] = 0xff, 0xff, 10, 0, 0, 2},
				     .remote = {[10] = 0xff, 0xff, 10, 0, 0, 1},
				     .local_port = 2000,
				     .remote_port = 1000};
	struct fixture *f = *state;
	uint8_t said[256];
	struct stream *s;

	f->a.n_shards = 2;
	f->a.conf.n_tags = 1;
	f->a.conf.tags[0] = (struct accel_tag){.number = 5, .on = true};
	f->a.host.agreed = agreed;
	f->a.host.place = place;
	f->a.memories[0].instance = 7; /* it was met before */
	assert_non_null(flow_add(&f->a.flows, &key, 4, FLOW_BRIDGE, now_ms(), &f->shards[1].flows));
	hand_over(f, false);
	assert_true(SSL_write(f->peer[0], said, (int)opening(said)) > 0);
	s = run(f->shards);
	assert_ptr_equal(s->to, &f->shards[1]);
	stream_send_off(f->shards);
	assert_ptr_equal(run(&f->shards[1]), s);
	stream_flush(s);
	assert_int_equal(told(f->peer[0]), RECORD_HELLO);
	assert_int_equal(told(f->peer[0]), RECORD_REFUSED); /* it is bridged */
	assert_int_equal(s->generation, 1);
	assert_int_equal(s->state, STREAM_IDLE);
	assert_true(f->a.memories[0].told && f->a.memories[0].knows);
	assert_int_equal(atomic_load(&f->a.counts.protocol), 0);
}

/* Has a stream's buffer be full, so that it breaks when more is said. */
static void fill(struct stream *s)
{
	s->out = chunk_take(&s->shard->chunks);
	s->out->len = CHUNK_ROOM;
}

static void a_flow_whose_last_word_cannot_be_said_ends_once(void **state)
{
	struct fixture *f = *state;
	struct stream *s = new_streams(f, 1);
	struct relay *r;

	stream_take(f->shards, 0, 0);
	r = opened(f, s, LIFE_FAR);
	r->life.host_fin = r->life.peer_fin = r->life.peer_delivered = r->life.done_got = true;
	fill(s);
	relay_event(r, LIFE_EV_host_acked);
	assert_true(s->dead);
	assert_true(r->ended);
	assert_int_equal(r->flow->way, FLOW_CLOSED);
	assert_ptr_equal(f->shards[0].ended_relays, r);
	assert_null(r->next_ended);
	assert_int_equal(atomic_load(&f->a.counts.closed), 1);
	release(r);
	assert_int_equal(f->a.n_relays, 0);
}

static void a_flow_whose_fin_cannot_be_said_is_reset_once(void **state)
{
	struct fixture *f = *state;
	struct stream *s = new_streams(f, 1);
	struct relay *r;

	stream_take(f->shards, 0, 0);
	r = opened(f, s, LIFE_FAR);
	fill(s);
	relay_event(r, LIFE_EV_host_eof);
	assert_true(s->dead && r->ended);
	assert_int_equal(r->flow->way, FLOW_RESET);
	assert_null(r->next_ended);
	assert_int_equal(atomic_load(&f->a.counts.reset), 1);
	release(r);
}

static void a_flow_that_is_refused_stripes_goes_on_without_room_for_copies(void **state)
{
	static const uint8_t why[REFUSED_LEN] = {REFUSE_stripes};
	struct fixture *f = *state;
	struct stream *other = new_streams(f, 2), *s = other->next;
	uint8_t said[2 * RECORD_HDR_LEN + HELLO_LEN + REFUSED_LEN], hello[HELLO_LEN] = {0};
	struct relay *r;
	size_t len;

	f->a.conf.n_tags = 1;
	f->a.budget.limit = 8 << 20; /* an eighth is a flow's */
	f->a.memories[0].instance = 7;
	assert_ptr_equal(stream_take(f->shards, 0, 0), s);
	r = opened(f, s, LIFE_NEAR);
	r->sent = 1 << 20;
	r->limit = 4 << 20;
	stripes_tick(r, clock_ns());
	assert_true(other->joining);
	assert_true(r->copies.keeping);
	assert_true(stripes_room(r) < r->limit - r->sent);
	store_be16(hello, STREAM_VERSION);
	store_be32(hello + 4, 7);
	len = put(said, RECORD_HELLO, 0, hello, HELLO_LEN);
	len += put(said + len, RECORD_REFUSED, 1, why, REFUSED_LEN);
	assert_int_equal(SSL_write(f->peer[1], said, (int)len), len);
	hear(other);
	assert_false(other->joining);
	assert_int_equal(other->state, STREAM_IDLE);
	r->pending = false;
	f->shards[0].pending_relays = NULL;
	stripes_tick(r, clock_ns());
	assert_false(r->copies.keeping);
	assert_true(r->pending);
	release(r);
	s->relay = NULL;
}

/* Gives a flow a socket to its host. Returns the host's end. */
static int attach(struct relay *r)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	pump_attach(r, fds[0]);
	return fds[1];
}

static void who_joins_is_told_at_once_what_its_copies_wait_for(void **state)
{
	struct fixture *f = *state;
	struct stream *s;
	struct relay *r;
	int host;

	hand_over(f, false);
	hand_over(f, false);
	s = run(f->shards);
	s->next->state = STREAM_BUSY;
	r = opened(f, s->next, LIFE_FAR);
	host = attach(r);
	r->limit = 1 << 20;
	r->window = 16 << 20;
	f->a.budget.granted = r->window;
	r->received = r->taken = 512 << 10; /* less than a sixteenth of the window */
	pump_flush(r);
	assert_int_equal(r->told, 0);
	s->state = STREAM_BUSY;
	assert_true(stripes_join(s, r));
	assert_int_equal(r->told, r->taken);
	release(r);
	s->relay = s->next->relay = NULL;
	close(host);
}

/* A flow that has sent five bytes when it gets its second stripe, and then loses the first. Returns
 * that second one. */
static struct stream *lose_the_first(struct fixture *f, struct relay **r, int *host)
{
	struct stream *second = new_streams(f, 2), *first = second->next;
	uint8_t said[2 * RECORD_HDR_LEN + HELLO_LEN], hello[HELLO_LEN] = {0};
	size_t len;

	f->a.conf.n_tags = 1;
	assert_ptr_equal(stream_take(f->shards, 0, 0), first);
	*r = opened(f, first, LIFE_NEAR);
	(*r)->limit = 1 << 20;
	*host = attach(*r);
	assert_int_equal(write(*host, "early", 5), 5);
	pump_out(*r);
	assert_int_equal((*r)->sent, 5);
	(*r)->received = 1 << 20; /* enough to be given a stripe */
	(*r)->wish.there = 2;
	stripes_tick(*r, clock_ns());
	assert_true(second->joining);
	store_be16(hello, STREAM_VERSION);
	store_be32(hello + 4, 7);
	len = put(said, RECORD_HELLO, 0, hello, HELLO_LEN);
	len += put(said + len, RECORD_JOINED, 1, hello, 0);
	assert_int_equal(SSL_write(f->peer[1], said, (int)len), len);
	hear(second);
	assert_false(second->joining);
	stream_break(first, "it is a test");
	return second;
}

static void what_was_sent_before_the_second_stripe_came_is_sent_again_on_it(void **state)
{
	static const unsigned words[] = {RECORD_HELLO, RECORD_JOIN, RECORD_CREDIT, RECORD_DATA};
	struct fixture *f = *state;
	struct stream *s;
	struct relay *r;
	unsigned i;
	int host;

	s = lose_the_first(f, &r, &host);
	assert_false(r->ended);
	assert_int_equal(atomic_load(&f->a.counts.stripes_lost), 1);
	pump_out(r);
	stream_flush_said(f->shards);
	for (i = 0; i < 4; i++)
		assert_int_equal(told(f->peer[1]), words[i]);
	assert_int_equal(s->sent, 5);
	release(r);
	s->relay = NULL;
	close(host);
	assert_int_equal(f->a.budget.granted, 0);
}

static void a_flow_that_may_never_have_stripes_keeps_nothing_until_it_asks_for_one(void **state)
{
	struct fixture *f = *state;
	struct stream *s;
	struct relay *r;
	int host;

	f->a.conf.tags[0].stripes_auto = true;
	s = lose_the_first(f, &r, &host);
	assert_true(r->ended);
	assert_true(s->relay != r);
	release(r);
	close(host);
}

static void where_memory_is_short_the_first_bytes_are_not_kept(void **state)
{
	struct fixture *f = *state;
	struct stream *s = new_streams(f, 1);
	struct relay *r;
	int host;

	f->a.conf.n_tags = 1;
	stream_take(f->shards, 0, 0);
	r = opened(f, s, LIFE_NEAR);
	r->limit = 1 << 20;
	host = attach(r);
	f->a.budget.granted = f->a.budget.limit / 2 + 1;
	assert_int_equal(write(host, "early", 5), 5);
	pump_out(r);
	assert_int_equal(r->sent, 5);
	assert_false(r->copies.keeping);
	release(r);
	s->relay = NULL;
	close(host);
}

static void a_flow_with_one_stream_does_without_copies_sooner_than_wait_for_room(void **state)
{
	static const uint8_t bytes[1 << 20];
	struct fixture *f = *state;
	struct stream *s = new_streams(f, 1);
	uint64_t granted;
	struct relay *r;

	f->a.conf.n_tags = 1;
	stream_take(f->shards, 0, 0);
	r = opened(f, s, LIFE_NEAR);
	r->limit = 4 << 20;
	f->a.budget.limit = 8 << 20; /* an eighth is a flow's */
	granted = f->a.budget.granted;
	stripes_begin(r);
	assert_true(r->copies.keeping);
	assert_int_equal(stripes_room(r), sizeof(bytes));
	assert_true(stripes_keep(r, s, bytes, sizeof(bytes) - 1));
	assert_int_equal(stripes_room(r), 1);
	assert_true(stripes_keep(r, s, bytes, 1));
	assert_int_equal(stripes_room(r), RECORD_DATA_MAX);
	assert_false(r->copies.keeping);
	assert_int_equal(f->a.budget.granted, granted);
	release(r);
	s->relay = NULL;
}

/* Has the peer open a connection again whose relay is still here. Returns the stream that the
 * relay is on. */
static struct stream *open_again(struct fixture *f, bool done)
{
	struct stream *y, *x;
	uint8_t said[256];
	struct relay *r;

	f->a.conf.n_tags = 1;
	f->a.conf.tags[0] = (struct accel_tag){.number = 5, .on = true};
	f->a.host.agreed = agreed;
	f->a.host.place = place;
	f->a.memories[0].instance = 7;
	hand_over(f, false);
	hand_over(f, false);
	y = run(f->shards);
	x = y->next;
	x->state = STREAM_BUSY;
	x->instance = 7;
	x->heard = true;
	x->flow = x->generation = 9;
	r = opened(f, x, LIFE_FAR);
	r->life.host_fin = r->life.peer_fin = true;
	r->life.host_acked = r->life.peer_delivered = r->life.done_sent = done;
	f->a.limits.relays = 1; /* there is no stack to make the new one */
	assert_true(SSL_write(f->peer[1], said, (int)opening(said)) > 0);
	hear(y);
	assert_true(r->ended);
	assert_null(r->flow->relay);
	assert_null(x->relay);
	assert_int_equal(y->state, STREAM_IDLE);
	release(r);
	return x;
}

static void a_connection_that_is_opened_again_is_done_though_that_comes_late(void **state)
{
	struct fixture *f = *state;
	struct stream *x = open_again(f, true);
	uint8_t done[RECORD_HDR_LEN];

	assert_int_equal(atomic_load(&f->a.counts.closed), 1);
	assert_int_equal(x->state, STREAM_IDLE);
	record_store(done, &(struct record){.type = RECORD_DONE, .flow = 9, .generation = 9});
	assert_int_equal(SSL_write(f->peer[0], done, sizeof(done)), sizeof(done));
	hear(x);
	assert_false(x->dead);
	assert_int_equal(x->state, STREAM_IDLE);
	assert_int_equal(atomic_load(&f->a.counts.protocol), 0);
}

static void a_connection_that_is_opened_again_was_reset_if_it_was_not_done(void **state)
{
	struct fixture *f = *state;
	struct stream *x = open_again(f, false);

	assert_int_equal(atomic_load(&f->a.counts.reset), 1);
	assert_int_equal(x->state, STREAM_CLOSING);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_stream_that_moves_serves_the_other_threads_flows),
		TEST(a_stream_goes_when_its_last_word_is_written),
		TEST(a_stream_that_cannot_go_is_not_waited_for),
		TEST(a_stream_on_its_way_to_a_thread_that_has_ended_is_closed),
		TEST(a_stream_with_a_flow_does_not_move),
		TEST(a_stream_that_retires_on_its_way_takes_no_memory_of_the_thread_it_left),
		TEST(a_stream_that_dies_before_it_goes_does_not_go),
		TEST(what_is_opened_goes_to_the_thread_of_its_entry_with_all_that_was_said),
		TEST(a_flow_whose_last_word_cannot_be_said_ends_once),
		TEST(a_flow_whose_fin_cannot_be_said_is_reset_once),
		TEST(a_flow_that_is_refused_stripes_goes_on_without_room_for_copies),
		TEST(who_joins_is_told_at_once_what_its_copies_wait_for),
		TEST(what_was_sent_before_the_second_stripe_came_is_sent_again_on_it),
		TEST(a_flow_that_may_never_have_stripes_keeps_nothing_until_it_asks_for_one),
		TEST(where_memory_is_short_the_first_bytes_are_not_kept),
		TEST(a_flow_with_one_stream_does_without_copies_sooner_than_wait_for_room),
		TEST(a_connection_that_is_opened_again_is_done_though_that_comes_late),
		TEST(a_connection_that_is_opened_again_was_reset_if_it_was_not_done),
	};

	return cmocka_run_group_tests(tests, rcu_group_setup, rcu_group_teardown);
}
