// SPDX-License-Identifier: GPL-3.0-or-later
/* sealed_send.c - split, seal, send */
/*
 * Theory of operation
 *
 * A super-frame is split into wire frames and each is sealed straight into a
 * send buffer, behind its header. Datagrams of one size for one peer that
 * follow one another make a train; the kernel cuts it up again (UDP_SEGMENT),
 * so that a super-frame costs one system call's share and one walk through
 * the stack. Only a train's last datagram may be shorter.
 *
 * A wire frame that the path does not carry whole is sealed in fragments of
 * one length, so that they travel in one train, and those of the next frame of
 * that length with them: the last fragment is padded. Nothing that leaves here
 * is ever fragmented by IP; DF is set.
 */
#include "tunnel/sealed.h"

#include "lib/log.h"
#include "tunnel/control.h"
#include "tunnel/tos.h"
#include "tunnel/tunnel.h"

#include <errno.h>
#include <netinet/udp.h>
#include <string.h>

/* A train could not be sent whole, or one of its datagrams could not: counts what is lost. */
static void count_send_error(struct outer *o, const struct train *tr, uint32_t frames,
			     uint64_t inner, int error)
{
	struct traffic *out = &o->counters->peers[tr->peer].out;

	sealed_drop(o, outer_drop_reason(error), frames);
	counter_add(&out->frames, -(uint64_t)frames);
	counter_add(&out->bytes, -inner);
}

/* One datagram of a train could not be sent. A frame is lost with its first fragment that is: @lost
 * is where the last one that was counted begins. */
static void count_lost(struct outer *o, const struct train *tr, uint32_t datagram, uint32_t *lost,
		       int error)
{
	uint32_t at = datagram;

	while (at && !tr->begins[at])
		at--;
	if (tr->probe || at == *lost)
		return;
	*lost = at;
	count_send_error(o, tr, 1, tr->begins[at], error);
}

/* Ancillary data of a train: where it is cut, and its class. */
struct train_control {
	_Alignas(struct cmsghdr)
		uint8_t bytes[CMSG_SPACE(sizeof(uint16_t)) + CMSG_SPACE(sizeof(int))];
	size_t len;
};

static void add_control(struct train_control *c, int level, int type, const void *value, size_t len)
{
	struct cmsghdr *m = (struct cmsghdr *)(c->bytes + c->len);

	m->cmsg_level = level;
	m->cmsg_type = type;
	m->cmsg_len = CMSG_LEN(len);
	memcpy(CMSG_DATA(m), value, len);
	c->len += CMSG_SPACE(len);
}

static void add_class(struct train_control *c, const struct train *tr)
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&tr->to.ss;
	bool ipv4 = in6->sin6_family == AF_INET || IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr);
	int tos = tr->tos;

	if (tos)
		add_control(c, ipv4 ? IPPROTO_IP : IPPROTO_IPV6, ipv4 ? IP_TOS : IPV6_TCLASS, &tos,
			    sizeof(tos));
}

static struct msghdr message_of(struct train *tr, struct iovec *iov, struct train_control *c)
{
	return (struct msghdr){.msg_name = &tr->to.ss,
			       .msg_namelen = tr->to.len,
			       .msg_iov = iov,
			       .msg_iovlen = 1,
			       .msg_control = c->len ? c->bytes : NULL,
			       .msg_controllen = c->len};
}

/* Sends a train's datagrams one by one: for kernels, peers and sizes that UDP_SEGMENT does not
 * serve. */
static void send_singly(struct outer *o, struct train *tr)
{
	struct mmsghdr msgs[TRAIN_DATAGRAMS];
	struct iovec iovs[TRAIN_DATAGRAMS];
	struct train_control control = {0};
	uint32_t i, done = 0, at = 0, lost = UINT32_MAX;
	int n;

	add_class(&control, tr);
	for (i = 0; i < tr->count; i++, at += tr->size) {
		uint32_t len = tr->len - at < tr->size ? tr->len - at : tr->size;

		iovs[i] = (struct iovec){tr->bytes + at, len};
		msgs[i] = (struct mmsghdr){.msg_hdr = message_of(tr, &iovs[i], &control)};
	}
	while (done < tr->count) {
		n = sendmmsg(o->fds[tr->socket], msgs + done, tr->count - done, MSG_DONTWAIT);
		if (n > 0) {
			done += (uint32_t)n;
			continue;
		}
		if (errno == EINTR)
			continue;
		count_lost(o, tr, done, &lost, errno);
		done++;
	}
}

