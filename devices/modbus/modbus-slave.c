/* SPDX-License-Identifier: Apache-2.0 */
/* Device type modbus_slave (spec modbus.md 6): offers data to remote masters, over TCP or on a serial line, and
 * takes their writes to the system. What exists is the store's, what one master asks is modbus-connection.c's.
 * Loop thread. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>
#include <systemd/sd-id128.h>

#include "devices/modbus/modbus-connection.h"
#include "devices/modbus/modbus-points.h"
#include "devices/modbus/modbus-trace.h"
#include "link/address.h"
#include "link/listener-set.h"
#include "link/path-watch.h"

/* Least time between two warnings about peers that may not connect. */
#define REFUSED_WARNING_USEC (10 * USEC_PER_SEC)
/* A serial port that cannot be opened, or does not stay, is tried again so often (D9) … */
#define REOPEN_USEC (5 * USEC_PER_SEC)
/* … and when it comes back, but not faster than this. */
#define REOPEN_GAP_USEC (100 * USEC_PER_MSEC)
/* A port that hangs holds up the start no longer. */
#define OPENING_USEC (2 * USEC_PER_SEC)

typedef enum SlaveState {
        SLAVE_QUERYING,  /* the data events have been asked for */
        SLAVE_RESOLVING, /* the name to listen on is being looked up */
        SLAVE_OPENING,   /* the serial port, for the first time */
        SLAVE_LISTENING, /* or trying to */
        SLAVE_STOPPED, /* only the end is still to be told */
} SlaveState;

typedef struct ModbusSlave {
        Device device;
        SlaveState state;
        ModbusServer server;
        ModbusStore *store;
        ListenerSet *listeners;
        char *endpoint;
        Deadline *timer; /* next try of the port; opening: it is not waited for any longer; stopped: the end */

        ModbusConnection *port; /* serial: while it is open or being opened */
        bool open;
        PathWatch *watch; /* … while it is not open */
        bool returned;    /* … it came back since `tried_at` */
        usec_t tried_at;

        GPtrArray *connections; /* ModbusConnection, in order of acceptance */
        uint64_t last_connection;
        bool unregistered;     /* `connections` changed while the event server was congested */
        usec_t refused_warned; /* 0: never */
        uint64_t refused;      /* since then */

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
        json_key(w, "host");
        json_string(w, host);
        json_key(w, "port");
        json_uint(w, port);
        json_close_object(w);
}

