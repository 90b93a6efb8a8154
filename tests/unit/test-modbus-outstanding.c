/* SPDX-License-Identifier: Apache-2.0 */
/* A modbus_master with several requests under way on one connection: how many, in which order, and what answers that
 * come in any order, late, twice or not at all bring. */

#include "tests/unit/modbus-master-fixture.h"

#define SEVERAL(n)                                                              \
        &(Settings) {                                                           \
                .max_outstanding = (n), .request_timeout = "10", .beyond = true \
        }
/* Times out while the test waits. */
#define SEVERAL_SHORT(n)                                                         \
        &(Settings) {                                                            \
                .max_outstanding = (n), .beyond = true \
        }

/* Four groups of one register each, at 0, 10, 20 and 30; read once and then no more, or all the time. */
#define FOUR_ITEMS(interval)                                                  \
        WORD("a", interval)                                                   \
        "," ITEM("b", interval, "HOLDING_REGISTER", "10", "0",                \
                 "16") "," ITEM("c", interval, "HOLDING_REGISTER", "20", "0", \
                                "16") "," ITEM("d", interval, "HOLDING_REGISTER", "30", "0", "16")
#define FOUR REMOTE("1", "0.05", FOUR_ITEMS("1000"))
#define FOUR_AND_WRITTEN \
        REMOTE("1", "0.05", FOUR_ITEMS("1000") "," ITEM("reg", "null", "HOLDING_REGISTER", "100", "0", "16"))
#define FOUR_FAST REMOTE("1", "0.05", FOUR_ITEMS("0"))
#define READ_A "01 03 0000 0001"
#define READ_B "01 03 000a 0001"
#define READ_C "01 03 0014 0001"
#define READ_D "01 03 001e 0001"
#define VALUE(name, value) "remote_device/1/" GOOD(name, value, "INTERROGATE")
#define AGAIN(name, value) "remote_device/1/" GOOD(name, value, "CHANGE")

/* Answers the request of this transaction: they are counted from 1 on a connection. */
static void answer(Fixture *f, uint16_t transaction, const char *pdu) {
        f->peer->transaction = transaction;
        peer_answer(f->peer, pdu);
}

/* Up to the answer to the first request, which is alone: nobody knows yet whether the unit answers. */
static void connect_and_answer(Fixture *f) {
        enable(f, "1");
        connect_master(f);
        fake_host_expect(f->host, R1("CONNECTING"));
        peer_expect(f->peer, READ_A);
        peer_expect_nothing(f->peer, 5 * MS);
        peer_answer(f->peer, "03 02 0001");
        fake_host_expect(f->host, R1("CONNECTED"), VALUE("a", "1"));
}

/* And on to the other three, which wait for their answers: transactions 2, 3 and 4. */
static void put_three_under_way(Fixture *f) {
        connect_and_answer(f);
        peer_expect(f->peer, READ_B);
        peer_expect(f->peer, READ_C);
        peer_expect(f->peer, READ_D);
}

/* All that may be under way leave by one write. */
static void test_together(void) {
        Fixture f;

        fixture_init(&f, SEVERAL(8), FOUR);
        connect_and_answer(&f);
        peer_expect(f.peer, READ_B);
        g_assert_cmpuint(f.peer->input->len, ==, 2 * 12); /* the others came with it */
        peer_expect(f.peer, READ_C);
        peer_expect(f.peer, READ_D);
        fixture_done(&f);

        fixture_init(&f, SEVERAL(2), FOUR);
        connect_and_answer(&f);
        peer_expect(f.peer, READ_B);
        peer_expect(f.peer, READ_C);
        peer_expect_nothing(f.peer, 5 * MS);
        answer(&f, 3, "03 02 0003");
        fake_host_expect(f.host, VALUE("c", "3"));
        peer_expect(f.peer, READ_D); /* one in, one out */
        fixture_done(&f);
}

