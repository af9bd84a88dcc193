// SPDX-License-Identifier: GPL-3.0-or-later
/* tunnel.c - a tunnel instance from start to end */
/*
 * Theory of operation
 *
 * Set-up goes from what can be wrong most easily to what touches the kernel:
 * peers are resolved, interfaces looked at and claimed, sockets opened, then
 * threads started. It fails loudly and undoes itself. From then on the main
 * thread's loop answers the control socket, ages the MAC table and watches
 * the interfaces: one that goes away is marked down, one that comes back, by
 * name and with another index, is opened anew by the worker.
 *
 * Nothing in the kernel outlives the process: TAPs, promiscuous mode and
 * sockets belong to descriptors. Large receive offload is the one setting
 * that is changed on an interface, and it is put back at the end. Routes of
 * streams (ramp.c) are removed at the end, or at the next start.
 */
#include "tunnel/tunnel.h"

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/notify.h"
#include "lib/processors.h"
#include "tunnel/control.h"
#include "tunnel/mtu.h"
#include "tunnel/paced.h"
#include "tunnel/privileges.h"
#include "tunnel/worker.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define _LGPL_SOURCE
#include <urcu.h>

#define AGE_PERIOD_NS	(10 * NS_PER_S)
#define RETRY_PERIOD_NS (500 * NS_PER_MS) /* how soon a TAP that was deleted is made again */

/* Whether an address is one of this machine's: only those can be bound. */
static bool is_local(struct in_addr address)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = address};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool local = fd >= 0 && address.s_addr != INADDR_ANY &&
		     !IN_MULTICAST(ntohl(address.s_addr)) && address.s_addr != INADDR_BROADCAST &&
		     !bind(fd, (struct sockaddr *)&a, sizeof(a));

	if (fd >= 0)
		close(fd);
	return local;
}

static int resolve(struct peer *p, struct err *e)
{
	struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_RAW}, *found;
	const struct sockaddr_in *in;
	int ret = getaddrinfo(p->conf->address, NULL, &hints, &found);

	if (ret)
		return err_set(e, EHOSTUNREACH,
			       "far end '%s' does not resolve to an IPv4 address: %s; the "
			       "capsulator transport is IPv4 only",
			       p->conf->address, gai_strerror(ret));
	in = (const struct sockaddr_in *)found->ai_addr;
	p->address = in->sin_addr;
	freeaddrinfo(found);
	if (is_local(p->address))
		return err_set(e, EINVAL,
			       "far end '%s' is this machine's own address; give the other end's",
			       p->conf->address);
	if (IN_MULTICAST(ntohl(p->address.s_addr)) || p->address.s_addr == INADDR_ANY ||
	    p->address.s_addr == INADDR_BROADCAST)
		return err_set(e, EINVAL, "far end '%s' is not the address of a host",
			       p->conf->address);
	return 0;
}

/* Checks that each of a peer's addresses resolves now; they are resolved anew at each call. */
static int resolve_all(const char *at, struct err *e)
{
	struct endpoint unused;
	int ret = 0;
	size_t len;

	for (; at && !ret; at = at[len] ? at + len + 1 : NULL) {
		len = strcspn(at, ",");
		ret = endpoint_resolve(at, len, PROTO_DEFAULT_PORT, false, &unused, e);
	}
	return ret ? err_wrap(e, ret, "far end") : 0;
}

static int init_peers(struct tunnel *t, struct err *e)
{
	unsigned i, j;
	int ret;

	for (i = 0; i < t->conf->n_peers; i++) {
		struct peer *p = &t->peers[i];

		if (peer_init(p, &t->conf->peers[i], i))
			return err_set(e, ENOMEM, "out of memory");
		t->n_peers++;
		if (p->conf->rate_bps) {
			p->paced = paced_new(t, i, p->conf->rate_bps);
			if (!p->paced)
				return err_set(e, ENOMEM, "out of memory");
			t->paced |= 1ull << i;
		}
		ret = t->conf->outer == CONF_OUTER_CAPSULATOR ? resolve(p, e)
							      : resolve_all(p->conf->address, e);
		if (ret)
			return ret;
		for (j = 0; t->conf->outer == CONF_OUTER_CAPSULATOR && j < i; j++)
			if (t->peers[j].address.s_addr == p->address.s_addr)
				return err_set(e, EEXIST,
					       "far ends '%s' and '%s' are the same address",
					       t->peers[j].conf->address, p->conf->address);
	}
	return 0;
}

