// SPDX-License-Identifier: GPL-3.0-or-later
/* link.c - network interfaces: what they are, and news of them (libnl) */
#include "lib/link.h"

#include "lib/log.h"

#include <linux/ethtool.h>
#include <linux/if_arp.h>
#include <linux/sockios.h>
#include <netlink/netlink.h>
#include <netlink/route/link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define NEWS_BUFFER (1 << 20) /* some thousands of changes at once */

struct link_watch {
	struct loop *loop;
	struct loop_io io;
	struct nl_sock *sock;
	link_changed changed;
	void *ctx;
};

/* Opens a connection to the kernel's routing part; nl_socket_free() closes it. NULL: with a text.
 */
struct nl_sock *link_netlink(struct err *e)
{
	struct nl_sock *s = nl_socket_alloc();
	int ret;

	if (!s) {
		err_set(e, ENOMEM, "out of memory");
		return NULL;
	}
	ret = nl_connect(s, NETLINK_ROUTE);
	if (ret < 0) {
		err_set(e, EIO, "netlink: %s", nl_geterror(ret));
		nl_socket_free(s);
		return NULL;
	}
	return s;
}

/*
 * Opens one for the kernel's news: its caller says which groups of them it is
 * to be a member of, and reads them, which does not wait, for @on_message.
 * NULL: with a text.
 */
struct nl_sock *link_netlink_news(int (*on_message)(struct nl_msg *msg, void *arg), void *arg,
				  struct err *e)
{
	struct nl_sock *s = link_netlink(e);

	if (!s)
		return NULL;
	nl_socket_disable_seq_check(s);
	nl_socket_modify_cb(s, NL_CB_VALID, NL_CB_CUSTOM, on_message, arg);
	nl_socket_set_nonblocking(s);
	return s;
}

static void fill_info(struct rtnl_link *link, struct link_info *info)
{
	struct nl_addr *addr = rtnl_link_get_addr(link);
	unsigned flags = rtnl_link_get_flags(link);
	int master = rtnl_link_get_master(link);
	const char *kind = rtnl_link_get_type(link);

	memset(info, 0, sizeof(*info));
	info->ifindex = rtnl_link_get_ifindex(link);
	snprintf(info->name, sizeof(info->name), "%s",
		 rtnl_link_get_name(link) ? rtnl_link_get_name(link) : "");
	info->mtu = rtnl_link_get_mtu(link);
	info->up = flags & IFF_UP;
	info->running = flags & IFF_RUNNING;
	info->loopback = flags & IFF_LOOPBACK;
	info->arp_type = (uint16_t)rtnl_link_get_arptype(link);
	if (addr && nl_addr_get_len(addr) == sizeof(info->mac))
		memcpy(info->mac, nl_addr_get_binary_addr(addr), sizeof(info->mac));
	if (master && !if_indextoname((unsigned)master, info->master))
		snprintf(info->master, sizeof(info->master), "#%d", master);
	snprintf(info->kind, sizeof(info->kind), "%s", kind ? kind : "");
}

/*
 * Asks the kernel about an interface.
 * Returns 0, -ENODEV with a text, or another -errno.
 */
int link_get(const char *name, struct link_info *info, struct err *e)
{
	struct nl_sock *s;
	struct rtnl_link *link = NULL;
	int ret;

	/* The kernel has another answer for these, which would not be taken for what it is. */
	if (!*name || strlen(name) >= IFNAMSIZ)
		return err_set(e, ENODEV, "no such interface; names have 1 to %d characters",
			       IFNAMSIZ - 1);
	s = link_netlink(e);
	if (!s)
		return -EIO;
	ret = rtnl_link_get_kernel(s, 0, name, &link);
	if (ret == -NLE_NODEV || ret == -NLE_OBJ_NOTFOUND || (!ret && !link))
		ret = err_set(e, ENODEV, "no such interface; `ip link` lists what is there");
	else if (ret < 0)
		ret = err_set(e, EIO, "cannot ask about it: %s", nl_geterror(ret));
	else
		fill_info(link, info);
	if (link)
		rtnl_link_put(link);
	nl_socket_free(s);
	return ret;
}

/* Sends one change of an interface. @edit fills in what to change. */
static int change(const char *name, void (*edit)(struct rtnl_link *, uint32_t), uint32_t value,
		  struct err *e)
{
	struct nl_sock *s = link_netlink(e);
	struct rtnl_link *link = NULL, *wanted = rtnl_link_alloc();
	int ret;

	if (!s || !wanted) {
		rtnl_link_put(wanted);
		nl_socket_free(s);
		return -ENOMEM;
	}
	ret = rtnl_link_get_kernel(s, 0, name, &link);
	if (!ret) {
		edit(wanted, value);
		ret = rtnl_link_change(s, link, wanted, 0);
		rtnl_link_put(link);
	}
	rtnl_link_put(wanted);
	nl_socket_free(s);
	return ret < 0 ? err_set(e, EIO, "%s", nl_geterror(ret)) : 0;
}

static void edit_up(struct rtnl_link *link, uint32_t up)
{
	if (up)
		rtnl_link_set_flags(link, IFF_UP);
	else
		rtnl_link_unset_flags(link, IFF_UP);
}

