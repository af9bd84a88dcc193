// SPDX-License-Identifier: GPL-3.0-or-later
/* test_gso.c - splitting, and that merging undoes it */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gso_frames.h"

#define MAX_FRAMES 4096

static const unsigned versions[] = {4, 6};

/* Split a frame and compare each segment with what was built for it from the spec. */
static void expect_split(const struct spec *super, unsigned flags, const char *what, int n)
{
	struct frame f = build(super), was = frame_copy(&f);
	uint8_t *hdr = malloc(GSO_HDR_MAX);
	struct gso_segment seg;
	struct gso_split s;
	uint32_t i = 0, longest = 0;

	if (gso_split_begin(&s, &f, flags) != GSO_OK)
		fail_msg("%s %d: cannot be split", what, n);
	assert_int_equal(s.count, segments_of(super));
	assert_int_equal(s.partial, (flags & GSO_KEEP_PARTIAL) != 0);
	for (; gso_split_next(&s, hdr, &seg); i++) {
		struct spec wire = segment_spec(super, i);
		struct frame want, got = segment_frame(hdr, &seg, s.partial, super->proto);

		wire.partial = s.partial;
		want = build(&wire);
		if (!same_frame(&want, &got))
			fail_msg("%s %d: segment %u of %u is wrong", what, n, i, s.count);
		if (got.len > longest)
			longest = got.len;
		free(want.data);
		free(got.data);
	}
	assert_int_equal(i, s.count);
	assert_int_equal(longest, s.wire_len);
	assert_false(gso_split_next(&s, hdr, &seg));
	if (!same_frame(&f, &was))
		fail_msg("%s %d: splitting changed the super-frame", what, n);
	free(hdr);
	free(was.data);
	free(f.data);
}

/* Both ways of checksums in, both out. */
static void expect_splits(struct spec s, const char *what)
{
	for (int i = 0; i < 4; i++) {
		s.partial = i & 1;
		expect_split(&s, i & 2 ? GSO_KEEP_PARTIAL : 0, what, i);
	}
}

static void tcp_is_cut_into_the_segments_its_sender_meant(void **state)
{
	for (int v = 0; v < 2; v++) {
		struct spec s = super_of(spec_tcp(versions[v]), 10 * 1448 + 17, 1448);

		for (s.vlans = 0; s.vlans <= 2; s.vlans++)
			expect_splits(s, "tags");
	}
}

static void fin_and_psh_are_on_the_last_segment_alone_and_cwr_on_the_first(void **state)
{
	for (int v = 0; v < 2; v++) {
		struct spec s = super_of(spec_tcp(versions[v]), 5000, 1000);

		s.flags = PKT_ACK | PKT_FIN | PKT_PSH | PKT_CWR | PKT_ECE;
		s.tos = 2;
		expect_splits(s, "without the ECN bit");
		s.ecn = true;
		expect_splits(s, "with the ECN bit");
	}
}

static void ipv4_identification_counts_up_across_65535(void **state)
{
	struct spec s = super_of(spec_tcp(4), 5000, 1000);

	s.id = 65533;
	expect_splits(s, "identification");
}

static void sequence_numbers_count_up_across_zero(void **state)
{
	struct spec s = super_of(spec_tcp(4), 5000, 1000);

	s.seq = 0xfffff000;
	expect_splits(s, "sequence");
}

static void udp_datagrams_get_lengths_and_checksums_of_their_own(void **state)
{
	for (int v = 0; v < 2; v++) {
		expect_splits(super_of(spec_udp(versions[v]), 9000, 1400), "udp");
		expect_splits(super_of(spec_udp(versions[v]), 9000, 1), "udp of one byte");
	}
}

static void ip_options_and_extension_headers_are_on_every_segment(void **state)
{
	struct spec s = super_of(spec_tcp(4), 5000, 1000);

	s.ip_extra = 40;
	s.options = 40;
	expect_splits(s, "IPv4 options");
	s.version = 6;
	expect_splits(s, "destination options");
}

