// SPDX-License-Identifier: GPL-3.0-or-later
/* test_capture_decap.c - the TCP segment in a captured packet, whatever it is wrapped in */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "capture/segment.h"
#include "capture/source.h"
#include "tests/unit/packets.h"

static struct pkt k, inner;
static struct segment s;
static struct too_big big;

static enum decap look(const struct pkt *of, uint16_t link, uint32_t captured)
{
	/* From an allocation of exactly that size, so that ASan sees a read beyond it. */
	uint8_t *exact = malloc(captured ? captured : 1);
	struct cap_packet p = {.time_ns = 5,
			       .data = exact,
			       .captured = captured,
			       .length = of->len,
			       .interface = 3,
			       .link = link};
	enum decap what;

	memcpy(exact, of->data, captured);
	what = decap(&p, &s, &big);
	s.macs = s.macs ? of->data + (s.macs - exact) : NULL;
	free(exact);
	return what;
}

static void make_tcp(struct pkt *at, unsigned flags, const void *options, size_t len, size_t data)
{
	pkt_ipv4(at, NULL, 0);
	pkt_tcp(at, flags, options, len);
	pkt_pattern(at, data);
	pkt_finish(at);
}

static void assert_it_is_the_segment(uint32_t len)
{
	assert_int_equal(s.key.version, 4);
	assert_int_equal(s.key.addr[0][15], 1);
	assert_int_equal(s.key.addr[1][15], 2);
	assert_int_equal(s.key.port[0], 49152);
	assert_int_equal(s.key.port[1], 902);
	assert_int_equal(s.from, 0);
	assert_int_equal(s.seq, 0x01020304);
	assert_int_equal(s.ack, 0x05060708);
	assert_int_equal(s.window, 33304);
	assert_int_equal(s.len, len);
	assert_int_equal(s.ip_id, 0x1234);
	assert_int_equal(s.at.interface, 3);
}

/* What decap() has found and what decap_batch() has, but for the key where it is the last one's. */
static void assert_same_segment(const struct segment *one, const struct segment *of_many)
{
	assert_int_equal(one->time_ns, of_many->time_ns);
	assert_memory_equal(&one->ack, &of_many->ack,
			    offsetof(struct segment, at) - offsetof(struct segment, ack));
	assert_memory_equal(&one->at, &of_many->at, sizeof(one->at));
	assert_ptr_equal(one->macs, of_many->macs);
	assert_int_equal(one->from, of_many->from);
	assert_int_equal(one->ttl, of_many->ttl);
	assert_int_equal(one->ce, of_many->ce);
}

static void turn_round(uint8_t *frame)
{
	uint8_t was[12];

	memcpy(was, frame + 26, sizeof(was));
	memcpy(frame + 26, was + 4, 4);
	memcpy(frame + 30, was, 4);
	memcpy(frame + 34, was + 10, 2);
	memcpy(frame + 36, was + 8, 2);
}

static void packets_taken_together_are_what_each_of_them_is(void **state)
{
	enum {
		NOBODY,
		NOBODY_AGAIN,
		THERE,
		BACK,
		BACK_AGAIN,
		OTHER,
		CUT,
		THERE_TOO,
		RAW,
		PLAIN,
		N
	};
	static const bool as_last[N] = {[NOBODY_AGAIN] = true,
					[BACK] = true,
					[BACK_AGAIN] = true,
					[RAW] = true,
					[PLAIN] = true};
	static const uint8_t options[] = {1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8};
	uint8_t frames[N][256], what[N];
	struct cap_packet p[N];
	struct segment many[N];
	const struct flow_key *key = NULL;
	uint16_t keyed[N];
	size_t n_keyed, seen = 0;
	unsigned i;

	pkt_begin(&k);
	make_tcp(&k, PKT_ACK | PKT_PSH, options, sizeof(options), 100);
	for (i = 0; i < N; i++) {
		memcpy(frames[i], k.data, k.len);
		p[i] = (struct cap_packet){.time_ns = i,
					   .data = frames[i],
					   .captured = k.len,
					   .length = k.len,
					   .interface = i,
					   .way = CAP_WAY_OUT,
					   .link = LINK_ETHERNET};
	}
	memset(frames[NOBODY] + 26, 0, 12);
	memset(frames[NOBODY_AGAIN] + 26, 0, 12);
	turn_round(frames[BACK]);
	turn_round(frames[BACK_AGAIN]);
	frames[OTHER][35] ^= 1;
	p[CUT].captured = 40;
	p[RAW].link = LINK_RAW;
	p[RAW].data += 14;
	p[RAW].captured -= 14;
	p[RAW].length -= 14;
	assert_int_equal(decap_batch(p, N, many, what, keyed, &n_keyed), N - 1);
	for (i = 0; i < N; i++) {
		assert_int_equal(what[i], decap(&p[i], &s, &big));
		if (i == CUT) {
			assert_int_equal(what[i], DECAP_CUT);
			continue;
		}
		assert_same_segment(&s, &many[i]);
		assert_int_equal(many[i].as_last, as_last[i]);
		key = many[i].as_last ? key : &many[i].key;
		assert_true(flow_key_equal(key, &s.key));
		if (!many[i].as_last)
			assert_int_equal(keyed[seen++], i);
	}
	assert_int_equal(seen, n_keyed);
}

