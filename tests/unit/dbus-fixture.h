/* SPDX-License-Identifier: Apache-2.0 */
/* What test-dbus.c stands on: fakes of gateway, proxies and device types, the objects on one end of a
 * socket pair, a client on the other. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include <systemd/sd-bus.h>
#include <systemd/sd-id128.h>

#include <config.h>

#include "dbus/bus-error.h"
#include "dbus/bus-internal.h"
#include "tests/unit/loop.h"

#define ROOT BUS_ROOT_PATH
#define PLC BUS_DEVICE_ROOT "/fake_5fmaster/plc_2d1"
#define BARE BUS_DEVICE_ROOT "/fake_5fbare/_31st"
#define MASTER BUS_DEVICE_INTERFACE ".FakeMaster"
#define PROPERTIES "org.freedesktop.DBus.Properties"

/* ---- device types ------------------------------------------------------------------------------------ */

typedef struct FakeUnit {
        uint64_t id;
        const char *status;
        bool silent;
} FakeUnit;

typedef struct FakeDevice {
        Device device;
        uint64_t timeouts, round_trip;
        uint64_t codes[STATUS_CODES_MAX];
        bool busy;
        const char *firmware;
        FakeUnit units[2];
} FakeDevice;

static char *fake_endpoint(const void *conf) {
        return g_strdup_printf("tcp:%s", (const char *) conf);
}

static size_t fake_n_parts(const Device *d) {
        return 2;
}

static const StatusField unit_fields[] = {
        { "Id", .kind = STATUS_GAUGE, .offset = offsetof(FakeUnit, id) },
        { "Status", .kind = STATUS_STRING, .offset = offsetof(FakeUnit, status) },
        { "Silent", .kind = STATUS_BOOL, .offset = offsetof(FakeUnit, silent) },
        {},
};

static const void *fake_part(const Device *d, size_t i) {
        return &((const FakeDevice *) d)->units[i];
}

static uint64_t fake_half(const void *at) {
        return *(const uint64_t *) at / 2;
}

static const StatusField fake_status[] = {
        { "Endpoint", .kind = STATUS_STRING, .constant = fake_endpoint },
        { "Timeouts", .kind = STATUS_COUNTER, .offset = offsetof(FakeDevice, timeouts) },
        { "LastRoundTripUSec", .kind = STATUS_USEC, .offset = offsetof(FakeDevice, round_trip) },
        { "HalfUSec", .kind = STATUS_USEC, .offset = offsetof(FakeDevice, round_trip), .compute = fake_half },
        { "Codes", .kind = STATUS_CODES, .offset = offsetof(FakeDevice, codes) },
        { "Busy", .kind = STATUS_BOOL, .offset = offsetof(FakeDevice, busy) },
        { "Firmware", .kind = STATUS_STRING, .offset = offsetof(FakeDevice, firmware) },
        {},
};

