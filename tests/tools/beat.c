// SPDX-License-Identifier: GPL-3.0-or-later
/* beat.c - sends numbered frames into a line and tells, from outside, what the line did to them */
/*
 *	beat /proc/12/fd/3:eth0 /proc/12/fd/4:eth0 --rate 20000 --frames 200000 --delay 60ms
 *
 * Theory of operation
 *
 * Three threads. The sender sends frame n at n ÷ rate and writes into it, right
 * before the system call, what time it is; so it does not matter whether it woke
 * in time. The receiver looks every millisecond; each frame's arrival is the
 * kernel's stamp, so that its own wake-ups do not matter either. What is left is
 * the line's doing, but for two passes through the kernel, a few microseconds.
 * The control thread sleeps to absolute moments at the same rate, at the same
 * time, on the same processors, and tells how late it wakes: what the machine
 * itself does to a program that wants to be in time.
 *
 * Each frame holds its number and a hash of its bytes: what is missing, twice,
 * out of order or changed is known. With --line-rate the receiver's stamps are
 * held against the schedule of an exact serialisation at that rate: the time of
 * frame n less all bits up to it, which on such a line is the same for all. The
 * least of these is taken for the schedule's beginning, so a frame that left too
 * early makes all others late. Of the frames, those of --ahead are left out:
 * they make the backlog, without which there is no schedule. A later one that
 * was sent only after its turn had come is counted as starved.
 */
#include "lib/clock.h"
#include "lib/hist.h"
#include "lib/opts.h"
#include "lib/sock.h"
#include "tests/tools/place.h"

#define XXH_INLINE_ALL
#include <jansson.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/random.h>
#include <xxhash.h>

#define FRAMES_MAX   1000000000ull
#define BATCH_MAX    64
#define LOOK_NS	     NS_PER_MS	       /* between the receiver's looks */
#define QUIET_NS     (50 * NS_PER_MS)  /* after the last frame, for one that may come twice */
#define REFUSED_NS   (50 * NS_PER_US)  /* before what the interface did not take is sent again */
#define REFUSED_MAX  100000	       /* …in a row; then it never will */
#define CONTROL_MAX  20000	       /* wake-ups a second; more would load the machine */
#define SETTLE_EXTRA (300 * NS_PER_MS) /* beyond the delay: then what is missing is lost */

/* Where things stand in a frame, behind the Ethernet header; numbers are big-endian. */
enum { AT_RUN = 14, AT_NUMBER = 18, AT_SENT = 26, AT_HASH = 34, AT_FILL = 42 };

struct conf {
	uint64_t frames, rate, size, batch, ahead, beats, overhead;
	uint64_t delay_ns, settle_ns, spin_ns, line_rate;
};

#define FIELD(f) offsetof(struct conf, f)
static const struct opt table[] = {
	{"frames", 'n', .type = OPT_COUNT, .deflt = "20000", .min = 1, .max = FRAMES_MAX,
	 .offset = FIELD(frames), .arg = "N", .help = "to be sent"},
	{"rate", 'r', .type = OPT_COUNT, .deflt = "20000", .min = 1, .max = 10000000,
	 .offset = FIELD(rate), .arg = "N", .help = "frames a second"},
	{"size", 's', .type = OPT_COUNT, .deflt = "60", .min = 60, .max = 9014,
	 .offset = FIELD(size), .arg = "BYTES", .help = "of a frame, from its destination MAC"},
	{"batch", 0, .type = OPT_COUNT, .deflt = "1", .min = 1, .max = BATCH_MAX,
	 .offset = FIELD(batch), .arg = "N",
	 .help = "frames by one system call, if so many are due"},
	{"ahead", 0, .type = OPT_COUNT, .deflt = "0", .max = 1000000, .offset = FIELD(ahead),
	 .arg = "N", .help = "frames sent at once at the beginning"},
	{"spin", 0, .type = OPT_TIME, .deflt = "0", .max = NS_PER_S, .offset = FIELD(spin_ns),
	 .arg = "TIME", .help = "before a frame, awake: more even, and takes a processor"},
	{"delay", 'd', .type = OPT_TIME, .deflt = "0", .max = 60 * NS_PER_S,
	 .offset = FIELD(delay_ns), .arg = "TIME", .help = "that the line is to add"},
	{"settle", 0, .type = OPT_TIME, .deflt = "0", .max = 60 * NS_PER_S,
	 .offset = FIELD(settle_ns), .arg = "TIME",
	 .help = "silence after which what is missing is lost; 0: the delay and 300ms"},
	{"beats", 0, .type = OPT_COUNT, .deflt = "0", .max = CONTROL_MAX, .offset = FIELD(beats),
	 .arg = "N", .help = "of the control thread a second; 0: --rate, at most 20000"},
	{"line-rate", 0, .type = OPT_RATE, .max = 100000000000ull, .offset = FIELD(line_rate),
	 .arg = "RATE", .help = "holds arrivals against serialisation at this rate"},
	{"overhead", 0, .type = OPT_COUNT, .deflt = "0", .max = 1000, .offset = FIELD(overhead),
	 .arg = "BYTES", .help = "of each frame at that rate, beyond its own"},
	{0},
};

