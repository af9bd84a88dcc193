// SPDX-License-Identifier: GPL-3.0-or-later
/* control_message.c - what is said on a control connection (doc/protocol.md) */
/*
 * Both sides send the same messages, in this order:
 *   hello   who we are, what we offer, the session we choose to receive under
 *   ready   we have installed that session: you may send under it
 *   peers   whom we have up, after each change
 *   mtu     what fits on our way to you now, after each change
 *   rekey   please call again: we need new keys
 *   streams please make connections for our accelerated flows
 *   bye     this connection ends, and why; "shutdown" ends its sessions too
 *   error   why we refuse you
 * The cipher is the first of the caller's that the other side has too.
 */
#include "tunnel/control.h"

#include "lib/clock.h"
#include "lib/doc.h"
#include "lib/log.h"
#include "tunnel/mtu.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

/*
 * Copies a text of the peer's for people to read: cut between characters, or
 * it would be no UTF-8 and could not stand in status; no control characters,
 * which a terminal would obey.
 */
static void copy_text(char *to, size_t size, const char *text)
{
	size_t len = strnlen(text, size), i;

	if (len == size)
		for (len--; len && (text[len] & 0xc0) == 0x80; len--)
			;
	for (i = 0; i < len; i++)
		to[i] = (unsigned char)text[i] < ' ' || text[i] == 0x7f ? '?' : text[i];
	to[len] = '\0';
}

/* @set: of them, those that are in it */
static json_t *tags_offered(const struct tunnel *t, const struct peer *p, uint64_t set)
{
	uint64_t left = t->tags_of[p->index] & set;
	json_t *all = json_array();

	for (; left; left &= left - 1)
		json_array_append_new(all, json_integer(t->tags[__builtin_ctzll(left)].tag));
	return all;
}

static json_t *ciphers_offered(const struct conf *c)
{
	json_t *all = json_array();
	unsigned i;

	for (i = 0; i < (unsigned)__builtin_popcount(c->ciphers); i++)
		json_array_append_new(all, json_string(aead_cipher_names[c->cipher_order[i]]));
	return all;
}

static json_t *peers_up(const struct control *k)
{
	char text[FINGERPRINT_TEXT];
	json_t *all = json_array();
	unsigned i;

	for (i = 0; i < k->n_links; i++)
		if (k->links[i].up)
			json_array_append_new(all, json_string(fingerprint_text(
							   &k->links[i].peer->conf->trust, text)));
	return all;
}

/* Says who we are and what we offer. */
void control_say_hello(struct conn *c)
{
	struct tunnel *t = c->control->tunnel;

	c->rx_id = session_choose_id(&t->sessions);
	c->mtu_said = mtu_inner(t, c->link->peer);
	control_send(c,
		     json_pack("{s:s, s:i, s:s, s:s, s:I, s:i, s:o, s:o, s:I, s:b, s:o, s:o}",
			       "type", "hello", "version", PROTO_VERSION, "program",
			       LONGHAUL_VERSION, "site", t->conf->site ? t->conf->site : "",
			       "session", (json_int_t)c->rx_id, "workers", (int)t->n_workers,
			       "tags", tags_offered(t, c->link->peer, ~0ull), "ciphers",
			       ciphers_offered(t->conf), "mtu", (json_int_t)c->mtu_said, "partial",
			       !(t->conf->without & WITHOUT_PARTIAL), "peers", peers_up(c->control),
			       "accel", tags_offered(t, c->link->peer, t->accelerate.tags)));
}

/* Tells every peer whom we have up. */
void control_say_peers(struct control *k)
{
	unsigned i;

	for (i = 0; i < k->n_links; i++)
		if (k->links[i].current)
			control_send(k->links[i].current, json_pack("{s:s, s:o}", "type", "peers",
								    "peers", peers_up(k)));
}

/* Tells a peer what fits on our way to it, if that is news. */
void control_say_mtu(struct link *l)
{
	uint32_t mtu = l->peer->inner_mtu;

	if (!l->current || mtu == l->current->mtu_said)
		return;
	l->current->mtu_said = mtu;
	control_send(l->current, json_pack("{s:s, s:I}", "type", "mtu", "mtu", (json_int_t)mtu));
}

/* Takes what a peer says of its way to us: what no host would say is not believed. */
static void take_mtu(struct link *l, const json_t *m)
{
	json_int_t mtu = doc_number(m, "mtu");

	atomic_store(&l->peer->mtu_back, mtu >= MTU_MIN && mtu <= UINT16_MAX ? (uint32_t)mtu : 0);
}

