// SPDX-License-Identifier: GPL-3.0-or-later
/* sock.c - what every socket of the data path is set up with and asked for */
#include "lib/sock.h"

#include <linux/sock_diag.h>
#include <string.h>
#include <sys/socket.h>

/* setsockopt(2) of an int. Returns 0, or -1 with errno set. */
int sock_set(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value));
}

/* Gives a socket SOCK_BUFFER bytes each way: beyond the system's limits where we may, else up to
 * them. */
void sock_large_buffers(int fd)
{
	if (sock_set(fd, SOL_SOCKET, SO_RCVBUFFORCE, SOCK_BUFFER))
		sock_set(fd, SOL_SOCKET, SO_RCVBUF, SOCK_BUFFER);
	if (sock_set(fd, SOL_SOCKET, SO_SNDBUFFORCE, SOCK_BUFFER))
		sock_set(fd, SOL_SOCKET, SO_SNDBUF, SOCK_BUFFER);
}

/* Has a socket use one interface only. Returns 0, or -1 with errno set. */
int sock_bind_device(int fd, const char *ifname)
{
	return setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, ifname, (socklen_t)strlen(ifname) + 1);
}

/* What the kernel has dropped because the socket was not read in time. */
uint64_t sock_overruns(int fd)
{
	uint32_t info[SK_MEMINFO_VARS] = {0};
	socklen_t len = sizeof(info);

	return getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &len) ? 0 : info[SK_MEMINFO_DROPS];
}
