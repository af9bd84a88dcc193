/* SPDX-License-Identifier: GPL-3.0-or-later */
/* counter.h - counters that one thread writes and others read */
#ifndef LIB_COUNTER_H
#define LIB_COUNTER_H

#include <stdatomic.h>
#include <stdint.h>

typedef _Atomic uint64_t counter;

/* One writer: a plain load and store, no locked instruction on the packet path. */
static inline void counter_add(counter *c, uint64_t n)
{
	atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

/* What it stands at now, for what also goes down. */
static inline void counter_set(counter *c, uint64_t n)
{
	atomic_store_explicit(c, n, memory_order_relaxed);
}

static inline uint64_t counter_get(const counter *c)
{
	return atomic_load_explicit(c, memory_order_relaxed);
}

#endif
