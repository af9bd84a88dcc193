// SPDX-License-Identifier: GPL-3.0-or-later
/* frame_log.c - what happened to every frame: the file format, and how records get there */
/*
 * Theory of operation
 *
 * A direction's thread must never wait for a disk. It puts records into a ring
 * of its own (one writer, one reader); the main thread takes them out several
 * times a second and writes the file. A ring that is full loses records, which
 * are counted: a log that is incomplete says so.
 */
#include "shaper/frame_log.h"

#include "lib/cksum.h"
#include "lib/clock.h"
#include "lib/packet.h"

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* A power of two: half a second of a million frames a second. */
#define RING_RECORDS ((uint64_t)1 << 19)

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "records are written as they are");

struct frame_log_ring {
	_Atomic uint64_t put; /* records ever put in */
	_Atomic uint64_t taken;
	counter missed;
	struct frame_record records[RING_RECORDS];
};

struct frame_log {
	FILE *file;
	char *path;
	int error; /* of the first write that failed */
};

/* Makes a ring. Returns NULL with a text. */
struct frame_log_ring *frame_log_ring_new(struct err *e)
{
	struct frame_log_ring *r = mmap(NULL, sizeof(*r), PROT_READ | PROT_WRITE,
					MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (r == MAP_FAILED) {
		err_set(e, ENOMEM, "no memory for the records of --log");
		return NULL;
	}
	return r;
}

/* Frees a ring; NULL is allowed. */
void frame_log_ring_free(struct frame_log_ring *r)
{
	if (r)
		munmap(r, sizeof(*r));
}

/* Puts a record in; counts it as missed when the ring is full. The writing thread's. */
void frame_log_put(struct frame_log_ring *r, const struct frame_record *record)
{
	uint64_t put = atomic_load_explicit(&r->put, memory_order_relaxed);

	if (put - atomic_load_explicit(&r->taken, memory_order_acquire) == RING_RECORDS) {
		counter_add(&r->missed, 1);
		return;
	}
	r->records[put % RING_RECORDS] = *record;
	atomic_store_explicit(&r->put, put + 1, memory_order_release);
}

/* Records that did not fit. */
uint64_t frame_log_missed(const struct frame_log_ring *r)
{
	return r ? counter_get(&r->missed) : 0;
}

/* Makes the file, which must not exist, and writes its header. Returns NULL with a text. */
struct frame_log *frame_log_open(const char *path, uint64_t seed, struct err *e)
{
	struct frame_log_header h = {
		.magic = FRAME_LOG_MAGIC,
		.version = FRAME_LOG_VERSION,
		.record_bytes = sizeof(struct frame_record),
		.seed = seed,
		.start_mono_ns = clock_ns(),
		.start_real_ns = clock_real_ns(),
	};
	struct frame_log *l = calloc(1, sizeof(*l));

	if (!l || !(l->path = strdup(path))) {
		err_set(e, ENOMEM, "out of memory");
		goto fail;
	}
	l->file = fopen(path, "wxe");
	if (!l->file || fwrite(&h, sizeof(h), 1, l->file) != 1 || fflush(l->file)) {
		err_set(e, errno, "--log '%s': %s%s", path, strerror(errno),
			errno == EEXIST ? "; name a new file" : "");
		goto fail;
	}
	return l;
fail:
	if (l && l->file)
		fclose(l->file);
	if (l)
		free(l->path);
	free(l);
	return NULL;
}

/*
 * Writes what a ring holds. Returns 0, or -errno of the first write that ever
 * failed: from then on records are taken and lost.
 */
int frame_log_drain(struct frame_log *l, struct frame_log_ring *r)
{
	uint64_t taken = atomic_load_explicit(&r->taken, memory_order_relaxed);
	uint64_t put = atomic_load_explicit(&r->put, memory_order_acquire);

	while (taken != put) {
		uint64_t at = taken % RING_RECORDS, n = put - taken;

		if (n > RING_RECORDS - at)
			n = RING_RECORDS - at;
		if (!l->error && fwrite(&r->records[at], sizeof(*r->records), n, l->file) != n)
			l->error = -errno;
		taken += n;
		atomic_store_explicit(&r->taken, taken, memory_order_release);
	}
	if (!l->error && fflush(l->file))
		l->error = -errno;
	return l->error;
}

/* Closes the file. Returns 0, or -errno with a text if anything could not be written. */
int frame_log_close(struct frame_log *l, struct err *e)
{
	int ret;

	if (!l)
		return 0;
	ret = l->error;
	if (fclose(l->file) && !ret)
		ret = -errno;
	if (ret)
		err_set(e, -ret, "--log '%s': %s; the log is incomplete", l->path, strerror(-ret));
	free(l->path);
	free(l);
	return ret;
}

/* Where a TCP, UDP or ICMPv6 checksum stands behind l4; -1: the protocol has none we know. */
static int check_at(const struct packet *p)
{
	switch (p->proto) {
	case IPPROTO_TCP: return 16;
	case IPPROTO_UDP: return 6;
	case IPPROTO_ICMPV6: return 2;
	}
	return -1;
}

/*
 * Hash of a frame's invariant bytes: what is the same wherever on its way the
 * frame is looked at. Left out, as if they were 0, are the checksums of the
 * IPv4 header and of TCP, UDP and ICMPv6, which hosts leave to their NICs, and
 * the padding behind an IP packet.
 * @data: the wire frame from its destination MAC, VLAN tags in band
 * Returns XXH3_64bits of it.
 */
uint64_t frame_log_hash(const uint8_t *data, uint32_t len)
{
	uint8_t head[192];
	struct packet p;
	XXH3_state_t state;
	uint32_t n;
	int check;

	if (packet_parse(data, len, &p) != PACKET_OK || !p.ip_version)
		return XXH3_64bits(data, len);
	if (p.l3_end && p.l3_end < len)
		len = p.l3_end;
	n = len < sizeof(head) ? len : (uint32_t)sizeof(head);
	memcpy(head, data, n);
	if (p.ip_version == 4 && p.l3 + 12u <= n)
		store_be16(head + p.l3 + 10, 0);
	check = p.l4 && (!p.fragment || p.first_fragment) ? check_at(&p) : -1;
	if (check >= 0 && p.l4 + (uint32_t)check + 2 <= n)
		store_be16(head + p.l4 + check, 0);
	XXH3_64bits_reset(&state);
	XXH3_64bits_update(&state, head, n);
	XXH3_64bits_update(&state, data + n, len - n);
	return XXH3_64bits_digest(&state);
}
