/* SPDX-License-Identifier: Apache-2.0 */
/* Device type modbus_master on a serial line that the test has the far end of: RTU by libmodbus, the rest by our
 * own codec, and a port that comes and goes. What one attempt does is test-modbus-links.c's. */

#include <dirent.h>

#include "link/serial.h"
#include "tests/unit/hang.h"
#include "tests/unit/modbus-master-fixture.h"
#include "tests/unit/moved-clock.h"

#define HANG_OPENING 1

/* A stand-in: part of opening a line. */
int isatty(int fd) {
        struct termios t;

        hang_here(HANG_OPENING);
        return tcgetattr(fd, &t) == 0;
}

static const Settings lines[] = {
        { .line = true, .framing = MODBUS_FRAMING_RTU },
        { .line = true, .framing = MODBUS_FRAMING_ASCII },
        { .line = true, .framing = MODBUS_FRAMING_TCP },
};

static void test_life(void) {
        for (size_t i = 0; i < G_N_ELEMENTS(lines); i++) {
                Fixture f;

                fixture_init(&f, &lines[i], POLLED_ONCE);
                enable(&f, "1");
                connect_master(&f); /* an open port is a connection */
                fake_host_expect(f.host, R1("CONNECTING"));
                peer_expect(f.peer, READ_X);
                peer_answer(f.peer, "03 02 1234");
                fake_host_expect(f.host, R1("CONNECTED"), INTERROGATE("4660"));
                g_assert_cmpint(f.host->link, ==, DEVICE_LINK_UP);
                g_assert_cmpuint(f.host->tap.sent, ==, 1);
                g_assert_cmpuint(f.host->tap.received, ==, 1);
                fake_host_stop(f.host);
                fake_host_expect(f.host, R1("DISABLED"), S("DISCONNECTED"));
                fixture_done(&f);
        }
}

static void test_polls(void) {
        for (size_t i = 0; i < G_N_ELEMENTS(lines); i++) {
                Fixture f;

                fixture_init(&f, &lines[i], POLLED);
                enable(&f, "1");
                connect_master(&f);
                fake_host_expect(f.host, R1("CONNECTING"));
                peer_expect(f.peer, READ_X);
                peer_answer(f.peer, "03 02 0001");
                fake_host_expect(f.host, R1("CONNECTED"), INTERROGATE("1"));
                peer_expect(f.peer, READ_X);
                peer_answer(f.peer, "83 02");
                fake_host_expect(f.host, "remote_device/1/read/x {\"result\": \"INVALID_DATA_ADDRESS\"}");
                peer_expect(f.peer, READ_X); /* this one is not answered */
                fake_host_expect(f.host, R1("DISCONNECTED"), R1("CONNECTING"));
                peer_expect(f.peer, READ_X);
                peer_answer(f.peer, "03 02 0001");
                fake_host_expect(f.host, R1("CONNECTED"), INTERROGATE("1"));
                peer_expect(f.peer, READ_X);
                peer_answer(f.peer, "03 02 0002");
                fake_host_expect(f.host, CHANGE("2"));
                g_assert_cmpuint(status_value(f.host, "Timeouts"), ==, 1);
                g_assert_cmpuint(status_value(f.host, "Exceptions"), ==, 1);
                fixture_done(&f);
        }
}

