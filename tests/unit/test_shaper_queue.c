// SPDX-License-Identifier: GPL-3.0-or-later
/* test_shaper_queue.c - limits hold at their edges, CoDel does what RFC 8289 writes down */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/clock.h"
#include "shaper/queue.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define T0    (77 * NS_PER_S) /* a clock never starts at 0 */
#define ITEMS 200000

static struct queue_item items[ITEMS];
static struct queue_conf conf;
static struct queue q;
static struct err e;
static size_t used;

static int reset(void **state)
{
	memset(items, 0, sizeof(items));
	memset(&conf, 0, sizeof(conf));
	used = 0;
	return 0;
}

static void limits(const char *spec, int discipline, uint64_t bps)
{
	conf.discipline = discipline;
	if (queue_parse_limit(spec, &conf, &e))
		fail_msg("%s", e.text);
	queue_init(&q, &conf, bps);
}

/* Pushes a new frame. Returns what is dropped. */
static struct queue_item *push(uint32_t len, uint64_t ns)
{
	assert_true(used < ITEMS);
	items[used].len = len;
	return queue_push(&q, &items[used++], T0 + ns);
}

static size_t number(const struct queue_item *item)
{
	assert_non_null(item);
	return (size_t)(item - items);
}

/* Pops without any drop. Returns the frame's number. */
static size_t pop(uint64_t ns)
{
	struct queue_item *dropped = &items[0], *item = queue_pop(&q, T0 + ns, &dropped);

	assert_null(dropped);
	return number(item);
}

static void empty(void)
{
	struct queue_item *dropped = &items[0];

	assert_null(queue_pop(&q, T0, &dropped));
	assert_null(dropped);
	assert_null(queue_head(&q));
	assert_int_equal(queue_bytes(&q), 0);
	assert_int_equal(queue_frames(&q), 0);
}

static void frames_leave_in_the_order_they_came(void **state)
{
	size_t i;

	limits("unlimited", QUEUE_TAIL, 0);
	empty();
	for (i = 0; i < 3; i++)
		assert_null(push(100 + (uint32_t)i, i));
	assert_int_equal(queue_bytes(&q), 303);
	assert_int_equal(queue_frames(&q), 3);
	assert_int_equal(number(queue_head(&q)), 0);
	assert_true(items[2].arrival_ns == T0 + 2);
	assert_int_equal(pop(0), 0);
	assert_int_equal(pop(0), 1);
	assert_null(push(7, 0));
	assert_int_equal(pop(0), 2);
	assert_int_equal(queue_bytes(&q), 7);
	assert_int_equal(pop(0), 3);
	empty();
	assert_null(push(9, 0));
	assert_int_equal(pop(0), 4);
	empty();
}

static void an_unlimited_queue_refuses_nothing(void **state)
{
	size_t i;

	limits("unlimited", QUEUE_CODEL, 9600);
	for (i = 0; i < 100000; i++)
		assert_null(push(9014, 0));
	assert_int_equal(queue_bytes(&q), 901400000);
}

/* The newcomer comes back, and nothing else has changed. */
static void refused(uint32_t len)
{
	uint64_t bytes = queue_bytes(&q), frames = queue_frames(&q);
	struct queue_item *back = push(len, 0);

	assert_int_equal(number(back), used - 1);
	assert_null(back->next);
	assert_int_equal(back->dropped, QUEUE_DROP_FULL);
	assert_int_equal(queue_bytes(&q), bytes);
	assert_int_equal(queue_frames(&q), frames);
}

static void a_limit_in_frames_holds_exactly(void **state)
{
	limits("3frames", QUEUE_TAIL, 0);
	assert_null(push(1, 0));
	assert_null(push(9999, 0));
	assert_null(push(1, 0));
	refused(1);
	assert_int_equal(pop(0), 0);
	assert_null(push(1, 0));
	refused(1);
}

