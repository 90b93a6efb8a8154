/* SPDX-License-Identifier: Apache-2.0 */
/* Event type prefixes in both layouts. Pure functions. */
#include "daemon/event-prefix.h"

static Subtype subtype_of(const char *text) {
        return (Subtype) { text, strlen(text) };
}

void event_prefix_init(EventPrefix *p, EventLayout layout, const char *gateway, const char *type, const char *name) {
        size_t n = 0;

        p->gateway_text[n++] = SUBTYPE("gateway");
        if (layout == LAYOUT_NAMED)
                p->gateway_text[n++] = subtype_of(gateway);
        p->gateway_text[n++] = subtype_of(type);
        p->gateway_text[n++] = subtype_of(name);
        memcpy(p->system_text, p->gateway_text, n * sizeof(Subtype));
        p->gateway_text[n] = SUBTYPE("gateway");
        p->system_text[n] = SUBTYPE("system");
        p->gateway = (EventType) { p->gateway_text, n + 1 };
        p->system = (EventType) { p->system_text, n + 1 };
}

EventType event_prefix_get(const EventPrefix *p) {
        return (EventType) { p->gateway.subtypes, p->gateway.n - 1 };
}

static size_t prefix_length(EventLayout layout) {
        return layout == LAYOUT_NAMED ? 4 : 3;
}

bool event_prefix_split(EventLayout layout, EventType type, EventType *ret_system, EventType *ret_rest) {
        size_t n = prefix_length(layout) + 1;

        if (type.n < n || !subtype_is(type.subtypes[n - 1], "system"))
                return false;
        *ret_system = (EventType) { type.subtypes, n };
        *ret_rest = (EventType) { type.subtypes + n, type.n - n };
        return true;
}

EventType event_prefix_subscription(EventLayout layout, const char *gateway, Subtype *ret_text) {
        size_t n = 0;

        ret_text[n++] = SUBTYPE("gateway");
        if (layout == LAYOUT_NAMED)
                ret_text[n++] = subtype_of(gateway);
        ret_text[n++] = SUBTYPE("?");
        ret_text[n++] = SUBTYPE("?");
        ret_text[n++] = SUBTYPE("system");
        ret_text[n++] = SUBTYPE("*");
        return (EventType) { ret_text, n };
}
