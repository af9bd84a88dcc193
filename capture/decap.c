// SPDX-License-Identifier: GPL-3.0-or-later
/* decap.c - from a captured packet to the TCP segment in it, through link layers and tunnels */
#include "capture/segment.h"
#include "lib/packet.h"
#include "lib/tcpopt.h"

#include <assert.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <string.h>

#define CAPSULATOR_PROTO  245
#define CAPSULATOR_HEADER 4
#define VXLAN_PORT	  4789 /* RFC 7348 */
#define VXLAN_PORT_LINUX  8472 /* Linux's default, from before there was a number */
#define VXLAN_FLAG_VNI	  0x08
#define GRE_BRIDGING	  0x6558 /* "Transparent Ethernet Bridging" */
#define GRE_CHECKSUM	  0x8000 /* RFC 2784, RFC 2890 */
#define GRE_KEY		  0x2000
#define GRE_SEQUENCE	  0x1000
#define GRE_VERSION	  0x0007
#define UDP_HEADER	  8
#define ICMP4_UNREACHABLE 3
#define ICMP4_TOO_BIG	  4
#define ICMP6_TOO_BIG	  2

/* Bytes of a packet as far as they were captured, and how many there were. */
struct part {
	const uint8_t *data;
	size_t captured, length;
	size_t at;	    /* where the network layer, or a VLAN tag, begins */
	uint16_t ethertype; /* of what is there */
	const uint8_t *macs;
};

/* "vxlan" and the like; "" for none. */
const char *wrap_name(unsigned wrap)
{
	static const char *const names[] = {"", "capsulator", "vxlan", "gre"};

	return wrap < sizeof(names) / sizeof(*names) ? names[wrap] : "";
}

static bool ethernet(struct part *part)
{
	if (part->captured < ETH_HDR_LEN)
		return false;
	part->macs = part->data;
	part->at = ETH_HDR_LEN;
	part->ethertype = load_be16(part->data + 12);
	return true;
}

/* A link layer of fixed length, whose ethertype stands at @type_at; 0 if IP tells its version. */
static bool fixed_link(struct part *part, size_t len, size_t type_at)
{
	if (part->captured <= len)
		return false;
	part->at = len;
	if (type_at)
		part->ethertype = load_be16(part->data + type_at - 1);
	else
		part->ethertype = part->data[len] >> 4 == 6 ? ETH_P_IPV6 : ETH_P_IP;
	return true;
}

/* Linux's "any" device, https://www.tcpdump.org/linktypes/LINKTYPE_LINUX_SLL2.html */
static uint8_t cooked_way(uint8_t type)
{
	return type == 4 ? CAP_WAY_OUT : CAP_WAY_IN;
}

/* Finds the network layer. DECAP_OTHER: found. */
static enum decap link_layer(const struct cap_packet *p, struct part *part, struct sighting *at)
{
	bool there;

	switch (p->link) {
	case LINK_ETHERNET: there = ethernet(part); break;
	case LINK_SLL:
		there = fixed_link(part, 16, 14 + 1);
		if (there && at->way == CAP_WAY_UNKNOWN)
			at->way = cooked_way(part->data[1]);
		break;
	case LINK_SLL2:
		there = fixed_link(part, 20, 0 + 1);
		if (there && at->way == CAP_WAY_UNKNOWN)
			at->way = cooked_way(part->data[10]);
		if (there)
			at->device = load_be32(part->data + 4);
		break;
	case LINK_NULL:
	case LINK_LOOP: there = fixed_link(part, 4, 0); break;
	case LINK_RAW:
	case LINK_RAW_BSD:
	case LINK_RAW_OPENBSD:
	case LINK_IPV4:
	case LINK_IPV6: there = fixed_link(part, 0, 0); break;
	default: return DECAP_LINK;
	}
	return there ? DECAP_OTHER : DECAP_CUT;
}

static void note_wrap(struct sighting *at, enum wrap wrap, uint32_t tag)
{
	at->wrap = (uint8_t)wrap;
	at->tag = tag;
}

/* Goes on with what begins @skip bytes into the packet. */
static void step_into(struct part *part, size_t skip)
{
	part->data += skip;
	part->captured -= skip;
	part->length -= skip;
	part->macs = NULL;
}