static void a_limit_in_bytes_holds_exactly(void **state)
{
	limits("1K", QUEUE_TAIL, 0);
	assert_null(push(1000, 0));
	refused(25);
	assert_null(push(24, 0));
	refused(1);
	assert_int_equal(pop(0), 0);
	refused(1001);
	assert_null(push(1000, 0));
}

/* 10 ms at 1 Mbit/s are 1250 bytes; at 999999 bit/s 1249.99875, so 1249. */
static void a_limit_in_time_counts_the_newcomer_and_holds_exactly(void **state)
{
	limits("10ms", QUEUE_TAIL, 1000000);
	assert_null(push(1000, 0));
	refused(251);
	assert_null(push(250, 0));
	refused(1);
	limits("10ms", QUEUE_TAIL, 999999);
	assert_null(push(1000, 0));
	refused(250);
	assert_null(push(249, 0));
}

static void a_limit_in_time_means_nothing_without_a_rate(void **state)
{
	limits("10ms", QUEUE_TAIL, 0);
	assert_null(push(60000, 0));
	assert_null(push(60000, 0));
	assert_null(push(60000, 0));
	/* Another kind still holds. */
	limits("10ms,2frames", QUEUE_TAIL, 0);
	assert_null(push(60000, 0));
	assert_null(push(60000, 0));
	refused(1);
}

static void of_several_limits_the_first_that_is_reached_holds(void **state)
{
	limits("3frames,1K,10ms", QUEUE_TAIL, 8000000); /* 10 ms: 10000 bytes */
	assert_null(push(10, 0));
	assert_null(push(10, 0));
	refused(1005);
	assert_null(push(1004, 0));
	refused(1);
	limits("3frames,1M,10ms", QUEUE_TAIL, 80000); /* 10 ms: 100 bytes */
	assert_null(push(50, 0));
	refused(51);
	assert_null(push(50, 0));
}

static void the_longest_time_at_the_highest_rate_does_not_overflow(void **state)
{
	limits("1h", QUEUE_TAIL, 1000000000000); /* 450 terabytes */
	assert_true(q.most_bytes == 450000000000000);
	conf.limit_ns = UINT64_MAX;
	queue_init(&q, &conf, UINT64_MAX);
	assert_true(q.most_bytes == UINT64_MAX);
}

/* A frame of 1514 bytes takes 1.26 s at 9600 bit/s: it could never pass otherwise. */
static void an_empty_queue_takes_one_frame_of_any_size(void **state)
{
	int d;

	for (d = QUEUE_TAIL; d <= QUEUE_CODEL; d++) {
		reset(NULL);
		limits(QUEUE_DEFAULT_LIMIT, d, 9600);
		assert_null(push(1514, 0));
		assert_int_equal(pop(0), 0);
		assert_null(push(65535, 0));
		assert_int_equal(pop(0), 1);
		empty();
		limits("1ns", d, 1);
		assert_null(push(14, 0));
	}
}

static void head_drop_pushes_out_as_many_as_the_newcomer_needs(void **state)
{
	struct queue_item *dropped;

	limits("1000bytes", QUEUE_HEAD, 0);
	assert_null(push(400, 0));
	assert_null(push(300, 0));
	assert_null(push(300, 0));
	dropped = push(500, 0);
	assert_int_equal(number(dropped), 0);
	assert_int_equal(dropped->dropped, QUEUE_DROP_FULL);
	assert_int_equal(number(dropped->next), 1);
	assert_int_equal(dropped->next->dropped, QUEUE_DROP_FULL);
	assert_null(dropped->next->next);
	assert_int_equal(queue_bytes(&q), 800);
	assert_null(push(200, 0));
	assert_int_equal(pop(0), 2);
	assert_int_equal(pop(0), 3);
	assert_int_equal(pop(0), 4);
	empty();
}

