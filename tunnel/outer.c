// SPDX-License-Identifier: GPL-3.0-or-later
/* outer.c - the table of outer transports */
#include "tunnel/outer.h"

static const struct outer_ops *const kinds[] = {
	[CONF_OUTER_SEALED] = &outer_sealed,
	[CONF_OUTER_CAPSULATOR] = &outer_capsulator,
};

/* Finds a transport by its enum conf_outer. */
const struct outer_ops *outer_find(int kind)
{
	return kinds[kind];
}
