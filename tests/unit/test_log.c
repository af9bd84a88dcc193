// SPDX-License-Identifier: GPL-3.0-or-later
/* test_log.c - one message, one line, one write; repeated ones are held back and counted */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define HOUR 3600000000000ull

static int saved = -1; /* the standard error of before */
static int heard;      /* each write to standard error is one datagram here */

static int setup(void **state)
{
	int pair[2];

	unsetenv("JOURNAL_STREAM");
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair))
		return -1;
	saved = dup(STDERR_FILENO);
	dup2(pair[1], STDERR_FILENO);
	close(pair[1]);
	heard = pair[0];
	log_setup("longhaul test", LOG_LEVEL_INFO);
	alarm(20); /* ends a test that waits for a line that was lost */
	return 0;
}

static int teardown(void **state)
{
	alarm(0);
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(heard);
	unsetenv("JOURNAL_STREAM");
	return 0;
}

/* What one write said; NULL: there was none. */
static const char *next(void)
{
	static char line[4096];
	ssize_t n = recv(heard, line, sizeof(line) - 1, MSG_DONTWAIT);

	if (n < 0)
		return NULL;
	line[n] = '\0';
	return line;
}

static void a_line_says_who_how_bad_and_what(void **state)
{
	log_error("port %s: %d", "eth1", 5);
	assert_string_equal(next(), "longhaul test: error: port eth1: 5\n");
	log_warning("plain text");
	assert_string_equal(next(), "longhaul test: warning: plain text\n");
	log_info("bridging");
	assert_string_equal(next(), "longhaul test: bridging\n");
	assert_null(next());
}

static void what_is_less_important_than_asked_for_is_not_said(void **state)
{
	log_debug("x");
	assert_null(next());
	log_setup("t", LOG_LEVEL_DEBUG);
	log_debug("x");
	assert_string_equal(next(), "t: x\n");
	log_setup("t", LOG_LEVEL_ERROR);
	log_debug("x");
	log_info("x");
	log_warning("x");
	assert_null(next());
	log_error("x");
	assert_string_equal(next(), "t: error: x\n");
}

/* log_write() has a buffer of 1024 bytes; whatever is said, a line ends with its newline. */
static void a_line_that_is_too_long_is_cut_and_still_ends(void **state)
{
	static const char prefix[] = "longhaul test: ";
	char text[2000];
	const char *line;
	size_t len, n;

	for (len = 990; len < sizeof(text); len += len < 1030 ? 1 : 300) {
		memset(text, 'x', len);
		text[len] = '\0';
		log_info("%s", text);
		line = next();
		assert_non_null(line);
		n = strlen(line);
		assert_true(n <= 1024);
		assert_true(n == strlen(prefix) + len + 1 || n > 1000);
		assert_int_equal(line[n - 1], '\n');
		assert_int_equal(strspn(line + strlen(prefix), "x"), n - strlen(prefix) - 1);
		assert_null(next());
	}
}

static void a_name_that_is_too_long_is_cut(void **state)
{
	char name[200];
	const char *line;

	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	log_setup(name, LOG_LEVEL_INFO);
	log_info("x");
	line = next();
	assert_non_null(strstr(line, "nnn: x\n"));
	assert_true(strlen(line) < 100);
}

static void set_journal(int fd, int more)
{
	struct stat st;
	char text[64];

	assert_int_equal(fstat(fd, &st), 0);
	snprintf(text, sizeof(text), "%llu:%llu", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino + (unsigned)more);
	setenv("JOURNAL_STREAM", text, 1);
	log_setup("longhaul test", LOG_LEVEL_DEBUG);
}

static void the_journal_gets_priorities_and_no_name(void **state)
{
	set_journal(STDERR_FILENO, 0);
	log_error("a");
	assert_string_equal(next(), "<3>error: a\n");
	log_warning("b");
	assert_string_equal(next(), "<4>warning: b\n");
	log_info("c");
	assert_string_equal(next(), "<6>c\n");
	log_debug("d");
	assert_string_equal(next(), "<7>d\n");
}

