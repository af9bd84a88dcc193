// SPDX-License-Identifier: GPL-3.0-or-later
/* test_stream.c - streams to peers: which one serves, how long, and how one ends */
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

/* An instance without a stack, and the peer's end of each stream. */
struct fixture {
	struct accel a;
	struct shard shard; /* its only one */
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

	f->a.host = (struct accel_host){.ctx = f,
					.open_streams = open_streams,
					.peer_name = peer_name,
					.heard_ns = heard_now};
	f->a.conf.outage_ns = 30 * NS_PER_S;
	f->a.conf.n_peers = 1;
	f->a.shards = &f->shard;
	f->a.n_shards = 1;
	f->shard.a = &f->a;
	f->a.instance = 1;
	f->a.budget.limit = 1 << 30;
	f->a.limits = (struct limits){64, 64};
	f->shard.loop = loop_new(&e);
	f->shard.scratch = malloc(SCRATCH);
	f->a.outbox = outbox_method();
	/* What is tested lies above TLS: no certificates. */
	f->ctx = SSL_CTX_new(TLS_method());
	SSL_CTX_set_max_proto_version(f->ctx, TLS1_2_VERSION);
	*state = f;
	return f->shard.loop && SSL_CTX_set_cipher_list(f->ctx, "aNULL:@SECLEVEL=0") ? 0 : -1;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	while (f->shard.streams)
		stream_destroy(f->shard.streams);
	while (f->n--) {
		close(SSL_get_fd(f->peer[f->n]));
		SSL_free(f->peer[f->n]);
	}
	loop_free(f->shard.loop);
	SSL_CTX_free(f->ctx);
	free(f->shard.scratch);
	BIO_meth_free(f->a.outbox);
	chunks_free(&f->shard.chunks);
	free(f);
	return 0;
}

static void stop(void *arg)
{
	loop_stop(arg);
}

/* Hands over a stream that we open flows on; it is taken in the loop's turn. */
static void hand_over(struct fixture *f)
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
	accel_add_stream(&f->a, 0, fds[0], ours, true, true);
}

/* Makes as many streams. Returns the newest. Once in a test: a loop runs once. */
static struct stream *new_streams(struct fixture *f, unsigned n)
{
	while (n--)
		hand_over(f);
	loop_post(f->shard.loop, stop, f->shard.loop);
	assert_int_equal(loop_run(f->shard.loop), 0);
	assert_non_null(f->shard.streams);
	return f->shard.streams;
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
	assert_int_equal(f->shard.pools[0].idle, 1);
	stream_tick(s, s->born_ns + STREAM_AGE_NS);
	assert_int_equal(s->state, STREAM_IDLE);
	stream_tick(s, s->born_ns + STREAM_AGE_NS + 1);
	assert_int_equal(s->state, STREAM_CLOSING);
	assert_int_equal(f->shard.pools[0].idle, 0);
	assert_null(stream_take(&f->shard, 0, 0));
	assert_int_equal(told(f->peer[0]), 0);
	/* The peer closes, too: it is gone, and another one was asked for. */
	SSL_shutdown(f->peer[0]);
	shutdown(SSL_get_fd(f->peer[0]), SHUT_WR);
	hear(s);
	assert_true(s->dead);
	assert_int_equal(f->shard.pools[0].streams, 0);
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

	assert_ptr_equal(stream_take(&f->shard, 0, 0), s);
	stream_tick(s, s->born_ns + 10 * STREAM_AGE_NS);
	assert_int_equal(s->state, STREAM_BUSY);
	s->born_ns = clock_ns() - STREAM_AGE_NS - 1;
	stream_free_for_next(s);
	assert_int_equal(s->state, STREAM_CLOSING);
	assert_int_equal(f->shard.pools[0].idle, 0);
}

static void the_stream_that_has_served_most_serves_next(void **state)
{
	struct fixture *f = *state;
	struct stream *one = new_streams(f, 2), *other = one->next,
		      *s = stream_take(&f->shard, 0, 0);
	uint32_t flow = s->flow;

	assert_true(s == one || s == other);
	assert_int_equal(s->generation, 1);
	stream_free_for_next(s);
	assert_ptr_equal(stream_take(&f->shard, 0, 0), s);
	assert_int_equal(s->generation, 2);
	assert_int_equal(s->flow, flow + 1);
	assert_ptr_equal(stream_take(&f->shard, 0, 0), s == one ? other : one);
	assert_null(stream_take(&f->shard, 0, 0));
}

static void last_words_arrive_before_the_end(void **state)
{
	static const uint8_t zeros[RESET_LEN];
	struct fixture *f = *state;
	struct stream *s = new_streams(f, 1);

	assert_int_equal(told(f->peer[0]), RECORD_HELLO);
	stream_take(&f->shard, 0, 0);
	stream_send(s, RECORD_RESET, zeros, sizeof(zeros));
	stream_close_soon(s);
	stream_send(s, RECORD_FIN, NULL, 0); /* too late: it is not said */
	assert_int_equal(told(f->peer[0]), RECORD_RESET);
	assert_int_equal(told(f->peer[0]), 0);
	assert_null(stream_take(&f->shard, 0, 0));
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
