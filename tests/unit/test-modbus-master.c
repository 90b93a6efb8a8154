/* SPDX-License-Identifier: Apache-2.0 */
/* Device type modbus_master against a peer that the test plays by hand: order of events, requests on the
 * line, faults. Writes: test-modbus-writes.c. */

#include "tests/unit/modbus-master-fixture.h"

/* ---- order of events (section 8) --------------------------------------------------------------------- */

static void test_enabled_by_query(void) {
        Fixture f;

        fixture_init(&f, &(Settings) {}, POLLED_ONCE);
        enable(&f, "1");
        fake_host_start(f.host);
        g_assert_cmpstr(f.host->query->queries[0], ==, "remote_device/?/enable");
        g_assert_null(f.host->query->queries[1]);
        fake_host_expect(f.host, S("CONNECTING"), S("CONNECTED"), R1("CONNECTING"));
        g_assert_true(f.host->started);
        peer_accept(f.peer);
        peer_expect(f.peer, READ_X);
        g_assert_cmpuint(f.peer->transaction, ==, 1);
        peer_answer(f.peer, "03 02 1234");
        fake_host_expect(f.host, R1("CONNECTED"), INTERROGATE("4660"));
        fake_host_stop(f.host);
        fake_host_expect(f.host, R1("DISABLED"), S("DISCONNECTED"));
        peer_wait_end(f.peer);
        fake_host_expect_nothing(f.host, 20 * MS);
        g_assert_cmpint(f.host->reason, ==, DEVICE_REASON_NONE);
        fixture_done(&f);
}

static void test_enabled_later(void) {
        Fixture f;

        fixture_init(&f, &(Settings) {}, POLLED_ONCE);
        connect_master(&f);
        fake_host_expect(f.host, R1("DISABLED"));
        peer_expect_nothing(f.peer, 20 * MS);

        fake_host_event(f.host, "remote_device/1/enable", "true");
        fake_host_expect(f.host, R1("CONNECTING"));
        peer_expect(f.peer, READ_X);
        peer_answer(f.peer, "03 02 0001");
        fake_host_expect(f.host, R1("CONNECTED"), INTERROGATE("1"));
        fake_host_event(f.host, "remote_device/1/enable", "true"); /* it is */

        fake_host_event(f.host, "remote_device/1/enable", "false");
        g_assert_cmpuint(f.host->registered->len, ==, f.host->seen + 1); /* before the next event */
        fake_host_expect(f.host, R1("DISABLED"));
        fake_host_event(f.host, "remote_device/1/enable", "false");
        fake_host_stop(f.host);
        fake_host_expect(f.host, S("DISCONNECTED"));
        fake_host_expect_nothing(f.host, 10 * MS);
        fixture_done(&f);
}

static void test_nothing_polled(void) {
        Fixture f;

        fixture_init(&f, &(Settings) {}, WRITTEN);
        connect_master(&f);
        fake_host_expect(f.host, R1("DISABLED"));
        fake_host_event(f.host, "remote_device/1/enable", "1");
        fake_host_expect(f.host, R1("CONNECTED"));
        fake_host_event(f.host, "remote_device/1/enable", "0");
        fake_host_expect(f.host, R1("DISABLED"));
        peer_expect_nothing(f.peer, 20 * MS);
        fake_host_stop(f.host);
        fake_host_expect(f.host, S("DISCONNECTED"));
        fixture_done(&f);
}

static void test_refused(void) {
        Fixture f;

        fixture_init(&f, &(Settings) { .connect_delay = "1" }, POLLED);
        peer_refuse(f.peer);
        fake_host_start(f.host);
        fake_host_expect(f.host, S("CONNECTING"), S("DISCONNECTED"));
        g_assert_cmpint(f.host->link, ==, DEVICE_LINK_DOWN);
        g_assert_cmpint(f.host->link_reason, ==, DEVICE_REASON_REFUSED);
        g_assert_nonnull(strstr(f.host->link_detail, "cannot connect to tcp:127.0.0.1:"));
        fake_host_expect_nothing(f.host, 100 * MS);
        fake_host_expect(f.host, S("CONNECTING"), S("DISCONNECTED"));
        fake_host_stop(f.host); /* while waiting: nothing */
        fake_host_expect_nothing(f.host, 20 * MS);

        peer_listen(f.peer);
        fake_host_start(f.host); /* the next run of the same device */
        fake_host_expect(f.host, S("CONNECTING"), S("CONNECTED"), R1("DISABLED"));
        g_assert_cmpint(f.host->link, ==, DEVICE_LINK_UP);
        fixture_done(&f);
}

