// SPDX-License-Identifier: GPL-3.0-or-later
/* inbox.c - a stream's socket as TLS reads it: no oftener than there is something */
/*
 * A stream is read until there is no more, and OpenSSL only knows that there is
 * none when a read has failed: for a short record, half of all reads. A socket
 * that gives less than was asked for is empty, and one that is watched for edges
 * tells when it is not any more: inbox_fills(). One that gave much has got more
 * meanwhile. Where the peer has ended, the end stands behind the last bytes, and is
 * read, too.
 */
#include "accel/inbox.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

struct inbox {
	int fd;
	bool empty; /* as far as is known */
	bool ends;  /* the peer sends no more */
	bool ended; /* …and all was read */
};

static int box_read(BIO *b, char *data, int len)
{
	struct inbox *in = BIO_get_data(b);
	ssize_t n = -1;

	BIO_clear_retry_flags(b);
	if (len <= 0)
		return 0;
	if (!in->empty) {
		do
			n = recv(in->fd, data, (size_t)len, MSG_DONTWAIT);
		while (n < 0 && errno == EINTR);
		in->empty = n < len && n < MANY_BYTES && !in->ends;
		in->ended = n == 0;
	} else {
		errno = EAGAIN;
	}
	if (n < 0 && errno == EAGAIN)
		BIO_set_retry_read(b);
	return (int)n;
}

static long box_ctrl(BIO *b, int what, long number, void *arg)
{
	struct inbox *in = BIO_get_data(b);

	return what == BIO_CTRL_EOF && in->ended;
}

static int box_destroy(BIO *b)
{
	free(BIO_get_data(b));
	BIO_set_data(b, NULL);
	return 1;
}

/* What inboxes are made by; NULL: memory is short. To be freed by BIO_meth_free() after them. */
BIO_METHOD *inbox_method(void)
{
	BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "inbox");

	if (m && BIO_meth_set_read(m, box_read) && BIO_meth_set_ctrl(m, box_ctrl) &&
	    BIO_meth_set_destroy(m, box_destroy))
		return m;
	BIO_meth_free(m);
	return NULL;
}

/* An inbox behind a socket, which stays the caller's. Returns NULL when memory is short. */
BIO *inbox_new(const BIO_METHOD *method, int fd)
{
	struct inbox *in = malloc(sizeof(*in));
	BIO *b = in ? BIO_new(method) : NULL;

	if (!b) {
		free(in);
		return NULL;
	}
	*in = (struct inbox){.fd = fd};
	BIO_set_data(b, in);
	BIO_set_init(b, 1);
	return b;
}

/* Whether nothing can be read before inbox_fills() is called again. */
bool inbox_is_empty(BIO *b)
{
	const struct inbox *in = BIO_get_data(b);

	return in->empty;
}

/* Says that the socket may have something: it is read again. @ends: perhaps the peer's end */
void inbox_fills(BIO *b, bool ends)
{
	struct inbox *in = BIO_get_data(b);

	in->empty = false;
	in->ends |= ends;
}
