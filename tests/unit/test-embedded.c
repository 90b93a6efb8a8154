/* SPDX-License-Identifier: Apache-2.0 */
/* The gateway with the embedded event server, all of it real but the device type: from the configuration to a running
 * device, over an end and a new start, and what ends a start. */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bounds.h"
#include "daemon/gateway.h"
#include "link/listener.h"
#include "tests/unit/loop.h"

/* ---- a device type that starts and stops at once ----------------------------------------------------- */

typedef struct Fake {
        Device device;
        sd_event_source *later;
        bool stopping;
} Fake;

static int on_later(sd_event_source *s, void *userdata) {
        Fake *f = userdata;

        if (f->stopping)
                device_ended(&f->device, DEVICE_REASON_NONE, NULL);
        else
                device_started(&f->device);
        return 0;
}

static void fake_later(Fake *f) {
        f->later = sd_event_source_disable_unref(f->later);
        g_assert_cmpint(sd_event_add_defer(device_get_event(&f->device), &f->later, on_later, f), >=, 0);
}

static int fake_start(Device *d) {
        fake_later((Fake *) d);
        return 0;
}

static void fake_stop(Device *d) {
        ((Fake *) d)->stopping = true;
        fake_later((Fake *) d);
}

static void fake_done(Device *d) {
        sd_event_source_disable_unref(((Fake *) d)->later);
}

static void fake_event(Device *d, const Event *e) {
}

static const DeviceType fake_type = {
        .name = "fake",
        .device_size = sizeof(Fake),
        .start = fake_start,
        .stop = fake_stop,
        .done = fake_done,
        .event = fake_event,
};

/* ---- fixture ----------------------------------------------------------------------------------------- */

static const char *const initial_type[] = { "gateway", "gw", "fake", "a", "system", "enable" };
static const EmbeddedInitial initial = {
        .type = { (void *) initial_type, ELEMENTSOF(initial_type) },
        .payload = "true",
};

typedef struct Fixture {
        sd_event *event;
        char *folder;
        const char *listen[2];
        EmbeddedConfig embedded;
        DeviceConfig devices[2];
        Config config;
        Gateway *gateway;
        Proxy *a, *b;
        unsigned n_stopped, n_answers;
        int answer;
} Fixture;

static void set_up(Fixture *f, gconstpointer path) {
        f->event = loop_new();
        f->folder = g_dir_make_tmp("test-embedded-XXXXXX", NULL);
        g_assert_nonnull(f->folder);
        g_setenv("STATE_DIRECTORY", f->folder, true);
        g_setenv("RUNTIME_DIRECTORY", f->folder, true);
        f->devices[0] = (DeviceConfig) { .type = &fake_type, .name = "a" };
        f->devices[1] = (DeviceConfig) { .type = &fake_type, .name = "b" };
        f->embedded = (EmbeddedConfig) {
                .path = path,
                .server_id = 1,
                .initial = { (void *) &initial, 1 },
                .history = { USEC_INFINITY, -1, -1 },
        };
        f->config = (Config) {
                .n_ref = 1,
                .name = "gw",
                .layout = LAYOUT_NAMED,
                .north = NORTH_EMBEDDED,
                .embedded = &f->embedded,
                .require_operational = true,
                .devices = f->devices,
                .n_devices = 2,
        };
}

static void remove_folder(const char *path) {
        g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
        const char *name;

        while (dir && (name = g_dir_read_name(dir))) {
                g_autofree char *file = g_build_filename(path, name, NULL);

                if (g_file_test(file, G_FILE_TEST_IS_DIR))
                        remove_folder(file);
                else
                        g_unlink(file);
        }
        g_rmdir(path);
}

static void tear_down(Fixture *f, gconstpointer unused) {
        gateway_free(f->gateway);
        g_assert_cmpuint(f->config.n_ref, ==, 1);
        remove_folder(f->folder);
        g_free(f->folder);
        sd_event_unref(f->event);
}

static int start(Fixture *f) {
        g_assert_cmpint(gateway_new(f->event, &f->config, NULL, &f->gateway), ==, 0);
        g_assert_cmpint(gateway_find(f->gateway, "fake", "a", &f->a), ==, 0);
        g_assert_cmpint(gateway_find(f->gateway, "fake", "b", &f->b), ==, 0);
        return gateway_start(f->gateway);
}

static void on_stopped(void *userdata) {
        ((Fixture *) userdata)->n_stopped++;
}

static void stop(Fixture *f) {
        unsigned n = f->n_stopped;
        usec_t begin = now_usec(CLOCK_MONOTONIC);

        gateway_stop(f->gateway, on_stopped, f);
        LOOP_UNTIL(f->event, f->n_stopped > n);
        g_assert_cmpuint(now_usec(CLOCK_MONOTONIC) - begin, <, EXIT_FLUSH_USEC);
        f->gateway = gateway_free(f->gateway);
}