static void test_peer_closes(void) {
        Fixture f;

        fixture_init(&f, &(Settings) {},
                     POLLED_ONCE "," REMOTE("2", "0", "") "," REMOTE("3", "0", ""));
        enable(&f, "1");
        enable(&f, "3");
        connect_master(&f);
        fake_host_expect(f.host, R1("CONNECTING"), "remote_device/2/status \"DISABLED\"",
                         "remote_device/3/status \"CONNECTED\"");
        peer_expect(f.peer, READ_X);
        peer_answer(f.peer, "03 02 0001");
        fake_host_expect(f.host, R1("CONNECTED"), INTERROGATE("1"));
        fake_host_run(f.host, 120 * MS); /* longer than D25 wants between two attempts */
        peer_close(f.peer);
        fake_host_expect(f.host, R1("DISABLED"), "remote_device/3/status \"DISABLED\"", S("DISCONNECTED"));
        g_assert_cmpint(f.host->link, ==, DEVICE_LINK_DOWN);
        g_assert_cmpint(f.host->link_reason, ==, DEVICE_REASON_LOST);
        fake_host_expect(f.host, S("CONNECTING"), S("CONNECTED"), R1("CONNECTING"),
                         "remote_device/2/status \"DISABLED\"", "remote_device/3/status \"CONNECTED\"");
        peer_accept(f.peer);
        peer_expect(f.peer, READ_X);
        g_assert_cmpuint(f.peer->transaction, ==, 1);
        peer_answer(f.peer, "03 02 0001");
        fake_host_expect(f.host, R1("CONNECTED"), INTERROGATE("1"));
        fixture_done(&f);
}

static void test_poll_sequence(void) {
        Fixture f;

        fixture_init(&f, &(Settings) {}, POLLED);
        enable(&f, "1");
        connect_master(&f);
        fake_host_expect(f.host, R1("CONNECTING"));
        peer_expect(f.peer, READ_X);
        peer_answer(f.peer, "03 02 0001");
        fake_host_expect(f.host, R1("CONNECTED"), INTERROGATE("1"));
        for (unsigned i = 0; i < 2; i++) {
                fake_host_run(f.host, i > 0 ? 100 * MS : 0); /* the same error at most ten times a second */
                peer_expect(f.peer, READ_X);
                peer_answer(f.peer, "83 04");
                fake_host_expect(f.host, "remote_device/1/read/x {\"result\": \"FUNCTION_ERROR\"}");
        }
        peer_expect(f.peer, READ_X);
        peer_answer(f.peer, "03 02 0001");
        fake_host_expect(f.host, INTERROGATE("1"));
        peer_expect(f.peer, READ_X);
        peer_answer(f.peer, "03 02 0001");
        peer_expect(f.peer, READ_X); /* this one is not answered */
        fake_host_expect(f.host, R1("DISCONNECTED"));
        g_assert_cmpint(f.host->link, ==, DEVICE_LINK_PARTIAL);
        g_assert_cmpint(f.host->link_reason, ==, DEVICE_REASON_TIMEOUT);
        fake_host_expect_nothing(f.host, 40 * MS);
        fake_host_expect(f.host, R1("CONNECTING"));
        peer_expect(f.peer, READ_X);
        peer_answer(f.peer, "03 02 0001");
        fake_host_expect(f.host, R1("CONNECTED"), INTERROGATE("1"));
        g_assert_cmpint(f.host->link, ==, DEVICE_LINK_UP);
        peer_expect(f.peer, READ_X);
        peer_answer(f.peer, "03 02 0002");
        fake_host_expect(f.host, CHANGE("2"));
        fixture_done(&f);
}

static void test_disable_while_pausing(void) {
        Fixture f;

        fixture_init(&f, &(Settings) {}, POLLED);
        enable(&f, "1");
        connect_master(&f);
        fake_host_expect(f.host, R1("CONNECTING"));
        peer_expect(f.peer, READ_X);
        fake_host_expect(f.host, R1("DISCONNECTED"));
        fake_host_event(f.host, "remote_device/1/enable", "null");
        fake_host_expect(f.host, R1("DISABLED"));
        g_assert_cmpint(f.host->link, ==, DEVICE_LINK_UP);
        fake_host_expect_nothing(f.host, 100 * MS);

        fake_host_event(f.host, "remote_device/1/enable", "true"); /* nothing of the pause is left */
        fake_host_expect(f.host, R1("CONNECTING"));
        peer_expect(f.peer, READ_X);
        modbus_master_device_type.flow(f.host->device, false);
        modbus_master_device_type.flow(f.host->device, true);
        peer_answer(f.peer, "03 02 0001");
        fake_host_expect(f.host, R1("CONNECTED"), INTERROGATE("1"));
        peer_expect(f.peer, READ_X);
        peer_answer(f.peer, "03 02 0002");
        fake_host_expect(f.host, CHANGE("2"));
        fixture_done(&f);
}

