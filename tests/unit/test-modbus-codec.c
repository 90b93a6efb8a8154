/* SPDX-License-Identifier: Apache-2.0 */
/* PDUs and framings of Modbus: the vectors of the specification both ways, everything malformed, and the
 * searches of both roles. */

#include "devices/modbus/modbus-codec.h"
#include "tests/unit/hex.h"

#include <glib.h>

#define UNIT 0x11
#define TRANSACTION 0x0102

/* ---- helpers ----------------------------------------------------------------------------------------- */

static void assert_bytes(const uint8_t *data, size_t size, const char *hex) {
        g_autoptr(GByteArray) expected = from_hex(hex);

        g_assert_cmpmem(data, size, expected->data, expected->len);
}

static ModbusExpect expect_of(const char *request_pdu) {
        g_autoptr(GByteArray) pdu = from_hex(request_pdu);
        ModbusExpect e = modbus_expect(UNIT, pdu->data, pdu->len);

        e.transaction = TRANSACTION;
        return e;
}

/* ---- vectors of 3.3 ---------------------------------------------------------------------------------- */

typedef struct Vector {
        const char *request, *tcp, *rtu; /* PDU, whole frames */
        const char *answer, *answer_tcp, *answer_rtu;
        ModbusPdu parsed;
        const char *parsed_data;
        ModbusResult result;
        const char *answer_data;
} Vector;

static const Vector vectors[] = {
        { "01 007b 0003", "0102 0000 0006 11 01 007b 0003", "11 01 007b 0003 0e82",
          "01 01 05", "0102 0000 0004 11 01 01 05", "11 01 01 05 954b",
          { .function = 0x01, .address = 123, .quantity = 3 }, NULL, MODBUS_SUCCESS, "05" },
        { "02 0000 000a", "0102 0000 0006 11 02 0000 000a", "11 02 0000 000a fa9d",
          "02 02 8301", "0102 0000 0005 11 02 02 8301", "11 02 02 8301 d88b",
          { .function = 0x02, .quantity = 10 }, NULL, MODBUS_SUCCESS, "8301" },
        { "03 03e8 0003", "0102 0000 0006 11 03 03e8 0003", "11 03 03e8 0003 872b",
          "03 06 1234 5678 9abc", "0102 0000 0009 11 03 06 1234 5678 9abc", "11 03 06 1234 5678 9abc a483",
          { .function = 0x03, .address = 1000, .quantity = 3 }, NULL, MODBUS_SUCCESS, "1234 5678 9abc" },
        { "04 0007 0001", "0102 0000 0006 11 04 0007 0001", "11 04 0007 0001 829b",
          NULL, NULL, NULL, { .function = 0x04, .address = 7, .quantity = 1 }, NULL, MODBUS_SUCCESS, NULL },
        { "05 0005 ff00", "0102 0000 0006 11 05 0005 ff00", "11 05 0005 ff00 9eab",
          "05 0005 ff00", "0102 0000 0006 11 05 0005 ff00", "11 05 0005 ff00 9eab",
          { .function = 0x05, .address = 5, .quantity = 1, .value = 0xff00 }, NULL, MODBUS_SUCCESS, "" },
        { "06 0065 5678", "0102 0000 0006 11 06 0065 5678", "11 06 0065 5678 a4c7",
          "06 0065 5678", "0102 0000 0006 11 06 0065 5678", "11 06 0065 5678 a4c7",
          { .function = 0x06, .address = 101, .quantity = 1, .value = 0x5678 }, NULL, MODBUS_SUCCESS, "" },
        { "0f 0066 000a 02 0d03", "0102 0000 0009 11 0f 0066 000a 02 0d03", "11 0f 0066 000a 02 0d03 65af",
          "0f 0066 000a", "0102 0000 0006 11 0f 0066 000a", "11 0f 0066 000a 3743",
          { .function = 0x0f, .address = 102, .quantity = 10 }, "0d03", MODBUS_SUCCESS, "" },
        { "10 0064 0002 04 1234 5678", "0102 0000 000b 11 10 0064 0002 04 1234 5678",
          "11 10 0064 0002 04 1234 5678 db80",
          "10 0064 0002", "0102 0000 0006 11 10 0064 0002", "11 10 0064 0002 0287",
          { .function = 0x10, .address = 100, .quantity = 2 }, "1234 5678", MODBUS_SUCCESS, "" },
        { "16 0064 ff00 0034", "0102 0000 0008 11 16 0064 ff00 0034", "11 16 0064 ff00 0034 b701",
          "16 0064 ff00 0034", "0102 0000 0008 11 16 0064 ff00 0034", "11 16 0064 ff00 0034 b701",
          { .function = 0x16, .address = 100, .quantity = 1, .value = 0x0034, .and_mask = 0xff00 }, NULL,
          MODBUS_SUCCESS, "" },
        { "18 0007", "0102 0000 0004 11 18 0007", "11 18 0007 c4dd",
          "18 0006 0002 0001 0002", "0102 0000 000a 11 18 0006 0002 0001 0002",
          "11 18 0006 0002 0001 0002 4596",
          { .function = 0x18, .address = 7 }, NULL, MODBUS_SUCCESS, "0001 0002" },
        { "03 03e8 0003", "0102 0000 0006 11 03 03e8 0003", "11 03 03e8 0003 872b",
          "83 02", "0102 0000 0003 11 83 02", "11 83 02 c134",
          { .function = 0x03, .address = 1000, .quantity = 3 }, NULL, MODBUS_INVALID_DATA_ADDRESS, "" },
};

