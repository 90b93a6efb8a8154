/* SPDX-License-Identifier: Apache-2.0 */
/* Device type modbus_slave against raw clients on loopback: life, keep alive, every row of section 6 of the
 * specification, framing over pieces, flow. Main thread. */

#include "tests/unit/modbus-client.h"
#include "tests/unit/moved-clock.h"

/* ---- start and end (6.1) ----------------------------------------------------------------------------- */

static void test_start(void) {
        uint16_t port = free_port();
        g_autofree char *text = g_strdup_printf("%u", port);
        _cleanup_(fake_host_freep) FakeHost *h = slave_new(&(Settings) { .port = text });
        _cleanup_(client_freep) Client *c = NULL, *early = NULL;

        h->auto_answer = false;
        fake_host_start(h);
        g_assert_cmpstr(h->query->queries[0], ==, "data/*");
        g_assert_null(h->query->queries[1]);
        fake_host_expect_nothing(h, 20 * MS);
        early = client_try(h, port, NULL);
        g_assert_cmpint(early->fd, <, 0); /* it does not listen yet */

        fake_host_answer(h, 0,
                         (const char *const[]){ "data/x {\"value\": 4660}", "data/nobody {\"value\": 1}",
                                                "data/b {\"value\": 16777216}", "data/e \"text\"",
                                                "data/y/more {\"value\": 1}", NULL });
        g_assert_true(h->started);
        fake_host_expect(h, "connections []");
        c = client_new(h, port);
        client_request(c, "01 03 0000 0002", "01 03 04 1234 0000");
        client_request(c, "01 03 0014 0003", "01 03 06 0000 0000 0000");
        expect_ids(h, 1);

        fake_host_stop(h);
        fake_host_expect(h, "connections []");
        client_wait_end(c);
        g_assert_cmpint(h->reason, ==, DEVICE_REASON_NONE);
        g_assert_cmpint(h->link, ==, DEVICE_LINK_NONE);
}

/* Without connections nothing more is registered at the end; before the query's answer nothing at all. */
static void test_stop(void) {
        _cleanup_(fake_host_freep) FakeHost *h = slave_new(&(Settings) {});

        fake_host_start(h);
        fake_host_expect(h, "connections []");
        fake_host_stop(h);
        fake_host_expect_nothing(h, 10 * MS);

        h->auto_answer = false;
        fake_host_start(h);
        fake_host_stop(h);
        fake_host_expect_nothing(h, 10 * MS);

        h->auto_answer = true; /* and the next run */
        fake_host_start(h);
        fake_host_expect(h, "connections []");
}

static void test_query_fails(void) {
        _cleanup_(fake_host_freep) FakeHost *h = slave_new(&(Settings) {});

        h->auto_answer = false;
        fake_host_start(h);
        fake_host_answer(h, -ETIMEDOUT, NULL);
        fake_host_wait(h, &h->done);
        g_assert_cmpint(h->reason, ==, DEVICE_REASON_TIMEOUT);
        g_assert_false(h->started);
        fake_host_expect_nothing(h, 10 * MS);
}

/* ---- keep alive (6.5) -------------------------------------------------------------------------------- */

/* Requests for a configured unit keep a connection, whatever the answer; others do not. The time passes by hand: no request
 * comes late because the machine is. */
static void test_keep_alive(void) {
        uint16_t port = free_port();
        _cleanup_(fake_host_freep) FakeHost *h = slave_started(&(Settings) { .keep_alive = "60" }, port);
        _cleanup_(client_freep) Client *kept = client_new(h, port), *idle = client_new(h, port);

        expect_ids(h, 1);
        expect_ids(h, 1, 2);
        clock_move(40 * USEC_PER_SEC);
        client_request(kept, "01 03 01f4 0001", "01 83 02");
        client_request(idle, "09 03 0000 0001", "09 83 02");
        clock_move(20 * USEC_PER_SEC);
        client_wait_end(idle);
        expect_ids(h, 1);
        client_request(kept, "01 03 01f4 0001", "01 83 02");
        clock_move(60 * USEC_PER_SEC);
        client_wait_end(kept);
        fake_host_expect(h, "connections []");
}

