// SPDX-License-Identifier: GPL-3.0-or-later
/* mirror.c - frames shown to `longhaul capture` as they pass through the tunnel */
/*
 * Theory of operation
 *
 * A request on the control socket makes a mirror: shared memory with a ring
 * for each worker, whose descriptor goes with the reply. It is sealed, so that
 * nobody who has it can take the memory away under the workers. Workers are
 * told by a call posted to their loops, write without waiting, and count what
 * does not fit. A worker without mirrors pays one comparison a frame.
 *
 * A mirror ends by a request, or when nobody has read from it for SILENT_NS.
 * Workers are told again; when the last one has let go, the main thread frees
 * it.
 */
#include "tunnel/mirror.h"

#include "lib/clock.h"
#include "lib/log.h"
#include "tunnel/tunnel.h"
#include "tunnel/worker.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define RING_BYTES  (4u << 20)
#define SILENT_NS   (10 * NS_PER_S)
#define SNAPLEN_MIN 64
#define POINT_PEER  1000 /* points of peers begin here; ports have their index */

static void show(struct mirrors *m, struct mirror *to, uint32_t point, unsigned way,
		 const struct iovec *iov, size_t iovcnt, uint32_t len)
{
	struct capring_record r = {.length = len,
				   .captured = len < to->snaplen ? len : to->snaplen,
				   .point = point,
				   .way = (uint8_t)way};

	if (!m->now_ns)
		m->now_ns = clock_real_ns();
	r.time_ns = m->now_ns;
	capring_put(&to->rings[m->worker], &r, iov, iovcnt);
}

/* Shows a frame that passes a border port. */
void mirror_port(struct mirrors *m, unsigned port, unsigned way, const struct iovec *iov,
		 size_t iovcnt, uint32_t len)
{
	unsigned i;

	for (i = 0; i < m->n; i++)
		if (m->at[i]->ports & 1ull << port)
			show(m, m->at[i], port, way, iov, iovcnt, len);
}

/* Shows a frame that comes from, or goes to, a peer. @stage: only to those that want it so. */
void mirror_peer(struct mirrors *m, unsigned peer, unsigned way, enum mirror_stage stage,
		 const struct iovec *iov, size_t iovcnt, uint32_t len)
{
	unsigned i;

	for (i = 0; i < m->n; i++)
		if (m->at[i]->peers & 1ull << peer &&
		    (way == MIRROR_OUT || m->at[i]->stage == stage))
			show(m, m->at[i], POINT_PEER + peer, way, iov, iovcnt, len);
}

/* Has a worker show its frames to a mirror. In the worker's thread. */
void mirror_add(struct mirrors *m, struct mirror *what)
{
	m->at[m->n++] = what;
}

/* Has a worker stop that. In the worker's thread. */
void mirror_remove(struct mirrors *m, struct mirror *what)
{
	unsigned i;

	for (i = 0; i < m->n && m->at[i] != what; i++)
		;
	if (i == m->n)
		return; /* it was never told to begin: memory was short */
	m->at[i] = m->at[--m->n];
	atomic_fetch_sub(&what->users, 1);
}

static void mirror_free(struct mirror *m)
{
	if (m->memory)
		munmap(m->memory, m->size);
	if (m->fd >= 0)
		close(m->fd);
	free(m);
}

static json_t *error(const char *text)
{
	return json_pack("{s:i, s:s}", "version", 1, "error", text);
}

static struct mirror *make(struct tunnel *t)
{
	struct mirror *m = calloc(1, sizeof(*m));
	unsigned i;

