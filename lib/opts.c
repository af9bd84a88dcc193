// SPDX-License-Identifier: GPL-3.0-or-later
/* opts.c - one table gives the command line, the configuration file, defaults and help */
#include "lib/opts.h"

#include "lib/units.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#define OPTS_MAX 96 /* options a table may have; a limit for the stack, checked */

/* Reads yes or no, also spelt true, false, on and off. Returns 0 or -EINVAL with a text. */
int opts_bool(const char *s, bool *v, struct err *e)
{
	if (!strcmp(s, "yes") || !strcmp(s, "true") || !strcmp(s, "on"))
		*v = true;
	else if (!strcmp(s, "no") || !strcmp(s, "false") || !strcmp(s, "off"))
		*v = false;
	else
		return err_set(e, EINVAL, "'%s' is neither yes nor no", s);
	return 0;
}

static int parse_choice(const struct opt *o, const char *s, int *v, struct err *e)
{
	char all[256] = "";
	int i;

	for (i = 0; o->choices[i]; i++) {
		if (!strcmp(o->choices[i], s)) {
			*v = i;
			return 0;
		}
		snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s", i ? ", " : "",
			 o->choices[i]);
	}
	return err_set(e, EINVAL, "'%s' is not one of: %s", s, all);
}

/* Writes one value into the target, by the option's type. */
static int assign(const struct opt *o, void *target, const char *value, struct err *e)
{
	void *field = (char *)target + o->offset;

	switch (o->type) {
	case OPT_FLAG:
	case OPT_BOOL: return opts_bool(value, field, e);
	case OPT_STRING:
		if (!*value)
			return err_set(e, EINVAL, "an empty value is not allowed");
		*(const char **)field = value;
		return 0;
	case OPT_COUNT: return units_count(value, o->min, o->max, field, e);
	case OPT_TIME: return units_time(value, o->min, o->max, field, e);
	case OPT_RATE: return units_rate(value, o->min, o->max, field, e);
	case OPT_SIZE: return units_size(value, o->min, o->max, field, e);
	case OPT_CHOICE: return parse_choice(o, value, field, e);
	case OPT_CALL: return o->call(target, value, e);
	case OPT_HEADING: break;
	}
	return err_set(e, EINVAL, "not an option");
}

/* An option's key in files and documents: --storm-limit on the command line is storm_limit there.
 */
void opts_key(const struct opt *o, char key[OPTS_KEY_MAX])
{
	char *at;

	snprintf(key, OPTS_KEY_MAX, "%s", o->name);
	for (at = key; (at = strchr(at, '-')); at++)
		*at = '_';
}

/*
 * Finds an option by its key in a file.
 * Returns NULL if there is none that may stand there.
 */
const struct opt *opts_find(const struct opt *table, const char *key)
{
	char own[OPTS_KEY_MAX];

	for (; table->name; table++) {
		opts_key(table, own);
		if (table->type != OPT_HEADING && !(table->flags & OPT_CLI_ONLY) &&
		    !strcmp(own, key))
			return table;
	}
	return NULL;
}

/*
 * Writes every default of a table into @target.
 * Returns 0, or -errno when a default cannot be read (a bug in the table).
 */
int opts_defaults(const struct opt *table, void *target, struct err *e)
{
	int ret;

	for (; table->name; table++) {
		if (!table->deflt || table->type == OPT_HEADING)
			continue;
		ret = assign(table, target, table->deflt, e);
		if (ret < 0)
			return err_wrap(e, ret, "default of --%s", table->name);
	}
	return 0;
}

/*
 * Gives one option a value, as its command line would. @value is kept where the option is a string.
 * Returns 0, or -errno with a text that begins with the option.
 */
int opts_value(const struct opt *o, void *target, const char *value, struct err *e)
{
	int ret = assign(o, target, value, e);

	return ret < 0 ? err_wrap(e, ret, "--%s", o->name) : 0;
}

