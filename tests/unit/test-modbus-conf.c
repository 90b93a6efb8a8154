/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration of both Modbus roles: what is an error, what only costs the device in the hat form, what
 * is a warning, where it is reported; and what two devices must not share. */

#include <stdio.h>

#include "devices/modbus/modbus-conf.h"

#define ITEM(name, rest)         \
        "{name: " name ", " rest \
        "data_type: HOLDING_REGISTER, start_address: 0, bit_offset: 0, bit_count: 16}"

static const char master[] =
                "{connection: {modbus_type: TCP, transport: {type: TCP, host: h, port: 502}, "
                "connect_timeout: 1, connect_delay: 0.05, request_timeout: 0.1, request_delay: 0, "
                "request_retry_immediate_count: 0, request_retry_delayed_count: 0, request_retry_delay: 0}, "
                "remote_devices: [{device_id: 1, timeout_poll_delay: 0.05, "
                "data: [" ITEM("x", "interval: 0.02, ") "]}, "
                "{device_id: 2, timeout_poll_delay: 0, data: []}]}";

#define SLAVE_TCP \
        "{type: TCP, local_host: 0.0.0.0, local_port: 502, " \
        "remote_hosts: null, max_connections: null, response_timeout: 1, keep_alive_timeout: null}"

static const char slave[] =
                "{modbus_type: TCP, transport: " SLAVE_TCP ", "
                "data: [" ITEM("x", "device_id: 1, ") "]}";

#define SERIAL \
        "{type: SERIAL, port: /dev/ttyS0, baudrate: 9600, bytesize: EIGHTBITS, parity: MARK, " \
        "stopbits: ONE_POINT_FIVE, flow_control: {xonxoff: false, rtscts: false, dsrdtr: false}, " \
        "silent_interval: 0.005"

/* One role's table and a parsed configuration. */
typedef struct Fixture {
        ConfErrors *errors;
        ConfArena *arena;
        union {
                ModbusMasterConf master;
                ModbusSlaveConf slave;
        } conf;
        int r;
} Fixture;

static void fixture_init(Fixture *f, bool is_master, const char *text, ConfForm form) {
        _cleanup_(conf_document_freep) ConfDocument *document = NULL;

        *f = (Fixture) { .errors = conf_errors_new("test"), .arena = conf_arena_new() };
        g_assert_cmpint(conf_document_parse(text, strlen(text), f->errors, &document), >=, 0);
        f->r = conf_parse(conf_document_root(document),
                          is_master ? modbus_master_fields : modbus_slave_fields, form, f->arena, &f->conf,
                          f->errors);
        if (f->r >= 0 || f->r == -ERANGE)
                (is_master ? modbus_master_conf_verify : modbus_slave_conf_verify)(&f->conf, f->errors);
}

static void fixture_done(Fixture *f) {
        conf_errors_free(f->errors);
        conf_arena_free(f->arena);
}

static char *fixture_messages(Fixture *f) {
        char *text = NULL;
        size_t size = 0;
        FILE *stream = open_memstream(&text, &size);

        conf_errors_print(f->errors, stream);
        fclose(stream);
        return text;
}

static char *replace(const char *text, const char *from, const char *to) {
        g_auto(GStrv) parts = g_strsplit(text, from, 2);

        g_assert_cmpuint(g_strv_length(parts), ==, 2);
        return g_strconcat(parts[0], to, parts[1], NULL);
}

typedef enum Outcome { GOOD, WARNING, RANGE, ERROR } Outcome;

/* A good configuration with one thing changed. */
typedef struct Row {
        const char *from, *to;
        Outcome outcome;
        const char *message; /* part of it */
} Row;

static void check(bool is_master, const Row *row, ConfForm form) {
        g_autofree char *text = replace(is_master ? master : slave, row->from, row->to), *messages = NULL;
        Fixture f;

        fixture_init(&f, is_master, text, form);
        messages = fixture_messages(&f);
        g_test_message("%s: %s: %s", row->from, row->to, messages);
        g_assert_cmpuint(conf_errors_count(f.errors, CONF_WARNING), ==, row->outcome == WARNING);
        g_assert_cmpuint(conf_errors_count(f.errors, CONF_RANGE), ==, row->outcome == RANGE);
        g_assert_cmpuint(conf_errors_count(f.errors, CONF_ERROR), ==, row->outcome == ERROR);
        if (row->message)
                g_assert_nonnull(strstr(messages, row->message));
        fixture_done(&f);
}

