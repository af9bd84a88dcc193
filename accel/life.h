/* SPDX-License-Identifier: GPL-3.0-or-later */
/* life.h - the life of an accelerated flow: what happens, and what must be done about it. Pure */
#ifndef ACCEL_LIFE_H
#define ACCEL_LIFE_H

#include <stdbool.h>
#include <stdint.h>

enum life_role { LIFE_NEAR, LIFE_FAR };

enum life_phase {
	LIFE_HELD,	 /* near: the SYN is held, OPEN was sent */
	LIFE_CANCELLING, /* near: CANCEL was sent */
	LIFE_ACCEPTING,	 /* near: the SYN was given to the stack, its socket is awaited */
	LIFE_CONNECTING, /* far: the stack connects to the server */
	LIFE_OPEN,	 /* both: there is a socket, data flows */
	LIFE_ENDED,
	LIFE_PHASES
};

/* What can happen to a flow. */
#define LIFE_EVENTS(X)                                                                           \
	X(opened)	 /* near: the far side has connected */                                  \
	X(refused)	 /* near: the server refused, or an ICMP error did */                    \
	X(silent)	 /* near: the far side's stack has given up: no answer */                \
	X(unaccelerable) /* near: the far side will not or cannot; bridge it */                  \
	X(cancelled)	 /* near: the far side has nothing left of it */                         \
	X(syn_again) /* near: the SYN came again and the far side has not answered long since */ \
	X(give_up)   /* near: the SYN did not come again, or the client reset */                 \
	X(accepted)  /* near: the stack has the client's socket */                               \
	X(accept_timeout) /* near: the client did not answer the SYN/ACK */                      \
	X(connected)	  /* far: the server has answered */                                     \
	X(connect_failed) /* far: it refused, or did not answer */                               \
	X(peer_cancel)	  /* far: CANCEL came */                                                 \
	X(host_eof)	  /* all data before our host's FIN was read */                          \
	X(peer_fin)	  /* FIN came */                                                         \
	X(host_acked)	  /* our host has acknowledged all we sent, the FIN too */               \
	X(peer_delivered) /* DELIVERED came */                                                   \
	X(peer_done)	  /* DONE came */                                                        \
	X(host_reset)	  /* our host reset the connection, or is dead */                        \
	X(peer_reset)	  /* RESET came */                                                       \
	X(stream_lost)	  /* the stream ended or broke in the middle of the flow */              \
	X(kill)		  /* we must end it: a MAC has moved, we shut down */

enum life_event {
#define X(name) LIFE_EV_##name,
	LIFE_EVENTS(X)
#undef X
		LIFE_EVENT_COUNT
};

/* What must be done, a set, in the order of the bits. */
enum {
	LIFE_SEND_OPENED = 1 << 0,
	LIFE_SEND_REFUSED = 1 << 1,
	LIFE_SEND_CANCEL = 1 << 2,
	LIFE_SEND_CANCELLED = 1 << 3,
	LIFE_SEND_FIN = 1 << 4,
	LIFE_SEND_DELIVERED = 1 << 5,
	LIFE_SEND_DONE = 1 << 6,
	LIFE_SEND_RESET = 1 << 7,
	LIFE_RELEASE_FIN = 1 << 8,    /* let the stack have the host's FIN */
	LIFE_INJECT_SYN = 1 << 9,     /* give the newest held SYN to the stack */
	LIFE_REFUSE_CLIENT = 1 << 10, /* RST or ICMP error to the client */
	LIFE_ATTACH = 1 << 11,	      /* begin to move data between socket and stream */
	LIFE_SHUTDOWN = 1 << 12,      /* FIN to the host when all data is written */
	LIFE_ABORT = 1 << 13,	      /* RST to the host; stragglers are answered with RST */
	LIFE_CLOSE = 1 << 14,	     /* the socket has done its duty; stragglers are acknowledged */
	LIFE_BRIDGE_SYN = 1 << 15,   /* the tuple is bridged from now on, the newest SYN first */
	LIFE_FORGET = 1 << 16,	     /* the next SYN begins anew */
	LIFE_FREE_STREAM = 1 << 17,  /* for the next flow */
	LIFE_CLOSE_STREAM = 1 << 18, /* after what was sent has arrived */
	LIFE_BAD = 1 << 19,	     /* the peer did what it must not: close the stream */
};

struct life {
	uint8_t role, phase;
	bool bridge_after;   /* of a cancelled flow: bridge the newest SYN */
	bool host_fin;	     /* our host has ended its direction: FIN was sent */
	bool peer_fin;	     /* the other host has */
	bool host_acked;     /* our host has all, the FIN too: DELIVERED was sent */
	bool peer_delivered; /* the other host has: our host's FIN was released */
	bool done_sent, done_got;
};

unsigned life_next(struct life *l, enum life_event ev);

extern const char *const life_phase_names[LIFE_PHASES];

#endif
