/* SPDX-License-Identifier: Apache-2.0 */
/* The gateway with its engine and proxies: when there is an engine, what is registered then, totals and states, the verbs, the
 * end. The north and the event client are the fakes below. */
#include <errno.h>

#include "base/bounds.h"
#include "daemon/gateway.h"
#include "daemon/north.h"
#include "tests/unit/loop.h"
#include "tests/unit/trace.h"

/* ---- the north and the event client ------------------------------------------------------------------ */

struct North {
        const NorthHandler *handler;
        void *userdata;
        NorthState state;
        MonitorState monitor;
        bool closing, leaving;
};

static North north;
static bool embedded;
static const char *trouble;
static int export_answer;
static CopierCallback exported;
static void *exported_userdata;
static EventRequestCallback query_callback, register_callback;
static void *query_userdata, *register_userdata;
static EventClient *const client = (EventClient *) &north; /* never looked into */

const char *north_state_to_string(NorthState state) {
        return "";
}
int north_new(sd_event *event, const Config *config, const ListenFds *fds, const NorthHandler *handler, void *userdata,
              North **ret) {
        north = (North) { .handler = handler, .userdata = userdata };
        *ret = &north;
        return 0;
}
North *north_free(North *n) {
        return NULL;
}
int north_start(North *n) {
        note("north-start");
        return 0;
}
void north_close(North *n, usec_t limit) {
        n->closing = true;
        note("north-close");
}
NorthState north_get_state(const North *n) {
        return n->state;
}
EventClient *north_get_client(const North *n) {
        return n->state >= NORTH_STANDBY ? client : NULL;
}
const char *north_get_address(const North *n) {
        return n->monitor == MONITOR_BLESSED && n->state == NORTH_DISCONNECTED ? "" : "tcp:test:1";
}
void north_left(North *n) {
        if (n->leaving)
                note("north-left");
        n->leaving = false;
}
bool north_is_leaving(const North *n) {
        return n->leaving;
}
MonitorState north_get_monitor_state(const North *n) {
        return n->monitor;
}
const char *north_get_monitor_blessed(const North *n) {
        return "gw-b";
}
int64_t north_get_monitor_rank(const North *n, bool *ret_known) {
        *ret_known = true;
        return 3;
}

EventServer *north_get_event_server(const North *n) {
        return embedded ? (EventServer *) &north : NULL; /* never looked into */
}
const char *event_server_get_trouble(const EventServer *s) {
        return trouble;
}
EventServerCounters event_server_get_counters(const EventServer *s) { return (EventServerCounters) { 0 }; }
int event_server_export(EventServer *s, int fd, CopierCallback callback, void *userdata) {
        if (export_answer < 0)
                return export_answer;
        exported = callback;
        exported_userdata = userdata;
        note("export:%d", fd);
        return 0;
}

static void north_become(NorthState state) {
        north.state = state;
        north.handler->changed(north.userdata);
}

void event_client_register(EventClient *c, EventType prefix, const char *const *subtypes, const Timestamp *source,
                           const Payload *payload) {
        g_autofree char *type = event_type_format(prefix);

        note("%s/%s=%.*s", type, subtypes[0], (int) payload->json.size, payload->json.text);
}
int event_client_request_query(EventClient *c, const EventerQuery *query, EventRequestCallback callback, void *userdata,
                               EventRequest **ret) {
        query_callback = callback;
        query_userdata = userdata;
        *ret = (EventRequest *) &query_callback;
        return 0;
}
int event_client_request_register(EventClient *c, EventType prefix, const char *const *subtypes, const Timestamp *source,
                                  const Payload *payload, EventRequestCallback callback, void *userdata,
                                  EventRequest **ret) {
        g_autofree char *type = event_type_format(prefix);

        note("request:%s/%s=%.*s", type, subtypes[0], (int) payload->json.size, payload->json.text);
        register_callback = callback;
        register_userdata = userdata;
        *ret = (EventRequest *) &register_callback;
        return 0;
}
EventRequest *event_request_cancel(EventRequest *r) {
        return NULL;
}