static void json_connection(JsonWriter *w, const ModbusConnection *c) {
        bool line = c->server->line;

        json_open_object(w);
        json_key(w, "type");
        json_string(w, line ? "SERIAL" : "TCP");
        json_key(w, "connection_id");
        json_uint(w, c->id);
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

/* ---- connections ------------------------------------------------------------------------------------- */

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
        usec_t now = now_usec(CLOCK_MONOTONIC);

        if (s->refused_warned > 0 && now < usec_add(s->refused_warned, REFUSED_WARNING_USEC)) {
                s->refused++;
                return;
        }
        if (s->refused > 0)
                before = g_strdup_printf(" (%" PRIu64 " more were closed before)", s->refused);
        log_context(LOG_WARNING, device_log(&s->device), "Connection of %s closed: %s%s.", c->remote_host,
                    why, before ?: "");
        s->refused_warned = now;
        s->refused = 0;
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

static void slave_on_port_closed(ModbusSlave *s, int error);

static void slave_on_closed(ModbusConnection *c, int error, void *userdata) {
        ModbusSlave *s = userdata;

        if (c == s->port) {
                slave_on_port_closed(s, error);
                return;
        }
        log_context(LOG_INFO, device_log(&s->device), "Connection %" PRIu64 " of %s ended: %s.", c->id,
                    c->remote, ending_to_string(error));
        tap_closed(s->server.tap, error < 0 && error != -ETIMEDOUT, now_usec(CLOCK_MONOTONIC), (uint32_t) c->id,
                   ending_to_string(error));
        g_ptr_array_remove(s->connections, c);
        (void) modbus_connection_free(c);
        slave_register_connections(s);
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
        json_key(w, "request_id");
        json_string(w, c->write_id);
        json_key(w, "connection_id");
        json_uint(w, c->id);
        json_key(w, "data");
        json_open_array(w);
        while ((item = modbus_store_write_next(write))) {
                json_open_object(w);
                json_key(w, "name");
                json_string(w, modbus_store_item_name(item));
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

static void slave_on_opened(ModbusConnection *c, void *userdata);

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

/* ---- listening --------------------------------------------------------------------------------------- */

static void slave_fail(ModbusSlave *s, int error, const char *detail) {
        s->state = SLAVE_STOPPED;
        device_ended(&s->device, device_reason_from_errno(error), detail);
}

static void slave_fail_listening(ModbusSlave *s, int error) {
        g_autofree char *detail = g_strdup_printf("cannot listen on %s: %s", s->endpoint,
                                                  error == -ENXIO ? "no such host" : g_strerror(-error));

        slave_fail(s, error, detail);
}

/* The last thing its caller does. */
static void slave_listening(ModbusSlave *s) {
        s->state = SLAVE_LISTENING;
        device_set_link(&s->device, DEVICE_LINK_UP, DEVICE_REASON_NONE, NULL);
        device_started(&s->device);
}

static void slave_on_listening(int error, void *userdata) {
        ModbusSlave *s = userdata;

        if (error < 0)
                slave_fail_listening(s, error);
        else
                slave_listening(s);
}

static void slave_listen_own(ModbusSlave *s) {
        Address address = transport_address(slave_transport(s));
        int r;

        s->state = SLAVE_RESOLVING;
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

        r = fd < 0 ? fd : listener_set_borrow(s->server.event, fd, "modbus-slave", slave_on_accept, s, &s->listeners);
        slave_on_listening(r, s);
}

/* ---- serial port ------------------------------------------------------------------------------------- */

/* 6.1: with the port or without it. The last thing its caller does. */
static void slave_tried(ModbusSlave *s) {
        if (s->state != SLAVE_OPENING)
                return;
        s->state = SLAVE_LISTENING;
        device_started(&s->device);
}

/* Not before the port is back or some time is over, and never so often that it becomes a storm. */
static void slave_schedule_port(ModbusSlave *s) {
        usec_t gap = s->returned ? REOPEN_GAP_USEC : REOPEN_USEC;

        deadline_set(s->timer, MAX(now_usec(CLOCK_MONOTONIC), usec_add(s->tried_at, gap)));
}

static void slave_on_port_returned(void *userdata) {
        ModbusSlave *s = userdata;

        s->returned = true;
        if (!s->port)
                slave_schedule_port(s);
}

/* Without a watch there are still the tries. */
static void slave_watch_port(ModbusSlave *s) {
        if (!s->watch)
                (void) path_watch_new(s->server.event, s->endpoint, "modbus-port", slave_on_port_returned, s,
                                      &s->watch);
}

static void slave_drop_port(ModbusSlave *s) {
        if (s->port)
                (void) g_ptr_array_remove(s->connections, s->port);
        s->port = modbus_connection_free(s->port);
        s->open = false;
}

static void slave_tell_port_down(ModbusSlave *s, DeviceReason reason, const char *detail) {
        tap_closed(s->server.tap, /* failed= */ true, now_usec(CLOCK_MONOTONIC), 0, detail);
        device_set_link(&s->device, DEVICE_LINK_DOWN, reason, detail);
        slave_schedule_port(s);
}

static void slave_port_failed(ModbusSlave *s, int error) {
        g_autofree char *why = serial_open_error(s->endpoint, error);
        g_autofree char *detail = g_strdup_printf("cannot open %s: %s", s->endpoint, why);

        slave_drop_port(s);
        slave_tell_port_down(s, device_reason_from_errno(error), detail);
        slave_tried(s);
}

static void slave_port_lost(ModbusSlave *s, int error) {
        g_autofree char *detail = g_strdup_printf("%s is lost: %s", s->endpoint, g_strerror(-error));
        bool listed = s->port->active;

        slave_drop_port(s);
        if (listed)
                slave_register_connections(s);
        slave_watch_port(s);
        slave_tell_port_down(s, DEVICE_REASON_LOST, detail);
}

static void slave_on_port_closed(ModbusSlave *s, int error) {
        if (s->open)
                slave_port_lost(s, error);
        else
                slave_port_failed(s, error);
}

static void slave_open_port(ModbusSlave *s) {
        const ModbusSlaveConf *conf = s->device.conf;
        SerialOptions options = modbus_serial_options(&conf->transport.serial, (ModbusFramingKind) conf->framing);
        int r;

        slave_watch_port(s);
        s->returned = false;
        s->tried_at = now_usec(CLOCK_MONOTONIC);
        r = modbus_connection_open(&s->server, s->endpoint, &options, &s->port);
        if (r < 0)
                slave_port_failed(s, r);
}

static void slave_on_opened(ModbusConnection *c, void *userdata) {
        ModbusSlave *s = userdata;

        s->open = true;
        deadline_set(s->timer, USEC_INFINITY);
        s->watch = path_watch_free(s->watch);
        tap_opened(s->server.tap, now_usec(CLOCK_MONOTONIC), 0, s->endpoint);
        device_set_link(&s->device, DEVICE_LINK_UP, DEVICE_REASON_NONE, NULL);
        slave_tried(s);
}

static void slave_on_timer(void *userdata) {
        ModbusSlave *s = userdata;

        if (s->state == SLAVE_STOPPED)
                device_ended(&s->device, DEVICE_REASON_NONE, NULL);
        else if (s->state == SLAVE_OPENING)
                slave_tried(s);
        else if (s->state == SLAVE_LISTENING && !s->port)
                slave_open_port(s);
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

        if (s->server.line) {
                s->state = SLAVE_OPENING;
                device_set_link(d, DEVICE_LINK_CONNECTING, DEVICE_REASON_NONE, NULL);
                deadline_set_relative(s->timer, OPENING_USEC);
                slave_open_port(s);
        } else if (name)
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
        sd_id128_t run;
        int r;

        device_set_recorder(&s->device, (size_t) conf->recorder << 10);
        s->connections = g_ptr_array_new();
        json_writer_init_growing(&s->json);
        s->endpoint = transport_endpoint(&conf->transport);
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
        return deadline_new(s->server.event, "modbus-slave", slave_on_timer, s, &s->timer);
}

static void slave_free_connections(ModbusSlave *s) {
        for (size_t i = 0; i < s->connections->len; i++)
                (void) modbus_connection_free(s->connections->pdata[i]);
        g_ptr_array_set_size(s->connections, 0);
}

static void slave_done(Device *d) {
        ModbusSlave *s = (ModbusSlave *) d;

        s->listeners = listener_set_free(s->listeners);
        slave_drop_port(s);
        s->watch = path_watch_free(s->watch);
        slave_free_connections(s);
        g_clear_pointer(&s->connections, g_ptr_array_unref);
        s->store = modbus_store_free(s->store);
        s->timer = deadline_free(s->timer);
        json_writer_done(&s->json);
        g_clear_pointer(&s->endpoint, g_free);
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

static void slave_stop(Device *d) {
        ModbusSlave *s = (ModbusSlave *) d;
        bool listed = s->connections->len > 0 || s->unregistered;

        if (s->state == SLAVE_STOPPED)
                return;

        s->state = SLAVE_STOPPED;
        s->server.held = false;
        s->listeners = listener_set_free(s->listeners);
        slave_drop_port(s);
        s->watch = path_watch_free(s->watch);
        slave_free_connections(s);
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
        if (s->port)
                modbus_connection_flow(s->port);
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
