/* SPDX-License-Identifier: GPL-3.0-or-later */
/* pcapng.h - writes pcapng: interfaces with names, directions, drop counts */
#ifndef CAPTURE_PCAPNG_H
#define CAPTURE_PCAPNG_H

#include "capture/capfile.h"

#include <stdio.h>

/* An interface as it is written. */
struct pcapng_interface {
	char name[CAP_NAME_MAX];
	char description[CAP_NAME_MAX];
	uint16_t link;
	uint32_t snaplen;
};

bool pcapng_begin_section(FILE *out, const struct pcapng_interface *interfaces, size_t n);
bool pcapng_packet(FILE *out, const struct cap_packet *p);
bool pcapng_statistics(FILE *out, uint32_t interface, uint64_t time_ns, uint64_t received,
		       uint64_t dropped);
size_t pcapng_packet_size(const struct cap_packet *p);

#endif
