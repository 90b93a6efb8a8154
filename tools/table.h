/* SPDX-License-Identifier: Apache-2.0 */
/* A table on standard output, laid out by libsmartcols: on a terminal with headings and no wider than it. */
#pragma once

#include "tools/options.h"

#define TABLE_COLUMNS_MAX 8

typedef struct TableColumn {
        const char *heading; /* NULL ends the list */
        size_t least;        /* terminal columns that it keeps when the terminal is narrow; 0: never cut */
} TableColumn;

typedef struct Table Table;

/* columns: at most TABLE_COLUMNS_MAX; stay the caller's. The last ones are cut first. */
Table *table_new(const TableColumn *columns);
Table *table_free(Table *t);
DEFINE_CLEANUP(Table, table_free);

/* One row. Cells are harmless text, one a column, and become the table's; colours as of output.h, may be NULL
 * as a whole and each. */
void table_add(Table *t, char *const *cells, const char *const *colours);
/* Whether headings, and a footer of the caller, are wanted. */
bool table_has_legend(const Options *o);
/* Once. <0: libsmartcols has failed. */
int table_print(Table *t, const Options *o);
