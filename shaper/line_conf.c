// SPDX-License-Identifier: GPL-3.0-or-later
/* line_conf.c - what `longhaul shape` was told: command line and configuration file */
/*
 * Theory of operation
 *
 * A direction's options may come from the file's [line], from its [direction
 * ab], from a preset, from the command line and from --ab there. They are kept
 * as texts and laid over one another in this order, whatever the order they
 * were written in: the file, then the preset of the command line, then its
 * options for both directions, then those of one.
 */
#include "shaper/line_conf.h"

#include "lib/clock.h"
#include "lib/ctlsock.h"
#include "lib/units.h"
#include "shaper/preset.h"
#include "shaper/pump.h"

#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define TABLE_MAX 64

static const char *const spins[] = {"auto", "yes", "no", NULL};

static int call_without(void *target, const char *value, struct err *e)
{
	struct line_conf *c = target;

	if (!strcmp(value, "vnet-hdr"))
		c->without |= LINE_WITHOUT_VNET_HDR;
	else if (!strcmp(value, "ring"))
		c->without |= LINE_WITHOUT_RING;
	else
		return err_set(e, EINVAL, "'%s' is no feature; known: vnet-hdr, ring", value);
	return 0;
}

static int call_seed(void *target, const char *value, struct err *e)
{
	struct line_conf *c = target;

	c->seeded = true;
	return units_count(value, 0, UINT64_MAX / DIRECTIONS - 1, &c->seed, e);
}

#define FIELD(f) offsetof(struct line_conf, f)

/* What concerns the line as a whole. The options of a direction follow between the headings. */
static const struct opt line_table[] = {
	{"One direction, the instance", .type = OPT_HEADING},
	{"preset", 'p', .type = OPT_STRING, .arg = "NAME", .offset = FIELD(preset),
	 .help = "options by name, as of a known link; `longhaul shape presets` lists them"},
	{"ab", 0, .type = OPT_STRING, .flags = OPT_CLI_ONLY, .arg = "'OPTIONS'",
	 .offset = FIELD(words[AB]), .help = "options of the direction IF1 to IF2 alone"},
	{"ba", 0, .type = OPT_STRING, .flags = OPT_CLI_ONLY, .arg = "'OPTIONS'",
	 .offset = FIELD(words[BA]), .help = "…IF2 to IF1"},
	{"config", 'c', .type = OPT_STRING, .flags = OPT_CLI_ONLY, .arg = "FILE",
	 .offset = FIELD(config),
	 .help = "INI file: [line] with these options, [direction ab] and [direction ba]"},
	{"interfaces", 0, .type = OPT_STRING, .flags = OPT_FILE_ONLY, .arg = "IF1 IF2",
	 .offset = FIELD(interfaces[0]), .help = "between which the line is"},
	{"name", 'n', .type = OPT_STRING, .arg = "NAME", .offset = FIELD(name),
	 .help = "of this instance, for `shape show` and `shape set` [IF1-IF2]"},
	{"seed", 0, .type = OPT_CALL, .arg = "N", .call = call_seed,
	 .help = "same seed and same frames: same decisions [random, and shown]"},
	{"log", 0, .type = OPT_STRING, .arg = "FILE", .offset = FIELD(log),
	 .help = "writes a record a frame: number, times, fate, hash (doc/frame-log.md)"},
	{"spin", 0, .type = OPT_CHOICE, .arg = "WHEN", .deflt = "auto", .choices = spins,
	 .offset = FIELD(spin),
	 .help = "waits for a departure without sleeping, which is exact and takes a processor: "
		 "auto (while one is free), yes, no"},
	{"realtime", 0, .type = OPT_BOOL, .arg = "yes|no", .deflt = "yes",
	 .offset = FIELD(realtime),
	 .help = "real-time priority, the lowest: the line stays exact on a busy machine"},
	{"buffer", 0, .type = OPT_SIZE, .arg = "SIZE", .offset = FIELD(buffer), .min = 1 << 20,
	 .max = 1ull << 40,
	 .help = "memory made ready for each direction's frames in flight [rate × delay]; it grows "
		 "if it must"},
	{"duration", 0, .type = OPT_TIME, .arg = "TIME", .offset = FIELD(duration_ns),
	 .min = NS_PER_MS, .max = 1000000 * NS_PER_S, .help = "ends by itself after that"},
	{"json", 0, .type = OPT_FLAG, .flags = OPT_CLI_ONLY, .offset = FIELD(json),
	 .help = "the totals at the end as one JSON object"},
	{"quiet", 0, .type = OPT_FLAG, .flags = OPT_CLI_ONLY, .offset = FIELD(quiet),
	 .help = "no live line on the terminal"},
	{"verbose", 'v', .type = OPT_FLAG, .offset = FIELD(verbose), .help = "says more"},
	{"without", 0, .type = OPT_CALL, .flags = OPT_REPEAT, .arg = "FEATURE",
	 .call = call_without,
	 .help = "does without a feature of the kernel: ring (then each read is a system call), "
		 "vnet-hdr (then all offloads must be off on both interfaces)"},
	{0},
};

