// SPDX-License-Identifier: GPL-3.0-or-later
/* cause_pmtu_black_hole.c - large packets vanish, and nobody says so */
#include "capture/cause.h"

#include <stdio.h>

/* Three time-outs in a row of full-size segments, with nothing larger ever acknowledged (track.c).
 */
static bool limits(const struct evidence *v)
{
	return v->d->black_hole && (v->e->timeouts || v->t->in_timeout);
}

/* The first time-outs look as if the path lost segments of all sizes. */
static bool includes(const struct evidence *v, const struct epoch *before)
{
	return before->judged == CAUSE_CONGESTION && before->timeouts;
}

static void remedy(const struct flow *f, unsigned from, char *text, size_t len)
{
	snprintf(
		text, len,
		"Segments of %u B never arrive, small ones do, and no ICMP \"too big\" comes back. Clamp the MSS: "
		"`-m MTU` at the tunnel (or `-m auto`), as far down as the path needs; the same MTU on all "
		"interfaces of both LANs; and let ICMP type 3 code 4 (IPv6: type 2) pass.",
		direction_mss(f, from));
}

const struct cause cause_pmtu_black_hole = {
	.name = "pmtu_black_hole",
	.rule = "full-size segments run into the retransmission timer 3 times in a row with none of that size acknowledged or SACKed between, and no ICMP \"too big\" "
		"was seen",
	.source = "RFC 2923 2.1; RFC 4821 7.7; RFC 8899 4.3",
	.limits = limits,
	.includes = includes,
	.remedy = remedy,
};
