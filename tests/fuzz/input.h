/* SPDX-License-Identifier: GPL-3.0-or-later */
/* input.h - a fuzz target's input, taken byte by byte; at its end there are zeros */
#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>

/* Bytes that are left. */
struct input {
	const uint8_t *at;
	size_t left;
};

static inline unsigned input_take(struct input *in)
{
	if (!in->left)
		return 0;
	in->left--;
	return *in->at++;
}

/* Two bytes, big-endian. */
static inline unsigned input_take16(struct input *in)
{
	unsigned high = input_take(in) << 8;

	return high | input_take(in);
}

#endif
