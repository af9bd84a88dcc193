/* SPDX-License-Identifier: GPL-3.0-or-later */
/* line.h - a line between two interfaces, from start to end */
#ifndef SHAPER_LINE_H
#define SHAPER_LINE_H

#include "lib/link.h"
#include "lib/loop.h"
#include "shaper/line_conf.h"
#include "shaper/pump.h"

/* A running line. */
struct line {
	struct line_conf *conf;
	struct loop *loop;
	struct ctl_server *ctl;
	struct link_watch *links;
	struct frame_log *log;
	struct frame_log_ring *rings[DIRECTIONS];
	struct direction_conf *meanings[DIRECTIONS]; /* in force */
	struct direction_counters *traffic[DIRECTIONS];
	struct line_end ends[2];
	int claims[2]; /* descriptors that keep other instances away */
	struct pump_shared shared;
	struct pump pumps[DIRECTIONS];
	struct loop_timer log_timer, live_timer, duration_timer, idle_timer, grow_timer;
	struct pump_news growth[DIRECTIONS];	    /* memory on its way to a pump */
	uint64_t memory_limit;			    /* bytes, of each direction */
	uint64_t idle_ns, idle_spun_ns, idle_at_ns; /* at the last look: see look_for_idle() */
	uint64_t started_ns, ended_ns;		    /* ended_ns: 0 while it runs */
	uint64_t live_ns;			    /* when the live line was last written */
	uint64_t live_frames[DIRECTIONS], live_bytes[DIRECTIONS]; /* …what was counted then */
	bool log_failed;
};

int line_run(struct line_conf *c, struct err *e);

json_t *line_json(const struct line *l);
void line_print(const json_t *doc);
void line_print_live(struct line *l);
void line_end_live(const struct line *l);

#endif
