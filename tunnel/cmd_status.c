// SPDX-License-Identifier: GPL-3.0-or-later
/* cmd_status.c - `longhaul status`: what a running instance does */
#include "tunnel/commands.h"

#include "lib/clock.h"
#include "lib/ctlsock.h"
#include "lib/doc.h"
#include "lib/log.h"
#include "lib/opts.h"
#include "lib/units.h"
#include "tunnel/counters.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ANSWER_TIMEOUT_MS 5000
#define MACS_SHOWN	  12 /* lines of the MAC table without --macs */

/* `status --check` has statuses of its own. */
enum { CHECK_HEALTHY = 0, CHECK_DEGRADED = 3, CHECK_NO_INSTANCE = 4 };

struct options {
	bool json, watch, check, macs, flows;
	uint64_t interval_ns;
};

static const struct opt table[] = {
	{"json", 0, .type = OPT_FLAG, .offset = offsetof(struct options, json),
	 .help = "one JSON object (doc/status.md); with --watch one a line"},
	{"watch", 0, .type = OPT_FLAG, .offset = offsetof(struct options, watch),
	 .help = "again and again until Ctrl-C"},
	{"interval", 0, .type = OPT_TIME, .arg = "TIME", .deflt = "1s",
	 .offset = offsetof(struct options, interval_ns), .min = 100 * NS_PER_MS,
	 .max = 3600 * NS_PER_S, .help = "between two looks of --watch"},
	{"check", 0, .type = OPT_FLAG, .offset = offsetof(struct options, check),
	 .help = "for monitoring: exit 0 healthy, 3 degraded (reasons printed), 4 no such "
		 "instance"},
	{"macs", 0, .type = OPT_FLAG, .offset = offsetof(struct options, macs),
	 .help = "print the whole MAC table, not its first lines"},
	{"flows", 0, .type = OPT_FLAG, .offset = offsetof(struct options, flows),
	 .help = "list the TCP connections of accelerated tags, both legs of each, and why others are not"},
	{0},
};

static const struct opts_usage usage = {
	.command = "status",
	.synopsis = "[NAME] [options]",
	.summary =
		"Shows ports, peers, MAC table, rewritten handshakes and drops of a running instance.\n"
		"Without NAME: of the only one that runs in this network namespace.",
	.examples = "  longhaul status\n"
		    "  longhaul status eth0 --watch\n"
		    "  longhaul status --json | jq .drops\n"
		    "  longhaul status --check || mail -s 'bridge degraded' noc@example.net\n",
};

/* Prints the help of `longhaul status`. */
void status_help(void)
{
	opts_help(stdout, table, &usage);
}

/* Writes bytes with a decimal prefix, as traffic is counted. */
static const char *human(char buf[16], long long n)
{
	static const char units[] = " kMGTP";
	double v = (double)n;
	unsigned i = 0;

	for (; v >= 1000 && units[i + 1]; i++)
		v /= 1000;
	if (i)
		snprintf(buf, 16, "%.1f %c", v, units[i]);
	else
		snprintf(buf, 16, "%lld", n);
	return buf;
}

static void print_traffic(const json_t *o)
{
	const json_t *in = json_object_get(o, "in"), *out = json_object_get(o, "out");
	char b[4][16];

	printf(" %10s %9sB %10s %9sB\n", human(b[0], doc_number(in, "frames")),
	       human(b[1], doc_number(in, "bytes")), human(b[2], doc_number(out, "frames")),
	       human(b[3], doc_number(out, "bytes")));
}

static void print_ports(const json_t *doc)
{
	json_t *p;
	size_t i;

	printf("\n%-16s %-10s %-6s %5s %5s %10s %10s %10s %10s\n", "PORT", "TAG", "STATE", "MTU",
	       "MACS", "FRAMES IN", "BYTES", "FRAMES OUT", "BYTES");
	json_array_foreach(json_object_get(doc, "ports"), i, p)
	{
		printf("%-16s %-10lld %-6s %5lld %5lld", doc_text(p, "name"), doc_number(p, "tag"),
		       doc_text(p, "state"), doc_number(p, "mtu"), doc_number(p, "macs"));
		print_traffic(p);
	}
}

