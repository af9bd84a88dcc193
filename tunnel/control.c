// SPDX-License-Identifier: GPL-3.0-or-later
/* control.c - control connections: made, accepted, bounded, read and written */
/*
 * Theory of operation
 *
 * A control connection is TCP and TLS 1.3 with both certificates pinned. Its
 * one product is a pair of sessions: each handshake gives new keys, so making
 * a new connection *is* rekeying. Once both sides have acknowledged (ready),
 * the new connection takes the old one's place and the old one is closed; its
 * receiving session lingers for what is still on the way. Data never waits
 * for a control connection: when one is lost, sessions go on.
 *
 * The side with the lower fingerprint calls first; the other one calls if it
 * has not been called within CALL_GRACE_NS (a firewall may be in the way). If
 * both have called, the connection of the lower fingerprint stays.
 *
 * Connections that have not passed the pin check are bounded in number and in
 * time. Places are kept for the addresses of known peers, so that strangers
 * who fill the others cannot keep a peer from rekeying.
 */
#include "tunnel/control.h"

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/sock.h"
#include "tunnel/tunnel.h"

#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CALL_GRACE_NS	(2 * NS_PER_S)
#define USER_TIMEOUT_MS 10000 /* TCP gives up on unacknowledged data (RFC 5482) */
#define SEGMENT_MAX	536 /* passes on any path, also where ICMP is filtered (RFC 1122 4.2.2.6) */
#define LISTEN_BACKLOG	1024

static void conn_ready(void *ctx, uint32_t events);
static void dial_now(void *ctx);

/* ---- closing ---- */

static bool is_half_open(const struct conn *c)
{
	return !c->caller && c->state < CONN_HELLO;
}

static void conn_free(struct conn *c)
{
	struct control *k = c->control;
	struct conn **at;

	for (at = &k->conns; *at != c; at = &(*at)->next)
		;
	*at = c->next;
	if (is_half_open(c) && !c->reserved)
		k->half_open--;
	loop_timer_stop(k->loop, &c->deadline);
	if (c->io.fd >= 0) /* it was not handed over */
		loop_close(k->loop, &c->io);
	SSL_free(c->ssl);
	tx_session_free(c->tx);
	if (c->rx && c->acked) /* the peer may have begun to use it */
		session_linger(&k->tunnel->sessions, c->rx, clock_ns() + SESSION_LINGER_NS);
	else if (c->rx)
		session_remove(&k->tunnel->sessions, c->rx);
	free(c->in);
	free(c->out);
	free(c);
}

/* One log line a minute for what anybody can cause. */
static void log_stranger(const struct conn *c, const char *why)
{
	static struct log_limit limit = LOG_LIMIT(60);
	char text[ENDPOINT_TEXT];
	uint64_t more;

	if (!log_allowed(&limit, &more))
		return;
	if (more)
		log_warning("control connection from %s refused: %s (and %llu more since)",
			    endpoint_text(&c->remote, text), why, (unsigned long long)more);
	else
		log_warning("control connection from %s refused: %s",
			    endpoint_text(&c->remote, text), why);
}

/*
 * Remembers what is wrong with a peer, for status, and logs it: nothing twice
 * in a row, and no more than a peer's share.
 */
void control_link_error(struct link *l, const char *why)
{
	uint64_t now = clock_ns();
	bool again = !strcmp(l->error, why);

	snprintf(l->error, sizeof(l->error), "%s", why);
	if (now - l->minute_ns > 60 * NS_PER_S) {
		l->minute_ns = now;
		l->errors = 0;
	}
	if (!again && l->errors++ < ERRORS_A_MINUTE)
		log_warning("peer %s: %s", l->peer->conf->name, why);
}

static void log_peer(struct link *l, const struct conn *c, const char *why)
{
	char text[ENDPOINT_TEXT], full[sizeof(l->error)];

	snprintf(full, sizeof(full), "%s: %s", endpoint_text(&c->remote, text), why);
	control_link_error(l, full);
}

