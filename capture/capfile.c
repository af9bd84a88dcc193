// SPDX-License-Identifier: GPL-3.0-or-later
/* capfile.c - capture files: a buffer in front of the readers of the two formats */
/*
 * Theory of operation
 *
 * libpcap reads both formats too, but gives no names of interfaces, no
 * directions and no drop counts of a pcapng file, refuses a file whose
 * interfaces have different link types, and copies each packet by fread(3).
 * So the records are parsed here, in place, in a buffer that is refilled in
 * large pieces and grows only for a record that is longer than it. Of a file,
 * what it has at the beginning is one such piece: capfile_map.c.
 *
 * A file that ends in the middle of a record, or goes on as something else,
 * ends the reading there: all before it counts, and skipped.why says what
 * was found. Where a packet's fields contradict each other but the next
 * record can still be found, that packet alone is left out and counted.
 */
#include "capture/capfile_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define BUFFER 262144 /* fits a processor's second cache beside what is done with the packets */

static const struct cap_format *const formats[] = {&cap_format_pcap, &cap_format_pcapng};

/* What is left of a mapping, the beginning of a record, goes into a buffer, and reading goes on. */
static bool leave_map(struct capfile *f)
{
	size_t left = f->len - f->pos, room = left > BUFFER ? left : BUFFER;
	uint8_t *buf = malloc(room);

	if (!buf)
		return false;
	memcpy(buf, f->buf + f->pos, left);
	f->ended = cap_map_broken(f->map);
	cap_map_free(f->map);
	f->map = NULL;
	f->buf = buf;
	f->room = room;
	f->len = left;
	f->pos = 0;
	return true;
}

/* Moves what is left to the front and reads more, until @n bytes are there or no more come. */
bool capfile_refill(struct capfile *f, size_t n)
{
	ssize_t got;

	if (f->map && !leave_map(f))
		return false;
	if (n > f->room) {
		uint8_t *larger = realloc(f->buf, n);

		if (!larger)
			return false;
		f->buf = larger;
		f->room = n;
	}
	memmove(f->buf, f->buf + f->pos, f->len - f->pos);
	f->len -= f->pos;
	f->pos = 0;
	while (f->len < n && !f->ended) {
		got = f->more(f->ctx, f->buf + f->len, f->room - f->len);
		if (got < 0) {
			snprintf(f->skipped.why, sizeof(f->skipped.why), "cannot be read on: %s",
				 strerror(errno));
			f->ended = true;
		} else if (got == 0) {
			f->ended = true;
		} else {
			f->len += (size_t)got;
		}
	}
	return f->len >= n;
}

/* Notes why the reading ends before the end of the file. Returns 0, as at its end. */
int capfile_end(struct capfile *f, const char *fmt, ...)
{
	va_list ap;

	if (!*f->skipped.why) {
		va_start(ap, fmt);
		vsnprintf(f->skipped.why, sizeof(f->skipped.why), fmt, ap);
		va_end(ap);
	}
	f->pos = f->len;
	f->ended = true;
	return 0;
}

/* Makes room for one more interface. Returns NULL if there are too many. */
struct cap_interface *capfile_add_interface(struct capfile *f)
{
	struct cap_interface *more;

	if (f->n_interfaces >= CAP_INTERFACES_MAX)
		return NULL;
	more = realloc(f->interfaces, (f->n_interfaces + 1) * sizeof(*more));
	if (!more)
		return NULL;
	f->interfaces = more;
	more += f->n_interfaces++;
	*more = (struct cap_interface){.unit_per_s = 1000000, .unknown_drops = true};
	return more;
}

/* Says of what begins like no capture file what it is, if it is a compressed one. */
static void unknown_format(const struct capfile *f, struct err *e)
{
	static const struct {
		uint8_t magic[3];
		const char *what, *cat;
	} packed[] = {
		{{0x1f, 0x8b, 0x08}, "gzip'd", "gunzip -c"},
		{{0xfd, '7', 'z'}, "compressed by xz", "xz -dc"},
		{{0x28, 0xb5, 0x2f}, "compressed by zstd", "zstd -dc"},
		{{'B', 'Z', 'h'}, "compressed by bzip2", "bzip2 -dc"},
	};
	const uint8_t *b = f->buf;
	size_t i;

	for (i = 0; i < sizeof(packed) / sizeof(*packed); i++)
		if (!memcmp(b, packed[i].magic, sizeof(packed[i].magic))) {
			err_set(e, EINVAL, "is %s: %s FILE | longhaul diagnose -", packed[i].what,
				packed[i].cat);
			return;
		}
	err_set(e, EINVAL, "begins with %02x %02x %02x %02x: neither a pcap nor a pcapng file",
		b[0], b[1], b[2], b[3]);
}