struct beat {
	struct conf conf;
	int in, out;
	uint32_t run; /* tells this run's frames from others' */
	/* The sender's. */
	uint64_t began_ns, ended_ns, refused;
	uint8_t buffer[BATCH_MAX][9014 + 2];
	struct hist send_ns;
	_Atomic uint64_t sent;
	_Atomic bool sender_done, sender_failed;
	/* The receiver's. */
	uint64_t received, duplicated, reordered, corrupted, foreign, early, earliest_ns, last_ns;
	uint64_t highest;		/* number of the latest frame of those that came, and 1 */
	uint64_t *seen;			/* a bit for each number */
	uint64_t *sent_ns, *arrival_ns; /* by number, with --line-rate; 0: did not come */
	struct hist excess_ns;
	/* The control thread's. */
	uint64_t beats, beat_rate;
	struct hist late_ns;
	_Atomic bool stop;
};

static void sleep_until(uint64_t ns)
{
	struct timespec ts = {(time_t)(ns / NS_PER_S), (long)(ns % NS_PER_S)};

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
}

/* The stamp is not under the hash itself, since it is written last. */
static uint64_t stamped(uint64_t hash, uint64_t sent_ns)
{
	return hash ^ sent_ns * 0x9e3779b97f4a7c15ull;
}

/* Hash of a frame whose stamp and hash are 0. */
static uint64_t hash_of(const uint8_t *frame, uint32_t len)
{
	return XXH3_64bits(frame, len);
}

static void lay_out(uint8_t *frame, uint32_t run)
{
	static const uint8_t macs[12] = {2, 0, 0, 0xbe, 0xa7, 2, 2, 0, 0, 0xbe, 0xa7, 1};
	size_t i;

	memcpy(frame, macs, sizeof(macs));
	store_be16(frame + 12, PLACE_ETHERTYPE);
	store_be32(frame + AT_RUN, run);
	for (i = AT_FILL; i < sizeof(((struct beat *)0)->buffer[0]); i++)
		frame[i] = (uint8_t)(i * 7 + (i >> 8));
}

/* Sends @n frames from number @from on; stamps them right before. Returns how many went. */
static unsigned send_frames(struct beat *b, uint64_t from, unsigned n)
{
	struct mmsghdr msgs[BATCH_MAX] = {0};
	struct iovec iovs[BATCH_MAX];
	uint64_t hashes[BATCH_MAX], now;
	unsigned i;
	int done;

	for (i = 0; i < n; i++) {
		uint8_t *f = b->buffer[i];

		iovs[i] = (struct iovec){f, b->conf.size};
		msgs[i].msg_hdr = (struct msghdr){.msg_iov = &iovs[i], .msg_iovlen = 1};
		store_be64(f + AT_NUMBER, from + i);
		memset(f + AT_SENT, 0, AT_FILL - AT_SENT);
		hashes[i] = hash_of(f, (uint32_t)iovs[i].iov_len);
	}
	now = clock_ns();
	for (i = 0; i < n; i++) {
		store_be64(b->buffer[i] + AT_SENT, now);
		store_be64(b->buffer[i] + AT_HASH, stamped(hashes[i], now));
		if (b->sent_ns)
			b->sent_ns[from + i] = now;
	}
	done = sendmmsg(b->out, msgs, n, 0);
	hist_add(&b->send_ns, clock_ns() - now);
	return done > 0 ? (unsigned)done : 0;
}

