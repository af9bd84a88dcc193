// SPDX-License-Identifier: GPL-3.0-or-later
/* err.c - a failure's text, made where the thing and its value are known */
#include "lib/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/*
 * Sets the text of a failure.
 * @e:    filled in; NULL is allowed and ignored
 * @code: errno value, > 0
 * @fmt:  printf format: name the object, its value and the remedy
 *
 * Returns -code, so that `return err_set(…)` is the way to fail.
 */
int err_set(struct err *e, int code, const char *fmt, ...)
{
	va_list ap;

	if (e) {
		va_start(ap, fmt);
		vsnprintf(e->text, sizeof(e->text), fmt, ap);
		va_end(ap);
	}
	return -code;
}

/*
 * Puts a prefix before a failure's text: "port eth1: no such interface".
 * @e:   text of the inner failure, replaced
 * @ret: the inner failure's return value
 * @fmt: printf format of the prefix
 *
 * Returns @ret.
 */
int err_wrap(struct err *e, int ret, const char *fmt, ...)
{
	char inner[ERR_TEXT_MAX];
	va_list ap;
	int n;

	if (!e)
		return ret;
	memcpy(inner, e->text, sizeof(inner));
	va_start(ap, fmt);
	n = vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < sizeof(e->text))
		snprintf(e->text + n, sizeof(e->text) - (size_t)n, ": %s", inner);
	return ret;
}

/*
 * The exit status of a command that ended with @ret, 0 or -errno: 2 for usage and for what a person
 * mends in the configuration or on the host, 1 for what failed at run time.
 */
int err_exit_status(int ret)
{
	switch (-ret) {
	case 0: return 0;
	case EPERM:
	case ENOMEM:
	case EIO: return 1;
	default: return 2;
	}
}
