// SPDX-License-Identifier: GPL-3.0-or-later
/* conf.c - what a tunnel was asked to do: parsed once, immutable afterwards */
#include "tunnel/conf.h"

#include "tunnel/proto.h"

#include "accel/stream_proto.h"
#include "lib/opts.h"
#include "lib/units.h"

#include <stdlib.h>
#include <string.h>

#define WSCALE_MAX 14 /* RFC 7323 section 2.3 */
#define STORM_MAX  1000000000ull

static int parse_mtu(uint32_t *mtu, const char *value, struct err *e)
{
	uint64_t n;

	if (!strcmp(value, "auto")) {
		*mtu = MTU_AUTO;
		return 0;
	}
	if (!strcmp(value, "off")) {
		*mtu = MTU_OFF;
		return 0;
	}
	if (units_count(value, MTU_MIN, MTU_MAX, &n, e))
		return err_set(e, EINVAL, "'%s' is not an MTU: auto, off, or %d…%d bytes", value,
			       MTU_MIN, MTU_MAX);
	*mtu = (uint32_t)n;
	return 0;
}

static int parse_wscale(int *wscale, const char *value, struct err *e)
{
	uint64_t n;

	if (!strcmp(value, "off")) {
		*wscale = WSCALE_OFF;
		return 0;
	}
	if (units_count(value, 0, WSCALE_MAX, &n, e))
		return err_set(e, EINVAL, "'%s' is not a window scale: off, or 0…%d (RFC 7323)",
			       value, WSCALE_MAX);
	*wscale = (int)n;
	return 0;
}

static int call_mtu(void *c, const char *value, struct err *e)
{
	return parse_mtu(&((struct conf *)c)->tag_defaults.mtu, value, e);
}

static int call_wscale(void *c, const char *value, struct err *e)
{
	return parse_wscale(&((struct conf *)c)->tag_defaults.wscale, value, e);
}

static int call_tag_mtu(void *t, const char *value, struct err *e)
{
	return parse_mtu(&((struct conf_tag *)t)->mtu, value, e);
}

static int call_tag_wscale(void *t, const char *value, struct err *e)
{
	return parse_wscale(&((struct conf_tag *)t)->wscale, value, e);
}

/* Reads accel = no|yes|FILTER. */
static int call_tag_accel(void *ctx, const char *value, struct err *e)
{
	struct conf_tag *t = ctx;

	if (!*value)
		return err_set(e, EINVAL, "is empty: no, yes or a filter, see pcap-filter(7)");
	t->accel = strcmp(value, "no") != 0;
	if (!t->accel || !strcmp(value, "yes"))
		return 0;
	t->accel_filter = filter_compile(value, e);
	return t->accel_filter ? 0 : -EINVAL;
}

static int call_tag_bypass(void *ctx, const char *value, struct err *e)
{
	struct conf_tag *t = ctx;

	if (!*value)
		return err_set(e, EINVAL, "is empty: a filter, see pcap-filter(7)");
	t->bypass_filter = filter_compile(value, e);
	return t->bypass_filter ? 0 : -EINVAL;
}

/* Reads stripes = 1…8|auto. */
static int parse_stripes(struct conf_tag *t, const char *value, struct err *e)
{
	uint64_t n = STRIPES_MAX;

	t->stripes_auto = !strcmp(value, "auto");
	if (!t->stripes_auto && units_count(value, 1, STRIPES_MAX, &n, e))
		return err_set(e, EINVAL, "'%s' is neither a number from 1 to %d nor auto", value,
			       STRIPES_MAX);
	t->stripes = (unsigned)n;
	return 0;
}

static int call_stripes(void *c, const char *value, struct err *e)
{
	return parse_stripes(&((struct conf *)c)->tag_defaults, value, e);
}

static int call_tag_stripes(void *t, const char *value, struct err *e)
{
	return parse_stripes(t, value, e);
}

static int call_peer_warm(void *p, const char *value, struct err *e)
{
	struct conf_peer *peer = p;

	peer->has_warm = true;
	return opts_bool(value, &peer->warm, e);
}