/* What probes say of the path: only the sealed transport has them. */
static void print_path(const json_t *p)
{
	const json_t *rtt = json_object_get(p, "rtt_ms");

	if (!json_object_get(p, "state"))
		return;
	printf("  %s", doc_text(p, "state"));
	if (json_is_real(rtt))
		printf(", RTT %.2f ms, jitter %.2f ms, loss %.2f%% out %.2f%% in",
		       json_real_value(rtt), json_real_value(json_object_get(p, "jitter_ms")),
		       100 * json_real_value(json_object_get(p, "loss_out")),
		       100 * json_real_value(json_object_get(p, "loss_in")));
	if (json_is_integer(json_object_get(p, "path_mtu")))
		printf(", path MTU %lld (inner %lld%s)", doc_number(p, "path_mtu"),
		       doc_number(p, "inner_mtu"),
		       strcmp(doc_text(p, "path_mtu_state"), "complete") ? ", still probing" : "");
	if (*doc_text(p, "cipher"))
		printf(", %s by %s, session %.0f s old, %lld rekeys", doc_text(p, "cipher"),
		       doc_text(p, "engine"), json_real_value(json_object_get(p, "session_s")),
		       doc_number(p, "rekeys"));
	if (*doc_text(p, "error"))
		printf("; %s", doc_text(p, "error"));
	printf("\n");
}

static void print_pace(const json_t *p)
{
	const json_t *pace = json_object_get(p, "pace");
	char rate[32], frames[32];

	if (!json_is_object(pace))
		return;
	printf("  paced to %s, frames to %s; %lld bytes wait\n",
	       units_format_rate(rate, sizeof(rate), (uint64_t)doc_number(pace, "rate_bps")),
	       units_format_rate(frames, sizeof(frames), (uint64_t)doc_number(pace, "frames_bps")),
	       doc_number(pace, "waiting_bytes"));
}

static void print_peers(const json_t *doc)
{
	const json_t *heard;
	char when[32];
	json_t *p;
	size_t i;

	printf("\n%-16s %-24s %7s %6s %10s %10s %10s %10s\n", "PEER", "ENDPOINT", "HEARD", "MACS",
	       "FRAMES IN", "BYTES", "FRAMES OUT", "BYTES");
	json_array_foreach(json_object_get(doc, "peers"), i, p)
	{
		heard = json_object_get(p, "heard_s");
		if (json_is_null(heard))
			snprintf(when, sizeof(when), "never");
		else
			snprintf(when, sizeof(when), "%.0f s", json_real_value(heard));
		printf("%-16s %-24s %7s %6lld", doc_text(p, "name"), doc_text(p, "endpoint"), when,
		       doc_number(p, "macs"));
		print_traffic(p);
		print_path(p);
		print_pace(p);
	}
}

static void print_tags(const json_t *doc)
{
	const json_t *f, *mtu, *wscale;
	char m[16], w[16];
	json_t *t;
	size_t i;

	printf("\n%-10s %6s %6s %10s %12s %15s %10s %8s\n", "TAG", "MTU", "WSCALE", "SYNS",
	       "MSS CLAMPED", "WSCALE WRITTEN", "MALFORMED", "HINTS");
	json_array_foreach(json_object_get(doc, "tags"), i, t)
	{
		f = json_object_get(t, "frobs");
		mtu = json_object_get(t, "mtu");
		wscale = json_object_get(t, "wscale");
		snprintf(m, sizeof(m), json_is_null(mtu) ? "off" : "%lld", json_integer_value(mtu));
		snprintf(w, sizeof(w), json_is_null(wscale) ? "off" : "%lld",
			 json_integer_value(wscale));
		printf("%-10lld %6s %6s %10lld %12lld %15lld %10lld %8lld\n", doc_number(t, "tag"),
		       m, w, doc_number(f, "syns"),
		       doc_number(f, "mss_clamped") + doc_number(f, "mss_clamped_out"),
		       doc_number(f, "wscale_written"), doc_number(f, "malformed"),
		       doc_number(json_object_get(t, "hints"), "sent"));
	}
}

static void print_macs(const json_t *doc)
{
	const json_t *macs = json_object_get(doc, "macs");
	size_t i, shown = json_array_size(macs);

	printf("\n%-18s %-10s %5s %-24s %8s %6s\n", "MAC", "TAG", "VLAN", "BEHIND", "AGE", "MOVES");
	for (i = 0; i < shown; i++) {
		const json_t *m = json_array_get(macs, i);
		char behind[96];

		snprintf(behind, sizeof(behind), "%s %s", doc_text(m, "behind"),
			 doc_text(m, "name"));
		printf("%-18s %-10lld %5lld %-24s %6.0f s %6lld\n", doc_text(m, "mac"),
		       doc_number(m, "tag"), doc_number(m, "vlan"), behind,
		       json_real_value(json_object_get(m, "age_s")), doc_number(m, "moves"));
	}
	if ((long long)shown < doc_number(doc, "macs_total"))
		printf("…and %lld more: --macs\n",
		       doc_number(doc, "macs_total") - (long long)shown);
}