/* Sends a train with one call. Returns 0 or -errno; nothing has been sent then. */
static int send_segmented(struct outer *o, struct train *tr)
{
	struct iovec iov = {tr->bytes, tr->len};
	struct train_control control = {0};
	uint16_t size = (uint16_t)tr->size;
	struct msghdr m;

	add_control(&control, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size));
	add_class(&control, tr);
	m = message_of(tr, &iov, &control);
	return sendmsg(o->fds[tr->socket], &m, MSG_DONTWAIT) < 0 ? -errno : 0;
}

/* UDP_SEGMENT failed for a reason that lies with it, and not with the path of the moment. */
static void turn_gso_off(struct outer *o, const struct train *tr, struct peer *p, int error)
{
	/* A size beyond the interface's MTU, which has just been lowered, is EINVAL too. */
	if (error == EMSGSIZE ||
	    tr->size + p->paths[o->worker].headers > o->tunnel->interface_mtu ||
	    atomic_exchange(&p->gso_off, true))
		return;
	log_info("peer %s: UDP segmentation offload does not work on this path (%s); sending "
		 "datagrams one by one",
		 p->conf->name, strerror(error));
}

static void send_train(struct outer *o, struct train *tr)
{
	struct peer *p = &o->tunnel->peers[tr->peer];
	int ret;

	if (tr->count == 1 || !sealed_of(o)->gso ||
	    atomic_load_explicit(&p->gso_off, memory_order_relaxed)) {
		send_singly(o, tr);
		return;
	}
	ret = send_segmented(o, tr);
	if (!ret)
		return;
	if (ret == -EIO || ret == -EINVAL || ret == -EMSGSIZE) {
		/* EIO: no checksum offload on the way out. */
		turn_gso_off(o, tr, p, -ret);
		send_singly(o, tr);
		return;
	}
	count_send_error(o, tr, tr->frames + !tr->begins[0], tr->inner, -ret);
}

void sealed_flush(struct outer *o)
{
	struct sealed *s = sealed_of(o);
	unsigned i;

	for (i = 0; i < s->n_trains; i++) {
		send_train(o, &s->trains[i]);
		s->open_train[s->trains[i].peer] = NO_TRAIN;
	}
	s->n_trains = 0;
}

/* An empty train for a peer. */
struct train *sealed_new_train(struct sealed *s, unsigned peer)
{
	struct train *tr;

	if (s->n_trains == TRAINS)
		sealed_flush(&s->outer);
	tr = &s->trains[s->n_trains++];
	*tr = (struct train){.bytes = tr->bytes, .peer = (uint8_t)peer};
	return tr;
}

/* A wire frame, or several, on the way to a peer. */
struct outgoing {
	struct sealed *s;
	struct peer *peer;
	struct tx_session *tx;
	uint32_t tag;
	uint8_t flags, tos;
	uint32_t room; /* of the longest datagram that the path carries */
};

/* Whether a train takes @n datagrams of @len more. */
static bool takes(const struct train *tr, uint32_t len, uint32_t n, uint8_t tos)
{
	return !tr->closed && len <= tr->size && tos == tr->tos &&
	       tr->count + n <= TRAIN_DATAGRAMS && tr->len + len * n <= TRAIN_BYTES;
}

/* The train that takes @n datagrams of @len, or as many as it can: the open one, or a new one.
 * NULL: nowhere to send. */
static struct train *train_for(const struct outgoing *g, uint32_t len, uint32_t n)
{
	struct sealed *s = g->s;
	unsigned peer = g->peer->index, socket;
	struct train *tr = s->open_train[peer] == NO_TRAIN ? NULL : &s->trains[s->open_train[peer]];
	struct endpoint to;

	if (tr && takes(tr, len, n, g->tos))
		return tr;
	if (!peer_place(g->peer, s->outer.worker, &to, &socket))
		return NULL;
	tr = sealed_new_train(s, peer);
	if (!endpoint_name(&to, s->family, &tr->to)) {
		s->n_trains--;
		return NULL;
	}
	tr->socket = (uint8_t)socket;
	tr->tos = g->tos;
	tr->size = len;
	s->open_train[peer] = (uint8_t)(s->n_trains - 1);
	return tr;
}

