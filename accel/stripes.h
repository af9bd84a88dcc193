/* SPDX-License-Identifier: GPL-3.0-or-later */
/* stripes.h - one flow over several streams */
#ifndef ACCEL_STRIPES_H
#define ACCEL_STRIPES_H

#include "accel/growth.h"
#include "accel/inorder.h"
#include "accel/record.h"
#include "accel/retain.h"

#include <jansson.h>

struct relay;
struct stream;

/* What a flow has besides, once it has more streams than one. */
struct stripes {
	struct stream *streams[STRIPES_MAX]; /* by number; NULL: none */
	unsigned last;			     /* the one that was written to last */
	struct inorder in;
	uint64_t end; /* where the peer's FIN stands; UINT64_MAX: not known */
};

/* Copies of what was sent, for when a stripe is lost. */
struct copies {
	struct retain out;
	bool keeping;	      /* they are kept */
	uint64_t room;	      /* bytes that they may be, of the budget */
	uint64_t unkept;      /* bytes before this offset were sent without a copy… */
	unsigned unkept_with; /* …on this stripe */
};

/* How many stripes a flow should have. */
struct stripes_wish {
	uint8_t max;   /* as both sides have agreed */
	uint8_t here;  /* we would like so many */
	uint8_t there; /* the peer would */
	bool refused;  /* the last one that was asked for */
	uint64_t retry_ns;
	struct growth growth;
};

void stripes_begin(struct relay *r);
void stripes_tick(struct relay *r, uint64_t now);
bool stripes_join(struct stream *s, struct relay *r);
bool stripes_in(struct relay *r, uint64_t offset, const uint8_t *bytes, size_t len);
bool stripes_fin(struct relay *r, uint64_t end);
bool stripes_record(struct relay *r, struct stream *s, const struct record *rec);
void stripes_say(struct relay *r, enum record_type type, const void *payload, uint32_t len);
struct stream *stripes_writable(struct relay *r);
size_t stripes_room(struct relay *r);
bool stripes_keep(struct relay *r, struct stream *s, const uint8_t *bytes, size_t len);
size_t stripes_send_again(struct relay *r, struct stream *s, uint8_t *bytes, size_t max,
			  uint64_t *offset);
void stripes_taken(struct relay *r);
bool stripes_lost(struct relay *r, struct stream *s);
void stripes_reused(struct stream *s);
void stripes_let_go(struct relay *r, bool free_them);
void stripes_orphan(struct stream *s, const struct record *rec);
void stripes_release(struct relay *r);
json_t *stripes_status(const struct relay *r);

#endif
