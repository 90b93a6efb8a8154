/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration of both Modbus device types (spec modbus.md 1): the field tables and the checks between
 * fields. Loop thread, at start. */

#include "devices/modbus/modbus-conf.h"

#include <inttypes.h>
#include <math.h>

#include "base/bounds.h"
#include "devices/modbus/modbus-data.h"
#include "devices/modbus/modbus-value.h"
#include "link/address.h"

#define ADDRESSES 65536U
#define QUEUE_BITS_MAX 14284U           /* most that JSON_DIGITS_MAX digits can hold */
#define BITS_HUGE (UINT64_C(1) << 40) /* more than fits between any addresses; sums of it do not overflow */

#define REQUIRED .flags = CONF_REQUIRED
#define NOT_NEGATIVE .flags = CONF_REQUIRED, .max = INFINITY
#define SECONDS .flags = CONF_REQUIRED, .max = CONF_SECONDS_MAX, .unit = "s"
#define SECONDS_ABOVE_0 .flags = CONF_REQUIRED | CONF_EXCLUSIVE, .max = CONF_SECONDS_MAX, .unit = "s"
#define RECORDER(structure)                                                                                     \
        CONF_KEY(structure, recorder, CONF_TYPE_INTEGER, .flags = CONF_NULLABLE, .unit = "KiB",                 \
                 .min = TAP_RECORDER_MIN >> 10, .max = TAP_RECORDER_MAX >> 10,                                  \
                 .help = "memory for the last frames, which gatewayctl trace --last shows; null: 256, or less " \
                         "where that would be more than 4 MiB for all devices")
#define NAME_OF_DATA .flags = CONF_REQUIRED, .max = CONF_DATA_NAME_MAX

/* ---- what both roles share --------------------------------------------------------------------------- */

static const char *const transport_names[] = {
        [MODBUS_TRANSPORT_TCP] = "TCP",
        [MODBUS_TRANSPORT_SERIAL] = "SERIAL",
};
DEFINE_STRING_TABLE(modbus_transport, ModbusTransportKind, transport_names);

static const char *const bytesize_names[] = { "FIVEBITS", "SIXBITS", "SEVENBITS", "EIGHTBITS", NULL };
static const char *const parity_names[] = { "NONE", "EVEN", "ODD", "MARK", "SPACE", NULL };
static const char *const stopbits_names[] = { "ONE", "ONE_POINT_FIVE", "TWO", NULL };

static const ConfField flow_control_fields[] = {
        CONF_KEY(ModbusFlowControl, xonxoff, CONF_TYPE_BOOL, REQUIRED, .help = "software flow control"),
        CONF_KEY(ModbusFlowControl, rtscts, CONF_TYPE_BOOL, REQUIRED, .help = "RTS/CTS flow control"),
        CONF_KEY(ModbusFlowControl, dsrdtr, CONF_TYPE_BOOL, REQUIRED,
                 .help = "DTR is left low instead of raised"),
        {}
};

static const ConfField rs485_fields[] = {
        CONF_KEY(ModbusRs485Conf, rts_on_send, CONF_TYPE_BOOL, .fallback = "true",
                 .help = "level of RTS while sending; the other one otherwise"),
        CONF_KEY(ModbusRs485Conf, delay_before, CONF_TYPE_SECONDS, .fallback = "0", .max = 1, .unit = "s",
                 .help = "from switching the transmitter on to the first bit, in whole milliseconds"),
        CONF_KEY(ModbusRs485Conf, delay_after, CONF_TYPE_SECONDS, .fallback = "0", .max = 1, .unit = "s",
                 .help = "from the last bit to switching it off"),
        {}
};

