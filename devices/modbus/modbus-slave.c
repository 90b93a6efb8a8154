/* SPDX-License-Identifier: Apache-2.0 */
/* Device type modbus_slave (spec modbus.md 6): offers data to remote masters, over TCP or on a serial line,
 * and takes their writes to the system. What exists is the store's, what one master asks is
 * modbus-connection.c's, when the serial port is open is modbus-port.c's. Loop thread. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>
#include <systemd/sd-id128.h>

#include "base/rate-limit.h"
#include "devices/modbus/modbus-points.h"
#include "devices/modbus/modbus-port.h"
#include "devices/modbus/modbus-trace.h"
#include "link/address.h"
#include "link/listener-set.h"

/* Least time between two warnings about peers that may not connect. */
#define REFUSED_WARNING_USEC (10 * USEC_PER_SEC)
/* A port that hangs holds up the start no longer. */
#define OPENING_USEC (2 * USEC_PER_SEC)

typedef enum SlaveState {
        SLAVE_QUERYING, /* the data events have been asked for */
        SLAVE_OPENING,  /* where masters come, for the first time */
        SLAVE_OPEN,     /* or trying to be */
        SLAVE_STOPPED,  /* only the end is still to be told */
} SlaveState;

typedef struct ModbusSlave {
        Device device;
        SlaveState state;
        ModbusServer server;
        ModbusStore *store;
        ListenerSet *listeners; /* TCP … */
        ModbusPort port;        /* … or serial */
        Deadline *timer;        /* opening: nothing is waited for any longer; stopped: the end */

        GPtrArray *connections; /* ModbusConnection, in order of acceptance */
        uint64_t last_connection;
        bool unregistered;     /* `connections` changed while the event server was congested */
        RateLimit refusals;    /* warnings of them */

        char run[SD_ID128_STRING_MAX]; /* makes write ids unique in time */
        uint64_t last_write;
        JsonWriter json; /* kept: writes allocate nothing */
} ModbusSlave;

static const ModbusSlaveTransport *slave_transport(const ModbusSlave *s) {
        return &((const ModbusSlaveConf *) s->device.conf)->transport;
}

/* Of TCP, without `listen`. */
static Address transport_address(const ModbusSlaveTransport *t) {
        return (Address) {
                .kind = ADDRESS_TCP,
                .host = (char *) t->local_host,
                .port = (uint16_t) t->local_port,
        };
}

static char *transport_endpoint(const ModbusSlaveTransport *t) {
        Address address = transport_address(t);

        if (t->kind == MODBUS_TRANSPORT_SERIAL)
                return g_strdup(t->serial.port);
        return t->listen ? g_strdup(t->listen) : address_format(&address);
}

/* ---- what is told ------------------------------------------------------------------------------------ */

static void json_end(JsonWriter *w, const char *key, const char *host, uint16_t port) {
        json_key(w, key);
        json_open_object(w);
        json_member_string(w, "host", host);
        json_member_uint(w, "port", port);
        json_close_object(w);
}

static void json_connection(JsonWriter *w, const ModbusConnection *c) {
        bool line = c->server->line;

        json_open_object(w);
        json_member_string(w, "type", line ? "SERIAL" : "TCP");
        json_member_uint(w, "connection_id", c->id);
        if (!line) {
                json_end(w, "local", c->local_host, c->local_port);
                json_end(w, "remote", c->remote_host, c->remote_port);
        }
        json_close_object(w);
}

/* While the event server is congested only the last list counts. */
static void slave_register_connections(ModbusSlave *s) {
        static const char *const subtypes[] = { "connections", NULL };
        JsonWriter *w = &s->json;
        JsonSpan payload;

        s->unregistered = s->server.held;
        if (s->server.held)
                return;

        json_writer_reset(w);
        json_open_array(w);
        for (size_t i = 0; i < s->connections->len; i++)
                json_connection(w, s->connections->pdata[i]);
        json_close_array(w);
        if (json_writer_end(w, &payload) >= 0)
                device_register(&s->device, subtypes, NULL, payload);
}

/* ---- beginning and end ------------------------------------------------------------------------------- */

