// SPDX-License-Identifier: GPL-3.0-or-later
/* test_segment.c - segments of accelerated flows: rewritten, answered, and the FIN that is withheld
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "accel/flow.h"
#include "accel/internal.h"
#include "tests/unit/packets.h"

#include <stdlib.h>
#include <string.h>

static const uint8_t usual[] = {2, 4, 0x05, 0xb4, 1, 3, 3, 7, 4, 2, 1, 0};
static const uint8_t odd[] = {1, 2, 4, 0x05, 0xb4, 1, 1, 0}; /* MSS not on a word of its own */
static const uint8_t stamps[] = {1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2};
static const uint8_t newer_stamps[] = {1, 1, 8, 10, 0, 0, 0, 10, 0, 0, 0, 2};

static struct pkt k;

/* A segment with these flags over IPv4 or IPv6; sequence number 1000, acknowledgement 5000. */
static struct frame segment(unsigned version, unsigned vid, uint8_t flags, const void *options,
			    size_t len, size_t payload, struct packet *p)
{
	uint8_t *tcp;
	struct frame f;

	pkt_begin(&k);
	if (vid)
		pkt_vlan(&k, 0x8100, vid);
	if (version == 4)
		pkt_ipv4(&k, NULL, 0);
	else
		pkt_ipv6(&k);
	tcp = pkt_tcp(&k, flags, options, len);
	store_be32(tcp + 4, 1000);
	store_be32(tcp + 8, 5000);
	pkt_pattern(&k, payload);
	pkt_finish(&k);
	f = (struct frame){.data = k.data, .len = k.len};
	assert_int_equal(packet_parse(f.data, f.len, p), PACKET_OK);
	return f;
}

/* Parses again and checks both checksums with the test's own arithmetic. */
static void assert_whole(const struct frame *f, struct packet *p)
{
	const uint8_t *ip;
	unsigned sum;

	assert_int_equal(packet_parse(f->data, f->len, p), PACKET_OK);
	ip = f->data + p->l3;
	if (p->ip_version == 4) {
		assert_int_equal(pkt_sum(0, ip, 20), 0xffff);
		sum = pkt_sum(0, ip + 12, 8);
	} else {
		sum = pkt_sum(0, ip + 8, 32);
	}
	sum = pkt_sum(sum + p->proto + (p->l3_end - p->l4), f->data + p->l4, p->l3_end - p->l4);
	assert_int_equal(sum % 0xffff, 0);
}

static void the_mss_is_replaced_wherever_it_stands(void **state)
{
	static const struct {
		const uint8_t *options;
		size_t len;
	} cases[] = {{usual, sizeof(usual)}, {odd, sizeof(odd)}};
	unsigned version, i;
	struct packet p;
	struct frame f;

	for (version = 4; version <= 6; version += 2)
		for (i = 0; i < 2; i++) {
			f = segment(version, 0, PKT_SYN, cases[i].options, cases[i].len, 0, &p);
			assert_int_equal(segment_mss(&f, &p), 1460);
			segment_set_mss(&f, &p, 8960);
			assert_whole(&f, &p);
			assert_int_equal(segment_mss(&f, &p), 8960);
		}
	f = segment(4, 0, PKT_SYN, NULL, 0, 0, &p);
	assert_int_equal(segment_mss(&f, &p), 536);
	f = segment(6, 0, PKT_SYN, NULL, 0, 0, &p);
	assert_int_equal(segment_mss(&f, &p), 1220);
}

static void a_partial_checksum_stays_what_it_is(void **state)
{
	struct packet p;
	struct frame f = segment(4, 0, PKT_ACK | PKT_FIN, NULL, 0, 100, &p);
	uint16_t before = load_be16(f.data + p.l4 + 16);

	f.vnet = (struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = p.l4, .csum_offset = 16};
	segment_clear_flags(&f, &p, TCP_FIN);
	assert_int_equal(load_be16(f.data + p.l4 + 16), before);
	assert_int_equal(f.data[p.l4 + 13], PKT_ACK);
}

