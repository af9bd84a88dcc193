/* SPDX-License-Identifier: GPL-3.0-or-later */
/* capfile_impl.h - what the readers of the two formats share */
#ifndef CAPTURE_CAPFILE_IMPL_H
#define CAPTURE_CAPFILE_IMPL_H

#include "capture/capfile.h"

#include <string.h>

struct capfile;

/* One format. */
struct cap_format {
	const char *name;
	int (*begin)(struct capfile *f, struct err *e); /* reads the file's header */
	/* A packet: 1, or 0 at the end. Packets from before are gone. */
	int (*next)(struct capfile *f, struct cap_packet *p);
	/* Packets that lie in the buffer: how many, up to @max. */
	size_t (*whole)(struct capfile *f, struct cap_packet *p, size_t max);
	uint8_t len_at, extra; /* of struct cap_ahead */
};

extern const struct cap_format cap_format_pcap, cap_format_pcapng;

struct capfile {
	const struct cap_format *format;
	cap_read more;
	void *ctx;
	uint8_t *buf;
	size_t room, len, pos; /* of the buffer: bytes it can hold, holds, and has given */
	struct cap_map *map;   /* what the buffer is of; NULL: of memory of its own */
	bool ended;	       /* there is no more to read */
	bool swapped;	       /* numbers are in the other byte order than ours */
	uint64_t ticks;	       /* pcap: of time stamps' fractions, a second */
	struct cap_interface *interfaces;
	uint32_t n_interfaces;
	uint32_t *numbers;	   /* pcapng: of the section's interfaces; behind them, those… */
	uint32_t n_section, n_was; /* …of the section before; how many each has */
	uint64_t last_ns;	   /* pcapng: time of the latest packet */
	bool no_packet;		   /* …of this section was read yet */
	struct cap_skipped skipped;
};

struct cap_map *cap_map_new(int fd, const uint8_t **data, size_t *len);
void cap_map_release(struct cap_map *m, size_t before);
bool cap_map_broken(const struct cap_map *m);
void cap_map_free(struct cap_map *m);

bool capfile_refill(struct capfile *f, size_t n);
struct cap_interface *capfile_add_interface(struct capfile *f);
int capfile_end(struct capfile *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The next @n bytes, or NULL if the file has fewer. They stay until the next refill. */
static inline const uint8_t *capfile_peek(struct capfile *f, size_t n)
{
	return f->len - f->pos >= n || capfile_refill(f, n) ? f->buf + f->pos : NULL;
}

static inline void capfile_take(struct capfile *f, size_t n)
{
	f->pos += n;
}

static inline uint16_t cap_16(const struct capfile *f, const uint8_t *at)
{
	uint16_t v;

	memcpy(&v, at, sizeof(v));
	return f->swapped ? __builtin_bswap16(v) : v;
}

static inline uint32_t cap_number(const uint8_t *at, bool swapped)
{
	uint32_t v;

	memcpy(&v, at, sizeof(v));
	return swapped ? __builtin_bswap32(v) : v;
}

static inline uint32_t cap_32(const struct capfile *f, const uint8_t *at)
{
	return cap_number(at, f->swapped);
}

#endif
