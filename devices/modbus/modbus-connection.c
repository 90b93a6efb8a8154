/* SPDX-License-Identifier: Apache-2.0 */
/* Owns one accepted connection, or the one line. Loop thread: the buffer in which answers are gathered is
 * one for the process, in use only while requests are taken. */

#include "devices/modbus/modbus-connection.h"

#define RECEIVE_MAX 1024U                  /* unconsumed: less than one frame */
#define UNSENT_MAX (64U << 10)             /* answers that the peer has not read: no more requests */
#define KEEPALIVE_USEC (60 * USEC_PER_SEC) /* a silent peer is asked whether it is there … */
#define GONE_USEC (60 * USEC_PER_SEC)      /* … and has this long to say so, or to take an answer */
#define BATCH_SIZE (8U << 10)

/* Answers that leave together. */
typedef struct Batch {
        uint8_t data[BATCH_SIZE];
        size_t size;
        uint8_t function; /* of the last one */
} Batch;

static Batch batch;

static void connection_update_deadline(ModbusConnection *c) {
        usec_t when = MIN(c->answer_until, c->pause_until);

        deadline_set(c->deadline, c->server->held ? when : MIN(when, c->alive_until));
}

static void connection_update_reading(ModbusConnection *c) {
        bool wanted = !c->pending && !c->server->held && !c->stalled;

        if (wanted == c->reading)
                return;
        c->reading = wanted;
        c->paused = false;
        c->pause_until = USEC_INFINITY;
        modbus_channel_set_reading(&c->channel, wanted);
}

/* For the tap. A line is one, whoever uses it. */
static uint32_t connection_number(const ModbusConnection *c) {
        return c->server->line ? 0 : (uint32_t) c->id;
}

/* ---- answers ----------------------------------------------------------------------------------------- */

static void connection_flush(ModbusConnection *c) {
        if (batch.size > 0)
                /* A failure comes by closed(). */
                (void) modbus_channel_write(&c->channel, batch.data, batch.size, batch.function);
        batch.size = 0;
        c->stalled = modbus_channel_unsent(&c->channel) >= UNSENT_MAX;
}

/* Where the PDU of the next answer is to be built. */
static uint8_t *connection_answer_pdu(ModbusConnection *c) {
        if (sizeof(batch.data) - batch.size < MODBUS_FRAME_MAX)
                connection_flush(c);
        return batch.data + batch.size + c->server->framing->pdu_offset;
}

static void connection_add_answer(ModbusConnection *c, uint16_t transaction, uint8_t unit, size_t pdu_size) {
        uint8_t *frame = batch.data + batch.size;
        size_t size;

        batch.function = frame[c->server->framing->pdu_offset];
        size = c->server->framing->wrap(frame, transaction, unit, pdu_size);
        tap_sent(c->server->tap, now_usec(CLOCK_MONOTONIC), connection_number(c), frame, size);
        batch.size += size;
        c->server->counters.bytes_sent += size;
}

/* Ends a request of any kind with the error that it came to, a write also with success. */
static void connection_add_result(ModbusConnection *c, uint16_t transaction, uint8_t unit,
                                  const ModbusPdu *request, ModbusResult result) {
        uint8_t *pdu = connection_answer_pdu(c);
        size_t size;

        if (result == MODBUS_SUCCESS)
                size = modbus_response_build_write(request, pdu);
        else {
                size = modbus_response_build_exception(request->function, result, pdu);
                c->server->counters.exceptions++;
                c->server->counters.codes[modbus_result_to_code(result)]++;
        }
        connection_add_answer(c, transaction, unit, size);
}

/* ---- requests ---------------------------------------------------------------------------------------- */

