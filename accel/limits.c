// SPDX-License-Identifier: GPL-3.0-or-later
/* limits.c - how much of the machine split TCP takes, by what there is of it */
#include "accel/limits.h"

#include "lib/log.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

/* Descriptors of ports, sockets, TAPs, control connections. */
#define OTHERS 128

/* Streams beyond those in use: spare ones of both sides, those being closed and those being made.
 */
#define SPARES 64 /* a peer */

/* So many streams are a crowd: of less, what they leave is no matter. */
#define CROWD_MIN 512

/*
 * What so many file descriptors allow: a flow takes one for its host and one
 * for its stream.
 */
struct limits limits_by_descriptors(uint64_t descriptors, unsigned n_peers)
{
	const uint64_t others = OTHERS + SPARES * (uint64_t)n_peers;
	uint64_t n = descriptors < others ? 0 : (descriptors - others) / 2;

	if (n > LIMITS_RELAYS)
		n = LIMITS_RELAYS;
	return (struct limits){(unsigned)n, (unsigned)n + SPARES * n_peers};
}

/*
 * Whether a crowd of streams has gone, which is when memory is worth giving back: told once, when
 * fewer than an eighth of them are left and no more are closed.
 * @streams: there are now; to be told once a second
 */
bool limits_crowd_gone(struct limits_tide *t, unsigned streams)
{
	bool gone = t->peak >= CROWD_MIN && streams < t->peak / 8 && streams >= t->before;

	t->before = streams;
	if (gone || streams > t->peak)
		t->peak = streams;
	return gone;
}

/* Has the process get as many descriptors as it may have and can use. */
struct limits limits_get(unsigned n_peers)
{
	const uint64_t want = OTHERS + SPARES * (uint64_t)n_peers + 2 * LIMITS_RELAYS;
	struct limits found;
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l))
		return limits_by_descriptors(want, n_peers);
	/* The soft limit is low for programs that use select(); this one does not. The hard one is
	 * raised only by those who may. */
	if (l.rlim_cur < want) {
		rlim_t most = l.rlim_max;

		l.rlim_cur = want;
		l.rlim_max = most < want ? want : most;
		if (setrlimit(RLIMIT_NOFILE, &l)) {
			l.rlim_cur = l.rlim_max = most;
			setrlimit(RLIMIT_NOFILE, &l);
		}
		if (getrlimit(RLIMIT_NOFILE, &l))
			l.rlim_cur = 0;
	}
	found = limits_by_descriptors(l.rlim_cur, n_peers);
	if (found.relays < LIMITS_RELAYS)
		log_info("accel: up to %u connections at once, for want of file descriptors "
			 "(limit %llu)",
			 found.relays, (unsigned long long)l.rlim_cur);
	return found;
}

/*
 * What all windows together may be unless it is given, bytes: half of what the
 * kernel gives all of TCP before it economises, its tcp_mem. In a network
 * namespace that cannot be read. The kernel makes it a sixteenth of the memory
 * that was free when it started, so a fortieth of the machine's is less than
 * half of that unless a fifth was gone by then.
 * @tcp_mem: three numbers of pages; NULL: not known
 */
uint64_t limits_memory_by(const char *tcp_mem, uint64_t page_bytes, uint64_t machine_bytes)
{
	unsigned long long low, pressure, high;

	if (tcp_mem && sscanf(tcp_mem, "%llu %llu %llu", &low, &pressure, &high) == 3 && pressure)
		return pressure * page_bytes / 2;
	return machine_bytes / 40;
}

uint64_t limits_memory(void)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t machine = (uint64_t)sysconf(_SC_PHYS_PAGES) * page;
	FILE *f = fopen("/proc/sys/net/ipv4/tcp_mem", "re");
	char text[80] = "";
	char *line = f ? fgets(text, sizeof(text), f) : NULL;

	if (f)
		fclose(f);
	return limits_memory_by(line, page, machine);
}