static void take_mesh(struct link *l, const json_t *peers)
{
	json_t *p;
	size_t i;

	l->n_mesh = 0;
	json_array_foreach(peers, i, p) if (l->n_mesh < PEERS_MAX && json_is_string(p) &&
					    fingerprint_parse(json_string_value(p),
							      &l->mesh[l->n_mesh])) l->n_mesh++;
}

/* The tags both sides bridge with each other, as a set of our indices. */
static uint64_t agree_tags(const struct tunnel *t, const struct peer *p, const json_t *theirs)
{
	uint64_t agreed = 0;
	json_t *tag;
	size_t i;
	int at;

	json_array_foreach(theirs, i, tag)
	{
		json_int_t n = json_integer_value(tag);

		at = json_is_integer(tag) && n >= 0 && n <= UINT32_MAX
			     ? tunnel_tag_index(t, (uint32_t)n)
			     : -1;
		if (at >= 0)
			agreed |= 1ull << at;
	}
	return agreed & t->tags_of[p->index];
}

static bool has_cipher(const json_t *list, enum aead_cipher cipher)
{
	enum aead_cipher one;
	json_t *name;
	size_t i;

	json_array_foreach(list, i, name) if (json_is_string(name) &&
					      aead_cipher_find(json_string_value(name), &one) &&
					      one == cipher) return true;
	return false;
}

/* The first of the caller's ciphers that the other side has; AEAD_CIPHERS if there is none. */
static enum aead_cipher agree_cipher(const struct conn *c, const json_t *theirs)
{
	const struct conf *conf = c->control->tunnel->conf;
	enum aead_cipher cipher;
	json_t *name;
	size_t i;

	if (c->caller) {
		for (i = 0; i < (size_t)__builtin_popcount(conf->ciphers); i++)
			if (has_cipher(theirs, conf->cipher_order[i]))
				return conf->cipher_order[i];
		return AEAD_CIPHERS;
	}
	json_array_foreach(theirs, i,
			   name) if (json_is_string(name) &&
				     aead_cipher_find(json_string_value(name), &cipher) &&
				     conf->ciphers & 1u << cipher) return cipher;
	return AEAD_CIPHERS;
}

/* Makes both sessions from the handshake's secret. */
static int make_sessions(struct conn *c, uint32_t tx_id, unsigned their_workers,
			 enum aead_cipher cipher, struct err *e)
{
	struct tunnel *t = c->control->tunnel;
	const struct aead_engine *engine = aead_engine_for(cipher,
							   t->conf->without & WITHOUT_IPSEC_MB);
	uint8_t keys[WORKERS_MAX][SESSION_KEY_BYTES];
	bool ok = true;
	unsigned i;

	for (i = 0; i < their_workers; i++)
		ok &= control_tls_export(c, !c->caller, i, keys[i]);
	c->rx = ok ? rx_session_new(c->rx_id, c->link->peer->index, engine, cipher,
				    (const uint8_t(*)[SESSION_KEY_BYTES])keys, their_workers)
		   : NULL;
	for (i = 0; i < t->n_workers; i++)
		ok &= control_tls_export(c, c->caller, i, keys[i]);
	c->tx = ok ? tx_session_new(tx_id, engine, cipher,
				    (const uint8_t(*)[SESSION_KEY_BYTES])keys, t->n_workers)
		   : NULL;
	OPENSSL_cleanse(keys, sizeof(keys));
	if (!c->rx || !c->tx) {
		rx_session_free(c->rx);
		c->rx = NULL;
		return err_set(e, ENOMEM, "keys could not be made: out of memory");
	}
	/* Another connection may have chosen the same slot while this one spoke. */
	if (!c->rx_id || t->sessions.slots[c->rx_id % SESSION_SLOTS]) {
		rx_session_free(c->rx);
		c->rx = NULL;
		return err_set(e, EAGAIN, "no session number is free; trying again");
	}
	session_install(&t->sessions, c->rx);
	return 0;
}

/* Refuses a peer, and tells it why. */
static bool refuse(struct conn *c, struct err *e, const char *why)
{
	control_send(c, json_pack("{s:s, s:s}", "type", "error", "text", why));
	err_set(e, EPROTO, "refused: %s", why);
	return false;
}

