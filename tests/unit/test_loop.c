// SPDX-License-Identifier: GPL-3.0-or-later
/* test_loop.c - descriptors, timers, signals and calls from other threads */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/clock.h"
#include "lib/loop.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define DEADLINE_S 20 /* for what takes milliseconds */

static struct loop *l;
static struct err e;
static char trace[256]; /* what was called, a letter each */
static size_t stop_at;	/* descriptors stop the loop at so many letters; 0: never */

static void note(char letter)
{
	size_t n = strlen(trace);

	assert_true(n < sizeof(trace) - 1);
	trace[n] = letter;
	trace[n + 1] = '\0';
}

/* A loop that never ends would hang the test: the alarm ends it. */
static int setup(void **state)
{
	trace[0] = '\0';
	stop_at = 0;
	l = loop_new(&e);
	alarm(DEADLINE_S);
	return l ? 0 : -1;
}

static int teardown(void **state)
{
	alarm(0);
	loop_free(l);
	return 0;
}

/* Timers --------------------------------------------------------------- */

struct timer {
	struct loop_timer t;
	char letter;
	unsigned left; /* stops the loop, or itself, at 0 */
	void (*then)(struct timer *);
	struct timer *other;
};

static void expired(void *ctx)
{
	struct timer *t = ctx;

	note(t->letter);
	if (t->left)
		t->left--;
	if (!t->left && t->then)
		t->then(t);
}

static void then_stop_loop(struct timer *t)
{
	loop_stop(l);
}

static void then_stop_itself(struct timer *t)
{
	loop_timer_stop(l, &t->t);
}

static void then_stop_other(struct timer *t)
{
	loop_timer_stop(l, &t->other->t);
}

static void then_start_other(struct timer *t)
{
	loop_timer_start(l, &t->other->t, 0, 0);
}

#define TIMER(c, n, f)                                                              \
	{                                                                           \
		.t = {.expired = expired}, .letter = (c), .left = (n), .then = (f), \
	}

static void start(struct timer *t, uint64_t after_ms, uint64_t period_ms)
{
	t->t.ctx = t;
	loop_timer_start(l, &t->t, after_ms * NS_PER_MS, period_ms * NS_PER_MS);
}

/* Started in no order. What is due when is read from the timers: the test may be held up between.
 */
static void timers_expire_soonest_first(void **state)
{
	struct timer timers[20], *last = timers;
	char expected[21] = "";
	uint64_t done = 0;
	unsigned i, n;

	for (i = 0; i < 20; i++) {
		timers[i] = (struct timer)TIMER((char)('a' + i), 0, NULL);
		start(&timers[i], i * 7 % 20, 0);
		last = timers[i].t.at_ns >= last->t.at_ns ? &timers[i] : last;
	}
	for (n = 0; n < 20; n++) {
		struct timer *next = NULL;

		for (i = 0; i < 20; i++)
			if (timers[i].t.at_ns > done &&
			    (!next || timers[i].t.at_ns < next->t.at_ns))
				next = &timers[i];
		assert_non_null(next);
		done = next->t.at_ns;
		expected[n] = next->letter;
	}
	last->then = then_stop_loop;
	assert_int_equal(loop_run(l), 0);
	assert_string_equal(trace, expected);
}

static void timers_due_together_expire_as_they_were_started(void **state)
{
	struct timer a = TIMER('a', 0, NULL), b = TIMER('b', 0, NULL);
	struct timer c = TIMER('c', 0, then_stop_loop);

	start(&a, 0, 0);
	start(&b, 0, 0);
	start(&c, 0, 0);
	loop_run(l);
	assert_string_equal(trace, "abc");
}

static void a_timer_never_expires_early(void **state)
{
	struct timer a = TIMER('a', 0, then_stop_loop);
	uint64_t before = clock_ns();

	start(&a, 5, 0);
	loop_run(l);
	assert_true(clock_ns() - before >= 5 * NS_PER_MS);
	assert_true(loop_now(l) - before >= 5 * NS_PER_MS);
	assert_true(loop_now(l) <= clock_ns());
}

static void a_timer_without_period_expires_once(void **state)
{
	struct timer a = TIMER('a', 0, NULL), end = TIMER('.', 0, then_stop_loop);

	start(&a, 1, 0);
	start(&end, 10, 0);
	loop_run(l);
	assert_string_equal(trace, "a.");
	assert_false(a.t.armed);
}