/* A round ends with its last answer; then comes the next one, whole. */
static void test_rounds(void) {
        Fixture f;

        fixture_init(&f, SEVERAL(8), FOUR_FAST);
        connect_and_answer(&f);
        for (uint16_t round = 0; round < 3; round++) {
                uint16_t first = (uint16_t) (round == 0 ? 1 : 4 * round + 1);

                if (round > 0)
                        peer_expect(f.peer, READ_A);
                peer_expect(f.peer, READ_B);
                peer_expect(f.peer, READ_C);
                peer_expect(f.peer, READ_D);
                peer_expect_nothing(f.peer, 2 * MS);
                for (uint16_t i = round == 0; i < 4; i++) {
                        peer_expect_nothing(f.peer, MS);
                        answer(&f, (uint16_t) (first + i), "03 02 0001");
                }
        }
        fake_host_expect(f.host, VALUE("b", "1"), VALUE("c", "1"), VALUE("d", "1"));
        fake_host_expect_nothing(f.host, 0);
        fixture_done(&f);
}

static void test_any_order(void) {
        Fixture f;

        fixture_init(&f, SEVERAL(8), FOUR);
        put_three_under_way(&f);
        answer(&f, 4, "03 02 0004");
        fake_host_expect(f.host, VALUE("d", "4"));
        answer(&f, 2, "83 04");
        fake_host_expect(f.host, "remote_device/1/read/b {\"result\": \"FUNCTION_ERROR\"}");
        answer(&f, 3, "03 02 0003");
        fake_host_expect(f.host, VALUE("c", "3"));
        fixture_done(&f);
}

/* However the stream is cut: two answers in one segment, and the third one at every byte. */
static void test_segments(void) {
        static const char bytes[] = "0002 0000 0005 01 03 02 0002 0003 0000 0005 01 03 02 0003";
        static const char third[] = "0004000000050103020004";

        for (size_t cut = 0; cut < strlen(third); cut += 2) {
                g_autofree char *first = g_strdup_printf("%s%.*s", bytes, (int) cut, third);
                Fixture f;

                fixture_init(&f, SEVERAL(8), FOUR);
                put_three_under_way(&f);
                peer_send(f.peer, first);
                fake_host_expect(f.host, VALUE("b", "2"), VALUE("c", "3"));
                fake_host_expect_nothing(f.host, 0);
                peer_send(f.peer, third + cut);
                fake_host_expect(f.host, VALUE("d", "4"));
                g_assert_cmpuint(f.host->tap.errors, ==, 0);
                fixture_done(&f);
        }
}

/* What is not the answer to a request that is under way is counted and ignored: a second one, one of nobody, of another
 * unit or function, one that is too short. */
static void test_not_the_answer(void) {
        Fixture f;

        fixture_init(&f, SEVERAL(8), FOUR);
        put_three_under_way(&f);
        answer(&f, 3, "03 02 0003");
        fake_host_expect(f.host, VALUE("c", "3"));
        answer(&f, 3, "03 02 0009");
        answer(&f, 1, "03 02 0009");
        answer(&f, 5, "03 02 0009");
        answer(&f, 0, "03 02 0009");
        answer(&f, 2, "04 02 0009");
        answer(&f, 2, "03 00");
        f.peer->unit = 2;
        answer(&f, 2, "03 02 0009");
        f.peer->unit = 1;
        fake_host_expect_nothing(f.host, 10 * MS);
        g_assert_cmpuint(f.host->tap.errors, ==, 7);
        answer(&f, 4, "03 02 0004");
        answer(&f, 2, "03 02 0002");
        fake_host_expect(f.host, VALUE("d", "4"), VALUE("b", "2"));
        g_assert_cmpuint(f.peer->accepted, ==, 1);
        fixture_done(&f);
}

/* Each has its own deadline. One that gets no answer costs the rest of the round, as ever; its answer, in pieces while
 * nobody waits, is nobody's. */
