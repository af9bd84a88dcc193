// SPDX-License-Identifier: GPL-3.0-or-later
/* test_capture_file.c - pcap and pcapng read from bytes written by hand, whole and broken */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "capture/capfile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A file in memory, given out @step bytes at a time. */
struct bytes {
	uint8_t data[65536];
	size_t len, at, step;
	bool big; /* byte order of what put() writes */
};

static struct bytes b;
static struct err e;
static struct cap_packet p;

static ssize_t more(void *ctx, void *buf, size_t len)
{
	struct bytes *from = ctx;
	size_t n = from->len - from->at;

	n = n < len ? n : len;
	n = n < from->step ? n : from->step;
	memcpy(buf, from->data + from->at, n);
	from->at += n;
	return (ssize_t)n;
}

static void begin(bool big)
{
	b.len = b.at = 0;
	b.step = SIZE_MAX;
	b.big = big;
	memset(&e, 0, sizeof(e));
}

static void put(uint64_t v, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		b.data[b.len++] = (uint8_t)(v >> 8 * (b.big ? n - 1 - i : i));
}

static void put_bytes(const char *text, size_t padded)
{
	size_t len = strlen(text);

	memset(b.data + b.len, 0, padded);
	memcpy(b.data + b.len, text, len);
	b.len += padded;
}

static struct capfile *open_it(void)
{
	b.at = 0;
	return capfile_open(more, &b, &e);
}

/* ---------------------------------------------------------------- pcap */

static void pcap_header(uint32_t magic, uint32_t link)
{
	put(magic, 4);
	put(2, 2);
	put(4, 2);
	put(0, 8);
	put(65535, 4);
	put(link, 4);
}

static void pcap_packet(uint32_t s, uint32_t fraction, uint32_t captured, uint32_t length)
{
	put(s, 4);
	put(fraction, 4);
	put(captured, 4);
	put(length, 4);
	memset(b.data + b.len, (int)(captured & 0xff), captured);
	b.len += captured;
}

static void pcap_of_both_byte_orders_and_both_precisions_gives_the_same_packet(void **state)
{
	int i;

	for (i = 0; i < 4; i++) {
		bool ns = i & 2;
		struct capfile *f;

		begin(i & 1);
		pcap_header(ns ? 0xa1b23c4d : 0xa1b2c3d4, 1);
		pcap_packet(1700000000, ns ? 123456000 : 123456, 60, 1514);
		f = open_it();
		assert_non_null(f);
		assert_string_equal(capfile_kind(f), "pcap");
		assert_int_equal(capfile_next(f, &p), 1);
		assert_int_equal(p.time_ns, 1700000000123456000ull);
		assert_int_equal(p.captured, 60);
		assert_int_equal(p.length, 1514);
		assert_int_equal(p.link, LINK_ETHERNET);
		assert_int_equal(p.data[59], 60);
		assert_int_equal(capfile_next(f, &p), 0);
		assert_string_equal(capfile_skipped(f)->why, "");
		capfile_close(f);
	}
}

static void a_pcap_read_byte_by_byte_is_the_same(void **state)
{
	struct capfile *f;
	int i, n = 0;

	begin(false);
	pcap_header(0xa1b2c3d4, 113);
	for (i = 1; i <= 20; i++)
		pcap_packet((uint32_t)i, 0, (uint32_t)i * 7, (uint32_t)i * 7);
	b.step = 1;
	f = open_it();
	while (capfile_next(f, &p) > 0) {
		n++;
		assert_int_equal(p.captured, n * 7);
		assert_int_equal(p.data[n * 7 - 1], (n * 7) & 0xff);
	}
	assert_int_equal(n, 20);
	assert_int_equal(capfile_interface(f, 0)->packets, 20);
	assert_null(capfile_interface(f, 1));
	capfile_close(f);
}

/* Reads all that is there, in batches of @max; the bytes of a batch are looked at when it is whole.
 */
