// SPDX-License-Identifier: GPL-3.0-or-later
/* test_proto.c - a sealed datagram's bytes, and every rule by which one is refused */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tunnel/proto.h"

#include <stdlib.h>
#include <string.h>

#define FRAME_LEN (SEALED_OVERHEAD + ETH_HDR_LEN) /* shortest of a frame */
#define LONGEST	  1500

static uint8_t datagram[LONGEST];

/* Begins a datagram whose header is right. */
static uint8_t *valid(uint8_t type)
{
	memset(datagram, 0, sizeof(datagram));
	datagram[0] = (uint8_t)(0x10 | type);
	datagram[2] = 63;
	datagram[7] = 1;
	return datagram;
}

/* Reads from memory of exactly that length, so that a sanitizer sees a read beyond. */
static enum sealed_error load(size_t len, struct sealed_header *h)
{
	uint8_t *exact = malloc(len ? len : 1);
	enum sealed_error err;

	assert_non_null(exact);
	memcpy(exact, datagram, len);
	err = sealed_load(exact, len, h);
	free(exact);
	return err;
}

static void expect(size_t len, enum sealed_error wanted)
{
	struct sealed_header h;
	enum sealed_error err = load(len, &h);

	if (err != wanted)
		fail_msg("%02x %02x, %zu bytes: error %d, not %d", datagram[0], datagram[1], len,
			 err, wanted);
}

static const uint8_t golden_header[SEALED_HDR_LEN] = {
	0x10, 0x01, 0x3f, 0x00, 0x89, 0xab, 0xcd, 0xef, 0xfe, 0xdc,
	0xba, 0x98, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,
};

static void a_header_has_these_bytes(void **state)
{
	struct sealed_header h = {.type = SEALED_FRAME,
				  .flags = SEALED_PARTIAL,
				  .worker = 63,
				  .session = 0x89abcdef,
				  .tag = 0xfedcba98,
				  .counter = 0x0123456789abcdef},
			     back;
	uint8_t bytes[SEALED_HDR_LEN];

	memset(bytes, 0xff, sizeof(bytes));
	sealed_store(bytes, &h);
	assert_memory_equal(bytes, golden_header, sizeof(bytes));
	memset(datagram, 0, sizeof(datagram));
	memcpy(datagram, golden_header, sizeof(golden_header));
	assert_int_equal(load(FRAME_LEN, &back), SEALED_OK);
	assert_int_equal(back.type, h.type);
	assert_int_equal(back.flags, h.flags);
	assert_int_equal(back.worker, h.worker);
	assert_int_equal(back.session, h.session);
	assert_int_equal(back.tag, h.tag);
	assert_true(back.counter == h.counter);
}

static void each_type_has_its_own_first_byte(void **state)
{
	static const struct {
		uint8_t type, byte;
	} bytes[] = {{SEALED_FRAME, 0x10},
		     {SEALED_FRAGMENT, 0x11},
		     {SEALED_PROBE, 0x12},
		     {SEALED_PROBE_REPLY, 0x13}};
	uint8_t header[SEALED_HDR_LEN];
	size_t i;

	for (i = 0; i < sizeof(bytes) / sizeof(*bytes); i++) {
		sealed_store(header, &(struct sealed_header){.type = bytes[i].type});
		assert_int_equal(header[0], bytes[i].byte);
	}
}

static void what_cannot_hold_header_and_tag_is_short_whatever_it_says(void **state)
{
	size_t len;
	int first;

	for (first = 0; first < 256; first++) {
		memset(datagram, first, sizeof(datagram));
		for (len = 0; len < 36; len++)
			expect(len, SEALED_SHORT);
	}
}

static void only_version_1_is_read(void **state)
{
	int version, type;

	for (version = 0; version < 16; version++)
		for (type = 0; type < 16; type++) {
			if (version == 1)
				continue;
			valid(0)[0] = (uint8_t)(version << 4 | type);
			expect(LONGEST, SEALED_BAD_VERSION);
		}
}

/* Fragments have a number, but nobody sends them yet. */
static void only_frames_fragments_probes_and_replies_are_read(void **state)
{
	uint8_t type;

	for (type = 0; type < 16; type++) {
		valid(type);
		expect(LONGEST, type < 4 ? SEALED_OK : SEALED_BAD_TYPE);
	}
}