static void test_master(void) {
        static const Row rows[] = {
                { "host: h", "host: h", GOOD },
                { "interval: 0.02", "interval: 0", GOOD },
                { "interval: 0.02", "interval: null", GOOD },
                { "interval: 0.02", "interval: -1", RANGE, "/remote_devices/0/data/0/interval: " },
                { "interval: 0.02", "interval: true", ERROR, "/remote_devices/0/data/0/interval: " },
                { "interval: 0.02, ", "", ERROR, "/remote_devices/0/data/0/interval: " },
                { "device_id: 2", "device_id: 1", RANGE,
                  "/remote_devices/1/device_id: duplicate device id 1" },
                { "device_id: 2", "device_id: 256", RANGE, "/remote_devices/1/device_id: " },
                { "device_id: 2", "device_id: -1", RANGE, "/remote_devices/1/device_id: " },
                { "device_id: 2", "device_id: 255", GOOD },
                { "device_id: 2", "device_id: 0", GOOD },
                { "device_id: 2", "device_id: 2.0", GOOD },
                { "device_id: 2", "device_id: 2.5", ERROR, "/remote_devices/1/device_id: " },
                { "timeout_poll_delay: 0.05", "timeout_poll_delay: -0.05", RANGE,
                  "/remote_devices/0/timeout_poll_delay: " },
                { "start_address: 0", "start_address: 65535", GOOD },
                { "start_address: 0", "start_address: 65536", RANGE,
                  "/remote_devices/0/data/0/start_address: " },
                { "start_address: 0, bit_offset: 0", "start_address: 65535, bit_offset: 1", RANGE,
                  "/remote_devices/0/data/0/start_address: ends behind address 65535" },
                { "bit_count: 16", "bit_count: 0", RANGE, "/remote_devices/0/data/0/bit_count: " },
                { "bit_count: 16", "bit_count: 2000", GOOD },
                { "bit_count: 16", "bit_count: 2001", WARNING,
                  "/remote_devices/0/data/0/bit_count: warning: needs 126" },
                { "bit_count: 16", "bit_count: 9000000000000000000", RANGE, "ends behind address 65535" },
                { "HOLDING_REGISTER, start_address: 0, bit_offset: 0, bit_count: 16",
                  "COIL, start_address: 0, bit_offset: 1, bit_count: 2000", WARNING, "needs 2001" },
                { "HOLDING_REGISTER, start_address: 0, bit_offset: 0, bit_count: 16",
                  "QUEUE, start_address: 0, bit_offset: 0, bit_count: 14284", GOOD },
                { "HOLDING_REGISTER, start_address: 0, bit_offset: 0, bit_count: 16",
                  "QUEUE, start_address: 0, bit_offset: 0, bit_count: 14285", RANGE,
                  "at most 14284 can be reported" },
                { "bit_offset: 0", "bit_offset: -1", RANGE, "/remote_devices/0/data/0/bit_offset: " },
                { "data_type: HOLDING_REGISTER", "data_type: holding_register", ERROR,
                  "/remote_devices/0/data/0/data_type: " },
                { "data: []", "data: [" ITEM("x", "interval: 1, ") "]", GOOD },
                { "bit_count: 16}", "bit_count: 16}, " ITEM("x", "interval: 1, "), RANGE,
                  "/remote_devices/0/data/1/name: duplicate name \"x\"" },
                { "name: x", "name: \"\"", GOOD },
                { "port: 502", "port: 0", RANGE, "/connection/transport/port: " },
                { "port: 502", "port: 65536", RANGE, "/connection/transport/port: " },
                { "port: 502", "port: \"502\"", ERROR, "/connection/transport/port: " },
                { "request_timeout: 0.1", "request_timeout: 0", RANGE, "/connection/request_timeout: " },
                { "connect_timeout: 1", "connect_timeout: 0", RANGE, "/connection/connect_timeout: " },
                { "connect_delay: 0.05", "connect_delay: 0", GOOD },
                { "connect_delay: 0.05", "connect_delay: -1", RANGE, "/connection/connect_delay: " },
                { "connect_delay: 0.05, ", "", ERROR, "/connection/connect_delay: " },
                { "request_delay: 0", "request_delay: null", ERROR, "/connection/request_delay: " },
                { "request_retry_immediate_count: 0", "request_retry_immediate_count: 1.0", GOOD },
                { "request_retry_immediate_count: 0", "request_retry_immediate_count: 1.5", ERROR, NULL },
                { "request_retry_immediate_count: 0", "request_retry_immediate_count: -1", RANGE, NULL },
                { "connect_timeout: 1", "probe_budget: 1, connect_timeout: 1", GOOD },
                { "connect_timeout: 1", "probe_budget: 0, connect_timeout: 1", RANGE, "/connection/probe_budget: " },
                { "connect_timeout: 1", "probe_budget: 1.1, connect_timeout: 1", RANGE, "/connection/probe_budget: " },
                { "connect_timeout: 1", "max_outstanding: 16, connect_timeout: 1", GOOD },
                { "connect_timeout: 1", "max_outstanding: 0, connect_timeout: 1", RANGE, "/connection/max_outstanding: " },
                { "connect_timeout: 1", "max_outstanding: 17, connect_timeout: 1", RANGE, "/connection/max_outstanding: " },
                { "modbus_type: TCP", "modbus_type: RTU, max_outstanding: 1", GOOD },
                { "modbus_type: TCP", "modbus_type: RTU, max_outstanding: 2", RANGE,
                  "/connection/max_outstanding: answers can be told apart only" },
                { "{type: TCP, host: h, port: 502}", SERIAL "}, max_outstanding: 2", RANGE,
                  "/connection/max_outstanding: answers can be told apart only" },
                { "data: []", "data: [], max_gap: 10, max_quantity: null", GOOD },
                { "data: []", "data: [], max_gap: null", GOOD },
                { "data: []", "data: [], max_quantity: 0", RANGE, "/max_quantity: " },
                { "bit_count: 16}]", "bit_count: 17}], max_quantity: 2", GOOD },
                { "bit_count: 16}]", "bit_count: 17}], max_quantity: 1", WARNING,
                  "/data/0/bit_count: warning: needs 2 registers or coils, more than the max_quantity of 1" },
                { "0.02, data_type: HOLDING_REGISTER, start_address: 0, bit_offset: 0, bit_count: 16}]",
                  "null, data_type: HOLDING_REGISTER, start_address: 0, bit_offset: 0, bit_count: 17}], max_quantity: 1", GOOD },
                { "bit_count: 16}", "bit_count: 16, report: {}}", GOOD },
                { "bit_count: 16}", "bit_count: 16, report: {deadband: 0.5, max_interval: null}}", GOOD },
                { "bit_count: 16}", "bit_count: 16, report: {deadband: -1}}", RANGE, "/data/0/report/deadband: " },
                { "bit_count: 16}", "bit_count: 16, report: {max_interval: 0}}", RANGE, "/data/0/report/max_interval: " },
                { "bit_count: 16}", "bit_count: 16, value: {type: int}}", GOOD },
                { "bit_count: 16}", "bit_count: 16, value: {}}", ERROR, "/data/0/value/type: required" },
                { "bit_count: 16}", "bit_count: 24, value: {type: float}}", RANGE,
                  "/data/0/value/type: a value of type float needs 16, 32 or 64 bits" },
                { "bit_count: 16}", "bit_count: 24, value: {type: int, word_order: little}}", RANGE,
                  "needs whole registers" },
                { "bit_count: 16}", "bit_count: 16, value: {type: int, scale: 0}}", RANGE, "/data/0/value/scale: " },
                { "bit_count: 16}", "bit_count: 16, value: {type: int, scale: -0.1, offset: -5, min: null, max: 7}}", GOOD },
                { "bit_count: 16}", "bit_count: 8, value: {type: int, enum: [{raw: -128, name: a}, {raw: 127, name: b}]}}",
                  GOOD },
                { "bit_count: 16}", "bit_count: 8, value: {type: int, enum: [{raw: 128, name: a}]}}", RANGE,
                  "/data/0/value/enum/0/raw: 128 does not fit 8 bits" },
                { "bit_count: 16}", "bit_count: 8, value: {type: bcd, enum: [{raw: 100, name: a}]}}", RANGE, "does not fit" },
                { "bit_count: 16}", "bit_count: 8, value: {type: uint, enum: [{raw: 1, name: a}, {raw: 2, name: a}]}}",
                  RANGE, "duplicate name" },
                { "bit_count: 16}", "bit_count: 8, value: {type: int, enum: [{raw: -1, name: a}, {raw: 0, name: b}, {raw: -1, name: c}]}}",
                  RANGE, "/data/0/value/enum/2/raw: duplicate raw -1" },
                { "bit_count: 16}", "bit_count: 1, value: {type: bool, enum: [{raw: 1, name: a}]}}", RANGE,
                  "/data/0/value/enum: only integers" },
                { "modbus_type: TCP", "modbus_type: ASCII", GOOD },
                { "modbus_type: TCP", "modbus_type: UDP", ERROR, "/connection/modbus_type: " },
                { "type: TCP, host", "type: UDP, host", ERROR, "/connection/transport/type: " },
                { "{type: TCP, host: h, port: 502}", SERIAL "}", GOOD },
                { "{type: TCP, host: h, port: 502}", SERIAL ", rs485: {}}", GOOD },
                { "{type: TCP, host: h, port: 502}", SERIAL ", rs485: {delay_before: 2}}", RANGE,
                  "/connection/transport/rs485/delay_before: " },
                { "{type: TCP, host: h, port: 502}", SERIAL ", speed: 1}", ERROR,
                  "/connection/transport/speed: " },
        };

        for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
                check(true, &rows[i], CONF_FORM_NATIVE);
}

