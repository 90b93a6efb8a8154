/* SPDX-License-Identifier: Apache-2.0 */
/* Grouping, schedule and change detection of one remote device (spec modbus.md 5.2 to 5.4). Pure; loop
 * thread. */

#include "devices/modbus/modbus-poll.h"

#include <math.h>
#include <stdlib.h>

#include "devices/modbus/modbus-data.h"
#include "devices/modbus/modbus-value.h"

#define ERROR_REPEAT_USEC (100 * USEC_PER_MSEC)
#define DOUBLE_BITS 53U /* of an integer that a double holds */
#define ANSWER_BYTES_MAX 255U /* of data: the byte count is one byte */

/* ---- grouping ---------------------------------------------------------------------------------------- */

/* One polled data item with its place in the order of 5.2. */
typedef struct Entry {
        const ModbusMasterData *data;
        size_t type_rank, interval_rank, index;
        uint32_t start, quantity;
} Entry;

static int compare_numbers(uint64_t a, uint64_t b) {
        return a < b ? -1 : a > b;
}

static int entry_compare(const void *left, const void *right) {
        const Entry *a = left, *b = right;
        int r;

        if ((r = compare_numbers(a->type_rank, b->type_rank)) != 0 ||
            (r = compare_numbers(a->interval_rank, b->interval_rank)) != 0 ||
            (r = compare_numbers(a->start, b->start)) != 0 ||
            (r = compare_numbers(a->quantity, b->quantity)) != 0)
                return r;
        return compare_numbers(a->index, b->index);
}

/* Ranks by first appearance: of the type among all entries before, of the interval among those of the
 * type. */
static void entry_rank(Entry *entries, size_t n, size_t *type_first, GHashTable *interval_first) {
        Entry *e = &entries[n];
        g_autofree char *key = g_strdup_printf("%d %" G_GUINT64_FORMAT, e->data->type,
                                               (guint64) e->data->interval);
        gpointer rank;

        if (type_first[e->data->type] == SIZE_MAX)
                type_first[e->data->type] = n;
        e->type_rank = type_first[e->data->type];

        if (g_hash_table_lookup_extended(interval_first, key, NULL, &rank)) {
                e->interval_rank = GPOINTER_TO_SIZE(rank);
                return;
        }
        e->interval_rank = n;
        g_hash_table_insert(interval_first, TAKE_PTR(key), GSIZE_TO_POINTER(n));
}

/* The polled data in the order of 5.2. */
static Entry *entries_sorted(const ModbusRemoteConf *conf, size_t *ret_n) {
        g_autoptr(GHashTable) interval_first = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        const ModbusMasterData *data = conf->data.items;
        size_t type_first[_MODBUS_DATA_TYPE_MAX], n = 0;
        Entry *entries = g_new0(Entry, MAX(conf->data.n, 1U));

        for (size_t i = 0; i < ELEMENTSOF(type_first); i++)
                type_first[i] = SIZE_MAX;

        for (size_t i = 0; i < conf->data.n; i++) {
                if (data[i].interval == USEC_INFINITY)
                        continue;

                entries[n] = (Entry) {
                        .data = &data[i],
                        .index = n,
                        .start = (uint32_t) data[i].start_address,
                        .quantity = (uint32_t) modbus_data_quantity((ModbusDataType) data[i].type,
                                                                    (uint64_t) data[i].bit_offset,
                                                                    (uint64_t) data[i].bit_count),
                };
                entry_rank(entries, n++, type_first, interval_first);
        }

        qsort(entries, n, sizeof(Entry), entry_compare);
        *ret_n = n;
        return entries;
}

static uint32_t group_max(const ModbusRemoteConf *conf, ModbusDataType type) {
        uint32_t max = modbus_data_type_is_bit(type) ? MODBUS_READ_BITS_MAX : MODBUS_READ_REGISTERS_MAX;

        if (type == MODBUS_QUEUE)
                return 1;
        return conf->max_quantity > 0 ? MIN(max, (uint32_t) conf->max_quantity) : max;
}

