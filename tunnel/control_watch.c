// SPDX-License-Identifier: GPL-3.0-or-later
/* control_watch.c - peers coming and going: liveness, rekeying in time, the mesh, status */
#include "tunnel/control.h"

#include "lib/clock.h"
#include "lib/log.h"
#include "tunnel/mtu.h"

#include <string.h>

#define TICK_NS	      (100 * NS_PER_MS)
#define MESH_GRACE_NS (10 * NS_PER_S) /* sites need a moment to find one another */

/* Two connections at once: does the new one give way to the one in use? */
static bool gives_way(const struct conn *c, uint64_t now)
{
	const struct link *l = c->link;
	bool we_are_lower = memcmp(c->control->identity.fingerprint.bytes,
				   l->peer->conf->trust.bytes, FINGERPRINT_LEN) < 0;
	bool caller_is_lower = c->caller == we_are_lower;
	bool other_is_lower = l->called_by_us == we_are_lower;

	/* Only when both sides have called at the same time; later it is a rekey, or a restart. */
	return l->current && now - l->session_ns < CALL_COLLISION_NS &&
	       c->caller != l->called_by_us && !caller_is_lower && other_is_lower;
}

static void grant_tags(struct tunnel *t, struct peer *p, uint64_t tags)
{
	unsigned i;

	atomic_store(&p->tags, tags);
	for (i = 0; i < t->n_tags; i++) {
		if (tags & 1ull << i)
			atomic_fetch_or(&t->tags[i].peers, 1ull << p->index);
		else
			atomic_fetch_and(&t->tags[i].peers, ~(1ull << p->index));
	}
}

/* Takes note of what both sides accelerate, and says what one of them only would. */
static void agree_acceleration(struct tunnel *t, struct link *l, const struct conn *c)
{
	uint64_t agreed = c->tags & c->accelerated,
		 only_here = c->tags & t->accelerate.tags & ~agreed;
	unsigned i;

	for (i = 0; !l->session_ns && i < t->n_tags; i++)
		if (only_here & 1ull << i)
			log_warning(
				"peer %s does not accelerate tag %u: its TCP is bridged as it is",
				l->peer->conf->name, t->tags[i].tag);
	accelerate_agree(t, l->peer->index, agreed, true);
}

/* Both sides have acknowledged: a connection's sessions take the place of the old ones. */
void control_link_up(struct conn *c)
{
	struct link *l = c->link;
	struct control *k = c->control;
	struct conn *old = l->current;
	uint64_t now = clock_ns();
	char text[ENDPOINT_TEXT];

	if (gives_way(c, now)) {
		if (l->dialing == c)
			l->dialing = NULL;
		c->doomed = true;
		return;
	}
	if (l->dialing == c)
		l->dialing = NULL;
	if (l->rx)
		session_linger(&k->tunnel->sessions, l->rx, now + SESSION_LINGER_NS);
	l->rx = c->rx;
	c->tx->born_ns = now;
	peer_use_session(l->peer, c->tx);
	agree_acceleration(k->tunnel, l, c);
	if (!l->session_ns)
		log_info("peer %s (%s): keys agreed, %s by %s", l->peer->conf->name,
			 endpoint_text(&c->remote, text), aead_cipher_names[c->tx->cipher],
			 c->tx->engine->name);
	else
		l->rekeys++;
	c->tx = NULL;
	c->rx = NULL;
	l->current = c;
	l->called_by_us = c->caller;
	ramp_connected(c);
	l->session_ns = now;
	l->rekeying = false;
	l->rekey_retry_ns = now + REKEY_PAUSE_NS;
	l->backoff_ns = BACKOFF_FIRST_NS;
	peer_trim_places(l->peer, l->workers);
	grant_tags(k->tunnel, l->peer, c->tags);
	if (k->tunnel->accelerate.accel)
		accel_peer_changed(k->tunnel->accelerate.accel);
	if (!c->tags)
		log_warning("peer %s: no tag in common; nothing is bridged with it",
			    l->peer->conf->name);
	mtu_changed(k->tunnel);
	if (old) {
		control_send(old, json_pack("{s:s, s:s}", "type", "bye", "reason", "replaced"));
		control_close(old, NULL);
	}
}