/* The same in ASCII framing, without CR LF. */
static const struct {
        const char *request, *answer;
} ascii_vectors[] = {
        { ":1101007B000370", ":11010105E8" },
        { ":11020000000AE3", ":110202830167" },
        { ":110303E80003FE", ":110306123456789ABC7C" },
        { ":110400070001E3", NULL },
        { ":11050005FF00E6", ":11050005FF00E6" },
        { ":110600655678B6", ":110600655678B6" },
        { ":110F0066000A020D035E", ":110F0066000A70" },
        { ":111000640002041234567861", ":11100064000279" },
        { ":11160064FF00003442", ":11160064FF00003442" },
        { ":11180007D0", ":11180006000200010002CC" },
        { ":110303E80003FE", ":1183026A" },
};
G_STATIC_ASSERT(G_N_ELEMENTS(ascii_vectors) == G_N_ELEMENTS(vectors));

/* Text as the digits that the other helpers take; `|` stands for CR LF. */
static char *text_to_hex(const char *text) {
        GString *hex = g_string_new(NULL);

        for (; *text; text++)
                if (*text == '|')
                        g_string_append(hex, "0d0a");
                else
                        g_string_append_printf(hex, "%02x", (uint8_t) *text);
        return g_string_free(hex, FALSE);
}

static char *ascii_frame(const char *text) {
        g_autofree char *whole = g_strconcat(text, "|", NULL);

        return text_to_hex(whole);
}

static void check_wrap(ModbusFramingKind kind, const char *pdu_hex, const char *frame_hex) {
        const ModbusFraming *f = modbus_framing_get(kind);
        g_autoptr(GByteArray) pdu = from_hex(pdu_hex);
        uint8_t frame[MODBUS_FRAME_MAX];
        size_t size;

        memcpy(frame + f->pdu_offset, pdu->data, pdu->len);
        size = f->wrap(frame, 0x0708, UNIT, pdu->len);
        f->restamp(frame, TRANSACTION);
        assert_bytes(frame, size, frame_hex);
}

static void check_request(ModbusFramingKind kind, const char *pdu_hex, const char *frame_hex) {
        const ModbusFraming *f = modbus_framing_get(kind);
        g_autoptr(GByteArray) frame = from_hex(frame_hex);
        uint8_t scratch[MODBUS_PDU_MAX];
        ModbusUnits units = {};
        ModbusSearch s;

        modbus_units_add(&units, UNIT);
        for (size_t n = 0; n < frame->len; n++) {
                g_assert_cmpint(f->find_request(&units, false, frame->data, n, scratch, &s), ==, 0);
                g_assert_cmpuint(s.consumed, ==, 0);
        }
        g_assert_cmpint(f->find_request(&units, false, frame->data, frame->len, scratch, &s), ==, 1);
        g_assert_cmpuint(s.consumed, ==, frame->len);
        g_assert_cmpuint(s.frame.unit, ==, UNIT);
        g_assert_cmpuint(s.frame.transaction, ==, kind == MODBUS_FRAMING_TCP ? TRANSACTION : 0);
        g_assert_cmpuint(s.frame.offset, ==, 0);
        g_assert_cmpuint(s.frame.size, ==, frame->len);
        assert_bytes(s.frame.pdu, s.frame.pdu_size, pdu_hex);
}

static void check_response(ModbusFramingKind kind, const Vector *v, const char *frame_hex) {
        const ModbusFraming *f = modbus_framing_get(kind);
        g_autoptr(GByteArray) frame = from_hex(frame_hex);
        ModbusExpect expect = expect_of(v->request);
        uint8_t scratch[MODBUS_PDU_MAX];
        ModbusResponse response;
        ModbusSearch s;

        for (size_t n = 0; n < frame->len; n++) {
                g_assert_cmpint(f->find_response(&expect, 1, frame->data, n, scratch, &s), ==, 0);
                g_assert_cmpuint(s.consumed, ==, 0);
        }
        g_assert_cmpint(f->find_response(&expect, 1, frame->data, frame->len, scratch, &s), ==, 1);
        g_assert_cmpuint(s.consumed, ==, frame->len);
        assert_bytes(s.frame.pdu, s.frame.pdu_size, v->answer);
        g_assert_cmpint(modbus_response_parse(&expect, s.frame.pdu, s.frame.pdu_size, &response), ==, 0);
        g_assert_cmpint(response.result, ==, v->result);
        assert_bytes(response.data, response.size, v->answer_data);
}

static void test_vectors(void) {
        for (size_t i = 0; i < G_N_ELEMENTS(vectors); i++) {
                const Vector *v = &vectors[i];

                check_wrap(MODBUS_FRAMING_TCP, v->request, v->tcp);
                check_wrap(MODBUS_FRAMING_RTU, v->request, v->rtu);
                check_request(MODBUS_FRAMING_TCP, v->request, v->tcp);
                check_request(MODBUS_FRAMING_RTU, v->request, v->rtu);
                if (!v->answer)
                        continue;
                check_wrap(MODBUS_FRAMING_TCP, v->answer, v->answer_tcp);
                check_wrap(MODBUS_FRAMING_RTU, v->answer, v->answer_rtu);
                check_response(MODBUS_FRAMING_TCP, v, v->answer_tcp);
                check_response(MODBUS_FRAMING_RTU, v, v->answer_rtu);
        }
}

