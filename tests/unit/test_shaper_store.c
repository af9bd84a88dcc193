// SPDX-License-Identifier: GPL-3.0-or-later
/* test_shaper_store.c - frames in flight: their memory is used again, and they leave in order */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shaper/departures.h"
#include "shaper/rng.h"
#include "shaper/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MIB   (1ull << 20)
#define ALIGN 64
#define MANY  100000

static struct store s;
static struct departures d;
static struct rng rng;
static struct err e;
static struct held *frames[MANY]; /* of the store; NULL: none */
static size_t n_frames;

static int begin(void **state)
{
	rng_seed(&rng, 2008, 1);
	departures_init(&d);
	n_frames = 0;
	return 0;
}

static void make(uint64_t bytes, uint64_t limit)
{
	assert_int_equal(store_init(&s, bytes, limit, &e), 0);
}

/* A frame whose every byte tells its number. */
static struct held *add(uint64_t number, uint32_t len)
{
	struct held *h = store_add(&s, len);

	if (!h)
		return NULL;
	h->number = number;
	h->queue.len = len;
	memset(h->data, (int)(number * 37 & 0xff), len);
	return h;
}

static void assert_intact(const struct held *h, uint64_t number, uint32_t len)
{
	uint8_t byte = (uint8_t)(number * 37);

	assert_true(h->number == number && h->queue.len == len);
	assert_true(!len || (h->data[0] == byte && !memcmp(h->data, h->data + 1, len - 1)));
}

/* Fills the store with frames of a length. */
static void fill(uint32_t len)
{
	while ((frames[n_frames] = add(n_frames, len)))
		n_frames++;
	assert_true(s.held == n_frames);
}

static void free_all(void)
{
	while (n_frames)
		store_free(&s, frames[--n_frames]);
	assert_true(s.held == 0);
}

static uint32_t any_length(void)
{
	static const uint32_t lens[] = {0, 1, 14, 60, 63, 64, 65, 1514, 9014, FRAME_MAX};
	uint64_t i = rng_below(&rng, 20);

	return i < 10 ? lens[i] : (uint32_t)rng_below(&rng, 1515);
}

static void a_frames_memory_is_aligned_zeroed_and_nobody_elses(void **state)
{
	static const struct held zero;
	uint32_t lens[2000];
	size_t round, i;

	make(1, 64 * MIB);
	for (round = 0; round < 2; round++) {
		for (i = 0; i < 2000; i++) {
			lens[i] = any_length();
			frames[i] = store_add(&s, lens[i]);
			assert_non_null(frames[i]);
			assert_int_equal((uintptr_t)frames[i] % ALIGN, 0);
			assert_memory_equal(frames[i], &zero, sizeof(zero));
			/* What comes after must neither see this nor change it. */
			memset(frames[i], 0xff, sizeof(zero));
			frames[i]->number = i;
			frames[i]->queue.len = lens[i];
			memset(frames[i]->data, (int)(i * 37 & 0xff), lens[i]);
		}
		for (i = 0; i < 2000; i++)
			assert_intact(frames[i], i, lens[i]);
		for (i = 0; i < 2000; i++)
			store_free(&s, frames[i]);
		assert_true(s.held == 0);
	}
	store_release(&s);
}

static void memory_is_there_before_it_is_needed(void **state)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	unsigned char resident[MIB / 4096];
	uintptr_t first;
	size_t i;

	make(1, 1);
	assert_true(s.bytes == MIB);
	frames[0] = add(0, 60);
	first = (uintptr_t)frames[0] & ~(MIB - 1);
	assert_int_equal(mincore((void *)first, MIB, resident), 0);
	for (i = 0; i < MIB / page; i++)
		assert_true(resident[i] & 1);
	store_free(&s, frames[0]);
	store_release(&s);
	/* And it is given back. */
	assert_int_equal(mincore((void *)first, MIB, resident), -1);
	assert_int_equal(errno, ENOMEM);
}

