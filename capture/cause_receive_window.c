// SPDX-License-Identifier: GPL-3.0-or-later
/* cause_receive_window.c - the receiver does not allow more in flight */
#include "capture/cause.h"

#include <stdio.h>

#define MOSTLY \
	3 / 4 /* of the window in flight in the mean: a paced sender seldom stands at its edge */
#define SMALL_WINDOW 65535u /* what can be said without window scaling */

/*
 * While no full segment fits the window the clock tells (HOLD_WINDOW); this
 * rule is for the time between, where a sender keeps the window nearly full
 * but a pacer, or segmentation offload, waits for more room before it sends.
 */
static bool limits(const struct evidence *v)
{
	const struct epoch *e = v->e;
	uint64_t busy = e->held[HOLD_WINDOW] + e->held[HOLD_FLIGHT];

	if (!v->d->have_ack || !busy || e->room >= 2 * v->mss || e->retrans)
		return false;
	return e->held[HOLD_WINDOW] * 2 >= busy || e->area / busy >= (uint64_t)e->window * MOSTLY;
}

/* The window, bytes: in the mean while it limited; at most, if it never did. */
static double mean_window(const struct flow *f, unsigned from)
{
	const struct direction *d = &f->dir[from];

	return d->held[CAUSE_RECEIVE_WINDOW]
		       ? (double)d->window_area / (double)d->held[CAUSE_RECEIVE_WINDOW]
		       : f->dir[!from].window_max;
}

/* That window in a mean round trip. */
static double ceiling(const struct flow *f, unsigned from)
{
	double rtt = cause_mean_rtt_s(f);

	return rtt > 0 ? mean_window(f, from) * 8 / rtt : 0;
}

static void remedy(const struct flow *f, unsigned from, char *text, size_t len)
{
	const struct direction *d = &f->dir[from], *r = &f->dir[!from];
	double window = mean_window(f, from);
	char allowed[32], got[32];
	const char *known = r->scale_known || !r->scale_least ? ""
							      : " (scale not seen: at least that)";

	cause_rate_text(allowed, sizeof(allowed), ceiling(f, from));
	cause_rate_text(got, sizeof(got), cause_rate(d));
	snprintf(
		text, len,
		"%.0f B of window%s / %.4g ms of round trip = %s, and the transfer gets %s. `accel = "
		"yes` on this tag ends the host's TCP near it, so that its window only has to cover the "
		"LAN; %s",
		window, known, cause_mean_rtt_s(f) * 1e3, allowed, got,
		window > SMALL_WINDOW ? "or give the receiving host larger receive buffers."
		: r->syn && d->syn && r->wscale < 0
			? "or turn on window scaling at the receiving host, with larger receive buffers."
			: "or give the receiving host larger receive buffers, which window scaling lets it "
			  "announce.");
}

const struct cause cause_receive_window = {
	.name = "receive_window",
	.rule = "the next full segment does not fit the advertised window (scaled), or the window is kept "
		"at least 3/4 full and its edge is reached in the round trip",
	.source =
		"Zhang et al., T-RAT, 2002; Siekkinen et al., 2005; RFC 9293 3.8.6; Linux tcp_info",
	.limits = limits,
	.ceiling = ceiling,
	.remedy = remedy,
};
