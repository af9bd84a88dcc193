/* SPDX-License-Identifier: GPL-3.0-or-later */
/* pmtu.h - how long a packet the path to a peer carries, found out by probes (RFC 8899) */
#ifndef TUNNEL_PMTU_H
#define TUNNEL_PMTU_H

#include <stdbool.h>
#include <stdint.h>

/* Sizes are of whole IP packets, in bytes. */
#define PMTU_FLOOR_IPV4 576   /* MIN_PLPMTU: what every host must take (RFC 1122 3.3.3) */
#define PMTU_BASE_IPV4	1200  /* BASE_PLPMTU, as RFC 8899 5.1.2 recommends */
#define PMTU_IPV6	1280  /* both of IPv6: the least its links carry (RFC 8200 5) */
#define PMTU_MAX	65000 /* of a datagram that we send */
#define PMTU_STEP	8     /* the search ends when it knows the size this well */

/* Of a size that is not acknowledged (MAX_PROBES), each waited for at least so long (PROBE_TIMER).
 */
#define PMTU_PROBES   3
#define PMTU_TIMER_NS 1000000000ull

/*
 * The size in use is confirmed anew so often while large packets are sent, and
 * so often while none are. When a confirmation is late by the round trip's
 * measure, but by this at least, data stays below the base size until it comes.
 */
#define PMTU_CONFIRM_NS	     (500 * 1000000ull)
#define PMTU_CONFIRM_IDLE_NS (5000 * 1000000ull)
#define PMTU_DOUBT_NS	     (200 * 1000000ull)

#define PMTU_RAISE_NS	      (600 * 1000000000ull) /* PMTU_RAISE_TIMER, unless configured */
#define PMTU_RAISE_LOWERED_NS (60 * 1000000000ull)  /* …the first one after it was lowered */
#define PMTU_ERROR_NS	      (5 * 1000000000ull) /* between probes of the base size, if it fails */

#define PMTU_MARKS 8 /* probes that may still be answered */

/* States of RFC 8899 5.2. */
enum pmtu_state {
	PMTU_DISABLED,	/* no connectivity yet */
	PMTU_BASE,	/* the base size is being confirmed */
	PMTU_SEARCHING, /* a larger one is looked for */
	PMTU_COMPLETE,	/* the largest one is known, and confirmed from time to time */
	PMTU_ERROR,	/* not even the base size passes */
	PMTU_STATES
};

extern const char *const pmtu_state_names[PMTU_STATES];

/* One path. Callers read state, mtu, usable and holes. */
struct pmtu {
	enum pmtu_state state;
	uint32_t mtu;	 /* PLPMTU: the largest size known to pass */
	uint32_t usable; /* what data may be sent in now: mtu, or less while that is in doubt */
	uint64_t holes;	 /* how often mtu was found not to pass any more */
	bool settled;	 /* mtu is the result of a search; another one may be trying for more */

	uint32_t floor, base, max; /* MIN_, BASE_ and MAX_PLPMTU */
	uint32_t high;		   /* the smallest size known not to pass; beyond max: none */
	uint64_t raise_period_ns;
	bool ipv6;
	bool tried_max;				 /* in this search */
	bool in_advance;			 /* …just now: one loss says little */
	bool lowered;				 /* the next raise comes sooner */
	uint64_t confirm_ns, raise_ns, error_ns; /* since when; when; since when */
	uint64_t large;				 /* large packets sent when last confirmed */
	bool suspected;				 /* confirm now */
	unsigned confirm_count;			 /* confirmations that were not acknowledged */
	uint32_t search_size;
	unsigned search_count; /* probes of search_size that were not acknowledged */

	uint32_t outstanding; /* size of the probe that is waited for; 0: none */
	uint64_t sent_ns;
	struct {
		uint64_t mark;
		uint32_t size; /* 0: unused */
	} marks[PMTU_MARKS];
	unsigned next_mark;
};

/* What the machine is told of the world. */
struct pmtu_view {
	uint64_t now_ns;
	uint64_t rtt_ns, jitter_ns; /* smoothed; 0: not known */
	uint64_t heard_ns;	    /* when a small probe was last answered */
	uint64_t large;		    /* packets longer than the base size, sent so far */
};

void pmtu_init(struct pmtu *p, uint64_t raise_period_ns);
void pmtu_start(struct pmtu *p, bool ipv6, uint32_t max);
void pmtu_stop(struct pmtu *p);
void pmtu_set_max(struct pmtu *p, uint32_t max);
uint32_t pmtu_poll(struct pmtu *p, const struct pmtu_view *v);
void pmtu_sent(struct pmtu *p, uint64_t mark, uint64_t now_ns);
bool pmtu_acked(struct pmtu *p, uint64_t mark, uint64_t now_ns);
void pmtu_suspect(struct pmtu *p);

#endif