static void fake_points(const void *conf, DevicePointCallback callback, void *userdata) {
        static const char *const in[] = { "gateway", "read", "word", NULL };
        static const char *const out[] = { "system", "write", "word", NULL };
        static const char *const answer[] = { "gateway", "write", NULL };
        static const char *const enable[] = { "system", "enable", NULL };
        static const DevicePoint points[] = {
                { DEVICE_POINT_VALUE, "1/word", in, out, answer },
                { DEVICE_POINT_ENABLE, "1", NULL, enable, NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(points); i++)
                callback(&points[i], userdata);
}

/* How many devices run. */
static void fake_hardware(JsonWriter *w, const Device *const *runs, size_t n) {
        json_uint(w, n);
}

static const DeviceType fake_master_device_type = {
        .name = "fake_master",
        .interface = "FakeMaster",
        .device_size = sizeof(FakeDevice),
        .points = fake_points,
        .hardware = fake_hardware,
        .status = fake_status,
        .parts_name = "RemoteDevices",
        .n_parts = fake_n_parts,
        .part = fake_part,
        .part_fields = unit_fields,
};

static const DeviceType fake_bare_device_type = { .name = "fake_bare", .interface = "FakeBare" };

const DeviceType *const device_types[] = { &fake_master_device_type, &fake_bare_device_type, NULL };

/* ---- gateway ----------------------------------------------------------------------------------------- */

struct DeviceHost {
        ProxyView view;
        Device *device;
        int restart, scan; /* what proxy_restart() and proxy_scan() answer */
        DeviceScanOptions scan_options; /* of the last one */
        int trace; /* the same of proxy_trace(), whose reader gets "last" or "live" */
};

struct Request {
        RequestCallback callback;
        void *userdata;
        Proxy *proxy; /* NULL: an export */
        bool enable;
        int fd;
};

struct Gateway {
        Config config;
        GatewayTotals totals;
        GPtrArray *proxies;
        const GatewayObserver *observer;
        void *userdata;
        int refuse; /* what proxy_request_enable() answers */
        GPtrArray *requests;
        unsigned n_cancelled;
        EventStorage storage;
        MonitorState monitor;
};

static const char *const proxy_states[] = { "disabled", "waiting",  "starting",
                                            "running",  "stopping", "failed" };
DEFINE_STRING_TABLE(proxy_state, ProxyState, proxy_states);
static const char *const gateway_states[] = { "starting", "running", "degraded", "stopping" };
DEFINE_STRING_TABLE(gateway_state, GatewayState, gateway_states);
static const char *const north_states[] = { "disconnected", "connecting",  "standby",
                                            "starting",     "operational", "stopping" };
DEFINE_STRING_TABLE(north_state, NorthState, north_states);
static const char *const monitor_states[] = { "none", "connecting", "waiting", "blessed" };
DEFINE_STRING_TABLE(monitor_state, MonitorState, monitor_states);
static const char *const event_storages[] = { "none", "working", "failing" };
DEFINE_STRING_TABLE(event_storage, EventStorage, event_storages);

const ProxyView *proxy_view(const Proxy *p) {
        return &p->view;
}
const Device *proxy_get_device(const Proxy *p) {
        return p->device;
}
EventType proxy_event_prefix(const Proxy *p) {
        static const Subtype subtypes[] = { SUBTYPE("gateway"), SUBTYPE("a\"b"), SUBTYPE("x") };

        return (EventType) { subtypes, ELEMENTSOF(subtypes) - 1 };
}
int proxy_restart(Proxy *p) {
        return p->restart;
}
int proxy_scan(Proxy *p, const DeviceScanOptions *options, int *ret_reader) {
        p->scan_options = *options;
        if (p->scan < 0)
                return p->scan;
        *ret_reader = open("/dev/null", O_RDONLY | O_CLOEXEC);
        return 0;
}
int proxy_trace(Proxy *p, bool last, int *ret_fd) {
        const char *text = last ? "last" : "live";
        int fds[2];

        if (p->trace < 0)
                return p->trace;
        g_assert_cmpint(pipe2(fds, O_CLOEXEC), ==, 0);
        g_assert_cmpint(write(fds[1], text, 4), ==, 4);
        safe_close(fds[1]);
        *ret_fd = fds[0];
        return 0;
}
const Config *gateway_get_config(const Gateway *g) {
        return &g->config;
}
GatewayState gateway_get_state(const Gateway *g) {
        return GATEWAY_DEGRADED;
}
const GatewayTotals *gateway_get_totals(const Gateway *g) {
        return &g->totals;
}
NorthState gateway_get_north_state(const Gateway *g) {
        return NORTH_OPERATIONAL;
}
MonitorState gateway_get_monitor_state(const Gateway *g) {
        return g->monitor;
}
const char *gateway_get_monitor_blessed(const Gateway *g) {
        return g->monitor == MONITOR_NONE ? "" : "gw-b";
}
int64_t gateway_get_monitor_rank(const Gateway *g, bool *ret_known) {
        *ret_known = g->monitor != MONITOR_NONE;
        return *ret_known ? -2 : 0;
}
const char *gateway_get_event_server(const Gateway *g) {
        return "tcp:127.0.0.1:23012";
}
EventStorage gateway_get_event_storage(const Gateway *g, const char **ret_detail) {
        *ret_detail = g->storage == EVENT_STORAGE_FAILING ? "disk full" : "";
        return g->storage;
}

uint64_t gateway_get_events_lost(const Gateway *g) {
        return 0;
}
size_t gateway_n_proxies(const Gateway *g) {
        return g->proxies->len;
}
Proxy *gateway_get_proxy(const Gateway *g, size_t i) {
        return g->proxies->pdata[i];
}
int gateway_find(const Gateway *g, const char *type, const char *name, Proxy **ret) {
        for (unsigned i = 0; i < g->proxies->len; i++) {
                Proxy *p = g->proxies->pdata[i];

                if (streq(p->view.config->type->name, type) && streq(p->view.config->name, name)) {
                        *ret = p;
                        return 0;
                }
        }
        return -ENXIO;
}
void gateway_add_observer(Gateway *g, const GatewayObserver *observer, void *userdata) {
        g->observer = observer;
        g->userdata = userdata;
        for (unsigned i = 0; i < g->proxies->len; i++)
                observer->proxy_added(g->proxies->pdata[i], userdata);
}
void gateway_remove_observer(Gateway *g, const GatewayObserver *observer, void *userdata) {
        g->observer = NULL;
}

static Gateway gateway;

int proxy_request_enable(Proxy *p, bool enable, RequestCallback callback, void *userdata, Request **ret) {
        Request *r;

        if (gateway.refuse < 0)
                return gateway.refuse;
        r = g_new0(Request, 1);
        *r = (Request) { .callback = callback, .userdata = userdata, .proxy = p, .enable = enable };
        g_ptr_array_add(gateway.requests, r);
        *ret = r;
        return 0;
}
int gateway_request_export(Gateway *g, int fd, RequestCallback callback, void *userdata, Request **ret) {
        Request *r;

        if (g->refuse < 0)
                return g->refuse;
        r = g_new0(Request, 1);
        *r = (Request) { .callback = callback, .userdata = userdata, .fd = fd };
        g_ptr_array_add(g->requests, r);
        *ret = r;
        return 0;
}
Request *request_cancel(Request *r) {
        g_ptr_array_remove(gateway.requests, r);
        gateway.n_cancelled++;
        g_free(r);
        return NULL;
}

static void answer_request_with(int error, const char *detail) {
        g_autofree Request *r = g_ptr_array_steal_index(gateway.requests, 0);

        r->callback(error, detail, r->userdata);
}

static void answer_request(int error) {
        answer_request_with(error, NULL);
}

/* ---- a bus on one end, a client on the other --------------------------------------------------------- */

typedef struct Fixture {
        sd_event *event;
        sd_bus *client;
        Bus *bus;
        Proxy plc, bare;
        FakeDevice device;
        DeviceConfig plc_config, bare_config;
        bool ready;
        GPtrArray *signals; /* char *: `plc_2d1 StateChanged running failed lost` */
} Fixture;

static void on_ready(void *userdata) {
        ((Fixture *) userdata)->ready = true;
}

static void on_failed(int error, void *userdata) {
        g_assert_not_reached();
}

static const BusHandler handler = { .ready = on_ready, .failed = on_failed };

static void append_strings(sd_bus_message *m, GString *line) {
        const char *text;

        while (sd_bus_message_read(m, "s", &text) > 0)
                g_string_append_printf(line, " %s", text);
}

static int on_signal(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Fixture *f = userdata;
        g_autoptr(GString) line = g_string_new(strrchr(sd_bus_message_get_path(m), '/') + 1);

        g_string_append_printf(line, " %s", sd_bus_message_get_member(m));
        if (sd_bus_message_is_signal(m, PROPERTIES, "PropertiesChanged")) {
                const char *name;

                g_assert_cmpint(sd_bus_message_skip(m, "s"), >, 0);
                g_assert_cmpint(sd_bus_message_enter_container(m, 'a', "{sv}"), >, 0);
                while (sd_bus_message_enter_container(m, 'e', "sv") > 0) {
                        g_assert_cmpint(sd_bus_message_read(m, "s", &name), >, 0);
                        g_string_append_printf(line, " %s", name);
                        g_assert_cmpint(sd_bus_message_skip(m, "v"), >, 0);
                        g_assert_cmpint(sd_bus_message_exit_container(m), >, 0);
                }
        } else if (sd_bus_message_is_signal(m, BUS_DEVICE_INTERFACE, NULL))
                append_strings(m, line);
        else {
                const char *path;

                g_assert_cmpint(sd_bus_message_read(m, "o", &path), >, 0);
                g_string_append_printf(line, " %s", strrchr(path, '/') + 1);
        }
        g_ptr_array_add(f->signals, g_strdup(line->str));
        return 0;
}

static sd_bus *connect_end(Fixture *f, int fd, bool server) {
        sd_bus *bus = NULL;

        g_assert_cmpint(sd_bus_new(&bus), >=, 0);
        g_assert_cmpint(sd_bus_set_fd(bus, fd, fd), >=, 0);
        if (server)
                g_assert_cmpint(sd_bus_set_server(bus, true,
                                                  SD_ID128_MAKE(01, 02, 03, 04, 05, 06, 07, 08, 09, 0a, 0b,
                                                                0c, 0d, 0e, 0f, 10)),
                                >=, 0);
        g_assert_cmpint(sd_bus_start(bus), >=, 0);
        g_assert_cmpint(sd_bus_attach_event(bus, f->event, SD_EVENT_PRIORITY_NORMAL), >=, 0);
        return bus;
}

/* The bus waits for a socket that never comes; in its place it gets the one end. */
static void connect_pair(Fixture *f) {
        int fds[2];

        g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), ==, 0);
        sd_bus_detach_event(f->bus->bus);
        sd_bus_close_unref(f->bus->bus);
        f->bus->bus = connect_end(f, fds[0], true);
        f->client = connect_end(f, fds[1], false);
        g_assert_cmpint(bus_objects_serve(f->bus, f->bus->bus), >=, 0);
        g_assert_cmpint(sd_bus_add_match(f->client, NULL, "type='signal',path_namespace='" ROOT "'",
                                         on_signal, f),
                        >=, 0);
        LOOP_UNTIL(f->event, sd_bus_is_ready(f->client) > 0 && sd_bus_is_ready(f->bus->bus) > 0);
}

