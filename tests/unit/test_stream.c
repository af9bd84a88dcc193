// SPDX-License-Identifier: GPL-3.0-or-later
/* test_stream.c - streams to peers: which one serves, how long, and how one ends */
#include "accel/inbox.h"
#include "accel/internal.h"
#include "accel/outbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "rcu.h"

/* An instance without a stack, and the peer's end of each stream. */
struct fixture {
	struct accel a;
	struct shard shards[2]; /* the second where a test has two */
	SSL_CTX *ctx;
	SSL *peer[4];
	unsigned n, asked;
};

static void open_streams(void *ctx, unsigned peer, unsigned n)
{
	struct fixture *f = ctx;

	f->asked += n;
}

static const char *peer_name(void *ctx, unsigned peer)
{
	return "the peer";
}

static uint64_t heard_now(void *ctx, unsigned peer)
{
	return clock_ns() + NS_PER_S;
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct err e;
	unsigned i;

	f->a.host = (struct accel_host){.ctx = f,
					.open_streams = open_streams,
					.peer_name = peer_name,
					.heard_ns = heard_now};
	f->a.conf.outage_ns = 30 * NS_PER_S;
	f->a.conf.n_peers = 1;
	f->a.shards = f->shards;
	f->a.n_shards = 1;
	for (i = 0; i < 2; i++) {
		f->shards[i].a = &f->a;
		f->shards[i].loop = loop_new(&e);
		f->shards[i].scratch = malloc(SCRATCH);
	}
	f->a.instance = 1;
	f->a.budget.limit = 1 << 30;
	f->a.limits = (struct limits){64, 64};
	flow_table_init(&f->a.flows);
	f->a.inbox = inbox_method();
	f->a.outbox = outbox_method();
	/* What is tested lies above TLS: no certificates. */
	f->ctx = SSL_CTX_new(TLS_method());
	SSL_CTX_set_max_proto_version(f->ctx, TLS1_2_VERSION);
	*state = f;
	return f->shards[0].loop && SSL_CTX_set_cipher_list(f->ctx, "aNULL:@SECLEVEL=0") ? 0 : -1;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	unsigned i;

	for (i = 0; i < 2; i++)
		while (f->shards[i].streams)
			stream_destroy(f->shards[i].streams);
	while (f->n--) {
		close(SSL_get_fd(f->peer[f->n]));
		SSL_free(f->peer[f->n]);
	}
	free(f->a.memories[0].lost);
	for (i = 0; i < 2; i++) {
		loop_free(f->shards[i].loop);
		free(f->shards[i].scratch);
		chunks_free(&f->shards[i].chunks);
	}
	flow_table_release(&f->a.flows);
	SSL_CTX_free(f->ctx);
	BIO_meth_free(f->a.inbox);
	BIO_meth_free(f->a.outbox);
	free(f);
	return 0;
}

static void stop(void *arg)
{
	loop_stop(arg);
}

/* Hands over a stream; it is taken in the loop's turn. @we_open: flows on it, and have called; else
 * the peer does both */
static void hand_over(struct fixture *f, bool we_open)
{
	SSL *ours = SSL_new(f->ctx), *theirs = SSL_new(f->ctx);
	int fds[2], done = 0, i;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	SSL_set_fd(ours, fds[0]);
	SSL_set_fd(theirs, fds[1]);
	SSL_set_connect_state(ours);
	SSL_set_accept_state(theirs);
	for (i = 0; i < 20 && done != 3; i++)
		done = (SSL_do_handshake(ours) == 1) | (SSL_do_handshake(theirs) == 1) << 1;
	assert_int_equal(done, 3);
	f->peer[f->n++] = theirs;
	accel_add_stream(&f->a, 0, fds[0], ours, we_open, we_open);
}

/* What was posted to a shard. Returns its newest stream. Once in a test: a loop runs once. */
static struct stream *run(struct shard *sh)
{
	loop_post(sh->loop, stop, sh->loop);
	assert_int_equal(loop_run(sh->loop), 0);
	stream_flush_said(sh);
	assert_non_null(sh->streams);
	return sh->streams;
}

/* Makes as many streams. Returns the newest. */
static struct stream *new_streams(struct fixture *f, unsigned n)
{
	while (n--)
		hand_over(f, true);
	return run(f->shards);
}

/* The peer has said something. */
static void hear(struct stream *s)
{
	s->io.ready(s->io.ctx, EPOLLIN);
}

