// SPDX-License-Identifier: GPL-3.0-or-later
/* test_notify.c - what the service manager hears, and what it asks for */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/notify.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char dir[64], path[96];
static int manager = -1; /* the service manager's socket */

/* Listens on a path, or on an abstract name where it begins with '@'. */
static void listen_on(const char *name)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", name);
	if (*name == '@')
		a.sun_path[0] = '\0';
	manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_true(manager >= 0);
	assert_int_equal(bind(manager, (struct sockaddr *)&a,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))),
			 0);
	setenv("NOTIFY_SOCKET", name, 1);
}

/* The next datagram; NULL: there is none. */
static const char *next(void)
{
	static char text[4096];
	ssize_t n = recv(manager, text, sizeof(text) - 1, MSG_DONTWAIT);

	if (n < 0)
		return NULL;
	assert_null(memchr(text, '\0', (size_t)n));
	text[n] = '\0';
	return text;
}

static int setup(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/longhaul-notify-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/notify", dir);
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	return 0;
}

static int teardown(void **state)
{
	if (manager >= 0)
		close(manager);
	manager = -1;
	unlink(path);
	rmdir(dir);
	return 0;
}

static void readiness_is_one_datagram_to_the_path(void **state)
{
	listen_on(path);
	notify_manager("READY=1\nSTATUS=bridging %u ports with %u peers", 3u, 2u);
	assert_string_equal(next(), "READY=1\nSTATUS=bridging 3 ports with 2 peers");
	assert_null(next());
	notify_manager("WATCHDOG=1");
	notify_manager("STOPPING=1");
	assert_string_equal(next(), "WATCHDOG=1");
	assert_string_equal(next(), "STOPPING=1");
	assert_null(next());
}

static void an_abstract_socket_is_written_with_an_at_sign(void **state)
{
	char name[64];

	snprintf(name, sizeof(name), "@longhaul-notify-%d", (int)getpid());
	listen_on(name);
	notify_manager("READY=1");
	assert_string_equal(next(), "READY=1");
	assert_null(next());
}

static void nobody_is_told_when_nobody_asked(void **state)
{
	listen_on(path);
	unsetenv("NOTIFY_SOCKET");
	notify_manager("READY=1");
	setenv("NOTIFY_SOCKET", "", 1);
	notify_manager("READY=1");
	assert_null(next());
}

static void an_address_that_is_none_is_passed_over(void **state)
{
	char longer[200];

	listen_on(path);
	if (chdir(dir))
		fail();
	setenv("NOTIFY_SOCKET", "notify", 1);
	notify_manager("READY=1");
	setenv("NOTIFY_SOCKET", "./notify", 1);
	notify_manager("READY=1");
	memset(longer, 'x', sizeof(longer) - 1);
	longer[0] = '/';
	longer[sizeof(longer) - 1] = '\0';
	setenv("NOTIFY_SOCKET", longer, 1);
	notify_manager("READY=1");
	assert_null(next());
	if (chdir("/"))
		fail();
}

static void a_manager_that_has_gone_is_told_of_and_survived(void **state)
{
	int err = dup(STDERR_FILENO), pipes[2];
	char text[256] = "";

	assert_int_equal(pipe(pipes), 0);
	setenv("NOTIFY_SOCKET", path, 1);
	dup2(pipes[1], STDERR_FILENO);
	notify_manager("READY=1");
	dup2(err, STDERR_FILENO);
	close(pipes[1]);
	assert_true(read(pipes[0], text, sizeof(text) - 1) > 0);
	assert_non_null(strstr(text, path));
	assert_non_null(strstr(text, "No such file or directory"));
	close(pipes[0]);
	close(err);
}

static void a_text_that_is_too_long_is_cut(void **state)
{
	char longer[3000];
	const char *text;

	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	listen_on(path);
	notify_manager("READY=1\nSTATUS=%s", longer);
	text = next();
	assert_non_null(text);
	assert_true(strlen(text) > 500);
	assert_memory_equal(text, "READY=1\nSTATUS=xxx", 18);
}

static unsigned open_descriptors(void)
{
	unsigned n = 0;
	int fd;

	for (fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void no_descriptor_is_left_open(void **state)
{
	unsigned before;
	int i;

	listen_on(path);
	before = open_descriptors();
	for (i = 0; i < 5; i++)
		notify_manager("WATCHDOG=1");
	assert_int_equal(open_descriptors(), before);
}

static void the_watchdog_is_fed_twice_as_often_as_it_asks(void **state)
{
	char pid[16];

	assert_int_equal(notify_watchdog_ns(), 0);
	setenv("WATCHDOG_USEC", "20000000", 1);
	assert_true(notify_watchdog_ns() == 10000000000);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("WATCHDOG_PID", pid, 1);
	assert_true(notify_watchdog_ns() == 10000000000);
}

static void a_watchdog_of_another_process_is_not_ours(void **state)
{
	setenv("WATCHDOG_USEC", "20000000", 1);
	setenv("WATCHDOG_PID", "1", 1);
	assert_int_equal(notify_watchdog_ns(), 0);
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	assert_int_equal(notify_watchdog_ns(), 0);
}

static void a_watchdog_that_says_nothing_sensible_is_none(void **state)
{
	static const char *const values[] = {"", "0", "soon", "x1"};
	size_t i;

	for (i = 0; i < sizeof(values) / sizeof(*values); i++) {
		setenv("WATCHDOG_USEC", values[i], 1);
		assert_int_equal(notify_watchdog_ns(), 0);
	}
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(readiness_is_one_datagram_to_the_path),
		test(an_abstract_socket_is_written_with_an_at_sign),
		test(nobody_is_told_when_nobody_asked),
		test(an_address_that_is_none_is_passed_over),
		test(a_manager_that_has_gone_is_told_of_and_survived),
		test(a_text_that_is_too_long_is_cut),
		test(no_descriptor_is_left_open),
		test(the_watchdog_is_fed_twice_as_often_as_it_asks),
		test(a_watchdog_of_another_process_is_not_ours),
		test(a_watchdog_that_says_nothing_sensible_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