/* RFC 2784 and 2890, with Ethernet or IP inside. */
static bool gre(struct part *part, const struct packet *p, struct sighting *at)
{
	struct cursor c = cursor_of(part->data, part->captured);
	uint16_t flags, type;
	uint32_t key = 0;

	if (!cursor_skip(&c, p->l4) || !cursor_be16(&c, &flags) || !cursor_be16(&c, &type) ||
	    flags & GRE_VERSION)
		return false;
	if ((flags & GRE_CHECKSUM && !cursor_skip(&c, 4)) ||
	    (flags & GRE_KEY && !cursor_be32(&c, &key)) ||
	    (flags & GRE_SEQUENCE && !cursor_skip(&c, 4)))
		return false;
	if (type != GRE_BRIDGING && type != ETH_P_IP && type != ETH_P_IPV6)
		return false;
	note_wrap(at, WRAP_GRE, key);
	step_into(part, c.pos);
	if (type == GRE_BRIDGING)
		return ethernet(part);
	part->at = 0;
	part->ethertype = type;
	return true;
}

static bool vxlan(struct part *part, const struct packet *p, struct sighting *at)
{
	const uint8_t *udp = part->data + p->l4, *header = udp + UDP_HEADER;
	uint16_t port = load_be16(udp + 2);

	if ((port != VXLAN_PORT && port != VXLAN_PORT_LINUX) ||
	    part->captured < p->l4 + UDP_HEADER + 8u || !(header[0] & VXLAN_FLAG_VNI))
		return false;
	note_wrap(at, WRAP_VXLAN, load_be32(header + 4) >> 8);
	step_into(part, p->l4 + UDP_HEADER + 8u);
	return ethernet(part);
}

static bool capsulator(struct part *part, const struct packet *p, struct sighting *at)
{
	if (part->captured < (size_t)p->l4 + CAPSULATOR_HEADER)
		return false;
	note_wrap(at, WRAP_CAPSULATOR, load_be32(part->data + p->l4));
	step_into(part, p->l4 + CAPSULATOR_HEADER);
	return ethernet(part);
}

/* Steps into one wrapping. False, with nothing changed, if there is none that can be read. */
static bool unwrap(struct part *part, const struct packet *p, struct sighting *at)
{
	struct part inner = *part;
	struct sighting seen = *at;
	bool behind;

	if (!p->l4 || p->fragment)
		return false;
	if (inner.captured > p->l3_end)
		inner.captured = p->l3_end; /* padding is no part of it */
	inner.length = p->l3_end;
	switch (p->proto) {
	case CAPSULATOR_PROTO: behind = capsulator(&inner, p, &seen); break;
	case IPPROTO_UDP: behind = p->payload && vxlan(&inner, p, &seen); break;
	case IPPROTO_GRE: behind = gre(&inner, p, &seen); break;
	default: return false;
	}
	if (!behind)
		return false;
	*part = inner;
	*at = seen;
	return true;
}

/*
 * The same for IPv4, which most packets are of. Written in words as wide as keys are read in when
 * they are compared: a processor has to wait for what was written in smaller pieces.
 */
static inline uint8_t make_key_v4(struct flow_key *restrict k, const uint8_t *restrict ip,
				  const uint8_t *restrict ports)
{
	uint64_t source = (uint64_t)load_be32(ip + 12) << 16 | load_be16(ports);
	uint64_t sink = (uint64_t)load_be32(ip + 16) << 16 | load_be16(ports + 2);
	uint8_t first = source > sink;
	uint64_t low = first ? sink : source, high = first ? source : sink;
	/* Ports as they are in memory, and the version. */
	uint64_t rest = (uint64_t)htobe16((uint16_t)low) << 48 |
			(uint64_t)htobe16((uint16_t)high) << 32 | 4u << 24;

	static_assert(sizeof(rest) == sizeof(*k) - offsetof(struct flow_key, port),
		      "what follows the addresses is one word");
	memset(k->addr, 0, sizeof(k->addr));
	store_be64(k->addr[0] + 8, low >> 16);
	store_be64(k->addr[1] + 8, high >> 16);
	store_be64((uint8_t *)k->port, rest);
	return first;
}

