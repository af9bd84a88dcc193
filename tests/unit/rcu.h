/* SPDX-License-Identifier: GPL-3.0-or-later */
/* rcu.h - group fixtures of tests whose thread reads under RCU */
#ifndef TESTS_RCU_H
#define TESTS_RCU_H

#include <urcu.h>

static inline int rcu_group_setup(void **state)
{
	rcu_register_thread();
	return 0;
}

/* What is to be freed later is freed before the end, or a leak checker would find it. */
static inline int rcu_group_teardown(void **state)
{
	rcu_barrier();
	rcu_unregister_thread();
	return 0;
}

#endif
