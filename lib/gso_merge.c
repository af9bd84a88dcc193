// SPDX-License-Identifier: GPL-3.0-or-later
/* gso_merge.c - consecutive wire frames of a flow into super-frames */

/*
 * Theory of operation
 *
 * Frames of one batch are looked at in order of arrival. Each becomes the head
 * of a new group or joins the open group of its flow. A flow has at most one
 * open group; a group is
 *
 *	open    at its head, if that is a frame others may join, and as long as
 *		full-sized frames that continue it come in
 *	closed  for good by PSH, by a shorter frame, and by any frame of the flow
 *		that cannot join: that one begins the next group
 *
 * Groups are given out in order of their heads. A closed group never grows
 * again, so within a flow nothing overtakes anything, whether it can be merged
 * or not. What belongs to an unknown flow of the protocol, a fragment for one,
 * closes the groups of all its flows.
 *
 * The invariant behind every rule: gso_split of a group's super-frame gives
 * back the frames that came in, byte for byte. So what a split recomputes
 * (lengths, IPv4 identification, checksums) must be what a split would write,
 * and everything else must be the same in all frames. Both checksums are
 * verified before that, because a merged frame gets a new one: damage would be
 * made good to the receiver.
 *
 * The table of open groups is a cache without chains: a flow that finds its
 * set full evicts another, which merely closes that one's group. So no choice
 * of addresses makes a look-up long. It is emptied by counting up a generation.
 *
 * All storage is allocated at gso_merge_new(); nothing of one batch outlives
 * the next.
 */
#include "lib/gso.h"

#include "lib/cksum.h"
#include "lib/gso_wire.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/*
 * iovecs in a group. A quarter of what writev() takes (UIO_MAXIOV, 1024), and
 * more than 45, the segments of 1448 bytes that fit a super-frame.
 */
#define FRAMES_MAX 256
/* UDP_MAX_SEGMENTS of older kernels (128 today): what receivers with UDP_GRO had to expect. */
#define UDP_FRAMES_MAX 64
#define IP_LEN_MAX     65535 /* RFC 791: total length has 16 bits */
#define WAYS	       4     /* flows that share a set of the table before one is evicted */

#define HASH_FACTOR UINT64_C(0x9e3779b97f4a7c15) /* 2^64 / golden ratio: Knuth, TAOCP 6.4 */

/* Indices of gso_merge.generation */
enum { FLOW_TCP, FLOW_UDP, FLOW_PROTOS };

/* A place for an open group. */
struct slot {
	uint64_t generation; /* open only if it is its protocol's present one */
	uint32_t group;	     /* index of the group */
};

struct group {
	struct packet p;      /* of the head, and but for l3_end of all */
	uint32_t first, last; /* indices of frames; gso_merge.follower leads from one to the next */
	uint32_t frames;      /* how many */
	uint32_t payload;     /* bytes behind TCP or UDP headers in all frames together */
	uint32_t size;	      /* …of the head: none of the others may have more */
	bool verified;	      /* the head's checksums have been found right, by means of: */
	uint32_t ip_sum; /* the sum of the IPv4 header but for length, identification, checksum */
	uint32_t pseudo; /* the sum of the pseudo-header but for its length */
};

struct gso_merge {
	uint32_t max_frames;
	uint32_t sets_mask; /* sets of WAYS slots, less 1 */
	bool udp;	    /* UDP datagrams are merged too */
	bool nothing;	    /* nothing is merged */
	uint64_t clock;	    /* the last generation given out; 64 bits never come round */
	uint64_t generation[FLOW_PROTOS];
	struct slot *slots;
	struct frame *frames; /* the batch */
	uint32_t *follower;   /* of each frame: the next one of its group */
	struct group *groups;
	uint32_t count;		/* groups of this batch */
	struct gso_merged *out; /* of each group */
	struct iovec *iov;	/* of each frame; the groups' lie one behind the other */
};

/**
 * gso_merge_new - storage for merging
 * @max_frames: the most frames a batch will have, >= 1
 * @flags: GSO_MERGE_UDP, or 0 to merge TCP alone, or GSO_MERGE_NOTHING
 *
 * Return: what gso_merge_batch() needs, for one thread at a time; NULL without
 * memory.
 */