/* The members of the ModbusSerialConf that a transport's struct has as `serial`. */
#define SERIAL_KEY(structure, key, kind, ...) \
        { .name = #key, .offset = offsetof(structure, serial.key), .type = (kind), __VA_ARGS__ }
#define SERIAL_KEYS(structure) \
        SERIAL_KEY(structure, port, CONF_TYPE_STRING, REQUIRED, .help = "device path, as /dev/ttyS0"), \
        SERIAL_KEY(structure, baudrate, CONF_TYPE_INTEGER, REQUIRED, .unit = "bit/s", \
                   .help = "speed of the line"), \
        SERIAL_KEY(structure, bytesize, CONF_TYPE_ENUM, REQUIRED, .names = bytesize_names, \
                   .help = "data bits"), \
        SERIAL_KEY(structure, parity, CONF_TYPE_ENUM, REQUIRED, .names = parity_names, \
                   .help = "parity bit"), \
        SERIAL_KEY(structure, stopbits, CONF_TYPE_ENUM, REQUIRED, .names = stopbits_names, \
                   .help = "stop bits; 1.5 is set as 2"), \
        SERIAL_KEY(structure, flow_control, CONF_TYPE_OBJECT, REQUIRED, .fields = flow_control_fields, \
                   .help = "kinds of flow control"), \
        SERIAL_KEY(structure, silent_interval, CONF_TYPE_SECONDS, .flags = CONF_HAT_REQUIRED, \
                   .max = CONF_SECONDS_MAX, .unit = "s", \
                   .help = "least pause between two transmissions; default 3.5 characters with RTU framing"), \
        SERIAL_KEY(structure, rs485, CONF_TYPE_OBJECT, .flags = CONF_PRESENCE, .fields = rs485_fields, \
                   .help = "the driver switches an RS-485 transmitter on and off; not given: it does not")

static const char serial_help[] = "serial line";

usec_t modbus_serial_silence(const SerialOptions *o, ModbusFramingKind framing) {
        return framing == MODBUS_FRAMING_RTU && o->baudrate > 0 ? serial_chars_usec(o, 7) / 2 : 0;
}

SerialOptions modbus_serial_options(const ModbusSerialConf *c, ModbusFramingKind framing) {
        SerialOptions o = {
                .baudrate = c->baudrate > 0 && c->baudrate <= UINT32_MAX ? (uint32_t) c->baudrate : 0,
                .data_bits = (unsigned) c->bytesize + 5,
                .parity = (SerialParity) c->parity,
                .stop_bits = c->stopbits == MODBUS_STOPBITS_ONE ? 1 : 2,
                .xonxoff = c->flow_control.xonxoff,
                .rtscts = c->flow_control.rtscts,
                .dsrdtr = c->flow_control.dsrdtr,
                .silence_after_sent = c->silent_interval,
                .rs485 = { c->rs485.given, c->rs485.rts_on_send, c->rs485.delay_before, c->rs485.delay_after },
                .receive_max = 1024, /* less than one frame, or a late one in front of it */
        };

        if (c->silent_interval == USEC_INFINITY)
                o.silence_after_sent = o.silence_after_received = modbus_serial_silence(&o, framing);
        return o;
}

/* What opens no line, or garbles what is sent on it. */
static void verify_serial(const ModbusSerialConf *c, int framing, ConfErrors *e) {
        if (c->baudrate < 1 || c->baudrate > SERIAL_BAUDRATE_MAX)
                conf_error_at(e, CONF_WARNING, &c->baudrate, "no line has a speed of %" PRIi64 " bit/s: it cannot be opened",
                              c->baudrate);
        if (framing != MODBUS_FRAMING_ASCII && modbus_serial_options(c, (ModbusFramingKind) framing).data_bits < 8)
                conf_error_at(e, CONF_WARNING, &c->bytesize, "%s framing needs EIGHTBITS",
                              modbus_framing_to_string((ModbusFramingKind) framing));
}

static void claim_serial(const ModbusSerialConf *serial, ConfClaims *c, ConfErrors *e) {
        g_autofree char *path = g_canonicalize_filename(serial->port, "/");

        conf_claim(c, e, "serial port", path, &serial->port);
}

/* Reports a name that the set already has. */
static void check_name(GHashTable *names, const char *const *name, ConfErrors *e) {
        if (*name && !g_hash_table_add(names, (void *) *name))
                conf_error_at(e, CONF_RANGE, name, "duplicate name \"%s\"", *name);
}

/* Whether the place of a data item can be computed; if not, that was reported. */
static bool place_valid(int type, int64_t start_address, int64_t bit_offset, int64_t bit_count) {
        return type >= 0 && start_address >= 0 && start_address < ADDRESSES && bit_offset >= 0 &&
               bit_count >= 1;
}

static uint64_t bits_bounded(int64_t n) {
        return MIN((uint64_t) n, BITS_HUGE);
}

/* ---- what bits mean ---------------------------------------------------------------------------------- */

static const char *const value_type_names[] = {
        [MODBUS_VALUE_BOOL] = "bool",
        [MODBUS_VALUE_INT] = "int",
        [MODBUS_VALUE_UINT] = "uint",
        [MODBUS_VALUE_FLOAT] = "float",
        [MODBUS_VALUE_STRING] = "string",
        [MODBUS_VALUE_BCD] = "bcd",
        NULL,
};
static const char *const order_names[] = {
        [MODBUS_ORDER_BIG] = "big",
        [MODBUS_ORDER_LITTLE] = "little",
        NULL,
};

static const ConfField state_fields[] = {
        CONF_KEY(ModbusStateConf, raw, CONF_TYPE_INTEGER, REQUIRED, .help = "integer that the bits are"),
        CONF_KEY(ModbusStateConf, name, CONF_TYPE_STRING, REQUIRED, .help = "value that it is reported and written as"),
        {}
};

static const ConfField state_element = { .type = CONF_TYPE_OBJECT, .fields = state_fields };

static const ConfField value_fields[] = {
        CONF_KEY(ModbusValueConf, type, CONF_TYPE_ENUM, REQUIRED, .names = value_type_names,
                 .help = "what the bits are; bit_count says how many"),
        CONF_KEY(ModbusValueConf, word_order, CONF_TYPE_ENUM, .names = order_names, .fallback = "\"big\"",
                 .help = "little: the first register is the least significant one"),
        CONF_KEY(ModbusValueConf, byte_order, CONF_TYPE_ENUM, .names = order_names, .fallback = "\"big\"",
                 .help = "little: the two bytes of each register are swapped"),
        CONF_KEY(ModbusValueConf, scale, CONF_TYPE_NUMBER, .fallback = "1", .min = -INFINITY, .max = INFINITY,
                 .help = "the value is the number times this …"),
        CONF_KEY(ModbusValueConf, offset, CONF_TYPE_NUMBER, .fallback = "0", .help = "… plus this"),
        CONF_KEY(ModbusValueConf, min, CONF_TYPE_NUMBER, .flags = CONF_NULLABLE,
                 .help = "least value that may be written"),
        CONF_KEY(ModbusValueConf, max, CONF_TYPE_NUMBER, .flags = CONF_NULLABLE,
                 .help = "greatest value that may be written"),
        { .name = "enum", .offset = offsetof(ModbusValueConf, states), .type = CONF_TYPE_ARRAY,
          .element = &state_element, .element_size = sizeof(ModbusStateConf), .fallback = "[]",
          .help = "names of integers; others stay numbers" },
        {}
};

/* A state must be one that the bits can have. */
static bool state_fits(const ModbusValueConf *v, int64_t raw, int64_t bit_count) {
        if (v->type == MODBUS_VALUE_INT)
                return bit_count >= 64 || (raw >= -(INT64_C(1) << (bit_count - 1)) && raw < INT64_C(1) << (bit_count - 1));
        if (v->type == MODBUS_VALUE_BCD)
                return raw >= 0 && raw <= modbus_value_bcd_max((size_t) bit_count);
        return raw >= 0 && (bit_count >= 63 || raw < INT64_C(1) << bit_count);
}

static void verify_states(const ModbusValueConf *v, int64_t bit_count, ConfErrors *e) {
        const ModbusStateConf *states = v->states.items;
        g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);
        g_autoptr(GHashTable) raws = g_hash_table_new(g_int64_hash, g_int64_equal);

        if (v->states.n > 0 && v->type != MODBUS_VALUE_INT && v->type != MODBUS_VALUE_UINT &&
            v->type != MODBUS_VALUE_BCD)
                conf_error_at(e, CONF_RANGE, &v->states, "only integers can have names");
        for (size_t i = 0; i < v->states.n; i++) {
                check_name(names, &states[i].name, e);
                if (!g_hash_table_add(raws, (void *) &states[i].raw)) /* it would never be read */
                        conf_error_at(e, CONF_RANGE, &states[i].raw, "duplicate raw %" PRIi64, states[i].raw);
                if (!state_fits(v, states[i].raw, bit_count))
                        conf_error_at(e, CONF_RANGE, &states[i].raw, "%" PRIi64 " does not fit %" PRIi64 " bits",
                                      states[i].raw, bit_count);
        }
}