static void connection_read(ModbusConnection *c, const ModbusFrame *frame, const ModbusPdu *request) {
        uint8_t *pdu = connection_answer_pdu(c), size;
        ModbusResult result;

        result = modbus_store_read(c->server->store, frame->unit, request, pdu + MODBUS_READ_DATA, &size);
        if (result != MODBUS_SUCCESS) {
                connection_add_result(c, frame->transaction, frame->unit, request, result);
                return;
        }
        connection_add_answer(
                        c, frame->transaction, frame->unit,
                        modbus_response_build_read(request->function, pdu + MODBUS_READ_DATA, size, pdu));
}

/* The request is answered later. */
static void connection_begin_pending(ModbusConnection *c, const ModbusFrame *frame,
                                     const ModbusPdu *request) {
        c->pending = true;
        c->unit = frame->unit;
        c->transaction = frame->transaction;
        c->request = *request;
        c->request.data = NULL;
        c->request.data_size = 0;
        c->answer_until = usec_add(now_usec(CLOCK_MONOTONIC), c->server->response_timeout);
}

static void connection_write(ModbusConnection *c, const ModbusFrame *frame, const ModbusPdu *request) {
        ModbusServer *s = c->server;
        ModbusStoreWrite w, first;
        ModbusResult result;

        result = modbus_store_write(s->store, frame->unit, request, &w);
        if (result == MODBUS_SUCCESS) {
                first = w;
                if (modbus_store_write_next(&first)) {
                        if (s->handler->write(c, &w, s->userdata)) {
                                s->counters.writes++;
                                connection_begin_pending(c, frame, request);
                                return;
                        }
                        result = MODBUS_FUNCTION_ERROR;
                }
        }
        connection_add_result(c, frame->transaction, frame->unit, request, result);
}

static bool function_is_write(uint8_t function) {
        switch (function) {
        case MODBUS_WRITE_COIL:
        case MODBUS_WRITE_REGISTER:
        case MODBUS_WRITE_COILS:
        case MODBUS_WRITE_REGISTERS:
        case MODBUS_MASK_WRITE:
                return true;
        default:
                return false;
        }
}

static void connection_set_active(ModbusConnection *c, bool active) {
        if (c->active == active)
                return;
        c->active = active;
        c->server->handler->active(c, active, c->server->userdata);
}

/* A request for one of our units: the peer is there. */
static void connection_alive(ModbusConnection *c) {
        c->alive_until = usec_add(loop_now(c->server->event), c->server->keep_alive);
        if (c->server->line)
                connection_set_active(c, true);
}

/* The table of 6.6, in its order. */
static void connection_request(ModbusConnection *c, const ModbusFrame *frame) {
        bool ours = modbus_units_has(modbus_store_units(c->server->store), frame->unit); /* 0 never is */
        ModbusPdu request;
        ModbusResult result;

        c->server->counters.requests++;
        if (!ours && c->server->line)
                return;

        result = modbus_request_parse(frame->pdu, frame->pdu_size, &request);
        if (ours)
                connection_alive(c);
        else
                result = MODBUS_INVALID_DATA_ADDRESS;

        if (result != MODBUS_SUCCESS)
                connection_add_result(c, frame->transaction, frame->unit, &request, result);
        else if (function_is_write(request.function))
                connection_write(c, frame, &request);
        else
                connection_read(c, frame, &request);
}

/* Takes requests until there are no more, or one has to wait. -EBADMSG: the stream cannot be trusted. */
static int connection_take(ModbusConnection *c, const uint8_t *data, size_t size, size_t *ret_consumed) {
        const ModbusFraming *framing = c->server->framing;
        LinkTap *tap = c->server->tap;
        uint32_t number = connection_number(c);
        uint8_t scratch[MODBUS_PDU_MAX];
        usec_t now = loop_now(c->server->event);
        size_t at = 0;
        int r = 0;

        while (!c->pending && !c->stalled) {
                ModbusSearch s = {};

                r = framing->find_request(modbus_store_units(c->server->store), c->paused, data + at,
                                          size - at, scratch, &s);
                c->server->counters.checksum_errors += s.bad_checksums;
                if (s.dropped > 0)
                        tap_failed(tap, s.dropped, TAP_GARBAGE, now, number, data + at, r > 0 ? s.frame.offset : s.consumed);
                if (r <= 0) {
                        at += s.consumed;
                        break;
                }
                tap_received(tap, now, number, data + at + s.frame.offset, s.frame.size);
                c->server->counters.bytes_received += s.frame.size;
                connection_request(c, &s.frame);
                at += s.consumed;
        }
        connection_flush(c);

        *ret_consumed = at;
        return r;
}

