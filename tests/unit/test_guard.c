// SPDX-License-Identifier: GPL-3.0-or-later
/* test_guard.c - announcements, reflections and storms are told from what only looks like them */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/packets.h"
#include "tunnel/guard.h"

#include <stdlib.h>

#define SECOND 1000000000ull

static struct pkt k;
static struct reflect r;

/* Announcements -------------------------------------------------------------- */

/* Parses and judges bytes in a block of their own size, so that a read beyond them is found. */
static bool bytes_announce(const uint8_t *data, size_t len)
{
	uint8_t *exact = malloc(len);
	struct packet p;
	bool yes;

	assert_non_null(exact);
	memcpy(exact, data, len);
	packet_parse(exact, len, &p);
	yes = guard_announces(exact, (uint32_t)len, &p);
	free(exact);
	return yes;
}

static bool announces(const char *hex)
{
	uint8_t data[256] = {0};

	return bytes_announce(data, pkt_hex(data, sizeof(data), hex));
}

#define ETH	  "ffffffffffff 020000000001 "
#define ETH_VLAN  ETH "8100 0007 "
#define ETH_QINQ  ETH "88a8 0003 8100 0007 "
#define REQUEST	  "0806 0001 0800 06 04 0001 "
#define REPLY	  "0806 0001 0800 06 04 0002 "
#define SENDER	  "020000000001 c0a80005 "
#define PROBER	  "020000000001 00000000 "
#define TO_ITSELF "000000000000 c0a80005"
#define TO_OTHER  "000000000000 c0a80009"

static void rarp_announces(void **state)
{
	assert_true(announces(ETH "8035 0001 0800 06 04 0003 020000000001 00000000 020000000001 "
				  "00000000"));
	assert_true(announces(ETH_VLAN "8035 0001 0800 06 04 0003"));
}

static void gratuitous_arp_announces_as_request_and_as_reply(void **state)
{
	assert_true(announces(ETH REQUEST SENDER TO_ITSELF));
	assert_true(announces(ETH REPLY SENDER TO_ITSELF));
	/* The target's hardware address is said to be anything. */
	assert_true(announces(ETH REPLY SENDER "020000000001 c0a80005"));
	assert_true(announces(ETH REQUEST SENDER "ffffffffffff c0a80005"));
	assert_true(announces(ETH REQUEST SENDER TO_ITSELF "000000000000000000000000000000000000"));
}

static void gratuitous_arp_announces_behind_vlan_tags(void **state)
{
	assert_true(announces(ETH_VLAN REQUEST SENDER TO_ITSELF));
	assert_true(announces(ETH_QINQ REPLY SENDER TO_ITSELF));
}

static void an_ordinary_arp_does_not_announce(void **state)
{
	assert_false(announces(ETH REQUEST SENDER TO_OTHER));
	assert_false(announces(ETH REPLY SENDER TO_OTHER));
	assert_false(announces(ETH_VLAN REQUEST SENDER TO_OTHER));
}

/* RFC 5227: who probes does not have the address yet, and may never get it. */
static void an_arp_probe_does_not_announce(void **state)
{
	assert_false(announces(ETH REQUEST PROBER TO_ITSELF));
	assert_false(announces(ETH REQUEST PROBER "000000000000 00000000"));
}

static void arp_that_is_cut_or_not_of_ipv4_does_not_announce(void **state)
{
	uint8_t data[64] = {0};
	size_t len = pkt_hex(data, sizeof(data), ETH REQUEST SENDER TO_ITSELF), n;

	assert_true(bytes_announce(data, len));
	for (n = 0; n < len; n++)
		assert_false(bytes_announce(data, n));
	assert_false(announces(ETH "0806 0001 86dd 06 04 0001 " SENDER TO_ITSELF));
	assert_false(announces(ETH "0806 0001 0800 06 10 0001 " SENDER TO_ITSELF));
	assert_false(announces(ETH "0806 0001 0800 08 04 0001 " SENDER TO_ITSELF));
}

/* A neighbour advertisement of fd00::1 with @flags, or another ICMPv6 message of @type. */
static void begin_icmpv6(unsigned type, unsigned flags, size_t len)
{
	uint8_t *icmp;

	pkt_begin(&k);
	pkt_ipv6(&k);
	k.data[k.next_at] = 58;
	icmp = pkt_push(&k, NULL, len);
	icmp[0] = (uint8_t)type;
	if (len > 4)
		icmp[4] = (uint8_t)flags;
	pkt_finish_ip(&k);
}

static bool icmpv6_announces(unsigned type, unsigned flags, size_t len)
{
	begin_icmpv6(type, flags, len);
	return bytes_announce(k.data, k.len);
}