/* It also ends a connection whose write waits, and the answer that comes then is nobody's. */
static void test_keep_alive_while_waiting(void) {
        uint16_t port = free_port();
        _cleanup_(fake_host_freep) FakeHost *h =
                        slave_started(&(Settings) { .keep_alive = "60", .response_timeout = "90" }, port);
        _cleanup_(client_freep) Client *c = client_new(h, port);
        char id[MODBUS_WRITE_ID_MAX];

        expect_ids(h, 1);
        client_send_pdu(c, 1, "01 06 0000 0001");
        expect_write(h, 1, "{\"name\": \"x\", \"value\": 1}, {\"name\": \"y\", \"value\": 256}", id);
        clock_move(60 * USEC_PER_SEC);
        client_wait_end(c);
        fake_host_expect(h, "connections []");
        answer_write(h, id, "true");
        fake_host_expect_nothing(h, 10 * MS);
}

/* ---- requests (6.6, 6.7) ----------------------------------------------------------------------------- */

static void test_requests(void) {
        static const struct {
                const char *request, *answer;
        } rows[] = {
                /* unit: before anything else */
                { "00 03 0000 0001", "00 83 02" },
                { "00 06 0000 0001", "00 86 02" },
                { "02 03 0000 0001", "02 83 02" },
                { "ff 03 0000 0000", "ff 83 02" },
                { "02 2b 0e 01 00", "02 ab 02" },
                /* function (D5) */
                { "01 07", "01 87 01" },
                { "01 08 0000 1234", "01 88 01" },
                { "01 2b 0e 01 00", "01 ab 01" },
                { "01 00", "01 80 01" },
                { "01 7f", "01 ff 01" },
                /* quantity (D6, D19) */
                { "01 01 0007 0000", "01 81 03" },
                { "01 01 0007 07d1", "01 81 03" },
                { "01 02 0000 0000", "01 82 03" },
                { "01 03 03e8 0000", "01 83 03" },
                { "01 03 03e8 007e", "01 83 03" },
                { "01 03 03e8 ffff", "01 83 03" },
                { "01 04 001e 0000", "01 84 03" },
                { "01 04 001e 007e", "01 84 03" },
                { "01 0f 0007 0000 00", "01 8f 03" },
                { "01 10 03e8 0000 00", "01 90 03" },
                /* sizes (D8) and values (D7) */
                { "01 03 0000", "01 83 03" },
                { "01 03 0000 0001 00", "01 83 03" },
                { "01 0f 0007 0003 02 0000", "01 8f 03" },
                { "01 0f 0007 0003 00", "01 8f 03" },
                { "01 10 0000 0002 02 0000", "01 90 03" },
                { "01 10 0000 0001 02", "01 90 03" },
                { "01 05 0007 0001", "01 85 03" },
                { "01 05 0007 1234", "01 85 03" },
                { "01 16 0000 0000", "01 96 03" },
                /* addresses */
                { "01 03 0002 0001", "01 83 02" },
                { "01 03 0001 0002", "01 83 02" },
                { "01 03 ffff 0002", "01 83 02" },
                { "01 01 0006 0001", "01 81 02" },
                { "01 01 0007 0004", "01 81 02" },
                { "01 02 0000 000a", "01 82 02" },
                { "01 04 0000 0001", "01 84 02" },
                { "01 05 0006 ff00", "01 85 02" },
                { "01 06 0002 0001", "01 86 02" },
                { "01 0f 0007 0004 01 00", "01 8f 02" },
                { "01 10 0001 0002 04 0000 0000", "01 90 02" },
                { "01 16 0002 0000 0000", "01 96 02" },
                { "01 16 0007 0000 0000", "01 96 02" },
                { "01 18 0000", "01 98 02" },
                { "07 03 0001 0001", "07 83 02" },
                /* reads */
                { "01 03 0000 0002", "01 03 04 1234 0000" },
                { "01 03 0014 0003", "01 03 06 000a bcde f000" },
                { "01 01 0007 0003", "01 01 01 05" },
                { "01 01 0008 0002", "01 01 01 02" },
                { "01 02 0000 0009", "01 02 02 5501" },
                { "01 04 001e 0005", "01 04 0a 123456789abcdef01122" },
                { "07 03 0000 0001", "07 03 02 0000" },
        };
        uint64_t codes[STATUS_CODES_MAX] = {};
        unsigned function, code;
        uint16_t port = free_port();
        _cleanup_(fake_host_freep) FakeHost *h = slave_started(&(Settings) {}, port);
        _cleanup_(client_freep) Client *c = client_new(h, port);

        expect_ids(h, 1);
        fake_host_event(h, "data/x", "{\"value\": 4660}");
        fake_host_event(h, "data/b", "{\"value\": 11259375}");
        fake_host_event(h, "data/c", "{\"value\": 5}");
        fake_host_event(h, "data/d", "{\"value\": 341}");
        fake_host_event(h, "data/i", "{\"value\": 85968058283706962415906}");
        fake_host_event(h, "data/zero", "{\"value\": 1}");

        for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
                g_test_message("%s", rows[i].request);
                client_send_pdu(c, (uint16_t) i, rows[i].request);
                client_expect_pdu(c, (uint16_t) i, rows[i].answer);
                if (sscanf(rows[i].answer, "%*x %x %x", &function, &code) == 2 && function & MODBUS_ERROR_BIT)
                        codes[code]++;
        }
        fake_host_expect_nothing(h, 10 * MS);
        g_assert_cmpuint(codes[1] + codes[2] + codes[3], ==, G_N_ELEMENTS(rows) - 7);
        g_assert_cmpmem(status_at(h, "ExceptionCodes"), sizeof(codes), codes, sizeof(codes));
        g_assert_cmpuint(status_value(h, "BytesSent"), >, 9 * G_N_ELEMENTS(rows));
        g_assert_cmpuint(status_value(h, "ChecksumErrors"), ==, 0);
        g_assert_cmpuint(status_value(h, "Requests"), ==, G_N_ELEMENTS(rows));
        g_assert_cmpuint(status_value(h, "Exceptions"), ==, G_N_ELEMENTS(rows) - 7);
        g_assert_cmpuint(status_value(h, "Writes"), ==, 0);
        g_assert_cmpuint(h->tap.received, ==, G_N_ELEMENTS(rows));
        g_assert_cmpuint(h->tap.sent, ==, G_N_ELEMENTS(rows));
        g_assert_cmpuint(h->tap.errors, ==, 0);
}

