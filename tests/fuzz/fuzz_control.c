// SPDX-License-Identifier: GPL-3.0-or-later
/* fuzz_control.c - whatever a pinned peer says, in every state of its connection, does no harm */

/*
 * Octet 0 of the input says what has been before, on an honest connection:
 *
 *	bits 0-1  the state of the connection: hello awaited, ready awaited, up
 *	bit 2     we called
 *	bit 3     another connection with that peer is in use already
 *	bit 4     …and another site is connected
 *
 * Then come messages: length (2 octets, big-endian) and JSON. Keys come from
 * one real handshake, made once; what is sent goes nowhere.
 */
#include "tunnel/control.h"

#include "lib/log.h"
#include "tests/fuzz/must.h"
#include "tunnel/tunnel.h"

#include <openssl/bio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PEERS	2
#define BARRIER 32 /* inputs between waiting for what is freed later */
#define HELLO                                                                         \
	"{\"type\":\"hello\",\"version\":1,\"session\":9,\"workers\":2,\"tags\":[1]," \
	"\"site\":\"%s\",\"ciphers\":[\"aes-256-gcm\"],\"mtu\":1400,\"partial\":true}"
#define CONTROLS  "\n\r\t\033\177" /* what a terminal would obey */
#define HELLO_MAX 256

static struct conf conf = {.interface = "wan",
			   .name = "wan",
			   .site = "here",
			   .ciphers = 1 << AEAD_AES_256_GCM | 1 << AEAD_CHACHA20_POLY1305,
			   .cipher_order = {AEAD_AES_256_GCM, AEAD_CHACHA20_POLY1305},
			   .rekey_after_ns = 3600000000000,
			   .rekey_after_packets = 1 << 28,
			   .dead_after_ns = 3000000000};
static struct conf_tag conf_tag_ = {.tag = 1, .mtu = MTU_AUTO, .wscale = WSCALE_OFF};
static struct conf_peer conf_us = {.name = "us"}; /* the far side's one peer */
static struct tag tags[] = {{.tag = 1, .conf = &conf_tag_}, {.tag = 70000, .conf = &conf_tag_}};
static struct tunnel t, far_tunnel;
static struct control k, far;
static SSL *secret; /* of the one handshake */

static void nothing(void *ctx)
{
}

