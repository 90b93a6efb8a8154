/* SPDX-License-Identifier: Apache-2.0 */
/* A modbus_master between a fake host and a peer that the test plays by hand: what its tests share. Main thread. */
#pragma once

#include "tests/unit/modbus-peer.h"

extern const DeviceType modbus_master_device_type;

#define MS USEC_PER_MSEC

#define ITEM(name, interval, type, start, offset, count)                                              \
        "{name: " name ", interval: " interval ", data_type: " type ", start_address: " start         \
        ", bit_offset: " offset ", bit_count: " count "}"
#define REMOTE(id, delay, items) "{device_id: " id ", timeout_poll_delay: " delay ", data: [" items "]}"
#define WORD(name, interval) ITEM(name, interval, "HOLDING_REGISTER", "0", "0", "16")

/* One holding register x at 0 of remote device 1: read every 20 ms, once and then no more, all the time. */
#define POLLED REMOTE("1", "0.05", WORD("x", "0.02"))
#define POLLED_ONCE REMOTE("1", "0.05", WORD("x", "1000"))
#define POLLED_FAST REMOTE("1", "0", WORD("x", "0"))
#define READ_X "01 03 0000 0001"

/* Only written. */
#define WRITTEN                                                                                       \
        REMOTE("1", "0",                                                                              \
               ITEM("coil", "null", "COIL", "10", "0", "1") ","                                       \
               ITEM("coils", "null", "COIL", "100", "2", "3") ","                                     \
               ITEM("reg", "null", "HOLDING_REGISTER", "100", "0", "16") ","                          \
               ITEM("odd", "null", "HOLDING_REGISTER", "100", "8", "32") ","                          \
               ITEM("big", "null", "HOLDING_REGISTER", "0", "0", "1984") ","                          \
               ITEM("input", "null", "INPUT_REGISTER", "0", "0", "16"))

/* Settings of a connection that tests change. Whoever answers has longer than a busy machine keeps this process waiting. */
typedef struct Settings {
        const char *connect_delay, *request_delay, *request_timeout;
        unsigned immediate, delayed;
        ModbusFramingKind framing;
        bool line;              /* serial, without parity */
        uint64_t baudrate;      /* 0: 115200 */
        const char *silent_interval;
        unsigned max_outstanding; /* 0: 1 */
        bool beyond;            /* with what the native form adds to the specification */
} Settings;

typedef struct Fixture {
        FakeHost *host;
        Peer *peer;
} Fixture;

static _unused_ char *transport_text(const Settings *s, const Peer *peer) {
        if (!s->line)
                return g_strdup_printf("{type: TCP, host: 127.0.0.1, port: %u}", peer->port);
        return g_strdup_printf("{type: SERIAL, port: '%s', baudrate: %" PRIu64 ", bytesize: EIGHTBITS, parity: NONE, "
                               "stopbits: ONE, flow_control: {xonxoff: false, rtscts: false, dsrdtr: false}%s%s}",
                               peer->pty->path, s->baudrate ?: UINT64_C(115200), s->silent_interval ? ", silent_interval: " : "",
                               s->silent_interval ?: "");
}

static _unused_ char *conf_text(const Settings *s, const Peer *peer, const char *remote_devices) {
        g_autofree char *transport = transport_text(s, peer);
        g_autoptr(GString) remotes = g_string_new(remote_devices);

        if (!s->beyond)
                g_string_replace(remotes, "{device_id:", "{max_gap: null, device_id:", 0);
        return g_strdup_printf(
                        "{connection: {modbus_type: %s, transport: %s, "
                        "connect_timeout: 10, connect_delay: %s, request_timeout: %s, request_delay: %s, "
                        "request_retry_immediate_count: %u, request_retry_delayed_count: %u, "
                        "request_retry_delay: 0.02, max_outstanding: %u%s}, remote_devices: [%s]%s}",
                        modbus_framing_to_string(s->framing), transport, s->connect_delay ?: "0.05",
                        s->request_timeout ?: "2", s->request_delay ?: "0", s->immediate, s->delayed,
                        MAX(s->max_outstanding, 1U),
                        s->beyond ? "" : ", write_priority: false, probe_budget: 1", remotes->str,
                        s->beyond ? "" : ", answer_always: false, report_errors: always");
}

static _unused_ void fixture_init(Fixture *f, const Settings *settings, const char *remote_devices) {
        g_autofree char *conf = NULL;

        f->peer = settings->line ? peer_new_on_line(settings->framing) : peer_new(settings->framing);
        conf = conf_text(settings, f->peer, remote_devices);
        f->host = fake_host_new(&modbus_master_device_type, conf);
        f->peer->host = f->host;
}

static _unused_ void fixture_done(Fixture *f) {
        f->host = fake_host_free(f->host);
        f->peer = peer_free(f->peer);
}

static _unused_ void enable(Fixture *f, const char *id) {
        g_ptr_array_add(f->host->answers, g_strdup_printf("remote_device/%s/enable true", id));
}

/* Up to a connection, with its statuses taken. */
static _unused_ void connect_master(Fixture *f) {
        fake_host_start(f->host);
        fake_host_expect(f->host, "status \"CONNECTING\"", "status \"CONNECTED\"");
        if (!f->peer->pty)
                peer_accept(f->peer);
        g_assert_true(f->host->started);
}

#define GOOD(name, value, cause) \
        "read/" name " {\"result\": \"SUCCESS\", \"value\": " value ", \"cause\": \"" cause "\"}"
#define INTERROGATE(value) "remote_device/1/" GOOD("x", value, "INTERROGATE")
#define CHANGE(value) "remote_device/1/" GOOD("x", value, "CHANGE")
#define R1(status) "remote_device/1/status \"" status "\""
#define S(status) "status \"" status "\""

#define WRITE_RESULT(name, id, result) \
        "remote_device/1/write/" name " {\"request_id\": " id ", \"result\": \"" result "\"}"

static _unused_ void write_value(Fixture *f, const char *name, const char *json) {
        g_autofree char *type = g_strdup_printf("remote_device/1/write/%s", name);

        fake_host_event(f->host, type, json);
}

static _unused_ const StatusField *find_field(const StatusField *fields, const char *name) {
        while (fields->name && !streq(fields->name, name))
                fields++;
        g_assert_nonnull(fields->name);
        return fields;
}

static _unused_ uint64_t field_value(const StatusField *fields, const void *base, const char *name) {
        const StatusField *f = find_field(fields, name);
        const void *at = (const uint8_t *) base + f->offset;

        return f->compute ? f->compute(at) : *(const uint64_t *) at;
}

static _unused_ uint64_t status_value(FakeHost *h, const char *name) {
        return field_value(h->device->type->status, h->device, name);
}

static _unused_ uint64_t unit_status(FakeHost *h, size_t i, const char *name) {
        const DeviceType *type = h->device->type;

        return field_value(type->part_fields, type->part(h->device, i), name);
}