static void only_the_partial_flag_is_known_and_only_in_frames_and_fragments(void **state)
{
	static const uint8_t types[] = {SEALED_FRAME, SEALED_FRAGMENT, SEALED_PROBE,
					SEALED_PROBE_REPLY};
	int flags;
	size_t i;

	for (i = 0; i < sizeof(types); i++)
		for (flags = 0; flags < 256; flags++) {
			valid(types[i])[1] = (uint8_t)flags;
			expect(LONGEST, flags == 0 || (flags == 1 && types[i] < SEALED_PROBE)
						? SEALED_OK
						: SEALED_BAD_FLAGS);
		}
}

static void the_reserved_byte_is_zero(void **state)
{
	int byte;

	for (byte = 1; byte < 256; byte++) {
		valid(SEALED_FRAME)[3] = (uint8_t)byte;
		expect(LONGEST, SEALED_BAD_FLAGS);
	}
}

static void each_type_has_its_shortest_payload(void **state)
{
	valid(SEALED_FRAME);
	expect(36, SEALED_SHORT);
	expect(36 + 13, SEALED_SHORT);
	expect(36 + 14, SEALED_OK);
	valid(SEALED_PROBE);
	expect(36 + 23, SEALED_SHORT);
	expect(36 + 24, SEALED_OK);
	expect(LONGEST, SEALED_OK); /* padded, to find out the path's MTU */
	valid(SEALED_FRAGMENT);
	expect(36 + 8, SEALED_SHORT);
	expect(36 + 9, SEALED_OK);
	valid(SEALED_PROBE_REPLY);
	expect(36 + 23, SEALED_SHORT);
	expect(36 + 24, SEALED_OK);
}

/* The order is documented: it decides what is counted. */
static void the_first_rule_that_is_broken_is_told(void **state)
{
	memset(datagram, 0xff, sizeof(datagram));
	expect(35, SEALED_SHORT);
	expect(36, SEALED_BAD_VERSION);
	datagram[0] = 0x1f;
	expect(36, SEALED_BAD_TYPE);
	datagram[0] = 0x10;
	expect(36, SEALED_BAD_FLAGS);
	datagram[1] = datagram[3] = 0;
	expect(36, SEALED_SHORT);
	expect(36 + 14, SEALED_OK);
}

/* Which workers a peer has is its session's to say; a number alone refuses none. */
static void worker_session_tag_and_counter_may_have_any_value(void **state)
{
	struct sealed_header h;
	size_t at, len = FRAME_LEN;

	for (at = 0; at < SEALED_HDR_LEN; at++) {
		if (at < 2 || at == 3)
			continue;
		valid(SEALED_FRAME)[at] = 0xff;
		assert_int_equal(load(len, &h), SEALED_OK);
	}
}

static void a_probe_has_these_bytes(void **state)
{
	static const uint8_t golden[PROBE_LEN] = {0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08,
						  0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18,
						  0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8};
	struct probe probe = {0x0102030405060708, 0x1112131415161718, 0xf1f2f3f4f5f6f7f8}, back;
	uint8_t bytes[PROBE_LEN];

	probe_store(bytes, &probe);
	assert_memory_equal(bytes, golden, sizeof(bytes));
	probe_load(golden, &back);
	assert_memory_equal(&back, &probe, sizeof(back));
}

static void a_fragment_has_these_bytes(void **state)
{
	static const uint8_t golden[FRAGMENT_HDR_LEN] = {0x89, 0xab, 0xcd, 0xef,
							 0x02, 0xf5, 0x05, 0xea};
	struct fragment f = {0x89abcdef, 757, 1514}, back;
	uint8_t header[FRAGMENT_HDR_LEN];

	fragment_store(header, &f);
	assert_memory_equal(header, golden, sizeof(golden));
	fragment_load(golden, &back);
	assert_true(back.id == f.id && back.offset == f.offset && back.total == f.total);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_header_has_these_bytes),
		cmocka_unit_test(each_type_has_its_own_first_byte),
		cmocka_unit_test(what_cannot_hold_header_and_tag_is_short_whatever_it_says),
		cmocka_unit_test(only_version_1_is_read),
		cmocka_unit_test(only_frames_fragments_probes_and_replies_are_read),
		cmocka_unit_test(only_the_partial_flag_is_known_and_only_in_frames_and_fragments),
		cmocka_unit_test(the_reserved_byte_is_zero),
		cmocka_unit_test(each_type_has_its_shortest_payload),
		cmocka_unit_test(the_first_rule_that_is_broken_is_told),
		cmocka_unit_test(worker_session_tag_and_counter_may_have_any_value),
		cmocka_unit_test(a_probe_has_these_bytes),
		cmocka_unit_test(a_fragment_has_these_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