/*
 * Sets one key, as a configuration file or a control request gives it.
 * @value: kept where the option is a string, so it must live as long as @target
 * Returns 0, -ENOENT (no such key) or what is wrong with the value.
 */
int opts_set(const struct opt *table, void *target, const char *key, const char *value,
	     struct err *e)
{
	const struct opt *o = opts_find(table, key);
	char all[384] = "", own[OPTS_KEY_MAX];

	if (o)
		return assign(o, target, value, e);
	for (o = table; o->name; o++) {
		opts_key(o, own);
		if (o->type != OPT_HEADING && !(o->flags & OPT_CLI_ONLY))
			snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s",
				 *all ? ", " : "", own);
	}
	return err_set(e, ENOENT, "unknown key '%s'; known here: %s", key, all);
}

/* Gives a short spelling its long name: getopt_long(3) knows no "-vb". */
static const struct opt *by_alias(const struct opt *table, const char *arg)
{
	for (; table->name; table++)
		if (table->alias && !strcmp(table->alias, arg))
			return table;
	return NULL;
}

static const struct opt *by_letter(const struct opt *table, int letter)
{
	for (; table->name; table++)
		if (table->letter == letter)
			return table;
	return NULL;
}

/* Fills getopt_long(3)'s tables. @longs has OPTS_MAX + 1 entries, @shorts 2 + 2 * OPTS_MAX. */
static void getopt_tables(const struct opt *table, struct option *longs, char *shorts)
{
	const struct opt *o;

	*shorts++ = ':'; /* a missing value is told from an unknown option */
	for (o = table; o->name; o++) {
		bool bare = o->type == OPT_FLAG;

		if (o->type == OPT_HEADING || o->flags & OPT_FILE_ONLY)
			continue;
		*longs++ = (struct option){o->name, bare ? no_argument : required_argument, NULL,
					   256 + (int)(o - table)};
		if (o->letter) {
			*shorts++ = o->letter;
			if (!bare)
				*shorts++ = ':';
		}
	}
	*longs = (struct option){0};
	*shorts = '\0';
}

/* argv with alias spellings replaced by long ones. A value may look like one: it is turned back. */
struct arguments {
	char **args;		  /* a copy of argv, its aliases pointing into longs */
	char longs[OPTS_MAX][64]; /* "--name" of each option that has an alias */
};

/* What stood in argv, or "--name" as given. */
static char *unexpand(const struct opt *table, const struct arguments *a, char *arg)
{
	size_t i;

	for (i = 0; table[i].name; i++)
		if (arg == a->longs[i])
			return (char *)table[i].alias;
	return arg;
}

/* Returns 0, -ENOMEM, or -E2BIG for a table that is too long. */
static int expand_aliases(const struct opt *table, int argc, char **argv, struct arguments *a)
{
	size_t n;
	int i;

	for (n = 0; table[n].name; n++) {
		if (n == OPTS_MAX)
			return -E2BIG;
		snprintf(a->longs[n], sizeof(a->longs[n]), "--%s", table[n].name);
	}
	a->args = calloc((size_t)argc + 1, sizeof(*a->args));
	if (!a->args)
		return -ENOMEM;
	for (i = 0; i < argc; i++) {
		const struct opt *o = i ? by_alias(table, argv[i]) : NULL;

		a->args[i] = o ? a->longs[o - table] : argv[i];
	}
	return 0;
}

/* Says what getopt_long(3) did not like: @c is what it returned, @arg where it stopped. */
static int refuse(int c, const char *arg, struct err *e)
{
	char letter[] = {'-', (char)optopt, '\0'};

	if (optopt && optopt < 256)
		arg = letter;
	if (c == ':')
		return err_set(e, EINVAL, "option '%s' needs a value", arg);
	if (optopt >= 256)
		return err_set(e, EINVAL, "option '%s' takes no value", arg);
	return err_set(e, EINVAL, "unknown option '%s'; see --help", arg);
}

