/* SPDX-License-Identifier: Apache-2.0 */
/* gatewayctl enable, disable DEVICE… [--wait[=STATE]]: done when the event server has accepted it; with
 * --wait when the devices have reached what is waited for. */
#include "tools/control.h"
#include "tools/verbs.h"
#include "tools/waiter.h"

static void wait_for_it(const char *argument, void *userdata) {
        waiter_add(userdata, argument);
}

static ExitStatus set_enabled(Client *c, const Options *o, char **arguments, bool enable) {
        const char *verb = enable ? "enable" : "disable", *method = enable ? "Enable" : "Disable";
        _cleanup_(waiter_freep) Waiter *w = NULL;
        WaitGoal goal = o->goal;
        ExitStatus asked, waited;

        if (!o->wait)
                return control_devices(c, verb, method, arguments, NULL, NULL);

        if (!goal.state && !goal.link)
                goal.state = enable ? "running" : "disabled";
        goal.enabled = enable ? GOAL_ENABLED : GOAL_DISABLED;
        waited = waiter_new(c, &goal, false, &w);
        if (waited != CTL_OK)
                return waited;
        asked = control_devices(c, verb, method, arguments, wait_for_it, w);
        waited = waiter_run(w);
        return asked != CTL_OK ? asked : waited;
}

ExitStatus verb_enable(Client *c, const Options *o, char **arguments) {
        return set_enabled(c, o, arguments, true);
}

ExitStatus verb_disable(Client *c, const Options *o, char **arguments) {
        return set_enabled(c, o, arguments, false);
}