/* What the peer is told next: the type of the record; 0: the stream was closed in order. */
static unsigned told(SSL *peer)
{
	uint8_t hdr[RECORD_HDR_LEN], payload[64];
	int n = SSL_read(peer, hdr, sizeof(hdr));
	struct record r;

	if (n <= 0) {
		assert_int_equal(SSL_get_error(peer, n), SSL_ERROR_ZERO_RETURN);
		return 0;
	}
	assert_int_equal(n, sizeof(hdr));
	assert_true(record_parse(hdr, &r) && r.len <= sizeof(payload));
	if (r.len)
		assert_int_equal(SSL_read(peer, payload, (int)r.len), r.len);
	return r.type;
}

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

static size_t put(uint8_t *at, enum record_type type, uint32_t flow, const void *payload,
		  uint32_t len)
{
	const struct record r = {
		.type = (uint8_t)type, .len = len, .flow = flow, .generation = flow};

	record_store(at, &r);
	memcpy(at + RECORD_HDR_LEN, payload, len);
	return RECORD_HDR_LEN + len;
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

static bool agreed(void *ctx, unsigned tag, unsigned peer)
{
	return true;
}

/* The client is behind the peer. */
static int place(void *ctx, unsigned tag, uint16_t vid, const uint8_t mac[6])
{
	return mac[5] == 1 ? 0 : ACCEL_LOCAL;
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
	assert_non_null(flow_add(&f->a.flows, &key, 4, FLOW_BRIDGE, now_ms(), &f->shards[1]));
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

static const struct flow_key key_of_a_flow = {.local = {[10] = 0xff, 0xff, 10, 0, 0, 2},
					      .remote = {[10] = 0xff, 0xff, 10, 0, 0, 1},
					      .local_port = 2000,
					      .remote_port = 1000};

/* A flow that is open, on a stream. */
static struct relay *opened(struct fixture *f, struct stream *s, enum life_role role)
{
	struct flow *fl = flow_add(&f->a.flows, &key_of_a_flow, 4, FLOW_DIVERT, now_ms(),
				   f->shards);
	struct relay *r;

	f->a.buffers.limit = 1 << 30;
	r = relay_new(f->shards, fl, role);
	assert_non_null(r);
	r->life.phase = LIFE_OPEN;
	r->stream = s;
	r->number = s->flow;
	r->wish.max = 2;
	s->relay = r;
	return r;
}

/* Ends it, too. */
static void release(struct relay *r)
{
	struct shard *sh = r->shard;

	pump_release(r, false);
	if (!r->ended)
		relay_end(r);
	r->pending = false;
	sh->pending_relays = NULL;
	relay_free_ended(sh);
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
	assert_true(r->striped->keeping);
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
	assert_false(r->striped->keeping);
	assert_true(r->pending);
	release(r);
	s->relay = NULL;
}

static void who_joins_is_told_at_once_what_its_copies_wait_for(void **state)
{
	struct fixture *f = *state;
	struct stream *s;
	struct relay *r;
	int fds[2];

	hand_over(f, false);
	hand_over(f, false);
	s = run(f->shards);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	s->next->state = STREAM_BUSY;
	r = opened(f, s->next, LIFE_FAR);
	pump_attach(r, fds[0]);
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
	close(fds[1]);
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
		TEST(padding_means_nothing),
		TEST(padding_within_a_flow_is_none_of_its_bytes),
		TEST(data_of_no_flow_is_not_padding),
		TEST(a_stream_that_is_preferred_serves_next),
		TEST(a_stream_that_moves_serves_the_other_threads_flows),
		TEST(a_stream_with_a_flow_does_not_move),
		TEST(a_stream_that_retires_on_its_way_takes_no_memory_of_the_thread_it_left),
		TEST(a_stream_that_dies_before_it_goes_does_not_go),
		TEST(what_is_opened_goes_to_the_thread_of_its_entry_with_all_that_was_said),
		TEST(what_is_said_in_a_turn_leaves_in_one_piece),
		TEST(what_nobody_waits_for_leaves_with_what_is_said_next),
		TEST(what_nobody_waits_for_is_said_when_its_time_has_come),
		TEST(a_stream_that_is_gone_has_nothing_more_to_say),
		TEST(a_flow_whose_last_word_cannot_be_said_ends_once),
		TEST(a_flow_whose_fin_cannot_be_said_is_reset_once),
		TEST(a_flow_that_is_refused_stripes_goes_on_without_room_for_copies),
		TEST(who_joins_is_told_at_once_what_its_copies_wait_for),
	};

	return cmocka_run_group_tests(tests, rcu_group_setup, rcu_group_teardown);
}
