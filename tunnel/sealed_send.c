// SPDX-License-Identifier: GPL-3.0-or-later
/* sealed_send.c - split, seal, send */
/*
 * Theory of operation
 *
 * A super-frame is split into wire frames and each is sealed straight into a
 * send buffer, behind its header. Datagrams of one size for one peer that
 * follow one another make a train; the kernel cuts it up again (UDP_SEGMENT),
 * so that a super-frame costs one system call's share and one walk through
 * the stack. Only a train's last datagram may be shorter; what exceeds the
 * link's MTU travels alone and is fragmented by the kernel.
 */
#include "tunnel/sealed.h"

#include "lib/clock.h"
#include "lib/log.h"
#include "tunnel/control.h"
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

/* Sends a train's datagrams one by one: for kernels, peers and sizes that UDP_SEGMENT does not
 * serve. */
static void send_singly(struct outer *o, struct train *tr)
{
	struct mmsghdr msgs[TRAIN_DATAGRAMS] = {0};
	struct iovec iovs[TRAIN_DATAGRAMS];
	uint32_t i, done = 0, at = 0;
	bool frames = tr->frames; /* a train is of frames or of probes */
	int n;

	for (i = 0; i < tr->count; i++, at += tr->size) {
		uint32_t len = tr->len - at < tr->size ? tr->len - at : tr->size;

		iovs[i] = (struct iovec){tr->bytes + at, len};
		msgs[i].msg_hdr = (struct msghdr){.msg_name = &tr->to.ss,
						  .msg_namelen = tr->to.len,
						  .msg_iov = &iovs[i],
						  .msg_iovlen = 1};
	}
	while (done < tr->count) {
		n = sendmmsg(o->fds[tr->socket], msgs + done, tr->count - done, MSG_DONTWAIT);
		if (n > 0) {
			done += (uint32_t)n;
			continue;
		}
		if (errno == EINTR)
			continue;
		count_send_error(o, tr, frames, frames ? iovs[done].iov_len - SEALED_OVERHEAD : 0,
				 errno);
		done++;
	}
}

/* Sends a train with one call. Returns 0 or -errno; nothing has been sent then. */
static int send_segmented(struct outer *o, struct train *tr)
{
	_Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(uint16_t))] = {0};
	struct iovec iov = {tr->bytes, tr->len};
	struct msghdr m = {.msg_name = &tr->to.ss,
			   .msg_namelen = tr->to.len,
			   .msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control,
			   .msg_controllen = sizeof(control)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	uint16_t size = (uint16_t)tr->size;

	c->cmsg_level = IPPROTO_UDP;
	c->cmsg_type = UDP_SEGMENT;
	c->cmsg_len = CMSG_LEN(sizeof(size));
	memcpy(CMSG_DATA(c), &size, sizeof(size));
	return sendmsg(o->fds[tr->socket], &m, MSG_DONTWAIT) < 0 ? -errno : 0;
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
		/* EIO: no checksum offload on the way out. The others may pass when the MTU is
		 * right again. */
		if (ret != -EMSGSIZE && !atomic_exchange(&p->gso_off, true))
			log_info(
				"peer %s: UDP segmentation offload does not work on this path (%s); sending "
				"datagrams one by one",
				p->conf->name, strerror(-ret));
		send_singly(o, tr);
		return;
	}
	count_send_error(o, tr, tr->frames, tr->inner, -ret);
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

static struct train *new_train(struct sealed *s, unsigned peer)
{
	struct train *tr;

	if (s->n_trains == TRAINS)
		sealed_flush(&s->outer);
	tr = &s->trains[s->n_trains++];
	*tr = (struct train){.bytes = tr->bytes, .peer = (uint8_t)peer};
	return tr;
}

/* The train that takes a datagram of @len for a peer: the open one, or a new one. NULL: nowhere to
 * send. */
static struct train *train_for(struct sealed *s, unsigned peer, uint32_t len)
{
	struct tunnel *t = s->outer.tunnel;
	struct train *tr = s->open_train[peer] == NO_TRAIN ? NULL : &s->trains[s->open_train[peer]];
	struct endpoint to;
	unsigned socket, headers;

	if (tr && !tr->closed && len <= tr->size && tr->count < TRAIN_DATAGRAMS &&
	    tr->len + len <= TRAIN_BYTES)
		return tr;
	if (!peer_place(&t->peers[peer], s->outer.worker, &to, &socket))
		return NULL;
	tr = new_train(s, peer);
	if (!endpoint_name(&to, s->family, &tr->to)) {
		s->n_trains--;
		return NULL;
	}
	headers = endpoint_is_ipv4(&to) ? UDP_IPV4_HDR : UDP_IPV6_HDR;
	tr->socket = (uint8_t)socket;
	tr->size = len;
	if (len + headers > t->interface_mtu) {
		tr->closed = true;
		counter_add(&s->outer.counters->outer_fragmented, 1);
	}
	s->open_train[peer] = (uint8_t)(s->n_trains - 1);
	return tr;
}

