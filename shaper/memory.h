/* SPDX-License-Identifier: GPL-3.0-or-later */
/* memory.h - how much memory there is for frames in flight */
#ifndef SHAPER_MEMORY_H
#define SHAPER_MEMORY_H

#include <stdint.h>

uint64_t memory_available(void);

#endif
