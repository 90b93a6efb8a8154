/* SPDX-License-Identifier: Apache-2.0 */
/* A modbus_slave between a fake host and raw clients (or the far end of a serial line) in the same loop: what
 * its tests share. Frames and PDUs
 * are hexadecimal digits, blanks allowed. Main thread. */
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "devices/modbus/modbus-connection.h"
#include "tests/unit/fake-host.h"
#include "tests/unit/hex.h"
#include "tests/unit/pty.h"

extern const DeviceType modbus_slave_device_type;

#define MS USEC_PER_MSEC
#define CLIENT_WAIT_USEC (5 * USEC_PER_SEC)

#define ITEM(name, id, type, start, offset, count)                                                    \
        "{name: " name ", device_id: " id ", data_type: " type ", start_address: " start              \
        ", bit_offset: " offset ", bit_count: " count "}"

/* The specification's examples: x and y share register 0, b and e register 21. */
#define EXAMPLES                                                                                      \
        ITEM("x", "1", "HOLDING_REGISTER", "0", "0", "16") ","                                        \
        ITEM("y", "1", "HOLDING_REGISTER", "0", "8", "16") ","                                        \
        ITEM("b", "1", "HOLDING_REGISTER", "20", "12", "24") ","                                      \
        ITEM("e", "1", "HOLDING_REGISTER", "21", "0", "4") ","                                        \
        ITEM("c", "1", "COIL", "5", "2", "3") ","                                                     \
        ITEM("d", "1", "DISCRETE_INPUT", "0", "0", "9") ","                                           \
        ITEM("i", "1", "INPUT_REGISTER", "30", "0", "80") ","                                         \
        ITEM("many", "1", "HOLDING_REGISTER", "1000", "0", "2080") ","                                \
        ITEM("zero", "0", "HOLDING_REGISTER", "0", "0", "16") ","                                     \
        ITEM("other", "7", "HOLDING_REGISTER", "0", "0", "16")

/* What tests change of a configuration; NULL: the usual. */
typedef struct Settings {
        const char *framing, *host, *port, *listen, *remote_hosts, *max_connections, *response_timeout,
                        *keep_alive, *data;
        const char *serial; /* path: on that line, which has no parity and 19200 bit/s, not over TCP */
} Settings;

typedef struct Client {
        FakeHost *host;
        int fd;
        GByteArray *input; /* received and not taken */
        uint16_t port;     /* its own */
        bool tty;          /* fd is the test's: the far end of a line */
        bool ended;
} Client;

static _unused_ FakeHost *serial_slave_new(const Settings *s) {
        g_autofree char *conf = g_strdup_printf(
                        "{modbus_type: %s, transport: {type: SERIAL, port: '%s', baudrate: 19200, "
                        "bytesize: EIGHTBITS, parity: NONE, stopbits: ONE, "
                        "flow_control: {xonxoff: false, rtscts: false, dsrdtr: false}, "
                        "response_timeout: %s, keep_alive_timeout: %s}, data: [%s]}",
                        s->framing ?: "RTU", s->serial, s->response_timeout ?: "5", s->keep_alive ?: "5",
                        s->data ?: EXAMPLES);

        return fake_host_new(&modbus_slave_device_type, conf);
}

static _unused_ FakeHost *slave_new(const Settings *s) {
        g_autofree char *where = s->listen ? g_strdup_printf("listen: '%s'", s->listen)
                                           : g_strdup_printf("local_host: '%s', local_port: %s",
                                                             s->host ?: "127.0.0.1", s->port ?: "0");
        g_autofree char *conf = g_strdup_printf(
                        "{modbus_type: %s, transport: {type: TCP, %s, remote_hosts: %s, "
                        "max_connections: %s, "
                        "response_timeout: %s, keep_alive_timeout: %s}, data: [%s]}",
                        s->framing ?: "TCP", where, s->remote_hosts ?: "null", s->max_connections ?: "null",
                        s->response_timeout ?: "5", s->keep_alive ?: "null", s->data ?: EXAMPLES);

        return fake_host_new(&modbus_slave_device_type, conf);
}

/* A slave that listens on a port, with `connections` [] taken. */
static _unused_ FakeHost *slave_started(Settings *s, uint16_t port) {
        g_autofree char *text = g_strdup_printf("%u", port);
        FakeHost *h;

        s->port = text;
        h = slave_new(s);
        s->port = NULL;
        fake_host_start(h);
        fake_host_expect(h, "connections []");
        fake_host_wait(h, &h->started);
        g_assert_cmpint(h->link, ==, DEVICE_LINK_UP);
        return h;
}

/* A port of loopback that was free a moment ago. */
static _unused_ uint16_t free_port(void) {
        struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t size = sizeof(sa);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        g_assert_cmpint(bind(fd, (struct sockaddr *) &sa, size), ==, 0);
        g_assert_cmpint(getsockname(fd, (struct sockaddr *) &sa, &size), ==, 0);
        safe_close(fd);
        return ntohs(sa.sin_port);
}

