// SPDX-License-Identifier: GPL-3.0-or-later
/* test_cksum.c - the Internet checksum against published vectors and a naive one */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/cksum.h"
#include "tests/unit/packets.h"

#include <stdlib.h>

static struct pkt k;

static uint16_t cksum(const void *data, size_t len)
{
	return cksum_fold(cksum_add(0, data, len));
}

static uint32_t random32(void)
{
	static uint64_t x = 88172645463325252u;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return (uint32_t)(x >> 16);
}

static void rfc_1071s_example_sums_to_ddf2(void **state)
{
	static const uint8_t bytes[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};

	assert_int_equal(cksum(bytes, sizeof(bytes)), 0xffff - 0xddf2);
}

static void rfc_1624s_example_gives_zero(void **state)
{
	/* Section 4: equation 3 gives 0x0000, where RFC 1141 gave 0xffff. */
	assert_int_equal(cksum_replace16(0xdd2f, 0x5555, 0x3285), 0x0000);
}

static void a_known_ipv4_header_has_its_known_checksum(void **state)
{
	uint8_t ip[20];

	pkt_hex(ip, sizeof(ip), "45000073 00004000 40110000 c0a80001 c0a800c7");
	assert_int_equal(cksum(ip, sizeof(ip)), 0xb861);
	store_be16(ip + 10, 0xb861);
	assert_int_equal(cksum(ip, sizeof(ip)), 0);
}

static void nothing_sums_to_nothing(void **state)
{
	static const uint8_t zeros[100];

	assert_int_equal(cksum_add(0, zeros, 0), 0);
	assert_int_equal(cksum_add(0, NULL, 0), 0);
	assert_int_equal(cksum_add(0, zeros, sizeof(zeros)), 0);
	assert_int_equal(cksum(zeros, sizeof(zeros)), 0xffff);
}

static void every_length_at_every_alignment_equals_the_naive_sum(void **state)
{
	uint8_t *bytes = malloc(400);

	for (size_t i = 0; i < 400; i++)
		bytes[i] = (uint8_t)random32();
	for (size_t from = 0; from < 33; from++)
		for (size_t len = 0; len <= 300; len++)
			assert_int_equal(cksum(bytes + from, len),
					 0xffff - pkt_sum(0, bytes + from, len));
	free(bytes);
}

static void the_longest_and_largest_packet_does_not_overflow(void **state)
{
	uint8_t *ones = malloc(FRAME_MAX);
	uint32_t sum = 0;

	memset(ones, 0xff, FRAME_MAX);
	assert_int_equal(cksum(ones, FRAME_MAX), 0xffff - pkt_sum(0, ones, FRAME_MAX));
	for (int i = 0; i < 1000; i++)
		sum = cksum_add(sum, ones, FRAME_MAX - 1);
	assert_int_equal(cksum_fold(sum), 0);
	assert_int_equal(cksum_fold(cksum_add(UINT32_MAX, ones, 2)), 0);
	free(ones);
}

static void chunks_of_even_length_chain(void **state)
{
	uint8_t bytes[1501];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)random32();
	for (size_t cut = 0; cut <= 200; cut += 2) {
		uint32_t sum = cksum_add(0, bytes, cut);

		sum = cksum_add(sum, bytes + cut, sizeof(bytes) - cut);
		assert_int_equal(cksum_fold(sum), cksum(bytes, sizeof(bytes)));
	}
}

static void replacing_a_word_equals_summing_again(void **state)
{
	for (int i = 0; i < 200000; i++) {
		uint8_t bytes[6];
		uint16_t before, old, new_ = (uint16_t)random32();

		store_be32(bytes, random32());
		store_be16(bytes + 4, 0x4500); /* like any packet, not all zero */
		if (i % 8 == 0)
			new_ = i % 16 ? 0xffff : 0;
		old = load_be16(bytes);
		before = cksum(bytes, sizeof(bytes));
		store_be16(bytes, new_);
		assert_int_equal(cksum_replace16(before, old, new_), cksum(bytes, sizeof(bytes)));
	}
}

