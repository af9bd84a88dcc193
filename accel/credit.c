// SPDX-License-Identifier: GPL-3.0-or-later
/* credit.c - how many bytes may be under way, from what is measured. Pure */
/*
 * A window that is just filled at the rate measured is doubled by the formula,
 * so it grows until something else is the limit, as TCP's own receive buffer
 * does. It is not taken back: what was granted may be on its way.
 */
#include "accel/credit.h"

#include "accel/stream_proto.h"
#include "lib/clock.h"

#include <stdatomic.h>

/* a × b ÷ one second, or the most there is. */
static uint64_t in_time(uint64_t bytes_per_s, uint64_t ns)
{
	uint64_t product;

	return __builtin_mul_overflow(bytes_per_s, ns, &product) ? UINT64_MAX / NS_PER_S
								 : product / NS_PER_S;
}

/* What a peer may send beyond what the host has taken, bytes: twice what is under way in a round
 * trip and the time that threads take, within bounds. */
uint32_t credit_window(uint64_t rtt_ns, uint64_t bytes_per_s)
{
	uint64_t bytes = 2 * in_time(bytes_per_s, rtt_ns + CREDIT_SLACK_NS);

	if (bytes < CREDIT_USUAL)
		return CREDIT_USUAL;
	return bytes > CREDIT_MAX ? CREDIT_MAX : (uint32_t)bytes;
}

/* What may wait in front of a stream's TCP, bytes: enough for it not to run dry while threads wait,
 * and little enough for what is said last to leave soon. */
uint32_t credit_unsent(uint64_t bytes_per_s, uint32_t least)
{
	uint64_t bytes = in_time(bytes_per_s, CREDIT_SLACK_NS);

	if (bytes < least)
		return least;
	return bytes > CREDIT_UNSENT_MAX ? CREDIT_UNSENT_MAX : (uint32_t)bytes;
}

/*
 * Measures how fast bytes come.
 * @bytes: that have come so far
 * Returns bytes a second, and begins anew; or 0: not long enough yet.
 */
uint64_t credit_measure(struct credit_meter *m, uint64_t now_ns, uint64_t bytes, uint64_t rtt_ns)
{
	uint64_t least = rtt_ns > CREDIT_MEASURE_NS ? rtt_ns : CREDIT_MEASURE_NS;
	uint64_t elapsed = now_ns - m->since_ns, came = bytes - m->bytes;

	if (m->since_ns && elapsed < least)
		return 0;
	if (!m->since_ns)
		elapsed = 0;
	*m = (struct credit_meter){now_ns, bytes};
	return elapsed ? (uint64_t)((double)came * NS_PER_S / (double)elapsed) : 0;
}

/*
 * Grants a flow a window, or more of one, out of what all may have together.
 * A flow's fair share is an eighth of that, divided by the number of flows: so
 * a lone one gets what it wants. Three quarters of all at most are kept for
 * flows to come, the least for each: so the ten-thousandth gets something,
 * however much the first ones wanted.
 * @has:   its window so far; 0: it has none, and needs the least
 * @flows: how many flows there are, this one too
 * Returns how much is added, which may be less than wanted, or 0.
 */
uint32_t credit_grant(struct credit_budget *b, uint32_t has, uint32_t wanted, unsigned flows)
{
	uint64_t fair = b->limit / 8 / (flows ? flows : 1), granted = atomic_load(&b->granted);
	uint64_t kept = (uint64_t)b->least * (b->most > flows ? b->most - flows : 0);
	uint64_t first = has ? 0 : b->least, room, free, more, most;

	kept = kept < b->limit / 4 * 3 ? kept : b->limit / 4 * 3;
	fair = fair > b->least ? fair : b->least;
	most = wanted < fair ? wanted : fair;
	most = most > has ? most - has : 0;
	do {
		room = b->limit - granted;
		free = room > kept + first ? room - kept : first;
		room = room < free ? room : free;
		more = most < room ? most : room;
		if (!has && more < b->least)
			return 0;
	} while (!atomic_compare_exchange_weak(&b->granted, &granted, granted + more));
	return (uint32_t)more;
}
