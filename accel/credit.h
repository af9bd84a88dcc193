/* SPDX-License-Identifier: GPL-3.0-or-later */
/* credit.h - how many bytes may be under way, from what is measured */
#ifndef ACCEL_CREDIT_H
#define ACCEL_CREDIT_H

#include <stdint.h>

/* A stream is taken to carry so much until it is known: 1 Gbit/s, in bytes a second. */
#define CREDIT_FIRST_RATE 125000000u

/* For what threads may have to wait for a processor, besides the round trip. */
#define CREDIT_SLACK_NS (10 * 1000000ull)

/* A rate is measured over a round trip, and over this at least. */
#define CREDIT_MEASURE_NS (50 * 1000000ull)

/* Bytes in front of a stream's TCP that it has not sent yet. */
#define CREDIT_UNSENT_MIN (256u << 10)
#define CREDIT_UNSENT_MAX (4u << 20)

/* …of a stripe: whoever reads the flow waits for it. */
#define CREDIT_UNSENT_STRIPE (32u << 10)

/* What a host has taken is told at a sixteenth of the window; of a striped flow, whose peer keeps
 * copies, after so many bytes at most. */
#define STRIPES_CREDIT (256u << 10)

/* Since when a direction of a flow is measured. */
struct credit_meter {
	uint64_t since_ns; /* 0: not begun */
	uint64_t bytes;	   /* that had come by then */
};

/* A window is at least this, but where memory is short; then CREDIT_MIN: 2 Mbit/s over 120 ms. */
#define CREDIT_USUAL (256u << 10)

/* What all flows of a process may have granted, together. Threads may grant at the same time. */
struct credit_budget {
	uint64_t limit;		  /* bytes */
	_Atomic uint64_t granted; /* sum of what each has */
	uint32_t least;		  /* that a flow needs */
	unsigned most;		  /* flows there may be; so many should find the least */
};

uint32_t credit_grant(struct credit_budget *b, uint32_t has, uint32_t wanted, unsigned flows);
uint32_t credit_window(uint64_t rtt_ns, uint64_t bytes_per_s);
uint32_t credit_unsent(uint64_t bytes_per_s, uint32_t least);
uint64_t credit_measure(struct credit_meter *m, uint64_t now_ns, uint64_t bytes, uint64_t rtt_ns);

#endif
