/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the bits of a slave. Registers without a gap between them are one area: a bit string that begins
 * with its first register; a request lies in one area or is refused. Any one thread. */

#include "devices/modbus/modbus-store.h"

#include "devices/modbus/modbus-bytes.h"
#include "devices/modbus/modbus-data.h"
#include "devices/modbus/modbus-value.h"

/* Registers first … last of one table (device id and data type). */
typedef struct Area {
        int64_t device_id;
        ModbusDataType type;
        uint64_t first, last;
        uint8_t *bits;
        ModbusStoreItem *items; /* in configuration order */
        bool typed;             /* one of them has a `value` */
} Area;

struct ModbusStoreItem {
        ModbusStore *store;
        const ModbusSlaveData *conf;
        Subtype name; /* key in by_name */
        Area *area;
        size_t offset;         /* of its bits in those of the area */
        ModbusStoreItem *next; /* of the area */
};

struct ModbusStore {
        ModbusStoreItem *items;
        Area *areas; /* by device id, type and address */
        size_t n_areas;
        GHashTable *by_name;
        ModbusUnits units;
        uint8_t *scratch; /* as long as the longest value */
};

/* ---- making ------------------------------------------------------------------------------------------ */

static int table_compare(const Area *a, int64_t device_id, ModbusDataType type) {
        if (a->device_id != device_id)
                return a->device_id < device_id ? -1 : 1;
        return (a->type > type) - (a->type < type);
}

static int area_compare(const void *a, const void *b) {
        const Area *x = a, *y = b;
        int order = table_compare(x, y->device_id, y->type);

        return order != 0 ? order : (x->first > y->first) - (x->first < y->first);
}

static bool area_continues(const Area *a, const Area *behind) {
        return table_compare(a, behind->device_id, behind->type) == 0 && behind->first <= a->last + 1;
}

static ModbusPlace item_place(const ModbusSlaveData *d) {
        return modbus_data_place((ModbusDataType) d->type, (uint64_t) d->start_address,
                                 (uint64_t) d->bit_offset, (uint64_t) d->bit_count);
}

/* One area for each data item, sorted; then those that touch become one. */
static void store_make_areas(ModbusStore *s, const ModbusSlaveData *data, size_t n) {
        size_t n_areas = 0;

        s->areas = g_new0(Area, MAX(n, 1U));
        for (size_t i = 0; i < n; i++) {
                ModbusPlace place = item_place(&data[i]);

                s->areas[i] = (Area) {
                        .device_id = data[i].device_id,
                        .type = (ModbusDataType) data[i].type,
                        .first = place.first,
                        .last = place.last,
                };
        }
        qsort(s->areas, n, sizeof(Area), area_compare);

        for (size_t i = 0; i < n; i++) {
                Area *last = n_areas > 0 ? &s->areas[n_areas - 1] : NULL;

                if (last && area_continues(last, &s->areas[i]))
                        last->last = MAX(last->last, s->areas[i].last);
                else
                        s->areas[n_areas++] = s->areas[i];
        }
        s->n_areas = n_areas;

        for (size_t i = 0; i < n_areas; i++) {
                Area *a = &s->areas[i];

                a->bits = g_malloc0(BITS_BYTES((a->last - a->first + 1) * modbus_data_type_width(a->type)));
        }
}

/* The area with this register; NULL: it does not exist. */
static Area *store_find_area(const ModbusStore *s, int64_t device_id, ModbusDataType type,
                             uint64_t address) {
        size_t low = 0, high = s->n_areas;

        while (low < high) {
                size_t middle = (low + high) / 2;
                Area *a = &s->areas[middle];
                int order = table_compare(a, device_id, type);

                if (order == 0 && address >= a->first && address <= a->last)
                        return a;
                if (order < 0 || (order == 0 && a->last < address))
                        low = middle + 1;
                else
                        high = middle;
        }
        return NULL;
}

