/* SPDX-License-Identifier: Apache-2.0 */
/* A proxy between fakes: a device type, an engine and a gateway that note what is asked of them, and the ways into each state.
 * One a program. Main thread. */
#pragma once

#include <errno.h>
#include <glib.h>
#include <signal.h>

#include "base/bounds.h"
#include "daemon/engine.h"
#include "daemon/proxy-internal.h"
#include "tests/unit/trace.h"

/* ---- a device type that does as it is told ----------------------------------------------------------- */

typedef struct Fake {
        Device device;
        sd_event_source *ending;
} Fake;

static struct {
        int start_error, scan_error;
        bool deaf; /* does not answer stop() */
        int reconfigure;
        unsigned n_events;
        GString *events;
} fake;

static _unused_ int on_ending(sd_event_source *s, void *userdata) {
        device_ended(userdata, DEVICE_REASON_NONE, NULL);
        return 0;
}

static _unused_ int fake_start(Device *d) {
        note("start");
        return fake.start_error;
}

static _unused_ void fake_stop(Device *d) {
        Fake *f = (Fake *) d;

        note("stop");
        if (fake.deaf || f->ending)
                return;
        g_assert_cmpint(sd_event_add_defer(device_get_event(d), &f->ending, on_ending, d), >=, 0);
}

static _unused_ void fake_done(Device *d) {
        Fake *f = (Fake *) d;

        note("done");
        sd_event_source_disable_unref(f->ending);
}

static _unused_ void fake_event(Device *d, const Event *e) {
        g_autofree char *type = event_type_format(e->type);

        fake.n_events++;
        note("event:%s", type);
}

static _unused_ void fake_flow(Device *d, bool open) {
        note("flow:%s", open ? "open" : "shut");
}

static _unused_ int fake_reconfigure(Device *d, const void *conf) {
        note("reconfigure");
        return fake.reconfigure;
}

static _unused_ int fake_scan_begin(Device *d, const DeviceScanOptions *options) {
        note("scan:%u-%u", options->from, options->to);
        return fake.scan_error;
}

static _unused_ void fake_scan_done(Device *d) {
        note("scan-done");
}

static const DeviceType fake_type = {
        .name = "fake",
        .device_size = sizeof(Fake),
        .start = fake_start,
        .stop = fake_stop,
        .done = fake_done,
        .event = fake_event,
        .flow = fake_flow,
        .reconfigure = fake_reconfigure,
        .scan_begin = fake_scan_begin,
        .scan_done = fake_scan_done,
        .scan_size = sizeof(Fake),
};

/* ---- the gateway and the engine as the proxy sees them ----------------------------------------------- */

struct Gateway {
        sd_event *event;
        Config config;
        bool operational;
        MonitorState monitor;
        FdStore *store;
        ProxyShare share;
        bool busy;
        unsigned n_idle;
};

static Gateway gateway;
static DeviceConfig first_config, second_config, bad_config;
static bool congested;
static Engine *const engine = (Engine *) &congested; /* never looked into */

sd_event *gateway_get_event(const Gateway *g) {
        return g->event;
}
const Config *gateway_get_config(const Gateway *g) {
        return &g->config;
}
Resolver *gateway_get_resolver(const Gateway *g) {
        return NULL;
}
const ListenFds *gateway_get_listen_fds(const Gateway *g) {
        return NULL;
}
FdStore *gateway_get_fd_store(const Gateway *g) {
        return g->store;
}
DeviceReason gateway_get_obstacle(const Gateway *g, const char **ret_detail) {
        return g->operational ? DEVICE_REASON_NONE : DEVICE_REASON_NO_EVENT_SERVER;
}
MonitorState gateway_get_monitor_state(const Gateway *g) {
        return g->monitor;
}
void gateway_proxy_state(Proxy *p, ProxyState old) {
        note("[%s]", proxy_state_to_string(proxy_view(p)->state));
}
void gateway_proxy_link(Proxy *p, DeviceLink old) {
        note("link:%s", device_link_to_string(proxy_view(p)->link));
}
void gateway_proxy_changed(Proxy *p, ProxyField what) {
}
void gateway_proxy_share(Proxy *p, const ProxyShare *old, const ProxyShare *now) {
        gateway.share = *now;
}
void gateway_proxy_busy(Proxy *p, bool busy) {
        gateway.busy = busy;
}
void gateway_proxy_idle(Proxy *p) {
        gateway.n_idle++;
}
void engine_register(Engine *e, EventType prefix, const char *const *subtypes, const Timestamp *source, JsonSpan payload) {
        g_assert_nonnull(source);
        note("%s=%.*s", subtypes[0], (int) payload.size, payload.text);
}
bool engine_is_congested(const Engine *e) {
        return congested;
}
EventRequest *event_request_cancel(EventRequest *r) {
        return NULL;
}
int engine_query_latest(Engine *e, const EventType *types, size_t n, EventRequestCallback callback, void *userdata,
                        EventRequest **ret) {
        return -ENOTCONN;
}

/* ---- driving ----------------------------------------------------------------------------------------- */