/* Index of a tag as on the wire, -1 if nothing is bridged with it. */
int tunnel_tag_index(const struct tunnel *t, uint32_t tag)
{
	unsigned i;

	for (i = 0; i < t->n_tags; i++)
		if (t->tags[i].tag == tag)
			return (int)i;
	return -1;
}

/* Makes a tag where a port has named a new one. Returns its index. */
static unsigned add_tag(struct tunnel *t, uint32_t number, uint64_t now_ns)
{
	const struct conf_tag *conf = conf_tag(t->conf, number);
	int at = tunnel_tag_index(t, number);
	struct tag *tag;
	unsigned i;

	if (at >= 0)
		return (unsigned)at;
	tag = &t->tags[t->n_tags];
	*tag = (struct tag){
		.tag = number,
		.conf = conf,
		.wscale = conf->wscale == WSCALE_OFF ? FROB_WSCALE_OFF : (int8_t)conf->wscale,
	};
	for (i = 0; i < FDB_PLACES; i++)
		storm_init(&tag->storms[i], conf->storm_limit, now_ns);
	return t->n_tags++;
}

/* Which peers a port's tag goes to: all, or the one of its own position for IF#TAG. */
static uint64_t peers_of(const struct tunnel *t, unsigned port)
{
	if (t->conf->ports[port].positional && !t->conf->all && t->n_peers > 1)
		return 1ull << port;
	return t->n_peers == 64 ? ~0ull : (1ull << t->n_peers) - 1;
}

static int init_ports(struct tunnel *t, struct err *e)
{
	uint64_t now = clock_ns(), left;
	unsigned i, tag;
	int ret;

	t->tags = calloc(t->conf->n_ports, sizeof(*t->tags));
	if (!t->tags)
		return err_set(e, ENOMEM, "out of memory");
	for (i = 0; i < t->conf->n_ports; i++) {
		tag = add_tag(t, t->conf->ports[i].tag, now);
		t->tags[tag].ports |= 1ull << i;
		for (left = peers_of(t, i); left; left &= left - 1)
			t->tags_of[__builtin_ctzll(left)] |= 1ull << tag;
		ret = port_init(&t->ports[i], t->conf, i, tag, t->n_workers, e);
		t->n_ports++;
		if (ret)
			return ret;
	}
	for (i = 0; i < t->conf->n_tags; i++)
		if (tunnel_tag_index(t, t->conf->tags[i].tag) < 0)
			log_warning("[tag %u] is configured but no border port carries it",
				    t->conf->tags[i].tag);
	return 0;
}

/* The capsulator agrees nothing: what is configured is bridged from the start. */
static void grant_everything(struct tunnel *t)
{
	unsigned i, j;

	for (i = 0; i < t->n_peers; i++) {
		t->peers[i].tags = t->tags_of[i];
		for (j = 0; j < t->n_tags; j++)
			if (t->tags_of[i] & 1ull << j)
				t->tags[j].peers |= 1ull << i;
	}
}

static int check_interface(const struct conf *conf, struct link_info *info, struct err *e)
{
	int ret = link_get(conf->interface, info, e);

	return ret ? err_wrap(e, ret, "tunnel interface %s", conf->interface) : 0;
}

/*
 * Checks all of a configuration that can be checked without starting: the
 * interfaces are there and can be bridged, the peers resolve.
 * Returns 0 or -errno with a text.
 */
int tunnel_check(const struct conf *conf, struct err *e)
{
	struct tunnel *t = calloc(1, sizeof(*t));
	unsigned i;
	int ret;

	if (!t)
		return err_set(e, ENOMEM, "out of memory");
	t->conf = conf;
	t->outer_ops = outer_find(conf->outer);
	ret = check_interface(conf, &t->interface, e);
	for (i = 0; !ret && i < conf->n_ports; i++)
		ret = port_check(&conf->ports[i], e);
	ret = ret ? ret : init_peers(t, e);
	if (!ret && conf->outer == CONF_OUTER_SEALED) {
		struct identity id = {0};

		ret = identity_load(conf->identity, &id, e);
		for (i = 0; !ret && i < conf->n_peers; i++)
			if (fingerprint_equal(&conf->peers[i].trust, &id.fingerprint))
				ret = err_set(e, EINVAL, CONTROL_OWN_FINGERPRINT,
					      conf->peers[i].name);
		identity_free(&id);
	}
	for (i = 0; i < t->n_peers; i++) {
		paced_free(t->peers[i].paced);
		peer_release(&t->peers[i]);
	}
	free(t);
	return ret;
}

static struct port *find_port(struct tunnel *t, const char *name)
{
	unsigned i;

