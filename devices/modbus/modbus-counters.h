/* SPDX-License-Identifier: Apache-2.0 */
/* What a master counts, of its line and of each remote device alike, for the status tables. Plain data,
 * embedded by its owner; counting allocates nothing and takes the same time whatever was counted before.
 * Loop thread. */
#pragma once

#include "devices/device.h"
#include "devices/modbus/modbus-codec.h"

/* Round trips by size: up to 8 µs each its own, then 8 to a power of two, up to 16 s. */
#define MODBUS_ROUND_TRIP_BUCKETS 176U
/* When so many have been counted, all count half: older ones fade. */
#define MODBUS_ROUND_TRIPS_MAX 1024U

typedef struct ModbusCounters {
        uint64_t requests;      /* transmissions */
        uint64_t answers;       /* error responses, too */
        uint64_t retries;       /* transmissions of a request that had been transmitted */
        uint64_t timeouts;      /* transmissions without an answer */
        uint64_t checksum_errors; /* answers with a wrong CRC or LRC */
        uint64_t exceptions;    /* error responses … */
        uint64_t codes[STATUS_CODES_MAX]; /* … by code */
        uint64_t bytes_sent, bytes_received; /* of requests and of their answers */
        uint64_t round_trip;    /* of the last answer, microseconds */
        uint16_t round_trips[MODBUS_ROUND_TRIP_BUCKETS];
        unsigned n_round_trips; /* in them */
} ModbusCounters;

typedef struct ModbusLineCounters {
        ModbusCounters all;
        usec_t wire_time;       /* of 1000 bytes; 0: not known */

        /* shares of the last whole second, percent … */
        uint64_t load, wire_load;
        /* … and the present one */
        usec_t since, busy, busy_until;
        uint64_t bytes;
} ModbusLineCounters;

/* How one transmission went. */
typedef struct ModbusAttempt {
        const ModbusResponse *response; /* NULL: none */
        bool retry;
        unsigned checksum_errors; /* while it was waited for */
        size_t sent, received;  /* bytes of the request, and of the answer */
        usec_t begun_at, ended_at, round_trip; /* monotonic; the last only with an answer */
} ModbusAttempt;

/* remote: whose request it was; may be NULL. */
void modbus_counters_add(ModbusLineCounters *line, ModbusCounters *remote, const ModbusAttempt *a);

/* A time that half, 99 % of the last round trips did not exceed; rounded up by at most an eighth. 0: none
 * yet. For status tables: of a ModbusCounters. */
uint64_t modbus_counters_50(const void *counters);
uint64_t modbus_counters_99(const void *counters);
/* Of a ModbusLineCounters: 0 when the line rests. */
uint64_t modbus_line_load(const void *line);
uint64_t modbus_line_wire_load(const void *line);

/* Rows of a status table, for a ModbusCounters that the structure has as `member`. */
#define MODBUS_COUNTER_FIELDS(structure, member) \
        { "Requests", NULL, "requests transmitted", STATUS_COUNTER, offsetof(structure, member.requests) }, \
        { "Answers", NULL, "answers, error answers too", STATUS_COUNTER, offsetof(structure, member.answers) }, \
        { "Retries", NULL, "requests transmitted again", STATUS_COUNTER, offsetof(structure, member.retries) }, \
        { "Timeouts", NULL, "transmitted requests without an answer", STATUS_COUNTER, \
          offsetof(structure, member.timeouts) }, \
        { "ChecksumErrors", NULL, "answers with a wrong CRC or LRC", STATUS_COUNTER, \
          offsetof(structure, member.checksum_errors) }, \
        { "Exceptions", NULL, "error answers", STATUS_COUNTER, offsetof(structure, member.exceptions) }, \
        { "ExceptionCodes", NULL, "error answers by their code; 0: all codes above 11", STATUS_CODES, \
          offsetof(structure, member.codes) }, \
        { "BytesSent", NULL, "bytes of requests", STATUS_COUNTER, offsetof(structure, member.bytes_sent) }, \
        { "BytesReceived", NULL, "bytes of answers", STATUS_COUNTER, offsetof(structure, member.bytes_received) }, \
        { "LastRoundTripUSec", "us", "from the last request to its answer", STATUS_USEC, \
          offsetof(structure, member.round_trip) }, \
        { "RoundTrip50USec", "us", "half of the last answers took no longer", STATUS_USEC, \
          offsetof(structure, member), .compute = modbus_counters_50 }, \
        { "RoundTrip99USec", "us", "99 % of the last answers took no longer", STATUS_USEC, \
          offsetof(structure, member), .compute = modbus_counters_99 }