static void on_answer(int error, const char *detail, void *userdata) {
        Fixture *f = userdata;

        f->answer = error;
        f->n_answers++;
}

static void enable(Fixture *f, Proxy *p, bool on) {
        unsigned n = f->n_answers;
        Request *request;

        g_assert_cmpint(proxy_request_enable(p, on, on_answer, f, &request), ==, 0);
        LOOP_UNTIL(f->event, f->n_answers > n);
        g_assert_cmpint(f->answer, ==, 0);
        LOOP_UNTIL(f->event, proxy_view(p)->state == (on ? PROXY_RUNNING : PROXY_DISABLED));
}

static bool settled(const Proxy *p) {
        const ProxyView *v = proxy_view(p);

        return v->enabled_known && v->state == (v->enabled ? PROXY_RUNNING : PROXY_DISABLED);
}

static void assert_refused(Fixture *f, int error) {
        g_assert_cmpint(start(f), ==, error);
        f->gateway = gateway_free(f->gateway);
}

static char *file_in(const Fixture *f, const char *name) {
        return g_build_filename(f->folder, name, NULL);
}

/* ---- tests ------------------------------------------------------------------------------------------- */

/* What `initial` says runs, the rest is enabled as ever. */
static void test_run(Fixture *f, gconstpointer unused) {
        g_autofree char *socket = file_in(f, "eventer.sock"), *address = g_strconcat("unix:", socket, NULL);
        const char *detail = NULL;
        struct stat st;

        g_assert_cmpint(start(f), ==, 0);
        LOOP_UNTIL(f->event, settled(f->a) && settled(f->b));
        g_assert_cmpint(gateway_get_north_state(f->gateway), ==, NORTH_OPERATIONAL);
        g_assert_cmpint(proxy_view(f->a)->state, ==, PROXY_RUNNING);
        g_assert_cmpint(proxy_view(f->b)->state, ==, PROXY_DISABLED);
        enable(f, f->b, true);
        enable(f, f->a, false);

        g_assert_cmpstr(gateway_get_event_server(f->gateway), ==, address);
        g_assert_cmpint(stat(socket, &st), ==, 0);
        g_assert_cmpuint(st.st_mode & 07777, ==, 0660);
        g_assert_cmpint(gateway_get_event_storage(f->gateway, &detail), ==, EVENT_STORAGE_WORKING);
        g_assert_cmpstr(detail, ==, "");
        stop(f);
        g_assert_cmpint(stat(socket, &st), <, 0);
}

/* The server is the only truth, and it remembers: `initial` counts once. */
static void test_again(Fixture *f, gconstpointer unused) {
        g_autofree char *folder = file_in(f, "sub");
        struct stat st;

        g_assert_cmpint(start(f), ==, 0);
        LOOP_UNTIL(f->event, settled(f->a) && settled(f->b));
        g_assert_cmpint(stat(folder, &st), ==, 0);
        g_assert_cmpuint(st.st_mode & 0777 & ~0750U, ==, 0);
        enable(f, f->b, true);
        enable(f, f->a, false);
        stop(f);

        g_assert_cmpint(start(f), ==, 0);
        LOOP_UNTIL(f->event, settled(f->a) && settled(f->b));
        g_assert_cmpint(proxy_view(f->a)->state, ==, PROXY_DISABLED);
        g_assert_cmpint(proxy_view(f->b)->state, ==, PROXY_RUNNING);
        stop(f);
}

/* Nobody but the gateway can connect. */
static void test_listen_nowhere(Fixture *f, gconstpointer unused) {
        f->embedded.listen = (ConfArray) { (void *) f->listen, 0 };
        g_assert_cmpint(start(f), ==, 0);
        LOOP_UNTIL(f->event, settled(f->a));
        g_assert_cmpint(proxy_view(f->a)->state, ==, PROXY_RUNNING);
        g_assert_cmpstr(gateway_get_event_server(f->gateway), ==, "");
        stop(f);
}

static void listen_on(Fixture *f, const char *address) {
        f->listen[0] = address;
        f->embedded.listen = (ConfArray) { (void *) f->listen, 1 };
}

static void test_listen_tcp(Fixture *f, gconstpointer unused) {
        listen_on(f, "tcp:localhost:0");
        g_assert_cmpint(start(f), ==, 0);
        LOOP_UNTIL(f->event, settled(f->a));
        g_assert_true(g_str_has_prefix(gateway_get_event_server(f->gateway), "tcp:"));
        g_assert_false(g_str_has_suffix(gateway_get_event_server(f->gateway), ":0"));
        stop(f);
}

