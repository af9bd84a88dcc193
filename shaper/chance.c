// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * chance.c - an event of a given probability and correlation, pure
 *
 * Theory of operation
 *
 * Outcomes are a Markov chain of two states. With P(event | event) = p + c(1 - p) and
 * P(event | none) = p(1 - c), an event is stationary with probability exactly p,
 * and an outcome's correlation with the next is exactly c (with the one k later,
 * c^k). The first outcome is drawn from the stationary distribution, so all of
 * this holds from the first frame on. Runs of events and of none are geometric.
 *
 * Netem's option of this name does not do that: get_crandom() in Linux's
 * net/sched/sch_netem.c compares p with a weighted mean of uniform numbers,
 * (1 - c) u + c last, which is hardly ever near the ends of its range. Computed
 * by that formula, "loss 0.3% 25%" loses 5 of 10^9 packets instead of 3 million.
 * tc-netem(8) calls it "deprecated due to the noticed bad behavior"; the weakness
 * is shown in Salsano, Ludovici, Ordine and Giannuzzi, "Definition of a general
 * and intuitive loss model for packet networks and its implementation in the
 * Netem module in the Linux kernel", version 3.1 (2012), section 2.
 */
#include "shaper/chance.h"

#include "shaper/spec.h"

#include <string.h>

/*
 * Reads "P[,CORRELATION]" or "none".
 * Returns 0, or -errno with text in @e and @c as it was.
 */
int chance_parse(const char *text, struct chance_conf *c, struct err *e)
{
	struct chance_conf v = {0};
	struct spec_values values;
	int ret;

	if (!strcmp(text, "none")) {
		*c = v;
		return 0;
	}
	ret = spec_split(text, "P[,CORRELATION]", 2, &values, e);
	if (!ret)
		ret = spec_probability(values.text[0], "P", &v.p, e);
	if (!ret && values.n > 1)
		ret = spec_correlation(values.text[1], &v.correlation, e);
	if (!ret)
		*c = v;
	return ret;
}

/* Whether both give the same outcomes; what never happens has no correlation. */
bool chance_conf_equal(const struct chance_conf *a, const struct chance_conf *b)
{
	return a->p == b->p && (a->p == 0 || a->correlation == b->correlation);
}

/* Begins a sequence of outcomes: @stream of @seed (see rng_seed()). */
void chance_init(struct chance *ch, const struct chance_conf *c, uint64_t seed, uint32_t stream)
{
	rng_seed(&ch->rng, seed, stream);
	chance_change(ch, c);
}

/* Goes on with the same random numbers and other settings, from the stationary distribution. */
void chance_change(struct chance *ch, const struct chance_conf *c)
{
	ch->p_next = c->p;
	ch->p_after[0] = c->p * (1 - c->correlation);
	ch->p_after[1] = c->p + c->correlation * (1 - c->p);
	if (c->p == 0)
		ch->p_after[1] = 0;
}

/* Returns whether the event happens this time. One that never does takes no random number. */
bool chance_next(struct chance *ch)
{
	bool event;

	if (ch->p_next == 0)
		return false;
	event = rng_unit(&ch->rng) < ch->p_next;
	ch->p_next = ch->p_after[event];
	return event;
}
