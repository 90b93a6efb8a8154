/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies of the eventer's messages (spec wire.md 3.2): what a client sends as bytes, lists of events as
 * structs. Pure functions; eventer.c is the user. */
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