static void on_accept(Listener *l, int fd, void *userdata) {
        safe_close(fd);
}

static void test_listen_refused(Fixture *f, gconstpointer unused) {
        g_autofree char *taken = file_in(f, "eventer.sock"), *file = file_in(f, "file"), *below = file_in(f, "file/sub");
        Address address = { .kind = ADDRESS_UNIX, .path = taken };
        Listener *l;

        g_assert_true(g_file_set_contents(file, "x", 1, NULL));
        g_assert_cmpint(listener_open(f->event, &address, "test", on_accept, NULL, &l), ==, 0);
        assert_refused(f, -EADDRINUSE);
        listener_free(l);
        listen_on(f, "fd:eventer");
        assert_refused(f, -ENOENT);
        listen_on(f, "unix:file/sub/sock");
        assert_refused(f, -ENOTDIR);
        g_setenv("RUNTIME_DIRECTORY", below, true);
        listen_on(f, "unix:sock");
        assert_refused(f, -ENOTDIR);
}

static void test_database_refused(Fixture *f, gconstpointer unused) {
        g_autofree char *file = file_in(f, "file"), *database = file_in(f, "sub/events.db"), *sub = file_in(f, "sub");
        g_autofree char *contents = NULL;

        g_assert_true(g_file_set_contents(file, "x", 1, NULL));
        g_setenv("STATE_DIRECTORY", file, true);
        assert_refused(f, -ENOTDIR);
        g_setenv("STATE_DIRECTORY", f->folder, true);

        g_assert_cmpint(g_mkdir(sub, 0700), ==, 0);
        g_assert_true(g_file_set_contents(database, "this is no database", -1, NULL));
        assert_refused(f, -EUCLEAN);
        g_assert_true(g_file_get_contents(database, &contents, NULL, NULL));
        g_assert_cmpstr(contents, ==, "this is no database"); /* it is not touched */

        f->embedded.on_corruption = ON_CORRUPTION_SET_ASIDE;
        g_assert_cmpint(start(f), ==, 0);
        LOOP_UNTIL(f->event, settled(f->a));
        g_assert_cmpint(proxy_view(f->a)->state, ==, PROXY_RUNNING);
        stop(f);
}

static void test_export(Fixture *f, gconstpointer unused) {
        g_autofree char *path = file_in(f, "copy"), *contents = NULL;
        int fds[2], file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600), reading = open(path, O_RDONLY | O_CLOEXEC);
        Request *request;

        g_assert_cmpint(pipe(fds), ==, 0);
        g_assert_cmpint(start(f), ==, 0);
        LOOP_UNTIL(f->event, settled(f->a));
        g_assert_cmpint(gateway_request_export(f->gateway, fds[1], on_answer, f, &request), ==, -EINVAL);
        g_assert_cmpint(gateway_request_export(f->gateway, reading, on_answer, f, &request), ==, -EINVAL);
        g_assert_cmpint(gateway_request_export(f->gateway, file, on_answer, f, &request), ==, 0);
        LOOP_UNTIL(f->event, f->n_answers == 1);
        g_assert_cmpint(f->answer, ==, 0);
        g_assert_true(g_file_get_contents(path, &contents, NULL, NULL));
        g_assert_true(g_str_has_prefix(contents, "SQLite format 3"));

        /* one that nobody waits for is under way at the end */
        g_assert_cmpint(gateway_request_export(f->gateway, file, on_answer, f, &request), ==, 0);
        g_assert_null(request_cancel(request));
        stop(f);
        g_assert_cmpuint(f->n_answers, ==, 1);
        safe_close(fds[0]);
        safe_close(fds[1]);
        safe_close(file);
        safe_close(reading);
}

/* The hard end: a second SIGTERM. */
static void test_free(Fixture *f, gconstpointer unused) {
        g_assert_cmpint(start(f), ==, 0);
        f->gateway = gateway_free(f->gateway);
        g_assert_cmpint(start(f), ==, 0);
        LOOP_UNTIL(f->event, settled(f->a));
        gateway_stop(f->gateway, on_stopped, f);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
#define ADD(name, path, func) g_test_add("/embedded/" name, Fixture, path, set_up, func, tear_down)
        ADD("run", ":memory:", test_run);
        ADD("again", "sub/events.db", test_again);
        ADD("listen/nowhere", ":memory:", test_listen_nowhere);
        ADD("listen/tcp", ":memory:", test_listen_tcp);
        ADD("listen/refused", ":memory:", test_listen_refused);
        ADD("database/refused", "sub/events.db", test_database_refused);
        ADD("export", "events.db", test_export);
        ADD("free", "events.db", test_free);
        return g_test_run();
}