	for (i = 0; i < t->n_ports; i++)
		if (!strcmp(t->ports[i].conf->name, name))
			return &t->ports[i];
	return NULL;
}

static void interface_changed(struct tunnel *t, const struct link_info *info, bool present)
{
	bool up = info->up && info->running, was_up = t->interface.up && t->interface.running;
	bool back = present && info->ifindex != t->interface.ifindex;
	unsigned i;

	if (!present) {
		log_warning("tunnel interface %s is gone; waiting for it", info->name);
		t->interface = (struct link_info){0};
		return;
	}
	t->interface = *info;
	if (info->mtu != t->interface_mtu) {
		t->interface_mtu = info->mtu;
		mtu_changed(t);
	}
	if (back) {
		log_info("tunnel interface %s is back", info->name);
		for (i = 0; i < t->n_workers; i++)
			worker_rebind_outer(t->workers[i]);
		if (t->control)
			control_rebind(t->control);
	} else if (up != was_up) {
		log_info("tunnel interface %s is %s", info->name, up ? "up" : "down");
	}
}

/* Every worker opens its end anew, in a fanout group of its own: the old one may still have
 * members. */
static void reopen_port(struct tunnel *t, struct port *port)
{
	unsigned i;

	port_new_fanout(port);
	for (i = 0; i < t->n_workers; i++)
		worker_reopen_port(t->workers[i], port->index);
}

static void port_changed(struct tunnel *t, struct port *port, const struct link_info *info,
			 bool present)
{
	bool back = present && info->ifindex != port->ifindex;

	port_link_changed(port, present ? info : NULL);
	/* A TAP comes because the worker made it; any other interface comes back without us. */
	if (back && port->conf->kind != CONF_PORT_TAP) {
		port->lro_was_on |= link_hold_lro_off(port->conf->name);
		reopen_port(t, port);
	} else if (!present && port->conf->kind == CONF_PORT_TAP)
		loop_timer_start(t->loop, &t->retry_timer, RETRY_PERIOD_NS, 0);
}

static void link_news(void *ctx, const struct link_info *info, bool present);

/* Looks at an interface of ours as if news of it had come. */
static void look_again(struct tunnel *t, const char *name, int ifindex)
{
	struct link_info info = {.ifindex = ifindex};
	int ret = link_get(name, &info, NULL);

	snprintf(info.name, sizeof(info.name), "%s", name);
	if (!ret || (ret == -ENODEV && ifindex))
		link_news(t, &info, !ret);
}

static void look_at_everything(struct tunnel *t)
{
	unsigned i;

	look_again(t, t->conf->interface, t->interface.ifindex);
	for (i = 0; i < t->n_ports; i++)
		look_again(t, t->ports[i].conf->name, t->ports[i].ifindex);
}

/* A port's interface that has another name now is gone as far as we are concerned. */
static void notice_renamed(struct tunnel *t, const struct link_info *info)
{
	unsigned i;

	for (i = 0; i < t->n_ports; i++)
		if (t->ports[i].ifindex == info->ifindex &&
		    strcmp(t->ports[i].conf->name, info->name))
			port_changed(t, &t->ports[i], info, false);
}

static void link_news(void *ctx, const struct link_info *info, bool present)
{
	struct tunnel *t = ctx;
	struct port *port = info ? find_port(t, info->name) : NULL;

	if (!info) {
		look_at_everything(t);
		return;
	}
	notice_renamed(t, info);

	if (!strcmp(info->name, t->conf->interface))
		interface_changed(t, info, present);
	else if (port && (present || info->ifindex == port->ifindex))
		port_changed(t, port, info, present);
}

/* TAPs are ours to make: one that somebody deleted is made again. */
static void remake_taps(void *ctx)
{
	struct tunnel *t = ctx;
	unsigned i;

	for (i = 0; i < t->n_ports; i++)
		if (t->ports[i].conf->kind == CONF_PORT_TAP && !t->ports[i].ifindex)
			reopen_port(t, &t->ports[i]);
}

static void age(void *ctx)
{
	struct tunnel *t = ctx;

	fdb_age(t->fdb, (uint32_t)(t->conf->mac_age_ns / NS_PER_MS),
		(uint32_t)(clock_ns() / NS_PER_MS));
}

/* Says that we live only if every worker has answered since the last time. */
static void pat_watchdog(void *ctx)
{
	struct tunnel *t = ctx;
	bool alive = true;
	unsigned i;

	for (i = 0; i < t->n_workers; i++)
		alive &= worker_pulse(t->workers[i]);
	if (alive)
		notify_manager("WATCHDOG=1");
}

