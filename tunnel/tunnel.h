/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tunnel.h - one tunnel instance and what its parts share */
#ifndef TUNNEL_TUNNEL_H
#define TUNNEL_TUNNEL_H

#include "frob/frob.h"
#include "lib/ctlsock.h"
#include "lib/link.h"
#include "lib/loop.h"
#include "tunnel/conf.h"
#include "tunnel/counters.h"
#include "tunnel/fdb.h"
#include "tunnel/guard.h"
#include "tunnel/outer.h"
#include "tunnel/port.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

struct worker;

/* A far end. Immutable once the tunnel runs, but for what is atomic. */
struct peer {
	unsigned index;
	const struct conf_peer *conf;
	struct in_addr address;	   /* network byte order */
	uint64_t tags;		   /* set of indices of the tags bridged with it */
	_Atomic uint64_t heard_ns; /* when a valid packet came last; 0: never */
};

/* A bridge domain: the ports and peers that carry one tag. */
struct tag {
	uint32_t tag; /* as on the wire */
	const struct conf_tag *conf;
	uint64_t ports; /* sets of indices */
	uint64_t peers;
	struct frob_rules rules;	 /* mtu as resolved: 0 is off */
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
	struct tag *tags;
	unsigned n_tags;
	struct fdb *fdb;
	struct worker *worker;
	struct loop *loop;
	struct link_watch *watch;
	struct ctl_server *ctl;
	struct loop_timer age_timer, watchdog_timer, retry_timer;
	uint64_t started_ns;
	int signal; /* that ended it */
};

int tunnel_check(const struct conf *conf, struct err *e);
int tunnel_run(const struct conf *conf, struct err *e);
int tunnel_tag_index(const struct tunnel *t, uint32_t tag);
json_t *tunnel_status(struct tunnel *t);

#endif
