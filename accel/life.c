// SPDX-License-Identifier: GPL-3.0-or-later
/* life.c - the life of an accelerated flow: what happens, and what must be done about it. Pure */
/*
 * Theory of operation
 *
 *	near (client's site)                     far (server's site)
 *	HELD ──────── OPEN ───────────────────▶ CONNECTING ── SYN ──▶ server
 *	  │ ◀───────── OPENED ────────────────── OPEN
 *	ACCEPTING  the held SYN goes to the stack
 *	  │ socket
 *	OPEN ◀═══════ DATA ══════════════════▶ OPEN
 *
 * From HELD also: REFUSED ends it with RST or an ICMP error to the client; a
 * client that gives up, or whose SYN comes again while the far side waits for
 * the server, is CANCELLING until the far side says that nothing is left, or
 * that the server has answered after all: then the CANCEL is void, and a
 * client that still asks is ACCEPTING.
 *
 * In OPEN each direction ends by itself:
 *
 *	host ─FIN─▶ withheld;  FIN ─▶  shutdown, host's ACK ─▶ DELIVERED ─▶ FIN released
 *
 * so a host gets the ACK of its FIN only when the other host has acknowledged
 * everything. When both directions have ended so, each side says DONE, and
 * when both have, the socket is closed and the stream serves the next flow.
 * Anything else is a reset: RESET goes in band and the stream ends, or the
 * stream is lost and both sides reset their hosts. A side that has said DONE
 * owes its host nothing any more: a stream that is lost then ends in peace.
 *
 * Every event is legal in every phase in the sense that it is answered:
 * what a peer must not do is LIFE_BAD, what comes late is nothing.
 */
#include "accel/life.h"

const char *const life_phase_names[LIFE_PHASES] = {"held",	 "cancelling", "accepting",
						   "connecting", "open",       "ended"};

static unsigned end(struct life *l, unsigned actions)
{
	l->phase = LIFE_ENDED;
	return actions;
}

/* Both directions have ended and both hosts know: says so, once, and ends when both sides have. */
static unsigned finish(struct life *l, unsigned actions)
{
	if (!l->done_sent && l->host_fin && l->peer_fin && l->host_acked && l->peer_delivered) {
		l->done_sent = true;
		actions |= LIFE_SEND_DONE;
	}
	if (l->done_sent && l->done_got)
		return end(l, actions | LIFE_CLOSE | LIFE_FREE_STREAM);
	return actions;
}

static unsigned in_held(struct life *l, enum life_event ev)
{
	switch (ev) {
	case LIFE_EV_opened: l->phase = LIFE_ACCEPTING; return LIFE_INJECT_SYN;
	case LIFE_EV_refused: return end(l, LIFE_REFUSE_CLIENT | LIFE_FORGET | LIFE_FREE_STREAM);
	case LIFE_EV_silent: return end(l, LIFE_FORGET | LIFE_FREE_STREAM);
	case LIFE_EV_unaccelerable: return end(l, LIFE_BRIDGE_SYN | LIFE_FREE_STREAM);
	case LIFE_EV_syn_again:
		l->bridge_after = true;
		l->phase = LIFE_CANCELLING;
		return LIFE_SEND_CANCEL;
	case LIFE_EV_give_up: l->phase = LIFE_CANCELLING; return LIFE_SEND_CANCEL;
	case LIFE_EV_stream_lost: return end(l, LIFE_FORGET);
	case LIFE_EV_kill: return end(l, LIFE_FORGET | LIFE_SEND_RESET | LIFE_CLOSE_STREAM);
	case LIFE_EV_peer_reset: return end(l, LIFE_FORGET | LIFE_CLOSE_STREAM);
	default: return LIFE_BAD;
	}
}

static unsigned in_cancelling(struct life *l, enum life_event ev)
{
	unsigned then = l->bridge_after ? LIFE_BRIDGE_SYN : LIFE_FORGET;

	switch (ev) {
	case LIFE_EV_cancelled:
	case LIFE_EV_refused:
	case LIFE_EV_silent:
	case LIFE_EV_unaccelerable: return end(l, then | LIFE_FREE_STREAM);
	/* It crossed our CANCEL, which is void then: a server that has answered must not meet the
	 * client's SYN a second time. */
	case LIFE_EV_opened:
		if (!l->bridge_after)
			return end(l, LIFE_SEND_RESET | LIFE_FORGET | LIFE_CLOSE_STREAM);
		l->phase = LIFE_ACCEPTING;
		return LIFE_INJECT_SYN;
	case LIFE_EV_syn_again: return 0;
	case LIFE_EV_give_up: l->bridge_after = false; return 0;
	case LIFE_EV_stream_lost: return end(l, LIFE_FORGET);
	case LIFE_EV_peer_reset: return end(l, then | LIFE_CLOSE_STREAM);
	case LIFE_EV_kill: return end(l, LIFE_FORGET | LIFE_SEND_RESET | LIFE_CLOSE_STREAM);
	default: return LIFE_BAD;
	}
}

