/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * stat.h - what a sample must look like: χ², Kolmogorov–Smirnov, binomial, batch means
 *
 * Seeds are fixed, so a test passes always or never. It is held against an error
 * probability of STAT_ALPHA: small enough for an honest seed not to have to be
 * looked for, large enough for a model that is wrong by a few per cent to fail at the
 * sample sizes used here.
 */
#ifndef TESTS_UNIT_STAT_H
#define TESTS_UNIT_STAT_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define STAT_ALPHA 1e-3
/* Two-sided for STAT_ALPHA: the standard normal quantile of 1 - STAT_ALPHA / 2. */
#define STAT_Z 3.2905
/* The same for Student's t of 99 degrees of freedom, for 100 batches. */
#define STAT_T99 3.3915

/*
 * Upper tail of χ² with @k degrees of freedom: the regularised incomplete gamma
 * function Q(k/2, x/2), by its series or its continued fraction (Abramowitz and
 * Stegun 6.5.29 and 6.5.31).
 */
static inline double stat_chi2_p(double x, unsigned k)
{
	double a = k / 2.0, y = x / 2, front, sum, term;
	unsigned n;

	if (y <= 0)
		return 1;
	front = exp(a * log(y) - y - lgamma(a));
	if (y < a + 1) {
		for (sum = term = 1 / a, n = 1; n < 10000 && term > sum * 1e-16; n++)
			sum += term *= y / (a + n);
		return 1 - front * sum;
	}
	/* y + 1 - a - 1(1-a)/(y + 3 - a - 2(2-a)/(y + 5 - a - …)), from far inside outwards. */
	for (sum = 0, n = 2000; n > 0; n--)
		sum = n * (n - a) / (y + 2 * n + 1 - a - sum);
	return front / (y + 1 - a - sum);
}

/*
 * Pearson's χ² test of counts against expected ones of the same sum. Cells are joined
 * from the left until each is to have five and a hundredth of all: many small ones would
 * hide what is wrong in their noise.
 * Returns the probability of a fit as bad as this.
 */
static inline double stat_chi2_fit(const uint64_t *seen, const double *expected, size_t cells)
{
	double x = 0, e = 0, rest = 0, least;
	uint64_t o = 0;
	unsigned used = 0;
	size_t i;

	for (i = 0; i < cells; i++)
		rest += expected[i];
	least = fmax(5, rest / 100);
	for (i = 0; i < cells; i++) {
		o += seen[i];
		e += expected[i];
		rest -= expected[i];
		if ((e < least || rest < least) && i + 1 < cells)
			continue;
		x += ((double)o - e) * ((double)o - e) / e;
		o = 0;
		e = 0;
		used++;
	}
	return used > 1 ? stat_chi2_p(x, used - 1) : 1;
}

/* How often each length of run was seen; the last cell holds all longer ones. */
#define STAT_RUN_MAX 2048
struct stat_runs {
	uint64_t seen[2][STAT_RUN_MAX]; /* of none, of events */
	uint64_t n[2];
	uint64_t length;
	int last; /* -1: nothing yet */
	bool first;
};

static inline void stat_runs_begin(struct stat_runs *r)
{
	*r = (struct stat_runs){.last = -1, .first = true};
}

/* The first run is cut off at its beginning, and the last at its end: neither counts. */
static inline void stat_runs_add(struct stat_runs *r, bool event)
{
	if (r->last == (int)event) {
		r->length++;
		return;
	}
	if (r->last >= 0 && !r->first) {
		uint64_t cell = r->length < STAT_RUN_MAX ? r->length : STAT_RUN_MAX;

		r->seen[r->last][cell - 1]++;
		r->n[r->last]++;
	}
	r->first = r->last < 0;
	r->last = event;
	r->length = 1;
}

/*
 * Tests runs against a mixture of two geometric distributions, which end after
 * each step with probability @end[0] in @share of them and @end[1] in the others.
 */
static inline double stat_runs_fit(const struct stat_runs *r, bool event, double share,
				   const double end[2])
{
	static double expected[STAT_RUN_MAX];
	double n = (double)r->n[event], stay[2] = {share, 1 - share}, rest = n;
	size_t i;

	for (i = 0; i + 1 < STAT_RUN_MAX; i++) {
		expected[i] = n * (stay[0] * end[0] + stay[1] * end[1]);
		rest -= expected[i];
		stay[0] *= 1 - end[0];
		stay[1] *= 1 - end[1];
	}
	expected[i] = rest > 0 ? rest : 0;
	return stat_chi2_fit(r->seen[event], expected, STAT_RUN_MAX);
}

static inline int stat_compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/*
 * Kolmogorov–Smirnov test of @n values, which are sorted, against a continuous
 * distribution function. The p-value is Kolmogorov's series with the correction
 * for small samples of Stephens, "Use of the Kolmogorov–Smirnov, Cramér–von Mises and
 * related statistics without extensive tables", JRSS B 32 (1970).
 */
static inline double stat_ks_p(double *v, size_t n, double (*cdf)(double x, const void *arg),
			       const void *arg)
{
	double d = 0, root = sqrt((double)n), lambda, sum = 0, f;
	size_t i;
	int j;

	qsort(v, n, sizeof(*v), stat_compare);
	for (i = 0; i < n; i++) {
		f = cdf(v[i], arg);
		d = fmax(d, fmax(f - (double)i / (double)n, (double)(i + 1) / (double)n - f));
	}
	lambda = (root + 0.12 + 0.11 / root) * d;
	if (lambda < 0.2)
		return 1; /* there the series converges slowly, and 1 - p is below 10^-12 */
	for (j = 1; j <= 100; j++)
		sum += (j % 2 ? 2 : -2) * exp(-2.0 * j * j * lambda * lambda);
	return sum;
}

/* How many standard deviations a count of @n trials is from what @p lets expect. */
static inline double stat_binomial_z(uint64_t count, uint64_t n, double p)
{
	double mean = (double)n * p;

	return ((double)count - mean) / sqrt(mean * (1 - p));
}

#define STAT_BATCHES 100

/*
 * How far the mean of dependent values is from the one expected, in standard
 * errors: those of the means of STAT_BATCHES long stretches, which hardly depend on
 * each other (Law and Kelton, "Simulation modeling and analysis", batch means).
 * Compare with STAT_T99.
 */
static inline double stat_batch_t(const double batch[STAT_BATCHES], double expected)
{
	double mean = 0, square = 0;
	unsigned i;

	for (i = 0; i < STAT_BATCHES; i++)
		mean += batch[i] / STAT_BATCHES;
	for (i = 0; i < STAT_BATCHES; i++)
		square += (batch[i] - mean) * (batch[i] - mean);
	return (mean - expected) / sqrt(square / (STAT_BATCHES - 1) / STAT_BATCHES);
}

/* Correlation of each value with the one @lag later. */
static inline double stat_autocorrelation(const double *v, size_t n, size_t lag)
{
	double mean = 0, square = 0, product = 0;
	size_t i;

	for (i = 0; i < n; i++)
		mean += v[i] / (double)n;
	for (i = 0; i < n; i++)
		square += (v[i] - mean) * (v[i] - mean);
	for (i = 0; i + lag < n; i++)
		product += (v[i] - mean) * (v[i + lag] - mean);
	return product / square;
}

#endif
