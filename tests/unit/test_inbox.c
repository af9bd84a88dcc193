// SPDX-License-Identifier: GPL-3.0-or-later
/* test_inbox.c - a stream's socket as TLS reads it: nothing missed, nothing asked twice */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "accel/inbox.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct box {
	BIO_METHOD *method;
	BIO *bio;
	int near, far;
	char got[64];
};

static int open_box(void **state)
{
	static struct box b;
	int fds[2];

	b = (struct box){.method = inbox_method()};
	if (!b.method || socketpair(AF_UNIX, SOCK_STREAM, 0, fds))
		return -1;
	b.near = fds[0];
	b.far = fds[1];
	b.bio = inbox_new(b.method, b.near);
	*state = &b;
	return b.bio ? 0 : -1;
}

static int close_box(void **state)
{
	struct box *b = *state;

	BIO_free(b->bio);
	BIO_meth_free(b->method);
	close(b->near);
	if (b->far >= 0)
		close(b->far);
	return 0;
}

static void put(struct box *b, const char *text)
{
	assert_int_equal(write(b->far, text, strlen(text)), strlen(text));
}

static void assert_got(struct box *b, const char *text)
{
	assert_int_equal(BIO_read(b->bio, b->got, sizeof(b->got)), strlen(text));
	assert_memory_equal(b->got, text, strlen(text));
}

static void assert_nothing(struct box *b)
{
	assert_int_equal(BIO_read(b->bio, b->got, sizeof(b->got)), -1);
	assert_true(BIO_should_retry(b->bio));
	assert_false(BIO_eof(b->bio));
}

static void what_there_is_comes_at_once(void **state)
{
	struct box *b = *state;

	put(b, "one");
	put(b, "two");
	assert_got(b, "onetwo");
	assert_nothing(b);
}

static void a_socket_that_gave_less_than_asked_is_not_read_until_it_fills(void **state)
{
	struct box *b = *state;

	put(b, "one");
	assert_got(b, "one");
	put(b, "two");
	assert_nothing(b);
	inbox_fills(b->bio, false);
	assert_got(b, "two");
}

static void a_socket_that_gave_all_that_was_asked_is_read_on(void **state)
{
	struct box *b = *state;
	char text[sizeof(b->got) + 1] = "";

	memset(text, 'x', sizeof(b->got));
	put(b, text);
	put(b, "rest");
	assert_got(b, text);
	assert_got(b, "rest");
	assert_nothing(b);
}

static void the_end_is_read_behind_the_last_bytes(void **state)
{
	struct box *b = *state;

	put(b, "last");
	close(b->far);
	b->far = -1;
	inbox_fills(b->bio, true);
	assert_got(b, "last");
	assert_int_equal(BIO_read(b->bio, b->got, sizeof(b->got)), 0);
	assert_false(BIO_should_retry(b->bio));
	assert_true(BIO_eof(b->bio));
}

static void a_socket_that_is_broken_is_not_tried_again(void **state)
{
	struct box *b = *state;
	int not_connected = socket(AF_INET, SOCK_STREAM, 0);

	assert_true(not_connected >= 0);
	BIO_free(b->bio);
	b->bio = inbox_new(b->method, not_connected);
	assert_int_equal(BIO_read(b->bio, b->got, sizeof(b->got)), -1);
	assert_false(BIO_should_retry(b->bio));
	close(not_connected);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_box, close_box)
	const struct CMUnitTest tests[] = {
		TEST(what_there_is_comes_at_once),
		TEST(a_socket_that_gave_less_than_asked_is_not_read_until_it_fills),
		TEST(a_socket_that_gave_all_that_was_asked_is_read_on),
		TEST(the_end_is_read_behind_the_last_bytes),
		TEST(a_socket_that_is_broken_is_not_tried_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
