// SPDX-License-Identifier: GPL-3.0-or-later
/* stack.c - the kernel's own TCP in a private network namespace, and the TAPs that lead there */
/*
 * Theory of operation
 *
 * One thread, the relay's, lives in an anonymous network namespace of its own,
 * which goes with the process. For each (tag, VLAN) there is a TAP in it, with
 * a queue for each worker. Workers write the hosts' segments to it and read
 * what the stack answers. In the namespace,
 *
 *	rule  iif TAP → table 100      everything that comes from a TAP is local
 *	table 100: local default dev lo
 *	main: default dev TAP quickack 1     what a socket bound to a TAP sends
 *
 * so the stack believes that it has every address. Sockets are bound to their
 * TAP: (tag, VLAN)s may use the same addresses. A SYN to any address and port
 * is led to the TAP's listener by one of the steer_ops, best first.
 *
 * No TIME_WAIT is kept (tcp_max_tw_buckets 0): the flow table answers what is
 * repeated, and a host may use a 4-tuple again at once.
 *
 * Local acknowledgements are quick: one delayed by 40 ms would cap a window of
 * 33304 bytes at 6.7 Mbit/s.
 */
#include "accel/stack.h"

#include "lib/link.h"
#include "lib/log.h"
#include "lib/sock.h"
#include "lib/tap.h"

#include <fcntl.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netlink/netlink.h>
#include <netlink/route/link.h>
#include <netlink/route/qdisc.h>
#include <netlink/route/route.h>
#include <netlink/route/rule.h>
#include <netlink/route/tc.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define TABLE	     100
#define TX_QUEUE_LEN 10000 /* frames: a TAP has no backpressure, what does not fit is lost */
#define BACKLOG	     4096

/*
 * Bytes, least, at first and at most, of the sockets to hosts. The kernel's
 * first size just holds what a host without window scaling may send, so its
 * window closed whenever the relay thread was late, and never grew.
 */
#define LAN_BUFFERS "4096 2097152 6291456"

static const struct steer_ops *const steers[] = {&steer_sk_lookup, &steer_tproxy, &steer_listen};

/* What the namespace is set to. Where /proc/sys may not be written, defaults must do. */
static const struct {
	const char *path, *value;
} settings[] = {
	{"ipv4/conf/all/rp_filter", "0"},
	{"ipv4/conf/default/rp_filter", "0"},
	{"ipv4/conf/all/accept_local", "1"},
	{"ipv4/conf/default/accept_local", "1"},
	{"ipv4/tcp_syncookies", "0"},
	{"ipv4/tcp_max_tw_buckets", "0"},
	{"ipv4/tcp_fastopen", "0"},
	{"ipv4/tcp_ecn", "0"}, /* marks of a LAN say nothing of the path behind us */
	{"ipv4/tcp_slow_start_after_idle", "0"},
	{"ipv4/tcp_rmem", LAN_BUFFERS},
	{"ipv4/tcp_wmem", LAN_BUFFERS},
	{"ipv4/ip_unprivileged_port_start", "0"},
	{"ipv4/tcp_max_syn_backlog", "4096"},
	{"core/somaxconn", "4096"},
	{"ipv6/conf/default/accept_ra", "0"},
	{"ipv6/conf/default/accept_dad", "0"},
	{"ipv6/conf/default/dad_transmits", "0"},
	{"ipv6/conf/default/router_solicitations", "0"},
	{"ipv6/conf/default/addr_gen_mode", "1"},
	{"ipv6/conf/default/disable_ipv6", "0"},
};