static void set_up(struct link *l, bool up, const char *why)
{
	if (l->up == up)
		return;
	l->up = up;
	l->up_ns = clock_ns();
	if (up)
		*l->error = '\0';
	if (up)
		log_info("peer %s is up", l->peer->conf->name);
	else
		log_warning("peer %s is down: %s", l->peer->conf->name, why);
	control_say_peers(l->control);
}

/* A peer has ended its sessions: nothing more is sent to it, and what was learnt behind it is
 * forgotten. */
void control_link_down(struct link *l, const char *why)
{
	struct tunnel *t = l->control->tunnel;

	peer_use_session(l->peer, NULL);
	grant_tags(t, l->peer, 0);
	accelerate_agree(t, l->peer->index, 0, false);
	if (l->rx)
		session_linger(&t->sessions, l->rx, clock_ns() + SESSION_LINGER_NS);
	l->rx = NULL;
	l->session_ns = 0;
	fdb_forget_place(t->fdb, fdb_peer(l->peer->index));
	set_up(l, false, why);
}

/* Whether one of our workers has used its key up as far as it should. */
static bool used_up(const struct link *l)
{
	const struct tx_session *tx = l->peer->tx;
	unsigned i;

	for (i = 0; tx && i < tx->n_keys; i++)
		if (atomic_load(&tx->keys[i].counter) >= tunnel_rekey_at(l->control->tunnel))
			return true;
	return false;
}

/* New keys in time, an end to old ones. */
static void watch_keys(struct link *l, uint64_t now)
{
	const struct conf *conf = l->control->tunnel->conf;
	uint64_t age = now - l->session_ns;

	if (!l->session_ns)
		return;
	if (age > SESSION_AGE_MAX_NS)
		control_link_down(l, "its keys are too old and no new ones could be agreed");
	else if (used_up(l) || (l->called_by_us && age > conf->rekey_after_ns))
		control_rekey(l);
	else if (age > conf->rekey_after_ns + conf->rekey_after_ns / 10 + NS_PER_S)
		control_rekey(l); /* the caller did not */
}

static void watch_life(struct link *l, uint64_t now)
{
	const struct tunnel *t = l->control->tunnel;
	uint64_t dead = t->conf->dead_after_ns, since;
	bool up = l->session_ns && peer_is_up(l->peer, t->n_workers, dead, now);

	set_up(l, up, "no probe came back in time");
	since = l->up_ns > l->session_ns ? l->up_ns : l->session_ns;
	if (up || !l->session_ns || now < since + dead)
		return;
	control_link_error(
		l,
		"keys are agreed, but no probe comes back: is its UDP port open on the whole path?");
	/* A dead peer may have restarted and forgotten us: only a new handshake finds out. */
	if (l->current && l->called_by_us && now > since + 2 * dead)
		control_close(l->current, NULL);
}

/* Split horizon needs a full mesh: each of our peers must have each other one up. */
static void watch_mesh(struct link *l, uint64_t now)
{
	const struct control *k = l->control;
	uint64_t missing = 0;
	unsigned i, j;

	for (i = 0; l->up && i < k->n_links; i++) {
		if (&k->links[i] == l || !k->links[i].up)
			continue;
		for (j = 0; j < l->n_mesh; j++)
			if (fingerprint_equal(&l->mesh[j], &k->links[i].peer->conf->trust))
				break;
		if (j == l->n_mesh)
			missing |= 1ull << i;
	}
	if (!missing || (l->missing & missing) != missing)
		l->missing_ns = now;
	else if (now - l->missing_ns > MESH_GRACE_NS &&
		 now - l->missing_ns <= MESH_GRACE_NS + TICK_NS)
		for (i = 0; i < k->n_links; i++)
			if (missing & 1ull << i)
				log_warning(
					"peers %s and %s are not connected with each other: their hosts cannot "
					"meet, because what came from a peer never goes to a peer",
					l->peer->conf->name, k->links[i].peer->conf->name);
	l->missing = missing;
}

