/* SPDX-License-Identifier: Apache-2.0 */
/* The store behind a worker thread (spec embedded.md 2): sessions in, committed in groups; queries and export between them, all
 * in the order in which they were asked for; trimming when there is nothing else to do. Owns the store. Loop thread: no
 * function waits for the disk, but storage_close().
 *
 * A session that wants a response is kept only if its commit succeeds. One that does not is committed within
 * STORAGE_COMMIT_USEC, and while the disk does not take it, it is kept in memory (STORAGE_KEPT_MAX, then dropped and counted) and tried
 * again every STORAGE_RETRY_USEC. */
#pragma once

#include <systemd/sd-event.h>

#include "event/server/store.h"

#define STORAGE_COMMIT_USEC (1 * USEC_PER_SEC)          /* what nobody waits for is on disk after that */
#define STORAGE_COMMIT_BYTES (1U << 20)                 /* or as soon as so much was written */
#define STORAGE_KEPT_MAX (8U << 20)                     /* bytes kept while the disk takes nothing */
#define STORAGE_RETRY_USEC (1 * USEC_PER_SEC)
#define STORAGE_QUEUE_MAX (8U << 20)                    /* bytes of sessions on their way: congested; free again at a quarter */

typedef struct Storage Storage;

/* One register request. Made by the server; the storage owns it from storage_write() until it is handed back. Its bytes may be read
 * by the worker meanwhile, nobody writes them. */
typedef struct Session {
        GList link;             /* the holder's */
        uint8_t *events;        /* SBS Array(Event), as a client gets it */
        size_t size, n_events;
        bool wants_response;    /* else the storage keeps it through trouble */
        void *owner;            /* the server's, with `conversation`: whom to answer */
        int64_t conversation;
        bool notified;          /* the server's */
} Session;
Session *session_free(Session *s);
DEFINE_CLEANUP(Session, session_free);

typedef struct StorageHandler {
        /* In the order of storage_write(), but that sessions kept through trouble come late. error 0: on stable storage.
         * <0 with wants_response: not kept. Without it: dropped, the last one hears of it. The session is the callee's. */
        void (*written)(Session *session, int error, void *userdata);
        /* failing: the disk takes nothing, with one sentence; false: it does again. */
        void (*failing)(bool failing, const char *detail, void *userdata);
        /* Too much is on its way (STORAGE_QUEUE_MAX): clients should not be read from; or no more. */
        void (*congested)(bool congested, void *userdata);
} StorageHandler;

/* Takes the store over in any case. */
int storage_new(sd_event *event, Store *store, const StorageHandler *handler, void *userdata, Storage **ret);
/* Commits everything that waits and ends the thread; waits for it, at most until `until` (monotonic). No callback follows. NULL accepted. */
Storage *storage_close(Storage *s, usec_t until);

void storage_write(Storage *s, Session *session);
bool storage_is_failing(const Storage *s);
uint64_t storage_dropped(const Storage *s);     /* sessions */
/* Written behind everything that was written before, so that a following commit notification covers it; called back once. result: SBS
 * QueryResult, the callee's to read during the call. */
typedef void (*StorageQueryCallback)(int error, const Buffer *result, void *userdata);
typedef struct StorageQuery StorageQuery;
StorageQuery *storage_query(Storage *s, StoreQuery *query, StorageQueryCallback callback, void *userdata); /* takes query */
StorageQuery *storage_query_cancel(StorageQuery *q); /* no callback; NULL accepted, returns NULL */
/* Copies the database into a regular file (a duplicate of fd is used), by way of a file beside it that is deleted. -EBUSY: one is under
 * way; -EINVAL: not a regular file that can be written. The callback comes in a later turn, unless the storage is closed. */
int storage_export(Storage *s, int fd, void (*callback)(int error, const char *detail, void *userdata), void *userdata);