/* Sets an interface up or down. Returns 0 or -errno with a text. */
int link_set_up(const char *name, bool up, struct err *e)
{
	return change(name, edit_up, up, e);
}

static void edit_mtu(struct rtnl_link *link, uint32_t mtu)
{
	rtnl_link_set_mtu(link, mtu);
}

/* Sets an interface's MTU in bytes. Returns 0 or -errno with a text. */
int link_set_mtu(const char *name, uint32_t mtu, struct err *e)
{
	return change(name, edit_mtu, mtu, e);
}

/* libnl speaks rtnetlink only; LRO is an ethtool flag. */
static int ethtool_value(const char *name, uint32_t cmd, uint32_t *value)
{
	struct ethtool_value ev = {cmd, *value};
	struct ifreq ifr = {.ifr_data = (void *)&ev};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int ret;

	if (fd < 0)
		return -errno;
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	ret = ioctl(fd, SIOCETHTOOL, &ifr) < 0 ? -errno : 0;
	close(fd);
	*value = ev.data;
	return ret;
}

/*
 * Reads whether large receive offload is on: it merges frames beyond recognition,
 * which a bridge must not. Returns 0 or -errno (-EOPNOTSUPP: no such offload).
 */
int link_lro(const char *name, bool *on)
{
	uint32_t flags = 0;
	int ret = ethtool_value(name, ETHTOOL_GFLAGS, &flags);

	*on = !ret && flags & ETH_FLAG_LRO;
	return ret;
}

/*
 * Checks that frames of an interface are for us to bridge, and says what to do if not.
 * Returns 0 or -errno with a text.
 */
int link_check_bridgeable(const struct link_info *info, struct err *e)
{
	if (info->loopback || info->arp_type != ARPHRD_ETHER)
		return err_set(e, EINVAL, "%s is not an Ethernet interface", info->name);
	if (*info->master)
		return err_set(e, EBUSY,
			       "%s is enslaved to %s, which takes its frames; free it with `ip "
			       "link set %s nomaster`, or give %s",
			       info->name, info->master, info->name, info->master);
	return 0;
}

/* Turns large receive offload on or off. Returns 0 or -errno. */
int link_set_lro(const char *name, bool on)
{
	uint32_t flags = 0;
	int ret = ethtool_value(name, ETHTOOL_GFLAGS, &flags);

	if (ret)
		return ret;
	flags = on ? flags | ETH_FLAG_LRO : flags & ~(uint32_t)ETH_FLAG_LRO;
	return ethtool_value(name, ETHTOOL_SFLAGS, &flags);
}

/*
 * Turns large receive offload off at an interface that is bridged and has it on.
 * Returns whether it was on: then link_set_lro() puts it back at the end.
 */
bool link_hold_lro_off(const char *name)
{
	bool on;
	int ret;

	if (link_lro(name, &on) || !on)
		return false;
	ret = link_set_lro(name, false);
	if (ret)
		log_warning("%s: large receive offload cannot be turned off (%s); frames it merges "
			    "cannot be bridged as they were",
			    name, strerror(-ret));
	else
		log_info("%s: large receive offload turned off while it is bridged", name);
	return true;
}

static void on_object(struct nl_object *obj, void *arg)
{
	struct link_watch *w = arg;
	struct rtnl_link *link = (struct rtnl_link *)obj;
	struct link_info info;

	/* A bridge announces its ports in AF_BRIDGE messages of the same type: not news of the
	 * link. */
	if (rtnl_link_get_family(link) == AF_BRIDGE)
		return;
	fill_info(link, &info);
	w->changed(w->ctx, &info, nl_object_get_msgtype(obj) != RTM_DELLINK);
}

static int on_message(struct nl_msg *msg, void *arg)
{
	nl_msg_parse(msg, on_object, arg);
	return NL_OK;
}

static void watch_ready(void *ctx, uint32_t events)
{
	struct link_watch *w = ctx;

	int ret = nl_recvmsgs_default(w->sock);

	/* News came faster than we read them and some are lost (netlink(7), ENOBUFS). */
	if (ret < 0 && ret != -NLE_AGAIN)
		w->changed(w->ctx, NULL, false);
}

/*
 * Has @changed called, in the loop's thread, whenever an interface comes, goes or changes.
 * Returns NULL with a text in @e.
 */
struct link_watch *link_watch_new(struct loop *l, link_changed changed, void *ctx, struct err *e)
{
	struct link_watch *w = calloc(1, sizeof(*w));

	if (!w) {
		err_set(e, ENOMEM, "out of memory");
		return NULL;
	}
	*w = (struct link_watch){.loop = l,
				 .changed = changed,
				 .ctx = ctx,
				 .sock = link_netlink_news(on_message, w, e)};
	if (!w->sock) {
		free(w);
		return NULL;
	}
	nl_socket_set_buffer_size(w->sock, NEWS_BUFFER, 0);
	nl_socket_add_memberships(w->sock, RTNLGRP_LINK, 0);
	w->io = (struct loop_io){nl_socket_get_fd(w->sock), watch_ready, w};
	loop_add(l, &w->io, EPOLLIN);
	return w;
}

/* Stops watching. */
void link_watch_free(struct link_watch *w)
{
	if (!w)
		return;
	loop_remove(w->loop, &w->io);
	nl_socket_free(w->sock);
	free(w);
}
