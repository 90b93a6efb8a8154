/* SPDX-License-Identifier: Apache-2.0 */
/* What a D-Bus error means to a caller of gatewayctl. No state. */
#include <stdarg.h>
#include <stdio.h>

#include <config.h>

#include "tools/exit-status.h"
#include "tools/text.h"

typedef struct ErrorRule {
        const char *name; /* one that ends in "." is a prefix */
        ExitStatus status;
        const char *text; /* instead of the message of the error; may hold one %s for what was asked */
} ErrorRule;

#define NOT_THERE "gatewayd is not running: nobody has the name " BUS_NAME " on this bus"
#define WENT_AWAY "gatewayd or the bus went away when asked to %s"
#define DENIED                                                                  \
        "Access denied: to %s, be root or a member of the group " SERVICE_GROUP \
        " (usermod -aG " SERVICE_GROUP " USER, then log in again)"

static const ErrorRule rules[] = {
        { BUS_ERROR_PREFIX ".NoSuchDevice", CTL_NO_DEVICE, NULL },
        { SD_BUS_ERROR_UNKNOWN_OBJECT, CTL_NO_DEVICE, "Cannot %s: there is no such device any more" },
        { SD_BUS_ERROR_ACCESS_DENIED, CTL_DENIED, DENIED },
        { SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED, CTL_DENIED, DENIED },
        { SD_BUS_ERROR_SERVICE_UNKNOWN, CTL_NO_DAEMON, NOT_THERE },
        { SD_BUS_ERROR_NAME_HAS_NO_OWNER, CTL_NO_DAEMON, NOT_THERE },
        { SD_BUS_ERROR_NO_REPLY, CTL_NO_DAEMON, WENT_AWAY },
        { SD_BUS_ERROR_DISCONNECTED, CTL_NO_DAEMON, WENT_AWAY },
        { SD_BUS_ERROR_NO_SERVER, CTL_NO_DAEMON, NULL },
        { "org.freedesktop.DBus.Error.TimedOut", CTL_NO_DAEMON, NULL }, /* the bus gave up starting it */
        { "org.freedesktop.DBus.Error.Spawn.", CTL_NO_DAEMON, NULL },
        { "org.freedesktop.systemd1.", CTL_NO_DAEMON, NULL },
};

static const ErrorRule *find_rule(const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(rules); i++) {
                const ErrorRule *r = &rules[i];

                if (g_str_has_suffix(r->name, ".") ? g_str_has_prefix(name, r->name) : streq(name, r->name))
                        return r;
        }
        return NULL;
}

ExitStatus exit_status_from_error(const char *name) {
        const ErrorRule *r = find_rule(name);

        return r ? r->status : CTL_FAILED;
}

char *error_sentence(const char *name, const char *message, const char *what) {
        const ErrorRule *r = find_rule(name);
        g_autofree char *text = NULL;

        if (r && r->text)
                return g_strdup_printf(r->text, what);
        text = text_printable(message && message[0] ? message : name);
        if (g_str_has_suffix(text, "."))
                text[strlen(text) - 1] = '\0';
        return g_strdup_printf("Cannot %s: %s", what, text);
}

ExitStatus complain(ExitStatus status, const char *format, ...) {
        g_autofree char *text = NULL, *printable = NULL;
        va_list ap;

        va_start(ap, format);
        text = g_strdup_vprintf(format, ap);
        va_end(ap);
        printable = text_printable(text);
        fprintf(stderr, "gatewayctl: %s.\n", printable);
        return status;
}
