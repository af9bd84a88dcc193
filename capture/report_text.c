// SPDX-License-Identifier: GPL-3.0-or-later
/* report_text.c - a diagnosis for people */
#include "capture/report.h"

#include "lib/clock.h"

#include <string.h>

#define WIDTH	    110
#define SHARE_SHOWN 0.005 /* less rounds to 0 % */

/* Prints words from column @indent on, none beyond WIDTH. */
static void wrapped(FILE *out, int indent, const char *lead, const char *text)
{
	int col = indent + (int)strlen(lead);

	fprintf(out, "%*s%s", indent, "", lead);
	for (text += strspn(text, " "); *text; text += strspn(text, " ")) {
		int n = (int)strcspn(text, " ");

		if (col + 1 + n > WIDTH) {
			fprintf(out, "\n%*s", indent + 2, "");
			col = indent + 2;
		}
		fprintf(out, " %.*s", n, text);
		col += n + 1;
		text += n;
	}
	fputc('\n', out);
}

static void print_finding(void *ctx, const char *kind, const char *text)
{
	char lead[48];

	snprintf(lead, sizeof(lead), "%s:", kind);
	wrapped(ctx, 2, lead, text);
}

static void print_shares(FILE *out, const struct verdict *v)
{
	bool done[CAUSES] = {false};
	const char *sep = "";
	unsigned i, n;

	fputs("  limited by: ", out);
	if (!v->total_ns)
		fputs(cause_of(v->limit)->name, out);
	for (n = 0; n < CAUSES; n++) {
		unsigned most = CAUSES;

		for (i = 0; i < CAUSES; i++)
			if (!done[i] && (most == CAUSES || v->share[i] > v->share[most]))
				most = i;
		if (v->share[most] < SHARE_SHOWN)
			break;
		done[most] = true;
		fprintf(out, "%s%s %.0f %%", sep, cause_of(most)->name, 100 * v->share[most]);
		sep = ", ";
	}
	fputc('\n', out);
}

static void print_intervals(FILE *out, const struct flow *f, const struct direction *d)
{
	unsigned i;

	for (i = 0; i < d->n_intervals; i++)
		fprintf(out, "    %10.3f to %10.3f s  %s\n",
			(double)(d->intervals[i].start_ns - f->first_ns) / 1e9,
			(double)(d->intervals[i].end_ns - f->first_ns) / 1e9,
			cause_of(d->intervals[i].cause)->name);
}

static void print_numbers(FILE *out, const struct flow *f, const struct verdict *v)
{
	const struct direction *d = &f->dir[v->from], *r = &f->dir[!v->from];

	fprintf(out,
		"    round trip: capture to sender min %.3g mean %.3g max %.3g ms, to receiver min "
		"%.3g mean %.3g max %.3g ms\n",
		(double)d->rtt.min / 1e6, d->rtt.n ? (double)d->rtt.sum / d->rtt.n / 1e6 : 0.0,
		(double)d->rtt.max / 1e6, (double)r->rtt.min / 1e6,
		r->rtt.n ? (double)r->rtt.sum / r->rtt.n / 1e6 : 0.0, (double)r->rtt.max / 1e6);
	fprintf(out, "    window %u to %u B%s, at most %u B in flight, MSS %u\n", r->window_min,
		r->window_max,
		r->scale_known || !r->raw_window_max ? "" : " or more (scale not seen)", d->peak,
		direction_mss(f, v->from));
}

