// SPDX-License-Identifier: GPL-3.0-or-later
/* test_fdb.c - where a MAC is, when it moves, and when it is forgotten; time is the test's own */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rcu.h"

#include "tunnel/fdb.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <urcu.h>

#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif
#ifndef UNDER_TSAN
#define UNDER_TSAN 0
#endif

/*
 * As tests/tsan.supp, so that the test is clean however it is run: liburcu is
 * built without ThreadSanitizer, and publishes and compares keys inside.
 */
const char *__tsan_default_suppressions(void);

const char *__tsan_default_suppressions(void)
{
	return "called_from_lib:liburcu.so\n"
	       "called_from_lib:liburcu-cds.so\n"
	       "race:^key_equal$\n";
}

#define MANY 4096 /* more than a test learns, where the limit is not its matter */

static struct fdb *f;

/* Places: ports 0 and 1, peers 0 and 1. */
static const fdb_place here = fdb_port(0), there = fdb_port(1);
static const fdb_place far = fdb_peer(0), farther = fdb_peer(1);

static int setup(void **state)
{
	f = fdb_new();
	return f ? 0 : -1;
}

static int teardown(void **state)
{
	fdb_free(f);
	return 0;
}

static struct fdb_key key_of(uint32_t mac, uint16_t vid, uint32_t tag)
{
	struct fdb_key k = {.mac = {2}, .vid = vid, .tag = tag};

	memcpy(k.mac + 2, &mac, sizeof(mac));
	return k;
}

static enum fdb_verdict learn(uint32_t mac, fdb_place place, uint32_t now_ms)
{
	struct fdb_key k = key_of(mac, 0, 1);

	return fdb_learn(f, &k, place, false, MANY, now_ms);
}

static enum fdb_verdict announce(uint32_t mac, fdb_place place, uint32_t now_ms)
{
	struct fdb_key k = key_of(mac, 0, 1);

	return fdb_learn(f, &k, place, true, MANY, now_ms);
}

static fdb_place lookup(uint32_t mac)
{
	struct fdb_key k = key_of(mac, 0, 1);

	return fdb_lookup(f, &k);
}

static void a_mac_is_nowhere_until_it_is_learnt(void **state)
{
	assert_int_equal(lookup(1), FDB_NOWHERE);
	assert_int_equal(learn(1, here, 0), FDB_NEW);
	assert_int_equal(lookup(1), here);
	assert_int_equal(lookup(2), FDB_NOWHERE);
	assert_int_equal(learn(1, here, 0), FDB_SAME);
	assert_int_equal(learn(1, here, 1000), FDB_SAME);
	assert_int_equal(fdb_count(f, here), 1);
	assert_int_equal(fdb_count(f, there), 0);
}

static void ports_and_peers_are_different_places(void **state)
{
	assert_int_equal(learn(1, fdb_port(63), 0), FDB_NEW);
	assert_int_equal(learn(2, fdb_peer(0), 0), FDB_NEW);
	assert_int_equal(learn(3, fdb_peer(63), 0), FDB_NEW);
	assert_int_equal(lookup(1), fdb_port(63));
	assert_int_equal(lookup(2), fdb_peer(0));
	assert_int_equal(lookup(3), fdb_peer(63));
	assert_false(fdb_is_peer(lookup(1)));
	assert_true(fdb_is_peer(lookup(2)) && fdb_is_peer(lookup(3)));
	assert_int_equal(fdb_index(lookup(1)), 63);
	assert_int_equal(fdb_index(lookup(2)), 0);
	assert_int_equal(fdb_index(lookup(3)), 63);
}

static void each_vlan_and_each_tag_learns_for_itself(void **state)
{
	static const struct fdb_key other_mac = {{2, 1, 1}, 0, 1};
	struct fdb_key plain = key_of(1, 0, 1), vlan = key_of(1, 7, 1), tag = key_of(1, 0, 2);

	assert_int_equal(fdb_learn(f, &plain, here, false, MANY, 0), FDB_NEW);
	assert_int_equal(fdb_lookup(f, &vlan), FDB_NOWHERE);
	assert_int_equal(fdb_lookup(f, &tag), FDB_NOWHERE);
	assert_int_equal(fdb_learn(f, &vlan, there, false, MANY, 0), FDB_NEW);
	assert_int_equal(fdb_learn(f, &tag, far, false, MANY, 0), FDB_NEW);
	assert_int_equal(fdb_lookup(f, &plain), here);
	assert_int_equal(fdb_lookup(f, &vlan), there);
	assert_int_equal(fdb_lookup(f, &tag), far);
	assert_int_equal(fdb_lookup(f, &other_mac), FDB_NOWHERE);
	/* …and moves for itself. */
	assert_int_equal(fdb_learn(f, &vlan, farther, true, MANY, 10), FDB_MOVED);
	assert_int_equal(fdb_lookup(f, &plain), here);
	assert_int_equal(fdb_lookup(f, &vlan), farther);
	assert_int_equal(fdb_lookup(f, &tag), far);
}

