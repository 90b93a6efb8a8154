/* SPDX-License-Identifier: Apache-2.0 */
/* The events on disk (spec embedded.md 2): an SQLite database with the latest event of each type and a
 * bounded history. Everything here blocks. A store is used by one thread at a time (the storage's worker
 * once it was handed over); it logs nothing and knows no loop. Memory is bounded: SQLite's page cache and a
 * small cache of types.
 *
 * Events come in the order of their registration, with ids and timestamps that never go backwards (the
 * server gives them), so the natural order of wire.md 3.5 is the order of the rows. */
#pragma once

#include "base/buffer.h"
#include "event/event.h"
#include "event/eventer.h"

typedef struct Store Store;

#define STORE_RESULTS_MAX 4096           /* events in one timeseries or server answer (wire.md 3.10) … */
#define STORE_ANSWER_MAX (4U << 20)      /* … and bytes of it; at least one event */
#define STORE_SLICE_ROWS 10000U          /* rows that one step of a query, and … */
#define STORE_TRIM_ROWS 1000U            /* … of trimming looks at: others wait that long */

typedef struct StoreOptions {
        const char *path;               /* ":memory:", or a file, whose folder exists */
        usec_t max_age;                 /* of history; USEC_INFINITY: no limit */
        int64_t max_events, max_bytes;  /* -1: no limit; max_events 0: only the latest event of each type; max_bytes in use, beside
                                         * which an eighth of the file, or 1 MiB, may be free */
} StoreOptions;

/* Sessions whose numbers may be given before one of them is committed: numbers go on upward also when the
 * process is killed and what it gave last was notified, but not yet stored. Behind an orderly end they go on
 * without a gap. */
#define STORE_RESERVE INT64_C(1000000000)

/* What a new session continues from. session 0: no event was ever stored. */
typedef struct StoreHead {
        int64_t session; /* no greater number was ever given */
        Timestamp timestamp;
} StoreHead;

/* Opens or makes the database. Does not read through it: costs the same with a million events. -EUCLEAN:
 * corrupt, or no database of ours; -EPROTONOSUPPORT: of a newer version; -EBUSY: another process has it
 * open; else the system's errno. Nobody else can open the file while the store is open, not even to read:
 * that is what the export is for. ret_detail (of an error, caller frees): a sentence of what SQLite said. */
int store_open(const StoreOptions *options, Store **ret, char **ret_detail);
/* Renames the database and what belongs to it to PATH.corrupt-<UTC time>; *ret_name is the new name (caller
 * frees). */
int store_set_aside(const char *path, char **ret_name);
/* Commits what was written. NULL accepted. */
Store *store_close(Store *s);
DEFINE_CLEANUP(Store, store_close);
StoreHead store_head(const Store *s);
/* Of the last failure of this store: one sentence, borrowed, valid until the next call. */
const char *store_detail(const Store *s);

/* ---- writing ----------------------------------------------------------------------------------------- */

/* One session: its events in order, into the open transaction (begun when there is none). Visible to queries
 * at once. <0 (-ENOSPC, -EROFS, -EIO, -EUCLEAN …): everything since the last commit is undone, the store goes
 * on. When a query undid it, it fails, and the next write or commit does too, without having done anything.
 * -EINVAL: an id or time is not after the last one's; nothing happened. After -EUCLEAN, of a query too,
 * nothing more is written; what was committed goes from the log into the file when it is closed, so that a
 * good copy put in its place does not meet a log of another one. */
int store_write(Store *s, const Event *events, size_t n);
/* On stable storage after return, as far as the disk keeps its word. <0: as store_write(). Nothing written: 0. */
int store_commit(Store *s);
/* Commits, even with nothing to write: whether the disk takes anything. <0: as store_write(). */
int store_probe(Store *s);

/* Deletes at most STORE_TRIM_ROWS of the oldest history that the bounds no longer allow, and commits; gives
 * freed pages back to the file system by and by. Latest events stay. 1: there is more to do, 0: done. Only
 * with no transaction open. now: of the wall clock. */
int store_trim(Store *s, Timestamp now);

/* ---- queries (wire.md 3.10) -------------------------------------------------------------------------- */

/* A query under way: a copy of what was asked, and how far it is. */
typedef struct StoreQuery StoreQuery;

/* -EBADMSG: the reference closes the connection for it (a `*` that is not last, with its quirks; a negative
 * maxResults, a bound with us < 0 or >= 2^32, a lastEventId that does not fit serverId). Touches no store:
 * any thread. server_id: of this server. */
int store_query_new(const EventerQuery *query, StoreQuery **ret);
StoreQuery *store_query_free(StoreQuery *q);
DEFINE_CLEANUP(StoreQuery, store_query_free);
/* Goes on for at most STORE_SLICE_ROWS rows, appending to out the SBS encoding of events. 1: call again; 0:
 * done, and out holds a whole QueryResult; <0: out is to be thrown away (-EMSGSIZE: a latest answer beyond
 * CHATTER_FRAME_MAX). Rows trimmed or written between two steps harm nothing: what was written after the
 * first step is not seen, but for a latest query, which may give a type's newer event. out is empty before
 * the first step and the query's alone until it is done. persisted: up to the last commit. A server query
 * also gives the latest events that history no longer has. */
int store_query_step(Store *s, StoreQuery *q, Buffer *out);

/* Whether an event of exactly this type was ever stored: 1, 0, <0. */
int store_has_type(Store *s, EventType type);

/* ---- export ------------------------------------------------------------------------------------------ */

/* A consistent copy into a new file, in steps with anything else between them. path must not exist. A step
 * only with no transaction open. -ENOSPC: it would not leave DISK_SPACE_LEFT. */
typedef struct StoreExport StoreExport;
int store_export_new(Store *s, const char *path, StoreExport **ret);
int store_export_step(StoreExport *e);          /* 1: call again, 0: the copy is complete, <0: failed */
StoreExport *store_export_free(StoreExport *e); /* before the store; the file stays */
DEFINE_CLEANUP(StoreExport, store_export_free);
