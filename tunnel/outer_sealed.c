// SPDX-License-Identifier: GPL-3.0-or-later
/* outer_sealed.c - the default transport: one authenticated, encrypted datagram a frame (UDP) */
/*
 * Theory of operation
 *
 * Every worker has two sockets: its share of the listening port, which a
 * socket filter steers by the sender's worker, and a port of its own to send
 * from. sealed_send.c splits, seals and sends; sealed_receive.c receives and
 * opens; sealed_probe.c looks after the paths. Keys come from the control connections (control.c);
 * without them nothing is sent and nothing is believed.
 */
#include "tunnel/sealed.h"

#include "lib/log.h"
#include "lib/sock.h"
#include "tunnel/tunnel.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Loads the byte at an offset of the UDP payload, modulo the number of sockets: the sender's
 * worker. */
static int steer(int fd, unsigned n_workers)
{
	struct sock_filter code[] = {
		{BPF_LD | BPF_B | BPF_ABS, 0, 0, 2},
		{BPF_ALU | BPF_MOD | BPF_K, 0, 0, n_workers},
		{BPF_RET | BPF_A, 0, 0, 0},
	};
	struct sock_fprog prog = {sizeof(code) / sizeof(*code), code};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &prog, sizeof(prog));
}

/* Opens one UDP socket on the tunnel's interface; port 0: one of its own. */
static int open_socket(const struct tunnel *t, int family, bool listening, struct err *e)
{
	struct endpoint at = t->listen;
	struct endpoint_name name;
	int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	char text[ENDPOINT_TEXT];

	if (fd < 0)
		return err_set(e, errno, "UDP socket: %s", strerror(errno));
	if (!listening)
		at.in6.sin6_port = 0;
	else
		sock_set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	/* DF, and no belief in ICMP: anybody can send it, and many paths filter it. */
	if (family == AF_INET6) {
		sock_set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
		sock_set(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE);
		sock_set(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
	}
	sock_set(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
	sock_set(fd, IPPROTO_IP, IP_RECVTOS, 1);
	sock_large_buffers(fd);
	if (!(t->conf->without & WITHOUT_UDP_GRO) && sock_set(fd, IPPROTO_UDP, UDP_GRO, 1))
		log_info("the kernel has no UDP_GRO; datagrams are received one by one");
	if (sock_bind_device(fd, t->conf->interface))
		err_set(e, errno, "binding to %s: %s", t->conf->interface, strerror(errno));
	else if (!endpoint_name(&at, family, &name) ||
		 bind(fd, (struct sockaddr *)&name.ss, name.len))
		err_set(e, errno, "UDP %s: %s%s", endpoint_text(&at, text), strerror(errno),
			errno == EADDRINUSE
				? "; another program listens there: stop it or choose another --listen"
				: "");
	else
		return fd;
	close(fd);
	return -EADDRINUSE;
}

static bool gso_works(const struct tunnel *t, int fd)
{
	int size = 1000;

	if (t->conf->without & WITHOUT_UDP_GSO)
		return false;
	if (setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size))) {
		log_info("the kernel has no UDP_SEGMENT; datagrams are sent one by one");
		return false;
	}
	size = 0;
	return !setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size));
}

static void sealed_close(struct outer *o)
{
	struct sealed *s = sealed_of(o);
	unsigned i;

	for (i = 0; i < OUTER_SOCKETS; i++)
		if (o->fds[i] >= 0)
			close(o->fds[i]);
	for (i = 0; i < PEERS_MAX; i++)
		reassembly_free(s->reassembly[i]);
	if (s->arena)
		munmap(s->arena, (size_t)TRAINS * TRAIN_BUFFER);
	free(s);
}

static struct outer *sealed_open(struct tunnel *t, unsigned worker, struct counters *c,
				 struct err *e)
{
	struct sealed *s = calloc(1, sizeof(*s));
	unsigned i;

