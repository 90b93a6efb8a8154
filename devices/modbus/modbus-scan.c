/* SPDX-License-Identifier: Apache-2.0 */
/* Scan of a master's line: one unit after another is asked for a register; who answers anything is there,
 * and is asked who it is. By our own codec on every transport: libmodbus knows no device identification.
 * Loop thread. */

#include "devices/modbus/modbus-scan.h"

#include <netdb.h>

#include "link/address.h"
#include "link/listener.h"

/* A far end that closes so often in a row does not want to be asked, or knows no Modbus. */
#define LOST_MAX 8U
#define DRAFT_POLL_DELAY 5U /* seconds: what a draft says about a unit that does not answer */

static const ModbusConnectionConf *scan_connection(const ModbusScan *s) {
        return &((const ModbusMasterConf *) s->device.conf)->connection;
}

static bool scan_is_serial(const ModbusScan *s) {
        return scan_connection(s)->transport.kind == MODBUS_TRANSPORT_SERIAL;
}

/* ---- lines ------------------------------------------------------------------------------------------- */

static void tell(ModbusScan *s, JsonWriter *w) {
        JsonSpan line;

        json_close_object(w);
        if (json_writer_end(w, &line) >= 0)
                device_scan_tell(&s->device, line);
        json_writer_done(w);
}

static void tell_begin(JsonWriter *w, const char *event) {
        json_writer_init_growing(w);
        json_open_object(w);
        json_member_string(w, "Event", event);
}

static void scan_tell_begin(ModbusScan *s) {
        JsonWriter w;

        tell_begin(&w, "begin");
        json_member_uint(&w, "From", s->unit);
        json_member_uint(&w, "To", s->to);
        json_member_string(&w, "Endpoint", s->endpoint);
        json_key(&w, "Draft");
        json_open_object(&w);
        json_key(&w, "connection");
        modbus_connection_conf_write_json(scan_connection(s), &w);
        json_close_object(&w);
        json_member_string(&w, "Parts", "remote_devices");
        tell(s, &w);
}

static void scan_tell_progress(ModbusScan *s) {
        JsonWriter w;

        tell_begin(&w, "progress");
        json_member_uint(&w, "Unit", s->unit);
        json_member_uint(&w, "Found", s->n_found);
        tell(s, &w);
}

/* What answered with a value can be polled at once. */
static void write_draft(const ModbusScan *s, JsonWriter *w) {
        json_open_object(w);
        json_member_uint(w, "device_id", s->unit);
        json_member_uint(w, "timeout_poll_delay", DRAFT_POLL_DELAY);
        json_key(w, "data");
        json_open_array(w);
        if (s->answer == MODBUS_SUCCESS) {
                json_open_object(w);
                json_member_string(w, "name", "register_0");
                json_member_uint(w, "interval", 1);
                json_member_string(w, "data_type", modbus_data_type_to_string(MODBUS_HOLDING_REGISTER));
                json_member_uint(w, "start_address", 0);
                json_member_uint(w, "bit_offset", 0);
                json_member_uint(w, "bit_count", 16);
                json_close_object(w);
        }
        json_close_array(w);
        json_close_object(w);
}

static void scan_tell_found(ModbusScan *s) {
        JsonWriter w;

        s->n_found++;
        tell_begin(&w, "found");
        json_member_uint(&w, "Unit", s->unit);
        json_member_string(&w, "Answer", modbus_result_to_string(s->answer));
        json_member_uint(&w, "RoundTripUSec", s->round_trip);
        modbus_identity_write_json(&s->identity, &w);
        json_key(&w, "Draft");
        write_draft(s, &w);
        tell(s, &w);
}

static void scan_end(ModbusScan *s, DeviceReason reason, const char *detail) {
        s->ended = true;
        deadline_set(s->next, USEC_INFINITY);
        device_scan_ended(&s->device, reason, detail);
}

