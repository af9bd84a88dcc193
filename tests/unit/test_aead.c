// SPDX-License-Identifier: GPL-3.0-or-later
/* test_aead.c - ciphers: published vectors, engines against each other, tampering */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "packets.h"

#include "tunnel/aead.h"

#include <openssl/err.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define LEN_MAX 9100 /* payload of a jumbo frame */
#define AREA	(3 * 4096)
#define AAD_LEN 20 /* the tunnel's header */

/*
 * Memory that ends where access faults: what an engine reads or writes beyond
 * its data is seen although it is assembly that no sanitizer looks into.
 */
static uint8_t *in_end, *out_end;
static uint8_t plain[LEN_MAX], key[AEAD_KEY_LEN], nonce[AEAD_IV_LEN], aad[64];

static uint8_t *guarded(void)
{
	uint8_t *p = mmap(NULL, AREA + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);

	assert_true(p != MAP_FAILED);
	assert_int_equal(mprotect(p + AREA, 4096, PROT_NONE), 0);
	return p + AREA;
}

static void pattern(uint8_t *p, size_t len, uint64_t seed)
{
	for (; len; len--) {
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		*p++ = (uint8_t)(seed >> 56);
	}
}

static int setup(void **state)
{
	in_end = guarded();
	out_end = guarded();
	pattern(plain, sizeof(plain), 1);
	pattern(key, sizeof(key), 2);
	pattern(nonce, sizeof(nonce), 3);
	pattern(aad, sizeof(aad), 4);
	return 0;
}

static int teardown(void **state)
{
	munmap(in_end - AREA, AREA + 4096);
	munmap(out_end - AREA, AREA + 4096);
	return 0;
}

/* One engine doing one cipher. */
struct user {
	const struct aead_engine *engine;
	enum aead_cipher cipher;
	struct aead *a;
};

static void fail_of(const struct user *u, const char *what, size_t len, size_t detail)
{
	fail_msg("%s by %s, %zu bytes: %s (%zu)", aead_cipher_names[u->cipher], u->engine->name,
		 len, what, detail);
}

/* Calls @test with every engine and cipher that this machine has. */
static void with_each(void (*test)(struct user *u))
{
	const struct aead_engine *const *e;
	struct user u;
	int c;

	for (e = aead_engines; *e; e++)
		for (c = 0; c < AEAD_CIPHERS; c++) {
			if (!(*e)->available((enum aead_cipher)c))
				continue;
			u = (struct user){*e, (enum aead_cipher)c,
					  (*e)->create((enum aead_cipher)c, key)};
			assert_non_null(u.a);
			test(&u);
			u.engine->destroy(u.a);
		}
}

struct vector {
	const char *what;
	enum aead_cipher cipher;
	const char *key, *nonce, *aad, *plain, *sealed;
};

#define ZERO16 "00000000000000000000000000000000"
#define GCM_K  "feffe9928665731c6d6a8f9467308308"
#define GCM_P                                                              \
	"d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72" \
	"1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
#define GCM_C                                                              \
	"522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa" \
	"8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"

static const struct vector vectors[] = {
	/* McGrew and Viega, "The Galois/Counter Mode of Operation (GCM)", appendix B */
	{"GCM test case 13", AEAD_AES_256_GCM, ZERO16 ZERO16, "000000000000000000000000", "", "",
	 "530f8afbc74536b9a963b4f1c4cb738b"},
	{"GCM test case 14", AEAD_AES_256_GCM, ZERO16 ZERO16, "000000000000000000000000", "",
	 ZERO16, "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"},
	{"GCM test case 15", AEAD_AES_256_GCM, GCM_K GCM_K, "cafebabefacedbaddecaf888", "",
	 GCM_P "1aafd255", GCM_C "898015adb094dac5d93471bdec1a502270e3cc6c"},
	{"GCM test case 16", AEAD_AES_256_GCM, GCM_K GCM_K, "cafebabefacedbaddecaf888",
	 "feedfacedeadbeeffeedfacedeadbeefabaddad2", GCM_P,
	 GCM_C "76fc6ece0f4e1768cddf8853bb2d551b"},
	/* RFC 8439 section 2.8.2: "Ladies and Gentlemen of the class of '99: …" */
	{"RFC 8439 2.8.2", AEAD_CHACHA20_POLY1305,
	 "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
	 "070000004041424344454647", "50515253c0c1c2c3c4c5c6c7",
	 "4c616469657320616e642047656e746c656d656e206f662074686520636c6173"
	 "73206f66202739393a204966204920636f756c64206f6666657220796f75206f"
	 "6e6c79206f6e652074697020666f7220746865206675747572652c2073756e73"
	 "637265656e20776f756c642062652069742e",
	 "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6"
	 "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36"
	 "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
	 "3ff4def08e4b7a9de576d26586cec64b6116"
	 "1ae10b594f09e26a7e902ecbd0600691"},
};

