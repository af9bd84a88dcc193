// SPDX-License-Identifier: GPL-3.0-or-later
/* pmtu.c - path MTU discovery by probes (RFC 8899): pure, its clock is the caller's */
/*
 * Theory of operation
 *
 *	DISABLED ──start──▶ BASE ──acknowledged──▶ SEARCHING ──known──▶ COMPLETE
 *	                     │ ▲                     ▲    │ ▲              │  │
 *	        three losses │ └────── black hole ───│────┴─│──────────────┘  │
 *	                     ▼                       │      └──raise timer────┘
 *	                   ERROR ────acknowledged────┘
 *
 * A probe is a sealed datagram padded to the size in question, sent with DF;
 * its acknowledgement is the peer's small reply. One probe is under way at a
 * time. ICMP is neither needed nor believed.
 *
 * The search asks for the largest possible size once, since most paths carry
 * what the interface does. Without an answer it climbs the sizes that links
 * have, where each step costs one round trip, until one is lost three times,
 * and closes in on it. Every acknowledgement counts at once.
 *
 * A black hole is found by confirming the size in use: every 0.5 s while large
 * packets are sent. The first confirmation that is late makes data use the
 * base size, which costs little and ends the loss; the third one lost is
 * the verdict. Losses count only if small probes were answered meanwhile: a
 * silent peer says nothing about sizes.
 */
#include "tunnel/pmtu.h"

#include <string.h>

const char *const pmtu_state_names[PMTU_STATES] = {
	[PMTU_DISABLED] = "disabled", [PMTU_BASE] = "base",   [PMTU_SEARCHING] = "searching",
	[PMTU_COMPLETE] = "complete", [PMTU_ERROR] = "error",
};

/*
 * What links and the tunnels on them carry, smallest first: the least of
 * IPv6; VPNs; PPPoE within others, and alone; Ethernet; FDDI; then jumbo
 * frames, those of clouds among them.
 */
static const uint32_t plateaus[] = {1280, 1320, 1360, 1380, 1400, 1420, 1440, 1460, 1472,
				    1480, 1492, 1500, 2000, 3000, 4352, 6000, 8000, 8500,
				    8896, 8942, 8972, 9000, 9100, 9180, 9216};

/* Prepares a path of which nothing is known. */
void pmtu_init(struct pmtu *p, uint64_t raise_period_ns)
{
	*p = (struct pmtu){.raise_period_ns = raise_period_ns};
}

static void forget_probes(struct pmtu *p)
{
	memset(p->marks, 0, sizeof(p->marks));
	p->outstanding = 0;
	p->confirm_count = p->search_count = 0;
	p->search_size = 0;
	p->in_advance = p->suspected = false;
}

static void go_base(struct pmtu *p)
{
	forget_probes(p);
	p->state = PMTU_BASE;
	p->settled = false;
	p->mtu = p->usable = p->base;
}

/*
 * Begins anew: there is connectivity, or the path is another one.
 * @max: of the interface
 */
void pmtu_start(struct pmtu *p, bool ipv6, uint32_t max)
{
	p->ipv6 = ipv6;
	p->floor = ipv6 ? PMTU_IPV6 : PMTU_FLOOR_IPV4;
	p->base = ipv6 ? PMTU_IPV6 : PMTU_BASE_IPV4;
	p->max = max < PMTU_MAX ? max : PMTU_MAX;
	if (p->base > p->max)
		p->base = p->max;
	if (p->floor > p->base)
		p->floor = p->base;
	p->high = p->max + 1;
	p->tried_max = p->lowered = false;
	go_base(p);
}

/* Connectivity is lost, or wanted no more. */
void pmtu_stop(struct pmtu *p)
{
	forget_probes(p);
	p->state = PMTU_DISABLED;
}

/* Looks for a larger size, up to @high. */
static void go_searching(struct pmtu *p, uint32_t high)
{
	p->state = PMTU_SEARCHING;
	p->high = high;
	p->search_size = 0;
	p->search_count = 0;
	p->in_advance = false;
}