static const struct opts_usage usage = {
	.command = "shape",
	.synopsis =
		"IF1 IF2 [options]\n"
		"       longhaul shape set NAME [options of a direction] [--ab '…'] [--ba '…']\n"
		"       longhaul shape show [NAME] [--json]\n"
		"       longhaul shape presets",
	.summary =
		"Joins two Ethernet interfaces by a line of chosen delay, loss and rate: every frame\n"
		"that comes in at one leaves by the other, VLANs, IPv6, ARP and jumbo frames alike.\n"
		"Options act on both directions; --ab and --ba override one. Ctrl-C ends it and prints\n"
		"what became of all frames.",
	.examples =
		"  longhaul shape eth1 eth2 --delay 60ms                     120 ms of round trip\n"
		"  longhaul shape eth1 eth2 --preset stanford-japan --rate 100mbit --loss 0.1%\n"
		"  longhaul shape eth1 eth2 -d 10ms -j 2ms,25% --distribution normal\n"
		"  longhaul shape eth1 eth2 --rate 20mbit --ba '--rate 2mbit --queue 64K'\n"
		"  longhaul shape set eth1-eth2 --delay 100ms                while it runs\n"
		"  longhaul shape show eth1-eth2 --json | jq .directions[0].drops\n",
};

/* A direction's options, then the line's. */
static const struct opt *whole_table(void)
{
	static struct opt table[TABLE_MAX];
	size_t n = 1;

	if (table[0].name)
		return table;
	table[0] = (struct opt){"What is done to frames", .type = OPT_HEADING};
	settings_options(table + n, FIELD(both));
	n += settings_count();
	memcpy(table + n, line_table, sizeof(line_table));
	return table;
}

/* Prints the help of `longhaul shape`. */
void line_conf_help(void)
{
	opts_help(stdout, whole_table(), &usage);
}

static void *open_line(void *ctx, const char *instance, struct err *e)
{
	return ctx;
}

static void *open_direction(void *ctx, const char *instance, struct err *e)
{
	struct line_conf *c = ctx;
	unsigned d;

	for (d = 0; d < DIRECTIONS; d++)
		if (!strcmp(instance, direction_name(d)))
			return &c->file[d];
	err_set(e, EINVAL, "[direction %s]: there are ab and ba", instance);
	return NULL;
}

static int load_file(struct line_conf *c, struct err *e)
{
	struct opt direction[SETTINGS_MAX + 1] = {0};
	const struct opts_section sections[] = {
		{"line", false, whole_table(), open_line},
		{"direction", true, direction, open_direction},
		{0},
	};

	settings_options(direction, 0);
	return opts_file(c->config, sections, c, &c->strings, e);
}

