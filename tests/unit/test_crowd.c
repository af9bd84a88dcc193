// SPDX-License-Identifier: GPL-3.0-or-later
/* test_crowd.c - a host opens so many connections at a time and no more, whichever of its names it
 * forges */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "accel/crowd.h"

#include <string.h>

static struct crowd c;
static const uint8_t mac[6] = {2, 0, 0, 0, 0, 1}, other_mac[6] = {2, 0, 0, 0, 0, 2};
static const uint8_t address[16] = {10, 0, 0, 1};

static int setup(void **state)
{
	memset(&c, 0, sizeof(c));
	return 0;
}

static void forge(uint8_t bytes[16], unsigned i)
{
	memset(bytes, 0, 16);
	memcpy(bytes, &i, sizeof(i));
}

static void one_address_has_half_of_a_macs_places(void **state)
{
	unsigned n = 0;

	for (; crowd_has_room(&c, mac, address); n++)
		crowd_move(&c, mac, address, CROWD_NONE, CROWD_IS_OPENING);
	assert_int_equal(n, CROWD_OPENING / 2);
	crowd_move(&c, mac, address, CROWD_IS_OPENING, CROWD_NONE);
	assert_true(crowd_has_room(&c, mac, address));
}

static void forged_addresses_share_the_places_of_their_mac(void **state)
{
	uint8_t forged[16];
	unsigned n = 0;

	for (forge(forged, n); crowd_has_room(&c, mac, forged); forge(forged, ++n))
		crowd_move(&c, mac, forged, CROWD_NONE, CROWD_IS_OPENING);
	assert_int_equal(n, CROWD_OPENING);
	/* A host of another MAC and another address is not concerned. */
	assert_true(crowd_has_room(&c, other_mac, address));
}

static void clients_that_never_acknowledge_take_fewer_places(void **state)
{
	unsigned n = 0;

	for (; crowd_has_room(&c, mac, address); n++) {
		crowd_move(&c, mac, address, CROWD_NONE, CROWD_IS_OPENING);
		crowd_move(&c, mac, address, CROWD_IS_OPENING, CROWD_IS_ACCEPTING);
	}
	assert_int_equal(n, CROWD_ACCEPTING / 2);
}

static void what_came_and_went_leaves_nothing(void **state)
{
	static const struct crowd empty;
	uint8_t forged[16];
	unsigned i;

	for (i = 0; i < 5000; i++) {
		forge(forged, i);
		crowd_move(&c, mac, forged, CROWD_NONE, CROWD_IS_OPENING);
		crowd_move(&c, mac, forged, CROWD_IS_OPENING, CROWD_IS_ACCEPTING);
		crowd_move(&c, mac, forged, CROWD_IS_ACCEPTING, CROWD_IS_ACCEPTING);
		crowd_move(&c, mac, forged, CROWD_IS_ACCEPTING, CROWD_NONE);
	}
	assert_memory_equal(&c, &empty, sizeof(c));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(one_address_has_half_of_a_macs_places, setup),
		cmocka_unit_test_setup(forged_addresses_share_the_places_of_their_mac, setup),
		cmocka_unit_test_setup(clients_that_never_acknowledge_take_fewer_places, setup),
		cmocka_unit_test_setup(what_came_and_went_leaves_nothing, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
