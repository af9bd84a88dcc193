// SPDX-License-Identifier: GPL-3.0-or-later
/* test_fairq.c - flows take turns, sparse ones first, none loses its order, the fattest loses
 * frames */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tunnel/fairq.h"

#include <stdlib.h>

#define QUANTUM 1500

static struct fairq q;

struct thing {
	struct fairq_item item;
	uint64_t flow;
	unsigned number;
};

/* Adds the flow's next frame; gives up what is lost, and returns how many that are. */
static unsigned put(uint64_t flow, unsigned number, uint32_t cost)
{
	struct thing *t = calloc(1, sizeof(*t));
	struct fairq_item *lost, *next;
	unsigned n = 0;

	assert_non_null(t);
	*t = (struct thing){.item = {.cost = cost, .frames = 1}, .flow = flow, .number = number};
	for (lost = fairq_put(&q, &t->item, flow); lost; lost = next, n++) {
		next = lost->next;
		free(lost);
	}
	return n;
}

static struct thing take(void)
{
	struct fairq_item *item = fairq_take(&q);
	struct thing t = {.flow = UINT64_MAX};

	if (item)
		t = *(struct thing *)item;
	free(item);
	return t;
}

static int setup(void **state)
{
	fairq_init(&q, 1000000, QUANTUM);
	return 0;
}

static int teardown(void **state)
{
	while (take().flow != UINT64_MAX)
		;
	assert_int_equal(q.bytes, 0);
	assert_int_equal(q.items, 0);
	return 0;
}

static void an_empty_queue_gives_nothing(void **state)
{
	assert_null(fairq_take(&q));
}

static void one_flow_keeps_its_order(void **state)
{
	unsigned i;

	for (i = 0; i < 100; i++)
		assert_int_equal(put(7, i, 100 + i % 7 * 200), 0);
	for (i = 0; i < 100; i++)
		assert_int_equal(take().number, i);
	assert_null(fairq_take(&q));
}

static void a_new_flow_goes_before_what_bulk_flows_have_waiting(void **state)
{
	unsigned i;

	for (i = 0; i < 200; i++)
		put(1 + i % 2, i, 1500);
	for (i = 0; i < 10; i++)
		take();
	put(9, 0, 64);
	assert_int_equal(take().flow, 9);
	/* Once more, when it has long been served. */
	for (i = 0; i < 10; i++)
		take();
	put(9, 1, 64);
	assert_int_equal(take().flow, 9);
}

static void a_flow_cannot_stay_fresh_by_coming_again_and_again(void **state)
{
	unsigned i, bulk = 0;

	for (i = 0; i < 100; i++)
		put(1, i, 1500);
	take();
	take();
	for (i = 0; i < 40; i++) {
		put(2, i, 1500);
		bulk += take().flow == 1;
	}
	assert_in_range(bulk, 15, 25);
}

static void flows_share_bytes_not_frames(void **state)
{
	uint64_t bytes[2] = {0, 0};
	unsigned i;

	for (i = 0; i < 600; i++) {
		put(0, i, 1500);
		put(1, i, 150);
	}
	for (i = 0; i < 300; i++) {
		struct thing t = take();

		bytes[t.flow] += t.item.cost;
	}
	assert_in_range(bytes[0], bytes[1] - 2 * QUANTUM, bytes[1] + 2 * QUANTUM);
}

static void an_item_larger_than_its_turn_is_paid_for_in_later_ones(void **state)
{
	uint64_t bytes[2] = {0, 0};
	unsigned i;

	for (i = 0; i < 10; i++)
		put(0, i, 65000);
	for (i = 0; i < 1000; i++)
		put(1, i, 300);
	for (i = 0; i < 400; i++) {
		struct thing t = take();

		bytes[t.flow] += t.item.cost;
	}
	assert_in_range(bytes[0], bytes[1] - 65000 - QUANTUM, bytes[1] + 65000 + QUANTUM);
}

static void beyond_the_limit_the_fattest_flow_loses_its_oldest(void **state)
{
	unsigned i;

	fairq_init(&q, 15000, QUANTUM);
	for (i = 0; i < 8; i++)
		assert_int_equal(put(1, i, 1500), 0);
	assert_int_equal(put(2, 0, 1500), 0);
	assert_int_equal(put(2, 1, 1500), 0);
	assert_int_equal(put(3, 0, 1500), 1);
	assert_true(q.bytes <= 15000);
	assert_int_equal(take().number, 1); /* of flow 1; its number 0 is lost */
}

static void one_item_may_wait_whatever_its_size(void **state)
{
	fairq_init(&q, 100, QUANTUM);
	assert_int_equal(put(1, 5, 65000), 0);
	assert_int_equal(take().number, 5);
}

/* Random comings and goings: nothing is lost unseen, nothing twice, each flow in order. */
static void whatever_comes_each_flow_keeps_its_order_and_its_count(void **state)
{
	unsigned next[16] = {0}, seen[16] = {0}, in = 0, out = 0, lost = 0, step;

	srand(4711);
	fairq_init(&q, 60000, QUANTUM);
	for (step = 0; step < 200000; step++) {
		if (rand() % 100 < 52) {
			unsigned flow = (unsigned)rand() % 16;

			lost += put(flow, next[flow]++, 60 + (uint32_t)rand() % 9000);
			in++;
		} else {
			struct thing t = take();

			if (t.flow == UINT64_MAX)
				continue;
			assert_true(t.number >= seen[t.flow]);
			seen[t.flow] = t.number + 1;
			out++;
		}
		assert_true(q.bytes <= 60000 || q.items == 1);
	}
	assert_int_equal(in, out + lost + q.items);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_empty_queue_gives_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(one_flow_keeps_its_order, setup, teardown),
		cmocka_unit_test_setup_teardown(a_new_flow_goes_before_what_bulk_flows_have_waiting,
						setup, teardown),
		cmocka_unit_test_setup_teardown(a_flow_cannot_stay_fresh_by_coming_again_and_again,
						setup, teardown),
		cmocka_unit_test_setup_teardown(flows_share_bytes_not_frames, setup, teardown),
		cmocka_unit_test_setup_teardown(
			an_item_larger_than_its_turn_is_paid_for_in_later_ones, setup, teardown),
		cmocka_unit_test_setup_teardown(beyond_the_limit_the_fattest_flow_loses_its_oldest,
						setup, teardown),
		cmocka_unit_test_setup_teardown(one_item_may_wait_whatever_its_size, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
			whatever_comes_each_flow_keeps_its_order_and_its_count, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
