// SPDX-License-Identifier: GPL-3.0-or-later
/* capfile_pcapng.c - the pcapng format: sections, interfaces with names, directions, drop counts */
/* Source: draft-ietf-opsawg-pcapng, sections 3 and 4. */
#include "capture/capfile_impl.h"

#include <stdlib.h>

#define BLOCK_SECTION	 0x0a0d0d0au
#define BLOCK_INTERFACE	 1u
#define BLOCK_PACKET_OLD 2u
#define BLOCK_SIMPLE	 3u
#define BLOCK_STATISTICS 5u
#define BLOCK_PACKET	 6u
#define BYTE_ORDER_MAGIC 0x1a2b3c4du

#define BLOCK_MIN 12 /* type, length, length again */

/* Fixed parts, behind type and length. */
#define SECTION_FIXED	 16
#define INTERFACE_FIXED	 8
#define PACKET_FIXED	 20
#define STATISTICS_FIXED 12

#define DISORDER_NS 1000000000u /* that packets of one capture may be out of order by */

#define OPT_END	       0
#define OPT_IF_NAME    2
#define OPT_IF_TSRESOL 9
#define OPT_IF_TSOFF   14
#define OPT_EPB_FLAGS  2
#define OPT_ISB_IFDROP 5
#define OPT_ISB_OSDROP 7

struct option {
	uint16_t code, len;
	const uint8_t *value;
};

/* The option at *at, which moves to the next one. False at the end, or where they make no sense. */
static bool next_option(const struct capfile *f, const uint8_t **at, const uint8_t *end,
			struct option *o)
{
	size_t padded;

	if (end - *at < 4)
		return false;
	o->code = cap_16(f, *at);
	o->len = cap_16(f, *at + 2);
	o->value = *at + 4;
	padded = ((size_t)o->len + 3) & ~(size_t)3;
	if (o->code == OPT_END || (size_t)(end - o->value) < padded)
		return false;
	*at = o->value + padded;
	return true;
}

static uint64_t load_64(const struct capfile *f, const uint8_t *at)
{
	uint64_t v;

	memcpy(&v, at, sizeof(v));
	return f->swapped ? __builtin_bswap64(v) : v;
}

/* Section 4.2, if_tsresol: a power of 10, or of 2 where the upper bit is set. */
static uint64_t resolution(uint8_t v)
{
	uint64_t units = 1;
	unsigned n = v & 0x7f;

	if (v & 0x80)
		return n < 63 ? 1ull << n : 0;
	if (n > 18)
		return 0;
	while (n--)
		units *= 10;
	return units;
}

/* Names are shown on terminals and in JSON: what is not plain text in them is not. */
static void read_name(struct cap_interface *i, const struct option *o)
{
	size_t n;

	for (n = 0; n < o->len && n + 1 < sizeof(i->name) && o->value[n]; n++)
		i->name[n] = o->value[n] < ' ' || o->value[n] > '~' ? '?' : (char)o->value[n];
	i->name[n] = '\0';
}

/*
 * The interface that the section's next one is. Files of one capture that were put one behind the
 * other are sections with the same interfaces: what was seen in one goes on in the next.
 */
static struct cap_interface *next_interface(struct capfile *f, const struct cap_interface *is)
{
	uint32_t id = f->n_section, *more;
	struct cap_interface *i;

	if (id < f->n_was) {
		i = &f->interfaces[f->numbers[id]];
		if (i->link == is->link && !strcmp(i->name, is->name)) {
			f->n_section++;
			return i;
		}
	} else {
		more = realloc(f->numbers, (id + 1) * sizeof(*more));
		if (!more)
			return NULL;
		f->numbers = more;
	}
	i = capfile_add_interface(f);
	if (!i)
		return NULL;
	f->numbers[f->n_section++] = f->n_interfaces - 1;
	f->n_was = f->n_was > f->n_section ? f->n_was : f->n_section;
	return i;
}

