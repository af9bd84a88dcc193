// SPDX-License-Identifier: GPL-3.0-or-later
/* test_journal.c - accelerated connections, remembered across a crash */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "accel/journal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/longhaul-journal-XXXXXX";
static char path[64];

static struct journal_entry entry(uint16_t port)
{
	return (struct journal_entry){.client_here = port % 2,
				      .tuple = {.tag = 7,
						.vid = 3,
						.ip_version = 4,
						.client = {[10] = 0xff, 0xff, 10, 0, 0, 1},
						.server = {[10] = 0xff, 0xff, 10, 0, 0, 2},
						.client_port = port,
						.server_port = 443}};
}

static unsigned ports_seen, ports_sum;

static bool see(void *ctx, int slot, const struct journal_entry *e)
{
	assert_int_equal(e->client_here, e->tuple.client_port % 2);
	assert_int_equal(e->tuple.tag, 7);
	ports_seen++;
	ports_sum += e->tuple.client_port;
	return true;
}

static struct journal *reopen(bool *was_there)
{
	struct err e;
	struct journal *j = journal_open(dir, "test", was_there, &e);

	if (!j)
		fail_msg("%s", e.text);
	ports_seen = ports_sum = 0;
	journal_each(j, see, NULL);
	return j;
}

static void what_was_added_and_not_removed_is_there_after_a_crash(void **state)
{
	struct journal_entry e;
	struct journal *j;
	bool was_there;
	int slots[100], i;

	j = reopen(&was_there);
	assert_false(was_there);
	for (i = 0; i < 100; i++) {
		e = entry((uint16_t)(i + 1));
		slots[i] = journal_add(j, &e);
		assert_true(slots[i] >= 0);
	}
	for (i = 0; i < 100; i += 2)
		journal_remove(j, slots[i]);
	journal_close(j, false);
	j = reopen(&was_there);
	assert_true(was_there);
	assert_int_equal(ports_seen, 50);
	assert_int_equal(ports_sum, 50 * 51);
	/* slots that were free are free again, and no two entries share one */
	for (i = 0; i < 100; i++) {
		e = entry((uint16_t)(1000 + i));
		assert_true(journal_add(j, &e) >= 0);
	}
	journal_close(j, false);
	j = reopen(&was_there);
	assert_int_equal(ports_seen, 150);
	journal_close(j, true);
	assert_int_equal(access(path, F_OK), -1);
}

static void damaged_slots_are_not_believed(void **state)
{
	struct journal_entry e = entry(1);
	uint8_t good[JOURNAL_SLOT_LEN], bad[JOURNAL_SLOT_LEN];
	unsigned at;

	journal_slot_store(good, &e);
	assert_false(journal_slot_parse(good, &e)); /* the mark is not written yet */
	good[0] = 1;
	assert_true(journal_slot_parse(good, &e));
	for (at = 0; at < JOURNAL_SLOT_LEN; at++) {
		memcpy(bad, good, sizeof(bad));
		bad[at] ^= 0x41;
		if (journal_slot_parse(bad, &e))
			fail_msg("byte %u was changed and not noticed", at);
	}
}

static void damage(off_t at, const void *bytes, size_t len)
{
	int fd = open(path, O_WRONLY);

	assert_int_equal(pwrite(fd, bytes, len, at), (ssize_t)len);
	close(fd);
}

static void a_file_that_is_no_journal_is_begun_anew(void **state)
{
	struct journal_entry e = entry(5);
	struct journal *j;
	bool was_there;
	unsigned round;

	for (round = 0; round < 4; round++) {
		j = reopen(&was_there);
		journal_add(j, &e);
		journal_close(j, false);
		switch (round) {
		case 0: damage(0, "X", 1); break;
		case 1: damage(11, "\x09", 1); break; /* another version */
		case 2: assert_int_equal(truncate(path, 1000), 0); break;
		case 3: assert_int_equal(truncate(path, 0), 0); break;
		}
		j = reopen(&was_there);
		assert_false(was_there);
		assert_int_equal(ports_seen, 0);
		journal_close(j, true);
	}
}

static void two_instances_do_not_share_one(void **state)
{
	bool was_there;
	struct err e;
	struct journal *j = reopen(&was_there);

	assert_null(journal_open(dir, "test", &was_there, &e));
	assert_non_null(strstr(e.text, "another instance"));
	journal_close(j, true);
}

static void what_is_not_a_file_of_ours_is_refused(void **state)
{
	bool was_there;
	struct err e;

	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_null(journal_open(dir, "test", &was_there, &e));
	unlink(path);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_null(journal_open(dir, "test", &was_there, &e));
	rmdir(path);
	assert_null(journal_open("/nonexistent/longhaul", "test", &was_there, &e));
	assert_non_null(strstr(e.text, "/nonexistent/longhaul/test.flows"));
}

static void a_full_journal_says_so(void **state)
{
	struct journal_entry e = entry(5);
	bool was_there;
	struct journal *j = reopen(&was_there);
	int i, last = 0;

	for (i = 0; i < JOURNAL_SLOTS; i++)
		last = journal_add(j, &e);
	assert_true(last >= 0);
	assert_int_equal(journal_add(j, &e), -ENOSPC);
	journal_remove(j, last);
	assert_int_equal(journal_add(j, &e), last);
	journal_close(j, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_added_and_not_removed_is_there_after_a_crash),
		cmocka_unit_test(damaged_slots_are_not_believed),
		cmocka_unit_test(a_file_that_is_no_journal_is_begun_anew),
		cmocka_unit_test(two_instances_do_not_share_one),
		cmocka_unit_test(what_is_not_a_file_of_ours_is_refused),
		cmocka_unit_test(a_full_journal_says_so),
	};
	int ret;

	if (!mkdtemp(dir))
		return 1;
	snprintf(path, sizeof(path), "%s/test.flows", dir);
	ret = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(dir);
	return ret;
}