/* Returns whether it could be set. */
static bool apply(const char *setting, const char *value)
{
	char path[96];
	bool done;
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/net/%s", setting);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	done = fd >= 0 && write(fd, value, strlen(value)) >= 0;
	if (!done)
		log_debug("accel: %s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return done;
}

/* How a silent host is asked whether it is there, for all sockets at once. */
static bool apply_keepalive(const struct keepalive *k)
{
	char idle[16], interval[16], probes[16];

	snprintf(idle, sizeof(idle), "%d", k->idle_s);
	snprintf(interval, sizeof(interval), "%d", k->interval_s);
	snprintf(probes, sizeof(probes), "%d", k->probes);
	return apply("ipv4/tcp_keepalive_time", idle) &&
	       apply("ipv4/tcp_keepalive_intvl", interval) &&
	       apply("ipv4/tcp_keepalive_probes", probes);
}

static void apply_settings(struct stack *s)
{
	unsigned i, failed = 0;

	for (i = 0; i < sizeof(settings) / sizeof(*settings); i++)
		failed += !apply(settings[i].path, settings[i].value);
	s->keepalive_is_default = apply_keepalive(&s->keepalive);
	if (failed == i)
		log_warning(
			"accel: /proc/sys/net cannot be written; if connections are not made, look at "
			"net.ipv4.conf.default.rp_filter, which must not be 1");
}

/* ---- netlink ---- */

static int nl_error(struct err *e, const char *what, int ret)
{
	return err_set(e, EIO, "%s: %s", what, nl_geterror(ret));
}

static int add_route(struct nl_sock *s, int family, int ifindex, bool local, struct err *e)
{
	struct rtnl_route *r = rtnl_route_alloc();
	struct rtnl_nexthop *nh = rtnl_route_nh_alloc();
	uint8_t any[16] = {0};
	struct nl_addr *dst = nl_addr_build(family, any, family == AF_INET ? 4 : 16);
	int ret = -NLE_NOMEM;

	if (r && nh && dst) {
		nl_addr_set_prefixlen(dst, 0);
		rtnl_route_set_family(r, (uint8_t)family);
		rtnl_route_set_dst(r, dst);
		rtnl_route_set_table(r, local ? TABLE : RT_TABLE_MAIN);
		rtnl_route_set_type(r, local ? RTN_LOCAL : RTN_UNICAST);
		rtnl_route_set_scope(r, local ? RT_SCOPE_HOST : RT_SCOPE_LINK);
		rtnl_route_set_priority(r, (uint32_t)ifindex);
		if (!local)
			rtnl_route_set_metric(r, RTAX_QUICKACK, 1);
		rtnl_route_nh_set_ifindex(nh, ifindex);
		rtnl_route_add_nexthop(r, nh);
		nh = NULL;
		ret = rtnl_route_add(s, r, NLM_F_CREATE);
	}
	if (nh)
		rtnl_route_nh_free(nh);
	rtnl_route_put(r);
	nl_addr_put(dst);
	return ret < 0 ? nl_error(e, "route", ret) : 0;
}

static int add_rule(struct nl_sock *s, int family, const char *iif, struct err *e)
{
	struct rtnl_rule *r = rtnl_rule_alloc();
	int ret = -NLE_NOMEM;

	if (r) {
		rtnl_rule_set_family(r, family);
		rtnl_rule_set_iif(r, iif);
		rtnl_rule_set_table(r, TABLE);
		rtnl_rule_set_action(r, FR_ACT_TO_TBL);
		rtnl_rule_set_prio(r, 100);
		ret = rtnl_rule_add(s, r, NLM_F_CREATE);
	}
	rtnl_rule_put(r);
	return ret < 0 ? nl_error(e, "rule", ret) : 0;
}

/*
 * Has what is sent to a TAP go to it at once. A multi-queue TAP has 256
 * transmit queues, for each of which the kernel would make a list of
 * TX_QUEUE_LEN places three times over: 60 MB, a third of a second of its
 * time, and one more queue before the TAP's own. To be called while it is down.
 */
static int no_queue(struct nl_sock *s, int ifindex)
{
	struct rtnl_qdisc *q = rtnl_qdisc_alloc();
	int ret = -NLE_NOMEM;

	if (q) {
		rtnl_tc_set_ifindex(TC_CAST(q), ifindex);
		rtnl_tc_set_parent(TC_CAST(q), TC_H_ROOT);
		ret = rtnl_tc_set_kind(TC_CAST(q), "noqueue");
	}
	ret = ret < 0 ? ret : rtnl_qdisc_add(s, q, NLM_F_CREATE | NLM_F_REPLACE);
	rtnl_qdisc_put(q);
	return ret;
}

static int set_up_link(struct nl_sock *s, struct tap *t, struct err *e)
{
	struct rtnl_link *link = NULL, *wanted = rtnl_link_alloc();
	int ret = rtnl_link_get_kernel(s, 0, t->name, &link);

	if (!ret && wanted) {
		t->ifindex = rtnl_link_get_ifindex(link);
		memcpy(t->mac, nl_addr_get_binary_addr(rtnl_link_get_addr(link)), 6);
		ret = no_queue(s, t->ifindex);
		if (ret < 0)
			log_debug("accel: %s: %s", t->name, nl_geterror(ret));
		rtnl_link_set_flags(wanted, IFF_UP | IFF_NOARP);
		rtnl_link_set_mtu(wanted, STACK_MTU);
		rtnl_link_set_txqlen(wanted, TX_QUEUE_LEN);
		ret = rtnl_link_change(s, link, wanted, 0);
	}
	rtnl_link_put(link);
	rtnl_link_put(wanted);
	return ret < 0 ? nl_error(e, t->name, ret) : 0;
}

static int set_up_tap(struct tap *t, struct err *e)
{
	struct nl_sock *s = link_netlink(e);
	int ret;

	if (!s)
		return -EIO;
	ret = set_up_link(s, t, e);
	ret = ret ? ret : add_route(s, AF_INET, t->ifindex, false, e);
	ret = ret ? ret : add_rule(s, AF_INET, t->name, e);
	if (!ret &&
	    (add_route(s, AF_INET6, t->ifindex, false, e) || add_rule(s, AF_INET6, t->name, e)))
		log_warning("accel: no IPv6: %s", e->text);
	nl_socket_free(s);
	return ret;
}

static int set_up_namespace(struct stack *stack, struct err *e)
{
	struct nl_sock *s;
	int ret;

	if (unshare(CLONE_NEWNET))
		return err_set(e, errno, "network namespace: %s%s", strerror(errno),
			       errno == EPERM ? "; accel needs CAP_SYS_ADMIN to begin with" : "");
	apply_settings(stack);
	ret = link_set_up("lo", true, e);
	if (ret)
		return ret;
	s = link_netlink(e);
	if (!s)
		return -EIO;
	ret = add_route(s, AF_INET, (int)if_nametoindex("lo"), true, e);
	if (!ret && add_route(s, AF_INET6, (int)if_nametoindex("lo"), true, e))
		log_warning("accel: no IPv6: %s", e->text);
	nl_socket_free(s);
	return ret;
}

/* ---- sockets ---- */

/* What every socket to a host is set up with. One that a listener accepts has it from there. */
static void prepare_socket(const struct stack *s, int fd)
{
	sock_set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	if (*s->congestion)
		setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, s->congestion,
			   (socklen_t)strlen(s->congestion));
	sock_set(fd, SOL_SOCKET, SO_OOBINLINE, 1);
	sock_set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	if (s->keepalive_is_default)
		return;
	sock_set(fd, IPPROTO_TCP, TCP_KEEPIDLE, s->keepalive.idle_s);
	sock_set(fd, IPPROTO_TCP, TCP_KEEPINTVL, s->keepalive.interval_s);
	sock_set(fd, IPPROTO_TCP, TCP_KEEPCNT, s->keepalive.probes);
}

