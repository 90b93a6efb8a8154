/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs of gatewayctl, one file each. */
#pragma once

#include "tools/client.h"
#include "tools/options.h"

/* c: NULL for the verbs that the table lets connect themselves. arguments: what follows the verb,
 * NULL-terminated, as many as the verb table in gatewayctl.c allows. Complains about every failure. */
typedef ExitStatus (*Verb)(Client *c, const Options *o, char **arguments);

ExitStatus verb_list(Client *c, const Options *o, char **arguments);
ExitStatus verb_status(Client *c, const Options *o, char **arguments);
ExitStatus verb_show(Client *c, const Options *o, char **arguments);
ExitStatus verb_enable(Client *c, const Options *o, char **arguments);
ExitStatus verb_disable(Client *c, const Options *o, char **arguments);
ExitStatus verb_restart(Client *c, const Options *o, char **arguments);
ExitStatus verb_scan(Client *bus, const Options *o, char **arguments);
ExitStatus verb_wait(Client *c, const Options *o, char **arguments);
ExitStatus verb_is_enabled(Client *c, const Options *o, char **arguments);
ExitStatus verb_is_running(Client *c, const Options *o, char **arguments);
ExitStatus verb_monitor(Client *c, const Options *o, char **arguments);
ExitStatus verb_trace(Client *c, const Options *o, char **arguments);
ExitStatus verb_values(Client *bus, const Options *o, char **arguments);
ExitStatus verb_write(Client *bus, const Options *o, char **arguments);
ExitStatus verb_event_latest(Client *bus, const Options *o, char **arguments);
ExitStatus verb_event_history(Client *bus, const Options *o, char **arguments);
ExitStatus verb_event_follow(Client *bus, const Options *o, char **arguments);
ExitStatus verb_event_register(Client *bus, const Options *o, char **arguments);
ExitStatus verb_event_export(Client *bus, const Options *o, char **arguments);
ExitStatus verb_gpio_list(Client *c, const Options *o, char **arguments);
