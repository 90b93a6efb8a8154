/* SPDX-License-Identifier: Apache-2.0 */
/* What a far end may send to a Modbus master: search for the answer in every framing, its check, and the
 * values of a polled group.
 *
 * Input: framing, data type, quantity, size of pieces, then the stream. The search must find the same
 * whether the stream comes whole or in pieces. */

#include <assert.h>

#include "devices/modbus/modbus-poll.h"
#include "devices/modbus/modbus-value.h"

#define UNIT 0x11
#define STREAM_MAX 4096U

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The bits as a value of every type that they can be. */
static void make_values(const ModbusItem *item, const uint8_t *bits) {
        for (int i = 0; i < 4 * (MODBUS_VALUE_BCD + 1); i++) {
                ModbusValueConf v = { .type = i / 4, .word_order = i % 2, .byte_order = i / 2 % 2, .scale = 0.1, .offset = i };
                JsonWriter w;
                JsonSpan text;

                if (modbus_value_needs(&v, MODBUS_HOLDING_REGISTER, 0, item->n_bits))
                        continue;
                json_writer_init_growing(&w);
                modbus_value_write_json(&w, &v, bits, item->offset, item->n_bits);
                if (json_writer_end(&w, &text) < 0 || json_check(text.text, text.size, NULL) < 0)
                        abort();
                json_writer_done(&w);
        }
}

static void on_changed(const ModbusItem *item, const uint8_t *bits, bool fresh, void *userdata) {
        size_t last = (item->offset + item->n_bits - 1) / 8;

        make_values(item, bits);
        *(unsigned *) userdata += bits[item->offset / 8] + bits[last] + fresh;
}

/* Takes every answer out of the stream; returns a sum over all that was found, dropped and changed. */
static unsigned run(const ModbusFraming *framing, const ModbusExpect *expect, ModbusGroup *group,
                    const uint8_t *data, size_t size, size_t piece) {
        uint8_t scratch[MODBUS_PDU_MAX];
        size_t begin = 0, end = 0;
        unsigned sum = 0;

        while (end < size) {
                ModbusSearch s = {};
                int r;

                end = MIN(end + piece, size);
                while ((r = framing->find_response(expect, 1, data + begin, end - begin, scratch, &s)) > 0) {
                        ModbusResponse response;

                        assert(s.consumed <= end - begin && s.frame.offset + s.frame.size == s.consumed);
                        assert(s.frame.pdu_size >= 1 && s.frame.pdu_size <= MODBUS_PDU_MAX);
                        begin += s.consumed;
                        sum = sum * 31 + (unsigned) begin;
                        if (modbus_response_parse(expect, s.frame.pdu, s.frame.pdu_size, &response) < 0)
                                continue;
                        if (response.result == MODBUS_SUCCESS)
                                modbus_group_set_data(group, response.data, response.size, begin, on_changed, &sum);
                        else
                                sum += modbus_group_set_error(group, response.result, begin, false);
                }
                if (r < 0)
                        return sum * 31 + 1;
                assert(s.consumed <= end - begin);
                begin += s.consumed;
                if (framing->unfinished)
                        (void) framing->unfinished(expect->transaction, data + begin, end - begin);
        }
        return sum;
}

static unsigned run_once(const ModbusFraming *framing, const ModbusRemoteConf *conf, const uint8_t *data,
                         size_t size, size_t piece) {
        g_autofree uint8_t *exact = g_memdup2(data, size);
        ModbusExpect expect;
        ModbusPoll poll;
        unsigned sum = 0;

        modbus_poll_init(&poll, conf, framing);
        expect = modbus_expect(UNIT, poll.groups[0].frame + framing->pdu_offset,
                               poll.groups[0].frame_size - framing->pdu_offset);
        expect.transaction = 0x0102;
        sum = run(framing, &expect, &poll.groups[0], exact, size, piece);
        modbus_poll_done(&poll);
        return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const ModbusFraming *framing;
        ModbusMasterData items[2];
        ModbusRemoteConf conf = { .device_id = UNIT, .data = { items, G_N_ELEMENTS(items) } };
        size_t piece;

        if (size < 5 || size > STREAM_MAX)
                return 0;

        framing = modbus_framing_get(data[0] % _MODBUS_FRAMING_MAX);
        items[0] = (ModbusMasterData) {
                .name = "a",
                .type = data[1] % _MODBUS_DATA_TYPE_MAX,
                .start_address = 7,
                .bit_offset = data[1] / 16,
                .bit_count = 1 + 8 * data[2],
        };
        items[1] = items[0];
        items[1].name = "b";
        items[1].bit_count = 1 + data[2];
        piece = 1 + data[3];
        data += 4;
        size -= 4;

        if (run_once(framing, &conf, data, size, size) != run_once(framing, &conf, data, size, piece))
                abort();
        return 0;
}
