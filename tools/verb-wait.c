/* SPDX-License-Identifier: Apache-2.0 */
/* gatewayctl wait DEVICE… [--state=STATE] [--link=LINK]: also for the daemon itself. */
#include "tools/verbs.h"
#include "tools/waiter.h"

ExitStatus verb_wait(Client *c, const Options *o, char **arguments) {
        _cleanup_(waiter_freep) Waiter *w = NULL;
        WaitGoal goal = o->goal;
        ExitStatus s;

        if (!goal.state && !goal.link)
                goal.state = "running";
        s = waiter_new(c, &goal, true, &w);
        if (s != CTL_OK)
                return s;
        for (; *arguments; arguments++)
                waiter_add(w, *arguments);
        return waiter_run(w);
}
