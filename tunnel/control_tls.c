// SPDX-License-Identifier: GPL-3.0-or-later
/* control_tls.c - TLS 1.3 with pinned certificates: contexts, the pin check, exported keys */
/*
 * There is no authority: a peer is its certificate's fingerprint, and the
 * handshake proves that it has the certificate's key. Dates are checked all
 * the same, so that a wrong clock or an old certificate is told, not guessed.
 * Exporter secrets do not cover the client's authentication by themselves
 * (RFC 8446 section 7.5), so keys are exported only after the whole handshake
 * and this check. No tickets and no 0-RTT: every connection is new keys.
 */
#include "tunnel/control.h"

#include "lib/log.h"
#include "tunnel/tunnel.h"

#include <openssl/err.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Best first; a post-quantum hybrid where the library has it (OpenSSL 3.5). */
static const char *const groups[] = {"X25519MLKEM768:X25519:P-256", "X25519:P-256"};

static const unsigned char alpn[] = "\x0alonghaul/1";
static const unsigned char stream_alpn[] = "\x11" STREAM_ALPN;

_Static_assert(sizeof(alpn) == sizeof(PROTO_ALPN) + 1, "the length byte says PROTO_ALPN's");
_Static_assert(sizeof(stream_alpn) == 0x11 + 2, "the length byte says STREAM_ALPN's");

static struct link *find_link(struct control *c, const struct fingerprint *fp)
{
	unsigned i;

	for (i = 0; i < c->n_links; i++)
		if (fingerprint_equal(&c->links[i].peer->conf->trust, fp))
			return &c->links[i];
	return NULL;
}

static void date_error(struct conn *c, const char *what, const ASN1_TIME *when)
{
	char now[32];
	time_t t = time(NULL);
	struct tm certificate = {0}, utc;

	ASN1_TIME_to_tm(when, &certificate);
	strftime(now, sizeof(now), "%Y-%m-%d %H:%M", gmtime_r(&t, &utc));
	snprintf(
		c->verify_error, sizeof(c->verify_error),
		"its certificate %s on %04d-%02d-%02d and this machine's clock says %s UTC: set the clock, or "
		"make a new identity with `longhaul keygen` there",
		what, certificate.tm_year + 1900, certificate.tm_mon + 1, certificate.tm_mday, now);
}

/* Says whether a certificate is that of the peer expected, or of any peer where we were called. */
static int check_pin(struct conn *c, X509 *cert)
{
	struct fingerprint fp;
	char text[FINGERPRINT_TEXT], wanted[FINGERPRINT_TEXT];
	struct link *l;

	if (!fingerprint_of(cert, &fp))
		return X509_V_ERR_CERT_REJECTED;
	l = find_link(c->control, &fp);
	fingerprint_text(&fp, text);
	if (c->caller && l != c->link) {
		snprintf(
			c->verify_error, sizeof(c->verify_error),
			"it shows fingerprint %s, not %s that is "
			"trusted for it%s",
			text, fingerprint_text(&c->link->peer->conf->trust, wanted),
			l ? "; that one is trusted for another peer: are the two addresses swapped?"
			  : "");
		return X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT;
	}
	if (!l) {
		snprintf(c->verify_error, sizeof(c->verify_error),
			 "its fingerprint %s is not trusted here; if "
			 "it should be, add it to trust",
			 text);
		return X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT;
	}
	if (X509_cmp_current_time(X509_get0_notBefore(cert)) > 0) {
		date_error(c, "becomes valid", X509_get0_notBefore(cert));
		return X509_V_ERR_CERT_NOT_YET_VALID;
	}
	if (X509_cmp_current_time(X509_get0_notAfter(cert)) < 0) {
		date_error(c, "expired", X509_get0_notAfter(cert));
		return X509_V_ERR_CERT_HAS_EXPIRED;
	}
	c->link = l;
	return X509_V_OK;
}

/* OpenSSL's question about the peer's certificate. */
static int verify(X509_STORE_CTX *ctx, void *unused)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(ctx, SSL_get_ex_data_X509_STORE_CTX_idx());
	int error = check_pin(SSL_get_app_data(ssl), X509_STORE_CTX_get0_cert(ctx));

	X509_STORE_CTX_set_error(ctx, error);
	return error == X509_V_OK;
}

