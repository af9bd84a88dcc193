// SPDX-License-Identifier: GPL-3.0-or-later
/* cmd_keygen.c - `longhaul keygen`: make this site's identity, or show the one there is */
#include "tunnel/commands.h"

#include "lib/log.h"
#include "lib/opts.h"
#include "tunnel/identity.h"

#include <jansson.h>
#include <stdio.h>

struct options {
	bool json, show;
};

static const struct opt table[] = {
	{"show", 0, .type = OPT_FLAG, .offset = offsetof(struct options, show),
	 .help = "make nothing; read the identity that is in DIR, and print its fingerprint"},
	{"json", 0, .type = OPT_FLAG, .offset = offsetof(struct options, json),
	 .help = "one JSON object: version, fingerprint, dir"},
	{0},
};

static const struct opts_usage usage = {
	.command = "keygen",
	.synopsis = "[--show] [--json] DIR",
	.summary = "Makes this site's identity: DIR/key.pem, a P-256 key that must not leave this "
		   "site,\n"
		   "and DIR/cert.pem, its certificate. Prints the certificate's fingerprint, by "
		   "which\n"
		   "the far sites know this one. DIR is made if it is missing; what is in it is "
		   "never\n"
		   "overwritten.",
	.examples = "  longhaul keygen /etc/longhaul/identity\n"
		    "  longhaul keygen --show /etc/longhaul/identity\n",
};

/* Prints the help of `longhaul keygen`. */
void keygen_help(void)
{
	opts_help(stdout, table, &usage);
}

static int show(const char *dir, struct fingerprint *fp, struct err *e)
{
	struct identity id;
	int ret = identity_load(dir, &id, e);

	if (ret)
		return ret;
	*fp = id.fingerprint;
	identity_free(&id);
	return 0;
}

/* A directory whose name is not UTF-8 cannot stand in JSON, and is null there. */
static int print_json(const char *dir, const char *fingerprint, struct err *e)
{
	json_t *doc = json_pack("{s:i, s:s, s:o}", "version", 1, "fingerprint", fingerprint, "dir",
				json_string(dir) ?: json_null());
	int ret = doc ? json_dumpf(doc, stdout, JSON_COMPACT) : -1;

	json_decref(doc);
	if (ret || putchar('\n') == EOF)
		return err_set(e, EIO, "standard output cannot be written to");
	return 0;
}

static int print(const char *dir, const struct fingerprint *fp, bool json, struct err *e)
{
	char text[FINGERPRINT_TEXT];
	int ret = 0;

	fingerprint_text(fp, text);
	if (json)
		ret = print_json(dir, text, e);
	else
		puts(text);
	if (!ret && (fflush(stdout) || ferror(stdout)))
		ret = err_set(e, EIO, "standard output cannot be written to");
	return ret;
}

/* Runs `longhaul keygen`. */
int cmd_keygen(int argc, char **argv)
{
	struct options o = {0};
	struct fingerprint fp;
	struct err e = {""};
	const char *dir;
	int rest, ret;

	log_setup("longhaul keygen", LOG_LEVEL_INFO);
	ret = opts_defaults(table, &o, &e);
	ret = ret ? ret : opts_parse(table, &o, argc, argv, &rest, &e);
	if (!ret && (rest == argc || !*argv[rest]))
		ret = err_set(&e, EINVAL, "name the identity's directory; see --help");
	if (!ret && rest + 1 < argc)
		ret = err_set(&e, EINVAL, "unexpected argument '%s'; see --help", argv[rest + 1]);
	if (ret) {
		log_error("%s", e.text);
		return 2;
	}
	dir = argv[rest];
	ret = o.show ? show(dir, &fp, &e) : identity_generate(dir, &fp, &e);
	if (!ret && !o.show)
		log_info("this site is started with --identity %s; give its fingerprint to the far "
			 "sites, which are started with --trust FINGERPRINT",
			 dir);
	ret = ret ? ret : print(dir, &fp, o.json, &e);
	if (!ret)
		return 0;
	log_error("%s", e.text);
	return 1;
}
