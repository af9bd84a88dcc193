// SPDX-License-Identifier: GPL-3.0-or-later
/* pcapng_write.c - writes pcapng: interfaces with names, directions, drop counts */
/* Source: draft-ietf-opsawg-pcapng. Numbers are written in this machine's byte order. */
#include "capture/pcapng.h"

#include <string.h>

#define RESOLUTION_NS 9 /* 10^-9 s */

/* A block being built; the largest that is, but for packets. */
struct block {
	uint8_t bytes[1024];
	size_t len;
};

static void put(struct block *b, const void *bytes, size_t len)
{
	memcpy(b->bytes + b->len, bytes, len);
	b->len += len;
}

static void put_16(struct block *b, uint16_t v)
{
	put(b, &v, sizeof(v));
}

static void put_32(struct block *b, uint32_t v)
{
	put(b, &v, sizeof(v));
}

static void put_64(struct block *b, uint64_t v)
{
	put(b, &v, sizeof(v));
}

static void put_option(struct block *b, uint16_t code, const void *value, size_t len)
{
	static const uint8_t zero[3];

	put_16(b, code);
	put_16(b, (uint16_t)len);
	put(b, value, len);
	put(b, zero, -len & 3);
}

static void begin(struct block *b, uint32_t type)
{
	b->len = 0;
	put_32(b, type);
	put_32(b, 0);
}

static bool end(FILE *out, struct block *b)
{
	uint32_t len = (uint32_t)b->len + 4;

	memcpy(b->bytes + 4, &len, 4);
	put_32(b, len);
	return fwrite(b->bytes, b->len, 1, out) == 1;
}

/* Writes the header of a file with these interfaces. Returns false if it cannot be written. */
bool pcapng_begin_section(FILE *out, const struct pcapng_interface *interfaces, size_t n)
{
	static const char program[] = "longhaul " LONGHAUL_VERSION;
	static const uint8_t resolution = RESOLUTION_NS;
	struct block b;
	bool ok;
	size_t i;

	begin(&b, 0x0a0d0d0a);
	put_32(&b, 0x1a2b3c4d);
	put_16(&b, 1);
	put_16(&b, 0);
	put_64(&b, UINT64_MAX);
	put_option(&b, 4, program, sizeof(program) - 1);
	put_option(&b, 0, "", 0);
	ok = end(out, &b);
	for (i = 0; ok && i < n; i++) {
		begin(&b, 1);
		put_16(&b, interfaces[i].link);
		put_16(&b, 0);
		put_32(&b, interfaces[i].snaplen);
		put_option(&b, 2, interfaces[i].name, strlen(interfaces[i].name));
		if (*interfaces[i].description)
			put_option(&b, 3, interfaces[i].description,
				   strlen(interfaces[i].description));
		put_option(&b, 9, &resolution, 1);
		put_option(&b, 0, "", 0);
		ok = end(out, &b);
	}
	return ok;
}

/* Bytes that a packet takes in a file. */
size_t pcapng_packet_size(const struct cap_packet *p)
{
	return 8 + 20 + ((p->captured + 3) & ~3u) + 12 + 4;
}

/* Writes a packet, with its direction. Returns false if it cannot be written. */
bool pcapng_packet(FILE *out, const struct cap_packet *p)
{
	static const uint8_t zero[3];
	struct block b;
	uint32_t len = (uint32_t)pcapng_packet_size(p);

	begin(&b, 6);
	memcpy(b.bytes + 4, &len, 4);
	put_32(&b, p->interface);
	put_32(&b, (uint32_t)(p->time_ns >> 32));
	put_32(&b, (uint32_t)p->time_ns);
	put_32(&b, p->captured);
	put_32(&b, p->length);
	if (fwrite(b.bytes, b.len, 1, out) != 1 ||
	    fwrite(p->data, 1, p->captured, out) != p->captured ||
	    fwrite(zero, 1, -p->captured & 3, out) != (-p->captured & 3))
		return false;
	b.len = 0;
	put_16(&b, 2); /* epb_flags */
	put_16(&b, 4);
	put_32(&b, p->way == CAP_WAY_IN ? 1 : p->way == CAP_WAY_OUT ? 2 : 0);
	put_32(&b, 0);
	put_32(&b, len);
	return fwrite(b.bytes, b.len, 1, out) == 1;
}

/* Writes what an interface has received and lost so far. Returns false if it cannot be written. */
bool pcapng_statistics(FILE *out, uint32_t interface, uint64_t time_ns, uint64_t received,
		       uint64_t dropped)
{
	struct block b;

	begin(&b, 5);
	put_32(&b, interface);
	put_32(&b, (uint32_t)(time_ns >> 32));
	put_32(&b, (uint32_t)time_ns);
	put_option(&b, 4, &received, 8);
	put_option(&b, 5, &dropped, 8);
	put_option(&b, 0, "", 0);
	return end(out, &b);
}
