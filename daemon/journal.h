/* SPDX-License-Identifier: Apache-2.0 */
/* Two observers of the gateway for the service manager: the journal (one line an edge, with fields and
 * message ids) and the STATUS= line. Loop thread. */
#pragma once

#include "daemon/gateway.h"

/* Logs state and link edges of devices. */
extern const GatewayObserver journal_observer;

typedef struct StatusLine StatusLine;
/* Keeps STATUS= true, at most twice a second. */
int status_line_new(Gateway *g, StatusLine **ret);
StatusLine *status_line_free(StatusLine *s);
DEFINE_CLEANUP(StatusLine, status_line_free);
