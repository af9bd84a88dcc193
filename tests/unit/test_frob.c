// SPDX-License-Identifier: GPL-3.0-or-later
/* test_frob.c - what frob_rewrite() changes in a SYN, and what it must never touch */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "frob/frob.h"
#include "tests/unit/packets.h"

#include <stdlib.h>

static const struct frob_rules mtu_1422 = {.mtu = 1422, .wscale = FROB_WSCALE_OFF};
static const struct frob_rules wscale_5 = {.mtu = 0, .wscale = 5};
static const struct frob_rules both = {.mtu = 1422, .wscale = 5};
static const struct frob_rules off = {.mtu = 0, .wscale = FROB_WSCALE_OFF};

static const uint8_t usual[] = {2, 4, 0x05, 0xb4, 1, 3, 3, 0, 4, 2, 1, 0};

static struct pkt k, before;

/* A SYN over IPv4 (version 4) or IPv6 (6) with these options, and some data. */
static uint8_t *syn(unsigned version, const void *options, size_t len, size_t payload)
{
	uint8_t *tcp;

	pkt_begin(&k);
	if (version == 4)
		pkt_ipv4(&k, NULL, 0);
	else
		pkt_ipv6(&k);
	tcp = pkt_tcp(&k, PKT_SYN, options, len);
	pkt_pattern(&k, payload);
	pkt_finish(&k);
	before = k;
	return tcp;
}

/* Rewrite in an allocation that ends with the frame, so that ASan sees an access beyond it. */
static unsigned rewrite(bool partial, const struct frob_rules *rules)
{
	uint8_t *exact = malloc(k.len ? k.len : 1);
	unsigned done;

	memcpy(exact, k.data, k.len);
	done = frob_rewrite(exact, k.len, partial, rules);
	memcpy(k.data, exact, k.len);
	free(exact);
	return done;
}

static void assert_untouched(void)
{
	assert_memory_equal(k.data, before.data, k.len);
}

/* Rewrite a packet from hexadecimal and compare every byte of the result. */
static void assert_rewrites(const char *from, const char *to, const struct frob_rules *rules,
			    unsigned expected)
{
	uint8_t want[256];
	size_t len = pkt_hex(want, sizeof(want), to);

	k.len = (uint32_t)pkt_hex(k.data, sizeof(k.data), from);
	assert_int_equal(k.len, len);
	assert_int_equal(rewrite(false, rules), expected);
	assert_memory_equal(k.data, want, len);
}

static void a_worked_ipv4_syn_becomes_the_worked_result(void **state)
{
	assert_rewrites("02000000000b 02000000000a 0800 4500003c 1c464000 4006323a"
			"c0000201 c6336407 a002 0386 a0b1c2d3 00000000 a002 8218 ce9e 0000"
			"020405b4 01 030300 0402 080a0102030400000000",
			"02000000000b 02000000000a 0800 4500003c 1c464000 4006323a"
			"c0000201 c6336407 a002 0386 a0b1c2d3 00000000 a002 8218 cee7 0000"
			"02040566 01 030305 0402 080a0102030400000000",
			&both, FROB_SYN | FROB_MSS | FROB_WSCALE);
}

static void a_worked_qinq_ipv6_syn_ack_with_odd_options_becomes_the_worked_result(void **state)
{
	static const struct frob_rules rules = {.mtu = 1422, .wscale = 2};

	assert_rewrites(
		"02000000000b 02000000000a 88a80064 8100002a 86dd 60000000 00300040"
		"20010db8000000000000000000000001 20010db8000000010000000000000002"
		"3c00050200000100 0600010400000000"
		"0801 02bc 00000001 fffffff0 8012 ffff 206a 0000 01 020422ec 03030e 0402 01 00",
		"02000000000b 02000000000a 88a80064 8100002a 86dd 60000000 00300040"
		"20010db8000000000000000000000001 20010db8000000010000000000000002"
		"3c00050200000100 0600010400000000"
		"0801 02bc 00000001 fffffff0 8012 ffff ba93 0000 01 02040552 030302 0402 01 00",
		&rules, FROB_SYN | FROB_MSS | FROB_WSCALE);
}

