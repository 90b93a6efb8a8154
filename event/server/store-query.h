/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of a query share. The thread that uses the store.
 *
 * A timeseries or server query goes along the history in result order and looks at each event: the scan. When
 * it asks for few types, it also goes from the latest event of each back to its previous ones: the walk,
 * which collects what the result needs. Both take turns, and whoever is done first gives the answer: the scan
 * is quick when the types are frequent, the walk when they are rare. */
#pragma once

#include "event/server/store-internal.h"
#include "event/server/subscription.h"

#define QUERY_CHAINS_MAX 4096U          /* types of a walk */

typedef enum QueryPhase {
        PHASE_BEGIN,
        PHASE_TYPES,                    /* which types match */
        PHASE_REMAINS,                  /* server: latest events that history no longer has … */
        PHASE_GIVE_REMAINS,             /* … are given */
        PHASE_SCAN,
        PHASE_COLLECTED,                /* what the walk collected is given */
        PHASE_END,
} QueryPhase;

/* Types that a query may match, in the table's order: those whose bytes begin with the prefix, or are
 * exactly it. */
typedef struct KeyRange {
        uint8_t *prefix;
        size_t size;
        bool exact;
} KeyRange;

/* A place in the order of the result. */
typedef struct Place {
        int64_t s, us;                  /* source time, when the order is by it, else 0 */
        int64_t number;
} Place;

typedef struct Collected {
        Place place;
        uint32_t type;
} Collected;

/* The events of one type, from the newest; number: the next one to look at. */
typedef struct Chain {
        int64_t number;
        uint32_t type;
} Chain;

struct StoreQuery {
        /* what was asked */
        QueryKind kind;
        bool descending, by_source, persisted;
        bool all;                       /* types */
        Subscription *subscription;     /* NULL when all */
        GArray *ranges;                 /* of KeyRange, disjoint, sorted */
        bool has_t_from, has_t_to, has_source_from, has_source_to, has_last;
        Timestamp t_from, t_to, source_from, source_to;
        EventId last;
        int64_t server_id;
        int64_t limit;

        /* how far it is */
        QueryPhase phase;
        int64_t budget;                 /* rows left in this step */
        uint64_t undo_count;            /* of the store when it was last looked at … */
        int64_t committed;              /* … and the last number that was committed at the beginning */
        int64_t low, high;              /* numbers of events that may be in the result */
        Place cursor;                   /* of the scan: what lies behind is done */
        guint range;                    /* at hand … */
        Buffer at;                      /* … and the first key not yet looked at */
        GArray *subtypes;               /* of the type at hand */
        uint8_t *wanted;                /* one bit a type */
        uint32_t wanted_max;            /* greatest type that has a bit */
        GArray *chains;                 /* of Chain, a heap with the newest event first; as long as the walk is on */
        GArray *chain_types;            /* of uint32_t; NULL: too many */
        bool chains_stale;
        GArray *collected;              /* of Collected, a heap with the last in result order first */
        int64_t remains_type, remains_end;
        guint given;                    /* of the sorted collected ones */

        /* the answer */
        int64_t n;
        bool more;
        uint32_t type_at_hand;          /* whose bytes are in type_bytes */
        Buffer type_bytes;
};

/* ---- store-walk.c ------------------------------------------------------------------------------------ */

/* <0: a comes before b in the result. */
int place_compare(const StoreQuery *q, const Place *a, const Place *b);
/* Keeps the first limit + 1 in result order. */
void query_collect(StoreQuery *q, Place place, uint32_t type);
void query_collected_sort(StoreQuery *q);
/* A turn of the walk. 1: everything that the result can still need is collected, 0: not yet, <0. */
int query_walk(Store *s, StoreQuery *q);
/* Begins again with the latest events. */
int query_walk_begin(Store *s, StoreQuery *q);
bool query_wants_type(const StoreQuery *q, int64_t type);
bool query_wants_source(const StoreQuery *q, bool has_source, Timestamp source);

/* ---- store-answer.c ---------------------------------------------------------------------------------- */

void answer_begin(Buffer *out);
/* 1: given, 0: the answer is full and more follows, <0. */
int answer_give(Store *s, StoreQuery *q, sqlite3_stmt *row, Buffer *out);
void answer_end(const StoreQuery *q, Buffer *out);
