// SPDX-License-Identifier: GPL-3.0-or-later
/* replay.c - which counters of a sender have been seen: a sliding window, pure */
/*
 * Theory of operation
 *
 * After RFC 6479: a ring of words in which counter c has bit c % 64 of word
 * (c / 64) % WORDS. Moving forward clears the words that are entered, never
 * single bits, so nothing is shifted. The ring has a word more than the window
 * needs: the newest word is partly ahead of the newest counter, and without it
 * would lie over the oldest counters that may still come.
 *
 * A counter is looked up before decryption, which spares its cost for what is
 * surely a replay, and marked after authentication, as anybody can write a
 * counter into a packet.
 *
 * An empty window needs no case of its own: 0 is its highest counter, not seen.
 */
#include "tunnel/replay.h"

#include <string.h>

#define WORDS (sizeof(((struct replay *)0)->bits) / sizeof(uint64_t))

static uint64_t bit_of(uint64_t counter)
{
	return 1ull << (counter & 63);
}

/*
 * Whether a counter may be accepted: not seen, and no more than REPLAY_WINDOW
 * behind the highest. Changes nothing.
 */
bool replay_check(const struct replay *r, uint64_t counter)
{
	if (counter > r->highest)
		return true;
	if (r->highest - counter > REPLAY_WINDOW)
		return false;
	return !(r->bits[counter / 64 % WORDS] & bit_of(counter));
}

/* Clears the words that are entered on the way to a new highest counter, all at most once. */
static void advance(struct replay *r, uint64_t counter)
{
	uint64_t word = r->highest / 64, last = counter / 64;

	if (last - word >= WORDS)
		memset(r->bits, 0, sizeof(r->bits));
	else
		while (word < last)
			r->bits[++word % WORDS] = 0;
	r->highest = counter;
}

/*
 * Marks a counter as seen; to be called once its packet is authenticated.
 * Returns whether it was acceptable, as replay_check(): if not, nothing changes
 * and the packet is to be dropped.
 */
bool replay_accept(struct replay *r, uint64_t counter)
{
	if (!replay_check(r, counter))
		return false;
	if (counter > r->highest)
		advance(r, counter);
	r->bits[counter / 64 % WORDS] |= bit_of(counter);
	r->received++;
	return true;
}
