// SPDX-License-Identifier: GPL-3.0-or-later
/* port_packet.c - a border port on a NIC, veth or any other Ethernet interface (AF_PACKET) */
#include "tunnel/port.h"

#include "lib/packet_socket.h"

#include <errno.h>
#include <sys/socket.h>

static int packet_open(struct port_queue *q, struct err *e)
{
	const struct port *p = q->port;
	struct packet_socket_use use = {
		.vnet = p->vnet,
		.shared = p->n_workers > 1,
		.fanout = p->fanout,
	};

	return packet_socket_open(p->conf->name, &use, e);
}

static unsigned packet_receive(struct port_queue *q, struct batch *b, struct counters *c)
{
	struct batch_drops drops = {0};
	unsigned n = packet_socket_receive(b, q->io.fd, q->port->vnet, BATCH_MESSAGES, &drops);

	port_count_drops(&drops, c);
	return n;
}

static void packet_flush(struct port_queue *q, struct counters *c)
{
	unsigned done = 0;
	int n;

	while (done < q->n_tx) {
		n = sendmmsg(q->io.fd, q->tx_msgs + done, q->n_tx - done, MSG_DONTWAIT);
		if (n > 0) {
			done += (unsigned)n;
			continue;
		}
		if (errno == EINTR)
			continue;
		port_count_send_error(q, done, errno, c);
		done++;
	}
	q->n_tx = q->n_tx_iovs = 0;
}

const struct port_ops port_packet = {
	.kind = "packet",
	.open = packet_open,
	.receive = packet_receive,
	.flush = packet_flush,
};
