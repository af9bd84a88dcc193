// SPDX-License-Identifier: GPL-3.0-or-later
/* test_peer.c - where a peer is sent to, and when it is up; time is the test's own */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rcu.h"

#include "tunnel/peer.h"

#include <stdio.h>
#include <string.h>

#define MS	   1000000ull
#define DEAD_AFTER (3000 * MS)

static const struct conf_peer conf = {.name = "tokyo"};
static struct peer p;

static int setup(void **state)
{
	return peer_init(&p, &conf, 5);
}

static int teardown(void **state)
{
	rcu_barrier();
	peer_release(&p);
	return 0;
}

static struct endpoint at(const char *text)
{
	struct endpoint e;
	struct err err;

	assert_int_equal(endpoint_resolve(text, strlen(text), 7245, true, &e, &err), 0);
	return e;
}

static void set_direct(const char *text)
{
	struct endpoint e = at(text);

	peer_set_direct(&p, &e);
}

static void learn(unsigned worker, const char *text)
{
	struct endpoint e = at(text);

	rcu_read_lock();
	peer_learn(&p, worker, &e);
	rcu_read_unlock();
}

static bool is_at(const char *text)
{
	struct endpoint e = at(text);

	return peer_is_at(&p, &e);
}

/* Where one of our workers must send; NULL: nowhere is known. */
static void expect_place(unsigned worker, const char *text, unsigned socket)
{
	char got[ENDPOINT_TEXT] = "nowhere";
	struct endpoint to;
	unsigned by = 99;
	bool known;

	rcu_read_lock();
	known = peer_place(&p, worker, &to, &by);
	rcu_read_unlock();
	if (known)
		endpoint_text(&to, got);
	assert_string_equal(got, text ? text : "nowhere");
	if (text)
		assert_int_equal(by, socket);
}

static void a_new_peer_is_nowhere(void **state)
{
	assert_int_equal(p.index, 5);
	expect_place(0, NULL, 0);
	expect_place(63, NULL, 0);
	assert_false(is_at("192.0.2.1"));
	assert_false(peer_is_ipv6(&p));
}

static void a_configured_peer_is_sent_to_from_each_workers_own_port(void **state)
{
	unsigned worker;

	set_direct("192.0.2.1");
	for (worker = 0; worker < WORKERS_MAX; worker++)
		expect_place(worker, "192.0.2.1:7245", SOCKET_OUT);
	set_direct("[2001:db8::1]:80");
	expect_place(0, "[2001:db8::1]:80", SOCKET_OUT);
	assert_true(peer_is_ipv6(&p));
}

static void a_peer_that_is_where_it_should_be_is_sent_to_its_listening_port(void **state)
{
	set_direct("192.0.2.1");
	learn(0, "192.0.2.1:40000"); /* it sends from ports of its own */
	learn(1, "192.0.2.1:40001");
	expect_place(0, "192.0.2.1:7245", SOCKET_OUT);
	expect_place(1, "192.0.2.1:7245", SOCKET_OUT);
}

static void a_peer_without_an_address_is_answered_where_it_called_from(void **state)
{
	learn(0, "198.51.100.1:61000");
	expect_place(0, "198.51.100.1:61000", SOCKET_LISTEN);
	expect_place(1, "198.51.100.1:61000", SOCKET_LISTEN); /* nothing else is known */
	learn(1, "198.51.100.1:61001");
	expect_place(0, "198.51.100.1:61000", SOCKET_LISTEN);
	expect_place(1, "198.51.100.1:61001", SOCKET_LISTEN);
}

static void a_peer_that_has_moved_is_followed_and_awaited_back(void **state)
{
	set_direct("192.0.2.1");
	learn(0, "203.0.113.9:50000");
	expect_place(0, "203.0.113.9:50000", SOCKET_LISTEN);
	learn(0, "203.0.113.10:50000");
	expect_place(0, "203.0.113.10:50000", SOCKET_LISTEN);
	learn(0, "203.0.113.10:50001"); /* the NAT gave it another port */
	expect_place(0, "203.0.113.10:50001", SOCKET_LISTEN);
	learn(0, "192.0.2.1:40000");
	expect_place(0, "192.0.2.1:7245", SOCKET_OUT);
}

static void another_address_of_the_configured_ones_takes_effect(void **state)
{
	set_direct("192.0.2.1");
	learn(0, "192.0.2.1:40000");
	set_direct("192.0.2.2");
	expect_place(0, "192.0.2.1:40000", SOCKET_LISTEN); /* there it was heard */
	learn(0, "192.0.2.2:40000");
	expect_place(0, "192.0.2.2:7245", SOCKET_OUT);
}

/* Each of ours keeps to one of the peer's, in turn, however many there are of either. */
static void our_workers_are_spread_over_the_peers_and_stay_there(void **state)
{
	static const unsigned theirs[] = {3, 7, 63};
	char text[ENDPOINT_TEXT];
	unsigned i, worker, round;

	for (i = 0; i < 3; i++) {
		snprintf(text, sizeof(text), "198.51.100.1:%u", 61000 + theirs[i]);
		learn(theirs[i], text);
	}
	for (round = 0; round < 3; round++)
		for (worker = 0; worker < WORKERS_MAX; worker++) {
			snprintf(text, sizeof(text), "198.51.100.1:%u", 61000 + theirs[worker % 3]);
			expect_place(worker, text, SOCKET_LISTEN);
		}
}

