/* SPDX-License-Identifier: GPL-3.0-or-later */
/* units.h - numbers with their units, read and written */
#ifndef LIB_UNITS_H
#define LIB_UNITS_H

#include "lib/err.h"

#include <stddef.h>
#include <stdint.h>

int units_count(const char *s, uint64_t min, uint64_t max, uint64_t *v, struct err *e);
int units_time(const char *s, uint64_t min, uint64_t max, uint64_t *ns, struct err *e);
int units_rate(const char *s, uint64_t min, uint64_t max, uint64_t *bps, struct err *e);
int units_size(const char *s, uint64_t min, uint64_t max, uint64_t *bytes, struct err *e);
int units_probability(const char *s, double *p, struct err *e);

char *units_format_time(char *buf, size_t len, uint64_t ns);
char *units_format_rate(char *buf, size_t len, uint64_t bps);
char *units_format_size(char *buf, size_t len, uint64_t bytes);

#endif
