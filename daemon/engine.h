/* SPDX-License-Identifier: Apache-2.0 */
/* Exists while an event server connection is usable: finds the proxy of an event, collects what proxies
 * register, asks for their enable events. Owns no device and no connection. Made and ended by the gateway.
 * Loop thread. */
#pragma once

#include "daemon/config.h"
#include "daemon/proxy.h"
#include "event/client.h"

typedef struct Engine Engine;

/* Attaches every proxy (in order), then asks for all their enable events in one query. client outlives the
 * engine. */
Engine *engine_new(EventLayout layout, EventClient *client, Proxy *const *proxies, size_t n_proxies);
/* Detaches every proxy; nothing is registered any more. */
Engine *engine_free(Engine *e);
DEFINE_CLEANUP(Engine, engine_free);

/* Events of one notification. Those that are for nobody are dropped. */
void engine_events(Engine *e, const Event *events, size_t n);
/* The connection is congested or free again: told to every proxy, and to those that start later. */
void engine_set_congested(Engine *e, bool congested);
bool engine_is_congested(const Engine *e);

/* Registers prefix/subtypes… without response; leaves at the end of this turn. */
void engine_register(Engine *e, EventType prefix, const char *const *subtypes, const Timestamp *source, JsonSpan payload);
/* Last events of these query types. */
int engine_query_latest(Engine *e, const EventType *types, size_t n, EventRequestCallback callback, void *userdata,
                        EventRequest **ret);
