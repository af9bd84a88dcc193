// SPDX-License-Identifier: GPL-3.0-or-later
/* proto.c - the one validator of sealed datagrams */
#include "tunnel/proto.h"

/* Shortest sealed payload of each type; a fragment's is its id, offset and total length and a byte.
 */
static const uint8_t payload_min[SEALED_TYPES] = {
	[SEALED_FRAME] = ETH_HDR_LEN,
	[SEALED_FRAGMENT] = FRAGMENT_HDR_LEN + 1,
	[SEALED_PROBE] = PROBE_LEN,
	[SEALED_PROBE_REPLY] = PROBE_LEN,
};

/*
 * Reads a datagram's header and pairs its type with its length before
 * anything else of it is believed.
 * @p, @len: the datagram
 * @h:       filled in when SEALED_OK is returned
 */
enum sealed_error sealed_load(const uint8_t *p, size_t len, struct sealed_header *h)
{
	if (len < SEALED_OVERHEAD)
		return SEALED_SHORT;
	if (p[0] >> 4 != PROTO_VERSION)
		return SEALED_BAD_VERSION;
	h->type = p[0] & 0xf;
	h->flags = p[1];
	h->worker = p[2];
	h->session = load_be32(p + 4);
	h->tag = load_be32(p + 8);
	h->counter = load_be64(p + 12);
	if (h->type >= SEALED_TYPES)
		return SEALED_BAD_TYPE;
	if (h->flags & ~SEALED_PARTIAL || p[3] || (h->flags && h->type > SEALED_FRAGMENT))
		return SEALED_BAD_FLAGS;
	if (len < SEALED_OVERHEAD + (size_t)payload_min[h->type])
		return SEALED_SHORT;
	return SEALED_OK;
}

/* Writes a probe or reply of PROBE_LEN bytes. */
void probe_store(uint8_t *p, const struct probe *probe)
{
	store_be64(p, probe->mark);
	store_be64(p + 8, probe->highest);
	store_be64(p + 16, probe->received);
}

/* Reads a probe or reply of at least PROBE_LEN bytes. */
void probe_load(const uint8_t *p, struct probe *probe)
{
	probe->mark = load_be64(p);
	probe->highest = load_be64(p + 8);
	probe->received = load_be64(p + 16);
}
