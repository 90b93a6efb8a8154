/* SPDX-License-Identifier: Apache-2.0 */
/* Standard output. What it is, is found out once. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "tools/json-text.h"
#include "tools/output.h"
#include "tools/text.h"

#define GREEN "\033[32m"
#define YELLOW "\033[33m"
#define RED "\033[31m"
#define GREY "\033[90m"
#define BOLD "\033[1m"
#define NORMAL "\033[0m"

bool output_is_terminal(void) {
        static int known = -1;

        if (known < 0)
                known = isatty(STDOUT_FILENO) > 0;
        return known;
}

size_t output_columns(void) {
        const char *columns = getenv("COLUMNS");
        struct winsize size = {};
        uint64_t n;

        if (columns && g_ascii_string_to_unsigned(columns, 10, 1, 10000, &n, NULL))
                return (size_t) n;
        if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
                return size.ws_col;
        return 80;
}

bool output_has_colour(void) {
        static int known = -1;

        if (known < 0) {
                const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

                known = output_is_terminal() && !(no && no[0]) && term && term[0] && !streq(term, "dumb");
        }
        return known;
}

/* ---- colours ----------------------------------------------------------------------------------------- */

typedef struct WordColour {
        const char *word, *start;
} WordColour;

static const WordColour state_colours[] = {
        { "running", GREEN },   { "waiting", YELLOW }, { "starting", YELLOW }, { "degraded", YELLOW },
        { "stopping", YELLOW }, { "failed", RED },     { "disabled", GREY },   {},
};

static const WordColour link_colours[] = {
        { "up", GREEN }, { "connecting", YELLOW }, { "partial", YELLOW },
        { "down", RED }, { "none", GREY },         {},
};

static const char *find_colour(const WordColour *table, const char *word) {
        if (output_has_colour())
                for (; table->word; table++)
                        if (streq(table->word, word))
                                return table->start;
        return "";
}

const char *colour_of_state(const char *state) {
        return find_colour(state_colours, state);
}

const char *colour_of_link(const char *link) {
        return find_colour(link_colours, link);
}

const char *colour_bold(void) {
        return output_has_colour() ? BOLD : "";
}

const char *colour_end(const char *start) {
        return start[0] ? NORMAL : "";
}

/* ---- JSON -------------------------------------------------------------------------------------------- */

/* json-glib leaves the control characters C1 as they are. */
static char *node_text(JsonNode *node, JsonTextFlags flags) {
        g_autofree char *text = json_to_string(node, false);

        return json_text((JsonSpan) { .text = text, .size = strlen(text) }, flags);
}

void output_json(JsonNode *node, JsonMode mode) {
        g_autofree char *text = node_text(node, mode == JSON_PRETTY ? JSON_TEXT_INDENT : 0);

        puts(text);
}

char *output_value(JsonNode *value) {
        if (!value || JSON_NODE_HOLDS_NULL(value))
                return g_strdup("");
        if (!JSON_NODE_HOLDS_VALUE(value))
                return node_text(value, 0);
        if (json_node_get_value_type(value) == G_TYPE_STRING)
                return text_printable(json_node_get_string(value));
        if (json_node_get_value_type(value) == G_TYPE_BOOLEAN)
                return g_strdup(json_node_get_boolean(value) ? "yes" : "no");
        return node_text(value, 0);
}
