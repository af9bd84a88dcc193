// SPDX-License-Identifier: GPL-3.0-or-later
/* test_shaper_rng.c - the published generator, even numbers, and the statistics used on models */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shaper/rng.h"
#include "stat.h"

#define N 200000

static double sample[N];

static void assert_near(double a, double b, double tolerance)
{
	if (!(fabs(a - b) <= tolerance))
		fail_msg("%.17g is not %.17g", a, b);
}

/* Made with the authors' xoshiro256plusplus.c, as rand_xoshiro's tests hold them. */
static void the_generator_gives_the_published_numbers(void **state)
{
	static const uint64_t known[] = {
		41943041ull,
		58720359ull,
		3588806011781223ull,
		3591011842654386ull,
		9228616714210784205ull,
		9973669472204895162ull,
		14011001112246962877ull,
		12406186145184390807ull,
		15849039046786891736ull,
		10450023813501588000ull,
	};
	struct rng r = {{1, 2, 3, 4}};
	size_t i;

	for (i = 0; i < sizeof(known) / sizeof(*known); i++)
		assert_true(rng_u64(&r) == known[i]);
}

/* The well-known first numbers of splitmix64 from 1234567. */
static void stream_0_is_seeded_by_the_published_splitmix64(void **state)
{
	static const uint64_t known[] = {6457827717110365317ull, 3203168211198807973ull,
					 9817491932198370423ull, 4593380528125082431ull};
	struct rng r;
	size_t i;

	rng_seed(&r, 1234567, 0);
	for (i = 0; i < 4; i++)
		assert_true(r.s[i] == known[i]);
}

static void seeds_and_streams_share_no_numbers(void **state)
{
	struct rng r[4];
	uint64_t v[4];
	size_t i, j, n;

	for (i = 0; i < 4; i++)
		rng_seed(&r[i], 7 + i / 2, (uint32_t)(i % 2));
	for (n = 0; n < 1000; n++) {
		for (i = 0; i < 4; i++)
			v[i] = rng_u64(&r[i]);
		for (i = 0; i < 4; i++)
			for (j = 0; j < i; j++)
				assert_true(v[i] != v[j]);
	}
}

static double uniform_cdf(double x, const void *arg)
{
	return x;
}

static void units_are_uniform_from_0_to_below_1(void **state)
{
	struct rng r;
	size_t i;

	rng_seed(&r, 1, 1);
	for (i = 0; i < N; i++) {
		sample[i] = rng_unit(&r);
		assert_true(sample[i] >= 0 && sample[i] < 1);
	}
	assert_true(fabs(stat_autocorrelation(sample, N, 1)) < STAT_Z / sqrt(N));
	assert_true(stat_ks_p(sample, N, uniform_cdf, NULL) > STAT_ALPHA);
}

static void the_extremes_of_a_draw_stay_in_range(void **state)
{
	/* s[0] + s[3] = 0 and s[0] = 0: the next number is 0; all ones: the next one is -1 + -1. */
	struct rng least = {{0, 1, 0, 0}};
	struct rng most = {{UINT64_MAX, 1, 1, 0}};
	struct rng r;

	r = least;
	assert_true(rng_u64(&r) == 0);
	r = least;
	assert_true(rng_unit(&r) == 0);
	r = least;
	assert_true(rng_open_unit(&r) == 0x1p-53);
	r = least;
	assert_true(rng_normal(&r) > -RNG_NORMAL_MAX && rng_normal(&r) < RNG_NORMAL_MAX);
	r = most;
	assert_true(rng_u64(&r) == UINT64_MAX - 1);
	r = most;
	assert_true(rng_unit(&r) == 1 - 0x1p-53);
	r = most;
	assert_true(rng_open_unit(&r) == 1 - 0x1p-53);
	r = most;
	assert_true(rng_normal(&r) < RNG_NORMAL_MAX);
}

static double normal_cdf(double x, const void *arg)
{
	return 0.5 * erfc(-x / sqrt(2));
}

static void normals_are_normal_and_take_one_draw_each(void **state)
{
	struct rng r, beside;
	size_t i;

	rng_seed(&r, 1, 2);
	rng_seed(&beside, 1, 2);
	for (i = 0; i < N; i++) {
		sample[i] = rng_normal(&r);
		rng_u64(&beside);
	}
	assert_true(rng_u64(&r) == rng_u64(&beside));
	assert_true(stat_ks_p(sample, N, normal_cdf, NULL) > STAT_ALPHA);
}

/* Quantiles from tables of the normal distribution, as in Abramowitz and Stegun 26.5 and 26.6. */
static void normal_quantiles_are_the_tabled_ones(void **state)
{
	static const double known[][2] = {
		{0.5, 0},
		{0.75, 0.67448975019608174},
		{0.9, 1.2815515655446004},
		{0.975, 1.9599639845400545},
		{0.99, 2.3263478740408411},
		{0.9999, 3.7190164854556804},
		{1e-10, -6.3613409024040562},
	};
	size_t i;
	double z;

	for (i = 0; i < sizeof(known) / sizeof(*known); i++)
		assert_near(rng_normal_quantile(known[i][0]), known[i][1],
			    1e-12 * (1 + fabs(known[i][1])));
	for (z = -8; z <= 5; z += 0.01)
		assert_near(rng_normal_quantile(rng_normal_cdf(z)), z, 1e-9);
}

