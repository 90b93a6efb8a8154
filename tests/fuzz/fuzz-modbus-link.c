/* SPDX-License-Identifier: Apache-2.0 */
/* A whole conversation with a Modbus master's connection: a real one over TCP, in every framing, with one or several
 * requests under way. The input is what happens: requests, right answers in any order, wrong ones, pieces, bytes of
 * any kind, time that passes, the end.
 *
 * Whatever comes: each request ends at most once, no more are under way than may be, an answer that is accepted has
 * what was asked for, and a connection that was closed calls nobody any more. As long as all was right, a right
 * answer ends its request.
 *
 * Input: framing and options, then operations: one byte each, some followed by an argument. */

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include "devices/modbus/modbus-link.h"

#define INPUT_MAX 512U
#define UNIT 0x11
#define QUANTITY_MAX 5U
#define NEVER (3600 * USEC_PER_SEC)
#define SOON USEC_PER_MSEC
#define ARRIVES USEC_PER_SEC

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct Run Run;

/* A request of ours, and its right answer. */
typedef struct Attempt {
        Run *run;
        bool under_way;
        uint8_t quantity;
        uint8_t answer[MODBUS_FRAME_MAX];
        size_t answer_size;
} Attempt;

struct Run {
        sd_event *event;
        int client; /* the far end */
        const ModbusFraming *framing;
        ModbusLink *link;
        LinkTap tap;
        bool connected, closed;
        Attempt attempts[MODBUS_OUTSTANDING_MAX];
        size_t n, max; /* under way */
        Attempt *last; /* that was submitted */
        size_t rest;   /* of its answer, which is on its way in pieces */
        bool spoilt;   /* something came that was no right answer, or may have come too late */
};

static int listener = -EBADF;
static struct sockaddr_in address = { .sin_family = AF_INET };

static void on_connected(void *userdata) {
        ((Run *) userdata)->connected = true;
}

static void on_closed(int error, void *userdata) {
        Run *run = userdata;

        assert(!run->closed);
        run->closed = true;
        run->link = modbus_link_free(run->link);
}

static const ModbusLinkHandler handler = { on_connected, on_closed };

static void on_attempt(int error, const ModbusResponse *response, void *userdata) {
        Attempt *a = userdata;

        assert(a->under_way && !a->run->closed);
        assert(!error == !!response);
        if (response && response->result == MODBUS_SUCCESS)
                assert(response->size >= 2U * a->quantity);
        a->under_way = false;
        a->run->n--;
}

/* One port for all runs, and no end of a connection that the system remembers. */
static void run_connect(Run *run, usec_t timeout) {
        const ModbusLinkOptions options = { .framing = run->framing,
                                            .connect_timeout = NEVER,
                                            .request_timeout = timeout,
                                            .max_outstanding = (unsigned) run->max,
                                            .tap = &run->tap };
        socklen_t size = sizeof(address);

        if (listener < 0) {
                address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
                listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
                if (bind(listener, (struct sockaddr *) &address, size) < 0 || listen(listener, 1) < 0 ||
                    getsockname(listener, (struct sockaddr *) &address, &size) < 0)
                        abort();
        }
        if (sd_event_new(&run->event) < 0 ||
            modbus_stream_link_connect(run->event, NULL, "127.0.0.1", ntohs(address.sin_port), &options,
                                       &handler, run, &run->link) < 0)
                abort();
        while (!run->connected)
                if (sd_event_run(run->event, UINT64_MAX) < 0)
                        abort();
        run->client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (run->client < 0 ||
            setsockopt(run->client, IPPROTO_TCP, TCP_NODELAY, &(int) { 1 }, sizeof(int)) < 0 ||
            setsockopt(run->client, SOL_SOCKET, SO_LINGER, &(struct linger) { 1, 0 }, sizeof(struct linger)) < 0)
                abort();
}

static void run_settle(Run *run) {
        uint8_t dustbin[4096];

        while (sd_event_run(run->event, 0) > 0)
                while (recv(run->client, dustbin, sizeof(dustbin), MSG_DONTWAIT) > 0)
                        ;
}

/* Sends, and lets the link see all of it. */
static void run_send(Run *run, const uint8_t *data, size_t size) {
        if (size == 0 || send(run->client, data, size, MSG_NOSIGNAL) != (ssize_t) size)
                return;
        (void) sd_event_run(run->event, ARRIVES); /* it is read as soon as it is there */
        run_settle(run);
}