/* Data events change what the next read sees; bad ones nothing. */
static void test_data_events(void) {
        static const char *const bad[] = { "{\"value\": 65536}",
                                           "{\"value\": -1}",
                                           "{\"value\": 1.0}",
                                           "{\"value\": \"1\"}",
                                           "{\"value\": null}",
                                           "{\"value\": true}",
                                           "{}",
                                           "5",
                                           "null",
                                           "{\"value\": ",
                                           NULL };
        uint16_t port = free_port();
        _cleanup_(fake_host_freep) FakeHost *h = slave_started(&(Settings) {}, port);
        _cleanup_(client_freep) Client *c = client_new(h, port);

        expect_ids(h, 1);
        fake_host_event(h, "data/x", "{\"value\": 4660, \"more\": 1}");
        fake_host_event(h, "data/y", "{\"value\": 43981}"); /* shares bits */
        client_request(c, "01 03 0000 0002", "01 03 04 12ab cd00");
        for (size_t i = 0; bad[i]; i++)
                fake_host_event(h, "data/x", bad[i]);
        fake_host_event(h, "data/x", NULL);
        fake_host_event(h, "data/nobody", "{\"value\": 1}");
        fake_host_event(h, "data/x/more", "{\"value\": 1}"); /* D21 */
        fake_host_event(h, "data", "{\"value\": 1}");
        fake_host_event(h, "else/x", "{\"value\": 1}");
        client_request(c, "01 03 0000 0002", "01 03 04 12ab cd00");
        fake_host_expect_nothing(h, 10 * MS);
}

/* ---- framing over pieces ----------------------------------------------------------------------------- */

#define READ_0 "0102 0000 0006 01 03 0000 0001"
#define ZERO "0102 0000 0005 01 03 02 0000"

