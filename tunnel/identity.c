// SPDX-License-Identifier: GPL-3.0-or-later
/* identity.c - a site's key and certificate; a peer is its certificate's fingerprint */
/*
 * Theory of operation
 *
 * An identity is a directory with two PEM files: key.pem, which nobody but its
 * owner may read, and cert.pem. It is made once and never written again: a new
 * identity is a new directory, as all peers must be told its fingerprint
 * anyway. Peers compare fingerprints; nothing that the certificate says is
 * believed, so it says as little as X.509 allows.
 *
 * OpenSSL's functions leave their errors in a queue of the thread. It is
 * emptied here on failure, or a later TLS call would take them for its own.
 */
#include "tunnel/identity.h"

#include <fcntl.h>
#include <limits.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_FILE  "key.pem"
#define CERT_FILE "cert.pem"

/* Several times what a P-256 key or its certificate takes. */
#define FILE_MAX 16384

#define SERIAL_BITS 128

/* Sites whose clocks are apart must not find each other's certificate too new. */
#define BACKDATED_S (-24 * 3600)

/*
 * Trust is in the fingerprint and ends when an administrator removes it; a date
 * would only stop tunnels that nobody meant to stop. Twenty years outlast the
 * appliance. "No expiry" (RFC 5280 section 4.1.2.5, the year 9999) is not
 * taken because of software that cannot read years of that size.
 */
#define VALID_DAYS 7305

/* Fails with what OpenSSL complains of. */
static int openssl_failed(struct err *e, const char *what)
{
	unsigned long code = ERR_peek_last_error();
	const char *reason = ERR_reason_error_string(code);

	ERR_clear_error();
	return err_set(e, EIO, "%s: %s", what, reason ? reason : "OpenSSL failed");
}

static bool set_serial(X509 *cert)
{
	BIGNUM *serial = BN_new();
	bool ok = serial && BN_rand(serial, SERIAL_BITS, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) &&
		  BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(cert));

	BN_free(serial);
	return ok;
}

/* Makes the certificate of a key, signed by itself. Returns NULL on failure. */
static X509 *make_cert(EVP_PKEY *key)
{
	static const unsigned char cn[] = "longhaul";
	X509 *cert = X509_new();
	X509_NAME *name;

	if (!cert)
		return NULL;
	name = X509_get_subject_name(cert);
	if (X509_set_version(cert, X509_VERSION_3) && set_serial(cert) &&
	    X509_gmtime_adj(X509_getm_notBefore(cert), BACKDATED_S) &&
	    X509_time_adj_ex(X509_getm_notAfter(cert), VALID_DAYS, 0, NULL) &&
	    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, cn, -1, -1, 0) &&
	    X509_set_issuer_name(cert, name) && X509_set_pubkey(cert, key) &&
	    X509_sign(cert, key, EVP_sha256()))
		return cert;
	X509_free(cert);
	return NULL;
}

/* What goes into the two files. */
struct pem {
	BIO *key, *cert;
	struct fingerprint fingerprint;
};

static int pem_make(struct pem *pem, struct err *e)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = key ? make_cert(key) : NULL;
	int ret = 0;

	pem->key = BIO_new(BIO_s_mem());
	pem->cert = BIO_new(BIO_s_mem());
	if (!cert || !pem->key || !pem->cert || !fingerprint_of(cert, &pem->fingerprint) ||
	    !PEM_write_bio_PrivateKey(pem->key, key, NULL, NULL, 0, NULL, NULL) ||
	    !PEM_write_bio_X509(pem->cert, cert))
		ret = openssl_failed(e, "making a key and its certificate");
	X509_free(cert);
	EVP_PKEY_free(key);
	return ret;
}

/* Freeing a memory BIO wipes it. */
static void pem_free(struct pem *pem)
{
	BIO_free(pem->key);
	BIO_free(pem->cert);
}

static int write_all(int fd, const char *data, long len)
{
	ssize_t n;

	for (; len > 0; data += n, len -= n) {
		n = write(fd, data, (size_t)len);
		if (n < 0)
			return -errno;
	}
	return 0;
}

/* Creates a file that was not there; on failure there is none. Returns 0 or -errno with a text. */
static int write_file(int dir_fd, const char *dir, const char *name, mode_t mode, BIO *content,
		      struct err *e)
{
	char *data;
	long len = BIO_get_mem_data(content, &data);
	int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode), ret;

	if (fd < 0 && errno == EEXIST)
		return err_set(e, EEXIST,
			       "%s/%s is there already and is never overwritten; "
			       "choose another directory or move it away",
			       dir, name);
	if (fd < 0)
		return err_set(e, errno, "%s/%s: %s", dir, name, strerror(errno));
	ret = write_all(fd, data, len);
	/* The umask may have taken bits away; it cannot have added any. */
	if (!ret && (fchmod(fd, mode) < 0 || fsync(fd) < 0))
		ret = -errno;
	if (close(fd) < 0 && !ret)
		ret = -errno;
	if (!ret)
		return 0;
	unlinkat(dir_fd, name, 0);
	return err_set(e, -ret, "%s/%s: %s", dir, name, strerror(-ret));
}

