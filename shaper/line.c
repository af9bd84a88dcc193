// SPDX-License-Identifier: GPL-3.0-or-later
/* line.c - a line between two interfaces, from start to end */
/*
 * Theory of operation
 *
 * Each direction is a pump: a thread with two packet sockets of its own and
 * all of the direction's state. The main thread's loop never touches a frame.
 * It answers the control socket, watches the interfaces, writes the frame log
 * and the live line. A change of settings is worked out here, to the last
 * check, and handed to the pumps whole; they take it between two frames and the
 * reply is given when both have.
 *
 * Nothing in the kernel outlives the process: promiscuous mode belongs to the
 * sockets, and large receive offload is put back at the end.
 */
#include "shaper/line.h"

#include "lib/clock.h"
#include "lib/ctlsock.h"
#include "lib/log.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#define LOG_PERIOD_NS  (50 * NS_PER_MS)
#define LIVE_PERIOD_NS NS_PER_S
#define IDLE_PERIOD_NS \
	(200 * NS_PER_MS) /* twenty ticks of the clock that idle time is counted by */
#define IDLE_SHARE 0.9	  /* of a processor, beside what the pumps have spun */
#define BUFFER_MIN ((uint64_t)16 << 20)
#define BUFFER_MAX ((uint64_t)1 << 30)
/* Without a rate, what a fast line may bring. */
#define RATE_ASSUMED	 10000000000ull
#define CHANGE_WORDS_MAX 64

/* Processors this process may run on. */
static unsigned processors(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) ? 1 : (unsigned)CPU_COUNT(&set);
}

static uint64_t memory_limit(void)
{
	struct sysinfo info;

	/* Half of what is free, for both directions. */
	if (sysinfo(&info))
		return BUFFER_MAX;
	return (uint64_t)(info.freeram + info.bufferram) * info.mem_unit / 4;
}

/*
 * Memory that frames in flight will take: those of the delay and of the queue,
 * each with what is kept beside it, which is small beside a frame of 1500 bytes.
 */
static uint64_t buffer_for(const struct line_conf *conf, const struct direction_conf *c)
{
	uint64_t rate = c->rate.kind == RATE_NONE ? RATE_ASSUMED : rate_average(&c->rate), need;
	uint64_t most = memory_limit() / 2;
	double time_s = (double)(c->impair.delay.base_ns + 4 * c->impair.delay.jitter_ns) / 1e9;

	if (conf->buffer)
		return conf->buffer;
	if (c->rate.kind != RATE_NONE)
		time_s += c->queue.limit_ns ? (double)c->queue.limit_ns / 1e9 : 1;
	need = (uint64_t)((double)rate / 8 * time_s * 1.25) + BUFFER_MIN;
	need = need < BUFFER_MAX ? need : BUFFER_MAX;
	return need < most ? need : most;
}

static int check_end(struct line *l, unsigned i, struct err *e)
{
	struct line_end *end = &l->ends[i];
	struct link_info info;
	int ret;

	snprintf(end->name, sizeof(end->name), "%s", l->conf->interfaces[i]);
	ret = link_get(l->conf->interfaces[i], &info, e);
	if (ret)
		return ret;
	ret = link_check_bridgeable(&info, e);
	if (ret)
		return ret;
	l->claims[i] = ctl_claim("interface", end->name, e);
	if (l->claims[i] < 0)
		return l->claims[i];
	end->ifindex = info.ifindex;
	end->up = info.up && info.running;
	end->lro_was_on = link_hold_lro_off(end->name);
	if (!end->up)
		log_warning("%s is down; frames pass when it is up: `ip link set %s up`", end->name,
			    end->name);
	return 0;
}

static void wake_pumps(struct line *l)
{
	pump_wake(&l->pumps[AB]);
	pump_wake(&l->pumps[BA]);
}

/* What the kernel says of an end now; @info NULL: it is gone. */
static void end_changed(struct line *l, struct line_end *end, const struct link_info *info)
{
	bool up = info && info->up && info->running;

	if (info && info->ifindex != end->ifindex) {
		end->lro_was_on |= link_hold_lro_off(end->name);
		end->opened++;
	}
	if (up != end->up || (info ? info->ifindex : 0) != end->ifindex)
		log_info("%s is %s", end->name, up ? "up" : info ? "down" : "gone");
	end->ifindex = info ? info->ifindex : 0;
	end->up = up;
	wake_pumps(l);
}

