// SPDX-License-Identifier: GPL-3.0-or-later
/* test_hint.c - who is told that a packet is too long, and in which bytes; no sockets */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/cksum.h"
#include "tunnel/hint.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* 10.77.0.1 to 10.77.0.2, UDP, DF, and fd77::1 to fd77::2; from 02:…:0a:01 to 02:…:0b:01 */
static const uint8_t ethernet[] = {2, 0, 0, 0, 0x0b, 1, 2, 0, 0, 0, 0x0a, 1};
static const uint8_t ipv4[] = {0x45, 0, 0,  0,	0x12, 0x34, 0x40, 0,  64, 17,
			       0,    0, 10, 77, 0,    1,    10,	  77, 0,  2};
static const uint8_t ipv6[] = {0x60, 0, 0, 0, 0, 0, 17, 64, 0xfd, 0x77, 0,    0,    0, 0,
			       0,    0, 0, 0, 0, 0, 0,	0,  0,	  1,	0xfd, 0x77, 0, 0,
			       0,    0, 0, 0, 0, 0, 0,	0,  0,	  0,	0,    2};

static uint8_t bytes[20000], out[HINT_MAX];
static struct frame f;
static struct packet p;
static struct hint *h;

static int setup(void **state)
{
	struct err e;

	h = hint_new(&e);
	return h ? 0 : -1;
}

static int teardown(void **state)
{
	hint_free(h);
	return 0;
}

/* Makes a frame with @len bytes of IP packet. */
static uint8_t *make(bool v6, unsigned vlans, uint32_t len)
{
	uint32_t l3 = ETH_HDR_LEN + 4 * vlans, i;
	uint8_t *ip = bytes + l3;

	for (i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 3);
	memcpy(bytes, ethernet, sizeof(ethernet));
	for (i = 0; i < vlans; i++)
		memcpy(bytes + 12 + 4 * i,
		       vlans == 2 && !i ? "\x88\xa8\x20\x64" : "\x81\x00\x60\x0a", 4);
	store_be16(ip - 2, v6 ? 0x86dd : 0x0800);
	memcpy(ip, v6 ? ipv6 : ipv4, v6 ? sizeof(ipv6) : sizeof(ipv4));
	if (v6)
		store_be16(ip + 4, (uint16_t)(len - sizeof(ipv6)));
	else
		store_be16(ip + 2, (uint16_t)len);
	f = (struct frame){.data = bytes, .len = l3 + len};
	return ip;
}

static void finish_ipv4(uint8_t *ip)
{
	store_be16(ip + 10, 0);
	store_be16(ip + 10, cksum_fold(cksum_add(0, ip, 20)));
}

static bool allowed(void)
{
	packet_parse(f.data, f.len, &p);
	return hint_allowed(&f, &p);
}

static void expect_back(uint32_t len, unsigned vlans)
{
	assert_true(len > 12);
	assert_memory_equal(out, ethernet + 6, 6);
	assert_memory_equal(out + 6, ethernet, 6);
	assert_memory_equal(out + 12, bytes + 12, 2 + 4 * vlans);
}

static void fragmentation_needed_has_these_bytes_in_any_vlan(void **state)
{
	static const uint8_t head[] = {0x45, 0xc0, 0x02, 0x40, 0, 0, 0x40, 0,	64, 1,
				       0,    0,	   10,	 77,   0, 2, 10,   77,	0,  1,
				       3,    4,	   0,	 0,    0, 0, 0x05, 0x2a};
	unsigned vlans;
	uint8_t *ip;

	for (vlans = 0; vlans < 3; vlans++) {
		ip = make(false, vlans, 1500);
		finish_ipv4(ip);
		assert_true(allowed());
		assert_int_equal(hint_build(h, &f, &p, 1322, out), p.l3 + HINT_IPV4_MAX);
		expect_back(HINT_IPV4_MAX, vlans);
		ip = out + p.l3;
		assert_int_equal(cksum_fold(cksum_add(0, ip, 20)), 0);
		assert_int_equal(cksum_fold(cksum_add(0, ip + 20, HINT_IPV4_MAX - 20)), 0);
		assert_memory_equal(ip + 28, bytes + p.l3, HINT_IPV4_MAX - 28);
		ip[10] = ip[11] = ip[22] = ip[23] = 0;
		assert_memory_equal(ip, head, sizeof(head));
	}
}

