/* SPDX-License-Identifier: GPL-3.0-or-later */
/* preset.h - lines that have a name: options, and where their figures come from */
#ifndef SHAPER_PRESET_H
#define SHAPER_PRESET_H

#include "lib/err.h"

#include <stddef.h>

/* --preset NAME is the same as typing its options. */
struct preset {
	const char *name;
	const char *summary; /* one line */
	const char *source;  /* where the figures come from, and how others follow from them */
	const char *both;    /* options of both directions; NULL: none */
	const char *ab;	     /* options of a to b, which is down, to the subscriber; NULL: none */
	const char *ba;	     /* options of b to a, which is up, from the subscriber; NULL: none */
};

const struct preset *preset_find(const char *name, struct err *e);
const struct preset *preset_at(size_t i);

#endif