static void link_news(void *ctx, const struct link_info *info, bool present)
{
	struct line *l = ctx;
	struct link_info now;
	struct err e;
	unsigned i;

	for (i = 0; i < 2; i++) {
		struct line_end *end = &l->ends[i];

		if (!info) /* news were lost */
			end_changed(l, end, link_get(end->name, &now, &e) ? NULL : &now);
		else if (!strcmp(info->name, end->name))
			end_changed(l, end, present ? info : NULL);
		else if (info->ifindex == end->ifindex) /* renamed: not ours by that name */
			end_changed(l, end, NULL);
	}
}

static void drain_log(void *ctx)
{
	struct line *l = ctx;
	unsigned d;
	int ret = 0;

	for (d = 0; l->log && d < DIRECTIONS; d++)
		ret = frame_log_drain(l->log, l->rings[d]);
	if (ret && !l->log_failed)
		log_error("--log '%s': %s; from now on it is incomplete", l->conf->log,
			  strerror(-ret));
	l->log_failed |= ret != 0;
}

/* Time that all processors have been idle, ns; 0: it cannot be told. */
static uint64_t idle_time(void)
{
	FILE *f = fopen("/proc/stat", "re");
	unsigned long long idle = 0;

	if (!f)
		return 0;
	/* cpu user nice system idle … (proc_stat(5)) */
	if (fscanf(f, "cpu %*u %*u %*u %llu", &idle) != 1)
		idle = 0;
	fclose(f);
	return idle * NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK);
}

/*
 * Is there a processor that nobody needs? What pumps spend spinning would be
 * idle time without them.
 */
static void look_for_idle(void *ctx)
{
	struct line *l = ctx;
	uint64_t now = clock_ns(), idle = idle_time();
	uint64_t spun = counter_get(&l->pumps[AB].counters.spun_ns) +
			counter_get(&l->pumps[BA].counters.spun_ns);
	uint64_t unneeded = idle - l->idle_ns + spun - l->idle_spun_ns;

	if (l->idle_at_ns)
		l->shared.core_free = (double)unneeded > IDLE_SHARE * (double)(now - l->idle_at_ns);
	l->idle_ns = idle;
	l->idle_spun_ns = spun;
	l->idle_at_ns = now;
}

static void show_live(void *ctx)
{
	line_print_live(ctx);
}

static void stop(void *ctx)
{
	struct line *l = ctx;

	loop_stop(l->loop);
}

static void on_signal(void *ctx, int signal)
{
	stop(ctx);
}

static json_t *refusal(const struct err *e)
{
	return json_pack("{s:i, s:s}", "version", 1, "error", e->text);
}

/* Waits until both pumps have taken the news, which they do between two frames. */
static void wait_taken(const struct line *l)
{
	while (!pump_took(&l->pumps[AB]) || !pump_took(&l->pumps[BA]))
		usleep(50);
}

/* Puts settings in force that are known to be good, and keeps them. */
static void put_in_force(struct line *l, struct settings new[DIRECTIONS],
			 struct direction_conf *meanings[DIRECTIONS])
{
	struct pump_news news[DIRECTIONS];
	unsigned d;

	for (d = 0; d < DIRECTIONS; d++) {
		uint64_t need = buffer_for(l->conf, meanings[d]);
		uint64_t have = counter_get(&l->traffic[d]->buffer_bytes);

		news[d] = (struct pump_news){.conf = meanings[d]};
		if (need > have)
			news[d].chunks = store_prepare(need - have, &news[d].bytes);
	}
	for (d = 0; d < DIRECTIONS; d++)
		pump_publish(&l->pumps[d], &news[d]);
	wait_taken(l);
	for (d = 0; d < DIRECTIONS; d++) {
		settings_meant(l->meanings[d]);
		free(l->meanings[d]);
		l->meanings[d] = meanings[d];
		settings_release(&l->conf->settings[d]);
		l->conf->settings[d] = new[d];
	}
}