static void assert_batches(size_t max, size_t step)
{
	struct cap_packet many[8];
	struct capfile *f;
	size_t n, i, all = 0;

	b.step = step;
	f = open_it();
	assert_non_null(f);
	while ((n = capfile_batch(f, many, max))) {
		struct cap_ahead ahead = capfile_ahead(f);

		assert_true(n <= max);
		for (i = 0; i < n; i++) {
			all++;
			assert_int_equal(many[i].time_ns, all * 1000000000ull + all * 1000);
			assert_int_equal(many[i].captured, all * 3);
			assert_int_equal(many[i].data[0], all * 3 & 0xff);
			assert_int_equal(many[i].data[all * 3 - 1], all * 3 & 0xff);
		}
		/* What lies ahead is the next one, if it has been read. */
		assert_ptr_equal(ahead.at, many[n - 1].data + many[n - 1].captured);
		if (ahead.end - ahead.at >= 16 && all != 19)
			assert_int_equal(ahead.at[ahead.len_at] | ahead.at[ahead.len_at + 3],
					 (all + 1) * 3);
	}
	assert_int_equal(all, 50);
	assert_int_equal(capfile_skipped(f)->broken, 1);
	assert_int_equal(capfile_interface(f, 0)->packets, 50);
	capfile_close(f);
}

static void packets_in_batches_are_the_same_however_the_file_is_given_out(void **state)
{
	static const size_t steps[] = {1, 5, 100, 1000, SIZE_MAX};
	uint32_t i, max;

	for (i = 0; i < 5; i++) {
		for (max = 1; max <= 8; max++) {
			uint32_t n;

			begin(max & 1);
			pcap_header(0xa1b2c3d4, 1);
			for (n = 1; n <= 50; n++) {
				if (n == 20)
					pcap_packet(20, 0, 70, 69); /* cannot be */
				pcap_packet(n, n, n * 3, n * 3);
			}
			assert_batches(max, steps[i]);
		}
	}
}

static void a_pcap_cut_anywhere_gives_all_packets_before_the_cut(void **state)
{
	size_t whole, cut;

	begin(false);
	pcap_header(0xa1b2c3d4, 1);
	pcap_packet(1, 0, 10, 10);
	pcap_packet(2, 0, 20, 20);
	pcap_packet(3, 0, 30, 30);
	whole = b.len;
	for (cut = 0; cut <= whole; cut++) {
		struct capfile *f;
		int n = 0, want = (cut >= 50) + (cut >= 86) + (cut >= 132);

		b.len = cut;
		f = open_it();
		if (cut < 24) {
			assert_null(f);
			assert_true(strlen(e.text) > 0);
			continue;
		}
		while (capfile_next(f, &p) > 0)
			n++;
		assert_int_equal(n, want);
		if (cut == 24 || cut == 50 || cut == 86 || cut == 132)
			assert_string_equal(capfile_skipped(f)->why, "");
		else
			assert_non_null(strstr(capfile_skipped(f)->why, "in the middle"));
		capfile_close(f);
	}
}

static void a_pcap_with_a_packet_too_long_to_be_one_ends_there(void **state)
{
	struct capfile *f;

	begin(false);
	pcap_header(0xa1b2c3d4, 1);
	pcap_packet(1, 0, 10, 10);
	put(1, 4);
	put(0, 4);
	put(0x7fffffff, 4);
	put(0x7fffffff, 4);
	put_bytes("garbage", 100);
	f = open_it();
	assert_int_equal(capfile_next(f, &p), 1);
	assert_int_equal(capfile_next(f, &p), 0);
	assert_non_null(strstr(capfile_skipped(f)->why, "2147483647 bytes"));
	assert_int_equal(capfile_next(f, &p), 0);
	capfile_close(f);
}

static void a_packet_captured_longer_than_it_was_is_left_out_and_counted(void **state)
{
	struct capfile *f;

	begin(false);
	pcap_header(0xa1b2c3d4, 1);
	pcap_packet(1, 0, 40, 20);
	pcap_packet(1, 1000000, 40, 40);
	pcap_packet(2, 0, 40, 40);
	f = open_it();
	assert_int_equal(capfile_next(f, &p), 1);
	assert_int_equal(p.time_ns, 2000000000ull);
	assert_int_equal(capfile_skipped(f)->broken, 2);
	capfile_close(f);
}

static void what_is_no_capture_is_refused_with_what_it_begins_with(void **state)
{
	begin(false);
	put_bytes("#!/bin/sh", 100);
	assert_null(open_it());
	assert_non_null(strstr(e.text, "23 21 2f 62"));
	begin(false);
	assert_null(open_it());
	assert_non_null(strstr(e.text, "0 bytes"));
}

static void an_unknown_version_of_pcap_is_refused(void **state)
{
	begin(false);
	put(0xa1b2c3d4, 4);
	put(3, 2);
	put(0, 2);
	put_bytes("", 16);
	assert_null(open_it());
	assert_non_null(strstr(e.text, "3.0"));
}

