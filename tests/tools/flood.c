// SPDX-License-Identifier: GPL-3.0-or-later
/* flood.c - small frames into a line, as many as go, and how many of them leave it */
/*
 *	flood /proc/12/fd/3:eth0 /proc/12/fd/4:eth0 --duration 2s [--rate 500000]
 *
 * What arrives is taken from the far interface's counters, once when the last
 * frame was sent and once when no more come: a program that read the frames
 * there would take the processor time that the line needs. For the same reason
 * the frames are all the same; beat.c tells whether they are the right ones.
 */
#include "lib/clock.h"
#include "lib/opts.h"
#include "lib/sock.h"
#include "tests/tools/place.h"

#include <jansson.h>
#include <linux/if_packet.h>
#include <pthread.h>
#include <sys/socket.h>

#define THREADS_MAX 16
#define BATCH	    64
#define SIZE_MAX_   9014
#define REFUSED_NS  (20 * NS_PER_US)

struct conf {
	uint64_t threads, rate, size, duration_ns, settle_ns;
};

#define FIELD(f) offsetof(struct conf, f)
static const struct opt table[] = {
	{"threads", 't', .type = OPT_COUNT, .deflt = "1", .min = 1, .max = THREADS_MAX,
	 .offset = FIELD(threads), .arg = "N", .help = "that send"},
	{"rate", 'r', .type = OPT_COUNT, .deflt = "0", .max = 100000000, .offset = FIELD(rate),
	 .arg = "N", .help = "frames a second, of all threads together; 0: as many as go"},
	{"size", 's', .type = OPT_COUNT, .deflt = "60", .min = 60, .max = SIZE_MAX_,
	 .offset = FIELD(size), .arg = "BYTES", .help = "of a frame, without FCS"},
	{"duration", 0, .type = OPT_TIME, .deflt = "1s", .min = NS_PER_MS, .max = 600 * NS_PER_S,
	 .offset = FIELD(duration_ns), .arg = "TIME", .help = "of sending"},
	{"settle", 0, .type = OPT_TIME, .deflt = "200ms", .max = 60 * NS_PER_S,
	 .offset = FIELD(settle_ns), .arg = "TIME",
	 .help = "for which no frame comes: then no more will"},
	{0},
};

struct sender {
	pthread_t thread;
	const struct conf *conf;
	int fd;
	uint64_t began_ns, sent, refused;
};

/* An interface's counters, as /proc/net/dev has them. */
struct counters {
	uint64_t rx_packets, rx_drop, tx_packets, tx_drop;
};

/* Frames this sender is to have sent by now. */
static uint64_t due_by(const struct sender *s, uint64_t now_ns)
{
	return (now_ns - s->began_ns) * s->conf->rate / s->conf->threads / NS_PER_S;
}

static void sleep_for(uint64_t ns)
{
	nanosleep(&(struct timespec){(time_t)(ns / NS_PER_S), (long)(ns % NS_PER_S)}, NULL);
}

static void *run(void *arg)
{
	static const uint8_t head[] = {2,
				       0,
				       0,
				       0xbe,
				       0xa7,
				       2,
				       2,
				       0,
				       0,
				       0xbe,
				       0xa7,
				       1,
				       PLACE_ETHERTYPE >> 8,
				       PLACE_ETHERTYPE & 0xff};
	struct sender *s = arg;
	uint8_t frame[SIZE_MAX_] = {0};
	struct iovec iov = {frame, s->conf->size};
	struct mmsghdr msgs[BATCH] = {0};
	uint64_t end = s->began_ns + s->conf->duration_ns, now, due = BATCH;
	unsigned i;
	int n;

	memcpy(frame, head, sizeof(head));
	for (i = 0; i < BATCH; i++)
		msgs[i].msg_hdr = (struct msghdr){.msg_iov = &iov, .msg_iovlen = 1};
	prctl(PR_SET_TIMERSLACK, 1UL);
	while ((now = clock_ns()) < end) {
		if (s->conf->rate)
			due = due_by(s, now) - s->sent;
		if (due < BATCH / 2) {
			sleep_for(BATCH / 2 * NS_PER_S * s->conf->threads / s->conf->rate);
			continue;
		}
		n = sendmmsg(s->fd, msgs, due < BATCH ? (unsigned)due : BATCH, 0);
		if (n > 0) {
			s->sent += (unsigned)n;
			continue;
		}
		s->refused++;
		sleep_for(REFUSED_NS);
	}
	return NULL;
}

/* Reads an interface's line of /proc/net/dev. */
static int read_counters(int fd, const char *ifname, struct counters *c, struct err *e)
{
	char text[16384], name[IFNAMSIZ + 2];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	unsigned long long rx, rx_drop, tx, tx_drop;
	char *at;

	text[n > 0 ? n : 0] = 0;
	snprintf(name, sizeof(name), "%s:", ifname);
	at = strstr(text, name);
	if (!at || sscanf(at + strlen(name), "%*u %llu %*u %llu %*u %*u %*u %*u %*u %llu %*u %llu",
			  &rx, &rx_drop, &tx, &tx_drop) != 4)
		return err_set(e, ENODEV, "%s: no counters in /proc/net/dev", ifname);
	*c = (struct counters){rx, rx_drop, tx, tx_drop};
	return 0;
}

