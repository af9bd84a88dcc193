// SPDX-License-Identifier: GPL-3.0-or-later
/* outer.c - the table of outer transports */
#include "tunnel/outer.h"

#include "lib/sock.h"
#include "tunnel/tunnel.h"

#include <errno.h>
#include <string.h>

static const struct outer_ops *const kinds[] = {
	[CONF_OUTER_SEALED] = &outer_sealed,
	[CONF_OUTER_CAPSULATOR] = &outer_capsulator,
};

/* Finds a transport by its enum conf_outer. */
const struct outer_ops *outer_find(int kind)
{
	return kinds[kind];
}

/*
 * Binds a worker's sockets to the tunnel interface, at first or because it came back with another
 * index. Returns 0 or -errno with a text.
 */
int outer_rebind(struct outer *o, struct err *e)
{
	const char *ifname = o->tunnel->conf->interface;
	unsigned i;

	for (i = 0; i < OUTER_SOCKETS; i++)
		if (o->fds[i] >= 0 && sock_bind_device(o->fds[i], ifname))
			return err_set(e, errno, "binding to %s: %s", ifname, strerror(errno));
	return 0;
}

/* Packets that the kernel dropped because we did not read them in time. */
uint64_t outer_kernel_drops(const struct outer *o)
{
	uint64_t n = 0;
	unsigned i;

	for (i = 0; i < OUTER_SOCKETS; i++)
		if (o->fds[i] >= 0)
			n += sock_overruns(o->fds[i]);
	return n;
}

/* Why a packet was dropped, by the errno of the attempt to send it. */
enum drop outer_drop_reason(int error)
{
	switch (error) {
	case EAGAIN:
	case ENOBUFS: return DROP_outer_full;
	case ENETDOWN:
	case ENETUNREACH:
	case EHOSTUNREACH:
	case ECONNREFUSED:
	case ENODEV:
	case ENXIO: return DROP_outer_unreachable;
	case EMSGSIZE: return DROP_outer_too_big;
	default: return DROP_outer_error;
	}
}
