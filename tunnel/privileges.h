/* SPDX-License-Identifier: GPL-3.0-or-later */
/* privileges.h - what a running tunnel gives up */
#ifndef TUNNEL_PRIVILEGES_H
#define TUNNEL_PRIVILEGES_H

#include "lib/err.h"

#include <stdbool.h>

void privileges_protect_memory(void);
int privileges_drop(bool low_port, struct err *e);

#endif
