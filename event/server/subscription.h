/* SPDX-License-Identifier: Apache-2.0 */
/* What a client wants to be notified of (spec wire.md 3.4), compiled: without `?` a match costs the depth of
 * the type, not the number of query types; each `?` beside another way may double it, up to the number of
 * nodes. Immutable. Any thread. */
#pragma once

#include "event/event.h"

typedef struct Subscription Subscription;

/* Copies; the query types were checked (event_query_types_valid()). */
Subscription *subscription_new(const EventType *queries, size_t n);
Subscription *subscription_free(Subscription *s);
DEFINE_CLEANUP(Subscription, subscription_free);
bool subscription_matches(const Subscription *s, EventType type);
/* Everything matches: no event needs to be looked at. */
bool subscription_is_all(const Subscription *s);
