/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tunnel.h - one tunnel instance and what its parts share */
#ifndef TUNNEL_TUNNEL_H
#define TUNNEL_TUNNEL_H

#include "frob/frob.h"
#include "lib/ctlsock.h"
#include "lib/link.h"
#include "lib/loop.h"
#include "tunnel/accelerate.h"
#include "tunnel/conf.h"
#include "tunnel/counters.h"
#include "tunnel/fdb.h"
#include "tunnel/guard.h"
#include "tunnel/mirror.h"
#include "tunnel/outer.h"
#include "tunnel/peer.h"
#include "tunnel/port.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

struct control;
struct worker;

/* A bridge domain: the ports and peers that carry one tag. */
struct tag {
	uint32_t tag; /* as on the wire */
	const struct conf_tag *conf;
	uint64_t ports;			 /* set of indices */
	_Atomic uint64_t peers;		 /* set of indices: those it is bridged with now */
	uint16_t mtu;			 /* that MSS is clamped to, bytes, for status; 0: off */
	int8_t wscale;			 /* as frob_rules has it */
	struct storm storms[FDB_PLACES]; /* by where frames come from */
};

/* A tunnel. Its main thread sets it up, answers status and watches links; workers move frames. */
struct tunnel {
	const struct conf *conf;
	const struct outer_ops *outer_ops;
	struct link_info interface; /* ifindex 0: gone */
	int claim;
	_Atomic uint32_t interface_mtu; /* bytes */
	struct port ports[PORTS_MAX];
	unsigned n_ports;
	struct peer peers[PEERS_MAX];
	unsigned n_peers;
	uint64_t paced;		     /* set of those that have a rate */
	uint64_t tags_of[PEERS_MAX]; /* what each peer may be bridged with, by configuration */
	struct endpoint listen;	     /* sealed: UDP and TCP */
	int listen_family;
	struct session_table sessions;
	struct control *control; /* NULL unless sealed */
	struct accelerate accelerate;
	struct tag *tags;
	unsigned n_tags;
	struct fdb *fdb;
	struct reflect *reflect;
	_Atomic bool any_same_lan; /* two ports were found on one LAN */
	struct worker *workers[WORKERS_MAX];
	unsigned n_workers;
	struct loop *loop;
	struct link_watch *watch;
	struct ctl_server *ctl;
	struct mirror *mirrors[MIRRORS_MAX]; /* captures that run */
	uint32_t mirror_ids;
	struct loop_timer age_timer, watchdog_timer, retry_timer, mirror_timer;
	uint64_t started_ns;
	int signal; /* that ended it */
};

/* How many packets a worker seals with a key before new ones are asked for. */
static inline uint64_t tunnel_rekey_at(const struct tunnel *t)
{
	uint64_t latest = SESSION_PACKETS_MAX - SESSION_PACKETS_SPARE;

	return t->conf->rekey_after_packets < latest ? t->conf->rekey_after_packets : latest;
}

int tunnel_check(const struct conf *conf, struct err *e);
int tunnel_run(const struct conf *conf, struct err *e);
int tunnel_tag_index(const struct tunnel *t, uint32_t tag);
json_t *tunnel_status(struct tunnel *t, size_t max_macs, bool flows);

#endif
