/* SPDX-License-Identifier: GPL-3.0-or-later */
/* notify.h - tell the service manager that we are ready (sd_notify(3)) */
#ifndef LIB_NOTIFY_H
#define LIB_NOTIFY_H

#include <stdint.h>

void notify_manager(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
uint64_t notify_watchdog_ns(void);

#endif
