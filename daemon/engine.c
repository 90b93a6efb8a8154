/* SPDX-License-Identifier: Apache-2.0 */
/* Routing between one event server connection and the proxies. Loop thread. */
#include <errno.h>

#include "daemon/engine.h"
#include "daemon/event-prefix.h"
#include "daemon/proxy-internal.h"

struct Engine {
        EventLayout layout;
        EventClient *client;
        GHashTable *proxies; /* <prefix>/system → Proxy */
        EventRequest *enable_query;
        bool congested;
};

static Proxy *engine_find(Engine *e, EventType type, EventType *ret_rest) {
        EventType system;

        if (!event_prefix_split(e->layout, type, &system, ret_rest))
                return NULL;
        return g_hash_table_lookup(e->proxies, &system);
}

static void engine_query_enable(Engine *e);

static void on_enable_answer(int error, const Event *events, size_t n, bool more_follows, void *userdata) {
        Engine *e = userdata;
        GHashTableIter iter;
        gpointer proxy;

        e->enable_query = NULL;
        if (error == -ETIMEDOUT) {
                log_warning("Event server did not answer the query for enable events, asking again.");
                engine_query_enable(e);
                return;
        }
        if (error < 0)
                return; /* the connection ended, and with it this engine soon */

        for (size_t i = 0; i < n; i++) {
                EventType rest;
                Proxy *p = engine_find(e, events[i].type, &rest);

                if (p)
                        proxy_answer_enable(p, &events[i]);
        }
        g_hash_table_iter_init(&iter, e->proxies);
        while (g_hash_table_iter_next(&iter, NULL, &proxy))
                proxy_answer_enable(proxy, NULL);
}

/* One query for all: the answer of a server with ten thousand devices is still one message. */
static void engine_query_enable(Engine *e) {
        size_t n = g_hash_table_size(e->proxies);
        g_autofree EventType *types = g_new(EventType, n);
        g_autofree Subtype *text = g_new(Subtype, n * (EVENT_PREFIX_MAX + 2));
        Subtype *at = text;
        GHashTableIter iter;
        gpointer key;
        size_t i = 0;
        int r;

        if (n == 0)
                return;
        g_hash_table_iter_init(&iter, e->proxies);
        while (g_hash_table_iter_next(&iter, &key, NULL)) {
                const EventType *system = key;

                memcpy(at, system->subtypes, system->n * sizeof(Subtype));
                at[system->n] = SUBTYPE("enable");
                types[i++] = (EventType) { at, system->n + 1 };
                at += system->n + 1;
        }
        r = engine_query_latest(e, types, n, on_enable_answer, e, &e->enable_query);
        if (r < 0)
                log_debug_errno(r, "Cannot ask for enable events: %m");
}

Engine *engine_new(EventLayout layout, EventClient *client, Proxy *const *proxies, size_t n_proxies) {
        Engine *e = g_new0(Engine, 1);

        e->layout = layout;
        e->client = client;
        e->proxies = g_hash_table_new(event_type_key_hash, event_type_key_equal);
        for (size_t i = 0; i < n_proxies; i++) {
                g_hash_table_insert(e->proxies, (gpointer) proxy_system_prefix(proxies[i]), proxies[i]);
                proxy_attach(proxies[i], e);
        }
        engine_query_enable(e);
        return e;
}

Engine *engine_free(Engine *e) {
        GHashTableIter iter;
        gpointer proxy;

        if (!e)
                return NULL;
        event_request_cancel(e->enable_query);
        g_hash_table_iter_init(&iter, e->proxies);
        while (g_hash_table_iter_next(&iter, NULL, &proxy))
                proxy_detach(proxy);
        g_hash_table_unref(e->proxies);
        g_free(e);
        return NULL;
}

void engine_events(Engine *e, const Event *events, size_t n) {
        for (size_t i = 0; i < n; i++) {
                Event below = events[i];
                Proxy *p = engine_find(e, events[i].type, &below.type);

                if (p)
                        proxy_event(p, &below);
                else if (log_on(LOG_DEBUG)) {
                        g_autofree char *type = event_type_format(events[i].type);

                        log_debug("Event %s is for no device of ours, dropped.", type);
                }
        }
}

void engine_set_congested(Engine *e, bool congested) {
        GHashTableIter iter;
        gpointer proxy;

        e->congested = congested;
        g_hash_table_iter_init(&iter, e->proxies);
        while (g_hash_table_iter_next(&iter, NULL, &proxy))
                proxy_flow(proxy, !congested);
}

bool engine_is_congested(const Engine *e) {
        return e->congested;
}

void engine_register(Engine *e, EventType prefix, const char *const *subtypes, const Timestamp *source, JsonSpan payload) {
        Payload p = { .kind = PAYLOAD_JSON, .json = payload };

        event_client_register(e->client, prefix, subtypes, source, &p);
}

int engine_query_latest(Engine *e, const EventType *types, size_t n, EventRequestCallback callback, void *userdata,
                        EventRequest **ret) {
        EventerQuery query = { .kind = QUERY_LATEST, .types = types, .n_types = n };

        return event_client_request_query(e->client, &query, callback, userdata, ret);
}