static void test_timeout(void) {
        Fixture f;

        fixture_init(&f, SEVERAL_SHORT(8), FOUR);
        put_three_under_way(&f);
        answer(&f, 2, "03 02 0002");
        answer(&f, 4, "03 02 0004");
        fake_host_expect(f.host, VALUE("b", "2"), VALUE("d", "4"), R1("DISCONNECTED"));
        peer_send(f.peer, "0003 0000 0005 01");
        fake_host_run(f.host, 5 * MS);
        peer_send(f.peer, "03 02");
        fake_host_expect(f.host, R1("CONNECTING"));
        peer_expect(f.peer, READ_A); /* alone again */
        peer_expect_nothing(f.peer, 5 * MS);
        peer_send(f.peer, "0003");
        answer(&f, 5, "03 02 0007");
        fake_host_expect(f.host, R1("CONNECTED"), VALUE("a", "7"));
        peer_expect(f.peer, READ_B);
        peer_expect(f.peer, READ_C);
        peer_expect(f.peer, READ_D);
        g_assert_cmpuint(f.peer->accepted, ==, 1);
        fixture_done(&f);
}

/* Only what was not answered is repeated, under another transaction id. */
static void test_repetition(void) {
        Fixture f;

        fixture_init(&f,
                     &(Settings) { .max_outstanding = 8,
                                  .immediate = 1,
                                  .beyond = true },
                     FOUR);
        put_three_under_way(&f);
        answer(&f, 2, "03 02 0002");
        answer(&f, 4, "03 02 0004");
        peer_expect(f.peer, READ_C);
        g_assert_cmpuint(f.peer->transaction, ==, 5);
        answer(&f, 3, "03 02 0009");
        answer(&f, 5, "03 02 0003");
        fake_host_expect(f.host, VALUE("b", "2"), VALUE("d", "4"), VALUE("c", "3"));
        g_assert_cmpuint(status_value(f.host, "Timeouts"), ==, 1);
        g_assert_cmpuint(status_value(f.host, "Retries"), ==, 1);
        fixture_done(&f);
}

/* The far end answers the first request of what it reads at once and forgets the others: these are repeated like any that got no
 * answer, and each repetition gets one on. */
static void test_first_of_several(void) {
        for (unsigned delayed = 0; delayed <= 2; delayed += 2) {
                Fixture f;

                fixture_init(&f,
                             &(Settings) { .max_outstanding = 8,
                                          .immediate = 2 - delayed,
                                          .delayed = delayed,
                                          .beyond = true },
                             FOUR);
                put_three_under_way(&f);
                answer(&f, 2, "03 02 0002");
                peer_expect(f.peer, READ_C);
                peer_expect(f.peer, READ_D);
                answer(&f, 5, "03 02 0003");
                peer_expect(f.peer, READ_D);
                answer(&f, 7, "03 02 0004");
                fake_host_expect(f.host, VALUE("b", "2"), VALUE("c", "3"), VALUE("d", "4"));
                fake_host_expect_nothing(f.host, 0);
                g_assert_cmpuint(status_value(f.host, "Timeouts"), ==, 3);
                g_assert_cmpuint(status_value(f.host, "Retries"), ==, 3);
                fixture_done(&f);
        }
}

/* The same without repetitions, and with no place left on the line: round after round is cut short where the first one is not
 * answered, and a new one begins. */
static void test_only_first_of_several(void) {
        Fixture f;

        fixture_init(&f, SEVERAL_SHORT(3), FOUR);
        put_three_under_way(&f);
        for (uint16_t round = 0; round < 2; round++) {
                uint16_t b = (uint16_t) (2 + 4 * round);

                answer(&f, b, "03 02 0002");
                fake_host_expect(f.host, VALUE("b", "2"), R1("DISCONNECTED"), R1("CONNECTING"));
                peer_expect(f.peer, READ_A);
                answer(&f, (uint16_t) (b + 3), "03 02 0001");
                fake_host_expect(f.host, R1("CONNECTED"), VALUE("a", "1"));
                peer_expect(f.peer, READ_B);
                peer_expect(f.peer, READ_C);
                peer_expect(f.peer, READ_D);
        }
        g_assert_cmpuint(f.peer->accepted, ==, 1);
        fixture_done(&f);
}

