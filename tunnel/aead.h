/* SPDX-License-Identifier: GPL-3.0-or-later */
/* aead.h - authenticated encryption of one datagram: ciphers and who computes them */
#ifndef TUNNEL_AEAD_H
#define TUNNEL_AEAD_H

#include "lib/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define AEAD_KEY_LEN 32
#define AEAD_IV_LEN  12
#define AEAD_TAG_LEN 16

/* Ciphers as they are agreed with a peer; the names in aead_cipher_names are the wire's. */
enum aead_cipher { AEAD_AES_256_GCM, AEAD_CHACHA20_POLY1305, AEAD_CIPHERS };

extern const char *const aead_cipher_names[AEAD_CIPHERS]; /* "aes-256-gcm", "chacha20-poly1305" */

/* One key in use, by one thread at a time. Opaque; each engine has its own. */
struct aead;

/* Who computes a cipher: OpenSSL, always there, or intel-ipsec-mb where it is faster. */
struct aead_engine {
	const char *name; /* "openssl", "ipsec-mb" */
	/* Whether this machine and this build can do @cipher with it. */
	bool (*available)(enum aead_cipher cipher);
	/* NULL when memory is short. */
	struct aead *(*create)(enum aead_cipher cipher, const uint8_t key[AEAD_KEY_LEN]);
	/* Wipes the key. */
	void (*destroy)(struct aead *a);
	/*
	 * Encrypts @in's pieces one behind the other into @out, which takes
	 * their bytes and AEAD_TAG_LEN more. @in and @out do not overlap.
	 */
	bool (*seal)(struct aead *a, const uint8_t nonce[AEAD_IV_LEN], const uint8_t *aad,
		     size_t aad_len, const struct iovec *in, int n_in, uint8_t *out);
	/*
	 * Checks and decrypts @len bytes, the tag being the last AEAD_TAG_LEN of
	 * them, in place. Returns false, with the bytes undefined, if they were tampered with.
	 */
	bool (*open)(struct aead *a, const uint8_t nonce[AEAD_IV_LEN], const uint8_t *aad,
		     size_t aad_len, uint8_t *data, size_t len);
};

extern const struct aead_engine aead_openssl, aead_ipsec_mb; /* the latter if HAVE_IPSEC_MB */

/* Fastest first; NULL ends it. */
extern const struct aead_engine *const aead_engines[];

const struct aead_engine *aead_engine_for(enum aead_cipher cipher, bool without_ipsec_mb);
bool aead_cipher_find(const char *name, enum aead_cipher *cipher);
void aead_nonce(uint8_t nonce[AEAD_IV_LEN], const uint8_t iv[AEAD_IV_LEN], uint64_t counter);

#endif
