/* SPDX-License-Identifier: Apache-2.0 */
/* What one remote device reads, and when: data grouped into requests (spec modbus.md 5.2), the schedule
 * of rounds (5.3), and what changed between two answers (5.4). Pure: time comes in as an argument. Loop
 * thread. */
#pragma once

#include "base/time.h"
#include "devices/modbus/modbus-codec.h"
#include "devices/modbus/modbus-conf.h"

/* What of an item was reported last; only where `report` is configured. */
typedef struct ModbusReported {
        const ModbusReportConf *conf;
        double value;
        usec_t at;
        bool pending;           /* it has changed since */
} ModbusReported;

/* One data item, as a part of its group's answer. */
typedef struct ModbusItem {
        const char *name;       /* the configuration's */
        uint32_t offset;        /* of its first bit in the group's bit string */
        uint32_t n_bits;
        uint32_t start, quantity; /* what it alone would read */
        const ModbusValueConf *value; /* NULL: a raw integer */
        ModbusReported *reported; /* NULL: each change is reported */
} ModbusItem;

/* What is known of a group's items: all of them share it, because one answer brings them all. */
typedef enum ModbusKnown {
        MODBUS_KNOWN_NOTHING,
        MODBUS_KNOWN_VALUES,
        MODBUS_KNOWN_ERROR,
} ModbusKnown;

/* One request of a round. */
typedef struct ModbusGroup {
        ModbusItem *items;      /* in the order of their events */
        size_t n_items;
        usec_t interval;
        usec_t last;            /* start of the round that read it last; USEC_INFINITY: none */
        usec_t good;            /* start of the round that brought its values last; 0: none */
        usec_t error_at;        /* when the error was reported last */
        uint8_t *bits;          /* the last values as a bit string, on demand */
        uint32_t start, quantity;
        ModbusDataType type;
        ModbusKnown known;
        ModbusResult error;     /* MODBUS_KNOWN_ERROR */
        bool due;               /* in this round, not yet given out */
        bool reporting;         /* an item has `reported`: unchanged answers have to be looked at, too */
        uint8_t frame_size;
        uint8_t frame[MODBUS_READ_FRAME_MAX]; /* the ready request */
} ModbusGroup;

typedef struct ModbusPoll {
        ModbusGroup *groups;
        size_t n_groups;
        ModbusItem *items;      /* all groups' */
        ModbusReported *reported; /* all items' */
        size_t next;            /* group to look at next in this round */

        const ModbusRemoteConf *conf;
        const ModbusFraming *framing;
        bool split;             /* groups are not those of the configuration any more */
} ModbusPoll;

/* Groups what has an interval, and makes the requests. The configuration must stay. */
void modbus_poll_init(ModbusPoll *p, const ModbusRemoteConf *conf, const ModbusFraming *framing);
void modbus_poll_done(ModbusPoll *p);
/* Forgets read times, values and the round. */
void modbus_poll_reset(ModbusPoll *p);
/* The same, and which groups were split. */
void modbus_poll_restore(ModbusPoll *p);
/* The group was refused for its address: unless max_gap is null it becomes two, which are next in this
 * round. false: it stays, and the refusal is its items'. true: the group is gone, all others have moved, and
 * those behind it are one further on. */
bool modbus_poll_split(ModbusPoll *p, ModbusGroup *g);

/* The next group of this round. NULL: all are given out. */
ModbusGroup *modbus_poll_next(ModbusPoll *p);
/* When all of them have been read: the first group of a new round. NULL: nothing is due before *ret_wake. */
ModbusGroup *modbus_poll_begin(ModbusPoll *p, usec_t now, usec_t *ret_wake);

/* When the values that were read longest ago were asked for, but not before `since`; USEC_INFINITY: nothing is
 * read. */
usec_t modbus_poll_oldest(const ModbusPoll *p, usec_t since);

/* The shortest interval; USEC_INFINITY: nothing is read. */
usec_t modbus_poll_shortest(const ModbusPoll *p);

/* Takes in an error answer. true: it is to be reported for each item: always, but for repetitions of the same
 * error faster than ten a second (D25); changes_only: but for repetitions. */
bool modbus_group_set_error(ModbusGroup *g, ModbusResult error, usec_t now, bool changes_only);

/* Takes in the data of a good answer, which modbus_response_parse() accepted for this group's request.
 * changed() is called for each item that is to be reported, in order; fresh: INTERROGATE, else CHANGE.
 * bits: the new bit string, in which the item lies. now counts only with `reporting`. */
typedef void (*ModbusChanged)(const ModbusItem *item, const uint8_t *bits, bool fresh, void *userdata);
void modbus_group_set_data(ModbusGroup *g, const uint8_t *data, size_t size, usec_t now, ModbusChanged changed,
                           void *userdata);
