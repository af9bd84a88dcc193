// SPDX-License-Identifier: GPL-3.0-or-later
/* mtu.c - what fits on the way to each peer, and what that makes of MSS */
/*
 * Theory of operation
 *
 * Sealed, each worker finds out what its path to a peer carries (pmtu.c), and
 * the least of them is the peer's. Until that is known, and with the
 * capsulator, it is what the tunnel interface carries. The peer says the same
 * of its way to us (control_message.c, "mtu").
 *
 * MSS is lowered to what fits: in a SYN from a peer to our way there, because
 * that is where the answer's segments will travel; in a SYN to a peer to its
 * way to us. So one appliance that clamps is enough for both directions.
 */
#include "tunnel/mtu.h"

#include "lib/log.h"

#include <stdatomic.h>

/* The largest inner packet, in bytes, that is sent to a peer in one piece. Main thread. */
uint32_t mtu_inner(const struct tunnel *t, const struct peer *p)
{
	uint32_t path = t->control ? peer_path_mtu(p, t->n_workers) : 0;
	uint32_t outer = path ? path : t->interface_mtu;
	uint32_t around = t->outer_ops->overhead + ETH_HDR_LEN;

	/* The overhead is IPv4's. Which family a peer is reached by, its paths know, if there are
	 * any. */
	if (path ? peer_path_is_ipv6(p) : peer_is_ipv6(p))
		around += UDP_IPV6_HDR - UDP_IPV4_HDR;
	return outer > MTU_MIN + around ? outer - around : MTU_MIN;
}

/* What a tag's clamp is in status: as asked for, or the least of its peers'. */
static uint32_t tag_mtu(const struct tunnel *t, unsigned tag)
{
	const struct conf_tag *c = t->tags[tag].conf;
	uint32_t least = UINT16_MAX, mtu;
	unsigned i;

	if (c->mtu != MTU_AUTO)
		return c->mtu == MTU_OFF ? 0 : c->mtu;
	for (i = 0; i < t->n_peers; i++) {
		mtu = t->peers[i].inner_mtu;
		if (t->tags_of[i] & 1ull << tag && mtu < least)
			least = mtu;
	}
	return least;
}

/* What fits has changed, or may have: sets what is clamped to from now on. Main thread. */
void mtu_changed(struct tunnel *t)
{
	unsigned i;

	if (t->interface_mtu < MTU_MIN + t->outer_ops->overhead + ETH_HDR_LEN)
		log_warning(
			"tunnel interface %s has an MTU of %u: even the smallest TCP segments will be "
			"fragmented",
			t->conf->interface, t->interface_mtu);
	for (i = 0; i < t->n_peers; i++)
		atomic_store(&t->peers[i].inner_mtu, mtu_inner(t, &t->peers[i]));
	for (i = 0; i < t->n_tags; i++)
		t->tags[i].mtu = (uint16_t)tag_mtu(t, i);
}

/* What the MSS of a SYN to these peers is clamped to, as an inner MTU: what fits both there and
 * back. Any thread. */
uint32_t mtu_clamp_out(const struct tunnel *t, uint64_t peers)
{
	uint32_t least = UINT16_MAX, there, back;

	for (; peers; peers &= peers - 1) {
		const struct peer *p = &t->peers[__builtin_ctzll(peers)];

		there = atomic_load_explicit(&p->inner_mtu, memory_order_relaxed);
		back = atomic_load_explicit(&p->mtu_back, memory_order_relaxed);
		least = there < least ? there : least;
		least = back && back < least ? back : least;
	}
	return least;
}
