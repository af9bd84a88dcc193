// SPDX-License-Identifier: GPL-3.0-or-later
/* test_replay.c - each counter once, none too old, whatever the order */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tunnel/replay.h"

#include <stdlib.h>
#include <string.h>

#define RING (REPLAY_WINDOW + 64) /* counters that the ring's words hold */

static struct replay r, before;

static void empty(void)
{
	memset(&r, 0, sizeof(r));
}

/* Looks up, holding that this changes nothing, then marks; both must say the same. */
static bool offer(uint64_t counter)
{
	bool fresh;

	before = r;
	fresh = replay_check(&r, counter);
	assert_memory_equal(&r, &before, sizeof(r));
	if (replay_accept(&r, counter) != fresh)
		fail_msg("%llu: check said %d, accept did not", (unsigned long long)counter, fresh);
	if (!fresh)
		assert_memory_equal(&r, &before, sizeof(r));
	return fresh;
}

static void expect(uint64_t counter, bool fresh)
{
	if (offer(counter) != fresh)
		fail_msg("%llu behind %llu: expected %s", (unsigned long long)counter,
			 (unsigned long long)r.highest, fresh ? "acceptance" : "refusal");
}

static void any_counter_may_be_the_first(void **state)
{
	static const uint64_t first[] = {0,	    1, 63, 64, 65536, 1ull << 32, UINT64_MAX - 1,
					 UINT64_MAX};
	size_t i;

	for (i = 0; i < sizeof(first) / sizeof(*first); i++) {
		empty();
		expect(first[i], true);
		expect(first[i], false);
		assert_true(r.highest == first[i]);
		assert_true(r.received == 1);
	}
}

static void those_before_the_first_may_follow(void **state)
{
	empty();
	expect(5, true);
	expect(0, true);
	expect(4, true);
	expect(0, false);
	expect(5, false);
	assert_true(r.received == 3);
}

static void a_window_behind_is_accepted_and_no_more(void **state)
{
	empty();
	expect(100000, true);
	expect(100000 - 65536, true);
	expect(100000 - 65536, false);
	expect(100000 - 65537, false);
	expect(0, false);
	expect(100001, true);
	expect(100001 - 65536, true);
	expect(100001 - 65537, false); /* accepted above, too old now */
}

/* The newest word is partly ahead of the newest counter: where it stands must not matter. */
static void the_whole_window_is_told_apart_wherever_it_stands(void **state)
{
	uint64_t highest, back;
	bool again;

	for (highest = 1000000; highest < 1000064; highest++) {
		empty();
		assert_true(replay_accept(&r, highest));
		for (again = false;; again = true) {
			for (back = 1; back <= REPLAY_WINDOW; back++)
				if (replay_accept(&r, highest - back) == again)
					fail_msg("%llu behind %llu, second time: %d",
						 (unsigned long long)back,
						 (unsigned long long)highest, again);
			if (again)
				break;
		}
		expect(highest - REPLAY_WINDOW - 1, false);
		assert_true(r.received == REPLAY_WINDOW + 1);
	}
}

/* Everything below is marked; after a jump only what was marked and is in the window is seen. */
static void jumps_forward_forget_exactly_what_they_pass(void **state)
{
	static const uint64_t jumps[] = {1,	   63,		 64,	     65,
					 65535,	   65536,	 65537,	     RING - 64,
					 RING - 1, RING,	 RING + 1,   RING + 64,
					 2 * RING, 2 * RING + 1, 1ull << 32, 1ull << 63};
	uint64_t start = 3 * RING, c, highest;
	size_t i;

	for (i = 0; i < sizeof(jumps) / sizeof(*jumps); i++) {
		empty();
		for (c = 0; c <= start; c++)
			assert_true(replay_accept(&r, c));
		highest = start + jumps[i];
		expect(highest, true);
		for (c = highest - REPLAY_WINDOW; c < highest; c++)
			if (replay_check(&r, c) != (c > start))
				fail_msg("jump by %llu: %llu behind", (unsigned long long)jumps[i],
					 (unsigned long long)(highest - c));
	}
}