static void verify_value(const ModbusValueConf *v, int type, int64_t bit_offset, int64_t bit_count, ConfErrors *e) {
        const char *needs;

        if (!v->given || v->type < 0 || v->word_order < 0 || v->byte_order < 0)
                return;

        needs = modbus_value_needs(v, type, bit_offset, bit_count);
        if (needs)
                conf_error_at(e, CONF_RANGE, &v->type, "a value of type %s needs %s", value_type_names[v->type],
                              needs);
        else
                verify_states(v, bit_count, e);
        if (!(v->scale < 0 || v->scale > 0))
                conf_error_at(e, CONF_RANGE, &v->scale, "a scale of 0 leaves nothing of a value");
        if (v->min > v->max)
                conf_error_at(e, CONF_RANGE, &v->min, "min is above max: nothing could be written");
}

/* ---- master ------------------------------------------------------------------------------------------ */

static const ConfField master_tcp_fields[] = {
        CONF_KEY(ModbusMasterTransport, host, CONF_TYPE_STRING, REQUIRED,
                 .help = "name or address of the far end"),
        CONF_KEY(ModbusMasterTransport, port, CONF_TYPE_INTEGER, REQUIRED, .min = 1, .max = 65535,
                 .help = "usually 502"),
        {}
};

static const ConfField master_serial_fields[] = {
        SERIAL_KEYS(ModbusMasterTransport),
        {}
};