static int new_socket(const struct stack *s, int family, const char *device, struct err *e)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return err_set(e, errno, "TCP socket: %s", strerror(errno));
	sock_set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (family == AF_INET6)
		sock_set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	if ((family == AF_INET ? sock_set(fd, IPPROTO_IP, IP_TRANSPARENT, 1)
			       : sock_set(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, 1)) ||
	    sock_bind_device(fd, device)) {
		err_set(e, errno, "transparent socket: %s", strerror(errno));
		close(fd);
		return -EPERM;
	}
	prepare_socket(s, fd);
	return fd;
}

/* Listens on a TAP. Returns 0 or -errno with a text. */
int stack_listen(struct tap *t, struct tap_listener *l, const struct sockaddr *at, socklen_t len,
		 struct err *e)
{
	struct stack *s = t->stack;
	int fd = new_socket(s, at->sa_family, t->name, e), ret;

	l->tap = t;
	l->io = (struct loop_io){-1, s->acceptable, l};
	if (fd < 0)
		return fd;
	if (!bind(fd, at, len) && !listen(fd, BACKLOG)) {
		l->io.fd = fd;
		return loop_add(s->loop, &l->io, EPOLLIN);
	}
	ret = err_set(e, errno, "listener: %s", strerror(errno));
	close(fd);
	return ret;
}

