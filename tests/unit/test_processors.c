// SPDX-License-Identifier: GPL-3.0-or-later
/* test_processors.c - lib/processors.c: who is confined is told so */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/processors.h"

#include <sched.h>

static void only_processors_that_we_may_run_on_are_counted(void **state)
{
	cpu_set_t all, one;
	int cpu = 0;

	assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
	assert_int_equal(processors_allowed(), CPU_COUNT(&all));
	while (!CPU_ISSET(cpu, &all))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	assert_int_equal(processors_allowed(), 1);
	assert_int_equal(sched_setaffinity(0, sizeof(all), &all), 0);
	assert_int_equal(processors_allowed(), CPU_COUNT(&all));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_processors_that_we_may_run_on_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