static const ConfVariant master_transports[] = {
        [MODBUS_TRANSPORT_TCP] = { "TCP", "TCP connection", master_tcp_fields },
        [MODBUS_TRANSPORT_SERIAL] = { "SERIAL", serial_help, master_serial_fields },
        {}
};

static const ConfField connection_fields[] = {
        { .name = "modbus_type", .offset = offsetof(ModbusConnectionConf, framing), .type = CONF_TYPE_ENUM,
          REQUIRED, .names = modbus_framing_names,
          .help = "framing of messages, independent of the transport" },
        CONF_KEY(ModbusConnectionConf, transport, CONF_TYPE_VARIANT, REQUIRED, .tag = "type",
                 .variants = master_transports, .help = "how the far end is reached"),
        CONF_KEY(ModbusConnectionConf, connect_timeout, CONF_TYPE_SECONDS, SECONDS_ABOVE_0,
                 .help = "longest duration of one connection attempt, name resolution included, or of opening the serial port"),
        CONF_KEY(ModbusConnectionConf, connect_delay, CONF_TYPE_SECONDS, SECONDS,
                 .help = "pause after a failed attempt"),
        CONF_KEY(ModbusConnectionConf, request_timeout, CONF_TYPE_SECONDS, SECONDS_ABOVE_0,
                 .help = "longest wait for the response to one transmitted request"),
        CONF_KEY(ModbusConnectionConf, request_delay, CONF_TYPE_SECONDS, SECONDS,
                 .help = "least time between a received response and the next request"),
        CONF_KEY(ModbusConnectionConf, request_retry_immediate_count, CONF_TYPE_INTEGER, NOT_NEGATIVE,
                 .help = "repetitions of an unanswered request directly after it"),
        CONF_KEY(ModbusConnectionConf, request_retry_delayed_count, CONF_TYPE_INTEGER, NOT_NEGATIVE,
                 .help = "repetitions after a pause in which others use the line"),
        CONF_KEY(ModbusConnectionConf, request_retry_delay, CONF_TYPE_SECONDS, SECONDS,
                 .help = "pause before each delayed repetition"),
        CONF_KEY(ModbusConnectionConf, max_outstanding, CONF_TYPE_INTEGER, .fallback = "1", .min = 1,
                 .max = MODBUS_OUTSTANDING_MAX,
                 .help = "most requests under way at a time; above 1 only with TCP framing over a TCP connection"),
        CONF_KEY(ModbusConnectionConf, write_priority, CONF_TYPE_BOOL, .fallback = "true", .hat_fallback = "false",
                 .help = "a write overtakes reads that wait; every second turn is still theirs"),
        CONF_KEY(ModbusConnectionConf, probe_budget, CONF_TYPE_NUMBER, .fallback = "0.05", .hat_fallback = "1",
                 .min = 0.001, .max = 1,
                 .help = "share of the line's time for units that do not answer, while others do; 1: no limit"),
        {}
};

char *modbus_connection_conf_endpoint(const ModbusConnectionConf *c) {
        Address address = {
                .kind = ADDRESS_TCP,
                .host = (char *) c->transport.host,
                .port = (uint16_t) c->transport.port,
        };

        return c->transport.kind == MODBUS_TRANSPORT_TCP ? address_format(&address) : g_strdup(c->transport.serial.port);
}

void modbus_connection_conf_write_json(const ModbusConnectionConf *c, JsonWriter *w) {
        json_open_object(w);
        conf_write_json(w, connection_fields, c);
        json_close_object(w);
}