/* A site has one appliance: two would both bridge its LAN and make a loop. */
static const char *site_conflict(const struct conn *c, const char *site)
{
	const struct control *k = c->control;
	char kept[sizeof(c->link->site)]; /* as that of the others was */
	unsigned i;

	if (!*site)
		return NULL;
	copy_text(kept, sizeof(kept), site);
	if (k->tunnel->conf->site && !strcmp(k->tunnel->conf->site, site))
		return "both ends say that they are the same site; a second appliance at one site makes a loop";
	for (i = 0; i < k->n_links; i++)
		if (&k->links[i] != c->link && k->links[i].session_ns &&
		    !strcmp(k->links[i].site, kept))
			return "another appliance of the same site is connected already; two make a loop";
	return NULL;
}

static bool take_hello(struct conn *c, const json_t *m, struct err *e)
{
	json_int_t session = doc_number(m, "session");
	json_int_t workers = doc_number(m, "workers");
	json_int_t version = doc_number(m, "version");
	struct tunnel *t = c->control->tunnel;
	struct link *l = c->link;
	enum aead_cipher cipher;
	const char *conflict;

	if (c->state != CONN_HELLO)
		return refuse(c, e, "a second hello");
	if (version != PROTO_VERSION)
		return refuse(c, e, "the protocol versions differ: upgrade the older side");
	if (session <= 0 || session > UINT32_MAX || workers < 1 || workers > WORKERS_MAX)
		return refuse(c, e, "hello with an impossible session or number of workers");
	conflict = site_conflict(c, doc_text(m, "site"));
	if (conflict)
		return refuse(c, e, conflict);
	cipher = agree_cipher(c, json_object_get(m, "ciphers"));
	if (cipher == AEAD_CIPHERS)
		return refuse(c, e, "no cipher in common; see ciphers in both configurations");
	c->tags = agree_tags(t, l->peer, json_object_get(m, "tags"));
	c->accelerated = agree_tags(t, l->peer, json_object_get(m, "accel")) & t->accelerate.tags;
	if (make_sessions(c, (uint32_t)session, (unsigned)workers, cipher, e))
		return false;
	c->tx->partial = json_is_true(json_object_get(m, "partial")) &&
			 !(t->conf->without & WITHOUT_PARTIAL);
	c->rx->partial = c->tx->partial;
	copy_text(l->site, sizeof(l->site), doc_text(m, "site"));
	copy_text(l->program, sizeof(l->program), doc_text(m, "program"));
	l->workers = (unsigned)workers;
	take_mtu(l, m);
	take_mesh(l, json_object_get(m, "peers"));
	ramp_connected(c);
	c->state = CONN_READY;
	c->acked = true;
	control_send(c, json_pack("{s:s}", "type", "ready"));
	return true;
}

static bool take_ready(struct conn *c, struct err *e)
{
	if (c->state != CONN_READY) {
		err_set(e, EPROTO, "it was ready before it said hello");
		return false;
	}
	c->state = CONN_UP;
	loop_timer_stop(c->control->loop, &c->deadline);
	control_link_up(c);
	return true;
}

static bool take_bye(struct conn *c, const json_t *m)
{
	if (c->link->current == c && !strcmp(doc_text(m, "reason"), "shutdown"))
		control_link_down(c->link, "it has shut down");
	return false; /* without a text: closed in peace */
}

/* A peer has no way to call us, or leaves it to us, and needs streams. */
static void streams_asked(struct conn *c, json_int_t n)
{
	if (n > 0 && n <= STREAMS_A_MESSAGE && c->control->tunnel->accelerate.accel)
		control_want_streams(c->link, (unsigned)n, false);
}

/*
 * Takes one message of a peer that has passed the pin check.
 * Returns false to close the connection, with a text if something is wrong.
 */
bool control_take(struct conn *c, const json_t *m, struct err *e)
{
	const char *type = doc_text(m, "type");
	char why[200];

	if (!strcmp(type, "hello"))
		return take_hello(c, m, e);
	if (!strcmp(type, "ready"))
		return take_ready(c, e);
	if (!strcmp(type, "bye"))
		return take_bye(c, m);
	if (!strcmp(type, "error")) {
		copy_text(why, sizeof(why), doc_text(m, "text"));
		err_set(e, EPROTO, "it refuses us: %s", why);
		return false;
	}
	if (c->state != CONN_UP)
		return refuse(c, e, "a message before keys were agreed");
	if (!strcmp(type, "peers"))
		take_mesh(c->link, json_object_get(m, "peers"));
	else if (!strcmp(type, "mtu"))
		take_mtu(c->link, m);
	else if (!strcmp(type, "rekey") && c->link->current == c)
		control_rekey(c->link);
	else if (!strcmp(type, "streams") && c->link->current == c)
		streams_asked(c, doc_number(m, "n"));
	return true; /* what a newer version may say besides is passed over */
}