static void a_super_frame_may_be_a_single_segment(void **state)
{
	for (int v = 0; v < 2; v++) {
		expect_splits(super_of(spec_tcp(versions[v]), 100, 1448), "shorter than gso_size");
		expect_splits(super_of(spec_tcp(versions[v]), 1448, 1448), "as long as gso_size");
		expect_splits(super_of(spec_tcp(versions[v]), 0, 1448), "empty");
	}
}

static void a_super_frame_may_be_a_65535_byte_packet(void **state)
{
	expect_splits(super_of(spec_tcp(4), 65535 - 20 - 32, 1448), "IPv4");
	expect_splits(super_of(spec_tcp(6), 65535 - 32, 1448), "IPv6");
	expect_splits(super_of(spec_tcp(4), 65535 - 20 - 32, 65535), "as one segment");
}

static void padding_behind_the_ip_packet_is_not_payload(void **state)
{
	struct spec s = super_of(spec_tcp(4), 2000, 1448);
	struct frame f = build(&s), padded;
	struct gso_split split;
	struct gso_segment seg;
	uint8_t hdr[GSO_HDR_MAX];

	padded = (struct frame){.data = calloc(1, f.len + 8), .len = f.len + 8, .vnet = f.vnet};
	memcpy(padded.data, f.data, f.len);
	assert_int_equal(gso_split_begin(&split, &padded, 0), GSO_OK);
	assert_int_equal(split.count, 2);
	assert_true(gso_split_next(&split, hdr, &seg));
	assert_int_equal(seg.payload_len, 1448);
	assert_true(gso_split_next(&split, hdr, &seg));
	assert_int_equal(seg.payload_len, 2000 - 1448);
	free(padded.data);
	free(f.data);
}

static void several_splits_of_one_frame_do_not_disturb_each_other(void **state)
{
	struct spec s = super_of(spec_tcp(4), 5000, 1000);
	struct frame f = build(&s);
	struct gso_split a, b;
	struct gso_segment sa, sb;
	uint8_t ha[GSO_HDR_MAX], hb[GSO_HDR_MAX];

	assert_int_equal(gso_split_begin(&a, &f, 0), GSO_OK);
	assert_true(gso_split_next(&a, ha, &sa));
	assert_int_equal(gso_split_begin(&b, &f, 0), GSO_OK);
	assert_true(gso_split_next(&a, ha, &sa));
	assert_true(gso_split_next(&b, hb, &sb));
	assert_true(gso_split_next(&b, hb, &sb));
	assert_int_equal(sa.hdr_len, sb.hdr_len);
	assert_memory_equal(ha, hb, sa.hdr_len);
	assert_ptr_equal(sa.payload, sb.payload);
	free(f.data);
}

/* RFC 8200 section 8.1: the checksum is over the address the packet will end at. */
static void the_partial_checksum_knows_the_destination_behind_a_routing_header(void **state)
{
	struct spec s = super_of(spec_tcp(6), 3000, 1000);
	struct frame f;
	struct gso_split split;
	struct gso_segment seg;
	uint8_t hdr[GSO_HDR_MAX], *ip;
	unsigned n = 0;

	s.ip_extra = 24;
	s.partial = true;
	f = build(&s);
	ip = f.data + 14;
	/* Type 2, one segment left: the final address fd00::2 moves in, fd00::99 stands outside. */
	ip[6] = 43;
	memcpy(ip + 40, (uint8_t[]){6, 2, 2, 1, 0, 0, 0, 0}, 8);
	memcpy(ip + 48, ip + 24, 16);
	ip[39] = 0x99;

	assert_int_equal(gso_split_begin(&split, &f, 0), GSO_OK);
	while (gso_split_next(&split, hdr, &seg)) {
		static struct pkt k;

		k = (struct pkt){.version = 6, .proto = 6, .l3 = 14, .l4 = 14 + 64};
		pkt_push(&k, hdr, seg.hdr_len);
		pkt_push(&k, seg.payload, seg.payload_len);
		k.data[14 + 39] = 2;
		assert_true(pkt_check_ok(&k));
		n++;
	}
	assert_int_equal(n, 3);
	free(f.data);
}

