// SPDX-License-Identifier: GPL-3.0-or-later
/* notify.c - tell the service manager that we are ready (sd_notify(3)) */
/*
 * The protocol is one datagram to the socket in $NOTIFY_SOCKET, promised to be
 * stable by sd_notify(3), which itself recommends these lines over linking
 * libsystemd into a process with privileges for them alone.
 */
#include "lib/notify.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/*
 * Sends a state, such as "READY=1\nSTATUS=…". Does nothing when no service
 * manager asked for it.
 * @fmt: printf format
 */
void notify_manager(const char *fmt, ...)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	char text[512];
	va_list ap;
	size_t n;
	int fd;

	if (!path || (*path != '/' && *path != '@') || strlen(path) >= sizeof(a.sun_path))
		return;
	n = strlen(path);
	memcpy(a.sun_path, path, n);
	if (*path == '@')
		a.sun_path[0] = '\0';
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&a,
		   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0)
		fprintf(stderr, "longhaul: cannot notify %s: %m\n", path);
	close(fd);
}

/* How often the service manager wants to hear WATCHDOG=1, in nanoseconds, halved for safety; 0:
 * never. */
uint64_t notify_watchdog_ns(void)
{
	const char *usec = getenv("WATCHDOG_USEC");
	const char *pid = getenv("WATCHDOG_PID");

	if (!usec || (pid && strtol(pid, NULL, 10) != getpid()))
		return 0;
	return strtoull(usec, NULL, 10) * 1000 / 2;
}
