/* SPDX-License-Identifier: Apache-2.0 */
/* One table of properties gives an interface's vtable, its change signals and the JSON of Describe, so
 * that the three agree. Pure functions; loop thread. */
#pragma once

#include <systemd/sd-bus.h>

#include "base/json.h"
#include "base/macros.h"

typedef struct BusValue {
        char type;              /* b u t x s, as on D-Bus */
        bool absent;            /* null in JSON; false, 0 or "" on D-Bus */
        union {
                bool b;
                uint32_t u;
                uint64_t t;
                int64_t x;
                const char *s;  /* borrowed */
        };
} BusValue;

static inline BusValue bus_bool(bool value) {
        return (BusValue) { .type = 'b', .b = value };
}
static inline BusValue bus_uint32(uint32_t value) {
        return (BusValue) { .type = 'u', .u = value };
}
static inline BusValue bus_uint64(uint64_t value) {
        return (BusValue) { .type = 't', .t = value };
}
/* A time or the like, of which 0 means that there is none. */
static inline BusValue bus_uint64_or_none(uint64_t value) {
        return (BusValue) { .type = 't', .t = value, .absent = value == 0 };
}
static inline BusValue bus_int64(int64_t value) {
        return (BusValue) { .type = 'x', .x = value };
}
/* NULL and "" mean that there is none. */
static inline BusValue bus_string(const char *value) {
        return (BusValue) { .type = 's', .s = value ?: "", .absent = !value || !*value };
}
static inline BusValue bus_none(char type) {
        return type == 's' ? bus_string(NULL) : (BusValue) { .type = type, .absent = true };
}

typedef struct BusProperty {
        const char *name;       /* NULL ends a table */
        const char *type;       /* of one character, that of get()'s value */
        uint64_t flags;         /* SD_BUS_VTABLE_PROPERTY_… */
        unsigned change;        /* of which change it is a part; 0: never signalled */
        BusValue (*get)(const void *object);
} BusProperty;

#define BUS_PROPERTIES_MAX 32U  /* of one interface */

int bus_value_append(sd_bus_message *m, const BusValue *v);
void bus_value_write(JsonWriter *w, const BusValue *v);

/* NULL: none of that name. */
const BusProperty *bus_property_find(const BusProperty *properties, const char *name);
/* Members of an object that the caller has opened. */
void bus_properties_write(JsonWriter *w, const BusProperty *properties, const void *object);
/* PropertiesChanged of those that belong to a change in the mask. */
int bus_properties_emit(sd_bus *bus, const char *path, const char *interface, const BusProperty *properties,
                        unsigned changed);

/* Properties (each by `get`), then methods and signals of a vtable with start and end (NULL: none).
 * Caller frees with g_free() once nothing serves it. */
sd_bus_vtable *bus_vtable_new(const BusProperty *properties, sd_bus_property_get_t get, const sd_bus_vtable *members);
