// SPDX-License-Identifier: GPL-3.0-or-later
/* pump.c - one direction's thread: reads an interface, keeps the times, writes the other */
/*
 * Theory of operation
 *
 * Each turn: read what has come (stamped by the kernel, so that it does not
 * matter when we get to it), let the direction's models decide, send what is
 * due, and if there was nothing to do, wait for the next departure or arrival.
 *
 * Waiting is a sleep that ends SPIN_NS before the departure, and then turns
 * without a sleep: a timer wakes us a tenth of a millisecond late in one case
 * of a hundred, a turn comes round in half a microsecond. Who spins needs a
 * core of his own: with SPIN_AUTO a pump does while the main thread has seen
 * one idle, and both together leave one free.
 *
 * A pump that sleeps rests after each turn that did something. At rates where
 * more happens, several frames are read and sent a turn; a wake-up for each
 * would cost more than the frames themselves, and a core at 1 Gbit/s. With a
 * rate, at which frames are to be spaced, the rest is short. Where there is
 * none it is one in REST_SHARE of the delay, within limits: at 2 Gbit/s and
 * 60 ms the line takes less than half of the processor's time that way.
 *
 * A pump that sleeps between departures has real-time priority, the lowest:
 * while it does not run the line stands still, and among equals, on a machine
 * that is busy, that was half a second. A nice value would not do, it counts
 * within the session only (sched(7), autogroups). A pump that spins has a core
 * that nobody else wants, and no need of it.
 *
 * Segments of one super-frame that leave in one batch are merged again. Others
 * never are: what came as wire frames leaves as wire frames.
 */
#include "shaper/pump.h"

#include "lib/cksum.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/sock.h"

#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define SPIN_NS		(150 * NS_PER_US) /* longer than 99 of 100 wake-ups are late */
#define REST_MIN_NS	(50 * NS_PER_US)
#define REST_MAX_NS	(300 * NS_PER_US)
#define REST_SHARE	200
#define HOUSEKEEPING_NS (50 * NS_PER_MS)
#define NICE		-15 /* where real-time priority is not allowed */
/* Super-frames that wait while we are not running: losses are to be those that were asked for. */
#define BURST_BYTES (128 << 20)
/* Frames that are read before departures are looked at again. */
#define READ_MAX 32

static int open_socket(const char *name, const struct packet_socket_use *use, int *fd,
		       struct err *e)
{
	*fd = packet_socket_open(name, use, e);
	return *fd < 0 ? err_wrap(e, *fd, "%s", name) : 0;
}

static void close_socket(struct pump *p, int *fd)
{
	if (*fd < 0)
		return;
	if (fd == &p->in_fd) {
		p->closed_overruns += packet_socket_overruns(&p->ring, *fd);
		counter_set(&p->counters.overruns, p->closed_overruns);
		packet_ring_close(&p->ring);
	}
	close(*fd);
	*fd = -1;
}

static int open_in(struct pump *p, struct err *e)
{
	struct packet_socket_use use = {
		.vnet = p->shared->vnet,
		.timestamps = true,
		.ring = p->shared->ring ? &p->ring : NULL,
	};
	int ret;

	ret = open_socket(p->in->name, &use, &p->in_fd, e);
	if (!ret)
		sock_set(p->in_fd, SOL_SOCKET, SO_RCVBUFFORCE, BURST_BYTES);
	return ret;
}

static int open_out(struct pump *p, struct err *e)
{
	struct packet_socket_use use = {.vnet = p->shared->vnet, .send_only = true};

	return open_socket(p->out->name, &use, &p->out_fd, e);
}

/*
 * Opens a pump's sockets and what it works with.
 * @p: its direction, traffic, shared, in and out are set, the rest is zero
 * Returns 0 or -errno with a text. Undone by pump_close() in either case.
 */
int pump_open(struct pump *p, struct err *e)
{
	int ret;

	p->in_fd = p->out_fd = -1;
	p->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	p->batch = batch_new();
	p->merge = gso_merge_new(PUMP_BATCH, GSO_MERGE_UDP);
	if (p->wake_fd < 0 || !p->batch || !p->merge)
		return err_set(e, ENOMEM, "out of memory");
	p->in_opened = p->in->opened;
	p->out_opened = p->out->opened;
	ret = open_in(p, e);
	return ret ? ret : open_out(p, e);
}

/*
 * Follows an end: an interface that is gone, or has another name now, is none
 * of ours; one that is there anew needs another socket. One that cannot be
 * opened is tried again when there is news of it.
 */