/* Unit 0 is one like others over TCP, and all of them on a line. */
static void test_broadcast(void) {
        g_autofree char *line = replace(master, "{type: TCP, host: h, port: 502}", SERIAL "}"),
                        *text = replace(line, "device_id: 2", "device_id: 0"), *messages = NULL;
        Fixture f;

        fixture_init(&f, true, text, CONF_FORM_NATIVE);
        messages = fixture_messages(&f);
        g_assert_cmpuint(conf_errors_count(f.errors, CONF_WARNING), ==, 1);
        g_assert_nonnull(strstr(messages, "/remote_devices/1/device_id: warning: on a serial line 0 is for all units"));
        fixture_done(&f);
}

/* What can be told of a line without it. ASCII framing lives on 7 bits. */
static void test_line(void) {
        static const struct {
                bool master;
                const char *baudrate, *bytesize, *framing, *warning; /* NULL: none */
        } rows[] = {
                { true, "1", "EIGHTBITS", "RTU", NULL },
                { true, "20000000", "EIGHTBITS", "RTU", NULL },
                { true, "0", "EIGHTBITS", "RTU", "/connection/transport/baudrate: warning: no line has a speed of 0 bit/s" },
                { true, "-9600", "EIGHTBITS", "RTU", "no line has a speed of -9600 bit/s" },
                { true, "20000001", "EIGHTBITS", "ASCII", "no line has a speed of 20000001 bit/s" },
                { true, "4294976896", "EIGHTBITS", "TCP", "no line has a speed of 4294976896 bit/s" },
                { true, "9600", "SEVENBITS", "RTU", "/connection/transport/bytesize: warning: RTU framing needs EIGHTBITS" },
                { true, "9600", "SEVENBITS", "TCP", "TCP framing needs EIGHTBITS" },
                { true, "9600", "SEVENBITS", "ASCII", NULL },
                { false, "9600", "EIGHTBITS", "RTU", NULL },
                { false, "0", "EIGHTBITS", "RTU", "/transport/baudrate: warning: no line has a speed of 0 bit/s" },
                { false, "9600", "FIVEBITS", "RTU", "/transport/bytesize: warning: RTU framing needs EIGHTBITS" },
        };

        for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
                g_autofree char *framing = g_strdup_printf("modbus_type: %s", rows[i].framing),
                                *speed = g_strdup_printf("baudrate: %s", rows[i].baudrate),
                                *line = replace(SERIAL, "baudrate: 9600", speed),
                                *bits = replace(line, "EIGHTBITS", rows[i].bytesize),
                                *whole = g_strconcat(bits, rows[i].master ? "}" : ", response_timeout: 1, keep_alive_timeout: 1}", NULL),
                                *framed = replace(rows[i].master ? master : slave, "modbus_type: TCP", framing),
                                *text = replace(framed, rows[i].master ? "{type: TCP, host: h, port: 502}" : SLAVE_TCP, whole),
                                *messages = NULL;
                Fixture f;

                fixture_init(&f, rows[i].master, text, CONF_FORM_HAT);
                messages = fixture_messages(&f);
                g_test_message("%s", messages);
                g_assert_cmpint(f.r, ==, 0);
                g_assert_cmpuint(conf_errors_count(f.errors, CONF_WARNING), ==, rows[i].warning != NULL);
                g_assert_true(!rows[i].warning || strstr(messages, rows[i].warning));
                fixture_done(&f);
        }
}