static void test_pieces(void) {
        uint16_t port = free_port();
        _cleanup_(fake_host_freep) FakeHost *h = slave_started(&(Settings) {}, port);
        _cleanup_(client_freep) Client *half = client_new(h, port), *c = client_new(h, port);
        g_autoptr(GByteArray) frame = from_hex(READ_0);

        for (guint i = 0; i < frame->len; i++) {
                client_expect_nothing(half, MS);
                g_assert_cmpint(send(half->fd, frame->data + i, 1, MSG_NOSIGNAL), ==, 1);
                client_request(c, "01 03 0000 0001", "01 03 02 0000"); /* others are served */
        }
        client_expect(half, ZERO);
}

/* Many requests ahead are answered in order; what follows in the same segment waits for a write's answer. */
static void test_pipelining(void) {
        uint16_t port = free_port();
        _cleanup_(fake_host_freep) FakeHost *h = slave_started(&(Settings) {}, port);
        _cleanup_(client_freep) Client *c = client_new(h, port), *other = client_new(h, port);
        char id[MODBUS_WRITE_ID_MAX];

        expect_ids(h, 1);
        expect_ids(h, 1, 2);
        for (unsigned i = 0; i < 500; i++)
                client_send_pdu(c, (uint16_t) i, i % 2 ? "01 03 03e8 007d" : "01 03 0002 0001");
        for (unsigned i = 0; i < 500; i++)
                if (i % 2) {
                        g_autofree char *zeros = g_strnfill(500, '0');
                        g_autofree char *answer = g_strdup_printf("01 03 fa %s", zeros);

                        client_expect_pdu(c, (uint16_t) i, answer);
                } else
                        client_expect_pdu(c, (uint16_t) i, "01 83 02");

        client_send(c, READ_0 "0001 0000 0006 07 06 0000 0003" READ_0 "0002 0000 0006 07 06 0000 0004" READ_0
                              "0003");
        expect_write(h, 1, "{\"name\": \"other\", \"value\": 3}", id);
        client_expect(c, ZERO);
        client_expect_nothing(c, 20 * MS);
        client_request(other, "01 03 0000 0001", "01 03 02 0000");
        client_send(c, "0000 0006 01 03 0002 0001");
        answer_write(h, id, "true");
        client_expect(c, "0001 0000 0006 07 06 0000 0003" ZERO);
        expect_write(h, 1, "{\"name\": \"other\", \"value\": 4}", id);
        client_expect_nothing(c, 20 * MS);
        answer_write(h, id, "false");
        client_expect(c, "0002 0000 0003 07 86 04" ZERO "0003 0000 0003 01 83 02");
        client_expect_nothing(c, 10 * MS);
        g_assert_cmpuint(status_value(h, "Writes"), ==, 2);
}

/* A foreign protocol id: that frame is skipped. A length that cannot be: the connection is closed, what came
 * before is answered. */
static void test_broken_frames(void) {
        static const char *const lengths[] = { "0000", "0001", "00ff", "ffff" };
        uint16_t port = free_port();
        _cleanup_(fake_host_freep) FakeHost *h = slave_started(&(Settings) {}, port);
        Client *c = client_new(h, port);

        expect_ids(h, 1);
        client_send(c, "0102 0001 0006 01 03 0000 0001" READ_0);
        client_expect(c, ZERO);
        client_expect_nothing(c, 10 * MS);
        g_assert_cmpuint(h->tap.errors, ==, 1);
        c = client_free(c);
        fake_host_expect(h, "connections []");

        for (size_t i = 0; i < G_N_ELEMENTS(lengths); i++) {
                g_autofree char *hex = g_strdup_printf(READ_0 "0102 0000 %s 01 03 0000 0001", lengths[i]);

                c = client_new(h, port);
                expect_ids(h, (int) i + 2);
                client_send(c, hex);
                client_expect(c, ZERO);
                client_wait_end(c);
                fake_host_expect(h, "connections []");
                c = client_free(c);
        }
}

/* ---- writes (6.8, 6.9) ------------------------------------------------------------------------------- */

