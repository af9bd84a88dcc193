// SPDX-License-Identifier: GPL-3.0-or-later
/* test_packet.c - the cursor, and where packet_parse() finds the layers of a frame */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/packet.h"
#include "tests/unit/packets.h"

#include <stdlib.h>

static struct pkt k;
static struct packet p;

static enum packet_error parse(void)
{
	return packet_parse(k.data, k.len, &p);
}

/* Parse from an allocation of exactly that size, so that ASan sees a read beyond it. */
static enum packet_error parse_exact(const uint8_t *data, size_t len)
{
	uint8_t *exact = malloc(len ? len : 1);
	enum packet_error err;

	memcpy(exact, data, len);
	err = packet_parse(exact, len, &p);
	free(exact);
	return err;
}

/* What holds for every result, whatever the bytes were. */
static void assert_sane(enum packet_error err, size_t len)
{
	assert_true(p.vlans <= 2 && p.vid <= 4095);
	assert_true(p.l3 <= len && p.l3_end <= len);
	assert_true(p.l4 <= p.l3_end && p.payload <= p.l3_end);
	assert_true(p.ip_version == 0 || p.ip_version == 4 || p.ip_version == 6);
	assert_true(!p.first_fragment || p.fragment);
	if (p.l4)
		assert_true(p.l4 > p.l3 && p.l4 < p.l3_end);
	if (p.payload)
		assert_true(!err && p.payload >= p.l4 + 8);
	if (p.ip_version == 0)
		assert_true(p.l4 == 0 && p.l3_end == 0 && p.proto == 0);
}

static void cursor_reads_big_endian_numbers_in_order(void **state)
{
	static const uint8_t bytes[] = {0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08};
	struct cursor c = cursor_of(bytes, sizeof(bytes));
	uint8_t v8;
	uint16_t v16;
	uint32_t v32;

	assert_true(cursor_u8(&c, &v8) && v8 == 0x01);
	assert_true(cursor_be16(&c, &v16) && v16 == 0x0203);
	assert_true(cursor_be32(&c, &v32) && v32 == 0x04050607);
	assert_ptr_equal(cursor_take(&c, 1), bytes + 7);
	assert_int_equal(c.pos, sizeof(bytes));
}

static void cursor_stays_where_it_is_when_too_little_is_left(void **state)
{
	static const uint8_t bytes[3] = {1, 2, 3};
	struct cursor c = cursor_of(bytes, sizeof(bytes));
	uint32_t v32 = 77;
	uint16_t v16 = 77;
	uint8_t v8 = 77;

	assert_false(cursor_be32(&c, &v32));
	assert_false(cursor_skip(&c, 4));
	assert_false(cursor_skip(&c, SIZE_MAX));
	assert_null(cursor_take(&c, SIZE_MAX - 1));
	assert_int_equal(c.pos, 0);
	assert_true(cursor_skip(&c, 2));
	assert_false(cursor_be16(&c, &v16));
	assert_int_equal(c.pos, 2);
	assert_true(cursor_skip(&c, 1));
	assert_false(cursor_u8(&c, &v8));
	assert_true(cursor_skip(&c, 0));
	assert_false(cursor_skip(&c, SIZE_MAX));
	assert_int_equal(c.pos, 3);
	assert_true(v32 == 77 && v16 == 77 && v8 == 77);
}

static void numbers_are_stored_as_they_are_loaded(void **state)
{
	uint8_t b[8];

	store_be64(b, UINT64_C(0x8122334455667788));
	assert_memory_equal(b, "\x81\x22\x33\x44\x55\x66\x77\x88", 8);
	assert_true(load_be64(b) == UINT64_C(0x8122334455667788));
	assert_int_equal(load_be32(b), 0x81223344);
	assert_int_equal(load_be16(b + 6), 0x7788);
}

