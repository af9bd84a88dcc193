// SPDX-License-Identifier: GPL-3.0-or-later
/* test_shaper_rate.c - frames leave exactly when a rate or a trace lets them */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/clock.h"
#include "shaper/rate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HOUR (3600 * NS_PER_S)
#define T0   (123456789 * NS_PER_S + 987654321) /* a clock never starts at 0 */

static char path[] = "/tmp/longhaul-test-rate-XXXXXX";
static struct rate_conf conf;
static struct rate r;
static struct err e;

static int setup(void **state)
{
	int fd = mkstemp(path);

	return fd < 0 || close(fd);
}

static int teardown(void **state)
{
	return unlink(path);
}

static int done(void **state)
{
	rate_release(&conf);
	conf = (struct rate_conf){0};
	return 0;
}

static void fixed(uint64_t bps, int overhead)
{
	conf = (struct rate_conf){.kind = RATE_FIXED, .bps = bps, .overhead = overhead};
	rate_init(&r, &conf, T0);
}

static void write_file(const char *text, size_t len)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

/* Reads a specification "trace:" of a file of this content. */
static int parse_trace(const char *text)
{
	char spec[sizeof(path) + 8];

	write_file(text, strlen(text));
	snprintf(spec, sizeof(spec), "trace:%s", path);
	e.text[0] = '\0';
	return rate_parse(spec, &conf, &e);
}

static void trace(const char *text)
{
	if (parse_trace(text))
		fail_msg("%s", e.text);
	rate_init(&r, &conf, T0);
}

/* When a frame is out, in ns since the line was set up. */
static uint64_t sent(uint32_t len, uint64_t after_ns)
{
	uint64_t end = rate_send(&r, len, T0 + after_ns);

	assert_true(rate_free(&r) == end);
	return end - T0;
}

static void one_frame_takes_its_bits_over_the_rate(void **state)
{
	fixed(100000000, OVERHEAD_NONE);
	assert_int_equal(sent(1514, 0), 121120);
	fixed(9600, OVERHEAD_NONE);
	assert_int_equal(sent(1514, 0), 1261666666); /* 12112 / 9600 s, cut off */
	fixed(1, OVERHEAD_NONE);
	assert_int_equal(sent(1, 0), 8 * NS_PER_S);
	fixed(RATE_MAX, OVERHEAD_NONE);
	assert_int_equal(sent(1514, 0), 12); /* 12.112 ns */
}

static void a_frame_waits_for_the_one_before(void **state)
{
	fixed(1000000, OVERHEAD_NONE); /* 8 us a byte */
	assert_int_equal(sent(100, 0), 800000);
	assert_int_equal(sent(100, 100), 1600000);
	assert_int_equal(sent(100, 1600000), 2400000);
	assert_int_equal(sent(100, 2400001), 3200001);
}

/* n frames of one length end at floor(n × bits × 10⁹ ÷ rate), worked out in 128 bits. */
static void back_to_back(uint64_t bps, uint32_t len, uint64_t frames)
{
	unsigned __int128 total = 0;
	uint64_t n, end = 0;

	fixed(bps, OVERHEAD_NONE);
	for (n = 1; n <= frames; n++) {
		total += (unsigned __int128)len * 8 * NS_PER_S;
		end = rate_send(&r, len, T0);
		if (end - T0 != (uint64_t)(total / bps))
			fail_msg("frame %llu at %llu bit/s ends at %llu", (unsigned long long)n,
				 (unsigned long long)bps, (unsigned long long)(end - T0));
	}
}

static void ten_million_frames_back_to_back_do_not_drift(void **state)
{
	back_to_back(999999937, 1514, 10000000);
	back_to_back(1544000, 64, 1000000);
	back_to_back(33333333, 1501, 1000000);
	back_to_back(7, 60, 100000);
	back_to_back(RATE_MAX - 11, 61, 1000000);
}

static void frames_of_many_lengths_do_not_drift(void **state)
{
	const uint64_t bps = 622080001;
	unsigned __int128 total = 0;
	uint32_t n;

	fixed(bps, OVERHEAD_NONE);
	for (n = 0; n < 1000000; n++) {
		uint32_t len = 60 + n * 7919u % 9157u;

		total += (unsigned __int128)len * 8 * NS_PER_S;
		assert_true(rate_send(&r, len, T0) - T0 == (uint64_t)(total / bps));
	}
}

