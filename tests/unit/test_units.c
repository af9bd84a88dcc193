// SPDX-License-Identifier: GPL-3.0-or-later
/* test_units.c - numbers with their units, read strictly and written back */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/units.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef int (*reader)(const char *s, uint64_t min, uint64_t max, uint64_t *v, struct err *e);
typedef char *(*writer)(char *buf, size_t len, uint64_t v);

#define UNTOUCHED 0x5555555555555555ull

static struct err e;

static uint64_t value(reader read, const char *s)
{
	uint64_t v = UNTOUCHED;

	e.text[0] = '\0';
	if (read(s, 0, UINT64_MAX, &v, &e))
		fail_msg("'%s' was refused: %s", s, e.text);
	return v;
}

/* A refusal leaves the value alone and quotes what was given. */
static void refuses(reader read, const char *s, uint64_t min, uint64_t max, int ret,
		    const char *says)
{
	char quoted[64];
	uint64_t v = UNTOUCHED;

	e.text[0] = '\0';
	if (read(s, min, max, &v, &e) != ret)
		fail_msg("'%s' was not refused as it should be: %s", s, e.text);
	assert_true(v == UNTOUCHED);
	snprintf(quoted, sizeof(quoted), "'%s'", s);
	if (!strstr(e.text, says) || (read == units_count && !strstr(e.text, quoted)))
		fail_msg("'%s' gave: %s", s, e.text);
}

static void assert_writes(writer write, uint64_t v, const char *text)
{
	char buf[32];

	assert_ptr_equal(write(buf, sizeof(buf), v), buf);
	assert_string_equal(buf, text);
}

static void every_unit_of_time_is_read(void **state)
{
	assert_true(value(units_time, "7ns") == 7);
	assert_true(value(units_time, "7us") == 7000);
	assert_true(value(units_time, "60ms") == 60000000);
	assert_true(value(units_time, "30s") == 30000000000);
	assert_true(value(units_time, "5m") == 300000000000);
	assert_true(value(units_time, "3h") == 10800000000000);
}

static void every_unit_of_a_rate_is_decimal_bits(void **state)
{
	assert_true(value(units_rate, "9600bit") == 9600);
	assert_true(value(units_rate, "64kbit") == 64000);
	assert_true(value(units_rate, "100mbit") == 100000000);
	assert_true(value(units_rate, "1gbit") == 1000000000);
	assert_true(value(units_rate, "100Mbit") == 100000000);
}

static void every_unit_of_a_size_is_a_power_of_1024(void **state)
{
	assert_true(value(units_size, "512") == 512);
	assert_true(value(units_size, "64K") == 65536);
	assert_true(value(units_size, "64k") == 65536);
	assert_true(value(units_size, "3M") == 3145728);
	assert_true(value(units_size, "2G") == 2147483648);
	assert_true(value(units_size, "1T") == 1099511627776);
}

static void fractions_are_taken_and_rounded_to_whole_numbers(void **state)
{
	assert_true(value(units_time, "1.5s") == 1500000000);
	assert_true(value(units_time, "0.1ms") == 100000);
	assert_true(value(units_time, ".5us") == 500);
	assert_true(value(units_time, "1.6ns") == 2);
	assert_true(value(units_time, "1.4ns") == 1);
	assert_true(value(units_rate, "2.5gbit") == 2500000000);
	assert_true(value(units_size, "1.5K") == 1536);
}

static void a_count_takes_no_fraction_and_no_unit(void **state)
{
	assert_true(value(units_count, "0") == 0);
	assert_true(value(units_count, "007") == 7);
	assert_true(value(units_count, "65536") == 65536);
	refuses(units_count, "1.5", 0, 9, -EINVAL, "whole number from 0 to 9");
	refuses(units_count, "1K", 0, 9, -EINVAL, "whole number");
	refuses(units_count, "", 0, 9, -EINVAL, "whole number");
	refuses(units_count, "9 ", 0, 9, -EINVAL, "whole number");
	refuses(units_count, " 9", 0, 9, -EINVAL, "whole number");
}

static void a_number_without_its_unit_shows_how_to_write_it(void **state)
{
	refuses(units_time, "60", 0, UINT64_MAX, -EINVAL,
		"'60' lacks its unit; write it like 60ms");
	refuses(units_time, "1.5", 0, UINT64_MAX, -EINVAL, "lacks its unit");
	refuses(units_rate, "100", 0, UINT64_MAX, -EINVAL,
		"'100' lacks its unit; write it like 100mbit");
	refuses(units_rate, "0", 0, UINT64_MAX, -EINVAL, "lacks its unit");
}

