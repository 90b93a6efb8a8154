/* SPDX-License-Identifier: Apache-2.0 */
/* Device type modbus_master (spec modbus.md 4 and 5): keeps one connection or serial line, gives it to the remote
 * devices behind it, and takes events to them. What happens on the line is the bus's, what a remote
 * device does is modbus-unit.c's. Loop thread. */

#include <errno.h>
#include <stdio.h>

#include "devices/modbus/modbus-conf.h"
#include "devices/modbus/modbus-load.h"
#include "devices/modbus/modbus-points.h"
#include "devices/modbus/modbus-scan.h"
#include "devices/modbus/modbus-trace.h"
#include "devices/modbus/modbus-write.h"
#include "link/address.h"
#include "link/path-watch.h"

/* A request is chosen so long before the silence after an answer is over: while it waits no write overtakes it. */
#define CHOOSE_AHEAD_USEC (1 * USEC_PER_MSEC)

typedef enum MasterState {
        MASTER_QUERYING,   /* the enable events have been asked for */
        MASTER_WAITING,    /* for the next connection attempt */
        MASTER_CONNECTING,
        MASTER_CONNECTED,
        MASTER_STOPPED,    /* only the end is still to be told */
} MasterState;

typedef enum MasterStatus {
        MASTER_STATUS_DISCONNECTED,
        MASTER_STATUS_CONNECTING,
        MASTER_STATUS_CONNECTED,
        _MASTER_STATUS_INVALID = -EINVAL, /* nothing was registered yet */
} MasterStatus;

typedef struct ModbusMaster {
        Device device;
        MasterState state;
        MasterStatus status;
        ModbusLine line;
        ModbusWrites writes;
        ModbusUnit *units;
        size_t n_units;

        ModbusLink *link;       /* while connecting and connected */
        PathWatch *watch;       /* serial: while the port is not open */
        bool returned;          /* … it came back since the last attempt began */
        Deadline *timer;        /* next attempt; stopped: the end */
        Deadline *bus_timer;
        usec_t attempt_at;      /* when the last attempt began; 0: none yet */
        usec_t connected_at;
        bool at_once;           /* the last attempt followed a loss without a pause */

        /* for the status table */
        char *endpoint;
        ModbusLineCounters counters;
        uint64_t connections;
} ModbusMaster;

static const ModbusConnectionConf *master_connection(const ModbusMaster *m) {
        return &((const ModbusMasterConf *) m->device.conf)->connection;
}

/* ---- what is told ------------------------------------------------------------------------------------ */

static void master_set_status(ModbusMaster *m, MasterStatus status) {
        static const JsonSpan payloads[] = {
                [MASTER_STATUS_DISCONNECTED] = JSON_LITERAL("\"DISCONNECTED\""),
                [MASTER_STATUS_CONNECTING] = JSON_LITERAL("\"CONNECTING\""),
                [MASTER_STATUS_CONNECTED] = JSON_LITERAL("\"CONNECTED\""),
        };

        if (m->status == status)
                return;
        m->status = status;
        device_register(&m->device, (const char *const[]) { "status", NULL }, NULL, payloads[status]);
}

/* A connected device's link: up, or partial when a polled remote device does not answer. */
static void master_update_link(Device *d) {
        ModbusMaster *m = (ModbusMaster *) d;
        g_autofree char *detail = NULL;
        const char *first = NULL, *echo;
        size_t n = 0;

        if (m->state != MASTER_CONNECTED)
                return;

        echo = m->link->hears_itself ? "; the line echoes what is sent" : "";
        for (size_t i = 0; i < m->n_units; i++)
                if (m->units[i].silent) {
                        first = first ?: m->units[i].id_text;
                        n++;
                }

        if (n == 0) {
                device_set_link(d, DEVICE_LINK_UP, DEVICE_REASON_NONE, NULL);
                return;
        }
        if (n == 1)
                detail = g_strdup_printf("remote device %s does not answer%s", first, echo);
        else
                detail = g_strdup_printf("%zu remote devices do not answer, the first is %s%s", n, first,
                                         echo);
        device_set_link(d, DEVICE_LINK_PARTIAL, DEVICE_REASON_TIMEOUT, detail);
}