static void check_vector(const struct aead_engine *engine, const struct vector *v)
{
	uint8_t k[AEAD_KEY_LEN], n[AEAD_IV_LEN], ad[32], p[128], c[144], out[144];
	size_t ad_len = pkt_hex(ad, sizeof(ad), v->aad), p_len = pkt_hex(p, sizeof(p), v->plain),
	       c_len = pkt_hex(c, sizeof(c), v->sealed);
	struct iovec in = {p, p_len};
	struct aead *a;

	assert_int_equal(pkt_hex(k, sizeof(k), v->key), sizeof(k));
	assert_int_equal(pkt_hex(n, sizeof(n), v->nonce), sizeof(n));
	assert_int_equal(c_len, p_len + AEAD_TAG_LEN);
	a = engine->create(v->cipher, k);
	assert_non_null(a);
	assert_true(engine->seal(a, n, ad, ad_len, &in, 1, out));
	if (memcmp(out, c, c_len))
		fail_msg("%s by %s is sealed wrongly", v->what, engine->name);
	if (!engine->open(a, n, ad, ad_len, out, c_len) || memcmp(out, p, p_len))
		fail_msg("%s by %s is opened wrongly", v->what, engine->name);
	engine->destroy(a);
}

static void published_vectors_hold_with_every_engine(void **state)
{
	const struct aead_engine *const *e;
	size_t i;

	for (e = aead_engines; *e; e++)
		for (i = 0; i < sizeof(vectors) / sizeof(*vectors); i++)
			if ((*e)->available(vectors[i].cipher))
				check_vector(*e, &vectors[i]);
}

/* What OpenSSL makes of the first @len bytes of plain, in one piece: the reference. */
static struct user reference(enum aead_cipher cipher)
{
	return (struct user){&aead_openssl, cipher, aead_openssl.create(cipher, key)};
}

static void seal_reference(const struct user *ref, size_t len, size_t aad_len, uint8_t *out)
{
	struct iovec in = {plain, len};

	assert_true(ref->engine->seal(ref->a, nonce, aad, aad_len, &in, 1, out));
}

/* Seals in these pieces, each in memory that ends where it does. */
static void expect_seal(const struct user *u, struct iovec *in, int n, size_t aad_len, size_t len,
			const uint8_t *want)
{
	uint8_t *out = out_end - len - AEAD_TAG_LEN;

	memset(out - 1, 0x5a, len + AEAD_TAG_LEN + 1);
	if (!u->engine->seal(u->a, nonce, aad, aad_len, in, n, out))
		fail_of(u, "not sealed; first piece", len, n ? in->iov_len : 0);
	if (memcmp(out, want, len + AEAD_TAG_LEN) || out[-1] != 0x5a)
		fail_of(u, "sealed differently; first piece", len, n ? in->iov_len : 0);
}

static void expect_open(const struct user *u, size_t aad_len, size_t len, const uint8_t *sealed)
{
	uint8_t *data = in_end - len - AEAD_TAG_LEN;

	memcpy(data, sealed, len + AEAD_TAG_LEN);
	data[-1] = 0x5a;
	if (!u->engine->open(u->a, nonce, aad, aad_len, data, len + AEAD_TAG_LEN))
		fail_of(u, "not opened", len, 0);
	if (memcmp(data, plain, len) || data[-1] != 0x5a)
		fail_of(u, "opened differently", len, 0);
}

