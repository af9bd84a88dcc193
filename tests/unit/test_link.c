// SPDX-License-Identifier: GPL-3.0-or-later
/* test_link.c - interfaces are what the kernel says, and their news arrives; in a namespace of its
 * own */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/clock.h"
#include "lib/link.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if_arp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DEADLINE_S 20

static bool own_namespace; /* false: not root, most tests are skipped */
static struct link_info info;
static struct err e;

static int enter_namespace(void **state)
{
	own_namespace = !geteuid() && !unshare(CLONE_NEWNET);
	return 0;
}

static int setup(void **state)
{
	e.text[0] = '\0';
	memset(&info, 0xff, sizeof(info));
	alarm(DEADLINE_S);
	return 0;
}

static int teardown(void **state)
{
	alarm(0);
	return 0;
}

static void needs_namespace(void)
{
	if (own_namespace)
		return;
	print_message("needs root: a network namespace of its own\n");
	skip();
}

/* A TAP that lives as long as its descriptor; skips where there is none to be had. */
static int open_tap(const char *name)
{
	struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI};
	int fd;

	needs_namespace();
	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		print_message("needs /dev/net/tun\n");
		skip();
	}
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	assert_int_equal(ioctl(fd, TUNSETIFF, &ifr), 0);
	return fd;
}

static void the_loopback_is_told(void **state)
{
	needs_namespace();
	assert_int_equal(link_get("lo", &info, &e), 0);
	assert_string_equal(info.name, "lo");
	assert_int_equal(info.ifindex, 1);
	assert_true(info.loopback);
	assert_false(info.up || info.running);
	assert_int_equal(info.mtu, 65536);
	assert_int_equal(info.arp_type, ARPHRD_LOOPBACK);
	assert_string_equal(info.master, "");
	assert_string_equal(info.kind, "");
}

static void a_tap_is_told(void **state)
{
	static const uint8_t zero[6];
	int fd = open_tap("tap-longest-na");

	assert_int_equal(link_get("tap-longest-na", &info, &e), 0);
	assert_string_equal(info.name, "tap-longest-na");
	assert_true(info.ifindex > 1);
	assert_false(info.loopback);
	assert_int_equal(info.mtu, 1500);
	assert_int_equal(info.arp_type, ARPHRD_ETHER);
	assert_memory_not_equal(info.mac, zero, 6);
	assert_string_equal(info.kind, "tun");
	assert_string_equal(info.master, "");
	close(fd);
	assert_int_equal(link_get("tap-longest-na", &info, &e), -ENODEV);
}

static void an_interface_that_is_not_there_is_no_device(void **state)
{
	assert_int_equal(link_get("nothere0", &info, &e), -ENODEV);
	assert_non_null(strstr(e.text, "no such interface"));
	assert_int_equal(link_get("a-name-longer-than-any-interface-has", &info, &e), -ENODEV);
	assert_non_null(strstr(e.text, "no such interface"));
	assert_int_equal(link_get("", &info, &e), -ENODEV);
}

static void up_and_mtu_are_set_as_asked(void **state)
{
	int fd = open_tap("tap0");

	assert_int_equal(link_set_up("tap0", true, &e), 0);
	assert_int_equal(link_get("tap0", &info, &e), 0);
	assert_true(info.up && info.running);
	assert_int_equal(link_set_mtu("tap0", 9000, &e), 0);
	assert_int_equal(link_get("tap0", &info, &e), 0);
	assert_int_equal(info.mtu, 9000);
	assert_true(info.up);
	assert_int_equal(link_set_up("tap0", false, &e), 0);
	assert_int_equal(link_get("tap0", &info, &e), 0);
	assert_false(info.up);
	assert_int_equal(info.mtu, 9000);
	close(fd);
}