/* Takes the next counter of a session's key. Returns false when its limit is reached. */
bool sealed_take_counter(struct sealed *s, struct peer *p, struct tx_session *tx, uint64_t *number)
{
	struct tx_key *k = &tx->keys[s->outer.worker];

	*number = atomic_load_explicit(&k->counter, memory_order_relaxed);
	if (*number >= SESSION_PACKETS_MAX)
		return false;
	atomic_store_explicit(&k->counter, *number + 1, memory_order_relaxed);
	if (*number + 1 >= tunnel_rekey_at(s->outer.tunnel) &&
	    !atomic_exchange(&tx->rekey_asked, true))
		control_ask_rekey(s->outer.tunnel, p->index);
	return true;
}

/* Seals one datagram at the end of a train. Returns false if it could not be. */
bool sealed_append(struct sealed *s, struct train *tr, struct tx_session *tx,
		   struct sealed_header *h, const struct iovec *iov, int n_iov, uint32_t len)
{
	struct tx_key *k = &tx->keys[s->outer.worker];
	uint8_t *at = tr->bytes + tr->len, nonce[AEAD_IV_LEN];

	h->worker = (uint8_t)s->outer.worker;
	h->session = tx->id;
	sealed_store(at, h);
	aead_nonce(nonce, k->iv, h->counter);
	if (!tx->engine->seal(k->aead, nonce, at, SEALED_HDR_LEN, iov, n_iov, at + SEALED_HDR_LEN))
		return false;
	tr->len += len;
	tr->count++;
	tr->closed |= len < tr->size;
	return true;
}

/*
 * Seals a datagram of @len bytes in all.
 * @together: how many datagrams of this length go with it
 * @frame:    bytes of the frame that begins here; 0: it began in the datagram before
 * Returns false, counted, if it cannot be sent.
 */
static bool emit(const struct outgoing *g, enum sealed_type type, const struct iovec *iov,
		 int n_iov, uint32_t len, uint32_t together, uint32_t frame)
{
	struct sealed_header h = {.type = (uint8_t)type, .flags = g->flags, .tag = g->tag};
	struct sealed *s = g->s;
	struct train *tr = train_for(g, len, together);

	if (!tr) {
		sealed_drop(&s->outer, DROP_no_session, 1);
		return false;
	}
	if (!sealed_take_counter(s, g->peer, g->tx, &h.counter) ||
	    !sealed_append(s, tr, g->tx, &h, iov, n_iov, len)) {
		sealed_drop(&s->outer, DROP_key_exhausted, 1);
		if (!tr->count) {
			s->open_train[g->peer->index] = NO_TRAIN;
			s->n_trains--;
		}
		return false;
	}
	tr->begins[tr->count - 1] = frame;
	tr->frames += frame != 0;
	tr->inner += frame;
	return true;
}

/* Points @iov at some of a wire frame's bytes. Returns how many elements that takes. */
static int slice(struct iovec *iov, const uint8_t *hdr, const struct gso_segment *seg, uint32_t at,
		 uint32_t len)
{
	uint32_t from_hdr = at < seg->hdr_len ? seg->hdr_len - at : 0;
	int n = 0;

	from_hdr = from_hdr < len ? from_hdr : len;
	if (from_hdr)
		iov[n++] = (struct iovec){(void *)(hdr + at), from_hdr};
	at += from_hdr;
	if (len > from_hdr)
		iov[n++] = (struct iovec){(void *)(seg->payload + (at - seg->hdr_len)),
					  len - from_hdr};
	return n;
}

/* Sends a wire frame in fragments of equal length, the last one padded. Returns false if it is
 * lost.
 */
