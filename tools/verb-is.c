/* SPDX-License-Identifier: Apache-2.0 */
/* gatewayctl is-enabled, is-running DEVICE…: the exit status is the answer; a word a device as well, unless
 * --quiet. */
#include <stdio.h>

#include "tools/device-view.h"
#include "tools/verbs.h"

/* With several devices the answer is yes when it is yes for all; else it is that of the first which is not.
 * */
static ExitStatus ask(Client *c, const Options *o, char **arguments,
                      ExitStatus (*answer)(const DeviceView *v, bool quiet)) {
        ExitStatus first = CTL_OK;

        for (; *arguments; arguments++) {
                _cleanup_(device_view_freep) DeviceView *v = NULL;
                ExitStatus s = device_find(c, *arguments, false, &v);

                if (s == CTL_OK)
                        s = answer(v, o->quiet);
                first = first != CTL_OK ? first : s;
        }
        return first;
}

/* What was the last word of an event server that is away is no yes. */
static ExitStatus is_enabled(const DeviceView *v, bool quiet) {
        if (!quiet)
                puts(!v->enabled_known ? "unknown" : v->enabled ? "enabled" : "disabled");
        return v->enabled_known && v->enabled ? CTL_OK : CTL_FAILED;
}

static ExitStatus is_running(const DeviceView *v, bool quiet) {
        if (!quiet)
                puts(v->state);
        return v->running ? CTL_OK : CTL_NOT_RUNNING;
}

ExitStatus verb_is_enabled(Client *c, const Options *o, char **arguments) {
        return ask(c, o, arguments, is_enabled);
}

ExitStatus verb_is_running(Client *c, const Options *o, char **arguments) {
        return ask(c, o, arguments, is_running);
}
