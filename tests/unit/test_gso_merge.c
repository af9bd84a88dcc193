// SPDX-License-Identifier: GPL-3.0-or-later
/* test_gso_merge.c - what is merged, what is not, and that nothing overtakes */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gso_frames.h"

#define MAX_FRAMES 512

/* One batch on its way through a merger. */
struct batch {
	struct frame frames[MAX_FRAMES], was[MAX_FRAMES];
	uint32_t flows[MAX_FRAMES];
	uint32_t n;
	const struct gso_merged *groups;
	uint32_t count;
};

static struct batch b;
static struct gso_merge *merger;

static int setup(void **state)
{
	merger = gso_merge_new(MAX_FRAMES, GSO_MERGE_UDP);
	return merger ? 0 : -1;
}

static int teardown(void **state)
{
	gso_merge_free(merger);
	return 0;
}

static struct frame *batch_add(const struct spec *s)
{
	b.frames[b.n] = build(s);
	b.flows[b.n] = s->sport;
	return &b.frames[b.n++];
}

/* Merge, and check what holds of every batch. */
static void batch_merge(const char *what)
{
	const char *wrong;

	for (uint32_t i = 0; i < b.n; i++)
		b.was[i] = frame_copy(&b.frames[i]);
	b.groups = gso_merge_batch(merger, b.frames, b.n, &b.count);
	wrong = batch_wrong(b.was, b.frames, b.flows, b.n, b.groups, b.count);
	if (wrong)
		fail_msg("%s: %s", what, wrong);
}

static void batch_clear(void)
{
	for (uint32_t i = 0; i < b.n; i++) {
		free(b.frames[i].data);
		free(b.was[i].data);
	}
	b.n = 0;
}

static void expect_groups(uint32_t count, const char *what)
{
	batch_merge(what);
	if (b.count != count)
		fail_msg("%s: %u groups, not %u", what, b.count, count);
	batch_clear();
}

/* The next segment of the same flow. */
static struct spec after(struct spec s)
{
	s.at += s.len;
	s.seq += (uint32_t)s.len;
	s.id = (s.id + 1) & 0xffff;
	return s;
}