/* D16: the request that is on the line is not repeated, and its answer is nobody's. */
static void test_disable_while_reading(void) {
        Fixture f;

        fixture_init(&f, &(Settings) { .immediate = 2, .delayed = 2 }, POLLED);
        enable(&f, "1");
        connect_master(&f);
        fake_host_expect(f.host, R1("CONNECTING"));
        peer_expect(f.peer, READ_X);
        fake_host_event(f.host, "remote_device/1/enable", "false");
        fake_host_expect(f.host, R1("DISABLED"));
        peer_expect_nothing(f.peer, 2200 * MS);

        fake_host_event(f.host, "remote_device/1/enable", "true");
        fake_host_expect(f.host, R1("CONNECTING"));
        peer_expect(f.peer, READ_X);
        fake_host_event(f.host, "remote_device/1/enable", "false");
        fake_host_event(f.host, "remote_device/1/enable", "true"); /* waits behind the one on the line */
        fake_host_expect(f.host, R1("DISABLED"), R1("CONNECTING"));
        peer_expect_nothing(f.peer, 10 * MS);
        peer_answer(f.peer, "03 02 0001");
        peer_expect(f.peer, READ_X);
        fake_host_expect_nothing(f.host, 10 * MS);
        peer_answer(f.peer, "03 02 0002");
        fake_host_expect(f.host, R1("CONNECTED"), INTERROGATE("2"));
        fixture_done(&f);
}

/* ---- values ------------------------------------------------------------------------------------------ */

static void test_values(void) {
        Fixture f;

        fixture_init(&f, &(Settings) {},
                     REMOTE("200", "0",
                            ITEM("a", "9", "HOLDING_REGISTER", "0", "0", "80") ","
                            ITEM("b/c", "9", "HOLDING_REGISTER", "1", "20", "12") ","
                            ITEM("d", "9", "COIL", "5", "2", "3") ","
                            ITEM("e", "9", "DISCRETE_INPUT", "0", "0", "2000") ","
                            ITEM("q", "9", "QUEUE", "7", "0", "32")));
        enable(&f, "200");
        connect_master(&f);
        fake_host_expect(f.host, "remote_device/200/status \"CONNECTING\"");
        peer_expect(f.peer, "c8 03 0000 0005");
        peer_answer(f.peer, "03 0a 1234 5678 9abc def0 1122");
        fake_host_expect(f.host, "remote_device/200/status \"CONNECTED\"",
                         "remote_device/200/" GOOD("a", "85968058283706962415906", "INTERROGATE"),
                         "remote_device/200/" GOOD("b/c", "2748", "INTERROGATE"));
        peer_expect(f.peer, "c8 01 0005 0005");
        peer_answer(f.peer, "01 01 07");
        fake_host_expect(f.host, "remote_device/200/" GOOD("d", "4", "INTERROGATE"));
        peer_expect(f.peer, "c8 02 0000 07d0");
        {
                g_autoptr(GString) answer = g_string_new("02 fa ");
                const char *line;

                for (unsigned i = 0; i < 250; i++)
                        g_string_append(answer, "ff");
                peer_answer(f.peer, answer->str);
                line = fake_host_next(f.host);
                g_assert_cmpuint(strlen(strstr(line, "114813069527425452423283320117768198")), ==,
                                 603 + strlen(", \"cause\": \"INTERROGATE\"}"));
        }
        peer_expect(f.peer, "c8 18 0007");
        peer_answer(f.peer, "18 0004 0001 0002");
        fake_host_expect(f.host, "remote_device/200/" GOOD("q", "131072", "INTERROGATE"));
        fixture_done(&f);
}

/* ---- attempts and repetitions ------------------------------------------------------------------------ */

static void test_repetitions(void) {
        Fixture f;

        fixture_init(&f, &(Settings) { .immediate = 1, .delayed = 1 }, POLLED);
        enable(&f, "1");
        connect_master(&f);
        fake_host_expect(f.host, R1("CONNECTING"));
        for (unsigned i = 1; i <= 4; i++) {
                peer_expect(f.peer, READ_X);
                g_assert_cmpuint(f.peer->transaction, ==, i); /* a new one for each transmission */
        }
        fake_host_expect(f.host, R1("DISCONNECTED"), R1("CONNECTING"));
        g_assert_cmpuint(status_value(f.host, "Timeouts"), ==, 4);
        peer_expect(f.peer, READ_X);
        peer_expect(f.peer, READ_X);
        peer_answer(f.peer, "03 02 0007");
        fake_host_expect(f.host, R1("CONNECTED"), INTERROGATE("7"));
        fixture_done(&f);
}

