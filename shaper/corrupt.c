// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * corrupt.c - which bits of a frame flip, pure
 *
 * Theory of operation
 *
 * Either each frame is corrupted with a probability, and then in a number of bits
 * anywhere in it; or bits flip at a rate. For the latter the frames are one stream
 * of bits, and the sound bits between two flips are drawn from the geometric
 * distribution, so that a frame without flips costs a subtraction.
 *
 * How many random numbers a frame takes depends on the settings, the random numbers
 * and its length alone.
 */
#include "shaper/corrupt.h"

#include "lib/units.h"
#include "shaper/spec.h"

#include <math.h>
#include <string.h>

#define SPECS "none, P[,BITS] or ber:RATE"

static int parse_bits(const char *text, unsigned *bits, struct err *e)
{
	uint64_t v;
	int ret = units_count(text, 1, CORRUPT_BITS_MAX, &v, e);

	if (ret)
		return err_wrap(e, ret, "BITS");
	*bits = (unsigned)v;
	return 0;
}

static int parse_rate(const char *text, double *ber, struct err *e)
{
	int ret = spec_probability(text, "ber: RATE", ber, e);

	if (ret == -ERANGE || (!ret && *ber > CORRUPT_BER_MAX))
		return err_set(e, ERANGE, "ber: RATE: '%s' is outside 0…0.001 (0%%…0.1%%)", text);
	return ret;
}

/*
 * Reads "none"; "P[,BITS]", the share of frames and how many bits flip in each
 * (default 1); or "ber:RATE", the share of bits.
 *
 * Returns 0, or -errno with text in @e and @c as it was.
 */
int corrupt_parse(const char *spec, struct corrupt_conf *c, struct err *e)
{
	struct corrupt_conf v = {.bits = 1};
	struct spec_values values;
	int ret = 0;

	if (!strncmp(spec, "ber:", 4)) {
		ret = parse_rate(spec + 4, &v.ber, e);
	} else if (strcmp(spec, "none")) {
		ret = spec_split(spec, SPECS, 2, &values, e);
		if (!ret)
			ret = spec_probability(values.text[0], "P", &v.p, e);
		if (!ret && values.n > 1)
			ret = parse_bits(values.text[1], &v.bits, e);
	}
	if (!ret)
		*c = v;
	return ret;
}

/* Whether nothing is ever corrupted. */
bool corrupt_conf_is_none(const struct corrupt_conf *c)
{
	return c->p == 0 && c->ber == 0;
}

/* Whether both flip the same bits. */
bool corrupt_conf_equal(const struct corrupt_conf *a, const struct corrupt_conf *b)
{
	return a->p == b->p && a->ber == b->ber && (a->p == 0 || a->bits == b->bits);
}

/* Draws how many sound bits come before the next one that flips. */
static uint64_t draw_gap(struct corrupt *k)
{
	double gap = log(rng_open_unit(&k->rng)) * k->per_nat;

	return gap < 0x1p62 ? (uint64_t)gap : 1ull << 62;
}

/*
 * Begins a sequence of corruptions.
 * @c:      stays where it is until corrupt_rebind(), corrupt_change() or the end
 * @seed:   see rng_seed(), as for
 * @stream: which nothing else must use
 */
void corrupt_init(struct corrupt *k, const struct corrupt_conf *c, uint64_t seed, uint32_t stream)
{
	*k = (struct corrupt){0};
	rng_seed(&k->rng, seed, stream);
	corrupt_change(k, c);
}

/* Goes on exactly as before with @c, which equals what it replaces but lies elsewhere. */
void corrupt_rebind(struct corrupt *k, const struct corrupt_conf *c)
{
	k->conf = c;
}

/* Goes on with the same random numbers and other settings. */
void corrupt_change(struct corrupt *k, const struct corrupt_conf *c)
{
	k->conf = c;
	if (c->ber > 0) {
		k->per_nat = 1 / log1p(-c->ber);
		k->gap = draw_gap(k);
	}
}

static unsigned flip_at_rate(struct corrupt *k, uint64_t total, uint32_t *bits, unsigned max)
{
	unsigned n = 0;
	uint64_t at = 0; /* bits of the frame that are done with */

	while (k->gap < total - at) {
		at += k->gap;
		if (n < max)
			bits[n++] = (uint32_t)at;
		at++;
		k->gap = draw_gap(k);
	}
	k->gap -= total - at;
	return n;
}

static bool contains(const uint32_t *bits, unsigned n, uint32_t bit)
{
	while (n--)
		if (bits[n] == bit)
			return true;
	return false;
}

/*
 * Chooses distinct positions, each set of them equally likely: Floyd's algorithm
 * (Bentley and Floyd, "A sample of brilliance", Communications of the ACM 30, 1987).
 */
static unsigned flip_count(struct corrupt *k, uint64_t total, uint32_t *bits, unsigned max)
{
	unsigned count = k->conf->bits < total ? k->conf->bits : (unsigned)total;
	uint32_t chosen[CORRUPT_BITS_MAX];
	unsigned n;

	for (n = 0; n < count; n++) {
		uint32_t newest = (uint32_t)(total - count + n);
		uint32_t bit = (uint32_t)rng_below(&k->rng, (uint64_t)newest + 1);

		chosen[n] = contains(chosen, n, bit) ? newest : bit;
	}
	for (n = 0; n < count && n < max; n++)
		bits[n] = chosen[n];
	return n;
}

/*
 * Draws which bits of a frame flip.
 * @len:  of the frame, in bytes; below 2^29
 * @bits: filled in with their positions, in any order, no two the same; 0 is the most
 *        significant bit of the first byte
 * @max:  room there; flips beyond it are left out, though CORRUPT_BITS_MAX is enough for
 *        all but frames of several thousand bytes at the highest bit error rates
 *
 * Returns how many there are.
 */
unsigned corrupt_next(struct corrupt *k, uint32_t len, uint32_t *bits, unsigned max)
{
	const struct corrupt_conf *c = k->conf;
	uint64_t total = (uint64_t)len * 8;

	if (c->ber > 0)
		return flip_at_rate(k, total, bits, max);
	if (c->p == 0 || rng_unit(&k->rng) >= c->p)
		return 0;
	return flip_count(k, total, bits, max);
}