/* Whether the entry joins the group that the entry before is in. */
static bool group_takes(const ModbusRemoteConf *conf, const ModbusGroup *g, const Entry *e, const Entry *before) {
        return e->type_rank == before->type_rank && e->interval_rank == before->interval_rank &&
               e->start <= g->start + g->quantity + (uint32_t) MAX(conf->max_gap, 0) &&
               e->start + e->quantity - g->start <= group_max(conf, g->type);
}

static void group_begin(ModbusGroup *g, const Entry *e, ModbusItem *items) {
        *g = (ModbusGroup) {
                .items = items,
                .interval = e->data->interval,
                .start = e->start,
                .quantity = e->quantity,
                .type = (ModbusDataType) e->data->type,
        };
}

static void group_add(ModbusGroup *g, const Entry *e) {
        uint32_t behind = e->start - g->start;

        g->quantity = MAX(g->quantity, behind + e->quantity);
        g->items[g->n_items++] = (ModbusItem) {
                .name = e->data->name,
                .offset = behind * modbus_data_type_width(g->type) + (uint32_t) e->data->bit_offset,
                .n_bits = (uint32_t) e->data->bit_count,
                .start = e->start,
                .quantity = e->quantity,
                .value = e->data->value.given ? &e->data->value : NULL,
        };
}

/* What of the items has to be remembered for their reports. */
static void poll_init_reports(ModbusPoll *p, const Entry *entries, size_t n) {
        size_t used = 0;

        for (size_t i = 0; i < n; i++)
                used += entries[i].data->report.given;
        if (used == 0)
                return;

        p->reported = g_new0(ModbusReported, used);
        for (size_t i = 0; i < n; i++)
                if (entries[i].data->report.given) {
                        p->items[i].reported = &p->reported[--used];
                        p->items[i].reported->conf = &entries[i].data->report;
                }
        for (size_t i = 0; i < p->n_groups; i++)
                for (size_t j = 0; j < p->groups[i].n_items; j++)
                        p->groups[i].reporting = p->groups[i].reporting || p->groups[i].items[j].reported;
}

static void group_make_request(ModbusGroup *g, uint8_t unit, const ModbusFraming *framing) {
        uint8_t frame[MODBUS_FRAME_MAX];
        ModbusPdu request = {
                .function = modbus_read_function(g->type),
                .address = (uint16_t) g->start,
                .quantity = (uint16_t) g->quantity,
        };
        size_t pdu_size = modbus_request_build(&request, frame + framing->pdu_offset);

        g->frame_size = (uint8_t) framing->wrap(frame, 0, unit, pdu_size);
        memcpy(g->frame, frame, g->frame_size);
}

void modbus_poll_init(ModbusPoll *p, const ModbusRemoteConf *conf, const ModbusFraming *framing) {
        size_t n;
        g_autofree Entry *entries = entries_sorted(conf, &n);

        *p = (ModbusPoll) { .conf = conf, .framing = framing };
        if (n == 0)
                return;

        p->items = g_new(ModbusItem, n);
        p->groups = g_new0(ModbusGroup, n);
        for (size_t i = 0; i < n; i++) {
                if (i == 0 || !group_takes(conf, &p->groups[p->n_groups - 1], &entries[i], &entries[i - 1]))
                        group_begin(&p->groups[p->n_groups++], &entries[i], p->items + i);
                group_add(&p->groups[p->n_groups - 1], &entries[i]);
        }

        poll_init_reports(p, entries, n);
        p->groups = g_renew(ModbusGroup, p->groups, p->n_groups);
        for (size_t i = 0; i < p->n_groups; i++)
                group_make_request(&p->groups[i], (uint8_t) conf->device_id, framing);
        modbus_poll_reset(p);
}

void modbus_poll_done(ModbusPoll *p) {
        for (size_t i = 0; i < p->n_groups; i++)
                g_free(p->groups[i].bits);
        g_free(p->groups);
        g_free(p->items);
        g_free(p->reported);
        *p = (ModbusPoll) {};
}