static void the_last_counters_of_all_are_like_any_other(void **state)
{
	uint64_t back;

	empty();
	expect(UINT64_MAX - 70000, true);
	expect(UINT64_MAX - 1, true);
	expect(UINT64_MAX, true);
	expect(UINT64_MAX, false);
	expect(UINT64_MAX - 1, false);
	for (back = 2; back <= REPLAY_WINDOW; back++)
		assert_true(replay_accept(&r, UINT64_MAX - back));
	for (back = 0; back <= REPLAY_WINDOW; back++)
		assert_false(replay_accept(&r, UINT64_MAX - back));
	expect(UINT64_MAX - REPLAY_WINDOW - 1, false);
	expect(0, false); /* nothing wraps */
	expect(1, false);
}

/* The model: every counter ever accepted, searched from end to end. */
#define OPS 2500

static struct {
	uint64_t seen[OPS], highest;
	size_t n;
} model;

static bool model_accepts(uint64_t counter)
{
	size_t i;

	if (model.n && counter < model.highest && model.highest - counter > REPLAY_WINDOW)
		return false;
	for (i = 0; i < model.n; i++)
		if (model.seen[i] == counter)
			return false;
	if (!model.n || counter > model.highest)
		model.highest = counter;
	model.seen[model.n++] = counter;
	return true;
}

/* xorshift64*, so that a seed means the same everywhere. */
static uint64_t rng;

static uint64_t pick(uint64_t n)
{
	rng ^= rng >> 12;
	rng ^= rng << 25;
	rng ^= rng >> 27;
	return rng * 0x2545f4914f6cdd1dull % n;
}

/* Counters where something could go wrong; arithmetic may wrap, which is one more such place. */
static uint64_t next_counter(void)
{
	uint64_t top = model.n ? model.highest : pick(3) * (UINT64_MAX / 2) - pick(200000);

	switch (pick(12)) {
	case 0: return top + 1 + pick(200);
	case 1: return top + pick(3) * RING + pick(130) - 65;
	case 2: return top + pick(REPLAY_WINDOW);
	case 3: return top - REPLAY_WINDOW + pick(5) - 2;
	case 4: return top - pick(REPLAY_WINDOW);
	case 5: return top - pick(2 * RING);
	case 6: return top - pick(130);
	case 7: return model.n ? model.seen[pick(model.n)] : 0;
	case 8: return model.n ? model.seen[pick(model.n)] + RING * pick(3) : top;
	case 9: return pick(20) ? top + 1 : top + (1ull << (16 + pick(40)));
	case 10: return top - 64 * pick(1030);
	default: return top + 1;
	}
}

static void it_does_what_a_set_would_do(void **state)
{
	uint64_t seed, c;
	int i;

	for (seed = 1; seed <= 60; seed++) {
		rng = seed * 0x9e3779b97f4a7c15ull;
		empty();
		memset(&model, 0, sizeof(model));
		for (i = 0; i < OPS; i++) {
			c = next_counter();
			if (offer(c) != model_accepts(c))
				fail_msg("seed %llu, step %d: %llu, highest %llu",
					 (unsigned long long)seed, i, (unsigned long long)c,
					 (unsigned long long)model.highest);
			assert_true(r.received == model.n);
			assert_true(!model.n || r.highest == model.highest);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_counter_may_be_the_first),
		cmocka_unit_test(those_before_the_first_may_follow),
		cmocka_unit_test(a_window_behind_is_accepted_and_no_more),
		cmocka_unit_test(the_whole_window_is_told_apart_wherever_it_stands),
		cmocka_unit_test(jumps_forward_forget_exactly_what_they_pass),
		cmocka_unit_test(the_last_counters_of_all_are_like_any_other),
		cmocka_unit_test(it_does_what_a_set_would_do),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