static void a_tag_is_taken_off_and_put_back(void **state)
{
	uint8_t before[200];
	struct packet p, q;
	struct frame f = segment(6, 77, PKT_ACK, NULL, 0, 40, &p);

	memcpy(before, f.data, f.len);
	f.vnet = (struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = p.l4, .hdr_len = p.payload};
	segment_untag(&f, &p);
	assert_int_equal(packet_parse(f.data, f.len, &q), PACKET_OK);
	assert_int_equal(q.vlans, 0);
	assert_int_equal(q.l4, p.l4);
	assert_int_equal(f.vnet.csum_start, q.l4);
	segment_tag(&f, 77);
	assert_memory_equal(f.data, before, f.len);
	assert_int_equal(f.vnet.csum_start, q.l4 + 4);
}

static void a_segment_is_answered_by_a_reset_that_its_sender_believes(void **state)
{
	unsigned version;
	struct packet p;
	struct segment s;
	struct frame f;

	for (version = 4; version <= 6; version += 2) {
		f = segment(version, 5, PKT_ACK | PKT_PSH, stamps, sizeof(stamps), 300, &p);
		assert_true(segment_answer_reset(&f, &p));
		assert_whole(&f, &p);
		assert_true(segment_read(&f, &p, &s));
		assert_int_equal(s.seq, 5000);
		assert_int_equal(s.flags, PKT_RST);
		assert_int_equal(p.vid, 5);
		assert_int_equal(f.data[5], 0xa); /* back to where it came from */
	}
	/* without ACK: RFC 9293 3.10.7.1 */
	f = segment(4, 0, PKT_SYN, usual, sizeof(usual), 0, &p);
	assert_true(segment_answer_reset(&f, &p));
	assert_whole(&f, &p);
	segment_read(&f, &p, &s);
	assert_int_equal(s.seq, 0);
	assert_int_equal(s.ack, 1001);
	assert_int_equal(s.flags, PKT_RST | PKT_ACK);
	f = segment(4, 0, PKT_RST, NULL, 0, 0, &p);
	assert_false(segment_answer_reset(&f, &p));
}

static void a_repeated_fin_is_acknowledged_and_an_ack_is_not(void **state)
{
	struct packet p;
	struct segment s;
	struct frame f = segment(4, 0, PKT_ACK | PKT_FIN, stamps, sizeof(stamps), 10, &p);

	assert_true(segment_answer_ack(&f, &p));
	assert_whole(&f, &p);
	segment_read(&f, &p, &s);
	assert_int_equal(s.seq, 5000);
	assert_int_equal(s.ack, 1011);
	assert_int_equal(s.flags, PKT_ACK);
	f = segment(4, 0, PKT_ACK, NULL, 0, 0, &p);
	assert_false(segment_answer_ack(&f, &p));
}

static void an_icmp_error_about_a_syn_quotes_it(void **state)
{
	struct segment_error e = {
		.ip_version = 4, .type = 3, .code = 1, .source = {[10] = 0xff, 0xff, 10, 9, 9, 9}};
	uint8_t out[SEGMENT_ERROR_MAX];
	struct packet p, q, quoted;
	struct segment_error back;
	struct frame f = segment(4, 0, PKT_SYN, usual, sizeof(usual), 0, &p), g;
	uint32_t at;
	size_t len = segment_make_error(out, &f, &p, &e);

	g = (struct frame){.data = out, .len = (uint32_t)len};
	assert_int_equal(packet_parse(out, len, &q), PACKET_OK);
	assert_int_equal(pkt_sum(0, out + 14, 20), 0xffff);
	assert_int_equal(pkt_sum(0, out + 34, len - 34), 0xffff);
	assert_true(segment_read_error(&g, &q, &back, &quoted, &at));
	assert_int_equal(back.type, 3);
	assert_int_equal(back.code, 1);
	assert_memory_equal(back.source, e.source, 16);
	assert_memory_equal(out + at, f.data + 14, p.l3_end - 14);
	assert_int_equal(load_be16(out + quoted.l4), load_be16(f.data + p.l4));
	/* cut in the quoted ports it says nothing */
	q.l3_end = q.l4 + 8 + 20 + 4;
	assert_false(segment_read_error(&g, &q, &back, &quoted, &at));
}

