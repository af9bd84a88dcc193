/* SPDX-License-Identifier: GPL-3.0-or-later */
/* conf.h - what a tunnel was asked to do: parsed once, immutable afterwards */
#ifndef TUNNEL_CONF_H
#define TUNNEL_CONF_H

#include "lib/err.h"
#include "lib/filter.h"
#include "lib/opts.h"
#include "tunnel/aead.h"
#include "tunnel/identity.h"

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#define PORTS_MAX 64 /* sets of ports and of peers are 64-bit words */
#define PEERS_MAX 64
#define TAGS_MAX  64

#define CONF_NAME_MAX 64

/* Of the path to a peer, bits a second. */
#define RATE_MIN 64000ull
#define RATE_MAX 1000000000000ull

/* MTU values below the smallest an IPv4 host must take (RFC 1122 3.3.3) help nobody. */
#define MTU_MIN	 576
#define MTU_MAX	 9216
#define MTU_AUTO 0u
#define MTU_OFF	 UINT32_MAX /* clamp nothing */

#define WSCALE_OFF (-1)

enum conf_outer { CONF_OUTER_SEALED, CONF_OUTER_CAPSULATOR };

/* What outer packets' class and congestion marks have to do with inner ones. */
enum conf_tos { CONF_TOS_COPY, CONF_TOS_OFF };

/* What becomes of frames that the path does not carry whole. */
enum conf_oversize {
	CONF_OVERSIZE_FRAGMENT, /* they are sent in fragments */
	CONF_OVERSIZE_HINT,	/* …and their senders are told, if they asked not to fragment */
	CONF_OVERSIZE_DROP,	/* those whose senders are told are not sent */
};

enum conf_port_kind { CONF_PORT_PACKET, CONF_PORT_TAP };

/* Fast paths that --without turns off. */
enum {
	WITHOUT_VNET_HDR = 1 << 0,	 /* ports exchange plain wire frames with the kernel */
	WITHOUT_MERGE = 1 << 1,		 /* frames from peers are written one by one */
	WITHOUT_UDP_GSO = 1 << 2,	 /* sealed datagrams are sent one by one */
	WITHOUT_UDP_GRO = 1 << 3,	 /* …and received one by one */
	WITHOUT_IPSEC_MB = 1 << 4,	 /* OpenSSL seals and opens everything */
	WITHOUT_PARTIAL = 1 << 5,	 /* inner checksums are always complete */
	WITHOUT_SK_LOOKUP = 1 << 6,	 /* accel: no BPF */
	WITHOUT_TPROXY = 1 << 7,	 /* accel: no nftables */
	WITHOUT_INITIAL_WINDOW = 1 << 8, /* accel: streams begin with the kernel's window */
	WITHOUT_PORT_WINDOWS = 1 << 9,	 /* the kernel searches for ports by itself */
};

struct conf_port {
	char name[IFNAMSIZ];
	int kind; /* enum conf_port_kind */
	uint32_t tag;
	bool has_tag;
	bool accel;	 /* written IF:TAG,accel: its tag is accelerated */
	bool positional; /* written IF#TAG: goes to the peer of its own position only */
	uint64_t mtu;	 /* of the LAN behind it, bytes */
};

struct conf_peer {
	char name[CONF_NAME_MAX];
	const char *address; /* host[:port][,…], tried in turn; NULL: it calls us */
	bool has_trust;
	struct fingerprint trust; /* what the peer is, whatever its address */
	uint64_t rate_bps; /* what the path to it may carry; 0: not known, nothing is paced */
	bool warm;	   /* accel: a stream to it is grown ahead of need */
	bool has_warm;	   /* that was said of this peer */
};

struct conf_tag {
	uint32_t tag;
	uint32_t mtu;	      /* of inner packets, bytes; MTU_AUTO, MTU_OFF */
	int wscale;	      /* 0…14, WSCALE_OFF */
	uint64_t storm_limit; /* flooded frames a second from one source; 0: none pass */
	uint64_t max_macs;    /* learnt behind one port or peer */
	int oversize;	      /* enum conf_oversize */
	bool accel;	      /* TCP is ended at both sites */
	struct filter *accel_filter, *bypass_filter; /* of SYNs; NULL: all, none */
	unsigned stripes;  /* accel: streams that a connection may have, 1…STRIPES_MAX */
	bool stripes_auto; /* accel: as many of them as bring something */
};

struct conf {
	const char *config;    /* path of the file, NULL: none */
	const char *interface; /* tunnel interface: outer packets come and go there */
	const char *name;
	const char *site;
	const char *identity; /* directory of key and certificate */
	const char *listen;   /* address:port of UDP and TCP; NULL: port 7245 of all addresses */
	uint64_t workers;     /* 0: by processors */
	unsigned ciphers;     /* set of enum aead_cipher */
	uint8_t cipher_order[AEAD_CIPHERS]; /* best first; as many as there are in the set */
	uint64_t rekey_after_ns;
	uint64_t rekey_after_packets;
	uint64_t dead_after_ns;
	uint64_t mtu_raise_ns;		      /* a larger path MTU is looked for after this */
	int tos;			      /* enum conf_tos */
	uint64_t rate_bps;		      /* of peers without their own */
	bool warm;			      /* accel: of all peers */
	uint64_t outage_ns;		      /* accel: silence is waited out this long */
	const char *state;		      /* directory of what must outlive a crash */
	uint64_t relay_threads;		      /* accel: 0: by processors */
	uint64_t accel_memory;		      /* accel: of all windows together, bytes; 0: auto */
	const char *congestion;		      /* accel: of the streams */
	struct fingerprint trusts[PEERS_MAX]; /* of --trust, in the order given */
	unsigned n_trusts;
	int outer; /* enum conf_outer */
	bool all;  /* -a: positional ports go to every peer too */
	bool verbose;
	bool check; /* only check the configuration */
	unsigned without;
	uint64_t mac_age_ns;
	struct conf_tag tag_defaults;
	struct conf_port ports[PORTS_MAX];
	unsigned n_ports;
	struct conf_peer peers[PEERS_MAX];
	unsigned n_peers;
	struct conf_tag tags[TAGS_MAX]; /* those with a section of their own */
	unsigned n_tags;
	struct opts_strings strings; /* that the file gave */
};

int conf_load(struct conf *c, int argc, char **argv, struct err *e);
const struct conf_tag *conf_tag(const struct conf *c, uint32_t tag);
extern const char *const conf_oversize_names[];
bool conf_accelerates(const struct conf *c, uint32_t tag);
bool conf_accelerates_some(const struct conf *c);
int conf_check(const struct conf *c, struct err *e);
void conf_release(struct conf *c);
void conf_help(void);

#endif
