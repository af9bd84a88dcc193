/* SPDX-License-Identifier: GPL-3.0-or-later */
/* control.h - the control connections of the sealed transport: who is who, and keys */
#ifndef TUNNEL_CONTROL_H
#define TUNNEL_CONTROL_H

#include "accel/stream_proto.h"
#include "lib/err.h"
#include "lib/loop.h"
#include "lib/ports.h"
#include "tunnel/endpoint.h"
#include "tunnel/identity.h"
#include "tunnel/peer.h"
#include "tunnel/ramp.h"
#include "tunnel/session.h"

#include <jansson.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

struct tunnel;

/* A half-open connection may take this long, from TCP to the end of the key agreement. */
#define HANDSHAKE_TIMEOUT_NS (5 * 1000000000ull)

/* Half-open connections from anywhere, from one address, and kept free for each known peer's
 * address. */
#define HALF_OPEN_MAX	   64
#define HALF_OPEN_ONE_HOST 8
/* …calls, and the streams being made (control_stream.c): who calls is done with a handshake before
 * who is called, and begins the next. */
#define HALF_OPEN_RESERVED 384

/* Of one peer, past the pin check but not up yet. */
#define UNFINISHED_ONE_PEER 3

/* Messages read from one connection before others have their turn. */
#define READS_A_TURN 16

/* Streams a peer may ask for at once. */
#define STREAMS_A_MESSAGE 1024

/* Lines a minute that are logged of one peer's errors; status always has the last. */
#define ERRORS_A_MINUTE 5

/*
 * A connection's life, in order:
 *   CONNECTING  TCP is being made (by us)
 *   TLS         handshake; ends with the pin check
 *   HELLO       our hello is sent, the peer's is awaited
 *   READY       keys are installed and ours acknowledged; the peer's acknowledgement is awaited
 *   UP          both sides have acknowledged: sessions are in use
 */
enum conn_state { CONN_CONNECTING, CONN_TLS, CONN_HELLO, CONN_READY, CONN_UP };

/* Waiting before a call is tried again, doubled each time up to the maximum. */
#define BACKOFF_FIRST_NS (200 * 1000000ull)
#define BACKOFF_MAX_NS	 (10 * 1000000000ull)

/* New keys that were asked for are asked for again after this. */
#define REKEY_PAUSE_NS	  (200 * 1000000ull) /* keys are not replaced more often than this */
#define REKEY_PATIENCE_NS (2 * HANDSHAKE_TIMEOUT_NS)

/* Connections made by both sides within this time are one attempt, not a rekey. */
#define CALL_COLLISION_NS (2 * 1000000000ull)

/* A format; its argument is the peer's name. */
#define CONTROL_OWN_FINGERPRINT                                                          \
	"peer %s is trusted by this site's own fingerprint; give the far site's, which " \
	"`longhaul keygen` printed there"

struct control;
struct link;

/* One TCP and TLS connection. */
struct conn {
	struct control *control;
	struct link *link; /* NULL until the pin check tells, where we were called */
	enum conn_state state;
	bool caller;   /* we made it */
	bool stream;   /* …for split TCP */
	bool we_open;  /* …and flows will be opened on it by us */
	bool reserved; /* it has one of the places kept for known peers */
	bool doomed;   /* closed at the end of the callback that found out */
	bool acked;    /* our ready was sent: the peer may use the session we chose */
	struct endpoint remote;
	struct loop_io io;
	SSL *ssl;
	struct loop_timer deadline;
	uint8_t *in;
	size_t in_len;
	uint8_t *out;
	size_t out_len, out_pos;
	struct rx_session *rx;	/* installed with our ready */
	uint32_t rx_id;		/* its number, chosen for our hello */
	struct tx_session *tx;	/* used once the peer is ready */
	uint64_t tags;		/* agreed: set of indices */
	uint32_t mtu_said;	/* to the peer, as what fits on our way there */
	uint64_t accelerated;	/* of them, by the peer too */
	char verify_error[320]; /* why the pin check failed, in words */
	struct conn *next;
};

