/* SPDX-License-Identifier: GPL-3.0-or-later */
/* source.h - where live packets come from: an interface, or inside a tunnel */
#ifndef CAPTURE_SOURCE_H
#define CAPTURE_SOURCE_H

#include "capture/pcapng.h"
#include "lib/filter.h"

#define SOURCE_INTERFACES_MAX 128

/* What is asked for; one of interface and tunnel is set. */
struct source_options {
	const char *interface;
	const char *tunnel, *port, *peer; /* port or peer: that one alone; NULL: all */
	bool after_frob;
	uint32_t snaplen;
};

struct source;

/* A kind of source. */
struct source_ops {
	int (*next)(struct source *s, struct cap_packet *p, struct err *e);
	uint64_t (*drops)(struct source *s);
	void (*close)(struct source *s);
};

struct source {
	const struct source_ops *ops;
	struct pcapng_interface interfaces[SOURCE_INTERFACES_MAX];
	size_t n_interfaces;
	uint64_t until_ns; /* CLOCK_MONOTONIC: when to end by itself; 0: never */
	uint64_t stop_ns;  /* when to stop reading; 0 until it is to end */
	uint64_t end_ns;   /* since 1970: what is later than this is not wanted any more */
};

bool source_wanted(const struct filter *f, const struct cap_packet *p);
struct source *source_open(const struct source_options *o, struct err *e);
struct source *source_interface(const struct source_options *o, struct err *e);
struct source *source_tunnel(const struct source_options *o, struct err *e);

bool source_goes_on(struct source *s, bool interrupted);

/* The next packet: 1; 0 if there is none now; -errno with a text at the end. */
static inline int source_next(struct source *s, struct cap_packet *p, struct err *e)
{
	int got = s->ops->next(s, p, e);

	return got > 0 && s->end_ns && p->time_ns > s->end_ns ? 0 : got;
}

/* Packets that were lost before they could be read. */
static inline uint64_t source_drops(struct source *s)
{
	return s->ops->drops(s);
}

/* Ends it. */
static inline void source_close(struct source *s)
{
	s->ops->close(s);
}

#endif
