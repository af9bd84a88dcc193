// SPDX-License-Identifier: GPL-3.0-or-later
/* test_shaper_corrupt.c - as many frames and bits are corrupted as asked for, anywhere alike */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shaper/corrupt.h"
#include "stat.h"

#include <stdio.h>
#include <string.h>

#define N 1000000

static struct err e;
static struct corrupt_conf c;
static struct corrupt k;
static uint32_t bits[CORRUPT_BITS_MAX];

static void parse(const char *spec)
{
	if (corrupt_parse(spec, &c, &e))
		fail_msg("'%s' was refused: %s", spec, e.text);
}

static void begin(const char *spec)
{
	parse(spec);
	corrupt_init(&k, &c, 23, 1);
}

static void assert_sound(unsigned n, uint32_t len)
{
	unsigned i, j;

	for (i = 0; i < n; i++) {
		assert_true(bits[i] < len * 8);
		for (j = 0; j < i; j++)
			assert_true(bits[j] != bits[i]);
	}
}

static void none_flips_nothing_and_takes_no_random_number(void **state)
{
	static const char *const specs[] = {"none", "0", "0%,5", "ber:0"};
	struct corrupt before;
	size_t s, i;

	for (s = 0; s < 4; s++) {
		begin(specs[s]);
		assert_true(corrupt_conf_is_none(&c));
		before = k;
		for (i = 0; i < 1000; i++)
			assert_int_equal(corrupt_next(&k, 1500, bits, CORRUPT_BITS_MAX), 0);
		assert_memory_equal(&before, &k, sizeof(k));
	}
	c = (struct corrupt_conf){0};
	corrupt_init(&k, &c, 1, 1);
	assert_int_equal(corrupt_next(&k, 1500, bits, CORRUPT_BITS_MAX), 0);
}

static void a_share_of_the_frames_has_so_many_bits_flipped(void **state)
{
	static const unsigned counts[] = {1, 3, 64};
	uint64_t hit, i;
	char spec[32];
	size_t s;

	for (s = 0; s < 3; s++) {
		snprintf(spec, sizeof(spec), "1%%,%u", counts[s]);
		begin(spec);
		for (hit = 0, i = 0; i < N; i++) {
			unsigned n = corrupt_next(&k, 60, bits, CORRUPT_BITS_MAX);

			assert_true(n == 0 || n == counts[s]);
			assert_sound(n, 60);
			hit += n > 0;
		}
		assert_true(fabs(stat_binomial_z(hit, N, 0.01)) < STAT_Z);
	}
}

static void every_position_is_as_likely(void **state)
{
	uint64_t seen[80] = {0};
	double expected[80];
	unsigned n, j;
	size_t i;

	begin("100%");
	for (i = 0; i < 100000; i++)
		if (corrupt_next(&k, 10, bits, CORRUPT_BITS_MAX))
			seen[bits[0]]++;
	for (i = 0; i < 80; i++)
		expected[i] = 100000.0 / 80;
	assert_true(stat_chi2_fit(seen, expected, 80) > STAT_ALPHA);

	/* Each pair of four bits: which are flipped together is no less even. */
	memset(seen, 0, sizeof(seen));
	begin("100%,2");
	for (i = 0; i < 100000; i++) {
		uint32_t set = 0;

		n = corrupt_next(&k, 1, bits, CORRUPT_BITS_MAX);
		for (j = 0; j < n; j++)
			set |= 1u << bits[j];
		/* Pairs of the 28 in a byte, numbered by their two bits. */
		for (n = 0, j = 0; j < 8; j++)
			if (set & 1u << j)
				n = n * 8 + j;
		seen[n]++;
	}
	for (i = 0, n = 0; i < 64; i++) {
		if (i / 8 < i % 8)
			seen[n++] = seen[i];
		else
			assert_int_equal(seen[i], 0);
	}
	for (i = 0; i < 28; i++)
		expected[i] = 100000.0 / 28;
	assert_int_equal(n, 28);
	assert_true(stat_chi2_fit(seen, expected, 28) > STAT_ALPHA);
}