static void mss_is_lowered_to_mtu_less_40_or_60(void **state)
{
	uint8_t *tcp = syn(4, usual, sizeof(usual), 0);

	assert_int_equal(rewrite(false, &mtu_1422), FROB_SYN | FROB_MSS);
	assert_int_equal(pkt_get16(tcp + 22), 1382);
	assert_true(pkt_check_ok(&k));

	tcp = syn(6, usual, sizeof(usual), 0);
	assert_int_equal(rewrite(false, &mtu_1422), FROB_SYN | FROB_MSS);
	assert_int_equal(pkt_get16(tcp + 22), 1362);
	assert_true(pkt_check_ok(&k));
}

static void mss_is_never_raised(void **state)
{
	static const unsigned small[] = {0, 1, 536, 1381, 1382};

	for (size_t i = 0; i < sizeof(small) / sizeof(small[0]); i++) {
		uint8_t options[4] = {2, 4};

		pkt_put16(options + 2, small[i]);
		syn(4, options, sizeof(options), 0);
		assert_int_equal(rewrite(false, &mtu_1422), FROB_SYN);
		assert_untouched();
	}
}

static void ip_options_do_not_lower_mss_further(void **state)
{
	uint8_t *tcp;

	pkt_begin(&k);
	pkt_ipv4(&k, "\x94\4\0\0\1\1\1\1", 8);
	tcp = pkt_tcp(&k, PKT_SYN, usual, sizeof(usual));
	pkt_finish(&k);
	assert_int_equal(rewrite(false, &mtu_1422), FROB_SYN | FROB_MSS);
	assert_int_equal(pkt_get16(tcp + 22), 1382);
	assert_true(pkt_check_ok(&k));
}

static void an_mtu_smaller_than_the_headers_changes_nothing(void **state)
{
	static const uint8_t largest[] = {2, 4, 0xff, 0xff};

	for (unsigned mtu = 0; mtu <= 60; mtu++) {
		struct frob_rules rules = {.mtu = (uint16_t)mtu, .wscale = FROB_WSCALE_OFF};

		syn(6, largest, sizeof(largest), 0);
		assert_int_equal(rewrite(false, &rules), FROB_SYN);
		assert_untouched();
		syn(4, largest, sizeof(largest), 0);
		assert_int_equal(rewrite(false, &rules), FROB_SYN | (mtu > 40 ? FROB_MSS : 0));
		assert_true(pkt_check_ok(&k));
	}
}

static void wscale_is_replaced_and_counted_only_if_it_changed(void **state)
{
	uint8_t *tcp = syn(4, usual, sizeof(usual), 0);

	assert_int_equal(rewrite(false, &wscale_5), FROB_SYN | FROB_WSCALE);
	assert_int_equal(tcp[27], 5);
	assert_int_equal(pkt_get16(tcp + 22), 1460);
	assert_true(pkt_check_ok(&k));
	before = k;
	assert_int_equal(rewrite(false, &wscale_5), FROB_SYN);
	assert_untouched();
}

static void wscale_zero_is_a_scale_and_not_off(void **state)
{
	static const struct frob_rules zero = {.wscale = 0};
	uint8_t *tcp = syn(4, "\1\3\3\x0e", 4, 0);

	assert_int_equal(rewrite(false, &zero), FROB_SYN | FROB_WSCALE);
	assert_int_equal(tcp[23], 0);
	assert_true(pkt_check_ok(&k));
}

static void wscale_is_never_inserted(void **state)
{
	syn(4, "\2\4\5\xb4\1\1\4\2", 8, 0);
	assert_int_equal(rewrite(false, &wscale_5), FROB_SYN);
	assert_untouched();
	syn(4, NULL, 0, 0);
	assert_int_equal(rewrite(false, &both), FROB_SYN);
	assert_untouched();
}

