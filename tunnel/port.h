/* SPDX-License-Identifier: GPL-3.0-or-later */
/* port.h - border ports: where a site's LAN meets the tunnel */
#ifndef TUNNEL_PORT_H
#define TUNNEL_PORT_H

#include "lib/batch.h"
#include "lib/err.h"
#include "lib/gso.h"
#include "lib/link.h"
#include "lib/loop.h"
#include "tunnel/conf.h"
#include "tunnel/counters.h"
#include "tunnel/guard.h"

#include <stdbool.h>
#include <stdint.h>

struct port_ops;

/* A border port. Workers read it; what changes while they run is atomic, and the main thread's to
 * change. */
struct port {
	unsigned index; /* in the tunnel's ports, and in sets of ports */
	unsigned tag;	/* index of its tag in the tunnel's tags */
	const struct conf_port *conf;
	const struct port_ops *ops;
	_Atomic uint32_t mtu; /* of the interface, bytes of layer 3 */
	bool enslaved;	      /* a bridge or bond takes its frames too; the main thread\'s own */
	bool known;	      /* its state was looked at; the main thread's own */
	_Atomic bool up;      /* present and running: frames may be sent */
	int ifindex;	      /* 0: the interface is gone; the main thread's own */
	int claim;	      /* descriptor that keeps other instances away; -1: none */
	bool lro_was_on;      /* so it is turned on again at exit */
	bool vnet;	      /* the kernel exchanges virtio_net_hdr with us */
	unsigned n_workers;   /* that share it */
	_Atomic uint64_t same_lan;    /* set of ports that were found to stand on the same LAN */
	_Atomic uint64_t same_lan_ns; /* when that was last so */
	_Atomic uint16_t fanout;      /* group of their packet sockets */
};

#define PORT_TX_MESSAGES 256  /* written by one system call */
#define PORT_TX_IOVS	 4096 /* of them all */

/* One worker's end of a port: its descriptor and what waits to be written. */
struct port_queue {
	struct port *port;
	unsigned worker;   /* whose it is */
	struct loop_io io; /* fd -1: closed */
	struct mmsghdr tx_msgs[PORT_TX_MESSAGES];
	struct iovec tx_iovs[PORT_TX_IOVS];
	uint32_t tx_frames[PORT_TX_MESSAGES]; /* wire frames in each message */
	uint32_t tx_bytes[PORT_TX_MESSAGES];
	unsigned n_tx, n_tx_iovs;
	uint64_t closed_drops; /* by the kernel, of descriptors closed before */
};

/* A kind of border port. */
struct port_ops {
	const char *kind;
	/* Opens @q's descriptor, non-blocking. Returns it or -errno with a text. */
	int (*open)(struct port_queue *q, struct err *e);
	/* Reads what is waiting into @b's frames, drops counted. Returns how many messages were
	 * read. */
	unsigned (*receive)(struct port_queue *q, struct batch *b, struct counters *c);
	/* Writes the messages queued in @q, drops counted. */
	void (*flush)(struct port_queue *q, struct counters *c);
};

extern const struct port_ops port_packet, port_tap;

int port_init(struct port *p, const struct conf *conf, unsigned index, unsigned tag,
	      unsigned n_workers, struct err *e);
void port_new_fanout(struct port *p);
void port_release(struct port *p);
int port_check(const struct conf_port *conf, struct err *e);
void port_link_changed(struct port *p, const struct link_info *info);
int port_queue_open(struct port_queue *q, struct err *e);
void port_queue_close(struct port_queue *q);
uint64_t port_queue_kernel_drops(const struct port_queue *q);
void port_queue_send(struct port_queue *q, const struct gso_merged *m, const struct packet *p,
		     struct counters *c);
void port_count_send_error(struct port_queue *q, unsigned message, int error, struct counters *c);
bool port_accept_frame(struct batch *b, uint8_t *data, uint32_t len,
		       const struct virtio_net_hdr *vnet, struct counters *c);
void port_count_drops(const struct batch_drops *drops, struct counters *c);

#endif
