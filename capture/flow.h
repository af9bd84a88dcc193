/* SPDX-License-Identifier: GPL-3.0-or-later */
/* flow.h - what is known of one TCP connection, and of each of its directions */
#ifndef CAPTURE_FLOW_H
#define CAPTURE_FLOW_H

#include "capture/segment.h"

#include <assert.h>

/* What hardly any packet is: the compiler puts it where it is not in the way of the others. */
#define unlikely(condition) __builtin_expect(!!(condition), 0)

/* What limits a transfer at a time. The order is the one of reports; names and rules: cause.c. */
enum cause_id {
	CAUSE_RECEIVE_WINDOW,
	CAUSE_SEND_BUFFER,
	CAUSE_APPLICATION,
	CAUSE_CONGESTION,
	CAUSE_PATH,
	CAUSE_START,
	CAUSE_NAGLE_DELAYED_ACK,
	CAUSE_ZERO_WINDOW,
	CAUSE_PMTU_BLACK_HOLE,
	CAUSE_UNKNOWN,
	CAUSES
};

/* Why a segment was sent again. */
enum retrans {
	RETRANS_FAST,	  /* after duplicate ACKs or SACKs */
	RETRANS_RTO,	  /* after a time-out */
	RETRANS_SPURIOUS, /* it had arrived, as a DSACK says */
	RETRANS_PROBE,	  /* tail loss, window or keep-alive probe */
	RETRANSES
};

#define EPOCHS_KEPT    8     /* judged epochs that the rules look back on */
#define INTERVALS_MAX  256   /* of one direction; then the shortest are merged with a neighbour */
#define SENT_MAX       65536 /* segments in flight that are remembered: 2.9 GB of super-segments */
#define ACKS_KEPT      256   /* ACKs on their way to the sender that are told apart */
#define HOLES_MAX      32
#define RECENT_PACKETS 128 /* that a duplicate is recognised among; a power of 2 */

/* Times in nanoseconds; min is 0 while n is. */
struct rtt {
	uint64_t min, max, sum;
	uint32_t n;
	uint32_t last_us;
};

/* A stretch of time and what limited the transfer in it. */
struct interval {
	uint64_t start_ns, end_ns;
	uint8_t cause;
};

/* Packets that were seen twice. */
struct duplicates {
	uint64_t packets, bytes;
	uint64_t timed; /* packets whose offset is known */
	uint64_t offset_sum_ns, offset_min_ns, offset_max_ns;
	uint8_t macs[2][12]; /* of the first one: of the packet and its copy */
	bool has_macs;
	int16_t ttl_less; /* by how much the copy's TTL was smaller */
};

/* What holds the sender between two events. */
enum hold {
	HOLD_IDLE,    /* everything is acknowledged: it has nothing to send */
	HOLD_WINDOW,  /* the next full segment does not fit the receive window */
	HOLD_ZERO,    /* the window is 0 */
	HOLD_FLIGHT,  /* something else, with data in flight: the rules tell */
	HOLD_DRAIN,   /* was HOLD_FLIGHT until all was acknowledged and nothing came after it */
	HOLD_TIMEOUT, /* was HOLD_FLIGHT or HOLD_WINDOW until the retransmission timer ran out */
	HOLDS
};

/* About one round trip of a sender: what the rules judge. All of it is as the sender saw it. */
struct epoch {
	uint64_t start_ns, end_ns;
	uint64_t held[HOLDS]; /* ns */
	uint64_t area;	      /* sum of bytes in flight x ns, while any were */
	uint64_t silence_ns;  /* longest time between two ACKs */
	uint64_t rtt_sum, rtt_min, back_sum, back_min; /* to the receiver; from the sender */
	uint64_t queue_ns; /* that every packet waited; set at the end */
	uint32_t rtt_n, back_n;
	uint32_t peak;	 /* most bytes in flight */
	uint32_t flight; /* …and in the mean, while any were; set at the end */
	uint32_t acked;	 /* bytes */
	uint32_t fresh;	 /* bytes sent for the first time */
	uint32_t window; /* smallest that was advertised, bytes */
	uint32_t room;	 /* least room in the window after sending, bytes */
	uint32_t full;	 /* segments of MSS that were sent */
	uint16_t retrans, lost_queue, timeouts;
	uint16_t bursts;	/* that began after a pause */
	uint16_t bursts_on_ack; /* of them right after an ACK */
	uint16_t bursts_pushed; /* of them after all that could be sent had been */
	uint16_t bursts_ended; /* …and that did not end with a full segment, as what a pacer lets go
				  does */
	uint16_t bursts_prompt; /* of them so soon after an ACK as one is who waits for it */
	uint16_t bursts_own;	/* of those that ended so: that began when none had come for long */
	uint16_t bursts_early;	/* …a little before an ACK came, and long after any other */
	uint16_t rests;		/* long pauses, after each of which data were sent… */
	uint16_t rests_own; /* …with no ACK before, and more before than a pacer lets go at once */
	uint16_t small;	    /* segments of less than MSS that were sent */
	uint16_t late_acks; /* of a small segment, as late as delayed ACKs are */
	uint16_t late;	    /* silences for which the sender was only late */
	uint8_t judged;	    /* what the time with data in flight was judged as */
	uint8_t cause;	    /* what had the most of its time */
};