static void packet_too_big_has_these_bytes_in_any_vlan(void **state)
{
	static const uint8_t icmp[] = {2, 0, 0, 0, 0, 0, 0x05, 0x2a};
	struct packet layers;
	unsigned vlans;
	uint8_t *ip;

	for (vlans = 0; vlans < 3; vlans++) {
		make(true, vlans, 1500);
		assert_true(allowed());
		assert_int_equal(hint_build(h, &f, &p, 1322, out), p.l3 + HINT_IPV6_MAX);
		expect_back(HINT_IPV6_MAX, vlans);
		assert_int_equal(packet_parse(out, p.l3 + HINT_IPV6_MAX, &layers), PACKET_OK);
		assert_int_equal(layers.proto, 58);
		ip = out + p.l3;
		assert_int_equal(load_be16(ip + 4), HINT_IPV6_MAX - 40);
		assert_memory_equal(ip + 8, ipv6 + 24, 16);
		assert_memory_equal(ip + 24, ipv6 + 8, 16);
		assert_int_equal(
			cksum_fold(cksum_add(cksum_pseudo(out, &layers, HINT_IPV6_MAX - 40),
					     ip + 40, HINT_IPV6_MAX - 40)),
			0);
		assert_memory_equal(ip + 48, bytes + p.l3, HINT_IPV6_MAX - 48);
		ip[42] = ip[43] = 0;
		assert_memory_equal(ip + 40, icmp, sizeof(icmp));
	}
}

static void a_super_frame_is_quoted_as_its_first_wire_frame(void **state)
{
	uint8_t *ip = make(false, 0, 10000), *quoted;

	ip[9] = 6;
	memset(ip + 20, 0, 20);
	store_be32(ip + 24, 0x01020304); /* sequence number: what its host looks for */
	ip[32] = 5 << 4;
	ip[33] = 0x10;
	finish_ipv4(ip);
	f.vnet = (struct virtio_net_hdr){.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
					 .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
					 .gso_size = 1460,
					 .hdr_len = 54,
					 .csum_start = 34,
					 .csum_offset = 16};
	assert_true(allowed());
	assert_int_equal(hint_build(h, &f, &p, 1322, out), ETH_HDR_LEN + HINT_IPV4_MAX);
	quoted = out + ETH_HDR_LEN + 28;
	assert_int_equal(load_be16(quoted + 2), 1500);
	assert_int_equal(cksum_fold(cksum_add(0, quoted, 20)), 0);
	assert_int_equal(load_be32(quoted + 24), 0x01020304);
	f.vnet.gso_type = 77;
	assert_int_equal(hint_build(h, &f, &p, 1322, out), 0);
}

static void an_ipv4_sender_that_allows_fragments_is_not_told(void **state)
{
	uint8_t *ip = make(false, 0, 1500);

	ip[6] = 0;
	assert_false(allowed());
	ip[6] = 0x60; /* DF, more fragments: the first one */
	assert_true(allowed());
	ip[7] = 1; /* a later one */
	assert_false(allowed());
}

static void errors_are_not_answered_and_queries_are(void **state)
{
	static const uint8_t errors4[] = {3, 4, 5, 11, 12}, queries4[] = {0, 8, 13, 14};
	uint8_t *ip = make(false, 0, 1500);
	unsigned i;

	ip[9] = 1;
	for (i = 0; i < sizeof(errors4); i++) {
		ip[20] = errors4[i];
		assert_false(allowed());
	}
	for (i = 0; i < sizeof(queries4); i++) {
		ip[20] = queries4[i];
		assert_true(allowed());
	}
	ip = make(true, 0, 1500);
	ip[6] = 58;
	for (i = 0; i < 256; i++) {
		ip[40] = (uint8_t)i;
		assert_int_equal(allowed(), i >= 128 && i != 137);
	}
}

