/* SPDX-License-Identifier: GPL-3.0-or-later */
/* counters.h - what a tunnel counts, each drop by its reason */
#ifndef TUNNEL_COUNTERS_H
#define TUNNEL_COUNTERS_H

#include "lib/counter.h"
#include "tunnel/conf.h"

/* Every reason for which a frame is dropped: name in status and documents, and what it means. */
#define DROP_REASONS(X)                                                                           \
	/* as frames come in a border port */                                                     \
	X(short_frame, "shorter than an Ethernet header")                                         \
	X(truncated, "longer than a super-frame may be")                                          \
	X(bad_source, "source MAC is a group address or zero")                                    \
	X(mac_control, "pause and other MAC control frames stay on their link")                   \
	X(own_outer, "our own tunnel packets seen on a border port")                              \
	X(reflected, "a frame we wrote to this port came back (promiscuous vSwitch)")             \
	X(mac_conflict, "source MAC is active elsewhere at this moment (loop or double bridge)")  \
	X(offload_unsupported, "offload type that cannot be split into wire frames")              \
	X(offload_malformed, "offload header contradicts the frame")                              \
	/* as packets come in from a peer */                                                      \
	X(outer_peer, "tunnel packet from an address that is no peer's")                          \
	X(outer_short, "tunnel packet too short to hold a frame")                                 \
	X(outer_tag, "tunnel packet with a tag that is not bridged here for that peer")           \
	/* switching */                                                                           \
	X(storm, "broadcast or unknown unicast above storm_limit")                                \
	X(same_side, "destination is where the frame came from")                                  \
	X(horizon, "from a peer to a MAC behind a peer (split horizon)")                          \
	/* as frames leave by a border port */                                                    \
	X(port_down, "border port is down or gone")                                               \
	X(port_mtu, "frame exceeds the border port's MTU")                                        \
	X(port_full, "border port's transmit queue is full")                                      \
	X(port_error, "border port refused the frame")                                            \
	/* as packets leave for a peer */                                                         \
	X(pace_full, "more waits for the peer's rate than may")                                   \
	X(outer_full, "socket's transmit buffer is full")                                         \
	X(outer_unreachable, "no route to the peer, or its link is down")                         \
	X(outer_too_big, "packet longer than IP can carry")                                       \
	X(outer_error, "the kernel refused the packet")                                           \
	X(oversize, "longer than the path carries; its sender was told (oversize = drop)")        \
	X(no_session, "no keys agreed with the peer")                                             \
	X(key_exhausted, "a key's packet limit was reached before the next key was agreed")       \
	/* as sealed datagrams come in, in the order in which they are looked at */               \
	X(sealed_short, "sealed datagram shorter than its type must be")                          \
	X(sealed_version, "sealed datagram of another protocol version")                          \
	X(sealed_type, "sealed datagram of an unknown type")                                      \
	X(sealed_flags, "sealed datagram with flags that must be zero")                           \
	X(sealed_session, "sealed datagram under a session that is not (any more) known here")    \
	X(sealed_worker, "sealed datagram of a worker that the peer does not have")               \
	X(sealed_replay, "sealed datagram that was received before, or is older than the window") \
	X(sealed_auth, "sealed datagram that was not sealed by the peer: forged or damaged")      \
	X(sealed_tag, "sealed frame with a tag that is not bridged here for that peer")           \
	X(fragment_malformed, "fragment of an impossible frame, or beyond its end")               \
	X(fragment_duplicate, "fragment whose bytes were there already")                          \
	X(fragment_overlap, "frame given up: two of its fragments overlap")                       \
	X(fragment_inconsistent, "frame given up: its fragments contradict each other")           \
	X(fragment_full, "frame given up: the peer has too many incomplete ones")                 \
	X(fragment_timeout, "frame given up: not all of its fragments came in time")              \
	X(congestion, "marked as congested on the path, and its sender knows no marks (RFC 6040)")

enum drop {
#define X(name, text) DROP_##name,
	DROP_REASONS(X)
#undef X
		DROPS
};

/* Wire frames and bytes of inner Ethernet, not super-frames and outer bytes. */
struct traffic {
	counter frames;
	counter bytes;
	counter supers; /* super-frames they came or went in */
};

struct side_counters {
	struct traffic in, out;
};

struct tag_counters {
	counter syns;		 /* SYN and SYN/ACK read on decapsulation */
	counter mss_clamped;	 /* …whose MSS was lowered */
	counter mss_clamped_out; /* the same of SYNs that came in a port */
	counter wscale_written;	 /* …whose window scale was changed */
	counter hints;		 /* ICMP errors to senders of frames that the path does not carry */
	counter hints_limited;	 /* …that were not sent, because there had been enough */
	counter malformed;	 /* …whose headers or options cannot be */
};

/* One worker's; only that worker writes. */
struct counters {
	counter drops[DROPS];
	struct side_counters ports[PORTS_MAX];
	struct side_counters peers[PEERS_MAX];
	struct tag_counters tags[TAGS_MAX];
	counter outer_fragmented;  /* sent in several outer packets; by the kernel: capsulator */
	counter outer_reassembled; /* frames put together from fragments */
	counter flooded;	   /* frames sent to every port or peer of the tag */
	counter unlearnt;	   /* source not learnt because of max_macs */
	/* Dropped by the kernel because we did not read in time; copied from it once a second. */
	counter port_overruns[PORTS_MAX];
	counter outer_overruns;
};

extern const char *const drop_names[DROPS];
extern const char *const drop_texts[DROPS];

#endif
