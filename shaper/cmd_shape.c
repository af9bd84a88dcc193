// SPDX-License-Identifier: GPL-3.0-or-later
/* cmd_shape.c - `longhaul shape`, and its set, show and presets */
#include "shaper/cmd_shape.h"

#include "lib/ctlsock.h"
#include "lib/doc.h"
#include "lib/log.h"
#include "lib/tunables.h"
#include "shaper/line.h"
#include "shaper/preset.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ANSWER_TIMEOUT_MS 5000

struct show_options {
	bool json;
};

static const struct opt show_table[] = {
	{"json", 0, .type = OPT_FLAG, .offset = offsetof(struct show_options, json),
	 .help = "one JSON object (doc/status.md)"},
	{0},
};

static int fail(int ret, const struct err *e)
{
	if (ret)
		log_error("%s", e->text);
	return err_exit_status(ret);
}

/* Asks a line. @doc: a new reference if this returns 0. */
static int ask(const char *name, json_t *request, json_t **doc, struct err *e)
{
	const char *error;
	int ret = ctl_request(name, request, doc, ANSWER_TIMEOUT_MS, e);

	json_decref(request);
	if (ret)
		return ret;
	error = json_string_value(json_object_get(*doc, "error"));
	if (error)
		ret = err_set(e, EINVAL, "%s: %s", name, error);
	if (ret)
		json_decref(*doc);
	return ret;
}

static int show(int argc, char **argv)
{
	struct show_options o = {0};
	char name[CTL_NAME_MAX] = "";
	struct err e = {""};
	json_t *doc;
	int rest, ret;

	ret = opts_parse(show_table, &o, argc, argv, &rest, &e);
	if (!ret && rest + 1 < argc)
		ret = err_set(&e, EINVAL, "unexpected argument '%s'; see --help", argv[rest + 1]);
	if (!ret && rest < argc) {
		ret = ctl_check_name(argv[rest], &e);
		snprintf(name, sizeof(name), "%s", argv[rest]);
	} else if (!ret) {
		ret = ctl_only_instance(name, &e);
	}
	if (ret)
		return fail(ret, &e);
	ret = ask(name, json_pack("{s:i, s:s}", "version", 1, "cmd", "status"), &doc, &e);
	if (ret) {
		log_error("%s", e.text);
		return 1;
	}
	if (strcmp(doc_text(doc, "kind"), "line")) {
		err_set(&e, EINVAL, "%s is not a line; `longhaul status %s` shows it", name, name);
		json_decref(doc);
		return fail(-EINVAL, &e);
	}
	if (o.json) {
		json_dumpf(doc, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
		putchar('\n');
	} else {
		line_print(doc);
	}
	json_decref(doc);
	return fflush(stdout) ? 1 : 0;
}

/* The options go as they are: the line that runs knows what they mean to it. */
static int set(int argc, char **argv)
{
	struct line_change ch = {0};
	char here[PATH_MAX];
	json_t *args = json_array(), *doc;
	const char *name = argc > 1 ? argv[1] : NULL;
	struct err e = {""};
	int i, rest = 0, ret;

	if (!name || *name == '-')
		ret = err_set(&e, EINVAL, "which line? `longhaul shape set NAME --delay 100ms`");
	else
		ret = ctl_check_name(name, &e);
	for (i = 2; i < argc; i++)
		json_array_append_new(args, json_string(argv[i]));
	/* Mistakes are found here, before anybody is asked. */
	ret = ret ? ret : line_change_parse(&ch, argc - 1, argv + 1, &rest, &e);
	if (!ret && rest < argc - 1)
		ret = err_set(&e, EINVAL, "unexpected argument '%s'; see --help", argv[1 + rest]);
	if (!ret && argc < 3)
		ret = err_set(&e, EINVAL,
			      "what is to change? as in `longhaul shape set %s --delay "
			      "100ms`",
			      name);
	line_change_release(&ch);
	if (ret) {
		json_decref(args);
		return fail(ret, &e);
	}
	ret = ask(name,
		  json_pack("{s:i, s:s, s:o, s:s}", "version", 1, "cmd", "set", "args", args,
			    "directory", getcwd(here, sizeof(here)) ? here : "/"),
		  &doc, &e);
	if (!ret)
		json_decref(doc);
	return fail(ret == -ENOENT ? -EIO : ret,
		    &e); /* no such line: not a mistake in the options */
}

static int presets(int argc)
{
	const struct preset *p;
	struct err e;
	size_t i;

	if (argc > 1)
		return fail(err_set(&e, EINVAL, "presets takes no arguments"), &e);
	for (i = 0; (p = preset_at(i)); i++) {
		printf("%s\n    %s\n", p->name, p->summary);
		if (p->both)
			printf("    %s\n", p->both);
		if (p->ab)
			printf("    --ab '%s'\n", p->ab);
		if (p->ba)
			printf("    --ba '%s'\n", p->ba);
		printf("    Source: %s\n", p->source);
	}
	return fflush(stdout) ? 1 : 0;
}

static int run(int argc, char **argv)
{
	struct line_conf *c;
	char who[CTL_NAME_MAX + 32];
	struct err e = {""};
	int ret;

	tunables_copy_well(argv);
	c = calloc(1, sizeof(*c));
	if (!c)
		return 1;
	ret = line_conf_load(c, argc, argv, &e);
	if (!ret) {
		snprintf(who, sizeof(who), "longhaul shape %s", c->name);
		log_setup(who, c->verbose ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
		ret = line_run(c, &e);
	}
	line_conf_release(c);
	free(c);
	return fail(ret, &e);
}

static bool wants_help(int argc, char **argv)
{
	int i;

	for (i = 1; i < argc; i++)
		if (!strcmp(argv[i], "-h") || !strcmp(argv[i], "--help"))
			return true;
	return false;
}

/* Prints the help of `longhaul shape`. */
void shape_help(void)
{
	line_conf_help();
}

/* Runs `longhaul shape`. */
int cmd_shape(int argc, char **argv)
{
	const char *sub = argc > 1 ? argv[1] : "";

	log_setup("longhaul shape", LOG_LEVEL_INFO);
	if (!strcmp(sub, "set") && wants_help(argc, argv)) {
		line_change_help();
		return 0;
	}
	if (wants_help(argc, argv)) {
		line_conf_help();
		return 0;
	}
	if (!strcmp(sub, "set"))
		return set(argc - 1, argv + 1);
	if (!strcmp(sub, "show"))
		return show(argc - 1, argv + 1);
	if (!strcmp(sub, "presets"))
		return presets(argc - 1);
	return run(argc, argv);
}