static void test_writes(void) {
        static const struct {
                const char *request, *data, *answer;
        } rows[] = {
                { "01 06 0000 1234",
                  "{\"name\": \"x\", \"value\": 4660}, {\"name\": \"y\", \"value\": 13312}",
                  "01 06 0000 1234" },
                { "01 06 0015 1111",
                  "{\"name\": \"b\", \"value\": 10555679}, {\"name\": \"e\", \"value\": 1}",
                  "01 06 0015 1111" },
                { "01 06 0015 bcde",
                  "{\"name\": \"b\", \"value\": 11259375}, {\"name\": \"e\", \"value\": 11}",
                  "01 06 0015 bcde" },
                { "01 10 0000 0002 04 aabb ccdd",
                  "{\"name\": \"x\", \"value\": 43707}, {\"name\": \"y\", \"value\": 48076}",
                  "01 10 0000 0002" },
                { "01 05 0008 ff00", "{\"name\": \"c\", \"value\": 2}", "01 05 0008 ff00" },
                { "01 05 0008 0000", "{\"name\": \"c\", \"value\": 0}", "01 05 0008 0000" },
                { "01 0f 0007 0003 01 05", "{\"name\": \"c\", \"value\": 5}", "01 0f 0007 0003" },
                { "07 06 0000 0003", "{\"name\": \"other\", \"value\": 3}", "07 06 0000 0003" },
                { "01 16 0014 fff0 0005", "{\"name\": \"b\", \"value\": 6016495}", "01 16 0014 fff0 0005" },
                { "01 16 0014 fff7 0008", "{\"name\": \"b\", \"value\": 11259375}", "01 16 0014 fff7 0008" },
                { "01 16 0014 000f 1230", NULL, "01 16 0014 000f 1230" },
                { "01 16 0015 0fff 5000",
                  "{\"name\": \"b\", \"value\": 10866159}, {\"name\": \"e\", \"value\": 5}",
                  "01 16 0015 0fff 5000" },
                { "01 16 0015 ffff 1234", NULL, "01 16 0015 ffff 1234" },
        };
        uint16_t port = free_port();
        _cleanup_(fake_host_freep) FakeHost *h = slave_started(&(Settings) {}, port);
        _cleanup_(client_freep) Client *c = client_new(h, port);

        expect_ids(h, 1);
        fake_host_event(h, "data/b", "{\"value\": 11259375}");
        for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
                char id[MODBUS_WRITE_ID_MAX];

                g_test_message("%s", rows[i].request);
                client_send_pdu(c, (uint16_t) i, rows[i].request);
                if (rows[i].data) {
                        expect_write(h, 1, rows[i].data, id);
                        client_expect_nothing(c, MS);
                        answer_write(h, id, "true");
                }
                client_expect_pdu(c, (uint16_t) i, rows[i].answer);
        }
        client_request(c, "01 03 0014 0003", "01 03 06 000a bcde f000"); /* writes store nothing */
        client_request(c, "01 03 0000 0002", "01 03 04 0000 0000");
        fake_host_expect_nothing(h, 10 * MS);
}

/* What counts as an answer, and what is ignored while the request keeps waiting. */
static void test_answers(void) {
        static const struct {
                const char *success;
                bool good;
        } rows[] = {
                { "true", true },  { "1", true },  { "\"x\"", true }, { "[0]", true }, { "false", false },
                { "null", false }, { "0", false }, { "\"\"", false }, { "[]", false },
        };
        uint16_t port = free_port();
        _cleanup_(fake_host_freep) FakeHost *h = slave_started(&(Settings) {}, port);
        _cleanup_(client_freep) Client *c = client_new(h, port);
        char id[MODBUS_WRITE_ID_MAX], last[MODBUS_WRITE_ID_MAX] = "none";

        expect_ids(h, 1);
        for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
                g_autofree char *json = NULL;

                client_send_pdu(c, 1, "07 06 0000 0003");
                expect_write(h, 1, "{\"name\": \"other\", \"value\": 3}", id);
                g_assert_cmpstr(id, !=, last);

                json = g_strdup_printf("{\"request_id\": \"%s\"}", id);
                fake_host_event(h, "write", json); /* D23 */
                fake_host_event(h, "write/x", json);
                answer_write(h, last, "true");
                answer_write(h, "", "true");
                fake_host_event(h, "write", "{\"request_id\": 1, \"success\": true}");
                fake_host_event(h, "write", "{\"success\": true}");
                fake_host_event(h, "write", "5");
                fake_host_event(h, "write", NULL);
                client_expect_nothing(c, MS);

                answer_write(h, id, rows[i].success);
                client_expect_pdu(c, 1, rows[i].good ? "07 06 0000 0003" : "07 86 04");
                answer_write(h, id, "true"); /* once is enough */
                g_strlcpy(last, id, sizeof(last));
        }
        client_expect_nothing(c, 10 * MS);
}

