/* SPDX-License-Identifier: Apache-2.0 */
/* Device type modbus_slave on a serial line that the test has the far end of: what differs from TCP
 * (spec modbus.md 6.4 to 6.6). */

#include "tests/unit/hang.h"
#include "tests/unit/modbus-damage.h"
#include "tests/unit/moved-clock.h"

#define HANG_OPENING 1

/* A stand-in: part of opening a line. */
int isatty(int fd) {
        struct termios t;

        hang_here(HANG_OPENING);
        return tcgetattr(fd, &t) == 0;
}

#define READ_1 "01 03 0000 0001 840a"
#define ZERO_1 "01 03 02 0000 b844"
#define READ_7 "07 03 0000 0001 846c"
#define ZERO_7 "07 03 02 0000 3044"
#define READ_9 "09 03 0000 0001 8542"
#define ACTIVE(id) "connections [{\"type\": \"SERIAL\", \"connection_id\": " id "}]"
#define IDLE "connections []"

typedef struct Fixture {
        Pty *pty;
        FakeHost *host;
        Client *client;
} Fixture;

static void begin(Fixture *f, Settings settings) {
        f->pty = pty_new();
        settings.serial = f->pty->path;
        f->host = serial_slave_new(&settings);
        f->client = client_on_line(f->host, f->pty);
        fake_host_start(f->host);
        fake_host_expect(f->host, IDLE);
        fake_host_wait(f->host, &f->host->started);
}

static void end(Fixture *f) {
        f->host = fake_host_free(f->host);
        f->client = client_free(f->client);
        f->pty = pty_free(f->pty);
}

/* CRC and all, for a unit and PDU in digits. */
static void send_rtu(Fixture *f, const char *hex) {
        g_autofree char *digits = framed(MODBUS_FRAMING_RTU, 0, hex);

        client_send(f->client, digits);
}

static void test_units(void) {
        Fixture f;

        begin(&f, (Settings) {});
        g_assert_cmpint(f.host->link, ==, DEVICE_LINK_UP);
        client_send(f.client, READ_9);                 /* nobody here */
        client_expect_nothing(f.client, 5 * MS);
        send_rtu(&f, "00 03 0000 0001");               /* broadcast, also if configured */
        send_rtu(&f, "00 06 0000 1234");
        client_expect_nothing(f.client, 5 * MS);
        client_send(f.client, "01 03 0000 0001 840b"); /* CRC */
        client_expect_nothing(f.client, 30 * MS);
        fake_host_expect_nothing(f.host, 0);

        client_send(f.client, READ_1);
        client_expect(f.client, ZERO_1);
        fake_host_expect(f.host, ACTIVE("1"));
        client_send(f.client, READ_7); /* another unit of the same slave */
        client_expect(f.client, ZERO_7);
        fake_host_expect_nothing(f.host, 0);
        fake_host_event(f.host, "data/other", "{\"value\": 4660}");
        client_send(f.client, READ_7);
        client_expect(f.client, "07 03 02 1234 3d33");
        client_send(f.client, READ_1);
        client_expect(f.client, ZERO_1);

        fake_host_stop(f.host);
        fake_host_expect(f.host, IDLE);
        end(&f);
}

static void test_errors(void) {
        static const struct {
                const char *request, *answer;
        } rows[] = {
                { "01 03 0000 0000", "01 83 03 0131" },
                { "01 03 0000 007e", "01 83 03 0131" },
                { "01 03 0005 0001", "01 83 02 c0f1" },
                { "01 05 0007 0001", "01 85 03 0291" },
                { "01 18 0000", "01 98 02 ca01" },
        };
        Fixture f;

        begin(&f, (Settings) {});
        for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
                send_rtu(&f, rows[i].request);
                client_expect(f.client, rows[i].answer);
        }
        send_rtu(&f, "01 2b 0e 01 00"); /* unsupported: its length is unknown */
        client_expect_nothing(f.client, 50 * MS);
        client_send(f.client, READ_1);
        client_expect(f.client, ZERO_1);
        end(&f);
}

