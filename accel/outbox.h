/* SPDX-License-Identifier: GPL-3.0-or-later */
/* outbox.h - TLS records on their way to a stream's socket, several a system call */
#ifndef ACCEL_OUTBOX_H
#define ACCEL_OUTBOX_H

#include "accel/chunk.h"

#include <openssl/bio.h>

BIO_METHOD *outbox_method(void);
void outbox_move(BIO *box, struct chunks *chunks);
BIO *outbox_new(const BIO_METHOD *method, int fd, struct chunks *chunks);

#endif