static uint8_t make_key_v6(struct flow_key *k, const uint8_t *ip, const uint8_t *ports)
{
	int order = memcmp(ip + 8, ip + 24, 16);
	uint8_t first = order > 0 || (!order && memcmp(ports, ports + 2, 2) > 0);
	unsigned i;

	memset(k, 0, sizeof(*k));
	k->version = 6;
	for (i = 0; i < 2; i++) {
		memcpy(k->addr[i ^ first], ip + 8 + 16 * i, 16);
		k->port[i ^ first] = load_be16(ports + 2 * i);
	}
	return first;
}

/* Puts two ends into a key, the lower first. Returns which end the first one given is. */
static inline uint8_t make_key(struct flow_key *k, unsigned version, const uint8_t *ip,
			       const uint8_t *ports)
{
	return version == 4 ? make_key_v4(k, ip, ports) : make_key_v6(k, ip, ports);
}

static void read_option(struct segment *s, const struct tcpopt *o)
{
	unsigned i;

	switch (o->kind) {
	case TCPOPT_KIND_MSS:
		if (o->len == 4)
			s->mss = load_be16(o->data);
		break;
	case TCPOPT_KIND_WSCALE:
		/* RFC 7323 section 2.3: more than 14 is taken as 14. */
		if (o->len == 3)
			s->wscale = (int8_t)(o->data[0] > TCP_WSCALE_MAX ? TCP_WSCALE_MAX
									 : o->data[0]);
		break;
	case TCPOPT_KIND_SACK_PERMITTED: s->sack_ok = true; break;
	case TCPOPT_KIND_TIMESTAMPS:
		if (o->len != 10)
			break;
		s->has_ts = true;
		s->tsval = load_be32(o->data);
		s->tsecr = load_be32(o->data + 4);
		break;
	case TCPOPT_KIND_SACK:
		for (i = 0; i < 4 && 2 + 8 * (i + 1) <= o->len; i++) {
			s->sack[i][0] = load_be32(o->data + 8 * i);
			s->sack[i][1] = load_be32(o->data + 8 * i + 4);
		}
		s->sacks = (uint8_t)i;
		break;
	default: break;
	}
}

/* Words of a segment: parts in the order in which they lie in memory. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define FIRST(part, bits)  (part)
#define SECOND(part, bits) ((part) << (bits))
#else
#define FIRST(part, bits)  ((part) << (bits))
#define SECOND(part, bits) (part)
#endif

static inline __attribute__((always_inline)) void put_pair(void *to, uint64_t first,
							   uint64_t second)
{
	uint64_t word = FIRST(first, 32) | SECOND(second, 32);

	memcpy(to, &word, sizeof(word));
}

static inline __attribute__((always_inline)) void put_four(void *to, uint32_t a, uint32_t b,
							   uint32_t c, uint32_t d)
{
	put_pair(to, FIRST(a, 16) | SECOND(b, 16), FIRST(c, 16) | SECOND(d, 16));
}

static inline __attribute__((always_inline)) void no_options(struct segment *s, bool but_ts)
{
	static const struct {
		uint16_t mss;
		int8_t wscale;
		bool sack_ok, has_ts, options_cut, malformed;
		uint8_t sacks;
	} none = {.wscale = -1}, ts = {.wscale = -1, .has_ts = true};

	static_assert(sizeof(none) == offsetof(struct segment, at) - offsetof(struct segment, mss),
		      "the same fields as a segment has");
	memcpy(&s->mss, but_ts ? &ts : &none, sizeof(none));
}

/* Not inlined: what it needs of the stack, most packets do not. */
static __attribute__((noinline)) void walk_options(struct segment *s, const uint8_t *tcp,
						   size_t captured)
{
	struct tcpopt_iter it;
	struct tcpopt o;

	no_options(s, false);
	s->tsval = s->tsecr = 0;
	if (tcp[12] >> 4 == 5)
		return;
	if (!tcpopt_begin(&it, tcp, captured)) {
		s->options_cut = true;
		return;
	}
	while (tcpopt_next(&it, &o))
		read_option(s, &o);
	s->malformed = it.malformed;
}