static Proxy *proxy;

static _unused_ void turn(void) {
        for (unsigned i = 0; i < 100; i++) {
                int r = sd_event_run(gateway.event, 0);

                g_assert_cmpint(r, >=, 0);
                if (r == 0)
                        return;
        }
        g_assert_not_reached(); /* the machine never comes to rest */
}

static _unused_ void run_until(bool (*condition)(void), usec_t limit) {
        usec_t end = now_usec(CLOCK_MONOTONIC) + limit;

        while (!condition()) {
                g_assert_cmpuint(now_usec(CLOCK_MONOTONIC), <, end);
                g_assert_cmpint(sd_event_run(gateway.event, 10 * USEC_PER_MSEC), >=, 0);
        }
}

static _unused_ Event make_event(const Subtype *type, size_t n, const char *json) {
        return (Event) {
                .type = { type, n },
                .payload = { .kind = PAYLOAD_JSON, .json = { json, strlen(json) } },
        };
}

static _unused_ void notify_enable(const char *json) {
        Subtype type[] = { SUBTYPE("enable") };
        Event e = make_event(type, 1, json);

        proxy_event(proxy, &e);
}

static _unused_ void notify_other(const char *name) {
        Subtype type[] = { { name, strlen(name) } };
        Event e = make_event(type, 1, "1");

        proxy_event(proxy, &e);
}

static _unused_ void answer_enable(bool enable) {
        Subtype type[] = { SUBTYPE("enable") };
        Event e = make_event(type, 1, enable ? "true" : "false");

        proxy_answer_enable(proxy, &e);
}

static _unused_ void attach(void) {
        gateway.operational = true;
        proxy_attach(proxy, engine);
}

static _unused_ void detach(void) {
        gateway.operational = false;
        proxy_detach(proxy);
}

static _unused_ void setup(ConfForm form) {
        trace = g_string_new(NULL);
        memset(&fake, 0, sizeof(fake));
        fake.reconfigure = -EOPNOTSUPP;
        congested = false;
        memset(&gateway, 0, sizeof(gateway));
        gateway.config = (Config) { .form = form, .layout = LAYOUT_NAMED, .name = "test" };
        first_config = (DeviceConfig) { .type = &fake_type, .name = "d", .conf = &first_config };
        second_config = (DeviceConfig) { .type = &fake_type, .name = "d", .conf = &second_config };
        bad_config = (DeviceConfig) { .type = &fake_type, .name = "d", .conf = &bad_config, .error = "/devices/0: bad" };
        g_assert_cmpint(sd_event_new(&gateway.event), >=, 0);
        g_assert_cmpint(proxy_new(&gateway, &first_config, &proxy), >=, 0);
}

static _unused_ void teardown(void) {
        if (!proxy_is_idle(proxy)) {
                fake.deaf = false;
                proxy_exit(proxy);
                if (proxy->phase == RUN_STOPPING && !proxy->ended)
                        device_ended(proxy->device, DEVICE_REASON_NONE, NULL);
                turn();
        }
        g_assert_true(proxy_is_idle(proxy));
        proxy_free(proxy);
        sd_event_unref(gateway.event);
        g_string_free(trace, TRUE);
}

/* ---- states ------------------------------------------------------------------------------------------ */

typedef enum From {
        FROM_NEW,          /* no engine yet, enable never known */
        FROM_DISABLED,     /* attached, known disabled */
        FROM_WAITING_GONE, /* last known enabled, no engine */
        FROM_WAITING_ASK,  /* last known enabled, attached, enable query unanswered */
        FROM_STARTING,
        FROM_RUNNING,
        FROM_STOPPING,     /* disabled while running, the device has not ended yet */
        FROM_FAILED_RETRY, /* ended by itself, will be tried again */
        FROM_FAILED_FINAL, /* ended by itself with reason config */
        FROM_CONFIG_ERROR, /* hat form: the configuration of this device is wrong */
        _FROM_MAX,
} From;

static _unused_ void reach(From from) {
        if (from == FROM_NEW)
                return;
        attach();
        switch (from) {
        case FROM_DISABLED:
                proxy_answer_enable(proxy, NULL);
                break;
        case FROM_WAITING_GONE:
        case FROM_WAITING_ASK:
                answer_enable(true);
                detach();
                if (from == FROM_WAITING_ASK)
                        attach();
                break;
        case FROM_CONFIG_ERROR:
                proxy_set_config(proxy, &bad_config);
                break;
        default:
                answer_enable(true);
                turn();
                if (from == FROM_STARTING)
                        break;
                device_started(proxy->device);
                if (from == FROM_STOPPING) {
                        fake.deaf = true;
                        notify_enable("false");
                } else if (from == FROM_FAILED_RETRY)
                        device_ended(proxy->device, DEVICE_REASON_LOST, "lost");
                else if (from == FROM_FAILED_FINAL)
                        device_ended(proxy->device, DEVICE_REASON_CONFIG, "wrong");
        }
        turn();
        g_string_truncate(trace, 0);
}
