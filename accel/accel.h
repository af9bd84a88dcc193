/* SPDX-License-Identifier: GPL-3.0-or-later */
/* accel.h - split TCP: what the tunnel tells it, and what it asks of the tunnel */
#ifndef ACCEL_ACCEL_H
#define ACCEL_ACCEL_H

#include "lib/err.h"
#include "lib/filter.h"
#include "lib/packet.h"

#include <jansson.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

#define ACCEL_TAGS_MAX	64
#define ACCEL_PEERS_MAX 64

struct accel;
struct batch;

/* Where a MAC is: a peer's index, or one of these. */
enum { ACCEL_LOCAL = -1, ACCEL_NOWHERE = -2 };

/* Why a connection of an accelerated tag is not accelerated. */
#define ACCEL_REASONS(X)                                                                 \
	X(filter, "the tag's accel filter does not match")                               \
	X(bypass, "the tag's bypass filter matches")                                     \
	X(secret, "signed (TCP-MD5, TCP-AO), or its options cannot be read")             \
	X(unusual, "IP options, stacked VLAN tags or a SYN longer than usual")           \
	X(no_peer, "the server's MAC is not known behind a peer")                        \
	X(not_agreed, "the peer does not accelerate this tag")                           \
	X(no_stream, "no stream to the peer was free in time")                           \
	X(far_side, "the far side does not know the hosts as we do, or is short")        \
	X(crossing, "both ends open at the same time")                                   \
	X(unanswered, "the server's answer did not come by the far side: another path?") \
	X(crowd, "its host is opening too many connections at a time")                   \
	X(memory, "all that connections may have waiting is granted (accel-memory)")     \
	X(limit, "more connections than are remembered or relayed at once")              \
	X(stack, "the stack's TAP or socket could not be made")                          \
	X(confirmed, "found in the middle; the peer knows it as bridged")

enum accel_reason {
#define X(name, text) ACCEL_REASON_##name,
	ACCEL_REASONS(X)
#undef X
		ACCEL_REASON_COUNT
};

/* A tag's settings. */
struct accel_tag {
	uint32_t number; /* as on the wire */
	bool on;
	const struct filter *accel;  /* NULL: all */
	const struct filter *bypass; /* NULL: none */
	uint8_t stripes;	     /* streams that a flow may have at most, 1…8 */
	bool stripes_auto;	     /* as many of them as bring something */
};

/* What an instance is told; stays as it is. */
struct accel_conf {
	const char *name;		       /* of the instance */
	const char *state;		       /* directory of the journal */
	struct accel_tag tags[ACCEL_TAGS_MAX]; /* by index */
	unsigned n_tags, n_peers, n_workers;
	unsigned n_relay_threads; /* at least 1 */
	unsigned without;	  /* STACK_WITHOUT_… */
	uint64_t memory;	  /* bytes that the windows of all flows may be, together; 0: by the
				     machine's */
	uint64_t outage_ns;	  /* silence is waited out this long */
	const char *congestion;	  /* of streams; NULL: BBR where the kernel has it */
	uint64_t rate_bps[ACCEL_PEERS_MAX]; /* what the path to a peer may carry; 0: not known */
	bool warm[ACCEL_PEERS_MAX];	    /* a stream to a peer is grown ahead of need */
};

/* What accel asks of the tunnel. Called on accel's threads, which are registered with liburcu, by
 * several at the same time. */
struct accel_host {
	void *ctx;
	/* Where a MAC of a tag (index) and VLAN is. */
	int (*place)(void *ctx, unsigned tag, uint16_t vid, const uint8_t mac[6]);
	/* Whether a tag is granted to a peer and accelerated by both sides. */
	bool (*agreed)(void *ctx, unsigned tag, unsigned peer);
	/* Whether it is known what a peer accelerates. */
	bool (*connected)(void *ctx, unsigned peer);
	/* Sends a frame to where its destination is: a border port, or a peer. It is copied. */
	void (*send)(void *ctx, unsigned tag, const struct frame *f);
	/* Please open so many more streams to a peer. */
	void (*open_streams)(void *ctx, unsigned peer, unsigned n);
	/* There is a queue to read for a worker: accel_tap_receive(). By one thread at a time. */
	void (*add_queue)(void *ctx, unsigned worker, unsigned tap, int fd);
	/* Run on the first thread once it has set up what needs privileges. Returns 0 or -errno. */
	int (*drop_privileges)(void *ctx, struct err *e);
	const char *(*peer_name)(void *ctx, unsigned peer);
	/* Streams to a peer that has a rate sent so much lately, on the wire. Returns what they
	 * may. By one thread. */
	uint64_t (*share)(void *ctx, unsigned peer, uint64_t sent_bps);
	/* When a peer was last heard by whatever way, on the monotonic clock. */
	uint64_t (*heard_ns)(void *ctx, unsigned peer);
};

/* What is to be done with a frame. */
enum accel_verdict {
	ACCEL_BRIDGE, /* as if we were not there */
	ACCEL_TAKEN,  /* nothing */
	ACCEL_ANSWER, /* it is an answer now: send it to where it came from */
};

struct accel *accel_new(const struct accel_conf *conf, const struct accel_host *host,
			struct err *e);
int accel_start(struct accel *a, struct err *e);
void accel_stop(struct accel *a);
void accel_free(struct accel *a);

/* Workers, in a read-side critical section. */
enum accel_verdict accel_from_port(struct accel *a, unsigned worker, unsigned tag, struct frame *f,
				   const struct packet *p, uint32_t now_ms);
enum accel_verdict accel_from_peer(struct accel *a, unsigned tag, unsigned peer, struct frame *f,
				   const struct packet *p, uint32_t now_ms);
unsigned accel_tap_receive(struct accel *a, unsigned worker, unsigned tap, struct batch *b);
bool accel_from_tap(struct accel *a, unsigned tap, struct frame *f, unsigned *tag);
void accel_moved(struct accel *a, unsigned tag, uint16_t vid, const uint8_t mac[6]);

/* Any thread. */
void accel_add_stream(struct accel *a, unsigned peer, int fd, SSL *ssl, bool we_called,
		      bool we_open);
void accel_path_changed(struct accel *a, unsigned peer);
void accel_prepare_stream(const struct accel *a, int fd);
void accel_peer_changed(struct accel *a);
json_t *accel_status(struct accel *a, bool flows);

#endif
