/* SPDX-License-Identifier: Apache-2.0 */
/* A master's link on a serial line with RTU framing, by libmodbus (spec modbus.md 11.3). The loop owns the line
 * and the deadline; a worker runs the library's ordinary calls on one end of a socket pair, and the loop moves
 * the request from the other end to the line, and the right answer back. What blocks is ended by shutting the
 * pair down, so that nothing here ever waits. Loop thread, but for call_run() and call_drop(). */

#include <assert.h>
#include <errno.h>
#include <modbus.h>
#include <sys/socket.h>

#include "base/deadline.h"
#include "base/low-fd.h"
#include "base/worker.h"
#include "devices/modbus/modbus-bytes.h"
#include "devices/modbus/modbus-link.h"

#define CALLS_MAX 4U                    /* that wait for the thread: the present one, and those that are being ended */
#define FRAME_MAX 512U                  /* more than any RTU frame */
#define LIBRARY_TIMEOUT_SEC 100000000U  /* never: the deadline is ours */
#define RTU_PDU_OFFSET 1U
#define RTU_EXTRA 3U                    /* of a frame, beside the PDU */

typedef struct LibraryLink LibraryLink;

/* The library's end of a pair, and the call that runs on it. Belongs to the worker while it runs. */
typedef struct Call {
        WorkerJob job;
        LibraryLink *link;      /* loop only */
        modbus_t *context;
        int fd;

        uint8_t unit;
        ModbusPdu request;
        int result, error;      /* of the library: values read or written, or -1 and errno */
        union {
                uint16_t registers[MODBUS_WRITE_REGISTERS_MAX + 2];
                uint8_t bits[MODBUS_READ_BITS_MAX];
        } values;
} Call;
G_STATIC_ASSERT(MODBUS_WRITE_REGISTERS_MAX + 2 == MODBUS_READ_REGISTERS_MAX);

typedef enum LibraryState {
        LIBRARY_OPENING,
        LIBRARY_IDLE,
        LIBRARY_REFUSED,        /* the answer is known without asking */
        LIBRARY_ASKED,          /* the library is about to send */
        LIBRARY_SENDING,        /* its frame is on the line */
        LIBRARY_WAITING,
        LIBRARY_BROKEN,         /* closed() is still to be told */
} LibraryState;

struct LibraryLink {
        ModbusLink link;
        sd_event *event;
        Serial *serial;
        SerialOptions line;
        Worker *worker;
        Deadline *deadline;
        LinkTap *tap;
        const ModbusLinkHandler *handler;
        void *userdata;

        Call *call;             /* NULL: a new pair is needed */
        bool running;           /* … the worker has it */
        int fd;                 /* our end of the pair */
        sd_event_source *source;

        LibraryState state;
        int error;              /* BROKEN */
        ModbusResult refused;
        usec_t request_timeout, sent_at;
        usec_t heard_at;        /* … the end of the answer */
        ModbusExpect expect;
        ModbusLinkCallback callback;
        void *callback_userdata;
        uint8_t answer[FRAME_MAX]; /* what came and is not done with */
        size_t answer_size;
        size_t frame_size;      /* of the right answer at its front, which the library has got; 0: none yet */
        ModbusResponse response; /* … what it says, without the values that the library reads */
        uint8_t data[MODBUS_PDU_MAX];
};

/* ---- the worker's side ------------------------------------------------------------------------------- */

static int call_write_bits(Call *c) {
        const ModbusPdu *q = &c->request;

        if (q->function == MODBUS_WRITE_COIL)
                return modbus_write_bit(c->context, q->address, q->value != 0);
        return modbus_write_bits(c->context, q->address, q->quantity, c->values.bits);
}

static int call_write_registers(Call *c) {
        const ModbusPdu *q = &c->request;

        switch (q->function) {
        case MODBUS_WRITE_REGISTER:
                return modbus_write_register(c->context, q->address, q->value);
        case MODBUS_MASK_WRITE:
                return modbus_mask_write_register(c->context, q->address, q->and_mask, q->value);
        default:
                return modbus_write_registers(c->context, q->address, q->quantity, c->values.registers);
        }
}

