/* SPDX-License-Identifier: Apache-2.0 */
/* One remote device of a master (spec modbus.md 5.1 to 5.4). Loop thread. */

#include "devices/modbus/modbus-unit.h"

#include <inttypes.h>
#include <stdio.h>

#include "devices/modbus/modbus-data.h"
#include "devices/modbus/modbus-value.h"

/* Value text up to here is written on the stack: more than one request of 2000 bits brings. */
#define PAYLOAD_SIZE 1024U
#define PAYLOAD_EXTRA 96U /* of a payload beside the digits */

static const char *const unit_status_names[] = {
        [MODBUS_UNIT_DISABLED] = "DISABLED",
        [MODBUS_UNIT_CONNECTING] = "CONNECTING",
        [MODBUS_UNIT_CONNECTED] = "CONNECTED",
        [MODBUS_UNIT_DISCONNECTED] = "DISCONNECTED",
};
DEFINE_STRING_TABLE(modbus_unit_status, ModbusUnitStatus, unit_status_names);

const StatusField modbus_unit_fields[] = {
        { "DeviceId", NULL, "unit id", STATUS_GAUGE, offsetof(ModbusUnit, device_id) },
        { "Status", NULL, "status as in its last event", STATUS_STRING, offsetof(ModbusUnit, status_name) },
        { "Enabled", NULL, "whether its last enable event enables it", STATUS_BOOL,
          offsetof(ModbusUnit, enabled) },
        MODBUS_COUNTER_FIELDS(ModbusUnit, counters),
        { "LastAnswerTimestamp", "us", "when it answered a read last, since 1970; 0: never", STATUS_USEC,
          offsetof(ModbusUnit, last_answer) },
        { "OldestValueUSec", "us", "age of the value that was read longest ago; since enabled, if one never was", STATUS_USEC,
          .compute = modbus_unit_oldest },
        { "NextProbeTimestamp", "us", "when it is asked again, since 1970; 0: it answers", STATUS_USEC,
          .compute = modbus_unit_next_probe },
        { "RecoveryUSec", "us", "how long it takes at most, about, until its return is noticed; 0: it answers", STATUS_USEC,
          .compute = modbus_unit_recovery },
        {}
};

/* ---- events ------------------------------------------------------------------------------------------ */

static void unit_register_status(ModbusUnit *u) {
        const char *const subtypes[] = { "remote_device", u->id_text, "status", NULL };
        char payload[16];
        size_t size = (size_t) snprintf(payload, sizeof(payload), "\"%s\"", u->status_name);

        device_register(u->line->device, subtypes, NULL, (JsonSpan) { payload, size });
}

static void unit_set_status(ModbusUnit *u, ModbusUnitStatus status) {
        if (u->status == status)
                return;

        u->status = status;
        u->status_name = modbus_unit_status_to_string(status);
        log_context(LOG_DEBUG, device_log(u->line->device), "Remote device %s is %s.", u->id_text,
                    u->status_name);
        unit_register_status(u);
}

static void unit_update_living(ModbusUnit *u) {
        bool living = u->polling && u->poll.n_groups > 0 && !u->silent;

        if (u->living == living)
                return;
        u->living = living;
        modbus_bus_count_living(u->line->bus, living ? 1 : -1);
}

static void unit_set_silent(ModbusUnit *u, bool silent) {
        if (u->silent == silent)
                return;

        u->silent = silent;
        if (silent)
                u->line->n_silent++;
        else
                u->line->n_silent--;
        unit_update_living(u);
        u->line->changed(u->line->device);
}

static void unit_register_read(ModbusUnit *u, const ModbusItem *item, JsonSpan payload) {
        const char *const subtypes[] = { "remote_device", u->id_text, "read", item->name, NULL };

        device_register(u->line->device, subtypes, NULL, payload);
}