/*
 * Closes a connection and does what follows: a call is tried again, a lost
 * current one replaced.
 * @why: NULL: it has done its duty
 */
void control_close(struct conn *c, const char *why)
{
	struct control *k = c->control;
	struct link *l = c->link;
	bool was_current = l && l->current == c, stream = c->stream;

	if (why && l && (c->caller || c->state >= CONN_HELLO))
		log_peer(l, c, why);
	else if (why)
		log_stranger(c, why);
	if (l && l->dialing == c) {
		l->dialing = NULL;
		l->rekeying = false;
		l->rekey_retry_ns = clock_ns() + l->backoff_ns;
		if (why || !l->current) {
			l->next_address++;
			control_dial(l, l->backoff_ns);
			l->backoff_ns = l->backoff_ns * 2 < BACKOFF_MAX_NS ? l->backoff_ns * 2
									   : BACKOFF_MAX_NS;
		}
	}
	if (stream) {
		control_stream_gone(c);
		conn_free(c);
		return;
	}
	if (was_current) {
		l->current = NULL;
		l->rekeying = false;
		if (!k->stopping)
			control_dial(l, l->called_by_us ? BACKOFF_FIRST_NS : CALL_GRACE_NS);
	}
	conn_free(c);
}

static void deadline(void *ctx)
{
	struct conn *c = ctx;

	control_close(c, c->state == CONN_CONNECTING
				 ? "no answer to our call"
				 : "the handshake took too long and was given up");
}

/* ---- writing ---- */

static void want(struct conn *c, uint32_t events)
{
	loop_modify(c->control->loop, &c->io, events);
}

/* Writes what is queued. Returns false when the connection is lost. */
static bool flush(struct conn *c)
{
	while (c->out_pos < c->out_len) {
		int n, error;

		ERR_clear_error();
		n = SSL_write(c->ssl, c->out + c->out_pos, (int)(c->out_len - c->out_pos));
		if (n > 0) {
			c->out_pos += (size_t)n;
			continue;
		}
		error = SSL_get_error(c->ssl, n);
		if (error != SSL_ERROR_WANT_WRITE && error != SSL_ERROR_WANT_READ)
			return false;
		want(c, EPOLLIN | EPOLLOUT);
		return true;
	}
	c->out_len = c->out_pos = 0;
	want(c, EPOLLIN);
	return true;
}

/* Sends a message; its reference is taken. A connection that cannot is closed by its next event. */
void control_send(struct conn *c, json_t *message)
{
	char *text = message ? json_dumps(message, JSON_COMPACT) : NULL;
	size_t len = text ? strlen(text) : 0;
	uint8_t *more;

	json_decref(message);
	if (!text || len > CONTROL_MESSAGE_MAX) {
		free(text);
		return;
	}
	more = realloc(c->out, c->out_len + CONTROL_HEADER_LEN + len);
	if (more) {
		c->out = more;
		store_be32(c->out + c->out_len, (uint32_t)len);
		memcpy(c->out + c->out_len + CONTROL_HEADER_LEN, text, len);
		c->out_len += CONTROL_HEADER_LEN + len;
		if (!flush(c))
			want(c, EPOLLIN | EPOLLOUT);
	}
	free(text);
}

/* ---- reading ---- */

/* Takes every whole message that has come. Returns false when the connection must be closed. */
static bool take_messages(struct conn *c, struct err *e)
{
	while (c->in_len >= CONTROL_HEADER_LEN) {
		uint32_t len = load_be32(c->in);
		json_t *message;
		bool ok;

		if (len > CONTROL_MESSAGE_MAX) {
			err_set(e, EPROTO, "it sent a message of %u bytes, more than %d", len,
				CONTROL_MESSAGE_MAX);
			return false;
		}
		if (c->in_len < CONTROL_HEADER_LEN + len)
			return true;
		message = json_loadb((const char *)c->in + CONTROL_HEADER_LEN, len, 0, NULL);
		c->in_len -= CONTROL_HEADER_LEN + len;
		ok = json_is_object(message)
			     ? control_take(c, message, e)
			     : (err_set(e, EPROTO, "it sent a message that is not JSON"), false);
		json_decref(message);
		if (!ok)
			return false;
		memmove(c->in, c->in + CONTROL_HEADER_LEN + len, c->in_len);
	}
	return true;
}

