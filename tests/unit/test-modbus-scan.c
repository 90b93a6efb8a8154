/* SPDX-License-Identifier: Apache-2.0 */
/* A scan of a master's line for units: who counts as there, who says who it is, connections that end, ourselves. */

#include "devices/modbus/modbus-link.h"
#include "link/listener.h"
#include "tests/unit/modbus-master-fixture.h"
#include "tests/unit/moved-clock.h"

#define PROBE(unit) "0" unit " 03 0000 0001"
#define WHO(unit) "0" unit " 2b 0e 01 00"
#define PROGRESS(unit, found) "scan {\"Event\": \"progress\", \"Unit\": " unit ", \"Found\": " found "}"
#define END "scan-ended none "

#define REGISTER_0 \
        "{\"name\": \"register_0\", \"interval\": 1, \"data_type\": \"HOLDING_REGISTER\", \"start_address\": 0, \"bit_offset\": 0, " \
        "\"bit_count\": 16}"

static void begin(Fixture *f, unsigned from, unsigned to) {
        g_assert_cmpint(fake_host_scan(f->host, &(DeviceScanOptions) { from, to, 0 }), ==, 0);
        g_assert_true(g_str_has_prefix(fake_host_next(f->host), "scan {\"Event\": \"begin\", "));
}

/* `scan {"Event": "found", …}`; how long it took may be anything. */
static void expect_found(Fixture *f, const char *unit, const char *answer, const char *identity) {
        g_auto(GStrv) halves = g_strsplit(fake_host_next(f->host), ", \"RoundTripUSec\": ", 2);
        g_autofree char *first = g_strdup_printf("scan {\"Event\": \"found\", \"Unit\": %s, \"Answer\": \"%s\"", unit, answer);
        g_autofree char *second = g_strdup_printf(", %s, \"Draft\": {\"device_id\": %s, \"timeout_poll_delay\": 5, \"data\": [%s]}}",
                                                  identity, unit, streq(answer, "SUCCESS") ? REGISTER_0 : "");

        g_assert_cmpstr(halves[0], ==, first);
        g_assert_nonnull(halves[1]);
        g_assert_cmpstr(halves[1] + strspn(halves[1], "0123456789"), ==, second);
}

#define NOBODY "\"VendorName\": null, \"ProductCode\": null, \"MajorMinorRevision\": null"
#define SOMEBODY "\"VendorName\": \"Acme\", \"ProductCode\": \"X\", \"MajorMinorRevision\": \"2.0\""

static void test_units(void) {
        Fixture f;

        fixture_init(&f, &(Settings) {}, WRITTEN);
        begin(&f, 1, 6);
        peer_accept(f.peer);
        peer_expect(f.peer, PROBE("1")); /* a value, and all of its name in two answers */
        peer_answer(f.peer, "03 02 0007");
        peer_expect(f.peer, WHO("1"));
        peer_answer(f.peer, "2b 0e 01 01 ff 01 01 00 04 41636d65");
        peer_expect(f.peer, "01 2b 0e 01 01");
        peer_answer(f.peer, "2b 0e 01 01 00 00 02 01 01 58 02 03 322e30");
        fake_host_expect(f.host, PROGRESS("1", "0"));
        expect_found(&f, "1", "SUCCESS", SOMEBODY);
        peer_expect(f.peer, PROBE("2")); /* nobody */
        peer_expect(f.peer, PROBE("3")); /* an error, and no name */
        peer_answer(f.peer, "83 02");
        peer_expect(f.peer, WHO("3"));
        peer_answer(f.peer, "ab 01");
        fake_host_expect(f.host, PROGRESS("2", "1"), PROGRESS("3", "1"));
        expect_found(&f, "3", "INVALID_DATA_ADDRESS", NOBODY);
        peer_expect(f.peer, PROBE("4")); /* a gateway that says that there is nobody */
        peer_answer(f.peer, "83 0b");
        peer_expect(f.peer, PROBE("5")); /* there, and silent then */
        peer_answer(f.peer, "83 01");
        peer_expect(f.peer, WHO("5"));
        peer_expect(f.peer, PROBE("6")); /* says what is no name */
        peer_answer(f.peer, "03 02 0007");
        peer_expect(f.peer, WHO("6"));
        peer_answer(f.peer, "2b 0e 01 01 00 00 05 01");
        fake_host_expect(f.host, PROGRESS("4", "2"), PROGRESS("5", "2"));
        expect_found(&f, "5", "INVALID_FUNCTION_CODE", NOBODY);
        fake_host_expect(f.host, PROGRESS("6", "3"));
        expect_found(&f, "6", "SUCCESS", NOBODY);
        fake_host_expect(f.host, END);
        fake_host_expect_nothing(f.host, 10 * MS);
        fixture_done(&f);
}

