/* SPDX-License-Identifier: GPL-3.0-or-later */
/* record.h - records of a stream, read and written: pure */
#ifndef ACCEL_RECORD_H
#define ACCEL_RECORD_H

#include "accel/stream_proto.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct record {
	uint8_t type; /* enum record_type */
	uint32_t len; /* of the payload, bytes */
	uint32_t flow, generation;
};

/* A connection as both sites name it. IPv4 addresses are mapped into IPv6 (RFC 4291 2.5.5.2). */
struct tuple {
	uint32_t tag; /* as on the wire */
	uint16_t vid;
	uint8_t ip_version; /* 4, 6 */
	uint8_t client[16], server[16];
	uint16_t client_port, server_port;
};

struct open_record {
	struct tuple tuple;
	uint8_t tos; /* of the client's SYN */
	uint8_t client_mac[6], server_mac[6];
	uint16_t mss;	 /* the client's, bytes */
	uint8_t stripes; /* that the flow may have at most */
	uint32_t credit; /* bytes the other side may send */
};

struct opened_record {
	uint16_t mss;	 /* the server's, bytes */
	uint8_t stripes; /* that the flow may have at most, as both sides have it */
	uint32_t credit;
};

struct credit_record {
	uint64_t taken;	 /* bytes of the flow that the host has taken */
	uint32_t window; /* bytes beyond them that may be sent */
};

struct refused_record {
	uint8_t reason; /* enum refuse */
	uint8_t icmp_type, icmp_code;
	uint32_t icmp_rest; /* the ICMP header's second word */
	uint8_t source[16]; /* who sent it */
};

/* What record_next() has found. */
enum record_event {
	RECORD_MORE,  /* everything was taken, and it does not end a record */
	RECORD_WHOLE, /* another record, in .now and .payload */
	RECORD_PIECE, /* bytes of DATA or PAD, in .piece and .piece_len; of DATA, from .offset on */
	RECORD_BAD,   /* what comes is no record; the stream must end */
};

/* Takes a stream of bytes apart. Zeroed before first use. */
struct record_reader {
	uint8_t hdr[RECORD_HDR_LEN];
	unsigned have;	   /* bytes of hdr */
	struct record now; /* valid once the header is whole */
	uint32_t got;	   /* bytes of its payload */
	uint8_t payload[RECORD_CTL_MAX];
	const uint8_t *piece;
	size_t piece_len;
	uint64_t offset; /* of the piece in the flow */
};

enum record_event record_next(struct record_reader *r, const uint8_t **at, size_t *len);
void record_store(uint8_t hdr[RECORD_HDR_LEN], const struct record *r);
bool record_parse(const uint8_t hdr[RECORD_HDR_LEN], struct record *r);
void record_store_data(uint8_t hdr[RECORD_HDR_LEN + RECORD_DATA_HDR], struct record r,
		       uint64_t offset);

void open_store(uint8_t p[OPEN_LEN], const struct open_record *o);
bool open_parse(const uint8_t p[OPEN_LEN], struct open_record *o);
void opened_store(uint8_t p[OPENED_LEN], const struct opened_record *o);
bool opened_parse(const uint8_t p[OPENED_LEN], struct opened_record *o);
void credit_store(uint8_t p[CREDIT_LEN], const struct credit_record *c);
bool credit_parse(const uint8_t p[CREDIT_LEN], struct credit_record *c);
void refused_store(uint8_t p[REFUSED_LEN], const struct refused_record *o);
bool refused_parse(const uint8_t p[REFUSED_LEN], struct refused_record *o);
void tuple_store(uint8_t p[TUPLE_LEN], const struct tuple *t);
bool tuple_parse(const uint8_t p[TUPLE_LEN], struct tuple *t);

extern const char *const refuse_names[REFUSE_COUNT];
extern const char *const refuse_texts[REFUSE_COUNT];

#endif
