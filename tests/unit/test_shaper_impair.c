// SPDX-License-Identifier: GPL-3.0-or-later
/* test_shaper_impair.c - all models together: independent, repeatable, changed while in use */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/units.h"
#include "shaper/impair.h"
#include "stat.h"

#include <string.h>

#define N  2000
#define MS 1000000ull

static struct err e;

/* Everything, in the order of struct impair_conf. NULL: off. */
static struct impair_conf make(const char *base, const char *jitter, const char *distribution,
			       const char *loss, const char *duplicate, const char *corrupt,
			       const char *reorder, uint64_t gap)
{
	struct impair_conf c = {.reorder_gap = gap};

	if ((base && units_time(base, 0, DELAY_BASE_MAX_NS, &c.delay.base_ns, &e)) ||
	    (jitter && delay_parse_jitter(jitter, &c.delay, &e)) ||
	    (distribution && delay_parse_distribution(distribution, &c.delay, &e)) ||
	    (loss && loss_parse(loss, &c.loss, &e)) ||
	    (duplicate && chance_parse(duplicate, &c.duplicate, &e)) ||
	    (corrupt && corrupt_parse(corrupt, &c.corrupt, &e)) ||
	    (reorder && chance_parse(reorder, &c.reorder, &e)))
		fail_msg("refused: %s", e.text);
	return c;
}

static struct impair_conf everything(void)
{
	return make("50ms", "10ms,50%", "normal", "gilbert:5%,30%", "10%,20%", "20%,3", "25%", 3);
}

/* Frames of lengths that differ, as in life. */
static uint32_t length(uint64_t number)
{
	return 60 + (uint32_t)(number * 37 % 1455);
}

static void draw(struct impair *im, uint64_t number, struct impair_verdict *v)
{
	memset(v, 0, sizeof(*v));
	impair_next(im, number, length(number), v);
}

static void run(const struct impair_conf *c, uint64_t seed, struct impair_verdict *v, size_t n)
{
	struct impair im;
	size_t i;

	impair_init(&im, c, seed);
	for (i = 0; i < n; i++)
		draw(&im, i + 1, &v[i]);
}

static void nothing_is_done_unless_asked_for(void **state)
{
	struct impair_conf c = {0}, late = make("60ms", NULL, "normal", "0", "0", "0", "0", 5);
	struct impair_verdict v;
	struct impair im;
	uint64_t i;

	assert_true(impair_is_constant(&c));
	assert_true(impair_is_constant(&late));
	impair_init(&im, &late, 1);
	for (i = 1; i <= 1000; i++) {
		memset(&v, 0xff, sizeof(v));
		impair_next(&im, i, 1500, &v);
		assert_false(v.lost || v.duplicate || v.reordered || v.n_flips);
		assert_int_equal(v.delay_ns, 60 * MS);
		assert_int_equal(v.duplicate_delay_ns, 0);
	}
}

static void any_model_makes_frames_differ(void **state)
{
	struct impair_conf c[] = {
		make("1ms", "1us", NULL, NULL, NULL, NULL, NULL, 0),
		make("1ms", NULL, NULL, "list:1", NULL, NULL, NULL, 0),
		make("1ms", NULL, NULL, NULL, "1%", NULL, NULL, 0),
		make("1ms", NULL, NULL, NULL, NULL, "1%", NULL, 0),
		make("1ms", NULL, NULL, NULL, NULL, "ber:1e-9", NULL, 0),
		make("1ms", NULL, NULL, NULL, NULL, NULL, "1%", 0),
	};
	size_t i;

	for (i = 0; i < sizeof(c) / sizeof(*c); i++) {
		assert_false(impair_is_constant(&c[i]));
		impair_conf_release(&c[i]);
	}
}

static void the_same_seed_and_frames_give_the_same_decisions(void **state)
{
	static struct impair_verdict a[N], b[N];
	struct impair_conf c = everything();

	run(&c, 99, a, N);
	run(&c, 99, b, N);
	assert_memory_equal(a, b, sizeof(a));
	run(&c, 100, b, N);
	assert_memory_not_equal(a, b, sizeof(a));
}