/* Lays a preset's options over what there is. */
static int add_preset(struct line_conf *c, const char *name, struct err *e)
{
	const struct preset *p = preset_find(name, e);
	const char *own[DIRECTIONS];
	int ret = p ? 0 : -ENOENT;
	unsigned d;

	for (d = 0; !ret && d < DIRECTIONS; d++) {
		own[AB] = p->ab;
		own[BA] = p->ba;
		ret = p->both ? settings_parse(&c->settings[d], p->both, e) : 0;
		ret = ret || !own[d] ? ret : settings_parse(&c->settings[d], own[d], e);
	}
	return ret ? err_wrap(e, ret, "--preset %s", name) : 0;
}

/* Lays what was asked for over what there is. */
static int add(struct line_conf *c, unsigned d, const struct settings *over, struct err *e)
{
	int ret = settings_overlay(&c->settings[d], over, e);

	return ret ? ret : settings_overlay(&c->asked[d], over, e);
}

static int add_all(struct line_conf *c, const struct settings *over, struct err *e)
{
	int ret = add(c, AB, over, e);

	return ret ? ret : add(c, BA, over, e);
}

static int add_words(struct settings *s, const char *words, unsigned d, struct err *e)
{
	int ret = words ? settings_parse(s, words, e) : 0;

	return ret ? err_wrap(e, ret, "--%s '%s'", direction_name(d), words) : 0;
}

/* "IF1 IF2" of the file. */
static int split_interfaces(struct line_conf *c, struct err *e)
{
	static char names[2][IFNAMSIZ];
	char more;

	if (sscanf(c->interfaces[0], "%15s %15s %c", names[0], names[1], &more) != 2)
		return err_set(e, EINVAL, "interfaces = %s: two are wanted, as in eth1 eth2",
			       c->interfaces[0]);
	c->interfaces[0] = names[0];
	c->interfaces[1] = names[1];
	return 0;
}

static int check_interfaces(struct line_conf *c, int n, struct err *e)
{
	if (n > 2)
		return err_set(e, EINVAL, "more than two interfaces are given; see --help");
	if (!c->interfaces[0])
		return err_set(e, EINVAL,
			       "two interfaces are needed, as in `longhaul shape eth1 "
			       "eth2 --delay 60ms`");
	if (n == 1)
		return err_set(e, EINVAL,
			       "a second interface is needed beside %s, as in `longhaul "
			       "shape %s eth2`",
			       c->interfaces[0], c->interfaces[0]);
	if (!strcmp(c->interfaces[0], c->interfaces[1]))
		return err_set(e, EINVAL, "interface %s is given twice: a line has two ends",
			       c->interfaces[0]);
	return 0;
}

static int take_file(struct line_conf *c, const char *path, struct err *e)
{
	unsigned d;
	int ret;

	c->config = path;
	ret = load_file(c, e);
	if (!ret && c->interfaces[0])
		ret = split_interfaces(c, e);
	if (!ret && c->preset)
		ret = add_preset(c, c->preset, e);
	ret = ret ? ret : add_all(c, &c->both, e);
	for (d = 0; !ret && d < DIRECTIONS; d++)
		ret = add(c, d, &c->file[d], e);
	c->both = (struct settings){0};
	c->preset = NULL;
	return ret;
}

/*
 * Reads command line and configuration file.
 * @c: filled in, to be released also when this fails; its strings live as long as @argv and it
 * @argc, @argv: argv[0] is the command's name
 * Returns 0, or -errno with a text.
 */
