// SPDX-License-Identifier: GPL-3.0-or-later
/* queue_limit.c - a queue's limits as they are written: 250ms, 64K, 100frames */
#include "shaper/queue.h"

#include "lib/clock.h"
#include "lib/units.h"
#include "shaper/spec.h"

#include <string.h>

#define USAGE "250ms, 64K, 100frames, several of them with commas between, or unlimited"

#define NS_MAX	   (3600 * NS_PER_S) /* an hour */
#define BYTES_MAX  (1ull << 40)	     /* a tebibyte */
#define FRAMES_MAX 1000000000ull

#define KINDS 3 /* of limits: at most one each */

typedef int (*reader)(const char *s, uint64_t min, uint64_t max, uint64_t *v, struct err *e);

/* A kind of limit. */
struct kind {
	const char *name;
	size_t field; /* in struct queue_conf */
	reader read;
	uint64_t max; /* from 1 */
};

static const struct kind in_time = {
	"time",
	offsetof(struct queue_conf, limit_ns),
	units_time,
	NS_MAX,
};

static const struct kind in_bytes = {
	"bytes",
	offsetof(struct queue_conf, limit_bytes),
	units_size,
	BYTES_MAX,
};

static const struct kind in_frames = {
	"frames",
	offsetof(struct queue_conf, limit_frames),
	units_count,
	FRAMES_MAX,
};

/* How a value may end, and what it then is. 5m is missing: it would be minutes to some and
 * mebibytes to others. */
static const struct suffix {
	const char *text;
	const struct kind *kind;
	bool cut; /* the kind's reader does not know it */
} suffixes[] = {
	{"h", &in_time, false},	      {"s", &in_time, false},	   {"ms", &in_time, false},
	{"us", &in_time, false},      {"ns", &in_time, false},	   {"T", &in_bytes, false},
	{"G", &in_bytes, false},      {"M", &in_bytes, false},	   {"K", &in_bytes, false},
	{"k", &in_bytes, false},      {"bytes", &in_bytes, true},  {"byte", &in_bytes, true},
	{"frames", &in_frames, true}, {"frame", &in_frames, true}, {NULL, NULL, false},
};

static uint64_t *field(struct queue_conf *c, const struct kind *k)
{
	return (uint64_t *)((char *)c + k->field);
}

/* What a value's end makes of it; the table's end if nothing. */
static const struct suffix *find(const char *end)
{
	const struct suffix *s = suffixes;

	while (s->text && strcmp(s->text, end))
		s++;
	return s;
}

static int parse_one(char *text, struct queue_conf *c, struct err *e)
{
	size_t digits = strspn(text, "0123456789.");
	const struct suffix *s = find(text + digits);
	uint64_t v;
	int ret;

	if (!digits || !s->kind)
		return err_set(e, EINVAL, "'%s' is no limit of a queue; write it as " USAGE, text);
	if (*field(c, s->kind))
		return err_set(e, EINVAL,
			       "'%s' is a second limit in %s; give one of a kind, as " USAGE, text,
			       s->kind->name);
	if (s->cut)
		text[digits] = '\0';
	ret = s->kind->read(text, 1, s->kind->max, &v, e);
	if (ret)
		return err_wrap(e, ret, "a queue's limit in %s", s->kind->name);
	*field(c, s->kind) = v;
	return 0;
}

/*
 * Reads a queue's limits: 250ms, 64K (bytes), 1500bytes, 100frames, at most one
 * of a kind, with commas between; or unlimited.
 * @c: all three limits are replaced, the rest stays
 *
 * Returns 0; -EINVAL or -ERANGE with text in @e and @c as it was.
 */
int queue_parse_limit(const char *spec, struct queue_conf *c, struct err *e)
{
	struct queue_conf new = *c;
	struct spec_values v;
	unsigned i;
	int ret;

	new.limit_bytes = new.limit_frames = new.limit_ns = 0;
	if (strcmp(spec, "unlimited")) {
		ret = spec_split(spec, USAGE, KINDS, &v, e);
		for (i = 0; !ret && i < v.n; i++)
			ret = parse_one(v.text[i], &new, e);
		if (ret)
			return ret;
	}
	*c = new;
	return 0;
}