/* What the path carries: tells hosts, peers and people when it is another size. */
static void watch_mtu(struct link *l)
{
	struct tunnel *t = l->control->tunnel;
	uint32_t path = peer_path_mtu(l->peer, t->n_workers);
	enum pmtu_state state = peer_path_state(l->peer, t->n_workers);
	uint64_t holes = peer_path_holes(l->peer, t->n_workers);

	if (mtu_inner(t, l->peer) != l->peer->inner_mtu)
		mtu_changed(t);
	control_say_mtu(l);
	if (holes != l->holes)
		log_warning(
			"peer %s: packets of %u bytes do not pass any more; looking for what does",
			l->peer->conf->name, l->mtu_seen);
	control_stream_watch(l, path, state);
	l->holes = holes;
	l->mtu_seen = path;
	if (state < PMTU_COMPLETE || path == l->mtu_logged)
		return;
	l->mtu_logged = path;
	log_write(state == PMTU_ERROR ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO,
		  "peer %s: path MTU is %u: inner packets of up to %u bytes go in one piece%s",
		  l->peer->conf->name, path, l->peer->inner_mtu,
		  state == PMTU_ERROR ? "; that is less than any path should carry" : "");
}

static void tick(void *ctx)
{
	struct control *k = ctx;
	struct session_table *table = &k->tunnel->sessions;
	uint64_t now = clock_ns();
	unsigned i;

	for (i = 0; i < k->n_links; i++) {
		watch_keys(&k->links[i], now);
		watch_life(&k->links[i], now);
		watch_mesh(&k->links[i], now);
		watch_mtu(&k->links[i]);
		ramp_tick(&k->links[i]);
		control_stream_tick(&k->links[i]);
	}
	for (i = 0; i < SESSION_SLOTS; i++)
		if (table->slots[i] && table->slots[i]->erase_ns && table->slots[i]->erase_ns < now)
			session_remove(table, table->slots[i]);
}

/* Begins to watch peers. */
void control_watch_start(struct control *k)
{
	k->tick = (struct loop_timer){.expired = tick, .ctx = k};
	loop_timer_start(k->loop, &k->tick, TICK_NS, TICK_NS);
}

/* Share of what was sent that did not arrive. */
static json_t *loss(uint64_t highest, uint64_t received)
{
	return highest ? json_real(received < highest
					   ? (double)(highest - received) / (double)highest
					   : 0)
		       : json_null();
}

static void sum_received(const struct link *l, uint64_t *highest, uint64_t *received)
{
	unsigned i;

	*highest = *received = 0;
	for (i = 0; l->rx && i < l->rx->n_keys; i++) {
		struct rx_key *k = &l->rx->keys[i];

		pthread_mutex_lock(&k->lock);
		*highest += k->replay->received ? k->replay->highest + 1 : 0;
		*received += k->replay->received;
		pthread_mutex_unlock(&k->lock);
	}
}

static json_t *path_status(const struct peer *p, unsigned n_workers)
{
	uint64_t rtt = 0, jitter = 0, highest = 0, received = 0;
	unsigned i, n = 0;

	for (i = 0; i < n_workers; i++) {
		const struct path *w = &p->paths[i];

		highest += atomic_load(&w->highest);
		received += atomic_load(&w->received);
		if (!atomic_load(&w->rtt_ns))
			continue;
		rtt += atomic_load(&w->rtt_ns);
		jitter += atomic_load(&w->jitter_ns);
		n++;
	}
	return json_pack("{s:o, s:o, s:o}", "rtt_ms",
			 n ? json_real((double)rtt / n / NS_PER_MS) : json_null(), "jitter_ms",
			 n ? json_real((double)jitter / n / NS_PER_MS) : json_null(), "loss_out",
			 loss(highest, received));
}