/* ---- a device type that starts and stops at once ----------------------------------------------------- */

typedef struct Fake {
        Device device;
        sd_event_source *later;
        bool stopping;
} Fake;

static bool deaf;

static int on_later(sd_event_source *s, void *userdata) {
        Fake *f = userdata;

        if (f->stopping)
                device_ended(&f->device, DEVICE_REASON_NONE, NULL);
        else
                device_started(&f->device);
        return 0;
}

static void fake_later(Fake *f) {
        f->later = sd_event_source_disable_unref(f->later);
        g_assert_cmpint(sd_event_add_defer(device_get_event(&f->device), &f->later, on_later, f), >=, 0);
}

static int fake_start(Device *d) {
        fake_later((Fake *) d);
        return 0;
}

static void fake_stop(Device *d) {
        Fake *f = (Fake *) d;

        f->stopping = true;
        if (!deaf)
                fake_later(f);
}

static void fake_done(Device *d) {
        sd_event_source_disable_unref(((Fake *) d)->later);
}

static void fake_event(Device *d, const Event *e) {
        note("event");
}

static void fake_flow(Device *d, bool open) {
        note("flow:%d", open);
}

static const DeviceType fake_type = {
        .name = "fake",
        .device_size = sizeof(Fake),
        .start = fake_start,
        .stop = fake_stop,
        .done = fake_done,
        .event = fake_event,
        .flow = fake_flow,
};

/* ---- fixture ----------------------------------------------------------------------------------------- */

Config *config_ref(Config *c) {
        c->n_ref++;
        return c;
}
Config *config_unref(Config *c) {
        if (c)
                c->n_ref--;
        return NULL;
}

typedef struct Fixture {
        sd_event *event;
        DeviceConfig devices[2];
        Config config;
        Gateway *gateway;
        Proxy *a, *b;
        unsigned n_added, n_removed, n_state, n_link, n_storage, n_stopped;
} Fixture;

static void on_added(Proxy *p, void *userdata) {
        ((Fixture *) userdata)->n_added++;
}
static void on_removed(Proxy *p, void *userdata) {
        ((Fixture *) userdata)->n_removed++;
}
static void on_state(Proxy *p, ProxyState old, void *userdata) {
        g_assert_cmpint(old, !=, proxy_view(p)->state);
        ((Fixture *) userdata)->n_state++;
}
static void on_link(Proxy *p, DeviceLink old, void *userdata) {
        ((Fixture *) userdata)->n_link++;
}
static void on_gateway(Gateway *g, GatewayField what, void *userdata) {
        if (what == GATEWAY_STORAGE)
                ((Fixture *) userdata)->n_storage++;
}
static const GatewayObserver observer = {
        .proxy_added = on_added,
        .proxy_removed = on_removed,
        .proxy_state = on_state,
        .proxy_link = on_link,
        .gateway_changed = on_gateway,
};

static void set_up(Fixture *f, gconstpointer require_operational) {
        trace = g_string_new(NULL);
        deaf = embedded = false;
        trouble = NULL;
        export_answer = 0;
        f->event = loop_new();
        f->devices[0] = (DeviceConfig) { .type = &fake_type, .name = "a" };
        f->devices[1] = (DeviceConfig) { .type = &fake_type, .name = "b" };
        f->config = (Config) {
                .n_ref = 1,
                .name = "gw",
                .layout = LAYOUT_NAMED,
                .require_operational = require_operational,
                .devices = f->devices,
                .n_devices = 2,
        };
        g_assert_cmpint(gateway_new(f->event, &f->config, NULL, &f->gateway), ==, 0);
        gateway_add_observer(f->gateway, &observer, f);
        g_assert_cmpuint(f->n_added, ==, 2);
        g_assert_cmpint(gateway_find(f->gateway, "fake", "a", &f->a), ==, 0);
        g_assert_cmpint(gateway_find(f->gateway, "fake", "b", &f->b), ==, 0);
        g_assert_cmpint(gateway_start(f->gateway), ==, 0);
}

