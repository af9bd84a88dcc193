// SPDX-License-Identifier: GPL-3.0-or-later
/* test_shaper_loss.c - models of loss against their theory, and lists to the frame */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shaper/loss.h"
#include "stat.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define N 1000000

static struct err e;
static struct loss_conf c;
static struct loss l;
static struct stat_runs runs;
static char path[] = "/tmp/longhaul-loss-XXXXXX";

static void parse(const char *spec)
{
	if (loss_parse(spec, &c, &e))
		fail_msg("'%s' was refused: %s", spec, e.text);
}

static void begin(const char *spec, uint64_t seed)
{
	parse(spec);
	loss_init(&l, &c, seed, 1);
}

/* A refusal leaves the settings as they were. */
static void refuses(const char *spec, int ret, const char *says)
{
	struct loss_conf before;

	parse("5%");
	before = c;
	assert_int_equal(loss_parse(spec, &c, &e), ret);
	assert_string_equal(e.text, says);
	assert_memory_equal(&before, &c, sizeof(c));
}

static void write_file(const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

/* Runs a model for N frames and returns how far its loss rate is off, in standard errors. */
static double rate_t(const char *spec, double expected)
{
	double batch[STAT_BATCHES] = {0};
	size_t i;

	begin(spec, 3);
	stat_runs_begin(&runs);
	for (i = 0; i < N; i++) {
		bool lost = loss_next(&l, i + 1);

		batch[i / (N / STAT_BATCHES)] += lost * (double)STAT_BATCHES / N;
		stat_runs_add(&runs, lost);
	}
	return stat_batch_t(batch, expected);
}

static void none_loses_nothing_and_takes_no_random_number(void **state)
{
	static const char *const specs[] = {"none", "0", "0%,50%"};
	struct loss before;
	size_t s, i;

	for (s = 0; s < 3; s++) {
		begin(specs[s], 1);
		before = l;
		for (i = 1; i <= 1000; i++)
			assert_false(loss_next(&l, i));
		assert_memory_equal(&before, &l, sizeof(l));
	}
	c = (struct loss_conf){0};
	loss_init(&l, &c, 1, 1);
	assert_false(loss_next(&l, 1));
}

static void a_million_frames_lose_within_the_binomial_interval(void **state)
{
	static const struct {
		const char *spec;
		double p;
	} models[] = {{"0.1%", 0.001},	   {"1%", 0.01}, {"20%", 0.2},	    {"gilbert:3%", 0.03},
		      {"markov:3%", 0.03}, {"100%", 1},	 {"markov:100%", 1}};
	uint64_t lost;
	size_t m, i;

	for (m = 0; m < sizeof(models) / sizeof(*models); m++) {
		begin(models[m].spec, 9);
		for (lost = 0, i = 1; i <= N; i++)
			lost += loss_next(&l, i);
		if (models[m].p == 1)
			assert_int_equal(lost, N);
		else
			assert_true(fabs(stat_binomial_z(lost, N, models[m].p)) < STAT_Z);
	}
}

static void runs_fit(bool lost, double share, double a, double b)
{
	const double end[2] = {a, b};
	double p = stat_runs_fit(&runs, lost, share, end);

	if (p < STAT_ALPHA)
		fail_msg("runs of %s: p = %g", lost ? "losses" : "none", p);
}

static void bernoulli_losses_and_gaps_are_geometric(void **state)
{
	assert_true(fabs(rate_t("2%", 0.02)) < STAT_T99);
	runs_fit(true, 1, 0.98, 1);
	runs_fit(false, 1, 0.02, 1);
}

static void correlated_losses_come_in_longer_bursts(void **state)
{
	assert_true(fabs(rate_t("1%,60%", 0.01)) < STAT_T99);
	runs_fit(true, 1, 1 - (0.01 + 0.6 * 0.99), 1);
	runs_fit(false, 1, 0.01 * 0.4, 1);
}

/* Simple Gilbert: all is lost while bad. */
static void gilbert_bursts_last_as_long_as_the_bad_state(void **state)
{
	assert_true(fabs(rate_t("gilbert:1%,20%", 0.01 / 0.21)) < STAT_T99);
	runs_fit(true, 1, 0.2, 1);
	runs_fit(false, 1, 0.01, 1);
}

/* π(bad) = p/(p+r); with memory λ = 1-p-r, losses k apart covary by π(1-π)(bad-good)²λ^k. */
static void gilbert_elliott_loses_in_both_states_by_their_shares(void **state)
{
	static const size_t lags[] = {1, 4};
	static double lost[N];
	double bad = 0.02 / 0.12, rate = bad * 0.7 + (1 - bad) * 0.01;
	size_t i, k;

	assert_true(fabs(rate_t("gilbert:2%,10%,70%,1%", rate)) < STAT_T99);
	begin("gilbert:2%,10%,70%,1%", 4);
	for (i = 0; i < N; i++)
		lost[i] = loss_next(&l, i + 1);
	for (k = 0; k < 2; k++) {
		double covariance = bad * (1 - bad) * 0.69 * 0.69 * pow(0.88, (double)lags[k]);
		double batch[STAT_BATCHES] = {0};

		for (i = 0; i + lags[k] < N; i++)
			batch[i / (N / STAT_BATCHES)] +=
				(lost[i] - rate) * (lost[i + lags[k]] - rate) * STAT_BATCHES / N;
		assert_true(fabs(stat_batch_t(batch, covariance)) < STAT_T99);
	}
}

/*
 * A run of losses is one isolated loss or a stay in state 3; a run of none is a stay in
 * state 1 or in state 2. Salsano et al., section 4.1, give the rate.
 */
static void markov_rates_bursts_and_gaps_are_those_of_the_four_states(void **state)
{
	const double p13 = 0.01, p31 = 0.1, p32 = 0.3, p23 = 0.4, p14 = 0.005;
	const double in1 = p31, in3 = p13, in2 = p13 * p32 / p23, in4 = p31 * p14;
	double to4 = in1 * p14, to3 = in1 * p13 + in2 * p23;
	double to1 = in4 + in3 * p31, to2 = in3 * p32;

	assert_true(fabs(rate_t("markov:1%,10%,30%,40%,0.5%",
				(in3 + in4) / (in1 + in2 + in3 + in4))) < STAT_T99);
	runs_fit(true, to4 / (to4 + to3), 1, p31 + p32);
	runs_fit(false, to1 / (to1 + to2), p13 + p14, p23);
}

static void markov_with_fewer_parameters_is_the_simpler_model(void **state)
{
	assert_true(fabs(rate_t("markov:2%,25%", 0.02 / 0.27)) < STAT_T99);
	runs_fit(true, 1, 0.25, 1);
	runs_fit(false, 1, 0.02, 1);
	/* P23 = 1: reception within a burst is always one frame. */
	assert_true(fabs(rate_t("markov:2%,20%,50%", 0.02 / (0.2 + 0.02 + 0.02 * 0.5))) < STAT_T99);
	runs_fit(true, 1, 0.7, 1);
	runs_fit(false, 0.2 / 0.7, 0.02, 1);
	assert_true(fabs(rate_t("markov:0,100%,0,100%,1%", 0.01 / 1.01)) < STAT_T99);
	runs_fit(true, 1, 1, 1);
	runs_fit(false, 1, 0.01, 1);
}

/* Started in the good state, rare long bursts would be missing at first. */
static void the_first_frame_is_lost_as_often_as_any(void **state)
{
	static const struct {
		const char *spec;
		double p;
	} models[] = {{"gilbert:0.1%,0.4%", 0.2},
		      {"markov:0.1%,0.4%", 0.2},
		      {"10%,99%", 0.1},
		      {"markov:1%,2%,30%,10%", 1.0 / 6},
		      {"markov:0,1%,0,100%,25%", 0.2}};
	uint64_t lost, seed;
	size_t m;

	for (m = 0; m < sizeof(models) / sizeof(*models); m++) {
		parse(models[m].spec);
		for (lost = 0, seed = 0; seed < 50000; seed++) {
			loss_init(&l, &c, seed, 2);
			lost += loss_next(&l, 1);
		}
		assert_true(fabs(stat_binomial_z(lost, 50000, models[m].p)) < STAT_Z);
	}
}

static void loses_just(const char *spec, const uint64_t *numbers, size_t n, uint64_t until)
{
	size_t at = 0;
	uint64_t i;

	begin(spec, 1);
	for (i = 1; i <= until; i++) {
		bool lost = at < n && numbers[at] == i;

		assert_int_equal(loss_next(&l, i), lost);
		at += lost;
	}
	assert_int_equal(at, n);
}

static void a_list_loses_its_frames_and_no_other(void **state)
{
	static const uint64_t some[] = {1, 5, 10, 11, 12, 13};
	static const uint64_t last = 1000000;

	loses_just("list:1,5,10-13", some, 6, 100);
	loses_just("list:10-12,5,11-13,1,1-1", some, 6, 100);
	loses_just("list:1000000", &last, 1, 1000001);
	begin("list:18446744073709551614-18446744073709551615", 1);
	assert_false(loss_next(&l, UINT64_MAX - 2));
	assert_true(loss_next(&l, UINT64_MAX - 1));
	assert_true(loss_next(&l, UINT64_MAX));
}

static void a_list_set_late_begins_where_the_frames_are(void **state)
{
	begin("list:1-3,7,9", 1);
	assert_false(loss_next(&l, 8));
	assert_true(loss_next(&l, 9));
	assert_false(loss_next(&l, 10));
}

static void a_list_is_read_from_a_file(void **state)
{
	static const uint64_t some[] = {1, 5, 10, 11, 12, 13};
	char spec[64];

	write_file("# lost on the day\n5 1,10-11\n\n\t12 # and this\n13");
	snprintf(spec, sizeof(spec), "list:@%s", path);
	loses_just(spec, some, 6, 100);
}

static void a_file_that_is_no_list_is_refused_by_line(void **state)
{
	char spec[64], says[256];

	snprintf(spec, sizeof(spec), "list:@%s", path);
	write_file("1 2\n3 four\n");
	snprintf(says, sizeof(says),
		 "list: '%s' line 2: frames 'four': 'four' is not a whole number from 1 to "
		 "18446744073709551615",
		 path);
	refuses(spec, -EINVAL, says);
	write_file("1\n\n\x7f"
		   "ELF");
	snprintf(says, sizeof(says), "list: '%s' line 3: this is not a number", path);
	refuses(spec, -EINVAL, says);
	write_file("# nothing but this\n");
	snprintf(says, sizeof(says), "list: '%s' has no frame numbers", path);
	refuses(spec, -EINVAL, says);
	refuses("list:@/nonexistent/x", -ENOENT,
		"list: cannot read '/nonexistent/x': No such file or directory");
	refuses("list:@/", -EINVAL, "list: cannot read '/': it is not a regular file");
}

/* Whoever opens a FIFO to read waits for a writer, and here nobody would come. */
static void a_file_without_an_end_is_refused_at_once(void **state)
{
	char fifo[64], spec[80], says[160];

	snprintf(fifo, sizeof(fifo), "%s.fifo", path);
	snprintf(spec, sizeof(spec), "list:@%s", fifo);
	snprintf(says, sizeof(says), "list: cannot read '%s': it is not a regular file", fifo);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	alarm(30);
	refuses(spec, -EINVAL, says);
	alarm(0);
	assert_int_equal(unlink(fifo), 0);
	refuses("list:@/dev/zero", -EINVAL,
		"list: cannot read '/dev/zero': it is not a regular file");
}

static void a_long_list_is_read_whole_and_a_longer_one_refused(void **state)
{
	FILE *f = fopen(path, "w");
	char spec[64], says[256];
	uint64_t lost = 0, i;

	assert_non_null(f);
	for (i = 1; i <= LOSS_RANGES_MAX; i++)
		fprintf(f, "%llu\n", (unsigned long long)i * 2);
	assert_int_equal(fflush(f), 0);
	snprintf(spec, sizeof(spec), "list:@%s", path);
	begin(spec, 1);
	assert_int_equal(c.n_ranges, LOSS_RANGES_MAX);
	for (i = 1; i <= 2 * LOSS_RANGES_MAX + 10; i++)
		lost += loss_next(&l, i);
	assert_int_equal(lost, LOSS_RANGES_MAX);
	fprintf(f, "%llu\n", (unsigned long long)i * 2);
	assert_int_equal(fclose(f), 0);
	snprintf(says, sizeof(says),
		 "list: '%s' line 1048577: more than 1048576 frames or ranges of frames", path);
	refuses(spec, -E2BIG, says);
}

/* As digits: one bit a frame, the first is the highest. */
static uint64_t losses(const char *spec)
{
	uint64_t bits = 0, i;

	begin(spec, 42);
	for (i = 1; i <= 64; i++)
		bits = bits << 1 | loss_next(&l, i);
	return bits;
}

static void a_seed_loses_the_frames_it_has_always_lost(void **state)
{
	assert_int_equal(losses("20%"), 0x1000004290100000ull);
	assert_int_equal(losses("20%,50%"), 0x1c000040001e0000ull);
	assert_int_equal(losses("gilbert:10%,30%"), 0x1800007c001ffe00ull);
	assert_int_equal(losses("gilbert:10%,30%,70%,5%"), 0x4008000060000000ull);
	assert_int_equal(losses("markov:10%,20%,30%,40%,5%"), 0x304000863c200001ull);
}

static void a_change_takes_other_settings_and_goes_on_drawing(void **state)
{
	struct loss_conf now = {0};
	struct loss straight;
	uint64_t i;

	begin("gilbert:5%,30%", 1);
	for (i = 1; i <= 100; i++)
		loss_next(&l, i);
	straight = l;
	assert_int_equal(loss_parse("gilbert:5%,30%", &now, &e), 0);
	loss_rebind(&l, &now);
	for (; i <= 1000; i++)
		assert_int_equal(loss_next(&l, i), loss_next(&straight, i));
	assert_int_equal(loss_parse("100%", &now, &e), 0);
	loss_change(&l, &now);
	assert_true(loss_next(&l, ++i));
	assert_int_equal(loss_parse("none", &now, &e), 0);
	loss_change(&l, &now);
	assert_false(loss_next(&l, ++i));
}

/* Whether two specifications lose the same frames, as far as impair_update() can tell. */
static bool equal(const char *one, const char *other)
{
	struct loss_conf a = {0};
	bool ret;

	parse(one);
	assert_int_equal(loss_parse(other, &a, &e), 0);
	ret = loss_conf_equal(&a, &c);
	assert_int_equal(loss_conf_equal(&c, &a), ret);
	loss_conf_release(&a);
	return ret;
}

static void settings_are_equal_when_losses_are(void **state)
{
	static const char *const specs[] = {
		"none",
		"1%",
		"2%",
		"1%,50%",
		"gilbert:1%",
		"gilbert:1%,20%",
		"gilbert:1%,20%,70%",
		"gilbert:1%,20%,70%,1%",
		"markov:1%",
		"markov:1%,20%",
		"markov:1%,20%,30%",
		"markov:1%,20%,30%,40%",
		"markov:1%,20%,30%,40%,5%",
		"list:1,5-9",
		"list:1,5-8",
		"list:1",
	};
	size_t n = sizeof(specs) / sizeof(*specs), i, j;

	for (i = 0; i < n; i++)
		for (j = 0; j < n; j++)
			assert_int_equal(equal(specs[i], specs[j]), i == j);
}

static void what_is_left_out_has_its_default(void **state)
{
	assert_true(equal("none", "0,20%"));
	assert_true(equal("0.1%", "0.001,0"));
	assert_true(equal("gilbert:1%", "gilbert:0.01,0.99,1,0"));
	assert_true(equal("gilbert:1%,20%", "gilbert:1%,20%,100%,0"));
	assert_true(equal("markov:1%", "markov:1%,99%,0,100%,0"));
	assert_true(equal("markov:1%,10%,30%", "markov:1%,10%,30%,1,0"));
	assert_true(equal("list:1-3,10-20", "list:3,2,1,10-20"));
}

static void what_is_wrong_is_named(void **state)
{
	static const char *const all =
		"none, P[,CORRELATION], gilbert:P[,R[,1-H[,1-K]]], "
		"markov:P13[,P31[,P32[,P23[,P14]]]], list:1,5,10-20 or list:@FILE";
	char says[512];

	snprintf(says, sizeof(says), "'gemodel:1%%' is no model of loss; write %s", all);
	refuses("gemodel:1%", -EINVAL, says);
	snprintf(says, sizeof(says), "'' is no model of loss; write %s", all);
	refuses("", -EINVAL, says);
	refuses("101%", -ERANGE, "P: '101%' is outside 0…1 (0%…100%)");
	refuses("1%,100%", -ERANGE,
		"CORRELATION: '100%' would never let anything change; it must be below 1 (100%)");
	refuses("gilbert:", -EINVAL,
		"gilbert: '' lacks a value; write it as gilbert:P[,R[,1-H[,1-K]]]");
	refuses("gilbert:2,1%", -ERANGE, "gilbert: P: '2' is outside 0…1 (0%…100%)");
	refuses("gilbert:1%,x", -EINVAL,
		"gilbert: R: 'x' is not a probability; write it like 0.1% or 0.001");
	refuses("gilbert:1%,2%,300%", -ERANGE, "gilbert: 1-H: '300%' is outside 0…1 (0%…100%)");
	refuses("gilbert:1%,2%,3%,-4%", -EINVAL,
		"gilbert: 1-K: '-4%' is not a probability; write it like 0.1% or 0.001");
	refuses("gilbert:1%,2%,3%,4%,5%", -EINVAL,
		"gilbert: '1%,2%,3%,4%,5%' has more than 4 values; write it as "
		"gilbert:P[,R[,1-H[,1-K]]]");
	refuses("gilbert:1%,0", -EINVAL,
		"gilbert: R: with 0 the bad state would never end; it must be above 0, or P 0");
	refuses("markov:101%", -ERANGE, "markov: P13: '101%' is outside 0…1 (0%…100%)");
	refuses("markov:1%,2", -ERANGE, "markov: P31: '2' is outside 0…1 (0%…100%)");
	refuses("markov:1%,1%,2", -ERANGE, "markov: P32: '2' is outside 0…1 (0%…100%)");
	refuses("markov:1%,1%,1%,2", -ERANGE, "markov: P23: '2' is outside 0…1 (0%…100%)");
	refuses("markov:1%,1%,1%,1%,2", -ERANGE, "markov: P14: '2' is outside 0…1 (0%…100%)");
	refuses("markov:1%,1%,1%,1%,1%,1%", -EINVAL,
		"markov: '1%,1%,1%,1%,1%,1%' has more than 5 values; write it as "
		"markov:P13[,P31[,P32[,P23[,P14]]]]");
	refuses("markov:70%,10%,10%,10%,40%", -EINVAL,
		"markov: P13 + P14 is 1.1; both lead from good reception, so it must be at most 1");
	refuses("markov:1%,60%,60%", -EINVAL,
		"markov: P31 + P32 is 1.2; both lead from burst loss, so it must be at most 1");
	refuses("markov:1%,0", -EINVAL,
		"markov: P31: with 0 a burst would never end; it must be above 0, or P13 0");
	refuses("markov:1%,50%,50%,0", -EINVAL,
		"markov: P23: with 0 reception within a burst would never end; it must be above 0, "
		"or P32 0");
	refuses("list:", -EINVAL,
		"list: frames '': '' is not a whole number from 1 to 18446744073709551615");
	refuses("list:1,0", -ERANGE, "list: frames '0': '0' is outside 1…18446744073709551615");
	refuses("list:5-", -EINVAL,
		"list: frames '5-': '' is not a whole number from 1 to 18446744073709551615");
	refuses("list:20-10", -EINVAL,
		"list: frames '20-10' run backwards; write the smaller number first");
	refuses("list:1111111111111111111111111111111111111111111111111111111111111111", -EINVAL,
		"list: '111111111111111111111111111111111111111111111111111111111111111…' is no "
		"frame number");
}

static void sums_that_are_one_but_for_rounding_are_taken(void **state)
{
	parse("markov:10%,70%,30%,50%,90%");
	parse("markov:0.1,0.9,0.1,0.5,0.9");
}

static int make_file(void **state)
{
	int fd = mkstemp(path);

	return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
	loss_conf_release(&c);
	return unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(none_loses_nothing_and_takes_no_random_number),
		cmocka_unit_test(a_million_frames_lose_within_the_binomial_interval),
		cmocka_unit_test(bernoulli_losses_and_gaps_are_geometric),
		cmocka_unit_test(correlated_losses_come_in_longer_bursts),
		cmocka_unit_test(gilbert_bursts_last_as_long_as_the_bad_state),
		cmocka_unit_test(gilbert_elliott_loses_in_both_states_by_their_shares),
		cmocka_unit_test(markov_rates_bursts_and_gaps_are_those_of_the_four_states),
		cmocka_unit_test(markov_with_fewer_parameters_is_the_simpler_model),
		cmocka_unit_test(the_first_frame_is_lost_as_often_as_any),
		cmocka_unit_test(a_list_loses_its_frames_and_no_other),
		cmocka_unit_test(a_list_set_late_begins_where_the_frames_are),
		cmocka_unit_test(a_list_is_read_from_a_file),
		cmocka_unit_test(a_file_that_is_no_list_is_refused_by_line),
		cmocka_unit_test(a_file_without_an_end_is_refused_at_once),
		cmocka_unit_test(a_long_list_is_read_whole_and_a_longer_one_refused),
		cmocka_unit_test(a_seed_loses_the_frames_it_has_always_lost),
		cmocka_unit_test(a_change_takes_other_settings_and_goes_on_drawing),
		cmocka_unit_test(settings_are_equal_when_losses_are),
		cmocka_unit_test(what_is_left_out_has_its_default),
		cmocka_unit_test(what_is_wrong_is_named),
		cmocka_unit_test(sums_that_are_one_but_for_rounding_are_taken),
	};

	return cmocka_run_group_tests(tests, make_file, remove_file);
}