static int parse_tag(uint32_t *tag, const char *value, struct err *e)
{
	uint64_t n;

	if (units_count(value, 0, UINT32_MAX, &n, e))
		return err_set(e, EINVAL, "tag '%s' is not a number from 0 to %u", value,
			       UINT32_MAX);
	*tag = (uint32_t)n;
	return 0;
}

static int call_port_tag(void *p, const char *value, struct err *e)
{
	struct conf_port *port = p;

	port->has_tag = true;
	return parse_tag(&port->tag, value, e);
}

static struct conf_port *add_port(struct conf *c, const char *name, size_t len, struct err *e)
{
	struct conf_port *p;
	unsigned i;

	if (!len || len >= IFNAMSIZ) {
		err_set(e, EINVAL, "'%.*s' is not an interface name (1 to %d characters)", (int)len,
			name, IFNAMSIZ - 1);
		return NULL;
	}
	for (i = 0; i < c->n_ports; i++) {
		if (strlen(c->ports[i].name) == len && !memcmp(c->ports[i].name, name, len)) {
			err_set(e, EEXIST,
				"border port %.*s is given twice; one interface carries one tag",
				(int)len, name);
			return NULL;
		}
	}
	if (c->n_ports == PORTS_MAX) {
		err_set(e, E2BIG, "more than %d border ports", PORTS_MAX);
		return NULL;
	}
	p = &c->ports[c->n_ports++];
	*p = (struct conf_port){.mtu = 1500};
	memcpy(p->name, name, len);
	return p;
}

/* Reads IF:TAG of 2008, or IF#TAG of the later program; ",accel" may follow. */
static int add_port_spec(struct conf *c, const char *value, int kind, struct err *e)
{
	size_t len = strcspn(value, ":#"), tag_len;
	struct conf_port *p;
	char tag[16];

	if (!value[len])
		return err_set(e, EINVAL, "'%s' lacks its tag; write it like eth1:1", value);
	p = add_port(c, value, len, e);
	if (!p)
		return -EINVAL;
	p->kind = kind;
	p->positional = value[len] == '#';
	value += len + 1;
	tag_len = strcspn(value, ",");
	if (!value[tag_len] || tag_len >= sizeof(tag))
		return call_port_tag(p, value, e);
	if (strcmp(value + tag_len, ",accel"))
		return err_set(
			e, EINVAL,
			"tag '%s' is not a number from 0 to %u; only ',accel' may follow one",
			value, UINT32_MAX);
	p->accel = true;
	memcpy(tag, value, tag_len);
	tag[tag_len] = '\0';
	return call_port_tag(p, tag, e);
}

static int call_border(void *c, const char *value, struct err *e)
{
	return add_port_spec(c, value, CONF_PORT_PACKET, e);
}

static int call_virtual_border(void *c, const char *value, struct err *e)
{
	return add_port_spec(c, value, CONF_PORT_TAP, e);
}

static struct conf_peer *add_peer(struct conf *c, const char *name, size_t len, struct err *e)
{
	struct conf_peer *p;

	if (!len || len >= CONF_NAME_MAX) {
		err_set(e, EINVAL, "'%.*s' is not a peer (1 to %d characters)", (int)len, name,
			CONF_NAME_MAX - 1);
		return NULL;
	}
	if (c->n_peers == PEERS_MAX) {
		err_set(e, E2BIG, "more than %d peers", PEERS_MAX);
		return NULL;
	}
	p = &c->peers[c->n_peers++];
	*p = (struct conf_peer){0};
	memcpy(p->name, name, len);
	return p;
}

/* Reads -f A,B,…: each address is a peer named after itself. */
static int call_far(void *ctx, const char *value, struct err *e)
{
	struct conf *c = ctx;
	struct conf_peer *p;
	size_t len;

	for (;; value += len + 1) {
		len = strcspn(value, ",");
		p = add_peer(c, value, len, e);
		if (!p)
			return -EINVAL;
		p->address = p->name;
		if (!value[len])
			return 0;
	}
}