static void scan_fail(ModbusScan *s, int error) {
        g_autofree char *why = error == -EBADMSG        ? g_strdup("what it sends is not Modbus")
                               : scan_is_serial(s)      ? serial_open_error(s->endpoint, error)
                               : error == 0             ? g_strdup("it closes the connection")
                               : error == -ENXIO        ? g_strdup("no such host")
                                                        : g_strdup(g_strerror(-error));
        g_autofree char *detail = g_strdup_printf("cannot use %s: %s", s->endpoint, why);

        scan_end(s, device_reason_from_errno(error), detail);
}

/* ---- connection -------------------------------------------------------------------------------------- */

static void scan_on_connected(void *userdata) {
        ModbusScan *s = userdata;

        s->connected = true;
        deadline_set(s->next, 0);
}

static void scan_next_unit(ModbusScan *s);

/* The unit whose request it ended is passed over, or goes without a name: it may be why. */
static void scan_on_closed(int error, void *userdata) {
        ModbusScan *s = userdata;
        bool lost = s->connected;

        s->link = modbus_link_free(s->link);
        s->connected = false;
        deadline_set(s->next, USEC_INFINITY);
        if (s->ended)
                return;
        if (!lost || ++s->n_lost >= LOST_MAX) {
                scan_fail(s, error);
                return;
        }
        if (s->asking)
                scan_next_unit(s);
        if (!s->ended)
                deadline_set(s->next, usec_add(s->attempt_at, MODBUS_ATTEMPT_GAP_USEC));
}

static const ModbusLinkHandler scan_link_handler = {
        .connected = scan_on_connected,
        .closed = scan_on_closed,
};

static void scan_connect(ModbusScan *s) {
        const ModbusConnectionConf *c = scan_connection(s);
        const ModbusLinkOptions options = {
                .framing = s->framing,
                .connect_timeout = c->connect_timeout,
                .request_timeout = s->timeout,
                .max_outstanding = 1,
                .tap = device_tap(&s->device),
        };
        sd_event *event = device_get_event(&s->device);
        int r;

        s->attempt_at = now_usec(CLOCK_MONOTONIC);
        if (scan_is_serial(s)) {
                const SerialOptions line = modbus_serial_options(&c->transport.serial, s->framing->kind);

                r = modbus_stream_link_open(event, s->endpoint, &line, &options, &scan_link_handler, s, &s->link);
        } else
                r = modbus_stream_link_connect(event, device_get_resolver(&s->device), c->transport.host,
                                               (uint16_t) c->transport.port, &options, &scan_link_handler, s, &s->link);
        if (r < 0)
                scan_fail(s, r);
}

/* A gateway that scans its own slave finds itself. */
static void scan_check_host(ModbusScan *s, const struct addrinfo *list) {
        for (const struct addrinfo *a = list; a; a = a->ai_next)
                if (listener_is_at(a->ai_addr)) {
                        g_autofree char *detail = g_strdup_printf("%s is this gateway itself", s->endpoint);

                        scan_end(s, DEVICE_REASON_CONFIG, detail);
                        return;
                }
        scan_connect(s);
}

static void scan_on_resolved(int error, struct addrinfo *list, void *userdata) {
        ModbusScan *s = userdata;

        s->query = NULL;
        if (error < 0) {
                scan_fail(s, error);
                return;
        }
        scan_check_host(s, list);
        freeaddrinfo(list);
}

static void scan_begin(ModbusScan *s) {
        const ModbusMasterTransport *t = &scan_connection(s)->transport;
        struct addrinfo *list;
        int r;

        scan_tell_begin(s);
        if (scan_is_serial(s)) {
                scan_connect(s);
                return;
        }
        r = address_numeric(t->host, (uint16_t) t->port, /* passive= */ false, &list);
        if (r >= 0) {
                scan_check_host(s, list);
                freeaddrinfo(list);
                return;
        }
        r = resolver_query(device_get_resolver(&s->device), t->host, (uint16_t) t->port, scan_on_resolved, s, &s->query);
        if (r < 0)
                scan_fail(s, r);
}

