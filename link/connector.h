/* SPDX-License-Identifier: Apache-2.0 */
/* The way to a connected descriptor, inside of Stream: looks the name up, tries its addresses in turn.
 * Loop thread. */
#pragma once

#include <systemd/sd-event.h>

#include "base/macros.h"
#include "base/time.h"
#include "link/address.h"
#include "link/resolver.h"

typedef struct Connector Connector;
/* Once, in a later turn than connector_new(). error 0: fd (non-blocking, close-on-exec) is
 * the callee's; <0: fd is negative. The callee frees the connector, here or later. */
typedef void (*ConnectorCallback)(int error, int fd, void *userdata);

/* timeout: lookup and all addresses together, each address gets its share; USEC_INFINITY: the system's.
 * The error is that of the first address, which is the best one. -ENXIO: a name and no resolver. */
int connector_new(sd_event *event, Resolver *resolver, const Address *address, usec_t timeout,
                  const char *description, ConnectorCallback callback, void *userdata, Connector **ret);
Connector *connector_free(Connector *c);
DEFINE_CLEANUP(Connector, connector_free);
