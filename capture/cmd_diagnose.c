// SPDX-License-Identifier: GPL-3.0-or-later
/* cmd_diagnose.c - `longhaul diagnose`: why is this transfer slow */
#include "capture/commands.h"

#include "capture/report.h"
#include "capture/source.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/opts.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define LIVE_SNAPLEN 192 /* the longest headers with options, in a tunnel and behind VLAN tags */
#define POLL_MS	     10
#define AT_ONCE	     64 /* packets of a file */
#define EVERY_NS     (5 * NS_PER_S)

struct options {
	bool json, csv, verbose;
	const char *xplot, *interface, *tunnel, *port, *peer, *filter;
	uint64_t flows, max_flows, duration_ns, every_ns;
};

static const struct opt table[] = {
	{"Where packets come from", .type = OPT_HEADING},
	{"interface", 'i', .type = OPT_STRING, .arg = "IF",
	 .offset = offsetof(struct options, interface),
	 .help = "capture on this interface (any: all of them) until interrupted"},
	{"tunnel", 0, .type = OPT_STRING, .arg = "NAME", .offset = offsetof(struct options, tunnel),
	 .help = "look inside a running tunnel, at frames as they are outside it"},
	{"port", 0, .type = OPT_STRING, .arg = "IF", .offset = offsetof(struct options, port),
	 .help = "with --tunnel: at this border port only"},
	{"peer", 0, .type = OPT_STRING, .arg = "NAME", .offset = offsetof(struct options, peer),
	 .help = "with --tunnel: at what goes to this peer and comes from it only"},
	{"duration", 0, .type = OPT_TIME, .arg = "TIME",
	 .offset = offsetof(struct options, duration_ns), .min = NS_PER_MS,
	 .max = 365ull * 86400 * NS_PER_S, .help = "with -i or --tunnel: end after so long"},
	{"every", 0, .type = OPT_TIME, .arg = "TIME", .offset = offsetof(struct options, every_ns),
	 .min = 100 * NS_PER_MS, .max = 86400ull * NS_PER_S,
	 .help = "with -i or --tunnel: tell so often, while it goes on, what moves and what limits it "
		 "now [5s; with --json and --csv only at the end]"},
	{"filter", 0, .type = OPT_STRING, .arg = "EXPR", .offset = offsetof(struct options, filter),
	 .help = "look only at frames that match, pcap-filter(7); inside tunnels, at the frames "
		 "inside"},
	{"What is told", .type = OPT_HEADING},
	{"flows", 'n', .type = OPT_COUNT, .arg = "N", .deflt = "10",
	 .offset = offsetof(struct options, flows), .min = 0, .max = DIAGNOSIS_FLOWS_MAX,
	 .help = "for people: show the N flows with the most data; 0: all"},
	{"verbose", 'v', .type = OPT_FLAG, .offset = offsetof(struct options, verbose),
	 .help = "each interval with what limited it, round trips, windows"},
	{"json", 0, .type = OPT_FLAG, .offset = offsetof(struct options, json),
	 .help = "one JSON object a capture (doc/diagnose.md), with all flows"},
	{"csv", 0, .type = OPT_FLAG, .offset = offsetof(struct options, csv),
	 .help = "a table, one flow a line, with all flows"},
	{"xplot", 0, .type = OPT_STRING, .arg = "DIR", .offset = offsetof(struct options, xplot),
	 .help = "also draw time-sequence graphs of the first 64 flows into this directory, for xplot"},
	{"max-flows", 0, .type = OPT_COUNT, .arg = "N", .deflt = "1000000",
	 .offset = offsetof(struct options, max_flows), .min = 1, .max = DIAGNOSIS_FLOWS_MAX,
	 .help = "flows kept at a time, 1 KB each; the longest unused goes first, and is counted"},
	{0},
};

