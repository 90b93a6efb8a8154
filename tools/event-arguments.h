/* SPDX-License-Identifier: Apache-2.0 */
/* Arguments and options of the event verbs, complained about where they are wrong. */
#pragma once

#include "event/event.h"
#include "tools/exit-status.h"

/* TYPE… as EventType elements (event_types_new()); none gives an empty array. Wildcards are allowed. */
ExitStatus event_patterns_parse(char **arguments, GArray **ret);
/* One TYPE without wildcards; event_type_done(). */
ExitStatus event_type_argument(const char *text, EventType *ret);
/* option: "--since=", for the complaint. */
ExitStatus moment_argument(const char *option, const char *text, Timestamp *ret);