static void follow(struct pump *p, const struct line_end *end, _Atomic unsigned *opened, int *fd,
		   int (*open_end)(struct pump *, struct err *))
{
	struct err e = {""};
	unsigned now = end->opened;

	if (now != *opened || !end->present) {
		*opened = PUMP_CLOSED;
		close_socket(p, fd);
	}
	if (!end->present || *fd >= 0)
		return;
	if (open_end(p, &e))
		log_warning("%s: %s", direction_name(p->direction.index), e.text);
	else
		*opened = now;
}

static void take_news(struct pump *p)
{
	struct pump_news *n;

	p->attention = false; /* before we look, or a later word would be lost */
	n = atomic_load(&p->news);
	follow(p, p->in, &p->in_opened, &p->in_fd, open_in);
	follow(p, p->out, &p->out_opened, &p->out_fd, open_out);
	if (!n)
		return;
	store_give(&p->direction.store, n->chunks, n->bytes);
	counter_set(&p->traffic->buffer_bytes, p->direction.store.bytes);
	if (n->conf)
		direction_update(&p->direction, n->conf, clock_ns());
	atomic_store(&p->news, NULL);
}

static unsigned receive(struct pump *p)
{
	struct batch_drops drops = {0};
	unsigned n;
	uint32_t i;

	if (p->in_fd < 0)
		return 0;
	if (p->ring.map)
		n = packet_ring_receive(&p->ring, p->batch, p->in_fd, p->shared->vnet, READ_MAX,
					&drops);
	else
		n = packet_socket_receive(p->batch, p->in_fd, p->shared->vnet, READ_MAX, &drops);
	for (i = 0; i < p->batch->n; i++)
		direction_arrive(&p->direction, &p->batch->frames[i], p->batch->arrival_ns[i]);
	if (drops.truncated)
		counter_add(&p->counters.truncated, drops.truncated);
	if (drops.short_frame)
		counter_add(&p->counters.short_frames, drops.short_frame);
	return n;
}

static enum frame_verdict verdict_of(int error)
{
	switch (error) {
	case ENETDOWN:
	case ENXIO:
	case ENODEV:
	case EBADF: return FRAME_LINK_DOWN;
	case ENOBUFS: return FRAME_OUT_FULL;
	}
	return FRAME_REFUSED;
}

static void message_done(struct pump *p, unsigned m, enum frame_verdict verdict,
			 uint64_t departure_ns)
{
	uint32_t i;

	for (i = 0; i < p->count[m]; i++)
		direction_done(&p->direction, p->held[p->members[p->first[m] + i]], verdict,
			       departure_ns);
}

/*
 * Hands the messages that are composed to the kernel. Where several go at
 * once, the time they take is shared out. Those that the socket has no room for
 * stay, and everything behind them waits.
 */
static void send_messages(struct pump *p)
{
	while (p->n_sent < p->n_msgs) {
		uint64_t before = clock_ns(), after;
		int i, sent = sendmmsg(p->out_fd, p->msgs + p->n_sent, p->n_msgs - p->n_sent,
				       MSG_DONTWAIT);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && errno == EAGAIN)
			return;
		if (sent < 0) {
			message_done(p, p->n_sent++, verdict_of(errno), 0);
			continue;
		}
		after = clock_ns();
		for (i = 0; i < sent; i++)
			message_done(p, p->n_sent++, FRAME_SENT,
				     before +
					     (after - before) * (uint64_t)(i + 1) / (uint64_t)sent);
	}
	p->n_msgs = p->n_sent = 0;
}

/* Messages that are composed and cannot be sent any more. */
static void drop_messages(struct pump *p, enum frame_verdict verdict)
{
	while (p->n_sent < p->n_msgs)
		message_done(p, p->n_sent++, verdict, 0);
	p->n_msgs = p->n_sent = 0;
}

/* One message out of @iov; its members are already listed. */
static void add_message(struct pump *p, unsigned m, unsigned *n_iovs, struct virtio_net_hdr *vnet,
			const struct iovec *iov, size_t iovcnt)
{
	struct iovec *to = &p->iovs[*n_iovs];

	p->msgs[m].msg_hdr = (struct msghdr){.msg_iov = to};
	if (p->shared->vnet)
		*to++ = (struct iovec){vnet, sizeof(*vnet)};
	memcpy(to, iov, iovcnt * sizeof(*iov));
	p->msgs[m].msg_hdr.msg_iovlen = iovcnt + p->shared->vnet;
	*n_iovs += (unsigned)iovcnt + p->shared->vnet;
}

/* Each frame is a message. Returns how many. */
static unsigned compose_single(struct pump *p, unsigned n)
{
	unsigned i, n_iovs = 0;

	for (i = 0; i < n; i++) {
		struct held *h = p->held[i];
		struct frame f = {.data = h->data, .len = h->queue.len, .vnet = h->vnet};
		struct iovec iov = {h->data, h->queue.len};

		/* The kernel will not be told that the checksum is partial. */
		if (!p->shared->vnet)
			cksum_complete(&f);
		p->first[i] = p->members[i] = i;
		p->count[i] = 1;
		add_message(p, i, &n_iovs, &h->vnet, &iov, 1);
	}
	return n;
}