static void test_ascii_vectors(void) {
        for (size_t i = 0; i < G_N_ELEMENTS(vectors); i++) {
                const Vector *v = &vectors[i];
                g_autofree char *request = ascii_frame(ascii_vectors[i].request),
                                *lower = g_ascii_strdown(ascii_vectors[i].request, -1),
                                *lower_hex = ascii_frame(lower), *answer = NULL;

                check_wrap(MODBUS_FRAMING_ASCII, v->request, request);
                check_request(MODBUS_FRAMING_ASCII, v->request, request);
                check_request(MODBUS_FRAMING_ASCII, v->request, lower_hex);
                if (!v->answer)
                        continue;
                answer = ascii_frame(ascii_vectors[i].answer);
                check_wrap(MODBUS_FRAMING_ASCII, v->answer, answer);
                check_response(MODBUS_FRAMING_ASCII, v, answer);
        }
}

/* 2b, which only a scan asks for: its answer's length comes from its objects. */
static void test_identification(void) {
        static const char *const answers[] = {
                "2b 0e 01 01 00 00 02 00 04 41636d65 01 01 58", "2b 0e 01 83 ff 01 00", "2b 0e 01 01 00 00 01 02 00", "ab 01",
        };
        static const char *const wrong[] = { "2b 0d 01 01 00 00 00", "2b" };
        ModbusExpect expect = expect_of("2b 0e 01 00");

        for (size_t i = 0; i < G_N_ELEMENTS(answers); i++)
                for (int kind = 0; kind < _MODBUS_FRAMING_MAX; kind++) {
                        const ModbusFraming *f = modbus_framing_get((ModbusFramingKind) kind);
                        g_autoptr(GByteArray) pdu = from_hex(answers[i]);
                        uint8_t frame[MODBUS_FRAME_MAX], scratch[MODBUS_PDU_MAX];
                        ModbusResponse response;
                        ModbusSearch s;
                        size_t size;

                        memcpy(frame + f->pdu_offset, pdu->data, pdu->len);
                        size = f->wrap(frame, TRANSACTION, UNIT, pdu->len);
                        for (size_t n = 0; n < size; n++)
                                g_assert_cmpint(f->find_response(&expect, 1, frame, n, scratch, &s), ==, 0);
                        g_assert_cmpint(f->find_response(&expect, 1, frame, size, scratch, &s), ==, 1);
                        assert_bytes(s.frame.pdu, s.frame.pdu_size, answers[i]);
                        g_assert_cmpint(modbus_response_parse(&expect, s.frame.pdu, s.frame.pdu_size, &response), ==, 0);
                        if (response.result == MODBUS_SUCCESS)
                                g_assert_cmpmem(response.data, response.size, pdu->data + 2, pdu->len - 2);
                }
        for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
                g_autoptr(GByteArray) pdu = from_hex(wrong[i]);
                ModbusResponse response;

                g_assert_cmpint(modbus_response_parse(&expect, pdu->data, pdu->len, &response), ==, -EBADMSG);
        }
}

/* Objects that promise more than a frame holds: not waited for. */
static void test_identification_without_end(void) {
        const ModbusFraming *f = modbus_framing_get(MODBUS_FRAMING_RTU);
        g_autoptr(GByteArray) input = from_hex("11 2b 0e 01 01 00 00 ff");
        ModbusExpect expect = expect_of("2b 0e 01 00");
        uint8_t scratch[MODBUS_PDU_MAX];
        ModbusSearch s;

        g_assert_cmpint(f->find_response(&expect, 1, input->data, input->len, scratch, &s), ==, 0);
        g_assert_cmpuint(s.consumed, ==, 0);
        for (unsigned i = 0; i < 3; i++) {
                uint8_t object[2 + 100] = { (uint8_t) i, 100 };

                g_byte_array_append(input, object, sizeof(object));
        }
        g_assert_cmpint(f->find_response(&expect, 1, input->data, input->len, scratch, &s), ==, 0);
        g_assert_cmpuint(s.consumed, ==, input->len);
}

/* The longest PDU, which fills every buffer to its end. */
static void test_ascii_longest(void) {
        const ModbusFraming *f = modbus_framing_get(MODBUS_FRAMING_ASCII);
        ModbusExpect expect = expect_of("03 0000 0001");
        uint8_t pdu[MODBUS_PDU_MAX] = { 0x03 };
        g_autofree uint8_t *frame = g_malloc(MODBUS_FRAME_MAX), *scratch = g_malloc(MODBUS_PDU_MAX);
        ModbusSearch s;

        for (size_t i = 1; i < sizeof(pdu); i++)
                pdu[i] = (uint8_t) (i * 37);
        memcpy(frame + f->pdu_offset, pdu, sizeof(pdu));
        g_assert_cmpuint(f->wrap(frame, 0, UNIT, sizeof(pdu)), ==, MODBUS_FRAME_MAX);
        g_assert_cmpint(f->find_response(&expect, 1, frame, MODBUS_FRAME_MAX, scratch, &s), ==, 1);
        g_assert_cmpmem(s.frame.pdu, s.frame.pdu_size, pdu, sizeof(pdu));
}