static unsigned in_accepting(struct life *l, enum life_event ev)
{
	switch (ev) {
	case LIFE_EV_accepted: l->phase = LIFE_OPEN; return LIFE_ATTACH;
	case LIFE_EV_accept_timeout:
	case LIFE_EV_host_reset:
	case LIFE_EV_kill: return end(l, LIFE_SEND_RESET | LIFE_ABORT | LIFE_CLOSE_STREAM);
	case LIFE_EV_peer_fin: l->peer_fin = true; return 0;
	case LIFE_EV_peer_reset: return end(l, LIFE_ABORT | LIFE_CLOSE_STREAM);
	case LIFE_EV_stream_lost: return end(l, LIFE_ABORT);
	case LIFE_EV_syn_again:
	case LIFE_EV_give_up: return 0;
	default: return LIFE_BAD;
	}
}

static unsigned in_connecting(struct life *l, enum life_event ev)
{
	switch (ev) {
	case LIFE_EV_connected: l->phase = LIFE_OPEN; return LIFE_SEND_OPENED | LIFE_ATTACH;
	case LIFE_EV_connect_failed:
		return end(l, LIFE_SEND_REFUSED | LIFE_FORGET | LIFE_FREE_STREAM);
	case LIFE_EV_peer_cancel:
		return end(l, LIFE_SEND_CANCELLED | LIFE_FORGET | LIFE_FREE_STREAM);
	case LIFE_EV_peer_reset: return end(l, LIFE_ABORT | LIFE_CLOSE_STREAM);
	case LIFE_EV_stream_lost: return end(l, LIFE_ABORT);
	case LIFE_EV_kill: return end(l, LIFE_SEND_RESET | LIFE_ABORT | LIFE_CLOSE_STREAM);
	default: return LIFE_BAD;
	}
}

/* What ends one direction or the other. */
static unsigned in_open_closing(struct life *l, enum life_event ev)
{
	switch (ev) {
	case LIFE_EV_host_eof:
		if (l->host_fin)
			return 0;
		l->host_fin = true;
		return finish(l, LIFE_SEND_FIN);
	case LIFE_EV_peer_fin:
		if (l->peer_fin)
			return LIFE_BAD;
		l->peer_fin = true;
		return finish(l, LIFE_SHUTDOWN);
	case LIFE_EV_host_acked:
		if (l->host_acked || !l->peer_fin)
			return 0;
		l->host_acked = true;
		return finish(l, LIFE_SEND_DELIVERED);
	case LIFE_EV_peer_delivered:
		if (l->peer_delivered || !l->host_fin)
			return LIFE_BAD;
		l->peer_delivered = true;
		return finish(l, LIFE_RELEASE_FIN);
	default:
		/* DONE answers our FIN and follows the peer's own, and it comes once. */
		if (l->done_got || !l->host_fin || !l->peer_fin)
			return LIFE_BAD;
		l->done_got = true;
		return finish(l, 0);
	}
}

static unsigned in_open(struct life *l, enum life_event ev)
{
	switch (ev) {
	case LIFE_EV_host_eof:
	case LIFE_EV_peer_fin:
	case LIFE_EV_host_acked:
	case LIFE_EV_peer_delivered:
	case LIFE_EV_peer_done: return in_open_closing(l, ev);
	case LIFE_EV_host_reset:
		if (l->done_sent)
			return 0; /* it has all, and has nothing more to say */
		return end(l, LIFE_SEND_RESET | LIFE_ABORT | LIFE_CLOSE_STREAM);
	case LIFE_EV_peer_reset:
		return end(l, (l->done_sent ? LIFE_CLOSE : LIFE_ABORT) | LIFE_CLOSE_STREAM);
	case LIFE_EV_stream_lost: return end(l, l->done_sent ? LIFE_CLOSE : LIFE_ABORT);
	case LIFE_EV_kill:
		return end(l, (l->done_sent ? LIFE_CLOSE : LIFE_ABORT) | LIFE_SEND_RESET |
				      LIFE_CLOSE_STREAM);
	case LIFE_EV_peer_cancel:
		if (l->role == LIFE_NEAR)
			return LIFE_BAD;
		return 0; /* it crossed our OPENED, and is void */
	case LIFE_EV_accept_timeout: return 0;
	case LIFE_EV_syn_again:
	case LIFE_EV_give_up: return 0;
	default: return LIFE_BAD;
	}
}

/*
 * Takes one event of a flow.
 * Returns the set of what must be done now, 0 for nothing.
 */
unsigned life_next(struct life *l, enum life_event ev)
{
	switch (l->phase) {
	case LIFE_HELD: return in_held(l, ev);
	case LIFE_CANCELLING: return in_cancelling(l, ev);
	case LIFE_ACCEPTING: return in_accepting(l, ev);
	case LIFE_CONNECTING: return in_connecting(l, ev);
	case LIFE_OPEN: return in_open(l, ev);
	default: return 0;
	}
}
