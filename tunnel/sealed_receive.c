// SPDX-License-Identifier: GPL-3.0-or-later
/* sealed_receive.c - receive, open */
/*
 * Theory of operation
 *
 * The kernel joins what arrived together (UDP_GRO). Each datagram is opened
 * where it lies: first what the header alone can refuse, then the replay
 * window, then the seal; only what was opened changes any state. Fragments
 * are put together after that (fragment.c). Probes are answered on the socket
 * and to the address they came by.
 */
#include "tunnel/sealed.h"

#include "lib/cksum.h"
#include "tunnel/tos.h"
#include "tunnel/tunnel.h"

#include <netinet/udp.h>
#include <string.h>

#define RECEIVE_MESSAGES (BATCH_FRAMES / TRAIN_DATAGRAMS)

/* A datagram that is being opened, and where it came by. */
struct arrival {
	struct sealed *s;
	struct batch *batch;
	unsigned socket;
	struct endpoint from;
	uint8_t ecn; /* of the outer packet */
	struct rx_session *session;
	struct sealed_header h;
	uint8_t *data; /* of the whole datagram */
	uint32_t len;
	struct probe report; /* what has been received of the sender's worker */
};

static bool admit_header(struct arrival *a)
{
	static const enum drop reasons[] = {
		[SEALED_SHORT] = DROP_sealed_short,
		[SEALED_BAD_VERSION] = DROP_sealed_version,
		[SEALED_BAD_TYPE] = DROP_sealed_type,
		[SEALED_BAD_FLAGS] = DROP_sealed_flags,
	};
	enum sealed_error err = sealed_load(a->data, a->len, &a->h);

	if (err) {
		sealed_drop(&a->s->outer, reasons[err], 1);
		return false;
	}
	a->session = session_find(&a->s->outer.tunnel->sessions, a->h.session);
	if (!a->session) {
		sealed_drop(&a->s->outer, DROP_sealed_session, 1);
		return false;
	}
	if (a->h.worker >= a->session->n_keys) {
		sealed_drop(&a->s->outer, DROP_sealed_worker, 1);
		return false;
	}
	return true;
}

/* Opens the datagram in place. Whether it is the newest of its worker goes to *newest. */
static bool open_datagram(struct arrival *a, bool *newest)
{
	struct rx_key *k = &a->session->keys[a->h.worker];
	uint8_t nonce[AEAD_IV_LEN];
	enum drop reason = DROP_sealed_replay;
	bool ok;

	aead_nonce(nonce, k->iv, a->h.counter);
	pthread_mutex_lock(&k->lock);
	ok = replay_check(k->replay, a->h.counter);
	if (ok) {
		reason = DROP_sealed_auth;
		ok = a->session->engine->open(k->aead, nonce, a->data, SEALED_HDR_LEN,
					      a->data + SEALED_HDR_LEN, a->len - SEALED_HDR_LEN);
	}
	if (ok) {
		*newest = !k->replay->received || a->h.counter > k->replay->highest;
		replay_accept(k->replay, a->h.counter);
		a->report.highest = k->replay->highest + 1;
		a->report.received = k->replay->received;
	}
	pthread_mutex_unlock(&k->lock);
	if (!ok)
		sealed_drop(&a->s->outer, reason, 1);
	return ok;
}

/* Whether a frame of this tag and flag may come from that peer; the tag's index goes to *tag. */
static bool admit_frame(const struct arrival *a, unsigned *tag)
{
	struct outer *o = &a->s->outer;
	struct tunnel *t = o->tunnel;
	int at = tunnel_tag_index(t, a->h.tag);

	if (a->h.flags & SEALED_PARTIAL &&
	    !atomic_load_explicit(&a->session->partial, memory_order_relaxed)) {
		sealed_drop(o, DROP_sealed_flags, 1);
		return false;
	}
	if (at < 0 ||
	    !(atomic_load_explicit(&t->peers[a->session->peer].tags, memory_order_relaxed) &
	      1ull << at)) {
		sealed_drop(o, DROP_sealed_tag, 1);
		return false;
	}
	*tag = (unsigned)at;
	return true;
}

/* Adds a whole frame to the batch. */
static void deliver(struct arrival *a, unsigned tag, uint8_t *data, uint32_t len, uint8_t ecn)
{
	struct frame *f = &a->batch->frames[a->batch->n];
	struct outer *o = &a->s->outer;

	if (o->tunnel->conf->tos == CONF_TOS_COPY && !tos_decapsulate(data, len, ecn)) {
		sealed_drop(o, DROP_congestion, 1);
		return;
	}
	if (!port_accept_frame(a->batch, data, len, NULL, o->counters))
		return;
	f->key = outer_key(tag, a->session->peer);
	if (a->h.flags & SEALED_PARTIAL && !cksum_mark_partial(f)) {
		a->batch->n--;
		sealed_drop(o, DROP_offload_malformed, 1);
	}
}

static void take_frame(struct arrival *a)
{
	unsigned tag;

	if (admit_frame(a, &tag))
		deliver(a, tag, a->data + SEALED_HDR_LEN, a->len - SEALED_OVERHEAD, a->ecn);
}