/* The frames of the batch that a group is made of: those of its key, from its head on. */
static void list_members(struct pump *p, unsigned n, const struct gso_merged *g, unsigned m,
			 unsigned *at)
{
	uint32_t i, key = g->head->key;

	p->first[m] = *at;
	p->count[m] = g->iovcnt;
	for (i = (uint32_t)(g->head - p->frames); i < n && *at < p->first[m] + g->iovcnt; i++)
		if (p->frames[i].key == key)
			p->members[(*at)++] = i;
}

/* Segments of a super-frame that leave together are a super-frame again. Returns how many messages.
 */
static unsigned compose_merged(struct pump *p, unsigned n)
{
	const struct gso_merged *groups;
	unsigned i, n_iovs = 0, at = 0;
	uint32_t count;

	for (i = 0; i < n; i++) {
		const struct held *h = p->held[i];

		/* A key of its own keeps a frame alone. */
		p->frames[i] = (struct frame){
			.data = p->held[i]->data,
			.len = h->queue.len,
			.vnet = h->vnet,
			.key = h->key && !h->duplicate && !h->corrupted ? h->key << 8 : i + 1};
	}
	groups = gso_merge_batch(p->merge, p->frames, n, &count);
	for (i = 0; i < count; i++) {
		list_members(p, n, &groups[i], i, &at);
		add_message(p, i, &n_iovs, (struct virtio_net_hdr *)&groups[i].vnet, groups[i].iov,
			    groups[i].iovcnt);
	}
	return count;
}

/* Whether frames wait because the interface to leave by takes no more for now. */
static bool blocked(const struct pump *p)
{
	return p->n_sent < p->n_msgs;
}

/* Sends what is due. Returns how many frames that were. */
static unsigned send_due(struct pump *p, uint64_t now_ns)
{
	bool up = p->out->up && p->out_fd >= 0, segments = false;
	unsigned n = 0, i;

	if (blocked(p) && up)
		send_messages(p);
	else if (blocked(p))
		drop_messages(p, FRAME_LINK_DOWN);
	if (blocked(p))
		return 0;
	while (n < PUMP_BATCH && (p->held[n] = direction_pop(&p->direction, now_ns)))
		segments |= p->held[n++]->key != 0;
	for (i = 0; i < n && !up; i++)
		direction_done(&p->direction, p->held[i], FRAME_LINK_DOWN, 0);
	if (!n || !up)
		return n;
	p->n_msgs = segments && n > 1 && p->shared->vnet ? compose_merged(p, n)
							 : compose_single(p, n);
	send_messages(p);
	return n;
}

static void spin_count(struct pump *p, uint64_t now_ns)
{
	counter_add(&p->counters.spun_ns, now_ns - p->spin_began_ns);
	p->spin_began_ns = now_ns;
}

/* Once in a while: what the kernel dropped, and how long we have been spinning. */
static void housekeeping(struct pump *p, uint64_t now_ns)
{
	if (now_ns < p->housekeeping_ns)
		return;
	p->housekeeping_ns = now_ns + HOUSEKEEPING_NS;
	if (p->in_fd >= 0)
		counter_set(&p->counters.overruns,
			    p->closed_overruns + packet_socket_overruns(&p->ring, p->in_fd));
	if (p->spinning)
		spin_count(p, now_ns);
}

/* Real-time priority, the lowest; else the best of the ordinary ones. Both are wishes. */
static void set_realtime(const struct pump *p, bool on)
{
	struct sched_param param = {
		.sched_priority = on ? sched_get_priority_min(SCHED_RR) : 0,
	};

	if (p->shared->realtime)
		pthread_setschedparam(pthread_self(), on ? SCHED_RR : SCHED_OTHER, &param);
}

static void spin_end(struct pump *p, uint64_t now_ns)
{
	if (!p->spinning)
		return;
	p->spinning = false;
	set_realtime(p, true);
	atomic_fetch_sub(&p->shared->spinners, 1);
	spin_count(p, now_ns);
}

/* Whether we may spin now; if so, we do until spin_end(). */
static bool spin_begin(struct pump *p, uint64_t now_ns)
{
	struct pump_shared *s = p->shared;

	if (s->spin == SPIN_NO || (s->spin == SPIN_AUTO && !s->core_free))
		return false;
	if (p->spinning)
		return true;
	if (atomic_fetch_add(&s->spinners, 1) >= s->spinners_max && s->spin == SPIN_AUTO) {
		atomic_fetch_sub(&s->spinners, 1);
		return false;
	}
	p->spinning = true;
	p->spin_began_ns = now_ns;
	/* Who never sleeps is stopped for a twentieth of each second if it is real-time. */
	set_realtime(p, false);
	return true;
}