static void a_wrong_unit_is_quoted_with_those_there_are(void **state)
{
	refuses(units_time, "5d", 0, UINT64_MAX, -EINVAL, "'d' is no unit of a time");
	refuses(units_time, "5d", 0, UINT64_MAX, -EINVAL, "(us ms s m h)");
	refuses(units_time, "5 ms", 0, UINT64_MAX, -EINVAL, "' ms' is no unit");
	refuses(units_time, "5ms ", 0, UINT64_MAX, -EINVAL, "'ms ' is no unit");
	refuses(units_time, "5ms6", 0, UINT64_MAX, -EINVAL, "'ms6' is no unit");
	refuses(units_time, "1.2.3s", 0, UINT64_MAX, -EINVAL, "'.3s' is no unit");
	refuses(units_rate, "5M", 0, UINT64_MAX, -EINVAL, "'M' is no unit of a rate");
	refuses(units_rate, "5mbyte", 0, UINT64_MAX, -EINVAL, "(bit kbit mbit gbit)");
	refuses(units_size, "5KB", 0, UINT64_MAX, -EINVAL, "'KB' is no unit of a size");
	refuses(units_size, "5 K", 0, UINT64_MAX, -EINVAL, "(K M G T, powers of 1024)");
}

static void zero_is_the_one_time_that_needs_no_unit(void **state)
{
	assert_true(value(units_time, "0") == 0);
	assert_true(value(units_time, "0s") == 0);
	assert_true(value(units_rate, "0bit") == 0);
	assert_true(value(units_size, "0") == 0);
	refuses(units_time, "0", 1, 9, -ERANGE, "is outside");
	refuses(units_time, "00", 0, 9, -EINVAL, "lacks its unit");
}

static void signs_hexadecimal_infinity_and_nonsense_are_refused(void **state)
{
	static const char *const bad[] = {"",	 "-1",	 "+1",	 "-0",	"inf", "infinity", "nan",
					  "0x1", "0X1f", " 1",	 "ms",	".",   "-",	   "x",
					  "--",	 "1,5",	 "0x1s", "+1s", "-1s", "infs",	   "nan%"};
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		double p = 0.25;

		refuses(units_count, bad[i], 0, UINT64_MAX, -EINVAL, "is not a");
		refuses(units_time, bad[i], 0, UINT64_MAX, -EINVAL, "write it like 60ms");
		refuses(units_rate, bad[i], 0, UINT64_MAX, -EINVAL, "write it like 100mbit");
		refuses(units_size, bad[i], 0, UINT64_MAX, -EINVAL, "write it like 64K");
		assert_int_equal(units_probability(bad[i], &p, &e), -EINVAL);
		assert_true(p == 0.25);
	}
}

static void a_range_holds_its_ends_and_is_told_when_left(void **state)
{
	uint64_t v;

	assert_int_equal(units_count("576", 576, 9216, &v, &e), 0);
	assert_int_equal(units_count("9216", 576, 9216, &v, &e), 0);
	refuses(units_count, "575", 576, 9216, -ERANGE, "outside 576…9216");
	refuses(units_count, "9217", 576, 9216, -ERANGE, "outside 576…9216");
	assert_int_equal(units_time("1s", 1000000000, 86400000000000, &v, &e), 0);
	assert_int_equal(units_time("24h", 1000000000, 86400000000000, &v, &e), 0);
	refuses(units_time, "999ms", 1000000000, 86400000000000, -ERANGE,
		"'999ms' is outside 1s…24h");
	refuses(units_time, "25h", 1000000000, 86400000000000, -ERANGE, "outside 1s…24h");
	refuses(units_rate, "2gbit", 1000, 1000000000, -ERANGE, "outside 1kbit…1gbit");
	refuses(units_size, "2G", 0, 1ull << 30, -ERANGE, "outside 0…1G");
}

static void the_largest_numbers_are_exact_and_larger_ones_refused(void **state)
{
	assert_true(value(units_count, "18446744073709551615") == UINT64_MAX);
	assert_true(value(units_size, "18446744073709551615") == UINT64_MAX);
	assert_true(value(units_size, "9007199254740993") == 9007199254740993);
	assert_true(value(units_size, "16777215T") == 16777215ull << 40);
	assert_true(value(units_time, "18446744073709551615ns") == UINT64_MAX);
	refuses(units_count, "18446744073709551616", 0, UINT64_MAX, -ERANGE, "is outside");
	refuses(units_count, "99999999999999999999999", 0, UINT64_MAX, -ERANGE, "is outside");
	refuses(units_size, "18446744073709551616", 0, UINT64_MAX, -ERANGE, "is outside");
	refuses(units_size, "16777216T", 0, UINT64_MAX, -ERANGE, "is outside");
	refuses(units_time, "1e30h", 0, UINT64_MAX, -ERANGE, "is outside");
	refuses(units_time, "1e9999h", 0, UINT64_MAX, -ERANGE, "is outside");
}