/* The next of a comma list's words at *at, which moves on; blanks around it are none of it. Returns
 * its length; *at is NULL behind the last. */
static size_t next_word(const char **at, const char **word)
{
	size_t len = strcspn(*at, ",");

	*word = *at;
	*at = (*at)[len] ? *at + len + 1 : NULL;
	while (len && strchr(" \t", **word)) {
		(*word)++;
		len--;
	}
	while (len && strchr(" \t", (*word)[len - 1]))
		len--;
	return len;
}

/* Finds a word of @len bytes in a table. Returns its index, -1 if it is not there. */
static int find_word(const char *const *names, size_t n, const char *word, size_t len)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (strlen(names[i]) == len && !memcmp(names[i], word, len))
			return (int)i;
	return -1;
}

/* Reads a list of fast paths; the order is that of the WITHOUT_ bits. */
static int call_without(void *ctx, const char *value, struct err *e)
{
	static const char *const names[] = {"vnet-hdr",	      "merge",	     "udp-gso",	  "udp-gro",
					    "ipsec-mb",	      "partial",     "sk-lookup", "tproxy",
					    "initial-window", "port-windows"};
	struct conf *c = ctx;
	const char *word;
	size_t len;
	int i;

	while (value) {
		len = next_word(&value, &word);
		i = find_word(names, sizeof(names) / sizeof(*names), word, len);
		if (i < 0)
			return err_set(e, EINVAL,
				       "'%.*s' is not one of: vnet-hdr, merge, udp-gso, udp-gro, "
				       "ipsec-mb, partial, sk-lookup, tproxy, initial-window, "
				       "port-windows",
				       (int)len, word);
		c->without |= 1u << i;
	}
	return 0;
}

/* Reads a list of ciphers, best first. */
static int call_ciphers(void *ctx, const char *value, struct err *e)
{
	struct conf *c = ctx;
	const char *word;
	size_t len;
	int i;

	c->ciphers = 0;
	while (value) {
		len = next_word(&value, &word);
		i = find_word(aead_cipher_names, AEAD_CIPHERS, word, len);
		if (i < 0)
			return err_set(e, EINVAL, "'%.*s' is not one of: %s, %s", (int)len, word,
				       aead_cipher_names[0], aead_cipher_names[1]);
		if (c->ciphers & 1u << i)
			return err_set(e, EINVAL, "'%.*s' is given twice", (int)len, word);
		c->cipher_order[__builtin_popcount(c->ciphers)] = (uint8_t)i;
		c->ciphers |= 1u << i;
	}
	return 0;
}

static int parse_fingerprint(struct fingerprint *fp, const char *word, size_t len, struct err *e)
{
	char text[FINGERPRINT_TEXT];

	if (len == FINGERPRINT_TEXT - 1) {
		memcpy(text, word, len);
		text[len] = '\0';
		if (fingerprint_parse(text, fp))
			return 0;
	}
	return err_set(
		e, EINVAL,
		"'%.*s' is not a fingerprint: the 64 hexadecimal digits that `longhaul keygen` "
		"printed at the far end",
		(int)len, word);
}

/* Reads --trust FP,…: the n-th is the n-th far end's, further ones are of peers that call us. */
static int call_trust(void *ctx, const char *value, struct err *e)
{
	struct conf *c = ctx;
	const char *word;
	size_t len;
	int ret;

	while (value) {
		len = next_word(&value, &word);
		if (c->n_trusts == PEERS_MAX)
			return err_set(e, E2BIG, "more than %d fingerprints", PEERS_MAX);
		ret = parse_fingerprint(&c->trusts[c->n_trusts++], word, len, e);
		if (ret)
			return ret;
	}
	return 0;
}

static int call_peer_trust(void *ctx, const char *value, struct err *e)
{
	struct conf_peer *p = ctx;

	p->has_trust = true;
	return parse_fingerprint(&p->trust, value, strlen(value), e);
}