struct gso_merge *gso_merge_new(uint32_t max_frames, unsigned flags)
{
	struct gso_merge *m = calloc(1, sizeof(*m));
	uint32_t sets = 1;

	if (!m)
		return NULL;
	/* Two slots for each flow at the least, if every frame is of another one. */
	while (sets * WAYS < 2 * max_frames)
		sets *= 2;
	m->max_frames = max_frames;
	m->sets_mask = sets - 1;
	m->udp = flags & GSO_MERGE_UDP;
	m->nothing = flags & GSO_MERGE_NOTHING;
	m->slots = calloc((size_t)sets * WAYS, sizeof(*m->slots));
	m->follower = calloc(max_frames, sizeof(*m->follower));
	m->groups = calloc(max_frames, sizeof(*m->groups));
	m->out = calloc(max_frames, sizeof(*m->out));
	m->iov = calloc(max_frames, sizeof(*m->iov));
	if (m->slots && m->follower && m->groups && m->out && m->iov)
		return m;
	gso_merge_free(m);
	return NULL;
}

/**
 * gso_merge_free - give back what gso_merge_new() took
 * @m: may be NULL
 */
void gso_merge_free(struct gso_merge *m)
{
	if (!m)
		return;
	free(m->slots);
	free(m->follower);
	free(m->groups);
	free(m->out);
	free(m->iov);
	free(m);
}

static const uint8_t *addresses(const uint8_t *data, const struct packet *p)
{
	return data + p->l3 + (p->ip_version == 4 ? IPV4_ADDRS : IPV6_ADDRS);
}

/* Of source and destination together. */
static uint32_t addresses_len(const struct packet *p)
{
	return p->ip_version == 4 ? 2 * 4 : 2 * 16;
}

/*
 * Multiply and fold: as even as a cache index needs. Who finds collisions
 * evicts flows, and nothing else.
 */
static uint32_t flow_hash(const struct frame *f, const struct packet *p)
{
	const uint8_t *at = addresses(f->data, p);
	uint64_t hash = (f->key * HASH_FACTOR + load_be32(f->data + p->l4)) * HASH_FACTOR;

	for (uint32_t i = 0; i < addresses_len(p); i += 8)
		hash = (hash ^ load_be64(at + i)) * HASH_FACTOR;
	return (uint32_t)(hash >> 32);
}

/*
 * A flow is what has to stay in order: the same bridge domain, Ethernet
 * addresses and tags (802.1Q section 8.6.6 keeps order within those and a
 * priority), IP addresses, protocol and ports.
 */
static bool same_flow(const struct gso_merge *m, const struct group *g, const struct frame *f,
		      const struct packet *p)
{
	const struct frame *head = &m->frames[g->first];

	return head->key == f->key && g->p.l3 == p->l3 && g->p.ip_version == p->ip_version &&
	       g->p.proto == p->proto && memcmp(head->data, f->data, p->l3) == 0 &&
	       memcmp(addresses(head->data, &g->p), addresses(f->data, p), addresses_len(p)) == 0 &&
	       memcmp(head->data + g->p.l4, f->data + p->l4, 4) == 0;
}

static bool slot_open(const struct gso_merge *m, const struct slot *s)
{
	return s->generation == m->generation[FLOW_TCP] || s->generation == m->generation[FLOW_UDP];
}

/* The slot of @set that holds the open group of the frame's flow, or NULL. */
static struct slot *slot_find(const struct gso_merge *m, struct slot *set, const struct frame *f,
			      const struct packet *p)
{
	for (struct slot *s = set; s < set + WAYS; s++)
		if (slot_open(m, s) && same_flow(m, &m->groups[s->group], f, p))
			return s;
	return NULL;
}

/* A slot of @set to open a group in: a free one, or else another flow's. */
static struct slot *slot_take(const struct gso_merge *m, struct slot *set)
{
	for (struct slot *s = set; s < set + WAYS; s++)
		if (!slot_open(m, s))
			return s;
	return set;
}

static void slot_close(struct slot *s)
{
	s->generation = 0;
}

