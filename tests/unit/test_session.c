// SPDX-License-Identifier: GPL-3.0-or-later
/* test_session.c - numbers of sessions, how they are found and forgotten, what is wiped */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rcu.h"

#include "tunnel/session.h"

#include <stdlib.h>
#include <string.h>

#define WORKERS 3

static struct session_table table;
static uint8_t keys[WORKERS][SESSION_KEY_BYTES];

/* An engine that only counts: which keys were made, with what, and which are gone. */
static struct {
	unsigned made, gone, fail_at; /* 0: never fails */
	uint8_t keys[WORKERS][AEAD_KEY_LEN];
} engine_did;

static struct aead *engine_create(enum aead_cipher cipher, const uint8_t key[AEAD_KEY_LEN])
{
	if (engine_did.made + 1 == engine_did.fail_at)
		return NULL;
	memcpy(engine_did.keys[engine_did.made % WORKERS], key, AEAD_KEY_LEN);
	engine_did.made++;
	return malloc(1);
}

static void engine_destroy(struct aead *a)
{
	engine_did.gone++;
	free(a);
}

static const struct aead_engine engine = {
	.name = "counting", .create = engine_create, .destroy = engine_destroy};

static int setup(void **state)
{
	unsigned i, j;

	memset(&table, 0, sizeof(table));
	memset(&engine_did, 0, sizeof(engine_did));
	for (i = 0; i < WORKERS; i++)
		for (j = 0; j < SESSION_KEY_BYTES; j++)
			keys[i][j] = (uint8_t)(i << 6 | j);
	return 0;
}

static struct rx_session *rx(uint32_t id, unsigned peer)
{
	struct rx_session *s = rx_session_new(id, peer, &engine, AEAD_AES_256_GCM,
					      (const uint8_t(*)[SESSION_KEY_BYTES])keys, 1);

	assert_non_null(s);
	return s;
}

static struct rx_session *find(uint32_t id)
{
	struct rx_session *s;

	rcu_read_lock();
	s = session_find(&table, id);
	rcu_read_unlock();
	return s;
}

static void empty(void)
{
	unsigned i;

	for (i = 0; i < SESSION_SLOTS; i++)
		if (table.slots[i])
			session_remove(&table, table.slots[i]);
	rcu_barrier();
	assert_int_equal(engine_did.made, engine_did.gone);
}

static void numbers_are_never_0_and_never_of_a_taken_slot(void **state)
{
	static struct rx_session taken;
	unsigned i, only;
	uint32_t id;

	for (i = 0; i < 100000; i++)
		assert_true(session_choose_id(&table));
	for (only = 0; only < SESSION_SLOTS; only += 93) {
		for (i = 0; i < SESSION_SLOTS; i++)
			table.slots[i] = i == only ? NULL : &taken;
		id = session_choose_id(&table);
		assert_true(id);
		assert_int_equal(id % SESSION_SLOTS, only);
	}
}

static void a_full_table_has_no_number_and_says_so_at_once(void **state)
{
	static struct rx_session taken;
	unsigned i;

	for (i = 0; i < SESSION_SLOTS; i++)
		table.slots[i] = &taken;
	assert_int_equal(session_choose_id(&table), 0);
}

/* 32 random bits: of 1000 numbers hardly two are equal, and each bit is as often 0 as 1. */
static void numbers_cannot_be_guessed(void **state)
{
	unsigned ones[32] = {0}, i, bit;
	uint32_t id;

	for (i = 0; i < 10000; i++) {
		id = session_choose_id(&table);
		for (bit = 0; bit < 32; bit++)
			ones[bit] += id >> bit & 1;
	}
	for (bit = 0; bit < 32; bit++)
		assert_in_range(ones[bit], 4500, 5500); /* ten standard deviations */
}

static void a_session_is_found_by_its_whole_number(void **state)
{
	struct rx_session *s = rx(0x01020304, 0);

	assert_null(find(s->id)); /* not installed yet */
	session_install(&table, s);
	assert_ptr_equal(find(0x01020304), s);
	assert_null(find(0x01020304 + SESSION_SLOTS)); /* the same slot */
	assert_null(find(0x01020304 ^ 1u << 31));
	assert_null(find(0x01020305));
	assert_null(find(0));
	session_remove(&table, s);
	assert_null(find(0x01020304));
	empty();
}

static void a_removed_session_lives_until_its_readers_have_left(void **state)
{
	struct rx_session *s = rx(7, 0);

	session_install(&table, s);
	rcu_read_lock();
	assert_ptr_equal(session_find(&table, 7), s);
	session_remove(&table, s);
	assert_null(session_find(&table, 7));
	assert_int_equal(s->id, 7); /* ASan: not freed */
	assert_int_equal(engine_did.gone, 0);
	rcu_read_unlock();
	rcu_barrier();
	assert_int_equal(engine_did.gone, 1);
}

