/* SPDX-License-Identifier: Apache-2.0 */
/* Every link of a Modbus master against the same table: over TCP and on a serial line, by our own codec in each
 * framing and by libmodbus. One row is one attempt that the test answers by hand, and a good one after it. Rows
 * in which libmodbus must differ (spec 11.3) say so. */

#include "devices/modbus/modbus-link.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/low-fd.h"
#include "devices/modbus/modbus-channel.h"
#include "tests/unit/hex.h"
#include "tests/unit/loop.h"
#include "tests/unit/moved-clock.h"
#include "tests/unit/pty.h"

#define MS USEC_PER_MSEC
#define TIMEOUT_USEC (2000 * MS) /* longer than a busy machine keeps this process waiting */
#define AT_ONCE_USEC TIMEOUT_USEC /* waits for nothing */
#define QUIET_USEC (3 * MS)

typedef enum Way { OVER_TCP, ON_LINE, BY_LIBRARY } Way;

typedef struct Kind {
        const char *name;
        Way way;
        ModbusFramingKind framing;
} Kind;

static const Kind kinds[] = {
        { "tcp-TCP", OVER_TCP, MODBUS_FRAMING_TCP },     { "tcp-RTU", OVER_TCP, MODBUS_FRAMING_RTU },
        { "tcp-ASCII", OVER_TCP, MODBUS_FRAMING_ASCII }, { "line-TCP", ON_LINE, MODBUS_FRAMING_TCP },
        { "line-RTU", ON_LINE, MODBUS_FRAMING_RTU },     { "line-ASCII", ON_LINE, MODBUS_FRAMING_ASCII },
        { "library", BY_LIBRARY, MODBUS_FRAMING_RTU },
};

/* ---- fixture ------------------------------------------------------------------------------------------ */

typedef struct Fixture {
        const Kind *kind;
        const ModbusFraming *framing;
        sd_event *event;
        Resolver *resolver;
        LinkTap tap;
        unsigned n_told[_TAP_KIND_MAX];
        size_t told_bytes[_TAP_KIND_MAX]; /* received */
        Pty *pty;
        int listener, peer; /* peer: of the pty, too, and then its */
        ModbusLink *link;
        SerialOptions line;
        usec_t request_timeout;

        bool connected, closed;
        int closed_error;
        bool ended; /* the attempt */
        int error;
        ModbusResult result;
        GByteArray *data;
        uint16_t transaction; /* of the request that was taken */
        uint8_t frame[MODBUS_FRAME_MAX];
} Fixture;

static void on_connected(void *userdata) {
        Fixture *f = userdata;

        f->connected = true;
}

static void on_closed(int error, void *userdata) {
        Fixture *f = userdata;

        g_assert_false(f->closed);
        f->closed = true;
        f->closed_error = error;
}

static const ModbusLinkHandler link_handler = { on_connected, on_closed };

static void on_attempt(int error, const ModbusResponse *response, void *userdata) {
        Fixture *f = userdata;

        g_assert_false(f->ended);
        g_assert_cmpint(!error, ==, !!response);
        f->ended = true;
        f->error = error;
        g_byte_array_set_size(f->data, 0);
        if (response) {
                f->result = response->result;
                g_byte_array_append(f->data, response->data, (guint) response->size);
        }
}

static void on_record(const TapRecord *record, void *userdata) {
        Fixture *f = userdata;

        f->n_told[record->header.kind]++;
        if (record->header.direction == TAP_RECEIVED)
                f->told_bytes[record->header.kind] += record->header.size;
}

static void listen_here(Fixture *f, struct sockaddr_in *sa) {
        socklen_t size = sizeof(*sa);

        f->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        g_assert_cmpint(bind(f->listener, (struct sockaddr *) sa, size), ==, 0);
        g_assert_cmpint(listen(f->listener, 1), ==, 0);
        g_assert_cmpint(getsockname(f->listener, (struct sockaddr *) sa, &size), ==, 0);
}

static int try_connect(Fixture *f) {
        const ModbusLinkOptions options = {
                .framing = f->framing,
                .connect_timeout = LOOP_LIMIT_USEC,
                .request_timeout = f->request_timeout,
                .max_outstanding = 1,
                .tap = &f->tap,
        };
        struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

        switch (f->kind->way) {
        case OVER_TCP:
                listen_here(f, &sa);
                return modbus_stream_link_connect(f->event, f->resolver, "127.0.0.1", ntohs(sa.sin_port),
                                                  &options, &link_handler, f, &f->link);
        case ON_LINE:
                return modbus_stream_link_open(f->event, f->pty->path, &f->line, &options, &link_handler, f,
                                               &f->link);
        default:
                return modbus_library_link_open(f->event, f->pty->path, &f->line, &options, &link_handler, f,
                                                &f->link);
        }
}