static void an_unsolicited_neighbour_advertisement_announces(void **state)
{
	assert_true(icmpv6_announces(136, 0x20, 24));
	assert_true(icmpv6_announces(136, 0x00, 32));
	assert_true(icmpv6_announces(136, 0xa0, 32));
}

static void a_solicited_advertisement_and_other_icmpv6_do_not(void **state)
{
	assert_false(icmpv6_announces(136, 0x60, 24));
	assert_false(icmpv6_announces(136, 0x40, 32));
	assert_false(icmpv6_announces(135, 0x20, 24)); /* solicitation */
	assert_false(icmpv6_announces(134, 0x20, 24)); /* router advertisement */
	assert_false(icmpv6_announces(128, 0x20, 24)); /* echo */
}

static void an_advertisement_that_is_cut_does_not_announce(void **state)
{
	size_t len;

	for (len = 0; len < 24; len++) {
		assert_false(icmpv6_announces(136, 0x20, len));
		/* Padding is no part of it. */
		pkt_push(&k, NULL, 60);
		assert_false(bytes_announce(k.data, k.len));
	}
}

static void an_advertisement_announces_behind_tags_and_extension_headers(void **state)
{
	uint8_t *icmp;

	pkt_begin(&k);
	pkt_vlan(&k, 0x8100, 7);
	pkt_ipv6(&k);
	pkt_ext(&k, 0, 8);
	k.data[k.next_at] = 58;
	icmp = pkt_push(&k, NULL, 24);
	icmp[0] = 136;
	pkt_finish_ip(&k);
	assert_true(bytes_announce(k.data, k.len));
	icmp[4] = 0x40;
	assert_false(bytes_announce(k.data, k.len));
}

static void other_frames_do_not_announce(void **state)
{
	pkt_begin(&k);
	pkt_ipv4(&k, NULL, 0);
	pkt_tcp(&k, PKT_SYN, NULL, 0);
	pkt_finish(&k);
	assert_false(bytes_announce(k.data, k.len));
	/* ICMP of IPv4 has other types. */
	k.data[k.next_at] = 1;
	k.data[k.l4] = 136;
	k.data[k.l4 + 4] = 0;
	assert_false(bytes_announce(k.data, k.len));
	assert_false(announces(ETH "0026 424203"));
	assert_false(announces(ETH "88cc 0207 04 020000000001"));
}

/* Reflections ---------------------------------------------------------------- */

static void note(uint32_t now_ms)
{
	struct packet p;

	packet_parse(k.data, k.len, &p);
	reflect_note(&r, 63, k.data, k.len, &p, now_ms);
}

static bool seen(uint32_t now_ms)
{
	struct packet p;

	packet_parse(k.data, k.len, &p);
	return reflect_seen(&r, k.data, k.len, &p, now_ms) == 63;
}

static int forget(void **state)
{
	memset(&r, 0, sizeof(r));
	return 0;
}

static void tcp(int version, size_t payload)
{
	pkt_begin(&k);
	if (version == 6)
		pkt_ipv6(&k);
	else
		pkt_ipv4(&k, NULL, 0);
	pkt_tcp(&k, PKT_ACK, NULL, 0);
	pkt_pattern(&k, payload);
	pkt_finish(&k);
}

static void udp(int version, size_t payload)
{
	pkt_begin(&k);
	if (version == 6)
		pkt_ipv6(&k);
	else
		pkt_ipv4(&k, NULL, 0);
	pkt_udp(&k);
	pkt_pattern(&k, payload);
	pkt_finish(&k);
}

static void arp(uint8_t target)
{
	k.len = (uint32_t)pkt_hex(k.data, sizeof(k.data), ETH REQUEST SENDER TO_OTHER);
	k.data[k.len - 1] = target;
}

static void a_frame_that_comes_back_is_recognised(void **state)
{
	tcp(4, 100);
	assert_false(seen(5000));
	note(5000);
	assert_true(seen(5000));
	assert_true(seen(5001));
	tcp(6, 100);
	assert_false(seen(5001));
	note(5001);
	assert_true(seen(5002));
	arp(9);
	assert_false(seen(5001));
	note(5001);
	assert_true(seen(5002));
}

static void another_frame_is_not_taken_for_it(void **state)
{
	static const unsigned differ[] = {0, 6, 11, 14 + 4, 14 + 12, 14 + 19, 34, 36, 38, 41};
	size_t i;

	tcp(4, 100);
	note(0);
	/* MACs, IP identification, addresses, ports, sequence number. */
	for (i = 0; i < sizeof(differ) / sizeof(*differ); i++) {
		k.data[differ[i]] ^= 1;
		assert_false(seen(0));
		k.data[differ[i]] ^= 1;
		assert_true(seen(0));
	}
	arp(9);
	note(0);
	arp(10);
	assert_false(seen(0));
}

