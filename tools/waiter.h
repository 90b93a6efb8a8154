/* SPDX-License-Identifier: Apache-2.0 */
/* Waits until devices reach a goal, always with a deadline. */
#pragma once

#include "tools/client.h"
#include "tools/wait-goal.h"

#define WAIT_USEC (60 * USEC_PER_SEC) /* without --timeout= */

typedef struct Waiter Waiter;

/* Subscribes now, so that what a later call causes is not missed, and starts the clock (client->deadline).
 * patient: a daemon that is not there, or goes, is waited for; else it ends the wait with CTL_NO_DAEMON.
 * client stays the caller's. Complains. */
ExitStatus waiter_new(Client *client, const WaitGoal *goal, bool patient, Waiter **ret);
Waiter *waiter_free(Waiter *w);
DEFINE_CLEANUP(Waiter, waiter_free);

/* argument: as on the command line, must outlive the waiter. */
void waiter_add(Waiter *w, const char *argument);
/* CTL_OK when every device has reached the goal; else complains about each that did not and returns the
 * status of the first. */
ExitStatus waiter_run(Waiter *w);