static void a_silent_mac_is_forgotten_and_a_heard_one_is_not(void **state)
{
	learn(1, here, 0);
	learn(2, here, 0);
	learn(1, here, 600);
	fdb_age(f, 1000, 1000);
	assert_int_equal(lookup(1), here);
	assert_int_equal(lookup(2), here);
	fdb_age(f, 1000, 1001);
	assert_int_equal(lookup(1), here);
	assert_int_equal(lookup(2), FDB_NOWHERE);
	assert_int_equal(fdb_count(f, here), 1);
	/* Refreshing is lazy by less than a fraction of a second: never early, hardly late. */
	fdb_age(f, 1000, 1601);
	assert_int_equal(lookup(1), FDB_NOWHERE);
	assert_int_equal(fdb_count(f, here), 0);
	assert_int_equal(learn(1, there, 1602), FDB_NEW);
}

static void a_mac_that_is_kept_is_forgotten_after_a_day(void **state)
{
	struct fdb_key kept = {.mac = {2, 0, 0, 0, 0, 9}, .tag = 1}, none = {.mac = {2}, .tag = 1};

	assert_int_equal(fdb_lookup_and_keep(f, &none), FDB_NOWHERE);
	fdb_learn(f, &kept, here, false, MANY, 0);
	learn(1, here, 0);
	assert_int_equal(fdb_lookup_and_keep(f, &kept), here);
	fdb_age(f, 1000, 5000);
	assert_int_equal(lookup(1), FDB_NOWHERE);
	assert_int_equal(fdb_lookup(f, &kept), here);
	/* It may move, and stays a kept one. */
	assert_int_equal(fdb_learn(f, &kept, there, false, MANY, 6000), FDB_MOVED);
	fdb_age(f, 1000, 6000 + FDB_KEPT_MS);
	assert_int_equal(fdb_lookup(f, &kept), there);
	fdb_age(f, 1000, 6000 + FDB_KEPT_MS + 1000);
	assert_int_equal(fdb_lookup(f, &kept), FDB_NOWHERE);
}

static void frames_close_together_keep_a_mac_alive(void **state)
{
	uint32_t now;

	learn(1, here, 0);
	for (now = 0; now < 5000; now++)
		learn(1, here, now);
	fdb_age(f, 1000, 5000 + 950);
	assert_int_equal(lookup(1), here);
}

static void what_is_behind_a_place_that_has_gone_is_forgotten(void **state)
{
	learn(1, here, 0);
	learn(2, there, 0);
	learn(3, far, 0);
	learn(4, here, 0);
	fdb_forget_place(f, here);
	assert_int_equal(lookup(1), FDB_NOWHERE);
	assert_int_equal(lookup(4), FDB_NOWHERE);
	assert_int_equal(lookup(2), there);
	assert_int_equal(lookup(3), far);
	assert_int_equal(fdb_count(f, here), 0);
	assert_int_equal(fdb_count(f, there), 1);
}

static void a_place_learns_so_many_macs_and_no_more(void **state)
{
	struct fdb_key a = key_of(1, 0, 1), b = key_of(2, 0, 1), c = key_of(3, 0, 2);

	assert_int_equal(fdb_learn(f, &a, here, false, 2, 0), FDB_NEW);
	assert_int_equal(fdb_learn(f, &b, here, false, 2, 0), FDB_NEW);
	assert_int_equal(fdb_learn(f, &c, here, false, 2, 0), FDB_FULL);
	assert_int_equal(fdb_lookup(f, &c), FDB_NOWHERE);
	assert_int_equal(fdb_count(f, here), 2);
	/* Those it knows are still served, and other places have their own number. */
	assert_int_equal(fdb_learn(f, &a, here, false, 2, 100), FDB_SAME);
	assert_int_equal(fdb_learn(f, &c, there, false, 2, 0), FDB_NEW);
	/* Where one is forgotten, another may come. */
	fdb_age(f, 50, 100);
	assert_int_equal(fdb_learn(f, &b, here, false, 2, 100), FDB_NEW);
}

