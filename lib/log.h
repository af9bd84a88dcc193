/* SPDX-License-Identifier: GPL-3.0-or-later */
/* log.h - messages to standard error, one line each */
#ifndef LIB_LOG_H
#define LIB_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Keeps one message from being repeated more often than interval_ns. */
struct log_limit {
	uint64_t interval_ns;
	_Atomic uint64_t next_ns;    /* not before */
	_Atomic uint64_t suppressed; /* since it was last printed */
};

#define LOG_LIMIT(seconds)                             \
	{                                              \
		.interval_ns = (seconds)*1000000000ull \
	}

void log_setup(const char *name, enum log_level level);
void log_write(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool log_allowed(struct log_limit *limit, uint64_t *suppressed);

#define log_error(...)	 log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)	 log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)	 log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