static void test_requests(void) {
        for (size_t i = 0; i < G_N_ELEMENTS(vectors); i++) {
                const Vector *v = &vectors[i];
                g_autoptr(GByteArray) pdu = from_hex(v->request), data = from_hex(v->parsed_data ?: "");
                uint8_t built[MODBUS_PDU_MAX];
                ModbusPdu parsed, build = v->parsed;

                g_assert_cmpint(modbus_request_parse(pdu->data, pdu->len, &parsed), ==, MODBUS_SUCCESS);
                g_assert_cmpuint(parsed.function, ==, v->parsed.function);
                g_assert_cmpuint(parsed.address, ==, v->parsed.address);
                g_assert_cmpuint(parsed.quantity, ==, v->parsed.quantity);
                g_assert_cmpuint(parsed.value, ==, v->parsed.value);
                g_assert_cmpuint(parsed.and_mask, ==, v->parsed.and_mask);
                g_assert_cmpmem(parsed.data, parsed.data_size, data->data, data->len);

                build.data = data->data;
                build.data_size = data->len;
                assert_bytes(built, modbus_request_build(&build, built), v->request);
        }
}

static void test_answers(void) {
        uint8_t pdu[MODBUS_PDU_MAX];
        ModbusPdu request;

        assert_bytes(pdu, modbus_response_build_read(0x01, (const uint8_t[]) { 0x05 }, 1, pdu), "01 01 05");
        pdu[MODBUS_READ_DATA] = 0xab;
        assert_bytes(pdu, modbus_response_build_read(0x03, pdu + MODBUS_READ_DATA, 1, pdu), "03 01 ab");
        assert_bytes(pdu, modbus_response_build_exception(0x03, MODBUS_INVALID_DATA_ADDRESS, pdu), "83 02");

        for (size_t i = 0; i < G_N_ELEMENTS(vectors); i++) {
                const Vector *v = &vectors[i];
                g_autoptr(GByteArray) bytes_of = from_hex(v->request);

                if (modbus_request_parse(bytes_of->data, bytes_of->len, &request) != MODBUS_SUCCESS ||
                    request.function < 0x05 || request.function == 0x18)
                        continue;
                assert_bytes(pdu, modbus_response_build_write(&request, pdu), v->answer);
        }
}

/* ---- malformed --------------------------------------------------------------------------------------- */

static void test_bad_requests(void) {
        static const struct {
                const char *pdu;
                ModbusResult result;
        } rows[] = {
                { "01 0000 0000", MODBUS_INVALID_DATA_VALUE },          /* quantity 0 */
                { "01 0000 07d0", MODBUS_SUCCESS },                     /* 2000 */
                { "01 0000 07d1", MODBUS_INVALID_DATA_VALUE },
                { "02 0000 07d1", MODBUS_INVALID_DATA_VALUE },
                { "03 0000 007d", MODBUS_SUCCESS },                     /* 125 */
                { "03 0000 007e", MODBUS_INVALID_DATA_VALUE },
                { "04 0000 0000", MODBUS_INVALID_DATA_VALUE },
                { "04 0000 007e", MODBUS_INVALID_DATA_VALUE },
                { "03 0000", MODBUS_INVALID_DATA_VALUE },               /* short */
                { "03", MODBUS_INVALID_DATA_VALUE },
                { "03 0000 0001 00", MODBUS_INVALID_DATA_VALUE },       /* long */
                { "05 0000 0000", MODBUS_SUCCESS },
                { "05 0000 ff00", MODBUS_SUCCESS },
                { "05 0000 0001", MODBUS_INVALID_DATA_VALUE },          /* D7 */
                { "05 0000 ffff", MODBUS_INVALID_DATA_VALUE },
                { "05 0000", MODBUS_INVALID_DATA_VALUE },
                { "06 0000", MODBUS_INVALID_DATA_VALUE },
                { "0f 0000 0000 00", MODBUS_INVALID_DATA_VALUE },
                { "0f 0000 0001", MODBUS_INVALID_DATA_VALUE },
                { "0f 0000 0008 01 ff", MODBUS_SUCCESS },
                { "0f 0000 0009 01 ff", MODBUS_INVALID_DATA_VALUE },    /* D8 */
                { "0f 0000 0008 02 ffff", MODBUS_INVALID_DATA_VALUE },
                { "0f 0000 0008 01", MODBUS_INVALID_DATA_VALUE },
                { "0f 0000 0008 01 ffff", MODBUS_INVALID_DATA_VALUE },
                { "10 0000 0000 00", MODBUS_INVALID_DATA_VALUE },
                { "10 0000 0001 02 1234", MODBUS_SUCCESS },
                { "10 0000 0002 02 1234", MODBUS_INVALID_DATA_VALUE },
                { "10 0000 0001 02 12", MODBUS_INVALID_DATA_VALUE },
                { "16 0000 0000", MODBUS_INVALID_DATA_VALUE },
                { "18 00", MODBUS_INVALID_DATA_VALUE },
                { "07", MODBUS_INVALID_FUNCTION_CODE },
                { "2b 0e 01 00", MODBUS_INVALID_FUNCTION_CODE },
                { "83 02", MODBUS_INVALID_FUNCTION_CODE },
        };

        for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
                g_autoptr(GByteArray) pdu = from_hex(rows[i].pdu);
                g_autofree uint8_t *exact = g_memdup2(pdu->data, pdu->len);
                ModbusPdu parsed;

                g_test_message("%s", rows[i].pdu);
                g_assert_cmpint(modbus_request_parse(exact, pdu->len, &parsed), ==, rows[i].result);
                g_assert_cmpuint(parsed.function, ==, exact[0]);
        }
}

