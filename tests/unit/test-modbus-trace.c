/* SPDX-License-Identifier: Apache-2.0 */
/* What a trace says of frames of all framings, right and wrong. */
#include "devices/modbus/modbus-trace.h"
#include "tests/unit/hex.h"

#define REQUEST "\"Request\": true, \"Decoded\": {"
#define ANSWER "\"Request\": false, \"Decoded\": {"

typedef struct Row {
        ModbusFramingKind framing;
        bool request;
        const char *frame; /* hexadecimal; ASCII: the text without its line end */
        const char *expected; /* behind "Decoded": { */
} Row;

static const Row rows[] = {
        /* the vectors of the specification, 3.3 */
        { MODBUS_FRAMING_TCP, true, "0102 0000 0006 11 01 007b 0003",
          "\"Unit\": 17, \"Function\": \"read-coils\", \"Address\": 123, \"Quantity\": 3, \"Transaction\": 258" },
        { MODBUS_FRAMING_TCP, false, "0102 0000 0004 11 01 01 05",
          "\"Unit\": 17, \"Function\": \"read-coils\", \"Values\": [1, 0, 1, 0, 0, 0, 0, 0], \"Transaction\": 258" },
        { MODBUS_FRAMING_RTU, true, "11 02 0000 000a fa9d",
          "\"Unit\": 17, \"Function\": \"read-discrete-inputs\", \"Address\": 0, \"Quantity\": 10" },
        { MODBUS_FRAMING_RTU, false, "11 03 06 1234 5678 9abc a483",
          "\"Unit\": 17, \"Function\": \"read-holding-registers\", \"Values\": [4660, 22136, 39612]" },
        { MODBUS_FRAMING_ASCII, true, ":1104000700 01E3", "\"Unit\": 17, \"Function\": \"read-input-registers\", \"Address\": 7, \"Quantity\": 1" },
        { MODBUS_FRAMING_ASCII, false, ":11050005FF00E6", "\"Unit\": 17, \"Function\": \"write-coil\", \"Address\": 5, \"Value\": 1" },
        { MODBUS_FRAMING_RTU, true, "11 06 0065 5678 a4c7", "\"Unit\": 17, \"Function\": \"write-register\", \"Address\": 101, \"Value\": 22136" },
        { MODBUS_FRAMING_RTU, true, "11 0f 0066 000a 02 0d03 65af",
          "\"Unit\": 17, \"Function\": \"write-coils\", \"Address\": 102, \"Quantity\": 10, \"Values\": [1, 0, 1, 1, 0, 0, 0, 0, 1, 1]" },
        { MODBUS_FRAMING_RTU, false, "11 0f 0066 000a 3743", "\"Unit\": 17, \"Function\": \"write-coils\", \"Address\": 102, \"Quantity\": 10" },
        { MODBUS_FRAMING_TCP, true, "0102 0000 000b 11 10 0064 0002 04 1234 5678",
          "\"Unit\": 17, \"Function\": \"write-registers\", \"Address\": 100, \"Quantity\": 2, \"Values\": [4660, 22136], \"Transaction\": 258" },
        { MODBUS_FRAMING_ASCII, false, ":11160064FF00003442",
          "\"Unit\": 17, \"Function\": \"mask-write-register\", \"Address\": 100, \"AndMask\": 65280, \"OrMask\": 52" },
        { MODBUS_FRAMING_RTU, true, "11 18 0007 c4dd", "\"Unit\": 17, \"Function\": \"read-fifo\", \"Address\": 7" },
        { MODBUS_FRAMING_RTU, false, "11 18 0006 0002 0001 0002 4596", "\"Unit\": 17, \"Function\": \"read-fifo\", \"Values\": [1, 2]" },
        { MODBUS_FRAMING_TCP, true, "0001 0000 0005 ff 2b 0e 01 00",
          "\"Unit\": 255, \"Function\": \"read-identification\", \"Code\": 1, \"Object\": 0, \"Transaction\": 1" },
        { MODBUS_FRAMING_TCP, false, "0001 0000 000f 01 2b 0e 01 01 00 00 02 00 02 4162 02 01 37",
          "\"Unit\": 1, \"Function\": \"read-identification\", \"VendorName\": \"Ab\", \"ProductCode\": null, "
          "\"MajorMinorRevision\": \"7\", \"Transaction\": 1" },
        { MODBUS_FRAMING_RTU, false, "11 83 02 c134",
          "\"Unit\": 17, \"Function\": \"read-holding-registers\", \"Exception\": 2, \"ExceptionName\": \"INVALID_DATA_ADDRESS\"" },

        /* more than one may ask for, a function that we do not know, no frame, a wrong one */
        { MODBUS_FRAMING_TCP, true, "0001 0000 0006 01 03 0000 ffff",
          "\"Unit\": 1, \"Function\": \"read-holding-registers\", \"Address\": 0, \"Quantity\": 65535, \"Transaction\": 1" },
        { MODBUS_FRAMING_TCP, true, "0001 0000 0002 ff 07", "\"Unit\": 255, \"Function\": \"function-7\", \"Transaction\": 1" },
        { MODBUS_FRAMING_TCP, true, "0001 0000 0004 01 2b 0d 00", "\"Unit\": 1, \"Function\": \"function-43\", \"Transaction\": 1" },
        { MODBUS_FRAMING_TCP, true, "0001 0000 0002 01 2b", "\"Unit\": 1, \"Function\": \"function-43\", \"Transaction\": 1" },
        { MODBUS_FRAMING_TCP, true, "0001 0000 0004 01 2b 0e 01",
          "\"Unit\": 1, \"Function\": \"read-identification\", \"Error\": \"not the form of this function\", \"Transaction\": 1" },
        { MODBUS_FRAMING_TCP, false, "0001 0000 000a 01 2b 0e 01 01 00 00 01 00 05",
          "\"Unit\": 1, \"Function\": \"read-identification\", \"Error\": \"not the form of this function\", \"Transaction\": 1" },
        { MODBUS_FRAMING_TCP, false, "0001 0000 0003 01 ab 07",
          "\"Unit\": 1, \"Function\": \"read-identification\", \"Exception\": 7, \"ExceptionName\": \"FUNCTION_ERROR\", \"Transaction\": 1" },
        { MODBUS_FRAMING_TCP, false, "0001 0000 0005 01 03 02 00",
          "\"Error\": \"not one whole frame\"" },
        { MODBUS_FRAMING_TCP, false, "0001 0000 0004 01 03 02 00",
          "\"Unit\": 1, \"Function\": \"read-holding-registers\", \"Error\": \"not the form of this function\", \"Transaction\": 1" },
        { MODBUS_FRAMING_TCP, false, "0001 0000 0004 01 03 01 00",
          "\"Unit\": 1, \"Function\": \"read-holding-registers\", \"Error\": \"not the form of this function\", \"Transaction\": 1" },
        { MODBUS_FRAMING_RTU, false, "01 03 0005 0001 940b",
          "\"Unit\": 1, \"Function\": \"read-holding-registers\", \"Error\": \"a request: an echo, or another master\"" },
        { MODBUS_FRAMING_TCP, false, "0001 0001 0003 01 83 02", "\"Error\": \"not one whole frame\"" },
        { MODBUS_FRAMING_RTU, false, "11 83 02 c135", "\"Unit\": 17, \"Function\": \"read-holding-registers\", \"Error\": \"wrong checksum\"" },
        { MODBUS_FRAMING_RTU, false, "11 83 02", "\"Error\": \"not one whole frame\"" },
        { MODBUS_FRAMING_ASCII, false, ":11050005FF00E5", "\"Unit\": 17, \"Function\": \"write-coil\", \"Error\": \"wrong checksum\"" },
        { MODBUS_FRAMING_ASCII, false, "11050005FF00E6", "\"Error\": \"not one whole frame\"" },
};