/* Prints one flow; @verbose: with its intervals and numbers. */
void report_text_flow(FILE *out, const struct flow *f, bool verbose)
{
	struct verdict v = verdict_of(f);
	const struct direction *d = &f->dir[v.from];
	char from[END_TEXT], to[END_TEXT], size[32], rate[32], text[1024];
	uint64_t end = d->last_ack_ns > d->last_data_ns ? d->last_ack_ns : d->last_data_ns;

	fprintf(out, "%s → %s%s%s", end_text(from, f, v.from), end_text(to, f, !v.from),
		d->at.wrap ? " in " : "", wrap_name(d->at.wrap));
	if (d->at.vid)
		fprintf(out, " VLAN %u", d->at.vid);
	if (d->fresh)
		fprintf(out, ": %s in %.3g s = %s", cause_bytes_text(size, sizeof(size), d->fresh),
			(double)(end - d->first_data_ns) / 1e9,
			cause_rate_text(rate, sizeof(rate), cause_rate(d)));
	if (flow_rtt_ns(f))
		fprintf(out, ", round trip %.3g ms", cause_mean_rtt_s(f) * 1e3);
	fputc('\n', out);
	if (d->fresh) {
		print_shares(out, &v);
		cause_of(v.limit)->remedy(f, v.from, text, sizeof(text));
		wrapped(out, 2, "remedy:", text);
	} else {
		fputs("  no data\n", out);
	}
	findings_of(f, print_finding, out);
	if (verbose && d->fresh) {
		print_numbers(out, f, &v);
		print_intervals(out, f, d);
	}
	fputc('\n', out);
}

static void print_file(FILE *out, const struct capfile *file)
{
	const struct cap_skipped *k = capfile_skipped(file);
	uint32_t i;

	for (i = 0; i < capfile_interfaces(file); i++) {
		const struct cap_interface *at = capfile_interface(file, i);

		if (at->drops)
			fprintf(out, "  %llu packets of interface %s were lost by the capture\n",
				(unsigned long long)at->drops, *at->name ? at->name : "?");
	}
	if (k->broken)
		fprintf(out, "  %llu records contradict themselves\n",
			(unsigned long long)k->broken);
	if (k->no_time)
		fprintf(out, "  %llu packets have no time\n", (unsigned long long)k->no_time);
	if (*k->why)
		fprintf(out, "  the file %s\n", k->why);
}

static void print_skipped(FILE *out, const struct report_source *s,
			  const struct diagnosis_totals *t)
{
	static const char *const why[DECAP_KINDS] = {
		[DECAP_FRAGMENT] =
			"are later fragments of IP packets: nothing of them is counted as TCP's",
		[DECAP_CUT] = "were cut before TCP's header ended",
		[DECAP_INVALID] = "have impossible headers",
		[DECAP_LINK] = "are of a link layer that is not known here",
	};
	uint32_t i;

	for (i = 0; i < DECAP_KINDS; i++)
		if (why[i] && t->kinds[i])
			fprintf(out, "  %llu packets %s\n", (unsigned long long)t->kinds[i],
				why[i]);
	if (t->time_jumps)
		fprintf(out, "  the clock was set back %llu times\n",
			(unsigned long long)t->time_jumps);
	if (t->evicted)
		fprintf(out, "  %llu flows had to go for want of room (--max-flows)\n",
			(unsigned long long)t->evicted);
	if (t->unrecorded)
		fprintf(out, "  %llu segments could not be recorded for want of memory\n",
			(unsigned long long)t->unrecorded);
	if (s->live_drops)
		fprintf(out, "  %llu packets were lost before we read them\n",
			(unsigned long long)s->live_drops);
	for (i = 0; i < s->n_files; i++)
		print_file(out, s->files[i]);
}

/* Prints where the packets came from, and what of them could not be used. */
void report_text_source(FILE *out, const struct report_source *s, const struct diagnosis_totals *t,
			size_t shown, size_t all)
{
	fprintf(out, "%s: %s, %llu packets in %.3g s, %llu of TCP, %llu flow%s\n", s->name, s->kind,
		(unsigned long long)t->packets, (double)(t->last_ns - t->first_ns) / 1e9,
		(unsigned long long)t->kinds[DECAP_TCP], (unsigned long long)t->flows,
		t->flows == 1 ? "" : "s");
	print_skipped(out, s, t);
	if (shown < all)
		fprintf(out,
			"  the %zu flows with the most data are shown; --flows tells how many\n",
			shown);
	fputc('\n', out);
}