/*
 * Close every group that a frame of an unknown flow may belong to. The
 * protocol is told by a fragment too, so that the fragments of a datagram do
 * not keep TCP from being merged.
 */
static void close_unknown(struct gso_merge *m, const struct packet *p)
{
	if (p->proto != IPPROTO_UDP)
		m->generation[FLOW_TCP] = ++m->clock;
	if (p->proto != IPPROTO_TCP)
		m->generation[FLOW_UDP] = ++m->clock;
}

static uint32_t payload_len(const struct packet *p)
{
	return p->l3_end - p->payload;
}

/*
 * What must hold of a frame, whatever its neighbours are, to be merged. Flags
 * and reserved bits of TCP other than ACK and PSH mean one segment; SYN, FIN,
 * URG, ECE, CWR and AE are among them.
 */
static bool mergeable(const struct frame *f, const struct packet *p)
{
	const uint8_t *l4 = f->data + p->l4;

	if (f->vnet.gso_type != VIRTIO_NET_HDR_GSO_NONE || p->ip_options || p->l3_end != f->len ||
	    payload_len(p) == 0)
		return false;
	if ((f->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) &&
	    (f->vnet.csum_start != p->l4 || f->vnet.csum_offset != gso_check_offset(p)))
		return false;
	if (p->proto == IPPROTO_TCP)
		return (load_be16(l4 + TCP_FLAGS - 1) & 0x0fff & ~TCP_PSH) == TCP_ACK;
	return load_be16(l4 + UDP_LENGTH) == p->l3_end - p->l4;
}

/* Sum what all frames of a group have in common. A ones complement takes a word out again. */
static void group_sums(struct group *g, const uint8_t *head)
{
	const uint8_t *ip = head + g->p.l3;

	g->pseudo = cksum_pseudo(head, &g->p, 0);
	if (g->p.ip_version != 4)
		return;
	g->ip_sum = cksum_add(0, ip, IPV4_HDR);
	g->ip_sum += load_be16(ip + IPV4_TOTAL_LEN) ^ 0xffff;
	g->ip_sum += load_be16(ip + IPV4_ID) ^ 0xffff;
	g->ip_sum += load_be16(ip + IPV4_CHECK) ^ 0xffff;
}

/*
 * Are the IP and the transport checksum of a frame, which has the headers of
 * the group, right, and in the form in which a split would write them? Ones
 * complement has two zeros: IPv4 headers get 0x0000, transports 0xffff. A
 * partial checksum must be the pseudo-header's sum; what it will come to is
 * trusted.
 */
