/* SPDX-License-Identifier: GPL-3.0-or-later */
/* flow.h - TCP connections of accelerated tags that something was decided about */
#ifndef ACCEL_FLOW_H
#define ACCEL_FLOW_H

#include "accel/record.h"
#include "accel/segment.h"
#include "lib/packet.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define _LGPL_SOURCE
#include <urcu.h>
#include <urcu/rculfhash.h>

struct relay;
struct shard;
struct tap;

/* A connection as this site sees it: the host behind a border port, and the one behind a peer. */
struct flow_key {
	uint8_t local[16], remote[16]; /* IPv4 mapped into IPv6 */
	uint16_t local_port, remote_port;
	uint16_t vid;
	uint16_t tag; /* index */
};

_Static_assert(sizeof(struct flow_key) == 40, "hashed whole, so it has no holes");

/* What becomes of its segments. */
enum flow_way {
	FLOW_HELD,   /* SYNs are kept, other segments dropped: the far side is being asked */
	FLOW_DIVERT, /* from the host to the stack, from the stack to the host */
	FLOW_BRIDGE, /* as if there were no acceleration */
	FLOW_RESET,  /* it is no more: each segment is answered by a reset that is believed */
	FLOW_CLOSED, /* it ended well: what is repeated is acknowledged */
	FLOW_QUERY,  /* dropped until the peer has said whether it was accelerated */
	FLOW_WAYS
};

/* Whether the host's FIN is kept from the stack. */
enum flow_fin { FLOW_FIN_NONE, FLOW_FIN_WITHHELD, FLOW_FIN_RELEASED };

/* The headers of a segment, to make the FIN of. */
#define FLOW_HEADERS_MAX 128

/* The entries of one relay thread, its own. */
struct flow_list {
	struct shard *shard;
	struct flow *first, *at; /* at: is looked at next; NULL: the first one is */
	unsigned n;
};

/* Shared by the threads: workers read it under RCU; what they change is atomic or under its lock.
 */
struct flow {
	struct cds_lfht_node node; /* beside the key, which is read next */
	struct flow_key key;
	struct shard *shard; /* whose relay thread's it is */
	uint8_t ip_version;
	_Atomic uint8_t way; /* enum flow_way */
	uint8_t local_mac[6], remote_mac[6];
	struct tap *tap;
	unsigned peer;
	_Atomic uint32_t seen_ms;  /* when a segment of it came last */
	_Atomic uint32_t until_ms; /* when it is forgotten; 0: not yet decided */
	_Atomic uint16_t
		offer_mss;	   /* what our SYNs to the host offer: the other host's; 0: as is */
	_Atomic uint16_t host_mss; /* what the host's SYN offered */
	_Atomic uint32_t first;	   /* sequence number of the host's first byte; by its SYN */
	_Atomic bool has_first;	   /* it is known */
	_Atomic uint8_t fin;	   /* enum flow_fin */
	_Atomic uint32_t fin_seq;  /* where the host's FIN stands */
	_Atomic bool has_error;	   /* while connecting: an ICMP error came */
	_Atomic uint8_t reason;	   /* of FLOW_BRIDGE: enum accel_reason */
	pthread_mutex_t lock;	   /* of the following */
	struct segment_error error;
	uint8_t headers[FLOW_HEADERS_MAX]; /* of the host's newest segment since its FIN, untagged
					    */
	uint16_t headers_len;
	/* Written for each segment from the stack, so not beside what is read for each to it. */
	_Atomic uint32_t stack_syn;  /* sequence number of the stack's SYN */
	_Atomic uint32_t stack_ack;  /* what the stack expects next of the host */
	_Atomic uint32_t stack_edge; /* …and where its window has ended at most */
	_Atomic uint8_t stack_scale; /* of that window */
	int slot;	     /* in the journal, + 1; 0: none. Its relay thread's own, as are */
	struct relay *relay; /* NULL: nothing is relayed (any more) */
	struct flow_list *list;
	struct flow *prev, *next; /* in that list */
	struct rcu_head rcu;
};

struct flow_table {
	struct cds_lfht *table;
	uint64_t seed;
	_Atomic uint32_t count;
};

int flow_table_init(struct flow_table *t);
void flow_table_release(struct flow_table *t);
struct flow *flow_find(const struct flow_table *t, const struct flow_key *key);
struct flow *flow_add(struct flow_table *t, const struct flow_key *key, uint8_t ip_version,
		      enum flow_way way, uint32_t now_ms, struct flow_list *to);
bool flow_settle(struct flow *f, enum flow_way way);
uint64_t flow_hash(const struct flow_table *t, const struct flow_key *key);
void flow_remove(struct flow_table *t, struct flow *f);
void flow_sweep(struct flow_table *t, bool (*each)(void *ctx, struct flow *f), void *ctx);
void flow_list_sweep(struct flow_table *t, struct flow_list *l, unsigned n,
		     bool (*each)(void *ctx, struct flow *f), void *ctx);

void flow_key_of(struct flow_key *key, unsigned tag, const struct frame *f, const struct packet *p,
		 bool from_local);
void flow_key_tuple(const struct flow_key *key, uint8_t ip_version, bool local_is_client,
		    uint32_t tag, struct tuple *t);
void flow_key_from_tuple(struct flow_key *key, const struct tuple *t, bool local_is_client,
			 unsigned tag);

void flow_stack_says(struct flow *fl, const struct frame *f, const struct packet *p,
		     const struct segment *s);
void flow_host_answers(struct flow *fl, const struct frame *f, const struct packet *p,
		       const struct segment *s);
bool flow_fin_filter(struct flow *fl, struct frame *f, const struct packet *p,
		     const struct segment *s);
bool flow_fin_release(struct flow *fl, uint8_t *frame, uint32_t *len);

#endif