static void errors_sent_elsewhere_than_to_the_journal_keep_the_name(void **state)
{
	set_journal(STDERR_FILENO, 1);
	log_info("a");
	assert_string_equal(next(), "longhaul test: a\n");
	setenv("JOURNAL_STREAM", "nonsense", 1);
	log_setup("longhaul test", LOG_LEVEL_INFO);
	log_info("b");
	assert_string_equal(next(), "longhaul test: b\n");
}

static void nobody_listening_harms_nobody(void **state)
{
	close(STDERR_FILENO);
	log_error("x");
	assert_true(dup2(saved, STDERR_FILENO) >= 0);
}

#define WRITERS 4
#define LINES	50

static void *write_lines(void *letter)
{
	char text[200];
	int i;

	memset(text, *(const char *)letter, sizeof(text));
	text[sizeof(text) - 1] = '\0';
	for (i = 0; i < LINES; i++)
		log_info("%s", text);
	return NULL;
}

static void lines_of_threads_do_not_mix(void **state)
{
	static const char letters[] = "abcd";
	pthread_t threads[WRITERS];
	unsigned counts[WRITERS] = {0};
	const char *line, *text;
	int i, n;

	for (i = 0; i < WRITERS; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, write_lines, (void *)&letters[i]), 0);
	for (n = 0; n < WRITERS * LINES;) {
		line = next();
		if (!line)
			continue;
		n++;
		text = line + strlen("longhaul test: ");
		assert_int_equal(strlen(text), 200);
		assert_int_equal(strspn(text, (char[]){text[0], '\0'}), 199);
		counts[strchr(letters, text[0]) - letters]++;
	}
	for (i = 0; i < WRITERS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(counts[i], LINES);
	}
}

static void a_repeated_message_is_held_back_and_counted(void **state)
{
	struct log_limit limit = LOG_LIMIT(3600);
	uint64_t suppressed = 77;

	assert_int_equal(limit.interval_ns, HOUR);
	assert_true(log_allowed(&limit, &suppressed));
	assert_int_equal(suppressed, 0);
	assert_false(log_allowed(&limit, &suppressed));
	assert_false(log_allowed(&limit, &suppressed));
	/* An hour later: */
	limit.next_ns -= HOUR;
	assert_true(log_allowed(&limit, &suppressed));
	assert_int_equal(suppressed, 2);
	assert_false(log_allowed(&limit, &suppressed));
	limit.next_ns -= HOUR;
	assert_true(log_allowed(&limit, &suppressed));
	assert_int_equal(suppressed, 1);
}

static struct log_limit shared = LOG_LIMIT(3600);
static _Atomic unsigned allowed;

static void *ask(void *arg)
{
	uint64_t suppressed;
	int i;

	for (i = 0; i < 1000; i++)
		if (log_allowed(&shared, &suppressed))
			atomic_fetch_add(&allowed, 1);
	return NULL;
}

static void of_all_threads_one_may_speak(void **state)
{
	pthread_t threads[WRITERS];
	uint64_t suppressed;
	int i;

	for (i = 0; i < WRITERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, ask, NULL), 0);
	for (i = 0; i < WRITERS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(allowed, 1);
	shared.next_ns -= HOUR;
	assert_true(log_allowed(&shared, &suppressed));
	assert_int_equal(suppressed, WRITERS * 1000 - 1);
}

#define captured(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		captured(a_line_says_who_how_bad_and_what),
		captured(what_is_less_important_than_asked_for_is_not_said),
		captured(a_line_that_is_too_long_is_cut_and_still_ends),
		captured(a_name_that_is_too_long_is_cut),
		captured(the_journal_gets_priorities_and_no_name),
		captured(errors_sent_elsewhere_than_to_the_journal_keep_the_name),
		captured(nobody_listening_harms_nobody),
		captured(lines_of_threads_do_not_mix),
		cmocka_unit_test(a_repeated_message_is_held_back_and_counted),
		cmocka_unit_test(of_all_threads_one_may_speak),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
