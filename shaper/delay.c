// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * delay.c - how long frames take: a base delay and jitter around it, pure
 *
 * Theory of operation
 *
 * Each frame's delay is base + jitter × x, where x is drawn from a distribution;
 * delays below 0 become 0, those above DELAY_MAX_NS that. A distribution is its
 * quantile function, of a uniform or of a normal number, whichever is simpler.
 *
 * With a correlation c, the normal numbers are a stationary autoregressive process,
 * z' = c z + √(1 - c²) e, and the quantile function is applied to Φ(z) (a Gaussian
 * copula). So every single delay has exactly the distribution it has without
 * correlation, and the correlation of normal jitter with the one k frames later is
 * c^k. Other distributions bend it a little: of uniform jitter it is
 * 6/π asin(c^k / 2). Netem's mean of the last and a new number makes the jitter
 * smaller the larger c is, and gives it another shape.
 *
 * The distributions, with the mean and standard deviation of x:
 *
 *   uniform       -1…1                                          0, 1/√3
 *   normal                                                      0, 1
 *   pareto        of shape 3, moved and scaled                  0, 1
 *   paretonormal  1/4 normal + 3/4 pareto of the same quantile  0, 1
 *   exponential   from 0: base is the least                     1, 1
 *   table         a .dist file, as netem takes it               the file's
 *
 * pareto and paretonormal are those of iproute2's netem/pareto.c and paretonormal.c
 * (NIST Net's). The tables that those write mean the same, but are scaled by 4/3
 * instead of 2/√3 and end at 4 jitters: their standard deviation is 0.82 and 0.83,
 * and their mean -0.03. Who wants just that names the file.
 */
#include "shaper/delay.h"

#include "lib/units.h"
#include "shaper/spec.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NAMES "uniform, normal, pareto, paretonormal or exponential"

/* One of the two is there. Both never fall as their argument rises. */
struct delay_distribution {
	const char *name;					   /* NULL: the table's */
	double (*at_unit)(const struct delay_conf *c, double u);   /* u in [0, 1) */
	double (*at_normal)(const struct delay_conf *c, double z); /* |z| ≤ RNG_NORMAL_MAX */
};

static double uniform(const struct delay_conf *c, double u)
{
	return 2 * u - 1;
}

static double normal(const struct delay_conf *c, double z)
{
	return z;
}

/* From P(more) = 1 - u. Shape 3 has mean 3/2 and variance 3/4. */
static double pareto_above(double more)
{
	return (1 / cbrt(more) - 1.5) * (2 / 1.7320508075688772);
}

static double pareto(const struct delay_conf *c, double u)
{
	return pareto_above(1 - u);
}

/*
 * The two parts rise together, so their covariance counts: the variance of the sum is
 * 1/16 + 9/16 + 3/8 cov, and cov = ∫ z pareto(Φ(z)) φ(z) dz = 0.678352789549995774.
 */
static double paretonormal(const struct delay_conf *c, double z)
{
	return (0.25 * z + 0.75 * pareto_above(rng_normal_cdf(-z))) / 0.937753856873565951;
}

static double exponential(const struct delay_conf *c, double u)
{
	return -log1p(-u);
}

static double from_table(const struct delay_conf *c, double u)
{
	return (double)c->table[(size_t)(u * (double)c->n_table)] / DELAY_TABLE_SCALE;
}

static const struct delay_distribution distributions[] = {
	{"uniform", uniform, NULL}, /* the default */
	{"normal", NULL, normal},
	{"pareto", pareto, NULL},
	{"paretonormal", NULL, paretonormal},
	{"exponential", exponential, NULL},
};

static const struct delay_distribution table = {NULL, from_table, NULL};

static const struct delay_distribution *distribution(const struct delay_conf *c)
{
	return c->distribution ? c->distribution : &distributions[0];
}

/* Reads "TIME[,CORRELATION]". Returns 0, or -errno with text in @e and @c as it was. */
int delay_parse_jitter(const char *text, struct delay_conf *c, struct err *e)
{
	struct spec_values v;
	double correlation = 0;
	uint64_t jitter_ns;
	int ret = spec_split(text, "TIME[,CORRELATION]", 2, &v, e);

	if (!ret) {
		ret = units_time(v.text[0], 0, DELAY_BASE_MAX_NS, &jitter_ns, e);
		ret = ret ? err_wrap(e, ret, "TIME") : 0;
	}
	if (!ret && v.n > 1)
		ret = spec_correlation(v.text[1], &correlation, e);
	if (ret)
		return ret;
	c->jitter_ns = jitter_ns;
	c->correlation = correlation;
	return 0;
}

static void release_table(struct delay_conf *c)
{
	free(c->table);
	c->table = NULL;
	c->n_table = 0;
}

/* Reads one entry; the table has room for all there may be. */
static int add_entry(void *arg, const char *token, struct err *e)
{
	struct delay_conf *c = arg;
	char *end;
	long v = strtol(token, &end, 10);

	if (end == token || *end)
		return err_set(e, EINVAL, "'%s' is not a whole number from -32768 to 32767", token);
	if (v < INT16_MIN || v > INT16_MAX)
		return err_set(e, ERANGE, "'%s' is outside -32768…32767", token);
	if (c->n_table == DELAY_TABLE_ENTRIES)
		return err_set(e, E2BIG, "more than %u numbers", DELAY_TABLE_ENTRIES);
	c->table[c->n_table++] = (int16_t)v;
	return 0;
}

static int compare_entries(const void *a, const void *b)
{
	return *(const int16_t *)a - *(const int16_t *)b;
}

static int read_table(const char *path, struct delay_conf *t, struct err *e)
{
	int ret;

	t->table = malloc(DELAY_TABLE_ENTRIES * sizeof(*t->table));
	if (!t->table)
		return err_set(e, ENOMEM, "no memory for '%s'", path);
	ret = spec_file(path, add_entry, t, e);
	if (ret == -ENOENT && !strchr(path, '/'))
		return err_set(e, EINVAL, "'%s' is neither %s nor a file with a table", path,
			       NAMES);
	if (!ret && !t->n_table)
		return err_set(e, EINVAL, "'%s' has no numbers", path);
	if (!ret)
		qsort(t->table, t->n_table, sizeof(*t->table), compare_entries);
	return ret;
}

/*
 * Reads the name of a distribution, or the path of a table: up to 16384 numbers, the
 * quantiles at equal steps, with 8192 for one jitter, separated by white space; #
 * begins a comment. Order does not matter.
 *
 * Returns 0, or -errno with text in @e and @c as it was.
 */
int delay_parse_distribution(const char *text, struct delay_conf *c, struct err *e)
{
	struct delay_conf t = {0};
	size_t i;
	int ret;

	for (i = 0; i < sizeof(distributions) / sizeof(*distributions); i++)
		if (!strcmp(text, distributions[i].name))
			t.distribution = &distributions[i];
	if (!t.distribution) {
		ret = read_table(text, &t, e);
		if (ret) {
			release_table(&t);
			return ret;
		}
		t.distribution = &table;
	}
	release_table(c);
	c->distribution = t.distribution;
	c->table = t.table;
	c->n_table = t.n_table;
	return 0;
}

/* Frees what settings own and zeroes them. */
void delay_conf_release(struct delay_conf *c)
{
	release_table(c);
	*c = (struct delay_conf){0};
}

/* Base and @x jitters, within the limits; it never falls as @x rises. */
static uint64_t delay_of(const struct delay_conf *c, double x)
{
	double ns = (double)c->base_ns + (double)c->jitter_ns * x;

	if (!(ns > 0))
		return 0;
	return ns < (double)DELAY_MAX_NS ? (uint64_t)(ns + 0.5) : DELAY_MAX_NS;
}

/* Returns the smallest delay that can ever be drawn, in ns: so long, nothing is due. */
uint64_t delay_floor(const struct delay_conf *c)
{
	const struct delay_distribution *dist = distribution(c);

	if (c->jitter_ns == 0)
		return c->base_ns;
	return delay_of(c,
			dist->at_unit ? dist->at_unit(c, 0) : dist->at_normal(c, -RNG_NORMAL_MAX));
}

/*
 * Begins a sequence of delays.
 * @c:      stays where it is until delay_change() or the end
 * @seed:   see rng_seed(), as for
 * @stream: which nothing else must use
 */
void delay_init(struct delay *d, const struct delay_conf *c, uint64_t seed, uint32_t stream)
{
	*d = (struct delay){0};
	rng_seed(&d->rng, seed, stream);
	delay_change(d, c);
}

/*
 * Goes on with other settings, or with the same ones elsewhere. The random numbers
 * behind the delays go on as if nothing had changed, so that a delay that rises in
 * many small steps keeps its jitter.
 */
void delay_change(struct delay *d, const struct delay_conf *c)
{
	d->conf = c;
	d->innovation = sqrt(1 - c->correlation * c->correlation);
}

/* The next of the correlated normal numbers, within what rng_normal() gives. */
static double next_normal(struct delay *d)
{
	double e = rng_normal(&d->rng);

	d->normal = d->begun ? d->conf->correlation * d->normal + d->innovation * e : e;
	d->begun = true;
	return fmax(-RNG_NORMAL_MAX, fmin(d->normal, RNG_NORMAL_MAX));
}

/*
 * Returns the next frame's delay in ns, from delay_floor() to DELAY_MAX_NS. With jitter it
 * takes one random number, without none.
 */
uint64_t delay_next(struct delay *d)
{
	const struct delay_conf *c = d->conf;
	const struct delay_distribution *dist = distribution(c);
	double z, u;

	if (c->jitter_ns == 0)
		return c->base_ns;
	if (c->correlation == 0 && dist->at_unit)
		return delay_of(c, dist->at_unit(c, rng_open_unit(&d->rng)));
	z = c->correlation == 0 ? rng_normal(&d->rng) : next_normal(d);
	if (dist->at_normal)
		return delay_of(c, dist->at_normal(c, z));
	/* Far out, Φ(z) is rounded to 1, which has no quantile. */
	u = fmin(rng_normal_cdf(z), 1 - 0x1p-53);
	return delay_of(c, dist->at_unit(c, u));
}