/* With whatever is not as in most packets, decap_batch() comes to what decap() does. */
static void assert_nothing_is_taken_for_usual(const struct cap_packet *p)
{
	struct segment batched;
	uint16_t keyed;
	uint8_t what;
	size_t n_keyed;

	decap_batch(p, 1, &batched, &what, &keyed, &n_keyed);
	assert_int_equal(what, decap(p, &s, &big));
	if (what != DECAP_TCP)
		return;
	assert_same_segment(&s, &batched);
	assert_true(flow_key_equal(&batched.key, &s.key));
}

static void what_differs_from_the_usual_packet_is_looked_at_closely(void **state)
{
	static const uint8_t options[] = {1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8};
	struct cap_packet p;
	uint32_t headers, i;

	pkt_begin(&k);
	make_tcp(&k, PKT_ACK | PKT_PSH, options, sizeof(options), 20);
	headers = k.l4 + 32u;
	for (i = 0; i < headers * 8; i++) {
		p = (struct cap_packet){
			.data = k.data, .captured = k.len, .length = k.len, .link = LINK_ETHERNET};
		k.data[i / 8] ^= 1u << i % 8;
		assert_nothing_is_taken_for_usual(&p);
		p.captured = headers;
		assert_nothing_is_taken_for_usual(&p);
		p.length = headers;
		assert_nothing_is_taken_for_usual(&p);
		k.data[i / 8] ^= 1u << i % 8;
	}
	for (i = 0; i <= k.len; i++) {
		uint8_t *exact = malloc(i + 1);

		memcpy(exact, k.data, i);
		p = (struct cap_packet){
			.data = exact, .captured = i, .length = k.len, .link = LINK_ETHERNET};
		assert_nothing_is_taken_for_usual(&p);
		p.length = i;
		assert_nothing_is_taken_for_usual(&p);
		free(exact);
	}
}

static void a_plain_segment_is_found_with_its_options(void **state)
{
	static const uint8_t options[] = {2, 4, 5, 0xb4, 4, 2, 8, 10, 1, 2,
					  3, 4, 5, 6,	 7, 8, 1, 3,  3, 7};

	pkt_begin(&k);
	make_tcp(&k, PKT_SYN | PKT_ACK, options, sizeof(options), 0);
	assert_int_equal(look(&k, LINK_ETHERNET, k.len), DECAP_TCP);
	assert_it_is_the_segment(0);
	assert_int_equal(s.mss, 1460);
	assert_int_equal(s.wscale, 7);
	assert_true(s.sack_ok && s.has_ts);
	assert_int_equal(s.tsval, 0x01020304);
	assert_int_equal(s.tsecr, 0x05060708);
	assert_ptr_equal(s.macs, k.data);
}

static void both_directions_have_one_key(void **state)
{
	struct flow_key there;

	pkt_begin(&k);
	make_tcp(&k, PKT_ACK, NULL, 0, 10);
	look(&k, LINK_ETHERNET, k.len);
	there = s.key;
	/* Addresses and ports change places. */
	k.data[k.l3 + 15] = 2;
	k.data[k.l3 + 19] = 1;
	pkt_put16(k.data + k.l4, 902);
	pkt_put16(k.data + k.l4 + 2, 49152);
	assert_int_equal(look(&k, LINK_ETHERNET, k.len), DECAP_TCP);
	assert_int_equal(s.from, 1);
	assert_memory_equal(&s.key, &there, sizeof(there));
}

