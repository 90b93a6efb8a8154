/* SPDX-License-Identifier: Apache-2.0 */
/* JSON text laid out anew without a change of any value: numbers stay as long as they are. Pure functions. */
#pragma once

#include "base/json.h"

typedef enum JsonTextFlags {
        JSON_TEXT_LETTERS = 1 << 0, /* \u escapes of what can be printed become letters */
        JSON_TEXT_INDENT = 1 << 1,  /* one line a member, else one line for all */
} JsonTextFlags;

/* value: checked text. Nothing in the result that a terminal obeys: control characters are \u escapes, and
 * with JSON_TEXT_LETTERS everything else that is not printable too. Caller frees. */
char *json_text(JsonSpan value, JsonTextFlags flags);

/* For people: a string as its own text (harmless), anything else as compact JSON with letters. Caller frees. */
char *json_text_plain(JsonSpan value);
