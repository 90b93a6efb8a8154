/* SPDX-License-Identifier: Apache-2.0 */
/* What masters may send to a Modbus slave: a real connection, in every framing, with writes that
 * the system answers at once.
 *
 * Input: framing, size of pieces, then the stream. With RTU framing the search depends on where the input
 * ends; with the others the answers must be the same whether the stream comes whole or in pieces. */

#include <assert.h>
#include <math.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "devices/modbus/modbus-connection.h"

#define STREAM_MAX 4096U

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define VALUE(kind, ...) { .given = true, .type = (kind), .min = NAN, __VA_ARGS__ }

static const ModbusSlaveData items[] = {
        { "a", 1, MODBUS_HOLDING_REGISTER, 0, 4, 40 },
        { "b", 1, MODBUS_HOLDING_REGISTER, 2, 0, 1000 },
        { "c", 1, MODBUS_COIL, 3, 2, 900 },
        { "d", 1, MODBUS_COIL, 7, 0, 1 },
        { "e", 17, MODBUS_DISCRETE_INPUT, 0, 0, 9 },
        { "f", 17, MODBUS_INPUT_REGISTER, 65535, 0, 16 },
        { "g", 17, MODBUS_HOLDING_REGISTER, 0, 0, 32, VALUE(MODBUS_VALUE_FLOAT, .scale = 0.1, .max = NAN, .word_order = MODBUS_ORDER_LITTLE) },
        { "h", 17, MODBUS_HOLDING_REGISTER, 2, 0, 16, VALUE(MODBUS_VALUE_BCD, .scale = 1, .max = 5000) },
        { "i", 17, MODBUS_HOLDING_REGISTER, 3, 0, 48, VALUE(MODBUS_VALUE_STRING, .scale = 1, .max = NAN, .byte_order = MODBUS_ORDER_LITTLE) },
        { "j", 17, MODBUS_HOLDING_REGISTER, 6, 4, 7, VALUE(MODBUS_VALUE_INT, .scale = 1, .max = NAN) },
        { "k", 17, MODBUS_COIL, 0, 0, 1, VALUE(MODBUS_VALUE_BOOL, .scale = 1, .max = NAN) },
};

typedef struct Run {
        int client;
        ModbusServer server;
        ModbusConnection *connection;
        LinkTap tap;
        GString *seen; /* write events and answers, in order */
} Run;

static void on_record(const TapRecord *record, void *userdata) {
        Run *run = userdata;

        if (record->header.direction == TAP_SENT)
                g_string_append_len(run->seen, (const char *) record->data, (gssize) record->header.size);
}

static bool on_write(ModbusConnection *c, ModbusStoreWrite *w, void *userdata) {
        Run *run = userdata;
        const ModbusStoreItem *item;
        JsonWriter json;
        JsonSpan text = {};

        json_writer_init_growing(&json);
        json_open_array(&json);
        while ((item = modbus_store_write_next(w)))
                modbus_store_item_write_json(item, w, &json);
        json_close_array(&json);
        assert(json_writer_end(&json, &text) >= 0);
        assert(json_check(text.text, text.size, NULL) >= 0);
        g_string_append_len(run->seen, text.text, (gssize) text.size);
        json_writer_done(&json);
        return run->seen->len % 5 != 0;
}

static void on_closed(ModbusConnection *c, int error, void *userdata) {
        Run *run = userdata;

        assert(c == run->connection);
        run->connection = modbus_connection_free(c);
}

static const ModbusConnectionHandler handler = { .write = on_write, .closed = on_closed };

/* A pair, not TCP: it needs no port, which the system may be short of after some ten thousand runs. */
static void run_connect(Run *run) {
        int fds[2];

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
                abort();
        run->client = fds[0];
        if (modbus_connection_new(&run->server, fds[1], 1, false, &run->connection) < 0)
                abort();
}

/* Sends, and lets the connection see all of it at once. */
static bool run_send(Run *run, const uint8_t *data, size_t size) {
        struct pollfd p = { .fd = stream_get_fd(run->connection->channel.stream), .events = POLLIN };
        int n = 0;

        if (send(run->client, data, size, MSG_NOSIGNAL) != (ssize_t) size)
                return false;
        while (ioctl(p.fd, FIONREAD, &n) >= 0 && (size_t) n < size)
                (void) poll(&p, 1, 1000);
        return true;
}

static void run_settle(Run *run) {
        uint8_t dustbin[4096];

        do {
                while (sd_event_run(run->server.event, 0) > 0)
                        while (recv(run->client, dustbin, sizeof(dustbin), MSG_DONTWAIT) > 0)
                                ;
                if (!run->connection || !run->connection->pending)
                        return;
                modbus_connection_answer(run->connection, run->seen->len % 2);
        } while (true);
}

/* Everything that the peer and the system get to see. */
static GString *run_once(const ModbusFraming *framing, const uint8_t *data, size_t size, size_t piece) {
        _cleanup_(modbus_store_freep) ModbusStore *store = modbus_store_new(items, G_N_ELEMENTS(items));
        Run run = { .seen = g_string_new(NULL) };

        if (sd_event_new(&run.server.event) < 0)
                abort();
        run.server.framing = framing;
        run.server.store = store;
        run.server.tap = &run.tap;
        run.server.response_timeout = run.server.keep_alive = USEC_INFINITY;
        run.server.pause = USEC_INFINITY;
        run.server.handler = &handler;
        run.server.userdata = &run;
        run.tap = (LinkTap) { .listener = on_record, .userdata = &run };
        run_connect(&run);

        for (size_t at = 0; at < size && run.connection; at += piece) {
                if (!run_send(&run, data + at, MIN(piece, size - at)))
                        break;
                run_settle(&run);
                if (run.connection)
                        assert(run.connection->left < 1024 && run.connection->reading);
        }
        assert(run.tap.received == run.server.counters.requests && run.tap.sent == run.tap.received);
        assert(run.server.counters.exceptions <= run.tap.sent);

        (void) modbus_connection_free(run.connection);
        safe_close(run.client);
        sd_event_unref(run.server.event);
        return run.seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const ModbusFraming *framing;
        GString *whole, *pieces;

        if (size < 3 || size > STREAM_MAX)
                return 0;

        framing = modbus_framing_get(data[0] % _MODBUS_FRAMING_MAX);
        whole = run_once(framing, data + 2, size - 2, size - 2);
        pieces = run_once(framing, data + 2, size - 2, 1U + data[1]);
        if (framing->kind != MODBUS_FRAMING_RTU && !g_string_equal(whole, pieces))
                abort();
        g_string_free(whole, TRUE);
        g_string_free(pieces, TRUE);
        return 0;
}