static void a_complete_wire_frame_passes_whole(void **state)
{
	struct spec s = spec_tcp(4);

	for (unsigned flags = 0; flags <= GSO_KEEP_PARTIAL; flags++) {
		struct frame f = build(&s);
		struct gso_split split;
		struct gso_segment seg;
		uint8_t hdr[1];

		assert_int_equal(gso_split_begin(&split, &f, flags), GSO_OK);
		assert_int_equal(split.count, 1);
		assert_int_equal(split.wire_len, f.len);
		assert_false(split.partial);
		assert_true(gso_split_next(&split, hdr, &seg));
		assert_int_equal(seg.hdr_len, 0);
		assert_ptr_equal(seg.payload, f.data);
		assert_int_equal(seg.payload_len, f.len);
		assert_false(gso_split_next(&split, hdr, &seg));
		free(f.data);
	}
}

static void a_partial_wire_frame_is_completed_in_a_copy(void **state)
{
	for (int i = 0; i < 4; i++) {
		struct spec s = i & 1 ? spec_udp(versions[i / 2]) : spec_tcp(versions[i / 2]);
		struct frame f, was, got, want;
		struct gso_split split;
		struct gso_segment seg;
		uint8_t hdr[GSO_HDR_MAX];

		s.vlans = 2;
		want = build(&s);
		s.partial = true;
		f = build(&s);
		was = frame_copy(&f);
		assert_int_equal(gso_split_begin(&split, &f, 0), GSO_OK);
		assert_int_equal(split.count, 1);
		assert_int_equal(split.wire_len, f.len);
		assert_false(split.partial);
		assert_true(gso_split_next(&split, hdr, &seg));
		assert_int_equal(seg.hdr_len, f.vnet.csum_start + f.vnet.csum_offset + 2);
		got = segment_frame(hdr, &seg, false, s.proto);
		assert_true(same_frame(&got, &want));
		assert_true(same_frame(&f, &was));
		assert_false(gso_split_next(&split, hdr, &seg));
		free(f.data);
		free(was.data);
		free(got.data);
		free(want.data);
	}
}

static void a_partial_wire_frame_passes_whole_where_that_can_be_told_to_the_far_side(void **state)
{
	struct spec s = spec_tcp(6);
	struct frame f;
	struct gso_split split;
	struct gso_segment seg;
	uint8_t hdr[1];

	s.partial = true;
	f = build(&s);
	assert_int_equal(gso_split_begin(&split, &f, GSO_KEEP_PARTIAL), GSO_OK);
	assert_true(split.partial);
	assert_true(gso_split_next(&split, hdr, &seg));
	assert_int_equal(seg.hdr_len, 0);
	assert_ptr_equal(seg.payload, f.data);
	free(f.data);
}

/* The checksum of what is inside VXLAN is not where the far side would look for it. */
static void an_inner_partial_checksum_is_completed_even_when_others_are_kept(void **state)
{
	struct spec s = spec_udp(4);
	struct frame f;
	struct gso_split split;
	struct gso_segment seg;
	uint8_t hdr[GSO_HDR_MAX];
	unsigned sum;

	f = build(&s);
	f.vnet.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	f.vnet.csum_start = 14 + 20 + 8 + 8 + 14 + 20;
	f.vnet.csum_offset = 16;
	sum = pkt_sum(0, f.data + f.vnet.csum_start, f.len - f.vnet.csum_start);
	assert_int_equal(gso_split_begin(&split, &f, GSO_KEEP_PARTIAL), GSO_OK);
	assert_false(split.partial);
	assert_true(gso_split_next(&split, hdr, &seg));
	assert_int_equal(seg.hdr_len, 14 + 20 + 8 + 8 + 14 + 20 + 18);
	assert_int_equal(pkt_get16(hdr + seg.hdr_len - 2), 0xffff - sum);
	assert_memory_equal(hdr, f.data, seg.hdr_len - 2);
	free(f.data);
}

