/* SPDX-License-Identifier: Apache-2.0 */
/* What is waited for. No state. */
#include <errno.h>

#include "tools/device-view.h"
#include "tools/wait-goal.h"

static const char *const states[] = { "disabled", "waiting", "starting", "running",
                                      "stopping", "failed",  NULL };
static const char *const links[] = { "none", "connecting", "up", "partial", "down", NULL };

static int find_word(const char *const *words, const char *word, const char **ret) {
        if (!g_strv_contains(words, word))
                return -EINVAL;
        *ret = word;
        return 0;
}

int wait_goal_set_state(WaitGoal *g, const char *word) {
        return find_word(states, word, &g->state);
}

int wait_goal_set_link(WaitGoal *g, const char *word) {
        return find_word(links, word, &g->link);
}

bool wait_goal_is_met(const WaitGoal *g, const DeviceView *v) {
        if (g->enabled != GOAL_ANY && v->enabled != (g->enabled == GOAL_ENABLED))
                return false;
        return (!g->state || streq(g->state, v->state)) && (!g->link || streq(g->link, v->link));
}

bool wait_goal_is_lost(const WaitGoal *g, const DeviceView *v) {
        return g->enabled == GOAL_ENABLED && v->enabled && v->enabled_known && streq(v->state, "failed") &&
               v->next_retry_monotonic == 0 && !wait_goal_is_met(g, v);
}

bool wait_goal_is_passing(const WaitGoal *g) {
        return !g->link && g->state && (streq(g->state, "starting") || streq(g->state, "stopping"));
}

char *wait_goal_to_text(const WaitGoal *g) {
        if (g->state && g->link)
                return g_strdup_printf("%s with link %s", g->state, g->link);
        return g->state ? g_strdup(g->state) : g_strdup_printf("link %s", g->link);
}
