/* SPDX-License-Identifier: Apache-2.0 */
/* What a modbus_master in the native form does beyond the specification: writes first, every write answered, errors
 * when they change, a share of the line for units that do not answer. */

#include "devices/modbus/modbus-bus.h"
#include "tests/unit/modbus-master-fixture.h"

#define BEYOND &(Settings) { .beyond = true }

static void expect_write_result(Fixture *f, const char *name, const char *json, const char *line) {
        write_value(f, name, json);
        fake_host_expect(f->host, line);
}

static void test_every_write_answered(void) {
        Fixture f;

        fixture_init(&f, BEYOND, WRITTEN);
        connect_master(&f);
        fake_host_expect(f.host, R1("DISABLED"));
        expect_write_result(&f, "nobody", "{\"request_id\": 1, \"value\": 1}", WRITE_RESULT("nobody", "1", "UNKNOWN_DATA"));
        expect_write_result(&f, "input", "{\"request_id\": [2], \"value\": 1}",
                            WRITE_RESULT("input", "[2]", "NOT_WRITABLE"));
        expect_write_result(&f, "reg", "{\"request_id\": \"a\", \"value\": 1.5}",
                            WRITE_RESULT("reg", "\"a\"", "INVALID_VALUE"));
        expect_write_result(&f, "reg", "{\"request_id\": \"a\", \"value\": 65536}",
                            WRITE_RESULT("reg", "\"a\"", "INVALID_VALUE"));
        expect_write_result(&f, "reg", "{\"request_id\": \"a\", \"value\": -1}",
                            WRITE_RESULT("reg", "\"a\"", "INVALID_VALUE"));
        expect_write_result(&f, "reg", "{\"request_id\": \"a\"}", WRITE_RESULT("reg", "\"a\"", "INVALID_VALUE"));
        expect_write_result(&f, "big", "{\"request_id\": \"a\", \"value\": 1}",
                            WRITE_RESULT("big", "\"a\"", "INVALID_DATA_VALUE"));
        fake_host_event(f.host, "remote_device/99/write/x", "{\"request_id\": \"b\", \"value\": 1}");
        fake_host_expect(f.host, "remote_device/99/write/x {\"request_id\": \"b\", \"result\": \"UNKNOWN_DATA\"}");
        write_value(&f, "reg", "{\"value\": 1}"); /* there is nothing to answer to */
        write_value(&f, "reg", "7");
        write_value(&f, "reg", NULL);
        fake_host_expect_nothing(f.host, 5 * MS);

        write_value(&f, "reg", "{\"request_id\": \"c\", \"value\": 1}");
        peer_expect(f.peer, "01 06 0064 0001");
        write_value(&f, "reg", "{\"request_id\": \"d\", \"value\": 2}");
        fake_host_expect(f.host, WRITE_RESULT("reg", "\"c\"", "TIMEOUT"));
        peer_close(f.peer);
        fake_host_expect(f.host, WRITE_RESULT("reg", "\"d\"", "NOT_CONNECTED"), S("DISCONNECTED"));
        fixture_done(&f);
}

static void test_not_connected(void) {
        Fixture f;

        fixture_init(&f, BEYOND, WRITTEN);
        peer_refuse(f.peer);
        fake_host_start(f.host);
        fake_host_expect(f.host, S("CONNECTING"), S("DISCONNECTED"));
        expect_write_result(&f, "reg", "{\"request_id\": \"a\", \"value\": 1}",
                            WRITE_RESULT("reg", "\"a\"", "NOT_CONNECTED"));
        fixture_done(&f);
}

/* When the device is stopped: the one in the middle of its steps, and those that wait behind it. Without answer_always
 * none. */
