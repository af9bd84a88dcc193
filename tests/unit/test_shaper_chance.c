// SPDX-License-Identifier: GPL-3.0-or-later
/* test_shaper_chance.c - events come as often, and as correlated, as they are asked for */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shaper/chance.h"
#include "stat.h"

#define N 1000000

static struct err e;
static struct chance ch;
static struct stat_runs runs;

static struct chance_conf conf(const char *text)
{
	struct chance_conf c = {0};

	if (chance_parse(text, &c, &e))
		fail_msg("'%s' was refused: %s", text, e.text);
	return c;
}

/* A refusal leaves the settings as they were. */
static void refuses(const char *text, int ret, const char *says)
{
	struct chance_conf c = {0.25, 0.5};

	assert_int_equal(chance_parse(text, &c, &e), ret);
	assert_string_equal(e.text, says);
	assert_true(c.p == 0.25 && c.correlation == 0.5);
}

static void what_never_or_always_happens_does_so(void **state)
{
	struct chance_conf never = conf("0"), always = conf("100%"), stuck = conf("1,0.99");
	size_t i;

	chance_init(&ch, &never, 1, 1);
	for (i = 0; i < 1000; i++)
		assert_false(chance_next(&ch));
	chance_init(&ch, &always, 1, 1);
	for (i = 0; i < 1000; i++)
		assert_true(chance_next(&ch));
	chance_init(&ch, &stuck, 1, 1);
	for (i = 0; i < 1000; i++)
		assert_true(chance_next(&ch));
}

static void counts_of_a_million_lie_in_the_binomial_interval(void **state)
{
	static const char *const specs[] = {"0.001%", "0.1%", "1%", "0.3", "50%", "99.9%"};
	size_t s, i;

	for (s = 0; s < sizeof(specs) / sizeof(*specs); s++) {
		struct chance_conf c = conf(specs[s]);
		uint64_t events = 0;

		chance_init(&ch, &c, 11, (uint32_t)s);
		for (i = 0; i < N; i++)
			events += chance_next(&ch);
		assert_true(fabs(stat_binomial_z(events, N, c.p)) < STAT_Z);
	}
}

/*
 * The rate's variance is that of a chain whose correlation over k is c^k. After each
 * outcome the next is Bernoulli, and their difference is the lag-1 correlation.
 */
static void correlated(const char *spec)
{
	struct chance_conf c = conf(spec);
	uint64_t n[2] = {0}, then[2] = {0};
	double cor = c.correlation, p11 = c.p + cor * (1 - c.p), p01 = c.p * (1 - cor);
	double rate, measured, sd;
	double none[2] = {p01, p01}, event[2] = {1 - p11, 1 - p11};
	bool last, now;
	size_t i;

	chance_init(&ch, &c, 7, 1);
	stat_runs_begin(&runs);
	last = chance_next(&ch);
	for (i = 0; i < N; i++) {
		now = chance_next(&ch);
		n[last]++;
		then[last] += now;
		last = now;
		stat_runs_add(&runs, now);
	}
	rate = (double)n[1] / N;
	sd = sqrt(c.p * (1 - c.p) / N * (1 + cor) / (1 - cor));
	assert_true(fabs(rate - c.p) < STAT_Z * sd);
	assert_true(fabs(stat_binomial_z(then[1], n[1], p11)) < STAT_Z);
	assert_true(fabs(stat_binomial_z(then[0], n[0], p01)) < STAT_Z);
	measured = (double)then[1] / (double)n[1] - (double)then[0] / (double)n[0];
	sd = sqrt(p11 * (1 - p11) / (double)n[1] + p01 * (1 - p01) / (double)n[0]);
	assert_true(fabs(measured - cor) < STAT_Z * sd);
	assert_true(stat_runs_fit(&runs, true, 1, event) > STAT_ALPHA);
	assert_true(stat_runs_fit(&runs, false, 1, none) > STAT_ALPHA);
}

static void correlation_changes_the_runs_and_not_the_rate(void **state)
{
	correlated("0.3%,25%"); /* of which netem loses nothing */
	correlated("1%,0");
	correlated("5%,50%");
	correlated("40%,90%");
	correlated("0.5,0.25");
}