static void tear_down(Fixture *f, gconstpointer unused) {
        gateway_free(f->gateway);
        g_assert_cmpuint(f->n_removed, ==, 2);
        g_assert_cmpuint(f->config.n_ref, ==, 1);
        sd_event_unref(f->event);
        g_string_free(trace, TRUE);
}

/* The server says that both are enabled. */
static void answer_enabled(Fixture *f) {
        Subtype types[2][6];
        Event events[2];

        for (size_t i = 0; i < 2; i++) {
                const Subtype type[] = { SUBTYPE("gateway"),          SUBTYPE("gw"),     SUBTYPE("fake"),
                                         { f->devices[i].name, 1 },  SUBTYPE("system"), SUBTYPE("enable") };

                memcpy(types[i], type, sizeof(type));
                events[i] = (Event) {
                        .type = { types[i], ELEMENTSOF(type) },
                        .payload = { .kind = PAYLOAD_JSON, .json = JSON_LITERAL("true") },
                };
        }
        query_callback(0, events, 2, false, query_userdata);
        loop_settle(f->event);
}

static void run_both(Fixture *f) {
        north_become(NORTH_OPERATIONAL);
        answer_enabled(f);
        g_assert_cmpuint(gateway_get_totals(f->gateway)->running, ==, 2);
        g_string_truncate(trace, 0);
}

/* ---- tests ------------------------------------------------------------------------------------------- */

static void test_require_operational(Fixture *f, gconstpointer unused) {
        north_become(NORTH_CONNECTING);
        north_become(NORTH_STANDBY);
        g_assert_cmpstr(trace->str, ==, "north-start");
        north_become(NORTH_OPERATIONAL);
        g_assert_cmpstr(trace->str, ==,
                        "north-start gateway/gw/fake/a/gateway/running=false gateway/gw/fake/b/gateway/running=false");
        answer_enabled(f);
        g_assert_cmpint(proxy_view(f->a)->state, ==, PROXY_RUNNING);

        north_become(NORTH_STOPPING);
        loop_settle(f->event);
        g_assert_cmpint(proxy_view(f->a)->state, ==, PROXY_WAITING);
        g_assert_cmpint(proxy_view(f->a)->state_edge.reason, ==, DEVICE_REASON_NOT_OPERATIONAL);
        north_become(NORTH_DISCONNECTED);
        g_assert_cmpint(proxy_view(f->a)->state_edge.reason, ==, DEVICE_REASON_NO_EVENT_SERVER);
        g_assert_true(proxy_view(f->a)->enabled);
        g_assert_false(proxy_view(f->a)->enabled_known);
}

/* Devices run before the server is operational, and go on when it no longer is. */
static void test_any_status(Fixture *f, gconstpointer unused) {
        north_become(NORTH_STANDBY);
        answer_enabled(f);
        g_assert_cmpint(proxy_view(f->a)->state, ==, PROXY_RUNNING);
        north_become(NORTH_OPERATIONAL);
        north_become(NORTH_STOPPING);
        loop_settle(f->event);
        g_assert_cmpint(proxy_view(f->a)->state, ==, PROXY_RUNNING);
        north_become(NORTH_DISCONNECTED);
        loop_settle(f->event);
        g_assert_cmpint(proxy_view(f->a)->state, ==, PROXY_WAITING);
}