static void head_drop_keeps_a_newcomer_that_is_too_big_alone(void **state)
{
	struct queue_item *dropped;

	limits("2frames,100bytes", QUEUE_HEAD, 0);
	assert_null(push(10, 0));
	assert_null(push(10, 0));
	dropped = push(101, 0);
	assert_int_equal(number(dropped), 0);
	assert_int_equal(number(dropped->next), 1);
	assert_null(dropped->next->next);
	assert_int_equal(queue_frames(&q), 1);
	dropped = push(10, 0);
	assert_int_equal(number(dropped), 2);
	assert_null(dropped->next);
	assert_int_equal(pop(0), 3);
}

static void a_smaller_limit_keeps_what_waits(void **state)
{
	limits("100frames", QUEUE_TAIL, 0);
	while (used < 10)
		assert_null(push(100, 0));
	assert_int_equal(queue_parse_limit("5frames", &conf, &e), 0);
	queue_update(&q, &conf, 0);
	assert_int_equal(queue_frames(&q), 10);
	refused(1);
	while (queue_frames(&q) > 5)
		pop(0);
	refused(1);
	assert_int_equal(pop(0), 5);
	assert_null(push(1, 0));
}

static void a_smaller_limit_with_head_drop_takes_effect_with_the_next_frame(void **state)
{
	struct queue_item *dropped;
	size_t i;

	limits("100frames", QUEUE_HEAD, 0);
	while (used < 10)
		assert_null(push(100, 0));
	assert_int_equal(queue_parse_limit("300bytes", &conf, &e), 0);
	queue_update(&q, &conf, 0);
	assert_int_equal(queue_frames(&q), 10);
	dropped = push(100, 0);
	for (i = 0; i < 8; i++, dropped = dropped->next)
		assert_int_equal(number(dropped), i);
	assert_null(dropped);
	assert_int_equal(queue_bytes(&q), 300);
}

static void another_rate_changes_a_limit_in_time(void **state)
{
	limits("10ms", QUEUE_TAIL, 8000000); /* 10000 bytes */
	assert_null(push(9000, 0));
	refused(1001);
	queue_update(&q, &conf, 16000000);
	assert_null(push(9000, 0));
	queue_update(&q, &conf, 1000);
	assert_int_equal(queue_frames(&q), 2);
	refused(1);
	queue_update(&q, &conf, 0);
	assert_null(push(60000, 0));
}

static void a_change_of_discipline_keeps_what_waits(void **state)
{
	limits("3frames", QUEUE_TAIL, 0);
	push(1, 0);
	push(1, 0);
	push(1, 0);
	conf.discipline = QUEUE_HEAD;
	queue_update(&q, &conf, 0);
	assert_int_equal(number(push(1, 0)), 0);
	conf.discipline = QUEUE_CODEL;
	queue_update(&q, &conf, 0);
	refused(1);
	assert_int_equal(pop(0), 1);
	assert_int_equal(pop(0), 2);
	assert_int_equal(pop(0), 3);
	empty();
}

/*
 * The pseudo-code of RFC 8289, 5, transcribed, names and all, over an array of
 * arrival times; nothing of the queue's own code.
 */
static struct {
	uint64_t first_above_time, drop_next, interval, target;
	uint32_t count, lastcount, maxpacket;
	bool dropping;
	size_t head, tail; /* in items */
	uint64_t bytes;
	size_t drops[ITEMS];
	size_t dropped;
} ref;

struct ref_result {
	bool any, ok_to_drop;
	size_t p;
};

static uint64_t ref_control_law(uint64_t t, uint32_t count)
{
	return t + (uint64_t)((double)ref.interval / sqrt(count));
}

static struct ref_result ref_dodequeue(uint64_t now)
{
	struct ref_result r = {ref.head < ref.tail, false, ref.head};
	uint64_t sojourn_time;