static void watch_mirrors(void *ctx)
{
	mirror_tick(ctx);
}

static void on_signal(void *ctx, int sig)
{
	struct tunnel *t = ctx;

	t->signal = sig;
	loop_stop(t->loop);
}

static json_t *answer(void *ctx, const json_t *request)
{
	const char *cmd = json_string_value(json_object_get(request, "cmd"));

	const json_t *macs = json_object_get(request, "macs");

	/* "macs": most entries of the MAC table to list; all unless said. "flows": list those too
	 */
	if (cmd && !strcmp(cmd, "status"))
		return tunnel_status(
			ctx, json_is_integer(macs) ? (size_t)json_integer_value(macs) : SIZE_MAX,
			json_is_true(json_object_get(request, "flows")));
	if (cmd && !strcmp(cmd, "capture"))
		return mirror_request(ctx, request);
	return json_pack("{s:i, s:s}", "version", 1, "error",
			 "unknown cmd; known: status, capture");
}

static unsigned count_workers(const struct tunnel *t)
{
	uint64_t n = t->conf->workers;

	/* Relay threads do most of the work there, and the fewer threads share the rest, the more
	 * each finds to do when it is woken. */
	if (!n)
		n = conf_accelerates_some(t->conf) ? (processors_allowed() + 1) / 2
						   : processors_allowed();
	return n < t->outer_ops->workers_max ? (unsigned)n : t->outer_ops->workers_max;
}

/* Where to listen: as configured, or on every address of both families, or of IPv4 where there is
 * no IPv6. */
static int resolve_listen(struct tunnel *t, struct err *e)
{
	const char *text = t->conf->listen;
	int fd, ret = 0;

	t->listen_family = AF_INET6;
	if (text) {
		ret = endpoint_resolve(text, strlen(text), PROTO_DEFAULT_PORT, false, &t->listen,
				       e);
		if (ret)
			return err_wrap(e, ret, "--listen");
		if (endpoint_is_ipv4(&t->listen))
			t->listen_family = AF_INET;
		return 0;
	}
	fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0) {
		close(fd);
		t->listen.in6 = (struct sockaddr_in6){.sin6_family = AF_INET6};
	} else {
		t->listen_family = AF_INET;
		endpoint_from(&t->listen,
			      (struct sockaddr *)&(struct sockaddr_in){.sin_family = AF_INET});
	}
	t->listen.in6.sin6_port = htons(PROTO_DEFAULT_PORT);
	return 0;
}

static int set_up_control(struct tunnel *t, struct err *e)
{
	int ret = resolve_listen(t, e);

	if (ret)
		return ret;
	t->control = calloc(1, sizeof(*t->control));
	if (!t->control)
		return err_set(e, ENOMEM, "out of memory");
	return control_init(t->control, t, e);
}

/* Everything that may fail before the first frame moves. */
static int set_up(struct tunnel *t, struct err *e)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, 0};
	unsigned i;
	int ret;

	t->outer_ops = outer_find(t->conf->outer);
	ret = check_interface(t->conf, &t->interface, e);
	if (ret)
		return ret;
	t->interface_mtu = t->interface.mtu;
	t->n_workers = count_workers(t);
	t->loop = loop_new(e);
	if (!t->loop)
		return -ENOMEM;
	t->ctl = ctl_server_new(t->loop, t->conf->name, answer, t, e);
	if (!t->ctl)
		return -EADDRINUSE;
	if (t->outer_ops->plain_text) {
		/* Two instances would both read every packet of protocol 245. */
		t->claim = ctl_claim("interface", t->conf->interface, e);
		if (t->claim < 0)
			return t->claim;
	}
	ret = init_peers(t, e);
	ret = ret ? ret : init_ports(t, e);
	if (ret)
		return ret;
	accelerate_init(t);
	ret = t->outer_ops->plain_text ? 0 : set_up_control(t, e);
	/* Before any thread, liburcu's too: capabilities are a thread's, and new ones inherit them.
	 */
	ret = ret ? ret : privileges_drop(t->control && ntohs(t->listen.in6.sin6_port) < 1024, e);
	if (ret)
		return ret;
	t->fdb = fdb_new();
	t->reflect = calloc(1, sizeof(*t->reflect));
	if (!t->fdb || !t->reflect)
		return err_set(e, ENOMEM, "out of memory");
	accelerate_start(t);
	mtu_changed(t);
	if (t->outer_ops->plain_text)
		grant_everything(t);
	/* Before the sockets, so that no change between them and the first news is missed. */
	t->watch = link_watch_new(t->loop, link_news, t, e);
	for (i = 0; t->watch && i < t->n_workers; i++) {
		t->workers[i] = worker_new(t, i, e);
		if (!t->workers[i])
			break;
	}
	if (i < t->n_workers)
		return -EIO;
	for (i = 0; i < t->n_ports; i++) {
		struct link_info info;

		if (!link_get(t->ports[i].conf->name, &info, e))
			port_link_changed(&t->ports[i], &info);
	}
	ret = loop_on_signals(t->loop, signals, on_signal, t, e);
	for (i = 0; !ret && i < t->n_workers; i++)
		ret = worker_start(t->workers[i], e);
	return ret;
}

