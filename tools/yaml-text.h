/* SPDX-License-Identifier: Apache-2.0 */
/* JSON values as YAML that people go on writing: one line a member, strings in quotes. Pure functions. */
#pragma once

#include "base/json.h"

/* value: checked text. Appends an object's members, each on lines of its own behind so many spaces; anything
 * else as one line. */
void yaml_text_append(GString *out, JsonSpan value, size_t indent);