static void test_slave(void) {
        static const Row rows[] = {
                { "local_port: 502", "local_port: 0", GOOD },
                { "local_port: 502", "local_port: 65536", RANGE, "/transport/local_port: " },
                { "local_host: 0.0.0.0, local_port: 502", "listen: 'fd:modbus'", GOOD },
                { "local_host: 0.0.0.0, local_port: 502", "listen: 'fd:'", ERROR,
                  "/transport/listen: expected fd:NAME" },
                { "local_host: 0.0.0.0, local_port: 502", "listen: 'fd:a:b'", ERROR,
                  "/transport/listen: expected fd:NAME" },
                { "local_host: 0.0.0.0, local_port: 502", "listen: modbus", ERROR,
                  "/transport/listen: expected fd:NAME" },
                { "local_port: 502, ", "", ERROR, "/transport/local_port: " },
                { "local_host: 0.0.0.0, ", "", ERROR, "/transport/local_host: " },
                { "remote_hosts: null", "remote_hosts: []", GOOD },
                { "remote_hosts: null", "remote_hosts: [not an address]", GOOD },
                { "remote_hosts: null, ", "", ERROR, "/transport/remote_hosts: " },
                { "max_connections: null", "max_connections: 0", GOOD },
                { "max_connections: null", "max_connections: -1", RANGE, "/transport/max_connections: " },
                { "response_timeout: 1", "response_timeout: 0", RANGE, "/transport/response_timeout: " },
                { "keep_alive_timeout: null", "keep_alive_timeout: 0", RANGE,
                  "/transport/keep_alive_timeout: " },
                { "keep_alive_timeout: null", "keep_alive_timeout: 0.1", GOOD },
                { "device_id: 1", "device_id: 255", GOOD },
                { "device_id: 1", "device_id: 0", WARNING,
                  "/data/0/device_id: warning: device id 0 can never be addressed" },
                { "device_id: 1", "device_id: 321", WARNING, "device id 321 can never be addressed" },
                { "data_type: HOLDING_REGISTER", "data_type: QUEUE", RANGE,
                  "/data/0/data_type: QUEUE cannot be offered" },
                { "start_address: 0, bit_offset: 0, bit_count: 16",
                  "start_address: 65535, bit_offset: 0, bit_count: 16", GOOD },
                { "start_address: 0, bit_offset: 0, bit_count: 16",
                  "start_address: 65535, bit_offset: 1, bit_count: 16", RANGE,
                  "/data/0/start_address: covers addresses 65535 to 65536" },
                { "start_address: 0, bit_offset: 0", "start_address: 0, bit_offset: 9223372036854775807",
                  RANGE, NULL },
                { "bit_count: 16}", "bit_count: 16}, " ITEM("x", "device_id: 2, "), RANGE,
                  "/data/1/name: duplicate name \"x\"" },
                { "bit_count: 16}", "bit_count: 16, interval: 1}", ERROR, "/data/0/interval: " },
                { "bit_count: 16}", "bit_count: 16, value: {type: int, scale: 0.1, min: -5, max: 5, enum: [{raw: -1, name: a}]}}",
                  GOOD },
                { "bit_count: 16}", "bit_count: 16, value: {}}", ERROR, "/data/0/value/type: required" },
                { "bit_count: 16}", "bit_count: 24, value: {type: float}}", RANGE,
                  "/data/0/value/type: a value of type float needs 16, 32 or 64 bits" },
                { "bit_count: 16}", "bit_count: 16, value: {type: uint, min: 2, max: 1}}", RANGE,
                  "/data/0/value/min: min is above max" },
                { "{type: TCP, local_host: 0.0.0.0, local_port: 502, remote_hosts: null, "
                  "max_connections: null, response_timeout: 1, keep_alive_timeout: null}",
                  SERIAL ", response_timeout: 1, keep_alive_timeout: 10}", GOOD },
        };
        Fixture f;
        g_autofree char *both = replace(slave, "local_host", "listen: 'fd:x', local_host");

        for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
                check(false, &rows[i], CONF_FORM_NATIVE);

        fixture_init(&f, false, both, CONF_FORM_NATIVE);
        g_assert_cmpuint(conf_errors_count(f.errors, CONF_ERROR), >=, 1);
        fixture_done(&f);
}

