// SPDX-License-Identifier: GPL-3.0-or-later
/* test_gso_tunnel.c - splitting super-frames that are encapsulated */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gso_frames.h"

enum tunnel { VXLAN, GENEVE, GRE, GRE_CHECKED, IP_IN_IP, TUNNELS };

static const unsigned versions[] = {4, 6};

/* An inner frame and what is around it. */
struct capsule {
	enum tunnel tunnel;
	unsigned version; /* of outer IP */
	unsigned vlans;
	unsigned ip_extra; /* bytes of outer IPv4 options or of a destination options header */
	unsigned options;  /* bytes of GENEVE options */
	unsigned id;	   /* of outer IPv4 */
	bool checksum;	   /* of outer UDP */
	struct spec inner;
};

static struct capsule capsule_of(enum tunnel tunnel, unsigned version, struct spec inner)
{
	return (struct capsule){.tunnel = tunnel, .version = version, .id = 0x4321, .inner = inner};
}

static bool over_udp(const struct capsule *c)
{
	return c->tunnel == VXLAN || c->tunnel == GENEVE;
}

static void push_outer_ip(struct pkt *k, const struct capsule *c)
{
	uint8_t noops[40];

	memset(noops, 1, sizeof(noops));
	pkt_begin(k);
	for (unsigned i = 0; i < c->vlans; i++)
		pkt_vlan(k, 0x8100, 7 + i);
	if (c->version == 4) {
		pkt_ipv4(k, noops, c->ip_extra);
		pkt_put16(k->data + k->l3 + 4, c->id);
	} else {
		pkt_ipv6(k);
		if (c->ip_extra)
			pkt_ext(k, 60, c->ip_extra);
	}
}

/* RFC 7348, RFC 8926, RFC 2784 with RFC 2890's key, RFC 2003 and RFC 2473. */
static void push_tunnel(struct pkt *k, const struct capsule *c)
{
	uint8_t *at;

	switch (c->tunnel) {
	case VXLAN:
		pkt_udp(k);
		memcpy(pkt_push(k, NULL, 8), (uint8_t[]){8, 0, 0, 0, 0, 0, 42, 0}, 8);
		break;
	case GENEVE:
		pkt_udp(k);
		at = pkt_push(k, NULL, 8 + c->options);
		at[0] = (uint8_t)(c->options / 4);
		pkt_put16(at + 2, 0x6558);
		break;
	case GRE:
	case GRE_CHECKED:
		k->data[k->next_at] = 47;
		at = pkt_push(k, NULL, c->tunnel == GRE ? 4 : 12);
		at[0] = c->tunnel == GRE ? 0 : 0xa0;
		pkt_put16(at + 2, 0x6558);
		break;
	default: k->data[k->next_at] = c->inner.version == 4 ? 4 : 41;
	}
}

/* A super-frame's outer checksum is partial: UDP's a pseudo-header's sum, GRE's nothing yet. */
static void finish_outer(struct pkt *k, const struct capsule *c, uint32_t l4)
{
	bool super = c->inner.size;
	unsigned check;

	if (over_udp(c)) {
		if (super)
			pkt_finish_partial(k);
		else
			pkt_finish(k);
		if (!c->checksum)
			pkt_put16(pkt_check_field(k), 0);
		return;
	}
	pkt_finish_ip(k);
	if (c->tunnel == GRE_CHECKED && !super) {
		check = 0xffff - pkt_sum(0, k->data + l4, k->len - l4);
		pkt_put16(k->data + l4 + 4, check ? check : 0xffff);
	}
}

/* The frame that carries @c's inner one, as Linux hands it over if it is a super-frame. */
static struct frame encapsulate(const struct capsule *c)
{
	struct frame inner = build(&c->inner), f;
	uint32_t skip = c->tunnel == IP_IN_IP ? 14 : 0, l4, at;
	static struct pkt k;

	push_outer_ip(&k, c);
	l4 = k.len;
	push_tunnel(&k, c);
	at = k.len;
	pkt_push(&k, inner.data + skip, inner.len - skip);
	finish_outer(&k, c, l4);
	f = frame_of_bytes(k.data, k.len);
	f.vnet = inner.vnet;
	if (c->inner.partial)
		f.vnet.csum_start = (uint16_t)(f.vnet.csum_start + at - skip);
	free(inner.data);
	return f;
}