static bool checksums_right(const struct group *g, const struct frame *f, const struct packet *p)
{
	const uint8_t *ip = f->data + p->l3, *l4 = f->data + p->l4;
	uint32_t l4_len = p->l3_end - p->l4;
	uint16_t check = load_be16(l4 + gso_check_offset(p));

	if (p->ip_version == 4 &&
	    load_be16(ip + IPV4_CHECK) != cksum_fold(g->ip_sum + load_be16(ip + IPV4_TOTAL_LEN) +
						     load_be16(ip + IPV4_ID)))
		return false;
	if (f->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		return check == gso_partial_check(g->pseudo + l4_len);
	return check != 0 && cksum_fold(cksum_add(g->pseudo + l4_len, l4, l4_len)) == 0;
}

/* Is what a split copies from the head the same here, and what it counts up as counted? */
static bool ip_continues(const struct group *g, const uint8_t *head, const uint8_t *ip)
{
	if (g->p.ip_version == 6)
		return memcmp(head, ip, IPV6_PAYLOAD_LEN) == 0 &&
		       memcmp(head + IPV6_NEXT, ip + IPV6_NEXT, IPV6_ADDRS - IPV6_NEXT) == 0;
	return memcmp(head, ip, IPV4_TOTAL_LEN) == 0 &&
	       memcmp(head + IPV4_FRAG, ip + IPV4_FRAG, IPV4_CHECK - IPV4_FRAG) == 0 &&
	       load_be16(ip + IPV4_ID) == (uint16_t)(load_be16(head + IPV4_ID) + g->frames);
}

/* The data offset is compared behind the ACK number, and so how long the options are. */
static bool tcp_continues(const struct group *g, const uint8_t *head, const uint8_t *tcp)
{
	return load_be32(tcp + TCP_SEQ) == load_be32(head + TCP_SEQ) + g->payload &&
	       memcmp(head + TCP_ACK_SEQ, tcp + TCP_ACK_SEQ, TCP_FLAGS - TCP_ACK_SEQ) == 0 &&
	       memcmp(head + TCP_WINDOW, tcp + TCP_WINDOW, TCP_CHECK - TCP_WINDOW) == 0 &&
	       memcmp(head + TCP_URGENT, tcp + TCP_URGENT,
		      (size_t)(g->p.payload - g->p.l4 - TCP_URGENT)) == 0;
}

/* May the frame, mergeable and of the same flow, be the next one of the group? */
static bool joins(const struct gso_merge *m, struct group *g, const struct frame *f,
		  const struct packet *p)
{
	const struct frame *head = &m->frames[g->first];
	bool tcp = p->proto == IPPROTO_TCP;
	uint32_t len = payload_len(p);

	if (len > g->size || g->frames == (tcp ? FRAMES_MAX : UDP_FRAMES_MAX) ||
	    (uint32_t)(p->payload - p->l3) + g->payload + len > IP_LEN_MAX ||
	    ((f->vnet.flags ^ head->vnet.flags) & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		return false;
	if (!ip_continues(g, head->data + p->l3, f->data + p->l3) ||
	    (tcp && !tcp_continues(g, head->data + p->l4, f->data + p->l4)))
		return false;
	/* The head's turn comes only now: most heads of short flows stay alone. */
	if (!g->verified) {
		group_sums(g, head->data);
		g->verified = checksums_right(g, head, &g->p);
	}
	return g->verified && checksums_right(g, f, p);
}

/* Can nothing follow this frame, which is in the group now? */
static bool ends_group(const struct group *g, const struct frame *f, const struct packet *p)
{
	return payload_len(p) < g->size ||
	       (p->proto == IPPROTO_TCP && (f->data[p->l4 + TCP_FLAGS] & TCP_PSH));
}

static void group_begin(struct gso_merge *m, uint32_t index, const struct packet *p)
{
	m->groups[m->count++] = (struct group){
		.p = *p,
		.first = index,
		.last = index,
		.frames = 1,
		.payload = payload_len(p),
		.size = payload_len(p),
	};
}

static void group_append(struct gso_merge *m, struct group *g, uint32_t index,
			 const struct packet *p)
{
	m->follower[g->last] = index;
	g->last = index;
	g->frames++;
	g->payload += payload_len(p);
}

/* Put a frame of a known flow into the flow's open group or a new one. */
static void add_to_flow(struct gso_merge *m, uint32_t index, const struct packet *p)
{
	const struct frame *f = &m->frames[index];
	struct slot *set = &m->slots[(size_t)(flow_hash(f, p) & m->sets_mask) * WAYS];
	struct slot *slot = slot_find(m, set, f, p);
	bool able = mergeable(f, p);

	if (slot && able && joins(m, &m->groups[slot->group], f, p)) {
		group_append(m, &m->groups[slot->group], index, p);
	} else {
		group_begin(m, index, p);
		if (!slot && able)
			slot = slot_take(m, set);
		if (slot)
			*slot = (struct slot){
				.generation = m->generation[p->proto == IPPROTO_UDP ? FLOW_UDP
										    : FLOW_TCP],
				.group = m->count - 1,
			};
	}
	if (slot && (!able || ends_group(&m->groups[slot->group], f, p)))
		slot_close(slot);
}

static void add(struct gso_merge *m, uint32_t index)
{
	const struct frame *f = &m->frames[index];
	struct packet p;
	enum packet_error err = packet_parse(f->data, f->len, &p);

	if (err || p.fragment)
		close_unknown(m, &p);
	if (m->nothing || err || p.fragment || !p.payload || (p.proto == IPPROTO_UDP && !m->udp))
		group_begin(m, index, &p);
	else
		add_to_flow(m, index, &p);
}

/* Make the head frame's headers those of the whole; fill in what tells how to cut it again. */
static void write_headers(const struct gso_merge *m, const struct group *g, struct gso_merged *out)
{
	const struct packet *p = &g->p;
	const struct frame *last = &m->frames[g->last];
	uint8_t *data = out->head->data, *ip = data + p->l3, *l4 = data + p->l4;
	uint32_t l4_len = (uint32_t)(p->payload - p->l4) + g->payload;
	uint8_t type = VIRTIO_NET_HDR_GSO_UDP_L4;

	gso_store_ip_len(ip, p, (uint32_t)(p->l4 - p->l3) + l4_len);
	if (p->ip_version == 4)
		gso_store_ip_check(ip);
	if (p->proto == IPPROTO_TCP) {
		type = p->ip_version == 4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6;
		l4[TCP_FLAGS] |= last->data[p->l4 + TCP_FLAGS] & TCP_PSH;
	} else {
		store_be16(l4 + UDP_LENGTH, (uint16_t)l4_len);
	}
	store_be16(l4 + gso_check_offset(p), gso_partial_check(cksum_pseudo(data, p, l4_len)));

	out->vnet = (struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = type,
		.hdr_len = p->payload,
		.gso_size = (uint16_t)g->size,
		.csum_start = p->l4,
		.csum_offset = gso_check_offset(p),
	};
}

/* A super-frame that came in as one: how many wire frames it stands for. */
static void count_inside(struct gso_merged *out)
{
	struct gso_split s;

	if (gso_split_begin(&s, out->head, GSO_KEEP_PARTIAL) != GSO_OK)
		return;
	out->frames = s.count;
	out->wire_len = s.wire_len;
}

/* Describe a group that is finished. @iov has room for one iovec a frame. */
static void group_describe(const struct gso_merge *m, const struct group *g, struct iovec *iov,
			   struct gso_merged *out)
{
	struct frame *head = &m->frames[g->first];
	uint32_t i = g->first;

	*out = (struct gso_merged){
		.vnet = head->vnet,
		.head = head,
		.iov = iov,
		.iovcnt = g->frames,
		.len = head->len + g->payload - g->size,
		.frames = g->frames,
		.wire_len = head->len,
	};
	*iov = (struct iovec){.iov_base = head->data, .iov_len = head->len};
	while (i != g->last) {
		i = m->follower[i];
		*++iov = (struct iovec){
			.iov_base = m->frames[i].data + g->p.payload,
			.iov_len = m->frames[i].len - g->p.payload,
		};
	}
	if (g->frames > 1)
		write_headers(m, g, out);
	else if (head->vnet.gso_type != VIRTIO_NET_HDR_GSO_NONE)
		count_inside(out);
}

/**
 * gso_merge_batch - merge what can be merged of some frames
 * @m: from gso_merge_new()
 * @frames: the frames in order of arrival. Their bytes must stay in place as
 *	long as the result is used; of a merged group the head's headers are
 *	edited.
 * @n: how many; at most the max_frames of gso_merge_new()
 * @count: how many groups there are
 *
 * Frames are merged only if their checksums are right, except that partial
 * ones are trusted. What is not merged, super-frames for instance, comes out
 * as a group of its own with the bytes and the offload header it came with. A
 * merged group has a partial checksum for its whole length, and is at most a
 * 65535-byte IP packet in 256 iovecs.
 *
 * Return: @count groups in the order of their first frames, which keeps every
 * flow in order. Valid until the next call with @m.
 */
const struct gso_merged *gso_merge_batch(struct gso_merge *m, struct frame *frames, uint32_t n,
					 uint32_t *count)
{
	struct iovec *iov = m->iov;

	assert(n <= m->max_frames);
	m->frames = frames;
	m->count = 0;
	for (int i = 0; i < FLOW_PROTOS; i++)
		m->generation[i] = ++m->clock;

	for (uint32_t i = 0; i < n; i++)
		add(m, i);
	for (uint32_t i = 0; i < m->count; i++) {
		group_describe(m, &m->groups[i], iov, &m->out[i]);
		iov += m->groups[i].frames;
	}
	*count = m->count;
	return m->out;
}
