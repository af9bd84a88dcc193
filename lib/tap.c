// SPDX-License-Identifier: GPL-3.0-or-later
/* tap.c - TAP devices: made, read */
#include "lib/tap.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
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
static int offloads(int fd, struct err *e)
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

/*
 * Opens a queue of a TAP, which is made if it is not there; it is down then,
 * with the kernel's MTU. It goes with its last queue.
 * @vnet:   frames come and go with a virtio_net_hdr, super-frames whole
 * @shared: several queues will be opened
 *
 * Returns a non-blocking descriptor, or -errno with a text.
 */
int tap_open(const char *name, bool vnet, bool shared, struct err *e)
{
	struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI};
	int fd, ret = 0;

	if (vnet)
		ifr.ifr_flags |= IFF_VNET_HDR;
	if (shared)
		ifr.ifr_flags |= IFF_MULTI_QUEUE;
	fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return err_set(e, errno, "/dev/net/tun: %s%s", strerror(errno),
			       errno == EACCES || errno == EPERM
				       ? "; run as root, or with access to it"
				       : "");
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (ioctl(fd, TUNSETIFF, &ifr))
		ret = err_set(e, errno, "TUNSETIFF: %s%s", strerror(errno),
			      errno == EBUSY   ? "; another process has this TAP open"
			      : errno == EPERM ? "; run as root, or with CAP_NET_ADMIN"
					       : "");
	if (!ret && vnet)
		ret = offloads(fd, e);
	if (!ret)
		return fd;
	close(fd);
	return ret;
}

/*
 * Reads what waits in a TAP's queue into a batch's frames.
 * @drops: what is not among them is added here
 * Returns how many messages came.
 */
unsigned tap_receive(struct batch *b, int fd, bool vnet, struct batch_drops *drops)
{
	size_t head = vnet ? sizeof(struct virtio_net_hdr) : 0;
	unsigned i;

	b->n = 0;
	for (i = 0; i < BATCH_MESSAGES; i++) {
		uint8_t *data = batch_slot(b, i) + BATCH_HEADROOM;
		struct iovec iov[2] = {{&b->vnets[i], head}, {data, BATCH_SLOT - BATCH_HEADROOM}};
		ssize_t n = readv(fd, iov, 2);

		if (n < 0)
			break;
		batch_add(b, data, (size_t)n > head ? (uint32_t)((size_t)n - head) : 0,
			  head ? &b->vnets[i] : NULL, drops);
	}
	return i;
}
