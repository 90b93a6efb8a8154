/* SPDX-License-Identifier: Apache-2.0 */
/* Event types with memory of their own. No state. */
#include <errno.h>

#include "tools/event-types.h"

EventType event_type_copy(EventType type) {
        size_t size = type.n * sizeof(Subtype);
        Subtype *subtypes;
        char *text;

        for (size_t i = 0; i < type.n; i++)
                size += type.subtypes[i].size;
        subtypes = g_malloc(MAX(size, 1U));
        text = (char *) (subtypes + type.n);
        for (size_t i = 0; i < type.n; i++) {
                size = type.subtypes[i].size;
                if (size > 0)
                        memcpy(text, type.subtypes[i].text, size);
                subtypes[i] = (Subtype) { .text = text, .size = size };
                text += size;
        }
        return (EventType) { .subtypes = subtypes, .n = type.n };
}

EventType event_type_from_array(const GArray *subtypes) {
        return event_type_copy((EventType) { .subtypes = (const void *) subtypes->data, .n = subtypes->len });
}

void event_type_done(EventType *type) {
        g_free((void *) type->subtypes);
        *type = (EventType) {};
}

/* ---- text -------------------------------------------------------------------------------------------- */

static EventType parse_segments(const char *text) {
        g_autofree char *buffer = g_strdup(text);
        g_autoptr(GArray) subtypes = g_array_new(false, false, sizeof(Subtype));
        char *to = buffer;
        Subtype s = { .text = buffer };

        for (const char *at = text;; at++) {
                if (*at == '\0' || *at == '/') {
                        s.size = (size_t) (to - s.text);
                        g_array_append_val(subtypes, s);
                        s.text = to;
                        if (*at == '\0')
                                break;
                        continue;
                }
                if (*at == '\\' && at[1] == '/')
                        at++;
                *to++ = *at;
        }
        return event_type_from_array(subtypes);
}

static int parse_array(const char *text, EventType *ret) {
        g_autoptr(GPtrArray) texts = g_ptr_array_new_with_free_func(g_free);
        g_autoptr(GArray) subtypes = g_array_new(false, false, sizeof(Subtype));
        JsonIterator i;
        JsonSpan array, item;

        if (json_check(text, strlen(text), &array) < 0)
                return -EINVAL;
        i = json_iterate(array);
        while (json_next(&i, NULL, &item)) {
                Subtype s;
                char *t;

                if (json_unescape(item, &t, &s.size) < 0)
                        return -EINVAL;
                g_ptr_array_add(texts, t);
                s.text = t;
                g_array_append_val(subtypes, s);
        }
        *ret = event_type_from_array(subtypes);
        return 0;
}

int event_type_parse(const char *text, EventType *ret) {
        if (text[0] == '[')
                return parse_array(text, ret);
        *ret = parse_segments(text);
        return 0;
}

/* ---- containers -------------------------------------------------------------------------------------- */

static void clear_type(void *p) {
        event_type_done(p);
}

GArray *event_types_new(void) {
        GArray *a = g_array_new(false, false, sizeof(EventType));

        g_array_set_clear_func(a, clear_type);
        return a;
}

EventType *event_type_key_new(EventType type) {
        EventType *key = g_new(EventType, 1);

        *key = event_type_copy(type);
        return key;
}

void event_type_key_free(gpointer type) {
        if (!type)
                return;
        event_type_done(type);
        g_free(type);
}
