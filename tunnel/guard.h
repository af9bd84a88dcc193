/* SPDX-License-Identifier: GPL-3.0-or-later */
/* guard.h - what keeps a bridge from harming its LANs: reflections, announcements, storms */
#ifndef TUNNEL_GUARD_H
#define TUNNEL_GUARD_H

#include "lib/bucket.h"
#include "lib/packet.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* A frame that comes back this long after we wrote it is no reflection any more. */
#define REFLECT_WINDOW_MS 1000

#define REFLECT_SLOTS 8192

/*
 * Remembers the frames lately written to ports, all of them in one: where two
 * ports stand on one LAN, what is written to one comes in by the other, and
 * would go round. Shared by workers without locks.
 */
struct reflect {
	_Atomic uint64_t slots[REFLECT_SLOTS]; /* 38 bits of a frame's hash, 6 of the port, 20 of
						  the time in ms */
};

/* A storm limit of one source and tag; shared by workers. */
struct storm {
	pthread_mutex_t lock;
	struct bucket bucket;
};

void reflect_note(struct reflect *r, unsigned port, const uint8_t *data, uint32_t len,
		  const struct packet *p, uint32_t now_ms);
int reflect_seen(struct reflect *r, const uint8_t *data, uint32_t len, const struct packet *p,
		 uint32_t now_ms);
bool guard_announces(const uint8_t *data, uint32_t len, const struct packet *p);
void storm_init(struct storm *s, uint64_t rate, uint64_t now_ns);
bool storm_allows(struct storm *s, uint32_t frames, uint64_t now_ns);

#endif
