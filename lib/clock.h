/* SPDX-License-Identifier: GPL-3.0-or-later */
/* clock.h - the clocks in nanoseconds */
#ifndef LIB_CLOCK_H
#define LIB_CLOCK_H

#include <stdint.h>
#include <time.h>

#define NS_PER_US 1000ull
#define NS_PER_MS 1000000ull
#define NS_PER_S  1000000000ull

static inline uint64_t clock_read(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* The monotonic clock, by which everything is timed. */
static inline uint64_t clock_ns(void)
{
	return clock_read(CLOCK_MONOTONIC);
}

/* The time of day since 1970, which may jump. */
static inline uint64_t clock_real_ns(void)
{
	return clock_read(CLOCK_REALTIME);
}

/* What the calling thread has used of processors so far. */
static inline uint64_t clock_thread_ns(void)
{
	return clock_read(CLOCK_THREAD_CPUTIME_ID);
}

/* What so many bytes in so long a time, at least a nanosecond, are in bits a second. */
static inline uint64_t clock_rate_bps(uint64_t bytes, uint64_t ns)
{
	return (uint64_t)((double)bytes * 8 * (double)NS_PER_S / (double)ns);
}

/* How many bytes that rate carries in so long a time. */
static inline uint64_t clock_bytes_in(uint64_t bps, uint64_t ns)
{
	return (uint64_t)((double)bps / 8 * (double)ns / (double)NS_PER_S);
}

#endif
