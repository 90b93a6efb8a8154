/* SPDX-License-Identifier: Apache-2.0 */
/* Transaction ids of a master's connection over more requests than there are ids: a real connection, whose far end the test plays in
 * bulk. */

#include "devices/modbus/modbus-link.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include "base/macros.h"
#include "tests/unit/loop.h"

#define ANSWER_SIZE 11U

typedef struct Fixture {
        sd_event *event;
        LinkTap tap;
        ModbusLink *link;
        int peer;
        bool connected;
} Fixture;

/* A read of one register. In its answer, the register's value is the transaction id. */
typedef struct Read {
        uint16_t transaction;
        bool ended;
} Read;

static void on_connected(void *userdata) {
        ((Fixture *) userdata)->connected = true;
}

static void on_closed(int error, void *userdata) {
        g_error("the connection was closed: %d", error);
}

static const ModbusLinkHandler handler = { on_connected, on_closed };

static void begin(Fixture *f, unsigned max_outstanding) {
        const ModbusLinkOptions options = {
                .framing = modbus_framing_get(MODBUS_FRAMING_TCP),
                .connect_timeout = LOOP_LIMIT_USEC,
                .request_timeout = LOOP_LIMIT_USEC,
                .max_outstanding = max_outstanding,
                .tap = &f->tap,
        };
        struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t size = sizeof(sa);
        int listener;

        *f = (Fixture) { .event = loop_new() };
        listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        g_assert_cmpint(bind(listener, (struct sockaddr *) &sa, size), ==, 0);
        g_assert_cmpint(listen(listener, 1), ==, 0);
        g_assert_cmpint(getsockname(listener, (struct sockaddr *) &sa, &size), ==, 0);
        g_assert_cmpint(modbus_stream_link_connect(f->event, NULL, "127.0.0.1", ntohs(sa.sin_port), &options, &handler, f,
                                                   &f->link),
                        ==, 0);
        LOOP_UNTIL(f->event, f->connected);
        f->peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        g_assert_cmpint(f->peer, >=, 0);
        (void) safe_close(listener);
}

static void end(Fixture *f) {
        g_assert_cmpuint(f->tap.errors, ==, 0);
        f->link = modbus_link_free(f->link);
        f->peer = safe_close(f->peer);
        f->event = sd_event_unref(f->event);
}

static void on_read(int error, const ModbusResponse *response, void *userdata) {
        Read *r = userdata;

        g_assert_cmpint(error, ==, 0);
        g_assert_false(r->ended);
        g_assert_cmpuint((unsigned) response->data[0] << 8 | response->data[1], ==, r->transaction);
        r->ended = true;
}

static void submit(Fixture *f, Read *r) {
        static const uint8_t pdu[] = { MODBUS_READ_HOLDING_REGISTERS, 0, 0, 0, 1 };
        const ModbusFraming *framing = modbus_framing_get(MODBUS_FRAMING_TCP);
        uint8_t frame[MODBUS_FRAME_MAX];
        ModbusRequest request = { .frame = frame, .expect = modbus_expect(1, pdu, sizeof(pdu)) };

        memcpy(frame + framing->pdu_offset, pdu, sizeof(pdu));
        request.size = framing->wrap(frame, 0, 1, sizeof(pdu));
        f->link->vtable->submit(f->link, &request, on_read, r);
        *r = (Read) { .transaction = (uint16_t) (frame[0] << 8 | frame[1]) };
}

static void drain(Fixture *f) {
        uint8_t dustbin[4096];

        while (read(f->peer, dustbin, sizeof(dustbin)) > 0)
                ;
}

/* All of them, the last one first. */
static void answer(Fixture *f, Read *reads, size_t n) {
        uint8_t answers[MODBUS_OUTSTANDING_MAX * ANSWER_SIZE];

        f->link->vtable->flush(f->link);
        drain(f);
        for (size_t i = 0; i < n; i++) {
                uint8_t high = (uint8_t) (reads[n - 1 - i].transaction >> 8), low = (uint8_t) reads[n - 1 - i].transaction;

                memcpy(answers + i * ANSWER_SIZE, ((uint8_t[]) { high, low, 0, 0, 0, 5, 1, 3, 2, high, low }), ANSWER_SIZE);
        }
        g_assert_cmpint(send(f->peer, answers, n * ANSWER_SIZE, MSG_NOSIGNAL), ==, n * ANSWER_SIZE);
        LOOP_UNTIL(f->event, reads[0].ended);
}

/* They are counted from 1, and 0 follows the last one. */
static void test_wrap(void) {
        Fixture f;
        Read r;

        begin(&f, 1);
        for (unsigned id = 1; id < UINT16_MAX - 1; id++) {
                submit(&f, &r);
                g_assert_cmpuint(r.transaction, ==, id);
                f.link->vtable->cancel(f.link);
                if (id % 256 == 0)
                        drain(&f);
        }
        for (unsigned id = UINT16_MAX - 1; id < UINT16_MAX + 4; id++) {
                submit(&f, &r);
                g_assert_cmpuint(r.transaction, ==, (uint16_t) id);
                answer(&f, &r, 1);
        }
        end(&f);
}

/* Two wait for their answers while the others go around: nobody gets their ids. */
static void test_wrap_with_several(void) {
        Read slow[2], others[6];
        Fixture f;

        begin(&f, G_N_ELEMENTS(slow) + G_N_ELEMENTS(others));
        submit(&f, &slow[0]);
        submit(&f, &slow[1]);
        for (unsigned n = 0; n < UINT16_MAX + 10U; n += G_N_ELEMENTS(others)) {
                for (size_t i = 0; i < G_N_ELEMENTS(others); i++) {
                        submit(&f, &others[i]);
                        g_assert_cmpuint(others[i].transaction, !=, slow[0].transaction);
                        g_assert_cmpuint(others[i].transaction, !=, slow[1].transaction);
                }
                answer(&f, others, G_N_ELEMENTS(others));
                g_assert_false(slow[0].ended || slow[1].ended);
        }
        g_assert_cmpuint(others[0].transaction, <, UINT16_MAX / 2); /* they did go around */
        answer(&f, slow, G_N_ELEMENTS(slow));
        end(&f);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/modbus-transactions/wrap", test_wrap);
        g_test_add_func("/modbus-transactions/wrap-with-several", test_wrap_with_several);
        return g_test_run();
}
