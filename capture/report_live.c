// SPDX-License-Identifier: GPL-3.0-or-later
/* report_live.c - what flows are doing while they are captured, for people and as JSON */
#include "capture/report.h"

#include "lib/clock.h"

#include <time.h>

static double rate_of(const struct report_live *l, const struct progress *p)
{
	return l->span_ns ? (double)p->bytes * 8e9 / (double)l->span_ns : 0;
}

static const char *limit_of(const struct progress *p)
{
	return p->judged_ns || p->limit != CAUSE_UNKNOWN ? cause_of(p->limit)->name
							 : "not judged yet";
}

/* Prints one block: a line about the capture, and one for each of the flows that move most. */
void report_live_text(FILE *out, const struct report_live *l)
{
	time_t seconds = (time_t)(l->time_ns / NS_PER_S);
	char clock[16] = "", from[END_TEXT], to[END_TEXT], rate[32], share[16];
	struct tm tm;
	size_t i;

	if (localtime_r(&seconds, &tm))
		strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	fprintf(out, "%s  %zu flow%s moved in %.3g s, %llu packets", clock, l->n_moved,
		l->n_moved == 1 ? "" : "s", (double)l->span_ns / 1e9,
		(unsigned long long)l->packets);
	if (l->drops)
		fprintf(out, ", %llu lost before we read them", (unsigned long long)l->drops);
	fputc('\n', out);
	for (i = 0; i < l->n_moved && i < l->shown; i++) {
		const struct progress *p = &l->moved[i];

		*share = '\0';
		if (p->judged_ns)
			snprintf(share, sizeof(share), " %.0f %%", 100 * p->share);
		fprintf(out, "  %s → %s  %s  %s%s", end_text(from, p->f, p->from),
			end_text(to, p->f, !p->from),
			cause_rate_text(rate, sizeof(rate), rate_of(l, p)), limit_of(p), share);
		if (flow_rtt_ns(p->f))
			fprintf(out, "  round trip %.3g ms", cause_mean_rtt_s(p->f) * 1e3);
		fputc('\n', out);
	}
	if (l->shown < l->n_moved)
		fprintf(out, "  … and %zu more\n", l->n_moved - l->shown);
	fflush(out);
}

/* The same as an object, with all flows that moved. */
json_t *report_live_json(const struct report_live *l)
{
	json_t *moved = json_array();
	char from[END_TEXT], to[END_TEXT];
	size_t i;

	for (i = 0; i < l->n_moved; i++) {
		const struct progress *p = &l->moved[i];
		json_t *limit = p->judged_ns || p->limit != CAUSE_UNKNOWN
					? json_string(cause_of(p->limit)->name)
					: json_null();

		json_array_append_new(
			moved,
			json_pack("{s:I, s:s, s:s, s:I, s:f, s:o, s:o, s:o}", "number",
				  (json_int_t)p->f->number, "from", end_text(from, p->f, p->from),
				  "to", end_text(to, p->f, !p->from), "bytes", (json_int_t)p->bytes,
				  "rate_bps", rate_of(l, p), "limit", limit, "share",
				  p->judged_ns ? json_real(p->share) : json_null(), "rtt_ms",
				  flow_rtt_ns(p->f) ? json_real(cause_mean_rtt_s(p->f) * 1e3)
						    : json_null()));
	}
	return json_pack("{s:i, s:s, s:f, s:f, s:I, s:I, s:o}", "version", 1, "name", l->name,
			 "time_s", (double)l->time_ns / 1e9, "span_s", (double)l->span_ns / 1e9,
			 "packets", (json_int_t)l->packets, "drops", (json_int_t)l->drops, "moved",
			 moved);
}