static const struct opts_usage usage = {
	.command = "diagnose",
	.synopsis = "[options] FILE… | -i IF | --tunnel NAME",
	.summary =
		"Tells what limits each TCP flow of a capture, at which times, and what to do about it:\n"
		"the receive window, the send buffer, the application, losses, the path's rate, a closed\n"
		"window, delayed ACKs, an MTU black hole. Reads pcap and pcapng files (- is standard input),\n"
		"also of packets in protocol 245 (capsulator), VXLAN and GRE. Files that follow each other\n"
		"in time are parts of one capture; others are told of one by one. Capture whole headers\n"
		"(96 bytes or more) of both directions, best at the sender and from the handshake on.",
	.examples =
		"  longhaul diagnose transfer.pcapng\n"
		"  longhaul diagnose -v --filter 'host 10.0.0.7 and port 902' vmkernel-*.pcap\n"
		"  longhaul diagnose -i eth1 --duration 30s\n"
		"  longhaul diagnose --tunnel nf2c0 --port nf2c1\n"
		"  tcpdump -w - -s 128 tcp | longhaul diagnose --json - | jq '.flows[].limit'\n",
};

/* One run of the command. */
struct run {
	struct options o;
	struct filter *filter;
	struct diagnosis *d;
	struct xplot *xplot;
	json_t *evicted;	/* JSON of flows that had to go; NULL without --json */
	const char *name;	/* of the capture that is being read */
	struct capfile **files; /* that were read; what they have told is kept */
	size_t n_files;
	size_t failed; /* files that could not be read at all */
	bool header;   /* of the CSV was printed */
};

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
	interrupted = 1;
}

/* Prints the help of `longhaul diagnose`. */
void diagnose_help(void)
{
	opts_help(stdout, table, &usage);
}

static void csv(struct run *r, const struct flow *f)
{
	if (!r->header)
		report_csv_header(stdout);
	r->header = true;
	if (f)
		report_csv_flow(stdout, r->name, f);
}

static void flow_evicted(void *ctx, const struct flow *f)
{
	struct run *r = ctx;

	if (r->evicted)
		json_array_append_new(r->evicted, report_json_flow(f));
	else if (r->o.csv)
		csv(r, f);
}

static void segment_passes(void *ctx, const struct flow *f, const struct segment *s)
{
	struct run *r = ctx;

	xplot_segment(r->xplot, f, s);
}

static int begin(struct run *r, struct err *e)
{
	struct diagnosis_hooks hooks = {
		.segment = r->xplot ? segment_passes : NULL, .evicted = flow_evicted, .ctx = r};
	uint64_t seed = 0;

	if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) < 0)
		seed = clock_ns();
	r->evicted = r->o.json ? json_array() : NULL;
	r->d = diagnosis_new(r->o.max_flows, seed, &hooks, e);
	return r->d ? 0 : -ENOMEM;
}

/* Those that the filter does not want are overwritten. */
static void take(struct run *r, struct cap_packet *p, size_t n, struct cap_ahead ahead)
{
	size_t i, kept = 0;

	for (i = 0; r->filter && i < n; i++)
		if (source_wanted(r->filter, &p[i]))
			p[kept++] = p[i];
	diagnosis_packets(r->d, p, r->filter ? kept : n, ahead);
}

/* Flow by flow, so that what is written of a million of them is never held at once. */
static void tell_json(struct run *r, const struct report_source *s, const struct flow **flows,
		      size_t n)
{
	size_t i, evicted = json_array_size(r->evicted);
	bool whole;

	fputs("{\"version\":1,\"source\":", stdout);
	whole = report_json_write(stdout, report_json_source(s, diagnosis_totals(r->d)));
	fputs(",\"flows\":[", stdout);
	for (i = 0; i < evicted + n && whole; i++) {
		if (i)
			putchar(',');
		whole = report_json_write(stdout,
					  i < evicted ? json_incref(json_array_get(r->evicted, i))
						      : report_json_flow(flows[i - evicted]));
	}
	fputs("]}\n", stdout);
	json_decref(r->evicted);
	r->evicted = NULL;
	if (!whole) {
		log_error("%s: out of memory: not all flows were told", r->name);
		r->failed++;
	}
}

static void tell_people(struct run *r, const struct report_source *s, const struct flow **flows,
			size_t n)
{
	size_t i, shown = r->o.flows && r->o.flows < n ? r->o.flows : n;

	report_text_source(stdout, s, diagnosis_totals(r->d), shown, n);
	for (i = 0; i < shown; i++)
		report_text_flow(stdout, flows[i], r->o.verbose);
	if (!n)
		printf("No TCP was found.\n");
}

