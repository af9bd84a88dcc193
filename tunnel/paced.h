/* SPDX-License-Identifier: GPL-3.0-or-later */
/* paced.h - frames that wait until their peer's rate allows them */
#ifndef TUNNEL_PACED_H
#define TUNNEL_PACED_H

#include "lib/loop.h"
#include "lib/packet.h"
#include "tunnel/fairq.h"
#include "tunnel/pace.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct tunnel;
struct outer;

/* What waits for one peer. All workers put frames in, one takes them out and sends them. */
struct paced {
	struct tunnel *tunnel;
	unsigned peer;
	struct pace pace;     /* of the worker that sends; its share of the rate is anybody's */
	uint32_t around;      /* bytes of headers around a frame on the wire */
	pthread_mutex_t lock; /* of queue */
	struct fairq queue;
	/* Of the worker that sends; set before any runs. */
	struct outer *outer;
	struct loop *loop;
	struct loop_timer timer;
};

struct paced *paced_new(struct tunnel *t, unsigned peer, uint64_t bps);
void paced_free(struct paced *p);
void paced_owned_by(struct paced *p, struct outer *o, struct loop *loop);
uint64_t paced_hold(const struct outer *o, unsigned tag, uint64_t peers, const struct frame *f,
		    const struct packet *layers, uint32_t frames);
uint64_t paced_waiting(struct paced *p);

#endif
