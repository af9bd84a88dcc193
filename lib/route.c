// SPDX-License-Identifier: GPL-3.0-or-later
/* route.c - routes of their own for chosen TCP connections, and news of all routes (libnl) */
/*
 * Theory of operation
 *
 *	rule  iif lo to PEER ipproto tcp sport|dport PORT → table T
 *	table T: PEER/32, as the route in use, with initcwnd
 *
 * The kernel has no socket option for the initial congestion window; it is the
 * route's (ip-route(8), initcwnd). A rule with the connections' addresses and
 * port leads them, and nothing else of the host's, to a table of their own.
 * A mark on the sockets would do the same, but marks are shared with the
 * host's firewall, VPNs and containers; and a listener's would be its other
 * connections' too.
 *
 * `iif lo` is what leaves from this host: without it the kernel would take the
 * ports out of each packet it forwards, too.
 *
 * The route is a copy of what the kernel finds for these addresses (the rule is
 * not met then, since no port is asked about), so policy routing and metrics
 * that somebody has set are kept. It has to follow what it was copied from:
 * route_watch tells.
 *
 * Rules with ports need Linux 4.17.
 */
#include "lib/route.h"

#include "lib/clock.h"
#include "lib/link.h"
#include "lib/log.h"

#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/route/route.h>
#include <netlink/route/rule.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* News come in bursts: a routing daemon changes thousands at a time. */
#define SETTLE_NS (200 * NS_PER_MS)

/* What rtnetlink calls the flags of a next hop that are its state, and may not be set. */
#define KEPT_FLAGS RTNH_F_ONLINK

static int address_len(int family)
{
	return family == AF_INET ? 4 : 16;
}

static int take_route(struct nl_msg *msg, void *arg)
{
	struct rtnl_route **found = arg;

	if (!*found && nlmsg_hdr(msg)->nlmsg_type == RTM_NEWROUTE &&
	    rtnl_route_parse(nlmsg_hdr(msg), found))
		*found = NULL;
	return NL_OK;
}

static int build_question(struct nl_msg *msg, const struct route_own *r)
{
	int len = address_len(r->family), ret;
	struct rtmsg rt = {.rtm_family = (uint8_t)r->family,
			   .rtm_dst_len = (uint8_t)(8 * len),
			   .rtm_src_len = (uint8_t)(8 * len),
			   .rtm_flags = RTM_F_LOOKUP_TABLE | RTM_F_FIB_MATCH};

	ret = nlmsg_append(msg, &rt, sizeof(rt), NLMSG_ALIGNTO);
	ret = ret < 0 ? ret : nla_put(msg, RTA_DST, len, r->remote);
	ret = ret < 0 ? ret : nla_put(msg, RTA_SRC, len, r->local);
	if (ret >= 0 && r->ifindex)
		ret = nla_put_u32(msg, RTA_OIF, r->ifindex);
	return ret;
}

/* Asks which route the kernel takes between two addresses. Returns 0 or libnl's error. */
static int look_up(struct nl_sock *s, const struct route_own *r, struct rtnl_route **found)
{
	struct nl_msg *msg = nlmsg_alloc_simple(RTM_GETROUTE, NLM_F_REQUEST);
	int ret = msg ? build_question(msg, r) : -NLE_NOMEM;

	*found = NULL;
	if (ret < 0) {
		nlmsg_free(msg);
		return ret;
	}
	nl_socket_modify_cb(s, NL_CB_VALID, NL_CB_CUSTOM, take_route, found);
	ret = nl_send_sync(s, msg);
	nl_socket_modify_cb(s, NL_CB_VALID, NL_CB_DEFAULT, NULL, NULL);
	if (ret < 0 || !*found)
		return ret < 0 ? ret : -NLE_OBJ_NOTFOUND;
	return rtnl_route_get_type(*found) == RTN_UNICAST ? 0 : -NLE_OBJ_NOTFOUND;
}

static void clear_state(struct rtnl_nexthop *nh, void *arg)
{
	rtnl_route_nh_unset_flags(nh, ~(unsigned)KEPT_FLAGS);
}