/* Of several epochs: the sums of what tells whether a sender has a clock of its own. */
struct rhythm {
	uint32_t bursts, on_ack, prompt, own, early, rests, rests_own;
};

/* A segment in flight, for round trips and for what its retransmission means. */
struct sent {
	uint64_t end;
	uint64_t time_ns; /* of its last transmission */
	uint32_t len;
	uint32_t times;
};

/* An ACK that the sender has not got yet. */
struct acked {
	uint64_t time_ns; /* at the capture */
	uint64_t ack;
	uint32_t window;
	uint32_t tsval; /* its time stamp; 0 if it has none */
};

/* A gap in what was seen. */
struct hole {
	uint64_t start, end;
	uint64_t time_ns;
	uint16_t ip_id; /* of the packet that came instead */
};

/* A packet that another one may be a copy of. */
struct recent {
	uint32_t signature; /* 0: none */
	uint32_t time_us;
};

/* What only a direction that is moving data needs; freed when it has been silent. */
struct track {
	/* Written before they are read: not cleared, so that short transfers do not touch them. */
	struct acked acks[ACKS_KEPT]; /* ring */
	struct hole holes[HOLES_MAX];
	uint8_t macs[RECENT_PACKETS][MACS_THERE]; /* of recent */
	uint8_t ttls[RECENT_PACKETS];

	struct recent recent[RECENT_PACKETS]; /* the first that is cleared */
	struct sent *sent;		      /* ring */
	uint32_t sent_head, sent_n, sent_room;
	uint32_t acks_head, acks_n;
	uint64_t ack_waits_ns; /* when the first of them passed; far off if there is none */
	uint32_t n_holes;

	/* round trip to the sender by time stamps: one echo is waited for at a time */
	uint16_t last_id;   /* highest IP identification of its data… */
	uint8_t id_orderly; /* …and how often in a row that was a little more than before */
	uint32_t probe_tsval;
	uint64_t probe_ns;
	bool probing, any_tsval;
	uint32_t last_tsval;

	/* loss recovery */
	uint64_t recover; /* what had been sent when it began */
	uint64_t sack_high;
	uint32_t dupacks;
	bool in_timeout, in_fast;
	uint64_t last_sent_ns; /* of anything, at the capture */
	uint8_t big_timeouts;  /* of one full-size segment, in a row */

	/* as the sender sees it */
	uint64_t view_ns;  /* up to which time is accounted for */
	uint64_t event_ns; /* up to which it can be: that of the last event */
	uint64_t view_una, view_edge;
	uint64_t data_ns, ack_ns;    /* last data sent, last ACK got */
	uint64_t done_ns;	     /* last ACK that acknowledged data, not a FIN alone */
	uint64_t back_ns, jitter_ns; /* last round trip to the sender; how much they differ */
	uint64_t rested;	     /* what was sent first after the last long pause */
	uint64_t unasked_ns; /* when a burst began that followed no ACK; 0: one came since */
	uint64_t tail_ns;    /* time since the last data, by what held it */
	uint8_t hold, tail_hold;
	bool pushed;	       /* the last segment had PSH */
	bool full;	       /* …and ended with MSS */
	bool lost, lost_queue; /* the last loss seen, and whether its own full queue did it */
	uint32_t lost_base;    /* direction's count of losses before it */
	uint64_t lost_until;   /* what had been sent when it was first mended */
	struct mark {
		uint64_t fresh, held[CAUSES];
	} mark; /* its direction's, when progress was last asked for */
	struct epoch now, past[EPOCHS_KEPT];
	struct rhythm rhythm; /* of past */
	uint32_t n_past;      /* judged altogether */
	uint32_t own_flight;  /* up to which it has shown a clock of its own; 0: it has not */
	uint32_t own_round;   /* when it did so last */
};