static void test_stopped(void) {
        for (unsigned beyond = 0; beyond < 2; beyond++) {
                Fixture f;

                fixture_init(&f, &(Settings) { .beyond = beyond, .request_timeout = "100" }, WRITTEN);
                connect_master(&f);
                fake_host_expect(f.host, R1("DISABLED"));
                write_value(&f, "odd", "{\"request_id\": \"a\", \"value\": 1}");
                peer_expect(f.peer, "01 16 0064 ff00 0000");
                peer_answer(f.peer, "16 0064 ff00 0000");
                peer_expect(f.peer, "01 06 0065 0000");
                write_value(&f, "reg", "{\"request_id\": \"b\", \"value\": 2}");
                write_value(&f, "coil", "{\"request_id\": \"c\", \"value\": 1}");
                fake_host_expect_nothing(f.host, 5 * MS);

                fake_host_stop(f.host);
                if (beyond)
                        fake_host_expect(f.host, WRITE_RESULT("odd", "\"a\"", "NOT_CONNECTED"),
                                         WRITE_RESULT("reg", "\"b\"", "NOT_CONNECTED"),
                                         WRITE_RESULT("coil", "\"c\"", "NOT_CONNECTED"));
                fake_host_expect(f.host, S("DISCONNECTED"));
                fixture_done(&f);
        }
}

static void test_busy(void) {
        Fixture f;

        fixture_init(&f, &(Settings) { .beyond = true, .request_timeout = "100" }, WRITTEN);
        connect_master(&f);
        fake_host_expect(f.host, R1("DISABLED"));
        for (unsigned i = 0; i < MODBUS_BUS_QUEUE_MAX + 1; i++) /* one is on the line */
                write_value(&f, "reg", "{\"request_id\": 1, \"value\": 1}");
        fake_host_expect_nothing(f.host, 0);
        expect_write_result(&f, "reg", "{\"request_id\": 2, \"value\": 1}", WRITE_RESULT("reg", "2", "BUSY"));
        f.host->seen = f.host->registered->len;
        fixture_done(&f);
}

/* A write is next, in front of the reads of nine units that wait. */
static void test_write_first(void) {
        g_autoptr(GString) remotes = g_string_new(REMOTE("1", "0", ITEM("reg", "null", "HOLDING_REGISTER", "100", "0",
                                                                         "16")));
        Fixture f;

        for (unsigned i = 2; i <= 10; i++)
                g_string_append_printf(remotes, "," REMOTE("%u", "0", WORD("x", "0")), i);
        fixture_init(&f, BEYOND, remotes->str);
        for (unsigned i = 2; i <= 10; i++) {
                g_autofree char *id = g_strdup_printf("%u", i);

                enable(&f, id);
        }
        connect_master(&f);
        peer_expect(f.peer, "02 03 0000 0001");
        write_value(&f, "reg", "{\"request_id\": 1, \"value\": 1}");
        write_value(&f, "reg", "{\"request_id\": 2, \"value\": 2}");
        peer_answer(f.peer, "03 02 0001");
        peer_expect(f.peer, "01 06 0064 0001");
        peer_answer(f.peer, "06 0064 0001");
        peer_expect(f.peer, "03 03 0000 0001");
        peer_answer(f.peer, "03 02 0001");
        peer_expect(f.peer, "01 06 0064 0002");
        fixture_done(&f);
}

static void test_errors_when_they_change(void) {
        Fixture f;

        fixture_init(&f, BEYOND, REMOTE("1", "0", WORD("x", "0.11"))); /* slower than D25 */
        enable(&f, "1");
        connect_master(&f);
        fake_host_expect(f.host, R1("CONNECTING"));
        for (unsigned i = 0; i < 3; i++) {
                peer_expect(f.peer, READ_X);
                peer_answer(f.peer, "83 02");
        }
        peer_expect(f.peer, READ_X);
        peer_answer(f.peer, "83 04");
        fake_host_expect(f.host, R1("CONNECTED"), "remote_device/1/read/x {\"result\": \"INVALID_DATA_ADDRESS\"}",
                         "remote_device/1/read/x {\"result\": \"FUNCTION_ERROR\"}");
        peer_expect(f.peer, READ_X);
        peer_answer(f.peer, "03 02 0001");
        peer_expect(f.peer, READ_X);
        peer_answer(f.peer, "83 04");
        fake_host_expect(f.host, INTERROGATE("1"), "remote_device/1/read/x {\"result\": \"FUNCTION_ERROR\"}");
        fixture_done(&f);
}

