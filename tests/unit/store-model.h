/* SPDX-License-Identifier: Apache-2.0 */
/* What the event store must answer, done the simplest way: a list of all events, looked through for each query (spec wire.md 3.10). And a
 * script of operations on a store and its model, driven by random numbers or by a fuzzer's bytes. Aborts where they differ. */
#pragma once

#include "event/server/store.h"

typedef struct StoreModel {
        GPtrArray *events;      /* of Event, owned: all that were ever written */
        GHashTable *latest;     /* type to the index of its last event */
        guint first;            /* history begins there */
        guint committed;        /* how many are */
} StoreModel;

void store_model_init(StoreModel *m);
void store_model_done(StoreModel *m);
void store_model_add(StoreModel *m, const Event *e);
void store_model_undo(StoreModel *m, guint n); /* only n events were written */
const Event *store_model_event(const StoreModel *m, guint i);
/* Fails the test unless `answer` is what the query must give. */
void store_model_check(const StoreModel *m, const EventerQuery *query, const Buffer *answer);
/* Runs a query to its end and checks the answer. */
void store_model_query(const StoreModel *m, Store *s, const EventerQuery *query);

typedef struct Choices {
        GRand *random;          /* or, NULL, … */
        const uint8_t *at, *end; /* … these bytes */
} Choices;
bool choices_left(const Choices *c);
unsigned choose(Choices *c, unsigned n); /* 0 to n - 1 */

/* steps operations; the store at path is closed and opened again now and then unless it is in memory. */
void store_script(Choices *c, const char *path, unsigned steps);
