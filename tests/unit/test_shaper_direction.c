// SPDX-License-Identifier: GPL-3.0-or-later
/* test_shaper_direction.c - a frame's way through the line, on a clock of the test's */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "gso_frames.h"
#include "shaper/direction.h"
#include "shaper/settings.h"

#define MS 1000000ull

static struct direction d;
static struct direction_conf conf, next_conf;
static struct direction_counters *counters;
static struct frame_log_ring *ring;
static void *made[4]; /* frames to be freed */
static unsigned n_made;

/* What settings mean, from the words a user would type. */
static void mean(struct direction_conf *c, const char *words)
{
	struct settings s = {0};
	struct err e = {""};

	if (settings_parse(&s, words, &e) || settings_mean(&s, &s, NULL, "ab", c, &e))
		fail_msg("%s", e.text);
	settings_release(&s);
}

static void start(const char *words, bool log)
{
	struct err e;

	mean(&conf, words);
	counters = calloc(1, sizeof(*counters));
	ring = log ? frame_log_ring_new(&e) : NULL;
	assert_int_equal(direction_init(&d, &conf, 7, AB, 1 << 20, 64 << 20, counters, ring, 0, &e),
			 0);
}

static int stop(void **state)
{
	if (counters)
		direction_release(&d);
	settings_meant(&conf);
	settings_meant(&next_conf);
	frame_log_ring_free(ring);
	free(counters);
	counters = NULL;
	ring = NULL;
	while (n_made)
		free(made[--n_made]);
	return 0;
}

/* A frame of @len bytes that bears a number. */
static void arrive(uint32_t number, uint32_t len, uint64_t at_ns)
{
	uint8_t data[9100] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5};
	struct frame f = {.data = data, .len = len};

	store_be32(data + 14, number);
	direction_arrive(&d, &f, at_ns);
}

/* A TCP super-frame of @n segments; its checksum is partial. Freed by stop(). */
static struct frame super_tcp4(unsigned n, unsigned size)
{
	struct spec s = super_of(spec_tcp(4), (size_t)n * size, size);
	struct frame f;

	s.partial = true;
	f = build(&s);
	assert_int_equal(n_made < 4, true);
	made[n_made++] = f.data;
	return f;
}

/* Takes what is due; returns its number, or -1. */
static int64_t leave(uint64_t now_ns)
{
	struct held *h;
	int64_t number;

	direction_advance(&d, now_ns);
	h = direction_pop(&d, now_ns);
	if (!h)
		return -1;
	number = load_be32(h->data + 14);
	direction_done(&d, h, FRAME_SENT, now_ns);
	return number;
}

static void a_frame_is_due_after_its_delay_and_not_before(void **state)
{
	start("--delay 60ms", false);
	arrive(1, 100, 5 * MS);
	assert_true(direction_next(&d) == 65 * MS);
	assert_int_equal(leave(65 * MS - 1), -1);
	assert_int_equal(leave(65 * MS), 1);
	assert_true(direction_next(&d) == UINT64_MAX);
	assert_true(hist_max(&counters->delay_ns) == 60 * MS);
}

static void a_rate_puts_frames_behind_one_another_however_late_we_look(void **state)
{
	uint32_t i;

	start("--rate 8mbit --delay 10ms", false);
	for (i = 0; i < 5; i++)
		arrive(i, 1000, 0); /* 1 ms each */
	assert_true(direction_next(&d) == 11 * MS);
	assert_int_equal(leave(11 * MS - 1), -1);
	assert_int_equal(leave(11 * MS), 0);
	assert_int_equal(leave(11 * MS), -1);
	/* Nobody has looked for a while. */
	for (i = 1; i < 5; i++)
		assert_int_equal(leave(100 * MS), i);
	arrive(9, 1000, 100 * MS);
	direction_advance(&d, 100 * MS);
	assert_true(direction_next(&d) == 111 * MS);
}

