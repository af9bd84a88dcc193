// SPDX-License-Identifier: GPL-3.0-or-later
/* loop.c - one thread's event loop: descriptors, timers, signals, calls from other threads */
/*
 * Theory of operation
 *
 * A loop belongs to the thread that runs it. Everything here may be called by
 * that thread only, except loop_post() and loop_stop(), which any thread may
 * call: they are how threads speak to one another.
 *
 * Each turn waits in epoll until a descriptor is ready or the first timer is
 * due, calls what is ready, then posted calls, then timers, and then what was
 * asked for at the end of each turn. A callback may
 * remove any descriptor, its own and others that the same turn still holds:
 * the turn's list is searched and the removed one is skipped.
 */
#include "lib/loop.h"

#include "lib/clock.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define EVENTS_MAX 64

struct posted {
	void (*fn)(void *arg);
	void *arg;
	struct posted *next;
};

struct loop {
	int epoll_fd;
	struct epoll_event events[EVENTS_MAX]; /* of the turn under way */
	int n_events, at_event;
	struct loop_timer *timers; /* soonest first */
	uint64_t now_ns;	   /* when the turn began */
	_Atomic bool stop;
	_Atomic bool asleep;  /* or about to be: who posts must wake it */
	struct loop_io wake;  /* eventfd: something was posted, or stop */
	pthread_mutex_t lock; /* of the posted list */
	struct posted *posted, **posted_end;
	bool (*on_turn_end)(void *ctx);
	void *turn_end_ctx;
	struct loop_io signals;
	void (*on_signal)(void *ctx, int signal);
	void *signal_ctx;
};

/* It has woken the loop, which is all. Watched for edges, it need not be read. */
static void wake_ready(void *ctx, uint32_t events)
{
}

static void wake(struct loop *l)
{
	uint64_t one = 1;

	if (write(l->wake.fd, &one, sizeof(one)) < 0)
		return; /* EAGAIN: it is awake already */
}

/*
 * Makes a loop. Returns NULL with a text in @e when descriptors or memory are short.
 */
struct loop *loop_new(struct err *e)
{
	struct loop *l = calloc(1, sizeof(*l));

	if (!l) {
		err_set(e, ENOMEM, "out of memory");
		return NULL;
	}
	l->signals.fd = -1;
	l->posted_end = &l->posted;
	pthread_mutex_init(&l->lock, NULL);
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	l->wake = (struct loop_io){eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), wake_ready, l};
	if (l->epoll_fd < 0 || l->wake.fd < 0 || loop_add(l, &l->wake, EPOLLIN | EPOLLET) < 0) {
		err_set(e, errno, "event loop: %s", strerror(errno));
		loop_free(l);
		return NULL;
	}
	l->now_ns = clock_ns();
	return l;
}

/* Ends a loop that is not running. Calls posted but not yet made are dropped. */
void loop_free(struct loop *l)
{
	struct posted *p;

	if (!l)
		return;
	while ((p = l->posted)) {
		l->posted = p->next;
		free(p);
	}
	if (l->signals.fd >= 0)
		close(l->signals.fd);
	if (l->wake.fd >= 0)
		close(l->wake.fd);
	if (l->epoll_fd >= 0)
		close(l->epoll_fd);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

static int control(struct loop *l, int op, struct loop_io *io, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = io};

	return epoll_ctl(l->epoll_fd, op, io->fd, &ev) < 0 ? -errno : 0;
}

/* Watches a descriptor. @io stays where it is until loop_remove(). Returns 0 or -errno. */
int loop_add(struct loop *l, struct loop_io *io, uint32_t events)
{
	return control(l, EPOLL_CTL_ADD, io, events);
}

/* Changes what a descriptor is watched for. Returns 0 or -errno. */
int loop_modify(struct loop *l, struct loop_io *io, uint32_t events)
{
	return control(l, EPOLL_CTL_MOD, io, events);
}

/* What this turn still holds of a descriptor is not told. */
static void skip(struct loop *l, const struct loop_io *io)
{
	int i;

	for (i = l->at_event; i < l->n_events; i++)
		if (l->events[i].data.ptr == io)
			l->events[i].data.ptr = NULL;
}

/* Stops watching a descriptor; it is not closed. */
void loop_remove(struct loop *l, struct loop_io *io)
{
	control(l, EPOLL_CTL_DEL, io, 0);
	skip(l, io);
}

/* Closes a watched descriptor that has no duplicate: the kernel then watches it no more. */
void loop_close(struct loop *l, struct loop_io *io)
{
	skip(l, io);
	close(io->fd);
	io->fd = -1;
}

/*
 * Starts a timer, or starts it anew.
 * @after_ns:  from now until it expires first
 * @period_ns: from then on, 0 for once. A period that was missed is not made up for.
 */
void loop_timer_start(struct loop *l, struct loop_timer *t, uint64_t after_ns, uint64_t period_ns)
{
	struct loop_timer **at;

	loop_timer_stop(l, t);
	t->at_ns = clock_ns() + after_ns;
	t->period_ns = period_ns;
	for (at = &l->timers; *at && (*at)->at_ns <= t->at_ns; at = &(*at)->next)
		;
	t->next = *at;
	*at = t;
	t->armed = true;
}

/* Stops a timer; one that is not running is left alone. */
void loop_timer_stop(struct loop *l, struct loop_timer *t)
{
	struct loop_timer **at;

	if (!t->armed)
		return;
	for (at = &l->timers; *at && *at != t; at = &(*at)->next)
		;
	if (*at)
		*at = t->next;
	t->armed = false;
}