	if (!r.any) {
		ref.first_above_time = 0;
		return r;
	}
	ref.head++;
	ref.bytes -= items[r.p].len;
	sojourn_time = now - items[r.p].arrival_ns;
	if (sojourn_time < ref.target || ref.bytes <= ref.maxpacket) {
		ref.first_above_time = 0;
	} else {
		if (ref.first_above_time == 0)
			ref.first_above_time = now + ref.interval;
		else if (now >= ref.first_above_time)
			r.ok_to_drop = true;
	}
	return r;
}

static void ref_drop(struct ref_result r)
{
	ref.drops[ref.dropped++] = r.p;
}

static struct ref_result ref_dequeue(uint64_t now)
{
	struct ref_result r = ref_dodequeue(now);

	if (ref.dropping) {
		if (!r.ok_to_drop)
			ref.dropping = false;
		while (now >= ref.drop_next && ref.dropping) {
			ref_drop(r);
			++ref.count;
			r = ref_dodequeue(now);
			if (!r.ok_to_drop)
				ref.dropping = false;
			else
				ref.drop_next = ref_control_law(ref.drop_next, ref.count);
		}
	} else if (r.ok_to_drop) {
		uint32_t delta;

		ref_drop(r);
		r = ref_dodequeue(now);
		ref.dropping = true;
		delta = ref.count - ref.lastcount;
		ref.count = 1;
		if (delta > 1 && (int64_t)(now - ref.drop_next) < (int64_t)(16 * ref.interval))
			ref.count = delta;
		ref.drop_next = ref_control_law(now, ref.count);
		ref.lastcount = ref.count;
	}
	return r;
}

static void ref_start(void)
{
	memset(&ref, 0, sizeof(ref));
	ref.interval = conf.codel_interval_ns ? conf.codel_interval_ns : 100 * NS_PER_MS;
	ref.target = conf.codel_target_ns ? conf.codel_target_ns : 5 * NS_PER_MS;
	ref.maxpacket = 1514;
}

static void both_push(uint32_t len, uint64_t ns)
{
	if (len > ref.maxpacket)
		ref.maxpacket = len;
	assert_null(push(len, ns));
	ref.tail = used;
	ref.bytes += len;
}

/* Pops from both and compares. Returns the frame, NULL if there was none. */
static struct queue_item *both_pop(uint64_t ns)
{
	struct queue_item *dropped, *item = queue_pop(&q, T0 + ns, &dropped);
	size_t first = ref.dropped;
	struct ref_result r = ref_dequeue(T0 + ns);

	for (; first < ref.dropped; first++, dropped = dropped->next) {
		assert_int_equal(number(dropped), ref.drops[first]);
		assert_int_equal(dropped->dropped, QUEUE_DROP_CODEL);
	}
	assert_null(dropped);
	assert_int_equal(!!item, r.any);
	if (item) {
		assert_int_equal(number(item), r.p);
		assert_null(item->next);
	}
	assert_int_equal(queue_bytes(&q), ref.bytes);
	return item;
}

/*
 * By hand. A frame of 1500 bytes each ms comes, from 0, and one leaves each 2 ms
 * from 2 on: the n-th that leaves, at 2 + 2n, has waited 2 + n ms until one is
 * dropped. That of 8 ms has waited 5, so that the interval ends at 108 ms, and
 * the first that leaves then is dropped (frame 53). The next is due 100 ms later,
 * at 208, the third 100/√2 = 70.7 after that, at 278.7, so at 280, and the
 * fourth 100/√3 = 57.7 after 278.7, at 336.4, so at 338.
 */
static void codel_drops_when_its_control_law_says(void **state)
{
	static const uint64_t due_ms[] = {108, 208, 280, 338};
	struct queue_item *dropped;
	uint64_t ms, drops = 0;

	limits("unlimited", QUEUE_CODEL, 0);
	for (ms = 0; ms <= 340; ms++) {
		push(1500, ms * NS_PER_MS);
		if (!ms || ms % 2)
			continue;
		assert_non_null(queue_pop(&q, T0 + ms * NS_PER_MS, &dropped));
		if (drops < 4 && ms == due_ms[drops]) {
			assert_non_null(dropped);
			assert_null(dropped->next);
			if (!drops)
				assert_int_equal(number(dropped), 53);
			drops++;
		} else {
			assert_null(dropped);
		}
	}
	assert_int_equal(drops, 4);
}