static const char *const outer_names[] = {"sealed", "capsulator", NULL};
/* Names of enum conf_oversize. */
const char *const conf_oversize_names[] = {"fragment", "hint", "drop", NULL};
static const char *const tos_names[] = {"copy", "off", NULL};
static const char *const port_kinds[] = {"packet", "tap", NULL};

#define CONF(field) offsetof(struct conf, field)

static const struct opt tunnel_table[] = {
	{"Where", .type = OPT_HEADING},
	{"interface", 't', .type = OPT_STRING, .arg = "IF", .offset = CONF(interface),
	 .help = "tunnel interface: packets to and from the far ends use it"},
	{"far", 'f', .type = OPT_CALL, .flags = OPT_CLI_ONLY | OPT_REPEAT, .arg = "ADDR[,ADDR…]",
	 .call = call_far, .help = "far ends, up to 64; in a file: [peer NAME] address ="},
	{"border", 'b', .type = OPT_CALL, .flags = OPT_CLI_ONLY | OPT_REPEAT, .arg = "IF:TAG",
	 .call = call_border,
	 .help = "border port: an interface whose LAN is bridged to the ports of the same tag at the far "
		 "ends; may be repeated; in a file: [port IF] tag =. Written IF#TAG, the n-th port goes "
		 "to the n-th far end only (unless -a). Followed by \",accel\", TCP of that tag is ended at both "
		 "sites; in a file: [tag N] accel ="},
	{"virtual-border", 0, "-vb", OPT_CALL, OPT_CLI_ONLY | OPT_REPEAT, "TAP:TAG",
	 .call = call_virtual_border, .help = "border port that is a TAP device made for it"},
	{"all", 'a', .type = OPT_FLAG, .flags = OPT_CLI_ONLY, .offset = CONF(all),
	 .help = "ports written IF#TAG go to every far end"},
	{"Transport", .type = OPT_HEADING},
	{"outer", 0, .type = OPT_CHOICE, .arg = "KIND", .deflt = "sealed", .offset = CONF(outer),
	 .choices = outer_names,
	 .help = "how frames travel: sealed (authenticated and encrypted), or capsulator (protocol 245, "
		 "PLAIN TEXT, as in 2008)"},
	{"identity", 0, .type = OPT_STRING, .arg = "DIR", .offset = CONF(identity),
	 .help = "sealed: directory with key.pem and cert.pem, made by `longhaul keygen DIR`"},
	{"trust", 0, .type = OPT_CALL, .flags = OPT_CLI_ONLY | OPT_REPEAT, .arg = "FP[,FP…]",
	 .call = call_trust,
	 .help = "sealed: fingerprints of the far ends, in the order of -f; further ones are of peers that call "
		 "us (behind NAT); in a file: [peer NAME] trust ="},
	{"listen", 0, .type = OPT_STRING, .arg = "ADDR[:PORT]", .offset = CONF(listen),
	 .help = "sealed: where peers reach us, UDP and TCP; default: port 7245 on every address"},
	{"workers", 0, .type = OPT_COUNT, .arg = "N", .deflt = "0", .offset = CONF(workers),
	 .max = WORKERS_MAX,
	 .help = "sealed: threads that move frames, up to 64; 0: one a processor that we may use, or "
		 "for two where some tag is accelerated"},
	{"ciphers", 0, .type = OPT_CALL, .arg = "LIST", .deflt = "aes-256-gcm,chacha20-poly1305",
	 .call = call_ciphers, .help = "sealed: ciphers allowed, best first; who calls decides"},
	{"rekey-after-time", 0, .type = OPT_TIME, .arg = "TIME", .deflt = "1h",
	 .offset = CONF(rekey_after_ns), .min = 1000000000ull, .max = 3600000000000ull * 2,
	 .help = "sealed: agree new keys after TIME"},
	{"rekey-after-packets", 0, .type = OPT_COUNT, .arg = "N", .deflt = "268435456",
	 .offset = CONF(rekey_after_packets), .min = 100, .max = SESSION_PACKETS_MAX,
	 .help = "sealed: …or after N packets of one worker"},
	{"dead-after", 0, .type = OPT_TIME, .arg = "TIME", .deflt = "3s",
	 .offset = CONF(dead_after_ns), .min = 1000000000ull, .max = 600000000000ull,
	 .help = "sealed: a peer is down when no probe came back for TIME"},
	{"rate", 0, .type = OPT_RATE, .arg = "RATE", .offset = CONF(rate_bps), .min = RATE_MIN,
	 .max = RATE_MAX,
	 .help = "what the path to each far end may carry, e.g. 90mbit: frames and streams are paced to it "
		 "together and flows take turns, so that no queue grows in the path; default: not paced"},
	{"warm", 0, .type = OPT_FLAG, .offset = CONF(warm),
	 .help = "accel: grow the window of a stream to each far end by padding, up to 64 MB an hour, so that "
		 "a first flow is as fast as the next; for paths whose rate is not known"},
	{"outage", 0, .type = OPT_TIME, .arg = "TIME", .deflt = "30s", .offset = CONF(outage_ns),
	 .min = 2000000000ull, .max = 3600000000000ull,
	 .help = "accel: a peer or host that is silent for TIME is given up, its connections are reset"},
	{"relay-threads", 0, .type = OPT_COUNT, .arg = "N", .deflt = "0",
	 .offset = CONF(relay_threads), .max = WORKERS_MAX,
	 .help = "accel: threads that relay connections, up to 64; 0: one a processor that we may use"},
	{"accel-memory", 0, .type = OPT_SIZE, .arg = "SIZE", .offset = CONF(accel_memory),
	 .min = 1 << 20, .max = 1ull << 40,
	 .help = "accel: what connections may have waiting for hosts that do not read, together; beyond it "
		 "new ones are bridged; default: half of what TCP has before it economises (tcp_mem)"},
	{"stripes", 0, .type = OPT_CALL, .arg = "N|auto", .deflt = "1", .call = call_stripes,
	 .help = "accel: a connection may use N streams between the sites, 1 to 8; auto: as many of 8 as "
		 "bring something. The lower number of both sites counts"},
	{"congestion", 0, .type = OPT_STRING, .arg = "NAME", .offset = CONF(congestion),
	 .help = "accel: congestion control between the sites; default: bbr where the kernel has it"},
	{"TCP, MTU and class", .type = OPT_HEADING},
	{"mtu", 'm', .type = OPT_CALL, .arg = "N|auto|off", .deflt = "auto", .call = call_mtu,
	 .help = "clamp the MSS of SYNs to N - 40 (IPv4) or N - 60 (IPv6); never raised; auto: what fits "
		 "the path to each far end now without fragments, in both directions"},
	{"oversize", 0, .type = OPT_CHOICE, .arg = "WHAT", .deflt = "fragment",
	 .offset = CONF(tag_defaults.oversize), .choices = conf_oversize_names,
	 .help = "frames that the path does not carry whole: fragment: they travel in fragments; hint: their "
		 "senders are told by ICMP besides; drop: those whose senders are told are dropped"},
	{"mtu-raise", 0, .type = OPT_TIME, .arg = "TIME", .deflt = "600s",
	 .offset = CONF(mtu_raise_ns), .min = 1000000000ull, .max = 86400000000000ull,
	 .help = "sealed: look for a larger path MTU every TIME"},
	{"tos", 0, .type = OPT_CHOICE, .arg = "HOW", .deflt = "copy", .offset = CONF(tos),
	 .choices = tos_names,
	 .help = "sealed: copy: DSCP and ECN of a frame are also its outer packet's, and congestion on the "
		 "path is told to the receiver (RFC 6040); off: outer packets have none"},
	{"wscale", 'w', .type = OPT_CALL, .arg = "N|off", .deflt = "off", .call = call_wscale,
	 .help = "write window scale N where a SYN carries the option. Hazard: the host that sent it goes "
		 "on scaling by its own number"},
	{"Switching", .type = OPT_HEADING},
	{"mac-age", 0, .type = OPT_TIME, .arg = "TIME", .deflt = "300s", .offset = CONF(mac_age_ns),
	 .min = 1000000000ull, .max = 86400000000000ull,
	 .help = "forget a MAC that has been silent for TIME"},
	{"storm-limit", 0, .type = OPT_COUNT, .arg = "N", .deflt = "10000",
	 .offset = CONF(tag_defaults.storm_limit), .max = STORM_MAX,
	 .help = "broadcast and unknown-unicast frames a second from one port or peer"},
	{"max-macs", 0, .type = OPT_COUNT, .arg = "N", .deflt = "4096",
	 .offset = CONF(tag_defaults.max_macs), .min = 1, .max = 1000000,
	 .help = "MACs learnt behind one port or peer"},
	{"Running", .type = OPT_HEADING},
	{"config", 'c', .type = OPT_STRING, .flags = OPT_CLI_ONLY, .arg = "FILE",
	 .offset = CONF(config), .help = "configuration file; options given besides beat it"},
	{"check", 0, .type = OPT_FLAG, .flags = OPT_CLI_ONLY, .offset = CONF(check),
	 .help = "check configuration, interfaces and peers, then exit: 0 good, 2 not"},
	{"name", 0, .type = OPT_STRING, .arg = "NAME", .offset = CONF(name),
	 .help = "instance name for `longhaul status NAME`; default: the tunnel interface"},
	{"site", 0, .type = OPT_STRING, .arg = "NAME", .offset = CONF(site),
	 .help = "what this site is called in status and logs"},
	{"state", 0, .type = OPT_STRING, .arg = "DIR", .deflt = "/run/longhaul",
	 .offset = CONF(state), .help = "where what must outlive a crash is kept"},
	{"without", 0, .type = OPT_CALL, .arg = "FEATURE[,…]", .call = call_without,
	 .help = "do without fast paths and kernel features: vnet-hdr, merge, udp-gso, udp-gro, ipsec-mb, partial, "
		 "sk-lookup, tproxy, initial-window, port-windows"},
	{"verbose", 'v', .type = OPT_FLAG, .flags = OPT_CLI_ONLY, .offset = CONF(verbose),
	 .help = "say more on standard error"},
	{0},
};

