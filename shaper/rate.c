// SPDX-License-Identifier: GPL-3.0-or-later
/* rate.c - how long a frame takes onto the wire: pure, its clock is the caller's */
#include "shaper/rate_kind.h"

#include "lib/clock.h"
#include "lib/units.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/*
 * Theory of operation
 *
 * A line is free, or a frame is on it until free_ns. rate_send() puts the next
 * frame on it when it is wanted there and the line is free, whichever is
 * later, and so moves free_ns; no time ever passes by itself.
 *
 * At a fixed rate the end of a frame is a fraction of a nanosecond. What is
 * cut off is kept as a numerator over the rate, and the next frame begins with
 * it if nothing has let the line rest in between: n frames back to back end at
 * floor(n × bits × 10⁹ ÷ rate), for every n. A line that has rested starts at
 * the whole nanosecond it is told.
 */

static int none_parse(const char *rest, struct rate_conf *c, struct err *e)
{
	char spec[64];

	c->kind = RATE_NONE;
	if (!*rest)
		return 0;
	snprintf(spec, sizeof(spec), "none%s", rest);
	return rate_refuse(spec, e);
}

static bool none_equal(const struct rate_conf *a, const struct rate_conf *b)
{
	return true;
}

static uint64_t none_average(const struct rate_conf *c)
{
	return 0;
}

static void none_send(struct rate *r, uint64_t bytes, uint64_t start_ns)
{
	r->free_ns = start_ns;
}

static int fixed_parse(const char *rest, struct rate_conf *c, struct err *e)
{
	c->kind = RATE_FIXED;
	if (!isdigit((unsigned char)*rest) && *rest != '.')
		return rate_refuse(rest, e);
	return units_rate(rest, RATE_MIN, RATE_MAX, &c->bps, e);
}

static bool fixed_equal(const struct rate_conf *a, const struct rate_conf *b)
{
	return a->bps == b->bps;
}

static uint64_t fixed_average(const struct rate_conf *c)
{
	return c->bps;
}

static void fixed_send(struct rate *r, uint64_t bytes, uint64_t start_ns)
{
	uint64_t carried = start_ns == r->free_ns ? r->remainder : 0;
	unsigned __int128 n = (unsigned __int128)bytes * 8 * NS_PER_S + carried;

	r->free_ns = start_ns + (uint64_t)(n / r->conf.bps);
	r->remainder = (uint64_t)(n % r->conf.bps);
}

static const struct rate_ops none_ops = {
	.prefix = "none",
	.parse = none_parse,
	.equal = none_equal,
	.average = none_average,
	.send = none_send,
};

static const struct rate_ops fixed_ops = {
	.prefix = "",
	.parse = fixed_parse,
	.equal = fixed_equal,
	.average = fixed_average,
	.send = fixed_send,
};

static const struct rate_ops *const kinds[] = {
	[RATE_NONE] = &none_ops,
	[RATE_FIXED] = &fixed_ops,
	[RATE_TRACE] = &rate_trace_ops,
};

/* In which order specifications are tried: what takes everything comes last. */
static const struct rate_ops *const tried[] = {&none_ops, &rate_trace_ops, &fixed_ops, NULL};

/*
 * IEEE 802.3: frames shorter than 60 bytes (64 with their FCS) are padded to
 * that (4A.4.2, minFrameSize); preamble and start delimiter are 8 bytes, the FCS
 * 4, the gap between frames 12 (interPacketGap).
 */
static uint64_t ethernet_len(uint64_t len)
{
	return (len < 60 ? 60 : len) + 24;
}

/*
 * AAL5 (ITU-T I.363.5): 8 bytes of trailer, padded to whole payloads of 48, in
 * cells of 53. The frame stands in it as it is captured; RFC 2684's header of
 * the encapsulation, where there is one, is not counted.
 */
static uint64_t atm_len(uint64_t len)
{
	return (len + 8 + 47) / 48 * 53;
}

static uint64_t bare_len(uint64_t len)
{
	return len;
}

static uint64_t (*const wire_len[])(uint64_t len) = {
	[OVERHEAD_NONE] = bare_len,
	[OVERHEAD_ETHERNET] = ethernet_len,
	[OVERHEAD_ATM] = atm_len,
};

