/* SPDX-License-Identifier: Apache-2.0 */
/* What is waited for: a state, a link, both. Pure. */
#pragma once

#include "base/macros.h"

typedef struct DeviceView DeviceView;

/* The words are those of the D-Bus properties; borrowed. */
typedef struct WaitGoal {
        const char *state, *link; /* NULL: any */
        enum {
                GOAL_ANY,
                GOAL_ENABLED,
                GOAL_DISABLED
        } enabled; /* what was asked for must have come back from the event server */
} WaitGoal;

/* -EINVAL: no such state, no such link. */
int wait_goal_set_state(WaitGoal *g, const char *word);
int wait_goal_set_link(WaitGoal *g, const char *word);

bool wait_goal_is_met(const WaitGoal *g, const DeviceView *v);
/* Never met by itself: the device was asked to run, failed, and is not tried again. */
bool wait_goal_is_lost(const WaitGoal *g, const DeviceView *v);
/* The state passes so quickly that only the signal tells of it. */
bool wait_goal_is_passing(const WaitGoal *g);
/* "running", "link up", "running with link up"; caller frees. */
char *wait_goal_to_text(const WaitGoal *g);