static void test_invalid_answers(void) {
        Fixture f;

        fixture_init(&f, &(Settings) {}, POLLED_ONCE);
        enable(&f, "1");
        connect_master(&f);
        fake_host_expect(f.host, R1("CONNECTING"));
        peer_expect(f.peer, READ_X);
        peer_send(f.peer, "ffff 0000 0005 01 03 02 0001");              /* transaction */
        peer_send(f.peer, "T 0000 0005 02 03 02 0002");                 /* unit */
        peer_send(f.peer, "T 0000 0005 01 04 02 0003");                 /* function */
        peer_send(f.peer, "T 0000 0003 01 03 00");                      /* D12 */
        peer_send(f.peer, "T 0000 0006 01 03 03 0001 02");              /* odd */
        peer_send(f.peer, "T 0000 0005 01 03 04 0004");                 /* byte count */
        fake_host_expect_nothing(f.host, 50 * MS);
        peer_send(f.peer, "T 0000 0005 01 03 02 00");
        fake_host_run(f.host, 5 * MS);
        peer_send(f.peer, "05");                                        /* in pieces */
        fake_host_expect(f.host, R1("CONNECTED"), INTERROGATE("5"));
        g_assert_cmpuint(f.host->tap.errors, ==, 6);
        g_assert_cmpuint(f.host->tap.sent, ==, 1);
        fixture_done(&f);
}

/* All the wrong answers have one deadline together: it comes although they do not end. */
static void test_same_deadline(void) {
        Fixture f;
        usec_t begin;

        fixture_init(&f, &(Settings) { .request_timeout = "0.4" }, POLLED_ONCE);
        enable(&f, "1");
        connect_master(&f);
        fake_host_expect(f.host, R1("CONNECTING"));
        peer_expect(f.peer, READ_X);
        begin = now_usec(CLOCK_MONOTONIC);
        while (f.host->registered->len == f.host->seen) {
                g_assert_cmpuint(now_usec(CLOCK_MONOTONIC) - begin, <, 30 * USEC_PER_SEC);
                peer_send(f.peer, "ffff 0000 0005 01 03 02 0001");
                fake_host_run(f.host, 10 * MS);
        }
        fake_host_expect(f.host, R1("DISCONNECTED"));
        fixture_done(&f);
}

/* An answer that dribbles past its deadline neither hurts the next one nor costs the connection. */
static void test_late_answer(void) {
        static const char *const pieces[] = { "T 00", "00 0005 01", "03 02", "00 09" };
        Fixture f;

        for (size_t cut = 1; cut < G_N_ELEMENTS(pieces); cut++) {
                fixture_init(&f, &(Settings) { .immediate = 1 }, POLLED_ONCE);
                enable(&f, "1");
                connect_master(&f);
                fake_host_expect(f.host, R1("CONNECTING"));
                peer_expect(f.peer, READ_X);
                for (size_t i = 0; i < cut; i++) {
                        peer_send(f.peer, pieces[i]);
                        fake_host_run(f.host, 2 * MS);
                }
                peer_expect(f.peer, READ_X); /* the repetition */
                for (size_t i = cut; i < G_N_ELEMENTS(pieces); i++)
                        peer_send(f.peer, pieces[i]);
                peer_answer(f.peer, "03 02 0007");
                fake_host_expect(f.host, R1("CONNECTED"), INTERROGATE("7"));
                fixture_done(&f);
        }
}

/* The same when it begins to come while nobody waits any more. */
static void test_late_answer_while_idle(void) {
        Fixture f;

        fixture_init(&f, &(Settings) {}, WRITTEN);
        connect_master(&f);
        fake_host_expect(f.host, R1("DISABLED"));
        write_value(&f, "reg", "{\"request_id\": \"a\", \"value\": 1}");
        peer_expect(f.peer, "01 06 0064 0001");
        fake_host_expect(f.host, WRITE_RESULT("reg", "\"a\"", "TIMEOUT"));
        peer_send(f.peer, "T 0000 0006 01");
        fake_host_run(f.host, 5 * MS);
        write_value(&f, "reg", "{\"request_id\": \"b\", \"value\": 2}");
        peer_send(f.peer, "06 0064 0001");
        peer_expect(f.peer, "01 06 0064 0002");
        peer_answer(f.peer, "06 0064 0002");
        fake_host_expect(f.host, WRITE_RESULT("reg", "\"b\"", "SUCCESS"));
        fixture_done(&f);
}

/* What comes unasked is thrown away, even if it is no Modbus. */
static void test_unasked(void) {
        Fixture f;

        fixture_init(&f, &(Settings) {}, WRITTEN);
        connect_master(&f);
        fake_host_expect(f.host, R1("DISABLED"));
        peer_send(f.peer, "00 01 02 03 04 05 06 07 08 09");
        fake_host_run(f.host, 10 * MS);
        peer_send(f.peer, "0001 0000 00");
        fake_host_run(f.host, 10 * MS);
        write_value(&f, "reg", "{\"request_id\": \"a\", \"value\": 1}");
        peer_expect(f.peer, "01 06 0064 0001");
        peer_send(f.peer, "01 02"); /* a beginning of nothing */
        fake_host_expect(f.host, WRITE_RESULT("reg", "\"a\"", "TIMEOUT"));
        write_value(&f, "reg", "{\"request_id\": \"b\", \"value\": 2}");
        peer_expect(f.peer, "01 06 0064 0002");
        peer_answer(f.peer, "06 0064 0002");
        fake_host_expect(f.host, WRITE_RESULT("reg", "\"b\"", "SUCCESS"));
        g_assert_cmpuint(f.peer->accepted, ==, 1);
        fixture_done(&f);
}