#define TYPED(name, start, count, value)                                                              \
        "{name: " name ", interval: 1000, data_type: HOLDING_REGISTER, start_address: " start               \
        ", bit_offset: 0, bit_count: " count ", value: {" value "}}"

/* The same meaning both ways, checked before anything is sent. */
static void test_values(void) {
        Fixture f;

        fixture_init(&f, BEYOND,
                     REMOTE("1", "0",
                            TYPED("temperature", "0", "16", "type: int, scale: 0.1, min: -40, max: 85") ","
                            TYPED("flow", "1", "32", "type: float, word_order: little") ","
                            TYPED("mode", "3", "16", "type: uint, enum: [{raw: 0, name: off}, {raw: 1, name: on}]") ","
                            TYPED("tag", "4", "48", "type: string")));
        enable(&f, "1");
        connect_master(&f);
        fake_host_expect(f.host, R1("CONNECTING"));
        peer_expect(f.peer, "01 03 0000 0007");
        peer_answer(f.peer, "03 0e fff6 e979 42f6 0001 5055 4d50 0000");
        fake_host_expect(f.host, R1("CONNECTED"), "remote_device/1/" GOOD("temperature", "-1.0", "INTERROGATE"),
                         "remote_device/1/" GOOD("flow", "123.456", "INTERROGATE"),
                         "remote_device/1/" GOOD("mode", "\"on\"", "INTERROGATE"),
                         "remote_device/1/" GOOD("tag", "\"PUMP\"", "INTERROGATE"));

        write_value(&f, "temperature", "{\"request_id\": 1, \"value\": 21.5}");
        peer_expect(f.peer, "01 06 0000 00d7");
        peer_answer(f.peer, "06 0000 00d7");
        fake_host_expect(f.host, WRITE_RESULT("temperature", "1", "SUCCESS"));
        write_value(&f, "flow", "{\"request_id\": 2, \"value\": 123.456}");
        peer_expect(f.peer, "01 10 0001 0002 04 e979 42f6");
        peer_answer(f.peer, "10 0001 0002");
        fake_host_expect(f.host, WRITE_RESULT("flow", "2", "SUCCESS"));
        write_value(&f, "mode", "{\"request_id\": 3, \"value\": \"off\"}");
        peer_expect(f.peer, "01 06 0003 0000");
        peer_answer(f.peer, "06 0003 0000");
        fake_host_expect(f.host, WRITE_RESULT("mode", "3", "SUCCESS"));

        expect_write_result(&f, "temperature", "{\"request_id\": 4, \"value\": 85.1}",
                            WRITE_RESULT("temperature", "4", "INVALID_VALUE"));
        expect_write_result(&f, "mode", "{\"request_id\": 5, \"value\": \"up\"}",
                            WRITE_RESULT("mode", "5", "INVALID_VALUE"));
        expect_write_result(&f, "tag", "{\"request_id\": 6, \"value\": \"PUMPHOUSE\"}",
                            WRITE_RESULT("tag", "6", "INVALID_VALUE"));
        peer_expect_nothing(f.peer, 10 * MS);
        fixture_done(&f);
}