static void replacing_a_word_by_itself_changes_nothing(void **state)
{
	/* All but 0xffff, the other zero, which no packet with a byte set can have. */
	for (unsigned check = 0; check < 0xffff; check++)
		assert_int_equal(cksum_replace16((uint16_t)check, 0x1234, 0x1234), check);
}

static void pseudo_headers_complete_known_packets(void **state)
{
	static const char *const packets[] = {
		"02000000000b 02000000000a 0800 45000024 00000000 40118e8d c0000201 c6336407"
		"1388 1770 0010 2ff5 6c6f6e676861756c",
		"02000000000b 02000000000a 86dd 60000000 000b1140 fe800000000000000000000000000001"
		"fe800000000000000000000000000002 0001 0002 000b 2f6c 6f6464",
		"02000000000b 02000000000a 0800 4500003c 1c464000 4006323a c0000201 c6336407"
		"a002 0386 a0b1c2d3 00000000 a002 8218 ce9e 0000"
		"020405b4 01 030300 0402 080a0102030400000000",
	};

	for (size_t i = 0; i < 3; i++) {
		uint8_t f[128];
		size_t len = pkt_hex(f, sizeof(f), packets[i]);
		struct packet p;
		uint32_t sum;

		assert_int_equal(packet_parse(f, len, &p), PACKET_OK);
		sum = cksum_pseudo(f, &p, p.l3_end - p.l4);
		assert_int_equal(cksum_fold(cksum_add(sum, f + p.l4, p.l3_end - p.l4)), 0);
	}
}

static void a_pseudo_header_counts_lengths_beyond_16_bits(void **state)
{
	struct packet p;

	pkt_begin(&k);
	pkt_ipv6(&k);
	pkt_tcp(&k, PKT_ACK, NULL, 0);
	pkt_finish(&k);
	assert_int_equal(packet_parse(k.data, k.len, &p), PACKET_OK);
	/* 0x12345 is the words 0x0001 and 0x2345. */
	assert_int_equal(cksum_fold(cksum_pseudo(k.data, &p, 0x12345)),
			 cksum_fold(cksum_pseudo(k.data, &p, 0x2346)));
}

static struct frame partial_frame(unsigned csum_offset)
{
	return (struct frame){
		.data = k.data,
		.len = k.len,
		.vnet = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
			 .csum_start = (uint16_t)k.l4,
			 .csum_offset = (uint16_t)csum_offset},
	};
}

static void partial_checksums_are_completed(void **state)
{
	for (int which = 0; which < 8; which++) {
		for (size_t payload = 0; payload < 70; payload++) {
			struct frame f;

			pkt_begin(&k);
			if (which & 1)
				pkt_vlan(&k, 0x8100, 5);
			if (which & 2)
				pkt_ipv6(&k);
			else
				pkt_ipv4(&k, NULL, 0);
			if (which & 4)
				pkt_udp(&k);
			else
				pkt_tcp(&k, PKT_ACK, NULL, 12);
			pkt_pattern(&k, payload);
			pkt_finish_partial(&k);
			assert_false(pkt_check_ok(&k));

			f = partial_frame(which & 4 ? 6 : 16);
			assert_true(cksum_complete(&f));
			assert_true(pkt_check_ok(&k));
			assert_int_equal(f.vnet.flags, 0);
			assert_int_equal(f.vnet.csum_start, 0);
		}
	}
}

static void padding_does_not_change_a_completed_checksum(void **state)
{
	struct frame f;
	uint32_t len;

	pkt_begin(&k);
	pkt_ipv4(&k, NULL, 0);
	pkt_udp(&k);
	pkt_pattern(&k, 3);
	pkt_finish_partial(&k);
	len = k.len;
	pkt_push(&k, NULL, FRAME_MIN - k.len);

	f = partial_frame(6);
	assert_true(cksum_complete(&f));
	k.len = len;
	assert_true(pkt_check_ok(&k));
}

