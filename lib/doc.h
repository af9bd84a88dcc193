/* SPDX-License-Identifier: GPL-3.0-or-later */
/* doc.h - reading JSON documents and messages whose keys may be missing */
#ifndef LIB_DOC_H
#define LIB_DOC_H

#include <jansson.h>

/* The text of a key; "" where there is none. It lives as long as @o. */
static inline const char *doc_text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

/* The integer of a key; 0 where there is none. */
static inline long long doc_number(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

#endif
