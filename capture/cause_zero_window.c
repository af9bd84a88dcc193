// SPDX-License-Identifier: GPL-3.0-or-later
/* cause_zero_window.c - the receiving application does not read */
#include "capture/cause.h"

#include <stdio.h>

static void remedy(const struct flow *f, unsigned from, char *text, size_t len)
{
	snprintf(
		text, len,
		"The receiver has closed its window %u times: its application does not read as fast as data come. "
		"Look at its disk and its processor; larger windows only put the moment off.",
		f->dir[!from].zero_windows);
}

const struct cause cause_zero_window = {
	.name = "zero_window",
	.rule = "the advertised window is 0, or less than MSS and than half of what it was at most",
	.source = "RFC 9293 3.8.6.1; Siekkinen et al., 2005",
	.remedy = remedy,
};