/* By far the most frequent options: two NOPs and timestamps (RFC 7323 appendix A). */
#define USUAL_HEADER  32
#define USUAL_OPTIONS 0x0101080au

static inline void read_options(struct segment *s, const uint8_t *tcp, size_t captured, bool usual)
{
	if (usual || (tcp[12] >> 4 == USUAL_HEADER / 4 && captured >= USUAL_HEADER &&
		      load_be32(tcp + 20) == USUAL_OPTIONS)) {
		no_options(s, true);
		put_pair(&s->tsecr, load_be32(tcp + 28), load_be32(tcp + 24));
		return;
	}
	walk_options(s, tcp, captured);
}

/*
 * Reads a segment whose fixed header is there, and whose data offset can be.
 * @tcp: its first byte
 * @len: of header and payload, on the wire
 * @captured: bytes at @tcp
 * @frame: bytes of the whole frame on the wire
 * @usual: it is known that the options are USUAL_OPTIONS, and there
 */
static inline __attribute__((always_inline)) enum decap read_segment(
	struct segment *restrict s, unsigned version, const uint8_t *restrict ip,
	const uint8_t *restrict tcp, size_t len, size_t captured, uint32_t frame, bool usual)
{
	size_t header = usual ? USUAL_HEADER : (size_t)(tcp[12] >> 4) * 4;

	put_pair(&s->ack, load_be32(tcp + 8), load_be32(tcp + 4));
	put_four(&s->flags, tcp[13], load_be16(tcp + 14), load_be16(tcp + 16),
		 version == 4 ? load_be16(ip + 4) : 0);
	put_pair(&s->len, (uint32_t)(len - header), frame);
	s->ttl = ip[version == 4 ? 8 : 7];
	s->ce = ((version == 4 ? ip[1] : ip[1] >> 4) & 3) == 3;
	read_options(s, tcp, captured, usual);
	return DECAP_TCP;
}

/* An ICMP error holds the beginning of the packet that it is about: IP and 8 bytes of TCP. */
static enum decap read_too_big(const struct part *part, const struct packet *p, struct too_big *big)
{
	const uint8_t *icmp = part->data + p->l4, *ip = icmp + 8;
	size_t header, left;

	if (part->captured < p->l4 + 8u + 40)
		return DECAP_OTHER;
	left = part->captured - p->l4 - 8;
	if (p->ip_version == 4) {
		header = (ip[0] & 0xfu) * 4;
		if (icmp[0] != ICMP4_UNREACHABLE || icmp[1] != ICMP4_TOO_BIG ||
		    ip[9] != IPPROTO_TCP)
			return DECAP_OTHER;
		big->mtu = load_be16(icmp + 6);
	} else {
		header = 40;
		if (icmp[0] != ICMP6_TOO_BIG || ip[6] != IPPROTO_TCP)
			return DECAP_OTHER;
		big->mtu = load_be32(icmp + 4);
	}
	if (ip[0] >> 4 != p->ip_version || header < 20 || left < header + 8)
		return DECAP_OTHER;
	big->from = make_key(&big->key, p->ip_version, ip, ip + header);
	return DECAP_TOO_BIG;
}

