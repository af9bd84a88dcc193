// SPDX-License-Identifier: GPL-3.0-or-later
/* aead_openssl.c - both ciphers by OpenSSL, on every machine */
#include "tunnel/aead.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <string.h>

/*
 * Expanding a key costs as much as sealing several packets, so that each
 * direction has a context which keeps it; a packet sets the nonce alone. A key
 * of the wire goes one way only, hence most have one context, made when it is
 * first needed.
 */
struct aead {
	EVP_CIPHER *cipher;
	EVP_CIPHER_CTX *seal, *open; /* NULL: not needed yet */
	uint8_t key[AEAD_KEY_LEN];
};

static const char *const fetch_names[AEAD_CIPHERS] = {
	[AEAD_AES_256_GCM] = "AES-256-GCM",
	[AEAD_CHACHA20_POLY1305] = "ChaCha20-Poly1305",
};

/* A provider that is restricted, such as FIPS, may lack one of them. */
static bool openssl_available(enum aead_cipher cipher)
{
	EVP_CIPHER *c = EVP_CIPHER_fetch(NULL, fetch_names[cipher], NULL);

	EVP_CIPHER_free(c);
	return c;
}

static struct aead *openssl_create(enum aead_cipher cipher, const uint8_t key[AEAD_KEY_LEN])
{
	struct aead *a = OPENSSL_zalloc(sizeof(*a));

	if (!a)
		return NULL;
	a->cipher = EVP_CIPHER_fetch(NULL, fetch_names[cipher], NULL);
	if (!a->cipher) {
		OPENSSL_free(a);
		return NULL;
	}
	memcpy(a->key, key, sizeof(a->key));
	return a;
}

/* Freeing a context wipes the key expanded in it. */
static void openssl_destroy(struct aead *a)
{
	if (!a)
		return;
	EVP_CIPHER_CTX_free(a->seal);
	EVP_CIPHER_CTX_free(a->open);
	EVP_CIPHER_free(a->cipher);
	OPENSSL_clear_free(a, sizeof(*a));
}

/* Makes a direction's context where it is not there yet. Returns false when memory is short. */
static bool ready(struct aead *a, EVP_CIPHER_CTX **ctx, int encrypt)
{
	if (*ctx)
		return true;
	*ctx = EVP_CIPHER_CTX_new();
	if (*ctx && EVP_CipherInit_ex2(*ctx, a->cipher, a->key, NULL, encrypt, NULL))
		return true;
	EVP_CIPHER_CTX_free(*ctx);
	*ctx = NULL;
	return false;
}

static bool openssl_seal(struct aead *a, const uint8_t nonce[AEAD_IV_LEN], const uint8_t *aad,
			 size_t aad_len, const struct iovec *in, int n_in, uint8_t *out)
{
	OSSL_PARAM tag[] = {OSSL_PARAM_END, OSSL_PARAM_END};
	EVP_CIPHER_CTX *ctx;
	int i, len;

	if (!ready(a, &a->seal, 1))
		return false;
	ctx = a->seal;
	if (!EVP_EncryptInit_ex2(ctx, NULL, NULL, nonce, NULL))
		return false;
	if (!EVP_EncryptUpdate(ctx, NULL, &len, aad, (int)aad_len))
		return false;
	for (i = 0; i < n_in; i++) {
		if (!EVP_EncryptUpdate(ctx, out, &len, in[i].iov_base, (int)in[i].iov_len))
			return false;
		out += len;
	}
	if (!EVP_EncryptFinal_ex(ctx, out, &len))
		return false;
	tag[0] = OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, out, AEAD_TAG_LEN);
	return EVP_CIPHER_CTX_get_params(ctx, tag);
}

static bool openssl_open(struct aead *a, const uint8_t nonce[AEAD_IV_LEN], const uint8_t *aad,
			 size_t aad_len, uint8_t *data, size_t len)
{
	OSSL_PARAM tag[] = {OSSL_PARAM_END, OSSL_PARAM_END};
	EVP_CIPHER_CTX *ctx;
	int n;

	if (len < AEAD_TAG_LEN || !ready(a, &a->open, 0))
		return false;
	ctx = a->open;
	len -= AEAD_TAG_LEN;
	tag[0] = OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, data + len,
						   AEAD_TAG_LEN);
	if (!EVP_DecryptInit_ex2(ctx, NULL, NULL, nonce, tag))
		return false;
	if (!EVP_DecryptUpdate(ctx, NULL, &n, aad, (int)aad_len))
		return false;
	if (!EVP_DecryptUpdate(ctx, data, &n, data, (int)len))
		return false;
	return EVP_DecryptFinal_ex(ctx, data + len, &n) > 0;
}

/* The table's entry; see struct aead_engine. */
const struct aead_engine aead_openssl = {
	.name = "openssl",
	.available = openssl_available,
	.create = openssl_create,
	.destroy = openssl_destroy,
	.seal = openssl_seal,
	.open = openssl_open,
};
