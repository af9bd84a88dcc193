// SPDX-License-Identifier: GPL-3.0-or-later
/* privileges.c - what a running tunnel gives up */
#include "tunnel/privileges.h"

#include "lib/log.h"

#include <cap-ng.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

/*
 * Keeps keys out of core dumps and away from other processes of the same
 * user. Not under LeakSanitizer, which must attach to the process.
 */
void privileges_protect_memory(void)
{
	struct rlimit none = {0, 0};

	setrlimit(RLIMIT_CORE, &none);
#ifndef __SANITIZE_ADDRESS__
	prctl(PR_SET_DUMPABLE, 0);
#endif
}

/*
 * Drops every capability but the two that a running tunnel needs: to open
 * ports that come back (packet sockets, promiscuous mode, binding to an
 * interface) and to set them up (TAP, MTU, offloads). Nothing can be gained
 * afterwards.
 * @low_port: it listens below port 1024 and may have to bind again
 *
 * Returns 0 or -errno with a text.
 */
int privileges_drop(bool low_port, struct err *e)
{
	capng_clear(CAPNG_SELECT_BOTH);
	capng_updatev(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, CAP_NET_ADMIN, CAP_NET_RAW, -1);
	if (low_port)
		capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, CAP_NET_BIND_SERVICE);
	if (capng_apply(CAPNG_SELECT_CAPS))
		return err_set(
			e, EPERM,
			"cannot drop capabilities; run as root, or with CAP_NET_ADMIN and CAP_NET_RAW");
	/* Without CAP_SETPCAP the bounding set stays as it is; no_new_privs makes it meaningless.
	 */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return err_set(e, errno, "no_new_privs: %s", strerror(errno));
	return 0;
}
