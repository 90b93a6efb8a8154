/* SPDX-License-Identifier: Apache-2.0 */
/* The table of devices. No state. */
#include <stdio.h>

#include "tools/device-table.h"
#include "tools/output.h"
#include "tools/table.h"
#include "tools/text.h"

enum { TYPE, NAME, ENABLED, STATE, LINK, SINCE, DETAIL, N_COLUMNS };

static const TableColumn columns[] = {
        [TYPE] = { "TYPE", 12 },
        [NAME] = { "NAME", 12 },
        [ENABLED] = { "ENABLED", 0 },
        [STATE] = { "STATE", 0 },
        [LINK] = { "LINK", 0 },
        [SINCE] = { "SINCE", 0 },
        [DETAIL] = { "DETAIL", 10 },
        [N_COLUMNS] = {},
};

static void add_device(Table *t, const DeviceView *v, const Clocks *now) {
        char *const cells[N_COLUMNS] = {
                [TYPE] = text_printable(v->type),
                [NAME] = text_printable(v->name),
                [ENABLED] = g_strdup(device_enabled_text(v)),
                [STATE] = text_printable(v->state),
                [LINK] = text_printable(v->link),
                [SINCE] = device_since_text(v, now),
                [DETAIL] = device_detail_text(v),
        };
        const char *const colours[N_COLUMNS] = {
                [ENABLED] = v->enabled ? "" : colour_of_state("disabled"),
                [STATE] = colour_of_state(v->state),
                [LINK] = colour_of_link(v->link),
        };

        table_add(t, cells, colours);
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

int device_table_print(const GPtrArray *devices, const Options *o, const Clocks *now) {
        _cleanup_(table_freep) Table *t = table_new(columns);
        int r;

        for (guint i = 0; i < devices->len; i++)
                add_device(t, devices->pdata[i], now);
        r = table_print(t, o);
        if (r < 0)
                return r;
        if (table_has_legend(o))
                print_footer(devices);
        return 0;
}