/* How many frames are to have been sent by now. */
static uint64_t due_by(const struct beat *b, uint64_t now_ns)
{
	uint64_t n = b->conf.ahead + 1 + (now_ns - b->began_ns) * b->conf.rate / NS_PER_S;

	return n < b->conf.frames ? n : b->conf.frames;
}

static void wait_for_frame(const struct beat *b, uint64_t n)
{
	uint64_t due = b->began_ns +
		       ((n - b->conf.ahead) * NS_PER_S + b->conf.rate - 1) / b->conf.rate;

	if (clock_ns() + b->conf.spin_ns < due)
		sleep_until(due - b->conf.spin_ns);
	while (clock_ns() < due)
		;
}

static void *run_sender(void *arg)
{
	struct beat *b = arg;
	uint64_t n = 0, due;
	unsigned went, refused = 0;

	place_punctual();
	b->began_ns = clock_ns();
	while (n < b->conf.frames && refused < REFUSED_MAX) {
		due = due_by(b, clock_ns());
		if (n >= due) {
			wait_for_frame(b, n);
			continue;
		}
		due -= n;
		went = send_frames(b, n, (unsigned)(due < b->conf.batch ? due : b->conf.batch));
		n += went;
		b->sent = n;
		refused = went ? 0 : refused + 1;
		b->refused += !went;
		if (!went)
			sleep_until(clock_ns() + REFUSED_NS);
	}
	b->ended_ns = clock_ns();
	b->sender_failed = n < b->conf.frames;
	b->sender_done = true;
	return NULL;
}

static void *run_control(void *arg)
{
	struct beat *b = arg;
	uint64_t began, due, now;

	place_punctual();
	began = clock_ns();
	for (; !b->stop; b->beats++) {
		due = began + (b->beats + 1) * NS_PER_S / b->beat_rate;
		/* A sleep until a moment that is past is not for nothing: it takes a timer's
		 * interrupt. */
		if (clock_ns() < due)
			sleep_until(due);
		now = clock_ns();
		hist_add(&b->late_ns, now > due ? now - due : 0);
	}
	return NULL;
}

/* Notes what of a frame's time was not asked for. */
static void note_delay(struct beat *b, uint64_t sent_ns, uint64_t arrival_ns)
{
	int64_t excess = (int64_t)(arrival_ns - sent_ns - b->conf.delay_ns);

	if (excess < 0) {
		b->early++;
		if ((uint64_t)-excess > b->earliest_ns)
			b->earliest_ns = (uint64_t)-excess;
	}
	hist_add(&b->excess_ns, excess < 0 ? 0 : (uint64_t)excess);
}

static void take(struct beat *b, uint8_t *f, uint32_t len, uint64_t arrival_ns)
{
	uint64_t number, sent_ns, hash;

	if (len < AT_FILL || load_be16(f + 12) != PLACE_ETHERTYPE ||
	    load_be32(f + AT_RUN) != b->run) {
		b->foreign++;
		return;
	}
	number = load_be64(f + AT_NUMBER);
	sent_ns = load_be64(f + AT_SENT);
	hash = load_be64(f + AT_HASH);
	memset(f + AT_SENT, 0, AT_FILL - AT_SENT);
	b->last_ns = clock_ns();
	if (number >= b->conf.frames || len != b->conf.size ||
	    hash != stamped(hash_of(f, len), sent_ns)) {
		b->corrupted++;
		return;
	}
	if (b->seen[number / 64] >> number % 64 & 1) {
		b->duplicated++;
		return;
	}
	b->seen[number / 64] |= 1ull << number % 64;
	b->received++;
	if (number + 1 < b->highest)
		b->reordered++;
	else
		b->highest = number + 1;
	if (b->arrival_ns)
		b->arrival_ns[number] = arrival_ns;
	note_delay(b, sent_ns, arrival_ns);
}

