/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tcphdr.h - the fields of a TCP header, RFC 9293 section 3.1 */
#ifndef LIB_TCPHDR_H
#define LIB_TCPHDR_H

/* Offsets. Names that <netinet/tcp.h> does not have: both may be included. */
enum {
	TCP_SEQ = 4,
	TCP_ACK_SEQ = 8,
	TCP_OFFSET = 12, /* of the data, in 32-bit words, in the high half */
	TCP_FLAGS = 13,
	TCP_WINDOW = 14,
	TCP_CHECK = 16,
	TCP_URGENT = 18,
	TCP_HDR_MIN = 20, /* then the options */
};

/* Flags; ECE and CWR by RFC 3168 section 6.1. */
enum {
	TCP_FIN = 0x01,
	TCP_SYN = 0x02,
	TCP_RST = 0x04,
	TCP_PSH = 0x08,
	TCP_ACK = 0x10,
	TCP_ECE = 0x40,
	TCP_CWR = 0x80,
};

#endif