static void a_snap_length_keeps_the_true_length(void **state)
{
	uint32_t captured;

	pkt_begin(&k);
	make_tcp(&k, PKT_ACK, NULL, 0, 1400);
	for (captured = k.l4 + 20; captured < k.len; captured += 13) {
		assert_int_equal(look(&k, LINK_ETHERNET, captured), DECAP_TCP);
		assert_it_is_the_segment(1400);
	}
	for (captured = 0; captured < k.l4 + 20; captured++)
		assert_int_equal(look(&k, LINK_ETHERNET, captured), DECAP_CUT);
}

static void a_snap_length_within_the_options_loses_only_them(void **state)
{
	static const uint8_t options[] = {2, 4, 5, 0xb4, 4, 2, 8, 10, 1, 2,
					  3, 4, 5, 6,	 7, 8, 1, 3,  3, 7};

	pkt_begin(&k);
	make_tcp(&k, PKT_SYN, options, sizeof(options), 0);
	assert_int_equal(look(&k, LINK_ETHERNET, k.len - 3), DECAP_TCP);
	assert_true(s.options_cut);
	assert_int_equal(s.flags, TCP_SYN);
}

static void vlan_tags_are_stepped_over(void **state)
{
	pkt_begin(&k);
	pkt_vlan(&k, 0x88a8, 100);
	pkt_vlan(&k, 0x8100, 42);
	make_tcp(&k, PKT_ACK, NULL, 0, 77);
	assert_int_equal(look(&k, LINK_ETHERNET, k.len), DECAP_TCP);
	assert_it_is_the_segment(77);
	assert_int_equal(s.at.vid, 100);
}

static void ipv6_is_found(void **state)
{
	pkt_begin(&k);
	pkt_ipv6(&k);
	pkt_tcp(&k, PKT_ACK, NULL, 0);
	pkt_pattern(&k, 33);
	pkt_finish(&k);
	assert_int_equal(look(&k, LINK_ETHERNET, k.len), DECAP_TCP);
	assert_int_equal(s.key.version, 6);
	assert_int_equal(s.key.addr[0][0], 0xfd);
	assert_int_equal(s.len, 33);
}

static void a_length_of_zero_is_a_super_segment_to_the_frame_s_end(void **state)
{
	pkt_begin(&k);
	make_tcp(&k, PKT_ACK, NULL, 0, 60000);
	pkt_put16(k.data + k.l3 + 2, 0);
	assert_int_equal(look(&k, LINK_ETHERNET, 96), DECAP_TCP);
	assert_int_equal(s.len, 60000);
}

/* An inner frame behind what the outer packet has so far. */
static void wrap(uint8_t proto, const void *header, size_t len, const struct pkt *what, size_t skip)
{
	pkt_push(&k, header, len);
	pkt_push(&k, what->data + skip, what->len - skip);
	k.data[k.next_at] = proto;
	pkt_finish_ip(&k);
}

static void make_inner(void)
{
	pkt_begin(&inner);
	make_tcp(&inner, PKT_ACK, NULL, 0, 200);
	pkt_begin(&k);
	pkt_ipv4(&k, NULL, 0);
}

static void the_capsulator_s_packets_are_opened(void **state)
{
	make_inner();
	wrap(245, "\0\0\0\3", 4, &inner, 0);
	assert_int_equal(look(&k, LINK_ETHERNET, k.len), DECAP_TCP);
	assert_it_is_the_segment(200);
	assert_int_equal(s.at.wrap, WRAP_CAPSULATOR);
	assert_int_equal(s.at.tag, 3);
	/* A snap length that ends in the inner payload keeps the inner length. */
	assert_int_equal(look(&k, LINK_ETHERNET, 100), DECAP_TCP);
	assert_int_equal(s.len, 200);
}

static void vxlan_is_opened(void **state)
{
	make_inner();
	k.data[k.next_at] = PKT_PROTO_UDP;
	pkt_push(&k, "\x13\x88\x12\xb5\0\0\0\0", 8);
	wrap(PKT_PROTO_UDP, "\x08\0\0\0\0\1\2\0", 8, &inner, 0);
	assert_int_equal(look(&k, LINK_ETHERNET, k.len), DECAP_TCP);
	assert_it_is_the_segment(200);
	assert_int_equal(s.at.wrap, WRAP_VXLAN);
	assert_int_equal(s.at.tag, 0x0102);
}