static void test_no_answer(void) {
        uint16_t port = free_port();
        _cleanup_(fake_host_freep)
                        FakeHost *h = slave_started(&(Settings) { .response_timeout = "0.05" }, port);
        _cleanup_(client_freep) Client *c = client_new(h, port);
        char id[MODBUS_WRITE_ID_MAX];
        usec_t begin;

        expect_ids(h, 1);
        begin = now_usec(CLOCK_MONOTONIC);
        client_send_pdu(c, 1, "07 06 0000 0003");
        expect_write(h, 1, "{\"name\": \"other\", \"value\": 3}", id);
        client_expect_pdu(c, 1, "07 86 04");
        g_assert_cmpuint(now_usec(CLOCK_MONOTONIC) - begin, >=, 50 * MS);
        answer_write(h, id, "true");
        client_request(c, "01 03 0000 0001", "01 03 02 0000");
        client_expect_nothing(c, 10 * MS);
}

/* Two connections wait at the same time, each for its own answer; one that ends is forgotten. */
static void test_independent_writes(void) {
        uint16_t port = free_port();
        _cleanup_(fake_host_freep) FakeHost *h = slave_started(&(Settings) {}, port);
        _cleanup_(client_freep) Client *a = client_new(h, port), *b = client_new(h, port);
        char first[MODBUS_WRITE_ID_MAX], second[MODBUS_WRITE_ID_MAX];

        expect_ids(h, 1);
        expect_ids(h, 1, 2);
        client_send_pdu(a, 1, "07 06 0000 0001");
        expect_write(h, 1, "{\"name\": \"other\", \"value\": 1}", first);
        client_send_pdu(b, 1, "07 06 0000 0002");
        expect_write(h, 2, "{\"name\": \"other\", \"value\": 2}", second);
        g_assert_cmpstr(first, !=, second);
        answer_write(h, second, "true");
        client_expect_pdu(b, 1, "07 06 0000 0002");
        client_expect_nothing(a, 10 * MS);

        a = client_free(a);
        expect_ids(h, 2);
        answer_write(h, first, "true");
        client_request(b, "01 03 0000 0001", "01 03 02 0000");
}

/* 6.8: in a run and over runs, so that an answer of before is never taken for one of now. */
static void test_request_ids(void) {
        g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        uint16_t port = free_port();
        _cleanup_(fake_host_freep) FakeHost *h = slave_started(&(Settings) {}, port);

        for (unsigned run = 0; run < 2; run++) {
                _cleanup_(client_freep) Client *c = client_new(h, port);
                char id[MODBUS_WRITE_ID_MAX];

                expect_ids(h, 1);
                for (unsigned i = 0; i < 2; i++) {
                        client_send_pdu(c, 0x0102, "01 06 0001 0000");
                        expect_write(h, 1, "{\"name\": \"y\", \"value\": 0}", id);
                        g_assert_true(g_hash_table_add(seen, g_strdup(id)));
                        answer_write(h, id, "true");
                        client_expect_pdu(c, 0x0102, "01 06 0001 0000");
                }
                fake_host_stop(h);
                fake_host_expect(h, "connections []");
                if (run == 0) {
                        fake_host_start(h); /* on the same port */
                        fake_host_expect(h, "connections []");
                }
        }
}

#define TYPED(name, type, start, count, value) \
        "{name: " name ", device_id: 1, data_type: " type ", start_address: " start ", bit_offset: 0, bit_count: " count \
        ", value: {" value "}}"

