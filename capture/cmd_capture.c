// SPDX-License-Identifier: GPL-3.0-or-later
/* cmd_capture.c - `longhaul capture`: record frames of an interface, or inside a tunnel */
#include "capture/commands.h"

#include "capture/source.h"
#include "lib/clock.h"
#include "lib/filter.h"
#include "lib/log.h"
#include "lib/opts.h"
#include "lib/packet.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define POLL_MS	    10
#define FLUSH_NS    NS_PER_S /* how far a file that is being written may lag behind */
#define ROTATE_MIN  4096     /* bytes */
#define PATH_LENGTH 4096

struct options {
	struct source_options source;
	const char *write, *filter;
	int frob;
	uint64_t snaplen, rotate_size, rotate_ns, rotate_count, files, count, duration_ns;
};

static const char *const stages[] = {"before", "after", NULL};

static const struct opt table[] = {
	{"Where frames come from", .type = OPT_HEADING},
	{"interface", 'i', .type = OPT_STRING, .arg = "IF",
	 .offset = offsetof(struct options, source.interface),
	 .help = "an interface; any: all of them"},
	{"tunnel", 0, .type = OPT_STRING, .arg = "NAME",
	 .offset = offsetof(struct options, source.tunnel),
	 .help = "inside a running tunnel: plain frames at its ports and peers, both ways labelled"},
	{"port", 0, .type = OPT_STRING, .arg = "IF",
	 .offset = offsetof(struct options, source.port),
	 .help = "with --tunnel: this border port only"},
	{"peer", 0, .type = OPT_STRING, .arg = "NAME",
	 .offset = offsetof(struct options, source.peer),
	 .help = "with --tunnel: what goes to this peer and comes from it only"},
	{"frob", 0, .type = OPT_CHOICE, .arg = "WHEN", .deflt = "before",
	 .offset = offsetof(struct options, frob), .choices = stages,
	 .help = "with --tunnel: show what comes from peers before or after handshakes are rewritten"},
	{"What is kept", .type = OPT_HEADING},
	{"filter", 0, .type = OPT_STRING, .arg = "EXPR", .offset = offsetof(struct options, filter),
	 .help = "only frames that match, pcap-filter(7); of packets in protocol 245, VXLAN and GRE "
		 "the frames inside are asked about"},
	{"snaplen", 's', .type = OPT_COUNT, .arg = "BYTES", .deflt = "192",
	 .offset = offsetof(struct options, snaplen), .min = 64, .max = FRAME_MAX,
	 .help = "of each frame; its true length is kept beside. 192 holds all headers"},
	{"count", 'c', .type = OPT_COUNT, .arg = "N", .offset = offsetof(struct options, count),
	 .min = 1, .max = UINT64_MAX, .help = "end after so many frames"},
	{"duration", 0, .type = OPT_TIME, .arg = "TIME",
	 .offset = offsetof(struct options, duration_ns), .min = NS_PER_MS,
	 .max = 365ull * 86400 * NS_PER_S, .help = "end after so long"},
	{"Files", .type = OPT_HEADING},
	{"write", 'w', .type = OPT_STRING, .arg = "FILE", .offset = offsetof(struct options, write),
	 .help = "pcapng; - is standard output"},
	{"rotate-size", 0, .type = OPT_SIZE, .arg = "SIZE",
	 .offset = offsetof(struct options, rotate_size), .min = ROTATE_MIN, .max = 1ull << 50,
	 .help = "begin another file when this one has reached so many bytes: FILE-00001 and so on"},
	{"rotate-time", 0, .type = OPT_TIME, .arg = "TIME",
	 .offset = offsetof(struct options, rotate_ns), .min = NS_PER_MS,
	 .max = 365ull * 86400 * NS_PER_S, .help = "…or when it is so old"},
	{"rotate-count", 0, .type = OPT_COUNT, .arg = "N",
	 .offset = offsetof(struct options, rotate_count), .min = 1, .max = UINT64_MAX,
	 .help = "…or when it has so many frames"},
	{"files", 0, .type = OPT_COUNT, .arg = "N", .offset = offsetof(struct options, files),
	 .min = 2, .max = 99999, .help = "keep only the newest N files"},
	{0},
};