static void a_frame_with_fewer_bits_has_all_of_them_flipped(void **state)
{
	begin("100%,64");
	assert_int_equal(corrupt_next(&k, 4, bits, CORRUPT_BITS_MAX), 32);
	assert_sound(32, 4);
	assert_int_equal(corrupt_next(&k, 0, bits, CORRUPT_BITS_MAX), 0);
}

/* The stream of bits is one, however it is cut into frames. */
static void a_bit_error_rate_flips_so_many_bits_with_geometric_gaps(void **state)
{
	static struct stat_runs runs;
	static const double rate[2] = {0.001, 0.001};
	uint64_t flips = 0, total = 0, last = 0;
	size_t i;

	begin("ber:0.001");
	stat_runs_begin(&runs);
	for (i = 0; i < 60000; i++) {
		uint32_t len = (uint32_t)(i % 100);
		unsigned n = corrupt_next(&k, len, bits, CORRUPT_BITS_MAX), j;

		assert_sound(n, len);
		for (j = 0; j < n; j++) {
			uint64_t gap = total + bits[j] + 1 - last;

			/* A run of so many steps, of which the last flips. */
			runs.seen[0][gap < STAT_RUN_MAX ? gap - 1 : STAT_RUN_MAX - 1]++;
			runs.n[0]++;
			last = total + bits[j] + 1;
		}
		flips += n;
		total += (uint64_t)len * 8;
	}
	assert_true(fabs(stat_binomial_z(flips, total, 0.001)) < STAT_Z);
	assert_true(stat_runs_fit(&runs, false, 1, rate) > STAT_ALPHA);
}

static void low_rates_and_long_frames_count_exactly(void **state)
{
	uint64_t flips = 0, i;

	begin("ber:1e-6");
	for (i = 0; i < N; i++)
		flips += corrupt_next(&k, 1500, bits, CORRUPT_BITS_MAX);
	assert_true(fabs(stat_binomial_z(flips, 12000ull * N, 1e-6)) < STAT_Z);
	begin("ber:1e-15");
	for (flips = 0, i = 0; i < 1000; i++)
		flips += corrupt_next(&k, 9000, bits, CORRUPT_BITS_MAX);
	assert_int_equal(flips, 0);
}

/* What is left out must not shift what comes later. */
static void room_for_fewer_leaves_out_and_changes_nothing_else(void **state)
{
	static const char *const specs[] = {"50%,20", "ber:0.001"};
	uint32_t few[3];
	struct corrupt beside;
	size_t s, i;
	unsigned n, m;

	for (s = 0; s < 2; s++) {
		begin(specs[s]);
		corrupt_init(&beside, &c, 23, 1);
		for (i = 0; i < 1000; i++) {
			n = corrupt_next(&k, 1500, bits, CORRUPT_BITS_MAX);
			m = corrupt_next(&beside, 1500, few, 3);
			assert_int_equal(m, n < 3 ? n : 3);
			assert_memory_equal(few, bits, m * sizeof(*few));
		}
		assert_memory_equal(&k, &beside, sizeof(k));
	}
	begin("ber:0.001");
	for (i = 0; i < 100; i++)
		assert_true(corrupt_next(&k, 65535, bits, CORRUPT_BITS_MAX) == CORRUPT_BITS_MAX);
}

static void flips_first(const char *spec, const uint32_t *known, unsigned n)
{
	unsigned at = 0, i, m;

	begin(spec);
	while (at < n) {
		m = corrupt_next(&k, 1500, bits, CORRUPT_BITS_MAX);
		for (i = 0; i < m && at < n; i++, at++)
			assert_int_equal(bits[i], known[at]);
	}
}

static void a_seed_flips_the_bits_it_has_always_flipped(void **state)
{
	static const uint32_t one[] = {10157, 1752, 5077, 3344},
			      three[] = {10155, 9234, 3027, 1752};
	static const uint32_t rate[] = {5723, 7074, 8586, 4694};

	flips_first("10%", one, 4);
	flips_first("10%,3", three, 4);
	flips_first("ber:1e-5", rate, 4);
}