/* What the control side keeps of a peer. Main thread only. */
struct link {
	struct control *control;
	struct peer *peer;
	struct conn *current; /* the one whose sessions are in use; NULL: lost, or never had */
	struct conn *dialing; /* ours, not up yet */
	struct loop_timer dial_timer;
	uint64_t backoff_ns;
	unsigned next_address; /* of those configured, tried in turn */
	struct endpoint addresses[8];
	unsigned n_addresses;
	struct rx_session *rx; /* current; older ones linger in the table */
	bool rekeying;
	uint64_t minute_ns; /* when the minute began in which errors are counted */
	unsigned errors;    /* logged in it */
	uint64_t
		rekey_retry_ns; /* when it may be tried again, if it fails or nothing comes of it */
	bool up;		/* by probes */
	uint64_t up_ns, session_ns; /* since when */
	uint64_t rekeys;
	bool called_by_us; /* who made the current connection */
	char site[64], program[32], error[400];
	uint32_t mtu_logged;		    /* path MTU, when its search had last ended */
	uint32_t mtu_seen;		    /* …when it was last looked at */
	uint64_t holes;			    /* of paths, that were logged */
	unsigned workers;		    /* it has */
	struct fingerprint mesh[PEERS_MAX]; /* peers it has up */
	unsigned n_mesh;
	unsigned streams_ours, streams_theirs; /* connections to be made, by who will open flows */
	unsigned streams_dialing, streams_turn;
	uint32_t streams_mtu; /* the path's, for which there are streams; 0: none */
	struct ramp ramp;     /* the window they begin with */
	uint64_t missing;     /* set of peers it should have up and has not */
	uint64_t missing_ns;  /* since when that has been so */
};

struct control {
	struct tunnel *tunnel;
	struct loop *loop;
	struct identity identity;
	struct ports ports; /* of connections we make */
	SSL_CTX *server, *client;
	struct loop_io listener;
	struct conn *conns;
	unsigned half_open; /* unreserved, of conns we did not make */
	struct link links[PEERS_MAX];
	unsigned n_links;
	struct loop_timer tick;
	struct route_watch *routes; /* NULL: none */
	bool stopping;
};

/* control.c: connections */
int control_init(struct control *c, struct tunnel *t, struct err *e);
void control_start(struct control *c);
void control_release(struct control *c);
void control_ask_rekey(struct tunnel *t, unsigned peer);
void control_dial(struct link *l, uint64_t after_ns);
void control_close(struct conn *c, const char *why);
void control_send(struct conn *c, json_t *message);
void control_link_error(struct link *l, const char *why);
void control_rekey(struct link *l);
int control_listen(struct control *c, struct err *e);
void control_rebind(struct control *c);
struct conn *control_call(struct link *l, const struct endpoint *to, bool stream);

/* control_tls.c: TLS contexts, pins, keys */
int control_tls_init(struct control *c, struct err *e);
void control_tls_be_stream(struct conn *c);
void control_tls_describe(struct conn *c, int ssl_ret, char *text, size_t len);
bool control_tls_export(struct conn *c, bool from_caller, unsigned worker,
			uint8_t key[SESSION_KEY_BYTES]);

/* control_stream.c: connections for split TCP */
uint32_t control_stream_segment(struct link *l, const struct endpoint *to);
void control_stream_watch(struct link *l, uint32_t path, enum pmtu_state state);
void control_want_streams(struct link *l, unsigned n, bool ours);
void control_stream_tick(struct link *l);
void control_stream_gone(struct conn *c);
bool control_is_stream(const struct conn *c);
void control_hand_over(struct conn *c);

/* control_message.c: what is said on a connection */
void control_say_hello(struct conn *c);
bool control_take(struct conn *c, const json_t *message, struct err *e);
void control_say_peers(struct control *c);
void control_say_mtu(struct link *l);

/* control_watch.c: liveness, rekeying, the mesh, status */
void control_watch_start(struct control *c);
void control_link_up(struct conn *c);
void control_link_down(struct link *l, const char *why);
json_t *control_status(struct control *c, unsigned peer, uint64_t now_ns);
void control_problems(struct control *c, json_t *all);

#endif