static void test_totals(Fixture *f, gconstpointer unused) {
        const GatewayTotals *t = gateway_get_totals(f->gateway);
        Device *a;

        g_assert_cmpint(gateway_get_state(f->gateway), ==, GATEWAY_STARTING);
        gateway_set_ready(f->gateway);
        g_assert_cmpint(gateway_get_state(f->gateway), ==, GATEWAY_RUNNING); /* no event server alone is not degraded */
        run_both(f);
        g_assert_cmpuint(t->devices, ==, 2);
        g_assert_cmpuint(t->enabled, ==, 2);
        a = (Device *) proxy_get_device(f->a);
        device_set_link(a, DEVICE_LINK_DOWN, DEVICE_REASON_REFUSED, "refused");
        g_assert_cmpuint(t->down, ==, 1);
        g_assert_cmpint(gateway_get_state(f->gateway), ==, GATEWAY_DEGRADED);
        device_set_link(a, DEVICE_LINK_UP, DEVICE_REASON_NONE, NULL);
        g_assert_cmpint(gateway_get_state(f->gateway), ==, GATEWAY_RUNNING);
        device_ended(a, DEVICE_REASON_IO, "broken");
        loop_settle(f->event);
        g_assert_cmpuint(t->failed, ==, 1);
        g_assert_cmpuint(t->running, ==, 1);
        g_assert_cmpint(gateway_get_state(f->gateway), ==, GATEWAY_DEGRADED);
        g_assert_cmpuint(f->n_link, ==, 3); /* down, up, none */
}

static void on_answer(int error, const char *detail, void *userdata) {
        note("answer:%d%s", error, detail ?: "");
}

static void test_enable(Fixture *f, gconstpointer unused) {
        static const struct {
                int from_client, expected;
        } answers[] = {
                { 0, 0 },
                { -EREMOTEIO, -EHOSTDOWN },
                { -ETIMEDOUT, -ETIMEDOUT },
                { -ECONNRESET, -ENOTCONN },
                { -EBADMSG, -ENOTCONN },
        };
        Request *r = NULL;

        g_assert_cmpint(proxy_request_enable(f->a, true, on_answer, NULL, &r), ==, -ENOTCONN);
        north_become(NORTH_STANDBY);
        g_assert_cmpint(proxy_request_enable(f->a, true, on_answer, NULL, &r), ==, -EHOSTDOWN);
        north_become(NORTH_OPERATIONAL);
        for (size_t i = 0; i < ELEMENTSOF(answers); i++) {
                g_autofree char *expected = g_strdup_printf("request:gateway/gw/fake/a/system/enable=false answer:%d",
                                                            answers[i].expected);

                g_string_truncate(trace, 0);
                g_assert_cmpint(proxy_request_enable(f->a, false, on_answer, NULL, &r), ==, 0);
                register_callback(answers[i].from_client, NULL, 0, false, register_userdata);
                g_assert_cmpstr(trace->str, ==, expected);
        }
        g_assert_cmpint(proxy_request_enable(f->a, true, on_answer, NULL, &r), ==, 0);
        g_assert_null(request_cancel(r));
        g_assert_cmpint(proxy_view(f->a)->state, ==, PROXY_DISABLED); /* only the event changes it */
}

static void on_stopped(void *userdata) {
        ((Fixture *) userdata)->n_stopped++;
}

/* running false of every device, then the connection is closed, then it is over. */
static void test_stop(Fixture *f, gconstpointer unused) {
        Request *r = NULL;

        run_both(f);
        gateway_stop(f->gateway, on_stopped, f);
        gateway_stop(f->gateway, on_stopped, f);
        g_assert_cmpint(gateway_get_state(f->gateway), ==, GATEWAY_STOPPING);
        g_assert_cmpint(proxy_request_enable(f->a, true, on_answer, NULL, &r), ==, -ESHUTDOWN);
        g_assert_cmpint(proxy_restart(f->a), ==, -ESHUTDOWN);
        loop_settle(f->event);
        g_assert_cmpstr(trace->str, ==,
                        "gateway/gw/fake/a/gateway/running=false gateway/gw/fake/b/gateway/running=false north-close");
        g_assert_cmpuint(f->n_stopped, ==, 0);
        north.state = NORTH_DISCONNECTED;
        north.handler->closed(north.userdata);
        g_assert_cmpuint(f->n_stopped, ==, 1);
}