static void all_that_was_asked_for_happens(void **state)
{
	static struct impair_verdict v[N];
	struct impair_conf c = everything();
	unsigned lost = 0, duplicate = 0, reordered = 0, flipped = 0, i;

	run(&c, 99, v, N);
	for (i = 0; i < N; i++) {
		lost += v[i].lost;
		duplicate += v[i].duplicate;
		reordered += v[i].reordered;
		flipped += v[i].n_flips == 3;
		assert_int_equal(v[i].duplicate, v[i].duplicate_delay_ns > 0);
		assert_true(v[i].duplicate_delay_ns != v[i].delay_ns || !v[i].duplicate);
		assert_int_equal(v[i].reordered, v[i].delay_ns == 0);
	}
	assert_true(lost > 100 && duplicate > 100 && reordered > 100 && flipped > 100);
}

/* Each model alone must do just what it does among all the others. */
static void no_model_changes_what_another_one_draws(void **state)
{
	static struct impair_verdict all[N], one[N];
	struct impair_conf c = everything(), alone;
	size_t i;

	run(&c, 7, all, N);
	alone = make(NULL, NULL, NULL, "gilbert:5%,30%", NULL, NULL, NULL, 0);
	run(&alone, 7, one, N);
	for (i = 0; i < N; i++)
		assert_int_equal(all[i].lost, one[i].lost);
	alone = make(NULL, NULL, NULL, NULL, "10%,20%", NULL, NULL, 0);
	run(&alone, 7, one, N);
	for (i = 0; i < N; i++)
		assert_int_equal(all[i].duplicate, one[i].duplicate);
	alone = make(NULL, NULL, NULL, NULL, NULL, "20%,3", NULL, 0);
	run(&alone, 7, one, N);
	for (i = 0; i < N; i++) {
		assert_int_equal(all[i].n_flips, one[i].n_flips);
		assert_memory_equal(all[i].flips, one[i].flips, sizeof(one[i].flips));
	}
	alone = make(NULL, NULL, NULL, NULL, NULL, NULL, "25%", 3);
	run(&alone, 7, one, N);
	for (i = 0; i < N; i++)
		assert_int_equal(all[i].reordered, one[i].reordered);
	alone = make("50ms", "10ms,50%", "normal", NULL, NULL, NULL, NULL, 0);
	run(&alone, 7, one, N);
	for (i = 0; i < N; i++)
		assert_int_equal(all[i].delay_ns, all[i].reordered ? 0 : one[i].delay_ns);
}

/* Two models of the same probability and the same stream would do the same things. */
static void models_draw_from_streams_of_their_own(void **state)
{
	static struct impair_verdict v[N];
	struct impair_conf c = make("1ms", NULL, NULL, "50%", "50%", "50%", "50%", 1);
	unsigned both[6] = {0}, i;

	run(&c, 5, v, N);
	for (i = 0; i < N; i++) {
		bool flipped = v[i].n_flips > 0;

		both[0] += v[i].lost == v[i].duplicate;
		both[1] += v[i].lost == flipped;
		both[2] += v[i].lost == v[i].reordered;
		both[3] += v[i].duplicate == flipped;
		both[4] += v[i].duplicate == v[i].reordered;
		both[5] += flipped == v[i].reordered;
	}
	for (i = 0; i < 6; i++)
		assert_true(fabs(stat_binomial_z(both[i], N, 0.5)) < STAT_Z);
}

static void a_list_goes_by_the_numbers_of_frames(void **state)
{
	struct impair_conf c = make(NULL, NULL, NULL, "list:1000,1002-1003", NULL, NULL, NULL, 0);
	struct impair_verdict v;
	struct impair im;
	uint64_t i;

	impair_init(&im, &c, 1);
	for (i = 998; i < 1010; i++) {
		draw(&im, i, &v);
		assert_int_equal(v.lost, i == 1000 || i == 1002 || i == 1003);
	}
	impair_conf_release(&c);
}