static void test_request_delay(void) {
        Fixture f;
        usec_t begin;

        fixture_init(&f, &(Settings) { .request_delay = "0.05" }, POLLED_FAST);
        enable(&f, "1");
        connect_master(&f);
        peer_expect(f.peer, READ_X);
        peer_answer(f.peer, "03 02 0001");
        begin = now_usec(CLOCK_MONOTONIC);
        peer_expect(f.peer, READ_X);
        g_assert_cmpuint(now_usec(CLOCK_MONOTONIC) - begin, >=, 49 * MS);
        fixture_done(&f);
}

static void test_rtu(void) {
        Fixture f;

        fixture_init(&f, &(Settings) { .framing = MODBUS_FRAMING_RTU, .immediate = 1 }, POLLED);
        enable(&f, "1");
        connect_master(&f);
        fake_host_expect(f.host, R1("CONNECTING"));
        peer_expect(f.peer, READ_X);
        peer_send(f.peer, "ff 01");             /* noise */
        peer_send(f.peer, "02 83 02 30f1");     /* another unit */
        peer_send(f.peer, "01 03 02 0001 0000"); /* CRC */
        peer_answer(f.peer, "03 02 0007");
        fake_host_expect(f.host, R1("CONNECTED"), INTERROGATE("7"));
        peer_expect(f.peer, READ_X);
        peer_send(f.peer, "01 03 02"); /* cut off: thrown away before the repetition */
        peer_expect(f.peer, READ_X);
        peer_answer(f.peer, "03 02 0008");
        fake_host_expect(f.host, CHANGE("8"));
        fixture_done(&f);
}

static void test_ascii(void) {
        Fixture f;

        fixture_init(&f, &(Settings) { .framing = MODBUS_FRAMING_ASCII, .immediate = 1 }, POLLED);
        enable(&f, "1");
        connect_master(&f);
        fake_host_expect(f.host, R1("CONNECTING"));
        peer_expect(f.peer, READ_X);
        peer_send(f.peer, "ff 3a 3031 3033");           /* noise, and a beginning that starts over */
        peer_answer(f.peer, "03 02 0007");
        fake_host_expect(f.host, R1("CONNECTED"), INTERROGATE("7"));
        peer_expect(f.peer, READ_X);
        peer_send(f.peer, "3a 3031 3033 3032 3030"); /* cut off: thrown away before the repetition */
        peer_expect(f.peer, READ_X);
        peer_send(f.peer, "3a 3031 3833 3032 3741 0d0a"); /* 01 83 02 */
        fake_host_expect(f.host, "remote_device/1/read/x {\"result\": \"INVALID_DATA_ADDRESS\"}");
        fixture_done(&f);
}

/* ---- connection -------------------------------------------------------------------------------------- */

/* A broken stream is closed, and remade only after connect_delay. */
static void test_broken_stream(void) {
        Fixture f;

        fixture_init(&f, &(Settings) { .connect_delay = "1" }, POLLED_ONCE);
        enable(&f, "1");
        connect_master(&f);
        fake_host_expect(f.host, R1("CONNECTING"));
        peer_expect(f.peer, READ_X);
        peer_send(f.peer, "T 0001 0005 01 03 02 0001");
        fake_host_expect(f.host, R1("DISABLED"), S("DISCONNECTED"));
        g_assert_cmpint(f.host->link_reason, ==, DEVICE_REASON_PROTOCOL);
        peer_wait_end(f.peer);
        fake_host_expect_nothing(f.host, 150 * MS);
        fake_host_expect(f.host, S("CONNECTING"), S("CONNECTED"), R1("CONNECTING"));
        fixture_done(&f);
}

/* The first loss is answered at once, the second one, soon after, is not. */
static void test_storm_guard(void) {
        Fixture f;
        usec_t begin;

        fixture_init(&f, &(Settings) { .connect_delay = "2" }, WRITTEN);
        connect_master(&f);
        fake_host_expect(f.host, R1("DISABLED"));
        begin = now_usec(CLOCK_MONOTONIC);
        peer_close(f.peer);
        fake_host_expect(f.host, S("DISCONNECTED"), S("CONNECTING"), S("CONNECTED"), R1("DISABLED"));
        g_assert_cmpuint(now_usec(CLOCK_MONOTONIC) - begin, <, 2000 * MS);
        peer_accept(f.peer);
        peer_close(f.peer);
        fake_host_expect(f.host, S("DISCONNECTED"));
        fake_host_expect_nothing(f.host, 500 * MS);
        fake_host_expect(f.host, S("CONNECTING"), S("CONNECTED"), R1("DISABLED"));
        fixture_done(&f);
}