static bool master_is_serial(const ModbusMaster *m) {
        return master_connection(m)->transport.kind == MODBUS_TRANSPORT_SERIAL;
}

static void master_tell_down(ModbusMaster *m, DeviceReason reason, const char *detail) {
        tap_closed(device_tap(&m->device), /* failed= */ true, now_usec(CLOCK_MONOTONIC), 0, detail);
        device_set_link(&m->device, DEVICE_LINK_DOWN, reason, detail);
}

static void master_set_port_down(ModbusMaster *m, int error, bool was_open) {
        g_autofree char *why = was_open ? g_strdup(g_strerror(-error)) : serial_open_error(m->endpoint, error);
        g_autofree char *detail = g_strdup_printf(was_open ? "%s is lost: %s" : "cannot open %s: %s",
                                                  m->endpoint, why);

        master_tell_down(m, was_open ? DEVICE_REASON_LOST : device_reason_from_errno(error), detail);
}

static void master_set_link_down(ModbusMaster *m, int error, bool was_connected) {
        g_autofree char *detail = NULL;

        if (master_is_serial(m) && error != -EBADMSG) {
                master_set_port_down(m, error, was_connected);
                return;
        }
        if (!was_connected)
                detail = g_strdup_printf("cannot connect to %s: %s", m->endpoint,
                                         error == -ENXIO ? "no such host" : g_strerror(-error));
        else if (error == 0)
                detail = g_strdup_printf("%s closed the connection", m->endpoint);
        else if (error == -EBADMSG)
                detail = g_strdup_printf("%s sent what is not Modbus", m->endpoint);
        else
                detail = g_strdup_printf("connection to %s lost: %s", m->endpoint, g_strerror(-error));
        master_tell_down(m, device_reason_from_errno(error), detail);
}

/* ---- connection -------------------------------------------------------------------------------------- */

static void master_on_connected(void *userdata);
static void master_on_closed(int error, void *userdata);

static const ModbusLinkHandler master_link_handler = {
        .connected = master_on_connected,
        .closed = master_on_closed,
};

/* The next attempt after this pause, but never sooner after the last one than D25 wants. */
static void master_schedule(ModbusMaster *m, usec_t pause) {
        usec_t now = now_usec(CLOCK_MONOTONIC), at = usec_add(now, pause);

        if (m->attempt_at > 0)
                at = MAX(at, usec_add(m->attempt_at, MODBUS_ATTEMPT_GAP_USEC));
        m->state = MASTER_WAITING;
        deadline_set(m->timer, at);
}

static void master_failed(ModbusMaster *m, int error) {
        master_set_link_down(m, error, false);
        master_set_status(m, MASTER_STATUS_DISCONNECTED);
        m->at_once = false;
        master_schedule(m, m->returned ? 0 : master_connection(m)->connect_delay);
}

/* A port that comes back need not wait for the rest of a pause. */
static void master_on_port_returned(void *userdata) {
        ModbusMaster *m = userdata;

        m->returned = true;
        if (m->state == MASTER_WAITING)
                master_schedule(m, 0);
}

/* Without a watch there are still the attempts. */
static void master_watch_port(ModbusMaster *m) {
        if (master_is_serial(m) && !m->watch)
                (void) path_watch_new(device_get_event(&m->device), m->endpoint, "modbus-port",
                                      master_on_port_returned, m, &m->watch);
}

/* What libmodbus can do it does, on the lines that it was made for; spec 11.3. */
static bool master_can_use_library(const ModbusMaster *m) {
        const ModbusMasterConf *conf = m->device.conf;
        const ModbusRemoteConf *remotes = conf->remote_devices.items;

        if (m->line.framing->kind != MODBUS_FRAMING_RTU)
                return false;
        for (size_t i = 0; i < conf->remote_devices.n; i++) {
                const ModbusMasterData *data = remotes[i].data.items;

                if (remotes[i].device_id > MODBUS_LIBRARY_UNIT_MAX)
                        return false;
                for (size_t j = 0; j < remotes[i].data.n; j++)
                        if (data[j].type == MODBUS_QUEUE)
                                return false;
        }
        return true;
}