static const ConfField report_fields[] = {
        CONF_KEY(ModbusReportConf, deadband, CONF_TYPE_NUMBER, .fallback = "0", .max = INFINITY,
                 .help = "a change of no more than this since the last report is none"),
        CONF_KEY(ModbusReportConf, deadband_percent, CONF_TYPE_NUMBER, .fallback = "0", .max = INFINITY, .unit = "%",
                 .help = "the same, in percent of what was reported last; the greater of both counts"),
        CONF_KEY(ModbusReportConf, min_interval, CONF_TYPE_SECONDS, .fallback = "0", .max = CONF_SECONDS_MAX, .unit = "s",
                 .help = "a change sooner after the last report waits for the first read after this time"),
        CONF_KEY(ModbusReportConf, max_interval, CONF_TYPE_SECONDS, .flags = CONF_NULLABLE | CONF_EXCLUSIVE,
                 .max = CONF_SECONDS_MAX, .unit = "s",
                 .help = "an unchanged value is reported again by the first read after this time; null: never"),
        {}
};

static const ConfField master_data_fields[] = {
        CONF_KEY(ModbusMasterData, name, CONF_TYPE_STRING, NAME_OF_DATA,
                 .help = "last segment of its event types"),
        CONF_KEY(ModbusMasterData, interval, CONF_TYPE_SECONDS, .flags = CONF_REQUIRED | CONF_NULLABLE,
                 .max = CONF_SECONDS_MAX, .unit = "s", .help = "polling period; null: never polled"),
        { .name = "data_type", .offset = offsetof(ModbusMasterData, type), .type = CONF_TYPE_ENUM,
          REQUIRED, .names = modbus_data_type_names, .help = "table that it lies in" },
        CONF_KEY(ModbusMasterData, start_address, CONF_TYPE_INTEGER, REQUIRED, .max = 65535,
                 .help = "first register or coil, as on the wire: from 0 on"),
        CONF_KEY(ModbusMasterData, bit_offset, CONF_TYPE_INTEGER, NOT_NEGATIVE,
                 .help = "bits skipped from the start address on"),
        CONF_KEY(ModbusMasterData, bit_count, CONF_TYPE_INTEGER, REQUIRED, .min = 1, .max = INFINITY,
                 .help = "bits of the value"),
        CONF_KEY(ModbusMasterData, value, CONF_TYPE_OBJECT, .flags = CONF_PRESENCE, .fields = value_fields,
                 .help = "what the bits mean; not given: an unsigned integer"),
        CONF_KEY(ModbusMasterData, report, CONF_TYPE_OBJECT, .flags = CONF_PRESENCE, .fields = report_fields,
                 .help = "when a value that was read is reported; not given: whenever it changes"),
        {}
};

static const ConfField master_data_element = { .type = CONF_TYPE_OBJECT, .fields = master_data_fields };

static const ConfField remote_fields[] = {
        CONF_KEY(ModbusRemoteConf, device_id, CONF_TYPE_INTEGER, REQUIRED, .max = 255, .help = "unit id"),
        CONF_KEY(ModbusRemoteConf, timeout_poll_delay, CONF_TYPE_SECONDS, SECONDS,
                 .help = "pause after a read timeout before polling goes on"),
        CONF_KEY(ModbusRemoteConf, max_gap, CONF_TYPE_INTEGER, .flags = CONF_NULLABLE, .fallback = "0",
                 .hat_fallback = "null", .max = 65535, .null_value = -1,
                 .help = "so many registers or coils between data are read with them, and a read that is refused for its address "
                         "is split until what cannot be read is alone; null: none are, and it is not split"),
        CONF_KEY(ModbusRemoteConf, max_quantity, CONF_TYPE_INTEGER, .flags = CONF_NULLABLE, .min = 1,
                 .max = MODBUS_READ_BITS_MAX, .help = "most registers or coils of one read; null: what the protocol allows"),
        CONF_KEY(ModbusRemoteConf, data, CONF_TYPE_ARRAY, REQUIRED, .element = &master_data_element,
                 .element_size = sizeof(ModbusMasterData), .help = "what is read and written"),
        {}
};

static const ConfField remote_element = { .type = CONF_TYPE_OBJECT, .fields = remote_fields };

static const char *const report_errors_names[] = {
        [MODBUS_REPORT_ERRORS_ALWAYS] = "always",
        [MODBUS_REPORT_ERRORS_CHANGE] = "change",
        NULL,
};

