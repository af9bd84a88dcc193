// SPDX-License-Identifier: GPL-3.0-or-later
/* test_sealed.c - frames and probes to sealed datagrams and back, byte by byte; no sockets */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/clock.h"
#include "tunnel/sealed.h"
#include "tunnel/tunnel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SESSION 0x01020304
#define WORKERS 2

/*
 * An ARP request, tag 1, worker 0, session 01020304, counter 5, with key
 * 00 01 … 1f and IV 40 41 … 4b: computed with Python's cryptography package
 * (AESGCM and ChaCha20Poly1305, associated data the first 20 bytes). The same
 * bytes stand in doc/protocol.md.
 */
static const char arp_hex[] = "ffffffffffff020000000a01080600010800060400010200"
			      "00000a010a4d00010000000000000a4d0002";
static const char *const golden_hex[AEAD_CIPHERS] = {
	[AEAD_AES_256_GCM] = "100000000102030400000001000000000000000"
			     "5cd9f9bccf2463f3e04d67329a1bc0da19272d8ce"
			     "495cfc8ecb647492187ba1e9962e83d1e1db3cf4"
			     "3715364127229069c7f6d5d55b044aa0dc27",
	[AEAD_CHACHA20_POLY1305] = "100000000102030400000001000000000000000"
				   "5badb355be8d9a0af7787a9609301a3a44c6140fe"
				   "e970bb6636891ee0c0024a8e0044ce3fc9f59e04"
				   "a2802ba30becce15ce03d883d0d9127d31cc",
};

static struct conf conf = {.rekey_after_packets = UINT64_MAX, .dead_after_ns = NS_PER_S};
static const struct conf_peer conf_peer = {.name = "tokyo"};
static struct tunnel t;
static struct tag tag = {.tag = 1};
static struct counters counters;
static struct sealed s;
static struct rx_session *session;
static struct batch *batch;
static uint8_t keys[WORKERS][SESSION_KEY_BYTES], golden[100], arp[60];
static size_t golden_len, arp_len;

static size_t unhex(const char *hex, uint8_t *out)
{
	unsigned byte;
	size_t n;

	for (n = 0; hex[2 * n]; n++) {
		assert_int_equal(sscanf(hex + 2 * n, "%2x", &byte), 1);
		out[n] = (uint8_t)byte;
	}
	return n;
}

/* The far and the near end in one: what is sent here may be received here. */
static void begin(enum aead_cipher cipher)
{
	const uint8_t(*k)[SESSION_KEY_BYTES] = (const uint8_t(*)[SESSION_KEY_BYTES])keys;
	struct endpoint to;
	struct err e;
	unsigned i;

	for (i = 0; i < SESSION_KEY_BYTES; i++)
		keys[0][i] = keys[1][i] = (uint8_t)(i < AEAD_KEY_LEN ? i : 0x40 + i - AEAD_KEY_LEN);
	golden_len = unhex(golden_hex[cipher], golden);
	arp_len = unhex(arp_hex, arp);
	memset(&counters, 0, sizeof(counters));
	t = (struct tunnel){.conf = &conf,
			    .interface_mtu = 1500,
			    .n_peers = 1,
			    .tags = &tag,
			    .n_tags = 1,
			    .n_workers = WORKERS};
	assert_int_equal(peer_init(&t.peers[0], &conf_peer, 0), 0);
	t.peers[0].tags = 1;
	t.peers[0].tx = tx_session_new(SESSION, &aead_openssl, cipher, k, WORKERS);
	session = rx_session_new(SESSION, 0, &aead_openssl, cipher, k, WORKERS);
	assert_true(t.peers[0].tx && session);
	t.peers[0].tx->keys[0].counter = 5;
	session_install(&t.sessions, session);
	assert_int_equal(endpoint_resolve("192.0.2.2", 9, 7245, true, &to, &e), 0);
	peer_set_direct(&t.peers[0], &to);
	s.outer = (struct outer){
		.tunnel = &t, .counters = &counters, .fds = {-1, -1}, .now_ns = 12345};
	s.family = AF_INET;
	s.n_trains = 0;
	memset(s.open_train, NO_TRAIN, sizeof(s.open_train));
	for (i = 0; i < TRAINS; i++)
		s.trains[i].bytes = s.arena + (size_t)i * TRAIN_BUFFER;
	batch->n = 0;
}

static void end(void)
{
	session_remove(&t.sessions, session);
	rcu_barrier();
	peer_release(&t.peers[0]);
}

static int setup(void **state)
{
	rcu_register_thread();
	batch = batch_new();
	s.arena = malloc((size_t)TRAINS * TRAIN_BUFFER);
	return batch && s.arena ? 0 : -1;
}

static int teardown(void **state)
{
	free(s.arena);
	batch_free(batch);
	rcu_unregister_thread();
	return 0;
}

static int begin_aes(void **state)
{
	begin(AEAD_AES_256_GCM);
	return 0;
}

static int end_aes(void **state)
{
	end();
	return 0;
}