/* A device that does not stop holds the end up for EXIT_FLUSH_USEC only. */
static void test_stop_limit(Fixture *f, gconstpointer unused) {
        usec_t begin;

        run_both(f);
        deaf = true;
        begin = now_usec(CLOCK_MONOTONIC);
        gateway_stop(f->gateway, on_stopped, f);
        while (f->n_stopped == 0) {
                g_assert_cmpuint(now_usec(CLOCK_MONOTONIC), <, begin + 5 * EXIT_FLUSH_USEC);
                g_assert_cmpint(sd_event_run(f->event, USEC_PER_SEC), >=, 0);
        }
        g_assert_false(north.closing);
}

/* ---- a monitor server -------------------------------------------------------------------------------- */

static void north_leave(void) {
        north.leaving = true;
        north.handler->leave(north.userdata);
}

static void assert_reason(Fixture *f, DeviceReason reason, const char *detail) {
        g_assert_cmpint(proxy_view(f->a)->state, ==, PROXY_WAITING);
        g_assert_cmpint(proxy_view(f->a)->state_edge.reason, ==, reason);
        g_assert_cmpstr(proxy_view(f->a)->state_edge.detail, ==, detail);
}

/* The blessing goes: the devices end in order on the live connection, and only then north_left(). Later it comes again. */
static void test_leave(Fixture *f, gconstpointer unused) {
        bool known;

        north.monitor = MONITOR_BLESSED;
        run_both(f);
        north.monitor = MONITOR_WAITING;
        north_leave();
        north.handler->changed(north.userdata);
        g_assert_cmpstr(trace->str, ==, "");
        g_assert_cmpint(proxy_restart(f->a), ==, -ENOTCONN);
        loop_settle(f->event);
        g_assert_cmpstr(trace->str, ==,
                        "gateway/gw/fake/a/gateway/running=false gateway/gw/fake/b/gateway/running=false north-left");
        assert_reason(f, DEVICE_REASON_NOT_BLESSED, "not blessed by the monitor server");
        north_become(NORTH_DISCONNECTED);
        loop_settle(f->event);
        assert_reason(f, DEVICE_REASON_NOT_BLESSED, "not blessed by the monitor server");
        g_assert_cmpint(gateway_get_monitor_state(f->gateway), ==, MONITOR_WAITING);
        g_assert_cmpstr(gateway_get_monitor_blessed(f->gateway), ==, "gw-b");
        g_assert_cmpint(gateway_get_monitor_rank(f->gateway, &known), ==, 3);
        g_assert_true(known);

        north.monitor = MONITOR_BLESSED;
        north.handler->changed(north.userdata);
        assert_reason(f, DEVICE_REASON_NO_EVENT_SERVER, "no event server is active");
        run_both(f);
}

/* Nothing runs: left at once. What is enabled meanwhile does not start. */
static void test_leave_idle(Fixture *f, gconstpointer unused) {
        north.monitor = MONITOR_BLESSED;
        north_become(NORTH_OPERATIONAL);
        g_string_truncate(trace, 0);
        north_leave();
        g_assert_cmpstr(trace->str, ==, "north-left");
        answer_enabled(f);
        loop_settle(f->event);
        g_assert_cmpuint(gateway_get_totals(f->gateway)->running, ==, 0);
}

/* The connection breaks while the devices end: they do, and only then north_left(). */
static void test_leave_lost_server(Fixture *f, gconstpointer unused) {
        run_both(f);
        deaf = true;
        north_leave();
        north_become(NORTH_DISCONNECTED);
        loop_settle(f->event);
        g_assert_cmpstr(trace->str, ==, "");
        deaf = false;
        device_ended((Device *) proxy_get_device(f->a), DEVICE_REASON_NONE, NULL);
        device_ended((Device *) proxy_get_device(f->b), DEVICE_REASON_NONE, NULL);
        loop_settle(f->event);
        g_assert_cmpstr(trace->str, ==, "north-left");
}

static void on_lost(void *userdata) {
        note("lost");
}