static void numbers_below_a_bound_are_equally_likely(void **state)
{
	static const uint64_t bounds[] = {1, 2, 3, 7, 100};
	double expected[100] = {0};
	uint64_t seen[100] = {0};
	struct rng r;
	size_t b, i;

	rng_seed(&r, 1, 3);
	for (b = 0; b < sizeof(bounds) / sizeof(*bounds); b++) {
		for (i = 0; i < bounds[b]; i++) {
			seen[i] = 0;
			expected[i] = (double)N / (double)bounds[b];
		}
		for (i = 0; i < N; i++) {
			uint64_t v = rng_below(&r, bounds[b]);

			assert_true(v < bounds[b]);
			seen[v]++;
		}
		assert_true(stat_chi2_fit(seen, expected, bounds[b]) > STAT_ALPHA);
	}
}

/* Of 3 · 2^62 results, a multiplication alone gives every third one twice the chance. */
static void a_bound_that_does_not_divide_the_range_favours_nothing(void **state)
{
	uint64_t seen[3] = {0};
	double expected[3] = {N / 3.0, N / 3.0, N / 3.0};
	struct rng r;
	size_t i;

	rng_seed(&r, 1, 4);
	for (i = 0; i < N; i++)
		seen[rng_below(&r, 3ull << 62) % 3]++;
	assert_true(stat_chi2_fit(seen, expected, 3) > STAT_ALPHA);
}

/* Without these the tests of the models would prove nothing. */
static void the_statistics_know_published_critical_values(void **state)
{
	double seen[2] = {1.0, 2.0}, v[1000];
	size_t i;

	/* Abramowitz and Stegun, table 26.8. */
	assert_near(stat_chi2_p(3.841459, 1), 0.05, 1e-6);
	assert_near(stat_chi2_p(18.307038, 10), 0.05, 1e-6);
	assert_near(stat_chi2_p(29.588298, 10), 0.001, 1e-7);
	assert_near(stat_chi2_p(4.60517, 2), 0.1, 1e-6);
	assert_near(stat_chi2_p(124.342113, 100), 0.05, 1e-6);
	assert_near(stat_chi2_p(77.929465, 100), 0.95, 1e-6);
	assert_near(stat_chi2_p(1e9, 3), 0, 0);
	/* Massey, "The Kolmogorov–Smirnov test for goodness of fit", JASA 46 (1951): 1.36/√n. */
	for (i = 0; i < 1000; i++)
		v[i] = ((double)i + 0.5) / 1000 - 0.5 / 1000 + 1.358 / sqrt(1000);
	assert_near(stat_ks_p(v, 1000, uniform_cdf, NULL), 0.05, 0.002);
	assert_near(normal_cdf(STAT_Z, NULL), 1 - STAT_ALPHA / 2, 1e-7);
	assert_near(stat_binomial_z(60, 100, 0.5), 2, 1e-12);
	assert_near(stat_autocorrelation(seen, 2, 1), -0.5, 1e-12);
}

static void the_statistics_see_what_is_wrong_by_a_little(void **state)
{
	static const double gaps[2] = {0.1, 0.1}, shorter[2] = {0.103, 0.103};
	static const double bursts[2] = {0.9, 0.9}, longer[2] = {0.89, 0.89};
	static struct stat_runs runs;
	double slower = 0;
	struct rng r;
	size_t i;

	rng_seed(&r, 1, 5);
	stat_runs_begin(&runs);
	for (i = 0; i < 1000000; i++)
		stat_runs_add(&runs, rng_unit(&r) < 0.1);
	assert_true(stat_runs_fit(&runs, false, 1, gaps) > STAT_ALPHA);
	assert_true(stat_runs_fit(&runs, false, 1, shorter) < STAT_ALPHA);
	assert_true(stat_runs_fit(&runs, true, 1, bursts) > STAT_ALPHA);
	assert_true(stat_runs_fit(&runs, true, 1, longer) < STAT_ALPHA);
	for (i = 0; i < N; i++) {
		slower = 0.05 * slower + rng_unit(&r) * 0.99;
		sample[i] = slower;
	}
	assert_true(stat_autocorrelation(sample, N, 1) > STAT_Z / sqrt(N));
	assert_true(stat_ks_p(sample, N, uniform_cdf, NULL) < STAT_ALPHA);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_generator_gives_the_published_numbers),
		cmocka_unit_test(stream_0_is_seeded_by_the_published_splitmix64),
		cmocka_unit_test(seeds_and_streams_share_no_numbers),
		cmocka_unit_test(units_are_uniform_from_0_to_below_1),
		cmocka_unit_test(the_extremes_of_a_draw_stay_in_range),
		cmocka_unit_test(normals_are_normal_and_take_one_draw_each),
		cmocka_unit_test(normal_quantiles_are_the_tabled_ones),
		cmocka_unit_test(numbers_below_a_bound_are_equally_likely),
		cmocka_unit_test(a_bound_that_does_not_divide_the_range_favours_nothing),
		cmocka_unit_test(the_statistics_know_published_critical_values),
		cmocka_unit_test(the_statistics_see_what_is_wrong_by_a_little),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