/* Works out what a change makes of the settings, and puts that in force. */
static int change(struct line *l, const struct line_change *ch, struct err *e)
{
	struct settings new[DIRECTIONS] = {0};
	struct direction_conf *meanings[DIRECTIONS] = {NULL};
	unsigned d;
	int ret = 0;

	for (d = 0; !ret && d < DIRECTIONS; d++) {
		ret = settings_overlay(&new[d], &l->conf->settings[d], e);
		ret = ret ? ret : settings_overlay(&new[d], &ch->asked[d], e);
		meanings[d] = calloc(1, sizeof(*meanings[d]));
		if (!ret && !meanings[d])
			ret = err_set(e, ENOMEM, "out of memory");
		ret = ret ? ret
			  : settings_mean(&new[d], &ch->asked[d], direction_name(d), meanings[d],
					  e);
	}
	if (!ret) {
		put_in_force(l, new, meanings);
		return 0;
	}
	for (d = 0; d < DIRECTIONS; d++) {
		if (meanings[d])
			settings_meant(meanings[d]);
		free(meanings[d]);
		settings_release(&new[d]);
	}
	return ret;
}

/* {"cmd": "set", "args": ["--delay", "60ms"]} */
static json_t *answer_set(struct line *l, const json_t *request)
{
	const json_t *args = json_object_get(request, "args");
	char *argv[CHANGE_WORDS_MAX + 1] = {(char *)"set"};
	struct line_change ch = {0};
	struct err e = {""};
	size_t i, n = json_array_size(args);
	int rest, ret = 0;

	if (!json_is_array(args) || !n || n >= CHANGE_WORDS_MAX)
		ret = err_set(&e, EINVAL, "args must be a list of options");
	for (i = 0; !ret && i < n; i++) {
		argv[i + 1] = (char *)json_string_value(json_array_get(args, i));
		if (!argv[i + 1])
			ret = err_set(&e, EINVAL, "args must be strings");
	}
	ret = ret ? ret : line_change_parse(&ch, (int)n + 1, argv, &rest, &e);
	if (!ret && rest < (int)n + 1)
		ret = err_set(&e, EINVAL, "unexpected argument '%s'", argv[rest]);
	ret = ret ? ret : change(l, &ch, &e);
	line_change_release(&ch);
	return ret ? refusal(&e) : json_pack("{s:i, s:b}", "version", 1, "changed", 1);
}

static json_t *answer(void *ctx, const json_t *request)
{
	const char *cmd = json_string_value(json_object_get(request, "cmd"));
	struct line *l = ctx;
	struct err e;

	if (cmd && !strcmp(cmd, "status"))
		return line_json(l);
	if (cmd && !strcmp(cmd, "set"))
		return answer_set(l, request);
	err_set(&e, EINVAL, "unknown cmd '%s'; known: status, set", cmd ? cmd : "");
	return refusal(&e);
}

/* What each direction is to do; nothing is touched yet. */
static int find_meanings(struct line *l, struct err *e)
{
	unsigned d;
	int ret = 0;

	for (d = 0; !ret && d < DIRECTIONS; d++) {
		const struct settings *s = &l->conf->settings[d];

		l->meanings[d] = calloc(1, sizeof(*l->meanings[d]));
		l->traffic[d] = calloc(1, sizeof(*l->traffic[d]));
		if (!l->meanings[d] || !l->traffic[d])
			return err_set(e, ENOMEM, "out of memory");
		ret = settings_mean(s, s, direction_name(d), l->meanings[d], e);
	}
	return ret;
}

static int make_direction(struct line *l, unsigned d, struct err *e)
{
	struct pump *p = &l->pumps[d];
	int ret;

	if (l->conf->log) {
		l->rings[d] = frame_log_ring_new(e);
		if (!l->rings[d])
			return -ENOMEM;
	}
	p->traffic = l->traffic[d];
	p->shared = &l->shared;
	p->in = &l->ends[d];
	p->out = &l->ends[!d];
	ret = direction_init(&p->direction, l->meanings[d], l->conf->seed, d,
			     buffer_for(l->conf, l->meanings[d]), memory_limit(), p->traffic,
			     l->rings[d], clock_ns(), e);
	return ret ? ret : pump_open(p, e);
}

static int set_up(struct line *l, struct err *e)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, 0};
	unsigned i;
	int ret = find_meanings(l, e);

	for (i = 0; !ret && i < 2; i++)
		ret = check_end(l, i, e);
	l->loop = ret ? NULL : loop_new(e);
	if (!l->loop)
		return ret ? ret : -ENOMEM;
	l->ctl = ctl_server_new(l->loop, l->conf->name, answer, l, e);
	if (!l->ctl)
		return -EADDRINUSE;
	l->links = link_watch_new(l->loop, link_news, l, e);
	if (!l->links)
		return -EIO;
	if (l->conf->log) {
		l->log = frame_log_open(l->conf->log, l->conf->seed, e);
		if (!l->log)
			return -EIO;
	}
	for (i = 0; !ret && i < DIRECTIONS; i++)
		ret = make_direction(l, i, e);
	return ret ? ret : loop_on_signals(l->loop, signals, on_signal, l, e);
}