static void gre_with_ethernet_or_ip_inside_is_opened(void **state)
{
	make_inner();
	wrap(47, "\x20\0\x65\x58\0\0\0\x09", 8, &inner, 0);
	assert_int_equal(look(&k, LINK_ETHERNET, k.len), DECAP_TCP);
	assert_it_is_the_segment(200);
	assert_int_equal(s.at.tag, 9);
	make_inner();
	wrap(47, "\0\0\x08\0", 4, &inner, 14);
	assert_int_equal(look(&k, LINK_ETHERNET, k.len), DECAP_TCP);
	assert_it_is_the_segment(200);
	assert_int_equal(s.at.wrap, WRAP_GRE);
	assert_null(s.macs);
}

static void wrappings_within_each_other_are_opened_to_a_bound(void **state)
{
	struct pkt now;
	int i;

	pkt_begin(&now);
	make_tcp(&now, PKT_ACK, NULL, 0, 50);
	for (i = 1; i <= DECAP_DEPTH + 1; i++) {
		inner = now;
		pkt_begin(&k);
		pkt_ipv4(&k, NULL, 0);
		wrap(245, "\0\0\0\1", 4, &inner, 0);
		now = k;
		assert_int_equal(look(&now, LINK_ETHERNET, now.len),
				 i <= DECAP_DEPTH ? DECAP_TCP : DECAP_OTHER);
	}
}

static void a_wrapped_packet_cut_anywhere_is_never_read_beyond(void **state)
{
	uint32_t captured;

	make_inner();
	wrap(245, "\0\0\0\3", 4, &inner, 0);
	for (captured = 0; captured <= k.len; captured++)
		assert_int_equal(look(&k, LINK_ETHERNET, captured) == DECAP_TCP, captured >= 92);
}

static void link_layers_besides_ethernet_are_known(void **state)
{
	static const uint8_t sll[16] = {0, 4, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0};
	static const uint8_t sll2[20] = {8, 0, 0, 0, 0, 0, 0, 9, 0, 1, 0, 6};
	static const uint8_t null[4] = {2, 0, 0, 0};
	struct pkt raw;

	pkt_begin(&k);
	make_tcp(&k, PKT_ACK, NULL, 0, 20);
	raw.len = 0;
	pkt_push(&raw, k.data + 14, k.len - 14);
	assert_int_equal(look(&raw, LINK_RAW, raw.len), DECAP_TCP);
	assert_it_is_the_segment(20);
	inner = raw;
	raw.len = 0;
	pkt_push(&raw, sll, 16);
	pkt_push(&raw, inner.data, inner.len);
	assert_int_equal(look(&raw, LINK_SLL, raw.len), DECAP_TCP);
	assert_int_equal(s.at.way, CAP_WAY_OUT);
	raw.len = 0;
	pkt_push(&raw, sll2, 20);
	pkt_push(&raw, inner.data, inner.len);
	assert_int_equal(look(&raw, LINK_SLL2, raw.len), DECAP_TCP);
	assert_int_equal(s.at.device, 9);
	assert_int_equal(s.at.way, CAP_WAY_IN);
	raw.len = 0;
	pkt_push(&raw, null, 4);
	pkt_push(&raw, inner.data, inner.len);
	assert_int_equal(look(&raw, LINK_NULL, raw.len), DECAP_TCP);
	assert_int_equal(look(&raw, 147, raw.len), DECAP_LINK);
}

static bool wanted(const char *expression, const struct pkt *of, uint16_t link)
{
	struct err e = {""};
	struct filter *f = filter_compile(expression, &e);
	struct cap_packet p = {
		.data = of->data, .captured = of->len, .length = of->len, .link = link};
	bool is;

	assert_non_null(f);
	is = source_wanted(f, &p);
	filter_free(f);
	return is;
}