static void test_write_limits(void) {
        uint8_t pdu[6 + 256] = { 0x0f, 0, 0, 1968 >> 8, 1968 & 0xff, 246 };
        ModbusPdu parsed;

        g_assert_cmpint(modbus_request_parse(pdu, 6 + 246, &parsed), ==, MODBUS_SUCCESS);
        pdu[4]++, pdu[5]++;
        g_assert_cmpint(modbus_request_parse(pdu, 6 + 247, &parsed), ==, MODBUS_INVALID_DATA_VALUE);

        pdu[0] = 0x10, pdu[3] = 0, pdu[4] = 123, pdu[5] = 246;
        g_assert_cmpint(modbus_request_parse(pdu, 6 + 246, &parsed), ==, MODBUS_SUCCESS);
        pdu[4] = 124, pdu[5] = 248;
        g_assert_cmpint(modbus_request_parse(pdu, 6 + 248, &parsed), ==, MODBUS_INVALID_DATA_VALUE);
}

static void test_bad_responses(void) {
        static const struct {
                const char *request, *answer;
                int r;
        } rows[] = {
                { "03 0000 0002", "03 04 0001 0002", 0 },
                { "03 0000 0002", "03 06 0001 0002 0003", 0 },          /* more is valid */
                { "03 0000 0002", "03 02 0001", -EBADMSG },             /* D12 */
                { "03 0000 0002", "03 05 0001 0002 00", -EBADMSG },     /* odd */
                { "03 0000 0002", "03 04 0001 00", -EBADMSG },
                { "03 0000 0002", "03 04 0001 0002 00", -EBADMSG },
                { "03 0000 0002", "03", -EBADMSG },
                { "03 0000 0002", "04 04 0001 0002", -EBADMSG },        /* function */
                { "03 0000 0002", "84 02", -EBADMSG },
                { "03 0000 0002", "83", -EBADMSG },
                { "03 0000 0002", "83 02 00", -EBADMSG },
                { "01 0000 0009", "01 02 ff01", 0 },
                { "01 0000 0009", "01 01 ff", -EBADMSG },
                { "01 0000 0000", "01 01 ff", -EBADMSG },               /* 65536 coils, which no answer has */
                { "03 0000 0000", "03 00", -EBADMSG },
                { "05 0005 ff00", "05 0005 0000", -EBADMSG },           /* echoes */
                { "05 0005 ff00", "05 0006 ff00", -EBADMSG },
                { "06 0005 1234", "06 0005 1235", -EBADMSG },
                { "06 0005 1234", "06 0005 12", -EBADMSG },
                { "06 0005 1234", "06 0005 1234 00", -EBADMSG },
                { "0f 0066 000a 02 0d03", "0f 0066 000b", -EBADMSG },
                { "10 0064 0002 04 1234 5678", "10 0065 0002", -EBADMSG },
                { "16 0064 ff00 0034", "16 0064 ff00 0035", -EBADMSG },
                { "16 0064 ff00 0034", "16 0064 ff01 0034", -EBADMSG },
                { "16 0064 ff00 0034", "16 0064 ff00", -EBADMSG },
                { "18 0007", "18 0002 0000", 0 },
                { "18 0007", "18 0004 0000 0001", -EBADMSG },
                { "18 0007", "18 0004 0001", -EBADMSG },
                { "18 0007", "18 0006 0001 0001", -EBADMSG },
                { "18 0007", "18 04 0001", -EBADMSG },                  /* 8-bit byte count, D1 */
        };

        for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
                ModbusExpect expect = expect_of(rows[i].request);
                g_autoptr(GByteArray) pdu = from_hex(rows[i].answer);
                g_autofree uint8_t *exact = g_memdup2(pdu->data, pdu->len);
                ModbusResponse response;

                g_test_message("%s answered %s", rows[i].request, rows[i].answer);
                g_assert_cmpint(modbus_response_parse(&expect, exact, pdu->len, &response), ==, rows[i].r);
        }
        {
                ModbusExpect expect = expect_of("18 0007");
                uint8_t pdu[5 + 64] = { 0x18, 0, 66, 0, 32 };
                ModbusResponse response;

                g_assert_cmpint(modbus_response_parse(&expect, pdu, sizeof(pdu), &response), ==, -EBADMSG);
                pdu[2] = 64, pdu[4] = 31;
                g_assert_cmpint(modbus_response_parse(&expect, pdu, 5 + 62, &response), ==, 0);
                g_assert_cmpuint(response.size, ==, 62);
        }
}

