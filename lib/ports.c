// SPDX-License-Identifier: GPL-3.0-or-later
/* ports.c - local ports of many connections to one place */
/*
 * Theory of operation
 *
 * For each connect() the kernel begins at a port that a hash tells and goes on
 * from there until one is free towards that place. Those in TIME_WAIT are not,
 * for a minute, and it tries one half of the range, the even or the odd ones,
 * before the other: with half of all in use a connect() takes a millisecond.
 *
 * Here each connection is given a short window of the range (IP_LOCAL_PORT_RANGE,
 * Linux 6.3), and the window moves on from one to the next by a random step, as
 * RFC 6056, 3.3.5 has it: ports that were used last come last. Within it the
 * kernel chooses, by its secret. Kernels that do not know the option search as
 * ever, and so it is where all of a few windows is taken.
 */
#include "lib/ports.h"

#include "lib/sock.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#ifndef IP_LOCAL_PORT_RANGE
#define IP_LOCAL_PORT_RANGE 51
#endif

#define STEP_MAX 8 /* ports from window to window */
#define TRIES	 8 /* windows without a free port, before the kernel has its way */

/* What the system gives out (in this network namespace). Returns whether it says so. */
static bool read_range(struct ports *p)
{
	FILE *f = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
	unsigned low, high;
	int n = f ? fscanf(f, "%u %u", &low, &high) : 0;

	if (f)
		fclose(f);
	if (n != 2 || !low || low > high || high > UINT16_MAX)
		return false;
	p->low = (uint16_t)low;
	p->high = (uint16_t)high;
	return true;
}

/*
 * The window for the next connection: of the range, which must be known.
 * @step: ports that the one after it is further on; beyond the end of the range
 * it is at its beginning
 */
struct ports_window ports_next(struct ports *p, uint32_t step)
{
	uint32_t n = (uint32_t)p->high - p->low + 1, at = p->next % n;
	uint32_t end = at + PORTS_WINDOW - 1;

	p->next = (at + step) % n;
	return (struct ports_window){(uint16_t)(p->low + at),
				     (uint16_t)(p->low + (end < n ? end : n - 1))};
}

static bool set_window(int fd, struct ports_window w)
{
	return !sock_set(fd, IPPROTO_IP, IP_LOCAL_PORT_RANGE,
			 (int)((uint32_t)w.high << 16 | w.low));
}

/*
 * Connects a socket that does not wait, from a port that is probably free.
 * Returns 0, also while it is under way, or -errno.
 */
int ports_connect(struct ports *p, int fd, const struct sockaddr *to, socklen_t len)
{
	unsigned i;

	if (!p->kernels && !p->low) {
		p->kernels = !read_range(p);
		p->next = arc4random();
	}
	for (i = 0; i < TRIES && !p->kernels; i++) {
		if (!set_window(fd, ports_next(p, i ? PORTS_WINDOW
						    : 1 + arc4random_uniform(STEP_MAX)))) {
			p->kernels = true;
			break;
		}
		if (!connect(fd, to, len) || errno == EINPROGRESS)
			return 0;
		if (errno != EADDRNOTAVAIL)
			return -errno;
	}
	if (i)
		set_window(fd, (struct ports_window){0, 0});
	return !connect(fd, to, len) || errno == EINPROGRESS ? 0 : -errno;
}