	if (!s) {
		err_set(e, ENOMEM, "out of memory");
		return NULL;
	}
	s->outer = (struct outer){.tunnel = t, .counters = c, .worker = worker, .fds = {-1, -1}};
	s->family = t->listen_family;
	memset(s->open_train, NO_TRAIN, sizeof(s->open_train));
	s->arena = mmap(NULL, (size_t)TRAINS * TRAIN_BUFFER, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (s->arena == MAP_FAILED) {
		s->arena = NULL;
		err_set(e, ENOMEM, "out of memory");
		goto fail;
	}
	for (i = 0; i < TRAINS; i++)
		s->trains[i].bytes = s->arena + (size_t)i * TRAIN_BUFFER;
	s->outer.fds[SOCKET_LISTEN] = open_socket(t, s->family, true, e);
	if (s->outer.fds[SOCKET_LISTEN] < 0)
		goto fail;
	s->outer.fds[SOCKET_OUT] = open_socket(t, s->family, false, e);
	if (s->outer.fds[SOCKET_OUT] < 0)
		goto fail;
	/* The last one to join knows how many there are; the filter is the group's. */
	if (worker + 1 == t->n_workers && steer(s->outer.fds[SOCKET_LISTEN], t->n_workers))
		log_warning(
			"datagrams cannot be steered to workers (%s); keys are shared between them",
			strerror(errno));
	s->gso = gso_works(t, s->outer.fds[SOCKET_OUT]);
	return &s->outer;
fail:
	sealed_close(&s->outer);
	return NULL;
}

/* Whether a host is one where a peer is known to be. */
static bool is_peers_host(const struct tunnel *t, const struct endpoint *e)
{
	const struct peer_places *l;
	unsigned i;

	for (i = 0; i < t->n_peers; i++) {
		l = rcu_dereference(t->peers[i].places);
		if ((l->has_direct && endpoint_same_host(&l->direct, e)) ||
		    (l->has_learnt &&
		     endpoint_same_host(&l->learnt[__builtin_ctzll(l->has_learnt)], e)))
			return true;
	}
	return false;
}

/* Whether a port is one that we or a peer listen on. */
static bool is_tunnel_port(const struct tunnel *t, in_port_t port)
{
	const struct peer_places *l;
	unsigned i;

	if (port == t->listen.in6.sin6_port)
		return true;
	for (i = 0; i < t->n_peers; i++) {
		l = rcu_dereference(t->peers[i].places);
		if (l->has_direct && port == l->direct.in6.sin6_port)
			return true;
	}
	return false;
}

/*
 * Whether a frame seen on a border port is the tunnel's own: UDP or TCP of its
 * ports between a peer and anybody. Later fragments carry no ports: those of
 * UDP with a peer are taken for ours.
 */
static bool sealed_is_own(const struct tunnel *t, const struct frame *f, const struct packet *p)
{
	size_t alen = p->ip_version == 4 ? 4 : 16, at = p->l3 + (p->ip_version == 4 ? 12u : 8u);
	struct endpoint src = {0}, dst = {0};
	uint8_t *s = src.in6.sin6_addr.s6_addr, *d = dst.in6.sin6_addr.s6_addr;

	if (!p->ip_version || (p->proto != IPPROTO_UDP && p->proto != IPPROTO_TCP))
		return false;
	if (p->l4 && p->l4 + 4u <= f->len) {
		src.in6.sin6_port = htons(load_be16(f->data + p->l4));
		dst.in6.sin6_port = htons(load_be16(f->data + p->l4 + 2));
		if (!is_tunnel_port(t, src.in6.sin6_port) && !is_tunnel_port(t, dst.in6.sin6_port))
			return false;
	} else if (p->proto != IPPROTO_UDP) {
		return false;
	}
	if (alen == 4)
		s[10] = s[11] = d[10] = d[11] = 0xff;
	memcpy(s + 16 - alen, f->data + at, alen);
	memcpy(d + 16 - alen, f->data + at + alen, alen);
	return is_peers_host(t, &src) || is_peers_host(t, &dst);
}

const struct outer_ops outer_sealed = {
	.name = "sealed",
	.overhead = UDP_IPV4_HDR + SEALED_OVERHEAD,
	.workers_max = WORKERS_MAX,
	.open = sealed_open,
	.close = sealed_close,
	.receive = sealed_receive,
	.send = sealed_send,
	.flush = sealed_flush,
	.tick = sealed_tick,
	.is_own = sealed_is_own,
};