static struct frame segment_of(const struct capsule *super, uint32_t i)
{
	struct capsule c = *super;

	c.inner = segment_spec(&super->inner, i);
	c.inner.partial = false;
	c.id = (c.id + i) & 0xffff;
	return encapsulate(&c);
}

static void expect_split(const struct capsule *c, unsigned flags, const char *what, int n)
{
	struct frame f = encapsulate(c), was = frame_copy(&f);
	uint8_t *hdr = malloc(GSO_HDR_MAX);
	struct gso_segment seg;
	struct gso_split s;
	uint32_t i = 0, longest = 0;
	struct packet p;

	if (gso_split_begin(&s, &f, flags) != GSO_OK)
		fail_msg("%s %d: cannot be split", what, n);
	assert_int_equal(s.count, segments_of(&c->inner));
	assert_false(s.partial);
	assert_int_equal(packet_parse(f.data, f.len, &p), PACKET_OK);
	assert_int_equal(gso_header_len(&f, &p), f.len - c->inner.len);
	for (; gso_split_next(&s, hdr, &seg); i++) {
		struct frame want = segment_of(c, i);
		struct frame got = segment_frame(hdr, &seg, false, c->inner.proto);

		if (!same_frame(&want, &got))
			fail_msg("%s %d: segment %u of %u is wrong", what, n, i, s.count);
		longest = got.len > longest ? got.len : longest;
		free(want.data);
		free(got.data);
	}
	assert_int_equal(i, s.count);
	assert_int_equal(longest, s.wire_len);
	if (!same_frame(&f, &was))
		fail_msg("%s %d: splitting changed the super-frame", what, n);
	free(hdr);
	free(was.data);
	free(f.data);
}

static struct spec super_frame(struct spec s, size_t len, unsigned size)
{
	s.partial = true;
	return super_of(s, len, size);
}

/* In both outer versions, with and without outer checksums; asked for either kind of inner ones. */
static void expect_splits(enum tunnel tunnel, struct spec inner, const char *what)
{
	for (int n = 0; n < 8; n++) {
		struct capsule c = capsule_of(tunnel, versions[n & 1], inner);

		c.checksum = n & 2;
		expect_split(&c, n & 4 ? GSO_KEEP_PARTIAL : 0, what, n);
	}
}

static void tcp_inside_every_tunnel_is_cut_into_the_segments_its_sender_meant(void **state)
{
	for (int v = 0; v < 2; v++) {
		struct spec s = super_frame(spec_tcp(versions[v]), 10 * 1398 + 17, 1398);

		expect_splits(VXLAN, s, "VXLAN");
		expect_splits(GENEVE, s, "GENEVE");
		expect_splits(GRE, s, "GRE");
		expect_splits(GRE_CHECKED, s, "GRE with checksum and key");
		expect_splits(IP_IN_IP, s, "IP in IP");
		s.vlans = 1;
		expect_splits(VXLAN, s, "an inner tag");
	}
}

static void udp_inside_a_tunnel_is_cut_as_well(void **state)
{
	for (int v = 0; v < 2; v++)
		for (int t = 0; t < TUNNELS; t++)
			expect_splits(t, super_frame(spec_udp(versions[v]), 5000, 1200), "udp");
}

static void flags_and_numbers_are_those_of_the_inner_connection(void **state)
{
	struct spec s = super_frame(spec_tcp(4), 5000, 1000);

	s.flags = PKT_ACK | PKT_FIN | PKT_PSH | PKT_CWR | PKT_ECE;
	s.ecn = true;
	s.seq = 0xfffff000;
	s.id = 65534;
	expect_splits(VXLAN, s, "flags");
}

static void outer_identification_counts_up_across_65535(void **state)
{
	struct capsule c = capsule_of(VXLAN, 4, super_frame(spec_tcp(6), 5000, 1000));

	c.id = 65533;
	expect_split(&c, 0, "identification", 0);
}

static void outer_tags_options_and_extension_headers_are_on_every_segment(void **state)
{
	for (int n = 0; n < 4; n++) {
		struct capsule c = capsule_of(IP_IN_IP, versions[n & 1],
					      super_frame(spec_tcp(4), 5000, 999));

		c.vlans = (unsigned)n / 2 + 1;
		c.ip_extra = 8;
		expect_split(&c, 0, "outer", n);
	}
}