static void plain_tcp_over_ipv4_is_found(void **state)
{
	pkt_begin(&k);
	pkt_ipv4(&k, NULL, 0);
	pkt_tcp(&k, PKT_ACK, NULL, 0);
	pkt_pattern(&k, 100);
	pkt_finish(&k);

	assert_int_equal(parse(), PACKET_OK);
	assert_int_equal(p.ethertype, 0x0800);
	assert_int_equal(p.vlans, 0);
	assert_int_equal(p.vid, 0);
	assert_int_equal(p.l3, 14);
	assert_int_equal(p.l4, 34);
	assert_int_equal(p.payload, 54);
	assert_int_equal(p.l3_end, 154);
	assert_int_equal(p.ip_version, 4);
	assert_int_equal(p.proto, 6);
	assert_false(p.fragment || p.first_fragment || p.ip_options || p.authenticated);
}

static void udp_over_ipv6_written_by_hand_is_found(void **state)
{
	uint8_t f[128];
	size_t len = pkt_hex(f, sizeof(f),
			     "02000000000b 02000000000a 86dd 60000000 000b 11 40"
			     "fe800000000000000000000000000001 fe800000000000000000000000000002"
			     "0001 0002 000b 2f6c 6f6464");

	assert_int_equal(packet_parse(f, len, &p), PACKET_OK);
	assert_int_equal(p.l3, 14);
	assert_int_equal(p.l4, 54);
	assert_int_equal(p.payload, 62);
	assert_int_equal(p.l3_end, 65);
	assert_int_equal(p.ip_version, 6);
	assert_int_equal(p.proto, 17);
	assert_false(p.ip_options);
}

static void padding_does_not_belong_to_the_ip_packet(void **state)
{
	pkt_begin(&k);
	pkt_ipv4(&k, NULL, 0);
	pkt_tcp(&k, PKT_ACK, NULL, 0);
	pkt_finish(&k);
	pkt_push(&k, NULL, FRAME_MIN - k.len);

	assert_int_equal(parse(), PACKET_OK);
	assert_int_equal(p.l3_end, 54);
	assert_int_equal(p.payload, 54);
}

static void ip_options_are_stepped_over_and_told(void **state)
{
	pkt_begin(&k);
	pkt_ipv4(&k, "\x94\4\0\0", 4);
	pkt_udp(&k);
	pkt_finish(&k);

	assert_int_equal(parse(), PACKET_OK);
	assert_int_equal(p.l4, 38);
	assert_int_equal(p.payload, 46);
	assert_true(p.ip_options);
}

static void every_kind_of_vlan_tag_is_stepped_over(void **state)
{
	static const unsigned tpids[] = {0x8100, 0x88a8, 0x9100};

	for (size_t i = 0; i < 3; i++) {
		pkt_begin(&k);
		pkt_vlan(&k, tpids[i], 0xe000 | 42);
		pkt_ipv4(&k, NULL, 0);
		pkt_tcp(&k, PKT_ACK, NULL, 0);
		pkt_finish(&k);
		assert_int_equal(parse(), PACKET_OK);
		assert_int_equal(p.ethertype, 0x0800);
		assert_int_equal(p.vlans, 1);
		assert_int_equal(p.vid, 42);
		assert_int_equal(p.l3, 18);
		assert_int_equal(p.l4, 38);
	}
}

static void of_two_tags_the_outer_ones_identifier_is_told(void **state)
{
	pkt_begin(&k);
	pkt_vlan(&k, 0x88a8, 100);
	pkt_vlan(&k, 0x8100, 7);
	pkt_ipv6(&k);
	pkt_tcp(&k, PKT_ACK, NULL, 0);
	pkt_finish(&k);

	assert_int_equal(parse(), PACKET_OK);
	assert_int_equal(p.vlans, 2);
	assert_int_equal(p.vid, 100);
	assert_int_equal(p.l3, 22);
	assert_int_equal(p.l4, 62);

	/* …and stays 0 if that is a priority tag. */
	pkt_put16(k.data + 14, 0xa000);
	assert_int_equal(parse(), PACKET_OK);
	assert_int_equal(p.vid, 0);
}

static void a_third_tag_is_left_as_the_ethertype(void **state)
{
	pkt_begin(&k);
	pkt_vlan(&k, 0x88a8, 100);
	pkt_vlan(&k, 0x8100, 7);
	pkt_vlan(&k, 0x8100, 8);
	pkt_ipv4(&k, NULL, 0);
	pkt_tcp(&k, PKT_SYN, NULL, 0);
	pkt_finish(&k);

	assert_int_equal(parse(), PACKET_OK);
	assert_int_equal(p.ethertype, 0x8100);
	assert_int_equal(p.vlans, 2);
	assert_int_equal(p.l3, 22);
	assert_int_equal(p.l4, 0);
	assert_int_equal(p.ip_version, 0);
}

