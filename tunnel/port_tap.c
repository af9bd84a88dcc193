// SPDX-License-Identifier: GPL-3.0-or-later
/* port_tap.c - a border port that is a TAP device made for it */
#include "tunnel/port.h"

#include "lib/log.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

/* Missing from Debian 12's linux/if_tun.h (Linux 6.2). */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

/* Has the kernel exchange super-frames and partial checksums with us. */
static int tap_offloads(int fd, struct err *e)
{
	unsigned tso = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
	int vnet_len = sizeof(struct virtio_net_hdr);

	if (ioctl(fd, TUNSETVNETHDRSZ, &vnet_len))
		return err_set(e, errno, "TUNSETVNETHDRSZ: %s", strerror(errno));
	if (ioctl(fd, TUNSETOFFLOAD, tso | TUN_F_USO4 | TUN_F_USO6) &&
	    ioctl(fd, TUNSETOFFLOAD, tso))
		return err_set(e, errno, "TUNSETOFFLOAD: %s", strerror(errno));
	return 0;
}

static int tap_open(struct port_queue *q, struct err *e)
{
	const struct conf_port *pc = q->port->conf;
	struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI};
	int fd, ret = 0;

	if (q->port->vnet)
		ifr.ifr_flags |= IFF_VNET_HDR;
	if (q->port->n_workers > 1)
		ifr.ifr_flags |= IFF_MULTI_QUEUE;
	fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return err_set(e, errno, "/dev/net/tun: %s%s", strerror(errno),
			       errno == EACCES || errno == EPERM
				       ? "; run as root, or with access to it"
				       : "");
	memcpy(ifr.ifr_name, pc->name, IFNAMSIZ);
	if (ioctl(fd, TUNSETIFF, &ifr))
		ret = err_set(e, errno, "TUNSETIFF: %s%s", strerror(errno),
			      errno == EBUSY   ? "; another process has this TAP open"
			      : errno == EPERM ? "; run as root, or with CAP_NET_ADMIN"
					       : "");
	if (!ret && q->port->vnet)
		ret = tap_offloads(fd, e);
	ret = ret ? ret : link_set_mtu(pc->name, (uint32_t)pc->mtu, e);
	ret = ret ? ret : link_set_up(pc->name, true, e);
	if (ret) {
		close(fd);
		return ret;
	}
	return fd;
}

static unsigned tap_receive(struct port_queue *q, struct batch *b, struct counters *c)
{
	size_t head = q->port->vnet ? sizeof(struct virtio_net_hdr) : 0;
	unsigned i;

	b->n = 0;
	for (i = 0; i < BATCH_MESSAGES; i++) {
		uint8_t *data = batch_slot(b, i) + BATCH_HEADROOM;
		struct iovec iov[2] = {{&b->vnets[i], head}, {data, BATCH_SLOT - BATCH_HEADROOM}};
		ssize_t n = readv(q->io.fd, iov, 2);

		if (n < 0)
			break;
		port_accept_frame(b, data, (size_t)n > head ? (uint32_t)((size_t)n - head) : 0,
				  head ? &b->vnets[i] : NULL, c);
	}
	return i;
}

static void tap_flush(struct port_queue *q, struct counters *c)
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
	.open = tap_open,
	.receive = tap_receive,
	.flush = tap_flush,
};