/* Only whether it is 0 is looked at: what Linux leaves there has been other things before. */
static void what_stands_in_the_outer_checksum_field_is_not_believed(void **state)
{
	struct capsule c = capsule_of(VXLAN, 4, super_frame(spec_tcp(4), 1000, 1000));
	struct frame f, want;
	struct gso_split s;
	struct gso_segment seg;
	uint8_t hdr[GSO_HDR_MAX];

	c.checksum = true;
	f = encapsulate(&c);
	want = segment_of(&c, 0);
	pkt_put16(f.data + 14 + 20 + 6, 0xbeef);
	assert_int_equal(gso_split_begin(&s, &f, 0), GSO_OK);
	assert_true(gso_split_next(&s, hdr, &seg));
	assert_memory_equal(hdr, want.data, seg.hdr_len);
	free(f.data);
	free(want.data);
}

static void padding_behind_the_outer_packet_is_not_payload(void **state)
{
	struct capsule c = capsule_of(VXLAN, 4, super_frame(spec_tcp(4), 1500, 1000));
	struct frame f = encapsulate(&c), padded;
	struct gso_split s;

	padded = (struct frame){.data = calloc(1, f.len + 8), .len = f.len + 8, .vnet = f.vnet};
	memcpy(padded.data, f.data, f.len);
	assert_int_equal(gso_split_begin(&s, &padded, 0), GSO_OK);
	assert_int_equal(s.count, 2);
	assert_int_equal(s.len, f.len);
	free(padded.data);
	free(f.data);
}

static void headers_up_to_the_limit_are_copied_and_longer_ones_refused(void **state)
{
	struct capsule c = capsule_of(GENEVE, 4, super_frame(spec_tcp(4), 3000, 1000));
	struct gso_split s;
	struct frame f;

	c.options = GSO_HDR_MAX - (14 + 20 + 8 + 8 + 14 + 20 + 32);
	expect_split(&c, 0, "longest", 0);
	c.options += 4;
	f = encapsulate(&c);
	assert_int_equal(gso_split_begin(&s, &f, 0), GSO_MALFORMED);
	free(f.data);
}

/* Offsets in TCP over IPv4 in VXLAN over IPv4. */
enum { OUTER = 14, UDP = OUTER + 20, INNER = UDP + 8 + 8 + 14, TCP = INNER + 20 };

/* One octet of a good super-frame replaced, and what must be said to it. */
struct lie {
	const char *name;
	enum tunnel tunnel;
	unsigned at, octet;
	enum gso_error error;
	struct spec (*inner)(unsigned version); /* TCP if not given */
	unsigned version;			/* of inner IP, 4 if not given */
};

static void what_contradicts_the_bytes_is_refused(void **state)
{
	static const struct lie lies[] = {
		{"inner version", VXLAN, INNER, 0x65, GSO_MALFORMED, NULL, 0},
		{"inner options", VXLAN, INNER, 0x46, GSO_MALFORMED, NULL, 0},
		{"inner length", VXLAN, INNER + 3, 1, GSO_MALFORMED, NULL, 0},
		{"inner protocol", VXLAN, INNER + 9, 17, GSO_MALFORMED, NULL, 0},
		{"inner fragments follow", VXLAN, INNER + 6, 0x20, GSO_MALFORMED, NULL, 0},
		{"inner later fragment", VXLAN, INNER + 7, 1, GSO_MALFORMED, NULL, 0},
		{"data offset below 5", VXLAN, TCP + 12, 0x40, GSO_MALFORMED, NULL, 0},
		{"UDP length", VXLAN, UDP + 5, 1, GSO_MALFORMED, NULL, 0},
		{"outer fragments follow", VXLAN, OUTER + 6, 0x20, GSO_MALFORMED, NULL, 0},
		{"outer total length", VXLAN, OUTER + 3, 1, GSO_MALFORMED, NULL, 0},
		{"outer TCP", VXLAN, OUTER + 9, 6, GSO_MALFORMED, NULL, 0},
		{"a protocol that is no tunnel", VXLAN, OUTER + 9, 99, GSO_MALFORMED, NULL, 0},
		{"IP in IP with a gap", VXLAN, OUTER + 9, 4, GSO_MALFORMED, NULL, 0},
		{"IPv4 said to be IPv6", IP_IN_IP, OUTER + 9, 41, GSO_MALFORMED, NULL, 0},
		{"IP in IP said to be UDP", IP_IN_IP, OUTER + 9, 17, GSO_MALFORMED, NULL, 0},
		{"GRE sequence numbers", GRE, UDP, 0x10, GSO_UNSUPPORTED, NULL, 0},
		{"GRE routing", GRE, UDP, 0x40, GSO_UNSUPPORTED, NULL, 0},
		{"GRE version", GRE, UDP + 1, 1, GSO_UNSUPPORTED, NULL, 0},
		{"inner version of IPv6", VXLAN, INNER, 0x45, GSO_MALFORMED, spec_tcp, 6},
		{"inner length of IPv6", VXLAN, INNER + 5, 1, GSO_MALFORMED, spec_tcp, 6},
		{"inner next header", VXLAN, INNER + 6, 17, GSO_MALFORMED, spec_tcp, 6},
		{"inner UDP length", VXLAN, TCP + 5, 1, GSO_MALFORMED, spec_udp, 4},
	};

	for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
		struct spec inner = lies[i].inner ? lies[i].inner(lies[i].version) : spec_tcp(4);
		struct capsule c = capsule_of(lies[i].tunnel, 4, super_frame(inner, 3000, 1000));
		struct frame f = encapsulate(&c);
		struct gso_split s;

		f.data[lies[i].at] = (uint8_t)lies[i].octet;
		if (gso_split_begin(&s, &f, 0) != lies[i].error)
			fail_msg("%s: not refused, or for another reason", lies[i].name);
		free(f.data);
	}
}