static void a_reply_is_not_taken_for_a_reflection(void **state)
{
	tcp(4, 0);
	note(0);
	pkt_hex(k.data, 12, "02000000000a 02000000000b");
	pkt_hex(k.data + 26, 8, "0a000002 0a000001");
	pkt_hex(k.data + 34, 4, "0386 c000");
	assert_false(seen(0));
}

static void the_same_packet_of_another_vlan_is_another_frame(void **state)
{
	tcp(4, 100);
	note(0);
	pkt_begin(&k);
	pkt_vlan(&k, 0x8100, 7);
	pkt_ipv4(&k, NULL, 0);
	pkt_tcp(&k, PKT_ACK, NULL, 0);
	pkt_pattern(&k, 100);
	pkt_finish(&k);
	assert_false(seen(0));
	note(0);
	k.data[15] ^= 1;
	assert_false(seen(0));
}

static void padding_on_the_wire_does_not_hide_a_reflection(void **state)
{
	void (*const shorts[])(int, size_t) = {tcp, udp};
	size_t i;

	for (i = 0; i < 2; i++) {
		shorts[i](4, 0);
		note(0);
		pkt_push(&k, NULL, FRAME_MIN - k.len);
		assert_true(seen(0));
	}
	arp(9);
	note(0);
	pkt_push(&k, NULL, FRAME_MIN - k.len);
	assert_true(seen(0));
	/* A spanning tree's short frame of LLC. */
	k.len = (uint32_t)pkt_hex(k.data, sizeof(k.data), ETH "0007 424203 00000000");
	note(0);
	pkt_push(&k, NULL, FRAME_MIN - k.len);
	assert_true(seen(0));
}

static void a_super_frame_cut_on_its_way_is_recognised_by_its_first_wire_frame(void **state)
{
	int version;

	for (version = 4; version <= 6; version += 2) {
		tcp(version, 4000);
		note(0);
		tcp(version, 1448);
		assert_true(seen(0));
		tcp(version, 1000);
		assert_true(seen(0));
		udp(version, 4000);
		note(0);
		udp(version, 1400);
		assert_true(seen(0));
	}
}

static void a_partial_checksum_that_was_completed_does_not_hide_a_reflection(void **state)
{
	void (*const kinds[])(int, size_t) = {tcp, udp};
	int version;
	size_t i;

	for (version = 4; version <= 6; version += 2) {
		for (i = 0; i < 2; i++) {
			kinds[i](version, 100);
			pkt_finish_partial(&k);
			note(0);
			pkt_finish(&k);
			assert_true(seen(0));
		}
	}
}

static void fragments_of_one_packet_are_different_frames(void **state)
{
	uint32_t offset;

	for (offset = 0; offset < 3; offset++) {
		pkt_begin(&k);
		pkt_ipv4(&k, NULL, 0);
		k.data[k.next_at] = 17;
		pkt_put16(k.data + k.l3 + 6, 0x2000 + offset * 100);
		pkt_pattern(&k, 800);
		pkt_finish_ip(&k);
		assert_false(seen(0));
		note(0);
		assert_true(seen(0));
	}
}

static void a_note_is_forgotten_after_its_window(void **state)
{
	tcp(4, 100);
	note(5000);
	assert_true(seen(5000 + REFLECT_WINDOW_MS));
	assert_false(seen(5000 + REFLECT_WINDOW_MS + 1));
	assert_false(seen(5000 + 60000));
	note(70000);
	assert_true(seen(70500));
}

static void a_note_holds_across_the_wrap_of_the_clock(void **state)
{
	static const uint32_t wraps[] = {0, 1u << 20, 3u << 20};
	size_t i;

	for (i = 0; i < 3; i++) {
		forget(NULL);
		tcp(4, 100);
		note(wraps[i] - 10);
		assert_true(seen(wraps[i] + REFLECT_WINDOW_MS - 10));
		assert_false(seen(wraps[i] + REFLECT_WINDOW_MS - 9));
	}
}

/* One worker writes by its clock, another reads the reflection by its own. */
static void a_note_of_a_clock_a_little_ahead_counts(void **state)
{
	tcp(4, 100);
	note(5010);
	assert_true(seen(5000));
	tcp(6, 100);
	note(3);
	assert_true(seen(UINT32_MAX - 3));
}

static void every_length_of_frame_can_be_noted(void **state)
{
	uint8_t *exact;
	struct packet p;
	uint32_t len;

	tcp(6, 100);
	for (len = 0; len <= k.len; len++) {
		exact = malloc(len ? len : 1);
		assert_non_null(exact);
		memcpy(exact, k.data, len);
		packet_parse(exact, len, &p);
		reflect_note(&r, 0, exact, len, &p, 0);
		assert_int_equal(reflect_seen(&r, exact, len, &p, 0), 0);
		free(exact);
	}
}