static void a_scale_beyond_14_is_never_written(void **state)
{
	static const struct frob_rules wild = {.wscale = 15};

	syn(4, usual, sizeof(usual), 0);
	assert_int_equal(rewrite(false, &wild), FROB_SYN);
	assert_untouched();
}

static void rules_that_are_off_change_nothing(void **state)
{
	syn(6, usual, sizeof(usual), 10);
	assert_int_equal(rewrite(false, &off), FROB_SYN);
	assert_untouched();
}

static void syn_with_data_is_rewritten_and_its_data_kept(void **state)
{
	for (size_t payload = 1; payload < 64; payload++) {
		uint8_t *tcp = syn(4, usual, sizeof(usual), payload);

		assert_int_equal(rewrite(false, &both), FROB_SYN | FROB_MSS | FROB_WSCALE);
		assert_true(pkt_check_ok(&k));
		assert_memory_equal(tcp + 32, before.data + k.l4 + 32, payload);
	}
}

static void checksums_are_right_at_every_offset_of_the_options(void **state)
{
	for (unsigned version = 4; version <= 6; version += 2) {
		for (size_t nops = 0; nops <= 33; nops++) {
			uint8_t options[40];
			uint8_t *tcp;

			memset(options, 1, sizeof(options));
			memcpy(options + nops, "\2\4\xff\xff\3\3\x0e", 7);
			tcp = syn(version, options, sizeof(options), 5);
			assert_int_equal(rewrite(false, &both), FROB_SYN | FROB_MSS | FROB_WSCALE);
			assert_true(pkt_check_ok(&k));
			assert_int_equal(pkt_get16(tcp + 22 + nops), version == 4 ? 1382 : 1362);
			assert_int_equal(tcp[26 + nops], 5);
		}
	}
}

static void checksums_are_right_for_every_value_before_and_after(void **state)
{
	for (unsigned odd = 0; odd < 2; odd++) {
		for (unsigned mss = 0; mss <= 0xffff; mss += 97) {
			uint8_t options[8] = {1, 1, 1, 1, 1, 1, 1, 1};
			struct frob_rules rules = {.mtu = (uint16_t)(mss * 31 + 41),
						   .wscale = FROB_WSCALE_OFF};

			options[odd] = 2;
			options[odd + 1] = 4;
			pkt_put16(options + odd + 2, mss);
			syn(4, options, sizeof(options), 0);
			assert_int_equal(rewrite(false, &rules) & ~(unsigned)FROB_MSS, FROB_SYN);
			assert_true(pkt_check_ok(&k));
		}
	}
}

static void a_wrong_checksum_stays_wrong_by_the_same_amount(void **state)
{
	for (unsigned error = 1; error < 0xffff; error += 13) {
		uint8_t options[] = {1, 2, 4, 0x05, 0xb4, 3, 3, 0};
		unsigned good;

		syn(4, options, sizeof(options), 3);
		rewrite(false, &both);
		good = pkt_get16(pkt_check_field(&k));

		syn(4, options, sizeof(options), 3);
		pkt_put16(pkt_check_field(&k), (pkt_get16(pkt_check_field(&k)) + error) % 0xffff);
		assert_false(pkt_check_ok(&k));
		assert_int_equal(rewrite(false, &both), FROB_SYN | FROB_MSS | FROB_WSCALE);
		assert_false(pkt_check_ok(&k));
		assert_int_equal(pkt_get16(pkt_check_field(&k)), (good + error) % 0xffff);
	}
}

static void a_partial_checksum_stays_as_it_is(void **state)
{
	for (unsigned version = 4; version <= 6; version += 2) {
		unsigned was;

		syn(version, usual, sizeof(usual), 0);
		pkt_finish_partial(&k);
		was = pkt_get16(pkt_check_field(&k));
		assert_int_equal(rewrite(true, &both), FROB_SYN | FROB_MSS | FROB_WSCALE);
		assert_int_equal(pkt_get16(pkt_check_field(&k)), was);
		assert_int_equal(was, pkt_pseudo(&k));
	}
}

