// SPDX-License-Identifier: GPL-3.0-or-later
/* packet_socket.c - whole frames of an interface, read and written (AF_PACKET) */
/*
 * With PACKET_VNET_HDR, super-frames come and go whole and checksums stay
 * partial. Without it, GRO and the sender's offloads must be off on the
 * interface too, or frames come that no wire could carry.
 *
 * Frames are read by recvmmsg(2), or from a ring that the kernel fills
 * (TPACKET_V2), which costs a third and tells without a system call that
 * nothing is there. A ring's slots are as long as an ordinary frame. Of a
 * longer one the slot has the beginning, and the whole waits at the socket
 * (PACKET_COPY_THRESH): so a ring of thousands of slots takes megabytes, not
 * hundreds of them, and super-frames come whole all the same.
 */
#include "lib/packet_socket.h"

#include "lib/cksum.h"
#include "lib/clock.h"
#include "lib/link.h"
#include "lib/log.h"
#include "lib/sock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef PACKET_FANOUT_FLAG_IGNORE_OUTGOING
#define PACKET_FANOUT_FLAG_IGNORE_OUTGOING 0x4000
#endif

/* A time stamp that is further from now is not believed: the system's clock was set since. */
#define ARRIVAL_FAR_NS ((int64_t)NS_PER_S)

#define CLOCKS_APART_NS 1000 /* two readings that are one moment; they take 50 ns */
#define CLOCKS_TRIES	4

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

#define RING_SLOT  2048	      /* bytes: a frame of 1522, its header, and what stands in front */
#define RING_SLOTS 32768u     /* 65 ms of 500,000 frames a second; 64 MiB */
#define RING_DATA  192	      /* where about a frame begins in its slot */
#define RING_BLOCK (1u << 20) /* the kernel allocates the ring in pieces of this size */

static struct tpacket2_hdr *slot_at(const struct packet_ring *r, unsigned i)
{
	return (struct tpacket2_hdr *)(r->map + (size_t)i * RING_SLOT);
}

/* Has the kernel fill a ring with what a socket receives. Returns 0 or -errno with a text. */
static int open_ring(struct packet_ring *r, int fd, struct err *e)
{
	struct tpacket_req req = {
		.tp_block_size = RING_BLOCK,
		.tp_frame_size = RING_SLOT,
		.tp_block_nr = RING_SLOTS / (RING_BLOCK / RING_SLOT),
		.tp_frame_nr = RING_SLOTS,
	};
	void *map;

	if (sock_set(fd, SOL_PACKET, PACKET_VERSION, TPACKET_V2) ||
	    sock_set(fd, SOL_PACKET, PACKET_COPY_THRESH, 1) ||
	    setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &req, sizeof(req)))
		return err_set(e, errno, "PACKET_RX_RING: %s", strerror(errno));
	map = mmap(NULL, (size_t)RING_SLOTS * RING_SLOT, PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_POPULATE, fd, 0);
	if (map == MAP_FAILED)
		return err_set(e, errno, "ring: %s", strerror(errno));
	*r = (struct packet_ring){.map = map};
	return 0;
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
	/* Before bind(): an interface that comes up while a ring is made would not be heard. */
	if (!ret && use->ring && open_ring(use->ring, fd, e))
		log_warning("%s: %s; frames are read by system calls", ifname, e->text);
	if (!ret && bind(fd, (struct sockaddr *)&a, sizeof(a)))
		ret = err_set(e, errno, "bind: %s", strerror(errno));
	ret = ret ? ret : join_fanout(fd, use, e);
	if (!ret)
		return fd;
	if (use->ring)
		packet_ring_close(use->ring);
	close(fd);
	return ret;
}

/* What the kernel says of a frame beside its bytes, however it is read. */
struct about {
	uint32_t status; /* TP_STATUS_… */
	uint16_t vlan_tci, vlan_tpid;
	const struct timespec *arrival; /* NULL: not said */
};

