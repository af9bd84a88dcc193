// SPDX-License-Identifier: GPL-3.0-or-later
/* test_hist.c - percentiles by histogram, held against the sorted values themselves */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/hist.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static struct hist h;

static int empty(void **state)
{
	memset(&h, 0, sizeof(h));
	return 0;
}

/* xorshift64 (Marsaglia 2003): a sequence of the test's own, the same everywhere. */
static uint64_t next_random(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void an_empty_one_answers_zero(void **state)
{
	assert_int_equal(hist_count(&h), 0);
	assert_int_equal(hist_max(&h), 0);
	assert_int_equal(hist_quantile(&h, 0.5), 0);
	assert_true(hist_mean(&h) == 0);
}

static void values_below_4096_are_exact(void **state)
{
	uint64_t v;

	for (v = 0; v < 4096; v++)
		hist_add(&h, v);
	assert_int_equal(hist_count(&h), 4096);
	for (v = 0; v < 4096; v += 13)
		assert_int_equal(hist_quantile(&h, (double)(v + 1) / 4096), v);
	assert_int_equal(hist_quantile(&h, 1), 4095);
	assert_true(hist_mean(&h) == 2047.5);
}

/* By hand: 20000 lies in 16384…32767, cut into pieces of 8, so in 20000…20007. */
static void a_value_is_told_by_the_upper_edge_of_its_bucket(void **state)
{
	hist_add(&h, 20000);
	hist_add(&h, 1u << 20);
	assert_int_equal(hist_quantile(&h, 0.5), 20007);
	empty(NULL);
	/* 2^20…2^21 in pieces of 2^9. */
	hist_add(&h, (1u << 20) + (1u << 9) - 1);
	hist_add(&h, (1u << 20) + (1u << 9));
	hist_add(&h, 1u << 30);
	assert_int_equal(hist_quantile(&h, 1.0 / 3), (1u << 20) + (1u << 9) - 1);
	assert_int_equal(hist_quantile(&h, 2.0 / 3), (1u << 20) + (2u << 9) - 1);
}

static void no_quantile_is_above_the_largest_value(void **state)
{
	hist_add(&h, 20000);
	assert_int_equal(hist_quantile(&h, 0), 20000);
	assert_int_equal(hist_quantile(&h, 0.5), 20000);
	assert_int_equal(hist_quantile(&h, 1), 20000);
	hist_add(&h, 20001);
	assert_int_equal(hist_quantile(&h, 0.5), 20001);
}

static void a_delay_of_60_ms_is_told_from_one_of_60_1(void **state)
{
	hist_add(&h, 60000000);
	hist_add(&h, 60100000);
	assert_true(hist_quantile(&h, 0.5) < 60030000);
	assert_int_equal(hist_quantile(&h, 1), 60100000);
}

/* Each power of two, and the values beside it, alone in the histogram with the largest there is. */
static void the_error_is_never_more_than_a_2048th_over_all_64_bits(void **state)
{
	unsigned bit;
	int off;

	for (bit = 2; bit < 64; bit++) {
		for (off = -1; off <= 1; off++) {
			uint64_t v = (1ull << bit) + (uint64_t)(int64_t)off, q;

			empty(NULL);
			hist_add(&h, v);
			hist_add(&h, UINT64_MAX);
			q = hist_quantile(&h, 0.5);
			assert_true(q >= v);
			assert_true(q - v <= v / 2048);
		}
	}
	assert_true(hist_max(&h) == UINT64_MAX);
	assert_true(hist_quantile(&h, 1) == UINT64_MAX);
}

static void zero_and_the_largest_number_have_their_places(void **state)
{
	hist_add(&h, 0);
	hist_add(&h, UINT64_MAX);
	assert_int_equal(hist_quantile(&h, 0), 0);
	assert_int_equal(hist_quantile(&h, 0.5), 0);
	assert_true(hist_quantile(&h, 0.51) == UINT64_MAX);
	assert_int_equal(hist_count(&h), 2);
}

static void a_share_beyond_0_and_1_is_the_nearest_there_is(void **state)
{
	hist_add(&h, 3);
	hist_add(&h, 5);
	assert_int_equal(hist_quantile(&h, -1), 3);
	assert_int_equal(hist_quantile(&h, 2), 5);
	assert_int_equal(hist_quantile(&h, NAN), 3);
}

/* 0.07 × 100, 0.29 × 100 and others come out above the whole number that is meant. */
static void decimal_shares_mean_what_they_say(void **state)
{
	unsigned v;

	for (v = 1; v <= 100; v++)
		hist_add(&h, v);
	for (v = 1; v <= 100; v++)
		assert_int_equal(hist_quantile(&h, v / 100.0), v);
}

/* Values from 1 to 2^63, spread evenly over powers of two, against their sorted list. */
static void quantiles_are_those_of_the_sorted_values(void **state)
{
	static const double shares[] = {0,   0.001, 0.1,   0.25,   0.5, 0.75,
					0.9, 0.99,  0.999, 0.9999, 1};
	static uint64_t values[100000];
	const size_t n = sizeof(values) / sizeof(*values);
	uint64_t seed = 0x9e3779b97f4a7c15;
	size_t i;

	for (i = 0; i < n; i++) {
		values[i] = next_random(&seed);
		values[i] >>= next_random(&seed) % 64;
		hist_add(&h, values[i]);
	}
	qsort(values, n, sizeof(*values), by_value);
	assert_int_equal(hist_count(&h), n);
	assert_true(hist_max(&h) == values[n - 1]);
	for (i = 0; i < sizeof(shares) / sizeof(*shares); i++) {
		size_t rank = (size_t)ceil(shares[i] * (double)n);
		uint64_t want = values[rank ? rank - 1 : 0];
		uint64_t got = hist_quantile(&h, shares[i]);

		assert_true(got >= want);
		assert_true(got - want <= want / 2048);
	}
}

static void the_mean_is_within_a_4096th(void **state)
{
	uint64_t seed = 42;
	double sum = 0;
	int i;

	for (i = 0; i < 100000; i++) {
		uint64_t v = next_random(&seed) >> 30;

		sum += (double)v;
		hist_add(&h, v);
	}
	assert_true(fabs(hist_mean(&h) - sum / 100000) <= sum / 100000 / 4096);
}

/* Sums of 10^9 delays of a minute do not fit into 64 bits; the mean must not depend on that. */
static void the_mean_of_the_largest_numbers_does_not_overflow(void **state)
{
	int i;

	for (i = 0; i < 10; i++)
		hist_add(&h, UINT64_MAX - 7);
	assert_true(fabs(hist_mean(&h) / 0x1p64 - 1) <= 1.0 / 4096);
}

#define WRITES 2000000ull

static void *write_rising(void *arg)
{
	uint64_t v;

	for (v = 1; v <= WRITES; v++)
		hist_add(arg, v);
	return NULL;
}

/* The values rise, so that whatever is read must rise too. */
static void another_thread_may_read_while_it_is_written(void **state)
{
	uint64_t count = 0, now;
	pthread_t writer;

	assert_int_equal(pthread_create(&writer, NULL, write_rising, &h), 0);
	while (count < WRITES) {
		now = hist_quantile(&h, 0.5);
		/* A pass over the buckets sees a mixture of moments; the last value's is the bound.
		 */
		assert_true(now <= WRITES + WRITES / 2048);
		now = hist_count(&h);
		assert_true(now >= count);
		count = now;
		assert_true(hist_max(&h) <= WRITES);
	}
	assert_int_equal(pthread_join(writer, NULL), 0);
	assert_int_equal(hist_count(&h), WRITES);
	assert_int_equal(hist_max(&h), WRITES);
	now = hist_quantile(&h, 0.5);
	assert_true(now >= WRITES / 2 && now <= WRITES / 2 + WRITES / 4096);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(an_empty_one_answers_zero, empty),
		cmocka_unit_test_setup(values_below_4096_are_exact, empty),
		cmocka_unit_test_setup(a_value_is_told_by_the_upper_edge_of_its_bucket, empty),
		cmocka_unit_test_setup(no_quantile_is_above_the_largest_value, empty),
		cmocka_unit_test_setup(a_delay_of_60_ms_is_told_from_one_of_60_1, empty),
		cmocka_unit_test_setup(the_error_is_never_more_than_a_2048th_over_all_64_bits,
				       empty),
		cmocka_unit_test_setup(zero_and_the_largest_number_have_their_places, empty),
		cmocka_unit_test_setup(a_share_beyond_0_and_1_is_the_nearest_there_is, empty),
		cmocka_unit_test_setup(decimal_shares_mean_what_they_say, empty),
		cmocka_unit_test_setup(quantiles_are_those_of_the_sorted_values, empty),
		cmocka_unit_test_setup(the_mean_is_within_a_4096th, empty),
		cmocka_unit_test_setup(the_mean_of_the_largest_numbers_does_not_overflow, empty),
		cmocka_unit_test_setup(another_thread_may_read_while_it_is_written, empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
