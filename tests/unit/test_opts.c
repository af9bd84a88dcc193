// SPDX-License-Identifier: GPL-3.0-or-later
/* test_opts.c - one option table gives command line, keys, defaults and help */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/opts.h"

#include <stdlib.h>
#include <string.h>

#define ARGS_MAX 32

struct target {
	bool flag, other, yes;
	const char *name;
	uint64_t count, time, rate, size;
	int choice;
	char calls[64]; /* what call() was given, joined by + */
};

static int call(void *ctx, const char *value, struct err *e)
{
	struct target *t = ctx;
	size_t n = strlen(t->calls);

	if (!strcmp(value, "wrong"))
		return err_set(e, ERANGE, "'%s' is not right", value);
	snprintf(t->calls + n, sizeof(t->calls) - n, "%s%s", n ? "+" : "", value);
	return 0;
}

#define FIELD(f) .offset = offsetof(struct target, f)

static const char *const colours[] = {"red", "green", "blue", NULL};

static const struct opt table[] = {
	{"First", .type = OPT_HEADING},
	{"flag", 'f', .type = OPT_FLAG, FIELD(flag), .help = "a flag"},
	{"other", 'o', .type = OPT_FLAG, .flags = OPT_CLI_ONLY, FIELD(other), .help = "a flag"},
	{"yes", 0, .type = OPT_BOOL, .arg = "yes|no", .deflt = "yes", FIELD(yes), .help = "a bool"},
	{"name", 'n', .type = OPT_STRING, .arg = "NAME", .deflt = "none", FIELD(name),
	 .help = "a string"},
	{"Second", .type = OPT_HEADING},
	{"count", 'c', .type = OPT_COUNT, .arg = "N", .deflt = "5", FIELD(count), .min = 1,
	 .max = 10, .help = "a count"},
	{"time", 0, .type = OPT_TIME, .arg = "TIME", .deflt = "1.5s", FIELD(time),
	 .max = UINT64_MAX, .help = "a time"},
	{"rate", 0, .type = OPT_RATE, .arg = "RATE", .deflt = "10mbit", FIELD(rate),
	 .max = UINT64_MAX, .help = "a rate"},
	{"mem-size", 0, .type = OPT_SIZE, .arg = "SIZE", .deflt = "64K", FIELD(size),
	 .max = UINT64_MAX, .help = "a size"},
	{"colour", 0, .type = OPT_CHOICE, .arg = "COLOUR", .deflt = "green", FIELD(choice),
	 .choices = colours, .help = "a choice"},
	{"very-own", 'v', "-vb", OPT_CALL, OPT_REPEAT, "X", .call = call, .help = "a call"},
	{"file-key", .type = OPT_COUNT, .flags = OPT_FILE_ONLY, FIELD(count), .max = 99,
	 .help = "not on the command line"},
	{0},
};

static struct target t;
static struct err e;
static char *argv[ARGS_MAX + 1];
static char words[512];
static int argc, rest;

