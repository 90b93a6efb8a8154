/* SPDX-License-Identifier: Apache-2.0 */
/* The table of devices: what `list` prints. On a terminal with header, footer and colours and no wider than
 * it. */
#pragma once

#include "tools/device-text.h"
#include "tools/options.h"

/* <0: libsmartcols has failed. */
int device_table_print(const GPtrArray *devices, const Options *o, const Clocks *now);