static struct flow *new_flow(unsigned version)
{
	struct flow *fl = calloc(1, sizeof(*fl));

	pthread_mutex_init(&fl->lock, NULL);
	fl->ip_version = (uint8_t)version;
	return fl;
}

/* The stack has acknowledged so much, and offers so much more. */
static void stack_expects(struct flow *fl, uint32_t ack, uint16_t window)
{
	struct segment says = {.flags = PKT_ACK, .ack = ack, .window = window};

	flow_stack_says(fl, NULL, NULL, &says);
}

static void a_fin_is_kept_from_the_stack_until_it_is_released(void **state)
{
	unsigned version;

	for (version = 4; version <= 6; version += 2) {
		struct flow *fl = new_flow(version);
		uint8_t bytes[FLOW_HEADERS_MAX];
		struct frame fin = {.data = bytes};
		struct packet p;
		struct segment s;
		struct frame f;

		stack_expects(fl, 1000, 65535);

		/* data with FIN: the data passes, the FIN does not */
		f = segment(version, 0, PKT_ACK | PKT_FIN, stamps, sizeof(stamps), 100, &p);
		segment_read(&f, &p, &s);
		assert_true(flow_fin_filter(fl, &f, &p, &s));
		assert_int_equal(fl->fin_seq, 1100);
		assert_whole(&f, &p);
		segment_read(&f, &p, &s);
		assert_int_equal(s.flags, PKT_ACK);
		assert_int_equal(s.len, 100);

		/* an ACK behind the FIN is moved in front of it */
		f = segment(version, 0, PKT_ACK, stamps, sizeof(stamps), 0, &p);
		segment_set_seq(&f, &p, 1101);
		segment_read(&f, &p, &s);
		assert_false(flow_fin_filter(fl, &f, &p, &s));
		segment_read(&f, &p, &s);
		assert_int_equal(s.seq, 1100);

		/* a reset behind it, too, so that the stack believes it */
		f = segment(version, 0, PKT_RST | PKT_ACK, NULL, 0, 0, &p);
		segment_set_seq(&f, &p, 1101);
		segment_read(&f, &p, &s);
		flow_fin_filter(fl, &f, &p, &s);
		segment_read(&f, &p, &s);
		assert_int_equal(s.seq, 1100);
		assert_int_equal(s.flags, PKT_RST | PKT_ACK);

		/* again an ordinary one: of the newest the FIN is made */
		f = segment(version, 0, PKT_ACK, newer_stamps, sizeof(newer_stamps), 0, &p);
		segment_set_seq(&f, &p, 1101);
		segment_read(&f, &p, &s);
		flow_fin_filter(fl, &f, &p, &s);

		assert_true(flow_fin_release(fl, bytes, &fin.len));
		assert_whole(&fin, &p);
		segment_read(&fin, &p, &s);
		assert_int_equal(s.seq, 1100);
		assert_int_equal(s.flags, PKT_ACK | PKT_FIN);
		assert_int_equal(s.len, 0);
		assert_int_equal(bytes[p.l4 + 20 + 7], 10);
		assert_false(flow_fin_release(fl, bytes, &fin.len));

		/* from then on everything passes as it is */
		f = segment(version, 0, PKT_ACK | PKT_FIN, stamps, sizeof(stamps), 0, &p);
		segment_read(&f, &p, &s);
		flow_fin_filter(fl, &f, &p, &s);
		segment_read(&f, &p, &s);
		assert_int_equal(s.flags, PKT_ACK | PKT_FIN);
		free(fl);
	}
}

