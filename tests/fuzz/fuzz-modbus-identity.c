/* SPDX-License-Identifier: Apache-2.0 */
/* What a unit may answer when a scan asks who it is, answer after answer as long as it promises more.
 *
 * Input: framing, size of pieces, then the stream. Whole or in pieces, the same is understood. */

#include <assert.h>

#include "devices/modbus/modbus-identity.h"

#define UNIT 0x11
#define TRANSACTION 0x0102
#define STREAM_MAX 4096U

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static ModbusExpect ask(const ModbusIdentity *id) {
        const ModbusPdu request = modbus_identity_request(id);
        uint8_t pdu[MODBUS_PDU_MAX];
        ModbusExpect expect = modbus_expect(UNIT, pdu, modbus_request_build(&request, pdu));

        expect.transaction = TRANSACTION;
        return expect;
}

/* Takes an answer. true: the scan would ask again. */
static bool answer(const ModbusExpect *expect, const ModbusFrame *frame, ModbusIdentity *id) {
        ModbusResponse response;

        if (modbus_response_parse(expect, frame->pdu, frame->pdu_size, &response) < 0)
                return true; /* waiting goes on */
        return response.result == MODBUS_SUCCESS && modbus_identity_add(id, response.data, response.size) > 0;
}

static void run(const ModbusFraming *framing, const uint8_t *data, size_t size, size_t piece, ModbusIdentity *id) {
        ModbusExpect expect = ask(id);
        uint8_t scratch[MODBUS_PDU_MAX];
        size_t begin = 0, end = 0;
        unsigned asked = 1;

        while (end < size) {
                ModbusSearch s = {};
                int r;

                end = MIN(end + piece, size);
                while ((r = framing->find_response(&expect, 1, data + begin, end - begin, scratch, &s)) > 0) {
                        uint8_t next = id->next;

                        assert(s.consumed <= end - begin && s.frame.offset + s.frame.size == s.consumed);
                        begin += s.consumed;
                        if (!answer(&expect, &s.frame, id))
                                return;
                        asked += id->next != next;
                        assert(asked <= _MODBUS_IDENTITY_MAX);
                        expect = ask(id);
                }
                if (r < 0)
                        return;
                begin += s.consumed;
        }
}

static char *text_of(const ModbusIdentity *id) {
        JsonWriter w;
        char *text;

        json_writer_init_growing(&w);
        json_open_object(&w);
        modbus_identity_write_json(id, &w);
        json_close_object(&w);
        text = json_writer_steal(&w);
        json_writer_done(&w);
        assert(json_check(text, strlen(text), NULL) >= 0);
        return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        g_autofree char *whole_text = NULL, *pieces_text = NULL;
        g_autofree uint8_t *exact = NULL;
        ModbusIdentity whole = {}, pieces = {};
        const ModbusFraming *framing;

        if (size < 3 || size > STREAM_MAX)
                return 0;

        framing = modbus_framing_get(data[0] % _MODBUS_FRAMING_MAX);
        exact = g_memdup2(data + 2, size - 2);
        run(framing, exact, size - 2, size, &whole);
        run(framing, exact, size - 2, 1U + data[1], &pieces);
        whole_text = text_of(&whole);
        pieces_text = text_of(&pieces);
        assert(g_str_equal(whole_text, pieces_text));
        return 0;
}
