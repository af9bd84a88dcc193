// SPDX-License-Identifier: GPL-3.0-or-later
/* source_tunnel.c - frames inside a running tunnel, through memory shared with it */
#include "capture/source.h"

#include "lib/capring.h"
#include "lib/clock.h"
#include "lib/ctlsock.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define ANSWER_TIMEOUT_MS 5000
#define CHECK_NS	  NS_PER_S /* without a frame, after which the tunnel is asked */
#define RINGS_MAX	  64
#define RING_MAX	  (1u << 30)
#define POINTS_MAX	  SOURCE_INTERFACES_MAX

/* A capture inside a tunnel. */
struct inside {
	struct source source;
	char tunnel[CTL_NAME_MAX];
	json_int_t id;
	uint8_t *memory;
	size_t size;
	unsigned n_rings;
	struct capring_reader rings[RINGS_MAX];
	struct capring_record held; /* shown by the last next(), not yet given back */
	struct capring_reader *holder;
	uint32_t points[POINTS_MAX]; /* number of each interface's point */
	uint64_t silent_ns;	     /* since when no frame has come; 0: one has just come */
};

static uint32_t interface_of(const struct inside *in, uint32_t point)
{
	uint32_t i;

	for (i = 0; i < in->source.n_interfaces && in->points[i] != point; i++)
		;
	return i;
}

static int request(const struct inside *in, const char *action, json_t **reply)
{
	json_t *r = json_pack("{s:i, s:s, s:s, s:I}", "version", 1, "cmd", "capture", "action",
			      action, "id", in->id);
	int ret = ctl_request(in->tunnel, r, reply, ANSWER_TIMEOUT_MS, NULL);

	json_decref(r);
	return ret;
}

/*
 * No frame has come. Whether that is because none can come any more: the tunnel may have ended, or
 * this capture in it, because nothing was read for long. A tunnel that only does not answer may
 * show frames again.
 */
static int check_silence(struct inside *in, struct err *e)
{
	uint64_t now = clock_ns();
	json_t *reply = NULL;
	bool ended;
	int ret;

	if (!in->silent_ns)
		in->silent_ns = now;
	if (now - in->silent_ns < CHECK_NS)
		return 0;
	in->silent_ns = now;
	ret = request(in, "check", &reply);
	ended = reply && json_object_get(reply, "error");
	json_decref(reply);
	if (ret != -ENOENT && !ended)
		return 0;
	in->id = 0; /* nothing to stop */
	if (ended)
		return err_set(e, ECANCELED,
			       "tunnel '%s' has ended this capture: it was not read from for long, "
			       "or the tunnel was started anew",
			       in->tunnel);
	return err_set(e, ENOENT, "tunnel '%s' has ended", in->tunnel);
}

/* Of the rings' first frames the oldest, so that the file is in order as far as each batch's is. */
static int inside_next(struct source *s, struct cap_packet *p, struct err *e)
{
	struct inside *in = (struct inside *)s;
	struct capring_reader *oldest = NULL;
	struct capring_record best = {0};
	const uint8_t *data = NULL;
	unsigned i;

	if (in->holder)
		capring_done(in->holder, &in->held);
	in->holder = NULL;
	for (i = 0; i < in->n_rings; i++) {
		struct capring_record r;
		const uint8_t *at;
		int got = capring_peek(&in->rings[i], &r, &at);

		if (got < 0)
			return err_set(e, EPROTO, "tunnel '%s' has written what cannot be a frame",
				       in->tunnel);
		if (!got || (oldest && r.time_ns >= best.time_ns))
			continue;
		oldest = &in->rings[i];
		best = r;
		data = at;
	}
	if (!oldest)
		return check_silence(in, e);
	in->silent_ns = 0;
	in->holder = oldest;
	in->held = best;
	*p = (struct cap_packet){.time_ns = best.time_ns,
				 .data = data,
				 .captured = best.captured,
				 .length = best.length,
				 .interface = interface_of(in, best.point),
				 .link = LINK_ETHERNET,
				 .way = best.way};
	if (p->interface >= s->n_interfaces)
		return err_set(e, EPROTO, "tunnel '%s' shows frames of a place it has not named",
			       in->tunnel);
	return 1;
}

static uint64_t inside_drops(struct source *s)
{
	struct inside *in = (struct inside *)s;
	uint64_t sum = 0;
	unsigned i;

	for (i = 0; i < in->n_rings; i++)
		sum += atomic_load_explicit(&in->rings[i].shared->dropped, memory_order_relaxed);
	return sum;
}

