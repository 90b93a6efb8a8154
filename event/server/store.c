/* SPDX-License-Identifier: Apache-2.0 */
/* Writing, committing and trimming of the store. The thread that uses the store. */

#include <errno.h>

#include "event/event.h"
#include "event/sbs.h"
#include "event/server/store-internal.h"

/* Its last row is the last event, so that need not be noted as well. */
static bool history_has_last(const Store *s) {
        return s->now.first < s->now.next;
}

static int store_put_head(Store *s, int64_t session) {
        sqlite3_stmt *statement = store_statement(s, STORE_PUT_HEAD);

        (void) sqlite3_bind_int64(statement, 1, s->now.next - 1);
        (void) sqlite3_bind_int64(statement, 2, s->now.id.server);
        (void) sqlite3_bind_int64(statement, 3, session);
        (void) sqlite3_bind_int64(statement, 4, s->now.id.instance);
        (void) sqlite3_bind_int64(statement, 5, s->now.timestamp.s);
        (void) sqlite3_bind_int64(statement, 6, s->now.timestamp.us);
        return store_run(s, STORE_PUT_HEAD);
}

Store *store_close(Store *s) {
        if (!s)
                return NULL;
        if (s->committed.next > 0 && store_commit(s) >= 0 && !s->lost) /* else it was refused, or is damaged */
                (void) store_put_head(s, s->now.id.session);
        for (StoreStatement i = 0; i < _STORE_STATEMENT_MAX; i++)
                (void) sqlite3_finalize(s->statements[i]);
        (void) sqlite3_close(s->db);
        type_cache_clear(&s->types);
        changes_done(&s->changes);
        buffer_done(&s->key);
        g_free(s->detail);
        g_free(s);
        return NULL;
}

StoreHead store_head(const Store *s) {
        return (StoreHead) { .session = s->now.id.session, .timestamp = s->now.timestamp };
}

const char *store_detail(const Store *s) {
        return s->detail ?: "";
}

/* ---- transactions ------------------------------------------------------------------------------------ */

static int store_begin(Store *s) {
        int r;

        if (s->transaction)
                return 0;
        r = store_run(s, STORE_BEGIN);
        if (r < 0)
                return r;
        s->transaction = true;
        return 0;
}

int store_undo(Store *s, int r) {
        g_autofree char *detail = TAKE_PTR(s->detail);

        if (sqlite3_get_autocommit(s->db) == 0) /* some failures end the transaction by themselves */
                (void) store_run(s, STORE_ROLLBACK);
        s->transaction = false;
        s->lost = true;
        s->now = s->committed;
        changes_clear(&s->changes);
        type_cache_clear(&s->types);
        s->undo_count++;
        return store_error_text(s, r, detail);
}

/* A failure that happened where nobody could be told that his sessions are gone. */
static int store_take_undone(Store *s) {
        int r = s->damaged ? -EUCLEAN : s->undone;

        s->undone = 0;
        return r;
}

int store_flush(Store *s) {
        int r;

        if (!s->transaction)
                return 0;
        r = changes_write(&s->changes, s);
        if (r >= 0)
                return 0;
        s->undone = store_undo(s, r);
        return r;
}

/* What goes into a file without a name is gone with this process, so it is not acknowledged. A file that is
 * put back is written on. */
static int store_check_file(Store *s) {
        int moved = 0;

        (void) sqlite3_file_control(s->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved);
        return moved ? store_error_text(s, -ENOENT, "its file was removed or replaced; put it back, or restart gatewayd") : 0;
}

static int64_t session_after(const Store *s, int64_t n) {
        int64_t session;

        return __builtin_add_overflow(s->now.id.session, n, &session) ? INT64_MAX : session;
}

/* Raised with something else that is committed, once in a long while. */
static int64_t reserve_wanted(const Store *s) {
        return s->reserved >= session_after(s, STORE_RESERVE / 2) ? s->reserved : session_after(s, STORE_RESERVE);
}

static int store_end(Store *s) {
        int64_t reserve = reserve_wanted(s);
        int r;

        r = store_check_file(s);
        if (r >= 0)
                r = changes_write(&s->changes, s);
        if (r >= 0 && (!history_has_last(s) || reserve != s->reserved))
                r = store_put_head(s, reserve);
        if (r >= 0)
                r = store_run(s, STORE_COMMIT);
        if (r < 0)
                return store_undo(s, r);
        s->transaction = s->lost = false;
        s->reserved = reserve;
        s->committed = s->now;
        store_log_write_back(s, LOG_PAGES_MAX);
        return 0;
}

int store_reserve(Store *s) {
        int r;

        r = store_begin(s);
        return r < 0 ? r : store_end(s);
}

int store_commit(Store *s) {
        int r;

        r = store_take_undone(s);
        if (r < 0 || !s->transaction)
                return r;
        return store_end(s);
}