static void go_complete(struct pmtu *p, uint64_t now)
{
	uint64_t period = p->raise_period_ns;

	if (p->lowered && period > PMTU_RAISE_LOWERED_NS)
		period = PMTU_RAISE_LOWERED_NS;
	p->lowered = false;
	p->state = PMTU_COMPLETE;
	p->settled = true;
	p->raise_ns = now + period;
}

/*
 * The interface's MTU has changed, or may have. A lower one needs no probes:
 * what was confirmed beyond it says that it passes.
 */
void pmtu_set_max(struct pmtu *p, uint32_t max)
{
	bool raised;

	max = max < PMTU_MAX ? max : PMTU_MAX;
	if (max == p->max || p->state == PMTU_DISABLED)
		return;
	raised = max > p->max;
	if (max < p->base || p->base == p->max) {
		pmtu_start(p, p->ipv6, max);
		return;
	}
	p->max = max;
	p->outstanding = p->outstanding > max ? 0 : p->outstanding;
	if (p->mtu > max)
		p->mtu = p->usable = max;
	if (p->usable > max)
		p->usable = max;
	if (raised && p->state == PMTU_COMPLETE)
		p->state = PMTU_SEARCHING;
	if (raised || p->high > max)
		p->high = max + 1;
	p->tried_max &= !raised;
	p->search_size = 0;
	p->search_count = 0;
	p->in_advance = false;
}

