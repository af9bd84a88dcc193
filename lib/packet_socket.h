/* SPDX-License-Identifier: GPL-3.0-or-later */
/* packet_socket.h - whole frames of an interface, read and written (AF_PACKET) */
#ifndef LIB_PACKET_SOCKET_H
#define LIB_PACKET_SOCKET_H

#include "lib/batch.h"
#include "lib/err.h"

#include <stdbool.h>
#include <stdint.h>

/* A ring that the kernel fills with a socket's frames. Zeroed: closed. */
struct packet_ring {
	uint8_t *map;	   /* NULL: closed */
	unsigned first;	   /* slot that is not given back yet, or filled next */
	unsigned lent;	   /* slots that the last batch points into */
	uint64_t overruns; /* frames there was no room for */
};

/* What a packet socket is opened for. */
struct packet_socket_use {
	bool vnet; /* exchange a virtio_net_hdr with the kernel: super-frames come and go whole */
	bool send_only;	 /* receive nothing, ask for no promiscuous mode */
	bool timestamps; /* have the kernel say when each frame came (batch.arrival_ns) */
	bool shared;	 /* several sockets share the frames by the hash of their flow… */
	struct packet_ring *ring; /* closed: it is opened if it can be; NULL: none is wanted */
	uint16_t fanout;	  /* …those of this group */
};

int packet_socket_open(const char *ifname, const struct packet_socket_use *use, struct err *e);
unsigned packet_socket_receive(struct batch *b, int fd, bool vnet, unsigned max,
			       struct batch_drops *drops);
void packet_ring_close(struct packet_ring *r);
unsigned packet_ring_receive(struct packet_ring *r, struct batch *b, int fd, bool vnet,
			     unsigned max, struct batch_drops *drops);
uint64_t packet_socket_overruns(struct packet_ring *r, int fd);

#endif