static int write_files(int dir_fd, const char *dir, const struct pem *pem, struct err *e)
{
	int ret = write_file(dir_fd, dir, KEY_FILE, 0600, pem->key, e);

	if (ret)
		return ret;
	ret = write_file(dir_fd, dir, CERT_FILE, 0644, pem->cert, e);
	if (!ret && fsync(dir_fd) < 0) {
		ret = err_set(e, errno, "%s: %s", dir, strerror(errno));
		unlinkat(dir_fd, CERT_FILE, 0);
	}
	if (ret)
		unlinkat(dir_fd, KEY_FILE, 0);
	return ret;
}

/* Opens the directory, made if it is missing. Returns a descriptor or -errno with a text. */
static int open_dir(const char *dir, bool *made, struct err *e)
{
	int fd, ret;

	*made = !mkdir(dir, 0700);
	if (!*made && errno != EEXIST)
		return err_set(e, errno, "directory %s cannot be made: %s", dir, strerror(errno));
	/* A umask can take even the owner's bits. */
	if (*made && chmod(dir, 0700) < 0)
		goto fail;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		return fd;
fail:
	ret = err_set(e, errno, "directory %s: %s", dir, strerror(errno));
	if (*made)
		rmdir(dir);
	return ret;
}

/*
 * Makes a new identity: @dir/key.pem (mode 0600) and @dir/cert.pem (0644). Nothing is
 * overwritten, and nothing is left behind on failure.
 * @dir: made, with mode 0700, if it is missing; its parent must be there
 * @fp:  filled in
 *
 * Returns 0, -EEXIST when one of the files is there, or -errno; with a text in @e.
 */
int identity_generate(const char *dir, struct fingerprint *fp, struct err *e)
{
	struct pem pem = {0};
	bool made;
	int fd, ret = pem_make(&pem, e);

	if (ret)
		goto out_pem;
	ret = fd = open_dir(dir, &made, e);
	if (fd < 0)
		goto out_pem;
	ret = write_files(fd, dir, &pem, e);
	close(fd);
	if (!ret)
		*fp = pem.fingerprint;
	else if (made)
		rmdir(dir);
out_pem:
	pem_free(&pem);
	return ret;
}

/* A file as it was read. */
struct text {
	char data[FILE_MAX];
	size_t len;
};

/* Names the remedy; keygen would refuse the half that may still be there. */
static int missing(const char *dir, const char *name, struct err *e)
{
	const char *other = strcmp(name, KEY_FILE) ? KEY_FILE : CERT_FILE;
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", dir, other);
	if (access(path, F_OK))
		return err_set(e, ENOENT,
			       "%s/%s: no such file; make an identity: longhaul keygen %s", dir,
			       name, dir);
	return err_set(e, ENOENT,
		       "%s/%s: no such file, though there is %s; restore it, or move %s away and "
		       "make a new identity: longhaul keygen %s",
		       dir, name, other, other, dir);
}

