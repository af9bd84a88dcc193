// SPDX-License-Identifier: GPL-3.0-or-later
/* test_endpoint.c - every spelling of an address is one address, and what is none is refused */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tunnel/endpoint.h"

#include <arpa/inet.h>
#include <string.h>

static struct endpoint resolve(const char *text)
{
	struct endpoint e;
	struct err err = {""};

	if (endpoint_resolve(text, strlen(text), 7245, true, &e, &err))
		fail_msg("'%s': %s", text, err.text);
	return e;
}

static void every_spelling_is_written_in_one_way(void **state)
{
	static const struct {
		const char *given, *text;
	} cases[] = {
		{"192.0.2.1", "192.0.2.1:7245"},
		{"192.0.2.1:1", "192.0.2.1:1"},
		{"192.0.2.1:65535", "192.0.2.1:65535"},
		{"192.0.2.1:007245", "192.0.2.1:7245"},
		{"0.0.0.0", "0.0.0.0:7245"},
		{"255.255.255.255:80", "255.255.255.255:80"},
		{"2001:db8::1", "[2001:db8::1]:7245"},
		{"[2001:db8::1]", "[2001:db8::1]:7245"},
		{"[2001:db8::1]:80", "[2001:db8::1]:80"},
		{"2001:DB8:0:0:0:0:0:1", "[2001:db8::1]:7245"},
		{"[2001:0db8:0000:0000:0000:0000:0000:0001]:7245", "[2001:db8::1]:7245"},
		{"::", "[::]:7245"},
		{"::1", "[::1]:7245"},
		{"[::]:9", "[::]:9"},
		{"::ffff:192.0.2.1", "192.0.2.1:7245"},
		{"[::ffff:192.0.2.1]:80", "192.0.2.1:80"},
		{"::ffff:c000:201", "192.0.2.1:7245"},
		{"2001:db8:1:2:3:4:5:6", "[2001:db8:1:2:3:4:5:6]:7245"},
	};
	char text[ENDPOINT_TEXT];
	struct endpoint e;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		e = resolve(cases[i].given);
		assert_string_equal(endpoint_text(&e, text), cases[i].text);
	}
}

static void what_is_no_address_is_refused_and_told(void **state)
{
	static const struct {
		const char *given;
		int error;
	} cases[] = {
		{"", EINVAL},
		{":", EINVAL},
		{":80", EINVAL},
		{"192.0.2.1:", EINVAL},
		{"192.0.2.1:0", EINVAL},
		{"192.0.2.1:65536", EINVAL},
		{"192.0.2.1:4294967297", EINVAL}, /* 1, if it wrapped */
		{"192.0.2.1:18446744073709551617", EINVAL},
		{"192.0.2.1:-1", EINVAL},
		{"192.0.2.1:+80", EINVAL},
		{"192.0.2.1: 80", EINVAL},
		{"192.0.2.1:80x", EINVAL},
		{"192.0.2.1:http", EINVAL},
		{"[]", EINVAL},
		{"[]:80", EINVAL},
		{"[", EINVAL},
		{"[2001:db8::1", EINVAL},
		{"[2001:db8::1]80", EINVAL},
		{"[2001:db8::1]:", EINVAL},
		{"[2001:db8::1]:0", EINVAL},
		{"[2001:db8::1]:80:80", EINVAL},
		{"192.0.2.256", EHOSTUNREACH},
		{"2001:db8::1::2", EHOSTUNREACH},
		{"2001:db8::g", EHOSTUNREACH},
		{"1:2:3:4:5:6:7:8:9", EHOSTUNREACH},
		{"tokyo.example", EHOSTUNREACH}, /* a name, and names were not asked for */
	};
	struct endpoint e;
	size_t i;
	int ret;

	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct err err = {""};

		ret = endpoint_resolve(cases[i].given, strlen(cases[i].given), 7245, true, &e,
				       &err);
		if (ret != -cases[i].error || !strstr(err.text, cases[i].given))
			fail_msg("'%s': %d, %s", cases[i].given, ret, err.text);
	}
}

/* Addresses are separated by commas where several are given: only @len bytes are the text. */
static void nothing_behind_the_length_is_read(void **state)
{
	static const char list[] = "192.0.2.1:80,[2001:db8::1]:81";
	char text[ENDPOINT_TEXT], exact[12];
	struct endpoint e;
	struct err err;

	assert_int_equal(endpoint_resolve(list, 12, 7245, true, &e, &err), 0);
	assert_string_equal(endpoint_text(&e, text), "192.0.2.1:80");
	assert_int_equal(endpoint_resolve(list, 9, 7245, true, &e, &err), 0);
	assert_string_equal(endpoint_text(&e, text), "192.0.2.1:7245");
	memcpy(exact, list, sizeof(exact)); /* nothing ends it */
	assert_int_equal(endpoint_resolve(exact, sizeof(exact), 7245, true, &e, &err), 0);
	assert_string_equal(endpoint_text(&e, text), "192.0.2.1:80");
}

