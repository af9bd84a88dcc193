/* SPDX-License-Identifier: GPL-3.0-or-later */
/* settings.h - what a direction was asked to do: texts by option, and what they mean */
#ifndef SHAPER_SETTINGS_H
#define SHAPER_SETTINGS_H

#include "lib/err.h"
#include "lib/opts.h"
#include "shaper/direction.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define SETTINGS_MAX 24 /* options of a direction */

/*
 * One direction's options as they were given, by place in settings_table; NULL:
 * not given. Texts are laid over one another (file, preset, command line, live
 * change) and only what comes out in the end is given a meaning.
 */
struct settings {
	char *text[SETTINGS_MAX];
};

/* What each option of a direction is, with its type, for help and meaning. */
extern const struct opt settings_table[];

size_t settings_count(void);
void settings_release(struct settings *s);
void settings_options(struct opt *to, size_t offset);
int settings_overlay(struct settings *s, const struct settings *over, struct err *e);
int settings_parse(struct settings *s, const char *words, struct err *e);
int settings_mean(const struct settings *s, const struct settings *asked,
		  const struct direction_conf *base, const char *what, struct direction_conf *c,
		  struct err *e);
void settings_meant(struct direction_conf *c);
json_t *settings_json(const struct settings *s);

#endif
