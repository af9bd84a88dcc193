// SPDX-License-Identifier: GPL-3.0-or-later
/* test_capture_diagnosis.c - the table of flows: found by their ends, bounded, reused ports */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "capture/diagnosis.h"
#include "tests/unit/packets.h"

static struct diagnosis *d;
static struct pkt k;
static unsigned evictions;
static uint16_t evicted_port;

static void evicted(void *ctx, const struct flow *f)
{
	evictions++;
	evicted_port = f->key.port[0];
}

static void begin(size_t max)
{
	struct diagnosis_hooks hooks = {.evicted = evicted};
	struct err e;

	evictions = 0;
	d = diagnosis_new(max, 42, &hooks, &e);
	assert_non_null(d);
}

/* A segment from 10.0.0.1:port to 10.0.0.2:902. */
static void packet(uint64_t ns, unsigned port, unsigned flags, uint32_t seq, size_t len)
{
	struct cap_packet p = {.time_ns = ns, .data = k.data, .link = LINK_ETHERNET};

	pkt_begin(&k);
	pkt_ipv4(&k, NULL, 0);
	pkt_tcp(&k, flags, NULL, 0);
	pkt_pattern(&k, len);
	pkt_put16(k.data + k.l4, port);
	pkt_put16(k.data + k.l4 + 4, seq >> 16);
	pkt_put16(k.data + k.l4 + 6, seq & 0xffff);
	pkt_finish(&k);
	p.captured = p.length = k.len;
	diagnosis_packet(d, &p);
}

static size_t flows(void)
{
	const struct flow **all;
	size_t n;

	all = diagnosis_flows(d, &n);
	free(all);
	return n;
}

static void each_pair_of_ends_is_one_flow(void **state)
{
	unsigned i;

	begin(100000);
	for (i = 0; i < 20000; i++)
		packet(1000000ull * i, 1000 + i % 10000, PKT_ACK, i, 10);
	assert_int_equal(flows(), 10000);
	assert_int_equal(diagnosis_totals(d)->flows, 10000);
	assert_int_equal(diagnosis_totals(d)->kinds[DECAP_TCP], 20000);
	diagnosis_free(d);
}

/* It is memory that may be read, and says anything at all. */
static void whatever_lies_ahead_changes_nothing(void **state)
{
	struct cap_packet p[64];
	uint8_t *noise = malloc(4096);
	uint64_t x = 88172645463325252ull; /* xorshift64 (Marsaglia 2003) */
	unsigned i, size, shape;

	pkt_begin(&k);
	pkt_ipv4(&k, NULL, 0);
	pkt_tcp(&k, PKT_ACK, NULL, 0);
	pkt_finish(&k);
	for (i = 0; i < 64; i++)
		p[i] = (struct cap_packet){.time_ns = 1 + i,
					   .data = k.data,
					   .captured = k.len,
					   .length = k.len,
					   .link = LINK_ETHERNET};
	for (i = 0; i < 4096; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		/* Lengths of all orders, in either byte order. */
		noise[i] = i & 3 && i & 8 ? 0 : (uint8_t)(x >> 24);
	}
	begin(10);
	for (size = 0; size <= 4096; size++)
		for (shape = 0; shape < 4; shape++)
			diagnosis_packets(d, p, 64,
					  (struct cap_ahead){.at = noise + 4096 - size,
							     .end = noise + 4096,
							     .len_at = shape & 1 ? 4 : 8,
							     .extra = shape & 1 ? 0 : 16,
							     .swapped = shape & 2});
	assert_int_equal(diagnosis_totals(d)->kinds[DECAP_TCP], 64 * 4097 * 4);
	assert_int_equal(flows(), 1);
	diagnosis_free(d);
	free(noise);
}

static void the_flow_with_the_most_data_comes_first(void **state)
{
	const struct flow **all;
	size_t n;

	begin(10);
	packet(1, 1001, PKT_ACK, 1, 10);
	packet(2, 1002, PKT_ACK, 1, 1000);
	packet(3, 1003, PKT_ACK, 1, 100);
	all = diagnosis_flows(d, &n);
	assert_int_equal(n, 3);
	assert_int_equal(all[0]->key.port[0], 1002);
	assert_int_equal(all[2]->key.port[0], 1001);
	free(all);
	diagnosis_free(d);
}