static void lost_frames_have_used_the_rate_and_dropped_ones_have_not(void **state)
{
	uint32_t i;

	start("--rate 8mbit --queue 2frames --loss list:2", false);
	for (i = 1; i <= 5; i++)
		arrive(i, 1000, 0);
	assert_int_equal(leave(MS), 1);
	assert_int_equal(leave(2 * MS), -1); /* the lost one's time */
	assert_int_equal(leave(3 * MS), 3);
	assert_int_equal(leave(10 * MS), -1);
	assert_int_equal(counter_get(&counters->verdicts[FRAME_LOST]), 1);
	assert_int_equal(counter_get(&counters->verdicts[FRAME_QUEUE_FULL]), 2);
	assert_int_equal(counter_get(&counters->queue_bytes_max), 2000);
	assert_int_equal(counter_get(&counters->flight_frames), 0);
}

static void jitter_does_not_reorder_unless_it_may(void **state)
{
	uint32_t i;
	int64_t last = -1, number, backwards = 0;

	start("--delay 10ms --jitter 9ms", false);
	for (i = 0; i < 1000; i++)
		arrive(i, 100, i * 10000);
	while ((number = leave(UINT64_MAX - 1)) >= 0)
		assert_int_equal(number, ++last);
	assert_int_equal(last, 999);
	mean(&next_conf, "--delay 10ms --jitter 9ms --reorder-by-jitter yes");
	direction_update(&d, &next_conf, 100 * MS);
	for (i = 0; i < 1000; i++)
		arrive(i, 100, 100 * MS + i * 10000);
	for (last = -1, i = 0; (number = leave(UINT64_MAX - 1)) >= 0; last = number, i++)
		backwards += number < last;
	assert_int_equal(i, 1000);
	assert_true(backwards > 100);
}

static void frames_in_flight_keep_their_delay_when_it_changes(void **state)
{
	start("--delay 100ms", false);
	arrive(1, 100, 0);
	mean(&next_conf, "--delay 1ms --reorder 100%");
	direction_update(&d, &next_conf, 10 * MS);
	arrive(2, 100, 20 * MS); /* skips its delay: overtakes */
	assert_int_equal(leave(20 * MS), 2);
	assert_int_equal(leave(99 * MS), -1);
	assert_int_equal(leave(100 * MS), 1);
}

static void a_shorter_delay_lets_nothing_overtake(void **state)
{
	start("--delay 100ms", false);
	arrive(1, 100, 0);
	mean(&next_conf, "--delay 1ms");
	direction_update(&d, &next_conf, 10 * MS);
	arrive(2, 100, 20 * MS);
	assert_int_equal(leave(99 * MS), -1);
	assert_int_equal(leave(100 * MS), 1);
	assert_int_equal(leave(100 * MS), 2);
}

static void what_waits_goes_at_the_new_rate(void **state)
{
	start("--rate 8mbit", false);
	arrive(1, 1000, 0);
	arrive(2, 1000, 0);
	arrive(3, 1000, 0);
	mean(&next_conf, "--rate 80mbit");
	direction_update(&d, &next_conf, 0);
	assert_int_equal(leave(MS), 1); /* it was on the wire */
	assert_int_equal(leave(MS + MS / 10), 2);
	assert_int_equal(leave(MS + MS / 5), 3);
}

/* A frame of the queue that is lost has nobody behind it who would wake us for the next. */
static void what_waits_keeps_its_delay_and_is_looked_at_in_time(void **state)
{
	uint32_t i;

	start("--rate 8mbit --loss list:2", false);
	for (i = 1; i <= 3; i++)
		arrive(i, 1000, 0); /* 1 ms each */
	mean(&next_conf, "--rate 8mbit --delay 3s");
	direction_update(&d, &next_conf, 0);
	assert_int_equal(leave(MS), 1);
	assert_true(direction_next(&d) <= 3 * MS);
	assert_int_equal(leave(2 * MS), -1);
	assert_true(direction_next(&d) <= 3 * MS);
	assert_int_equal(leave(3 * MS), 3);
	arrive(4, 1000, 4 * MS);
	assert_int_equal(leave(5 * MS + 3000 * MS - 1), -1);
	assert_int_equal(leave(5 * MS + 3000 * MS), 4);
}

