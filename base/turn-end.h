/* SPDX-License-Identifier: Apache-2.0 */
/* What is to be done once at the end of a turn of the loop, however often it was asked for: behind every
 * source of the same priority that is ready in this turn, and before what becomes ready later can put it off,
 * as it could put off a source of a lower priority. To arm it is one system call, and none when it is armed
 * already. Loop thread. */
#pragma once

#include <systemd/sd-event.h>

#include "base/macros.h"

typedef struct TurnEnd TurnEnd;
typedef void (*TurnEndCallback)(void *userdata);

/* description (a literal) names the source in logs. */
int turn_end_new(sd_event *event, const char *description, TurnEndCallback callback, void *userdata, TurnEnd **ret);
TurnEnd *turn_end_free(TurnEnd *t);
DEFINE_CLEANUP(TurnEnd, turn_end_free);

/* Called back once; the callee may arm it again, for the next turn, or free it. */
void turn_end_arm(TurnEnd *t);