	if (!m)
		return NULL;
	m->size = (size_t)t->n_workers * (CAPRING_HEADER + RING_BYTES);
	m->fd = memfd_create("longhaul-capture", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (m->fd < 0 || ftruncate(m->fd, (off_t)m->size) ||
	    fcntl(m->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		goto fail;
	m->memory = mmap(NULL, m->size, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd, 0);
	if (m->memory == MAP_FAILED) {
		m->memory = NULL;
		goto fail;
	}
	for (i = 0; i < t->n_workers; i++)
		capring_writer_init(&m->rings[i],
				    m->memory + (size_t)i * (CAPRING_HEADER + RING_BYTES),
				    RING_BYTES);
	m->read_ns = clock_ns();
	return m;
fail:
	mirror_free(m);
	return NULL;
}

/* Which ports and peers are meant: one, or all. Returns NULL, or what is wrong. */
static const char *choose(struct tunnel *t, struct mirror *m, const char *port, const char *peer)
{
	unsigned i;

	for (i = 0; i < t->n_ports && !peer; i++)
		if (!port || !strcmp(port, t->ports[i].conf->name))
			m->ports |= 1ull << i;
	for (i = 0; i < t->n_peers && !port; i++)
		if (!peer || !strcmp(peer, t->peers[i].conf->name))
			m->peers |= 1ull << i;
	if (m->ports || m->peers)
		return NULL;
	return port ? "no such border port" : "no such peer";
}

static json_t *points(const struct tunnel *t, const struct mirror *m)
{
	json_t *a = json_array();
	unsigned i;

	for (i = 0; i < t->n_ports; i++)
		if (m->ports & 1ull << i)
			json_array_append_new(a, json_pack("{s:i, s:s, s:s}", "point", i, "kind",
							   "port", "name", t->ports[i].conf->name));
	for (i = 0; i < t->n_peers; i++)
		if (m->peers & 1ull << i)
			json_array_append_new(a, json_pack("{s:i, s:s, s:s}", "point",
							   POINT_PEER + i, "kind", "peer", "name",
							   t->peers[i].conf->name));
	return a;
}

static json_t *start(struct tunnel *t, const json_t *request)
{
	const char *frob = json_string_value(json_object_get(request, "frob"));
	json_int_t snaplen = json_integer_value(json_object_get(request, "snaplen"));
	const char *wrong;
	struct mirror *m;
	unsigned slot, i;

	for (slot = 0; slot < MIRRORS_MAX && t->mirrors[slot]; slot++)
		;
	if (slot == MIRRORS_MAX)
		return error("4 captures of this tunnel run already; stop one");
	if (snaplen < SNAPLEN_MIN || snaplen > FRAME_MAX)
		return error("snaplen must be 64 to 65557 bytes");
	m = make(t);
	if (!m)
		return error("no memory for a capture");
	m->snaplen = (uint32_t)snaplen;
	m->stage = frob && !strcmp(frob, "after") ? MIRROR_AFTER_FROB : MIRROR_BEFORE_FROB;
	wrong = choose(t, m, json_string_value(json_object_get(request, "port")),
		       json_string_value(json_object_get(request, "peer")));
	if (wrong) {
		mirror_free(m);
		return error(wrong);
	}
	if (ctl_attach(t->ctl, m->fd)) {
		mirror_free(m);
		return error("no descriptor for a capture");
	}
	m->id = ++t->mirror_ids;
	m->users = t->n_workers;
	t->mirrors[slot] = m;
	for (i = 0; i < t->n_workers; i++)
		if (worker_mirror(t->workers[i], m, true))
			atomic_fetch_sub(&m->users, 1);
	log_info("capture %u begins", m->id);
	return json_pack("{s:i, s:I, s:i, s:i, s:o}", "version", 1, "id", (json_int_t)m->id,
			 "rings", (int)t->n_workers, "ring_bytes", (int)RING_BYTES, "points",
			 points(t, m));
}

static void stop(struct tunnel *t, struct mirror *m)
{
	unsigned i;

	if (m->stopping)
		return;
	m->stopping = true;
	for (i = 0; i < t->n_workers; i++)
		worker_mirror(t->workers[i], m, false);
	log_info("capture %u ends", m->id);
}

/* Answers a request to begin or to end a capture, or whether it goes on. */
json_t *mirror_request(struct tunnel *t, const json_t *request)
{
	const char *action = json_string_value(json_object_get(request, "action"));
	json_int_t id = json_integer_value(json_object_get(request, "id"));
	bool stops = action && !strcmp(action, "stop");
	unsigned i;

	if (action && !strcmp(action, "start"))
		return start(t, request);
	if (!stops && (!action || strcmp(action, "check")))
		return error("action must be start, check or stop");
	for (i = 0; i < MIRRORS_MAX; i++) {
		struct mirror *m = t->mirrors[i];

		if (!m || m->id != id || m->stopping)
			continue;
		if (stops)
			stop(t, m);
		return json_pack("{s:i}", "version", 1);
	}
	return error("no such capture");
}

/* Whether somebody still reads: the rings are empty, or what was read has grown. */
static bool is_read(struct mirror *m, unsigned rings)
{
	uint64_t sum = 0;
	bool empty = true;
	unsigned i;

	for (i = 0; i < rings; i++) {
		const struct capring_shared *s = m->rings[i].shared;
		uint64_t read = atomic_load_explicit(&s->read, memory_order_relaxed);

		empty &= read == atomic_load_explicit(&s->written, memory_order_relaxed);
		sum += read;
	}
	if (sum == m->read_sum && !empty)
		return false;
	m->read_sum = sum;
	return true;
}

/* Ends captures whose reader has gone, and frees those that no worker writes to any more. */
void mirror_tick(struct tunnel *t)
{
	uint64_t now = clock_ns();
	unsigned i;

	for (i = 0; i < MIRRORS_MAX; i++) {
		struct mirror *m = t->mirrors[i];

		if (!m)
			continue;
		if (m->stopping && !atomic_load(&m->users)) {
			mirror_free(m);
			t->mirrors[i] = NULL;
			continue;
		}
		if (is_read(m, t->n_workers))
			m->read_ns = now;
		else if (now - m->read_ns > SILENT_NS)
			stop(t, m);
	}
}

/* Frees all; the workers must be gone. */
void mirror_free_all(struct tunnel *t)
{
	unsigned i;

	for (i = 0; i < MIRRORS_MAX; i++)
		if (t->mirrors[i])
			mirror_free(t->mirrors[i]);
}
