/* SPDX-License-Identifier: Apache-2.0 */
/* Our D-Bus errors. No state but libsystemd's own table of maps. */
#include "dbus/bus-error.h"

#include <errno.h>

#include "base/macros.h"

static const sd_bus_error_map bus_error_map[] = {
        SD_BUS_ERROR_MAP(BUS_ERROR_NO_SUCH_DEVICE, ENXIO),
        SD_BUS_ERROR_MAP(BUS_ERROR_NOT_ENABLED, EUNATCH),
        SD_BUS_ERROR_MAP(BUS_ERROR_NOT_DISABLED, EBUSY),
        SD_BUS_ERROR_MAP(BUS_ERROR_NOT_CONNECTED, ENOTCONN),
        SD_BUS_ERROR_MAP(BUS_ERROR_NOT_OPERATIONAL, EHOSTDOWN),
        SD_BUS_ERROR_MAP(BUS_ERROR_INVALID_CONFIG, EBADMSG),
        SD_BUS_ERROR_MAP(BUS_ERROR_SHUTTING_DOWN, ESHUTDOWN),
        SD_BUS_ERROR_MAP_END,
};

static const struct {
        int error;
        const char *name, *text;
} sentences[] = {
        { ENXIO, BUS_ERROR_NO_SUCH_DEVICE, "There is no such device." },
        { EUNATCH, BUS_ERROR_NOT_ENABLED, "The device is not enabled." },
        { EBUSY, BUS_ERROR_NOT_DISABLED, "The device is not disabled." },
        { ENOTCONN, BUS_ERROR_NOT_CONNECTED, "The gateway is not connected to an event server." },
        { EHOSTDOWN, BUS_ERROR_NOT_OPERATIONAL, "The event server is not operational or refused." },
        { EBADMSG, BUS_ERROR_INVALID_CONFIG, "The configuration of the device is wrong." },
        { ESHUTDOWN, BUS_ERROR_SHUTTING_DOWN, "The gateway is shutting down." },
        { ETIMEDOUT, SD_BUS_ERROR_TIMEOUT, "The event server did not answer in time." },
};

int bus_error_register(void) {
        return sd_bus_error_add_map(bus_error_map);
}

int bus_error_set(sd_bus_error *ret, int error) {
        for (size_t i = 0; i < ELEMENTSOF(sentences); i++)
                if (sentences[i].error == -error)
                        return sd_bus_error_set(ret, sentences[i].name, sentences[i].text);
        return sd_bus_error_setf(ret, SD_BUS_ERROR_FAILED, "%s", g_strerror(-error));
}