/* -------------------------------------------------------------- pcapng */

static size_t block_at;

static void block(uint32_t type)
{
	block_at = b.len;
	put(type, 4);
	put(0, 4);
}

static void end_block(void)
{
	size_t end = b.len, len = end + 4 - block_at;

	b.len = block_at + 4;
	put(len, 4);
	b.len = end;
	put(len, 4);
}

static void section(void)
{
	block(0x0a0d0d0a);
	put(0x1a2b3c4d, 4);
	put(1, 2);
	put(0, 2);
	put(UINT64_MAX, 8);
	end_block();
}

/* @resolution: 0 for none */
static void interface(uint16_t link, const char *name, unsigned resolution)
{
	block(1);
	put(link, 2);
	put(0, 2);
	put(128, 4);
	if (name) {
		put(2, 2);
		put(strlen(name), 2);
		put_bytes(name, (strlen(name) + 3) & ~3u);
	}
	if (resolution) {
		put(9, 2);
		put(1, 2);
		put(resolution, 1);
		put_bytes("", 3);
	}
	put(0, 4);
	end_block();
}

static void packet(uint32_t id, uint64_t ticks, uint32_t captured, uint32_t length, uint32_t flags)
{
	block(6);
	put(id, 4);
	put(ticks >> 32, 4);
	put(ticks & 0xffffffff, 4);
	put(captured, 4);
	put(length, 4);
	put_bytes("", (captured + 3) & ~3u);
	if (flags) {
		put(2, 2);
		put(4, 2);
		put(flags, 4);
		put(0, 4);
	}
	end_block();
}

static void pcapng_packets_in_batches_are_the_same_however_the_file_is_given_out(void **state)
{
	static const size_t steps[] = {1, 7, 100, SIZE_MAX};
	struct cap_packet many[8];
	uint32_t i, n, all;

	for (i = 0; i < 4; i++) {
		struct capfile *f;

		begin(i & 1);
		section();
		interface(1, "eth1", 9);
		for (n = 1; n <= 40; n++) {
			if (n == 10)
				interface(1, "eth2", 9);
			if (n == 20)
				packet(0, 20, 70, 69, 0); /* cannot be */
			packet(n >= 10 && n & 1, n, n, n + 5, 1 + (n & 1));
		}
		b.step = steps[i];
		f = open_it();
		assert_non_null(f);
		all = 0;
		while ((n = (uint32_t)capfile_batch(f, many, 8))) {
			uint32_t k;

			for (k = 0; k < n; k++) {
				all++;
				assert_int_equal(many[k].time_ns, all);
				assert_int_equal(many[k].captured, all);
				assert_int_equal(many[k].length, all + 5);
				assert_int_equal(many[k].interface, all >= 10 && all & 1);
				assert_int_equal(many[k].way, all & 1 ? CAP_WAY_OUT : CAP_WAY_IN);
				assert_int_equal(many[k].data[0] | many[k].data[all - 1], 0);
			}
		}
		assert_int_equal(all, 40);
		assert_int_equal(capfile_skipped(f)->broken, 1);
		assert_int_equal(capfile_interface(f, 1)->packets, 15);
		capfile_close(f);
	}
}

static void pcapng_tells_names_directions_and_drops_of_interfaces(void **state)
{
	int big;

	for (big = 0; big < 2; big++) {
		struct capfile *f;

		begin(big);
		section();
		interface(1, "eth1", 9);
		interface(113, "wan", 0);
		packet(0, 1700000000123456789ull, 61, 1514, 1);
		packet(1, 1700000000123456ull, 60, 60, 2);
		block(5); /* statistics of interface 1: 12 dropped by it, 30 by the system */
		put(1, 4);
		put(0, 8);
		put(5, 2);
		put(8, 2);
		put(12, 8);
		put(7, 2);
		put(8, 2);
		put(30, 8);
		put(0, 4);
		end_block();
		f = open_it();
		assert_string_equal(capfile_kind(f), "pcapng");
		assert_int_equal(capfile_next(f, &p), 1);
		assert_int_equal(p.time_ns, 1700000000123456789ull);
		assert_int_equal(p.way, CAP_WAY_IN);
		assert_int_equal(p.captured, 61);
		assert_int_equal(p.interface, 0);
		assert_int_equal(capfile_next(f, &p), 1);
		assert_int_equal(p.time_ns, 1700000000123456000ull);
		assert_int_equal(p.way, CAP_WAY_OUT);
		assert_int_equal(p.interface, 1);
		assert_int_equal(p.link, LINK_SLL);
		assert_int_equal(capfile_next(f, &p), 0);
		assert_string_equal(capfile_interface(f, 0)->name, "eth1");
		assert_true(capfile_interface(f, 0)->unknown_drops);
		assert_string_equal(capfile_interface(f, 1)->name, "wan");
		assert_int_equal(capfile_interface(f, 1)->drops, 42);
		capfile_close(f);
	}
}