/* A chain that began with "none" would give fewer events at first. */
static void the_first_outcome_is_as_likely_as_any(void **state)
{
	struct chance_conf c = conf("20%,95%");
	uint64_t events = 0, seed;

	for (seed = 0; seed < 100000; seed++) {
		chance_init(&ch, &c, seed, 1);
		events += chance_next(&ch);
	}
	assert_true(fabs(stat_binomial_z(events, 100000, 0.2)) < STAT_Z);
}

/* As digits: one bit an outcome, the first is the highest. */
static uint64_t outcomes(unsigned n)
{
	uint64_t bits = 0;

	while (n--)
		bits = bits << 1 | chance_next(&ch);
	return bits;
}

static void a_seed_gives_the_outcomes_it_has_always_given(void **state)
{
	struct chance_conf plain = conf("30%"), sticky = conf("30%,80%");

	chance_init(&ch, &plain, 42, 3);
	assert_int_equal(outcomes(64), 0x9020c83794825466ull);
	chance_init(&ch, &sticky, 42, 3);
	assert_int_equal(outcomes(64), 0xfc00000000001700ull);
}

static void a_change_goes_on_with_the_same_random_numbers(void **state)
{
	struct chance_conf a = conf("30%"), b = conf("60%"), off = conf("0");
	struct chance straight;
	size_t i;

	chance_init(&ch, &a, 5, 1);
	chance_init(&straight, &b, 5, 1);
	for (i = 0; i < 100; i++) {
		chance_next(&ch);
		chance_next(&straight);
	}
	chance_change(&ch, &off);
	for (i = 0; i < 100; i++)
		assert_false(chance_next(&ch));
	chance_change(&ch, &b);
	for (i = 0; i < 1000; i++)
		assert_int_equal(chance_next(&ch), chance_next(&straight));
}

static void settings_are_equal_when_outcomes_are(void **state)
{
	struct chance_conf a = conf("0.1%"), b = conf("0.001"), c = conf("0.1%,5%");
	struct chance_conf off = conf("0"), off_too = conf("0%,50%");

	assert_true(chance_conf_equal(&a, &b));
	assert_false(chance_conf_equal(&a, &c));
	assert_false(chance_conf_equal(&a, &off));
	assert_true(chance_conf_equal(&off, &off_too));
}

static void what_is_wrong_is_named(void **state)
{
	refuses("", -EINVAL, "'' lacks a value; write it as P[,CORRELATION]");
	refuses("1%,", -EINVAL, "'1%,' lacks a value; write it as P[,CORRELATION]");
	refuses("1%,2%,3%", -EINVAL,
		"'1%,2%,3%' has more than 2 values; write it as P[,CORRELATION]");
	refuses("120%", -ERANGE, "P: '120%' is outside 0…1 (0%…100%)");
	refuses("-1%", -EINVAL, "P: '-1%' is not a probability; write it like 0.1% or 0.001");
	refuses("x", -EINVAL, "P: 'x' is not a probability; write it like 0.1% or 0.001");
	refuses("1%,1.5", -ERANGE, "CORRELATION: '1.5' is outside 0…1 (0%…100%)");
	refuses("1%,often", -EINVAL,
		"CORRELATION: 'often' is not a probability; write it like 0.1% or 0.001");
	refuses("1%,100%", -ERANGE,
		"CORRELATION: '100%' would never let anything change; it must be below 1 (100%)");
	refuses("0.00000000000000000000000000000000000000000000000000000000000001%", -EINVAL,
		"'0.0000000000000000000000000000000000000000000000000000000000000…' is too long; "
		"write it as P[,CORRELATION]");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_never_or_always_happens_does_so),
		cmocka_unit_test(counts_of_a_million_lie_in_the_binomial_interval),
		cmocka_unit_test(correlation_changes_the_runs_and_not_the_rate),
		cmocka_unit_test(the_first_outcome_is_as_likely_as_any),
		cmocka_unit_test(a_seed_gives_the_outcomes_it_has_always_given),
		cmocka_unit_test(a_change_goes_on_with_the_same_random_numbers),
		cmocka_unit_test(settings_are_equal_when_outcomes_are),
		cmocka_unit_test(what_is_wrong_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