/* The kernel makes the connection; the slave accepts it when the loop runs. fd < 0: refused. source: an
 * address of loopback. */
static _unused_ Client *client_try(FakeHost *host, uint16_t port, const char *source) {
        struct sockaddr_in to = { .sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons(port) };
        struct sockaddr_in from = { .sin_family = AF_INET };
        socklen_t size = sizeof(from);
        Client *c = g_new0(Client, 1);

        c->host = host;
        c->input = g_byte_array_new();
        c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        g_assert_cmpint(inet_pton(AF_INET, source ?: "127.0.0.1", &from.sin_addr), ==, 1);
        g_assert_cmpint(bind(c->fd, (struct sockaddr *) &from, size), ==, 0);
        if (connect(c->fd, (struct sockaddr *) &to, sizeof(to)) < 0) {
                g_assert_cmpint(errno, ==, ECONNREFUSED);
                c->fd = safe_close(c->fd);
                return c;
        }
        g_assert_cmpint(getsockname(c->fd, (struct sockaddr *) &from, &size), ==, 0);
        c->port = ntohs(from.sin_port);
        g_assert_cmpint(setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &(int) { 1 }, sizeof(int)), ==, 0);
        g_assert_cmpint(fcntl(c->fd, F_SETFL, O_NONBLOCK), ==, 0);
        return c;
}

static _unused_ Client *client_new(FakeHost *host, uint16_t port) {
        Client *c = client_try(host, port, NULL);

        g_assert_cmpint(c->fd, >=, 0);
        return c;
}

static _unused_ Client *client_on_line(FakeHost *host, const Pty *pty) {
        Client *c = g_new0(Client, 1);

        c->host = host;
        c->input = g_byte_array_new();
        c->tty = true;
        c->fd = pty->fd;
        return c;
}

static _unused_ Client *client_free(Client *c) {
        if (!c)
                return NULL;
        if (!c->tty)
                safe_close(c->fd);
        g_byte_array_unref(c->input);
        g_free(c);
        return NULL;
}
DEFINE_CLEANUP(Client, client_free);

static _unused_ char *to_hex(const uint8_t *data, size_t size) {
        GString *text = g_string_new(NULL);

        for (size_t i = 0; i < size; i++)
                g_string_append_printf(text, "%02x", data[i]);
        return g_string_free(text, FALSE);
}

static _unused_ void client_send(Client *c, const char *hex) {
        g_autoptr(GByteArray) bytes = from_hex(hex);

        g_assert_cmpint(c->tty ? write(c->fd, bytes->data, bytes->len)
                               : send(c->fd, bytes->data, bytes->len, MSG_NOSIGNAL),
                        ==, bytes->len);
}

/* unit and PDU in TCP framing. */
static _unused_ void client_send_pdu(Client *c, uint16_t transaction, const char *hex) {
        g_autoptr(GByteArray) bytes = from_hex(hex);
        g_autofree char *digits = to_hex(bytes->data, bytes->len);
        g_autofree char *frame = g_strdup_printf("%04x0000%04x%s", transaction, bytes->len, digits);

        client_send(c, frame);
}

/* unit and PDU in any framing, as digits. Caller frees. */
static _unused_ char *framed(ModbusFramingKind kind, uint16_t transaction, const char *hex) {
        const ModbusFraming *framing = modbus_framing_get(kind);
        g_autoptr(GByteArray) bytes = from_hex(hex);
        uint8_t frame[MODBUS_FRAME_MAX];

        memcpy(frame + framing->pdu_offset, bytes->data + 1, bytes->len - 1);
        return to_hex(frame, framing->wrap(frame, transaction, bytes->data[0], bytes->len - 1));
}

/* What has arrived already. */
static _unused_ void client_read(Client *c) {
        uint8_t buffer[65536];
        ssize_t n;

        while ((n = read(c->fd, buffer, sizeof(buffer))) > 0)
                g_byte_array_append(c->input, buffer, (guint) n);
        if (!c->tty && (n == 0 || errno != EAGAIN))
                c->ended = true;
}

static _unused_ void client_turn(Client *c) {
        g_assert_cmpint(sd_event_run(c->host->event, MS), >=, 0);
        client_read(c);
}

/* The next bytes are these. */
#define client_expect(c, hex) client_expect_bytes(c, hex, __FILE__, __LINE__)
static _unused_ void client_expect_bytes(Client *c, const char *hex, const char *file, int line) {
        g_autoptr(GByteArray) bytes = from_hex(hex);
        g_autofree char *expected = to_hex(bytes->data, bytes->len), *got = NULL;
        usec_t end = now_usec(CLOCK_MONOTONIC) + CLIENT_WAIT_USEC;

        while (c->input->len < bytes->len && !c->ended && now_usec(CLOCK_MONOTONIC) < end)
                client_turn(c);
        got = to_hex(c->input->data, MIN(c->input->len, bytes->len));
        if (!streq(got, expected))
                g_error("%s:%d: expected %s, got %s%s", file, line, expected, got, c->ended ? ", end" : "");
        g_byte_array_remove_range(c->input, 0, bytes->len);
}