static void a_mac_cannot_move_to_a_place_that_is_full(void **state)
{
	struct fdb_key a = key_of(1, 0, 1), b = key_of(2, 0, 1);

	assert_int_equal(fdb_learn(f, &a, here, false, 1, 0), FDB_NEW);
	assert_int_equal(fdb_learn(f, &b, there, false, 1, 0), FDB_NEW);
	assert_int_equal(fdb_learn(f, &a, there, true, 1, 1000), FDB_FULL);
	assert_int_equal(fdb_lookup(f, &a), here);
	assert_int_equal(fdb_count(f, here), 1);
	assert_int_equal(fdb_count(f, there), 1);
}

static void an_announced_mac_moves_at_once(void **state)
{
	learn(1, here, 0);
	assert_int_equal(announce(1, far, 0), FDB_MOVED);
	assert_int_equal(lookup(1), far);
	assert_int_equal(fdb_count(f, here), 0);
	assert_int_equal(fdb_count(f, far), 1);
	assert_int_equal(announce(1, far, 1), FDB_SAME);
}

static void late_frames_do_not_undo_a_move(void **state)
{
	learn(1, here, 0);
	assert_int_equal(announce(1, far, 1000), FDB_MOVED);
	/* The new place may be silent for long: what matters is that the old one was just left. */
	assert_int_equal(learn(1, here, 1001), FDB_LATE);
	assert_int_equal(learn(1, here, 1000 + FDB_HOLD_DOWN_MS - 1), FDB_LATE);
	assert_int_equal(announce(1, here, 1000 + FDB_HOLD_DOWN_MS - 1), FDB_LATE);
	assert_int_equal(lookup(1), far);
	assert_int_equal(learn(1, here, 1000 + FDB_HOLD_DOWN_MS), FDB_MOVED);
	assert_int_equal(lookup(1), here);
}

static void the_hold_down_is_for_the_place_that_was_left_alone(void **state)
{
	learn(1, here, 0);
	assert_int_equal(announce(1, far, 1000), FDB_MOVED);
	assert_int_equal(announce(1, farther, 1100), FDB_MOVED);
	assert_int_equal(lookup(1), farther);
	assert_int_equal(announce(1, far, 1200), FDB_LATE);
	/* It left the first place long enough ago to be there by its own word. */
	assert_int_equal(announce(1, here, 1300), FDB_MOVED);
	assert_int_equal(lookup(1), here);
}

static void a_mac_active_elsewhere_is_a_conflict(void **state)
{
	learn(1, here, 1000);
	assert_int_equal(learn(1, far, 1000), FDB_CONFLICT);
	assert_int_equal(learn(1, far, 1000 + FDB_ACTIVE_MS - 1), FDB_CONFLICT);
	assert_int_equal(lookup(1), here);
	/* A frame heard elsewhere does not make it active where it is known. */
	assert_int_equal(learn(1, far, 1000 + FDB_ACTIVE_MS), FDB_MOVED);
	assert_int_equal(lookup(1), far);
}

static void a_talking_mac_stays_in_conflict_however_long(void **state)
{
	uint32_t now;

	for (now = 0; now < 5000; now += FDB_ACTIVE_MS / 2) {
		assert_int_not_equal(learn(1, here, now), FDB_MOVED);
		assert_int_equal(learn(1, far, now + 1), FDB_CONFLICT);
	}
	assert_int_equal(lookup(1), here);
}

static void a_quiet_mac_moves_by_an_ordinary_frame(void **state)
{
	learn(1, here, 0);
	assert_int_equal(learn(1, there, FDB_ACTIVE_MS), FDB_MOVED);
	assert_int_equal(learn(1, far, 2 * FDB_ACTIVE_MS), FDB_MOVED);
	assert_int_equal(lookup(1), far);
	assert_int_equal(fdb_count(f, here) + fdb_count(f, there), 0);
}

/* A fresh entry has left nowhere: place 0xffff, time 0. */
static void a_new_mac_has_no_hold_down(void **state)
{
	assert_int_equal(announce(1, here, 5), FDB_NEW);
	assert_int_equal(announce(1, far, 6), FDB_MOVED);
}

static void times_go_on_across_the_wrap_of_the_clock(void **state)
{
	uint32_t late = UINT32_MAX - 99; /* 100 ms before the clock is 0 again */

	learn(1, here, late);
	learn(2, here, late);
	assert_int_equal(learn(1, far, FDB_ACTIVE_MS - 101), FDB_CONFLICT);
	assert_int_equal(learn(1, far, FDB_ACTIVE_MS - 100), FDB_MOVED);
	assert_int_equal(learn(1, here, FDB_HOLD_DOWN_MS), FDB_LATE);
	fdb_age(f, 1000, 900);
	assert_int_equal(lookup(2), here);
	fdb_age(f, 1000, 901);
	assert_int_equal(lookup(2), FDB_NOWHERE);
	assert_int_equal(lookup(1), far);
	/* A move before the wrap holds behind it. */
	announce(3, here, late);
	announce(3, far, late);
	assert_int_equal(learn(3, here, FDB_HOLD_DOWN_MS - 101), FDB_LATE);
	assert_int_equal(learn(3, here, FDB_HOLD_DOWN_MS - 100), FDB_MOVED);
}

