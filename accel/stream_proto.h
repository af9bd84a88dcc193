/* SPDX-License-Identifier: GPL-3.0-or-later */
/* stream_proto.h - what travels on a stream between sites: formats, lengths, limits
 * (doc/protocol.md) */
#ifndef ACCEL_STREAM_PROTO_H
#define ACCEL_STREAM_PROTO_H

#include <assert.h>
#include <stdint.h>

#define STREAM_VERSION 1

/* RFC 7301: what a TLS connection on the control port says that it is. */
#define STREAM_ALPN "longhaul-stream/1"

/*
 * A record is a header and a payload. Header, all fields big-endian:
 *   0 type  1…3 zero  4 payload length  8 flow  12 generation
 * A stream serves one flow at a time; who opens flows on it numbers them
 * (generation, from 1), and every record bears both numbers, so that what
 * belongs to a flow that has ended is recognised. A flow may be on several
 * streams, its stripes.
 */
#define RECORD_HDR_LEN	16
#define RECORD_DATA_HDR 8 /* DATA's offset in the flow */
/* Bytes of the flow; with its headers four TLS records of 16 KB. */
#define RECORD_DATA_MAX	  (65536 - RECORD_HDR_LEN - RECORD_DATA_HDR)
#define RECORD_CTL_MAX	  (RECORD_TUPLES_MAX * TUPLE_LEN)
#define RECORD_TUPLES_MAX 64

enum record_type {
	RECORD_HELLO = 1,	/* first on a stream, from who made it; flow and generation 0 */
	RECORD_OPEN = 2,	/* connect to this server on behalf of this client */
	RECORD_OPENED = 3,	/* it is connected */
	RECORD_REFUSED = 4,	/* it is not, and why; the stream is free */
	RECORD_CANCEL = 5,	/* the client has given up */
	RECORD_CANCELLED = 6,	/* nothing is left of it; the stream is free */
	RECORD_DATA = 7,	/* bytes of the flow */
	RECORD_FIN = 8,		/* no more bytes from my host */
	RECORD_DELIVERED = 9,	/* my host has acknowledged all of yours, the FIN too */
	RECORD_RESET = 10,	/* the connection was reset; the stream ends */
	RECORD_CREDIT = 11,	/* my host has taken so much, so much beyond it may be sent */
	RECORD_DONE = 12,	/* nothing is left to do here; both sides' free the stream */
	RECORD_TUPLES = 13,	/* connections that were accelerated with you when you were lost */
	RECORD_TUPLES_END = 14, /* that was all of them; flags say whether we know of all */
	RECORD_JOIN = 15,	/* this stream is to be a stripe of that flow, too */
	RECORD_JOINED = 16,	/* it is */
	RECORD_LEAVE = 17,	/* nothing more of the flow here; both sides' free the stream */
	RECORD_STRIPES = 18,	/* to who opened the flow: I could use so many stripes */
	RECORD_PAD = 19,	/* bytes that mean nothing: a window is grown with them */
	RECORD_TYPES
};

enum {
	OPEN_LEN = 64,
	OPENED_LEN = 8,
	REFUSED_LEN = 24,
	RESET_LEN = 4,
	CREDIT_LEN = 12,
	FIN_LEN = 8,
	STRIPES_LEN = 4,
	HELLO_LEN = 8,
	TUPLE_LEN = 44,
	TUPLES_END_LEN = 4,
};

static_assert(OPEN_LEN == 4 + 2 + 1 + 1 + 6 + 6 + 16 + 16 + 2 + 2 + 2 + 1 + 1 + 4, "OPEN's fields");
static_assert(REFUSED_LEN == 1 + 1 + 1 + 1 + 4 + 16, "REFUSED's fields");
static_assert(TUPLE_LEN == 4 + 2 + 1 + 1 + 16 + 16 + 2 + 2, "a tuple's fields");

/* Why a connection is not made: REFUSED's first byte. */
#define REFUSE_REASONS(X)                                                     \
	X(rst, "the server refused it")                                       \
	X(icmp, "an ICMP error said so")                                      \
	X(timeout, "the server does not answer")                              \
	X(not_granted, "the tag is not accelerated with that peer")           \
	X(client_elsewhere, "the client's MAC is not learnt behind the peer") \
	X(server_elsewhere, "the server's MAC is not behind a border port")   \
	X(crossing, "both ends open at the same time")                        \
	X(busy, "the tuple is in use")                                        \
	X(local, "the far side's stack could not make it")                    \
	X(no_flow, "the flow that a stream was to join is not there")         \
	X(stripes, "the flow takes no more stripes")

enum refuse {
#define X(name, text) REFUSE_##name,
	REFUSE_REASONS(X)
#undef X
		REFUSE_COUNT
};

/* Credit, in bytes: what a side may have sent and the other side's host not taken yet. */
#define CREDIT_MIN (32u << 10)
#define CREDIT_MAX (64u << 20)

/* A flow's stripes at most. */
#define STRIPES_MAX 8

/* What is sent and not yet taken is cut into so many pieces at most, each sent on another stripe
 * than its neighbours; cut once more when a stripe is lost, it is never more than the second number
 * that a side must remember. */
#define STRIPE_SPANS_MAX  1024
#define STRIPE_RANGES_MAX 4096

#endif
