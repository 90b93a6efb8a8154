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
} Options;

typedef enum OptionFlag { /* those that only some verbs have */
        OPTION_WAIT = 1 << 0,
        OPTION_STATE = 1 << 1,
        OPTION_LINK = 1 << 2,
        OPTION_SNAPSHOT = 1 << 3,
        OPTION_PROPERTY = 1 << 4,
} OptionFlag;