/* ---- the channel's side ------------------------------------------------------------------------------ */

static void connection_closed(ModbusConnection *c, int error) {
        c->server->handler->closed(c, error, c->server->userdata);
}

static size_t connection_on_received(const uint8_t *data, size_t size, void *userdata) {
        ModbusConnection *c = userdata;
        size_t consumed = 0;

        if (size != c->left)
                c->paused = false; /* something came after all */
        if (connection_take(c, data, size, &consumed) < 0) {
                tap_failed(c->server->tap, 1, TAP_GARBAGE, loop_now(c->server->event), connection_number(c), data, size);
                connection_closed(c, -EBADMSG);
                return size;
        }

        c->left = size - consumed;
        c->paused = false;
        c->pause_until = c->left > 0 ? usec_add(loop_now(c->server->event), c->server->pause) : USEC_INFINITY;
        connection_update_reading(c);
        connection_update_deadline(c);
        return consumed;
}

static void connection_on_drained(void *userdata) {
        ModbusConnection *c = userdata;

        c->stalled = false;
        connection_update_reading(c);
}

static void connection_on_closed(int error, void *userdata) {
        connection_closed(userdata, error);
}

static void connection_on_connected(void *userdata) {
        ModbusConnection *c = userdata;

        c->server->handler->opened(c, c->server->userdata);
}

static const ModbusChannelHandler connection_channel_handler = {
        .connected = connection_on_connected,
        .received = connection_on_received,
        .drained = connection_on_drained,
        .closed = connection_on_closed,
};

/* ---- time and owner ---------------------------------------------------------------------------------- */

/* On a line a master asks again when it has given up: nobody waits for what was heard while a write was
 * pending. Before the answer leaves, whose echo is looked for. D27. */
static void connection_forget_input(ModbusConnection *c) {
        if (c->server->line)
                modbus_channel_discard_input(&c->channel);
}

static void connection_end_pending(ModbusConnection *c, ModbusResult result) {
        c->pending = false;
        c->answer_until = USEC_INFINITY;
        connection_forget_input(c);
        connection_add_result(c, c->transaction, c->unit, &c->request, result);
        connection_flush(c);
        connection_update_reading(c);
        connection_update_deadline(c);
}

/* A line stays open (D11), and what nobody waits for any more is not answered. */
static void connection_rest(ModbusConnection *c) {
        if (c->pending)
                connection_forget_input(c);
        c->pending = false;
        c->alive_until = c->answer_until = USEC_INFINITY;
        connection_update_reading(c);
        connection_set_active(c, false);
}

static void connection_on_deadline(void *userdata) {
        ModbusConnection *c = userdata;
        usec_t now = now_usec(CLOCK_MONOTONIC);

        if (!c->server->held && now >= c->alive_until) {
                if (!c->server->line) {
                        connection_closed(c, -ETIMEDOUT);
                        return;
                }
                connection_rest(c);
        }
        if (now >= c->pause_until) {
                c->pause_until = USEC_INFINITY;
                c->paused = true;
                modbus_channel_process(&c->channel);
        }
        if (now >= c->answer_until)
                connection_end_pending(c, MODBUS_FUNCTION_ERROR);
        else
                connection_update_deadline(c);
}

void modbus_connection_answer(ModbusConnection *c, bool success) {
        if (c->pending)
                connection_end_pending(c, success ? MODBUS_SUCCESS : MODBUS_FUNCTION_ERROR);
}