static void adjacent_segments_become_one_super_frame(void **state)
{
	struct spec s = spec_tcp(4);
	const struct gso_merged *g;

	s.vlans = 1;
	for (int i = 0; i < 3; i++, s = after(s))
		batch_add(&s);
	batch_merge("three segments");
	assert_int_equal(b.count, 1);
	g = b.groups;
	assert_ptr_equal(g->head, &b.frames[0]);
	assert_int_equal(g->frames, 3);
	assert_int_equal(g->iovcnt, 3);
	assert_ptr_equal(g->iov[0].iov_base, b.frames[0].data);
	assert_int_equal(g->iov[0].iov_len, 18 + 52 + 1448);
	assert_ptr_equal(g->iov[1].iov_base, b.frames[1].data + 18 + 52);
	assert_int_equal(g->iov[1].iov_len, 1448);
	assert_int_equal(g->wire_len, 18 + 52 + 1448);
	assert_int_equal(g->len, 18 + 52 + 3 * 1448);
	assert_int_equal(g->vnet.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	assert_int_equal(g->vnet.gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
	assert_int_equal(g->vnet.gso_size, 1448);
	assert_int_equal(g->vnet.hdr_len, 18 + 52);
	assert_int_equal(g->vnet.csum_start, 18 + 20);
	assert_int_equal(g->vnet.csum_offset, 16);
	assert_int_equal(pkt_get16(b.frames[0].data + 18 + 2), 52 + 3 * 1448);
	assert_int_equal(pkt_sum(0, b.frames[0].data + 18, 20), 0xffff);
	batch_clear();
}

static void tcp_over_ipv6_and_udp_are_merged_as_their_types(void **state)
{
	struct spec specs[] = {spec_tcp(6), spec_udp(4), spec_udp(6)};
	static const uint8_t types[] = {VIRTIO_NET_HDR_GSO_TCPV6, VIRTIO_NET_HDR_GSO_UDP_L4,
					VIRTIO_NET_HDR_GSO_UDP_L4};

	for (int i = 0; i < 3; i++) {
		struct spec second = after(specs[i]);

		batch_add(&specs[i]);
		batch_add(&second);
		batch_merge("two frames");
		assert_int_equal(b.count, 1);
		assert_int_equal(b.groups->vnet.gso_type, types[i]);
		batch_clear();
	}
}

static void partial_frames_are_merged_as_well(void **state)
{
	struct spec s = spec_tcp(4), second;

	s.partial = true;
	second = after(s);
	batch_add(&s);
	batch_add(&second);
	expect_groups(1, "partial");
}

static void a_single_partial_frame_stays_partial(void **state)
{
	struct spec s = spec_tcp(4);

	s.partial = true;
	batch_add(&s);
	batch_merge("one partial frame");
	assert_int_equal(b.groups->vnet.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	assert_int_equal(b.groups->vnet.csum_start, 34);
	assert_int_equal(b.groups->vnet.gso_type, VIRTIO_NET_HDR_GSO_NONE);
	batch_clear();
}

/* Two frames that must stay apart, unchanged. */
static void expect_apart(const struct spec *first, const struct spec *second, const char *what)
{
	batch_add(first);
	batch_add(second);
	expect_groups(2, what);
}

/* The second of two adjacent frames differs. */
#define APART(change)                              \
	do {                                       \
		s = after(first);                  \
		change;                            \
		expect_apart(&first, &s, #change); \
	} while (0)

/* Two frames to a batch leave the table one set, where every flow meets every other. */
static void any_difference_in_the_headers_keeps_frames_apart(void **state)
{
	struct gso_merge *all = merger;

	merger = gso_merge_new(2, GSO_MERGE_UDP);
	for (unsigned v = 4; v <= 6; v += 2) {
		struct spec first = spec_tcp(v), s;

		first.vlans = 1;
		APART(s.key = 1);
		APART(s.macs = 1);
		APART(s.macs = 2);
		APART(s.addresses = 1);
		APART(s.addresses = 2);
		APART(s.sport++);
		APART(s.dport++);
		APART(s.proto = PKT_PROTO_UDP);
		APART(s.vlans = 0);
		APART(s.vlans = 2);
		APART(s.tci ^= 1);
		APART(s.tci ^= 0x2000);
		APART(s.tos = 8);
		APART(s.tos = 3);
		APART(s.ttl--);
		APART(s.seq++);
		APART(s.seq--);
		APART(s.seq ^= 0x80000000);
		APART(s.ack++);
		APART(s.window--);
		APART(s.urgent = 1);
		APART(s.options = 16);
		APART(s.salt = 1);
		APART(s.partial = true);
		first = spec_udp(v);
		APART(s.key = 1);
		APART(s.addresses = 1);
		APART(s.addresses = 2);
		APART(s.sport++);
		APART(s.dport++);
	}
	gso_merge_free(merger);
	merger = all;
}

/* Between two adjacent frames; all in one set of the table. */
static void frames_of_other_flows_do_not_keep_frames_apart(void **state)
{
	struct gso_merge *all = merger;
	struct spec first = spec_tcp(4), second = after(first), others[7];

	merger = gso_merge_new(3, GSO_MERGE_UDP);
	for (int i = 0; i < 7; i++)
		others[i] = first;
	others[0].key = 1;
	others[1].macs = 1;
	others[2].addresses = 1;
	others[3].sport++;
	others[4].dport++;
	others[5].proto = PKT_PROTO_UDP;
	others[6].tci ^= 1;
	for (int i = 0; i < 7; i++) {
		first.vlans = second.vlans = others[i].vlans = i == 6;
		batch_add(&first);
		batch_add(&others[i]);
		b.flows[1] = 1;
		batch_add(&second);
		expect_groups(2, "another flow between two frames");
	}
	gso_merge_free(merger);
	merger = all;
}

static void any_difference_in_the_ip_header_keeps_frames_apart(void **state)
{
	struct spec first = spec_tcp(4), s;

	APART(s.version = 6);
	APART(s.frag = 0);
	APART(s.frag |= 0x8000);
	APART(s.frag = 0; s.ttl += 0x4000 / 256); /* of the same sum */
	APART(s.id++);
	APART(s.id--);
	first.version = 6;
	APART(s.label = 1);
	APART(s.label = 0x80000);
}

/* A frame that is never merged: behind a good one, before one, and among its like. */
#define NEVER(change)                                        \
	do {                                                 \
		s = after(good);                             \
		change;                                      \
		expect_apart(&good, &s, "behind: " #change); \
		s = good;                                    \
		change;                                      \
		next = after(s);                             \
		expect_apart(&s, &next, "both: " #change);   \
		next = after(good);                          \
		next.seq = s.seq + (uint32_t)s.len;          \
		expect_apart(&s, &next, "before: " #change); \
	} while (0)

static void segments_that_are_events_are_never_merged(void **state)
{
	for (unsigned v = 4; v <= 6; v += 2) {
		struct spec good = spec_tcp(v), s, next;

		NEVER(s.flags = 0);
		NEVER(s.flags = PKT_PSH);
		NEVER(s.flags |= PKT_FIN);
		NEVER(s.flags |= PKT_SYN);
		NEVER(s.flags |= PKT_RST);
		NEVER(s.flags |= PKT_URG);
		NEVER(s.flags |= PKT_ECE);
		NEVER(s.flags |= PKT_CWR);
		NEVER(s.reserved = 1);
		NEVER(s.reserved = 8);
		NEVER(s.len = 0);
		NEVER(s.ip_extra = 8);
	}
}

static void fragments_are_never_merged(void **state)
{
	for (unsigned v = 4; v <= 6; v += 2) {
		struct spec good = spec_tcp(v), s, next;

		NEVER(s.frag = 0x2000);
		NEVER(s.frag = 0x2001);
		NEVER(s.frag = 0x0001);
		good = spec_udp(v);
		NEVER(s.frag = 0x2000);
		NEVER(s.frag = 0x2001);
	}
}

static void a_frame_with_ethernet_padding_is_never_merged(void **state)
{
	for (int i = 0; i < 2; i++) {
		struct spec s = spec_tcp(4), second;
		struct frame *f, short_one;

		s.options = 0;
		s.len = 4;
		second = after(s);
		batch_add(&s);
		batch_add(&second);
		f = &b.frames[i];
		short_one = *f;
		*f = (struct frame){.data = calloc(1, FRAME_MIN), .len = FRAME_MIN};
		memcpy(f->data, short_one.data, short_one.len);
		free(short_one.data);
		expect_groups(2, "padded to 60 bytes");
	}
}

/* Octets of an untagged IPv4 frame: IP checksum, TCP checksum, payload. */
static void damage_is_neither_merged_nor_repaired(void **state)
{
	static const unsigned octets[] = {24, 25, 50, 51, 66, 1513};

	for (size_t i = 0; i < sizeof(octets) / sizeof(*octets); i++)
		for (uint32_t which = 0; which < 3; which++) {
			struct spec s = spec_tcp(4);
			char name[32];

			for (int k = 0; k < 3; k++, s = after(s))
				batch_add(&s);
			b.frames[which].data[octets[i]] ^= 1;
			snprintf(name, sizeof(name), "frame %u octet %u", which, octets[i]);
			/* The two good ones are adjacent unless the damaged one is between. */
			expect_groups(which == 1 ? 3 : 2, name);
		}
}

/* Ones complement has two zeros. A split writes 0xffff, so only that comes back the same. */
static void a_checksum_in_a_form_that_a_split_does_not_write_is_not_merged(void **state)
{
	struct spec first = spec_tcp(4), second;
	bool zero = false;

	first.len = 100;
	second = after(first);
	for (second.at = 0; !zero; second.at++) {
		struct frame f = build(&second);

		zero = pkt_get16(f.data + 14 + 20 + 16) == 0xffff;
		free(f.data);
	}
	second.at--;
	batch_add(&first);
	batch_add(&second);
	expect_groups(1, "0xffff");
	batch_add(&first);
	pkt_put16(batch_add(&second)->data + 14 + 20 + 16, 0);
	expect_groups(2, "0x0000");
}

/* ...and for IPv4 headers it writes 0x0000. */
static void an_ip_checksum_in_the_other_form_is_not_merged(void **state)
{
	struct spec first = spec_tcp(4), second;
	struct frame f = build(&first);

	/* The second's identification is larger by the first's checksum, and so the sum complete.
	 */
	first.id = (first.id + pkt_get16(f.data + 14 + 10)) % 0xffff - 1;
	free(f.data);
	second = after(first);
	f = build(&second);
	assert_int_equal(pkt_get16(f.data + 14 + 10), 0);
	free(f.data);
	batch_add(&first);
	batch_add(&second);
	expect_groups(1, "0x0000");
	batch_add(&first);
	pkt_put16(batch_add(&second)->data + 14 + 10, 0xffff);
	expect_groups(2, "0xffff");
}

static void partial_checksums_that_are_not_what_they_should_be_are_not_merged(void **state)
{
	for (int i = 0; i < 3; i++) {
		struct spec s = spec_tcp(4), second;
		struct frame *f;

		s.partial = true;
		second = after(s);
		batch_add(&s);
		f = batch_add(&second);
		if (i == 0)
			f->data[14 + 20 + 17]++;
		else if (i == 1)
			f->vnet.csum_start -= 2;
		else
			f->vnet.csum_offset = 6;
		expect_groups(2, "sum, csum_start, csum_offset");
	}
}

static void psh_ends_a_group_and_is_on_the_super_frame(void **state)
{
	struct spec s = spec_tcp(4);

	for (int i = 0; i < 5; i++, s = after(s)) {
		s.flags = i == 2 ? PKT_ACK | PKT_PSH : PKT_ACK;
		batch_add(&s);
	}
	batch_merge("PSH on the third of five");
	assert_int_equal(b.count, 2);
	assert_int_equal(b.groups[0].frames, 3);
	assert_int_equal(b.groups[1].frames, 2);
	assert_int_equal(b.frames[0].data[14 + 20 + 13], PKT_ACK | PKT_PSH);
	assert_int_equal(b.frames[3].data[14 + 20 + 13], PKT_ACK);
	batch_clear();
}

static void psh_on_the_head_leaves_it_alone(void **state)
{
	struct spec s = spec_tcp(4), second;

	second = after(s);
	s.flags |= PKT_PSH;
	expect_apart(&s, &second, "PSH on the head");
}

static void only_the_last_may_be_shorter_and_none_longer(void **state)
{
	static const unsigned lens[] = {1000, 1000, 999, 1000, 1001, 1001, 1, 1};
	static const unsigned groups[] = {3, 1, 3, 1};
	static const unsigned protos[] = {PKT_PROTO_TCP, PKT_PROTO_UDP};

	for (int p = 0; p < 2; p++) {
		struct spec s = p ? spec_udp(4) : spec_tcp(4);

		assert_int_equal(s.proto, protos[p]);
		for (size_t i = 0; i < sizeof(lens) / sizeof(*lens); i++, s = after(s)) {
			s.len = lens[i];
			batch_add(&s);
		}
		batch_merge("lengths");
		assert_int_equal(b.count, 4);
		for (int i = 0; i < 4; i++)
			assert_int_equal(b.groups[i].frames, groups[i]);
		batch_clear();
	}
}

static void a_super_frame_may_have_65535_bytes_and_not_one_more(void **state)
{
	for (unsigned v = 4; v <= 6; v += 2)
		for (unsigned over = 0; over < 2; over++) {
			struct spec s = spec_tcp(v);
			size_t left = 65535 - (v == 4 ? 20 : 40) - 32 + over;

			s.vlans = 2;
			for (; left > 0; s = after(s)) {
				s.len = left < 1448 ? left : 1448;
				left -= s.len;
				batch_add(&s);
			}
			batch_merge("65535 bytes");
			assert_int_equal(b.count, 1 + over);
			if (!over)
				assert_int_equal(b.groups->len, FRAME_MAX);
			batch_clear();
		}
}

static void a_tcp_group_has_at_most_256_frames_and_a_udp_group_64(void **state)
{
	for (int udp = 0; udp < 2; udp++) {
		struct spec s = udp ? spec_udp(4) : spec_tcp(4);
		uint32_t limit = udp ? 64 : 256;

		s.len = 10;
		for (uint32_t i = 0; i < limit + 5; i++, s = after(s))
			batch_add(&s);
		batch_merge("small frames");
		assert_int_equal(b.count, 2);
		assert_int_equal(b.groups[0].iovcnt, limit);
		assert_int_equal(b.groups[1].iovcnt, 5);
		batch_clear();
	}
}

static void counters_may_wrap(void **state)
{
	struct spec s = spec_tcp(4);

	s.id = 65534;
	s.seq = 0xffffff00;
	for (int i = 0; i < 4; i++, s = after(s))
		batch_add(&s);
	expect_groups(1, "identification and sequence number past zero");
}

static void udp_is_merged_only_when_asked_for(void **state)
{
	struct gso_merge *all = merger;
	struct spec s = spec_udp(4), second = after(s);

	merger = gso_merge_new(2, 0);
	expect_apart(&s, &second, "UDP without GSO_MERGE_UDP");
	s = spec_tcp(4);
	second = after(s);
	batch_add(&s);
	batch_add(&second);
	expect_groups(1, "TCP without GSO_MERGE_UDP");
	gso_merge_free(merger);
	merger = all;
}

static void udp_without_a_checksum_or_of_another_length_is_not_merged(void **state)
{
	for (int i = 0; i < 3; i++) {
		struct spec s = spec_udp(4), second;
		struct frame *f;

		s.partial = i == 1; /* so that the length alone is wrong */
		second = after(s);
		batch_add(&s);
		f = batch_add(&second);
		if (i == 0)
			pkt_put16(f->data + 14 + 20 + 6, 0);
		else if (i == 1)
			f->data[14 + 20 + 5]--;
		else
			f->data[14 + 20 + 8]++;
		expect_groups(2, "UDP checksum 0, length, damage");
	}
}

/* Frames of other kinds between two adjacent segments, all of one flow. */
static void nothing_overtakes_a_frame_of_its_flow_that_cannot_be_merged(void **state)
{
	for (int i = 0; i < 7; i++) {
		struct spec s = spec_tcp(4), last = after(s), odd = s;

		switch (i) {
		case 0: odd.len = 0; break; /* a pure ACK */
		case 1: odd.flags |= PKT_SYN; break;
		case 2: odd.flags |= PKT_FIN; break;
		case 3: odd.flags = PKT_RST; break;
		case 4: odd.ip_extra = 8; break;
		case 5: odd.frag = 0x2000; break;
		case 6: odd.size = 500; break; /* a super-frame */
		}
		batch_add(&s);
		batch_add(&odd);
		batch_add(&last);
		expect_groups(3, "an odd frame between two adjacent ones");
	}
}

static void a_later_fragment_stops_its_protocol_alone(void **state)
{
	for (int udp = 0; udp < 2; udp++) {
		struct spec s = spec_tcp(4), last = after(s), piece = udp ? spec_udp(4) : s;

		piece.sport = 1;
		piece.frag = 0x20;
		batch_add(&s);
		batch_add(&piece);
		batch_add(&last);
		expect_groups(udp ? 2 : 3, "a fragment between two adjacent segments");
	}
}

/* Whose it is cannot be told; that it is TCP can. */
static void nothing_overtakes_a_frame_with_an_impossible_header(void **state)
{
	struct spec s = spec_tcp(4), last = after(s);
	struct frame *f;

	batch_add(&s);
	f = batch_add(&s);
	f->data[14 + 20 + 12] = 0x40;
	batch_add(&last);
	expect_groups(3, "data offset below 5");
}

static void a_retransmission_does_not_overtake(void **state)
{
	struct spec s[4];

	s[0] = spec_tcp(4);
	for (int i = 1; i < 4; i++)
		s[i] = after(s[i - 1]);
	batch_add(&s[1]);
	batch_add(&s[0]);
	batch_add(&s[2]);
	batch_add(&s[3]);
	expect_groups(3, "1 0 2 3");
}

static void super_frames_pass_untouched_and_are_counted(void **state)
{
	struct spec s = spec_tcp(4);

	s.len = 4000;
	s.size = 1448;
	s.partial = true;
	batch_add(&s);
	s.seq += 4000;
	batch_add(&s);
	batch_merge("super-frames");
	assert_int_equal(b.count, 2);
	assert_int_equal(b.groups[1].iovcnt, 1);
	assert_int_equal(b.groups[1].frames, 3);
	assert_int_equal(b.groups[1].wire_len, 14 + 52 + 1448);
	assert_int_equal(b.groups[1].len, 14 + 52 + 4000);
	batch_clear();
}

static void what_is_not_tcp_or_udp_passes_in_its_place(void **state)
{
	struct spec s = spec_tcp(4), last = after(s);
	uint8_t arp[FRAME_MIN] = {[12] = 8, [13] = 6};

	batch_add(&s);
	b.frames[b.n] = frame_of_bytes(arp, sizeof(arp));
	b.flows[b.n++] = 1;
	b.frames[b.n] = frame_of_bytes(arp, 5);
	b.flows[b.n++] = 2;
	batch_add(&last);
	batch_merge("ARP and a runt");
	assert_ptr_equal(b.groups[0].head, &b.frames[0]);
	assert_ptr_equal(b.groups[1].head, &b.frames[1]);
	assert_ptr_equal(b.groups[2].head, &b.frames[2]);
	batch_clear();
}

static void groups_come_in_the_order_of_their_heads(void **state)
{
	struct spec s[3];

	for (unsigned i = 0; i < 3; i++) {
		s[i] = spec_tcp(4);
		s[i].sport = 50000 + i;
	}
	for (int round = 0; round < 4; round++)
		for (int i = 0; i < 3; i++, s[i % 3] = after(s[i % 3])) {
			struct spec now = s[i];

			batch_add(&now);
		}
	batch_merge("three flows");
	assert_ptr_equal(b.groups[0].head, &b.frames[0]);
	assert_ptr_equal(b.groups[1].head, &b.frames[1]);
	assert_ptr_equal(b.groups[2].head, &b.frames[2]);
	batch_clear();
}

static void nothing_of_one_batch_is_in_the_next(void **state)
{
	struct spec s = spec_tcp(4);

	for (int i = 0; i < 3; i++, s = after(s)) {
		batch_add(&s);
		expect_groups(1, "one frame a batch");
	}
	expect_groups(0, "no frame");
}

/* The next frame of a flow, mostly one that continues it. */
static struct spec stray(struct spec s, uint64_t *seed)
{
	switch (pick(seed, 0, 24)) {
	case 0: s.len = 0; break;
	case 1: s.flags |= PKT_PSH; break;
	case 2: s.flags |= PKT_FIN; break;
	case 3: s.flags |= PKT_SYN; break;
	case 4: s.len = pick(seed, 1, 200); break;
	case 5: s.frag = 0x2000; break;
	case 6: s.frag = 0x2010; break;
	case 7: s.ip_extra = 8; break;
	case 8: s.seq -= 100; break;
	case 9: s.tos ^= 3; break;
	case 10: s.id += 7; break;
	case 11: s.partial = !s.partial; break;
	}
	return s;
}

static void batch_add_random(struct spec *flows, unsigned n, uint64_t *seed)
{
	struct spec *s = &flows[pick(seed, 0, n - 1)], now = stray(*s, seed);
	struct frame *f = batch_add(&now);

	/* Not in the addresses or ports: that would make it another flow's. */
	if (pick(seed, 0, 30) == 0)
		f->data[f->len - 1 - pick(seed, 0, 3)]++;
	*s = after(now);
	s->flags = PKT_ACK;
	s->frag = 0x4000;
	s->ip_extra = 0;
	s->len = 100 + s->sport % 7;
}

static void random_mixes_of_flows_stay_in_order_and_split_into_what_came_in(void **state)
{
	static struct spec flows[300];
	uint64_t seed = 4;
	uint32_t merged = 0;

	for (int n = 0; n < 600; n++) {
		unsigned count = n % 10 ? pick(&seed, 1, 6) : pick(&seed, 1, 300);

		for (unsigned i = 0; i < count; i++) {
			flows[i] = pick(&seed, 0, 3) ? spec_tcp(4 + 2 * (i & 1))
						     : spec_udp(4 + 2 * (i & 1));
			flows[i].sport = 1000 + i;
			flows[i].len = 100 + i % 7;
			flows[i].vlans = i % 3;
			flows[i].partial = pick(&seed, 0, 1);
		}
		for (unsigned i = pick(&seed, 1, MAX_FRAMES); i > 0; i--)
			batch_add_random(flows, count, &seed);
		batch_merge("random mix");
		merged += b.n - b.count;
		batch_clear();
	}
	assert_true(merged > 10000);
}

static void more_flows_than_the_table_holds_stay_in_order(void **state)
{
	struct spec s[MAX_FRAMES / 2];

	for (unsigned i = 0; i < MAX_FRAMES / 2; i++) {
		s[i] = spec_tcp(4);
		s[i].len = 10;
		s[i].sport = i;
		batch_add(&s[i]);
	}
	for (unsigned i = 0; i < MAX_FRAMES / 2; i++) {
		s[i] = after(s[i]);
		batch_add(&s[i]);
	}
	batch_merge("as many flows as frames");
	/* Evictions cost merges; few flows share a set of the table. */
	assert_in_range(b.count, MAX_FRAMES / 2, MAX_FRAMES / 2 + MAX_FRAMES / 16);
	batch_clear();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(adjacent_segments_become_one_super_frame),
		cmocka_unit_test(tcp_over_ipv6_and_udp_are_merged_as_their_types),
		cmocka_unit_test(partial_frames_are_merged_as_well),
		cmocka_unit_test(a_single_partial_frame_stays_partial),
		cmocka_unit_test(any_difference_in_the_headers_keeps_frames_apart),
		cmocka_unit_test(frames_of_other_flows_do_not_keep_frames_apart),
		cmocka_unit_test(any_difference_in_the_ip_header_keeps_frames_apart),
		cmocka_unit_test(segments_that_are_events_are_never_merged),
		cmocka_unit_test(fragments_are_never_merged),
		cmocka_unit_test(a_frame_with_ethernet_padding_is_never_merged),
		cmocka_unit_test(damage_is_neither_merged_nor_repaired),
		cmocka_unit_test(a_checksum_in_a_form_that_a_split_does_not_write_is_not_merged),
		cmocka_unit_test(an_ip_checksum_in_the_other_form_is_not_merged),
		cmocka_unit_test(partial_checksums_that_are_not_what_they_should_be_are_not_merged),
		cmocka_unit_test(psh_ends_a_group_and_is_on_the_super_frame),
		cmocka_unit_test(psh_on_the_head_leaves_it_alone),
		cmocka_unit_test(only_the_last_may_be_shorter_and_none_longer),
		cmocka_unit_test(a_super_frame_may_have_65535_bytes_and_not_one_more),
		cmocka_unit_test(a_tcp_group_has_at_most_256_frames_and_a_udp_group_64),
		cmocka_unit_test(counters_may_wrap),
		cmocka_unit_test(udp_is_merged_only_when_asked_for),
		cmocka_unit_test(udp_without_a_checksum_or_of_another_length_is_not_merged),
		cmocka_unit_test(nothing_overtakes_a_frame_of_its_flow_that_cannot_be_merged),
		cmocka_unit_test(a_later_fragment_stops_its_protocol_alone),
		cmocka_unit_test(nothing_overtakes_a_frame_with_an_impossible_header),
		cmocka_unit_test(a_retransmission_does_not_overtake),
		cmocka_unit_test(super_frames_pass_untouched_and_are_counted),
		cmocka_unit_test(what_is_not_tcp_or_udp_passes_in_its_place),
		cmocka_unit_test(groups_come_in_the_order_of_their_heads),
		cmocka_unit_test(nothing_of_one_batch_is_in_the_next),
		cmocka_unit_test(random_mixes_of_flows_stay_in_order_and_split_into_what_came_in),
		cmocka_unit_test(more_flows_than_the_table_holds_stay_in_order),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