/* Receives one datagram from a port of the peer's. */
static void receive(const uint8_t *datagram, size_t len, uint16_t port)
{
	struct sockaddr_in from = {.sin_family = AF_INET,
				   .sin_port = htons(port),
				   .sin_addr.s_addr = htonl(0xc0000202)};

	memcpy(batch_slot(batch, 0), datagram, len);
	memcpy(&batch->names[0], &from, sizeof(from));
	batch->msgs[0] = (struct mmsghdr){.msg_len = (unsigned)len};
	rcu_read_lock();
	sealed_take(&s.outer, SOCKET_LISTEN, batch, 1);
	rcu_read_unlock();
}

static void expect_drops(enum drop reason, uint64_t n)
{
	if (counters.drops[reason] != n)
		fail_msg("%s: %llu, not %llu", drop_names[reason],
			 (unsigned long long)counters.drops[reason], (unsigned long long)n);
}

static void send_arp(void)
{
	struct frame f = {.data = arp, .len = (uint32_t)arp_len};
	struct packet p;

	packet_parse(arp, arp_len, &p);
	rcu_read_lock();
	sealed_send(&s.outer, 0, 1, &f, &p);
	rcu_read_unlock();
}

static void a_frame_is_sealed_to_these_bytes_with_either_cipher(void **state)
{
	int cipher;

	for (cipher = 0; cipher < AEAD_CIPHERS; cipher++) {
		begin((enum aead_cipher)cipher);
		send_arp();
		assert_int_equal(s.n_trains, 1);
		assert_int_equal(s.trains[0].len, golden_len);
		assert_memory_equal(s.trains[0].bytes, golden, golden_len);
		assert_true(t.peers[0].tx->keys[0].counter == 6);
		end();
	}
}

static void these_bytes_are_opened_to_the_frame_once(void **state)
{
	int cipher;

	for (cipher = 0; cipher < AEAD_CIPHERS; cipher++) {
		begin((enum aead_cipher)cipher);
		receive(golden, golden_len, 40000);
		assert_int_equal(batch->n, 1);
		assert_int_equal(batch->frames[0].len, arp_len);
		assert_memory_equal(batch->frames[0].data, arp, arp_len);
		assert_int_equal(batch->frames[0].key, outer_key(0, 0));
		assert_true(t.peers[0].heard_ns == 12345);
		assert_int_equal(t.peers[0].places->has_learnt, 1);
		receive(golden, golden_len, 40001); /* from elsewhere, it would be a hijack */
		assert_int_equal(batch->n, 1);
		expect_drops(DROP_sealed_replay, 1);
		assert_int_equal(t.peers[0].places->learnt[0].in6.sin6_port, htons(40000));
		end();
	}
}