/* Five of twenty units do not answer, with a timeout of twenty reads: the others keep their rate. */
static void test_dead_units(void) {
        enum { UNITS = 20, DEAD = 5 };
        g_autoptr(GString) remotes = g_string_new(NULL);
        unsigned answered = 0, asked[UNITS + 1] = {};
        usec_t begun, last, longest = 100 * MS, now, next, recovery;
        Fixture f;

        for (unsigned i = 1; i <= UNITS; i++)
                g_string_append_printf(remotes, "%s" REMOTE("%u", "0", WORD("x", "0")), i > 1 ? "," : "", i);
        fixture_init(&f, &(Settings) { .beyond = true, .request_timeout = "0.1", .immediate = 1 }, remotes->str);
        for (unsigned i = 1; i <= UNITS; i++) {
                g_autofree char *id = g_strdup_printf("%u", i);

                enable(&f, id);
        }
        connect_master(&f);

        begun = last = now_usec(CLOCK_MONOTONIC);
        while (last - begun < 5000 * MS) {
                peer_take_any(f.peer);
                now = now_usec(CLOCK_MONOTONIC);
                longest = MAX(longest, now - last);
                last = now;
                asked[f.peer->unit]++;
                if (f.peer->unit <= DEAD)
                        continue;
                peer_answer(f.peer, "03 02 0001");
                answered++;
        }

        /* Each dead unit took two attempts to be found out; after that all together 5 % of the time. */
        g_assert_cmpuint(answered, >, 500);
        for (unsigned i = 1; i <= DEAD; i++) {
                g_assert_cmpuint(asked[i], >=, 2);
                g_assert_cmpuint(asked[i], <=, 2 + 2);

                /* Five turns of 0.1 s and 1.9 s for the others. */
                recovery = unit_status(f.host, i - 1, "RecoveryUSec");
                g_assert_cmpuint(recovery, >=, 9990 * MS);
                g_assert_cmpuint(recovery, <=, 10000 * MS);
                now = now_usec(CLOCK_REALTIME);
                next = unit_status(f.host, i - 1, "NextProbeTimestamp");
                g_assert_cmpuint(next, >=, now);
                /* An attempt that took longer, as the machine stood still, is paid in full. */
                g_assert_cmpuint(next, <=, now + recovery * longest / (100 * MS));
        }
        g_assert_cmpuint(unit_status(f.host, DEAD, "NextProbeTimestamp"), ==, 0);
        g_assert_cmpuint(unit_status(f.host, DEAD, "RecoveryUSec"), ==, 0);
        f.host->seen = f.host->registered->len;
        fixture_done(&f);
}

/* A unit behind a gateway, which waits for it before it says that it does not answer: what it costs is paid from the budget, too. */
static void test_dead_behind_a_gateway(void) {
        unsigned asked[3] = {};
        usec_t begun;
        Fixture f;

        fixture_init(&f, &(Settings) { .beyond = true },
                     REMOTE("1", "0", WORD("x", "0")) "," REMOTE("2", "0", WORD("x", "0")));
        enable(&f, "1");
        enable(&f, "2");
        connect_master(&f);

        begun = now_usec(CLOCK_MONOTONIC);
        while (now_usec(CLOCK_MONOTONIC) - begun < 1000 * MS) {
                peer_take_any(f.peer);
                asked[f.peer->unit]++;
                if (f.peer->unit == 2)
                        peer_expect_nothing(f.peer, 20 * MS);
                peer_answer(f.peer, f.peer->unit == 2 ? "83 0b" : "03 02 0001");
        }
        g_assert_cmpuint(asked[2], >=, 1);
        g_assert_cmpuint(asked[2], <=, 1 + 3); /* one to be found out, then one in 0.4 s */
        g_assert_cmpuint(asked[1], >, 3 * asked[2]);
        g_assert_cmpint(f.host->link, ==, DEVICE_LINK_PARTIAL);
        g_assert_cmpuint(unit_status(f.host, 1, "NextProbeTimestamp"), >, 0);
        g_assert_cmpuint(unit_status(f.host, 1, "RecoveryUSec"), >=, 1000 * MS);
        g_assert_cmpuint(unit_status(f.host, 0, "RecoveryUSec"), ==, 0);

        f.host->seen = f.host->registered->len;
        while (unit_status(f.host, 1, "RecoveryUSec") > 0) {
                peer_take_any(f.peer);
                peer_answer(f.peer, "03 02 0001");
        }
        fake_host_expect(f.host, "remote_device/2/" GOOD("x", "1", "INTERROGATE"));
        g_assert_cmpint(f.host->link, ==, DEVICE_LINK_UP);
        fixture_done(&f);
}

#define WRITE(id) "{\"request_id\": " #id ", \"value\": " #id "}"
#define RESULT(id, result) WRITE_RESULT("reg", #id, result)

