/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration of both Modbus device types (spec modbus.md 1): field tables, the structs that they fill,
 * and the checks that one field cannot say. Immutable after parsing. Loop thread, at start. */
#pragma once

#include "base/conf.h"
#include "devices/modbus/modbus-codec.h"
#include "link/serial.h"

/* ---- what both roles share --------------------------------------------------------------------------- */

typedef enum ModbusTransportKind {
        MODBUS_TRANSPORT_TCP,
        MODBUS_TRANSPORT_SERIAL,
        _MODBUS_TRANSPORT_MAX,
        _MODBUS_TRANSPORT_INVALID = -EINVAL,
} ModbusTransportKind;
DECLARE_STRING_TABLE(modbus_transport, ModbusTransportKind);

typedef enum ModbusStopBits {
        MODBUS_STOPBITS_ONE,
        MODBUS_STOPBITS_ONE_POINT_FIVE,
        MODBUS_STOPBITS_TWO
} ModbusStopBits;

typedef struct ModbusFlowControl {
        bool xonxoff, rtscts, dsrdtr;
} ModbusFlowControl;

typedef struct ModbusRs485Conf {
        bool given;
        bool rts_on_send;
        usec_t delay_before, delay_after;
} ModbusRs485Conf;

typedef struct ModbusSerialConf {
        const char *port;
        int64_t baudrate;
        int bytesize;           /* 0 to 3: 5 to 8 data bits */
        int parity;             /* SerialParity */
        int stopbits;           /* ModbusStopBits */
        ModbusFlowControl flow_control;
        usec_t silent_interval; /* USEC_INFINITY: not given, 3.5 characters */
        ModbusRs485Conf rs485;
} ModbusSerialConf;
/* What the line is to be. A silence that is not given is the framing's, before and after. */
SerialOptions modbus_serial_options(const ModbusSerialConf *c, ModbusFramingKind framing);
/* What separates two frames on it: 3.5 characters with RTU framing, nothing with the others. */
usec_t modbus_serial_silence(const SerialOptions *o, ModbusFramingKind framing);

typedef enum ModbusValueType {
        MODBUS_VALUE_BOOL,
        MODBUS_VALUE_INT,
        MODBUS_VALUE_UINT,
        MODBUS_VALUE_FLOAT,
        MODBUS_VALUE_STRING,
        MODBUS_VALUE_BCD,
} ModbusValueType;
typedef enum ModbusOrder { MODBUS_ORDER_BIG, MODBUS_ORDER_LITTLE } ModbusOrder;

typedef struct ModbusStateConf {
        int64_t raw;
        const char *name;
} ModbusStateConf;

/* What the bits mean; modbus-value.h. */
typedef struct ModbusValueConf {
        bool given;             /* else a raw integer */
        int type;               /* ModbusValueType */
        int word_order, byte_order; /* ModbusOrder */
        double scale, offset;   /* value = raw * scale + offset; scale is never 0 */
        double min, max;        /* of what is written; NaN: none */
        ConfArray states;       /* ModbusStateConf */
} ModbusValueConf;

/* ---- master ------------------------------------------------------------------------------------------ */

typedef struct ModbusMasterTransport {
        int kind;               /* ModbusTransportKind */
        const char *host;       /* TCP */
        int64_t port;           /* TCP: 1 to 65535 */
        ModbusSerialConf serial;
} ModbusMasterTransport;

typedef struct ModbusConnectionConf {
        int framing;            /* ModbusFramingKind */
        ModbusMasterTransport transport;
        usec_t connect_timeout, connect_delay;
        usec_t request_timeout, request_delay, request_retry_delay;
        int64_t request_retry_immediate_count, request_retry_delayed_count;
        int64_t max_outstanding; /* 1 to MODBUS_OUTSTANDING_MAX; above 1 only with TCP framing over TCP */
        bool write_priority;
        double probe_budget;    /* above 0, at most 1 */
} ModbusConnectionConf;
/* `tcp:HOST:PORT` of the far end, or the port's path. Caller frees. */
char *modbus_connection_conf_endpoint(const ModbusConnectionConf *c);
/* As it is configured: an object. */
void modbus_connection_conf_write_json(const ModbusConnectionConf *c, JsonWriter *w);

/* When a value that was read is reported; modbus-poll.h. */
typedef struct ModbusReportConf {
        bool given;             /* else whenever it changes */
        double deadband, deadband_percent;
        usec_t min_interval;
        usec_t max_interval;    /* USEC_INFINITY: none */
} ModbusReportConf;

typedef struct ModbusMasterData {
        const char *name;
        usec_t interval;        /* USEC_INFINITY: never polled */
        int type;               /* ModbusDataType */
        int64_t start_address, bit_offset, bit_count;
        ModbusValueConf value;
        ModbusReportConf report;
} ModbusMasterData;

typedef struct ModbusRemoteConf {
        int64_t device_id;      /* 0 to 255 */
        usec_t timeout_poll_delay;
        int64_t max_gap;        /* registers or coils that nobody wants, read rather than begin another request; -1: none,
                                 * and a read that is refused for its address is not split */
        int64_t max_quantity;   /* of one read; 0: the protocol's limit */
        ConfArray data;         /* ModbusMasterData */
} ModbusRemoteConf;

/* When an error that stays is reported. */
typedef enum ModbusReportErrors {
        MODBUS_REPORT_ERRORS_ALWAYS,
        MODBUS_REPORT_ERRORS_CHANGE,
} ModbusReportErrors;

typedef struct ModbusMasterConf {
        ModbusConnectionConf connection;
        bool answer_always;
        int report_errors;      /* ModbusReportErrors */
        int64_t recorder;       /* KiB; 0: the usual */
        ConfArray remote_devices; /* ModbusRemoteConf */
} ModbusMasterConf;

extern const ConfField modbus_master_fields[];
void modbus_master_conf_verify(const void *conf, ConfErrors *e);
void modbus_master_conf_claims(const void *conf, ConfClaims *c, ConfErrors *e);

/* ---- slave ------------------------------------------------------------------------------------------- */

typedef struct ModbusSlaveTransport {
        int kind;               /* ModbusTransportKind */
        const char *listen;     /* TCP: `fd:NAME`, or NULL … */
        const char *local_host; /* … and then these two */
        int64_t local_port;
        ConfArray remote_hosts; /* TCP: const char *; items NULL: everybody; n 0 otherwise: nobody */
        int64_t max_connections; /* TCP; -1: no limit */
        usec_t response_timeout;
        usec_t keep_alive_timeout; /* USEC_INFINITY: none */
        ModbusSerialConf serial;
} ModbusSlaveTransport;

typedef struct ModbusSlaveData {
        const char *name;
        int64_t device_id;      /* outside 1 to 255: accepted, never served */
        int type;               /* ModbusDataType, never MODBUS_QUEUE after verification */
        int64_t start_address, bit_offset, bit_count;
        ModbusValueConf value;
} ModbusSlaveData;

typedef struct ModbusSlaveConf {
        int framing;            /* ModbusFramingKind */
        ModbusSlaveTransport transport;
        int64_t recorder;       /* KiB; 0: the usual */
        ConfArray data;         /* ModbusSlaveData */
} ModbusSlaveConf;

extern const ConfField modbus_slave_fields[];
void modbus_slave_conf_verify(const void *conf, ConfErrors *e);
void modbus_slave_conf_claims(const void *conf, ConfClaims *c, ConfErrors *e);
/* NAME of `listen: fd:NAME`; NULL: not given. */
const char *modbus_slave_conf_listen_name(const ModbusSlaveConf *conf);
