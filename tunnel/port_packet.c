// SPDX-License-Identifier: GPL-3.0-or-later
/* port_packet.c - a border port on a NIC, veth or any other Ethernet interface (AF_PACKET) */
/*
 * With PACKET_VNET_HDR, super-frames come and go whole and checksums stay
 * partial; --without vnet-hdr turns that off, and then GRO and the sender's
 * offloads must be off on the interface too, or frames come that no wire could
 * carry: they are counted as truncated or dropped for the MTU.
 */
#include "tunnel/port.h"

#include "lib/cksum.h"
#include "lib/sock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef PACKET_FANOUT_FLAG_IGNORE_OUTGOING
#define PACKET_FANOUT_FLAG_IGNORE_OUTGOING 0x4000
#endif

static int packet_options(int fd, int ifindex, bool vnet, struct err *e)
{
	struct packet_mreq promisc = {.mr_ifindex = ifindex, .mr_type = PACKET_MR_PROMISC};

	if (sock_set(fd, SOL_PACKET, PACKET_AUXDATA, 1))
		return err_set(e, errno, "PACKET_AUXDATA: %s", strerror(errno));
	if (sock_set(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1))
		return err_set(e, errno, "PACKET_IGNORE_OUTGOING (Linux 4.20): %s",
			       strerror(errno));
	if (vnet && sock_set(fd, SOL_PACKET, PACKET_VNET_HDR, 1))
		return err_set(e, errno, "PACKET_VNET_HDR: %s; try --without vnet-hdr",
			       strerror(errno));
	if (setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promisc, sizeof(promisc)))
		return err_set(e, errno, "promiscuous mode: %s", strerror(errno));
	sock_large_buffers(fd);
	return 0;
}

/* Workers share a port's frames by the hash of their flow, so that order within a flow is kept. */
static int join_fanout(int fd, const struct port *p, struct err *e)
{
	int hash = p->fanout | PACKET_FANOUT_HASH << 16;

	if (p->n_workers == 1)
		return 0;
	/* A group does not inherit its members' PACKET_IGNORE_OUTGOING; it has a flag since
	 * Linux 5.11. */
	if (!sock_set(fd, SOL_PACKET, PACKET_FANOUT,
		      hash | PACKET_FANOUT_FLAG_IGNORE_OUTGOING << 16) ||
	    !sock_set(fd, SOL_PACKET, PACKET_FANOUT, hash))
		return 0;
	return err_set(e, errno, "PACKET_FANOUT: %s", strerror(errno));
}

static int packet_open(struct port_queue *q, struct err *e)
{
	struct sockaddr_ll a = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	struct link_info info;
	int fd, ret;

	ret = link_get(q->port->conf->name, &info, e);
	if (ret)
		return ret;
	/* Protocol 0: nothing is received before bind() names the interface. */
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_set(e, errno, "packet socket: %s%s", strerror(errno),
			       errno == EPERM ? "; run as root, or with CAP_NET_RAW" : "");
	a.sll_ifindex = info.ifindex;
	ret = packet_options(fd, info.ifindex, q->port->vnet, e);
	if (!ret && bind(fd, (struct sockaddr *)&a, sizeof(a)))
		ret = err_set(e, errno, "bind: %s", strerror(errno));
	ret = ret ? ret : join_fanout(fd, q->port, e);
	if (ret) {
		close(fd);
		return ret;
	}
	return fd;
}

static const struct tpacket_auxdata *auxdata(struct msghdr *m)
{
	struct cmsghdr *c;

	for (c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c))
		if (c->cmsg_level == SOL_PACKET && c->cmsg_type == PACKET_AUXDATA)
			return (const struct tpacket_auxdata *)CMSG_DATA(c);
	return NULL;
}

/* Puts a VLAN tag that the kernel has taken out back in band, in the headroom. */
static uint8_t *restore_vlan(uint8_t *data, const struct tpacket_auxdata *aux,
			     struct virtio_net_hdr *vnet)
{
	uint16_t tpid = aux->tp_status & TP_STATUS_VLAN_TPID_VALID ? aux->tp_vlan_tpid
								   : ETH_P_8021Q;

	memmove(data - VLAN_TAG_LEN, data, 12);
	data -= VLAN_TAG_LEN;
	store_be16(data + 12, tpid);
	store_be16(data + 14, aux->tp_vlan_tci);
	if (vnet->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		vnet->csum_start += VLAN_TAG_LEN;
	if (vnet->hdr_len)
		vnet->hdr_len += VLAN_TAG_LEN;
	return data;
}

/* Without a virtio_net_hdr the kernel only says that the checksum is partial: where, the headers
 * tell. */
static struct virtio_net_hdr partial_vnet(uint8_t *data, uint32_t len)
{
	struct frame f = {.data = data, .len = len};

	cksum_mark_partial(&f);
	return f.vnet;
}

static unsigned packet_receive(struct port_queue *q, struct batch *b, struct counters *c)
{
	bool vnet = q->port->vnet;
	unsigned n = batch_receive(b, q->io.fd, BATCH_HEADROOM, vnet, BATCH_MESSAGES);
	unsigned i;

	for (i = 0; i < n; i++) {
		uint32_t len = b->msgs[i].msg_len;
		uint8_t *data = batch_slot(b, i) + BATCH_HEADROOM;
		const struct tpacket_auxdata *aux = auxdata(&b->msgs[i].msg_hdr);

		if (((struct sockaddr_ll *)&b->names[i])->sll_pkttype == PACKET_OUTGOING)
			continue; /* our own, seen by a fanout group of an older kernel */
		if (b->msgs[i].msg_hdr.msg_flags & MSG_TRUNC) {
			counter_add(&c->drops[DROP_truncated], 1);
			continue;
		}
		if (vnet)
			len = len > sizeof(b->vnets[i]) ? len - (uint32_t)sizeof(b->vnets[i]) : 0;
		else if (aux && aux->tp_status & TP_STATUS_CSUMNOTREADY)
			b->vnets[i] = partial_vnet(data, len);
		else
			b->vnets[i] = (struct virtio_net_hdr){0};
		if (aux && aux->tp_status & TP_STATUS_VLAN_VALID && len >= ETH_HDR_LEN) {
			data = restore_vlan(data, aux, &b->vnets[i]);
			len += VLAN_TAG_LEN;
		}
		port_accept_frame(b, data, len, &b->vnets[i], c);
	}
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
