/* SPDX-License-Identifier: GPL-3.0-or-later */
/* gso.h - split super-frames into wire frames, merge wire frames into super-frames */
#ifndef LIB_GSO_H
#define LIB_GSO_H

#include "lib/packet.h"

#include <sys/uio.h>

/*
 * The largest header stack that is split: Ethernet 14, two VLAN tags 8, IPv6
 * 40, extension headers, TCP 60; in VXLAN 70 more, and room for GENEVE's
 * options. A frame with more is refused, not guessed at.
 */
#define GSO_HDR_MAX 256

/* Why a frame cannot be split. */
enum gso_error {
	GSO_OK,
	GSO_UNSUPPORTED, /* an offload or a tunnel of a kind that we do not cut (UFO) */
	GSO_MALFORMED,	 /* the offload header contradicts the bytes */
};

/* One wire frame of a split: hdr_len bytes of headers, then payload_len bytes. */
struct gso_segment {
	uint32_t hdr_len;
	const uint8_t *payload; /* inside the super-frame; never written to by the splitter */
	uint32_t payload_len;
};

/* What of the IPv4 headers of a split is not in the saved ones. */
struct gso_ip {
	uint32_t sum; /* of the header, what differs from segment to segment left out */
	uint16_t id;  /* identification of the first segment */
};

/* The headers around an encapsulated super-frame; see gso_tunnel.c. */
struct gso_tunnel {
	struct packet p; /* the outer packet */
	struct gso_ip ip;
	uint32_t check; /* where its UDP or GRE checksum stands; 0: it has none */
	uint32_t sum;	/* of all that checksum is over, lengths left out */
};

/* A split under way. Callers read the first three; the rest is the splitter's own. */
struct gso_split {
	uint32_t count;	   /* wire frames in all, >= 1 */
	uint32_t wire_len; /* bytes of the longest of them */
	bool partial; /* TCP or UDP checksums are left partial: whoever gets them must be told */

	const uint8_t *data; /* the super-frame */
	uint32_t len;	     /* its bytes, without the padding behind an IP packet that is split */
	uint32_t next;	     /* index of the next segment */
	uint32_t hdr_len;    /* bytes of headers copied in front of each segment's payload */
	uint32_t gso_size;   /* payload bytes of every segment but the last */
	struct gso_ip ip;
	uint32_t l4_sum; /* of pseudo-header and (unless partial) transport header, likewise */
	uint32_t seq;	 /* TCP sequence number of the first segment */
	uint8_t flags;	 /* TCP flags of the super-frame */
	bool tunnelled;	 /* p is inside another packet */
	struct packet p; /* whose payload is cut; unset if the frame passes as one */
	struct gso_tunnel tunnel; /* set if tunnelled */
	uint8_t hdr[GSO_HDR_MAX]; /* headers that segments are copied from, 0 where they differ */
};

/* Flags of gso_split_begin(). */
#define GSO_KEEP_PARTIAL 1 /* leave checksums partial where the far side can find them again */

enum gso_error gso_split_begin(struct gso_split *s, const struct frame *f, unsigned flags);
bool gso_split_next(struct gso_split *s, uint8_t *hdr, struct gso_segment *seg);
uint32_t gso_header_len(const struct frame *f, const struct packet *p);

/* One frame, perhaps a super-frame, as merging left it: ready for one gathered write. */
struct gso_merged {
	struct virtio_net_hdr vnet;
	struct frame *head; /* the first frame: its headers lead the whole */
	struct iovec *iov;  /* headers and payloads in order; iov[0] begins at the MAC */
	uint32_t iovcnt;
	uint32_t len;	   /* bytes in all */
	uint32_t frames;   /* wire frames inside */
	uint32_t wire_len; /* bytes of the longest of them */
};

struct gso_merge; /* storage for one batch; see gso.c */

/* Flags of gso_merge_new(). */
#define GSO_MERGE_UDP 1 /* also merge UDP datagrams (the port takes VIRTIO_NET_HDR_GSO_UDP_L4) */
#define GSO_MERGE_NOTHING \
	2 /* every frame stays alone: for those who must do without super-frames */

struct gso_merge *gso_merge_new(uint32_t max_frames, unsigned flags);
void gso_merge_free(struct gso_merge *m);
const struct gso_merged *gso_merge_batch(struct gso_merge *m, struct frame *frames, uint32_t n,
					 uint32_t *count);

#endif
