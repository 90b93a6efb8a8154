/* SPDX-License-Identifier: Apache-2.0 */
/* The cache of types: an open table of hashes, bounded. Plain data of its store. The hash is SipHash-2-4
 * with 128 bits (Aumasson and Bernstein). */

#include <sys/random.h>

#include "event/server/store-internal.h"

#define SLOTS_MIN 1024U

/* ---- hash -------------------------------------------------------------------------------------------- */

static inline uint64_t rotate(uint64_t x, unsigned n) {
        return x << n | x >> (64 - n);
}

static inline void hash_rounds(uint64_t v[static 4], unsigned n) {
        for (; n > 0; n--) {
                v[0] += v[1];
                v[2] += v[3];
                v[1] = rotate(v[1], 13) ^ v[0];
                v[3] = rotate(v[3], 16) ^ v[2];
                v[0] = rotate(v[0], 32) + v[3];
                v[2] += v[1];
                v[3] = rotate(v[3], 21) ^ v[0];
                v[1] = rotate(v[1], 17) ^ v[2];
                v[2] = rotate(v[2], 32);
        }
}

static inline void hash_word(uint64_t v[static 4], uint64_t word) {
        v[3] ^= word;
        hash_rounds(v, 2);
        v[0] ^= word;
}

static void hash_bytes(const uint64_t key[static 2], const uint8_t *data, size_t size, uint64_t ret[static 2]) {
        uint64_t v[4] = {
                key[0] ^ UINT64_C(0x736f6d6570736575),
                key[1] ^ UINT64_C(0x646f72616e646f6d) ^ 0xee,
                key[0] ^ UINT64_C(0x6c7967656e657261),
                key[1] ^ UINT64_C(0x7465646279746573),
        };
        uint64_t word = 0;
        size_t left = size;

        for (; left >= sizeof word; left -= sizeof word, data += sizeof word) {
                memcpy(&word, data, sizeof word);
                hash_word(v, GUINT64_FROM_LE(word));
        }
        word = (uint64_t) size << 56;
        for (size_t i = 0; i < left; i++)
                word |= (uint64_t) data[i] << 8 * i;
        hash_word(v, word);

        v[2] ^= 0xee;
        hash_rounds(v, 4);
        ret[0] = v[0] ^ v[1] ^ v[2] ^ v[3];
        v[1] ^= 0xdd;
        hash_rounds(v, 4);
        ret[1] = v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* ---- table ------------------------------------------------------------------------------------------- */

void type_cache_init(TypeCache *c) {
        *c = (TypeCache) { 0 };
        if (getrandom(c->key, sizeof c->key, 0) != sizeof c->key)
                g_error("The kernel gave no random bytes."); /* cannot fail for so few (getrandom(2)) */
}

void type_cache_clear(TypeCache *c) {
        g_free(c->slots);
        c->slots = NULL;
        c->n_slots = c->n = 0;
}

/* The slot that holds the hash, or the empty one where it belongs. */
static TypeSlot *slot_of(const TypeCache *c, const uint64_t hash[static 2]) {
        for (uint32_t i = (uint32_t) hash[0] & (c->n_slots - 1);; i = (i + 1) & (c->n_slots - 1)) {
                TypeSlot *slot = c->slots + i;

                if (slot->id == 0 || (slot->hash[0] == hash[0] && slot->hash[1] == hash[1]))
                        return slot;
        }
}

static void grow(TypeCache *c) {
        TypeCache bigger = *c;

        bigger.n_slots = MAX(c->n_slots * 2, SLOTS_MIN);
        bigger.slots = g_new0(TypeSlot, bigger.n_slots);
        for (uint32_t i = 0; i < c->n_slots; i++)
                if (c->slots[i].id != 0)
                        *slot_of(&bigger, c->slots[i].hash) = c->slots[i];
        g_free(c->slots);
        *c = bigger;
}

TypeSlot *type_cache_find(TypeCache *c, const void *type, size_t size) {
        uint64_t hash[2];
        TypeSlot *slot;

        if (c->n >= c->n_slots / 8 * 7 && c->n_slots < TYPE_CACHE_SLOTS_MAX)
                grow(c);
        hash_bytes(c->key, type, size, hash);
        slot = slot_of(c, hash);
        if (slot->id == 0) {
                if (c->n >= c->n_slots / 8 * 7)
                        return NULL;
                memcpy(slot->hash, hash, sizeof hash);
        }
        return slot;
}

void type_cache_fill(TypeCache *c, TypeSlot *slot, uint32_t id, int64_t last) {
        g_assert(id != 0 && slot->id == 0);
        slot->id = id;
        slot->last = last;
        c->n++;
}
