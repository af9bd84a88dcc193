/* SPDX-License-Identifier: GPL-3.0-or-later */
/* sealed.h - what the parts of the sealed transport share */
#ifndef TUNNEL_SEALED_H
#define TUNNEL_SEALED_H

#include "tunnel/endpoint.h"
#include "tunnel/fragment.h"
#include "tunnel/outer.h"
#include "tunnel/peer.h"
#include "tunnel/session.h"

#include <stdbool.h>
#include <stdint.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103 /* linux/udp.h, Linux 4.18 */
#endif
#ifndef UDP_GRO
#define UDP_GRO 104 /* Linux 5.0 */
#endif

#define TRAINS		32
#define TRAIN_BYTES	65000 /* below what IPv4 and UDP can carry in one packet */
#define TRAIN_BUFFER	(65600 + SEALED_OVERHEAD)
#define TRAIN_DATAGRAMS 64 /* UDP_MAX_SEGMENTS of kernels before 6.9 */
#define NO_TRAIN	0xff

/* Datagrams for one place and of one class, all of one size but for the last. */
struct train {
	uint8_t *bytes;
	uint32_t len;	 /* of all datagrams */
	uint32_t size;	 /* of each but the last */
	uint32_t count;	 /* datagrams */
	uint32_t frames; /* that begin in it, and their inner bytes; for counting back */
	uint64_t inner;
	/* Bytes of the frame that begins in each datagram; 0: in one before. */
	uint32_t begins[TRAIN_DATAGRAMS];
	bool probe;  /* nobody's loss */
	bool closed; /* the last one was shorter, or it must travel alone */
	uint8_t tos;
	uint8_t peer;
	uint8_t socket;
	struct endpoint_name to;
};

struct sealed {
	struct outer outer;
	int family; /* of the sockets */
	bool gso;
	uint8_t *arena;
	struct train trains[TRAINS];
	unsigned n_trains;
	uint8_t open_train[PEERS_MAX];		  /* index of the one that may grow; NO_TRAIN */
	uint64_t probe_ns;			  /* when probes were last sent */
	uint32_t frame_id;			  /* of the next frame that is sent in fragments */
	struct reassembly *reassembly[PEERS_MAX]; /* NULL: no fragment came yet */
};

static inline struct sealed *sealed_of(struct outer *o)
{
	return (struct sealed *)o;
}

static inline void sealed_drop(struct outer *o, enum drop reason, uint64_t n)
{
	counter_add(&o->counters->drops[reason], n);
}

/* sealed_send.c */
void sealed_send(struct outer *o, unsigned tag, uint64_t peers, const struct frame *f,
		 const struct packet *p);
void sealed_flush(struct outer *o);
struct train *sealed_new_train(struct sealed *s, unsigned peer);
bool sealed_take_counter(struct sealed *s, struct peer *p, struct tx_session *tx, uint64_t *number);
bool sealed_append(struct sealed *s, struct train *tr, struct tx_session *tx,
		   struct sealed_header *h, const struct iovec *iov, int n_iov, uint32_t len);

/* sealed_probe.c */
void sealed_tick(struct outer *o);
void sealed_send_probe(struct sealed *s, struct peer *p, struct tx_session *tx, uint8_t type,
		       const struct probe *probe, uint32_t len, unsigned socket,
		       const struct endpoint *to);
void sealed_take_reply(struct sealed *s, struct peer *p, const struct probe *reply);

/* sealed_receive.c */
void sealed_take(struct outer *o, unsigned socket, struct batch *b, unsigned n);
unsigned sealed_receive(struct outer *o, unsigned socket, struct batch *b);
void sealed_release_frames(struct sealed *s);

#endif
