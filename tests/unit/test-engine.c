/* SPDX-License-Identifier: Apache-2.0 */
/* Event prefixes in both layouts, and the engine's routing: the event client and the proxies are the fakes below. */
#include <errno.h>
#include <glib.h>

#include "daemon/engine.h"
#include "daemon/proxy-internal.h"
#include "tests/unit/trace.h"

/* ---- fakes ------------------------------------------------------------------------------------------- */

#define N_PROXIES 3

static Proxy proxies[N_PROXIES];

static struct {
        unsigned n_queries;
        size_t n_types;
        EventRequestCallback callback;
        void *userdata;
} query;

static int index_of(const Proxy *p) {
        return (int) (p - proxies);
}
const EventType *proxy_system_prefix(const Proxy *p) {
        return &p->prefix.system;
}
void proxy_attach(Proxy *p, Engine *e) {
        note("attach%d", index_of(p));
}
void proxy_detach(Proxy *p) {
        note("detach%d", index_of(p));
}
void proxy_answer_enable(Proxy *p, const Event *e) {
        note(e ? "answer%d" : "none%d", index_of(p));
}
void proxy_event(Proxy *p, const Event *e) {
        g_autofree char *type = event_type_format(e->type);

        note("event%d:%s", index_of(p), type);
}
void proxy_flow(Proxy *p, bool open) {
        note("flow%d:%d", index_of(p), open);
}
void event_client_register(EventClient *c, EventType prefix, const char *const *subtypes, const Timestamp *source,
                           const Payload *payload) {
        g_autofree char *type = event_type_format(prefix);

        note("register:%s/%s=%.*s", type, subtypes[0], (int) payload->json.size, payload->json.text);
}
int event_client_request_query(EventClient *c, const EventerQuery *q, EventRequestCallback callback, void *userdata,
                               EventRequest **ret) {
        g_assert_cmpint(q->kind, ==, QUERY_LATEST);
        query.n_queries++;
        query.n_types = q->n_types;
        query.callback = callback;
        query.userdata = userdata;
        for (size_t i = 0; i < q->n_types; i++)
                g_assert_true(subtype_is(q->types[i].subtypes[q->types[i].n - 1], "enable"));
        *ret = (EventRequest *) &query;
        return 0;
}
EventRequest *event_request_cancel(EventRequest *r) {
        if (r)
                note("cancel");
        return NULL;
}

/* ---- driving ----------------------------------------------------------------------------------------- */

static const char *const names[N_PROXIES] = { "one", "two", "a/b" };

static Engine *setup(EventLayout layout) {
        Proxy *list[N_PROXIES];

        trace = g_string_new(NULL);
        memset(&query, 0, sizeof(query));
        for (size_t i = 0; i < N_PROXIES; i++) {
                event_prefix_init(&proxies[i].prefix, layout, "gw", "modbus_master", names[i]);
                list[i] = &proxies[i];
        }
        return engine_new(layout, NULL, list, N_PROXIES);
}

static void teardown(Engine *e) {
        engine_free(e);
        g_string_free(trace, TRUE);
}

/* A type from `a|b|c`. */
static Event make_event(GArray *subtypes, const char *text) {
        for (const char *at = text; at;) {
                const char *end = strchr(at, '|');
                Subtype s = { at, end ? (size_t) (end - at) : strlen(at) };

                g_array_append_val(subtypes, s);
                at = end ? end + 1 : NULL;
        }
        return (Event) { .type = { (const Subtype *) subtypes->data, subtypes->len } };
}

static void send_event(Engine *e, const char *type) {
        g_autoptr(GArray) subtypes = g_array_new(FALSE, FALSE, sizeof(Subtype));
        Event event = make_event(subtypes, type);

        g_string_truncate(trace, 0);
        engine_events(e, &event, 1);
}