static void a_frame_that_comes_and_goes_alone_never_leaves_its_place(void **state)
{
	struct held *first;
	size_t i;

	make(1, 64 * MIB);
	first = add(0, 1514);
	store_free(&s, first);
	for (i = 0; i < MANY; i++) {
		struct held *h = add(i, (uint32_t)(i % 1515));

		assert_ptr_equal(h, first);
		store_free(&s, h);
	}
	assert_true(s.bytes == MIB);
	store_release(&s);
}

static void a_straggler_keeps_its_chunk_and_no_other(void **state)
{
	struct held *straggler, *window[100] = {NULL};
	size_t i;

	make(1, 64 * MIB);
	straggler = add(1, 1514);
	/* 160 MB pass by, 100 frames at a time. */
	for (i = 0; i < MANY; i++) {
		if (window[i % 100])
			store_free(&s, window[i % 100]);
		window[i % 100] = add(i, 1514);
	}
	assert_true(s.bytes <= 3 * MIB);
	assert_intact(straggler, 1, 1514);
	for (i = 0; i < 100; i++)
		store_free(&s, window[i]);
	store_free(&s, straggler);
	assert_true(s.held == 0);
	store_release(&s);
}

static void it_grows_to_its_limit_and_no_further(void **state)
{
	uint64_t all;

	make(1, 3 * MIB + MIB / 2);
	fill(1514);
	assert_true(s.bytes == 3 * MIB);
	all = n_frames;
	/* Nothing but the headers and what is too short for a frame is lost. */
	assert_true(all * 1514 > 3 * MIB * 9 / 10);
	free_all();
	fill(1514);
	assert_true(n_frames == all && s.bytes == 3 * MIB);
	free_all();
	store_release(&s);
	/* What was asked for at the start counts more than the limit. */
	make(5 * MIB - 1, 2 * MIB);
	fill(FRAME_MAX);
	assert_true(s.bytes == 5 * MIB);
	free_all();
	store_release(&s);
}

static void a_full_store_takes_frames_again_when_a_chunk_is_empty(void **state)
{
	size_t each, i, k;

	make(4 * MIB, 4 * MIB);
	fill(9014);
	each = n_frames / 4;
	assert_int_equal(n_frames % 4, 0);
	/* All but one of each chunk; the last first, and every other one before the rest. */
	for (k = 0; k < 4; k++) {
		for (i = each; i-- > 1;)
			if (i % 2)
				store_free(&s, frames[k * each + i]);
		for (i = 2; i < each; i += 2)
			store_free(&s, frames[k * each + i]);
	}
	assert_null(store_add(&s, 9014));
	store_free(&s, frames[2 * each]);
	for (i = 0; i < each; i++) {
		frames[2 * each + i] = add(i, 9014);
		assert_non_null(frames[2 * each + i]);
	}
	assert_null(store_add(&s, 9014));
	for (i = 0; i < each; i++)
		store_free(&s, frames[2 * each + i]);
	for (k = 0; k < 4; k++) {
		if (k == 2)
			continue;
		assert_intact(frames[k * each], k * each, 9014);
		store_free(&s, frames[k * each]);
	}
	assert_true(s.held == 0);
	n_frames = 0;
	fill(9014);
	assert_int_equal(n_frames, 4 * each);
	free_all();
	store_release(&s);
}

static void the_longest_frame_fits_wherever_one_ends(void **state)
{
	uint32_t before;

	make(1, 64 * MIB);
	for (before = 0; before < 2000; before += 7) {
		frames[0] = add(0, 60000 + before);
		for (n_frames = 1; n_frames < 20; n_frames++) {
			frames[n_frames] = add(n_frames, FRAME_MAX);
			assert_non_null(frames[n_frames]);
		}
		while (n_frames-- > 1)
			assert_intact(frames[n_frames], n_frames, FRAME_MAX);
		assert_intact(frames[0], 0, 60000 + before);
		for (n_frames = 0; n_frames < 20; n_frames++)
			store_free(&s, frames[n_frames]);
	}
	assert_true(s.bytes <= 4 * MIB);
	store_release(&s);
}

