// SPDX-License-Identifier: GPL-3.0-or-later
/* test_optfile.c - configuration files: what is read from them, and how errors point at a line */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/opts.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define THINGS_MAX 8

/* Two sections: [main], and [thing NAME]. */
struct thing {
	char name[80];
	uint64_t size;
	const char *text;
};

static struct {
	const char *text;
	uint64_t count;
	uint64_t time;
	bool flag;
	char calls[128]; /* values of call, joined by + */
	unsigned opened; /* how often [main] was */
	struct thing things[THINGS_MAX];
	unsigned n_things;
} conf;

static struct opts_strings strings;
static struct err e;
static char path[64];

static int call(void *ctx, const char *value, struct err *err)
{
	size_t n = strlen(conf.calls);

	snprintf(conf.calls + n, sizeof(conf.calls) - n, "%s%s", n ? "+" : "", value);
	return 0;
}

static const struct opt main_table[] = {
	{"text", .type = OPT_STRING, .offset = offsetof(__typeof__(conf), text)},
	{"count", .type = OPT_COUNT, .flags = OPT_FILE_ONLY,
	 .offset = offsetof(__typeof__(conf), count), .max = 100},
	{"some-time", .type = OPT_TIME, .offset = offsetof(__typeof__(conf), time),
	 .max = UINT64_MAX},
	{"flag", .type = OPT_FLAG, .offset = offsetof(__typeof__(conf), flag)},
	{"call", .type = OPT_CALL, .flags = OPT_REPEAT, .call = call},
	{"command", .type = OPT_FLAG, .flags = OPT_CLI_ONLY},
	{0},
};

static const struct opt thing_table[] = {
	{"size", .type = OPT_SIZE, .offset = offsetof(struct thing, size), .max = UINT64_MAX},
	{"text", .type = OPT_STRING, .offset = offsetof(struct thing, text)},
	{0},
};

static void *open_main(void *ctx, const char *instance, struct err *err)
{
	assert_null(instance);
	conf.opened++;
	return ctx;
}

static void *open_thing(void *ctx, const char *instance, struct err *err)
{
	struct thing *t = &conf.things[conf.n_things];

	if (!strcmp(instance, "bad")) {
		err_set(err, EINVAL, "no thing may be bad");
		return NULL;
	}
	assert_true(conf.n_things++ < THINGS_MAX);
	snprintf(t->name, sizeof(t->name), "%s", instance);
	return t;
}

static const struct opts_section sections[] = {
	{"main", false, main_table, open_main}, {"thing", true, thing_table, open_thing}, {0}};

/* Reads bytes as a file; the configuration of before is forgotten. */
static int read_bytes(const char *text, size_t len)
{
	int fd = memfd_create("test", MFD_CLOEXEC), ret;

	opts_strings_free(&strings);
	memset(&conf, 0, sizeof(conf));
	e.text[0] = '\0';
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), len);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ret = opts_file(path, sections, &conf, &strings, &e);
	close(fd);
	return ret;
}

static int read_text(const char *text)
{
	return read_bytes(text, strlen(text));
}

static void assert_reads(const char *text)
{
	if (read_text(text))
		fail_msg("'%s' was refused: %s", text, e.text);
}

/* @says: behind the file's name */
static void assert_refuses(const char *text, int ret, const char *says)
{
	char all[ERR_TEXT_MAX];

	assert_int_equal(read_text(text), ret);
	snprintf(all, sizeof(all), "%s:%s", path, says);
	assert_string_equal(e.text, all);
}

static int teardown(void **state)
{
	opts_strings_free(&strings);
	return 0;
}

static void keys_are_read_into_their_sections_structure(void **state)
{
	assert_reads("[main]\ntext = hello world\ncount=7\nsome_time = 60ms\nflag: yes\n"
		     "[thing one]\nsize = 4K\ntext = a\n[thing two]\nsize = 5K\n");
	assert_string_equal(conf.text, "hello world");
	assert_int_equal(conf.count, 7);
	assert_int_equal(conf.time, 60000000);
	assert_true(conf.flag);
	assert_int_equal(conf.n_things, 2);
	assert_string_equal(conf.things[0].name, "one");
	assert_int_equal(conf.things[0].size, 4096);
	assert_string_equal(conf.things[0].text, "a");
	assert_string_equal(conf.things[1].name, "two");
	assert_int_equal(conf.things[1].size, 5120);
	assert_null(conf.things[1].text);
}

