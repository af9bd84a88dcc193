/* SPDX-License-Identifier: GPL-3.0-or-later */
/* identity.h - a site's key and certificate; a peer is its certificate's fingerprint */
#ifndef TUNNEL_IDENTITY_H
#define TUNNEL_IDENTITY_H

#include "lib/err.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdint.h>

#define FINGERPRINT_LEN	 32 /* SHA-256 of the certificate's DER */
#define FINGERPRINT_TEXT 65 /* 64 lowercase hex digits and the ending 0 */

struct fingerprint {
	uint8_t bytes[FINGERPRINT_LEN];
};

struct identity {
	EVP_PKEY *key;
	X509 *cert;
	struct fingerprint fingerprint;
};

int identity_generate(const char *dir, struct fingerprint *fp, struct err *e);
int identity_load(const char *dir, struct identity *id, struct err *e);
void identity_free(struct identity *id);
bool fingerprint_of(const X509 *cert, struct fingerprint *fp);
bool fingerprint_parse(const char *text, struct fingerprint *fp);
const char *fingerprint_text(const struct fingerprint *fp, char text[FINGERPRINT_TEXT]);
bool fingerprint_equal(const struct fingerprint *a, const struct fingerprint *b);

#endif
