/* SPDX-License-Identifier: GPL-3.0-or-later */
/* fragment.h - frames that came in pieces, put together again */
#ifndef TUNNEL_FRAGMENT_H
#define TUNNEL_FRAGMENT_H

#include "tunnel/proto.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What one peer may have us keep for it, in each of our workers: its sites
 * send a frame's fragments together, so more than a few incomplete frames mean
 * loss, and more than these mean harm.
 */
#define REASSEMBLY_FRAMES 256	    /* incomplete ones */
#define REASSEMBLY_BYTES  (1 << 20) /* of their total lengths */
#define REASSEMBLY_PIECES 32	    /* separate stretches of one frame that were received */

/* What is not complete by then has lost a fragment. All of a frame are of one class and leave in
 * one send, so what they differ in is far below this. */
#define REASSEMBLY_TIMEOUT_NS (2 * 1000000000ull)

/* A fragment that was opened, and all that its datagram's header says. */
struct fragment_arrival {
	uint32_t session, tag;
	uint8_t worker; /* the sender's */
	uint8_t flags;
	uint8_t ecn; /* codepoint of the outer packet, as in IP's header */
	struct fragment at;
	const uint8_t *data;
	uint32_t len; /* bytes at data, padding included */
};

enum fragment_verdict {
	FRAGMENT_HELD,	       /* more are needed */
	FRAGMENT_COMPLETE,     /* the frame is whole */
	FRAGMENT_MALFORMED,    /* total shorter than a frame can be, or bytes beyond it */
	FRAGMENT_DUPLICATE,    /* these bytes are there already */
	FRAGMENT_OVERLAP,      /* some of them are: the frame is given up (RFC 5722) */
	FRAGMENT_INCONSISTENT, /* another total, tag or flags: the frame is given up */
	FRAGMENT_NO_ROOM,      /* more stretches than are kept, or memory is short */
};

/* A frame that is whole. */
struct reassembled {
	uint8_t *data; /* stays until reassembly_release() */
	uint32_t len;
	uint8_t ecn; /* congestion was experienced if any fragment experienced it (RFC 3168 5.3) */
};

/* Incomplete frames that were given up on the way. */
struct reassembly_losses {
	uint32_t expired;
	uint32_t evicted; /* the oldest, for newer ones */
};

struct reassembly; /* of one peer, in one of our workers */

struct reassembly *reassembly_new(void);
void reassembly_free(struct reassembly *r);
enum fragment_verdict reassembly_add(struct reassembly *r, const struct fragment_arrival *a,
				     uint64_t now_ns, struct reassembled *whole,
				     struct reassembly_losses *lost);
uint32_t reassembly_expire(struct reassembly *r, uint64_t now_ns);
void reassembly_release(struct reassembly *r);
size_t reassembly_frames(const struct reassembly *r);
size_t reassembly_bytes(const struct reassembly *r);

#endif