static void at_the_limit_the_longest_unused_goes_and_is_told_of(void **state)
{
	unsigned i;

	begin(4);
	for (i = 0; i < 4; i++)
		packet((i + 1) * 2000000000ull, 1000 + i, PKT_ACK, 1, 10);
	packet(10000000000ull, 1000, PKT_ACK, 11, 10); /* the first is used again */
	packet(12000000000ull, 2000, PKT_ACK, 1, 10);
	assert_int_equal(evictions, 1);
	assert_int_equal(evicted_port, 1001);
	assert_int_equal(flows(), 4);
	assert_int_equal(diagnosis_totals(d)->evicted, 1);
	diagnosis_free(d);
}

static void a_flood_of_flows_takes_no_more_than_the_limit(void **state)
{
	unsigned i;

	begin(100);
	for (i = 0; i < 60000; i++)
		packet(1000ull * i, 1 + i, PKT_SYN, i, 0);
	assert_int_equal(flows(), 100);
	assert_int_equal(evictions, 59900);
	diagnosis_free(d);
}

static void a_syn_with_another_number_is_another_connection(void **state)
{
	begin(10);
	packet(1, 1000, PKT_SYN, 5000, 0);
	packet(2, 1000, PKT_SYN, 5000, 0); /* again */
	packet(3, 1000, PKT_ACK, 5001, 100);
	assert_int_equal(flows(), 1);
	packet(4, 1000, PKT_SYN, 900000, 0);
	packet(5, 1000, PKT_ACK, 900001, 50);
	assert_int_equal(flows(), 2);
	assert_int_equal(diagnosis_totals(d)->flows, 2);
	diagnosis_free(d);
}

static void a_clock_that_is_set_back_is_counted_and_time_goes_on(void **state)
{
	begin(10);
	packet(5000000000000ull, 1000, PKT_ACK, 1, 10);
	packet(1000000000000ull, 1000, PKT_ACK, 11, 10);
	packet(1001000000000ull, 1000, PKT_ACK, 21, 10);
	assert_int_equal(diagnosis_totals(d)->time_jumps, 1);
	assert_int_equal(diagnosis_totals(d)->last_ns, 5001000000000ull);
	diagnosis_free(d);
}

static void a_quiet_flow_has_no_track_and_still_counts_when_it_wakes(void **state)
{
	const struct flow **all;
	size_t n;

	begin(10);
	packet(1000000000ull, 1000, PKT_ACK, 1, 10);
	packet(2000000000ull, 1001, PKT_ACK, 1, 10);
	packet(50000000000ull, 1002, PKT_ACK, 1, 10);
	all = diagnosis_flows(d, &n);
	assert_int_equal(n, 3);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(all[i]->dir[0].track == NULL, all[i]->key.port[0] != 1002);
	free(all);
	packet(51000000000ull, 1000, PKT_ACK, 11, 10);
	all = diagnosis_flows(d, &n);
	assert_int_equal(all[0]->dir[0].fresh, 20);
	free(all);
	diagnosis_free(d);
}

static void time_may_begin_at_nothing_and_be_as_late_as_can_be_written(void **state)
{
	const struct flow **all;
	size_t n;

	begin(10);
	packet(0, 1000, PKT_ACK, 1, 10);
	packet(500, 1000, PKT_ACK, 11, 10);
	assert_int_equal(diagnosis_totals(d)->last_ns - diagnosis_totals(d)->first_ns, 500);
	all = diagnosis_flows(d, &n);
	assert_int_equal(all[0]->last_ns - all[0]->first_ns, 500);
	free(all);
	diagnosis_free(d);
	begin(10);
	packet(UINT64_MAX, 1000, PKT_ACK, 1, 10);
	packet(UINT64_MAX, 1001, PKT_ACK, 1, 10);
	assert_int_equal(flows(), 2);
	diagnosis_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_pair_of_ends_is_one_flow),
		cmocka_unit_test(the_flow_with_the_most_data_comes_first),
		cmocka_unit_test(at_the_limit_the_longest_unused_goes_and_is_told_of),
		cmocka_unit_test(a_flood_of_flows_takes_no_more_than_the_limit),
		cmocka_unit_test(a_syn_with_another_number_is_another_connection),
		cmocka_unit_test(whatever_lies_ahead_changes_nothing),
		cmocka_unit_test(a_clock_that_is_set_back_is_counted_and_time_goes_on),
		cmocka_unit_test(a_quiet_flow_has_no_track_and_still_counts_when_it_wakes),
		cmocka_unit_test(time_may_begin_at_nothing_and_be_as_late_as_can_be_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
