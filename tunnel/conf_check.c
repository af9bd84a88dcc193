// SPDX-License-Identifier: GPL-3.0-or-later
/* conf_check.c - what no single value of a configuration tells: what is missing, what does not go
 * together */
#include "tunnel/conf.h"

#include "lib/ctlsock.h"
#include "lib/sock.h"

#include <errno.h>
#include <string.h>

static int check_acceleration(const struct conf *c, struct err *e)
{
	unsigned i;

	for (i = 0; i < c->n_ports; i++)
		if (c->outer == CONF_OUTER_CAPSULATOR && conf_accelerates(c, c->ports[i].tag))
			return err_set(
				e, EINVAL,
				"tag %u is to be accelerated, which the capsulator transport "
				"cannot: its peers have no identity. Use --outer sealed",
				c->ports[i].tag);
	for (i = 0; i < c->n_tags; i++)
		if (c->tags[i].bypass_filter && !conf_accelerates(c, c->tags[i].tag))
			return err_set(e, EINVAL,
				       "[tag %u] bypass: nothing of the tag is accelerated; add "
				       "accel = yes",
				       c->tags[i].tag);
	return 0;
}

/* Looks for what no single value can tell. Returns 0 or -EINVAL, -EEXIST with a text. */
int conf_check(const struct conf *c, struct err *e)
{
	unsigned i, j;
	int ret;

	if (!c->interface)
		return err_set(e, EINVAL, "no tunnel interface; give -t IF");
	if (!c->n_peers)
		return err_set(e, EINVAL, "no far end; give -f ADDR, or [peer NAME] in a file");
	if (!c->n_ports)
		return err_set(e, EINVAL, "no border port; give -b IF:TAG, or [port IF] in a file");
	for (i = 0; i < c->n_ports; i++) {
		if (!c->ports[i].has_tag)
			return err_set(e, EINVAL, "[port %s] lacks its tag", c->ports[i].name);
		if (!strcmp(c->ports[i].name, c->interface))
			return err_set(e, EINVAL,
				       "interface %s is given twice: as tunnel interface and as "
				       "border port",
				       c->interface);
		if (c->ports[i].positional && !c->all && c->n_peers > 1 && i >= c->n_peers)
			return err_set(e, EINVAL,
				       "border port %s#%u is number %u but there are only %u far "
				       "ends; give as many, or -a",
				       c->ports[i].name, c->ports[i].tag, i + 1, c->n_peers);
	}
	if (c->outer == CONF_OUTER_CAPSULATOR)
		for (i = 0; i < c->n_peers; i++)
			if (!c->peers[i].address)
				return err_set(e, EINVAL, "[peer %s] lacks its address",
					       c->peers[i].name);
	if (c->outer == CONF_OUTER_SEALED && !c->identity)
		return err_set(
			e, EINVAL,
			"no identity for the sealed transport. Either give one with "
			"--identity DIR, or ask for plain text as in 2008 with --outer capsulator");
	for (i = 0; c->outer == CONF_OUTER_SEALED && i < c->n_peers; i++) {
		if (!c->peers[i].has_trust)
			return err_set(
				e, EINVAL,
				"far end %s has no fingerprint; give the one that `longhaul keygen` "
				"printed there: --trust FP in the order of -f, or [peer %s] trust =",
				c->peers[i].name, c->peers[i].name);
		for (j = 0; j < i; j++)
			if (fingerprint_equal(&c->peers[i].trust, &c->peers[j].trust))
				return err_set(e, EEXIST,
					       "far ends %s and %s have the same fingerprint",
					       c->peers[j].name, c->peers[i].name);
	}
	ret = check_acceleration(c, e);
	if (ret)
		return ret;
	if (c->congestion) {
		ret = sock_check_congestion(c->congestion, e);
		if (ret)
			return err_wrap(e, ret, "--congestion");
	}
	return ctl_check_name(c->name, e);
}
