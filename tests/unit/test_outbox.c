// SPDX-License-Identifier: GPL-3.0-or-later
/* test_outbox.c - TLS records gathered for a socket: none lost, none moved, whatever it takes */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "accel/outbox.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RECORD 16408 /* bytes of a full TLS 1.3 record */

struct box {
	BIO_METHOD *method;
	struct chunks chunks;
	BIO *bio;
	int near, far;
	uint64_t put, got; /* bytes; the n-th is a function of n */
};

static uint8_t nth(uint64_t n)
{
	return (uint8_t)(n * 2654435761u >> 13);
}

static int open_box(void **state)
{
	static struct box b;
	int fds[2];

	b = (struct box){.method = outbox_method()};
	if (!b.method || socketpair(AF_UNIX, SOCK_STREAM, 0, fds))
		return -1;
	b.near = fds[0];
	b.far = fds[1];
	fcntl(b.far, F_SETFL, O_NONBLOCK);
	b.bio = outbox_new(b.method, b.near, &b.chunks);
	*state = &b;
	return b.bio ? 0 : -1;
}

static int close_box(void **state)
{
	struct box *b = *state;

	BIO_free(b->bio);
	chunks_free(&b->chunks);
	BIO_meth_free(b->method);
	close(b->near);
	close(b->far);
	return 0;
}

static int put(struct box *b, int len)
{
	static char bytes[CHUNK_ROOM + 1];
	int i, ret;

	for (i = 0; i < len; i++)
		bytes[i] = (char)nth(b->put + (uint64_t)i);
	ret = BIO_write(b->bio, bytes, len);
	if (ret > 0)
		b->put += (uint64_t)ret;
	return ret;
}

/* Reads what is there and looks at every byte. */
static void drain(struct box *b)
{
	static uint8_t bytes[65536];
	ssize_t n, i;

	while ((n = read(b->far, bytes, sizeof(bytes))) > 0)
		for (i = 0; i < n; i++, b->got++)
			assert_int_equal(bytes[i], nth(b->got));
}

static void records_wait_until_they_are_flushed(void **state)
{
	struct box *b = *state;

	assert_int_equal(put(b, RECORD), RECORD);
	assert_int_equal(put(b, 37), 37);
	drain(b);
	assert_int_equal(b->got, 0);
	assert_int_equal(BIO_wpending(b->bio), RECORD + 37);
	assert_int_equal(BIO_flush(b->bio), 1);
	drain(b);
	assert_int_equal(b->got, RECORD + 37);
	assert_int_equal(BIO_wpending(b->bio), 0);
	assert_int_equal(BIO_flush(b->bio), 1);
}

static void a_full_box_sends_before_it_takes_more(void **state)
{
	struct box *b = *state;
	int i;

	for (i = 0; i < 20; i++) {
		assert_int_equal(put(b, RECORD), RECORD);
		drain(b);
	}
	assert_in_range(b->got, 15 * RECORD, 19 * RECORD);
	assert_int_equal(BIO_flush(b->bio), 1);
	drain(b);
	assert_int_equal(b->got, 20 * RECORD);
}

static void nothing_is_lost_when_the_socket_takes_no_more(void **state)
{
	struct box *b = *state;
	unsigned refused = 0, unflushed = 0;
	int ret;

	while (b->got < 200 * RECORD) {
		ret = put(b, RECORD);
		if (ret < 0) {
			assert_true(BIO_should_retry(b->bio) && BIO_should_write(b->bio));
			refused++;
			drain(b);
		}
		if (b->put / RECORD % 7 == 0 && BIO_flush(b->bio) != 1) {
			assert_true(BIO_should_retry(b->bio));
			assert_true(BIO_wpending(b->bio) > 0);
			unflushed++;
		}
	}
	assert_true(refused && unflushed);
	while (BIO_flush(b->bio) != 1)
		drain(b);
	drain(b);
	assert_int_equal(b->got, b->put);
}

static void a_lost_socket_is_no_reason_to_try_again(void **state)
{
	struct box *b = *state;

	assert_int_equal(put(b, RECORD), RECORD);
	close(b->far);
	b->far = -1;
	assert_true(BIO_flush(b->bio) <= 0);
	assert_false(BIO_should_retry(b->bio));
}

static void what_can_never_fit_is_refused_for_good(void **state)
{
	struct box *b = *state;

	assert_true(put(b, CHUNK_ROOM + 1) <= 0);
	assert_false(BIO_should_retry(b->bio));
	assert_int_equal(put(b, CHUNK_ROOM), CHUNK_ROOM);
}

static void memory_is_held_only_while_something_waits(void **state)
{
	struct box *b = *state;

	assert_int_equal(b->chunks.n, 0);
	assert_int_equal(put(b, 10), 10);
	assert_int_equal(BIO_flush(b->bio), 1);
	assert_int_equal(b->chunks.n, 1);
	assert_int_equal(put(b, 10), 10);
	assert_int_equal(b->chunks.n, 0);
	assert_int_equal(BIO_flush(b->bio), 1);
}

static void no_more_chunks_are_kept_than_are_stated(void **state)
{
	static struct chunk *all[CHUNKS_SPARE + 9];
	struct chunks chunks = {0};
	unsigned i;

	for (i = 0; i < CHUNKS_SPARE + 9; i++)
		assert_non_null(all[i] = chunk_take(&chunks));
	all[0]->len = 7;
	for (i = CHUNKS_SPARE + 9; i; i--)
		chunk_give(&chunks, all[i - 1]);
	assert_int_equal(chunks.n, CHUNKS_SPARE);
	chunk_give(&chunks, NULL);
	assert_int_equal(chunks.n, CHUNKS_SPARE);
	all[0] = chunk_take(&chunks);
	assert_int_equal(all[0]->len, 0);
	assert_null(all[0]->next);
	chunk_give(&chunks, all[0]);
	chunks_free(&chunks);
	assert_null(chunks.spare);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(records_wait_until_they_are_flushed, open_box,
						close_box),
		cmocka_unit_test_setup_teardown(a_full_box_sends_before_it_takes_more, open_box,
						close_box),
		cmocka_unit_test_setup_teardown(nothing_is_lost_when_the_socket_takes_no_more,
						open_box, close_box),
		cmocka_unit_test_setup_teardown(a_lost_socket_is_no_reason_to_try_again, open_box,
						close_box),
		cmocka_unit_test_setup_teardown(what_can_never_fit_is_refused_for_good, open_box,
						close_box),
		cmocka_unit_test_setup_teardown(memory_is_held_only_while_something_waits, open_box,
						close_box),
		cmocka_unit_test(no_more_chunks_are_kept_than_are_stated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