/* Whether everything came, or what is missing will not come any more. */
static bool over(const struct beat *b)
{
	uint64_t now = clock_ns(), last;

	if (!b->sender_done)
		return false;
	last = b->last_ns > b->ended_ns ? b->last_ns : b->ended_ns;
	return now > last + (b->received == b->sent ? QUIET_NS : b->conf.settle_ns);
}

static void receive(struct beat *b, struct batch *batch)
{
	struct batch_drops drops = {0};
	unsigned i, n;

	while (!over(b)) {
		n = packet_socket_receive(batch, b->in, false, BATCH_MESSAGES, &drops);
		for (i = 0; i < batch->n; i++)
			take(b, batch->frames[i].data, batch->frames[i].len, batch->arrival_ns[i]);
		if (!n)
			sleep_until(clock_ns() + LOOK_NS);
	}
	b->corrupted += drops.truncated + drops.short_frame;
}

static json_t *times(const struct hist *h)
{
	return json_pack("{s:f, s:f, s:f, s:f, s:f}", "p50", (double)hist_quantile(h, 0.5) / 1e3,
			 "p90", (double)hist_quantile(h, 0.9) / 1e3, "p99",
			 (double)hist_quantile(h, 0.99) / 1e3, "p99_9",
			 (double)hist_quantile(h, 0.999) / 1e3, "max", (double)hist_max(h) / 1e3);
}

/* Nanoseconds in which @bits pass at the line's rate. */
static uint64_t serialised_ns(const struct beat *b, uint64_t bits)
{
	return (uint64_t)((unsigned __int128)bits * NS_PER_S / b->conf.line_rate);
}

/* Of one frame, at that rate. */
static uint64_t frame_bits(const struct beat *b)
{
	return 8 * (b->conf.size + b->conf.overhead);
}

/* When the schedule begins: the least of arrivals less what had to pass until then, --ahead on. */
static uint64_t schedule_begin(const struct beat *b)
{
	uint64_t n, came = 0, begin, least = UINT64_MAX;

	for (n = b->conf.ahead; n < b->conf.frames; n++) {
		if (!b->arrival_ns[n])
			continue;
		begin = b->arrival_ns[n] - serialised_ns(b, ++came * frame_bits(b));
		least = begin < least ? begin : least;
	}
	return least;
}

/* What was measured of serialisation, for a line that loses frames only before its queue's end. */
static json_t *schedule(const struct beat *b)
{
	uint64_t begin = schedule_begin(b), frame_ns = serialised_ns(b, frame_bits(b));
	uint64_t n, came = 0, late, starved = 0, beyond = 0, first = 0, last = 0;
	struct hist *h = calloc(1, sizeof(*h));
	json_t *o;

	for (n = b->conf.ahead; h && n < b->conf.frames; n++) {
		if (!b->arrival_ns[n])
			continue;
		/* Its turn came when those before it had passed. */
		starved += came && b->sent_ns[n] + b->conf.delay_ns >
					   begin + serialised_ns(b, came * frame_bits(b));
		came++;
		late = b->arrival_ns[n] - begin - serialised_ns(b, came * frame_bits(b));
		hist_add(h, late);
		beyond += late > frame_ns;
		first = first ? first : b->arrival_ns[n];
		last = b->arrival_ns[n];
	}
	if (!h)
		return NULL;
	o = json_pack(
		"{s:I, s:f, s:f, s:I, s:I, s:I, s:o}", "rate_bps", (json_int_t)b->conf.line_rate,
		"measured_bps",
		came > 1 ? (double)((came - 1) * frame_bits(b)) * 1e9 / (double)(last - first) : 0,
		"frame_us", (double)frame_ns / 1e3, "frames", (json_int_t)came, "beyond_one_frame",
		(json_int_t)beyond, "starved", (json_int_t)starved, "late_us", times(h));
	free(h);
	return o;
}

