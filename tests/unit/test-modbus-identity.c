/* SPDX-License-Identifier: Apache-2.0 */
/* Who a unit says it is: answers of one piece and of several, and what is none. */

#include "devices/modbus/modbus-identity.h"

#include <errno.h>

#include "tests/unit/hex.h"

static int add(ModbusIdentity *id, const char *hex) {
        g_autoptr(GByteArray) bytes = from_hex(hex);
        g_autofree uint8_t *exact = g_memdup2(bytes->data, bytes->len);

        return modbus_identity_add(id, exact, bytes->len);
}

static void expect(const ModbusIdentity *id, const char *expected) {
        g_autofree char *text = NULL;
        JsonWriter w;

        json_writer_init_growing(&w);
        json_open_object(&w);
        modbus_identity_write_json(id, &w);
        json_close_object(&w);
        text = json_writer_steal(&w);
        json_writer_done(&w);
        g_assert_cmpstr(text, ==, expected);
}

static void test_one_answer(void) {
        ModbusIdentity id = {};
        ModbusPdu request = modbus_identity_request(&id);
        uint8_t pdu[MODBUS_PDU_MAX];

        g_assert_cmpuint(modbus_request_build(&request, pdu), ==, 4);
        g_assert_cmpmem(pdu, 4, "\x2b\x0e\x01\x00", 4);
        expect(&id, "{\"VendorName\": null, \"ProductCode\": null, \"MajorMinorRevision\": null}");

        /* "Acme", " X-1 ", "2.0", and a regular object that nobody asked for */
        g_assert_cmpint(add(&id, "01 01 00 00 04 00 04 41636d65 01 05 20582d3120 02 03 322e30 03 01 41"), ==, 0);
        expect(&id, "{\"VendorName\": \"Acme\", \"ProductCode\": \"X-1\", \"MajorMinorRevision\": \"2.0\"}");
}

static void test_more_follows(void) {
        ModbusIdentity id = {};

        g_assert_cmpint(add(&id, "01 01 ff 01 01 00 01 41"), ==, 1);
        g_assert_cmpuint(modbus_identity_request(&id).address, ==, 1);
        g_assert_cmpint(add(&id, "01 01 ff 02 01 01 01 42"), ==, 1);
        g_assert_cmpuint(modbus_identity_request(&id).address, ==, 2);
        g_assert_cmpint(add(&id, "01 01 ff 03 01 02 01 43"), ==, 0); /* what follows is not asked for */
        expect(&id, "{\"VendorName\": \"A\", \"ProductCode\": \"B\", \"MajorMinorRevision\": \"C\"}");

        id = (ModbusIdentity) {};
        g_assert_cmpint(add(&id, "01 01 ff 00 01 00 01 41"), ==, 0); /* the same again, for ever */
        id = (ModbusIdentity) {};
        g_assert_cmpint(add(&id, "01 01 ff 02 00"), ==, 1);
        g_assert_cmpint(add(&id, "01 01 ff 01 00"), ==, 0); /* back again */
}

static void test_none(void) {
        static const char *const rows[] = {
                "", "01", "01 01 00 00", "01 01 00 00 01", "01 01 00 00 01 00", "01 01 00 00 01 00 02 41",
                "01 01 00 00 02 00 01 41 01", "01 01 00 00 ff 00 01 41",
        };
        ModbusIdentity id = {};

        g_assert_cmpint(add(&id, "01 01 00 00 01 00 01 41"), ==, 0);
        for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
                g_assert_cmpint(add(&id, rows[i]), ==, -EBADMSG);
        expect(&id, "{\"VendorName\": \"A\", \"ProductCode\": null, \"MajorMinorRevision\": null}");
}

/* Long, not text, and with an end inside. */
static void test_texts(void) {
        g_autofree char *long_text = g_strnfill(2 * 245, '4'), *hex = g_strconcat("01 01 00 00 01 00 f5", long_text, NULL);
        g_autofree char *kept = g_strnfill(MODBUS_IDENTITY_TEXT_MAX, 'D');
        g_autofree char *expected = g_strdup_printf(
                        "{\"VendorName\": \"%s\", \"ProductCode\": null, \"MajorMinorRevision\": null}", kept);
        ModbusIdentity id = {};

        g_assert_cmpint(add(&id, hex), ==, 0);
        expect(&id, expected);

        g_assert_cmpint(add(&id, "01 01 00 00 03 00 03 41ff42 01 03 41000a 02 00"), ==, 0);
        expect(&id, "{\"VendorName\": \"A\\ufffdB\", \"ProductCode\": \"A\", \"MajorMinorRevision\": null}");
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/modbus-identity/one-answer", test_one_answer);
        g_test_add_func("/modbus-identity/more-follows", test_more_follows);
        g_test_add_func("/modbus-identity/none", test_none);
        g_test_add_func("/modbus-identity/texts", test_texts);
        return g_test_run();
}
