/* SPDX-License-Identifier: GPL-3.0-or-later */
/* place.h - an interface in another network namespace, for measuring programs */
#ifndef TESTS_TOOLS_PLACE_H
#define TESTS_TOOLS_PLACE_H

#include "lib/err.h"
#include "lib/packet_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

/* As high as the line's own threads, so that neither has to wait for the other. */
#define PLACE_NICE -15

/* Local experimental Ethertype 1 (IEEE 802): no host answers it. */
#define PLACE_ETHERTYPE 0x88b5

/* "/proc/12/fd/3:eth0": a namespace and an interface in it. */
struct place {
	char netns[256];
	char ifname[IFNAMSIZ];
};

static inline int place_parse(const char *s, struct place *p, struct err *e)
{
	const char *colon = strrchr(s, ':');
	size_t len = colon ? (size_t)(colon - s) : 0;

	if (!len || len >= sizeof(p->netns) || strlen(colon + 1) >= sizeof(p->ifname) || !colon[1])
		return err_set(e, EINVAL, "'%s' is no NAMESPACE:INTERFACE, as /run/netns/a:eth0",
			       s);
	*p = (struct place){0};
	memcpy(p->netns, s, len);
	snprintf(p->ifname, sizeof(p->ifname), "%s", colon + 1);
	return 0;
}

/* Takes the calling thread there: what it opens then belongs there for good. */
static inline int place_enter(const struct place *p, struct err *e)
{
	int fd = open(p->netns, O_RDONLY | O_CLOEXEC), ret = 0;

	if (fd < 0 || setns(fd, CLONE_NEWNET))
		ret = err_set(e, errno, "%s: %s", p->netns, strerror(errno));
	if (fd >= 0)
		close(fd);
	return ret;
}

/* Opens a packet socket there. Returns a descriptor or -errno with a text. */
static inline int place_socket(const struct place *p, const struct packet_socket_use *use,
			       struct err *e)
{
	int ret = place_enter(p, e);

	ret = ret ? ret : packet_socket_open(p->ifname, use, e);
	return ret < 0 ? err_wrap(e, ret, "%s", p->ifname) : ret;
}

/* Makes the calling thread wake in time, as far as the machine lets it; both are wishes. */
static inline void place_punctual(void)
{
	prctl(PR_SET_TIMERSLACK, 1UL);
	setpriority(PRIO_PROCESS, 0, PLACE_NICE);
}

#endif
