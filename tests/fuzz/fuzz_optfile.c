// SPDX-License-Identifier: GPL-3.0-or-later
/* fuzz_optfile.c - any bytes are a configuration or one error that names the place */
#include "lib/opts.h"

#include "tests/fuzz/must.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define THINGS_MAX 4

struct thing {
	const char *name;
	uint64_t size;
};

struct conf {
	const char *text;
	uint64_t count, time, rate;
	bool flag;
	int choice;
	unsigned calls;
	struct thing things[THINGS_MAX];
	unsigned n_things;
};

static int call(void *ctx, const char *value, struct err *e)
{
	struct conf *c = ctx;

	if (*value == '!')
		return err_set(e, EINVAL, "'%s' is refused", value);
	c->calls++;
	return 0;
}

static const char *const choices[] = {"red", "green", NULL};

#define CONF(f) .offset = offsetof(struct conf, f)

static const struct opt main_table[] = {
	{"text", .type = OPT_STRING, CONF(text)},
	{"count", .type = OPT_COUNT, CONF(count), .min = 1, .max = 100},
	{"some-time", .type = OPT_TIME, CONF(time), .max = UINT64_MAX},
	{"rate", .type = OPT_RATE, CONF(rate), .max = UINT64_MAX},
	{"flag", .type = OPT_FLAG, CONF(flag)},
	{"choice", .type = OPT_CHOICE, CONF(choice), .choices = choices},
	{"call", .type = OPT_CALL, .flags = OPT_REPEAT, .call = call},
	{0},
};

static const struct opt thing_table[] = {
	{"name", .type = OPT_STRING, .offset = offsetof(struct thing, name)},
	{"size", .type = OPT_SIZE, .offset = offsetof(struct thing, size), .max = UINT64_MAX},
	{0},
};

static void *open_main(void *ctx, const char *instance, struct err *e)
{
	must(!instance);
	return ctx;
}

static void *open_thing(void *ctx, const char *instance, struct err *e)
{
	struct conf *c = ctx;

	must(instance && *instance);
	if (c->n_things < THINGS_MAX)
		return &c->things[c->n_things++];
	err_set(e, E2BIG, "more than %d things", THINGS_MAX);
	return NULL;
}

static const struct opts_section sections[] = {
	{"main", false, main_table, open_main}, {"thing", true, thing_table, open_thing}, {0}};

static bool is_kept(const struct opts_strings *s, const char *text)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		if (s->at[i] == text)
			return true;
	return !text;
}

static void check_conf(const struct conf *c, const struct opts_strings *s)
{
	unsigned i;

	must(is_kept(s, c->text) && (!c->text || *c->text));
	must(c->count <= 100);
	must(c->choice >= 0 && c->choice < 2);
	for (i = 0; i < c->n_things; i++)
		must(is_kept(s, c->things[i].name));
}

/* "FILE:LINE: …", and the line is one of the file's. */
static void check_error(const char *text, const char *path, const uint8_t *data, size_t size)
{
	unsigned long line, lines = 1;
	size_t i;
	char *end;

	for (i = 0; i < size; i++)
		lines += data[i] == '\n';
	must(!strncmp(text, path, strlen(path)) && text[strlen(path)] == ':');
	line = strtoul(text + strlen(path) + 1, &end, 10);
	must(line >= 1 && line <= lines && end[0] == ':' && end[1] == ' ' && end[2]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	static char path[32];
	struct opts_strings strings = {0};
	struct conf c = {0};
	struct err e = {""};
	int ret;

	if (fd < 0) {
		fd = memfd_create("fuzz", MFD_CLOEXEC);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	must(!ftruncate(fd, 0) && pwrite(fd, data, size, 0) == (ssize_t)size);
	ret = opts_file(path, sections, &c, &strings, &e);
	check_conf(&c, &strings);
	if (ret)
		check_error(e.text, path, data, size);
	else
		must(!*e.text && !memchr(data, 0, size));
	opts_strings_free(&strings);
	return 0;
}