/* What is asked for a line: the connection as it is configured. */
static void test_begin(void) {
        g_autofree char *expected = NULL;
        Fixture f;

        fixture_init(&f, &(Settings) {}, WRITTEN);
        expected = g_strdup_printf(
                        "scan {\"Event\": \"begin\", \"From\": 1, \"To\": 247, \"Endpoint\": \"tcp:127.0.0.1:%u\", \"Draft\": {\"connection\": "
                        "{\"modbus_type\": \"TCP\", \"transport\": {\"type\": \"TCP\", \"host\": \"127.0.0.1\", \"port\": %u}, "
                        "\"connect_timeout\": 10, \"connect_delay\": 0.05, \"request_timeout\": 2, \"request_delay\": 0, "
                        "\"request_retry_immediate_count\": 0, \"request_retry_delayed_count\": 0, \"request_retry_delay\": 0.02, "
                        "\"write_priority\": false, \"probe_budget\": 1}}, \"Parts\": \"remote_devices\"}",
                        f.peer->port, f.peer->port);
        g_assert_cmpint(fake_host_scan(f.host, &(DeviceScanOptions) {}), ==, 0);
        fake_host_expect(f.host, expected);
        peer_accept(f.peer);
        peer_expect(f.peer, PROBE("1"));
        fake_host_scan_done(f.host); /* given up in the middle */
        peer_wait_end(f.peer);
        fixture_done(&f);
}

static void test_options(void) {
        static const DeviceScanOptions bad[] = { { 2, 1, 0 }, { 1, 256, 0 } };
        Fixture f;

        fixture_init(&f, &(Settings) { .request_timeout = "100" }, WRITTEN);
        for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
                g_assert_cmpint(fake_host_scan(f.host, &bad[i]), ==, -ERANGE);
        g_assert_cmpint(fake_host_scan(f.host, &(DeviceScanOptions) { 0, 0, 0 }), ==, 0);
        fake_host_scan_done(f.host);
        f.host->seen = f.host->registered->len;

        g_assert_cmpint(fake_host_scan(f.host, &(DeviceScanOptions) { 255, 255, 20 * MS }), ==, 0); /* not the 100 s */
        (void) fake_host_next(f.host);
        peer_accept(f.peer);
        peer_expect(f.peer, "ff 03 0000 0001");
        fake_host_expect(f.host, PROGRESS("255", "0"), END);
        fixture_done(&f);
}

/* A far end that closes when it is asked for one that it has not: the others are found all the same. */
static void test_closes(void) {
        Fixture f;

        fixture_init(&f, &(Settings) {}, WRITTEN);
        begin(&f, 1, 6);
        for (unsigned i = 0; i < 4; i++) {
                peer_accept(f.peer);
                peer_take_any(f.peer);
                g_assert_cmpuint(f.peer->unit, ==, i + 1);
                peer_close(f.peer);
        }
        fake_host_expect(f.host, PROGRESS("1", "0"), PROGRESS("2", "0"), PROGRESS("3", "0"), PROGRESS("4", "0"));
        peer_accept(f.peer);
        peer_expect(f.peer, PROBE("5"));
        peer_answer(f.peer, "03 02 0007");
        peer_expect(f.peer, WHO("5"));
        peer_close(f.peer); /* of its name it knows nothing either */
        peer_accept(f.peer);
        fake_host_expect(f.host, PROGRESS("5", "0"));
        expect_found(&f, "5", "SUCCESS", NOBODY);
        peer_expect(f.peer, PROBE("6"));
        peer_refuse(f.peer);
        peer_close(f.peer);
        fake_host_expect(f.host, PROGRESS("6", "1"), END);
        fixture_done(&f);
}

#define LOST_MAX 8U /* connections in a row */

/* Loses connections while something is asked, the one that there is first, and has a new one then. */
static void lose(Fixture *f, unsigned n) {
        for (unsigned i = 0; i < n; i++) {
                peer_take_any(f->peer);
                peer_close(f->peer);
                clock_move(MODBUS_ATTEMPT_GAP_USEC);
                peer_accept(f->peer);
        }
}

/* Whatever is an answer, and a silence, too, shows that the far end does not just close. */
static void test_closes_often(void) {
        Fixture f;

        fixture_init(&f, &(Settings) {}, WRITTEN);
        begin(&f, 1, 24);
        peer_accept(f.peer);
        lose(&f, LOST_MAX - 1);
        peer_expect(f.peer, PROBE("8"));
        peer_answer(f.peer, "83 0b");
        lose(&f, LOST_MAX - 1);
        peer_expect(f.peer, "10 03 0000 0001");
        clock_move(2 * USEC_PER_SEC);
        lose(&f, LOST_MAX - 1);
        peer_expect(f.peer, "18 03 0000 0001");
        peer_answer(f.peer, "83 0b");
        for (unsigned i = 0; i < 24; i++)
                g_assert_true(g_str_has_prefix(fake_host_next(f.host), "scan {\"Event\": \"progress\", "));
        fake_host_expect(f.host, END);
        fixture_done(&f);
}