/* 6.1: with the port or without it. The last thing its caller does. */
static void slave_begin(ModbusSlave *s) {
        if (s->state != SLAVE_OPENING)
                return;
        s->state = SLAVE_OPEN;
        deadline_set(s->timer, USEC_INFINITY);
        device_started(&s->device);
}

static void slave_fail(ModbusSlave *s, int error, const char *detail) {
        s->state = SLAVE_STOPPED;
        device_ended(&s->device, device_reason_from_errno(error), detail);
}

static void slave_on_timer(void *userdata) {
        ModbusSlave *s = userdata;

        if (s->state == SLAVE_STOPPED)
                device_ended(&s->device, DEVICE_REASON_NONE, NULL);
        else
                slave_begin(s);
}

/* ---- masters over TCP -------------------------------------------------------------------------------- */

static bool slave_allows(const ModbusSlave *s, const char *host) {
        const ConfArray *hosts = &slave_transport(s)->remote_hosts;
        const char *const *items = hosts->items;

        if (!items)
                return true;
        for (size_t i = 0; i < hosts->n; i++)
                if (streq(items[i], host))
                        return true;
        return false;
}

/* Peers may try without end: the first is named, later ones are counted for a while. */
static void slave_warn_refused(ModbusSlave *s, const ModbusConnection *c, const char *why) {
        g_autofree char *before = NULL;
        unsigned suppressed;

        if (!rate_limit_take(&s->refusals, now_usec(CLOCK_MONOTONIC), &suppressed))
                return;
        if (suppressed > 0)
                before = g_strdup_printf(" (%u more were closed before)", suppressed);
        log_context(LOG_WARNING, device_log(&s->device), "Connection of %s closed: %s%s.", c->remote_host,
                    why, before ?: "");
}

static bool slave_is_full(const ModbusSlave *s) {
        int64_t max = slave_transport(s)->max_connections;

        return max >= 0 && s->connections->len >= (uint64_t) max;
}

/* What a configuration without a limit cannot mean. Descriptors are numbered from below, so this one tells
 * how many are open; the last ones are for the rest of the gateway. */
static bool slave_is_exhausted(const ModbusSlave *s, int fd) {
        struct rlimit limit;

        if (s->connections->len >= MODBUS_CONNECTIONS_MAX)
                return true;
        return getrlimit(RLIMIT_NOFILE, &limit) >= 0 &&
               (rlim_t) fd >= limit.rlim_cur - MIN(limit.rlim_cur / 4, (rlim_t) MODBUS_DESCRIPTORS_LEFT);
}

static void slave_on_accept(Listener *l, int accepted, void *userdata) {
        ModbusSlave *s = userdata;
        _cleanup_(safe_closep) int fd = accepted;
        _cleanup_(modbus_connection_freep) ModbusConnection *c = NULL;

        /* Fails when the peer is gone already. */
        if (modbus_connection_new(&s->server, fd, s->last_connection + 1, &c) < 0)
                return;
        (void) TAKE_FD(fd);

        if (!slave_allows(s, c->remote_host)) {
                slave_warn_refused(s, c, "it is not among remote_hosts");
                return;
        }
        if (slave_is_full(s)) {
                log_context(LOG_DEBUG, device_log(&s->device),
                            "Connection of %s closed: there are %u already.", c->remote,
                            s->connections->len);
                return;
        }
        if (slave_is_exhausted(s, stream_get_fd(c->channel.stream))) {
                slave_warn_refused(s, c, "there are too many");
                return;
        }

        s->last_connection++;
        tap_opened(s->server.tap, now_usec(CLOCK_MONOTONIC), (uint32_t) c->id, c->remote);
        log_context(LOG_INFO, device_log(&s->device), "Connection %" PRIu64 " of %s.", c->id, c->remote);
        g_ptr_array_add(s->connections, TAKE_PTR(c));
        slave_register_connections(s);
}

static const char *ending_to_string(int error) {
        switch (error) {
        case 0:
                return "closed by the peer";
        case -ETIMEDOUT:
                return "nothing came from it for too long";
        case -EBADMSG:
                return "the peer sent what is not Modbus";
        default:
                return g_strerror(-error);
        }
}

