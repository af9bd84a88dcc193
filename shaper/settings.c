// SPDX-License-Identifier: GPL-3.0-or-later
/* settings.c - what a direction was asked to do: texts by option, and what they mean */
#include "shaper/settings.h"

#include "lib/clock.h"

#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 64

static int call_jitter(void *target, const char *value, struct err *e)
{
	return delay_parse_jitter(value, &((struct direction_conf *)target)->impair.delay, e);
}

static int call_distribution(void *target, const char *value, struct err *e)
{
	return delay_parse_distribution(value, &((struct direction_conf *)target)->impair.delay, e);
}

static int call_loss(void *target, const char *value, struct err *e)
{
	return loss_parse(value, &((struct direction_conf *)target)->impair.loss, e);
}

static int call_duplicate(void *target, const char *value, struct err *e)
{
	return chance_parse(value, &((struct direction_conf *)target)->impair.duplicate, e);
}

static int call_corrupt(void *target, const char *value, struct err *e)
{
	return corrupt_parse(value, &((struct direction_conf *)target)->impair.corrupt, e);
}

static int call_reorder(void *target, const char *value, struct err *e)
{
	return chance_parse(value, &((struct direction_conf *)target)->impair.reorder, e);
}

static int call_rate(void *target, const char *value, struct err *e)
{
	return rate_parse(value, &((struct direction_conf *)target)->rate, e);
}

static int call_queue(void *target, const char *value, struct err *e)
{
	return queue_parse_limit(value, &((struct direction_conf *)target)->queue, e);
}

#define FIELD(f) offsetof(struct direction_conf, f)

const struct opt settings_table[] = {
	{"delay", 'd', .type = OPT_TIME, .arg = "TIME", .deflt = "0ms",
	 .offset = FIELD(impair.delay.base_ns), .max = DELAY_BASE_MAX_NS,
	 .help = "of each frame, one way: 60ms both ways is a round trip of 120 ms; up to 60s"},
	{"jitter", 'j', .type = OPT_CALL, .arg = "TIME[,CORRELATION]", .deflt = "0ms",
	 .call = call_jitter,
	 .help = "how much the delay varies; with a correlation of each delay with the next, as "
		 "25%"},
	{"distribution", 0, .type = OPT_CALL, .arg = "NAME|FILE", .deflt = "uniform",
	 .call = call_distribution,
	 .help = "of the jitter: uniform (plus or minus), normal, pareto, paretonormal (standard "
		 "deviation), exponential (mean, added), or a netem table FILE.dist"},
	{"reorder-by-jitter", 0, .type = OPT_BOOL, .arg = "yes|no", .deflt = "no",
	 .offset = FIELD(reorder_by_jitter),
	 .help = "yes: a frame may overtake one that got more delay; no: it waits behind it, as on "
		 "a line"},
	{"reorder", 0, .type = OPT_CALL, .arg = "P[,CORRELATION]", .deflt = "none",
	 .call = call_reorder, .help = "so many frames skip the delay and overtake"},
	{"reorder-gap", 0, .type = OPT_COUNT, .arg = "N", .deflt = "1",
	 .offset = FIELD(impair.reorder_gap), .min = 1, .max = REORDER_GAP_MAX,
	 .help = "only every Nth frame may be reordered"},
	{"loss", 'l', .type = OPT_CALL, .arg = "SPEC", .deflt = "none", .call = call_loss,
	 .help = "P[,CORRELATION] · gilbert:P,R[,1-H[,1-K]] · markov:P13[,P31[,P32[,P23[,P14]]]] · "
		 "list:1,5,10-20 · list:@FILE (exactly these frames) · none"},
	{"duplicate", 0, .type = OPT_CALL, .arg = "P[,CORRELATION]", .deflt = "none",
	 .call = call_duplicate, .help = "so many frames come twice"},
	{"corrupt", 0, .type = OPT_CALL, .arg = "SPEC", .deflt = "none", .call = call_corrupt,
	 .help = "P[,BITS]: in so many frames so many bits are flipped [1] · ber:RATE: each bit is, "
		 "with that probability · none"},
	{"frame-check", 0, .type = OPT_BOOL, .arg = "yes|no", .deflt = "no",
	 .offset = FIELD(frame_check),
	 .help = "yes: corrupted frames are dropped, as a NIC would that checks the FCS"},
	{"rate", 'r', .type = OPT_CALL, .arg = "RATE|trace:FILE", .deflt = "none",
	 .call = call_rate,
	 .help = "of the bottleneck, as 100mbit, or opportunities of a Mahimahi trace file"},
	{"overhead", 0, .type = OPT_CHOICE, .arg = "KIND", .deflt = "none",
	 .offset = FIELD(rate.overhead), .choices = rate_overheads,
	 .help = "what a frame costs at that rate beyond its bytes: none, ethernet (padding, "
		 "preamble, FCS, gap: 24 bytes), atm (AAL5 in cells)"},
	{"queue", 'q', .type = OPT_CALL, .arg = "LIMIT", .deflt = QUEUE_DEFAULT_LIMIT,
	 .call = call_queue,
	 .help = "of the queue in front of the bottleneck: 250ms, 64K, 100frames, several joined "
		 "by commas, or unlimited"},
	{"queue-discipline", 0, .type = OPT_CHOICE, .arg = "NAME", .deflt = "tail",
	 .offset = FIELD(queue.discipline), .choices = queue_disciplines,
	 .help = "what is dropped: tail (the newcomer), head (the oldest), codel (RFC 8289)"},
	{"codel-target", 0, .type = OPT_TIME, .arg = "TIME", .deflt = "5ms",
	 .offset = FIELD(queue.codel_target_ns), .min = NS_PER_US, .max = NS_PER_S,
	 .help = "queueing time that CoDel lets stand"},
	{"codel-interval", 0, .type = OPT_TIME, .arg = "TIME", .deflt = "100ms",
	 .offset = FIELD(queue.codel_interval_ns), .min = NS_PER_US, .max = 10 * NS_PER_S,
	 .help = "…for so long"},
	{0},
};