/* ---- splitting --------------------------------------------------------------------------------------- */

void modbus_poll_restore(ModbusPoll *p) {
        const ModbusRemoteConf *conf = p->conf;
        const ModbusFraming *framing = p->framing;

        if (!p->split) {
                modbus_poll_reset(p);
                return;
        }
        modbus_poll_done(p);
        modbus_poll_init(p, conf, framing);
}

/* The group's range, and its request, from the items that it has left; `begin`: where their offsets count from. */
static void group_tighten(ModbusGroup *g, uint32_t begin, const ModbusPoll *p) {
        unsigned width = modbus_data_type_width(g->type);
        uint32_t end = 0;

        g->start = g->items[0].start; /* they are sorted */
        for (size_t i = 0; i < g->n_items; i++) {
                g->items[i].offset -= (g->start - begin) * width;
                end = MAX(end, g->items[i].start + g->items[i].quantity);
        }
        g->quantity = end - g->start;
        g->due = true;
        group_make_request(g, (uint8_t) p->conf->device_id, p->framing);
}

bool modbus_poll_split(ModbusPoll *p, ModbusGroup *g) {
        size_t at = (size_t) (g - p->groups), half = g->n_items / 2;
        uint32_t begin = g->start;
        ModbusGroup *second;

        if (p->conf->max_gap < 0 || half == 0)
                return false;

        p->groups = g_renew(ModbusGroup, p->groups, p->n_groups + 1);
        g = p->groups + at;
        second = g + 1;
        memmove(second + 1, second, (p->n_groups - at - 1) * sizeof(ModbusGroup));
        p->n_groups++;
        g_free(g->bits);
        g->bits = NULL;
        g->known = MODBUS_KNOWN_NOTHING;
        *second = *g;
        second->items += half;
        second->n_items -= half;
        g->n_items = half;
        group_tighten(g, begin, p);
        group_tighten(second, begin, p);

        p->next = MIN(p->next, at);
        p->split = true;
        return true;
}

/* ---- schedule ---------------------------------------------------------------------------------------- */

void modbus_poll_reset(ModbusPoll *p) {
        for (size_t i = 0; i < p->n_groups; i++) {
                p->groups[i].last = USEC_INFINITY;
                p->groups[i].known = MODBUS_KNOWN_NOTHING;
                p->groups[i].due = false;
        }
        p->next = p->n_groups;
}

ModbusGroup *modbus_poll_next(ModbusPoll *p) {
        while (p->next < p->n_groups) {
                ModbusGroup *g = &p->groups[p->next++];

                if (g->due) {
                        g->due = false;
                        return g;
                }
        }
        return NULL;
}

/* Marks what is due; when nothing is, says when something will be. */
static void round_begin(ModbusPoll *p, usec_t now, usec_t *ret_wake) {
        usec_t wake = USEC_INFINITY;

        for (size_t i = 0; i < p->n_groups; i++) {
                ModbusGroup *g = &p->groups[i];
                usec_t due_at = g->last == USEC_INFINITY ? 0 : usec_add(g->last, g->interval);

                if (due_at <= now) {
                        g->due = true;
                        g->last = now;
                }
                wake = MIN(wake, due_at);
        }
        p->next = 0;
        *ret_wake = wake;
}

ModbusGroup *modbus_poll_begin(ModbusPoll *p, usec_t now, usec_t *ret_wake) {
        round_begin(p, now, ret_wake);
        return modbus_poll_next(p);
}

usec_t modbus_poll_oldest(const ModbusPoll *p, usec_t since) {
        usec_t oldest = USEC_INFINITY;

        for (size_t i = 0; i < p->n_groups; i++)
                oldest = MIN(oldest, MAX(p->groups[i].good, since));
        return oldest;
}

usec_t modbus_poll_shortest(const ModbusPoll *p) {
        usec_t shortest = USEC_INFINITY;

        for (size_t i = 0; i < p->n_groups; i++)
                shortest = MIN(shortest, p->groups[i].interval);
        return shortest;
}

