// SPDX-License-Identifier: GPL-3.0-or-later
/* test_ctlsock.c - an instance answers who asks it, and neither side can hang or harm the other */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/ctlsock.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEADLINE_S  20 /* for what takes milliseconds */
#define TIMEOUT_MS  (DEADLINE_S * 1000)
#define REQUEST_MAX 65536 /* bytes that a request and its newline must fit */
#define CLIENTS_MAX 16

static struct loop *l;
static struct ctl_server *server;
static int to_pass = -1; /* what {"pass": …} gets along with its reply */
static pthread_t thread;
static char name[CTL_NAME_MAX]; /* of the instance, this test's own */
static struct err e;

/*
 * {"echo": X} is answered with X, {"size": N} with so many letters, {"none": …} with nothing;
 * {"pass": …} gets a descriptor along with that.
 */
static json_t *answer(void *ctx, const json_t *request)
{
	json_t *size = json_object_get(request, "size"), *reply;
	char *text;

	assert_string_equal(ctx, "context");
	if (json_object_get(request, "pass"))
		assert_int_equal(ctl_attach(server, to_pass), 0);
	if (json_object_get(request, "none"))
		return NULL;
	if (!size)
		return json_pack("{s:i, s:O?}", "version", 1, "echo",
				 json_object_get(request, "echo"));
	text = malloc((size_t)json_integer_value(size) + 1);
	memset(text, 'x', (size_t)json_integer_value(size));
	text[json_integer_value(size)] = '\0';
	reply = json_pack("{s:s}", "text", text);
	free(text);
	return reply;
}

static void *run(void *arg)
{
	return (void *)(intptr_t)loop_run(l);
}

static int setup(void **state)
{
	snprintf(name, sizeof(name), "unit-test-%d", (int)getpid());
	e.text[0] = '\0';
	alarm(DEADLINE_S);
	l = loop_new(&e);
	server = ctl_server_new(l, name, answer, (void *)"context", &e);
	return !server || pthread_create(&thread, NULL, run, NULL) ? -1 : 0;
}

static int teardown(void **state)
{
	alarm(0);
	loop_stop(l);
	pthread_join(thread, NULL);
	ctl_server_free(server);
	loop_free(l);
	return 0;
}

/* A connection by hand: what ctl_request() would not do. */
static int dial(const char *kind, const char *to)
{
	struct timeval deadline = {.tv_sec = DEADLINE_S};
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int n = snprintf(a.sun_path + 1, sizeof(a.sun_path) - 1, "%s%s", kind, to);

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof(deadline));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &deadline, sizeof(deadline));
	assert_int_equal(
		connect(fd, (struct sockaddr *)&a,
			(socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1) + (socklen_t)n),
		0);
	return fd;
}

static void put(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Reads one line without its newline; "" when the other side has closed. */
static const char *get(int fd)
{
	static char line[1024];
	size_t n = 0;

	while (n < sizeof(line) - 1 && recv(fd, line + n, 1, 0) == 1 && line[n] != '\n')
		n++;
	line[n] = '\0';
	return line;
}

/* Reads until the other side closes. Returns how many bytes that was. */
static size_t drain(int fd)
{
	static char buf[65536];
	size_t all = 0;
	ssize_t n;

	while ((n = recv(fd, buf, sizeof(buf), 0)) > 0)
		all += (size_t)n;
	if (n < 0 && errno != ECONNRESET)
		fail_msg("not closed: %s", strerror(errno));
	return all;
}

static int ask(json_t *request, json_t **reply)
{
	int ret = ctl_request(name, request, reply, TIMEOUT_MS, &e);

	json_decref(request);
	return ret;
}

static void assert_answers(void)
{
	json_t *reply;

	assert_int_equal(ask(json_pack("{s:s}", "echo", "again"), &reply), 0);
	assert_string_equal(json_string_value(json_object_get(reply, "echo")), "again");
	json_decref(reply);
}

static void a_request_gets_its_reply(void **state)
{
	json_t *reply, *echo;

	assert_int_equal(
		ask(json_pack("{s:{s:i, s:s}}", "echo", "a", 1, "b", "line\nfeed"), &reply), 0);
	echo = json_object_get(reply, "echo");
	assert_int_equal(json_integer_value(json_object_get(echo, "a")), 1);
	assert_string_equal(json_string_value(json_object_get(echo, "b")), "line\nfeed");
	json_decref(reply);
}

static void a_reply_larger_than_any_buffer_comes_whole(void **state)
{
	static const int sizes[] = {0, 65524, 65525, 65526, 200000, 5000000};
	json_t *reply;
	size_t i;

	for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		assert_int_equal(ask(json_pack("{s:i}", "size", sizes[i]), &reply), 0);
		assert_int_equal(json_string_length(json_object_get(reply, "text")), sizes[i]);
		json_decref(reply);
	}
}