int line_conf_load(struct line_conf *c, int argc, char **argv, struct err *e)
{
	struct line_conf cli = {0};
	unsigned d;
	int rest, ret;

	*c = (struct line_conf){0};
	ret = opts_defaults(line_table, c, e);
	/* The first reading finds the file. */
	ret = ret ? ret : opts_parse(whole_table(), &cli, argc, argv, &rest, e);
	if (!ret && cli.config)
		ret = take_file(c, cli.config, e);
	ret = ret ? ret : opts_parse(whole_table(), c, argc, argv, &rest, e);
	if (ret)
		return ret;
	if (rest < argc) {
		c->interfaces[0] = argv[rest];
		c->interfaces[1] = rest + 1 < argc ? argv[rest + 1] : NULL;
	}
	ret = check_interfaces(c, rest < argc ? argc - rest : 0, e);
	if (!ret && c->preset)
		ret = add_preset(c, c->preset, e);
	ret = ret ? ret : add_all(c, &c->both, e);
	for (d = 0; !ret && d < DIRECTIONS; d++) {
		ret = add_words(&c->settings[d], c->words[d], d, e);
		ret = ret ? ret : add_words(&c->asked[d], c->words[d], d, e);
	}
	if (ret)
		return ret;
	if (!c->seeded && getrandom(&c->seed, sizeof(c->seed), 0) == sizeof(c->seed))
		c->seed &= UINT32_MAX; /* short enough to be typed again */
	if (!c->name) {
		snprintf(c->own_name, sizeof(c->own_name), "%s-%s", c->interfaces[0],
			 c->interfaces[1]);
		c->name = c->own_name;
	}
	return ctl_check_name(c->name, e);
}

/* Frees what a configuration holds, not itself. */
void line_conf_release(struct line_conf *c)
{
	unsigned d;

	for (d = 0; d < DIRECTIONS; d++) {
		settings_release(&c->settings[d]);
		settings_release(&c->asked[d]);
	}
	opts_strings_free(&c->strings);
}

/* What `shape set` reads. */
struct change_cli {
	struct settings both;
	const char *words[DIRECTIONS];
};

static const struct opt change_table[] = {
	{"One direction", .type = OPT_HEADING},
	{"ab", 0, .type = OPT_STRING, .arg = "'OPTIONS'",
	 .offset = offsetof(struct change_cli, words[AB]), .help = "of the direction IF1 to IF2"},
	{"ba", 0, .type = OPT_STRING, .arg = "'OPTIONS'",
	 .offset = offsetof(struct change_cli, words[BA]), .help = "…IF2 to IF1"},
	{0},
};

static const struct opt *whole_change_table(void)
{
	static struct opt table[TABLE_MAX];

	if (table[0].name)
		return table;
	settings_options(table, offsetof(struct change_cli, both));
	memcpy(table + settings_count(), change_table, sizeof(change_table));
	return table;
}

/* Prints the help of `longhaul shape set`. */
void line_change_help(void)
{
	static const struct opts_usage change_usage = {
		.command = "shape set",
		.synopsis = "NAME [options]",
		.summary =
			"Changes a running line: what is named changes, the rest stays. Frames in flight\n"
			"keep the delay they were given; those in the queue go at the new rate.",
		.examples = "  longhaul shape set eth1-eth2 --delay 100ms --loss none\n"
			    "  longhaul shape set eth1-eth2 --ba '--rate 2mbit'\n",
	};

	opts_help(stdout, whole_change_table(), &change_usage);
}

/* Each value by itself; whether they go together with what is in force, only the line can say. */
static int check_values(const struct settings *s, unsigned d, struct err *e)
{
	struct direction_conf c;
	int ret = settings_mean(s, &(struct settings){0}, NULL, direction_name(d), &c, e);

	if (!ret)
		settings_meant(&c);
	return ret;
}

/*
 * Reads the options of a change.
 * @ch:   to be released also when this fails
 * @rest: index of the first argument that is no option
 * Returns 0, or -errno with a text.
 */
int line_change_parse(struct line_change *ch, int argc, char **argv, int *rest, struct err *e)
{
	struct change_cli cli = {0};
	unsigned d;
	int ret;

	*ch = (struct line_change){0};
	ret = opts_parse(whole_change_table(), &cli, argc, argv, rest, e);
	for (d = 0; !ret && d < DIRECTIONS; d++) {
		ret = settings_overlay(&ch->asked[d], &cli.both, e);
		ret = ret ? ret : add_words(&ch->asked[d], cli.words[d], d, e);
		ret = ret ? ret : check_values(&ch->asked[d], d, e);
	}
	return ret;
}

/* Frees a change. */
void line_change_release(struct line_change *ch)
{
	settings_release(&ch->asked[AB]);
	settings_release(&ch->asked[BA]);
}
