/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tap.h - TAP devices: made, read */
#ifndef LIB_TAP_H
#define LIB_TAP_H

#include "lib/batch.h"
#include "lib/err.h"

#include <stdbool.h>

int tap_open(const char *name, bool vnet, bool shared, struct err *e);
unsigned tap_receive(struct batch *b, int fd, bool vnet, struct batch_drops *drops);

#endif