/* Splits at blanks: "cmd" is put in front. */
static void make_argv(const char *line)
{
	char *word, *save = NULL;

	argc = 0;
	argv[argc++] = (char *)"cmd";
	snprintf(words, sizeof(words), "%s", line);
	for (word = strtok_r(words, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		assert_true(argc < ARGS_MAX);
		argv[argc++] = word;
	}
	argv[argc] = NULL;
}

static int parse(const char *line)
{
	make_argv(line);
	memset(&t, 0, sizeof(t));
	e.text[0] = '\0';
	assert_int_equal(opts_defaults(table, &t, &e), 0);
	return opts_parse(table, &t, argc, argv, &rest, &e);
}

static void assert_parses(const char *line)
{
	if (parse(line))
		fail_msg("'%s' was refused: %s", line, e.text);
}

static void assert_refuses(const char *line, int ret, const char *text)
{
	assert_int_equal(parse(line), ret);
	assert_string_equal(e.text, text);
}

static void defaults_are_read_like_given_values(void **state)
{
	assert_parses("");
	assert_false(t.flag);
	assert_true(t.yes);
	assert_string_equal(t.name, "none");
	assert_int_equal(t.count, 5);
	assert_int_equal(t.time, 1500000000);
	assert_int_equal(t.rate, 10000000);
	assert_int_equal(t.size, 65536);
	assert_int_equal(t.choice, 1);
	assert_string_equal(t.calls, "");
	assert_int_equal(rest, 1);
}

static void a_default_that_cannot_be_read_is_told_with_its_option(void **state)
{
	static const struct opt broken[] = {
		{"depth", .type = OPT_COUNT, .deflt = "many", FIELD(count), .max = 9}, {0}};

	assert_int_equal(opts_defaults(broken, &t, &e), -EINVAL);
	assert_non_null(strstr(e.text, "default of --depth"));
	assert_non_null(strstr(e.text, "'many'"));
}

static void every_type_is_read_from_the_command_line(void **state)
{
	assert_parses("--flag --yes no --name x --count 7 --time 20ms --rate 1gbit --mem-size 2M "
		      "--colour blue --very-own a");
	assert_true(t.flag);
	assert_false(t.yes);
	assert_string_equal(t.name, "x");
	assert_int_equal(t.count, 7);
	assert_int_equal(t.time, 20000000);
	assert_int_equal(t.rate, 1000000000);
	assert_int_equal(t.size, 2097152);
	assert_int_equal(t.choice, 2);
	assert_string_equal(t.calls, "a");
}

static void values_follow_behind_a_blank_an_equals_sign_or_at_once(void **state)
{
	assert_parses("--count=7");
	assert_int_equal(t.count, 7);
	assert_parses("-c 8");
	assert_int_equal(t.count, 8);
	assert_parses("-c9");
	assert_int_equal(t.count, 9);
	assert_parses("--name=a=b");
	assert_string_equal(t.name, "a=b");
	assert_parses("-n --flag");
	assert_string_equal(t.name, "--flag");
}

static void short_flags_can_be_bundled(void **state)
{
	assert_parses("-foc3");
	assert_true(t.flag && t.other);
	assert_int_equal(t.count, 3);
	assert_parses("-of -c 4");
	assert_true(t.flag && t.other);
	assert_int_equal(t.count, 4);
}

static void an_alias_is_its_option_and_not_a_bundle(void **state)
{
	assert_parses("-vb a -v b --very-own c");
	assert_string_equal(t.calls, "a+b+c");
	assert_parses("-vbx");
	assert_string_equal(t.calls, "bx");
}

static void a_value_that_looks_like_an_alias_stays_a_value(void **state)
{
	assert_parses("-n -vb");
	assert_string_equal(t.name, "-vb");
	assert_parses("-f -- -vb");
	assert_int_equal(rest, argc - 1);
	assert_string_equal(argv[rest], "-vb");
}

static void an_option_given_again_replaces_or_adds(void **state)
{
	assert_parses("-c 1 -c 2 --count 3");
	assert_int_equal(t.count, 3);
	assert_parses("-f -f -n a -n b");
	assert_true(t.flag);
	assert_string_equal(t.name, "b");
	assert_parses("-v a -v b");
	assert_string_equal(t.calls, "a+b");
}

static void a_long_name_can_be_cut_short_where_it_is_clear(void **state)
{
	assert_parses("--col red --cou 2");
	assert_int_equal(t.choice, 0);
	assert_int_equal(t.count, 2);
	assert_int_equal(parse("--co red"), -EINVAL);
	assert_non_null(strstr(e.text, "'--co'"));
}

static void what_is_no_option_is_handed_back_in_order(void **state)
{
	assert_parses("one -c 2 two --flag three");
	assert_int_equal(rest, argc - 3);
	assert_string_equal(argv[rest], "one");
	assert_string_equal(argv[rest + 1], "two");
	assert_string_equal(argv[rest + 2], "three");
	assert_int_equal(t.count, 2);
	assert_true(t.flag);
	assert_parses("-f -- -c 3");
	assert_int_equal(rest, argc - 2);
	assert_int_equal(t.count, 5);
}

/* A command reads its line twice: to find the file, then to beat it. */
static void a_line_can_be_read_again(void **state)
{
	assert_parses("one -c 2 -vb x --flag two");
	memset(&t, 0, sizeof(t));
	assert_int_equal(opts_parse(table, &t, argc, argv, &rest, &e), 0);
	assert_int_equal(t.count, 2);
	assert_true(t.flag);
	assert_string_equal(t.calls, "x");
	assert_int_equal(rest, argc - 2);
	assert_string_equal(argv[rest], "one");
}

static void a_missing_value_names_its_option(void **state)
{
	assert_refuses("--count", -EINVAL, "option '--count' needs a value");
	assert_refuses("-f -c", -EINVAL, "option '-c' needs a value");
	assert_refuses("-fc", -EINVAL, "option '-c' needs a value");
	assert_refuses("-vb", -EINVAL, "option '-vb' needs a value");
}

static void a_flag_takes_no_value(void **state)
{
	assert_refuses("--flag=no", -EINVAL, "option '--flag=no' takes no value");
}

static void an_unknown_option_is_named(void **state)
{
	assert_refuses("--bogus", -EINVAL, "unknown option '--bogus'; see --help");
	assert_refuses("--bogus=3", -EINVAL, "unknown option '--bogus=3'; see --help");
	assert_refuses("-x", -EINVAL, "unknown option '-x'; see --help");
	assert_refuses("-fx", -EINVAL, "unknown option '-x'; see --help");
	assert_refuses("--file-key 3", -EINVAL, "unknown option '--file-key'; see --help");
}

static void a_wrong_value_names_option_value_and_what_is_allowed(void **state)
{
	assert_refuses("-c 11", -ERANGE, "--count: '11' is outside 1…10");
	assert_refuses("--count=x", -EINVAL, "--count: 'x' is not a whole number from 1 to 10");
	assert_refuses("--yes maybe", -EINVAL, "--yes: 'maybe' is neither yes nor no");
	assert_refuses("--colour pink", -EINVAL,
		       "--colour: 'pink' is not one of: red, green, blue");
	assert_refuses("--name=", -EINVAL, "--name: an empty value is not allowed");
	assert_refuses("--very-own wrong", -ERANGE, "--very-own: 'wrong' is not right");
	assert_int_equal(parse("--time 5"), -EINVAL);
	assert_non_null(strstr(e.text, "--time: '5' lacks its unit"));
	assert_int_equal(parse("--rate 5"), -EINVAL);
	assert_non_null(strstr(e.text, "--rate: '5' lacks its unit"));
	assert_int_equal(parse("--mem-size 5q"), -EINVAL);
	assert_non_null(strstr(e.text, "--mem-size: 'q' is no unit"));
}

static void the_first_error_ends_the_reading(void **state)
{
	assert_int_equal(parse("-c 2 --bogus -c 3"), -EINVAL);
	assert_int_equal(t.count, 2);
}

static void yes_and_no_have_three_spellings(void **state)
{
	static const char *const yes[] = {"yes", "true", "on"}, *const no[] = {"no", "false",
									       "off"};
	size_t i;

	for (i = 0; i < 3; i++) {
		t.yes = false;
		assert_int_equal(opts_set(table, &t, "yes", yes[i], &e), 0);
		assert_true(t.yes);
		assert_int_equal(opts_set(table, &t, "yes", no[i], &e), 0);
		assert_false(t.yes);
	}
}

static void a_key_is_the_long_name_with_underscores(void **state)
{
	memset(&t, 0, sizeof(t));
	assert_int_equal(opts_set(table, &t, "mem_size", "3K", &e), 0);
	assert_int_equal(t.size, 3072);
	assert_int_equal(opts_set(table, &t, "file_key", "42", &e), 0);
	assert_int_equal(t.count, 42);
	assert_int_equal(opts_set(table, &t, "flag", "yes", &e), 0);
	assert_true(t.flag);
	assert_ptr_equal(opts_find(table, "mem_size"), &table[9]);
	assert_null(opts_find(table, "mem-size"));
}

static void an_unknown_key_lists_the_known_ones(void **state)
{
	assert_int_equal(opts_set(table, &t, "bogus", "1", &e), -ENOENT);
	assert_string_equal(e.text,
			    "unknown key 'bogus'; known here: flag, yes, name, count, time, "
			    "rate, mem_size, colour, very_own, file_key");
	assert_int_equal(opts_set(table, &t, "other", "yes", &e), -ENOENT);
	assert_int_equal(opts_set(table, &t, "First", "1", &e), -ENOENT);
}

static void a_table_that_is_too_long_is_refused_and_not_overrun(void **state)
{
	struct opt *many = calloc(200, sizeof(*many));
	int i;

	assert_non_null(many);
	for (i = 0; i < 199; i++)
		many[i] = (struct opt){"many", .type = OPT_FLAG, FIELD(flag)};
	make_argv("--many");
	assert_int_equal(opts_parse(many, &t, argc, argv, &rest, &e), -E2BIG);
	free(many);
}

static char *help_of(const struct opt *of, const struct opts_usage *usage)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	opts_help(out, of, usage);
	fclose(out);
	return text;
}

