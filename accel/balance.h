/* SPDX-License-Identifier: GPL-3.0-or-later */
/* balance.h - which relay thread serves the next flow. Pure */
#ifndef ACCEL_BALANCE_H
#define ACCEL_BALANCE_H

#include <stdbool.h>

#define BALANCE_MAX 64 /* threads */

/* What a relay thread has to do. */
struct balance_load {
	unsigned flows;	      /* that it has, and that are on their way to it */
	unsigned stay;	      /* of them, those that have lasted */
	unsigned busy_tenths; /* of a processor, lately */
};

unsigned balance_for_syn(const struct balance_load *load, unsigned n, unsigned own, bool brief);
unsigned balance_for_open(const struct balance_load *load, unsigned n, unsigned own, bool brief);

#endif
