// SPDX-License-Identifier: GPL-3.0-or-later
/* warm.c - the stream that the next flow gets is grown ahead of it, where that is asked for */
/*
 * Theory of operation
 *
 *	next flow's stream, COLD ── no flow for WARM_PAUSE_NS ──▶ padding ──▶ GROWN
 *
 * A congestion window is measured by sending, so padding is sent (RECORD_PAD,
 * which the peer throws away) until TCP knows the path: BBR has found its rate
 * and left its start-up, another congestion control its slow start, a segment
 * was lost, or the window holds what the peer's rate does, which it may do from
 * the start (tunnel/ramp.c). BBR keeps what it knows while a stream is idle, so
 * that is done once for each stream, not again and again.
 *
 * One stream of each relay thread to a peer is grown, and the next flow gets it. When it is
 * replaced, which it is after STREAM_AGE_NS, another one is. The peer that
 * receives padding grows the same stream in its direction, if it has been asked
 * to as well.
 *
 * A flow comes first: nothing is padded while there is one, a stream that is
 * taken for one is padded no more, and what may wait in front of its TCP is
 * bounded (CREDIT_UNSENT_MIN). Padding is paced with all else to a peer with a rate,
 * and no more than WARM_HOUR_MAX in an hour.
 */
#include "accel/internal.h"

#include <linux/inet_diag.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#define WARM_PAUSE_NS (1 * NS_PER_S)
#define PADS_A_TURN   16 /* of RECORD_DATA_MAX, before others have theirs */

/* Of BBR's pacing gain, in 1/256: it is 2.89 in start-up and 1.25 at most afterwards. */
#define STARTUP_GAIN (2 * 256)

#define INFINITE_SSTHRESH 0x7fffffffu /* of a connection that has always been in slow start */

static bool is_past_start(int fd, const struct tcp_info *info)
{
	char congestion[16] = "";
	socklen_t len = sizeof(congestion) - 1;
	union tcp_cc_info cc = {0};

	getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion, &len);
	len = sizeof(cc);
	if (!strcmp(congestion, "bbr") && !getsockopt(fd, IPPROTO_TCP, TCP_CC_INFO, &cc, &len))
		return cc.bbr.bbr_pacing_gain < STARTUP_GAIN;
	return info->tcpi_snd_ssthresh < INFINITE_SSTHRESH;
}

/* Whether a stream's window is what its path allows, as far as padding can tell. */
static bool is_grown(struct stream *s)
{
	uint64_t rate_bps = s->a->conf.rate_bps[s->peer], window;
	struct tcp_info info;
	socklen_t len = sizeof(info);

	if (getsockopt(s->io.fd, IPPROTO_TCP, TCP_INFO, &info, &len))
		return true;
	window = (uint64_t)info.tcpi_snd_cwnd * info.tcpi_snd_mss;
	if (!s->padded)
		s->retransmits = info.tcpi_total_retrans;
	return info.tcpi_total_retrans > s->retransmits || is_past_start(s->io.fd, &info) ||
	       (rate_bps && window >= clock_bytes_in(rate_bps, info.tcpi_rtt * NS_PER_US) / 4 * 3);
}

/* How much may be padded now, within the hour's allowance. */
static uint64_t allowance(struct shard *sh, struct pool *p, uint64_t now)
{
	if (!p->hour_ns || now - p->hour_ns > 3600 * NS_PER_S) {
		p->hour_ns = now;
		p->padded_before = p->padded;
	}
	return shard_part(sh->a, WARM_HOUR_MAX) - (p->padded - p->padded_before);
}

/* Goes on with a stream that is padded. */
void warm_go(struct stream *s)
{
	static const uint8_t nothing[RECORD_DATA_MAX];
	struct pool *p = &s->shard->pools[s->peer];
	unsigned turn;

	if (atomic_load(&s->a->n_relays) || s->state != STREAM_IDLE)
		s->padding = false;
	else if (s->padding && is_grown(s)) {
		s->padding = false;
		s->grown = true;
	}
	for (turn = 0; s->padding && !s->dead && turn < PADS_A_TURN && stream_is_flushed(s);
	     turn++) {
		if (allowance(s->shard, p, clock_ns()) < sizeof(nothing)) {
			s->padding = false;
			return;
		}
		stream_send(s, RECORD_PAD, nothing, sizeof(nothing));
		s->padded += sizeof(nothing);
		p->padded += sizeof(nothing);
		stream_flush(s);
	}
}

/* Padding has come from the peer. */
void warm_padded(struct stream *s)
{
	if (!s->a->conf.warm[s->peer] || s->grown || s->padding || s->we_open ||
	    s->state != STREAM_IDLE)
		return;
	s->padding = true;
	warm_go(s);
}

static struct stream *grown_one(const struct pool *p)
{
	struct stream *s = p->warmest;

	while (s && !s->grown)
		s = s->colder;
	return s;
}

static bool is_padding(const struct shard *sh, unsigned peer)
{
	const struct stream *s;

	for (s = sh->streams; s; s = s->next)
		if (s->peer == peer && s->padding && !s->dead && s->we_open)
			return true;
	return false;
}

/* Begins to grow what is to be grown, and goes on. */
void warm_tick(struct shard *sh, uint64_t now)
{
	struct stream *s;
	unsigned i;

	if (atomic_load(&sh->a->n_relays))
		sh->busy_ns = now;
	if (sh->a->stopping || now - sh->busy_ns < WARM_PAUSE_NS)
		return;
	for (i = 0; i < sh->a->conf.n_peers; i++) {
		if (!sh->a->conf.warm[i] || is_padding(sh, i))
			continue;
		s = grown_one(&sh->pools[i]);
		if (s && s != sh->pools[i].warmest)
			stream_prefer(s);
		else if (!s && sh->pools[i].warmest)
			sh->pools[i].warmest->padding = true;
	}
	for (s = sh->streams; s; s = s->next)
		if (s->padding && !s->dead)
			warm_go(s);
}