static void test_routing(void) {
        static const struct {
                EventLayout layout;
                const char *type, *expected;
        } cases[] = {
                { LAYOUT_NAMED, "gateway|gw|modbus_master|one|system|enable", "event0:enable" },
                { LAYOUT_NAMED, "gateway|gw|modbus_master|two|system|x|y", "event1:x/y" },
                { LAYOUT_NAMED, "gateway|gw|modbus_master|a/b|system", "event2:" },
                { LAYOUT_NAMED, "gateway|other|modbus_master|one|system|enable", "" },
                { LAYOUT_NAMED, "gateway|gw|modbus_slave|one|system|enable", "" },
                { LAYOUT_NAMED, "gateway|gw|modbus_master|one|gateway|running", "" },
                { LAYOUT_NAMED, "gateway|modbus_master|one|system|enable", "" },
                { LAYOUT_NAMED, "gateway", "" },
                { LAYOUT_FLAT, "gateway|modbus_master|one|system|enable", "event0:enable" },
                { LAYOUT_FLAT, "gateway|gw|modbus_master|one|system|enable", "" },
                { LAYOUT_FLAT, "gateway|modbus_master|three|system|enable", "" },
                /* a flat event whose device part happens to look named */
                { LAYOUT_FLAT, "gateway|modbus_master|two|system|system", "event1:system" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Engine *e = setup(cases[i].layout);

                send_event(e, cases[i].type);
                g_assert_cmpstr(trace->str, ==, cases[i].expected);
                teardown(e);
        }
}

static void test_subscription(void) {
        Subtype text[EVENT_PREFIX_MAX + 2];
        g_autofree char *named = event_type_format(event_prefix_subscription(LAYOUT_NAMED, "gw", text));
        g_autofree char *flat = event_type_format(event_prefix_subscription(LAYOUT_FLAT, "gw", text));

        g_assert_cmpstr(named, ==, "gateway/gw/?/?/system/*");
        g_assert_cmpstr(flat, ==, "gateway/?/?/system/*");
}

/* Everything is attached first, then one query asks for all; who has no event is told so. */
static void test_enable_query(void) {
        g_autoptr(GArray) subtypes = g_array_new(FALSE, FALSE, sizeof(Subtype));
        Event event = make_event(subtypes, "gateway|gw|modbus_master|two|system|enable");
        Engine *e = setup(LAYOUT_NAMED);

        g_assert_cmpstr(trace->str, ==, "attach0 attach1 attach2");
        g_assert_cmpuint(query.n_queries, ==, 1);
        g_assert_cmpuint(query.n_types, ==, N_PROXIES);
        g_string_truncate(trace, 0);

        query.callback(-ETIMEDOUT, NULL, 0, false, query.userdata); /* asked again */
        g_assert_cmpuint(query.n_queries, ==, 2);
        g_assert_cmpstr(trace->str, ==, "");

        query.callback(0, &event, 1, false, query.userdata);
        g_assert_true(g_str_has_prefix(trace->str, "answer1"));
        g_assert_nonnull(strstr(trace->str, "none0"));
        g_assert_nonnull(strstr(trace->str, "none2"));
        g_string_truncate(trace, 0);
        engine_free(e);
        g_assert_null(strstr(trace->str, "cancel"));
        g_string_free(trace, TRUE);
}

static void test_end(void) {
        Engine *e = setup(LAYOUT_FLAT);

        g_string_truncate(trace, 0);
        engine_free(e);
        g_assert_true(g_str_has_prefix(trace->str, "cancel")); /* the query was unanswered */
        for (unsigned i = 0; i < N_PROXIES; i++) {
                g_autofree char *word = g_strdup_printf("detach%u", i);

                g_assert_nonnull(strstr(trace->str, word));
        }
        g_string_free(trace, TRUE);
}

static void test_register_and_flow(void) {
        static const char *const subtypes[] = { "running", NULL };
        Engine *e = setup(LAYOUT_FLAT);

        g_string_truncate(trace, 0);
        engine_register(e, proxies[0].prefix.gateway, subtypes, NULL, JSON_LITERAL("true"));
        g_assert_cmpstr(trace->str, ==, "register:gateway/modbus_master/one/gateway/running=true");
        g_string_truncate(trace, 0);
        engine_set_congested(e, true);
        g_assert_true(engine_is_congested(e));
        for (unsigned i = 0; i < N_PROXIES; i++) {
                g_autofree char *word = g_strdup_printf("flow%u:0", i);

                g_assert_nonnull(strstr(trace->str, word));
        }
        teardown(e);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/engine/routing", test_routing);
        g_test_add_func("/engine/subscription", test_subscription);
        g_test_add_func("/engine/enable-query", test_enable_query);
        g_test_add_func("/engine/end", test_end);
        g_test_add_func("/engine/register-and-flow", test_register_and_flow);
        return g_test_run();
}
