/* SPDX-License-Identifier: Apache-2.0 */
/* What the command line says, for every verb. Filled once by main, read-only afterwards; strings are those
 * of argv. */
#pragma once

#include "base/macros.h"
#include "base/time.h"
#include "tools/wait-goal.h"

typedef enum BusKind {
        BUS_KIND_SYSTEM,
        BUS_KIND_USER,
        BUS_KIND_ADDRESS,
        BUS_KIND_HOST
} BusKind;

typedef enum JsonMode {
        JSON_OFF,
        JSON_SHORT,
        JSON_PRETTY
} JsonMode;

typedef struct Options {
        BusKind bus;
        const char *bus_where; /* of ADDRESS and HOST */
        JsonMode json;
        bool no_legend, quiet, full, snapshot;
        usec_t timeout; /* 0: not given */
        bool wait;
        WaitGoal goal;     /* of --wait=, --state= and --link=; empty: the verb's own */
        char **properties; /* of show; NULL: all */
        const char *server, *token_file; /* NULL: not given */
        const char *since, *until, *source_time; /* moments as they were written; NULL: not given */
        unsigned units_from, units_to; /* of scan; units_to 0: not given */
        usec_t unit_timeout;           /* 0: not given */
        int64_t limit; /* of history and trace; 0: not given */
        bool reverse, force, last;
        const char *pcap; /* NULL: not given */
} Options;

typedef enum OptionFlag { /* those that only some verbs have */
        OPTION_WAIT = 1 << 0,
        OPTION_STATE = 1 << 1,
        OPTION_LINK = 1 << 2,
        OPTION_SNAPSHOT = 1 << 3,
        OPTION_PROPERTY = 1 << 4,
        OPTION_SERVER = 1 << 5,
        OPTION_TOKEN_FILE = 1 << 6,
        OPTION_SINCE = 1 << 7,
        OPTION_UNTIL = 1 << 8,
        OPTION_LIMIT = 1 << 9,
        OPTION_REVERSE = 1 << 10,
        OPTION_SOURCE_TIME = 1 << 11,
        OPTION_FORCE = 1 << 12,
        OPTION_UNITS = 1 << 13,
        OPTION_UNIT_TIMEOUT = 1 << 14,
        OPTION_LAST = 1 << 15,
        OPTION_PCAP = 1 << 16,
} OptionFlag;