static void tear_down(struct tunnel *t)
{
	unsigned i;

	accelerate_stop(t);
	/* All first: they call upon one another. */
	for (i = 0; i < t->n_workers; i++)
		worker_stop(t->workers[i]);
	for (i = 0; i < t->n_workers; i++)
		worker_free(t->workers[i]);
	mirror_free_all(t);
	if (t->control)
		control_release(t->control);
	accel_free(t->accelerate.accel);
	free(t->control);
	link_watch_free(t->watch);
	for (i = 0; i < t->n_ports; i++)
		port_release(&t->ports[i]);
	ctl_server_free(t->ctl);
	if (t->claim >= 0)
		close(t->claim);
	fdb_free(t->fdb);
	free(t->reflect);
	rcu_barrier(); /* what was retired is freed, and its keys are wiped, before we go */
	for (i = 0; i < t->n_peers; i++) {
		paced_free(t->peers[i].paced);
		peer_release(&t->peers[i]);
	}
	loop_free(t->loop);
	free(t->tags);
}

static void announce(const struct tunnel *t)
{
	unsigned i;

	for (i = 0; i < t->n_ports; i++) {
		const struct tag *tag = &t->tags[t->ports[i].tag];

		log_info("port %s carries tag %u", t->ports[i].conf->name, tag->tag);
	}
	for (i = 0; i < t->n_tags; i++) {
		if (t->tags[i].mtu && t->tags[i].conf->mtu != MTU_AUTO)
			log_info("tag %u: MSS is clamped to %u (IPv4) and %u (IPv6)",
				 t->tags[i].tag, t->tags[i].mtu - 40, t->tags[i].mtu - 60);
		if (t->tags[i].wscale != FROB_WSCALE_OFF)
			log_warning(
				"tag %u: window scale %d is written into handshakes; a host that sent "
				"another one goes on scaling by its own",
				t->tags[i].tag, t->tags[i].wscale);
	}
	if (t->outer_ops->plain_text)
		log_warning(
			"outer = %s is PLAIN TEXT: everybody on the path can read and forge frames",
			t->outer_ops->name);
}

static void start_timers(struct tunnel *t)
{
	uint64_t watchdog = notify_watchdog_ns();

	t->age_timer = (struct loop_timer){.expired = age, .ctx = t};
	t->retry_timer = (struct loop_timer){.expired = remake_taps, .ctx = t};
	t->watchdog_timer = (struct loop_timer){.expired = pat_watchdog, .ctx = t};
	t->mirror_timer = (struct loop_timer){.expired = watch_mirrors, .ctx = t};
	loop_timer_start(t->loop, &t->age_timer, AGE_PERIOD_NS, AGE_PERIOD_NS);
	loop_timer_start(t->loop, &t->mirror_timer, NS_PER_S, NS_PER_S);
	if (watchdog)
		loop_timer_start(t->loop, &t->watchdog_timer, watchdog, watchdog);
}

/*
 * Runs a tunnel until a signal ends it.
 * Returns 0, or -errno with a text when it could not start.
 */
int tunnel_run(const struct conf *conf, struct err *e)
{
	struct tunnel *t = calloc(1, sizeof(*t));
	int ret;

	if (!t)
		return err_set(e, ENOMEM, "out of memory");
	*t = (struct tunnel){.conf = conf, .claim = -1, .started_ns = clock_ns()};
	rcu_register_thread();
	ret = set_up(t, e);
	if (!ret) {
		announce(t);
		start_timers(t);
		if (t->control)
			control_start(t->control);
		notify_manager("READY=1\nSTATUS=bridging %u ports with %u peers", t->n_ports,
			       t->n_peers);
		loop_run(t->loop);
		notify_manager("STOPPING=1");
		log_info("ended by %s", strsignal(t->signal));
	}
	tear_down(t);
	rcu_unregister_thread();
	free(t);
	return ret;
}
