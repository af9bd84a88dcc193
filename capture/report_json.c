// SPDX-License-Identifier: GPL-3.0-or-later
/* report_json.c - a diagnosis as JSON; doc/diagnose.md is its schema */
#include "capture/report.h"

#include "lib/clock.h"

#include <stdlib.h>

#define WRITE_FLAGS (JSON_COMPACT | JSON_REAL_PRECISION(12))
#define WRITE_FIRST 8192 /* bytes: most flows are shorter */

static json_t *ms(uint64_t ns)
{
	return json_real((double)ns / 1e6);
}

static json_t *rtt(const struct rtt *r)
{
	if (!r->n)
		return json_null();
	return json_pack("{s:o, s:o, s:o, s:I}", "min_ms", ms(r->min), "mean_ms", ms(r->sum / r->n),
			 "max_ms", ms(r->max), "samples", (json_int_t)r->n);
}

static json_t *handshake(const struct direction *d)
{
	if (!d->syn)
		return json_null();
	return json_pack("{s:i, s:o, s:b, s:b}", "mss", d->mss_option, "window_scale",
			 d->wscale < 0 ? json_null() : json_integer(d->wscale), "sack", d->sack_ok,
			 "timestamps", d->has_ts);
}

static json_t *direction(const struct flow *f, unsigned end)
{
	const struct direction *d = &f->dir[end], *r = &f->dir[!end];
	uint64_t end_ns = d->last_ack_ns > d->last_data_ns ? d->last_ack_ns : d->last_data_ns;

	return json_pack(
		"{s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:I, s:I, s:I, s:I, s:{s:I, s:I, s:I, s:I}, s:I, s:I, "
		"s:I, s:I, s:I, s:I, s:o}",
		"packets", (json_int_t)d->packets, "wire_bytes", (json_int_t)d->bytes, "bytes",
		(json_int_t)d->fresh, "payload_bytes", (json_int_t)d->payload, "segments",
		(json_int_t)d->segments, "duration_s",
		d->first_data_ns ? (double)(end_ns - d->first_data_ns) / 1e9 : 0.0, "rate_bps",
		d->first_data_ns ? cause_rate(d) : 0.0, "in_flight_peak_bytes", (json_int_t)d->peak,
		"window_max_bytes", (json_int_t)r->window_max, "window_min_bytes",
		(json_int_t)r->window_min, "zero_windows", (json_int_t)r->zero_windows,
		"retransmissions", "fast", (json_int_t)d->retrans[RETRANS_FAST], "rto",
		(json_int_t)d->retrans[RETRANS_RTO], "spurious",
		(json_int_t)d->retrans[RETRANS_SPURIOUS], "probe",
		(json_int_t)d->retrans[RETRANS_PROBE], "lost", (json_int_t)d->lost, "reordered",
		(json_int_t)d->reordered, "duplicates", (json_int_t)(d->dup ? d->dup->packets : 0),
		"super_segments", (json_int_t)d->supers, "unseen", (json_int_t)d->unseen, "mss",
		(json_int_t)direction_mss(f, end), "rtt_to_receiver", rtt(&r->rtt));
}

static void add_finding(void *ctx, const char *kind, const char *text)
{
	json_array_append_new(ctx, json_pack("{s:s, s:s}", "kind", kind, "text", text));
}

static json_t *shares(const struct verdict *v)
{
	json_t *o = json_object();
	unsigned i;

	for (i = 0; i < CAUSES; i++)
		json_object_set_new(o, cause_of(i)->name, json_real(v->share[i]));
	return o;
}

static json_t *ceilings(const struct flow *f, unsigned from)
{
	json_t *o = json_object();
	char key[64];
	unsigned i;

	for (i = 0; i < CAUSES; i++) {
		double bps = cause_of(i)->ceiling ? cause_of(i)->ceiling(f, from) : 0;

		if (!cause_of(i)->ceiling)
			continue;
		snprintf(key, sizeof(key), "%s_bps", cause_of(i)->name);
		json_object_set_new(o, key, bps > 0 ? json_real(bps) : json_null());
	}
	return o;
}

static json_t *intervals(const struct flow *f, const struct direction *d)
{
	json_t *a = json_array();
	unsigned i;

	for (i = 0; i < d->n_intervals; i++) {
		const struct interval *v = &d->intervals[i];

		json_array_append_new(a, json_pack("{s:f, s:f, s:s}", "start_s",
						   (double)(v->start_ns - f->first_ns) / 1e9,
						   "end_s", (double)(v->end_ns - f->first_ns) / 1e9,
						   "limit", cause_of(v->cause)->name));
	}
	return a;
}

static json_t *scale(const struct direction *d)
{
	if (d->scale_known)
		return json_pack("{s:b, s:i}", "known", true, "shift",
				 d->wscale > 0 ? d->wscale : 0);
	return json_pack("{s:b, s:i}", "known", false, "at_least", d->scale_least);
}

