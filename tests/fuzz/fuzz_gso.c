// SPDX-License-Identifier: GPL-3.0-or-later
/* fuzz_gso.c - splits stay inside the frame and add up; merges split into what came in */

/*
 * Octet 0 of the input: bit 0 keeps checksums partial, bit 1 chooses
 *
 *	0  a split: the struct virtio_net_hdr in host order (10 octets), the frame
 *	1  a merge: records, each a frame. First an octet: bits 0-1 its checksums
 *	   (0 as they are, 1 made right, 2 made partial, 3 said to be partial),
 *	   bit 2 an heir, bit 3 the key, bit 4 a super-frame. An heir is the next
 *	   frame of the flow of an earlier one: how many back (1 octet), payload
 *	   length (2), and an octet of its headers to change (place, xor). Any
 *	   other frame: length (2) and bytes. Lengths are big-endian.
 */
#include "tests/fuzz/input.h"
#include "tests/fuzz/must.h"
#include "tests/unit/gso_frames.h"

#define FRAMES_MAX 300

static struct frame frames[FRAMES_MAX], was[FRAMES_MAX];
static uint32_t flows[FRAMES_MAX];
static struct gso_merge *merger;

/* The pseudo-header's sum, or 0 (which none has) if the frame has no such checksum. */
static unsigned pseudo_of(const struct frame *f, const struct packet *p)
{
	static struct pkt k;

	k.len = 0;
	k.l3 = p->l3;
	k.l4 = p->l4;
	k.version = p->ip_version;
	k.proto = p->proto;
	pkt_push(&k, f->data, p->payload);
	k.len = p->l3_end;
	return pkt_pseudo(&k);
}

static uint8_t *check_field(const struct frame *f, const struct packet *p)
{
	return f->data + p->l4 + (p->proto == PKT_PROTO_TCP ? 16 : 6);
}

/* Which frames must stay in order? FNV-1a of all that names a flow; fragments are not looked at. */
static uint32_t flow_of(const struct frame *f, uint32_t index)
{
	struct packet p;
	uint32_t hash = 2166136261u;
	uint8_t name[64] = {0};

	if (packet_parse(f->data, f->len, &p) || p.fragment || !p.payload)
		return index;
	memcpy(name, f->data, p.l3);
	memcpy(name + 22, f->data + p.l3 + (p.ip_version == 4 ? 12 : 8),
	       p.ip_version == 4 ? 8 : 32);
	memcpy(name + 54, f->data + p.l4, 4);
	name[58] = p.proto;
	name[59] = (uint8_t)f->key;
	for (size_t i = 0; i < sizeof(name); i++)
		hash = (hash ^ name[i]) * 16777619u;
	return hash | 1u << 31;
}

static void check_batch(uint32_t n)
{
	const struct gso_merged *groups;
	const char *wrong;
	uint32_t count;

	for (uint32_t i = 0; i < n; i++) {
		was[i] = frame_copy(&frames[i]);
		flows[i] = flow_of(&frames[i], i);
	}
	groups = gso_merge_batch(merger, frames, n, &count);
	wrong = batch_wrong(was, frames, flows, n, groups, count);
	if (wrong)
		fprintf(stderr, "violated: %s\n", wrong);
	must(!wrong);
	for (uint32_t i = 0; i < n; i++) {
		free(frames[i].data);
		free(was[i].data);
	}
}

/* A wire frame that came out of a split: checked by sums that share no code with lib/. */
static void check_segment(const struct frame *f, bool partial)
{
	struct packet p;
	unsigned sum;

	must(packet_parse(f->data, f->len, &p) == PACKET_OK && p.l3_end == f->len);
	if (p.ip_version == 4)
		must(pkt_sum(0, f->data + p.l3, p.l4 - p.l3) == 0xffff);
	if (p.ip_version == 6 && p.ip_options)
		return; /* a routing header may hold the address that counts */
	sum = pseudo_of(f, &p);
	if (partial)
		must(pkt_get16(check_field(f, &p)) == sum);
	else
		must(pkt_sum(sum, f->data + p.l4, f->len - p.l4) == 0xffff);
}

/* One that carries another packet: the inner one's checksum, then what there is around it. */
static void check_capsule(const struct frame *f, const struct gso_split *s)
{
	struct packet outer, inner = s->p;
	const uint8_t *l4;

	inner.l3_end = f->len;
	must(pkt_sum(pseudo_of(f, &inner), f->data + inner.l4, f->len - inner.l4) == 0xffff);
	if (inner.ip_version == 4)
		must(pkt_sum(0, f->data + inner.l3, inner.l4 - inner.l3) == 0xffff);

	must(packet_parse(f->data, f->len, &outer) == PACKET_OK && outer.l3_end == f->len);
	if (outer.ip_version == 4)
		must(pkt_sum(0, f->data + outer.l3, outer.l4 - outer.l3) == 0xffff);
	l4 = f->data + outer.l4;
	if (outer.proto == PKT_PROTO_UDP) {
		must(pkt_get16(l4 + 4) == f->len - outer.l4);
		if (pkt_get16(l4 + 6))
			must(pkt_sum(pseudo_of(f, &outer), l4, f->len - outer.l4) == 0xffff);
	} else if (outer.proto == 47 && l4[0] & 0x80) {
		must(pkt_sum(0, l4, f->len - outer.l4) == 0xffff);
	}
}

