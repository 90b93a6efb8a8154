/* SPDX-License-Identifier: Apache-2.0 */
/* Moments as people write them. */
#pragma once

#include "event/event.h"

/* `now`, `today`, `yesterday`; `@SECONDS` since 1970 with decimals; `-5min`, `+1h 30min`, `5m ago`;
 * `2026-11-24`, `2026-11-24 17:45`, `17:45:30.5` (of today), the first two with `T` or a space, all in local
 * time unless `Z` or `+01:00` follows a time. -EINVAL: none of these, -ERANGE: too far away. */
int moment_parse(const char *text, const Timestamp *now, Timestamp *ret);
