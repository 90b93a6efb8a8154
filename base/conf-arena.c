/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of configurations: chunks that are freed together. Loop thread. */

#include "base/conf.h"

#define CHUNK_SIZE ((size_t) 16 << 10)

typedef struct Chunk Chunk;
struct Chunk {
        Chunk *next;
        size_t used, size;
        max_align_t data[];
};

struct ConfArena {
        Chunk *chunks; /* the first one is filled; bigger ones stand behind it */
};

ConfArena *conf_arena_new(void) {
        return g_new0(ConfArena, 1);
}

ConfArena *conf_arena_free(ConfArena *a) {
        if (!a)
                return NULL;

        for (Chunk *c = a->chunks, *next; c; c = next) {
                next = c->next;
                g_free(c);
        }
        g_free(a);
        return NULL;
}

static Chunk *chunk_new(size_t size) {
        Chunk *c = g_malloc0(sizeof(Chunk) + size);

        c->size = size;
        return c;
}

/* Zeroed, aligned to `align`. */
static void *arena_take(ConfArena *a, size_t size, size_t align) {
        Chunk *c = a->chunks;
        size_t at = c ? (c->used + align - 1) & ~(align - 1) : 0;

        if (!c || at > c->size || size > c->size - at) {
                /* What would waste most of a chunk gets one of its own, and the current one goes on. */
                if (size > CHUNK_SIZE / 4) {
                        Chunk *own = chunk_new(size);

                        own->used = size;
                        if (c) {
                                own->next = c->next;
                                c->next = own;
                        } else
                                a->chunks = own;
                        return own->data;
                }

                c = chunk_new(CHUNK_SIZE);
                c->next = a->chunks;
                a->chunks = c;
                at = 0;
        }

        c->used = at + size;
        return (uint8_t *) c->data + at;
}

void *conf_arena_alloc(ConfArena *a, size_t size) {
        return arena_take(a, size, _Alignof(max_align_t));
}

char *conf_arena_strdup(ConfArena *a, const char *s) {
        size_t size;

        if (!s)
                return NULL;

        size = strlen(s) + 1;
        return memcpy(arena_take(a, size, 1), s, size);
}