/* All is told to stop at once; running false is registered, then the connection closes. */
static void test_lost(Fixture *f, gconstpointer unused) {
        gateway_on_lost(f->gateway, on_lost, NULL);
        run_both(f);
        north.handler->lost(false, north.userdata);
        g_assert_cmpint(proxy_view(f->a)->state, ==, PROXY_STOPPING);
        g_assert_cmpint(proxy_view(f->b)->state, ==, PROXY_STOPPING);
        g_assert_cmpint(gateway_get_state(f->gateway), ==, GATEWAY_STOPPING);
        loop_settle(f->event);
        g_assert_cmpstr(trace->str, ==,
                        "gateway/gw/fake/a/gateway/running=false gateway/gw/fake/b/gateway/running=false north-close");
        north.handler->closed(north.userdata);
        g_assert_true(g_str_has_suffix(trace->str, " lost"));
}

/* Nothing is registered. */
static void test_frozen(Fixture *f, gconstpointer unused) {
        gateway_on_lost(f->gateway, on_lost, NULL);
        run_both(f);
        north_become(NORTH_DISCONNECTED);
        north.handler->lost(true, north.userdata);
        g_assert_cmpint(proxy_view(f->a)->state, ==, PROXY_STOPPING);
        g_assert_cmpint(proxy_view(f->b)->state, ==, PROXY_STOPPING);
        loop_settle(f->event);
        g_assert_cmpstr(trace->str, ==, "north-close");
        north.handler->closed(north.userdata);
        g_assert_cmpstr(trace->str, ==, "north-close lost");
}

/* A device that does not stop holds that up for MONITOR_LOST_USEC only. */
static void test_lost_limit(Fixture *f, gconstpointer unused) {
        usec_t begin = now_usec(CLOCK_MONOTONIC);

        gateway_on_lost(f->gateway, on_lost, NULL);
        run_both(f);
        deaf = true;
        north.handler->lost(false, north.userdata);
        LOOP_UNTIL(f->event, streq(trace->str, "lost"));
        g_assert_cmpuint(now_usec(CLOCK_MONOTONIC), >=, begin + MONITOR_LOST_USEC);
        g_assert_cmpuint(now_usec(CLOCK_MONOTONIC), <, begin + EXIT_FLUSH_USEC);
}

/* Nobody is to know of the loss when we are ending anyway. */
static void test_lost_while_stopping(Fixture *f, gconstpointer unused) {
        gateway_on_lost(f->gateway, on_lost, NULL);
        run_both(f);
        gateway_stop(f->gateway, on_stopped, f);
        north.handler->lost(false, north.userdata);
        loop_settle(f->event);
        north.handler->closed(north.userdata);
        g_assert_cmpuint(f->n_stopped, ==, 1);
        g_assert_null(strstr(trace->str, "lost"));
}

/* ---- the embedded event server ----------------------------------------------------------------------- */

static void assert_storage(Fixture *f, EventStorage storage, const char *detail, GatewayState state) {
        const char *got = NULL;

        g_assert_cmpint(gateway_get_event_storage(f->gateway, &got), ==, storage);
        g_assert_cmpstr(got, ==, detail);
        g_assert_cmpint(gateway_get_state(f->gateway), ==, state);
}

static void test_storage(Fixture *f, gconstpointer unused) {
        gateway_set_ready(f->gateway);
        assert_storage(f, EVENT_STORAGE_NONE, "", GATEWAY_RUNNING);
        embedded = true;
        assert_storage(f, EVENT_STORAGE_WORKING, "", GATEWAY_RUNNING);
        trouble = "disk full";
        north.handler->storage(north.userdata);
        assert_storage(f, EVENT_STORAGE_FAILING, "disk full", GATEWAY_DEGRADED);
        trouble = NULL;
        north.handler->storage(north.userdata);
        assert_storage(f, EVENT_STORAGE_WORKING, "", GATEWAY_RUNNING);
        g_assert_cmpuint(f->n_storage, ==, 2);
}

