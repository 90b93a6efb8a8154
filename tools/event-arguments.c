/* SPDX-License-Identifier: Apache-2.0 */
/* Arguments and options of the event verbs. No state. */
#include <errno.h>

#include "tools/event-arguments.h"
#include "tools/event-types.h"
#include "tools/moment.h"

static ExitStatus parse_type(const char *text, EventType *ret) {
        if (event_type_parse(text, ret) < 0)
                return complain(CTL_USAGE, "'%s' begins as a JSON array and is no JSON array of strings",
                                text);
        return CTL_OK;
}

ExitStatus event_patterns_parse(char **arguments, GArray **ret) {
        g_autoptr(GArray) types = event_types_new();

        for (; *arguments; arguments++) {
                EventType type;
                ExitStatus s;

                s = parse_type(*arguments, &type);
                if (s != CTL_OK)
                        return s;
                g_array_append_val(types, type);
                if (!event_query_type_valid(type))
                        return complain(CTL_USAGE, "'%s': * stands only at the end", *arguments);
        }
        *ret = TAKE_PTR(types);
        return CTL_OK;
}

ExitStatus event_type_argument(const char *text, EventType *ret) {
        EventType type;
        ExitStatus s;

        s = parse_type(text, &type);
        if (s != CTL_OK)
                return s;
        for (size_t i = 0; i < type.n; i++)
                if (subtype_is(type.subtypes[i], "?") || subtype_is(type.subtypes[i], "*")) {
                        event_type_done(&type);
                        return complain(CTL_USAGE, "'%s' is a pattern, not the type of one event", text);
                }
        *ret = type;
        return CTL_OK;
}

ExitStatus moment_argument(const char *option, const char *text, Timestamp *ret) {
        Timestamp now = timestamp_now();

        switch (moment_parse(text, &now, ret)) {
        case 0:
                return CTL_OK;
        case -ERANGE:
                return complain(CTL_USAGE, "%s%s: too far away", option, text);
        default:
                return complain(CTL_USAGE,
                                "%s%s: a moment is @SECONDS, 2026-11-24, '2026-11-24 17:45:30', 17:45, -5min, now or "
                                "the like",
                                option, text);
        }
}