/* A sender that slows down with each drop and speeds up with time, as TCP would. */
static void codel_does_what_the_rfc_says_over_random_traffic(void **state)
{
	uint64_t seed = 88172645463325252ull, ns = 0, next_pop = 0, gap = NS_PER_MS;
	size_t seen = 0;

	conf.codel_target_ns = 3 * NS_PER_MS;
	conf.codel_interval_ns = 40 * NS_PER_MS;
	limits("unlimited", QUEUE_CODEL, 0);
	ref_start();
	while (used < ITEMS - 1) {
		struct queue_item *item;

		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		ns += gap / 2 + seed % gap;
		while (next_pop <= ns) {
			item = both_pop(next_pop);
			/* 10 Mbit/s; an idle line waits for the next frame. */
			next_pop = item ? next_pop + item->len * 800ull : ns + 1;
		}
		if (ref.dropped > seen)
			gap += gap / 4;
		else if (gap > 200000)
			gap -= gap / 512;
		seen = ref.dropped;
		both_push(seed % 3 ? 1514 : 60 + (uint32_t)(seed >> 30) % 1455, ns);
	}
	/* All of it was of use: dropping began often, and with a rate remembered. */
	assert_true(ref.dropped > 1000);
	assert_true(ref.lastcount > 1);
	assert_true(ref.dropped < used / 10);
}

static void codel_remembers_the_rate_that_was_enough_for_16_intervals(void **state)
{
	uint64_t ms = 0;
	int i;

	/* Two overloads, the second one shortly after and long after the first. */
	for (i = 0; i < 2; i++) {
		reset(NULL);
		limits("unlimited", QUEUE_CODEL, 0);
		ref_start();
		for (ms = 0; ms < 3000; ms++) {
			both_push(1500, ms * NS_PER_MS);
			if (ms % 2)
				both_pop(ms * NS_PER_MS);
		}
		while (both_pop(ms * NS_PER_MS))
			;
		assert_true(ref.count > 10);
		ms += i ? 2000 : 100;
		for (; !ref.dropping; ms++) {
			both_push(1500, ms * NS_PER_MS);
			if (ms % 2)
				both_pop(ms * NS_PER_MS);
		}
		if (i)
			assert_int_equal(ref.count, 1);
		else
			assert_true(ref.count > 10);
		assert_int_equal(q.codel.count, ref.count);
	}
}

/* 3 % more than the line takes, of a sender that does not react: CoDel alone finds the rate. */
static void under_a_steady_overload_waiting_stays_near_the_target(void **state)
{
	uint64_t tx_ns = 1200000, in_ns = 1165000, ns = 0, next_pop = 0, worst = 0, after = 0;
	struct queue_item *dropped, *item;
	uint64_t sum = 0, n = 0;

	limits("unlimited", QUEUE_CODEL, 10000000);
	for (; used < 100000; ns += in_ns) {
		for (; next_pop <= ns; next_pop += tx_ns) {
			item = queue_pop(&q, T0 + next_pop, &dropped);
			if (!item || next_pop < 60 * NS_PER_S)
				continue;
			after = T0 + next_pop - item->arrival_ns;
			worst = after > worst ? after : worst;
			sum += after;
			n++;
		}
		assert_null(push(1500, ns));
	}
	assert_true(n > 10000);
	/* Without it the last frame would have waited 3.5 s. */
	assert_true(sum / n < 8 * NS_PER_MS);
	assert_true(worst < 10 * NS_PER_MS);
}

