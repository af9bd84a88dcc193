/* SPDX-License-Identifier: GPL-3.0-or-later */
/* limits.h - how much of the machine split TCP takes, by what there is of it */
#ifndef ACCEL_LIMITS_H
#define ACCEL_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

/* Flows relayed at once, and streams open at once, idle ones and those of peers too. */
struct limits {
	unsigned relays, streams;
};

#define LIMITS_RELAYS 16384

/* How many streams there were. Zeroed before first use. */
struct limits_tide {
	unsigned peak, before;
};

struct limits limits_by_descriptors(uint64_t descriptors, unsigned n_peers);
bool limits_crowd_gone(struct limits_tide *t, unsigned streams);
struct limits limits_get(unsigned n_peers);
uint64_t limits_memory_by(const char *tcp_mem, uint64_t page_bytes, uint64_t machine_bytes);
uint64_t limits_memory(void);

#endif