/* The number of characters in the longest line of a UTF-8 text. */
static int widest(const char *text)
{
	int max = 0, n = 0;

	for (; *text; text++) {
		n = *text == '\n' ? 0 : n + ((*text & 0xc0) != 0x80);
		max = n > max ? n : max;
	}
	return max;
}

static const struct opts_usage usage = {
	.command = "cmd", .synopsis = "[options]", .summary = "Does it.", .examples = "  cmd -f\n"};

static void help_lists_each_option_with_its_default(void **state)
{
	static const char *const lines[] = {
		"usage: longhaul cmd [options]\n\nDoes it.\n",
		"\nFirst\n  -f, --flag                a flag\n",
		"\n  -n, --name NAME           a string [none]\n",
		"\nSecond\n  -c, --count N             a count [5]\n",
		"\n      --time TIME           a time [1.5s]\n",
		"\n      --mem-size SIZE       a size [64K]\n",
		"\n      --colour COLOUR       a choice [green]\n",
		"\n  -v, --very-own X, -vb     a call\n",
		"\nExamples\n  cmd -f\n",
	};
	char *text = help_of(table, &usage);
	size_t i;

	for (i = 0; i < sizeof(lines) / sizeof(*lines); i++)
		if (!strstr(text, lines[i]))
			fail_msg("help lacks:%s\nin:\n%s", lines[i], text);
	assert_null(strstr(text, "file-key"));
	free(text);
}