/* Every write, each in the middle of nothing; the one with several steps, too. */
static void test_writes(void) {
        static const struct {
                const char *name, *value, *requests[4];
        } rows[] = {
                { "coil", "1", { "01 05 000a ff00" } },
                { "coils", "5", { "01 0f 0066 0003 01 05" } },
                { "reg", "4660", { "01 06 0064 1234" } },
                { "odd", "878082202", { "01 16 0064 ff00 0034", "01 06 0065 5678", "01 16 0066 00ff 9a00" } },
        };

        for (size_t i = 0; i < G_N_ELEMENTS(lines); i++) {
                Fixture f;

                fixture_init(&f, &lines[i], WRITTEN);
                connect_master(&f);
                fake_host_expect(f.host, R1("DISABLED"));
                for (size_t j = 0; j < G_N_ELEMENTS(rows); j++) {
                        g_autofree char *json = g_strdup_printf("{\"request_id\": 7, \"value\": %s}", rows[j].value),
                                        *result = g_strdup_printf(WRITE_RESULT("%s", "7", "SUCCESS"), rows[j].name);

                        write_value(&f, rows[j].name, json);
                        for (const char *const *r = rows[j].requests; *r; r++) {
                                g_autofree char *echo = g_strndup(*r + 3, g_str_has_prefix(*r + 3, "0f") ? 12 : 99);

                                peer_expect(f.peer, *r);
                                peer_answer(f.peer, echo);
                        }
                        fake_host_expect(f.host, result);
                }
                fixture_done(&f);
        }
}

/* Whether libmodbus runs a line shows by its thread. */
static bool lists_library_thread(void) {
        DIR *d = opendir("/proc/self/task");
        const struct dirent *e;
        bool found = false;

        while ((e = readdir(d))) {
                g_autofree char *path = g_strdup_printf("/proc/self/task/%s/comm", e->d_name), *name = NULL;

                if (g_file_get_contents(path, &name, NULL, NULL) && g_str_has_prefix(name, "modbus-rtu"))
                        found = true;
        }
        closedir(d);
        return found;
}

/* A listing ends early when a thread ends, as that of the open port may just then: so look often. */
static bool has_library_thread(void) {
        for (unsigned i = 0; i < 100; i++)
                if (lists_library_thread())
                        return true;
        return false;
}

static void test_who_runs_it(void) {
        static const struct {
                ModbusFramingKind framing;
                const char *remotes, *request, *answer;
                bool library;
        } rows[] = {
                { MODBUS_FRAMING_ASCII, POLLED_ONCE, READ_X, "03 02 0001", false },
                { MODBUS_FRAMING_RTU, REMOTE("248", "0", WORD("x", "9")), "f8 03 0000 0001", "03 02 0001", false },
                { MODBUS_FRAMING_RTU, REMOTE("1", "0", ITEM("x", "9", "QUEUE", "0", "0", "16")), "01 18 0000",
                  "18 0004 0001 0001", false },
                { MODBUS_FRAMING_RTU, REMOTE("247", "0", WORD("x", "9")), "f7 03 0000 0001", "03 02 0001", true },
                { MODBUS_FRAMING_RTU, POLLED_ONCE, READ_X, "03 02 0001", true },
        };

        for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
                Fixture f;

                while (has_library_thread()) /* the last one is about to go */
                        g_usleep(100);
                fixture_init(&f, &(Settings) { .line = true, .framing = rows[i].framing }, rows[i].remotes);
                enable(&f, "1");
                enable(&f, "247");
                enable(&f, "248");
                connect_master(&f);
                peer_expect(f.peer, rows[i].request);
                g_assert_cmpint(has_library_thread(), ==, rows[i].library);
                peer_answer(f.peer, rows[i].answer);
                (void) fake_host_next(f.host);
                (void) fake_host_next(f.host);
                g_assert_nonnull(strstr(fake_host_next(f.host), "\"value\": 1, "));
                fixture_done(&f);
        }
}

/* A stop never waits for a timeout. */
static void test_stop_while_waiting(void) {
        for (size_t i = 0; i < G_N_ELEMENTS(lines); i++) {
                Settings s = lines[i];
                Fixture f;

                s.request_timeout = "1000";
                fixture_init(&f, &s, POLLED);
                enable(&f, "1");
                connect_master(&f);
                fake_host_expect(f.host, R1("CONNECTING"));
                peer_expect(f.peer, READ_X);
                fake_host_stop(f.host);
                fake_host_expect(f.host, R1("DISABLED"), S("DISCONNECTED"));
                fixture_done(&f);
        }
}

static void wait_link(Fixture *f, DeviceLink link) {
        usec_t end = now_usec(CLOCK_MONOTONIC) + 30 * USEC_PER_SEC;

        while (f->host->link != link) {
                g_assert_cmpuint(now_usec(CLOCK_MONOTONIC), <, end);
                fake_host_run(f->host, 1 * MS);
        }
}

