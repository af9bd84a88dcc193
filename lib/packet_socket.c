// SPDX-License-Identifier: GPL-3.0-or-later
/* packet_socket.c - whole frames of an interface, read and written (AF_PACKET) */
/*
 * With PACKET_VNET_HDR, super-frames come and go whole and checksums stay
 * partial. Without it, GRO and the sender's offloads must be off on the
 * interface too, or frames come that no wire could carry.
 */
#include "lib/packet_socket.h"

#include "lib/cksum.h"
#include "lib/clock.h"
#include "lib/link.h"
#include "lib/sock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef PACKET_FANOUT_FLAG_IGNORE_OUTGOING
#define PACKET_FANOUT_FLAG_IGNORE_OUTGOING 0x4000
#endif

/* A time stamp further back than this is not believed: the system's clock was set since. */
#define ARRIVAL_OLDEST_NS NS_PER_S

static int set_options(int fd, int ifindex, const struct packet_socket_use *use, struct err *e)
{
	struct packet_mreq promisc = {.mr_ifindex = ifindex, .mr_type = PACKET_MR_PROMISC};

	sock_large_buffers(fd);
	if (use->vnet && sock_set(fd, SOL_PACKET, PACKET_VNET_HDR, 1))
		return err_set(e, errno, "PACKET_VNET_HDR: %s; try --without vnet-hdr",
			       strerror(errno));
	if (use->send_only)
		return 0;
	if (sock_set(fd, SOL_PACKET, PACKET_AUXDATA, 1))
		return err_set(e, errno, "PACKET_AUXDATA: %s", strerror(errno));
	if (sock_set(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1))
		return err_set(e, errno, "PACKET_IGNORE_OUTGOING (Linux 4.20): %s",
			       strerror(errno));
	if (use->timestamps && sock_set(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1))
		return err_set(e, errno, "SO_TIMESTAMPNS: %s", strerror(errno));
	if (setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promisc, sizeof(promisc)))
		return err_set(e, errno, "promiscuous mode: %s", strerror(errno));
	return 0;
}

/* Workers share an interface's frames by the hash of their flow, so that order within it is kept.
 */
static int join_fanout(int fd, const struct packet_socket_use *use, struct err *e)
{
	int hash = use->fanout | PACKET_FANOUT_HASH << 16;

	if (!use->shared)
		return 0;
	/* A group does not inherit its members' PACKET_IGNORE_OUTGOING; it has a flag since
	 * Linux 5.11. */
	if (!sock_set(fd, SOL_PACKET, PACKET_FANOUT,
		      hash | PACKET_FANOUT_FLAG_IGNORE_OUTGOING << 16) ||
	    !sock_set(fd, SOL_PACKET, PACKET_FANOUT, hash))
		return 0;
	return err_set(e, errno, "PACKET_FANOUT: %s", strerror(errno));
}

/*
 * Opens a non-blocking packet socket on an interface. What it receives are frames of the wire,
 * never those sent by this host; it is in promiscuous mode while the socket is open.
 * Returns the descriptor, or -errno with a text.
 */
int packet_socket_open(const char *ifname, const struct packet_socket_use *use, struct err *e)
{
	struct sockaddr_ll a = {.sll_family = AF_PACKET};
	struct link_info info;
	int fd, ret;

	ret = link_get(ifname, &info, e);
	if (ret)
		return ret;
	/* Protocol 0: nothing is received before bind() names the interface. */
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_set(e, errno, "packet socket: %s%s", strerror(errno),
			       errno == EPERM ? "; run as root, or with CAP_NET_RAW" : "");
	a.sll_ifindex = info.ifindex;
	a.sll_protocol = use->send_only ? 0 : htons(ETH_P_ALL);
	ret = set_options(fd, info.ifindex, use, e);
	if (!ret && bind(fd, (struct sockaddr *)&a, sizeof(a)))
		ret = err_set(e, errno, "bind: %s", strerror(errno));
	ret = ret ? ret : join_fanout(fd, use, e);
	if (ret) {
		close(fd);
		return ret;
	}
	return fd;
}

/* What the kernel says of a message beside its bytes. */
struct ancillary {
	const struct tpacket_auxdata *aux;
	const struct timespec *arrival;
};

static struct ancillary ancillary(struct msghdr *m)
{
	struct ancillary a = {0};
	struct cmsghdr *c;

	for (c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level == SOL_PACKET && c->cmsg_type == PACKET_AUXDATA)
			a.aux = (const struct tpacket_auxdata *)CMSG_DATA(c);
		else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS)
			a.arrival = (const struct timespec *)CMSG_DATA(c);
	}
	return a;
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

/* Both clocks at one moment. */
struct clocks {
	uint64_t mono_ns, real_ns;
};

static struct clocks clocks_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (struct clocks){clock_ns(), (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec};
}

/* The kernel stamps frames by the time of day; what is not just past was stamped before it was set.
 */
static uint64_t arrival_of(const struct timespec *stamp, const struct clocks *now)
{
	uint64_t real = (uint64_t)stamp->tv_sec * NS_PER_S + (uint64_t)stamp->tv_nsec;
	uint64_t age = now->real_ns - real;

	return age > ARRIVAL_OLDEST_NS ? now->mono_ns : now->mono_ns - age;
}

/*
 * Reads the frames that are waiting into a batch, VLAN tags back in band.
 * @vnet: the socket exchanges virtio_net_hdr
 * @max:  most frames to read, at most BATCH_MESSAGES
 * @drops: what was read and is not in the batch is added
 *
 * Where the socket has timestamps, b->arrival_ns says of each frame when the kernel got it.
 * Returns how many messages were read.
 */
unsigned packet_socket_receive(struct batch *b, int fd, bool vnet, unsigned max,
			       struct batch_drops *drops)
{
	unsigned n = batch_receive(b, fd, BATCH_HEADROOM, vnet, max);
	struct clocks now = {0};
	unsigned i;

	for (i = 0; i < n; i++) {
		uint32_t len = b->msgs[i].msg_len;
		uint8_t *data = batch_slot(b, i) + BATCH_HEADROOM;
		struct ancillary a = ancillary(&b->msgs[i].msg_hdr);

		if (((struct sockaddr_ll *)&b->names[i])->sll_pkttype == PACKET_OUTGOING)
			continue; /* our own, seen by a fanout group of an older kernel */
		if (b->msgs[i].msg_hdr.msg_flags & MSG_TRUNC) {
			drops->truncated++;
			continue;
		}
		if (vnet)
			len = len > sizeof(b->vnets[i]) ? len - (uint32_t)sizeof(b->vnets[i]) : 0;
		else if (a.aux && a.aux->tp_status & TP_STATUS_CSUMNOTREADY)
			b->vnets[i] = partial_vnet(data, len);
		else
			b->vnets[i] = (struct virtio_net_hdr){0};
		if (a.aux && a.aux->tp_status & TP_STATUS_VLAN_VALID && len >= ETH_HDR_LEN) {
			data = restore_vlan(data, a.aux, &b->vnets[i]);
			len += VLAN_TAG_LEN;
		}
		if (!batch_add(b, data, len, &b->vnets[i], drops) || !a.arrival)
			continue;
		if (!now.mono_ns)
			now = clocks_now();
		b->arrival_ns[b->n - 1] = arrival_of(a.arrival, &now);
	}
	return n;
}