static void begin(Fixture *f, const Kind *kind) {
        *f = (Fixture) {
                .kind = kind,
                .framing = modbus_framing_get(kind->framing),
                .event = loop_new(),
                .tap = { .listener = on_record, .userdata = f },
                .listener = -EBADF,
                .request_timeout = TIMEOUT_USEC,
                .data = g_byte_array_new(),
                .line = { .baudrate = 1000000, .data_bits = 8, .stop_bits = 1, .receive_max = 1024 },
        };
        g_assert_cmpint(resolver_new(f->event, 4, &f->resolver), ==, 0);
        if (kind->way != OVER_TCP)
                f->pty = pty_new();
}

static void connect_link(Fixture *f) {
        g_assert_cmpint(try_connect(f), ==, 0);
        g_assert_false(f->connected);
        LOOP_UNTIL(f->event, f->connected);
        if (f->pty) {
                f->peer = f->pty->fd;
                return;
        }
        f->peer = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        g_assert_cmpint(f->peer, >=, 0);
        g_assert_cmpint(setsockopt(f->peer, IPPROTO_TCP, TCP_NODELAY, &(int) { 1 }, sizeof(int)), ==, 0);
}

static void end(Fixture *f) {
        f->link = modbus_link_free(f->link);
        if (!f->pty)
                f->peer = safe_close(f->peer);
        f->pty = pty_free(f->pty);
        f->listener = safe_close(f->listener);
        g_byte_array_unref(f->data);
        f->resolver = resolver_free(f->resolver);
        f->event = sd_event_unref(f->event);
}

static void run_for(Fixture *f, usec_t duration) {
        usec_t until = now_usec(CLOCK_MONOTONIC) + duration, now;

        while ((now = now_usec(CLOCK_MONOTONIC)) < until)
                g_assert_cmpint(sd_event_run(f->event, until - now), >=, 0);
}

/* ---- one attempt ------------------------------------------------------------------------------------- */

/* unit and PDU in digits */
static void submit(Fixture *f, const char *hex) {
        g_autoptr(GByteArray) bytes = from_hex(hex);
        ModbusRequest request = { .frame = f->frame };

        memcpy(f->frame + f->framing->pdu_offset, bytes->data + 1, bytes->len - 1);
        request.expect = modbus_expect(bytes->data[0], bytes->data + 1, bytes->len - 1);
        request.size = f->framing->wrap(f->frame, 0, bytes->data[0], bytes->len - 1);
        f->ended = false;
        f->link->vtable->submit(f->link, &request, on_attempt, f);
        memset(f->frame, 0xee, sizeof(f->frame)); /* it is not needed any more */
        g_assert_false(f->ended);
}

/* The peer gets exactly this request. */
static void take(Fixture *f, const char *hex) {
        g_autoptr(GByteArray) expected = from_hex(hex);
        uint8_t buffer[1024], scratch[MODBUS_PDU_MAX];
        ModbusUnits units;
        ModbusSearch s = {};
        size_t have = 0;

        memset(&units, 0xff, sizeof(units));
        do {
                ssize_t n = 0;

                LOOP_UNTIL(f->event, (n = read(f->peer, buffer + have, sizeof(buffer) - have)) > 0);
                have += (size_t) n;
        } while (f->framing->find_request(&units, false, buffer, have, scratch, &s) == 0);

        g_assert_cmpuint(s.consumed, ==, have);
        g_assert_cmpuint(s.dropped, ==, 0);
        g_assert_cmpuint(s.frame.unit, ==, expected->data[0]);
        g_assert_cmpmem(s.frame.pdu, s.frame.pdu_size, expected->data + 1, expected->len - 1);
        f->transaction = s.frame.transaction;
}

static void peer_write(Fixture *f, const uint8_t *data, size_t size) {
        g_assert_cmpint(f->pty ? write(f->peer, data, size) : send(f->peer, data, size, MSG_NOSIGNAL), ==, size);
}

/* A frame of this unit and PDU; check: whether its checksum is right. */
static GByteArray *make_frame(Fixture *f, const char *hex, bool check) {
        g_autoptr(GByteArray) bytes = from_hex(hex);
        uint8_t frame[MODBUS_FRAME_MAX];
        size_t size;

        memcpy(frame + f->framing->pdu_offset, bytes->data + 1, bytes->len - 1);
        size = f->framing->wrap(frame, f->transaction, bytes->data[0], bytes->len - 1);
        if (!check) /* of ASCII: the last digit of the LRC */
                frame[size - (f->framing->kind == MODBUS_FRAMING_ASCII ? 3 : 1)] ^= 1;
        return g_byte_array_append(g_byte_array_new(), frame, (guint) size);
}

