/* SPDX-License-Identifier: GPL-3.0-or-later */
/* opts.h - one table gives the command line, the configuration file, defaults and help */
#ifndef LIB_OPTS_H
#define LIB_OPTS_H

#include "lib/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define OPTS_KEY_MAX 64 /* bytes of a key with its ending 0 */

enum opt_type {
	OPT_FLAG,   /* bool; on the command line without a value, in a file yes or no */
	OPT_BOOL,   /* bool; yes or no */
	OPT_STRING, /* const char *; the string given is kept, not copied */
	OPT_COUNT,  /* uint64_t; min…max */
	OPT_TIME,   /* uint64_t nanoseconds; min…max */
	OPT_RATE,   /* uint64_t bits a second; min…max */
	OPT_SIZE,   /* uint64_t bytes; min…max */
	OPT_CHOICE, /* int; index into choices */
	OPT_CALL,   /* call() reads the value itself, and copies what it keeps */
	OPT_HEADING /* help only: a heading between options */
};

/* Where an option may stand. Default: command line and file. */
#define OPT_CLI_ONLY  1
#define OPT_FILE_ONLY 2
#define OPT_REPEAT    4 /* may be given more than once in a section; each adds to the others */

struct opt {
	const char *name;  /* --name on the command line, name = in the file; NULL ends a table */
	char letter;	   /* -x; 0: none */
	const char *alias; /* another spelling such as "-vb"; NULL: none */
	enum opt_type type;
	unsigned flags;
	const char *arg;   /* what the value is called in help */
	const char *deflt; /* default, parsed like a given value; NULL: field as it was */
	const char *help;
	size_t offset; /* of the field in the target structure */
	uint64_t min, max;
	const char *const *choices;				     /* NULL-terminated */
	int (*call)(void *target, const char *value, struct err *e); /* 0 or -errno */
};

/* What a command says of itself in its help. */
struct opts_usage {
	const char *command;  /* "tunnel" */
	const char *synopsis; /* arguments behind "longhaul tunnel " */
	const char *summary;  /* one or more paragraphs */
	const char *examples; /* NULL: none */
};

/* One section of a configuration file: "[tunnel]", or "[port IF]" where named. */
struct opts_section {
	const char *name; /* NULL ends a table */
	bool named;
	const struct opt *table;
	/* Gives the structure that the section's keys are written to; NULL: failed, @e says why. */
	void *(*open)(void *ctx, const char *instance, struct err *e);
};

/* Strings that a configuration file gave; its targets point to them. Zeroed before first use. */
struct opts_strings {
	char **at;
	size_t n;
};

int opts_defaults(const struct opt *table, void *target, struct err *e);
int opts_parse(const struct opt *table, void *target, int argc, char **argv, int *rest,
	       struct err *e);
int opts_bool(const char *s, bool *v, struct err *e);
int opts_value(const struct opt *o, void *target, const char *value, struct err *e);
int opts_set(const struct opt *table, void *target, const char *key, const char *value,
	     struct err *e);
void opts_key(const struct opt *o, char key[OPTS_KEY_MAX]);
const struct opt *opts_find(const struct opt *table, const char *key);
int opts_file(const char *path, const struct opts_section *sections, void *ctx,
	      struct opts_strings *strings, struct err *e);
void opts_strings_free(struct opts_strings *s);
void opts_help(FILE *out, const struct opt *table, const struct opts_usage *usage);

#endif