/* The second piece where access faults beyond it, the first in the middle of others. */
static void expect_seal_split(const struct user *u, size_t len, size_t at, const uint8_t *want)
{
	struct iovec in[2] = {{plain, at}, {in_end - (len - at), len - at}};

	memcpy(in[1].iov_base, plain + at, len - at);
	expect_seal(u, in, 2, AAD_LEN, len, want);
}

static void every_length(struct user *u)
{
	static const size_t splits[] = {0, 1, 15, 16, 17, 54, 66, 94, 255, 256, 257, 4096};
	struct user ref = reference(u->cipher);
	uint8_t want[LEN_MAX + AEAD_TAG_LEN];
	struct iovec in;
	size_t len, i;

	for (len = 0; len <= LEN_MAX; len++) {
		seal_reference(&ref, len, AAD_LEN, want);
		in = (struct iovec){in_end - len, len};
		memcpy(in.iov_base, plain, len);
		expect_seal(u, &in, 1, AAD_LEN, len, want);
		expect_open(u, AAD_LEN, len, want);
		for (i = 0; i < sizeof(splits) / sizeof(*splits) && splits[i] <= len; i++)
			expect_seal_split(u, len, splits[i], want);
		expect_seal_split(u, len, len, want);
		expect_seal_split(u, len, len * 7 / 11, want);
	}
	ref.engine->destroy(ref.a);
}

static void engines_agree_on_every_length_in_one_piece_and_in_two(void **state)
{
	with_each(every_length);
}

static void every_three_pieces(struct user *u)
{
	struct user ref = reference(u->cipher);
	uint8_t want[300 + AEAD_TAG_LEN];
	size_t len, i, j;

	for (len = 0; len <= 300; len += len < 50 ? 1 : 25) {
		seal_reference(&ref, len, AAD_LEN, want);
		for (i = 0; i <= len; i++)
			for (j = i; j <= len; j += len < 50 ? 1 : 7) {
				struct iovec in[3] = {
					{plain, i}, {plain + i, j - i}, {plain + j, len - j}};

				expect_seal(u, in, 3, AAD_LEN, len, want);
			}
	}
	ref.engine->destroy(ref.a);
}

static void where_pieces_end_does_not_matter(void **state)
{
	with_each(every_three_pieces);
}

static void many_pieces(struct user *u)
{
	struct user ref = reference(u->cipher);
	uint8_t want[1414 + AEAD_TAG_LEN];
	struct iovec in[1414];
	size_t i;

	for (i = 0; i < 1414; i++)
		in[i] = (struct iovec){plain + i, 1};
	seal_reference(&ref, 1414, AAD_LEN, want);
	expect_seal(u, in, 1414, AAD_LEN, 1414, want);
	seal_reference(&ref, 0, AAD_LEN, want);
	expect_seal(u, NULL, 0, AAD_LEN, 0, want);
	expect_seal(u, &(struct iovec){NULL, 0}, 1, AAD_LEN, 0, want);
	expect_seal(u, (struct iovec[2]){{NULL, 0}, {NULL, 0}}, 2, AAD_LEN, 0, want);
	ref.engine->destroy(ref.a);
}

static void no_piece_and_very_many_are_sealed_alike(void **state)
{
	with_each(many_pieces);
}

static void every_aad(struct user *u)
{
	struct user ref = reference(u->cipher);
	uint8_t want[100 + AEAD_TAG_LEN];
	struct iovec in[2] = {{plain, 33}, {plain + 33, 67}}, one = {plain, 100};
	size_t n;

	for (n = 0; n <= sizeof(aad); n++) {
		seal_reference(&ref, 100, n, want);
		expect_seal(u, &one, 1, n, 100, want);
		expect_seal(u, in, 2, n, 100, want);
		expect_open(u, n, 100, want);
	}
	ref.engine->destroy(ref.a);
}

static void associated_data_of_every_length_is_authenticated(void **state)
{
	with_each(every_aad);
}

/* Opens a copy of what was sealed. */
static bool opens(struct user *u, const uint8_t *n, const uint8_t *ad, size_t ad_len,
		  const uint8_t *sealed, size_t len)
{
	uint8_t *data = in_end - len;

	memcpy(data, sealed, len);
	return u->engine->open(u->a, n, ad, ad_len, data, len);
}

