/* SPDX-License-Identifier: Apache-2.0 */
/* Devices and the gateway as gatewayd describes them in JSON (the one schema of everything that gatewayctl
 * reads), and how to fetch them. */
#pragma once

#include <json-glib/json-glib.h>

#include "tools/client.h"

/* One device. The strings live in the object; what is null there is "" or 0 here. */
typedef struct DeviceView {
        JsonObject *object; /* the whole description */
        char *path;         /* object path; NULL when it was fetched with all others */
        const char *type, *name, *description;
        bool enabled, enabled_known, running;
        const char *state, *state_reason, *state_detail;
        const char *link, *link_reason, *link_detail;
        usec_t state_realtime, state_monotonic, link_realtime, link_monotonic, next_retry_monotonic;
} DeviceView;

/* The whole gateway. */
typedef struct GatewayView {
        JsonNode *root;      /* {"Version":1,"Manager":{…},"Devices":[…]} */
        JsonObject *manager; /* in root */
        GPtrArray *devices;  /* DeviceView, in the order of a listing */
} GatewayView;

DeviceView *device_view_free(DeviceView *v);
DEFINE_CLEANUP(DeviceView, device_view_free);
GatewayView *gateway_view_free(GatewayView *v);
DEFINE_CLEANUP(GatewayView, gateway_view_free);

/* Value of a member as text, number or boolean; "", 0, false when it is missing, null or of another type, or
 * o is NULL. */
const char *member_string(JsonObject *o, const char *name);
uint64_t member_number(JsonObject *o, const char *name);
bool member_boolean(JsonObject *o, const char *name);
/* The same as an array; NULL. */
JsonArray *member_array(JsonObject *o, const char *name);

/* A text that is one JSON object; NULL: it is not. Caller frees. */
JsonNode *parse_object(const char *text);
/* From the text of Describe. -EBADMSG. */
int gateway_view_parse(const char *text, GatewayView **ret);
int device_view_parse(const char *text, DeviceView **ret);

/* start: may start the daemon. */
ExitStatus gateway_fetch(Client *c, bool start, GatewayView **ret);
/* Removes what no argument selects. An argument without a pattern that selects nothing is complained about
 * (one line each) and makes CTL_NO_DEVICE; the others are still selected. */
ExitStatus gateway_select(GatewayView *v, char *const *arguments);

/* The device of one argument: TYPE/NAME, its object path, or a NAME that is unique (several: CTL_USAGE). No
 * pattern. */
ExitStatus device_find(Client *c, const char *argument, bool start, DeviceView **ret);
/* Fetched again by its path. */
ExitStatus device_fetch(Client *c, const char *path, DeviceView **ret);
/* Whether an argument TYPE/NAME names a device. */
ExitStatus device_is_there(Client *c, const char *type, const char *name, bool start, bool *ret);