static Proxy make_proxy(const DeviceConfig *config) {
        return (Proxy) {
                .view = {
                        .config = config,
                        .enabled = true,
                        .enabled_known = true,
                        .state = PROXY_WAITING,
                        .state_edge = { DEVICE_REASON_NO_EVENT_SERVER, (char *) "no server", 1000, 2000 },
                        .link_edge = { DEVICE_REASON_NONE, (char *) "", 1001, 2001 },
                },
        };
}

static void setup(Fixture *f, gconstpointer data) {
        f->event = loop_new();
        f->signals = g_ptr_array_new_with_free_func(g_free);
        f->plc_config = (DeviceConfig) { &fake_master_device_type, "plc-1", "the pump", "10.0.0.1:502",
                                        NULL };
        f->bare_config = (DeviceConfig) { &fake_bare_device_type, "1st", NULL, NULL, NULL };
        f->plc = make_proxy(&f->plc_config);
        f->bare = make_proxy(&f->bare_config);
        f->device = (FakeDevice) {
                .timeouts = UINT64_MAX,
                .round_trip = 7,
                .codes = { [2] = 1, [11] = UINT64_MAX },
                .busy = true,
                .units = { { 1, "CONNECTED", false }, { 2, NULL, true } },
        };
        gateway = (Gateway) {
                .config = { .file = "/etc/gatewayd/gatewayd.yaml", .name = "gw" },
                .totals = { 2, 2, 1, 0, 1 },
                .proxies = g_ptr_array_new(),
                .requests = g_ptr_array_new(),
                .storage = EVENT_STORAGE_WORKING,
        };
        g_ptr_array_add(gateway.proxies, &f->plc);
        g_ptr_array_add(gateway.proxies, &f->bare);
        g_assert_cmpint(bus_new(f->event, &gateway, "unix:path=/nonexistent/bus", &handler, f, &f->bus), >=,
                        0);
        g_assert_false(f->ready); /* not inside the call */
        LOOP_UNTIL(f->event, f->ready);
        connect_pair(f);
}

