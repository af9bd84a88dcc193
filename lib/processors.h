/* SPDX-License-Identifier: GPL-3.0-or-later */
/* processors.h - how many processors there are for us */
#ifndef LIB_PROCESSORS_H
#define LIB_PROCESSORS_H

unsigned processors_allowed(void);

#endif
