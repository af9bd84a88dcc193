/* SPDX-License-Identifier: GPL-3.0-or-later */
/* line_conf.h - what `longhaul shape` was told: command line and configuration file */
#ifndef SHAPER_LINE_CONF_H
#define SHAPER_LINE_CONF_H

#include "lib/err.h"
#include "lib/opts.h"
#include "shaper/settings.h"

#include <stdbool.h>
#include <stdint.h>

#define LINE_WITHOUT_VNET_HDR 1
#define LINE_WITHOUT_RING     2

struct line_conf {
	const char *interfaces[2]; /* frames from the first to the second are direction ab */
	const char *name;	   /* of the instance; "" until line_conf_load() is done */
	const char *config;	   /* file */
	const char *preset;
	const char *words[DIRECTIONS]; /* of --ab, --ba */
	const char *log;	       /* file of the frame log; NULL: none */
	uint64_t seed;
	bool seeded;	      /* it was asked for */
	int spin;	      /* enum spin */
	bool realtime;	      /* pumps get real-time priority */
	uint64_t buffer;      /* bytes for the frames of each direction; 0: as the delay needs */
	uint64_t duration_ns; /* 0: until it is stopped */
	unsigned without;     /* LINE_WITHOUT_… */
	bool json, quiet, verbose;
	struct settings both;		      /* as given for both directions */
	struct settings settings[DIRECTIONS]; /* what counts in the end */
	struct settings asked[DIRECTIONS];    /* of them, what was not a preset's */
	struct settings file[DIRECTIONS];     /* of [direction ab], [direction ba] */
	struct opts_strings strings;
	char own_name[64];
};

int line_conf_load(struct line_conf *c, int argc, char **argv, struct err *e);
void line_conf_release(struct line_conf *c);
void line_conf_help(void);

/* A change, as `shape set` and its request have it. */
struct line_change {
	struct settings asked[DIRECTIONS];
};

int line_change_parse(struct line_change *ch, int argc, char **argv, int *rest, struct err *e);
void line_change_release(struct line_change *ch);
void line_change_help(void);

#endif