static uint64_t longer(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* The current size does not pass any more: everything from the base on is open again. */
static void fall_back(struct pmtu *p)
{
	p->high = p->mtu > p->base ? p->mtu : p->max + 1;
	p->tried_max = true;
	p->lowered = true;
	p->holes++;
	go_base(p);
}

/* A probe of the search was lost: with the third of a size, that size is known not to pass. */
static void search_lost(struct pmtu *p)
{
	if (p->in_advance) {
		p->in_advance = false; /* its turn comes again */
		p->search_size = 0;
		return;
	}
	if (++p->search_count < PMTU_PROBES)
		return;
	p->high = p->search_size;
	p->search_size = 0;
	p->search_count = 0;
}

static void probe_lost(struct pmtu *p, uint64_t now)
{
	uint32_t size = p->outstanding;

	p->outstanding = 0;
	switch (p->state) {
	case PMTU_BASE:
		if (++p->search_count == PMTU_PROBES) {
			p->state = PMTU_ERROR;
			p->mtu = p->usable = p->floor;
			p->error_ns = now;
		}
		break;
	case PMTU_SEARCHING:
		if (size != p->mtu) {
			search_lost(p);
			break;
		}
		/* fall through */
	case PMTU_COMPLETE:
		if (++p->confirm_count == PMTU_PROBES)
			fall_back(p);
		break;
	default: break;
	}
}

/* Looks after the probe that is waited for. Returns whether it still is. */
static bool waiting(struct pmtu *p, const struct pmtu_view *v)
{
	uint64_t age = v->now_ns > p->sent_ns ? v->now_ns - p->sent_ns : 0;
	uint64_t late = 2 * v->rtt_ns + 4 * v->jitter_ns;

	if (!p->outstanding)
		return false;
	if (p->outstanding == p->mtu && p->usable > p->base && age >= longer(late, PMTU_DOUBT_NS))
		p->usable = p->base;
	if (age < longer(late, PMTU_TIMER_NS))
		return true;
	if (v->heard_ns > p->sent_ns)
		probe_lost(p, v->now_ns);
	else
		p->outstanding = 0; /* nothing comes back at all: ask again, and do not count */
	return false;
}

/* Between a size that passes and one that does not. */
static uint32_t between(const struct pmtu *p)
{
	size_t i;

	if (p->high - p->mtu <= PMTU_STEP)
		return 0;
	/* Most paths carry just what some link does: then the next step up is lost, and all is
	 * known.
	 */
	for (i = 0; i < sizeof(plateaus) / sizeof(*plateaus); i++)
		if (plateaus[i] == p->mtu)
			return p->mtu + PMTU_STEP;
	return p->mtu + (p->high - p->mtu) / 2;
}

/* The next size to ask for; 0: the search is over. */
static uint32_t next_size(struct pmtu *p)
{
	size_t i;

	if (p->search_size > p->mtu && p->search_size < p->high)
		return p->search_size;
	if (!p->tried_max && p->max > p->mtu && p->max < p->high) {
		p->tried_max = p->in_advance = true;
		return p->max;
	}
	for (i = 0; i < sizeof(plateaus) / sizeof(*plateaus); i++)
		if (plateaus[i] > p->mtu && plateaus[i] < p->high)
			return plateaus[i];
	if (p->max > p->mtu && p->max < p->high)
		return p->max;
	return between(p);
}

static bool confirmation_due(const struct pmtu *p, const struct pmtu_view *v)
{
	uint64_t period = v->large != p->large ? PMTU_CONFIRM_NS : PMTU_CONFIRM_IDLE_NS;

	if (p->state != PMTU_SEARCHING && p->state != PMTU_COMPLETE)
		return false;
	return p->suspected || p->confirm_count || p->usable < p->mtu ||
	       v->now_ns >= p->confirm_ns + period;
}

/*
 * What is to be done now. To be called often, and after each acknowledgement.
 * Returns the size of the probe to send, to be reported by pmtu_sent(); 0: none.
 */
uint32_t pmtu_poll(struct pmtu *p, const struct pmtu_view *v)
{
	uint32_t size;

	if (p->state == PMTU_DISABLED || waiting(p, v))
		return 0;
	if (confirmation_due(p, v)) {
		p->suspected = false;
		p->large = v->large;
		p->confirm_ns = v->now_ns;
		return p->outstanding = p->mtu;
	}
	if (p->state == PMTU_BASE)
		return p->outstanding = p->base;
	if (p->state == PMTU_ERROR) {
		if (v->now_ns < p->error_ns + PMTU_ERROR_NS)
			return 0;
		p->error_ns = v->now_ns;
		return p->outstanding = p->base;
	}
	if (p->state == PMTU_COMPLETE) {
		if (v->now_ns < p->raise_ns || p->mtu >= p->max)
			return 0;
		p->tried_max = false;
		go_searching(p, p->max + 1);
	}
	size = next_size(p);
	if (!size) {
		go_complete(p, v->now_ns);
		return 0;
	}
	if (size != p->search_size)
		p->search_count = 0;
	return p->outstanding = p->search_size = size;
}

/* The probe that pmtu_poll() asked for has left. @mark: what its answer will be known by */
void pmtu_sent(struct pmtu *p, uint64_t mark, uint64_t now_ns)
{
	p->sent_ns = now_ns;
	p->marks[p->next_mark].mark = mark;
	p->marks[p->next_mark].size = p->outstanding;
	p->next_mark = (p->next_mark + 1) % PMTU_MARKS;
}

/* The size of the probe that was marked so, which is answered once; 0: none that is known. */
static uint32_t take_mark(struct pmtu *p, uint64_t mark)
{
	uint32_t size;
	unsigned i;

	for (i = 0; i < PMTU_MARKS; i++) {
		size = p->marks[i].size;
		if (!size || p->marks[i].mark != mark)
			continue;
		p->marks[i].size = 0;
		return size;
	}
	return 0;
}

/*
 * A probe was answered, perhaps late.
 * Returns false if it is none of this path's, or of one that was given up.
 */
bool pmtu_acked(struct pmtu *p, uint64_t mark, uint64_t now_ns)
{
	uint32_t size = take_mark(p, mark);

	if (!size)
		return false;
	if (size == p->outstanding)
		p->outstanding = 0;
	if (size > p->max || size < p->mtu)
		return true;
	p->confirm_count = 0;
	p->confirm_ns = now_ns;
	p->settled &= size == p->mtu;
	p->mtu = p->usable = size;
	if (p->high <= size) /* so late that it was given up: what was concluded is wrong */
		go_searching(p, p->max + 1);
	else if (p->state == PMTU_BASE || p->state == PMTU_ERROR)
		go_searching(p, p->high);
	if (p->state == PMTU_SEARCHING && p->mtu >= p->max)
		go_complete(p, now_ns);
	return true;
}

/* Large packets seem to be lost, all of them, and small ones not: confirms the size now. */
void pmtu_suspect(struct pmtu *p)
{
	p->suspected = true;
}
