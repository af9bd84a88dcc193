// SPDX-License-Identifier: GPL-3.0-or-later
/* cause_start.c - the congestion window still grows, or there was not enough to send */
#include "capture/cause.h"

#include <stdio.h>

/* No loss since anything else limited, and nothing else that stops it: its congestion window does.
 */
static bool lingers(const struct evidence *v)
{
	return !v->t->lost && !v->e->retrans && v->d->have_ack && v->e->fresh;
}

static void remedy(const struct flow *f, unsigned from, char *text, size_t len)
{
	const struct direction *d = &f->dir[from];

	snprintf(
		text, len,
		"%llu B in %u round trips: over before the congestion window had grown to what the path carries. "
		"`accel = yes` sends over streams that are warm already; or keep connections open and use them "
		"again.",
		(unsigned long long)d->fresh, d->rounds);
}

const struct cause cause_start = {
	.name = "start",
	.rule = "data are in flight, nothing was lost yet, and no other rule holds: what is left is a congestion window that has not grown to any limit",
	.source = "Zhang et al., T-RAT, 2002; RFC 5681 3.1",
	.lingers = lingers,
	.remedy = remedy,
};