/* D4: activated, then processed. */
static void test_write_first(void) {
        char id[64];
        Fixture f;

        begin(&f, (Settings) {});
        send_rtu(&f, "01 06 0000 1234");
        fake_host_expect(f.host, ACTIVE("1"));
        expect_write(f.host, 1, "{\"name\": \"x\", \"value\": 4660}, {\"name\": \"y\", \"value\": 13312}", id);
        client_expect_nothing(f.client, 5 * MS);
        answer_write(f.host, id, "true");
        client_expect(f.client, "01 06 0000 1234 84bd");
        send_rtu(&f, "01 06 0000 0001");
        expect_write(f.host, 1, "{\"name\": \"x\", \"value\": 1}, {\"name\": \"y\", \"value\": 256}", id);
        answer_write(f.host, id, "false");
        client_expect(f.client, "01 86 04 43a3");
        end(&f);
}

/* D27: what a master says while its write waits, it says because it has given it up. */
static void test_asked_again(void) {
        char id[64];
        Fixture f;

        begin(&f, (Settings) { .keep_alive = "60", .response_timeout = "90" });
        for (unsigned i = 1; i <= 2; i++) {
                send_rtu(&f, "01 06 0000 1234");
                fake_host_expect(f.host, i == 1 ? ACTIVE("1") : ACTIVE("2"));
                expect_write(f.host, i, "{\"name\": \"x\", \"value\": 4660}, {\"name\": \"y\", \"value\": 13312}", id);
                client_send(f.client, READ_1);
                send_rtu(&f, "01 06 0000 0001");
                client_send(f.client, READ_7);
                client_expect_nothing(f.client, 5 * MS);
                if (i == 1) { /* answered late … */
                        answer_write(f.host, id, "true");
                        client_expect(f.client, "01 06 0000 1234 84bd");
                        client_expect_nothing(f.client, 5 * MS);
                        client_send(f.client, READ_7);
                        client_expect(f.client, ZERO_7);
                }
                clock_move(60 * USEC_PER_SEC); /* … and never */
                fake_host_run(f.host, MS);
                fake_host_expect(f.host, IDLE);
                client_expect_nothing(f.client, 5 * MS);
        }
        client_send(f.client, READ_7);
        client_expect(f.client, ZERO_7);
        fake_host_expect(f.host, ACTIVE("3"));
        end(&f);
}

/* A transceiver that hears itself: the echo of the answer to a write is not the same write again. */
static void test_echo(void) {
        char id[64];
        Fixture f;

        begin(&f, (Settings) {});
        client_send(f.client, READ_1);
        fake_host_expect(f.host, ACTIVE("1"));
        client_expect(f.client, ZERO_1);
        client_send(f.client, ZERO_1);
        for (unsigned i = 0; i < 2; i++) {
                send_rtu(&f, "01 06 0000 1234");
                expect_write(f.host, 1,
                             "{\"name\": \"x\", \"value\": 4660}, {\"name\": \"y\", \"value\": 13312}", id);
                answer_write(f.host, id, "true");
                client_expect(f.client, "01 06 0000 1234 84bd");
                client_send(f.client, "01 06 0000 1234 84bd");
                client_expect_nothing(f.client, 5 * MS);
                fake_host_expect_nothing(f.host, 0);
        }
        client_send(f.client, READ_1);
        client_expect(f.client, ZERO_1);
        end(&f);
}

/* What other slaves are asked and answer is heard and means nothing (D15). */
static void test_foreign_traffic(void) {
        Fixture f;

        begin(&f, (Settings) {});
        for (unsigned i = 0; i < 20; i++) {
                send_rtu(&f, "02 03 0000 0003");
                send_rtu(&f, "02 03 06 0103 0000 0001"); /* looks like a request for us in the middle */
                send_rtu(&f, "03 10 0000 0001 02 1234");
                send_rtu(&f, "03 10 0000 0001");
                send_rtu(&f, "04 83 02");
                send_rtu(&f, "05 01 01 05");
                client_send(f.client, READ_1);
                client_expect(f.client, ZERO_1);
        }
        fake_host_expect(f.host, ACTIVE("1"));
        client_send(f.client, "02 03 40 01"); /* the beginning of a long one, and then silence */
        client_expect_nothing(f.client, 40 * MS);
        client_send(f.client, READ_1);
        client_expect(f.client, ZERO_1);
        end(&f);
}

