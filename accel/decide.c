// SPDX-License-Identifier: GPL-3.0-or-later
/* decide.c - which connections are accelerated at all: what their SYN alone can tell. Pure */
#include "accel/internal.h"

#include <string.h>

#define X(name, text) #name,
const char *const accel_reason_names[ACCEL_REASON_COUNT] = {ACCEL_REASONS(X)};
#undef X
#define X(name, text) text,
const char *const accel_reason_texts[ACCEL_REASON_COUNT] = {ACCEL_REASONS(X)};
#undef X

/* Filters see a frame without its VLAN tag, so that one expression serves all VLANs. */
static bool matches(const struct filter *filter, const struct frame *f, const struct packet *p)
{
	uint8_t plain[SYN_MAX];
	uint32_t tags = (uint32_t)p->vlans * VLAN_TAG_LEN;

	if (!tags)
		return filter_match(filter, f->data, f->len);
	memcpy(plain, f->data, 12);
	memcpy(plain + 12, f->data + 12 + tags, f->len - 12 - tags);
	return filter_match(filter, plain, f->len - tags);
}

/*
 * Decides about a SYN by what it is and by the tag's rules. The same SYN is
 * always decided alike, so nothing need be remembered.
 * @reason: why not
 * Returns whether it may be accelerated.
 */
bool decide_syn(const struct accel_tag *tag, const struct frame *f, const struct packet *p,
		enum accel_reason *reason)
{
	/* A priority tag (VLAN 0) would be lost. */
	if (p->ip_options || p->vlans > 1 || (p->vlans && !p->vid) || f->len > SYN_MAX)
		*reason = ACCEL_REASON_unusual;
	else if (segment_has_secret(f, p))
		*reason = ACCEL_REASON_secret;
	else if (tag->bypass && matches(tag->bypass, f, p))
		*reason = ACCEL_REASON_bypass;
	else if (tag->accel && !matches(tag->accel, f, p))
		*reason = ACCEL_REASON_filter;
	else
		return true;
	return false;
}
