/* SPDX-License-Identifier: Apache-2.0 */
/* What a listing and a status say of a device. Pure functions of a view and the time; caller frees what they
 * return. */
#pragma once

#include "tools/device-view.h"

/* Both clocks of one moment, and which of them the daemon shares. */
typedef struct Clocks {
        bool local;
        usec_t realtime, monotonic;
} Clocks;

Clocks clocks_now(const Client *c);

/* "yes", "no", "unknown" while the last enable event is not known. */
const char *device_enabled_text(const DeviceView *v);
/* While the device runs and its link is not up the link is what matters, else the state. */
bool device_link_matters(const DeviceView *v);
/* Since when, "3min ago"; "" when it is not known. By the monotonic clock where we share it: real time
 * jumps. */
char *device_since_text(const DeviceView *v, const Clocks *now);
/* The sentence, else the reason; "" when there is neither. */
char *device_detail_text(const DeviceView *v);
/* "in 5s"; "" when no retry is planned or its clock is not ours. */
char *device_retry_text(const DeviceView *v, const Clocks *now);
/* One moment of two clocks as "3min ago"; "" for 0. */
char *moment_text(usec_t realtime, usec_t monotonic, const Clocks *now);
