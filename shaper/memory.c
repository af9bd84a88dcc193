// SPDX-License-Identifier: GPL-3.0-or-later
/* memory.c - how much memory there is for frames in flight */
#include "shaper/memory.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CGROUPS "/sys/fs/cgroup"

/* The number a file holds; UINT64_MAX: none ("max"), or no such file. */
static uint64_t number_in(const char *dir, const char *name)
{
	char path[PATH_MAX], text[32] = "";
	uint64_t v = UINT64_MAX;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "re");
	if (!f)
		return v;
	if (fgets(text, sizeof(text), f) && *text >= '0' && *text <= '9')
		v = strtoull(text, NULL, 10);
	fclose(f);
	return v;
}

/* What the kernel thinks can be had without swapping (proc_meminfo(5)); UINT64_MAX: it does not
 * say. */
static uint64_t of_the_machine(void)
{
	unsigned long long kib, found = 0;
	char line[128];
	FILE *f = fopen("/proc/meminfo", "re");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
			found = kib;
	if (f)
		fclose(f);
	return found ? found << 10 : UINT64_MAX;
}

/* What this process's control groups leave it (cgroups(7), version 2), the tightest of them. */
static uint64_t of_the_cgroup(void)
{
	char line[PATH_MAX], dir[PATH_MAX + 32] = "", *end;
	uint64_t least = UINT64_MAX, max, now;
	FILE *f = fopen("/proc/self/cgroup", "re");

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, "0::", 3)) {
			line[strcspn(line, "\n")] = '\0';
			snprintf(dir, sizeof(dir), CGROUPS "%s", line + 3);
		}
	if (f)
		fclose(f);
	for (; strlen(dir) > strlen(CGROUPS); *end = '\0') {
		max = number_in(dir, "memory.max");
		now = number_in(dir, "memory.current");
		if (max != UINT64_MAX && now != UINT64_MAX && (max > now ? max - now : 0) < least)
			least = max > now ? max - now : 0;
		end = strrchr(dir, '/');
	}
	return least;
}

/* Bytes of memory that can be had; UINT64_MAX: it cannot be told. */
uint64_t memory_available(void)
{
	uint64_t machine = of_the_machine(), cgroup = of_the_cgroup();

	return machine < cgroup ? machine : cgroup;
}
