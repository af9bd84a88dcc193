// SPDX-License-Identifier: GPL-3.0-or-later
/* tunables.c - the C library's way to copy memory, where its own choice is a bad one */
/*
 * glibc before 2.40 copies what is longer than 2 KB by `rep movsb` on AMD's
 * processors too (sourceware bug 30994). From Zen 3 on that is fast, but where
 * the destination lies 1 to some 30 bytes behind the source, both modulo 4096:
 * 2.7 GB/s instead of 64, where a loop of vector instructions copies 90. Buffers
 * stay where they are for as long as a process runs, so one tunnel had that and
 * the next one had not: a relay thread took up to a third more for the same bytes.
 *
 * OpenSSL copies every byte as well, so it is not enough to do it right here.
 * The library can only be told by the environment, before the program starts:
 * it is run once more, in the same process, if a trial shows the need.
 */
#include "lib/tunables.h"

#include "lib/clock.h"

#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#define VARIABLE "GLIBC_TUNABLES"
#define NAME	 "glibc.cpu.x86_rep_movsb_threshold"
#define NEVER	 "1000000000" /* bytes: no copy is that long */

/*
 * What the variable must be.
 * @had: what it is; NULL: it is not set
 * Returns false if it says something of this already, or @to has too little room.
 */
bool tunables_add(const char *had, char *to, size_t room)
{
	int n = snprintf(to, room, "%s%s" NAME "=" NEVER, had ? had : "", had && *had ? ":" : "");

	return n > 0 && (size_t)n < room && !(had && strstr(had, NAME));
}

#if defined(__x86_64__) && defined(__GLIBC__)

#define TRIAL_BYTES 16384
#define TRIALS	    8
#define BAD_RATIO   4

/* The shortest time that a copy takes, nanoseconds. */
static uint64_t shortest(uint8_t *to, const uint8_t *from)
{
	void *(*volatile copy)(void *, const void *, size_t) = memcpy;
	uint64_t best = UINT64_MAX, since, took;
	unsigned i;

	for (i = 0; i < TRIALS; i++) {
		since = clock_ns();
		copy(to, from, TRIAL_BYTES);
		took = clock_ns() - since;
		best = took < best ? took : best;
	}
	return best;
}

/* Whether copies take several times as long because of where they go. */
static bool copies_badly(void)
{
	static _Alignas(4096) uint8_t from[TRIAL_BYTES + 4096], to[TRIAL_BYTES + 4096];

	memset(from, 1, sizeof(from)); /* or both are the same page of zeros */
	memset(to, 1, sizeof(to));
	return shortest(to + 16, from) > BAD_RATIO * shortest(to + 2048, from);
}

/*
 * Has the C library copy well, if it does not: runs the program anew. To be
 * called before anything else is done, by what copies much and for long.
 * Returns if there is no need, if the environment decides it already, or if it
 * cannot be done.
 * @command: of main()'s argv, from the command on; before it is the program
 */
void tunables_copy_well(char **command)
{
	const char *had = getenv(VARIABLE);
	char value[1024], path[PATH_MAX];
	ssize_t n;

	/* With privileges of a file the variable would be taken away, and we would do so for ever.
	 * Where the dynamic loader was run itself, /proc/self/exe is not us: then it has no base.
	 */
	if (getauxval(AT_SECURE) || !getauxval(AT_BASE) ||
	    !tunables_add(had, value, sizeof(value)) || !copies_badly())
		return;
	n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	if (n <= 0 || setenv(VARIABLE, value, true))
		return;
	path[n] = '\0';
	execv(path, command - 1);
	if (had)
		setenv(VARIABLE, had, true);
	else
		unsetenv(VARIABLE);
}

#else

void tunables_copy_well(char **command)
{
}

#endif
