/* SPDX-License-Identifier: Apache-2.0 */
/* Where a device's events are (docs/design.md section 2): the only place that knows the two layouts. Pure
 * functions. */
#pragma once

#include "daemon/config.h"
#include "event/event.h"

#define EVENT_PREFIX_MAX 4 /* subtypes */

/* The two sources below a prefix: <prefix>/gateway is what we register, <prefix>/system what others do. */
typedef struct EventPrefix {
        Subtype gateway_text[EVENT_PREFIX_MAX + 1], system_text[EVENT_PREFIX_MAX + 1];
        EventType gateway, system;
} EventPrefix;

/* Borrows the names. Not to be copied: it points into itself. */
void event_prefix_init(EventPrefix *p, EventLayout layout, const char *gateway, const char *type, const char *name);
/* The prefix itself, borrowed from p. */
EventType event_prefix_get(const EventPrefix *p);
/* The prefix of an event that may be for one of our devices (<prefix>/system/…), as a key; false when it
 * cannot be. ret_rest is what follows `system`. */
bool event_prefix_split(EventLayout layout, EventType type, EventType *ret_system, EventType *ret_rest);
/* The one subscription that brings every device's system events. ret_text: room for EVENT_PREFIX_MAX + 2. */
EventType event_prefix_subscription(EventLayout layout, const char *gateway, Subtype *ret_text);