/*
 * Reads a command line.
 * @argc, @argv: argv[0] is the command's name and skipped; arguments that are no options are
 *               moved to the end; the strings are kept by string options
 * @rest:        index of the first argument that is not an option
 *
 * An option given again replaces what it was; those with OPT_REPEAT add to it.
 * Returns 0 or -errno with a text that names option, value and what is allowed.
 */
int opts_parse(const struct opt *table, void *target, int argc, char **argv, int *rest,
	       struct err *e)
{
	struct option longs[OPTS_MAX + 1];
	char shorts[2 * OPTS_MAX + 2];
	const char *value;
	struct arguments a;
	const struct opt *o;
	int c, i, ret = expand_aliases(table, argc, argv, &a);

	if (ret)
		return err_set(e, -ret, "options of %s: %s", argv[0], strerror(-ret));
	getopt_tables(table, longs, shorts);
	opterr = 0;
	optind = 0; /* glibc: start anew, also its permutation */
	while (!ret && (c = getopt_long(argc, a.args, shorts, longs, NULL)) != -1) {
		if (c == ':' || c == '?') {
			ret = refuse(c, unexpand(table, &a, a.args[optind - 1]), e);
			break;
		}
		o = c >= 256 ? &table[c - 256] : by_letter(table, c);
		value = o->type == OPT_FLAG ? "yes" : unexpand(table, &a, optarg);
		ret = opts_value(o, target, value, e);
	}
	*rest = optind;
	/* getopt moves what is no option to the end: hand that order back. */
	for (i = 1; !ret && i < argc; i++)
		argv[i] = unexpand(table, &a, a.args[i]);
	free(a.args);
	return ret;
}

/* Columns of a UTF-8 text: bytes that do not continue a character. */
static int columns(const char *text, size_t len)
{
	int n = 0;

	for (; len; len--, text++)
		n += (*text & 0xc0) != 0x80;
	return n;
}

/* Prints words from column @indent on, none beyond @width. */
static void help_wrapped(FILE *out, const char *text, int indent, int width)
{
	int col = indent;

	for (text += strspn(text, " "); *text; text += strspn(text, " ")) {
		size_t word = strcspn(text, " ");
		int wide = columns(text, word);

		if (col > indent && col + 1 + wide > width) {
			fprintf(out, "\n%*s", indent, "");
			col = indent;
		} else if (col > indent) {
			fputc(' ', out);
			col++;
		}
		fprintf(out, "%.*s", (int)word, text);
		col += wide;
		text += word;
	}
	fputc('\n', out);
}

static void help_option(FILE *out, const struct opt *o)
{
	char head[96], text[1024];
	int n;

	snprintf(head, sizeof(head), "  %c%c%s--%s%s%s%s%s", o->letter ? '-' : ' ',
		 o->letter ? o->letter : ' ', o->letter ? ", " : "  ", o->name, o->arg ? " " : "",
		 o->arg ? o->arg : "", o->alias ? ", " : "", o->alias ? o->alias : "");
	snprintf(text, sizeof(text), "%s%s%s%s", o->help, o->deflt ? " [" : "",
		 o->deflt ? o->deflt : "", o->deflt ? "]" : "");
	n = columns(head, strlen(head));
	fprintf(out, "%s%*s", head, n > 26 ? 0 : 28 - n, "");
	if (n > 26)
		fprintf(out, "\n%28s", "");
	help_wrapped(out, text, 28, 96);
}

/* Prints a command's help: synopsis, what it does, each option with its default, examples. */
void opts_help(FILE *out, const struct opt *table, const struct opts_usage *usage)
{
	fprintf(out, "usage: longhaul %s %s\n\n%s\n", usage->command, usage->synopsis,
		usage->summary);
	for (; table->name; table++) {
		if (table->type == OPT_HEADING)
			fprintf(out, "\n%s\n", table->name);
		else if (!(table->flags & OPT_FILE_ONLY))
			help_option(out, table);
	}
	if (usage->examples)
		fprintf(out, "\nExamples\n%s", usage->examples);
}