static void what_is_not_ip_is_ok_without_layers(void **state)
{
	static const unsigned types[] = {0x0806, 0x8035, 0x88cc, 0x88b5, 0x0026, 0x05ff};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		pkt_begin(&k);
		pkt_put16(k.data + k.type_at, types[i]);
		pkt_pattern(&k, 46);
		assert_int_equal(parse(), PACKET_OK);
		assert_int_equal(p.ethertype, types[i]);
		assert_int_equal(p.l3, 14);
		assert_true(p.ip_version == 0 && p.l4 == 0 && p.l3_end == 0 && p.payload == 0);
	}
}

static void other_transports_begin_at_l4_and_have_no_payload(void **state)
{
	pkt_begin(&k);
	pkt_ipv4(&k, NULL, 0);
	k.data[k.next_at] = 1; /* ICMP */
	pkt_pattern(&k, 8);
	pkt_finish_ip(&k);

	assert_int_equal(parse(), PACKET_OK);
	assert_int_equal(p.l4, 34);
	assert_int_equal(p.payload, 0);
	assert_int_equal(p.proto, 1);

	/* An empty IP packet has no transport header at all. */
	k.len = 34;
	pkt_finish_ip(&k);
	assert_int_equal(parse(), PACKET_OK);
	assert_int_equal(p.l4, 0);
}

static void frames_shorter_than_their_tags_are_short(void **state)
{
	pkt_begin(&k);
	pkt_vlan(&k, 0x88a8, 1);
	pkt_vlan(&k, 0x8100, 2);
	pkt_put16(k.data + k.type_at, 0x0806);
	for (size_t len = 0; len < 22; len++)
		assert_int_equal(parse_exact(k.data, len), PACKET_SHORT);
	assert_int_equal(parse_exact(k.data, 22), PACKET_OK);
	assert_int_equal(packet_parse(NULL, 0, &p), PACKET_SHORT);
}

static void ipv4_total_length_beyond_the_frame_or_zero_is_cut(void **state)
{
	pkt_begin(&k);
	pkt_ipv4(&k, NULL, 0);
	pkt_tcp(&k, PKT_SYN, NULL, 0);
	pkt_finish(&k);

	pkt_put16(k.data + 16, 41);
	assert_int_equal(parse(), PACKET_L3_CUT);
	assert_int_equal(p.l4, 0);
	pkt_put16(k.data + 16, 0);
	assert_int_equal(parse(), PACKET_L3_CUT);
	pkt_put16(k.data + 16, 65535);
	assert_int_equal(parse(), PACKET_L3_CUT);
	pkt_put16(k.data + 16, 40);
	assert_int_equal(parse(), PACKET_OK);
}

static void impossible_ipv4_headers_are_invalid(void **state)
{
	pkt_begin(&k);
	pkt_ipv4(&k, NULL, 0);
	pkt_tcp(&k, PKT_SYN, NULL, 0);
	pkt_finish(&k);

	k.data[14] = 0x65;
	assert_int_equal(parse(), PACKET_L3_INVALID);
	k.data[14] = 0x44;
	assert_int_equal(parse(), PACKET_L3_INVALID);
	k.data[14] = 0x46;
	pkt_put16(k.data + 16, 20);
	assert_int_equal(parse(), PACKET_L3_INVALID);
	k.data[14] = 0x4f;
	assert_int_equal(parse(), PACKET_L3_CUT);
	assert_int_equal(p.l4, 0);
}

