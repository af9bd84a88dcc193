// SPDX-License-Identifier: GPL-3.0-or-later
/* stream_write.c - what is said on a stream, and when it is written */
/*
 * What is said goes into a chunk and is written at the end of the thread's
 * turn, so that all that was said in a turn makes one TLS record, one system
 * call and one wake-up at the far side. Bulk data, which fill chunk after
 * chunk, are written as the chunks fill. What nobody waits for is written with
 * what is said next, or a little later (LAZY_NS).
 */
#include "accel/internal.h"

#include <openssl/err.h>
#include <string.h>
#include <sys/socket.h>

#define LAZY_NS	  (5 * NS_PER_MS)
#define OUT_SMALL 4096 /* bytes that wait for what is said after them in the same turn */

/* Whether all that was said has gone to the kernel. */
bool stream_is_flushed(const struct stream *s)
{
	return !s->out && !BIO_wpending(SSL_get_wbio(s->ssl));
}

/* Seals what waits. Returns 1: done; 0: not all of it now; -1: the stream must break. */
static int seal(struct stream *s)
{
	struct chunk *c = s->out;
	int n, error;

	while (c && c->pos < c->len) {
		ERR_clear_error();
		n = SSL_write(s->ssl, c->bytes + c->pos, (int)(c->len - c->pos));
		if (n > 0) {
			c->pos += (uint32_t)n;
			s->wrote += (uint32_t)n;
			continue;
		}
		error = SSL_get_error(s->ssl, n);
		return error == SSL_ERROR_WANT_WRITE || error == SSL_ERROR_WANT_READ ? 0 : -1;
	}
	s->out = NULL;
	chunk_give(&s->shard->chunks, c);
	return 1;
}

/* Writes what waits. Returns false if the stream is lost. */
bool stream_flush(struct stream *s)
{
	BIO *box = SSL_get_wbio(s->ssl);
	int ret;

	if (s->dead)
		return false;
	ret = seal(s);
	if (ret > 0 && BIO_flush(box) <= 0)
		ret = BIO_should_retry(box) ? 0 : -1;
	if (ret < 0)
		stream_break(s, "writing failed");
	if (ret <= 0)
		return !ret;
	if (s->blocks && s->relay)
		pump_later(s->relay);
	s->blocks = false;
	if (s->state == STREAM_CLOSING && !s->sent_last) {
		s->sent_last = true;
		SSL_shutdown(s->ssl);
		shutdown(s->io.fd, SHUT_WR);
	}
	return true;
}

/*
 * Room in a stream's buffer for the longest record. NULL: the stream is lost.
 * What is put there is said by stream_said().
 */
uint8_t *stream_room(struct stream *s)
{
	if (!s->out)
		s->out = chunk_take(&s->shard->chunks);
	if (s->out)
		return s->out->bytes + s->out->len;
	stream_break(s, "memory is short");
	return NULL;
}

static void is_said(struct stream *s)
{
	if (s->said)
		return;
	s->said = true;
	s->next_said = s->shard->said;
	s->shard->said = s;
}

/* So many bytes more are in a stream's buffer, or none after all. They are written at the end of
 * the turn, so that what is said in a turn leaves together, or by stream_flush(). */
void stream_said(struct stream *s, uint32_t len)
{
	s->out->len += len;
	if (!s->out->len) {
		chunk_give(&s->shard->chunks, s->out);
		s->out = NULL;
		return;
	}
	is_said(s);
}

/*
 * Whether a stream's buffer has room for the longest record. What is in it is
 * written first, unless that is so little that it had better go with the record.
 * If it has none, its flow goes on when all was written, whoever does that.
 */
bool stream_takes_more(struct stream *s)
{
	bool little = !s->out || (s->out->len <= OUT_SMALL && !s->out->pos);

	if (little && !BIO_wpending(SSL_get_wbio(s->ssl)))
		return !s->dead;
	if (stream_flush(s) && stream_is_flushed(s))
		return true;
	s->blocks = true;
	return false;
}

/* Puts a record into a stream's buffer. Returns false if the stream takes none any more. */
static bool put(struct stream *s, enum record_type type, const void *payload, uint32_t len)
{
	bool of_flow = type != RECORD_HELLO && type != RECORD_TUPLES && type != RECORD_TUPLES_END &&
		       type != RECORD_PAD;
	struct record r = {.type = (uint8_t)type,
			   .len = len,
			   .flow = of_flow ? s->flow : 0,
			   .generation = of_flow ? s->generation : 0};

	if (s->dead || s->state == STREAM_CLOSING)
		return false;
	if (!s->out)
		s->out = chunk_take(&s->shard->chunks);
	if (!s->out || s->out->len + RECORD_HDR_LEN + len > CHUNK_ROOM) {
		stream_break(s, s->out ? "the peer does not read what we say" : "memory is short");
		return false;
	}
	record_store(s->out->bytes + s->out->len, &r);
	if (len)
		memcpy(s->out->bytes + s->out->len + RECORD_HDR_LEN, payload, len);
	s->out->len += RECORD_HDR_LEN + len;
	return true;
}

/* Says something on a stream; it is written at the end of the turn, or by stream_flush(). */
void stream_send(struct stream *s, enum record_type type, const void *payload, uint32_t len)
{
	if (put(s, type, payload, len))
		is_said(s);
}

/* Writes what was said in this turn. */
void stream_flush_said(struct shard *sh)
{
	struct stream *s;

	while ((s = sh->said)) {
		sh->said = s->next_said;
		s->said = false;
		if (!s->dead)
			stream_flush(s);
	}
}

/* Writes what nobody waits for. */
void stream_send_lazy(struct shard *sh)
{
	struct stream *s;

	while ((s = sh->lazy)) {
		sh->lazy = s->next_lazy;
		s->lazy = false;
		if (!s->dead)
			stream_flush(s);
	}
}

static void lazy_is_due(void *ctx)
{
	rcu_read_lock();
	stream_send_lazy(ctx);
	rcu_read_unlock();
}

/* Says something that nobody waits for: it is written with what is said next, or after LAZY_NS. */
void stream_send_lazily(struct stream *s, enum record_type type)
{
	struct shard *sh = s->shard;

	if (!put(s, type, NULL, 0) || s->said || s->lazy)
		return;
	if (!sh->lazy_timer.armed) {
		sh->lazy_timer = (struct loop_timer){.expired = lazy_is_due, .ctx = sh};
		loop_timer_start(sh->loop, &sh->lazy_timer, LAZY_NS, 0);
	}
	s->lazy = true;
	s->next_lazy = sh->lazy;
	sh->lazy = s;
}
