// SPDX-License-Identifier: GPL-3.0-or-later
/* line_report.c - what a line does: as a document, as a page, as a live line */
#include "shaper/line.h"

#include "lib/clock.h"
#include "lib/doc.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static json_int_t count(const counter *c)
{
	return (json_int_t)counter_get(c);
}

/* Percentiles of times, in microseconds. */
static json_t *times_json(const struct hist *h)
{
	static const struct {
		const char *name;
		double q;
	} shares[] = {{"p50", 0.5}, {"p99", 0.99}, {"p99_9", 0.999}};
	json_t *o;
	size_t i;

	if (!hist_max(h) && !hist_count(h))
		return json_null();
	o = json_object();
	for (i = 0; i < sizeof(shares) / sizeof(*shares); i++)
		json_object_set_new(o, shares[i].name,
				    json_real((double)hist_quantile(h, shares[i].q) / 1e3));
	json_object_set_new(o, "max", json_real((double)hist_max(h) / 1e3));
	json_object_set_new(o, "mean", json_real(hist_mean(h) / 1e3));
	return o;
}

static json_t *drops_json(const struct pump *p)
{
	const struct pump_counters *c = &p->counters;
	json_t *o = json_object();
	unsigned v;

	for (v = FRAME_SENT + 1; v < FRAME_VERDICTS; v++)
		json_object_set_new(o, frame_verdict_name(v),
				    json_integer(count(&p->traffic->verdicts[v])));
	json_object_set_new(o, "truncated", json_integer(count(&c->truncated)));
	json_object_set_new(o, "short_frame", json_integer(count(&c->short_frames)));
	json_object_set_new(o, "overrun", json_integer(count(&c->overruns)));
	return o;
}

static json_t *direction_json(const struct line *l, unsigned d)
{
	const struct pump *p = &l->pumps[d];
	const struct direction_counters *t = p->traffic;

	return json_pack(
		"{s:s, s:s, s:s, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:{s:I, s:I, s:I}, "
		"s:{s:I, s:I}, s:o, s:o, s:o, s:f, s:I}",
		"name", direction_name(d), "from", p->in->name, "to", p->out->name, "settings",
		settings_json(&l->conf->settings[d]), "frames_in", count(&t->frames_in), "bytes_in",
		count(&t->bytes_in), "frames_out", count(&t->frames_out), "bytes_out",
		count(&t->bytes_out), "duplicated", count(&t->duplicated), "corrupted",
		count(&t->corrupted), "reordered", count(&t->reordered), "undivided",
		count(&t->undivided), "drops", drops_json(p), "queue", "frames",
		count(&t->queue_frames), "bytes", count(&t->queue_bytes), "max_bytes",
		count(&t->queue_bytes_max), "flight", "frames", count(&t->flight_frames),
		"buffer_bytes", count(&t->buffer_bytes), "delay_us", times_json(&t->delay_ns),
		"queue_us", times_json(&t->queue_ns), "late_us", times_json(&t->late_ns), "spun_s",
		(double)counter_get(&p->counters.spun_ns) / 1e9, "log_missed",
		(json_int_t)frame_log_missed(l->rings[d]));
}

/* An end is up when frames pass: not before both pumps have found it. */
static json_t *end_json(const struct line *l, unsigned i)
{
	const struct line_end *end = &l->ends[i];
	bool open = l->pumps[i].in_opened == end->opened && l->pumps[!i].out_opened == end->opened;

	return json_pack("{s:s, s:b}", "name", end->name, "up", end->up && open);
}

/* What a line does now, or did until it ended: doc/status.md. Returns a new reference. */
json_t *line_json(const struct line *l)
{
	uint64_t until = l->ended_ns ? l->ended_ns : clock_ns();

	return json_pack("{s:i, s:s, s:s, s:I, s:f, s:I, s:o?, s:b, s:[oo], s:[oo]}", "version", 1,
			 "kind", "line", "name", l->conf->name, "pid", (json_int_t)getpid(),
			 "uptime_s", l->started_ns ? (double)(until - l->started_ns) / 1e9 : 0.0,
			 "seed", (json_int_t)l->conf->seed, "log",
			 l->conf->log ? json_string(l->conf->log) : json_null(), "log_complete",
			 !l->log_failed && !frame_log_missed(l->rings[AB]) &&
				 !frame_log_missed(l->rings[BA]),
			 "interfaces", end_json(l, 0), end_json(l, 1), "directions",
			 direction_json(l, AB), direction_json(l, BA));
}

/* The settings that are not what they are by themselves, as options. */
static void print_settings(const json_t *settings)
{
	const struct opt *o;
	bool any = false;
	char key[OPTS_KEY_MAX];

	for (o = settings_table; o->name; o++) {
		const char *text;

		opts_key(o, key);
		text = doc_text(settings, key);
		if (!*text || (o->deflt && !strcmp(text, o->deflt)))
			continue;
		printf("%s--%s %s", any ? " " : "  ", o->name, text);
		any = true;
	}
	printf("%s\n", any ? "" : "  nothing is done to frames");
}

static void print_times(const char *what, const json_t *t)
{
	if (!json_is_object(t))
		return;
	printf("  %-16s p50 %.1f  p99 %.1f  p99.9 %.1f  max %.1f us\n", what,
	       json_number_value(json_object_get(t, "p50")),
	       json_number_value(json_object_get(t, "p99")),
	       json_number_value(json_object_get(t, "p99_9")),
	       json_number_value(json_object_get(t, "max")));
}