struct seen {
	unsigned n, stop_at;
	struct fdb_entry last;
};

static bool see(void *ctx, const struct fdb_entry *e)
{
	struct seen *s = ctx;

	s->last = *e;
	return ++s->n != s->stop_at;
}

static uint32_t age_of_the_only_one(uint32_t now_ms)
{
	struct seen s = {0};

	fdb_list(f, now_ms, see, &s);
	assert_int_equal(s.n, 1);
	return s.last.age_ms;
}

/* Threads read the clock at different moments. */
static void a_time_a_little_before_the_last_is_the_same_time(void **state)
{
	learn(1, here, 1000);
	fdb_age(f, 300, 999);
	assert_int_equal(lookup(1), here);
	assert_int_equal(age_of_the_only_one(999), 0);
	assert_int_equal(learn(1, far, 999), FDB_CONFLICT);
	assert_int_equal(learn(1, here, 900), FDB_SAME);
	assert_int_equal(age_of_the_only_one(1100), 100);
	assert_int_equal(announce(1, far, 1000), FDB_MOVED);
	assert_int_equal(learn(1, here, 999), FDB_LATE);
}

static void a_listing_tells_each_mac_as_it_is(void **state)
{
	struct fdb_key k = key_of(5, 9, 77);
	struct seen s = {0};

	fdb_learn(f, &k, here, false, MANY, 1000);
	fdb_learn(f, &k, far, true, MANY, 2000);
	fdb_learn(f, &k, farther, true, MANY, 3000);
	fdb_list(f, 3500, see, &s);
	assert_int_equal(s.n, 1);
	assert_memory_equal(&s.last.key, &k, sizeof(k));
	assert_int_equal(s.last.place, farther);
	assert_int_equal(s.last.age_ms, 500);
	assert_int_equal(s.last.moves, 2);
}

static void a_listing_ends_with_the_table_or_when_told(void **state)
{
	struct seen all = {0}, some = {.stop_at = 10};
	uint32_t i;

	fdb_list(f, 0, see, &all);
	assert_int_equal(all.n, 0);
	for (i = 0; i < 100; i++)
		learn(i, here, 0);
	fdb_list(f, 0, see, &all);
	assert_int_equal(all.n, 100);
	fdb_list(f, 0, see, &some);
	assert_int_equal(some.n, 10);
}

#define LARGE (UNDER_TSAN ? 1000u : 100000u)

static void a_large_table_loses_nothing(void **state)
{
	struct fdb_key k;
	uint32_t i;

	for (i = 0; i < LARGE; i++) {
		k = key_of(i, (uint16_t)(i % 5), i % 3);
		assert_int_equal(fdb_learn(f, &k, (fdb_place)(i % FDB_PLACES), false, 1000000, 0),
				 FDB_NEW);
	}
	for (i = 0; i < LARGE; i++) {
		k = key_of(i, (uint16_t)(i % 5), i % 3);
		assert_int_equal(fdb_lookup(f, &k), i % FDB_PLACES);
	}
	assert_int_equal(fdb_count(f, 0), (LARGE + FDB_PLACES - 1) / FDB_PLACES);
	fdb_age(f, 10, 11);
	assert_int_equal(fdb_count(f, 0), 0);
}

static void no_table_needs_no_freeing(void **state)
{
	fdb_free(NULL);
}

/* Threads ------------------------------------------------------------------ */

#define LEARNERS 2
#define MACS	 200
#define ROUNDS	 (UNDER_TSAN ? 5 : 300)

static _Atomic bool learning;
static _Atomic uint32_t now_ms;

/* Each learner has its place; every MAC may be at any of them, and announces itself. */
static void *learner(void *arg)
{
	fdb_place place = (fdb_place)(uintptr_t)arg;
	uint32_t round, mac;

	rcu_register_thread();
	for (round = 0; round < ROUNDS; round++) {
		for (mac = 0; mac < MACS; mac++)
			announce(mac, place, atomic_fetch_add(&now_ms, 20));
	}
	rcu_unregister_thread();
	return NULL;
}

