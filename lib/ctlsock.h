/* SPDX-License-Identifier: GPL-3.0-or-later */
/* ctlsock.h - an instance's control socket: one JSON request and reply a line */
#ifndef LIB_CTLSOCK_H
#define LIB_CTLSOCK_H

#include "lib/err.h"
#include "lib/loop.h"

#include <jansson.h>
#include <stddef.h>

#define CTL_NAME_MAX 64 /* bytes of an instance's name with its ending 0 */

struct ctl_server;

/* Answers one request. Returns a new reference; NULL means out of memory. */
typedef json_t *(*ctl_handler)(void *ctx, const json_t *request);

struct ctl_server *ctl_server_new(struct loop *l, const char *name, ctl_handler handler, void *ctx,
				  struct err *e);
int ctl_attach(struct ctl_server *s, int fd);
void ctl_server_free(struct ctl_server *s);
int ctl_request(const char *name, const json_t *request, json_t **reply, unsigned timeout_ms,
		struct err *e);
int ctl_request_fd(const char *name, const json_t *request, json_t **reply, int *passed,
		   unsigned timeout_ms, struct err *e);
int ctl_claim(const char *what, const char *name, struct err *e);
size_t ctl_instances(char (*names)[CTL_NAME_MAX], size_t max);
int ctl_only_instance(char name[CTL_NAME_MAX], struct err *e);
int ctl_check_name(const char *name, struct err *e);

#endif