static const struct opts_usage usage = {
	.command = "capture",
	.synopsis = "-i IF | --tunnel NAME -w FILE [options]",
	.summary =
		"Records frames with their interface, direction and true length as pcapng, until interrupted.\n"
		"Inside a tunnel nothing waits for the recording: frames that it does not keep up with are\n"
		"dropped from it and counted, in the file and at the end.",
	.examples =
		"  longhaul capture -i eth1 -w vmkernel.pcapng --filter 'tcp port 902'\n"
		"  longhaul capture --tunnel nf2c0 --port nf2c1 -w inside.pcapng\n"
		"  longhaul capture -i nf2c0 --filter icmp -w -          ICMP inside protocol 245\n"
		"  longhaul capture --tunnel nf2c0 -w day.pcapng --rotate-time 1h --files 24\n",
};

/* What is being written. */
struct writer {
	const struct options *o;
	struct source *source;
	FILE *out;
	char path[PATH_LENGTH];
	uint64_t number; /* of the file, from 1 */
	uint64_t bytes, frames, begun_ns, flushed_ns;
	uint64_t received[SOURCE_INTERFACES_MAX]; /* packets written */
	uint64_t total, last_ns;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
	interrupted = 1;
}

/* Prints the help of `longhaul capture`. */
void capture_help(void)
{
	opts_help(stdout, table, &usage);
}

static bool rotates(const struct options *o)
{
	return o->rotate_size || o->rotate_ns || o->rotate_count;
}

/* "day.pcapng" becomes "day-00001.pcapng" where files rotate. */
static void path_of(char *path, const struct options *o, uint64_t number)
{
	const char *slash = strrchr(o->write, '/'), *dot = strrchr(o->write, '.');

	if (!rotates(o))
		snprintf(path, PATH_LENGTH, "%s", o->write);
	else if (dot && (!slash || dot > slash + 1) && dot != o->write)
		snprintf(path, PATH_LENGTH, "%.*s-%05llu%s", (int)(dot - o->write), o->write,
			 (unsigned long long)number, dot);
	else
		snprintf(path, PATH_LENGTH, "%s-%05llu", o->write, (unsigned long long)number);
}

static int write_failed(const struct writer *w, struct err *e)
{
	return err_set(e, EIO, "%s: cannot be written: %s", w->path, strerror(errno));
}

static int begin_file(struct writer *w, struct err *e)
{
	char old[PATH_LENGTH];

	w->number++;
	path_of(w->path, w->o, w->number);
	w->out = strcmp(w->o->write, "-") ? fopen(w->path, "we") : stdout;
	if (!w->out)
		return err_set(e, errno, "-w %s: %s", w->path, strerror(errno));
	if (!pcapng_begin_section(w->out, w->source->interfaces, w->source->n_interfaces) ||
	    fflush(w->out))
		return write_failed(w, e);
	w->bytes = w->frames = 0;
	w->begun_ns = w->flushed_ns = clock_ns();
	if (w->o->files && w->number > w->o->files) {
		path_of(old, w->o, w->number - w->o->files);
		if (unlink(old) && errno != ENOENT)
			log_warning("%s: cannot be removed: %s", old, strerror(errno));
	}
	return 0;
}

/* What was lost is known of the capture as a whole: it stands with the first interface. */
static int end_file(struct writer *w, struct err *e)
{
	uint64_t drops = source_drops(w->source);
	bool ok = true;
	uint32_t i;

	for (i = 0; i < w->source->n_interfaces; i++)
		ok &= pcapng_statistics(w->out, i, w->last_ns, w->received[i], i ? 0 : drops);
	if (w->out == stdout)
		ok &= !fflush(w->out);
	else
		ok &= !fclose(w->out);
	w->out = NULL;
	return ok ? 0 : write_failed(w, e);
}

static int write_packet(struct writer *w, const struct cap_packet *p, struct err *e)
{
	bool old = w->o->rotate_ns && clock_ns() - w->begun_ns >= w->o->rotate_ns;
	bool full = w->o->rotate_size && w->bytes + pcapng_packet_size(p) > w->o->rotate_size;
	int ret;

	full |= w->o->rotate_count && w->frames >= w->o->rotate_count;
	if (w->frames && (old || full)) {
		ret = end_file(w, e);
		ret = ret ? ret : begin_file(w, e);
		if (ret)
			return ret;
	}
	if (!pcapng_packet(w->out, p))
		return write_failed(w, e);
	w->bytes += pcapng_packet_size(p);
	w->received[p->interface]++;
	w->frames++;
	w->total++;
	w->last_ns = p->time_ns;
	return 0;
}

