/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the memory of the recorder. A record is its header and what is kept of the bytes, padded to 8; it
 * never spans the end of the memory. The oldest make room by the sixteenth of the memory, so that most
 * records only compare and copy. Loop thread. */
#include "link/tap.h"

#include "base/bounds.h"

#define ROOM_SHARE 16U /* of the memory, made free at once */

static const char *const direction_names[] = {
        [TAP_RECEIVED] = "received",
        [TAP_SENT] = "sent",
};
DEFINE_STRING_TABLE(tap_direction, TapDirection, direction_names);

static const char *const kind_names[] = {
        [TAP_FRAME] = "frame",     [TAP_WRONG] = "wrong",     [TAP_UNASKED] = "unasked",
        [TAP_GARBAGE] = "garbage", [TAP_TIMEOUT] = "timeout", [TAP_OPENED] = "opened",
        [TAP_CLOSED] = "closed",
};
DEFINE_STRING_TABLE(tap_kind, TapKind, kind_names);

/* ---- ring -------------------------------------------------------------------------------------------- */

static size_t record_size(TapHeader h) {
        return (sizeof(TapHeader) + h.size + 7) & ~(size_t) 7;
}

static TapHeader ring_header(const TapRing *r, size_t offset) {
        TapHeader h;

        memcpy(&h, r->data + offset, sizeof(h));
        return h;
}

/* The oldest go until so much is free in front of them, or until they are gone. */
static void ring_drop(TapRing *r, size_t want) {
        for (; r->head < r->end && r->head - r->at < want; r->first++)
                r->head += record_size(ring_header(r, r->head));
        if (r->head < r->end) {
                r->limit = r->head;
                return;
        }
        r->head = 0;
        r->end = SIZE_MAX;
        r->limit = r->size;
}

/* Begins at 0 again where the end of the memory is too near. false: there is no memory. */
static _noinline_ bool ring_make_room(TapRing *r, size_t need) {
        if (r->size == 0)
                return false;
        while (need > r->limit - r->at) {
                if (r->end == SIZE_MAX) {
                        r->end = r->at;
                        r->at = 0;
                }
                ring_drop(r, MAX(need, r->size / ROOM_SHARE));
        }
        return true;
}

static _noinline_ void tap_tell(LinkTap *t, TapHeader header, const void *data) {
        TapRecord record = { .header = header, .number = t->ring.next - 1, .data = data };

        t->listener(&record, t->userdata);
}

void tap_record(LinkTap *t, TapHeader header, const void *data) {
        TapRing *r = &t->ring;
        size_t need = record_size(header);

        if (need <= r->limit - r->at || ring_make_room(r, need)) {
                uint8_t *to = r->data + r->at;

                r->at += need;
                r->next++;
                memcpy(to, &header, sizeof(header));
                memcpy(to + sizeof(header), data, header.size);
        }
        if (t->listener)
                tap_tell(t, header, data);
}

void tap_read_clock(LinkTap *t, usec_t now) {
        t->real_ahead = now_usec(CLOCK_REALTIME) - now_usec(CLOCK_MONOTONIC);
        t->clock_until = usec_add(now, USEC_PER_SEC);
}

static void ring_init(TapRing *r, size_t size, uint64_t next) {
        g_free(r->data);
        *r = (TapRing) { .data = g_malloc(size),
                        .size = size,
                        .limit = size,
                        .end = SIZE_MAX,
                        .first = next,
                        .next = next };
}

void tap_set_recorder(LinkTap *t, size_t size) {
        size = MAX(size, TAP_RECORDER_MIN);
        if (t->ring.size == size)
                return;
        ring_init(&t->ring, size, t->ring.next);
        g_free(t->frozen.data);
        t->frozen = (TapRing) {};
}

void tap_done(LinkTap *t) {
        g_free(t->ring.data);
        g_free(t->frozen.data);
        t->ring = t->frozen = (TapRing) {};
}

/* ---- failures ---------------------------------------------------------------------------------------- */

/* At the same offsets, so that a cursor fits both. */
static void tap_freeze(LinkTap *t) {
        const TapRing *r = &t->ring;
        uint8_t *data = t->frozen.data;

        if (r->size == 0)
                return;
        data = data ?: g_malloc(r->size);
        memcpy(data, r->data, r->end == SIZE_MAX ? r->at : r->end);
        t->frozen = *r;
        t->frozen.data = data;
}

static void tap_note_failure(LinkTap *t, usec_t when) {
        bool first = t->last_failure == 0 ||
                     (t->last_frame > t->last_failure && usec_sub(when, t->last_failure) >= TAP_BURST_USEC);

        if (first)
                tap_freeze(t);
        t->last_failure = when;
}

void tap_failed(LinkTap *t, unsigned n_errors, TapKind kind, usec_t when, uint32_t connection,
                const uint8_t *data, size_t size) {
        TapHeader h = { when, connection, (uint16_t) MIN(size, TAP_BYTES_MAX), TAP_RECEIVED, (uint8_t) kind };

        t->errors += n_errors;
        if (kind == TAP_WRONG) {
                t->received++;
                tap_read_clock(t, when);
                t->last_received = when + t->real_ahead;
        }
        tap_record(t, h, data ?: (const uint8_t *) "");
        tap_note_failure(t, when);
}

static void tap_text(LinkTap *t, TapKind kind, usec_t when, uint32_t connection, const char *text) {
        tap_record(t,
                   (TapHeader) { when, connection, (uint16_t) MIN(strlen(text), TAP_BYTES_MAX), TAP_RECEIVED,
                                (uint8_t) kind },
                   text);
}

void tap_opened(LinkTap *t, usec_t when, uint32_t connection, const char *whom) {
        tap_text(t, TAP_OPENED, when, connection, whom);
}

void tap_closed(LinkTap *t, bool failed, usec_t when, uint32_t connection, const char *why) {
        tap_text(t, TAP_CLOSED, when, connection, why);
        if (failed)
                tap_note_failure(t, when);
}

/* ---- reading ----------------------------------------------------------------------------------------- */

TapCursor tap_oldest(const LinkTap *t) {
        return (TapCursor) { .next = t->frozen.data ? MIN(t->frozen.first, t->ring.first) : t->ring.first };
}

TapCursor tap_newest(const LinkTap *t) {
        return (TapCursor) { .next = t->ring.next, .offset = t->ring.at };
}

bool tap_read(const LinkTap *t, TapCursor *c, TapRecord *ret, uint64_t *ret_missed) {
        const TapRing *r = c->next < t->ring.first && c->next < t->frozen.next ? &t->frozen : &t->ring;
        uint64_t number = MAX(c->next, r->first);
        size_t offset = number == r->first ? r->head : c->offset == r->end ? 0 : c->offset;
        TapHeader h;

        if (number >= r->next)
                return false;

        h = ring_header(r, offset);
        *ret = (TapRecord) { h, number, r->data + offset + sizeof(h) };
        *ret_missed = number - c->next;
        *c = (TapCursor) { number + 1, offset + record_size(h) };
        return true;
}