static void play_frame(Fixture *f, char how, const char *hex) {
        g_autoptr(GByteArray) frame = make_frame(f, hex, how != '!');
        guint half = frame->len / 2;

        switch (how) {
        case '.':
                for (guint i = 0; i < frame->len; i++) {
                        peer_write(f, frame->data + i, 1);
                        g_assert_cmpint(sd_event_run(f->event, MS), >=, 0); /* until it was read */
                }
                return;
        case '<':
                peer_write(f, frame->data, half);
                return;
        case '>':
                peer_write(f, frame->data + half, frame->len - half);
                return;
        default:
                peer_write(f, frame->data, frame->len);
        }
}

/* What the peer does, in words: =HEX a frame, !HEX one with a wrong checksum, #HEX bytes as they are, .HEX a frame
 * byte by byte, <HEX its first half and >HEX the rest, ~ a moment. */
static void play(Fixture *f, const char *script) {
        g_auto(GStrv) words = g_strsplit(script, " ", -1);

        for (char **w = words; *w; w++) {
                if (**w == '~')
                        run_for(f, QUIET_USEC);
                else if (**w == '#') {
                        g_autoptr(GByteArray) bytes = from_hex(*w + 1);

                        peer_write(f, bytes->data, bytes->len);
                } else
                        play_frame(f, **w, *w + 1);
        }
}

/* The end of an attempt for which nothing more comes. The time is moved on by less than the timeout, so that one that ends
 * too early is seen; libmodbus waits by the kernel's. */
static void wait_end(Fixture *f) {
        run_for(f, QUIET_USEC);
        for (unsigned i = 0; i < 4 && f->kind->way != BY_LIBRARY && !f->ended && !f->closed; i++) {
                clock_move(TIMEOUT_USEC / 4);
                run_for(f, QUIET_USEC);
        }
        LOOP_UNTIL(f->event, f->ended || f->closed);
}

/* A request that is answered, after whatever else the peer does. */
static void good_exchange_after(Fixture *f, const char *script) {
        submit(f, "07 03 0010 0001");
        take(f, "07 03 0010 0001");
        play(f, script);
        play(f, "=0703024321");
        LOOP_UNTIL(f->event, f->ended);
        g_assert_cmpint(f->error, ==, 0);
        g_assert_cmpint(f->result, ==, MODBUS_SUCCESS);
        g_assert_cmpmem(f->data->data, f->data->len, "\x43\x21", 2);
}

static void good_exchange(Fixture *f) {
        good_exchange_after(f, "");
}

/* ---- the table --------------------------------------------------------------------------------------- */

#define TIMES_OUT -1                    /* at the deadline, not before */
#define NOT_WITH_TCP (1U << 0)          /* TCP framing has no checksum, and waits for the rest of a frame */
#define LIBRARY_GIVES_UP (1U << 1)      /* libmodbus ends the attempt at once, as timed out */
#define LIBRARY_REFUSES (1U << 2)       /* … and does not send what the protocol forbids */

typedef struct Row {
        const char *request, *script;
        int result;             /* ModbusResult, or TIMES_OUT */
        const char *data;
        unsigned marks;
        const char *after;      /* what the peer still does when the attempt is over */
} Row;

