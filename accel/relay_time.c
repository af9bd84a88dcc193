// SPDX-License-Identifier: GPL-3.0-or-later
/* relay_time.c - flows for which something takes too long, or whose hosts move */
#include "accel/internal.h"

#include "lib/log.h"

#include <stdlib.h>
#include <string.h>

/* The client has given up: the far side is told, if it was asked. */
void relay_give_up(struct relay *r)
{
	relay_event(r, r->waiting ? LIFE_EV_silent : LIFE_EV_give_up);
}

static void tick_held(struct relay *r, uint64_t now)
{
	uint64_t interval = r->syn_interval_ns > SYN_INTERVAL_NS ? r->syn_interval_ns
								 : SYN_INTERVAL_NS;
	struct stream *s;

	if (!r->stream) {
		s = stream_take(r->shard, r->flow->peer, 0);
		if (s) {
			relay_open(r, s);
		} else if (now - r->begun_ns > demand_patience(r->a->rtt_ns[r->flow->peer])) {
			r->reason = ACCEL_REASON_no_stream;
			relay_event(r, LIFE_EV_unaccelerable);
		}
		return;
	}
	if (now - r->syn_ns > 2 * interval + SYN_PATIENCE_NS)
		relay_give_up(r);
}

/* Looks whether something has taken too long. */
void relay_tick(struct relay *r, uint64_t now)
{
	if (r->ended)
		return;
	if (r->life.phase == LIFE_HELD)
		tick_held(r, now);
	else if (r->life.phase == LIFE_ACCEPTING && now - r->phase_ns > ACCEPT_WAIT_NS)
		relay_event(r, LIFE_EV_accept_timeout);
	else if (r->life.phase == LIFE_OPEN) {
		/* Should an edge have been missed, or news have been too many. */
		pump_check_acked(r);
		if (atomic_load(&r->flow->fin) != FLOW_FIN_NONE)
			pump_out(r);
		pump_check_alive(r, now);
		if (!r->ended)
			stripes_tick(r, now);
	}
}

static struct log_limit moved_limit = LOG_LIMIT(1);

static void kill_moved(struct shard *sh, const struct errand *e)
{
	const uint8_t *mac = e->key.local;
	unsigned tag = e->key.tag, n = 0;
	uint16_t vid = e->key.vid;
	struct accel *a = sh->a;
	struct relay *r;
	int place;

	rcu_read_lock();
	place = a->host.place(a->host.ctx, tag, vid, mac);
	for (r = sh->relays; r; r = r->next) {
		struct flow *f = r->flow;

		if (r->ended || f->key.tag != tag || f->key.vid != vid)
			continue;
		if ((memcmp(f->local_mac, mac, 6) || place == ACCEL_LOCAL) &&
		    (memcmp(f->remote_mac, mac, 6) || place == (int)f->peer))
			continue;
		relay_event(r, LIFE_EV_kill);
		n++;
	}
	rcu_read_unlock();
	atomic_fetch_add(e->n, n);
}

static void all_killed(struct accel *a, const struct errand *e)
{
	const uint8_t *mac = e->key.local;
	unsigned n = *e->n;
	uint64_t more;

	free(e->n);
	atomic_fetch_add(&a->counts.moved, n);
	if (n && log_allowed(&moved_limit, &more))
		log_warning("accel: %02x:%02x:%02x:%02x:%02x:%02x has moved to another site: %u "
			    "accelerated connections of it were reset",
			    mac[0], mac[1], mac[2], mac[3], mac[4], mac[5], n);
}

/* A MAC (in the key's local) is elsewhere now: connections that were ended for it are reset, the
 * stack cannot move. */
void relay_moved(struct accel *a, const struct flow_key *key)
{
	_Atomic unsigned *n = calloc(1, sizeof(*n));

	if (n)
		accel_everywhere(
			a, &(struct errand){
				   .run = kill_moved, .done = all_killed, .key = *key, .n = n});
}