/* The payload of a value of at most 64 bits, which nearly all are; returns its size. */
static size_t put_value(char *to, const ModbusItem *item, const uint8_t *bits, bool fresh) {
        static const JsonSpan before = JSON_LITERAL("{\"result\": \"SUCCESS\", \"value\": ");
        static const JsonSpan behind[] = {
                JSON_LITERAL(", \"cause\": \"CHANGE\"}"),
                JSON_LITERAL(", \"cause\": \"INTERROGATE\"}"),
        };
        char *p = mempcpy(to, before.text, before.size);

        p += uint64_to_decimal(modbus_bits_get64(bits, item->offset, item->n_bits), p);
        p = mempcpy(p, behind[fresh].text, behind[fresh].size);
        return (size_t) (p - to);
}

static void write_value(JsonWriter *w, const ModbusItem *item, const uint8_t *bits, bool fresh) {
        json_open_object(w);
        json_member_string(w, "result", modbus_result_to_string(MODBUS_SUCCESS));
        json_key(w, "value");
        if (item->value)
                modbus_value_write_json(w, item->value, bits, item->offset, item->n_bits);
        else
                modbus_bits_write_json(w, bits, item->offset, item->n_bits);
        json_member_string(w, "cause", fresh ? "INTERROGATE" : "CHANGE");
        json_close_object(w);
}

static void unit_register_long(ModbusUnit *u, const ModbusItem *item, const uint8_t *bits, bool fresh) {
        char buffer[PAYLOAD_SIZE];
        JsonWriter w;
        JsonSpan payload;

        if (item->value || BITS_DECIMAL_MAX(item->n_bits) + PAYLOAD_EXTRA > sizeof(buffer))
                json_writer_init_growing(&w);
        else
                json_writer_init(&w, buffer, sizeof(buffer));

        write_value(&w, item, bits, fresh);
        if (json_writer_end(&w, &payload) >= 0)
                unit_register_read(u, item, payload);
        json_writer_done(&w);
}

static void unit_on_changed(const ModbusItem *item, const uint8_t *bits, bool fresh, void *userdata) {
        char buffer[UINT64_DECIMAL_MAX + PAYLOAD_EXTRA];

        if (item->value || item->n_bits > 64)
                unit_register_long(userdata, item, bits, fresh);
        else
                unit_register_read(userdata, item,
                                   (JsonSpan) { buffer, put_value(buffer, item, bits, fresh) });
}

static void unit_register_errors(ModbusUnit *u, const ModbusGroup *g, ModbusResult error) {
        char buffer[PAYLOAD_EXTRA];
        size_t size = (size_t) snprintf(buffer, sizeof(buffer), "{\"result\": \"%s\"}",
                                        modbus_result_to_string(error));

        for (size_t i = 0; i < g->n_items; i++)
                unit_register_read(u, &g->items[i], (JsonSpan) { buffer, size });
}

/* ---- polling ----------------------------------------------------------------------------------------- */

static void unit_submit(ModbusUnit *u, ModbusGroup *g) {
        ModbusRead *read = u->reads;

        while (read->used)
                read++;
        u->n_reading++;
        read->used = true;
        read->group = (size_t) (g - u->poll.groups);
        read->job.urgency = u->silent ? MODBUS_JOB_PROBE : MODBUS_JOB_POLL;
        read->job.request = (ModbusRequest) {
                .frame = g->frame,
                .size = g->frame_size,
                .expect = {
                        .unit = (uint8_t) u->conf->device_id,
                        .head = {
                                (uint8_t) modbus_read_function(g->type),
                                (uint8_t) (g->start >> 8), (uint8_t) g->start,
                                (uint8_t) (g->quantity >> 8), (uint8_t) g->quantity,
                        },
                },
        };
        (void) modbus_bus_submit_always(u->line->bus, &read->job); /* while polling there is a line */
}

