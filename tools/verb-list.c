/* SPDX-License-Identifier: Apache-2.0 */
/* gatewayctl list [PATTERN…]: the table of devices. */
#include "tools/device-table.h"
#include "tools/output.h"
#include "tools/verbs.h"

ExitStatus verb_list(Client *c, const Options *o, char **arguments) {
        _cleanup_(gateway_view_freep) GatewayView *v = NULL;
        ExitStatus s, selected;
        Clocks now;

        s = gateway_fetch(c, false, &v);
        if (s != CTL_OK)
                return s;
        selected = gateway_select(v, arguments);
        if (o->json != JSON_OFF) {
                output_json(v->root, o->json);
                return selected;
        }
        if (v->devices->len == 0 && selected != CTL_OK)
                return selected;
        now = clocks_now(c);
        if (device_table_print(v->devices, o, &now) < 0)
                return complain(CTL_FAILED, "Cannot lay out the table");
        return selected;
}
