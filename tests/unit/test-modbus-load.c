/* SPDX-License-Identifier: Apache-2.0 */
/* The load of a serial line, against figures computed by hand. */

#include "devices/modbus/modbus-load.h"

#include <math.h>

#define ITEM(name, interval, start, count)                                                            \
        "{name: " name ", interval: " interval ", data_type: HOLDING_REGISTER, start_address: " start       \
        ", bit_offset: 0, bit_count: " count "}"

typedef struct Row {
        const char *framing, *transport, *data;
        double load;
} Row;

#define LINE(more)                                                                                    \
        "type: SERIAL, port: /dev/ttyS0, baudrate: 9600, bytesize: EIGHTBITS, parity: NONE, stopbits: ONE, " \
        "flow_control: {xonxoff: false, rtscts: false, dsrdtr: false}" more

/* Of ten bits a character, of which 960 go in a second: a read of one register is 8 and 7 of them, with 3.5 of silence before the
 * answer and behind it. A silent_interval counts from the request on, beside the answer, and stands for the silence behind it. */
static const Row rows[] = {
        { "RTU", LINE(""), ITEM("a", "1", "0", "16"), (8 + 3.5 + 7 + 3.5) / 960 },
        { "RTU", LINE(", silent_interval: 0"), ITEM("a", "1", "0", "16"), (8 + 3.5 + 7) / 960 },
        { "RTU", LINE(", silent_interval: 0.1"), ITEM("a", "1", "0", "16"), 8.0 / 960 + 0.1 },
        { "ASCII", LINE(""), ITEM("a", "1", "0", "16"), (17.0 + 15) / 960 },
        { "TCP", LINE(""), ITEM("a", "1", "0", "16"), (12.0 + 11) / 960 },
        { "RTU", LINE(""), ITEM("a", "0.01", "0", "16"), 100 * 22.0 / 960 },
        { "RTU", LINE(""), ITEM("a", "0.5", "0", "16") "," ITEM("b", "0.5", "1", "1984"), 2 * (8 + 3.5 + 5 + 250 + 3.5) / 960 },
        { "RTU", LINE(""), ITEM("a", "1", "0", "16") "," ITEM("b", "1", "9", "16"), 2 * 22.0 / 960 },
        { "RTU", LINE(""), ITEM("a", "0", "0", "16") "," ITEM("b", "null", "9", "16"), 0 },
        { "RTU", "type: TCP, host: h, port: 502", ITEM("a", "0.001", "0", "16"), 0 },
};

static void check(const Row *row) {
        _cleanup_(conf_errors_freep) ConfErrors *e = conf_errors_new("test");
        _cleanup_(conf_document_freep) ConfDocument *document = NULL;
        ConfArena *arena = conf_arena_new();
        ModbusMasterConf conf = {};
        g_autofree char *text = g_strdup_printf(
                        "{connection: {modbus_type: %s, transport: {%s}, connect_timeout: 1, connect_delay: 1, "
                        "request_timeout: 1, request_delay: 0, request_retry_immediate_count: 0, "
                        "request_retry_delayed_count: 0, request_retry_delay: 0}, "
                        "remote_devices: [{device_id: 1, timeout_poll_delay: 1, data: [%s]}]}",
                        row->framing, row->transport, row->data);

        g_test_message("%s", text);
        g_assert_cmpint(conf_document_parse(text, strlen(text), e, &document), ==, 0);
        g_assert_cmpint(conf_parse(conf_document_root(document), modbus_master_fields, CONF_FORM_NATIVE, arena, &conf, e),
                        ==, 0);
        g_assert_cmpfloat_with_epsilon(modbus_master_load(&conf), row->load, 0.001);

        modbus_master_verify(&conf, e);
        g_assert_cmpuint(conf_errors_count(e, CONF_WARNING), ==, row->load > 1);
        if (row->load > 1)
                g_assert_cmpstr(conf_errors_first(e, CONF_WARNING, conf_document_root(document)), ==,
                                "/connection/transport/baudrate: reading all data takes 229 % of the line's time: 2.29 s on "
                                "the wire for what is due every second");
        conf_arena_free(arena);
}

static void test_load(void) {
        for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
                check(&rows[i]);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/modbus-load/load", test_load);
        return g_test_run();
}