static void print_drops(const json_t *doc)
{
	const json_t *drops = json_object_get(doc, "drops");
	bool any = false;
	unsigned i;

	for (i = 0; i < DROPS; i++) {
		long long n = doc_number(drops, drop_names[i]);

		if (!n)
			continue;
		if (!any)
			printf("\n%-20s %10s\n", "DROPPED", "FRAMES");
		any = true;
		printf("%-20s %10lld  %s\n", drop_names[i], n, drop_texts[i]);
	}
	if (!any)
		printf("\nNothing was dropped.\n");
}

/* One leg of an accelerated connection: what the kernel says of our sending. */
static void print_leg(const char *name, const json_t *leg)
{
	double busy = json_real_value(json_object_get(leg, "busy_s"));
	double rwnd = json_real_value(json_object_get(leg, "rwnd_limited_s"));
	double sndbuf = json_real_value(json_object_get(leg, "sndbuf_limited_s"));
	char b[2][16];

	if (!json_is_object(leg))
		return;
	printf("    %s: RTT %.2f ms, window %sB, the other's %sB, %lld retransmits, %s", name,
	       json_real_value(json_object_get(leg, "rtt_ms")),
	       human(b[0], doc_number(leg, "window_bytes")),
	       human(b[1], doc_number(leg, "peer_window_bytes")), doc_number(leg, "retransmits"),
	       doc_text(leg, "congestion"));
	if (busy > 0)
		printf(", busy %.1f s: %.0f %% limited by the other's window, %.0f %% by our buffer",
		       busy, 100 * rwnd / busy, 100 * sndbuf / busy);
	printf("\n");
}

/* The streams that carry one connection. */
static void print_stripes(const json_t *stripes)
{
	const json_t *s;
	char b[2][16];
	size_t i;

	json_array_foreach(stripes, i, s)
	{
		printf("    stripe %lld (port %lld to %lld) %s, %sB out %sB in\n",
		       doc_number(s, "stripe"), doc_number(s, "local_port"),
		       doc_number(s, "remote_port"), doc_text(s, "state"),
		       human(b[0], doc_number(s, "sent_bytes")),
		       human(b[1], doc_number(s, "received_bytes")));
		print_leg("  WAN", json_object_get(s, "wan"));
	}
}

/* Connections of accelerated tags: counts, and with --flows each of them. */
static void print_accel(const json_t *doc)
{
	const json_t *accel = json_object_get(doc, "accel"), *f, *n;
	const char *reason;
	char b[2][16];
	json_t *count;
	size_t i;

	if (!json_is_object(accel))
		return;
	n = json_object_get(accel, "connections");
	printf("\n%lld accelerated connections (by %s); %lld opened, %lld accepted, %lld closed, %lld reset\n",
	       doc_number(accel, "flows"), doc_text(accel, "steering"), doc_number(n, "opened"),
	       doc_number(n, "accepted"), doc_number(n, "closed"), doc_number(n, "reset"));
	json_object_foreach((json_t *)json_object_get(accel, "bypassed"), reason,
			    count) if (json_integer_value(count))
		printf("%lld not accelerated: %s\n", (long long)json_integer_value(count), reason);
	json_array_foreach(json_object_get(accel, "list"), i, f)
	{
		printf("%s:%lld - %s:%lld tag %lld %s %s", doc_text(f, "local"),
		       doc_number(f, "local_port"), doc_text(f, "remote"),
		       doc_number(f, "remote_port"), doc_number(f, "tag"), doc_text(f, "state"),
		       doc_text(f, *doc_text(f, "phase") ? "phase" : "reason"));
		if (json_object_get(f, "lan"))
			printf(", %sB out %sB in", human(b[0], doc_number(f, "sent_bytes")),
			       human(b[1], doc_number(f, "received_bytes")));
		printf("\n");
		print_leg("LAN", json_object_get(f, "lan"));
		if (json_array_size(json_object_get(f, "stripes")))
			print_stripes(json_object_get(f, "stripes"));
		else
			print_leg("WAN", json_object_get(f, "wan"));
	}
}

