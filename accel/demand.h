/* SPDX-License-Identifier: GPL-3.0-or-later */
/* demand.h - how many streams the next second may need, by how many the last ones did. Pure */
#ifndef ACCEL_DEMAND_H
#define ACCEL_DEMAND_H

#include <stdint.h>

/* Zeroed is: none has been needed yet. */
struct demand {
	uint64_t began_ns;    /* of the second that goes on */
	unsigned first, most; /* in use when it began, and most since */
	unsigned before;      /* how many more the second before needed */
};

/* How long a flow waits for a stream: what one takes to make, at least, and no longer than its
 * client bears between two SYNs (RFC 6298: 1 s, then 2 s). */
#define DEMAND_PATIENCE_MIN (1000 * 1000000ull)
#define DEMAND_PATIENCE_MAX (3000 * 1000000ull)

uint64_t demand_patience(uint64_t rtt_ns);
unsigned demand_ahead(struct demand *d, uint64_t now_ns, unsigned in_use);

#endif