static void what_is_still_on_its_way_has_a_fate_at_the_end(void **state)
{
	uint32_t i;

	start("--rate 8mbit --delay 5ms --duplicate 100%", true);
	for (i = 1; i <= 5; i++)
		arrive(i, 1000, 0);
	direction_advance(&d, 2 * MS);
	direction_abandon(&d);
	assert_int_equal(counter_get(&counters->verdicts[FRAME_UNFINISHED]), 10);
	assert_int_equal(counter_get(&counters->flight_frames), 0);
}

static void a_super_frame_that_nothing_touches_stays_whole(void **state)
{
	struct frame f = super_tcp4(10, 1448);
	struct held *h;

	start("--delay 1ms", false);
	direction_arrive(&d, &f, 0);
	direction_advance(&d, MS);
	h = direction_pop(&d, MS);
	assert_non_null(h);
	assert_int_equal(h->frames, 10);
	assert_memory_equal(h->data, f.data, f.len);
	assert_memory_equal(&h->vnet, &f.vnet, sizeof(f.vnet));
	direction_done(&d, h, FRAME_SENT, MS);
	assert_int_equal(counter_get(&counters->frames_out), 10);
	assert_int_equal(counter_get(&counters->bytes_out), f.len + 9 * (f.len - 10 * 1448));
	assert_int_equal(counter_get(&counters->bytes_in), counter_get(&counters->bytes_out));
}

static void models_see_the_wire_frames_of_a_super_frame(void **state)
{
	struct frame f = super_tcp4(10, 1448);
	struct held *h;
	unsigned n;

	start("--loss list:3,7", false);
	direction_arrive(&d, &f, 0);
	for (n = 0; (h = direction_pop(&d, 0)); n++) {
		assert_int_equal(h->frames, 1);
		assert_int_equal(h->queue.len, f.len - 9 * 1448);
		assert_true(h->number != 3 && h->number != 7);
		assert_true(h->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM);
		direction_done(&d, h, FRAME_SENT, 0);
	}
	assert_int_equal(n, 8);
	assert_int_equal(counter_get(&counters->frames_in), 10);
	assert_int_equal(counter_get(&counters->verdicts[FRAME_LOST]), 2);
}

static void the_same_seed_and_frames_give_the_same_fates_at_any_speed(void **state)
{
	static const char words[] = "--loss 5%,30% --duplicate 3% --corrupt 4%,3 --rate 100mbit "
				    "--queue unlimited --delay 3ms --jitter 1ms,20% --distribution "
				    "normal";
	uint64_t hash[2] = {0}, delay[2] = {0};
	int run, i;

	for (run = 0; run < 2; run++) {
		struct held *h;

		if (run)
			stop(NULL);
		start(words, true);
		for (i = 0; i < 5000; i++)
			arrive((uint32_t)i, 500, (uint64_t)i * (run ? 1 : 90000));
		direction_advance(&d, UINT64_MAX - 1);
		while ((h = direction_pop(&d, UINT64_MAX - 1))) {
			uint64_t mark = h->number * 8 + h->duplicate + 2 * h->corrupted;

			hash[run] = hash[run] * 1099511628211u + mark + h->data[h->number % 500];
			delay[run] += h->delay_ns;
			direction_done(&d, h, FRAME_SENT, h->due_ns);
		}
	}
	assert_true(hash[0] == hash[1]);
	assert_true(delay[0] == delay[1]);
}

static void corruption_is_of_the_complete_checksum(void **state)
{
	struct frame f = super_tcp4(2, 1448);
	struct held *h;
	unsigned n = 0;

	start("--corrupt 100%,1", false);
	direction_arrive(&d, &f, 0);
	for (; (h = direction_pop(&d, 0)); n++) {
		assert_true(h->corrupted);
		assert_int_equal(h->vnet.flags, 0);
		direction_done(&d, h, FRAME_SENT, 0);
	}
	assert_int_equal(n, 2);
}