/* 8/3 ns a byte: with its fraction kept, three bytes end at 8 ns; a rest in between loses it. */
static void a_fraction_is_carried_only_while_the_line_is_busy(void **state)
{
	fixed(3 * NS_PER_S, OVERHEAD_NONE);
	assert_int_equal(sent(1, 0), 2);
	assert_int_equal(sent(1, 2), 5);
	assert_int_equal(sent(1, 0), 8);
	assert_int_equal(sent(1, 0), 10);
	assert_int_equal(sent(1, 11), 13);
}

static void without_a_rate_frames_take_no_time_and_keep_their_order(void **state)
{
	rate_init(&r, &conf, T0);
	assert_int_equal(sent(1514, 5), 5);
	assert_int_equal(sent(1514, 5), 5);
	assert_int_equal(sent(65535, 3), 5);
	assert_int_equal(sent(60, 700), 700);
	assert_int_equal(rate_average(&conf), 0);
}

static void ethernet_costs_padding_preamble_fcs_and_gap(void **state)
{
	fixed(10000000000, OVERHEAD_ETHERNET);
	/* 14880952 frames of 64 bytes (60 without FCS) a second on 10 Gbit/s: 84 bytes each. */
	assert_int_equal(rate_wire_len(&conf, 60), 84);
	assert_int_equal(rate_wire_len(&conf, 14), 84);
	assert_int_equal(rate_wire_len(&conf, 59), 84);
	assert_int_equal(rate_wire_len(&conf, 61), 85);
	/* 812744 of 1518: 1538 each. */
	assert_int_equal(rate_wire_len(&conf, 1514), 1538);
	assert_int_equal(rate_wire_len(&conf, 1518), 1542);
	assert_int_equal(sent(60, 0), 67); /* 67.2 ns */
	assert_int_equal(sent(60, 0), 134);
	assert_int_equal(sent(1514, 0), 134 + 1230 + 0); /* 134.4 + 1230.4 */
}

static void atm_costs_whole_cells(void **state)
{
	conf.overhead = OVERHEAD_ATM;
	assert_int_equal(rate_wire_len(&conf, 1), 53);
	assert_int_equal(rate_wire_len(&conf, 40), 53); /* 40 + 8 of trailer fill one cell */
	assert_int_equal(rate_wire_len(&conf, 41), 106);
	assert_int_equal(rate_wire_len(&conf, 88), 106);
	assert_int_equal(rate_wire_len(&conf, 89), 159);
	assert_int_equal(rate_wire_len(&conf, 1514), 1696); /* 1522 bytes, 31.7 → 32 cells */
	fixed(1696 * 8, OVERHEAD_ATM);
	assert_int_equal(sent(1514, 0), NS_PER_S);
}

static void without_overhead_a_frame_is_what_is_captured(void **state)
{
	assert_int_equal(rate_wire_len(&conf, 14), 14);
	assert_int_equal(rate_wire_len(&conf, 9014), 9014);
}

/* "2 5 5 10": opportunities at 2, 5, 5, 10, then 12, 15, 15, 20, … */
static void a_trace_lets_frames_pass_at_its_times(void **state)
{
	static const uint64_t ms[] = {2, 5, 5, 10, 12, 15, 15, 20, 22, 25, 25, 30};
	size_t i;

	trace("2\n5\n5\n10\n");
	for (i = 0; i < sizeof(ms) / sizeof(*ms); i++)
		assert_int_equal(sent(1504, 0), ms[i] * NS_PER_MS);
}

static void small_frames_share_an_opportunity_and_large_ones_span_several(void **state)
{
	trace("1\n2\n4\n8\n");
	assert_int_equal(sent(1000, 0), 1 * NS_PER_MS); /* 504 left at 1 */
	assert_int_equal(sent(504, 0), 1 * NS_PER_MS);	/* none */
	assert_int_equal(sent(1, 0), 2 * NS_PER_MS);	/* 1503 left at 2 */
	assert_int_equal(sent(1504, 0), 4 * NS_PER_MS); /* 1503 + 1: 1503 left at 4 */
	/* 1503 at 4, 1504 at 8, 1504 at 9, 1504 at 10, 1504 at 12, 1481 of 1504 at 16 */
	assert_int_equal(sent(9000, 0), 16 * NS_PER_MS);
	assert_int_equal(sent(23, 0), 16 * NS_PER_MS);
	assert_int_equal(sent(1, 0), 17 * NS_PER_MS);
}

