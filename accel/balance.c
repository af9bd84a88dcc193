// SPDX-License-Identifier: GPL-3.0-or-later
/* balance.c - which relay thread serves the next flow. Pure */
/*
 * What a thread has to do is the number of its flows, and how busy it has been
 * lately: an idle flow and one that fills a processor are both one flow. The
 * next one goes to who has least to do.
 *
 * Brief flows go together instead: to the first thread that has time. What a
 * connection takes that carries next to nothing are mostly wake-ups, and a
 * thread that is awake serves the next flow, too. Two half idle ones took a
 * tenth more for each connection than one.
 *
 * That the last ones were brief does not say that the next one is, and a flow
 * stays where it begins. So no thread takes many at a time in this way, nor if
 * more have stayed with it than with others.
 */
#include "accel/balance.h"

/* So many flows are as much as a tenth of a processor. */
#define FLOWS_A_TENTH 8

/* A thread that is so busy, or has so many flows, has no time for more. */
#define FULL_TENTHS 7
#define FULL_FLOWS  24

/* So many more than with another may have stayed with a thread. */
#define STAY_MORE 2

static unsigned total(const struct balance_load *l)
{
	return l->flows + FLOWS_A_TENTH * l->busy_tenths;
}

static unsigned least(const struct balance_load *load, unsigned n, unsigned own)
{
	unsigned i, best = own;

	for (i = 0; i < n; i++)
		if (total(&load[i]) < total(&load[best]))
			best = i;
	return best;
}

/* The first thread that has time; n: none has. */
static unsigned first_with_time(const struct balance_load *load, unsigned n)
{
	unsigned i, few = load[0].stay;

	for (i = 1; i < n; i++)
		few = load[i].stay < few ? load[i].stay : few;
	for (i = 0; i < n; i++)
		if (load[i].busy_tenths < FULL_TENTHS && load[i].flows < FULL_FLOWS &&
		    load[i].stay <= few + STAY_MORE)
			break;
	return i;
}

/*
 * The thread for a flow that begins with a SYN.
 * @own: where nobody has less to do
 * @brief: flows do not last, as of late
 */
unsigned balance_for_syn(const struct balance_load *load, unsigned n, unsigned own, bool brief)
{
	unsigned first = brief ? first_with_time(load, n) : n;

	return first < n ? first : least(load, n, own);
}

/*
 * The thread for a flow that begins on a stream. To move that costs something,
 * so there must be a reason.
 * @own: which has the stream
 */
unsigned balance_for_open(const struct balance_load *load, unsigned n, unsigned own, bool brief)
{
	unsigned first = brief ? first_with_time(load, n) : n, best, few;

	if (first < n)
		return first;
	best = least(load, n, own);
	few = total(&load[best]);
	return total(&load[own]) > few + few / 4 + !!few ? best : own;
}