static void a_period_repeats_until_the_timer_is_stopped(void **state)
{
	struct timer a = TIMER('a', 4, then_stop_itself), b = TIMER('b', 7, then_stop_loop);
	uint64_t before = clock_ns();

	start(&a, 0, 1);
	start(&b, 1, 3);
	loop_run(l);
	assert_true(clock_ns() - before >= (1 + 6 * 3) * NS_PER_MS);
	assert_int_equal(a.left, 0);
	assert_false(a.t.armed);
	/* …four times, not a fifth though the loop went on. */
	assert_int_equal(strlen(trace), 4 + 7);
}

static void a_stopped_timer_does_not_expire(void **state)
{
	struct timer a = TIMER('a', 0, NULL), end = TIMER('.', 0, then_stop_loop);

	start(&a, 1, 1);
	start(&end, 5, 0);
	loop_timer_stop(l, &a.t);
	loop_timer_stop(l, &a.t);
	loop_run(l);
	assert_string_equal(trace, ".");
}

static void a_timer_may_stop_another_that_is_due_with_it(void **state)
{
	struct timer b = TIMER('b', 0, NULL), a = TIMER('a', 0, then_stop_other);
	struct timer end = TIMER('.', 0, then_stop_loop);

	a.other = &b;
	start(&a, 0, 0);
	start(&b, 0, 1);
	start(&end, 5, 0);
	loop_run(l);
	assert_string_equal(trace, "a.");
}

static void a_timer_started_anew_counts_from_then(void **state)
{
	struct timer a = TIMER('a', 0, then_stop_loop), b = TIMER('b', 0, NULL);

	start(&a, 0, 1);
	start(&b, 0, 0);
	start(&a, 0, 0);
	loop_run(l);
	assert_string_equal(trace, "ba");
}

/* Descriptors ----------------------------------------------------------- */

struct fd {
	struct loop_io io;
	char letter;
	bool stop, keep;   /* stop the loop; leave what is there to be read */
	struct fd *remove; /* remove this one */
	bool again;	   /* …and add it again, with nothing to be read */
	uint32_t events;
};

static void ready(void *ctx, uint32_t events)
{
	struct fd *f = ctx;
	uint64_t n;

	note(f->letter);
	f->events = events;
	if (!f->keep && events & EPOLLIN)
		assert_int_equal(read(f->io.fd, &n, sizeof(n)), sizeof(n));
	if (f->remove)
		loop_remove(l, &f->remove->io);
	if (f->again) {
		assert_int_equal(read(f->remove->io.fd, &n, sizeof(n)), sizeof(n));
		assert_int_equal(loop_add(l, &f->remove->io, EPOLLIN), 0);
	}
	if (f->stop || strlen(trace) == stop_at)
		loop_stop(l);
}

static void open_fd(struct fd *f, char letter, unsigned value)
{
	*f = (struct fd){.io = {eventfd(value, EFD_NONBLOCK | EFD_CLOEXEC), ready, f},
			 .letter = letter};
	assert_true(f->io.fd >= 0);
}

static void add_fd(struct fd *f, char letter, unsigned value)
{
	open_fd(f, letter, value);
	assert_int_equal(loop_add(l, &f->io, EPOLLIN), 0);
}

static void a_ready_descriptor_is_told_with_its_events(void **state)
{
	struct fd a, b;

	add_fd(&a, 'a', 0);
	add_fd(&b, 'b', 1);
	b.stop = true;
	assert_int_equal(loop_run(l), 0);
	assert_string_equal(trace, "b");
	assert_int_equal(b.events, EPOLLIN);
	close(a.io.fd);
	close(b.io.fd);
}

static void what_is_not_read_is_told_again(void **state)
{
	struct timer end = TIMER('.', 0, then_stop_loop);
	struct fd a;

	add_fd(&a, 'a', 1);
	a.keep = true;
	start(&end, 0, 0);
	loop_run(l);
	assert_string_equal(trace, "a.");
	teardown(NULL);
	l = loop_new(&e);
	loop_add(l, &a.io, EPOLLIN);
	a.keep = false;
	a.stop = true;
	loop_run(l);
	assert_string_equal(trace, "a.a");
	close(a.io.fd);
}

static void what_a_descriptor_is_watched_for_can_change(void **state)
{
	struct fd a;

	add_fd(&a, 'a', 0);
	a.stop = true;
	assert_int_equal(loop_modify(l, &a.io, EPOLLOUT), 0);
	loop_run(l);
	assert_string_equal(trace, "a");
	assert_int_equal(a.events, EPOLLOUT);
	close(a.io.fd);
}