static void slave_on_tcp_closed(ModbusSlave *s, ModbusConnection *c, int error) {
        log_context(LOG_INFO, device_log(&s->device), "Connection %" PRIu64 " of %s ended: %s.", c->id,
                    c->remote, ending_to_string(error));
        tap_closed(s->server.tap, error < 0 && error != -ETIMEDOUT, now_usec(CLOCK_MONOTONIC), (uint32_t) c->id,
                   ending_to_string(error));
        g_ptr_array_remove(s->connections, c);
        (void) modbus_connection_free(c);
        slave_register_connections(s);
}

/* ---- masters on the line ----------------------------------------------------------------------------- */

static void slave_on_opened(ModbusConnection *c, void *userdata) {
        ModbusSlave *s = userdata;

        modbus_port_opened(&s->port);
        slave_begin(s);
}

static void slave_on_port_closed(ModbusSlave *s, int error) {
        if (g_ptr_array_remove(s->connections, s->port.connection))
                slave_register_connections(s);
        modbus_port_closed(&s->port, error);
        slave_begin(s);
}

static void slave_on_active(ModbusConnection *c, bool active, void *userdata) {
        ModbusSlave *s = userdata;

        if (active) {
                c->id = ++s->last_connection;
                g_ptr_array_add(s->connections, c);
        } else
                g_ptr_array_remove(s->connections, c);
        log_context(LOG_INFO, device_log(&s->device), "Connection %" PRIu64 " on %s %s.", c->id, c->remote,
                    active ? "began" : "ended: nothing came for too long");
        slave_register_connections(s);
}

/* ---- masters of either kind -------------------------------------------------------------------------- */

static void slave_on_closed(ModbusConnection *c, int error, void *userdata) {
        ModbusSlave *s = userdata;

        if (s->server.line)
                slave_on_port_closed(s, error);
        else
                slave_on_tcp_closed(s, c, error);
}

/* 6.8: one event with the data items as they would be. Values that no event server could take make it
 * unfit. */
static bool slave_on_write(ModbusConnection *c, ModbusStoreWrite *write, void *userdata) {
        static const char *const subtypes[] = { "write", NULL };
        ModbusSlave *s = userdata;
        const ModbusStoreItem *item;
        JsonWriter *w = &s->json;
        JsonSpan payload;

        (void) snprintf(c->write_id, sizeof(c->write_id), "%s_%" PRIu64, s->run, ++s->last_write);

        json_writer_reset(w);
        json_open_object(w);
        json_member_string(w, "request_id", c->write_id);
        json_member_uint(w, "connection_id", c->id);
        json_key(w, "data");
        json_open_array(w);
        while ((item = modbus_store_write_next(write))) {
                json_open_object(w);
                json_member_string(w, "name", modbus_store_item_name(item));
                json_key(w, "value");
                modbus_store_item_write_json(item, write, w);
                json_close_object(w);
        }
        json_close_array(w);
        json_close_object(w);

        if (json_writer_end(w, &payload) < 0 || json_check(payload.text, payload.size, NULL) < 0) {
                log_context(LOG_WARNING, device_log(&s->device),
                            "Write of connection %" PRIu64
                            " refused: its value has too many digits for an event.",
                            c->id);
                return false;
        }
        device_register(&s->device, subtypes, NULL, payload);
        return true;
}

static const ModbusConnectionHandler slave_connection_handler = {
        .opened = slave_on_opened,
        .write = slave_on_write,
        .active = slave_on_active,
        .closed = slave_on_closed,
};

/* ---- events ------------------------------------------------------------------------------------------ */

static void slave_warn(ModbusSlave *s, const Event *e, const char *what) {
        g_autofree char *type = event_type_format(e->type);

        log_context(LOG_WARNING, device_log(&s->device), "Event system/%s ignored: %s.", type, what);
}

static void slave_data_event(ModbusSlave *s, const Event *e) {
        JsonSpan payload, value;

        if (event_payload_json(e, &payload) < 0 || json_get(payload, "value", &value) < 0) {
                slave_warn(s, e, "it has no value");
                return;
        }

        switch (modbus_store_set(s->store, e->type.subtypes[1], value)) {
        case 0:
                return;
        case -ENOENT:
                slave_warn(s, e, "there is no such data");
                return;
        case -ERANGE:
                slave_warn(s, e, "its value does not fit");
                return;
        default:
                slave_warn(s, e, "its value is not of the data's type");
        }
}