/* One flow. Returns a new reference. */
json_t *report_json_flow(const struct flow *f)
{
	struct verdict v = verdict_of(f);
	const struct direction *d = &f->dir[v.from], *c = &f->dir[f->client],
			       *s = &f->dir[!f->client];
	char client[END_TEXT], server[END_TEXT], text[1024] = "";
	json_t *found = json_array(), *o;

	if (d->fresh)
		cause_of(v.limit)->remedy(f, v.from, text, sizeof(text));
	findings_of(f, add_finding, found);
	o = json_pack("{s:I, s:s, s:s, s:b, s:s, s:s, s:I, s:i, s:f, s:f}", "number",
		      (json_int_t)f->number, "client", end_text(client, f, f->client), "server",
		      end_text(server, f, !f->client), "client_known", f->client_known, "bulk",
		      v.from == f->client ? "client_to_server" : "server_to_client",
		      "encapsulation", wrap_name(d->at.wrap), "interface",
		      (json_int_t)d->at.interface, "vlan", d->at.vid, "start_s",
		      (double)f->first_ns / 1e9, "total_s",
		      (double)(f->last_ns - f->first_ns) / 1e9);
	json_object_set_new(o, "bytes", json_integer((json_int_t)d->fresh));
	json_object_set_new(o, "rate_bps", json_real(d->first_data_ns ? cause_rate(d) : 0));
	json_object_set_new(o, "rtt_ms",
			    flow_rtt_ns(f) ? json_real(cause_mean_rtt_s(f) * 1e3) : json_null());
	json_object_set_new(o, "limit",
			    d->fresh ? json_string(cause_of(v.limit)->name) : json_null());
	json_object_set_new(o, "limited_s", json_real((double)v.total_ns / 1e9));
	json_object_set_new(o, "shares", shares(&v));
	json_object_set_new(o, "ceilings", ceilings(f, v.from));
	json_object_set_new(o, "remedy", json_string(text));
	json_object_set_new(o, "findings", found);
	json_object_set_new(o, "intervals", intervals(f, d));
	json_object_set_new(o, "intervals_merged", json_integer(d->merged));
	json_object_set_new(
		o, "handshake",
		json_pack("{s:o, s:o}", "client", handshake(c), "server", handshake(s)));
	json_object_set_new(o, "window_scale",
			    json_pack("{s:o, s:o}", "client", scale(c), "server", scale(s)));
	json_object_set_new(o, "client_to_server", direction(f, f->client));
	json_object_set_new(o, "server_to_client", direction(f, !f->client));
	return o;
}

static void add_interfaces(json_t *a, const struct capfile *file)
{
	uint32_t i;

	for (i = 0; i < capfile_interfaces(file); i++) {
		const struct cap_interface *at = capfile_interface(file, i);

		json_array_append_new(
			a, json_pack("{s:s, s:i, s:I, s:o}", "name", at->name, "link_type",
				     at->link, "packets", (json_int_t)at->packets, "drops",
				     at->unknown_drops ? json_null()
						       : json_integer((json_int_t)at->drops)));
	}
}

/* A text of somebody else's, which need not be UTF-8. */
static json_t *foreign(const char *text)
{
	json_t *s = json_string(text);

	return s ? s : json_string("(not UTF-8)");
}

/* Where packets came from, and what of them could not be used. Returns a new reference. */
json_t *report_json_source(const struct report_source *s, const struct diagnosis_totals *t)
{
	static const char *const kinds[DECAP_KINDS] = {
		"tcp", "icmp_too_big", "other", "fragments", "cut", "invalid", "unknown_link"};
	json_t *o = json_pack("{s:o, s:s, s:I, s:I, s:I, s:I, s:I}", "name", foreign(s->name),
			      "kind", s->kind, "packets", (json_int_t)t->packets, "flows",
			      (json_int_t)t->flows, "flows_evicted", (json_int_t)t->evicted,
			      "unrecorded", (json_int_t)t->unrecorded, "clock_set_back",
			      (json_int_t)t->time_jumps),
	       *by = json_object(), *at = json_array();
	uint64_t broken = 0, no_time = 0;
	const char *why = "";
	size_t i;

	for (i = 0; i < DECAP_KINDS; i++)
		json_object_set_new(by, kinds[i], json_integer((json_int_t)t->kinds[i]));
	for (i = 0; i < s->n_files; i++) {
		const struct cap_skipped *k = capfile_skipped(s->files[i]);

		add_interfaces(at, s->files[i]);
		broken += k->broken;
		no_time += k->no_time;
		why = *why ? why : k->why;
	}
	json_object_set_new(o, "packets_by_kind", by);
	json_object_set_new(o, "interfaces", at);
	json_object_set_new(o, "drops", json_integer((json_int_t)s->live_drops));
	json_object_set_new(o, "broken_records", json_integer((json_int_t)broken));
	json_object_set_new(o, "packets_without_time", json_integer((json_int_t)no_time));
	json_object_set_new(o, "ended_early", *why ? foreign(why) : json_null());
	return o;
}

/*
 * Writes a document as one piece, and gives up the reference. jansson by itself gives a stream each
 * bracket and comma on its own.
 *
 * Returns false without memory; what the stream has met, it tells itself.
 */
bool report_json_write(FILE *out, json_t *o)
{
	size_t room = WRITE_FIRST, n = 0;
	char *text = NULL, *larger;

	do {
		room = n > room ? n : room;
		larger = realloc(text, room);
		if (!larger)
			break;
		text = larger;
		n = json_dumpb(o, text, room, WRITE_FLAGS);
	} while (n > room);
	if (larger)
		fwrite(text, 1, n, out);
	free(text);
	json_decref(o);
	return larger && n;
}
