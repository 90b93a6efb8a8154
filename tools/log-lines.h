/* SPDX-License-Identifier: Apache-2.0 */
/* The last lines that the daemon logged about a device, from the journal of this machine. */
#pragma once

#include "tools/device-view.h"

/* Prints at most n lines, oldest first; nothing when the journal cannot be read or has none. uid: the user
 * whose lines are believed; the other fields of a journal entry can be said by anybody. */
void log_lines_print(const DeviceView *v, uid_t uid, unsigned n);
