/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tsan_rcu.h - what liburcu promises, told to ThreadSanitizer; included first by VARIANT=tsan */
#ifndef TESTS_TSAN_RCU_H
#define TESTS_TSAN_RCU_H

/*
 * Debian builds liburcu without ThreadSanitizer, which therefore sees neither
 * that what a pointer leads to was written before the pointer, nor that a
 * grace period lies between the last reader and the callback that frees. Told
 * here, both are checked: a reader outside a read-side section is a race with
 * the callback, as it should be. Suppressions would hide it.
 *
 * Everything that a reader does up to the end of its section happens before
 * every callback that is called from then on. That is more than liburcu
 * promises by the sections that began after call_rcu(), which free nothing.
 */
#include <sanitizer/tsan_interface.h>
#include <stdlib.h>
#include <urcu.h>

extern char tsan_rcu __attribute__((weak));
char tsan_rcu;

#undef rcu_dereference
#define rcu_dereference(p) __atomic_load_n(&(p), __ATOMIC_ACQUIRE)

#undef rcu_assign_pointer
#define rcu_assign_pointer(p, v) __atomic_store_n(&(p), v, __ATOMIC_RELEASE)

#undef rcu_read_unlock
#define rcu_read_unlock() (__tsan_release(&tsan_rcu), urcu_memb_read_unlock())

#undef rcu_barrier
#define rcu_barrier() (urcu_memb_barrier(), __tsan_acquire(&tsan_rcu))

struct tsan_rcu_call {
	struct rcu_head head; /* of this call, not of the object */
	struct rcu_head *object;
	void (*fn)(struct rcu_head *object);
};

static inline void tsan_rcu_run(struct rcu_head *head)
{
	struct tsan_rcu_call *c;

	__tsan_acquire(&tsan_rcu);
	c = caa_container_of(head, struct tsan_rcu_call, head);
	c->fn(c->object);
	free(c);
	__tsan_release(&tsan_rcu);
}

static inline void tsan_call_rcu(struct rcu_head *object, void (*fn)(struct rcu_head *object))
{
	struct tsan_rcu_call *c = malloc(sizeof(*c));

	if (!c)
		abort();
	*c = (struct tsan_rcu_call){.object = object, .fn = fn};
	__tsan_release(&tsan_rcu);
	urcu_memb_call_rcu(&c->head, tsan_rcu_run);
}

#undef call_rcu
#define call_rcu tsan_call_rcu

#endif
