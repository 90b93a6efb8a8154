/* SPDX-License-Identifier: Apache-2.0 */
/* Names of reasons, links and kinds of points, and the table of device types. Pure functions. */

#include "devices/device.h"

#include <errno.h>

static const char *const device_reason_names[] = {
        [DEVICE_REASON_NONE] = "none",
        [DEVICE_REASON_CONFIG] = "config",
        [DEVICE_REASON_NOT_FOUND] = "not-found",
        [DEVICE_REASON_BUSY] = "busy",
        [DEVICE_REASON_REFUSED] = "refused",
        [DEVICE_REASON_TIMEOUT] = "timeout",
        [DEVICE_REASON_LOST] = "lost",
        [DEVICE_REASON_PROTOCOL] = "protocol",
        [DEVICE_REASON_IO] = "io",
        [DEVICE_REASON_INTERNAL] = "internal",
        [DEVICE_REASON_DISABLED] = "disabled",
        [DEVICE_REASON_NO_EVENT_SERVER] = "no-event-server",
        [DEVICE_REASON_NOT_OPERATIONAL] = "not-operational",
        [DEVICE_REASON_NOT_BLESSED] = "not-blessed",
};
G_STATIC_ASSERT(ELEMENTSOF(device_reason_names) == _DEVICE_REASON_MAX);
DEFINE_STRING_TABLE(device_reason, DeviceReason, device_reason_names);

static const char *const device_link_names[] = {
        [DEVICE_LINK_NONE] = "none",
        [DEVICE_LINK_CONNECTING] = "connecting",
        [DEVICE_LINK_UP] = "up",
        [DEVICE_LINK_PARTIAL] = "partial",
        [DEVICE_LINK_DOWN] = "down",
};
G_STATIC_ASSERT(ELEMENTSOF(device_link_names) == _DEVICE_LINK_MAX);
DEFINE_STRING_TABLE(device_link, DeviceLink, device_link_names);

static const char *const device_point_kind_names[] = {
        [DEVICE_POINT_VALUE] = "value",
        [DEVICE_POINT_ENABLE] = "enable",
};
G_STATIC_ASSERT(ELEMENTSOF(device_point_kind_names) == _DEVICE_POINT_KIND_MAX);
DEFINE_STRING_TABLE(device_point_kind, DevicePointKind, device_point_kind_names);

DeviceReason device_reason_from_errno(int error) {
        switch (-error) {
        case 0:
        case ECONNRESET:
        case EPIPE:
        case ENOTCONN:
        case ENETRESET:
        case ECONNABORTED:
                return DEVICE_REASON_LOST;
        case ENOENT:
        case ENXIO:
        case ENODEV:
        case EADDRNOTAVAIL:
                return DEVICE_REASON_NOT_FOUND;
        case EBUSY:
        case EADDRINUSE:
                return DEVICE_REASON_BUSY;
        case ECONNREFUSED:
                return DEVICE_REASON_REFUSED;
        case ETIMEDOUT:
        case ETIME:
        case EALREADY: /* an earlier attempt hangs */
                return DEVICE_REASON_TIMEOUT;
        case EBADMSG:
        case EMSGSIZE:
        case EPROTO:
                return DEVICE_REASON_PROTOCOL;
        case ENOMEM:
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case EINVAL:
                return DEVICE_REASON_INTERNAL;
        case ENOTTY:
        case EOPNOTSUPP:
                return DEVICE_REASON_CONFIG; /* no such line, or one that cannot do what is asked */
        default:
                return DEVICE_REASON_IO;
        }
}

const DeviceType *device_type_find(const char *name) {
        for (const DeviceType *const *t = device_types; *t; t++)
                if (streq((*t)->name, name))
                        return *t;
        return NULL;
}

const DeviceType *device_type_find_module(const char *module) {
        for (const DeviceType *const *t = device_types; *t; t++)
                if ((*t)->module && streq((*t)->module, module))
                        return *t;
        return NULL;
}
