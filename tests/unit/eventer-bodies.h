/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies of eventer messages as the vectors write them, and the eventer's own structs: one way to drive it,
 * the other to compare what it hands out. */
#pragma once

#include "event/eventer.h"
#include "tests/unit/vectors.h"

/* A list of event types and its memory. */
typedef struct BodyTypes {
        EventType *types;
        size_t n;
} BodyTypes;
BodyTypes body_types(JsonSpan list);
void body_types_done(BodyTypes *t);

Timestamp body_timestamp(JsonSpan v);

/* Makes the eventer send the message of this type and body. Requests use `request`; answered: with response
 * (`last` false). */
void body_send(Eventer *e, JsonSpan type, JsonSpan body, bool last, usec_t now, EventerRequest *request);

void assert_event(const Event *e, JsonSpan body);
void assert_events(const Event *events, size_t n, JsonSpan list);