static void ipv4_fragments_are_told_and_later_ones_have_no_l4(void **state)
{
	pkt_begin(&k);
	pkt_ipv4(&k, NULL, 0);
	pkt_tcp(&k, PKT_SYN, NULL, 0);
	pkt_pattern(&k, 20);
	pkt_finish(&k);

	pkt_put16(k.data + 20, 0x2000);
	assert_int_equal(parse(), PACKET_OK);
	assert_true(p.fragment && p.first_fragment);
	assert_int_equal(p.l4, 34);

	pkt_put16(k.data + 20, 0x2001);
	assert_int_equal(parse(), PACKET_OK);
	assert_true(p.fragment && !p.first_fragment);
	assert_int_equal(p.l4, 0);
	assert_int_equal(p.payload, 0);
	assert_int_equal(p.proto, 6);

	pkt_put16(k.data + 20, 0x1fff);
	assert_int_equal(parse(), PACKET_OK);
	assert_true(p.fragment && !p.first_fragment && p.l4 == 0);

	pkt_put16(k.data + 20, 0xc000); /* DF and the reserved bit are not fragments */
	assert_int_equal(parse(), PACKET_OK);
	assert_true(!p.fragment && p.l4 == 34);
}

static void ipv6_extension_headers_are_stepped_over(void **state)
{
	pkt_begin(&k);
	pkt_ipv6(&k);
	pkt_ext(&k, 0, 8);
	pkt_ext(&k, 60, 16);
	pkt_ext(&k, 43, 24);
	pkt_ext(&k, 44, 8);
	pkt_ext(&k, 51, 24);
	pkt_ext(&k, 60, 8);
	pkt_tcp(&k, PKT_SYN, NULL, 0);
	pkt_finish(&k);

	assert_int_equal(parse(), PACKET_OK);
	assert_int_equal(p.l4, 14 + 40 + 88);
	assert_int_equal(p.payload, p.l4 + 20);
	assert_int_equal(p.proto, 6);
	assert_true(p.ip_options && p.authenticated);
	/* Its fragment header is atomic: offset 0, no more (RFC 6946). */
	assert_false(p.fragment);
}

static void ipv6_fragments_are_told_and_later_ones_have_no_l4(void **state)
{
	uint8_t *frag;

	pkt_begin(&k);
	pkt_ipv6(&k);
	frag = pkt_ext(&k, 44, 8);
	pkt_udp(&k);
	pkt_pattern(&k, 24);
	pkt_finish(&k);

	pkt_put16(frag + 2, 0x0001);
	assert_int_equal(parse(), PACKET_OK);
	assert_true(p.fragment && p.first_fragment && p.l4 == 62 && p.payload == 70);

	pkt_put16(frag + 2, 0x0009);
	assert_int_equal(parse(), PACKET_OK);
	assert_true(p.fragment && !p.first_fragment && p.l4 == 0 && p.proto == 17);

	/* Behind a later fragment's header stands data, even if it claims an extension header. */
	frag[0] = 60;
	frag[9] = 0xff;
	pkt_put16(frag + 2, 0x0008);
	assert_int_equal(parse(), PACKET_OK);
	assert_true(p.fragment && !p.first_fragment && p.l4 == 0 && p.proto == 60);
}

static void an_extension_header_beyond_its_packet_is_invalid(void **state)
{
	uint8_t *ext;

	pkt_begin(&k);
	pkt_ipv6(&k);
	ext = pkt_ext(&k, 0, 8);
	pkt_tcp(&k, PKT_SYN, NULL, 0);
	pkt_finish(&k);

	ext[1] = 255;
	assert_int_equal(parse(), PACKET_L3_INVALID);
	assert_int_equal(p.l4, 0);
	ext[1] = 3; /* 32 bytes, 28 are there */
	assert_int_equal(parse(), PACKET_L3_INVALID);
}

static void an_impossible_extension_chain_is_invalid(void **state)
{
	pkt_begin(&k);
	pkt_ipv6(&k);
	for (int i = 0; i < 8; i++)
		pkt_ext(&k, 60, 8);
	pkt_udp(&k);
	pkt_finish(&k);
	assert_int_equal(parse(), PACKET_OK);

	pkt_begin(&k);
	pkt_ipv6(&k);
	for (int i = 0; i < 9; i++)
		pkt_ext(&k, 60, 8);
	pkt_udp(&k);
	pkt_finish(&k);
	assert_int_equal(parse(), PACKET_L3_INVALID);

	/* Hop-by-hop options may only come first (RFC 8200 section 4.1). */
	pkt_begin(&k);
	pkt_ipv6(&k);
	pkt_ext(&k, 60, 8);
	pkt_ext(&k, 0, 8);
	pkt_udp(&k);
	pkt_finish(&k);
	assert_int_equal(parse(), PACKET_L3_INVALID);

	/* AH's fixed part alone is 12 octets: payload length 1 (RFC 4302 section 2.2). */
	pkt_begin(&k);
	pkt_ipv6(&k);
	pkt_ext(&k, 51, 8);
	pkt_udp(&k);
	pkt_finish(&k);
	assert_int_equal(parse(), PACKET_L3_INVALID);
}

