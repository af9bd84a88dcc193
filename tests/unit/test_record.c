// SPDX-License-Identifier: GPL-3.0-or-later
/* test_record.c - records of a stream: bytes written by hand, and every way in which they can be
 * wrong */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "accel/record.h"
#include "tests/unit/packets.h"

#include <stdlib.h>
#include <string.h>

/* DATA of 5 bytes, flow 0x01020304, generation 7; the first of them is number 0x0102030405 of the
 * flow */
static const char data_hex[] = "07000000 0000000d 01020304 00000007 0000000102030405 68656c6c6f";

/* OPEN: tag 9, VLAN 10, IPv4, TOS 0x10; 10.77.0.1:40000 to 10.77.0.2:443, MSS 1460, credit 1 MB */
static const char open_hex[] = "00000009 000a 04 10 020000000a01 020000000b01"
			       "00000000000000000000ffff0a4d0001"
			       "00000000000000000000ffff0a4d0002"
			       "9c40 01bb 05b4 0400 00100000";

static void headers_are_written_as_the_document_has_them(void **state)
{
	struct record r = {0, 5, 0x01020304, 7}, back;
	uint8_t want[RECORD_HDR_LEN + 13], hdr[RECORD_HDR_LEN + RECORD_DATA_HDR];

	assert_int_equal(pkt_hex(want, sizeof(want), data_hex), sizeof(want));
	record_store_data(hdr, r, 0x0102030405);
	assert_memory_equal(hdr, want, sizeof(hdr));
	assert_true(record_parse(want, &back));
	assert_int_equal(back.type, RECORD_DATA);
	assert_int_equal(back.len, 13);
	assert_int_equal(back.flow, 0x01020304);
	assert_int_equal(back.generation, 7);
}

static void headers_that_cannot_be_are_refused(void **state)
{
	static const char *const bad[] = {
		"00000000 00000000 00000000 00000000", /* no such type */
		"14000000 00000000 00000001 00000001", "ff000000 00000000 00000001 00000001",
		"07010000 00000005 00000001 00000001", /* what must be zero is not */
		"07000100 00000005 00000001 00000001", "07000001 00000005 00000001 00000001",
		"07000000 00000000 00000001 00000001", /* DATA of nothing */
		"07000000 00000008 00000001 00000001", "07000000 00000001 00000001 00000001",
		"07000000 0000fff1 00000001 00000001", /* DATA longer than may be */
		"02000000 0000003f 00000001 00000001", /* a length that is not its type's */
		"02000000 00000041 00000001 00000001", "08000000 00000001 00000001 00000001",
		"07000000 00000005 00000001 00000000", /* generations begin at 1 */
		"0b000000 00000004 00000001 00000001", "0f000000 00000001 00000001 00000001",
		"10000000 00000001 00000001 00000001", "11000000 00000001 00000001 00000001",
		"12000000 00000000 00000001 00000001", "0f000000 00000000 00000001 00000000",
		"01000000 00000008 00000001 00000000", /* HELLO belongs to no flow */
		"0d000000 0000002d 00000000 00000000", /* TUPLES that are no number of tuples */
		"13000000 00000005 00000001 00000001", /* PAD belongs to no flow */
		"13000000 00000000 00000000 00000000", "13000000 0000ffe9 00000000 00000000",
	};
	uint8_t hdr[RECORD_HDR_LEN];
	struct record r;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		pkt_hex(hdr, sizeof(hdr), bad[i]);
		if (record_parse(hdr, &r))
			fail_msg("%s was taken", bad[i]);
	}
	pkt_hex(hdr, sizeof(hdr), "07000000 0000fff0 00000001 00000001");
	assert_true(record_parse(hdr, &r));
	pkt_hex(hdr, sizeof(hdr), "13000000 0000ffe8 00000000 00000000");
	assert_true(record_parse(hdr, &r));
}