static void a_wrong_descriptor_is_refused(void **state)
{
	struct fd a;

	open_fd(&a, 'a', 0);
	assert_int_equal(loop_modify(l, &a.io, EPOLLIN), -ENOENT);
	assert_int_equal(loop_add(l, &a.io, EPOLLIN), 0);
	assert_int_equal(loop_add(l, &a.io, EPOLLIN), -EEXIST);
	close(a.io.fd);
	assert_int_equal(loop_add(l, &a.io, EPOLLIN), -EBADF);
	loop_remove(l, &a.io);
}

static void one_ready_descriptor_may_remove_another_of_the_same_turn(void **state)
{
	struct timer end = TIMER('.', 0, then_stop_loop);
	struct fd a, b, c;

	/* Whichever is first removes the other. */
	add_fd(&a, 'x', 1);
	add_fd(&b, 'x', 1);
	add_fd(&c, 'c', 1);
	a.remove = &b;
	b.remove = &a;
	start(&end, 0, 0);
	loop_run(l);
	assert_int_equal(strlen(trace), 3);
	assert_ptr_equal(strchr(trace, 'x'), strrchr(trace, 'x'));
	assert_non_null(strchr(trace, 'c'));
	close(a.io.fd);
	close(b.io.fd);
	close(c.io.fd);
}

static void a_descriptor_may_remove_itself(void **state)
{
	struct timer end = TIMER('.', 0, then_stop_loop);
	struct fd a;

	add_fd(&a, 'a', 1);
	a.keep = true;
	a.remove = &a;
	start(&end, 5, 0);
	loop_run(l);
	assert_string_equal(trace, "a.");
	close(a.io.fd);
}

static void old_news_is_not_told_to_a_descriptor_added_again(void **state)
{
	struct timer end = TIMER('.', 0, then_stop_loop);
	struct fd a, b;

	add_fd(&a, 'x', 1);
	add_fd(&b, 'x', 1);
	a.remove = &b;
	b.remove = &a;
	a.again = b.again = true;
	start(&end, 2, 0);
	loop_run(l);
	assert_string_equal(trace, "x.");
	close(a.io.fd);
	close(b.io.fd);
}

static void more_descriptors_than_a_turn_holds_are_all_served(void **state)
{
	static struct fd many[150];
	unsigned i;

	for (i = 0; i < 150; i++)
		add_fd(&many[i], (char)(i + 1), 1);
	stop_at = 150;
	loop_run(l);
	assert_int_equal(strlen(trace), 150);
	for (i = 0; i < 150; i++) {
		assert_non_null(strchr(trace, (char)(i + 1)));
		close(many[i].io.fd);
	}
}

/* One that starts another at once must not keep the loop from everything else. */
static void a_timer_that_starts_timers_does_not_starve_descriptors(void **state)
{
	struct timer a = TIMER('t', 1, then_start_other), b = TIMER('t', 1, then_start_other);
	struct fd f;

	a.other = &b;
	b.other = &a;
	a.t.ctx = &a;
	b.t.ctx = &b;
	add_fd(&f, 'f', 1);
	f.stop = true;
	start(&a, 0, 0);
	loop_run(l);
	assert_non_null(strchr(trace, 'f'));
}

/* Calls from other threads ------------------------------------------------ */

static void post_letter(void *arg)
{
	note(*(const char *)arg);
}

static void post_stop(void *arg)
{
	loop_stop(l);
}

static void post_again(void *arg)
{
	note('1');
	assert_int_equal(loop_post(l, post_letter, (void *)"2"), 0);
	assert_int_equal(loop_post(l, post_stop, NULL), 0);
}

static void posted_calls_are_made_in_order(void **state)
{
	assert_int_equal(loop_post(l, post_letter, (void *)"a"), 0);
	assert_int_equal(loop_post(l, post_letter, (void *)"b"), 0);
	assert_int_equal(loop_post(l, post_letter, (void *)"c"), 0);
	assert_int_equal(loop_post(l, post_stop, NULL), 0);
	loop_run(l);
	assert_string_equal(trace, "abc");
}

static void a_posted_call_may_post(void **state)
{
	loop_post(l, post_again, NULL);
	loop_run(l);
	assert_string_equal(trace, "12");
}