static int master_open_port(ModbusMaster *m, const ModbusLinkOptions *options) {
        sd_event *event = device_get_event(&m->device);
        SerialOptions line = modbus_serial_options(&master_connection(m)->transport.serial, options->framing->kind);
        int r = -EMFILE;

        master_watch_port(m);
        if (master_can_use_library(m))
                r = modbus_library_link_open(event, m->endpoint, &line, options, &master_link_handler, m, &m->link);
        if (r == -EMFILE)
                r = modbus_stream_link_open(event, m->endpoint, &line, options, &master_link_handler, m, &m->link);
        return r;
}

static void master_connect(ModbusMaster *m) {
        const ModbusConnectionConf *c = master_connection(m);
        ModbusLinkOptions options = {
                .framing = m->line.framing,
                .connect_timeout = c->connect_timeout,
                .request_timeout = c->request_timeout,
                .max_outstanding = (unsigned) c->max_outstanding,
                .tap = device_tap(&m->device),
        };
        int r;

        m->state = MASTER_CONNECTING;
        m->returned = false;
        m->attempt_at = now_usec(CLOCK_MONOTONIC);
        master_set_status(m, MASTER_STATUS_CONNECTING);

        if (master_is_serial(m))
                r = master_open_port(m, &options);
        else
                r = modbus_stream_link_connect(device_get_event(&m->device), device_get_resolver(&m->device),
                                               c->transport.host, (uint16_t) c->transport.port, &options,
                                               &master_link_handler, m, &m->link);
        if (r < 0)
                master_failed(m, r);
}

static void master_on_connected(void *userdata) {
        ModbusMaster *m = userdata;

        m->state = MASTER_CONNECTED;
        m->watch = path_watch_free(m->watch);
        m->connected_at = now_usec(CLOCK_MONOTONIC);
        tap_opened(device_tap(&m->device), m->connected_at, 0, m->endpoint);
        m->connections++;
        modbus_bus_attach(m->line.bus, m->link);
        master_set_status(m, MASTER_STATUS_CONNECTED);
        master_update_link(&m->device);
        for (size_t i = 0; i < m->n_units; i++)
                modbus_unit_connected(&m->units[i]);
}

/* Polling ends, then whatever else waits for the line. */
static void master_drop_line(ModbusMaster *m) {
        for (size_t i = 0; i < m->n_units; i++)
                modbus_unit_stop(&m->units[i]);
        modbus_bus_detach(m->line.bus);
        m->link = modbus_link_free(m->link);
}

/* 4.1 step 5: the next attempt comes at once, unless that could become a storm. */
static void master_lost(ModbusMaster *m, int error) {
        usec_t delay = master_connection(m)->connect_delay;
        usec_t lived = usec_sub(now_usec(CLOCK_MONOTONIC), m->connected_at);
        bool storm = error == -EBADMSG || (m->at_once && lived < delay);

        m->state = MASTER_WAITING;
        master_drop_line(m);
        master_set_link_down(m, error, true);
        master_set_status(m, MASTER_STATUS_DISCONNECTED);

        m->at_once = !storm;
        master_watch_port(m);
        master_schedule(m, storm ? delay : 0);
}

static void master_on_closed(int error, void *userdata) {
        ModbusMaster *m = userdata;

        if (m->state == MASTER_CONNECTED) {
                master_lost(m, error);
                return;
        }
        m->link = modbus_link_free(m->link);
        master_failed(m, error);
}

static void master_on_timer(void *userdata) {
        ModbusMaster *m = userdata;

        switch (m->state) {
        case MASTER_WAITING:
                master_connect(m);
                return;
        case MASTER_STOPPED:
                device_ended(&m->device, DEVICE_REASON_NONE, NULL);
                return;
        default:
                return;
        }
}

/* ---- the bus's clock --------------------------------------------------------------------------------- */