/* Again when there was no answer: on a busy machine a byte may come so late that there was a silence before it. */
static void test_bytewise(void) {
        g_autoptr(GByteArray) request = from_hex(READ_1);
        Fixture f;

        begin(&f, (Settings) {});
        for (unsigned i = 0; i < 50 && f.client->input->len == 0; i++) {
                for (guint j = 0; j < request->len; j++) {
                        g_assert_cmpint(write(f.pty->fd, request->data + j, 1), ==, 1);
                        fake_host_run(f.host, MS);
                }
                fake_host_run(f.host, 50 * MS);
                client_read(f.client);
        }
        client_expect(f.client, ZERO_1);
        end(&f);
}

/* The time passes by hand: no request comes late because the machine is. */
static void test_keep_alive(void) {
        char id[64];
        Fixture f;

        begin(&f, (Settings) { .keep_alive = "60", .response_timeout = "90" });
        client_send(f.client, READ_1);
        client_expect(f.client, ZERO_1);
        fake_host_expect(f.host, ACTIVE("1"));
        for (unsigned i = 0; i < 2; i++) { /* requests for others do not help */
                clock_move(20 * USEC_PER_SEC);
                client_send(f.client, READ_9);
                client_expect_nothing(f.client, 15 * MS);
                fake_host_expect_nothing(f.host, 0);
        }
        clock_move(20 * USEC_PER_SEC);
        fake_host_run(f.host, MS);
        fake_host_expect(f.host, IDLE);
        g_assert_cmpint(f.host->link, ==, DEVICE_LINK_UP); /* the port is open all the time, D11 */
        clock_move(120 * USEC_PER_SEC);
        fake_host_expect_nothing(f.host, 5 * MS);

        for (unsigned i = 0; i < 4; i++) { /* errors do */
                send_rtu(&f, "01 03 0005 0001");
                client_expect(f.client, "01 83 02 c0f1");
                clock_move(40 * USEC_PER_SEC);
                fake_host_run(f.host, MS);
        }
        fake_host_expect(f.host, ACTIVE("2"));
        fake_host_expect_nothing(f.host, 0);

        /* It expires also while a write waits, which is then not answered. */
        send_rtu(&f, "01 06 0000 0001");
        expect_write(f.host, 2, "{\"name\": \"x\", \"value\": 1}, {\"name\": \"y\", \"value\": 256}", id);
        clock_move(60 * USEC_PER_SEC);
        fake_host_run(f.host, MS);
        fake_host_expect(f.host, IDLE);
        answer_write(f.host, id, "true");
        client_expect_nothing(f.client, 10 * MS);
        client_send(f.client, READ_1);
        client_expect(f.client, ZERO_1);
        fake_host_expect(f.host, ACTIVE("3"));
        end(&f);
}

static void test_ascii(void) {
        static const char read_1[] = ":010300000001FB\r\n", zero_1[] = ":0103020000FA\r\n",
                          others[] = ":020300000001FA\r\n:0203020000F9\r\n:09030000";
        g_autofree char *expected = to_hex((const uint8_t *) zero_1, strlen(zero_1));
        Fixture f;

        begin(&f, (Settings) { .framing = "ASCII" });
        g_assert_cmpint(write(f.pty->fd, others, strlen(others)), ==, (ssize_t) strlen(others));
        client_expect_nothing(f.client, 5 * MS);
        g_assert_cmpint(write(f.pty->fd, read_1, strlen(read_1)), ==, (ssize_t) strlen(read_1));
        client_expect(f.client, expected);
        fake_host_expect(f.host, ACTIVE("1"));
        end(&f);
}

static void test_mbap(void) {
        Fixture f;

        begin(&f, (Settings) { .framing = "TCP" });
        client_send(f.client, "0001 0000 0006 09 03 0000 0001"); /* not ours */
        client_send(f.client, "0002 0000 0006 01 03 0000 0001");
        client_expect(f.client, "0002 0000 0005 01 03 02 0000");
        client_send(f.client, "0003 0000 0002 01 07");
        client_expect(f.client, "0003 0000 0003 01 87 01");
        fake_host_expect(f.host, ACTIVE("1"));
        end(&f);
}

static void lose_and_add(ModbusFramingKind kind, usec_t gap) {
        g_autofree char *read = framed(kind, 0, "01 03 0000 0001"), *zero = framed(kind, 0, "01 03 02 0000");
        Fixture f;

        begin(&f, (Settings) { .framing = modbus_framing_to_string(kind) });
        client_send(f.client, read);
        client_expect(f.client, zero);
        fake_host_expect(f.host, ACTIVE("1"));
        damage_checked_everywhere(f.client, kind, gap);
        end(&f);
}

