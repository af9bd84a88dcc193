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
 * Promiscuous mode belongs to the sockets and ends with the process, however
 * that ends. Large receive offload is put back at a clean end.
 */
#include "shaper/line.h"

#include "lib/clock.h"
#include "lib/ctlsock.h"
#include "lib/log.h"
#include "lib/processors.h"
#include "lib/units.h"
#include "shaper/memory.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOG_PERIOD_NS  (50 * NS_PER_MS)
#define LIVE_PERIOD_NS NS_PER_S
#define IDLE_PERIOD_NS \
	(200 * NS_PER_MS)      /* twenty ticks of the clock that idle time is counted by */
#define IDLE_SHARE	   0.9 /* of a processor, beside what the pumps have spun */
#define BUFFER_MIN	   ((uint64_t)16 << 20)
#define BUFFER_MAX	   ((uint64_t)1 << 30)
#define BUFFER_MAX_ASSUMED ((uint64_t)256 << 20) /* where no rate says what it is for */
#define GROWTH_BYTES	   ((uint64_t)32 << 20)
#define FRAME_ASSUMED	   2048.0 /* bytes, with what is kept beside it */
/* Without a rate, what a fast line may bring. */
#define RATE_ASSUMED	 10000000000ull
#define CHANGE_WORDS_MAX 64

/* Bytes that the queue in front of a rate can hold. */
static double queue_most(const struct queue_conf *q, double rate)
{
	double most = rate / 8; /* unlimited: a second's worth, to begin with */

	if (q->limit_ns)
		most = rate / 8 * (double)q->limit_ns / 1e9;
	if (q->limit_bytes && (double)q->limit_bytes < most)
		most = (double)q->limit_bytes;
	if (q->limit_frames && (double)q->limit_frames * FRAME_ASSUMED < most)
		most = (double)q->limit_frames * FRAME_ASSUMED;
	return most;
}

/*
 * Memory that frames in flight will take: those of the delay and of the queue,
 * each with what is kept beside it, which is small beside a frame of 1500 bytes.
 */
static uint64_t buffer_for(const struct line *l, const struct direction_conf *c)
{
	const struct delay_conf *delay = &c->impair.delay;
	double rate = RATE_ASSUMED, need = 0;
	uint64_t most = BUFFER_MAX_ASSUMED;

	if (l->conf->buffer)
		return l->conf->buffer;
	if (c->rate.kind != RATE_NONE) {
		rate = (double)rate_average(&c->rate);
		need = queue_most(&c->queue, rate);
		most = BUFFER_MAX;
	}
	need += rate / 8 * (double)(delay->base_ns + 4 * delay->jitter_ns) / 1e9;
	need = need * 1.25 + BUFFER_MIN;
	if (most > l->memory_limit)
		most = l->memory_limit;
	return need < (double)most ? (uint64_t)need : most;
}

/* How much each direction may take: half of what there is, for both. */
static int find_memory(struct line *l, struct err *e)
{
	uint64_t available = memory_available();
	char have[32];

	l->memory_limit = available == UINT64_MAX ? BUFFER_MAX : available / 4;
	if (l->conf->buffer <= l->memory_limit)
		return 0;
	units_format_size(have, sizeof(have), l->memory_limit >> 20 << 20);
	return err_set(e, E2BIG,
		       "--buffer: there is no memory for that much in each direction; at most %s",
		       have);
}

/*
 * More memory, a piece at a time so that nobody has to wait for it: touching
 * it all can take seconds.
 */
static void grow(void *ctx)
{
	struct line *l = ctx;
	bool more = false;
	unsigned d;

	for (d = 0; d < DIRECTIONS; d++) {
		uint64_t have = counter_get(&l->traffic[d]->buffer_bytes);
		uint64_t need = buffer_for(l, l->meanings[d]);
		struct pump_news *news = &l->growth[d];

		if (!pump_took(&l->pumps[d])) {
			more = true; /* the piece before is on its way */
			continue;
		}
		if (have >= need || !l->pumps[d].running)
			continue;
		need -= have;
		*news = (struct pump_news){0};
		news->chunks = store_prepare(need < GROWTH_BYTES ? need : GROWTH_BYTES,
					     &news->bytes);
		if (!news->chunks)
			continue;
		pump_publish(&l->pumps[d], news);
		more = true;
	}
	if (more)
		loop_timer_start(l->loop, &l->grow_timer, NS_PER_MS, 0);
}

