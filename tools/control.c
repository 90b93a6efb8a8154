/* SPDX-License-Identifier: Apache-2.0 */
/* One method called on each of several devices. No state. */
#include <config.h>

#include "tools/control.h"
#include "tools/device-view.h"

static ExitStatus control_one(Client *c, const char *verb, const char *method, const char *argument) {
        _cleanup_(device_view_freep) DeviceView *v = NULL;
        g_autofree char *what = NULL;
        ExitStatus s;

        s = device_find(c, argument, true, &v);
        if (s != CTL_OK)
                return s;
        what = g_strdup_printf("%s %s/%s", verb, v->type, v->name);
        return client_call(c,
                           &(Call) { .path = v->path,
                                    .interface = BUS_DEVICE_INTERFACE,
                                    .member = method,
                                    .what = what,
                                    .timeout = CONTROL_USEC,
                                    .start = true },
                           NULL, NULL);
}

ExitStatus control_devices(Client *c, const char *verb, const char *method, char **arguments,
                           void (*done)(const char *argument, void *userdata), void *userdata) {
        ExitStatus first = CTL_OK;

        for (; *arguments; arguments++) {
                ExitStatus s = control_one(c, verb, method, *arguments);

                if (s == CTL_OK && done)
                        done(*arguments, userdata);
                first = first != CTL_OK ? first : s;
        }
        return first;
}