static bool send_fragments(const struct outgoing *g, const uint8_t *hdr,
			   const struct gso_segment *seg)
{
	static const uint8_t padding[FRAGMENT_PAD_MAX];
	uint32_t inner = seg->hdr_len + seg->payload_len, at, len;
	uint32_t most = g->room - SEALED_OVERHEAD - FRAGMENT_HDR_LEN;
	uint32_t n = (inner + most - 1) / most, piece = (inner + n - 1) / n;
	struct fragment f = {.id = g->s->frame_id++, .total = (uint16_t)inner};
	uint8_t bytes[FRAGMENT_HDR_LEN];
	struct iovec iov[4] = {{bytes, sizeof(bytes)}};
	int n_iov;

	for (at = 0; at < inner; at += len) {
		len = inner - at < piece ? inner - at : piece;
		f.offset = (uint16_t)at;
		fragment_store(bytes, &f);
		n_iov = 1 + slice(iov + 1, hdr, seg, at, len);
		if (len < piece)
			iov[n_iov++] = (struct iovec){(void *)padding, piece - len};
		if (!emit(g, SEALED_FRAGMENT, iov, n_iov,
			  piece + SEALED_OVERHEAD + FRAGMENT_HDR_LEN, at ? 1 : n, at ? 0 : inner))
			return false;
	}
	counter_add(&g->s->outer.counters->outer_fragmented, 1);
	return true;
}

static void send_segment(const struct outgoing *g, const uint8_t *hdr,
			 const struct gso_segment *seg)
{
	struct iovec iov[2] = {{(void *)hdr, seg->hdr_len},
			       {(void *)seg->payload, seg->payload_len}};
	uint32_t inner = seg->hdr_len + seg->payload_len, len = inner + SEALED_OVERHEAD;
	struct path *path = &g->peer->paths[g->s->outer.worker];
	struct traffic *out = &g->s->outer.counters->peers[g->peer->index].out;
	bool whole = len <= g->room;

	if (!whole && inner > FRAGMENTED_MAX) {
		sealed_drop(&g->s->outer, DROP_outer_too_big, 1);
		return;
	}
	if (!(whole ? emit(g, SEALED_FRAME, iov, 2, len, 1, inner) : send_fragments(g, hdr, seg)))
		return;
	counter_add(&path->large, !whole || len > PMTU_BASE_IPV4);
	counter_add(&out->frames, 1);
	counter_add(&out->bytes, inner);
}

/* The longest datagram that the path of this worker carries to a peer. */
static uint32_t room_of(const struct sealed *s, const struct peer *p)
{
	const struct path *path = &p->paths[s->outer.worker];
	uint32_t usable = atomic_load_explicit(&path->usable, memory_order_relaxed);
	uint32_t local = s->outer.tunnel->interface_mtu;

	/* What the machine of the path's MTU has not heard yet counts at once. On an interface with
	 * less than any host must take, the kernel refuses what is too long. */
	usable = usable < local ? usable : local;
	usable = usable > PMTU_FLOOR_IPV4 ? usable : PMTU_FLOOR_IPV4;
	return usable - atomic_load_explicit(&path->headers, memory_order_relaxed);
}

static void send_to_peer(struct outgoing *g, const struct frame *f)
{
	struct gso_split split;
	struct gso_segment seg;
	uint8_t hdr[GSO_HDR_MAX];
	enum gso_error err = gso_split_begin(&split, f, g->tx->partial ? GSO_KEEP_PARTIAL : 0);

	if (err) {
		sealed_drop(&g->s->outer,
			    err == GSO_UNSUPPORTED ? DROP_offload_unsupported
						   : DROP_offload_malformed,
			    1);
		return;
	}
	g->flags = split.partial ? SEALED_PARTIAL : 0;
	counter_add(&g->s->outer.counters->peers[g->peer->index].out.supers, split.count > 1);
	while (gso_split_next(&split, hdr, &seg))
		send_segment(g, hdr, &seg);
}

void sealed_send(struct outer *o, unsigned tag, uint64_t peers, const struct frame *f,
		 const struct packet *p)
{
	struct tunnel *t = o->tunnel;
	struct outgoing g = {.s = sealed_of(o), .tag = t->tags[tag].tag};

	if (t->conf->tos == CONF_TOS_COPY)
		g.tos = tos_of(f->data, p);
	for (; peers; peers &= peers - 1) {
		g.peer = &t->peers[__builtin_ctzll(peers)];
		g.tx = rcu_dereference(g.peer->tx);
		if (!g.tx) {
			sealed_drop(o, DROP_no_session, 1);
			continue;
		}
		g.room = room_of(g.s, g.peer);
		send_to_peer(&g, f);
	}
}
