/* SPDX-License-Identifier: Apache-2.0 */
/* An event as one line, for people and as JSON. Pure functions but for $TZ; caller frees what they return.
 * Whatever the event holds, the result is UTF-8 and harmless for a terminal. */
#pragma once

#include "event/event.h"
#include "tools/options.h"

/* `2026-11-24 17:45:01.123` in local time; `@SECONDS.MS` beyond any calendar. */
char *timestamp_text(const Timestamp *t);
/* Microseconds since 1970; what int64 cannot hold becomes its limit. */
int64_t timestamp_usec(const Timestamp *t);

/* `TIME  TYPE  PAYLOAD`; of no payload nothing, of binary `<N bytes of NAME>`, of what is no JSON
 * `<N bytes that are no JSON>`. */
char *event_line(const Event *e);
/* {"Id":{"Server","Session","Instance"},"Type":[…],"Timestamp":µs,"SourceTimestamp":µs|null,"PayloadKind":
 * "none"|"json"|"binary"|"malformed","Payload":…}. Payload: the JSON value itself; null; {"Type","Data":base64};
 * the text that is no JSON, as a string. */
char *event_json(const Event *e);

/* What --json asks for, on standard output. */
void event_print(const Event *e, const Options *o);