static const struct opt port_table[] = {
	{"tag", .type = OPT_CALL, .call = call_port_tag},
	{"kind", .type = OPT_CHOICE, .offset = offsetof(struct conf_port, kind),
	 .choices = port_kinds},
	{"mtu", .type = OPT_COUNT, .offset = offsetof(struct conf_port, mtu), .min = MTU_MIN,
	 .max = MTU_MAX},
	{0},
};

static const struct opt peer_table[] = {
	{"trust", .type = OPT_CALL, .call = call_peer_trust},
	{"address", .type = OPT_STRING, .offset = offsetof(struct conf_peer, address)},
	{"rate", .type = OPT_RATE, .offset = offsetof(struct conf_peer, rate_bps), .min = RATE_MIN,
	 .max = RATE_MAX},
	{"warm", .type = OPT_CALL, .call = call_peer_warm},
	{0},
};

static const struct opt tag_table[] = {
	{"mtu", .type = OPT_CALL, .call = call_tag_mtu},
	{"wscale", .type = OPT_CALL, .call = call_tag_wscale},
	{"storm-limit", .type = OPT_COUNT, .offset = offsetof(struct conf_tag, storm_limit),
	 .max = STORM_MAX},
	{"max-macs", .type = OPT_COUNT, .offset = offsetof(struct conf_tag, max_macs), .min = 1,
	 .max = 1000000},
	{"oversize", .type = OPT_CHOICE, .offset = offsetof(struct conf_tag, oversize),
	 .choices = conf_oversize_names},
	{"accel", .type = OPT_CALL, .call = call_tag_accel},
	{"bypass", .type = OPT_CALL, .call = call_tag_bypass},
	{"stripes", .type = OPT_CALL, .call = call_tag_stripes},
	{0},
};