static unsigned count_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void a_descriptor_goes_with_the_reply_it_was_attached_to_and_no_other(void **state)
{
	json_t *passing = json_pack("{s:i, s:i}", "pass", 1, "size", 200000);
	json_t *plain = json_pack("{s:i}", "echo", 1), *reply;
	int ends[2], got;
	char letter = 0;

	assert_int_equal(pipe(ends), 0);
	to_pass = ends[1];
	assert_int_equal(ctl_request_fd(name, passing, &reply, &got, TIMEOUT_MS, &e), 0);
	assert_int_equal(json_string_length(json_object_get(reply, "text")), 200000);
	json_decref(reply);
	assert_true(got >= 0 && got != ends[1]);
	assert_true(fcntl(got, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(write(got, "x", 1), 1);
	assert_int_equal(read(ends[0], &letter, 1), 1);
	assert_int_equal(letter, 'x');
	close(got);
	assert_int_equal(ctl_request_fd(name, plain, &reply, &got, TIMEOUT_MS, &e), 0);
	json_decref(reply);
	assert_int_equal(got, -1);
	/* Neither side keeps a copy: with our own end closed, the pipe has no writer. */
	close(ends[1]);
	assert_int_equal(read(ends[0], &letter, 1), 0);
	close(ends[0]);
	json_decref(passing);
	json_decref(plain);
}

static void a_descriptor_that_nobody_asked_for_is_closed(void **state)
{
	json_t *reply, *passing = json_pack("{s:i}", "pass", 1);
	unsigned before, i;
	int ends[2];
	char letter;

	assert_int_equal(pipe(ends), 0);
	to_pass = ends[1];
	assert_answers();
	before = count_descriptors();
	for (i = 0; i < 20; i++) {
		assert_int_equal(ctl_request(name, passing, &reply, TIMEOUT_MS, &e), 0);
		json_decref(reply);
	}
	/* The server may still have the last connection. */
	assert_true(count_descriptors() <= before + 2);
	close(ends[1]);
	assert_int_equal(read(ends[0], &letter, 1), 0);
	close(ends[0]);
	json_decref(passing);
}

static void a_connection_takes_one_request_after_another(void **state)
{
	int fd = dial("longhaul/", name);

	put(fd, "{\"echo\":1}\n");
	assert_string_equal(get(fd), "{\"version\":1,\"echo\":1}");
	put(fd, "{\"echo\":2}\n");
	assert_string_equal(get(fd), "{\"version\":1,\"echo\":2}");
	close(fd);
}

static void lines_written_together_are_answered_in_order(void **state)
{
	int fd = dial("longhaul/", name);

	put(fd, "{\"echo\":1}\n{\"echo\":2}\r\n\t{\"echo\": 3} \n{\"ec");
	assert_string_equal(get(fd), "{\"version\":1,\"echo\":1}");
	assert_string_equal(get(fd), "{\"version\":1,\"echo\":2}");
	assert_string_equal(get(fd), "{\"version\":1,\"echo\":3}");
	put(fd, "ho\":4}");
	put(fd, "\n");
	assert_string_equal(get(fd), "{\"version\":1,\"echo\":4}");
	close(fd);
}

static void garbage_gets_an_error_and_the_connection_goes_on(void **state)
{
	static const char *const garbage[] = {"\n",
					      "x\n",
					      "{\n",
					      "{}}\n",
					      "[1]\n",
					      "12\n",
					      "\"a\"\n",
					      "{a: 1}\n",
					      "\x01\xff\xfe\x80\n",
					      "{\"echo\":\"\xff\"}\n"};
	int fd = dial("longhaul/", name);
	size_t i;

	for (i = 0; i < sizeof(garbage) / sizeof(*garbage); i++) {
		put(fd, garbage[i]);
		assert_string_equal(get(fd), "{\"version\":1,\"error\":\"a request is one JSON "
					     "object on one line\"}");
	}
	assert_int_equal(send(fd, "\0\n", 2, 0), 2);
	assert_non_null(strstr(get(fd), "error"));
	put(fd, "{\"echo\":true}\n");
	assert_string_equal(get(fd), "{\"version\":1,\"echo\":true}");
	close(fd);
}

/* A request of @len bytes with its newline. */
static void put_long(int fd, size_t len, bool ended)
{
	char *text = malloc(len + 1);

	memset(text, ' ', len);
	memcpy(text, "{\"echo\":1}", 10);
	text[len - 1] = ended ? '\n' : ' ';
	text[len] = '\0';
	put(fd, text);
	free(text);
}

static void a_request_that_is_too_long_closes_the_connection(void **state)
{
	int fd = dial("longhaul/", name);

	put_long(fd, REQUEST_MAX, true);
	assert_string_equal(get(fd), "{\"version\":1,\"echo\":1}");
	put_long(fd, REQUEST_MAX, false);
	assert_int_equal(drain(fd), 0);
	close(fd);
	assert_answers();
}

static void a_handler_without_an_answer_closes_the_connection(void **state)
{
	int fd = dial("longhaul/", name);
	json_t *reply;

	put(fd, "{\"none\":1}\n");
	assert_int_equal(drain(fd), 0);
	close(fd);
	assert_int_equal(ask(json_pack("{s:b}", "none", 1), &reply), -ECONNRESET);
	assert_null(reply);
	assert_non_null(strstr(e.text, "does not answer"));
	assert_answers();
}

static void who_does_not_read_but_asks_again_is_closed(void **state)
{
	int fd = dial("longhaul/", name);
	struct pollfd closed = {.fd = fd};

	put(fd, "{\"size\":5000000}\n");
	assert_answers(); /* nobody else waits for them */
	put(fd, "{\"echo\":1}\n");
	/* Not a byte is read before that: whoever reads is served to the end. */
	assert_int_equal(poll(&closed, 1, TIMEOUT_MS), 1);
	assert_true(closed.revents & POLLHUP);
	assert_true(drain(fd) < 5000000);
	close(fd);
	assert_answers();
}

static void who_hangs_up_at_once_harms_nobody(void **state)
{
	int i, fd;

	for (i = 0; i < 50; i++) {
		fd = dial("longhaul/", name);
		if (i % 3 == 1)
			put(fd, "{\"size\":1000000}\n");
		if (i % 3 == 2)
			put(fd, "{\"echo\"");
		close(fd);
		if (i % 10 == 0)
			assert_answers();
	}
}

static void so_many_connections_are_kept_and_one_more_is_closed(void **state)
{
	int fds[CLIENTS_MAX], i, more;

	for (i = 0; i < CLIENTS_MAX; i++) {
		fds[i] = dial("longhaul/", name);
		put(fds[i], "{\"echo\":1}\n");
		assert_string_equal(get(fds[i]), "{\"version\":1,\"echo\":1}");
	}
	more = dial("longhaul/", name);
	assert_int_equal(drain(more), 0);
	close(more);
	for (i = 0; i < CLIENTS_MAX; i++) {
		put(fds[i], "{\"echo\":2}\n");
		assert_string_equal(get(fds[i]), "{\"version\":1,\"echo\":2}");
	}
	/* Where one goes, another may come; the server may hear of it a little later. */
	close(fds[0]);
	do {
		more = dial("longhaul/", name);
		i = (int)send(more, "{\"echo\":3}\n", 11, MSG_NOSIGNAL);
		i = i == 11 ? (int)strlen(get(more)) : 0;
		close(more);
	} while (!i);
	for (i = 1; i < CLIENTS_MAX; i++)
		close(fds[i]);
}

static void the_end_of_the_server_is_the_end_of_its_clients_and_name(void **state)
{
	int fd = dial("longhaul/", name);
	json_t *reply;

	put(fd, "{\"echo\":1}\n");
	assert_string_equal(get(fd), "{\"version\":1,\"echo\":1}");
	teardown(NULL);
	assert_int_equal(drain(fd), 0);
	close(fd);
	assert_int_equal(ask(json_pack("{s:i}", "echo", 1), &reply), -ENOENT);
	assert_int_equal(setup(NULL), 0);
	assert_answers();
}

static void a_name_that_is_taken_names_the_process_that_has_it(void **state)
{
	char says[64];

	assert_null(ctl_server_new(l, name, answer, NULL, &e));
	snprintf(says, sizeof(says), "'%s' is already running (process %d)", name, (int)getpid());
	assert_non_null(strstr(e.text, says));
	assert_non_null(strstr(e.text, "--name"));
	assert_answers();
}

static void an_instance_that_does_not_run_is_named(void **state)
{
	char longer[300];
	json_t *reply = (json_t *)&longer, *request = json_object();

	assert_int_equal(ctl_request("nobody-here", request, &reply, 100, &e), -ENOENT);
	assert_null(reply);
	assert_string_equal(e.text,
			    "no instance named 'nobody-here' runs in this network namespace");
	memset(longer, 'n', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(ctl_request(longer, request, &reply, 100, &e), -ENOENT);
	json_decref(request);
}

/* An instance that is not ours, and behaves badly. Returns its listening socket. */
static int listen_as(const char *other)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int n = snprintf(a.sun_path + 1, sizeof(a.sun_path) - 1, "longhaul/%s", other);

	assert_int_equal(
		bind(fd, (struct sockaddr *)&a,
		     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1) + (socklen_t)n),
		0);
	assert_int_equal(listen(fd, 4), 0);
	return fd;
}

static void a_silent_instance_is_given_up(void **state)
{
	json_t *reply, *request = json_object();
	int fd = listen_as("unit-test-silent");

	alarm(DEADLINE_S / 2); /* far from 20 ms, and from any other limit */
	assert_int_equal(ctl_request("unit-test-silent", request, &reply, 20, &e), -ETIMEDOUT);
	assert_null(reply);
	assert_string_equal(e.text,
			    "instance 'unit-test-silent' does not answer: Connection timed out");
	json_decref(request);
	close(fd);
}

/* Accepts one client, reads its request and writes what it is told to. */
static void *reply_wrongly(void *arg)
{
	int fd = accept(*(int *)arg, NULL, NULL);

	get(fd);
	send(fd, "no JSON\n", 8, MSG_NOSIGNAL);
	close(fd);
	return NULL;
}

static void an_answer_that_is_not_json_is_refused(void **state)
{
	json_t *reply, *request = json_object();
	int fd = listen_as("unit-test-wrong");
	pthread_t wrong;

	assert_int_equal(pthread_create(&wrong, NULL, reply_wrongly, &fd), 0);
	assert_int_equal(ctl_request("unit-test-wrong", request, &reply, TIMEOUT_MS, &e), -EPROTO);
	assert_null(reply);
	assert_non_null(strstr(e.text, "'unit-test-wrong' answered something that is not JSON"));
	pthread_join(wrong, NULL);
	json_decref(request);
	close(fd);
}

static void a_claim_holds_until_its_descriptor_is_closed(void **state)
{
	char says[64];
	int fd = ctl_claim("unit-test", name, &e), i;

	assert_true(fd >= 0);
	snprintf(says, sizeof(says), "unit-test %s is already used", name);
	/* The holder never accepts: its queue fills, and then only its number is not known. */
	for (i = 0; i < 40; i++) {
		assert_int_equal(ctl_claim("unit-test", name, &e), -EADDRINUSE);
		assert_non_null(strstr(e.text, says));
		assert_null(strstr(e.text, "process 0"));
		if (i == 0) {
			snprintf(says, sizeof(says), "(process %d)", (int)getpid());
			assert_non_null(strstr(e.text, says));
			snprintf(says, sizeof(says), "unit-test %s is already used", name);
		}
	}
	close(fd);
	fd = ctl_claim("unit-test", name, &e);
	assert_true(fd >= 0);
	close(fd);
}

static void a_claim_names_the_process_that_holds_it(void **state)
{
	char says[32], byte;
	int pipes[2], fd;
	pid_t pid;

	assert_int_equal(pipe(pipes), 0);
	pid = fork();
	if (!pid) {
		fd = ctl_claim("unit-test", "other", NULL);
		byte = fd >= 0 ? 'y' : 'n';
		if (write(pipes[1], &byte, 1) == 1)
			pause();
		_exit(1);
	}
	assert_int_equal(read(pipes[0], &byte, 1), 1);
	assert_int_equal(byte, 'y');
	assert_int_equal(ctl_claim("unit-test", "other", &e), -EADDRINUSE);
	snprintf(says, sizeof(says), "(process %d)", (int)pid);
	assert_non_null(strstr(e.text, says));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	/* …and with the process goes the claim. */
	fd = ctl_claim("unit-test", "other", &e);
	assert_true(fd >= 0);
	close(fd);
	close(pipes[0]);
	close(pipes[1]);
}

static void claims_of_different_kinds_and_names_do_not_meet(void **state)
{
	int a = ctl_claim("unit-test", "a", &e), b = ctl_claim("unit-test", "b", &e);
	int c = ctl_claim("unit-test-2", "a", &e);

	assert_true(a >= 0 && b >= 0 && c >= 0);
	close(a);
	close(b);
	close(c);
}

static void a_name_must_be_fit_for_sockets_and_files(void **state)
{
	static const char *const good[] = {"a", "eth0", "eth0.5", "a_b-c", "0", "-a", "A..b"};
	static const char *const bad[] = {"",	 ".",	 "..", ".a",  "a/b",
					  "a b", "a\nb", "é",  "a@b", "a:1"};
	char longest[CTL_NAME_MAX + 1];
	size_t i;

	for (i = 0; i < sizeof(good) / sizeof(*good); i++)
		assert_int_equal(ctl_check_name(good[i], &e), 0);
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(ctl_check_name(bad[i], &e), -EINVAL);
		assert_non_null(strstr(e.text, bad[i]));
	}
	memset(longest, 'a', sizeof(longest));
	longest[CTL_NAME_MAX] = '\0';
	assert_int_equal(ctl_check_name(longest, &e), -EINVAL);
	assert_non_null(strstr(e.text, "1 to 63 characters"));
	longest[CTL_NAME_MAX - 1] = '\0';
	assert_int_equal(ctl_check_name(longest, &e), 0);
}

