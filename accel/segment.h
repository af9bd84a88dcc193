/* SPDX-License-Identifier: GPL-3.0-or-later */
/* segment.h - TCP segments of accelerated flows: read, rewritten in place, answered. Pure */
#ifndef ACCEL_SEGMENT_H
#define ACCEL_SEGMENT_H

#include "lib/packet.h"
#include "lib/tcphdr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What of a TCP header a flow is steered by. */
struct segment {
	uint32_t seq, ack;
	uint32_t len;	 /* bytes of data */
	uint16_t window; /* not scaled */
	uint8_t flags;
};

/* Longest header of what is made here: Ethernet, a tag, IPv6, ICMP or TCP, and what is quoted. */
#define SEGMENT_ERROR_MAX (ETH_HDR_LEN + VLAN_TAG_LEN + 40 + 8 + 128)

/* An ICMP error, as it is passed from one site to the other. */
struct segment_error {
	uint8_t ip_version;
	uint8_t type, code;
	uint32_t rest;	    /* the second word of its header: a next hop's MTU, for instance */
	uint8_t source[16]; /* IPv4 mapped into IPv6 */
};

bool segment_read(const struct frame *f, const struct packet *p, struct segment *s);
void segment_addresses(const uint8_t *data, const struct packet *p, uint8_t src[16],
		       uint8_t dst[16]);
bool segment_has_secret(const struct frame *f, const struct packet *p);
bool segment_is_intact(const struct frame *f, const struct packet *p);
uint16_t segment_mss(const struct frame *f, const struct packet *p);
uint8_t segment_wscale(const struct frame *f, const struct packet *p);
void segment_set_mss(struct frame *f, const struct packet *p, uint16_t mss);
void segment_set_seq(struct frame *f, const struct packet *p, uint32_t seq);
void segment_clear_flags(struct frame *f, const struct packet *p, uint8_t flags);
void segment_untag(struct frame *f, struct packet *p);
void segment_tag(struct frame *f, uint16_t vid);
bool segment_answer_reset(struct frame *f, const struct packet *p);
bool segment_answer_ack(struct frame *f, const struct packet *p);
void segment_make_fin(struct frame *f, const struct packet *p, uint32_t seq);
bool segment_read_error(const struct frame *f, const struct packet *p, struct segment_error *e,
			struct packet *quoted, uint32_t *quoted_at);
size_t segment_make_error(uint8_t out[SEGMENT_ERROR_MAX], const struct frame *syn,
			  const struct packet *p, const struct segment_error *e);

#endif