static void tampered(struct user *u)
{
	uint8_t sealed[100 + AEAD_TAG_LEN];
	struct iovec in = {plain, 100};
	size_t bit, len;

	assert_true(u->engine->seal(u->a, nonce, aad, AAD_LEN, &in, 1, sealed));
	for (bit = 0; bit < 8 * sizeof(sealed); bit++) {
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (opens(u, nonce, aad, AAD_LEN, sealed, sizeof(sealed)))
			fail_of(u, "opened with a bit of data or tag flipped", 100, bit);
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (bit = 0; bit < 8 * AAD_LEN; bit++) {
		aad[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (opens(u, nonce, aad, AAD_LEN, sealed, sizeof(sealed)))
			fail_of(u, "opened with a bit of associated data flipped", 100, bit);
		aad[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (bit = 0; bit < 8 * sizeof(nonce); bit++) {
		nonce[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (opens(u, nonce, aad, AAD_LEN, sealed, sizeof(sealed)))
			fail_of(u, "opened with a bit of the nonce flipped", 100, bit);
		nonce[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (len = 0; len < sizeof(sealed); len++)
		if (opens(u, nonce, aad, AAD_LEN, sealed, len))
			fail_of(u, "opened although cut", 100, len);
	if (opens(u, nonce, aad, AAD_LEN - 1, sealed, sizeof(sealed)) ||
	    opens(u, nonce, aad, AAD_LEN + 1, sealed, sizeof(sealed)))
		fail_of(u, "opened with associated data of another length", 100, 0);
	/* A TLS call of the same thread would take what is left in the queue for its own failure.
	 */
	assert_int_equal(ERR_peek_error(), 0);
	if (!opens(u, nonce, aad, AAD_LEN, sealed, sizeof(sealed)))
		fail_of(u, "not opened after refusals", 100, 0);
}

static void every_flipped_bit_and_every_cut_is_refused(void **state)
{
	with_each(tampered);
}

/* Two keys in turn, each sealing and opening, with refusals between: none disturbs another. */
static void in_turn(struct user *u)
{
	uint8_t other_key[AEAD_KEY_LEN], sealed[2][200 + AEAD_TAG_LEN], want[200 + AEAD_TAG_LEN];
	struct user ref = reference(u->cipher);
	struct iovec in = {plain, 200};
	struct aead *other;
	int i;

	memcpy(other_key, key, sizeof(key));
	other_key[31] ^= 1;
	other = u->engine->create(u->cipher, other_key);
	for (i = 0; i < 100; i++) {
		nonce[AEAD_IV_LEN - 1] = (uint8_t)i;
		seal_reference(&ref, 200, AAD_LEN, want);
		assert_true(u->engine->seal(u->a, nonce, aad, AAD_LEN, &in, 1, sealed[0]));
		assert_true(u->engine->seal(other, nonce, aad, AAD_LEN, &in, 1, sealed[1]));
		assert_memory_equal(sealed[0], want, sizeof(want));
		assert_memory_not_equal(sealed[1], want, sizeof(want));
		assert_false(opens(u, nonce, aad, AAD_LEN, sealed[1], sizeof(want)));
		assert_true(opens(u, nonce, aad, AAD_LEN, sealed[0], sizeof(want)));
	}
	u->engine->destroy(other);
	ref.engine->destroy(ref.a);
}

static void keys_do_not_disturb_each_other(void **state)
{
	with_each(in_turn);
}

static void *first_use(void *arg)
{
	const struct aead_engine *engine = aead_engine_for(AEAD_AES_256_GCM, false);
	struct aead *a = engine->create(AEAD_AES_256_GCM, key);
	struct iovec in = {plain, 1000};
	int i;

	for (i = 0; i < 50; i++)
		engine->seal(a, nonce, aad, AAD_LEN, &in, 1, arg);
	engine->destroy(a);
	return NULL;
}

/* Comes first in main(), so that engines are set up here. */
static void threads_may_start_to_use_engines_at_once(void **state)
{
	static uint8_t out[4][1000 + AEAD_TAG_LEN];
	pthread_t t[4];
	int i;

	for (i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, first_use, out[i]), 0);
	for (i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	for (i = 1; i < 4; i++)
		assert_memory_equal(out[i], out[0], sizeof(out[0]));
}

static void openssl_is_there_for_all_and_stays_when_ipsec_mb_is_not_wanted(void **state)
{
	const struct aead_engine *const *last = aead_engines;
	int c;

	for (c = 0; c < AEAD_CIPHERS; c++) {
		assert_true(aead_openssl.available((enum aead_cipher)c));
		assert_ptr_equal(aead_engine_for((enum aead_cipher)c, true), &aead_openssl);
		assert_non_null(aead_engine_for((enum aead_cipher)c, false));
	}
	assert_ptr_equal(aead_engine_for(AEAD_CHACHA20_POLY1305, false), &aead_openssl);
	while (last[1])
		last++;
	assert_ptr_equal(*last, &aead_openssl);
#ifdef HAVE_IPSEC_MB
	assert_null(aead_ipsec_mb.create(AEAD_CHACHA20_POLY1305, key));
	if (aead_ipsec_mb.available(AEAD_AES_256_GCM))
		assert_ptr_equal(aead_engine_for(AEAD_AES_256_GCM, false), &aead_ipsec_mb);
#endif
}

static void a_missing_key_can_be_destroyed(void **state)
{
	const struct aead_engine *const *e;

	for (e = aead_engines; *e; e++)
		(*e)->destroy(NULL);
}

static void ciphers_are_found_by_their_wire_names(void **state)
{
	enum aead_cipher c = AEAD_CIPHERS;

	assert_false(aead_cipher_find("", &c));
	assert_false(aead_cipher_find("aes-128-gcm", &c));
	assert_false(aead_cipher_find("AES-256-GCM", &c));
	assert_false(aead_cipher_find("aes-256-gcm ", &c));
	assert_int_equal(c, AEAD_CIPHERS);
	assert_true(aead_cipher_find("aes-256-gcm", &c));
	assert_int_equal(c, AEAD_AES_256_GCM);
	assert_true(aead_cipher_find("chacha20-poly1305", &c));
	assert_int_equal(c, AEAD_CHACHA20_POLY1305);
}

static void assert_nonce(const char *iv, uint64_t counter, const char *want)
{
	uint8_t i[AEAD_IV_LEN], w[AEAD_IV_LEN], n[AEAD_IV_LEN];

	pkt_hex(i, sizeof(i), iv);
	pkt_hex(w, sizeof(w), want);
	aead_nonce(n, i, counter);
	assert_memory_equal(n, w, sizeof(n));
}

static void the_counter_is_xored_into_the_end_of_the_iv(void **state)
{
	assert_nonce("000000000000000000000000", 0, "000000000000000000000000");
	assert_nonce("000000000000000000000000", 1, "000000000000000000000001");
	assert_nonce("a0a1a2a3a4a5a6a7a8a9aaab", 0, "a0a1a2a3a4a5a6a7a8a9aaab");
	assert_nonce("a0a1a2a3a4a5a6a7a8a9aaab", 0x0102030405060708, "a0a1a2a3a5a7a5a3adafada3");
	assert_nonce("ffffffffffffffffffffffff", UINT64_MAX, "ffffffff0000000000000000");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads_may_start_to_use_engines_at_once),
		cmocka_unit_test(published_vectors_hold_with_every_engine),
		cmocka_unit_test(engines_agree_on_every_length_in_one_piece_and_in_two),
		cmocka_unit_test(where_pieces_end_does_not_matter),
		cmocka_unit_test(no_piece_and_very_many_are_sealed_alike),
		cmocka_unit_test(associated_data_of_every_length_is_authenticated),
		cmocka_unit_test(every_flipped_bit_and_every_cut_is_refused),
		cmocka_unit_test(keys_do_not_disturb_each_other),
		cmocka_unit_test(openssl_is_there_for_all_and_stays_when_ipsec_mb_is_not_wanted),
		cmocka_unit_test(a_missing_key_can_be_destroyed),
		cmocka_unit_test(ciphers_are_found_by_their_wire_names),
		cmocka_unit_test(the_counter_is_xored_into_the_end_of_the_iv),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
