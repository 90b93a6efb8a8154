/* SPDX-License-Identifier: Apache-2.0 */
/* The table of devices, laid out by libsmartcols. Cells are cut before: it would cut without a sign that
 * something is missing. */
#include <errno.h>
#include <libsmartcols.h>
#include <stdio.h>

#include "tools/output.h"
#include "tools/table.h"
#include "tools/text.h"

enum { TYPE, NAME, ENABLED, STATE, LINK, SINCE, DETAIL, N_COLUMNS };

static const char *const headings[N_COLUMNS] = { "TYPE", "NAME",  "ENABLED", "STATE",
                                                 "LINK", "SINCE", "DETAIL" };

#define NAME_LEAST 12U   /* columns that a name keeps when the terminal is narrow */
#define DETAIL_LEAST 10U /* and the detail */

typedef struct Row {
        char *cells[N_COLUMNS];
        const char *colours[N_COLUMNS]; /* NULL: none */
} Row;

static void row_clear(void *p) {
        Row *row = p;

        for (size_t i = 0; i < N_COLUMNS; i++)
                g_free(row->cells[i]);
}

static Row make_row(const DeviceView *v, const Clocks *now) {
        const char *grey = v->enabled ? "" : colour_of_state("disabled");

        return (Row) {
                .cells = {
                        [TYPE] = text_printable(v->type),
                        [NAME] = text_printable(v->name),
                        [ENABLED] = g_strdup(device_enabled_text(v)),
                        [STATE] = text_printable(v->state),
                        [LINK] = text_printable(v->link),
                        [SINCE] = device_since_text(v, now),
                        [DETAIL] = device_detail_text(v),
                },
                .colours = {
                        [ENABLED] = grey,
                        [STATE] = colour_of_state(v->state),
                        [LINK] = colour_of_link(v->link),
                },
        };
}

/* ---- fitting a terminal ------------------------------------------------------------------------------ */

static void cut_column(GArray *rows, size_t column, size_t width) {
        for (guint i = 0; i < rows->len; i++) {
                char **cell = &g_array_index(rows, Row, i).cells[column];
                char *cut = text_ellipsize(*cell, width);

                g_free(*cell);
                *cell = cut;
        }
}

/* Takes what is too much from a column, down to least; returns what is still too much. */
static size_t shrink(GArray *rows, size_t column, size_t widest, size_t least, size_t excess) {
        size_t width;

        if (excess == 0 || widest <= least)
                return excess;
        width = MAX(least, widest - MIN(widest, excess));
        cut_column(rows, column, width);
        return excess - (widest - width);
}

static void fit(GArray *rows, size_t columns) {
        size_t widest[N_COLUMNS], total = N_COLUMNS - 1, excess;

        for (size_t c = 0; c < N_COLUMNS; c++) {
                widest[c] = text_width(headings[c]);
                for (guint i = 0; i < rows->len; i++)
                        widest[c] = MAX(widest[c], text_width(g_array_index(rows, Row, i).cells[c]));
                total += widest[c];
        }

        excess = total > columns ? total - columns : 0;
        excess = shrink(rows, DETAIL, widest[DETAIL], DETAIL_LEAST, excess);
        excess = shrink(rows, NAME, widest[NAME], NAME_LEAST, excess);
        (void) shrink(rows, TYPE, widest[TYPE], NAME_LEAST, excess);
}

/* ---- printing ---------------------------------------------------------------------------------------- */

static void unref_table(struct libscols_table **t) {
        scols_unref_table(*t);
}

static int add_row(struct libscols_table *table, const Row *row) {
        struct libscols_line *line = scols_table_new_line(table, NULL);
        int r;

        if (!line)
                return -ENOMEM;
        for (size_t c = 0; c < N_COLUMNS; c++) {
                r = scols_line_set_data(line, c, row->cells[c]);
                if (r >= 0 && row->colours[c] && row->colours[c][0])
                        r = scols_cell_set_color(scols_line_get_cell(line, c), row->colours[c]);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int print_rows(const GArray *rows, bool headings_wanted) {
        _cleanup_(unref_table) struct libscols_table *table = scols_new_table();
        int r;

        if (!table)
                return -ENOMEM;
        (void) scols_table_enable_noheadings(table, !headings_wanted);
        (void) scols_table_enable_colors(table, output_has_colour());
        (void) scols_table_set_termforce(table, SCOLS_TERMFORCE_NEVER); /* cells are as wide as they are */
        for (size_t c = 0; c < N_COLUMNS; c++)
                if (!scols_table_new_column(table, headings[c], 0, 0))
                        return -ENOMEM;
        for (guint i = 0; i < rows->len; i++) {
                r = add_row(table, &g_array_index(rows, Row, i));
                if (r < 0)
                        return r;
        }
        return scols_print_table(table);
}

static void print_footer(const GPtrArray *devices) {
        unsigned failed = 0;

        for (guint i = 0; i < devices->len; i++)
                failed += streq(((const DeviceView *) devices->pdata[i])->state, "failed");
        printf("\n%u device%s listed", devices->len, devices->len == 1 ? "" : "s");
        if (failed > 0)
                printf(", %u failed", failed);
        puts(".");
}

int table_print(const GPtrArray *devices, const Options *o, const Clocks *now) {
        g_autoptr(GArray) rows = g_array_sized_new(false, false, sizeof(Row), devices->len);
        bool legend = output_is_terminal() && !o->no_legend;
        int r;

        g_array_set_clear_func(rows, row_clear);
        for (guint i = 0; i < devices->len; i++) {
                Row row = make_row(devices->pdata[i], now);

                g_array_append_val(rows, row);
        }
        if (output_is_terminal() && !o->full)
                fit(rows, output_columns());
        if (rows->len > 0) {
                r = print_rows(rows, legend);
                if (r < 0)
                        return r;
        }
        if (legend)
                print_footer(devices);
        return 0;
}