/* The same with unit and PDU in TCP framing. */
#define client_expect_pdu(c, transaction, hex) client_expect_frame(c, transaction, hex, __FILE__, __LINE__)
static _unused_ void client_expect_frame(Client *c, uint16_t transaction, const char *hex, const char *file,
                                         int line) {
        g_autoptr(GByteArray) bytes = from_hex(hex);
        g_autofree char *digits = to_hex(bytes->data, bytes->len);
        g_autofree char *frame = g_strdup_printf("%04x0000%04x%s", transaction, bytes->len, digits);

        client_expect_bytes(c, frame, file, line);
}

static _unused_ void client_expect_nothing(Client *c, usec_t duration) {
        fake_host_run(c->host, duration);
        client_read(c);
        g_assert_cmpuint(c->input->len, ==, 0);
        g_assert_false(c->ended);
}

static _unused_ void client_wait_end(Client *c) {
        usec_t end = now_usec(CLOCK_MONOTONIC) + CLIENT_WAIT_USEC;

        while (!c->ended) {
                g_assert_cmpuint(now_usec(CLOCK_MONOTONIC), <, end);
                client_turn(c);
        }
        g_assert_cmpuint(c->input->len, ==, 0);
}

/* Sends and expects with TCP framing. */
#define client_request(c, request, answer)                                                            \
        do {                                                                                          \
                client_send_pdu(c, 0x0102, request);                                                  \
                client_expect_pdu(c, 0x0102, answer);                                                 \
        } while (0)

/* One element of the event `connections`. Caller frees. */
static _unused_ char *connection_json(unsigned id, uint16_t port, const char *remote, uint16_t remote_port) {
        return g_strdup_printf("{\"type\": \"TCP\", \"connection_id\": %u, "
                               "\"local\": {\"host\": \"127.0.0.1\", \"port\": %u}, "
                               "\"remote\": {\"host\": \"%s\", \"port\": %u}}",
                               id, port, remote, remote_port);
}

/* The next event is `connections` with these ids. */
#define expect_ids(h, ...) expect_connection_ids(h, __LINE__, (const int[]) { __VA_ARGS__, 0 })
static _unused_ void expect_connection_ids(FakeHost *h, int line, const int *ids) {
        const char *text = fake_host_next(h), *at = text;
        static const char key[] = "\"connection_id\": ";

        if (!g_str_has_prefix(text, "connections ["))
                g_error("line %d: expected connections, got `%s`", line, text);
        for (; *ids; ids++) {
                at = strstr(at, key);
                if (!at || atoi(at + strlen(key)) != *ids)
                        g_error("line %d: expected connection %d in `%s`", line, *ids, text);
                at += strlen(key);
        }
        g_assert_null(strstr(at, key));
}

/* Takes the next event, which must be `write` with this connection and data; its request_id goes to id, an
 * array. */
#define expect_write(h, connection, data, id) expect_write_at(h, connection, data, id, sizeof(id), __LINE__)
static _unused_ void expect_write_at(FakeHost *h, unsigned connection, const char *data, char *ret_id,
                                     size_t size, int line) {
        static const char head[] = "write {\"request_id\": \"";
        const char *text = fake_host_next(h), *end;
        g_autofree char *rest = NULL;

        if (!g_str_has_prefix(text, head))
                g_error("line %d: expected write, got `%s`", line, text);
        text += strlen(head);
        end = strchr(text, '"');
        g_assert_cmpuint((size_t) (end - text), <, size);
        g_strlcpy(ret_id, text, (size_t) (end - text) + 1);
        rest = g_strdup_printf("\", \"connection_id\": %u, \"data\": [%s]}", connection, data);
        if (!streq(end, rest))
                g_error("line %d: expected …%s, got …%s", line, rest, end);
}

static _unused_ void answer_write(FakeHost *h, const char *id, const char *success) {
        g_autofree char *json = g_strdup_printf("{\"request_id\": \"%s\", \"success\": %s}", id, success);

        fake_host_event(h, "write", json);
}

static _unused_ const void *status_at(FakeHost *h, const char *name) {
        for (const StatusField *s = h->device->type->status; s->name; s++)
                if (streq(s->name, name))
                        return (const char *) h->device + s->offset;
        g_assert_not_reached();
}

static _unused_ uint64_t status_value(FakeHost *h, const char *name) {
        return *(const uint64_t *) status_at(h, name);
}