static ModbusConnection *slave_find_pending(const ModbusSlave *s, JsonSpan write_id) {
        if (json_kind(write_id) != JSON_STRING)
                return NULL;

        for (size_t i = 0; i < s->connections->len; i++) {
                ModbusConnection *c = s->connections->pdata[i];

                if (c->pending && json_text_equal(write_id, c->write_id))
                        return c;
        }
        return NULL;
}

static void slave_write_event(ModbusSlave *s, const Event *e) {
        JsonSpan payload, write_id, success;
        ModbusConnection *c;

        if (event_payload_json(e, &payload) < 0 || json_get(payload, "request_id", &write_id) < 0 ||
            json_get(payload, "success", &success) < 0) {
                slave_warn(s, e, "it has no request_id and success");
                return;
        }

        c = slave_find_pending(s, write_id);
        if (c)
                modbus_connection_answer(c, json_truthy(success));
        else
                slave_warn(s, e, "no write with this request_id is waiting");
}

static void slave_event(Device *d, const Event *e) {
        ModbusSlave *s = (ModbusSlave *) d;
        const Subtype *t = e->type.subtypes;

        if (e->type.n == 2 && subtype_is(t[0], "data"))
                slave_data_event(s, e);
        else if (e->type.n == 1 && subtype_is(t[0], "write"))
                slave_write_event(s, e);
        else
                slave_warn(s, e, "unknown type");
}

/* ---- start ------------------------------------------------------------------------------------------- */

static void slave_fail_listening(ModbusSlave *s, int error) {
        g_autofree char *endpoint = transport_endpoint(slave_transport(s));
        g_autofree char *detail = g_strdup_printf("cannot listen on %s: %s", endpoint,
                                                  error == -ENXIO ? "no such host" : g_strerror(-error));

        slave_fail(s, error, detail);
}

static void slave_on_listening(int error, void *userdata) {
        ModbusSlave *s = userdata;

        if (error < 0)
                slave_fail_listening(s, error);
        else {
                device_set_link(&s->device, DEVICE_LINK_UP, DEVICE_REASON_NONE, NULL);
                slave_begin(s);
        }
}

static void slave_listen_own(ModbusSlave *s) {
        Address address = transport_address(slave_transport(s));
        int r;

        r = listener_set_open(s->server.event, device_get_resolver(&s->device), &address, "modbus-slave",
                              slave_on_accept, slave_on_listening, s, &s->listeners);
        if (r != 0)
                slave_on_listening(r, s);
}

static void slave_listen_borrowed(ModbusSlave *s, const char *name) {
        int fd, r;

        fd = device_borrow_fd(&s->device, name);
        if (fd == -ENOENT) {
                g_autofree char *detail = g_strdup_printf(
                                "no socket named %s was passed: start the socket unit with "
                                "FileDescriptorName=%s, then the service again",
                                name, name);

                slave_fail(s, fd, detail);
                return;
        }

        r = fd;
        if (r >= 0)
                r = listener_set_borrow(s->server.event, fd, "modbus-slave", slave_on_accept, s, &s->listeners);
        slave_on_listening(r, s);
}

static void slave_open_port(ModbusSlave *s) {
        device_set_link(&s->device, DEVICE_LINK_CONNECTING, DEVICE_REASON_NONE, NULL);
        deadline_set_relative(s->timer, OPENING_USEC);
        if (modbus_port_open(&s->port) < 0)
                slave_begin(s);
}

/* 6.1: stored data first, then `connections`, only then it listens. */
static void slave_on_data_events(Device *d, int error, const Event *events, size_t n, void *userdata) {
        ModbusSlave *s = (ModbusSlave *) d;
        const char *name = modbus_slave_conf_listen_name(d->conf);

        if (s->state != SLAVE_QUERYING)
                return;
        if (error < 0) {
                g_autofree char *detail = g_strdup_printf("cannot query the data events: %s",
                                                          g_strerror(-error));

                slave_fail(s, error, detail);
                return;
        }

        for (size_t i = 0; i < n; i++)
                slave_event(d, &events[i]);
        slave_register_connections(s);

        s->state = SLAVE_OPENING;
        if (s->server.line)
                slave_open_port(s);
        else if (name)
                slave_listen_borrowed(s, name);
        else
                slave_listen_own(s);
}