/* Names of enum overhead, in its order, NULL at the end. */
const char *const rate_overheads[] = {
	[OVERHEAD_NONE] = "none",
	[OVERHEAD_ETHERNET] = "ethernet",
	[OVERHEAD_ATM] = "atm",
	NULL,
};

/* Says what a rate may be. Returns -EINVAL. */
int rate_refuse(const char *spec, struct err *e)
{
	return err_set(e, EINVAL,
		       "'%s' is no rate; write one like 100mbit (bit kbit mbit gbit), trace:FILE "
		       "(a Mahimahi trace), or none",
		       spec);
}

/*
 * Reads a rate: 100mbit, trace:FILE, none. A trace is read whole, here.
 * @c: its kind, rate and trace are replaced, and what it held is given back;
 *     overhead stays. Zeros, or from an earlier call.
 *
 * Returns 0; -EINVAL or -ERANGE, or why the file cannot be read, with text in
 * @e and @c as it was.
 */
int rate_parse(const char *spec, struct rate_conf *c, struct err *e)
{
	const struct rate_ops *const *ops = tried;
	struct rate_conf new = {.overhead = c->overhead};
	int ret;

	while (strncmp(spec, (*ops)->prefix, strlen((*ops)->prefix)))
		ops++;
	ret = (*ops)->parse(spec + strlen((*ops)->prefix), &new, e);
	if (ret)
		return ret;
	rate_release(c);
	*c = new;
	return 0;
}

/* Makes another holder of the same settings. @to: anything; overwritten. */
void rate_copy(struct rate_conf *to, const struct rate_conf *from)
{
	*to = *from;
	if (to->trace)
		rate_trace_hold(to->trace);
}

/* Gives back what a configuration holds; it is no limit then, its overhead as it was. */
void rate_release(struct rate_conf *c)
{
	if (c->trace)
		rate_trace_release(c->trace);
	*c = (struct rate_conf){.overhead = c->overhead};
}

/* Whether frames leave at the same times, overhead apart. */
static bool same_rate(const struct rate_conf *a, const struct rate_conf *b)
{
	return a->kind == b->kind && kinds[a->kind]->equal(a, b);
}

/* Returns how many bytes a frame of @len (without FCS, as captured) takes on the wire. */
uint64_t rate_wire_len(const struct rate_conf *c, uint32_t len)
{
	return wire_len[c->overhead](len);
}

/* Returns bits a second, on average where they vary; 0 is no limit. */
uint64_t rate_average(const struct rate_conf *c)
{
	return kinds[c->kind]->average(c);
}

/* Starts a trace, at @now_ns, and forgets the fraction that an earlier rate has left. */
static void start(struct rate *r, const struct rate_conf *c, uint64_t now_ns)
{
	r->conf = *c;
	r->remainder = 0;
	r->base_ns = now_ns;
	r->round = 0;
	r->next = 0;
	r->left = RATE_TRACE_MTU;
}

/*
 * Sets up a line that is free, and a trace that begins, at @now_ns.
 * @c: borrowed: its trace must live until rate_update() has given another
 */
void rate_init(struct rate *r, const struct rate_conf *c, uint64_t now_ns)
{
	r->free_ns = now_ns;
	start(r, c, now_ns);
}

/*
 * Changes a line that is in use. A frame on the wire ends as it was going to,
 * the next one goes as @c says; a new trace begins at @now_ns, the same one
 * goes on. The fraction of a nanosecond that another rate has left is dropped.
 * @c: as in rate_init(); the one before may be given back afterwards
 */
void rate_update(struct rate *r, const struct rate_conf *c, uint64_t now_ns)
{
	if (same_rate(&r->conf, c))
		r->conf = *c;
	else
		start(r, c, now_ns);
}

/*
 * Puts a frame on the wire at @start_ns or when the line is free, whichever is
 * later.
 * @len: bytes without FCS, as captured
 *
 * Returns when its last bit is out, whole nanoseconds, cut off.
 */
uint64_t rate_send(struct rate *r, uint32_t len, uint64_t start_ns)
{
	if (start_ns < r->free_ns)
		start_ns = r->free_ns;
	kinds[r->conf.kind]->send(r, rate_wire_len(&r->conf, len), start_ns);
	return r->free_ns;
}

/* Returns when the last frame is out, or was. */
uint64_t rate_free(const struct rate *r)
{
	return r->free_ns;
}