static void a_second_section_may_have_the_other_byte_order_and_counts_interfaces_on(void **state)
{
	struct capfile *f;

	begin(false);
	section();
	interface(1, "a", 0);
	packet(0, 1000000, 20, 20, 0);
	b.big = true;
	section();
	interface(101, "b", 0);
	packet(0, 2000000, 24, 24, 0);
	f = open_it();
	assert_int_equal(capfile_next(f, &p), 1);
	assert_int_equal(capfile_next(f, &p), 1);
	assert_int_equal(p.time_ns, 2000000000ull);
	assert_int_equal(p.interface, 1);
	assert_int_equal(p.link, LINK_RAW);
	capfile_close(f);
}

static void sections_with_the_same_interfaces_are_files_of_one_capture(void **state)
{
	static const uint32_t expected[] = {0, 1, 0, 1, 2, 1, 2};
	struct capfile *f;
	unsigned i;

	begin(false);
	for (i = 0; i < 3; i++) {
		section();
		interface(1, i < 2 ? "a" : "b", i ? 9 : 0);
		packet(0, i ? 2000000000 : 2000000, 20, 20, 0);
		interface(1, "wan", 0);
		packet(1, 2000000, 20, 20, 0);
	}
	section();
	interface(1, "b", 0);
	packet(0, 2000000, 20, 20, 0);
	packet(1, 2000000, 20, 20, 0); /* not of this section */
	f = open_it();
	for (i = 0; i < sizeof(expected) / sizeof(*expected); i++) {
		assert_int_equal(capfile_next(f, &p), 1);
		assert_int_equal(p.interface, expected[i]);
		assert_int_equal(p.time_ns, 2000000000ull);
	}
	assert_int_equal(capfile_next(f, &p), 0);
	assert_int_equal(capfile_skipped(f)->broken, 1);
	assert_int_equal(capfile_interfaces(f), 3);
	assert_int_equal(capfile_interface(f, 1)->packets, 3);
	capfile_close(f);
}

static void a_section_that_is_older_is_another_capture(void **state)
{
	static const uint32_t expected[] = {0, 0, 1, 1};
	struct capfile *f;
	unsigned i;

	begin(false);
	for (i = 0; i < 4; i++) {
		section();
		interface(1, "a", 0);
		packet(0, (i % 2 + 10 - i / 2 * 2) * 1000000, 20, 20, 0); /* 10, 11, 8, 9 s */
	}
	f = open_it();
	for (i = 0; i < 4; i++) {
		assert_int_equal(capfile_next(f, &p), 1);
		assert_int_equal(p.interface, expected[i]);
		assert_int_equal(p.link, LINK_ETHERNET);
	}
	assert_int_equal(capfile_interfaces(f), 2);
	assert_string_equal(capfile_interface(f, 1)->name, "a");
	assert_int_equal(capfile_interface(f, 1)->packets, 2);
	capfile_close(f);
}

static void times_of_every_resolution_are_nanoseconds(void **state)
{
	struct capfile *f;

	begin(false);
	section();
	interface(1, NULL, 3);	       /* 10^-3 s */
	interface(1, NULL, 0x80 | 10); /* 2^-10 s */
	interface(1, NULL, 0x7f);      /* 10^-127 s: cannot be */
	packet(0, 1500, 0, 0, 0);
	packet(1, 1536, 0, 0, 0);
	packet(2, 1, 0, 0, 0);
	f = open_it();
	assert_int_equal(capfile_next(f, &p), 1);
	assert_int_equal(p.time_ns, 1500000000);
	assert_int_equal(capfile_next(f, &p), 1);
	assert_int_equal(p.time_ns, 1500000000);
	assert_int_equal(capfile_next(f, &p), 0);
	assert_int_equal(capfile_skipped(f)->broken, 1);
	capfile_close(f);
}

