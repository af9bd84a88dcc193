// SPDX-License-Identifier: GPL-3.0-or-later
/* demand.c - how many streams the next second may need, by how many the last ones did. Pure */
/*
 * A stream takes some round trips and a handshake to make, and a flow does not
 * wait long for one. So as many are kept ready as the number of
 * flows has grown by within a second, the one that goes on or the last. Flows
 * that come and go need none: the stream of one serves the next.
 */
#include "accel/demand.h"

#include "lib/clock.h"

/* Round trips that a stream may take: to be asked for where only the peer can call (½), TCP (1),
 * TLS (1), its HELLO (½), and as much again for what is lost and for a processor. */
#define TRIPS 6

/* How long a flow waits for a stream, nanoseconds. @rtt_ns: to the peer; 0: not known */
uint64_t demand_patience(uint64_t rtt_ns)
{
	uint64_t ns = TRIPS * rtt_ns;

	if (ns < DEMAND_PATIENCE_MIN)
		return DEMAND_PATIENCE_MIN;
	return ns > DEMAND_PATIENCE_MAX ? DEMAND_PATIENCE_MAX : ns;
}

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