static usec_t master_now(void *userdata) {
        return now_usec(CLOCK_MONOTONIC);
}

static void master_wake_at(usec_t when, void *userdata) {
        ModbusMaster *m = userdata;

        deadline_set(m->bus_timer, when);
}

static void master_on_bus_timer(void *userdata) {
        ModbusMaster *m = userdata;

        modbus_bus_wake(m->line.bus);
}

/* ---- events ------------------------------------------------------------------------------------------ */

/* `+`, `-` and decimal digits, as Python's int() takes them. -EINVAL: not such a text. */
static int parse_unit_id(Subtype text, unsigned *ret) {
        size_t i = text.size > 0 && (text.text[0] == '-' || text.text[0] == '+');
        bool negative = i > 0 && text.text[0] == '-';
        unsigned id = 0;

        if (i == text.size)
                return -EINVAL;
        for (; i < text.size; i++) {
                if (!g_ascii_isdigit(text.text[i]))
                        return -EINVAL;
                id = MIN(id * 10 + (unsigned) (text.text[i] - '0'), 1000U);
        }
        *ret = negative && id > 0 ? 1000U : id;
        return 0;
}

static ModbusUnit *master_find_unit(ModbusMaster *m, unsigned id) {
        for (size_t i = 0; i < m->n_units; i++)
                if (m->units[i].device_id == id)
                        return &m->units[i];
        return NULL;
}

static void master_warn(ModbusMaster *m, const Event *e, const char *what) {
        g_autofree char *type = event_type_format(e->type);

        log_context(LOG_WARNING, device_log(&m->device), "Event system/%s ignored: %s.", type, what);
}

static void master_enable_event(ModbusMaster *m, ModbusUnit *u, const Event *e) {
        JsonSpan payload;

        if (event_payload_json(e, &payload) < 0)
                master_warn(m, e, "it has no JSON payload");
        else if (u) /* ids that are not configured may be enabled: nothing follows from it */
                modbus_unit_set_enabled(u, json_truthy(payload), m->state == MASTER_CONNECTED);
}

static void master_event(Device *d, const Event *e) {
        ModbusMaster *m = (ModbusMaster *) d;
        const Subtype *s = e->type.subtypes;
        size_t n = e->type.n;
        unsigned id;

        if (n < 3 || !subtype_is(s[0], "remote_device"))
                master_warn(m, e, "unknown type");
        else if (parse_unit_id(s[1], &id) < 0)
                master_warn(m, e, "the remote device's id is not an integer");
        else if (n == 3 && subtype_is(s[2], "enable"))
                master_enable_event(m, master_find_unit(m, id), e);
        else if (n == 4 && subtype_is(s[2], "write"))
                modbus_writes_begin(&m->writes, master_find_unit(m, id), s[1], s[3], e);
        else
                master_warn(m, e, "unknown type");
}

static void master_on_enable_events(Device *d, int error, const Event *events, size_t n, void *userdata) {
        ModbusMaster *m = (ModbusMaster *) d;

        if (m->state != MASTER_QUERYING)
                return;
        if (error < 0) {
                g_autofree char *detail = g_strdup_printf("cannot query the enable events: %s",
                                                          g_strerror(-error));

                m->state = MASTER_STOPPED;
                device_ended(d, device_reason_from_errno(error), detail);
                return;
        }

        for (size_t i = 0; i < n; i++)
                master_event(d, &events[i]);

        device_set_link(d, DEVICE_LINK_CONNECTING, DEVICE_REASON_NONE, NULL);
        master_schedule(m, 0);
        device_started(d);
}

/* ---- device type ------------------------------------------------------------------------------------- */

static int master_init_units(ModbusMaster *m, sd_event *event) {
        const ModbusMasterConf *conf = m->device.conf;
        const ModbusRemoteConf *remotes = conf->remote_devices.items;

        m->units = g_new0(ModbusUnit, MAX(conf->remote_devices.n, 1U));
        for (size_t i = 0; i < conf->remote_devices.n; i++) {
                int r;

                m->n_units++;
                r = modbus_unit_init(&m->units[i], &m->line, &remotes[i], event);
                if (r < 0)
                        return r;
        }
        return 0;
}