static void test_names(void) {
        static const uint8_t codes[] = { 0x01, 0x02, 0x03, 0x04, 0x0a, 0x0b };

        for (size_t i = 0; i < G_N_ELEMENTS(codes); i++) {
                g_assert_cmpint(modbus_result_from_code(codes[i]), ==, i + 1);
                g_assert_cmpuint(modbus_result_to_code((ModbusResult) (i + 1)), ==, codes[i]);
        }
        g_assert_cmpint(modbus_result_from_code(0x06), ==, MODBUS_FUNCTION_ERROR);
        g_assert_cmpint(modbus_result_from_code(0x00), ==, MODBUS_FUNCTION_ERROR);
        g_assert_cmpstr(modbus_result_to_string(modbus_result_from_code(0x0b)), ==,
                        "GATEWAY_TARGET_DEVICE_FAILED_TO_RESPOND");
        g_assert_cmpint(modbus_data_type_from_string("QUEUE"), ==, MODBUS_QUEUE);
        g_assert_cmpuint(modbus_framing_pause(MODBUS_FRAMING_RTU, 0), ==, USEC_PER_SEC);
        g_assert_cmpuint(modbus_framing_pause(MODBUS_FRAMING_RTU, 100), ==, 20 * USEC_PER_MSEC);
        g_assert_cmpuint(modbus_framing_pause(MODBUS_FRAMING_RTU, 36667), ==, 128334);
        g_assert_cmpuint(modbus_framing_pause(MODBUS_FRAMING_TCP, 0), ==, USEC_INFINITY);
        g_assert_cmpuint(modbus_framing_pause(MODBUS_FRAMING_ASCII, 1000), ==, USEC_INFINITY);
}

/* ---- searches of the master -------------------------------------------------------------------------- */

typedef struct SearchRow {
        const char *input;
        int r;
        size_t consumed;
        unsigned dropped;
} SearchRow;

static void check_search(ModbusFramingKind kind, const char *request, const SearchRow *row) {
        const ModbusFraming *f = modbus_framing_get(kind);
        g_autoptr(GByteArray) input = from_hex(row->input);
        g_autofree uint8_t *exact = g_memdup2(input->data, input->len);
        ModbusExpect expect = expect_of(request);
        uint8_t scratch[MODBUS_PDU_MAX];
        ModbusSearch s = {};

        g_test_message("%s", row->input);
        g_assert_cmpint(f->find_response(&expect, 1, exact, input->len, scratch, &s), ==, row->r);
        if (row->r < 0)
                return;
        g_assert_cmpuint(s.consumed, ==, row->consumed);
        g_assert_cmpuint(s.dropped, ==, row->dropped);
}

static void test_tcp_search(void) {
        static const SearchRow rows[] = {
                { "0102 0000 0005 11 03 02 1234", 1, 11, 0 },
                { "0103 0000 0005 11 03 02 1234", 0, 11, 1 }, /* transaction */
                { "0102 0000 0005 12 03 02 1234", 0, 11, 1 }, /* unit */
                { "0102 0000 0005 11 04 02 1234", 0, 11, 1 }, /* function */
                /* a late one first */
                { "0101 0000 0005 11 03 02 0001 0102 0000 0005 11 03 02 1234", 1, 22, 1 },
                { "0102 0000 0003 11 83 02", 1, 9, 0 },
                { "0102 0001 0005 11 03 02 1234", -EBADMSG, 0, 0 }, /* protocol id */
                { "0102 0001 0005", -EBADMSG, 0, 0 },               /* … as soon as it shows */
                { "0102 0000 0001 11", -EBADMSG, 0, 0 },
                { "0102 0000 0000", -EBADMSG, 0, 0 },
                { "0102 0000 00ff", -EBADMSG, 0, 0 },
                { "0102 0000 0002 11 03", 1, 8, 0 }, /* shortest */
                { "0102 0000 00fe 11 03", 0, 0, 0 }, /* longest, incomplete */
        };

        for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
                check_search(MODBUS_FRAMING_TCP, "03 0000 0001", &rows[i]);
}

static void test_rtu_search(void) {
        static const SearchRow rows[] = {
                { "11 03 02 1234 74f0", 1, 7, 0 },
                { "11 03 0064 0003 872b", 0, 8, 8 },  /* our own request, echoed */
                { "ff 11 03 02 1234 f530", 0, 8, 8 }, /* wrong CRC */
                { "12 03 02 1234 0000", 0, 7, 7 },    /* another unit */
                { "11", 0, 0, 0 },
                { "ff 11", 0, 1, 1 },
                { "11 11 03", 0, 1, 1 },
                { "11 83", 0, 0, 0 },
                { "11 83 02 c134", 1, 5, 0 },
                { "00 11 83 02 c134 ff", 1, 6, 1 },
                { "12 83 02 3134 11 83 02 c134", 1, 10, 5 }, /* another unit's error first */
        };

        for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
                check_search(MODBUS_FRAMING_RTU, "03 0000 0001", &rows[i]);

        check_search(MODBUS_FRAMING_RTU, "03 03e8 0003",
                     &(SearchRow) { "11 11 03 06 1234 5678 9abc a483", 1, 12, 1 });
        check_search(MODBUS_FRAMING_RTU, "18 0007",
                     &(SearchRow) { "11 18 ffff 11 18 0006 0002 0001 0002 4596", 1, 16, 4 });
}