/* How many options a direction has. */
size_t settings_count(void)
{
	size_t n;

	for (n = 0; settings_table[n].name; n++)
		;
	return n;
}

/*
 * The options as texts, for a table that only collects them.
 * @to:     gets settings_count() entries
 * @offset: of the struct settings in that table's target
 */
void settings_options(struct opt *to, size_t offset)
{
	size_t i;

	for (i = 0; i < settings_count(); i++) {
		to[i] = settings_table[i];
		to[i].type = OPT_STRING;
		to[i].offset = offset + offsetof(struct settings, text) + i * sizeof(char *);
	}
}

/* Frees the texts. */
void settings_release(struct settings *s)
{
	size_t i;

	for (i = 0; i < SETTINGS_MAX; i++)
		free(s->text[i]);
	*s = (struct settings){0};
}

/*
 * Lays settings over others: what is given in @over counts.
 * @over: its texts are copied
 * Returns 0 or -ENOMEM with a text.
 */
int settings_overlay(struct settings *s, const struct settings *over, struct err *e)
{
	size_t i;
	char *copy;

	for (i = 0; i < SETTINGS_MAX; i++) {
		if (!over->text[i])
			continue;
		copy = strdup(over->text[i]);
		if (!copy)
			return err_set(e, ENOMEM, "out of memory");
		free(s->text[i]);
		s->text[i] = copy;
	}
	return 0;
}

/*
 * Reads a list of options, as --ab and presets have it, over settings.
 * @words: "--delay 60ms --loss 1%"
 * Returns 0 or -errno with a text.
 */
int settings_parse(struct settings *s, const char *words, struct err *e)
{
	struct opt table[SETTINGS_MAX + 1] = {0};
	struct settings given = {0};
	char *copy = strdup(words), *save = NULL, *word, *argv[WORDS_MAX + 1] = {(char *)"options"};
	int argc = 1, rest, ret;

	if (!copy)
		return err_set(e, ENOMEM, "out of memory");
	for (word = strtok_r(copy, " \t\n", &save); word; word = strtok_r(NULL, " \t\n", &save)) {
		if (argc == WORDS_MAX) {
			ret = err_set(e, E2BIG, "more than %u words", WORDS_MAX - 1);
			goto out;
		}
		argv[argc++] = word;
	}
	settings_options(table, 0);
	ret = opts_parse(table, &given, argc, argv, &rest, e);
	if (!ret && rest < argc)
		ret = err_set(e, EINVAL,
			      "'%s' is not an option; write it like "
			      "'--delay 60ms --loss 1%%'",
			      argv[rest]);
	ret = ret ? ret : settings_overlay(s, &given, e);
out:
	free(copy);
	return ret;
}

