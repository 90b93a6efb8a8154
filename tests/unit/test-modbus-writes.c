/* SPDX-License-Identifier: Apache-2.0 */
/* Write events of a modbus_master: requests on the line, results, what is ignored, what is dropped. */

#include "tests/unit/modbus-master-fixture.h"

static void test_writes(void) {
        Fixture f;

        fixture_init(&f, &(Settings) {}, WRITTEN);
        connect_master(&f); /* writes work whether or not it is enabled */
        fake_host_expect(f.host, R1("DISABLED"));

        write_value(&f, "coil", "{\"request_id\": \"a\", \"value\": 1}");
        peer_expect(f.peer, "01 05 000a ff00");
        peer_answer(f.peer, "05 000a ff00");
        fake_host_expect(f.host, WRITE_RESULT("coil", "\"a\"", "SUCCESS"));

        write_value(&f, "coils", "{\"value\": 5, \"request_id\": 17}");
        peer_expect(f.peer, "01 0f 0066 0003 01 05");
        peer_answer(f.peer, "0f 0066 0003");
        fake_host_expect(f.host, WRITE_RESULT("coils", "17", "SUCCESS"));

        write_value(&f, "reg", "{\"request_id\": {\"x\": [1.50, null]}, \"value\": -1}");
        peer_expect(f.peer, "01 06 0064 ffff");
        peer_answer(f.peer, "06 0064 ffff");
        fake_host_expect(f.host, WRITE_RESULT("reg", "{\"x\": [1.50, null]}", "SUCCESS"));

        write_value(&f, "odd", "{\"request_id\": \"b\", \"value\": 878082202}");
        peer_expect(f.peer, "01 16 0064 ff00 0034");
        peer_answer(f.peer, "16 0064 ff00 0034");
        peer_expect(f.peer, "01 06 0065 5678");
        peer_answer(f.peer, "06 0065 5678");
        peer_expect(f.peer, "01 16 0066 00ff 9a00");
        peer_answer(f.peer, "16 0066 00ff 9a00");
        fake_host_expect(f.host, WRITE_RESULT("odd", "\"b\"", "SUCCESS"));

        write_value(&f, "odd", "{\"request_id\": \"c\", \"value\": 0}");
        peer_expect(f.peer, "01 16 0064 ff00 0000");
        peer_answer(f.peer, "96 06"); /* D3; the other steps are not sent */
        fake_host_expect(f.host, WRITE_RESULT("odd", "\"c\"", "FUNCTION_ERROR"));

        write_value(&f, "reg", "{\"request_id\": \"d\", \"value\": 1}");
        peer_expect(f.peer, "01 06 0064 0001");
        fake_host_expect(f.host, WRITE_RESULT("reg", "\"d\"", "TIMEOUT"));

        write_value(&f, "big", "{\"request_id\": \"e\", \"value\": 1}"); /* D13 */
        fake_host_expect(f.host, WRITE_RESULT("big", "\"e\"", "INVALID_DATA_VALUE"));
        peer_expect_nothing(f.peer, 20 * MS);
        fixture_done(&f);
}

static void test_writes_ignored(void) {
        static const struct {
                const char *type, *json;
        } rows[] = {
                { "remote_device/1/write/reg", NULL },
                { "remote_device/1/write/reg", "{\"value\": 1}" },
                { "remote_device/1/write/reg", "{\"request_id\": 1}" },
                { "remote_device/1/write/reg", "{\"request_id\": 1, \"value\": 5.0}" },
                { "remote_device/1/write/reg", "{\"request_id\": 1, \"value\": 5e0}" },
                { "remote_device/1/write/reg", "{\"request_id\": 1, \"value\": \"5\"}" },
                { "remote_device/1/write/reg", "{\"request_id\": 1, \"value\": null}" },
                { "remote_device/1/write/reg", "{\"request_id\": 1, \"value\": true}" },
                { "remote_device/1/write/reg", "[1, 2]" },
                { "remote_device/1/write/reg", "{broken" },
                { "remote_device/1/write/input", "{\"request_id\": 1, \"value\": 1}" },
                { "remote_device/1/write/none", "{\"request_id\": 1, \"value\": 1}" },
                { "remote_device/2/write/reg", "{\"request_id\": 1, \"value\": 1}" },
                { "remote_device/1/write/reg/more", "{\"request_id\": 1, \"value\": 1}" }, /* D21 */
                { "remote_device/1/write", "{\"request_id\": 1, \"value\": 1}" },
                { "remote_device/one/write/reg", "{\"request_id\": 1, \"value\": 1}" },
                { "remote_device/1/enable/more", "true" },
                { "remote_device/one/enable", "true" },
                { "remote_device//enable", "true" },
                { "remote_device/-/enable", "true" },
                { "remote_device/-1/enable", "true" },
                { "remote_device/99999999999999999999/enable", "true" },
                { "remote_device/257/enable", "true" }, /* not the 1 of 8 bits */
                { "remote_device/1/enable", NULL },
                { "remote_device", "true" },
                { "else/1/enable", "true" },
                { "", "true" },
        };
        Fixture f;

        fixture_init(&f, &(Settings) {}, WRITTEN);
        connect_master(&f);
        fake_host_expect(f.host, R1("DISABLED"));
        for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
                fake_host_event(f.host, rows[i].type, rows[i].json);
        peer_expect_nothing(f.peer, 20 * MS);
        fake_host_expect_nothing(f.host, 10 * MS);
        fixture_done(&f);
}

