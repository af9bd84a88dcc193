// SPDX-License-Identifier: GPL-3.0-or-later
/* test_conf.c - what a tunnel is asked to do, by the command line of 2008 and by a file */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tunnel/conf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ARGS_MAX 160

/* The least that is a tunnel, to which a test adds what it is about. */
#define LEAST "-t eth0 -f 192.0.2.1 -b eth1:1 --outer capsulator"

static struct conf c;
static struct err e;
static char words[4096];

/* Splits at blanks. */
static int make_argv(char **argv, const char *line)
{
	char *word, *save = NULL;
	int n = 0;

	argv[n++] = (char *)"tunnel";
	assert_true(snprintf(words, sizeof(words), "%s", line) < (int)sizeof(words));
	for (word = strtok_r(words, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		assert_true(n < ARGS_MAX);
		argv[n++] = word;
	}
	argv[n] = NULL;
	return n;
}

static int load(const char *line)
{
	char *argv[ARGS_MAX + 1];
	int argc = make_argv(argv, line);

	conf_release(&c);
	e.text[0] = '\0';
	return conf_load(&c, argc, argv, &e);
}

/* Loads with a file of this text. */
static int load_file(const char *text, const char *line)
{
	int fd = memfd_create("conf", MFD_CLOEXEC), ret;
	char all[1024];

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	snprintf(all, sizeof(all), "--config /proc/self/fd/%d %s", fd, line);
	ret = load(all);
	close(fd);
	return ret;
}

static void assert_loads(const char *line)
{
	if (load(line))
		fail_msg("'%s' was refused: %s", line, e.text);
}

static void assert_loads_file(const char *text, const char *line)
{
	if (load_file(text, line))
		fail_msg("'%s' was refused: %s", text, e.text);
}

static void assert_says(const char *text)
{
	if (!strstr(e.text, text))
		fail_msg("'%s' does not say '%s'", e.text, text);
}

static void assert_refuses(const char *line, const char *text)
{
	if (load(line) >= 0)
		fail_msg("'%s' was taken", line);
	assert_says(text);
}

static void assert_refuses_file(const char *text, const char *line, const char *says)
{
	if (load_file(text, line) >= 0)
		fail_msg("'%s' was taken", text);
	assert_says(says);
}

static void assert_port(unsigned i, const char *name, uint32_t tag, int kind)
{
	assert_true(i < c.n_ports);
	assert_string_equal(c.ports[i].name, name);
	assert_true(c.ports[i].has_tag);
	assert_int_equal(c.ports[i].tag, tag);
	assert_int_equal(c.ports[i].kind, kind);
}

static void assert_peer(unsigned i, const char *name, const char *address)
{
	assert_true(i < c.n_peers);
	assert_string_equal(c.peers[i].name, name);
	assert_string_equal(c.peers[i].address, address);
}

static int teardown(void **state)
{
	conf_release(&c);
	return 0;
}

static void the_command_line_of_2008_keeps_its_meaning(void **state)
{
	assert_loads("-t nf2c0 -f 60.45.91.58 -b nf2c1:1 -b nf2c2:2 -b nf2c3:3 -w 7 -m 1400 "
		     "--outer capsulator");
	assert_string_equal(c.interface, "nf2c0");
	assert_string_equal(c.name, "nf2c0");
	assert_int_equal(c.n_peers, 1);
	assert_peer(0, "60.45.91.58", "60.45.91.58");
	assert_int_equal(c.n_ports, 3);
	assert_port(0, "nf2c1", 1, CONF_PORT_PACKET);
	assert_port(1, "nf2c2", 2, CONF_PORT_PACKET);
	assert_port(2, "nf2c3", 3, CONF_PORT_PACKET);
	assert_false(c.ports[0].positional || c.ports[1].positional || c.ports[2].positional);
	assert_int_equal(c.tag_defaults.wscale, 7);
	assert_int_equal(c.tag_defaults.mtu, 1400);
	assert_int_equal(c.outer, CONF_OUTER_CAPSULATOR);
	assert_false(c.all || c.verbose || c.check);
}

static void what_is_not_given_has_its_default(void **state)
{
	assert_loads(LEAST);
	assert_int_equal(c.tag_defaults.mtu, MTU_AUTO);
	assert_int_equal(c.tag_defaults.wscale, WSCALE_OFF);
	assert_int_equal(c.tag_defaults.storm_limit, 10000);
	assert_int_equal(c.tag_defaults.max_macs, 4096);
	assert_int_equal(c.tag_defaults.oversize, CONF_OVERSIZE_FRAGMENT);
	assert_int_equal(c.tag_defaults.stripes, 1);
	assert_false(c.tag_defaults.stripes_auto);
	assert_int_equal(c.tos, CONF_TOS_COPY);
	assert_int_equal(c.mtu_raise_ns, 600000000000);
	assert_int_equal(c.mac_age_ns, 300000000000);
	assert_int_equal(c.without, 0);
	assert_int_equal(c.ports[0].mtu, 1500);
	assert_null(c.site);
	assert_null(c.identity);
	assert_null(c.config);
}

static void far_ends_come_in_a_list_or_one_by_one(void **state)
{
	assert_loads("-t eth0 -b a:1 --outer capsulator -f 192.0.2.1,site-b.example -f 192.0.2.3");
	assert_int_equal(c.n_peers, 3);
	assert_peer(0, "192.0.2.1", "192.0.2.1");
	assert_peer(1, "site-b.example", "site-b.example");
	assert_peer(2, "192.0.2.3", "192.0.2.3");
}

static void a_port_with_a_hash_goes_to_the_far_end_of_its_position(void **state)
{
	assert_loads("-t eth0 -f 192.0.2.1,192.0.2.2 -b eth1#5 -vb tap0#6 --outer capsulator");
	assert_port(0, "eth1", 5, CONF_PORT_PACKET);
	assert_port(1, "tap0", 6, CONF_PORT_TAP);
	assert_true(c.ports[0].positional && c.ports[1].positional);
	assert_false(c.all);
	assert_loads("-t eth0 -f 192.0.2.1,192.0.2.2 -b eth1#5 -b eth2#6 -b eth3#7 -a "
		     "--outer capsulator");
	assert_true(c.all);
	assert_int_equal(c.n_ports, 3);
	assert_loads("-t eth0 -f 192.0.2.1 -b eth1#5 -b eth2#6 --outer capsulator");
	assert_refuses("-t eth0 -f 192.0.2.1,192.0.2.2 -b eth1#5 -b eth2#6 -b eth3#7 "
		       "--outer capsulator",
		       "border port eth3#7 is number 3 but there are only 2 far ends; give as "
		       "many, or -a");
}

static void a_virtual_border_is_a_tap(void **state)
{
	assert_loads("-t eth0 -f 192.0.2.1 -vb tap0:1 --virtual-border tap1:2 -b eth1:3 "
		     "--outer capsulator");
	assert_port(0, "tap0", 1, CONF_PORT_TAP);
	assert_port(1, "tap1", 2, CONF_PORT_TAP);
	assert_port(2, "eth1", 3, CONF_PORT_PACKET);
}

static void several_ports_may_carry_one_tag(void **state)
{
	assert_loads(LEAST " -b eth2:1 -b eth3:4294967295 -b eth4:0");
	assert_port(1, "eth2", 1, CONF_PORT_PACKET);
	assert_port(2, "eth3", UINT32_MAX, CONF_PORT_PACKET);
	assert_port(3, "eth4", 0, CONF_PORT_PACKET);
}

static void the_rest_of_the_options_are_read(void **state)
{
	assert_loads(LEAST " -v --check --name kyoto --site Kyoto --identity /etc/k --mac-age 10m "
			   "--storm-limit 0 --max-macs 7 --without vnet-hdr,merge --oversize hint "
			   "--tos off --mtu-raise 5m --stripes 4");
	assert_int_equal(c.tag_defaults.stripes, 4);
	assert_int_equal(c.tag_defaults.oversize, CONF_OVERSIZE_HINT);
	assert_int_equal(c.tos, CONF_TOS_OFF);
	assert_int_equal(c.mtu_raise_ns, 300000000000);
	assert_true(c.verbose && c.check);
	assert_string_equal(c.name, "kyoto");
	assert_string_equal(c.site, "Kyoto");
	assert_string_equal(c.identity, "/etc/k");
	assert_int_equal(c.mac_age_ns, 600000000000);
	assert_int_equal(c.tag_defaults.storm_limit, 0);
	assert_int_equal(c.tag_defaults.max_macs, 7);
	assert_int_equal(c.without, WITHOUT_VNET_HDR | WITHOUT_MERGE);
	assert_loads(LEAST " --without merge");
	assert_int_equal(c.without, WITHOUT_MERGE);
	assert_loads(LEAST " --without merge --without vnet-hdr");
	assert_int_equal(c.without, WITHOUT_VNET_HDR | WITHOUT_MERGE);
}

static void mtu_and_window_scale_can_be_off_or_automatic(void **state)
{
	assert_loads(LEAST " -m off -w off");
	assert_int_equal(c.tag_defaults.mtu, MTU_OFF);
	assert_int_equal(c.tag_defaults.wscale, WSCALE_OFF);
	assert_loads(LEAST " --mtu auto --wscale 0");
	assert_int_equal(c.tag_defaults.mtu, MTU_AUTO);
	assert_int_equal(c.tag_defaults.wscale, 0);
	assert_loads(LEAST " -m 576 -w 14");
	assert_int_equal(c.tag_defaults.mtu, 576);
	assert_int_equal(c.tag_defaults.wscale, 14);
}

static const char file[] =
	"[tag 7]\nmtu = 1300\n\n"
	"[tunnel]\ninterface = eth0\nouter = capsulator\nmtu = 1400\nwscale = 7\n"
	"storm_limit = 500\nmax_macs = 50\nmac_age = 60s\nname = kyoto\n"
	"site = Kyoto\nwithout = merge , port-windows\noversize = drop\ntos = off\nmtu_raise = 10s\nstripes = auto\n\n"
	"[peer tokyo]\naddress = 192.0.2.1\n[peer osaka]\naddress = 192.0.2.2\n"
	"[port eth1]\ntag = 1\n[port tap0]\nkind = tap\ntag = 7\nmtu = 9000\n\n"
	"[tag 1]\nwscale = off\nstorm_limit = 0\nmax_macs = 1\noversize = fragment\nstripes = 3\n";

static void a_file_says_what_the_command_line_can(void **state)
{
	assert_loads_file(file, "");
	assert_string_equal(c.interface, "eth0");
	assert_string_equal(c.name, "kyoto");
	assert_string_equal(c.site, "Kyoto");
	assert_int_equal(c.outer, CONF_OUTER_CAPSULATOR);
	assert_int_equal(c.mac_age_ns, 60000000000);
	assert_int_equal(c.tos, CONF_TOS_OFF);
	assert_int_equal(c.mtu_raise_ns, 10000000000);
	assert_int_equal(c.without, WITHOUT_MERGE | WITHOUT_PORT_WINDOWS);
	assert_int_equal(c.n_peers, 2);
	assert_peer(0, "tokyo", "192.0.2.1");
	assert_peer(1, "osaka", "192.0.2.2");
	assert_int_equal(c.n_ports, 2);
	assert_port(0, "eth1", 1, CONF_PORT_PACKET);
	assert_port(1, "tap0", 7, CONF_PORT_TAP);
	assert_int_equal(c.ports[0].mtu, 1500);
	assert_int_equal(c.ports[1].mtu, 9000);
}

static void a_peer_has_the_tunnels_rate_or_its_own(void **state)
{
	assert_loads_file("[tunnel]\ninterface = eth0\nouter = capsulator\nrate = 90mbit\n"
			  "[peer tokyo]\naddress = 192.0.2.1\n"
			  "[peer osaka]\naddress = 192.0.2.2\nrate = 1gbit\n"
			  "[port eth1]\ntag = 1\n",
			  "");
	assert_int_equal(c.peers[0].rate_bps, 90000000);
	assert_int_equal(c.peers[1].rate_bps, 1000000000);
	assert_loads(LEAST);
	assert_int_equal(c.peers[0].rate_bps, 0);
	assert_loads(LEAST " --rate 10mbit");
	assert_int_equal(c.peers[0].rate_bps, 10000000);
	assert_refuses(LEAST " --rate 10", "mbit");
	assert_refuses(LEAST " --rate 1kbit", "64kbit");
}

static void a_peer_is_kept_warm_where_that_is_asked_for(void **state)
{
	assert_loads_file("[tunnel]\ninterface = eth0\nouter = capsulator\n"
			  "[peer tokyo]\naddress = 192.0.2.1\nwarm = yes\n"
			  "[peer osaka]\naddress = 192.0.2.2\n"
			  "[port eth1]\ntag = 1\n",
			  "");
	assert_true(c.peers[0].warm);
	assert_false(c.peers[1].warm);
	assert_loads(LEAST);
	assert_false(c.peers[0].warm);
	assert_loads(LEAST " --warm");
	assert_true(c.peers[0].warm);
}

static void a_peer_may_stay_cold_where_the_others_are_kept_warm(void **state)
{
	assert_loads_file("[peer tokyo]\naddress = 192.0.2.1\nwarm = no\n"
			  "[peer osaka]\naddress = 192.0.2.2\n"
			  "[tunnel]\ninterface = eth0\nouter = capsulator\nwarm = yes\n"
			  "[port eth1]\ntag = 1\n",
			  "");
	assert_false(c.peers[0].warm);
	assert_true(c.peers[1].warm);
}

static void a_tag_inherits_from_the_tunnel_wherever_that_stands(void **state)
{
	const struct conf_tag *t;

	assert_loads_file(file, "");
	t = conf_tag(&c, 7);
	assert_int_equal(t->mtu, 1300);
	assert_int_equal(t->wscale, 7);
	assert_int_equal(t->storm_limit, 500);
	assert_int_equal(t->max_macs, 50);
	assert_int_equal(t->oversize, CONF_OVERSIZE_DROP);
	assert_int_equal(t->stripes, 8);
	assert_true(t->stripes_auto);
	t = conf_tag(&c, 1);
	assert_int_equal(t->stripes, 3);
	assert_false(t->stripes_auto);
	assert_int_equal(t->oversize, CONF_OVERSIZE_FRAGMENT);
	assert_int_equal(t->mtu, 1400);
	assert_int_equal(t->wscale, WSCALE_OFF);
	assert_int_equal(t->storm_limit, 0);
	assert_int_equal(t->max_macs, 1);
	/* …and one without a section of its own is as the tunnel. */
	t = conf_tag(&c, 2);
	assert_int_equal(t->mtu, 1400);
	assert_int_equal(t->wscale, 7);
}

static void a_tag_that_says_off_does_not_inherit(void **state)
{
	assert_loads_file("[tunnel]\nmtu = 1400\nwscale = 7\n[tag 1]\nmtu = off\nwscale = off\n"
			  "[tag 2]\nmtu = auto\n",
			  LEAST);
	assert_int_equal(conf_tag(&c, 1)->mtu, MTU_OFF);
	assert_int_equal(conf_tag(&c, 1)->wscale, WSCALE_OFF);
	assert_int_equal(conf_tag(&c, 2)->mtu, MTU_AUTO);
}

static void an_option_beats_the_file(void **state)
{
	assert_loads_file(file, "-t eth9 -m 1200 -w off --name nara --mac-age 5m --max-macs 9");
	assert_string_equal(c.interface, "eth9");
	assert_string_equal(c.name, "nara");
	assert_int_equal(c.mac_age_ns, 300000000000);
	/* What a tag inherits is beaten, what it says itself is not. */
	assert_int_equal(conf_tag(&c, 1)->mtu, 1200);
	assert_int_equal(conf_tag(&c, 7)->mtu, 1300);
	assert_int_equal(conf_tag(&c, 7)->wscale, WSCALE_OFF);
	assert_int_equal(conf_tag(&c, 7)->max_macs, 9);
	/* What is not given besides stays the file's. */
	assert_string_equal(c.site, "Kyoto");
	assert_int_equal(c.n_ports, 2);
	assert_int_equal(c.n_peers, 2);
}

static void ports_and_peers_of_the_command_line_replace_those_of_the_file(void **state)
{
	assert_loads_file(file, "-b eth5:5 -f 192.0.2.9");
	assert_int_equal(c.n_ports, 1);
	assert_port(0, "eth5", 5, CONF_PORT_PACKET);
	assert_int_equal(c.ports[0].mtu, 1500);
	assert_int_equal(c.n_peers, 1);
	assert_peer(0, "192.0.2.9", "192.0.2.9");
	assert_loads_file(file, "-b eth1:3");
	assert_int_equal(c.n_ports, 1);
	assert_port(0, "eth1", 3, CONF_PORT_PACKET);
	assert_int_equal(c.n_peers, 2);
}

static void what_is_missing_is_named_with_the_option_that_gives_it(void **state)
{
	assert_refuses("", "no tunnel interface; give -t IF");
	assert_refuses("-f 192.0.2.1 -b eth1:1 --outer capsulator", "no tunnel interface; give -t");
	assert_refuses("-t eth0 -b eth1:1 --outer capsulator",
		       "no far end; give -f ADDR, or [peer NAME] in a file");
	assert_refuses("-t eth0 -f 192.0.2.1 --outer capsulator",
		       "no border port; give -b IF:TAG, or [port IF] in a file");
}

#define FP_A "aa00000000000000000000000000000000000000000000000000000000000000"
#define FP_B "bb00000000000000000000000000000000000000000000000000000000000000"

static void plain_text_must_be_asked_for_and_both_ways_are_named(void **state)
{
	assert_refuses("-t eth0 -f 192.0.2.1 -b eth1:1", "--identity DIR");
	assert_says("--outer capsulator");
	assert_says("plain text");
	assert_refuses("-t eth0 -f 192.0.2.1 -b eth1:1 --outer sealed", "--identity DIR");
	assert_refuses("-t eth0 -f 192.0.2.1 -b eth1:1 --identity /etc/longhaul", "--trust FP");
	assert_loads("-t eth0 -f 192.0.2.1 -b eth1:1 --identity /etc/longhaul --trust " FP_A);
	assert_int_equal(c.outer, CONF_OUTER_SEALED);
}

static void fingerprints_belong_to_far_ends_in_order_and_more_are_of_callers(void **state)
{
	assert_loads("-t eth0 -f 192.0.2.1 -b eth1:1 --identity /i --trust " FP_A "," FP_B);
	assert_int_equal(c.n_peers, 2);
	assert_string_equal(c.peers[0].address, "192.0.2.1");
	assert_int_equal(c.peers[0].trust.bytes[0], 0xaa);
	assert_null(c.peers[1].address);
	assert_int_equal(c.peers[1].trust.bytes[0], 0xbb);
	assert_refuses("-t eth0 -f 192.0.2.1,192.0.2.2 -b eth1:1 --identity /i --trust " FP_A,
		       "far end 192.0.2.2 has no fingerprint");
	assert_refuses("-t eth0 -f 192.0.2.1 -b eth1:1 --identity /i --trust " FP_A "," FP_A,
		       "have the same fingerprint");
	assert_refuses("-t eth0 -f 192.0.2.1 -b eth1:1 --identity /i --trust abcd",
		       "'abcd' is not a fingerprint");
}

static void ciphers_keep_their_order_and_unknown_ones_are_named(void **state)
{
	const char *base = "-t eth0 -f 192.0.2.1 -b eth1:1 --identity /i --trust " FP_A;
	char line[256];

	assert_loads(base);
	assert_int_equal(c.cipher_order[0], AEAD_AES_256_GCM);
	snprintf(line, sizeof(line), "%s --ciphers chacha20-poly1305", base);
	assert_loads(line);
	assert_int_equal(c.cipher_order[0], AEAD_CHACHA20_POLY1305);
	assert_int_equal(c.ciphers, 1 << AEAD_CHACHA20_POLY1305);
	snprintf(line, sizeof(line), "%s --ciphers rot13", base);
	assert_refuses(line, "'rot13' is not one of: aes-256-gcm, chacha20-poly1305");
}

static void one_interface_given_twice_is_refused(void **state)
{
	assert_refuses(LEAST " -b eth2:2 -b eth1:3",
		       "border port eth1 is given twice; one interface carries one tag");
	assert_refuses(LEAST " -b eth1:1", "border port eth1 is given twice");
	assert_refuses(LEAST " -vb eth1:2", "border port eth1 is given twice");
	assert_refuses(LEAST " -b eth0:2", "interface eth0 is given twice: as tunnel interface and "
					   "as border port");
	assert_refuses_file("[port a]\ntag = 1\n[port b]\ntag = 1\n[port a]\ntag = 2\n", LEAST,
			    ":5: [port a]: border port a is given twice");
	assert_loads(LEAST " -b eth11:2 -b eth:3");
}

static void one_peer_section_given_twice_is_refused(void **state)
{
	assert_refuses_file("[peer a]\naddress = 192.0.2.1\n[peer a]\naddress = 192.0.2.2\n",
			    "-t eth0 -b b:1 --outer capsulator",
			    ":3: [peer a]: peer a is given twice");
	assert_loads_file("[peer a]\naddress = 192.0.2.1\n[peer aa]\naddress = 192.0.2.2\n",
			  "-t eth0 -b b:1 --outer capsulator");
}

static void one_tag_section_given_twice_is_refused(void **state)
{
	assert_refuses_file("[tag 1]\nmtu = 1400\n[tag 01]\nmtu = 1300\n", LEAST,
			    ":3: [tag 01]: tag 1 is given twice");
}

static void an_mtu_that_cannot_be_is_refused_with_what_can(void **state)
{
	assert_refuses(LEAST " -m 68", "--mtu: '68' is not an MTU: auto, off, or 576…9216 bytes");
	assert_refuses(LEAST " -m 65535",
		       "--mtu: '65535' is not an MTU: auto, off, or 576…9216 bytes");
	assert_refuses(LEAST " -m 575", "'575' is not an MTU");
	assert_refuses(LEAST " -m 9217", "'9217' is not an MTU");
	assert_refuses(LEAST " -m 1.4K", "'1.4K' is not an MTU");
	assert_refuses_file("[tunnel]\nmtu = 68\n", LEAST,
			    ":2: [tunnel] mtu = 68: '68' is not an MTU");
	assert_refuses_file("[tag 1]\nmtu = 65535\n", LEAST,
			    ":2: [tag 1] mtu = 65535: '65535' is not an MTU");
	assert_refuses_file("[port a]\nmtu = 68\n", LEAST,
			    ":2: [port a] mtu = 68: '68' is outside 576…9216");
}

static void a_window_scale_above_14_is_refused(void **state)
{
	assert_refuses(LEAST " -w 15",
		       "--wscale: '15' is not a window scale: off, or 0…14 (RFC 7323)");
	assert_refuses(LEAST " -w -1", "'-1' is not a window scale");
	assert_refuses_file("[tag 1]\nwscale = 15\n", LEAST, ":2: [tag 1] wscale = 15: '15'");
}

static void a_tag_out_of_range_is_refused(void **state)
{
	assert_refuses(LEAST " -b eth2:4294967296",
		       "--border: tag '4294967296' is not a number from 0 to 4294967295");
	assert_refuses(LEAST " -b eth2:-1", "tag '-1' is not a number");
	assert_refuses(LEAST " -b eth2:x", "tag 'x' is not a number");
	assert_refuses(LEAST " -b eth2:", "tag '' is not a number");
	assert_refuses(LEAST " -b eth2:1,eth3:2", "tag '1,eth3:2' is not a number");
	assert_refuses(LEAST " -vb tap0#4294967296", "--virtual-border: tag '4294967296'");
	assert_refuses_file("[port a]\ntag = 4294967296\n", LEAST,
			    ":2: [port a] tag = 4294967296: tag");
	assert_refuses_file("[tag x]\n", LEAST, ":1: [tag x]: tag 'x' is not a number");
	assert_refuses_file("[tag 4294967296]\n", LEAST, "tag '4294967296' is not a number");
}

static void a_port_that_is_no_port_is_refused(void **state)
{
	assert_refuses(LEAST " -b eth2", "--border: 'eth2' lacks its tag; write it like eth1:1");
	assert_refuses(LEAST " -b :1", "'' is not an interface name (1 to 15 characters)");
	assert_refuses(LEAST " -b a234567890123456:1",
		       "'a234567890123456' is not an interface name");
	assert_loads(LEAST " -b a23456789012345:1");
	assert_refuses_file("[port eth2]\nmtu = 1500\n", "-t eth0 -f 192.0.2.1 --outer capsulator",
			    "[port eth2] lacks its tag");
	assert_refuses_file("[port eth2]\nkind = bridge\n", LEAST,
			    "[port eth2] kind = bridge: 'bridge' is not one of: packet, tap");
}

static void a_peer_that_is_no_peer_is_refused(void **state)
{
	assert_refuses("-t eth0 -b a:1 --outer capsulator -f 192.0.2.1,",
		       "--far: '' is not a peer");
	assert_refuses("-t eth0 -b a:1 --outer capsulator -f ,192.0.2.1",
		       "--far: '' is not a peer");
	assert_refuses("-t eth0 -b a:1 --outer capsulator -f "
		       "a12345678901234567890123456789012345678901234567890123456789.org",
		       "is not a peer (1 to 63 characters)");
	assert_refuses_file("[peer a]\n", "-t eth0 -b a:1 --outer capsulator",
			    "[peer a] lacks its address");
}

static void other_bad_input_is_refused_by_name(void **state)
{
	assert_refuses(LEAST " --outer gre", "--outer: 'gre' is not one of: sealed, capsulator");
	assert_refuses(LEAST " --name a/b", "instance name 'a/b' may hold letters, digits");
	assert_refuses(LEAST " --mac-age 5", "--mac-age: '5' lacks its unit; write it like 60ms");
	assert_refuses(LEAST " --mac-age 10ms", "--mac-age: '10ms' is outside 1s…24h");
	assert_refuses(LEAST " --storm-limit 1000000001",
		       "--storm-limit: '1000000001' is outside 0…");
	assert_refuses(LEAST " --oversize split",
		       "--oversize: 'split' is not one of: fragment, hint, drop");
	assert_refuses(LEAST " --stripes 9",
		       "--stripes: '9' is neither a number from 1 to 8 nor auto");
	assert_refuses(LEAST " --stripes 0", "neither a number from 1 to 8 nor auto");
	assert_refuses(LEAST " --stripes many", "neither a number from 1 to 8 nor auto");
	assert_refuses(LEAST " --tos zero", "--tos: 'zero' is not one of: copy, off");
	assert_refuses(LEAST " --mtu-raise 100ms", "--mtu-raise: '100ms' is outside 1s…24h");
	assert_refuses(LEAST " --max-macs 0", "--max-macs: '0' is outside 1…1000000");
	assert_refuses(LEAST " --without merge,magic", "'magic' is not one of: vnet-hdr, merge");
	assert_refuses(LEAST " --without merge,", "'' is not one of: vnet-hdr, merge");
	assert_refuses(LEAST " eth9", "unexpected argument 'eth9'; see --help");
	assert_refuses(LEAST " --bogus", "unknown option '--bogus'; see --help");
	assert_refuses(LEAST " -m", "option '-m' needs a value");
	assert_refuses(LEAST " -vb", "option '-vb' needs a value");
	assert_refuses(LEAST " --config /nonexistent/a.conf",
		       "/nonexistent/a.conf: No such file or directory");
	assert_refuses_file("[tunnel]\nfar = 192.0.2.1\n", LEAST,
			    "unknown key 'far'; known here: ");
	assert_refuses_file("[tunel]\n", LEAST, ":1: [tunel]: unknown section; known: [tunnel], ");
}

/* "%s%u%s" for each number from 0 to n - 1. */
static char *repeat(char *buf, size_t len, unsigned n, const char *before, const char *behind)
{
	size_t at = 0;
	unsigned i;

	buf[0] = '\0';
	for (i = 0; i < n; i++)
		at += (size_t)snprintf(buf + at, len - at, "%s%u%s", before, i, behind);
	assert_true(at < len);
	return buf;
}

static void sixty_four_ports_are_bridged_and_one_more_is_refused(void **state)
{
	static char line[2048], ports[1536];
	unsigned n;

	for (n = PORTS_MAX; n <= PORTS_MAX + 1; n++) {
		repeat(ports, sizeof(ports), n, "-b p", ":1 ");
		snprintf(line, sizeof(line), "-t eth0 -f 192.0.2.1 --outer capsulator %s", ports);
		assert_int_equal(load(line), n == PORTS_MAX ? 0 : -EINVAL);
		assert_int_equal(c.n_ports, n == PORTS_MAX ? n : 0);
		repeat(ports, sizeof(ports), n, "[port p", "]\ntag=1\n");
		assert_int_equal(load_file(ports, "-t eth0 -f 192.0.2.1 --outer capsulator"),
				 n == PORTS_MAX ? 0 : -EINVAL);
	}
	assert_says(":129: [port p64]: more than 64 border ports");
	assert_true(load(line) < 0);
	assert_says("--border: more than 64 border ports");
}

static void sixty_four_peers_are_bridged_and_one_more_is_refused(void **state)
{
	static char line[2048], peers[1536];
	unsigned n;

	for (n = PEERS_MAX; n <= PEERS_MAX + 1; n++) {
		repeat(peers, sizeof(peers), n, ",10.0.0.", "");
		snprintf(line, sizeof(line), "-t eth0 -b eth1:1 --outer capsulator -f %s",
			 peers + 1);
		assert_int_equal(load(line), n == PEERS_MAX ? 0 : -EINVAL);
		repeat(peers, sizeof(peers), n, "[peer p", "]\naddress=a\n");
		assert_int_equal(load_file(peers, "-t eth0 -b eth1:1 --outer capsulator"),
				 n == PEERS_MAX ? 0 : -EINVAL);
	}
	assert_says(":129: [peer p64]: more than 64 peers");
	assert_true(load(line) < 0);
	assert_says("--far: more than 64 peers");
}

static void sixty_four_tags_have_sections_and_one_more_is_refused(void **state)
{
	char tags[1024];

	assert_loads_file(repeat(tags, sizeof(tags), TAGS_MAX, "[tag ", "]\n"), LEAST);
	assert_int_equal(c.n_tags, TAGS_MAX);
	assert_refuses_file(repeat(tags, sizeof(tags), TAGS_MAX + 1, "[tag ", "]\n"), LEAST,
			    ":65: [tag 64]: more than 64 tags");
}

static void an_instance_is_called_after_its_interface_or_as_it_is_told(void **state)
{
	assert_loads("-t eth0.5 -f 192.0.2.1 -b eth1:1 --outer capsulator");
	assert_string_equal(c.name, "eth0.5");
	/* An interface may have a name that a socket and a file had better not. */
	assert_refuses("-t eth0@x -f 192.0.2.1 -b eth1:1 --outer capsulator",
		       "instance name 'eth0@x'");
	assert_loads("-t eth0@x --name x -f 192.0.2.1 -b eth1:1 --outer capsulator");
}

/* What conf_help() prints; to be freed. */
static char *help_text(void)
{
	int fd = memfd_create("help", MFD_CLOEXEC), out = dup(STDOUT_FILENO);
	char *text = calloc(1, 65536);

	assert_true(fd >= 0 && out >= 0 && text);
	fflush(stdout);
	dup2(fd, STDOUT_FILENO);
	conf_help();
	fflush(stdout);
	dup2(out, STDOUT_FILENO);
	close(out);
	assert_true(pread(fd, text, 65535, 0) > 0);
	close(fd);
	return text;
}

static void help_names_every_option_of_2008_and_fits_96_columns(void **state)
{
	static const char *const options[] = {"-t, --interface IF",
					      "-f, --far ADDR[,ADDR…]",
					      "-b, --border IF:TAG",
					      "--virtual-border TAP:TAG, -vb",
					      "-a, --all",
					      "-m, --mtu N|auto|off",
					      "[auto]",
					      "-w, --wscale N|off",
					      "[off]",
					      "-v, --verbose",
					      "--outer KIND",
					      "[sealed]",
					      "--mac-age TIME",
					      "[300s]",
					      "--storm-limit N",
					      "[10000]",
					      "--max-macs N",
					      "[4096]",
					      "-c, --config FILE",
					      "--check",
					      "--name NAME",
					      "--without FEATURE[,…]",
					      "Examples"};
	char *text = help_text(), *line, *save = NULL;
	size_t i;

	for (i = 0; i < sizeof(options) / sizeof(*options); i++)
		if (!strstr(text, options[i]))
			fail_msg("help lacks '%s'", options[i]);
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		int columns = 0;

		for (i = 0; line[i]; i++)
			columns += (line[i] & 0xc0) != 0x80;
		if (columns > 96)
			fail_msg("%d columns: %s", columns, line);
	}
	free(text);
}