/* A port that returns is picked up within a second, however long connect_delay is. Best of three, as the machine may be
 * busy. */
static void test_port_comes_and_goes(void) {
        for (size_t i = 0; i < G_N_ELEMENTS(lines); i++) {
                Settings s = lines[i];
                usec_t begun, best = USEC_INFINITY;
                Fixture f;

                s.connect_delay = "600";
                fixture_init(&f, &s, POLLED_ONCE);
                enable(&f, "1");
                peer_pull(f.peer);
                fake_host_start(f.host);
                fake_host_expect(f.host, S("CONNECTING"), S("DISCONNECTED"));
                g_assert_cmpint(f.host->link, ==, DEVICE_LINK_DOWN);
                g_assert_cmpint(f.host->link_reason, ==, DEVICE_REASON_NOT_FOUND);
                g_assert_nonnull(strstr(f.host->link_detail, ": there is no such device"));
                fake_host_expect_nothing(f.host, 50 * MS);

                for (unsigned j = 0; j < 3; j++) {
                        begun = now_usec(CLOCK_MONOTONIC);
                        peer_plug(f.peer);
                        fake_host_expect(f.host, S("CONNECTING"), S("CONNECTED"), R1("CONNECTING"));
                        best = MIN(best, now_usec(CLOCK_MONOTONIC) - begun);
                        peer_expect(f.peer, READ_X);
                        peer_answer(f.peer, "03 02 0001");
                        fake_host_expect(f.host, R1("CONNECTED"), INTERROGATE("1"));

                        fake_host_run(f.host, 120 * MS);
                        peer_pull(f.peer);
                        fake_host_expect(f.host, R1("DISABLED"), S("DISCONNECTED"));
                        g_assert_cmpint(f.host->link_reason, ==, DEVICE_REASON_LOST);
                        fake_host_expect(f.host, S("CONNECTING"), S("DISCONNECTED"));
                }
                g_assert_cmpuint(best, <, USEC_PER_SEC);
                fixture_done(&f);
        }
}

/* One that returns while an attempt still hangs at what was there before, too. */
static void test_port_returns_meanwhile(void) {
        for (size_t i = 0; i < G_N_ELEMENTS(lines); i++) {
                Settings s = lines[i];
                Fixture f;

                s.connect_delay = "600";
                fixture_init(&f, &s, POLLED_ONCE);
                peer_pull(f.peer);
                g_assert_cmpint(symlink("/dev/null", f.peer->pty->path), ==, 0);
                hang_at(HANG_OPENING);
                fake_host_start(f.host);
                hang_wait(f.host->event);
                g_assert_cmpint(f.host->link, ==, DEVICE_LINK_CONNECTING);

                g_assert_cmpint(unlink(f.peer->pty->path), ==, 0);
                peer_plug(f.peer);
                loop_settle(f.host->event);
                hang_let_go();
                fake_host_expect(f.host, S("CONNECTING"), S("DISCONNECTED"), S("CONNECTING"), S("CONNECTED"));
                fixture_done(&f);
        }
}

/* A stop never waits for a port that hangs, and a start comes behind it. */
static void test_stop_while_opening(void) {
        for (size_t i = 0; i < G_N_ELEMENTS(lines); i++) {
                Fixture f;

                fixture_init(&f, &lines[i], POLLED_ONCE);
                enable(&f, "1");
                hang_at(HANG_OPENING);
                fake_host_start(f.host);
                hang_wait(f.host->event);
                fake_host_stop(f.host);
                fake_host_expect(f.host, S("CONNECTING"), S("DISCONNECTED"));

                fake_host_start(f.host);
                fake_host_expect(f.host, S("CONNECTING"));
                fake_host_expect_nothing(f.host, 20 * MS);
                hang_let_go();
                fake_host_expect(f.host, S("CONNECTED"), R1("CONNECTING"));
                fixture_done(&f);
        }
}