/*
 * Has the loop's own thread call @fn(@arg) soon. Any thread may call this;
 * only while the loop sleeps does it cost a system call.
 * Calls are made in the order in which they were posted. Returns 0 or -ENOMEM.
 */
int loop_post(struct loop *l, void (*fn)(void *arg), void *arg)
{
	struct posted *p = malloc(sizeof(*p));

	if (!p)
		return -ENOMEM;
	*p = (struct posted){fn, arg, NULL};
	pthread_mutex_lock(&l->lock);
	*l->posted_end = p;
	l->posted_end = &p->next;
	pthread_mutex_unlock(&l->lock);
	if (atomic_exchange(&l->asleep, false))
		wake(l);
	return 0;
}

static void signal_ready(void *ctx, uint32_t events)
{
	struct loop *l = ctx;
	struct signalfd_siginfo info;

	while (read(l->signals.fd, &info, sizeof(info)) == sizeof(info))
		l->on_signal(l->signal_ctx, (int)info.ssi_signo);
}

/*
 * Turns signals into calls of @fn. They are blocked in this thread and in the
 * threads it starts afterwards.
 * @signals: ended by 0
 */
int loop_on_signals(struct loop *l, const int *signals, void (*fn)(void *ctx, int signal),
		    void *ctx, struct err *e)
{
	sigset_t set;

	sigemptyset(&set);
	for (; *signals; signals++)
		sigaddset(&set, *signals);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	l->on_signal = fn;
	l->signal_ctx = ctx;
	l->signals = (struct loop_io){signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC), signal_ready,
				      l};
	if (l->signals.fd < 0 || loop_add(l, &l->signals, EPOLLIN) < 0)
		return err_set(e, errno, "signalfd: %s", strerror(errno));
	return 0;
}

static bool has_posted(struct loop *l)
{
	bool has;

	pthread_mutex_lock(&l->lock);
	has = l->posted;
	pthread_mutex_unlock(&l->lock);
	return has;
}

static void run_posted(struct loop *l)
{
	struct posted *list, *p;

	pthread_mutex_lock(&l->lock);
	list = l->posted;
	l->posted = NULL;
	l->posted_end = &l->posted;
	pthread_mutex_unlock(&l->lock);
	while ((p = list)) {
		list = p->next;
		p->fn(p->arg);
		free(p);
	}
}

/*
 * Makes the calls that a loop was asked for and has not made, where what they are about would be
 * lost with it. It is not running, and will not.
 * Returns whether there were any.
 */
bool loop_drain(struct loop *l)
{
	bool any = has_posted(l);

	run_posted(l);
	return any;
}

static void run_timers(struct loop *l)
{
	struct loop_timer *t;

	while ((t = l->timers) && t->at_ns <= l->now_ns) {
		l->timers = t->next;
		t->armed = false;
		if (t->period_ns)
			loop_timer_start(l, t, t->period_ns, t->period_ns);
		t->expired(t->ctx);
	}
}

/*
 * Milliseconds until the first timer, rounded up so that it is due then; -1:
 * none. A timer farther away than an int can say is waited for in several turns.
 */
static int timeout_ms(const struct loop *l)
{
	uint64_t now, ms;

	if (!l->timers)
		return -1;
	now = clock_ns();
	if (l->timers->at_ns <= now)
		return 0;
	ms = (l->timers->at_ns - now + NS_PER_MS - 1) / NS_PER_MS;
	return ms < INT_MAX ? (int)ms : INT_MAX;
}

/*
 * Has @fn(@ctx) called at the end of each turn, when all that was ready has been
 * served: for what had better be done once for all of it.
 * @fn: returns whether it has more to do, so that the next turn must not wait
 */
void loop_on_turn_end(struct loop *l, bool (*fn)(void *ctx), void *ctx)
{
	l->on_turn_end = fn;
	l->turn_end_ctx = ctx;
}

/* Runs until loop_stop(). Returns 0, or -errno when waiting itself fails. */
int loop_run(struct loop *l)
{
	bool more = false;
	struct loop_io *io;

	while (!atomic_load(&l->stop)) {
		/* In this order: what is posted between the two wakes it. */
		atomic_store(&l->asleep, true);
		l->n_events = epoll_wait(l->epoll_fd, l->events, EVENTS_MAX,
					 more || has_posted(l) ? 0 : timeout_ms(l));
		atomic_store(&l->asleep, false);
		if (l->n_events < 0 && errno != EINTR)
			return -errno;
		l->now_ns = clock_ns();
		for (l->at_event = 0; l->at_event < l->n_events; l->at_event++) {
			io = l->events[l->at_event].data.ptr;
			if (io)
				io->ready(io->ctx, l->events[l->at_event].events);
		}
		l->n_events = 0;
		run_posted(l);
		run_timers(l);
		more = l->on_turn_end && l->on_turn_end(l->turn_end_ctx);
	}
	return 0;
}

/* Ends loop_run() after its turn. Any thread may call this, a signal's callback too. */
void loop_stop(struct loop *l)
{
	atomic_store(&l->stop, true);
	wake(l);
}

/* Whether loop_stop() was called. Any thread may ask. */
bool loop_stopping(const struct loop *l)
{
	return atomic_load(&l->stop);
}

/* When the turn under way began, CLOCK_MONOTONIC nanoseconds: cheap, and the same for a whole
 * batch. */
uint64_t loop_now(const struct loop *l)
{
	return l->now_ns;
}
