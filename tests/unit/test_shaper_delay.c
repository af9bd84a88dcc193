// SPDX-License-Identifier: GPL-3.0-or-later
/* test_shaper_delay.c - delays have the distribution, and the correlation, they should have */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/units.h"
#include "shaper/delay.h"
#include "stat.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define N  100000
#define MS 1000000ull

static struct err e;
static struct delay_conf c;
static struct delay d;
static double sample[N];
static char path[] = "/tmp/longhaul-delay-XXXXXX";

static void parse(const char *base, const char *jitter, const char *distribution)
{
	delay_conf_release(&c);
	if (units_time(base, 0, DELAY_BASE_MAX_NS, &c.base_ns, &e) ||
	    delay_parse_jitter(jitter, &c, &e) || delay_parse_distribution(distribution, &c, &e))
		fail_msg("%s %s %s was refused: %s", base, jitter, distribution, e.text);
}

static void begin(const char *base, const char *jitter, const char *distribution)
{
	parse(base, jitter, distribution);
	delay_init(&d, &c, 17, 1);
}

static void write_file(const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

/* What the delay is beyond the base, in jitters. */
static double next(void)
{
	return ((double)delay_next(&d) - (double)c.base_ns) / (double)c.jitter_ns;
}

static double uniform_cdf(double x, const void *arg)
{
	return fmin(1, fmax(0, (x + 1) / 2));
}

static double normal_cdf(double x, const void *arg)
{
	return 0.5 * erfc(-x / sqrt(2));
}

/* P(X > y) = y^-3 from 1, mean 3/2, standard deviation √(3/4). */
static double pareto_cdf(double x, const void *arg)
{
	double y = x * sqrt(0.75) + 1.5;

	return y <= 1 ? 0 : 1 - pow(y, -3);
}

static double exponential_cdf(double x, const void *arg)
{
	return x <= 0 ? 0 : 1 - exp(-x);
}

/* A quarter of the normal quantile and three of the standard Pareto's, not yet of deviation 1. */
static double mixture(double z)
{
	return 0.25 * z + 0.75 * (pow(0.5 * erfc(z / sqrt(2)), -1.0 / 3) - 1.5) / sqrt(0.75);
}

/* Moments by the trapezium rule over z, which converges very fast here. */
static double mixture_moment(int power)
{
	double z, sum = 0;

	for (z = -30; z <= 35; z += 0.01)
		sum += pow(mixture(z), power) * exp(-z * z / 2) / sqrt(2 * M_PI) * 0.01;
	return sum;
}

static double paretonormal_cdf(double x, const void *arg)
{
	double scale = *(const double *)arg, low = -10, high = 30;
	int i;

	for (i = 0; i < 60; i++) {
		double z = (low + high) / 2;

		if (mixture(z) < x * scale)
			low = z;
		else
			high = z;
	}
	return normal_cdf(low, NULL);
}

static const struct {
	const char *name;
	double (*cdf)(double x, const void *arg);
} continuous[] = {
	{"uniform", uniform_cdf},	  {"normal", normal_cdf},
	{"pareto", pareto_cdf},		  {"paretonormal", paretonormal_cdf},
	{"exponential", exponential_cdf},
};

#define CONTINUOUS (sizeof(continuous) / sizeof(*continuous))

/* Holds every @every-th of many delays against what one alone must look like. */
static void fits(const char *jitter, size_t n, size_t every)
{
	double scale = sqrt(mixture_moment(2)), p;
	size_t k, i, skip;

	for (k = 0; k < CONTINUOUS; k++) {
		begin("10s", jitter, continuous[k].name);
		for (i = 0; i < n; i++) {
			sample[i] = next();
			for (skip = 1; skip < every; skip++)
				delay_next(&d);
		}
		p = stat_ks_p(sample, n, continuous[k].cdf, &scale);
		if (p < STAT_ALPHA)
			fail_msg("%s %s: p = %g", jitter, continuous[k].name, p);
	}
}

static void without_jitter_every_delay_is_the_base(void **state)
{
	struct delay before;
	size_t i;

	begin("60ms", "0", "pareto");
	before = d;
	for (i = 0; i < 1000; i++)
		assert_int_equal(delay_next(&d), 60 * MS);
	assert_memory_equal(&before, &d, sizeof(d));
	assert_int_equal(delay_floor(&c), 60 * MS);
	c = (struct delay_conf){0};
	delay_init(&d, &c, 1, 1);
	assert_int_equal(delay_next(&d), 0);
}

static void each_distribution_is_its_analytic_one(void **state)
{
	fits("10ms", N, 1);
}

/* So far apart that what is left of the correlation, 10^-5, does not show. */
static void correlation_leaves_the_distribution_as_it_is(void **state)
{
	fits("10ms,50%", 20000, 17);
	fits("10ms,90%", 5000, 110);
}

static void paretonormal_has_mean_0_and_deviation_1(void **state)
{
	assert_true(fabs(mixture_moment(0) - 1) < 1e-9);
	assert_true(fabs(mixture_moment(1)) < 1e-9);
	assert_true(fabs(sqrt(mixture_moment(2)) - 0.937753856873565951) < 1e-9);
}

/* Returns how far the covariance of delays @lag apart is off, in standard errors. */
static double covariance_t(size_t lag, double expected)
{
	double batch[STAT_BATCHES] = {0};
	size_t i;

	for (i = 0; i < N; i++)
		sample[i] = next();
	for (i = 0; i + lag < N; i++)
		batch[i / (N / STAT_BATCHES)] += sample[i] * sample[i + lag] * STAT_BATCHES / N;
	return stat_batch_t(batch, expected);
}

static void normal_jitter_is_correlated_by_just_what_was_asked(void **state)
{
	begin("10s", "10ms,30%", "normal");
	assert_true(fabs(covariance_t(1, 0.3)) < STAT_T99);
	begin("10s", "10ms,80%", "normal");
	assert_true(fabs(covariance_t(1, 0.8)) < STAT_T99);
	assert_true(fabs(covariance_t(5, pow(0.8, 5))) < STAT_T99);
	begin("10s", "10ms", "normal");
	assert_true(fabs(covariance_t(1, 0)) < STAT_T99);
}

/* The correlation of Φ(z) and Φ(z') is 6/π asin(c/2) (Pearson 1907); its variance here is 1/3. */
static void uniform_jitter_is_correlated_as_its_copula_says(void **state)
{
	begin("10s", "10ms,60%", "uniform");
	assert_true(fabs(covariance_t(1, 6 / M_PI * asin(0.3) / 3)) < STAT_T99);
	assert_true(fabs(covariance_t(3, 6 / M_PI * asin(0.108) / 3)) < STAT_T99);
	begin("10s", "10ms", "uniform");
	assert_true(fabs(covariance_t(1, 0)) < STAT_T99);
}

static void the_first_delay_is_like_any_other(void **state)
{
	size_t i;

	parse("10s", "10ms,99%", "normal");
	for (i = 0; i < 20000; i++) {
		delay_init(&d, &c, i, 1);
		sample[i] = next();
	}
	assert_true(stat_ks_p(sample, 20000, normal_cdf, NULL) > STAT_ALPHA);
}

static void a_table_gives_its_entries_equally_often(void **state)
{
	static const char *const jitters[] = {"8192us", "8192us,50%"};
	static const int64_t us[] = {-8192, -1, 0, 4096, 32767};
	const double n = 20000;
	const double expected[] = {n / 8, n / 8, n / 2, n / 8, n / 8};
	size_t j, i, k, skip;

	write_file("# a table\n32767 0 0\n-8192\t-1\n0 0 4096 # unsorted\n");
	for (j = 0; j < 2; j++) {
		uint64_t seen[5] = {0};

		begin("1s", jitters[j], path);
		for (i = 0; i < 20000; i++) {
			int64_t x = (int64_t)delay_next(&d) - 1000 * (int64_t)MS;

			for (k = 0; k < 5 && x != us[k] * 1000;)
				k++;
			assert_true(k < 5);
			seen[k]++;
			for (skip = 0; skip < 17; skip++)
				delay_next(&d);
		}
		assert_true(stat_chi2_fit(seen, expected, 5) > STAT_ALPHA);
	}
	assert_int_equal(delay_floor(&c), 1000 * MS - 8192000);
}

/* Draws the smallest and the largest random number there are. */
static void extremes(const char *jitter, const char *distribution)
{
	static const uint64_t least[4] = {0, 1, 0, 0}, most[4] = {UINT64_MAX, 1, 1, 0};
	size_t i;

	begin("20s", jitter, distribution);
	memcpy(d.rng.s, least, sizeof(least));
	assert_true(delay_next(&d) >= delay_floor(&c));
	for (i = 0; i < 1000; i++) {
		memcpy(d.rng.s, most, sizeof(most));
		assert_true(delay_next(&d) <= DELAY_MAX_NS);
	}
	for (i = 0; i < 1000; i++) {
		memcpy(d.rng.s, least, sizeof(least));
		assert_true(delay_next(&d) >= delay_floor(&c));
	}
}

static void no_delay_is_below_the_floor_or_above_the_maximum(void **state)
{
	static const double floors[] = {-1, -8.3, -0.5773502691896258, 0, 0};
	size_t k;

	for (k = 0; k < CONTINUOUS; k++) {
		extremes("1s", continuous[k].name);
		extremes("1s,99.9%", continuous[k].name);
		extremes("60s,50%", continuous[k].name);
		parse("20s", "1s", continuous[k].name);
		if (strcmp(continuous[k].name, "paretonormal"))
			assert_true(fabs((double)delay_floor(&c) - 20e9 - floors[k] * 1e9) <= 1);
	}
	write_file("-8192 0 8192");
	extremes("1s", path);
	extremes("1s,99.9%", path);
	/* So far out that the probability of more is lost in rounding: the last entry, none beyond.
	 */
	d.normal = 100;
	assert_int_equal(delay_next(&d), 21000 * MS);
	begin("60s", "60s", "pareto");
	assert_int_equal(DELAY_MAX_NS, 120000 * MS);
	memcpy(d.rng.s, (uint64_t[]){UINT64_MAX, 1, 1, 0}, sizeof(d.rng.s));
	assert_int_equal(delay_next(&d), DELAY_MAX_NS);
}

static void delays_that_would_be_negative_are_0(void **state)
{
	uint64_t zeros = 0;
	size_t i;

	begin("0", "10ms", "normal");
	assert_int_equal(delay_floor(&c), 0);
	for (i = 0; i < N; i++)
		zeros += delay_next(&d) == 0;
	assert_true(fabs(stat_binomial_z(zeros, N, 0.5)) < STAT_Z);
}

/* Values of this program's own, so that no sequence changes unnoticed. */
static void a_seed_gives_the_delays_it_has_always_given(void **state)
{
	static const struct {
		const char *jitter;
		const char *distribution;
		uint64_t ns[3];
	} known[] = {
		{"10ms", "uniform", {100632775, 109508769, 97908272}},
		{"10ms,80%", "uniform", {100632775, 107865096, 105968889}},
		{"10ms", "normal", {100793899, 119675216, 97347633}},
		{"10ms,80%", "normal", {100793899, 112440249, 108360779}},
		{"10ms", "pareto", {97548285, 122403290, 96335274}},
		{"10ms,80%", "pareto", {97548285, 107021324, 102373667}},
		{"10ms", "paretonormal", {98250808, 123163084, 96361906}},
		{"10ms,80%", "paretonormal", {98250808, 108932040, 104127357}},
		{"10ms", "exponential", {107585154, 137065730, 105032107}},
		{"10ms,80%", "exponential", {107585154, 122373106, 116016904}},
		{"10ms", path, {100000000, 110000000, 95000000}},
		{"10ms,80%", path, {100000000, 110000000, 105000000}},
	};
	size_t k, i;

	write_file("-8192 -4096 0 4096 8192");
	for (k = 0; k < sizeof(known) / sizeof(*known); k++) {
		begin("100ms", known[k].jitter, known[k].distribution);
		for (i = 0; i < 3; i++)
			assert_int_equal(delay_next(&d), known[k].ns[i]);
	}
}

static void a_change_keeps_the_jitter_going(void **state)
{
	struct delay_conf now;
	struct delay straight;
	size_t i;

	begin("100ms", "10ms,70%", "normal");
	for (i = 0; i < 100; i++)
		delay_next(&d);
	straight = d;
	now = c;
	now.base_ns += 7 * MS;
	delay_change(&d, &now);
	for (i = 0; i < 1000; i++)
		assert_int_equal(delay_next(&d), delay_next(&straight) + 7 * MS);
}

static void a_table_that_moves_is_followed(void **state)
{
	struct delay_conf moved;
	struct delay straight;
	size_t i;

	write_file("-8192 -4096 0 4096 8192");
	begin("100ms", "10ms,70%", path);
	moved = c;
	moved.table = NULL;
	moved.n_table = 0;
	assert_int_equal(delay_parse_distribution(path, &moved, &e), 0);
	assert_ptr_not_equal(moved.table, c.table);
	straight = d;
	delay_change(&straight, &moved);
	for (i = 0; i < 100; i++)
		sample[i] = (double)delay_next(&d);
	delay_conf_release(&c);
	for (i = 0; i < 100; i++)
		assert_true((double)delay_next(&straight) == sample[i]);
	delay_conf_release(&moved);
}

static void refuses(int (*read)(const char *text, struct delay_conf *conf, struct err *err),
		    const char *text, int ret, const char *says)
{
	struct delay_conf before;

	parse("1ms", "2ms,30%", "normal");
	before = c;
	assert_int_equal(read(text, &c, &e), ret);
	assert_string_equal(e.text, says);
	assert_memory_equal(&before, &c, sizeof(c));
}

static void what_is_wrong_is_named(void **state)
{
	refuses(delay_parse_jitter, "61s,1%", -ERANGE, "TIME: '61s' is outside 0ns…1m");
	refuses(delay_parse_jitter, "10,1%", -EINVAL,
		"TIME: '10' lacks its unit; write it like 60ms (us ms s m h)");
	refuses(delay_parse_jitter, "1ms,110%", -ERANGE,
		"CORRELATION: '110%' is outside 0…1 (0%…100%)");
	refuses(delay_parse_jitter, "1ms,1", -ERANGE,
		"CORRELATION: '1' would never let anything change; it must be below 1 (100%)");
	refuses(delay_parse_jitter, "1ms,x", -EINVAL,
		"CORRELATION: 'x' is not a probability; write it like 0.1% or 0.001");
	refuses(delay_parse_jitter, "1ms,1%,1%", -EINVAL,
		"'1ms,1%,1%' has more than 2 values; write it as TIME[,CORRELATION]");
	refuses(delay_parse_jitter, "", -EINVAL,
		"'' lacks a value; write it as TIME[,CORRELATION]");
	refuses(delay_parse_distribution, "gauss", -EINVAL,
		"'gauss' is neither uniform, normal, pareto, paretonormal or exponential nor a file "
		"with a table");
	refuses(delay_parse_distribution, "/nonexistent/x.dist", -ENOENT,
		"cannot read '/nonexistent/x.dist': No such file or directory");
	refuses(delay_parse_distribution, "/", -EINVAL,
		"cannot read '/': it is not a regular file");
}

static void refuses_table(const char *content, int ret, const char *fmt)
{
	char says[256];

	write_file(content);
	snprintf(says, sizeof(says), "'%s'%s", path, fmt);
	refuses(delay_parse_distribution, path, ret, says);
}

static void a_table_that_is_none_is_refused_by_line(void **state)
{
	FILE *f;
	size_t i;
	char says[256];

	refuses_table("", -EINVAL, " has no numbers");
	refuses_table("# just this\n\n", -EINVAL, " has no numbers");
	refuses_table("1 2\n3 x\n", -EINVAL,
		      " line 2: 'x' is not a whole number from -32768 to 32767");
	refuses_table("1.5", -EINVAL, " line 1: '1.5' is not a whole number from -32768 to 32767");
	refuses_table("1\n-32769\n", -ERANGE, " line 2: '-32769' is outside -32768…32767");
	refuses_table("99999999999999999999", -ERANGE,
		      " line 1: '99999999999999999999' is outside -32768…32767");
	refuses_table("\x89PNG\r\n", -EINVAL, " line 1: this is not a number");
	f = fopen(path, "w");
	assert_non_null(f);
	for (i = 0; i < DELAY_TABLE_ENTRIES; i++)
		fprintf(f, "%zu\n", i);
	assert_int_equal(fflush(f), 0);
	parse("1ms", "1ms", path);
	assert_int_equal(c.n_table, DELAY_TABLE_ENTRIES);
	fputs("1\n", f);
	assert_int_equal(fclose(f), 0);
	snprintf(says, sizeof(says), "'%s' line 16385: more than 16384 numbers", path);
	refuses(delay_parse_distribution, path, -E2BIG, says);
}

static int make_file(void **state)
{
	int fd = mkstemp(path);

	return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
	delay_conf_release(&c);
	return unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_jitter_every_delay_is_the_base),
		cmocka_unit_test(each_distribution_is_its_analytic_one),
		cmocka_unit_test(correlation_leaves_the_distribution_as_it_is),
		cmocka_unit_test(paretonormal_has_mean_0_and_deviation_1),
		cmocka_unit_test(normal_jitter_is_correlated_by_just_what_was_asked),
		cmocka_unit_test(uniform_jitter_is_correlated_as_its_copula_says),
		cmocka_unit_test(the_first_delay_is_like_any_other),
		cmocka_unit_test(a_table_gives_its_entries_equally_often),
		cmocka_unit_test(no_delay_is_below_the_floor_or_above_the_maximum),
		cmocka_unit_test(delays_that_would_be_negative_are_0),
		cmocka_unit_test(a_seed_gives_the_delays_it_has_always_given),
		cmocka_unit_test(a_change_keeps_the_jitter_going),
		cmocka_unit_test(a_table_that_moves_is_followed),
		cmocka_unit_test(what_is_wrong_is_named),
		cmocka_unit_test(a_table_that_is_none_is_refused_by_line),
	};

	return cmocka_run_group_tests(tests, make_file, remove_file);
}
