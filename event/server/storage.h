/* SPDX-License-Identifier: Apache-2.0 */
/* The store behind a worker thread (spec embedded.md 2): sessions in, committed in groups; queries and
 * export between them, all in the order in which they were asked for; trimming when there is nothing else to
 * do. Owns the store. Loop thread: no function waits for the disk, but storage_has_type() and
 * storage_close().
 *
 * A session that wants a response is kept only if its commit succeeds. One that does not is committed within
 * STORAGE_COMMIT_USEC, and while the disk does not take it, it is kept in memory (STORAGE_KEPT_MAX, then the
 * oldest are dropped and counted) and tried again every STORAGE_RETRY_USEC. */
#pragma once

#include <systemd/sd-event.h>

#include "event/server/copier.h"
#include "event/server/store.h"

#define STORAGE_COMMIT_USEC (1 * USEC_PER_SEC)          /* what nobody waits for is on disk after that */
#define STORAGE_COMMIT_BYTES (1U << 20)                 /* or as soon as so much was written */
#define STORAGE_WRITE_BYTES (128U << 10)                /* so much is written into the open transaction at once */
#define STORAGE_RETRY_USEC (1 * USEC_PER_SEC)
#define STORAGE_TRIM_USEC (60 * USEC_PER_SEC)           /* history is trimmed that often, when there is nothing else to do … */
#define STORAGE_TRIM_BYTES (4U << 20)                   /* … or after so many bytes; but at the latest … */
#define STORAGE_TRIM_LATE_USEC (2 * USEC_PER_SEC)       /* … so much later, in turn with everything else */

typedef struct Storage Storage;

/* One register request. Made by the server; the storage owns it from storage_write() until it is handed back.
 * Its bytes may be read by the worker meanwhile, nobody writes them. */
typedef struct Session {
        GList link;             /* the holder's */
        const uint8_t *events;  /* SBS Array(Event), as a client gets it; in the session's own memory */
        size_t size, n_events;
        int64_t number;         /* id.session of its events */
        bool wants_response;    /* else the storage keeps it through trouble */

        /* The server's. */
        GList order;            /* in the queue of those that wait to be notified */
        void *owner;            /* whom to answer, with `conversation` */
        int64_t conversation;
        bool waits, decided;    /* is in that queue; the storage has handed it back, with `error` */
        int error;
} Session;
Session *session_new(const void *events, size_t size, size_t n_events); /* copies */
Session *session_free(Session *s);
DEFINE_CLEANUP(Session, session_free);

typedef struct StorageHandler {
        /* In the order of storage_write(), but that sessions kept through trouble come late. error 0: on
         * stable storage. <0 with wants_response: not kept. Without it: dropped. The session is the
         * callee's. */
        void (*written)(Session *session, int error, void *userdata);
        /* failing: the disk takes nothing, with one sentence; false: it does again. */
        void (*failing)(bool failing, const char *detail, void *userdata);
        /* The store is damaged, as `detail` says. aside: it lies there now and an empty one took its place,
         * into which goes what waits; every query has failed. NULL: nothing is taken any more. */
        void (*damaged)(const char *aside, const char *detail, void *userdata);
        /* Too much is on its way (STORAGE_QUEUE_MAX): clients should not be read from; or no more. */
        void (*congested)(bool congested, void *userdata);
} StorageHandler;

/* Takes the store over in any case. replacement: how to open the one that takes its place when it is found
 * damaged and set aside; NULL: none does. export_path: where a copy of the database lies while it is
 * exported; what an earlier run left there is removed. No handler is called inside a call of the owner. */
int storage_new(sd_event *event, Store *store, const StoreOptions *replacement, const char *export_path,
                const StorageHandler *handler, void *userdata, Storage **ret);
/* Commits everything that waits and ends the thread; waits for it, at most until `until` (monotonic). No
 * callback follows. ret_error: <0 when some of it is not on the disk; NULL accepted, also as the storage. */
Storage *storage_close(Storage *s, usec_t until, int *ret_error);
/* store_has_type(), behind everything that runs, before what was written lately. Blocks: for the start only. */
int storage_has_type(Storage *s, EventType type);

/* Committed at once, together with what else is written in this turn of the loop, when it wants a response. */
void storage_write(Storage *s, Session *session);
/* on: somebody waits for every commit, so none is put off. */
void storage_set_prompt(Storage *s, bool on);
/* Also when it is damaged, and nothing replaced it. */
bool storage_is_failing(const Storage *s);
uint64_t storage_dropped(const Storage *s);     /* sessions */
/* Begins behind everything that was written before, unless the disk does not take that; called back once.
 * result: SBS QueryResult, the callee's to read during the call. */
typedef void (*StorageQueryCallback)(int error, const Buffer *result, void *userdata);
typedef struct StorageQuery StorageQuery;
StorageQuery *storage_query(Storage *s, StoreQuery *query, StorageQueryCallback callback, void *userdata); /* takes query */
StorageQuery *storage_query_cancel(StorageQuery *q); /* no callback; NULL accepted, returns NULL */
/* Copies the database into a regular file (a duplicate of fd is used), by way of a file beside it that is
 * deleted. -EBUSY: one is under way; -EINVAL: not a regular file that can be written anywhere. The callback
 * comes in a later turn, unless the storage is closed; the callee may close it. */
int storage_export(Storage *s, int fd, CopierCallback callback, void *userdata);