static void bytes_that_nobody_waits_for_are_lost(void **state)
{
	trace("1\n2\n4\n8\n");
	assert_int_equal(sent(100, 0), 1 * NS_PER_MS);
	/* A nanosecond late for the other 1404. */
	assert_int_equal(sent(100, 1 * NS_PER_MS + 1), 2 * NS_PER_MS);
	/* In time for those of 2. */
	assert_int_equal(sent(1404, 2 * NS_PER_MS), 2 * NS_PER_MS);
	assert_int_equal(sent(1404, 2 * NS_PER_MS), 4 * NS_PER_MS);
	/* Those of 8 and 9 are lost, but for a frame that is wanted at 9 exactly. */
	assert_int_equal(sent(1504, 9 * NS_PER_MS), 9 * NS_PER_MS);
}

/* Where two rounds of "0 0 3 3" meet there are four opportunities, the older two first. */
static void rounds_meet_without_losing_an_opportunity(void **state)
{
	static const uint64_t ms[] = {0, 0, 3, 3, 3, 3, 6, 6, 6, 6, 9};
	size_t i;

	trace("0\n0\n3\n3\n");
	for (i = 0; i < sizeof(ms) / sizeof(*ms); i++)
		assert_int_equal(sent(1504, 0), ms[i] * NS_PER_MS);

	rate_init(&r, &conf, T0);
	for (i = 0; i < 4; i++)
		assert_int_equal(sent(1504, 3 * NS_PER_MS), 3 * NS_PER_MS);
	assert_int_equal(sent(1504, 3 * NS_PER_MS), 6 * NS_PER_MS);

	rate_init(&r, &conf, T0);
	assert_int_equal(sent(1504, 1), 3 * NS_PER_MS);
}

/* 10^9 rounds of 1 ms could not be walked through here. */
static void idle_hours_are_skipped_at_once_and_exactly(void **state)
{
	trace("1\n");
	assert_int_equal(sent(1504, 278 * HOUR), 278 * HOUR);
	assert_int_equal(sent(1504, 278 * HOUR), 278 * HOUR + 1 * NS_PER_MS);
	assert_int_equal(sent(1504, 556 * HOUR + 1), 556 * HOUR + 1 * NS_PER_MS);
	done(NULL);

	/* 7 h + 11 ms is 3600001 rounds of 7 ms and 4 ms. */
	trace("1\n3\n7\n");
	assert_int_equal(sent(100, 7 * HOUR + 11 * NS_PER_MS), 7 * HOUR + 14 * NS_PER_MS);
	assert_int_equal(sent(1404, 0), 7 * HOUR + 14 * NS_PER_MS);
	assert_int_equal(sent(1, 0), 7 * HOUR + 15 * NS_PER_MS);
	assert_int_equal(sent(1, 14 * HOUR + 7 * NS_PER_MS), 14 * HOUR + 7 * NS_PER_MS);
	assert_int_equal(sent(1504, 0), 14 * HOUR + 8 * NS_PER_MS);
}

/* A walk from opportunity to opportunity, with nothing clever in it. */
static uint64_t walk(const uint32_t *at, size_t n, size_t *next, uint32_t *left, uint32_t len,
		     uint64_t start)
{
	for (;;) {
		uint64_t t = (*next / n * at[n - 1] + at[*next % n]) * NS_PER_MS;

		if (t >= start && len <= *left) {
			*left -= len;
			return t;
		}
		if (t >= start)
			len -= *left;
		*left = 1504;
		++*next;
	}
}