/* Opens the counters of a namespace; they stay that namespace's. */
static int open_counters(const struct place *p, struct err *e)
{
	int ret = place_enter(p, e), fd;

	if (ret)
		return ret;
	fd = open("/proc/thread-self/net/dev", O_RDONLY | O_CLOEXEC);
	return fd < 0 ? err_set(e, errno, "/proc/thread-self/net/dev: %s", strerror(errno)) : fd;
}

/* Waits until no more frames come. */
static int settle(int fd, const char *ifname, uint64_t settle_ns, struct counters *c, struct err *e)
{
	struct counters before;
	int ret = 0;

	do {
		before = *c;
		sleep_for(settle_ns);
		ret = read_counters(fd, ifname, c, e);
	} while (!ret && c->rx_packets != before.rx_packets);
	return ret;
}

static int open_senders(struct sender *s, const struct conf *c, const struct place *from,
			struct err *e)
{
	unsigned i;

	for (i = 0; i < c->threads; i++) {
		s[i].conf = c;
		s[i].fd = place_socket(from, &(struct packet_socket_use){.send_only = true}, e);
		if (s[i].fd < 0)
			return s[i].fd;
		/* Sending shares the machine with the line: past the queueing discipline it costs
		 * a fifth less. */
		if (fcntl(s[i].fd, F_SETFL, 0) ||
		    sock_set(s[i].fd, SOL_PACKET, PACKET_QDISC_BYPASS, 1))
			return err_set(e, errno, "%s: %s", from->ifname, strerror(errno));
	}
	return 0;
}

static void print(uint64_t sent, uint64_t refused, uint64_t ns, const struct counters near[2],
		  const struct counters far[3])
{
	uint64_t meanwhile = far[1].rx_packets - far[0].rx_packets;
	uint64_t arrived = far[2].rx_packets - far[0].rx_packets;
	json_t *o = json_pack(
		"{s:i, s:I, s:I, s:f, s:I, s:I, s:I, s:f, s:f, s:I, s:I}", "version", 1, "sent",
		(json_int_t)sent, "refused", (json_int_t)refused, "seconds", (double)ns / 1e9,
		"arrived_meanwhile", (json_int_t)meanwhile, "arrived", (json_int_t)arrived, "lost",
		(json_int_t)(sent - arrived), "sent_fps", (double)sent * 1e9 / (double)ns,
		"arrived_fps", (double)meanwhile * 1e9 / (double)ns, "near_tx_drop",
		(json_int_t)(near[1].tx_drop - near[0].tx_drop), "far_rx_drop",
		(json_int_t)(far[2].rx_drop - far[0].rx_drop));

	json_dumpf(o, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
	putchar('\n');
	json_decref(o);
}

/* Counters are read before, when the last frame was sent, and when no more come. */
static int work(const struct conf *c, const struct place *from, const struct place *to,
		struct err *e)
{
	struct sender senders[THREADS_MAX] = {0};
	struct counters near[2] = {{0}}, far[3] = {{0}};
	int ret = open_senders(senders, c, from, e), near_fd, far_fd;
	uint64_t sent = 0, refused = 0, began, seconds_ns;
	unsigned i;

	near_fd = ret ? ret : open_counters(from, e);
	far_fd = near_fd < 0 ? near_fd : open_counters(to, e);
	ret = far_fd < 0 ? far_fd : read_counters(far_fd, to->ifname, &far[0], e);
	ret = ret ? ret : read_counters(near_fd, from->ifname, &near[0], e);
	if (ret)
		return ret;
	began = clock_ns();
	for (i = 0; i < c->threads; i++) {
		senders[i].began_ns = began;
		ret = pthread_create(&senders[i].thread, NULL, run, &senders[i]);
		if (ret)
			return err_set(e, ret, "thread: %s", strerror(ret));
	}
	for (i = 0; i < c->threads; i++) {
		pthread_join(senders[i].thread, NULL);
		sent += senders[i].sent;
		refused += senders[i].refused;
	}
	seconds_ns = clock_ns() - began;
	ret = read_counters(far_fd, to->ifname, &far[1], e);
	far[2] = far[1];
	ret = ret ? ret : settle(far_fd, to->ifname, c->settle_ns, &far[2], e);
	ret = ret ? ret : read_counters(near_fd, from->ifname, &near[1], e);
	if (ret)
		return ret;
	print(sent, refused, seconds_ns, near, far);
	return 0;
}

int main(int argc, char **argv)
{
	struct conf conf = {0};
	struct place from, to;
	struct err e = {""};
	int rest, ret = opts_defaults(table, &conf, &e);

	ret = ret ? ret : opts_parse(table, &conf, argc, argv, &rest, &e);
	if (!ret && argc - rest != 2)
		ret = err_set(&e, EINVAL,
			      "usage: flood FROM TO [options], each NAMESPACE:INTERFACE");
	ret = ret ? ret : place_parse(argv[rest], &from, &e);
	ret = ret ? ret : place_parse(argv[rest + 1], &to, &e);
	ret = ret ? ret : work(&conf, &from, &to, &e);
	if (ret)
		fprintf(stderr, "flood: %s\n", e.text);
	return ret ? 1 : 0;
}
