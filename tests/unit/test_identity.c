// SPDX-License-Identifier: GPL-3.0-or-later
/* test_identity.c - what an identity is, what is refused as one, and the command that makes it */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tunnel/commands.h"
#include "tunnel/identity.h"

#include <fcntl.h>
#include <ftw.h>
#include <jansson.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* A directory of each test's own, and the identity in it. */
static char top[64], dir[128];
static struct err e;

static int setup(void **state)
{
	snprintf(top, sizeof(top), "/tmp/test_identity.XXXXXX");
	if (!mkdtemp(top))
		return -1;
	snprintf(dir, sizeof(dir), "%s/id", top);
	e.text[0] = '\0';
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static int teardown(void **state)
{
	return nftw(top, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static const char *in_dir(const char *name)
{
	static char path[4][PATH_MAX];
	static unsigned at;
	char *p = path[at++ % 4];

	snprintf(p, PATH_MAX, "%s/%s", dir, name);
	return p;
}

static unsigned mode_of(const char *path)
{
	struct stat st;

	if (lstat(path, &st))
		fail_msg("%s is not there", path);
	return st.st_mode & 07777;
}

static bool there(const char *path)
{
	struct stat st;

	return !lstat(path, &st);
}

static void write_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
	chmod(path, 0600);
}

static void expect_text(const char *path, const char *text)
{
	char buf[256] = "";
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	buf[fread(buf, 1, sizeof(buf) - 1, f)] = '\0';
	fclose(f);
	assert_string_equal(buf, text);
}

static struct fingerprint generate(void)
{
	struct fingerprint fp;

	if (identity_generate(dir, &fp, &e))
		fail_msg("not generated: %s", e.text);
	return fp;
}

static void says(const char *what)
{
	if (!strstr(e.text, what))
		fail_msg("'%s' does not say '%s'", e.text, what);
	/* What stays there would be taken for the failure of a later TLS call. */
	assert_int_equal(ERR_peek_error(), 0);
}

static void refuses_to_generate(int ret, const char *what)
{
	struct fingerprint fp;

	e.text[0] = '\0';
	assert_int_equal(identity_generate(dir, &fp, &e), ret);
	says(what);
}

static void refuses_to_load(int ret, const char *what)
{
	static const struct identity none;
	struct identity id;

	e.text[0] = '\0';
	memset(&id, 0x5a, sizeof(id));
	assert_int_equal(identity_load(dir, &id, &e), ret);
	says(what);
	assert_memory_equal(&id, &none, sizeof(id));
}

static void loads_as(const struct fingerprint *fp)
{
	struct identity id;

	if (identity_load(dir, &id, &e))
		fail_msg("not loaded: %s", e.text);
	assert_true(fingerprint_equal(&id.fingerprint, fp));
	identity_free(&id);
	assert_null(id.key);
	identity_free(&id); /* freed ones are left alone */
}

static void what_is_generated_is_loaded(void **state)
{
	struct fingerprint fp = generate();

	loads_as(&fp);
	assert_int_equal(ERR_peek_error(), 0);
}

static void no_umask_changes_the_modes(void **state)
{
	static const mode_t masks[] = {0, 022, 077, 0777};
	size_t i;

	for (i = 0; i < sizeof(masks) / sizeof(*masks); i++) {
		mode_t was = umask(masks[i]);

		snprintf(dir, sizeof(dir), "%s/%zu", top, i);
		generate();
		umask(was);
		assert_int_equal(mode_of(dir), 0700);
		assert_int_equal(mode_of(in_dir("key.pem")), 0600);
		assert_int_equal(mode_of(in_dir("cert.pem")), 0644);
	}
}

static void a_directory_that_is_there_stays_as_it_is(void **state)
{
	assert_int_equal(mkdir(dir, 0755), 0);
	assert_int_equal(chmod(dir, 0751), 0);
	write_text(in_dir("other"), "else");
	generate();
	assert_int_equal(mode_of(dir), 0751);
	expect_text(in_dir("other"), "else");
}

static void the_certificate_says_what_is_documented(void **state)
{
	struct fingerprint fp = generate();
	unsigned char der[2048], *p = der, sha[32];
	struct identity id;
	int days, seconds;
	BIGNUM *serial;
	char cn[64];

	assert_int_equal(identity_load(dir, &id, &e), 0);
	assert_true(i2d_X509(id.cert, NULL) < (int)sizeof(der));
	EVP_Digest(der, (size_t)i2d_X509(id.cert, &p), sha, NULL, EVP_sha256(), NULL);
	assert_memory_equal(sha, fp.bytes, sizeof(sha));
	X509_NAME_get_text_by_NID(X509_get_subject_name(id.cert), NID_commonName, cn, sizeof(cn));
	assert_string_equal(cn, "longhaul");
	assert_int_equal(X509_NAME_entry_count(X509_get_subject_name(id.cert)), 1);
	assert_int_equal(
		X509_NAME_cmp(X509_get_subject_name(id.cert), X509_get_issuer_name(id.cert)), 0);
	assert_int_equal(X509_verify(id.cert, id.key), 1);
	assert_int_equal(X509_get_version(id.cert), X509_VERSION_3);
	serial = ASN1_INTEGER_to_BN(X509_get0_serialNumber(id.cert), NULL);
	assert_int_equal(BN_num_bits(serial), 128);
	assert_false(BN_is_negative(serial));
	BN_free(serial);
	/* A day ago by the clock of now, give or take the time this takes. */
	assert_true(ASN1_TIME_diff(&days, &seconds, X509_get0_notBefore(id.cert), NULL));
	assert_int_equal(days, 1);
	assert_in_range(seconds, 0, 60);
	assert_true(ASN1_TIME_diff(&days, &seconds, X509_get0_notBefore(id.cert),
				   X509_get0_notAfter(id.cert)));
	assert_int_equal(days, 7306);
	identity_free(&id);
}

static void two_are_never_the_same(void **state)
{
	struct fingerprint a = generate(), b;

	snprintf(dir, sizeof(dir), "%s/second", top);
	b = generate();
	assert_false(fingerprint_equal(&a, &b));
}

static void nothing_is_overwritten(void **state)
{
	static const char *const names[] = {"key.pem", "cert.pem"};
	int i;

	for (i = 0; i < 2; i++) {
		snprintf(dir, sizeof(dir), "%s/%d", top, i);
		mkdir(dir, 0700);
		write_text(in_dir(names[i]), "precious");
		refuses_to_generate(-EEXIST, in_dir(names[i]));
		expect_text(in_dir(names[i]), "precious");
		assert_false(there(in_dir(names[1 - i])));
	}
}

static void a_whole_identity_is_not_overwritten(void **state)
{
	struct fingerprint fp = generate();

	refuses_to_generate(-EEXIST, "never overwritten");
	loads_as(&fp);
}

/* Following it would write the key to wherever somebody wants it. */
static void a_dangling_link_is_not_written_through(void **state)
{
	static const char *const names[] = {"key.pem", "cert.pem"};
	char elsewhere[128];
	int i;

	snprintf(elsewhere, sizeof(elsewhere), "%s/elsewhere", top);
	for (i = 0; i < 2; i++) {
		snprintf(dir, sizeof(dir), "%s/%d", top, i);
		mkdir(dir, 0700);
		assert_int_equal(symlink(elsewhere, in_dir(names[i])), 0);
		refuses_to_generate(-EEXIST, in_dir(names[i]));
		assert_false(there(elsewhere));
		assert_false(there(in_dir(names[1 - i])));
	}
}

static void a_directory_that_cannot_be_is_named(void **state)
{
	write_text(dir, "a file");
	refuses_to_generate(-ENOTDIR, dir);
	expect_text(dir, "a file");
	snprintf(dir, sizeof(dir), "%s/no/parent", top);
	refuses_to_generate(-ENOENT, dir);
}

/* As a full disk would, but reproducibly: files may grow to @bytes. */
static void fails_with_files_of(rlim_t bytes, const char *what)
{
	struct rlimit was, now;

	getrlimit(RLIMIT_FSIZE, &was);
	now = (struct rlimit){bytes, was.rlim_max};
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &now);
	refuses_to_generate(-EFBIG, what);
	setrlimit(RLIMIT_FSIZE, &was);
	signal(SIGXFSZ, SIG_DFL);
}

static void a_failed_write_leaves_nothing_behind(void **state)
{
	struct fingerprint fp;

	fails_with_files_of(100, "key.pem");
	assert_false(there(dir));
	fails_with_files_of(300, "cert.pem"); /* the key is smaller, the certificate larger */
	assert_false(there(dir));
	mkdir(dir, 0700);
	fails_with_files_of(300, "cert.pem");
	assert_true(there(dir));
	fp = generate();
	loads_as(&fp);
}

static void a_key_that_others_can_read_or_write_is_refused(void **state)
{
	static const mode_t modes[] = {0640, 0604, 0620, 0602, 0610, 0601, 0644, 0666, 0777, 0440};
	struct fingerprint fp = generate();
	char mode[32];
	size_t i;

	for (i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
		chmod(in_dir("key.pem"), modes[i]);
		snprintf(mode, sizeof(mode), "key.pem: mode %04o", modes[i]);
		refuses_to_load(-EACCES, mode);
		says("chmod 600 ");
		says(in_dir("key.pem"));
	}
	chmod(in_dir("key.pem"), 0400);
	loads_as(&fp);
	chmod(in_dir("key.pem"), 0600);
	chmod(in_dir("cert.pem"), 0666); /* no secret, and held against the key */
	loads_as(&fp);
}

static void what_is_missing_is_named_with_the_remedy(void **state)
{
	char remedy[256];

	snprintf(remedy, sizeof(remedy), "longhaul keygen %s", dir);
	refuses_to_load(-ENOENT, remedy);
	says(in_dir("key.pem"));
	generate();
	unlink(in_dir("cert.pem"));
	refuses_to_load(-ENOENT, remedy);
	says(in_dir("cert.pem"));
	says("move key.pem away");
	unlink(in_dir("key.pem"));
	refuses_to_load(-ENOENT, remedy);
	generate();
	unlink(in_dir("key.pem"));
	refuses_to_load(-ENOENT, "move cert.pem away");
}

static void what_is_no_regular_file_is_refused(void **state)
{
	static const char *const names[] = {"key.pem", "cert.pem"};
	int i;

	for (i = 0; i < 2; i++) {
		snprintf(dir, sizeof(dir), "%s/%d", top, i);
		generate();
		unlink(in_dir(names[i]));
		mkdir(in_dir(names[i]), 0700);
		refuses_to_load(-EINVAL, in_dir(names[i]));
		says("regular");
		rmdir(in_dir(names[i]));
		mkfifo(in_dir(names[i]), 0600); /* nobody writes: must not wait */
		refuses_to_load(-EINVAL, in_dir(names[i]));
		unlink(in_dir(names[i]));
		assert_int_equal(symlink("/dev/null", in_dir(names[i])), 0);
		refuses_to_load(-EINVAL, in_dir(names[i]));
	}
}

static void a_link_is_held_to_the_rules_of_its_file(void **state)
{
	struct fingerprint fp = generate();
	char real[128];

	snprintf(real, sizeof(real), "%s/real", top);
	assert_int_equal(rename(in_dir("key.pem"), real), 0);
	assert_int_equal(symlink(real, in_dir("key.pem")), 0);
	loads_as(&fp);
	chmod(real, 0644);
	refuses_to_load(-EACCES, "mode 0644");
}

static void put_key(EVP_PKEY *key, const char *password)
{
	FILE *f = fopen(in_dir("key.pem"), "w");

	assert_non_null(key);
	assert_non_null(f);
	assert_true(PEM_write_PrivateKey(f, key, password ? EVP_aes_128_cbc() : NULL, NULL, 0, NULL,
					 (void *)password));
	fclose(f);
	EVP_PKEY_free(key);
}

static void keys_of_other_types_are_refused(void **state)
{
	generate();
	put_key(EVP_EC_gen("P-384"), NULL);
	refuses_to_load(-EINVAL, "secp384r1, but it must be EC P-256");
	says(in_dir("key.pem"));
	put_key(EVP_EC_gen("secp256k1"), NULL); /* of the same size */
	refuses_to_load(-EINVAL, "secp256k1, but it must be EC P-256");
	put_key(EVP_RSA_gen(1024), NULL);
	refuses_to_load(-EINVAL, "RSA, but it must be EC P-256");
	put_key(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), NULL);
	refuses_to_load(-EINVAL, "ED25519, but it must be EC P-256");
	put_key(EVP_PKEY_Q_keygen(NULL, NULL, "X25519"), NULL);
	refuses_to_load(-EINVAL, "X25519, but it must be EC P-256");
}

