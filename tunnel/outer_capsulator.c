// SPDX-License-Identifier: GPL-3.0-or-later
/* outer_capsulator.c - the original program's packets: IPv4 protocol 245, plain text */
/*
 * On the wire: an IPv4 header, the tag (4 bytes, big-endian), the Ethernet
 * frame from its destination MAC without FCS. Frames are padded to 60 bytes,
 * because the original program hands them to a NIC as they come. The kernel
 * makes the IPv4 header, fragments what exceeds the path's MTU (DF is never
 * set) and reassembles what arrives, as it did in 2008.
 *
 * Nothing authenticates a packet but its source address, so that must be a
 * peer's; everybody on the path can read and forge.
 */
#include "tunnel/outer.h"

#include "lib/sock.h"
#include "tunnel/tunnel.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CAPSULATOR_PROTOCOL 245 /* an unassigned number; so chosen by the original program */
#define CAPSULATOR_TAG_LEN  4
#define IPV4_HDR_MIN	    20
#define IPV4_MAX	    65535

#define TX_MESSAGES 256

struct capsulator {
	struct outer outer;
	unsigned n_tx;
	struct mmsghdr msgs[TX_MESSAGES];
	struct iovec iovs[TX_MESSAGES][4]; /* tag, headers, payload, padding */
	struct sockaddr_in to[TX_MESSAGES];
	uint8_t peer[TX_MESSAGES];
	uint8_t tags[TX_MESSAGES][CAPSULATOR_TAG_LEN];
	uint8_t hdrs[TX_MESSAGES][GSO_HDR_MAX];
};

static struct capsulator *of(struct outer *o)
{
	return (struct capsulator *)o;
}

static void capsulator_close(struct outer *o)
{
	if (o->fds[0] >= 0)
		close(o->fds[0]);
	free(o);
}

static struct outer *capsulator_open(struct tunnel *t, unsigned worker, struct counters *c,
				     struct err *e)
{
	struct capsulator *p = calloc(1, sizeof(*p));
	int fd;

	if (!p) {
		err_set(e, ENOMEM, "out of memory");
		return NULL;
	}
	fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, CAPSULATOR_PROTOCOL);
	p->outer = (struct outer){.tunnel = t, .counters = c, .worker = worker, .fds = {fd, -1}};
	if (fd < 0) {
		err_set(e, errno, "raw socket: %s%s", strerror(errno),
			errno == EPERM ? "; run as root, or with CAP_NET_RAW" : "");
		capsulator_close(&p->outer);
		return NULL;
	}
	/* Path MTU discovery would set DF and refuse what the original program fragments. */
	sock_set(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
	sock_large_buffers(fd);
	if (outer_rebind(&p->outer, e)) {
		capsulator_close(&p->outer);
		return NULL;
	}
	return &p->outer;
}

static struct peer *find_peer(struct tunnel *t, in_addr_t address)
{
	unsigned i;

	for (i = 0; i < t->n_peers; i++)
		if (t->peers[i].address.s_addr == address)
			return &t->peers[i];
	return NULL;
}

/* Takes one packet, IPv4 header first, apart. */
static void receive_packet(struct outer *o, struct batch *b, uint8_t *ip, uint32_t len,
			   const struct sockaddr_in *from)
{
	uint32_t hdr = len ? (ip[0] & 0xfu) * 4 : 0;
	struct counters *c = o->counters;
	struct tunnel *t = o->tunnel;
	struct peer *peer = find_peer(t, from->sin_addr.s_addr);
	int tag;

	if (!peer) {
		counter_add(&c->drops[DROP_outer_peer], 1);
		return;
	}
	if (hdr < IPV4_HDR_MIN || len < hdr + CAPSULATOR_TAG_LEN + ETH_HDR_LEN) {
		counter_add(&c->drops[DROP_outer_short], 1);
		return;
	}
	tag = tunnel_tag_index(t, load_be32(ip + hdr));
	if (tag < 0 || !(peer->tags & 1ull << tag)) {
		counter_add(&c->drops[DROP_outer_tag], 1);
		return;
	}
	hdr += CAPSULATOR_TAG_LEN;
	if (!port_accept_frame(b, ip + hdr, len - hdr, NULL, c))
		return;
	b->frames[b->n - 1].key = outer_key((unsigned)tag, peer->index);
}

static unsigned capsulator_receive(struct outer *o, unsigned socket, struct batch *b)
{
	unsigned n = batch_receive(b, o->fds[socket], 0, false, BATCH_MESSAGES);
	unsigned i;

	for (i = 0; i < n; i++) {
		if (b->msgs[i].msg_hdr.msg_flags & MSG_TRUNC)
			counter_add(&o->counters->drops[DROP_truncated], 1);
		else
			receive_packet(o, b, batch_slot(b, i), b->msgs[i].msg_len,
				       (const struct sockaddr_in *)&b->names[i]);
	}
	return n;
}