static void chunks_that_are_given_are_used(void **state)
{
	uint64_t got, before;
	struct chunk *c;

	make(1, 1);
	fill(1514);
	before = n_frames;
	c = store_prepare(2 * MIB + 1, &got);
	assert_non_null(c);
	assert_true(got == 3 * MIB);
	store_give(&s, c, got);
	assert_true(s.bytes == 4 * MIB);
	c = store_prepare(1, &got);
	store_give(&s, c, got);
	fill(1514);
	assert_true(n_frames == 5 * before);
	assert_null(store_prepare(0, &got));
	assert_true(got == 0);
	store_give(&s, NULL, 0);
	assert_true(s.bytes == 5 * MIB);
	free_all();
	store_release(&s);
}

/* Frames of all lengths come and leave in any order, and what stays is what was put in. */
static void out_of_order_nothing_is_lost_and_memory_is_used_again(void **state)
{
	static uint32_t lens[500];
	static uint64_t numbers[500];
	size_t i, at, refused = 0;

	memset(frames, 0, 500 * sizeof(*frames));
	make(1, 8 * MIB);
	for (i = 0; i < MANY; i++) {
		at = rng_below(&rng, 500);
		if (frames[at]) {
			assert_intact(frames[at], numbers[at], lens[at]);
			store_free(&s, frames[at]);
			n_frames--;
			frames[at] = NULL;
			continue;
		}
		lens[at] = any_length();
		numbers[at] = i;
		frames[at] = add(i, lens[at]);
		n_frames += frames[at] != NULL;
		refused += !frames[at];
		assert_true(s.held == n_frames);
	}
	assert_true(s.bytes == 8 * MIB);
	/* The limit was reached, and mattered little: 250 frames of 4 KB are 1 MiB. */
	assert_true(refused < MANY / 10);
	for (at = 0; at < 500; at++) {
		if (!frames[at])
			continue;
		assert_intact(frames[at], numbers[at], lens[at]);
		store_free(&s, frames[at]);
	}
	assert_true(s.held == 0);
	store_release(&s);
}

/* Frames that only wait need no store. */
static struct held *waiting;

static int make_waiting(void **state)
{
	waiting = calloc(MANY, sizeof(*waiting));
	return begin(state) || !waiting;
}

static int free_waiting(void **state)
{
	departures_release(&d);
	free(waiting);
	return 0;
}

static void wait_until(size_t i, uint64_t due_ns)
{
	waiting[i].number = i;
	waiting[i].due_ns = due_ns;
	assert_true(departures_add(&d, &waiting[i]));
}

static int by_due_then_number(const void *a, const void *b)
{
	const struct held *const *x = a, *const *y = b;

	if ((*x)->due_ns != (*y)->due_ns)
		return (*x)->due_ns < (*y)->due_ns ? -1 : 1;
	return (*x)->number < (*y)->number ? -1 : 1;
}

/* Takes all that wait: they must come as a sorted array does. */
static void leave_sorted(size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		frames[i] = &waiting[i];
	qsort(frames, n, sizeof(*frames), by_due_then_number);
	for (i = 0; i < n; i++) {
		uint64_t due_ns = frames[i]->due_ns;

		assert_true(departures_next(&d) == due_ns);
		if (due_ns)
			assert_null(departures_pop(&d, due_ns - 1));
		assert_ptr_equal(departures_pop(&d, due_ns), frames[i]);
	}
	assert_true(departures_next(&d) == UINT64_MAX);
	assert_null(departures_pop(&d, UINT64_MAX));
}

static void nothing_leaves_where_nothing_waits(void **state)
{
	assert_true(departures_next(&d) == UINT64_MAX);
	assert_null(departures_pop(&d, UINT64_MAX));
}

static void a_hundred_thousand_leave_as_a_sort_puts_them(void **state)
{
	size_t i;

	for (i = 0; i < MANY; i++)
		wait_until(i, rng_u64(&rng) >> 1);
	leave_sorted(MANY);
}

static void frames_due_together_leave_as_they_came(void **state)
{
	size_t i;

	for (i = 0; i < MANY; i++)
		wait_until(i, rng_below(&rng, 100));
	leave_sorted(MANY);
	for (i = 0; i < MANY; i++)
		wait_until(i, 7);
	leave_sorted(MANY);
}

