/* SPDX-License-Identifier: Apache-2.0 */
/* What standard output is and how it is written: terminal, colours, JSON. */
#pragma once

#include <json-glib/json-glib.h>

#include "tools/device-view.h"
#include "tools/options.h"

bool output_is_terminal(void);
/* Columns of the terminal; 80 when it does not say. */
size_t output_columns(void);
/* Terminals only, and only without $NO_COLOR and with a $TERM other than dumb. */
bool output_has_colour(void);

/* What starts and ends the colour of a word; "" without colours, and start is "" for a word that has none.
 * */
const char *colour_of_state(const char *state);
const char *colour_of_link(const char *link);
const char *colour_bold(void);
const char *colour_end(const char *start);

/* As --json= asks, harmless, one line end after it. */
void output_json(JsonNode *node, JsonMode mode);
/* A text of one line for a value: strings harmless, yes and no, numbers, "" for null, harmless
 * JSON for what has parts. Caller frees. */
char *output_value(JsonNode *value);
