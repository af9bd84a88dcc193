// SPDX-License-Identifier: GPL-3.0-or-later
/* demand.c - how many streams the next second may need, by how many the last ones did. Pure */
/*
 * A stream takes some round trips and a handshake to make, and a flow waits no
 * longer than a second for one. So as many are kept ready as the number of
 * flows has grown by within a second, the one that goes on or the last. Flows
 * that come and go need none: the stream of one serves the next.
 */
#include "accel/demand.h"

#include "lib/clock.h"

/* Returns how many to have ready beyond the usual, when so many are in use. */
unsigned demand_ahead(struct demand *d, uint64_t now_ns, unsigned in_use)
{
	unsigned grown;

	if (now_ns - d->began_ns >= NS_PER_S) {
		/* A second in which nobody asked needed none. */
		d->before = now_ns - d->began_ns < 2 * NS_PER_S ? d->most - d->first : 0;
		d->began_ns = now_ns;
		d->first = d->most = in_use;
	}
	if (in_use > d->most)
		d->most = in_use;
	grown = d->most - d->first;
	return grown > d->before ? grown : d->before;
}
