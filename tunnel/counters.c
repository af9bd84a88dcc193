// SPDX-License-Identifier: GPL-3.0-or-later
/* counters.c - the names of what is counted */
#include "tunnel/counters.h"

#define X(name, text) #name,
const char *const drop_names[DROPS] = {DROP_REASONS(X)};
#undef X

#define X(name, text) text,
const char *const drop_texts[DROPS] = {DROP_REASONS(X)};
#undef X
