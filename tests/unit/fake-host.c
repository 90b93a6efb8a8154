/* SPDX-License-Identifier: Apache-2.0 */
/* The host's side of devices/device.h for tests of device types. Main thread. */

#include "tests/unit/fake-host.h"

#include <errno.h>

#define WAIT_USEC (30 * USEC_PER_SEC)
#define TURN_USEC (10 * USEC_PER_MSEC)

/* ---- events ------------------------------------------------------------------------------------------ */

/* An event with the memory that its type needs. */
typedef struct FakeEvent {
        Event event;
        char **segments;
        Subtype *subtypes;
        char *json;
} FakeEvent;

static void fake_event_init(FakeEvent *e, const char *type, const char *json) {
        size_t n;

        e->segments = g_strsplit(type, "/", -1);
        n = g_strv_length(e->segments);
        e->subtypes = g_new0(Subtype, MAX(n, 1U));
        for (size_t i = 0; i < n; i++)
                e->subtypes[i] = (Subtype) { e->segments[i], strlen(e->segments[i]) };
        e->json = g_strdup(json);
        e->event = (Event) { .type = { e->subtypes, n } };
        if (json)
                e->event.payload = (Payload) { .kind = PAYLOAD_JSON, .json = { e->json, strlen(e->json) } };
}

static void fake_event_done(FakeEvent *e) {
        g_strfreev(e->segments);
        g_free(e->subtypes);
        g_free(e->json);
}

/* ---- the host's side of device.h --------------------------------------------------------------------- */

sd_event *device_get_event(Device *d) {
        return d->host->event;
}

Resolver *device_get_resolver(Device *d) {
        return d->host->resolver;
}

const LogContext *device_log(const Device *d) {
        return &d->host->log;
}

LinkTap *device_tap(Device *d) {
        return &d->host->tap;
}

void device_set_recorder(Device *d, size_t size) {
        tap_set_recorder(&d->host->tap, size);
}

void device_started(Device *d) {
        g_assert_false(d->host->started);
        g_assert_false(d->host->ended);
        d->host->started = true;
}

static int on_finishing(sd_event_source *source, void *userdata) {
        FakeHost *h = userdata;

        h->device->type->done(h->device);
        h->done = true;
        return 0;
}

static void fake_query_free(FakeQuery *q) {
        if (!q)
                return;
        g_strfreev(q->queries);
        g_free(q);
}

void device_ended(Device *d, DeviceReason reason, const char *detail) {
        FakeHost *h = d->host;

        g_assert_false(h->ended);
        h->ended = true;
        h->reason = reason;
        h->detail = g_strdup(detail);
        fake_query_free(TAKE_PTR(h->query));
        h->answering = sd_event_source_disable_unref(h->answering);
        g_assert_cmpint(sd_event_add_defer(h->event, &h->finishing, on_finishing, h), >=, 0);
}

void device_set_link(Device *d, DeviceLink link, DeviceReason reason, const char *detail) {
        FakeHost *h = d->host;

        if (h->link != link || h->link_reason != reason)
                h->link_changes++;
        h->link = link;
        h->link_reason = reason;
        g_free(h->link_detail);
        h->link_detail = g_strdup(detail);
}

static void fake_host_add(FakeHost *h, char *line) {
        usec_t now = now_usec(CLOCK_MONOTONIC);

        g_ptr_array_add(h->registered, line);
        g_array_append_val(h->times, now);
}

void device_register(Device *d, const char *const *subtypes, const Timestamp *source, JsonSpan payload) {
        FakeHost *h = d->host;
        g_autofree char *type = g_strjoinv("/", (char **) subtypes);
        Timestamp time = source ? *source : (Timestamp) {};

        g_assert_true(!source || h->with_sources);
        g_array_append_val(h->sources, time);
        g_assert_cmpint(json_check(payload.text, payload.size, NULL), >=, 0);
        g_assert_false(h->ended);
        fake_host_add(h, g_strdup_printf("%s %.*s", type, (int) payload.size, payload.text));
}

static int on_answering(sd_event_source *source, void *userdata) {
        FakeHost *h = userdata;

        h->answering = sd_event_source_unref(h->answering);
        fake_host_answer(h, 0, (const char *const *) h->answers->pdata);
        return 0;
}

int device_query_latest(Device *d, const char *const *const *subtypes, size_t n,
                        DeviceQueryCallback callback, void *userdata) {
        FakeHost *h = d->host;

        g_assert_null(h->query);
        h->query = g_new0(FakeQuery, 1);
        h->query->callback = callback;
        h->query->userdata = userdata;
        h->query->queries = g_new0(char *, n + 1);
        for (size_t i = 0; i < n; i++)
                h->query->queries[i] = g_strjoinv("/", (char **) subtypes[i]);

        if (h->auto_answer)
                g_assert_cmpint(sd_event_add_defer(h->event, &h->answering, on_answering, h), >=, 0);
        return 0;
}