/* It must not ask at the terminal either: a service would wait for ever. */
static void an_encrypted_key_is_refused(void **state)
{
	generate();
	put_key(EVP_EC_gen("P-256"), "secret");
	refuses_to_load(-EINVAL, "encrypted");
	says(in_dir("key.pem"));
}

static void another_key_s_certificate_is_refused(void **state)
{
	generate();
	put_key(EVP_EC_gen("P-256"), NULL);
	refuses_to_load(-EINVAL, "do not belong together");
	says(in_dir("key.pem"));
	says(in_dir("cert.pem"));
}

static void what_is_not_pem_is_refused(void **state)
{
	static const char *const names[] = {"key.pem", "cert.pem"};
	char large[20001];
	int i;

	memset(large, 'A', sizeof(large) - 1);
	large[sizeof(large) - 1] = '\0';
	for (i = 0; i < 2; i++) {
		snprintf(dir, sizeof(dir), "%s/%d", top, i);
		generate();
		write_text(in_dir(names[i]), "");
		refuses_to_load(-EINVAL, in_dir(names[i]));
		write_text(in_dir(names[i]), "-----BEGIN NONSENSE-----\nAAAA\n");
		refuses_to_load(-EINVAL, in_dir(names[i]));
		write_text(in_dir(names[i]), "-----BEGIN PRIVATE KEY-----\nAAAA\n"
					     "-----END PRIVATE KEY-----\n"
					     "-----BEGIN CERTIFICATE-----\nAAAA\n"
					     "-----END CERTIFICATE-----\n");
		refuses_to_load(-EINVAL, in_dir(names[i]));
		write_text(in_dir(names[i]), large);
		refuses_to_load(-EFBIG, in_dir(names[i]));
	}
	snprintf(dir, sizeof(dir), "%s/swapped", top);
	generate();
	rename(in_dir("key.pem"), in_dir("was"));
	rename(in_dir("cert.pem"), in_dir("key.pem"));
	rename(in_dir("was"), in_dir("cert.pem"));
	chmod(in_dir("key.pem"), 0600);
	refuses_to_load(-EINVAL, "key.pem: holds no private key");
}

