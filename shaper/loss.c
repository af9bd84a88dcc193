// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * loss.c - which frames are lost: models of loss, pure
 *
 * Theory of operation
 *
 * loss_next() is called once for each frame, in order of arrival, whatever else
 * happens to the frame. The models are those of tc-netem(8), with its parameters,
 * defaults and meaning, and a list of frames:
 *
 * - P[,CORRELATION]: see chance.c.
 * - gilbert (netem's gemodel): a good and a bad state, each with a probability of
 *   loss. Gilbert, "Capacity of a burst-noise channel", Bell System Technical
 *   Journal 39 (1960); Elliott, same journal, 42 (1963).
 * - markov (netem's state): 1 good reception, 2 good reception within a burst,
 *   3 loss within a burst, 4 isolated loss; from 4 always back to 1.
 *   Salsano, Ludovici, Ordine and Giannuzzi, "Definition of a general and intuitive
 *   loss model for packet networks", version 3.1 (2012), section 4.1.
 *
 *       ┌── p13 ──▶ 3 ── p32 ─▶ 2       4 ◀── p14 ──┐
 *       1 ◀── p31 ──┘ ◀─ p23 ───┘       └──── 1 ───▶ 1
 *
 * Unlike netem's, the chains begin in their stationary distribution, so the
 * long-run loss rate holds from the first frame on.
 */
#include "shaper/loss.h"

#include "lib/units.h"
#include "shaper/spec.h"

#include <stdlib.h>
#include <string.h>

#define SPECS                                                                                    \
	"none, P[,CORRELATION], gilbert:P[,R[,1-H[,1-K]]], markov:P13[,P31[,P32[,P23[,P14]]]], " \
	"list:1,5,10-20 or list:@FILE"

/* Sums of two probabilities that are meant to be 1 may be rounded upwards. */
#define ROUNDING 1e-9

struct loss_model {
	const char *prefix; /* of its settings; "" for the one that has none */
	int (*parse)(const char *text, struct loss_conf *c, struct err *e);
	bool (*equal)(const struct loss_conf *a, const struct loss_conf *b);
	void (*start)(struct loss *l); /* begin as if it had been going on for ever */
	bool (*next)(struct loss *l, uint64_t number);
};

/* What is certain takes no random number. */
static bool happens(struct rng *r, double p)
{
	return p > 0 && (p >= 1 || rng_unit(r) < p);
}

static int bernoulli_parse(const char *text, struct loss_conf *c, struct err *e)
{
	int ret = chance_parse(text, &c->bernoulli, e);

	if (!ret && c->bernoulli.p == 0)
		c->model = NULL;
	return ret;
}

static bool bernoulli_equal(const struct loss_conf *a, const struct loss_conf *b)
{
	return chance_conf_equal(&a->bernoulli, &b->bernoulli);
}

static void bernoulli_start(struct loss *l)
{
	chance_change(&l->chance, &l->conf->bernoulli);
}

static bool bernoulli_next(struct loss *l, uint64_t number)
{
	return chance_next(&l->chance);
}

/* Reads up to @max probabilities, each called by its name. Those that are not given stay. */
static int parse_probabilities(const char *text, const char *usage, const char *const *names,
			       double *const *to, unsigned max, unsigned *n, struct err *e)
{
	struct spec_values v;
	unsigned i;
	int ret = spec_split(text, usage, max, &v, e);

	for (i = 0; !ret && i < v.n; i++)
		ret = spec_probability(v.text[i], names[i], to[i], e);
	*n = v.n;
	return ret;
}

static int gilbert_parse(const char *text, struct loss_conf *c, struct err *e)
{
	static const char *const names[] = {"P", "R", "1-H", "1-K"};
	double *to[] = {&c->gilbert.p, &c->gilbert.r, &c->gilbert.bad, &c->gilbert.good};
	unsigned n;
	int ret;

	c->gilbert.bad = 1;
	ret = parse_probabilities(text, "gilbert:P[,R[,1-H[,1-K]]]", names, to, 4, &n, e);
	if (ret)
		return ret;
	if (n == 1)
		c->gilbert.r = 1 - c->gilbert.p;
	else if (c->gilbert.r == 0 && c->gilbert.p > 0)
		return err_set(
			e, EINVAL,
			"R: with 0 the bad state would never end; it must be above 0, or P 0");
	return 0;
}

static bool gilbert_equal(const struct loss_conf *a, const struct loss_conf *b)
{
	return a->gilbert.p == b->gilbert.p && a->gilbert.r == b->gilbert.r &&
	       a->gilbert.bad == b->gilbert.bad && a->gilbert.good == b->gilbert.good;
}

static void gilbert_start(struct loss *l)
{
	double p = l->conf->gilbert.p, r = l->conf->gilbert.r;

	l->state = p > 0 && happens(&l->chance.rng, p / (p + r));
}

static bool gilbert_next(struct loss *l, uint64_t number)
{
	struct rng *r = &l->chance.rng;
	bool bad = l->state;
	bool lost = happens(r, bad ? l->conf->gilbert.bad : l->conf->gilbert.good);

	if (happens(r, bad ? l->conf->gilbert.r : l->conf->gilbert.p))
		l->state = !bad;
	return lost;
}

/* Refuses what no chain can do, and bursts that would never end. */
static int markov_check(const struct loss_conf *c, struct err *e)
{
	double p13 = c->markov.p13, p31 = c->markov.p31, p32 = c->markov.p32;

	if (p13 + c->markov.p14 > 1 + ROUNDING)
		return err_set(
			e, EINVAL,
			"P13 + P14 is %g; both lead from good reception, so it must be at most 1",
			p13 + c->markov.p14);
	if (p31 + p32 > 1 + ROUNDING)
		return err_set(
			e, EINVAL,
			"P31 + P32 is %g; both lead from burst loss, so it must be at most 1",
			p31 + p32);
	if (p13 > 0 && p13 < 1 && p31 == 0)
		return err_set(e, EINVAL,
			       "P31: with 0 a burst would never end; it must be above 0, or P13 0");
	if (p13 > 0 && p32 > 0 && c->markov.p23 == 0)
		return err_set(e, EINVAL,
			       "P23: with 0 reception within a burst would never end; it must be "
			       "above 0, or P32 0");
	return 0;
}

static int markov_parse(const char *text, struct loss_conf *c, struct err *e)
{
	static const char *const names[] = {"P13", "P31", "P32", "P23", "P14"};
	double *to[] = {&c->markov.p13, &c->markov.p31, &c->markov.p32, &c->markov.p23,
			&c->markov.p14};
	unsigned n;
	int ret;

	c->markov.p23 = 1;
	ret = parse_probabilities(text, "markov:P13[,P31[,P32[,P23[,P14]]]]", names, to, 5, &n, e);
	if (ret)
		return ret;
	if (n == 1)
		c->markov.p31 = 1 - c->markov.p13;
	return markov_check(c, e);
}

static bool markov_equal(const struct loss_conf *a, const struct loss_conf *b)
{
	return a->markov.p13 == b->markov.p13 && a->markov.p31 == b->markov.p31 &&
	       a->markov.p32 == b->markov.p32 && a->markov.p23 == b->markov.p23 &&
	       a->markov.p14 == b->markov.p14;
}

/* The balance of each state: 4 is left as often as entered, then 1, then 2. */
static void markov_start(struct loss *l)
{
	const struct loss_conf *c = l->conf;
	double p13 = c->markov.p13;
	double in1 = p13 > 0 ? c->markov.p31 : 1;
	double in2 = p13 > 0 && c->markov.p32 > 0 ? p13 * c->markov.p32 / c->markov.p23 : 0;
	double in4 = in1 * c->markov.p14;
	double u = rng_unit(&l->chance.rng) * (in1 + in2 + p13 + in4);

	l->state = u < in1 ? 1 : u < in1 + in2 ? 2 : u < in1 + in2 + p13 ? 3 : 4;
}

static bool markov_next(struct loss *l, uint64_t number)
{
	const struct loss_conf *c = l->conf;
	double u = rng_unit(&l->chance.rng);

	switch (l->state) {
	case 1: l->state = u < c->markov.p14 ? 4 : u < c->markov.p14 + c->markov.p13 ? 3 : 1; break;
	case 2: l->state = u < c->markov.p23 ? 3 : 2; break;
	case 3: l->state = u < c->markov.p32 ? 2 : u < c->markov.p32 + c->markov.p31 ? 1 : 3; break;
	default: l->state = 1; break;
	}
	return l->state >= 3;
}

/* Reads "7" or "10-20". */
static int add_range(void *arg, const char *token, struct err *e)
{
	struct loss_conf *c = arg;
	struct loss_range r = {0};
	char first[SPEC_TOKEN_MAX];
	size_t n = strcspn(token, "-");
	int ret;

	memcpy(first, token, n);
	first[n] = '\0';
	ret = units_count(first, 1, UINT64_MAX, &r.first, e);
	r.last = r.first;
	if (!ret && token[n])
		ret = units_count(token + n + 1, 1, UINT64_MAX, &r.last, e);
	if (ret)
		return err_wrap(e, ret, "frames '%s'", token);
	if (r.last < r.first)
		return err_set(e, EINVAL,
			       "frames '%s' run backwards; write the smaller number first", token);
	if (c->n_ranges == LOSS_RANGES_MAX)
		return err_set(e, E2BIG, "more than %u frames or ranges of frames",
			       LOSS_RANGES_MAX);
	if ((c->n_ranges & (c->n_ranges - 1)) == 0) { /* full at each power of two */
		size_t room = c->n_ranges ? 2 * c->n_ranges : 1;
		struct loss_range *more = realloc(c->ranges, room * sizeof(*more));

		if (!more)
			return err_set(e, ENOMEM, "no memory for %zu ranges of frames", room);
		c->ranges = more;
	}
	c->ranges[c->n_ranges++] = r;
	return 0;
}

static int compare_ranges(const void *a, const void *b)
{
	const struct loss_range *x = a, *y = b;

	return (x->first > y->first) - (x->first < y->first);
}

/* Sorts ranges and joins those that touch, so that one look at the next one is enough. */
static void join_ranges(struct loss_conf *c)
{
	size_t i, n = 0;

	qsort(c->ranges, c->n_ranges, sizeof(*c->ranges), compare_ranges);
	for (i = 1; i < c->n_ranges; i++) {
		struct loss_range *last = &c->ranges[n], *r = &c->ranges[i];

		if (r->first - 1 > last->last)
			c->ranges[++n] = *r;
		else if (r->last > last->last)
			last->last = r->last;
	}
	c->n_ranges = n + 1;
}

static int parse_ranges(const char *text, struct loss_conf *c, struct err *e)
{
	char token[SPEC_TOKEN_MAX];
	const char *at = text;
	size_t n;
	int ret;

	for (;; at += n + 1) {
		n = strcspn(at, ",");
		if (n >= sizeof(token))
			return err_set(e, EINVAL, "'%.*s…' is no frame number", SPEC_TOKEN_MAX - 1,
				       at);
		memcpy(token, at, n);
		token[n] = '\0';
		ret = add_range(c, token, e);
		if (ret || !at[n])
			return ret;
	}
}

static int list_parse(const char *text, struct loss_conf *c, struct err *e)
{
	int ret;

	if (*text == '@') {
		ret = spec_file(text + 1, add_range, c, e);
		if (!ret && !c->n_ranges)
			return err_set(e, EINVAL, "'%s' has no frame numbers", text + 1);
	} else {
		ret = parse_ranges(text, c, e);
	}
	if (!ret)
		join_ranges(c);
	return ret;
}

static bool list_equal(const struct loss_conf *a, const struct loss_conf *b)
{
	return a->n_ranges == b->n_ranges &&
	       !memcmp(a->ranges, b->ranges, a->n_ranges * sizeof(*a->ranges));
}

static void list_start(struct loss *l)
{
	l->at = 0;
}

static bool list_next(struct loss *l, uint64_t number)
{
	const struct loss_conf *c = l->conf;

	while (l->at < c->n_ranges && c->ranges[l->at].last < number)
		l->at++;
	return l->at < c->n_ranges && c->ranges[l->at].first <= number;
}

static const struct loss_model models[] = {
	{"gilbert:", gilbert_parse, gilbert_equal, gilbert_start, gilbert_next},
	{"markov:", markov_parse, markov_equal, markov_start, markov_next},
	{"list:", list_parse, list_equal, list_start, list_next},
	{"", bernoulli_parse, bernoulli_equal, bernoulli_start, bernoulli_next},
};

/* Finds the model that a specification begins with. One without a name begins with a number. */
static const struct loss_model *find_model(const char *spec)
{
	size_t i;

	for (i = 0; i < sizeof(models) / sizeof(*models); i++)
		if (*models[i].prefix && !strncmp(spec, models[i].prefix, strlen(models[i].prefix)))
			return &models[i];
	return *spec && strchr("0123456789.+-,", *spec) ? &models[i - 1] : NULL;
}

/*
 * Reads what is to be lost: one of SPECS. Probabilities are percentages or fractions
 * of 1; those left out have netem's defaults: R = 1-P, 1-H = 1, 1-K = 0; P31 = 1-P13,
 * P32 = 0, P23 = 1, P14 = 0. Frame numbers begin at 1; a file's are separated by
 * white space or commas, and # begins a comment.
 * @c: zeroed, or an earlier one, which is released
 *
 * Returns 0, or -errno with text in @e and @c as it was.
 */
int loss_parse(const char *spec, struct loss_conf *c, struct err *e)
{
	struct loss_conf v = {0};
	const char *prefix;
	int ret = 0;

	if (strcmp(spec, "none")) {
		v.model = find_model(spec);
		if (!v.model)
			return err_set(e, EINVAL, "'%s' is no model of loss; write %s", spec,
				       SPECS);
		prefix = v.model->prefix;
		ret = v.model->parse(spec + strlen(prefix), &v, e);
		if (ret && *prefix)
			err_wrap(e, ret, "%.*s", (int)strlen(prefix) - 1, prefix);
	}
	if (ret) {
		loss_conf_release(&v);
		return ret;
	}
	loss_conf_release(c);
	*c = v;
	return 0;
}

/* Frees what settings own and zeroes them. */
void loss_conf_release(struct loss_conf *c)
{
	free(c->ranges);
	*c = (struct loss_conf){0};
}

/* Whether both lose the same frames. */
bool loss_conf_equal(const struct loss_conf *a, const struct loss_conf *b)
{
	return a->model == b->model && (!a->model || a->model->equal(a, b));
}

/*
 * Begins a sequence of losses.
 * @c:      stays where it is until loss_rebind(), loss_change() or the end
 * @seed:   see rng_seed(), as for
 * @stream: which nothing else must use
 */
void loss_init(struct loss *l, const struct loss_conf *c, uint64_t seed, uint32_t stream)
{
	*l = (struct loss){0};
	rng_seed(&l->chance.rng, seed, stream);
	loss_change(l, c);
}

/* Goes on exactly as before with @c, which equals what it replaces but lies elsewhere. */
void loss_rebind(struct loss *l, const struct loss_conf *c)
{
	l->conf = c;
}

/* Goes on with the same random numbers and other settings. */
void loss_change(struct loss *l, const struct loss_conf *c)
{
	l->conf = c;
	if (c->model)
		c->model->start(l);
}

/*
 * Returns whether a frame is lost.
 * @number: of the frame, from 1, larger than any before
 */
bool loss_next(struct loss *l, uint64_t number)
{
	return l->conf->model && l->conf->model->next(l, number);
}
