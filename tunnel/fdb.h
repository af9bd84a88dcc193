/* SPDX-License-Identifier: GPL-3.0-or-later */
/* fdb.h - the MAC table: which port or peer a MAC is behind */
#ifndef TUNNEL_FDB_H
#define TUNNEL_FDB_H

#include "tunnel/conf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A place a MAC can be: a border port or a peer of this tunnel. */
typedef uint16_t fdb_place;

#define FDB_NOWHERE    0xffff
#define FDB_PLACES     (PORTS_MAX + PEERS_MAX)
#define fdb_port(i)    ((fdb_place)(i))
#define fdb_peer(i)    ((fdb_place)(PORTS_MAX + (i)))
#define fdb_is_peer(p) ((p) >= PORTS_MAX)
#define fdb_index(p)   (fdb_is_peer(p) ? (p)-PORTS_MAX : (p))

/* After an announced move, late frames from the old place change nothing for this long. */
#define FDB_HOLD_DOWN_MS 2000

/*
 * An ordinary frame moves a MAC only if its old place has been silent for this
 * long. A migration stops the guest before it resumes it, so this costs
 * nothing; a frame that a loop brings back while its sender talks is told from
 * a move by it.
 */
#define FDB_ACTIVE_MS 200

/*
 * A host whose connections are accelerated is kept for so long: one that is
 * silent between nightly migrations must be known when the next one begins, or
 * that is bridged. Its own frames from elsewhere move it at once, as any.
 */
#define FDB_KEPT_MS (24 * 3600 * 1000u)

struct fdb_key {
	uint8_t mac[6];
	uint16_t vid; /* outermost VLAN identifier, 0: none */
	uint32_t tag;
};

enum fdb_verdict {
	FDB_SAME,     /* known to be here */
	FDB_NEW,      /* learnt */
	FDB_MOVED,    /* was elsewhere until now */
	FDB_LATE,     /* moved away just now: forward the frame, the table stays */
	FDB_CONFLICT, /* active elsewhere: a loop; drop the frame */
	FDB_FULL,     /* not learnt: too many behind this place */
};

/* One MAC, for listing. */
struct fdb_entry {
	struct fdb_key key;
	fdb_place place;
	uint32_t age_ms; /* since it was last heard */
	uint32_t moves;
};

struct fdb;

struct fdb *fdb_new(void);
void fdb_free(struct fdb *f);
enum fdb_verdict fdb_learn(struct fdb *f, const struct fdb_key *key, fdb_place place,
			   bool announced, uint64_t max_macs, uint32_t now_ms);
fdb_place fdb_lookup(struct fdb *f, const struct fdb_key *key);
fdb_place fdb_lookup_and_keep(struct fdb *f, const struct fdb_key *key);
void fdb_age(struct fdb *f, uint32_t max_age_ms, uint32_t now_ms);
void fdb_forget_place(struct fdb *f, fdb_place place);
size_t fdb_count(const struct fdb *f, fdb_place place);
void fdb_list(struct fdb *f, uint32_t now_ms, bool (*each)(void *ctx, const struct fdb_entry *e),
	      void *ctx);

#endif