static const char hex[] = "0123456789abcdef00112233445566778899aabbccddeeffdeadbeef00c0ffee";

static void sixty_four_hex_digits_are_a_fingerprint(void **state)
{
	static const uint8_t head[] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x00, 0x11};
	struct fingerprint fp, upper;
	char text[FINGERPRINT_TEXT];

	assert_true(fingerprint_parse(hex, &fp));
	assert_memory_equal(fp.bytes, head, sizeof(head));
	assert_int_equal(fp.bytes[31], 0xee);
	assert_ptr_equal(fingerprint_text(&fp, text), text);
	assert_string_equal(text, hex);
	assert_true(fingerprint_parse(
		"0123456789ABCDEF00112233445566778899AABBCCDDEEFFDEADBEEF00C0FFEE", &upper));
	assert_true(fingerprint_equal(&fp, &upper));
	upper.bytes[31] ^= 1;
	assert_false(fingerprint_equal(&fp, &upper));
}

static void anything_else_is_no_fingerprint(void **state)
{
	static const char *const wrong[] = {"", "0", "0x", "sha256:", ":", " ", "\n", "é"};
	struct fingerprint fp;
	char text[160];
	size_t i;

	for (i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		if (*wrong[i]) {
			snprintf(text, sizeof(text), "%s%s", wrong[i], hex);
			assert_false(fingerprint_parse(text, &fp));
			snprintf(text, sizeof(text), "%s%s", hex, wrong[i]);
			assert_false(fingerprint_parse(text, &fp));
		}
		assert_false(fingerprint_parse(wrong[i], &fp));
	}
	for (i = 0; i < 64; i++) {
		char *exact = strndup(hex, i); /* ASan sees a digit read beyond it */

		assert_false(fingerprint_parse(exact, &fp));
		free(exact);
		strcpy(text, hex);
		text[i] = "gG:/@`\x80-"[i % 8];
		assert_false(fingerprint_parse(text, &fp));
	}
	/* as openssl x509 -fingerprint writes it */
	for (i = 0; i < 32; i++)
		snprintf(text + 3 * i, 4, "%.2s%s", hex + 2 * i, i < 31 ? ":" : "");
	assert_false(fingerprint_parse(text, &fp));
}

