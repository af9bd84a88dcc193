// SPDX-License-Identifier: GPL-3.0-or-later
/* fuzz_sealed.c - what is not authentic and new changes nothing; every datagram is accounted for */

/*
 * The input is messages as a socket gives them, up to 16. First an octet:
 *
 *	bit 0     datagrams are sealed here, with the session's key, before they are taken
 *	bits 1-3  the port they come from, so that places are learnt
 *	bit 4     several datagrams in one message (UDP_GRO): their size follows (2 octets)
 *	bit 5     the message was cut by the kernel
 *
 * then the message's length (2 octets) and bytes. Lengths are big-endian. What
 * is sealed here is its header and payload, without room for the tag; its
 * version and session are made right.
 */
#include "tests/fuzz/input.h"
#include "tests/fuzz/must.h"
#include "tunnel/sealed.h"
#include "tunnel/tunnel.h"

#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGES 16
#define WORKERS	 2 /* of the peer, and ours */
#define SESSION	 0x01020304
#define TAG	 1
#define NOW	 12345

static const uint8_t keys[WORKERS][SESSION_KEY_BYTES] = {{1}, {2}};
static struct aead *oracles[WORKERS]; /* the same keys once more */
static struct conf conf = {.rekey_after_packets = UINT64_MAX, .dead_after_ns = 3000000000};
static const struct conf_peer conf_peer = {.name = "peer"};
static struct tunnel t;
static struct tag tag = {.tag = TAG};
static struct counters counters;
static struct sealed s;
static struct rx_session *session;
static struct batch *batch;

/* All that an authentic datagram may change. */
struct state {
	uint64_t received[WORKERS], highest[WORKERS], heard, sent, echoed;
	const struct peer_places *places;
	unsigned trains;
	uint32_t frames;
};

static struct state look(void)
{
	struct state now;
	unsigned i;

	memset(&now, 0, sizeof(now)); /* it is compared whole */
	now.heard = t.peers[0].heard_ns;
	now.places = t.peers[0].places;
	now.trains = s.n_trains;
	now.frames = batch->n;
	for (i = 0; i < WORKERS; i++) {
		now.received[i] = session->keys[i].replay->received;
		now.highest[i] = session->keys[i].replay->highest;
		now.sent += t.peers[0].tx->keys[i].counter;
		now.echoed += t.peers[0].paths[i].echoed;
	}
	return now;
}

static void set_up(void)
{
	unsigned i;

	rcu_register_thread();
	t = (struct tunnel){.conf = &conf,
			    .outer_ops = &outer_sealed,
			    .interface_mtu = 1500,
			    .n_peers = 1,
			    .tags = &tag,
			    .n_tags = 1,
			    .n_workers = WORKERS};
	must(!peer_init(&t.peers[0], &conf_peer, 0));
	t.peers[0].tags = 1;
	t.peers[0].tx = tx_session_new(1, &aead_openssl, AEAD_AES_256_GCM, keys, WORKERS);
	session = rx_session_new(SESSION, 0, &aead_openssl, AEAD_AES_256_GCM, keys, WORKERS);
	batch = batch_new();
	must(t.peers[0].tx && session && batch);
	session_install(&t.sessions, session);
	for (i = 0; i < WORKERS; i++) {
		oracles[i] = aead_openssl.create(AEAD_AES_256_GCM, keys[i]);
		must(oracles[i]);
	}
	s = (struct sealed){
		.outer = {.tunnel = &t, .counters = &counters, .fds = {-1, -1}, .now_ns = NOW},
		.family = AF_INET6,
	};
	memset(s.open_train, NO_TRAIN, sizeof(s.open_train));
	s.arena = malloc((size_t)TRAINS * TRAIN_BUFFER);
	must(s.arena);
	for (i = 0; i < TRAINS; i++)
		s.trains[i].bytes = s.arena + (size_t)i * TRAIN_BUFFER;
}

static void forget(void)
{
	unsigned i;

	for (i = 0; i < WORKERS; i++)
		memset(session->keys[i].replay, 0, sizeof(struct replay));
	memset(&counters, 0, sizeof(counters));
	t.peers[0].heard_ns = 0;
	reassembly_free(s.reassembly[0]); /* and the frames of the last batch with it */
	s.reassembly[0] = NULL;
	batch->n = 0;
}

/* Makes an authentic datagram of header and payload. Returns its length. */
static uint32_t seal(uint8_t *at, const uint8_t *bytes, uint32_t len)
{
	uint8_t nonce[AEAD_IV_LEN];
	struct iovec payload = {(void *)(bytes + SEALED_HDR_LEN), len - SEALED_HDR_LEN};
	unsigned worker = bytes[2] % WORKERS;

	memcpy(at, bytes, SEALED_HDR_LEN);
	at[0] = (uint8_t)(PROTO_VERSION << 4 | (bytes[0] & 15));
	at[2] = (uint8_t)worker;
	store_be32(at + 4, SESSION);
	aead_nonce(nonce, keys[worker] + AEAD_KEY_LEN, load_be64(at + 12));
	must(aead_openssl.seal(oracles[worker], nonce, at, SEALED_HDR_LEN, &payload, 1,
			       at + SEALED_HDR_LEN));
	return len + AEAD_TAG_LEN;
}