/* Runs in a child with a network namespace of its own. Returns the number of what went wrong. */
static int list_in_own_namespace(void)
{
	static char names[8][CTL_NAME_MAX];
	struct loop *own = loop_new(NULL);
	struct ctl_server *a, *b;
	int claim, client;

	if (!own || unshare(CLONE_NEWNET))
		return 1;
	if (ctl_instances(names, 8) != 0)
		return 2; /* this test's own server is not to be seen from here */
	a = ctl_server_new(own, "tokyo", answer, NULL, NULL);
	b = ctl_server_new(own, "osaka", answer, NULL, NULL);
	claim = ctl_claim("interface", "eth0", NULL);
	client = dial("longhaul/", "tokyo");
	if (!a || !b || claim < 0 || client < 0)
		return 3;
	if (ctl_instances(names, 8) != 2)
		return 4; /* neither the claim nor the connection is an instance */
	if (strcmp(names[0], "tokyo") && strcmp(names[1], "tokyo"))
		return 5;
	if (strcmp(names[0], "osaka") && strcmp(names[1], "osaka"))
		return 6;
	if (ctl_instances(names, 1) != 1)
		return 7;
	ctl_server_free(a);
	if (ctl_instances(names, 8) != 1 || strcmp(names[0], "osaka"))
		return 8;
	ctl_server_free(b);
	return ctl_instances(names, 8) == 0 ? 0 : 9;
}