/* A port that hangs costs an attempt its connect_timeout, 10 s, and no more than some attempts wait for it; then it says so at once. */
static void test_opening_hangs(void) {
        for (size_t i = 0; i < G_N_ELEMENTS(lines); i++) {
                unsigned n = 0;
                Fixture f;

                fixture_init(&f, &lines[i], POLLED_ONCE);
                hang_at(HANG_OPENING);
                fake_host_start(f.host);
                hang_wait(f.host->event);
                clock_move(5 * USEC_PER_SEC);
                loop_settle(f.host->event);
                g_assert_cmpint(f.host->link, ==, DEVICE_LINK_CONNECTING);
                clock_move(5 * USEC_PER_SEC);
                fake_host_expect(f.host, S("CONNECTING"), S("DISCONNECTED"));
                g_assert_nonnull(strstr(f.host->link_detail, ": it does not open in time"));
                do {
                        g_assert_cmpuint(n++, <, 8);
                        fake_host_expect(f.host, S("CONNECTING"));
                        clock_move(10 * USEC_PER_SEC);
                        fake_host_expect(f.host, S("DISCONNECTED"));
                        g_assert_cmpint(f.host->link_reason, ==, DEVICE_REASON_TIMEOUT);
                } while (!strstr(f.host->link_detail, ": an earlier attempt to open it has not come back"));
                g_assert_cmpuint(n, >, 1);
                hang_let_go();
                while (!streq(fake_host_next(f.host), S("CONNECTED")))
                        ;
                fixture_done(&f);
        }
}

static void on_other_opened(Serial *s, void *userdata) {
        *(bool *) userdata = true;
}

static void test_busy(void) {
        static const SerialHandler somebody = { .opened = on_other_opened };
        SerialOptions options = { .baudrate = 9600, .data_bits = 8, .stop_bits = 1 };
        Serial *other = NULL;
        bool opened = false;
        Fixture f;

        fixture_init(&f, &(Settings) { .line = true, .framing = MODBUS_FRAMING_RTU, .connect_delay = "0.2" },
                     POLLED_ONCE);
        g_assert_cmpint(serial_open(f.host->event, f.peer->pty->path, &options, "test", &somebody, &opened, &other), ==,
                        0);
        fake_host_wait(f.host, &opened);
        fake_host_start(f.host);
        fake_host_expect(f.host, S("CONNECTING"), S("DISCONNECTED"));
        g_assert_cmpint(f.host->link_reason, ==, DEVICE_REASON_BUSY);
        g_assert_nonnull(strstr(f.host->link_detail, "(process "));
        other = serial_free(other);
        fake_host_expect(f.host, S("CONNECTING"), S("CONNECTED"));
        wait_link(&f, DEVICE_LINK_UP);
        fixture_done(&f);
}

/* No line has such a speed: it cannot be opened, and nobody divides by it. */
static void test_impossible_speed(void) {
        Fixture f;

        fixture_init(&f, &(Settings) { .line = true, .framing = MODBUS_FRAMING_RTU, .baudrate = UINT64_C(1) << 32 },
                     POLLED_ONCE);
        fake_host_start(f.host);
        fake_host_expect(f.host, S("CONNECTING"), S("DISCONNECTED"));
        wait_link(&f, DEVICE_LINK_DOWN);
        g_assert_cmpint(f.host->link_reason, ==, DEVICE_REASON_CONFIG);
        g_assert_nonnull(strstr(f.host->link_detail, ": its driver cannot do these settings"));
        fixture_done(&f);
}

/* Between two transmissions, whether the first one was answered or not. */
static void test_silent_interval(void) {
        for (size_t i = 0; i < G_N_ELEMENTS(lines); i++) {
                Settings s = lines[i];
                usec_t begun;
                Fixture f;

                s.silent_interval = "0.05";
                s.request_timeout = "0.01";
                s.immediate = 1;
                fixture_init(&f, &s, POLLED_FAST);
                enable(&f, "1");
                connect_master(&f);
                peer_expect(f.peer, READ_X);
                begun = now_usec(CLOCK_MONOTONIC);
                peer_expect(f.peer, READ_X); /* the repetition */
                g_assert_cmpuint(now_usec(CLOCK_MONOTONIC) - begun, >=, 40 * MS);
                begun = now_usec(CLOCK_MONOTONIC);
                peer_answer(f.peer, "03 02 0001");
                peer_expect(f.peer, READ_X);
                g_assert_cmpuint(now_usec(CLOCK_MONOTONIC) - begun, >=, 40 * MS);
                fixture_done(&f);
        }
}

