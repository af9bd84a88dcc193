/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tunables.h - the C library's way to copy memory, where its own choice is a bad one */
#ifndef LIB_TUNABLES_H
#define LIB_TUNABLES_H

#include <stdbool.h>
#include <stddef.h>

bool tunables_add(const char *had, char *to, size_t room);
void tunables_copy_well(char **command);

#endif