/* With the next request right behind, and after the pause that ends an incomplete one. */
static void test_lost_and_added(void) {
        lose_and_add(MODBUS_FRAMING_RTU, 0);
        lose_and_add(MODBUS_FRAMING_RTU, 25 * MS);
        lose_and_add(MODBUS_FRAMING_ASCII, 0);
}

/* A port that was closed, and then pulled and plugged, works again. */
static void test_lost_and_added_unchecked(void) {
        static const char *const bytes[] = { NULL, "12" };

        for (size_t j = 0; j < G_N_ELEMENTS(bytes); j++) {
                g_autofree char *whole = framed(MODBUS_FRAMING_TCP, 1, damage_writes[0].request);

                for (size_t at = 0; at < strlen(whole) + (bytes[j] ? 2 : 0); at += 2) {
                        Fixture f;

                        begin(&f, (Settings) { .framing = "TCP", .response_timeout = "0.005" });
                        damage_unchecked(f.client, 0, at, bytes[j]);
                        f.client = client_free(f.client);
                        pty_pull(f.pty);
                        while (f.host->link == DEVICE_LINK_UP)
                                fake_host_run(f.host, 1 * MS);
                        pty_plug(f.pty);
                        while (f.host->link != DEVICE_LINK_UP)
                                fake_host_run(f.host, 1 * MS);
                        f.client = client_on_line(f.host, f.pty);
                        client_request(f.client, "01 03 0000 0001", "01 03 02 0000");
                        end(&f);
                }
        }
}

/* A port that is missing is waited for, and one that is pulled is opened again when it is back: within a second, while
 * a port that cannot be opened is otherwise tried every 5 s. Best of three, as the machine may be busy. */
static void test_port_comes_and_goes(void) {
        usec_t begun, best = USEC_INFINITY;
        Fixture f;

        f.pty = pty_new();
        pty_pull(f.pty);
        f.host = serial_slave_new(&(Settings) { .serial = f.pty->path });
        fake_host_start(f.host);
        fake_host_wait(f.host, &f.host->started);
        fake_host_expect(f.host, IDLE);
        g_assert_cmpint(f.host->link, ==, DEVICE_LINK_DOWN);
        g_assert_cmpint(f.host->link_reason, ==, DEVICE_REASON_NOT_FOUND);
        g_assert_nonnull(strstr(f.host->link_detail, ": there is no such device"));

        for (unsigned i = 1; i <= 3; i++) {
                g_autofree char *active = g_strdup_printf(ACTIVE("%u"), i);

                begun = now_usec(CLOCK_MONOTONIC);
                pty_plug(f.pty);
                while (f.host->link != DEVICE_LINK_UP)
                        fake_host_run(f.host, 1 * MS);
                best = MIN(best, now_usec(CLOCK_MONOTONIC) - begun);

                f.client = client_on_line(f.host, f.pty);
                client_send(f.client, READ_1);
                client_expect(f.client, ZERO_1);
                fake_host_expect(f.host, active);
                f.client = client_free(f.client);

                pty_pull(f.pty);
                fake_host_expect(f.host, IDLE);
                g_assert_cmpint(f.host->link, ==, DEVICE_LINK_DOWN);
                g_assert_cmpint(f.host->link_reason, ==, DEVICE_REASON_LOST);
        }
        g_assert_cmpuint(best, <, USEC_PER_SEC);
        fake_host_stop(f.host);
        fake_host_expect_nothing(f.host, 5 * MS);
        end(&f);
}

/* Neither the start nor the stop waits long for a port that hangs, and one that returns meanwhile is not missed. */
static void test_port_hangs(void) {
        usec_t begun;
        Fixture f = { .pty = pty_new() };

        f.host = serial_slave_new(&(Settings) { .serial = f.pty->path });
        hang_at(HANG_OPENING);
        fake_host_start(f.host);
        hang_wait(f.host->event);
        fake_host_wait(f.host, &f.host->started); /* after 2 s */
        g_assert_cmpint(f.host->link, ==, DEVICE_LINK_CONNECTING);
        fake_host_expect(f.host, IDLE);
        fake_host_stop(f.host);
        hang_let_go();

        pty_pull(f.pty);
        g_assert_cmpint(symlink("/dev/null", f.pty->path), ==, 0);
        hang_at(HANG_OPENING);
        fake_host_start(f.host);
        fake_host_expect(f.host, IDLE);
        hang_wait(f.host->event);
        g_assert_false(f.host->started);
        g_assert_cmpint(unlink(f.pty->path), ==, 0);
        pty_plug(f.pty);
        loop_settle(f.host->event);
        begun = now_usec(CLOCK_MONOTONIC);
        hang_let_go();
        while (f.host->link != DEVICE_LINK_UP)
                fake_host_run(f.host, 1 * MS);
        g_assert_cmpuint(now_usec(CLOCK_MONOTONIC) - begun, <, 4 * USEC_PER_SEC); /* not after the usual 5 s */
        end(&f);
}

