// SPDX-License-Identifier: GPL-3.0-or-later
/* test_sealed.c - frames and probes to sealed datagrams and back, byte by byte; no sockets */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "packets.h"

#include "lib/cksum.h"
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

/* The far and the near end in one: what is sent here may be received here. */
static void begin(enum aead_cipher cipher)
{
	const uint8_t(*k)[SESSION_KEY_BYTES] = (const uint8_t(*)[SESSION_KEY_BYTES])keys;
	struct endpoint to;
	struct err e;
	unsigned i;

	for (i = 0; i < SESSION_KEY_BYTES; i++)
		keys[0][i] = keys[1][i] = (uint8_t)(i < AEAD_KEY_LEN ? i : 0x40 + i - AEAD_KEY_LEN);
	golden_len = pkt_hex(golden, sizeof(golden), golden_hex[cipher]);
	arp_len = pkt_hex(arp, sizeof(arp), arp_hex);
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
	unsigned i;

	for (i = 0; i < PEERS_MAX; i++) {
		reassembly_free(s.reassembly[i]);
		s.reassembly[i] = NULL;
	}
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

/* Sends a frame of @len bytes that is not IP, its bytes a function of where they stand. */
static void send_long(uint8_t *bytes, uint32_t len)
{
	struct frame f = {.data = bytes, .len = len};
	struct packet p;
	uint32_t i;

	for (i = 0; i < len; i++)
		bytes[i] = (uint8_t)(i * 7 + (i >> 8));
	bytes[12] = 0x88;
	bytes[13] = 0xb5;
	packet_parse(bytes, len, &p);
	rcu_read_lock();
	sealed_send(&s.outer, 0, 1, &f, &p);
	rcu_read_unlock();
}

/* Receives what waits in the trains, datagram by datagram, every second one first if so asked. */
static void receive_trains(bool swapped)
{
	static uint8_t copy[TRAINS * TRAIN_BUFFER];
	uint32_t at[TRAINS * TRAIN_DATAGRAMS + 1] = {0}, n = 0, i, j;
	unsigned k;

	for (k = 0; k < s.n_trains; k++) {
		const struct train *tr = &s.trains[k];

		memcpy(copy + at[n], tr->bytes, tr->len);
		for (i = 0; i < tr->count; i++, n++)
			at[n + 1] = at[n] + (i + 1 < tr->count ? tr->size : tr->len - i * tr->size);
	}
	s.n_trains = 0;
	memset(s.open_train, NO_TRAIN, sizeof(s.open_train));
	for (i = 0; i < n; i++) {
		j = swapped && (i ^ 1) < n ? i ^ 1 : i;
		receive(copy + at[j], at[j + 1] - at[j], 40000);
	}
}

/* What the path to the peer carries, as an IPv4 packet. */
static void set_path(uint32_t mtu)
{
	t.peers[0].paths[0].usable = mtu;
	t.peers[0].paths[0].headers = UDP_IPV4_HDR;
}

static void what_the_path_does_not_carry_is_cut_in_equal_fragments_of_one_train(void **state)
{
	uint8_t frame[1514];

	set_path(1500);
	send_long(frame, sizeof(frame));
	send_long(frame, sizeof(frame));
	assert_int_equal(s.n_trains, 1);
	assert_int_equal(s.trains[0].count, 4);
	assert_int_equal(s.trains[0].size, 757 + FRAGMENT_HDR_LEN + SEALED_OVERHEAD);
	assert_int_equal(s.trains[0].frames, 2);
	assert_true(s.trains[0].inner == 2 * sizeof(frame));
	assert_int_equal(s.trains[0].bytes[0], 0x11);
	assert_true(counters.outer_fragmented == 2 && counters.peers[0].out.frames == 2);
	receive_trains(false);
	assert_int_equal(batch->n, 2);
	assert_true(counters.outer_reassembled == 2);
	assert_int_equal(batch->frames[1].len, sizeof(frame));
	assert_memory_equal(batch->frames[0].data, frame, sizeof(frame));
	assert_memory_equal(batch->frames[1].data, frame, sizeof(frame));
}

/* The ARP request once more, as fragments of 21 bytes of frame 9; they stand in doc/protocol.md
 * too. */
static const char *const fragments_hex[] = {
	"11000000010203040000000100000000000000053260643a0db93d14fb2986d756450fa0"
	"9a72d4cb415bfe8fc3647897126ebd954ab1fbb55505017d6e42de5e6c",
	"1100000001020304000000010000000000000006a346690c3202505a0900e7eb0f406d23"
	"7046aa1efef2c2c64ffcc61fedb880424ad436f93823d7cc767c79d955",
};

static void these_fragments_are_opened_to_the_frame(void **state)
{
	uint8_t datagrams[2][65];
	unsigned i;

	for (i = 0; i < 2; i++)
		assert_int_equal(pkt_hex(datagrams[i], sizeof(datagrams[i]), fragments_hex[i]),
				 sizeof(datagrams[i]));
	receive(datagrams[1], sizeof(datagrams[1]), 40000);
	assert_int_equal(batch->n, 0);
	receive(datagrams[0], sizeof(datagrams[0]), 40000);
	assert_int_equal(batch->n, 1);
	assert_int_equal(batch->frames[0].len, arp_len);
	assert_memory_equal(batch->frames[0].data, arp, arp_len);
}

/* What is sealed in the fragments of a frame of 601 bytes, over a path of 576: 304 of 512, and
 * padding. */
static void a_fragments_payload_has_these_bytes(void **state)
{
	static const uint8_t heads[2][FRAGMENT_HDR_LEN] = {{0, 0, 0, 0x2a, 0, 0, 0x02, 0x59},
							   {0, 0, 0, 0x2a, 0x01, 0x2d, 0x02, 0x59}};
	uint8_t frame[601], nonce[AEAD_IV_LEN], *at;
	unsigned i;

	s.frame_id = 0x2a;
	set_path(576);
	send_long(frame, sizeof(frame));
	assert_int_equal(s.trains[0].count, 2);
	assert_int_equal(s.trains[0].size, 20 + 8 + 301 + 16);
	for (i = 0; i < 2; i++) {
		at = s.trains[0].bytes + i * s.trains[0].size;
		aead_nonce(nonce, keys[0] + AEAD_KEY_LEN, 5 + i);
		assert_true(aead_openssl.open(t.peers[0].tx->keys[0].aead, nonce, at, 20, at + 20,
					      s.trains[0].size - 20));
		assert_memory_equal(at + 20, heads[i], FRAGMENT_HDR_LEN);
		assert_memory_equal(at + 28, frame + 301 * i, 301 - i);
	}
	assert_int_equal(at[28 + 300], 0);
}

static void what_the_path_just_carries_goes_whole(void **state)
{
	uint8_t frame[1514];

	set_path(1500);
	send_long(frame, 1500 - UDP_IPV4_HDR - SEALED_OVERHEAD);
	assert_int_equal(s.trains[0].count, 1);
	assert_int_equal(s.trains[0].bytes[0], 0x10);
	send_long(frame, 1500 - UDP_IPV4_HDR - SEALED_OVERHEAD + 1);
	assert_true(counters.outer_fragmented == 1);
	t.interface_mtu = 1499; /* before the machine of the path's MTU has heard of it */
	send_long(frame, 1500 - UDP_IPV4_HDR - SEALED_OVERHEAD);
	assert_true(counters.outer_fragmented == 2);
}

static void frames_of_any_length_arrive_in_fragments_of_any_path(void **state)
{
	static const uint32_t mtus[] = {576, 577, 1200, 1280, 1400, 1499, 1500, 9000};
	static uint8_t frame[FRAGMENTED_MAX];
	uint32_t i, len;

	t.interface_mtu = 9000;
	for (i = 0; i < sizeof(mtus) / sizeof(*mtus); i++)
		for (len = ETH_HDR_LEN; len <= sizeof(frame); len += len < 3000 ? 211 : 6949) {
			set_path(mtus[i]);
			send_long(frame, len);
			assert_true(s.trains[0].size + UDP_IPV4_HDR <= mtus[i]);
			receive_trains(len & 1);
			assert_int_equal(batch->n, 1);
			assert_int_equal(batch->frames[0].len, len);
			assert_memory_equal(batch->frames[0].data, frame, len);
			batch->n = 0;
			sealed_release_frames(&s);
		}
	set_path(1500);
	send_long(frame, sizeof(frame));
	assert_int_equal(s.n_trains, 2); /* 46 fragments are more than one send takes */
}

static void a_frame_beyond_the_limit_of_fragments_is_counted(void **state)
{
	static uint8_t frame[FRAGMENTED_MAX + 1];

	set_path(1500);
	send_long(frame, sizeof(frame));
	expect_drops(DROP_outer_too_big, 1);
	assert_int_equal(s.n_trains, 0);
}

/* The same fragments, but the second under the session of another peer. */
static void another_peers_fragment_completes_nothing(void **state)
{
	struct rx_session *other;
	uint8_t frame[1514];

	assert_int_equal(peer_init(&t.peers[1], &conf_peer, 1), 0);
	t.n_peers = 2;
	t.peers[1].tags = 1;
	other = rx_session_new(SESSION + 1, 1, &aead_openssl, AEAD_AES_256_GCM,
			       (const uint8_t(*)[SESSION_KEY_BYTES])keys, WORKERS);
	session_install(&t.sessions, other);
	set_path(1500);
	send_long(frame, sizeof(frame));
	s.trains[0].count = 1;
	s.trains[0].len = s.trains[0].size;
	receive_trains(false);
	t.peers[0].tx->id = SESSION + 1;
	s.frame_id--;
	send_long(frame, sizeof(frame));
	receive_trains(false);
	assert_int_equal(batch->n, 1); /* the other peer's own two */
	assert_int_equal(outer_key_peer(batch->frames[0].key), 1);
	assert_int_equal(reassembly_frames(s.reassembly[0]), 1);
	session_remove(&t.sessions, other);
	peer_release(&t.peers[1]);
}

static void fragments_that_cannot_be_are_counted_by_reason(void **state)
{
	static const struct {
		struct fragment at;
		uint32_t len;
		enum drop reason;
	} wrong[] = {
		{{1, 0, 0}, 100, DROP_fragment_malformed},
		{{1, 65535, 65535}, 1, DROP_fragment_malformed},
		{{1, 0, 13}, 13, DROP_fragment_malformed},
		{{1, 0, 1514}, 757, DROPS},
		{{1, 0, 1514}, 757, DROP_fragment_duplicate},
		{{1, 700, 1514}, 757, DROP_fragment_overlap},
		{{2, 0, 1514}, 757, DROPS},
		{{2, 757, 65535}, 757, DROP_fragment_inconsistent},
	};
	uint8_t datagram[900] = {0x11}, nonce[AEAD_IV_LEN], plain[800] = {0};
	uint32_t i, all[DROPS] = {0};

	for (i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		struct iovec iov = {plain, FRAGMENT_HDR_LEN + wrong[i].len};

		fragment_store(plain, &wrong[i].at);
		sealed_store(datagram, &(struct sealed_header){.type = SEALED_FRAGMENT,
							       .session = SESSION,
							       .tag = 1,
							       .counter = i});
		aead_nonce(nonce, keys[0] + AEAD_KEY_LEN, i);
		assert_true(aead_openssl.seal(t.peers[0].tx->keys[0].aead, nonce, datagram,
					      SEALED_HDR_LEN, &iov, 1, datagram + SEALED_HDR_LEN));
		receive(datagram, wrong[i].len + FRAGMENT_HDR_LEN + SEALED_OVERHEAD, 40000);
		if (wrong[i].reason != DROPS)
			expect_drops(wrong[i].reason, ++all[wrong[i].reason]);
	}
	assert_int_equal(batch->n, 0);
	receive(golden, golden_len,
		40000); /* counter 5 is used; another frame passes all the same */
	expect_drops(DROP_sealed_replay, 1);
}

static void a_flood_of_incomplete_frames_is_bounded_and_times_out(void **state)
{
	uint8_t frame[1514];
	uint32_t i;

	set_path(1500);
	for (i = 0; i < 2 * REASSEMBLY_FRAMES; i++) {
		send_long(frame, sizeof(frame));
		s.trains[0].count = 1;
		s.trains[0].len = s.trains[0].size;
		receive_trains(false);
	}
	assert_int_equal(reassembly_frames(s.reassembly[0]), REASSEMBLY_FRAMES);
	expect_drops(DROP_fragment_full, REASSEMBLY_FRAMES);
	s.outer.now_ns += 3 * NS_PER_S;
	send_long(frame, sizeof(frame));
	receive_trains(false);
	expect_drops(DROP_fragment_timeout, REASSEMBLY_FRAMES);
	assert_int_equal(batch->n, 1);
}

/* An IPv4 packet of this class, with a right header checksum. */
static void send_class(uint8_t tos, bool copy)
{
	uint8_t bytes[60] = {
		[12] = 0x08, [14] = 0x45, [15] = tos, [17] = 46, [22] = 64, [23] = 200};
	struct frame f = {.data = bytes, .len = sizeof(bytes)};
	struct packet p;

	conf.tos = copy ? CONF_TOS_COPY : CONF_TOS_OFF;
	store_be16(bytes + 24, cksum_fold(cksum_add(0, bytes + 14, 20)));
	packet_parse(bytes, sizeof(bytes), &p);
	rcu_read_lock();
	sealed_send(&s.outer, 0, 1, &f, &p);
	rcu_read_unlock();
	conf.tos = CONF_TOS_COPY;
}

static void a_train_is_of_one_class(void **state)
{
	send_class(0xb8, true);
	send_class(0xb8, true);
	send_class(0xb9, true);
	send_class(0xb9, false);
	assert_int_equal(s.n_trains, 3);
	assert_int_equal(s.trains[0].count, 2);
	assert_int_equal(s.trains[0].tos, 0xb8);
	assert_int_equal(s.trains[1].tos, 0xb9);
	assert_int_equal(s.trains[2].tos, 0);
}

/* Receives what waits, as marked by the path, said as either family says it. */
static void receive_marked(uint8_t ecn, bool ipv6)
{
	static uint8_t copy[200];
	struct cmsghdr *c = (struct cmsghdr *)batch->control[0];
	int value = ecn;
	struct sockaddr_in from = {.sin_family = AF_INET, .sin_port = htons(40000)};

	memcpy(copy, s.trains[0].bytes, s.trains[0].len);
	memcpy(batch_slot(batch, 0), copy, s.trains[0].len);
	memcpy(&batch->names[0], &from, sizeof(from));
	batch->msgs[0] = (struct mmsghdr){.msg_len = s.trains[0].len};
	batch->msgs[0].msg_hdr.msg_control = c;
	c->cmsg_level = ipv6 ? IPPROTO_IPV6 : IPPROTO_IP;
	c->cmsg_type = ipv6 ? IPV6_TCLASS : IP_TOS;
	c->cmsg_len = ipv6 ? CMSG_LEN(sizeof(value)) : CMSG_LEN(1);
	memcpy(CMSG_DATA(c), &value, ipv6 ? sizeof(value) : 1);
	batch->msgs[0].msg_hdr.msg_controllen = CMSG_SPACE(sizeof(value));
	s.n_trains = 0;
	memset(s.open_train, NO_TRAIN, sizeof(s.open_train));
	rcu_read_lock();
	sealed_take(&s.outer, SOCKET_LISTEN, batch, 1);
	rcu_read_unlock();
}

static void congestion_on_the_path_is_told_to_the_receiver_or_by_a_loss(void **state)
{
	unsigned ipv6;

	for (ipv6 = 0; ipv6 < 2; ipv6++) {
		batch->n = 0;
		send_class(0xba, true); /* ECT(0) */
		receive_marked(0xbb, ipv6);
		assert_int_equal(batch->n, 1);
		assert_int_equal(batch->frames[0].data[15], 0xbb);
		assert_int_equal(cksum_fold(cksum_add(0, batch->frames[0].data + 14, 20)), 0);
		send_class(0xb8, true);
		receive_marked(0xbb, ipv6);
		expect_drops(DROP_congestion, 1 + ipv6);
		assert_int_equal(batch->n, 1);
		send_class(0xb8, true);
		conf.tos = CONF_TOS_OFF;
		receive_marked(0xbb, ipv6);
		conf.tos = CONF_TOS_COPY;
		assert_int_equal(batch->n, 2);
		assert_int_equal(batch->frames[1].data[15], 0xb8);
	}
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
		with_keys(what_the_path_does_not_carry_is_cut_in_equal_fragments_of_one_train),
		with_keys(these_fragments_are_opened_to_the_frame),
		with_keys(a_fragments_payload_has_these_bytes),
		with_keys(what_the_path_just_carries_goes_whole),
		with_keys(frames_of_any_length_arrive_in_fragments_of_any_path),
		with_keys(a_frame_beyond_the_limit_of_fragments_is_counted),
		with_keys(another_peers_fragment_completes_nothing),
		with_keys(fragments_that_cannot_be_are_counted_by_reason),
		with_keys(a_flood_of_incomplete_frames_is_bounded_and_times_out),
		with_keys(a_train_is_of_one_class),
		with_keys(congestion_on_the_path_is_told_to_the_receiver_or_by_a_loss),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