static void tags_are_accelerated_by_port_or_by_section(void **state)
{
	assert_loads("-t eth0 -f 192.0.2.1 -b eth1:1,accel -b eth2:2 --identity /id --trust "
		     "0000000000000000000000000000000000000000000000000000000000000000");
	assert_true(conf_accelerates(&c, 1));
	assert_false(conf_accelerates(&c, 2));
	assert_loads_file(
		"[tag 1]\naccel = no\n[tag 2]\naccel = yes\nbypass = udp\n[tag 3]\naccel = tcp port 7\n",
		LEAST);
	assert_false(conf_accelerates(&c, 1));
	assert_true(conf_accelerates(&c, 2));
	assert_null(conf_tag(&c, 2)->accel_filter);
	assert_non_null(conf_tag(&c, 2)->bypass_filter);
	assert_true(conf_accelerates(&c, 3));
	assert_non_null(conf_tag(&c, 3)->accel_filter);
	assert_refuses_file("[tag 1]\naccel = tcp porridge\n", LEAST,
			    ":2: [tag 1] accel = tcp porridge: 'tcp porridge' is not a filter");
	assert_refuses_file("[tag 1]\nbypass = ((\n", LEAST, ":2: [tag 1] bypass");
	assert_refuses("-t eth0 -f 192.0.2.1 -b eth1:1,accel --outer capsulator",
		       "tag 1 is to be accelerated");
	assert_refuses("-t eth0 -f 192.0.2.1 -b eth1:1,quick --outer capsulator", "tag '1,quick'");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tags_are_accelerated_by_port_or_by_section),
		cmocka_unit_test(the_command_line_of_2008_keeps_its_meaning),
		cmocka_unit_test(what_is_not_given_has_its_default),
		cmocka_unit_test(far_ends_come_in_a_list_or_one_by_one),
		cmocka_unit_test(a_port_with_a_hash_goes_to_the_far_end_of_its_position),
		cmocka_unit_test(a_virtual_border_is_a_tap),
		cmocka_unit_test(several_ports_may_carry_one_tag),
		cmocka_unit_test(the_rest_of_the_options_are_read),
		cmocka_unit_test(mtu_and_window_scale_can_be_off_or_automatic),
		cmocka_unit_test(a_file_says_what_the_command_line_can),
		cmocka_unit_test(a_peer_has_the_tunnels_rate_or_its_own),
		cmocka_unit_test(a_peer_is_kept_warm_where_that_is_asked_for),
		cmocka_unit_test(a_peer_may_stay_cold_where_the_others_are_kept_warm),
		cmocka_unit_test(a_tag_inherits_from_the_tunnel_wherever_that_stands),
		cmocka_unit_test(a_tag_that_says_off_does_not_inherit),
		cmocka_unit_test(an_option_beats_the_file),
		cmocka_unit_test(ports_and_peers_of_the_command_line_replace_those_of_the_file),
		cmocka_unit_test(what_is_missing_is_named_with_the_option_that_gives_it),
		cmocka_unit_test(plain_text_must_be_asked_for_and_both_ways_are_named),
		cmocka_unit_test(fingerprints_belong_to_far_ends_in_order_and_more_are_of_callers),
		cmocka_unit_test(ciphers_keep_their_order_and_unknown_ones_are_named),
		cmocka_unit_test(one_interface_given_twice_is_refused),
		cmocka_unit_test(one_peer_section_given_twice_is_refused),
		cmocka_unit_test(one_tag_section_given_twice_is_refused),
		cmocka_unit_test(an_mtu_that_cannot_be_is_refused_with_what_can),
		cmocka_unit_test(a_window_scale_above_14_is_refused),
		cmocka_unit_test(a_tag_out_of_range_is_refused),
		cmocka_unit_test(a_port_that_is_no_port_is_refused),
		cmocka_unit_test(a_peer_that_is_no_peer_is_refused),
		cmocka_unit_test(other_bad_input_is_refused_by_name),
		cmocka_unit_test(sixty_four_ports_are_bridged_and_one_more_is_refused),
		cmocka_unit_test(sixty_four_peers_are_bridged_and_one_more_is_refused),
		cmocka_unit_test(sixty_four_tags_have_sections_and_one_more_is_refused),
		cmocka_unit_test(an_instance_is_called_after_its_interface_or_as_it_is_told),
		cmocka_unit_test(help_names_every_option_of_2008_and_fits_96_columns),
	};

	return cmocka_run_group_tests(tests, NULL, teardown);
}
