/* SPDX-License-Identifier: Apache-2.0 */
/* Which chips there are, and which one of the configuration is: by name, path or label. Reads the folder of
 * chips. Loop thread. */
#pragma once

#include "base/macros.h"

/* The path of its node, without links; caller frees. -ENOENT: there is none; -ENOTUNIQ: two have this label,
 * ret_others (freed by the caller then) names both. */
int gpio_chip_find(const char *chip, char **ret, char **ret_others);
/* The paths of the nodes of all chips (char *, links left out), in natural order; caller frees. */
GPtrArray *gpio_chips(void);
/* A name in the folder that may be a chip's. */
bool gpio_chip_is_node(const char *name);
