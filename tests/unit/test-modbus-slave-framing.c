/* SPDX-License-Identifier: Apache-2.0 */
/* Device type modbus_slave over TCP with the framings of serial lines. */

#include "tests/unit/modbus-client.h"

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

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/modbus-slave-framing/rtu", test_rtu);
        g_test_add_func("/modbus-slave-framing/rtu-pause", test_rtu_pause);
        g_test_add_func("/modbus-slave-framing/ascii", test_ascii);
        return g_test_run();
}