static void make_identity(struct identity *id)
{
	char dir[] = "/tmp/fuzz_control-XXXXXX", path[64];
	struct fingerprint fp;
	struct err e;

	must(mkdtemp(dir));
	must(!identity_generate(dir, &fp, &e) && !identity_load(dir, id, &e));
	snprintf(path, sizeof(path), "%s/key.pem", dir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/cert.pem", dir);
	unlink(path);
	rmdir(dir);
}

/* A control side with its links, as control_init() makes them, but for the port. */
static void make_control(struct control *c, struct tunnel *tunnel)
{
	unsigned i;

	c->tunnel = tunnel;
	c->listener.fd = -1;
	for (i = 0; i < tunnel->n_peers; i++)
		c->links[i] = (struct link){.control = c,
					    .peer = &tunnel->peers[i],
					    .backoff_ns = BACKOFF_FIRST_NS,
					    .dial_timer = {.expired = nothing}};
	c->n_links = tunnel->n_peers;
}

static void shake_hands(void)
{
	static struct conn ours, theirs;
	SSL *other;
	BIO *one, *two;
	int turns;

	ours = (struct conn){.control = &k, .link = &k.links[0], .caller = true};
	theirs = (struct conn){.control = &far};
	secret = SSL_new(k.client);
	other = SSL_new(far.server);
	must(secret && other && BIO_new_bio_pair(&one, 0, &two, 0));
	SSL_set_bio(secret, one, one);
	SSL_set_bio(other, two, two);
	SSL_set_app_data(secret, &ours);
	SSL_set_app_data(other, &theirs);
	SSL_set_connect_state(secret);
	SSL_set_accept_state(other);
	for (turns = 0; turns < 10; turns++) {
		SSL_do_handshake(secret);
		SSL_do_handshake(other);
	}
	must(SSL_is_init_finished(secret) && SSL_is_init_finished(other));
	must(theirs.link == &far.links[0]);
	SSL_set_bio(secret, BIO_new(BIO_s_null()), BIO_new(BIO_s_null()));
	SSL_free(other);
}

static void set_up(void)
{
	struct err e;
	unsigned i;

	log_setup("fuzz_control", LOG_LEVEL_ERROR);
	rcu_register_thread();
	make_identity(&k.identity);
	make_identity(&far.identity);
	conf.n_peers = PEERS;
	for (i = 0; i < PEERS; i++) {
		snprintf(conf.peers[i].name, sizeof(conf.peers[i].name), "peer%u", i);
		conf.peers[i].address = "192.0.2.1";
		conf.peers[i].trust.bytes[0] = (uint8_t)i; /* nobody's */
		must(!peer_init(&t.peers[i], &conf.peers[i], i));
		t.tags_of[i] = 3;
	}
	conf.peers[0].trust = far.identity.fingerprint;
	conf_us.trust = k.identity.fingerprint;
	t.conf = &conf;
	t.outer_ops = &outer_sealed;
	t.interface_mtu = 1500;
	t.n_peers = PEERS;
	t.tags = tags;
	t.n_tags = 2;
	t.n_workers = 2;
	t.control = &k;
	t.fdb = fdb_new();
	must(t.fdb);
	make_control(&k, &t);
	must(!peer_init(&far_tunnel.peers[0], &conf_us, 0));
	far_tunnel.n_peers = 1;
	make_control(&far, &far_tunnel);
	must(!control_tls_init(&k, &e) && !control_tls_init(&far, &e));
	shake_hands();
}

/* A connection that has passed the pin check, with its hello sent. */
static struct conn *connect_peer(unsigned peer, bool caller)
{
	struct conn *c = calloc(1, sizeof(*c));

	must(c && SSL_up_ref(secret));
	*c = (struct conn){.control = &k,
			   .link = &k.links[peer],
			   .state = CONN_HELLO,
			   .caller = caller,
			   .io.fd = -1,
			   .ssl = secret,
			   .deadline = {.expired = nothing},
			   .next = k.conns};
	k.conns = c;
	if (caller)
		c->link->dialing = c;
	control_say_hello(c);
	return c;
}

static bool is_open(const struct conn *wanted)
{
	const struct conn *c;

	for (c = k.conns; c && c != wanted; c = c->next)
		;
	return c;
}

/* Takes a message as read_messages() does. Returns false when the connection has been closed. */
static bool say(struct conn *c, const char *text, size_t len)
{
	json_t *message = json_loadb(text, len, 0, NULL);
	struct err e = {""};
	bool ok = !json_is_object(message) || control_take(c, message, &e);

	json_decref(message);
	if (ok && !c->doomed)
		return true;
	control_close(c, *e.text ? e.text : NULL);
	return false;
}

static bool say_hello(struct conn *c, const char *site)
{
	char text[HELLO_MAX];

	return say(c, text, (size_t)snprintf(text, sizeof(text), HELLO, site));
}

/* What was posted for the loop is done. */
static void stop_loop(void *arg)
{
	loop_stop(arg);
}

static void run_posted(void)
{
	loop_timer_stop(k.loop, &k.links[0].dial_timer);
	loop_timer_stop(k.loop, &k.links[1].dial_timer);
	loop_post(k.loop, stop_loop, k.loop);
	loop_run(k.loop);
}

/* Whatever was said, status is complete and tells of it. */
static void check(void)
{
	static const char *const keys[] = {"site",    "program", "error",  "state",
					   "control", "rtt_ms",	 "workers"};
	uint64_t now = t.peers[0].tx ? t.peers[0].tx->born_ns : 0;
	json_t *problems = json_array();
	unsigned i, j, down = 0;
	char *text;

	for (i = 0; i < PEERS; i++) {
		json_t *status = control_status(&k, i, now);

		for (j = 0; j < sizeof(keys) / sizeof(*keys); j++)
			must(json_object_get(status, keys[j]));
		text = json_dumps(status, 0);
		must(text);
		free(text);
		json_decref(status);
		down += !k.links[i].up;
		must(!strpbrk(k.links[i].site, CONTROLS) && !strpbrk(k.links[i].error, CONTROLS));
		must(k.links[i].n_mesh <= PEERS_MAX && k.links[i].workers <= WORKERS_MAX);
		must(!(t.peers[i].tags & ~t.tags_of[i]));
		must(!t.peers[i].mtu_back || t.peers[i].mtu_back >= MTU_MIN);
	}
	control_problems(&k, problems);
	must(json_array_size(problems) >= down);
	json_decref(problems);
	for (i = 0; i < SESSION_SLOTS; i++)
		must(!t.sessions.slots[i] || t.sessions.slots[i]->id % SESSION_SLOTS == i);
}

static void forget(void)
{
	static unsigned inputs;
	unsigned i;

	k.stopping = true;
	while (k.conns)
		control_close(k.conns, NULL);
	for (i = 0; i < PEERS; i++) {
		loop_timer_stop(k.loop, &k.links[i].dial_timer);
		peer_use_session(&t.peers[i], NULL);
		t.peers[i].tags = 0;
	}
	for (i = 0; i < SESSION_SLOTS; i++)
		if (t.sessions.slots[i])
			session_remove(&t.sessions, t.sessions.slots[i]);
	k.stopping = false;
	make_control(&k, &t);
	loop_free(t.loop);
	if (++inputs % BARRIER == 0)
		rcu_barrier();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conn *c, *other;
	struct err e;
	uint32_t len;

	if (size < 1)
		return 0;
	if (!secret)
		set_up();
	t.loop = k.loop = loop_new(&e);
	must(t.loop);
	if (data[0] & 16) {
		other = connect_peer(1, false);
		must(say_hello(other, "there") && say(other, "{\"type\":\"ready\"}", 16));
	}
	if (data[0] & 8) {
		other = connect_peer(0, !(data[0] & 4));
		must(say_hello(other, "") && say(other, "{\"type\":\"ready\"}", 16));
	}
	c = connect_peer(0, data[0] & 4);
	if (data[0] & 3)
		must(say_hello(c, ""));
	if ((data[0] & 3) > 1)
		say(c, "{\"type\":\"ready\"}", 16);
	for (data++, size--; size >= 2 && is_open(c); data += len, size -= len) {
		len = (uint32_t)data[0] << 8 | data[1];
		data += 2;
		size -= 2;
		len = len > size ? (uint32_t)size : len;
		say(c, (const char *)data, len);
		check();
		run_posted();
	}
	check();
	forget();
	return 0;
}
