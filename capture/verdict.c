// SPDX-License-Identifier: GPL-3.0-or-later
/* verdict.c - what a flow comes to: its limit, shares of time, and what else was found */
#include "capture/report.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <string.h>

/* Which end sends the bulk, what limits it, and for which part of its time. */
struct verdict verdict_of(const struct flow *f)
{
	struct verdict v = {.from = flow_bulk(f), .limit = CAUSE_UNKNOWN};
	const struct direction *d = &f->dir[v.from];
	unsigned i;

	for (i = 0; i < CAUSES; i++)
		v.total_ns += d->held[i];
	for (i = 0; i < CAUSES && v.total_ns; i++) {
		v.share[i] = (double)d->held[i] / (double)v.total_ns;
		if (d->held[i] > d->held[v.limit])
			v.limit = i;
	}
	if (!v.total_ns && d->fresh)
		v.limit = CAUSE_START; /* one burst, of which no time can be told */
	return v;
}

/* Writes "address:port" into END_TEXT bytes. */
char *end_text(char *buf, const struct flow *f, unsigned end)
{
	char address[INET6_ADDRSTRLEN];
	bool v4 = f->key.version == 4;

	inet_ntop(v4 ? AF_INET : AF_INET6, f->key.addr[end] + (v4 ? 12 : 0), address,
		  sizeof(address));
	snprintf(buf, END_TEXT, v4 ? "%s:%u" : "[%s]:%u", address, f->key.port[end]);
	return buf;
}

/* Where a finding goes. */
struct finder {
	const struct flow *f;
	finding_fn found;
	void *ctx;
};