/* The next group to read; NULL: not now, or not before the timer. A round ends with its last answer. */
static ModbusGroup *unit_next_group(ModbusUnit *u) {
        ModbusGroup *g = modbus_poll_next(&u->poll);
        usec_t wake;

        if (g || u->n_reading > 0)
                return g;
        g = modbus_poll_begin(&u->poll, now_usec(CLOCK_MONOTONIC), &wake);
        if (!g)
                deadline_set(u->timer, wake);
        return g;
}

/* The next reads, now or when they are due: several only of a unit that is known to answer. */
static void unit_continue(ModbusUnit *u) {
        unsigned max = u->status == MODBUS_UNIT_CONNECTED && !u->silent ? u->reads_max : 1;
        ModbusGroup *g;

        if (u->line->paused || u->poll.n_groups == 0)
                return;

        while (u->n_reading < max && (g = unit_next_group(u)))
                unit_submit(u, g);
        modbus_bus_run(u->line->bus);
}

/* What is under way is nobody's any more. */
static void unit_cancel_reads(ModbusUnit *u) {
        for (unsigned i = 0; i < u->reads_max; i++)
                if (u->reads[i].used) {
                        modbus_bus_cancel(u->line->bus, &u->reads[i].job);
                        u->reads[i].used = false;
                }
        u->n_reading = 0;
}

static void unit_timed_out(ModbusUnit *u) {
        u->pausing = true;
        unit_cancel_reads(u);
        modbus_poll_reset(&u->poll);
        unit_set_status(u, MODBUS_UNIT_DISCONNECTED);
        unit_set_silent(u, true);
        deadline_set_relative(u->timer, u->conf->timeout_poll_delay);
}

static void unit_on_timer(void *userdata) {
        ModbusUnit *u = userdata;

        if (!u->polling)
                return;

        if (u->pausing) {
                u->pausing = false;
                unit_set_status(u, MODBUS_UNIT_CONNECTING);
        }
        unit_continue(u);
}

static void unit_answered(ModbusUnit *u, ModbusGroup *g, const ModbusResponse *response) {
        if (response->result == MODBUS_SUCCESS) {
                modbus_group_set_data(g, response->data, response->size,
                                      g->reporting ? now_usec(CLOCK_MONOTONIC) : 0, unit_on_changed, u);
                return;
        }

        if (modbus_group_set_error(g, response->result, now_usec(CLOCK_MONOTONIC), u->line->report_changes))
                unit_register_errors(u, g, response->result);
}

/* true: the group is gone; reads under way follow theirs. */
static bool unit_split(ModbusUnit *u, size_t group) {
        if (!modbus_poll_split(&u->poll, &u->poll.groups[group]))
                return false;

        for (ModbusRead *read = u->reads; read < u->reads + u->reads_max; read++)
                if (read->used) {
                        read->group += read->group > group;
                        read->job.request.frame = u->poll.groups[read->group].frame;
                }
        return true;
}

/* The next requests leave before the answer is worked on: the far end is busy while we are. */
static void unit_on_read(ModbusJob *job, int error, const ModbusResponse *response) {
        ModbusRead *read = (ModbusRead *) job;
        ModbusUnit *u = read->unit;
        ModbusGroup *g = &u->poll.groups[read->group];
        usec_t asked = g->last; /* before unit_continue(), which may ask for the next round */

        read->used = false;
        u->n_reading--;
        u->mute = error == -ETIMEDOUT;
        if (u->mute)
                unit_timed_out(u);
        if (error < 0)
                return;

        u->last_answer = device_tap(u->line->device)->last_received;
        unit_set_silent(u, !modbus_result_is_of_unit(response->result));
        unit_set_status(u, MODBUS_UNIT_CONNECTED);
        if (response->result == MODBUS_INVALID_DATA_ADDRESS && unit_split(u, read->group))
                g = NULL;
        unit_continue(u);
        if (!g)
                return;
        if (response->result == MODBUS_SUCCESS)
                g->good = asked;
        unit_answered(u, g, response);
}