static const Row rows[] = {
        /* each function */
        { "11 01 007b 0003", "=11010105", MODBUS_SUCCESS, "05" },
        { "11 02 0000 000a", "=1102028301", MODBUS_SUCCESS, "8301" },
        { "11 03 03e8 0003", "=110306123456789abc", MODBUS_SUCCESS, "1234 5678 9abc" },
        { "11 04 0007 0001", "=110402ffff", MODBUS_SUCCESS, "ffff" },
        { "11 05 0005 ff00", "=11050005ff00", MODBUS_SUCCESS, "" },
        { "11 05 0005 0000", "=110500050000", MODBUS_SUCCESS, "" },
        { "11 06 0065 5678", "=110600655678", MODBUS_SUCCESS, "" },
        { "11 0f 0066 000a 02 0d03", "=110f0066000a", MODBUS_SUCCESS, "" },
        { "11 10 0064 0002 04 1234 5678", "=111000640002", MODBUS_SUCCESS, "" },
        { "11 16 0064 ff00 0034", "=11160064ff000034", MODBUS_SUCCESS, "" },
        { "00 03 0000 0001", "=0003020001", MODBUS_SUCCESS, "0001" },
        { "f7 03 0000 0001", "=f703020001", MODBUS_SUCCESS, "0001" },

        /* each exception, known and not */
        { "11 03 0000 0001", "=118301", MODBUS_INVALID_FUNCTION_CODE, "" },
        { "11 03 0000 0001", "=118302", MODBUS_INVALID_DATA_ADDRESS, "" },
        { "11 06 0000 0001", "=118603", MODBUS_INVALID_DATA_VALUE, "" },
        { "11 01 0000 0001", "=118104", MODBUS_FUNCTION_ERROR, "" },
        { "11 03 0000 0001", "=118305", MODBUS_FUNCTION_ERROR, "" },
        { "11 03 0000 0001", "=118306", MODBUS_FUNCTION_ERROR, "" },
        { "11 03 0000 0001", "=118307", MODBUS_FUNCTION_ERROR, "" },
        { "11 03 0000 0001", "=118308", MODBUS_FUNCTION_ERROR, "" },
        { "11 03 0000 0001", "=118309", MODBUS_FUNCTION_ERROR, "" },
        { "11 03 0000 0001", "=11830a", MODBUS_GATEWAY_PATH_UNAVAILABLE, "" },
        { "11 16 0000 0001 0002", "=11960b", MODBUS_GATEWAY_TARGET_DEVICE_FAILED_TO_RESPOND, "" },
        { "11 03 0000 0001", "=11830c", MODBUS_FUNCTION_ERROR, "" },
        { "11 03 0000 0001", "=118300", MODBUS_FUNCTION_ERROR, "" },
        { "11 03 0000 0001", "=1183ff", MODBUS_FUNCTION_ERROR, "" },

        /* in pieces */
        { "11 03 0000 0002", ".11030412345678", MODBUS_SUCCESS, "1234 5678" },
        { "11 03 0000 0002", "<11030412345678 ~ >11030412345678", MODBUS_SUCCESS, "1234 5678" },
        { "11 03 0000 0001", ".118302", MODBUS_INVALID_DATA_ADDRESS, "" },

        /* no answer, half an answer, an answer too late */
        { "11 03 0000 0001", "~", TIMES_OUT, "" },
        { "11 03 0000 0001", "<1103021234", TIMES_OUT, "", NOT_WITH_TCP },
        { "11 03 0000 0001", "~", TIMES_OUT, "", 0, "=1103021234" },
        { "11 03 0000 0001", "<1103021234", TIMES_OUT, "", 0, ">1103021234" },
        { "11 03 0000 0001", "=1103020001", MODBUS_SUCCESS, "0001", 0, "=1103020002 #55" },

        /* not the answer: waited on with the same deadline */
        { "11 03 0000 0001", "=1203021111 =1103021234", MODBUS_SUCCESS, "1234" },
        { "11 03 0000 0001", "=1104021111 =1103021234", MODBUS_SUCCESS, "1234" },
        { "11 03 0000 0001", "=118402 =1103021234", MODBUS_SUCCESS, "1234" },
        { "11 03 0000 0002", "=1103021111 =11030412345678", MODBUS_SUCCESS, "1234 5678" },
        { "11 01 0000 0009", "=110101ff =110102ff01", MODBUS_SUCCESS, "ff01" },
        { "11 06 0001 0002", "=110600010003 =110600010002", MODBUS_SUCCESS, "" },
        { "11 06 0001 0002", "=110600020002", TIMES_OUT, "" },
        { "11 05 0001 ff00", "=110500010000", TIMES_OUT, "" },
        { "11 0f 0066 000a 02 0d03", "=110f0066000b", TIMES_OUT, "" },
        { "11 10 0064 0002 04 1234 5678", "=111000650002", TIMES_OUT, "" },
        { "11 16 0064 ff00 0034", "=11160064ff000035", TIMES_OUT, "" },
        { "11 03 0000 0001", "!1103021111 =1103021234", MODBUS_SUCCESS, "1234", NOT_WITH_TCP },
        { "11 03 0000 0001", "!1103021111", TIMES_OUT, "", NOT_WITH_TCP },
        { "11 03 0000 0001", "#ff ~ =1103021234", MODBUS_SUCCESS, "1234", NOT_WITH_TCP },
        { "11 03 0000 0001", "#1184 ~ =1103021234", MODBUS_SUCCESS, "1234", NOT_WITH_TCP },

        /* more than was asked for: the rest is dropped; libmodbus holds it for another's */
        { "11 03 0000 0001", "=11030412345678", MODBUS_SUCCESS, "1234 5678", LIBRARY_GIVES_UP },

        /* more than a request may ask for is the far end's affair */
        { "11 03 0000 007e", "=118303", MODBUS_INVALID_DATA_VALUE, "", LIBRARY_REFUSES },
        { "11 01 0000 07d1", "=118103", MODBUS_INVALID_DATA_VALUE, "", LIBRARY_REFUSES },
        { "11 04 0000 00ff", "=118403", MODBUS_INVALID_DATA_VALUE, "", LIBRARY_REFUSES },
};