/* Says what was found in what was read, and is ready for another capture. */
static void tell(struct run *r, const char *kind, uint64_t live_drops)
{
	struct report_source s = {.name = r->name,
				  .kind = kind,
				  .files = r->files,
				  .n_files = r->n_files,
				  .live_drops = live_drops};
	const struct flow **flows;
	size_t i, n;

	if (!r->d)
		return;
	diagnosis_end(r->d);
	flows = diagnosis_flows(r->d, &n);
	if (r->o.json)
		tell_json(r, &s, flows, n);
	else if (!r->o.csv)
		tell_people(r, &s, flows, n);
	if (r->o.csv)
		csv(r, NULL);
	for (i = 0; r->o.csv && i < n; i++)
		csv(r, flows[i]);
	free(flows);
	diagnosis_free(r->d);
	r->d = NULL;
	while (r->n_files)
		capfile_close(r->files[--r->n_files]);
}

static ssize_t read_file(void *ctx, void *buf, size_t len)
{
	ssize_t n;

	do
		n = read((int)(intptr_t)ctx, buf, len);
	while (n < 0 && errno == EINTR && !interrupted);
	return n;
}

/* Opens a file. Returns it, with its first packet if it has one; NULL with a text. */
static struct capfile *open_file(int *fd, const char *path, struct cap_packet *p, bool *any,
				 struct err *e)
{
	struct capfile *f;

	*fd = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC) : dup(STDIN_FILENO);
	if (*fd < 0) {
		err_set(e, errno, "cannot be opened: %s", strerror(errno));
		return NULL;
	}
	f = capfile_open_file(*fd, read_file, (void *)(intptr_t)*fd, e);
	if (!f) {
		close(*fd);
		return NULL;
	}
	*any = capfile_next(f, p) > 0;
	return f;
}

static void read_packets(struct run *r, struct capfile *f)
{
	struct cap_packet p[AT_ONCE];
	size_t n;

	while (!interrupted && (n = capfile_batch(f, p, AT_ONCE)))
		take(r, p, n, capfile_ahead(f));
}

/* Reads one file, as a part of what was read before if it goes on where that ended. */
static int read_one(struct run *r, const char *path, struct err *e)
{
	struct cap_packet p;
	struct capfile *f;
	bool any;
	int fd;

	f = open_file(&fd, path, &p, &any, e);
	if (!f) {
		log_error("%s: %s", path, e->text);
		r->failed++;
		return 0;
	}
	if (r->d && any && p.time_ns < diagnosis_totals(r->d)->last_ns)
		tell(r, capfile_kind(r->files[0]), 0);
	if (!r->d) {
		r->name = strcmp(path, "-") ? path : "standard input";
		if (begin(r, e)) {
			capfile_close(f);
			close(fd);
			return -ENOMEM;
		}
	}
	r->files[r->n_files++] = f;
	if (any)
		take(r, &p, 1, (struct cap_ahead){0});
	read_packets(r, f);
	/* There may be thousands of files. */
	capfile_done(f);
	close(fd);
	return 0;
}

static int read_files(struct run *r, char **paths, size_t n, struct err *e)
{
	int ret = 0;
	size_t i;

	r->files = calloc(n, sizeof(struct capfile *));
	if (!r->files)
		ret = err_set(e, ENOMEM, "out of memory");
	for (i = 0; i < n && !ret && !interrupted; i++)
		ret = read_one(r, paths[i], e);
	if (r->d && r->n_files)
		tell(r, capfile_kind(r->files[0]), 0);
	free(r->files);
	r->files = NULL;
	return ret;
}

/* What has been told of a live capture already. */
struct told {
	uint64_t at_ns; /* by our clock */
	uint64_t packets, drops;
};

/* Says what moves now. */
static void tell_now(struct run *r, struct source *s, struct told *t, uint64_t now)
{
	const struct diagnosis_totals *all = diagnosis_totals(r->d);
	uint64_t drops = source_drops(s);
	struct report_live l = {.name = r->name,
				.span_ns = now - t->at_ns,
				.packets = all->packets - t->packets,
				.drops = drops - t->drops,
				.shown = r->o.flows ? r->o.flows : SIZE_MAX};
	struct progress *moved = diagnosis_progress(r->d, &l.n_moved);

	l.time_ns = clock_real_ns();
	l.moved = moved;
	if (r->o.json) {
		report_json_write(stdout, report_live_json(&l));
		putchar('\n');
		fflush(stdout);
	} else {
		report_live_text(stdout, &l);
	}
	free(moved);
	*t = (struct told){now, all->packets, drops};
}