/* Makes of a route that was found the one that is to be put in. */
static int adapt(struct rtnl_route *route, const struct route_own *r)
{
	int len = address_len(r->family), ret;
	struct nl_addr *dst = nl_addr_build(r->family, r->remote, (size_t)len);

	if (!dst)
		return -NLE_NOMEM;
	nl_addr_set_prefixlen(dst, 8 * len);
	ret = rtnl_route_set_dst(route, dst);
	nl_addr_put(dst);
	rtnl_route_set_table(route, r->table);
	rtnl_route_set_protocol(route, ROUTE_PROTOCOL);
	rtnl_route_set_priority(route, 1);
	rtnl_route_unset_flags(route, ~(uint32_t)KEPT_FLAGS);
	rtnl_route_foreach_nexthop(route, clear_state, NULL);
	/* A name, which libnl takes for a number; streams choose for themselves. */
	rtnl_route_unset_metric(route, RTAX_CC_ALGO);
	return ret < 0 ? ret : rtnl_route_set_metric(route, RTAX_INITCWND, r->initial_segments);
}

static struct rtnl_rule *make_rule(const struct route_own *r)
{
	struct rtnl_rule *rule = rtnl_rule_alloc();
	struct nl_addr *to = nl_addr_build(r->family, r->remote, (size_t)address_len(r->family));
	int ret = -NLE_NOMEM;

	if (rule && to) {
		nl_addr_set_prefixlen(to, 8 * address_len(r->family));
		rtnl_rule_set_family(rule, r->family);
		rtnl_rule_set_prio(rule, ROUTE_PRIORITY);
		rtnl_rule_set_action(rule, FR_ACT_TO_TBL);
		rtnl_rule_set_table(rule, r->table);
		rtnl_rule_set_protocol(rule, ROUTE_PROTOCOL);
		rtnl_rule_set_ipproto(rule, IPPROTO_TCP);
		rtnl_rule_set_iif(rule, "lo");
		ret = rtnl_rule_set_dst(rule, to);
		if (r->local_port)
			rtnl_rule_set_sport(rule, r->local_port);
		if (r->remote_port)
			rtnl_rule_set_dport(rule, r->remote_port);
	}
	nl_addr_put(to);
	if (ret >= 0)
		return rule;
	rtnl_rule_put(rule);
	return NULL;
}

static int add_rule(struct nl_sock *s, const struct route_own *r)
{
	struct rtnl_rule *rule = make_rule(r);
	int ret = rule ? rtnl_rule_add(s, rule, NLM_F_CREATE | NLM_F_EXCL) : -NLE_NOMEM;

	rtnl_rule_put(rule);
	return ret == -NLE_EXIST ? 0 : ret;
}

/*
 * Puts in a route and the rule that leads to it, or renews them.
 * Needs CAP_NET_ADMIN. Returns 0 or -errno with a text; then what was there
 * before is gone too, if there is no way to the peer any more.
 */
int route_own_install(const struct route_own *r, struct err *e)
{
	struct nl_sock *s = link_netlink(e);
	struct rtnl_route *route = NULL;
	int ret;

	if (!s)
		return -EIO;
	ret = look_up(s, r, &route);
	ret = ret < 0 ? ret : adapt(route, r);
	if (ret < 0) {
		route_own_remove(r);
		goto out;
	}
	ret = rtnl_route_add(s, route, NLM_F_CREATE | NLM_F_REPLACE);
	ret = ret < 0 ? ret : add_rule(s, r);
out:
	rtnl_route_put(route);
	nl_socket_free(s);
	if (ret >= 0)
		return 0;
	return err_set(e, ret == -NLE_PERM ? EPERM : EIO, "%s",
		       ret == -NLE_PERM ? "CAP_NET_ADMIN is needed" : nl_geterror(ret));
}

/* ---- removing ---- */

struct sweep {
	struct nl_sock *s; /* another than what is read from */
	uint32_t first, last;
};

static void sweep_rule(struct nl_object *obj, void *arg)
{
	struct rtnl_rule *rule = (struct rtnl_rule *)obj;
	const struct sweep *w = arg;
	uint32_t table = rtnl_rule_get_table(rule);
	uint8_t protocol;

	if (!rtnl_rule_get_protocol(rule, &protocol) && protocol == ROUTE_PROTOCOL &&
	    table >= w->first && table <= w->last)
		rtnl_rule_delete(w->s, rule, 0);
}

static void sweep_route(struct nl_object *obj, void *arg)
{
	struct rtnl_route *route = (struct rtnl_route *)obj;
	const struct sweep *w = arg;
	uint32_t table = rtnl_route_get_table(route);

	if (rtnl_route_get_protocol(route) == ROUTE_PROTOCOL && table >= w->first &&
	    table <= w->last)
		rtnl_route_delete(w->s, route, 0);
}