static void open_is_read_and_written_byte_by_byte(void **state)
{
	uint8_t bytes[OPEN_LEN], back[OPEN_LEN];
	struct open_record o;

	assert_int_equal(pkt_hex(bytes, sizeof(bytes), open_hex), OPEN_LEN);
	assert_true(open_parse(bytes, &o));
	assert_int_equal(o.tuple.tag, 9);
	assert_int_equal(o.tuple.vid, 10);
	assert_int_equal(o.tuple.ip_version, 4);
	assert_int_equal(o.tos, 0x10);
	assert_int_equal(o.tuple.client_port, 40000);
	assert_int_equal(o.tuple.server_port, 443);
	assert_int_equal(o.tuple.client[15], 1);
	assert_int_equal(o.tuple.server[15], 2);
	assert_int_equal(o.client_mac[4], 0x0a);
	assert_int_equal(o.server_mac[4], 0x0b);
	assert_int_equal(o.mss, 1460);
	assert_int_equal(o.stripes, 4);
	assert_int_equal(o.credit, 1 << 20);
	open_store(back, &o);
	assert_memory_equal(back, bytes, OPEN_LEN);
}

/* One byte changed in an OPEN that is good. */
static bool taken_with(size_t at, uint8_t value)
{
	uint8_t bytes[OPEN_LEN];
	struct open_record o;

	pkt_hex(bytes, sizeof(bytes), open_hex);
	bytes[at] = value;
	return open_parse(bytes, &o);
}

static void an_open_that_nobody_could_mean_is_refused(void **state)
{
	assert_true(taken_with(3, 1));
	assert_false(taken_with(4, 0x10)); /* VLAN above 4094 */
	assert_false(taken_with(6, 5));	   /* IP version */
	assert_false(taken_with(6, 6));	   /* IPv6 with mapped addresses */
	assert_false(taken_with(8, 3));	   /* a group MAC */
	assert_false(taken_with(14, 1));
	assert_false(taken_with(30, 0));   /* not mapped */
	assert_false(taken_with(32, 127)); /* loopback */
	assert_false(taken_with(48, 224)); /* multicast */
	assert_false(taken_with(48, 0));
	assert_true(taken_with(58, STRIPES_MAX));
	assert_false(taken_with(58, STRIPES_MAX + 1));
	assert_false(taken_with(58, 0));    /* a flow has one stripe at least */
	assert_false(taken_with(59, 1));    /* what must be zero */
	assert_false(taken_with(60, 0x05)); /* more credit than there is */
	assert_false(taken_with(61, 0));    /* less than is allowed */
}

static void opened_refused_and_tuples_go_there_and_back(void **state)
{
	uint8_t p[64], q[64];
	struct opened_record opened = {1460, 8, CREDIT_MIN}, opened2;
	struct credit_record credit = {0x0102030405, CREDIT_MAX}, credit2;
	struct refused_record refused = {REFUSE_icmp, 3, 1, 0x01020304, {[15] = 9}}, refused2;
	struct open_record o;
	struct tuple t;

	opened_store(p, &opened);
	assert_true(opened_parse(p, &opened2));
	assert_int_equal(opened2.mss, 1460);
	assert_int_equal(opened2.stripes, 8);
	p[2] = 0;
	assert_false(opened_parse(p, &opened2));
	p[2] = 1;
	assert_true(opened_parse(p, &opened2));
	p[0] = p[1] = 0;
	assert_false(opened_parse(p, &opened2));
	credit_store(p, &credit);
	assert_int_equal(pkt_hex(q, sizeof(q), "0000000102030405 04000000"), CREDIT_LEN);
	assert_memory_equal(p, q, CREDIT_LEN);
	assert_true(credit_parse(p, &credit2));
	assert_int_equal(credit2.taken, 0x0102030405);
	p[11] = 1;
	assert_false(credit_parse(p, &credit2)); /* more credit than there is */
	refused_store(p, &refused);
	assert_int_equal(
		pkt_hex(q, sizeof(q), "01 03 01 00 01020304 000000000000000000000000000000 09"),
		REFUSED_LEN);
	assert_memory_equal(p, q, REFUSED_LEN);
	assert_true(refused_parse(p, &refused2));
	assert_int_equal(refused2.icmp_rest, 0x01020304);
	p[0] = REFUSE_COUNT;
	assert_false(refused_parse(p, &refused2));
	pkt_hex(p, sizeof(p), open_hex);
	assert_true(open_parse(p, &o));
	tuple_store(q, &o.tuple);
	assert_true(tuple_parse(q, &t));
	assert_memory_equal(t.client, o.tuple.client, 16);
	assert_int_equal(t.server_port, 443);
	q[7] = 1;
	assert_false(tuple_parse(q, &t));
}