const ConfField modbus_master_fields[] = {
        CONF_KEY(ModbusMasterConf, connection, CONF_TYPE_OBJECT, REQUIRED, .fields = connection_fields,
                 .help = "the connection and how requests are made on it"),
        CONF_KEY(ModbusMasterConf, remote_devices, CONF_TYPE_ARRAY, REQUIRED, .element = &remote_element,
                 .element_size = sizeof(ModbusRemoteConf), .help = "units behind the connection"),
        CONF_KEY(ModbusMasterConf, answer_always, CONF_TYPE_BOOL, .fallback = "true", .hat_fallback = "false",
                 .help = "a write that cannot be sent, or whose value does not fit its bits, is answered at once, with "
                         "NOT_CONNECTED, UNKNOWN_DATA, NOT_WRITABLE, INVALID_VALUE or BUSY"),
        CONF_KEY(ModbusMasterConf, report_errors, CONF_TYPE_ENUM, .names = report_errors_names,
                 .fallback = "\"change\"", .hat_fallback = "\"always\"",
                 .help = "when the error answer to a read is registered: with each read, or when it is another one"),
        RECORDER(ModbusMasterConf),
        {}
};

static unsigned quantity_max(int type) {
        return modbus_data_type_is_bit((ModbusDataType) type) ? MODBUS_READ_BITS_MAX
                                                              : MODBUS_READ_REGISTERS_MAX;
}

/* max_quantity bounds what is read together: what is longer by itself is read all the same. */
static void verify_read_alone(const ModbusRemoteConf *remote, const ModbusMasterData *d, uint64_t quantity, ConfErrors *e) {
        if (d->interval != USEC_INFINITY && d->type != MODBUS_QUEUE && remote->max_quantity > 0 &&
            quantity > (uint64_t) remote->max_quantity)
                conf_error_at(e, CONF_WARNING, &d->bit_count,
                              "needs %" PRIu64 " registers or coils, more than the max_quantity of %" PRIi64, quantity,
                              remote->max_quantity);
}

static void verify_master_data(const ModbusRemoteConf *remote, const ModbusMasterData *d, ConfErrors *e) {
        uint64_t quantity;

        if (!place_valid(d->type, d->start_address, d->bit_offset, d->bit_count))
                return;

        verify_value(&d->value, d->type, d->bit_offset, d->bit_count, e);
        quantity = modbus_data_quantity((ModbusDataType) d->type, bits_bounded(d->bit_offset),
                                        bits_bounded(d->bit_count));
        if ((uint64_t) d->start_address + quantity > ADDRESSES)
                conf_error_at(e, CONF_RANGE, &d->start_address,
                              "ends behind address 65535: %" PRIi64 " + %" PRIu64 " registers or coils",
                              d->start_address, quantity);
        else if (d->type != MODBUS_QUEUE && quantity > quantity_max(d->type))
                conf_error_at(e, CONF_WARNING, &d->bit_count,
                              "needs %" PRIu64
                              " registers or coils, more than the %u that one request may read",
                              quantity, quantity_max(d->type));
        else if (d->type == MODBUS_QUEUE && d->bit_count > QUEUE_BITS_MAX)
                conf_error_at(e, CONF_RANGE, &d->bit_count,
                              "a value of %" PRIi64 " bits, at most %u can be reported", d->bit_count,
                              QUEUE_BITS_MAX);
        else
                verify_read_alone(remote, d, quantity, e);
}

void modbus_master_conf_verify(const void *conf, ConfErrors *e) {
        const ModbusMasterConf *c = conf;
        const ModbusRemoteConf *remotes = c->remote_devices.items;
        ModbusUnits seen = {};

        if (c->connection.max_outstanding > 1 && (c->connection.framing != MODBUS_FRAMING_TCP ||
                                                  c->connection.transport.kind != MODBUS_TRANSPORT_TCP))
                conf_error_at(e, CONF_RANGE, &c->connection.max_outstanding,
                              "answers can be told apart only with modbus_type TCP over a TCP connection");
        if (c->connection.transport.kind == MODBUS_TRANSPORT_SERIAL)
                verify_serial(&c->connection.transport.serial, c->connection.framing, e);

        for (size_t i = 0; i < c->remote_devices.n; i++) {
                const ModbusRemoteConf *remote = &remotes[i];
                const ModbusMasterData *data = remote->data.items;
                g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);

                if (remote->device_id >= 0 && remote->device_id <= UINT8_MAX) {
                        if (modbus_units_has(&seen, (uint8_t) remote->device_id))
                                conf_error_at(e, CONF_RANGE, &remote->device_id,
                                              "duplicate device id %" PRIi64, remote->device_id);
                        modbus_units_add(&seen, (uint8_t) remote->device_id);
                }
                if (remote->device_id == 0 && c->connection.transport.kind == MODBUS_TRANSPORT_SERIAL)
                        conf_error_at(e, CONF_WARNING, &remote->device_id,
                                      "on a serial line 0 is for all units: none answers, and each request ends as a timeout");

                for (size_t j = 0; j < remote->data.n; j++) {
                        check_name(names, &data[j].name, e);
                        verify_master_data(remote, &data[j], e);
                }
        }
}