static int read_live(struct run *r, struct err *e)
{
	const struct source_options o = {.interface = r->o.interface,
					 .tunnel = r->o.tunnel,
					 .port = r->o.port,
					 .peer = r->o.peer,
					 .snaplen = LIVE_SNAPLEN};
	struct source *s = source_open(&o, e);
	uint64_t every = r->o.every_ns || r->o.json || r->o.csv ? r->o.every_ns : EVERY_NS;
	struct told told = {.at_ns = clock_ns()};
	struct cap_packet p;
	int ret = 0;

	if (!s)
		return -EIO;
	s->until_ns = r->o.duration_ns ? clock_ns() + r->o.duration_ns : 0;
	r->name = r->o.tunnel ? r->o.tunnel : r->o.interface;
	ret = begin(r, e);
	if (!ret)
		log_info("looking at %s%s", r->name,
			 r->o.duration_ns ? "" : "; interrupt (Ctrl-C) to be told of all of it");
	while (!ret && source_goes_on(s, interrupted)) {
		int got = source_next(s, &p, e);
		uint64_t now = every ? clock_ns() : 0;

		if (every && now - told.at_ns >= every)
			tell_now(r, s, &told, now);

		if (got > 0)
			take(r, &p, 1, (struct cap_ahead){0});
		else if (got == 0)
			poll(NULL, 0, POLL_MS);
		else
			ret = got;
	}
	if (ret)
		log_error("%s", e->text);
	tell(r, "live", source_drops(s));
	source_close(s);
	return ret;
}

static int check_options(const struct options *o, int n_files, struct err *e)
{
	if (o->json && o->csv)
		return err_set(e, EINVAL, "--json and --csv: choose one");
	if (!!o->interface + !!o->tunnel + (n_files > 0) > 1)
		return err_set(e, EINVAL, "-i, --tunnel and files: choose one");
	if (!o->interface && !o->tunnel && !n_files)
		return err_set(e, EINVAL,
			       "no capture: name a file, or an interface by -i; see --help");
	if (o->duration_ns && n_files)
		return err_set(e, EINVAL, "--duration is for live captures (-i, --tunnel)");
	if (o->every_ns && n_files)
		return err_set(e, EINVAL, "--every is for live captures (-i, --tunnel)");
	if (o->every_ns && o->csv)
		return err_set(e, EINVAL, "--every and --csv: choose one");
	if ((o->port || o->peer) && !o->tunnel)
		return err_set(e, EINVAL, "--port and --peer go with --tunnel");
	if (o->port && o->peer)
		return err_set(e, EINVAL, "--port and --peer: choose one");
	return 0;
}

static void catch_signals(void)
{
	struct sigaction a = {.sa_handler = on_signal};

	sigaction(SIGINT, &a, NULL);
	sigaction(SIGTERM, &a, NULL);
}

/* Runs `longhaul diagnose`. */
int cmd_diagnose(int argc, char **argv)
{
	struct run r = {0};
	struct err e = {""};
	int rest = 0, ret;

	log_setup("longhaul diagnose", LOG_LEVEL_INFO);
	ret = opts_defaults(table, &r.o, &e);
	ret = ret ? ret : opts_parse(table, &r.o, argc, argv, &rest, &e);
	ret = ret ? ret : check_options(&r.o, argc - rest, &e);
	if (!ret && r.o.filter) {
		r.filter = filter_compile(r.o.filter, &e);
		ret = r.filter ? 0 : err_wrap(&e, -EINVAL, "--filter");
	}
	if (!ret && r.o.xplot) {
		r.xplot = xplot_new(r.o.xplot, &e);
		ret = r.xplot ? 0 : -EINVAL;
	}
	if (ret) {
		log_error("%s", e.text);
		filter_free(r.filter);
		return 2;
	}
	catch_signals();
	if (r.o.interface || r.o.tunnel)
		ret = read_live(&r, &e);
	else
		ret = read_files(&r, argv + rest, (size_t)(argc - rest), &e);
	if (ret && !r.name)
		log_error("%s", e.text);
	if (xplot_free(r.xplot, &e)) {
		log_error("%s", e.text);
		ret = -EIO;
	}
	filter_free(r.filter);
	json_decref(r.evicted);
	if (fflush(stdout) || ferror(stdout)) {
		log_error("cannot write: %s", strerror(errno));
		return 1;
	}
	return ret || r.failed ? 1 : 0;
}