static void check_row(Fixture *f, const Row *row) {
        g_autoptr(GByteArray) data = from_hex(row->data);
        bool library = f->kind->way == BY_LIBRARY;
        bool refused = library && (row->marks & LIBRARY_REFUSES);
        bool gives_up = library && (row->marks & LIBRARY_GIVES_UP);
        usec_t begun = now_usec(CLOCK_MONOTONIC);

        g_test_message("%s: %s", row->request, row->script);
        submit(f, row->request);
        if (!refused) {
                take(f, row->request);
                play(f, row->script);
        }
        if (row->result == TIMES_OUT)
                wait_end(f);
        LOOP_UNTIL(f->event, f->ended);
        if (gives_up) {
                g_assert_cmpint(f->error, ==, -ETIMEDOUT);
                g_assert_cmpuint(now_usec(CLOCK_MONOTONIC) - begun, <, TIMEOUT_USEC);
        } else if (row->result == TIMES_OUT) {
                g_assert_cmpint(f->error, ==, -ETIMEDOUT);
                g_assert_cmpuint(now_usec(CLOCK_MONOTONIC) - begun, >=, TIMEOUT_USEC - 5 * MS);
        } else {
                g_assert_cmpint(f->error, ==, 0);
                g_assert_cmpint(f->result, ==, row->result);
                g_assert_cmpmem(f->data->data, f->data->len, data->data, data->len);
        }

        if (row->after)
                play(f, row->after);
        if (gives_up || row->after) /* what is left of the script is read as nobody's */
                run_for(f, QUIET_USEC);
        good_exchange(f);
}

static void test_table(gconstpointer userdata) {
        Fixture f;

        begin(&f, userdata);
        connect_link(&f);
        good_exchange(&f);
        for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
                if (f.kind->framing != MODBUS_FRAMING_TCP || !(rows[i].marks & NOT_WITH_TCP))
                        check_row(&f, &rows[i]);
        g_assert_false(f.closed);
        g_assert_cmpuint(f.tap.sent, >, G_N_ELEMENTS(rows));
        end(&f);
}

/* TCP framing has nothing that finds the next frame: after a byte too few or too many the connection goes on, or is
 * closed because it cannot be trusted, and what follows is good. */
static void recover(Fixture *f) {
        for (unsigned i = 0; i < 3 && !f->closed; i++) {
                submit(f, "07 03 0010 0001");
                take(f, "07 03 0010 0001");
                play(f, "=0703024321");
                wait_end(f);
                if (f->ended && f->error == 0) {
                        g_assert_cmpmem(f->data->data, f->data->len, "\x43\x21", 2);
                        return;
                }
        }
        g_assert_true(f->closed);
        g_assert_cmpint(f->closed_error, ==, -EBADMSG);
}

static void lose_or_add_on_tcp(Fixture *f, const Kind *kind, bool added, guint at) {
        g_autoptr(GByteArray) frame = NULL;

        begin(f, kind);
        connect_link(f);
        submit(f, "11 03 0000 0001");
        take(f, "11 03 0000 0001");
        frame = make_frame(f, "1103021234", true);
        g_assert_cmpuint(frame->len, ==, 11);
        peer_write(f, frame->data, at);
        if (added)
                peer_write(f, (const uint8_t *) "\x12", 1);
        if (at + !added < frame->len)
                peer_write(f, frame->data + at + !added, frame->len - at - !added);
        wait_end(f);
        recover(f);
        end(f);
}

/* Every byte of an answer lost, and one more at every place: the next attempt is good. */
static void test_lost_and_added(gconstpointer userdata) {
        Fixture f;

        if (((const Kind *) userdata)->framing == MODBUS_FRAMING_TCP) {
                for (unsigned added = 0; added < 2; added++)
                        for (guint at = 0; at < 11; at++)
                                lose_or_add_on_tcp(&f, userdata, added, at);
                return;
        }
        begin(&f, userdata);
        connect_link(&f);
        for (unsigned added = 0; added < 2; added++)
                for (guint at = 0; at < 7; at++) {
                        g_autoptr(GByteArray) frame = NULL;

                        submit(&f, "11 03 0000 0001");
                        take(&f, "11 03 0000 0001");
                        frame = make_frame(&f, "1103021234", true);
                        peer_write(&f, frame->data, at);
                        if (added)
                                peer_write(&f, (const uint8_t *) "\x12", 1);
                        peer_write(&f, frame->data + at + !added, frame->len - at - !added);
                        wait_end(&f);
                        if (f.error == 0) /* noise in front that a search gets over */
                                g_assert_cmpmem(f.data->data, f.data->len, "\x12\x34", 2);
                        run_for(&f, QUIET_USEC);
                        good_exchange(&f);
                }
        end(&f);
}

