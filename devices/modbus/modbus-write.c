/* SPDX-License-Identifier: Apache-2.0 */
/* Writes of a master under way (spec modbus.md 2.3, 2.4, 5.5). Loop thread. */

#include "devices/modbus/modbus-write.h"

#include "base/bounds.h"
#include "devices/modbus/modbus-data.h"

typedef struct ModbusWrite {
        ModbusJob job;
        ModbusWrites *writes;
        ModbusUnit *unit;
        const ModbusMasterData *data;
        char *request_id;       /* JSON text */
        size_t request_id_size;
        ModbusWritePlan plan;
        size_t step;            /* of the plan, under way */
        uint8_t frame[MODBUS_FRAME_MAX];
} ModbusWrite;

static const LogContext *writes_log(const ModbusWrites *w) {
        return device_log(w->line->device);
}

static ModbusWrite *write_free(ModbusWrite *w) {
        g_free(w->request_id);
        g_free(w);
        return NULL;
}

static void register_result(ModbusLine *line, const ModbusUnit *unit, const char *name, JsonSpan request_id,
                            ModbusResult result) {
        const char *const subtypes[] = { "remote_device", unit->id_text, "write", name, NULL };
        JsonWriter w;
        JsonSpan payload;

        json_writer_init_growing(&w);
        json_open_object(&w);
        json_key(&w, "request_id");
        json_raw(&w, request_id);
        json_key(&w, "result");
        json_string(&w, modbus_result_to_string(result));
        json_close_object(&w);
        if (json_writer_end(&w, &payload) >= 0)
                device_register(line->device, subtypes, NULL, payload);
        json_writer_done(&w);
}

/* ---- on the line ------------------------------------------------------------------------------------- */

static void write_finish(ModbusWrite *w, ModbusResult result) {
        register_result(w->writes->line, w->unit, w->data->name,
                        (JsonSpan) { w->request_id, w->request_id_size }, result);
        (void) write_free(w);
}

static void write_prepare_step(ModbusWrite *w) {
        const ModbusFraming *framing = w->writes->line->framing;
        uint8_t unit = (uint8_t) w->unit->conf->device_id, *pdu = w->frame + framing->pdu_offset;
        size_t pdu_size = modbus_request_build(&w->plan.steps[w->step], pdu);

        w->job.request.frame = w->frame;
        w->job.request.expect = modbus_expect(unit, pdu, pdu_size);
        w->job.request.size = framing->wrap(w->frame, 0, unit, pdu_size);
}

static void write_on_done(ModbusJob *job, int error, const ModbusResponse *response) {
        ModbusWrite *w = (ModbusWrite *) job;

        if (error == -ENOTCONN) {
                log_context(LOG_WARNING, writes_log(w->writes),
                            "Write of %s of remote device %s has no result: the connection is gone.",
                            w->data->name, w->unit->id_text);
                (void) write_free(w);
                return;
        }
        if (error < 0) {
                write_finish(w, MODBUS_TIMEOUT);
                return;
        }
        if (response->result != MODBUS_SUCCESS || ++w->step == w->plan.n) {
                write_finish(w, response->result);
                return;
        }

        write_prepare_step(w);
        (void) modbus_bus_submit_always(w->writes->line->bus, &w->job);
}

/* Takes the write over. */
static void write_submit(ModbusWrite *w) {
        ModbusWrites *writes = w->writes;
        int r;

        write_prepare_step(w);
        r = modbus_bus_submit(writes->line->bus, &w->job);
        if (r >= 0) {
                writes->dropping = false;
                return;
        }

        if (r == -ENOTCONN)
                log_context(LOG_WARNING, writes_log(writes),
                            "Write of %s of remote device %s dropped: not connected.", w->data->name,
                            w->unit->id_text);
        else {
                writes->dropped++;
                if (!writes->dropping)
                        log_context(LOG_WARNING, writes_log(writes),
                                    "Write of %s of remote device %s dropped: %u requests wait already. "
                                    "More are dropped silently until there is room.",
                                    w->data->name, w->unit->id_text, MODBUS_BUS_QUEUE_MAX);
                writes->dropping = true;
        }
        (void) write_free(w);
}

/* ---- the event --------------------------------------------------------------------------------------- */

static const ModbusMasterData *unit_find_data(const ModbusUnit *u, Subtype name) {
        const ModbusMasterData *data = u->conf->data.items;

        for (size_t i = 0; i < u->conf->data.n; i++)
                if (subtype_is(name, data[i].name))
                        return &data[i];
        return NULL;
}

/* -EBADMSG: not {request_id, value} with an integer value. */
static int parse_payload(const Event *event, JsonSpan *ret_request_id, JsonSpan *ret_value) {
        JsonSpan payload, request_id, value;

        if (event_payload_json(event, &payload) < 0 || json_get(payload, "request_id", &request_id) < 0 ||
            json_get(payload, "value", &value) < 0 || !json_is_integer(value) ||
            request_id.size > DEVICE_REQUEST_ID_MAX)
                return -EBADMSG;

        *ret_request_id = request_id;
        *ret_value = value;
        return 0;
}

static void write_begin(ModbusWrites *writes, ModbusUnit *u, const ModbusMasterData *data,
                        JsonSpan request_id, const uint8_t *value) {
        ModbusWrite *w = g_new(ModbusWrite, 1);

        *w = (ModbusWrite) {
                .job.done = write_on_done,
                .writes = writes,
                .unit = u,
                .data = data,
                .request_id = g_strndup(request_id.text, request_id.size),
                .request_id_size = request_id.size,
        };

        if (modbus_write_plan((ModbusDataType) data->type, (unsigned) data->start_address,
                              (unsigned) data->bit_offset, (unsigned) data->bit_count, value, &w->plan) < 0)
                write_finish(w, MODBUS_INVALID_DATA_VALUE);
        else
                write_submit(w);
}

void modbus_writes_begin(ModbusWrites *w, ModbusUnit *u, Subtype name, const Event *event) {
        const ModbusMasterData *data = unit_find_data(u, name);
        g_autofree uint8_t *value = NULL;
        JsonSpan request_id, number;

        if (!data) {
                log_context(LOG_WARNING, writes_log(w), "Write of unknown data of remote device %s ignored.",
                            u->id_text);
                return;
        }
        if (data->type != MODBUS_COIL && data->type != MODBUS_HOLDING_REGISTER) {
                log_context(LOG_WARNING, writes_log(w),
                            "Write of %s of remote device %s ignored: %s cannot be written.", data->name,
                            u->id_text, modbus_data_type_to_string((ModbusDataType) data->type));
                return;
        }

        value = g_malloc(BITS_BYTES((size_t) data->bit_count));
        if (parse_payload(event, &request_id, &number) < 0 ||
            bits_from_decimal(number.text, number.size, (size_t) data->bit_count, value, NULL) < 0) {
                log_context(LOG_WARNING, writes_log(w),
                            "Write of %s of remote device %s ignored: no request_id and integer value.",
                            data->name, u->id_text);
                return;
        }

        write_begin(w, u, data, request_id, value);
}