static const struct opts_usage usage = {
	.command = "tunnel",
	.synopsis = "-t IF -f ADDR -b IF:TAG … --identity DIR --trust FP [options]",
	.summary =
		"Bridges this site's border ports with those of the same tag at the far ends: Ethernet\n"
		"over IP. Runs in the foreground until SIGINT or SIGTERM and leaves nothing "
		"behind.",
	.examples =
		"  Two sites, authenticated and encrypted (make an identity at each, exchange fingerprints):\n"
		"    longhaul keygen /etc/longhaul/id\n"
		"    longhaul tunnel -t eth0 -f 203.0.113.7 -b eth1:1 --identity /etc/longhaul/id --trust FP\n"
		"  As in 2008, in plain text (run the same at the other end, "
		"addresses swapped):\n"
		"    longhaul tunnel -t eth0 -f 60.45.91.58 -b eth1:1 -b eth2:2 -w 7 -m 1400 "
		"--outer capsulator\n"
		"  From a file, checked first:\n"
		"    longhaul tunnel --config /etc/longhaul/tokyo.conf --check\n"
		"    longhaul tunnel --config /etc/longhaul/tokyo.conf\n"
		"  What it is doing:\n"
		"    longhaul status\n",
};

/* Prints the help of `longhaul tunnel`. */
void conf_help(void)
{
	opts_help(stdout, tunnel_table, &usage);
}

