/* SPDX-License-Identifier: Apache-2.0 */
/* The exit statuses of gatewayctl (docs/gatewayctl.1) and the one table from D-Bus errors to them and to
 * sentences. Pure. */
#pragma once

#include <systemd/sd-bus.h>

#include "base/macros.h"
#include "base/time.h"

typedef enum ExitStatus {
        CTL_OK = 0,
        CTL_FAILED = 1, /* for every error without a number of its own; is-enabled: no, or unknown */
        CTL_USAGE = 2,
        CTL_NOT_RUNNING = 3, /* the device exists and does not run */
        CTL_NO_DEVICE = 4,
        CTL_TIMEOUT = 5, /* of wait, --wait, and of a write that nothing answers */
        CTL_DENIED = 6,
        CTL_NO_DAEMON = 8, /* gatewayd, or the event server that we speak to, does not run, went away, or cannot be reached */
} ExitStatus;

/* The status of a call that failed with that D-Bus error; CTL_FAILED for a name that the table does not
 * have. */
ExitStatus exit_status_from_error(const char *name);

/* One sentence for people, without a full stop before the end: what was asked ("enable modbus_master/plc")
 * and why it did not work. message: the text that came with the error, may be NULL. Caller frees. */
char *error_sentence(const char *name, const char *message, const char *what);

/* Prints "gatewayctl: …" on standard error, one line and harmless whatever the arguments are; returns status. */
ExitStatus complain(ExitStatus status, const char *format, ...) _printf_(2, 3);