/* Puts a VLAN tag that the kernel has taken out back in band, in the headroom. */
static uint8_t *restore_vlan(uint8_t *data, const struct about *about, struct virtio_net_hdr *vnet)
{
	uint16_t tpid = about->status & TP_STATUS_VLAN_TPID_VALID ? about->vlan_tpid : ETH_P_8021Q;

	memmove(data - VLAN_TAG_LEN, data, 12);
	data -= VLAN_TAG_LEN;
	store_be16(data + 12, tpid);
	store_be16(data + 14, about->vlan_tci);
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

/*
 * Who is preempted between two readings of clocks takes them for the same moment though they are
 * not: the second reading of the one tells, and it is done again.
 */
static struct clocks clocks_now(void)
{
	struct clocks now;
	unsigned tries = 0;
	uint64_t after;

	do {
		now.mono_ns = clock_ns();
		now.real_ns = clock_real_ns();
		after = clock_ns();
	} while (after - now.mono_ns > CLOCKS_APART_NS && ++tries < CLOCKS_TRIES);
	return now;
}

/*
 * When a frame came, by the monotonic clock. The kernel stamps by the time of day; a stamp that is
 * far from now is from before that was set. One a little ahead came after the clocks were read.
 */
static uint64_t arrival_of(const struct timespec *stamp, const struct clocks *now)
{
	uint64_t real = (uint64_t)stamp->tv_sec * NS_PER_S + (uint64_t)stamp->tv_nsec;
	int64_t age = (int64_t)(now->real_ns - real);

	return age > ARRIVAL_FAR_NS || age < -ARRIVAL_FAR_NS ? now->mono_ns
							     : now->mono_ns - (uint64_t)age;
}

/* Adds a frame that was read to the batch. @vnet: NULL where the kernel exchanges none. */
static void accept_frame(struct batch *b, uint8_t *data, uint32_t len,
			 const struct virtio_net_hdr *vnet, const struct about *about,
			 struct clocks *now, struct batch_drops *drops)
{
	struct virtio_net_hdr v = {0};

	if (vnet)
		v = *vnet;
	else if (about->status & TP_STATUS_CSUMNOTREADY)
		v = partial_vnet(data, len);
	if (about->status & TP_STATUS_VLAN_VALID && len >= ETH_HDR_LEN) {
		data = restore_vlan(data, about, &v);
		len += VLAN_TAG_LEN;
	}
	if (!batch_add(b, data, len, &v, drops) || !about->arrival)
		return;
	if (!now->mono_ns)
		*now = clocks_now();
	b->arrival_ns[b->n - 1] = arrival_of(about->arrival, now);
}

static struct about about_message(struct msghdr *m)
{
	struct about a = {0};
	struct cmsghdr *c;

	for (c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		const struct tpacket_auxdata *aux = (const struct tpacket_auxdata *)CMSG_DATA(c);

		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS)
			a.arrival = (const struct timespec *)CMSG_DATA(c);
		if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA)
			continue;
		a.status = aux->tp_status;
		a.vlan_tci = aux->tp_vlan_tci;
		a.vlan_tpid = aux->tp_vlan_tpid;
	}
	return a;
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
		uint32_t len = b->msgs[i].msg_len, head = vnet ? sizeof(b->vnets[i]) : 0;
		struct about about = about_message(&b->msgs[i].msg_hdr);

		if (((struct sockaddr_ll *)&b->names[i])->sll_pkttype == PACKET_OUTGOING)
			continue; /* our own, seen by a fanout group of an older kernel */
		if (b->msgs[i].msg_hdr.msg_flags & MSG_TRUNC) {
			drops->truncated++;
			continue;
		}
		accept_frame(b, batch_slot(b, i) + BATCH_HEADROOM, len > head ? len - head : 0,
			     vnet ? &b->vnets[i] : NULL, &about, &now, drops);
	}
	return n;
}

/* Closes a ring; one that is closed is left alone. */
void packet_ring_close(struct packet_ring *r)
{
	if (r->map)
		munmap(r->map, (size_t)RING_SLOTS * RING_SLOT);
	*r = (struct packet_ring){0};
}