static int call_library(Call *c) {
        const ModbusPdu *q = &c->request;

        switch (q->function) {
        case MODBUS_READ_COILS:
                return modbus_read_bits(c->context, q->address, q->quantity, c->values.bits);
        case MODBUS_READ_DISCRETE_INPUTS:
                return modbus_read_input_bits(c->context, q->address, q->quantity, c->values.bits);
        case MODBUS_READ_HOLDING_REGISTERS:
                return modbus_read_registers(c->context, q->address, q->quantity, c->values.registers);
        case MODBUS_READ_INPUT_REGISTERS:
                return modbus_read_input_registers(c->context, q->address, q->quantity, c->values.registers);
        case MODBUS_WRITE_COIL:
        case MODBUS_WRITE_COILS:
                return call_write_bits(c);
        default:
                return call_write_registers(c);
        }
}

static void call_run(WorkerJob *job) {
        Call *c = (Call *) job;

        errno = 0;
        c->result = modbus_set_slave(c->context, c->unit);
        if (c->result >= 0)
                c->result = call_library(c);
        c->error = errno;
}

/* The library never opened or configured anything, so it has nothing to close. */
static Call *call_free(Call *c) {
        if (!c)
                return NULL;
        if (c->context)
                modbus_free(c->context);
        low_fd_release(c->fd);
        g_free(c);
        return NULL;
}
DEFINE_CLEANUP(Call, call_free);

static void call_drop(WorkerJob *job) {
        (void) call_free((Call *) job);
}

static void call_done(WorkerJob *job);

/* ---- the pair ---------------------------------------------------------------------------------------- */

static modbus_t *context_new(int fd) {
        modbus_t *m = modbus_new_rtu("socketpair", 9600, 'N', 8, 1); /* of no effect: never connected */

        if (!m)
                return NULL;
        (void) modbus_set_socket(m, fd);
        (void) modbus_set_error_recovery(m, MODBUS_ERROR_RECOVERY_NONE);
        (void) modbus_set_response_timeout(m, LIBRARY_TIMEOUT_SEC, 0);
        (void) modbus_set_byte_timeout(m, 0, 0);
        return m;
}

static int call_new(int fd, LibraryLink *l, Call **ret) {
        _cleanup_(call_freep) Call *c = g_new0(Call, 1);

        c->job = (WorkerJob) { .run = call_run, .done = call_done, .drop = call_drop };
        c->link = l;
        c->fd = low_fd_take(fd); /* the library waits by select() */
        if (c->fd < 0)
                return c->fd;
        c->context = context_new(c->fd);
        if (!c->context)
                return -ENOMEM;

        *ret = TAKE_PTR(c);
        return 0;
}

static int link_on_library(sd_event_source *source, int fd, uint32_t revents, void *userdata);

static int link_make_pair(LibraryLink *l) {
        int fds[2], r;

        if (l->call)
                return 0;
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
                return -errno;

        r = call_new(fds[1], l, &l->call);
        if (r >= 0)
                r = sd_event_add_io(l->event, &l->source, fds[0], EPOLLIN, link_on_library, l);
        if (r < 0) {
                (void) safe_close(fds[0]);
                l->call = call_free(l->call);
                return r;
        }
        (void) sd_event_source_set_description(l->source, "modbus-library");
        l->fd = fds[0];
        return 0;
}

/* Ends a call that runs, at once, and leaves it to the worker; the next request gets a new pair. */
static void link_drop_pair(LibraryLink *l) {
        Call *call = TAKE_PTR(l->call);

        if (!call)
                return;
        l->source = sd_event_source_disable_unref(l->source);
        (void) shutdown(l->fd, SHUT_RDWR);
        l->fd = safe_close(l->fd);
        if (l->running)
                worker_cancel(l->worker, &call->job);
        else
                (void) call_free(call);
        l->running = false;
}

/* What the library has not read of an answer before. Nothing runs. */
static void link_empty_pair(const LibraryLink *l) {
        uint8_t dustbin[FRAME_MAX];

        while (recv(l->call->fd, dustbin, sizeof(dustbin), MSG_DONTWAIT) > 0)
                ;
}