static void count_send_error(struct capsulator *p, unsigned i, int error)
{
	struct counters *c = p->outer.counters;
	struct traffic *out = &c->peers[p->peer[i]].out;

	counter_add(&c->drops[outer_drop_reason(error)], 1);
	counter_add(&out->frames, -1ull);
	counter_add(&out->bytes, -(p->iovs[i][1].iov_len + p->iovs[i][2].iov_len));
}

static void capsulator_flush(struct outer *o)
{
	struct capsulator *p = of(o);
	unsigned done = 0;
	int n;

	while (done < p->n_tx) {
		n = sendmmsg(o->fds[0], p->msgs + done, p->n_tx - done, MSG_DONTWAIT);
		if (n > 0) {
			done += (unsigned)n;
			continue;
		}
		if (errno == EINTR)
			continue;
		count_send_error(p, done, errno);
		done++;
	}
	p->n_tx = 0;
}

/* Queues one wire frame for one peer. Its headers are copied: the caller's buffer serves the next
 * one. */
static void queue_segment(struct capsulator *p, uint32_t tag, const struct peer *peer,
			  const uint8_t *hdr, const struct gso_segment *seg)
{
	static const uint8_t zeros[FRAME_MIN];
	struct counters *c = p->outer.counters;
	uint32_t len = seg->hdr_len + seg->payload_len;
	uint32_t pad = len < FRAME_MIN ? FRAME_MIN - len : 0;
	uint32_t packet = IPV4_HDR_MIN + CAPSULATOR_TAG_LEN + len + pad;
	unsigned i;

	if (packet > IPV4_MAX) {
		counter_add(&c->drops[DROP_outer_too_big], 1);
		return;
	}
	if (p->n_tx == TX_MESSAGES)
		capsulator_flush(&p->outer);
	i = p->n_tx++;
	store_be32(p->tags[i], tag);
	memcpy(p->hdrs[i], hdr, seg->hdr_len);
	p->iovs[i][0] = (struct iovec){p->tags[i], CAPSULATOR_TAG_LEN};
	p->iovs[i][1] = (struct iovec){p->hdrs[i], seg->hdr_len};
	p->iovs[i][2] = (struct iovec){(void *)seg->payload, seg->payload_len};
	p->iovs[i][3] = (struct iovec){(void *)zeros, pad};
	p->to[i] = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = peer->address};
	p->peer[i] = (uint8_t)peer->index;
	p->msgs[i].msg_hdr = (struct msghdr){.msg_name = &p->to[i],
					     .msg_namelen = sizeof(p->to[i]),
					     .msg_iov = p->iovs[i],
					     .msg_iovlen = 4};
	counter_add(&c->peers[peer->index].out.frames, 1);
	counter_add(&c->peers[peer->index].out.bytes, len);
	counter_add(&c->outer_fragmented, packet > p->outer.tunnel->interface_mtu);
}

static void capsulator_send(struct outer *o, unsigned tag, uint64_t peers, const struct frame *f,
			    const struct packet *layers)
{
	struct tunnel *t = o->tunnel;
	struct gso_split split;
	struct gso_segment seg;
	uint8_t hdr[GSO_HDR_MAX];
	enum gso_error err = gso_split_begin(&split, f, 0);
	uint64_t left;

	if (err) {
		counter_add(&o->counters->drops[err == GSO_UNSUPPORTED ? DROP_offload_unsupported
								       : DROP_offload_malformed],
			    1);
		return;
	}
	for (left = peers; left && split.count > 1; left &= left - 1)
		counter_add(&o->counters->peers[__builtin_ctzll(left)].out.supers, 1);
	while (gso_split_next(&split, hdr, &seg))
		for (left = peers; left; left &= left - 1)
			queue_segment(of(o), t->tags[tag].tag, &t->peers[__builtin_ctzll(left)],
				      hdr, &seg);
}

static bool capsulator_is_own(const struct tunnel *t, const struct frame *f, const struct packet *p)
{
	uint32_t src, dst;
	unsigned i;

	if (p->ip_version != 4 || p->proto != CAPSULATOR_PROTOCOL)
		return false;
	memcpy(&src, f->data + p->l3 + 12, sizeof(src));
	memcpy(&dst, f->data + p->l3 + 16, sizeof(dst));
	for (i = 0; i < t->n_peers; i++)
		if (t->peers[i].address.s_addr == src || t->peers[i].address.s_addr == dst)
			return true;
	return false;
}

const struct outer_ops outer_capsulator = {
	.name = "capsulator",
	.plain_text = true,
	.overhead = IPV4_HDR_MIN + CAPSULATOR_TAG_LEN,
	.workers_max = 1, /* a raw socket hands every packet to each of its readers */
	.open = capsulator_open,
	.close = capsulator_close,
	.receive = capsulator_receive,
	.send = capsulator_send,
	.flush = capsulator_flush,
	.is_own = capsulator_is_own,
};
