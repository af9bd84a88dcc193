// SPDX-License-Identifier: GPL-3.0-or-later
/* rate_trace.c - rates that vary as a Mahimahi trace says */
#include "shaper/rate_kind.h"

#include "lib/clock.h"
#include "lib/units.h"
#include "shaper/spec.h"

#include <stdlib.h>
#include <string.h>

/*
 * Theory of operation
 *
 * The format is mahimahi's (Netravali et al., "Mahimahi: Accurate
 * Record-and-Replay for HTTP", USENIX ATC 2015; the manual page mm-link(1);
 * LinkQueue::rationalize() in src/frontend/link_queue.cc of
 * github.com/ravinet/mahimahi), read as all files of numbers here are. Each
 * line is a time in milliseconds since the beginning at which 1504 bytes may
 * pass, an opportunity. Accounting is by bytes: several small frames share
 * one, a large frame uses the rest of one and goes on in the next, and it has
 * passed at the time of the opportunity that takes its last byte. Bytes that
 * nobody waits for at that time are lost. At the end the trace begins again;
 * the last time is its length.
 *
 * A line stands at one opportunity, of which some bytes are left. A frame that
 * comes later than that one's time moves it to the first that is not past, by
 * division and binary search, however long nothing came.
 *
 * What differs from mahimahi: times are nanoseconds, and a frame that is
 * wanted on the wire exactly at an opportunity's time may use it. The bytes
 * are those of frames, with Ethernet's header, where mahimahi counts IP
 * packets with the 4 bytes of its TUN header: a packet of 1500 bytes is a frame
 * of 1514 and takes a little more than one opportunity.
 */

#define MS_MAX	  1000000000u /* 11 days: longer than anybody watches */
#define TIMES_MAX (16u << 20) /* 64 MiB of memory */

struct rate_trace {
	unsigned holders; /* configurations, all of them the main thread's */
	size_t n;	  /* opportunities, at least 1 */
	uint32_t *at; /* milliseconds, ascending; the last one is the trace's length, at least 1 */
};

static uint64_t length_ns(const struct rate_trace *t)
{
	return t->at[t->n - 1] * NS_PER_MS;
}

/* When the opportunity that a line stands at is. */
static uint64_t opportunity_ns(const struct rate *r)
{
	const struct rate_trace *t = r->conf.trace;

	return r->base_ns + r->round * length_ns(t) + t->at[r->next] * NS_PER_MS;
}

static void step(struct rate *r)
{
	if (++r->next == r->conf.trace->n) {
		r->next = 0;
		r->round++;
	}
	r->left = RATE_TRACE_MTU;
}

/* The first opportunity of a round at or after @ms, which is at most the round's length. */
static size_t find(const struct rate_trace *t, uint64_t ms)
{
	size_t low = 0, high = t->n - 1;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (t->at[mid] < ms)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Moves a line to the first opportunity at or after @ns, a time after the trace began. */
static void skip(struct rate *r, uint64_t ns)
{
	const struct rate_trace *t = r->conf.trace;
	uint64_t since = ns - r->base_ns;

	/* The instant where two rounds meet is the end of the one before, whose opportunities
	 * come first. */
	r->round = (since - 1) / length_ns(t);
	since -= r->round * length_ns(t);
	r->next = find(t, (since + NS_PER_MS - 1) / NS_PER_MS);
	r->left = RATE_TRACE_MTU;
}

static void trace_send(struct rate *r, uint64_t bytes, uint64_t start_ns)
{
	if (opportunity_ns(r) < start_ns)
		skip(r, start_ns);
	while (bytes > r->left) {
		bytes -= r->left;
		step(r);
	}
	r->left -= (uint32_t)bytes;
	r->free_ns = opportunity_ns(r);
}

static uint64_t trace_average(const struct rate_conf *c)
{
	const struct rate_trace *t = c->trace;
	uint64_t bps = t->n * RATE_TRACE_MTU * 8ull * 1000 / t->at[t->n - 1];

	/* 0 would mean no limit. */
	return bps ? bps : 1;
}

static bool trace_equal(const struct rate_conf *a, const struct rate_conf *b)
{
	const struct rate_trace *x = a->trace, *y = b->trace;

	return x == y || (x->n == y->n && !memcmp(x->at, y->at, x->n * sizeof(*x->at)));
}

/* One more configuration holds the trace. */
void rate_trace_hold(struct rate_trace *t)
{
	t->holders++;
}

/* One less; after the last it is freed. */
void rate_trace_release(struct rate_trace *t)
{
	if (--t->holders)
		return;
	free(t->at);
	free(t);
}

/* A trace that is being read. */
struct reading {
	struct rate_trace *trace;
	size_t room; /* of its array */
};

static int append(struct reading *r, uint32_t ms, struct err *e)
{
	struct rate_trace *t = r->trace;
	uint32_t *more;

	if (t->n == TIMES_MAX)
		return err_set(e, E2BIG, "a trace has at most %u times", TIMES_MAX);
	if (t->n == r->room) {
		r->room = r->room ? r->room * 2 : 1024;
		more = reallocarray(t->at, r->room, sizeof(*t->at));
		if (!more)
			return err_set(e, ENOMEM, "no memory for %zu times", r->room);
		t->at = more;
	}
	t->at[t->n++] = ms;
	return 0;
}

static int read_time(void *arg, const char *token, struct err *e)
{
	struct reading *r = arg;
	const struct rate_trace *t = r->trace;
	uint64_t ms;
	int ret;

	ret = units_count(token, 0, MS_MAX, &ms, e);
	if (ret)
		return err_wrap(e, ret, "a trace's time in milliseconds");
	if (t->n && ms < t->at[t->n - 1])
		return err_set(e, EINVAL, "'%s' comes after %u; a trace's times never go back",
			       token, t->at[t->n - 1]);
	return append(r, (uint32_t)ms, e);
}

static int read_trace(const char *path, struct rate_trace *t, struct err *e)
{
	struct reading r = {.trace = t};
	int ret;

	ret = spec_file(path, read_time, &r, e);
	if (ret)
		return ret;
	if (!t->n)
		return err_set(e, EINVAL,
			       "'%s' is empty; a trace has a time in milliseconds on each line",
			       path);
	if (!t->at[t->n - 1])
		return err_set(e, EINVAL,
			       "'%s' ends at 0; a trace's last time is its length, from 1 ms",
			       path);
	return 0;
}

static int trace_parse(const char *path, struct rate_conf *c, struct err *e)
{
	struct rate_trace *t;
	int ret;

	if (!*path)
		return err_set(e, EINVAL, "'trace:' names no file; write trace:FILE");
	t = calloc(1, sizeof(*t));
	if (!t)
		return err_set(e, ENOMEM, "'%s': no memory", path);
	t->holders = 1;
	ret = read_trace(path, t, e);
	if (ret) {
		rate_trace_release(t);
		return ret;
	}
	c->kind = RATE_TRACE;
	c->trace = t;
	return 0;
}

const struct rate_ops rate_trace_ops = {
	.prefix = "trace:",
	.parse = trace_parse,
	.equal = trace_equal,
	.average = trace_average,
	.send = trace_send,
};