/* Its checksum is a CRC, which an Internet checksum must not overwrite. */
static void sctp_with_a_partial_checksum_is_unsupported(void **state)
{
	struct spec s = spec_udp(4);
	struct frame f = build(&s);
	struct gso_split split;

	f.data[14 + 9] = 132;
	f.vnet.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	f.vnet.csum_start = 34;
	f.vnet.csum_offset = 8;
	assert_int_equal(gso_split_begin(&split, &f, 0), GSO_UNSUPPORTED);
	assert_int_equal(gso_split_begin(&split, &f, GSO_KEEP_PARTIAL), GSO_UNSUPPORTED);
	free(f.data);
}

/* One lie about a good super-frame, and what must be said to it. */
struct lie {
	const char *name;
	void (*tell)(struct frame *f);
	enum gso_error error;
	bool of_partial; /* it is about a partial checksum */
};

static void ufo(struct frame *f)
{
	f->vnet.gso_type = VIRTIO_NET_HDR_GSO_UDP;
}

static void unknown_type(struct frame *f)
{
	f->vnet.gso_type = 0x20;
}

static void ecn_alone(struct frame *f)
{
	f->vnet.gso_type = VIRTIO_NET_HDR_GSO_ECN;
}

static void other_version(struct frame *f)
{
	f->vnet.gso_type = VIRTIO_NET_HDR_GSO_TCPV6;
}

static void other_proto(struct frame *f)
{
	f->vnet.gso_type = VIRTIO_NET_HDR_GSO_UDP_L4;
}

static void zero_size(struct frame *f)
{
	f->vnet.gso_size = 0;
}

static void start_elsewhere(struct frame *f)
{
	f->vnet.csum_start += 2;
}

static void start_beyond(struct frame *f)
{
	f->vnet.csum_start = 65535;
}

static void offset_elsewhere(struct frame *f)
{
	f->vnet.csum_offset = 6;
}

static void more_fragments(struct frame *f)
{
	f->data[14 + 6] |= 0x20;
}

static void later_fragment(struct frame *f)
{
	f->data[14 + 7] = 1;
}

static void cut_short(struct frame *f)
{
	f->len -= 1;
}

static void cut_in_tcp(struct frame *f)
{
	f->len = 14 + 20 + 12;
}

static void not_ip(struct frame *f)
{
	f->data[12] = 0x12;
}

static void bad_offset(struct frame *f)
{
	f->data[14 + 20 + 12] = 0x40;
}

static void what_contradicts_the_bytes_is_refused(void **state)
{
	static const struct lie lies[] = {
		{"UFO", ufo, GSO_UNSUPPORTED, false},
		{"unknown type", unknown_type, GSO_UNSUPPORTED, false},
		{"ECN without a type", ecn_alone, GSO_UNSUPPORTED, false},
		{"TCPV6 for IPv4", other_version, GSO_MALFORMED, false},
		{"UDP for TCP", other_proto, GSO_MALFORMED, false},
		{"gso_size 0", zero_size, GSO_MALFORMED, false},
		{"csum_start elsewhere", start_elsewhere, GSO_MALFORMED, true},
		{"csum_start beyond the frame", start_beyond, GSO_MALFORMED, true},
		{"csum_offset elsewhere", offset_elsewhere, GSO_MALFORMED, true},
		{"more fragments", more_fragments, GSO_MALFORMED, false},
		{"later fragment", later_fragment, GSO_MALFORMED, false},
		{"shorter than its IP length", cut_short, GSO_MALFORMED, false},
		{"cut in the TCP header", cut_in_tcp, GSO_MALFORMED, false},
		{"not IP", not_ip, GSO_MALFORMED, false},
		{"data offset below 5", bad_offset, GSO_MALFORMED, false},
	};

	for (size_t i = 0; i < 2 * sizeof(lies) / sizeof(*lies); i++) {
		const struct lie *lie = &lies[i / 2];
		struct spec s = super_of(spec_tcp(4), 3000, 1000);
		struct gso_split split;
		struct frame f;

		s.partial = i & 1;
		if (lie->of_partial && !s.partial)
			continue;
		f = build(&s);
		lie->tell(&f);
		if (gso_split_begin(&split, &f, 0) != lie->error)
			fail_msg("%s: not refused, or for another reason", lie->name);
		free(f.data);
	}
}