static void long_help_is_wrapped_at_96_columns(void **state)
{
	static const struct opt wordy[] = {
		{"plain", .type = OPT_FLAG,
		 .help = "words and words and words and words and words and words and words and words "
			 "and words and words and words and words and words and a-last-word"},
		{0},
	};
	char *text = help_of(wordy, &usage);

	assert_in_range(widest(text), 90, 96);
	assert_non_null(strstr(text, "a-last-word\n"));
	free(text);
}

/* Columns are characters: a line of umlauts is as wide as one of letters. */
static void help_in_any_language_is_wrapped_alike(void **state)
{
	static const struct opt wordy[] = {
		{"an-option-of-a-very-long-name", .type = OPT_STRING, .arg = "VALUE[,VALUE…]",
		 .deflt = "a-default",
		 .help = "ääää ööö üüüü … ääää ööö üüüü … ääää ööö üüüü … ääää ööö üüüü … ääää ööö "
			 "üüüü … ääää ööö üüüü … ääää ööö üüüü … the end"},
		{0},
	};
	char *text = help_of(wordy, &usage);

	assert_in_range(widest(text), 90, 96);
	assert_non_null(strstr(text, "the end [a-default]\n"));
	/* A long head stands alone, and its help begins in the column of the others. */
	assert_non_null(strstr(text, "--an-option-of-a-very-long-name VALUE[,VALUE…]\n"
				     "                            ääää"));
	free(text);
}

static void help_without_examples_ends_with_the_options(void **state)
{
	struct opts_usage bare = usage;
	char *text;

	bare.examples = NULL;
	text = help_of(table, &bare);
	assert_null(strstr(text, "Examples"));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_are_read_like_given_values),
		cmocka_unit_test(a_default_that_cannot_be_read_is_told_with_its_option),
		cmocka_unit_test(every_type_is_read_from_the_command_line),
		cmocka_unit_test(values_follow_behind_a_blank_an_equals_sign_or_at_once),
		cmocka_unit_test(short_flags_can_be_bundled),
		cmocka_unit_test(an_alias_is_its_option_and_not_a_bundle),
		cmocka_unit_test(a_value_that_looks_like_an_alias_stays_a_value),
		cmocka_unit_test(an_option_given_again_replaces_or_adds),
		cmocka_unit_test(a_long_name_can_be_cut_short_where_it_is_clear),
		cmocka_unit_test(what_is_no_option_is_handed_back_in_order),
		cmocka_unit_test(a_line_can_be_read_again),
		cmocka_unit_test(a_missing_value_names_its_option),
		cmocka_unit_test(a_flag_takes_no_value),
		cmocka_unit_test(an_unknown_option_is_named),
		cmocka_unit_test(a_wrong_value_names_option_value_and_what_is_allowed),
		cmocka_unit_test(the_first_error_ends_the_reading),
		cmocka_unit_test(yes_and_no_have_three_spellings),
		cmocka_unit_test(a_key_is_the_long_name_with_underscores),
		cmocka_unit_test(an_unknown_key_lists_the_known_ones),
		cmocka_unit_test(a_table_that_is_too_long_is_refused_and_not_overrun),
		cmocka_unit_test(help_lists_each_option_with_its_default),
		cmocka_unit_test(long_help_is_wrapped_at_96_columns),
		cmocka_unit_test(help_in_any_language_is_wrapped_alike),
		cmocka_unit_test(help_without_examples_ends_with_the_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