static void run_submit(Run *run, uint8_t argument) {
        uint8_t frame[MODBUS_FRAME_MAX], *pdu = frame + run->framing->pdu_offset;
        uint16_t transaction;
        ModbusPdu request = { .function = MODBUS_READ_HOLDING_REGISTERS,
                              .address = argument,
                              .quantity = 1 + argument % QUANTITY_MAX };
        ModbusRequest r = { .frame = frame };
        Attempt *a = run->attempts;
        size_t size;

        if (run->n == run->max)
                return;
        while (a->under_way)
                a++;

        size = modbus_request_build(&request, pdu);
        r.expect = modbus_expect(UNIT, pdu, size);
        r.size = run->framing->wrap(frame, 0, UNIT, size);
        a->run = run;
        a->under_way = true;
        a->quantity = (uint8_t) request.quantity;
        run->last = a;
        run->n++;
        run->rest = 0;
        run->link->vtable->submit(run->link, &r, on_attempt, a);
        if (run->max > 1)
                run->link->vtable->flush(run->link);

        transaction = (uint16_t) (run->framing->transactions ? frame[0] << 8 | frame[1] : 0);
        pdu = a->answer + run->framing->pdu_offset;
        memset(pdu + MODBUS_READ_DATA, argument, 2U * a->quantity);
        size = modbus_response_build_read(request.function, pdu + MODBUS_READ_DATA,
                                          (uint8_t) (2 * a->quantity), pdu);
        a->answer_size = run->framing->wrap(a->answer, transaction, UNIT, size);
}

/* The n-th that is under way; else the last one, whose answer then is late, or a second one. */
static Attempt *run_pick(Run *run, unsigned n) {
        for (size_t i = 0; i < run->max; i++)
                if (run->attempts[i].under_way && n-- == 0)
                        return &run->attempts[i];
        return run->last;
}

typedef enum Operation {
        SUBMIT,
        ANSWER,
        ANSWER_WRONG,
        ANSWER_BEGINNING,
        ANSWER_REST,
        BYTES,
        TIME,
        CANCEL,
        _OPERATION_MAX,
} Operation;

static void run_answer(Run *run, Operation operation, uint8_t argument) {
        Attempt *a = operation == ANSWER_REST ? run->last : run_pick(run, argument % MODBUS_OUTSTANDING_MAX);
        uint8_t frame[MODBUS_FRAME_MAX];

        if (!a)
                return;
        memcpy(frame, a->answer, a->answer_size);
        switch (operation) {
        case ANSWER_WRONG:
                run->spoilt = true;
                frame[argument % a->answer_size] ^= (uint8_t) (1 + argument / 16);
                run_send(run, frame, a->answer_size);
                break;
        case ANSWER_BEGINNING:
                run->spoilt = true;
                run->last = a;
                run->rest = a->answer_size - argument % a->answer_size;
                run_send(run, frame, a->answer_size - run->rest);
                break;
        case ANSWER_REST:
                run_send(run, frame + a->answer_size - run->rest, run->rest);
                run->rest = 0;
                break;
        default:
                run->spoilt = run->spoilt || !a->under_way;
                run_send(run, frame, a->answer_size);
                assert(run->spoilt || !a->under_way);
        }
}

/* Returns how much of the input it took. */
static size_t run_operation(Run *run, bool times_out, const uint8_t *data, size_t size) {
        uint8_t argument = size > 1 ? data[1] : 0;
        size_t n;

        switch (data[0] % _OPERATION_MAX) {
        case SUBMIT:
                run_submit(run, argument);
                return 2;
        case BYTES:
                n = MIN((size_t) argument % 32, size > 2 ? size - 2 : 0);
                run->spoilt = true;
                run_send(run, data + 2, n);
                return 2 + n;
        case TIME:
                if (times_out)
                        (void) poll(NULL, 0, 2);
                run_settle(run);
                return 1;
        case CANCEL:
                run->spoilt = true;
                run->link->vtable->cancel(run->link);
                for (size_t i = 0; i < run->max; i++)
                        run->attempts[i].under_way = false;
                run->n = 0;
                return 1;
        default:
                run_answer(run, data[0] % _OPERATION_MAX, argument);
                return 2;
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        bool times_out;
        Run run = {};

        if (size < 2 || size > INPUT_MAX)
                return 0;

        run.framing = modbus_framing_get(data[0] % _MODBUS_FRAMING_MAX);
        run.max = run.framing->transactions ? 1 + data[0] / _MODBUS_FRAMING_MAX % MODBUS_OUTSTANDING_MAX : 1;
        run.spoilt = times_out = data[0] & 0x80;
        run_connect(&run, times_out ? SOON : NEVER);

        for (size_t at = 1; at < size && !run.closed;)
                at += run_operation(&run, times_out, data + at, size - at);

        (void) modbus_link_free(run.link);
        (void) safe_close(run.client);
        sd_event_unref(run.event);
        return 0;
}
