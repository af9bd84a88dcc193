// SPDX-License-Identifier: GPL-3.0-or-later
/* test_shaper_preset.c - presets are options that can be typed, and tell their sources */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/clock.h"
#include "lib/units.h"
#include "shaper/preset.h"
#include "shaper/queue.h"
#include "shaper/rate.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the options of one direction say. */
struct said {
	uint64_t delay_ns;
	struct rate_conf rate;
};

static struct err e;

static int index_of(const char *const *names, const char *name)
{
	int i;

	for (i = 0; names[i]; i++)
		if (!strcmp(names[i], name))
			return i;
	return -1;
}

/* Reads one option as the command does; a preset with another one, or a wrong value, fails. */
static void read_option(const char *option, const char *value, struct said *s)
{
	struct queue_conf queue = {0};
	double p;
	int ret = 0;

	if (!strcmp(option, "--delay"))
		ret = units_time(value, 0, 60 * NS_PER_S, &s->delay_ns, &e);
	else if (!strcmp(option, "--rate"))
		ret = rate_parse(value, &s->rate, &e);
	else if (!strcmp(option, "--overhead"))
		ret = s->rate.overhead = index_of(rate_overheads, value);
	else if (!strcmp(option, "--queue"))
		ret = queue_parse_limit(value, &queue, &e);
	else if (!strcmp(option, "--queue-discipline"))
		ret = index_of(queue_disciplines, value);
	else if (!strcmp(option, "--loss"))
		ret = units_probability(value, &p, &e);
	else
		fail_msg("%s is no option of a preset", option);
	if (ret < 0)
		fail_msg("%s %s: %s", option, value, e.text);
}

/* Reads "--name value --name value". */
static void read_options(const char *text, struct said *s)
{
	char copy[200], *option, *value, *save = NULL;

	if (!text)
		return;
	assert_true(strlen(text) < sizeof(copy));
	strcpy(copy, text);
	for (option = strtok_r(copy, " ", &save); option; option = strtok_r(NULL, " ", &save)) {
		value = strtok_r(NULL, " ", &save);
		assert_non_null(value);
		read_option(option, value, s);
	}
}

static void read_preset(const char *name, struct said *ab, struct said *ba)
{
	const struct preset *p = preset_find(name, &e);

	assert_non_null(p);
	memset(ab, 0, sizeof(*ab));
	memset(ba, 0, sizeof(*ba));
	read_options(p->both, ab);
	read_options(p->both, ba);
	read_options(p->ab, ab);
	read_options(p->ba, ba);
}

static void every_preset_is_made_of_options_that_are_read(void **state)
{
	const struct preset *p;
	struct said ab, ba;
	size_t i;

	for (i = 0; (p = preset_at(i)); i++) {
		assert_true(p->both || (p->ab && p->ba));
		assert_int_equal(!p->ab, !p->ba);
		read_preset(p->name, &ab, &ba);
		/* Each does something, but for the delay line that is switched off. */
		if (strcmp(p->name, "wan2008-rtt0"))
			assert_true(ab.delay_ns || ab.rate.kind == RATE_FIXED);
	}
	assert_true(i >= 25);
}

static void every_preset_has_a_summary_of_a_line_and_a_source(void **state)
{
	const struct preset *p;
	size_t i;

	for (i = 0; (p = preset_at(i)); i++) {
		assert_true(strlen(p->summary) > 5 && strlen(p->summary) < 70);
		assert_null(strchr(p->summary, '\n'));
		assert_true(strlen(p->source) > 30);
		/* A year, a standard, or an address. */
		assert_true(strstr(p->source, "20") || strstr(p->source, "ITU-T") ||
			    strstr(p->source, "ANSI") || strstr(p->source, "IEEE"));
	}
}

static void names_are_unique_and_easy_to_type(void **state)
{
	const struct preset *p;
	const char *c;
	size_t i;

	for (i = 0; (p = preset_at(i)); i++) {
		assert_true(strlen(p->name) < 24);
		for (c = p->name; *c; c++)
			assert_true(islower((unsigned char)*c) || isdigit((unsigned char)*c) ||
				    *c == '-');
		assert_ptr_equal(preset_find(p->name, &e), p);
	}
	assert_null(preset_at(i));
	assert_null(preset_at(i + 1));
	assert_null(preset_at(SIZE_MAX));
}

static void an_unknown_name_is_told_all_there_are(void **state)
{
	const struct preset *p;
	size_t i;

	assert_null(preset_find("moon", &e));
	assert_non_null(strstr(e.text, "'moon' is no preset; there are wan2008-rtt0 "));
	for (i = 0; (p = preset_at(i)); i++)
		assert_non_null(strstr(e.text, p->name));
	assert_null(preset_find("", NULL));
	assert_null(preset_find("WAN2008-RTT0", NULL));
	/* A name of any length leaves room for them. */
	assert_null(preset_find("a-name-that-is-far-longer-than-that-of-any-preset-there-ever-was",
				&e));
	assert_non_null(strstr(e.text, " leo"));
}

