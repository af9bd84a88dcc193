/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tcpopt.h - walk the options of a TCP header (RFC 9293 section 3.2) */
#ifndef LIB_TCPOPT_H
#define LIB_TCPOPT_H

#include "lib/tcphdr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	TCPOPT_KIND_EOL = 0,
	TCPOPT_KIND_NOP = 1,
	TCPOPT_KIND_MSS = 2,
	TCPOPT_KIND_WSCALE = 3,
	TCPOPT_KIND_SACK_PERMITTED = 4,
	TCPOPT_KIND_SACK = 5,
	TCPOPT_KIND_TIMESTAMPS = 8,
	TCPOPT_KIND_MD5 = 19,
	TCPOPT_KIND_AO = 29,
};

#define TCPOPT_MAX     40 /* option bytes a header can hold: data offset 15 less 20 */
#define TCP_WSCALE_MAX 14 /* RFC 7323 section 2.3 */

struct tcpopt {
	uint8_t kind;
	uint8_t len;	     /* of the whole option, kind and length bytes included */
	uint16_t offset;     /* of its kind byte, from the start of the TCP header */
	const uint8_t *data; /* its value: len - 2 bytes */
};

struct tcpopt_iter {
	const uint8_t *tcp;
	size_t pos, end;
	bool malformed; /* the walk ended on an option that cannot be */
};

bool tcpopt_begin(struct tcpopt_iter *it, const uint8_t *tcp, size_t len);
bool tcpopt_next(struct tcpopt_iter *it, struct tcpopt *opt);

#endif