static void store_add_item(ModbusStore *s, const ModbusSlaveData *conf, ModbusStoreItem *item) {
        ModbusPlace place = item_place(conf);
        Area *a = store_find_area(s, conf->device_id, (ModbusDataType) conf->type, place.first);

        *item = (ModbusStoreItem) {
                .store = s,
                .conf = conf,
                .name = { conf->name, strlen(conf->name) },
                .area = a,
                .offset = (place.first - a->first) * modbus_data_type_width(a->type) + place.skip,
                .next = a->items,
        };
        a->items = item;
        a->typed = a->typed || conf->value.given;
        g_hash_table_insert(s->by_name, &item->name, item);
        if (conf->device_id >= 1 && conf->device_id <= UINT8_MAX)
                modbus_units_add(&s->units, (uint8_t) conf->device_id);
}

ModbusStore *modbus_store_new(const ModbusSlaveData *data, size_t n) {
        ModbusStore *s = g_new0(ModbusStore, 1);
        size_t longest = 1;

        s->by_name = g_hash_table_new(subtype_key_hash, subtype_key_equal);
        store_make_areas(s, data, n);

        s->items = g_new(ModbusStoreItem, MAX(n, 1U));
        for (size_t i = n; i-- > 0;) { /* backwards: each goes to the front of its area's list */
                store_add_item(s, &data[i], &s->items[i]);
                longest = MAX(longest, BITS_BYTES((size_t) data[i].bit_count));
        }
        s->scratch = g_malloc(longest);
        return s;
}

ModbusStore *modbus_store_free(ModbusStore *s) {
        if (!s)
                return NULL;

        for (size_t i = 0; i < s->n_areas; i++)
                g_free(s->areas[i].bits);
        g_free(s->areas);
        g_free(s->items);
        g_free(s->scratch);
        g_hash_table_unref(s->by_name);
        g_free(s);
        return NULL;
}

const ModbusUnits *modbus_store_units(const ModbusStore *s) {
        return &s->units;
}

/* ---- data and reads ---------------------------------------------------------------------------------- */

static int parse_raw(JsonSpan value, size_t n_bits, uint8_t *ret_bits) {
        bool fits;

        if (!json_is_integer(value))
                return -EBADMSG;
        return bits_from_decimal(value.text, value.size, n_bits, ret_bits, &fits) < 0 || !fits ? -ERANGE : 0;
}

int modbus_store_set(ModbusStore *s, Subtype name, JsonSpan value) {
        const ModbusStoreItem *item = g_hash_table_lookup(s->by_name, &name);
        size_t n_bits;
        int r;

        if (!item)
                return -ENOENT;

        n_bits = (size_t) item->conf->bit_count;
        r = item->conf->value.given ? modbus_value_parse(&item->conf->value, value, n_bits, s->scratch)
                                    : parse_raw(value, n_bits, s->scratch);
        if (r < 0)
                return r;
        modbus_bits_set(item->area->bits, item->offset, n_bits, s->scratch);
        return 0;
}

/* The area that has all registers of a request, and where its bits are. */
static const Area *store_find(const ModbusStore *s, uint8_t unit, const ModbusPdu *request,
                              size_t *ret_offset, size_t *ret_n_bits) {
        ModbusDataType type = modbus_function_data_type(request->function);
        const Area *a = store_find_area(s, unit, type, request->address);
        unsigned width;

        if (!a || a->last - request->address + 1 < request->quantity)
                return NULL;

        width = modbus_data_type_width(type);
        *ret_offset = (request->address - a->first) * width;
        *ret_n_bits = request->quantity * (size_t) width;
        return a;
}

ModbusResult modbus_store_read(const ModbusStore *s, uint8_t unit, const ModbusPdu *request,
                               uint8_t *ret_data, uint8_t *ret_size) {
        size_t offset, n_bits, size;
        const Area *a = store_find(s, unit, request, &offset, &n_bits);

        if (!a)
                return MODBUS_INVALID_DATA_ADDRESS;

        size = BITS_BYTES(n_bits);
        ret_data[size - 1] = 0; /* what lies behind the last coil */
        modbus_bits_copy(ret_data, 0, a->bits, offset, n_bits);
        if (modbus_data_type_is_bit(a->type))
                modbus_bits_swap(ret_data, size, ret_data);
        *ret_size = (uint8_t) size;
        return MODBUS_SUCCESS;
}

