/* SPDX-License-Identifier: Apache-2.0 */
/* The names of our D-Bus errors and the errno each stands for. No state. */
#pragma once

#include <systemd/sd-bus.h>

#include <config.h>

#define BUS_ERROR_NO_SUCH_DEVICE BUS_ERROR_PREFIX ".NoSuchDevice"       /* ENXIO */
#define BUS_ERROR_NOT_ENABLED BUS_ERROR_PREFIX ".NotEnabled"            /* EUNATCH */
#define BUS_ERROR_NOT_DISABLED BUS_ERROR_PREFIX ".NotDisabled"          /* EBUSY */
#define BUS_ERROR_NOT_CONNECTED BUS_ERROR_PREFIX ".NotConnected"        /* ENOTCONN */
#define BUS_ERROR_NOT_OPERATIONAL BUS_ERROR_PREFIX ".NotOperational"    /* EHOSTDOWN */
#define BUS_ERROR_INVALID_CONFIG BUS_ERROR_PREFIX ".InvalidConfig"      /* EBADMSG */
#define BUS_ERROR_SHUTTING_DOWN BUS_ERROR_PREFIX ".ShuttingDown"        /* ESHUTDOWN */

/* Makes sd-bus translate between these names and errno. Once a process is enough, more do no harm. */
int bus_error_register(void);
/* Fills ret with the name and a sentence for a negative errno of the gateway's verbs (also ETIMEDOUT).
 * What is in no table becomes org.freedesktop.DBus.Error.Failed. Returns a negative errno, for a method
 * handler to return. */
int bus_error_set(sd_bus_error *ret, int error);
