// SPDX-License-Identifier: GPL-3.0-or-later
/* batch.c - frames read together, and the memory they are read into */
#include "lib/batch.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ARENA_BYTES ((size_t)BATCH_MESSAGES * BATCH_SLOT)

/* Makes a batch; NULL when memory is short. */
struct batch *batch_new(void)
{
	struct batch *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	/* Pages are touched as frames need them: a slot that only ever holds 1514 bytes costs one.
	 */
	b->arena = mmap(NULL, ARENA_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			0);
	if (b->arena == MAP_FAILED) {
		free(b);
		return NULL;
	}
	return b;
}

/* Frees a batch; NULL is allowed. */
void batch_free(struct batch *b)
{
	if (!b)
		return;
	munmap(b->arena, ARENA_BYTES);
	free(b);
}

/* Lays out one message's buffers. */
static void lay_out(struct batch *b, unsigned i)
{
	b->iovs[i][0] = (struct iovec){&b->vnets[i], sizeof(b->vnets[i])};
	b->iovs[i][1] = (struct iovec){batch_slot(b, i) + b->headroom, BATCH_SLOT - b->headroom};
	b->msgs[i].msg_hdr = (struct msghdr){
		.msg_name = &b->names[i],
		.msg_namelen = sizeof(b->names[i]),
		.msg_iov = b->iovs[i] + !b->vnet,
		.msg_iovlen = 1 + b->vnet,
		.msg_control = b->control[i],
		.msg_controllen = sizeof(b->control[i]),
	};
}

/*
 * Makes messages ready to be read into. Only what the last read has used is
 * laid out anew, unless another kind of socket is read now: a batch is mostly
 * one small frame, and must not cost the laying out of sixty-four.
 */
static void prepare(struct batch *b, size_t headroom, bool vnet, unsigned max)
{
	unsigned i;

	if (headroom != b->headroom || vnet != b->vnet)
		b->laid_out = 0;
	b->headroom = headroom;
	b->vnet = vnet;
	for (i = 0; i < b->used && i < b->laid_out; i++)
		lay_out(b, i);
	for (; b->laid_out < max; b->laid_out++)
		lay_out(b, b->laid_out);
}

/*
 * Reads messages from a socket until none is waiting or the batch is full.
 * @headroom: bytes left free at the start of each slot
 * @vnet:     each message begins with a virtio_net_hdr, which goes to b->vnets
 * @max:      most messages to read, at most BATCH_MESSAGES
 *
 * Returns how many messages came. Their lengths, names and control data are
 * in b->msgs; nothing is in b->frames yet.
 */
unsigned batch_receive(struct batch *b, int fd, size_t headroom, bool vnet, unsigned max)
{
	int n;

	prepare(b, headroom, vnet, max);
	b->n = 0;
	n = recvmmsg(fd, b->msgs, max, MSG_DONTWAIT, NULL);
	b->used = n > 0 ? (unsigned)n : 0;
	return b->used;
}

/*
 * Adds a frame that was read to the batch's frames, or counts why not.
 * @vnet: its offload header; NULL: a plain wire frame
 * Returns whether it was added.
 */
bool batch_add(struct batch *b, uint8_t *data, uint32_t len, const struct virtio_net_hdr *vnet,
	       struct batch_drops *drops)
{
	struct frame *f = &b->frames[b->n];

	if (len < ETH_HDR_LEN) {
		drops->short_frame++;
		return false;
	}
	if (len > FRAME_MAX) {
		drops->truncated++;
		return false;
	}
	*f = (struct frame){.data = data, .len = len};
	if (vnet)
		f->vnet = *vnet;
	b->n++;
	return true;
}