/* ---- results ----------------------------------------------------------------------------------------- */

bool modbus_group_set_error(ModbusGroup *g, ModbusResult error, usec_t now, bool changes_only) {
        if (g->known == MODBUS_KNOWN_ERROR && g->error == error &&
            (changes_only || usec_sub(now, g->error_at) < ERROR_REPEAT_USEC))
                return false;

        g->known = MODBUS_KNOWN_ERROR;
        g->error = error;
        g->error_at = now;
        return true;
}

/* The group's bit string of an answer: as received, or made in the buffer. */
static const uint8_t *group_bits(const ModbusGroup *g, const uint8_t *data, size_t size, uint8_t *buffer,
                                 size_t bits_size) {
        if (modbus_data_type_is_bit(g->type)) {
                modbus_bits_swap(data, bits_size, buffer);
                if (g->quantity % 8 != 0)
                        buffer[bits_size - 1] &= (uint8_t) (0xff00 >> g->quantity % 8);
                return buffer;
        }
        if (size < bits_size) { /* a short queue: what is missing is 0 */
                memset(buffer, 0, bits_size);
                if (size > 0)
                        memcpy(buffer, data, size);
                return buffer;
        }
        return data;
}

/* Whether the difference to what was reported last is one. What a double does not tell apart, or is no number,
 * differs when it has changed since. */
static bool item_differs(const ModbusItem *item, double value) {
        const ModbusReported *r = item->reported;
        double band = fmax(r->conf->deadband, fabs(r->value) * (r->conf->deadband_percent / 100));

        if (!r->pending || !isfinite(value) || !isfinite(r->value) || (item->n_bits > DOUBLE_BITS && !(band > 0)))
                return r->pending;
        return fabs(value - r->value) > band;
}

/* Whether the item is to be reported now. */
static bool item_is_due(const ModbusItem *item, double value, bool fresh, usec_t now) {
        const ModbusReported *r = item->reported;

        if (fresh)
                return true;
        if (item_differs(item, value) && now >= usec_add(r->at, r->conf->min_interval))
                return true;
        return now >= usec_add(r->at, r->conf->max_interval);
}

static void item_report(const ModbusItem *item, const uint8_t *bits, bool changes, bool fresh, usec_t now,
                        ModbusChanged changed, void *userdata) {
        double value = modbus_value_number(item->value, bits, item->offset, item->n_bits);
        ModbusReported *r = item->reported;

        r->pending = r->pending || changes;
        if (!item_is_due(item, value, fresh, now))
                return;
        changed(item, bits, fresh || !item_differs(item, value), userdata);
        r->value = value;
        r->at = now;
        r->pending = false;
}

void modbus_group_set_data(ModbusGroup *g, const uint8_t *data, size_t size, usec_t now, ModbusChanged changed,
                           void *userdata) {
        size_t bits_size = BITS_BYTES((size_t) g->quantity * modbus_data_type_width(g->type));
        uint8_t small[ANSWER_BYTES_MAX + 1];
        g_autofree uint8_t *large = bits_size > sizeof(small) ? g_malloc(bits_size) : NULL;
        const uint8_t *bits = group_bits(g, data, size, large ?: small, bits_size);
        bool fresh = g->known != MODBUS_KNOWN_VALUES;

        if (!fresh && !g->reporting && memcmp(g->bits, bits, bits_size) == 0)
                return;

        for (size_t i = 0; i < g->n_items; i++) {
                const ModbusItem *item = &g->items[i];
                bool changes = fresh || !modbus_bits_equal(g->bits, bits, item->offset, item->n_bits);

                if (item->reported)
                        item_report(item, bits, changes, fresh, now, changed, userdata);
                else if (changes)
                        changed(item, bits, fresh, userdata);
        }

        if (!g->bits)
                g->bits = g_malloc(bits_size);
        memcpy(g->bits, bits, bits_size);
        g->known = MODBUS_KNOWN_VALUES;
}
