/* SPDX-License-Identifier: Apache-2.0 */
/* One allocation an event: the struct, its subtypes, then all text. Loop thread. */
#include <errno.h>

#include "base/bounds.h"
#include "daemon/event-queue.h"

static void *put(uint8_t **at, const void *data, size_t size) {
        void *p = *at;

        if (size > 0)
                memcpy(p, data, size);
        *at += size;
        return p;
}

static size_t event_size(const Event *e) {
        size_t size = sizeof(Event) + e->type.n * sizeof(Subtype);

        for (size_t i = 0; i < e->type.n; i++)
                size += e->type.subtypes[i].size;
        return size + e->payload.json.size + e->payload.binary_type.size + e->payload.size;
}

static Event *event_dup(const Event *e) {
        const Payload *from = &e->payload;
        Event *copy = g_malloc(event_size(e));
        Subtype *subtypes;
        uint8_t *at;

        *copy = *e;
        subtypes = (Subtype *) (copy + 1);
        at = (uint8_t *) (subtypes + e->type.n);
        for (size_t i = 0; i < e->type.n; i++)
                subtypes[i] = (Subtype) {
                        put(&at, e->type.subtypes[i].text, e->type.subtypes[i].size),
                        e->type.subtypes[i].size,
                };
        copy->type.subtypes = subtypes;
        copy->payload.json.text = put(&at, from->json.text, from->json.size);
        copy->payload.binary_type.text = put(&at, from->binary_type.text, from->binary_type.size);
        copy->payload.data = put(&at, from->data, from->size);
        return copy;
}

int event_queue_push(EventQueue *q, const Event *e) {
        size_t size = event_size(e);

        if (g_queue_get_length(&q->events) >= DEVICE_EVENTS_MAX)
                return -ENOBUFS;
        if (q->bytes > 0 && q->bytes + size > DEVICE_EVENTS_BYTES_MAX)
                return -ENOBUFS;
        g_queue_push_tail(&q->events, event_dup(e));
        q->bytes += size;
        return 0;
}

Event *event_queue_pop(EventQueue *q) {
        Event *e = g_queue_pop_head(&q->events);

        if (e)
                q->bytes -= event_size(e);
        return e;
}

void event_queue_clear(EventQueue *q) {
        g_queue_clear_full(&q->events, g_free);
        q->bytes = 0;
}