static void what_cannot_be_set_is_an_error_with_a_text(void **state)
{
	int fd = open_tap("tap0");

	assert_true(link_set_mtu("tap0", 100000000, &e) < 0);
	assert_true(strlen(e.text) > 0);
	close(fd);
	e.text[0] = '\0';
	assert_true(link_set_up("tap0", true, &e) < 0);
	assert_true(strlen(e.text) > 0);
}

static void a_port_of_a_bridge_names_its_bridge(void **state)
{
	int fd = open_tap("tap0"), ctl = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = {.ifr_name = "br0"};

	if (ioctl(ctl, SIOCBRADDBR, "br0") < 0) {
		close(ctl);
		close(fd);
		print_message("needs bridges in the kernel\n");
		skip();
	}
	ifr.ifr_ifindex = (int)if_nametoindex("tap0");
	assert_int_equal(ioctl(ctl, SIOCBRADDIF, &ifr), 0);
	assert_int_equal(link_get("tap0", &info, &e), 0);
	assert_string_equal(info.master, "br0");
	assert_int_equal(link_get("br0", &info, &e), 0);
	assert_string_equal(info.kind, "bridge");
	ioctl(ctl, SIOCBRDELBR, "br0");
	close(ctl);
	close(fd);
}

static void a_tap_has_no_large_receive_offload(void **state)
{
	int fd = open_tap("tap0");
	bool on = true;

	link_lro("tap0", &on);
	assert_false(on);
	close(fd);
	on = true;
	assert_int_equal(link_lro("tap0", &on), -ENODEV);
	assert_false(on);
	assert_int_equal(link_set_lro("tap0", false), -ENODEV);
}

/* News ------------------------------------------------------------------------- */

struct news {
	struct loop *l;
	struct loop_timer act; /* does something once the loop runs */
	int fd;
	unsigned came, up, mtu, gone, others;
	int ifindex;
};

static void heard(void *ctx, const struct link_info *i, bool present)
{
	struct news *n = ctx;

	if (strcmp(i->name, "tap7")) {
		n->others++;
		return;
	}
	n->came += present;
	n->up += present && i->up;
	n->mtu += present && i->mtu == 1400;
	n->gone += !present;
	n->ifindex = i->ifindex;
	if (n->mtu && n->up && n->fd >= 0) {
		close(n->fd); /* the end of a TAP */
		n->fd = -1;
	}
	if (n->gone)
		loop_stop(n->l);
}

static void make_tap(void *ctx)
{
	struct news *n = ctx;

	n->fd = open_tap("tap7");
	assert_int_equal(link_set_up("tap7", true, &e), 0);
	assert_int_equal(link_set_mtu("tap7", 1400, &e), 0);
}

static void news_of_an_interface_arrives_until_it_has_gone(void **state)
{
	struct news n = {.act = {.expired = make_tap, .ctx = &n}, .fd = -1};
	struct link_watch *w;

	close(open_tap("tap7")); /* skips here rather than in the loop */
	n.l = loop_new(&e);
	assert_non_null(n.l);
	w = link_watch_new(n.l, heard, &n, &e);
	assert_non_null(w);
	loop_timer_start(n.l, &n.act, 0, 0);
	assert_int_equal(loop_run(n.l), 0);
	assert_true(n.came && n.up && n.mtu);
	assert_int_equal(n.gone, 1);
	assert_int_equal(n.others, 0);
	assert_true(n.ifindex > 1);
	link_watch_free(w);
	loop_free(n.l);
}

static void no_watch_needs_no_freeing(void **state)
{
	link_watch_free(NULL);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(the_loopback_is_told),
		test(a_tap_is_told),
		test(an_interface_that_is_not_there_is_no_device),
		test(up_and_mtu_are_set_as_asked),
		test(what_cannot_be_set_is_an_error_with_a_text),
		test(a_port_of_a_bridge_names_its_bridge),
		test(a_tap_has_no_large_receive_offload),
		test(news_of_an_interface_arrives_until_it_has_gone),
		test(no_watch_needs_no_freeing),
	};

	return cmocka_run_group_tests(tests, enter_namespace, NULL);
}