/* silent_interval is optional in the native form only; unknown keys are warnings in the hat form. */
static void test_forms(void) {
        static const Row no_interval = {
                "{type: TCP, host: h, port: 502}",
                "{type: SERIAL, port: /dev/ttyS0, baudrate: 9600, bytesize: EIGHTBITS, parity: NONE, "
                "stopbits: ONE, flow_control: {xonxoff: false, rtscts: false, dsrdtr: false}}",
                GOOD, NULL
        };
        Row in_hat = no_interval;

        check(true, &no_interval, CONF_FORM_NATIVE);
        in_hat.outcome = ERROR;
        in_hat.message = "silent_interval";
        check(true, &in_hat, CONF_FORM_HAT);
        check(true, &(Row) { "host: h", "host: h, speed: 1", ERROR, "/connection/transport/speed: " },
              CONF_FORM_NATIVE);
        check(true, &(Row) { "host: h", "host: h, speed: 1", WARNING, "/connection/transport/speed: " },
              CONF_FORM_HAT);
        check(true, &(Row) { "device_id: 2", "device_id: 1", RANGE, NULL }, CONF_FORM_HAT);
}

static void test_values(void) {
        g_autofree char *nobody = replace(slave, "remote_hosts: null", "remote_hosts: []");
        const ModbusRemoteConf *remote;
        const ModbusMasterData *data;
        Fixture f;

        fixture_init(&f, true, master, CONF_FORM_NATIVE);
        g_assert_cmpint(f.conf.master.connection.framing, ==, MODBUS_FRAMING_TCP);
        g_assert_cmpint(f.conf.master.connection.transport.kind, ==, MODBUS_TRANSPORT_TCP);
        g_assert_cmpstr(f.conf.master.connection.transport.host, ==, "h");
        g_assert_cmpuint(f.conf.master.connection.request_timeout, ==, 100000);
        g_assert_cmpuint(f.conf.master.remote_devices.n, ==, 2);
        remote = f.conf.master.remote_devices.items;
        g_assert_cmpuint(remote->timeout_poll_delay, ==, 50000);
        g_assert_cmpint(remote->max_gap, ==, 0);
        data = remote->data.items;
        g_assert_cmpstr(data->name, ==, "x");
        g_assert_cmpuint(data->interval, ==, 20000);
        g_assert_cmpint(data->type, ==, MODBUS_HOLDING_REGISTER);
        fixture_done(&f);

        fixture_init(&f, true, master, CONF_FORM_HAT);
        remote = f.conf.master.remote_devices.items;
        g_assert_cmpint(remote->max_gap, ==, -1);
        fixture_done(&f);

        fixture_init(&f, false, slave, CONF_FORM_NATIVE);
        g_assert_null(f.conf.slave.transport.remote_hosts.items);
        g_assert_cmpint(f.conf.slave.transport.max_connections, ==, -1);
        g_assert_cmpuint(f.conf.slave.transport.keep_alive_timeout, ==, USEC_INFINITY);
        g_assert_null(modbus_slave_conf_listen_name(&f.conf.slave));
        fixture_done(&f);

        fixture_init(&f, false, nobody, CONF_FORM_NATIVE);
        g_assert_nonnull(f.conf.slave.transport.remote_hosts.items);
        g_assert_cmpuint(f.conf.slave.transport.remote_hosts.n, ==, 0);
        fixture_done(&f);
}