static void inside_close(struct source *s)
{
	struct inside *in = (struct inside *)s;
	json_t *reply = NULL;

	if (in->id) {
		/* A tunnel that has ended has nothing to stop. */
		request(in, "stop", &reply);
		json_decref(reply);
	}
	if (in->memory)
		munmap(in->memory, in->size);
	free(in);
}

static const struct source_ops inside_ops = {inside_next, inside_drops, inside_close};

/* @file: the rings' memory, as the tunnel has passed it; -1: it has not */
static int map(struct inside *in, const json_t *reply, int file, struct err *e)
{
	json_int_t rings = json_integer_value(json_object_get(reply, "rings"));
	json_int_t bytes = json_integer_value(json_object_get(reply, "ring_bytes"));
	struct stat st;
	unsigned i;

	if (rings < 1 || rings > RINGS_MAX || bytes < 4096 || bytes > RING_MAX ||
	    bytes & (bytes - 1))
		return err_set(e, EPROTO, "tunnel '%s' answers with rings that cannot be",
			       in->tunnel);
	in->n_rings = (unsigned)rings;
	in->size = (size_t)rings * (CAPRING_HEADER + (size_t)bytes);
	if (file < 0 || fstat(file, &st) || (uint64_t)st.st_size < in->size)
		return err_set(e, EPROTO, "tunnel '%s' has not passed the memory of its rings",
			       in->tunnel);
	in->memory = mmap(NULL, in->size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	if (in->memory == MAP_FAILED) {
		in->memory = NULL;
		return err_set(e, errno, "memory of tunnel '%s': %s", in->tunnel, strerror(errno));
	}
	for (i = 0; i < in->n_rings; i++)
		capring_reader_init(&in->rings[i],
				    in->memory + (size_t)i * (CAPRING_HEADER + (size_t)bytes),
				    (uint64_t)bytes);
	return 0;
}

static void read_points(struct inside *in, const json_t *reply, uint32_t snaplen)
{
	json_t *at;
	size_t i;

	json_array_foreach(json_object_get(reply, "points"), i, at)
	{
		const char *name = json_string_value(json_object_get(at, "name"));
		const char *kind = json_string_value(json_object_get(at, "kind"));
		struct pcapng_interface *to = &in->source.interfaces[in->source.n_interfaces];

		if (in->source.n_interfaces == POINTS_MAX)
			return;
		in->points[in->source.n_interfaces++] =
			(uint32_t)json_integer_value(json_object_get(at, "point"));
		snprintf(to->name, sizeof(to->name), "%s", name ? name : "?");
		snprintf(to->description, sizeof(to->description), "%s of tunnel %s",
			 kind ? kind : "?", in->tunnel);
		to->link = LINK_ETHERNET;
		to->snaplen = snaplen;
	}
}

static json_t *request_of(const struct source_options *o)
{
	json_t *r = json_pack("{s:i, s:s, s:s, s:i, s:s}", "version", 1, "cmd", "capture", "action",
			      "start", "snaplen", (int)o->snaplen, "frob",
			      o->after_frob ? "after" : "before");

	if (o->port)
		json_object_set_new(r, "port", json_string(o->port));
	if (o->peer)
		json_object_set_new(r, "peer", json_string(o->peer));
	return r;
}

/* Begins to capture inside a running tunnel. Returns NULL with a text. */
struct source *source_tunnel(const struct source_options *o, struct err *e)
{
	struct inside *in = calloc(1, sizeof(*in));
	json_t *request = request_of(o), *reply = NULL;
	const char *wrong;
	int file = -1;

	if (!in) {
		err_set(e, ENOMEM, "out of memory");
		goto fail;
	}
	in->source.ops = &inside_ops;
	snprintf(in->tunnel, sizeof(in->tunnel), "%s", o->tunnel);
	if (ctl_check_name(o->tunnel, e) ||
	    ctl_request_fd(o->tunnel, request, &reply, &file, ANSWER_TIMEOUT_MS, e))
		goto fail;
	wrong = json_string_value(json_object_get(reply, "error"));
	if (wrong) {
		err_set(e, EINVAL, "tunnel '%s'%s%s: %s", o->tunnel,
			o->port	  ? ", port "
			: o->peer ? ", peer "
				  : "",
			o->port	  ? o->port
			: o->peer ? o->peer
				  : "",
			wrong);
		goto fail;
	}
	in->id = json_integer_value(json_object_get(reply, "id"));
	read_points(in, reply, o->snaplen);
	if (map(in, reply, file, e))
		goto fail;
	close(file);
	json_decref(request);
	json_decref(reply);
	return &in->source;
fail:
	if (file >= 0)
		close(file);
	json_decref(request);
	json_decref(reply);
	if (in)
		inside_close(&in->source);
	return NULL;
}