/* Returns NULL if every MAC was where it can be. */
static void *looker(void *arg)
{
	uint32_t mac = 0;
	void *wrong = NULL;

	rcu_register_thread();
	while (atomic_load(&learning)) {
		fdb_place place = lookup(mac++ % MACS);

		if (place != FDB_NOWHERE && place >= LEARNERS)
			wrong = arg;
	}
	rcu_unregister_thread();
	return wrong;
}

static void *ager(void *arg)
{
	rcu_register_thread();
	while (atomic_load(&learning)) {
		struct seen s = {0};

		fdb_age(f, 5000, atomic_load(&now_ms));
		fdb_forget_place(f, here);
		fdb_list(f, atomic_load(&now_ms), see, &s);
	}
	rcu_unregister_thread();
	return NULL;
}

static void threads_learn_look_up_and_age_without_a_wrong_answer(void **state)
{
	pthread_t learners[LEARNERS], readers[2];
	struct seen s = {0};
	void *wrong;
	int i;

	atomic_store(&learning, true);
	for (i = 0; i < LEARNERS; i++)
		assert_int_equal(pthread_create(&learners[i], NULL, learner, (void *)(uintptr_t)i),
				 0);
	assert_int_equal(pthread_create(&readers[0], NULL, looker, f), 0);
	assert_int_equal(pthread_create(&readers[1], NULL, ager, f), 0);
	for (i = 0; i < LEARNERS; i++)
		pthread_join(learners[i], NULL);
	atomic_store(&learning, false);
	pthread_join(readers[0], &wrong);
	assert_null(wrong);
	pthread_join(readers[1], NULL);
	/* The counts are those of the table. */
	fdb_list(f, 0, see, &s);
	assert_int_equal(fdb_count(f, here) + fdb_count(f, there), s.n);
}

static _Atomic unsigned hearers;

/* Hears MACs that nobody has heard before, as all hearers do at the same time. */
static void *hearer(void *arg)
{
	uint32_t mac;
	void *wrong = NULL;

	rcu_register_thread();
	atomic_fetch_add(&hearers, 1);
	while (atomic_load(&hearers) < LEARNERS)
		;
	for (mac = 0; mac < ROUNDS * MACS; mac++) {
		struct fdb_key k = key_of(mac, 0, 1);
		enum fdb_verdict v = fdb_learn(f, &k, here, false, UINT32_MAX, 20 * mac);

		if (v != FDB_NEW && v != FDB_SAME)
			wrong = arg;
	}
	rcu_unregister_thread();
	return wrong;
}

static void a_mac_that_several_threads_hear_first_is_learnt_once(void **state)
{
	pthread_t threads[LEARNERS];
	void *wrong;
	int i;

	atomic_store(&hearers, 0);
	for (i = 0; i < LEARNERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, hearer, f), 0);
	for (i = 0; i < LEARNERS; i++) {
		pthread_join(threads[i], &wrong);
		assert_null(wrong);
	}
	assert_int_equal(fdb_count(f, here), ROUNDS * MACS);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(a_mac_is_nowhere_until_it_is_learnt),
		test(ports_and_peers_are_different_places),
		test(each_vlan_and_each_tag_learns_for_itself),
		test(a_silent_mac_is_forgotten_and_a_heard_one_is_not),
		test(a_mac_that_is_kept_is_forgotten_after_a_day),
		test(frames_close_together_keep_a_mac_alive),
		test(what_is_behind_a_place_that_has_gone_is_forgotten),
		test(a_place_learns_so_many_macs_and_no_more),
		test(a_mac_cannot_move_to_a_place_that_is_full),
		test(an_announced_mac_moves_at_once),
		test(late_frames_do_not_undo_a_move),
		test(the_hold_down_is_for_the_place_that_was_left_alone),
		test(a_mac_active_elsewhere_is_a_conflict),
		test(a_talking_mac_stays_in_conflict_however_long),
		test(a_quiet_mac_moves_by_an_ordinary_frame),
		test(a_new_mac_has_no_hold_down),
		test(times_go_on_across_the_wrap_of_the_clock),
		test(a_time_a_little_before_the_last_is_the_same_time),
		test(a_listing_tells_each_mac_as_it_is),
		test(a_listing_ends_with_the_table_or_when_told),
		test(a_large_table_loses_nothing),
		cmocka_unit_test(no_table_needs_no_freeing),
		test(threads_learn_look_up_and_age_without_a_wrong_answer),
		test(a_mac_that_several_threads_hear_first_is_learnt_once),
	};

	return cmocka_run_group_tests(tests, rcu_group_setup, rcu_group_teardown);
}