/* Feeds a stream in pieces of @step and writes down what comes. */
static void read_in_steps(const uint8_t *bytes, size_t len, size_t step, char *said)
{
	struct record_reader *r = calloc(1, sizeof(*r));
	size_t at, n;

	*said = '\0';
	for (at = 0; at < len; at += n) {
		uint8_t *exact;
		const uint8_t *p;
		size_t left;
		enum record_event ev;

		n = len - at < step ? len - at : step;
		exact = malloc(n);
		memcpy(exact, bytes + at, n);
		p = exact;
		left = n;
		while ((ev = record_next(r, &p, &left)) != RECORD_MORE && ev != RECORD_BAD) {
			if (ev == RECORD_PIECE) {
				assert_int_equal(r->offset,
						 1000 + r->got - RECORD_DATA_HDR - r->piece_len);
				sprintf(said + strlen(said), "%.*s", (int)r->piece_len, r->piece);
			} else
				sprintf(said + strlen(said), "[%u:%u]", r->now.type, r->now.len);
		}
		assert_int_equal(left, 0);
		free(exact);
		if (ev == RECORD_BAD)
			strcat(said, "!");
	}
	free(r);
}

static void a_stream_is_taken_apart_wherever_it_is_cut(void **state)
{
	static const struct record data = {RECORD_DATA, 5, 1, 1}, left = {RECORD_LEAVE, 0, 1, 1},
				   stripes = {RECORD_STRIPES, 4, 1, 1};
	uint8_t bytes[2 * (RECORD_HDR_LEN + RECORD_DATA_HDR + 5) + RECORD_HDR_LEN + 4 +
		      RECORD_HDR_LEN] = {0};
	char said[256], want[64];
	size_t step;

	record_store_data(bytes, data, 1000);
	memcpy(bytes + 24, "hello", 5);
	record_store(bytes + 29, &stripes);
	record_store_data(bytes + 49, data, 1000);
	memcpy(bytes + 73, "world", 5);
	record_store(bytes + 78, &left);
	snprintf(want, sizeof(want), "hello[%d:4]world[%d:0]", RECORD_STRIPES, RECORD_LEAVE);
	for (step = 1; step <= sizeof(bytes); step++) {
		read_in_steps(bytes, sizeof(bytes), step, said);
		assert_string_equal(said, want);
	}
}

static void what_is_no_record_is_told_at_once(void **state)
{
	uint8_t bytes[RECORD_HDR_LEN] = "GET / HTTP/1.1\r\n";
	char said[64];

	read_in_steps(bytes, sizeof(bytes), sizeof(bytes), said);
	assert_string_equal(said, "!");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers_are_written_as_the_document_has_them),
		cmocka_unit_test(headers_that_cannot_be_are_refused),
		cmocka_unit_test(open_is_read_and_written_byte_by_byte),
		cmocka_unit_test(an_open_that_nobody_could_mean_is_refused),
		cmocka_unit_test(opened_refused_and_tuples_go_there_and_back),
		cmocka_unit_test(a_stream_is_taken_apart_wherever_it_is_cut),
		cmocka_unit_test(what_is_no_record_is_told_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
