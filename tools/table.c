/* SPDX-License-Identifier: Apache-2.0 */
/* A table laid out by libsmartcols. Cells are cut before: it would cut without a sign that something is
 * missing. */
#include <errno.h>
#include <libsmartcols.h>
#include <stdio.h>

#include "tools/output.h"
#include "tools/table.h"
#include "tools/text.h"

typedef struct Row {
        char *cells[TABLE_COLUMNS_MAX];
        const char *colours[TABLE_COLUMNS_MAX]; /* NULL: none */
} Row;

struct Table {
        const TableColumn *columns;
        size_t n_columns;
        GArray *rows;
};

static void row_clear(void *p) {
        Row *row = p;

        for (size_t i = 0; i < TABLE_COLUMNS_MAX; i++)
                g_free(row->cells[i]);
}

Table *table_new(const TableColumn *columns) {
        Table *t = g_new0(Table, 1);

        t->columns = columns;
        while (t->n_columns < TABLE_COLUMNS_MAX && columns[t->n_columns].heading)
                t->n_columns++;
        t->rows = g_array_new(false, false, sizeof(Row));
        g_array_set_clear_func(t->rows, row_clear);
        return t;
}

Table *table_free(Table *t) {
        if (!t)
                return NULL;
        g_array_unref(t->rows);
        g_free(t);
        return NULL;
}

void table_add(Table *t, char *const *cells, const char *const *colours) {
        Row row = {};

        for (size_t i = 0; i < t->n_columns; i++) {
                row.cells[i] = cells[i];
                row.colours[i] = colours ? colours[i] : NULL;
        }
        g_array_append_val(t->rows, row);
}

bool table_has_legend(const Options *o) {
        return output_is_terminal() && !o->no_legend;
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

static void fit(Table *t, size_t columns) {
        size_t widest[TABLE_COLUMNS_MAX], total = t->n_columns - 1, excess;

        for (size_t c = 0; c < t->n_columns; c++) {
                widest[c] = text_width(t->columns[c].heading);
                for (guint i = 0; i < t->rows->len; i++)
                        widest[c] = MAX(widest[c], text_width(g_array_index(t->rows, Row, i).cells[c]));
                total += widest[c];
        }

        excess = total > columns ? total - columns : 0;
        for (size_t c = t->n_columns; c > 0; c--)
                if (t->columns[c - 1].least > 0)
                        excess = shrink(t->rows, c - 1, widest[c - 1], t->columns[c - 1].least, excess);
}

/* ---- printing ---------------------------------------------------------------------------------------- */

static void unref_table(struct libscols_table **t) {
        scols_unref_table(*t);
}

static int add_row(struct libscols_table *table, const Row *row, size_t n) {
        struct libscols_line *line = scols_table_new_line(table, NULL);
        int r;

        if (!line)
                return -ENOMEM;
        for (size_t c = 0; c < n; c++) {
                r = scols_line_set_data(line, c, row->cells[c]);
                if (r >= 0 && row->colours[c] && row->colours[c][0])
                        r = scols_cell_set_color(scols_line_get_cell(line, c), row->colours[c]);
                if (r < 0)
                        return r;
        }
        return 0;
}

int table_print(Table *t, const Options *o) {
        _cleanup_(unref_table) struct libscols_table *table = NULL;
        int r;

        if (output_is_terminal() && !o->full)
                fit(t, output_columns());
        if (t->rows->len == 0)
                return 0;
        table = scols_new_table();
        if (!table)
                return -ENOMEM;
        (void) scols_table_enable_noheadings(table, !table_has_legend(o));
        (void) scols_table_enable_colors(table, output_has_colour());
        (void) scols_table_enable_noencoding(table, true); /* harmless already */
        (void) scols_table_set_termforce(table, SCOLS_TERMFORCE_NEVER); /* cells are as wide as they are */
        for (size_t c = 0; c < t->n_columns; c++)
                if (!scols_table_new_column(table, t->columns[c].heading, 0, 0))
                        return -ENOMEM;
        for (guint i = 0; i < t->rows->len; i++) {
                r = add_row(table, &g_array_index(t->rows, Row, i), t->n_columns);
                if (r < 0)
                        return r;
        }
        return scols_print_table(table);
}