static void read_messages(struct conn *c)
{
	struct err e = {""};
	int n, turns;

	for (turns = 0;; turns++) {
		if (turns == READS_A_TURN) {
			want(c,
			     EPOLLIN | EPOLLOUT); /* writable at once: the next turn goes on here */
			return;
		}
		ERR_clear_error();
		n = SSL_read(c->ssl, c->in + c->in_len,
			     (int)(CONTROL_HEADER_LEN + CONTROL_MESSAGE_MAX - c->in_len));
		if (n <= 0)
			break;
		c->in_len += (size_t)n;
		if (!take_messages(c, &e) || c->doomed) {
			control_close(c, *e.text ? e.text : NULL);
			return;
		}
	}
	switch (SSL_get_error(c->ssl, n)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE: return;
	case SSL_ERROR_ZERO_RETURN:
		control_close(c, c->state == CONN_UP
					 ? NULL
					 : "it closed the connection before keys were agreed");
		return;
	}
	control_tls_describe(c, n, e.text, sizeof(e.text));
	control_close(c, c->state == CONN_UP ? NULL : e.text);
}

/* ---- handshake ---- */

/* A peer that makes many connections and finishes none loses the oldest. */
static void limit_unfinished(const struct conn *newest)
{
	struct conn *c, *oldest = NULL;
	unsigned n = 0;

	for (c = newest->control->conns; c; c = c->next) {
		if (c->link != newest->link || c->caller || c->state < CONN_HELLO ||
		    c->state == CONN_UP)
			continue;
		oldest = c;
		n++;
	}
	if (n > UNFINISHED_ONE_PEER && oldest != newest)
		control_close(oldest, "more connections than it finishes");
}

static void handshake(struct conn *c)
{
	char why[320];
	int n;

	ERR_clear_error();
	n = SSL_do_handshake(c->ssl);
	if (n == 1) {
		if (!c->caller && !c->reserved)
			c->control->half_open--;
		c->state = CONN_HELLO;
		if (control_is_stream(c)) {
			control_hand_over(c);
			control_close(c, NULL);
			return;
		}
		limit_unfinished(c);
		want(c, EPOLLIN);
		control_say_hello(c);
		read_messages(c);
		return;
	}
	switch (SSL_get_error(c->ssl, n)) {
	case SSL_ERROR_WANT_READ: want(c, EPOLLIN); return;
	case SSL_ERROR_WANT_WRITE: want(c, EPOLLOUT); return;
	}
	control_tls_describe(c, n, why, sizeof(why));
	control_close(c, why);
}

static void connected(struct conn *c)
{
	int error = 0;
	socklen_t len = sizeof(error);
	char why[128];

	getsockopt(c->io.fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error) {
		snprintf(why, sizeof(why), "cannot be called: %s", strerror(error));
		control_close(c, why);
		return;
	}
	c->state = CONN_TLS;
	if (!c->stream)
		peer_set_direct(c->link->peer, &c->remote);
	handshake(c);
}

static void conn_ready(void *ctx, uint32_t events)
{
	struct conn *c = ctx;

	switch (c->state) {
	case CONN_CONNECTING: connected(c); return;
	case CONN_TLS: handshake(c); return;
	default: break;
	}
	if (events & EPOLLOUT && !flush(c)) {
		control_close(c, c->state == CONN_UP ? NULL : "connection lost");
		return;
	}
	read_messages(c);
}

static void keep_alive(int fd)
{
	sock_keepalive(fd, 5, 2);
	sock_set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, USER_TIMEOUT_MS);
	sock_set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
}

/* Makes a connection around a descriptor, which it owns from then on. NULL: out of memory. */
static struct conn *conn_new(struct control *k, int fd, bool caller, const struct endpoint *remote)
{
	struct conn *c = calloc(1, sizeof(*c));