/* Whether a file is what it should be. @path: for messages. */
static int check_file(int fd, const char *path, bool secret, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_set(e, errno, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return err_set(e, EINVAL, "%s: not a regular file", path);
	if (st.st_size > FILE_MAX)
		return err_set(e, EFBIG, "%s: %lld bytes, over %d: not a PEM file of one object",
			       path, (long long)st.st_size, FILE_MAX);
	if (secret && (st.st_mode & 077))
		return err_set(e, EACCES,
			       "%s: mode %04o lets others at the key; take that from them: "
			       "chmod 600 %s",
			       path, (unsigned)st.st_mode & 07777, path);
	return 0;
}

/* Reads a file of the identity. Returns 0 or -errno with a text. */
static int read_file(const char *dir, const char *name, bool secret, struct text *t, struct err *e)
{
	char path[PATH_MAX];
	ssize_t n = 1;
	int fd, ret;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	/* Without O_NONBLOCK a FIFO would hold us before it can be refused. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 && errno == ENOENT)
		return missing(dir, name, e);
	if (fd < 0)
		return err_set(e, errno, "%s: %s", path, strerror(errno));
	ret = check_file(fd, path, secret, e);
	for (t->len = 0; !ret && n > 0 && t->len < sizeof(t->data); t->len += (size_t)n) {
		n = read(fd, t->data + t->len, sizeof(t->data) - t->len);
		if (n < 0) {
			ret = err_set(e, errno, "%s: %s", path, strerror(errno));
			break;
		}
	}
	close(fd);
	return ret;
}

/* Has an encrypted key refused: OpenSSL's own would ask at the terminal. */
static int no_password(char *buf, int size, int writing, void *encrypted)
{
	*(bool *)encrypted = true;
	return -1;
}

static int parse_key(const char *dir, const struct text *t, EVP_PKEY **key, struct err *e)
{
	BIO *bio = BIO_new_mem_buf(t->data, (int)t->len);
	bool encrypted = false;
	char group[32] = "";

	*key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, &encrypted) : NULL;
	BIO_free(bio);
	if (!*key) {
		ERR_clear_error();
		return err_set(e, EINVAL, "%s/" KEY_FILE ": %s", dir,
			       encrypted ? "the key is encrypted, which longhaul cannot read"
					 : "holds no private key in PEM");
	}
	if (EVP_PKEY_is_a(*key, "EC"))
		EVP_PKEY_get_group_name(*key, group, sizeof(group), NULL);
	if (strcmp(group, SN_X9_62_prime256v1))
		return err_set(e, EINVAL,
			       "%s/" KEY_FILE ": a key of type %s%s%s, but it must be EC P-256",
			       dir, EVP_PKEY_get0_type_name(*key), *group ? " " : "", group);
	return 0;
}

static int parse_cert(const char *dir, const struct text *t, X509 **cert, struct err *e)
{
	BIO *bio = BIO_new_mem_buf(t->data, (int)t->len);

	*cert = bio ? PEM_read_bio_X509(bio, NULL, no_password, &(bool){false}) : NULL;
	BIO_free(bio);
	if (*cert)
		return 0;
	ERR_clear_error();
	return err_set(e, EINVAL, "%s/" CERT_FILE ": holds no certificate in PEM", dir);
}

static int load(const char *dir, struct identity *id, struct text *t, struct err *e)
{
	int ret = read_file(dir, KEY_FILE, true, t, e);

	ret = ret ? ret : parse_key(dir, t, &id->key, e);
	ret = ret ? ret : read_file(dir, CERT_FILE, false, t, e);
	ret = ret ? ret : parse_cert(dir, t, &id->cert, e);
	if (ret)
		return ret;
	if (X509_check_private_key(id->cert, id->key) != 1) {
		ERR_clear_error();
		return err_set(e, EINVAL,
			       "%s/" KEY_FILE " and %s/" CERT_FILE " do not belong together", dir,
			       dir);
	}
	if (!fingerprint_of(id->cert, &id->fingerprint))
		return openssl_failed(e, "fingerprint of the certificate");
	return 0;
}

/*
 * Reads an identity. Symbolic links are followed; what they lead to is held to
 * the same rules.
 * @id: filled in, to be freed by identity_free(); zeroed on failure
 *
 * Returns 0, or -errno with a text in @e: -ENOENT when a file is missing, -EACCES
 * when others than its owner may read or write the key, -EINVAL when a file is no regular
 * one, holds something else, or the two do not belong together.
 */
int identity_load(const char *dir, struct identity *id, struct err *e)
{
	struct text t;
	int ret;

	memset(id, 0, sizeof(*id));
	ret = load(dir, id, &t, e);
	OPENSSL_cleanse(&t, sizeof(t));
	if (ret)
		identity_free(id);
	return ret;
}

/* Frees what identity_load() gave, wiping the key. A zeroed one is left alone. */
void identity_free(struct identity *id)
{
	EVP_PKEY_free(id->key);
	X509_free(id->cert);
	memset(id, 0, sizeof(*id));
}

/* Takes a certificate's fingerprint: SHA-256 of its DER. Returns false when OpenSSL fails. */
bool fingerprint_of(const X509 *cert, struct fingerprint *fp)
{
	return X509_digest(cert, EVP_sha256(), fp->bytes, NULL);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/*
 * Reads a fingerprint: exactly 64 hexadecimal digits of either case. Colons, as
 * openssl(1) puts between bytes, are refused like anything else: one spelling
 * can be searched for in files and compared by eye.
 * Returns false, with @fp undefined, if @text is anything else.
 */
bool fingerprint_parse(const char *text, struct fingerprint *fp)
{
	int i, high, low;

	for (i = 0; i < FINGERPRINT_LEN; i++, text += 2) {
		high = hex_digit(text[0]);
		low = high < 0 ? -1 : hex_digit(text[1]);
		if (low < 0)
			return false;
		fp->bytes[i] = (uint8_t)(high << 4 | low);
	}
	return !*text;
}

/* Writes a fingerprint as 64 lowercase hexadecimal digits. Returns @text. */
const char *fingerprint_text(const struct fingerprint *fp, char text[FINGERPRINT_TEXT])
{
	int i;

	for (i = 0; i < FINGERPRINT_LEN; i++)
		snprintf(text + 2 * i, 3, "%02x", fp->bytes[i]);
	return text;
}

/* Whether two fingerprints are the same. They are public: the time this takes tells nothing. */
bool fingerprint_equal(const struct fingerprint *a, const struct fingerprint *b)
{
	return !memcmp(a->bytes, b->bytes, FINGERPRINT_LEN);
}
