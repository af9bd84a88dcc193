/* SPDX-License-Identifier: GPL-3.0-or-later */
/* link.h - network interfaces: what they are, and news of them (libnl) */
#ifndef LIB_LINK_H
#define LIB_LINK_H

#include "lib/err.h"
#include "lib/loop.h"

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

/* What the kernel says of an interface. */
struct link_info {
	int ifindex;
	char name[IFNAMSIZ];
	uint32_t mtu; /* bytes of layer 3 */
	bool up;      /* administratively */
	bool running; /* …and has a carrier */
	bool loopback;
	uint8_t mac[6];
	uint16_t arp_type;     /* ARPHRD_…; 1 is Ethernet */
	char master[IFNAMSIZ]; /* bridge or bond it is enslaved to, "" if none */
	char kind[16];	       /* "veth", "tun", "bridge"…, "" for hardware */
};

int link_get(const char *name, struct link_info *info, struct err *e);
int link_check_bridgeable(const struct link_info *info, struct err *e);
int link_set_up(const char *name, bool up, struct err *e);
int link_set_mtu(const char *name, uint32_t mtu, struct err *e);
int link_lro(const char *name, bool *on);
int link_set_lro(const char *name, bool on);
bool link_hold_lro_off(const char *name);

struct nl_sock;

struct nl_msg;
struct nl_sock *link_netlink(struct err *e);
struct nl_sock *link_netlink_news(int (*on_message)(struct nl_msg *msg, void *arg), void *arg,
				  struct err *e);

struct link_watch;

/*
 * Called after each change; @present is false when the interface has gone.
 * @info is NULL when news were lost: ask for what matters.
 */
typedef void (*link_changed)(void *ctx, const struct link_info *info, bool present);

struct link_watch *link_watch_new(struct loop *l, link_changed changed, void *ctx, struct err *e);
void link_watch_free(struct link_watch *w);

#endif