static void test_export(Fixture *f, gconstpointer unused) {
        Request *r = NULL;

        g_string_truncate(trace, 0);
        g_assert_cmpint(gateway_request_export(f->gateway, 7, on_answer, NULL, &r), ==, -ENOTCONN);
        embedded = true;
        export_answer = -EINVAL;
        g_assert_cmpint(gateway_request_export(f->gateway, 7, on_answer, NULL, &r), ==, -EINVAL);
        export_answer = 0;
        g_assert_cmpint(gateway_request_export(f->gateway, 7, on_answer, NULL, &r), ==, 0);
        g_assert_cmpint(gateway_request_export(f->gateway, 8, on_answer, NULL, &r), ==, -EBUSY);
        exported(-ENOSPC, "full", exported_userdata);
        g_assert_cmpstr(trace->str, ==, "export:7 answer:-28full");

        /* Nobody waits for it, yet it is under way. */
        g_string_truncate(trace, 0);
        g_assert_cmpint(gateway_request_export(f->gateway, 7, on_answer, NULL, &r), ==, 0);
        g_assert_null(request_cancel(r));
        g_assert_cmpint(gateway_request_export(f->gateway, 8, on_answer, NULL, &r), ==, -EBUSY);
        exported(0, NULL, exported_userdata);
        g_assert_cmpstr(trace->str, ==, "export:7");
        g_assert_cmpint(gateway_request_export(f->gateway, 8, on_answer, NULL, &r), ==, 0);
}

/* The server ends without a word about it. */
static void test_export_at_the_end(Fixture *f, gconstpointer unused) {
        Request *r = NULL;

        embedded = true;
        g_assert_cmpint(gateway_request_export(f->gateway, 7, on_answer, NULL, &r), ==, 0);
        gateway_stop(f->gateway, on_stopped, f);
        g_assert_cmpint(gateway_request_export(f->gateway, 7, on_answer, NULL, &r), ==, -ESHUTDOWN);
        g_string_truncate(trace, 0);
        north.handler->closed(north.userdata);
        g_assert_cmpstr(trace->str, ==, "answer:-108");
        g_assert_cmpuint(f->n_stopped, ==, 1);
}

static void test_congested(Fixture *f, gconstpointer unused) {
        run_both(f);
        north.handler->congested(true, north.userdata);
        north.handler->congested(false, north.userdata);
        g_assert_cmpstr(trace->str, ==, "flow:0 flow:0 flow:1 flow:1");
}

static void test_find(Fixture *f, gconstpointer unused) {
        Proxy *p = NULL;

        g_assert_cmpint(gateway_find(f->gateway, "fake", "c", &p), ==, -ENXIO);
        g_assert_cmpint(gateway_find(f->gateway, "other", "a", &p), ==, -ENXIO);
        g_assert_null(p);
        g_assert_cmpuint(gateway_n_proxies(f->gateway), ==, 2);
        g_assert_true(gateway_get_proxy(f->gateway, 1) == f->b);
        g_assert_cmpstr(gateway_get_event_server(f->gateway), ==, "tcp:test:1");
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
#define ADD_DATA(name, func, data) g_test_add("/gateway/" name, Fixture, data, set_up, func, tear_down)
#define ADD(name, func) ADD_DATA(name, func, "require operational")
        ADD("require-operational", test_require_operational);
        ADD_DATA("any-status", test_any_status, NULL);
        ADD("totals", test_totals);
        ADD("enable", test_enable);
        ADD("stop", test_stop);
        ADD("stop/limit", test_stop_limit);
        ADD("leave", test_leave);
        ADD("leave/idle", test_leave_idle);
        ADD("leave/lost-server", test_leave_lost_server);
        ADD("lost", test_lost);
        ADD("lost/frozen", test_frozen);
        ADD("lost/limit", test_lost_limit);
        ADD("lost/while-stopping", test_lost_while_stopping);
        ADD("storage", test_storage);
        ADD("export", test_export);
        ADD("export/end", test_export_at_the_end);
        ADD("congested", test_congested);
        ADD("find", test_find);
        return g_test_run();
}