int device_store_fd(Device *d, const char *name, int fd) {
        FakeHost *h = d->host;

        if (h->store_error < 0)
                return h->store_error;
        g_assert_true(g_hash_table_insert(h->stored, g_strdup(name), GINT_TO_POINTER(fd)));
        return 0;
}

int device_stored_fd(Device *d, const char *name) {
        int fd = GPOINTER_TO_INT(g_hash_table_lookup(d->host->stored, name));

        return fd > 0 ? fd : -ENOENT;
}

void device_drop_stored(Device *d, const char *const *but) {
        GHashTableIter i;
        gpointer name, fd;

        g_hash_table_iter_init(&i, d->host->stored);
        while (g_hash_table_iter_next(&i, &name, &fd))
                if (!g_strv_contains(but, name)) {
                        (void) safe_close(GPOINTER_TO_INT(fd));
                        g_hash_table_iter_remove(&i);
                }
}

void device_scan_tell(Device *d, JsonSpan line) {
        FakeHost *h = d->host;

        g_assert_true(d == h->scan);
        g_assert_cmpint(json_check(line.text, line.size, NULL), >=, 0);
        fake_host_add(h, g_strdup_printf("scan %.*s", (int) line.size, line.text));
}

void device_scan_ended(Device *d, DeviceReason reason, const char *detail) {
        FakeHost *h = d->host;

        g_assert_true(d == h->scan);
        fake_host_add(h, g_strdup_printf("scan-ended %s %s", device_reason_to_string(reason), detail ?: ""));
}

int device_borrow_fd(Device *d, const char *name) {
        return d->host->borrowed_fd >= 0 ? d->host->borrowed_fd : -ENOENT;
}

/* ---- configuration ----------------------------------------------------------------------------------- */

static int parse(const DeviceType *type, const char *text, ConfArena *arena, void *conf, ConfErrors *errors) {
        _cleanup_(conf_document_freep) ConfDocument *document = NULL;
        int r;

        r = conf_document_parse(text, strlen(text), errors, &document);
        if (r < 0)
                return r;
        r = conf_parse(conf_document_root(document), type->conf, CONF_FORM_NATIVE, arena, conf, errors);
        if ((r >= 0 || r == -ERANGE) && type->verify)
                type->verify(conf, errors);
        return r;
}

static char *errors_to_text(ConfErrors *errors) {
        char *text = NULL;
        size_t size = 0;
        FILE *stream = open_memstream(&text, &size);

        conf_errors_print(errors, stream);
        fclose(stream);
        return text;
}

/* ---- life -------------------------------------------------------------------------------------------- */

FakeHost *fake_host_new(const DeviceType *type, const char *conf) {
        _cleanup_(conf_errors_freep) ConfErrors *errors = conf_errors_new("test");
        FakeHost *h = g_new0(FakeHost, 1);

        g_assert_cmpint(sd_event_new(&h->event), >=, 0);
        g_assert_cmpint(resolver_new(h->event, 4, &h->resolver), >=, 0);
        h->arena = conf_arena_new();
        h->conf = conf_arena_alloc(h->arena, type->conf_size);
        h->log = (LogContext) { .device_type = type->name, .device_name = "test" };
        h->registered = g_ptr_array_new_with_free_func(g_free);
        h->times = g_array_new(FALSE, FALSE, sizeof(usec_t));
        h->sources = g_array_new(FALSE, FALSE, sizeof(Timestamp));
        h->answers = g_ptr_array_new_null_terminated(0, g_free, TRUE);
        h->auto_answer = true;
        h->borrowed_fd = -EBADF;
        h->stored = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

        if (parse(type, conf, h->arena, h->conf, errors) < 0 ||
            conf_errors_count(errors, CONF_RANGE) + conf_errors_count(errors, CONF_ERROR) > 0) {
                g_autofree char *text = errors_to_text(errors);

                g_error("configuration: %s", text);
        }

        h->device = g_malloc0(type->device_size);
        h->device->type = type;
        h->device->host = h;
        h->device->conf = h->conf;
        return h;
}

FakeHost *fake_host_free(FakeHost *h) {
        if (!h)
                return NULL;

        fake_host_stop(h);
        device_drop_stored(h->device, (const char *const[]) { NULL });
        g_hash_table_unref(h->stored);
        fake_host_scan_done(h);
        fake_query_free(h->query);
        sd_event_source_disable_unref(h->answering);
        sd_event_source_disable_unref(h->finishing);
        g_ptr_array_unref(h->registered);
        g_array_unref(h->times);
        g_array_unref(h->sources);
        g_ptr_array_unref(h->answers);
        tap_done(&h->tap);
        g_free(h->detail);
        g_free(h->link_detail);
        g_free(h->device);
        conf_arena_free(h->arena);
        resolver_free(h->resolver);
        sd_event_unref(h->event);
        g_free(h);
        return NULL;
}

