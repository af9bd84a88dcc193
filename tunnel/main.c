// SPDX-License-Identifier: GPL-3.0-or-later
/* main.c - the program: one table of commands */
#include "capture/commands.h"
#include "shaper/cmd_shape.h"
#include "tunnel/commands.h"
#include "tunnel/conf.h"

#include <stdio.h>
#include <string.h>

/* One command. */
struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	void (*help)(void);
	const char *summary;
	bool own_help; /* has commands of its own, which have helps of theirs */
};

static const struct command commands[] = {
	{"tunnel", cmd_tunnel, conf_help, "bridge this site's border ports with far sites", false},
	{"status", cmd_status, status_help, "show what a running instance does", false},
	{"keygen", cmd_keygen, keygen_help, "make this site's key and certificate", false},
	{"capture", cmd_capture, capture_help, "record frames of an interface, or inside a tunnel",
	 false},
	{"diagnose", cmd_diagnose, diagnose_help, "tell what limits the TCP flows of a capture",
	 false},
	{"shape", cmd_shape, shape_help,
	 "join two interfaces by a line of chosen delay, loss and rate", true},
};

#define N_COMMANDS (sizeof(commands) / sizeof(*commands))

static const struct command *find(const char *name)
{
	size_t i;

	for (i = 0; i < N_COMMANDS; i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

static void help(FILE *out)
{
	size_t i;

	fprintf(out,
		"usage: longhaul COMMAND [options]\n\n"
		"Bridges sites on layer 2 over long distances and makes TCP fast across them.\n\n");
	for (i = 0; i < N_COMMANDS; i++)
		fprintf(out, "  longhaul %-10s %s\n", commands[i].name, commands[i].summary);
	fprintf(out, "  longhaul help COMMAND, or longhaul COMMAND --help, teaches one of them\n"
		     "  longhaul --version\n");
}

static bool asks_for_help(int argc, char **argv)
{
	int i;

	for (i = 1; i < argc && strcmp(argv[i], "--"); i++)
		if (!strcmp(argv[i], "-h") || !strcmp(argv[i], "--help"))
			return true;
	return false;
}

int main(int argc, char **argv)
{
	const struct command *c;
	const char *name = argc > 1 ? argv[1] : NULL;

	if (!name) {
		help(stderr);
		return 2;
	}
	if (!strcmp(name, "--version")) {
		printf("longhaul %s\n", LONGHAUL_VERSION);
		return 0;
	}
	if (!strcmp(name, "help") || !strcmp(name, "-h") || !strcmp(name, "--help")) {
		c = argc > 2 ? find(argv[2]) : NULL;
		if (argc > 2 && !c) {
			fprintf(stderr, "longhaul: unknown command '%s'\n\n", argv[2]);
			help(stderr);
			return 2;
		}
		if (c)
			c->help();
		else
			help(stdout);
		return 0;
	}
	c = find(name);
	if (!c) {
		fprintf(stderr, "longhaul: unknown command '%s'\n\n", name);
		help(stderr);
		return 2;
	}
	if (!c->own_help && asks_for_help(argc - 1, argv + 1)) {
		c->help();
		return 0;
	}
	return c->run(argc - 1, argv + 1);
}