/* Noise bytes of every value, one and two of them, before an answer never hide it. */
static void test_rtu_noise(void) {
        const ModbusFraming *f = modbus_framing_get(MODBUS_FRAMING_RTU);
        g_autoptr(GByteArray) frame = from_hex("11 03 06 1234 5678 9abc a483");
        ModbusExpect expect = expect_of("03 03e8 0003");
        uint8_t scratch[MODBUS_PDU_MAX];
        ModbusSearch s;

        for (unsigned noise = 0; noise < 0x100; noise++) {
                g_autoptr(GByteArray) input = g_byte_array_new();
                uint8_t b = (uint8_t) noise;

                g_byte_array_append(input, &b, 1);
                g_byte_array_append(input, frame->data, frame->len);
                g_assert_cmpint(f->find_response(&expect, 1, input->data, input->len, scratch, &s), ==, 1);
                g_assert_cmpuint(s.frame.offset, ==, 1);
                g_assert_cmpuint(s.dropped, ==, 1);
        }
}

static void test_unfinished(void) {
        static const struct {
                uint16_t newest;
                const char *input;
                bool unfinished;
        } rows[] = {
                { 0x0102, "", false },
                { 0x0102, "01", true },
                { 0x0102, "00", true },
                { 0x0102, "02", false },
                { 0x0102, "ff", false },
                { 0x0102, "0102", true },
                { 0x0102, "0103", false },
                { 0x0102, "0002", true },
                { 0x0102, "0001", false }, /* too long ago */
                { 0x0002, "ff", true },
                { 0x0002, "ff02", true },
                { 0x0002, "ff01", false },
                { 0x0102, "0102 0000", true },
                { 0x0102, "0102 01", false },
                { 0x0102, "0102 0001", false },
                { 0x0102, "0102 0000 00", true },
                { 0x0102, "0102 0000 01", false },
                { 0x0102, "0102 0000 0105", false },
                { 0x0102, "0102 0000 0001", false },
                { 0x0102, "0102 0000 0002", true },
                { 0x0102, "0102 0000 00fe", true },
                { 0x0102, "0102 0000 00ff", false },
                { 0x0102, "0102 0000 0005 11 03", true },
                { 0x0102, "0102 0000 0005 11 03 02 12", true },
                { 0x0102, "0102 0000 0005 11 03 02 1234", false }, /* whole */
                { 0x0102, "0102 0000 0005 11 03 02 1234 00", false },
        };

        for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
                g_autoptr(GByteArray) input = from_hex(rows[i].input);
                g_autofree uint8_t *exact = g_memdup2(input->data, input->len);

                g_test_message("%s", rows[i].input);
                g_assert_cmpint(modbus_framing_get(MODBUS_FRAMING_TCP)->unfinished(rows[i].newest, exact, input->len),
                                ==, rows[i].unfinished);
        }
}

/* ---- searches of the slave --------------------------------------------------------------------------- */

static void check_request_search(ModbusFramingKind kind, bool paused, const SearchRow *row) {
        const ModbusFraming *f = modbus_framing_get(kind);
        g_autoptr(GByteArray) input = from_hex(row->input);
        g_autofree uint8_t *exact = g_memdup2(input->data, input->len);
        uint8_t scratch[MODBUS_PDU_MAX];
        ModbusUnits units = {};
        ModbusSearch s = {};

        modbus_units_add(&units, UNIT);
        g_test_message("%s", row->input);
        g_assert_cmpint(f->find_request(&units, paused, exact, input->len, scratch, &s), ==, row->r);
        if (row->r < 0)
                return;
        g_assert_cmpuint(s.consumed, ==, row->consumed);
        g_assert_cmpuint(s.dropped, ==, row->dropped);
}

static void test_tcp_requests(void) {
        static const SearchRow rows[] = {
                { "0001 0000 0006 01 03 0000 0001", 1, 12, 0 },
                { "0001 0005 0006 01 03 0000 0001", 0, 12, 1 },                         /* skipped */
                { "0001 0005 0002 01 03 0002 0000 0002 01 07", 1, 16, 1 },
                { "0001 0000 0001 01", -EBADMSG, 0, 0 },
                { "0001 0005 00ff 01", -EBADMSG, 0, 0 },
                { "0001 0000 0006 01 03 0000 00", 0, 0, 0 },
        };

        for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
                check_request_search(MODBUS_FRAMING_TCP, false, &rows[i]);
}