static void a_probability_is_a_percentage_or_a_fraction_of_one(void **state)
{
	static const struct {
		const char *text;
		double p;
	} good[] = {{"0", 0},	     {"0%", 0},	   {"0.1%", 0.001}, {"0.001", 0.001},
		    {"50%", 0.5},    {".5", 0.5},  {"100%", 1},	    {"1", 1},
		    {"0.5%", 0.005}, {"1%", 0.01}, {"1e-3", 0.001}, {"0.0001%", 0.000001},
		    {"99.9%", 0.999}};
	size_t i;
	double p;

	for (i = 0; i < sizeof(good) / sizeof(*good); i++) {
		p = -1;
		assert_int_equal(units_probability(good[i].text, &p, &e), 0);
		assert_true(fabs(p - good[i].p) < 1e-12);
	}
}

static void a_probability_above_one_or_misspelt_is_refused(void **state)
{
	static const char *const beyond[] = {"1.1", "101%", "5", "1e400"};
	static const char *const bad[] = {"5 %", "%", "5%%", "0.1x", "5pct"};
	double p = 0.25;
	size_t i;

	for (i = 0; i < sizeof(beyond) / sizeof(*beyond); i++) {
		assert_int_equal(units_probability(beyond[i], &p, &e), -ERANGE);
		assert_non_null(strstr(e.text, beyond[i]));
		assert_non_null(strstr(e.text, "0…1"));
	}
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(units_probability(bad[i], &p, &e), -EINVAL);
		assert_non_null(strstr(e.text, bad[i]));
		assert_non_null(strstr(e.text, "0.1% or 0.001"));
	}
	assert_true(p == 0.25);
}

static void numbers_are_written_with_the_largest_unit_that_fits(void **state)
{
	assert_writes(units_format_time, 0, "0ns");
	assert_writes(units_format_time, 999, "999ns");
	assert_writes(units_format_time, 1000, "1us");
	assert_writes(units_format_time, 1500000000, "1.5s");
	assert_writes(units_format_time, 60000000000, "1m");
	assert_writes(units_format_time, 86400000000000, "24h");
	assert_writes(units_format_rate, 0, "0bit");
	assert_writes(units_format_rate, 9600, "9.6kbit");
	assert_writes(units_format_rate, 100000000, "100mbit");
	assert_writes(units_format_size, 0, "0");
	assert_writes(units_format_size, 1023, "1023");
	assert_writes(units_format_size, 65536, "64K");
	assert_writes(units_format_size, 1572864, "1.5M");
}

static void a_short_buffer_is_never_overrun(void **state)
{
	char buf[8] = "-------";

	assert_ptr_equal(units_format_time(buf, 4, 1234567), buf);
	assert_string_equal(buf, "1.2");
	assert_string_equal(buf + 4, "---");
}

/* Whole units come back exactly, others to the six digits that are written. */
static void round_trip(writer write, reader read, uint64_t v)
{
	char buf[32];
	uint64_t back;

	back = value(read, write(buf, sizeof(buf), v));
	if (fabs((double)back - (double)v) > (double)v / 1e5)
		fail_msg("%llu was written %s and read %llu", (unsigned long long)v, buf,
			 (unsigned long long)back);
	assert_true(value(read, write(buf, sizeof(buf), back)) == back);
}

static void what_is_written_is_read_back(void **state)
{
	uint64_t v;

	for (v = 1; v < UINT64_MAX / 10; v = v * 10 / 3 + 1) {
		round_trip(units_format_time, units_time, v);
		round_trip(units_format_rate, units_rate, v);
		round_trip(units_format_size, units_size, v);
	}
}

static void an_error_needs_nobody_to_hear_it(void **state)
{
	uint64_t v;
	double p;

	assert_int_equal(units_count("x", 0, 1, &v, NULL), -EINVAL);
	assert_int_equal(units_time("x", 0, 1, &v, NULL), -EINVAL);
	assert_int_equal(units_probability("2", &p, NULL), -ERANGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_unit_of_time_is_read),
		cmocka_unit_test(every_unit_of_a_rate_is_decimal_bits),
		cmocka_unit_test(every_unit_of_a_size_is_a_power_of_1024),
		cmocka_unit_test(fractions_are_taken_and_rounded_to_whole_numbers),
		cmocka_unit_test(a_count_takes_no_fraction_and_no_unit),
		cmocka_unit_test(a_number_without_its_unit_shows_how_to_write_it),
		cmocka_unit_test(a_wrong_unit_is_quoted_with_those_there_are),
		cmocka_unit_test(zero_is_the_one_time_that_needs_no_unit),
		cmocka_unit_test(signs_hexadecimal_infinity_and_nonsense_are_refused),
		cmocka_unit_test(a_range_holds_its_ends_and_is_told_when_left),
		cmocka_unit_test(the_largest_numbers_are_exact_and_larger_ones_refused),
		cmocka_unit_test(a_probability_is_a_percentage_or_a_fraction_of_one),
		cmocka_unit_test(a_probability_above_one_or_misspelt_is_refused),
		cmocka_unit_test(numbers_are_written_with_the_largest_unit_that_fits),
		cmocka_unit_test(a_short_buffer_is_never_overrun),
		cmocka_unit_test(what_is_written_is_read_back),
		cmocka_unit_test(an_error_needs_nobody_to_hear_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