static json_t *report(const struct beat *b)
{
	uint64_t sent = b->sent;
	json_t *o = json_pack(
		"{s:i, s:I, s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:I, s:f, s:o, "
		"s:{s:I, s:I, s:o}}",
		"version", 1, "sent", (json_int_t)sent, "seconds",
		(double)(b->ended_ns - b->began_ns) / 1e9, "refused", (json_int_t)b->refused,
		"received", (json_int_t)b->received, "lost", (json_int_t)(sent - b->received),
		"reordered", (json_int_t)b->reordered, "duplicated", (json_int_t)b->duplicated,
		"corrupted", (json_int_t)b->corrupted, "foreign", (json_int_t)b->foreign,
		"receiver_overruns", (json_int_t)sock_overruns(b->in), "excess_us",
		times(&b->excess_ns), "early", (json_int_t)b->early, "earliest_us",
		(double)b->earliest_ns / 1e3, "send_call_us", times(&b->send_ns), "control",
		"beats", (json_int_t)b->beats, "rate", (json_int_t)b->beat_rate, "late_us",
		times(&b->late_ns));

	if (b->conf.line_rate)
		json_object_set_new(o, "schedule", schedule(b));
	return o;
}

static int set_up(struct beat *b, int argc, char **argv, struct err *e)
{
	struct place from, to;
	struct conf *c = &b->conf;
	int rest, ret = opts_defaults(table, c, e);
	unsigned i;

	ret = ret ? ret : opts_parse(table, c, argc, argv, &rest, e);
	if (!ret && argc - rest != 2)
		ret = err_set(e, EINVAL, "usage: beat FROM TO [options], each NAMESPACE:INTERFACE");
	ret = ret ? ret : place_parse(argv[rest], &from, e);
	ret = ret ? ret : place_parse(argv[rest + 1], &to, e);
	if (ret)
		return ret;
	b->out = place_socket(&from, &(struct packet_socket_use){.send_only = true}, e);
	if (b->out < 0)
		return b->out;
	b->in = place_socket(&to, &(struct packet_socket_use){.timestamps = true}, e);
	if (b->in < 0)
		return b->in;
	/* A full send buffer is waited for. */
	if (fcntl(b->out, F_SETFL, 0))
		return err_set(e, errno, "fcntl: %s", strerror(errno));
	c->settle_ns = c->settle_ns ? c->settle_ns : c->delay_ns + SETTLE_EXTRA;
	b->beat_rate = c->beats ? c->beats : c->rate < CONTROL_MAX ? c->rate : CONTROL_MAX;
	b->seen = calloc(c->frames / 64 + 1, sizeof(*b->seen));
	if (c->line_rate) {
		b->sent_ns = calloc(c->frames, sizeof(*b->sent_ns));
		b->arrival_ns = calloc(c->frames, sizeof(*b->arrival_ns));
	}
	if (!b->seen || (c->line_rate && (!b->sent_ns || !b->arrival_ns)))
		return err_set(e, ENOMEM, "out of memory for %llu frames",
			       (unsigned long long)c->frames);
	if (getrandom(&b->run, sizeof(b->run), 0) != sizeof(b->run))
		return err_set(e, errno, "getrandom: %s", strerror(errno));
	for (i = 0; i < BATCH_MAX; i++)
		lay_out(b->buffer[i], b->run);
	return 0;
}

static int work(struct beat *b, struct err *e)
{
	struct batch *batch = batch_new();
	pthread_t sender, control;
	int ret = batch ? 0 : ENOMEM;

	ret = ret ? ret : pthread_create(&control, NULL, run_control, b);
	ret = ret ? ret : pthread_create(&sender, NULL, run_sender, b);
	if (ret)
		return err_set(e, ret, "threads: %s", strerror(ret));
	place_punctual();
	receive(b, batch);
	b->stop = true;
	pthread_join(sender, NULL);
	pthread_join(control, NULL);
	batch_free(batch);
	if (b->sender_failed)
		return err_set(e, ENOBUFS, "the interface takes no frames");
	return 0;
}

int main(int argc, char **argv)
{
	static struct beat b;
	struct err e = {""};
	json_t *o;

	if (set_up(&b, argc, argv, &e) || work(&b, &e)) {
		fprintf(stderr, "beat: %s\n", e.text);
		return 1;
	}
	o = report(&b);
	json_dumpf(o, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
	putchar('\n');
	json_decref(o);
	return 0;
}