static void unit_start(ModbusUnit *u) {
        u->polling = true;
        unit_update_living(u);
        modbus_poll_restore(&u->poll);
        unit_set_status(u, u->poll.n_groups > 0 ? MODBUS_UNIT_CONNECTING : MODBUS_UNIT_CONNECTED);
        unit_continue(u);
}

/* ---- what the master calls --------------------------------------------------------------------------- */

int modbus_unit_init(ModbusUnit *u, ModbusLine *line, const ModbusRemoteConf *conf, sd_event *event) {
        u->line = line;
        u->conf = conf;
        u->device_id = (uint64_t) conf->device_id;
        (void) snprintf(u->id_text, sizeof(u->id_text), "%u", (unsigned) (uint8_t) conf->device_id);
        u->status = _MODBUS_UNIT_STATUS_INVALID;
        modbus_poll_init(&u->poll, conf, line->framing);

        if (u->poll.n_groups == 0)
                return 0;
        u->reads_max = line->max_outstanding;
        u->reads = g_new0(ModbusRead, u->reads_max);
        for (unsigned i = 0; i < u->reads_max; i++) {
                u->reads[i].unit = u;
                u->reads[i].job.done = unit_on_read;
                u->reads[i].job.counters = &u->counters;
        }
        return deadline_new(event, "modbus-poll", unit_on_timer, u, &u->timer);
}

void modbus_unit_done(ModbusUnit *u) {
        u->timer = deadline_free(u->timer);
        modbus_poll_done(&u->poll);
        u->reads = (g_free(u->reads), NULL);
}

void modbus_unit_connected(ModbusUnit *u) {
        u->mute = false;
        if (u->enabled) {
                unit_start(u);
                return;
        }

        u->status = _MODBUS_UNIT_STATUS_INVALID; /* registered on each new connection */
        unit_set_status(u, MODBUS_UNIT_DISABLED);
}

void modbus_unit_stop(ModbusUnit *u) {
        if (!u->polling)
                return;

        u->polling = u->pausing = false;
        unit_cancel_reads(u);
        if (u->timer)
                deadline_set(u->timer, USEC_INFINITY);
        unit_set_status(u, MODBUS_UNIT_DISABLED);
        unit_set_silent(u, false);
        unit_update_living(u);
}

void modbus_unit_set_enabled(ModbusUnit *u, bool enabled, bool connected) {
        if (enabled && !u->enabled)
                u->enabled_at = now_usec(CLOCK_MONOTONIC);
        u->enabled = enabled;
        if (!connected)
                return;

        if (enabled && !u->polling)
                unit_start(u);
        else if (!enabled)
                modbus_unit_stop(u);
}

uint64_t modbus_unit_oldest(const void *unit) {
        const ModbusUnit *u = unit;

        if (!u->enabled || u->poll.n_groups == 0)
                return 0;
        return usec_sub(now_usec(CLOCK_MONOTONIC), modbus_poll_oldest(&u->poll, u->enabled_at));
}

uint64_t modbus_unit_next_probe(const void *unit) {
        const ModbusUnit *u = unit;
        usec_t at, due;

        if (!u->silent)
                return 0;
        at = modbus_bus_probe_time(u->line->bus, &u->reads[0].job); /* it has no other one under way */
        due = deadline_get(u->timer);
        if (u->n_reading == 0 && due != USEC_INFINITY)
                at = MAX(at, due);
        return usec_add(now_usec(CLOCK_REALTIME), usec_sub(at, now_usec(CLOCK_MONOTONIC)));
}

uint64_t modbus_unit_recovery(const void *unit) {
        const ModbusUnit *u = unit;

        if (!u->silent)
                return 0;
        return modbus_bus_recovery_time(u->line->bus,
                                        u->status == MODBUS_UNIT_CONNECTED ? modbus_poll_shortest(&u->poll)
                                                                           : u->conf->timeout_poll_delay,
                                        u->line->n_silent);
}

void modbus_unit_resume(ModbusUnit *u) {
        if (u->polling && !u->pausing)
                unit_continue(u);
}
