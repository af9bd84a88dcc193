// SPDX-License-Identifier: GPL-3.0-or-later
/* status.c - what a tunnel tells of itself (schema in doc/status.md) */
#include "lib/clock.h"
#include "tunnel/control.h"
#include "tunnel/paced.h"
#include "tunnel/tunnel.h"
#include "tunnel/worker.h"

#include <arpa/inet.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static json_int_t count(const counter *c)
{
	return (json_int_t)counter_get(c);
}

static json_t *traffic(const struct traffic *t)
{
	return json_pack("{s:I, s:I, s:I}", "frames", count(&t->frames), "bytes", count(&t->bytes),
			 "super_frames", count(&t->supers));
}

/* Adds up what the workers count: counters are all there is in the structure. */
static void sum_counters(const struct tunnel *t, struct counters *sum)
{
	counter *to = (counter *)sum;
	const counter *from;
	unsigned w;
	size_t i;

	memset(sum, 0, sizeof(*sum));
	for (w = 0; w < t->n_workers; w++) {
		from = (const counter *)worker_counters(t->workers[w]);
		for (i = 0; i < sizeof(*sum) / sizeof(counter); i++)
			counter_add(&to[i], counter_get(&from[i]));
	}
}

static json_t *ports(const struct tunnel *t, const struct counters *c)
{
	json_t *all = json_array();
	unsigned i;

	for (i = 0; i < t->n_ports; i++) {
		const struct port *p = &t->ports[i];

		json_array_append_new(
			all, json_pack("{s:s, s:s, s:I, s:s, s:I, s:I, s:I, s:o, s:o}", "name",
				       p->conf->name, "kind", p->ops->kind, "tag",
				       (json_int_t)t->tags[p->tag].tag, "state",
				       p->up	    ? "up"
				       : p->ifindex ? "down"
						    : "gone",
				       "mtu", (json_int_t)p->mtu, "macs",
				       (json_int_t)fdb_count(t->fdb, fdb_port(i)), "overruns",
				       count(&c->port_overruns[i]), "in", traffic(&c->ports[i].in),
				       "out", traffic(&c->ports[i].out)));
	}
	return all;
}

static json_t *peer_tags(const struct tunnel *t, const struct peer *p)
{
	json_t *all = json_array();
	uint64_t left;

	for (left = atomic_load(&p->tags); left; left &= left - 1)
		json_array_append_new(all, json_integer(t->tags[__builtin_ctzll(left)].tag));
	return all;
}

/* What a peer's rate is, and what waits for it. */
static json_t *pace(struct paced *q)
{
	const struct pace *p;

	if (!q)
		return json_null();
	p = &q->pace;
	return json_pack("{s:I, s:I, s:I, s:I}", "rate_bps", (json_int_t)p->full_bps, "frames_bps",
			 (json_int_t)atomic_load(&p->bps), "sent_bytes", count(&p->sent),
			 "waiting_bytes", (json_int_t)paced_waiting(q));
}

static json_t *peers(const struct tunnel *t, const struct counters *c, uint64_t now)
{
	json_t *all = json_array(), *heard, *extra;
	char address[INET_ADDRSTRLEN];
	unsigned i;

	for (i = 0; i < t->n_peers; i++) {
		const struct peer *p = &t->peers[i];
		uint64_t at = atomic_load_explicit(&p->heard_ns, memory_order_relaxed);

		extra = t->control ? control_status(t->control, i, now) : json_object();
		if (!t->control)
			json_object_set_new(extra, "endpoint",
					    json_string(inet_ntop(AF_INET, &p->address, address,
								  sizeof(address))));
		heard = at ? json_real((double)(now > at ? now - at : 0) / NS_PER_S) : json_null();
		json_array_append_new(all, extra);
		json_object_update_new(
			extra,
			json_pack("{s:s, s:I, s:o, s:I, s:o, s:o, s:o, s:o}", "name", p->conf->name,
				  "inner_mtu", (json_int_t)p->inner_mtu, "tags", peer_tags(t, p),
				  "macs", (json_int_t)fdb_count(t->fdb, fdb_peer(i)), "heard_s",
				  heard, "in", traffic(&c->peers[i].in), "out",
				  traffic(&c->peers[i].out), "pace", pace(p->paced)));
	}
	return all;
}

static json_t *tags(const struct tunnel *t, const struct counters *c)
{
	json_t *all = json_array();
	unsigned i;

	for (i = 0; i < t->n_tags; i++) {
		const struct tag *g = &t->tags[i];
		const struct tag_counters *n = &c->tags[i];

		json_array_append_new(
			all,
			json_pack(
				"{s:I, s:o, s:s, s:o, s:I, s:I, s:{s:I, s:I, s:I, s:I, s:I}, s:{s:I, s:I}}",
				"tag", (json_int_t)g->tag, "mtu",
				g->mtu ? json_integer(g->mtu) : json_null(), "oversize",
				conf_oversize_names[g->conf->oversize], "wscale",
				g->wscale >= 0 ? json_integer(g->wscale) : json_null(),
				"storm_limit", (json_int_t)g->conf->storm_limit, "max_macs",
				(json_int_t)g->conf->max_macs, "frobs", "syns", count(&n->syns),
				"mss_clamped", count(&n->mss_clamped), "mss_clamped_out",
				count(&n->mss_clamped_out), "wscale_written",
				count(&n->wscale_written), "malformed", count(&n->malformed),
				"hints", "sent", count(&n->hints), "limited",
				count(&n->hints_limited)));
	}
	return all;
}