/* A unit that does not answer has one request under way, and the others the rest of the line. */
static void test_dead_unit(void) {
        Fixture f;

        fixture_init(&f, SEVERAL_SHORT(5), REMOTE("2", "0", FOUR_ITEMS("0")) "," FOUR_FAST);
        enable(&f, "1");
        enable(&f, "2");
        connect_master(&f);
        fake_host_expect(f.host, "remote_device/2/status \"CONNECTING\"", R1("CONNECTING"));
        peer_expect(f.peer, "02 03 0000 0001");
        peer_expect(f.peer, READ_A);
        peer_answer(f.peer, "03 02 0001");
        fake_host_expect(f.host, R1("CONNECTED"), VALUE("a", "1"));
        peer_expect(f.peer, READ_B);
        peer_expect(f.peer, READ_C);
        peer_expect(f.peer, READ_D);
        for (uint16_t transaction = 3; transaction < 3 + 3 * 4;
             transaction += 4) { /* rounds as of a unit alone */
                answer(&f, transaction, "03 02 0001");
                answer(&f, transaction + 1, "03 02 0001");
                answer(&f, transaction + 2, "03 02 0001");
                peer_expect(f.peer, READ_A);
                peer_expect(f.peer, READ_B);
                peer_expect(f.peer, READ_C);
                peer_expect(f.peer, READ_D);
                answer(&f, transaction + 3, "03 02 0001");
        }
        fake_host_expect(f.host, VALUE("b", "1"), VALUE("c", "1"), VALUE("d", "1"),
                         "remote_device/2/status \"DISCONNECTED\"");
        fixture_done(&f);
}

/* Two writes are never under way together: they are carried out in their order. */
static void test_writes(void) {
        Fixture f;

        fixture_init(&f, SEVERAL(8), FOUR_AND_WRITTEN);
        put_three_under_way(&f);
        write_value(&f, "reg", "{\"request_id\": 1, \"value\": 1}");
        write_value(&f, "reg", "{\"request_id\": 2, \"value\": 2}");
        peer_expect(f.peer, "01 06 0064 0001");
        peer_expect_nothing(f.peer, 5 * MS);
        answer(&f, 3, "03 02 0003");
        fake_host_expect(f.host, VALUE("c", "3"));
        peer_expect_nothing(f.peer, 5 * MS);
        answer(&f, 5, "06 0064 0001");
        fake_host_expect(f.host, WRITE_RESULT("reg", "1", "SUCCESS"));
        peer_expect(f.peer, "01 06 0064 0002");
        answer(&f, 6, "86 03");
        answer(&f, 2, "03 02 0002");
        answer(&f, 4, "03 02 0004");
        fake_host_expect(f.host, WRITE_RESULT("reg", "2", "INVALID_DATA_VALUE"), VALUE("b", "2"),
                         VALUE("d", "4"));
        fixture_done(&f);
}

/* The connection goes with three under way; on the next one all begins anew. */
static void test_connection_lost(void) {
        for (unsigned broken = 0; broken < 2; broken++) {
                Fixture f;

                fixture_init(&f, SEVERAL(8), FOUR);
                put_three_under_way(&f);
                answer(&f, 3, "03 02 0003");
                fake_host_expect(f.host, VALUE("c", "3"));
                fake_host_run(f.host, 120 * MS);
                if (broken)
                        peer_send(f.peer, "0004 0001 0005 01 03 02 0004");
                else
                        peer_close(f.peer);
                fake_host_expect(f.host, R1("DISABLED"), S("DISCONNECTED"), S("CONNECTING"), S("CONNECTED"),
                                 R1("CONNECTING"));
                peer_accept(f.peer);
                peer_expect(f.peer, READ_A);
                g_assert_cmpuint(f.peer->transaction, ==, 1);
                peer_answer(f.peer, "03 02 0001");
                fake_host_expect(f.host, R1("CONNECTED"), VALUE("a", "1"));
                fixture_done(&f);
        }
}