static void test_rtu_requests(void) {
        static const SearchRow rows[] = {
                { "11 03 03e8 0003 872b", 1, 8, 0 },
                { "11 03 03e8 0003 872c", 0, 1, 1 },            /* wrong CRC; 03 03 may begin a request */
                { "ff 11 03 03e8 0003 872b", 1, 9, 1 },
                { "11 11 03 03e8 0003 872b", 1, 9, 1 },
                { "11 0f 11 03 03e8 0003 872b", 1, 10, 2 },     /* incomplete in front: found by its end */
                { "12 0f 0000 0000 ff 11 03 03e8 0003 872b", 1, 15, 7 },
                { "12 0f 0000 0000 ff 12 03 03e8 0003 8718", 0, 0, 0 }, /* not our unit: waits */
                { "11 03 03e8", 0, 0, 0 },
                { "11 0f 0066 000a", 0, 0, 0 },
                { "11 07 4c22", 0, 3, 3 },                      /* unknown function */
        };

        for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
                check_request_search(MODBUS_FRAMING_RTU, false, &rows[i]);

        check_request_search(MODBUS_FRAMING_RTU, true, &(SearchRow) { "11 03 03e8", 0, 4, 4 });
        check_request_search(MODBUS_FRAMING_RTU, true,
                             &(SearchRow) { "12 0f 0000 0000 ff 12 03 03e8 0003 8718", 1, 15, 7 });
}

#define ANSWER ":1103021234A4|" /* to 03 0000 0001 */
#define DIGITS_64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define DIGITS_512 DIGITS_64 DIGITS_64 DIGITS_64 DIGITS_64 DIGITS_64 DIGITS_64 DIGITS_64 DIGITS_64

static void test_ascii_search(void) {
        static const SearchRow rows[] = {
                { ANSWER, 1, 15, 0 },
                { "noise" ANSWER, 1, 20, 1 },
                { "noise|", 0, 7, 1 },
                { "\x80\xff" ANSWER "x", 1, 17, 1 },
                { ":1103" ANSWER, 1, 20, 1 },         /* a colon starts over, D20 */
                { ":" ANSWER, 1, 16, 0 },
                { ":1103021234A5|" ANSWER, 1, 30, 1 }, /* LRC */
                { ":1103021234A|" ANSWER, 1, 29, 1 },  /* half a byte */
                { ":1103G21234|" ANSWER, 1, 28, 1 },   /* no digit */
                { ":11EF|" ANSWER, 1, 22, 1 },         /* no function */
                { ":|" ANSWER, 1, 18, 1 },
                { ":1203021234A3|" ANSWER, 1, 30, 1 }, /* another unit */
                { ":1104021234A3|" ANSWER, 1, 30, 1 }, /* another function */
                { ":1103021234A4\r:11", 0, 14, 1 },    /* CR without LF */
                { ":1103021234A4\r", 0, 0, 0 },
                { ":1103021234A4", 0, 0, 0 },
                { ":1", 0, 0, 0 },
                { "x:", 0, 1, 1 },
                { "", 0, 0, 0 },
                { ":1183026A|", 1, 11, 0 },
                { ":" DIGITS_512 "012345", 0, 0, 0 },  /* the longest is still waited for */
                { ":" DIGITS_512 "0123456", 0, 520, 1 },
        };

        for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
                g_autofree char *hex = text_to_hex(rows[i].input);

                check_search(MODBUS_FRAMING_ASCII, "03 0000 0001",
                             &(SearchRow) { hex, rows[i].r, rows[i].consumed, rows[i].dropped });
        }
}

static void test_ascii_requests(void) {
        static const SearchRow rows[] = {
                { ":110303E80003FE|", 1, 17, 0 },
                { ":120303E80003FD|", 1, 17, 0 }, /* for whatever unit */
                { ":1107E8|", 1, 9, 0 },          /* whatever function */
                { ":110303E80003FF|:110303E80003FE|", 1, 34, 1 },
                { ":110303E8", 0, 0, 0 },
        };

        for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
                g_autofree char *hex = text_to_hex(rows[i].input);
                SearchRow row = { hex, rows[i].r, rows[i].consumed, rows[i].dropped };

                check_request_search(MODBUS_FRAMING_ASCII, false, &row);
                check_request_search(MODBUS_FRAMING_ASCII, true, &row);
        }
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);

        g_test_add_func("/modbus-codec/vectors", test_vectors);
        g_test_add_func("/modbus-codec/ascii-vectors", test_ascii_vectors);
        g_test_add_func("/modbus-codec/identification", test_identification);
        g_test_add_func("/modbus-codec/identification-without-end", test_identification_without_end);
        g_test_add_func("/modbus-codec/ascii-longest", test_ascii_longest);
        g_test_add_func("/modbus-codec/requests", test_requests);
        g_test_add_func("/modbus-codec/answers", test_answers);
        g_test_add_func("/modbus-codec/bad-requests", test_bad_requests);
        g_test_add_func("/modbus-codec/write-limits", test_write_limits);
        g_test_add_func("/modbus-codec/bad-responses", test_bad_responses);
        g_test_add_func("/modbus-codec/names", test_names);
        g_test_add_func("/modbus-codec/tcp-search", test_tcp_search);
        g_test_add_func("/modbus-codec/rtu-search", test_rtu_search);
        g_test_add_func("/modbus-codec/rtu-noise", test_rtu_noise);
        g_test_add_func("/modbus-codec/unfinished", test_unfinished);
        g_test_add_func("/modbus-codec/ascii-search", test_ascii_search);
        g_test_add_func("/modbus-codec/tcp-requests", test_tcp_requests);
        g_test_add_func("/modbus-codec/rtu-requests", test_rtu_requests);
        g_test_add_func("/modbus-codec/ascii-requests", test_ascii_requests);
        return g_test_run();
}