static void read_interface(struct capfile *f, const uint8_t *body, const uint8_t *end)
{
	const uint8_t *at = body + INTERFACE_FIXED;
	struct cap_interface is = {.unit_per_s = 1000000}, *i;
	struct option o;

	is.link = cap_16(f, body);
	is.snaplen = cap_32(f, body + 4);
	while (next_option(f, &at, end, &o)) {
		if (o.code == OPT_IF_NAME)
			read_name(&is, &o);
		else if (o.code == OPT_IF_TSRESOL && o.len == 1)
			is.unit_per_s = resolution(o.value[0]);
		else if (o.code == OPT_IF_TSOFF && o.len == 8)
			is.offset_s = (int64_t)load_64(f, o.value);
	}
	i = next_interface(f, &is);
	if (!i)
		return;
	memcpy(i->name, is.name, sizeof(i->name));
	i->link = is.link;
	i->snaplen = is.snaplen;
	i->unit_per_s = is.unit_per_s;
	i->offset_s = is.offset_s;
}

static struct cap_interface *interface_of(struct capfile *f, uint32_t id)
{
	return id < f->n_section ? &f->interfaces[f->numbers[id]] : NULL;
}

static void read_statistics(struct capfile *f, const uint8_t *body, const uint8_t *end)
{
	struct cap_interface *i = interface_of(f, cap_32(f, body));
	const uint8_t *at = body + STATISTICS_FIXED;
	uint64_t drops = 0;
	struct option o;
	bool any = false;

	while (i && next_option(f, &at, end, &o)) {
		if ((o.code != OPT_ISB_IFDROP && o.code != OPT_ISB_OSDROP) || o.len != 8)
			continue;
		drops += load_64(f, o.value);
		any = true;
	}
	if (!any)
		return;
	/* Totals since the capture began, which another one may have done since. */
	i->drops = drops > i->drops ? drops : i->drops;
	i->unknown_drops = false;
}

/* Ticks since 1970 as nanoseconds, without overflow of what can be a date. */
static uint64_t nanoseconds(const struct cap_interface *i, uint64_t ticks)
{
	uint64_t s = ticks / i->unit_per_s, rest = ticks % i->unit_per_s;
	uint64_t ns = (uint64_t)((unsigned __int128)rest * 1000000000u / i->unit_per_s);

	return (s + (uint64_t)i->offset_s) * 1000000000u + ns;
}

/*
 * The first packet of a section. If it is older than those before, the section is of another
 * capture, as of another host: its interfaces have only the same names.
 */
static void section_begins(struct capfile *f, uint64_t time_ns)
{
	uint32_t id;

	f->no_packet = false;
	if (time_ns + DISORDER_NS >= f->last_ns)
		return;
	f->last_ns = time_ns;
	for (id = 0; id < f->n_section; id++) {
		struct cap_interface is, *i;

		if (!f->interfaces[f->numbers[id]].packets)
			continue; /* it is this section's own, or was never used */
		i = capfile_add_interface(f);
		if (!i)
			return;
		is = f->interfaces[f->numbers[id]];
		is.packets = is.drops = 0;
		is.unknown_drops = true;
		*i = is;
		f->numbers[id] = f->n_interfaces - 1;
	}
}

/* Section 4.3, and the obsolete packet block, whose interface has 16 bits. */
static bool read_packet(struct capfile *f, const uint8_t *body, const uint8_t *end, bool old,
			struct cap_packet *p)
{
	uint32_t id = old ? cap_16(f, body) : cap_32(f, body);
	struct cap_interface *i = interface_of(f, id);
	const uint8_t *at = body + PACKET_FIXED;
	size_t padded;
	struct option o;

	p->captured = cap_32(f, body + 12);
	p->length = cap_32(f, body + 16);
	padded = ((size_t)p->captured + 3) & ~(size_t)3;
	if (!i || !i->unit_per_s || (size_t)(end - at) < padded || p->length < p->captured) {
		f->skipped.broken++;
		return false;
	}
	p->time_ns = nanoseconds(i, (uint64_t)cap_32(f, body + 4) << 32 | cap_32(f, body + 8));
	if (f->no_packet)
		section_begins(f, p->time_ns);
	if (p->time_ns > f->last_ns)
		f->last_ns = p->time_ns;
	p->data = at;
	p->interface = f->numbers[id];
	p->link = f->interfaces[p->interface].link;
	p->way = CAP_WAY_UNKNOWN;
	at += padded;
	while (next_option(f, &at, end, &o)) {
		uint32_t way = o.code == OPT_EPB_FLAGS && o.len == 4 ? cap_32(f, o.value) & 3 : 0;

		if (way == 1 || way == 2)
			p->way = way == 1 ? CAP_WAY_IN : CAP_WAY_OUT;
	}
	return true;
}