/* What status says of a peer beyond its traffic; a new reference. */
json_t *control_status(struct control *k, unsigned peer, uint64_t now)
{
	const struct link *l = &k->links[peer];
	const struct peer *p = l->peer;
	const struct tx_session *tx = p->tx;
	char text[ENDPOINT_TEXT], fp[FINGERPRINT_TEXT];
	json_t *o = path_status(p, k->tunnel->n_workers);
	uint64_t highest, received;
	struct endpoint to;
	unsigned socket;
	uint32_t path;

	sum_received(l, &highest, &received);
	json_object_set_new(o, "loss_in", loss(highest, received));
	path = peer_path_mtu(p, k->tunnel->n_workers);
	json_object_set_new(o, "path_mtu", path ? json_integer(path) : json_null());
	json_object_set_new(
		o, "path_mtu_state",
		json_string(pmtu_state_names[peer_path_state(p, k->tunnel->n_workers)]));
	json_object_set_new(o, "path_mtu_lowered",
			    json_integer((json_int_t)peer_path_holes(p, k->tunnel->n_workers)));
	json_object_set_new(o, "state",
			    json_string(l->up		? "up"
					: l->session_ns ? "probing"
							: "down"));
	json_object_set_new(o, "control",
			    json_string(l->current   ? "connected"
					: l->dialing ? "calling"
						     : "none"));
	json_object_set_new(o, "fingerprint", json_string(fingerprint_text(&p->conf->trust, fp)));
	json_object_set_new(o, "site", json_string(l->site));
	json_object_set_new(o, "program", json_string(l->program));
	json_object_set_new(o, "workers", json_integer(l->workers));
	json_object_set_new(o, "error", *l->error ? json_string(l->error) : json_null());
	json_object_set_new(o, "stream_segments",
			    l->ramp.own.initial_segments
				    ? json_integer(l->ramp.own.initial_segments)
				    : json_null());
	json_object_set_new(o, "rekeys", json_integer((json_int_t)l->rekeys));
	rcu_read_lock();
	json_object_set_new(o, "endpoint",
			    peer_place(p, 0, &to, &socket) ? json_string(endpoint_text(&to, text))
							   : json_null());
	rcu_read_unlock();
	if (!tx)
		return o;
	json_object_set_new(o, "session_s", json_real((double)(now - tx->born_ns) / NS_PER_S));
	json_object_set_new(o, "cipher", json_string(aead_cipher_names[tx->cipher]));
	json_object_set_new(o, "engine", json_string(tx->engine->name));
	json_object_set_new(o, "partial_checksums", json_boolean(tx->partial));
	json_object_set_new(o, "udp_gso",
			    json_boolean(!(k->tunnel->conf->without & WITHOUT_UDP_GSO) &&
					 !atomic_load(&p->gso_off)));
	return o;
}

/* Adds what is wrong between sites to status's list. */
void control_problems(struct control *k, json_t *all)
{
	uint64_t now = clock_ns();
	unsigned i, j;

	for (i = 0; i < k->n_links; i++) {
		const struct link *l = &k->links[i];

		if (!l->up)
			json_array_append_new(
				all,
				*l->error ? json_sprintf("peer %s is down: %s", l->peer->conf->name,
							 l->error)
					  : json_sprintf("peer %s is down", l->peer->conf->name));
		if (l->up && peer_path_state(l->peer, k->tunnel->n_workers) == PMTU_ERROR)
			json_array_append_new(
				all,
				json_sprintf("the path to peer %s carries only small packets: no "
					     "probe of %u bytes comes back",
					     l->peer->conf->name,
					     peer_path_is_ipv6(l->peer) ? PMTU_IPV6
									: PMTU_BASE_IPV4));
		for (j = 0; l->up && now - l->missing_ns > MESH_GRACE_NS && j < k->n_links; j++)
			if (l->missing & 1ull << j)
				json_array_append_new(
					all,
					json_sprintf(
						"peers %s and %s are not connected with each other",
						l->peer->conf->name, k->links[j].peer->conf->name));
	}
}
