/* SPDX-License-Identifier: Apache-2.0 */
/* How a command line names devices: TYPE/NAME, a NAME, an object path, a shell pattern. Pure functions. */
#pragma once

#include "base/macros.h"

/* Takes TYPE/NAME or the object path of a device apart; both are the caller's. False: the text names no
 * type, so it is a name alone (or nothing). A type has no `/`; a name may have one in the hat form, and then
 * only TYPE/NAME finds it. */
bool device_name_split(const char *text, char **ret_type, char **ret_name);

bool device_name_is_glob(const char *text);
/* Whether the argument, taken literally, is a name of that device. */
bool device_name_is(const char *text, const char *type, const char *name);
/* Whether the argument, literally or as a pattern, selects that device. A pattern with `/` is compared with
 * TYPE/NAME too, one without only with the name. */
bool device_name_matches(const char *text, const char *type, const char *name);
/* Whether one of them does; NULL or none at all selects everything. NULL-terminated. */
bool device_names_match(char *const *texts, const char *type, const char *name);