static void teardown(Fixture *f, gconstpointer data) {
        bus_free(f->bus);
        g_assert_null(gateway.observer);
        g_assert_cmpuint(gateway.requests->len, ==, 0);
        sd_bus_detach_event(f->client);
        sd_bus_close_unref(f->client);
        g_ptr_array_unref(gateway.requests);
        g_ptr_array_unref(gateway.proxies);
        g_ptr_array_unref(f->signals);
        sd_event_unref(f->event);
}

static int on_reply(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        *(sd_bus_message **) userdata = sd_bus_message_ref(m);
        return 0;
}

static void send_call(Fixture *f, sd_bus_message **ret, const char *path, const char *interface,
                      const char *member, const char *types, ...) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        va_list ap;

        *ret = NULL;
        g_assert_cmpint(sd_bus_message_new_method_call(f->client, &m, NULL, path, interface, member), >=, 0);
        va_start(ap, types);
        g_assert_cmpint(sd_bus_message_appendv(m, types, ap), >=, 0);
        va_end(ap);
        g_assert_cmpint(sd_bus_call_async(f->client, NULL, m, on_reply, ret, 0), >=, 0);
}

#define CALL(f, path, interface, member, ...)                                \
        ({                                                                   \
                sd_bus_message *_reply;                                      \
                send_call(f, &_reply, path, interface, member, __VA_ARGS__); \
                LOOP_UNTIL((f)->event, _reply);                              \
                _reply;                                                      \
        })