/* ---- attempts ---------------------------------------------------------------------------------------- */

static void link_finish(LibraryLink *l, const ModbusResponse *response) {
        l->state = LIBRARY_IDLE;
        if (!response)
                l->link.hears_itself = serial_hears_itself(l->serial);
        l->link.ended_at = now_usec(CLOCK_MONOTONIC);
        deadline_set(l->deadline, USEC_INFINITY);
        l->callback(response ? 0 : -ETIMEDOUT, response, l->callback_userdata);
}

/* TAP_TIMEOUT, or that what came is not the answer. */
static void link_fail(LibraryLink *l, TapKind kind) {
        tap_failed(l->tap, 1, kind, now_usec(CLOCK_MONOTONIC), 0, l->answer, l->answer_size);
        link_finish(l, NULL);
}

static void link_break(LibraryLink *l, int error) {
        l->state = LIBRARY_BROKEN;
        l->error = error;
        deadline_set(l->deadline, 0);
}

static void link_on_deadline(void *userdata) {
        LibraryLink *l = userdata;

        switch (l->state) {
        case LIBRARY_BROKEN:
                l->handler->closed(l->error, l->userdata);
                return;
        case LIBRARY_REFUSED:
                l->link.received = 0; /* as nothing was sent */
                l->link.round_trip = 0;
                link_finish(l, &(ModbusResponse) { .result = l->refused,
                                                   .exception = modbus_result_to_code(l->refused) });
                return;
        case LIBRARY_OPENING:
        case LIBRARY_IDLE:
                return;
        case LIBRARY_ASKED:
        case LIBRARY_SENDING: /* the far end holds us up */
                serial_discard_output(l->serial);
                break;
        case LIBRARY_WAITING:
                break;
        }
        link_drop_pair(l);
        link_fail(l, TAP_TIMEOUT);
}

/* Values of a request as the library takes them. */
static void call_set_values(Call *c) {
        const ModbusPdu *q = &c->request;

        if (q->function == MODBUS_WRITE_COILS)
                for (unsigned i = 0; i < q->quantity; i++)
                        c->values.bits[i] = q->data[i / 8] >> i % 8 & 1;
        else if (q->function == MODBUS_WRITE_REGISTERS)
                for (unsigned i = 0; i < q->quantity; i++)
                        c->values.registers[i] = get_be16(q->data + 2 * (size_t) i);
        c->request.data = NULL; /* the caller's, gone when the worker runs */
}

static int link_ask(LibraryLink *l, const ModbusPdu *request) {
        int r;

        r = link_make_pair(l);
        if (r < 0)
                return r;

        link_empty_pair(l);
        l->call->unit = l->expect.unit;
        l->call->request = *request;
        call_set_values(l->call);
        r = worker_submit(l->worker, &l->call->job);
        if (r < 0)
                return r;
        l->running = true;
        return 0;
}

static void library_link_submit(ModbusLink *link, const ModbusRequest *request, ModbusLinkCallback callback,
                                void *userdata) {
        LibraryLink *l = (LibraryLink *) link;
        ModbusPdu pdu;
        int r;

        assert(l->state == LIBRARY_IDLE);

        l->link.begun_at = now_usec(CLOCK_MONOTONIC);
        l->expect = request->expect;
        l->callback = callback;
        l->callback_userdata = userdata;
        l->answer_size = l->frame_size = 0;

        l->refused = modbus_request_parse(request->frame + RTU_PDU_OFFSET, request->size - RTU_EXTRA, &pdu);
        if (l->refused != MODBUS_SUCCESS) {
                l->state = LIBRARY_REFUSED;
                deadline_set(l->deadline, 0);
                return;
        }

        serial_discard_input(l->serial);
        r = link_ask(l, &pdu);
        if (r < 0) {
                link_break(l, r);
                return;
        }
        l->state = LIBRARY_ASKED;
        deadline_set_relative(l->deadline, usec_add(l->request_timeout,
                                                    serial_transmission_usec(&l->line, FRAME_MAX)));
}