/* A write to a unit that does not answer is sent once, and while others answer a second one is refused. Any answer ends that. */
static void test_writes_to_a_dead_unit(void) {
        Fixture f;

        fixture_init(&f, &(Settings) { .beyond = true, .immediate = 1 },
                     REMOTE("1", "1000", WORD("x", "0") "," ITEM("reg", "null", "HOLDING_REGISTER", "100", "0", "16")) ","
                     REMOTE("2", "0", WORD("x", "1000")));
        enable(&f, "1");
        enable(&f, "2");
        connect_master(&f);
        peer_expect(f.peer, READ_X);
        peer_expect(f.peer, READ_X);
        peer_expect(f.peer, "02 03 0000 0001");
        peer_answer(f.peer, "03 02 0001");
        fake_host_expect(f.host, R1("CONNECTING"), "remote_device/2/status \"CONNECTING\"", R1("DISCONNECTED"),
                         "remote_device/2/status \"CONNECTED\"", "remote_device/2/" GOOD("x", "1", "INTERROGATE"));

        write_value(&f, "reg", WRITE(1));
        peer_expect(f.peer, "01 06 0064 0001");
        peer_answer(f.peer, "06 0064 0001");
        fake_host_expect(f.host, RESULT(1, "SUCCESS"));

        write_value(&f, "reg", WRITE(2)); /* as always: all attempts, and any number waits */
        write_value(&f, "reg", WRITE(3));
        peer_expect(f.peer, "01 06 0064 0002");
        peer_answer(f.peer, "06 0064 0002");
        peer_expect(f.peer, "01 06 0064 0003");
        peer_expect(f.peer, "01 06 0064 0003");
        fake_host_expect(f.host, RESULT(2, "SUCCESS"), RESULT(3, "TIMEOUT"));

        write_value(&f, "reg", WRITE(4));
        peer_expect(f.peer, "01 06 0064 0004");
        expect_write_result(&f, "reg", WRITE(5), RESULT(5, "BUSY"));
        fake_host_expect(f.host, RESULT(4, "TIMEOUT"));
        expect_write_result(&f, "reg", WRITE(6), RESULT(6, "BUSY"));
        peer_expect_nothing(f.peer, 10 * MS);
        g_assert_cmpuint(status_value(f.host, "DroppedWrites"), ==, 2);
        fixture_done(&f);
}

/* An item that cannot be read does not cost its neighbours theirs. */
static void test_reading_through_holes(void) {
        Fixture f;

        fixture_init(&f, &(Settings) { .beyond = true },
                     "{device_id: 1, timeout_poll_delay: 0, max_gap: 8, data: ["
                     ITEM("a", "0.01", "HOLDING_REGISTER", "0", "0", "16") ","
                     ITEM("b", "0.01", "HOLDING_REGISTER", "5", "0", "16") "]}");
        enable(&f, "1");
        connect_master(&f);
        fake_host_expect(f.host, R1("CONNECTING"));
        peer_expect(f.peer, "01 03 0000 0006");
        peer_answer(f.peer, "83 02");
        peer_expect(f.peer, "01 03 0000 0001");
        peer_answer(f.peer, "03 02 0007");
        fake_host_expect(f.host, R1("CONNECTED"), "remote_device/1/" GOOD("a", "7", "INTERROGATE"));
        peer_expect(f.peer, "01 03 0005 0001");
        peer_answer(f.peer, "83 02");
        fake_host_expect(f.host, "remote_device/1/read/b {\"result\": \"INVALID_DATA_ADDRESS\"}");
        peer_expect(f.peer, "01 03 0000 0001"); /* remembered … */
        fake_host_run(f.host, 120 * MS);
        peer_close(f.peer);
        fake_host_expect(f.host, R1("DISABLED"), S("DISCONNECTED"), S("CONNECTING"), S("CONNECTED"), R1("CONNECTING"));
        peer_accept(f.peer);
        peer_expect(f.peer, "01 03 0000 0006"); /* … while connected */
        fixture_done(&f);
}

#define NEIGHBOURS                                                                                    \
        "{device_id: 1, timeout_poll_delay: 0, data: ["                                               \
        ITEM("a", "0.01", "HOLDING_REGISTER", "98", "0", "16") ","                                    \
        ITEM("b", "0.01", "HOLDING_REGISTER", "99", "0", "16") ","                                    \
        ITEM("c", "0.01", "HOLDING_REGISTER", "100", "0", "16") "]}"