static void master_init_bus(ModbusMaster *m) {
        const ModbusConnectionConf *c = master_connection(m);
        ModbusBusOptions options = {
                .request_timeout = c->request_timeout,
                .request_delay = c->request_delay,
                .retry_delay = c->request_retry_delay,
                .immediate_count = (uint64_t) c->request_retry_immediate_count,
                .delayed_count = (uint64_t) c->request_retry_delayed_count,
                .max_outstanding = (unsigned) c->max_outstanding,
                .write_priority = c->write_priority,
                .probe_budget = c->probe_budget,
        };
        ModbusClock clock = { .now = master_now, .wake_at = master_wake_at, .userdata = m };
        SerialOptions line = modbus_serial_options(&c->transport.serial, m->line.framing->kind);

        if (c->transport.kind == MODBUS_TRANSPORT_SERIAL && line.baudrate > 0) {
                m->counters.wire_time = serial_chars_usec(&line, 1000);
                if (c->write_priority)
                        options.request_delay = MAX(options.request_delay,
                                                    usec_sub(line.silence_after_received, CHOOSE_AHEAD_USEC));
        }
        m->line.bus = modbus_bus_new(&options, &clock, &m->counters);
}

static int master_init(ModbusMaster *m) {
        const ModbusMasterConf *conf = m->device.conf;
        sd_event *event = device_get_event(&m->device);
        int r;

        m->status = _MASTER_STATUS_INVALID;
        m->line.device = &m->device;
        m->line.framing = modbus_framing_get((ModbusFramingKind) master_connection(m)->framing);
        m->line.max_outstanding = (unsigned) master_connection(m)->max_outstanding;
        m->line.changed = master_update_link;
        m->line.answer_always = conf->answer_always;
        m->line.report_changes = conf->report_errors == MODBUS_REPORT_ERRORS_CHANGE;
        m->writes.line = &m->line;

        m->endpoint = modbus_connection_conf_endpoint(master_connection(m));
        device_set_recorder(&m->device, (size_t) conf->recorder << 10);
        master_init_bus(m);
        r = deadline_new(event, "modbus-master", master_on_timer, m, &m->timer);
        if (r < 0)
                return r;
        r = deadline_new(event, "modbus-bus", master_on_bus_timer, m, &m->bus_timer);
        if (r < 0)
                return r;
        return master_init_units(m, event);
}

static void master_done(Device *d) {
        ModbusMaster *m = (ModbusMaster *) d;

        for (size_t i = 0; i < m->n_units; i++)
                modbus_unit_done(&m->units[i]);
        m->units = (g_free(m->units), NULL);
        m->n_units = 0;
        m->link = modbus_link_free(m->link);
        m->watch = path_watch_free(m->watch);
        m->line.bus = modbus_bus_free(m->line.bus);
        m->timer = deadline_free(m->timer);
        m->bus_timer = deadline_free(m->bus_timer);
        m->endpoint = (g_free(m->endpoint), NULL);
}

static int master_start(Device *d) {
        static const char *const enable[] = { "remote_device", "?", "enable", NULL };
        static const char *const *const queries[] = { enable };
        ModbusMaster *m = (ModbusMaster *) d;
        int r;

        r = master_init(m);
        if (r >= 0)
                r = device_query_latest(d, queries, ELEMENTSOF(queries), master_on_enable_events, NULL);
        if (r < 0)
                master_done(d);
        return r;
}

static void master_stop(Device *d) {
        ModbusMaster *m = (ModbusMaster *) d;

        if (m->state == MASTER_STOPPED)
                return;

        if (m->state == MASTER_CONNECTED)
                tap_closed(device_tap(d), /* failed= */ false, now_usec(CLOCK_MONOTONIC), 0,
                           "the device stops");
        m->state = MASTER_STOPPED;
        master_drop_line(m);
        m->watch = path_watch_free(m->watch);
        if (m->status != _MASTER_STATUS_INVALID)
                master_set_status(m, MASTER_STATUS_DISCONNECTED);
        deadline_set(m->timer, 0); /* the next turn tells the end */
}

