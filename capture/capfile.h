/* SPDX-License-Identifier: GPL-3.0-or-later */
/* capfile.h - capture files, pcap and pcapng, read in one pass */
#ifndef CAPTURE_CAPFILE_H
#define CAPTURE_CAPFILE_H

#include "lib/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CAP_BLOCK_MAX \
	(16u << 20)		/* longest block or packet that is believed: libpcap's own limit */
#define CAP_INTERFACES_MAX 4096 /* of one section; more are a hostile file */
#define CAP_NAME_MAX	   64

/* Where a packet was seen going, as far as the capture says. */
enum cap_way { CAP_WAY_UNKNOWN, CAP_WAY_IN, CAP_WAY_OUT };

/* Link types that are known by name here (https://www.tcpdump.org/linktypes.html). */
enum {
	LINK_NULL = 0,
	LINK_ETHERNET = 1,
	LINK_RAW_BSD = 12,
	LINK_RAW_OPENBSD = 14,
	LINK_RAW = 101,
	LINK_LOOP = 108,
	LINK_SLL = 113,
	LINK_IPV4 = 228,
	LINK_IPV6 = 229,
	LINK_SLL2 = 276,
};

/* One packet as a capture has it. */
struct cap_packet {
	uint64_t time_ns; /* since 1970 */
	const uint8_t *data;
	uint32_t captured;  /* bytes at data */
	uint32_t length;    /* bytes it had on the wire; never below captured */
	uint32_t interface; /* number of the interface, counted through the whole file */
	uint16_t link;	    /* type of its link layer */
	uint8_t way;	    /* enum cap_way */
};

/* An interface that packets of a file were captured on. */
struct cap_interface {
	char name[CAP_NAME_MAX]; /* "" where the file does not say */
	uint16_t link;
	uint32_t snaplen;    /* 0: no limit */
	uint64_t packets;    /* read from it */
	uint64_t drops;	     /* that the capture says it has lost there */
	uint64_t unit_per_s; /* ticks of its time stamps */
	int64_t offset_s;    /* added to them */
	bool unknown_drops;  /* the file has no statistics of it */
};

/* What of a file could not be used. */
struct cap_skipped {
	uint64_t blocks;  /* of kinds that hold no packets */
	uint64_t broken;  /* packets or blocks whose fields contradict each other */
	uint64_t no_time; /* packets without a time stamp (simple packet blocks) */
	char why[160];	  /* what ended the reading before the file's end; "" if nothing */
};

/* What lies behind the packets of a batch: packets, each of which has its length in it. */
struct cap_ahead {
	const uint8_t *at, *end;
	uint8_t len_at, extra; /* where that length stands, 32 bits; what it does not count */
	bool swapped;
};

/* Gives more bytes: as read(2). */
typedef ssize_t (*cap_read)(void *ctx, void *buf, size_t len);

struct capfile;

struct capfile *capfile_open(cap_read more, void *ctx, struct err *e);
struct capfile *capfile_open_file(int fd, cap_read more, void *ctx, struct err *e);
size_t capfile_batch(struct capfile *f, struct cap_packet *p, size_t max);
struct cap_ahead capfile_ahead(const struct capfile *f);
int capfile_next(struct capfile *f, struct cap_packet *p);
const struct cap_interface *capfile_interface(const struct capfile *f, uint32_t number);
uint32_t capfile_interfaces(const struct capfile *f);
const struct cap_skipped *capfile_skipped(const struct capfile *f);
const char *capfile_kind(const struct capfile *f);
void capfile_done(struct capfile *f);
void capfile_close(struct capfile *f);

#endif