static void a_busy_and_idle_line_does_what_a_plain_walk_does(void **state)
{
	static const uint32_t at[] = {0, 0, 1, 1, 1, 7, 30, 31, 31, 90, 91, 91, 91, 200};
	uint64_t seed = 88172645463325252ull, now = 0, end = 0;
	uint32_t left = 1504;
	size_t next = 0;
	int i;

	trace("0\n0\n1\n1\n1\n7\n30\n31\n31\n90\n91\n91\n91\n200\n");
	for (i = 0; i < 200000; i++) {
		uint32_t len;
		uint64_t want;

		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		len = 14 + (uint32_t)(seed >> 20) % 3000;
		/* Mostly bursts, some whole milliseconds, some gaps of many rounds. */
		if (seed % 8 == 0)
			now += (seed >> 40) % (3 * NS_PER_MS);
		else if (seed % 64 == 1)
			now = (now / NS_PER_MS + (seed >> 40) % 900) * NS_PER_MS;
		if (now < end)
			now = end;
		want = walk(at, sizeof(at) / sizeof(*at), &next, &left, len, now);
		end = sent(len, now);
		if (end != want)
			fail_msg("frame %d: %llu, not %llu", i, (unsigned long long)end,
				 (unsigned long long)want);
	}
}

static void the_average_of_a_trace_is_its_bytes_over_its_length(void **state)
{
	trace("1\n");
	assert_int_equal(rate_average(&conf), 12032000); /* 1504 bytes a millisecond */
	done(NULL);
	trace("0\n500\n1000\n");
	assert_int_equal(rate_average(&conf), 3 * 1504 * 8);
	done(NULL);
	trace("1000000000\n");
	assert_int_equal(rate_average(&conf), 1); /* 0.012, and 0 would be no limit */
	done(NULL);
	fixed(9600, OVERHEAD_ATM);
	assert_int_equal(rate_average(&conf), 9600);
}

static void overhead_counts_in_a_trace_too(void **state)
{
	conf.overhead = OVERHEAD_ETHERNET;
	trace("1\n2\n");
	assert_int_equal(conf.overhead, OVERHEAD_ETHERNET);
	assert_int_equal(sent(1480, 0), 1 * NS_PER_MS); /* 1504 with its 24 */
	assert_int_equal(sent(1481, 0), 3 * NS_PER_MS);
}

static void a_live_change_lets_the_frame_on_the_wire_end(void **state)
{
	struct rate_conf faster = {.kind = RATE_FIXED, .bps = 8000000};
	struct rate_conf none = {0};

	fixed(8000, OVERHEAD_NONE); /* 1 ms a byte */
	assert_int_equal(sent(100, 0), 100 * NS_PER_MS);
	rate_update(&r, &faster, T0 + 10 * NS_PER_MS);
	assert_true(rate_free(&r) == T0 + 100 * NS_PER_MS);
	assert_int_equal(sent(100, 10 * NS_PER_MS), 100 * NS_PER_MS + 100000);
	rate_update(&r, &none, T0 + 20 * NS_PER_MS);
	assert_int_equal(sent(100, 0), 100 * NS_PER_MS + 100000);
	rate_update(&r, &conf, T0 + 200 * NS_PER_MS);
	assert_int_equal(sent(1, 200 * NS_PER_MS), 201 * NS_PER_MS);
}

static void a_change_of_overhead_alone_loses_no_fraction(void **state)
{
	struct rate_conf other = {.kind = RATE_FIXED, .bps = 3 * NS_PER_S, .overhead = 1};

	fixed(3 * NS_PER_S, OVERHEAD_NONE);
	assert_int_equal(sent(1, 0), 2);
	rate_update(&r, &other, T0);
	assert_int_equal(sent(60, 0), 226); /* (8 + 672) / 3 */
}

static void a_new_trace_begins_when_it_is_set_and_the_same_one_goes_on(void **state)
{
	struct rate_conf again = {0};
	char spec[sizeof(path) + 8];

	trace("10\n20\n30\n");
	assert_int_equal(sent(1504, 0), 10 * NS_PER_MS);
	snprintf(spec, sizeof(spec), "trace:%s", path);
	assert_int_equal(rate_parse(spec, &again, &e), 0);
	rate_update(&r, &again, T0 + 11 * NS_PER_MS);
	rate_release(&conf);
	assert_int_equal(sent(1504, 11 * NS_PER_MS), 20 * NS_PER_MS);

	assert_int_equal(parse_trace("3\n"), 0);
	rate_update(&r, &conf, T0 + 40 * NS_PER_MS + 5);
	rate_release(&again);
	assert_int_equal(sent(1504, 41 * NS_PER_MS), 43 * NS_PER_MS + 5);
}