static void a_udp_checksum_of_zero_is_written_as_ffff(void **state)
{
	struct frame f;

	pkt_begin(&k);
	pkt_ipv4(&k, NULL, 0);
	pkt_udp(&k);
	pkt_push(&k, NULL, 2);
	pkt_finish(&k);
	/* The payload that makes the sum 0xffff is the checksum it had without. */
	memcpy(k.data + k.len - 2, pkt_check_field(&k), 2);
	pkt_finish_partial(&k);

	f = partial_frame(6);
	assert_true(cksum_complete(&f));
	assert_int_equal(pkt_get16(pkt_check_field(&k)), 0xffff);
}

static void a_complete_frame_is_left_as_it_is(void **state)
{
	struct frame f;
	struct pkt before;

	pkt_begin(&k);
	pkt_ipv4(&k, NULL, 0);
	pkt_udp(&k);
	pkt_finish(&k);
	before = k;
	f = partial_frame(6);
	f.vnet.flags = VIRTIO_NET_HDR_F_DATA_VALID;
	assert_true(cksum_complete(&f));
	assert_int_equal(f.vnet.flags, VIRTIO_NET_HDR_F_DATA_VALID);
	assert_memory_equal(k.data, before.data, k.len);
}

static void super_frames_are_refused(void **state)
{
	struct frame f;
	struct pkt before;

	pkt_begin(&k);
	pkt_ipv4(&k, NULL, 0);
	pkt_tcp(&k, PKT_ACK, NULL, 0);
	pkt_pattern(&k, 5000);
	pkt_finish_partial(&k);
	before = k;
	f = partial_frame(16);
	f.vnet.gso_type = VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN;
	assert_false(cksum_complete(&f));
	assert_int_equal(f.vnet.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	assert_memory_equal(k.data, before.data, k.len);
}

static void a_checksum_field_beyond_the_frame_is_refused(void **state)
{
	uint8_t *exact = calloc(1, 60);
	struct frame f = {.data = exact, .len = 60};

	for (unsigned start = 0; start < 70; start++) {
		for (unsigned offset = 0; offset < 70; offset++) {
			f.vnet.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
			f.vnet.csum_start = (uint16_t)start;
			f.vnet.csum_offset = (uint16_t)offset;
			assert_int_equal(cksum_complete(&f), start + offset + 2 <= 60);
		}
	}
	f.vnet.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	f.vnet.csum_start = 0xffff;
	f.vnet.csum_offset = 0xffff;
	assert_false(cksum_complete(&f));
	free(exact);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rfc_1071s_example_sums_to_ddf2),
		cmocka_unit_test(rfc_1624s_example_gives_zero),
		cmocka_unit_test(a_known_ipv4_header_has_its_known_checksum),
		cmocka_unit_test(nothing_sums_to_nothing),
		cmocka_unit_test(every_length_at_every_alignment_equals_the_naive_sum),
		cmocka_unit_test(the_longest_and_largest_packet_does_not_overflow),
		cmocka_unit_test(chunks_of_even_length_chain),
		cmocka_unit_test(replacing_a_word_equals_summing_again),
		cmocka_unit_test(replacing_a_word_by_itself_changes_nothing),
		cmocka_unit_test(pseudo_headers_complete_known_packets),
		cmocka_unit_test(a_pseudo_header_counts_lengths_beyond_16_bits),
		cmocka_unit_test(partial_checksums_are_completed),
		cmocka_unit_test(padding_does_not_change_a_completed_checksum),
		cmocka_unit_test(a_udp_checksum_of_zero_is_written_as_ffff),
		cmocka_unit_test(a_complete_frame_is_left_as_it_is),
		cmocka_unit_test(super_frames_are_refused),
		cmocka_unit_test(a_checksum_field_beyond_the_frame_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