static void hdr_len_is_not_believed(void **state)
{
	struct spec s = super_of(spec_tcp(4), 3000, 1000);
	struct frame f = build(&s);
	struct gso_split split;
	struct gso_segment seg;
	uint8_t hdr[GSO_HDR_MAX];

	f.vnet.hdr_len = 65535;
	assert_int_equal(gso_split_begin(&split, &f, 0), GSO_OK);
	assert_true(gso_split_next(&split, hdr, &seg));
	assert_int_equal(seg.hdr_len, 14 + 20 + 32);
	free(f.data);
}

static void udp_is_refused_with_an_ecn_bit_or_another_length_of_its_own(void **state)
{
	struct spec s = super_of(spec_udp(4), 3000, 1000);
	struct frame f;
	struct gso_split split;

	s.ecn = true;
	f = build(&s);
	assert_int_equal(gso_split_begin(&split, &f, 0), GSO_MALFORMED);
	f.vnet.gso_type = VIRTIO_NET_HDR_GSO_UDP_L4;
	f.data[14 + 20 + 5]--;
	assert_int_equal(gso_split_begin(&split, &f, 0), GSO_MALFORMED);
	free(f.data);
}

static void headers_longer_than_the_limit_are_refused(void **state)
{
	struct spec s = spec_tcp(4);
	struct frame f = build(&s);
	struct gso_split split;

	f.vnet.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	f.vnet.csum_start = GSO_HDR_MAX - 18;
	f.vnet.csum_offset = 16;
	assert_int_equal(gso_split_begin(&split, &f, 0), GSO_OK);
	f.vnet.csum_start++;
	assert_int_equal(gso_split_begin(&split, &f, 0), GSO_MALFORMED);
	free(f.data);
}

static void a_checksum_field_beyond_the_frame_is_refused(void **state)
{
	struct spec s = spec_tcp(4);
	struct frame f;
	struct gso_split split;

	s.len = 20;
	f = build(&s);
	f.vnet.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	f.vnet.csum_start = (uint16_t)(f.len - 18);
	f.vnet.csum_offset = 16;
	for (unsigned flags = 0; flags <= GSO_KEEP_PARTIAL; flags++)
		assert_int_equal(gso_split_begin(&split, &f, flags), GSO_OK);
	f.vnet.csum_start++;
	for (unsigned flags = 0; flags <= GSO_KEEP_PARTIAL; flags++)
		assert_int_equal(gso_split_begin(&split, &f, flags), GSO_MALFORMED);
	free(f.data);
}

/* TCP behind an extension header of @len bytes. */
static struct frame super_frame_behind(unsigned next, unsigned len)
{
	static struct pkt k;
	struct frame f;

	pkt_begin(&k);
	pkt_ipv6(&k);
	pkt_ext(&k, next, len);
	pkt_tcp(&k, PKT_ACK, NULL, 0);
	pkt_pattern(&k, 3000);
	pkt_finish(&k);
	f = frame_of_bytes(k.data, k.len);
	f.vnet.gso_type = VIRTIO_NET_HDR_GSO_TCPV6;
	f.vnet.gso_size = 1000;
	return f;
}

/* RFC 4302: the integrity value is over the segment; no segment could be given one. */
static void super_frames_under_ah_are_unsupported(void **state)
{
	struct frame f = super_frame_behind(51, 24);
	struct gso_split split;

	assert_int_equal(gso_split_begin(&split, &f, 0), GSO_UNSUPPORTED);
	free(f.data);
}

/* Extension headers of 200 bytes and a TCP header of 60 are more than is copied. */
static void super_frames_with_longer_headers_than_the_limit_are_refused(void **state)
{
	struct frame f = super_frame_behind(60, 200);
	struct gso_split split;

	assert_int_equal(gso_split_begin(&split, &f, 0), GSO_MALFORMED);
	free(f.data);
}

