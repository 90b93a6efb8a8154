/* SPDX-License-Identifier: Apache-2.0 */
/* gatewayctl restart DEVICE…: ends the run of each and begins another. */
#include "tools/control.h"
#include "tools/verbs.h"

ExitStatus verb_restart(Client *c, const Options *o, char **arguments) {
        return control_devices(c, "restart", "Restart", arguments, NULL, NULL);
}
