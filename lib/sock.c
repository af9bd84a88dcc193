// SPDX-License-Identifier: GPL-3.0-or-later
/* sock.c - what every socket of the data path is set up with and asked for */
#include "lib/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

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

/* Has TCP ask a peer that has been silent for @idle_s whether it is there, and again each
 * @interval_s. Once set, it may be set anew: if the peer has been silent for longer, it is asked at
 * once. */
void sock_keepalive(int fd, int idle_s, int interval_s)
{
	sock_set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	sock_set(fd, IPPROTO_TCP, TCP_KEEPIDLE, idle_s);
	sock_set(fd, IPPROTO_TCP, TCP_KEEPINTVL, interval_s);
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

/* Reads a small file of the kernel's as a line. */
static void read_line(const char *path, char *to, size_t room)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, to, room - 1);

	to[n > 0 ? n : 0] = '\0';
	to[strcspn(to, "\n")] = '\0';
	if (fd >= 0)
		close(fd);
}

/* Whether the kernel has a TCP congestion control of this name, or can load it. Returns 0, or
 * -ENOENT with a text that says what there is. */
int sock_check_congestion(const char *name, struct err *e)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), ret = 0;
	char known[256];

	/* What is there but not for us (EPERM) is another question. */
	if (fd >= 0 && setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, (socklen_t)strlen(name)) &&
	    errno != EPERM) {
		read_line("/proc/sys/net/ipv4/tcp_available_congestion_control", known,
			  sizeof(known));
		ret = err_set(e, ENOENT,
			      "congestion control '%s' is none that the kernel has; it has: %s",
			      name, known);
	}
	if (fd >= 0)
		close(fd);
	return ret;
}