/* The same of the offload header. */
static void an_offload_header_that_means_no_inner_packet_is_refused(void **state)
{
	static const struct virtio_net_hdr lies[] = {
		{.flags = 1, .gso_type = 4, .gso_size = 1000, .csum_start = TCP, .csum_offset = 16},
		{.flags = 1, .gso_type = 5, .gso_size = 1000, .csum_start = TCP, .csum_offset = 6},
		{.flags = 1, .gso_type = 0x85, .gso_size = 9, .csum_start = TCP, .csum_offset = 16},
		{.flags = 1, .gso_type = 1, .gso_size = 0, .csum_start = TCP, .csum_offset = 16},
		{.flags = 1, .gso_type = 1, .gso_size = 1000, .csum_start = TCP, .csum_offset = 6},
		{.flags = 1,
		 .gso_type = 1,
		 .gso_size = 9,
		 .csum_start = TCP + 1,
		 .csum_offset = 16},
		{.flags = 1,
		 .gso_type = 1,
		 .gso_size = 9,
		 .csum_start = UDP + 2,
		 .csum_offset = 16},
		{.flags = 1, .gso_type = 1, .gso_size = 9, .csum_start = 3090, .csum_offset = 16},
		{.flags = 1, .gso_type = 1, .gso_size = 9, .csum_start = 65535, .csum_offset = 16},
		{.flags = 0, .gso_type = 1, .gso_size = 1000},
	};
	struct capsule c = capsule_of(VXLAN, 4, super_frame(spec_tcp(4), 3000, 1000));
	struct frame f = encapsulate(&c);
	struct gso_split s;

	for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
		f.vnet = lies[i];
		if (gso_split_begin(&s, &f, 0) != GSO_MALFORMED)
			fail_msg("offload header %zu is not refused", i);
	}
	free(f.data);
}

/* RFC 8200 section 8.1: behind a routing header the destination to sum is not the one in front. */
static void an_outer_checksum_behind_extension_headers_is_unsupported(void **state)
{
	struct capsule c = capsule_of(VXLAN, 6, super_frame(spec_tcp(4), 3000, 1000));
	struct gso_split s;
	struct frame f;

	c.ip_extra = 8;
	expect_split(&c, 0, "without checksum", 0);
	c.checksum = true;
	f = encapsulate(&c);
	assert_int_equal(gso_split_begin(&s, &f, 0), GSO_UNSUPPORTED);
	free(f.data);
}

static struct capsule random_capsule(uint64_t *seed)
{
	struct spec s = spec_tcp(versions[pick(seed, 0, 1)]);
	struct capsule c;

	if (pick(seed, 0, 3) == 0)
		s = spec_udp(s.version);
	else
		s.options = 4 * pick(seed, 0, 10);
	s.salt = pick(seed, 0, 1000);
	s.flags |= pick(seed, 0, 255);
	s.tos = pick(seed, 0, 255);
	s.ttl = pick(seed, 1, 255);
	s.id = pick(seed, 0, 65535);
	s.label = pick(seed, 0, 0xfffff);
	s.seq = (uint32_t)rng(seed);
	s.sport = pick(seed, 0, 65535);
	s = super_frame(s, pick(seed, 1, 20000), pick(seed, 100, 9000));