/* ---- units ------------------------------------------------------------------------------------------- */

static void scan_next_unit(ModbusScan *s) {
        if (s->answered)
                scan_tell_found(s);
        s->answered = s->asking = false;
        s->identity = (ModbusIdentity) {};
        if (s->unit++ >= s->to)
                scan_end(s, DEVICE_REASON_NONE, NULL);
}

/* It was answered, or not in time. */
static void scan_asked(ModbusScan *s) {
        s->asking = false;
        s->n_lost = 0;
}

static void scan_pause(ModbusScan *s, bool after_answer) {
        if (!s->ended)
                deadline_set_relative(s->next, after_answer ? s->request_delay : 0);
}

static void scan_on_identity(int error, const ModbusResponse *response, void *userdata) {
        ModbusScan *s = userdata;

        scan_asked(s);
        if (error < 0 || response->result != MODBUS_SUCCESS ||
            modbus_identity_add(&s->identity, response->data, response->size) <= 0)
                scan_next_unit(s);
        scan_pause(s, error >= 0);
}

static void scan_on_probed(int error, const ModbusResponse *response, void *userdata) {
        ModbusScan *s = userdata;

        scan_asked(s);
        if (error >= 0) {
                s->answered = modbus_result_is_of_unit(response->result);
                s->answer = response->result;
                s->round_trip = s->link->round_trip;
        }
        if (!s->answered)
                scan_next_unit(s);
        scan_pause(s, error >= 0);
}

static void scan_request(ModbusScan *s, const ModbusPdu *pdu, ModbusLinkCallback callback) {
        uint8_t *at = s->frame + s->framing->pdu_offset;
        size_t size = modbus_request_build(pdu, at);
        ModbusRequest request = { .frame = s->frame, .expect = modbus_expect((uint8_t) s->unit, at, size) };

        s->asking = true;
        request.size = s->framing->wrap(s->frame, 0, (uint8_t) s->unit, size);
        s->link->vtable->submit(s->link, &request, callback, s);
}

static void scan_on_next(void *userdata) {
        static const ModbusPdu probe = { .function = MODBUS_READ_HOLDING_REGISTERS, .quantity = 1 };
        ModbusScan *s = userdata;

        if (!s->link) {
                if (s->attempt_at > 0)
                        scan_connect(s);
                else
                        scan_begin(s);
                return;
        }
        if (s->answered) {
                const ModbusPdu pdu = modbus_identity_request(&s->identity);

                scan_request(s, &pdu, scan_on_identity);
                return;
        }
        scan_tell_progress(s);
        scan_request(s, &probe, scan_on_probed);
}

/* ---- device type ------------------------------------------------------------------------------------- */

int modbus_scan_begin(Device *d, const DeviceScanOptions *options) {
        ModbusScan *s = (ModbusScan *) d;
        const ModbusConnectionConf *c = scan_connection(s);
        int r;

        s->unit = options->to > 0 ? options->from : MODBUS_SCAN_FROM;
        s->to = options->to > 0 ? options->to : MODBUS_SCAN_TO;
        if (s->unit > s->to || s->to > UINT8_MAX)
                return -ERANGE;

        r = deadline_new(device_get_event(d), "modbus-scan", scan_on_next, s, &s->next);
        if (r < 0)
                return r;
        device_set_recorder(d, (size_t) ((const ModbusMasterConf *) d->conf)->recorder << 10);
        s->framing = modbus_framing_get((ModbusFramingKind) c->framing);
        s->timeout = options->timeout > 0 ? options->timeout : c->request_timeout;
        s->request_delay = c->request_delay;
        s->endpoint = modbus_connection_conf_endpoint(c);
        deadline_set(s->next, 0);
        return 0;
}

void modbus_scan_done(Device *d) {
        ModbusScan *s = (ModbusScan *) d;

        s->query = resolver_query_cancel(s->query);
        s->link = modbus_link_free(s->link);
        s->next = deadline_free(s->next);
        g_clear_pointer(&s->endpoint, g_free);
}