static void models_that_keep_their_settings_go_on_as_before(void **state)
{
	static struct impair_verdict straight[N];
	struct impair_conf c = everything(), now, later;
	struct impair_verdict v;
	struct impair im;
	size_t i;

	run(&c, 3, straight, N);
	impair_init(&im, &c, 3);
	for (i = 0; i < N / 2; i++) {
		draw(&im, i + 1, &v);
		assert_memory_equal(&v, &straight[i], sizeof(v));
	}
	/* The old settings are gone at once, as they are in use. */
	now = everything();
	impair_update(&im, &c, &now, 3);
	impair_conf_release(&c);
	for (; i < N * 3 / 4; i++) {
		draw(&im, i + 1, &v);
		assert_memory_equal(&v, &straight[i], sizeof(v));
	}
	/* Other losses, and 5 ms more: all else stays, the jitter too. */
	later = everything();
	later.delay.base_ns += 5 * MS;
	assert_int_equal(loss_parse("100%", &later.loss, &e), 0);
	impair_update(&im, &now, &later, 3);
	impair_conf_release(&now);
	for (; i < N; i++) {
		draw(&im, i + 1, &v);
		assert_true(v.lost);
		assert_int_equal(v.duplicate, straight[i].duplicate);
		assert_int_equal(v.reordered, straight[i].reordered);
		assert_int_equal(v.n_flips, straight[i].n_flips);
		if (!v.reordered)
			assert_int_equal(v.delay_ns, straight[i].delay_ns + 5 * MS);
		if (v.duplicate)
			assert_int_equal(v.duplicate_delay_ns,
					 straight[i].duplicate_delay_ns + 5 * MS);
	}
	impair_conf_release(&later);
}

static void a_list_that_moves_is_followed(void **state)
{
	struct impair_conf c = make("1ms", NULL, NULL, "list:5,10", NULL, NULL, NULL, 0), now;
	struct impair_verdict v;
	struct impair im;
	uint64_t i;

	impair_init(&im, &c, 1);
	for (i = 1; i <= 7; i++) {
		draw(&im, i, &v);
		assert_int_equal(v.lost, i == 5);
	}
	now = make("1ms", NULL, NULL, "list:5,10", NULL, NULL, NULL, 0);
	impair_update(&im, &c, &now, 1);
	impair_conf_release(&c);
	for (; i <= 12; i++) {
		draw(&im, i, &v);
		assert_int_equal(v.lost, i == 10);
	}
	impair_conf_release(&now);
}

static void what_is_turned_off_and_on_works_each_time(void **state)
{
	struct impair_conf off = make("1ms", NULL, NULL, NULL, NULL, NULL, NULL, 0);
	struct impair_conf on = make("1ms", NULL, NULL, "100%", "100%", "100%", "100%", 1);
	struct impair_verdict v;
	struct impair im;
	unsigned i;

	impair_init(&im, &off, 1);
	for (i = 1; i < 10; i += 2) {
		draw(&im, i, &v);
		assert_false(v.lost || v.duplicate || v.reordered || v.n_flips);
		assert_int_equal(v.delay_ns, 1 * MS);
		impair_update(&im, &off, &on, 1);
		draw(&im, i + 1, &v);
		assert_true(v.lost && v.duplicate && v.reordered && v.n_flips == 1);
		assert_int_equal(v.delay_ns, 0);
		assert_int_equal(v.duplicate_delay_ns, 1 * MS);
		impair_update(&im, &on, &off, 1);
	}
}

static void changed_settings_do_not_repeat_the_pattern(void **state)
{
	struct impair_conf a = make(NULL, NULL, NULL, "50%", NULL, NULL, NULL, 0);
	struct impair_conf b = make(NULL, NULL, NULL, "50%,1%", NULL, NULL, NULL, 0);
	struct impair_verdict v;
	uint64_t pattern[2] = {0}, i;
	struct impair im;

	impair_init(&im, &a, 1);
	for (i = 0; i < 128; i++) {
		if (i == 64)
			impair_update(&im, &a, &b, 1);
		draw(&im, i + 1, &v);
		pattern[i / 64] = pattern[i / 64] << 1 | v.lost;
	}
	assert_true(pattern[0] != pattern[1]);
}

static void another_seed_begins_everything_anew(void **state)
{
	static struct impair_verdict fresh[N];
	struct impair_conf c = everything();
	struct impair_verdict v;
	struct impair im;
	size_t i;

	run(&c, 8, fresh, N);
	impair_init(&im, &c, 3);
	for (i = 0; i < 100; i++)
		draw(&im, i + 1, &v);
	impair_update(&im, &c, &c, 8);
	for (i = 0; i < N; i++) {
		draw(&im, i + 1, &v);
		assert_memory_equal(&v, &fresh[i], sizeof(v));
	}
}