	if (!c) {
		close(fd);
		return NULL;
	}
	*c = (struct conn){.control = k,
			   .caller = caller,
			   .remote = *remote,
			   .next = k->conns,
			   .state = caller ? CONN_CONNECTING : CONN_TLS,
			   .io = {fd, conn_ready, c},
			   .deadline = {.expired = deadline, .ctx = c}};
	k->conns = c;
	if (!caller)
		k->half_open++; /* conn_free() counts it back unless it becomes a reserved one */
	c->in = malloc(CONTROL_HEADER_LEN + CONTROL_MESSAGE_MAX);
	c->ssl = SSL_new(caller ? k->client : k->server);
	if (!c->in || !c->ssl || SSL_set_fd(c->ssl, fd) != 1 ||
	    loop_add(k->loop, &c->io, caller ? EPOLLOUT : EPOLLIN)) {
		conn_free(c);
		return NULL;
	}
	SSL_set_app_data(c->ssl, c);
	if (caller)
		SSL_set_connect_state(c->ssl);
	else
		SSL_set_accept_state(c->ssl);
	keep_alive(fd);
	loop_timer_start(k->loop, &c->deadline, HANDSHAKE_TIMEOUT_NS, 0);
	return c;
}

/* ---- calling ---- */

static void parse_addresses(struct link *l)
{
	const char *at = l->peer->conf->address;
	size_t len;
	struct err e;

	l->n_addresses = 0;
	for (; at && l->n_addresses < 8; at += len + 1) {
		len = strcspn(at, ",");
		if (!endpoint_resolve(at, len, PROTO_DEFAULT_PORT, false,
				      &l->addresses[l->n_addresses], &e))
			l->n_addresses++;
		else
			control_link_error(l, e.text);
		if (!at[len])
			break;
	}
}

