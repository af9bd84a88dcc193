/* SPDX-License-Identifier: GPL-3.0-or-later */
/* worker.h - the thread that moves frames between ports and peers */
#ifndef TUNNEL_WORKER_H
#define TUNNEL_WORKER_H

#include "lib/err.h"
#include "tunnel/counters.h"
#include "tunnel/outer.h"
#include "tunnel/port.h"

struct mirror;
struct tunnel;
struct worker;

struct worker *worker_new(struct tunnel *t, unsigned index, struct err *e);
int worker_start(struct worker *w, struct err *e);
void worker_stop(struct worker *w);
void worker_free(struct worker *w);
const struct counters *worker_counters(const struct worker *w);
bool worker_pulse(struct worker *w);
void worker_reopen_port(struct worker *w, unsigned port);
void worker_rebind_outer(struct worker *w);
void worker_send(struct worker *w, unsigned tag, const struct frame *f);
void worker_add_tap(struct worker *w, unsigned tap, int fd);
void worker_drain_taps(struct worker *w);
int worker_mirror(struct worker *w, struct mirror *m, bool begin);

#endif
