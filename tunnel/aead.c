// SPDX-License-Identifier: GPL-3.0-or-later
/* aead.c - which ciphers there are, and who computes them */
#include "tunnel/aead.h"

#include <endian.h>
#include <string.h>

const char *const aead_cipher_names[AEAD_CIPHERS] = {
	[AEAD_AES_256_GCM] = "aes-256-gcm",
	[AEAD_CHACHA20_POLY1305] = "chacha20-poly1305",
};

const struct aead_engine *const aead_engines[] = {
#ifdef HAVE_IPSEC_MB
	&aead_ipsec_mb,
#endif
	&aead_openssl,
	NULL,
};

/*
 * Chooses who computes a cipher: the first in aead_engines that can.
 * @without_ipsec_mb: leave that engine out (`--without ipsec-mb`)
 *
 * Returns NULL when nobody can, such as ChaCha20 where OpenSSL is confined to FIPS.
 */
const struct aead_engine *aead_engine_for(enum aead_cipher cipher, bool without_ipsec_mb)
{
	const struct aead_engine *const *e;

	for (e = aead_engines; *e; e++) {
		if (without_ipsec_mb && !strcmp((*e)->name, "ipsec-mb"))
			continue;
		if ((*e)->available(cipher))
			return *e;
	}
	return NULL;
}

/* Finds a cipher by its name on the wire. Returns false, with @cipher as it was, if there is none.
 */
bool aead_cipher_find(const char *name, enum aead_cipher *cipher)
{
	int i;

	for (i = 0; i < AEAD_CIPHERS; i++) {
		if (strcmp(name, aead_cipher_names[i]))
			continue;
		*cipher = (enum aead_cipher)i;
		return true;
	}
	return false;
}

/*
 * Makes a packet's nonce as TLS 1.3 does (RFC 8446 section 5.3): the IV, of which
 * the last eight bytes are xored with the counter, big-endian. Under one key
 * and IV distinct counters give distinct nonces.
 */
void aead_nonce(uint8_t nonce[AEAD_IV_LEN], const uint8_t iv[AEAD_IV_LEN], uint64_t counter)
{
	uint64_t last;

	memcpy(nonce, iv, AEAD_IV_LEN);
	memcpy(&last, nonce + AEAD_IV_LEN - sizeof(last), sizeof(last));
	last ^= htobe64(counter);
	memcpy(nonce + AEAD_IV_LEN - sizeof(last), &last, sizeof(last));
}
