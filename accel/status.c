// SPDX-License-Identifier: GPL-3.0-or-later
/* status.c - what split TCP tells of itself (schema in doc/status.md) */
#include "accel/internal.h"

#include <arpa/inet.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

struct question {
	struct accel *a;
	bool flows;
	json_t *answer;
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
static json_t *leg(int fd)
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
	json_object_update_new(o,
			       json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:f, s:o, s:o}",
					 "peer", a->host.peer_name(a->host.ctx, f->peer), "side",
					 near ? "client" : "server", "phase",
					 life_phase_names[f->relay->life.phase], "sent_bytes",
					 (json_int_t)f->relay->sent, "received_bytes",
					 (json_int_t)f->relay->received, "queued_bytes",
					 (json_int_t)f->relay->queued, "credit_bytes",
					 (json_int_t)f->relay->credit, "window_bytes",
					 (json_int_t)f->relay->window, "age_s",
					 (double)(clock_ns() - f->relay->begun_ns) / NS_PER_S,
					 "lan", leg(f->relay->io.fd), "wan",
					 leg(f->relay->stream ? f->relay->stream->io.fd : -1)));
	return o;
}

struct listing {
	struct accel *a;
	json_t *all;
};

static bool list_flow(void *ctx, struct flow *f)
{
	struct listing *l = ctx;

	if (f->way != FLOW_RESET && f->way != FLOW_CLOSED)
		json_array_append_new(l->all, describe(l->a, f));
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
static json_t *window(const struct stream *s)
{
	struct tcp_info i = {0};
	socklen_t len = sizeof(i);

	if (!s || getsockopt(s->io.fd, IPPROTO_TCP, TCP_INFO, &i, &len))
		return json_null();
	return json_integer((json_int_t)i.tcpi_snd_cwnd * i.tcpi_snd_mss);
}

static json_t *pools(const struct accel *a)
{
	json_t *all = json_array();
	const struct stream *s;
	unsigned i;

	for (i = 0; i < a->conf.n_peers; i++) {
		unsigned n = 0, busy = 0;

		for (s = a->shards->streams; s; s = s->next) {
			n += s->peer == i && !s->dead;
			busy += s->peer == i && !s->dead && s->state == STREAM_BUSY;
		}
		json_array_append_new(
			all, json_pack("{s:s, s:i, s:i, s:i, s:o, s:I}", "peer",
				       a->host.peer_name(a->host.ctx, i), "streams", (int)n, "busy",
				       (int)busy, "spare", (int)a->shards->pools[i].idle,
				       "next_window_bytes", window(a->shards->pools[i].warmest),
				       "padded_bytes", (json_int_t)a->shards->pools[i].padded));
	}
	return all;
}

static void answer(void *arg)
{
	struct question *q = arg;
	struct accel *a = q->a;
	const struct accel_counts *c = &a->counts;
	struct listing l = {a, json_array()};

	q->answer = json_pack(
		"{s:s, s:i, s:I, s:o, s:o, s:{s:I, s:I, s:I, s:I, s:I, s:I, s:I}, s:{s:I, s:I, "
		"s:I, s:I, s:I, s:I, s:I}, s:I, s:I, s:{s:I, s:I}}",
		"steering", a->stack.steer->name, "flows", (int)a->n_relays, "entries",
		(json_int_t)atomic_load(&a->flows.count), "streams", pools(a), "bypassed",
		reasons(a), "connections", "opened", count(&c->opened), "accepted",
		count(&c->accepted), "refused", count(&c->refused), "closed", count(&c->closed),
		"reset", count(&c->reset), "unauthorised", count(&c->unauthorised), "moved",
		count(&c->moved), "frames", "stray", count(&c->stray), "resets_sent",
		count(&c->resets_sent), "acks_sent", count(&c->acks_sent), "tap_dropped",
		count(&c->tap_dropped), "tap_lost", count(&c->tap_lost), "overrun",
		count(&c->overrun), "protocol_errors", count(&c->protocol), "sent_bytes",
		count(&c->bytes_out), "received_bytes", count(&c->bytes_in), "memory",
		"limit_bytes", (json_int_t)a->budget.limit, "granted_bytes",
		(json_int_t)a->budget.granted);
	if (q->flows && !a->stopping)
		flow_sweep(&a->flows, list_flow, &l);
	json_object_set_new(q->answer, "list", l.all);
	sem_post(&q->done);
}

/*
 * Makes the part of the status document that is accel's; a new reference, NULL
 * if memory is short. Not the relay thread.
 * @flows: list them all
 */
json_t *accel_status(struct accel *a, bool flows)
{
	struct question q = {.a = a, .flows = flows};

	sem_init(&q.done, 0, 0);
	if (!loop_post(a->shards->loop, answer, &q))
		while (sem_wait(&q.done) && errno == EINTR)
			;
	sem_destroy(&q.done);
	return q.answer;
}