static void *open_tunnel(void *ctx, const char *instance, struct err *e)
{
	return ctx;
}

static void *open_port(void *ctx, const char *instance, struct err *e)
{
	return add_port(ctx, instance, strlen(instance), e);
}

static void *open_peer(void *ctx, const char *instance, struct err *e)
{
	struct conf *c = ctx;
	unsigned i;

	for (i = 0; i < c->n_peers; i++) {
		if (!strcmp(c->peers[i].name, instance)) {
			err_set(e, EEXIST, "peer %s is given twice", instance);
			return NULL;
		}
	}
	return add_peer(c, instance, strlen(instance), e);
}

/* What a [tag] section leaves open comes from [tunnel], wherever that stands: marked until then. */
static const struct conf_tag tag_unset = {.oversize = -1,
					  .mtu = MTU_OFF - 1,
					  .wscale = WSCALE_OFF - 1,
					  .storm_limit = UINT64_MAX,
					  .max_macs = UINT64_MAX};

static void *open_tag(void *ctx, const char *instance, struct err *e)
{
	struct conf *c = ctx;
	uint32_t tag = 0;
	unsigned i;

	if (parse_tag(&tag, instance, e))
		return NULL;
	for (i = 0; i < c->n_tags; i++) {
		if (c->tags[i].tag == tag) {
			err_set(e, EEXIST, "tag %u is given twice", tag);
			return NULL;
		}
	}
	if (c->n_tags == TAGS_MAX) {
		err_set(e, E2BIG, "more than %d tags", TAGS_MAX);
		return NULL;
	}
	c->tags[c->n_tags] = tag_unset;
	c->tags[c->n_tags].tag = tag;
	return &c->tags[c->n_tags++];
}

static const struct opts_section sections[] = {
	{"tunnel", false, tunnel_table, open_tunnel},
	{"port", true, port_table, open_port},
	{"peer", true, peer_table, open_peer},
	{"tag", true, tag_table, open_tag},
	{0},
};

static void inherit_tags(struct conf *c)
{
	const struct conf_tag *d = &c->tag_defaults;
	struct conf_tag *t;

	for (t = c->tags; t < c->tags + c->n_tags; t++) {
		if (t->mtu == tag_unset.mtu)
			t->mtu = d->mtu;
		if (t->wscale == tag_unset.wscale)
			t->wscale = d->wscale;
		if (t->storm_limit == tag_unset.storm_limit)
			t->storm_limit = d->storm_limit;
		if (t->max_macs == tag_unset.max_macs)
			t->max_macs = d->max_macs;
		if (t->oversize == tag_unset.oversize)
			t->oversize = d->oversize;
		if (!t->stripes) {
			t->stripes = d->stripes;
			t->stripes_auto = d->stripes_auto;
		}
	}
}