	c = capsule_of(pick(seed, 0, TUNNELS - 1), versions[pick(seed, 0, 1)], s);
	c.vlans = pick(seed, 0, 2);
	c.id = pick(seed, 0, 65535);
	c.options = 4 * pick(seed, 0, 10);
	c.checksum = pick(seed, 0, 1);
	return c;
}

static void every_segment_of_random_capsules_is_what_its_sender_would_have_sent(void **state)
{
	uint64_t seed = 1;

	for (int n = 0; n < 2000; n++) {
		struct capsule c = random_capsule(&seed);

		expect_split(&c, pick(&seed, 0, 1) ? GSO_KEEP_PARTIAL : 0, "random", n);
	}
}

static void damage(struct frame *f, uint64_t *seed)
{
	for (unsigned i = pick(seed, 0, 2); i > 0; i--)
		((uint8_t *)&f->vnet)[pick(seed, 0, sizeof(f->vnet) - 1)] =
			(uint8_t)pick(seed, 0, pick(seed, 0, 1) ? 255 : 120);
	for (unsigned i = pick(seed, 0, 3); i > 0; i--)
		f->data[pick(seed, 12, 160 < f->len ? 160 : f->len - 1)] = (uint8_t)pick(seed, 0,
											 255);
	if (pick(seed, 0, 9) == 0)
		f->vnet.csum_start = (uint16_t)(f->len - pick(seed, 0, 40));
}

static void no_offload_header_makes_a_split_leave_the_frame(void **state)
{
	uint64_t seed = 2;

	for (int n = 0; n < 20000; n++) {
		struct capsule c = random_capsule(&seed);
		struct frame f, cut;
		const char *wrong;
		struct packet p;

		c.inner.len = pick(&seed, 0, 400);
		c.inner.size = pick(&seed, 1, 100);
		f = encapsulate(&c);
		damage(&f, &seed);
		cut = frame_of_bytes(f.data, pick(&seed, 0, 3) ? f.len : pick(&seed, 0, f.len));
		cut.vnet = f.vnet;
		wrong = walk_wrong(&cut, n & 1 ? GSO_KEEP_PARTIAL : 0);
		if (wrong)
			fail_msg("case %d: %s", n, wrong);
		packet_parse(cut.data, cut.len, &p);
		assert_true(gso_header_len(&cut, &p) <= cut.len);
		free(cut.data);
		free(f.data);
	}
}

static void of_frames_that_are_not_encapsulated_the_header_length_is_the_parsers(void **state)
{
	struct spec s = super_frame(spec_udp(4), 3000, 1000);

	for (int n = 0; n < 2; n++, s.size = 0) {
		struct frame f = build(&s);
		struct packet p;

		packet_parse(f.data, f.len, &p);
		assert_int_equal(gso_header_len(&f, &p), 14 + 20 + 8);
		free(f.data);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_inside_every_tunnel_is_cut_into_the_segments_its_sender_meant),
		cmocka_unit_test(udp_inside_a_tunnel_is_cut_as_well),
		cmocka_unit_test(flags_and_numbers_are_those_of_the_inner_connection),
		cmocka_unit_test(outer_identification_counts_up_across_65535),
		cmocka_unit_test(outer_tags_options_and_extension_headers_are_on_every_segment),
		cmocka_unit_test(what_stands_in_the_outer_checksum_field_is_not_believed),
		cmocka_unit_test(padding_behind_the_outer_packet_is_not_payload),
		cmocka_unit_test(headers_up_to_the_limit_are_copied_and_longer_ones_refused),
		cmocka_unit_test(what_contradicts_the_bytes_is_refused),
		cmocka_unit_test(an_offload_header_that_means_no_inner_packet_is_refused),
		cmocka_unit_test(an_outer_checksum_behind_extension_headers_is_unsupported),
		cmocka_unit_test(
			every_segment_of_random_capsules_is_what_its_sender_would_have_sent),
		cmocka_unit_test(no_offload_header_makes_a_split_leave_the_frame),
		cmocka_unit_test(
			of_frames_that_are_not_encapsulated_the_header_length_is_the_parsers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
