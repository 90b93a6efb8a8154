/* SPDX-License-Identifier: Apache-2.0 */
/* From the configuration of the embedded event server to a running one (spec embedded.md 1): its database
 * below the state directory, its sockets below the runtime directory or passed by the service manager. Loop
 * thread, at start. */
#pragma once

#include "base/sd.h"
#include "daemon/config.h"
#include "event/server/server.h"

/* Opens the database, registers what is initial, listens. <0: logged, with what to do about it. fds NULL:
 * none were passed. */
int north_embedded_open(sd_event *event, const EmbeddedConfig *config, const ListenFds *fds, const EventServerHandler *handler,
                        void *userdata, EventServer **ret);
/* What is initial and not there; also when an empty database took the place of a damaged one. <0: logged. */
int north_embedded_register_initial(EventServer *server, const EmbeddedConfig *config);