void modbus_master_conf_claims(const void *conf, ConfClaims *c, ConfErrors *e) {
        const ModbusMasterTransport *transport = &((const ModbusMasterConf *) conf)->connection.transport;

        if (transport->kind == MODBUS_TRANSPORT_SERIAL)
                claim_serial(&transport->serial, c, e);
}

/* ---- slave ------------------------------------------------------------------------------------------- */

static const ConfField remote_host_element = { .type = CONF_TYPE_STRING };

static const ConfField slave_tcp_fields[] = {
        CONF_KEY(ModbusSlaveTransport, local_host, CONF_TYPE_STRING, .instead = "listen",
                 .help = "name or address to listen on; 0.0.0.0 or :: for all"),
        CONF_KEY(ModbusSlaveTransport, local_port, CONF_TYPE_INTEGER, .instead = "listen", .max = 65535,
                 .help = "usually 502"),
        CONF_KEY(ModbusSlaveTransport, listen, CONF_TYPE_STRING, .pattern = "^fd:[^:]+$",
                 .help = "fd:NAME, a socket passed by the service manager, instead of local_host and local_port"),
        CONF_KEY(ModbusSlaveTransport, remote_hosts, CONF_TYPE_ARRAY, .flags = CONF_REQUIRED | CONF_NULLABLE,
                 .element = &remote_host_element, .element_size = sizeof(char *),
                 .help = "numeric addresses that may connect; null: everybody"),
        CONF_KEY(ModbusSlaveTransport, max_connections, CONF_TYPE_INTEGER, .flags = CONF_REQUIRED | CONF_NULLABLE,
                 .max = INFINITY, .null_value = -1, .help = "connections at a time; null: no limit"),
        CONF_KEY(ModbusSlaveTransport, response_timeout, CONF_TYPE_SECONDS, SECONDS_ABOVE_0,
                 .help = "longest wait for the system's answer to a write"),
        CONF_KEY(ModbusSlaveTransport, keep_alive_timeout, CONF_TYPE_SECONDS,
                 .flags = CONF_REQUIRED | CONF_NULLABLE | CONF_EXCLUSIVE, .max = CONF_SECONDS_MAX, .unit = "s",
                 .help = "a connection without a request for so long is closed; null: never"),
        {}
};

static const ConfField slave_serial_fields[] = {
        SERIAL_KEYS(ModbusSlaveTransport),
        CONF_KEY(ModbusSlaveTransport, response_timeout, CONF_TYPE_SECONDS, SECONDS_ABOVE_0,
                 .help = "longest wait for the system's answer to a write"),
        CONF_KEY(ModbusSlaveTransport, keep_alive_timeout, CONF_TYPE_SECONDS, SECONDS_ABOVE_0,
                 .help = "the master counts as gone after so long without a request"),
        {}
};

static const ConfVariant slave_transports[] = {
        [MODBUS_TRANSPORT_TCP] = { "TCP", "TCP connections of masters", slave_tcp_fields },
        [MODBUS_TRANSPORT_SERIAL] = { "SERIAL", serial_help, slave_serial_fields },
        {}
};

static const ConfField slave_data_fields[] = {
        CONF_KEY(ModbusSlaveData, name, CONF_TYPE_STRING, NAME_OF_DATA, .help = "last segment of its event type"),
        CONF_KEY(ModbusSlaveData, device_id, CONF_TYPE_INTEGER, REQUIRED,
                 .help = "unit id that it is offered under: 1 to 255"),
        { .name = "data_type", .offset = offsetof(ModbusSlaveData, type), .type = CONF_TYPE_ENUM,
          REQUIRED, .names = modbus_data_type_names,
          .help = "table that it lies in; QUEUE cannot be offered" },
        CONF_KEY(ModbusSlaveData, start_address, CONF_TYPE_INTEGER, REQUIRED, .max = 65535,
                 .help = "first register or coil, as on the wire: from 0 on"),
        CONF_KEY(ModbusSlaveData, bit_offset, CONF_TYPE_INTEGER, NOT_NEGATIVE,
                 .help = "bits skipped from the start address on"),
        CONF_KEY(ModbusSlaveData, bit_count, CONF_TYPE_INTEGER, REQUIRED, .min = 1, .max = INFINITY,
                 .help = "bits of the value"),
        CONF_KEY(ModbusSlaveData, value, CONF_TYPE_OBJECT, .flags = CONF_PRESENCE, .fields = value_fields,
                 .help = "what the bits mean; not given: an unsigned integer"),
        {}
};

