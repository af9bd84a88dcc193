// SPDX-License-Identifier: GPL-3.0-or-later
/* test_tcpopt.c - the walk over TCP options, over good ones and impossible ones */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/tcpopt.h"
#include "tests/unit/packets.h"

#include <stdlib.h>

/* A header with these options, in an allocation that ends with it. */
static uint8_t *header(const char *hex, size_t *len)
{
	uint8_t options[TCPOPT_MAX];
	size_t n = pkt_hex(options, sizeof(options), hex);
	uint8_t *tcp;

	assert_int_equal(n % 4, 0);
	*len = TCP_HDR_MIN + n;
	tcp = calloc(1, *len);
	tcp[12] = (uint8_t)(*len / 4 << 4);
	memcpy(tcp + TCP_HDR_MIN, options, n);
	return tcp;
}

/* Write the walk as text: "kind:len@offset …", and "!" if it ended malformed. */
static const char *walk(const char *hex)
{
	static char text[512];
	struct tcpopt_iter it;
	struct tcpopt opt;
	size_t len, at = 0;
	uint8_t *tcp = header(hex, &len);

	text[0] = '\0';
	assert_true(tcpopt_begin(&it, tcp, len));
	while (tcpopt_next(&it, &opt)) {
		assert_ptr_equal(opt.data, tcp + opt.offset + 2);
		assert_true(opt.offset + opt.len <= len);
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%d:%d@%d ", opt.kind, opt.len,
				       opt.offset);
	}
	if (it.malformed)
		snprintf(text + at, sizeof(text) - at, "!");
	assert_false(tcpopt_next(&it, &opt)); /* an ended walk stays ended */
	free(tcp);
	return text;
}

static void a_header_without_options_yields_nothing(void **state)
{
	assert_string_equal(walk(""), "");
}

static void options_come_in_order_with_their_offsets(void **state)
{
	assert_string_equal(walk("020405b4 0402 080a 01020304 00000000 01 030307"),
			    "2:4@20 4:2@24 8:10@26 3:3@37 ");
}

static void nops_are_skipped(void **state)
{
	assert_string_equal(walk("01010101"), "");
	assert_string_equal(walk("01030307 01010402"), "3:3@21 4:2@26 ");
}

static void eol_ends_the_walk_whatever_follows(void **state)
{
	assert_string_equal(walk("00030307"), "");
	assert_string_equal(walk("020405b4 00000000"), "2:4@20 ");
	assert_string_equal(walk("0402 00 ff"), "4:2@20 ");
}

static void unknown_kinds_are_yielded(void **state)
{
	assert_string_equal(walk("fd06f989 aabb 1e02"), "253:6@20 30:2@26 ");
}

static void an_option_may_fill_the_header(void **state)
{
	assert_string_equal(walk("fd28 0102030405060708090a0b0c0d0e0f10111213141516171819 "
				 "1a1b1c1d1e1f20212223242526"),
			    "253:40@20 ");
}

static void length_zero_or_one_is_malformed(void **state)
{
	assert_string_equal(walk("020405b4 03000000"), "2:4@20 !");
	assert_string_equal(walk("020405b4 03010000"), "2:4@20 !");
	assert_string_equal(walk("08000000"), "!");
}

static void an_option_beyond_the_header_is_malformed(void **state)
{
	assert_string_equal(walk("0405b400"), "!");
	assert_string_equal(walk("01020405"), "!");
	assert_string_equal(walk("0402 08ff"), "4:2@20 !");
}

static void a_missing_length_octet_is_malformed(void **state)
{
	assert_string_equal(walk("01010103"), "!");
	assert_string_equal(walk("030307 02"), "3:3@20 !");
}

static void a_length_that_a_kind_does_not_have_is_the_callers_to_judge(void **state)
{
	assert_string_equal(walk("0203ff 01 0302 0101"), "2:3@20 3:2@24 ");
}

static void a_header_that_cannot_be_is_malformed_and_yields_nothing(void **state)
{
	static const struct {
		unsigned words, len;
		bool good;
	} cases[] = {
		{5, 0, false},	{5, 19, false},	 {5, 20, true},	 {5, 1460, true},
		{4, 60, false}, {0, 60, false},	 {6, 20, false}, {6, 23, false},
		{6, 24, true},	{15, 59, false}, {15, 60, true},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t *tcp = calloc(1, cases[i].len ? cases[i].len : 1);
		struct tcpopt_iter it;
		struct tcpopt opt;

		if (cases[i].len > 12)
			tcp[12] = (uint8_t)(cases[i].words << 4);
		assert_int_equal(tcpopt_begin(&it, tcp, cases[i].len), cases[i].good);
		assert_int_equal(it.malformed, !cases[i].good);
		assert_false(tcpopt_next(&it, &opt));
		free(tcp);
	}
}

static void data_behind_the_header_is_not_an_option(void **state)
{
	uint8_t tcp[28] = {0};
	struct tcpopt_iter it;
	struct tcpopt opt;

	tcp[12] = 0x60;
	pkt_hex(tcp + 20, 8, "01010101 020405b4");
	assert_true(tcpopt_begin(&it, tcp, sizeof(tcp)));
	assert_false(tcpopt_next(&it, &opt));
	assert_false(it.malformed);
}

static void a_flipped_bit_never_leads_beyond_the_header(void **state)
{
	size_t len;
	uint8_t *tcp = header("020405b4 0402 080a 01020304 00000000 01 030307", &len);

	for (size_t bit = 0; bit < len * 8; bit++) {
		struct tcpopt_iter it;
		struct tcpopt opt;
		unsigned count = 0;

		tcp[bit / 8] ^= (uint8_t)(1 << bit % 8);
		tcpopt_begin(&it, tcp, len);
		while (tcpopt_next(&it, &opt)) {
			assert_true(opt.len >= 2 && (size_t)opt.offset + opt.len <= len);
			assert_true(++count <= TCPOPT_MAX / 2);
		}
		tcp[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	free(tcp);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_header_without_options_yields_nothing),
		cmocka_unit_test(options_come_in_order_with_their_offsets),
		cmocka_unit_test(nops_are_skipped),
		cmocka_unit_test(eol_ends_the_walk_whatever_follows),
		cmocka_unit_test(unknown_kinds_are_yielded),
		cmocka_unit_test(an_option_may_fill_the_header),
		cmocka_unit_test(length_zero_or_one_is_malformed),
		cmocka_unit_test(an_option_beyond_the_header_is_malformed),
		cmocka_unit_test(a_missing_length_octet_is_malformed),
		cmocka_unit_test(a_length_that_a_kind_does_not_have_is_the_callers_to_judge),
		cmocka_unit_test(a_header_that_cannot_be_is_malformed_and_yields_nothing),
		cmocka_unit_test(data_behind_the_header_is_not_an_option),
		cmocka_unit_test(a_flipped_bit_never_leads_beyond_the_header),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