static void test_no_line(void) {
        Fixture f = {};

        f.host = serial_slave_new(&(Settings) { .serial = "/dev/null" });
        fake_host_start(f.host);
        fake_host_wait(f.host, &f.host->started);
        g_assert_cmpint(f.host->link_reason, ==, DEVICE_REASON_CONFIG);
        g_assert_cmpstr(f.host->link_detail, ==, "cannot open /dev/null: it is not a serial line");
        end(&f);
}

static void on_other_opened(Serial *s, void *userdata) {
        *(bool *) userdata = true;
}

/* Somebody else has it: he is named, and it is tried again. */
static void test_busy(void) {
        static const SerialHandler somebody = { .opened = on_other_opened };
        SerialOptions options = { .baudrate = 9600, .data_bits = 8, .stop_bits = 1 };
        Serial *other = NULL;
        bool opened = false;
        Fixture f;

        f.pty = pty_new();
        f.client = NULL;
        f.host = serial_slave_new(&(Settings) { .serial = f.pty->path });
        g_assert_cmpint(serial_open(f.host->event, f.pty->path, &options, "test", &somebody, &opened, &other), ==, 0);
        fake_host_wait(f.host, &opened);
        fake_host_start(f.host);
        fake_host_wait(f.host, &f.host->started);
        g_assert_cmpint(f.host->link_reason, ==, DEVICE_REASON_BUSY);
        g_assert_nonnull(strstr(f.host->link_detail, "(process "));
        other = serial_free(other);
        while (f.host->link != DEVICE_LINK_UP) /* after 5 s */
                fake_host_run(f.host, 10 * MS);
        end(&f);
}

/* While the event server is congested nothing is asked of us. */
static void test_flow(void) {
        Fixture f;

        begin(&f, (Settings) { .keep_alive = "0.05" });
        modbus_slave_device_type.flow(f.host->device, false);
        client_send(f.client, READ_1);
        client_expect_nothing(f.client, 80 * MS);
        modbus_slave_device_type.flow(f.host->device, true);
        client_expect(f.client, ZERO_1);
        fake_host_expect(f.host, ACTIVE("1"), IDLE);
        end(&f);
}

int main(int argc, char *argv[]) {
        hang_init();
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/modbus-slave-serial/units", test_units);
        g_test_add_func("/modbus-slave-serial/errors", test_errors);
        g_test_add_func("/modbus-slave-serial/write-first", test_write_first);
        g_test_add_func("/modbus-slave-serial/asked-again", test_asked_again);
        g_test_add_func("/modbus-slave-serial/echo", test_echo);
        g_test_add_func("/modbus-slave-serial/foreign-traffic", test_foreign_traffic);
        g_test_add_func("/modbus-slave-serial/bytewise", test_bytewise);
        g_test_add_func("/modbus-slave-serial/keep-alive", test_keep_alive);
        g_test_add_func("/modbus-slave-serial/ascii", test_ascii);
        g_test_add_func("/modbus-slave-serial/mbap", test_mbap);
        g_test_add_func("/modbus-slave-serial/lost-and-added", test_lost_and_added);
        g_test_add_func("/modbus-slave-serial/lost-and-added-unchecked", test_lost_and_added_unchecked);
        g_test_add_func("/modbus-slave-serial/port-comes-and-goes", test_port_comes_and_goes);
        g_test_add_func("/modbus-slave-serial/port-hangs", test_port_hangs);
        g_test_add_func("/modbus-slave-serial/no-line", test_no_line);
        g_test_add_func("/modbus-slave-serial/busy", test_busy);
        g_test_add_func("/modbus-slave-serial/flow", test_flow);
        return g_test_run();
}
