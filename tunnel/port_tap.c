// SPDX-License-Identifier: GPL-3.0-or-later
/* port_tap.c - a border port that is a TAP device made for it */
#include "tunnel/port.h"

#include "lib/tap.h"

#include <errno.h>
#include <sys/uio.h>
#include <unistd.h>

static int open_queue(struct port_queue *q, struct err *e)
{
	const struct conf_port *pc = q->port->conf;
	int fd = tap_open(pc->name, q->port->vnet, q->port->n_workers > 1, e), ret;

	if (fd < 0)
		return fd;
	ret = link_set_mtu(pc->name, (uint32_t)pc->mtu, e);
	ret = ret ? ret : link_set_up(pc->name, true, e);
	if (!ret)
		return fd;
	close(fd);
	return ret;
}

static unsigned receive(struct port_queue *q, struct batch *b, struct counters *c)
{
	struct batch_drops drops = {0};
	unsigned n = tap_receive(b, q->io.fd, q->port->vnet, &drops);

	port_count_drops(&drops, c);
	return n;
}

static void flush(struct port_queue *q, struct counters *c)
{
	unsigned i;

	for (i = 0; i < q->n_tx; i++) {
		const struct msghdr *m = &q->tx_msgs[i].msg_hdr;

		if (writev(q->io.fd, m->msg_iov, (int)m->msg_iovlen) < 0)
			port_count_send_error(q, i, errno, c);
	}
	q->n_tx = q->n_tx_iovs = 0;
}

const struct port_ops port_tap = {
	.kind = "tap",
	.open = open_queue,
	.receive = receive,
	.flush = flush,
};