static void packets_that_contradict_themselves_are_left_out_and_counted(void **state)
{
	struct capfile *f;
	size_t at;

	begin(false);
	section();
	interface(1, "a", 0);
	packet(7, 1, 20, 20, 0); /* no such interface */
	packet(0, 1, 20, 10, 0); /* longer than it was */
	at = b.len;
	packet(0, 1, 20, 20, 0);
	b.data[at + 20] = 200; /* captured length beyond the block */
	packet(0, 5000000, 20, 20, 0);
	block(3); /* simple packet: no time */
	put(4, 4);
	put(0, 4);
	end_block();
	block(0x0bad); /* unknown */
	end_block();
	f = open_it();
	assert_int_equal(capfile_next(f, &p), 1);
	assert_int_equal(p.time_ns, 5000000000ull);
	assert_int_equal(capfile_next(f, &p), 0);
	assert_int_equal(capfile_skipped(f)->broken, 3);
	assert_int_equal(capfile_skipped(f)->no_time, 1);
	assert_int_equal(capfile_skipped(f)->blocks, 1);
	assert_string_equal(capfile_skipped(f)->why, "");
	capfile_close(f);
}

static void impossible_block_lengths_end_the_reading(void **state)
{
	static const uint32_t lengths[] = {0, 4, 13, 0xfffffffc};
	size_t i;

	for (i = 0; i < 4; i++) {
		struct capfile *f;

		begin(false);
		section();
		put(6, 4);
		put(lengths[i], 4);
		put_bytes("", 64);
		f = open_it();
		assert_int_equal(capfile_next(f, &p), 0);
		assert_non_null(strstr(capfile_skipped(f)->why, "where none can be"));
		capfile_close(f);
	}
}

static void options_without_an_end_do_not_lead_beyond_their_block(void **state)
{
	struct capfile *f;

	begin(false);
	section();
	block(1);
	put(1, 2);
	put(0, 2);
	put(0, 4);
	put(2, 2);
	put(60000, 2); /* a name longer than the block */
	put_bytes("eth", 4);
	end_block();
	packet(0, 1, 4, 4, 0);
	f = open_it();
	assert_int_equal(capfile_next(f, &p), 1);
	assert_string_equal(capfile_interface(f, 0)->name, "");
	capfile_close(f);
}

static void names_that_are_no_plain_text_are_made_so(void **state)
{
	struct capfile *f;

	begin(false);
	section();
	interface(1, "e\x1b[2J\xff", 0);
	packet(0, 1, 4, 4, 0);
	f = open_it();
	assert_int_equal(capfile_next(f, &p), 1);
	assert_string_equal(capfile_interface(f, 0)->name, "e?[2J?");
	capfile_close(f);
}

/* ---------------------------------------------------------------- files */

#define LARGE 1500 /* packets of LONG bytes: more than is read at once, and than is given back */
#define LONG  7000

static ssize_t more_of_file(void *ctx, void *buf, size_t len)
{
	return read(fileno(ctx), buf, len);
}

static FILE *large_file(void)
{
	FILE *file = tmpfile();
	unsigned i;

	assert_non_null(file);
	begin(false);
	pcap_header(0xa1b2c3d4, 1);
	fwrite(b.data, 1, b.len, file);
	for (i = 0; i < LARGE; i++) {
		b.len = 0;
		pcap_packet(1000 + i, i, LONG, LONG);
		fwrite(b.data, 1, b.len, file);
	}
	fflush(file);
	rewind(file);
	return file;
}

static struct capfile *open_file(FILE *file)
{
	return capfile_open_file(fileno(file), more_of_file, file, &e);
}

/* Reads on, and checks each packet, from number @i on. Returns the number of the next. */
static unsigned read_large(struct capfile *f, unsigned i)
{
	struct cap_packet batch[64];
	size_t n, k;

	while ((n = capfile_batch(f, batch, 64))) {
		for (k = 0; k < n; k++, i++) {
			assert_int_equal(batch[k].time_ns, (1000 + i) * 1000000000ull + i * 1000);
			assert_int_equal(batch[k].captured, LONG);
			assert_int_equal(batch[k].data[LONG - 1], LONG & 0xff);
		}
	}
	return i;
}

static void a_large_file_is_read_to_its_end(void **state)
{
	FILE *file = large_file();
	struct capfile *f = open_file(file);

	assert_non_null(f);
	assert_int_equal(read_large(f, 0), LARGE);
	assert_string_equal(capfile_skipped(f)->why, "");
	assert_int_equal(capfile_interface(f, 0)->packets, LARGE);
	capfile_close(f);
	fclose(file);
}