static void what_is_known_already_changes_nothing(void **state)
{
	const struct peer_places *before;

	set_direct("192.0.2.1");
	learn(4, "198.51.100.1:61000");
	before = p.places;
	set_direct("192.0.2.1");
	learn(4, "198.51.100.1:61000");
	assert_ptr_equal(p.places, before); /* every packet calls this */
}

static void old_places_stay_for_their_readers(void **state)
{
	const struct peer_places *old;

	set_direct("192.0.2.1");
	rcu_read_lock();
	old = rcu_dereference(p.places);
	set_direct("192.0.2.2");
	assert_int_equal(old->direct.in6.sin6_addr.s6_addr[15], 1); /* ASan: not freed */
	rcu_read_unlock();
}

static void a_host_is_the_peers_where_it_listens_or_was_heard(void **state)
{
	set_direct("192.0.2.1");
	learn(9, "203.0.113.9:50000");
	assert_true(is_at("192.0.2.1:1"));
	assert_true(is_at("203.0.113.9:2"));
	assert_false(is_at("203.0.113.8:50000"));
}

static void echo(unsigned worker, uint64_t sent, uint64_t now)
{
	struct probe reply = {.mark = sent, .highest = now, .received = sent};

	peer_probe_echoed(&p, worker, &reply, now);
}

static void a_peer_is_up_when_each_worker_has_an_echo_and_while_it_is_young(void **state)
{
	uint64_t t = 1000 * MS;

	assert_false(peer_is_up(&p, 2, DEAD_AFTER, t));
	echo(0, t, t + 5 * MS);
	assert_true(peer_is_up(&p, 1, DEAD_AFTER, t + 5 * MS));
	assert_false(
		peer_is_up(&p, 2, DEAD_AFTER, t + 5 * MS)); /* the other 5-tuple may be blocked */
	echo(1, t, t + 10 * MS);
	assert_true(peer_is_up(&p, 2, DEAD_AFTER, t + 10 * MS));
	assert_true(peer_is_up(&p, 2, DEAD_AFTER, t + 5 * MS + DEAD_AFTER));
	assert_false(peer_is_up(&p, 2, DEAD_AFTER, t + 5 * MS + DEAD_AFTER + 1));
	assert_true(peer_is_up(&p, 2, DEAD_AFTER,
			       t)); /* read before the echo came: not 580 years old */
}

static void round_trips_are_smoothed_by_an_eighth_and_jitter_by_a_sixteenth(void **state)
{
	const struct path *path = &p.paths[3];
	uint64_t t = 1000 * MS;

	echo(3, t, t + 80 * MS);
	assert_true(path->rtt_ns == 80 * MS); /* the first is taken whole */
	assert_true(path->jitter_ns == 0);
	echo(3, t, t + 160 * MS);
	assert_true(path->rtt_ns == 90 * MS);	 /* 80 · 7/8 + 160 / 8 */
	assert_true(path->jitter_ns == 80 * MS); /* the first difference likewise */
	echo(3, t, t + 160 * MS);
	assert_true(path->jitter_ns == 75 * MS); /* 80 · 15/16 + 0 */
	assert_true(path->echoed == 3);
	assert_true(path->highest == t + 160 * MS && path->received == t);
}

static void a_new_session_forgets_counts_and_none_forgets_echoes_too(void **state)
{
	static const uint8_t key[1][SESSION_KEY_BYTES];
	uint64_t t = 1000 * MS;

	echo(0, t, t + MS);
	peer_use_session(&p, tx_session_new(1, &aead_openssl, AEAD_AES_256_GCM, key, 1));
	assert_int_equal(p.tx->id, 1);
	assert_true(p.paths[0].highest == 0 && p.paths[0].received == 0);
	assert_true(peer_is_up(&p, 1, DEAD_AFTER, t + MS)); /* rekeying is no outage */
	peer_use_session(&p, NULL);
	assert_null(p.tx);
	assert_false(peer_is_up(&p, 1, DEAD_AFTER, t + MS));
}

#define with_peer(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_peer(a_new_peer_is_nowhere),
		with_peer(a_configured_peer_is_sent_to_from_each_workers_own_port),
		with_peer(a_peer_that_is_where_it_should_be_is_sent_to_its_listening_port),
		with_peer(a_peer_without_an_address_is_answered_where_it_called_from),
		with_peer(a_peer_that_has_moved_is_followed_and_awaited_back),
		with_peer(another_address_of_the_configured_ones_takes_effect),
		with_peer(our_workers_are_spread_over_the_peers_and_stay_there),
		with_peer(what_is_known_already_changes_nothing),
		with_peer(old_places_stay_for_their_readers),
		with_peer(a_host_is_the_peers_where_it_listens_or_was_heard),
		with_peer(a_peer_is_up_when_each_worker_has_an_echo_and_while_it_is_young),
		with_peer(round_trips_are_smoothed_by_an_eighth_and_jitter_by_a_sixteenth),
		with_peer(a_new_session_forgets_counts_and_none_forgets_echoes_too),
	};

	return cmocka_run_group_tests(tests, rcu_group_setup, rcu_group_teardown);
}
