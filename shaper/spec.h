/* SPDX-License-Identifier: GPL-3.0-or-later */
/* spec.h - what the models' settings have in common: lists of probabilities, files of numbers */
#ifndef SHAPER_SPEC_H
#define SHAPER_SPEC_H

#include "lib/err.h"

#include <stddef.h>

#define SPEC_VALUES_MAX 5  /* values between commas */
#define SPEC_TOKEN_MAX	64 /* longest value, and longest number or range in a file, with its end */

/* "a,b,c" taken apart. */
struct spec_values {
	unsigned n;
	char text[SPEC_VALUES_MAX][SPEC_TOKEN_MAX];
};

/* Called for each token of a file. Returns 0, or -errno with text in @e. */
typedef int (*spec_token_fn)(void *arg, const char *token, struct err *e);

int spec_split(const char *text, const char *usage, unsigned max, struct spec_values *v,
	       struct err *e);
int spec_probability(const char *text, const char *name, double *p, struct err *e);
int spec_correlation(const char *text, double *c, struct err *e);
int spec_file(const char *path, spec_token_fn fn, void *arg, struct err *e);

#endif