static json_t *drops(const struct counters *c)
{
	json_t *all = json_object();
	unsigned i;

	for (i = 0; i < DROPS; i++)
		json_object_set_new(all, drop_names[i], json_integer(count(&c->drops[i])));
	return all;
}

struct listing {
	const struct tunnel *tunnel;
	json_t *all;
	size_t max, n;
};

static bool list_mac(void *ctx, const struct fdb_entry *e)
{
	struct listing *l = ctx;
	const uint8_t *m = e->key.mac;
	unsigned i = fdb_index(e->place);
	bool peer = fdb_is_peer(e->place);
	char mac[18];

	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4],
		 m[5]);
	json_array_append_new(
		l->all,
		json_pack("{s:s, s:I, s:i, s:s, s:s, s:f, s:I}", "mac", mac, "tag",
			  (json_int_t)e->key.tag, "vlan", e->key.vid, "behind",
			  peer ? "peer" : "port", "name",
			  peer ? l->tunnel->peers[i].conf->name : l->tunnel->ports[i].conf->name,
			  "age_s", e->age_ms / 1000.0, "moves", (json_int_t)e->moves));
	return ++l->n < l->max;
}

static json_t *macs(const struct tunnel *t, uint64_t now, size_t max)
{
	struct listing l = {t, json_array(), max, 0};

	if (!max)
		return l.all;

	fdb_list(t->fdb, (uint32_t)(now / NS_PER_MS), list_mac, &l);
	return l.all;
}

/* What is wrong at the moment, in words; empty when all is well. */
static json_t *problems(const struct tunnel *t)
{
	json_t *all = json_array();
	unsigned i;

	if (!t->interface.ifindex)
		json_array_append_new(
			all, json_sprintf("tunnel interface %s is gone", t->conf->interface));
	else if (!t->interface.up || !t->interface.running)
		json_array_append_new(
			all, json_sprintf("tunnel interface %s is down", t->conf->interface));
	for (i = 0; i < t->n_ports; i++)
		if (!t->ports[i].up)
			json_array_append_new(all,
					      json_sprintf("port %s is %s", t->ports[i].conf->name,
							   t->ports[i].ifindex ? "down" : "gone"));
	for (i = 0; i < t->n_ports; i++)
		if (t->ports[i].enslaved)
			json_array_append_new(
				all,
				json_sprintf("port %s is enslaved: its frames are bridged twice",
					     t->ports[i].conf->name));
	if (*t->accelerate.error)
		json_array_append_new(all, json_sprintf("accel does not work: %s; TCP is bridged",
							t->accelerate.error));
	if (t->control)
		control_problems(t->control, all);
	return all;
}

/*
 * Makes the status document of a tunnel; a new reference. Main thread.
 * @max_macs: most entries of the MAC table to list
 * @flows:    list connections of accelerated tags
 */
json_t *tunnel_status(struct tunnel *t, size_t max_macs, bool flows)
{
	struct counters sum, *c = &sum;
	size_t total = 0, i;
	uint64_t now = clock_ns();
	json_t *wrong = problems(t);

	sum_counters(t, c);
	for (i = 0; i < FDB_PLACES; i++)
		total += fdb_count(t->fdb, (fdb_place)i);

	return json_pack(
		"{s:i, s:s, s:s?, s:s, s:i, s:s, s:f, s:o, s:{s:s, s:b, s:s, s:I, s:I, "
		"s:I, s:I, s:I}, s:i, s:o, s:o, "
		"s:o, s:o, s:I, s:I, s:I, s:o, s:o}",
		"version", 1, "name", t->conf->name, "site", t->conf->site, "program",
		LONGHAUL_VERSION, "pid", (int)getpid(), "state",
		json_array_size(wrong) ? "degraded" : "healthy", "uptime_s",
		(double)(now - t->started_ns) / NS_PER_S, "problems", wrong, "outer", "kind",
		t->outer_ops->name, "plain_text", t->outer_ops->plain_text, "interface",
		t->conf->interface, "mtu", (json_int_t)t->interface_mtu, "overhead",
		(json_int_t)t->outer_ops->overhead, "fragmented", count(&c->outer_fragmented),
		"reassembled", count(&c->outer_reassembled), "overruns", count(&c->outer_overruns),
		"workers", (int)t->n_workers, "ports", ports(t, c), "peers", peers(t, c, now),
		"tags", tags(t, c), "drops", drops(c), "flooded", count(&c->flooded), "unlearnt",
		count(&c->unlearnt), "macs_total", (json_int_t)total, "macs",
		macs(t, now, max_macs), "accel",
		t->accelerate.accel ? accel_status(t->accelerate.accel, flows) : json_null());
}
