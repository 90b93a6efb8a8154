/* SPDX-License-Identifier: Apache-2.0 */
/* gatewayctl gpio list [CHIP…]: the chips and lines where gatewayd runs, who holds them, and how a free one
 * is configured. */
#include <fnmatch.h>
#include <stdio.h>

#include <config.h>

#include "base/json.h"
#include "tools/device-view.h"
#include "tools/output.h"
#include "tools/table.h"
#include "tools/text.h"
#include "tools/verbs.h"

#define WHAT "list GPIO lines"

enum {
        CHIP,
        LABEL,
        LINE,
        NAME,
        DIRECTION,
        ACTIVE,
        BIAS,
        USE,
        N_COLUMNS
};

static const TableColumn columns[] = {
        [CHIP] = { "CHIP", 0 },
        [LABEL] = { "LABEL", 8 },
        [LINE] = { "LINE", 0 },
        [NAME] = { "NAME", 10 },
        [DIRECTION] = { "DIRECTION", 0 },
        [ACTIVE] = { "ACTIVE", 0 },
        [BIAS] = { "BIAS", 0 },
        [USE] = { "USE", 10 },
        [N_COLUMNS] = {},
};

static JsonObject *object_at(JsonArray *a, guint i) {
        JsonNode *n = json_array_get_element(a, i);

        return JSON_NODE_HOLDS_OBJECT(n) ? json_node_get_object(n) : NULL;
}

static guint length(JsonArray *a) {
        return a ? json_array_get_length(a) : 0;
}

/* ---- asking ------------------------------------------------------------------------------------------ */

static ExitStatus fetch(Client *c, JsonNode **ret) {
        g_autofree char *text = NULL;
        ExitStatus s;

        s = client_call_text(c,
                             &(Call) { .path = BUS_ROOT_PATH,
                                      .interface = BUS_MANAGER_INTERFACE,
                                      .member = "ListHardware",
                                      .what = WHAT,
                                      .timeout = READ_USEC },
                             &text, "s", "gpio");
        if (s != CTL_OK)
                return s;
        *ret = parse_object(text);
        if (!*ret) {
                client_complain_answer(WHAT, -EBADMSG);
                return CTL_FAILED;
        }
        return CTL_OK;
}

static bool chip_is(JsonObject *chip, const char *argument) {
        return fnmatch(argument, member_string(chip, "Name"), 0) == 0 ||
               fnmatch(argument, member_string(chip, "Path"), 0) == 0 ||
               fnmatch(argument, member_string(chip, "Label"), 0) == 0;
}

static bool is_selected(JsonObject *chip, char *const *arguments) {
        for (char *const *a = arguments; *a; a++)
                if (chip_is(chip, *a))
                        return true;
        return !arguments[0];
}

/* Removes the chips that no argument names. One that names none is complained about. */
static ExitStatus select_chips(JsonArray *chips, char *const *arguments) {
        ExitStatus s = CTL_OK;

        for (char *const *a = arguments; *a; a++) {
                guint i = 0;

                while (i < length(chips) && !chip_is(object_at(chips, i), *a))
                        i++;
                if (i == length(chips))
                        s = complain(CTL_FAILED, "There is no GPIO chip '%s'", *a);
        }
        for (guint i = length(chips); i-- > 0;)
                if (!is_selected(object_at(chips, i), arguments))
                        json_array_remove_element(chips, i);
        return s;
}

/* ---- table ------------------------------------------------------------------------------------------- */

typedef struct Totals {
        unsigned chips, lines, free;
} Totals;

static char *use_text(JsonObject *line) {
        const char *device = member_string(line, "Device"), *consumer = member_string(line, "Consumer");
        g_autofree char *text = NULL;

        if (!member_boolean(line, "Used"))
                return g_strdup("free");
        if (*device)
                text = g_strdup_printf("gpio/%s/%s", device, member_string(line, "Point"));
        return text_printable(text ?: *consumer ? consumer : "used");
}

static void add_line(Table *t, JsonObject *chip, JsonObject *line, Totals *totals) {
        char *const cells[N_COLUMNS] = {
                [CHIP] = text_printable(member_string(chip, "Name")),
                [LABEL] = text_printable(member_string(chip, "Label")),
                [LINE] = g_strdup_printf("%" G_GUINT64_FORMAT, member_number(line, "Offset")),
                [NAME] = text_printable(member_string(line, "Name")),
                [DIRECTION] = text_printable(member_string(line, "Direction")),
                [ACTIVE] = g_strdup(member_boolean(line, "ActiveLow") ? "low" : "high"),
                [BIAS] = text_printable(member_string(line, "Bias")),
                [USE] = use_text(line),
        };
        bool used = member_boolean(line, "Used");
        const char *const colours[N_COLUMNS] = { [USE] = used ? "" : colour_of_state("running") };

        totals->lines++;
        totals->free += !used;
        table_add(t, cells, colours);
}