/* Whether the peer has sealed a datagram, as far as its key says. */
static bool authentic(const uint8_t *at, uint32_t len)
{
	static uint8_t copy[BATCH_SLOT];
	uint8_t nonce[AEAD_IV_LEN];
	unsigned worker = len > 2 ? at[2] : WORKERS;

	if (len < SEALED_OVERHEAD || worker >= WORKERS || load_be32(at + 4) != SESSION)
		return false;
	memcpy(copy, at, len);
	aead_nonce(nonce, keys[worker] + AEAD_KEY_LEN, load_be64(at + 12));
	return aead_openssl.open(oracles[worker], nonce, copy, SEALED_HDR_LEN,
				 copy + SEALED_HDR_LEN, len - SEALED_HDR_LEN);
}

/* Fills one message of the batch. Returns how many authentic datagrams are in it. */
static unsigned take_message(struct input *in, unsigned i, uint32_t *datagrams)
{
	unsigned how = input_take(in), found = 0;
	uint32_t size = how & 16 ? input_take16(in) : 0, len = input_take16(in), put = 0, at, n;
	struct msghdr *m = &batch->msgs[i].msg_hdr;
	struct sockaddr_in6 *from = (struct sockaddr_in6 *)&batch->names[i];
	uint8_t *slot = batch_slot(batch, i);

	len = len > in->left ? (uint32_t)in->left : len;
	for (at = 0; at < len; at += n) {
		n = size && size < len - at ? size : len - at;
		if (put + n + AEAD_TAG_LEN > BATCH_SLOT)
			break;
		if (how & 1 && n >= SEALED_HDR_LEN) {
			put += seal(slot + put, in->at + at, n);
		} else {
			memcpy(slot + put, in->at + at, n);
			put += n;
		}
	}
	if (size && how & 1 && size >= SEALED_HDR_LEN)
		size += AEAD_TAG_LEN;
	in->at += len;
	in->left -= len;
	*from = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(how >> 1 & 7)};
	*m = (struct msghdr){.msg_name = from,
			     .msg_control = batch->control[i],
			     .msg_flags = how & 32 ? MSG_TRUNC : 0};
	if (size) {
		struct cmsghdr *c = (struct cmsghdr *)batch->control[i];
		int value = (int)size;

		*c = (struct cmsghdr){CMSG_LEN(sizeof(value)), IPPROTO_UDP, UDP_GRO};
		memcpy(CMSG_DATA(c), &value, sizeof(value));
		m->msg_controllen = CMSG_SPACE(sizeof(value));
	}
	batch->msgs[i].msg_len = put;
	size = size ? size : put;
	*datagrams = !put || how & 32 ? 1 : (put + size - 1) / size;
	for (at = 0; at < put && !(how & 32); at += size)
		found += authentic(slot + at, put - at < size ? put - at : size);
	return found;
}

static uint64_t dropped(void)
{
	uint64_t sum = 0;
	unsigned i;

	for (i = 0; i < DROPS; i++)
		sum += counters.drops[i];
	return sum;
}

static uint64_t received(const struct state *now)
{
	return now->received[0] + now->received[1];
}

static void check_frames(void)
{
	const uint8_t *end = batch_slot(batch, MESSAGES);
	uint64_t elsewhere = 0;
	uint32_t i;

	must(batch->n <= BATCH_FRAMES);
	for (i = 0; i < batch->n; i++) {
		const struct frame *f = &batch->frames[i];

		must(f->len >= ETH_HDR_LEN);
		if (f->data < batch->arena || f->data >= end)
			elsewhere++;
		else
			must(f->data + f->len <= end);
		must(outer_key_tag(f->key) == 0 && outer_key_peer(f->key) == 0);
		must(f->vnet.gso_type == VIRTIO_NET_HDR_GSO_NONE);
		if (f->vnet.flags)
			must(f->vnet.csum_start + f->vnet.csum_offset + 2u <= f->len);
	}
	must(elsewhere <= counters.outer_reassembled);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct state before, after;
	uint32_t datagrams[MESSAGES], all = 0;
	unsigned n, found = 0;

	if (!batch)
		set_up();
	forget();
	for (n = 0; n < MESSAGES && in.left; n++) {
		found += take_message(&in, n, &datagrams[n]);
		all += datagrams[n];
	}
	before = look();
	rcu_read_lock();
	sealed_take(&s.outer, SOCKET_LISTEN, batch, n);
	rcu_read_unlock();
	after = look();
	check_frames();
	must(received(&after) <= found);
	if (!received(&after))
		must(!memcmp(&before, &after, sizeof(before)));
	if (received(&after))
		must(after.heard == NOW && after.places->has_learnt);
	/* Everything was dropped for a reason, or opened; a frame that was opened may be dropped
	 * later. */
	must(dropped() + received(&after) >= all);
	must(after.frames <= received(&after));
	rcu_read_lock();
	sealed_flush(&s.outer);
	rcu_read_unlock();
	must(!s.n_trains);
	return 0;
}