static const ConfField slave_data_element = { .type = CONF_TYPE_OBJECT, .fields = slave_data_fields };

const ConfField modbus_slave_fields[] = {
        { .name = "modbus_type", .offset = offsetof(ModbusSlaveConf, framing), .type = CONF_TYPE_ENUM,
          REQUIRED, .names = modbus_framing_names,
          .help = "framing of messages, independent of the transport" },
        CONF_KEY(ModbusSlaveConf, transport, CONF_TYPE_VARIANT, REQUIRED, .tag = "type",
                 .variants = slave_transports, .help = "how masters reach it"),
        CONF_KEY(ModbusSlaveConf, data, CONF_TYPE_ARRAY, REQUIRED, .element = &slave_data_element,
                 .element_size = sizeof(ModbusSlaveData), .help = "what is offered"),
        RECORDER(ModbusSlaveConf),
        {}
};

static void verify_slave_data(const ModbusSlaveData *d, ConfErrors *e) {
        ModbusPlace place;

        if (d->device_id < 1 || d->device_id > UINT8_MAX)
                conf_error_at(e, CONF_WARNING, &d->device_id, "device id %" PRIi64 " can never be addressed",
                              d->device_id);
        if (d->type == MODBUS_QUEUE) {
                conf_error_at(e, CONF_RANGE, &d->type, "QUEUE cannot be offered by a slave");
                return;
        }
        if (!place_valid(d->type, d->start_address, d->bit_offset, d->bit_count))
                return;

        verify_value(&d->value, d->type, d->bit_offset, d->bit_count, e);
        place = modbus_data_place((ModbusDataType) d->type, (uint64_t) d->start_address,
                                  bits_bounded(d->bit_offset), bits_bounded(d->bit_count));
        if (place.last >= ADDRESSES)
                conf_error_at(e, CONF_RANGE, &d->start_address,
                              "covers addresses %" PRIu64 " to %" PRIu64 ", the last is 65535", place.first,
                              place.last);
}

void modbus_slave_conf_verify(const void *conf, ConfErrors *e) {
        const ModbusSlaveConf *c = conf;
        const ModbusSlaveData *data = c->data.items;
        g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);

        if (c->transport.kind == MODBUS_TRANSPORT_TCP && c->transport.listen &&
            !modbus_slave_conf_listen_name(c))
                conf_error_at(e, CONF_ERROR, &c->transport.listen, "expected fd:NAME, got \"%s\"",
                              c->transport.listen);
        if (c->transport.kind == MODBUS_TRANSPORT_SERIAL)
                verify_serial(&c->transport.serial, c->framing, e);

        for (size_t i = 0; i < c->data.n; i++) {
                check_name(names, &data[i].name, e);
                verify_slave_data(&data[i], e);
        }
}

static void claim_listener(const ModbusSlaveTransport *t, ConfClaims *c, ConfErrors *e) {
        g_autofree char *address = NULL;

        if (!t->local_host || t->local_port <= 0)
                return; /* port 0: the kernel finds a free one */

        address = g_strdup_printf("%s:%" PRIi64, t->local_host, t->local_port);
        conf_claim(c, e, "listening address", address, &t->local_port);
}

void modbus_slave_conf_claims(const void *conf, ConfClaims *c, ConfErrors *e) {
        const ModbusSlaveConf *s = conf;
        const char *name = modbus_slave_conf_listen_name(s);

        if (s->transport.kind == MODBUS_TRANSPORT_SERIAL)
                claim_serial(&s->transport.serial, c, e);
        else if (name)
                conf_claim(c, e, "passed socket", name, &s->transport.listen);
        else
                claim_listener(&s->transport, c, e);
}

const char *modbus_slave_conf_listen_name(const ModbusSlaveConf *conf) {
        const char *listen = conf->transport.listen;

        if (!listen || !g_str_has_prefix(listen, "fd:") || listen[3] == '\0' || strchr(listen + 3, ':'))
                return NULL;
        return listen + 3;
}