static void only_packets_between_two_hosts_are_answered(void **state)
{
	static const uint8_t bad4[][4] = {{0, 0, 0, 0},	       {0, 1, 2, 3},   {127, 0, 0, 1},
					  {224, 0, 0, 1},      {239, 1, 2, 3}, {240, 0, 0, 1},
					  {255, 255, 255, 255}};
	static const uint8_t bad6[][16] = {{0}, {0xff, 2}, {0xff, 0x0e}};
	unsigned i, at;
	uint8_t *ip;

	for (i = 0; i < sizeof(bad4) / sizeof(*bad4); i++)
		for (at = 12; at <= 16; at += 4) {
			ip = make(false, 0, 1500);
			memcpy(ip + at, bad4[i], 4);
			assert_false(allowed());
		}
	for (i = 0; i < sizeof(bad6) / sizeof(*bad6); i++)
		for (at = 8; at <= 24; at += 16) {
			ip = make(true, 0, 1500);
			memcpy(ip + at, bad6[i], 16);
			assert_false(allowed());
		}
	make(false, 0, 1500);
	bytes[0] |= 1; /* a group on layer 2 */
	assert_false(allowed());
}

static void what_is_no_whole_ip_packet_is_not_answered(void **state)
{
	uint8_t *ip = make(false, 0, 1500);

	store_be16(bytes + 12, 0x88b5);
	assert_false(allowed());
	ip = make(false, 0, 1500);
	f.len = ETH_HDR_LEN + 100;
	assert_false(allowed());
	ip[9] = 1;
	make(true, 0, 1500)[6] = 58;
	f.len = ETH_HDR_LEN + 40;
	assert_false(allowed());
}

/* Whatever a LAN sends: no crash, nothing beyond the buffer, and every answer adds up. */
static void random_frames_are_answered_within_bounds(void **state)
{
	unsigned i, n, answered = 0;
	struct packet layers;
	uint32_t len;
	uint8_t *ip;

	srand(3);
	for (i = 0; i < 20000; i++) {
		ip = make(i & 1, (unsigned)rand() % 3, 100 + (uint32_t)rand() % 9000);
		for (n = (unsigned)rand() % 4; n; n--)
			bytes[(unsigned)rand() % 80] = (uint8_t)rand();
		if (!(i & 1) && rand() % 2)
			finish_ipv4(ip);
		if (!allowed())
			continue;
		len = hint_build(h, &f, &p, 1280 + (uint32_t)rand() % 200, out);
		assert_true(len <= HINT_MAX);
		if (!len)
			continue;
		assert_int_equal(packet_parse(out, len, &layers), PACKET_OK);
		assert_int_equal(layers.l3_end, len);
		answered++;
	}
	assert_true(answered > 5000);
}

static void building_opens_no_socket(void **state)
{
	int before = dup(0), after;
	struct hint *another;
	struct err e;

	close(before);
	another = hint_new(&e);
	assert_non_null(another);
	after = dup(0);
	close(after);
	assert_int_equal(before, after);
	hint_free(another);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fragmentation_needed_has_these_bytes_in_any_vlan),
		cmocka_unit_test(packet_too_big_has_these_bytes_in_any_vlan),
		cmocka_unit_test(a_super_frame_is_quoted_as_its_first_wire_frame),
		cmocka_unit_test(an_ipv4_sender_that_allows_fragments_is_not_told),
		cmocka_unit_test(errors_are_not_answered_and_queries_are),
		cmocka_unit_test(only_packets_between_two_hosts_are_answered),
		cmocka_unit_test(what_is_no_whole_ip_packet_is_not_answered),
		cmocka_unit_test(random_frames_are_answered_within_bounds),
		cmocka_unit_test(building_opens_no_socket),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
