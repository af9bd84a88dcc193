// SPDX-License-Identifier: GPL-3.0-or-later
/* optfile.c - configuration files (INI, read by inih) into the structures of an option table */
/*
 * Theory of operation
 *
 * inih calls back for each key; three things it does not do are done while its
 * lines are fetched in read_line(). It tells neither the line's number nor a
 * section without keys, and it cuts a section's name at 49 bytes: so sections
 * are entered here, and inih's idea of them is not looked at. It takes an
 * indented line as more of the value above, which turns a key that somebody
 * indented into a part of its neighbour: so indentation is removed, and a
 * value goes on only behind a line that ends in a backslash. And it knows
 * lines up to 200 bytes; longer values are written in that way.
 *
 * A key is set when the next one, the next section or the end of the file
 * shows that its value is complete.
 */
#include "lib/opts.h"

#include <ctype.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

#define SEEN_MAX 1024 /* keys of a file that are remembered, to find one given twice */
#define LINE_MAX 256  /* more than inih's longest line */

struct reader {
	FILE *file;
	const char *path;
	const struct opts_section *sections, *section;
	void *ctx;
	void *target;		/* of the section being read */
	char current[LINE_MAX]; /* its name as written */
	int line;
	bool joined; /* the line just read goes on with the value before it */
	bool open;   /* …and the next one will go on with this one's */
	char key[LINE_MAX];
	char *value; /* of the key being read; NULL: none */
	int key_line;
	char *seen[SEEN_MAX]; /* "section\nkey" already met */
	size_t n_seen;
	struct opts_strings *strings;
	int ret;
	struct err *e;
};

/* Hands a malloc()ed string over to @s. Returns false when memory is short: it is freed then. */
static bool keep(struct opts_strings *s, char *string)
{
	char **at = realloc(s->at, (s->n + 1) * sizeof(*at));

	if (!at) {
		free(string);
		return false;
	}
	s->at = at;
	s->at[s->n++] = string;
	return true;
}

/* Frees the strings of a configuration that is not used any more. */
void opts_strings_free(struct opts_strings *s)
{
	while (s->n)
		free(s->at[--s->n]);
	free(s->at);
	s->at = NULL;
}