/* Takes the next counter of a session's key. Returns false when its limit is reached. */
static bool take_counter(struct sealed *s, struct peer *p, struct tx_session *tx, uint64_t *number)
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
static bool append(struct sealed *s, struct train *tr, struct tx_session *tx,
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

static void send_segment(struct sealed *s, struct peer *p, struct tx_session *tx, uint32_t tag,
			 uint8_t flags, const uint8_t *hdr, const struct gso_segment *seg)
{
	struct sealed_header h = {.type = SEALED_FRAME, .flags = flags, .tag = tag};
	struct iovec iov[2] = {{(void *)hdr, seg->hdr_len},
			       {(void *)seg->payload, seg->payload_len}};
	uint32_t inner = seg->hdr_len + seg->payload_len, len = inner + SEALED_OVERHEAD;
	struct counters *c = s->outer.counters;
	struct train *tr;

	if (len > TRAIN_BYTES) {
		sealed_drop(&s->outer, DROP_outer_too_big, 1);
		return;
	}
	tr = train_for(s, p->index, len);
	if (!tr) {
		sealed_drop(&s->outer, DROP_no_session, 1);
		return;
	}
	if (!take_counter(s, p, tx, &h.counter) || !append(s, tr, tx, &h, iov, 2, len)) {
		sealed_drop(&s->outer, DROP_key_exhausted, 1);
		if (!tr->count) {
			s->open_train[p->index] = NO_TRAIN;
			s->n_trains--;
		}
		return;
	}
	tr->frames++;
	tr->inner += inner;
	counter_add(&c->peers[p->index].out.frames, 1);
	counter_add(&c->peers[p->index].out.bytes, inner);
}

static void send_to_peer(struct sealed *s, struct peer *p, struct tx_session *tx, uint32_t tag,
			 const struct frame *f)
{
	struct gso_split split;
	struct gso_segment seg;
	uint8_t hdr[GSO_HDR_MAX];
	enum gso_error err = gso_split_begin(&split, f, tx->partial ? GSO_KEEP_PARTIAL : 0);

	if (err) {
		sealed_drop(&s->outer,
			    err == GSO_UNSUPPORTED ? DROP_offload_unsupported
						   : DROP_offload_malformed,
			    1);
		return;
	}
	counter_add(&s->outer.counters->peers[p->index].out.supers, split.count > 1);
	while (gso_split_next(&split, hdr, &seg))
		send_segment(s, p, tx, tag, split.partial ? SEALED_PARTIAL : 0, hdr, &seg);
}

void sealed_send(struct outer *o, unsigned tag, uint64_t peers, const struct frame *f)
{
	struct tunnel *t = o->tunnel;
	struct tx_session *tx;
	struct peer *p;

	for (; peers; peers &= peers - 1) {
		p = &t->peers[__builtin_ctzll(peers)];
		tx = rcu_dereference(p->tx);
		if (!tx)
			sealed_drop(o, DROP_no_session, 1);
		else
			send_to_peer(sealed_of(o), p, tx, t->tags[tag].tag, f);
	}
}

/* Queues a probe or reply: a train of its own, to where it must go. */
void sealed_send_probe(struct sealed *s, struct peer *p, struct tx_session *tx, uint8_t type,
		       const struct probe *probe, unsigned socket, const struct endpoint *to)
{
	struct sealed_header h = {.type = type};
	uint8_t payload[PROBE_LEN];
	struct iovec iov = {payload, sizeof(payload)};
	struct train *tr;

	if (!take_counter(s, p, tx, &h.counter))
		return;
	probe_store(payload, probe);
	tr = new_train(s, p->index);
	tr->size = PROBE_LEN + SEALED_OVERHEAD;
	tr->socket = (uint8_t)socket;
	if (!endpoint_name(to, s->family, &tr->to) || !append(s, tr, tx, &h, &iov, 1, tr->size))
		s->n_trains--;
	else
		tr->closed = true;
}

/* A probe's mark is ours alone to read: when it left, to 64 ns, and which worker sent it. */
static uint64_t probe_mark(uint64_t now_ns, unsigned worker)
{
	return (now_ns & ~(uint64_t)(WORKERS_MAX - 1)) | worker;
}

/* Sends each peer a probe from this worker's own 5-tuple. */
void sealed_tick(struct outer *o)
{
	struct tunnel *t = o->tunnel;
	uint64_t now = clock_ns(), period = t->conf->dead_after_ns / 6;
	struct endpoint to;
	unsigned i, socket;

	if (period > NS_PER_S)
		period = NS_PER_S;
	if (now - sealed_of(o)->probe_ns + NS_PER_MS < period)
		return;
	sealed_of(o)->probe_ns = now;
	rcu_read_lock();
	for (i = 0; i < t->n_peers; i++) {
		struct peer *p = &t->peers[i];
		struct tx_session *tx = rcu_dereference(p->tx);

		if (!tx || !peer_place(p, o->worker, &to, &socket))
			continue;
		sealed_send_probe(sealed_of(o), p, tx, SEALED_PROBE,
				  &(struct probe){.mark = probe_mark(now, o->worker)}, socket, &to);
		atomic_fetch_add(&p->paths[o->worker].sent, 1);
	}
	sealed_flush(o);
	rcu_read_unlock();
}
