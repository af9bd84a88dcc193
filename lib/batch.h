/* SPDX-License-Identifier: GPL-3.0-or-later */
/* batch.h - frames read together, and the memory they are read into */
#ifndef LIB_BATCH_H
#define LIB_BATCH_H

#include "lib/packet.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define BATCH_MESSAGES 64   /* read by one system call */
#define BATCH_FRAMES   1024 /* in them: a message may hold several datagrams */

/*
 * Room before a frame: a VLAN tag that hardware has stripped is put back
 * there, and outer headers stand there. Keeps the frame aligned for copying.
 */
#define BATCH_HEADROOM 64
#define BATCH_SLOT     (BATCH_HEADROOM + 65600) /* holds FRAME_MAX or the longest IP packet */

#define BATCH_CONTROL 128 /* bytes of ancillary data a message */

/*
 * One worker's, for ports or for peers. It is filled by a read from one port or from the outer
 * socket, worked on to the end, and only then filled again: frames, and all
 * that points into them, live for one batch.
 */
struct batch {
	uint32_t n; /* frames */
	struct frame frames[BATCH_FRAMES];
	uint8_t *arena;	 /* BATCH_MESSAGES slots */
	size_t headroom; /* how the messages are laid out */
	bool vnet;
	unsigned laid_out; /* messages that are */
	unsigned used;	   /* of them by the last read */
	struct mmsghdr msgs[BATCH_MESSAGES];
	struct iovec iovs[BATCH_MESSAGES][2];
	struct virtio_net_hdr vnets[BATCH_MESSAGES];
	_Alignas(struct cmsghdr) uint8_t control[BATCH_MESSAGES][BATCH_CONTROL];
	struct sockaddr_storage names[BATCH_MESSAGES];
	uint64_t arrival_ns[BATCH_MESSAGES]; /* CLOCK_MONOTONIC, of frames whose socket has it said
					      */
};

/* What was read and is not among the frames. */
struct batch_drops {
	uint32_t truncated;   /* longer than any frame can be */
	uint32_t short_frame; /* shorter than an Ethernet header */
};

static inline uint8_t *batch_slot(struct batch *b, unsigned i)
{
	return b->arena + (size_t)i * BATCH_SLOT;
}

struct batch *batch_new(void);
void batch_free(struct batch *b);
bool batch_add(struct batch *b, uint8_t *data, uint32_t len, const struct virtio_net_hdr *vnet,
	       struct batch_drops *drops);
unsigned batch_receive(struct batch *b, int fd, size_t headroom, bool vnet, unsigned max);

#endif