static void start_timers(struct line *l)
{
	l->log_timer = (struct loop_timer){.expired = drain_log, .ctx = l};
	l->live_timer = (struct loop_timer){.expired = show_live, .ctx = l};
	l->duration_timer = (struct loop_timer){.expired = stop, .ctx = l};
	l->idle_timer = (struct loop_timer){.expired = look_for_idle, .ctx = l};
	if (l->conf->spin == SPIN_AUTO)
		loop_timer_start(l->loop, &l->idle_timer, NS_PER_MS, IDLE_PERIOD_NS);
	if (l->log)
		loop_timer_start(l->loop, &l->log_timer, LOG_PERIOD_NS, LOG_PERIOD_NS);
	if (!l->conf->quiet && isatty(STDERR_FILENO))
		loop_timer_start(l->loop, &l->live_timer, LIVE_PERIOD_NS, LIVE_PERIOD_NS);
	if (l->conf->duration_ns)
		loop_timer_start(l->loop, &l->duration_timer, l->conf->duration_ns, 0);
}

static int work(struct line *l, struct err *e)
{
	unsigned d;
	int ret = 0;

	l->started_ns = clock_ns();
	for (d = 0; !ret && d < DIRECTIONS; d++)
		ret = pump_start(&l->pumps[d], e);
	if (ret)
		return ret;
	start_timers(l);
	log_info("line between %s and %s is there, seed %llu; `longhaul shape show %s` tells what "
		 "it does",
		 l->ends[0].name, l->ends[1].name, (unsigned long long)l->conf->seed,
		 l->conf->name);
	ret = loop_run(l->loop);
	return ret ? err_set(e, -ret, "event loop: %s", strerror(-ret)) : 0;
}

/* The totals, once nothing changes any more. */
static void print_totals(struct line *l)
{
	json_t *doc = line_json(l);

	if (l->conf->json) {
		json_dumpf(doc, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
		putchar('\n');
	} else {
		line_print(doc);
	}
	json_decref(doc);
	fflush(stdout);
}

static void release(struct line *l)
{
	unsigned i;

	link_watch_free(l->links);
	ctl_server_free(l->ctl);
	for (i = 0; i < DIRECTIONS; i++) {
		pump_close(&l->pumps[i]);
		direction_release(&l->pumps[i].direction);
		frame_log_ring_free(l->rings[i]);
		if (l->meanings[i])
			settings_meant(l->meanings[i]);
		free(l->meanings[i]);
		free(l->traffic[i]);
	}
	for (i = 0; i < 2; i++) {
		if (l->ends[i].lro_was_on)
			link_set_lro(l->ends[i].name, true);
		if (l->claims[i] >= 0)
			close(l->claims[i]);
	}
	if (l->loop)
		loop_free(l->loop);
}

/*
 * Runs a line until a signal or its duration ends it, and prints totals.
 * Returns 0, or -errno with a text.
 */
int line_run(struct line_conf *c, struct err *e)
{
	struct line *l = calloc(1, sizeof(*l));
	unsigned d;
	struct err ignored;
	int ret, closed;

	if (!l)
		return err_set(e, ENOMEM, "out of memory");
	l->conf = c;
	l->claims[0] = l->claims[1] = -1;
	for (d = 0; d < DIRECTIONS; d++)
		l->pumps[d].in_fd = l->pumps[d].out_fd = l->pumps[d].wake_fd = -1;
	l->shared.spin = (enum spin)c->spin;
	l->shared.spinners_max = processors() - 1;
	l->shared.core_free = true;
	l->shared.realtime = c->realtime;
	l->shared.ring = !(c->without & LINE_WITHOUT_RING);
	l->shared.vnet = !(c->without & LINE_WITHOUT_VNET_HDR);
	ret = set_up(l, e);
	ret = ret ? ret : work(l, e);
	for (d = 0; d < DIRECTIONS; d++)
		pump_stop(&l->pumps[d]);
	l->ended_ns = clock_ns();
	line_end_live(l);
	drain_log(l);
	closed = frame_log_close(l->log, ret ? &ignored : e);
	if (!ret)
		print_totals(l);
	release(l);
	free(l);
	return ret ? ret : closed;
}
