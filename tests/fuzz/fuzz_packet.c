// SPDX-License-Identifier: GPL-3.0-or-later
/* fuzz_packet.c - whatever the bytes, no layer lies beyond the frame and no sum is wrong */
#include "lib/cksum.h"
#include "lib/packet.h"
#include "lib/tcpopt.h"
#include "tests/fuzz/must.h"
#include "tests/unit/packets.h"

static void check_layers(const struct packet *p, enum packet_error err, size_t size)
{
	must(packet_error_name(err) != NULL);
	must(p->vlans <= 2 && p->vid <= 4095);
	must(p->l3 <= size && p->l3_end <= size);
	must(p->l4 <= p->l3_end && p->payload <= p->l3_end);
	must(p->ip_version == 0 || p->ip_version == 4 || p->ip_version == 6);
	must(!p->first_fragment || p->fragment);
	must(!p->l4 || (p->l4 > p->l3 && p->l4 < p->l3_end));
	must(!p->payload || (err == PACKET_OK && p->payload >= p->l4 + 8));
	must(!p->fragment || p->first_fragment || p->l4 == 0);
	if (!err)
		must(p->l3 >= ETH_HDR_LEN && p->l3 == ETH_HDR_LEN + p->vlans * VLAN_TAG_LEN);
}

/* What follows the IP packet must not matter to what is found in it. */
static void check_padding(const uint8_t *data, const struct packet *p, enum packet_error err)
{
	struct packet bare;

	if (!p->ip_version || err)
		return;
	must(packet_parse(data, p->l3_end, &bare) == PACKET_OK);
	must(memcmp(&bare, p, sizeof(bare)) == 0);
	must(packet_parse(data, p->l3_end - 1u, &bare) == PACKET_L3_CUT);
}

static void check_options(const uint8_t *tcp, size_t len)
{
	struct tcpopt_iter it;
	struct tcpopt opt;
	size_t behind = TCP_HDR_MIN;

	if (!tcpopt_begin(&it, tcp, len)) {
		must(it.malformed && !tcpopt_next(&it, &opt));
		return;
	}
	while (tcpopt_next(&it, &opt)) {
		must(opt.kind > TCPOPT_KIND_NOP && opt.len >= 2 && opt.offset >= behind);
		must(opt.data == tcp + opt.offset + 2);
		behind = (size_t)opt.offset + opt.len;
		must(behind <= len && behind <= TCP_HDR_MIN + TCPOPT_MAX);
	}
	must(!tcpopt_next(&it, &opt));
}

/* The first bytes are also a programme of reads, each checked against the bytes themselves. */
static void check_cursor(const uint8_t *data, size_t size)
{
	struct cursor c = cursor_of(data, size);

	for (size_t i = 0; i < size && i < 64; i++) {
		size_t was = c.pos, left = size - was, want = data[i] >> 2;
		const uint8_t *at;
		uint32_t v32;
		uint16_t v16;
		uint8_t v8;

		switch (data[i] & 3) {
		case 0:
			want = 1;
			must(cursor_u8(&c, &v8) == (left >= want));
			must(left < want || v8 == data[was]);
			break;
		case 1:
			want = 2;
			must(cursor_be16(&c, &v16) == (left >= want));
			must(left < want || v16 == pkt_get16(data + was));
			break;
		case 2:
			want = 4;
			must(cursor_be32(&c, &v32) == (left >= want));
			must(left < want || v32 >> 16 == pkt_get16(data + was));
			break;
		default: at = cursor_take(&c, want); must(left >= want ? at == data + was : !at);
		}
		must(c.pos == (left >= want ? was + want : was));
	}
}

static void check_sums(const uint8_t *data, size_t size, const struct packet *p)
{
	size_t half = size / 2 & ~(size_t)1;
	uint32_t sum = cksum_add(0, data, half);
	uint32_t naive = pkt_sum(0, data, size);

	must(cksum_fold(cksum_add(sum, data + half, size - half)) == 0xffff - naive);
	if (p->ip_version == 4)
		must(cksum_pseudo(data, p, 0) % 0xffff ==
		     pkt_sum(p->proto, data + p->l3 + 12, 8) % 0xffff);
	if (p->ip_version == 6)
		must(cksum_pseudo(data, p, 0) % 0xffff ==
		     pkt_sum(p->proto, data + p->l3 + 8, 32) % 0xffff);
}

/* Any offsets at all: refused, or the sum from csum_start on becomes right. */
static void check_complete(const uint8_t *data, size_t size)
{
	struct frame f = {.len = (uint32_t)size};
	size_t start, field;

	if (size < 4)
		return;
	f.data = malloc(size);
	must(f.data);
	memcpy(f.data, data, size);
	f.vnet.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	f.vnet.csum_start = start = data[0] * 2u;
	f.vnet.csum_offset = data[1] & 0xfe;
	field = start + f.vnet.csum_offset;
	if (!cksum_complete(&f)) {
		must(field + 2 > size);
		must(memcmp(f.data, data, size) == 0);
	} else {
		/* The result is the complement of the sum that included what stood there. */
		unsigned check = 0xffff - pkt_sum(0, data + start, size - start);

		must(field + 2 <= size && !(f.vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM));
		must(pkt_get16(f.data + field) == (check ? check : 0xffff));
		must(memcmp(f.data, data, field) == 0);
		must(memcmp(f.data + field + 2, data + field + 2, size - field - 2) == 0);
	}
	free(f.data);
}

/* The one look at a plain frame comes to what the layers do, read one after the other. */
static void check_plain(const uint8_t *data, size_t size, const struct packet *p)
{
	struct packet slow;
	uint32_t end = 0;
	unsigned l4 = packet_plain_tcp(data, size, size, &end);

	if (!l4)
		return;
	must(packet_parse_captured(data, size, size, ETH_HDR_LEN, load_be16(data + 12), &slow) ==
	     PACKET_OK);
	must(!memcmp(&slow, p, sizeof(slow)));
	must(p->l4 == l4 && p->l3_end == end && p->proto == PKT_PROTO_TCP && p->payload);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum packet_error err;
	struct packet p;

	err = packet_parse(data, size, &p);
	check_layers(&p, err, size);
	check_plain(data, size, &p);
	check_padding(data, &p, err);
	if (p.l4 && p.proto == PKT_PROTO_TCP)
		check_options(data + p.l4, p.l3_end - p.l4);
	check_options(data, size);
	check_cursor(data, size);
	check_sums(data, size, &p);
	check_complete(data, size);
	return 0;
}