static void the_longest_extension_headers_are_stepped_over(void **state)
{
	pkt_begin(&k);
	pkt_vlan(&k, 0x88a8, 1);
	pkt_vlan(&k, 0x8100, 2);
	pkt_ipv6(&k);
	for (int i = 0; i < 8; i++)
		pkt_ext(&k, 60, 2048);
	pkt_tcp(&k, PKT_ACK, NULL, 40);
	pkt_finish(&k);

	assert_int_equal(parse(), PACKET_OK);
	assert_int_equal(p.l4, 22 + 40 + 8 * 2048);
	assert_int_equal(p.payload, p.l4 + 60);
}

static void ipv6_without_next_header_has_no_l4(void **state)
{
	pkt_begin(&k);
	pkt_ipv6(&k);
	pkt_pattern(&k, 10);
	pkt_finish_ip(&k);

	assert_int_equal(parse(), PACKET_OK);
	assert_int_equal(p.proto, 59);
	assert_int_equal(p.l4, 0);

	k.data[14] = 0x40;
	assert_int_equal(parse(), PACKET_L3_INVALID);
	k.data[14] = 0x60;
	pkt_put16(k.data + 18, 11);
	assert_int_equal(parse(), PACKET_L3_CUT);
}

static void a_transport_header_beyond_the_ip_packet_is_cut(void **state)
{
	uint8_t *tcp;

	pkt_begin(&k);
	pkt_ipv4(&k, NULL, 0);
	tcp = pkt_tcp(&k, PKT_SYN, "\2\4\5\xb4", 4);
	pkt_finish(&k);
	pkt_push(&k, NULL, 40); /* the frame goes on, the packet does not */

	assert_int_equal(parse(), PACKET_OK);
	assert_int_equal(p.payload, 58);
	tcp[12] = 0x70;
	assert_int_equal(parse(), PACKET_L4_CUT);
	assert_true(p.l4 == 34 && p.payload == 0);
	tcp[12] = 0x40;
	assert_int_equal(parse(), PACKET_L4_CUT);
	tcp[12] = 0x50;
	assert_int_equal(parse(), PACKET_OK);
	pkt_put16(k.data + 16, 39);
	assert_int_equal(parse(), PACKET_L4_CUT);
	pkt_put16(k.data + 16, 20);
	assert_int_equal(parse(), PACKET_L4_CUT);
	assert_int_equal(p.l4, 0);

	k.data[23] = 17;
	pkt_put16(k.data + 16, 27);
	assert_int_equal(parse(), PACKET_L4_CUT);
	pkt_put16(k.data + 16, 28);
	assert_int_equal(parse(), PACKET_OK);
	assert_int_equal(p.payload, 42);
}

static void the_longest_super_frame_is_parsed(void **state)
{
	pkt_begin(&k);
	pkt_vlan(&k, 0x88a8, 1);
	pkt_vlan(&k, 0x8100, 2);
	pkt_ipv4(&k, NULL, 0);
	pkt_tcp(&k, PKT_ACK, NULL, 12);
	pkt_pattern(&k, 65535 - 52);
	pkt_finish(&k);

	assert_int_equal(k.len, FRAME_MAX);
	assert_int_equal(parse_exact(k.data, k.len), PACKET_OK);
	assert_int_equal(p.l3_end, FRAME_MAX);
	assert_int_equal(p.payload, 74);
}

static void each_error_has_a_name(void **state)
{
	for (int e = PACKET_OK; e <= PACKET_L4_CUT; e++)
		for (int f = PACKET_OK; f < e; f++)
			assert_string_not_equal(packet_error_name((enum packet_error)e),
						packet_error_name((enum packet_error)f));
	assert_non_null(packet_error_name((enum packet_error)99));
}

