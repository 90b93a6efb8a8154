/* SPDX-License-Identifier: Apache-2.0 */
/* What an event is (spec wire.md 3.3 to 3.5): types, wildcards, timestamps, payloads, natural order. Plain
 * data that borrows its text from the frame or struct it came from. Pure functions. */
#pragma once

#include "base/json.h"
#include "base/macros.h"
#include "base/time.h"

/* One subtype: UTF-8, not terminated, may hold NUL. */
typedef struct Subtype {
        const char *text;
        size_t size;
} Subtype;
#define SUBTYPE(literal) ((Subtype) { (literal), sizeof(literal) - 1 })

typedef struct EventType {
        const Subtype *subtypes;
        size_t n;
} EventType;

static inline bool subtype_equal(Subtype a, Subtype b) {
        return a.size == b.size && memcmp(a.text, b.text, a.size) == 0;
}
/* Equal to a terminated string. */
bool subtype_is(Subtype a, const char *text);
bool event_type_equal(EventType a, EventType b);
/* Whether `type` starts with `prefix`; ret_rest (may be NULL) is what follows. */
bool event_type_has_prefix(EventType type, EventType prefix, EventType *ret_rest);
/* Of a query's types: `?` is one arbitrary subtype, `*` at the end any number (wire.md 3.4). Refuses a `*`
 * that is not last. */
bool event_query_type_valid(EventType query);
/* With the quirk of order (wire.md 3.4), as far as a bounded number of comparisons finds it. */
bool event_query_types_valid(const EventType *queries, size_t n);
/* `a/b/c`, a slash inside a subtype as `\/`; for logs and people. Caller frees. */
char *event_type_format(EventType type);
/* For a GHashTable whose keys are Subtype, or EventType. */
unsigned subtype_key_hash(gconstpointer subtype);
gboolean subtype_key_equal(gconstpointer a, gconstpointer b);
unsigned event_type_key_hash(gconstpointer type);
gboolean event_type_key_equal(gconstpointer a, gconstpointer b);

typedef struct Timestamp {
        int64_t s;
        int32_t us; /* 0 to 999999 */
} Timestamp;
Timestamp timestamp_now(void);
int timestamp_compare(const Timestamp *a, const Timestamp *b);

typedef struct EventId {
        int64_t server, session, instance;
} EventId;

typedef enum PayloadKind { PAYLOAD_NONE, PAYLOAD_BINARY, PAYLOAD_JSON } PayloadKind;
typedef struct Payload {
        PayloadKind kind;
        JsonSpan json;          /* PAYLOAD_JSON: text; unchecked when it comes from the event client (event_payload_json()) */
        Subtype binary_type;    /* PAYLOAD_BINARY */
        const uint8_t *data;
        size_t size;
} Payload;

typedef struct Event {
        EventId id;
        EventType type;
        Timestamp timestamp;
        bool has_source;
        Timestamp source;
        Payload payload;
} Event;

/* The checked JSON value of a payload. -ENODATA: none or binary, -EBADMSG, -E2BIG: refused (design.md: costs
 * only that event). */
int event_payload_json(const Event *e, JsonSpan *ret);