/* The same meaning both ways; what one way does not allow, the other does not either. */
static void test_typed_values(void) {
        uint16_t port = free_port();
        _cleanup_(fake_host_freep) FakeHost *h = slave_started(
                        &(Settings) { .data = TYPED("t", "HOLDING_REGISTER", "0", "16", "type: int, scale: 0.1, max: 90") ","
                                              TYPED("f", "HOLDING_REGISTER", "1", "32", "type: float, word_order: little") ","
                                              TYPED("m", "HOLDING_REGISTER", "3", "16",
                                                    "type: uint, enum: [{raw: 1, name: auto}]") ","
                                              TYPED("run", "COIL", "0", "1", "type: bool") },
                        port);
        _cleanup_(client_freep) Client *c = client_new(h, port);
        char id[MODBUS_WRITE_ID_MAX];

        expect_ids(h, 1);
        fake_host_event(h, "data/t", "{\"value\": -1.5}");
        fake_host_event(h, "data/t", "{\"value\": 90.1}"); /* ignored, as the next three */
        fake_host_event(h, "data/f", "{\"value\": \"1\"}");
        fake_host_event(h, "data/m", "{\"value\": \"manual\"}");
        fake_host_event(h, "data/run", "{\"value\": 2}");
        fake_host_event(h, "data/f", "{\"value\": 123.456}");
        fake_host_event(h, "data/m", "{\"value\": \"auto\"}");
        fake_host_event(h, "data/run", "{\"value\": true}");
        client_request(c, "01 03 0000 0004", "01 03 08 fff1 e979 42f6 0001");
        client_request(c, "01 01 0000 0001", "01 01 01 01");

        client_send_pdu(c, 0x0102, "01 10 0000 0004 08 0384 0000 3fc0 0001");
        expect_write(h, 1, "{\"name\": \"t\", \"value\": 90.0}, {\"name\": \"f\", \"value\": 1.5}, {\"name\": \"m\", \"value\": \"auto\"}",
                     id);
        answer_write(h, id, "true");
        client_expect_pdu(c, 0x0102, "01 10 0000 0004");
        client_request(c, "01 06 0000 0385", "01 86 03"); /* above max */
        client_request(c, "01 10 0001 0002 04 0000 7fc0", "01 90 03"); /* no number */
        client_send_pdu(c, 0x0102, "01 05 0000 0000");
        expect_write(h, 1, "{\"name\": \"run\", \"value\": false}", id);
}

/* A value with more digits than an event can carry cannot be asked about. */
static void test_unfit_write(void) {
        uint16_t port = free_port();
        _cleanup_(fake_host_freep) FakeHost *h = slave_started(
                        &(Settings) { .data = ITEM("huge", "1", "HOLDING_REGISTER", "0", "0", "16000") },
                        port);
        _cleanup_(client_freep) Client *c = client_new(h, port);
        char id[MODBUS_WRITE_ID_MAX];

        expect_ids(h, 1);
        client_request(c, "01 06 0000 0001", "01 86 04");
        client_send_pdu(c, 1, "01 06 03e7 0001");
        expect_write(h, 1, "{\"name\": \"huge\", \"value\": 1}", id);
}

/* ---- flow -------------------------------------------------------------------------------------------- */

/* While the event server is congested nothing is taken and nothing registered; afterwards all is answered,
 * also of who came meanwhile. Keep alive rests. */
static void test_flow(void) {
        uint16_t port = free_port();
        _cleanup_(fake_host_freep) FakeHost *h = slave_started(&(Settings) { .keep_alive = "0.05" }, port);
        _cleanup_(client_freep) Client *c = client_new(h, port), *late = NULL, *gone = NULL;

        expect_ids(h, 1);
        h->device->type->flow(h->device, false);
        gone = client_new(h, port);
        late = client_new(h, port);
        client_send(c, READ_0);
        client_send(late, READ_0);
        gone = client_free(gone);
        client_expect_nothing(c, 80 * MS);
        client_expect_nothing(late, MS);
        fake_host_expect_nothing(h, MS);
        h->device->type->flow(h->device, true);
        expect_ids(h, 1, 3); /* the last list only */
        client_expect(c, ZERO);
        client_expect(late, ZERO);
        client_wait_end(c);
        client_wait_end(late);
        (void) fake_host_next(h); /* whichever ended first */
        fake_host_expect(h, "connections []");

        h->device->type->flow(h->device, false);
        h->device->type->flow(h->device, true);
        fake_host_expect_nothing(h, MS); /* nothing happened meanwhile */
}