static void comments_blank_lines_and_white_space_mean_nothing(void **state)
{
	assert_reads("; one\n# two\n\n  \t \n [ main ] ; three\n\t text\t=  a b \t\n   ; four\n  # "
		     "five\n"
		     "count = 3 ; six\n[thing  one ] # seven\n");
	assert_string_equal(conf.text, "a b");
	assert_int_equal(conf.count, 3);
	assert_string_equal(conf.things[0].name, "one");
}

static void an_indented_key_is_a_key_and_no_part_of_the_one_above(void **state)
{
	assert_reads("[main]\n  text = a\n  count = 3\n\tflag = yes\n");
	assert_string_equal(conf.text, "a");
	assert_int_equal(conf.count, 3);
	assert_true(conf.flag);
}

static void a_file_may_come_from_windows(void **state)
{
	assert_reads("\xef\xbb\xbf[main]\r\ntext = a\r\ncount = 3\r\n[thing one]\r\nsize = 1K\r\n");
	assert_string_equal(conf.text, "a");
	assert_int_equal(conf.count, 3);
	assert_string_equal(conf.things[0].name, "one");
	assert_int_equal(conf.things[0].size, 1024);
}

static void the_last_line_needs_no_end(void **state)
{
	assert_reads("[main]\ncount = 3");
	assert_int_equal(conf.count, 3);
	assert_reads("[thing one]");
	assert_int_equal(conf.n_things, 1);
}

static void an_empty_file_is_no_error(void **state)
{
	assert_reads("");
	assert_reads("\n\n; nothing here\n");
	assert_reads("\xef\xbb\xbf");
	assert_int_equal(conf.opened, 0);
}

static void a_section_without_keys_is_opened_too(void **state)
{
	assert_reads("[main]\n[thing one]\n[thing two]\n");
	assert_int_equal(conf.opened, 1);
	assert_int_equal(conf.n_things, 2);
}

static void each_section_is_opened_where_it_stands(void **state)
{
	assert_reads(
		"[main]\ncount = 1\n[thing one]\n[main]\nflag = yes\n[thing one]\n[thing one]\n");
	assert_int_equal(conf.opened, 2);
	assert_int_equal(conf.n_things, 3);
	assert_int_equal(conf.count, 1);
	assert_true(conf.flag);
}

static void a_sections_name_may_be_long(void **state)
{
	char text[160];
	char name[72];

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	snprintf(text, sizeof(text), "[thing %s]\nsize = 1K\n", name);
	assert_reads(text);
	assert_string_equal(conf.things[0].name, name);
	assert_int_equal(conf.things[0].size, 1024);
}

static void strings_outlive_the_reading(void **state)
{
	assert_reads("[main]\ntext = first\n[thing one]\ntext = second\n[main]\nflag = yes\n");
	assert_string_equal(conf.text, "first");
	assert_string_equal(conf.things[0].text, "second");
	assert_true(strings.n >= 2);
	opts_strings_free(&strings);
	assert_int_equal(strings.n, 0);
	opts_strings_free(&strings);
}

static void a_value_goes_on_behind_a_backslash(void **state)
{
	assert_reads("[main]\ntext = one \\\n  two \\\r\n three\ncount = \\\n 7\nflag = yes\n");
	assert_string_equal(conf.text, "one two three");
	assert_int_equal(conf.count, 7);
	assert_true(conf.flag);
	assert_reads("[main]\ntext = a \\\n[main]\\\ncount = 3\n");
	assert_string_equal(conf.text, "a [main] count = 3");
	assert_int_equal(conf.opened, 1);
	assert_reads("[main]\ntext = a \\");
	assert_string_equal(conf.text, "a");
}

