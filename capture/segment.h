/* SPDX-License-Identifier: GPL-3.0-or-later */
/* segment.h - a captured TCP segment, out of whatever it was wrapped in */
#ifndef CAPTURE_SEGMENT_H
#define CAPTURE_SEGMENT_H

#include "capture/capfile.h"
#include "lib/tcphdr.h"

#include <assert.h>
#include <string.h>

/* What a frame was wrapped in, innermost first named. */
enum wrap { WRAP_NONE, WRAP_CAPSULATOR, WRAP_VXLAN, WRAP_GRE };

/* Who talks: IPv4 addresses stand in the last four bytes of 16, the rest 0. */
struct flow_key {
	uint8_t addr[2][16]; /* [0] is the lower end by address and port, as bytes */
	uint16_t port[2];
	uint8_t version; /* 4 or 6 */
	uint8_t zero[3]; /* keys are compared as bytes */
};

static inline bool flow_key_equal(const struct flow_key *a, const struct flow_key *b)
{
	return !memcmp(a, b, sizeof(*a));
}

/* Where a packet was seen: equal numbers are one place. */
struct sighting {
	uint32_t interface; /* of the file */
	uint32_t device;    /* index of the interface, where each packet of "any" tells it */
	uint32_t tag;	    /* of the wrapping: capsulator's tag, VNI, GRE key */
	uint8_t wrap;	    /* enum wrap */
	uint8_t way;	    /* enum cap_way */
	uint16_t vid;	    /* VLAN */
};

#define MACS_THERE 16 /* destination and source are 12 of these; an IP header follows */

/*
 * What a segment says; times are its capture's.
 *
 *	flags	of TCP's first 8
 *	window	as it stands in the header
 *	check	TCP checksum as captured: tells frames apart, is not verified
 *	ip_id	0: IPv6, or none
 *	len	payload bytes it had on the wire
 *	frame	bytes of the whole frame on the wire
 *	mss	0: none
 *	wscale	-1: none
 *	sacks	blocks in sack; what is behind them is not set
 */
struct segment {
	uint64_t time_ns;

	/* Each line is one word, and written and compared as one: a processor writes one a cycle.
	 */
	uint32_t ack, seq;
	uint16_t flags, window, check, ip_id;
	uint32_t tsecr, tsval;
	uint32_t len, frame;
	uint16_t mss;
	int8_t wscale;
	bool sack_ok, has_ts, options_cut, malformed;
	uint8_t sacks;

	struct sighting at;
	const uint8_t *macs; /* MACS_THERE bytes, from the Ethernet header on; NULL: none */
	uint8_t from;	     /* end of the key that sent it: 0 or 1 */
	uint8_t ttl;
	uint8_t ce;   /* the ECN field says "congestion experienced" */
	bool as_last; /* decap_batch(): of the flow of the segment before it; has no key then */
	uint32_t sack[4][2];
	struct flow_key key;
};

/* An ICMP "too big" for a TCP flow (RFC 1191, RFC 8201). */
struct too_big {
	struct flow_key key;
	uint8_t from; /* end whose packet did not fit */
	uint32_t mtu;
	uint64_t time_ns;
};

/* What a captured packet turned out to be. */
enum decap {
	DECAP_TCP,	/* struct segment */
	DECAP_TOO_BIG,	/* struct too_big */
	DECAP_OTHER,	/* nothing of TCP's */
	DECAP_FRAGMENT, /* a later fragment of an IP packet: no header to read */
	DECAP_CUT,	/* the snap length, or the packet's end, came before TCP's header did */
	DECAP_INVALID,	/* impossible headers */
	DECAP_LINK,	/* a link layer that is not known here */
};

#define DECAP_KINDS (DECAP_LINK + 1)
#define DECAP_DEPTH 4 /* wrappings inside each other that are followed */

/* The frame of a capture, or inside it where tunnels have wrapped it. */
struct inner_frame {
	const uint8_t *data;
	uint32_t captured, length;
	uint16_t ethertype; /* of data, where no Ethernet header is before them; 0: data have one */
	struct sighting at;
};

enum decap decap(const struct cap_packet *p, struct segment *s, struct too_big *big);
size_t decap_batch(const struct cap_packet *p, size_t n, struct segment *s, uint8_t *what,
		   uint16_t *keyed, size_t *n_keyed);
bool decap_inner(const struct cap_packet *p, struct inner_frame *inner);
const char *wrap_name(unsigned wrap);

#endif