/* The silence after an answer is 0.7 s here: a write that comes in it does not wait for one more poll. */
static void test_write_in_silence(void) {
        const Settings s = { .line = true, .framing = MODBUS_FRAMING_RTU, .baudrate = 50, .beyond = true };
        Fixture f;

        fixture_init(&f, &s, REMOTE("1", "0", WORD("x", "0") "," ITEM("reg", "null", "HOLDING_REGISTER", "100", "0", "16")));
        enable(&f, "1");
        connect_master(&f);
        peer_expect(f.peer, READ_X);
        peer_answer(f.peer, "03 02 0001");
        fake_host_expect(f.host, R1("CONNECTING"), R1("CONNECTED"), INTERROGATE("1"));
        write_value(&f, "reg", "{\"request_id\": 7, \"value\": 4660}");
        peer_expect(f.peer, "01 06 0064 1234");
        peer_answer(f.peer, "06 0064 1234");
        fake_host_expect(f.host, WRITE_RESULT("reg", "7", "SUCCESS"));
        peer_expect(f.peer, READ_X);
        fixture_done(&f);
}

/* A poll is 8 characters and its answer 7, of 10 bits each: 15,625 us at 9,600 bit/s. How many there are in the first window,
 * which is a second or a bit more, is counted. */
static void test_wire_load(void) {
        usec_t begin = now_usec(CLOCK_MONOTONIC), polls = 0;
        uint64_t load;
        Fixture f;

        fixture_init(&f, &(Settings) { .line = true, .framing = MODBUS_FRAMING_RTU, .baudrate = 9600 },
                     REMOTE("1", "0.05", WORD("x", "0.03")));
        enable(&f, "1");
        connect_master(&f);
        for (;; polls++) {
                peer_expect(f.peer, READ_X);
                load = status_value(f.host, "WireLoad");
                if (load > 0)
                        break;
                peer_answer(f.peer, "03 02 0001");
        }
        g_assert_cmpuint(load, <=, polls * 15625 * 100 / USEC_PER_SEC);
        g_assert_cmpuint(load + 1, >=, polls * 15625 * 100 / (now_usec(CLOCK_MONOTONIC) - begin)); /* of whole percents */
        fixture_done(&f);
}

int main(int argc, char *argv[]) {
        hang_init();
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/modbus-master-serial/life", test_life);
        g_test_add_func("/modbus-master-serial/polls", test_polls);
        g_test_add_func("/modbus-master-serial/writes", test_writes);
        g_test_add_func("/modbus-master-serial/who-runs-it", test_who_runs_it);
        g_test_add_func("/modbus-master-serial/stop-while-waiting", test_stop_while_waiting);
        g_test_add_func("/modbus-master-serial/port-comes-and-goes", test_port_comes_and_goes);
        g_test_add_func("/modbus-master-serial/port-returns-meanwhile", test_port_returns_meanwhile);
        g_test_add_func("/modbus-master-serial/stop-while-opening", test_stop_while_opening);
        g_test_add_func("/modbus-master-serial/opening-hangs", test_opening_hangs);
        g_test_add_func("/modbus-master-serial/busy", test_busy);
        g_test_add_func("/modbus-master-serial/impossible-speed", test_impossible_speed);
        g_test_add_func("/modbus-master-serial/silent-interval", test_silent_interval);
        g_test_add_func("/modbus-master-serial/write-in-silence", test_write_in_silence);
        g_test_add_func("/modbus-master-serial/wire-load", test_wire_load);
        return g_test_run();
}