static void print_human(const json_t *doc)
{
	const json_t *outer = json_object_get(doc, "outer");
	long long overruns = doc_number(outer, "overruns");
	json_t *p;
	size_t i;

	printf("%s%s%s: %s, up %.0f s, outer %s%s on %s, process %lld\n", doc_text(doc, "name"),
	       *doc_text(doc, "site") ? " at site " : "", doc_text(doc, "site"),
	       doc_text(doc, "state"), json_real_value(json_object_get(doc, "uptime_s")),
	       doc_text(outer, "kind"),
	       json_is_true(json_object_get(outer, "plain_text")) ? " (PLAIN TEXT)" : "",
	       doc_text(outer, "interface"), doc_number(doc, "pid"));
	json_array_foreach(json_object_get(doc, "problems"), i, p)
		printf("  problem: %s\n", json_string_value(p));
	print_ports(doc);
	print_peers(doc);
	print_tags(doc);
	print_macs(doc);
	print_accel(doc);
	print_drops(doc);
	json_array_foreach(json_object_get(doc, "ports"), i, p)
		overruns += doc_number(p, "overruns");
	if (overruns)
		printf("%lld frames were lost before we read them: the processor is too slow for "
		       "them\n",
		       overruns);
	if (doc_number(outer, "fragmented"))
		printf("%lld frames were longer than the path carries and were sent in fragments%s\n",
		       doc_number(outer, "fragmented"),
		       json_is_true(json_object_get(outer, "plain_text"))
			       ? " by the kernel: lower the MTU (-m) for TCP"
			       : "");
}

static int print(const json_t *doc, const struct options *o)
{
	bool healthy = !strcmp(doc_text(doc, "state"), "healthy");
	json_t *p;
	size_t i;

	if (o->json) {
		json_dumpf(doc, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
		putchar('\n');
	} else if (o->check) {
		printf("%s: %s\n", doc_text(doc, "name"), doc_text(doc, "state"));
		json_array_foreach(json_object_get(doc, "problems"), i, p)
			printf("  %s\n", json_string_value(p));
	} else {
		if (o->watch)
			printf("\033[H\033[2J");
		print_human(doc);
	}
	if (fflush(stdout) || ferror(stdout)) {
		log_error("cannot write: %s", strerror(errno));
		return 1;
	}
	return o->check && !healthy ? CHECK_DEGRADED : 0;
}

static int ask(const char *name, const struct options *o, struct err *e)
{
	json_t *request = json_pack("{s:i, s:s}", "version", 1, "cmd", "status"), *doc = NULL;
	int ret;

	if (!o->json && !o->macs)
		json_object_set_new(request, "macs", json_integer(o->check ? 0 : MACS_SHOWN));
	if (o->flows)
		json_object_set_new(request, "flows", json_true());
	ret = ctl_request(name, request, &doc, ANSWER_TIMEOUT_MS, e);

	json_decref(request);
	if (!ret && json_object_get(doc, "error"))
		ret = err_set(e, EPROTO, "instance '%s': %s", name, doc_text(doc, "error"));
	if (!ret && !strcmp(doc_text(doc, "kind"), "line"))
		ret = err_set(e, EINVAL, "%s is a line; `longhaul shape show %s` tells of it", name,
			      name);
	if (!ret)
		ret = print(doc, o);
	json_decref(doc);
	return ret;
}

/* Runs `longhaul status`. */
int cmd_status(int argc, char **argv)
{
	struct options o = {0};
	char name[CTL_NAME_MAX];
	struct err e = {""};
	int rest, ret;

	log_setup("longhaul status", LOG_LEVEL_INFO);
	ret = opts_defaults(table, &o, &e);
	ret = ret ? ret : opts_parse(table, &o, argc, argv, &rest, &e);
	if (!ret && rest + 1 < argc)
		ret = err_set(&e, EINVAL, "unexpected argument '%s'; see --help", argv[rest + 1]);
	if (!ret && rest < argc)
		ret = ctl_check_name(argv[rest], &e);
	if (ret) {
		log_error("%s", e.text);
		return 2;
	}
	if (rest < argc)
		snprintf(name, sizeof(name), "%s", argv[rest]);
	else
		ret = ctl_only_instance(name, &e);
	while (!ret) {
		ret = ask(name, &o, &e);
		if (ret || !o.watch)
			break;
		poll(NULL, 0, (int)(o.interval_ns / NS_PER_MS));
	}
	if (ret >= 0)
		return ret;
	log_error("%s", e.text);
	return ret == -EINVAL ? 2 : o.check && ret == -ENOENT ? CHECK_NO_INSTANCE : 1;
}