static void assert_error(sd_bus_message *reply, const char *name) {
        g_assert_true(sd_bus_message_is_method_error(reply, NULL));
        g_assert_cmpstr(sd_bus_message_get_error(reply)->name, ==, name);
        g_assert_nonnull(sd_bus_message_get_error(reply)->message);
        sd_bus_message_unref(reply);
}

static void assert_empty(sd_bus_message *reply) {
        g_assert_false(sd_bus_message_is_method_error(reply, NULL));
        g_assert_cmpstr(sd_bus_message_get_signature(reply, true), ==, "");
        sd_bus_message_unref(reply);
}

static void assert_signals(Fixture *f, const char *const *lines) {
        LOOP_UNTIL(f->event, f->signals->len >= g_strv_length((char **) lines));
        for (unsigned i = 0; lines[i]; i++)
                g_assert_cmpstr(f->signals->pdata[i], ==, lines[i]);
        g_assert_cmpuint(f->signals->len, ==, g_strv_length((char **) lines));
        g_ptr_array_set_size(f->signals, 0);
}
#define ASSERT_SIGNALS(f, ...) assert_signals(f, (const char *const[]) { __VA_ARGS__, NULL })

/* The name is owned, everything announced. */
static void begin(Fixture *f) {
        bus_begin(f->bus);
        LOOP_UNTIL(f->event, f->signals->len == 2);
        g_ptr_array_set_size(f->signals, 0);
}