static void those_in_order_need_no_heap(void **state)
{
	uint64_t due_ns = 0;
	size_t i;

	for (i = 0; i < MANY; i++) {
		due_ns += rng_below(&rng, 3);
		wait_until(i, due_ns);
	}
	leave_sorted(MANY);
	/* Nor where each has left, and its memory is another's, before the next one comes. */
	for (i = 0; i < 1000; i++) {
		wait_until(0, i);
		assert_ptr_equal(departures_pop(&d, i), &waiting[0]);
		waiting[0].due_ns = UINT64_MAX;
		wait_until(1, i);
		assert_ptr_equal(departures_pop(&d, i), &waiting[1]);
	}
	assert_int_equal(d.heap_size, 0);
}

/* Stretches in order, backwards and at random, of any length. */
static void phases_of_every_kind_leave_as_a_sort_puts_them(void **state)
{
	uint64_t due_ns = 1ull << 40;
	size_t i = 0, end, kind;

	while (i < MANY) {
		kind = rng_below(&rng, 3);
		end = i + 1 + rng_below(&rng, 1000);
		for (; i < end && i < MANY; i++) {
			if (kind == 2)
				due_ns = (1ull << 40) + rng_below(&rng, 10000);
			else
				due_ns += kind ? rng_below(&rng, 2) : -rng_below(&rng, 2);
			wait_until(i, due_ns);
		}
	}
	leave_sorted(MANY);
}

/* Of those between @from and @to that wait, the one that is to leave first: looked for, one by
 * one. */
static size_t first_of(const bool *here, size_t from, size_t to)
{
	size_t best = to;

	for (; from < to; from++)
		if (here[from] && (best == to || waiting[from].due_ns < waiting[best].due_ns))
			best = from;
	return best;
}

/* As on the line: time goes on, frames come and leave. Both kinds run empty again and again. */
static void frames_come_while_others_leave(void **state)
{
	static bool here[MANY];
	uint64_t now_ns = 1000, waits = 0, left = 0;
	size_t i = 0, oldest = 0, first;

	memset(here, 0, sizeof(here));
	while (left < MANY) {
		/* In some stretches all delays are alike, in others they differ. */
		uint64_t spread = i / 500 % 3 ? 200 : 1;

		if (i < MANY && rng_below(&rng, 2)) {
			here[i] = true;
			wait_until(i, now_ns + 50 + rng_below(&rng, spread));
			i++;
		}
		now_ns += rng_below(&rng, i % 5000 < 100 ? 300 : 3);
		for (;;) {
			struct held *h = departures_pop(&d, now_ns);

			while (oldest < i && !here[oldest])
				oldest++;
			first = first_of(here, oldest, i);
			if (!h) {
				assert_true(first == i || waiting[first].due_ns > now_ns);
				assert_true(departures_next(&d) ==
					    (first == i ? UINT64_MAX : waiting[first].due_ns));
				waits += first == i;
				break;
			}
			assert_true(first < i);
			assert_ptr_equal(h, &waiting[first]);
			here[first] = false;
			left++;
		}
	}
	assert_true(waits > 100); /* nothing waited, so often */
}

int main(void)
{
#define S(name) cmocka_unit_test_setup(name, begin)
#define D(name) cmocka_unit_test_setup_teardown(name, make_waiting, free_waiting)
	const struct CMUnitTest tests[] = {
		S(a_frames_memory_is_aligned_zeroed_and_nobody_elses),
		S(memory_is_there_before_it_is_needed),
		S(a_frame_that_comes_and_goes_alone_never_leaves_its_place),
		S(a_straggler_keeps_its_chunk_and_no_other),
		S(it_grows_to_its_limit_and_no_further),
		S(a_full_store_takes_frames_again_when_a_chunk_is_empty),
		S(the_longest_frame_fits_wherever_one_ends),
		S(chunks_that_are_given_are_used),
		S(out_of_order_nothing_is_lost_and_memory_is_used_again),
		D(nothing_leaves_where_nothing_waits),
		D(a_hundred_thousand_leave_as_a_sort_puts_them),
		D(frames_due_together_leave_as_they_came),
		D(those_in_order_need_no_heap),
		D(phases_of_every_kind_leave_as_a_sort_puts_them),
		D(frames_come_while_others_leave),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