/* One direction: from the end of that number in the key to the other. */
struct direction {
	struct sighting at; /* where it is looked at: the first place it was seen */
	uint64_t packets, bytes;
	uint64_t elsewhere;	  /* packets seen at other places */
	uint64_t payload;	  /* bytes, each time they were sent */
	uint64_t fresh;		  /* bytes seen for the first time */
	uint64_t segments;	  /* MSS-sized, with data */
	uint64_t next, una, edge; /* unwrapped: highest sent, acknowledged, allowed */
	uint64_t first_data_ns, last_data_ns, last_ack_ns;
	uint64_t held[CAUSES];	     /* ns */
	uint64_t window_area;	     /* window x ns under receive_window */
	uint64_t flight_area;	     /* flight x ns under send_buffer */
	uint64_t best_rate;	     /* bytes/s of the best epoch */
	uint32_t rounds;	     /* epochs judged */
	struct rtt rtt;		     /* between the capture and this end, there and back */
	uint32_t retrans[RETRANSES]; /* segments */
	uint32_t lost, reordered, gaps, unseen, dupacks, dsacks;
	uint32_t supers, largest, peak, window_max, window_min, zero_windows, pushed, ce;
	uint32_t handshake_us; /* SYN to SYN/ACK, or SYN/ACK to ACK: round trip to this end */
	uint16_t mss_option, raw_window_max;
	int8_t wscale;	     /* its SYN's; -1: none */
	uint8_t scale_least; /* evidence: its windows must be scaled at least so much */
	uint8_t shift;	     /* what they are taken to be scaled by */
	bool seen, syn, sack_ok, has_ts, fin, rst, have_ack, scale_known;
	bool black_hole, too_big;
	bool settled;	      /* its first packets have told what they can */
	bool said;	      /* the two that follow are set */
	uint16_t said_window; /* of its last segment, as it stood there… */
	uint32_t said_ack;    /* …and what that acknowledged */
	struct interval *intervals;
	uint16_t n_intervals, room_intervals;
	uint32_t merged; /* intervals, for want of room */
	uint32_t isn;
	uint32_t mss; /* direction_mss() */
	struct duplicates *dup;
	struct track *track;
};

struct flow {
	struct flow *next;	    /* in its bucket */
	struct flow *older, *newer; /* by last use */
	struct flow_key key;
	uint32_t hash;
	uint32_t number; /* from 1, in order of appearance */
	uint64_t first_ns, last_ns;
	uint64_t used_ns;   /* when it was last put in front of the list; far off: never */
	uint32_t backwards; /* packets whose time was before the one's before them */
	uint16_t malformed; /* options */
	uint8_t client;	    /* end that opened it; if that was not seen, the guess below */
	bool client_known;
	bool quiet; /* in the table's list of those; it has no tracks */
	struct direction dir[2];
};

/* A million flows must fit a machine: what an idle one takes is bounded. */
static_assert(sizeof(struct flow) <= 1024, "an idle flow takes 1 KB at most");

/* What came of a direction between two times. */
struct progress {
	const struct flow *f;
	unsigned from;
	uint64_t bytes;
	unsigned limit;	    /* enum cause_id */
	double share;	    /* of the time that was judged */
	uint64_t judged_ns; /* 0: the limit is what holds it now, if anything does */
};

void flow_begin(struct flow *f);
bool flow_progress(struct flow *f, unsigned from, struct progress *p);
void flow_segment(struct flow *f, const struct segment *s);
void flow_too_big(struct flow *f, const struct too_big *big);
void flow_quiet(struct flow *f);
void flow_end(struct flow *f);
void flow_free(struct flow *f);

/* The end that sent more. */
static inline unsigned flow_bulk(const struct flow *f)
{
	return f->dir[1].fresh > f->dir[0].fresh   ? 1
	       : f->dir[0].fresh > f->dir[1].fresh ? 0
						   : f->client;
}

/*
 * The direction from one end to the other. Where its address comes from is hidden from the
 * compiler, which would work it out anew for each field that is looked at.
 */
static inline struct direction *flow_direction(struct flow *f, unsigned from)
{
	struct direction *d = &f->dir[from];

	__asm__("" : "+r"(d));
	return d;
}

/*
 * The largest segment that an end sends: what the handshake allows, or, where it was not seen, the
 * largest that was seen and could be one.
 */
static inline uint32_t direction_mss(const struct flow *f, unsigned end)
{
	return f->dir[end].mss;
}

/* The least round trip from end to end in nanoseconds; 0 if unknown. */
static inline uint64_t flow_rtt_ns(const struct flow *f)
{
	return f->dir[0].rtt.min + f->dir[1].rtt.min;
}

/* Asks for the memory that a segment from this end will need. */
static inline void flow_prefetch(const struct flow *f, unsigned from)
{
	const char *at = (const char *)&f->dir[from];
	size_t i;

	__builtin_prefetch(f);
	__builtin_prefetch((const char *)f + 64);
	for (i = 0; i < sizeof(f->dir[0]); i += 64)
		__builtin_prefetch(at + i);
}

#endif
