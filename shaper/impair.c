// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * impair.c - all that a direction does to its frames, decided in order of arrival, pure
 *
 * Theory of operation
 *
 * impair_next() is called once for each wire frame that arrives, in order, also for
 * those that a queue will drop later: so decisions depend on the seed, the settings,
 * and the number and length of frames, never on time. Every model has random numbers
 * of its own, and draws the same ones whatever the others decide. Settings that
 * change give new decisions from the next frame on; the models that keep theirs go on
 * as if nothing had happened, and the changed ones go on drawing where they were,
 * because beginning again with each change of a schedule would repeat one pattern.
 *
 * The same binary, seed, settings and frames give the same decisions bit for bit. Other
 * C libraries may round logarithms otherwise, which can move a delay by a nanosecond.
 */
#include "shaper/impair.h"

#include <stdlib.h>
#include <string.h>

/* Memory of the same bytes; NULL for none of them, or when memory is short. */
static void *duplicate_of(const void *data, size_t bytes)
{
	void *copy = bytes ? malloc(bytes) : NULL;

	return copy ? memcpy(copy, data, bytes) : NULL;
}

/*
 * Makes a copy with memory of its own.
 * @to: anything; overwritten
 * Returns 0, or -ENOMEM with a text and nothing in @to.
 */
int impair_conf_copy(struct impair_conf *to, const struct impair_conf *from, struct err *e)
{
	size_t table = from->delay.n_table * sizeof(*from->delay.table);
	size_t ranges = from->loss.n_ranges * sizeof(*from->loss.ranges);

	*to = *from;
	to->delay.table = duplicate_of(from->delay.table, table);
	to->loss.ranges = duplicate_of(from->loss.ranges, ranges);
	if ((to->delay.table || !table) && (to->loss.ranges || !ranges))
		return 0;
	impair_conf_release(to);
	return err_set(e, ENOMEM, "out of memory");
}

/* Frees what settings own and zeroes them. */
void impair_conf_release(struct impair_conf *c)
{
	delay_conf_release(&c->delay);
	loss_conf_release(&c->loss);
	*c = (struct impair_conf){0};
}

static bool reorder_equal(const struct impair_conf *a, const struct impair_conf *b)
{
	return chance_conf_equal(&a->reorder, &b->reorder) &&
	       (a->reorder.p == 0 || a->reorder_gap == b->reorder_gap);
}

/* Whether every frame gets the same delay and nothing else happens to any. */
bool impair_is_constant(const struct impair_conf *c)
{
	return c->delay.jitter_ns == 0 && !c->loss.model && c->duplicate.p == 0 &&
	       corrupt_conf_is_none(&c->corrupt) && c->reorder.p == 0;
}

static void set_flags(struct impair *im, const struct impair_conf *c)
{
	im->constant = impair_is_constant(c);
	im->corrupting = !corrupt_conf_is_none(&c->corrupt);
	im->reordering = c->reorder.p > 0;
}

/*
 * Begins a direction.
 * @c:    stays where it is until impair_update() or the end
 * @seed: this direction's; the other one needs a different one
 */
void impair_init(struct impair *im, const struct impair_conf *c, uint64_t seed)
{
	im->seed = seed;
	loss_init(&im->loss, &c->loss, seed, IMPAIR_STREAM_LOSS);
	chance_init(&im->duplicate, &c->duplicate, seed, IMPAIR_STREAM_DUPLICATE);
	corrupt_init(&im->corrupt, &c->corrupt, seed, IMPAIR_STREAM_CORRUPT);
	reorder_init(&im->reorder, &c->reorder, c->reorder_gap, seed, IMPAIR_STREAM_REORDER);
	delay_init(&im->delay, &c->delay, seed, IMPAIR_STREAM_DELAY);
	delay_init(&im->duplicate_delay, &c->delay, seed, IMPAIR_STREAM_DUPLICATE_DELAY);
	set_flags(im, c);
}

/*
 * Takes new settings between two frames.
 * @old:  those in use until now; may be released afterwards
 * @now:  stays where it is until the next update or the end
 * @seed: another one than before begins everything anew
 */
void impair_update(struct impair *im, const struct impair_conf *old, const struct impair_conf *now,
		   uint64_t seed)
{
	if (seed != im->seed) {
		impair_init(im, now, seed);
		return;
	}
	if (loss_conf_equal(&old->loss, &now->loss))
		loss_rebind(&im->loss, &now->loss);
	else
		loss_change(&im->loss, &now->loss);
	if (!chance_conf_equal(&old->duplicate, &now->duplicate))
		chance_change(&im->duplicate, &now->duplicate);
	if (corrupt_conf_equal(&old->corrupt, &now->corrupt))
		corrupt_rebind(&im->corrupt, &now->corrupt);
	else
		corrupt_change(&im->corrupt, &now->corrupt);
	if (!reorder_equal(old, now))
		reorder_change(&im->reorder, &now->reorder, now->reorder_gap);
	delay_change(&im->delay, &now->delay);
	delay_change(&im->duplicate_delay, &now->delay);
	set_flags(im, now);
}

/*
 * Decides on the next frame.
 * @number: of the frame, from 1, larger than any before
 * @len:    bytes on the wire that may be corrupted
 * @v:      filled in, of flips only the first n_flips
 */
void impair_next(struct impair *im, uint64_t number, uint32_t len, struct impair_verdict *v)
{
	v->lost = false;
	v->duplicate = false;
	v->reordered = false;
	v->n_flips = 0;
	v->duplicate_delay_ns = 0;
	v->delay_ns = delay_next(&im->delay);
	if (im->constant)
		return;
	v->lost = loss_next(&im->loss, number);
	v->duplicate = chance_next(&im->duplicate);
	if (v->duplicate)
		v->duplicate_delay_ns = delay_next(&im->duplicate_delay);
	if (im->corrupting)
		v->n_flips = (uint8_t)corrupt_next(&im->corrupt, len, v->flips, CORRUPT_BITS_MAX);
	if (im->reordering) {
		v->reordered = reorder_next(&im->reorder);
		if (v->reordered)
			v->delay_ns = 0;
	}
}