/* Half an answer comes as its attempt ends, unseen by the link when it sends the next request, and the rest then: that costs nothing
 * but the attempt. */
static void test_cut_by_timeout(gconstpointer userdata) {
        Fixture f;

        begin(&f, userdata);
        connect_link(&f);
        submit(&f, "11 03 0000 0001");
        take(&f, "11 03 0000 0001");
        wait_end(&f);
        g_assert_cmpint(f.error, ==, -ETIMEDOUT);
        play(&f, "<1103021234");
        good_exchange_after(&f, ">1103021234");
        g_assert_cmpuint(f.n_told[TAP_TIMEOUT], ==, 1);
        if (f.framing->transactions) {
                g_assert_cmpuint(f.n_told[TAP_UNASKED], ==, 1); /* as a whole */
                g_assert_cmpuint(f.tap.errors, ==, 2);
        }
        good_exchange(&f);
        g_assert_false(f.closed);
        end(&f);
}

/* An answer that stops in its middle for longer than the next attempt, too. */
static void test_cut_by_timeouts(gconstpointer userdata) {
        Fixture f;

        begin(&f, userdata);
        connect_link(&f);
        for (unsigned i = 0; i < 2; i++) {
                submit(&f, "11 03 0000 0001");
                take(&f, "11 03 0000 0001");
                if (i == 0)
                        play(&f, "<1103021234");
                wait_end(&f);
                g_assert_cmpint(f.error, ==, -ETIMEDOUT);
        }
        good_exchange_after(&f, ">1103021234");
        g_assert_false(f.closed);
        end(&f);
}

/* A late answer that comes in pieces while nobody waits is one, told as a whole where an id says that it is one. */
static void test_late_in_pieces(gconstpointer userdata) {
        g_autoptr(GByteArray) frame = NULL;
        Fixture f;

        begin(&f, userdata);
        connect_link(&f);
        submit(&f, "11 03 0000 0001");
        take(&f, "11 03 0000 0001");
        wait_end(&f);
        frame = make_frame(&f, "1103021234", true);
        play(&f, ".1103021234");
        LOOP_UNTIL(f.event, f.told_bytes[TAP_UNASKED] == frame->len);
        if (f.framing->transactions) {
                g_assert_cmpuint(f.n_told[TAP_UNASKED], ==, 1);
                g_assert_cmpuint(f.tap.errors, ==, 2); /* with the timeout */
        }
        good_exchange(&f);
        end(&f);
}

/* What comes with an answer, behind it, is told as what it is. */
static void test_behind_answer(gconstpointer userdata) {
        g_autoptr(GByteArray) frame = NULL;
        guint size;
        Fixture f;

        begin(&f, userdata);
        connect_link(&f);
        submit(&f, "11 03 0000 0001");
        take(&f, "11 03 0000 0001");
        frame = make_frame(&f, "1103021234", true);
        size = frame->len;
        g_byte_array_append(frame, (const uint8_t *) "\x00\xff\x00", 3);
        peer_write(&f, frame->data, frame->len);
        LOOP_UNTIL(f.event, f.ended && f.told_bytes[TAP_UNASKED] > 0);
        g_assert_cmpint(f.error, ==, 0);
        g_assert_cmpmem(f.data->data, f.data->len, "\x12\x34", 2);
        g_assert_cmpuint(f.n_told[TAP_FRAME], ==, 2);
        g_assert_cmpuint(f.told_bytes[TAP_FRAME], ==, size);
        g_assert_cmpuint(f.link->received, ==, size);
        g_assert_cmpuint(f.told_bytes[TAP_UNASKED], ==, 3);
        good_exchange(&f);
        end(&f);
}

/* The same request is taken and answered so; the attempt ends with this error. */
static void exchange(Fixture *f, const char *request, const char *script, int error) {
        submit(f, request);
        take(f, request);
        play(f, script);
        LOOP_UNTIL(f->event, f->ended);
        g_assert_cmpint(f->error, ==, error);
}

