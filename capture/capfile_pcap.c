// SPDX-License-Identifier: GPL-3.0-or-later
/* capfile_pcap.c - the pcap format, microseconds and nanoseconds, both byte orders */
/* Source: draft-ietf-opsawg-pcap, sections 4 and 5. */
#include "capture/capfile_impl.h"

#define MAGIC_US    0xa1b2c3d4u
#define MAGIC_NS    0xa1b23c4du
#define FILE_HEADER 24
#define HEADER	    16

/* The upper bits of the link type's word are other fields (FCS length). */
#define LINK_MASK 0x0fffffffu

static int pcap_begin(struct capfile *f, struct err *e)
{
	const uint8_t *at = capfile_peek(f, 4);
	struct cap_interface *i;
	uint32_t magic;

	if (!at)
		return -EMEDIUMTYPE;
	memcpy(&magic, at, 4);
	f->swapped = magic == __builtin_bswap32(MAGIC_US) || magic == __builtin_bswap32(MAGIC_NS);
	magic = cap_32(f, at);
	if (magic != MAGIC_US && magic != MAGIC_NS)
		return -EMEDIUMTYPE;
	at = capfile_peek(f, FILE_HEADER);
	if (!at)
		return err_set(e, EINVAL, "is a pcap file cut within its header, after %zu bytes",
			       f->len);
	if (cap_16(f, at + 4) != 2)
		return err_set(e, EINVAL, "is of version %u.%u of pcap; known is 2.4",
			       cap_16(f, at + 4), cap_16(f, at + 6));
	i = capfile_add_interface(f);
	if (!i)
		return err_set(e, ENOMEM, "out of memory");
	i->link = (uint16_t)(cap_32(f, at + 20) & LINK_MASK);
	i->snaplen = cap_32(f, at + 16);
	f->ticks = magic == MAGIC_NS ? 1 : 1000;
	capfile_take(f, FILE_HEADER);
	return 0;
}

static int pcap_next(struct capfile *f, struct cap_packet *p)
{
	const uint8_t *at;
	uint32_t captured, length, fraction;

	for (;;) {
		at = capfile_peek(f, HEADER);
		if (!at)
			return f->len == f->pos
				       ? 0
				       : capfile_end(f, "ends in the middle of a packet's header");
		fraction = cap_32(f, at + 4);
		captured = cap_32(f, at + 8);
		length = cap_32(f, at + 12);
		if (captured > CAP_BLOCK_MAX)
			return capfile_end(
				f,
				"has a packet of %u bytes where none can be: what follows is not read",
				captured);
		p->time_ns = (uint64_t)cap_32(f, at) * 1000000000u + fraction * f->ticks;
		at = capfile_peek(f, HEADER + captured);
		if (!at)
			return capfile_end(f, "ends in the middle of a packet");
		capfile_take(f, HEADER + captured);
		if (length >= captured && (uint64_t)fraction * f->ticks < 1000000000u)
			break;
		f->skipped.broken++;
	}
	p->data = at + HEADER;
	p->captured = captured;
	p->length = length;
	p->interface = 0;
	p->link = f->interfaces->link;
	p->way = CAP_WAY_UNKNOWN;
	return 1;
}

/* A copy for each byte order, so that none is asked for its packets'. */
static inline __attribute__((always_inline)) size_t whole(struct capfile *f, struct cap_packet *p,
							  size_t max, bool swapped)
{
	const uint8_t *at = f->buf + f->pos, *end = f->buf + f->len;
	uint64_t ticks = f->ticks;
	uint16_t link = f->interfaces->link;
	size_t n;

	for (n = 0; n < max && end - at >= HEADER; n++) {
		uint32_t captured = cap_number(at + 8, swapped),
			 length = cap_number(at + 12, swapped);
		uint64_t fraction = cap_number(at + 4, swapped) * ticks;

		if (captured > (size_t)(end - at) - HEADER || length < captured ||
		    captured > CAP_BLOCK_MAX || fraction >= 1000000000u)
			break;
		p[n] = (struct cap_packet){.time_ns = cap_number(at, swapped) * 1000000000ull +
						      fraction,
					   .data = at + HEADER,
					   .captured = captured,
					   .length = length,
					   .link = link};
		at += HEADER + captured;
	}
	f->pos = (size_t)(at - f->buf);
	f->interfaces->packets += n;
	return n;
}

/* As far as nothing is to be said of any of them. */
static size_t pcap_whole(struct capfile *f, struct cap_packet *p, size_t max)
{
	return f->swapped ? whole(f, p, max, true) : whole(f, p, max, false);
}

const struct cap_format cap_format_pcap = {"pcap", pcap_begin, pcap_next, pcap_whole, 8, HEADER};