static void instances_of_this_network_namespace_are_listed(void **state)
{
	int status;
	pid_t pid;

	if (geteuid()) {
		print_message("needs root: a network namespace of its own\n");
		skip();
	}
	pid = fork();
	if (!pid)
		_exit(list_in_own_namespace());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void another_user_is_not_listened_to(void **state)
{
	int status;
	pid_t pid;

	if (geteuid()) {
		print_message("needs root: to become another user\n");
		skip();
	}
	pid = fork();
	if (!pid) {
		json_t *reply, *request = json_object();

		if (setgid(65534) || setuid(65534))
			_exit(1);
		_exit(ctl_request(name, request, &reply, TIMEOUT_MS, NULL) == 0 ? 2 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_answers();
}

#define with_server(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_server(a_request_gets_its_reply),
		with_server(a_reply_larger_than_any_buffer_comes_whole),
		with_server(a_descriptor_goes_with_the_reply_it_was_attached_to_and_no_other),
		with_server(a_descriptor_that_nobody_asked_for_is_closed),
		with_server(a_connection_takes_one_request_after_another),
		with_server(lines_written_together_are_answered_in_order),
		with_server(garbage_gets_an_error_and_the_connection_goes_on),
		with_server(a_request_that_is_too_long_closes_the_connection),
		with_server(a_handler_without_an_answer_closes_the_connection),
		with_server(who_does_not_read_but_asks_again_is_closed),
		with_server(who_hangs_up_at_once_harms_nobody),
		with_server(so_many_connections_are_kept_and_one_more_is_closed),
		with_server(the_end_of_the_server_is_the_end_of_its_clients_and_name),
		with_server(a_name_that_is_taken_names_the_process_that_has_it),
		with_server(an_instance_that_does_not_run_is_named),
		with_server(a_silent_instance_is_given_up),
		with_server(an_answer_that_is_not_json_is_refused),
		with_server(a_claim_holds_until_its_descriptor_is_closed),
		with_server(a_claim_names_the_process_that_holds_it),
		with_server(claims_of_different_kinds_and_names_do_not_meet),
		cmocka_unit_test(a_name_must_be_fit_for_sockets_and_files),
		with_server(instances_of_this_network_namespace_are_listed),
		with_server(another_user_is_not_listened_to),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