static void take_fragment(struct arrival *a)
{
	static const enum drop reasons[] = {
		[FRAGMENT_MALFORMED] = DROP_fragment_malformed,
		[FRAGMENT_DUPLICATE] = DROP_fragment_duplicate,
		[FRAGMENT_OVERLAP] = DROP_fragment_overlap,
		[FRAGMENT_INCONSISTENT] = DROP_fragment_inconsistent,
		[FRAGMENT_NO_ROOM] = DROP_fragment_full,
	};
	struct reassembly **r = &a->s->reassembly[a->session->peer];
	struct fragment_arrival f = {
		.session = a->h.session,
		.tag = a->h.tag,
		.worker = a->h.worker,
		.flags = a->h.flags,
		.ecn = a->ecn,
		.data = a->data + SEALED_HDR_LEN + FRAGMENT_HDR_LEN,
		.len = a->len - SEALED_OVERHEAD - FRAGMENT_HDR_LEN,
	};
	struct outer *o = &a->s->outer;
	struct reassembly_losses lost = {0};
	enum fragment_verdict verdict = FRAGMENT_NO_ROOM;
	struct reassembled whole;
	unsigned tag;

	if (!admit_frame(a, &tag))
		return;
	fragment_load(a->data + SEALED_HDR_LEN, &f.at);
	if (*r || (*r = reassembly_new()))
		verdict = reassembly_add(*r, &f, o->now_ns, &whole, &lost);
	if (lost.expired)
		sealed_drop(o, DROP_fragment_timeout, lost.expired);
	if (lost.evicted)
		sealed_drop(o, DROP_fragment_full, lost.evicted);
	if (verdict == FRAGMENT_COMPLETE) {
		counter_add(&o->counters->outer_reassembled, 1);
		deliver(a, tag, whole.data, whole.len, whole.ecn);
	} else if (verdict != FRAGMENT_HELD) {
		sealed_drop(o, reasons[verdict], 1);
	}
}

static void take_probe(struct arrival *a)
{
	struct peer *p = &a->s->outer.tunnel->peers[a->session->peer];
	struct tx_session *tx = rcu_dereference(p->tx);
	struct probe probe;

	probe_load(a->data + SEALED_HDR_LEN, &probe);
	if (!tx)
		return;
	a->report.mark = probe.mark;
	sealed_send_probe(a->s, p, tx, SEALED_PROBE_REPLY, &a->report, PROBE_LEN, a->socket,
			  &a->from);
}

static void take_reply(struct arrival *a)
{
	struct probe reply;

	probe_load(a->data + SEALED_HDR_LEN, &reply);
	sealed_take_reply(a->s, &a->s->outer.tunnel->peers[a->session->peer], &reply);
}

static void take_datagram(struct arrival *a)
{
	bool newest = false;

	if (!admit_header(a) || !open_datagram(a, &newest))
		return;
	if (newest)
		peer_learn(&a->s->outer.tunnel->peers[a->session->peer], a->h.worker, &a->from);
	atomic_store_explicit(&a->s->outer.tunnel->peers[a->session->peer].heard_ns,
			      a->s->outer.now_ns, memory_order_relaxed);
	switch (a->h.type) {
	case SEALED_FRAME: take_frame(a); break;
	case SEALED_FRAGMENT: take_fragment(a); break;
	case SEALED_PROBE: take_probe(a); break;
	case SEALED_PROBE_REPLY: take_reply(a); break;
	}
}

/* What the kernel says of a message: the size of its datagrams, and their congestion mark, which is
 * the same for all that it joins. Returns the size; @len unless it says. */
static uint32_t read_control(struct msghdr *m, uint32_t len, uint8_t *ecn)
{
	uint32_t size = len;
	struct cmsghdr *c;
	int value;

	*ecn = ECN_NOT_ECT;
	for (c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) {
			*ecn = *CMSG_DATA(c) & ECN_MASK;
			continue;
		}
		if (c->cmsg_len < CMSG_LEN(sizeof(value)))
			continue;
		memcpy(&value, CMSG_DATA(c), sizeof(value));
		if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO && value > 0)
			size = (uint32_t)value;
		else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS)
			*ecn = (uint8_t)value & ECN_MASK;
	}
	return size;
}

/* Opens what is in the first @n messages of a batch, which came by @socket. In a read-side section.
 */
void sealed_take(struct outer *o, unsigned socket, struct batch *b, unsigned n)
{
	struct arrival a = {.s = sealed_of(o), .batch = b, .socket = socket};
	unsigned i;

	for (i = 0; i < n; i++) {
		uint32_t len = b->msgs[i].msg_len, at;
		uint32_t size = read_control(&b->msgs[i].msg_hdr, len, &a.ecn);

		if (!len || b->msgs[i].msg_hdr.msg_flags & MSG_TRUNC) {
			sealed_drop(o, len ? DROP_truncated : DROP_sealed_short, 1);
			continue;
		}
		endpoint_from(&a.from, (const struct sockaddr *)&b->names[i]);
		for (at = 0; at < len && b->n < BATCH_FRAMES; at += size) {
			a.data = batch_slot(b, i) + at;
			a.len = len - at < size ? len - at : size;
			take_datagram(&a);
		}
		/* No kernel joins more than TRAIN_DATAGRAMS so far; one that did would be counted.
		 */
		if (at < len)
			sealed_drop(o, DROP_truncated, (len - at + size - 1) / size);
	}
}

/* Frees the frames that were put together for the last batch: it is worked off. */
void sealed_release_frames(struct sealed *s)
{
	unsigned i;

	for (i = 0; i < s->outer.tunnel->n_peers; i++)
		if (s->reassembly[i])
			reassembly_release(s->reassembly[i]);
}

unsigned sealed_receive(struct outer *o, unsigned socket, struct batch *b)
{
	unsigned n;

	sealed_release_frames(sealed_of(o));
	n = batch_receive(b, o->fds[socket], 0, false, RECEIVE_MESSAGES);

	sealed_take(o, socket, b, n);
	return n;
}
