/* SPDX-License-Identifier: GPL-3.0-or-later */
/* optfile.c - configuration files (INI, read by inih) into the structures of an option table */
#include "lib/opts.h"

#include <ini.h>
#include <stdlib.h>
#include <string.h>

#define SEEN_MAX 1024 /* keys and sections a file may have */

/* inih tells neither the line nor repeated sections; the reader below sees each line go by. */
struct reader {
	FILE *file;
	const char *path;
	const struct opts_section *sections, *section;
	void *ctx;
	void *target;	      /* of the section being read */
	char current[128];    /* its name as written */
	char *seen[SEEN_MAX]; /* "section\nkey" already met, for keys given twice */
	size_t n_seen;
	int line;
	bool too_long; /* the line just read did not fit inih's buffer */
	int ret;
	struct err *e;
};

/* inih's fgets(): counts lines and notices one that is longer than its buffer. */
static char *read_line(char *buf, int size, void *stream)
{
	struct reader *r = stream;
	size_t n;

	if (r->ret < 0 || !fgets(buf, size, r->file))
		return NULL;
	r->line++;
	n = strlen(buf);
	if (n + 1 == (size_t)size && buf[n - 1] != '\n') {
		r->ret = err_set(r->e, EINVAL,
				 "%s:%d: line is longer than %d characters; continue it on "
				 "the next line, indented",
				 r->path, r->line, size - 2);
		return NULL;
	}
	return buf;
}

static bool seen_before(struct reader *r, const char *section, const char *key)
{
	char *mark;
	size_t i;

	if (asprintf(&mark, "%s\n%s", section, key) < 0)
		return false;
	for (i = 0; i < r->n_seen; i++) {
		if (!strcmp(r->seen[i], mark)) {
			free(mark);
			return true;
		}
	}
	if (r->n_seen < SEEN_MAX)
		r->seen[r->n_seen++] = mark;
	else
		free(mark);
	return false;
}

/* Splits "port eth1" and finds its section; makes r->target. */
static int enter_section(struct reader *r, const char *name)
{
	const struct opts_section *s;
	size_t n = strcspn(name, " \t");
	const char *instance = name + n + strspn(name + n, " \t");
	char all[256] = "";

	snprintf(r->current, sizeof(r->current), "%s", name);
	for (s = r->sections; s->name; s++) {
		snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s[%s%s]", *all ? ", " : "",
			 s->name, s->named ? " NAME" : "");
		if (strlen(s->name) == n && !strncmp(s->name, name, n))
			break;
	}
	if (!s->name)
		return err_set(r->e, EINVAL, "unknown section; known: %s", all);
	if (s->named && !*instance)
		return err_set(r->e, EINVAL, "the section needs a name: [%s NAME]", s->name);
	if (!s->named && *instance)
		return err_set(r->e, EINVAL, "the section takes no name: [%s]", s->name);
	r->section = s;
	r->target = s->open(r->ctx, s->named ? instance : NULL, r->e);
	return r->target ? 0 : -EINVAL;
}

static bool repeats(const struct opts_section *s, const char *key)
{
	const struct opt *o = opts_find(s->table, key);

	return !o || o->flags & OPT_REPEAT; /* unknown keys have their own message */
}

/* inih's callback, one key at a time. Returns 1 to go on, 0 after an error. */
static int on_key(void *user, const char *section, const char *key, const char *value)
{
	struct reader *r = user;
	char *kept;

	if (r->ret < 0)
		return 0;
	if (!r->section || strcmp(section, r->current)) {
		r->ret = enter_section(r, section);
		if (r->ret < 0) {
			err_wrap(r->e, r->ret, "%s:%d: [%s]", r->path, r->line, section);
			return 0;
		}
	}
	kept = strdup(value); /* configuration lives as long as the process */
	if (!kept)
		r->ret = err_set(r->e, ENOMEM, "out of memory");
	else if (seen_before(r, section, key) && !repeats(r->section, key))
		r->ret = err_set(r->e, EEXIST, "given twice");
	else
		r->ret = opts_set(r->section->table, r->target, key, kept, r->e);
	if (r->ret < 0)
		err_wrap(r->e, r->ret, "%s:%d: [%s] %s = %s", r->path, r->line, section, key,
			 value);
	return r->ret == 0;
}

/*
 * Reads a configuration file.
 * @sections: what it may hold
 * @ctx:      handed to each section's open()
 *
 * Returns 0, or -errno with a text that quotes file, line, section, key and value.
 */
int opts_file(const char *path, const struct opts_section *sections, void *ctx, struct err *e)
{
	struct reader r = {.path = path, .sections = sections, .ctx = ctx, .e = e};
	int bad;

	r.file = fopen(path, "re");
	if (!r.file)
		return err_set(e, errno, "%s: %s", path, strerror(errno));
	bad = ini_parse_stream(read_line, &r, on_key, &r);
	fclose(r.file);
	while (r.n_seen)
		free(r.seen[--r.n_seen]);
	if (r.ret < 0)
		return r.ret;
	if (bad)
		return err_set(e, EINVAL, "%s:%d: neither [section], key = value nor ; comment",
			       path, bad < 0 ? r.line : bad);
	return 0;
}
