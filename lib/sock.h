/* SPDX-License-Identifier: GPL-3.0-or-later */
/* sock.h - what every socket of the data path is set up with and asked for */
#ifndef LIB_SOCK_H
#define LIB_SOCK_H

#include "lib/err.h"

#include <stdint.h>

/* What a burst at line rate needs to wait in: raw and packet sockets know no backpressure. */
#define SOCK_BUFFER (16 << 20)

int sock_set(int fd, int level, int name, int value);
void sock_large_buffers(int fd);
void sock_keepalive(int fd, int idle_s, int interval_s);
int sock_bind_device(int fd, const char *ifname);
uint64_t sock_overruns(int fd);
int sock_check_congestion(const char *name, struct err *e);

#endif