static void only_a_syn_without_rst_is_a_syn(void **state)
{
	for (unsigned flags = 0; flags < 256; flags++) {
		bool is_syn = (flags & PKT_SYN) && !(flags & PKT_RST);

		pkt_begin(&k);
		pkt_ipv4(&k, NULL, 0);
		pkt_tcp(&k, flags, usual, sizeof(usual));
		pkt_finish(&k);
		before = k;
		assert_int_equal(rewrite(false, &both),
				 is_syn ? FROB_SYN | FROB_MSS | FROB_WSCALE : 0);
		if (!is_syn)
			assert_untouched();
		assert_true(pkt_check_ok(&k));
	}
}

static void every_stack_of_tags_and_extension_headers_is_passed(void **state)
{
	for (unsigned tags = 0; tags <= 3; tags++) {
		for (unsigned headers = 0; headers < 8; headers++) {
			unsigned expected = tags <= 2 ? FROB_SYN | FROB_MSS | FROB_WSCALE : 0;

			pkt_begin(&k);
			for (unsigned i = 0; i < tags; i++)
				pkt_vlan(&k, i ? 0x8100 : 0x88a8, 100 + i);
			pkt_ipv6(&k);
			if (headers & 1)
				pkt_ext(&k, 0, 16);
			if (headers & 2)
				pkt_ext(&k, 44, 8); /* atomic */
			if (headers & 4)
				pkt_ext(&k, 60, 8);
			pkt_tcp(&k, PKT_SYN | PKT_ACK, usual, sizeof(usual));
			pkt_finish(&k);
			before = k;
			assert_int_equal(rewrite(false, &both), expected);
			assert_true(pkt_check_ok(&k));
			if (!expected)
				assert_untouched();
		}
	}
}

static void padding_behind_the_packet_is_not_read_as_options(void **state)
{
	static const uint8_t trailer[] = {2, 4, 0xff, 0xff, 3, 3, 0};

	syn(4, NULL, 0, 0);
	pkt_push(&k, trailer, sizeof(trailer));
	before = k;
	assert_int_equal(rewrite(false, &both), FROB_SYN);
	assert_untouched();
}

static void fragments_are_left_alone_the_first_too(void **state)
{
	static const unsigned v4[] = {0x2000, 0x2001, 0x0001};
	static const unsigned v6[] = {0x0001, 0x0009, 0x0008};

	for (size_t i = 0; i < 3; i++) {
		uint8_t *frag;

		syn(4, usual, sizeof(usual), 20);
		pkt_put16(k.data + 20, v4[i]);
		before = k;
		assert_int_equal(rewrite(false, &both), 0);
		assert_untouched();

		pkt_begin(&k);
		pkt_ipv6(&k);
		frag = pkt_ext(&k, 44, 8);
		pkt_tcp(&k, PKT_SYN, usual, sizeof(usual));
		pkt_finish(&k);
		pkt_put16(frag + 2, v6[i]);
		before = k;
		assert_int_equal(rewrite(false, &both), 0);
		assert_untouched();
	}
}

static void a_wrong_option_length_is_left_and_told_and_the_others_rewritten(void **state)
{
	uint8_t *tcp = syn(4, "\2\3\xff\3\3\0\1\1", 8, 0);

	assert_int_equal(rewrite(false, &both), FROB_SYN | FROB_WSCALE | FROB_MALFORMED);
	assert_int_equal(tcp[22], 0xff);
	assert_int_equal(tcp[25], 5);
	assert_true(pkt_check_ok(&k));

	tcp = syn(4, "\3\4\0\0\2\4\xff\xff", 8, 0);
	assert_int_equal(rewrite(false, &both), FROB_SYN | FROB_MSS | FROB_MALFORMED);
	assert_int_equal(pkt_get16(tcp + 22), 0);
	assert_int_equal(pkt_get16(tcp + 26), 1382);
	assert_true(pkt_check_ok(&k));

	syn(4, "\2\2\3\2", 4, 0);
	assert_int_equal(rewrite(false, &off), FROB_SYN | FROB_MALFORMED);
	assert_untouched();
}

