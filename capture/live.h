/* SPDX-License-Identifier: GPL-3.0-or-later */
/* live.h - packets of an interface as they pass, by libpcap */
#ifndef CAPTURE_LIVE_H
#define CAPTURE_LIVE_H

#include "capture/capfile.h"

struct live;

struct live *live_open(const char *ifname, uint32_t snaplen, enum cap_way way, struct err *e);
int live_next(struct live *l, struct cap_packet *p, struct err *e);
uint64_t live_drops(struct live *l);
uint16_t live_link(const struct live *l);
void live_close(struct live *l);

#endif