static void a_change_takes_other_settings_and_goes_on_drawing(void **state)
{
	struct corrupt_conf now = {0};
	struct corrupt straight;
	size_t i;

	begin("ber:0.01%");
	for (i = 0; i < 100; i++)
		corrupt_next(&k, 1500, bits, CORRUPT_BITS_MAX);
	straight = k;
	now = c;
	corrupt_rebind(&k, &now);
	for (i = 0; i < 1000; i++)
		assert_int_equal(corrupt_next(&k, 1500, bits, CORRUPT_BITS_MAX),
				 corrupt_next(&straight, 1500, bits, CORRUPT_BITS_MAX));
	assert_int_equal(corrupt_parse("100%,2", &now, &e), 0);
	corrupt_change(&k, &now);
	assert_int_equal(corrupt_next(&k, 1500, bits, CORRUPT_BITS_MAX), 2);
}

static void settings_are_equal_when_flips_are(void **state)
{
	static const char *const specs[] = {"none", "1%", "1%,2", "2%", "ber:1e-6", "ber:1e-5"};
	struct corrupt_conf a;
	size_t i, j;

	for (i = 0; i < 6; i++) {
		parse(specs[i]);
		a = c;
		for (j = 0; j < 6; j++) {
			parse(specs[j]);
			assert_int_equal(corrupt_conf_equal(&a, &c), i == j);
		}
	}
	parse("1%,1");
	a = c;
	parse("0.01");
	assert_true(corrupt_conf_equal(&a, &c));
	parse("0,7");
	a = (struct corrupt_conf){0};
	assert_true(corrupt_conf_equal(&a, &c));
}

static void refuses(const char *spec, int ret, const char *says)
{
	struct corrupt_conf before;

	parse("5%,2");
	before = c;
	assert_int_equal(corrupt_parse(spec, &c, &e), ret);
	assert_string_equal(e.text, says);
	assert_memory_equal(&before, &c, sizeof(c));
}

static void what_is_wrong_is_named(void **state)
{
	refuses("", -EINVAL, "'' lacks a value; write it as none, P[,BITS] or ber:RATE");
	refuses("1%,2,3", -EINVAL,
		"'1%,2,3' has more than 2 values; write it as none, P[,BITS] or ber:RATE");
	refuses("120%", -ERANGE, "P: '120%' is outside 0…1 (0%…100%)");
	refuses("all", -EINVAL, "P: 'all' is not a probability; write it like 0.1% or 0.001");
	refuses("1%,0", -ERANGE, "BITS: '0' is outside 1…64");
	refuses("1%,65", -ERANGE, "BITS: '65' is outside 1…64");
	refuses("1%,x", -EINVAL, "BITS: 'x' is not a whole number from 1 to 64");
	refuses("ber:", -EINVAL, "ber: RATE: '' is not a probability; write it like 0.1% or 0.001");
	refuses("ber:2", -ERANGE, "ber: RATE: '2' is outside 0…0.001 (0%…0.1%)");
	refuses("ber:1%", -ERANGE, "ber: RATE: '1%' is outside 0…0.001 (0%…0.1%)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(none_flips_nothing_and_takes_no_random_number),
		cmocka_unit_test(a_share_of_the_frames_has_so_many_bits_flipped),
		cmocka_unit_test(every_position_is_as_likely),
		cmocka_unit_test(a_frame_with_fewer_bits_has_all_of_them_flipped),
		cmocka_unit_test(a_bit_error_rate_flips_so_many_bits_with_geometric_gaps),
		cmocka_unit_test(low_rates_and_long_frames_count_exactly),
		cmocka_unit_test(room_for_fewer_leaves_out_and_changes_nothing_else),
		cmocka_unit_test(a_seed_flips_the_bits_it_has_always_flipped),
		cmocka_unit_test(a_change_takes_other_settings_and_goes_on_drawing),
		cmocka_unit_test(settings_are_equal_when_flips_are),
		cmocka_unit_test(what_is_wrong_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
