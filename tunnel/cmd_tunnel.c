// SPDX-License-Identifier: GPL-3.0-or-later
/* cmd_tunnel.c - `longhaul tunnel` */
#include "tunnel/commands.h"

#include "lib/log.h"
#include "lib/tunables.h"
#include "tunnel/conf.h"
#include "tunnel/privileges.h"
#include "tunnel/tunnel.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

/* Runs `longhaul tunnel`. */
int cmd_tunnel(int argc, char **argv)
{
	struct conf *c;
	char who[CONF_NAME_MAX + 32];
	struct err e = {""};
	int ret;

	tunables_copy_well(argv);
	c = malloc(sizeof(*c));
	if (!c)
		return 1;
	log_setup("longhaul tunnel", LOG_LEVEL_INFO);
	privileges_protect_memory();
	signal(SIGPIPE, SIG_IGN); /* OpenSSL writes to sockets that a peer may have closed */
	ret = conf_load(c, argc, argv, &e);
	if (!ret) {
		snprintf(who, sizeof(who), "longhaul tunnel %s", c->name);
		log_setup(who, c->verbose ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
		ret = c->check ? tunnel_check(c, &e) : tunnel_run(c, &e);
	}
	if (ret)
		log_error("%s", e.text);
	else if (c->check)
		printf("configuration of %s is good: %u border ports, %u far ends\n", c->name,
		       c->n_ports, c->n_peers);
	conf_release(c);
	free(c);
	return err_exit_status(ret);
}