/* ---- device type ------------------------------------------------------------------------------------- */

/* How long an incomplete request is waited for. */
static usec_t request_pause(const ModbusSlaveConf *conf) {
        ModbusFramingKind framing = (ModbusFramingKind) conf->framing;
        SerialOptions line = modbus_serial_options(&conf->transport.serial, framing);
        bool serial = conf->transport.kind == MODBUS_TRANSPORT_SERIAL && line.baudrate > 0;

        return modbus_framing_pause(framing, serial ? serial_chars_usec(&line, 1) : 0);
}

static int slave_init(ModbusSlave *s) {
        const ModbusSlaveConf *conf = s->device.conf;
        SerialOptions options;
        sd_id128_t run;
        int r;

        device_set_recorder(&s->device, (size_t) conf->recorder << 10);
        s->connections = g_ptr_array_new();
        json_writer_init_growing(&s->json);
        s->refusals = (RateLimit) { .burst = 1, .interval = REFUSED_WARNING_USEC };
        s->store = modbus_store_new(conf->data.items, conf->data.n);
        s->server = (ModbusServer) {
                .event = device_get_event(&s->device),
                .framing = modbus_framing_get((ModbusFramingKind) conf->framing),
                .store = s->store,
                .tap = device_tap(&s->device),
                .response_timeout = conf->transport.response_timeout,
                .keep_alive = conf->transport.keep_alive_timeout,
                .pause = request_pause(conf),
                .line = conf->transport.kind == MODBUS_TRANSPORT_SERIAL,
                .handler = &slave_connection_handler,
                .userdata = s,
        };
        r = sd_id128_randomize(&run);
        if (r < 0)
                return r;
        (void) sd_id128_to_string(run, s->run);
        r = deadline_new(s->server.event, "modbus-slave", slave_on_timer, s, &s->timer);
        if (r < 0 || !s->server.line)
                return r;
        options = modbus_serial_options(&conf->transport.serial, (ModbusFramingKind) conf->framing);
        return modbus_port_init(&s->port, &s->device, &s->server, conf->transport.serial.port, &options);
}

/* Everything that masters reach. */
static void slave_close(ModbusSlave *s) {
        s->listeners = listener_set_free(s->listeners);
        for (size_t i = 0; i < s->connections->len; i++)
                if (s->connections->pdata[i] != s->port.connection)
                        (void) modbus_connection_free(s->connections->pdata[i]);
        g_ptr_array_set_size(s->connections, 0);
        modbus_port_done(&s->port);
}

static void slave_done(Device *d) {
        ModbusSlave *s = (ModbusSlave *) d;

        slave_close(s);
        g_clear_pointer(&s->connections, g_ptr_array_unref);
        s->store = modbus_store_free(s->store);
        s->timer = deadline_free(s->timer);
        json_writer_done(&s->json);
}

static int slave_start(Device *d) {
        static const char *const data[] = { "data", "*", NULL };
        static const char *const *const queries[] = { data };
        ModbusSlave *s = (ModbusSlave *) d;
        int r;

        r = slave_init(s);
        if (r >= 0)
                r = device_query_latest(d, queries, ELEMENTSOF(queries), slave_on_data_events, NULL);
        if (r < 0)
                slave_done(d);
        return r;
}

static void slave_tell_closed(ModbusSlave *s) {
        usec_t now = now_usec(CLOCK_MONOTONIC);

        for (size_t i = 0; i < s->connections->len; i++) {
                const ModbusConnection *c = s->connections->pdata[i];

                tap_closed(s->server.tap, /* failed= */ false, now, (uint32_t) c->id, "the device stops");
        }
        if (s->port.open)
                tap_closed(s->server.tap, /* failed= */ false, now, 0, "the device stops");
}