/* D25 */
static void test_attempt_gap(void) {
        Fixture f;
        usec_t begin;

        fixture_init(&f, &(Settings) { .connect_delay = "0" }, POLLED);
        peer_refuse(f.peer);
        begin = now_usec(CLOCK_MONOTONIC);
        fake_host_start(f.host);
        for (unsigned i = 0; i < 4; i++)
                fake_host_expect(f.host, S("CONNECTING"), S("DISCONNECTED"));
        g_assert_cmpuint(now_usec(CLOCK_MONOTONIC) - begin, >=, 300 * MS);
        fixture_done(&f);
}

static void test_error_flood(void) {
        Fixture f;
        usec_t begin, took;
        unsigned n;

        fixture_init(&f, &(Settings) {}, POLLED_FAST);
        enable(&f, "1");
        connect_master(&f);
        fake_host_expect(f.host, R1("CONNECTING"));
        begin = now_usec(CLOCK_MONOTONIC);
        do {
                peer_expect(f.peer, READ_X);
                peer_answer(f.peer, "83 02");
                took = now_usec(CLOCK_MONOTONIC) - begin;
        } while (took < 250 * MS);
        fake_host_expect(f.host, R1("CONNECTED"));
        n = f.host->registered->len - f.host->seen;
        g_assert_cmpuint(n, >=, 2);
        g_assert_cmpuint(n, <=, took / (100 * MS) + 1);
        g_assert_cmpuint(status_value(f.host, "Exceptions"), >, 3);
        fixture_done(&f);
}

static void test_stop_anywhere(void) {
        Fixture f;

        /* while the query is out */
        fixture_init(&f, &(Settings) {}, POLLED);
        f.host->auto_answer = false;
        fake_host_start(f.host);
        fake_host_stop(f.host);
        g_assert_cmpuint(f.host->registered->len, ==, 0);
        g_assert_false(f.host->started);

        /* while connecting */
        f.host->auto_answer = true;
        fake_host_start(f.host);
        fake_host_expect(f.host, S("CONNECTING"));
        modbus_master_device_type.stop(f.host->device);
        modbus_master_device_type.stop(f.host->device); /* idempotent */
        fake_host_expect(f.host, S("DISCONNECTED"));
        fake_host_stop(f.host);
        fake_host_expect_nothing(f.host, 20 * MS);

        /* right after the start, before the first status */
        fake_host_start(f.host);
        fake_host_wait(f.host, &f.host->started);
        fake_host_stop(f.host);
        fake_host_expect_nothing(f.host, 20 * MS);
        fixture_done(&f);
}

static void test_query_fails(void) {
        Fixture f;

        fixture_init(&f, &(Settings) {}, POLLED);
        f.host->auto_answer = false;
        fake_host_start(f.host);
        fake_host_answer(f.host, -ETIMEDOUT, NULL);
        g_assert_true(f.host->ended);
        g_assert_false(f.host->started);
        g_assert_cmpint(f.host->reason, ==, DEVICE_REASON_TIMEOUT);
        fake_host_wait(f.host, &f.host->done);
        g_assert_cmpuint(f.host->registered->len, ==, 0);
        fixture_done(&f);
}

/* Every JSON value says yes or no. */
static void test_enable_values(void) {
        static const char *const yes[] = { "true", "1", "-0.5", "\"no\"", "[0]", "{\"a\": null}" };
        static const char *const no[] = { "false", "null", "0", "0.0", "\"\"", "[]", "{}" };
        Fixture f;

        fixture_init(&f, &(Settings) {}, WRITTEN);
        connect_master(&f);
        fake_host_expect(f.host, R1("DISABLED"));
        for (size_t i = 0; i < G_N_ELEMENTS(yes); i++) {
                fake_host_event(f.host, "remote_device/1/enable", yes[i]);
                fake_host_expect(f.host, R1("CONNECTED"));
                fake_host_event(f.host, "remote_device/01/enable", no[i]);
                fake_host_expect(f.host, R1("DISABLED"));
        }
        for (size_t i = 0; i < G_N_ELEMENTS(no); i++)
                fake_host_event(f.host, "remote_device/1/enable", no[i]);
        fake_host_expect_nothing(f.host, 10 * MS);
        fixture_done(&f);
}

/* The set of enabled ids outlives a connection and may change between two. */
static void test_enable_between_connections(void) {
        Fixture f;

        fixture_init(&f, &(Settings) { .connect_delay = "1" }, WRITTEN);
        peer_refuse(f.peer);
        fake_host_start(f.host);
        fake_host_expect(f.host, S("CONNECTING"), S("DISCONNECTED"));
        fake_host_event(f.host, "remote_device/1/enable", "true");
        fake_host_expect_nothing(f.host, 20 * MS);
        peer_listen(f.peer);
        fake_host_expect(f.host, S("CONNECTING"), S("CONNECTED"), R1("CONNECTED"));
        fixture_done(&f);
}