void modbus_connection_flow(ModbusConnection *c) {
        if (!c->server->held && c->alive_until != USEC_INFINITY) /* requests may have been waiting all the time */
                c->alive_until = usec_add(now_usec(CLOCK_MONOTONIC), c->server->keep_alive);
        connection_update_reading(c);
        connection_update_deadline(c);
}

/* An IPv4 peer of a socket that serves both families is shown as what it is. */
static char *plain_host(char *host) {
        static const char mapped[] = "::ffff:";
        const char *rest = host + strlen(mapped);

        if (g_str_has_prefix(host, mapped) && strchr(rest, '.'))
                memmove(host, rest, strlen(rest) + 1);
        return host;
}

/* The ends of a unix socket (the service manager may pass one) have no names: they are shown empty, and no
 * list of remote hosts holds them. */
static int connection_init_names(ModbusConnection *c, int fd) {
        Address remote = { .kind = ADDRESS_TCP };
        int r;

        r = socket_name(fd, /* peer= */ false, &c->local_host, &c->local_port);
        if (r >= 0)
                r = socket_name(fd, /* peer= */ true, &c->remote_host, &c->remote_port);
        if (r == -EAFNOSUPPORT) {
                c->local_host = g_strdup("");
                c->remote_host = g_strdup("");
                c->remote = g_strdup("unix");
                return 0;
        }
        if (r < 0)
                return r;

        remote.host = plain_host(c->remote_host);
        remote.port = c->remote_port;
        (void) plain_host(c->local_host);
        c->remote = address_format(&remote);
        return 0;
}

static int connection_init(ModbusConnection *c, ModbusServer *server) {
        c->server = server;
        c->reading = true;
        c->alive_until = c->answer_until = c->pause_until = USEC_INFINITY;
        return deadline_new(server->event, "modbus-connection", connection_on_deadline, c, &c->deadline);
}

int modbus_connection_new(ModbusServer *server, int fd, uint64_t id, ModbusConnection **ret) {
        static const StreamOptions options = {
                .user_timeout = GONE_USEC,
                .keepalive_idle = KEEPALIVE_USEC,
                .receive_max = RECEIVE_MAX,
        };
        _cleanup_(modbus_connection_freep) ModbusConnection *c = g_new0(ModbusConnection, 1);
        int r;

        r = connection_init(c, server);
        if (r < 0)
                return r;
        r = connection_init_names(c, fd);
        if (r < 0)
                return r;
        r = modbus_channel_adopt(&c->channel, server->event, fd, &options, &connection_channel_handler, c);
        if (r < 0)
                return r;

        c->id = id;
        c->alive_until = usec_add(now_usec(CLOCK_MONOTONIC), server->keep_alive);
        connection_update_reading(c);
        connection_update_deadline(c);
        *ret = TAKE_PTR(c);
        return 0;
}

int modbus_connection_open(ModbusServer *server, const char *port, const SerialOptions *options,
                           ModbusConnection **ret) {
        _cleanup_(modbus_connection_freep) ModbusConnection *c = g_new0(ModbusConnection, 1);
        int r;

        r = connection_init(c, server);
        if (r < 0)
                return r;
        r = modbus_channel_open(&c->channel, server->event, port, options, &connection_channel_handler, c);
        if (r < 0)
                return r;

        c->remote = g_strdup(port);
        connection_update_reading(c);
        *ret = TAKE_PTR(c);
        return 0;
}

ModbusConnection *modbus_connection_free(ModbusConnection *c) {
        if (!c)
                return NULL;

        modbus_channel_done(&c->channel);
        (void) deadline_free(c->deadline);
        g_free(c->local_host);
        g_free(c->remote_host);
        g_free(c->remote);
        g_free(c);
        return NULL;
}

const StatusField modbus_connection_fields[] = {
        { "ConnectionId", NULL, "counted over the life of the device", STATUS_GAUGE,
          offsetof(ModbusConnection, id) },
        { "Remote", NULL, "address of the master", STATUS_STRING, offsetof(ModbusConnection, remote) },
        {}
};