static SerialOptions serial_options(const char *from, const char *to, const char *framing) {
        g_autofree char *serial = replace(master, "{type: TCP, host: h, port: 502}", SERIAL "}"),
                        *computed = replace(serial, ", silent_interval: 0.005", ""),
                        *framed = replace(computed, "modbus_type: TCP", framing), *text = replace(framed, from, to);
        SerialOptions o;
        Fixture f;

        fixture_init(&f, true, text, CONF_FORM_NATIVE);
        o = modbus_serial_options(&f.conf.master.connection.transport.serial,
                                  (ModbusFramingKind) f.conf.master.connection.framing);
        fixture_done(&f);
        return o;
}

/* A silence that is not given is 3.5 characters before and after, with RTU framing. */
static void test_serial_options(void) {
        SerialOptions o = serial_options("baudrate: 9600", "baudrate: 9600", "modbus_type: RTU");

        g_assert_cmpuint(o.baudrate, ==, 9600);
        g_assert_cmpuint(o.data_bits, ==, 8);
        g_assert_cmpint(o.parity, ==, SERIAL_PARITY_MARK);
        g_assert_cmpuint(o.silence_after_sent, ==, 4375); /* of 12 bits */
        g_assert_cmpuint(o.silence_after_received, ==, 4375); /* of 12 bits */
        g_assert_false(o.rs485.enabled);

        o = serial_options("baudrate: 9600", "baudrate: 9600", "modbus_type: ASCII");
        g_assert_cmpuint(o.silence_after_sent, ==, 0);
        g_assert_cmpuint(o.silence_after_received, ==, 0);

        o = serial_options("baudrate: 9600", "baudrate: 9600, silent_interval: 0.25", "modbus_type: RTU");
        g_assert_cmpuint(o.silence_after_sent, ==, 250000);
        g_assert_cmpuint(o.silence_after_received, ==, 0);

        o = serial_options("baudrate: 9600", "baudrate: -1, rs485: {rts_on_send: false, delay_after: 0.002}",
                           "modbus_type: RTU");
        g_assert_cmpuint(o.baudrate, ==, 0); /* opening fails */
        g_assert_true(o.rs485.enabled);
        g_assert_false(o.rs485.rts_on_send);
        g_assert_cmpuint(o.rs485.delay_before, ==, 0);
        g_assert_cmpuint(o.rs485.delay_after, ==, 2000);
}

