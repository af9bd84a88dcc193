// SPDX-License-Identifier: GPL-3.0-or-later
/* endpoint.c - UDP and TCP addresses of either family in one form */
#include "tunnel/endpoint.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Takes an address as a socket gives it. */
void endpoint_from(struct endpoint *e, const struct sockaddr *sa)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)sa;

	memset(e, 0, sizeof(*e));
	if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)sa;

		e->in6.sin6_addr = in6->sin6_addr;
		e->in6.sin6_port = in6->sin6_port;
		e->in6.sin6_scope_id = in6->sin6_scope_id;
	} else {
		e->in6.sin6_addr.s6_addr[10] = e->in6.sin6_addr.s6_addr[11] = 0xff;
		memcpy(&e->in6.sin6_addr.s6_addr[12], &in->sin_addr, 4);
		e->in6.sin6_port = in->sin_port;
	}
	e->in6.sin6_family = AF_INET6;
}

bool endpoint_is_ipv4(const struct endpoint *e)
{
	return IN6_IS_ADDR_V4MAPPED(&e->in6.sin6_addr);
}

/* Writes an address for a socket of @family. Returns false if such a socket cannot reach it. */
bool endpoint_name(const struct endpoint *e, int family, struct endpoint_name *name)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&name->ss;

	if (family == AF_INET6) {
		memcpy(&name->ss, &e->in6, sizeof(e->in6));
		name->len = sizeof(e->in6);
		return true;
	}
	if (!endpoint_is_ipv4(e))
		return false;
	*in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = e->in6.sin6_port};
	memcpy(&in->sin_addr, &e->in6.sin6_addr.s6_addr[12], 4);
	name->len = sizeof(*in);
	return true;
}

bool endpoint_same_host(const struct endpoint *a, const struct endpoint *b)
{
	return !memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, sizeof(a->in6.sin6_addr));
}

bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
	return endpoint_same_host(a, b) && a->in6.sin6_port == b->in6.sin6_port;
}

/* Writes 192.0.2.1:7245 or [2001:db8::1]:7245. Returns @text. */
const char *endpoint_text(const struct endpoint *e, char text[ENDPOINT_TEXT])
{
	char host[INET6_ADDRSTRLEN] = "?";
	bool ipv4 = endpoint_is_ipv4(e);

	if (ipv4)
		inet_ntop(AF_INET, &e->in6.sin6_addr.s6_addr[12], host, sizeof(host));
	else
		inet_ntop(AF_INET6, &e->in6.sin6_addr, host, sizeof(host));
	snprintf(text, ENDPOINT_TEXT, ipv4 ? "%s:%u" : "[%s]:%u", host, ntohs(e->in6.sin6_port));
	return text;
}

/* Splits host[:port], [v6][:port] or a bare v6 address. Returns false if it is none of them. */
static bool split(const char *text, size_t len, char host[256], char port[16],
		  unsigned default_port)
{
	const char *end = text + len, *colon = memchr(text, ':', len),
		   *close = memchr(text, ']', len);
	size_t host_len, port_len;
	unsigned long number; /* 15 digits fit */

	snprintf(port, 16, "%u", default_port);
	if (len && *text == '[') {
		if (!close || (close + 1 < end && close[1] != ':'))
			return false;
		host_len = (size_t)(close - text - 1);
		colon = close + 1 < end ? close + 1 : NULL;
		text++;
	} else if (colon && memchr(colon + 1, ':', (size_t)(end - colon - 1))) {
		host_len = len; /* a bare IPv6 address has more than one colon */
		colon = NULL;
	} else {
		host_len = colon ? (size_t)(colon - text) : len;
	}
	if (!host_len || host_len >= 256)
		return false;
	memcpy(host, text, host_len);
	host[host_len] = '\0';
	if (!colon)
		return true;
	port_len = (size_t)(end - colon - 1);
	if (!port_len || port_len >= 16)
		return false;
	memcpy(port, colon + 1, port_len);
	port[port_len] = '\0';
	number = strtoul(port, NULL, 10);
	return strspn(port, "0123456789") == port_len && number > 0 && number < 65536;
}

/*
 * Resolves host[:port], [IPv6][:port]; the first address found is taken.
 * @text, @len: what to resolve
 * @numeric:    do not ask the name service (it may take long)
 * Returns 0; -EINVAL (not an address); -EHOSTUNREACH (does not resolve).
 */
int endpoint_resolve(const char *text, size_t len, unsigned default_port, bool numeric,
		     struct endpoint *e, struct err *err)
{
	struct addrinfo hints = {.ai_socktype = SOCK_DGRAM,
				 .ai_flags = numeric ? AI_NUMERICHOST : 0};
	struct addrinfo *found;
	char host[256], port[16];
	int ret;

	for (; len && (*text == ' ' || *text == '\t'); text++, len--)
		;
	for (; len && (text[len - 1] == ' ' || text[len - 1] == '\t'); len--)
		;
	if (!split(text, len, host, port, default_port))
		return err_set(err, EINVAL,
			       "'%.*s' is not host[:port]; an IPv6 address with a port is "
			       "written [2001:db8::1]:%u",
			       (int)len, text, default_port);
	ret = getaddrinfo(host, port, &hints, &found);
	if (ret)
		return err_set(err, EHOSTUNREACH, "'%s' does not resolve: %s", host,
			       gai_strerror(ret));
	endpoint_from(e, found->ai_addr);
	freeaddrinfo(found);
	return 0;
}