#define REFUSED(name) "remote_device/1/read/" name " {\"result\": \"INVALID_DATA_ADDRESS\"}"

/* The same without a hole, of a far end whose registers end at 99. */
static void test_neighbours(void) {
        Fixture f;

        fixture_init(&f, BEYOND, NEIGHBOURS);
        enable(&f, "1");
        connect_master(&f);
        fake_host_expect(f.host, R1("CONNECTING"));
        peer_expect(f.peer, "01 03 0062 0003");
        peer_answer(f.peer, "83 02");
        peer_expect(f.peer, "01 03 0062 0001");
        peer_answer(f.peer, "03 02 0007");
        peer_expect(f.peer, "01 03 0063 0002");
        peer_answer(f.peer, "83 02");
        for (unsigned i = 0; i < 3; i++) { /* remembered … */
                if (i > 0) {
                        peer_expect(f.peer, "01 03 0062 0001");
                        peer_answer(f.peer, "03 02 0007");
                }
                peer_expect(f.peer, "01 03 0063 0001");
                peer_answer(f.peer, "03 02 0008");
                peer_expect(f.peer, "01 03 0064 0001");
                peer_answer(f.peer, "83 02");
        }
        peer_expect(f.peer, "01 03 0062 0001");
        fake_host_expect(f.host, R1("CONNECTED"), "remote_device/1/" GOOD("a", "7", "INTERROGATE"),
                         "remote_device/1/" GOOD("b", "8", "INTERROGATE"), REFUSED("c"));
        peer_close(f.peer);
        fake_host_expect(f.host, R1("DISABLED"), S("DISCONNECTED"), S("CONNECTING"), S("CONNECTED"),
                         R1("CONNECTING"));
        peer_accept(f.peer);
        peer_expect(f.peer, "01 03 0062 0003"); /* … while connected */
        peer_answer(f.peer, "03 06 0007 0008 0009");
        fake_host_expect(f.host, R1("CONNECTED"), "remote_device/1/" GOOD("a", "7", "INTERROGATE"),
                         "remote_device/1/" GOOD("b", "8", "INTERROGATE"),
                         "remote_device/1/" GOOD("c", "9", "INTERROGATE"));
        fixture_done(&f);
}

/* As specified a read that is refused is all its data's. */
static void test_neighbours_as_specified(void) {
        Fixture f;

        fixture_init(&f, &(Settings) {}, NEIGHBOURS);
        enable(&f, "1");
        connect_master(&f);
        fake_host_expect(f.host, R1("CONNECTING"));
        peer_expect(f.peer, "01 03 0062 0003");
        peer_answer(f.peer, "83 02");
        fake_host_expect(f.host, R1("CONNECTED"), REFUSED("a"), REFUSED("b"), REFUSED("c"));
        peer_expect(f.peer, "01 03 0062 0003");
        fixture_done(&f);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/modbus-beyond/every-write-answered", test_every_write_answered);
        g_test_add_func("/modbus-beyond/not-connected", test_not_connected);
        g_test_add_func("/modbus-beyond/stopped", test_stopped);
        g_test_add_func("/modbus-beyond/busy", test_busy);
        g_test_add_func("/modbus-beyond/write-first", test_write_first);
        g_test_add_func("/modbus-beyond/errors-when-they-change", test_errors_when_they_change);
        g_test_add_func("/modbus-beyond/holes", test_reading_through_holes);
        g_test_add_func("/modbus-beyond/neighbours", test_neighbours);
        g_test_add_func("/modbus-beyond/neighbours-as-specified", test_neighbours_as_specified);
        g_test_add_func("/modbus-beyond/values", test_values);
        g_test_add_func("/modbus-beyond/dead-units", test_dead_units);
        g_test_add_func("/modbus-beyond/dead-behind-a-gateway", test_dead_behind_a_gateway);
        g_test_add_func("/modbus-beyond/writes-to-a-dead-unit", test_writes_to_a_dead_unit);
        return g_test_run();
}
