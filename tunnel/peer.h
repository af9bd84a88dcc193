/* SPDX-License-Identifier: GPL-3.0-or-later */
/* peer.h - a far end: where it is, what we share with it, how the path to it does */
#ifndef TUNNEL_PEER_H
#define TUNNEL_PEER_H

#include "lib/counter.h"
#include "tunnel/conf.h"
#include "tunnel/endpoint.h"
#include "tunnel/pmtu.h"
#include "tunnel/proto.h"
#include "tunnel/session.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct paced;

/* Which of a worker's two sockets sends and receives. */
enum { SOCKET_LISTEN, SOCKET_OUT };

/* Where a peer can be reached. Immutable: a change makes a new one (RCU). */
struct peer_places {
	bool has_direct;
	struct endpoint direct; /* its listening port, as configured */
	uint64_t has_learnt;	/* set of its workers */
	struct endpoint
		learnt[WORKERS_MAX]; /* where each of its workers was last heard, authenticated */
	struct rcu_head rcu;
};

/* One of our workers' way to a peer, as probes see it. Times on the monotonic clock. */
struct path {
	_Atomic uint64_t sent;	  /* probes */
	_Atomic uint64_t echoed;  /* replies */
	_Atomic uint64_t echo_ns; /* when the last one came; 0: none under this session */
	_Atomic uint64_t rtt_ns;  /* smoothed, RFC 6298 section 2: 7/8 old, 1/8 new */
	_Atomic uint64_t
		jitter_ns; /* smoothed difference of consecutive RTTs, as RFC 3550 section 6.4.1 */
	_Atomic uint64_t last_rtt_ns;
	/* What the peer says it received of what this worker sent it, under the session in use. */
	_Atomic uint64_t highest, received;

	/*
	 * Path MTU. Each worker probes the path of its own 5-tuple, since ECMP may
	 * take each by another way. The lock is of pmtu: a reply may reach another
	 * worker than the one that asked. What is read by others is copied out.
	 */
	pthread_mutex_t lock;
	struct pmtu pmtu;
	_Atomic uint32_t usable, mtu; /* as of struct pmtu */
	_Atomic uint8_t mtu_state;    /* enum pmtu_state */
	_Atomic uint8_t headers;      /* of IP and UDP, in bytes */
	_Atomic uint64_t holes;
	counter large;		       /* packets longer than the base size that were sent */
	uint64_t large_before, missed; /* when the last small probe left; the worker's own */
	struct endpoint place;	       /* that pmtu is of; likewise */
};

/* A far end. Workers read it; what changes while they run is atomic or under RCU. */
struct peer {
	unsigned index;
	const struct conf_peer *conf;
	struct in_addr address;		/* capsulator: the one address, network byte order */
	_Atomic uint64_t tags;		/* set of indices of the tags bridged with it */
	_Atomic uint64_t heard_ns;	/* when a valid packet came last; 0: never */
	struct tx_session *tx;		/* RCU; NULL: nothing may be sent */
	struct peer_places *places;	/* RCU */
	pthread_mutex_t places_lock;	/* of those who replace it */
	_Atomic bool gso_off;		/* UDP_SEGMENT failed towards this peer */
	_Atomic uint32_t inner_mtu;	/* largest inner packet that is sent to it in one piece */
	_Atomic uint32_t mtu_back;	/* …and by it to us, as it says; 0: not known */
	struct paced *paced;		/* frames that wait for its rate; NULL: it has none */
	struct path paths[WORKERS_MAX]; /* by our worker */
};

int peer_init(struct peer *p, const struct conf_peer *conf, unsigned index);
void peer_release(struct peer *p);
void peer_set_direct(struct peer *p, const struct endpoint *e);
void peer_learn(struct peer *p, unsigned worker, const struct endpoint *from);
void peer_trim_places(struct peer *p, unsigned n_workers);
bool peer_place(const struct peer *p, unsigned worker, struct endpoint *to, unsigned *socket);
bool peer_is_at(const struct peer *p, const struct endpoint *host);
bool peer_is_ipv6(const struct peer *p);
void peer_use_session(struct peer *p, struct tx_session *s);
void peer_probe_echoed(struct peer *p, unsigned worker, const struct probe *reply, uint64_t now_ns);
void peer_path_begins(struct path *path, const struct endpoint *to, uint64_t raise_ns,
		      uint32_t interface_mtu);
void peer_path_ends(struct path *path);
uint32_t peer_path_poll(struct path *path, uint32_t interface_mtu, uint64_t mark, uint64_t now_ns);
void peer_suspect_paths(struct peer *p, unsigned n_workers);
bool peer_path_acked(struct path *path, uint64_t mark, uint64_t now_ns);
bool peer_path_is_ipv6(const struct peer *p);
uint32_t peer_path_mtu(const struct peer *p, unsigned n_workers);
enum pmtu_state peer_path_state(const struct peer *p, unsigned n_workers);
uint64_t peer_path_holes(const struct peer *p, unsigned n_workers);
bool peer_is_up(const struct peer *p, unsigned n_workers, uint64_t dead_after_ns, uint64_t now_ns);

#endif