static void refuses(const char *spec, const char *says)
{
	struct rate_conf c = {.kind = RATE_FIXED, .bps = 77, .overhead = OVERHEAD_ATM};

	e.text[0] = '\0';
	assert_true(rate_parse(spec, &c, &e) < 0);
	assert_string_equal(e.text, says);
	assert_int_equal(c.kind, RATE_FIXED);
	assert_int_equal(c.bps, 77);
	assert_int_equal(c.overhead, OVERHEAD_ATM);
}

#define ALLOWED                                                                             \
	" is no rate; write one like 100mbit (bit kbit mbit gbit), trace:FILE (a Mahimahi " \
	"trace), or none"

static void a_rate_that_is_none_is_refused_with_what_is_allowed(void **state)
{
	refuses("", "''" ALLOWED);
	refuses("fast", "'fast'" ALLOWED);
	refuses("-1mbit", "'-1mbit'" ALLOWED);
	refuses("nonesuch", "'nonesuch'" ALLOWED);
	refuses("Trace:x", "'Trace:x'" ALLOWED);
	refuses("100", "'100' lacks its unit; write it like 100mbit (bit kbit mbit gbit)");
	refuses("5M", "'M' is no unit of a rate; write it like 100mbit (bit kbit mbit gbit)");
	refuses("0bit", "'0bit' is outside 1bit…1000gbit");
	refuses("1001gbit", "'1001gbit' is outside 1bit…1000gbit");
	refuses("trace:", "'trace:' names no file; write trace:FILE");
	refuses("trace:/nonexistent/x", "cannot read '/nonexistent/x': No such file or directory");
	refuses("trace:/tmp", "cannot read '/tmp': it is not a regular file");
}

static void refuses_trace(const char *text, const char *says)
{
	char want[ERR_TEXT_MAX];

	assert_true(parse_trace(text) < 0);
	snprintf(want, sizeof(want), "'%s' %s", path, says);
	assert_string_equal(e.text, want);
	assert_int_equal(conf.kind, RATE_NONE);
	assert_null(conf.trace);
}

static void a_bad_trace_is_refused_with_file_and_line(void **state)
{
	static const char time[] = "a trace's time in milliseconds: ";
	char says[200];

	refuses_trace("", "is empty; a trace has a time in milliseconds on each line");
	refuses_trace("# nothing\n\n", "is empty; a trace has a time in milliseconds on each line");
	refuses_trace("0\n0\n", "ends at 0; a trace's last time is its length, from 1 ms");
	refuses_trace("1\n7\n5\n", "line 3: '5' comes after 7; a trace's times never go back");
	snprintf(says, sizeof(says), "line 2: %s'x' is not a whole number from 0 to 1000000000",
		 time);
	refuses_trace("1\nx\n", says);
	snprintf(says, sizeof(says), "line 1: %s'1.5' is not a whole number from 0 to 1000000000",
		 time);
	refuses_trace("1.5\n", says);
	snprintf(says, sizeof(says), "line 1: %s'-1' is not a whole number from 0 to 1000000000",
		 time);
	refuses_trace("-1\n", says);
	snprintf(says, sizeof(says), "line 2: %s'1000000001' is outside 0…1000000000", time);
	refuses_trace("1000000000\n1000000001\n", says);
	refuses_trace("1\n2\n\x01\x02", "line 3: this is not a number");
}

static void a_trace_may_lack_its_last_newline_or_have_dos_ones(void **state)
{
	trace("1\r\n2\r\n4");
	assert_int_equal(sent(3008, 0), 2 * NS_PER_MS);
	assert_int_equal(sent(1504, 0), 4 * NS_PER_MS);
	assert_int_equal(sent(1504, 0), 5 * NS_PER_MS);
}

static void more_times_than_memory_is_meant_for_are_refused(void **state)
{
	const size_t lines = (16u << 20) + 1;
	char *text = malloc(2 * lines + 1);
	char want[200];
	size_t i;

	assert_non_null(text);
	for (i = 0; i < lines; i++)
		memcpy(text + 2 * i, "1\n", 2);
	text[2 * lines] = '\0';
	assert_int_equal(parse_trace(text), -E2BIG);
	snprintf(want, sizeof(want), "'%s' line 16777217: a trace has at most 16777216 times",
		 path);
	assert_string_equal(e.text, want);
	text[2 * lines - 2] = '\0';
	assert_int_equal(parse_trace(text), 0);
	free(text);
}

