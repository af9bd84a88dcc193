// SPDX-License-Identifier: GPL-3.0-or-later
/* crowd.c - how many connections a host is opening at a time; pure */
/*
 * A flood of SYNs must not become a flood of OPENs, of connections at a server
 * and of streams. Each costs its source one of a limited number of places, by
 * MAC and by address, since either may be forged; what has no place is bridged,
 * as it would be without us.
 *
 * Counts are kept by hash: two sources of one slot share their places, which
 * is rare enough, and costs them acceleration at worst.
 */
#include "accel/crowd.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

static unsigned slot(const uint8_t *bytes, unsigned len)
{
	return (unsigned)(XXH3_64bits(bytes, len) % CROWD_SLOTS);
}

static bool fits(uint16_t by_mac, uint16_t by_address, unsigned most)
{
	return by_mac < most && by_address < most / 2;
}

/* Whether a source may open one more connection. @address: IPv4 as an IPv6 address */
bool crowd_has_room(const struct crowd *c, const uint8_t mac[6], const uint8_t address[16])
{
	unsigned m = slot(mac, 6), a = slot(address, 16);

	return fits(c->by_mac[CROWD_IS_OPENING][m], c->by_address[CROWD_IS_OPENING][a],
		    CROWD_OPENING) &&
	       fits(c->by_mac[CROWD_IS_ACCEPTING][m], c->by_address[CROWD_IS_ACCEPTING][a],
		    CROWD_ACCEPTING);
}

/* A connection of that source goes from one phase to another. */
void crowd_move(struct crowd *c, const uint8_t mac[6], const uint8_t address[16],
		enum crowd_phase from, enum crowd_phase to)
{
	unsigned m = slot(mac, 6), a = slot(address, 16);

	if (from == to)
		return;
	if (from != CROWD_NONE) {
		c->by_mac[from][m]--;
		c->by_address[from][a]--;
	}
	if (to != CROWD_NONE) {
		c->by_mac[to][m]++;
		c->by_address[to][a]++;
	}
}