static void what_stands_before_a_malformed_option_is_rewritten(void **state)
{
	static const uint8_t bad[][4] = {
		{5, 0, 0, 0}, {5, 1, 0, 0}, {5, 5, 0, 0}, {1, 1, 1, 5}, {3, 255, 7, 7}};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint8_t options[8] = {2, 4, 0xff, 0xff};
		uint8_t *tcp;

		memcpy(options + 4, bad[i], 4);
		tcp = syn(4, options, sizeof(options), 0);
		assert_int_equal(rewrite(false, &both), FROB_SYN | FROB_MSS | FROB_MALFORMED);
		assert_int_equal(pkt_get16(tcp + 22), 1382);
		assert_memory_equal(tcp + 24, bad[i], 4);
		assert_true(pkt_check_ok(&k));
	}
}

static void what_stands_behind_eol_is_left(void **state)
{
	syn(4, "\0\2\4\xff\xff\3\3\0", 8, 0);
	assert_int_equal(rewrite(false, &both), FROB_SYN);
	assert_untouched();
}

static void a_data_offset_that_cannot_be_is_malformed(void **state)
{
	static const uint8_t offsets[] = {0x00, 0x10, 0x40, 0x90, 0xf0};

	for (size_t i = 0; i < sizeof(offsets); i++) {
		uint8_t *tcp = syn(4, usual, sizeof(usual), 0);

		tcp[12] = offsets[i];
		before = k;
		assert_int_equal(rewrite(false, &both), FROB_MALFORMED);
		assert_untouched();
	}
}

static void each_of_two_mss_options_is_lowered(void **state)
{
	uint8_t *tcp = syn(4, "\2\4\5\xb4\2\4\x23\0", 8, 0);

	assert_int_equal(rewrite(false, &mtu_1422), FROB_SYN | FROB_MSS);
	assert_int_equal(pkt_get16(tcp + 22), 1382);
	assert_int_equal(pkt_get16(tcp + 26), 1382);
	assert_true(pkt_check_ok(&k));
}

static void authenticated_options_are_left_alone(void **state)
{
	syn(4, "\2\4\5\xb4\x1d\6\1\1\xaa\xbb\1\1", 12, 0);
	assert_int_equal(rewrite(false, &both), FROB_SYN);
	assert_untouched();

	pkt_begin(&k);
	pkt_ipv6(&k);
	pkt_ext(&k, 51, 24);
	pkt_tcp(&k, PKT_SYN, usual, sizeof(usual));
	pkt_finish(&k);
	before = k;
	assert_int_equal(rewrite(false, &both), FROB_SYN);
	assert_untouched();
}

static void tcp_md5_does_not_cover_options_so_they_are_rewritten(void **state)
{
	uint8_t options[24] = {[0] = 2, [1] = 4, [2] = 0x05, [3] = 0xb4, [4] = 19, [5] = 18};

	syn(4, options, sizeof(options), 0);
	assert_int_equal(rewrite(false, &mtu_1422), FROB_SYN | FROB_MSS);
	assert_true(pkt_check_ok(&k));
}

static void what_is_not_tcp_is_left_alone(void **state)
{
	pkt_begin(&k);
	pkt_ipv4(&k, NULL, 0);
	pkt_udp(&k);
	pkt_push(&k, usual, sizeof(usual));
	pkt_finish(&k);
	before = k;
	assert_int_equal(rewrite(false, &both), 0);
	assert_untouched();

	pkt_begin(&k);
	pkt_put16(k.data + k.type_at, 0x0806);
	pkt_pattern(&k, 46);
	before = k;
	assert_int_equal(rewrite(false, &both), 0);
	assert_untouched();
}

static void a_frame_cut_anywhere_is_left_as_it_is(void **state)
{
	for (unsigned version = 4; version <= 6; version += 2) {
		uint32_t whole;

		syn(version, usual, sizeof(usual), 0);
		whole = k.len;
		for (k.len = 0; k.len < whole; k.len++) {
			assert_int_equal(rewrite(false, &both), 0);
			assert_untouched();
		}
	}
}