/* Length of the block that begins at @at; 0 if it cannot be one. */
static uint32_t block_length(struct capfile *f, const uint8_t *at, uint32_t type)
{
	uint32_t len = cap_32(f, at + 4);

	if (len < BLOCK_MIN || len % 4 || len > CAP_BLOCK_MAX)
		return 0;
	switch (type) {
	case BLOCK_SECTION: return len >= BLOCK_MIN + SECTION_FIXED ? len : 0;
	case BLOCK_INTERFACE: return len >= BLOCK_MIN + INTERFACE_FIXED ? len : 0;
	case BLOCK_PACKET:
	case BLOCK_PACKET_OLD: return len >= BLOCK_MIN + PACKET_FIXED ? len : 0;
	case BLOCK_STATISTICS: return len >= BLOCK_MIN + STATISTICS_FIXED ? len : 0;
	default: return len;
	}
}

/* A section begins: another byte order, perhaps, and interfaces counted anew. */
static bool read_section(struct capfile *f, const uint8_t *at)
{
	uint32_t magic;

	memcpy(&magic, at + 8, 4);
	if (magic != BYTE_ORDER_MAGIC && magic != __builtin_bswap32(BYTE_ORDER_MAGIC))
		return false;
	f->swapped = magic != BYTE_ORDER_MAGIC;
	f->n_was = f->n_section > f->n_was ? f->n_section : f->n_was;
	f->n_section = 0;
	f->no_packet = true;
	return true;
}

static int pcapng_next(struct capfile *f, struct cap_packet *p)
{
	for (;;) {
		const uint8_t *at = capfile_peek(f, BLOCK_MIN), *body, *end;
		uint32_t type, len;

		if (!at)
			return f->len == f->pos ? 0
						: capfile_end(f, "ends in the middle of a block");
		memcpy(&type, at, 4);
		if (type == BLOCK_SECTION && !read_section(f, at))
			return capfile_end(f, "has a section without a byte order");
		type = cap_32(f, at);
		len = block_length(f, at, type);
		if (!len)
			return capfile_end(
				f,
				"has a block of %u bytes where none can be: what follows is not read",
				cap_32(f, at + 4));
		at = capfile_peek(f, len);
		if (!at)
			return capfile_end(f, "ends in the middle of a block");
		capfile_take(f, len);
		body = at + 8;
		end = at + len - 4;
		switch (type) {
		case BLOCK_SECTION: break;
		case BLOCK_INTERFACE: read_interface(f, body, end); break;
		case BLOCK_STATISTICS: read_statistics(f, body, end); break;
		case BLOCK_PACKET:
		case BLOCK_PACKET_OLD:
			if (read_packet(f, body, end, type == BLOCK_PACKET_OLD, p))
				return 1;
			break;
		case BLOCK_SIMPLE: f->skipped.no_time++; break;
		default: f->skipped.blocks++;
		}
	}
}

static int pcapng_begin(struct capfile *f, struct err *e)
{
	const uint8_t *at = capfile_peek(f, 4);
	uint32_t type;

	if (!at)
		return -EMEDIUMTYPE;
	memcpy(&type, at, 4);
	if (type != BLOCK_SECTION)
		return -EMEDIUMTYPE;
	at = capfile_peek(f, BLOCK_MIN);
	if (!at)
		return err_set(e, EINVAL, "is a pcapng file cut within its header, after %zu bytes",
			       f->len);
	if (!read_section(f, at))
		return err_set(
			e, EINVAL,
			"begins like a pcapng file, but its byte-order mark is %02x %02x %02x "
			"%02x",
			at[8], at[9], at[10], at[11]);
	return 0;
}

static size_t pcapng_whole(struct capfile *f, struct cap_packet *p, size_t max)
{
	size_t n = 0;

	while (n < max && f->len - f->pos >= BLOCK_MIN) {
		const uint8_t *at = f->buf + f->pos;
		uint32_t len = block_length(f, at, BLOCK_PACKET);

		if (cap_32(f, at) != BLOCK_PACKET || !len || len > f->len - f->pos)
			break;
		capfile_take(f, len);
		if (read_packet(f, at + 8, at + len - 4, false, &p[n]))
			f->interfaces[p[n++].interface].packets++;
	}
	return n;
}

const struct cap_format cap_format_pcapng = {"pcapng", pcapng_begin, pcapng_next, pcapng_whole, 4,
					     0};
