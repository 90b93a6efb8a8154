/* SPDX-License-Identifier: Apache-2.0 */
/* The event store and kill -9: a child writes sessions and tells each number after its commit; it is killed at a random moment, again
 * and again on the same database. What it told is there, sessions are whole and go on upward. */

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include "event/eventer-codec.h"
#include "tests/unit/store-fixture.h"

#define KILLS 200
#define KILL_USEC 15000 /* at most, after the child's first word */

static const StoreOptions limits = { .max_age = USEC_INFINITY, .max_events = 2000, .max_bytes = -1 };

/* ---- the child --------------------------------------------------------------------------------------- */

/* A session has session % 7 + 1 events; payloads are of all sizes, so that commits take different ways. */
static void write_session(Store *s, int64_t session) {
        static char text[9000];
        size_t n = (size_t) (session % 7) + 1;
        Event events[8];
        Subtype names[8];
        char memory[8][16];

        memset(text, '1', sizeof text);
        for (size_t i = 0; i < n; i++) {
                int size = g_snprintf(memory[i], sizeof memory[i], "%" G_GINT64_FORMAT, (session * 5 + (int64_t) i) % 50);

                names[i] = (Subtype) { memory[i], (size_t) size };
                events[i] = (Event) {
                        .id = { 1, session, (int64_t) i + 1 },
                        .type = { names + i, 1 },
                        .timestamp = { session, 0 },
                        .has_source = true,
                        .source = { session, 0 },
                        .payload = { .kind = PAYLOAD_JSON, .json = { text, 1 + (size_t) (session * 37 % 9000) } },
                };
        }
        if (store_write(s, events, n) < 0)
                _exit(2);
}

static void child(const char *path, int fd) {
        StoreOptions options = limits;
        Store *s = NULL;

        options.path = path;
        if (store_open(&options, &s, NULL) < 0)
                _exit(1);
        for (int64_t session = store_head(s).session + 1;; session++) {
                write_session(s, session);
                if (session % 3 == 0)
                        continue;
                if (store_commit(s) < 0)
                        _exit(3);
                if (write(fd, &session, sizeof session) != sizeof session)
                        _exit(4);
                if (session % 16 == 1 && store_trim(s, (Timestamp) { .s = session }) < 0)
                        _exit(5);
        }
}

/* Returns the last session that the child told of, 0 for none. */
static int64_t run_and_kill(const char *path, GRand *random) {
        int64_t session = 0;
        int fds[2], status;
        pid_t pid;
        ssize_t n;

        g_assert_cmpint(pipe(fds), ==, 0);
        pid = fork();
        g_assert_cmpint(pid, >=, 0);
        if (pid == 0)
                child(path, fds[1]);
        (void) close(fds[1]);
        n = read(fds[0], &session, sizeof session);
        if (g_rand_int_range(random, 0, 4) > 0) /* else as soon as it has begun */
                g_usleep((gulong) g_rand_int_range(random, 0, KILL_USEC));
        g_assert_cmpint(kill(pid, SIGKILL), ==, 0);
        while (n == sizeof session)
                n = read(fds[0], &session, sizeof session);
        (void) close(fds[0]);
        g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
        g_assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        return session;
}

/* ---- what is left ------------------------------------------------------------------------------------ */

/* `out` is what the list borrows from. */
static void read_all(Store *s, Buffer *out, EventList *list) {
        _cleanup_(store_query_freep) StoreQuery *q = NULL;
        SbsReader r;
        int res;

        g_assert_cmpint(store_query_new(&(EventerQuery) { .kind = QUERY_TIMESERIES }, &q), ==, 0);
        do
                res = store_query_step(s, q, out);
        while (res > 0);
        g_assert_cmpint(res, ==, 0);
        r = (SbsReader) { .at = buffer_begin(out), .end = buffer_begin(out) + buffer_size(out) };
        g_assert_cmpint(event_list_decode(list, &r), ==, 0);
}

/* The newest events, newest first: no session is missing but where a life began, none is cut off but the oldest. Returns the newest. */
static int64_t check_sessions(const EventList *list) {
        int64_t session = 0, instance = 0, newest = 0;

        for (guint i = 0; i < list->events->len; i++) {
                const Event *e = &g_array_index(list->events, Event, i);

                if (instance == 0) {
                        if (i > 0 && e->id.session != session - 1)
                                g_assert_cmpint(session - e->id.session, >=, STORE_RESERVE / 2);
                        session = e->id.session;
                        instance = session % 7 + 1;
                        newest = MAX(newest, session);
                }
                g_assert_cmpint(e->id.session, ==, session);
                g_assert_cmpint(e->id.instance, ==, instance);
                instance--;
        }
        return newest;
}

static int64_t check_after(const char *path, int64_t told) {
        StoreOptions options = limits;
        _cleanup_(buffer_done) Buffer out = { 0 };
        g_autofree char *detail = NULL;
        EventList list;
        int64_t last;
        Store *s = NULL;
        int r;

        options.path = path;
        r = store_open(&options, &s, &detail);
        if (r < 0)
                g_error("store_open: %s: %s", g_strerror(-r), detail);
        last = store_head(s).session;
        event_list_init(&list);
        read_all(s, &out, &list);
        r = told > 0 ? 1 : 0;
        g_assert_cmpuint(list.events->len, >=, (guint) r);
        g_assert_cmpint(check_sessions(&list), >=, told);
        event_list_done(&list);
        s = store_close(s);
        return last;
}

static void test_kill(void) {
        _fixture_ f = { 0 };
        g_autoptr(GRand) random = g_rand_new_with_seed((guint32) g_test_rand_int());
        int64_t last = 0;

        fixture_init(&f);
        for (unsigned i = 0; i < KILLS; i++) {
                int64_t told = run_and_kill(f.path, random);

                g_assert_true(told == 0 || told > last);
                if (i % 4 == 0) /* else it is the next child that finds what is left */
                        last = check_after(f.path, MAX(told, last));
                else
                        last = MAX(told, last);
        }
        g_test_message("%" G_GINT64_FORMAT " sessions", last);
        g_assert_cmpint(last, >, KILLS);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/store-kill/kill", test_kill);
        return g_test_run();
}
