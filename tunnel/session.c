// SPDX-License-Identifier: GPL-3.0-or-later
/* session.c - keys in use: what we receive with, what we send with */
/*
 * Theory of operation
 *
 * A session is one handshake's keys in one direction. Its number is chosen by
 * the receiver, so that a datagram finds peer and keys with one look-up,
 * wherever it comes from. The main thread makes, installs and removes
 * sessions; workers find them under RCU and use them until they leave their
 * read-side section, so keys are wiped and freed a grace period after removal.
 *
 * A receiving key is used by whichever worker its datagrams arrive at: almost
 * always the same one, since sockets are steered by the sender's worker, so
 * its lock is free. A sending key belongs to one worker and has none.
 */
#include "tunnel/session.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

/*
 * Chooses a number for a session to be: unpredictable, its slot unused; 0 if
 * every slot is taken. Main thread.
 */
uint32_t session_choose_id(const struct session_table *t)
{
	unsigned i;
	uint32_t id;

	if (RAND_bytes((unsigned char *)&id, sizeof(id)) != 1)
		abort(); /* without randomness nothing here is safe */
	for (i = 0; i < SESSION_SLOTS; i++, id++)
		if (id && !t->slots[id % SESSION_SLOTS])
			return id;
	return 0;
}

/* Frees a session that no worker can see. Keys are wiped by the engine; NULL is allowed. */
void rx_session_free(struct rx_session *s)
{
	unsigned i;

	if (!s)
		return;
	for (i = 0; s->keys && i < s->n_keys; i++) {
		if (s->keys[i].aead)
			s->engine->destroy(s->keys[i].aead);
		OPENSSL_cleanse(s->keys[i].iv, AEAD_IV_LEN);
		free(s->keys[i].replay);
		pthread_mutex_destroy(&s->keys[i].lock);
	}
	free(s->keys);
	free(s);
}

/*
 * Makes a session to receive under; it is not installed yet.
 * @keys:   key and IV of each of the sender's workers
 * @n_keys: how many workers the sender has
 * Returns NULL when memory is short.
 */
struct rx_session *rx_session_new(uint32_t id, unsigned peer, const struct aead_engine *engine,
				  enum aead_cipher cipher, const uint8_t (*keys)[SESSION_KEY_BYTES],
				  unsigned n_keys)
{
	struct rx_session *s = calloc(1, sizeof(*s));
	unsigned i;

	if (!s)
		return NULL;
	*s = (struct rx_session){.id = id, .peer = peer, .engine = engine};
	s->keys = calloc(n_keys, sizeof(*s->keys));
	for (i = 0; s->keys && i < n_keys; i++) {
		struct rx_key *k = &s->keys[i];

		pthread_mutex_init(&k->lock, NULL);
		k->aead = engine->create(cipher, keys[i]);
		memcpy(k->iv, keys[i] + AEAD_KEY_LEN, AEAD_IV_LEN);
		k->replay = calloc(1, sizeof(*k->replay));
		s->n_keys++;
		if (!k->aead || !k->replay)
			break;
	}
	if (i == n_keys && s->keys)
		return s;
	rx_session_free(s);
	return NULL;
}

/* Lets workers find a session. Main thread. */
void session_install(struct session_table *t, struct rx_session *s)
{
	rcu_assign_pointer(t->slots[s->id % SESSION_SLOTS], s);
}

static void free_rx(struct rcu_head *head)
{
	rx_session_free(caa_container_of(head, struct rx_session, rcu));
}

/* Takes a session away from the workers, and frees it when the last has left it. Main thread. */
void session_remove(struct session_table *t, struct rx_session *s)
{
	rcu_assign_pointer(t->slots[s->id % SESSION_SLOTS], NULL);
	call_rcu(&s->rcu, free_rx);
}

/*
 * Has a session that is not current any more received under until @erase_ns.
 * Of a peer that changes keys all the time only the newest few are kept, so
 * that it cannot fill the table. Main thread.
 */
void session_linger(struct session_table *t, struct rx_session *s, uint64_t erase_ns)
{
	struct rx_session *oldest = s;
	unsigned i, n = 0;

	s->erase_ns = erase_ns;
	for (i = 0; i < SESSION_SLOTS; i++) {
		struct rx_session *one = t->slots[i];

		if (!one || one->peer != s->peer || !one->erase_ns)
			continue;
		n++;
		if (one->erase_ns < oldest->erase_ns)
			oldest = one;
	}
	if (n > SESSION_LINGERING_MAX)
		session_remove(t, oldest);
}

/* Finds a session by the number in a datagram; NULL if there is none. In a read-side section. */
struct rx_session *session_find(struct session_table *t, uint32_t id)
{
	struct rx_session *s = rcu_dereference(t->slots[id % SESSION_SLOTS]);

	return s && s->id == id ? s : NULL;
}

/* Frees a session that no worker can see; NULL is allowed. */
void tx_session_free(struct tx_session *s)
{
	unsigned i;

	if (!s)
		return;
	for (i = 0; s->keys && i < s->n_keys; i++) {
		if (s->keys[i].aead)
			s->engine->destroy(s->keys[i].aead);
		OPENSSL_cleanse(s->keys[i].iv, AEAD_IV_LEN);
	}
	free(s->keys);
	free(s);
}

/*
 * Makes a session to send under.
 * @keys:   key and IV of each of our workers
 * Returns NULL when memory is short.
 */
struct tx_session *tx_session_new(uint32_t id, const struct aead_engine *engine,
				  enum aead_cipher cipher, const uint8_t (*keys)[SESSION_KEY_BYTES],
				  unsigned n_keys)
{
	struct tx_session *s = calloc(1, sizeof(*s));
	unsigned i;

	if (!s)
		return NULL;
	*s = (struct tx_session){.id = id, .engine = engine, .cipher = cipher};
	s->keys = calloc(n_keys, sizeof(*s->keys));
	for (i = 0; s->keys && i < n_keys; i++) {
		s->keys[i].aead = engine->create(cipher, keys[i]);
		memcpy(s->keys[i].iv, keys[i] + AEAD_KEY_LEN, AEAD_IV_LEN);
		s->n_keys++;
		if (!s->keys[i].aead)
			break;
	}
	if (i == n_keys && s->keys)
		return s;
	tx_session_free(s);
	return NULL;
}

static void free_tx(struct rcu_head *head)
{
	tx_session_free(caa_container_of(head, struct tx_session, rcu));
}

/* Frees a session that workers may still be using, when the last has left it. NULL is allowed. */
void tx_session_retire(struct tx_session *s)
{
	if (s)
		call_rcu(&s->rcu, free_tx);
}
