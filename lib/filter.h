/* SPDX-License-Identifier: GPL-3.0-or-later */
/* filter.h - pcap filter expressions, compiled once and matched in user space */
#ifndef LIB_FILTER_H
#define LIB_FILTER_H

#include "lib/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct filter;

struct filter *filter_compile(const char *text, struct err *e);
bool filter_match(const struct filter *f, const uint8_t *frame, size_t len);
bool filter_match_captured(const struct filter *f, const uint8_t *frame, size_t captured,
			   size_t len);
bool filter_match_headless(const struct filter *f, uint16_t ethertype, const uint8_t *data,
			   size_t captured, size_t len);
void filter_free(struct filter *f);

#endif
