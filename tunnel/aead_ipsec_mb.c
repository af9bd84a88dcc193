// SPDX-License-Identifier: GPL-3.0-or-later
/* aead_ipsec_mb.c - AES-256-GCM by intel-ipsec-mb, where library and processor are right */
#include "tunnel/aead.h"

#ifdef HAVE_IPSEC_MB

#include <intel-ipsec-mb.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdlib.h>

/* Expanded key and what is under way with it; both tell of the key and are wiped. */
struct aead {
	struct gcm_key_data key;
	struct gcm_context_data ctx;
};

/*
 * One manager serves the process: the direct calls take nothing but function
 * pointers from it, which no longer change once it is made. It is never freed,
 * as keys of any thread may use it until the end.
 */
static IMB_MGR *mgr;
static pthread_once_t mgr_once = PTHREAD_ONCE_INIT;

static void mgr_init(void)
{
	mgr = alloc_mb_mgr(0);
	if (mgr)
		init_mb_mgr_auto(mgr, NULL);
}

/*
 * With any AES-NI it is ahead of OpenSSL 3.0: on a processor without AVX-512
 * both take 410 ns for the bytes of a full packet, but OpenSSL's calls around
 * them add 200 ns and more, this library's next to none; with AVX-512 and VAES
 * its bytes cost a third as well. Only its emulation of AES-NI is not for us: it is
 * slow, and OpenSSL has better. A self-test that failed shows in the error number.
 */
static bool ipsec_mb_available(enum aead_cipher cipher)
{
	if (cipher != AEAD_AES_256_GCM)
		return false;
	pthread_once(&mgr_once, mgr_init);
	return mgr && !imb_get_errno(mgr) && (mgr->features & IMB_CPUFLAGS_SSE) == IMB_CPUFLAGS_SSE;
}

static struct aead *ipsec_mb_create(enum aead_cipher cipher, const uint8_t key[AEAD_KEY_LEN])
{
	struct aead *a;

	if (!ipsec_mb_available(cipher))
		return NULL;
	a = aligned_alloc(_Alignof(struct aead), sizeof(*a));
	if (a)
		IMB_AES256_GCM_PRE(mgr, key, &a->key);
	return a;
}

static void ipsec_mb_destroy(struct aead *a)
{
	if (!a)
		return;
	OPENSSL_cleanse(a, sizeof(*a));
	free(a);
}

static bool ipsec_mb_seal(struct aead *a, const uint8_t nonce[AEAD_IV_LEN], const uint8_t *aad,
			  size_t aad_len, const struct iovec *in, int n_in, uint8_t *out)
{
	int i;

	if (n_in == 1) {
		IMB_AES256_GCM_ENC(mgr, &a->key, &a->ctx, out, in->iov_base, in->iov_len, nonce,
				   aad, aad_len, out + in->iov_len, AEAD_TAG_LEN);
		return true;
	}
	IMB_AES256_GCM_INIT(mgr, &a->key, &a->ctx, nonce, aad, aad_len);
	for (i = 0; i < n_in; i++) {
		IMB_AES256_GCM_ENC_UPDATE(mgr, &a->key, &a->ctx, out, in[i].iov_base,
					  in[i].iov_len);
		out += in[i].iov_len;
	}
	IMB_AES256_GCM_ENC_FINALIZE(mgr, &a->key, &a->ctx, out, AEAD_TAG_LEN);
	return true;
}

static bool ipsec_mb_open(struct aead *a, const uint8_t nonce[AEAD_IV_LEN], const uint8_t *aad,
			  size_t aad_len, uint8_t *data, size_t len)
{
	uint8_t tag[AEAD_TAG_LEN];

	if (len < AEAD_TAG_LEN)
		return false;
	len -= AEAD_TAG_LEN;
	IMB_AES256_GCM_DEC(mgr, &a->key, &a->ctx, data, data, len, nonce, aad, aad_len, tag,
			   AEAD_TAG_LEN);
	return !CRYPTO_memcmp(tag, data + len, AEAD_TAG_LEN);
}

/* The table's entry; see struct aead_engine. */
const struct aead_engine aead_ipsec_mb = {
	.name = "ipsec-mb",
	.available = ipsec_mb_available,
	.create = ipsec_mb_create,
	.destroy = ipsec_mb_destroy,
	.seal = ipsec_mb_seal,
	.open = ipsec_mb_open,
};

#endif