static void a_filter_asks_about_packets_without_an_ethernet_header_too(void **state)
{
	static const uint8_t sll[16] = {0, 4, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0};
	struct pkt raw, cooked;

	make_inner();
	raw.len = cooked.len = 0;
	pkt_push(&raw, inner.data + 14, inner.len - 14);
	pkt_push(&cooked, sll, sizeof(sll));
	pkt_push(&cooked, raw.data, raw.len);
	assert_true(wanted("tcp port 902", &inner, LINK_ETHERNET));
	assert_true(wanted("tcp port 902", &raw, LINK_RAW));
	assert_true(wanted("tcp port 902", &cooked, LINK_SLL));
	assert_false(wanted("tcp port 903", &raw, LINK_RAW));
	assert_false(wanted("ip6", &cooked, LINK_SLL));
	wrap(47, "\0\0\x08\0", 4, &inner, 14);
	assert_true(wanted("tcp port 902", &k, LINK_ETHERNET));
	assert_false(wanted("proto 47", &k, LINK_ETHERNET));
	make_inner();
	wrap(245, "\0\0\0\3", 4, &inner, 0);
	raw.len = 0;
	pkt_push(&raw, k.data + 14, k.len - 14);
	assert_true(wanted("tcp port 902", &raw, LINK_RAW));
}

static void what_is_not_tcp_s_is_told_apart(void **state)
{
	pkt_begin(&k);
	pkt_ipv4(&k, NULL, 0);
	pkt_udp(&k);
	pkt_finish(&k);
	assert_int_equal(look(&k, LINK_ETHERNET, k.len), DECAP_OTHER);
	pkt_begin(&k);
	make_tcp(&k, PKT_ACK, NULL, 0, 100);
	k.data[k.l3 + 7] = 9; /* a later fragment */
	assert_int_equal(look(&k, LINK_ETHERNET, k.len), DECAP_FRAGMENT);
	pkt_begin(&k);
	make_tcp(&k, PKT_ACK, NULL, 0, 100);
	k.data[k.l4 + 12] = 0x40; /* a data offset below 5 */
	assert_int_equal(look(&k, LINK_ETHERNET, k.len), DECAP_INVALID);
}

static void endless_options_end(void **state)
{
	static const uint8_t options[] = {8, 0, 1, 1, 253, 255, 3, 3};

	pkt_begin(&k);
	make_tcp(&k, PKT_SYN, options, sizeof(options), 0);
	assert_int_equal(look(&k, LINK_ETHERNET, k.len), DECAP_TCP);
	assert_true(s.malformed);
}

static void an_icmp_too_big_tells_of_its_flow(void **state)
{
	uint8_t *icmp;

	pkt_begin(&inner);
	make_tcp(&inner, PKT_ACK, NULL, 0, 1400);
	pkt_begin(&k);
	pkt_ipv4(&k, NULL, 0);
	k.data[k.next_at] = 1;
	icmp = pkt_push(&k, "\3\4\0\0\0\0\5\x78", 8);
	assert_non_null(icmp);
	pkt_push(&k, inner.data + 14, 48);
	pkt_finish_ip(&k);
	assert_int_equal(look(&k, LINK_ETHERNET, k.len), DECAP_TOO_BIG);
	assert_int_equal(big.mtu, 1400);
	assert_int_equal(big.from, 0);
	assert_int_equal(big.key.port[1], 902);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_differs_from_the_usual_packet_is_looked_at_closely),
		cmocka_unit_test(a_plain_segment_is_found_with_its_options),
		cmocka_unit_test(packets_taken_together_are_what_each_of_them_is),
		cmocka_unit_test(both_directions_have_one_key),
		cmocka_unit_test(a_snap_length_keeps_the_true_length),
		cmocka_unit_test(a_snap_length_within_the_options_loses_only_them),
		cmocka_unit_test(vlan_tags_are_stepped_over),
		cmocka_unit_test(ipv6_is_found),
		cmocka_unit_test(a_length_of_zero_is_a_super_segment_to_the_frame_s_end),
		cmocka_unit_test(the_capsulator_s_packets_are_opened),
		cmocka_unit_test(vxlan_is_opened),
		cmocka_unit_test(gre_with_ethernet_or_ip_inside_is_opened),
		cmocka_unit_test(wrappings_within_each_other_are_opened_to_a_bound),
		cmocka_unit_test(a_wrapped_packet_cut_anywhere_is_never_read_beyond),
		cmocka_unit_test(link_layers_besides_ethernet_are_known),
		cmocka_unit_test(a_filter_asks_about_packets_without_an_ethernet_header_too),
		cmocka_unit_test(what_is_not_tcp_s_is_told_apart),
		cmocka_unit_test(endless_options_end),
		cmocka_unit_test(an_icmp_too_big_tells_of_its_flow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