static void say(const struct finder *to, const char *kind, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void say(const struct finder *to, const char *kind, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	to->found(to->ctx, kind, text);
}

static const char *name_of(const struct flow *f, unsigned end)
{
	return end == f->client ? "client" : "server";
}

static char *mac_text(char *buf, size_t len, const uint8_t *m)
{
	snprintf(buf, len, "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
	return buf;
}

/* Whose frames the first copy was, and how much later it came. */
static void copy_text(char *buf, size_t len, const struct duplicates *dup)
{
	char m[4][18], ttl[64] = "", macs[128] = "";

	if (!dup->timed) {
		snprintf(buf, len, ", cut in other ways by the host that was captured on");
		return;
	}
	if (dup->has_macs && memcmp(dup->macs[0], dup->macs[1], 12))
		snprintf(macs, sizeof(macs), "; first from %s to %s, then from %s to %s",
			 mac_text(m[0], 18, dup->macs[0] + 6), mac_text(m[1], 18, dup->macs[0]),
			 mac_text(m[2], 18, dup->macs[1] + 6), mac_text(m[3], 18, dup->macs[1]));
	else if (dup->has_macs)
		snprintf(macs, sizeof(macs), "; both from %s to %s",
			 mac_text(m[0], 18, dup->macs[0] + 6), mac_text(m[1], 18, dup->macs[0]));
	if (dup->ttl_less)
		snprintf(ttl, sizeof(ttl), ", the copy's TTL is %d less: it was routed",
			 dup->ttl_less);
	snprintf(buf, len, ", %.3g ms apart in the mean (%.3g to %.3g)%s%s",
		 (double)dup->offset_sum_ns / (double)dup->timed / 1e6,
		 (double)dup->offset_min_ns / 1e6, (double)dup->offset_max_ns / 1e6, macs, ttl);
}

static void find_duplicates(const struct finder *to, unsigned from)
{
	const struct direction *d = &to->f->dir[from];
	const struct duplicates *dup = d->dup;
	char copy[320];

	if (!dup)
		return;
	copy_text(copy, sizeof(copy), dup);
	say(to, "duplicates",
	    "%llu packets from the %s came again, of %llu that it sent%s. The same frame again means two ways "
	    "for it: two border ports on one subnet, or a bridge beside the tunnel",
	    (unsigned long long)dup->packets, name_of(to->f, from), (unsigned long long)d->packets,
	    copy);
}

static void find_losses(const struct finder *to, unsigned from)
{
	const struct direction *d = &to->f->dir[from];
	uint32_t again = d->retrans[RETRANS_FAST] + d->retrans[RETRANS_RTO] +
			 d->retrans[RETRANS_PROBE];

	if (again)
		say(to, "retransmissions",
		    "%u of %llu segments from the %s were sent again: %u fast, %u after a time-out, %u probes; "
		    "%u of them needlessly (DSACK). %u were lost",
		    again, (unsigned long long)d->segments, name_of(to->f, from),
		    d->retrans[RETRANS_FAST], d->retrans[RETRANS_RTO], d->retrans[RETRANS_PROBE],
		    d->dsacks, d->lost);
	if (d->reordered)
		say(to, "reordering", "%u segments from the %s were overtaken on their way",
		    d->reordered, name_of(to->f, from));
	if (d->unseen)
		say(to, "capture_gaps",
		    "%u times data of the %s were acknowledged that the capture does not have: it has lost "
		    "packets, or stands where not all of them pass, or they are fragments of IP packets",
		    d->unseen, name_of(to->f, from));
	if (d->ce)
		say(to, "ecn", "%u packets from the %s were marked \"congestion experienced\"",
		    d->ce, name_of(to->f, from));
}

static void find_handshake(const struct finder *to)
{
	const struct flow *f = to->f;
	unsigned i;

	if (!f->dir[0].syn && !f->dir[1].syn) {
		say(to, "mid_capture",
		    "the capture begins after the handshake: which end is the client is "
		    "judged by the ports");
		return;
	}
	for (i = 0; i < 2; i++) {
		const struct direction *d = &f->dir[i];

		if (!d->syn)
			continue;
		if (d->wscale < 0)
			say(to, "no_window_scaling",
			    "the %s does not offer window scaling: neither end can announce more than 65535 B",
			    name_of(f, i));
		if (!d->sack_ok)
			say(to, "no_sack",
			    "the %s does not offer SACK: losses are mended one a round trip",
			    name_of(f, i));
		if (!d->has_ts)
			say(to, "no_timestamps", "the %s does not offer timestamps", name_of(f, i));
		if (d->mss_option && d->mss_option < 1220)
			say(to, "small_mss", "the %s announces an MSS of %u", name_of(f, i),
			    d->mss_option);
	}
	if (f->dir[f->client].syn && !f->dir[!f->client].packets)
		say(to, "no_answer",
		    "the server's packets were not seen: it does not answer, or they go another "
		    "way");
}

static void find_scale(const struct finder *to, unsigned end)
{
	const struct direction *d = &to->f->dir[end];

	if (!d->packets || d->scale_known || !d->raw_window_max || !to->f->dir[!end].fresh)
		return;
	if (d->scale_least)
		say(to, "scale_unknown",
		    "the %s's window scale was not seen; so much was in flight towards it that it is 2^%u at "
		    "least: its %u are %u B or more",
		    name_of(to->f, end), d->scale_least, d->raw_window_max,
		    (unsigned)d->raw_window_max << d->scale_least);
	else
		say(to, "scale_unknown",
		    "the %s's window scale was not seen; nothing in flight shows that its %u mean more than "
		    "that many bytes",
		    name_of(to->f, end), d->raw_window_max);
}

static void find_capture(const struct finder *to)
{
	const struct flow *f = to->f;
	unsigned i;

	for (i = 0; i < 2; i++) {
		const struct direction *d = &f->dir[i];

		if (d->supers)
			say(to, "super_segments",
			    "%u segments from the %s are longer than its MSS of %u: captured before "
			    "segmentation or after merging by the host; on the wire they are several",
			    d->supers, name_of(f, i), direction_mss(f, i));
		if (d->elsewhere)
			say(to, "several_places",
			    "%llu packets from the %s were seen at another interface or in another wrapping "
			    "too; one place is looked at",
			    (unsigned long long)d->elsewhere, name_of(f, i));
		if (d->too_big)
			say(to, "too_big",
			    "ICMP told the %s that its packets are too big for the path",
			    name_of(f, i));
		if (!d->packets && f->dir[!i].packets > 1 && f->dir[!i].fresh)
			say(to, "one_direction",
			    "no packets from the %s were captured: nothing can be told of "
			    "round trips and what is in flight",
			    name_of(f, i));
		if (d->rst)
			say(to, "reset", "the %s reset the connection", name_of(f, i));
	}
	if (f->backwards)
		say(to, "time_backwards", "%u packets are older than those before them",
		    f->backwards);
	if (f->malformed)
		say(to, "malformed_options", "%u handshakes had options that cannot be",
		    f->malformed);
}

/* Tells each thing that was found of a flow besides its limit. */
void findings_of(const struct flow *f, finding_fn found, void *ctx)
{
	struct finder to = {f, found, ctx};
	unsigned i;

	for (i = 0; i < 2; i++)
		find_duplicates(&to, i);
	for (i = 0; i < 2; i++)
		find_losses(&to, i);
	find_handshake(&to);
	for (i = 0; i < 2; i++)
		find_scale(&to, i);
	find_capture(&to);
}