/* The library sends: its whole frame, in one write. */
static int link_on_library(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        LibraryLink *l = userdata;
        uint8_t frame[FRAME_MAX];
        ssize_t n = recv(fd, frame, sizeof(frame), MSG_DONTWAIT);

        if (n <= 0 || l->state != LIBRARY_ASKED)
                return 0;
        l->state = LIBRARY_SENDING;
        l->sent_at = now_usec(CLOCK_MONOTONIC);
        tap_sent(l->tap, l->sent_at, 0, frame, (size_t) n);
        /* A loss comes by closed(). */
        (void) serial_write_frame(l->serial, frame, (size_t) n,
                                  modbus_function_is_echoed(l->expect.head[0]));
        return 0;
}

static bool is_exception(int error) {
        return error >= MODBUS_ENOBASE && (error < MODBUS_ENOBASE + MODBUS_EXCEPTION_MAX || error == EMBBADEXC);
}

/* Values that the library has read, as they lie in an answer. */
static size_t call_get_values(const Call *c, uint8_t *ret_data) {
        const ModbusPdu *q = &c->request;
        size_t n = (size_t) c->result;

        switch (q->function) {
        case MODBUS_READ_COILS:
        case MODBUS_READ_DISCRETE_INPUTS:
                memset(ret_data, 0, (n + 7) / 8);
                for (size_t i = 0; i < n; i++)
                        ret_data[i / 8] = (uint8_t) (ret_data[i / 8] | (c->values.bits[i] & 1) << i % 8);
                return (n + 7) / 8;
        case MODBUS_READ_HOLDING_REGISTERS:
        case MODBUS_READ_INPUT_REGISTERS:
                for (size_t i = 0; i < n; i++)
                        put_be16(ret_data + 2 * i, c->values.registers[i]);
                return 2 * n;
        default:
                return 0;
        }
}

/* It says no when an answer has more than was asked for. */
static void call_done(WorkerJob *job) {
        Call *c = (Call *) job;
        LibraryLink *l = c->link;
        size_t size = l->frame_size;

        l->running = false;
        if (c->result < 0 && !is_exception(c->error)) {
                link_fail(l, TAP_WRONG);
                return;
        }
        l->link.received = size;
        l->response.data = l->data;
        l->response.size = c->result < 0 ? 0 : call_get_values(c, l->data);

        l->link.round_trip = usec_sub(now_usec(CLOCK_MONOTONIC), l->sent_at);
        tap_received(l->tap, l->heard_at, 0, l->answer, size);
        if (l->answer_size > size)
                tap_failed(l->tap, 1, TAP_UNASKED, l->heard_at, 0, l->answer + size, l->answer_size - size);
        link_finish(l, &l->response);
}

static void library_link_cancel(ModbusLink *link) {
        LibraryLink *l = (LibraryLink *) link;

        if (l->state == LIBRARY_OPENING || l->state == LIBRARY_BROKEN || l->state == LIBRARY_IDLE)
                return;
        if (l->running)
                link_drop_pair(l);
        l->state = LIBRARY_IDLE;
        deadline_set(l->deadline, USEC_INFINITY);
}

/* ---- the line's side --------------------------------------------------------------------------------- */

static void link_opened(Serial *serial, void *userdata) {
        LibraryLink *l = userdata;

        l->state = LIBRARY_IDLE;
        l->handler->connected(l->userdata);
}

static void link_drop(LibraryLink *l, size_t n) {
        l->answer_size -= n;
        memmove(l->answer, l->answer + n, l->answer_size);
}

/* The library gives up at whatever is not its answer, and takes some for it that are not: an exception to
 * another function, the echo of another write. So it gets the right one only, and what is in front of it is
 * ignored (spec modbus.md 4.3). */