/* ---- writes ------------------------------------------------------------------------------------------ */

static void write_fill(ModbusStoreWrite *w, const Area *a, const ModbusPdu *request) {
        uint16_t old;

        switch (request->function) {
        case MODBUS_WRITE_COIL:
                w->bits[0] = request->value ? 0x80 : 0;
                return;
        case MODBUS_WRITE_COILS:
                modbus_bits_swap(request->data, request->data_size, w->bits);
                return;
        case MODBUS_WRITE_REGISTER:
                put_be16(w->bits, request->value);
                return;
        case MODBUS_MASK_WRITE:
                old = get_be16(a->bits + w->offset / 8);
                put_be16(w->bits,
                         (uint16_t) ((old & request->and_mask) | (request->value & ~request->and_mask)));
                put_be16(w->affected, (uint16_t) ~request->and_mask);
                w->masked = true;
                return;
        default:
                memcpy(w->bits, request->data, request->data_size);
        }
}

/* The bits of the area that both have; false: none. */
static bool write_shares(const ModbusStoreWrite *w, const ModbusStoreItem *item, size_t *ret_from,
                         size_t *ret_n) {
        size_t from = MAX(w->offset, item->offset);
        size_t end = MIN(w->offset + w->n_bits, item->offset + (size_t) item->conf->bit_count);

        if (from >= end)
                return false;
        *ret_from = from;
        *ret_n = end - from;
        return true;
}

const ModbusStoreItem *modbus_store_write_next(ModbusStoreWrite *w) {
        size_t from, n;

        while (w->item) {
                const ModbusStoreItem *item = w->item;

                w->item = item->next;
                if (write_shares(w, item, &from, &n) &&
                    (!w->masked || modbus_bits_get64(w->affected, from - w->offset, n) != 0))
                        return item;
        }
        return NULL;
}

const char *modbus_store_item_name(const ModbusStoreItem *item) {
        return item->conf->name;
}

/* The item's bits as the write would make them, at the front of the scratch memory. */
static const uint8_t *item_written(const ModbusStoreItem *item, const ModbusStoreWrite *w) {
        uint8_t *scratch = item->store->scratch;
        size_t from = 0, n = 0;

        modbus_bits_copy(scratch, 0, item->area->bits, item->offset, (size_t) item->conf->bit_count);
        if (write_shares(w, item, &from, &n))
                modbus_bits_copy(scratch, from - item->offset, w->bits, from - w->offset, n);
        return scratch;
}

static bool write_is_allowed(ModbusStoreWrite w) {
        const ModbusStoreItem *item;

        while ((item = modbus_store_write_next(&w)))
                if (item->conf->value.given && !modbus_value_allowed(&item->conf->value, item_written(item, &w), 0,
                                                                     (size_t) item->conf->bit_count))
                        return false;
        return true;
}

ModbusResult modbus_store_write(const ModbusStore *s, uint8_t unit, const ModbusPdu *request,
                                ModbusStoreWrite *ret) {
        size_t offset, n_bits;
        const Area *a = store_find(s, unit, request, &offset, &n_bits);

        if (!a)
                return MODBUS_INVALID_DATA_ADDRESS;

        ret->item = a->items;
        ret->area = a;
        ret->offset = offset;
        ret->n_bits = n_bits;
        ret->masked = false;
        write_fill(ret, a, request);
        return a->typed && !write_is_allowed(*ret) ? MODBUS_INVALID_DATA_VALUE : MODBUS_SUCCESS;
}

void modbus_store_item_write_json(const ModbusStoreItem *item, const ModbusStoreWrite *w, JsonWriter *json) {
        const uint8_t *bits = item_written(item, w);
        size_t n_bits = (size_t) item->conf->bit_count;

        if (item->conf->value.given)
                modbus_value_write_json(json, &item->conf->value, bits, 0, n_bits);
        else
                modbus_bits_write_json(json, bits, 0, n_bits);
}