static int flush_now_and_then(struct writer *w, struct err *e)
{
	uint64_t now = clock_ns();

	if (now - w->flushed_ns < FLUSH_NS)
		return 0;
	w->flushed_ns = now;
	return fflush(w->out) ? write_failed(w, e) : 0;
}

static int record(struct writer *w, const struct filter *filter, struct err *e)
{
	const struct options *o = w->o;
	struct cap_packet p;
	int ret = 0, got;

	w->source->until_ns = o->duration_ns ? clock_ns() + o->duration_ns : 0;
	while (!ret && source_goes_on(w->source, interrupted) &&
	       (!o->count || w->total < o->count)) {
		got = source_next(w->source, &p, e);
		if (got < 0)
			ret = got;
		else if (got > 0 && source_wanted(filter, &p))
			ret = write_packet(w, &p, e);
		else if (got == 0)
			poll(NULL, 0, POLL_MS);
		ret = ret ? ret : flush_now_and_then(w, e);
	}
	return ret;
}

static int check_options(const struct options *o, struct err *e)
{
	const struct source_options *s = &o->source;

	if (!s->interface == !s->tunnel)
		return err_set(e, EINVAL, "where from? one of -i IF and --tunnel NAME; see --help");
	if ((s->port || s->peer) && !s->tunnel)
		return err_set(e, EINVAL, "--port and --peer go with --tunnel");
	if (s->port && s->peer)
		return err_set(e, EINVAL, "--port and --peer: choose one");
	if (!o->write)
		return err_set(e, EINVAL, "where to? -w FILE, or -w - for standard output");
	if (rotates(o) && !strcmp(o->write, "-"))
		return err_set(e, EINVAL, "-w -: standard output cannot rotate");
	if (o->files && !rotates(o))
		return err_set(e, EINVAL,
			       "--files goes with --rotate-size, --rotate-time or --rotate-count");
	return 0;
}

static int parse(struct options *o, int argc, char **argv, struct err *e)
{
	int rest, ret = opts_defaults(table, o, e);

	ret = ret ? ret : opts_parse(table, o, argc, argv, &rest, e);
	if (!ret && rest < argc)
		ret = err_set(e, EINVAL, "unexpected argument '%s'; see --help", argv[rest]);
	ret = ret ? ret : check_options(o, e);
	o->source.snaplen = (uint32_t)o->snaplen;
	o->source.after_frob = o->frob;
	return ret;
}

static int run(struct writer *w, const struct filter *filter, struct err *e)
{
	struct err end_error;
	uint64_t drops;
	int ret;

	w->source = source_open(&w->o->source, e);
	if (!w->source)
		return -EIO;
	ret = begin_file(w, e);
	if (!ret) {
		log_info("recording into %s", w->path);
		ret = record(w, filter, e);
	}
	drops = source_drops(w->source);
	if (w->out && end_file(w, &end_error) && !ret) {
		*e = end_error;
		ret = -EIO;
	}
	log_info("%llu frames recorded, %llu dropped", (unsigned long long)w->total,
		 (unsigned long long)drops);
	source_close(w->source);
	return ret;
}

/* Runs `longhaul capture`. */
int cmd_capture(int argc, char **argv)
{
	struct sigaction a = {.sa_handler = on_signal};
	struct options o = {0};
	struct writer w = {.o = &o};
	struct filter *filter = NULL;
	struct err e = {""};
	int ret;

	log_setup("longhaul capture", LOG_LEVEL_INFO);
	ret = parse(&o, argc, argv, &e);
	if (!ret && o.filter) {
		filter = filter_compile(o.filter, &e);
		ret = filter ? 0 : err_wrap(&e, -EINVAL, "--filter");
	}
	if (ret) {
		log_error("%s", e.text);
		return 2;
	}
	sigaction(SIGINT, &a, NULL);
	sigaction(SIGTERM, &a, NULL);
	ret = run(&w, filter, &e);
	filter_free(filter);
	if (!ret)
		return 0;
	log_error("%s", e.text);
	return 1;
}