static bool given(const struct settings *s, const char *name)
{
	size_t i;

	for (i = 0; settings_table[i].name; i++)
		if (!strcmp(settings_table[i].name, name))
			return s->text[i] && (!settings_table[i].deflt ||
					      strcmp(s->text[i], settings_table[i].deflt));
	return false;
}

/* Options that mean nothing without another one: asked for without it they are a mistake. */
static int check_together(const struct settings *asked, const struct direction_conf *c,
			  struct err *e)
{
	bool rate = c->rate.kind != RATE_NONE, jitter = c->impair.delay.jitter_ns > 0;
	bool codel = c->queue.discipline == QUEUE_CODEL, reorder = c->impair.reorder.p > 0;
	const struct {
		const char *option, *needs;
		bool there;
	} rules[] = {
		{"distribution", "--jitter", jitter},
		{"reorder-by-jitter", "--jitter", jitter},
		{"reorder", "--delay, which a frame can skip,",
		 !reorder || c->impair.delay.base_ns || jitter},
		{"reorder-gap", "--reorder", reorder},
		{"frame-check", "--corrupt", !corrupt_conf_is_none(&c->impair.corrupt)},
		{"overhead", "--rate", rate},
		{"queue", "--rate", rate},
		{"queue-discipline", "--rate", rate},
		{"codel-target", "--queue-discipline codel", codel},
		{"codel-interval", "--queue-discipline codel", codel},
	};
	size_t i;

	for (i = 0; i < sizeof(rules) / sizeof(*rules); i++)
		if (given(asked, rules[i].option) && !rules[i].there)
			return err_set(e, EINVAL, "--%s needs %s besides", rules[i].option,
				       rules[i].needs);
	if (codel && c->queue.codel_target_ns >= c->queue.codel_interval_ns)
		return err_set(e, EINVAL,
			       "--codel-target must be shorter than --codel-interval (RFC 8289: a "
			       "twentieth of it)");
	return 0;
}

/* Begins with what is in force, or with defaults. */
static int begin(struct direction_conf *c, const struct direction_conf *base, struct err *e)
{
	int ret;

	if (!base) {
		*c = (struct direction_conf){0};
		return opts_defaults(settings_table, c, e);
	}
	*c = *base;
	rate_copy(&c->rate, &base->rate);
	ret = impair_conf_copy(&c->impair, &base->impair, e);
	if (ret)
		rate_release(&c->rate);
	return ret;
}

/*
 * Works out what settings mean.
 * @s:     the options to be read. With @base only those that are new: a file that was named before
 *         is not read again
 * @asked: those that were asked for just now; of them none may be without effect
 * @base:  what is in force; NULL: nothing yet
 * @what:  the direction, for messages
 * @c:     to be freed with settings_meant() afterwards, not if this fails
 * Returns 0, or -errno with a text that names option and value.
 */
int settings_mean(const struct settings *s, const struct settings *asked,
		  const struct direction_conf *base, const char *what, struct direction_conf *c,
		  struct err *e)
{
	size_t i;
	int ret = begin(c, base, e);

	if (ret)
		return ret;
	for (i = 0; !ret && settings_table[i].name; i++)
		if (s->text[i])
			ret = opts_value(&settings_table[i], c, s->text[i], e);
	ret = ret ? ret : check_together(asked, c, e);
	if (!ret)
		return 0;
	settings_meant(c);
	return err_wrap(e, ret, "direction %s", what);
}

/* Frees what settings_mean() has made of settings. */
void settings_meant(struct direction_conf *c)
{
	impair_conf_release(&c->impair);
	rate_release(&c->rate);
	*c = (struct direction_conf){0};
}

/* All options with what they are now, for `show`. Returns a new reference. */
json_t *settings_json(const struct settings *s)
{
	json_t *o = json_object();
	char key[OPTS_KEY_MAX];
	size_t i;

	for (i = 0; settings_table[i].name; i++) {
		opts_key(&settings_table[i], key);
		if (s->text[i] || settings_table[i].deflt)
			json_object_set_new(
				o, key,
				json_string(s->text[i] ? s->text[i] : settings_table[i].deflt));
	}
	return o;
}
