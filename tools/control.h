/* SPDX-License-Identifier: Apache-2.0 */
/* One method without arguments called on each of several devices. */
#pragma once

#include "tools/client.h"

/* verb: "enable", for complaints. May start the daemon. done: called with the argument of each device that
 * it worked for; may be NULL. All are tried; the status of the first that failed. */
ExitStatus control_devices(Client *c, const char *verb, const char *method, char **arguments,
                           void (*done)(const char *argument, void *userdata), void *userdata);
