/* SPDX-License-Identifier: Apache-2.0 */
/* Latest events that the open transaction has not yet written. Plain data of its store. */

#include "event/server/store-internal.h"

/* Memory that is kept for the next transaction. */
#define BYTES_KEPT (2 * CHANGES_BYTES_MAX)

typedef struct Change {
        uint32_t type;
        bool has_source;
        PayloadKind kind;
        int64_t number;
        EventId id;
        Timestamp timestamp, source;
        size_t binary_type_size, size;
        size_t at, room; /* of payload type and payload in the bytes */
} Change;

void changes_init(Changes *c) {
        *c = (Changes) { .list = g_array_new(FALSE, FALSE, sizeof(Change)) };
}

void changes_done(Changes *c) {
        g_array_unref(c->list);
        buffer_done(&c->bytes);
        *c = (Changes) { 0 };
}

void changes_clear(Changes *c) {
        g_array_set_size(c->list, 0);
        buffer_clear(&c->bytes);
        buffer_trim(&c->bytes, BYTES_KEPT);
}

/* A slot may point to a change of an earlier transaction; then another type is there, or none. */
static Change *changes_get(Changes *c, TypeSlot *slot) {
        Change *change;

        if (slot->change < c->list->len) {
                change = &g_array_index(c->list, Change, slot->change);
                if (change->type == slot->id)
                        return change;
        }
        slot->change = c->list->len;
        g_array_set_size(c->list, c->list->len + 1);
        change = &g_array_index(c->list, Change, slot->change);
        *change = (Change) { .type = slot->id };
        return change;
}

static uint8_t *changes_room(Changes *c, Change *change, size_t size) {
        if (size > change->room) {
                (void) buffer_reserve(&c->bytes, size);
                change->at = buffer_size(&c->bytes);
                change->room = size;
                buffer_commit(&c->bytes, size);
        }
        return c->bytes.data + c->bytes.start + change->at;
}

void changes_put(Changes *c, TypeSlot *slot, int64_t number, const Event *e) {
        Change *change = changes_get(c, slot);
        const Payload *payload = &e->payload;
        bool json = payload->kind == PAYLOAD_JSON, binary = payload->kind == PAYLOAD_BINARY;
        uint8_t *bytes;

        change->number = number;
        change->id = e->id;
        change->timestamp = e->timestamp;
        change->has_source = e->has_source;
        change->source = e->source;
        change->kind = payload->kind;
        change->binary_type_size = binary ? payload->binary_type.size : 0;
        change->size = json ? payload->json.size : binary ? payload->size : 0;
        if (change->binary_type_size + change->size == 0)
                return;

        bytes = changes_room(c, change, change->binary_type_size + change->size);
        if (change->binary_type_size > 0)
                memcpy(bytes, payload->binary_type.text, change->binary_type_size);
        if (change->size > 0)
                memcpy(bytes + change->binary_type_size, json ? (const void *) payload->json.text : payload->data,
                       change->size);
}

static int change_compare(const void *a, const void *b) {
        const Change *x = a, *y = b;

        return (x->type > y->type) - (x->type < y->type);
}

static int change_write(const Change *change, const uint8_t *bytes, Store *s) {
        sqlite3_stmt *statement = store_statement(s, STORE_PUT_LATEST);
        const uint8_t *payload = bytes ? bytes + change->at + change->binary_type_size : NULL;
        const char *text = bytes ? (const char *) bytes + change->at : NULL;
        Payload p = { .kind = change->kind };

        if (change->kind == PAYLOAD_JSON)
                p.json = (JsonSpan) { .text = text, .size = change->size };
        else if (change->kind == PAYLOAD_BINARY) {
                p.binary_type = (Subtype) { .text = text, .size = change->binary_type_size };
                p.data = payload;
                p.size = change->size;
        }

        (void) sqlite3_bind_int64(statement, 1, change->type);
        (void) sqlite3_bind_int64(statement, 2, change->number);
        (void) sqlite3_bind_int64(statement, 3, change->id.server);
        (void) sqlite3_bind_int64(statement, 4, change->id.session);
        (void) sqlite3_bind_int64(statement, 5, change->id.instance);
        (void) sqlite3_bind_int64(statement, 6, change->timestamp.s);
        (void) sqlite3_bind_int64(statement, 7, change->timestamp.us);
        bind_source(statement, 8, change->has_source ? &change->source : NULL);
        bind_payload(statement, 10, &p);
        return store_run(s, STORE_PUT_LATEST);
}

int changes_write(Changes *c, Store *s) {
        g_array_sort(c->list, change_compare);
        for (guint i = 0; i < c->list->len; i++) {
                int r = change_write(&g_array_index(c->list, Change, i), buffer_begin(&c->bytes), s);

                if (r < 0)
                        return r;
        }
        changes_clear(c);
        return 0;
}
