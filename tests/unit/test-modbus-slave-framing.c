/* SPDX-License-Identifier: Apache-2.0 */
/* Device type modbus_slave over TCP with the framings of serial lines. */

#include "tests/unit/modbus-damage.h"

#define RTU_READ "01 03 0000 0001 840a"
#define RTU_ZERO "01 03 02 0000 b844"

static void test_rtu(void) {
        uint16_t port = free_port();
        _cleanup_(fake_host_freep) FakeHost *h = slave_started(&(Settings) { .framing = "RTU" }, port);
        _cleanup_(client_freep) Client *c = client_new(h, port);

        client_send(c, RTU_READ);
        client_expect(c, RTU_ZERO);
        client_send(c, "01 03 0000 0001 840b"); /* wrong CRC */
        client_expect_nothing(c, 10 * MS);
        g_assert_cmpuint(status_value(h, "ChecksumErrors"), ==, 1);
        client_send(c, "55 ff" RTU_READ);
        client_expect(c, RTU_ZERO);
        client_send(c, "01 03 0000"); /* cut short by another one */
        client_expect_nothing(c, 10 * MS);
        client_send(c, RTU_READ);
        client_expect(c, RTU_ZERO);
        client_send(c, RTU_READ RTU_READ);
        client_expect(c, RTU_ZERO RTU_ZERO);
        client_send(c, "02 03 0000 0001 8439"); /* not ours */
        client_expect(c, "02 83 02 30f1");
        client_send(c, "01 2b 0e 01 00 70 77"); /* its length is unknown */
        client_expect_nothing(c, 10 * MS);
        client_send(c, RTU_READ);
        client_expect(c, RTU_ZERO);
}

/* A head without its rest is waited for 1 s; then what follows is found behind it. The request for a unit
 * that is not ours shows that: it counts only at the front. */
static void test_rtu_pause(void) {
        uint16_t port = free_port();
        _cleanup_(fake_host_freep) FakeHost *h = slave_started(&(Settings) { .framing = "RTU" }, port);
        _cleanup_(client_freep) Client *c = client_new(h, port);
        usec_t begin = now_usec(CLOCK_MONOTONIC);

        client_send(c, "01 10 0000 0040 80 02 03 0000 0001 8439");
        client_expect(c, "02 83 02 30f1");
        g_assert_cmpuint(now_usec(CLOCK_MONOTONIC) - begin, >=, 990 * MS);
        client_send(c, RTU_READ);
        client_expect(c, RTU_ZERO);
}

/* Frames as they stand on the wire. */
static void client_send_text(Client *c, const char *text) {
        g_autofree char *hex = to_hex((const uint8_t *) text, strlen(text));

        client_send(c, hex);
}

static void client_expect_text(Client *c, const char *text) {
        g_autofree char *hex = to_hex((const uint8_t *) text, strlen(text));

        client_expect(c, hex);
}

#define ASCII_READ ":010300000001FB\r\n"
#define ASCII_ZERO ":0103020000FA\r\n"

static void test_ascii(void) {
        uint16_t port = free_port();
        _cleanup_(fake_host_freep) FakeHost *h = slave_started(&(Settings) { .framing = "ASCII" }, port);
        _cleanup_(client_freep) Client *c = client_new(h, port);
        char id[64];

        client_send_text(c, ASCII_READ);
        client_expect_text(c, ASCII_ZERO);
        client_send_text(c, ":010300000001fb\r\n" ASCII_READ);
        client_expect_text(c, ASCII_ZERO ASCII_ZERO);
        client_send_text(c, ":010300000001FC\r\n"); /* LRC */
        client_expect_nothing(c, 10 * MS);
        g_assert_cmpuint(status_value(h, "ChecksumErrors"), ==, 1);
        client_send_text(c, "noise\r\n:0103" ASCII_READ);
        client_expect_text(c, ASCII_ZERO);
        client_send_text(c, ":020300000001FA\r\n"); /* not ours */
        client_expect_text(c, ":02830279\r\n");
        client_send_text(c, ":012B0E0100C5\r\n"); /* unsupported, D5 */
        client_expect_text(c, ":01AB0153\r\n");
        client_send_text(c, ":0103000000"); /* comes when it likes */
        client_expect_nothing(c, 10 * MS);
        client_send_text(c, "01FB\r");
        client_expect_nothing(c, 10 * MS);
        client_send_text(c, "\n");
        client_expect_text(c, ASCII_ZERO);

        expect_ids(h, 1);
        client_send_text(c, ":010600001234B3\r\n");
        expect_write(h, 1, "{\"name\": \"x\", \"value\": 4660}, {\"name\": \"y\", \"value\": 13312}", id);
        answer_write(h, id, "true");
        client_expect_text(c, ":010600001234B3\r\n");
}

static void test_lost_and_added(void) {
        for (ModbusFramingKind kind = MODBUS_FRAMING_RTU; kind <= MODBUS_FRAMING_ASCII; kind++) {
                uint16_t port = free_port();
                _cleanup_(fake_host_freep) FakeHost *h = slave_started(
                                &(Settings) { .framing = modbus_framing_to_string(kind) }, port);
                _cleanup_(client_freep) Client *c = client_new(h, port);

                expect_ids(h, 1);
                damage_checked_everywhere(c, kind, 0);
        }
}

/* Whatever a write became, it is not waited for; and who was thrown out may come again. */
static void test_lost_and_added_unchecked(void) {
        static const char *const bytes[] = { NULL, "12", "00", "ff" };
        uint16_t port = free_port();
        _cleanup_(fake_host_freep) FakeHost *h = slave_started(&(Settings) { .response_timeout = "0.005" }, port);

        for (size_t i = 0; i < G_N_ELEMENTS(damage_writes); i++) {
                g_autofree char *whole = framed(MODBUS_FRAMING_TCP, 1, damage_writes[i].request);

                for (size_t j = 0; j < G_N_ELEMENTS(bytes); j++)
                        for (size_t at = 0; at < strlen(whole) + (bytes[j] ? 2 : 0); at += 2) {
                                _cleanup_(client_freep) Client *c = client_new(h, port), *next = NULL;

                                damage_unchecked(c, i, at, bytes[j]);
                                next = client_new(h, port);
                                client_request(next, "01 03 0000 0001", "01 03 02 0000");
                        }
        }
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/modbus-slave-framing/rtu", test_rtu);
        g_test_add_func("/modbus-slave-framing/rtu-pause", test_rtu_pause);
        g_test_add_func("/modbus-slave-framing/ascii", test_ascii);
        g_test_add_func("/modbus-slave-framing/lost-and-added", test_lost_and_added);
        g_test_add_func("/modbus-slave-framing/lost-and-added-unchecked", test_lost_and_added_unchecked);
        return g_test_run();
}