static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
		       const unsigned char *in, unsigned in_len, void *unused)
{
	const struct conn *c = SSL_get_app_data(ssl);

	if (SSL_select_next_proto((unsigned char **)out, out_len, alpn, sizeof(alpn) - 1, in,
				  in_len) == OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_OK;
	if (c->control->tunnel->accelerate.accel &&
	    SSL_select_next_proto((unsigned char **)out, out_len, stream_alpn,
				  sizeof(stream_alpn) - 1, in, in_len) == OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_OK;
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static SSL_CTX *new_context(const struct identity *id, bool server)
{
	SSL_CTX *ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());

	if (!ctx)
		return NULL;
	SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
	SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION);
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	SSL_CTX_set_num_tickets(ctx, 0);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				      SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_cert_verify_callback(ctx, verify, NULL);
	if (!SSL_CTX_set1_groups_list(ctx, groups[0]) && !SSL_CTX_set1_groups_list(ctx, groups[1]))
		goto fail;
	if (server)
		SSL_CTX_set_alpn_select_cb(ctx, select_alpn, NULL);
	else if (SSL_CTX_set_alpn_protos(ctx, alpn, sizeof(alpn) - 1))
		goto fail;
	if (SSL_CTX_use_certificate(ctx, id->cert) == 1 &&
	    SSL_CTX_use_PrivateKey(ctx, id->key) == 1) {
		ERR_clear_error(); /* of groups this library does not have */
		return ctx;
	}
fail:
	SSL_CTX_free(ctx);
	return NULL;
}

/* Has a connection that we make be one of split TCP's. */
void control_tls_be_stream(struct conn *c)
{
	SSL_set_alpn_protos(c->ssl, stream_alpn, sizeof(stream_alpn) - 1);
}

/* Makes both contexts. Returns 0 or -errno with a text. */
int control_tls_init(struct control *c, struct err *e)
{
	c->server = new_context(&c->identity, true);
	c->client = new_context(&c->identity, false);
	if (!c->server || !c->client)
		return err_set(e, EPROTO, "TLS: %s",
			       ERR_reason_error_string(ERR_peek_last_error()));
	return 0;
}

/* What the far end's alert means in our terms; NULL: nothing special. */
static const char *alert_meaning(unsigned long error)
{
	switch (ERR_GET_REASON(error)) {
	case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
		return "it does not trust this site's fingerprint; add ours to its trust";
	case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
		return "it says that our certificate has expired: check the clocks of both machines, or make "
		       "a new identity";
	case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
		return "it refuses our certificate, which is not yet valid there: check the clocks of both "
		       "machines";
	case SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL:
	case SSL_R_NO_APPLICATION_PROTOCOL:
		return "it speaks another version of the protocol than " PROTO_ALPN
		       ": upgrade the older side";
	case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
	case SSL_R_UNSUPPORTED_PROTOCOL: return "it does not speak TLS 1.3";
	case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE: return "it shows no certificate";
	case SSL_R_WRONG_VERSION_NUMBER:
	case SSL_R_HTTP_REQUEST: return "what it sends is not TLS";
	}
	return NULL;
}

/* Puts into words why a TLS call failed. */
void control_tls_describe(struct conn *c, int ssl_ret, char *text, size_t len)
{
	unsigned long error = ERR_peek_last_error();
	const char *meaning = alert_meaning(error);

	if (*c->verify_error)
		snprintf(text, len, "%s", c->verify_error);
	else if (meaning)
		snprintf(text, len, "%s", meaning);
	else if (error)
		snprintf(text, len, "TLS: %s", ERR_reason_error_string(error));
	else
		snprintf(text, len, "connection lost");
	ERR_clear_error();
}

/*
 * Exports one worker's key and IV (RFC 8446 section 7.5). Its context is both
 * fingerprints, the caller's first, then the direction (0: from the caller)
 * and the sender's worker, a byte each.
 */
bool control_tls_export(struct conn *c, bool from_caller, unsigned worker,
			uint8_t key[SESSION_KEY_BYTES])
{
	const struct fingerprint *us = &c->control->identity.fingerprint,
				 *them = &c->link->peer->conf->trust;
	uint8_t context[2 * FINGERPRINT_LEN + 2];

	memcpy(context, (c->caller ? us : them)->bytes, FINGERPRINT_LEN);
	memcpy(context + FINGERPRINT_LEN, (c->caller ? them : us)->bytes, FINGERPRINT_LEN);
	context[2 * FINGERPRINT_LEN] = !from_caller;
	context[2 * FINGERPRINT_LEN + 1] = (uint8_t)worker;
	return SSL_export_keying_material(c->ssl, key, SESSION_KEY_BYTES, PROTO_EXPORTER,
					  sizeof(PROTO_EXPORTER) - 1, context, sizeof(context),
					  1) == 1;
}
