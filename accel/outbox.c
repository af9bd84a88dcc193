// SPDX-License-Identifier: GPL-3.0-or-later
/* outbox.c - TLS records on their way to a stream's socket, several a system call */
/*
 * OpenSSL writes each TLS record, 16 KB at most, by itself, and each would go
 * down the whole of TCP and wake whoever is next. An outbox is the BIO that a
 * connection writes to instead of its socket: it gathers records until it is
 * flushed (BIO_flush()) or full. What the socket does not take stays, and
 * nothing more is taken meanwhile than fits: BIO_wpending() tells how much,
 * and both calls can be repeated when the socket can be written to.
 */
#include "accel/outbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct outbox {
	int fd;
	struct chunks *chunks;
	struct chunk *waiting; /* NULL: nothing */
};

/* Sends what waits, as far as the socket takes it. Returns 0, or -1 with errno: it is lost. */
static int push(struct outbox *o)
{
	struct chunk *c = o->waiting;
	ssize_t n;

	while (c && c->pos < c->len) {
		n = send(o->fd, c->bytes + c->pos, c->len - c->pos, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n >= 0)
			c->pos += (uint32_t)n;
		else if (errno == EAGAIN)
			return 0;
		else if (errno != EINTR)
			return -1;
	}
	o->waiting = NULL;
	chunk_give(o->chunks, c);
	return 0;
}

static int later(BIO *b)
{
	BIO_set_retry_write(b);
	return -1;
}

static int box_write(BIO *b, const char *data, int len)
{
	struct outbox *o = BIO_get_data(b);
	struct chunk *c = o->waiting;

	BIO_clear_retry_flags(b);
	if (len <= 0 || len > (int)CHUNK_ROOM)
		return -1;
	if (c && c->len + (uint32_t)len > CHUNK_ROOM) {
		if (push(o))
			return -1;
		c = o->waiting;
		if (c)
			return later(b);
	}
	if (!c)
		c = o->waiting = chunk_take(o->chunks);
	if (!c) {
		errno = ENOMEM;
		return -1;
	}
	memcpy(c->bytes + c->len, data, (size_t)len);
	c->len += (uint32_t)len;
	return len;
}

static long box_ctrl(BIO *b, int what, long number, void *arg)
{
	struct outbox *o = BIO_get_data(b);

	if (what == BIO_CTRL_WPENDING)
		return o->waiting ? (long)(o->waiting->len - o->waiting->pos) : 0;
	if (what != BIO_CTRL_FLUSH)
		return 0;
	BIO_clear_retry_flags(b);
	if (push(o))
		return -1;
	return o->waiting ? later(b) : 1;
}

static int box_destroy(BIO *b)
{
	struct outbox *o = BIO_get_data(b);

	if (o)
		chunk_give(o->chunks, o->waiting);
	free(o);
	BIO_set_data(b, NULL);
	return 1;
}

/* What outboxes are made by; NULL: memory is short. To be freed by BIO_meth_free() after them. */
BIO_METHOD *outbox_method(void)
{
	BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "outbox");

	if (m && BIO_meth_set_write(m, box_write) && BIO_meth_set_ctrl(m, box_ctrl) &&
	    BIO_meth_set_destroy(m, box_destroy))
		return m;
	BIO_meth_free(m);
	return NULL;
}

/*
 * An outbox in front of a socket, which stays the caller's.
 * @chunks: of the thread that writes; outlives it
 * Returns NULL when memory is short.
 */
BIO *outbox_new(const BIO_METHOD *method, int fd, struct chunks *chunks)
{
	struct outbox *o = malloc(sizeof(*o));
	BIO *b = o ? BIO_new(method) : NULL;

	if (!b) {
		free(o);
		return NULL;
	}
	*o = (struct outbox){.fd = fd, .chunks = chunks};
	BIO_set_data(b, o);
	BIO_set_init(b, 1);
	return b;
}

/* Another thread writes from now on. @chunks: its own */
void outbox_move(BIO *box, struct chunks *chunks)
{
	struct outbox *o = BIO_get_data(box);

	o->chunks = chunks;
}