/* While the event server is congested nothing is polled; then the newest value goes out. */
static void test_flow(void) {
        Fixture f;

        fixture_init(&f, &(Settings) {}, POLLED);
        enable(&f, "1");
        connect_master(&f);
        fake_host_expect(f.host, R1("CONNECTING"));
        peer_expect(f.peer, READ_X);
        modbus_master_device_type.flow(f.host->device, false);
        peer_answer(f.peer, "03 02 0001");
        fake_host_expect(f.host, R1("CONNECTED"), INTERROGATE("1"));
        peer_expect_nothing(f.peer, 60 * MS);
        modbus_master_device_type.flow(f.host->device, true);
        peer_expect(f.peer, READ_X);
        peer_answer(f.peer, "03 02 0009");
        fake_host_expect(f.host, CHANGE("9"));
        peer_expect(f.peer, READ_X);
        fixture_done(&f);
}

static void test_status(void) {
        Fixture f;
        const char *part;

        fixture_init(&f, &(Settings) {}, POLLED_ONCE);
        g_assert_cmpuint(modbus_master_device_type.n_parts(f.host->device), ==, 0); /* not running */
        enable(&f, "1");
        connect_master(&f);
        fake_host_expect(f.host, R1("CONNECTING"));
        peer_expect(f.peer, READ_X);
        peer_answer(f.peer, "03 02 0001");
        fake_host_expect(f.host, R1("CONNECTED"), INTERROGATE("1"));
        g_assert_cmpuint(modbus_master_device_type.n_parts(f.host->device), ==, 1);
        part = modbus_master_device_type.part(f.host->device, 0);
        g_assert_cmpuint(*(const uint64_t *) (part + modbus_master_device_type.part_fields[0].offset), ==, 1);
        g_assert_cmpstr(*(const char *const *) (part + modbus_master_device_type.part_fields[1].offset), ==,
                        "CONNECTED");
        g_assert_cmpuint(status_value(f.host, "Connections"), ==, 1);
        g_assert_cmpuint(status_value(f.host, "LastRoundTripUSec"), <, 5 * USEC_PER_SEC);
        fixture_done(&f);
}

static uint64_t unit_code(FakeHost *h, size_t i, unsigned code) {
        const DeviceType *type = h->device->type;
        const StatusField *f = find_field(type->part_fields, "ExceptionCodes");

        return ((const uint64_t *) ((const uint8_t *) type->part(h->device, i) + f->offset))[code];
}

/* Of each remote device its own, reads and writes; the line's are all of them together. */
static void test_counters(void) {
        Fixture f;

        fixture_init(&f, &(Settings) {},
                     POLLED_ONCE "," REMOTE("2", "1000", WORD("y", "1000")) "," REMOTE("3", "0", WORD("z", "null")));
        enable(&f, "1");
        connect_master(&f);
        fake_host_expect(f.host, R1("CONNECTING"), "remote_device/2/status \"DISABLED\"",
                         "remote_device/3/status \"DISABLED\"");
        fake_host_run(f.host, 20 * MS);
        g_assert_cmpuint(unit_status(f.host, 0, "OldestValueUSec"), >=, 20 * MS); /* it has none yet */
        peer_expect(f.peer, READ_X);
        peer_answer(f.peer, "03 02 0001");
        fake_host_expect(f.host, R1("CONNECTED"), INTERROGATE("1"));
        g_assert_cmpuint(unit_status(f.host, 0, "Requests"), ==, 1);
        g_assert_cmpuint(unit_status(f.host, 0, "BytesSent"), ==, 12);
        g_assert_cmpuint(unit_status(f.host, 0, "BytesReceived"), ==, 11);
        g_assert_cmpuint(unit_status(f.host, 0, "RoundTrip99USec"), >=, unit_status(f.host, 0, "LastRoundTripUSec"));
        fake_host_run(f.host, 20 * MS);
        g_assert_cmpuint(status_value(f.host, "OldestValueUSec"), >=, 20 * MS);

        fake_host_event(f.host, "remote_device/2/enable", "true");
        peer_expect(f.peer, "02 03 0000 0001");
        fake_host_expect(f.host, "remote_device/2/status \"CONNECTING\"", "remote_device/2/status \"DISCONNECTED\"");
        g_assert_cmpuint(unit_status(f.host, 1, "Requests"), ==, 1);
        g_assert_cmpuint(unit_status(f.host, 1, "Timeouts"), ==, 1);
        g_assert_cmpuint(unit_status(f.host, 1, "Answers"), ==, 0);
        g_assert_cmpuint(unit_status(f.host, 1, "RoundTrip50USec"), ==, 0);
        g_assert_cmpuint(unit_status(f.host, 1, "OldestValueUSec"), <, unit_status(f.host, 0, "OldestValueUSec"));

        fake_host_event(f.host, "remote_device/3/write/z", "{\"request_id\": 1, \"value\": 5}");
        peer_expect(f.peer, "03 06 0000 0005");
        peer_answer(f.peer, "86 06"); /* busy: its own name is that of any other error, its code is counted */
        fake_host_expect(f.host, "remote_device/3/write/z {\"request_id\": 1, \"result\": \"FUNCTION_ERROR\"}");
        g_assert_cmpuint(unit_status(f.host, 2, "Exceptions"), ==, 1);
        g_assert_cmpuint(unit_code(f.host, 2, 6), ==, 1);
        g_assert_cmpuint(unit_code(f.host, 2, 4), ==, 0);
        g_assert_cmpuint(unit_status(f.host, 2, "OldestValueUSec"), ==, 0);

        g_assert_cmpuint(status_value(f.host, "Requests"), ==, 3);
        g_assert_cmpuint(status_value(f.host, "Answers"), ==, 2);
        g_assert_cmpuint(status_value(f.host, "Timeouts"), ==, 1);
        g_assert_cmpuint(status_value(f.host, "BytesSent"), ==, 36);
        g_assert_cmpuint(status_value(f.host, "BytesReceived"), ==, 20);
        g_assert_cmpuint(status_value(f.host, "WireLoad"), ==, 0); /* not a serial line */

        fake_host_event(f.host, "remote_device/1/enable", "false");
        g_assert_cmpuint(unit_status(f.host, 0, "OldestValueUSec"), ==, 0);
        f.host->seen = f.host->registered->len;
        fixture_done(&f);
}