/* The number before " ms round trip" in a preset's summary, in ns. */
static uint64_t told_round_trip(const struct preset *p)
{
	const char *end = strstr(p->summary, " ms round trip"), *start = end;

	if (!end)
		return 0;
	while (start > p->summary && start[-1] != ' ')
		start--;
	return (uint64_t)llround(strtod(start, NULL) * 1e6);
}

static void a_delay_is_half_of_the_round_trip_that_is_told(void **state)
{
	const struct preset *p;
	struct said ab, ba;
	size_t i, n = 0;

	for (i = 0; (p = preset_at(i)); i++) {
		uint64_t rtt = told_round_trip(p);

		if (!rtt)
			continue;
		read_preset(p->name, &ab, &ba);
		assert_true(ab.delay_ns == ba.delay_ns);
		assert_true(ab.delay_ns + ba.delay_ns == rtt);
		n++;
	}
	assert_true(n >= 13);
}

static void the_delays_of_2008_have_their_round_trip_in_the_name(void **state)
{
	static const unsigned ms[] = {0, 25, 50, 120};
	struct said ab, ba;
	char name[32];
	size_t i;

	for (i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "wan2008-rtt%u", ms[i]);
		read_preset(name, &ab, &ba);
		assert_true(ab.delay_ns == ms[i] * NS_PER_MS / 2);
		assert_true(ba.delay_ns == ab.delay_ns);
		assert_int_equal(ab.rate.kind, RATE_NONE);
	}
}

static uint64_t bps(const char *name)
{
	struct said ab, ba;

	read_preset(name, &ab, &ba);
	assert_int_equal(ab.rate.kind, ba.rate.kind);
	assert_int_equal(ab.rate.overhead, ba.rate.overhead);
	assert_int_equal(ab.rate.bps, ba.rate.bps);
	return rate_average(&ab.rate);
}

static void rates_are_what_their_formulas_give(void **state)
{
	assert_true(bps("t1") == 24 * 64000 && bps("t1") == 1544000 - 8000);
	assert_true(bps("e1") == 31 * 64000);
	assert_true(bps("t3") == 44736000ull * 84 / 85);
	assert_true(bps("oc3") == 155520000ull * 260 / 270);
	assert_true(bps("ethernet-10m") == 10000000);
	assert_true(bps("ethernet-100m") == 100000000);
	assert_true(bps("ethernet-1g") == 1000000000);
	assert_true(bps("ethernet-10g") == 10000000000);
}

/* 1488095 frames of 64 bytes with their FCS a second is what a gigabit port can do. */
static void gigabit_ethernet_passes_what_hardware_does(void **state)
{
	struct said ab, ba;
	struct rate r;
	uint64_t end = 0;
	int i;

	read_preset("ethernet-1g", &ab, &ba);
	rate_init(&r, &ab.rate, 0);
	for (i = 0; i < 1488095; i++)
		end = rate_send(&r, 60, 0);
	assert_true(end <= NS_PER_S);
	assert_true(rate_send(&r, 60, 0) > NS_PER_S);
}

static void asymmetric_lines_are_faster_down_which_is_ab(void **state)
{
	static const char *const names[] = {"dsl", "cable", "3g", "lte", "geo", "leo"};
	struct said ab, ba;
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(*names); i++) {
		read_preset(names[i], &ab, &ba);
		assert_true(rate_average(&ab.rate) > rate_average(&ba.rate));
		assert_true(rate_average(&ba.rate) > 0);
		assert_int_equal(ab.rate.overhead, ba.rate.overhead);
	}
	read_preset("dsl", &ab, &ba);
	assert_int_equal(ab.rate.overhead, OVERHEAD_ATM);
	read_preset("cable", &ab, &ba);
	assert_true(rate_average(&ab.rate) == 42884000);
	assert_true(rate_average(&ba.rate) == 6 * 5120000);
}

static void a_geostationary_satellite_is_as_far_as_light_says(void **state)
{
	struct said ab, ba;

	read_preset("geo", &ab, &ba);
	assert_true(fabs((double)ab.delay_ns - 2 * 35786.0 / 299792.458 * 1e9) < 1000);
	assert_true(ab.delay_ns == ba.delay_ns);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_preset_is_made_of_options_that_are_read),
		cmocka_unit_test(every_preset_has_a_summary_of_a_line_and_a_source),
		cmocka_unit_test(names_are_unique_and_easy_to_type),
		cmocka_unit_test(an_unknown_name_is_told_all_there_are),
		cmocka_unit_test(a_delay_is_half_of_the_round_trip_that_is_told),
		cmocka_unit_test(the_delays_of_2008_have_their_round_trip_in_the_name),
		cmocka_unit_test(rates_are_what_their_formulas_give),
		cmocka_unit_test(gigabit_ethernet_passes_what_hardware_does),
		cmocka_unit_test(asymmetric_lines_are_faster_down_which_is_ab),
		cmocka_unit_test(a_geostationary_satellite_is_as_far_as_light_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
