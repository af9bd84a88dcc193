// SPDX-License-Identifier: GPL-3.0-or-later
/* cause_unknown.c - no rule holds */
#include "capture/cause.h"

#include <stdio.h>

static void remedy(const struct flow *f, unsigned from, char *text, size_t len)
{
	const struct direction *d = &f->dir[from];

	snprintf(
		text, len, "%s",
		d->at.way == CAP_WAY_UNKNOWN && !f->dir[!from].packets
			? "Only one direction was captured. Capture both, best at the sender."
			: "No rule fits. Capture again at the sender, from before the transfer begins.");
}

const struct cause cause_unknown = {
	.name = "unknown",
	.rule = "none of the others",
	.source = "",
	.remedy = remedy,
};