static void a_fin_that_the_stack_would_not_take_is_not_noted(void **state)
{
	static const uint32_t stack[][2] = {
		{1101, 65535},	     /* old: it ends before what is acknowledged */
		{1000, 99},	     /* beyond the window */
		{0xfffff000u, 5000}, /* the same, across the end of sequence space */
	};
	struct packet p;
	struct segment s;
	struct frame f;
	unsigned i;

	for (i = 0; i < 4; i++) {
		struct flow *fl = new_flow(4);

		stack_expects(fl, i < 3 ? stack[i][0] : 1000, i < 3 ? (uint16_t)stack[i][1] : 100);
		f = segment(4, 0, PKT_ACK | PKT_FIN, stamps, sizeof(stamps), 100, &p);
		if (i == 3) /* damaged */
			f.data[p.payload] ^= 1;
		segment_read(&f, &p, &s);
		assert_false(flow_fin_filter(fl, &f, &p, &s));
		assert_int_equal(fl->fin, FLOW_FIN_NONE);
		assert_int_equal(f.data[p.l4 + 13], PKT_ACK);
		/* it ends where the window does */
		stack_expects(fl, 1000, 100);
		f = segment(4, 0, PKT_ACK | PKT_FIN, stamps, sizeof(stamps), 100, &p);
		segment_read(&f, &p, &s);
		assert_true(flow_fin_filter(fl, &f, &p, &s));
		free(fl);
	}
}

static void the_windows_edge_is_scaled_and_never_moves_back(void **state)
{
	struct flow *fl = new_flow(4);
	struct packet p;
	struct segment s;
	struct frame f = segment(4, 0, PKT_SYN, usual, sizeof(usual), 0, &p);

	segment_read(&f, &p, &s);
	assert_int_equal(segment_wscale(&f, &p), 7);
	flow_stack_says(fl, &f, &p, &s);
	assert_int_equal(fl->stack_syn, 1000);
	stack_expects(fl, 0xffffff00u, 10);
	assert_int_equal(fl->stack_edge, 0xffffff00u + 1280);
	stack_expects(fl, 0xffffff00u + 7, 9);
	assert_int_equal(fl->stack_ack, 0xffffff07u);
	assert_int_equal(fl->stack_edge, 0xffffff00u + 1280);
	free(fl);
}

static void only_the_answer_to_the_stacks_syn_begins_a_connection(void **state)
{
	struct flow *fl = new_flow(6);
	struct packet p;
	struct segment s;
	struct frame f = segment(6, 0, PKT_SYN | PKT_ACK, usual, sizeof(usual), 0, &p);

	segment_read(&f, &p, &s);
	fl->stack_syn = 4000;
	flow_host_answers(fl, &f, &p, &s);
	assert_false(fl->has_first);
	fl->stack_syn = 4999;
	f.data[p.l4 + 15] ^= 1;
	flow_host_answers(fl, &f, &p, &s);
	assert_false(fl->has_first);
	f.data[p.l4 + 15] ^= 1;
	flow_host_answers(fl, &f, &p, &s);
	assert_true(fl->has_first);
	assert_int_equal(fl->first, 1001);
	assert_int_equal(fl->host_mss, 1460);
	s.seq += 5;
	flow_host_answers(fl, &f, &p, &s);
	assert_int_equal(fl->first, 1001);
	free(fl);
}

static void damage_is_seen_where_it_is_ours_to_see(void **state)
{
	unsigned version, i;
	struct packet p;
	struct frame f;

	for (version = 4; version <= 6; version += 2)
		for (i = 0; i < 3; i++) {
			static const uint8_t flags[] = {0, VIRTIO_NET_HDR_F_NEEDS_CSUM,
							VIRTIO_NET_HDR_F_DATA_VALID};

			f = segment(version, 33, PKT_ACK, NULL, 0, 101, &p);
			f.vnet.flags = flags[i];
			assert_true(segment_is_intact(&f, &p));
			f.data[f.len - 1] ^= 0x40;
			assert_int_equal(segment_is_intact(&f, &p), i != 0);
			if (version == 6)
				continue;
			f.data[f.len - 1] ^= 0x40;
			f.data[p.l3 + 8]--; /* hops, under the header's checksum alone */
			assert_false(segment_is_intact(&f, &p));
		}
}

static enum accel_reason decided(const struct accel_tag *tag, const struct frame *f,
				 const struct packet *p)
{
	enum accel_reason reason = ACCEL_REASON_COUNT;

	return decide_syn(tag, f, p, &reason) ? ACCEL_REASON_COUNT : reason;
}

