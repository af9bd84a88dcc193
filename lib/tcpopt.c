// SPDX-License-Identifier: GPL-3.0-or-later
/* tcpopt.c - walk the options of a TCP header, one by one, never past its end */
#include "lib/tcpopt.h"

/**
 * tcpopt_begin - start at the first option of a TCP header
 * @it: the walk
 * @tcp: the TCP header
 * @len: bytes at @tcp, of header and payload; nothing behind them is read
 *
 * Return: false, with it->malformed set and a walk that yields nothing, if
 * @len is below 20 or the data offset (RFC 9293 section 3.1) is below 5 words
 * or beyond @len.
 */
bool tcpopt_begin(struct tcpopt_iter *it, const uint8_t *tcp, size_t len)
{
	size_t header = len < TCP_HDR_MIN ? 0 : (size_t)(tcp[TCP_OFFSET] >> 4) * 4;

	*it = (struct tcpopt_iter){.tcp = tcp, .pos = TCP_HDR_MIN, .end = TCP_HDR_MIN};
	if (header < TCP_HDR_MIN || header > len) {
		it->malformed = true;
		return false;
	}
	it->end = header;
	return true;
}

/**
 * tcpopt_next - the next option
 * @it: a walk that tcpopt_begin() started
 * @opt: the option; untouched when there is none
 *
 * NOPs are skipped and EOL ends the walk, whatever stands behind it. An
 * option whose length octet is missing, below 2 or leads beyond the header
 * ends it too and sets it->malformed: where the next option begins cannot be
 * known. Lengths of known kinds are the caller's to check.
 *
 * Return: false at the end.
 */
bool tcpopt_next(struct tcpopt_iter *it, struct tcpopt *opt)
{
	const uint8_t *at;
	size_t left;

	while (it->pos < it->end && it->tcp[it->pos] == TCPOPT_KIND_NOP)
		it->pos++;
	left = it->end - it->pos;
	at = it->tcp + it->pos;
	if (left == 0 || at[0] == TCPOPT_KIND_EOL) {
		it->pos = it->end;
		return false;
	}
	if (left < 2 || at[1] < 2 || at[1] > left) {
		it->malformed = true;
		it->pos = it->end;
		return false;
	}
	*opt = (struct tcpopt){
		.kind = at[0], .len = at[1], .offset = (uint16_t)it->pos, .data = at + 2};
	it->pos += at[1];
	return true;
}
