// SPDX-License-Identifier: GPL-3.0-or-later
/* test_batch.c - messages read together stand where their slots are, with room in front */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/batch.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct batch *b;
static int pair[2]; /* written to [0], read from [1] */

static int setup(void **state)
{
	int room = 4 << 20;

	b = batch_new();
	if (!b || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -1;
	setsockopt(pair[0], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
	return 0;
}

static int teardown(void **state)
{
	close(pair[0]);
	close(pair[1]);
	batch_free(b);
	return 0;
}

static void put(const void *data, size_t len)
{
	assert_int_equal(send(pair[0], data, len, MSG_DONTWAIT), len);
}

static void nothing_waiting_is_no_message(void **state)
{
	assert_int_equal(batch_receive(b, pair[1], BATCH_HEADROOM, false, BATCH_MESSAGES), 0);
	assert_int_equal(batch_receive(b, -1, BATCH_HEADROOM, false, BATCH_MESSAGES), 0);
}

static void each_message_stands_in_its_slot_behind_the_headroom(void **state)
{
	b->n = 5;
	put("one", 3);
	put("three", 5);
	assert_int_equal(batch_receive(b, pair[1], BATCH_HEADROOM, false, BATCH_MESSAGES), 2);
	assert_int_equal(b->n, 0);
	assert_int_equal(b->msgs[0].msg_len, 3);
	assert_int_equal(b->msgs[1].msg_len, 5);
	assert_memory_equal(batch_slot(b, 0) + BATCH_HEADROOM, "one", 3);
	assert_memory_equal(batch_slot(b, 1) + BATCH_HEADROOM, "three", 5);
	/* Nothing is left for the next read, and that one begins in front again. */
	assert_int_equal(batch_receive(b, pair[1], BATCH_HEADROOM, false, BATCH_MESSAGES), 0);
	put("two", 3);
	assert_int_equal(batch_receive(b, pair[1], 0, false, BATCH_MESSAGES), 1);
	assert_memory_equal(batch_slot(b, 0), "two", 3);
}

static void an_offload_header_in_front_goes_to_its_own_place(void **state)
{
	struct virtio_net_hdr h = {.gso_size = 1448, .csum_start = 34};
	uint8_t message[sizeof(h) + 4];

	memcpy(message, &h, sizeof(h));
	memcpy(message + sizeof(h), "data", 4);
	put(message, sizeof(message));
	put(message, sizeof(message));
	assert_int_equal(batch_receive(b, pair[1], BATCH_HEADROOM, true, BATCH_MESSAGES), 2);
	assert_memory_equal(&b->vnets[0], &h, sizeof(h));
	assert_memory_equal(&b->vnets[1], &h, sizeof(h));
	assert_int_equal(b->msgs[1].msg_len, sizeof(message));
	assert_memory_equal(batch_slot(b, 1) + BATCH_HEADROOM, "data", 4);
}

static void no_more_is_read_than_was_asked_for(void **state)
{
	int i;

	for (i = 0; i < 5; i++)
		put(&i, sizeof(i));
	assert_int_equal(batch_receive(b, pair[1], BATCH_HEADROOM, false, 3), 3);
	assert_int_equal(batch_receive(b, pair[1], BATCH_HEADROOM, false, 3), 2);
	memcpy(&i, batch_slot(b, 1) + BATCH_HEADROOM, sizeof(i));
	assert_int_equal(i, 4);
}

/* The longest frame there is fits; what is longer is marked and never written beyond its slot. */
static void a_message_longer_than_a_slot_is_cut_and_marked(void **state)
{
	size_t len = BATCH_SLOT - BATCH_HEADROOM;
	uint8_t *data = calloc(1, len + 1);

	assert_true(len >= FRAME_MAX && len >= 65535);
	assert_non_null(data);
	memset(data, 0xaa, len + 1);
	put(data, len);
	put(data, len + 1);
	assert_int_equal(batch_receive(b, pair[1], BATCH_HEADROOM, false, BATCH_MESSAGES), 2);
	assert_int_equal(b->msgs[0].msg_len, len);
	assert_false(b->msgs[0].msg_hdr.msg_flags & MSG_TRUNC);
	assert_memory_equal(batch_slot(b, 0) + BATCH_HEADROOM, data, len);
	assert_true(b->msgs[1].msg_hdr.msg_flags & MSG_TRUNC);
	assert_int_equal(batch_slot(b, 2)[0], 0);
	free(data);
}

static void no_batch_needs_no_freeing(void **state)
{
	batch_free(NULL);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(nothing_waiting_is_no_message),
		test(each_message_stands_in_its_slot_behind_the_headroom),
		test(an_offload_header_in_front_goes_to_its_own_place),
		test(no_more_is_read_than_was_asked_for),
		test(a_message_longer_than_a_slot_is_cut_and_marked),
		cmocka_unit_test(no_batch_needs_no_freeing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