/* The loop sleeps for good if it does not see what its own thread has posted. */
static void post_from_a_timer(struct timer *t)
{
	loop_post(l, post_letter, (void *)"p");
	loop_post(l, post_stop, NULL);
}

static void a_timer_may_post(void **state)
{
	struct timer a = TIMER('a', 1, post_from_a_timer);

	start(&a, 0, 0);
	loop_run(l);
	assert_string_equal(trace, "ap");
}

static unsigned ends; /* of turns, that have more to do */

static bool note_end(void *ctx)
{
	note('|');
	if (ends && !--ends)
		loop_stop(ctx);
	return ends;
}

static void a_turn_ends_when_all_has_been_served(void **state)
{
	struct timer a = TIMER('a', 0, NULL);
	struct fd f;

	ends = 1;
	loop_on_turn_end(l, note_end, l);
	add_fd(&f, 'f', 1);
	loop_post(l, post_letter, (void *)"p");
	start(&a, 0, 0);
	loop_run(l);
	assert_string_equal(trace, "fpa|");
	close(f.io.fd);
}

static void a_turn_that_has_more_to_do_is_followed_by_one_that_does_not_wait(void **state)
{
	ends = 3;
	loop_on_turn_end(l, note_end, l);
	loop_post(l, post_letter, (void *)"p");
	loop_run(l);
	assert_string_equal(trace, "p|||");
}

static void calls_that_were_not_made_are_dropped_with_the_loop(void **state)
{
	loop_post(l, post_letter, (void *)"a");
	teardown(NULL);
	assert_string_equal(trace, "");
	l = loop_new(&e);
}

static void post_one_more(void *arg)
{
	note('1');
	loop_post(l, post_letter, (void *)"2");
}

static void calls_to_a_loop_that_has_ended_can_be_made(void **state)
{
	loop_post(l, post_stop, NULL);
	loop_run(l);
	loop_post(l, post_one_more, NULL);
	assert_true(loop_drain(l));
	assert_string_equal(trace, "1");
	assert_true(loop_drain(l));
	assert_string_equal(trace, "12");
	assert_false(loop_drain(l));
}

#define POSTERS	      4
#define POSTS_OF_EACH 2000

/* One poster: its calls check by themselves that they come in order. */
struct poster {
	unsigned next;
	bool in_order;
	struct call {
		struct poster *poster;
		unsigned number;
	} calls[POSTS_OF_EACH];
};

static struct poster posters[POSTERS];
static unsigned posted; /* the loop's thread only */

static void on_call(void *arg)
{
	struct call *c = arg;

	c->poster->in_order &= c->number == c->poster->next++;
	if (++posted == POSTERS * POSTS_OF_EACH)
		loop_stop(l);
}

static void *post_all(void *arg)
{
	struct poster *p = arg;
	unsigned i;

	for (i = 0; i < POSTS_OF_EACH; i++) {
		p->calls[i] = (struct call){p, i};
		if (loop_post(l, on_call, &p->calls[i]))
			return NULL;
	}
	return p;
}

static void calls_of_each_thread_are_made_once_and_in_its_order(void **state)
{
	pthread_t threads[POSTERS];
	void *ret;
	unsigned i;

	posted = 0;
	for (i = 0; i < POSTERS; i++) {
		posters[i].next = 0;
		posters[i].in_order = true;
		assert_int_equal(pthread_create(&threads[i], NULL, post_all, &posters[i]), 0);
	}
	loop_run(l);
	for (i = 0; i < POSTERS; i++) {
		pthread_join(threads[i], &ret);
		assert_ptr_equal(ret, &posters[i]);
		assert_true(posters[i].in_order);
		assert_int_equal(posters[i].next, POSTS_OF_EACH);
	}
}

static void *run_loop(void *arg)
{
	return (void *)(intptr_t)loop_run(arg);
}

static void set_flag(void *arg)
{
	atomic_store((_Atomic bool *)arg, true);
}

static void a_sleeping_loop_is_woken_by_a_call_and_by_stop(void **state)
{
	_Atomic bool called = false;
	pthread_t thread;
	void *ret;

	assert_int_equal(pthread_create(&thread, NULL, run_loop, l), 0);
	usleep(2000); /* so that it sleeps, most probably; nothing depends on it */
	assert_int_equal(loop_post(l, set_flag, &called), 0);
	while (!atomic_load(&called))
		usleep(100); /* the alarm ends this */
	assert_false(loop_stopping(l));
	loop_stop(l);
	pthread_join(thread, &ret);
	assert_ptr_equal(ret, NULL);
	assert_true(loop_stopping(l));
}

