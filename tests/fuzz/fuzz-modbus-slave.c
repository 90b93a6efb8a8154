/* SPDX-License-Identifier: Apache-2.0 */
/* A whole conversation with a Modbus slave: a real connection, or a serial line with several units on it, in every framing.
 * The input is what happens: bytes of any kind, right requests, data events, the system's answers to writes, in time or
 * late, time that passes, the end and a new beginning.
 *
 * Whatever comes: what is sent are frames, one for each request, or none where another unit is asked on a line or the write
 * is forgotten; a late answer changes nothing; never is more kept than a frame. As long as all was right, a right request
 * is answered or becomes a write. TCP and ASCII framing say the same whether bytes come whole or in pieces.
 *
 * Input: framing and options, size of pieces, then operations: one byte each, some followed by an argument. */

#include <assert.h>
#include <math.h>
#include <poll.h>
#include <sys/socket.h>

#include "devices/modbus/modbus-connection.h"
#include "tests/unit/pty.h"

#define INPUT_MAX 1024U
#define SOON USEC_PER_MSEC
#define ARRIVES USEC_PER_SEC

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

/* Right ones, all for what exists in unit 1. */
static const ModbusPdu requests[] = {
        { .function = MODBUS_READ_HOLDING_REGISTERS, .address = 0, .quantity = 5 },
        { .function = MODBUS_READ_COILS, .address = 5, .quantity = 20 },
        { .function = MODBUS_WRITE_REGISTER, .address = 1, .quantity = 1, .value = 0x1234 },
        { .function = MODBUS_WRITE_REGISTERS, .address = 2, .quantity = 2, .data = (const uint8_t[]) { 1, 2, 3, 4 }, .data_size = 4 },
        { .function = MODBUS_WRITE_COIL, .address = 7, .quantity = 1, .value = 0xff00 },
        { .function = MODBUS_WRITE_COILS, .address = 7, .quantity = 3, .data = (const uint8_t[]) { 5 }, .data_size = 1 },
        { .function = MODBUS_MASK_WRITE, .address = 2, .quantity = 1, .and_mask = 0xff00, .value = 0x12 },
        { .function = MODBUS_READ_FIFO, .address = 0 },
};
static const uint8_t units[] = { 1, 17, 9, 0 };
static const char *const values[] = { "0", "1", "255", "-1", "1.5", "true", "\"hello\"", "null", "1e9", "123456789012345678901234" };

typedef struct Run {
        bool line, times_out;
        bool opened;
        Pty *pty;
        int client; /* the far end */
        ModbusStore *store;
        ModbusServer server;
        ModbusConnection *connection;
        LinkTap tap;
        GString *seen;      /* write events and answers, in order */
        uint64_t forgotten; /* writes that waited when their connection ended */
        bool spoilt;        /* what comes next may be taken for the rest of something */
} Run;

static void on_record(const TapRecord *record, void *userdata) {
        Run *run = userdata;
        G_GNUC_UNUSED uint8_t scratch[MODBUS_PDU_MAX];
        G_GNUC_UNUSED ModbusFrame frame;

        if (record->header.direction != TAP_SENT)
                return;
        assert(run->server.framing->unwrap(record->data, record->header.size, scratch, &frame) >= 0);
        g_string_append_len(run->seen, (const char *) record->data, (gssize) record->header.size);
}