static void every_frame_has_one_fate(void **state)
{
	uint64_t fates = 0;
	struct held *h;
	int i;

	start("--loss 5% --duplicate 10% --corrupt 10% --frame-check yes --rate 100mbit --queue 20ms "
	      "--queue-discipline codel --delay 1ms --jitter 1ms --reorder 3%",
	      true);
	for (i = 0; i < 20000; i++)
		arrive((uint32_t)i, 200 + (uint32_t)i % 1300, (uint64_t)i * 50000);
	direction_advance(&d, UINT64_MAX - 1);
	while ((h = direction_pop(&d, UINT64_MAX - 1)))
		direction_done(&d, h, FRAME_SENT, h->due_ns);
	for (i = 0; i < FRAME_VERDICTS; i++)
		fates += counter_get(&counters->verdicts[i]);
	assert_int_equal(fates, 20000 + counter_get(&counters->duplicated));
	assert_int_equal(counter_get(&counters->flight_frames), 0);
	for (i = 0; i <= FRAME_CHECK; i++)
		assert_true(counter_get(&counters->verdicts[i]) > 0);
}

static void memory_that_is_full_is_a_fate_too(void **state)
{
	int i;

	start("--delay 60s", false);
	d.store.limit = d.store.bytes;
	for (i = 0; i < 2000; i++)
		arrive((uint32_t)i, 1500, (uint64_t)i);
	assert_true(counter_get(&counters->verdicts[FRAME_NO_MEMORY]) > 0);
	assert_int_equal(counter_get(&counters->verdicts[FRAME_NO_MEMORY]) + d.store.held, 2000);
}

static void memory_of_what_has_left_is_used_again_around_a_straggler(void **state)
{
	uint64_t bytes;
	int i;

	start("--delay 1ms --reorder-by-jitter no", false);
	bytes = d.store.bytes;
	for (i = 0; i < 100000; i++) {
		arrive((uint32_t)i, 1500, (uint64_t)i * MS);
		if (i == 0)
			assert_true(departures_next(&d.departures) == MS);
		else
			assert_int_equal(leave((uint64_t)i * MS), i - 1);
	}
	assert_true(d.store.bytes <= 2 * bytes); /* one chunk is filled while the other empties */
}

static void the_hash_is_of_the_bytes_that_do_not_change(void **state)
{
	struct frame f = super_tcp4(1, 100), g = super_tcp4(1, 100);

	store_be16(g.data + 14 + 10, 0x1234);	   /* IPv4 header checksum */
	store_be16(g.data + 14 + 20 + 16, 0xabcd); /* TCP checksum */
	assert_true(frame_log_hash(f.data, f.len) == frame_log_hash(g.data, g.len));
	g.data[14 + 20 + 4] ^= 1; /* sequence number */
	assert_true(frame_log_hash(f.data, f.len) != frame_log_hash(g.data, g.len));
}

int main(void)
{
#define T(f) cmocka_unit_test_teardown(f, stop)
	const struct CMUnitTest tests[] = {
		T(a_frame_is_due_after_its_delay_and_not_before),
		T(a_rate_puts_frames_behind_one_another_however_late_we_look),
		T(lost_frames_have_used_the_rate_and_dropped_ones_have_not),
		T(jitter_does_not_reorder_unless_it_may),
		T(frames_in_flight_keep_their_delay_when_it_changes),
		T(a_shorter_delay_lets_nothing_overtake),
		T(what_waits_goes_at_the_new_rate),
		T(what_waits_keeps_its_delay_and_is_looked_at_in_time),
		T(what_is_still_on_its_way_has_a_fate_at_the_end),
		T(a_super_frame_that_nothing_touches_stays_whole),
		T(models_see_the_wire_frames_of_a_super_frame),
		T(the_same_seed_and_frames_give_the_same_fates_at_any_speed),
		T(corruption_is_of_the_complete_checksum),
		T(every_frame_has_one_fate),
		T(memory_that_is_full_is_a_fate_too),
		T(memory_of_what_has_left_is_used_again_around_a_straggler),
		T(the_hash_is_of_the_bytes_that_do_not_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