/* Gives slots back to the kernel: the batch that pointed into them is done with. */
static void ring_release(struct packet_ring *r)
{
	for (; r->lent; r->lent--) {
		atomic_store_explicit((_Atomic uint32_t *)&slot_at(r, r->first)->tp_status,
				      TP_STATUS_KERNEL, memory_order_release);
		r->first = (r->first + 1) % RING_SLOTS;
	}
}

/* The whole of a frame that a slot has the beginning of. Returns its length, 0: it is gone. */
static uint32_t receive_long(struct batch *b, int fd, unsigned i, bool vnet)
{
	struct iovec iov[2] = {{&b->vnets[i], sizeof(b->vnets[i])},
			       {batch_slot(b, i) + BATCH_HEADROOM, BATCH_SLOT - BATCH_HEADROOM}};
	struct msghdr m = {.msg_iov = iov + !vnet, .msg_iovlen = 1 + vnet};
	ssize_t n = recvmsg(fd, &m, MSG_DONTWAIT);
	uint32_t head = vnet ? sizeof(b->vnets[i]) : 0;

	return n > (ssize_t)head && !(m.msg_flags & MSG_TRUNC) ? (uint32_t)n - head : 0;
}

static void ring_frame(struct packet_ring *r, struct batch *b, int fd, unsigned i, bool vnet,
		       struct clocks *now, struct batch_drops *drops)
{
	struct tpacket2_hdr *h = slot_at(r, (r->first + i) % RING_SLOTS);
	struct timespec arrival = {h->tp_sec, h->tp_nsec};
	struct about about = {h->tp_status, h->tp_vlan_tci, h->tp_vlan_tpid, &arrival};
	/* In front of it are things that have been read: room enough for a VLAN tag. */
	uint8_t *data = (uint8_t *)h + h->tp_mac;
	struct virtio_net_hdr v;
	uint32_t len = h->tp_len;

	if (about.status & TP_STATUS_COPY) {
		len = receive_long(b, fd, i, vnet);
		data = batch_slot(b, i) + BATCH_HEADROOM;
		v = b->vnets[i];
	} else if (len > h->tp_snaplen) {
		len = 0;
	} else if (vnet) {
		memcpy(&v, data - sizeof(v), sizeof(v));
	}
	/* The socket had no room for the whole. */
	if (!len)
		r->overruns++;
	else
		accept_frame(b, data, len, vnet ? &v : NULL, &about, now, drops);
}

/*
 * Takes the frames that are waiting from a ring, as packet_socket_receive() does from its socket,
 * with the time of each in b->arrival_ns. They stay where they are until the next call.
 */
unsigned packet_ring_receive(struct packet_ring *r, struct batch *b, int fd, bool vnet,
			     unsigned max, struct batch_drops *drops)
{
	struct clocks now = {0};
	unsigned i;

	ring_release(r);
	b->n = 0;
	for (i = 0; i < max; i++) {
		struct tpacket2_hdr *h = slot_at(r, (r->first + i) % RING_SLOTS);

		if (!(atomic_load_explicit((_Atomic uint32_t *)&h->tp_status,
					   memory_order_acquire) &
		      TP_STATUS_USER))
			break;
		/* The kernel wrote it on another processor. Two ahead is in time. */
		__builtin_prefetch((const uint8_t *)slot_at(r, (r->first + i + 2) % RING_SLOTS) +
				   RING_DATA);
		ring_frame(r, b, fd, i, vnet, &now, drops);
	}
	r->lent = i;
	return i;
}

/*
 * What the kernel has dropped because a socket, or its ring, was not read in time.
 * @r: NULL or closed: the socket has none
 */
uint64_t packet_socket_overruns(struct packet_ring *r, int fd)
{
	struct tpacket_stats stats = {0};
	socklen_t len = sizeof(stats);

	if (!r || !r->map)
		return sock_overruns(fd);
	/* Asking resets it. */
	if (!getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len))
		r->overruns += stats.tp_drops;
	return r->overruns;
}