/* Opens a TCP connection to the next of a peer's addresses. Returns a descriptor or -errno. */
static int call(struct link *l, const struct endpoint *to, bool stream)
{
	struct control *k = l->control;
	const char *ifname = k->tunnel->conf->interface;
	struct endpoint_name name;
	int fd, ret;

	if (!endpoint_name(to, k->tunnel->listen_family, &name))
		return -EAFNOSUPPORT;
	fd = socket(name.ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* Binds both sides: who calls says it in its SYN, and keeps to it itself. */
	sock_set(fd, IPPROTO_TCP, TCP_MAXSEG,
		 stream ? (int)control_stream_segment(l, to) : SEGMENT_MAX);
	if (stream)
		accel_prepare_stream(k->tunnel->accelerate.accel, fd);
	ret = sock_bind_device(fd, ifname)
		      ? -errno
		      : ports_connect(&k->ports, fd, (struct sockaddr *)&name.ss, name.len);
	if (!ret)
		return fd;
	close(fd);
	return ret;
}

/* Calls a peer at an address. NULL: it cannot be called, which is noted. */
struct conn *control_call(struct link *l, const struct endpoint *to, bool stream)
{
	struct control *k = l->control;
	int fd = call(l, to, stream);
	char text[ENDPOINT_TEXT], why[160];
	struct conn *c;

	if (fd < 0) {
		snprintf(why, sizeof(why), "cannot be called at %s: %s", endpoint_text(to, text),
			 strerror(-fd));
		control_link_error(l, why);
		return NULL;
	}
	c = conn_new(k, fd, true, to);
	if (c) {
		c->link = l;
		c->stream = stream;
		if (stream)
			control_tls_be_stream(c);
	}
	return c;
}

static void dial_now(void *ctx)
{
	struct link *l = ctx;
	struct control *k = l->control;
	struct endpoint to;

	if (k->stopping || l->dialing || (l->current && !l->rekeying) || !l->peer->conf->address)
		return;
	if (!l->n_addresses || l->next_address % (l->n_addresses + 1) == l->n_addresses)
		parse_addresses(l); /* once a round: names may have changed */
	if (!l->n_addresses) {
		control_dial(l, BACKOFF_MAX_NS);
		return;
	}
	to = l->addresses[l->next_address % l->n_addresses];
	l->dialing = control_call(l, &to, false);
	if (l->dialing)
		return;
	l->next_address++;
	control_dial(l, l->backoff_ns);
	l->backoff_ns = l->backoff_ns * 2 < BACKOFF_MAX_NS ? l->backoff_ns * 2 : BACKOFF_MAX_NS;
}

/* Calls a peer after a while, unless it has called meanwhile; one without an address must call us.
 */
void control_dial(struct link *l, uint64_t after_ns)
{
	loop_timer_start(l->control->loop, &l->dial_timer, after_ns, 0);
}

/* Agrees new keys with a peer: calls again, or asks it to, if we were called. */
void control_rekey(struct link *l)
{
	uint64_t now = clock_ns();

	if (!l->current || l->dialing || now < l->rekey_retry_ns)
		return;
	l->rekeying = true;
	l->rekey_retry_ns = now + REKEY_PATIENCE_NS;
	if (l->called_by_us)
		control_dial(l, 0);
	else
		control_send(l->current, json_pack("{s:s}", "type", "rekey"));
}

static void rekey(void *arg)
{
	control_rekey(arg);
}

/* Asks for new keys with a peer: a key in use nears its limit. Any thread may call this. */
void control_ask_rekey(struct tunnel *t, unsigned peer)
{
	loop_post(t->loop, rekey, &t->control->links[peer]);
}

/* ---- being called ---- */

/* Whether an address is one where a peer is known to be. */
static bool is_known(struct control *k, const struct endpoint *from)
{
	unsigned i, j;
	bool known = false;

	for (i = 0; i < k->n_links && !known; i++) {
		known = peer_is_at(k->links[i].peer, from);
		for (j = 0; j < k->links[i].n_addresses && !known; j++)
			known = endpoint_same_host(&k->links[i].addresses[j], from);
	}
	return known;
}

/* Decides about a new connection from @from. Makes room by closing the oldest half-open stranger.
 */
static bool admit(struct control *k, const struct endpoint *from, bool *reserved)
{
	struct conn *c, *oldest = NULL;
	unsigned same = 0, kept = 0;

	for (c = k->conns; c; c = c->next) {
		if (!is_half_open(c))
			continue;
		if (endpoint_same_host(&c->remote, from)) {
			same += !c->reserved;
			kept += c->reserved;
		}
		if (!c->reserved)
			oldest = c; /* newest first in the list */
	}
	*reserved = is_known(k, from) && kept < HALF_OPEN_RESERVED;
	if (*reserved)
		return true;
	if (same >= HALF_OPEN_ONE_HOST)
		return false;
	if (k->half_open >= HALF_OPEN_MAX && oldest)
		control_close(oldest, "more half-open connections than are allowed");
	return true;
}

static void listener_ready(void *ctx, uint32_t events)
{
	struct control *k = ctx;
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct endpoint from;
	struct conn *c;
	bool reserved;
	int fd;

	while ((fd = accept4(k->listener.fd, (struct sockaddr *)&ss, &len,
			     SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
		len = sizeof(ss);
		endpoint_from(&from, (struct sockaddr *)&ss);
		if (!admit(k, &from, &reserved)) {
			close(fd);
			continue;
		}
		c = conn_new(k, fd, false, &from);
		if (c && reserved) {
			c->reserved = true;
			k->half_open--;
		}
	}
}

/* Listens for peers' calls. Returns 0 or -errno with a text. */
int control_listen(struct control *k, struct err *e)
{
	struct tunnel *t = k->tunnel;
	struct endpoint_name name;
	char text[ENDPOINT_TEXT];
	int fd, ret;

	endpoint_text(&t->listen, text);
	fd = socket(t->listen_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_set(e, errno, "TCP socket: %s", strerror(errno));
	k->listener = (struct loop_io){fd, listener_ready, k};
	sock_set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (t->accelerate.accel) /* streams come in here too, and inherit it */
		accel_prepare_stream(t->accelerate.accel, fd);
	if (t->listen_family == AF_INET6)
		sock_set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
	if (!endpoint_name(&t->listen, t->listen_family, &name) ||
	    sock_bind_device(fd, t->conf->interface) ||
	    bind(fd, (struct sockaddr *)&name.ss, name.len) || listen(fd, LISTEN_BACKLOG)) {
		ret = errno;
		return err_set(
			e, ret, "TCP %s: %s%s", text, strerror(ret),
			ret == EADDRINUSE
				? "; another program listens there: stop it or choose another --listen"
				: "");
	}
	return loop_add(k->loop, &k->listener, EPOLLIN);
}

/* The tunnel interface came back with another index: what was bound to the old one is made anew. */
void control_rebind(struct control *k)
{
	struct err e;

	if (k->listener.fd >= 0)
		loop_close(k->loop, &k->listener);
	if (control_listen(k, &e))
		log_error("%s", e.text);
}

/* ---- beginning and end ---- */

/*
 * Prepares the control side: identity, TLS, the listening port. Nobody is
 * called yet. Returns 0 or -errno with a text; undone by control_release().
 */
int control_init(struct control *k, struct tunnel *t, struct err *e)
{
	unsigned i;
	int ret;

	*k = (struct control){.tunnel = t,
			      .loop = t->loop,
			      .listener.fd = -1,
			      .ports.kernels = t->conf->without & WITHOUT_PORT_WINDOWS};
	ret = identity_load(t->conf->identity, &k->identity, e);
	if (ret)
		return ret;
	for (i = 0; i < t->n_peers; i++) {
		struct link *l = &k->links[i];

		if (fingerprint_equal(&t->conf->peers[i].trust, &k->identity.fingerprint))
			return err_set(e, EINVAL, CONTROL_OWN_FINGERPRINT, t->conf->peers[i].name);
		*l = (struct link){.control = k,
				   .peer = &t->peers[i],
				   .backoff_ns = BACKOFF_FIRST_NS,
				   .dial_timer = {.expired = dial_now, .ctx = l}};
		k->n_links++;
	}
	ret = control_tls_init(k, e);
	return ret ? ret : control_listen(k, e);
}

/* Begins to call peers: at once where our fingerprint is the lower one. */
void control_start(struct control *k)
{
	unsigned i;

	for (i = 0; i < k->n_links; i++) {
		struct link *l = &k->links[i];
		bool lower = memcmp(k->identity.fingerprint.bytes, l->peer->conf->trust.bytes,
				    FINGERPRINT_LEN) < 0;

		if (!l->peer->conf->address)
			continue;
		parse_addresses(l);
		if (l->n_addresses)
			peer_set_direct(l->peer, &l->addresses[0]);
		control_dial(l, lower ? 0 : CALL_GRACE_NS);
	}
	ramp_start(k);
	control_watch_start(k);
}

/* Says goodbye to peers and closes everything. Workers have stopped. */
void control_release(struct control *k)
{
	unsigned i;

	k->stopping = true;
	ramp_stop(k);
	while (k->conns) {
		struct conn *c = k->conns;

		if (c->state == CONN_UP) {
			control_send(c,
				     json_pack("{s:s, s:s}", "type", "bye", "reason", "shutdown"));
			SSL_shutdown(c->ssl);
		}
		control_close(c, NULL);
	}
	loop_timer_stop(k->loop, &k->tick);
	for (i = 0; i < k->n_links; i++)
		loop_timer_stop(k->loop, &k->links[i].dial_timer);
	for (i = 0; i < SESSION_SLOTS; i++)
		if (k->tunnel->sessions.slots[i])
			session_remove(&k->tunnel->sessions, k->tunnel->sessions.slots[i]);
	if (k->listener.fd >= 0)
		loop_close(k->loop, &k->listener);
	SSL_CTX_free(k->server);
	SSL_CTX_free(k->client);
	identity_free(&k->identity);
}
