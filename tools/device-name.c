/* SPDX-License-Identifier: Apache-2.0 */
/* How a command line names devices. No state. */
#include <fnmatch.h>

#include <systemd/sd-bus.h>

#include <config.h>

#include "tools/device-name.h"

#define DEVICE_PATH BUS_ROOT_PATH "/device/%/%"

bool device_name_split(const char *text, char **ret_type, char **ret_name) {
        const char *slash = strchr(text, '/');

        if (!slash)
                return false;
        if (slash == text)
                return sd_bus_object_path_is_valid(text) > 0 &&
                       sd_bus_path_decode_many(text, DEVICE_PATH, ret_type, ret_name) > 0;
        *ret_type = g_strndup(text, (gsize) (slash - text));
        *ret_name = g_strdup(slash + 1);
        return true;
}

bool device_name_is_glob(const char *text) {
        return strpbrk(text, "*?[");
}

bool device_name_is(const char *text, const char *type, const char *name) {
        g_autofree char *t = NULL, *n = NULL;

        if (!device_name_split(text, &t, &n))
                return streq(text, name);
        return streq(t, type) && streq(n, name);
}

bool device_name_matches(const char *text, const char *type, const char *name) {
        g_autofree char *full = NULL;

        if (device_name_is(text, type, name) || fnmatch(text, name, 0) == 0)
                return true;
        full = g_strconcat(type, "/", name, NULL);
        return strchr(text, '/') && fnmatch(text, full, 0) == 0;
}

bool device_names_match(char *const *texts, const char *type, const char *name) {
        if (!texts || !texts[0])
                return true;
        for (; *texts; texts++)
                if (device_name_matches(*texts, type, name))
                        return true;
        return false;
}