/* A few frames that exercise every branch, for the sweeps below. */
static void build_sample(int which)
{
	uint8_t *ext;

	pkt_begin(&k);
	if (which & 1) {
		pkt_vlan(&k, 0x88a8, 100);
		pkt_vlan(&k, 0x8100, 7);
	}
	if (which & 2) {
		pkt_ipv6(&k);
		pkt_ext(&k, 0, 8);
		ext = pkt_ext(&k, 44, 8);
		pkt_put16(ext + 2, which & 4 ? 0x0001 : 0);
		pkt_ext(&k, 51, 24);
		pkt_ext(&k, 60, 8);
	} else {
		pkt_ipv4(&k, "\x94\4\0\0", 4);
	}
	if (which & 4)
		pkt_udp(&k);
	else
		pkt_tcp(&k, PKT_SYN, "\2\4\5\xb4\1\3\3\7", 8);
	pkt_pattern(&k, 9);
	pkt_finish(&k);
}

static void a_frame_cut_anywhere_is_an_error_and_never_read_beyond(void **state)
{
	for (int which = 0; which < 8; which++) {
		build_sample(which);
		for (uint32_t len = 0; len < k.len; len++) {
			enum packet_error err = parse_exact(k.data, len);

			assert_sane(err, len);
			assert_int_equal(err, len < (which & 1 ? 22 : 14) ? PACKET_SHORT
									  : PACKET_L3_CUT);
			assert_int_equal(p.l4, 0);
		}
		assert_int_equal(parse_exact(k.data, k.len), PACKET_OK);
	}
}

static void a_flipped_bit_never_leads_beyond_the_frame(void **state)
{
	for (int which = 0; which < 8; which++) {
		build_sample(which);
		for (uint32_t bit = 0; bit < k.len * 8; bit++) {
			k.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_sane(parse_exact(k.data, k.len), k.len);
			k.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cursor_reads_big_endian_numbers_in_order),
		cmocka_unit_test(cursor_stays_where_it_is_when_too_little_is_left),
		cmocka_unit_test(numbers_are_stored_as_they_are_loaded),
		cmocka_unit_test(plain_tcp_over_ipv4_is_found),
		cmocka_unit_test(udp_over_ipv6_written_by_hand_is_found),
		cmocka_unit_test(padding_does_not_belong_to_the_ip_packet),
		cmocka_unit_test(ip_options_are_stepped_over_and_told),
		cmocka_unit_test(every_kind_of_vlan_tag_is_stepped_over),
		cmocka_unit_test(of_two_tags_the_outer_ones_identifier_is_told),
		cmocka_unit_test(a_third_tag_is_left_as_the_ethertype),
		cmocka_unit_test(what_is_not_ip_is_ok_without_layers),
		cmocka_unit_test(other_transports_begin_at_l4_and_have_no_payload),
		cmocka_unit_test(frames_shorter_than_their_tags_are_short),
		cmocka_unit_test(ipv4_total_length_beyond_the_frame_or_zero_is_cut),
		cmocka_unit_test(impossible_ipv4_headers_are_invalid),
		cmocka_unit_test(ipv4_fragments_are_told_and_later_ones_have_no_l4),
		cmocka_unit_test(ipv6_extension_headers_are_stepped_over),
		cmocka_unit_test(ipv6_fragments_are_told_and_later_ones_have_no_l4),
		cmocka_unit_test(an_extension_header_beyond_its_packet_is_invalid),
		cmocka_unit_test(an_impossible_extension_chain_is_invalid),
		cmocka_unit_test(the_longest_extension_headers_are_stepped_over),
		cmocka_unit_test(ipv6_without_next_header_has_no_l4),
		cmocka_unit_test(a_transport_header_beyond_the_ip_packet_is_cut),
		cmocka_unit_test(the_longest_super_frame_is_parsed),
		cmocka_unit_test(each_error_has_a_name),
		cmocka_unit_test(a_frame_cut_anywhere_is_an_error_and_never_read_beyond),
		cmocka_unit_test(a_flipped_bit_never_leads_beyond_the_frame),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