static void codel_drops_nothing_while_waiting_is_below_the_target(void **state)
{
	uint64_t i;

	limits("unlimited", QUEUE_CODEL, 0);
	/* A standing queue of four frames that each wait 4.999999 ms, for 20 s. */
	for (i = 0; i < 4; i++)
		push(1514, i * 1250000);
	for (; i < 16000; i++) {
		pop((i - 4) * 1250000 + 4999999);
		push(1514, i * 1250000);
	}
}

/* Each frame waits a second, but behind it there never waits more than one of full length. */
static void codel_drops_nothing_while_an_mtu_or_less_waits(void **state)
{
	uint64_t s;

	limits("unlimited", QUEUE_CODEL, 0);
	push(1514, 0);
	for (s = 1; s < 1000; s++) {
		push(1514, s * NS_PER_S);
		assert_int_equal(pop(s * NS_PER_S + NS_PER_S / 2), s - 1);
	}
	/* A jumbo frame that was seen makes the MTU a jumbo's. */
	push(9014, 1000 * NS_PER_S);
	for (s = 1001; s < 2000; s++) {
		push(9014, s * NS_PER_S);
		pop(s * NS_PER_S + NS_PER_S / 2);
		if (s == 1001)
			pop(s * NS_PER_S + NS_PER_S / 2);
	}
}

static void codel_has_a_limit_as_well(void **state)
{
	limits("2frames", QUEUE_CODEL, 0);
	assert_null(push(1, 0));
	assert_null(push(1, 0));
	refused(1);
}

static void a_clock_that_seems_to_go_back_is_no_waiting(void **state)
{
	uint64_t i;

	limits("unlimited", QUEUE_CODEL, 0);
	for (i = 0; i < 1000; i++)
		push(1514, NS_PER_S);
	for (i = 0; i < 1000; i++)
		assert_int_equal(pop(i), i);
}

static void refuses(const char *spec, const char *says)
{
	struct queue_conf c = {.limit_bytes = 5, .limit_ns = 6, .discipline = QUEUE_HEAD};

	e.text[0] = '\0';
	assert_true(queue_parse_limit(spec, &c, &e) < 0);
	assert_string_equal(e.text, says);
	assert_true(c.limit_bytes == 5 && c.limit_ns == 6 && !c.limit_frames);
	assert_int_equal(c.discipline, QUEUE_HEAD);
}

#define USAGE "write it as 250ms, 64K, 100frames, several of them with commas between, or unlimited"

static void a_wrong_limit_is_refused_with_what_is_allowed(void **state)
{
	refuses("", "'' lacks a value; " USAGE);
	refuses("64K,", "'64K,' lacks a value; " USAGE);
	refuses("1ms,2K,3frames,4h", "'1ms,2K,3frames,4h' has more than 3 values; " USAGE);
	refuses("100", "'100' is no limit of a queue; " USAGE);
	refuses("5m", "'5m' is no limit of a queue; " USAGE);
	refuses("-1ms", "'-1ms' is no limit of a queue; " USAGE);
	refuses("frames", "'frames' is no limit of a queue; " USAGE);
	refuses("10 ms", "'10 ms' is no limit of a queue; " USAGE);
	refuses("unlimited,1ms", "'unlimited' is no limit of a queue; " USAGE);
	refuses("100packets", "'100packets' is no limit of a queue; " USAGE);
	refuses("1ms,2s",
		"'2s' is a second limit in time; give one of a kind, as 250ms, 64K, 100frames, "
		"several of them with commas between, or unlimited");
	refuses("0ms", "a queue's limit in time: '0ms' is outside 1ns…1h");
	refuses("2h", "a queue's limit in time: '2h' is outside 1ns…1h");
	refuses("0K", "a queue's limit in bytes: '0K' is outside 1…1T");
	refuses("2T", "a queue's limit in bytes: '2T' is outside 1…1T");
	refuses("0frames", "a queue's limit in frames: '0' is outside 1…1000000000");
	refuses("1.5frames",
		"a queue's limit in frames: '1.5' is not a whole number from 1 to 1000000000");
	refuses("1.2.3ms", "a queue's limit in time: '.3ms' is no unit of a time; write it like "
			   "60ms (us ms s m h)");
}