static void test_write_without_connection(void) {
        Fixture f;

        fixture_init(&f, &(Settings) { .connect_delay = "0.15" }, WRITTEN);
        peer_refuse(f.peer);
        fake_host_start(f.host);
        fake_host_expect(f.host, S("CONNECTING"), S("DISCONNECTED"));
        write_value(&f, "reg", "{\"request_id\": \"a\", \"value\": 1}");
        peer_listen(f.peer);
        fake_host_expect(f.host, S("CONNECTING"), S("CONNECTED"), R1("DISABLED"));
        peer_accept(f.peer);
        write_value(&f, "reg", "{\"request_id\": \"b\", \"value\": 2}");
        write_value(&f, "coil", "{\"request_id\": \"c\", \"value\": 1}");
        peer_expect(f.peer, "01 06 0064 0002"); /* the first one is forgotten */
        peer_close(f.peer); /* so are these two */
        fake_host_expect(f.host, S("DISCONNECTED"), S("CONNECTING"), S("CONNECTED"), R1("DISABLED"));
        peer_accept(f.peer);
        peer_expect_nothing(f.peer, 20 * MS);
        write_value(&f, "reg", "{\"request_id\": \"d\", \"value\": 3}");
        peer_expect(f.peer, "01 06 0064 0003");
        fake_host_stop(f.host); /* without a result */
        fake_host_expect(f.host, S("DISCONNECTED"));
        fake_host_expect_nothing(f.host, 10 * MS);
        fixture_done(&f);
}

/* Polling and writes take turns; a write's steps may have others between them. */
static void test_write_between_polls(void) {
        Fixture f;

        fixture_init(&f, &(Settings) {},
                     REMOTE("1", "0", WORD("x", "0") ","
                            ITEM("odd", "null", "HOLDING_REGISTER", "1", "8", "16")));
        enable(&f, "1");
        connect_master(&f);
        fake_host_expect(f.host, R1("CONNECTING"));
        peer_expect(f.peer, READ_X);
        write_value(&f, "odd", "{\"request_id\": \"a\", \"value\": 43981}");
        peer_answer(f.peer, "03 02 0001");
        peer_expect(f.peer, "01 16 0001 ff00 00ab");
        fake_host_expect(f.host, R1("CONNECTED"), INTERROGATE("1"));
        peer_answer(f.peer, "16 0001 ff00 00ab");
        peer_expect(f.peer, READ_X);
        peer_answer(f.peer, "03 02 0001");
        peer_expect(f.peer, "01 16 0002 00ff cd00");
        peer_answer(f.peer, "16 0002 00ff cd00");
        fake_host_expect(f.host,
                         "remote_device/1/write/odd {\"request_id\": \"a\", \"result\": \"SUCCESS\"}");
        peer_expect(f.peer, READ_X);
        fixture_done(&f);
}

/* D26 */
static void test_queue_full(void) {
        Fixture f;

        fixture_init(&f, &(Settings) { .request_timeout = "5" },
                     WRITTEN "," REMOTE("2", "0", WORD("x", "0")));
        connect_master(&f);
        fake_host_expect(f.host, R1("DISABLED"), "remote_device/2/status \"DISABLED\"");
        for (unsigned i = 0; i < 1025 + 3; i++)
                write_value(&f, "coil", "{\"request_id\": \"a\", \"value\": 1}");
        g_assert_cmpuint(status_value(f.host, "DroppedWrites"), ==, 3);
        fake_host_event(f.host, "remote_device/2/enable", "true"); /* others go on */
        fake_host_expect(f.host, "remote_device/2/status \"CONNECTING\"");
        for (unsigned i = 0; i < 1025; i++) {
                peer_expect(f.peer, "01 05 000a ff00");
                peer_answer(f.peer, "05 000a ff00");
                fake_host_expect(f.host, WRITE_RESULT("coil", "\"a\"", "SUCCESS"));
        }
        peer_expect(f.peer, "02 03 0000 0001");
        fixture_done(&f);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);

        g_test_add_func("/modbus-writes/writes", test_writes);
        g_test_add_func("/modbus-writes/writes-ignored", test_writes_ignored);
        g_test_add_func("/modbus-writes/write-without-connection", test_write_without_connection);
        g_test_add_func("/modbus-writes/write-between-polls", test_write_between_polls);
        g_test_add_func("/modbus-writes/queue-full", test_queue_full);
        return g_test_run();
}