/* A transceiver that hears itself: a read shows it, and then the echo of a write is not its answer. */
static void test_echo(gconstpointer userdata) {
        Fixture f;

        begin(&f, userdata);
        connect_link(&f);
        exchange(&f, "11 06 0001 0002", "=110600010002", 0); /* who knows? */
        g_assert_false(f.link->hears_itself);
        exchange(&f, "11 03 0000 0001", ".110300000001", -ETIMEDOUT);
        good_exchange_after(&f, "=070300100001");
        g_assert_true(f.link->hears_itself);

        exchange(&f, "11 06 0001 0002", "=110600010002", -ETIMEDOUT);
        exchange(&f, "11 06 0001 0002", "=110600010002 =110600010002", 0);
        exchange(&f, "11 05 0001 ff00", ".11050001ff00 =118504", 0);
        g_assert_cmpint(f.result, ==, MODBUS_FUNCTION_ERROR);
        if (f.framing->kind != MODBUS_FRAMING_TCP) { /* noise in front, as when a transmitter is switched on */
                exchange(&f, "11 16 0064 ff00 0034", "#00 =11160064ff000034 =11160064ff000034", 0);
                exchange(&f, "11 06 0001 0002", f.framing->kind == MODBUS_FRAMING_ASCII ? "#3a =110600010002" : "#11 =110600010002",
                         -ETIMEDOUT); /* and like its first byte */
        }

        /* It does not any more: that costs one attempt. */
        exchange(&f, "11 06 0001 0002", "=118602", -ETIMEDOUT);
        g_assert_false(f.link->hears_itself);
        good_exchange(&f);
        exchange(&f, "11 06 0001 0002", "=110600010002", 0);
        end(&f);
}

/* An attempt that is cancelled ends at once, whatever it waits for, and its answer is nobody's. */
static void test_cancel(gconstpointer userdata) {
        Fixture f;

        begin(&f, userdata);
        connect_link(&f);
        for (unsigned i = 0; i < 3; i++) {
                usec_t begun;

                submit(&f, "11 03 0000 0001");
                if (i > 0)
                        take(&f, "11 03 0000 0001");
                if (i == 2)
                        play(&f, "<1103021234");
                begun = now_usec(CLOCK_MONOTONIC);
                f.link->vtable->cancel(f.link);
                g_assert_cmpuint(now_usec(CLOCK_MONOTONIC) - begun, <, AT_ONCE_USEC);
                run_for(&f, QUIET_USEC);
                g_assert_false(f.ended);
                if (i == 2)
                        play(&f, ">1103021234 ~");
                if (i > 0)
                        good_exchange(&f);
                else { /* it may have been sent or not */
                        uint8_t dustbin[256];

                        (void) !read(f.peer, dustbin, sizeof(dustbin));
                }
        }
        end(&f);
}

/* Freed with an attempt under way: nothing waits, nothing is called. */
static void test_free(gconstpointer userdata) {
        for (unsigned i = 0; i < 4; i++) {
                Fixture f;
                usec_t begun;

                begin(&f, userdata);
                if (i == 0)
                        g_assert_cmpint(try_connect(&f), ==, 0);
                else
                        connect_link(&f);
                f.peer = i == 0 ? -EBADF : f.peer;
                if (i > 1)
                        submit(&f, "11 03 0000 0001");
                if (i > 2)
                        take(&f, "11 03 0000 0001");
                begun = now_usec(CLOCK_MONOTONIC);
                f.link = modbus_link_free(f.link);
                g_assert_cmpuint(now_usec(CLOCK_MONOTONIC) - begun, <, AT_ONCE_USEC);
                loop_settle(f.event);
                g_assert_false(f.ended);
                end(&f);
        }
}

static void test_lost(gconstpointer userdata) {
        for (unsigned busy = 0; busy < 2; busy++) {
                Fixture f;

                begin(&f, userdata);
                connect_link(&f);
                if (busy) {
                        submit(&f, "11 03 0000 0001");
                        take(&f, "11 03 0000 0001");
                }
                if (f.pty)
                        pty_pull(f.pty);
                else
                        f.peer = safe_close(f.peer);
                LOOP_UNTIL(f.event, f.closed);
                g_assert_cmpint(f.closed_error, ==, f.pty ? -ENODEV : 0);
                loop_settle(f.event);
                g_assert_false(f.ended);
                end(&f);
        }
}

static void test_cannot_open(gconstpointer userdata) {
        Fixture f;

        begin(&f, userdata);
        if (f.pty) {
                pty_pull(f.pty);
                g_assert_cmpint(try_connect(&f), ==, 0);
                LOOP_UNTIL(f.event, f.closed);
                g_assert_cmpint(f.closed_error, ==, -ENOENT);
                g_assert_false(f.connected);
        }
        f.peer = -EBADF;
        end(&f);
}

/* libmodbus waits by select(): with no low number left it is not used, and the process lives. Those that were kept from the start
 * are its own, pair after pair. */
