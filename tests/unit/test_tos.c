// SPDX-License-Identifier: GPL-3.0-or-later
/* test_tos.c - class and congestion between inner and outer packets, every cell of RFC 6040's table
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/cksum.h"
#include "tunnel/tos.h"

#include <string.h>

#define DSCP 0xb8 /* EF, RFC 3246 */

/* IPv4 and IPv6, UDP, behind no, one or two VLAN tags; the checksum is that of the octet 0xb8. */
static const uint8_t ipv4[] = {0x45, 0xb8, 0x00, 0x1d, 0x12, 0x34, 0x40, 0x00, 0x40, 0x11,
			       0x00, 0x00, 0x0a, 0x4d, 0x00, 0x01, 0x0a, 0x4d, 0x00, 0x02,
			       0x30, 0x39, 0x30, 0x39, 0x00, 0x09, 0x00, 0x00, 0x41};
static const uint8_t ipv6[] = {
	0x6b, 0x8a, 0xbc, 0xde, 0x00, 0x09, 0x11, 0x40, 0xfd, 0x77, 0,	  0,	0,   0, 0, 0, 0, 0,
	0,    0,    0,	  0,	0,    1,    0xfd, 0x77, 0,    0,    0,	  0,	0,   0, 0, 0, 0, 0,
	0,    0,    0,	  2,	0x30, 0x39, 0x30, 0x39, 0x00, 0x09, 0x00, 0x01, 0x41};

static uint8_t frame[100];
static uint32_t len, l3;

/* Makes a frame with this octet, its header checksum right. */
static void make(bool v6, unsigned vlans, uint8_t octet)
{
	uint32_t i, at = 12;

	memset(frame, 2, 12);
	for (i = 0; i < vlans; i++, at += 4)
		memcpy(frame + at, "\x81\x00\x00\x0a", 4);
	store_be16(frame + at, v6 ? 0x86dd : 0x0800);
	l3 = at + 2;
	len = l3 + (v6 ? sizeof(ipv6) : sizeof(ipv4));
	memcpy(frame + l3, v6 ? ipv6 : ipv4, len - l3);
	if (v6) {
		frame[l3] = (uint8_t)(0x60 | octet >> 4);
		frame[l3 + 1] = (uint8_t)(octet << 4 | 0xa);
	} else {
		frame[l3 + 1] = octet;
		store_be16(frame + l3 + 10, cksum_fold(cksum_add(0, frame + l3, 20)));
	}
}

static uint8_t octet_now(void)
{
	struct packet p;

	assert_int_equal(packet_parse(frame, len, &p), PACKET_OK);
	return tos_of(frame, &p);
}

static void the_octet_is_read_behind_any_vlan_tags(void **state)
{
	unsigned v6, vlans, octet;

	for (v6 = 0; v6 < 2; v6++)
		for (vlans = 0; vlans < 3; vlans++)
			for (octet = 0; octet < 256; octet++) {
				make(v6, vlans, (uint8_t)octet);
				assert_int_equal(octet_now(), octet);
			}
}

static void what_is_not_ip_has_no_class_and_stays_as_it_is(void **state)
{
	uint8_t before[sizeof(frame)];
	struct packet p;

	make(false, 0, 0xff);
	store_be16(frame + 12, 0x88b5);
	packet_parse(frame, len, &p);
	assert_int_equal(tos_of(frame, &p), 0);
	memcpy(before, frame, sizeof(frame));
	assert_true(tos_decapsulate(frame, len, ECN_CE));
	assert_memory_equal(frame, before, sizeof(frame));
}

static void congestion_leaves_the_tunnel_as_rfc_6040_has_it(void **state)
{
	/* Figure 4, rows and columns in the order Not-ECT, ECT(0), ECT(1), CE; -1: drop */
	static const uint8_t order[4] = {0, 2, 1, 3};
	static const int table[4][4] = {{0, 0, 0, -1}, {2, 2, 1, 3}, {1, 1, 1, 3}, {3, 3, 3, 3}};
	unsigned v6, vlans, in, out;
	uint8_t before[sizeof(frame)];

	for (v6 = 0; v6 < 2; v6++)
		for (vlans = 0; vlans < 3; vlans++)
			for (in = 0; in < 4; in++)
				for (out = 0; out < 4; out++) {
					int want = table[in][out];

					make(v6, vlans, DSCP | order[in]);
					memcpy(before, frame, sizeof(frame));
					assert_int_equal(
						tos_decapsulate(frame, len, DSCP | order[out]),
						want >= 0);
					if (want < 0) {
						assert_memory_equal(frame, before, sizeof(frame));
						continue;
					}
					assert_int_equal(octet_now(), DSCP | want);
					make(v6, vlans, (uint8_t)(DSCP | want));
					memcpy(before, frame, sizeof(frame));
					make(v6, vlans, DSCP | order[in]);
					tos_decapsulate(frame, len, order[out]);
					assert_memory_equal(frame, before, len); /* checksum too */
				}
}

static void a_wrong_header_checksum_stays_wrong(void **state)
{
	make(false, 0, ECN_ECT0);
	frame[l3 + 10] ^= 0x55;
	assert_true(tos_decapsulate(frame, len, ECN_CE));
	assert_int_not_equal(cksum_fold(cksum_add(0, frame + l3, 20)), 0);
}

static void what_is_cut_short_is_not_read_beyond(void **state)
{
	uint8_t exact[sizeof(frame)];
	uint32_t n;

	make(false, 1, ECN_ECT0);
	for (n = ETH_HDR_LEN; n < len; n++) {
		memcpy(exact + sizeof(exact) - n, frame, n);
		tos_decapsulate(exact + sizeof(exact) - n, n, ECN_CE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_octet_is_read_behind_any_vlan_tags),
		cmocka_unit_test(what_is_not_ip_has_no_class_and_stays_as_it_is),
		cmocka_unit_test(congestion_leaves_the_tunnel_as_rfc_6040_has_it),
		cmocka_unit_test(a_wrong_header_checksum_stays_wrong),
		cmocka_unit_test(what_is_cut_short_is_not_read_beyond),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