/* The last list is [] also when the end of its connections could not be told. */
static void test_stop_while_held(void) {
        uint16_t port = free_port();
        _cleanup_(fake_host_freep) FakeHost *h = slave_started(&(Settings) {}, port);
        Client *c = client_new(h, port);

        expect_ids(h, 1);
        h->device->type->flow(h->device, false);
        c = client_free(c);
        fake_host_expect_nothing(h, 10 * MS);
        g_assert_cmpuint(h->device->type->n_parts(h->device), ==, 0);
        fake_host_stop(h);
        fake_host_expect(h, "connections []");
}

/* A client that does not read is not read either: what we keep for it is bounded, and nothing is lost. */
static void test_unread_answers(void) {
        uint16_t port = free_port();
        _cleanup_(fake_host_freep) FakeHost *h = slave_started(&(Settings) {}, port);
        _cleanup_(client_freep) Client *c = client_new(h, port);
        g_autoptr(GByteArray) frame = from_hex("0001 0000 0006 01 03 03e8 007d");
        const ModbusConnection *connection;
        size_t sent = 0, part = 0, received = 0;
        unsigned idle = 0;

        expect_ids(h, 1);
        connection = h->device->type->part(h->device, 0);
        while (idle < 20) { /* until both directions are full */
                ssize_t n = send(c->fd, frame->data + part, frame->len - part, MSG_NOSIGNAL);

                if (n < 0) {
                        g_assert_cmpint(errno, ==, EAGAIN);
                        idle++;
                        fake_host_run(h, 2 * MS);
                        continue;
                }
                idle = 0;
                part += (size_t) n;
                if (part == frame->len) {
                        part = 0;
                        sent++;
                }
                if (sent % 1000 == 0)
                        while (sd_event_run(h->event, 0) > 0)
                                ;
                g_assert_cmpuint(modbus_channel_unsent(&connection->channel), <, 80 << 10);
        }
        g_assert_true(connection->stalled);

        while (received < sent) {
                usec_t end = now_usec(CLOCK_MONOTONIC) + CLIENT_WAIT_USEC;

                while (c->input->len < 259 && now_usec(CLOCK_MONOTONIC) < end)
                        client_turn(c);
                g_assert_cmpuint(c->input->len, >=, 259);
                received += c->input->len / 259;
                g_byte_array_remove_range(c->input, 0, c->input->len / 259 * 259);
        }
        g_assert_cmpuint(received, ==, sent);
        client_expect_nothing(c, 10 * MS);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        log_setup(LOG_TARGET_STDERR, LOG_ERR);

        g_test_add_func("/modbus-slave/start", test_start);
        g_test_add_func("/modbus-slave/stop", test_stop);
        g_test_add_func("/modbus-slave/query-fails", test_query_fails);
        g_test_add_func("/modbus-slave/keep-alive", test_keep_alive);
        g_test_add_func("/modbus-slave/keep-alive-while-waiting", test_keep_alive_while_waiting);
        g_test_add_func("/modbus-slave/requests", test_requests);
        g_test_add_func("/modbus-slave/data-events", test_data_events);
        g_test_add_func("/modbus-slave/pieces", test_pieces);
        g_test_add_func("/modbus-slave/pipelining", test_pipelining);
        g_test_add_func("/modbus-slave/broken-frames", test_broken_frames);
        g_test_add_func("/modbus-slave/writes", test_writes);
        g_test_add_func("/modbus-slave/answers", test_answers);
        g_test_add_func("/modbus-slave/no-answer", test_no_answer);
        g_test_add_func("/modbus-slave/independent-writes", test_independent_writes);
        g_test_add_func("/modbus-slave/request-ids", test_request_ids);
        g_test_add_func("/modbus-slave/typed-values", test_typed_values);
        g_test_add_func("/modbus-slave/unfit-write", test_unfit_write);
        g_test_add_func("/modbus-slave/flow", test_flow);
        g_test_add_func("/modbus-slave/stop-while-held", test_stop_while_held);
        g_test_add_func("/modbus-slave/unread-answers", test_unread_answers);

        return g_test_run();
}
