/* SPDX-License-Identifier: GPL-3.0-or-later */
/* crowd.h - how many connections a host is opening at a time; pure */
#ifndef ACCEL_CROWD_H
#define ACCEL_CROWD_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Connections of one source that wait for their server, and that wait for
 * their client's ACK although the server has accepted. The second takes a LAN's
 * round trip, unless nobody is there.
 */
#define CROWD_OPENING	1024 /* by MAC; half of it by address */
#define CROWD_ACCEPTING 128  /* likewise */

#define CROWD_SLOTS 4096

enum crowd_phase { CROWD_NONE, CROWD_IS_OPENING, CROWD_IS_ACCEPTING, CROWD_PHASES };

/* Zeroed is empty. Threads may count at the same time; a look and the count after it are not one
 * step, so each may let one too many in. */
struct crowd {
	_Atomic uint16_t by_mac[CROWD_PHASES][CROWD_SLOTS];
	_Atomic uint16_t by_address[CROWD_PHASES][CROWD_SLOTS];
};

bool crowd_has_room(const struct crowd *c, const uint8_t mac[6], const uint8_t address[16]);
void crowd_move(struct crowd *c, const uint8_t mac[6], const uint8_t address[16],
		enum crowd_phase from, enum crowd_phase to);

#endif