/* Listens no more. */
void stack_unlisten(struct tap_listener *l)
{
	if (l->io.fd < 0)
		return;
	loop_close(l->tap->stack->loop, &l->io);
}

static int listen_on_tap(struct stack *s, struct tap *t, struct err *e)
{
	/* Loopback addresses, so that no bind() to a host's address and port is in their way. */
	struct sockaddr_in in = {.sin_family = AF_INET,
				 .sin_port = htons(s->port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6,
				   .sin6_port = htons(s->port),
				   .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	struct err none;

	stack_listen(t, &t->listeners[1], (struct sockaddr *)&in6, sizeof(in6), &none);
	return stack_listen(t, &t->listeners[0], (struct sockaddr *)&in, sizeof(in), e);
}

static void to_sockaddr(struct sockaddr_storage *ss, socklen_t *len, uint8_t ip_version,
			const uint8_t address[16], uint16_t port)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

	if (ip_version == 4) {
		memcpy(&in.sin_addr, address + 12, 4);
		memcpy(ss, &in, *len = sizeof(in));
	} else {
		memcpy(&in6.sin6_addr, address, 16);
		memcpy(ss, &in6, *len = sizeof(in6));
	}
}

/*
 * Begins to connect to a flow's local host as its remote one.
 * Returns a descriptor, or -errno.
 */
int stack_connect(struct stack *s, const struct flow *f, uint8_t tos)
{
	int family = f->ip_version == 4 ? AF_INET : AF_INET6, fd;
	struct sockaddr_storage ss;
	socklen_t len;
	struct err e;

	fd = new_socket(s, family, f->tap->name, &e);
	if (fd < 0)
		return fd;
	if (!tos)
		; /* as it is */
	else if (family == AF_INET)
		sock_set(fd, IPPROTO_IP, IP_TOS, tos);
	else
		sock_set(fd, IPPROTO_IPV6, IPV6_TCLASS, tos);
	to_sockaddr(&ss, &len, f->ip_version, f->key.remote, f->key.remote_port);
	if (bind(fd, (struct sockaddr *)&ss, len))
		goto fail;
	to_sockaddr(&ss, &len, f->ip_version, f->key.local, f->key.local_port);
	if (!connect(fd, (struct sockaddr *)&ss, len) || errno == EINPROGRESS)
		return fd;
fail:
	log_debug("accel: far connection: %s", strerror(errno));
	family = -errno;
	close(fd);
	return family;
}

/* ---- TAPs ---- */

static void close_tap(struct tap *t)
{
	unsigned i;

	for (i = 0; i < 2; i++)
		stack_unlisten(&t->listeners[i]);
	for (i = 0; i < t->stack->n_workers; i++)
		if (t->fds[i] >= 0)
			close(t->fds[i]);
	free(t);
}

static struct tap *find_tap(const struct stack *s, unsigned tag, uint16_t vid)
{
	unsigned i;

	for (i = 0; i < s->n_taps; i++)
		if (s->taps[i]->tag == tag && s->taps[i]->vid == vid)
			return s->taps[i];
	return NULL;
}

/* Makes a TAP, with its listeners. NULL with a text: it cannot be made. */
static struct tap *make_tap(struct stack *s, unsigned tag, uint16_t vid, struct err *e)
{
	struct tap *t;
	unsigned i;

	if (s->n_taps == STACK_TAPS_MAX) {
		err_set(e, E2BIG, "more than %d VLANs", STACK_TAPS_MAX);
		return NULL;
	}
	t = calloc(1, sizeof(*t));
	if (!t) {
		err_set(e, ENOMEM, "out of memory");
		return NULL;
	}
	*t = (struct tap){.stack = s,
			  .index = s->n_taps,
			  .tag = tag,
			  .vid = vid,
			  .listeners = {{.io.fd = -1}, {.io.fd = -1}}};
	snprintf(t->name, sizeof(t->name), STACK_TAP_PREFIX "%u.%u", tag, vid);
	for (i = 0; i < s->n_workers; i++)
		t->fds[i] = -1;
	for (i = 0; i < s->n_workers; i++) {
		t->fds[i] = tap_open(t->name, s->vnet, s->n_workers > 1, e);
		if (t->fds[i] < 0)
			goto fail;
	}
	if (set_up_tap(t, e))
		goto fail;
	if (listen_on_tap(s, t, e) || (s->steer->add && s->steer->add(s, t, e)))
		goto fail;
	s->taps[s->n_taps] = t;
	s->n_taps++;
	s->added(t);
	return t;
fail:
	close_tap(t);
	return NULL;
}

/*
 * The TAP of a (tag, VLAN); it is made on first use. Relay threads.
 * @tag: index
 * Returns NULL with a text when it cannot be made.
 */
struct tap *stack_tap(struct stack *s, unsigned tag, uint16_t vid, struct err *e)
{
	struct tap *t = find_tap(s, tag, vid);

	if (t)
		return t;
	pthread_mutex_lock(&s->lock);
	t = find_tap(s, tag, vid);
	t = t ? t : make_tap(s, tag, vid, e);
	pthread_mutex_unlock(&s->lock);
	return t;
}

/* Writes a frame to a TAP; its destination becomes the TAP. Any thread. Returns false if it was
 * lost. */
bool stack_write(struct tap *t, unsigned worker, const struct frame *f)
{
	bool vnet = t->stack->vnet;
	struct iovec iov[2] = {{(void *)&f->vnet, sizeof(f->vnet)}, {f->data, f->len}};

	memcpy(f->data, t->mac, 6);
	return writev(t->fds[worker], iov + !vnet, 1 + vnet) >= 0;
}

/* ---- beginning and end ---- */

/*
 * Moves the calling thread into a namespace of its own and finds out how
 * segments can be steered there. Needs CAP_SYS_ADMIN, which may be dropped
 * afterwards. Returns 0 or -errno with a text.
 */
int stack_open(struct stack *s, struct err *e)
{
	unsigned i;
	int ret = set_up_namespace(s, e);

	s->map = s->program = s->link = -1;
	s->vnet = !(s->without & STACK_WITHOUT_VNET);
	if (ret)
		return ret;
	for (i = 0; i < sizeof(steers) / sizeof(*steers); i++) {
		if (s->without & steers[i]->without)
			continue;
		ret = steers[i]->open(s, e);
		if (!ret) {
			s->steer = steers[i];
			break;
		}
		log_info("accel: no %s here (%s); doing without", steers[i]->name, e->text);
	}
	return ret;
}

/* Closes everything; the namespace goes with its thread. Nobody uses the TAPs any more. */
void stack_close(struct stack *s)
{
	unsigned i;

	for (i = 0; i < s->n_taps; i++)
		close_tap(s->taps[i]);
	s->n_taps = 0;
	if (s->link >= 0)
		close(s->link);
	if (s->program >= 0)
		close(s->program);
	if (s->map >= 0)
		close(s->map);
}
