/* SPDX-License-Identifier: GPL-3.0-or-later */
/* session.h - keys in use: what we receive with, what we send with */
#ifndef TUNNEL_SESSION_H
#define TUNNEL_SESSION_H

#include "tunnel/aead.h"
#include "tunnel/proto.h"
#include "tunnel/replay.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <urcu.h>

struct peer;

#define SESSION_KEY_BYTES                                                      \
	(AEAD_KEY_LEN + AEAD_IV_LEN) /* exported for each direction and worker \
				      */

/* What one of the sender's workers seals with. The lock is held for a train of datagrams at a time.
 */
struct rx_key {
	pthread_mutex_t lock;
	struct aead *aead;
	uint8_t iv[AEAD_IV_LEN];
	struct replay *replay;
};

/* A session we receive under: its number is ours. Found by workers under RCU. */
struct rx_session {
	uint32_t id;
	unsigned peer; /* index */
	const struct aead_engine *engine;
	_Atomic bool partial; /* partial inner checksums were agreed */
	unsigned n_keys;      /* sender's workers */
	struct rx_key *keys;
	uint64_t erase_ns; /* 0: current; else when it is erased. Main thread */
	struct rcu_head rcu;
};

/* What one of our workers seals with; only that worker touches it. */
struct tx_key {
	struct aead *aead;
	uint8_t iv[AEAD_IV_LEN];
	_Atomic uint64_t counter; /* next one; others read it for status */
};

/* A session we send under: its number is the peer's. Found by workers under RCU. */
struct tx_session {
	uint32_t id;
	enum aead_cipher cipher;
	const struct aead_engine *engine;
	bool partial; /* the peer completes partial inner checksums */
	uint64_t born_ns;
	unsigned n_keys; /* our workers */
	struct tx_key *keys;
	_Atomic bool rekey_asked;
	struct rcu_head rcu;
};

#define SESSION_SLOTS 1024 /* a power of two; the low bits of a session's number */

/*
 * Old sessions kept for a peer. Each handshake takes several round trips, so
 * nothing is on the way any more under the oldest. Those of all peers, and the
 * ones in use, take three quarters of the slots.
 */
#define SESSION_LINGERING_MAX 11

/* Every session we receive under. Numbers are a random part over a slot's index. */
struct session_table {
	struct rx_session *slots[SESSION_SLOTS];
};

uint32_t session_choose_id(const struct session_table *t);
struct rx_session *rx_session_new(uint32_t id, unsigned peer, const struct aead_engine *engine,
				  enum aead_cipher cipher, const uint8_t (*keys)[SESSION_KEY_BYTES],
				  unsigned n_keys);
void session_install(struct session_table *t, struct rx_session *s);
void session_linger(struct session_table *t, struct rx_session *s, uint64_t erase_ns);
void session_remove(struct session_table *t, struct rx_session *s);
struct rx_session *session_find(struct session_table *t, uint32_t id);
struct tx_session *tx_session_new(uint32_t id, const struct aead_engine *engine,
				  enum aead_cipher cipher, const uint8_t (*keys)[SESSION_KEY_BYTES],
				  unsigned n_keys);
void tx_session_retire(struct tx_session *s);
void tx_session_free(struct tx_session *s);
void rx_session_free(struct rx_session *s);

#endif