static void inherit_by_peers(struct conf *c)
{
	unsigned i;

	for (i = 0; i < c->n_peers; i++) {
		if (!c->peers[i].rate_bps)
			c->peers[i].rate_bps = c->rate_bps;
		if (!c->peers[i].has_warm)
			c->peers[i].warm = c->warm;
	}
}

/* Gives the fingerprints of --trust to the far ends in order, and makes peers of those that are
 * left. */
static int give_trusts(struct conf *c, struct err *e)
{
	struct conf_peer *p;
	char name[CONF_NAME_MAX];
	unsigned i;

	for (i = 0; i < c->n_trusts; i++) {
		if (i == c->n_peers) {
			snprintf(name, sizeof(name), "peer%u", i + 1);
			if (!add_peer(c, name, strlen(name), e))
				return -E2BIG;
		}
		p = &c->peers[i];
		p->has_trust = true;
		p->trust = c->trusts[i];
	}
	return 0;
}

/*
 * Reads command line and configuration file.
 * @c:          filled in, to be released also when this fails; its strings live as long as @argv
 *               and it
 * @argc, @argv: argv[0] is the command's name
 *
 * Returns 0, or -errno with a text that names the thing and the remedy.
 */
int conf_load(struct conf *c, int argc, char **argv, struct err *e)
{
	struct conf *cli = calloc(1, sizeof(*cli));
	int rest, ret;

	memset(c, 0, sizeof(*c));
	if (!cli)
		return err_set(e, ENOMEM, "out of memory");
	ret = opts_defaults(tunnel_table, c, e);
	/* The first reading finds the file, and whether ports or peers are given besides. */
	ret = ret ? ret : opts_parse(tunnel_table, cli, argc, argv, &rest, e);
	if (!ret && rest < argc)
		ret = err_set(e, EINVAL, "unexpected argument '%s'; see --help", argv[rest]);
	if (!ret && cli->config)
		ret = opts_file(cli->config, sections, c, &c->strings, e);
	if (!ret) {
		c->n_ports = cli->n_ports ? 0 : c->n_ports;
		c->n_peers = cli->n_peers ? 0 : c->n_peers;
		ret = opts_parse(tunnel_table, c, argc, argv, &rest, e);
	}
	free(cli);
	if (ret)
		return ret;
	ret = give_trusts(c, e);
	if (ret)
		return ret;
	inherit_tags(c);
	inherit_by_peers(c);
	if (!c->name)
		c->name = c->interface ? c->interface : "";
	return conf_check(c, e);
}

/* Frees what a configuration holds, not itself. */
void conf_release(struct conf *c)
{
	unsigned i;

	for (i = 0; i < c->n_tags; i++) {
		filter_free(c->tags[i].accel_filter);
		filter_free(c->tags[i].bypass_filter);
	}
	opts_strings_free(&c->strings);
}

/* Settings of a tag: its own section's, or the tunnel's. */
const struct conf_tag *conf_tag(const struct conf *c, uint32_t tag)
{
	unsigned i;

	for (i = 0; i < c->n_tags; i++)
		if (c->tags[i].tag == tag)
			return &c->tags[i];
	return &c->tag_defaults;
}

/* Whether TCP of a tag is to be ended at both sites. */
bool conf_accelerates(const struct conf *c, uint32_t tag)
{
	unsigned i;

	for (i = 0; i < c->n_ports; i++)
		if (c->ports[i].tag == tag && c->ports[i].accel)
			return true;
	return conf_tag(c, tag)->accel;
}

/* Whether TCP of some tag is to be accelerated. */
bool conf_accelerates_some(const struct conf *c)
{
	unsigned i;

	for (i = 0; i < c->n_ports; i++)
		if (conf_accelerates(c, c->ports[i].tag))
			return true;
	return false;
}