/* What does not change is not written, so the head is, with something else first. */
int store_probe(Store *s) {
        int r;

        r = store_take_undone(s);
        if (r >= 0)
                r = store_begin(s);
        if (r < 0)
                return r;
        s->now.id.instance++;
        r = store_put_head(s, s->reserved);
        s->now.id.instance--;
        if (r >= 0)
                r = store_put_head(s, s->reserved);
        return r < 0 ? store_undo(s, r) : store_end(s);
}

/* ---- types ------------------------------------------------------------------------------------------- */

void store_key(Buffer *b, const Subtype *subtypes, size_t n) {
        for (size_t i = 0; i < n; i++)
                sbs_write_string(b, subtypes[i].text, subtypes[i].size);
}

/* The slot of the type whose key is at hand; makes room when there is none. */
static int store_slot(Store *s, TypeSlot **ret) {
        const void *key = buffer_begin(&s->key) ?: (const uint8_t *) "";
        TypeSlot *slot = type_cache_find(&s->types, key, buffer_size(&s->key));

        if (!slot) {
                int r = changes_write(&s->changes, s);

                if (r < 0)
                        return r;
                type_cache_clear(&s->types);
                slot = type_cache_find(&s->types, key, buffer_size(&s->key));
        }
        *ret = slot;
        return 0;
}

/* Into the slot. 1: found, 0: never seen. */
static int store_read_type(Store *s, TypeSlot *slot) {
        sqlite3_stmt *row = store_statement(s, STORE_FIND_TYPE);
        int64_t id, last;
        int r;

        (void) bind_bytes(row, 1, buffer_begin(&s->key), buffer_size(&s->key));
        r = store_row(s, row);
        if (r <= 0)
                return r;
        id = sqlite3_column_int64(row, 0);
        last = sqlite3_column_int64(row, 1);
        (void) sqlite3_reset(row);
        if (id < 1 || id > UINT32_MAX || last < 1 || last >= s->now.next)
                return store_error_text(s, -EUCLEAN, "a type's number is out of range");
        type_cache_fill(&s->types, slot, (uint32_t) id, last);
        return 1;
}

int store_has_type(Store *s, EventType type) {
        TypeSlot *slot;
        int r;

        buffer_clear(&s->key);
        store_key(&s->key, type.subtypes, type.n);
        r = store_slot(s, &slot);
        if (r < 0)
                return s->undone = store_undo(s, r);
        return slot->id != 0 ? 1 : store_read_type(s, slot);
}

static int store_add_type(Store *s, EventType type, TypeSlot *slot) {
        sqlite3_stmt *statement = store_statement(s, STORE_ADD_TYPE);
        g_autofree char *name = event_type_format(type);
        int r;

        if (s->next_type > UINT32_MAX)
                return store_error_text(s, -EOVERFLOW, "too many types");
        (void) sqlite3_bind_int64(statement, 1, s->next_type);
        (void) bind_text(statement, 2, name, strlen(name));
        (void) bind_bytes(statement, 3, buffer_begin(&s->key), buffer_size(&s->key));
        r = store_run(s, STORE_ADD_TYPE);
        if (r < 0)
                return r;
        type_cache_fill(&s->types, slot, (uint32_t) s->next_type++, 0);
        return 0;
}

/* ---- writing ----------------------------------------------------------------------------------------- */

static bool history_is_kept(const Store *s) {
        return s->max_events != 0 || history_has_last(s); /* what is there is trimmed in order */
}

static int store_add_history(Store *s, const TypeSlot *slot, const Event *e) {
        sqlite3_stmt *statement = store_statement(s, STORE_ADD_EVENT);

        (void) sqlite3_bind_int64(statement, 1, s->now.next);
        (void) sqlite3_bind_int64(statement, 2, slot->id);
        (void) sqlite3_bind_int64(statement, 3, slot->last);
        (void) sqlite3_bind_int64(statement, 4, e->id.server);
        (void) sqlite3_bind_int64(statement, 5, e->id.session);
        (void) sqlite3_bind_int64(statement, 6, e->id.instance);
        (void) sqlite3_bind_int64(statement, 7, e->timestamp.s);
        (void) sqlite3_bind_int64(statement, 8, e->timestamp.us);
        bind_source(statement, 9, e->has_source ? &e->source : NULL);
        bind_payload(statement, 11, &e->payload);
        return store_run(s, STORE_ADD_EVENT);
}

static int store_write_event(Store *s, const Event *e) {
        TypeSlot *slot;
        int r;

        if (changes_full(&s->changes)) {
                r = changes_write(&s->changes, s);
                if (r < 0)
                        return r;
        }
        buffer_clear(&s->key);
        store_key(&s->key, e->type.subtypes, e->type.n);
        r = store_slot(s, &slot);
        if (r < 0)
                return r;
        if (slot->id == 0) {
                r = store_read_type(s, slot);
                if (r == 0)
                        r = store_add_type(s, e->type, slot);
                if (r < 0)
                        return r;
        }

        if (history_is_kept(s)) {
                r = store_add_history(s, slot, e);
                if (r < 0)
                        return r;
        } else
                s->now.first = s->now.next + 1;
        changes_put(&s->changes, slot, s->now.next, e);
        slot->last = s->now.next++;
        s->now.id = e->id;
        s->now.timestamp = e->timestamp;
        return 0;
}