static void a_comment_or_section_never_goes_on(void **state)
{
	assert_reads("[main]\ntext = a\n; comment \\\ncount = 3\n# comment \\\nflag = yes\n");
	assert_string_equal(conf.text, "a");
	assert_int_equal(conf.count, 3);
	assert_true(conf.flag);
}

static void an_error_behind_a_backslash_names_the_line_of_the_key(void **state)
{
	assert_refuses("[main]\n\ncount = 1 \\\n2\nflag = yes\n", -EINVAL,
		       "3: [main] count = 1 2: '1 2' is not a whole number from 0 to 100");
}

static void an_error_quotes_file_line_section_key_and_value(void **state)
{
	assert_refuses("[main]\n\n; x\ncount = 101\n[thing a]\n", -ERANGE,
		       "4: [main] count = 101: '101' is outside 0…100");
	assert_refuses("[thing a]\nsize = 5q\n", -EINVAL,
		       "2: [thing a] size = 5q: 'q' is no unit of a size; write it like 64K (K M G "
		       "T, powers of 1024)");
	assert_refuses("[main]\nflag = perhaps", -EINVAL,
		       "2: [main] flag = perhaps: 'perhaps' is neither yes nor no");
	assert_refuses("[main]\ntext =\n", -EINVAL,
		       "2: [main] text = : an empty value is not allowed");
}

static void an_unknown_key_lists_those_of_its_section(void **state)
{
	assert_refuses("[main]\nsize = 5\n", -ENOENT,
		       "2: [main] size = 5: unknown key 'size'; known here: text, count, "
		       "some_time, flag, call");
	assert_refuses(
		"[main]\nsome-time = 5s\n", -ENOENT,
		"2: [main] some-time = 5s: unknown key 'some-time'; known here: text, count, "
		"some_time, flag, call");
	assert_int_equal(read_text("[main]\ncommand = yes\n"), -ENOENT);
}

static void a_key_given_twice_is_refused_unless_it_repeats(void **state)
{
	assert_refuses("[main]\ncount = 1\nflag = yes\ncount = 1\n", -EEXIST,
		       "4: [main] count = 1: given twice");
	assert_refuses("[main]\ncount = 1\n[thing a]\n[main]\ncount = 2\n", -EEXIST,
		       "5: [main] count = 2: given twice");
	assert_reads("[main]\ncall = a\ncall = b\n[thing a]\nsize = 1\n[thing b]\nsize = 2\n");
	assert_string_equal(conf.calls, "a+b");
	assert_int_equal(conf.things[1].size, 2);
}

static void an_unknown_section_lists_the_known_ones(void **state)
{
	assert_refuses("[main]\n[bogus]\n", -EINVAL,
		       "2: [bogus]: unknown section; known: [main], [thing NAME]");
	assert_refuses("[mainly x]\ncount = 1\n", -EINVAL,
		       "1: [mainly x]: unknown section; known: [main], [thing NAME]");
	assert_refuses("[]\n", -EINVAL, "1: []: unknown section; known: [main], [thing NAME]");
}

static void a_section_takes_a_name_or_not(void **state)
{
	assert_refuses("[thing]\n", -EINVAL, "1: [thing]: the section needs a name: [thing NAME]");
	assert_refuses("\n[main x]\n", -EINVAL, "2: [main x]: the section takes no name: [main]");
}

static void what_a_section_refuses_is_told_with_its_line(void **state)
{
	assert_refuses("[main]\ncount = 1\n\n[thing bad]\nsize = x\n", -EINVAL,
		       "4: [thing bad]: no thing may be bad");
}

static void nothing_may_follow_a_section_on_its_line(void **state)
{
	assert_refuses("[main] count = 1\n", -EINVAL,
		       "1: [main]: a key stands on a line of its own, not behind ']'");
}

static void a_key_before_the_first_section_is_refused(void **state)
{
	assert_refuses("\ncount = 1\n[main]\n", -EINVAL,
		       "2: count = 1: stands before the first [section]");
}

static void a_line_that_is_none_of_the_kinds_is_refused(void **state)
{
	assert_refuses("[main]\ncount = 1\nnonsense\nflag = yes\n", -EINVAL,
		       "3: neither [section], key = value nor ; comment");
	assert_refuses("[main]\n[thing a\n", -EINVAL,
		       "2: neither [section], key = value nor ; comment");
}