static uint64_t rest_ns(const struct direction_conf *c)
{
	uint64_t ns = c->rate.kind == RATE_NONE ? delay_floor(&c->impair.delay) / REST_SHARE : 0;

	return ns < REST_MIN_NS ? REST_MIN_NS : ns > REST_MAX_NS ? REST_MAX_NS : ns;
}

static void rest_until(uint64_t ns)
{
	struct timespec at = {(time_t)(ns / NS_PER_S), (long)(ns % NS_PER_S)};

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

/* Waits for the next departure, an arrival or news. */
static void wait_for_work(struct pump *p)
{
	uint64_t next = direction_next(&p->direction), now = clock_ns(), ns, rested;
	struct pollfd fds[3] = {{.fd = p->wake_fd, .events = POLLIN},
				{.fd = p->in_fd, .events = POLLIN},
				{.fd = p->out_fd, .events = POLLOUT}};
	struct timespec timeout;
	bool spin;
	uint64_t woken;

	if (blocked(p))
		next = UINT64_MAX; /* nothing goes before there is room */
	if (next <= now)
		return;
	spin = next != UINT64_MAX && spin_begin(p, now);
	ns = next - now;
	if (spin && ns <= SPIN_NS)
		return; /* the turns themselves are the spinning */
	spin_end(p, now);
	rested = p->worked_ns + rest_ns(p->direction.conf);
	if (!spin && now < rested) {
		rest_until(rested);
		return;
	}
	if (spin)
		ns -= SPIN_NS;
	timeout = (struct timespec){(time_t)(ns / NS_PER_S), (long)(ns % NS_PER_S)};
	if (ppoll(fds, 2 + blocked(p), next == UINT64_MAX ? NULL : &timeout, NULL) <= 0)
		return;
	if (fds[0].revents && read(p->wake_fd, &woken, sizeof(woken)) < 0)
		p->attention = true;
	/* An interface that went down says so once; taking the error ends its being ready. */
	if (fds[1].revents & (POLLERR | POLLHUP)) {
		int error;
		socklen_t len = sizeof(error);

		getsockopt(p->in_fd, SOL_SOCKET, SO_ERROR, &error, &len);
	}
}

static void *run(void *arg)
{
	struct pump *p = arg;
	unsigned work;
	uint64_t now;

	/* Wishes too: without them we wake a little later. */
	prctl(PR_SET_TIMERSLACK, 1UL);
	setpriority(PRIO_PROCESS, 0, NICE);
	set_realtime(p, true);
	while (!p->stop) {
		if (p->attention)
			take_news(p);
		work = receive(p);
		now = clock_ns();
		direction_advance(&p->direction, now);
		work += send_due(p, now);
		housekeeping(p, now);
		if (work)
			p->worked_ns = now;
		else
			wait_for_work(p);
	}
	spin_end(p, clock_ns());
	return NULL;
}

/* Starts the thread. Returns 0 or -errno with a text. */
int pump_start(struct pump *p, struct err *e)
{
	int ret = pthread_create(&p->thread, NULL, run, p);

	if (ret)
		return err_set(e, ret, "thread: %s", strerror(ret));
	p->running = true;
	return 0;
}

/* Has the thread look at its ends and its news. */
void pump_wake(struct pump *p)
{
	uint64_t one = 1;

	p->attention = true;
	if (write(p->wake_fd, &one, sizeof(one)) < 0)
		log_debug("wake-up: %s", strerror(errno)); /* it is full of wake-ups already */
}

/* Hands over new settings; the caller waits for pump_took() before the next, and keeps them. */
void pump_publish(struct pump *p, struct pump_news *news)
{
	atomic_store(&p->news, news);
	pump_wake(p);
}

/* Whether the last settings published are in force. */
bool pump_took(const struct pump *p)
{
	return !atomic_load(&p->news);
}

/* Ends the thread. Frames that are not due yet stay where they are. */
void pump_stop(struct pump *p)
{
	if (!p->running)
		return;
	p->stop = true;
	pump_wake(p);
	pthread_join(p->thread, NULL);
	p->running = false;
	drop_messages(p, FRAME_UNFINISHED);
}

/* Closes what pump_open() has opened; the thread has ended. */
void pump_close(struct pump *p)
{
	close_socket(p, &p->in_fd);
	close_socket(p, &p->out_fd);
	if (p->wake_fd >= 0)
		close(p->wake_fd);
	batch_free(p->batch);
	gso_merge_free(p->merge);
}
