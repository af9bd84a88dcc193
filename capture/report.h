/* SPDX-License-Identifier: GPL-3.0-or-later */
/* report.h - what a diagnosis says: for people, as JSON, as CSV, as xplot graphs */
#ifndef CAPTURE_REPORT_H
#define CAPTURE_REPORT_H

#include "capture/capfile.h"
#include "capture/diagnosis.h"

#include <jansson.h>
#include <stdio.h>

#define END_TEXT 56 /* "[ipv6]:port" */

/* What a flow's bulk direction comes to. */
struct verdict {
	unsigned from;	      /* the end that sends the bulk */
	unsigned limit;	      /* enum cause_id that has the largest share */
	uint64_t total_ns;    /* of all shares */
	double share[CAUSES]; /* of it */
};

/* Something besides the limit that should be known. */
typedef void (*finding_fn)(void *ctx, const char *kind, const char *text);

/* Where packets came from. */
struct report_source {
	const char *name;
	const char *kind;	      /* "pcap", "pcapng", "live" */
	struct capfile *const *files; /* parts of one capture, in order */
	size_t n_files;		      /* 0: live */
	uint64_t live_drops;
};

struct verdict verdict_of(const struct flow *f);
void findings_of(const struct flow *f, finding_fn found, void *ctx);
char *end_text(char *buf, const struct flow *f, unsigned end);

void report_text_flow(FILE *out, const struct flow *f, bool verbose);
void report_text_source(FILE *out, const struct report_source *s, const struct diagnosis_totals *t,
			size_t shown, size_t all);
json_t *report_json_flow(const struct flow *f);
json_t *report_json_source(const struct report_source *s, const struct diagnosis_totals *t);
bool report_json_write(FILE *out, json_t *o);
void report_csv_header(FILE *out);
void report_csv_flow(FILE *out, const char *source, const struct flow *f);

/* What a live capture has seen since it was last told of. */
struct report_live {
	const char *name;
	uint64_t time_ns;	 /* since 1970 */
	uint64_t span_ns;	 /* since the last time */
	uint64_t packets, drops; /* since then */
	const struct progress *moved;
	size_t n_moved, shown;
};

void report_live_text(FILE *out, const struct report_live *l);
json_t *report_live_json(const struct report_live *l);

struct xplot;
struct xplot *xplot_new(const char *directory, struct err *e);
void xplot_segment(void *xplot, const struct flow *f, const struct segment *s);
int xplot_free(struct xplot *x, struct err *e);

#endif