/* "text = xxx…", @len characters without the newline. */
static int read_long_line(size_t len, const char *end)
{
	char text[600], line[500];

	memset(line, 'x', sizeof(line));
	memcpy(line, "text = ", 7);
	snprintf(text, sizeof(text), "[main]\n%.*s%sflag = yes\n", (int)len, line, end);
	return read_text(text);
}

static void a_line_that_is_too_long_is_refused_and_not_cut(void **state)
{
	size_t len;

	for (len = 150; !read_long_line(len, "\n"); len++) {
		assert_int_equal(strlen(conf.text), len - 7);
		assert_true(conf.flag);
	}
	assert_true(len > 190);
	assert_non_null(strstr(e.text, ":2: line is longer than "));
	assert_non_null(strstr(e.text, "characters; end it with \\ and go on in the next"));
	for (; len < 480; len++)
		assert_int_equal(read_long_line(len, "\n"), -EINVAL);
	/* …and the remedy works. */
	assert_int_equal(read_long_line(190, " \\\nyyy\n"), 0);
	assert_int_equal(strlen(conf.text), 190 - 7 + 4);
}

static void a_byte_of_zero_is_refused_wherever_it_stands(void **state)
{
	static const char text[] = "[main]\ntext = abc\ncount = 1\n";
	char bytes[sizeof(text)];
	size_t i;

	for (i = 0; i < sizeof(text) - 1; i++) {
		memcpy(bytes, text, sizeof(text));
		bytes[i] = '\0';
		assert_int_equal(read_bytes(bytes, sizeof(text) - 1), -EINVAL);
		assert_non_null(strstr(e.text, "a byte of zero"));
	}
}

static void a_file_that_cannot_be_read_is_named(void **state)
{
	assert_int_equal(opts_file("/nonexistent/x.conf", sections, &conf, &strings, &e), -ENOENT);
	assert_string_equal(e.text, "/nonexistent/x.conf: No such file or directory");
	assert_int_equal(opts_file("/proc/self", sections, &conf, &strings, &e), -EISDIR);
	assert_string_equal(e.text, "/proc/self: Is a directory");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_are_read_into_their_sections_structure),
		cmocka_unit_test(comments_blank_lines_and_white_space_mean_nothing),
		cmocka_unit_test(an_indented_key_is_a_key_and_no_part_of_the_one_above),
		cmocka_unit_test(a_file_may_come_from_windows),
		cmocka_unit_test(the_last_line_needs_no_end),
		cmocka_unit_test(an_empty_file_is_no_error),
		cmocka_unit_test(a_section_without_keys_is_opened_too),
		cmocka_unit_test(each_section_is_opened_where_it_stands),
		cmocka_unit_test(a_sections_name_may_be_long),
		cmocka_unit_test(strings_outlive_the_reading),
		cmocka_unit_test(a_value_goes_on_behind_a_backslash),
		cmocka_unit_test(a_comment_or_section_never_goes_on),
		cmocka_unit_test(an_error_behind_a_backslash_names_the_line_of_the_key),
		cmocka_unit_test(an_error_quotes_file_line_section_key_and_value),
		cmocka_unit_test(an_unknown_key_lists_those_of_its_section),
		cmocka_unit_test(a_key_given_twice_is_refused_unless_it_repeats),
		cmocka_unit_test(an_unknown_section_lists_the_known_ones),
		cmocka_unit_test(a_section_takes_a_name_or_not),
		cmocka_unit_test(what_a_section_refuses_is_told_with_its_line),
		cmocka_unit_test(nothing_may_follow_a_section_on_its_line),
		cmocka_unit_test(a_key_before_the_first_section_is_refused),
		cmocka_unit_test(a_line_that_is_none_of_the_kinds_is_refused),
		cmocka_unit_test(a_line_that_is_too_long_is_refused_and_not_cut),
		cmocka_unit_test(a_byte_of_zero_is_refused_wherever_it_stands),
		cmocka_unit_test(a_file_that_cannot_be_read_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, teardown);
}
