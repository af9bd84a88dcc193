// SPDX-License-Identifier: GPL-3.0-or-later
/* status.c - what split TCP tells of itself (schema in doc/status.md) */
#include "accel/internal.h"

#include <arpa/inet.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

/* What a relay thread is asked, one after the other. */
/* Streams to a peer. */
struct to_peer {
	unsigned streams, busy, spare;
	uint64_t window; /* of the one that the next flow gets, at least; 0: there is none */
	uint64_t padded;
};

struct question {
	struct shard *shard;
	json_t *list;	       /* its flows are added to it; NULL: not asked */
	json_t *threads;       /* what it tells of itself is added to it */
	struct to_peer *peers; /* its own are added */
	sem_t done;
};

static json_int_t count(const _Atomic uint64_t *c)
{
	return (json_int_t)atomic_load_explicit(c, memory_order_relaxed);
}

static const char *address(const uint8_t a[16], uint8_t ip_version, char text[INET6_ADDRSTRLEN])
{
	return ip_version == 4 ? inet_ntop(AF_INET, a + 12, text, INET6_ADDRSTRLEN)
			       : inet_ntop(AF_INET6, a, text, INET6_ADDRSTRLEN);
}

/* What the kernel says of one leg of a flow. */
json_t *status_leg(int fd)
{
	struct tcp_info i = {0};
	socklen_t len = sizeof(i);
	char congestion[16] = "";
	socklen_t name_len = sizeof(congestion) - 1;

	if (fd < 0 || getsockopt(fd, IPPROTO_TCP, TCP_INFO, &i, &len))
		return json_null();
	getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion, &name_len);
	return json_pack("{s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:s}", "rtt_ms",
			 i.tcpi_rtt / 1000.0, "mss", (json_int_t)i.tcpi_snd_mss, "window_bytes",
			 (json_int_t)i.tcpi_snd_cwnd * i.tcpi_snd_mss, "peer_window_bytes",
			 (json_int_t)i.tcpi_snd_wnd, "retransmits",
			 (json_int_t)i.tcpi_total_retrans, "unacked_bytes",
			 (json_int_t)i.tcpi_unacked * i.tcpi_snd_mss, "delivery_rate_bps",
			 (json_int_t)i.tcpi_delivery_rate * 8, "busy_s", i.tcpi_busy_time / 1e6,
			 "rwnd_limited_s", i.tcpi_rwnd_limited / 1e6, "sndbuf_limited_s",
			 i.tcpi_sndbuf_limited / 1e6, "congestion", congestion);
}

static json_t *describe(const struct accel *a, const struct flow *f)
{
	static const char *const ways[FLOW_WAYS] = {"held",  "accelerated", "bridged",
						    "reset", "closed",	    "queried"};
	bool near = !f->relay || f->relay->life.role == LIFE_NEAR;
	char local[INET6_ADDRSTRLEN], remote[INET6_ADDRSTRLEN];
	json_t *o;

	o = json_pack("{s:s, s:I, s:i, s:s, s:i, s:s, s:i}", "state", ways[f->way], "tag",
		      (json_int_t)a->conf.tags[f->key.tag].number, "vlan", f->key.vid, "local",
		      address(f->key.local, f->ip_version, local), "local_port", f->key.local_port,
		      "remote", address(f->key.remote, f->ip_version, remote), "remote_port",
		      f->key.remote_port);
	if (f->way == FLOW_BRIDGE)
		json_object_set_new(o, "reason", json_string(accel_reason_names[f->reason]));
	if (!f->relay)
		return o;
	json_object_update_new(
		o, json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:f, s:o, s:o, s:o}", "peer",
			     a->host.peer_name(a->host.ctx, f->peer), "side",
			     near ? "client" : "server", "phase",
			     life_phase_names[f->relay->life.phase], "sent_bytes",
			     (json_int_t)f->relay->sent, "received_bytes",
			     (json_int_t)f->relay->received, "queued_bytes",
			     (json_int_t)f->relay->queued, "credit_bytes",
			     (json_int_t)(f->relay->limit - f->relay->sent), "window_bytes",
			     (json_int_t)f->relay->window, "age_s",
			     (double)(clock_ns() - f->relay->begun_ns) / NS_PER_S, "lan",
			     status_leg(f->relay->io.fd), "wan",
			     status_leg(f->relay->stream ? f->relay->stream->io.fd : -1), "stripes",
			     stripes_status(f->relay)));
	return o;
}

static bool list_flow(void *ctx, struct flow *f)
{
	struct question *q = ctx;

	if (f->way != FLOW_RESET && f->way != FLOW_CLOSED)
		json_array_append_new(q->list, describe(q->shard->a, f));
	return false;
}

static json_t *reasons(const struct accel *a)
{
	json_t *o = json_object();
	unsigned i;

	for (i = 0; i < ACCEL_REASON_COUNT; i++)
		json_object_set_new(o, accel_reason_names[i],
				    json_integer(count(&a->counts.bypassed[i])));
	return o;
}

