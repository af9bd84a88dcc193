// SPDX-License-Identifier: GPL-3.0-or-later
/* test_tunables.c - what the C library is told, beside what the user has told it */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/tunables.h"

#define OURS "glibc.cpu.x86_rep_movsb_threshold=1000000000"

static void where_nothing_was_said_only_ours_is(void **state)
{
	char to[64];

	assert_true(tunables_add(NULL, to, sizeof(to)));
	assert_string_equal(to, OURS);
	assert_true(tunables_add("", to, sizeof(to)));
	assert_string_equal(to, OURS);
}

static void what_the_user_has_said_stays(void **state)
{
	char to[128];

	assert_true(tunables_add("glibc.malloc.arena_max=1", to, sizeof(to)));
	assert_string_equal(to, "glibc.malloc.arena_max=1:" OURS);
}

static void what_the_user_has_decided_is_decided(void **state)
{
	char to[256];

	assert_false(tunables_add("glibc.cpu.x86_rep_movsb_threshold=2048", to, sizeof(to)));
	assert_false(tunables_add("glibc.malloc.check=1:" OURS, to, sizeof(to)));
}

static void without_room_nothing_is_said(void **state)
{
	char to[64];

	assert_false(tunables_add("glibc.malloc.arena_max=1", to, sizeof(to)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(where_nothing_was_said_only_ours_is),
		cmocka_unit_test(what_the_user_has_said_stays),
		cmocka_unit_test(what_the_user_has_decided_is_decided),
		cmocka_unit_test(without_room_nothing_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