static bool is_icmp(const struct packet *p)
{
	return p->proto == (p->ip_version == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
}

/* Parses as deep as it goes. @p: the innermost packet; its error is returned. */
static enum packet_error innermost(struct part *part, struct packet *p, struct sighting *at)
{
	enum packet_error err;
	int depth;

	for (depth = 0;; depth++) {
		err = packet_parse_captured(part->data, part->captured, part->length, part->at,
					    part->ethertype, p);
		if (err || depth == DECAP_DEPTH || !unwrap(part, p, at))
			return err;
	}
}

static bool begin(const struct cap_packet *p, struct part *part, struct sighting *at,
		  enum decap *what)
{
	*part = (struct part){.data = p->data, .captured = p->captured, .length = p->length};
	*at = (struct sighting){.interface = p->interface, .way = p->way};
	*what = link_layer(p, part, at);
	return *what == DECAP_OTHER;
}

/* decap() for whatever is not plain. */
static __attribute__((noinline)) enum decap decap_any(const struct cap_packet *p, struct segment *s,
						      struct too_big *big)
{
	struct part part;
	struct packet k;
	enum packet_error err;
	enum decap what;

	s->macs = NULL;
	if (!begin(p, &part, &s->at, &what))
		return what;
	err = innermost(&part, &k, &s->at);
	if (k.fragment && !k.first_fragment)
		return DECAP_FRAGMENT;
	if (k.l4 && k.proto == IPPROTO_TCP && k.l4 + (size_t)TCP_HDR_MIN <= part.captured) {
		size_t header = (size_t)(part.data[k.l4 + TCP_OFFSET] >> 4) * 4;

		if (header < TCP_HDR_MIN || k.l4 + header > k.l3_end)
			return DECAP_INVALID;
		s->at.vid = k.vid;
		s->macs = part.macs;
		s->from = make_key(&s->key, k.ip_version, part.data + k.l3, part.data + k.l4);
		return read_segment(s, k.ip_version, part.data + k.l3, part.data + k.l4,
				    k.l3_end - k.l4, part.captured - k.l4, p->length, false);
	}
	if (err == PACKET_L3_INVALID)
		return DECAP_INVALID;
	if (err)
		return DECAP_CUT;
	if (!k.l4 || !is_icmp(&k))
		return DECAP_OTHER;
	big->time_ns = p->time_ns;
	return read_too_big(&part, &k, big);
}

/* What packet_plain_tcp() has found. */
static inline __attribute__((always_inline)) enum decap read_plain(const struct cap_packet *p,
								   struct segment *s,
								   unsigned version, unsigned l4,
								   uint32_t end, bool usual)
{
	put_pair(&s->at.interface, p->interface, 0);
	put_pair(&s->at.tag, 0, FIRST(FIRST(0u, 8) | SECOND((uint32_t)p->way, 8), 16));
	s->macs = p->data;
	return read_segment(s, version, p->data + ETH_HDR_LEN, p->data + l4, end - l4,
			    p->captured - l4, p->length, usual);
}

/* A copy of its own, so that IPv4's has none of its branches and calls. */
static __attribute__((noinline)) enum decap read_plain_v6(const struct cap_packet *p,
							  struct segment *s, uint32_t end)
{
	s->from = make_key_v6(&s->key, p->data + ETH_HDR_LEN, p->data + ETH_HDR_LEN + 40);
	return read_plain(p, s, 6, ETH_HDR_LEN + 40, end, false);
}

/*
 * Finds the TCP segment in a captured packet: behind VLAN tags, and inside the
 * capsulator's protocol 245, VXLAN and GRE, up to DECAP_DEPTH of them.
 * @s:   filled in where it is one; what it points to are the packet's bytes
 * @big: filled in where it is an ICMP error about one
 *
 * Returns what it is.
 */
enum decap decap(const struct cap_packet *p, struct segment *s, struct too_big *big)
{
	uint32_t end;
	unsigned l4;

	s->time_ns = p->time_ns;
	s->as_last = false;
	l4 = p->link == LINK_ETHERNET ? packet_plain_tcp(p->data, p->captured, p->length, &end) : 0;
	if (l4 == ETH_HDR_LEN + 20) {
		s->from = make_key_v4(&s->key, p->data + ETH_HDR_LEN, p->data + l4);
		return read_plain(p, s, 4, ETH_HDR_LEN + 20, end, false);
	}
	return l4 ? read_plain_v6(p, s, end) : decap_any(p, s, big);
}

/* Who talks, as it stands in the packets of a flow that are plain, and IPv4. */
struct ends {
	uint64_t addr, addr_back; /* the latter: in those of the other direction */
	uint32_t port, port_back;
};

static inline struct ends read_ends(const uint8_t *frame)
{
	struct ends e;

	memcpy(&e.addr, frame + ETH_HDR_LEN + 12, 8);
	memcpy(&e.port, frame + ETH_HDR_LEN + 20, 4);
	e.addr_back = e.addr << 32 | e.addr >> 32;
	e.port_back = e.port << 16 | e.port >> 16;
	return e;
}

/* The fields of a word that must be what they are in another. */
static inline uint32_t differ(const uint8_t *at, uint32_t like, uint32_t fields)
{
	return (load_be32(at) ^ like) & fields;
}

/*
 * Whether a packet is what most are: IPv4 as packet_plain_tcp() wants it, with USUAL_OPTIONS. All
 * is asked at once, since it is so or not so again and again.
 * @end: of the IP packet
 */
static inline bool is_usual(const struct cap_packet *p, uint32_t *end)
{
	const uint8_t *ip = p->data + ETH_HDR_LEN, *tcp = ip + 20;
	const uint32_t least = ETH_HDR_LEN + 20 + USUAL_HEADER;

	if (p->link != LINK_ETHERNET || p->captured < least)
		return false;
	*end = ETH_HDR_LEN + (uint32_t)load_be16(ip + 2);
	return !(differ(ip - 2, 0x08004500, 0xffffff00) | differ(ip + 6, 6, 0x3fff00ff) |
		 differ(tcp + 12, USUAL_HEADER / 4u << 28, 0xf0000000) |
		 differ(tcp + 20, USUAL_OPTIONS, UINT32_MAX)) &&
	       *end >= least && *end <= p->length;
}

/*
 * decap() for packets that follow each other, which are of the same flow more often than not: then
 * there is no key to make and to compare.
 * @n: at most 65536
 * @what: enum decap of each
 * @keyed: which of them are segments of another flow than the one before, and have a key
 *
 * Returns how many are segments.
 */
size_t decap_batch(const struct cap_packet *p, size_t n, struct segment *s, uint8_t *what,
		   uint16_t *keyed, size_t *n_keyed)
{
	const struct flow_key *key = NULL; /* of the last segment */
	struct ends last = {0};		   /* …if that was plain */
	bool plain = false;
	uint8_t from = 0; /* end that sent that packet */
	size_t i, tcp = 0, others = 0;

	for (i = 0; i < n; i++, p++, s++) {
		struct too_big big;
		uint32_t end;
		bool usual = is_usual(p, &end);

		if (usual ||
		    (p->link == LINK_ETHERNET &&
		     packet_plain_tcp(p->data, p->captured, p->length, &end) == ETH_HDR_LEN + 20)) {
			struct ends e = read_ends(p->data);
			bool same = !((e.addr ^ last.addr) | (e.port ^ last.port));
			bool back = !((e.addr ^ last.addr_back) | (e.port ^ last.port_back));

			s->time_ns = p->time_ns;
			what[i] = DECAP_TCP;
			read_plain(p, s, 4, ETH_HDR_LEN + 20, end, usual);
			if (plain & (same | back)) {
				s->from = from ^ !same;
				s->as_last = true;
				tcp++;
				continue;
			}
			s->from = make_key_v4(&s->key, p->data + ETH_HDR_LEN,
					      p->data + ETH_HDR_LEN + 20);
			last = e;
			from = s->from;
			plain = true;
		} else {
			what[i] = (uint8_t)decap(p, s, &big);
			if (what[i] != DECAP_TCP)
				continue;
			plain = false;
		}
		tcp++;
		s->as_last = key && flow_key_equal(key, &s->key);
		if (!s->as_last)
			keyed[others++] = (uint16_t)i;
		key = &s->key;
	}
	*n_keyed = others;
	return tcp;
}

/*
 * Finds the frame inside whatever a captured one is wrapped in, or that one itself if it is not
 * wrapped. Where it has no Ethernet header (cooked, raw IP, GRE), what is behind the link layer.
 * @inner: filled in; its bytes are the packet's
 *
 * Returns false if its link layer is not known, or not whole.
 */
bool decap_inner(const struct cap_packet *p, struct inner_frame *inner)
{
	struct part part;
	struct packet k;
	enum decap what;

	if (!begin(p, &part, &inner->at, &what))
		return false;
	innermost(&part, &k, &inner->at);
	inner->ethertype = 0;
	if (!part.macs) {
		step_into(&part, part.at);
		inner->ethertype = part.ethertype;
	}
	inner->data = part.data;
	inner->captured = (uint32_t)part.captured;
	inner->length = (uint32_t)part.length;
	return true;
}