/* The congestion window of a stream, bytes. */
static uint64_t window(const struct stream *s)
{
	struct tcp_info i = {0};
	socklen_t len = sizeof(i);

	if (!s || getsockopt(s->io.fd, IPPROTO_TCP, TCP_INFO, &i, &len))
		return 0;
	return (uint64_t)i.tcpi_snd_cwnd * i.tcpi_snd_mss;
}

static void add_pool(struct to_peer *to, const struct pool *p)
{
	uint64_t next = window(p->warmest);

	to->spare += p->idle;
	to->padded += p->padded;
	if (next && (!to->window || next < to->window))
		to->window = next;
}

static void answer(void *arg)
{
	struct question *q = arg;
	struct shard *sh = q->shard;
	const struct stream *s;
	unsigned i;

	for (s = sh->streams; s; s = s->next) {
		q->peers[s->peer].streams += !s->dead;
		q->peers[s->peer].busy += !s->dead && s->state == STREAM_BUSY;
	}
	for (i = 0; i < sh->a->conf.n_peers; i++)
		add_pool(&q->peers[i], &sh->pools[i]);
	json_array_append_new(q->threads,
			      json_pack("{s:i, s:i, s:f, s:I, s:I}", "flows", (int)sh->n_relays,
					"streams", (int)sh->n_streams, "processor_s",
					(double)clock_thread_ns() / NS_PER_S, "sent_bytes",
					(json_int_t)counter_get(&sh->bytes_out), "received_bytes",
					(json_int_t)counter_get(&sh->bytes_in)));
	if (q->list && !sh->a->stopping)
		flow_list_sweep(&sh->a->flows, &sh->flows, sh->flows.n, list_flow, q);
	sem_post(&q->done);
}

/* Asks all relay threads. Returns what they say of themselves. */
static json_t *ask(struct accel *a, json_t *list, json_t *pools)
{
	struct to_peer peers[ACCEL_PEERS_MAX] = {0};
	struct question q = {.list = list, .threads = json_array(), .peers = peers};
	unsigned i;

	sem_init(&q.done, 0, 0);
	for (i = 0; i < a->n_shards; i++) {
		q.shard = &a->shards[i];
		if (!loop_post(q.shard->loop, answer, &q))
			while (sem_wait(&q.done) && errno == EINTR)
				;
	}
	sem_destroy(&q.done);
	for (i = 0; i < a->conf.n_peers; i++)
		json_array_append_new(pools,
				      json_pack("{s:s, s:i, s:i, s:i, s:I, s:I}", "peer",
						a->host.peer_name(a->host.ctx, i), "streams",
						(int)peers[i].streams, "busy", (int)peers[i].busy,
						"spare", (int)peers[i].spare, "next_window_bytes",
						(json_int_t)peers[i].window, "padded_bytes",
						(json_int_t)peers[i].padded));
	return q.threads;
}

static json_int_t sum(const struct accel *a, size_t of)
{
	uint64_t n = 0;
	unsigned i;

	for (i = 0; i < a->n_shards; i++)
		n += counter_get((const counter *)((const char *)&a->shards[i] + of));
	return (json_int_t)n;
}

/*
 * Makes the part of the status document that is accel's; a new reference, NULL
 * if memory is short. Not a relay thread.
 * @flows: list them all
 */
json_t *accel_status(struct accel *a, bool flows)
{
	const struct accel_counts *c = &a->counts;
	json_t *list = json_array(), *pools = json_array(), *threads;

	threads = ask(a, flows ? list : NULL, pools);
	return json_pack(
		"{s:s, s:i, s:I, s:o, s:o, s:{s:I, s:I, s:I, s:I, s:I, s:I, s:I}, s:{s:I, s:I, "
		"s:I, s:I, s:I, s:I, s:I}, s:I, s:I, s:{s:I, s:I, s:I}, s:o, s:o, s:{s:I, s:I}}",
		"steering", a->stack.steer->name, "flows", (int)a->n_relays, "entries",
		(json_int_t)atomic_load(&a->flows.count), "streams", pools, "bypassed", reasons(a),
		"connections", "opened", count(&c->opened), "accepted", count(&c->accepted),
		"refused", count(&c->refused), "closed", count(&c->closed), "reset",
		count(&c->reset), "unauthorised", count(&c->unauthorised), "moved",
		count(&c->moved), "frames", "stray", count(&c->stray), "resets_sent",
		count(&c->resets_sent), "acks_sent", count(&c->acks_sent), "tap_dropped",
		count(&c->tap_dropped), "tap_lost", count(&c->tap_lost), "overrun",
		count(&c->overrun), "protocol_errors", count(&c->protocol), "sent_bytes",
		sum(a, offsetof(struct shard, bytes_out)), "received_bytes",
		sum(a, offsetof(struct shard, bytes_in)), "memory", "limit_bytes",
		(json_int_t)a->budget.limit, "granted_bytes", (json_int_t)a->budget.granted,
		"buffers_bytes", (json_int_t)a->buffers.granted, "relay_threads", threads, "list",
		list, "stripes", "joined", count(&c->stripes_joined), "lost",
		count(&c->stripes_lost));
}
