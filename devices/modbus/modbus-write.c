/* SPDX-License-Identifier: Apache-2.0 */
/* Writes of a master under way (spec modbus.md 2.3, 2.4, 5.5). Loop thread. */

#include "devices/modbus/modbus-write.h"

#include "base/bounds.h"
#include "devices/modbus/modbus-data.h"
#include "devices/modbus/modbus-value.h"

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

static void register_result(ModbusLine *line, const char *unit, const char *name, JsonSpan request_id,
                            ModbusResult result) {
        const char *const subtypes[] = { "remote_device", unit, "write", name, NULL };
        JsonWriter w;
        JsonSpan payload;

        json_writer_init_growing(&w);
        json_open_object(&w);
        json_key(&w, "request_id");
        json_raw(&w, request_id);
        json_member_string(&w, "result", modbus_result_to_string(result));
        json_close_object(&w);
        if (json_writer_end(&w, &payload) >= 0)
                device_register(line->device, subtypes, NULL, payload);
        json_writer_done(&w);
}

/* ---- on the line ------------------------------------------------------------------------------------- */

static void write_finish(ModbusWrite *w, ModbusResult result) {
        register_result(w->writes->line, w->unit->id_text, w->data->name,
                        (JsonSpan) { w->request_id, w->request_id_size }, result);
        (void) write_free(w);
}

/* It was not sent, or nobody knows whether it was carried out. */
static void write_give_up(ModbusWrite *w, ModbusResult result) {
        if (w->writes->line->answer_always)
                write_finish(w, result);
        else
                (void) write_free(w);
}

static void write_prepare_step(ModbusWrite *w) {
        const ModbusFraming *framing = w->writes->line->framing;
        uint8_t unit = (uint8_t) w->unit->conf->device_id, *pdu = w->frame + framing->pdu_offset;
        size_t pdu_size = modbus_request_build(&w->plan.steps[w->step], pdu);

        w->job.urgency = w->unit->mute ? MODBUS_JOB_TRIAL : MODBUS_JOB_WRITE;
        w->job.request.frame = w->frame;
        w->job.request.expect = modbus_expect(unit, pdu, pdu_size);
        w->job.request.size = framing->wrap(w->frame, 0, unit, pdu_size);
}

static void write_on_done(ModbusJob *job, int error, const ModbusResponse *response) {
        ModbusWrite *w = (ModbusWrite *) job;

        w->unit->mute = error == -ETIMEDOUT;
        if (error == -ENOTCONN) {
                log_context(LOG_WARNING, writes_log(w->writes),
                            "Write of %s of remote device %s has no result: the connection is gone.",
                            w->data->name, w->unit->id_text);
                write_give_up(w, MODBUS_NOT_CONNECTED);
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
                                    "Write of %s of remote device %s dropped: %s. "
                                    "More are dropped silently until there is room.",
                                    w->data->name, w->unit->id_text,
                                    r == -EBUSY ? "it does not answer, and others need the line"
                                                : "too many requests wait already");
                writes->dropping = true;
        }
        write_give_up(w, r == -ENOTCONN ? MODBUS_NOT_CONNECTED : MODBUS_BUSY);
}

/* ---- the event --------------------------------------------------------------------------------------- */

static const ModbusMasterData *unit_find_data(const ModbusUnit *u, Subtype name) {
        const ModbusMasterData *data = u->conf->data.items;

        for (size_t i = 0; i < u->conf->data.n; i++)
                if (subtype_is(name, data[i].name))
                        return &data[i];
        return NULL;
}

/* A write event as far as it is understood. */
typedef struct WriteEvent {
        Subtype unit, name;
        JsonSpan request_id;    /* text NULL: none */
        JsonSpan value;         /* … */
} WriteEvent;

static WriteEvent write_event_parse(Subtype unit, Subtype name, const Event *event) {
        WriteEvent e = { .unit = unit, .name = name };
        JsonSpan payload;

        if (event_payload_json(event, &payload) < 0)
                return e;
        if (json_get(payload, "request_id", &e.request_id) < 0 || e.request_id.size > DEVICE_REQUEST_ID_MAX)
                e.request_id = (JsonSpan) {};
        if (json_get(payload, "value", &e.value) < 0)
                e.value = (JsonSpan) {};
        return e;
}

static void writes_refuse(ModbusWrites *w, const WriteEvent *e, ModbusResult result, const char *why) {
        g_autofree char *unit = g_strndup(e->unit.text, e->unit.size), *name = g_strndup(e->name.text, e->name.size);

        log_context(LOG_WARNING, writes_log(w), "Write of %s of remote device %s ignored: %s.", name, unit, why);
        if (w->line->answer_always && e->request_id.text)
                register_result(w->line, unit, name, e->request_id, result);
}

static void write_begin(ModbusWrites *writes, ModbusUnit *u, const ModbusMasterData *data,
                        JsonSpan request_id, const uint8_t *value) {
        ModbusWrite *w = g_new(ModbusWrite, 1);

        *w = (ModbusWrite) {
                .job.done = write_on_done,
                .job.counters = &u->counters,
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

/* -EBADMSG: no integer, or none of the value's kind; -ERANGE: out of its range. Without answer_always a raw
 * integer that is too wide is cut (2.6): where every write has an answer, SUCCESS means that it can be read
 * back. */
static int parse_value(const ModbusWrites *w, const ModbusMasterData *data, JsonSpan value, uint8_t *ret) {
        bool fits;

        if (value.text && data->value.given)
                return modbus_value_parse(&data->value, value, (size_t) data->bit_count, ret);
        if (!value.text || !json_is_integer(value) ||
            bits_from_decimal(value.text, value.size, (size_t) data->bit_count, ret, &fits) < 0)
                return -EBADMSG;
        return fits || !w->line->answer_always ? 0 : -ERANGE;
}

void modbus_writes_begin(ModbusWrites *w, ModbusUnit *u, Subtype id, Subtype name, const Event *event) {
        const WriteEvent e = write_event_parse(id, name, event);
        const ModbusMasterData *data = u ? unit_find_data(u, name) : NULL;
        g_autofree uint8_t *value = NULL;

        if (!u) {
                writes_refuse(w, &e, MODBUS_UNKNOWN_DATA, "there is no such remote device");
                return;
        }
        if (!data) {
                writes_refuse(w, &e, MODBUS_UNKNOWN_DATA, "it has no such data");
                return;
        }
        if (data->type != MODBUS_COIL && data->type != MODBUS_HOLDING_REGISTER) {
                writes_refuse(w, &e, MODBUS_NOT_WRITABLE, "data of this type cannot be written");
                return;
        }
        if (!e.request_id.text) {
                writes_refuse(w, &e, MODBUS_INVALID_VALUE, "it has no request_id");
                return;
        }

        value = g_malloc(BITS_BYTES((size_t) data->bit_count));
        if (parse_value(w, data, e.value, value) < 0) {
                writes_refuse(w, &e, MODBUS_INVALID_VALUE, "its value is missing or does not fit");
                return;
        }
        write_begin(w, u, data, e.request_id, value);
}