/* Wrong checksums are told apart from silence. */
static void test_checksum_errors(void) {
        static const char *const wrong[] = { [MODBUS_FRAMING_RTU] = "01 03 02 0001 7985",
                                             [MODBUS_FRAMING_ASCII] = "3a 303130333032303030314646 0d0a" };

        for (ModbusFramingKind framing = MODBUS_FRAMING_RTU; framing <= MODBUS_FRAMING_ASCII; framing++) {
                Fixture f;

                fixture_init(&f, &(Settings) { .framing = framing, .immediate = 1 }, POLLED_ONCE);
                enable(&f, "1");
                connect_master(&f);
                peer_expect(f.peer, READ_X);
                peer_send(f.peer, wrong[framing]);
                peer_expect(f.peer, READ_X);
                peer_answer(f.peer, "03 02 0001");
                fake_host_expect(f.host, R1("CONNECTING"), R1("CONNECTED"), INTERROGATE("1"));
                g_assert_cmpuint(status_value(f.host, "ChecksumErrors"), ==, 1);
                g_assert_cmpuint(unit_status(f.host, 0, "ChecksumErrors"), ==, 1);
                g_assert_cmpuint(unit_status(f.host, 0, "Retries"), ==, 1);
                fixture_done(&f);
        }
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);

        g_test_add_func("/modbus-master/enabled-by-query", test_enabled_by_query);
        g_test_add_func("/modbus-master/enabled-later", test_enabled_later);
        g_test_add_func("/modbus-master/nothing-polled", test_nothing_polled);
        g_test_add_func("/modbus-master/refused", test_refused);
        g_test_add_func("/modbus-master/peer-closes", test_peer_closes);
        g_test_add_func("/modbus-master/poll-sequence", test_poll_sequence);
        g_test_add_func("/modbus-master/disable-while-pausing", test_disable_while_pausing);
        g_test_add_func("/modbus-master/disable-while-reading", test_disable_while_reading);
        g_test_add_func("/modbus-master/values", test_values);
        g_test_add_func("/modbus-master/repetitions", test_repetitions);
        g_test_add_func("/modbus-master/invalid-answers", test_invalid_answers);
        g_test_add_func("/modbus-master/same-deadline", test_same_deadline);
        g_test_add_func("/modbus-master/late-answer", test_late_answer);
        g_test_add_func("/modbus-master/late-answer-while-idle", test_late_answer_while_idle);
        g_test_add_func("/modbus-master/unasked", test_unasked);
        g_test_add_func("/modbus-master/request-delay", test_request_delay);
        g_test_add_func("/modbus-master/rtu", test_rtu);
        g_test_add_func("/modbus-master/ascii", test_ascii);
        g_test_add_func("/modbus-master/broken-stream", test_broken_stream);
        g_test_add_func("/modbus-master/storm-guard", test_storm_guard);
        g_test_add_func("/modbus-master/attempt-gap", test_attempt_gap);
        g_test_add_func("/modbus-master/error-flood", test_error_flood);
        g_test_add_func("/modbus-master/stop-anywhere", test_stop_anywhere);
        g_test_add_func("/modbus-master/query-fails", test_query_fails);
        g_test_add_func("/modbus-master/enable-values", test_enable_values);
        g_test_add_func("/modbus-master/enable-between-connections", test_enable_between_connections);
        g_test_add_func("/modbus-master/flow", test_flow);
        g_test_add_func("/modbus-master/status", test_status);
        g_test_add_func("/modbus-master/counters", test_counters);
        g_test_add_func("/modbus-master/checksum-errors", test_checksum_errors);
        return g_test_run();
}