static void link_find_answer(LibraryLink *l) {
        const ModbusFraming *rtu = modbus_framing_get(MODBUS_FRAMING_RTU);
        uint8_t scratch[MODBUS_PDU_MAX];
        ModbusSearch s;
        int r;

        do {
                size_t front;

                r = rtu->find_response(&l->expect, 1, l->answer, l->answer_size, scratch, &s);
                front = r > 0 ? s.frame.offset : s.consumed;
                l->link.checksum_errors += s.bad_checksums;
                if (s.dropped > 0)
                        tap_failed(l->tap, s.dropped, TAP_GARBAGE, l->heard_at, 0, l->answer, front);
                if (r > 0 && modbus_response_parse(&l->expect, s.frame.pdu, s.frame.pdu_size, &l->response) >= 0) {
                        link_drop(l, front);
                        l->frame_size = s.frame.size;
                        (void) send(l->fd, l->answer, l->frame_size, MSG_DONTWAIT | MSG_NOSIGNAL);
                        return;
                }
                if (r > 0)
                        tap_failed(l->tap, 1, TAP_WRONG, l->heard_at, 0, l->answer + front, s.frame.size);
                link_drop(l, s.consumed);
        } while (r > 0);
}

static size_t link_received(Serial *serial, const uint8_t *data, size_t size, void *userdata) {
        LibraryLink *l = userdata;
        size_t n = MIN(size, sizeof(l->answer) - l->answer_size);

        if (l->state != LIBRARY_SENDING && l->state != LIBRARY_WAITING) {
                tap_failed(l->tap, 1, TAP_UNASKED, now_usec(CLOCK_MONOTONIC), 0, data, size);
                return size;
        }
        memcpy(l->answer + l->answer_size, data, n);
        l->answer_size += n;
        if (l->frame_size == 0) {
                l->heard_at = now_usec(CLOCK_MONOTONIC);
                link_find_answer(l);
        }
        return size;
}

static void link_drained(Serial *serial, void *userdata) {
        LibraryLink *l = userdata;

        if (l->state != LIBRARY_SENDING || serial_unsent(serial) > 0)
                return;
        l->state = LIBRARY_WAITING;
        l->sent_at = now_usec(CLOCK_MONOTONIC);
        deadline_set(l->deadline, usec_add(l->sent_at, l->request_timeout));
}

static void link_closed(Serial *serial, int error, void *userdata) {
        LibraryLink *l = userdata;

        l->handler->closed(error, l->userdata);
}

static const SerialHandler library_serial_handler = {
        .opened = link_opened,
        .received = link_received,
        .drained = link_drained,
        .closed = link_closed,
};

/* ---- life -------------------------------------------------------------------------------------------- */

static ModbusLink *library_link_free(ModbusLink *link) {
        LibraryLink *l = (LibraryLink *) link;

        link_drop_pair(l);
        (void) worker_free(l->worker);
        (void) serial_free(l->serial);
        (void) deadline_free(l->deadline);
        g_free(l);
        return NULL;
}

static const ModbusLinkVTable library_link_vtable = {
        .submit = library_link_submit,
        .cancel = library_link_cancel,
        .free = library_link_free,
};

static int link_init(LibraryLink *l, const char *path) {
        int r;

        r = deadline_new(l->event, "modbus-library", link_on_deadline, l, &l->deadline);
        if (r < 0)
                return r;
        r = worker_new(l->event, "modbus-rtu", 1, CALLS_MAX, &l->worker);
        if (r < 0)
                return r;
        r = link_make_pair(l);
        if (r < 0)
                return r;
        return serial_open(l->event, path, &l->line, "modbus-serial", &library_serial_handler, l, &l->serial);
}

int modbus_library_link_open(sd_event *event, const char *path, const SerialOptions *line,
                             const ModbusLinkOptions *options, const ModbusLinkHandler *handler, void *userdata,
                             ModbusLink **ret) {
        LibraryLink *l = g_new0(LibraryLink, 1);
        int r;

        assert(options->framing->kind == MODBUS_FRAMING_RTU);

        l->link.vtable = &library_link_vtable;
        l->event = event;
        l->line = *line;
        l->line.open_timeout = options->connect_timeout;
        l->tap = options->tap;
        l->handler = handler;
        l->userdata = userdata;
        l->request_timeout = options->request_timeout;
        l->fd = -EBADF;

        r = link_init(l, path);
        if (r < 0) {
                (void) library_link_free(&l->link);
                return r;
        }

        *ret = &l->link;
        return 0;
}
