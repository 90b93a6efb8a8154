/* SPDX-License-Identifier: Apache-2.0 */
/* The one place where everything passes that a device sends and receives: counters, the time of the last
 * frame, a recorder that keeps the last records, a copy of it from the first failure of a burst, and whoever
 * listens. A record costs a copy into memory that was allocated once, and no system call. Loop thread. */
#pragma once

#include <errno.h>

#include "base/macros.h"
#include "base/time.h"

typedef enum TapDirection {
        TAP_RECEIVED,
        TAP_SENT,
        _TAP_DIRECTION_MAX,
        _TAP_DIRECTION_INVALID = -EINVAL,
} TapDirection;
DECLARE_STRING_TABLE(tap_direction, TapDirection);

typedef enum TapKind {
        TAP_FRAME,
        TAP_WRONG,   /* a whole frame, but not what was asked for */
        TAP_UNASKED, /* bytes that nobody waits for (any more) */
        TAP_GARBAGE, /* bytes that are no frame */
        TAP_TIMEOUT, /* an answer that did not come; the bytes are what there is of it */
        TAP_OPENED,  /* a connection; the bytes are text, with whom */
        TAP_CLOSED,  /* its end; the bytes are text, why */
        _TAP_KIND_MAX,
        _TAP_KIND_INVALID = -EINVAL,
} TapKind;
DECLARE_STRING_TABLE(tap_kind, TapKind);

typedef struct TapHeader {
        usec_t when;         /* CLOCK_MONOTONIC */
        uint32_t connection; /* of a device that has several; else 0 */
        uint16_t size;       /* of the bytes, at most TAP_BYTES_MAX */
        uint8_t direction;   /* TapDirection */
        uint8_t kind;        /* TapKind */
} TapHeader;

typedef struct TapRecord {
        TapHeader header;
        uint64_t number;     /* counted over the life of the tap */
        const uint8_t *data; /* borrowed */
} TapRecord;

/* Records behind one another, the oldest overwritten by the newest. */
typedef struct TapRing {
        uint8_t *data;
        size_t size;
        size_t at, limit; /* where the next record goes, and how far it may reach */
        size_t head;      /* the oldest record */
        size_t end; /* where the upper, older ones end while the newer ones began at 0 again; else SIZE_MAX */
        uint64_t first, next; /* numbers of the oldest record and of the next one */
} TapRing;

typedef struct LinkTap LinkTap;
typedef void (*TapListener)(const TapRecord *record, void *userdata);

/* Zeroed: counts, and keeps nothing. */
struct LinkTap {
        uint64_t received, sent, errors;
        usec_t last_received; /* CLOCK_REALTIME; 0: never */
        usec_t last_frame;    /* CLOCK_MONOTONIC, of the last right one that was received */
        uint64_t real_ahead;  /* of the monotonic clock, read … */
        usec_t clock_until;   /* … again from then on */
        usec_t last_failure;  /* CLOCK_MONOTONIC; 0: never */
        TapRing ring, frozen; /* frozen: as the ring was after the first failure of the last burst */
        TapListener listener; /* NULL: nobody */
        void *userdata;
};

/* Keeps so many bytes of records from now on, TAP_RECORDER_MIN at least; with the same size as before, also
 * those that it has. */
void tap_set_recorder(LinkTap *t, size_t size);
void tap_done(LinkTap *t);

/* Everything below ends here. */
void tap_record(LinkTap *t, TapHeader header, const void *data);
void tap_read_clock(LinkTap *t, usec_t now);

/* A whole, right frame, of at most TAP_BYTES_MAX bytes. */
static inline void tap_received(LinkTap *t, usec_t when, uint32_t connection, const uint8_t *frame,
                                size_t size) {
        t->received++;
        if (when >= t->clock_until)
                tap_read_clock(t, when);
        t->last_received = when + t->real_ahead;
        t->last_frame = when;
        tap_record(t, (TapHeader) { when, connection, (uint16_t) size, TAP_RECEIVED, TAP_FRAME }, frame);
}
static inline void tap_sent(LinkTap *t, usec_t when, uint32_t connection, const uint8_t *frame,
                            size_t size) {
        t->sent++;
        tap_record(t, (TapHeader) { when, connection, (uint16_t) size, TAP_SENT, TAP_FRAME }, frame);
}
/* What was received (may be nothing, or more than is kept) is of no use, and counts as so many errors. The
 * first failure after TAP_BURST_USEC without one, in which there were frames, begins a burst. */
void tap_failed(LinkTap *t, unsigned n_errors, TapKind kind, usec_t when, uint32_t connection,
                const uint8_t *data, size_t size);
/* A connection ends; failed: which it should not. */
void tap_closed(LinkTap *t, bool failed, usec_t when, uint32_t connection, const char *why);
void tap_opened(LinkTap *t, usec_t when, uint32_t connection, const char *whom);

/* ---- reading ---- */

typedef struct TapCursor {
        uint64_t next; /* number of the record that is wanted */
        size_t offset; /* where it lies, when there are older ones */
} TapCursor;

/* The oldest record that is kept, the frozen ones included; or the next one that will be. */
TapCursor tap_oldest(const LinkTap *t);
TapCursor tap_newest(const LinkTap *t);
/* The record at the cursor, which moves on; from the frozen copy while the ring has it no more. *ret_missed:
 * so many in front of it are lost. false: there is none yet. ret->data is valid until the next record. */
bool tap_read(const LinkTap *t, TapCursor *c, TapRecord *ret, uint64_t *ret_missed);