static void what_a_file_has_got_since_it_was_opened_is_read_too(void **state)
{
	FILE *file = large_file(), *adds = fdopen(dup(fileno(file)), "w");
	struct capfile *f;
	unsigned i;

	assert_non_null(adds);
	assert_int_equal(ftruncate(fileno(file), 24 + (LARGE - 1) * (16 + LONG) + 500), 0);
	f = open_file(file);
	assert_non_null(f);
	/* The packet that was cut there is whole now, and one more follows. */
	for (i = LARGE - 1; i < LARGE + 1; i++) {
		b.len = 0;
		pcap_packet(1000 + i, i, LONG, LONG);
		assert_int_equal(
			pwrite(fileno(adds), b.data, b.len, (off_t)(24 + i * (16ul + LONG))),
			(ssize_t)b.len);
	}
	assert_int_equal(read_large(f, 0), LARGE + 1);
	assert_string_equal(capfile_skipped(f)->why, "");
	capfile_close(f);
	fclose(adds);
	fclose(file);
}

static void a_file_that_becomes_shorter_ends_there_and_says_so(void **state)
{
	FILE *file = large_file();
	struct capfile *f = open_file(file);
	struct cap_packet first;
	unsigned i;

	assert_non_null(f);
	assert_int_equal(capfile_next(f, &first), 1);
	assert_int_equal(ftruncate(fileno(file), 3000000), 0);
	i = read_large(f, 1);
	assert_in_range(i, 2, 3000000 / (16 + LONG));
	assert_non_null(strstr(capfile_skipped(f)->why, "shorter"));
	assert_int_equal(capfile_next(f, &first), 0);
	capfile_close(f);
	fclose(file);
}

static void a_file_is_read_from_where_it_stands_and_beside_another(void **state)
{
	FILE *file = large_file(), *other = large_file();
	struct capfile *f = open_file(file), *g = open_file(other);

	assert_int_equal(read_large(g, 0), LARGE);
	assert_int_equal(read_large(f, 0), LARGE);
	capfile_close(f);
	capfile_close(g);
	/* Not at its beginning: what stands there is no capture. */
	assert_int_equal(lseek(fileno(file), 24, SEEK_SET), 24);
	assert_null(open_file(file));
	assert_non_null(strstr(e.text, "neither a pcap nor a pcapng"));
	fclose(file);
	fclose(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			pcap_of_both_byte_orders_and_both_precisions_gives_the_same_packet),
		cmocka_unit_test(a_pcap_read_byte_by_byte_is_the_same),
		cmocka_unit_test(packets_in_batches_are_the_same_however_the_file_is_given_out),
		cmocka_unit_test(a_pcap_cut_anywhere_gives_all_packets_before_the_cut),
		cmocka_unit_test(a_pcap_with_a_packet_too_long_to_be_one_ends_there),
		cmocka_unit_test(a_packet_captured_longer_than_it_was_is_left_out_and_counted),
		cmocka_unit_test(what_is_no_capture_is_refused_with_what_it_begins_with),
		cmocka_unit_test(an_unknown_version_of_pcap_is_refused),
		cmocka_unit_test(
			pcapng_packets_in_batches_are_the_same_however_the_file_is_given_out),
		cmocka_unit_test(pcapng_tells_names_directions_and_drops_of_interfaces),
		cmocka_unit_test(
			a_second_section_may_have_the_other_byte_order_and_counts_interfaces_on),
		cmocka_unit_test(sections_with_the_same_interfaces_are_files_of_one_capture),
		cmocka_unit_test(a_section_that_is_older_is_another_capture),
		cmocka_unit_test(times_of_every_resolution_are_nanoseconds),
		cmocka_unit_test(packets_that_contradict_themselves_are_left_out_and_counted),
		cmocka_unit_test(impossible_block_lengths_end_the_reading),
		cmocka_unit_test(options_without_an_end_do_not_lead_beyond_their_block),
		cmocka_unit_test(names_that_are_no_plain_text_are_made_so),
		cmocka_unit_test(a_large_file_is_read_to_its_end),
		cmocka_unit_test(what_a_file_has_got_since_it_was_opened_is_read_too),
		cmocka_unit_test(a_file_that_becomes_shorter_ends_there_and_says_so),
		cmocka_unit_test(a_file_is_read_from_where_it_stands_and_beside_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
