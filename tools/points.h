/* SPDX-License-Identifier: Apache-2.0 */
/* Points of a device as its description hands them out (DevicePoint in devices/device.h says what the events of
 * each kind mean). Pure functions. */
#pragma once

#include "tools/device-view.h"
#include "tools/event-types.h"

typedef enum PointKind {
        POINT_VALUE,
        POINT_ENABLE,
        _POINT_KIND_MAX,
        _POINT_KIND_INVALID = -EINVAL,
} PointKind;
DECLARE_STRING_TABLE(point_kind, PointKind); /* "value", "enable" */

/* Types are whole; one without subtypes: cannot be read, cannot be written, nothing answers. */
typedef struct Point {
        PointKind kind;
        char *name;
        EventType in, out, answer;
} Point;

/* Point elements that the array frees, in the order of the description; of a kind that we do not know none. */
GPtrArray *points_new(const DeviceView *v);

/* The point of that kind which can be written: by its name, else by the end of it behind a `/` where that is
 * unique. Complains: CTL_NO_DEVICE, several CTL_USAGE, one that cannot be written CTL_FAILED. */
ExitStatus point_find(const GPtrArray *points, const DeviceView *v, PointKind kind, const char *name,
                      const Point **ret);

/* The device and the part that an argument TYPE/NAME/PART or, where the name is unique, NAME/PART names.
 * ret_device: NULL when it names none, or is itself the name of a device. ret_part points into argument.
 * Complains: CTL_USAGE, several devices. */
ExitStatus points_split(const GatewayView *g, const char *argument, const DeviceView **ret_device,
                        const char **ret_part);