static void test_high_descriptors(void) {
        static const Kind library = { "library", BY_LIBRARY, MODBUS_FRAMING_RTU };
        struct rlimit before, more;
        g_autoptr(GArray) taken = g_array_new(FALSE, FALSE, sizeof(int));
        Fixture f;
        int fd;

        g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &before), ==, 0);
        more = before;
        more.rlim_cur = MIN((rlim_t) 1200, before.rlim_max);
        if (more.rlim_cur < 1100 || setrlimit(RLIMIT_NOFILE, &more) < 0) {
                g_test_skip("the system allows no descriptor above 1023");
                return;
        }

        begin(&f, &library);
        while ((fd = fcntl(f.pty->fd, F_DUPFD_CLOEXEC, 0)) >= 0 && fd < 1030)
                g_array_append_val(taken, fd);
        (void) safe_close(fd);
        g_assert_cmpint(try_connect(&f), ==, -EMFILE);

        for (unsigned i = 0; i < 8; i++) { /* a few are enough */
                (void) close(g_array_index(taken, int, taken->len / 2));
                g_array_remove_index(taken, taken->len / 2);
        }
        connect_link(&f);
        good_exchange(&f);
        f.link = modbus_link_free(f.link);
        f.connected = false;

        low_fd_reserve(); /* takes those 8 */
        while ((fd = fcntl(f.pty->fd, F_DUPFD_CLOEXEC, 0)) >= 0 && fd < 1030)
                g_array_append_val(taken, fd);
        (void) safe_close(fd);
        for (unsigned i = 0; i < 20; i++) { /* more often than there are */
                connect_link(&f);
                good_exchange(&f);
                f.link = modbus_link_free(f.link);
                f.connected = false;
        }
        for (guint i = 0; i < taken->len; i++)
                (void) close(g_array_index(taken, int, i));
        end(&f);
        g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &before), ==, 0);
}

/* Of our end of the connection, in ms. */
static unsigned user_timeout_of(const Fixture *f) {
        struct sockaddr_in theirs = {}, far = {};
        socklen_t size = sizeof(theirs), n = sizeof(unsigned);
        unsigned value;

        g_assert_cmpint(getpeername(f->peer, (struct sockaddr *) &theirs, &size), ==, 0);
        for (int fd = 0; fd < 1024; fd++) {
                size = sizeof(far);
                if (getsockname(fd, (struct sockaddr *) &far, &size) == 0 && far.sin_family == AF_INET &&
                    far.sin_port == theirs.sin_port && getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &value, &n) == 0)
                        return value;
        }
        g_assert_not_reached();
}

/* Three requests, and 10 s at least (D24). */
static void test_user_timeout(void) {
        static const struct {
                usec_t request_timeout;
                unsigned expected; /* ms */
        } timeouts[] = {
                { TIMEOUT_USEC, 10000 },
                { 3333 * MS, 10000 },
                { 3334 * MS, 10002 },
                { 60 * USEC_PER_SEC, 180000 },
        };

        for (size_t i = 0; i < G_N_ELEMENTS(timeouts); i++) {
                Fixture f;

                begin(&f, &kinds[0]);
                f.request_timeout = timeouts[i].request_timeout;
                connect_link(&f);
                g_assert_cmpuint(user_timeout_of(&f), ==, timeouts[i].expected);
                end(&f);
        }
}

int main(int argc, char *argv[]) {
        static const struct {
                const char *name;
                void (*run)(gconstpointer kind);
                bool on_lines;
        } tests[] = {
                { "table", test_table }, { "lost-and-added", test_lost_and_added },
                { "cut-by-timeout", test_cut_by_timeout },
                { "cut-by-timeouts", test_cut_by_timeouts },
                { "late-in-pieces", test_late_in_pieces },
                { "behind-answer", test_behind_answer },
                { "echo", test_echo, .on_lines = true },
                { "cancel", test_cancel },
                { "free", test_free },
                { "lost", test_lost },
                { "cannot-open", test_cannot_open },
        };

        g_test_init(&argc, &argv, NULL);
        for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++)
                for (size_t j = 0; j < G_N_ELEMENTS(tests); j++) {
                        g_autofree char *path = g_strdup_printf("/modbus-links/%s/%s", kinds[i].name, tests[j].name);

                        if (kinds[i].way != OVER_TCP || !tests[j].on_lines)
                                g_test_add_data_func(path, &kinds[i], tests[j].run);
                }
        g_test_add_func("/modbus-links/user-timeout", test_user_timeout);
        g_test_add_func("/modbus-links/high-descriptors", test_high_descriptors);
        return g_test_run();
}