static const char *text_of_drop(const char *name)
{
	unsigned v;

	for (v = 0; v < FRAME_VERDICTS; v++)
		if (!strcmp(name, frame_verdict_name(v)))
			return frame_verdict_text(v);
	if (!strcmp(name, "overrun"))
		return "the kernel's: we did not read in time";
	return "no frame that we can carry";
}

static void print_direction(const json_t *d)
{
	const json_t *queue = json_object_get(d, "queue");
	const char *name;
	json_t *n;

	printf("\n%s  %s → %s\n", doc_text(d, "name"), doc_text(d, "from"), doc_text(d, "to"));
	print_settings(json_object_get(d, "settings"));
	printf("  in %lld frames %lld bytes, out %lld frames %lld bytes, in flight %lld\n",
	       doc_number(d, "frames_in"), doc_number(d, "bytes_in"), doc_number(d, "frames_out"),
	       doc_number(d, "bytes_out"), doc_number(json_object_get(d, "flight"), "frames"));
	json_object_foreach(json_object_get(d, "drops"), name, n) if (json_integer_value(n)) printf(
		"  dropped %-12s %lld  %s\n", name, json_integer_value(n), text_of_drop(name));
	if (doc_number(d, "duplicated") || doc_number(d, "corrupted") || doc_number(d, "reordered"))
		printf("  duplicated %lld, corrupted %lld, reordered %lld\n",
		       doc_number(d, "duplicated"), doc_number(d, "corrupted"),
		       doc_number(d, "reordered"));
	if (doc_number(queue, "max_bytes"))
		printf("  queue            now %lld frames %lld bytes, at most %lld bytes\n",
		       doc_number(queue, "frames"), doc_number(queue, "bytes"),
		       doc_number(queue, "max_bytes"));
	print_times("delay given", json_object_get(d, "delay_us"));
	print_times("of it in queue", json_object_get(d, "queue_us"));
	print_times("later than asked", json_object_get(d, "late_us"));
	if (doc_number(d, "log_missed"))
		printf("  %lld records are missing from the log: the disk is too slow\n",
		       doc_number(d, "log_missed"));
}

/* Prints line_json()'s document for a person. */
void line_print(const json_t *doc)
{
	const json_t *ends = json_object_get(doc, "interfaces"), *end;
	json_t *d;
	size_t i;

	printf("%s: line between %s and %s, up %.0f s, seed %lld\n", doc_text(doc, "name"),
	       doc_text(json_array_get(ends, 0), "name"), doc_text(json_array_get(ends, 1), "name"),
	       json_number_value(json_object_get(doc, "uptime_s")), doc_number(doc, "seed"));
	for (i = 0; i < 2; i++) {
		end = json_array_get(ends, i);
		if (!json_is_true(json_object_get(end, "up")))
			printf("  %s is down\n", doc_text(end, "name"));
	}
	json_array_foreach(json_object_get(doc, "directions"), i, d) print_direction(d);
}

/* Frames of a direction that were dropped, whatever for. */
static uint64_t dropped(const struct direction_counters *t)
{
	uint64_t n = 0;
	unsigned v;

	for (v = FRAME_SENT + 1; v < FRAME_VERDICTS; v++)
		n += counter_get(&t->verdicts[v]);
	return n;
}

/* Rates since the last time, what waits and what was dropped, in half of a narrow terminal. */
static size_t print_live_direction(struct line *l, unsigned d, uint64_t ns, char *text, size_t len)
{
	const struct direction_counters *t = l->traffic[d];
	uint64_t frames = counter_get(&t->frames_out), bytes = counter_get(&t->bytes_out);
	double mbit = (double)(bytes - l->live_bytes[d]) * 8e3 / (double)ns;
	int n;

	n = snprintf(text, len, "%s %.*f Mbit/s %.1f kf/s, queue %lluK, drops %llu",
		     direction_name(d), mbit < 10 ? 2 : 0, mbit,
		     (double)(frames - l->live_frames[d]) * 1e6 / (double)ns,
		     (unsigned long long)(counter_get(&t->queue_bytes) >> 10),
		     (unsigned long long)dropped(t));
	l->live_frames[d] = frames;
	l->live_bytes[d] = bytes;
	return (size_t)n < len ? (size_t)n : len - 1;
}

/* One line on the terminal that is written over itself. */
void line_print_live(struct line *l)
{
	uint64_t now = clock_ns(), ns = now - (l->live_ns ? l->live_ns : l->started_ns);
	struct winsize size = {0};
	char text[256];
	size_t n;

	n = print_live_direction(l, AB, ns, text, sizeof(text) - 8);
	memcpy(text + n, " | ", 4);
	n += 3;
	print_live_direction(l, BA, ns, text + n, sizeof(text) - n);
	l->live_ns = now;
	ioctl(STDERR_FILENO, TIOCGWINSZ, &size);
	fprintf(stderr, "\r\033[K%.*s", size.ws_col > 1 ? size.ws_col - 1 : 79, text);
	fflush(stderr);
}

/* Takes the live line away, for what is printed after it. */
void line_end_live(const struct line *l)
{
	if (l->live_ns)
		fprintf(stderr, "\r\033[K");
}
