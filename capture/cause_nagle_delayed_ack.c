// SPDX-License-Identifier: GPL-3.0-or-later
/* cause_nagle_delayed_ack.c - each waits for the other: small segments, and ACKs that are held back
 */
#include "capture/cause.h"

#include <stdio.h>

/*
 * The sender holds a small segment back while another is not acknowledged
 * (RFC 896), the receiver holds the ACK back in the hope of data to carry it
 * (RFC 1122 4.2.3.2). In such an epoch the segments are few and small, ACKs
 * of them come late, and the next segment goes right after one.
 */
static bool limits(const struct evidence *v)
{
	const struct epoch *e = v->e;

	return e->late_acks && !e->retrans && e->small && e->bursts && e->full <= 2u * e->small &&
	       e->bursts_on_ack * 2 >= e->bursts && e->peak < 4 * v->mss;
}

static void remedy(const struct flow *f, unsigned from, char *text, size_t len)
{
	snprintf(
		text, len,
		"The sender writes in pieces and waits, by Nagle's algorithm, for the ACK of the last small one, "
		"which the receiver delays. TCP_NODELAY at the sender, or one write instead of two; TCP_QUICKACK at "
		"the receiver.");
}

const struct cause cause_nagle_delayed_ack = {
	.name = "nagle_delayed_ack",
	.rule = "segments below MSS whose ACK comes at least 30 ms later than the round trip, with less than 4 "
		"MSS in flight, and at least half of the bursts begin right after an ACK",
	.source =
		"RFC 896; RFC 1122 4.2.3.2; Mogul, Minshall, \"Rethinking the TCP Nagle algorithm\", 2001",
	.limits = limits,
	.remedy = remedy,
};
