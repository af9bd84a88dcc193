/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tcp_sim.h - segments of a TCP connection, made one by one, as a capture would have them */
#ifndef TESTS_TCP_SIM_H
#define TESTS_TCP_SIM_H

#include "capture/diagnosis.h"

#include <stdlib.h>
#include <string.h>

#define SIM_MS	1000000ull
#define SIM_US	1000ull
#define SIM_ISS 4294960000u /* of the client: its numbers wrap soon */
#define SIM_IRS 77000u	    /* of the server */

enum { SIM_CLIENT, SIM_SERVER };

/* A connection whose client sends. Times in ns. */
struct sim {
	struct flow *f;
	uint64_t now;
	uint64_t rtt; /* of handshakes and of sim_round() */
	uint32_t mss;
	uint32_t next, una; /* of the client's data */
	uint16_t window;    /* as the server writes it */
	uint16_t id[2];
	bool ts;
	uint32_t tsval[2];
};

static inline struct segment sim_segment(struct sim *s, unsigned from, unsigned flags, uint32_t seq,
					 uint32_t ack, uint32_t len)
{
	struct segment g = {.time_ns = s->now,
			    .from = (uint8_t)from,
			    .flags = (uint8_t)flags,
			    .window = from == SIM_SERVER ? s->window : 65535,
			    .seq = seq,
			    .ack = ack,
			    .len = len,
			    .frame = len + 54,
			    .ip_id = ++s->id[from],
			    .ttl = 64,
			    .wscale = -1};

	/* A super-segment has as many identifications as segments. */
	s->id[from] += (uint16_t)(len > s->mss ? (len - 1) / s->mss : 0);
	g.key.version = 4;
	g.key.addr[0][15] = 1;
	g.key.addr[1][15] = 2;
	g.key.port[0] = 49152;
	g.key.port[1] = 902;
	if (s->ts) {
		g.has_ts = true;
		g.tsval = s->tsval[from];
		g.tsecr = s->tsval[!from];
	}
	return g;
}

static inline void sim_begin(struct sim *s, uint64_t rtt, uint16_t window)
{
	memset(s, 0, sizeof(*s));
	s->f = calloc(1, sizeof(*s->f));
	s->f->dir[0].wscale = s->f->dir[1].wscale = -1;
	s->now = 1000 * SIM_MS;
	s->rtt = rtt;
	s->mss = 1460;
	s->window = window;
	s->next = s->una = SIM_ISS + 1;
}

static inline void sim_feed(struct sim *s, const struct segment *g)
{
	flow_segment(s->f, g);
}

/*
 * A handshake, as it is seen where the server's answer comes after @there and the client's after
 * @back. @scale: of both; -1: neither offers it.
 */
static inline void sim_handshake_seen(struct sim *s, int scale, uint64_t there, uint64_t back)
{
	struct segment g = sim_segment(s, SIM_CLIENT, TCP_SYN, SIM_ISS, 0, 0);

	g.mss = (uint16_t)s->mss;
	g.wscale = (int8_t)scale;
	g.sack_ok = true;
	sim_feed(s, &g);
	s->now += there;
	g = sim_segment(s, SIM_SERVER, TCP_SYN | TCP_ACK, SIM_IRS, SIM_ISS + 1, 0);
	g.mss = (uint16_t)s->mss;
	g.wscale = (int8_t)scale;
	g.sack_ok = true;
	sim_feed(s, &g);
	s->now += back;
	g = sim_segment(s, SIM_CLIENT, TCP_ACK, SIM_ISS + 1, SIM_IRS + 1, 0);
	sim_feed(s, &g);
}

/* Looked at beside the client. */
static inline void sim_handshake(struct sim *s, int scale)
{
	sim_handshake_seen(s, scale, s->rtt, 10 * SIM_US);
}

static inline void sim_data_at(struct sim *s, uint32_t seq, uint32_t len, unsigned flags)
{
	struct segment g = sim_segment(s, SIM_CLIENT, TCP_ACK | flags, seq, SIM_IRS + 1, len);

	sim_feed(s, &g);
}

static inline void sim_data(struct sim *s, uint32_t len, unsigned flags)
{
	sim_data_at(s, s->next, len, flags);
	s->next += len;
}

static inline void sim_ack(struct sim *s, uint32_t ack)
{
	struct segment g = sim_segment(s, SIM_SERVER, TCP_ACK, SIM_IRS + 1, ack, 0);

	sim_feed(s, &g);
	if ((int32_t)(ack - s->una) > 0)
		s->una = ack;
}

static inline void sim_sack(struct sim *s, uint32_t ack, uint32_t left, uint32_t right)
{
	struct segment g = sim_segment(s, SIM_SERVER, TCP_ACK, SIM_IRS + 1, ack, 0);

	g.sacks = 1;
	g.sack[0][0] = left;
	g.sack[0][1] = right;
	sim_feed(s, &g);
}

/* One round trip: @segments in a burst, then an ACK for each two of them. @last: flags, length. */
static inline void sim_round(struct sim *s, unsigned segments, unsigned last_flags,
			     uint32_t last_len)
{
	uint64_t begin = s->now;
	uint32_t first = s->next;
	unsigned i;

	for (i = 0; i < segments; i++) {
		bool last = i + 1 == segments;

		s->now = begin + i * 12 * SIM_US;
		sim_data(s, last && last_len ? last_len : s->mss, last ? last_flags : 0);
	}
	for (i = 2; i <= segments; i += 2) {
		s->now = begin + s->rtt + i * 12 * SIM_US;
		sim_ack(s, i + 1 >= segments ? s->next : first + i * s->mss);
	}
	if (s->una != s->next)
		sim_ack(s, s->next);
	s->now += 20 * SIM_US;
}

static inline void sim_end(struct sim *s)
{
	flow_free(s->f);
}

#endif