static void split(const struct frame *f, unsigned flags)
{
	bool super = f->vnet.gso_type != VIRTIO_NET_HDR_GSO_NONE;
	uint8_t *hdr = malloc(GSO_HDR_MAX);
	struct frame copy = frame_copy(f);
	struct gso_segment seg;
	struct gso_split s;
	size_t sum = 0;
	uint32_t n = 0, kept = 0, longest = 0;

	must(hdr);
	if (gso_split_begin(&s, f, flags) == GSO_OK) {
		for (; gso_split_next(&s, hdr, &seg); n++) {
			uint32_t len = seg.hdr_len + seg.payload_len;
			struct frame wire;

			must(seg.hdr_len <= GSO_HDR_MAX);
			must(seg.payload == f->data + seg.hdr_len + sum);
			must(seg.payload + seg.payload_len <= f->data + f->len);
			sum += seg.payload_len;
			longest = len > longest ? len : longest;
			if (kept == FRAMES_MAX)
				continue;
			wire = segment_frame(hdr, &seg, s.partial, s.p.proto);
			if (super && s.tunnelled)
				check_capsule(&wire, &s);
			else if (super)
				check_segment(&wire, s.partial);
			frames[kept++] = wire;
		}
		must(n == s.count && longest == s.wire_len && n >= 1);
		must(super ? seg.hdr_len + sum == s.p.l3_end : seg.hdr_len + sum == f->len);
	}
	must(same_frame(f, &copy));
	free(copy.data);
	free(hdr);
	check_batch(kept);
}

static struct frame take_frame(struct input *in)
{
	size_t len = input_take16(in);
	struct frame f;

	if (len > in->left)
		len = in->left;
	f = frame_of_bytes(in->at, len);
	in->at += len;
	in->left -= len;
	return f;
}

/* The frame that would follow @f in its flow, with other payload. */
static struct frame take_heir(struct input *in, const struct frame *f)
{
	size_t len = input_take16(in) % 2048;
	unsigned place = input_take(in), change = input_take(in);
	static struct pkt k;
	struct packet p;

	if (packet_parse(f->data, f->len, &p) || !p.payload)
		return frame_copy(f);
	k.len = 0;
	pkt_push(&k, f->data, p.payload);
	pkt_pattern(&k, len);
	if (p.ip_version == 4) {
		pkt_put16(k.data + p.l3 + 2, k.len - p.l3);
		pkt_put16(k.data + p.l3 + 4, (pkt_get16(k.data + p.l3 + 4) + 1) & 0xffff);
	} else {
		pkt_put16(k.data + p.l3 + 4, k.len - p.l3 - 40);
	}
	if (p.proto == PKT_PROTO_UDP)
		pkt_put16(k.data + p.l4 + 4, k.len - p.l4);
	else
		store_be32(k.data + p.l4 + 4,
			   load_be32(k.data + p.l4 + 4) + (p.l3_end - p.payload));
	if (place < k.len)
		k.data[place] ^= (uint8_t)change;
	return frame_of_bytes(k.data, k.len);
}

/* Make the checksums what bits 0-1 of a record ask for. */
static void sum_up(struct frame *f, unsigned how)
{
	struct packet p;
	uint8_t *field;
	unsigned sum;

	if (how == 0 || packet_parse(f->data, f->len, &p) || !p.payload || p.fragment)
		return;
	field = check_field(f, &p);
	if (how >= 2) {
		f->vnet.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		f->vnet.csum_start = p.l4;
		f->vnet.csum_offset = (uint16_t)(field - f->data - p.l4);
	}
	if (how == 3)
		return;
	if (p.ip_version == 4) {
		uint8_t *ip = f->data + p.l3;

		pkt_put16(ip + 10, 0);
		pkt_put16(ip + 10, 0xffff - pkt_sum(0, ip, (ip[0] & 15) * 4u));
	}
	sum = pseudo_of(f, &p);
	pkt_put16(field, 0);
	if (how == 1) {
		sum = 0xffff - pkt_sum(sum, f->data + p.l4, p.l3_end - p.l4);
		sum = sum ? sum : 0xffff;
	}
	pkt_put16(field, sum);
}

static void merge(struct input in)
{
	uint32_t n = 0;

	while (in.left && n < FRAMES_MAX) {
		unsigned how = input_take(&in), back = 0;
		struct frame *f = &frames[n];

		if (how & 4 && n)
			back = input_take(&in) % n + 1;
		*f = back ? take_heir(&in, &frames[n - back]) : take_frame(&in);
		f->key = how >> 3 & 1;
		sum_up(f, how & 3);
		if (how & 16) {
			f->vnet.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
			f->vnet.gso_size = 100;
		}
		n++;
	}
	check_batch(n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct frame f;

	if (!merger)
		merger = gso_merge_new(FRAMES_MAX, GSO_MERGE_UDP);
	must(merger);
	if (size < 1 + sizeof(f.vnet))
		return 0;
	if (data[0] & 2) {
		merge((struct input){.at = data + 1, .left = size - 1});
		return 0;
	}
	f = frame_of_bytes(data + 1 + sizeof(f.vnet), size - 1 - sizeof(f.vnet));
	memcpy(&f.vnet, data + 1, sizeof(f.vnet));
	split(&f, data[0] & 1 ? GSO_KEEP_PARTIAL : 0);
	free(f.data);
	return 0;
}
