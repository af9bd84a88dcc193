/* SPDX-License-Identifier: GPL-3.0-or-later */
/* err.h - a failure's text, made where the thing and its value are known */
#ifndef LIB_ERR_H
#define LIB_ERR_H

#include <errno.h>

#define ERR_TEXT_MAX 512

/* Set-up code returns -errno and fills this in; whoever gave it prints it once. */
struct err {
	char text[ERR_TEXT_MAX];
};

int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int err_wrap(struct err *e, int ret, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int err_exit_status(int ret);

#endif