static void slave_stop(Device *d) {
        ModbusSlave *s = (ModbusSlave *) d;
        bool listed = s->connections->len > 0 || s->unregistered;

        if (s->state == SLAVE_STOPPED)
                return;

        slave_tell_closed(s);
        s->state = SLAVE_STOPPED;
        s->server.held = false;
        slave_close(s);
        if (listed)
                slave_register_connections(s);
        device_set_link(d, DEVICE_LINK_NONE, DEVICE_REASON_NONE, NULL);
        deadline_set(s->timer, 0); /* the next turn tells the end */
}

static void slave_flow(Device *d, bool open) {
        ModbusSlave *s = (ModbusSlave *) d;

        if (s->server.held == !open)
                return;

        s->server.held = !open;
        if (open && s->unregistered)
                slave_register_connections(s);
        if (s->port.connection)
                modbus_connection_flow(s->port.connection);
        for (size_t i = 0; i < s->connections->len; i++)
                modbus_connection_flow(s->connections->pdata[i]);
}

static size_t slave_n_parts(const Device *d) {
        return ((const ModbusSlave *) d)->connections->len;
}

static const void *slave_part(const Device *d, size_t i) {
        return ((const ModbusSlave *) d)->connections->pdata[i];
}

static void slave_trace(const void *conf, const TapRecord *record, JsonWriter *w) {
        const ModbusSlaveConf *c = conf;

        modbus_trace_write((ModbusFramingKind) c->framing, /* master= */ false, record, w);
}

static char *slave_transport_name(const void *conf) {
        const ModbusSlaveConf *c = conf;

        return g_strdup(modbus_transport_to_string((ModbusTransportKind) c->transport.kind));
}

static char *slave_framing_name(const void *conf) {
        const ModbusSlaveConf *c = conf;

        return g_strdup(modbus_framing_to_string((ModbusFramingKind) c->framing));
}

static char *slave_endpoint(const void *conf) {
        return transport_endpoint(&((const ModbusSlaveConf *) conf)->transport);
}

static const StatusField slave_status_fields[] = {
        { "Transport", NULL, "TCP or SERIAL", STATUS_STRING, .constant = slave_transport_name },
        { "Framing", NULL, "TCP, RTU or ASCII", STATUS_STRING, .constant = slave_framing_name },
        { "Endpoint", NULL, "where masters reach it", STATUS_STRING, .constant = slave_endpoint },
        { "Requests", NULL, "requests received, for whatever unit", STATUS_COUNTER,
          offsetof(ModbusSlave, server.counters.requests) },
        { "Exceptions", NULL, "error answers", STATUS_COUNTER,
          offsetof(ModbusSlave, server.counters.exceptions) },
        { "ExceptionCodes", NULL, "error answers by their code", STATUS_CODES,
          offsetof(ModbusSlave, server.counters.codes) },
        { "ChecksumErrors", NULL, "requests with a wrong CRC (for own units) or LRC", STATUS_COUNTER,
          offsetof(ModbusSlave, server.counters.checksum_errors) },
        { "BytesReceived", NULL, "bytes of requests", STATUS_COUNTER,
          offsetof(ModbusSlave, server.counters.bytes_received) },
        { "BytesSent", NULL, "bytes of answers", STATUS_COUNTER,
          offsetof(ModbusSlave, server.counters.bytes_sent) },
        { "Writes", NULL, "writes given to the system", STATUS_COUNTER,
          offsetof(ModbusSlave, server.counters.writes) },
        {}
};

extern const DeviceType modbus_slave_device_type;
const DeviceType modbus_slave_device_type = {
        .name = "modbus_slave",
        .interface = "ModbusSlave",
        .module = "hat.gateway.devices.modbus.slave",
        .help = "Offers configured data to remote Modbus masters.",
        .device_size = sizeof(ModbusSlave),
        .conf_size = sizeof(ModbusSlaveConf),
        .conf = modbus_slave_fields,
        .verify = modbus_slave_conf_verify,
        .claims = modbus_slave_conf_claims,
        .start = slave_start,
        .stop = slave_stop,
        .done = slave_done,
        .event = slave_event,
        .flow = slave_flow,
        .points = modbus_slave_points,
        .trace = slave_trace,
        .status = slave_status_fields,
        .parts_name = "Connections",
        .n_parts = slave_n_parts,
        .part = slave_part,
        .part_fields = modbus_connection_fields,
};
