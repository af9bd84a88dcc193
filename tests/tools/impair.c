// SPDX-License-Identifier: GPL-3.0-or-later
/* impair.c - a bad line for tests: joins two interfaces and loses, doubles, reorders, corrupts */
/*
 *	impair ab ba SEED loss=0.5% duplicate=0.5% reorder=1% corrupt=0.2%
 *
 * Frames keep their offload header on the way (PACKET_VNET_HDR). One whose
 * checksum is still to be completed stays so, and its receiver verifies none:
 * what is corrupted here gets past the kernel to the program under test. Let
 * the senders segment, or a loss takes a super-frame. The same seed and the
 * same frames give the same fate; what was done is printed at the end.
 */
#include "lib/packet.h"
#include "lib/units.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define MESSAGE_MAX   (sizeof(struct virtio_net_hdr) + FRAME_MAX)
#define SOCKET_BUFFER (64 << 20) /* losses are to be those that were asked for */
#define IDLE_MS	      5		 /* then a frame held back goes: nothing follows that it could */
#define HOLD	      5		 /* frames that overtake one held back */
#define FLIPS_MAX     8		 /* bits, in a frame that is corrupted */

enum harm { LOSS, DUPLICATE, REORDER, CORRUPT, HARMS };

static const char *const names[HARMS] = {"loss", "duplicate", "reorder", "corrupt"};

/* One way through the line, and what became of its frames. */
struct way {
	const char *name;
	int in, out;
	uint8_t held[MESSAGE_MAX];
	size_t held_len; /* 0: none is held back */
	unsigned left;	 /* frames that still overtake it */
	uint64_t frames, done[HARMS];
};

static volatile sig_atomic_t stopped;
static double chance[HARMS];
static uint64_t rng;

/* xorshift64*: a seed means the same everywhere. */
static uint64_t pick(uint64_t n)
{
	rng ^= rng >> 12;
	rng ^= rng << 25;
	rng ^= rng >> 27;
	return (rng * 0x2545f4914f6cdd1dull >> 32) % n;
}

static bool happens(struct way *w, enum harm harm)
{
	bool yes = (double)pick(1u << 31) < chance[harm] * (1u << 31);

	w->done[harm] += yes;
	return yes;
}

/* Opens an interface, all of whose frames are wanted. Returns a descriptor or -errno. */
static int open_interface(const char *name)
{
	struct sockaddr_ll at = {.sll_family = AF_PACKET,
				 .sll_protocol = htons(ETH_P_ALL),
				 .sll_ifindex = (int)if_nametoindex(name)};
	struct packet_mreq all = {.mr_ifindex = at.sll_ifindex, .mr_type = PACKET_MR_PROMISC};
	int fd = socket(AF_PACKET, SOCK_RAW, 0), on = 1, size = SOCKET_BUFFER;

	if (fd < 0 || !at.sll_ifindex ||
	    setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)) ||
	    setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) ||
	    setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof(all)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) ||
	    bind(fd, (struct sockaddr *)&at, sizeof(at)))
		return -errno;
	return fd;
}

/* Flips some bits behind a UDP header. */
static void corrupt(struct way *w, uint8_t *frame, size_t len)
{
	struct packet p;
	uint64_t n;

	if (packet_parse(frame, len, &p) || p.proto != IPPROTO_UDP || !p.payload ||
	    p.payload >= p.l3_end || !happens(w, CORRUPT))
		return;
	for (n = 1 + pick(FLIPS_MAX); n; n--)
		frame[p.payload + pick(p.l3_end - p.payload)] ^= (uint8_t)(1u << pick(8));
}

static void release(struct way *w)
{
	if (w->held_len)
		send(w->out, w->held, w->held_len, 0);
	w->held_len = 0;
}

static void pass(struct way *w, uint8_t *message, size_t len)
{
	const size_t vnet = sizeof(struct virtio_net_hdr);

	w->frames++;
	if (happens(w, LOSS))
		return;
	corrupt(w, message + vnet, len - vnet);
	if (!w->held_len && happens(w, REORDER)) {
		memcpy(w->held, message, len);
		w->held_len = len;
		w->left = HOLD;
		return;
	}
	send(w->out, message, len, 0);
	if (happens(w, DUPLICATE))
		send(w->out, message, len, 0);
	if (w->held_len && !--w->left)
		release(w);
}

static void drain(struct way *w)
{
	uint8_t message[MESSAGE_MAX];
	ssize_t n;
	int i;

	for (i = 0; i < 64; i++) { /* then the other way has its turn */
		n = recv(w->in, message, sizeof(message), MSG_DONTWAIT);
		if (n <= (ssize_t)sizeof(struct virtio_net_hdr))
			return;
		pass(w, message, (size_t)n);
	}
}

static void stop(int signal)
{
	stopped = 1;
}

/* Reads harm=probability. */
static int set_chance(const char *word, struct err *e)
{
	size_t len = strcspn(word, "=");
	int i;

	for (i = 0; i < HARMS; i++)
		if (word[len] && strlen(names[i]) == len && !memcmp(word, names[i], len))
			return units_probability(word + len + 1, &chance[i], e);
	return err_set(e, EINVAL, "'%s' is not loss, duplicate, reorder or corrupt=P%%", word);
}

static void report(const struct way *w)
{
	int i;

	printf("{\"from\": \"%s\", \"frames\": %ju", w->name, (uintmax_t)w->frames);
	for (i = 0; i < HARMS; i++)
		printf(", \"%s\": %ju", names[i], (uintmax_t)w->done[i]);
	printf("}\n");
}

int main(int argc, char **argv)
{
	static struct way ways[2];
	struct err e = {"usage: impair IF IF SEED [loss|duplicate|reorder|corrupt=P%]..."};
	int ret = argc < 4 ? -EINVAL : units_count(argv[3], 1, UINT32_MAX, &rng, &e), i;

	for (i = 4; !ret && i < argc; i++)
		ret = set_chance(argv[i], &e);
	for (i = 0; !ret && i < 2; i++) {
		ways[i].name = argv[1 + i];
		ways[i].in = ways[!i].out = open_interface(argv[1 + i]);
		if (ways[i].in < 0)
			ret = err_set(&e, -ways[i].in, "%s: %s", argv[1 + i],
				      strerror(-ways[i].in));
	}
	if (ret) {
		fprintf(stderr, "impair: %s\n", e.text);
		return 2;
	}
	rng *= 0x9e3779b97f4a7c15ull; /* small seeds would begin with small numbers */
	signal(SIGTERM, stop);
	while (!stopped) {
		struct pollfd fds[2] = {{ways[0].in, POLLIN, 0}, {ways[1].in, POLLIN, 0}};

		poll(fds, 2, IDLE_MS);
		for (i = 0; i < 2; i++)
			fds[i].revents ? drain(&ways[i]) : release(&ways[i]);
	}
	for (i = 0; i < 2; i++)
		report(&ways[i]);
	return 0;
}