static void a_loop_stopped_before_it_runs_returns_at_once(void **state)
{
	struct fd a;

	add_fd(&a, 'a', 1);
	loop_stop(l);
	assert_int_equal(loop_run(l), 0);
	assert_string_equal(trace, "");
	close(a.io.fd);
}

static void stop_lets_the_turn_end(void **state)
{
	struct fd a, b;

	add_fd(&a, 'x', 1);
	add_fd(&b, 'x', 1);
	a.stop = b.stop = true;
	loop_post(l, post_letter, (void *)"p");
	loop_run(l);
	assert_string_equal(trace, "xxp");
	close(a.io.fd);
	close(b.io.fd);
}

/* Signals ------------------------------------------------------------------ */

static void on_signal(void *ctx, int signal)
{
	assert_string_equal(ctx, "context");
	note(signal == SIGUSR1 ? '1' : '2');
	if (strlen(trace) == 2)
		loop_stop(l);
}

static void signals_become_calls(void **state)
{
	static const int signals[] = {SIGUSR1, SIGUSR2, 0};
	sigset_t before, now;

	pthread_sigmask(SIG_SETMASK, NULL, &before);
	assert_int_equal(loop_on_signals(l, signals, on_signal, (void *)"context", &e), 0);
	pthread_sigmask(SIG_SETMASK, NULL, &now);
	assert_true(sigismember(&now, SIGUSR1) && sigismember(&now, SIGUSR2));
	raise(SIGUSR2);
	raise(SIGUSR1);
	loop_run(l);
	assert_true(!strcmp(trace, "12") || !strcmp(trace, "21"));
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* A wait that a signal interrupts goes on. */
static void handled(int signal)
{
}

static void an_interrupted_wait_goes_on(void **state)
{
	struct timer end = TIMER('.', 0, then_stop_loop);
	struct sigaction action = {.sa_handler = handled}, before;
	_Atomic bool called = false;
	pthread_t thread;
	void *ret;
	int i;

	sigaction(SIGUSR1, &action, &before);
	start(&end, 50, 0);
	assert_int_equal(pthread_create(&thread, NULL, run_loop, l), 0);
	loop_post(l, set_flag, &called);
	while (!atomic_load(&called))
		usleep(100);
	for (i = 0; i < 10; i++) {
		usleep(1000);
		pthread_kill(thread, SIGUSR1);
	}
	pthread_join(thread, &ret);
	assert_ptr_equal(ret, NULL);
	assert_string_equal(trace, ".");
	sigaction(SIGUSR1, &before, NULL);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(timers_expire_soonest_first),
		test(timers_due_together_expire_as_they_were_started),
		test(a_timer_never_expires_early),
		test(a_timer_without_period_expires_once),
		test(a_period_repeats_until_the_timer_is_stopped),
		test(a_stopped_timer_does_not_expire),
		test(a_timer_may_stop_another_that_is_due_with_it),
		test(a_timer_started_anew_counts_from_then),
		test(a_ready_descriptor_is_told_with_its_events),
		test(what_is_not_read_is_told_again),
		test(what_a_descriptor_is_watched_for_can_change),
		test(a_wrong_descriptor_is_refused),
		test(one_ready_descriptor_may_remove_another_of_the_same_turn),
		test(a_descriptor_may_remove_itself),
		test(old_news_is_not_told_to_a_descriptor_added_again),
		test(more_descriptors_than_a_turn_holds_are_all_served),
		test(a_timer_that_starts_timers_does_not_starve_descriptors),
		test(posted_calls_are_made_in_order),
		test(a_posted_call_may_post),
		test(a_timer_may_post),
		test(a_turn_ends_when_all_has_been_served),
		test(a_turn_that_has_more_to_do_is_followed_by_one_that_does_not_wait),
		test(calls_that_were_not_made_are_dropped_with_the_loop),
		test(calls_to_a_loop_that_has_ended_can_be_made),
		test(calls_of_each_thread_are_made_once_and_in_its_order),
		test(a_sleeping_loop_is_woken_by_a_call_and_by_stop),
		test(a_loop_stopped_before_it_runs_returns_at_once),
		test(stop_lets_the_turn_end),
		test(signals_become_calls),
		test(an_interrupted_wait_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