/* Storms --------------------------------------------------------------------- */

static struct storm s;

static void so_many_frames_a_second_may_be_flooded(void **state)
{
	unsigned i, n = 0;

	storm_init(&s, 100, 7 * SECOND);
	for (i = 0; i < 1000; i++)
		n += storm_allows(&s, 1, 7 * SECOND);
	assert_int_equal(n, 100);
	/* Ten seconds of a flood: the burst, and the rate from then on. */
	for (i = 1; i <= 10000; i++)
		n += storm_allows(&s, 1, 7 * SECOND + i * (SECOND / 1000));
	assert_int_equal(n, 100 + 10 * 100);
}

static void a_super_frame_counts_as_its_wire_frames(void **state)
{
	storm_init(&s, 100, 0);
	assert_true(storm_allows(&s, 60, 0));
	assert_false(storm_allows(&s, 41, 0));
	assert_true(storm_allows(&s, 40, 0));
	assert_false(storm_allows(&s, 1, 0));
}

static void a_super_frame_larger_than_the_limit_passes_once_all_is_saved_up(void **state)
{
	storm_init(&s, 10, 0);
	assert_true(storm_allows(&s, 45, 0));
	assert_false(storm_allows(&s, 45, SECOND - 1));
	assert_true(storm_allows(&s, 45, SECOND));
	assert_false(storm_allows(&s, 1, SECOND));
}

static void a_limit_of_zero_lets_nothing_pass(void **state)
{
	storm_init(&s, 0, 0);
	assert_false(storm_allows(&s, 1, 0));
	assert_false(storm_allows(&s, 1, 100 * SECOND));
	assert_false(storm_allows(&s, 45, UINT64_MAX));
}

#define FLOODERS 4
#define FLOOD	 20000

static void *flood(void *allowed)
{
	unsigned *n = allowed, i;

	for (i = 0; i < FLOOD; i++)
		*n += storm_allows(&s, 1, i % 2 ? 1000 : 0);
	return NULL;
}

static void workers_share_one_limit(void **state)
{
	unsigned allowed[FLOODERS] = {0}, all = 0, i;
	pthread_t threads[FLOODERS];

	storm_init(&s, 10000, 0);
	for (i = 0; i < FLOODERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, flood, &allowed[i]), 0);
	for (i = 0; i < FLOODERS; i++) {
		pthread_join(threads[i], NULL);
		all += allowed[i];
	}
	assert_int_equal(all, 10000);
}

#define reflects(test) cmocka_unit_test_setup(test, forget)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rarp_announces),
		cmocka_unit_test(gratuitous_arp_announces_as_request_and_as_reply),
		cmocka_unit_test(gratuitous_arp_announces_behind_vlan_tags),
		cmocka_unit_test(an_ordinary_arp_does_not_announce),
		cmocka_unit_test(an_arp_probe_does_not_announce),
		cmocka_unit_test(arp_that_is_cut_or_not_of_ipv4_does_not_announce),
		cmocka_unit_test(an_unsolicited_neighbour_advertisement_announces),
		cmocka_unit_test(a_solicited_advertisement_and_other_icmpv6_do_not),
		cmocka_unit_test(an_advertisement_that_is_cut_does_not_announce),
		cmocka_unit_test(an_advertisement_announces_behind_tags_and_extension_headers),
		cmocka_unit_test(other_frames_do_not_announce),
		reflects(a_frame_that_comes_back_is_recognised),
		reflects(another_frame_is_not_taken_for_it),
		reflects(a_reply_is_not_taken_for_a_reflection),
		reflects(the_same_packet_of_another_vlan_is_another_frame),
		reflects(padding_on_the_wire_does_not_hide_a_reflection),
		reflects(a_super_frame_cut_on_its_way_is_recognised_by_its_first_wire_frame),
		reflects(a_partial_checksum_that_was_completed_does_not_hide_a_reflection),
		reflects(fragments_of_one_packet_are_different_frames),
		reflects(a_note_is_forgotten_after_its_window),
		reflects(a_note_holds_across_the_wrap_of_the_clock),
		reflects(a_note_of_a_clock_a_little_ahead_counts),
		reflects(every_length_of_frame_can_be_noted),
		cmocka_unit_test(so_many_frames_a_second_may_be_flooded),
		cmocka_unit_test(a_super_frame_counts_as_its_wire_frames),
		cmocka_unit_test(a_super_frame_larger_than_the_limit_passes_once_all_is_saved_up),
		cmocka_unit_test(a_limit_of_zero_lets_nothing_pass),
		cmocka_unit_test(workers_share_one_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
