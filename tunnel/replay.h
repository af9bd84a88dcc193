/* SPDX-License-Identifier: GPL-3.0-or-later */
/* replay.h - which counters of a sender have been seen: a sliding window, pure */
#ifndef TUNNEL_REPLAY_H
#define TUNNEL_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

/*
 * How far behind the newest counter a packet may come and still be accepted.
 * Copied DSCP values reorder by whole queues, which small windows would drop.
 */
#define REPLAY_WINDOW 65536

/* One sender's worker under one session. Zeroed is empty. */
struct replay {
	uint64_t highest;  /* counter accepted that is largest; 0 while received is 0 */
	uint64_t received; /* distinct counters accepted */
	uint64_t bits[REPLAY_WINDOW / 64 +
		      1]; /* ring; one word more, so that the window is whole at any highest */
};

bool replay_check(const struct replay *r, uint64_t counter);
bool replay_accept(struct replay *r, uint64_t counter);

#endif