/* A reset at every step: before the request, with it under way, behind every byte of its answer. */
static void test_reset(void) {
        static const char answer_digits[] = "0001000000050103020007";

        for (int step = -1; step <= (int) strlen(answer_digits) / 2; step++)
                for (unsigned outstanding = 1; outstanding <= 8; outstanding += 7) {
                        g_autofree char *part = g_strndup(answer_digits, (gsize) MAX(step, 0) * 2);
                        Fixture f;

                        fixture_init(&f, &(Settings) { .max_outstanding = outstanding, .request_timeout = "10",
                                                       .connect_delay = "0", .beyond = true }, FOUR);
                        enable(&f, "1");
                        connect_master(&f);
                        if (step >= 0)
                                peer_expect(f.peer, READ_A);
                        if (step > 0)
                                peer_send(f.peer, part);
                        fake_host_run(f.host, 2 * MS);
                        peer_reset(f.peer);
                        fake_host_expect(f.host, R1("CONNECTING"));
                        if (step == (int) strlen(answer_digits) / 2)
                                fake_host_expect(f.host, R1("CONNECTED"), VALUE("a", "7"));
                        fake_host_expect(f.host, R1("DISABLED"), S("DISCONNECTED"), S("CONNECTING"), S("CONNECTED"),
                                         R1("CONNECTING"));
                        g_assert_cmpint(f.host->link, ==, DEVICE_LINK_UP);
                        peer_accept(f.peer);
                        peer_expect(f.peer, READ_A);
                        peer_answer(f.peer, "03 02 0008");
                        fake_host_expect(f.host, R1("CONNECTED"), VALUE("a", "8"));
                        fixture_done(&f);
                }
}

/* Disabled and enabled with three under way: what they bring is nobody's, and they keep their places until then. */
static void test_disabled(void) {
        Fixture f;

        fixture_init(&f, SEVERAL(4), FOUR);
        put_three_under_way(&f);
        fake_host_event(f.host, "remote_device/1/enable", "false");
        fake_host_expect(f.host, R1("DISABLED"));
        fake_host_event(f.host, "remote_device/1/enable", "true");
        fake_host_expect(f.host, R1("CONNECTING"));
        peer_expect(f.peer, READ_A);
        answer(&f, 2, "03 02 0009");
        answer(&f, 5, "03 02 0005");
        fake_host_expect(f.host, R1("CONNECTED"), VALUE("a", "5"));
        peer_expect(f.peer, READ_B);
        peer_expect(f.peer, READ_C);
        peer_expect_nothing(f.peer, 5 * MS);
        answer(&f, 3, "03 02 0009");
        answer(&f, 4, "03 02 0009");
        peer_expect(f.peer, READ_D);
        answer(&f, 6, "03 02 0006");
        fake_host_expect(f.host, VALUE("b", "6"));
        fixture_done(&f);
}

