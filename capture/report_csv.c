// SPDX-License-Identifier: GPL-3.0-or-later
/* report_csv.c - a diagnosis as a table, one flow a line */
#include "capture/report.h"

/* The first line: what the columns are. */
void report_csv_header(FILE *out)
{
	unsigned i;

	fputs("source,client,server,bulk,bytes,duration_s,rate_bps,rtt_ms,limit", out);
	for (i = 0; i < CAUSES; i++)
		fprintf(out, ",share_%s", cause_of(i)->name);
	fputs(",window_max_bytes,in_flight_peak_bytes,segments,fast,rto,spurious,probe,lost,reordered,"
	      "duplicates\n",
	      out);
}

/* RFC 4180: a field with a comma, a quote or a line break is quoted, its quotes doubled. */
static void field(FILE *out, const char *text)
{
	fputc('"', out);
	for (; *text; text++) {
		if (*text == '"')
			fputc('"', out);
		fputc(*text, out);
	}
	fputc('"', out);
}

/* One flow. */
void report_csv_flow(FILE *out, const char *source, const struct flow *f)
{
	struct verdict v = verdict_of(f);
	const struct direction *d = &f->dir[v.from], *r = &f->dir[!v.from];
	uint64_t end = d->last_ack_ns > d->last_data_ns ? d->last_ack_ns : d->last_data_ns;
	char client[END_TEXT], server[END_TEXT];
	unsigned i;

	field(out, source);
	fprintf(out, ",%s,%s,%s,%llu,%.6f,%.0f,%.3f,%s", end_text(client, f, f->client),
		end_text(server, f, !f->client),
		v.from == f->client ? "client_to_server" : "server_to_client",
		(unsigned long long)d->fresh,
		d->first_data_ns ? (double)(end - d->first_data_ns) / 1e9 : 0.0,
		d->first_data_ns ? cause_rate(d) : 0.0, cause_mean_rtt_s(f) * 1e3,
		d->fresh ? cause_of(v.limit)->name : "");
	for (i = 0; i < CAUSES; i++)
		fprintf(out, ",%.4f", v.share[i]);
	fprintf(out, ",%u,%u,%llu,%u,%u,%u,%u,%u,%u,%llu\n", r->window_max, d->peak,
		(unsigned long long)d->segments, d->retrans[RETRANS_FAST], d->retrans[RETRANS_RTO],
		d->retrans[RETRANS_SPURIOUS], d->retrans[RETRANS_PROBE], d->lost, d->reordered,
		(unsigned long long)(d->dup ? d->dup->packets : 0));
}