static void each_worker_has_its_own_key_iv_and_window(void **state)
{
	struct rx_session *in = rx_session_new(1, 5, &engine, AEAD_AES_256_GCM,
					       (const uint8_t(*)[SESSION_KEY_BYTES])keys, WORKERS);
	struct tx_session *out;
	unsigned i;

	assert_non_null(in);
	assert_int_equal(in->peer, 5);
	assert_int_equal(in->n_keys, WORKERS);
	for (i = 0; i < WORKERS; i++) {
		assert_memory_equal(engine_did.keys[i], keys[i], AEAD_KEY_LEN);
		assert_memory_equal(in->keys[i].iv, keys[i] + AEAD_KEY_LEN, AEAD_IV_LEN);
		assert_true(in->keys[i].replay->received == 0);
		assert_true(!i || in->keys[i].replay != in->keys[0].replay);
	}
	rx_session_free(in);
	out = tx_session_new(9, &engine, AEAD_CHACHA20_POLY1305,
			     (const uint8_t(*)[SESSION_KEY_BYTES])keys, WORKERS);
	assert_non_null(out);
	assert_int_equal(out->cipher, AEAD_CHACHA20_POLY1305);
	for (i = 0; i < WORKERS; i++) {
		assert_memory_equal(engine_did.keys[i], keys[i], AEAD_KEY_LEN);
		assert_memory_equal(out->keys[i].iv, keys[i] + AEAD_KEY_LEN, AEAD_IV_LEN);
		assert_true(out->keys[i].counter == 0);
	}
	tx_session_retire(out);
	tx_session_retire(NULL);
	empty();
}

static void what_cannot_be_made_whole_leaves_nothing(void **state)
{
	unsigned at;

	for (at = 1; at <= WORKERS; at++) {
		setup(NULL);
		engine_did.fail_at = at;
		assert_null(rx_session_new(1, 0, &engine, AEAD_AES_256_GCM,
					   (const uint8_t(*)[SESSION_KEY_BYTES])keys, WORKERS));
		assert_int_equal(engine_did.made, engine_did.gone);
		assert_null(tx_session_new(1, &engine, AEAD_AES_256_GCM,
					   (const uint8_t(*)[SESSION_KEY_BYTES])keys, WORKERS));
		assert_int_equal(engine_did.made, engine_did.gone);
	}
	rx_session_free(NULL);
	tx_session_free(NULL);
}

static unsigned count(void)
{
	unsigned i, n = 0;

	for (i = 0; i < SESSION_SLOTS; i++)
		n += table.slots[i] != NULL;
	return n;
}

/* A peer that changes keys all the time must not leave the others without a slot. */
static void only_the_newest_old_sessions_of_a_peer_are_kept(void **state)
{
	uint32_t id;

	session_install(&table, rx(1000, 0)); /* current: never erased for others' sake */
	session_install(&table, rx(1001, 1));
	session_linger(&table, table.slots[1001], 5); /* another peer's, and the oldest of all */
	for (id = 1; id <= 100; id++) {
		session_install(&table, rx(id, 0));
		session_linger(&table, table.slots[id], 10 + id);
		assert_true(count() <= 2 + SESSION_LINGERING_MAX);
	}
	assert_int_equal(count(), 2 + SESSION_LINGERING_MAX);
	for (id = 1; id <= 100; id++)
		assert_int_equal(find(id) != NULL, id > 100 - SESSION_LINGERING_MAX);
	assert_non_null(find(1000));
	assert_non_null(find(1001));
	empty();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(numbers_are_never_0_and_never_of_a_taken_slot, setup),
		cmocka_unit_test_setup(a_full_table_has_no_number_and_says_so_at_once, setup),
		cmocka_unit_test_setup(numbers_cannot_be_guessed, setup),
		cmocka_unit_test_setup(a_session_is_found_by_its_whole_number, setup),
		cmocka_unit_test_setup(a_removed_session_lives_until_its_readers_have_left, setup),
		cmocka_unit_test_setup(each_worker_has_its_own_key_iv_and_window, setup),
		cmocka_unit_test_setup(what_cannot_be_made_whole_leaves_nothing, setup),
		cmocka_unit_test_setup(only_the_newest_old_sessions_of_a_peer_are_kept, setup),
	};

	return cmocka_run_group_tests(tests, rcu_group_setup, rcu_group_teardown);
}