/* Runs the command, its standard output going to @out. */
static int keygen(char *out, size_t len, const char *a, const char *b, const char *c)
{
	char *argv[] = {(char *)"keygen", (char *)a, (char *)b, (char *)c, NULL};
	int argc = 1 + !!a + !!b + !!c, saved = dup(1), err = dup(2), ret, fd, null;
	char path[128];

	snprintf(path, sizeof(path), "%s/stdout", top);
	fflush(stdout);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	dup2(fd, 1);
	null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	dup2(null, 2);
	ret = cmd_keygen(argc, argv);
	fflush(stdout);
	dup2(saved, 1);
	dup2(err, 2);
	len = (size_t)pread(fd, out, len - 1, 0);
	out[len] = '\0';
	close(saved);
	close(err);
	close(null);
	close(fd);
	return ret;
}

static void keygen_prints_the_fingerprint_and_nothing_else(void **state)
{
	char out[512], again[512], text[FINGERPRINT_TEXT], want[FINGERPRINT_TEXT + 1];
	struct identity id;

	assert_int_equal(keygen(out, sizeof(out), dir, NULL, NULL), 0);
	assert_int_equal(identity_load(dir, &id, &e), 0);
	snprintf(want, sizeof(want), "%s\n", fingerprint_text(&id.fingerprint, text));
	assert_string_equal(out, want);
	identity_free(&id);
	assert_int_equal(keygen(again, sizeof(again), "--show", dir, NULL), 0);
	assert_string_equal(again, out);
}

