/* SPDX-License-Identifier: GPL-3.0-or-later */
/* pump.h - one direction's thread: reads an interface, keeps the times, writes the other */
#ifndef SHAPER_PUMP_H
#define SHAPER_PUMP_H

#include "lib/batch.h"
#include "lib/counter.h"
#include "lib/err.h"
#include "lib/gso.h"
#include "lib/packet_socket.h"
#include "shaper/direction.h"

#include <limits.h>
#include <net/if.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum spin { SPIN_AUTO, SPIN_YES, SPIN_NO };

#define PUMP_BATCH  64 /* frames sent by one system call */
#define PUMP_CLOSED UINT_MAX

/* An interface the line stands at. The main thread writes it, both pumps read it. */
struct line_end {
	char name[IFNAMSIZ];
	_Atomic bool up;      /* there and running */
	_Atomic bool present; /* there by that name, perhaps down */
	_Atomic unsigned
		opened;	 /* counts up each time it is there anew: sockets are to be opened */
	int ifindex;	 /* 0: gone; the main thread's own */
	bool lro_was_on; /* …and is put back at the end; the main thread's own */
};

/* What both pumps share. */
struct pump_shared {
	enum spin spin;
	unsigned spinners_max;	   /* with SPIN_AUTO: processors that may be kept busy */
	_Atomic bool core_free;	   /* …while there is one; the main thread looks */
	_Atomic unsigned spinners; /* that are */
	bool vnet;		   /* super-frames come and go whole */
	bool ring;		   /* frames are read from a ring */
	bool realtime;		   /* pumps have real-time priority */
};

/* Settings on their way to a pump, and memory for them. */
struct pump_news {
	const struct direction_conf *conf; /* NULL: as they are */
	struct chunk *chunks;		   /* as store_prepare() made them */
	uint64_t bytes;
};

/* What a pump counts beside its direction. Other threads read it. */
struct pump_counters {
	counter truncated, short_frames; /* messages that were read and are no frames */
	counter overruns;		 /* frames the kernel dropped: we did not read in time */
	counter spun_ns;		 /* processor time spent spinning */
};

struct pump {
	struct direction direction;
	struct direction_counters *traffic;
	struct pump_counters counters;
	struct pump_shared *shared;
	struct line_end *in, *out;
	/* Which opening of its end each socket is of; PUMP_CLOSED: of none. Others read them. */
	_Atomic unsigned in_opened, out_opened;
	int in_fd, out_fd;	  /* -1: closed */
	struct packet_ring ring;  /* of in_fd */
	int wake_fd;		  /* eventfd: look at news, stop and the ends */
	uint64_t closed_overruns; /* of sockets closed before */
	uint64_t housekeeping_ns; /* when it is due next */
	bool spinning;
	uint64_t spin_began_ns;
	uint64_t worked_ns; /* when a turn last did something */
	struct batch *batch;
	struct gso_merge *merge;
	pthread_t thread;
	bool running;
	_Atomic bool stop;
	_Atomic bool attention;		  /* something changed: the ends, the news */
	_Atomic(struct pump_news *) news; /* the main thread's to set, ours to take */
	/* A batch that is being sent. */
	unsigned n_msgs, n_sent; /* messages composed, and of them sent */
	struct held *held[PUMP_BATCH];
	struct frame frames[PUMP_BATCH];
	struct mmsghdr msgs[PUMP_BATCH];
	struct iovec iovs[3 * PUMP_BATCH];
	uint32_t first[PUMP_BATCH], count[PUMP_BATCH]; /* of each message: places in members */
	uint32_t members[PUMP_BATCH];		       /* indices into held, message by message */
};

int pump_open(struct pump *p, struct err *e);
int pump_start(struct pump *p, struct err *e);
void pump_wake(struct pump *p);
void pump_publish(struct pump *p, struct pump_news *news);
bool pump_took(const struct pump *p);
void pump_stop(struct pump *p);
void pump_close(struct pump *p);

#endif
