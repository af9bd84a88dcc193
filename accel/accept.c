// SPDX-License-Identifier: GPL-3.0-or-later
/* accept.c - sockets that a TAP's listener has, to the relay threads of their flows */
/*
 * A SYN is injected by the thread of its flow, but all listeners are the first
 * one's. To have the kernel choose a listener of the right thread, it would have
 * to know what was decided here; to hand a descriptor over costs a message a
 * connection, and that only if the flow is not the first thread's.
 */
#include "accel/internal.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A socket from a listener, on its way to its flow. */
struct arrival {
	struct shard *to;
	struct flow_key key;
	int fd;
};

static void arrive(struct shard *sh, const struct flow_key *key, int fd)
{
	struct flow *f = flow_find(&sh->a->flows, key);

	if (f && f->shard == sh && f->relay && f->relay->life.phase == LIFE_ACCEPTING &&
	    f->relay->io.fd < 0) {
		pump_attach(f->relay, fd);
		relay_event(f->relay, LIFE_EV_accepted);
		return;
	}
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
	close(fd);
}

static void arrived(void *arg)
{
	struct arrival *n = arg;

	rcu_read_lock();
	arrive(n->to, &n->key, n->fd);
	rcu_read_unlock();
	free(n);
}

/* To the thread of its flow. */
static void hand_over(struct shard *to, const struct flow_key *key, int fd)
{
	struct arrival *n = malloc(sizeof(*n));

	if (n)
		*n = (struct arrival){to, *key, fd};
	if (n && !loop_post(to->loop, arrived, n))
		return;
	free(n);
	close(fd);
}

/* The first shard has the listeners. */
static void accepted(struct shard *sh, struct tap *t, int fd, const struct sockaddr_storage *client)
{
	struct sockaddr_storage server = {0};
	socklen_t len = sizeof(server);
	struct flow_key key = {.vid = t->vid, .tag = (uint16_t)t->tag};
	struct flow *f;

	getsockname(fd, (struct sockaddr *)&server, &len);
	if (client->ss_family == AF_INET) {
		const struct sockaddr_in *c = (const void *)client, *s = (void *)&server;

		key.local[10] = key.local[11] = key.remote[10] = key.remote[11] = 0xff;
		memcpy(key.local + 12, &c->sin_addr, 4);
		memcpy(key.remote + 12, &s->sin_addr, 4);
		key.local_port = ntohs(c->sin_port);
		key.remote_port = ntohs(s->sin_port);
	} else {
		const struct sockaddr_in6 *c = (const void *)client, *s = (void *)&server;

		memcpy(key.local, &c->sin6_addr, 16);
		memcpy(key.remote, &s->sin6_addr, 16);
		key.local_port = ntohs(c->sin6_port);
		key.remote_port = ntohs(s->sin6_port);
	}
	f = flow_find(&sh->a->flows, &key);
	if (f && f->shard != sh)
		hand_over(f->shard, &key, fd);
	else
		arrive(sh, &key, fd);
}

/* A listener of a TAP has sockets. */
void relay_acceptable(void *ctx, uint32_t events)
{
	struct tap_listener *l = ctx;
	struct tap *t = l->tap;
	struct accel *a = caa_container_of(t->stack, struct accel, stack);
	struct sockaddr_storage client = {0};
	socklen_t len = sizeof(client);
	int fd;

	rcu_read_lock();
	/* A listener made on demand may go with the flow that it was made for. */
	while (l->io.fd >= 0 && (fd = accept4(l->io.fd, (struct sockaddr *)&client, &len,
					      SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
		bool last = l->users == 1;

		accepted(a->shards, t, fd, &client);
		if (last)
			break;
		len = sizeof(client);
	}
	rcu_read_unlock();
}