static void keygen_prints_json(void **state)
{
	char out[2][512];
	struct fingerprint fp;
	json_t *doc;

	assert_int_equal(keygen(out[0], sizeof(out[0]), "--json", dir, NULL), 0);
	assert_int_equal(keygen(out[1], sizeof(out[1]), dir, "--show", "--json"), 0);
	assert_string_equal(out[0], out[1]);
	doc = json_loads(out[0], 0, NULL);
	assert_int_equal(json_object_size(doc), 3);
	assert_int_equal(json_integer_value(json_object_get(doc, "version")), 1);
	assert_string_equal(json_string_value(json_object_get(doc, "dir")), dir);
	assert_true(fingerprint_parse(json_string_value(json_object_get(doc, "fingerprint")), &fp));
	loads_as(&fp);
	json_decref(doc);
}

static void keygen_tells_failure_from_wrong_usage(void **state)
{
	char out[512];

	assert_int_equal(keygen(out, sizeof(out), NULL, NULL, NULL), 2);
	assert_int_equal(keygen(out, sizeof(out), "--show", NULL, NULL), 2);
	assert_int_equal(keygen(out, sizeof(out), "", NULL, NULL), 2);
	assert_int_equal(keygen(out, sizeof(out), dir, "more", NULL), 2);
	assert_int_equal(keygen(out, sizeof(out), "--nonsense", dir, NULL), 2);
	assert_false(there(dir));
	assert_int_equal(keygen(out, sizeof(out), "--show", dir, NULL), 1);
	assert_string_equal(out, "");
	assert_false(there(dir));
	assert_int_equal(keygen(out, sizeof(out), dir, NULL, NULL), 0);
	assert_int_equal(keygen(out, sizeof(out), dir, NULL, NULL), 1);
	assert_string_equal(out, "");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_generated_is_loaded),
		TEST(no_umask_changes_the_modes),
		TEST(a_directory_that_is_there_stays_as_it_is),
		TEST(the_certificate_says_what_is_documented),
		TEST(two_are_never_the_same),
		TEST(nothing_is_overwritten),
		TEST(a_whole_identity_is_not_overwritten),
		TEST(a_dangling_link_is_not_written_through),
		TEST(a_directory_that_cannot_be_is_named),
		TEST(a_failed_write_leaves_nothing_behind),
		TEST(a_key_that_others_can_read_or_write_is_refused),
		TEST(what_is_missing_is_named_with_the_remedy),
		TEST(what_is_no_regular_file_is_refused),
		TEST(a_link_is_held_to_the_rules_of_its_file),
		TEST(keys_of_other_types_are_refused),
		TEST(an_encrypted_key_is_refused),
		TEST(another_key_s_certificate_is_refused),
		TEST(what_is_not_pem_is_refused),
		TEST(sixty_four_hex_digits_are_a_fingerprint),
		TEST(anything_else_is_no_fingerprint),
		TEST(keygen_prints_the_fingerprint_and_nothing_else),
		TEST(keygen_prints_json),
		TEST(keygen_tells_failure_from_wrong_usage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
