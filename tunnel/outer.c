// SPDX-License-Identifier: GPL-3.0-or-later
/* outer.c - the table of outer transports */
#include "tunnel/outer.h"

#include <errno.h>

static const struct outer_ops *const kinds[] = {
	[CONF_OUTER_SEALED] = &outer_sealed,
	[CONF_OUTER_CAPSULATOR] = &outer_capsulator,
};

/* Finds a transport by its enum conf_outer. */
const struct outer_ops *outer_find(int kind)
{
	return kinds[kind];
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