/*
 * Begins a capture file.
 * @more: gives its bytes, as read(2) would; called again only when they are needed
 *
 * Returns NULL with a text if it is neither pcap nor pcapng, or its header is not whole.
 */
struct capfile *capfile_open(cap_read more, void *ctx, struct err *e)
{
	return capfile_open_file(-1, more, ctx, e);
}

/*
 * The same for a file, which is looked at where the kernel has it, if it can be.
 * @more: gives what follows the bytes that the file has now
 */
struct capfile *capfile_open_file(int fd, cap_read more, void *ctx, struct err *e)
{
	struct capfile *f = calloc(1, sizeof(*f));
	size_t i;

	if (f)
		f->map = cap_map_new(fd, (const uint8_t **)&f->buf, &f->len);
	if (f && !f->map)
		f->buf = malloc(BUFFER);
	if (!f || !f->buf) {
		free(f);
		err_set(e, ENOMEM, "out of memory");
		return NULL;
	}
	f->more = more;
	f->ctx = ctx;
	f->room = f->map ? f->len : BUFFER;
	for (i = 0; i < sizeof(formats) / sizeof(*formats); i++) {
		int ret = formats[i]->begin(f, e);

		if (!ret) {
			f->format = formats[i];
			return f;
		}
		if (ret != -EMEDIUMTYPE)
			goto fail;
	}
	if (*f->skipped.why)
		err_set(e, EIO, "%s", f->skipped.why);
	else if (f->len < 4)
		err_set(e, EINVAL, "has %zu bytes: not a capture file", f->len);
	else
		unknown_format(f, e);
fail:
	capfile_close(f);
	return NULL;
}

/*
 * Reads the next packets: those that lie in the buffer already, but at least one if there is any.
 * @p:   filled in; their data stay until the next call
 * @max: how many at most
 *
 * Returns how many, or 0 when there are no more; capfile_skipped() says whether that was the file's
 * end.
 */
size_t capfile_batch(struct capfile *f, struct cap_packet *p, size_t max)
{
	size_t n;

	if (f->map)
		cap_map_release(f->map, f->pos);
	n = f->format->whole(f, p, max);
	if (f->map && cap_map_broken(f->map))
		return (size_t)capfile_end(f, "has become shorter, or its disk has failed");
	if (!n && f->format->next(f, p) > 0) {
		f->interfaces[p->interface].packets++;
		n = 1;
	}
	return n;
}

/* What lies behind the last batch, as far as it has been read; until the next one. */
struct cap_ahead capfile_ahead(const struct capfile *f)
{
	return (struct cap_ahead){.at = f->buf + f->pos,
				  .end = f->buf + f->len,
				  .len_at = f->format->len_at,
				  .extra = f->format->extra,
				  .swapped = f->swapped};
}

/*
 * Reads the next packet.
 * @p: filled in; its data stay until the next call
 *
 * Returns 1, or 0 when there are no more.
 */
int capfile_next(struct capfile *f, struct cap_packet *p)
{
	return (int)capfile_batch(f, p, 1);
}

/* An interface by its number; NULL beyond the last one read so far. */
const struct cap_interface *capfile_interface(const struct capfile *f, uint32_t number)
{
	return number < f->n_interfaces ? &f->interfaces[number] : NULL;
}

/* Interfaces known so far. */
uint32_t capfile_interfaces(const struct capfile *f)
{
	return f->n_interfaces;
}

/* What could not be used so far. */
const struct cap_skipped *capfile_skipped(const struct capfile *f)
{
	return &f->skipped;
}

/* "pcap" or "pcapng". */
const char *capfile_kind(const struct capfile *f)
{
	return f->format->name;
}

static void free_buffer(struct capfile *f)
{
	if (f->map)
		cap_map_free(f->map);
	else
		free(f->buf);
	f->map = NULL;
	f->buf = NULL;
	f->len = f->pos = f->room = 0;
}

/* Nothing more will be read: frees what only that takes. What the file has told is kept. */
void capfile_done(struct capfile *f)
{
	f->ended = true;
	free_buffer(f);
}

/* Frees a reader; NULL is allowed. What gives the bytes is the caller's to close. */
void capfile_close(struct capfile *f)
{
	if (!f)
		return;
	free(f->interfaces);
	free(f->numbers);
	free_buffer(f);
	free(f);
}
