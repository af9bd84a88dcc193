// SPDX-License-Identifier: GPL-3.0-or-later
/* report_xplot.c - time-sequence graphs in the format of xplot, a file for each direction with data
 */
/* Source of the format: xplot(1) by Tim Shepard; the colours are tcptrace's. */
#include "capture/report.h"

#include "capture/flow_impl.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FLOWS_MAX 64 /* with graphs: the first ones that carry data */

/* One direction's graph. */
struct graph {
	FILE *out;
	uint32_t first; /* sequence number that is 0 in it */
	uint64_t next, una, edge, acked_ns, edge_ns;
	bool have_ack;
};

struct xplot {
	const char *directory;
	struct err e; /* of the first file that could not be written */
	struct {
		uint32_t number;
		struct graph graphs[2];
	} flows[FLOWS_MAX];
	unsigned n;
};

/* Begins to draw into a directory, which is made if it is not there. Returns NULL with a text. */
struct xplot *xplot_new(const char *directory, struct err *e)
{
	struct xplot *x;

	if (mkdir(directory, 0777) && errno != EEXIST) {
		err_set(e, errno, "--xplot %s: cannot make that directory: %s", directory,
			strerror(errno));
		return NULL;
	}
	x = calloc(1, sizeof(*x));
	if (x)
		x->directory = directory;
	else
		err_set(e, ENOMEM, "out of memory");
	return x;
}

static void begin_graph(struct xplot *x, struct graph *g, const struct flow *f,
			const struct segment *s)
{
	char path[4096], from[END_TEXT], to[END_TEXT];

	snprintf(path, sizeof(path), "%s/flow-%u-%c.xpl", x->directory, f->number,
		 s->from == f->client ? 'c' : 's');
	g->out = fopen(path, "we");
	if (!g->out) {
		if (!*x->e.text)
			err_set(&x->e, errno, "--xplot: %s: %s", path, strerror(errno));
		return;
	}
	g->first = s->seq;
	g->next = FIRST_POSITION + s->seq;
	fprintf(g->out,
		"timeval unsigned\ntitle\n%s to %s (time sequence graph)\nxlabel\ntime\nylabel\nsequence "
		"number\n",
		end_text(from, f, s->from), end_text(to, f, !s->from));
}

static struct graph *graph_of(struct xplot *x, const struct flow *f, unsigned from, bool make)
{
	unsigned i;

	for (i = 0; i < x->n; i++)
		if (x->flows[i].number == f->number)
			return &x->flows[i].graphs[from];
	if (!make || x->n == FLOWS_MAX)
		return NULL;
	x->flows[x->n].number = f->number;
	return &x->flows[x->n++].graphs[from];
}

static void at(struct graph *g, uint64_t ns, uint64_t position)
{
	fprintf(g->out, " %llu.%06llu %llu", (unsigned long long)(ns / NS_PER_S),
		(unsigned long long)(ns % NS_PER_S / NS_PER_US),
		(unsigned long long)(uint32_t)(position - g->first));
}

static void line(struct graph *g, const char *what, const char *colour, uint64_t t1, uint64_t p1,
		 uint64_t t2, uint64_t p2)
{
	fprintf(g->out, "%s\n%s", colour, what);
	at(g, t1, p1);
	if (t2)
		at(g, t2, p2);
	fputc('\n', g->out);
}

static void draw_data(struct graph *g, const struct segment *s)
{
	uint64_t start = unwrap32(g->next, s->seq), end = start + s->len;
	bool again = end <= g->next;

	line(g, "line", again ? "red" : "white", s->time_ns, start, s->time_ns, end);
	line(g, "darrow", again ? "red" : "white", s->time_ns, start, 0, 0);
	line(g, s->flags & TCP_PSH ? "diamond" : "uarrow", again ? "red" : "white", s->time_ns, end,
	     0, 0);
	g->next = again ? g->next : end;
}

static void draw_ack(struct graph *g, const struct segment *s, const struct direction *r)
{
	uint64_t ack = unwrap32(g->next, s->ack);
	unsigned shift = r->scale_known ? (r->wscale > 0 ? (unsigned)r->wscale : 0)
					: r->scale_least;
	uint64_t edge = ack + ((uint64_t)s->window << (s->flags & TCP_SYN ? 0 : shift));
	unsigned i;

	if (g->have_ack && ack >= g->una) {
		line(g, "line", "green", g->acked_ns, g->una, s->time_ns, g->una);
		line(g, "line", "green", s->time_ns, g->una, s->time_ns, ack);
		line(g, "line", "yellow", g->edge_ns, g->edge, s->time_ns, g->edge);
		line(g, "line", "yellow", s->time_ns, g->edge, s->time_ns, edge);
	}
	for (i = 0; i < s->sacks; i++)
		line(g, "line", "purple", s->time_ns, unwrap32(g->next, s->sack[i][0]), s->time_ns,
		     unwrap32(g->next, s->sack[i][1]));
	if (g->have_ack && ack < g->una)
		return;
	g->have_ack = true;
	g->una = ack;
	g->edge = edge;
	g->acked_ns = g->edge_ns = s->time_ns;
}

/* Draws a segment; a hook of struct diagnosis_hooks. */
void xplot_segment(void *xplot, const struct flow *f, const struct segment *s)
{
	struct xplot *x = xplot;
	struct graph *g;

	if (s->len) {
		g = graph_of(x, f, s->from, true);
		if (g && !g->out)
			begin_graph(x, g, f, s);
		if (g && g->out)
			draw_data(g, s);
	}
	g = s->flags & TCP_ACK && !(s->flags & TCP_RST) ? graph_of(x, f, !s->from, false) : NULL;
	if (g && g->out)
		draw_ack(g, s, &f->dir[s->from]);
}

/* Ends all graphs. Returns 0, or -errno with a text if one could not be written. NULL is allowed.
 */
int xplot_free(struct xplot *x, struct err *e)
{
	unsigned i;
	int ret = 0;

	if (!x)
		return 0;
	for (i = 0; i < 2 * x->n; i++) {
		FILE *out = x->flows[i / 2].graphs[i % 2].out;
		bool bad;

		if (!out)
			continue;
		fputs("go\n", out);
		bad = ferror(out);
		if ((fclose(out) || bad) && !*x->e.text)
			err_set(&x->e, EIO, "--xplot %s: cannot be written: %s", x->directory,
				strerror(errno));
	}
	if (*x->e.text)
		ret = err_set(e, EIO, "%s", x->e.text);
	free(x);
	return ret;
}
