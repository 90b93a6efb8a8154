/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies of the eventer's messages (spec wire.md 3.2): what a client sends as bytes, lists of events as
 * structs. Pure functions; eventer.c is the user, and event/server/peer-codec.c of the parts. */
#pragma once

#include "base/buffer.h"
#include "event/eventer.h"
#include "event/sbs.h"

/* Bounds of one message; a frame could claim more events than memory holds. */
#define EVENT_LIST_EVENTS_MAX (1U << 20)
#define EVENT_LIST_SUBTYPES_MAX (1U << 22)

void init_request_encode(Buffer *b, const EventerInit *init);
void query_encode(Buffer *b, const EventerQuery *query);

/* Most bytes that register_event_encode() appends. */
size_t register_event_bound(EventType prefix, const char *const *subtypes, const Payload *payload);
/* RegisterEvent: type = prefix then the NULL-terminated subtypes; source and payload may be NULL. bound is
 * register_event_bound(). */
void register_event_encode(Buffer *b, size_t bound, EventType prefix, const char *const *subtypes,
                           const Timestamp *source, const Payload *payload);

/* Memory for the decoded events of one message, used again for the next one. */
typedef struct EventList {
        GArray *events, *subtypes; /* of Event, of Subtype */
} EventList;
void event_list_init(EventList *l);
void event_list_done(EventList *l);
/* Array(Event), borrowed from the reader's bytes and valid until the next call. -EBADMSG, -EMSGSIZE beyond
 * the bounds above. */
int event_list_decode(EventList *l, SbsReader *r);
/* Empty again; memory that only a burst needed is given back. */
void event_list_clear(EventList *l);
/* Points the types of all events to their subtypes, which lie one type behind the other: their place is
 * known only when the list grows no more. */
void event_list_settle(EventList *l);

/* Parts of the bodies. Decoders: -EBADMSG, -EMSGSIZE beyond the bounds above. */

/* subtypes (of Subtype) receives the type's subtypes behind those it has; ret->n says how many, the
 * pointer is the caller's to set. */
int event_type_decode(SbsReader *r, GArray *subtypes, EventType *ret);
int timestamp_decode(SbsReader *r, int64_t *ret_s, int64_t *ret_us);    /* as on the wire: us may be anything */
int payload_decode(SbsReader *r, Payload *ret); /* Optional(EventPayload); JSON is not checked */
/* Optional(EventPayload) to p, which has room for its contents and 4 integers; NULL: none. Returns the
 * end. */
uint8_t *payload_put(uint8_t *p, const Payload *payload);
