// SPDX-License-Identifier: GPL-3.0-or-later
/* processors.c - how many processors there are for us */
#include "lib/processors.h"

#include <sched.h>
#include <unistd.h>

/*
 * Processors that the calling thread may run on, at least 1: who is confined to some of a machine's
 * (taskset(1), CPUAffinity= of systemd, cpusets) has no use for a thread for each of them all.
 */
unsigned processors_allowed(void)
{
	cpu_set_t set;
	long online;

	if (!sched_getaffinity(0, sizeof(set), &set))
		return (unsigned)CPU_COUNT(&set);
	/* A machine with more than CPU_SETSIZE. */
	online = sysconf(_SC_NPROCESSORS_ONLN);
	return online > 0 ? (unsigned)online : 1;
}