static void master_flow(Device *d, bool open) {
        ModbusMaster *m = (ModbusMaster *) d;

        m->line.paused = !open;
        if (open && m->state == MASTER_CONNECTED)
                for (size_t i = 0; i < m->n_units; i++)
                        modbus_unit_resume(&m->units[i]);
}

static size_t master_n_parts(const Device *d) {
        return ((const ModbusMaster *) d)->n_units;
}

static const void *master_part(const Device *d, size_t i) {
        return &((const ModbusMaster *) d)->units[i];
}

static void master_trace(const void *conf, const TapRecord *record, JsonWriter *w) {
        const ModbusMasterConf *c = conf;

        modbus_trace_write((ModbusFramingKind) c->connection.framing, /* master= */ true, record, w);
}

static char *master_transport(const void *conf) {
        const ModbusMasterConf *c = conf;

        return g_strdup(modbus_transport_to_string((ModbusTransportKind) c->connection.transport.kind));
}

static char *master_framing(const void *conf) {
        const ModbusMasterConf *c = conf;

        return g_strdup(modbus_framing_to_string((ModbusFramingKind) c->connection.framing));
}

static char *master_endpoint(const void *conf) {
        return modbus_connection_conf_endpoint(&((const ModbusMasterConf *) conf)->connection);
}

static uint64_t master_oldest(const void *master) {
        const ModbusMaster *m = master;
        uint64_t oldest = 0;

        for (size_t i = 0; i < m->n_units; i++)
                oldest = MAX(oldest, modbus_unit_oldest(&m->units[i]));
        return oldest;
}

static const StatusField master_status_fields[] = {
        { "Transport", NULL, "TCP or SERIAL", STATUS_STRING, .constant = master_transport },
        { "Framing", NULL, "TCP, RTU or ASCII", STATUS_STRING, .constant = master_framing },
        { "Endpoint", NULL, "far end of the line", STATUS_STRING, .constant = master_endpoint },
        { "Connections", NULL, "connections made", STATUS_COUNTER, offsetof(ModbusMaster, connections) },
        { "DroppedWrites", NULL, "writes dropped because too many requests waited, or their remote device did not answer", STATUS_COUNTER,
          offsetof(ModbusMaster, writes.dropped) },
        MODBUS_COUNTER_FIELDS(ModbusMaster, counters.all),
        { "Load", "%", "part of the last second in which the line was in use", STATUS_GAUGE,
          offsetof(ModbusMaster, counters), .compute = modbus_line_load },
        { "WireLoad", "%", "part of the last second that the bytes took on a serial line", STATUS_GAUGE,
          offsetof(ModbusMaster, counters), .compute = modbus_line_wire_load },
        { "OldestValueUSec", "us", "age of the value that was read longest ago, of all remote devices", STATUS_USEC,
          .compute = master_oldest },
        {}
};

extern const DeviceType modbus_master_device_type;
const DeviceType modbus_master_device_type = {
        .name = "modbus_master",
        .interface = "ModbusMaster",
        .module = "hat.gateway.devices.modbus.master",
        .help = "Polls remote Modbus devices over one connection and forwards writes to them.",
        .device_size = sizeof(ModbusMaster),
        .conf_size = sizeof(ModbusMasterConf),
        .conf = modbus_master_fields,
        .verify = modbus_master_verify,
        .claims = modbus_master_conf_claims,
        .start = master_start,
        .stop = master_stop,
        .done = master_done,
        .event = master_event,
        .flow = master_flow,
        .scan_begin = modbus_scan_begin,
        .scan_done = modbus_scan_done,
        .scan_size = sizeof(ModbusScan),
        .points = modbus_master_points,
        .trace = master_trace,
        .status = master_status_fields,
        .parts_name = "RemoteDevices",
        .n_parts = master_n_parts,
        .part = master_part,
        .part_fields = modbus_unit_fields,
};
