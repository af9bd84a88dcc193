/* SPDX-License-Identifier: GPL-3.0-or-later */
/* inbox.h - a stream's socket as TLS reads it: no oftener than there is something */
#ifndef ACCEL_INBOX_H
#define ACCEL_INBOX_H

#include <openssl/bio.h>
#include <stdbool.h>

/* Who has sent so many bytes at once has sent more meanwhile. */
#define MANY_BYTES 16384

BIO_METHOD *inbox_method(void);
BIO *inbox_new(const BIO_METHOD *method, int fd);
void inbox_fills(BIO *b, bool ends);
bool inbox_is_empty(BIO *b);

#endif