static GByteArray *bytes_of(const Row *row) {
        GByteArray *a;

        if (row->framing != MODBUS_FRAMING_ASCII)
                return from_hex(row->frame);
        a = g_byte_array_new();
        for (const char *p = row->frame; *p; p++)
                if (*p != ' ')
                        g_byte_array_append(a, (const uint8_t *) p, 1);
        g_byte_array_append(a, (const uint8_t *) "\r\n", 2);
        return a;
}

static char *trace(ModbusFramingKind framing, bool master, const TapRecord *record) {
        JsonWriter w;
        char *text;

        json_writer_init_growing(&w);
        json_open_object(&w);
        modbus_trace_write(framing, master, record, &w);
        json_close_object(&w);
        text = json_writer_steal(&w);
        json_writer_done(&w);
        return text;
}

/* A master sends requests, a slave receives them. */
static void test_decoded(void) {
        static const char *const protocols[] = { "modbus-tcp", "modbus-rtu", "modbus-ascii" };

        for (size_t i = 0; i < 2 * G_N_ELEMENTS(rows); i++) {
                const Row *row = &rows[i / 2];
                bool master = i % 2;
                g_autoptr(GByteArray) bytes = bytes_of(row);
                TapRecord record = {
                        .header.direction = row->request == master ? TAP_SENT : TAP_RECEIVED,
                        .header.size = (uint16_t) bytes->len,
                        .data = bytes->data,
                };
                g_autofree char *text = trace(row->framing, master, &record);
                g_autofree char *expected = g_strdup_printf("{\"Protocol\": \"%s\", %s%s}}", protocols[row->framing],
                                                            row->request ? REQUEST : ANSWER, row->expected);

                g_assert_cmpstr(text, ==, expected);
        }
}

static void test_nothing(void) {
        TapRecord record = { .header = { .kind = TAP_TIMEOUT, .direction = TAP_RECEIVED }, .data = (const uint8_t *) "" };
        g_autofree char *text = trace(MODBUS_FRAMING_RTU, true, &record);

        g_assert_cmpstr(text, ==, "{\"Protocol\": \"modbus-rtu\", \"Request\": false}");
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/modbus-trace/decoded", test_decoded);
        g_test_add_func("/modbus-trace/nothing", test_nothing);
        return g_test_run();
}
