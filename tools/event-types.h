/* SPDX-License-Identifier: Apache-2.0 */
/* Event types of a command line and of descriptions, with memory of their own. Pure functions. */
#pragma once

#include "event/event.h"

/* A copy in one block; event_type_done() frees it. */
EventType event_type_copy(EventType type);
EventType event_type_from_array(const GArray *subtypes); /* of Subtype */
void event_type_done(EventType *type);

/* `a/b/?`, where `\/` is a slash inside a segment, or a JSON array of strings when it begins with `[`.
 * -EINVAL: it begins with `[` and is not one. Free with event_type_done(). */
int event_type_parse(const char *text, EventType *ret);

/* EventType elements that the array frees. */
GArray *event_types_new(void);

/* A key of a GHashTable with memory of its own. */
EventType *event_type_key_new(EventType type);
void event_type_key_free(gpointer type);
