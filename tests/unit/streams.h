/* SPDX-License-Identifier: GPL-3.0-or-later */
/* streams.h - an instance of split TCP without a stack, and what its peer says and is told */
#ifndef TESTS_STREAMS_H
#define TESTS_STREAMS_H

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

static inline int set_up(void **state)
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
	f->a.conf.n_relay_threads = 2;
	f->a.shards = f->shards;
	f->a.n_shards = 1;
	for (i = 0; i < 2; i++) {
		f->shards[i].a = &f->a;
		f->shards[i].flows.shard = &f->shards[i];
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

static inline int tear_down(void **state)
{
	struct fixture *f = *state;
	unsigned i;

	atomic_store(&f->a.stopping, true);
	shard_drain(&f->a);
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
static inline void hand_over(struct fixture *f, bool we_open)
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
static inline struct stream *run(struct shard *sh)
{
	loop_post(sh->loop, stop, sh->loop);
	assert_int_equal(loop_run(sh->loop), 0);
	stream_flush_said(sh);
	assert_non_null(sh->streams);
	return sh->streams;
}

/* Makes as many streams. Returns the newest. */
static inline struct stream *new_streams(struct fixture *f, unsigned n)
{
	while (n--)
		hand_over(f, true);
	return run(f->shards);
}

/* The peer has said something. */
static inline void hear(struct stream *s)
{
	s->io.ready(s->io.ctx, EPOLLIN);
}

/* What the peer is told next: the type of the record; 0: the stream was closed in order. */
static inline unsigned told(SSL *peer)
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

static inline void say_hello(struct fixture *f, struct stream *s, unsigned number,
			     uint32_t instance)
{
	static const struct record hello = {.type = RECORD_HELLO, .len = HELLO_LEN};
	uint8_t said[RECORD_HDR_LEN + HELLO_LEN] = {0};

	record_store(said, &hello);
	store_be16(said + RECORD_HDR_LEN, STREAM_VERSION);
	store_be32(said + RECORD_HDR_LEN + 4, instance);
	assert_int_equal(SSL_write(f->peer[number], said, sizeof(said)), sizeof(said));
	hear(s);
}

static inline size_t put(uint8_t *at, enum record_type type, uint32_t flow, const void *payload,
			 uint32_t len)
{
	const struct record r = {
		.type = (uint8_t)type, .len = len, .flow = flow, .generation = flow};

	record_store(at, &r);
	memcpy(at + RECORD_HDR_LEN, payload, len);
	return RECORD_HDR_LEN + len;
}

static inline bool agreed(void *ctx, unsigned tag, unsigned peer)
{
	return true;
}

/* The client is behind the peer. */
static inline int place(void *ctx, unsigned tag, uint16_t vid, const uint8_t mac[6])
{
	return mac[5] == 1 ? 0 : ACCEL_LOCAL;
}

static const struct flow_key key_of_a_flow = {.local = {[10] = 0xff, 0xff, 10, 0, 0, 2},
					      .remote = {[10] = 0xff, 0xff, 10, 0, 0, 1},
					      .local_port = 2000,
					      .remote_port = 1000};

/* A flow that is open, on a stream. */
static inline struct relay *opened(struct fixture *f, struct stream *s, enum life_role role)
{
	struct flow *fl = flow_add(&f->a.flows, &key_of_a_flow, 4, FLOW_DIVERT, now_ms(),
				   &f->shards[0].flows);
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
static inline void release(struct relay *r)
{
	struct shard *sh = r->shard;

	pump_release(r, false);
	if (!r->ended)
		relay_end(r);
	r->pending = false;
	sh->pending_relays = NULL;
	relay_free_ended(sh);
}

#endif