/* FNV-1a over what matters of each verdict: one number that any change shows in. */
static uint64_t digest(const struct impair_verdict *v, size_t n)
{
	uint64_t hash = 0xcbf29ce484222325ull;
	size_t i;
	unsigned k;

	for (i = 0; i < n; i++) {
		uint64_t words[3] = {(uint64_t)v[i].lost | (uint64_t)v[i].duplicate << 1 |
					     (uint64_t)v[i].reordered << 2 |
					     (uint64_t)v[i].n_flips << 3,
				     v[i].delay_ns, v[i].duplicate_delay_ns};

		for (k = 0; k < 3; k++)
			hash = (hash ^ words[k]) * 0x100000001b3ull;
		for (k = 0; k < v[i].n_flips; k++)
			hash = (hash ^ v[i].flips[k]) * 0x100000001b3ull;
	}
	return hash;
}

static void a_seed_decides_as_it_has_always_decided(void **state)
{
	static struct impair_verdict v[N];
	struct impair_conf c = everything();

	run(&c, 2008, v, N);
	assert_int_equal(digest(v, N), 0xddb89b9e09404ca4ull);
}

static struct reorder reorder;

static void begin_reorder(const char *spec, uint64_t gap)
{
	struct chance_conf c;

	assert_int_equal(chance_parse(spec, &c, &e), 0);
	reorder_init(&reorder, &c, gap, 1, 1);
}

static void every_nth_frame_goes_at_once_if_it_is_certain(void **state)
{
	unsigned i;

	begin_reorder("100%", 5);
	for (i = 1; i <= 100; i++)
		assert_int_equal(reorder_next(&reorder), i % 5 == 0);
	begin_reorder("100%", 1);
	for (i = 1; i <= 100; i++)
		assert_true(reorder_next(&reorder));
	begin_reorder("0", 5);
	for (i = 1; i <= 100; i++)
		assert_false(reorder_next(&reorder));
}

/* After N - 1 delayed frames each is a candidate, so the frames between are geometric. */
static void candidates_go_at_once_by_their_probability(void **state)
{
	const double end[2] = {0.25, 0.25};
	static struct stat_runs runs;
	uint64_t since = 0, i;

	begin_reorder("25%", 5);
	for (i = 0; i < 400000; i++) {
		since++;
		if (reorder_next(&reorder)) {
			assert_true(since >= 5);
			runs.seen[0][since - 5]++;
			runs.n[0]++;
			since = 0;
		}
	}
	assert_true(stat_runs_fit(&runs, false, 1, end) > STAT_ALPHA);
}

static void a_gap_of_0_is_one_of_1(void **state)
{
	struct reorder one;
	unsigned i;

	begin_reorder("30%,40%", 1);
	one = reorder;
	begin_reorder("30%,40%", 0);
	for (i = 0; i < 1000; i++)
		assert_int_equal(reorder_next(&reorder), reorder_next(&one));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_done_unless_asked_for),
		cmocka_unit_test(any_model_makes_frames_differ),
		cmocka_unit_test(the_same_seed_and_frames_give_the_same_decisions),
		cmocka_unit_test(all_that_was_asked_for_happens),
		cmocka_unit_test(no_model_changes_what_another_one_draws),
		cmocka_unit_test(models_draw_from_streams_of_their_own),
		cmocka_unit_test(a_list_goes_by_the_numbers_of_frames),
		cmocka_unit_test(models_that_keep_their_settings_go_on_as_before),
		cmocka_unit_test(a_list_that_moves_is_followed),
		cmocka_unit_test(what_is_turned_off_and_on_works_each_time),
		cmocka_unit_test(changed_settings_do_not_repeat_the_pattern),
		cmocka_unit_test(another_seed_begins_everything_anew),
		cmocka_unit_test(a_seed_decides_as_it_has_always_decided),
		cmocka_unit_test(every_nth_frame_goes_at_once_if_it_is_certain),
		cmocka_unit_test(candidates_go_at_once_by_their_probability),
		cmocka_unit_test(a_gap_of_0_is_one_of_1),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
