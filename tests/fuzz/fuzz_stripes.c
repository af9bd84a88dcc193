// SPDX-License-Identifier: GPL-3.0-or-later
/* fuzz_stripes.c - bytes over several stripes, whatever order they come in and whatever is lost:
 * what is passed on is what was sent, and an offset that cannot be takes no memory */
#include "accel/inorder.h"
#include "accel/retain.h"
#include "tests/fuzz/must.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define QUEUE 16

struct piece {
	uint64_t offset;
	size_t len;
};

static struct chunks chunks;

/* Both ends of a flow, and what is under way on each stripe. */
struct ends {
	struct retain out;
	struct inorder in;
	struct piece queue[STRIPES_MAX][QUEUE];
	unsigned queued[STRIPES_MAX];
	uint8_t bytes[3 * CHUNK_ROOM];
};

static uint8_t byte_at(uint64_t offset)
{
	return (uint8_t)(offset ^ offset >> 7 ^ offset >> 15);
}

static void fill(struct ends *e, uint64_t offset, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		e->bytes[i] = byte_at(offset + i);
}

static void check(const uint8_t *bytes, uint64_t offset, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		must(bytes[i] == byte_at(offset + i));
}

static void send_piece(struct ends *e, unsigned stripe, size_t len)
{
	struct piece *p = &e->queue[stripe][e->queued[stripe]];

	if (e->queued[stripe] == QUEUE)
		return;
	p->len = retain_next(&e->out, len, &p->offset);
	if (p->len) {
		must(!retain_send_again(&e->out, (uint8_t)stripe, e->bytes, p->len));
		check(e->bytes, p->offset, p->len);
	} else if (retain_may_add(&e->out, (uint8_t)stripe) &&
		   e->out.end - e->out.begin + len < CREDIT_MAX / 8) {
		p->offset = e->out.end;
		p->len = len;
		fill(e, p->offset, len);
		must(!retain_add(&e->out, (uint8_t)stripe, e->bytes, len));
	}
	e->queued[stripe] += p->len != 0;
}

static void take(struct ends *e)
{
	const uint8_t *bytes;
	size_t n;

	while ((n = inorder_get(&e->in, &bytes))) {
		check(bytes, e->in.next, n);
		inorder_advance(&e->in, n);
	}
}

static void receive_piece(struct ends *e, unsigned stripe)
{
	struct piece p = e->queue[stripe][0];
	size_t old, n;

	if (!e->queued[stripe])
		return;
	memmove(e->queue[stripe], e->queue[stripe] + 1, --e->queued[stripe] * sizeof(**e->queue));
	fill(e, p.offset, p.len);
	n = inorder_direct(&e->in, p.offset, p.len, &old);
	must(old + n <= p.len);
	if (n) {
		must(p.offset + old == e->in.next);
		inorder_advance(&e->in, n);
	}
	old += n;
	if (old < p.len)
		must(!inorder_put(&e->in, p.offset + old, e->bytes + old, p.len - old));
	take(e);
}

/* A peer that keeps no rule. */
static void receive_nonsense(struct ends *e, uint64_t offset, size_t len)
{
	size_t old, n = inorder_direct(&e->in, offset, len, &old);
	int ret;

	must(old + n <= len);
	must(offset <= e->in.next || (!n && !old));
	if (offset < e->in.next + CREDIT_MAX / 2)
		return; /* it could be taken for good */
	fill(e, offset, len);
	ret = inorder_put(&e->in, offset, e->bytes, len);
	must(ret == -EPROTO || offset + len <= e->in.next + CREDIT_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ends *e = calloc(1, sizeof(*e));
	uint64_t begin;
	size_t at;

	if (!e || size < 8)
		goto out;
	memcpy(&begin, data, 8);
	begin >>= 8;
	retain_init(&e->out, &chunks, begin);
	inorder_init(&e->in, &chunks, begin);
	for (at = 8; at + 4 <= size && at < 8 + 4 * 2000; at += 4) {
		unsigned stripe = data[at] >> 4 & 7;
		size_t len = 1 + ((size_t)data[at + 1] << 8 | data[at + 2]) *
					 (data[at + 3] & 1 ? 3 : 1);

		switch (data[at] & 7) {
		case 0:
		case 1:
		case 2: send_piece(e, stripe, len); break;
		case 3:
		case 4:
		case 5: receive_piece(e, stripe); break;
		case 6:
			e->queued[stripe] = 0;
			retain_lost(&e->out, (uint8_t)stripe);
			break;
		default:
			if (data[at + 3] & 2)
				retain_taken(&e->out, e->in.next);
			else
				receive_nonsense(e, (uint64_t)data[at + 3] << 56 | len << 20, len);
		}
		must(e->in.n_ranges <= STRIPE_RANGES_MAX);
	}
	retain_release(&e->out);
	inorder_release(&e->in);
out:
	free(e);
	return 0;
}