static void nothing_changes_by_any_flipped_bit(void **state)
{
	uint64_t dropped = 0;
	size_t bit;
	int i;

	for (bit = 0; bit < 8 * golden_len; bit++) {
		golden[bit / 8] ^= (uint8_t)(1 << bit % 8);
		receive(golden, golden_len, 40000);
		golden[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (i = 0; i < DROPS; i++)
		dropped += counters.drops[i];
	assert_true(dropped == 8 * golden_len);
	assert_int_equal(batch->n, 0);
	assert_true(!session->keys[0].replay->received && !session->keys[1].replay->received);
	assert_true(!t.peers[0].heard_ns && !t.peers[0].places->has_learnt);
	receive(golden, golden_len, 40000);
	assert_int_equal(batch->n, 1);
}

/* One that was held back and is sent on from elsewhere is new, but tells nothing of now. */
static void only_the_newest_datagram_tells_where_its_worker_is(void **state)
{
	uint8_t newer[sizeof(golden)];

	t.peers[0].tx->keys[0].counter = 9;
	send_arp();
	memcpy(newer, s.trains[0].bytes, golden_len);
	receive(newer, golden_len, 40000);
	receive(golden, golden_len, 40001); /* counter 5 */
	assert_int_equal(batch->n, 2);
	assert_int_equal(t.peers[0].places->learnt[0].in6.sin6_port, htons(40000));
}

static void a_frame_of_a_tag_that_is_not_agreed_is_refused(void **state)
{
	t.peers[0].tags = 0;
	receive(golden, golden_len, 40000);
	expect_drops(DROP_sealed_tag, 1);
	assert_int_equal(batch->n, 0);
}

/* Seals a probe or reply as our worker 0 and receives it as the peer's. */
static void pass_probe(enum sealed_type type, const struct probe *probe)
{
	uint8_t datagram[PROBE_LEN + SEALED_OVERHEAD];
	struct endpoint to = t.peers[0].places->direct;

	rcu_read_lock();
	sealed_send_probe(&s, &t.peers[0], t.peers[0].tx, (uint8_t)type, probe, PROBE_LEN,
			  SOCKET_OUT, &to);
	rcu_read_unlock();
	assert_int_equal(s.n_trains, 1);
	assert_int_equal(s.trains[0].len, sizeof(datagram));
	memcpy(datagram, s.trains[0].bytes, sizeof(datagram));
	s.n_trains = 0;
	receive(datagram, sizeof(datagram), 40000);
}

static void a_probe_is_answered_where_it_came_by_with_what_was_received(void **state)
{
	const struct sockaddr_in *to = (const struct sockaddr_in *)&s.trains[0].to.ss;
	struct probe reply;
	uint8_t *bytes = s.trains[0].bytes, nonce[AEAD_IV_LEN];

	receive(golden, golden_len, 40000); /* counter 5 */
	t.peers[0].tx->keys[0].counter = 9;
	pass_probe(SEALED_PROBE, &(struct probe){.mark = 0x1122334455667788});
	assert_int_equal(s.n_trains, 1);
	assert_int_equal(s.trains[0].socket, SOCKET_LISTEN);
	assert_int_equal(to->sin_port, htons(40000));
	assert_int_equal(bytes[0], 0x13);
	aead_nonce(nonce, keys[0] + AEAD_KEY_LEN, 10);
	assert_true(aead_openssl.open(t.peers[0].tx->keys[0].aead, nonce, bytes, SEALED_HDR_LEN,
				      bytes + SEALED_HDR_LEN, PROBE_LEN + AEAD_TAG_LEN));
	probe_load(bytes + SEALED_HDR_LEN, &reply);
	assert_true(reply.mark == 0x1122334455667788);
	assert_true(reply.highest == 10 && reply.received == 2); /* 5 and 9 of 0…9 */
}

static void a_reply_is_taken_for_the_worker_that_asked(void **state)
{
	uint64_t asked = (clock_ns() - 5 * NS_PER_MS) / WORKERS_MAX * WORKERS_MAX + 1;

	pass_probe(SEALED_PROBE_REPLY, &(struct probe){asked, 100, 90});
	assert_true(t.peers[0].paths[1].echoed == 1 && t.peers[0].paths[0].echoed == 0);
	assert_true(t.peers[0].paths[1].highest == 100 && t.peers[0].paths[1].received == 90);
	assert_true(t.peers[0].paths[1].rtt_ns >= 5 * NS_PER_MS);
	assert_int_equal(s.n_trains, 0); /* replies are not answered */
}

static void a_reply_that_cannot_be_ours_is_not_believed(void **state)
{
	uint64_t future = (clock_ns() + 60 * NS_PER_S) / WORKERS_MAX * WORKERS_MAX;

	pass_probe(SEALED_PROBE_REPLY, &(struct probe){.mark = future});
	pass_probe(SEALED_PROBE_REPLY, &(struct probe){.mark = UINT64_MAX});
	pass_probe(SEALED_PROBE_REPLY, &(struct probe){.mark = WORKERS_MAX + WORKERS});
	assert_true(!t.peers[0].paths[0].echoed && !t.peers[0].paths[1].echoed);
}

static void a_key_that_is_used_up_seals_nothing_more(void **state)
{
	t.peers[0].tx->keys[0].counter = (1 << 28) - 1;
	t.peers[0].tx->rekey_asked = true; /* long ago */
	send_arp();
	assert_int_equal(s.n_trains, 1);
	send_arp();
	expect_drops(DROP_key_exhausted, 1);
	assert_int_equal(s.trains[0].count, 1);
	assert_true(t.peers[0].tx->keys[0].counter == 1 << 28);
}

static void new_keys_are_asked_for_well_before_the_end_whatever_is_configured(void **state)
{
	struct conf asked = {.rekey_after_packets = SESSION_PACKETS_MAX};
	struct tunnel tunnel = {.conf = &asked};

	assert_true(tunnel_rekey_at(&tunnel) == SESSION_PACKETS_MAX - (1 << 24));
	asked.rekey_after_packets = 1000;
	assert_true(tunnel_rekey_at(&tunnel) == 1000);
}

static void without_keys_or_a_place_nothing_is_sent(void **state)
{
	peer_use_session(&t.peers[0], NULL);
	send_arp();
	expect_drops(DROP_no_session, 1);
	assert_int_equal(s.n_trains, 0);
}

#define with_keys(test) cmocka_unit_test_setup_teardown(test, begin_aes, end_aes)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_frame_is_sealed_to_these_bytes_with_either_cipher),
		cmocka_unit_test(these_bytes_are_opened_to_the_frame_once),
		with_keys(nothing_changes_by_any_flipped_bit),
		with_keys(only_the_newest_datagram_tells_where_its_worker_is),
		with_keys(a_frame_of_a_tag_that_is_not_agreed_is_refused),
		with_keys(a_probe_is_answered_where_it_came_by_with_what_was_received),
		with_keys(a_reply_is_taken_for_the_worker_that_asked),
		with_keys(a_reply_that_cannot_be_ours_is_not_believed),
		with_keys(a_key_that_is_used_up_seals_nothing_more),
		cmocka_unit_test(new_keys_are_asked_for_well_before_the_end_whatever_is_configured),
		with_keys(without_keys_or_a_place_nothing_is_sent),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