static void limits_are_read_in_every_unit(void **state)
{
	assert_int_equal(queue_parse_limit("250ms", &conf, &e), 0);
	assert_true(conf.limit_ns == 250 * NS_PER_MS && !conf.limit_bytes && !conf.limit_frames);
	assert_int_equal(queue_parse_limit("1frame,1.5K,2us", &conf, &e), 0);
	assert_true(conf.limit_ns == 2000 && conf.limit_bytes == 1536 && conf.limit_frames == 1);
	assert_int_equal(queue_parse_limit("1500bytes", &conf, &e), 0);
	assert_true(conf.limit_bytes == 1500 && !conf.limit_ns && !conf.limit_frames);
	assert_int_equal(queue_parse_limit("2M,1h", &conf, &e), 0);
	assert_true(conf.limit_bytes == 2 << 20 && conf.limit_ns == 3600 * NS_PER_S);
	assert_int_equal(queue_parse_limit("100frames,64k,90s", &conf, &e), 0);
	assert_true(conf.limit_ns == 90 * NS_PER_S && conf.limit_bytes == 65536 &&
		    conf.limit_frames == 100);
	assert_int_equal(queue_parse_limit("1byte,123456789ns", &conf, &e), 0);
	assert_true(conf.limit_ns == 123456789 && conf.limit_bytes == 1 && !conf.limit_frames);
	assert_int_equal(queue_parse_limit("1T", &conf, &e), 0);
	assert_true(conf.limit_bytes == 1ull << 40);
	assert_int_equal(queue_parse_limit("3G", &conf, &e), 0);
	assert_true(conf.limit_bytes == 3ull << 30);
	assert_int_equal(queue_parse_limit("unlimited", &conf, &e), 0);
	assert_true(!conf.limit_bytes && !conf.limit_ns && !conf.limit_frames);
	conf.discipline = QUEUE_CODEL;
	assert_int_equal(queue_parse_limit(QUEUE_DEFAULT_LIMIT, &conf, &e), 0);
	assert_int_equal(conf.discipline, QUEUE_CODEL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup(name, reset)
		T(frames_leave_in_the_order_they_came),
		T(an_unlimited_queue_refuses_nothing),
		T(a_limit_in_frames_holds_exactly),
		T(a_limit_in_bytes_holds_exactly),
		T(a_limit_in_time_counts_the_newcomer_and_holds_exactly),
		T(a_limit_in_time_means_nothing_without_a_rate),
		T(of_several_limits_the_first_that_is_reached_holds),
		T(the_longest_time_at_the_highest_rate_does_not_overflow),
		T(an_empty_queue_takes_one_frame_of_any_size),
		T(head_drop_pushes_out_as_many_as_the_newcomer_needs),
		T(head_drop_keeps_a_newcomer_that_is_too_big_alone),
		T(a_smaller_limit_keeps_what_waits),
		T(a_smaller_limit_with_head_drop_takes_effect_with_the_next_frame),
		T(another_rate_changes_a_limit_in_time),
		T(a_change_of_discipline_keeps_what_waits),
		T(codel_drops_when_its_control_law_says),
		T(codel_does_what_the_rfc_says_over_random_traffic),
		T(codel_remembers_the_rate_that_was_enough_for_16_intervals),
		T(under_a_steady_overload_waiting_stays_near_the_target),
		T(codel_drops_nothing_while_waiting_is_below_the_target),
		T(codel_drops_nothing_while_an_mtu_or_less_waits),
		T(codel_has_a_limit_as_well),
		T(a_clock_that_seems_to_go_back_is_no_waiting),
		T(a_wrong_limit_is_refused_with_what_is_allowed),
		T(limits_are_read_in_every_unit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