/* Groups that are refused together become four; each answer still goes to its own. */
static void test_split(void) {
        Fixture f;

        fixture_init(&f, SEVERAL(8),
                     "{device_id: 1, timeout_poll_delay: 0, max_gap: 8, data: [" WORD("a", "1000") "," ITEM(
                                     "b", "1000", "HOLDING_REGISTER", "100", "0",
                                     "16") "," ITEM("c", "1000", "HOLDING_REGISTER", "105", "0",
                                                    "16") "," ITEM("d", "1000", "HOLDING_REGISTER", "200",
                                                                   "0",
                                                                   "16") "," ITEM("e", "1000",
                                                                                  "HOLDING_REGISTER", "205",
                                                                                  "0",
                                                                                  "16") "," ITEM("f", "1000",
                                                                                                 "HOLDING_REGISTER",
                                                                                                 "300", "0",
                                                                                                 "16") "]}");
        connect_and_answer(&f);
        peer_expect(f.peer, "01 03 0064 0006");
        peer_expect(f.peer, "01 03 00c8 0006");
        peer_expect(f.peer, "01 03 012c 0001");
        answer(&f, 3, "83 02");
        peer_expect(f.peer, "01 03 00c8 0001");
        peer_expect(f.peer, "01 03 00cd 0001");
        answer(&f, 2, "83 02");
        peer_expect(f.peer, "01 03 0064 0001");
        peer_expect(f.peer, "01 03 0069 0001");
        answer(&f, 4, "03 02 000f");
        answer(&f, 7, "03 02 000b");
        answer(&f, 6, "03 02 000e");
        answer(&f, 5, "83 02");
        answer(&f, 8, "03 02 000c");
        fake_host_expect(f.host, VALUE("f", "15"), VALUE("b", "11"), VALUE("e", "14"),
                         "remote_device/1/read/d {\"result\": \"INVALID_DATA_ADDRESS\"}", VALUE("c", "12"));
        fixture_done(&f);
}

/* A read that waits for its turn, because another unit's is under way, keeps its group when one before it is split. */
static void test_split_before_one_that_waits(void) {
        Fixture f;

        fixture_init(&f, SEVERAL(2),
                     REMOTE("1", "0",
                            WORD("a", "1000") ","
                            ITEM("b", "1000", "HOLDING_REGISTER", "10", "0", "16") ","
                            ITEM("c", "1000", "HOLDING_REGISTER", "11", "0", "16") ","
                            ITEM("d", "1000", "HOLDING_REGISTER", "30", "0", "16")) ","
                     REMOTE("2", "0", WORD("x", "1000")));
        enable(&f, "1");
        enable(&f, "2");
        connect_master(&f);
        fake_host_expect(f.host, R1("CONNECTING"), "remote_device/2/status \"CONNECTING\"");
        peer_expect(f.peer, READ_A);
        peer_expect(f.peer, "02 03 0000 0001");
        f.peer->unit = 1;
        answer(&f, 1, "03 02 0001");
        peer_expect(f.peer, "01 03 000a 0002");
        answer(&f, 3, "83 02");
        peer_expect(f.peer, READ_D);
        answer(&f, 4, "03 02 0004");
        peer_expect(f.peer, READ_B);
        answer(&f, 5, "03 02 0002");
        peer_expect(f.peer, "01 03 000b 0001");
        answer(&f, 6, "83 02");
        fake_host_expect(f.host, R1("CONNECTED"), VALUE("a", "1"), VALUE("d", "4"), VALUE("b", "2"),
                         "remote_device/1/read/c {\"result\": \"INVALID_DATA_ADDRESS\"}");
        fixture_done(&f);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/modbus-outstanding/together", test_together);
        g_test_add_func("/modbus-outstanding/rounds", test_rounds);
        g_test_add_func("/modbus-outstanding/any-order", test_any_order);
        g_test_add_func("/modbus-outstanding/segments", test_segments);
        g_test_add_func("/modbus-outstanding/not-the-answer", test_not_the_answer);
        g_test_add_func("/modbus-outstanding/timeout", test_timeout);
        g_test_add_func("/modbus-outstanding/repetition", test_repetition);
        g_test_add_func("/modbus-outstanding/first-of-several", test_first_of_several);
        g_test_add_func("/modbus-outstanding/only-first-of-several", test_only_first_of_several);
        g_test_add_func("/modbus-outstanding/dead-unit", test_dead_unit);
        g_test_add_func("/modbus-outstanding/writes", test_writes);
        g_test_add_func("/modbus-outstanding/connection-lost", test_connection_lost);
        g_test_add_func("/modbus-outstanding/reset", test_reset);
        g_test_add_func("/modbus-outstanding/disabled", test_disabled);
        g_test_add_func("/modbus-outstanding/split", test_split);
        g_test_add_func("/modbus-outstanding/split-before-one-that-waits", test_split_before_one_that_waits);
        return g_test_run();
}
