/* SPDX-License-Identifier: GPL-3.0-or-later */
/* endpoint.h - UDP and TCP addresses of either family in one form */
#ifndef TUNNEL_ENDPOINT_H
#define TUNNEL_ENDPOINT_H

#include "lib/err.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

#define ENDPOINT_TEXT 64

/* IPv4 addresses are kept mapped (::ffff:a.b.c.d), so that comparing is comparing bytes. */
struct endpoint {
	struct sockaddr_in6 in6;
};

/* How an address is handed to a socket of a given family. */
struct endpoint_name {
	struct sockaddr_storage ss;
	socklen_t len;
};

void endpoint_from(struct endpoint *e, const struct sockaddr *sa);
bool endpoint_name(const struct endpoint *e, int family, struct endpoint_name *name);
bool endpoint_same_host(const struct endpoint *a, const struct endpoint *b);
bool endpoint_equal(const struct endpoint *a, const struct endpoint *b);
bool endpoint_is_ipv4(const struct endpoint *e);
const char *endpoint_text(const struct endpoint *e, char text[ENDPOINT_TEXT]);
int endpoint_resolve(const char *text, size_t len, unsigned default_port, bool numeric,
		     struct endpoint *e, struct err *err);

#endif
