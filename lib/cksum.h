/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cksum.h - the Internet checksum (RFC 1071), whole and incremental (RFC 1624) */
#ifndef LIB_CKSUM_H
#define LIB_CKSUM_H

#include "lib/packet.h"

#include <stddef.h>
#include <stdint.h>

uint32_t cksum_add(uint32_t sum, const void *data, size_t len);
uint16_t cksum_fold(uint32_t sum);
uint16_t cksum_replace16(uint16_t check, uint16_t old, uint16_t new_);
uint32_t cksum_pseudo(const uint8_t *data, const struct packet *p, uint32_t l4_len);
bool cksum_complete(struct frame *f);
bool cksum_mark_partial(struct frame *f);

#endif