/* One that is not Modbus is not asked for every unit, and not at the rate at which it can close. */
static void test_closes_always(void) {
        g_autofree char *expected = NULL;
        usec_t begun;
        Fixture f;

        fixture_init(&f, &(Settings) {}, WRITTEN);
        begun = now_usec(CLOCK_MONOTONIC);
        begin(&f, 1, 247);
        for (unsigned i = 0; i < LOST_MAX; i++) {
                peer_accept(f.peer);
                peer_take_any(f.peer);
                peer_close(f.peer);
                g_assert_true(g_str_has_prefix(fake_host_next(f.host), "scan {\"Event\": \"progress\", "));
        }
        expected = g_strdup_printf("scan-ended lost cannot use tcp:127.0.0.1:%u: it closes the connection", f.peer->port);
        fake_host_expect(f.host, expected);
        g_assert_cmpuint(now_usec(CLOCK_MONOTONIC) - begun, >=, (LOST_MAX - 1) * MODBUS_ATTEMPT_GAP_USEC);
        fake_host_expect_nothing(f.host, 10 * MS);
        fixture_done(&f);
}

/* A line can be told so, too. */
static void test_not_modbus(void) {
        g_autofree char *expected = NULL;
        Fixture f;

        fixture_init(&f, &(Settings) { .line = true, .framing = MODBUS_FRAMING_TCP }, WRITTEN);
        begin(&f, 1, 247);
        for (unsigned i = 0; i < LOST_MAX; i++) {
                peer_take_any(f.peer);
                peer_send(f.peer, "T 0000 ffff 00");
                g_assert_true(g_str_has_prefix(fake_host_next(f.host), "scan {\"Event\": \"progress\", "));
        }
        expected = g_strdup_printf("scan-ended protocol cannot use %s: what it sends is not Modbus", f.peer->pty->path);
        fake_host_expect(f.host, expected);
        fixture_done(&f);
}

static void test_unreachable(void) {
        g_autofree char *expected = NULL;
        Fixture f;

        fixture_init(&f, &(Settings) {}, WRITTEN);
        peer_refuse(f.peer);
        begin(&f, 1, 2);
        expected = g_strdup_printf("scan-ended refused cannot use tcp:127.0.0.1:%u: Connection refused", f.peer->port);
        fake_host_expect(f.host, expected);
        fixture_done(&f);
}

static void on_accept(Listener *l, int fd, void *userdata) {
        g_assert_not_reached();
}

/* A listener of this process at the far end's address: it is not even connected to. */
static void test_ourselves(void) {
        Address a = { .kind = ADDRESS_TCP, .host = (char *) "0.0.0.0" };
        g_autofree char *expected = NULL;
        Listener *l;
        Fixture f;

        fixture_init(&f, &(Settings) {}, WRITTEN);
        peer_refuse(f.peer);
        a.port = f.peer->port;
        g_assert_cmpint(listener_open(f.host->event, &a, "test", on_accept, NULL, &l), ==, 0);
        begin(&f, 1, 2);
        expected = g_strdup_printf("scan-ended config tcp:127.0.0.1:%u is this gateway itself", f.peer->port);
        fake_host_expect(f.host, expected);
        fake_host_expect_nothing(f.host, 10 * MS);
        (void) listener_free(l);
        fixture_done(&f);
}

/* RTU on a line, by our own codec; a peer that knows no identification does not answer to it. */
static void test_line(void) {
        Fixture f;

        fixture_init(&f, &(Settings) { .line = true, .framing = MODBUS_FRAMING_RTU }, WRITTEN);
        begin(&f, 1, 3);
        peer_expect(f.peer, PROBE("1"));
        peer_expect(f.peer, PROBE("2"));
        peer_answer(f.peer, "03 02 0007");
        peer_expect(f.peer, PROBE("3"));
        fake_host_expect(f.host, PROGRESS("1", "0"), PROGRESS("2", "0"));
        expect_found(&f, "2", "SUCCESS", NOBODY);
        peer_pull(f.peer);
        fake_host_expect(f.host, PROGRESS("3", "1"));
        g_assert_true(g_str_has_prefix(fake_host_next(f.host), "scan-ended "));
        fake_host_scan_done(f.host);
        peer_plug(f.peer);

        f.host->seen = f.host->registered->len;
        begin(&f, 3, 3); /* once more, and whole */
        peer_expect(f.peer, PROBE("3"));
        fake_host_expect(f.host, PROGRESS("3", "0"), END);
        fixture_done(&f);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);

        g_test_add_func("/modbus-scan/units", test_units);
        g_test_add_func("/modbus-scan/begin", test_begin);
        g_test_add_func("/modbus-scan/options", test_options);
        g_test_add_func("/modbus-scan/closes", test_closes);
        g_test_add_func("/modbus-scan/closes-often", test_closes_often);
        g_test_add_func("/modbus-scan/closes-always", test_closes_always);
        g_test_add_func("/modbus-scan/not-modbus", test_not_modbus);
        g_test_add_func("/modbus-scan/unreachable", test_unreachable);
        g_test_add_func("/modbus-scan/ourselves", test_ourselves);
        g_test_add_func("/modbus-scan/line", test_line);
        return g_test_run();
}
