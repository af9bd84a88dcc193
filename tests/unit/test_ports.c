// SPDX-License-Identifier: GPL-3.0-or-later
/* test_ports.c - windows of local ports, and connections out of them */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/ports.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#define CONNECTIONS 200

static void a_window_is_a_stretch_of_the_range_and_the_next_is_a_step_further(void **state)
{
	struct ports p = {.low = 32768, .high = 60999, .next = 100};
	struct ports_window w = ports_next(&p, 5);

	(void)state;
	assert_int_equal(w.low, 32868);
	assert_int_equal(w.high, 32868 + PORTS_WINDOW - 1);
	w = ports_next(&p, 1);
	assert_int_equal(w.low, 32873);
}

static void windows_stay_within_the_range_and_come_round_to_all_of_it(void **state)
{
	struct ports p = {.low = 1000, .high = 1099, .next = 4000000000u};
	bool seen[100] = {false};
	unsigned i, all = 0;

	(void)state;
	for (i = 0; i < 400; i++) {
		struct ports_window w = ports_next(&p, 1 + i % 8);
		unsigned port;

		assert_in_range(w.low, 1000, 1099);
		assert_in_range(w.high, w.low, 1099);
		for (port = w.low; port <= w.high; port++)
			seen[port - 1000] = true;
	}
	for (i = 0; i < 100; i++)
		all += seen[i];
	assert_int_equal(all, 100);
}

static void a_range_shorter_than_a_window_is_one_window(void **state)
{
	struct ports p = {.low = 65535, .high = 65535};
	struct ports_window w = ports_next(&p, PORTS_WINDOW);

	(void)state;
	assert_int_equal(w.low, 65535);
	assert_int_equal(w.high, 65535);
	w = ports_next(&p, 1);
	assert_int_equal(w.low, 65535);
}

static int listener(struct sockaddr_in *at)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(*at);

	*at = (struct sockaddr_in){.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	assert_int_equal(bind(fd, (struct sockaddr *)at, sizeof(*at)), 0);
	assert_int_equal(listen(fd, CONNECTIONS), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)at, &len), 0);
	return fd;
}

static uint16_t connected(struct ports *p, const struct sockaddr_in *to, int *fd)
{
	struct sockaddr_in from;
	socklen_t len = sizeof(from);

	*fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(ports_connect(p, *fd, (const struct sockaddr *)to, sizeof(*to)), 0);
	assert_int_equal(getsockname(*fd, (struct sockaddr *)&from, &len), 0);
	return ntohs(from.sin_port);
}

static void connections_to_one_place_have_ports_of_their_own(void **state)
{
	struct ports p = {0}, kernels = {.kernels = true};
	struct sockaddr_in to;
	int fds[CONNECTIONS], server = listener(&to);
	uint16_t port[CONNECTIONS];
	unsigned i, j;

	(void)state;
	for (i = 0; i < CONNECTIONS; i++) {
		port[i] = connected(i % 8 ? &p : &kernels, &to, &fds[i]);
		for (j = 0; j < i; j++)
			assert_int_not_equal(port[i], port[j]);
		if (i % 8)
			assert_in_range(port[i], p.low, p.high);
	}
	for (i = 0; i < CONNECTIONS; i++)
		close(fds[i]);
	close(server);
}

static void what_is_taken_is_stepped_over_and_at_last_the_kernel_looks_by_itself(void **state)
{
	struct ports p = {0};
	struct sockaddr_in to;
	int fds[3 * PORTS_WINDOW], first, last, server = listener(&to);
	uint16_t port;
	unsigned i;

	(void)state;
	port = connected(&p, &to, &first);
	if (p.kernels) {
		close(first);
		close(server);
		skip(); /* this kernel has no IP_LOCAL_PORT_RANGE */
	}
	/* All begin in one window: it is full after 32 of them, and so is what is told then. */
	for (i = 0; i < 3 * PORTS_WINDOW; i++) {
		p.next = port - p.low;
		connected(&p, &to, &fds[i]);
	}
	p = (struct ports){.low = port, .high = port};
	assert_int_not_equal(connected(&p, &to, &last), port);
	for (i = 0; i < 3 * PORTS_WINDOW; i++)
		close(fds[i]);
	close(last);
	close(first);
	close(server);
}

static void an_error_other_than_for_want_of_ports_is_told(void **state)
{
	struct ports p = {0};
	struct sockaddr_in nowhere = {.sin_family = AF_INET6};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	(void)state;
	assert_int_equal(ports_connect(&p, fd, (struct sockaddr *)&nowhere, sizeof(nowhere)),
			 -EAFNOSUPPORT);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_window_is_a_stretch_of_the_range_and_the_next_is_a_step_further),
		cmocka_unit_test(windows_stay_within_the_range_and_come_round_to_all_of_it),
		cmocka_unit_test(a_range_shorter_than_a_window_is_one_window),
		cmocka_unit_test(connections_to_one_place_have_ports_of_their_own),
		cmocka_unit_test(
			what_is_taken_is_stepped_over_and_at_last_the_kernel_looks_by_itself),
		cmocka_unit_test(an_error_other_than_for_want_of_ports_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