static void add_chip(Table *t, JsonObject *chip, Totals *totals) {
        JsonArray *lines = member_array(chip, "Lines");
        const char *error = member_string(chip, "Error");

        totals->chips++;
        for (guint i = 0; i < length(lines); i++)
                add_line(t, chip, object_at(lines, i), totals);
        if (*error) {
                char *cells[N_COLUMNS] = {
                        [CHIP] = text_printable(member_string(chip, "Name")), [USE] = text_printable(error)
                };
                const char *const colours[N_COLUMNS] = { [USE] = colour_of_state("failed") };

                for (size_t i = 0; i < N_COLUMNS; i++)
                        cells[i] = cells[i] ?: g_strdup("");
                table_add(t, cells, colours);
        }
}

/* ---- what to write ----------------------------------------------------------------------------------- */

static unsigned count_with(JsonArray *objects, const char *member, const char *value) {
        unsigned n = 0;

        for (guint i = 0; i < length(objects); i++)
                n += streq(member_string(object_at(objects, i), member), value);
        return n;
}

static JsonObject *find_free(JsonArray *chips, JsonObject **ret_chip) {
        for (guint i = 0; i < length(chips); i++) {
                JsonArray *lines = member_array(object_at(chips, i), "Lines");

                for (guint j = 0; j < length(lines); j++)
                        if (!member_boolean(object_at(lines, j), "Used")) {
                                *ret_chip = object_at(chips, i);
                                return object_at(lines, j);
                        }
        }
        return NULL;
}

/* A JSON string is one of YAML too. */
static char *quoted(const char *text) {
        JsonWriter w;

        json_writer_init_growing(&w);
        json_string(&w, text);
        return json_writer_steal(&w);
}

/* Numbers of chips change with what is plugged in, labels and names do not: those come first where they say
 * it alone. */
static void print_example(JsonArray *chips) {
        g_autofree char *chip_text = NULL, *name_text = NULL, *line_text = NULL;
        JsonObject *chip, *line = find_free(chips, &chip);
        const char *label, *name;

        if (!line)
                return;
        label = member_string(chip, "Label");
        name = member_string(line, "Name");
        chip_text = quoted(*label && count_with(chips, "Label", label) == 1 ? label
                                                                            : member_string(chip, "Name"));
        name_text = quoted(*name ? name : "input");
        line_text = *name && count_with(member_array(chip, "Lines"), "Name", name) == 1
                                    ? quoted(name)
                                    : g_strdup_printf("%" G_GUINT64_FORMAT, member_number(line, "Offset"));
        printf("\nA free line is configured so, see gatewayd.yaml(5):\n\n"
               "devices:\n"
               "  - type: gpio\n"
               "    name: io\n"
               "    chip: %s\n"
               "    lines:\n"
               "      - {name: %s, line: %s, direction: INPUT}\n",
               chip_text, name_text, line_text);
}

static void print_footer(const Totals *t) {
        printf("\n%u line%s on %u chip%s, %u free.\n", t->lines, t->lines == 1 ? "" : "s", t->chips,
               t->chips == 1 ? "" : "s", t->free);
}

/* ---- the verb ---------------------------------------------------------------------------------------- */

static ExitStatus print_table(const Options *o, JsonArray *chips) {
        _cleanup_(table_freep) Table *t = table_new(columns);
        Totals totals = {};

        for (guint i = 0; i < length(chips); i++)
                add_chip(t, object_at(chips, i), &totals);
        if (table_print(t, o) < 0)
                return complain(CTL_FAILED, "Cannot lay out the table");
        if (table_has_legend(o) && totals.chips > 0) {
                print_footer(&totals);
                print_example(chips);
        }
        return CTL_OK;
}

ExitStatus verb_gpio_list(Client *c, const Options *o, char **arguments) {
        g_autoptr(JsonNode) root = NULL;
        ExitStatus s, selected;
        JsonArray *chips;

        s = fetch(c, &root);
        if (s != CTL_OK)
                return s;
        chips = member_array(json_node_get_object(root), "Hardware");
        if (length(chips) == 0 && o->json == JSON_OFF && !o->quiet)
                (void) complain(CTL_OK, "There is no GPIO chip where gatewayd runs");
        selected = select_chips(chips, arguments);
        if (o->json != JSON_OFF) {
                output_json(root, o->json);
                return selected;
        }
        s = print_table(o, chips);
        return s != CTL_OK ? s : selected;
}