static void a_host_that_is_too_long_is_refused(void **state)
{
	char text[400];
	struct endpoint e;
	struct err err;

	memset(text, 'a', sizeof(text));
	assert_int_equal(endpoint_resolve(text, 256, 7245, true, &e, &err), -EINVAL);
	assert_int_equal(endpoint_resolve(text, 255, 7245, true, &e, &err), -EHOSTUNREACH);
}

static void ipv4_is_mapped_so_that_both_families_compare(void **state)
{
	struct sockaddr_in in = {
		.sin_family = AF_INET, .sin_port = htons(80), .sin_addr.s_addr = htonl(0xc0000201)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(80)};
	struct endpoint four, six, other;

	inet_pton(AF_INET6, "::ffff:192.0.2.1", &in6.sin6_addr);
	endpoint_from(&four, (struct sockaddr *)&in);
	endpoint_from(&six, (struct sockaddr *)&in6);
	assert_true(endpoint_equal(&four, &six));
	assert_true(endpoint_is_ipv4(&four) && endpoint_is_ipv4(&six));
	other = resolve("192.0.2.1:80");
	assert_true(endpoint_equal(&four, &other));
}

static void hosts_are_the_same_whatever_the_port(void **state)
{
	static const struct {
		const char *a, *b;
		bool same_host, equal;
	} cases[] = {
		{"192.0.2.1:1", "192.0.2.1:1", true, true},
		{"192.0.2.1:1", "192.0.2.1:2", true, false},
		{"192.0.2.1:1", "192.0.2.2:1", false, false},
		{"[2001:db8::1]:1", "[2001:db8::1]:2", true, false},
		{"[2001:db8::1]:1", "[2001:db8::2]:1", false, false},
		{"192.0.2.1:1", "[::c000:201]:1", false, false}, /* compatible is not mapped */
	};
	struct endpoint a, b;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		a = resolve(cases[i].a);
		b = resolve(cases[i].b);
		assert_int_equal(endpoint_same_host(&a, &b), cases[i].same_host);
		assert_int_equal(endpoint_equal(&a, &b), cases[i].equal);
		assert_int_equal(endpoint_equal(&b, &a), cases[i].equal);
	}
}

static void a_socket_gets_names_of_its_own_family(void **state)
{
	struct endpoint four = resolve("192.0.2.1:80"), six = resolve("[2001:db8::1]:81");
	struct endpoint_name name;
	const struct sockaddr_in *in = (const struct sockaddr_in *)&name.ss;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&name.ss;
	struct endpoint back;

	memset(&name, 0xff, sizeof(name));
	assert_true(endpoint_name(&four, AF_INET, &name));
	assert_int_equal(name.len, sizeof(*in));
	assert_int_equal(in->sin_family, AF_INET);
	assert_int_equal(in->sin_addr.s_addr, htonl(0xc0000201));
	assert_int_equal(in->sin_port, htons(80));
	endpoint_from(&back, (struct sockaddr *)&name.ss);
	assert_true(endpoint_equal(&back, &four));

	assert_true(endpoint_name(&four, AF_INET6, &name));
	assert_int_equal(name.len, sizeof(*in6));
	assert_int_equal(in6->sin6_family, AF_INET6);
	assert_true(IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr));
	assert_int_equal(in6->sin6_port, htons(80));

	assert_true(endpoint_name(&six, AF_INET6, &name));
	endpoint_from(&back, (struct sockaddr *)&name.ss);
	assert_true(endpoint_equal(&back, &six));
	assert_false(endpoint_name(&six, AF_INET, &name));
}

static void a_link_local_address_keeps_its_scope(void **state)
{
	struct endpoint e = resolve("fe80::1%1");
	struct endpoint_name name;

	assert_int_equal(e.in6.sin6_scope_id, 1);
	assert_true(endpoint_name(&e, AF_INET6, &name));
	assert_int_equal(((struct sockaddr_in6 *)&name.ss)->sin6_scope_id, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_spelling_is_written_in_one_way),
		cmocka_unit_test(what_is_no_address_is_refused_and_told),
		cmocka_unit_test(nothing_behind_the_length_is_read),
		cmocka_unit_test(a_host_that_is_too_long_is_refused),
		cmocka_unit_test(ipv4_is_mapped_so_that_both_families_compare),
		cmocka_unit_test(hosts_are_the_same_whatever_the_port),
		cmocka_unit_test(a_socket_gets_names_of_its_own_family),
		cmocka_unit_test(a_link_local_address_keeps_its_scope),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