static void no_offload_header_makes_a_split_leave_the_frame(void **state)
{
	uint64_t seed = 1;

	for (int n = 0; n < 20000; n++) {
		struct spec s = super_of(spec_tcp(versions[n & 1]), pick(&seed, 0, 400),
					 pick(&seed, 1, 100));
		struct frame f, cut;
		const char *wrong;

		if (pick(&seed, 0, 2) == 0)
			s.proto = PKT_PROTO_UDP;
		s.vlans = pick(&seed, 0, 2);
		s.options = 4 * pick(&seed, 0, 10);
		s.partial = pick(&seed, 0, 1);
		f = build(&s);
		for (unsigned i = pick(&seed, 0, 3); i > 0; i--)
			((uint8_t *)&f.vnet)[pick(&seed, 0, sizeof(f.vnet) - 1)] =
				(uint8_t)pick(&seed, 0, pick(&seed, 0, 1) ? 255 : 60);
		for (unsigned i = pick(&seed, 0, 3); i > 0; i--)
			f.data[pick(&seed, 12, 90 < f.len ? 90 : f.len - 1)] =
				(uint8_t)pick(&seed, 0, 255);
		cut = frame_of_bytes(f.data, pick(&seed, 0, 3) ? f.len : pick(&seed, 0, f.len));
		cut.vnet = f.vnet;
		wrong = walk_wrong(&cut, n & 2 ? GSO_KEEP_PARTIAL : 0);
		if (wrong)
			fail_msg("case %d: %s", n, wrong);
		free(cut.data);
		free(f.data);
	}
}

static struct spec random_super(uint64_t *seed)
{
	struct spec s = spec_tcp(versions[pick(seed, 0, 1)]);

	if (pick(seed, 0, 3) == 0)
		s.proto = PKT_PROTO_UDP;
	s.vlans = pick(seed, 0, 2);
	s.tci = pick(seed, 1, 4094);
	s.options = s.proto == PKT_PROTO_TCP ? 4 * pick(seed, 0, 10) : 0;
	s.salt = pick(seed, 0, 1000);
	s.ip_extra = pick(seed, 0, 9) == 0 ? 8 * pick(seed, 1, 5) : 0;
	s.flags |= pick(seed, 0, 1) ? PKT_PSH : 0;
	s.flags |= pick(seed, 0, 7) == 0 ? PKT_FIN : 0;
	s.flags |= pick(seed, 0, 7) == 0 ? PKT_CWR : 0;
	s.ecn = s.proto == PKT_PROTO_TCP && pick(seed, 0, 1);
	s.tos = pick(seed, 0, 255);
	s.ttl = pick(seed, 1, 255);
	s.frag = pick(seed, 0, 1) ? 0x4000 : 0;
	s.id = pick(seed, 0, 65535);
	s.label = pick(seed, 0, 0xfffff);
	s.window = pick(seed, 0, 65535);
	s.sport = pick(seed, 0, 65535);
	s.seq = (uint32_t)rng(seed);
	s.ack = (uint32_t)rng(seed);
	s.partial = pick(seed, 0, 1);
	s.size = pick(seed, 0, 3) ? pick(seed, 500, 9000) : pick(seed, 1, 500);
	s.len = pick(seed, 1, 65535 - 40 - 60 - 40);
	if (s.len / s.size > 1000)
		s.len = s.size * 1000;
	return s;
}

/* Would a merge of all segments give back the one super-frame? */
static bool merges_whole(const struct spec *s)
{
	uint32_t n = segments_of(s);

	return n > 1 && n <= (s->proto == PKT_PROTO_TCP ? 256 : 64) && s->ip_extra == 0 &&
	       (s->proto == PKT_PROTO_UDP || !(s->flags & (PKT_FIN | PKT_CWR)));
}

