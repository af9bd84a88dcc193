// SPDX-License-Identifier: GPL-3.0-or-later
/* spec.c - what the models' settings have in common: lists of probabilities, files of numbers */
#include "shaper/spec.h"

#include "lib/units.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * Takes "a,b,c" apart at its commas.
 * @usage: how it should be written, for the failure's text
 * @max:   most values there may be, ≤ SPEC_VALUES_MAX
 *
 * Returns 0 or -EINVAL, with text in @e.
 */
int spec_split(const char *text, const char *usage, unsigned max, struct spec_values *v,
	       struct err *e)
{
	const char *at = text;
	size_t n;

	for (v->n = 0;; at += n + 1) {
		n = strcspn(at, ",");
		if (v->n == max)
			return err_set(e, EINVAL, "'%s' has more than %u value%s; write it as %s",
				       text, max, max == 1 ? "" : "s", usage);
		if (n == 0)
			return err_set(e, EINVAL, "'%s' lacks a value; write it as %s", text,
				       usage);
		if (n >= SPEC_TOKEN_MAX)
			return err_set(e, EINVAL, "'%.*s…' is too long; write it as %s",
				       SPEC_TOKEN_MAX - 1, at, usage);
		memcpy(v->text[v->n], at, n);
		v->text[v->n++][n] = '\0';
		if (!at[n])
			return 0;
	}
}

/* Reads the probability called @name. Returns 0, or -errno with text that names it in @e. */
int spec_probability(const char *text, const char *name, double *p, struct err *e)
{
	int ret = units_probability(text, p, e);

	return ret ? err_wrap(e, ret, "%s", name) : 0;
}

/*
 * Reads a correlation, from 0 to below 1: at 1 nothing would ever change again.
 * Returns 0, or -errno with text in @e.
 */
int spec_correlation(const char *text, double *c, struct err *e)
{
	double v;
	int ret = spec_probability(text, "CORRELATION", &v, e);

	if (ret)
		return ret;
	if (v >= 1)
		return err_set(e, ERANGE,
			       "CORRELATION: '%s' would never let anything change; it must be "
			       "below 1 (100%%)",
			       text);
	*c = v;
	return 0;
}

static int tokens(FILE *f, const char *path, spec_token_fn fn, void *arg, struct err *e)
{
	char token[SPEC_TOKEN_MAX];
	unsigned line = 1;
	bool comment = false;
	size_t n = 0;
	int c, ret;

	do {
		c = getc(f);
		if (c == '#')
			comment = true;
		if (!comment && c != EOF && c != ',' && !isspace(c)) {
			if (n + 1 == sizeof(token) || !isprint(c))
				return err_set(e, EINVAL, "'%s' line %u: this is not a number",
					       path, line);
			token[n++] = (char)c;
			continue;
		}
		if (n) {
			token[n] = '\0';
			n = 0;
			ret = fn(arg, token, e);
			if (ret)
				return err_wrap(e, ret, "'%s' line %u", path, line);
		}
		if (c == '\n') {
			comment = false;
			line++;
		}
	} while (c != EOF);
	return ferror(f) ? err_set(e, errno, "cannot read '%s': %s", path, strerror(errno)) : 0;
}

/* Opens a file that has an end: a FIFO or a terminal would keep the caller waiting. */
static int open_file(const char *path, FILE **f, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), ret;
	struct stat st;

	*f = NULL;
	if (fd >= 0 && !fstat(fd, &st) && !S_ISREG(st.st_mode)) {
		ret = err_set(e, EINVAL, "cannot read '%s': it is not a regular file", path);
	} else {
		*f = fd < 0 ? NULL : fdopen(fd, "r");
		ret = *f ? 0 : err_set(e, errno, "cannot read '%s': %s", path, strerror(errno));
	}
	if (fd >= 0 && !*f)
		close(fd);
	return ret;
}

/*
 * Reads a file of numbers separated by white space or commas; # begins a comment.
 * @fn: called for each, in order; what it fails with ends the reading
 *
 * Returns 0, -EINVAL if it is no regular file, or -errno, with text that names file and line in
 * @e.
 */
int spec_file(const char *path, spec_token_fn fn, void *arg, struct err *e)
{
	FILE *f;
	int ret = open_file(path, &f, e);

	if (ret)
		return ret;
	ret = tokens(f, path, fn, arg, e);
	fclose(f);
	return ret;
}