/* The order of the rows is the natural order only when nothing comes late. */
static bool session_in_order(const Store *s, const Event *events, size_t n) {
        EventId last = s->now.id;
        Timestamp time = s->now.next > 1 ? s->now.timestamp : (Timestamp) { .s = INT64_MIN };

        for (size_t i = 0; i < n; i++) {
                const EventId *id = &events[i].id;

                if (id->session < last.session || (id->session == last.session && id->instance <= last.instance) ||
                    timestamp_compare(&events[i].timestamp, &time) < 0)
                        return false;
                last = *id;
                time = events[i].timestamp;
        }
        return true;
}

int store_write(Store *s, const Event *events, size_t n) {
        int r;

        r = store_take_undone(s);
        if (r < 0 || n == 0)
                return r;
        if (!session_in_order(s, events, n))
                return store_error_text(s, -EINVAL, "an event is older than the last one");
        r = store_begin(s);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++) {
                r = store_write_event(s, events + i);
                if (r < 0)
                        return store_undo(s, r);
        }
        return 0;
}

/* ---- trimming ---------------------------------------------------------------------------------------- */

static Timestamp timestamp_before(Timestamp t, usec_t age) {
        int64_t us = (int64_t) t.us - (int64_t) (age % USEC_PER_SEC), s = (int64_t) (age / USEC_PER_SEC);

        if (us < 0) {
                us += (int64_t) USEC_PER_SEC;
                s++;
        }
        if (__builtin_sub_overflow(t.s, s, &t.s))
                return (Timestamp) { .s = INT64_MIN };
        t.us = (int32_t) us;
        return t;
}

/* Pages of the file, and of them the free ones. */
static int store_pages(Store *s, int64_t *ret_pages, int64_t *ret_free) {
        int r;

        r = store_number(s, STORE_PAGE_COUNT, ret_pages);
        if (r < 0)
                return r;
        return store_number(s, STORE_FREE_COUNT, ret_free);
}

static int store_is_too_big(Store *s, int64_t *ret) {
        int64_t pages, unused, size;
        int r;

        *ret = 0;
        if (s->max_bytes < 0)
                return 0;
        r = store_pages(s, &pages, &unused);
        if (r < 0)
                return r;
        r = store_number(s, STORE_PAGE_SIZE, &size);
        if (r < 0)
                return r;
        *ret = pages - unused > s->max_bytes / MAX(size, 1);
        return 0;
}

/* The number of the first event that the bounds allow to stay. */
static int store_trim_end(Store *s, Timestamp now, int64_t *ret) {
        int64_t end = s->now.first, too_big = 0;
        int r;

        if (s->max_events >= 0 && s->now.next - s->now.first > s->max_events)
                end = s->now.next - s->max_events;
        if (s->max_age != USEC_INFINITY) {
                int64_t young;

                r = store_seek_time(s, timestamp_before(now, s->max_age), false, &young);
                if (r < 0)
                        return r;
                end = MAX(end, young);
        }
        r = store_is_too_big(s, &too_big);
        if (r < 0)
                return r;
        if (too_big)
                end = s->now.next;
        *ret = MIN(end, s->now.first + (int64_t) MIN(s->trim_rows, (uint64_t) (s->now.next - s->now.first)));
        return 0;
}

/* Losing the deletion with the power is no harm: no need to wait for the disk. */
static int store_delete_before(Store *s, int64_t end) {
        int r;

        if (end == s->now.next) {
                r = store_put_head(s, s->reserved);
                if (r < 0)
                        return r;
        }
        (void) sqlite3_exec(s->db, "PRAGMA synchronous = NORMAL", NULL, NULL, NULL);
        (void) sqlite3_bind_int64(store_statement(s, STORE_TRIM), 1, end);
        r = store_run(s, STORE_TRIM);
        (void) sqlite3_exec(s->db, "PRAGMA synchronous = FULL", NULL, NULL, NULL);
        if (r < 0)
                return r;
        s->now.first = s->committed.first = end;
        return 1;
}

static int store_give_back(Store *s) {
        int64_t pages, unused;
        int r;

        r = store_pages(s, &pages, &unused);
        if (r < 0)
                return r;
        if (unused <= MAX(pages / STORE_FREE_PART, (int64_t) s->free_pages))
                return 0;
        r = store_run(s, STORE_GIVE_BACK);
        return r < 0 ? r : 1;
}

int store_trim(Store *s, Timestamp now) {
        int64_t end;
        int r;

        if (s->damaged)
                return -EUCLEAN;
        if (s->transaction)
                return store_error_text(s, -EBUSY, "a transaction is open");
        store_log_write_back(s, LOG_PAGES_BACKGROUND);
        r = store_trim_end(s, now, &end);
        if (r < 0)
                return r;
        if (end > s->now.first)
                return store_delete_before(s, end);
        store_log_lengthen(s);
        return store_give_back(s);
}