static int check_end(struct line *l, unsigned i, struct err *e)
{
	struct line_end *end = &l->ends[i];
	struct link_info info;
	int ret;

	snprintf(end->name, sizeof(end->name), "%s", l->conf->interfaces[i]);
	ret = link_get(l->conf->interfaces[i], &info, e);
	if (ret)
		return err_wrap(e, ret, "%s", end->name);
	ret = link_check_bridgeable(&info, e);
	if (ret)
		return ret;
	l->claims[i] = ctl_claim("interface", end->name, e);
	if (l->claims[i] < 0)
		return l->claims[i];
	end->ifindex = info.ifindex;
	end->present = true;
	end->up = info.up && info.running;
	end->lro_was_on = link_hold_lro_off(end->name);
	if (!end->up)
		log_warning("%s is down; frames pass when it is up: `ip link set dev %s up`",
			    end->name, end->name);
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
	end->present = info;
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

	wait_taken(l); /* memory that is on its way */
	for (d = 0; d < DIRECTIONS; d++) {
		news[d] = (struct pump_news){.conf = meanings[d]};
		pump_publish(&l->pumps[d], &news[d]);
	}
	wait_taken(l);
	for (d = 0; d < DIRECTIONS; d++) {
		settings_meant(l->meanings[d]);
		free(l->meanings[d]);
		l->meanings[d] = meanings[d];
		settings_release(&l->conf->settings[d]);
		l->conf->settings[d] = new[d];
	}
	grow(l);
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
			  : settings_mean(&ch->asked[d], &ch->asked[d], l->meanings[d],
					  direction_name(d), meanings[d], e);
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

static int set(struct line *l, const json_t *args, struct err *e)
{
	char *argv[CHANGE_WORDS_MAX + 1] = {(char *)"set"};
	struct line_change ch = {0};
	size_t i, n = json_array_size(args);
	int rest, ret = 0;

	if (!json_is_array(args) || !n || n >= CHANGE_WORDS_MAX)
		return err_set(e, EINVAL, "args must be a list of 1 to %u options",
			       CHANGE_WORDS_MAX - 1);
	for (i = 0; i < n; i++) {
		argv[i + 1] = (char *)json_string_value(json_array_get(args, i));
		if (!argv[i + 1])
			return err_set(e, EINVAL, "args must be strings");
	}
	ret = line_change_parse(&ch, (int)n + 1, argv, &rest, e);
	if (!ret && rest < (int)n + 1)
		ret = err_set(e, EINVAL, "unexpected argument '%s'", argv[rest]);
	ret = ret ? ret : change(l, &ch, e);
	line_change_release(&ch);
	return ret;
}

/*
 * {"cmd": "set", "args": ["--delay", "60ms"], "directory": "/home/ann"}
 * Files are named from where the one who asks is.
 */
static json_t *answer_set(struct line *l, const json_t *request)
{
	const char *directory = json_string_value(json_object_get(request, "directory"));
	int home = open(".", O_PATH | O_CLOEXEC), ret = 0;
	struct err e = {""};

	if (directory && (home < 0 || chdir(directory)))
		ret = err_set(&e, errno, "directory '%s': %s", directory, strerror(errno));
	ret = ret ? ret : set(l, json_object_get(request, "args"), &e);
	if (home >= 0 && (fchdir(home) || close(home)))
		log_warning("the working directory is gone: %s", strerror(errno));
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
		const struct line_conf *c = l->conf;

		l->meanings[d] = calloc(1, sizeof(*l->meanings[d]));
		l->traffic[d] = calloc(1, sizeof(*l->traffic[d]));
		if (!l->meanings[d] || !l->traffic[d])
			return err_set(e, ENOMEM, "out of memory");
		ret = settings_mean(&c->settings[d], &c->asked[d], NULL, direction_name(d),
				    l->meanings[d], e);
	}
	return ret;
}

static int make_direction(struct line *l, unsigned d, struct err *e)
{
	uint64_t first = buffer_for(l, l->meanings[d]); /* the rest follows: grow() */
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
			     first < GROWTH_BYTES ? first : GROWTH_BYTES, l->memory_limit,
			     p->traffic, l->rings[d], clock_ns(), e);
	return ret ? ret : pump_open(p, e);
}

static int set_up(struct line *l, struct err *e)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, 0};
	unsigned i;
	int ret = find_meanings(l, e);

	ret = ret ? ret : find_memory(l, e);
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
	for (i = 0; !ret && i < DIRECTIONS; i++)
		ret = make_direction(l, i, e);
	ret = ret ? ret : loop_on_signals(l->loop, signals, on_signal, l, e);
	/* Last: a line that does not begin leaves no file. */
	if (ret || !l->conf->log)
		return ret;
	l->log = frame_log_open(l->conf->log, l->conf->seed, e);
	return l->log ? 0 : -EINVAL;
}

static void start_timers(struct line *l)
{
	l->log_timer = (struct loop_timer){.expired = drain_log, .ctx = l};
	l->live_timer = (struct loop_timer){.expired = show_live, .ctx = l};
	l->duration_timer = (struct loop_timer){.expired = stop, .ctx = l};
	l->grow_timer = (struct loop_timer){.expired = grow, .ctx = l};
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
	grow(l);
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

/* Memory that was on its way when the pump ended. */
static void take_back(struct pump *p)
{
	struct pump_news *n = atomic_exchange(&p->news, NULL);

	if (n)
		store_give(&p->direction.store, n->chunks, n->bytes);
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
	l->shared.spinners_max = processors_allowed() - 1;
	l->shared.core_free = true;
	l->shared.realtime = c->realtime;
	l->shared.ring = !(c->without & LINE_WITHOUT_RING);
	l->shared.vnet = !(c->without & LINE_WITHOUT_VNET_HDR);
	ret = set_up(l, e);
	ret = ret ? ret : work(l, e);
	for (d = 0; d < DIRECTIONS; d++) {
		pump_stop(&l->pumps[d]);
		take_back(&l->pumps[d]);
		direction_abandon(&l->pumps[d].direction);
	}
	l->ended_ns = clock_ns();
	line_end_live(l);
	drain_log(l);
	closed = frame_log_close(l->log, ret ? &ignored : e);
	if (!ret)
		print_totals(l);
	release(l);
	free(l);
	return ret ? ret : closed ? -EIO : 0;
}