static void an_ip_packet_cut_inside_tcp_is_malformed_and_left(void **state)
{
	uint8_t *tcp = syn(4, usual, sizeof(usual), 0);

	for (unsigned total = 20; total < 52; total++) {
		pkt_put16(k.data + 16, total);
		before = k;
		assert_int_equal(rewrite(false, &both), FROB_MALFORMED);
		assert_untouched();
	}
	pkt_put16(k.data + 16, 52);
	assert_int_equal(rewrite(false, &both), FROB_SYN | FROB_MSS | FROB_WSCALE);
	assert_int_equal(tcp[27], 5);
}

static void a_flipped_bit_never_lets_more_than_the_options_change(void **state)
{
	for (unsigned version = 4; version <= 6; version += 2) {
		for (uint32_t bit = 0; bit < 8 * 110; bit++) {
			unsigned done;

			syn(version, usual, sizeof(usual), 16);
			if (bit / 8 >= k.len)
				break;
			k.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
			before = k;
			done = rewrite(false, &both);
			if (!(done & (FROB_MSS | FROB_WSCALE)))
				assert_untouched();
			assert_memory_equal(k.data, before.data, k.l4 + 16);
			assert_int_equal(pkt_check_ok(&k), pkt_check_ok(&before));
			before = k;
			assert_int_equal(rewrite(false, &both),
					 done & ~(unsigned)(FROB_MSS | FROB_WSCALE));
			assert_untouched();
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_worked_ipv4_syn_becomes_the_worked_result),
		cmocka_unit_test(
			a_worked_qinq_ipv6_syn_ack_with_odd_options_becomes_the_worked_result),
		cmocka_unit_test(mss_is_lowered_to_mtu_less_40_or_60),
		cmocka_unit_test(mss_is_never_raised),
		cmocka_unit_test(ip_options_do_not_lower_mss_further),
		cmocka_unit_test(an_mtu_smaller_than_the_headers_changes_nothing),
		cmocka_unit_test(wscale_is_replaced_and_counted_only_if_it_changed),
		cmocka_unit_test(wscale_zero_is_a_scale_and_not_off),
		cmocka_unit_test(wscale_is_never_inserted),
		cmocka_unit_test(a_scale_beyond_14_is_never_written),
		cmocka_unit_test(rules_that_are_off_change_nothing),
		cmocka_unit_test(syn_with_data_is_rewritten_and_its_data_kept),
		cmocka_unit_test(checksums_are_right_at_every_offset_of_the_options),
		cmocka_unit_test(checksums_are_right_for_every_value_before_and_after),
		cmocka_unit_test(a_wrong_checksum_stays_wrong_by_the_same_amount),
		cmocka_unit_test(a_partial_checksum_stays_as_it_is),
		cmocka_unit_test(only_a_syn_without_rst_is_a_syn),
		cmocka_unit_test(every_stack_of_tags_and_extension_headers_is_passed),
		cmocka_unit_test(padding_behind_the_packet_is_not_read_as_options),
		cmocka_unit_test(fragments_are_left_alone_the_first_too),
		cmocka_unit_test(a_wrong_option_length_is_left_and_told_and_the_others_rewritten),
		cmocka_unit_test(what_stands_before_a_malformed_option_is_rewritten),
		cmocka_unit_test(what_stands_behind_eol_is_left),
		cmocka_unit_test(a_data_offset_that_cannot_be_is_malformed),
		cmocka_unit_test(each_of_two_mss_options_is_lowered),
		cmocka_unit_test(authenticated_options_are_left_alone),
		cmocka_unit_test(tcp_md5_does_not_cover_options_so_they_are_rewritten),
		cmocka_unit_test(what_is_not_tcp_is_left_alone),
		cmocka_unit_test(a_frame_cut_anywhere_is_left_as_it_is),
		cmocka_unit_test(an_ip_packet_cut_inside_tcp_is_malformed_and_left),
		cmocka_unit_test(a_flipped_bit_never_lets_more_than_the_options_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