static void rates_are_read_in_every_unit(void **state)
{
	static const struct {
		const char *spec;
		uint64_t bps;
	} rates[] = {
		{"1bit", 1},	      {"9.6kbit", 9600},	   {"9600bit", 9600},
		{"1.5mbit", 1500000}, {"999999937bit", 999999937}, {"1000gbit", RATE_MAX},
	};
	size_t i;

	for (i = 0; i < sizeof(rates) / sizeof(*rates); i++) {
		assert_int_equal(rate_parse(rates[i].spec, &conf, &e), 0);
		assert_int_equal(conf.kind, RATE_FIXED);
		assert_true(conf.bps == rates[i].bps);
	}
	assert_int_equal(rate_parse("none", &conf, &e), 0);
	assert_int_equal(conf.kind, RATE_NONE);
}

static void another_specification_takes_a_traces_place(void **state)
{
	trace("1\n2\n");
	conf.overhead = OVERHEAD_ATM;
	assert_int_equal(rate_parse("1mbit", &conf, &e), 0);
	assert_null(conf.trace);
	assert_int_equal(conf.kind, RATE_FIXED);
	assert_int_equal(conf.overhead, OVERHEAD_ATM);
	assert_int_equal(parse_trace("3\n"), 0);
	assert_int_equal(parse_trace("4\n"), 0);
	rate_release(&conf);
	assert_int_equal(conf.kind, RATE_NONE);
	assert_null(conf.trace);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(one_frame_takes_its_bits_over_the_rate, done),
		cmocka_unit_test_teardown(a_frame_waits_for_the_one_before, done),
		cmocka_unit_test_teardown(ten_million_frames_back_to_back_do_not_drift, done),
		cmocka_unit_test_teardown(frames_of_many_lengths_do_not_drift, done),
		cmocka_unit_test_teardown(a_fraction_is_carried_only_while_the_line_is_busy, done),
		cmocka_unit_test_teardown(without_a_rate_frames_take_no_time_and_keep_their_order,
					  done),
		cmocka_unit_test_teardown(ethernet_costs_padding_preamble_fcs_and_gap, done),
		cmocka_unit_test_teardown(atm_costs_whole_cells, done),
		cmocka_unit_test_teardown(without_overhead_a_frame_is_what_is_captured, done),
		cmocka_unit_test_teardown(a_trace_lets_frames_pass_at_its_times, done),
		cmocka_unit_test_teardown(
			small_frames_share_an_opportunity_and_large_ones_span_several, done),
		cmocka_unit_test_teardown(bytes_that_nobody_waits_for_are_lost, done),
		cmocka_unit_test_teardown(rounds_meet_without_losing_an_opportunity, done),
		cmocka_unit_test_teardown(idle_hours_are_skipped_at_once_and_exactly, done),
		cmocka_unit_test_teardown(a_busy_and_idle_line_does_what_a_plain_walk_does, done),
		cmocka_unit_test_teardown(the_average_of_a_trace_is_its_bytes_over_its_length,
					  done),
		cmocka_unit_test_teardown(overhead_counts_in_a_trace_too, done),
		cmocka_unit_test_teardown(a_live_change_lets_the_frame_on_the_wire_end, done),
		cmocka_unit_test_teardown(a_change_of_overhead_alone_loses_no_fraction, done),
		cmocka_unit_test_teardown(
			a_new_trace_begins_when_it_is_set_and_the_same_one_goes_on, done),
		cmocka_unit_test_teardown(a_rate_that_is_none_is_refused_with_what_is_allowed,
					  done),
		cmocka_unit_test_teardown(a_bad_trace_is_refused_with_file_and_line, done),
		cmocka_unit_test_teardown(a_trace_may_lack_its_last_newline_or_have_dos_ones, done),
		cmocka_unit_test_teardown(more_times_than_memory_is_meant_for_are_refused, done),
		cmocka_unit_test_teardown(rates_are_read_in_every_unit, done),
		cmocka_unit_test_teardown(another_specification_takes_a_traces_place, done),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