/* What is new leaves hat-gateway's configurations as they were. */
static void test_defaults(void) {
        for (ConfForm form = CONF_FORM_NATIVE; form <= CONF_FORM_HAT; form++) {
                bool native = form == CONF_FORM_NATIVE;
                Fixture f;

                fixture_init(&f, true, master, form);
                g_assert_cmpint(f.conf.master.connection.write_priority, ==, native);
                g_assert_cmpfloat(f.conf.master.connection.probe_budget, ==, native ? 0.05 : 1);
                g_assert_cmpint(f.conf.master.answer_always, ==, native);
                g_assert_cmpint(f.conf.master.report_errors, ==,
                                native ? MODBUS_REPORT_ERRORS_CHANGE : MODBUS_REPORT_ERRORS_ALWAYS);
                fixture_done(&f);
        }
}

static size_t claim_conflicts(bool is_master, const char *text) {
        _cleanup_(conf_claims_freep) ConfClaims *claims = conf_claims_new();
        void (*claim)(const void *, ConfClaims *, ConfErrors *) =
                        is_master ? modbus_master_conf_claims : modbus_slave_conf_claims;
        size_t n;
        Fixture f;

        fixture_init(&f, is_master, text, CONF_FORM_NATIVE);
        claim(&f.conf, claims, f.errors);
        g_assert_cmpuint(conf_errors_count(f.errors, CONF_ERROR), ==, 0);
        claim(&f.conf, claims, f.errors); /* another device with the same */
        n = conf_errors_count(f.errors, CONF_ERROR);
        fixture_done(&f);
        return n;
}

static void test_claims(void) {
        g_autofree char *serial = replace(master, "{type: TCP, host: h, port: 502}", SERIAL "}");
        g_autofree char *passed = replace(slave, "local_host: 0.0.0.0, local_port: 502",
                                          "listen: 'fd:modbus'");
        g_autofree char *any_port = replace(slave, "local_port: 502", "local_port: 0");

        g_assert_cmpuint(claim_conflicts(true, master), ==, 0);
        g_assert_cmpuint(claim_conflicts(true, serial), ==, 1);
        g_assert_cmpuint(claim_conflicts(false, slave), ==, 1);
        g_assert_cmpuint(claim_conflicts(false, passed), ==, 1);
        g_assert_cmpuint(claim_conflicts(false, any_port), ==, 0);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);

        g_test_add_func("/modbus-conf/master", test_master);
        g_test_add_func("/modbus-conf/broadcast", test_broadcast);
        g_test_add_func("/modbus-conf/line", test_line);
        g_test_add_func("/modbus-conf/slave", test_slave);
        g_test_add_func("/modbus-conf/forms", test_forms);
        g_test_add_func("/modbus-conf/values", test_values);
        g_test_add_func("/modbus-conf/claims", test_claims);
        g_test_add_func("/modbus-conf/serial-options", test_serial_options);
        g_test_add_func("/modbus-conf/defaults", test_defaults);
        return g_test_run();
}
