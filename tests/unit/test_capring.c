// SPDX-License-Identifier: GPL-3.0-or-later
/* test_capring.c - frames through shared memory: whole, in order, or counted as dropped */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/capring.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define SIZE 4096u

static _Alignas(4096) uint8_t memory[CAPRING_HEADER + SIZE];
static struct capring_writer w;
static struct capring_reader r;

static void begin(void)
{
	memset(memory, 0, sizeof(memory));
	capring_writer_init(&w, memory, SIZE);
	capring_reader_init(&r, memory, SIZE);
}

/* A frame whose bytes follow from its number, in two pieces. */
static bool put(uint32_t number, uint32_t len)
{
	struct capring_record record = {.time_ns = number,
					.captured = len,
					.length = len + 1000,
					.point = number % 7,
					.way = 1};
	uint8_t bytes[2048];
	struct iovec iov[2] = {{bytes, len / 3}, {bytes + len / 3, len - len / 3}};
	uint32_t i;

	for (i = 0; i < len; i++)
		bytes[i] = (uint8_t)(number * 31 + i);
	return capring_put(&w, &record, iov, 2);
}

static void expect(uint32_t number, uint32_t len)
{
	struct capring_record record;
	const uint8_t *data;
	uint32_t i;

	assert_int_equal(capring_peek(&r, &record, &data), 1);
	assert_int_equal(record.time_ns, number);
	assert_int_equal(record.captured, len);
	assert_int_equal(record.length, len + 1000);
	assert_int_equal(record.point, number % 7);
	for (i = 0; i < len; i++)
		assert_int_equal(data[i], (uint8_t)(number * 31 + i));
	capring_done(&r, &record);
}

static void frames_come_out_as_they_went_in_round_the_ring_many_times(void **state)
{
	uint32_t i;

	begin();
	for (i = 0; i < 5000; i++) {
		uint32_t len = i * 37 % 1400;

		assert_true(put(i, len));
		expect(i, len);
	}
	assert_int_equal(atomic_load(&w.shared->dropped), 0);
}

static void what_does_not_fit_is_dropped_and_counted_and_the_rest_is_whole(void **state)
{
	uint32_t i, n = 0;

	begin();
	for (i = 0; i < 100; i++)
		n += put(i, 200);
	assert_in_range(n, 17, 18); /* 224 bytes each */
	assert_int_equal(atomic_load(&w.shared->dropped), 100 - n);
	for (i = 0; i < n; i++)
		expect(i, 200);
	assert_true(put(1000, 200));
	expect(1000, 200);
}

static void a_frame_longer_than_the_ring_is_dropped(void **state)
{
	struct capring_record record = {.captured = SIZE, .length = SIZE};
	struct iovec iov = {memory, SIZE};

	begin();
	assert_false(capring_put(&w, &record, &iov, 1));
	assert_true(put(1, 100));
}

static void a_reader_that_lies_makes_the_ring_full_and_nothing_else(void **state)
{
	static const uint64_t lies[] = {1, 5000, 1ull << 63};
	size_t i;

	for (i = 0; i < 3; i++) {
		begin();
		put(0, 100);
		put(1, 100);
		atomic_store(&w.shared->read, w.written + lies[i]);
		assert_false(put(2, 100));
	}
}

static void a_writer_that_lies_is_found_out(void **state)
{
	struct capring_record record = {.captured = 100000, .length = 100000};
	const uint8_t *data;

	begin();
	atomic_store(&w.shared->written, SIZE * 2);
	assert_int_equal(capring_peek(&r, &record, &data), -1);
	begin();
	memcpy(memory + CAPRING_HEADER, &record, sizeof(record));
	atomic_store(&w.shared->written, 64);
	assert_int_equal(capring_peek(&r, &record, &data), -1);
	begin();
	record = (struct capring_record){.captured = 50, .length = 20};
	memcpy(memory + CAPRING_HEADER, &record, sizeof(record));
	atomic_store(&w.shared->written, 80);
	assert_int_equal(capring_peek(&r, &record, &data), -1);
}

static void *write_many(void *arg)
{
	uint32_t i;

	for (i = 0; i < 50000; i++)
		while (!put(i, i % 300))
			sched_yield();
	return NULL;
}

static void a_thread_that_writes_while_another_reads_loses_and_mixes_nothing(void **state)
{
	struct capring_record record;
	const uint8_t *data;
	pthread_t thread;
	uint32_t i;

	begin();
	assert_int_equal(pthread_create(&thread, NULL, write_many, NULL), 0);
	for (i = 0; i < 50000; i++) {
		while (!capring_peek(&r, &record, &data))
			sched_yield();
		expect(i, i % 300);
	}
	pthread_join(thread, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_come_out_as_they_went_in_round_the_ring_many_times),
		cmocka_unit_test(what_does_not_fit_is_dropped_and_counted_and_the_rest_is_whole),
		cmocka_unit_test(a_frame_longer_than_the_ring_is_dropped),
		cmocka_unit_test(a_reader_that_lies_makes_the_ring_full_and_nothing_else),
		cmocka_unit_test(a_writer_that_lies_is_found_out),
		cmocka_unit_test(a_thread_that_writes_while_another_reads_loses_and_mixes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
