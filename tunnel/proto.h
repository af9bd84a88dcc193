/* SPDX-License-Identifier: GPL-3.0-or-later */
/* proto.h - the sealed transport's formats, lengths and limits (doc/protocol.md) */
#ifndef TUNNEL_PROTO_H
#define TUNNEL_PROTO_H

#include "lib/packet.h"
#include "tunnel/aead.h"

#include <stdbool.h>
#include <stdint.h>

#define PROTO_VERSION	   1
#define PROTO_DEFAULT_PORT 7245 /* UDP and TCP alike */
#define PROTO_ALPN	   "longhaul/1"
#define PROTO_EXPORTER	   "EXPORTER-longhaul-v1"

/* Types of a sealed datagram: the low nibble of its first byte. */
enum sealed_type {
	SEALED_FRAME = 0,
	SEALED_FRAGMENT = 1,
	SEALED_PROBE = 2,
	SEALED_PROBE_REPLY = 3,
	SEALED_TYPES
};

#define SEALED_PARTIAL 0x01 /* flag of frames and fragments: the inner checksum is partial */

/* A sealed datagram's header, in the clear and authenticated; fields are big-endian on the wire. */
#define SEALED_HDR_LEN	20
#define SEALED_OVERHEAD (SEALED_HDR_LEN + AEAD_TAG_LEN)

struct sealed_header {
	uint8_t type;
	uint8_t flags;
	uint8_t worker;	  /* the sender's */
	uint32_t session; /* chosen by the receiver */
	uint32_t tag;	  /* 0 in probes */
	uint64_t counter; /* per sender's worker and session */
};

/*
 * A probe: the sender's own mark, which comes back unread, and what it has
 * received of the other side's worker of the same 5-tuple. A reply: the mark,
 * and what the replier has received from the worker that sent the probe. A
 * probe may be longer (path MTU), padded with zeros.
 */
#define PROBE_LEN 24

struct probe {
	uint64_t mark; /* sender's monotonic clock, ns */
	uint64_t
		highest; /* counter + 1 of the newest packet received under this session; 0: none */
	uint64_t received; /* distinct packets received under it */
};

/*
 * In front of a fragment's bytes. All fragments of a frame travel under one
 * session and have the same tag and flags. They are of one length, so that
 * they make one train; what the last one has beyond the frame's end is padding.
 */
#define FRAGMENT_HDR_LEN 8
#define FRAGMENT_PAD_MAX 255   /* less than the number of fragments, which are 131 at most */
#define FRAGMENTED_MAX	 65535 /* longest frame that can be sent in fragments */

struct fragment {
	uint32_t id;	 /* of the frame, per sender's worker */
	uint16_t offset; /* of the bytes that follow, in the frame */
	uint16_t total;	 /* bytes of the frame */
};

_Static_assert(SEALED_OVERHEAD == 36,
	       "inner MTU 1422 on a 1500-byte IPv4 path: 1500 - 28 - 36 - 14");

#define WORKERS_MAX 64

/* Bytes of IP and UDP around a sealed datagram. */
#define UDP_IPV4_HDR 28
#define UDP_IPV6_HDR 48

/* Bounds of one key's use: RFC 9001 appendix B.1 allows AES-GCM 2^28 packets of this length. */
#define SESSION_PACKETS_MAX (1ull << 28)
/* New keys are asked for this many packets before a key's end, whatever is configured: agreeing
 * takes time. */
#define SESSION_PACKETS_SPARE (1ull << 24)
#define SESSION_AGE_MAX_NS    (3 * 3600 * 1000000000ull)
#define SESSION_LINGER_NS     (60 * 1000000000ull) /* an old session still receives this long */

/* Control messages: length (32 bits), then that many bytes of JSON. */
#define CONTROL_HEADER_LEN  4
#define CONTROL_MESSAGE_MAX 65536

static inline void fragment_store(uint8_t *p, const struct fragment *f)
{
	store_be32(p, f->id);
	store_be16(p + 4, f->offset);
	store_be16(p + 6, f->total);
}

static inline void fragment_load(const uint8_t *p, struct fragment *f)
{
	f->id = load_be32(p);
	f->offset = load_be16(p + 4);
	f->total = load_be16(p + 6);
}

static inline void sealed_store(uint8_t *p, const struct sealed_header *h)
{
	p[0] = (uint8_t)(PROTO_VERSION << 4 | h->type);
	p[1] = h->flags;
	p[2] = h->worker;
	p[3] = 0;
	store_be32(p + 4, h->session);
	store_be32(p + 8, h->tag);
	store_be64(p + 12, h->counter);
}

/* What is wrong with a datagram before its session is even looked up. */
enum sealed_error {
	SEALED_OK,
	SEALED_SHORT,
	SEALED_BAD_VERSION,
	SEALED_BAD_TYPE,
	SEALED_BAD_FLAGS,
};

enum sealed_error sealed_load(const uint8_t *p, size_t len, struct sealed_header *h);
void probe_store(uint8_t *p, const struct probe *probe);
void probe_load(const uint8_t *p, struct probe *probe);

#endif