int fake_host_scan(FakeHost *h, const DeviceScanOptions *options) {
        const DeviceType *type = h->device->type;
        int r;

        h->scan = g_malloc0(type->scan_size);
        *h->scan = (Device) { .type = type, .host = h, .conf = h->conf };
        r = type->scan_begin(h->scan, options);
        if (r < 0)
                g_clear_pointer(&h->scan, g_free);
        return r;
}

void fake_host_scan_done(FakeHost *h) {
        if (!h->scan)
                return;
        h->scan->type->scan_done(h->scan);
        g_clear_pointer(&h->scan, g_free);
}

void fake_host_start(FakeHost *h) {
        const Device fresh = *h->device;
        size_t size = fresh.type->device_size;

        memset(h->device, 0, size);
        *h->device = fresh;
        h->started = h->ended = h->done = false;
        h->begun = true;
        h->finishing = sd_event_source_disable_unref(h->finishing);
        g_clear_pointer(&h->detail, g_free);
        g_assert_cmpint(fresh.type->start(h->device), >=, 0);
        g_assert_false(h->started);
        g_assert_false(h->ended);
}

void fake_host_stop(FakeHost *h) {
        if (!h->begun || h->done)
                return;

        if (!h->ended) {
                h->device->type->stop(h->device);
                g_assert_false(h->ended);
        }
        fake_host_wait(h, &h->done);
        h->begun = false;
}

void fake_host_event(FakeHost *h, const char *type, const char *json) {
        FakeEvent e;

        fake_event_init(&e, type, json);
        h->device->type->event(h->device, &e.event);
        fake_event_done(&e);
}

void fake_host_answer(FakeHost *h, int error, const char *const *lines) {
        FakeQuery *query = TAKE_PTR(h->query);
        size_t n = lines ? g_strv_length((char **) lines) : 0;
        g_autofree FakeEvent *fakes = g_new0(FakeEvent, MAX(n, 1U));
        g_autofree Event *events = g_new0(Event, MAX(n, 1U));

        g_assert_nonnull(query);
        for (size_t i = 0; i < n; i++) {
                const char *space = strchr(lines[i], ' ');
                g_autofree char *type = space ? g_strndup(lines[i], (size_t) (space - lines[i]))
                                              : g_strdup(lines[i]);

                fake_event_init(&fakes[i], type, space ? space + 1 : NULL);
                events[i] = fakes[i].event;
        }

        query->callback(h->device, error, events, n, query->userdata);

        for (size_t i = 0; i < n; i++)
                fake_event_done(&fakes[i]);
        fake_query_free(query);
}

/* ---- waiting ----------------------------------------------------------------------------------------- */

/* One turn, short enough to see that the clock was moved. False: it is the end. */
static bool fake_host_turn(FakeHost *h, usec_t end) {
        usec_t now = now_usec(CLOCK_MONOTONIC);

        if (now >= end)
                return false;
        g_assert_cmpint(sd_event_run(h->event, MIN(end - now, TURN_USEC)), >=, 0);
        return true;
}

void fake_host_wait_for(FakeHost *h, bool (*condition)(void *userdata), void *userdata) {
        usec_t end = now_usec(CLOCK_MONOTONIC) + WAIT_USEC;

        while (!condition(userdata))
                g_assert_true(fake_host_turn(h, end));
}

static bool flag_is_set(void *userdata) {
        return *(const bool *) userdata;
}

void fake_host_wait(FakeHost *h, const bool *flag) {
        fake_host_wait_for(h, flag_is_set, (void *) flag);
}

void fake_host_run(FakeHost *h, usec_t duration) {
        usec_t end = now_usec(CLOCK_MONOTONIC) + duration;

        while (fake_host_turn(h, end))
                ;
}

static bool has_next(void *userdata) {
        FakeHost *h = userdata;

        return h->registered->len > h->seen;
}

const char *fake_host_next(FakeHost *h) {
        fake_host_wait_for(h, has_next, h);
        return h->registered->pdata[h->seen++];
}

void fake_host_expect_lines(FakeHost *h, const char *file, int line, const char *const *lines) {
        usec_t end = now_usec(CLOCK_MONOTONIC) + WAIT_USEC;

        for (; *lines; lines++) {
                while (!has_next(h) && fake_host_turn(h, end))
                        ;
                if (!has_next(h))
                        g_error("%s:%d: expected `%s`, nothing came", file, line, *lines);
                if (!streq(h->registered->pdata[h->seen], *lines))
                        g_error("%s:%d: expected `%s`, got `%s`", file, line, *lines,
                                (const char *) h->registered->pdata[h->seen]);
                h->seen++;
        }
}

void fake_host_expect_nothing(FakeHost *h, usec_t duration) {
        usec_t end = now_usec(CLOCK_MONOTONIC) + duration;

        fake_host_run(h, duration);
        if (has_next(h) && (duration == 0 || g_array_index(h->times, usec_t, h->seen) < end))
                g_error("expected nothing, got `%s`", (const char *) h->registered->pdata[h->seen]);
}
