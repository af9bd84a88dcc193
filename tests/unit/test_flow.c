// SPDX-License-Identifier: GPL-3.0-or-later
/* test_flow.c - entries of the table of connections: whose they are, and how they are gone through
 */
#include "accel/flow.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rcu.h"

static struct flow_table table;
static struct flow_list mine, others;

static int set_up(void **state)
{
	mine = others = (struct flow_list){0};
	return flow_table_init(&table);
}

static int tear_down(void **state)
{
	flow_table_release(&table);
	return 0;
}

static struct flow_key key_of(unsigned number)
{
	return (struct flow_key){.local_port = (uint16_t)number, .remote_port = 80};
}

static struct flow *add(struct flow_list *to, unsigned number)
{
	struct flow_key key = key_of(number);

	return flow_add(&table, &key, 4, FLOW_BRIDGE, 0, to);
}

/* How often each was looked at. */
struct looks {
	unsigned at[100];
	unsigned doomed; /* number of one that is removed */
};

static bool look(void *ctx, struct flow *f)
{
	struct looks *l = ctx;

	l->at[f->key.local_port]++;
	return f->key.local_port == l->doomed;
}

static void each_entry_is_looked_at_once_in_a_round_however_it_is_cut(void **state)
{
	struct looks looks = {.doomed = 1000};
	unsigned i;

	for (i = 0; i < 100; i++)
		assert_non_null(add(i % 2 ? &others : &mine, i));
	assert_int_equal(mine.n, 50);
	for (i = 0; i < 10; i++)
		flow_list_sweep(&table, &mine, 5, look, &looks);
	for (i = 0; i < 100; i++)
		assert_int_equal(looks.at[i], i % 2 ? 0 : 1);
	flow_list_sweep(&table, &mine, 100, look, &looks);
	for (i = 0; i < 100; i++)
		assert_int_equal(looks.at[i], i % 2 ? 0 : 3);
}

static void entries_may_go_while_all_are_looked_at(void **state)
{
	struct looks looks = {.doomed = 7};
	struct flow *f[10];
	struct flow_key key = key_of(7);
	unsigned i;

	for (i = 0; i < 10; i++)
		f[i] = add(&mine, i);
	flow_list_sweep(&table, &mine, 3, look, &looks); /* the newest is the first: 9, 8, 7 */
	assert_null(flow_find(&table, &key));
	assert_int_equal(mine.n, 9);
	flow_remove(&table, f[6]); /* which is next */
	flow_remove(&table, f[0]);
	flow_remove(&table, f[9]);
	assert_int_equal(mine.n, 6);
	flow_list_sweep(&table, &mine, 6, look, &looks);
	for (i = 0; i < 10; i++)
		assert_int_equal(looks.at[i], i == 0 || i == 6 ? 0 : i == 8 ? 2 : 1);
	assert_int_equal(atomic_load(&table.count), 6);
}

static void nothing_is_looked_at_where_there_is_nothing(void **state)
{
	struct looks looks = {.doomed = 5};

	flow_list_sweep(&table, &mine, 10, look, &looks);
	assert_non_null(add(&mine, 5));
	flow_list_sweep(&table, &mine, 10, look, &looks);
	assert_int_equal(looks.at[5], 1);
	assert_int_equal(mine.n, 0);
	flow_list_sweep(&table, &mine, 10, look, &looks);
}

static void a_connection_has_one_entry(void **state)
{
	assert_non_null(add(&mine, 1));
	assert_null(add(&mine, 1));
	assert_null(add(&others, 1));
	assert_int_equal(mine.n, 1);
	assert_int_equal(others.n, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(each_entry_is_looked_at_once_in_a_round_however_it_is_cut),
		TEST(entries_may_go_while_all_are_looked_at),
		TEST(nothing_is_looked_at_where_there_is_nothing),
		TEST(a_connection_has_one_entry),
	};

	return cmocka_run_group_tests(tests, rcu_group_setup, rcu_group_teardown);
}