static void expect_merge_back(struct gso_merge *m, const struct spec *super, bool keep, int n)
{
	static struct frame frames[MAX_FRAMES], was[MAX_FRAMES];
	static uint32_t flows[MAX_FRAMES];
	struct spec back = *super;
	struct frame f = build(super);
	const struct gso_merged *groups;
	const char *wrong;
	uint8_t hdr[GSO_HDR_MAX];
	struct gso_split s;
	struct gso_segment seg;
	uint32_t count, have = 0;

	assert_int_equal(gso_split_begin(&s, &f, keep ? GSO_KEEP_PARTIAL : 0), GSO_OK);
	for (; gso_split_next(&s, hdr, &seg); have++) {
		frames[have] = segment_frame(hdr, &seg, s.partial, super->proto);
		was[have] = frame_copy(&frames[have]);
	}
	groups = gso_merge_batch(m, frames, have, &count);
	wrong = batch_wrong(was, frames, flows, have, groups, count);
	if (wrong)
		fail_msg("case %d: %s", n, wrong);
	if (merges_whole(super)) {
		struct frame got = merged_frame(&groups[0]), want;

		back.partial = true;
		back.ecn = false;
		want = build(&back);
		if (count != 1 || !same_frame(&got, &want))
			fail_msg("case %d: %u groups, or not the frame it was split from", n,
				 count);
		free(got.data);
		free(want.data);
	}
	for (uint32_t i = 0; i < have; i++) {
		free(frames[i].data);
		free(was[i].data);
	}
	free(f.data);
}

static void every_segment_of_random_super_frames_is_what_its_sender_would_have_sent(void **state)
{
	uint64_t seed = 2;

	for (int n = 0; n < 2000; n++) {
		struct spec s = random_super(&seed);

		expect_split(&s, pick(&seed, 0, 1) ? GSO_KEEP_PARTIAL : 0, "random", n);
	}
}

static void merging_undoes_splitting(void **state)
{
	struct gso_merge *m = gso_merge_new(MAX_FRAMES, GSO_MERGE_UDP);
	uint64_t seed = 3;

	for (int n = 0; n < 2000; n++) {
		struct spec s = random_super(&seed);

		expect_merge_back(m, &s, pick(&seed, 0, 1), n);
	}
	gso_merge_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_is_cut_into_the_segments_its_sender_meant),
		cmocka_unit_test(fin_and_psh_are_on_the_last_segment_alone_and_cwr_on_the_first),
		cmocka_unit_test(ipv4_identification_counts_up_across_65535),
		cmocka_unit_test(sequence_numbers_count_up_across_zero),
		cmocka_unit_test(udp_datagrams_get_lengths_and_checksums_of_their_own),
		cmocka_unit_test(ip_options_and_extension_headers_are_on_every_segment),
		cmocka_unit_test(a_super_frame_may_be_a_single_segment),
		cmocka_unit_test(a_super_frame_may_be_a_65535_byte_packet),
		cmocka_unit_test(padding_behind_the_ip_packet_is_not_payload),
		cmocka_unit_test(several_splits_of_one_frame_do_not_disturb_each_other),
		cmocka_unit_test(
			the_partial_checksum_knows_the_destination_behind_a_routing_header),
		cmocka_unit_test(a_complete_wire_frame_passes_whole),
		cmocka_unit_test(a_partial_wire_frame_is_completed_in_a_copy),
		cmocka_unit_test(
			a_partial_wire_frame_passes_whole_where_that_can_be_told_to_the_far_side),
		cmocka_unit_test(an_inner_partial_checksum_is_completed_even_when_others_are_kept),
		cmocka_unit_test(sctp_with_a_partial_checksum_is_unsupported),
		cmocka_unit_test(what_contradicts_the_bytes_is_refused),
		cmocka_unit_test(hdr_len_is_not_believed),
		cmocka_unit_test(udp_is_refused_with_an_ecn_bit_or_another_length_of_its_own),
		cmocka_unit_test(headers_longer_than_the_limit_are_refused),
		cmocka_unit_test(a_checksum_field_beyond_the_frame_is_refused),
		cmocka_unit_test(super_frames_under_ah_are_unsupported),
		cmocka_unit_test(super_frames_with_longer_headers_than_the_limit_are_refused),
		cmocka_unit_test(no_offload_header_makes_a_split_leave_the_frame),
		cmocka_unit_test(
			every_segment_of_random_super_frames_is_what_its_sender_would_have_sent),
		cmocka_unit_test(merging_undoes_splitting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