static void a_syn_alone_tells_what_is_never_accelerated(void **state)
{
	static const uint8_t md5[] = {19, 18, [18] = 1, 0}, ao[] = {29, 4, 0, 0},
			     bad[] = {3, 9, 0, 0};
	struct err e;
	struct accel_tag all = {.on = true},
			 some = {.on = true,
				 .accel = filter_compile("tcp dst port 2", &e),
				 .bypass = filter_compile("src host 10.0.0.9", &e)},
			 none = {.on = true, .bypass = filter_compile("tcp", &e)};
	struct packet p;
	struct frame f = segment(4, 0, PKT_SYN, usual, sizeof(usual), 0, &p);

	assert_int_equal(decided(&all, &f, &p), ACCEL_REASON_COUNT);
	assert_int_equal(decided(&none, &f, &p), ACCEL_REASON_bypass);
	store_be16(f.data + p.l4 + 2, 2);
	assert_int_equal(decided(&some, &f, &p), ACCEL_REASON_COUNT);
	store_be16(f.data + p.l4 + 2, 3);
	assert_int_equal(decided(&some, &f, &p), ACCEL_REASON_filter);
	/* filters do not see the tag */
	f = segment(4, 9, PKT_SYN, usual, sizeof(usual), 0, &p);
	store_be16(f.data + p.l4 + 2, 2);
	assert_int_equal(decided(&some, &f, &p), ACCEL_REASON_COUNT);
	f = segment(4, 0, PKT_SYN, md5, 20, 0, &p);
	assert_int_equal(decided(&all, &f, &p), ACCEL_REASON_secret);
	f = segment(4, 0, PKT_SYN, ao, sizeof(ao), 0, &p);
	assert_int_equal(decided(&all, &f, &p), ACCEL_REASON_secret);
	f = segment(4, 0, PKT_SYN, bad, sizeof(bad), 0, &p);
	assert_int_equal(decided(&all, &f, &p), ACCEL_REASON_secret);
	f = segment(4, 0x1000, PKT_SYN, usual, sizeof(usual), 0, &p); /* a priority tag */
	assert_int_equal(decided(&all, &f, &p), ACCEL_REASON_unusual);
	filter_free((struct filter *)some.accel);
	filter_free((struct filter *)some.bypass);
	filter_free((struct filter *)none.bypass);
}

static void keys_of_both_sides_are_each_others_mirror(void **state)
{
	struct flow_key near, far, again;
	struct packet p;
	struct frame f = segment(6, 12, PKT_SYN, usual, sizeof(usual), 0, &p);
	struct tuple t;

	flow_key_of(&near, 3, &f, &p, true);
	flow_key_of(&far, 3, &f, &p, false);
	assert_memory_equal(near.local, far.remote, 16);
	assert_int_equal(near.local_port, far.remote_port);
	assert_int_equal(near.vid, 12);
	flow_key_tuple(&near, 6, true, 99, &t);
	assert_int_equal(t.tag, 99);
	flow_key_from_tuple(&again, &t, true, 3);
	assert_memory_equal(&again, &near, sizeof(near));
	flow_key_from_tuple(&again, &t, false, 3);
	assert_memory_equal(&again, &far, sizeof(far));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_mss_is_replaced_wherever_it_stands),
		cmocka_unit_test(a_partial_checksum_stays_what_it_is),
		cmocka_unit_test(a_tag_is_taken_off_and_put_back),
		cmocka_unit_test(a_segment_is_answered_by_a_reset_that_its_sender_believes),
		cmocka_unit_test(a_repeated_fin_is_acknowledged_and_an_ack_is_not),
		cmocka_unit_test(an_icmp_error_about_a_syn_quotes_it),
		cmocka_unit_test(a_fin_is_kept_from_the_stack_until_it_is_released),
		cmocka_unit_test(a_fin_that_the_stack_would_not_take_is_not_noted),
		cmocka_unit_test(the_windows_edge_is_scaled_and_never_moves_back),
		cmocka_unit_test(only_the_answer_to_the_stacks_syn_begins_a_connection),
		cmocka_unit_test(damage_is_seen_where_it_is_ours_to_see),
		cmocka_unit_test(a_syn_alone_tells_what_is_never_accelerated),
		cmocka_unit_test(keys_of_both_sides_are_each_others_mirror),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