static int take_each(struct nl_msg *msg, void *arg)
{
	nl_msg_parse(msg, sweep_route, arg);
	return NL_OK;
}

/* Has the kernel list our routes alone: a router may have a million others. */
static void sweep_routes(struct sweep *w, int family)
{
	struct rtmsg rt = {.rtm_family = (uint8_t)family, .rtm_protocol = ROUTE_PROTOCOL};
	struct err none;
	struct nl_sock *s = link_netlink(&none);
	const int on = 1;

	if (!s)
		return;
	setsockopt(nl_socket_get_fd(s), SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof(on));
	nl_socket_modify_cb(s, NL_CB_VALID, NL_CB_CUSTOM, take_each, w);
	if (nl_send_simple(s, RTM_GETROUTE, NLM_F_DUMP, &rt, sizeof(rt)) >= 0)
		nl_recvmsgs_default(s);
	nl_socket_free(s);
}

/* Removes all rules to a range of tables that are ours, and the routes in them. */
void route_sweep(uint32_t first, uint32_t last)
{
	static const int families[] = {AF_INET, AF_INET6};
	struct err none;
	struct sweep w = {link_netlink(&none), first, last};
	struct nl_cache *rules;
	unsigned i;

	for (i = 0; w.s && i < 2; i++) {
		if (rtnl_rule_alloc_cache(w.s, families[i], &rules) >= 0) {
			nl_cache_foreach(rules, sweep_rule, &w);
			nl_cache_free(rules);
		}
		sweep_routes(&w, families[i]);
	}
	nl_socket_free(w.s);
}

/* Removes a route, whatever it is now, and its rule. */
void route_own_remove(const struct route_own *r)
{
	route_sweep(r->table, r->table);
}

/* ---- news ---- */

struct route_watch {
	struct loop *loop;
	struct loop_io io;
	struct nl_sock *sock;
	struct loop_timer settled;
	route_changed changed;
	void *ctx;
};

static void news_come(struct route_watch *w)
{
	if (!w->settled.armed)
		loop_timer_start(w->loop, &w->settled, SETTLE_NS, 0);
}

/* What we put in is no news, but its loss is: the kernel takes routes back with their interface. */
static int on_message(struct nl_msg *msg, void *arg)
{
	const struct nlmsghdr *h = nlmsg_hdr(msg);
	const struct rtmsg *rt = nlmsg_data(h);

	if (nlmsg_valid_hdr(h, sizeof(*rt)) &&
	    (h->nlmsg_type != RTM_NEWROUTE || rt->rtm_protocol != ROUTE_PROTOCOL))
		news_come(arg);
	return NL_OK;
}

static void watch_ready(void *ctx, uint32_t events)
{
	struct route_watch *w = ctx;
	int ret = nl_recvmsgs_default(w->sock);

	if (ret < 0 && ret != -NLE_AGAIN) /* some are lost (netlink(7), ENOBUFS) */
		news_come(w);
}

static void settled(void *ctx)
{
	struct route_watch *w = ctx;

	w->changed(w->ctx);
}

/* Has @changed called, in the loop's thread, after routes have changed. Returns NULL with a text.
 */
struct route_watch *route_watch_new(struct loop *l, route_changed changed, void *ctx, struct err *e)
{
	struct route_watch *w = calloc(1, sizeof(*w));

	if (!w) {
		err_set(e, ENOMEM, "out of memory");
		return NULL;
	}
	*w = (struct route_watch){.loop = l,
				  .settled = {.expired = settled, .ctx = w},
				  .changed = changed,
				  .ctx = ctx,
				  .sock = link_netlink_news(on_message, w, e)};
	if (!w->sock) {
		free(w);
		return NULL;
	}
	nl_socket_add_memberships(w->sock, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE, 0);
	w->io = (struct loop_io){nl_socket_get_fd(w->sock), watch_ready, w};
	loop_add(l, &w->io, EPOLLIN);
	return w;
}

/* Watches no more. NULL is allowed. */
void route_watch_free(struct route_watch *w)
{
	if (!w)
		return;
	loop_timer_stop(w->loop, &w->settled);
	loop_remove(w->loop, &w->io);
	nl_socket_free(w->sock);
	free(w);
}
