// SPDX-License-Identifier: GPL-3.0-or-later
/* units.c - numbers with their units, read and written */
#include "lib/units.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct unit {
	const char *suffix;
	uint64_t factor;
};

/* Largest first: formatting takes the first that fits. */
static const struct unit times[] = {
	{"h", 3600000000000ull},
	{"m", 60000000000ull},
	{"s", 1000000000ull},
	{"ms", 1000000ull},
	{"us", 1000ull},
	{"ns", 1ull},
	{NULL, 0},
};

static const struct unit rates[] = {
	{"gbit", 1000000000ull}, {"mbit", 1000000ull}, {"kbit", 1000ull}, {"bit", 1ull}, {NULL, 0},
};

static const struct unit sizes[] = {
	{"T", 1ull << 40}, {"G", 1ull << 30}, {"M", 1ull << 20},
	{"K", 1ull << 10}, {"", 1ull},	      {NULL, 0},
};

/*
 * Splits "1.5ms" into 1.5 and "ms". Returns the suffix, or NULL if no number leads.
 * A long double holds every 64-bit number exactly where it has 64 bits or more
 * of mantissa (x86, and the 128-bit ones of Arm).
 */
static const char *number(const char *s, long double *v)
{
	char *end;

	if (!isdigit((unsigned char)*s) && *s != '.')
		return NULL; /* strtold would take signs, "inf", hexadecimal */
	if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X'))
		return NULL;
	*v = strtold(s, &end);
	return end == s ? NULL : end;
}

/* Finds a suffix; 64k and 100Mbit are as common as 64K and 100mbit. */
static const struct unit *find_unit(const struct unit *units, const char *suffix)
{
	for (; units->suffix; units++)
		if (!strcasecmp(units->suffix, suffix))
			return units;
	return NULL;
}

static void format(char *buf, size_t len, uint64_t v, const struct unit *units)
{
	for (; units[1].suffix; units++)
		if (v >= units->factor)
			break;
	if (v % units->factor == 0)
		snprintf(buf, len, "%llu%s", (unsigned long long)(v / units->factor),
			 units->suffix);
	else
		snprintf(buf, len, "%.6g%s", (double)v / (double)units->factor, units->suffix);
}

static int parse(const char *s, const struct unit *units, const char *what, const char *example,
		 uint64_t min, uint64_t max, uint64_t *out, struct err *e)
{
	const struct unit *u;
	const char *suffix;
	char lo[32], hi[32];
	long double v;

	suffix = number(s, &v);
	if (!suffix)
		return err_set(e, EINVAL, "'%s' is not a %s; write it like %s", s, what, example);
	u = find_unit(units, suffix);
	if (!u && !*suffix)
		return err_set(e, EINVAL, "'%s' lacks its unit; write it like %s", s, example);
	if (!u)
		return err_set(e, EINVAL, "'%s' is no unit of a %s; write it like %s", suffix, what,
			       example);
	v *= u->factor;
	if (v < min || v > max || v >= 0x1p64L) {
		format(lo, sizeof(lo), min, units);
		format(hi, sizeof(hi), max, units);
		return err_set(e, ERANGE, "'%s' is outside %s…%s", s, lo, hi);
	}
	*out = (uint64_t)roundl(v);
	return 0;
}

/*
 * Reads a plain count, decimal, from @min to @max inclusive.
 * Returns 0, -EINVAL (not a number) or -ERANGE, with text in @e.
 */
int units_count(const char *s, uint64_t min, uint64_t max, uint64_t *v, struct err *e)
{
	unsigned long long n;
	char *end;

	errno = 0;
	n = strtoull(s, &end, 10);
	if (!isdigit((unsigned char)*s) || *end)
		return err_set(e, EINVAL, "'%s' is not a whole number from %llu to %llu", s,
			       (unsigned long long)min, (unsigned long long)max);
	if (errno || n < min || n > max)
		return err_set(e, ERANGE, "'%s' is outside %llu…%llu", s, (unsigned long long)min,
			       (unsigned long long)max);
	*v = n;
	return 0;
}

/* Reads a time such as 60ms or 1.5s into nanoseconds; a bare 0 needs no unit. Errors as
 * units_count(). */
int units_time(const char *s, uint64_t min, uint64_t max, uint64_t *ns, struct err *e)
{
	if (!strcmp(s, "0"))
		s = "0ms";
	return parse(s, times, "time", "60ms (us ms s m h)", min, max, ns, e);
}

/* Reads a decimal rate such as 100mbit into bits a second. Errors as units_count(). */
int units_rate(const char *s, uint64_t min, uint64_t max, uint64_t *bps, struct err *e)
{
	return parse(s, rates, "rate", "100mbit (bit kbit mbit gbit)", min, max, bps, e);
}

/* Reads a binary size such as 64K into bytes; no suffix means bytes. Errors as units_count(). */
int units_size(const char *s, uint64_t min, uint64_t max, uint64_t *bytes, struct err *e)
{
	return parse(s, sizes, "size", "64K (K M G T, powers of 1024)", min, max, bytes, e);
}

/* Reads a probability, 0.1% or 0.001, into 0…1. Errors as units_count(). */
int units_probability(const char *s, double *p, struct err *e)
{
	const char *suffix;
	long double v;

	suffix = number(s, &v);
	if (!suffix || (*suffix && strcmp(suffix, "%")))
		return err_set(e, EINVAL, "'%s' is not a probability; write it like 0.1%% or 0.001",
			       s);
	if (*suffix)
		v /= 100;
	if (!(v >= 0 && v <= 1))
		return err_set(e, ERANGE, "'%s' is outside 0…1 (0%%…100%%)", s);
	*p = (double)v;
	return 0;
}

/* Writes nanoseconds with the largest fitting unit, such as 1.5s. Returns @buf. */
char *units_format_time(char *buf, size_t len, uint64_t ns)
{
	format(buf, len, ns, times);
	return buf;
}

/* Writes bits a second, such as 100mbit. Returns @buf. */
char *units_format_rate(char *buf, size_t len, uint64_t bps)
{
	format(buf, len, bps, rates);
	return buf;
}

/* Writes bytes with a binary suffix, such as 64K. Returns @buf. */
char *units_format_size(char *buf, size_t len, uint64_t bytes)
{
	format(buf, len, bytes, sizes);
	return buf;
}
