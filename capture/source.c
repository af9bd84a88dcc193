// SPDX-License-Identifier: GPL-3.0-or-later
/* source.c - live packets of an interface, each with its direction */
/*
 * libpcap does not say which way a packet of an Ethernet interface went. So two
 * captures are opened, one for each way, and their packets are put in order
 * by time. The one that has none now may get an older packet still: what the
 * other has waits for SETTLE_NS.
 */
#include "capture/source.h"

#include "capture/live.h"
#include "capture/segment.h"
#include "lib/clock.h"

#include <stdlib.h>
#include <string.h>

#define SETTLE_NS (250 * NS_PER_MS) /* libpcap hands packets over after 100 ms at the latest */

/* An interface, both ways. */
struct outside {
	struct source source;
	struct live *ways[2];
	struct cap_packet next[2];
	bool have[2];
};

static int outside_next(struct source *s, struct cap_packet *p, struct err *e)
{
	struct outside *o = (struct outside *)s;
	unsigned i, first;

	for (i = 0; i < 2; i++) {
		int got = o->have[i] || !o->ways[i] ? 0 : live_next(o->ways[i], &o->next[i], e);

		if (got < 0)
			return got;
		o->have[i] |= got > 0;
	}
	if (!o->have[0] && !o->have[1])
		return 0;
	first = !o->have[0] || (o->have[1] && o->next[1].time_ns < o->next[0].time_ns);
	if (!o->have[!first] && o->ways[!first] &&
	    o->next[first].time_ns + SETTLE_NS > clock_real_ns())
		return 0;
	*p = o->next[first];
	if (o->ways[1])
		p->way = first ? CAP_WAY_OUT : CAP_WAY_IN;
	o->have[first] = false;
	return 1;
}

static uint64_t outside_drops(struct source *s)
{
	struct outside *o = (struct outside *)s;

	return live_drops(o->ways[0]) + (o->ways[1] ? live_drops(o->ways[1]) : 0);
}

static void outside_close(struct source *s)
{
	struct outside *o = (struct outside *)s;

	live_close(o->ways[0]);
	live_close(o->ways[1]);
	free(o);
}

static const struct source_ops outside_ops = {outside_next, outside_drops, outside_close};

/* Begins to capture on an interface. Returns NULL with a text. */
struct source *source_interface(const struct source_options *opts, struct err *e)
{
	struct outside *o = calloc(1, sizeof(*o));
	bool any = !strcmp(opts->interface, "any"); /* tells each packet's direction itself */

	if (!o) {
		err_set(e, ENOMEM, "out of memory");
		return NULL;
	}
	o->source.ops = &outside_ops;
	o->ways[0] = live_open(opts->interface, opts->snaplen, any ? CAP_WAY_UNKNOWN : CAP_WAY_IN,
			       e);
	if (o->ways[0] && !any)
		o->ways[1] = live_open(opts->interface, opts->snaplen, CAP_WAY_OUT, e);
	if (!o->ways[0] || (!any && !o->ways[1])) {
		outside_close(&o->source);
		return NULL;
	}
	snprintf(o->source.interfaces[0].name, CAP_NAME_MAX, "%s", opts->interface);
	o->source.interfaces[0].link = live_link(o->ways[0]);
	o->source.interfaces[0].snaplen = opts->snaplen;
	o->source.n_interfaces = 1;
	return &o->source;
}

/*
 * Whether to go on reading. After an interruption, or at its time, a source is
 * read for a little longer, since packets from before may still be on their way.
 */
bool source_goes_on(struct source *s, bool interrupted)
{
	uint64_t now = clock_ns();

	if (!s->stop_ns && (interrupted || (s->until_ns && now >= s->until_ns))) {
		s->end_ns = clock_real_ns();
		s->stop_ns = now + SETTLE_NS + SETTLE_NS / 5;
	}
	return !s->stop_ns || now < s->stop_ns;
}

/*
 * Whether a packet matches a filter. Where it is wrapped in a tunnel's packet (protocol 245, VXLAN,
 * GRE), the frame inside is asked about, so that nobody has to count bytes. What has no Ethernet
 * header is asked about as if it had one without addresses.
 * @f: NULL matches everything
 */
bool source_wanted(const struct filter *f, const struct cap_packet *p)
{
	struct inner_frame inner;

	if (!f)
		return true;
	if (!decap_inner(p, &inner))
		return p->link == LINK_ETHERNET &&
		       filter_match_captured(f, p->data, p->captured, p->length);
	if (inner.ethertype)
		return filter_match_headless(f, inner.ethertype, inner.data, inner.captured,
					     inner.length);
	return filter_match_captured(f, inner.data, inner.captured, inner.length);
}

/* Begins to capture where the options say. Returns NULL with a text. */
struct source *source_open(const struct source_options *o, struct err *e)
{
	return o->tunnel ? source_tunnel(o, e) : source_interface(o, e);
}