static bool on_write(ModbusConnection *c, ModbusStoreWrite *w, void *userdata) {
        Run *run = userdata;
        const ModbusStoreItem *item;
        JsonWriter json;
        JsonSpan text = {};

        assert(!c->pending && (c->active || !run->line));
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

static void on_active(ModbusConnection *c, bool active, void *userdata) {
        G_GNUC_UNUSED Run *run = userdata;

        assert(run->line && c->active == active && !c->pending);
}

static void run_disconnect(Run *run) {
        run->forgotten += run->connection && run->connection->pending;
        run->connection = modbus_connection_free(run->connection);
        run->client = run->line ? -EBADF : safe_close(run->client);
        run->pty = pty_free(run->pty);
        run->spoilt = false;
}

static void on_closed(ModbusConnection *c, int error, void *userdata) {
        Run *run = userdata;

        assert(c == run->connection && (error != -ETIMEDOUT || (run->times_out && !run->line)));
        run_disconnect(run);
}

static void on_opened(ModbusConnection *c, void *userdata) {
        Run *run = userdata;

        assert(run->line && !run->opened);
        run->opened = true;
}

static const ModbusConnectionHandler handler = {
        .opened = on_opened,
        .write = on_write,
        .active = on_active,
        .closed = on_closed,
};

/* A pair, not TCP: it needs no port, which the system may be short of after some ten thousand runs. */
static void run_connect(Run *run) {
        static const SerialOptions options = { .baudrate = 115200, .data_bits = 8, .stop_bits = 1, .receive_max = 1024 };
        int fds[2];

        if (run->line) {
                run->pty = pty_new();
                run->client = run->pty->fd;
                run->opened = false;
                if (modbus_connection_open(&run->server, run->pty->device, &options, &run->connection) < 0)
                        abort();
                while (!run->opened)
                        if (sd_event_run(run->server.event, UINT64_MAX) < 0 || !run->connection)
                                abort();
                return;
        }
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
                abort();
        run->client = fds[0];
        if (modbus_connection_new(&run->server, fds[1], 1, &run->connection) < 0)
                abort();
}

/* One turn and what there is to read, then all that follows. */
static void run_turns(Run *run, usec_t first) {
        uint8_t dustbin[4096];
        usec_t timeout = first;

        while (sd_event_run(run->server.event, timeout) > 0) {
                while (run->connection && read(run->client, dustbin, sizeof(dustbin)) > 0)
                        ;
                timeout = 0;
        }
        if (run->connection)
                assert(run->connection->left < 1024 && run->connection->reading == !run->connection->pending);
        if (!run->line)
                assert(run->tap.received == run->tap.sent + run->forgotten + (run->connection && run->connection->pending));
        assert(run->tap.received == run->server.counters.requests && run->tap.sent <= run->tap.received);
        assert(run->server.counters.exceptions <= run->tap.sent);
}

/* What is sent is there at once, but on a line. */
static void run_send(Run *run, const uint8_t *data, size_t size) {
        if (write(run->client, data, size) != (ssize_t) size)
                run->spoilt = true;
        run_turns(run, run->line && run->connection->reading ? ARRIVES : 0);
}

static void run_send_bytes(Run *run, const uint8_t *data, size_t size, size_t piece) {
        run->spoilt = true;
        for (size_t at = 0; at < size && run->connection; at += piece)
                run_send(run, data + at, MIN(piece, size - at));
}

static void run_request(Run *run, uint8_t argument) {
        const ModbusFraming *framing = run->server.framing;
        const ModbusPdu *request = &requests[argument % G_N_ELEMENTS(requests)];
        uint8_t frame[MODBUS_FRAME_MAX], unit = units[argument / G_N_ELEMENTS(requests) % G_N_ELEMENTS(units)];
        size_t size = framing->wrap(frame, argument, unit, modbus_request_build(request, frame + framing->pdu_offset));
        bool expected = !run->times_out && !run->spoilt && !run->connection->pending;
        G_GNUC_UNUSED uint64_t received = run->tap.received, sent = run->tap.sent;
        G_GNUC_UNUSED usec_t end = now_usec(CLOCK_MONOTONIC) + 10 * ARRIVES;

        run_send(run, frame, size);
        if (!expected)
                return;
        while (run->tap.received == received) { /* in pieces: a line may do that */
                assert(run->connection && now_usec(CLOCK_MONOTONIC) < end);
                run_turns(run, ARRIVES);
        }
        assert(run->connection && run->tap.received == received + 1);
        if (unit == 1)
                assert(run->tap.sent == sent + !run->connection->pending);
        else if (run->line && unit != 17)
                assert(run->tap.sent == sent && !run->connection->pending);
}

static void run_answer(Run *run, bool success) {
        G_GNUC_UNUSED bool pending = run->connection->pending;
        G_GNUC_UNUSED uint64_t sent = run->tap.sent;

        modbus_connection_answer(run->connection, success);
        assert(run->tap.sent == sent + pending && !run->connection->pending);
        run_turns(run, 0);
}

static void run_data_event(Run *run, uint8_t argument) {
        const char *text = values[argument / G_N_ELEMENTS(items) % G_N_ELEMENTS(values)];
        const char *name = items[argument % G_N_ELEMENTS(items)].name;
        JsonSpan value;

        if (json_check(text, strlen(text), &value) < 0)
                abort();
        (void) modbus_store_set(run->store, (Subtype) { name, strlen(name) }, value);
}

typedef enum Operation {
        BYTES,
        REQUEST,
        DATA_EVENT,
        ANSWER,
        TIME,
        CLOSE,
        _OPERATION_MAX,
} Operation;

/* Returns how much of the input it took. */
static size_t run_operation(Run *run, size_t piece, const uint8_t *data, size_t size) {
        uint8_t argument = size > 1 ? data[1] : 0;
        size_t n;

        switch (data[0] % _OPERATION_MAX) {
        case BYTES:
                n = MIN((size_t) argument, size > 2 ? size - 2 : 0);
                run_send_bytes(run, data + 2, n, MIN(piece, MAX(n, 1U)));
                return 2 + n;
        case REQUEST:
                run_request(run, argument);
                return 2;
        case DATA_EVENT:
                run_data_event(run, argument);
                return 2;
        case ANSWER:
                run_answer(run, argument % 2);
                return 2;
        case TIME:
                if (run->times_out)
                        (void) poll(NULL, 0, 2);
                run_turns(run, 0);
                return 1;
        default:
                run_disconnect(run);
                return 1;
        }
}

/* Everything that the peer and the system get to see. */
static GString *run_once(uint8_t options, const uint8_t *data, size_t size, size_t piece) {
        Run run = { .seen = g_string_new(NULL), .client = -EBADF };

        run.times_out = options & 0x80;
        run.line = options & 0x40;
        run.store = modbus_store_new(items, G_N_ELEMENTS(items));
        run.tap = (LinkTap) { .listener = on_record, .userdata = &run };
        run.server = (ModbusServer) {
                .framing = modbus_framing_get(options % 0x40 % _MODBUS_FRAMING_MAX),
                .store = run.store,
                .tap = &run.tap,
                .response_timeout = run.times_out ? SOON : USEC_INFINITY,
                .keep_alive = run.times_out ? 3 * SOON : USEC_INFINITY,
                .pause = run.times_out ? SOON : USEC_INFINITY,
                .line = run.line,
                .handler = &handler,
                .userdata = &run,
        };
        if (sd_event_new(&run.server.event) < 0)
                abort();

        for (size_t at = 0; at < size;) {
                if (!run.connection)
                        run_connect(&run);
                at += run_operation(&run, piece, data + at, size - at);
        }

        run_disconnect(&run);
        (void) modbus_store_free(run.store);
        sd_event_unref(run.server.event);
        return run.seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        GString *whole, *pieces;

        if (size < 3 || size > INPUT_MAX)
                return 0;

        whole = run_once(data[0], data + 2, size - 2, SIZE_MAX);
        if (!(data[0] & 0xc0) && data[0] % 0x40 % _MODBUS_FRAMING_MAX != MODBUS_FRAMING_RTU) {
                pieces = run_once(data[0], data + 2, size - 2, 1U + data[1]);
                if (!g_string_equal(whole, pieces))
                        abort();
                g_string_free(pieces, TRUE);
        }
        g_string_free(whole, TRUE);
        return 0;
}