static bool seen_before(struct reader *r)
{
	char *mark;
	size_t i;

	if (asprintf(&mark, "%s\n%s", r->current, r->key) < 0)
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

static bool repeats(const struct opts_section *s, const char *key)
{
	const struct opt *o = opts_find(s->table, key);

	return !o || o->flags & OPT_REPEAT; /* unknown keys have their own message */
}

/* Sets the key whose value is now complete, if there is one. */
static void finish_key(struct reader *r)
{
	char *value = r->value;

	if (!value)
		return;
	r->value = NULL;
	if (!keep(r->strings, value)) {
		r->ret = err_set(r->e, ENOMEM, "out of memory");
		return;
	}
	if (seen_before(r) && !repeats(r->section, r->key))
		r->ret = err_set(r->e, EEXIST, "given twice");
	else
		r->ret = opts_set(r->section->table, r->target, r->key, value, r->e);
	if (r->ret < 0)
		err_wrap(r->e, r->ret, "%s:%d: [%s] %s = %s", r->path, r->key_line, r->current,
			 r->key, value);
}

/* Splits "port eth1" and finds its section; makes r->target. */
static int open_section(struct reader *r, const char *name)
{
	const struct opts_section *s;
	size_t n = strcspn(name, " \t");
	const char *instance = name + n + strspn(name + n, " \t");
	char all[256] = "";

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

/* Cuts white space at the end. Returns the new length. */
static size_t trim(char *s)
{
	size_t n = strlen(s);

	while (n && isspace((unsigned char)s[n - 1]))
		n--;
	s[n] = '\0';
	return n;
}

/* Reads "[port eth1]", brackets and all. A line without its ']' is left to inih to refuse. */
static void enter_section(struct reader *r, const char *line)
{
	const char *end = strchr(line, ']'), *rest;

	if (!end)
		return;
	finish_key(r);
	if (r->ret < 0)
		return;
	line += 1 + strspn(line + 1, " \t");
	snprintf(r->current, sizeof(r->current), "%.*s", end > line ? (int)(end - line) : 0, line);
	trim(r->current);
	rest = end + 1 + strspn(end + 1, " \t\r\n");
	if (*rest && !strchr(";#", *rest))
		r->ret = err_set(r->e, EINVAL, "a key stands on a line of its own, not behind ']'");
	else
		r->ret = open_section(r, r->current);
	if (r->ret < 0)
		err_wrap(r->e, r->ret, "%s:%d: [%s]", r->path, r->line, r->current);
}

/* fgets(3) that refuses what a text file does not hold. Returns false at the end or an error. */
static bool fetch(struct reader *r, char *buf, int size)
{
	int n = 0, c = 0;

	while (n < size - 1 && c != '\n' && (c = getc(r->file)) != EOF) {
		if (!c) {
			r->ret = err_set(r->e, EINVAL, "%s:%d: a byte of zero: not a text file",
					 r->path, r->line + 1);
			return false;
		}
		buf[n++] = (char)c;
	}
	buf[n] = '\0';
	if (ferror(r->file)) {
		r->ret = err_set(r->e, errno, "%s: %s", r->path, strerror(errno));
		return false;
	}
	r->line += n > 0;
	if (n == size - 1 && c != '\n') {
		r->ret = err_set(r->e, EINVAL,
				 "%s:%d: line is longer than %d characters; end it with \\ and go "
				 "on in the next",
				 r->path, r->line, size - 2);
		return false;
	}
	return n > 0;
}

/* inih's fgets(): see above. */
static char *read_line(char *buf, int size, void *stream)
{
	static const char bom[] = "\xef\xbb\xbf";
	struct reader *r = stream;
	char *text = buf + 1;
	size_t n;

	/* A space in front tells inih that the line goes on with the value before it. */
	if (r->ret < 0 || !fetch(r, text, size - 1))
		return NULL;
	if (r->line == 1 && !strncmp(text, bom, strlen(bom)))
		text += strlen(bom);
	text += strspn(text, " \t");
	r->joined = r->open;
	r->open = false;
	if (!strchr(";#[", *text) || r->joined) {
		n = trim(text);
		r->open = n && text[n - 1] == '\\';
		if (r->open)
			text[n - 1] = '\0';
	}
	if (*text == '[' && !r->joined)
		enter_section(r, text);
	buf[0] = ' ';
	memmove(buf + r->joined, text, strlen(text) + 1);
	return r->ret < 0 ? NULL : buf;
}

/* Adds a line to the value being read. */
static int append(struct reader *r, const char *more)
{
	char *joined;

	if (asprintf(&joined, "%s%s%s", r->value, *r->value ? " " : "", more) < 0)
		return err_set(r->e, ENOMEM, "out of memory");
	free(r->value);
	r->value = joined;
	return 0;
}

/* inih's callback, one line at a time. Returns 1 to go on, 0 after an error. */
static int on_key(void *user, const char *section, const char *key, const char *value)
{
	struct reader *r = user;

	if (r->ret < 0)
		return 0;
	if (r->joined && r->value) {
		r->ret = append(r, value);
		return r->ret == 0;
	}
	finish_key(r);
	if (r->ret < 0)
		return 0;
	if (!r->section) {
		r->ret = err_set(r->e, EINVAL, "%s:%d: %s = %s: stands before the first [section]",
				 r->path, r->line, key, value);
		return 0;
	}
	snprintf(r->key, sizeof(r->key), "%s", key);
	r->key_line = r->line;
	if (strstr(value, " #")) {
		r->ret = err_set(r->e, EINVAL,
				 "%s:%d: [%s] %s = %s: a comment behind a value begins with ';'",
				 r->path, r->line, section, key, value);
		return 0;
	}
	r->value = strdup(value);
	if (!r->value)
		r->ret = err_set(r->e, ENOMEM, "out of memory");
	return r->ret == 0;
}

/*
 * Reads a configuration file.
 * @sections: what it may hold
 * @ctx:      handed to each section's open()
 * @strings:  gets the values, which string options point to; to be freed with
 *            opts_strings_free() after them, also when this fails
 *
 * Returns 0, or -errno with a text that quotes file, line, section, key and value.
 */
int opts_file(const char *path, const struct opts_section *sections, void *ctx,
	      struct opts_strings *strings, struct err *e)
{
	struct reader r = {
		.path = path, .sections = sections, .ctx = ctx, .strings = strings, .e = e};
	int bad;

	r.file = fopen(path, "re");
	if (!r.file)
		return err_set(e, errno, "%s: %s", path, strerror(errno));
	bad = ini_parse_stream(read_line, &r, on_key, &r);
	fclose(r.file);
	if (!r.ret && !bad)
		finish_key(&r);
	free(r.value);
	while (r.n_seen)
		free(r.seen[--r.n_seen]);
	if (r.ret < 0)
		return r.ret;
	if (bad)
		return err_set(e, EINVAL, "%s:%d: neither [section], key = value nor ; comment",
			       path, bad < 0 ? r.line : bad);
	return 0;
}
